"""Reading labels, predictions, weights and slices: each fault is named with its column and row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mlguard.arguments import finite, refusal
from mlguard.drift.cells import Ranges
from mlguard.errors import ConfigurationError
from mlguard.sketches.moments import LARGEST

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

_MOST_LEVELS = 1_000


def rows(parameter: str, values: ArrayLike) -> NDArray[Any]:
    """Read anything with one entry per row."""
    array = _array(parameter, values)
    if array.ndim == 0:
        raise refusal(parameter, values, "an array with one entry per row")
    return array


def labels(parameter: str, values: ArrayLike) -> NDArray[Any]:
    """Read one label per row, of any type, none missing."""
    array = rows(parameter, values)
    if array.ndim > 1:
        allowed = "(n,), one value per row: pass the column of the positive class"
        raise refusal(f"{parameter}.shape", array.shape, allowed)
    refuse(parameter, array, missing(array), "not missing: drop or fill these rows")
    return array


def scores(parameter: str, values: ArrayLike) -> NDArray[np.float64]:
    """Read one number per row, none missing; the infinities are numbers."""
    array = labels(parameter, values)
    if array.dtype.kind == "O" and array.size:
        words = np.array([isinstance(each, str | bytes) for each in array])
        refuse(parameter, array, words, "a number")
        try:
            return array.astype(np.float64)
        except (TypeError, ValueError, OverflowError):
            raise refusal(parameter, array[0], "a number in every row") from None
    if array.dtype.kind not in "fiub" and array.size:
        raise refusal(f"{parameter}.dtype", str(array.dtype), "numeric: float, integer or boolean")
    return array.astype(np.float64)


def numbers(parameter: str, values: ArrayLike) -> NDArray[np.float64]:
    """Read one finite number per row."""
    array = scores(parameter, values)
    refuse(parameter, array, np.isinf(array), "finite")
    return array


def events(parameter: str, values: ArrayLike) -> NDArray[np.bool_]:
    """Read a binary label per row: 0 and 1, or booleans."""
    array = labels(parameter, values)
    fits = np.isin(array, (0, 1)) if array.dtype.kind in "fiubO" else np.zeros(len(array), bool)
    refuse(parameter, array, ~fits, f"0, 1 or boolean; for other labels pass {parameter} == one")
    return array.astype(np.float64).astype(bool)


def probabilities(parameter: str, values: ArrayLike) -> NDArray[np.float64]:
    """Read a probability per row."""
    array = numbers(parameter, values)
    refuse(parameter, array, (array < 0.0) | (array > 1.0), "a probability, between 0 and 1")
    return array


def labelled_scores(
    y: ArrayLike, score: ArrayLike
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Read rows of a binary label and a probability."""
    truth, said = events("y", y), probabilities("score", score)
    same_length("score", len(said), len(truth))
    return truth, said


def ranges_of(parameter: str, edges: Any) -> Ranges:
    """Read the cells of a score: ranges, or their inner edges."""
    if isinstance(edges, Ranges):
        return edges
    if isinstance(edges, str) or not isinstance(edges, Sequence | np.ndarray):
        raise refusal(parameter, edges, "the ranges of a drift reference, or their inner edges")
    return Ranges.from_dict({"edges": [finite(parameter, edge) for edge in edges]})


def weights_of(values: ArrayLike | None, n: int) -> NDArray[np.float64] | None:
    """Read one weight per row, none negative; 0 leaves a row out."""
    if values is None:
        return None
    array = numbers("weights", values)
    same_length("weights", len(array), n)
    refuse("weights", array, array < 0.0, "at least 0")
    odd = (array > LARGEST) | ((array > 0.0) & (array < 1.0 / LARGEST))
    refuse("weights", array, odd, f"0 or between {1.0 / LARGEST:g} and {LARGEST:g}")
    return array


def clusters_of(values: ArrayLike | None, n: int) -> NDArray[np.intp] | None:
    """Read one cluster per row, of any type, none missing, and number them."""
    if values is None:
        return None
    array = labels("cluster", values)
    same_length("cluster", len(array), n)
    known = array.astype(str) if array.dtype.kind == "O" else array
    return np.unique(known, return_inverse=True)[1]


def same_length(parameter: str, length: int, n: int, *, like: str = "y") -> None:
    """Refuse a column that is not as long as another."""
    if length != n:
        raise refusal(f"len({parameter})", length, f"that of {like}, which is {n}")


def groups(by: Any, n: int, *, like: str = "y") -> dict[str, NDArray[np.intp]]:
    """Read slicing columns: the rows of each slice, named "column=level".

    `by` is one column, or several as a mapping or a data frame. A missing level is a slice. A
    number that is whole is named as an integer, so that a batch with missing ones, which are
    floats, has the same names as one without.
    """
    if by is None:
        return {}
    if isinstance(by, Mapping) or hasattr(by, "columns"):
        columns = list(by if isinstance(by, Mapping) else getattr(by, "column_names", by.columns))
    else:
        name = getattr(by, "name", None)
        columns = ["slice" if name is None or name == "" else name]
        by = {columns[0]: by}
    names = [str(column) for column in columns]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise refusal("by", twice, "columns of different names")
    found: dict[str, NDArray[np.intp]] = {}
    for name, column in zip(names, columns, strict=True):
        if "=" in name:
            raise refusal("by", name, 'columns without "=" in their names: slices are column=level')
        found |= _levels(name, by[column], n, like)
    return found


def _levels(name: str, values: Any, n: int, like: str) -> dict[str, NDArray[np.intp]]:
    array = _array(f"by[{name!r}]", values)
    if array.ndim != 1:
        shown = values if array.ndim == 0 else f"an array of shape {array.shape}"
        raise refusal("by", shown, "one column of n values, or a mapping of names to columns")
    same_length(f"by[{name!r}]", len(array), n, like=like)
    gone = missing(array)
    known = array[~gone]
    if known.dtype.kind == "O":
        known = np.array([_named(each) for each in known], dtype=np.str_)
    levels, codes = np.unique(known, return_inverse=True)
    if len(levels) > _MOST_LEVELS:
        raise refusal(f"by[{name!r}]", f"{len(levels)} levels", f"at most {_MOST_LEVELS} slices")
    rows = np.flatnonzero(~gone)
    order = np.argsort(codes, kind="stable")
    parts = np.split(rows[order], np.cumsum(np.bincount(codes, minlength=len(levels)))[:-1])
    found = {f"{name}={_named(each)}": part for each, part in zip(levels, parts, strict=False)}
    if gone.any():
        key = f"{name}=(missing)"  # rows of a level of that very name are among them
        found[key] = np.union1d(found.get(key, rows[:0]), np.flatnonzero(gone))
    return found


def _named(level: Any) -> str:
    whole = isinstance(level, float | np.floating) and level.is_integer()
    return str(int(level)) if whole else str(level)


def _array(parameter: str, values: Any) -> NDArray[Any]:
    if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
        array = np.ma.getdata(values).astype(object)
        array[np.ma.getmaskarray(values)] = None
        return array
    try:
        return np.asarray(values)
    except ValueError:
        raise refusal(parameter, values, "an array with one entry per row") from None


def missing(array: NDArray[Any]) -> NDArray[np.bool_]:
    """Tell which entries are None, NaN, NaT or NA."""
    if array.dtype.kind in "fcmM":
        return np.asarray(np.isnan(array) if array.dtype.kind in "fc" else np.isnat(array))
    if array.dtype.kind == "O":
        from pandas import isna  # noqa: PLC0415 -- None, NaN, NaT and NA are one, and pandas is slow

        return np.asarray(isna(array), dtype=bool)
    return np.zeros(array.shape, dtype=bool)


def refuse(parameter: str, array: NDArray[Any], bad: NDArray[np.bool_], allowed: str) -> None:
    """Raise a ConfigurationError that names the first bad row, if any is bad."""
    if bad.any():
        row = int(bad.argmax())
        count = f" ({int(bad.sum()):,} of {len(array):,} rows)"
        value = array[row].item() if isinstance(array[row], np.generic) else array[row]
        error = refusal(f"{parameter}[{row}]", value, allowed)
        raise ConfigurationError(str(error) + count)
