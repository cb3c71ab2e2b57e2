"""What a ledger costs: to append, to verify, in memory, with several writers on one file.

A decision is appended. CPU is what the number to hold is about: the disk of a shared machine varies
tenfold. Elapsed time stands beside it. Exit code 1 where a number to hold is missed.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
import tracemalloc
from functools import partial
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mlguard import Action, Decision, Ledger, Severity, Verdict

KEY = b"the secret of the benchmark"
APPEND, BATCH, VERIFY, MEMORY = 50.0, 100.0, 5.0, 4.0
"""µs of CPU an append unsynced and at 64 a sync, a verified record; MB at a million records."""
VERDICT = Verdict("p99", Severity.BREACH, "61 ms: above the limit of 50 ms")
RECORD = Decision(
    Action.ALERT,
    "p99 = 61 ms: above the limit of 50 ms",
    subject={"service": "delays", "model": "delays", "version": "7"},
    at=1_790_000_000.0,
    key="0c1d",
    verdicts=(VERDICT,),
).to_dict()
WRITER = """
import sys
from mlguard import Ledger
with Ledger(sys.argv[1], sync="never") as ledger:
    for number in range(int(sys.argv[2])):
        ledger.append({"writer": sys.argv[3], "number": number})
"""


def timed(work: Any, times: int) -> tuple[float, float]:
    """Give µs of CPU and elapsed, each time."""
    cpu, wall = time.process_time(), time.perf_counter()
    work()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    return 1e6 * cpu / times, 1e6 * wall / times


def median(rounds: list[tuple[float, float]]) -> tuple[float, float]:
    """Give the median of both."""
    cpu, wall = zip(*rounds, strict=True)
    return statistics.median(cpu), statistics.median(wall)


def appends(folder: Path, times: int, rounds: int, **arguments: Any) -> tuple[float, float]:
    """Measure appends."""
    found = []
    for number in range(rounds):
        with Ledger(
            folder / f"{len(list(folder.iterdir()))}-{number}.jsonl", **arguments
        ) as ledger:

            def work(ledger: Ledger = ledger) -> None:
                for _ in range(times):
                    ledger.append(RECORD)

            found.append(timed(work, times))
    return median(found)


def main() -> int:
    """Measure, print, fail over a limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=1_000_000, help="of the large ledger")
    given = parser.parse_args()
    missed = 0

    def tell(what: str, value: float, limit: float, unit: str, more: str = "") -> None:
        nonlocal missed
        missed += value > limit
        print(f"  {what}: {value:.1f} {unit} (limit {limit:g}){more}")

    with TemporaryDirectory() as name:
        folder = Path(name)
        print("an append, median of 5 rounds:")
        for what, limit, times, arguments in (
            ("unsynced", APPEND, 5_000, {"sync": "never"}),
            ("unsynced, with a key", APPEND, 5_000, {"sync": "never", "key": KEY}),
            ("64 a sync", BATCH, 2_000, {"sync": "batch", "batch": 64, "within": 1e6}),
            ("each synced", float("inf"), 200, {"sync": "always"}),
        ):
            cpu, wall = appends(folder, times, 5, **arguments)
            tell(what, cpu, limit, "µs CPU", f", {wall:.0f} µs elapsed")

    with TemporaryDirectory() as name:
        print(f"verify, {given.records:,} records:")
        for key in (None, KEY):
            path = Path(name) / f"{'with' if key else 'without'}.jsonl"
            with Ledger(path, key=key, sync="never") as ledger:
                for _ in range(given.records):
                    ledger.append(RECORD)
                anchor = ledger.anchor()
                cpu, _ = timed(partial(ledger.verify, anchor), given.records)
            tell(f"{path.stem} a key", cpu, VERIFY, "µs CPU a record")
        tracemalloc.start()
        found = Ledger(path, key=KEY).verify(anchor)
        peak = tracemalloc.get_traced_memory()[1] / 1e6
        tracemalloc.stop()
        tell("peak of memory", peak, MEMORY, "MB")
        missed += not found.intact or found.records < given.records

    with TemporaryDirectory() as name:
        path, count = Path(name) / "audit.jsonl", 1_000
        wall = time.perf_counter()
        running = [
            subprocess.Popen([sys.executable, "-c", WRITER, str(path), str(count), str(n)])
            for n in range(8)
        ]
        failed = sum(process.wait() != 0 for process in running)
        wall = time.perf_counter() - wall
        entries = list(Ledger(path))
        by_writer: dict[str, list[int]] = {}
        for entry in entries[1:]:
            by_writer.setdefault(entry.record["writer"], []).append(entry.record["number"])
        lost = 8 * count - sum(map(len, by_writer.values()))
        moved = sum(one > two for each in by_writer.values() for one, two in pairwise(each))
        broken = not Ledger(path).verify().intact
        print(f"8 processes × {count:,} appends: {wall:.1f} s with their start")
        tell("broken links, lost, out of order", broken + lost + moved + failed, 0, "records")
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
