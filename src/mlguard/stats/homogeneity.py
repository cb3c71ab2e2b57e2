"""Do two samples of counts come from one distribution, and how far apart are they?

All functions work on many columns at once: the last axis of the counts holds the cells of all
columns, one after the other, and `starts` holds where each column begins.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Counts = NDArray[np.int64]
    Index = NDArray[np.intp]

LEAST_EXPECTED = 10.0
"""Rows that a cell must expect in the smaller sample for its chi-square to hold."""


def chi_square(reference: Counts, current: Counts, starts: Index) -> tuple[Floats, Floats]:
    """Two-sample chi-square statistic of homogeneity and its degrees of freedom, per column."""
    n, m = column_totals(reference, starts), column_totals(current, starts)
    ratio = np.sqrt(np.maximum(m, 1.0) / np.maximum(n, 1.0))
    own = column_of(starts, reference.shape[-1])
    both = reference + current
    scale = ratio[..., own]
    gap = reference * scale - current / scale
    statistic = np.add.reduceat(gap * gap / np.maximum(both, 1), starts, axis=-1)
    degrees = np.add.reduceat((both > 0).astype(float), starts, axis=-1) - 1.0
    told = (n > 0) & (m > 0)
    return np.where(told, statistic, 0.0), np.where(told, np.maximum(degrees, 0.0), 0.0)


def split(
    reference: Counts, current: Counts, n: float | Floats | Counts, m: float | Floats | Counts
) -> tuple[Floats, Floats]:
    """Give a chi-square statistic, and its degree of freedom, for one cell against all others.

    Rare cells are tested exactly: the statistic is the quantile that has the binomial p-value, so
    that it adds to chi-squares of other cells. Without a row in the cell, or outside it, there is
    no degree of freedom.

    Args:
        reference: Rows of the reference in the cell.
        current: Rows of the current sample in it.
        n: Rows of the reference, in the cell or not.
        m: Rows of the current sample.
    """
    n, m = np.broadcast_arrays(np.asarray(n, float), np.asarray(m, float))
    total = n + m
    inside = reference + current
    mirrored = 2 * inside > total
    held = np.where(mirrored, total - inside, inside)
    seen = np.where(mirrored, m - current, current)
    share = m / np.maximum(total, 1.0)
    told = (held > 0) & (n > 0) & (m > 0)
    variance = held * (total - held) * share * (1.0 - share) / np.maximum(total - 1.0, 1.0)
    statistic = (seen - held * share) ** 2 / np.where(told, variance, 1.0)
    rare = told & (held * np.minimum(share, 1.0 - share) < LEAST_EXPECTED)
    few, of, chance = seen[rare], held[rare], np.broadcast_to(share, held.shape)[rare]
    least = np.where(few > 0, special.betainc(np.maximum(few, 1.0), of - few + 1.0, chance), 1.0)
    most = special.betainc(np.maximum(of - few, 0.5), few + 1.0, 1.0 - chance)
    tail = np.minimum(least, np.where(few < of, most, 1.0))
    exact = np.clip(2.0 * tail, 1e-300, 1.0)
    statistic[rare] = special.chdtri(1.0, exact)
    return np.where(told, statistic, 0.0), told.astype(float)


def estimated_split(
    reference: Counts, current: Counts, n: Counts, m: Counts, variance: Floats
) -> tuple[Floats, Floats]:
    """Do `split` where the rows of the reference in the cell are an estimate of some variance.

    Without variance, or with too few rows, there is no degree of freedom.

    Args:
        reference: Rows of the reference in the cell.
        current: Rows of the current sample in it.
        n: Rows of the reference, in the cell or not.
        m: Rows of the current sample.
        variance: Of the estimate, besides that of a count.
    """
    share = (reference + current) / np.maximum(n + m, 1.0)
    rarer = np.minimum(share, 1.0 - share) * np.minimum(n, m)
    told = (variance > 0.0) & (rarer >= LEAST_EXPECTED)
    n, m = np.maximum(n, 1.0), np.maximum(m, 1.0)
    noise = share * (1.0 - share) * (1.0 / n + 1.0 / m) + variance / n**2
    gap = reference / n - current / m
    return np.where(told, gap**2 / np.where(told, noise, 1.0), 0.0), told.astype(float)


def smooth(reference: Counts, current: Counts, starts: Index) -> tuple[Floats, Floats]:
    """Smooth test of ordered cells: location and spread scores on pooled mid-ranks, per column.

    Given the pooled counts, every split of the rows is equally likely under the null, so the
    covariance of the scores is known exactly. Two degrees of freedom, or fewer where the cells
    cannot tell spread from location (J. Neyman 1937; J. Rayner and D. Best, Smooth Tests of
    Goodness of Fit, 2009).
    """
    own = column_of(starts, reference.shape[-1])
    n, m = column_totals(reference, starts), column_totals(current, starts)
    total = np.maximum(n + m, 2.0)
    both = (reference + current) / total[..., own]
    upto = np.cumsum(both, axis=-1)
    rank = upto - both / 2.0
    rank -= (upto - both)[..., starts][..., own] + 0.5

    def mean(score: Floats) -> Floats:
        return np.add.reduceat(score * both, starts, axis=-1)

    spread = rank * rank
    variance = mean(spread)
    usable = variance > 1e-12  # noqa: PLR2004 -- below it all rows lie in one cell
    slope = np.where(usable, mean(spread * rank) / np.where(usable, variance, 1.0), 0.0)
    spread -= variance[..., own] + slope[..., own] * rank
    told = (n > 0) & (m > 0)
    n, m = np.maximum(n, 1.0), np.maximum(m, 1.0)
    scale = (1.0 / n + 1.0 / m) * total / (total - 1.0)
    gap = reference / n[..., own] - current / m[..., own]
    statistic, degrees = np.zeros(told.shape), np.zeros(told.shape)
    for score, power in ((rank, variance), (spread, mean(spread * spread))):
        usable = told & (power > 1e-12)  # noqa: PLR2004
        moved = np.add.reduceat(score * gap, starts, axis=-1)
        statistic += np.where(usable, moved * moved / np.where(usable, power * scale, 1.0), 0.0)
        degrees += usable
    return statistic, degrees


LARGEST = 4.0
"""Squared effect of two samples that share no cell."""

_HALVINGS = 24


@dataclass(frozen=True, slots=True)
class Effect:
    """A squared effect per column and what its interval needs.

    Attributes:
        square: Sum of (p - q)**2 / ((p + q) / 2) over the cells, without its bias.
        degrees: Of freedom.
        per_unit: Noncentrality per unit of squared effect.
        stretch: How much wider the estimate scatters than that noncentral chi-square.
    """

    square: Floats
    degrees: Floats
    per_unit: Floats
    stretch: Floats

    def interval(self, z: float) -> tuple[Floats, Floats]:
        """Ends of the interval of the squared effect, `z` standard deviations wide on each side.

        They are the noncentralities of which the statistic is just as far out, by the normal
        approximation of M. Sankaran (Biometrika 50, 1963), stretched about the estimate.
        """
        statistic = np.maximum(self.square * self.per_unit + self.degrees, 1e-9)
        side = np.array([z, -z]).reshape(2, *[1] * statistic.ndim)
        low = np.zeros((2, *statistic.shape))
        high = low + (np.sqrt(statistic) + z + 3.0) ** 2
        for _ in range(_HALVINGS):
            middle = (low + high) / 2.0
            above = _deviate(statistic, self.degrees, middle) > side
            low, high = np.where(above, middle, low), np.where(above, high, middle)
        low, high = np.where(low > 0.0, high, 0.0) / self.per_unit
        low = np.where(low > 0.0, self.square - (self.square - low) * self.stretch, 0.0)
        high = np.where(low > 0.0, self.square + (high - self.square) * self.stretch, high)
        return np.maximum(low, 0.0), np.minimum(high, LARGEST)


def effect(reference: Counts, current: Counts, starts: Index) -> Effect:
    """Squared effect, the sum of (p - q)**2 / ((p + q) / 2) over the cells, without its bias.

    The bias is taken out to second order, so the expectation depends on the shares alone, not on
    how many rows either sample has.
    """
    p, q, n, m = _shares(reference, current, starts)
    raw, degrees = _raw(p, q, starts)
    bias, per_unit, stretch = _scatter(p, q, (n, m), starts, degrees=degrees, raw=raw)
    return Effect(raw - bias, degrees, per_unit, stretch)


def beyond(reference: Counts, current: Counts, starts: Index, tolerated: Floats) -> Floats:
    """P-value of "the squared effect is at most the tolerated one", per column.

    The scatter is taken where the null hypothesis ends: at shares drawn together until their
    effect is the tolerated one.
    """
    p, q, n, m = _shares(reference, current, starts)
    raw, degrees = _raw(p, q, starts)
    bias, _, _ = _scatter(p, q, (n, m), starts, degrees=degrees, raw=raw)
    drawn = tolerated / np.maximum(raw - bias, tolerated)
    own = column_of(starts, reference.shape[-1])
    pool = (n[..., own] * p + m[..., own] * q) / (n + m)[..., own]
    kept = np.sqrt(drawn)[..., own]
    p, q = pool + kept * (p - pool), pool + kept * (q - pool)
    bias, per_unit, stretch = _scatter(
        p, q, (n, m), starts, degrees=degrees, raw=tolerated + bias, noise=drawn
    )
    centre = tolerated * per_unit + degrees
    found = np.maximum(centre + (raw * per_unit - centre) / np.maximum(stretch, 1.0), 0.0)
    return np.asarray(1.0 - special.chndtr(found, degrees, tolerated * per_unit))


def _shares(
    reference: Counts, current: Counts, starts: Index
) -> tuple[Floats, Floats, Floats, Floats]:
    own = column_of(starts, reference.shape[-1])
    n = np.maximum(column_totals(reference, starts), 1.0)
    m = np.maximum(column_totals(current, starts), 1.0)
    return reference / n[..., own], current / m[..., own], n, m


def _raw(p: Floats, q: Floats, starts: Index) -> tuple[Floats, Floats]:
    """Squared effect with its bias, and its degrees of freedom."""
    both = p + q
    used = both > 0.0
    raw = np.add.reduceat(2.0 * (p - q) ** 2 / (both + ~used), starts, axis=-1)
    degrees = np.add.reduceat(used.astype(float), starts, axis=-1) - 1.0
    return raw, np.maximum(degrees, 1.0)


def _scatter(
    p: Floats,
    q: Floats,
    rows: tuple[Floats, Floats],
    starts: Index,
    *,
    degrees: Floats,
    raw: Floats,
    noise: float | Floats = 1.0,
) -> tuple[Floats, Floats, Floats]:
    """Bias of the squared effect, its noncentrality per unit, and its stretch.

    Args:
        p: Shares of the reference.
        q: Shares of the current sample.
        rows: Of the reference and of the current sample.
        starts: First cell of each column.
        degrees: Of freedom.
        raw: Squared effect with its bias.
        noise: Share of the shares' own noise that p and q hold.
    """
    n, m = rows
    own = column_of(starts, p.shape[-1])

    def column(cells: Floats) -> Floats:
        return np.add.reduceat(cells, starts, axis=-1)

    both = p + q
    both += both <= 0.0
    slope = 2.0 * (p - q) / both**2
    pull, push = slope * (p + 3.0 * q), slope * (q + 3.0 * p)
    bent = q * q * p * (1.0 - p) / n[..., own] + p * p * q * (1.0 - q) / m[..., own]
    bent *= 8.0 / both**3
    bias, second = column(bent), column(bent * bent)
    least = 1e-9 * (1.0 / n + 1.0 / m)
    per_unit = degrees / np.where(bias > least, bias, 1.0 / n + 1.0 / m)
    first = (column(p * pull**2) - column(p * pull) ** 2) / n
    first = first + (column(q * push**2) - column(q * push) ** 2) / m
    first = np.maximum(first - 4.0 * noise * second, 0.0)  # what the shares' own noise adds
    central = 2.0 * degrees / per_unit**2
    known = 4.0 * np.maximum(raw - bias, 0.0) / per_unit + central
    return bias, per_unit, np.sqrt((first + np.maximum(2.0 * second, 1e-12 * central)) / known)


def _deviate(statistic: Floats, degrees: Floats, noncentrality: Floats) -> Floats:
    """Give the normal deviate of a noncentral chi-square (M. Sankaran, 1963)."""
    k, t = degrees, noncentrality
    mean, wide = k + t, k + 2.0 * t
    power = 1.0 - 2.0 * mean * (k + 3.0 * t) / (3.0 * wide * wide)
    spread = wide / mean**2
    skew = (power - 1.0) * (1.0 - 3.0 * power)
    centre = 1.0 + power * spread * (power - 1.0 - 0.5 * (2.0 - power) * skew * spread)
    scale = power * np.sqrt(2.0 * spread) * (1.0 + 0.5 * skew * spread)
    return ((statistic / mean) ** power - centre) / scale


def chi_square_tail(statistic: Floats, degrees: Floats) -> Floats:
    """Upper tail of the chi-square distribution; 1 without degrees of freedom."""
    return np.where(degrees > 0, special.chdtrc(np.maximum(degrees, 1.0), statistic), 1.0)


def column_totals(counts: Counts, starts: Index) -> Floats:
    """Add up the counts of each column."""
    return np.add.reduceat(counts, starts, axis=-1).astype(float)


def column_of(starts: Index, cells: int) -> Index:
    """Give the column of each cell."""
    return np.repeat(np.arange(len(starts)), np.diff(np.append(starts, cells)))
