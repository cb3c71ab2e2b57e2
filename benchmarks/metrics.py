"""What it costs to publish ten checks, in CPU milliseconds, over asking them."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlguard import Check

LIMIT = 2.0
"""Milliseconds over asking the checks: a scrape comes every few seconds."""
ROUNDS = 300


def ten() -> dict[str, Check]:
    """Make five latency budgets of two limits and five error budgets, with traffic in each."""
    from mlguard import ErrorBudget, LatencyBudget  # noqa: PLC0415 -- after the environment is set

    checks: dict[str, Check] = {}
    for place in range(5):
        latency, errors = LatencyBudget({0.5: 0.01, 0.99: 0.05}), ErrorBudget(0.999)
        latency.observe_many([0.005 + 0.00001 * each for each in range(5000)])
        errors.observe_counts(good=9990, bad=10)
        checks |= {f"latency {place}": latency, f"errors {place}": errors}
    return checks


def cpu(call: Callable[[], object]) -> float:
    """Give the median CPU milliseconds of a call."""
    call()
    times = []
    for _ in range(ROUNDS):
        start = time.process_time_ns()
        call()
        times.append((time.process_time_ns() - start) / 1e6)
    return statistics.median(times)


def measure(mode: str) -> int:
    """Measure in this process, whose mode its environment has set."""
    from prometheus_client import CollectorRegistry, generate_latest  # noqa: PLC0415 -- as above

    from mlguard.checks import ask  # noqa: PLC0415 -- as above
    from mlguard.integrations.prometheus import Exporter  # noqa: PLC0415 -- as above

    checks = ten()
    registry = CollectorRegistry()
    exporter = Exporter(checks, registry=registry)
    asking = cpu(lambda: [ask(check) for check in checks.values()])
    over = cpu(exporter.update) - asking
    series = sum(len(family.samples) for family in registry.collect())
    print(
        f"{mode}: update() of 10 checks, {series} series: {over:.2f} ms over asking them", end=" "
    )
    print(f"({asking:.2f} ms; limit {LIMIT} ms)")
    if mode == "one process":
        print(f"{mode}: generate_latest: {cpu(lambda: generate_latest(registry)):.2f} ms")
    return int(over > LIMIT)


def main() -> int:
    """Measure in one process and in multiprocess mode; fail over the limit."""
    if sys.argv[1:]:
        return measure(sys.argv[1])
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        for mode in ("one process", "multiprocess mode"):
            where = {"PROMETHEUS_MULTIPROC_DIR": folder} if mode == "multiprocess mode" else {}
            command = [sys.executable, __file__, mode]
            failed |= subprocess.run(command, env={**os.environ, **where}, check=False).returncode
    return failed


if __name__ == "__main__":
    sys.exit(main())
