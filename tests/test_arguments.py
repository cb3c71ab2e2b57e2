"""Readers of arguments give the value as it is kept, or an error that names the parameter."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import count
from typing import Any

import numpy as np
import pytest

from mlguard import ConfigurationError, Severity
from mlguard import arguments as a


class Nowhere(tzinfo):
    """A time zone that does not know where it is: a datetime in it is naive."""

    def utcoffset(self, _: datetime | None) -> None:
        return None

    dst = utcoffset
    tzname = utcoffset


class Shy:
    def __repr__(self) -> str:
        raise RuntimeError


NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("reader", "value", "kept"),
    [
        (a.real, "inf", math.inf),
        (a.real, "-inf", -math.inf),
        (a.real, np.float32(0.5), 0.5),
        (a.finite, 3, 3.0),
        (a.whole, 3.0, 3),
        (a.whole, np.int64(2**53 + 1), 2**53 + 1),
        (a.whole, 10**30, 10**30),
        (a.optional, None, None),
        (a.optional, math.nan, None),
        (a.optional, math.inf, math.inf),
        (a.share, 0.95, 0.95),
        (a.moment, NOON, NOON.timestamp()),
        (a.moment, -1.5, -1.5),
        (a.seconds, timedelta(minutes=1), 60.0),
        (a.seconds, 0.5, 0.5),
        (a.name_of, " p99 ", " p99 "),
    ],
    ids=count(),
)
def test_a_good_value_is_kept(reader: Callable[[str, object], Any], value: Any, kept: Any) -> None:
    assert reader("x", value) == kept
    assert type(reader("x", value)) is type(kept)


def test_nan_is_a_number() -> None:
    assert math.isnan(a.real("x", math.nan))


@pytest.mark.parametrize(
    ("reader", "value"),
    [
        (a.real, "nan"),
        (a.real, "1"),
        (a.real, b"1"),
        (a.real, None),
        (a.real, 1j),
        (a.real, 10**400),
        (a.real, np.array([1.0, 2.0])),
        (a.finite, "inf"),
        (a.finite, math.nan),
        (a.whole, 1.5),
        (a.whole, -1),
        (a.whole, math.inf),
        (a.share, 0.0),
        (a.share, 1.0),
        (a.share, math.nan),
        (a.moment, NOON.replace(tzinfo=None)),
        (a.moment, NOON.replace(tzinfo=Nowhere())),
        (a.moment, math.inf),
        (a.moment, NOON.timestamp() * 1000),
        (a.moment, "2026-01-01"),
        (a.seconds, 0.0),
        (a.seconds, timedelta(seconds=-1)),
        (a.seconds, math.inf),
        (a.seconds, math.nan),
        (a.name_of, ""),
        (a.name_of, "\n"),
        (a.name_of, None),
    ],
    ids=count(),
)
def test_a_bad_value_is_refused_by_name(reader: Callable[[str, object], Any], value: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^x = .*: must be "):
        reader("x", value)


def test_whole_has_a_least_value() -> None:
    with pytest.raises(ConfigurationError, match=r"^k = 0: must be a whole number of at least 1$"):
        a.whole("k", 0, least=1)


@pytest.mark.parametrize(
    ("value", "text"),
    [("x" * 100, f"'{'x' * 76}..."), (Shy(), "<Shy>"), ([Shy()], "<list>"), (None, "None")],
)
def test_a_refusal_shows_any_value_on_one_short_line(value: object, text: str) -> None:
    assert str(a.refusal("p", value, "good")) == f"p = {text}: must be good"


def test_a_member_is_read_by_its_name_only() -> None:
    assert (
        a.member(Severity, "s", "WARN") is a.member(Severity, "s", Severity.WARN) is Severity.WARN
    )
    strange: list[Any] = ["warn", 2, None, [], "__members__"]
    for bad in strange:
        with pytest.raises(ConfigurationError, match=r"^s = .*one of OK, UNKNOWN, WARN, BREACH"):
            a.member(Severity, "s", bad)


def test_instances_are_read_from_any_iterable_but_only_from_one() -> None:
    assert a.instances((int, str), "x", iter([1, "a"])) == (1, "a")
    strange: dict[str, Any] = {"a sequence of int or str": 5, "int or str": [None], "a seq": None}
    for message, bad in strange.items():
        with pytest.raises(ConfigurationError, match=rf"^x = .*must be {message}"):
            a.instances((int, str), "x", bad)


def test_a_subject_is_flat_and_of_strings() -> None:
    assert a.subject_of({"model": "eta", "version": 7}) == {"model": "eta", "version": "7"}
    strange: list[Any] = [{"": "x"}, {"a": None}, {"a": 0.5}, {1: "a"}, "model", None]
    for bad in strange:
        with pytest.raises(ConfigurationError, match=r"^subject"):
            a.subject_of(bad)
