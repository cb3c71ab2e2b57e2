"""Being the judge for others: a decision as Argo Rollouts and Flagger ask for it."""

from __future__ import annotations

from typing import Any, Literal

from mlguard.arguments import choice, refusal
from mlguard.values import Action, Decision

__all__ = ["to_argo", "to_flagger"]

_BY_ACTION = {
    Action.ROLLBACK.value: "rolled back",
    Action.PROMOTE.value: "promoted",
    Action.HOLD.value: "held",
}
_BY_PHASE = {
    "promoted": "promoted",
    "rolled back": "rolled back",
    "aborted": "rolled back",
    "expired": "rolled back",
}
"""Of a rollout that is over, whose later decisions are NONE."""
_PASSES = {
    "confirm-traffic-increase": {"running", "promoted"},
    "rollout": {"running", "promoted"},
    "confirm-promotion": {"promoted"},
    "rollback": {"rolled back"},
}
Hook = Literal["confirm-traffic-increase", "rollout", "confirm-promotion", "rollback"]


def to_argo(decision: Decision) -> dict[str, Any]:
    """Give what an AnalysisTemplate with the web provider evaluates, as plain JSON.

    `rollout` is "running", "held", "promoted" or "rolled back". It goes by where the rollout stands
    and not by the action alone, so that an answer that got lost is given again. One that expired is
    rolled back, as its share is 0. A template in which neither condition is true of "held" makes
    Argo call it inconclusive, and pause.

    Args:
        decision: The newest decision. Take one for each question: an old one is no judgement.

    Raises:
        ConfigurationError: `decision` is not one.

    Examples:
        >>> from mlguard import Action, Decision
        >>> to_argo(Decision(Action.HOLD, "no data from the canary"))["rollout"]
        'held'
    """
    return {
        "rollout": _standing(decision),
        "action": str(decision.action),
        "reason": decision.reason,
        "key": decision.key,
        "at": decision.at,
        "subject": dict(decision.subject),
    }


def to_flagger(decision: Decision, hook: Hook) -> tuple[int, str]:
    """Give the HTTP status and the text that answer a webhook of Flagger.

    It is 200 for yes, else 403, as Flagger's own gate says no; the text stands in its events.

    - "confirm-traffic-increase": yes while nothing is wrong. A no pauses.
    - "confirm-promotion": yes once the promotion is decided. A no pauses.
    - "rollback": yes once a rollback is.
    - "rollout": as the first, but Flagger counts each no as a failed check, and rolls back when it
      has counted enough of them. So a mere hold rolls back: use it only where you want that.

    Args:
        decision: The newest decision. Take one for each question: an old one is no judgement.
        hook: The webhook's type.

    Raises:
        ConfigurationError: `decision` is not one, or the type is another.

    Examples:
        >>> from mlguard import Action, Decision
        >>> held = Decision(Action.HOLD, "no data from the canary")
        >>> to_flagger(held, "confirm-traffic-increase")
        (403, 'held: no data from the canary')
        >>> to_flagger(held, "rollback")[0]
        403
    """
    passes = _PASSES[choice("hook", hook, *_PASSES)]
    standing = _standing(decision)
    return 200 if standing in passes else 403, f"{standing}: {decision.reason}"


def _standing(decision: Decision) -> str:
    """Say where the rollout stands: by its phase if it is over, else by what is to be done."""
    if not isinstance(decision, Decision):
        raise refusal("decision", decision, "a Decision")
    phase = decision.because[0].get("phase") if decision.because else None
    by_action = _BY_ACTION.get(str(decision.action), "running")
    return _BY_PHASE.get(str(phase), by_action)
