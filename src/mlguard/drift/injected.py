"""Drift put into profiles on purpose: on their counts, without a row."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from mlguard.arguments import finite, refusal, share
from mlguard.drift.cells import Ranges

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from mlguard.drift.cells import Cells
    from mlguard.drift.profile import Profile
    from mlguard.drift.reference import Reference

    Floats = NDArray[np.float64]
    Spread: TypeAlias = Callable[[Cells, NDArray[np.int64], float], Floats]


@dataclass(frozen=True, slots=True)
class Injection:
    """Moves counts between the cells of some columns. Immutable, but for what it has worked out.

    Called with a profile and a strength between 0 and 1, it gives the profile as it would be
    expected with so much of the drift: the same rows, in other cells, in whole numbers.

    Attributes:
        reference: Whose profiles it takes.
        columns: Which columns move.
        spread: Gives, of a column's cells, its reference counts and a strength, the share of each
            cell that goes to each other.
    """

    reference: Reference
    columns: tuple[str, ...]
    spread: Spread
    _known: dict[float, dict[str, Floats]] = field(default_factory=dict, repr=False, compare=False)

    def __call__(self, profile: Profile, strength: float) -> Profile:
        """Give the profile with drift in it."""
        layout = self.reference.layout
        if not profile.layout.fits(layout):
            raise refusal("profile", profile.layout.digest, f"one of reference {layout.digest}")
        if strength not in self._known:
            self._known[strength] = {
                name: self.spread(
                    layout.cells[name], self.reference.counts[layout.parts[name]], strength
                )
                for name in self.columns
            }
        counts = profile.counts.copy()
        for name, shares in self._known[strength].items():
            part = layout.parts[name]
            counts[part] = _whole(counts[part] @ shares)
        return profile.recounted(counts)


def shifted(reference: Reference, by: float, *, columns: Sequence[str] | None = None) -> Injection:
    """Make an injection: the mean of columns moves by so many standard deviations.

    Within its cell a number is taken to lie anywhere alike, so the effect comes out a little
    larger, by up to a sixth. Of a column of levels, the share by / 2
    of each level goes to the next.

    Args:
        reference: Whose profiles it takes, which knows the standard deviations.
        by: How far, at full strength; negative is down.
        columns: Which columns; all when not given.

    Raises:
        ConfigurationError: A column is unknown, or `by` is not finite.

    Examples:
        >>> import numpy as np
        >>> from mlguard import Reference
        >>> from mlguard.drift import shifted
        >>> rng = np.random.default_rng(4)
        >>> reference = Reference.fit({"amount": rng.normal(size=10_000)})
        >>> today = reference.profile({"amount": rng.normal(size=5_000)})
        >>> moved = shifted(reference, 0.5)(today, 1.0)
        >>> print(round(reference.compare(moved).columns["amount"].effect, 1), moved.rows)
        0.6 5000
    """
    size = finite("by", by)

    def spread(cells: Cells, counts: NDArray[np.int64], strength: float) -> Floats:
        if isinstance(cells, Ranges):
            middle, _ = _middles(cells)
            weights = counts[1:-2] + 1e-9
            mean = np.average(middle, weights=weights)
            sd = math.sqrt(np.average((middle - mean) ** 2, weights=weights))
            return _onto(cells, lambda value: value + strength * size * sd)
        shares = np.eye(cells.size)
        part = min(abs(size) / 2.0 * strength, 1.0)
        levels = cells.size - 1
        for place in range(levels):
            shares[place, place] -= part
            shares[place, (place + 1) % levels] += part
        return shares

    return Injection(reference, _columns(reference, columns), spread)


def scaled(reference: Reference, factor: float, *, columns: Sequence[str]) -> Injection:
    """Make an injection: a unit error, all numbers of columns times a factor.

    Args:
        reference: Whose profiles it takes.
        factor: 1000 for milliseconds sent as seconds; at half strength its square root.
        columns: Which columns, numbers all.

    Raises:
        ConfigurationError: A column is unknown or has no numbers, or `factor` is not positive.
    """
    if not finite("factor", factor) > 0.0:
        raise refusal("factor", factor, "a positive number")
    names = _columns(reference, columns)
    if odd := [name for name in names if not isinstance(reference.layout.cells[name], Ranges)]:
        raise refusal("columns", odd, "columns of numbers")

    def spread(cells: Cells, counts: NDArray[np.int64], strength: float) -> Floats:
        del counts
        return _onto(cells, lambda value: value * factor**strength)  # type: ignore[arg-type]

    return Injection(reference, names, spread)


def vanished(
    reference: Reference, part: float, *, columns: Sequence[str] | None = None
) -> Injection:
    """Make an injection: a share of the values of columns goes missing.

    Args:
        reference: Whose profiles it takes.
        part: Which share, at full strength.
        columns: Which columns; all when not given.

    Raises:
        ConfigurationError: A column is unknown, or `part` is not between 0 and 1.
    """
    most = share("part", part)

    def spread(cells: Cells, counts: NDArray[np.int64], strength: float) -> Floats:
        del counts
        shares = np.eye(cells.size) * (1.0 - most * strength)
        shares[:, -1] += most * strength
        return shares

    return Injection(reference, _columns(reference, columns), spread)


def _columns(reference: Reference, columns: Sequence[str] | None) -> tuple[str, ...]:
    known = [*reference.layout.cells]
    names = known if columns is None else [*columns]
    if isinstance(columns, str) or not names or not {*names} <= {*known}:
        raise refusal("columns", columns, f"some of the columns {known}")
    return tuple(names)


def _middles(cells: Ranges) -> tuple[Floats, Floats]:
    """Give the middle of each finite cell, and half its width; the outer two lie at their edge."""
    edges = np.array(cells.edges)
    low, high = edges[:-1].copy(), edges[1:].copy()
    if len(low) > 1:
        low[0], high[-1] = high[0], low[-1]
    else:
        low[0] = high[0] = 0.0
    return (low + high) / 2.0, (high - low) / 2.0


def _onto(cells: Ranges, moves: Callable[[Floats], Floats]) -> Floats:
    """Spread each finite cell evenly over where its two ends go."""
    middle, half = _middles(cells)
    low, high = moves(middle - half), moves(middle + half)
    width = np.where(high > low, high - low, 1.0)
    thresholds = cells.thresholds
    ends = np.clip(thresholds, low.min() - 1.0, high.max() + 1.0)
    below = np.clip((ends[None, :] - low[:, None]) / width[:, None], 0.0, 1.0)
    below[:, -1] = 1.0
    point = (high <= low)[:, None]
    below = np.where(point, thresholds[None, :] >= low[:, None], below)
    shares = np.eye(cells.size)
    shares[1 : len(low) + 1, :-1] = np.diff(below, axis=1, prepend=0.0)
    shares[1 : len(low) + 1, -1] = 0.0
    return shares


def _whole(expected: Floats) -> NDArray[np.int64]:
    """Round to whole numbers of the same sum."""
    counts = np.floor(expected + 1e-9).astype(np.int64)
    rest = round(float(expected.sum())) - int(counts.sum())
    if rest > 0:
        counts[np.argsort(counts - expected, kind="stable")[:rest]] += 1
    return counts
