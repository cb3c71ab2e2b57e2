"""Windows that slide, and those of the calendar beside a walk from second to second."""

from __future__ import annotations

import copy
import math
import pickle
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise
from typing import Any, Literal, get_args
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlguard import Calendar, ConfigurationError, Rolling, Window

Unit = Literal["hour", "day", "week", "month"]
UNITS: tuple[Unit, ...] = get_args(Unit)
ZONES = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/Sao_Paulo",  # its clocks changed at midnight
    "America/Havana",  # its midnight came twice
    "Asia/Kolkata",  # half hours
    "Asia/Kathmandu",  # quarters
    "Australia/Lord_Howe",  # half an hour of daylight saving
    "Pacific/Apia",  # a day that never was
    "Pacific/Kiritimati",
    "Africa/Casablanca",
]
HOUR, DAY = 3_600.0, 86_400.0
FIRST, LAST = (datetime(year, 1, 1, tzinfo=UTC).timestamp() for year in (1990, 2037))


def name(at: datetime, unit: Unit) -> tuple[int, ...]:
    """Name the day, week or month that a local time falls in."""
    if unit == "week":
        return at.isocalendar()[:2]
    return (at.year, at.month, at.day)[: 3 if unit == "day" else 2]


@cache
def walked(tz: str, unit: Unit, year: int) -> list[float]:
    """Walk a year by quarters of an hour and give the moments at which a new name begins."""
    zone, found = ZoneInfo(tz), []
    at = datetime(year, 1, 1, tzinfo=UTC).timestamp() - 40 * DAY
    before = name(datetime.fromtimestamp(at, zone), unit)
    furthest = before
    while at < datetime(year + 1, 1, 1, tzinfo=UTC).timestamp() + 40 * DAY:
        at += 900.0
        now = name(datetime.fromtimestamp(at, zone), unit)
        if now > furthest:  # where a midnight comes twice, the first counts
            found.append(at)
            furthest = now
    return found


@pytest.mark.parametrize("tz", ZONES)
@pytest.mark.parametrize("unit", ["day", "week", "month"])
@pytest.mark.parametrize("year", [2011, pytest.param(2016, marks=pytest.mark.slow), 2024])
def test_it_is_the_window_that_a_walk_finds(tz: str, unit: Unit, year: int) -> None:
    calendar, starts = Calendar(unit, tz=tz), walked(tz, unit, year)
    for start, end in pairwise(starts):
        window = Window(start, end)
        for at in (start, start + 1e-3, (start + end) / 2, math.nextafter(end, 0.0)):
            assert calendar.window(at) == window, datetime.fromtimestamp(at, ZoneInfo(tz))


@given(st.floats(FIRST, LAST), st.sampled_from(ZONES), st.sampled_from(["day", "week", "month"]))
def test_windows_hold_their_moment_and_follow_each_other_without_a_gap(
    at: float, tz: str, unit: Unit
) -> None:
    calendar = Calendar(unit, tz=tz)
    window = calendar.window(at)
    assert window.start <= at < window.end
    assert calendar.window(window.start) == window
    assert calendar.window(math.nextafter(window.end, 0.0)) == window
    assert calendar.window(window.end).start == window.end
    assert calendar.window(math.nextafter(window.start, 0.0)).end == window.start
    assert window.start % 900.0 == 0.0


@given(st.floats(FIRST, LAST), st.sampled_from([tz for tz in ZONES if "Howe" not in tz]))
def test_an_hour_begins_with_the_hour_of_the_zone(at: float, tz: str) -> None:
    window = Calendar("hour", tz=tz).window(at)
    assert window.start <= at < window.end == window.start + HOUR
    local = datetime.fromtimestamp(window.start, ZoneInfo(tz))
    assert (local.minute, local.second, local.microsecond) == (0, 0, 0)
    assert Calendar("hour", tz=tz).window(window.end).start == window.end


@pytest.mark.parametrize(
    ("day", "hours"),
    [("2026-03-29", 23), ("2026-10-25", 25), ("2026-06-01", 24), ("2028-02-29", 24)],
)
def test_a_day_on_which_the_clocks_change_is_shorter_or_longer(day: str, hours: int) -> None:
    noon = datetime.fromisoformat(f"{day}T12:00").replace(tzinfo=ZoneInfo("Europe/Berlin"))
    window = Calendar("day", tz="Europe/Berlin").window(noon)
    assert (window.end - window.start) / HOUR == hours


def test_every_hour_of_a_change_of_clocks_is_one() -> None:
    for day in (datetime(2026, 3, 29, tzinfo=UTC), datetime(2026, 10, 25, tzinfo=UTC)):
        starts = {
            Calendar("hour", tz="Europe/Berlin").window(day + timedelta(minutes=minute)).start
            for minute in range(0, 6 * 60, 7)
        }
        assert sorted(starts) == [day.timestamp() + hour * HOUR for hour in range(6)]


@pytest.mark.parametrize(
    ("year", "month", "days"),
    [(2023, 2, 28), (2024, 2, 29), (2000, 2, 29), (2100, 2, 28), (2026, 12, 31), (2026, 4, 30)],
)
def test_a_month_has_its_days(year: int, month: int, days: int) -> None:
    for day in (1, 15, 28):
        window = Calendar("month").window(datetime(year, month, day, 23, 59, 59, tzinfo=UTC))
        assert (window.end - window.start) / DAY == days


def test_a_week_begins_on_monday() -> None:
    window = Calendar("week", tz="Europe/Berlin").window(datetime(2026, 11, 22, tzinfo=UTC))
    monday = datetime(2026, 11, 16, tzinfo=ZoneInfo("Europe/Berlin"))
    assert window == Window(monday.timestamp(), monday.timestamp() + 7 * DAY)


@pytest.mark.parametrize("unit", UNITS)
def test_the_instant_before_the_turn_belongs_to_what_ends(unit: Unit) -> None:
    turn = datetime(2026, 6, 1, tzinfo=UTC).timestamp()  # a Monday
    calendar = Calendar(unit)
    assert calendar.window(math.nextafter(turn, 0.0)).end == turn
    assert calendar.window(turn).start == turn


@pytest.mark.parametrize(
    "at",
    [datetime(2026, 1, 1), "2026-01-01", None, math.nan, math.inf, 1e300, 1.8e12],  # noqa: DTZ001 -- a naive one is the case
    ids=repr,
)
def test_what_is_no_moment_is_refused(at: Any) -> None:
    for window in (Calendar("day").window, Rolling(60.0).window):
        with pytest.raises(ConfigurationError, match=r"^at = "):
            window(at)


@pytest.mark.parametrize("unit", ["day", "week", "month"])
def test_at_the_ends_of_the_calendar_it_says_so(unit: Unit) -> None:
    last = datetime(9999, 12, 31, 12, tzinfo=UTC)
    with pytest.raises(ConfigurationError, match=r"^at = .*: must be further from the ends"):
        Calendar(unit).window(last)
    with pytest.raises(ConfigurationError, match=r"^at = .*: must be further from the ends"):
        Calendar(unit, tz="America/New_York").window(datetime(1, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize(
    "tz",
    ["", " ", "Berlin", "../etc/passwd", "/etc/passwd", "a\0b", "x" * 5000, None, 5, []],
    ids=repr,
)
def test_an_unknown_zone_is_refused(tz: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^tz = .*: must be a time zone, such as"):
        Calendar("day", tz=tz)


@pytest.mark.parametrize("unit", ["", "days", "year", None, 5, []], ids=repr)
def test_an_unknown_unit_is_refused(unit: Any) -> None:
    with pytest.raises(
        ConfigurationError, match=r"^unit = .*: must be one of hour, day, week, month$"
    ):
        Calendar(unit)


@given(st.floats(1e-3, 1e9), st.floats(FIRST, LAST))
def test_a_rolling_window_ends_now(duration: float, at: float) -> None:
    assert Rolling(duration).window(at) == Window(at - duration, at)
    assert Rolling(timedelta(seconds=60)).window(
        datetime.fromtimestamp(at, UTC)
    ).end == pytest.approx(at, abs=1e-5)


@pytest.mark.parametrize(
    "duration", [0, -1.0, math.nan, math.inf, "1 h", None, timedelta(0)], ids=repr
)
def test_a_rolling_window_has_a_duration(duration: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^duration = "):
        Rolling(duration)


def test_they_are_values() -> None:
    day = Calendar("day", tz="Europe/Berlin")
    for field, value in (("unit", day), ("seconds", Rolling(60.0)), ("end", Window(0.0, 1.0))):
        twins = [copy.copy(value), pickle.loads(pickle.dumps(value))]  # noqa: S301 -- our own
        assert twins == [value, value]
        assert len({value, *twins}) == 1
        with pytest.raises(AttributeError):
            setattr(value, field, 5.0)
    assert Calendar("day") != Calendar("day", tz="Europe/Berlin")
    assert [Calendar(unit).seconds / HOUR for unit in UNITS] == [1, 24, 7 * 24, 30 * 24]
