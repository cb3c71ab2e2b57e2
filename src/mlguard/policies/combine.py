"""Checks made of checks. Each acts on both ends of the verdicts that it combines.

Laws, held by tests/laws: `worst`, `best` and `quorum` do not depend on the order of the checks;
`strict` and `lenient` commute with all three; a verdict that gets worse never makes the
combination better.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from mlguard.arguments import name_of, refusal, whole
from mlguard.checks import ask, checked, name_for
from mlguard.values import Verdict, combined

if TYPE_CHECKING:
    from mlguard.protocols import Check


@dataclass(frozen=True, slots=True)
class Combined:
    """OK only if `need` of the checks are. Thread-safe if the checks are."""

    name: str
    checks: tuple[Check, ...]
    need: int

    def __call__(self) -> Verdict:
        return combined(self.name, [ask(check) for check in self.checks], need=self.need)


def _combine(name: str, checks: tuple[Check, ...], need: int | None) -> Combined:
    name_of("name", name)
    if not checks:
        raise refusal("checks", checks, "at least one check: an empty gate would pass everything")
    for check in checks:
        checked(check)
    need = len(checks) if need is None else need
    if not 1 <= need <= len(checks):
        raise refusal("k", need, f"between 1 and the number of checks, {len(checks)}")
    return Combined(name, checks, need)


def worst(name: str, *checks: Check) -> Combined:
    """Make a check that is OK only if every check is; the worst verdict decides.

    All checks are asked each time, so that the verdict shows all that is wrong at once.

    Raises:
        ConfigurationError: No checks, or one that is not callable.

    Examples:
        >>> from mlguard import at_least, at_most, guard, measured
        >>> release = worst(
        ...     "release",
        ...     guard(measured("roc_auc", 0.74, n=5000), at_least(0.7)),
        ...     guard(measured("p99", 0.061, unit="s", n=4210), at_most(0.05)),
        ... )
        >>> print(release().explain())
        BREACH  release: 1 BREACH (p99), 1 OK
          OK      roc_auc = 0.74, n = 5,000: at least 0.7
          BREACH  p99 = 61 ms, n = 4,210: above the limit of 50 ms
    """
    return _combine(name, checks, None)


def best(name: str, *checks: Check) -> Combined:
    """Make a check that is OK if any of the checks is; the best verdict decides.

    Raises:
        ConfigurationError: No checks, or one that is not callable.

    Examples:
        >>> from mlguard.testing import ScriptedCheck
        >>> best("either region", ScriptedCheck("BREACH"), ScriptedCheck("OK"))().severity.name
        'OK'
    """
    return _combine(name, checks, 1)


def quorum(k: int, name: str, *checks: Check) -> Combined:
    """Make a check that is OK if at least `k` of the checks are; the k-th best verdict decides.

    Raises:
        ConfigurationError: No checks, one that is not callable, or `k` out of range.

    Examples:
        >>> from mlguard.testing import ScriptedCheck
        >>> two = quorum(2, "detectors", *map(ScriptedCheck, ("OK", "BREACH", "UNKNOWN")))()
        >>> two.severity.name, two.low.name, two.high.name
        ('UNKNOWN', 'OK', 'BREACH')
    """
    return _combine(name, checks, whole("k", k))


@dataclass(frozen=True, slots=True)
class Settled:
    """A check without doubt: its verdict is one end of the interval. Thread-safe if it is."""

    check: Check
    name: str
    end: Literal["high", "low"]

    def __call__(self) -> Verdict:
        verdict = ask(self.check)
        if verdict.low is verdict.high:
            return verdict
        severity = verdict.high if self.end == "high" else verdict.low
        return replace(
            verdict,
            severity=severity,
            reason=f"in doubt, so {severity.name} at the {self.end} end: {verdict.reason}",
            causes=(verdict,),
            low=severity,
            high=severity,
        )


def strict(check: Check) -> Settled:
    """Make a check that takes doubt for the worst: UNKNOWN becomes BREACH.

    A crash beside a warning can still be a breach; `strict` finds it.

    Examples:
        >>> from mlguard.testing import ScriptedCheck
        >>> strict(ScriptedCheck("UNKNOWN"))().severity.name
        'BREACH'
    """
    return Settled(checked(check), name_for(check), "high")


def lenient(check: Check) -> Settled:
    """Make a check that takes doubt for the best: UNKNOWN becomes OK.

    Examples:
        >>> from mlguard.testing import ScriptedCheck
        >>> lenient(ScriptedCheck("UNKNOWN"))().severity.name
        'OK'
    """
    return Settled(checked(check), name_for(check), "low")
