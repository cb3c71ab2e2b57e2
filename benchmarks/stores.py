"""What a store costs: in memory, in a file, and in Redis where there is a server."""

from __future__ import annotations

import shutil
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from mlguard import MemoryStore, SqliteStore, Store
from mlguard.integrations.redis import RedisStore

LIMITS = {  # µs of CPU
    "memory": {"load": 5.0, "save": 15.0, "acquire + release": 40.0},
    "SQLite": {"load": 50.0, "save": 200.0, "acquire + release": 400.0},
}
DATA = bytes(range(256)) * 16
TIMES = 500
ROUNDS = 15


def measured(work: Callable[[], object]) -> tuple[float, float]:
    """Give the µs of CPU and of the clock on the wall that a piece of work takes, each time."""
    cpu, wall = time.process_time(), time.perf_counter()
    for _ in range(TIMES):
        work()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    return 1e6 * cpu / TIMES, 1e6 * wall / TIMES


def lend(store: Store) -> None:
    """Take a lease and give it back."""
    token = store.acquire("decider", 60.0)
    if token is None or not store.release("decider", token):
        message = "the lease was not lent"
        raise SystemExit(message)


@contextmanager
def redis(folder: str) -> Iterator[RedisStore | None]:
    """Run a server on a free port of this machine, where there is one."""
    program = shutil.which("redis-server")
    if program is None:
        yield None
        return
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [program, *f"--port {port} --bind 127.0.0.1 --appendonly no".split(), "--save", ""]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as server:
        try:
            for line in server.stdout or ():
                if "Ready to accept connections" in line:
                    break
            yield RedisStore.from_url(f"redis://127.0.0.1:{port}/0")
        finally:
            server.kill()


def main() -> int:
    """Measure the stores by turns, print the medians, fail over a limit."""
    over = 0
    with (
        TemporaryDirectory() as folder,
        closing(SqliteStore(Path(folder) / "guard.db")) as file,
        redis(folder) as server,
    ):
        stores: dict[str, Store | None] = {"memory": MemoryStore(), "SQLite": file, "Redis": server}
        print(f"µs an operation, {len(DATA)} bytes, median of {ROUNDS} rounds by turns:")
        times: dict[tuple[str, str], list[tuple[float, float]]] = {}
        for _ in range(ROUNDS):
            for name, store in stores.items():
                if store is None:
                    continue
                store.save("key", DATA)
                pieces: dict[str, Callable[[], object]] = {
                    "load": partial(store.load, "key"),
                    "save": partial(store.save, "key", DATA),
                    "acquire + release": partial(lend, store),
                }
                for what, work in pieces.items():
                    times.setdefault((name, what), []).append(measured(work))
    for (name, what), rounds in times.items():
        cpu, wall = (statistics.median(each) for each in zip(*rounds, strict=True))
        limit = LIMITS.get(name, {}).get(what, float("inf"))
        over += cpu > limit
        print(f"  {name}, {what}: {cpu:.1f} CPU (limit {limit:g}), {wall:.1f} elapsed")
    if server is None:
        print("  Redis: redis-server is not on the PATH")
    return int(over > 0)


if __name__ == "__main__":
    sys.exit(main())
