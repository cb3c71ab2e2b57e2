from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import narwhals.stable.v2 as nw
import numpy as np
import polars as pl
import pytest

from mlguard.drift import Reference, lazy
from mlguard.errors import ConfigurationError

rng = np.random.default_rng(1)
N = 1_000
START = datetime(1969, 12, 20, tzinfo=UTC)
FRAME = pl.DataFrame(
    {
        "x": np.where(rng.random(N) < 0.1, np.nan, rng.normal(size=N)),
        "i": rng.integers(0, 5, N),
        "f": rng.normal(size=N).astype(np.float32),
        "k": rng.choice(["a", "b", "c", "d"], N),
        "c": pl.Series(rng.choice(["u", "v"], N), dtype=pl.Categorical),
        "b": rng.random(N) < 0.5,
        "secret": rng.choice(["a", "b", "c"], N),
        "t": [START + timedelta(minutes=float(m)) for m in rng.integers(0, 40_000, N)],
    }
)
REFERENCE = Reference.fit(FRAME, levels=2, private=["secret"])
EAGER = REFERENCE.profile(FRAME)


def test_a_lazy_frame_is_counted_like_the_frame_and_added_to_what_was_counted() -> None:
    assert REFERENCE.profile(FRAME.lazy()) == EAGER
    profile = REFERENCE.profile(FRAME[:300])
    profile.observe_many(FRAME[300:].lazy())
    assert profile == EAGER
    assert profile.schema_changes == []


def test_float32_is_compared_as_float64() -> None:
    edge = float(np.float32(0.1))
    reference = Reference.fit({"f": np.array([0.1, edge, np.nextafter(edge, 1)] * 9)})
    frame = pl.DataFrame({"f": np.array([0.1], dtype=np.float32)})
    assert (
        reference.profile(frame.lazy())
        == reference.profile(frame)
        == reference.profile({"f": [edge]})
    )


def test_nothing_but_counts_of_known_levels_is_collected(monkeypatch: pytest.MonkeyPatch) -> None:
    collected: list[Any] = []

    def collect(table: Any) -> Any:
        collected.append(table.collect())
        return collected[-1]

    monkeypatch.setattr(lazy, "_collected", collect)
    REFERENCE.profile(FRAME.with_columns(k=pl.int_range(N).cast(pl.String)).lazy())
    assert collected[0].shape[0] == 1
    assert [table.shape[0] for table in collected[1:]] == [0, 2, 3]
    assert collected[0].schema.dtypes() == [nw.UInt32()] * collected[0].shape[1]


def test_an_empty_lazy_frame_counts_nothing() -> None:
    assert REFERENCE.profile(FRAME.clear().lazy()) == REFERENCE.profile()


def test_numbers_in_a_column_of_levels_are_told_by_their_spelling() -> None:
    for private in ([], ["k"]):
        reference = Reference.fit({"k": ["1", "2", "2.5", "a", "07"] * 9}, private=private)
        for k in ([1, 2, None, 7], [1.0, 2.5, float("nan"), 7.0]):
            frame = pl.DataFrame({"k": k}, strict=False)
            profile = reference.profile(frame.lazy())
            assert profile == reference.profile(frame)
            assert profile.schema_changes == ["column k holds numbers"]


def test_duckdb_counts_the_same_without_pyarrow() -> None:
    duckdb = pytest.importorskip("duckdb")
    rows = "SELECT range::DOUBLE / 7 AS x, 'l' || range % 3 AS k, TIMESTAMP '1969-12-31' + to_hours(range::INT) AS t FROM range(100)"
    relation = duckdb.connect().sql(rows)
    frame = relation.df()
    reference = Reference.fit(frame)
    assert reference.profile(relation) == reference.profile(frame)
    with pytest.raises(ConfigurationError, match="in memory"):
        Reference.fit(relation)


def test_duckdb_in_another_zone_says_that_it_cannot_give_the_hours() -> None:
    connection = pytest.importorskip("duckdb").connect()
    connection.execute("SET TimeZone = 'Asia/Tokyo'")
    relation = connection.sql("SELECT TIMESTAMPTZ '2026-01-01 00:00:00+00' AS t")
    reference = Reference.fit(
        {"t": np.datetime64("2026-01-01") + np.arange(50) * np.timedelta64(1, "h")}
    )
    profile = reference.profile()
    with pytest.raises(ConfigurationError, match="UTC"):
        profile.observe_many(relation)
    assert profile.rows == 0


def test_a_frame_that_changes_meanwhile_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    reference = Reference.fit({"k": ["a", "b"] * 9})
    answers = iter(
        [pl.DataFrame({"n": [2], "there": [2]}), pl.DataFrame({"level": ["a"], "rows": [3]})]
    )
    monkeypatch.setattr(lazy, "_collected", lambda _: nw.from_native(next(answers)))
    with pytest.raises(ConfigurationError, match="stays the same"):
        reference.profile(pl.LazyFrame({"k": ["a", "a"]}))
