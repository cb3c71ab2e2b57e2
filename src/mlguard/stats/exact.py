"""Sums of floats without rounding, so that they merge exactly in any order."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MANTISSA = 53
_HALF = 26
_SMALLEST = 1074
_CHUNK = 1 << 24
"""Rows summed at once: 2**24 halves below 2**28 stay below 2**53, where floats count exactly."""

UNIT = Fraction(1, 1 << _SMALLEST)
"""What the integers count: the smallest positive float64, of which every float is a multiple."""


def exact_sum(values: NDArray[np.float64]) -> int:
    """Add finite floats without rounding; the result counts multiples of 2**-1074.

    Each float is an integer times a power of two. The integers are split into two halves and
    added by exponent, where float64 counts them exactly, and put together as a Python integer.

    Examples:
        >>> exact_sum(np.array([1e300, 1.0, -1e300])) * UNIT
        Fraction(1, 1)
    """
    total = 0
    for start in range(0, len(values), _CHUNK):
        mantissa, exponent = np.frexp(values[start : start + _CHUNK])
        whole = np.ldexp(mantissa, _MANTISSA).astype(np.int64)
        least = int(exponent.min())
        bins = exponent - least
        high = np.bincount(bins, weights=whole >> _HALF)
        low = np.bincount(bins, weights=whole & ((1 << _HALF) - 1))
        for place in np.flatnonzero((high != 0.0) | (low != 0.0)).tolist():
            part = (int(high[place]) << _HALF) + int(low[place])
            shift = place + least - _MANTISSA + _SMALLEST
            total += part << shift if shift >= 0 else part >> -shift
    return total
