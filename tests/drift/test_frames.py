from __future__ import annotations

import math
import uuid
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from mlguard.drift import Reference
from mlguard.drift.frames import read
from mlguard.drift.scalars import kind_of
from mlguard.errors import ConfigurationError

NUMBERS = np.arange(-50.0, 50.0)
REFERENCE = Reference.fit({"x": NUMBERS}, bins=4)
TIMES = np.datetime64("1969-12-30T00:00") + np.arange(200) * np.timedelta64(37, "m")
TIMED = Reference.fit({"t": TIMES}, bins=4)
LEVELS = Reference.fit({"k": ["a", "b", "3", "true"] * 10})


def counts(reference: Reference, frame: Any) -> list[int]:
    found: list[int] = reference.profile(frame).counts.tolist()
    return found


PLAIN = counts(REFERENCE, {"x": NUMBERS})
READ_ONLY = NUMBERS.copy()
READ_ONLY.flags.writeable = False


@pytest.mark.parametrize(
    "x",
    [
        READ_ONLY,
        NUMBERS.astype(np.float32),
        NUMBERS.astype(np.float16),
        NUMBERS.astype(np.longdouble),
        NUMBERS.astype(np.int8),
        NUMBERS.astype(">f8"),
        NUMBERS.astype(">i4"),
        np.repeat(NUMBERS, 3)[::3],
        NUMBERS[::-1],
        np.ma.masked_array(NUMBERS, mask=False),
        [Decimal(int(x)) for x in NUMBERS],
        [Fraction(int(x)) for x in NUMBERS],
        NUMBERS.astype(object),
        tuple(NUMBERS.astype(int).tolist()),
        pd.Series(NUMBERS, dtype="Int64"),
        pd.Series(NUMBERS, index=NUMBERS[::-1]),
        pl.Series(NUMBERS),
        np.asfortranarray(NUMBERS.reshape(-1, 1))[:, 0],
    ],
)
def test_the_same_numbers_in_any_array_are_the_same_counts(x: Any) -> None:
    profile = REFERENCE.profile({"x": x})
    assert profile.counts.tolist() == PLAIN
    assert profile.schema_changes == []


MISSING = [
    [1.0, None, math.nan],
    np.array([1.0, np.nan, np.nan]),
    np.array([1.0, None, pd.NA], dtype=object),
    np.array([1, pd.NaT, Decimal("NaN")], dtype=object),
    [1, np.ma.masked, Decimal("sNaN")],
    np.ma.masked_array([1, 2, 3], mask=[False, True, True]),
    np.ma.masked_array([1.0, np.nan, 3], mask=[False, False, True]),
    pd.Series([1, None, pd.NA], dtype="Int64"),
    pd.Series([1.0, math.nan, None], dtype="Float64"),
    pl.Series([1, None, None]),
    pl.Series([1.0, None, math.nan]),
]


@pytest.mark.parametrize("x", MISSING)
def test_everything_missing_is_one_cell(x: Any) -> None:
    expected = counts(REFERENCE, {"x": [1.0, math.nan, math.nan]})
    assert counts(REFERENCE, {"x": x}) == expected
    assert expected[-1] == 2
    if isinstance(x, pd.Series):
        assert counts(REFERENCE, pd.DataFrame({"x": x})) == expected
    if isinstance(x, pl.Series):
        assert counts(REFERENCE, pl.DataFrame({"x": x})) == expected
    one_by_one = REFERENCE.profile()
    for each in x:
        one_by_one.observe({"x": each})
    assert one_by_one.counts.tolist() == expected
    assert one_by_one.schema_changes == []


def test_whole_numbers_beyond_the_floats_are_counted_as_the_nearest_float() -> None:
    reference = Reference.fit({"x": np.array([2**53, 2**53 + 2] * 9)}, bins=2)
    exact = np.array([2**53 + 1, 2**63 - 1])
    unsigned = np.array([2**64 - 1], dtype=np.uint64)
    assert counts(reference, {"x": exact}) == counts(reference, {"x": exact.astype(float)})
    assert counts(reference, {"x": [10**400, -(10**400)]}) == counts(
        reference, {"x": [math.inf, -math.inf]}
    )
    assert counts(reference, {"x": unsigned}) == counts(reference, {"x": [2.0**64]})
    profile = reference.profile()
    profile.observe({"x": 2**53 + 1})
    profile.observe({"x": np.int64(2**63 - 1)})
    assert profile.counts.tolist() == counts(reference, pl.DataFrame({"x": exact}))


def test_times_are_the_same_from_every_library_whatever_their_unit_and_zone() -> None:
    plain = counts(TIMED, {"t": TIMES})
    aware = [each.replace(tzinfo=UTC) for each in TIMES.astype("datetime64[us]").tolist()]
    east = [each.astimezone(timezone(timedelta(hours=5, minutes=30))) for each in aware]
    stamps = pd.Series(TIMES.astype("datetime64[ns]"))
    frames: list[Any] = [
        {"t": TIMES.astype("datetime64[ns]")},
        {"t": TIMES.astype("datetime64[s]")},
        {"t": np.ma.masked_array(TIMES, mask=False)},
        {"t": aware},
        {"t": east},
        {"t": [each.replace(tzinfo=None) for each in aware]},
        {"t": stamps.tolist()},
        pd.DataFrame({"t": stamps}),
        pd.DataFrame({"t": stamps.dt.tz_localize("UTC").dt.tz_convert("America/New_York")}),
        pd.DataFrame({"t": pd.Series(east, dtype=object)}),
        pl.DataFrame({"t": TIMES.astype("datetime64[ns]")}),
        pl.DataFrame({"t": TIMES.astype("datetime64[ms]")}),
        pl.DataFrame({"t": aware}).with_columns(pl.col("t").dt.convert_time_zone("Asia/Kolkata")),
    ]
    for frame in frames:
        profile = TIMED.profile(frame)
        assert profile.counts.tolist() == plain
        assert profile.schema_changes == []
    for values in (TIMES, east, stamps.tolist()):
        profile = TIMED.profile()
        for each in values:
            profile.observe({"t": each})
        assert profile.counts.tolist() == plain


def test_times_before_1970_below_a_microsecond_are_cut_downwards() -> None:
    values = np.array([-1500, -1000, -1, 0, 1, 1500], dtype="datetime64[ns]")
    reference = Reference.fit({"t": values.astype("datetime64[us]")}, bins=4)
    whole = counts(reference, {"t": values.astype("datetime64[us]")})
    for frame in (
        {"t": values},
        {"t": list(values)},
        pd.DataFrame({"t": values}),
        pl.DataFrame({"t": values}),
    ):
        assert counts(reference, frame) == whole
    assert counts(reference, pl.DataFrame({"t": values}).lazy()) == whole
    assert counts(reference, {"t": [pd.Timestamp(each) for each in values]}) == whole


def test_dates_are_midnights_in_utc() -> None:
    days = [date(1970, 1, 1), None, date(1969, 12, 31)]
    expected = counts(
        TIMED, {"t": np.array(["1970-01-01", "NaT", "1969-12-31"], dtype="datetime64[D]")}
    )
    for frame in (
        {"t": days},
        pl.DataFrame({"t": days}),
        pd.DataFrame({"t": days}),
        pl.DataFrame({"t": days}).lazy(),
    ):
        assert counts(TIMED, frame) == expected


@pytest.mark.parametrize(
    "k",
    [
        np.array(["a", "3", "true"]),
        np.array([b"a", b"3", b"true"]),
        ["a", 3, True],
        ["a", 3.0, np.True_],
        ["a", Decimal("3.00"), True],
        [np.str_("a"), np.float32(3), True],
    ],
)
def test_levels_are_told_by_their_spelling(k: Any) -> None:
    names = LEVELS.layout.cells["k"].labels()
    found = counts(LEVELS, {"k": k})
    assert {names[place]: count for place, count in enumerate(found) if count} == {
        "a": 1,
        "3": 1,
        "true": 1,
    }


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame({"k": pd.Series(["a", None, "z"], dtype="string")}),
        pd.DataFrame({"k": pd.Series(["a", None, "z"], dtype="str")}),
        pd.DataFrame({"k": pd.Series(["a", None, "z"], dtype=object)}),
        pd.DataFrame({"k": pd.Series(["a", math.nan, "z"], dtype=object)}),
        pd.DataFrame({"k": pd.Series(["a", None, "z"], dtype="category")}),
        pl.DataFrame({"k": ["a", None, "z"]}),
        pl.DataFrame({"k": pl.Series(["a", None, "z"], dtype=pl.Categorical)}),
        pl.DataFrame({"k": pl.Series(["a", None, "z"], dtype=pl.Enum(["a", "z"]))}),
        {"k": pd.Series(["a", None, "z"], dtype="category")},
        {"k": pl.Series(["a", None, "z"])},
        {"k": np.ma.masked_array(["a", "b", "z"], mask=[False, True, False])},
    ],
)
def test_text_of_every_library_is_the_same(frame: Any) -> None:
    profile = LEVELS.profile(frame)
    assert profile.counts.tolist() == counts(LEVELS, {"k": ["a", None, "z"]})
    assert profile.schema_changes == []


def test_levels_equal_in_python_stay_apart() -> None:
    reference = Reference.fit({"k": ["1", "true", "x"] * 10})
    for k in ([True, 1, "x"], [1, True, "x"], [1.0, "x", True]):
        assert counts(reference, {"k": k}) == [1, 1, 1, 0, 0]


def test_columns_need_not_have_names_of_text_but_names_of_their_own() -> None:
    assert Reference.fit(pd.DataFrame({0: NUMBERS, (1, "a"): NUMBERS})).columns == ["0", "(1, 'a')"]
    doubled = pd.DataFrame(np.ones((3, 2)), columns=["x", "x"])
    spelled: list[Any] = [
        doubled,
        {"1": NUMBERS, 1: NUMBERS},
        pd.DataFrame({"1": NUMBERS, 1: NUMBERS}),
    ]
    for frame in [*spelled, {"v": np.ones((3, 1)), "v[0]": np.ones(3)}]:
        with pytest.raises(ConfigurationError, match=r"(?i)x|1|v"):
            read(frame)
    with pytest.raises(ConfigurationError, match="x"):
        read(np.ones((3, 2)), ["x", "x"])


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        (pl.LazyFrame({"x": [1.0]}), "in memory"),
        ([1.0, 2.0], "list"),
        (pd.Series([1.0]), "Series"),
        (None, "NoneType"),
        (np.ones(3), "rows, columns"),
        ({"x": 1.0}, "one or two dimensions"),
        ({"x": np.ones((2, 2, 2))}, "one or two dimensions"),
        ({"x": [1.0], "y": [1.0, 2.0]}, "one length"),
        ({"x": np.array([1j])}, "complex128"),
        ({"x": np.array([1], dtype="m8[s]")}, "timedelta64"),
        (pl.DataFrame({"x": [[1], [2]]}), "numbers, booleans, text or times"),
    ],
)
def test_fitting_says_what_it_cannot_read(frame: Any, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        Reference.fit(frame)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([1, None, 2.5], "number"),
        ([True, 1], "number"),
        ([None, None], "number"),
        ([True, None], "level"),
        ([1, "n/a"], "level"),
        (["n/a", 1], "level"),
        ([date(2020, 1, 1), None], "time"),
        ([uuid.UUID(int=1)], "level"),
        (np.array([], dtype=object), "number"),
    ],
)
def test_the_kind_of_a_column_of_objects_does_not_depend_on_the_order(
    values: Any, kind: str
) -> None:
    for each in (values, values[::-1]):
        assert read({"x": each})["x"].kind == kind


def test_one_value_of_any_library_has_a_kind() -> None:
    kinds = [
        kind_of(type(each))
        for each in (np.timedelta64(1, "s"), 1j, [1], np.int8(1), b"", pd.NaT, datetime.now(UTC))
    ]
    assert kinds == ["object", "object", "object", "number", "text", "missing", "time"]
