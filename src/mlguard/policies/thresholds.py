"""Policies that hold a measurement against a limit. All are frozen and may be shared."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from mlguard.arguments import finite, refusal, whole
from mlguard.policies.hysteresis import StatefulPolicy
from mlguard.render import text
from mlguard.values import Measurement, Severity, Verdict, unjudged

if TYPE_CHECKING:
    from mlguard.protocols import Policy


@dataclass(frozen=True, slots=True)
class Limits:
    """The range a value has to lie in, its ends included, and a warning line inside it.

    With `proven`, the whole interval of the measurement is judged instead of its value.
    """

    low: float = -math.inf
    high: float = math.inf
    warn_low: float = -math.inf
    warn_high: float = math.inf
    proven: bool = False

    def __call__(self, measurement: Measurement) -> Verdict:  # noqa: PLR0911 -- one a finding
        least = most = measurement.value
        if math.isnan(least):
            return unjudged(measurement, "it could not be measured")
        if self.proven:
            if measurement.low is None or measurement.high is None:
                return unjudged(measurement, "it has no interval to judge")
            least, most = measurement.low, measurement.high
        for severity, low, high, line in (
            (Severity.BREACH, self.low, self.high, "limit"),
            (Severity.WARN, self.warn_low, self.warn_high, "warning line"),
        ):
            if least > high:
                return self._verdict(measurement, severity, f"above the {line} of", high)
            if most < low:
                return self._verdict(measurement, severity, f"below the {line} of", low)
            if most > high or least < low:
                return self._doubt(measurement, severity, line, high if most > high else low)
        if math.isinf(self.low):
            return self._verdict(measurement, Severity.OK, "at most", self.high)
        if math.isinf(self.high):
            return self._verdict(measurement, Severity.OK, "at least", self.low)
        upper = text.quantity(self.high, measurement.unit)
        return self._verdict(measurement, Severity.OK, f"at most {upper} and at least", self.low)

    @staticmethod
    def _verdict(measurement: Measurement, severity: Severity, words: str, limit: float) -> Verdict:
        value, line = text.apart(measurement.value, limit, measurement.unit)
        return Verdict(
            measurement.name,
            severity,
            f"{text.measured(measurement, value)}: {words} {line}",
            evidence=(measurement,),
            at=measurement.at,
        )

    @staticmethod
    def _doubt(measurement: Measurement, worst: Severity, line: str, limit: float) -> Verdict:
        where = text.quantity(limit, measurement.unit)
        return Verdict(
            measurement.name,
            Severity.UNKNOWN,
            f"{measurement}: its interval contains the {line} of {where}",
            evidence=(measurement,),
            at=measurement.at,
            low=Severity.OK,
            high=worst,
        )


@dataclass(frozen=True, slots=True)
class Enough:
    """A policy that judges only what rests on enough observations."""

    n: int
    policy: Policy

    def __call__(self, measurement: Measurement) -> Verdict:
        few = self._too_few(measurement)
        return self.policy(measurement) if few is None else few

    def _too_few(self, measurement: Measurement) -> Verdict | None:
        if measurement.n is None:
            return unjudged(measurement, f"its n is not known and {self.n:,} are required")
        if measurement.n < self.n:
            return unjudged(measurement, f"{self.n:,} observations are required")
        return None


@dataclass(frozen=True, slots=True)
class EnoughSteps(Enough):
    """The same around a policy with memory, which too few observations do not reach."""

    policy: StatefulPolicy

    def step(self, state: Any, measurement: Measurement) -> tuple[Any, Verdict]:
        """Judge a measurement after others."""
        few = self._too_few(measurement)
        if few is not None:
            return state, few
        return self.policy.step(state, measurement)

    def led(self, state: Any, *, alarm: bool) -> Any:
        """Give the state that follows where an alarm is on, or off."""
        return self.policy.led(state, alarm=alarm)


def at_most(
    limit: float, *, warn: float | None = None, rule: Literal["estimate", "proven"] = "estimate"
) -> Limits:
    """Make a policy: a value above `limit` breaches; the limit itself is fine.

    Args:
        limit: Largest value that is OK, in the unit of the measurement.
        warn: A value above this line, which lies below the limit, is a warning.
        rule: "estimate" judges the value; "proven" its whole interval, and is UNKNOWN where the
            interval contains the line or is not there.

    Raises:
        ConfigurationError: A line is not finite, `warn` is not below `limit`, or `rule` unknown.

    Examples:
        >>> at_most(0.05, warn=0.04)(Measurement("p99", 0.047, unit="s", n=812)).reason
        'p99 = 47 ms, n = 812: above the warning line of 40 ms'
    """
    limit = finite("limit", limit)
    proven = _proven(rule)
    if warn is None:
        return Limits(high=limit, proven=proven)
    if not finite("warn", warn) < limit:
        raise refusal("warn", warn, f"below limit = {limit}")
    return Limits(high=limit, warn_high=float(warn), proven=proven)


def at_least(
    limit: float, *, warn: float | None = None, rule: Literal["estimate", "proven"] = "estimate"
) -> Limits:
    """Make a policy: a value below `limit` breaches; the limit itself is fine.

    Args:
        limit: Smallest value that is OK, in the unit of the measurement.
        warn: A value below this line, which lies above the limit, is a warning.
        rule: "estimate" judges the value; "proven" its whole interval, and is UNKNOWN where the
            interval contains the line or is not there.

    Raises:
        ConfigurationError: A line is not finite, `warn` is not above `limit`, or `rule` unknown.

    Examples:
        >>> at_least(0.7)(Measurement("roc_auc", 0.68, n=5000)).reason
        'roc_auc = 0.68, n = 5,000: below the limit of 0.7'
    """
    limit = finite("limit", limit)
    proven = _proven(rule)
    if warn is None:
        return Limits(low=limit, proven=proven)
    if not finite("warn", warn) > limit:
        raise refusal("warn", warn, f"above limit = {limit}")
    return Limits(low=limit, warn_low=float(warn), proven=proven)


def _proven(rule: str) -> bool:
    if rule not in {"estimate", "proven"}:
        raise refusal("rule", rule, '"estimate" or "proven"')
    return rule == "proven"


def between(low: float, high: float) -> Limits:
    """Make a policy: a value outside `low` to `high` breaches; both ends are fine.

    Raises:
        ConfigurationError: An end is not finite, or `low` is above `high`.

    Examples:
        >>> between(0.1, 0.3)(Measurement("positive_rate", 0.2)).severity.name
        'OK'
    """
    if finite("low", low) > finite("high", high):
        raise refusal("low", low, f"at most high = {high}")
    return Limits(low=float(low), high=float(high))


def require(n: int, policy: Policy) -> Enough:
    """Make a policy that is UNKNOWN until a measurement rests on `n` observations.

    Raises:
        ConfigurationError: `n` is not a whole number of at least 1, or `policy` no callable.

    Examples:
        >>> require(500, at_most(0.1))(Measurement("error_rate", 0.0, n=12)).severity.name
        'UNKNOWN'
    """
    if not callable(policy):
        raise refusal("policy", policy, "a callable that takes a measurement")
    n = whole("n", n, least=1)
    return EnoughSteps(n, policy) if isinstance(policy, StatefulPolicy) else Enough(n, policy)
