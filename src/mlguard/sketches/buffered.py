"""Values from many threads, for the price of a list's append."""

from __future__ import annotations

import math
import struct
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from mlguard.locks import Locked

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

FULL = 1024
"""Values that wait before they are counted in bulk: a few kilobytes, and 30 µs every so often."""

RETRY = 64
"""Values after which the next one tries to count, while another thread is at it."""


class Buffered(Locked):
    """Takes values by a list's append, which no other thread can tear, to be counted in bulk.

    Thread-safe without a lock on the way in: a lock costs three times the append.
    """

    __slots__ = ("_append", "_buffer")

    def __init__(self) -> None:
        super().__init__()
        self._buffer: list[Any] = []
        self._append = self._buffer.append

    def _taken(self) -> list[Any]:
        """Take what waits; called under the lock. A value appended meanwhile waits on."""
        n = len(self._buffer)
        taken = self._buffer[:n]
        del self._buffer[:n]
        return taken


def floats(values: Sequence[Any]) -> NDArray[np.float64]:
    """Read values of any kind as float64; what is no number is NaN."""
    try:
        return np.frombuffer(struct.pack(f"{len(values)}d", *values))
    except Exception:  # noqa: BLE001 -- a value may be of any kind, and must not stop the others
        return np.array([_float(each) for each in values])


def _float(value: Any) -> float:
    if isinstance(value, str | bytes | bytearray):  # Python's float() would read them
        return math.nan
    try:
        return float(value)
    except OverflowError:
        if isinstance(value, int | Fraction):
            return math.inf if value > 0 else -math.inf
        return math.nan
    except Exception:  # noqa: BLE001 -- whatever it is, it is no number
        return math.nan
