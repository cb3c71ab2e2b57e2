"""Tests of homogeneity and the effect, against scipy, permutations and by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

from mlguard.stats import homogeneity

ONE = np.array([0])


def test_chi_square_is_that_of_a_contingency_table_column_by_column() -> None:
    before, after = np.array([10, 20, 30, 5, 0, 7]), np.array([12, 14, 41, 2, 0, 9])
    statistic, degrees = homogeneity.chi_square(before, after, np.array([0, 3]))
    for column, part in enumerate((np.array([0, 1, 2]), np.array([3, 5]))):
        known: Any = stats.chi2_contingency(np.stack([before[part], after[part]]), correction=False)
        assert statistic[column] == pytest.approx(known.statistic)
        assert degrees[column] == known.dof
        tail = homogeneity.chi_square_tail(statistic, degrees)[column]
        assert tail == pytest.approx(known.pvalue)


def test_samples_of_any_size_side_by_side_give_what_they_give_alone() -> None:
    rng = np.random.default_rng(1)
    before, starts = rng.multinomial(5000, np.full(9, 1 / 9)), np.array([0, 4])
    after = rng.multinomial([50, 500, 5000], np.full(9, 1 / 9))
    for test in (homogeneity.chi_square, homogeneity.smooth):
        together = test(before, after, starts)
        for row, alone in enumerate(after):
            for many, one in zip(together, test(before, alone, starts), strict=True):
                assert many[row] == pytest.approx(one)
    effects = homogeneity.effect(before, after, starts)
    for row, alone in enumerate(after):
        effect = homogeneity.effect(before, alone, starts)
        assert effects.square[row] == pytest.approx(effect.square)
        for end, single in zip(effects.interval(1.96), effect.interval(1.96), strict=True):
            assert end[row] == pytest.approx(single)


def shuffled(before: list[int], after: list[int], runs: int) -> tuple[np.ndarray, np.ndarray]:
    """Deal the rows of both samples anew."""
    rng = np.random.default_rng(2)
    both = np.array(before) + np.array(after)
    found = rng.multivariate_hypergeometric(both, sum(after), runs)
    return both - found, found


def test_the_smooth_test_agrees_with_permutations() -> None:
    before, after = [30, 80, 60, 25, 5], [22, 50, 62, 28, 14]
    statistic, degrees = homogeneity.smooth(np.array(before), np.array(after), ONE)
    drawn, _ = homogeneity.smooth(*shuffled(before, after, 40_000), ONE)
    assert degrees == 2
    tail = float(homogeneity.chi_square_tail(statistic, degrees)[0])
    assert (drawn >= statistic).mean() == pytest.approx(tail, abs=0.005)
    assert drawn.mean() == pytest.approx(2.0, abs=0.05)


def test_the_smooth_test_finds_a_shift_and_a_spread() -> None:
    even = np.full(20, 500)
    slope = np.linspace(-60, 60, 20).astype(int)
    bowl = np.abs(np.arange(20) - 9.5).astype(int) * 12 - 54
    for change in (slope, bowl):
        statistic, _ = homogeneity.smooth(even, even + change, ONE)
        chi, degrees = homogeneity.chi_square(even, even + change, ONE)
        assert statistic > 0.8 * chi
        tail = homogeneity.chi_square_tail
        assert tail(statistic, np.array([2.0])) < tail(chi, degrees)


def test_the_smooth_test_without_two_cells_has_no_degrees_and_with_two_one() -> None:
    for counts, expected in (([9, 0, 0], 0), ([9, 8, 0], 1), ([9, 8, 7], 2)):
        statistic, degrees = homogeneity.smooth(np.array(counts), np.array(counts[:3]), ONE)
        assert degrees == expected
        assert statistic == pytest.approx(0.0, abs=1e-20)


@pytest.mark.parametrize(
    ("n", "m", "inside"), [(1000, 1000, 3), (10_000, 100, 40), (100, 10_000, 7), (50, 60, 109)]
)
def test_a_rare_cell_is_tested_exactly(n: int, m: int, inside: int) -> None:
    """Two-sided binomial p-values, as chi-square quantiles."""
    rare = min(inside, n + m - inside)
    for seen in range(max(0, inside - n), min(inside, m) + 1):
        statistic, degrees = homogeneity.split(np.array([inside - seen]), np.array([seen]), n, m)
        count = seen if rare == inside else m - seen
        law = stats.binom(rare, m / (n + m))
        p_value = min(1.0, 2.0 * min(law.cdf(count), law.sf(count - 1)))
        tail = float(homogeneity.chi_square_tail(statistic, degrees)[0])
        assert tail == pytest.approx(p_value, rel=1e-6, abs=1e-299)


def test_a_frequent_cell_is_tested_as_in_a_table_of_four() -> None:
    statistic, _ = homogeneity.split(np.array([300]), np.array([260]), 1000, 700)
    table = [[300, 700], [260, 440]]
    known = stats.chi2_contingency(table, correction=False).statistic
    assert statistic == pytest.approx(known * 1699 / 1700)


def test_a_cell_that_nothing_or_everything_lies_in_tells_nothing() -> None:
    for before, after, n, m in (
        (0, 0, 9, 9),
        (9, 9, 9, 9),
        (0, 0, 0, 0),
        (3, 0, 9, 0),
        (0, 3, 0, 9),
    ):
        statistic, degrees = homogeneity.split(np.array([before]), np.array([after]), n, m)
        assert not statistic.any()
        assert not degrees.any()


def test_an_estimated_cell_without_variance_tells_nothing_and_with_it_less_than_a_count() -> None:
    cell = np.array([300]), np.array([260]), np.array([1000]), np.array([700])
    for variance, degrees in ((0.0, 0.0), (1.0, 1.0), (500.0, 1.0)):
        found = homogeneity.estimated_split(*cell, np.array([variance]))
        assert found[1] == degrees
        assert (found[0] > 0.0) == (degrees > 0.0)
    loose, tight = (homogeneity.estimated_split(*cell, np.array([v]))[0] for v in (500.0, 1e-9))
    assert loose < tight
    assert tight == pytest.approx(homogeneity.split(*cell[:2], 1000, 700)[0] * 1700 / 1699)


def test_the_squared_effect_by_hand() -> None:
    p, q = np.array([0.5, 0.3, 0.2]), np.array([0.4, 0.3, 0.3])
    rows = 10**9
    found = homogeneity.effect((rows * p).astype(int), (rows * q).astype(int), ONE)
    assert found.square == pytest.approx(2 * 0.1**2 / 0.9 + 2 * 0.1**2 / 0.5)
    apart = homogeneity.effect(np.array([rows, 0]), np.array([0, 40]), ONE)
    assert apart.square == pytest.approx(homogeneity.LARGEST)


def test_the_interval_holds_the_estimate_narrows_with_rows_and_widens_with_confidence() -> None:
    p, q = np.array([500, 300, 200]), np.array([400, 300, 300])
    widths = []
    for times in (1, 10, 1000, 10**6):
        found = homogeneity.effect(p * times, q * times, ONE)
        low, high = found.interval(1.96)
        wide = found.interval(3.0)
        assert wide[0] <= low <= found.square <= high <= wide[1]
        widths.append(float((high - low)[0]))
    assert widths == sorted(widths, reverse=True)


@pytest.mark.parametrize("before", [[0, 0, 0], [1, 0, 0], [5, 0, 0], [2, 2, 1], [10**9, 10**9, 1]])
@pytest.mark.parametrize("after", [[0, 0, 0], [1, 0, 0], [0, 0, 5], [10**9, 3, 10**9]])
def test_no_counts_give_nan_or_a_warning(before: list[int], after: list[int]) -> None:
    counts = np.array(before), np.array(after)
    found = homogeneity.effect(*counts, ONE)
    values = [
        *homogeneity.chi_square(*counts, ONE),
        *homogeneity.smooth(*counts, ONE),
        *homogeneity.split(counts[0][:1], counts[1][:1], sum(before), sum(after)),
        *found.interval(1.96),
        found.square,
        homogeneity.beyond(*counts, ONE, np.array([0.01])),
    ]
    for value in values:
        assert np.isfinite(value).all()
    low, high = found.interval(1.96)
    assert (low >= 0.0).all()
    assert (low <= high).all()
    assert (high <= homogeneity.LARGEST).all()
