"""The system's clocks, as arguments for everything that needs the time."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class UnixClock:
    """Unix seconds that never run backwards: a wall clock read once, carried by a monotonic one.

    Thread-safe. A copy in another process keeps the origin, which is that of this machine's boot.
    """

    origin: float
    monotonic: Callable[[], float]

    def __call__(self) -> float:
        return self.origin + self.monotonic()


def unix_clock(
    wall: Callable[[], float] = time.time, monotonic: Callable[[], float] = time.monotonic
) -> UnixClock:
    """Make a clock of Unix seconds that never runs backwards.

    The wall clock is read once, here; the monotonic clock carries it on. A wall clock that is
    set back later cannot reopen a window, bring back an expired waiver or make anyone wait.

    Examples:
        >>> clock = unix_clock(wall=lambda: 1000.0, monotonic=iter([5.0, 7.5]).__next__)
        >>> clock()
        1002.5
    """
    return UnixClock(wall() - monotonic(), monotonic)
