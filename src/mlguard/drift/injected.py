"""Drift put into profiles on purpose: on their counts, without a row."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from scipy import special

from mlguard.arguments import finite, refusal
from mlguard.drift.cells import Levels, Ranges

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
        if not 0.0 <= finite("strength", strength) <= 1.0:
            raise refusal("strength", strength, "between 0 and 1")
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
    """Make an injection: columns move by so many standard deviations.

    Each value goes from its rank in the reference to the one that it would have if a normal column
    were shifted so far, which `compare` sees as an effect of that size. It stays within the
    reference's range. Of a column of levels or times, the share by / 2 of each level goes to the
    next one, or to the one before if `by` is negative.

    Args:
        reference: Whose profiles it takes.
        by: How far, at full strength; negative is down.
        columns: Which columns; all when not given.

    Raises:
        ConfigurationError: A column is unknown, or `by` is not finite.

    Examples:
        >>> import numpy as np
        >>> from mlguard import Reference
        >>> from mlguard.drift import shifted
        >>> rng = np.random.default_rng(4)
        >>> reference = Reference.fit({"amount": rng.lognormal(size=10_000)})
        >>> today = reference.profile({"amount": rng.lognormal(size=5_000)})
        >>> moved = shifted(reference, 0.5)(today, 1.0)
        >>> print(round(reference.compare(moved).columns["amount"].effect, 1), moved.rows)
        0.5 5000
    """
    size = finite("by", by)

    def spread(cells: Cells, counts: NDArray[np.int64], strength: float) -> Floats:
        if isinstance(cells, Ranges):
            return _ranked(counts, size * strength)
        shares = np.eye(cells.size)
        part = min(abs(size) / 2.0 * strength, 1.0)
        levels = len(cells.names) if isinstance(cells, Levels) else cells.size - 1
        for place in range(levels):
            shares[place, place] -= part
            shares[place, (place + (1 if size > 0.0 else -1)) % levels] += part
        return shares

    return Injection(reference, _columns(reference, columns), spread)


def scaled(reference: Reference, factor: float, *, columns: Sequence[str]) -> Injection:
    """Make an injection: a unit error, all numbers of columns times a factor.

    Within its cell a number is taken to lie anywhere alike.

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
        part: Which share, at full strength; 1 for a feed that is gone.
        columns: Which columns; all when not given.

    Raises:
        ConfigurationError: A column is unknown, or `part` is not above 0 and at most 1.
    """
    most = finite("part", part)
    if not 0.0 < most <= 1.0:
        raise refusal("part", part, "above 0, and at most 1")

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


def _ranked(counts: NDArray[np.int64], by: float) -> Floats:
    """Move ranks as those of a normal column that is shifted."""
    ordered = counts[1:-2].astype(np.float64)
    upto = np.cumsum(ordered) / max(float(ordered.sum()), 1.0)
    since, part = upto - ordered / max(float(ordered.sum()), 1.0), np.diff(upto, prepend=0.0)
    before = special.ndtr(special.ndtri(np.minimum(upto, 1.0)) - by)  # where each rank came from
    below = (before[None, :] - since[:, None]) / np.where(part > 0.0, part, 1.0)[:, None]
    shares = np.eye(len(counts))
    moved = np.diff(np.clip(below, 0.0, 1.0), axis=1, prepend=0.0)
    held = part > 0.0
    shares[1:-2, 1:-2][held] = moved[held]
    return shares


def _middles(cells: Ranges) -> tuple[Floats, Floats]:
    """Give the middle of each finite cell, and half its width; the outer two lie at their edge."""
    edges = np.array(cells.edges)
    low, high = edges[:-1].copy(), edges[1:].copy()
    if len(low) > 1:
        low[0] = high[0]
        low[-1] = high[-1] = np.nextafter(low[-1], math.inf)
    else:
        low[0] = high[0] = 0.0
    return (low + high) / 2.0, (high - low) / 2.0


def _onto(cells: Ranges, moves: Callable[[Floats], Floats]) -> Floats:
    """Spread each finite cell evenly over where its two ends go."""
    middle, half = _middles(cells)
    low, high = moves(middle - half), moves(middle + half)
    width = np.where(high > low, high - low, 1.0)
    thresholds = cells.thresholds
    ends = np.clip(thresholds, low.min() - 1.0, high.max() + 1.0)  # or differences overflow
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
