"""Predictions and labels that wait for each other: what is known of each id, in any order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from mlguard.arguments import moment, refusal
from mlguard.drift import frames
from mlguard.performance.inputs import groups, labels, missing, refuse
from mlguard.performance.inputs import rows as rows_of
from mlguard.performance.metrics import accuracy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from mlguard.performance.metrics import Metric, Reader

    Floats = NDArray[np.float64]

_LARGEST = 1e37
"""Of predictions and labels: the square of their difference is a loss that can be summed."""

VALUES = ("prediction", "label")
COLUMNS = ("predicted_at", "prediction", "labelled_at", "label")


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """One row for each id: its last prediction and its last label, either of which may be missing.

    Immutable, so safe between threads; per process and mergeable: `a + b` knows what either knew,
    so it does not depend on order, grouping or repetition. The last one wins: the largest
    `(predicted_at, prediction, slices)` and the largest `(labelled_at, label)`.

    Attributes:
        ids: 64-bit digests of the ids, ascending.
        columns: `COLUMNS` and the slices, NaN where unknown; text as its place in `words`.
        words: All text of the rows, sorted.
        coded: The columns that hold text.
        repredicted: Whether another prediction of the id was seen.
        relabelled: Whether another label of the id was seen.
    """

    ids: NDArray[np.uint64]
    columns: Mapping[str, Floats]
    words: tuple[str, ...]
    coded: frozenset[str]
    repredicted: NDArray[np.bool_]
    relabelled: NDArray[np.bool_]

    @classmethod
    def empty(cls, slices: Sequence[str]) -> Self:
        """Make no rows."""
        columns = {name: np.empty(0) for name in (*COLUMNS, *slices)}
        no_flags = np.empty(0, dtype=bool)
        return cls(np.empty(0, np.uint64), columns, (), frozenset(slices), no_flags, no_flags)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def slices(self) -> tuple[str, ...]:
        """The names of the slicing columns."""
        return tuple(self.columns)[len(COLUMNS) :]

    @property
    def predicted(self) -> NDArray[np.bool_]:
        """Whether the prediction is known."""
        return ~np.isnan(self.columns["predicted_at"])

    @property
    def early(self) -> NDArray[np.bool_]:
        """Whether the label is older than the prediction, so that it cannot be its label."""
        return self.columns["labelled_at"] < self.columns["predicted_at"]

    @property
    def labelled(self) -> NDArray[np.bool_]:
        """Whether the label is known, and no older than the prediction."""
        return ~np.isnan(self.columns["label"]) & ~self.early

    @property
    def times(self) -> Floats:
        """When it was predicted; where that is unknown, labelled."""
        return np.where(self.predicted, self.columns["predicted_at"], self.columns["labelled_at"])

    def at(self, where: NDArray[np.bool_]) -> Rows:
        """Give some of the rows."""
        columns = {name: values[where] for name, values in self.columns.items()}
        flags = self.repredicted[where], self.relabelled[where]
        return Rows(self.ids[where], columns, self.words, self.coded, *flags).pruned()

    def values(self, name: str, where: NDArray[np.bool_]) -> NDArray[Any]:
        """Give predictions or labels as they came: numbers, or an array of text."""
        column = self.columns[name][where]
        if name not in self.coded:
            return column
        there = ~np.isnan(column)
        text = np.full(len(column), None, dtype=object)
        text[there] = np.array(self.words, dtype=object)[column[there].astype(np.intp)]
        return text

    @property
    def kinds(self) -> dict[str, str]:
        """Whether predictions and labels are text or numbers, where there are any."""
        held = (name for name in VALUES if not np.isnan(self.columns[name]).all())
        return {name: "text" if name in self.coded else "numbers" for name in held}

    def __add__(self, other: Rows) -> Rows:
        if not len(self) or not len(other):
            return self if len(self) else other
        words = tuple(sorted({*self.words, *other.words}))
        parts = [self._spelled(words), other._spelled(words)]
        columns = {name: np.concatenate([part[name] for part in parts]) for name in self.columns}
        return Rows(
            np.concatenate([self.ids, other.ids]),
            columns,
            words,
            self.coded | other.coded,
            np.concatenate([self.repredicted, other.repredicted]),
            np.concatenate([self.relabelled, other.relabelled]),
        ).reduced()

    def to_dict(self) -> dict[str, Any]:
        """Give plain JSON: digests in hexadecimal digits, what is unknown as null."""
        known = {name: _where(~np.isnan(x), x) for name, x in self.columns.items()}
        return {
            "ids": [f"{each:x}" for each in self.ids.tolist()],
            "columns": {name: column.tolist() for name, column in known.items()},
            "words": list(self.words),
            "coded": sorted(self.coded),
            "repredicted": self.repredicted.nonzero()[0].tolist(),
            "relabelled": self.relabelled.nonzero()[0].tolist(),
        }

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Self:
        """Read what `to_dict` wrote."""
        ids = np.array([int(each, 16) for each in record["ids"]], dtype=np.uint64)
        columns = {
            name: np.array(values, dtype=np.float64) for name, values in record["columns"].items()
        }
        flags = []
        for name in ("repredicted", "relabelled"):
            flags.append(np.zeros(len(ids), dtype=bool))
            flags[-1][np.array(record[name], dtype=np.intp)] = True
        return cls(ids, columns, tuple(record["words"]), frozenset(record["coded"]), *flags)

    def _spelled(self, words: tuple[str, ...]) -> Mapping[str, Floats]:
        if words == self.words:
            return self.columns
        place = {word: code for code, word in enumerate(words)}
        return self._recoded(np.array([place[word] for word in self.words], dtype=np.float64))

    def _recoded(self, codes: Floats) -> dict[str, Floats]:
        codes = np.append(codes, np.nan)  # the last is what is missing
        columns = dict(self.columns)
        for name in self.coded:
            columns[name] = codes[np.nan_to_num(columns[name], nan=-1.0).astype(np.intp)]
        return columns

    def pruned(self) -> Rows:
        """Forget the words that no row holds."""
        used = np.zeros(len(self.words), dtype=bool)
        coded = set(self.slices)
        for name in self.coded:
            column = self.columns[name]
            codes = column[~np.isnan(column)].astype(np.intp)
            used[codes] = True
            coded |= {name} if len(codes) else set()
        if used.all() and coded == self.coded:
            return self
        words = tuple(word for word, kept in zip(self.words, used, strict=True) if kept)
        columns = self._recoded(np.cumsum(used) - 1.0)
        return replace(self, columns=columns, words=words, coded=frozenset(coded))

    def reduced(self) -> Rows:
        """Make one row of all that have the same id."""
        order = np.argsort(self.ids, kind="stable")
        ids = self.ids[order]
        first = np.append(True, ids[1:] != ids[:-1])[: len(ids)]
        group = np.cumsum(first) - 1
        columns = {name: values[order] for name, values in self.columns.items()}
        flags = self.repredicted[order], self.relabelled[order]
        if first.all():
            return Rows(ids, columns, self.words, self.coded, *flags)
        n = int(first.sum())
        reduced = dict.fromkeys(columns, np.empty(0))
        found = []
        for flag, names in zip(flags, (COLUMNS[:2] + self.slices, COLUMNS[2:]), strict=True):
            known = np.flatnonzero(~np.isnan(columns[names[0]]))
            compared = ("label",) if "label" in names else names
            rows, differs = _last(group[known], {name: columns[name][known] for name in names})
            for name in names:
                reduced[name] = np.full(n, np.nan)
                reduced[name][group[known[rows]]] = columns[name][known[rows]]
            again = np.zeros(n, dtype=bool)
            again[group[flag]] = True
            for name in compared:
                again[differs[name]] = True
            found.append(again)
        return Rows(ids[first], reduced, self.words, self.coded, found[0], found[1]).pruned()


def _last(
    group: NDArray[np.intp], columns: Mapping[str, Floats]
) -> tuple[NDArray[np.intp], dict[str, NDArray[np.intp]]]:
    """Find the largest row of each group, and for each column the groups in which it differs."""
    follows = np.append(False, group[1:] == group[:-1])[: len(group)]
    if not follows.any():
        return np.arange(len(group)), dict.fromkeys(columns, np.empty(0, np.intp))
    order = np.lexsort((*[*columns.values()][::-1], group))
    differs = {
        name: group[1:][follows[1:] & (np.diff(column[order]) != 0.0)]
        for name, column in columns.items()
    }
    return order[np.append(~follows[1:], True)], differs


def read(
    frame: Any, metric: Metric, slices: Sequence[str], *, ids: bool = True
) -> tuple[Rows, NDArray[np.uint64], dict[str, NDArray[Any]]]:
    """Read a frame of any kind: its rows, the digest of each id as it stood, and its columns.

    Without `ids` every row may be one of its own.

    Raises:
        ConfigurationError: A column is absent, or a value is missing or not of its kind; the
            message names the column, the row and the value.
    """
    found = frames.read(frame)
    ours = found.keys() & {"id", *COLUMNS, *slices}
    arrays = {name: rows_of(name, found[name].array()) for name in ours}
    utc = _in_utc(frame, arrays)
    wanted = {"id"} if ids else {*COLUMNS[:2], *slices}
    for pair in (COLUMNS[:2], COLUMNS[2:]):
        wanted |= set(pair) if any(name in arrays for name in pair) else set()
    wanted |= set(slices) if "prediction" in arrays else set()
    if absent := sorted(wanted - arrays.keys()):
        raise refusal("frame", sorted(found), f"columns that include {absent}")
    if not wanted - {"id"}:
        raise refusal("frame", sorted(found), "columns with a prediction or a label")
    n = len(next(iter(arrays.values())))
    digests = _digests(arrays["id"]) if "id" in arrays else np.arange(n, dtype=np.uint64)
    columns = {name: np.full(n, np.nan) for name in (*COLUMNS, *slices)}
    spelled: dict[str, NDArray[Any]] = {}
    for at, name, reader in (
        ("predicted_at", "prediction", metric.reads[1]),
        ("labelled_at", "label", metric.reads[0]),
    ):
        if name in arrays:
            columns[at], values = _timed(at, name, arrays, reader, utc=utc)
            arrays[at] = columns[at]  # so that rows that are turned away can be added again
            (spelled if values.dtype.kind == "O" else columns)[name] = values
    if metric.of is accuracy.of and "prediction" not in spelled:
        said = np.nan_to_num(columns["prediction"])
        accuracy.of(said, said)  # refuses scores
    known = ~np.isnan(columns["predicted_at"])
    if (neither := ~known & np.isnan(columns["labelled_at"])).any():
        row = int(neither.argmax())
        raise refusal(f"frame, row {row}", "no value", "a prediction, a label, or both")
    for name in slices if known.any() else ():
        spelled[name] = _levels(name, arrays[name], known)
    words = _coded(spelled, columns)
    never, coded = np.zeros(n, dtype=bool), frozenset(spelled) | set(slices)
    return Rows(digests, columns, words, coded, never, never).reduced(), digests, arrays


def _in_utc(frame: Any, arrays: Mapping[str, NDArray[Any]]) -> bool:
    """Tell whether times come in UTC, as those of data frames do if they know their zone."""
    if isinstance(frame, Mapping | np.ndarray):
        return False
    for name, dtype in frames.table_of(frame).collect_schema().items():
        naive = getattr(dtype, "time_zone", "") is None or str(dtype) == "Date"
        if naive and name in COLUMNS and name in arrays and not missing(arrays[name]).all():
            raise refusal(name, "times without a time zone", _AWARE)
    return True


_AWARE = "aware times or Unix seconds; in a data frame that is UTC: .dt.tz_localize('UTC')"


def _digests(ids: NDArray[Any]) -> NDArray[np.uint64]:
    """Digest ids by their spelling, so that 7, 7.0 and "7" are one."""
    from pandas.util import hash_array  # noqa: PLC0415 -- pandas is slow to import

    ids = labels("id", ids)
    if ids.dtype.kind == "f":
        broken = (np.rint(ids) != ids) | ~(np.abs(ids) < 2.0**53)
        refuse("id", ids, broken, "text or a whole number below 2**53")
        ids = ids.astype(np.int64)
    if ids.dtype.kind not in "iuUTO":
        raise refusal("id.dtype", str(ids.dtype), "text or whole numbers")
    values = ids.tolist()
    if types := set(map(type, values)) - {str}:
        if bytes in types:
            raise refusal("id", "bytes", "text: .decode() them")
        if float in types:
            raise refusal("id", "a float among other objects", "text or whole numbers")
        values = list(map(str, values))
    spelled = np.empty(len(values), dtype=object)
    spelled[:] = values
    try:
        return np.asarray(hash_array(spelled, categorize=False), dtype=np.uint64)
    except UnicodeEncodeError as error:
        raise refusal("id", error.object, "text that UTF-8 can write") from None


def _timed(
    at: str, name: str, arrays: Mapping[str, NDArray[Any]], reader: Reader, *, utc: bool
) -> tuple[Floats, NDArray[Any]]:
    """Read values and their times, both of which are missing or neither."""
    times, values = _times(at, arrays[at], utc=utc), arrays[name]
    there = ~missing(values)
    refuse(name, values, ~there & ~np.isnan(times), f"given where {at} is")
    refuse(at, arrays[at], there & np.isnan(times), f"given where {name} is")
    if not there.any():
        return times, np.full(len(values), np.nan)
    filled = np.where(there, values, values[there][0])  # so that errors name the right row
    array = np.asarray(reader(name, filled))
    if array.dtype.kind not in "fiub":
        kinds = set(map(type, array.tolist()))
        if all(issubclass(kind, str) for kind in kinds):
            return times, _where(there, array)
        if array.dtype.kind != "O" or any(issubclass(kind, str) for kind in kinds):
            raise refusal(name, sorted(kind.__name__ for kind in kinds), "all numbers or all text")
        array = np.array([float(value) for value in array])
    numbers = array.astype(np.float64) + 0.0  # of the two zeros one
    refuse(name, values, ~(np.abs(numbers) <= _LARGEST), f"finite, at most {_LARGEST:g} in size")
    return times, np.where(there, numbers, np.nan)


def _times(name: str, array: NDArray[Any], *, utc: bool) -> Floats:
    absent = missing(array)
    if array.dtype.kind == "M" and utc:
        return np.where(absent, np.nan, array.astype("datetime64[us]").astype(np.int64) / 1e6)
    if array.dtype.kind == "O":
        found = enumerate(zip(array.tolist(), absent, strict=True))
        stamps = [np.nan if gone else moment(f"{name}[{row}]", at) for row, (at, gone) in found]
        return np.array(stamps, dtype=np.float64) + 0.0
    if array.dtype.kind not in "fiu":  # an array of numpy has no time zone
        raise refusal(f"{name}.dtype", str(array.dtype), _AWARE)
    times = array.astype(np.float64) + 0.0
    for end in (np.nanmin(times), np.nanmax(times)) if not absent.all() else ():
        moment(name, end)
    return times


def _levels(name: str, array: NDArray[Any], known: NDArray[np.bool_]) -> NDArray[Any]:
    """Spell the levels of a slice as `evaluate` does; None for rows without a prediction."""
    from pandas import factorize  # noqa: PLC0415 -- pandas is slow to import

    codes, levels = factorize(array)
    words = np.full(len(levels) + 1, "(missing)", dtype=object)
    for key, part in groups({name: levels}, len(levels)).items():
        words[part] = key.partition("=")[2]
    return _where(known, words[codes])


def _where(there: NDArray[np.bool_], values: NDArray[Any]) -> NDArray[Any]:
    result = values.astype(object)
    result[~there] = None
    return result


def _coded(spelled: Mapping[str, NDArray[Any]], columns: dict[str, Floats]) -> tuple[str, ...]:
    """Write columns of text as places in the sorted words of all, which are returned."""
    from pandas import factorize  # noqa: PLC0415 -- pandas is slow to import

    found = {name: factorize(column) for name, column in spelled.items()}
    words = sorted({word for _, levels in found.values() for word in levels})
    place = {word: code for code, word in enumerate(words)}
    for name, (codes, levels) in found.items():
        places = np.array([*(place[word] for word in levels), np.nan], dtype=np.float64)
        columns[name] = places[codes]
    return tuple(words)
