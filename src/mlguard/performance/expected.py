"""What calibrated rates say of a metric before the labels come: its expectation and interval."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self, TypeAlias

import numpy as np

from mlguard.performance.metrics import METRICS
from mlguard.stats.intervals import normal_quantile

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Codes = NDArray[np.intp]

Ends: TypeAlias = tuple[float, float, float]
"""A value and the two ends of its interval."""

LOSSES = ("brier", "log_loss")
"""The metrics that are means of a loss, in the order of `Seen.losses`."""

UNIT = 2.0**-20
"""Losses are summed in whole multiples of this, so that sums merge exactly."""

_GRID = np.linspace(-5.0, 5.0, 201)
"""Quantiles of a count, as those of the standard normal law: fine in the tails too."""

_WEIGHTS = np.exp(-0.5 * _GRID**2)

_MOST_SKEWED = 3.0
"""Up to this skewness the cube is a good approximation."""

WITHOUT = {
    "accuracy": "",
    "precision": "no score reaches the threshold",
    "recall": "no event is expected",
    "f1": "no event is expected, and no score reaches the threshold",
    "roc_auc": "one class only is expected: a ROC needs both",
}
"""Why a metric has no value although there are rows."""

_NOTHING = (math.nan, math.nan, math.nan)


@dataclass(frozen=True, slots=True)
class Seen:
    """Current rows by cell of the score, in ascending order. Immutable.

    Attributes:
        counts: Rows in each cell; fractions where a wider cell was divided.
        losses: Of each cell and metric, shape (metric, 3, cell): the mean loss of these rows
            without an event, that with one, and the mean of the score times the gap of the two.
        reached: Whether the cell lies at or above the threshold.
    """

    counts: Floats
    losses: Floats
    reached: NDArray[np.bool_]

    @property
    def scores(self) -> Floats:
        """The mean score in each cell, which the two Brier scores give away."""
        gap: Floats = self.losses[0, 1] - self.losses[0, 0]
        return 0.5 * (1.0 - gap)


@dataclass(frozen=True, slots=True)
class Rates:
    """How often the event happened at each score, in blocks of cells. Immutable.

    Attributes:
        block: The block of each cell.
        rows: Reference rows of each block.
        events: Those of them with the event.
        scores: Their mean score.
    """

    block: Codes
    rows: Floats
    events: Floats
    scores: Floats

    @classmethod
    def of(
        cls,
        rows: Sequence[int],
        events: Sequence[int],
        losses: Floats,
        least: int,
        reached: NDArray[np.bool_],
    ) -> Self:
        """Join neighbouring cells into blocks of at least that many rows.

        No block crosses the threshold, unless one side has too few rows.

        Args:
            rows: Of each cell.
            events: Of each cell.
            losses: Sums over the rows of each cell, shape (metric, 3, cell), as in `Seen`.
            least: Rows of a block.
            reached: Whether the cell lies at or above the threshold.
        """
        counts = np.array(rows)
        below = int(np.count_nonzero(~reached))
        sides = [counts[:below], counts[below:]]
        if min(side.sum() for side in sides) < least:
            sides = [counts]
        places, number = np.empty(0, dtype=np.intp), 0
        for side in sides:
            found = _blocks(side.tolist(), least)
            places = np.append(places, found + number)
            number = int(places[-1]) + 1
        sums, hits, gaps = (
            np.bincount(places, each).astype(np.float64)
            for each in (rows, events, losses[0, 1] - losses[0, 0])
        )
        return cls(places, sums, hits, 0.5 * (1.0 - gaps / sums))

    def by_block(self, values: Floats) -> Floats:
        """Add up the values of the cells of each block."""
        sums: Floats = np.bincount(self.block, values, len(self.rows))  # type: ignore[assignment]
        return sums

    @property
    def slope(self) -> float:
        """How fast the rate rises with the score: 1 where the score is calibrated."""
        away = self.rows * (self.scores - np.average(self.scores, weights=self.rows))
        spread = float((away * self.scores).sum())
        return float((away * self.events / self.rows).sum()) / spread if spread > 0.0 else 0.0


@dataclass(frozen=True, slots=True)
class Forecast:
    """The events that are still to come, by cell. Immutable.

    The events of a cell are binomial given the rate of its block, so those of all rows follow a
    Poisson-binomial law. The rate itself was measured, so it scatters as a beta law does. A sum
    of the events with weights has both: the variances add, and so do the third moments and the
    covariance of mean and variance. Its quantiles are those of Pearson's type III law of these
    moments.

    One row is added to the reference rows on each side of the threshold, half of it an event
    (Jeffreys' prior), where the current rows are: no events in the reference are no proof of none.

    Attributes:
        seen: The current rows.
        rates: What the reference says.
        rate: Of the event in each cell: that of its block, following the score within it.
        chance: The rate of each block with the added rows.
        cautious: The rate in each cell with the added rows.
    """

    seen: Seen
    rates: Rates
    rate: Floats = field(init=False)
    chance: Floats = field(init=False)
    cautious: Floats = field(init=False)

    def __post_init__(self) -> None:
        counts, reached, rates = self.seen.counts, self.seen.reached, self.rates
        more = np.zeros(len(rates.rows))
        for side in (counts * reached, counts * ~reached):
            more += rates.by_block(side) / max(float(side.sum()), 1.0)
        chance = (rates.events + 0.5 * more) / (rates.rows + more)
        away = self.seen.scores - rates.scores[rates.block]
        rise = rates.slope * np.where((counts > 0.0) & (np.abs(away) > 2.0 * UNIT), away, 0.0)
        put = object.__setattr__
        put(self, "rate", self._followed(rates.events / rates.rows, rise))
        put(self, "chance", chance)
        put(self, "cautious", self._followed(chance, rise))

    def _followed(self, chance: Floats, rise: Floats) -> Floats:
        """Let the rate rise with the score within each block, but not beyond 0 and 1 anywhere.

        Where it would, the whole block rises less: cut off at one end alone, its mean would move.
        """
        block = self.rates.block
        most = np.zeros(len(chance))
        np.maximum.at(most, block, np.abs(rise))
        room = np.minimum(chance, 1.0 - chance)
        part = np.where(most > room, room / np.where(most > 0.0, most, 1.0), 1.0)
        return np.clip(chance[block] + part[block] * rise, 0.0, 1.0)

    def moments(self, pull: Floats) -> tuple[float, float, float]:
        """Give the mean, variance and third central moment of a weighted sum of the events."""
        counts, by_block = self.seen.counts, self.rates.by_block
        noise, lean = _noise(self.cautious)
        table_noise, table_lean = _noise(self.chance)
        trust = self.rates.rows - 1.0
        first, second = by_block(counts * pull), by_block(counts * pull**2)
        table = table_noise * first**2 / trust
        skewed = (
            table
            * table_lean
            * (3.0 * second / np.where(first == 0.0, 1.0, first) + 2.0 * first / trust)
        )
        return (
            float((counts * pull * self.cautious).sum()),
            float((counts * pull**2 * noise).sum() + table.sum()),
            float((counts * pull**3 * noise * lean).sum() + skewed.sum()),
        )

    def events(self, side: NDArray[np.bool_]) -> Floats:
        """Give the number of events on a side of the threshold, at each point of the grid."""
        mean, variance, third = self.moments(side.astype(np.float64))
        most = float(self.seen.counts[side].sum())
        return np.clip(np.rint(skewed_quantiles(_GRID, mean, variance, third)), 0.0, most)


def _blocks(rows: Sequence[int], least: int) -> Codes:
    """Number neighbouring cells so that those of a number hold enough rows."""
    block, number, held = [], 0, 0
    for count in rows:
        if held >= least and count:
            number, held = number + 1, 0
        block.append(number)
        held += count
    places = np.array(block, dtype=np.intp)
    return np.minimum(places, max(number - 1, 0)) if held < least else places


def _noise(chance: Floats) -> tuple[Floats, Floats]:
    """Give the variance of one event, and its third central moment over that."""
    return chance * (1.0 - chance), 1.0 - 2.0 * chance


def metrics(forecast: Forecast, confidence: float) -> dict[str, Ends]:
    """Give each metric with its interval; NaN where it has no value."""
    if not forecast.seen.counts.any():
        return dict.fromkeys((*list(WITHOUT)[:-1], *LOSSES, "roc_auc"), _NOTHING)
    return {
        **_of_decisions(forecast, confidence),
        **_of_losses(forecast, confidence),
        "roc_auc": _of_ranks(forecast, confidence),
    }


def _of_decisions(forecast: Forecast, confidence: float) -> dict[str, Ends]:
    """Those of the events above and below the threshold, which are independent."""
    counts, reached = forecast.seen.counts, forecast.seen.reached
    likely = counts * forecast.rate
    above, below = float(counts[reached].sum()), float(counts[~reached].sum())
    found, missed = float(likely[reached].sum()), float(likely[~reached].sum())
    grid = forecast.events(reached)[:, None], forecast.events(~reached)[None, :]
    formulas: dict[str, Callable[[Any, Any], Any]] = {
        "accuracy": lambda hit, miss: _ratio(hit + below - miss, above + below),
        "precision": lambda hit, miss: _ratio(hit + 0.0 * miss, above),
        "recall": lambda hit, miss: _ratio(hit, hit + miss),
        "f1": lambda hit, miss: _ratio(2.0 * hit, above + hit + miss),
    }
    weights = (_WEIGHTS[:, None] * _WEIGHTS[None, :]).ravel()
    return {
        name: _around(float(of(found, missed)), _quantiles(of(*grid).ravel(), weights, confidence))
        for name, of in formulas.items()
    }


def _ratio(part: Any, whole: Any) -> Any:
    return np.divide(part, whole, out=np.full(np.shape(part + whole), math.nan), where=whole > 0.0)


def _quantiles(values: Floats, weights: Floats, confidence: float) -> tuple[float, float]:
    known = ~np.isnan(values)
    values, weights = values[known], weights[known]
    if not len(values):
        return math.nan, math.nan
    order = np.argsort(values)
    total = np.cumsum(weights[order])
    tail = (1.0 - confidence) / 2.0
    low, high = np.searchsorted(total, [tail * total[-1], (1.0 - tail) * total[-1]])
    return float(values[order[low]]), float(values[order[min(high, len(order) - 1)]])


def _of_losses(forecast: Forecast, confidence: float) -> dict[str, Ends]:
    """Within a cell too the rate follows the score, or scores near 0 and 1 would seem to err."""
    counts, scores = forecast.seen.counts, forecast.seen.scores
    n, slope = float(counts.sum()), forecast.rates.slope
    found = {}
    for name, (without, happened, tilted) in zip(LOSSES, forecast.seen.losses, strict=True):
        gap = happened - without
        loss = without + forecast.rate * gap + slope * (tilted - scores * gap)
        value = max(float((counts * loss).sum()) / n, 0.0)
        found[name] = _linear(forecast, value, gap / n, confidence)
    return found


def _of_ranks(forecast: Forecast, confidence: float) -> Ends:
    """By what one more event in a cell does to the area: after DeLong, with expected labels."""
    counts, rate = forecast.seen.counts, forecast.rate
    events, others = counts * rate, counts * (1.0 - rate)
    positives, negatives = float(events.sum()), float(others.sum())
    if min(positives, negatives) <= 0.0:
        return _NOTHING
    outranked = np.cumsum(others) - 0.5 * others
    outranking = positives - np.cumsum(events) + 0.5 * events
    value = float((events * outranked).sum()) / (positives * negatives)
    pull = (outranked / negatives - value) / positives - (
        outranking / positives - value
    ) / negatives
    return _linear(forecast, value, pull, confidence, most=1.0)


def _linear(
    forecast: Forecast, value: float, pull: Floats, confidence: float, *, most: float = math.inf
) -> Ends:
    _, variance, third = forecast.moments(pull)
    ends = np.array([-1.0, 1.0]) * normal_quantile(confidence)
    low, high = np.clip(skewed_quantiles(ends, value, variance, third), 0.0, most)
    return _around(value, (float(low), float(high)))


def _around(value: float, ends: tuple[float, float]) -> Ends:
    return (value, min(value, ends[0]), max(value, ends[1])) if value == value else _NOTHING  # noqa: PLR0124


def nearby(rows: Floats, least: int) -> Floats:
    """Count the reference rows in each cell, and around it where a cell cannot hold enough.

    A slice shares the cells of all rows and has few in each: so many cells are taken together as
    would hold twice `least` on average. Cells beyond the range of the reference stand alone.
    """
    reach = max(math.ceil(2.0 * least * len(rows) / max(rows.sum(), 1.0)) - 1, 0)
    found: Floats = np.convolve(rows, np.ones(min(2 * reach + 1, len(rows))), "same")
    outer = [0, 1, -3, -2, -1]
    found[outer] = rows[outer]
    return found


def skewed_quantiles(z: Floats, mean: float, variance: float, third: float) -> Floats:
    """Give quantiles of Pearson's type III law, where the standard normal law has z.

    By the cube of E. B. Wilson and M. M. Hilferty (PNAS 17, 1931).

    Args:
        z: Quantiles of the standard normal law.
        mean: Of the law.
        variance: Of the law.
        third: Its third central moment.
    """
    error = math.sqrt(variance)
    skewness = float(np.clip(third / error**3, -_MOST_SKEWED, _MOST_SKEWED)) if error else 0.0
    if abs(skewness) < 1e-6:  # noqa: PLR2004 -- no skewness to speak of
        return mean + error * z
    root = np.maximum(1.0 + skewness * z / 6.0 - skewness**2 / 36.0, 0.0)
    return np.asarray(mean + error * 2.0 / skewness * (root**3 - 1.0))


def losses_of(said: Floats) -> list[Floats]:
    """Give each loss of each row without and with an event, and the score times their gap."""
    found = []
    for name in LOSSES:
        without, happened = (
            METRICS[name].of(np.full(len(said), outcome), said) for outcome in (False, True)
        )
        found += [without, happened, said * (happened - without)]
    return found
