"""Does each value depend on the one before? Where it does, no calibrated rate of alarms holds."""

from __future__ import annotations

import math

VALUES = 1000
"""From so many values it is told."""
BOUND = 0.1
"""A correlation beyond this, and beyond what chance makes of independent values, is dependence."""
_CHECKED = 50
"""It is looked at after so many more of them."""
_SURE = 3.0
"""Chance is so many standard errors."""

_START = (0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, -1)


class Dependence:
    """The correlation of the first thousand values with those before them. Not thread-safe.

    Per process. The sum of products is kept rather than the values. Rare events correlate by
    chance when two of a few are neighbours, so what chance makes of them is put as Bernstein does
    for sums of which one part may be large.

    Attributes:
        memory: How many values; the first; of deviations from it the last, the sum, that of
            squares, that of products of neighbours, the lowest and the highest; and the place from
            which on dependence was there, or -1.
    """

    __slots__ = ("memory",)

    def __init__(self, *memory: float) -> None:
        self.memory = list(memory or _START)

    @property
    def complete(self) -> bool:
        """Whether as many values were seen as it takes."""
        return self.memory[0] == VALUES

    @property
    def there(self) -> bool:
        """Whether values depend on those before, so far."""
        return self.memory[-1] >= 0

    def add(self, x: float, at: int) -> None:
        """Take the value that completes the first `at` places of the stream."""
        n, first, last, total, squares, products, low, high, since = self.memory
        if not n:
            first = x
        d = x - first
        low, high = min(low, d), max(high, d)
        n, products = n + 1, products + last * d
        self.memory = [n, first, d, total + d, squares + d * d, products, low, high, since]
        if n % _CHECKED == 0:
            _, spread, correlation = self.found()
            mean = (total + d) / n
            largest = max(high - mean, mean - low) ** 2 / (n * spread) if spread else 0.0
            chance = _SURE / math.sqrt(n) + _SURE * largest
            if abs(correlation) <= max(BOUND, chance):
                self.memory[-1] = -1
            elif since < 0:
                self.memory[-1] = at

    def forget(self, onset: int) -> None:
        """Begin anew after a change, unless what is known was known before its onset.

        Values of two levels would correlate.
        """
        if not self.complete and not 0 <= self.memory[-1] < onset:
            self.memory = list(_START)

    def found(self) -> tuple[float, float, float]:
        """Give mean, variance, and the correlation; of constants that is 0."""
        n, first, last, total, squares, products, *_ = self.memory
        mean = total / n
        spread = squares - total * mean
        if spread <= 0.0:
            return first + mean, 0.0, 0.0
        near = products - mean * (2.0 * total - last) + (n - 1.0) * mean * mean
        return first + mean, spread / n, near / spread
