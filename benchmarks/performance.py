"""What a comparison of two models costs, in CPU: against sorting the scores, and scikit-learn."""

from __future__ import annotations

import statistics
import sys
import time
from typing import TYPE_CHECKING

import numpy as np
from sklearn.metrics import roc_auc_score

from mlguard.performance import compare

if TYPE_CHECKING:
    from collections.abc import Callable

LIMIT = 3.0
ROUNDS = 15
ROWS = 200_000
SLICES = 16


def cpu(work: Callable[[], object]) -> float:
    """Give the CPU seconds that a piece of work takes."""
    start = time.process_time()
    work()
    return time.process_time() - start


def main() -> int:
    """Measure the pieces by turns, print the medians, fail over the limit."""
    rng = np.random.default_rng(1)
    champion = rng.random(ROWS)
    y = rng.random(ROWS) < champion
    candidate = np.clip(champion + 0.1 * rng.standard_normal(ROWS), 0.0, 1.0)
    by = rng.integers(0, SLICES, ROWS)
    area, loss = "compare roc_auc", f"compare log_loss, {SLICES} slices"
    pieces: dict[str, Callable[[], object]] = {
        "np.argsort of both scores": lambda: [np.argsort(each) for each in (champion, candidate)],
        area: lambda: compare(y, champion, candidate, loss="roc_auc").overall,
        "sklearn.roc_auc_score of both": lambda: [
            roc_auc_score(y, each) for each in (champion, candidate)
        ],
        loss: lambda: compare(y, champion, candidate, loss="log_loss", by=by).slices,
    }
    for work in pieces.values():
        work()
    times: dict[str, list[float]] = {name: [] for name in pieces}
    for _ in range(ROUNDS):
        for name, work in pieces.items():
            times[name].append(cpu(work))
    print(f"{ROWS:,} rows, 2 models, CPU, median of {ROUNDS} rounds by turns:")
    for name, seconds in times.items():
        print(f"  {name}: {1e3 * statistics.median(seconds):.0f} ms")
    sorts, areas = times["np.argsort of both scores"], times[area]
    ratio = statistics.median(ours / sort for ours, sort in zip(areas, sorts, strict=True))
    print(f"{area} over the two sorts: {ratio:.2f} (limit {LIMIT:g})")
    return int(ratio > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
