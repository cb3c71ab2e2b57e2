"""What to do about verdicts: alert, retrain, roll back, each when it is due and no oftener."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import TYPE_CHECKING, Any, Literal

from mlguard.arguments import instances, member, name_of, refusal, seconds, whole
from mlguard.checks import checked, name_for
from mlguard.policies.persistence import Persistence, duration, persistence
from mlguard.values import Action, Severity, Verdict, action_of

if TYPE_CHECKING:
    from datetime import timedelta

    from mlguard.protocols import Check


_UNKNOWN = Severity.UNKNOWN


@dataclass(frozen=True, slots=True, init=False, eq=False, repr=False)
class Response:
    """One rung of a `ResponsePolicy`: an action, when it is due, and what may hold it back.

    Immutable, so safe between threads.

    It begins to fire when all verdicts of `when` have been at their severity for long enough: an
    episode, in which the action is taken once. What holds the action back does not hold back the
    episode: the action is taken later in it, as soon as nothing does.

    Args:
        action: An `Action`, or a string that names one of your own.
        when: Names of verdicts, all of which must be bad; as a mapping, each with its severity.
        severity: Which severity is bad enough, for names without their own. BREACH by default.
        for_: How long they must be bad: a whole number of evaluations in a row, or a duration as
            a timedelta or in seconds as a float.
        of: With a number of evaluations: among the last so many, not in a row.
        every: As of `sustained`: the length of a slot where evaluations come all the time.
        keep: How long the episode goes on after the last bad evaluation, seconds or a timedelta.
        cooldown: Least time from one time the action was taken to the next, seconds or a timedelta.
            It never holds back the episode: an alarm is not late for it.
        at_most: A number, and the period in which the action is taken so often at most.
        needs: Checks that must be OK before the action is taken, such as "5,000 new labels" or an
            approval. They are asked only when it is due.
        unless: Names of responses: while one of them fires, this action is not taken.
        unknown: What an UNKNOWN verdict does: "keep" (the memory waits), "fire" or "resolve".
        name: Of the rung; the action in lower case when not given.

    Raises:
        ConfigurationError: An argument is not of its kind or range.

    Examples:
        >>> from mlguard import Action, Response
        >>> Response(Action.RETRAIN, when=["drift", "performance"], for_=3, cooldown=7 * 86_400)
        <Response retrain: retrain when drift and performance are BREACH in 3 of 3>
    """

    action: Action | str
    bad: Mapping[str, Severity]
    terms: Persistence
    cooldown: float
    at_most: tuple[int, float] | None
    needs: tuple[Check, ...]
    unless: tuple[str, ...]
    unknown: str
    name: str

    def __init__(
        self,
        action: Action | str,
        *,
        when: str | Sequence[str] | Mapping[str, Severity | str],
        severity: Severity | str = Severity.BREACH,
        for_: float | timedelta = 1,
        of: int | None = None,
        every: float | timedelta | None = None,
        keep: float | timedelta = 0.0,
        cooldown: float | timedelta = 0.0,
        at_most: tuple[int, float | timedelta] | None = None,
        needs: Sequence[Check] = (),
        unless: Sequence[str] = (),
        unknown: Literal["keep", "fire", "resolve"] = "keep",
        name: str | None = None,
    ) -> None:
        put = object.__setattr__
        put(self, "action", action_of(action))
        if self.action in {Action.NONE, Action.RESOLVE}:
            raise refusal("action", action, "what to do: RESOLVE follows an ALERT by itself")
        put(self, "name", str(self.action).lower() if name is None else name_of("name", name))
        put(self, "bad", _when(when, _bad("severity", severity)))
        if isinstance(for_, bool) or for_ is None:
            raise refusal("for_", for_, "a whole number of evaluations, or a duration")
        counted = isinstance(for_, Integral)
        k, lasting = (whole("for_", for_, least=1), 0.0) if counted else (1, for_)
        if of is not None and not counted:
            raise refusal("of", of, "given with for_ as a whole number of evaluations")
        put(self, "terms", persistence(k, of, every, lasting, keep))
        put(self, "cooldown", duration("cooldown", cooldown))
        put(self, "at_most", None if at_most is None else _limit(at_most))
        if not isinstance(needs, Sequence):
            raise refusal("needs", needs, "a list of checks")
        put(self, "needs", tuple(map(checked, needs)))
        if isinstance(unless, str):
            raise refusal("unless", unless, "a list of names of responses")
        put(self, "unless", instances((str,), "unless", unless))
        if unknown not in ("keep", "fire", "resolve"):
            raise refusal("unknown", unknown, 'one of ["keep", "fire", "resolve"]')
        put(self, "unknown", unknown)

    @property
    def remembers(self) -> float:
        """For how long it matters when the action was taken, in seconds."""
        return max(self.cooldown, self.at_most[1] if self.at_most else 0.0)

    def answer(self, verdicts: Mapping[str, Verdict]) -> tuple[bool | None, float | None]:
        """Tell whether all verdicts are bad enough, None where that is unknown, and their time."""
        found: bool | None = True
        newest: float | None = None
        for name, severity in self.bad.items():
            verdict = verdicts.get(name)
            if verdict is None:
                found = found and None
                continue
            at = verdict.at
            if at is not None and (newest is None or at > newest):
                newest = at
            if severity is _UNKNOWN:
                if verdict.severity is not severity:
                    found = False
            elif verdict.high < severity:
                found = False
            elif verdict.low < severity:
                found = found and None
        if found is None and self.unknown != "keep":
            found = self.unknown == "fire"
        return found, newest

    def judges_as(self, other: Response) -> bool:
        """Tell whether another has the same action and condition, so that its memory fits."""
        mine, theirs = (
            (each.action, dict(each.bad), each.terms, each.unknown) for each in (self, other)
        )
        return mine == theirs

    def to_dict(self) -> dict[str, Any]:
        """Give the settings as plain JSON: of `needs` the names."""
        terms = {name: getattr(self.terms, name) for name in ("k", "of", "every", "for_", "keep")}
        return {
            "name": self.name,
            "action": str(self.action),
            "when": {name: severity.name for name, severity in self.bad.items()},
            **terms,
            "cooldown": self.cooldown,
            "at_most": None if self.at_most is None else list(self.at_most),
            "needs": [name_for(check) for check in self.needs],
            "unless": list(self.unless),
            "unknown": self.unknown,
        }

    def __repr__(self) -> str:
        lasting = f" for {self.terms.for_:g} s" if self.terms.for_ else ""
        if self.terms.of > 1:
            lasting = f" in {self.terms.k} of {self.terms.of}"
        return f"<Response {self.name}: {self.action} when {self.condition}{lasting}>"

    @property
    def condition(self) -> str:
        """What must be bad, in words."""
        levels = {*self.bad.values()}
        if len(levels) == 1:
            verb = "are" if len(self.bad) > 1 else "is"
            return f"{' and '.join(self.bad)} {verb} {levels.pop().name}"
        return " and ".join(f"{name} is {severity.name}" for name, severity in self.bad.items())


def _bad(parameter: str, value: object) -> Severity:
    severity = member(Severity, parameter, value)
    if severity is Severity.OK:
        raise refusal(parameter, value, "WARN, BREACH or UNKNOWN")
    return severity


def _limit(at_most: object) -> tuple[int, float]:
    if not isinstance(at_most, tuple | list) or len(at_most) != 2:  # noqa: PLR2004 -- as it says
        raise refusal("at_most", at_most, "a number and a period")
    return whole("at_most", at_most[0], least=1), seconds("at_most", at_most[1])


def _when(when: object, severity: Severity) -> dict[str, Severity]:
    if isinstance(when, str):
        when = [when]
    if isinstance(when, Mapping):
        found = {name_of("when", name): _bad("when", each) for name, each in when.items()}
    elif isinstance(when, Sequence):
        found = {name_of("when", name): severity for name in when}
    else:
        found = {}
    if not found:
        raise refusal("when", when, "the name of a verdict, several, or each with its severity")
    return found
