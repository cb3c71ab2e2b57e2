"""Distances between two samples of counts in the same cells, as plain numbers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Counts = NDArray[np.int64]


def ks(reference: Counts, current: Counts) -> float:
    """Largest gap of the distribution functions of ordered cells (Kolmogorov and Smirnov)."""
    n, m = int(reference.sum()), int(current.sum())
    if not n or not m:
        return math.nan
    return float(np.abs(np.cumsum(reference) / n - np.cumsum(current) / m).max())


def psi(reference: Counts, current: Counts) -> float:
    """Population stability index, without what sampling alone adds to it.

    Half a row is added to every cell, so that an empty one is not infinitely far; the expectation
    without drift, (cells - 1) * (1/n + 1/m), is taken off (B. Yurdakul, 2018).
    """
    used = (reference + current) > 0
    n, m, cells = int(reference.sum()), int(current.sum()), int(used.sum())
    if not n or not m:
        return math.nan
    p = (reference[used] + 0.5) / (n + 0.5 * cells)
    q = (current[used] + 0.5) / (m + 0.5 * cells)
    return float(((q - p) * np.log(q / p)).sum() - (cells - 1) * (1.0 / n + 1.0 / m))


def js(reference: Counts, current: Counts) -> float:
    """Jensen-Shannon distance, base 2, without what sampling alone adds to its square."""
    n, m = int(reference.sum()), int(current.sum())
    if not n or not m:
        return math.nan
    p, q = reference / n, current / m
    middle = (p + q) / 2.0
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.nan_to_num(p * np.log2(p / middle)) + np.nan_to_num(q * np.log2(q / middle))
    cells = int((middle > 0).sum())
    noise = (cells - 1) * (1.0 / n + 1.0 / m) / (8.0 * math.log(2.0))
    return math.sqrt(max(float(terms.sum()) / 2.0 - noise, 0.0))


def wasserstein(reference: Counts, current: Counts, edges: Sequence[float]) -> float:
    """Wasserstein-1 distance in the unit of the column, rows spread evenly within their cells.

    Args:
        reference: Counts: below the first edge, between neighbouring edges, above the last.
        current: The same.
        edges: Ascending.

    NaN where rows lie outside the bounded cells: their distance is unknown.
    """
    n, m = int(reference.sum()), int(current.sum())
    outside = reference[[0, -1]].sum() + current[[0, -1]].sum()
    if not n or not m or outside:
        return math.nan
    gap = np.cumsum(current) / m - np.cumsum(reference) / n
    left, right = gap[:-2], gap[1:-1]
    width = np.diff(np.asarray(edges))
    crossing = left * right < 0
    with np.errstate(divide="ignore", invalid="ignore"):
        crossed = (left**2 + right**2) / (2.0 * (np.abs(left) + np.abs(right)))
    mean = np.where(crossing, crossed, (np.abs(left) + np.abs(right)) / 2.0)
    return float((mean * width).sum())
