"""From a measure and a policy to a check, and checks around one check."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mlguard.arguments import instances, name_of, refusal, subject_of
from mlguard.checks import ask, checked, crashed, name_for, taken_of
from mlguard.clocks import unix_clock
from mlguard.policies.hysteresis import Remembering, StatefulPolicy
from mlguard.records import iso
from mlguard.values import Measurement, Severity, Verdict, Waiver, combined

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlguard.protocols import Check, Clock, Measure, Meter, Policy


@dataclass(frozen=True, slots=True)
class Guard:
    """A measure judged by a policy. Thread-safe if both are: it has no state of its own."""

    measure: Measure
    policy: Policy
    name: str
    renames: bool

    def __call__(self) -> Verdict:
        try:
            measurements = taken_of(self.measure())
            verdicts = instances((Verdict,), "policy(...)", map(self.policy, measurements))
        except Exception as error:  # noqa: BLE001 -- a measure or policy may crash in any way
            return crashed(self.name, error)
        if not verdicts:
            return Verdict(self.name, Severity.UNKNOWN, "nothing was measured")
        if len(verdicts) > 1:
            return combined(self.name, verdicts, need=len(verdicts))
        verdict: Verdict = verdicts[0]
        return replace(verdict, name=self.name) if self.renames else verdict


def guard(
    measure: Measure | Meter, policy: Policy, *, name: str | None = None
) -> Guard | Remembering:
    """Make a check: a measure judged by a policy.

    Args:
        measure: A measurement, a callable without arguments that gives one (or several, or some by
            name: then the worst verdict counts), or a meter, which is any object with `measure()`.
        policy: A callable that judges a measurement, such as `at_most(0.05)`. One with memory, such
            as `hysteresis`, has it in this guard.
        name: Of the verdict; what was measured gives it otherwise.

    Raises:
        ConfigurationError: `measure` or `policy` is not callable, or `name` is empty.

    A measure that crashes or gives NaN makes the verdict UNKNOWN. Nothing is swallowed: the reason
    names the error, and the logger "mlguard" gets the traceback.

    Examples:
        >>> from mlguard import at_least, measured
        >>> guard(measured("roc_auc", 0.74, n=5000), at_least(0.7))().reason
        'roc_auc = 0.74, n = 5,000: at least 0.7'
    """
    take = getattr(measure, "measure", measure)
    if not callable(take):
        raise refusal("measure", measure, "a measurement, a callable that gives one, or a meter")
    if not callable(policy):
        raise refusal("policy", policy, "a callable that takes a measurement")
    known = name_for(measure) if name is None else name_of("name", name)
    if isinstance(policy, StatefulPolicy):
        return Remembering(take, policy, known, renames=name is not None)
    return Guard(take, policy, known, renames=name is not None)


def measured(
    name: str, value: float | None, n: int | None = None, *, unit: str = ""
) -> Measurement:
    """Take a number that you already have as a measurement.

    Args:
        name: What was measured.
        value: The number; NaN or None where it could not be measured.
        n: How many observations it rests on.
        unit: "s" for seconds, "share" for a fraction of one, a currency code, or nothing.

    Raises:
        ConfigurationError: An argument is not of its kind or range.

    Examples:
        >>> print(measured("recall", 0.81, n=1200))
        recall = 0.81, n = 1,200
    """
    return Measurement(name, math.nan if value is None else value, n=n, unit=unit)


@dataclass(frozen=True, slots=True)
class Shielded:
    """A check that never raises. Thread-safe if the check is."""

    check: Check
    name: str

    def __call__(self) -> Verdict:
        return ask(self.check)


def shielded(check: Check) -> Shielded:
    """Make a check that never raises: a crash becomes UNKNOWN with the error in its reason.

    Every combinator and wrapper of mlguard shields the checks that it asks; this is for a check
    that you ask yourself. KeyboardInterrupt and SystemExit pass through.

    Examples:
        >>> def warehouse():
        ...     raise ConnectionError("no route")
        >>> shielded(warehouse)().reason
        'crashed: ConnectionError: no route'
    """
    return Shielded(checked(check), name_for(check))


@dataclass(frozen=True, slots=True)
class Labelled:
    """A check whose verdicts say what they are about. Thread-safe if the check is."""

    check: Check
    name: str
    subject: Mapping[str, str]

    def __call__(self) -> Verdict:
        verdict = ask(self.check)
        return replace(verdict, subject={**verdict.subject, **self.subject})


def labelled(check: Check, /, **subject: str | int) -> Labelled:
    """Make a check whose verdicts carry a subject: service, model, version, environment.

    An outer label replaces an inner one of the same name.

    Raises:
        ConfigurationError: A label is neither a string nor a whole number.

    Examples:
        >>> from mlguard import at_most, guard, measured
        >>> check = labelled(guard(measured("p99", 0.04), at_most(0.05)), model="eta", version=7)
        >>> dict(check().subject)
        {'model': 'eta', 'version': '7'}
    """
    return Labelled(checked(check), name_for(check), dict(subject_of(subject)))


@dataclass(frozen=True, slots=True)
class Waived:
    """A check whose breaches somebody accepts for a while. Thread-safe if the check is."""

    check: Check
    name: str
    waiver: Waiver
    clock: Clock

    def __call__(self) -> Verdict:
        verdict = ask(self.check)
        if verdict.severity < Severity.WARN or verdict.low is not verdict.high:
            return verdict
        if self.clock() >= self.waiver.until:
            ended = f"{verdict.reason} (waiver by {self.waiver.who} ended {iso(self.waiver.until)})"
            return replace(verdict, reason=ended)
        return replace(
            verdict,
            severity=Severity.OK,
            reason=f"waived by {self.waiver}",
            causes=(verdict, self.waiver),
            low=Severity.OK,
            high=Severity.OK,
        )


def waived(check: Check, waiver: Waiver, *, clock: Clock | None = None) -> Waived:
    """Make a check whose WARN and BREACH are accepted until the waiver ends.

    The verdict is then OK, with the original verdict and the waiver as its causes, so that the
    record keeps both. UNKNOWN is never waived, nor is a WARN that may still turn out a BREACH:
    nobody can accept what nobody has seen.

    Args:
        check: The check.
        waiver: Who accepts it, why, and until when (that moment itself excluded).
        clock: Of Unix seconds; `mlguard.clocks.unix_clock()` when not given.

    Raises:
        ConfigurationError: `check` is not callable or `waiver` is not a `Waiver`.

    Examples:
        >>> from mlguard import Waiver, at_most, guard, measured
        >>> late = guard(measured("p99", 0.06, unit="s"), at_most(0.05))
        >>> accepted = Waiver("ada", "cold cache until the move is done", until=2_000_000_000)
        >>> waived(late, accepted, clock=lambda: 1_900_000_000)().severity.name
        'OK'
    """
    if not isinstance(waiver, Waiver):
        raise refusal("waiver", waiver, "a Waiver(who, why, until)")
    return Waived(checked(check), name_for(check), waiver, clock or unix_clock())
