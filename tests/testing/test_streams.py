"""Streams with known changes, and the scores of detectors that score badly on purpose."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from mlguard import ConfigurationError
from mlguard.drift.streams import PageHinkley
from mlguard.testing import Metronome, Stream, evaluate, stream


def rng() -> np.random.Generator:
    return np.random.default_rng(1)


def test_changes_are_where_the_mean_or_the_spread_moves() -> None:
    sudden = stream(rng(), np.repeat([0.0, 1.0, 0.0], 100))
    ramp = stream(rng(), np.r_[np.zeros(100), np.linspace(0.1, 1.0, 50), np.ones(50)])
    wider = stream(rng(), np.zeros(200), sd=np.repeat([1.0, 3.0], 100))
    none = stream(rng(), np.zeros(200))
    named = stream(rng(), np.zeros(200), changes=[7])
    assert [each.changes for each in (sudden, ramp, wider, none, named)] == [
        (100, 200), (100,), (100,), (), (7,),
    ]  # fmt: skip


def test_values_have_the_moments_that_were_asked_for() -> None:
    n = 20_000
    events = stream(rng(), np.full(n, 0.2), family="bernoulli").values
    counts = stream(rng(), np.full(n, 3.0), family="poisson").values
    sticky = stream(rng(), np.full(n, 5.0), sd=2.0, correlation=0.5).values
    assert events.mean() == pytest.approx(0.2, abs=0.01)
    assert counts.mean() == pytest.approx(3.0, abs=0.05)
    assert counts.var() == pytest.approx(3.0, abs=0.15)
    assert sticky.std() == pytest.approx(2.0, abs=0.1)
    assert np.corrcoef(sticky[1:], sticky[:-1])[0, 1] == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize(
    ("also", "named"),
    [
        ({"means": 1.0}, "means"),
        ({"means": []}, "means"),
        ({"family": "normal"}, "family"),
        ({"correlation": 1.0}, "correlation"),
    ],
)
def test_arguments_are_checked(also: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"^{named} = "):
        stream(rng(), **{"means": [0.0], **also})


def test_always_and_never_score_as_they_should() -> None:
    streams = [Stream(np.zeros(1000), (300, 600)) for _ in range(10)]
    always = evaluate(lambda: Metronome(1), streams)
    never = evaluate(lambda: Metronome(math.inf), streams)
    assert (always.delay.value, always.misses.value, always.onset_error.value) == (0, 0, 0)
    assert always.run_length.value == pytest.approx(1.0)
    assert never.run_length.value == math.inf
    assert never.misses.value == 1.0
    assert math.isnan(never.delay.value)


def test_every_alarm_is_counted_once() -> None:
    streams = [Stream(np.zeros(1000), (250, 600))]
    found = evaluate(lambda: Metronome(100), streams)
    # Alarms at 99, 199, ..., 999: 299 and 699 find the changes, the other eight are false.
    assert found.delay.value == np.median([49, 99])
    assert found.run_length.n == 1000 - 50 - 100
    assert found.run_length.value == (1000 - 150) / 8
    assert found.misses.value == 0.0


def test_a_real_detector_scores_between() -> None:
    gen = rng()
    streams = [stream(gen, np.repeat([0.0, 1.0], 400)) for _ in range(30)]
    found = evaluate(PageHinkley, streams)
    assert found.misses.value == 0.0
    assert 10 < found.delay.value < 60
    assert found.onset_error.value <= 5
    assert "run length" in str(found)
