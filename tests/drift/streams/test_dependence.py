"""Dependence on the values before: seen where it is, seldom where it is not; means of blocks."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

from mlguard import ConfigurationError
from mlguard.drift.streams import Adwin, Change, EDetector, PageHinkley, ScanGLR
from mlguard.drift.streams.blocks import Blocks
from mlguard.drift.streams.dependence import VALUES, Dependence
from mlguard.drift.streams.detector import Detector
from mlguard.testing import stream

Make = Callable[..., Detector]
DETECTORS: dict[str, Make] = {
    "ScanGLR": ScanGLR,
    "EDetector": partial(EDetector, low=-20.0, high=20.0),
    "Adwin": Adwin,
    "PageHinkley": PageHinkley,
}
every_detector = pytest.mark.parametrize("make", DETECTORS.values(), ids=DETECTORS)


def sticky(seed: int, n: int, correlation: float) -> Any:
    return stream(np.random.default_rng(seed), np.zeros(n), correlation=correlation).values


def known(values: Any) -> Dependence:
    found = Dependence()
    for at, x in enumerate(np.asarray(values, dtype=float).tolist(), 1):
        found.add(x, at)
    return found


INDEPENDENT: dict[str, Callable[[np.random.Generator], Any]] = {
    "normal": lambda rng: rng.normal(size=VALUES),
    "B(0.3)": lambda rng: rng.random(VALUES) < 0.3,
    "B(0.02)": lambda rng: rng.random(VALUES) < 0.02,
    "B(0.005)": lambda rng: rng.random(VALUES) < 0.005,
    "exponential": lambda rng: rng.exponential(size=VALUES),
    "lognormal": lambda rng: rng.lognormal(sigma=2.0, size=VALUES),
}


@pytest.mark.parametrize("name", INDEPENDENT)
def test_independent_values_are_seldom_called_dependent(name: str) -> None:
    rng = np.random.default_rng(1)
    wrong = sum(known(INDEPENDENT[name](rng)).there for _ in range(1000))
    assert wrong <= 10


@pytest.mark.parametrize(("correlation", "least"), [(0.2, 0.9), (0.3, 0.99), (-0.3, 0.99), (0.9, 1.0)])  # fmt: skip
def test_dependent_ones_are_called_so(correlation: float, least: float) -> None:
    found = np.mean([known(sticky(seed, VALUES, correlation)).there for seed in range(100)])
    assert found >= least


def test_the_correlation_is_that_of_the_values() -> None:
    xs = 50.0 + sticky(2, VALUES, 0.4)
    mean, variance, correlation = known(xs).found()
    off = xs - xs.mean()
    assert mean == pytest.approx(xs.mean())
    assert variance == pytest.approx(xs.var())
    assert correlation == pytest.approx(float(off[1:] @ off[:-1] / (off @ off)))
    assert known(np.full(VALUES, 3.0)).found() == (3.0, 0.0, 0.0)


@every_detector
def test_a_detector_says_that_its_rate_does_not_hold(make: Make) -> None:
    detector = make()
    assert "rate_holds" not in detector.measure().details
    detector.observe_many(sticky(3, 2 * VALUES, 0.6))
    details = detector.measure().details
    assert details["autocorrelation"] == pytest.approx(0.6, abs=0.15)
    assert details["rate_holds"] is False


@every_detector
def test_a_detector_says_that_its_rate_holds(make: Make) -> None:
    detector = make()
    detector.observe_many(sticky(4, 2 * VALUES, 0.0))
    assert detector.measure().details["rate_holds"] is True


@pytest.mark.parametrize("shift", [0.5, 1.0, 3.0, 10.0])
@pytest.mark.parametrize("make", [ScanGLR, PageHinkley, Adwin])
def test_a_change_is_no_dependence(make: Make, shift: float) -> None:
    for seed in range(5):
        detector = make()
        xs = sticky(seed, 4 * VALUES, 0.0)
        xs[VALUES // 2 :] += shift
        detector.observe_many(xs)
        assert detector.changes
        assert detector.measure().details["rate_holds"] is True


def test_dependence_that_was_there_before_a_change_stays_known() -> None:
    detector = ScanGLR()
    xs = sticky(6, 600, 0.6)
    xs[550:] += 30.0
    detector.observe_many(xs[:550])
    before = detector.measure().details["rate_holds"]
    assert detector.observe_many(xs[550:])
    assert before is detector.measure().details["rate_holds"] is False


def test_a_threshold_of_ones_own_has_no_rate_to_hold() -> None:
    for detector in (ScanGLR(threshold=12.0), Adwin(delta=0.002), PageHinkley(threshold=30.0)):
        detector.observe_many(sticky(7, VALUES, 0.0))
        assert "autocorrelation" in detector.measure().details
        assert "rate_holds" not in detector.measure().details


def test_dependence_below_the_baseline_is_covered_by_the_theorem() -> None:
    rng = np.random.default_rng(8)
    runs = np.repeat(rng.random(VALUES // 2) < 0.1, 2).astype(float)
    below, at = EDetector(baseline=0.9), EDetector(baseline=0.1)
    both = EDetector(baseline=0.9, direction="both")
    for detector in (below, at, both):
        detector.observe_many(runs)
    holds = [each.measure().details["rate_holds"] for each in (below, at, both)]
    assert holds == [True, False, False]


def test_blocks_long_enough_make_the_rate_hold() -> None:
    xs = sticky(9, 50 * VALUES, 0.5)
    plain, means = ScanGLR(), ScanGLR(block=50)
    plain.observe_many(xs)
    means.observe_many(xs)
    assert not plain.measure().details["rate_holds"]
    assert means.measure().details["rate_holds"]


@pytest.mark.parametrize("make", [ScanGLR, PageHinkley, Adwin, partial(EDetector, baseline=0.3)])
@pytest.mark.parametrize("gaps", [[], [0, 5, 6, 700, 1999]])
def test_a_detector_of_blocks_is_one_of_their_means(make: Make, gaps: list[int]) -> None:
    rng = np.random.default_rng(10)
    xs = (rng.random(3000) < np.repeat([0.3, 0.8], [2000, 1000])).astype(float)
    size = 8
    means = xs.reshape(-1, size).mean(axis=1)
    expected = make(false_alarm_every=10_000).observe_many(means)
    blocks = make(false_alarm_every=10_000 * size, block=size)
    places = np.insert(np.arange(3000.0), gaps, np.nan)
    found = blocks.observe_many(np.insert(xs, gaps, np.nan))
    where = np.flatnonzero(~np.isnan(places))
    assert [each.at for each in found] == [where[each.at * size + size - 1] for each in expected]
    assert [before_gaps(each, where, size) for each in expected] == [each.onset for each in found]
    assert [each.after for each in found] == [each.after for each in expected]
    assert expected


def before_gaps(change: Change, where: Any, size: int) -> int:
    return int(where[change.onset * size])


def test_the_mean_of_a_block_is_the_same_however_it_comes() -> None:
    xs = np.random.default_rng(11).normal(size=1000)
    one, many = Blocks(7), Blocks(7)
    expected = [mean for x in xs.tolist() if (mean := one.add(x)) is not None]
    found = [many.add_many(part).tolist() for part in np.split(xs, [3, 4, 11, 11, 500])]
    assert sum(found, []) == expected  # noqa: RUF017 -- a few lists
    assert (one.count, one.total) == (many.count, many.total)


def test_blocks_are_checked() -> None:
    makes: tuple[Make, ...] = (ScanGLR, EDetector, Adwin, PageHinkley)
    for make in makes:
        for bad in (0, -1, 1.5, "many", np.nan):
            with pytest.raises(ConfigurationError, match=r"^block = "):
                make(block=bad)
        with pytest.raises(ConfigurationError, match=r"^false_alarm_every = .*between 5000 and"):
            make(block=50, false_alarm_every=4_999)
    with pytest.raises(ConfigurationError, match=r"^family = .*\"gaussian\" with block = 10"):
        ScanGLR("bernoulli", block=10)
