"""Windows of time: those that slide and those that the calendar cuts."""

from __future__ import annotations

import math
from bisect import bisect_left
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, tzinfo
from typing import Literal, NamedTuple, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from mlguard.arguments import moment, refusal, seconds

Unit = Literal["hour", "day", "week", "month"]
_DAYS = {"day": 1, "week": 7, "month": 30}
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_STARTS: dict[str, tuple[dict[int, int | str], str]] = {
    "hour": ({minute: minute for minute in range(60)}, "a minute, 0 to 59"),
    "day": (
        {hour: f"{hour:02}:00" for hour in range(24)},
        "a time in whole minutes, such as '06:30' or time(6, 30), or an hour, 0 to 23",
    ),
    "week": (dict(enumerate(_WEEKDAYS)), "a weekday, such as 'Sunday', or 0 (Monday) to 6"),
    "month": ({day: day for day in range(1, 29)}, "a day that every month has, 1 to 28"),
}
SLOTS = 256
"""Into how many a rolling window is cut."""


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of time, from `start` up to and without `end`, in Unix seconds."""

    start: float
    end: float


class Span(NamedTuple):
    """The slots that count at some moment. It stays true from `start` up to and without `end`.

    Slots are numbered in the order of time, alike on every host.

    Attributes:
        oldest: The first slot that still counts.
        newest: The last one, in which the moment lies.
        start: When the newest slot begins, in Unix seconds.
        end: When it is over.
    """

    oldest: int
    newest: int
    start: float
    end: float


@dataclass(frozen=True, slots=True, init=False)
class Rolling:
    """A window that slides: the last so many hours. Immutable.

    What is summed up by slots leaves in steps of 1/256 of the duration: never early, and at most a
    step late.

    Args:
        duration: Of the window, in seconds or as a timedelta.

    Raises:
        ConfigurationError: `duration` is not positive and finite.

    Examples:
        >>> Rolling(timedelta(hours=48)).window(1_000_000.0)
        Window(start=827200.0, end=1000000.0)
        >>> Rolling(timedelta(hours=48)).span(1_000_000.0)
        Span(oldest=1225, newest=1481, start=999675.0, end=1000350.0)
    """

    seconds: float

    def __init__(self, duration: float | timedelta) -> None:
        object.__setattr__(self, "seconds", seconds("duration", duration))

    def window(self, at: float | datetime) -> Window:
        """Give the window that ends at `at`, in Unix seconds or as a datetime with a time zone."""
        end = moment("at", at)
        return Window(end - self.seconds, end)

    def span(self, at: float | datetime) -> Span:
        """Give the slots that count at `at`: that of `at` and the 256 before it."""
        numerator, denominator = moment("at", at).as_integer_ratio()
        length, per = self.seconds.as_integer_ratio()
        newest = numerator * per * SLOTS // (denominator * length)
        return Span(newest - SLOTS, newest, self.slot_start(newest), self.slot_start(newest + 1))

    def slot_start(self, slot: int) -> float:
        """Give the first moment that a float can tell of a slot, in Unix seconds."""
        length, per = self.seconds.as_integer_ratio()
        length, per = slot * length, SLOTS * per
        start = length / per
        numerator, denominator = start.as_integer_ratio()
        early = numerator * per < length * denominator
        return math.nextafter(start, math.inf) if early else start

    def counts_until(self, slot: int) -> float:
        """Give the moment from which a slot counts no more, in Unix seconds."""
        return self.slot_start(slot + SLOTS + 1)


@dataclass(frozen=True, slots=True, init=False)
class Calendar:
    """An hour, day, week or month of a time zone's calendar, daylight saving included. Immutable.

    A day on which the clocks change has 23 or 25 hours. It begins when the clocks first show its
    start, or skip it: a time that comes twice counts the first time. A day that a zone left out
    has no window.

    Hours are never longer than one: where the clocks go back by one, it comes twice. Where they
    change by half an hour, as on Lord Howe Island, the hour is cut into two windows.

    Args:
        unit: "hour", "day", "week" or "month".
        tz: Name of the time zone, as in "Europe/Berlin".
        start: Where it begins: of an hour the minute (0 to 59), of a day the time ("06:00", a
            `time` or the hour), of a week the weekday ("Sunday", or 0 for Monday to 6), of a month
            the day (1 to 28). By default the full hour, midnight, Monday and the first.

    Raises:
        ConfigurationError: The unit, the time zone or the start is not known, or the system has no
            time zones at all; "UTC" needs none.

    Examples:
        >>> day = Calendar("day", tz="Europe/Berlin").window(datetime(2026, 3, 29, 12, tzinfo=UTC))
        >>> (day.end - day.start) / 3600
        23.0
        >>> Calendar("month", start=15).window(datetime(2026, 3, 1, tzinfo=UTC))
        Window(start=1771113600.0, end=1773532800.0)
    """

    unit: Unit
    tz: str
    start: int | str

    def __init__(
        self, unit: Unit, *, tz: str = "UTC", start: int | str | time | None = None
    ) -> None:
        if unit not in get_args(Unit):
            raise refusal("unit", unit, f"one of {', '.join(get_args(Unit))}")
        _zone(tz)
        object.__setattr__(self, "unit", unit)
        object.__setattr__(self, "tz", tz)
        object.__setattr__(self, "start", _start_of(unit, start))

    @property
    def seconds(self) -> float:
        """How long it usually is; a month counts 30 days."""
        return 3_600.0 if self.unit == "hour" else 86_400.0 * _DAYS[self.unit]

    def window(self, at: float | datetime) -> Window:
        """Give the hour, day, week or month that `at` falls in.

        `at` is in Unix seconds or a datetime with a time zone.
        """
        now, zone = math.floor(moment("at", at)), _zone(self.tz)
        try:
            start, end = self._hour(now, zone) if self.unit == "hour" else self._days(now, zone)
        except OverflowError:
            raise refusal("at", at, "further from the ends of the calendar, 1 and 9999") from None
        return Window(float(start), float(end))

    def span(self, at: float | datetime) -> Span:
        """Give the slot that counts at `at`: its window, numbered by the second it begins in."""
        window = self.window(at)
        slot = int(window.start)
        return Span(slot, slot, window.start, window.end)

    def slot_start(self, slot: int) -> float:
        """Give the first moment of a slot, in Unix seconds."""
        return float(slot)

    def counts_until(self, slot: int) -> float:
        """Give the moment from which a slot counts no more, in Unix seconds."""
        return self.window(slot).end

    def written(self, at: float) -> str:
        """Write Unix seconds as ISO 8601 in the time zone of the calendar."""
        local = datetime.fromtimestamp(at, UTC).astimezone(_zone(self.tz))
        return local.isoformat().replace("+00:00", "Z")

    def _hour(self, now: int, zone: tzinfo) -> tuple[int, int]:
        def shift(at: int) -> int:
            """Give how long after full hours of Unix time hours begin."""
            wall = _wall(at, zone)
            return (at - wall.minute * 60 - wall.second + int(self.start) * 60) % 3_600

        current = shift(now)
        start = now - (now - current) % 3_600
        end = start + 3_600
        if shift(start) != current:
            start += bisect_left(range(start, now), 1, key=lambda at: shift(at) == current)
        if shift(end - 1) != current:
            end = now + bisect_left(range(now, end), 1, key=lambda at: shift(at) != current)
        return start, end

    def _days(self, now: int, zone: tzinfo) -> tuple[int, int]:
        wall = self._begun(_wall(now, zone))
        start = _reached(wall, zone)
        while (end := _reached(wall := self._following(wall), zone)) <= now:
            start = end
        return start, end

    def _begun(self, wall: datetime) -> datetime:
        """Give where the unit that holds a local time begins, in local time."""
        if self.unit == "day":
            begins = time.fromisoformat(str(self.start))
            days = int(wall.time() < begins)
            return datetime.combine(wall - timedelta(days), begins)
        midnight = datetime.combine(wall, time())
        if self.unit == "week":
            return midnight - timedelta((wall.weekday() - _WEEKDAYS.index(self.start)) % 7)
        if wall.day < int(self.start):
            midnight = midnight.replace(day=1) - timedelta(1)
        return midnight.replace(day=int(self.start))

    def _following(self, wall: datetime) -> datetime:
        if self.unit == "month":
            return (wall.replace(day=1) + timedelta(32)).replace(day=wall.day)
        return wall + timedelta(_DAYS[self.unit])


def _start_of(unit: Unit, start: object) -> int | str:
    known, allowed = _STARTS[unit]
    value = next(iter(known)) if start is None else start
    if isinstance(value, int) and value in known:
        return known[value]
    if isinstance(value, str) and value.capitalize() in known.values():
        return value.capitalize()
    if unit == "day" and isinstance(value, str | time):
        with suppress(ValueError):
            begins = value if isinstance(value, time) else time.fromisoformat(value)
            if begins.tzinfo is None and begins == time(begins.hour, begins.minute):
                return begins.isoformat("minutes")
    raise refusal("start", start, allowed)


def _zone(tz: str) -> tzinfo:
    if tz == "UTC":
        return UTC
    try:
        return ZoneInfo(tz)
    except (ZoneInfoNotFoundError, ValueError, TypeError, OSError) as error:
        allowed = "a time zone, such as 'UTC' or 'Europe/Berlin'"
        if isinstance(error, ZoneInfoNotFoundError) and not available_timezones():
            allowed = "'UTC' on a system without a time zone database: install tzdata"
        raise refusal("tz", tz, allowed) from None


def _wall(at: int, zone: tzinfo) -> datetime:
    """Give what the clocks of a zone show."""
    return datetime.fromtimestamp(at, UTC).astimezone(zone).replace(tzinfo=None)


def _reached(wall: datetime, zone: tzinfo) -> int:
    """Give the first moment at which the clocks show a local time or, skipping it, a later one."""
    first, second = (int(wall.replace(tzinfo=zone, fold=fold).timestamp()) for fold in (0, 1))
    if first <= second:
        return first
    return second + bisect_left(range(second, first), wall, key=lambda at: _wall(at, zone))
