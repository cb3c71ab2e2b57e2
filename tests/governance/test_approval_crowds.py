"""Many voters and many users at once: no vote is lost, and what is used once is used once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import closing
from functools import partial
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier
from pathlib import Path
from threading import Barrier as ThreadBarrier
from threading import Thread
from typing import Any

import pytest

from mlguard import (
    ApprovalRequest,
    Approvals,
    GuardBreached,
    MemoryStore,
    Principal,
    Quorum,
    SqliteStore,
    Store,
    approved,
)

NOW, KEY, CROWD = 1_900_000_000.0, b"a key of at least sixteen bytes", 8


def principal(credential: object) -> Principal:
    return Principal(str(credential))


def now() -> float:
    return NOW


def desk(store: Store) -> Approvals:
    return Approvals("eta", store, authenticate=principal, quorum=Quorum(CROWD), key=KEY, clock=now)


def asked(nonce: str, environment: str = "production") -> ApprovalRequest:
    return ApprovalRequest(
        subject_digest="sha256:5e",
        action="deploy",
        environment=environment,
        policy_digest="json:0c",
        evidence_digest="sha256:1d",
        requester="cy",
        expires=NOW + 10.0,
        nonce=nonce,
    )


def vote(approvals: Approvals, request: ApprovalRequest, number: int) -> object:
    return approvals.approve(request, f"p{number}")


def consumed(approvals: Approvals, request: ApprovalRequest, _: int = 0) -> bool:
    names = ("action", "environment", "policy_digest", "subject_digest")
    try:
        approvals.use(request, **{name: getattr(request, name) for name in names}, consume=True)
    except GuardBreached:
        return False
    return True


def at_once(act: Callable[[int], object]) -> list[object]:
    start, gave = ThreadBarrier(CROWD), list[object]()

    def run(number: int) -> None:
        start.wait()
        gave.append(act(number))

    threads = [Thread(target=run, args=(number,)) for number in range(CROWD)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(gave) == CROWD
    return gave


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_threads_lose_no_vote_and_use_it_once(kind: str, tmp_path: Path) -> None:
    store: Any = MemoryStore() if kind == "memory" else SqliteStore(tmp_path / "guard.db")
    approvals = desk(store)
    for turn in range(10):
        request = asked(str(turn))
        approvals.submit(request, "cy")
        at_once(partial(vote, approvals, request))
        assert approved(request, approvals)().ok
        used = at_once(partial(consumed, approvals, request))
        assert Counter(used) == {True: 1, False: CROWD - 1}
        whats = Counter(event.what for event in approvals.history(request))
        assert whats == {"submit": 1, "approve": CROWD, "use": 1}
    if kind == "sqlite":
        store.close()


def test_of_requests_at_once_one_is_the_newest() -> None:
    approvals = desk(MemoryStore())
    at_once(lambda number: approvals.submit(asked(str(number)), "cy"))
    current = [each for each in approvals.requests() if "pending" in approvals.verdict(each).reason]
    assert len(approvals.requests()) == CROWD
    assert len(current) == 1


def turned(turn: int) -> ApprovalRequest:
    return asked(str(turn), environment=f"region-{turn}")


def voter(path: Path, number: int, start: Barrier, used: Any, turns: int) -> None:
    with closing(SqliteStore(path)) as store:
        approvals = desk(store)
        for turn in range(turns):
            start.wait(60.0)
            approvals.approve(turned(turn), f"p{number}")
            start.wait(60.0)
            used.put((turn, consumed(approvals, turned(turn))))


@pytest.mark.parametrize("turns", [3, pytest.param(50, marks=pytest.mark.slow)])
def test_processes_lose_no_vote_and_use_it_once(tmp_path: Path, turns: int) -> None:
    path, context = tmp_path / "guard.db", get_context("spawn")
    with closing(SqliteStore(path)) as store:
        for turn in range(turns):
            desk(store).submit(turned(turn), "cy")
    start, used = context.Barrier(CROWD), context.Queue()
    processes = [
        context.Process(target=voter, args=(path, number, start, used, turns))
        for number in range(CROWD)
    ]
    for process in processes:
        process.start()
    results = Counter(used.get(timeout=120.0) for _ in range(CROWD * turns))
    for process in processes:
        process.join(60.0)
    assert [each.exitcode for each in processes] == [0] * CROWD
    assert results == {
        (turn, won): n for turn in range(turns) for won, n in ((True, 1), (False, CROWD - 1))
    }
    with closing(SqliteStore(path)) as store:
        for turn in range(turns):
            whats = Counter(event.what for event in desk(store).history(turned(turn)))
            assert whats == {"submit": 1, "approve": CROWD, "use": 1}
