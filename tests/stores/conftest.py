"""The three stores, each with somewhere new to keep its data and a way to let time pass there."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from pathlib import Path

import pytest

from mlguard import MemoryStore, SqliteStore, Store
from mlguard.integrations.redis import RedisStore
from mlguard.testing import ManualClock

Opened = tuple[Callable[[], Store], Callable[[float], object]]


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run a Redis server on a free port of this machine, without a disk."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("redis-server is not on the PATH")
    pytest.importorskip("redis")
    for _ in range(10):  # another program may take the port first
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        options = f"--port {port} --bind 127.0.0.1 --appendonly no".split()
        server = subprocess.Popen(
            [program, *options, "--save", ""],
            cwd=tmp_path_factory.mktemp("redis"),
            stdout=subprocess.PIPE,
            text=True,
        )
        assert server.stdout is not None
        if any("Ready to accept connections" in line for line in server.stdout):
            break
        server.wait()
        server.stdout.close()
    else:
        pytest.fail("redis-server does not start")
    yield f"redis://127.0.0.1:{port}/0"
    server.terminate()
    server.stdout.read()
    server.stdout.close()
    server.wait()


def in_memory() -> Opened:
    clock = ManualClock(1e6)
    store = MemoryStore(clock=clock)
    return lambda: store, clock.advance


def in_file(folder: Path, numbers: Iterator[int]) -> Opened:
    clock = ManualClock(1e6)
    return partial(SqliteStore, folder / f"{next(numbers)}.db", clock=clock), clock.advance


def in_redis(url: str, numbers: Iterator[int]) -> Opened:
    prefix = f"{{test}} {next(numbers)}:"
    return partial(RedisStore.from_url, url, prefix=prefix), partial(pass_in_redis, url, prefix)


def pass_in_redis(url: str, prefix: str, seconds: float) -> None:
    """Move the leases into the past, since the clock of a server cannot be pushed."""
    from redis import Redis

    with Redis.from_url(url) as client:
        for lease in client.scan_iter(f"{prefix}lease:*", count=1000):
            client.hincrby(lease, "acquired", -round(seconds * 1e6))
            client.hincrby(lease, "expires", -round(seconds * 1e6))


@pytest.fixture(params=["memory", "sqlite", "redis"])
def fresh(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Opened]:
    """Give a function that makes a new place for data: how to open it, how to let time pass."""
    if request.param == "memory":
        return in_memory
    if request.param == "sqlite":
        return partial(in_file, tmp_path, count())
    return partial(in_redis, request.getfixturevalue("redis_url"), NUMBERS)


NUMBERS = count()
