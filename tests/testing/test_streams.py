"""Streams with known changes, and the scores of detectors that score badly on purpose."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlguard import ConfigurationError
from mlguard.drift.streams import Change, PageHinkley
from mlguard.testing import Metronome, Stream, evaluate, stream


def found_at(place: int) -> Change:
    return Change(at=place, onset=place, before=None, after=None, evidence={})


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


def test_the_two_that_score_badly_on_purpose_stand_beside() -> None:
    streams = [
        Stream(np.zeros(n), changes) for n, changes in ((900, (300,)), (400, ()), (7, (2, 5)))
    ]
    found = evaluate(lambda: Metronome(100), streams)
    for beside, pace in ((found.always, 1), (found.never, math.inf)):
        alone = evaluate(partial(Metronome, pace), streams)
        assert beside is not None
        for name in ("run_length", "delay", "misses", "onset_error"):
            assert getattr(beside, name) == getattr(alone, name)
    assert found.always is not None
    assert found.never is not None
    assert (found.always.always, found.never.never) == (None, None)
    lines = str(found).splitlines()
    assert [each.partition("; ")[2] for each in lines] == [
        "always 1, never infinity",
        "always 0, never none",
        "always 0, never 1",
        "always 0, never none",
    ]


@pytest.mark.parametrize("changes", [(5,), (-1,), (1, 1), (3, 2), (1.5,), ("a",)])
def test_changes_are_places_in_their_order(changes: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^changes = "):
        Stream(np.zeros(5), changes)
    with pytest.raises(ConfigurationError, match=r"^changes = "):
        stream(rng(), np.zeros(5), changes=changes)


KINDS: dict[str, tuple[dict[str, Any], tuple[int, ...]]] = {
    "sudden": ({"means": np.repeat([0.0, 3.0], 2_000)}, (2_000,)),
    "gradual": ({"means": np.r_[np.zeros(2_000), np.linspace(0.01, 3.0, 900)]}, (2_000,)),
    "recurring": ({"means": np.tile(np.repeat([0.0, 3.0], 500), 3)}, (500, 1_000, 1_500, 2_000, 2_500)),
    "variance": ({"means": np.zeros(4_000), "sd": np.repeat([1.0, 4.0], 2_000)}, (2_000,)),
    "rate": ({"means": np.repeat([0.1, 0.6], 2_000), "family": "bernoulli"}, (2_000,)),
    "autocorrelated": ({"means": np.repeat([0.0, 9.0], 2_000), "correlation": 0.9}, (2_000,)),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_change_is_exactly_where_it_says(kind: str) -> None:
    more, changes = KINDS[kind]
    means, sd = more["means"], np.broadcast_to(more.get("sd", 1.0), len(more["means"]))
    found = stream(rng(), **more)
    assert found.changes == changes
    parts = np.split(np.arange(len(means)), changes)
    for part in parts:  # the level is reached at once, and kept, or left at once on a ramp
        assert np.ptp(sd[part]) == 0.0
        assert abs(found.values[part].mean() - means[part].mean()) < 5.0 * sd[part[0]] * 0.25
    before, after = parts[0], parts[1]
    assert (means[before[-1]], sd[before[-1]]) != (means[after[0]], sd[after[0]])
    if kind == "variance":
        assert found.values[after].std() == pytest.approx(4.0, rel=0.1)


@given(
    lengths=st.lists(st.integers(2, 30), min_size=1, max_size=6),
    family=st.sampled_from(["gaussian", "bernoulli", "poisson"]),
)
def test_a_detector_that_knows_the_truth_scores_perfectly(lengths: list[int], family: str) -> None:
    levels = np.repeat(np.arange(len(lengths)) % 2 * 0.5 + 0.25, lengths)
    known = stream(rng(), levels, family=family)
    assert known.changes == tuple(np.cumsum(lengths)[:-1].tolist())

    class Knowing(Metronome):
        __slots__ = ()

        def _step(self, x: float) -> Change | None:
            del x
            return found_at(self._at - 1) if self._at - 1 in known.changes else None

    found = evaluate(lambda: Knowing(math.inf), [known] * 2)
    assert found.run_length.value == math.inf
    assert found.run_length.n == 2 * (sum(lengths) - len(known.changes))
    if known.changes:
        assert (found.delay.value, found.misses.value, found.onset_error.value) == (0, 0, 0)


@pytest.mark.slow
def test_the_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """Alarms by chance, each value 1 in 200, on streams of one change: all is known in advance."""
    gen = np.random.default_rng(7)
    held = dict.fromkeys(["run length", "misses", "delay"], 0)

    class Chance(Metronome):
        __slots__ = ()

        def _step(self, x: float) -> Change | None:
            return found_at(self._at - 1) if x < 1.0 / 200.0 else None

    found_at_all = 1.0 - (1.0 - 1.0 / 200.0) ** 100
    median = math.ceil(math.log(1.0 - found_at_all / 2.0) / math.log(1.0 - 1.0 / 200.0)) - 1
    truth = {"run length": 200.0, "misses": 1.0 - found_at_all, "delay": median}
    for _ in range(400):
        streams = [Stream(gen.random(400), (300,)) for _ in range(100)]
        found = evaluate(lambda: Chance(math.inf), streams)
        for each in (found.run_length, found.misses, found.delay):
            assert each.low is not None
            assert each.high is not None
            held[each.name] += each.low <= truth[each.name] <= each.high
    assert min(held.values()) >= 367  # 380 less three standard errors


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
