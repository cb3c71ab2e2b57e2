"""PageHinkley: what it refuses, and chunks where its threshold is raised for skewed values."""

from __future__ import annotations

import numpy as np
import pytest

from mlguard import ConfigurationError
from mlguard.drift.streams import PageHinkley
from mlguard.drift.streams.page_hinkley import height, skewness


def test_chunks_of_rare_events_are_as_one_by_one() -> None:
    xs = (np.random.default_rng(1).random(30_000) < 0.02).astype(float)
    one, many = (PageHinkley(false_alarm_every=200) for _ in range(2))
    found = [change for x in xs.tolist() if (change := one.observe(x)) is not None]
    assert found
    assert many.observe_many(xs) == found
    assert many.state() == one.state()


def test_the_unit_and_the_origin_do_not_matter() -> None:
    rng = np.random.default_rng(2)
    xs = np.r_[rng.normal(size=2000), rng.normal(1.0, size=300)]
    plain, moved = PageHinkley(), PageHinkley()
    [one] = plain.observe_many(xs)
    [other] = moved.observe_many(1e6 + 1e-3 * xs)
    assert (one.at, one.onset) == (other.at, other.onset)
    assert abs(one.onset - 2000) <= 12


def test_one_outlier_is_no_change() -> None:
    rng = np.random.default_rng(3)
    xs = rng.normal(size=3000)
    xs[2000] = 1e6
    assert PageHinkley().observe_many(xs) == []


def test_the_skewness_is_that_of_the_values() -> None:
    from scipy import stats

    xs = np.random.default_rng(4).exponential(size=1000) + 5.0
    sums = [float((xs**power).sum()) for power in (1, 2, 3)]
    assert skewness(1000, *sums) == pytest.approx(stats.skew(xs), rel=1e-9)
    assert skewness(3, 3.0, 3.0, 3.0) == 0.0


def test_the_threshold_is_that_of_siegmund() -> None:
    most = height(10_000.0, 0.25)
    a = 2 * 0.25 * (most + 1.166)
    assert (np.exp(a) - a - 1.0) / (2 * 0.25**2) == pytest.approx(10_000.0)


@pytest.mark.parametrize("bad", [0.0, 0.04, 3.1, np.nan, "much"])
def test_the_smallest_shift_is_checked(bad: object) -> None:
    with pytest.raises(ConfigurationError, match=r"^smallest_shift = "):
        PageHinkley(smallest_shift=bad)  # type: ignore[arg-type]


def test_the_direction_is_checked() -> None:
    with pytest.raises(ConfigurationError, match=r"^direction = 'sideways'"):
        PageHinkley(direction="sideways")  # type: ignore[arg-type]


def test_values_that_lean_by_a_rounding_error_only_are_no_trouble() -> None:
    detector = PageHinkley()
    assert detector._raised(8.0, 4e-16) == detector._raised(8.0, 0.0) == pytest.approx(8.0)
    assert detector._raised(8.0, -2.0) == detector._raised(8.0, 0.0)
    assert detector._raised(8.0, 1.0) > detector._raised(8.0, 0.5) > 8.0
