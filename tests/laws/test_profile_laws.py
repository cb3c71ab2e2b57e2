"""The same rows give the same counts: on every engine, in every order, however they were split."""

from __future__ import annotations

import json
import math
import sys
from datetime import UTC, datetime, timedelta
from functools import reduce
from itertools import zip_longest
from operator import add
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from mlguard.drift import Profile, Reference
from mlguard.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

Row = dict[str, Any]

rng = np.random.default_rng(5)
N = 400
START = datetime(1969, 12, 25, tzinfo=UTC)
FITTED: dict[str, Any] = {
    "x": np.where(rng.random(N) < 0.2, 0.0, rng.normal(size=N)),
    "i": rng.integers(-3, 4, N),
    "k": rng.choice(np.array(["a", "b", "ä", "(other)", "3"], dtype=object), N),
    "secret": rng.choice(np.array(["a", "b", "c"], dtype=object), N),
    "b": rng.random(N) < 0.3,
    "t": [START + timedelta(hours=float(h)) for h in rng.integers(0, 400, N)],
}
REFERENCE = Reference.fit(FITTED, levels=3, private=["secret"])
EDGES = [edge for edge in REFERENCE.layout.cells["x"].edges if math.isfinite(edge)]  # type: ignore[union-attr]

some_x = st.one_of(
    st.none(), st.floats(), st.sampled_from([*EDGES, 0.0, -0.0, math.inf, -math.inf, math.nan])
)
some_i = st.one_of(st.none(), st.integers(-5, 5), st.integers(-(2**62), 2**62))
some_k = st.one_of(st.none(), st.sampled_from(["a", "b", "ä", "(other)", "3", "", "new"]))
some_t = st.one_of(
    st.none(),
    st.sampled_from(FITTED["t"]),
    st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC)),  # noqa: DTZ001 -- made aware
)
row = st.fixed_dictionaries(
    {
        "x": some_x,
        "i": some_i,
        "k": some_k,
        "secret": some_k,
        "b": st.one_of(st.none(), st.booleans()),
        "t": some_t,
    }
)
EXAMPLES: list[Row] = [
    dict(zip(FITTED, values, strict=True))
    for values in zip_longest(
        [*EDGES, *np.nextafter(EDGES, -np.inf).tolist(), -0.0, math.inf, -math.inf, math.nan],
        [2**62, 2**53 + 1, -(2**62), -3, -4],
        ["a", "b", "ä", "(other)", "3", "", "new", None],
        ["a", "b", "ä", "(other)", "3", "", "new", None],
        [True, False, None, True],
        [*FITTED["t"][:20], datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC)],
    )
]
"""Every edge, what lies just below it, and every kind of value that has a cell of its own."""

rows_of = st.lists(row, min_size=1, max_size=25)

TYPES: dict[str, Any] = {
    "x": pl.Float64(),
    "i": pl.Int64(),
    "k": pl.String(),
    "secret": pl.String(),
    "b": pl.Boolean(),
    "t": pl.Datetime("us", "UTC"),
}


def polars(rows: list[Row]) -> pl.DataFrame:
    return pl.DataFrame(
        {name: pl.Series([row[name] for row in rows], dtype=kind) for name, kind in TYPES.items()}
    )


def arrow(rows: list[Row]) -> Any:
    pytest.importorskip("pyarrow", exc_type=ImportError)
    return polars(rows).to_arrow()


def duck(rows: list[Row]) -> Any:
    connection = pytest.importorskip("duckdb").connect()
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute(
        "CREATE TABLE rows (x DOUBLE, i BIGINT, k VARCHAR, secret VARCHAR, b BOOLEAN, t TIMESTAMPTZ)"
    )
    connection.executemany(
        "INSERT INTO rows VALUES (?, ?, ?, ?, ?, ?)",
        [[row[name] for name in TYPES] for row in rows],
    )
    return connection.table("rows")


def dask(rows: list[Row]) -> Any:
    library = pytest.importorskip("dask.dataframe", exc_type=ImportError)
    return library.from_pandas(pandas_arrow(rows), npartitions=2)


def pandas_arrow(rows: list[Row]) -> pd.DataFrame:
    return arrow(rows).to_pandas(types_mapper=pd.ArrowDtype)  # type: ignore[no-any-return]


def pandas_old(rows: list[Row]) -> pd.DataFrame:
    return pd.DataFrame(
        {name: pd.Series([row[name] for row in rows], dtype=object) for name in TYPES}
    )


NULLABLE = {"x": "Float64", "i": "Int64", "k": "string", "secret": "string", "b": "boolean"}


def arrays(rows: list[Row]) -> dict[str, Any]:
    return {name: [row[name] for row in rows] for name in TYPES}


EAGER: dict[str, Callable[[list[Row]], Any]] = {
    "lists": arrays,
    "pandas of objects": pandas_old,
    "pandas of arrow": pandas_arrow,
    "pandas nullable": lambda rows: pandas_old(rows).astype(NULLABLE),
    "polars": polars,
    "pyarrow": arrow,
}
LAZY: dict[str, Callable[[list[Row]], Any]] = {
    "polars lazy": lambda rows: polars(rows).lazy(),
}
SLOW: dict[str, Callable[[list[Row]], Any]] = {"duckdb": duck, "dask": dask}


def one_by_one(rows: list[Row]) -> Profile:
    profile = REFERENCE.profile()
    for each in rows:
        profile.observe(each)
    return profile


@pytest.mark.parametrize("engine", [*EAGER, *LAZY])
@settings(max_examples=15, deadline=None)
@given(rows=rows_of)
def test_every_engine_counts_what_is_counted_one_by_one(engine: str, rows: list[Row]) -> None:
    frame = {**EAGER, **LAZY}[engine](rows)
    assert REFERENCE.profile(frame).to_json() == one_by_one(rows).to_json()


@pytest.mark.parametrize("engine", SLOW)
@pytest.mark.filterwarnings("ignore:Dask support is moving:FutureWarning")
@settings(max_examples=2, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(rows=rows_of)
def test_slow_engines_count_what_is_counted_one_by_one(engine: str, rows: list[Row]) -> None:
    rows += EXAMPLES
    assert REFERENCE.profile(SLOW[engine](rows)).to_json() == one_by_one(rows).to_json()


@settings(max_examples=40, deadline=None)
@given(
    rows=rows_of,
    parts=st.lists(st.integers(0, 3), min_size=25, max_size=25),
    engines=st.permutations(["lists", "pandas of objects", "pandas nullable", "polars"]),
    order=st.permutations(range(4)),
)
def test_any_split_in_any_order_on_any_engine_adds_up(
    rows: list[Row], parts: list[int], engines: list[str], order: list[int]
) -> None:
    split: list[list[Row]] = [[], [], [], []]
    for row, part in zip(rows, parts, strict=False):
        split[part].append(row)
    profiles = [
        REFERENCE.profile(EAGER[engine](part) if part else None)
        for part, engine in zip(split, engines, strict=False)
    ]
    whole = one_by_one(rows).to_json()
    assert reduce(add, (profiles[place] for place in order)).to_json() == whole
    a, b, c, d = profiles
    assert ((a + b) + (c + d)).to_json() == (a + ((b + c) + d)).to_json() == whole


@settings(max_examples=40, deadline=None)
@given(rows=rows_of)
def test_json_goes_round_and_every_row_lies_in_one_cell_of_every_column(rows: list[Row]) -> None:
    profile = one_by_one(rows)
    again = Profile.from_json(profile.to_json())
    assert again == profile
    assert again.digest == profile.digest
    assert (again + profile).rows == 2 * len(rows)
    for part in profile.layout.parts.values():
        assert profile.counts[part].sum() == len(rows)
        assert profile.counts[part].min() >= 0


@given(
    values=st.lists(
        st.one_of(
            st.none(),
            st.booleans(),
            st.floats(),
            st.text(max_size=3),
            st.integers(),
            st.dates(),
            st.datetimes(),
            st.binary(max_size=2),
            st.lists(st.integers(), max_size=2),
        ),
        max_size=12,
    )
)
def test_columns_of_anything_count_as_one_by_one_and_note_the_same(values: list[Any]) -> None:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    frame = dict.fromkeys(FITTED, array)
    rows = [dict.fromkeys(FITTED, value) for value in values]
    expected = one_by_one(rows)
    assert REFERENCE.profile(frame).to_json() == expected.to_json()


def test_profiles_of_different_references_do_not_add() -> None:
    other = Reference.fit({"x": np.arange(100.0)})
    with pytest.raises(ConfigurationError) as caught:
        REFERENCE.profile() + other.profile()
    assert REFERENCE.digest in str(caught.value)
    assert other.digest in str(caught.value)


def test_private_levels_are_in_no_json() -> None:
    names = ["Alice Example", "Bob Example", "Carol Example"]
    frame = {"who": names * 40, "x": np.arange(120.0)}
    reference = Reference.fit(frame, private=["who"])
    seen = reference.profile({**frame, "who": ["Dave Example", *names] * 30})
    seen.observe({"who": "Eve Example", "x": "Mallory Example"})
    for text in (
        reference.to_json(),
        seen.to_json(),
        Reference.from_json(reference.to_json()).to_json(),
    ):
        assert "Example" not in text
    assert json.loads(seen.to_json())["rows"] == 121


def test_nothing_is_larger_than_promised() -> None:
    columns: dict[str, Any] = {f"number {i}": rng.lognormal(size=2_000) for i in range(30)}
    levels = np.array([f"level {i}" for i in range(100)], dtype=object)
    columns |= {f"level {i}": rng.choice(levels, 2_000) for i in range(10)}
    reference = Reference.fit(columns)
    profile = reference.profile()
    profile._counts += 10**9
    assert len(profile.to_json()) <= 60_000
    assert sys.getsizeof(profile.counts) <= 20_000
