"""Estimates of a metric with their intervals, from sums of rows, ranks or a bootstrap."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from mlguard.arguments import NO_ITEMS
from mlguard.stats import intervals
from mlguard.stats.exact import UNIT
from mlguard.stats.intervals import Spread
from mlguard.stats.ranking import placements

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Codes = NDArray[np.intp]

    from mlguard.sketches.moments import Moments

LEAST_ROWS = 10
"""Fewer rows than this say nothing about their own spread, so they get no interval."""

LEAST_INFORMATIVE = 2.0
"""Nor does a mean whose spread is made by fewer rows than this: most costly rows are unseen."""

_NOISE = 1e-7
"""Rows that differ by less from each other, relative to their squares, differ by rounding alone:
the fourth powers of rows of 3,000 standard deviations have no digits left for their spread."""

Interval: TypeAlias = Callable[[float], tuple[float, float]]
"""Gives the ends for a confidence."""


@dataclass(frozen=True, slots=True)
class Uncertain:
    """A value, and how to find its interval at any confidence."""

    n: int
    value: float
    interval: Interval | None = None
    p_value: float | None = None
    details: Mapping[str, Any] = field(default_factory=lambda: NO_ITEMS)


def of_rows(rows: Moments) -> Uncertain:  # noqa: PLR0911 -- one for each kind of rows
    """Estimate a mean from the sums of its rows."""
    if rows.n == 0:
        return Uncertain(0, math.nan, details={"reason": "there are no rows"})
    value = rows.mean
    if math.isnan(value):
        return Uncertain(rows.n, value, details={"reason": "every weight is zero"})
    size = rows.effective_n
    if few := _few(size):
        return Uncertain(rows.n, value, details=few)
    if rows.signs and not rows.signs[0]:
        interval = partial(intervals.proportion_interval, rows.signs[1], rows.n)
        return Uncertain(rows.n, value, interval)
    if rows.zero_one:
        interval = partial(intervals.exact_proportion_interval, value * size, size)
        return Uncertain(rows.n, value, interval)
    spread = _spread(rows)
    if unseen := _unseen(spread):
        return Uncertain(rows.n, value, details=unseen)
    return Uncertain(rows.n, value, partial(intervals.mean_interval, value, spread))


def of_row_differences(champion: Moments, candidate: Moments, change: Moments) -> Uncertain:
    """Estimate the mean change from the sums of the paired differences."""
    if change.n == 0 or math.isnan(change.mean):
        return of_rows(change)
    value = change.mean
    details = {"champion": champion.mean, "candidate": candidate.mean}
    if few := _few(change.effective_n):
        return Uncertain(change.n, value, details=details | few)
    if change.signs and champion.ternary and candidate.ternary:
        centre, error = intervals.paired_proportion_spread(*change.signs, change.n)
        spread = Spread(error * error, 0.0, math.inf)
    else:
        centre = value
        spread = _spread(change) if change.sums[1][2] else _unmoved(champion)
        if unseen := _unseen(spread):
            return Uncertain(change.n, value, details=details | unseen)
    return Uncertain(
        change.n,
        value,
        partial(intervals.difference_interval, centre, spread),
        intervals.difference_p_value(centre, spread),
        details,
    )


def of_ranks(
    positive: NDArray[np.bool_], scores: NDArray[np.float64], cluster: Codes | None
) -> Uncertain:
    """Estimate an AUC by DeLong's placements."""
    if unranked := _one_class(positive):
        return unranked
    places = placements(scores, positive)
    value, size = float(places[positive].mean()), _size(positive, cluster)
    if few := _few(size):
        return Uncertain(size, value, details=few)
    spread, fewest = _rank_spread(places, positive, cluster), _rarer(positive, cluster)
    return Uncertain(size, value, partial(intervals.rank_interval, value, spread, fewest))


def of_rank_differences(
    positive: NDArray[np.bool_],
    champion: NDArray[np.float64],
    candidate: NDArray[np.float64],
    cluster: Codes | None,
) -> Uncertain:
    """Estimate the change of an AUC on the same rows by the differences of the placements."""
    if unranked := _one_class(positive):
        return unranked
    size, fewest = _size(positive, cluster), _rarer(positive, cluster)
    before, after = placements(champion, positive), placements(candidate, positive)
    first, second = float(before[positive].mean()), float(after[positive].mean())
    details: dict[str, Any] = {"champion": first, "candidate": second}
    value = second - first
    if few := _few(size):
        return Uncertain(size, value, details=details | few)
    if fewest == 1:
        details |= {"reason": "y has one row of its rarer class, which has no spread"}
        return Uncertain(size, value, details=details)
    spread = _rank_spread(after - before, positive, cluster)
    spread = intervals.rank_difference_spread(spread, fewest)
    return Uncertain(
        size,
        value,
        partial(intervals.difference_interval, value, spread),
        intervals.difference_p_value(value, spread),
        details,
    )


def by_bootstrap(
    measure: Callable[[NDArray[np.intp]], tuple[float, ...]],
    blocks: Sequence[NDArray[np.intp]],
    rng: np.random.Generator,
    resamples: int,
) -> Uncertain:
    """Estimate a metric of all rows, or its change, from resampled rows.

    Args:
        measure: Takes row numbers and gives the metric of each model on them.
        blocks: The numbers of the rows that are drawn together, such as one cluster's.
        rng: The source of randomness.
        resamples: How many.
    """
    n = len(blocks)
    values = measure(np.concatenate([np.empty(0, dtype=np.intp), *blocks]))
    value = values[-1] - values[0] if len(values) > 1 else values[0]
    details: dict[str, Any] = {}
    if len(values) > 1:
        details = {"champion": values[0], "candidate": values[-1]}
    if few := _few(n):
        return Uncertain(n, value, details=details | few)
    draws = np.array(
        [
            measure(np.concatenate([blocks[block] for block in rng.integers(0, n, n)]))
            for _ in range(resamples)
        ]
    )
    change = draws[:, -1] - draws[:, 0] if len(values) > 1 else draws[:, 0]
    if not np.isfinite(change).all() or not math.isfinite(value):
        details["reason"] = "the metric is not a number on some of the resampled rows"
        return Uncertain(n, value, details=details)
    variance = float(change.var(ddof=1))
    if variance <= 0.0:
        details["reason"] = "the metric is the same on every resample, which shows no spread"
        return Uncertain(n, value, details=details)
    away = change - change.mean()
    skewness = float((away**3).mean() / variance**1.5)
    spread = Spread(variance, skewness, n - 1.0)
    if len(values) > 1:
        p_value = intervals.difference_p_value(value, spread)
        interval: Interval = partial(intervals.difference_interval, value, spread)
        return Uncertain(n, value, interval, p_value, details)
    return Uncertain(n, value, partial(intervals.mean_interval, value, spread), None, details)


def _few(n: float) -> dict[str, Any]:
    return {"reason": f"an interval needs at least {LEAST_ROWS} rows"} if n < LEAST_ROWS else {}


def _unseen(spread: Spread) -> dict[str, Any]:
    if spread.variance <= 0.0:
        return {"reason": "all rows say the same, which says nothing about their spread"}
    if spread.informative >= LEAST_INFORMATIVE:
        return {}
    return {"reason": "a single row makes up most of the spread: an interval needs more like it"}


def _unmoved(champion: Moments) -> Spread:
    """Where no loss has changed, half a row on each side may: by as much as the largest loss."""
    error = float(champion.sums[3][4] * UNIT) ** 0.25 / (champion.effective_n + 2.0)
    return Spread(error * error, 0.0, math.inf)


def _spread(rows: Moments) -> Spread:
    total = float(rows.total_weight)
    if rows.central(2) <= _NOISE * float(rows.sums[1][2] * UNIT):
        return Spread(0.0, 0.0, 0.0)
    powers = (rows.central(order) / total**order for order in (2, 3, 4))
    return intervals.spread_of_mean(rows.effective_n, *powers)


def _rank_spread(
    places: NDArray[np.float64], positive: NDArray[np.bool_], cluster: Codes | None
) -> Spread:
    hits, misses = places[positive], places[~positive]
    if cluster is None:
        spread = intervals.joined(_sample_spread(hits), _sample_spread(misses))
        return spread if _rarer(positive, cluster) > 1 else replace(spread, informative=0.0)
    away = places - hits.mean()
    pull = np.bincount(cluster, np.where(positive, away / len(hits), away / len(misses)))
    second, third, fourth = (float((pull**order).sum()) for order in (2, 3, 4))
    return intervals.spread_of_mean(len(pull), second, third, fourth)


def _size(positive: NDArray[np.bool_], cluster: Codes | None) -> int:
    return len(positive) if cluster is None else int(cluster.max()) + 1


def _sample_spread(values: NDArray[np.float64]) -> Spread:
    n = len(values)
    if n == 1:
        return Spread(0.0, 0.0, 0.0)
    away = values - values.mean()
    square = away * away
    second, third = float(square.sum()), float((square * away).sum())
    fourth = float((square * square).sum())
    return intervals.spread_of_mean(n, second / n**2, third / n**3, fourth / n**4)


def _rarer(positive: NDArray[np.bool_], cluster: Codes | None) -> int:
    if cluster is not None:
        return min(len(np.unique(cluster[positive])), len(np.unique(cluster[~positive])))
    count = int(positive.sum())
    return min(count, len(positive) - count)


def _one_class(positive: NDArray[np.bool_]) -> Uncertain | None:
    if len(positive) and positive.any() and not positive.all():
        return None
    what = "there are no rows" if not len(positive) else f"y holds only {int(positive[0])}"
    return Uncertain(
        len(positive), math.nan, details={"reason": f"{what}: a ROC needs both classes"}
    )
