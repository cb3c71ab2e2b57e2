"""Playing a script of severities to a policy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlguard.arguments import refusal, seconds
from mlguard.values import Severity, Verdict

if TYPE_CHECKING:
    from datetime import timedelta

    from mlguard.policies.ladder import ResponsePolicy
    from mlguard.values import Decision

_LETTERS = {each.name[0]: each for each in Severity}


def play(policy: ResponsePolicy, script: str, *, every: float | timedelta = 60.0) -> list[Decision]:
    """Play evaluations to a policy from its beginning, and give all that it decides.

    The policy itself is left as it is. Its needs are taken as met.

    Args:
        policy: The policy.
        script: A letter for each evaluation, which all verdicts of the policy have: O, U, W or B
            for OK, UNKNOWN, WARN or BREACH. Spaces are left out.
        every: From one evaluation to the next, in seconds or as a timedelta; the first is at 0.

    Raises:
        ConfigurationError: The script has other letters, or `every` is not positive.

    Examples:
        >>> from mlguard import Action, Response, ResponsePolicy
        >>> policy = ResponsePolicy(Response(Action.ALERT, when="drift", for_=2))
        >>> for decision in play(policy, "OBBBO"):
        ...     print(decision.at, decision.action)
        120.0 alert
        240.0 resolve
    """
    step = seconds("every", every)
    letters = "".join(script.split()) if isinstance(script, str) else script
    if not isinstance(script, str) or {*letters} - {*_LETTERS}:
        raise refusal("script", script, 'letters among O, U, W and B, such as "OOUBBBO"')
    names = {name for response in policy.responses for name in response.bad}
    met = {response.name: () for response in policy.responses}
    state, decided = policy.begin(), []
    for place, letter in enumerate(letters):
        severity, now = _LETTERS[letter], place * step
        verdicts = {
            name: Verdict(name, severity, f"evaluation {place + 1} of the script", at=now)
            for name in names
        }
        state, decisions = policy.step(state, verdicts, now, met)
        decided += decisions
    return decided
