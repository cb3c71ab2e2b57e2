"""Replicas that start again and are killed tell of each episode once: threads and real processes."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path
from threading import Thread

import pytest

from mlguard import Action, Decision, MemoryStore, Store, once
from mlguard.integrations.sinks import json_lines

Make = Callable[[], Store]
Fresh = Callable[[], tuple[Make, Callable[[float], object]]]

ALERT, RESOLVE = Action.ALERT, Action.RESOLVE
REPLICAS, LIVES, LEASE = 6, 3, 120.0


def decision(action: Action, key: str, at: float) -> Decision:
    return Decision(action, "p99 = 61 ms", key=key, at=at, policy_digest="5e")


def replica(make: Make, path: Path, episodes: list[str], number: int) -> None:
    """Live three times; each life goes through all episodes from the first, by a clock of its own."""
    for life in range(LIVES):
        page = once(json_lines(path), store=make(), name="pager", lease=LEASE)
        for action in (ALERT, RESOLVE):
            for place, key in enumerate(episodes):
                page(decision(action, key, 100.0 * place + 10.0 * number + life))
        page.retry()


def run(make: Make, path: Path, *episodes: str) -> None:
    numbers = range(REPLICAS)
    arguments = [(make, path, list(episodes), number) for number in numbers]
    if isinstance(make(), MemoryStore):
        threads = [Thread(target=replica, args=each) for each in arguments]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return
    context = get_context("spawn")
    processes = [context.Process(target=replica, args=each) for each in arguments]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120.0)
    assert [each.exitcode for each in processes] == [0] * REPLICAS


def told(path: Path) -> Counter[tuple[str, str]]:
    lines = path.read_text().splitlines() if path.exists() else []
    records = map(json.loads, lines)
    return Counter((each["action"], each["key"]) for each in records)


def test_six_replicas_that_start_three_times_trigger_once_and_resolve_once(
    fresh: Fresh, tmp_path: Path
) -> None:
    make, _ = fresh()
    path = tmp_path / "told.jsonl"
    run(make, path, "first")
    assert told(path) == {("ALERT", "first"): 1, ("RESOLVE", "first"): 1}
    run(make, path, "first", "second", "third")
    assert told(path) == {
        (action, key): 1 for action in ("ALERT", "RESOLVE") for key in ("first", "second", "third")
    }
    assert len(make().keys("once/")) == 3


def suicidal(make: Make, path: Path, *, delivers: bool) -> None:
    """Be killed while the lease is held: after the delivery and before the mark, or before both."""

    def sink(decision: Decision) -> None:
        if delivers:
            json_lines(path)(decision)
        os.kill(os.getpid(), signal.SIGKILL)

    once(sink, store=make(), name="pager", lease=LEASE)(decision(ALERT, "k", 1.0))


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="nothing can be killed here")
@pytest.mark.parametrize("delivers", [True, False])
def test_a_replica_killed_while_it_delivers_loses_nothing(
    fresh: Fresh,
    tmp_path: Path,
    delivers: bool,  # noqa: FBT001 -- a parameter of the test
) -> None:
    make, let_pass = fresh()
    if isinstance(make(), MemoryStore):
        pytest.skip("a process that is killed leaves nothing of its memory")
    path = tmp_path / "told.jsonl"
    process = get_context("spawn").Process(
        target=suicidal, args=(make, path), kwargs={"delivers": delivers}
    )
    process.start()
    process.join(120.0)
    assert process.exitcode == -signal.SIGKILL
    assert told(path)["ALERT", "k"] == delivers

    page = once(json_lines(path), store=make(), name="pager", lease=LEASE)
    page(decision(ALERT, "k", 1.0))
    page(decision(RESOLVE, "k", 2.0))
    assert told(path)["ALERT", "k"] == delivers  # the lease of the dead one still runs
    assert [each.action for each in page.pending] == [ALERT, RESOLVE]

    let_pass(LEASE)
    page.retry()
    assert told(path) == {("ALERT", "k"): 1 + delivers, ("RESOLVE", "k"): 1}
    assert page.pending == ()
