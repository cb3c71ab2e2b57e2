"""Time that skips the waiting: what is computed takes as long as it takes, what is waited for takes no time at all."""

from __future__ import annotations

import asyncio
import selectors
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime


class SkippingClock:
    """Unix seconds: those that really passed, and those that were pushed. Not thread-safe."""

    __slots__ = ("_ahead",)

    def __init__(self, start: datetime) -> None:
        self._ahead = start.timestamp() - time.perf_counter()

    def __call__(self) -> float:
        return self._ahead + time.perf_counter()

    def push(self, seconds: float) -> None:
        """Let time pass."""
        self._ahead += seconds


class SkippingLoop(asyncio.SelectorEventLoop):
    """An event loop that lives by such a clock: where all tasks wait, it pushes the clock to the first that is due."""

    def __init__(self, clock: SkippingClock) -> None:
        self._simulated = clock
        super().__init__(_Skipping(clock))

    def time(self) -> float:
        """Return the simulated time."""
        return self._simulated()


class _Skipping(selectors.DefaultSelector):
    def __init__(self, clock: SkippingClock) -> None:
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is not None and timeout > 0:
            self._clock.push(timeout)
            timeout = 0
        return super().select(timeout)
