"""What is special about the store in memory."""

from __future__ import annotations

import copy
import os
import pickle
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from mlguard import MemoryStore, StateConflict
from mlguard.testing import ManualClock


def test_a_copy_goes_on_alone_from_what_it_got() -> None:
    store = MemoryStore(clock=ManualClock())
    store.save("key", b"both")
    for twin in (copy.deepcopy(store), pickle.loads(pickle.dumps(store))):  # noqa: S301 -- our own
        assert twin.load("key") == (b"both", 1)
        twin.save("key", b"the copy's")
    assert store.load("key") == (b"both", 1)


class Yielding(dict[bytes, Any]):
    """Lets another thread run between reading and writing."""

    __slots__ = ()

    def get(self, key: bytes, default: Any = None) -> Any:
        found = super().get(key, default)
        time.sleep(0)
        return found


def test_no_thread_comes_between_reading_and_writing() -> None:
    store = MemoryStore(clock=ManualClock())
    store._states, store._leases = Yielding(), Yielding()
    start = threading.Barrier(8)

    def run(_: int) -> tuple[int, int]:
        saved = lent = 0
        start.wait(60.0)
        for turn in range(100):
            try:
                store.save(f"{turn}", b"", if_version=0)
                saved += 1
            except StateConflict:
                pass
            lent += store.acquire(f"{turn}", 60.0) is not None
        return saved, lent

    with ThreadPoolExecutor(8) as pool:
        saved, lent = (sum(each) for each in zip(*pool.map(run, range(8)), strict=True))
    assert (saved, lent) == (100, 100)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")  # pytest-xdist has threads
def test_a_forked_child_goes_on_alone() -> None:
    store = MemoryStore()
    version = store.save("key", b"both")
    with store._lock:
        child = os.fork()
        if not child:
            saved = store.load("key") == (b"both", version) and store.save("key", b"the child's")
            os._exit(0 if saved else 1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert store.load("key") == (b"both", version)


def test_versions_and_tokens_follow_the_clock() -> None:
    clock = ManualClock(1_000.0)
    before = MemoryStore(clock=clock)
    assert [before.save("key", b""), before.acquire("decider", 5.0)] == [10**9, 10**9 + 1]
    clock.advance(1.0)  # the process starts again, and whoever saw the old tokens takes the new
    assert MemoryStore(clock=clock).acquire("decider", 5.0) == 1_001_000_000


def test_its_clock_is_that_of_the_year_and_does_not_run_backwards() -> None:
    version = MemoryStore().save("key", b"")
    assert version > 1_700_000_000_000_000
