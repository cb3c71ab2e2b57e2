"""What a million outcomes cost, in CPU: added in pieces in any order, joined, closed, measured."""

from __future__ import annotations

import statistics
import sys
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from mlguard.performance import Outcomes

if TYPE_CHECKING:
    from collections.abc import Callable

    Frame = dict[str, np.ndarray[Any, Any]]

LIMIT = 1.5
ROUNDS = 5
ROWS = 1_000_000
PIECES = 20
DAY = 86_400.0
DAYS = 60


def frames() -> tuple[list[Frame], Frame]:
    """Make a million rows, half of them predictions and half labels; and a million joined ones."""
    rng = np.random.default_rng(1)
    chance, at = rng.random(ROWS), rng.uniform(0.0, DAYS * DAY, ROWS)
    joined: Frame = {
        "id": np.array([f"tx-{n:09d}" for n in range(ROWS)], dtype=object),
        "predicted_at": at,
        "prediction": chance,
        "labelled_at": at + rng.lognormal(3.0, 0.5, ROWS) * DAY,
        "label": rng.random(ROWS) < chance,
        "country": rng.choice(np.array(["de", "fr", "it", "es"], dtype=object), ROWS),
    }
    pieces: list[Frame] = []
    for names in (("predicted_at", "prediction", "country"), ("labelled_at", "label")):
        order = rng.permutation(ROWS // 2)
        parts = np.array_split(order, PIECES // 2)
        pieces += [{name: joined[name][part] for name in ("id", *names)} for part in parts]
    return [pieces[n] for n in rng.permutation(len(pieces))], joined


def made() -> Outcomes:
    """Make an empty one."""
    return Outcomes(timedelta(days=45), loss="brier", slices=["country"], clock=lambda: 200.0 * DAY)


def added(pieces: list[Frame]) -> Outcomes:
    """Add all pieces, measure, and close what is old."""
    outcomes = made()
    for piece in pieces:
        outcomes.add(piece)
    outcomes.measure((DAYS + 45) * DAY)
    outcomes.close()
    return outcomes


def summed(joined: Frame) -> Outcomes:
    """Take a join, and measure."""
    outcomes = Outcomes.from_frame(
        {name: values for name, values in joined.items() if name != "id"},
        timedelta(days=45),
        loss="brier",
        slices=["country"],
        clock=lambda: 200.0 * DAY,
    )
    outcomes.measure((DAYS + 45) * DAY)
    return outcomes


def cpu(work: Callable[[], object]) -> float:
    """Give the CPU seconds that a piece of work takes."""
    start = time.process_time()
    work()
    return time.process_time() - start


def main() -> int:
    """Print the medians of some rounds by turns, fail over the limit."""
    pieces, joined = frames()
    works: dict[str, Callable[[], object]] = {
        f"add in {PIECES} frames, measure, close": lambda: added(pieces),
        "add in one frame": lambda: made().add(joined),
        "from_frame, measure": lambda: summed(joined),
    }
    made().add({name: values[:10] for name, values in joined.items()})  # imports what it needs
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(ROUNDS):
        for name, work in works.items():
            times[name].append(cpu(work))
    print(f"{ROWS:,} rows, 4 slices, {DAYS} days, CPU, median of {ROUNDS} rounds by turns:")
    medians = {name: statistics.median(seconds) for name, seconds in times.items()}
    for name, seconds in medians.items():
        print(f"  {name}: {seconds:.2f} s (limit {LIMIT:g} s)")
    size = len(added(pieces).to_json())
    print(f"  what is kept of it when all is closed, as JSON: {size / 1e3:.0f} kB")
    return int(max(medians.values()) > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
