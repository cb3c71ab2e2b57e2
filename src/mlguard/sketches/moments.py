"""The first four moments of weighted rows as exact integers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from mlguard.arguments import refusal
from mlguard.stats.exact import UNIT, exact_sum

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

LARGEST = 1e75
"""Beyond this in absolute value the fourth power of a number is no float."""
_ORDERS = range(1, 5)


@dataclass(frozen=True, slots=True)
class Moments:
    """Sums of w**j * x**k over rows, for k <= j <= 4, exact and so mergeable in any order.

    Immutable, so safe between threads; per process and mergeable: `a + b` is the moments of all
    rows of both, to the last bit, however the rows were split.

    Attributes:
        n: Number of rows.
        ternary: Whether every x is -1, 0 or 1.
        sums: `sums[j - 1][k]`, in multiples of 2**-1074.
    """

    n: int
    ternary: bool
    sums: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, x: NDArray[np.float64], weights: NDArray[np.float64] | None = None) -> Self:
        """Count rows.

        Args:
            x: One value per row, shape (n,), finite.
            weights: Of the rows, shape (n,), not negative; 1 each when not given.

        Raises:
            ConfigurationError: A value is too large for its fourth power to be a float.
        """
        most = float(np.abs(x).max(initial=0.0))
        if weights is not None:
            most = max(most, float((np.abs(x) * weights).max(initial=0.0)))
        if not most <= LARGEST:
            allowed = f"at most {LARGEST:g} in absolute value, also times its weight"
            raise refusal("x", most, allowed)
        ternary = bool(((x == 0.0) | (np.abs(x) == 1.0)).all())
        powers = [np.ones_like(x), x, x * x]
        powers += [powers[2] * x, powers[2] * powers[2]]
        if weights is None:
            row = tuple(exact_sum(power) for power in powers)
            return cls(len(x), ternary, tuple(row[: j + 1] for j in _ORDERS))
        sums = []
        factor = np.ones_like(x)
        for j in _ORDERS:
            factor = factor * weights
            sums.append(tuple(exact_sum(factor * power) for power in powers[: j + 1]))
        return cls(len(x), ternary, tuple(sums))

    def __add__(self, other: Moments) -> Moments:
        if not isinstance(other, Moments):
            return NotImplemented
        sums = tuple(
            tuple(a + b for a, b in zip(ours, theirs, strict=True))
            for ours, theirs in zip(self.sums, other.sums, strict=True)
        )
        return Moments(self.n + other.n, self.ternary and other.ternary, sums)

    @property
    def mean(self) -> float:
        """The weighted mean; NaN without any weight."""
        total = self.sums[0][0]
        return self.sums[0][1] / total if total else math.nan

    @property
    def total_weight(self) -> Fraction:
        """The sum of the weights."""
        return self.sums[0][0] * UNIT

    @property
    def signs(self) -> tuple[int, int] | None:
        """How many x are -1 and 1, where every x is -1, 0 or 1 and every weight is 1."""
        if not self.ternary or not self.total_weight == self.sums[1][0] * UNIT == self.n:
            return None
        net, moved = int(self.sums[1][1] * UNIT), int(self.sums[1][2] * UNIT)
        return (moved - net) // 2, (moved + net) // 2

    @property
    def zero_one(self) -> bool:
        """Whether every x that has a weight is 0 or 1."""
        return self.ternary and self.sums[1][1] == self.sums[1][2]

    @property
    def effective_n(self) -> float:
        """Kish's effective number of rows: that of equal weights with the same spread."""
        first, second = self.total_weight, self.sums[1][0] * UNIT
        return float(first * first / second) if second else 0.0

    def central(self, order: int) -> float:
        """The sum of (w * (x - mean))**order over the rows."""
        weight, total = self.sums[0]
        central = sum(
            math.comb(order, k) * value * (-total) ** (order - k) * weight**k
            for k, value in enumerate(self.sums[order - 1])
        )
        return float(central / (weight**order * UNIT.denominator))

    def to_dict(self) -> dict[str, Any]:
        """Give plain JSON; each integer as hexadecimal digits and a power of two."""
        sums = [[_packed(value) for value in row] for row in self.sums]
        return {"schema": 1, "n": self.n, "ternary": self.ternary, "sums": sums}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Self:
        """Read what `to_dict` wrote."""
        if record.get("schema") != 1:
            raise refusal("schema", record.get("schema"), "1")
        sums = tuple(tuple(_unpacked(value) for value in row) for row in record["sums"])
        return cls(record["n"], record["ternary"], sums)


def _packed(value: int) -> str:
    shift = (value & -value).bit_length() - 1 if value else 0
    return f"{value >> shift:x}:{shift}"


def _unpacked(text: str) -> int:
    digits, shift = text.split(":")
    return int(digits, 16) << int(shift)
