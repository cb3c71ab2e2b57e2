"""Exact sums: nothing is rounded, whatever the sizes, so nothing depends on the order."""

from __future__ import annotations

import json
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlguard import ConfigurationError
from mlguard.sketches.moments import Moments
from mlguard.stats.exact import UNIT

sizes = st.floats(-1e70, 1e70, allow_subnormal=True)
values = st.lists(sizes | st.sampled_from([0.0, 1.0, -1.0, 5e-324, -1e70, 1e-70]), max_size=30)
weighted = st.lists(
    st.tuples(sizes, st.sampled_from([0.0, 0.5, 1.0, 3.0, 1e-70, 1e4])), max_size=30
)


@given(values)
def test_every_sum_is_that_of_the_rounded_powers(x: list[float]) -> None:
    moments = Moments.of(np.array(x))
    powers = [[1.0, v, v * v, v * v * v, (v * v) * (v * v)] for v in x]
    expected = [sum((Fraction(row[k]) for row in powers), Fraction(0)) for k in range(5)]
    for j, row in enumerate(moments.sums, start=1):
        assert [total * UNIT for total in row] == expected[: j + 1]


@given(weighted)
def test_the_weighted_mean_and_spread_are_those_of_fractions(
    rows: list[tuple[float, float]],
) -> None:
    x, w = np.array(rows).reshape(-1, 2).T
    moments = Moments.of(x, w)
    total = sum(map(Fraction, w), Fraction(0))
    assert moments.total_weight == total
    if not total:
        assert math.isnan(moments.mean)
        return
    rounded = sum(map(Fraction, x * w), Fraction(0))
    assert moments.mean == float(rounded / total)
    squares = sum(map(Fraction, w * w), Fraction(0))
    assert moments.effective_n == float(total * total / squares)


@given(st.lists(st.integers(-1000, 1000).map(float), min_size=1, max_size=30), st.integers(1, 4))
def test_central_sums_of_whole_numbers_are_exact(x: list[float], order: int) -> None:
    mean = sum(map(Fraction, x)) / len(x)
    expected = sum(((Fraction(v) - mean) ** order for v in x), Fraction(0))
    assert Moments.of(np.array(x)).central(order) == float(expected)
    ones = np.ones(len(x))
    assert Moments.of(np.array(x), ones).central(order) == float(expected)


@given(values, st.integers(0, 30), st.randoms())
def test_any_split_and_order_gives_the_same(x: list[float], cut: int, random: object) -> None:
    whole = Moments.of(np.array(x))
    first, second = Moments.of(np.array(x[:cut])), Moments.of(np.array(x[cut:]))
    assert first + second == second + first == whole
    shuffled = list(x)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert Moments.of(np.array(shuffled)) == whole


@given(weighted)
def test_it_round_trips_through_json(rows: list[tuple[float, float]]) -> None:
    x, w = np.array(rows).reshape(-1, 2).T
    for moments in (Moments.of(x), Moments.of(x, w)):
        wire = json.dumps(moments.to_dict(), allow_nan=False)
        assert Moments.from_dict(json.loads(wire)) == moments


def test_it_counts_signs_only_where_all_are_signs_of_weight_one() -> None:
    x = np.array([1.0, 0.0, -1.0, 1.0, 0.0])
    assert Moments.of(x).signs == (1, 2)
    assert Moments.of(x, np.ones(5)).signs == (1, 2)
    assert Moments.of(x, np.array([2.0, 1.0, 1.0, 1.0, 0.0])).signs is None
    assert Moments.of(x / 2.0).signs is None
    assert (Moments.of(x) + Moments.of(x / 2.0)).signs is None
    assert Moments.of(np.empty(0)).signs == (0, 0)


@pytest.mark.parametrize(
    ("x", "weights"), [([1e76], None), ([-1e76, 0.0], None), ([1e60], [1e20]), ([math.nan], None)]
)
def test_a_number_too_large_to_be_exact_is_refused(
    x: list[float], weights: list[float] | None
) -> None:
    w = None if weights is None else np.array(weights)
    with pytest.raises(
        ConfigurationError, match=r"^x = .*: must be at most 1e\+75 in absolute value"
    ):
        Moments.of(np.array(x), w)


def test_the_record_of_another_schema_is_refused() -> None:
    record = {**Moments.of(np.ones(1)).to_dict(), "schema": 2}
    with pytest.raises(ConfigurationError, match=r"^schema = 2: must be 1$"):
        Moments.from_dict(record)


def test_moments_add_only_to_moments() -> None:
    with pytest.raises(TypeError):
        Moments.of(np.ones(1)) + 1  # type: ignore[operator]
