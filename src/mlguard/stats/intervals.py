"""Confidence intervals that hold their coverage on the skewed, rare and tied data of real losses.

Where the usual intervals fail, by simulation at 95 %: Wald's for an AUC of 0.99 with 20 events
covers 41 %, Student's for a log loss with two events 79 %, Wilson's for a proportion 84 %. The
coverage of those here is held by tests/laws/test_coverage.py.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy import special

_FEW = 4
"""Below so many events on either side the exact interval is used: see `proportion_interval`."""

_BLEND = 0.3
"""Between Clopper and Pearson's interval (0) and Jeffreys' (1/2): see `proportion_interval`."""

_FEW_INFORMATIVE = 10.0
"""Below so many degrees of freedom an AUC does not know its own spread: see `rank_interval`."""


@dataclass(frozen=True, slots=True)
class Spread:
    """How an estimate scatters: what an interval needs to know.

    Attributes:
        variance: Of the estimate.
        skewness: Third standardised cumulant of the estimate.
        informative: How many rows make up the variance: (sum of squared deviations)**2 over the
            sum of their fourth powers. Rare events count as themselves, not as all rows.
    """

    variance: float
    skewness: float
    informative: float


def spread_of_mean(n: float, second: float, third: float, fourth: float) -> Spread:
    """Give the spread of a weighted mean.

    Args:
        n: Effective number of rows, above 1.
        second: Sum of (weight * deviation)**2 over the rows, for weights that sum to 1.
        third: The same with the cube.
        fourth: The same with the fourth power.
    """
    if second <= 0.0:
        return Spread(0.0, 0.0, n - 1.0)
    informative = min(max(second * second / fourth, 1.0), n - 1.0) if fourth > 0.0 else 1.0
    return Spread(second * n / (n - 1.0), third / second**1.5, informative)


def joined(first: Spread, second: Spread) -> Spread:
    """Give the spread of the sum of two independent estimates (after Welch and Satterthwaite)."""
    parts = [part for part in (first, second) if part.variance > 0.0]
    variance = sum(part.variance for part in parts)
    if not parts:
        return Spread(0.0, 0.0, min(first.informative, second.informative))
    third = sum(part.skewness * part.variance**1.5 for part in parts)
    waste = sum(part.variance**2 / part.informative for part in parts)
    return Spread(variance, third / variance**1.5, variance**2 / waste)


def difference_interval(estimate: float, spread: Spread, confidence: float) -> tuple[float, float]:
    """Student's interval on the informative rows: for a paired difference of means.

    The skewness of a difference is mostly noise, so it is left alone.
    """
    half = _student(spread.informative, confidence) * math.sqrt(spread.variance)
    return estimate - half, estimate + half


def difference_p_value(estimate: float, spread: Spread) -> float:
    """Two-sided p-value of a zero difference: below alpha where the interval leaves out zero."""
    if spread.variance <= 0.0:
        return 1.0 if estimate == 0.0 else 0.0
    ratio = abs(estimate) / math.sqrt(spread.variance)
    if math.isinf(spread.informative):
        return float(2.0 * special.ndtr(-ratio))
    return float(2.0 * special.stdtr(max(spread.informative, 1.0), -ratio))


def mean_interval(estimate: float, spread: Spread, confidence: float) -> tuple[float, float]:
    """Hall's interval on the informative rows: for the mean of skewed rows, such as losses.

    Student's interval with the skewness of the estimate transformed away (P. Hall, "On the removal
    of skewness by transformation", JRSS B 54, 1992).
    """
    return _unskewed(estimate, spread, _student(spread.informative, confidence))


def _unskewed(estimate: float, spread: Spread, quantile: float) -> tuple[float, float]:
    slope, shift = spread.skewness / 3.0, spread.skewness / 6.0
    error = math.sqrt(spread.variance)

    def restored(z: float) -> float:
        if abs(slope) < 1e-9:  # noqa: PLR2004 -- no skewness to speak of
            return z
        return (math.cbrt(1.0 + 3.0 * slope * (z - shift)) - 1.0) / slope

    return estimate - error * restored(quantile), estimate - error * restored(-quantile)


def rank_interval(
    estimate: float, spread: Spread, fewest: int, confidence: float
) -> tuple[float, float]:
    """Hall's interval for an AUC, no narrower than a proportion of `fewest` where little informs.

    Placements lie between 0 and 1, so each informs twice as much of their spread as a loss does.

    Args:
        estimate: The AUC.
        spread: Of the AUC, by DeLong's placements.
        fewest: Rows of the rarer class.
        confidence: Coverage asked for.
    """
    quantile = _student(2.0 * spread.informative, confidence)
    low, high = _unskewed(estimate, spread, quantile)
    if spread.variance <= 0.0 or 2.0 * spread.informative < _FEW_INFORMATIVE:
        least, most = exact_proportion_interval(estimate * fewest, fewest, confidence)
        low, high = min(low, least), max(high, most)
    return max(low, 0.0), min(high, 1.0)


def rank_difference_spread(spread: Spread, fewest: int) -> Spread:
    """Add half a discordant pair of rows on each side to a paired difference of AUCs.

    Only where little informs, as in `rank_interval`: two models that both rank a few rows without
    fault are not proven equal. See `paired_proportion_spread`.
    """
    if spread.variance > 0.0 and 2.0 * spread.informative >= _FEW_INFORMATIVE:
        return spread
    return Spread(spread.variance + 1.0 / (fewest + 2.0) ** 2, 0.0, spread.informative)


def proportion_interval(count: int, n: int, confidence: float) -> tuple[float, float]:
    """Interval of a proportion: exact where events are few, nearer to Jeffreys' where they are not.

    Coverage at 95 %, by enumeration: at least 93.2 % for every n and proportion; where 10 events
    are expected on both sides at most 97.6 %, and 97.1 % from n = 100 on. Much less is not to be
    had: at n = 21 and a half, an interval that treats both sides alike covers 92.2 % or 97.3 %.
    (Wilson's falls to 84 %, Jeffreys' to 87 %, Clopper and Pearson's rises to 98.3 %.)
    """
    if min(count, n - count) < _FEW:
        return exact_proportion_interval(count, n, confidence)
    tail = (1.0 - confidence) / 2.0
    low = special.betaincinv(count + _BLEND, n - count + 1.0 - _BLEND, tail)
    high = special.betaincinv(count + 1.0 - _BLEND, n - count + _BLEND, 1.0 - tail)
    return float(low), float(high)


def exact_proportion_interval(count: float, n: float, confidence: float) -> tuple[float, float]:
    """Interval of Clopper and Pearson (Biometrika 26, 1934), also between whole counts."""
    tail = (1.0 - confidence) / 2.0
    low = float(special.betaincinv(count, n - count + 1.0, tail)) if count > 0 else 0.0
    high = float(special.betaincinv(count + 1.0, n - count, 1.0 - tail)) if count < n else 1.0
    return low, high


def paired_proportion_spread(down: int, up: int, n: int) -> tuple[float, float]:
    """Give centre and standard error for a difference of paired proportions.

    Half a pair is added to each of the four cells (Agresti and Min, Statistics in Medicine 24,
    2005), so that a few discordant pairs, or none, are not taken for certainty.
    """
    b, c, total = down + 0.5, up + 0.5, n + 2.0
    return (c - b) / total, math.sqrt(b + c - (c - b) ** 2 / total) / total


def normal_quantile(confidence: float) -> float:
    """Give the two-sided quantile of the normal distribution."""
    return float(special.ndtri((1.0 + confidence) / 2.0))


def _student(degrees: float, confidence: float) -> float:
    if math.isinf(degrees):
        return normal_quantile(confidence)
    return float(special.stdtrit(max(degrees, 1.0), (1.0 + confidence) / 2.0))
