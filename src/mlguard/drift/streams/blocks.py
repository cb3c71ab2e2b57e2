"""Means of blocks of values: they depend less on those before, and are about normal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


class Blocks:
    """Gives the mean of every so many values. Not thread-safe. Per process.

    Attributes:
        size: So many values are a block.
        count: How many of the block that has begun are there.
        total: Their sum.
    """

    __slots__ = ("count", "size", "total")

    def __init__(self, size: int, count: int = 0, total: float = 0.0) -> None:
        self.size, self.count, self.total = size, count, total

    def add(self, x: float) -> float | None:
        """Take a value, and give the mean of the block that it completes, or None."""
        self.total += x
        self.count += 1
        if self.count < self.size:
            return None
        mean = self.total / self.size
        self.count, self.total = 0, 0.0
        return mean

    def add_many(self, values: Floats) -> Floats:
        """Take values, and give the means of the blocks that they complete; as one by one."""
        begin = min(-self.count % self.size, len(values))
        end = begin + (len(values) - begin) // self.size * self.size
        first = [self.add(x) for x in values[:begin].tolist()][-1:]
        sums: Floats = np.cumsum(values[begin:end].reshape(-1, self.size), axis=1)[:, -1]
        for x in values[end:].tolist():
            self.add(x)
        means = [mean for mean in first if mean is not None]
        return np.concatenate([means, sums / self.size])
