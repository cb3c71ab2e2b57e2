"""Locks survive fork, copies and pickling."""

from __future__ import annotations

import copy
import os
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from mlguard import Action, Decision, cached
from mlguard.locks import Locked
from mlguard.testing import ManualClock, RecordingSink, ScriptedCheck


class Tally(Locked):
    __slots__ = ("__dict__", "count", "unset")

    def __init__(self) -> None:
        super().__init__()
        self.count = 0
        self.note = "in the dictionary"


class Equal(Locked):
    """One like all others, which makes it unhashable too."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Equal)

    __hash__ = None  # type: ignore[assignment] # as Python does for a class with __eq__


LOCKED = {
    "ours": Tally(),
    "a copy": copy.copy(Tally()),
    "a pickled one": pickle.loads(pickle.dumps(Tally())),  # noqa: S301 -- our own
    "an equal one": Equal(),
    "another equal one": Equal(),
    "ManualClock": ManualClock(5.0),
    "ScriptedCheck": ScriptedCheck("OK"),
    "Cached": cached(ScriptedCheck("OK"), ttl=1.0),
}
each_locked = pytest.mark.parametrize("owner", LOCKED.values(), ids=LOCKED)


@each_locked
def test_a_copy_gets_a_lock_of_its_own_even_while_the_original_is_locked(owner: Locked) -> None:
    with owner._lock:
        copies = [copy.copy(owner), copy.deepcopy(owner), pickle.loads(pickle.dumps(owner))]  # noqa: S301 -- our own
    for twin in copies:
        assert type(twin) is type(owner)
        assert twin._lock is not owner._lock
        assert not twin._lock.locked()


def test_a_copy_keeps_what_stands_in_slots_and_in_the_dictionary() -> None:
    tally = Tally()
    tally.count = 3
    twin = copy.copy(tally)
    assert (twin.count, twin.note, hasattr(twin, "unset")) == (3, "in the dictionary", False)


def test_the_doubles_keep_their_state_when_pickled() -> None:
    clock, script, sink = ManualClock(5.0), ScriptedCheck("OK WARN BREACH"), RecordingSink()
    clock.advance(2.0)
    script()
    sink(Decision(Action.HOLD, "no data"))
    clock2, script2, sink2 = pickle.loads(pickle.dumps((clock, script, sink)))  # noqa: S301 -- our own
    assert (clock2(), script2().severity.name, sink2.decisions) == (7.0, "WARN", sink.decisions)
    clock2.advance(1.0)
    assert (clock(), script().severity.name) == (7.0, "WARN")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")  # pytest-xdist has threads
@each_locked
def test_a_fork_with_a_held_lock_leaves_the_child_a_free_one(owner: Locked) -> None:
    lock = owner._lock
    with ThreadPoolExecutor(1) as pool:
        pool.submit(lock.acquire).result()  # another thread holds it: it is not there in the child
        child = os.fork()
        if not child:
            os._exit(0 if owner._lock.acquire(blocking=False) else 1)
        _, status = os.waitpid(child, 0)
        assert owner._lock is lock
        lock.release()
    assert os.waitstatus_to_exitcode(status) == 0


def test_many_threads_push_a_clock_and_follow_a_script_without_losing_a_step() -> None:
    clock, script = ManualClock(), ScriptedCheck(" ".join(["OK"] * 8000 + ["BREACH"]))
    start = threading.Barrier(8)

    def run() -> None:
        start.wait(20.0)
        for _ in range(1000):
            clock.advance(1.0)
            script()

    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(run) for _ in range(8)]:
            done.result()
    assert clock() == 8000.0
    assert script().severity.name == "BREACH"
