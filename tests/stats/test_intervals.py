"""What the formulas must give where the answer is known; their coverage is in tests/laws."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from mlguard.stats import intervals
from mlguard.stats.intervals import Spread

positive = st.floats(1e-6, 1e6)
confidences = st.floats(0.5, 0.999)


@given(positive, st.floats(1.0, 1e4), confidences)
def test_without_skewness_a_mean_has_students_interval(
    error: float, rows: float, confidence: float
) -> None:
    spread = Spread(error * error, 0.0, rows)
    expected = stats.t.interval(confidence, rows, loc=3.0, scale=error)
    assert intervals.mean_interval(3.0, spread, confidence) == pytest.approx(expected, rel=1e-7)
    assert intervals.difference_interval(3.0, spread, confidence) == pytest.approx(
        expected, rel=1e-7
    )


@pytest.mark.parametrize("skewness", [1e-3, 0.3, 1.0, 5.0])
def test_skewness_moves_the_interval_towards_the_long_tail(skewness: float) -> None:
    right = intervals.mean_interval(0.0, Spread(1.0, skewness, 50.0), 0.95)
    left = intervals.mean_interval(0.0, Spread(1.0, -skewness, 50.0), 0.95)
    assert right == pytest.approx((-left[1], -left[0]))
    assert right[1] > -right[0] > 0.0


def test_a_vanishing_skewness_changes_nothing() -> None:
    plain, nearly = (
        intervals.mean_interval(0.0, Spread(1.0, skew, 50.0), 0.95) for skew in (0.0, 1e-8)
    )
    assert plain == pytest.approx(nearly, rel=1e-6)


def test_the_interval_of_an_area_leans_away_from_one() -> None:
    low, high = intervals.rank_interval(0.97, Spread(1e-4, -0.4, 100.0), 200, 0.95)
    assert 0.97 - low > 1.3 * (high - 0.97) > 0.0


@given(st.floats(0.5, 1.0), st.floats(0.0, 0.1), st.floats(-2.0, 2.0), st.floats(0.0, 100.0))
def test_the_interval_of_an_area_is_one_of_a_share(
    area: float, variance: float, skewness: float, rows: float
) -> None:
    low, high = intervals.rank_interval(area, Spread(variance, skewness, rows), 20, 0.95)
    assert 0.0 <= low <= high <= 1.0
    if variance == 0.0 or rows < 5.0:
        least, most = intervals.exact_proportion_interval(20 * area, 20, 0.95)
        assert low <= least
        assert most <= high


@given(st.lists(st.floats(-100, 100), min_size=10, max_size=50).filter(lambda x: np.std(x) > 1e-3))
def test_the_spread_of_equal_weights_is_that_of_the_textbook(values: list[float]) -> None:
    x = np.array(values)
    n, away = len(x), x - x.mean()
    sums = [float((away**k).sum()) / n**k for k in (2, 3, 4)]
    spread = intervals.spread_of_mean(n, *sums)
    assert spread.variance == pytest.approx(x.var(ddof=1) / n)
    assert spread.skewness == pytest.approx(stats.skew(x) / math.sqrt(n), abs=1e-9)
    kurtosis = stats.kurtosis(x, fisher=False)
    assert spread.informative == pytest.approx(min(max(n / kurtosis, 1.0), n - 1.0))


def test_joined_spreads_add_up_and_a_constant_one_adds_nothing() -> None:
    first, second, constant = Spread(2.0, 0.5, 10.0), Spread(2.0, -0.5, 10.0), Spread(0.0, 0.0, 9.0)
    assert intervals.joined(first, second) == Spread(4.0, 0.0, 20.0)
    assert intervals.joined(first, constant) == first
    assert intervals.joined(constant, constant) == constant


@given(st.integers(0, 500), st.integers(0, 500), confidences)
def test_the_interval_of_a_share_is_fair_to_both_sides(
    count: int, more: int, confidence: float
) -> None:
    n = count + more + 1
    low, high = intervals.proportion_interval(count, n, confidence)
    assert 0.0 <= low <= count / n <= high <= 1.0
    mirrored = intervals.proportion_interval(n - count, n, confidence)
    assert mirrored == pytest.approx((1.0 - high, 1.0 - low), abs=1e-9)
    least, most = intervals.exact_proportion_interval(count, n, confidence)
    assert least - 1e-12 <= low
    assert high <= most + 1e-12


@pytest.mark.parametrize(("count", "n"), [(0, 10), (3, 10), (10, 10), (49, 100), (1, 10_000)])
def test_the_exact_interval_is_scipys(count: int, n: int) -> None:
    expected = stats.binomtest(count, n).proportion_ci(0.95, "exact")
    found = intervals.exact_proportion_interval(count, n, 0.95)
    assert found == pytest.approx((expected.low, expected.high))


@given(st.floats(-5, 5), positive, st.floats(1.0, 1e5) | st.just(math.inf), confidences)
def test_a_p_value_is_below_alpha_just_where_zero_is_left_out(
    estimate: float, error: float, rows: float, confidence: float
) -> None:
    spread = Spread(error * error, 0.0, rows)
    low, high = intervals.difference_interval(estimate, spread, confidence)
    p_value = intervals.difference_p_value(estimate, spread)
    if abs(p_value - (1.0 - confidence)) > 1e-9:
        assert (p_value < 1.0 - confidence) == (low > 0.0 or high < 0.0)


def test_without_any_spread_a_difference_is_certain() -> None:
    assert intervals.difference_p_value(0.0, Spread(0.0, 0.0, 9.0)) == 1.0
    assert intervals.difference_p_value(0.1, Spread(0.0, 0.0, 9.0)) == 0.0


def test_infinitely_many_rows_give_the_normal_quantile() -> None:
    low, high = intervals.difference_interval(0.0, Spread(1.0, 0.0, math.inf), 0.95)
    assert (low, high) == pytest.approx(stats.norm.interval(0.95))
