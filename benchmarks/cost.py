"""What a reservation costs, and that no cap is ever exceeded: in memory, in SQLite, in Redis.

Redis is measured where redis-server and its client are there. Limits fail the run.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlguard import BudgetExceeded, Calendar, CostBudget, MemoryStore, Money, SqliteStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PRICE = Money("0.01 USD")
CALLS = 100
PROCESSES = THREADS = 8
SHORT, LONG = 0.002, 0.2
"""Seconds that a call takes."""


def budget(store: Any, cap: Money, name: str = "bench") -> CostBudget:
    """Make the budget that is measured."""
    return CostBudget(
        name,
        cap,
        window=Calendar("month"),
        store=store,
        on_store_error="deny",
        on_unsettled="reserved",
    )


def pairs(of: CostBudget, times: int) -> None:
    """Reserve and settle."""
    reserved = PRICE * 2
    for _ in range(times):
        with of.reserve(reserved) as call:
            call.settle(PRICE)


def cost(store: Any, times: int, clock: Callable[[], float]) -> float:
    """Give microseconds of a pair: the least of several rounds."""
    of = budget(store, Money("1000000 USD"))
    pairs(of, times)
    rounds = []
    for _ in range(7):
        start = clock()
        pairs(of, times)
        rounds.append((clock() - start) / times * 1e6)
    return min(rounds)


def spend_all(of: CostBudget, seed: int) -> None:
    """Make calls until the cap is spent."""
    rng = random.Random(seed)  # noqa: S311 -- no secret
    while True:
        try:
            with of.reserve(PRICE * 2) as call:
                call.dispatched()
                time.sleep(rng.uniform(SHORT, LONG))
                call.settle(PRICE)
        except BudgetExceeded as refused:
            if not refused.reserved or not refused.reserved.nanos:
                return
            time.sleep(SHORT)


def crowd(open_store: Callable[[], Any], name: str, threads: int) -> None:
    """Spend from many threads of a process."""
    of = budget(open_store(), PRICE * CALLS, name)
    running = [
        threading.Thread(target=spend_all, args=(of, os.getpid() * 1000 + number))
        for number in range(threads)
    ]
    for each in running:
        each.start()
    for each in running:
        each.join()


def share_spent(open_store: Callable[[], Any], processes: int, threads: int) -> float:
    """Give the share of the cap that all together spent."""
    name = f"crowd {processes} {threads} {time.time()}"
    context = multiprocessing.get_context("fork")
    running = [
        context.Process(target=crowd, args=(open_store, name, threads)) for _ in range(processes)
    ]
    for each in running:
        each.start()
    for each in running:
        each.join()
    of = budget(open_store(), PRICE * CALLS, name)
    return spent(of)


def spent(of: CostBudget) -> float:
    """Give the share of the cap that is spent; nothing may be reserved any more."""
    of.refresh()
    known = of.known()
    if known is None or known.reserved.nanos or of.reconcile():
        sys.exit(f"{of.name}: something is still reserved, or a counter is wrong")
    return known.spent.nanos / known.cap.nanos


def busy(open_store: Callable[[], Any], times: int, found: Any) -> None:
    """Reserve and settle, and note how long each pair took."""
    of = budget(open_store(), Money("1000000 USD"), "busy")
    took = []
    start = time.perf_counter()
    for _ in range(times):
        before = time.perf_counter()
        pairs(of, 1)
        took.append(time.perf_counter() - before)
    found.put((time.perf_counter() - start, took))


def together(open_store: Callable[[], Any], times: int) -> tuple[float, float]:
    """Give pairs a second from eight processes, and the milliseconds of the 99th percentile."""
    context = multiprocessing.get_context("fork")
    found: Any = context.Queue()
    running = [
        context.Process(target=busy, args=(open_store, times, found)) for _ in range(PROCESSES)
    ]
    for each in running:
        each.start()
    results = [found.get() for _ in running]
    for each in running:
        each.join()
    took = sorted(each for _, some in results for each in some)
    return PROCESSES * times / max(whole for whole, _ in results), took[int(0.99 * len(took))] * 1e3


def redis_store(url: str) -> Any:
    """Open the store in Redis."""
    from mlguard.integrations.redis import RedisStore  # noqa: PLC0415 -- optional

    return RedisStore.from_url(url)


@contextmanager
def redis() -> Iterator[str | None]:
    """Run a server on a free port."""
    program = shutil.which("redis-server")
    if program is None:
        yield None
        return
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        options = f"--port {port} --bind 127.0.0.1 --appendonly no".split()
        command = [program, *options, "--save", ""]
        server = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True)
        for line in server.stdout or ():
            if "Ready to accept" in line:
                break
        try:
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            server.terminate()
            server.wait()


def main() -> None:
    """Measure, print, and fail over a limit."""
    rows: list[tuple[str, float, float | None, bool]] = []
    with tempfile.TemporaryDirectory() as folder, redis() as url:
        file = partial(SqliteStore, Path(folder) / "guard.db")
        rows.append(
            ("memory: a pair, us of CPU", cost(MemoryStore(), 20_000, time.process_time), 3, False)
        )
        rows.append(
            ("SQLite: a pair, us of CPU", cost(file(), 1_000, time.process_time), 200, False)
        )
        rows.append(
            ("SQLite: a pair, us elapsed", cost(file(), 1_000, time.perf_counter), 200, False)
        )
        rate, slowest = together(file, 1_500)
        rows.append((f"SQLite, {PROCESSES} processes: pairs a second", rate, 3_000, True))
        rows.append(("SQLite, the same: p99 of a pair, ms", slowest, 10, False))
        if url:
            shared = partial(redis_store, url)
            rows.append(
                ("Redis: a pair, us elapsed", cost(shared(), 500, time.perf_counter), None, False)
            )
        kept = MemoryStore()
        crowd(lambda: kept, "crowd", PROCESSES * THREADS)
        shares = [("memory, 64 threads", spent(budget(kept, PRICE * CALLS, "crowd")))]
        shares.append(("SQLite, 8 x 8", share_spent(file, PROCESSES, THREADS)))
        if url:
            shares.append(("Redis, 8 x 8", share_spent(shared, PROCESSES, THREADS)))
        rows += [
            (f"{name}: share of the cap that is spent", each, 0.98, True) for name, each in shares
        ]
    missed = any(each > 1.0 for _, each in shares)
    for what, measured, limit, least in rows:
        bad = limit is not None and (measured < limit if least else measured > limit)
        missed |= bad
        words = "" if limit is None else f" ({'at least' if least else 'limit'} {limit:g})"
        print(f"{what}: {measured:.4g}{words}{' MISSED' if bad else ''}")
    if missed:
        sys.exit("a limit was missed, or a cap exceeded")


if __name__ == "__main__":
    main()
