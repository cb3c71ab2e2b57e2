"""How often several streams together cry wolf, by simulation."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

from mlguard import Keyed
from mlguard.drift import Reference
from mlguard.drift.streams import EDetector, PageHinkley, ScanGLR, Streams

Draw = Callable[[np.random.Generator, int, int], Any]


def normal(rng: np.random.Generator, n: int, k: int) -> Any:
    return rng.normal(3.0, 2.0, (n, k))


def alike(rng: np.random.Generator, n: int, k: int) -> Any:
    """Draw streams of which any two have a correlation of 0.8."""
    return np.sqrt(0.8) * rng.normal(size=(n, 1)) + np.sqrt(0.2) * rng.normal(size=(n, k))


def events(rng: np.random.Generator, n: int, k: int, *, p: float) -> Any:
    return rng.random((n, k)) < p


def first_alarm(make: Any, draw: Draw, k: int, every: float, *, seed: int, runs: int) -> float:
    """Give the mean number of rows until the first alarm anywhere, in parts of what was asked."""
    rng = np.random.default_rng(seed)
    ends = []
    for _ in range(runs):
        streams = Streams(dict.fromkeys(map(str, range(k)), make), false_alarm_every=every)
        found: dict[str, Any] = {}
        while not found:
            found = streams.observe_many(draw(rng, 512, k))
        ends.append(1 + min(changes[0].at for changes in found.values()))
    return float(np.mean(ends)) / every


def test_an_alarm_anywhere_is_as_seldom_as_asked() -> None:
    found = first_alarm(PageHinkley, normal, 10, 1_000, seed=1, runs=200)
    assert 0.8 <= found <= 1.35  # the mean of 200 has a standard error of 7 %


def test_streams_that_are_alike_alarm_together_and_so_more_seldom() -> None:
    found = first_alarm(PageHinkley, alike, 10, 1_000, seed=1, runs=100)
    assert found >= 1.1


def test_without_the_share_it_would_be_ten_times_as_often() -> None:
    rng = np.random.default_rng(1)
    lengths = []
    for _ in range(100):
        each = [PageHinkley(false_alarm_every=1_000) for _ in range(10)]
        found = [one.observe_many(normal(rng, 2_000, 1)[:, 0]) for one in each]
        lengths.append(min(changes[0].at if changes else 2_000 for changes in found))
    assert float(np.mean(lengths)) < 200


def test_the_rates_of_a_family_add_up_over_observations_not_over_keys() -> None:
    rng = np.random.default_rng(6)
    lengths = []
    for _ in range(200):
        family = Keyed(partial(PageHinkley, false_alarm_every=1_000))
        alarm, n = False, 0
        while not alarm:
            for key in rng.permutation(10):
                part = rng.normal(size=int(rng.integers(1, 10)))
                found = family[str(key)].observe_many(part)
                n += len(part)
                alarm = alarm or bool(found)
        lengths.append(n)
    assert 0.8 <= float(np.mean(lengths)) / 1_000 <= 1.6  # each key has its own warm-up


@pytest.mark.slow
@pytest.mark.parametrize(
    ("k", "every", "runs"),
    [(5, 1_000, 200), (100, 1_000, 60), (20, 10_000, 60)],
)
@pytest.mark.parametrize(
    ("make", "draw"),
    [
        (ScanGLR, normal),
        (ScanGLR, alike),
        (partial(ScanGLR, "bernoulli"), partial(events, p=0.1)),
        (partial(ScanGLR, "bernoulli"), partial(events, p=0.5)),
        (PageHinkley, normal),
    ],
    ids=["scan", "scan-alike", "scan-0.1", "scan-0.5", "page-hinkley"],
)
def test_the_shared_rate_of_every_kind(
    make: Any, draw: Draw, k: int, every: float, runs: int
) -> None:
    found = first_alarm(make, draw, k, every, seed=2, runs=runs)
    assert found >= 0.7
    assert found <= 2.0 or draw is alike  # which alarm together, and so the more seldom


@pytest.mark.slow
@pytest.mark.parametrize("k", [5, 20])
@pytest.mark.parametrize("shared", [False, True])
def test_of_e_detectors_with_baselines_the_first_alarm_is_late_enough(k: int, shared: bool) -> None:  # noqa: FBT001
    def draw(rng: np.random.Generator, n: int, k: int) -> Any:
        columns = 1 if shared else k  # all the same is as dependent as it gets
        return np.broadcast_to(rng.random((n, columns)) < 0.1, (n, k))

    make = partial(EDetector, baseline=0.1)
    found = first_alarm(make, draw, k, 200, seed=3, runs=100)
    assert found >= 1.0


def test_daily_effects_of_a_quiet_reference_keep_the_rate_of_page_hinkley() -> None:
    """Half of them are 0 and the rest lean upwards: what ScanGLR does with them is less than asked."""
    rng = np.random.default_rng(1)
    columns = list("abcd")

    def frame(n: int) -> dict[str, Any]:
        return {name: rng.normal(size=n) for name in columns}

    reference = Reference.fit(frame(20_000))
    effects = np.array(
        [
            each.effect
            for _ in range(150)
            for each in reference.compare(frame(1_000)).columns.values()
        ]
    )
    assert 0.3 <= float(np.mean(effects == 0.0)) <= 0.7

    def draw(rng: np.random.Generator, n: int, k: int) -> Any:
        return rng.choice(effects, (n, k))

    found = first_alarm(PageHinkley, draw, 4, 365, seed=2, runs=100)
    assert 1.0 <= found <= 2.5
