"""Adjusted p-values, against their definitions and scipy."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from mlguard.stats.corrections import benjamini_hochberg, holm

p_values = st.lists(st.floats(0.0, 1.0), min_size=1, max_size=7)
weighted = st.lists(st.tuples(st.floats(0.0, 1.0), st.floats(0.1, 10.0)), min_size=1, max_size=7)


@given(weighted)
def test_holm_is_the_closed_weighted_bonferroni_test(drawn: list[tuple[float, float]]) -> None:
    """A hypothesis falls when every intersection that holds it falls by weighted Bonferroni."""
    p, w = (np.array(column) for column in zip(*drawn, strict=True))
    tests = range(len(p))
    worst = [0.0] * len(p)
    for size in range(1, len(p) + 1):
        for subset in map(list, combinations(tests, size)):
            share = w[subset] / w[subset].sum()
            together = min(1.0, float((p[subset] / share).min()))
            for each in subset:
                worst[each] = max(worst[each], together)
    assert holm(p, w) == pytest.approx(np.array(worst))


@given(p_values)
def test_benjamini_hochberg_is_that_of_scipy(drawn: list[float]) -> None:
    p = np.array(drawn)
    assert benjamini_hochberg(p) == pytest.approx(stats.false_discovery_control(p))


@given(p_values)
def test_equal_weights_are_no_weights_and_adjusting_keeps_the_order(drawn: list[float]) -> None:
    p = np.array(drawn)
    adjusted = holm(p)
    assert (holm(p, np.full(len(p), 3.0)) == pytest.approx(adjusted)) is True
    assert (adjusted >= p).all()
    assert (benjamini_hochberg(p) <= adjusted + 1e-12).all()
    for found in (adjusted, benjamini_hochberg(p)):
        assert (np.diff(found[np.argsort(p, kind="stable")]) >= 0.0).all()


def test_several_families_are_adjusted_side_by_side() -> None:
    p = np.random.default_rng(1).random((3, 4, 6)) ** 3
    weights = np.array([1.0, 2.0, 1.0, 4.0, 1.0, 0.5])
    assert (holm(p, weights)[2, 1] == holm(p[2, 1], weights)).all()
    assert (benjamini_hochberg(p)[2, 1] == benjamini_hochberg(p[2, 1])).all()


def test_a_heavy_hypothesis_gets_its_share_of_alpha() -> None:
    assert holm(np.array([0.02, 0.5]), np.array([9.0, 1.0]))[0] == pytest.approx(0.02 / 0.9)
