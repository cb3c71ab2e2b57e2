"""What a detector is given: read, or refused before anything is touched."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mlguard.arguments import finite, real, refusal

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

LARGEST = 1e100
"""Beyond this in absolute value, sums of squares are no floats."""


class Range(NamedTuple):
    """The numbers that are taken: within both ends, and whole where that is asked."""

    low: float = -LARGEST
    high: float = LARGEST
    whole: bool = False

    def read(self, name: str, value: object) -> float:
        """Read one; NaN where it is missing."""
        if value is None:
            return math.nan
        try:
            given = np.asarray(value)
        except ValueError:  # sequences of different lengths in it
            given = np.empty(1)
        item = given[()] if isinstance(value, np.ndarray) and not given.ndim else value
        if given.ndim or given.dtype.kind not in "biufO" or isinstance(item, str):
            raise refusal(name, value, "a number, or None where it is missing")
        number = real(name, item)
        if not math.isnan(number):
            self.check(name, number)
        return number

    def check(self, name: str, number: float) -> None:
        """Refuse a number that is not of these."""
        if not self.low <= number <= self.high or (self.whole and number % 1.0):
            kind = "a whole number" if self.whole else "a number"
            raise refusal(name, number, f"{kind} between {self.low:g} and {self.high:g}")

    def read_many(self, xs: ArrayLike) -> Floats:
        """Read a sequence; NaN where one is missing."""
        if isinstance(xs, str | bytes) or not isinstance(xs, Iterable):
            raise refusal("xs", xs, "a sequence of numbers")
        try:
            values = np.asarray(xs)
        except ValueError:  # sequences of different lengths in it
            values = np.empty(0, dtype=object)
        if values.ndim != 1 or values.dtype.kind not in "fiub":
            each = [self.read(f"xs[{i}]", x) for i, x in enumerate(xs)]
            return np.array(each, dtype=np.float64)
        values = values.astype(np.float64)
        with np.errstate(invalid="ignore"):
            outside = (values < self.low) | (values > self.high)
            if self.whole:
                outside |= values % 1.0 > 0.0
        if outside.any():
            first = int(outside.argmax())
            self.check(f"xs[{first}]", float(values[first]))
        return values


def rates(
    false_alarm_every: object, warn_every: object, block: int = 1
) -> tuple[float, float | None]:
    """Read how seldom alarms and warnings are to be."""
    every = rate("false_alarm_every", false_alarm_every, block)
    if warn_every is None:
        return every, None
    warn = rate("warn_every", warn_every, block)
    if warn >= every:
        raise refusal("warn_every", warn_every, f"less than false_alarm_every = {every:g}")
    return every, warn


def rate(name: str, value: object, block: int = 1) -> float:
    """Read a number of observations."""
    number = finite(name, value)
    least = 100.0 * block  # what the thresholds are known for
    if not least <= number <= 1e9:  # noqa: PLR2004 -- likewise
        raise refusal(name, value, f"between {least:g} and 1e9 observations")
    return number


def copied(value: Any) -> Any:
    """Copy lists and tuples, and those in them, into lists."""
    return [copied(each) for each in value] if isinstance(value, list | tuple) else value


def numbers(value: Any) -> Any:
    """Copy numbers, None, and lists of them; refuse what else a state may hold."""
    if isinstance(value, list):
        return [numbers(each) for each in value]
    if value is None or type(value) in {int, float}:
        return value
    raise refusal("memory", value, "numbers")
