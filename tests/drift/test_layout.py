"""What does not fit the reference is noted once and never raises."""

from __future__ import annotations

import enum
from collections import ChainMap
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from mlguard.drift import Profile, Reference
from mlguard.errors import ConfigurationError

N = 40
FITTED: dict[str, Any] = {
    "x": np.arange(N, dtype=float),
    "k": ["a", "b"] * (N // 2),
    "t": np.datetime64("2026-01-01") + np.arange(N) * np.timedelta64(1, "h"),
}
REFERENCE = Reference.fit(FITTED)
NOW = datetime(2026, 1, 1, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "value", "note", "cell"),
    [
        ("x", "7", "text", "(missing)"),
        ("x", np.bytes_(b"8"), "text", "(missing)"),
        ("x", True, "booleans", "0.95 to 2.9"),
        ("x", NOW, "times", "(missing)"),
        ("x", [1.0], "objects", "(missing)"),
        ("x", np.ones(2), "objects", "(missing)"),
        ("x", 1j, "objects", "(missing)"),
        ("k", 7, "numbers", "(unseen)"),
        ("k", 7.5, "numbers", "(unseen)"),
        ("k", NOW, "times", "(unseen)"),
        ("k", True, None, "(unseen)"),
        ("k", ["a"], None, "(unseen)"),
        ("k", np.array("a"), None, "a"),
        ("t", 1.7e9, "numbers", "(missing)"),
        ("t", "2026-01-01", "text", "(missing)"),
        ("t", True, "booleans", "(missing)"),
        ("x", None, None, "(missing)"),
        ("k", float("nan"), None, "(missing)"),
        ("t", float("nan"), None, "(missing)"),
        ("t", pd.NaT, None, "(missing)"),
        ("k", pd.NA, None, "(missing)"),
    ],
)
def test_a_value_of_another_kind_is_noted(
    name: str, value: Any, note: str | None, cell: str
) -> None:
    fitting = {"x": 1.0, "k": "a", "t": NOW}
    profile = REFERENCE.profile()
    for _ in range(2):
        profile.observe({**fitting, name: value})
    assert profile.schema_changes == ([f"column {name} holds {note}"] if note else [])
    labels = REFERENCE.layout.cells[name].labels()
    counts = profile.counts[REFERENCE.layout.parts[name]]
    if cell in labels:
        assert labels[int(counts.argmax())] == cell
    held = np.empty(2, dtype=object)
    held[:] = [value, value]
    frame = {"x": [1.0, 1.0], "k": ["a", "a"], "t": [NOW, NOW], name: held}
    assert REFERENCE.profile(frame) == profile


@pytest.mark.parametrize(
    ("frame", "notes"),
    [
        ({"x": np.array(["a", "b"])}, ["column x holds text"]),
        ({"x": np.array([True, False])}, ["column x holds booleans"]),
        ({"x": np.array(["2026-01-01"], dtype="M8[D]")}, ["column x holds times"]),
        ({"x": np.array(["NaT"], dtype="M8[D]")}, []),
        ({"x": np.array([1j])}, ["column x holds objects"]),
        ({"x": pd.Series([1, 2], dtype="m8[s]")}, ["column x holds objects"]),
        ({"k": np.array([1.5, np.nan])}, ["column k holds numbers"]),
        ({"k": np.array([np.nan])}, []),
        ({"k": np.array([1j])}, []),
        ({"k": np.array(["2026-01-01", "NaT"], dtype="M8[D]")}, ["column k holds times"]),
        ({"t": np.array([1.5])}, ["column t holds numbers"]),
        (pl.DataFrame({"x": ["a", None]}), ["column x holds text"]),
        (pl.DataFrame({"x": pl.Series([None, None], dtype=pl.String)}), []),
        (pl.DataFrame({"x": [None, None]}), []),
        (pl.DataFrame({"x": [[1], None]}), ["column x holds objects"]),
        (pl.DataFrame({"x": [True, None]}), ["column x holds booleans"]),
        (pl.DataFrame({"k": [1, None]}), ["column k holds numbers"]),
        (pl.DataFrame({"k": [[1], None]}), []),
        (pl.DataFrame({"k": [NOW, None]}), ["column k holds times"]),
        (pl.DataFrame({"t": [1, None]}), ["column t holds numbers"]),
        (pl.DataFrame({"t": ["a", None]}), ["column t holds text"]),
    ],
)
def test_a_column_of_another_kind_is_noted_in_memory_and_lazily(
    frame: Any, notes: list[str]
) -> None:
    profile = REFERENCE.profile(frame)
    absent = (
        [f"absent column {name}" for name in sorted(set(FITTED) - set(frame))]
        if isinstance(frame, dict)
        else [f"absent column {name}" for name in sorted(set(FITTED) - set(frame.columns))]
    )
    assert profile.schema_changes == [*absent, *notes]
    if isinstance(frame, pl.DataFrame):
        assert REFERENCE.profile(frame.lazy()) == profile
        assert REFERENCE.profile(frame.clear().lazy()) == REFERENCE.profile(frame.clear())


def test_absent_and_unknown_columns_are_noted_once() -> None:
    profile = REFERENCE.profile()
    for _ in range(3):
        profile.observe_many({"k": ["a"], "new": [1.0]})
        profile.observe({"k": "a", "newer": None})
    assert profile.schema_changes == [
        "absent column t",
        "absent column x",
        "unknown column new",
        "unknown column newer",
    ]
    assert profile.counts[REFERENCE.layout.parts["x"]][-1] == 6
    assert profile.counts[REFERENCE.layout.parts["t.hour"]][-1] == 6


def test_unknown_names_do_not_fill_the_memory() -> None:
    parts = []
    for start in (0, 500):
        profile = REFERENCE.profile()
        for place in range(start, start + 500):
            profile.observe({f"{place:04d}" + "x" * 1_000: 1})
        parts.append(profile)
    both = parts[1] + parts[0]
    assert both.schema_changes == parts[0].schema_changes
    assert len(both.schema_changes) == 50
    assert max(map(len, both.schema_changes)) < 130


def test_a_vector_column_is_the_same_in_rows_and_frames() -> None:
    vectors = np.arange(60.0).reshape(20, 3)
    reference = Reference.fit({"v": vectors})
    assert reference.columns == ["v[0]", "v[1]", "v[2]"]
    rows = reference.profile()
    for vector in vectors:
        rows.observe({"v": vector})
    assert rows == reference.profile({"v": vectors}) == reference.profile({"v": vectors.tolist()})
    assert rows == reference.profile(vectors)
    rows.observe({"v": [1.0, 2.0, 3.0, 4.0]})
    rows.observe({"v": None})
    assert rows.schema_changes == ["unknown column v", "unknown column v[3]"]


class Broken:
    """Fails however it is read, but not when it is spelled."""

    def __float__(self) -> float:
        raise RuntimeError

    def __getitem__(self, place: int) -> float:
        raise RuntimeError

    def __repr__(self) -> str:
        return "broken"


class Unspelled(Broken):
    """Cannot even be spelled."""

    __slots__ = ()

    def __repr__(self) -> str:
        raise RuntimeError


class Endless(Broken):
    """Has no last element, and is too large for a float in an unknown direction."""

    def __float__(self) -> float:
        raise OverflowError

    def __getitem__(self, place: int) -> float:
        return 1.0


class Nowhere(tzinfo):
    """A time zone that fails."""

    def utcoffset(self, _: datetime | None) -> timedelta:
        raise RuntimeError

    dst = utcoffset

    def tzname(self, _: datetime | None) -> str:
        raise RuntimeError


@pytest.mark.parametrize("name", ["x", "k", "t"])
@pytest.mark.parametrize(
    "value", [Broken(), Unspelled(), Endless(), datetime(2026, 1, 1, tzinfo=Nowhere())]
)
def test_no_value_makes_counting_fail(name: str, value: Any) -> None:
    fitting = {"x": 1.0, "k": "a", "t": NOW}
    profile = REFERENCE.profile()
    profile.observe({**fitting, name: value})
    held = np.empty(1, dtype=object)
    held[:] = [value]
    assert REFERENCE.profile({"x": [1.0], "k": ["a"], "t": [NOW], name: held}) == profile
    assert profile.counts[REFERENCE.layout.parts[name]][-2:].sum() == 1


@pytest.mark.parametrize(
    "value", [np.float64(1), np.array(1.0), Broken(), "text", b"bytes", {0: 1.0}, 3.0]
)
def test_what_is_no_vector_is_a_column_of_its_own(value: Any) -> None:
    reference = Reference.fit({"e": np.arange(60.0).reshape(20, 3)})
    profile = reference.profile()
    profile.observe({"e": value})
    assert profile.schema_changes == ["unknown column e"]
    assert [profile.counts[part][-1] for part in reference.layout.parts.values()] == [1, 1, 1]


def test_a_vector_without_end_is_read_as_far_as_the_reference_knows() -> None:
    profile = Reference.fit({"e": np.arange(60.0).reshape(20, 3)}).profile()
    profile.observe({"e": Endless()})
    assert profile.schema_changes == ["unknown column e[3]"]


class Row(Mapping[Any, Any]):
    """A row that reads its values late, and not always."""

    def __init__(self, *, whole: bool) -> None:
        self.whole = whole

    def __getitem__(self, name: Any) -> Any:
        if name == "x":
            raise RuntimeError
        return "a"

    def __iter__(self) -> Iterator[Any]:
        yield from ("x", "k")
        if not self.whole:
            raise RuntimeError

    def __len__(self) -> int:
        return 2


@pytest.mark.parametrize("whole", [True, False])
def test_a_row_of_any_class_is_counted(whole: bool) -> None:  # noqa: FBT001 -- a parameter
    profile, plain = REFERENCE.profile(), REFERENCE.profile()
    profile.observe(Row(whole=whole))
    plain.observe({"k": "a"})
    assert profile == plain
    profile.observe(ChainMap({"k": "b"}, {"x": 1.0}))
    plain.observe({"k": "b", "x": 1.0})
    assert profile == plain


class Name(str, enum.Enum):  # noqa: UP042 -- the older kind spells itself Name.X
    """Names of columns."""

    X = "x"


def test_names_that_are_no_text_are_the_same_in_rows_and_frames() -> None:
    values = np.arange(40.0)
    vectors = np.arange(80.0).reshape(40, 2)
    frame: dict[Any, Any] = {1: values, (2, "b"): values, Name.X: values, 3: vectors}
    reference = Reference.fit(frame)
    assert reference.columns == ["1", "(2, 'b')", "x", "3[0]", "3[1]"]
    assert Reference.fit(pd.DataFrame({1: values})).columns == ["1"]
    rows = reference.profile()
    for value, vector in zip(values, vectors, strict=True):
        row: Any = {1: value, (2, "b"): value, Name.X: value, 3: vector}
        rows.observe(row)
    assert rows == reference.profile(frame)
    assert rows.schema_changes == []
    row = {1: 5.0, "1": None, Unspelled(): 1.0}
    rows.observe(row)
    assert rows.schema_changes == ["unknown column (object)"]
    assert rows.counts[reference.layout.parts["1"]][-1] == 1


def test_a_blank_name_is_shown_in_quotes() -> None:
    profile = REFERENCE.profile()
    profile.observe({"x": 1.0, "": 1.0})
    profile.observe_many({"x": [1.0], " ": [2.0]})
    assert 'unknown column ""' in profile.schema_changes
    assert 'unknown column " "' in profile.schema_changes
    blank = Reference.fit({"": np.arange(9.0)})
    assert blank.profile({"x": ["a"]}).schema_changes == ['absent column ""', "unknown column x"]
    assert blank.profile({"": ["a"]}).schema_changes == ['column "" holds text']


PRICES = np.random.default_rng(1).choice([0.99, 1.99, 4.99, 9.99], 3_000)


@pytest.mark.parametrize(
    "frame",
    [
        {"price": PRICES.astype(np.float32)},
        pd.DataFrame({"price": PRICES.astype(np.float32)}),
        pl.DataFrame({"price": PRICES.astype(np.float32)}),
        pl.DataFrame({"price": PRICES.astype(np.float32)}).lazy(),
    ],
)
def test_prices_in_float32_have_not_drifted(frame: Any) -> None:
    reference = Reference.fit({"price": PRICES})
    profile = reference.profile(frame)
    assert profile == reference.profile({"price": PRICES})
    rows = reference.profile()
    for price in PRICES.astype(np.float32):
        rows.observe({"price": price})
    assert rows == profile
    assert reference.compare(profile).columns["price"].status == "stable"


def test_a_profile_from_json_says_that_it_counts_no_more() -> None:
    profile = Profile.from_json(REFERENCE.profile(FITTED).to_json())
    with pytest.raises(ConfigurationError, match="has no cells"):
        profile.observe({"x": 1.0})
    with pytest.raises(ConfigurationError, match="has no cells"):
        profile.observe_many(FITTED)
    assert profile.rows == N
