"""Rank intervals, beside the binomial distribution added up term by term."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from mlguard.stats.quantiles import excess_p_value, rank_interval, smallest_n

LEVELS = [0.001, 0.05, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999]
CONFIDENCES = [0.5, 0.9, 0.95, 0.999]


def by_hand(n: int, q: float, confidence: float) -> tuple[int | None, int | None]:
    """Find the highest low end and the lowest high end that are wrong with a chance of a tail."""
    tail = (1.0 - confidence) / 2.0
    below = stats.binom.cdf(np.arange(n), n, q)  # [k]: at most k values lie below the quantile
    above = stats.binom.sf(np.arange(n), n, q)  # [k]: more than k do
    low = [rank for rank in range(1, n + 1) if below[rank - 1] <= tail]
    high = [rank for rank in range(1, n + 1) if above[rank - 1] <= tail]
    return max(low, default=None), min(high, default=None)


@pytest.mark.parametrize("n", [1, 2, 3, 5, 6, 7, 10, 59, 72, 73, 100, 367, 368, 369, 1000, 4210])
@pytest.mark.parametrize("q", LEVELS)
def test_the_ranks_are_those_of_the_binomial_distribution(q: float, n: int) -> None:
    for confidence in CONFIDENCES:
        assert rank_interval(n, q, confidence) == by_hand(n, q, confidence)


@given(st.integers(1, 3000), st.floats(1e-4, 1.0 - 1e-4), st.floats(0.01, 0.9999))
def test_each_end_is_wrong_as_seldom_as_promised_and_no_rank_nearer_would_be(
    n: int, q: float, confidence: float
) -> None:
    tail = (1.0 - confidence) / 2.0
    low, high = rank_interval(n, q, confidence)
    # The low end is wrong where at most low - 1 values lie at or below the quantile.
    if low is not None:
        assert stats.binom.cdf(low - 1, n, q) <= tail * (1 + 1e-9)
    assert stats.binom.cdf(low or 0, n, q) > tail * (1 - 1e-9)
    if high is not None:
        assert stats.binom.sf(high - 1, n, q) <= tail * (1 + 1e-9)
    assert high == 1 or stats.binom.sf((high or n + 1) - 2, n, q) > tail * (1 - 1e-9)
    if low is not None and high is not None:
        assert low <= high


@pytest.mark.parametrize("n", [10**5, 10**7, 10**9, 2**53])
@pytest.mark.parametrize("q", [0.5, 0.99, 0.9999])
def test_of_very_many_the_ranks_lie_where_the_normal_distribution_puts_them(
    n: int, q: float
) -> None:
    low, high = rank_interval(n, q, 0.95)
    assert low is not None
    assert high is not None
    spread = 1.96 * np.sqrt(n * q * (1.0 - q))
    assert (n * q - low) / spread == pytest.approx(1.0, abs=0.25)
    assert (high - n * q) / spread == pytest.approx(1.0, abs=0.25)


@pytest.mark.parametrize("q", [0.0, 1.0])
def test_the_extremes_are_ends_of_their_own(q: float) -> None:
    assert rank_interval(50, q, 0.95) == ((None, 1) if q == 0.0 else (50, None))


@pytest.mark.parametrize(
    ("q", "expected"), [(0.5, 6), (0.9, 36), (0.95, 72), (0.99, 368), (0.999, 3688), (0.01, 368)]
)
def test_the_smallest_n_is_that_of_the_tables(q: float, expected: int) -> None:
    assert smallest_n(q, 0.95) == expected


@pytest.mark.parametrize(
    ("q", "confidence"),
    [*itertools.product(LEVELS, CONFIDENCES), (0.975, 0.95), (0.5, 1.0 - 2**-9)],
)
def test_the_smallest_n_is_the_first_with_both_ends(q: float, confidence: float) -> None:
    n = smallest_n(q, confidence)
    assert None not in rank_interval(n, q, confidence)
    assert n == 1 or None in rank_interval(n - 1, q, confidence)


@given(st.integers(1, 5000), st.floats(0.001, 0.999), st.floats(0.0, 1.0))
def test_the_p_value_is_the_tail_of_the_binomial_distribution(
    n: int, q: float, part: float
) -> None:
    over = round(part * n)
    expected = stats.binom.sf(over - 1, n, 1.0 - q)
    assert excess_p_value(over, n, q) == pytest.approx(expected, rel=1e-9, abs=1e-300)


def test_none_over_is_no_evidence_and_all_over_is_all_there_is() -> None:
    assert excess_p_value(0, 100, 0.99) == 1.0
    assert excess_p_value(5, 5, 0.9) == pytest.approx(1e-5)
