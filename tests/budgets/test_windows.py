"""Windows that slide, and those of the calendar beside a walk from quarter to quarter of an hour."""

from __future__ import annotations

import copy
import json
import math
import pickle
import sys
import zoneinfo
from datetime import UTC, datetime, time, timedelta
from fractions import Fraction
from itertools import pairwise
from typing import Any, Literal, get_args
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mlguard import Calendar, ConfigurationError, Rolling, Window
from mlguard.budgets.windows import Span

Unit = Literal["hour", "day", "week", "month"]
UNITS: tuple[Unit, ...] = get_args(Unit)
ZONES = {  # and a year in which something happens
    "UTC": 2024,
    "Europe/Berlin": 2024,
    "America/New_York": 2024,
    "America/Sao_Paulo": 2018,  # its clocks changed at midnight
    "America/Havana": 2024,  # its midnight came twice
    "America/Toronto": 1919,  # from half an hour before midnight to half an hour after it
    "Asia/Beirut": 2024,  # no midnight
    "Asia/Kolkata": 2024,  # half hours
    "Asia/Kathmandu": 1986,  # from half hours to quarters
    "Australia/Lord_Howe": 2024,  # half an hour of daylight saving
    "Pacific/Apia": 2011,  # a day that never was
    "Pacific/Kiritimati": 1994,  # nor was this, the last of its year
    "Pacific/Kwajalein": 1969,  # a day nearly twice
    "Africa/Cairo": 2024,  # no midnight
    "Africa/Casablanca": 2024,  # another time in Ramadan
}
DECADE = [
    "UTC",
    "America/New_York",
    "America/Sao_Paulo",
    "Asia/Beirut",
    "Asia/Kathmandu",
    "Africa/Cairo",
    "Africa/Casablanca",
    "Australia/Lord_Howe",
    "Pacific/Apia",
]
STARTS: list[tuple[Unit, Any]] = [
    *(("hour", minute) for minute in (0, 15, 30, 45)),
    *(("day", time) for time in ("00:00", "00:30", "06:00", "23:45")),
    *(("week", weekday) for weekday in (0, 6)),
    *(("month", day) for day in (1, 15, 28)),
]
MINUTE, HOUR, DAY = 60.0, 3_600.0, 86_400.0
FIRST, LAST = (datetime(year, 1, 1, tzinfo=UTC).timestamp() for year in (1990, 2037))
moments = st.floats(FIRST, LAST)
Shown = list[tuple[float, datetime]]


def shown(tz: str, first: str, days: int, step: float = 15 * MINUTE) -> Shown:
    """Walk through some days and note what the clocks show."""
    zone, begin = ZoneInfo(tz), datetime.fromisoformat(f"{first}T00:00Z").timestamp()
    steps = (begin + n * step for n in range(int(days * DAY / step)))
    return [(at, datetime.fromtimestamp(at, zone).replace(tzinfo=None)) for at in steps]


def number(wall: datetime, unit: Unit, start: Any) -> int:
    """Number the day, week or month that a local time falls in."""
    if unit == "month":
        return wall.year * 12 + wall.month - int(wall.day < start)
    if unit == "week":
        return (wall.toordinal() - 1 - int(start)) // 7  # day 1 was a Monday
    hour, minute = start.split(":")
    return (wall - timedelta(hours=int(hour), minutes=int(minute))).toordinal()


def beginnings(walked: Shown, unit: Unit, start: Any) -> list[float]:
    """Give the moments at which a new hour, day, week or month begins."""
    if unit == "hour":
        return [
            at
            for (before, was), (at, wall) in pairwise(walked)
            if wall.minute == start or ((wall - was).total_seconds() - (at - before)) % HOUR
        ]
    found, furthest = [], number(walked[0][1], unit, start)
    for at, wall in walked:
        if (now := number(wall, unit, start)) > furthest:  # what comes twice counts the first time
            found.append(at)
            furthest = now
    return found


def check(tz: str, walked: Shown, unit: Unit, start: Any, step: float = HOUR / 4) -> None:
    windows = Calendar(unit, tz=tz, start=start)
    for begin, end in pairwise(beginnings(walked, unit, start)):
        inside = [begin + n * step for n in range(math.ceil((end - begin) / step))]
        for at in (*inside, math.nextafter(end, -math.inf)):
            assert windows.window(at) == Window(begin, end), (unit, start, at)


def changes(walked: Shown) -> list[Shown]:
    """Give the days around each change of the clocks; where there is none the first days."""
    leads = [wall - timedelta(seconds=at) for at, wall in walked]
    found = [n for n, (was, now) in enumerate(pairwise(leads)) if was != now]
    return [walked[max(0, n - 250) : n + 250] for n in found or [0]]


@pytest.mark.parametrize(("tz", "year"), ZONES.items())
def test_it_is_the_window_that_a_walk_finds(tz: str, year: int) -> None:
    walked = shown(tz, f"{year - 1}-11-20", 450)
    around = changes(walked)
    for unit, start in STARTS:
        if unit in {"hour", "day"}:
            for part in around:
                check(tz, part, unit, start)
        if unit in {"week", "month"} or start == "00:00":
            check(tz, walked, unit, start, DAY)


@pytest.mark.slow
@pytest.mark.parametrize("tz", DECADE)
def test_it_is_the_window_that_a_walk_through_ten_years_finds(tz: str) -> None:
    walked = shown(tz, "2009-11-20", 3_750)
    for unit, start in STARTS:
        if unit != "hour" or start in {0, 45}:
            check(tz, walked, unit, start, HOUR / 2 if unit == "hour" else 6 * HOUR)


@pytest.mark.parametrize(
    ("tz", "first"),
    [
        ("America/St_Johns", "2006-03-30"),
        ("America/St_Johns", "2006-10-26"),
        ("Antarctica/Casey", "2020-10-01"),
        ("Antarctica/Casey", "2021-03-11"),
    ],
)
def test_clocks_that_change_a_minute_past_the_hour_are_followed_to_the_minute(
    tz: str, first: str
) -> None:
    walked = shown(tz, first, 7, MINUTE)
    for start in ("00:00", "00:01", "00:30", "02:59", "23:59"):
        check(tz, walked, "day", start)
    for minute in (0, 1, 59):
        check(tz, walked, "hour", minute)


@pytest.mark.parametrize(
    ("tz", "at", "hours"),
    [
        ("America/New_York", "2024-03-10T12:00", 23),
        ("America/New_York", "2024-11-03T12:00", 25),
        ("Australia/Lord_Howe", "2024-04-07T12:00", 24.5),
        ("Australia/Lord_Howe", "2024-10-06T12:00", 23.5),
        ("Asia/Beirut", "2024-03-31T12:00", 23),
        ("America/Sao_Paulo", "2018-11-04T12:00", 23),
        ("America/Sao_Paulo", "2018-02-17T12:00", 25),
        ("Africa/Casablanca", "2024-03-10T12:00", 25),
        ("Pacific/Apia", "2011-12-29T12:00", 24),
        ("Pacific/Apia", "2011-12-31T12:00", 24),
        ("Pacific/Kwajalein", "1969-09-30T12:00", 47),
        ("Asia/Kathmandu", "2024-03-10T12:00", 24),
    ],
)
def test_a_day_has_as_many_hours_as_its_clocks_show(tz: str, at: str, hours: float) -> None:
    noon = datetime.fromisoformat(at).replace(tzinfo=ZoneInfo(tz))
    window = Calendar("day", tz=tz).window(noon)
    assert (window.end - window.start) / HOUR == hours
    assert datetime.fromtimestamp(window.start, ZoneInfo(tz)).date() == noon.date()


@pytest.mark.parametrize(
    ("tz", "first", "minutes"),
    [
        ("Europe/Berlin", "2026-03-29T00:00Z", [60, 60, 60]),
        ("Europe/Berlin", "2026-10-25T00:00Z", [60, 60, 60]),  # two o'clock comes twice
        ("Australia/Lord_Howe", "2024-04-06T13:00Z", [60, 60, 30, 60]),  # 01:30 to 02:00 again
        ("Australia/Lord_Howe", "2024-10-05T14:30Z", [60, 30, 60]),  # 02:30 to 03:00
    ],
)
def test_hours_are_cut_where_the_clocks_change_by_half_of_one(
    tz: str, first: str, minutes: list[int]
) -> None:
    hours, at = Calendar("hour", tz=tz), datetime.fromisoformat(first).timestamp()
    for length in minutes:
        window = hours.window(at)
        assert window == Window(at, at + length * MINUTE)
        at = window.end


@given(moments, st.sampled_from(list(ZONES)), st.sampled_from(STARTS))
def test_windows_hold_their_moment_and_follow_each_other_without_a_gap(
    at: float, tz: str, begins: tuple[Unit, Any]
) -> None:
    unit, start = begins
    calendar = Calendar(unit, tz=tz, start=start)
    window = calendar.window(at)
    assert window.start <= at < window.end
    assert calendar.window(window.start) == window
    assert calendar.window(math.nextafter(window.end, -math.inf)) == window
    assert calendar.window(window.end).start == window.end
    assert calendar.window(math.nextafter(window.start, -math.inf)).end == window.start
    assert window.start % (15 * MINUTE) == 0.0


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


def test_a_system_without_time_zones_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in {"tzdata", *(name for name in sys.modules if name.startswith("tzdata."))}:
        monkeypatch.setitem(sys.modules, name, None)
    zoneinfo.reset_tzpath(())
    ZoneInfo.clear_cache()
    try:
        assert Calendar("day").window(1e9) == Window(999_993_600.0, 1_000_080_000.0)
        with pytest.raises(ConfigurationError) as refused:
            Calendar("day", tz="Europe/Berlin")
    finally:
        zoneinfo.reset_tzpath()
        ZoneInfo.clear_cache()
    assert str(refused.value) == (
        "tz = 'Europe/Berlin': must be 'UTC' on a system without a time zone database: "
        "install tzdata"
    )


@pytest.mark.parametrize("unit", ["", "days", "year", None, 5, []], ids=repr)
def test_an_unknown_unit_is_refused(unit: Any) -> None:
    with pytest.raises(
        ConfigurationError, match=r"^unit = .*: must be one of hour, day, week, month$"
    ):
        Calendar(unit)


@pytest.mark.parametrize(
    ("unit", "spellings"),
    [
        ("hour", [0, None]),
        ("hour", [30]),
        ("day", ["00:00", None, 0, time(), "00", "0000"]),
        ("day", ["06:00", 6, time(6), "06"]),
        ("day", ["06:30", time(6, 30), "0630"]),
        ("week", ["Monday", None, 0, "monday"]),
        ("week", ["Sunday", 6, "SUNDAY"]),
        ("month", [1, None]),
        ("month", [28]),
    ],
)
def test_a_start_has_one_spelling_that_is_kept(unit: Unit, spellings: list[Any]) -> None:
    made = [Calendar(unit, start=start) for start in spellings]
    assert {each.start for each in made} == {spellings[0]}
    assert len(set(made)) == 1
    assert Calendar(unit, start=json.loads(json.dumps(made[0].start))) == made[0]
    assert made[0] != Calendar(unit, start=7 if unit in {"hour", "month"} else 3)


@pytest.mark.parametrize(
    ("unit", "allowed", "starts"),
    [
        ("hour", "a minute, 0 to 59", [-1, 60, 0.5, "00", time(), [], ()]),
        (
            "day",
            "a time in whole minutes, such as '06:30' or time(6, 30), or an hour, 0 to 23",
            [
                *(-1, 24, 600, 6.0, "", "6 am", "25:00", "06:00:30", "06:00Z", []),
                *(time(6, 0, 1), time(6, 0, 0, 1)),
                *(time(6, tzinfo=UTC), time(6, tzinfo=ZoneInfo("Europe/Berlin"))),
            ],
        ),
        (
            "week",
            "a weekday, such as 'Sunday', or 0 (Monday) to 6",
            [-1, 7, "", "Sun", "Sonntag", "0", time(), 1.0, []],
        ),
        (
            "month",
            "a day that every month has, 1 to 28",
            [0, 29, 31, -1, "1", "first", 1.0, []],
        ),
    ],
)
def test_an_unknown_start_is_refused(unit: Unit, allowed: str, starts: list[Any]) -> None:
    for start in starts:
        with pytest.raises(ConfigurationError) as refused:
            Calendar(unit, start=start)
        assert str(refused.value) == f"start = {start!r}: must be {allowed}"


@pytest.mark.parametrize(
    ("unit", "start", "at", "first", "last"),
    [
        ("day", time(6), "2026-06-01T05:59", "2026-05-31T06:00", "2026-06-01T06:00"),
        ("day", time(6), "2026-06-01T06:00", "2026-06-01T06:00", "2026-06-02T06:00"),
        ("day", "02:30", "2026-03-29T12:00", "2026-03-29T03:00", "2026-03-30T02:30"),  # skipped
        ("day", "02:30", "2026-10-25T12:00", "2026-10-25T02:30+02:00", "2026-10-26T02:30"),  # twice
        ("week", "Sunday", "2026-11-21T23:59", "2026-11-15T00:00", "2026-11-22T00:00"),
        ("week", "Sunday", "2026-11-22T00:00", "2026-11-22T00:00", "2026-11-29T00:00"),
        ("month", 28, "2026-03-01T00:00", "2026-02-28T00:00", "2026-03-28T00:00"),
        ("month", 15, "2026-01-14T23:59", "2025-12-15T00:00", "2026-01-15T00:00"),
        ("hour", 30, "2026-01-14T00:15", "2026-01-13T23:30", "2026-01-14T00:30"),
    ],
)
def test_it_begins_at_its_start(unit: Unit, start: Any, at: str, first: str, last: str) -> None:
    def instant(text: str) -> float:
        read = datetime.fromisoformat(text)
        return (read if read.tzinfo else read.replace(tzinfo=ZoneInfo("Europe/Berlin"))).timestamp()

    window = Calendar(unit, tz="Europe/Berlin", start=start).window(instant(at))
    assert window == Window(instant(first), instant(last))


# Slots.


@given(
    st.one_of(
        st.builds(Rolling, st.one_of(st.floats(1e-3, 1e9), st.integers(1, 10**9))),
        st.builds(
            lambda begins, tz: Calendar(begins[0], tz=tz, start=begins[1]),
            st.sampled_from(STARTS),
            st.sampled_from(list(ZONES)),
        ),
    ),
    moments,
)
def test_slots_follow_each_other_and_each_knows_its_time(
    window: Rolling | Calendar, at: float
) -> None:
    span = window.span(at)
    assert span.start <= at < span.end
    assert window.span(span.start) == span
    assert window.span(math.nextafter(span.end, -math.inf)) == span
    after, before = window.span(span.end), window.span(math.nextafter(span.start, -math.inf))
    assert (after.start, before.end) == (span.end, span.start)
    assert before.newest < span.newest < after.newest
    for each in (before, span, after):
        assert window.slot_start(each.newest) == each.start
        until = window.counts_until(each.newest)
        assert window.span(math.nextafter(until, -math.inf)).oldest <= each.newest
        assert window.span(until).oldest > each.newest


@given(
    st.one_of(st.floats(1e-3, 1e9), st.integers(1, 10**8).map(float)),
    moments,
    st.one_of(st.floats(0.0, 1.1), st.sampled_from([1.0, 1.0 + 1 / 256, 1.0 - 1 / 256])),
)
def test_spend_leaves_a_rolling_window_never_early_and_at_most_a_slot_late(
    duration: float, at: float, part: float
) -> None:
    window = Rolling(duration)
    for now in (at + part * duration, math.nextafter(at + part * duration, 0.0)):
        oldest, newest, _, _ = window.span(now)
        age = (Fraction(now) - Fraction(at)) / Fraction(duration)
        counts = oldest <= window.span(at).newest
        assert window.span(at).newest <= newest or age < 0
        assert counts or age > 1
        assert not counts or age < 1 + Fraction(1, 256)


def test_48_hours_are_48_hours() -> None:
    window, at = Rolling(timedelta(hours=48)), datetime(2026, 3, 28, 14, tzinfo=UTC).timestamp()
    spent = window.span(at).newest
    assert window.span(at + 48 * HOUR).oldest <= spent
    assert window.span(at + 48 * HOUR + 675.0).oldest > spent
    assert window.counts_until(spent) == at + 48 * HOUR + 675.0 - at % 675.0


@given(st.floats(-6e10, 2.5e11), st.one_of(st.floats(1e-3, 1e9), st.integers(1, 10**9).map(float)))
@example(1.79e9 + 0.1, 0.1)
@example(2.5e11, 1e-3)
def test_the_number_of_a_slot_is_exact_however_large(at: float, duration: float) -> None:
    window = Rolling(duration)
    width = Fraction(duration) / 256
    span = window.span(at)
    assert span.newest == Fraction(at) // width
    assert span.oldest == span.newest - 256
    assert span.start <= at < span.end
    for slot, start in ((span.newest, span.start), (span.newest + 1, span.end)):
        assert Fraction(start) >= slot * width > Fraction(math.nextafter(start, -math.inf))


def test_slots_have_the_same_numbers_on_every_host() -> None:
    at = 1_790_000_000.25
    assert Rolling(timedelta(days=30)).span(at) == Span(
        176_534, 176_790, 1_789_998_750.0, 1_790_008_875.0
    )
    assert Rolling(0.1).span(at).newest == 4_582_400_000_639
    day = Calendar("day", tz="Australia/Lord_Howe", start=6).span(at)
    assert day == Span(1_789_932_600, 1_789_932_600, 1_789_932_600.0, 1_790_019_000.0)


@pytest.mark.parametrize("window", [Calendar("day"), Rolling(60.0)], ids=repr)
@pytest.mark.parametrize("at", [None, "x", math.nan, 1e300], ids=repr)
def test_slots_are_those_of_a_moment(window: Any, at: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^at = "):
        window.span(at)
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert window.span(now) == window.span(now.timestamp())


@given(st.floats(1e-3, 1e9), moments)
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
    assert Calendar("day") != Calendar("day", start=6)
    assert [Calendar(unit).seconds / HOUR for unit in UNITS] == [1, 24, 7 * 24, 30 * 24]
