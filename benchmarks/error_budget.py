"""What the alerts of an error budget promise: false pages a month, and minutes to the true ones.

Simulated services with an SLO of 99.9 % over 30 days, asked every minute; requests come at random.
Healthy ones use half of their budget for twelve months. Exits with 1 where a promise is broken.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator

import numpy as np

from mlguard import ErrorBudget, Severity
from mlguard.testing import ManualClock

SLO = 0.999
HEALTHY = (1.0 - SLO) / 2
MONTHS = 12
MINUTES = 30 * 24 * 60
LOOK_BACK = 6 * 60 + 6
"""Minutes of the longest window that pages, and a slot: without a bad request there none fires."""
RUNS = 200

# Requests an hour; and the share that fails: the minutes that half and that 90 % of the runs may
# take to be found.
RATES = (20, 60, 300, 3000)
OUTAGE, BURN = 1.0, 20 * (1.0 - SLO)
PROMISED = {(60, OUTAGE): (15, 15), (3000, OUTAGE): (2, 2), (3000, BURN): (45, 60)}


def pages(per_hour: int, min_bad_events: int) -> int:
    """Count how often a page begins at a healthy service."""
    rng = np.random.default_rng(per_hour)
    goods = rng.poisson(per_hour / 60 * (1 - HEALTHY), MONTHS * MINUTES).tolist()
    bads = rng.poisson(per_hour / 60 * HEALTHY, MONTHS * MINUTES).tolist()
    clock = ManualClock(1.7e9)
    errors = ErrorBudget(SLO, min_bad_events=min_bad_events, clock=clock)
    found, paging, last = 0, False, -LOOK_BACK
    for minute, (good, bad) in enumerate(zip(goods, bads, strict=True)):
        clock.advance(60.0)
        if good or bad:
            errors.observe_counts(good=good, bad=bad)
        last = minute if bad else last
        was, paging = paging, minute - last < LOOK_BACK and errors().severity is Severity.BREACH
        found += paging and not was
    return found


def delay(per_hour: int, share: float, seed: int) -> float:
    """Count the minutes until a page, once that share of the requests fails."""
    rng = np.random.default_rng(seed)
    clock = ManualClock(1.7e9 + rng.uniform(0.0, 3600.0))
    errors = ErrorBudget(SLO, clock=clock)
    for minute in range(-LOOK_BACK, 1440):
        clock.advance(60.0)
        bad = HEALTHY if minute < 0 else share
        good, failed = rng.poisson([per_hour / 60 * (1 - bad), per_hour / 60 * bad]).tolist()
        errors.observe_counts(good=good, bad=failed)
        if minute >= 0 and errors().severity is Severity.BREACH:
            return minute + 1.0
    return np.inf


def false_pages() -> Iterator[bool]:
    """Print the false pages a month; tell of each promise whether it is broken."""
    print(f"false pages in {MONTHS} months, and a month (classic: min_bad_events=1)")
    print(f"{'requests/h':>12} {'classic':>8} {'a month':>8} {'default':>8} {'promised':>8}")
    for rate in RATES:
        classic, ours = pages(rate, 1), pages(rate, 5)
        print(f"{rate:12,} {classic:8} {classic / MONTHS:8.1f} {ours:8} {0:8}")
        yield ours > 0


def detection() -> Iterator[bool]:
    """Print the minutes to a page; tell of each promise whether it is broken."""
    print(f"\nminutes to a page, {RUNS} runs (inf: not within a day)")
    print(f"{'what':>16} {'requests/h':>12} {'median':>8} {'p90':>8} {'p99':>8} {'promised':>14}")
    for name, share in (("total outage", OUTAGE), ("20 x burn", BURN)):
        for rate in RATES:
            found = sorted(delay(rate, share, seed) for seed in range(RUNS))
            median, p90, p99 = (found[int(q * RUNS)] for q in (0.5, 0.9, 0.99))
            limits = PROMISED.get((rate, share))
            words = "" if limits is None else f"{limits[0]}, p90 {limits[1]}"
            print(f"{name:>16} {rate:12,} {median:8.0f} {p90:8.0f} {p99:8.0f} {words:>14}")
            if limits is not None:
                yield median > limits[0] or p90 > limits[1]


def cost() -> None:
    """Print what counting and asking cost."""
    clock = ManualClock(1.7e9)
    errors = ErrorBudget(SLO, clock=clock)
    for _ in range(3 * 24 * 60):
        clock.advance(60.0)
        errors.observe_counts(good=50, bad=1)
    print("\nCPU time, best of 20 rounds")
    for name, work, times in (
        ("observe(True)", lambda: errors.observe(True), 20_000),  # noqa: FBT003 -- as users do
        ("a verdict", errors, 200),
        ("remaining", lambda: errors.remaining, 1_000),
        ("to_json()", errors.to_json, 50),
    ):
        rounds = []
        for _ in range(20):
            start = time.process_time()
            for _ in range(times):
                work()
            rounds.append((time.process_time() - start) / times)
        print(f"{name:>16} {1e6 * min(rounds):10.2f} µs")


if __name__ == "__main__":
    broken = [*false_pages(), *detection()]
    cost()
    sys.exit(any(broken))
