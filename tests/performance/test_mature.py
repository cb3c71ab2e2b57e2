"""The losses of mature predictions as a stream: each once, in the order of prediction times."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlguard import ConfigurationError
from mlguard.drift.streams import ScanGLR
from mlguard.performance import MatureLosses, Outcomes, mature_losses

DAY = 86_400.0
WAIT = 3.0


def outcomes(**more: Any) -> Outcomes:
    return Outcomes(WAIT * DAY, loss="absolute", **{"clock": lambda: 0.0, **more})


def sent(n: int, seed: int) -> tuple[Any, Any, Any, Any]:
    """Draw times of predictions over ten days, some alike, predictions, labels and their delays."""
    rng = np.random.default_rng(seed)
    times = np.round(rng.uniform(0.0, 10.0, n), 1) * DAY
    return times, rng.integers(0, 9, n), rng.integers(0, 9, n), rng.uniform(0.0, 5.0, n) * DAY


def nightly(into: Outcomes, days: Any, *, add: Any = None) -> list[MatureLosses]:
    """Ask at the end of each of some days, with what came until then."""
    found: list[MatureLosses] = []
    since = None
    for day in days:
        if add is not None:
            add(day * DAY)
        found.append(mature_losses(into, since=since, now=day * DAY))
        since = found[-1].until
    return found


@settings(max_examples=60)
@given(
    seed=st.integers(0, 1_000),
    days=st.lists(st.floats(0.0, 20.0), max_size=12),
    close=st.booleans(),
)
def test_every_prediction_is_seen_once_in_its_order(
    seed: int,
    days: list[float],
    close: bool,  # noqa: FBT001
) -> None:
    n = 60
    times, said, truth, delays = sent(n, seed)
    rng = np.random.default_rng(seed)
    joined, done = outcomes(), np.zeros(n, dtype=bool)
    joined.add({"id": np.arange(n), "predicted_at": times, "prediction": said})

    def add(now: float) -> None:
        came = np.flatnonzero((times + delays < now) & ~done)
        done[came] = True
        for part in np.array_split(rng.permutation(came), 3):
            frame = {"id": part, "labelled_at": (times + delays)[part], "label": truth[part]}
            if len(part):
                joined.add(frame)
                joined.add(frame)

    since: list[float | None] = [None]
    asked = [*sorted(days), 30.0]
    found = []
    for day in asked:
        add(day * DAY)
        found.append(mature_losses(joined, since=since[-1], now=day * DAY))
        since.append(found[-1].until)
        if close:
            joined.close(day * DAY + WAIT * DAY)
    values = np.concatenate([each.values for each in found])
    at = np.concatenate([each.predicted_at for each in found])
    assert at.tolist() == np.sort(times).tolist()
    # A label counts if it had come by the first night on which its cohort was mature.
    matures = (np.floor(times / DAY) + 1.0 + WAIT) * DAY
    nights = np.array(asked) * DAY
    first = nights[np.searchsorted(nights, matures)]
    losses = np.where(times + delays < first, np.abs(said - truth), np.nan)
    for moment in np.unique(times):
        here = np.sort(losses[times == moment]), np.sort(values[at == moment])
        assert np.array_equal(*here, equal_nan=True)


def test_a_detector_sees_one_stream_however_it_was_cut_and_after_a_crash() -> None:
    rng = np.random.default_rng(1)
    n = 3_000
    times = np.sort(rng.uniform(0.0, 30.0, n)) * DAY
    truth = rng.normal(size=n) * np.where(times < 20.0 * DAY, 1.0, 2.5)
    joined = outcomes()
    joined.add({"id": np.arange(n), "predicted_at": times, "prediction": np.zeros(n)})
    joined.add({"id": np.arange(n), "labelled_at": times + DAY, "label": truth})
    whole = ScanGLR(false_alarm_every=10_000)
    losses = mature_losses(joined, now=40.0 * DAY)
    [expected] = whole.observe_many(losses.values)
    assert losses.predicted_at[expected.onset] == pytest.approx(20.0 * DAY, abs=0.5 * DAY)

    record = json.dumps({"since": None, "detector": ScanGLR(false_alarm_every=10_000).state()})
    for day in range(1, 41):
        for crashes in (True, False):  # what was not saved is done again, and nothing twice
            saved = json.loads(record)
            detector = ScanGLR(false_alarm_every=10_000).from_state(saved["detector"])
            part = mature_losses(joined, since=saved["since"], now=day * DAY)
            detector.observe_many(part.values)
            if not crashes:
                record = json.dumps({"since": part.until, "detector": detector.state()})
    assert json.loads(record)["detector"] == json.loads(json.dumps(whole.state()))


def test_what_was_closed_before_it_was_seen_is_refused() -> None:
    joined = outcomes()
    joined.add({"id": range(8), "predicted_at": np.arange(8) * DAY, "prediction": range(8)})
    first = mature_losses(joined, now=5.5 * DAY)
    assert first.predicted_at.tolist() == [0.0, DAY]
    joined.close(8.0 * DAY)
    assert mature_losses(joined, since=first.until, now=9 * DAY).until == 6 * DAY
    joined.close(9.0 * DAY)
    with pytest.raises(ConfigurationError, match=r"^since = 172800.0: must be at least 259200"):
        mature_losses(joined, since=first.until, now=9 * DAY)
    assert mature_losses(joined, now=9 * DAY).predicted_at.tolist() == [3 * DAY, 4 * DAY, 5 * DAY]


def test_a_clock_that_steps_back_gives_nothing_twice() -> None:
    joined = outcomes()
    joined.add({"id": range(8), "predicted_at": np.arange(8) * DAY, "prediction": range(8)})
    first = mature_losses(joined, now=9 * DAY)
    back = mature_losses(joined, since=first.until, now=6 * DAY)
    assert (len(back.values), back.until) == (0, first.until)
    assert len(nightly(joined, [9, 6, 9, 12])[-1].values) == 2  # those of days 6 and 7


def test_text_slices_and_no_labels_count_as_in_a_measure() -> None:
    joined = Outcomes(
        WAIT * DAY, loss="accuracy", slices=["region"], no_label_means="no", clock=lambda: 9 * DAY
    )
    joined.add(
        {
            "id": ["a", "b", "c"],
            "predicted_at": [2.0, 1.0, 3.0],
            "prediction": ["yes", "no", "yes"],
            "region": ["n", "s", "n"],
        }
    )
    joined.add({"id": ["a"], "labelled_at": [5.0], "label": ["yes"]})
    assert mature_losses(joined).values.tolist() == [1.0, 1.0, 0.0]
    assert joined.measure()[0].value == pytest.approx(2 / 3)


@pytest.mark.parametrize("bad", [math.nan, "today", math.inf, 1e15])
def test_times_are_checked(bad: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^since = "):
        mature_losses(outcomes(), since=bad)
    with pytest.raises(ConfigurationError, match=r"^now = "):
        mature_losses(outcomes(), now=bad)
