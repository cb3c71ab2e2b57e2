"""EDetector: its baseline, its range, and what becomes of a change that stays or ends."""

from __future__ import annotations

import numpy as np
import pytest

from mlguard import ConfigurationError
from mlguard.drift.streams import EDetector
from mlguard.drift.streams.e_detector import upper_bound


@pytest.mark.parametrize(
    ("also", "named"),
    [
        ({"low": 1.0, "high": 1.0}, "high"),
        ({"low": np.nan}, "low"),
        ({"baseline": 0.0}, "baseline"),
        ({"baseline": 1.0}, "baseline"),
        ({"baseline": "low"}, "baseline"),
        ({"direction": "sideways"}, "direction"),
    ],
)
def test_arguments_are_checked(also: dict[str, object], named: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"^{named} = "):
        EDetector(**also)  # type: ignore[arg-type]


def test_values_outside_of_the_range_are_refused() -> None:
    detector = EDetector(baseline=5.0, low=0.0, high=10.0)
    for bad in (-0.1, 10.1):
        with pytest.raises(ConfigurationError, match=r"^x = .* a number between 0 and 10"):
            detector.observe(bad)
        with pytest.raises(ConfigurationError, match=r"^xs\[1\] = "):
            detector.observe_many([5.0, bad])
    assert detector.measure().n == 0


def test_a_change_that_stays_is_reported_once_and_one_that_ends_may_come_again() -> None:
    rng = np.random.default_rng(1)
    detector = EDetector(baseline=0.1)
    assert len(detector.observe_many(rng.random(20_000) < 0.3)) == 1
    assert detector.measure().details["status"] == "drift"
    assert detector.observe_many(rng.random(1000) < 0.05) == []
    assert detector.measure().details["status"] == "stable"
    [again] = detector.observe_many(rng.random(1000) < 0.3)
    assert abs(again.onset - 21_000) <= 20


def test_the_unit_does_not_matter() -> None:
    rng = np.random.default_rng(2)
    xs = np.r_[rng.beta(2, 6, 500), rng.beta(4, 4, 500)]
    [one] = EDetector(baseline=0.25).observe_many(xs)
    [other] = EDetector(baseline=1.0, low=-1.0, high=7.0).observe_many(8.0 * xs - 1.0)
    assert (one.at, one.onset) == (other.at, other.onset)
    assert other.after == pytest.approx(8.0 * one.after - 1.0)  # type: ignore[operator]


def test_a_learnt_baseline_is_seldom_exceeded_by_the_mean() -> None:
    rng = np.random.default_rng(3)
    for mean in (0.02, 0.3):
        bounds = [upper_bound((rng.random(1000) < mean).astype(float), 0.05) for _ in range(400)]
        assert np.mean(np.array(bounds) < mean) <= 0.05
        assert np.median(bounds) < mean + 5.0 * (mean / 1000) ** 0.5


def test_it_says_where_values_depend_on_those_before() -> None:
    rng = np.random.default_rng(4)
    plain, sticky = EDetector(), EDetector()
    plain.observe_many(rng.random(1500))
    walk = np.repeat(rng.random(750), 2)
    sticky.observe_many(walk)
    assert "rate_holds" not in EDetector(baseline=0.5).measure().details
    assert plain.measure().details["rate_holds"]
    assert not sticky.measure().details["rate_holds"]
    assert sticky.measure().details["autocorrelation"] == pytest.approx(0.5, abs=0.1)
