"""What holds for every detector: chunks, state, bad input, missing values, status."""

from __future__ import annotations

import json
import math
import pickle
import sys
from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlguard import ConfigurationError
from mlguard.drift.streams import Adwin, Change, EDetector, PageHinkley, ScanGLR
from mlguard.drift.streams.detector import KEPT, STARVED, Detector
from mlguard.policies.guards import guard
from mlguard.policies.thresholds import at_most
from mlguard.values import Severity

Make = Callable[..., Detector]

DETECTORS: dict[str, Make] = {
    "adwin": partial(Adwin),
    "e_detector": partial(EDetector, baseline=0.15),
    "e_detector_down": partial(EDetector, baseline=0.85, direction="down"),
    "e_detector_both": partial(EDetector, baseline=0.1, direction="both"),
    "e_detector_learnt": partial(EDetector),
    "scan_gaussian": partial(ScanGLR),
    "scan_bernoulli": partial(ScanGLR, "bernoulli"),
    "scan_poisson": partial(ScanGLR, "poisson"),
    "page_hinkley": partial(PageHinkley, smallest_shift=1.0),
    "page_hinkley_up": partial(PageHinkley, smallest_shift=1.0, direction="up"),
    "page_hinkley_down": partial(PageHinkley, smallest_shift=1.0, direction="down"),
}
IN_BLOCKS: dict[str, Make] = {
    "adwin_blocks": partial(Adwin, block=3),
    "e_detector_blocks": partial(EDetector, baseline=0.15, block=3),
    "scan_blocks": partial(ScanGLR, block=3),
    "page_hinkley_blocks": partial(PageHinkley, block=3),
}
JUMPY = {
    name: partial(make, false_alarm_every=1_000, warn_every=500)
    for name, make in (DETECTORS | IN_BLOCKS).items()
}
jumpy_detector = pytest.mark.parametrize("make", JUMPY.values(), ids=JUMPY)
every_detector = pytest.mark.parametrize("make", DETECTORS.values(), ids=DETECTORS)


def stream(seed: int, length: int = 1500) -> Any:
    """Make 0s and 1s whose rate jumps now and then, so that every detector alarms."""
    rng = np.random.default_rng(seed)
    rates = rng.choice([0.05, 0.3, 0.5, 0.95], size=length // 250 + 1).repeat(250)[:length]
    return (rng.random(length) < rates).astype(float)


def one_by_one(detector: Detector, xs: Any) -> list[Change]:
    return [change for x in xs if (change := detector.observe(x)) is not None]


@jumpy_detector
@given(
    seed=st.integers(0, 50),
    cuts=st.lists(st.integers(0, 1500), max_size=6),
    gaps=st.lists(st.integers(0, 1499), max_size=4),
)
def test_chunks_change_nothing(make: Make, seed: int, cuts: list[int], gaps: list[int]) -> None:
    xs = stream(seed)
    xs[gaps] = np.nan
    one, many = make(), make()
    expected = one_by_one(one, xs.tolist())
    found = [change for part in np.split(xs, sorted(cuts)) for change in many.observe_many(part)]
    assert found == expected
    assert many.state() == one.state()
    assert many.status == one.status


@jumpy_detector
@settings(max_examples=25)  # the state of a ScanGLR is large, and is compared as a whole
@given(seed=st.integers(0, 50), cut=st.integers(0, 1500))
def test_a_restart_changes_nothing(make: Make, seed: int, cut: int) -> None:
    xs = stream(seed)
    first = make()
    first.observe_many(xs[:cut])
    text = json.dumps(first.state(), allow_nan=False)
    second = make().from_state(json.loads(text))
    third = pickle.loads(pickle.dumps(first))  # noqa: S301 -- our own
    assert first.observe_many(xs[cut:]) == second.observe_many(xs[cut:])
    third.observe_many(xs[cut:])
    assert first.state() == second.state() == third.state()


@every_detector
def test_a_copy_from_a_state_shares_nothing(make: Make) -> None:
    first = make()
    first.observe_many(stream(1)[:600])
    state = first.state()
    text = json.dumps(state)
    second = make().from_state(state)
    second.observe_many(stream(2))
    first.observe_many(stream(3))
    assert json.dumps(state) == text


@every_detector
def test_a_clear_change_is_found_once_and_its_levels_are_right(make: Make) -> None:
    detector = make()
    rng = np.random.default_rng(4)
    up = "down" not in repr(detector)
    rates = np.where(np.arange(1500) < 1200, 0.1 if up else 0.9, 0.9 if up else 0.1)
    changes = detector.observe_many(rng.random(1500) < rates)
    assert len(changes) == 1
    assert abs(changes[0].onset - 1200) <= 12
    assert changes[0].onset <= changes[0].at <= 1260
    assert changes[0].before == pytest.approx(0.1 if up else 0.9, abs=0.06)
    assert changes[0].after == pytest.approx(0.9 if up else 0.1, abs=0.3)
    assert detector.changes == tuple(changes)
    assert Change.from_dict(json.loads(json.dumps(changes[0].to_dict()))) == changes[0]


BAD = [
    math.inf,
    -math.inf,
    "0.3",
    "inf",
    b"1",
    [0.5],
    np.array([0.5]),
    np.array([0.1, 0.2, 0.3]),
    1j,
    Decimal("Infinity"),
    object(),
    1e300,
]
TAKEN = [0, 1, True, False, np.bool_(True), np.int64(1), np.float32(1), np.float64(0), Decimal(1), np.array(1.0)]  # fmt: skip  # noqa: FBT003


def shown(each: Any) -> str:
    return "object()" if type(each) is object else repr(each)  # whose address is another each time


@every_detector
@pytest.mark.parametrize("bad", BAD, ids=shown)
def test_a_refusal_changes_nothing(make: Make, bad: Any) -> None:
    detector = make()
    detector.observe_many(stream(1)[:500])
    state = detector.state()
    with pytest.raises(ConfigurationError, match=r"^x = "):
        detector.observe(bad)
    with pytest.raises(ConfigurationError, match=r"^xs"):
        detector.observe_many([0.0, 1.0, bad])
    assert detector.state() == state


@every_detector
@pytest.mark.parametrize("taken", TAKEN, ids=shown)
def test_every_kind_of_number_is_one(make: Make, taken: Any) -> None:
    one, other, many = make(), make(), make()
    one.observe(float(taken))
    other.observe(taken)
    many.observe_many([taken])
    assert one.state() == other.state() == many.state()


@every_detector
@pytest.mark.parametrize(
    "bad", [*BAD, None, math.nan, np.float64("nan"), Decimal("nan")], ids=shown
)
def test_nothing_makes_it_blind(make: Make, bad: Any) -> None:
    detector = make()
    up = "down" not in repr(detector)
    rng = np.random.default_rng(2)
    one_by_one(detector, (rng.random(1200) < (0.1 if up else 0.9)).tolist())
    before = len(detector.changes)
    for _ in range(3):
        with suppress(ConfigurationError):
            detector.observe(bad)
    one_by_one(detector, (rng.random(300) < (0.9 if up else 0.1)).tolist())
    assert len(detector.changes) > before


@every_detector
def test_wrong_shapes_are_refused(make: Make) -> None:
    detector = make()
    for bad in (1.0, [[1.0, 0.0]], np.zeros((3, 1)), "abc"):
        with pytest.raises(ConfigurationError, match=r"^xs"):
            detector.observe_many(bad)
    assert detector.observe_many([]) == []
    assert detector.observe_many(np.array([None, 1.0, None, Decimal(0)])) == []
    assert detector.measure().details["missing"] == 2


@every_detector
def test_missing_values_may_be_refused(make: Make) -> None:
    detector = make(on_missing="raise")
    state = detector.state()
    with pytest.raises(ConfigurationError, match=r"^x = nan"):
        detector.observe(None)
    with pytest.raises(ConfigurationError, match=r"^xs\[1\] = nan"):
        detector.observe_many([1.0, math.nan])
    assert detector.state() == state
    with pytest.raises(ConfigurationError, match=r"^on_missing = 'never'"):
        make(on_missing="never")


@every_detector
def test_a_stream_that_goes_missing_is_starved(make: Make) -> None:
    quiet, loud = make(), make(on_missing="alarm")
    xs = np.r_[stream(1)[:200], [np.nan] * (STARVED + 5)]
    before = len(quiet.observe_many(xs))
    changes = loud.observe_many(xs)
    assert len(changes) == before + 1
    assert (changes[-1].onset, changes[-1].at) == (200, 200 + STARVED - 1)
    assert changes[-1].after is None
    assert quiet.status == loud.status == "starved"
    assert make().measure().details["status"] == "warm-up"
    quiet.observe(1.0)
    assert quiet.status != "starved"


@every_detector
def test_it_is_a_measure_for_a_guard(make: Make) -> None:
    detector = make()
    check = guard(detector.measure, at_most(0))
    assert check().severity is Severity.UNKNOWN
    rng = np.random.default_rng(3)
    up = "down" not in repr(detector)
    detector.observe_many(rng.random(1200) < (0.1 if up else 0.9))
    assert check().severity is Severity.OK
    detector.observe_many(rng.random(200) < (0.9 if up else 0.1))
    assert check().severity is Severity.BREACH
    detector.reset()
    assert detector.state() == make().state()


@every_detector
def test_the_state_of_another_is_refused(make: Make) -> None:
    detector = make()
    state = detector.state()
    for broken in (
        None,
        {},
        {**state, "schema": 2},
        {**state, "kind": "another"},
        {**state, "settings": {}},
        {**state, "memory": {}},
        {**state, "stream": [1, 2]},
        {**state, "memory": dict.fromkeys(state["memory"], "text")},
    ):
        with pytest.raises(ConfigurationError):
            detector.from_state(broken)  # type: ignore[arg-type]


@every_detector
def test_what_is_kept_is_bounded(make: Make) -> None:
    detector = make()
    rng = np.random.default_rng(5)
    for i in range(120):
        detector.observe_many(rng.random(500) < (0.05 if i % 2 else 0.95))
    assert len(detector.changes) == KEPT
    assert detector.measure().value > KEPT
    assert len(json.dumps(detector.state())) < 100_000


def size_of(value: Any) -> int:
    """Give the bytes of a value and of all it refers to, each counted every time."""
    parts: Any = ()
    if isinstance(value, dict):
        parts = [*value.keys(), *value.values()]
    elif isinstance(value, list | tuple):
        parts = value
    elif not isinstance(value, str | int | float | type(None)):
        names = {name for each in type(value).__mro__ for name in getattr(each, "__slots__", ())}
        parts = [getattr(value, name) for name in names if hasattr(value, name)]
    return sys.getsizeof(value) + sum(map(size_of, parts))


@every_detector
def test_memory_does_not_grow_with_the_stream(make: Make) -> None:
    detector = make(on_missing="alarm")
    rng = np.random.default_rng(6)
    sizes = []
    for _ in range(3):
        xs = (rng.random(200_000) < 0.1).astype(float)
        xs[rng.integers(0, 200_000, 500)] = np.nan
        detector.observe_many(xs)
        sizes.append(size_of(detector))
        assert len(json.dumps(detector.state())) < 100_000
    assert max(sizes) < 70_000


@every_detector
def test_a_constant_stream_is_no_change(make: Make) -> None:
    for value in (0.0, 1.0):
        detector = make()
        if detector.settings.get("baseline") is None:
            assert detector.observe_many(np.full(3000, value)) == []


@pytest.mark.parametrize("bad", [0, 99, -1, math.nan, math.inf, "1e6", None])
@every_detector
def test_the_rate_is_checked(make: Make, bad: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^false_alarm_every = "):
        make(false_alarm_every=bad)
