"""One unit for every effect: as large as a mean shift of that many standard deviations."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

LARGEST = 6.0
"""Shifts beyond this leave no overlap worth the name, so none is told from a larger one."""

FINE = 1_000
"""Cells that are as good as none: for columns whose cells have no order."""

_GRID = np.concatenate([np.linspace(0.0, 1.0, 101), np.linspace(1.02, LARGEST, 250)])


@lru_cache(maxsize=256)
def _effects(cells: int) -> Floats:
    cuts = special.ndtri(np.arange(1, cells) / cells)
    shifted = special.ndtr(cuts[None, :] - _GRID[:, None])
    edge = np.ones((len(_GRID), 1))
    q = np.diff(np.concatenate([0.0 * edge, shifted, edge], axis=1), axis=1)
    p = 1.0 / cells
    return np.asarray(np.sqrt((2.0 * (q - p) ** 2 / (q + p)).sum(axis=1)))


def shift_of(square: Floats, cells: int) -> Floats:
    """Give the mean shift of a normal column in equal cells that has this squared effect."""
    root = np.sqrt(np.maximum(square, 0.0))
    return np.asarray(np.interp(root, _effects(max(cells, 2)), _GRID))


def square_of(shift: float, cells: int) -> float:
    """Give the squared effect of a mean shift of a normal column in `cells` equal cells."""
    return float(np.interp(shift, _GRID, _effects(max(cells, 2)))) ** 2
