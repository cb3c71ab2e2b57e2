"""Counting a lazy frame where it lies: nothing is collected but the counts."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import numpy as np

from mlguard.arguments import refusal
from mlguard.drift import scalars
from mlguard.drift.cells import Cycle, Levels, Ranges
from mlguard.drift.frames import kind_of_dtype
from mlguard.drift.scalars import OBJECT, TIME
from mlguard.errors import ConfigurationError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlguard.drift.cells import Cells
    from mlguard.drift.layout import Layout, Source
    from mlguard.drift.scalars import Kind

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 -- times are compared without a zone, in UTC
_FIRST = datetime.min.replace(tzinfo=UTC).timestamp()
_LAST = datetime.max.replace(microsecond=0, tzinfo=UTC).timestamp()


@dataclass(frozen=True, slots=True)
class _Column:
    """A column of the frame: what it holds and what is asked about it, target by target."""

    source: Source
    holds: Kind
    unknown: bool
    values: Any
    there: Any
    asked: list[list[Any]]


def count(layout: Layout, table: Any) -> tuple[NDArray[np.int64], int, frozenset[str]]:
    """Count a lazy frame of polars, DuckDB or Dask in the cells of a layout.

    One aggregation counts the rows, the numbers and times up to each edge, and the values that are
    there; one grouped count for each column of levels gives the rows of the levels that have a
    cell (of all levels where they are private, since an engine does not know the hashes).
    The counts are those of the frame in memory, to the integer.

    Raises:
        ConfigurationError: The engine cannot express it, or the frame changed meanwhile.
    """
    schema = table.collect_schema()
    columns = [
        _column(source, schema[name]) for name, source in layout.plan.items() if name in schema
    ]
    asked = [nw.len()]
    for column in columns:
        asked += [column.there, *(each for target in column.asked for each in target)]
    numbers = iter(_numbers(table, asked))
    rows = next(numbers)
    counts = np.zeros(layout.size, dtype=np.int64)
    notes = layout.unknown(schema)
    for name, source in layout.plan.items():
        if name not in schema:
            notes |= layout.absent(source, rows, counts)
    for column in columns:
        there = next(numbers)
        if there and column.unknown:  # narwhals does not know some zones of pandas, for one
            allowed = "of a type that narwhals knows; give times in UTC, or collect a sample"
            raise refusal(f"frame[{column.source.name!r}]", "of unknown type", allowed)
        if there and not _fits(column):
            notes |= column.source.notes([column.holds])
        for (part, cells), target in zip(column.source.targets, column.asked, strict=True):
            answers = [next(numbers) for _ in target]
            if isinstance(cells, Levels):
                found = _levels(table, column, cells, answers, there)
                counts[part] = cells.count(found, rows - there)
                counts[part.stop - 2] += there - found.total()
            else:
                counts[part] = _filled(cells, answers, there, rows)
    if counts.min() < 0:
        raise refusal("frame", "changing", "one that stays the same while it is counted")
    return counts, rows, frozenset(notes)


def _column(source: Source, dtype: Any) -> _Column:
    holds, values = kind_of_dtype(dtype), nw.col(source.name)
    there = _sum(~values.is_null())
    if holds == "number" or (holds == "boolean" and source.expected == "number"):
        values = values.cast(nw.Float64)
        there = _sum(values <= math.inf)  # a null or a NaN is not, on any engine
    elif holds == "text" and not isinstance(dtype, nw.String):
        values = values.cast(nw.String)
    elif holds == "time":
        values = _in_utc(values, dtype)
    asked = [_asked(values, source, holds, cells) for _, cells in source.targets]
    return _Column(source, holds, isinstance(dtype, nw.Unknown), values, there, asked)


def _asked(values: Any, source: Source, holds: Kind, cells: Cells) -> list[Any]:
    """Ask how many values there are up to each edge, in each part of a cycle, or that are true."""
    if isinstance(cells, Levels):
        return [_sum(values)] if holds == "boolean" else []
    if source.expected == "number" and holds in {"number", "boolean"}:
        return [_sum(values <= edge) for edge in cells.edges]  # type: ignore[union-attr]
    if source.expected != "time" or holds != "time":
        return []
    if isinstance(cells, Ranges):
        return [_up_to(values, edge) for edge in cells.edges]
    turns = values.dt.hour() if cells.part == "hour" else values.dt.weekday() - 1
    return [_sum(turns == turn) for turn in range(cells.size - 1)]


def _fits(column: _Column) -> bool:
    expected = column.source.expected
    return column.holds in {"level": {"text", "boolean", "object"}}.get(expected, {expected})


def _sum(truth: Any) -> Any:
    return truth.sum()  # without a cast, which fails for a missing truth on Dask


def _in_utc(column: Any, dtype: Any) -> Any:
    if isinstance(dtype, nw.Date):
        return column.cast(nw.Datetime("us"))
    if dtype.time_zone is not None:
        return column.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    return column


def _up_to(moment: Any, edge: float) -> Any:
    """Count the times whose microseconds, as Unix seconds, are at most an edge."""
    if not _FIRST <= edge <= _LAST:
        return _sum(~moment.is_null()) if edge > 0 else _sum(moment.is_null()) * 0
    after = math.floor(Fraction(edge) * 1_000_000) + 1
    while after / 1e6 <= edge:  # far from 1970 a float stands for several microseconds
        after += 1
    return _sum(moment < _EPOCH + timedelta(microseconds=after))


def _numbers(table: Any, asked: Sequence[Any]) -> list[int]:
    try:
        aliased = [each.alias(f"count {place}") for place, each in enumerate(asked)]
        answer = _collected(table.select(*aliased))
    except NotImplementedError as error:
        allowed = "one that its engine can count; give times in UTC, or collect a sample"
        raise ConfigurationError(f"frame: must be {allowed}: {error}") from None
    return [int(value or 0) for value in answer.rows()[0]]


def _collected(table: Any) -> Any:
    """Collect the answers into a library that is there: pandas always is, pyarrow is not."""
    return table.collect(None if table.implementation.is_polars() else "pandas")


def _filled(cells: Ranges | Cycle, answers: list[int], there: int, rows: int) -> NDArray[np.int64]:
    if isinstance(cells, Ranges):
        up_to = [*answers, there] if answers else [0] * (cells.size - 1)
        return cells.from_cumulative(up_to, rows)
    turns = answers or [0] * (cells.size - 1)
    return np.array([*turns, rows - sum(turns)])


def _levels(
    table: Any, column: _Column, cells: Levels, answers: list[int], there: int
) -> Counter[str]:
    """Count the levels that have a cell, at least; the rest of what is there has none."""
    if column.holds == "boolean":
        return Counter({"true": answers[0], "false": there - answers[0]})
    if column.holds in {"time", "object"}:
        return Counter({TIME if column.holds == "time" else OBJECT: there})
    names: list[Any] = list(cells.names)
    present = ~nw.col("level").is_null()
    if column.holds == "number":
        names = [number for name in names if (number := _number(name)) is not None]
        present = nw.col("level") <= math.inf
    if not there or not (names or cells.salt):
        return Counter()
    kept = present if cells.salt else nw.col("level").is_in(names)
    level = table.select(column.values.alias("level")).filter(kept)
    found = _collected(level.group_by("level").agg(nw.len().alias("rows")).select("level", "rows"))
    return Counter({scalars.read(value, "level")[0]: int(number) for value, number in found.rows()})


def _number(name: str) -> float | None:
    """Read a level that is the spelling of a number."""
    try:
        number = float(name)
    except ValueError:
        return None
    return number if scalars.read(number, "level")[0] == name else None
