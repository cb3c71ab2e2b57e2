"""Limits from what was recorded while nothing was wrong, each with its rate of false alarms."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import special

from mlguard.arguments import refusal
from mlguard.budgets.money import NANOS, Money, money_of
from mlguard.budgets.unit_cost import UnitCost
from mlguard.drift.reference import Reference
from mlguard.sketches.buckets import rank_of
from mlguard.stats.quantiles import rank_interval, smallest_n

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

WARNS = 0.01
"""Chance that a quiet evaluation warns, of all quantiles together."""
CONFIDENCE = 0.95
TOPS = (0.99, 0.95, 0.9)
"""Quantiles that are limited beside the median: the highest that the recorded ones can show."""
TOLERANCES = (0.1, 0.15, 0.2, 0.3, 0.5)
PARTS = 5
LEAST_ROWS = 2_000
"""Rows below which nothing is learnt of how quiet data move: half of them are the reference."""


@dataclass(frozen=True, slots=True)
class Latencies:
    """What recorded latencies say. Immutable.

    Attributes:
        n: How many.
        limits: By quantile, in seconds.
        seen: The quantiles as they were.
        fewest: Requests with which the limits warn as often as they may; with more, less.
    """

    n: int
    limits: Mapping[float, float]
    seen: Mapping[float, float]
    fewest: int


def latencies_of(recorded: ArrayLike) -> Latencies:
    """Give limits that latencies as those recorded exceed in 1 % of evaluations at most.

    With `fewest` requests the estimate of a quantile lies above the limit exactly if too many
    requests do, and their number is binomial. So the limit is a higher quantile of what was
    recorded, whose interval's upper end is taken: it lies too low in one draft in forty.

    Raises:
        ConfigurationError: They are no positive numbers, or too few.
    """
    values = np.sort(_numbers(recorded))
    for top in TOPS:
        fewest = smallest_n(top, CONFIDENCE)
        limits = {q: _limit(values, q, fewest) for q in (0.5, top)}
        found = {q: limit for q, limit in limits.items() if limit is not None}
        if len(found) == len(limits):
            seen = {q: float(values[rank_of(q, len(values)) - 1]) for q in found}
            return Latencies(len(values), found, seen, fewest)
    raise refusal("latencies", f"{len(values)} values", "more: 190 or so show p90, 2,015 p99")


def _numbers(recorded: ArrayLike) -> NDArray[np.float64]:
    try:
        values = np.asarray(recorded, dtype=np.float64)
    except (TypeError, ValueError):
        values = np.array([math.nan])
    if values.ndim != 1 or not np.all(np.isfinite(values) & (values > 0.0)):
        raise refusal("latencies", recorded, "a list of seconds, each positive and finite")
    return values


def _limit(values: NDArray[np.float64], q: float, fewest: int) -> float | None:
    over = fewest - rank_of(q, fewest) + 1
    share = float(special.betaincinv(over, fewest - over + 1, WARNS / 2))
    rank = rank_interval(len(values), 1.0 - share, CONFIDENCE)[1]
    return None if rank is None else float(values[rank - 1])


@dataclass(frozen=True, slots=True)
class Moves:
    """How far quiet data move. Immutable.

    Attributes:
        tolerance: The least at which no later part drifted, or the largest tried.
        parts: How many later parts were looked at; 0 where there were too few rows.
        rows: Of a part.
        loud: Columns that drifted at the tolerance all the same, with the largest effect.
    """

    tolerance: float = TOLERANCES[0]
    parts: int = 0
    rows: int = 0
    loud: Mapping[str, float] | None = None


def moves_of(frame: Any, reference: Reference) -> Moves:
    """Compare five later parts of a frame, in the order of time, with its first half."""
    rows = reference.rows
    if rows < LEAST_ROWS:
        return Moves()
    half, size = rows // 2, rows // 2 // PARTS
    before = Reference.fit(_cut(frame, 0, half), columns=reference.columns)
    cuts = [(half + place * size, half + (place + 1) * size) for place in range(PARTS)]
    profiles = [before.profile(_cut(frame, *cut)) for cut in cuts]
    loud: dict[str, float] = {}
    for tolerance in TOLERANCES:
        loud = {}
        for report in before.compare_many(profiles, tolerance=tolerance):
            for name in report.drifted:
                loud[name] = max(loud.get(name, 0.0), report.columns[name].effect)
        if not loud:
            break
    return Moves(tolerance, PARTS, size, loud)


def _cut(frame: Any, start: int, end: int) -> Any:
    if isinstance(frame, Mapping):
        return {name: values[start:end] for name, values in frame.items()}
    import narwhals.stable.v2 as nw  # noqa: PLC0415 -- late, as everywhere

    return nw.from_native(frame, eager_only=True)[start:end].to_native()


@dataclass(frozen=True, slots=True)
class Spent:
    """What inferences cost. Immutable.

    Attributes:
        n: How many costs were recorded; 1 is a price.
        million: The upper end of the 95 % interval of a million, or the price times a million.
        each: The largest cost of one.
    """

    n: int
    million: Money
    each: Money


def spent_on(prices: Money | str | Sequence[Money | str]) -> Spent:
    """Give what a million inferences cost at most, by a price or by what recorded ones cost.

    Raises:
        ConfigurationError: They are no positive amounts of one currency, or too few.
    """
    if isinstance(prices, str | Money):
        price = _positive(money_of("prices", prices))
        return Spent(1, price * 1_000_000, price)
    amounts = [_positive(money_of("prices", each)) for each in prices]
    meter = UnitCost(Money.of_nanos(NANOS, amounts[0].currency if amounts else "USD"))
    for amount in amounts:
        meter.observe(amount)
    high = meter.measure().high
    if high is None or len(amounts) < meter.min_count:
        allowed = f"one price, or at least {meter.min_count:,} costs"
        raise refusal("prices", f"{len(amounts)} costs", allowed)
    million = Money.of_nanos(math.ceil(high * NANOS), amounts[0].currency)
    return Spent(len(amounts), million, max(amounts, key=lambda each: each.nanos))


def _positive(amount: Money) -> Money:
    if amount.nanos <= 0:
        raise refusal("prices", amount, "positive")
    return amount
