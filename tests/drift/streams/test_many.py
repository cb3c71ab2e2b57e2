"""Several streams at once: rows, chunks, gaps, refusals, state, and a verdict that names them."""

from __future__ import annotations

import copy
import json
import math
import pickle
import threading
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlguard import ConfigurationError, Severity, at_most, guard
from mlguard.drift.streams import Adwin, Change, EDetector, PageHinkley, ScanGLR, Streams
from mlguard.drift.streams.detector import STARVED
from mlguard.testing import Metronome

NAMES = ["errors", "score", "ratio", "load"]
MAKERS: dict[str, Any] = {
    "errors": partial(ScanGLR, "bernoulli"),
    "score": ScanGLR,
    "ratio": partial(EDetector, baseline=0.3, direction="both"),
    "load": Adwin,
}


def jumpy(**more: Any) -> Streams:
    return Streams(MAKERS, false_alarm_every=300, **more)


def rows(seed: int, length: int = 900, gaps: int = 0) -> Any:
    """Make rows whose levels jump now and then, and with some values missing, cell by cell."""
    rng = np.random.default_rng(seed)
    levels = rng.choice([0.05, 0.3, 0.9], size=(length // 300 + 1, 4)).repeat(300, axis=0)[:length]
    cells = (rng.random((length, 4)) < levels).astype(float)
    cells[:, 1] += rng.normal(size=length) / 5.0
    for _ in range(gaps):
        cells[rng.integers(length), rng.integers(4)] = np.nan
    return cells


def row(cells: Any) -> dict[str, Any]:
    return dict(zip(NAMES, cells, strict=True))


def joined(parts: list[dict[str, Any]]) -> dict[str, list[Change]]:
    total: dict[str, list[Change]] = {}
    for part in parts:
        for name, found in part.items():
            total.setdefault(name, []).extend(found if isinstance(found, list) else [found])
    return total


@settings(max_examples=25)
@given(
    seed=st.integers(0, 50),
    cuts=st.lists(st.integers(0, 900), max_size=5),
    gaps=st.integers(0, 6),
)
def test_rows_one_by_one_chunks_and_a_detector_each_are_one(
    seed: int, cuts: list[int], gaps: int
) -> None:
    cells = rows(seed, gaps=gaps)
    one, many = jumpy(), jumpy()
    each = {name: make(false_alarm_every=1_200) for name, make in MAKERS.items()}
    alone = {name: each[name].observe_many(cells[:, i]) for i, name in enumerate(NAMES)}
    expected = {name: changes for name, changes in alone.items() if changes}
    assert joined([one.observe(row(line)) for line in cells.tolist()]) == expected
    assert joined([many.observe_many(part) for part in np.split(cells, sorted(cuts))]) == expected
    assert one.state() == many.state()
    assert one.measure() == many.measure()


@settings(max_examples=15)
@given(seed=st.integers(0, 50), cut=st.integers(0, 900))
def test_a_restart_changes_nothing(seed: int, cut: int) -> None:
    cells = rows(seed, gaps=3)
    first = jumpy()
    first.observe_many(cells[:cut])
    text = json.dumps(first.state(), allow_nan=False)
    second = jumpy().from_state(json.loads(text))
    third = pickle.loads(pickle.dumps(first))  # noqa: S301 -- our own
    assert json.dumps(second.state()) == text
    assert first.observe_many(cells[cut:]) == second.observe_many(cells[cut:])
    third.observe_many(cells[cut:])
    assert first.state() == second.state() == third.state()


def test_a_state_makes_another_and_leaves_this_one_as_it_was() -> None:
    first, second = jumpy(), jumpy()
    second.observe_many(rows(1))
    state, before = second.state(), first.state()
    again = first.from_state(state)
    again.observe_many(rows(2))
    assert again is not first
    assert (first.state(), second.state()) == (before, state)


def test_a_value_that_is_no_event_is_refused_before_the_others_are_taken() -> None:
    streams = Streams({"score": PageHinkley, "errors": partial(ScanGLR, "bernoulli")})
    with pytest.raises(ConfigurationError, match=r"^row\['errors'\] = 0.5: must be a whole number"):
        streams.observe({"score": 1.0, "errors": 0.5})
    assert [each.n for each in streams.measure()] == [0, 0]


def test_something_is_found_by_each_kind() -> None:
    found = joined([jumpy().observe_many(rows(seed)) for seed in range(8)])
    assert set(found) == set(NAMES)


def test_every_stream_gets_its_part_of_the_rate() -> None:
    for k in (1, 4, 100):
        streams = Streams(dict.fromkeys(map(str, range(k)), PageHinkley), false_alarm_every=5_000)
        assert {each.settings["false_alarm_every"] for each in streams.detectors.values()} == {
            5_000 * k
        }
    with pytest.raises(
        ConfigurationError, match=r"^false_alarm_every = .*: must be at most 1e\+07"
    ):
        Streams(dict.fromkeys(map(str, range(100)), PageHinkley), false_alarm_every=2e7)


def test_frames_of_every_kind_are_taken_by_name() -> None:
    cells = rows(3)
    expected = jumpy()
    found = expected.observe_many(cells)
    columns = {name: cells[:, i] for i, name in enumerate(NAMES)}
    turned = dict(reversed(columns.items()))
    for frame in (columns, turned, pd.DataFrame(columns), pd.DataFrame(turned)):
        streams = jumpy()
        assert streams.observe_many(frame) == found
        assert streams.state() == expected.state()


GOOD = {"errors": 1.0, "score": 0.3, "ratio": 0.2, "load": 7.0}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("bad", [math.inf, "0.3", np.array([0.5]), b"1", 1e300], ids=repr)
def test_a_refusal_names_the_stream_and_changes_none(name: str, bad: Any) -> None:
    streams = jumpy()
    streams.observe_many(rows(1))
    before = streams.state()
    with pytest.raises(ConfigurationError, match=rf"^row\['{name}'\] = "):
        streams.observe({**GOOD, name: bad})
    frame = {each: [value, value] for each, value in GOOD.items()} | {name: [GOOD[name], bad]}
    with pytest.raises(ConfigurationError, match=rf"^rows\['{name}'\]: xs"):
        streams.observe_many(frame)
    assert streams.state() == before


@pytest.mark.parametrize(
    "given_row",
    [None, [1.0, 0.3, 0.2, 7.0], {}, {**GOOD, "more": 1.0}, {"errors": 1.0}, {1: 2}, "row"],
    ids=repr,
)
def test_a_row_must_have_the_streams_and_no_others(given_row: Any) -> None:
    streams = jumpy()
    before = streams.state()
    with pytest.raises(ConfigurationError, match=r"^row = "):
        streams.observe(given_row)
    with pytest.raises(ConfigurationError):
        streams.observe_many(given_row)
    with pytest.raises(ConfigurationError):
        streams.observe_many(np.zeros((5, 3)))
    with pytest.raises(ConfigurationError):
        streams.observe_many(np.zeros(4))
    assert streams.state() == before


def test_a_value_that_is_missing_is_missing_in_its_stream_only() -> None:
    streams = jumpy()
    for _ in range(STARVED):
        streams.observe({**GOOD, "score": None, "ratio": math.nan})
    status = {name: detector.status for name, detector in streams.detectors.items()}
    assert status == {"errors": "stable", "score": "starved", "ratio": "starved", "load": "stable"}
    assert [each.n for each in streams.measure()] == [STARVED, 0, 0, STARVED]


def test_missing_values_are_refused_before_any_is_taken() -> None:
    loud = Streams(
        {"a": PageHinkley, "b": partial(PageHinkley, on_missing="raise")}, false_alarm_every=500
    )
    before = loud.state()
    with pytest.raises(ConfigurationError, match=r"^row\['b'\] = nan"):
        loud.observe({"a": 1.0, "b": None})
    with pytest.raises(ConfigurationError, match=r"^rows\['b'\]: xs\[1\] = nan"):
        loud.observe_many({"a": [1.0, 2.0], "b": [1.0, None]})
    assert loud.state() == before


def test_a_hundred_that_are_missing_are_a_change_where_that_was_asked() -> None:
    streams = Streams({"a": PageHinkley, "b": partial(PageHinkley, on_missing="alarm")})
    found = streams.observe_many(np.full((150, 2), np.nan))
    assert list(found) == ["b"]
    assert len(found["b"]) == 1


def test_the_verdict_and_the_measurements_name_the_streams() -> None:
    rng = np.random.default_rng(1)
    streams = Streams(dict.fromkeys("abc", PageHinkley), name="features")
    assert streams().severity is Severity.UNKNOWN
    values = rng.normal(size=(1_000, 3))
    streams.observe_many(values)
    assert (streams().severity, streams().name) == (Severity.OK, "features")
    values[:, 1] += 2.0
    streams.observe_many(values)
    verdict = streams()
    assert verdict.severity is Severity.BREACH
    assert verdict.reason == "1 BREACH (changes[b]), 2 OK"
    assert "since 995: from " in verdict.causes[1].reason  # type: ignore[union-attr]
    assert [each.name for each in streams.measure()] == ["changes[a]", "changes[b]", "changes[c]"]
    by_policy = guard(streams, at_most(0), name="features")()
    assert (by_policy.severity, by_policy.reason) == (verdict.severity, verdict.reason)
    streams.reset()
    assert streams().severity is Severity.UNKNOWN
    assert streams.state() == Streams(dict.fromkeys("abc", PageHinkley)).state()


def test_a_state_must_be_one_of_the_same_streams() -> None:
    streams = jumpy()
    state = streams.state()
    others = Streams(dict.fromkeys(NAMES, ScanGLR)), Streams({"errors": ScanGLR})
    for bad in (None, {}, {**state, "schema": 2}, {**state, "streams": None}, others[1].state()):
        with pytest.raises(ConfigurationError, match=r"^state = "):
            streams.from_state(bad)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match=r"^state = "):
        others[0].from_state(state)
    assert streams.state() == state


@pytest.mark.parametrize(
    ("makers", "more"),
    [
        ({}, {}),
        ([ScanGLR], {}),
        ({"a": None}, {}),
        ({"a": ScanGLR()}, {}),
        ({"a": lambda false_alarm_every: false_alarm_every}, {}),
        ({"": ScanGLR}, {}),
        ({"a": ScanGLR}, {"false_alarm_every": 50}),
        ({"a": ScanGLR}, {"false_alarm_every": math.nan}),
        ({"a": ScanGLR}, {"name": ""}),
    ],
)
def test_arguments_are_checked(makers: Any, more: Any) -> None:
    with pytest.raises(ConfigurationError):
        Streams(makers, **more)


def test_rows_of_many_threads_are_taken_one_after_another() -> None:
    streams = Streams({"a": ScanGLR, "b": PageHinkley}, false_alarm_every=1_000)
    values = np.random.default_rng(1).normal(size=(400, 2)).tolist()
    start = threading.Barrier(4)

    def write() -> None:
        start.wait()
        for a, b in values:
            streams.observe({"a": a, "b": b})
            streams.measure()

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [each.n for each in streams.measure()] == [1_600, 1_600]
    total = sum(x for x, _ in values) * 4.0
    level = streams.detectors["a"]._level() if not streams.detectors["a"].changes else None
    assert level is None or level == pytest.approx(total / 1_600)


class Told:
    """A lock that says when it is taken and left."""

    def __init__(self, order: list[str]) -> None:
        self.order = order

    def __enter__(self) -> None:
        self.order.append("in")

    def __exit__(self, *_: object) -> None:
        self.order.append("out")


def test_a_row_is_taken_under_one_lock() -> None:
    order: list[str] = []

    class Noting(Metronome):
        __slots__ = ("place",)
        place: str

        def _step(self, x: float) -> Change | None:
            order.append(self.place)
            return super()._step(x)

    def noting(place: str, false_alarm_every: float) -> Noting:
        made = Noting(false_alarm_every)
        made.place = place
        return made

    streams = Streams({place: partial(noting, place) for place in "ab"})
    streams._lock = Told(order)
    streams.observe({"a": 1.0, "b": 1.0})
    streams.observe_many(np.ones((2, 2)))
    streams.state()
    streams.measure()
    streams()
    assert order == [
        *("in", "a", "b", "out"),
        *("in", "a", "a", "b", "b", "out"),
        *["in", "out"] * 3,
    ]


def test_a_copy_has_a_lock_of_its_own() -> None:
    streams = jumpy()
    assert copy.copy(streams)._lock is not streams._lock
    assert repr(streams) == "<Streams: errors, score, ratio, load>"
