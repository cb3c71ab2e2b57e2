"""Buckets of equal relative width over all positive float64, by their bits alone.

A bucket is the exponent and the six highest bits of the mantissa: 64 to each power of two. No
logarithm is taken, so that every platform finds the same bucket, to the last bit.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from mlguard.arguments import refusal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_SHIFT = 46
_WIDTH = 64
_FIRST_NORMAL = _WIDTH
_INFINITE = 0x7FF * _WIDTH

MOST = 2**53
"""Numbers that a record may claim to have counted: no machine ever counts more."""

ERROR = 1 / 129
"""Largest relative distance of a positive normal float from the value of its bucket."""


def bucket_of(value: float) -> int:
    """Give the bucket of a number that is not negative and not NaN."""
    return int(np.float64(value).view(np.int64)) >> _SHIFT


def value_of(bucket: int) -> float:
    """Give the value that stands for a bucket: the harmonic middle of its ends.

    Below 2.2e-308, where floats lose their precision, it is the middle, and 0 for the first bucket.
    """
    exponent, mantissa = divmod(bucket, _WIDTH)
    if bucket < _FIRST_NORMAL:
        return math.ldexp(bucket + 0.5, -1028) if bucket else 0.0
    if bucket >= _INFINITE:
        return math.inf
    lower = mantissa + _WIDTH
    return math.ldexp(lower * 2 * (lower + 1) / (2 * lower + 1), exponent - 1029)


def ends_of(bucket: int) -> tuple[float, float]:
    """Give the smallest and the largest number of a bucket."""
    if bucket >= _INFINITE:
        return math.inf, math.inf
    ends = np.array([bucket << _SHIFT, (bucket + 1 << _SHIFT) - 1]).view(np.float64)
    return float(ends[0]), float(ends[1])


def counted(values: NDArray[np.float64]) -> tuple[Amount, int, int]:
    """Count values by bucket: what `Counts.add` takes, negatives and NaNs."""
    buckets = values.view(np.int64) >> _SHIFT
    zeros = infinite = negative = missing = 0
    if len(buckets) and (buckets.min() <= 0 or buckets.max() >= _INFINITE):
        missing = int(np.count_nonzero(np.isnan(values)))
        negative = int(np.count_nonzero(values < 0.0))
        buckets = (values[values >= 0.0] + 0.0).view(np.int64) >> _SHIFT  # -0.0 becomes 0.0
        zeros = int(np.count_nonzero(buckets == 0))
        infinite = int(np.count_nonzero(buckets == _INFINITE))
        buckets = buckets[(buckets > 0) & (buckets < _INFINITE)]
    if not len(buckets):
        return (0, np.zeros(0, dtype=np.int64), zeros, infinite), negative, missing
    first = int(buckets.min())
    return (first, np.bincount(buckets - first), zeros, infinite), negative, missing


class Counts:
    """A vector of integers over the span of its indices that is in use.

    Not thread-safe. Mergeable: `add` and `subtract` are exact.

    Attributes:
        first: Index of the first number.
        array: The numbers, int64.
        zeros: The number of the first bucket, which may lie far below the others.
        infinite: The number of the last bucket, which may lie far above the others.
    """

    __slots__ = ("array", "first", "infinite", "zeros")

    def __init__(self) -> None:
        self.first = 0
        self.array: NDArray[np.int64] = np.zeros(0, dtype=np.int64)
        self.zeros = 0
        self.infinite = 0

    @property
    def n(self) -> int:
        """Their sum."""
        return self.zeros + int(self.array.sum()) + self.infinite

    def add(self, first: int, counts: NDArray[np.int64], zeros: int = 0, infinite: int = 0) -> None:
        """Add numbers at `first` and the following indices, and at both ends."""
        self.zeros += zeros
        self.infinite += infinite
        if not len(counts):
            return
        start = first - self.first
        if start < 0 or start + len(counts) > len(self.array):
            self._cover(first, first + len(counts))
            start = first - self.first
        self.array[start : start + len(counts)] += counts

    def _cover(self, low: int, high: int) -> None:
        if len(self.array):
            low, high = min(low, self.first), max(high, self.first + len(self.array))
        low, high = low // _WIDTH * _WIDTH, -(-high // _WIDTH) * _WIDTH
        wider = np.zeros(high - low, dtype=np.int64)
        wider[self.first - low : self.first - low + len(self.array)] = self.array
        self.first, self.array = low, wider

    def __bool__(self) -> bool:
        return bool(self.n)

    def packed(self) -> Packed:
        """Give the indices that are in use and their numbers."""
        inner = np.flatnonzero(self.array)
        numbers = np.concatenate([[self.zeros], self.array[inner], [self.infinite]])
        indices = np.concatenate([[0], inner + self.first, [_INFINITE]])
        used = numbers > 0
        kind = np.min_scalar_type(int(numbers.max()))
        return indices[used].astype(np.int32), numbers[used].astype(kind)

    def put(self, packed: Packed) -> None:
        """Add what `packed` gave."""
        indices, numbers = packed
        self._change(indices, numbers.astype(np.int64))

    def take(self, packed: Packed) -> None:
        """Subtract what was added before."""
        indices, numbers = packed
        self._change(indices, -numbers.astype(np.int64))

    def _change(self, indices: NDArray[np.int32], numbers: NDArray[np.int64]) -> None:
        self.zeros += int(numbers[indices == 0].sum())
        self.infinite += int(numbers[indices == _INFINITE].sum())
        inner = (indices > 0) & (indices < _INFINITE)
        if inner.any():
            indices, numbers = indices[inner], numbers[inner]
            low, high = int(indices[0]), int(indices[-1]) + 1
            if low < self.first or high > self.first + len(self.array):
                self._cover(low, high)
            self.array[indices - self.first] += numbers

    @staticmethod
    def read(packed: Sequence[Sequence[int]]) -> Packed:
        """Read from plain JSON what `packed` gave: rising buckets and their counts."""
        buckets, counts = packed
        if any(type(each) is not int for each in (*buckets, *counts)):
            raise refusal("counts", packed, "integers")
        rising = all(low < high for low, high in pairwise(buckets))
        if len(buckets) != len(counts) or not rising or min(counts, default=0) < 0:
            raise refusal(
                "counts", packed, "rising buckets and a count that is not negative for each"
            )
        if buckets and not (buckets[0] >= 0 and buckets[-1] <= _INFINITE):
            raise refusal("buckets", buckets, f"from 0 to {_INFINITE}")
        if sum(counts) > MOST:
            raise refusal("counts", counts, f"at most {MOST:,} together")
        return np.array(buckets, dtype=np.int32), np.array(counts, dtype=np.int64)

    def at_ranks(self, ranks: list[int]) -> list[int]:
        """Give the bucket of each rank, the smallest value having rank 1."""
        places = np.searchsorted(self.zeros + self.array.cumsum(), ranks)
        beyond = len(self.array)
        return [
            0 if rank <= self.zeros else _INFINITE if place == beyond else int(place) + self.first
            for rank, place in zip(ranks, places, strict=True)
        ]


Amount = tuple[int, "NDArray[np.int64]", int, int]
Packed = tuple["NDArray[np.int32]", "NDArray[np.integer]"]


def rank_of(q: float, n: int) -> int:
    """Give the rank of a quantile among n values: the least that a share q does not exceed.

    Examples:
        >>> rank_of(0.99, 100), rank_of(0.07, 100), rank_of(0.0, 5)
        (99, 7, 1)
    """
    return max(1, math.ceil(q * n * (1 - 2**-50)))


def quantile_level(q: float) -> float:
    """Read a quantile: a number from 0 to 1."""
    if not isinstance(q, float | int) or not 0.0 <= q <= 1.0:
        raise refusal("q", q, "a quantile between 0 and 1")
    return float(q)
