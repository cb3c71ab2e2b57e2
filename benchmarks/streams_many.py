"""Several streams at once: CPU time of a value, by how many streams and rows there are at a time.

Each stream has a detector of its own. The work on a value is the same however many there are; what
a chunk costs besides is shared by its rows, and what a row costs by its streams.
"""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from mlguard.drift.streams import Adwin, EDetector, PageHinkley, ScanGLR, Streams

if TYPE_CHECKING:
    from collections.abc import Callable

MAKERS: dict[str, Callable[..., Any]] = {
    "ScanGLR": ScanGLR,
    "PageHinkley": PageHinkley,
    "Adwin": Adwin,
    "EDetector": partial(EDetector, baseline=0.5, low=-9.0, high=10.0),
}
STREAMS = (1, 10, 100)
CHUNKS = (1, 64, 1_024, 8_192)
VALUES = 100_000


def cost(make: Callable[..., Any], k: int, chunk: int) -> float:
    """Give the CPU nanoseconds of a value, of rows that come so many at a time."""
    rows = max(VALUES // k if chunk > 1 else VALUES // 10 // k, chunk)
    values = np.random.default_rng(1).normal(size=(rows, k))
    names = [f"stream {place}" for place in range(k)]
    streams = Streams(dict.fromkeys(names, make), false_alarm_every=100_000)
    streams.observe_many(values)
    parts: list[Any] = [dict(zip(names, row, strict=True)) for row in values.tolist()]
    if chunk > 1:
        parts = [values[start : start + chunk] for start in range(0, rows, chunk)]
    take = streams.observe_many if chunk > 1 else streams.observe
    start = time.process_time_ns()
    for part in parts:
        take(part)
    return (time.process_time_ns() - start) / (rows * k)


def main() -> None:
    """Print a table for each detector: the least of three."""
    for name, make in MAKERS.items():
        print(f"\n| {name}, ns a value | " + " | ".join(f"{n:,} rows" for n in CHUNKS) + " |")
        print("|---" * (len(CHUNKS) + 1) + "|")
        for k in STREAMS:
            found = [min(cost(make, k, chunk) for _ in range(3)) for chunk in CHUNKS]
            print(f"| {k} streams | " + " | ".join(f"{each:,.0f}" for each in found) + " |")


if __name__ == "__main__":
    main()
