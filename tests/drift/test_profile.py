from __future__ import annotations

import copy
import json
import math
import os
import pickle
import sys
import threading
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from mlguard.drift import Profile, Reference, Sampled
from mlguard.errors import ConfigurationError

rng = np.random.default_rng(2)
FRAME: dict[str, Any] = {"x": rng.normal(size=500), "k": rng.choice(["a", "b", "c"], 500)}
REFERENCE = Reference.fit(FRAME)
ROW = {"x": 0.5, "k": "a"}


@pytest.fixture
def _many_switches() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("_many_switches")
def test_threads_lose_nothing_and_double_nothing() -> None:
    profile = REFERENCE.profile()
    batch = {"x": [0.5, math.nan], "k": ["a", None]}
    taken: list[Profile] = []
    running = threading.Event()
    running.set()

    def serve() -> None:
        for _ in range(300):
            profile.observe(ROW, at=5.0)
            profile.observe_many(batch)

    def take() -> None:
        while running.is_set():
            taken.append(profile.take())

    servers = [threading.Thread(target=serve) for _ in range(4)]
    taker = threading.Thread(target=take)
    for thread in (taker, *servers):
        thread.start()
    for thread in servers:
        thread.join()
    running.clear()
    taker.join()
    total = profile.take()
    for part in taken:
        for columns in part.layout.parts.values():
            assert part.counts[columns].sum() == part.rows
        total += part
    alone = REFERENCE.profile()
    alone.observe_many(
        {"x": [0.5] * 2_400 + [math.nan] * 1_200, "k": ["a"] * 2_400 + [None] * 1_200}
    )
    assert total.counts.tolist() == alone.counts.tolist()
    assert total.rows == 3_600
    assert profile.rows == 0


def test_take_starts_at_zero() -> None:
    profile = REFERENCE.profile(FRAME)
    profile.observe({"new": 1}, at=3.0)
    taken = profile.take()
    assert (taken.rows, taken.span, taken.schema_changes) == (
        501,
        (3.0, 3.0),
        ["unknown column new"],
    )
    assert profile == REFERENCE.profile()


def test_a_profile_pickles_and_copies_with_a_lock_of_its_own() -> None:
    profile = REFERENCE.profile(FRAME)
    for twin in (pickle.loads(pickle.dumps(profile)), copy.deepcopy(profile)):  # noqa: S301 -- our own bytes
        assert twin == profile
        twin.observe(ROW)
        assert twin.rows == profile.rows + 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_can_take_and_count_even_if_the_lock_was_held() -> None:
    profile = REFERENCE.profile(FRAME)
    with profile._lock:
        child = os.fork()
        if not child:
            profile.take()
            profile.observe(ROW)
            os._exit(profile.rows)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
    assert profile.rows == 500


def test_the_span_is_that_of_the_event_times() -> None:
    assert REFERENCE.profile().span is None
    profile = REFERENCE.profile()
    profile.observe(ROW, at=datetime(1970, 1, 1, 0, 1, tzinfo=UTC))
    profile.observe(ROW)
    profile.observe_many(FRAME, at=30)
    assert profile.span == (30.0, 60.0)
    assert (profile + REFERENCE.profile()).span == (30.0, 60.0)


def test_a_call_that_raises_counts_nothing() -> None:
    profile = REFERENCE.profile()
    naive = datetime(2026, 1, 1)  # noqa: DTZ001 -- what is refused
    calls: list[Any] = [
        lambda: profile.observe(ROW, at=naive),
        lambda: profile.observe([1.0, "a"]),  # type: ignore[arg-type]
        lambda: profile.observe_many({"x": [1.0], "k": ["a", "b"]}),
        lambda: profile.observe_many(FRAME, at=math.nan),
        lambda: profile.observe_many("x"),
    ]
    for call in calls:
        with pytest.raises(ConfigurationError):
            call()
    assert profile == REFERENCE.profile()


def test_only_profiles_add_and_none_is_a_key() -> None:
    with pytest.raises(TypeError):
        _ = REFERENCE.profile() + 1  # type: ignore[operator]
    with pytest.raises(TypeError):
        hash(REFERENCE.profile())
    assert REFERENCE.profile() != 1


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "reference"},
        {"schema": 2},
        {"rows": -1},
        {"rows": 499},
        {"rows": None},
        {"columns": [["x", [0.5]]]},
        {"columns": 3},
        {"span": [1.0]},
    ],
    ids=str,
)
def test_text_that_is_no_profile_is_refused(change: dict[str, Any]) -> None:
    record = json.loads(REFERENCE.profile(FRAME).to_json())
    with pytest.raises(ConfigurationError):
        Profile.from_json(json.dumps(record | change))
    for text in ("", "[]", "{}", "null"):
        with pytest.raises(ConfigurationError):
            Profile.from_json(text)


def test_json_survives_a_store_that_sorts_its_keys() -> None:
    profile = REFERENCE.profile(FRAME)
    text = json.dumps(json.loads(profile.to_json()), sort_keys=True)
    assert (
        Profile.from_json(text) + REFERENCE.profile()
    ).counts.tolist() == profile.counts.tolist()


def test_a_sample_takes_its_share_and_a_key_always_or_never() -> None:
    sampled = Sampled(REFERENCE.profile(), share=0.25, key="id")
    takes = [sampled.takes(place) for place in range(4_000)]
    assert 900 < sum(takes) < 1_100
    for place in (1, 1, 1):
        sampled.observe({**ROW, "id": place})
    assert sampled.profile.rows == 3 * takes[1]
    assert sampled.takes("\ud800") in {True, False}
    for share in (0.0, 1.1, math.nan):
        with pytest.raises(ConfigurationError):
            Sampled(REFERENCE.profile(), share=share, key="id")


@pytest.mark.parametrize("kind", ["f8", "f4", "i8", ">f8", "O", "M8[ns]", "U"])
def test_counting_takes_little_memory(kind: str) -> None:
    rows = 100_000 if kind in {"O", "U"} else 1_000_000  # tracing a million objects takes seconds
    numbers = rng.integers(0, 90_000, rows)
    column = np.array(["a", "b"])[numbers % 2] if kind == "U" else numbers.astype(kind)
    reference = Reference.fit({"x": column[:1_000]})
    tracemalloc.start()
    try:
        reference.profile({"x": column})
        _, counting = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        if kind != "O":
            Reference.fit({"x": column})
        _, fitting = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert counting <= max(0.25 * rows * 8, 8e6)  # some blocks, of whatever length the column
    assert fitting <= 3 * rows * 8
