"""A policy that enters at one line and leaves at another, and the guard that remembers for it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol, Self, runtime_checkable

from mlguard.arguments import finite, refusal
from mlguard.checks import crashed, taken_of
from mlguard.locks import Locked
from mlguard.render import text
from mlguard.values import Measurement, Severity, Verdict, combined, unjudged

if TYPE_CHECKING:
    from mlguard.protocols import Measure


@runtime_checkable
class StatefulPolicy(Protocol):
    """A policy with memory: a pure step from state to state. The guard that holds it keeps them."""

    def __call__(self, measurement: Measurement) -> Verdict:
        """Judge a measurement as the first one."""
        ...

    def step(self, state: Any, measurement: Measurement) -> tuple[Any, Verdict]:
        """Judge a measurement after others.

        Args:
            state: Plain JSON, which an earlier step gave; None at first.
            measurement: What to judge.
        """
        ...

    def led(self, state: Any, *, alarm: bool) -> Any:
        """Give the state that follows where an alarm that rests on this is on, or off."""
        ...


@dataclass(frozen=True, slots=True)
class Hysteresis:
    """Breaches beyond `enter`, and until the value is back at `exit`. Immutable."""

    enter: float
    exit: float

    def __call__(self, measurement: Measurement) -> Verdict:
        return self.step(None, measurement)[1]

    def step(self, state: Any, measurement: Measurement) -> tuple[Any, Verdict]:
        """Judge a measurement; one whose event time was judged already is judged as it was then.

        The state is: whether it was in breach before the newest event time, after it, and that.
        """
        value, at = measurement.value, measurement.at
        if math.isnan(value):
            return state, unjudged(measurement, "it could not be measured")
        before, after, newest = (False, False, None) if state is None else state
        again = at is not None and newest is not None and at <= newest
        inside = before if again else after
        sign = 1.0 if self.exit < self.enter else -1.0
        beyond = sign * value > sign * (self.exit if inside else self.enter)
        if not again:
            state = [inside, beyond, newest if at is None else at]
        return state, self._verdict(measurement, beyond=beyond, stays=inside)

    def led(self, state: Any, *, alarm: bool) -> Any:
        """Let what comes next be judged by the line where a breach ends, or where one begins.

        An alarm that goes on keeps what was in breach in it; before it is on, nothing is.
        """
        if state is None or (alarm and not (state[0] or state[1])):
            return state
        return [state[0], alarm, state[2]]

    def _verdict(self, measurement: Measurement, *, beyond: bool, stays: bool) -> Verdict:
        line = self.exit if stays else self.enter
        value, shown = text.apart(measurement.value, line, measurement.unit)
        high = self.exit < self.enter
        if beyond and stays:
            words = f"still {'above' if high else 'below'} {shown}, where the breach ends"
        elif beyond:
            words = f"{'above' if high else 'below'} the limit of {shown}"
        else:
            words = f"{'at most' if high else 'at least'} {shown}"
        return Verdict(
            measurement.name,
            Severity.BREACH if beyond else Severity.OK,
            f"{text.measured(measurement, value)}: {words}",
            evidence=(measurement,),
            at=measurement.at,
        )


def hysteresis(*, enter: float, exit: float) -> Hysteresis:  # noqa: A002 -- the field's word
    """Make a policy that begins to breach beyond one line and ends at another.

    A value that hovers at a single limit crosses it again and again; here it must come back all
    the way to `exit`. Which side is bad follows from the two: above, if `exit` is below `enter`.
    A value equal to `enter` does not begin a breach, one equal to `exit` ends it.

    The memory belongs to the guard: two guards with one policy do not share it, and each
    measurement of a guard has its own. It advances once for each distinct `at`; measurements
    without one each count. NaN is UNKNOWN and changes nothing. Called by itself the policy
    judges as at first.

    Args:
        enter: Beyond this a breach begins, in the unit of the measurement.
        exit: Back at this it ends.

    Raises:
        ConfigurationError: A line is not finite, or both are the same.

    On a metric that hovers at its threshold it halves the number of alarms, and no more; take
    `sustained` around the guard for the rest: `enter` is the line until that alarms, `exit` as long
    as it does.

    Examples:
        >>> from mlguard import Measurement, guard
        >>> values = iter([0.9, 1.1, 0.95, 0.9, 1.0])
        >>> check = guard(lambda: Measurement("psi", next(values)), hysteresis(enter=1.0, exit=0.9))
        >>> [check().severity.name for _ in range(5)]
        ['OK', 'BREACH', 'BREACH', 'OK', 'OK']
    """
    enters, leaves = finite("enter", enter), finite("exit", exit)
    if enters == leaves:
        raise refusal("exit", exit, f"another line than enter = {enter}")
    return Hysteresis(enters, leaves)


class Remembering(Locked):
    """A measure judged by a policy with memory. Thread-safe; per process, and kept by `state()`.

    The measure is asked without a lock. Of two measurements that come in the wrong order, the older
    one is judged and not remembered.
    """

    __slots__ = ("_states", "measure", "name", "policy", "renames")

    def __init__(
        self, measure: Measure, policy: StatefulPolicy, name: str, *, renames: bool
    ) -> None:
        super().__init__()
        self.measure = measure
        self.policy = policy
        self.name = name
        self.renames = renames
        self._states: dict[str, Any] = {}

    def __call__(self) -> Verdict:
        try:
            verdicts = [self._judged(each) for each in taken_of(self.measure())]
        except Exception as error:  # noqa: BLE001 -- a measure or policy may crash in any way
            return crashed(self.name, error)
        if not verdicts:
            return Verdict(self.name, Severity.UNKNOWN, "nothing was measured")
        if len(verdicts) > 1:
            return combined(self.name, verdicts, need=len(verdicts))
        return replace(verdicts[0], name=self.name) if self.renames else verdicts[0]

    def _judged(self, measurement: Measurement) -> Verdict:
        with self._lock:
            before = self._states.get(measurement.name)
            after, verdict = self.policy.step(before, measurement)
            self._states = {**self._states, measurement.name: after}
        return verdict

    def led(self, *, alarm: bool) -> None:
        """Take note that an alarm that rests on this is on, or off."""
        with self._lock:
            self._states = {
                name: self.policy.led(each, alarm=alarm) for name, each in self._states.items()
            }

    def state(self) -> dict[str, Any]:
        """Give what is remembered, as plain JSON."""
        with self._lock:
            return {"kind": "guard", "schema": 1, "measurements": dict(self._states)}

    def from_state(self, state: Mapping[str, Any]) -> Self:
        """Make the same guard with what another remembered.

        Raises:
            ConfigurationError: This is no state of a guard.
        """
        known = state if isinstance(state, Mapping) else {}
        kept = known.get("measurements")
        if (known.get("kind"), known.get("schema")) != ("guard", 1) or not isinstance(
            kept, Mapping
        ):
            raise refusal("state", state, "what guard.state() gave")
        for name, each in kept.items():
            if each is not None and (not isinstance(each, list) or len(each) != 3):  # noqa: PLR2004
                raise refusal(f"state of {name}", each, "what guard.state() gave")
        other = copy(self)
        other._states = dict(kept)
        return other
