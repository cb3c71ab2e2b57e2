"""Reading one value of any library: what it is, and what a column of some kind makes of it."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any, Literal, TypeAlias

import numpy as np

Kind: TypeAlias = Literal["number", "boolean", "text", "time", "object", "missing"]
"""What a value is; a column expects one of number, time, or level (any text)."""

Expected: TypeAlias = Literal["number", "time", "level"]

PLURALS = {
    "number": "numbers",
    "boolean": "booleans",
    "text": "text",
    "time": "times",
    "object": "objects",
}

TIME = "(time)"
"""The level that stands for every time in a column of levels."""

OBJECT = "(object)"
"""The level that stands for every value that cannot be spelled."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NAIVE_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 -- a naive time is read as UTC
_MICROSECOND = timedelta(microseconds=1)


def _kind_of(kind: type) -> Kind:
    if kind is type(None) or kind.__name__ in {"NAType", "NaTType", "MaskedConstant"}:
        return "missing"
    if issubclass(kind, bool | np.bool_):
        return "boolean"
    if issubclass(kind, str | bytes):
        return "text"
    if issubclass(kind, date | np.datetime64):
        return "time"
    if issubclass(kind, np.timedelta64 | np.complexfloating | complex | np.ndarray):
        return "object"
    return "number" if hasattr(kind, "__float__") else "object"


kind_of: Callable[[type], Kind] = lru_cache(maxsize=1024)(_kind_of)
"""Tell what the values of a type are."""


def read(value: Any, expected: Expected) -> tuple[Any, Kind | None]:
    """Give a value as its column wants it, None where that is missing, and its kind if unexpected.

    None, NaN, NaT, NA and masked are one. A column of numbers takes booleans as 0 and 1; all else
    of another kind is missing there. A column of times takes times only: a number could be seconds
    or milliseconds. A column of levels takes everything by its spelling, the same for 3 and 3.0.
    """
    kind = kind_of(type(value))
    if kind == expected == "number":  # by far the most frequent, said first for speed
        number = _float(value)
        return (None if math.isnan(number) else number), None
    if kind == "object" and isinstance(value, np.ndarray) and not value.ndim:
        value = value[()]
        kind = kind_of(type(value))
    number = math.nan
    if kind in {"number", "boolean"}:
        number = _float(value)
    elif kind == "time":
        number = _seconds(value)
    if kind == "missing" or (kind in {"number", "time"} and math.isnan(number)):
        return None, None
    if expected == "level":
        spelled = _spelled(value, kind, number)
        return spelled, kind if kind in {"number", "time"} else None
    if kind == expected:
        return number, None
    return number if (expected, kind) == ("number", "boolean") else None, kind


def seconds_of(value: Any) -> float:
    """Give a time as Unix seconds, to microseconds; a naive time is in UTC, NaT is NaN."""
    if isinstance(value, np.datetime64):
        stamp = value.astype("datetime64[us]")
        return math.nan if np.isnat(stamp) else int(stamp.astype(np.int64)) / 1e6
    if not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day)  # noqa: DTZ001 -- read as UTC
    epoch = _NAIVE_EPOCH if value.utcoffset() is None else _EPOCH
    return int((value - epoch) // _MICROSECOND) / 1e6


def name_of(key: Any) -> str:
    """Name a column: its key as text. A string of any class is what it spells."""
    if isinstance(key, str):
        return str.__str__(key)
    try:
        return str(key)
    except Exception:  # noqa: BLE001 -- counting must not fail for a column it does not know
        return OBJECT


def shown(name: str) -> str:
    """Show the name of a column, in quotes if it is blank."""
    return name if name.strip() else f'"{name}"'


def _float(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:
        return _endless(value)
    except Exception:  # noqa: BLE001 -- a signalling NaN, a tensor of many numbers, any class
        return math.nan


def _endless(value: Any) -> float:
    try:
        return math.inf if value > 0 else -math.inf
    except Exception:  # noqa: BLE001 -- counting must not fail for the value it counts
        return math.nan


def _seconds(value: Any) -> float:
    try:
        return seconds_of(value)
    except Exception:  # noqa: BLE001 -- a time zone is code from outside
        return math.nan


def _spelled(value: Any, kind: Kind, number: float) -> str:
    if kind == "boolean":
        return "true" if value else "false"
    if kind == "number":
        return str(int(number)) if number.is_integer() else repr(number)
    if kind == "time":
        return TIME
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    try:
        return str(value)
    except Exception:  # noqa: BLE001 -- counting must not fail for the value it counts
        return OBJECT
