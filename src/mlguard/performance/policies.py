"""Policies over a change, as from champion to candidate. They judge its interval, not its value."""

from __future__ import annotations

import math
from dataclasses import dataclass

from mlguard.arguments import finite, refusal
from mlguard.render import text
from mlguard.values import Measurement, Severity, Verdict, unjudged

_PAIRS = (("reference", "current"), ("estimated", "realised"), ("champion", "candidate"))
"""What a change is from and to: names in the details of its measurement."""

_FORESEEABLE = 100
"""Up to so many times its own rows a measurement says how many would settle the doubt."""


@dataclass(frozen=True, slots=True)
class Bound:
    """Judges whether the candidate's gain lies beyond a bound, by its whole interval."""

    bound: float
    inclusive: bool
    proven: str
    refuted: str

    def __call__(self, measurement: Measurement) -> Verdict:
        way = measurement.details.get("better")
        if math.isnan(measurement.value):
            return unjudged(measurement, "it could not be measured")
        pair = _pair(measurement)
        if way not in {"lower", "higher"} or pair is None:
            return unjudged(measurement, "it is no change: use compare() or change_from()")
        if measurement.low is None or measurement.high is None:
            return unjudged(measurement, "it has no interval to judge")
        sign = 1.0 if way == "higher" else -1.0
        gain = sign * measurement.value
        least, most = sorted((sign * measurement.low, sign * measurement.high))
        if least > self.bound or (self.inclusive and least == self.bound):
            severity, words = Severity.OK, self.proven
        elif most < self.bound or (not self.inclusive and most == self.bound):
            severity, words = Severity.BREACH, self.refuted
        else:
            arm = gain - least if gain > self.bound else most - gain
            severity, words = Severity.UNKNOWN, self._doubt(measurement, gain, arm)
        return Verdict(
            measurement.name,
            severity,
            f"{measurement}{_both(measurement, pair)}: {words}",
            evidence=(measurement,),
            at=measurement.at,
        )

    def _doubt(self, measurement: Measurement, gain: float, arm: float) -> str:
        words = f"in doubt: {self.proven} is neither proven nor refuted"
        distance = abs(gain - self.bound)
        if measurement.n and distance > 0.0:
            needed = measurement.n * (arm / distance) ** 2
            if measurement.n < needed <= _FORESEEABLE * measurement.n:
                words += f" (n = {float(f'{needed:.2g}'):,.0f} or so would settle it)"
        return words


def not_worse(*, margin: float) -> Bound:
    """Make a policy: is the candidate at most `margin` worse than the champion?

    Likewise the current period than the reference (`change_from`), and what was realised than
    what was estimated (`realised_minus_estimated`).

    OK when the whole interval of the change says so, BREACH when the whole interval says that it
    is worse by more, UNKNOWN in between, with the rows that would settle it. So a candidate that
    is exactly `margin` worse passes in at most 2.5 % of runs, and one that is no worse at all is
    stopped as worse in at most 2.5 %, with intervals at 95 %.

    Args:
        margin: The largest loss of quality that is acceptable, in the metric's own unit; at
            least 0. With 0, equal models stay UNKNOWN: equality cannot be proven.

    Raises:
        ConfigurationError: `margin` is negative or not finite.

    Examples:
        >>> from mlguard.performance import compare
        >>> y, champion, candidate = [0, 1] * 500, [0.2, 0.7] * 500, [0.21, 0.7] * 500
        >>> change = compare(y, champion, candidate, loss="brier").overall
        >>> not_worse(margin=0.01)(change).severity.name
        'OK'
    """
    margin = _margin(margin)
    shown = f"{margin:g}"
    return Bound(
        -margin,
        inclusive=True,
        proven=f"not worse by more than {shown}",
        refuted=f"worse by more than {shown}",
    )


def better(*, margin: float = 0.0) -> Bound:
    """Make a policy: is the candidate more than `margin` better than the champion?

    OK when the whole interval of the change says so, BREACH when the whole interval says that it
    is not, UNKNOWN in between. An equal candidate passes in at most 2.5 % of runs, with intervals
    at 95 %.

    Args:
        margin: The smallest gain that counts, in the metric's own unit; at least 0.

    Raises:
        ConfigurationError: `margin` is negative or not finite.

    Examples:
        >>> from mlguard.performance import compare
        >>> y, champion, candidate = [0, 1] * 500, [0.4, 0.7] * 500, [0.2, 0.7] * 500
        >>> change = compare(y, champion, candidate, loss="brier").overall
        >>> better()(change).severity.name
        'OK'
    """
    margin = _margin(margin)
    shown = f"{margin:g}"
    return Bound(
        margin,
        inclusive=False,
        proven=f"better by more than {shown}",
        refuted=f"not better by more than {shown}",
    )


def _margin(margin: float) -> float:
    number = finite("margin", margin)
    if number < 0.0:
        raise refusal("margin", margin, "at least 0, in the metric's own unit")
    return number


def _pair(measurement: Measurement) -> tuple[str, str] | None:
    return next((pair for pair in _PAIRS if measurement.details.keys() >= {*pair}), None)


def _both(measurement: Measurement, pair: tuple[str, str]) -> str:
    values = [float(measurement.details[name]) for name in pair]
    before, after = text.apart(values[0], values[1])
    return f" ({pair[0]} {before}, {pair[1]} {after})"
