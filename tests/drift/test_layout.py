"""What does not fit the reference is noted once and never raises."""

from __future__ import annotations

from datetime import UTC, datetime
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


def test_a_profile_from_json_says_that_it_counts_no_more() -> None:
    profile = Profile.from_json(REFERENCE.profile(FITTED).to_json())
    with pytest.raises(ConfigurationError, match="has no cells"):
        profile.observe({"x": 1.0})
    with pytest.raises(ConfigurationError, match="has no cells"):
        profile.observe_many(FITTED)
    assert profile.rows == N
