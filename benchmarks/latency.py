"""What it costs to count a latency, and to ask for a quantile of a window of sixty slots.

The floor of a scalar add is a method that appends to a list, in the same run. Limits fail the run.
"""

from __future__ import annotations

import sys
import threading
import time
import tracemalloc
from typing import TYPE_CHECKING

import numpy as np

from mlguard import Histogram, LatencyBudget
from mlguard.testing import ManualClock

if TYPE_CHECKING:
    from collections.abc import Callable

ADDS = 200_000
THREADS = 4


class Floor:
    """The least that counting by a method can cost."""

    __slots__ = ("_append",)

    def __init__(self) -> None:
        values: list[float] = []
        self._append = values.append

    def add(self, value: float) -> None:
        """Append."""
        self._append(value)


def least(work: Callable[[], object], repeats: int, clock: Callable[[], float]) -> float:
    """Give the least time of several runs, in seconds: neighbours only ever add to it."""
    found = float("inf")
    for _ in range(repeats):
        start = clock()
        work()
        found = min(found, clock() - start)
    return found


def each(add: Callable[[float], object], values: list[float]) -> Callable[[], None]:
    """Add values one by one."""

    def work() -> None:
        for value in values:
            add(value)

    return work


def scalar(make: Callable[[], Callable[[float], object]], values: list[float]) -> float:
    """Give nanoseconds of CPU time per scalar add, the loop included."""
    work = [each(make(), values) for _ in range(9)]
    return min(least(run, 1, time.process_time) for run in work) / len(values) * 1e9


def threaded(add: Callable[[float], object], values: list[float], threads: int) -> float:
    """Give nanoseconds of wall time per add with so many threads at it."""
    part = values[: len(values) // threads]

    def work() -> None:
        running = [threading.Thread(target=each(add, part)) for _ in range(threads)]
        for thread in running:
            thread.start()
        for thread in running:
            thread.join()

    return least(work, 9, time.perf_counter) / (len(part) * threads) * 1e9


def window(values: np.ndarray) -> LatencyBudget:
    """Fill all sixty slots of a window."""
    clock = ManualClock(1_000_000.0)
    budget = LatencyBudget({0.5: 0.060, 0.95: 0.3, 0.99: 0.5}, clock=clock)
    for part in np.array_split(values, 60):
        budget.observe_many(part)
        clock.advance(budget.window / budget.slots)
    return budget


def main() -> None:
    """Measure, print, and fail over a limit."""
    rng = np.random.default_rng(1)
    values = rng.lognormal(-3.0, 0.8, 1_000_000)
    some = values[:ADDS].tolist()
    budget = window(values[:100_000])
    histogram = Histogram()
    alone, together = (threaded(Histogram().add, some, count) for count in (1, THREADS))
    tracemalloc.start()
    kept = window(values[:100_000])
    kilobytes = tracemalloc.get_traced_memory()[0] / 1000
    tracemalloc.stop()
    rows = [
        ("floor: a method that appends to a list, ns", scalar(lambda: Floor().add, some), None),
        ("Histogram.add, ns", scalar(lambda: Histogram().add, some), 120),
        (
            "Histogram.add_many, ns a value",
            least(lambda: histogram.add_many(values), 9, time.process_time) * 1e3,
            5,
        ),
        (
            "LatencyBudget.observe with its window, ns",
            scalar(lambda: LatencyBudget({0.99: 0.05}).observe, some),
            250,
        ),
        (
            "p99 over 60 slots, 100,000 requests, us",
            least(lambda: budget.quantile(0.99), 500, time.process_time) * 1e6,
            20,
        ),
        (f"memory of {kept!r}, kB", kilobytes, 200),
        ("its verdict over 3 quantiles, us", least(budget, 200, time.process_time) * 1e6, None),
        ("its JSON, ms", least(budget.to_json, 20, time.process_time) * 1e3, None),
        (f"{THREADS} threads over one, ratio of wall time", together / alone, 1.3),
    ]
    missed = False
    for what, measured, limit in rows:
        missed |= limit is not None and measured > limit
        print(f"{what}: {measured:.4g}" + ("" if limit is None else f" (limit {limit})"))
    if missed:
        sys.exit("a limit was missed")


if __name__ == "__main__":
    main()
