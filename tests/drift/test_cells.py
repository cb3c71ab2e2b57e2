from __future__ import annotations

import math
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlguard.drift.cells import Cycle, Levels, Ranges, cells_from_dict
from mlguard.errors import ConfigurationError

rng = np.random.default_rng(3)
LARGEST = float(np.finfo(float).max)
floats = st.lists(
    st.one_of(st.floats(), st.sampled_from([0.0, 1.0, LARGEST, -LARGEST])), max_size=60
)


@given(floats, st.integers(2, 12), floats)
def test_many_are_counted_as_one_by_one(
    fitted: list[float], bins: int, values: list[float]
) -> None:
    cells = Ranges.fit(np.array(fitted, dtype=float), bins)
    expected = (
        np.bincount([cells.cell(value) for value in values], minlength=cells.size) if values else 0
    )
    few = np.array(values, dtype=float)
    assert np.array_equal(cells.count(few), np.zeros(cells.size) + expected)
    assert np.array_equal(
        cells.count(np.tile(few, 2_100)), np.zeros(cells.size) + np.array(expected) * 2_100
    )
    assert len(cells.labels()) == cells.size
    assert cells_from_dict(cells.to_dict()) == cells
    assert all(low < high for low, high in pairwise(cells.edges))


@given(floats, st.integers(2, 12))
def test_edges_do_not_depend_on_the_order_of_rows_and_heavy_values_have_their_own_cell(
    fitted: list[float], bins: int
) -> None:
    values = np.array(fitted, dtype=float)
    cells = Ranges.fit(values, bins)
    assert repr(Ranges.fit(values[::-1], bins)) == repr(cells)
    finite = values[np.isfinite(values)]
    for heavy, count in Counter(finite.tolist()).items():
        if count * bins > len(finite):
            assert cells.count(finite)[cells.cell(heavy)] == count


PRICES = [0.1, 0.99, 1.99, 4.99, 9.99, -7.7, 3.0, 0.5]


@given(st.lists(st.sampled_from([*PRICES, 1 / 3]), min_size=1, max_size=80), st.integers(2, 30))
def test_float32_moves_no_value_to_another_cell(fitted: list[float], bins: int) -> None:
    doubles, singles = np.array(fitted), np.array(fitted, dtype=np.float32).astype(float)
    cells = Ranges.fit(doubles, bins)
    assert cells.count(singles).tolist() == cells.count(doubles).tolist()
    if 1 / 3 not in fitted:  # no decimal: nothing tells what its float32 was before
        assert Ranges.fit(singles, bins) == cells


def test_a_value_of_its_own_is_named_as_it_is_in_either_precision() -> None:
    prices = np.repeat([0.99, 1.99, 4.99, 9.99, 20_000_001.0], 20)
    for values in (prices, prices.astype(np.float32).astype(float)):
        names = Ranges.fit(values, 8).labels()
        assert {"0.99", "1.99", "4.99", "9.99"} <= set(names)
        assert "below 0.99" in names
    assert "20,000,001" in Ranges.fit(prices, 8).labels()


def test_values_that_float32_cannot_tell_apart_have_cells_of_their_own() -> None:
    near = [0.99, math.nextafter(0.99, 1.0), float(np.float32(0.99))]
    cells = Ranges.fit(np.repeat(near, 10), 5)
    assert cells.count(np.array(near)).max() == 1
    whole = Ranges.fit(np.repeat([3.0, 4.0], 10), 5)
    assert {3.0, math.nextafter(3.0, 0.0), 4.0, math.nextafter(4.0, 0.0)} <= set(whole.edges)


def test_missing_infinite_and_out_of_range_have_cells_of_their_own() -> None:
    cells = Ranges.fit(np.arange(1.0, 101.0), 4)
    values = [-math.inf, 0.0, 1.0, 100.0, 101.0, LARGEST, math.inf, math.nan]
    assert [cells.cell(value) for value in values] == [0, 1, 2, 5, 6, 6, 7, 8]
    assert cells.cell(None) == 8
    assert cells.labels()[1] == "below 1"


def test_fitting_leaves_its_values_alone() -> None:
    values = np.array([3.0, 1.0, -0.0, np.nan])
    values.flags.writeable = False
    Ranges.fit(values, 4)
    assert Ranges.fit(np.array([]), 4).labels() == ["-infinity", "finite", "+infinity", "(missing)"]


def test_edges_that_do_not_ascend_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="edges"):
        cells_from_dict({"edges": [2.0, 1.0]})
    with pytest.raises(ConfigurationError, match="cells"):
        cells_from_dict({"cycle": "month"})


def test_private_levels_are_found_by_their_hash() -> None:
    counts = Counter({"anna": 5, "bob": 3, "\ud800": 1})
    cells = Levels.fit(counts, 2, "salt")
    assert not {"anna", "bob"} & set(cells.names)
    assert cells.count(counts, 4).tolist()[-2:] == [1, 4]
    assert cells.cell("anna") == cells.names.index(Levels._spelled("anna", "salt"))
    assert cells.cell("\ud800") == 2
    assert cells.cell(None) == 3
    assert cells_from_dict(cells.to_dict()) == cells


def test_a_level_called_like_a_cell_is_a_level() -> None:
    cells = Levels.fit(Counter({"(other)": 3, "(missing)": 2}), 5, "")
    assert cells.count({"(other)": 1, "x": 1}, 7).tolist() == [0, 1, 1, 7]


@given(
    st.lists(st.one_of(st.floats(-1e11, 2e11), st.just(math.nan)), max_size=40),
    st.sampled_from(["hour", "weekday"]),
)
def test_cycles_are_counted_as_one_by_one(seconds: list[float], part: str) -> None:
    cells = Cycle(part)
    counted = cells.count(np.array(seconds, dtype=float))
    assert counted.tolist() == [
        sum(cells.cell(each) == place for each in seconds) for place in range(cells.size)
    ]


def test_the_epoch_was_a_thursday_at_midnight() -> None:
    assert Cycle("weekday").labels()[Cycle("weekday").cell(0.0)] == "Thu"
    assert Cycle("hour").cell(0.0) == 0
    assert Cycle("hour").cell(-1.0) == 23
    assert Cycle("hour").cell(None) == 24
