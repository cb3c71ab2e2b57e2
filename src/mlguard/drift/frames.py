"""Reading columns from a frame of any kind: a dict of arrays, numpy, or what narwhals takes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from mlguard.arguments import refusal
from mlguard.drift import scalars
from mlguard.drift.cells import blocks
from mlguard.drift.scalars import OBJECT, TIME, Expected, Kind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_HELD: dict[str, Kind] = {
    **dict.fromkeys("fiu", "number"),
    **dict.fromkeys("UST", "text"),
    "b": "boolean",
    "M": "time",
}
"""What arrays hold, by the kind of their dtype; arrays of Python objects ("O") hold anything."""

NOTHING: frozenset[Kind] = frozenset()


@dataclass(slots=True)
class Column:
    """One column of a frame in memory, read block by block when asked; never copied as a whole.

    Attributes:
        name: Of the column; of one component of a vector column, `name[0]`.
        rows: How many.
        array: Gives the values, in any dtype, perhaps masked.
        counts: Gives the levels with their counts and the number of missing values, where the
            frame's own library counts them faster than Python; None elsewhere.
        holds: What such a column holds: text, or objects.
    """

    name: str
    rows: int
    array: Callable[[], NDArray[Any]]
    counts: Callable[[], tuple[Counter[str], int]] | None = None
    holds: Kind = "text"

    @property
    def kind(self) -> Literal["number", "time", "level"]:
        """What cells to fit to it: of an array of objects, by all of its values.

        Raises:
            ConfigurationError: Its values are neither numbers, booleans, text nor times.
        """
        array = np.empty(0, "U") if self.counts is not None else self.array()
        held = self.holds if self.counts is not None else _HELD.get(array.dtype.kind, "object")
        if array.dtype.kind == "O":
            types = {type(value) for block in blocks(array) for value in _listed(block)}
            kinds = {scalars.kind_of(each) for each in types} - {"missing"}
            if kinds <= {"number", "boolean"} and kinds != {"boolean"}:
                return "number"
            return "time" if kinds == {"time"} else "level"
        if held == "object":
            allowed = "a column of numbers, booleans, text or times"
            raise refusal(f"frame[{self.name!r}]", str(array.dtype), allowed)
        return held if held in {"number", "time"} else "level"

    def floats(self) -> NDArray[np.float64]:
        """Give the values as one array: numbers, or times as Unix seconds; missing ones NaN."""
        expected: Expected = "time" if self.kind == "time" else "number"
        parts = self.blocks(expected)
        first, _ = next(parts, (np.empty(0), NOTHING))
        if len(first) == self.rows:
            return first
        whole = np.empty(self.rows)
        whole[: len(first)] = first
        start = len(first)
        for part, _ in parts:
            whole[start : start + len(part)] = part
            start += len(part)
        return whole

    def blocks(self, expected: Expected) -> Iterator[tuple[NDArray[np.float64], frozenset[Kind]]]:
        """Give blocks of numbers or Unix seconds, and what else than expected each block held."""
        if self.counts is not None:
            _, missing = self.counts()
            yield np.full(self.rows, np.nan), _kinds(self.holds, any_there=missing < self.rows)
            return
        array = self.array()
        if array.dtype == np.float64 and expected == "number" and type(array) is np.ndarray:
            yield array, NOTHING
            return
        for block in blocks(array):
            yield _floats(block, expected)

    def levels(self) -> tuple[Counter[str], int, frozenset[Kind]]:
        """Count the levels by their spelling and the missing ones; and give what else it held."""
        if self.counts is not None:
            return (*self.counts(), NOTHING)
        total: Counter[str] = Counter()
        kinds = NOTHING
        array = self.array()
        for block in blocks(array):
            found, held = _levels(block)
            if total:
                total.update(found)
            else:
                total = found
            kinds |= held
        return total, self.rows - total.total(), kinds


def table_of(frame: Any) -> Any:
    """Read a data frame with narwhals: a `DataFrame` in memory, or a `LazyFrame`.

    Raises:
        ConfigurationError: narwhals takes no such thing, or its column names are doubled.
    """
    import narwhals.stable.v2 as nw  # noqa: PLC0415 -- only where the caller brought a data frame
    from narwhals.exceptions import NarwhalsError  # noqa: PLC0415 -- the same

    try:
        table = nw.from_native(frame)
        names = table.collect_schema().names()
    except TypeError:
        allowed = "a mapping of arrays, a numpy array with names, or a data frame"
        raise refusal("frame", type(frame).__name__, allowed) from None
    except (ValueError, NarwhalsError) as error:
        raise refusal("frame", type(frame).__name__, f"readable: {error}") from None
    _unique(names)
    return table


def read(frame: Any, names: Sequence[str] | None = None) -> dict[str, Column]:
    """Read the columns of a frame in memory.

    Args:
        frame: A mapping of names to arrays (a 2-D array is a vector: one column per component), a
            numpy array with two dimensions and `names`, or a data frame that narwhals takes.
        names: Of the columns of a numpy array.

    Raises:
        ConfigurationError: The frame is of no such kind, lazy, or its columns differ in length.
    """
    if isinstance(frame, np.ndarray):
        if frame.ndim != 2 or names is None or len(names) != frame.shape[1]:  # noqa: PLR2004
            shape = f"{frame.shape} with {0 if names is None else len(names)} names"
            raise refusal("frame", shape, "an array (rows, columns) with a name for each column")
        _unique(names)
        found = [_column(name, frame[:, place]) for place, name in enumerate(names)]
    elif isinstance(frame, Mapping):
        found = [column for name, values in frame.items() for column in _arrays(name, values)]
        _unique(column.name for column in found)
    else:
        found = list(_series(table_of(frame)))
    if len({column.rows for column in found}) > 1:
        raise refusal("frame", {each.name: each.rows for each in found}, "columns of one length")
    return {column.name: column for column in found}


def kind_of_dtype(dtype: Any) -> Kind:
    """Tell what a column of a data frame holds, by its narwhals dtype."""
    import narwhals.stable.v2 as nw  # noqa: PLC0415 -- only where the caller brought a data frame

    if dtype.is_numeric():
        return "number"
    if isinstance(dtype, nw.Boolean):
        return "boolean"
    if isinstance(dtype, nw.String | nw.Categorical | nw.Enum):
        return "text"
    return "time" if isinstance(dtype, nw.Datetime | nw.Date) else "object"


def _unique(names: Iterable[Any]) -> None:
    spelled = list(map(scalars.name_of, names))
    if len(set(spelled)) < len(spelled):
        doubled = sorted(name for name, count in Counter(spelled).items() if count > 1)
        raise refusal("frame", doubled, "columns whose names, as text, are all different")


def _column(name: Any, array: NDArray[Any]) -> Column:
    return Column(scalars.name_of(name), len(array), lambda: array)


def _arrays(name: Any, values: Any) -> Iterator[Column]:
    try:  # a list is not made an array of one dtype: that would turn [1, "a"] into text
        listed = isinstance(values, list | tuple)
        array = np.asarray(values, dtype=object) if listed else np.asanyarray(values)
    except (TypeError, ValueError) as error:
        raise refusal(f"frame[{name!r}]", values, f"an array: {error}") from None
    if array.ndim == 1:
        yield _column(name, array)
    elif array.ndim == 2:  # noqa: PLR2004 -- a vector column
        for place in range(array.shape[1]):
            yield _column(f"{scalars.name_of(name)}[{place}]", array[:, place])
    else:
        raise refusal(f"frame[{name!r}]", values, "an array of one or two dimensions")


def _series(table: Any) -> Iterator[Column]:
    import narwhals.stable.v2 as nw  # noqa: PLC0415 -- only where the caller brought a data frame

    if isinstance(table, nw.LazyFrame):
        lazy = type(table.to_native()).__name__
        raise refusal("frame", lazy, "in memory: collect the frame, or a sample of its rows")
    for series in table.iter_columns():
        held, counts = kind_of_dtype(series.dtype), None
        if held == "text":
            counts = lambda s=series: _counted(s)  # noqa: E731 -- bound to its series
        elif held == "object" and series.dtype not in {nw.Object, nw.Unknown}:
            counts = lambda s=series: _opaque(s)  # noqa: E731 -- the same
        elif getattr(series.dtype, "time_zone", None) is not None:
            series = series.dt.convert_time_zone("UTC").dt.replace_time_zone(None)  # noqa: PLW2901
        elif isinstance(series.dtype, nw.Decimal):
            series = series.cast(nw.Float64)  # noqa: PLW2901 -- as the lazy engines do
        name = scalars.name_of(series.name)
        yield Column(name, len(series), series.to_numpy, counts, held)


def _counted(series: Any) -> tuple[Counter[str], int]:
    table = series.alias("level").value_counts(name="rows")
    found: Counter[str] = Counter()
    for value, count in zip(table["level"].to_list(), table["rows"].to_list(), strict=True):
        name, _ = scalars.read(value, "level")
        if name is not None:
            found[name] += int(count)
    return found, len(series) - found.total()


def _opaque(series: Any) -> tuple[Counter[str], int]:
    missing = int(series.is_null().sum())
    return Counter({OBJECT: len(series) - missing}), missing


def _kinds(*kinds: Kind, any_there: bool) -> frozenset[Kind]:
    return frozenset(kinds) if any_there else NOTHING


def _listed(block: NDArray[Any]) -> list[Any]:
    values: list[Any] = block.tolist()  # None where it is masked
    return values


def _floats(block: NDArray[Any], expected: Expected) -> tuple[NDArray[np.float64], frozenset[Kind]]:
    if block.dtype.kind == "O":
        return _each(_listed(block), expected)
    held = _HELD.get(block.dtype.kind, "object")
    data, mask = np.ma.getdata(block), np.ma.getmask(block)
    if held == "time":
        stamps = data.astype("datetime64[us]")
        floats = stamps.astype(np.int64) / 1e6
        floats[np.isnat(stamps)] = np.nan
    elif held in {"number", "boolean"}:
        floats = np.ascontiguousarray(data, dtype=np.float64)
    else:
        floats = np.zeros(len(data))
    if mask is not np.ma.nomask:
        floats = np.where(mask, np.nan, floats)
    if held == expected:
        return floats, NOTHING
    kinds = _kinds(held, any_there=not np.isnan(floats).all())
    if held == "boolean" and expected == "number":
        return floats, kinds
    return np.full(len(floats), np.nan), kinds


def _each(values: list[Any], expected: Expected) -> tuple[NDArray[np.float64], frozenset[Kind]]:
    if expected == "number" and set(map(type, values)) <= {float, int, type(None)}:
        try:
            return np.array(values, dtype=np.float64), NOTHING
        except OverflowError:
            pass
    read = [scalars.read(value, expected) for value in values]
    floats = np.array([value for value, _ in read], dtype=np.float64)
    return floats, frozenset(kind for _, kind in read if kind is not None)


def _levels(block: NDArray[Any]) -> tuple[Counter[str], frozenset[Kind]]:
    if block.dtype.kind in "McmV":  # a list of these holds other things than the array
        if block.dtype.kind in "Mm":
            block = np.ma.masked_where(np.isnat(block), block)
        there = int(np.ma.count(block))
        held: Kind = _HELD.get(block.dtype.kind, "object")
        found = Counter({TIME if held == "time" else OBJECT: there} if there else {})
        return found, _kinds(held, any_there=held == "time" and there > 0)
    values = _listed(block)
    types = set(map(type, values))
    if types <= {str, type(None)}:
        found = Counter(values)
        if type(None) in types:
            del found[None]
        return found, NOTHING
    found = Counter()
    kinds: set[Kind] = set()
    for value, count in _grouped(values, types - {str, type(None)}):
        name, kind = scalars.read(value, "level")
        if name is not None:
            found[name] += count
        if kind is not None:
            kinds.add(kind)
    return found, frozenset(kinds)


def _grouped(values: list[Any], types: set[type]) -> Iterable[tuple[Any, int]]:
    """Count equal values, unless values of different kinds are equal, as 1 and True are."""
    if types <= {float} or types in ({bool}, {int}):
        return Counter(values).items()
    return ((value, 1) for value in values)
