"""What a scan knows of its values: how they vary, and how unlikely two levels are to be one.

Both from sums: `spread` is what n values say of the variance of one; `evidence` is the logarithm of
a likelihood ratio, never more than e² n / (spread w (n - w)) with e = window - w total / n.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from math import log
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

_TINY = 1e-300
ROUNDING = 1e-12
"""A sum of squared deviations below this part of that of squares is what rounding leaves of 0."""


@dataclass(frozen=True, slots=True)
class Family:
    """One kind of values. Immutable.

    Attributes:
        spread: Of (n, total, squares), numbers or arrays.
        evidence: Of (n, total, squares, w, window): the last w of n values have another mean.
        evidences: The same of arrays, but for rounding.
        scale: Of a mean: where thresholds are about linear in it.
        lowest: The lowest value.
        highest: The highest value.
        whole: Whether values are whole numbers.
    """

    spread: Callable[[Any, Any, Any], Any]
    evidence: Callable[[int, float, float, int, float], float]
    evidences: Callable[[Any, Any, Any, Any, Any], Any]
    scale: Callable[[float], float]
    lowest: float
    highest: float
    whole: bool


def _normal_spread(n: Any, total: Any, squares: Any) -> Any:
    deviations = squares - total * total / n
    return (deviations > ROUNDING * squares) * deviations / n


def _normal(n: int, total: float, squares: float, w: int, window: float) -> float:
    """Give half the square of a standard normal value: Student's t, made normal."""
    e = window - w * total / n
    apart = e * e * n / (w * (n - w))
    freedom = n - 2.0
    left = squares - total * total / n - 0.5 * apart
    if left <= 0.0:
        return 0.0
    return 0.5 * (1.0 - 0.25 / freedom) ** 2 * freedom * apart / left


def _normals(n: Any, total: Any, squares: Any, w: Any, window: Any) -> Any:
    apart = (window - w * total / n) ** 2 * n / (w * (n - w))
    freedom = n - 2.0
    left = squares - total * total / n - 0.5 * apart
    known = left > 0.0
    scale = 0.5 * (1.0 - 0.25 / freedom) ** 2 * freedom
    return known * scale * apart / np.where(known, left, 1.0)


def _event_spread(n: Any, total: Any, squares: Any) -> Any:  # noqa: ARG001 -- as all families
    rate = total / n
    return rate * (1.0 - rate)


def _events(n: int, total: float, squares: float, w: int, window: float) -> float:  # noqa: ARG001
    size, of = float(n), float(w)  # floats, as sums of them and integers take longer
    rest, before = size - of, total - window
    not_w, not_before = of - window, rest - before
    found = (size - total) * log(size / (size - total)) if size > total else 0.0
    if total:
        found -= total * log(total / size)
    if window:
        found += window * log(window / of)
    if before:
        found += before * log(before / rest)
    if not_w:
        found += not_w * log(not_w / of)
    if not_before:
        found += not_before * log(not_before / rest)
    return found


def _many_events(n: Any, total: Any, squares: Any, w: Any, window: Any) -> Any:
    misses = _many_counts(n, n - total, squares, w, w - window)
    return _many_counts(n, total, squares, w, window) + misses


def _count_spread(n: Any, total: Any, squares: Any) -> Any:  # noqa: ARG001
    return total / n


def _counts(n: int, total: float, squares: float, w: int, window: float) -> float:  # noqa: ARG001
    return _term(window, w) + _term(total - window, n - w) - _term(total, n)


def _many_counts(n: Any, total: Any, squares: Any, w: Any, window: Any) -> Any:  # noqa: ARG001
    return _terms(window, w) + _terms(total - window, n - w) - _terms(total, n)


def _terms(count: Any, n: Any) -> Any:
    return count * np.log(np.maximum(count, _TINY) / n)


def _term(count: float, n: int) -> float:
    return count * math.log(count / n) if count > 0.0 else 0.0


def _same(mean: float) -> float:  # noqa: ARG001 -- as all families
    return 0.0


def _logit(mean: float) -> float:
    return _log(mean) - _log(1.0 - mean)


def _log(mean: float) -> float:
    return math.log(max(mean, 1e-9))


FAMILIES = {
    "gaussian": Family(_normal_spread, _normal, _normals, _same, -1e100, 1e100, whole=False),
    "bernoulli": Family(_event_spread, _events, _many_events, _logit, 0.0, 1.0, whole=True),
    "poisson": Family(_count_spread, _counts, _many_counts, _log, 0.0, 1e9, whole=True),
}
