"""The exact sum of floats."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlguard.stats import exact
from mlguard.stats.exact import UNIT, exact_sum

floats = st.floats(allow_nan=False, allow_infinity=False, allow_subnormal=True)


@given(st.lists(floats, max_size=50))
def test_it_is_the_sum_of_fractions(values: list[float]) -> None:
    assert exact_sum(np.array(values)) * UNIT == sum(map(Fraction, values), Fraction(0))


@pytest.mark.parametrize(
    "values",
    [
        [],
        [5e-324, -5e-324, 5e-324],
        [1.7976931348623157e308, 5e-324, -1.7976931348623157e308],
        [1e-310, 1e70, -1e-70, 0.1, -1e70],
        [0.1] * 1000,
    ],
)
def test_extremes_cancel_to_the_last_bit(values: list[float]) -> None:
    assert exact_sum(np.array(values)) * UNIT == sum(map(Fraction, values), Fraction(0))


def test_many_rows_are_summed_by_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(3).standard_cauchy(1000)
    whole = exact_sum(values)
    monkeypatch.setattr(exact, "_CHUNK", 7)
    assert exact_sum(values) == whole
