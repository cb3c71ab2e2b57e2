"""Windows of time: those that slide and those that the calendar cuts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from mlguard.arguments import moment, refusal, seconds

Unit = Literal["hour", "day", "week", "month"]
_DAYS = {"day": 1, "week": 7, "month": 30}


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of time, from `start` up to and without `end`, in Unix seconds."""

    start: float
    end: float


@dataclass(frozen=True, slots=True, init=False)
class Rolling:
    """A window that slides: the last so many hours. Immutable.

    Args:
        duration: Of the window, in seconds or as a timedelta.

    Raises:
        ConfigurationError: `duration` is not positive and finite.

    Examples:
        >>> Rolling(timedelta(hours=48)).window(1_000_000.0)
        Window(start=827200.0, end=1000000.0)
    """

    seconds: float

    def __init__(self, duration: float | timedelta) -> None:
        object.__setattr__(self, "seconds", seconds("duration", duration))

    def window(self, at: float | datetime) -> Window:
        """Give the window that ends at `at`, in Unix seconds or as a datetime with a time zone."""
        end = moment("at", at)
        return Window(end - self.seconds, end)


@dataclass(frozen=True, slots=True, init=False)
class Calendar:
    """An hour, day, week or month of a time zone's calendar, daylight saving included. Immutable.

    Weeks begin on Monday. A day on which the clocks change has 23 or 25 hours.

    Args:
        unit: "hour", "day", "week" or "month".
        tz: Name of the time zone, as in "Europe/Berlin".

    Raises:
        ConfigurationError: The unit or the time zone is not known.

    Examples:
        >>> day = Calendar("day", tz="Europe/Berlin").window(datetime(2026, 3, 29, 12, tzinfo=UTC))
        >>> (day.end - day.start) / 3600
        23.0
    """

    unit: Unit
    tz: str

    def __init__(self, unit: Unit, *, tz: str = "UTC") -> None:
        if unit not in get_args(Unit):
            raise refusal("unit", unit, f"one of {', '.join(get_args(Unit))}")
        try:
            ZoneInfo(tz)
        except (ZoneInfoNotFoundError, ValueError, TypeError, OSError):
            raise refusal("tz", tz, "a time zone, such as 'UTC' or 'Europe/Berlin'") from None
        object.__setattr__(self, "unit", unit)
        object.__setattr__(self, "tz", tz)

    @property
    def seconds(self) -> float:
        """How long it usually is; a month counts 30 days."""
        return 3_600.0 if self.unit == "hour" else 86_400.0 * _DAYS[self.unit]

    def window(self, at: float | datetime) -> Window:
        """Give the hour, day, week or month that `at` falls in.

        `at` is in Unix seconds or a datetime with a time zone.
        """
        now, zone = math.floor(moment("at", at)), ZoneInfo(self.tz)
        try:
            return self._window(now, zone)
        except OverflowError:
            raise refusal("at", at, "further from the ends of the calendar, 1 and 9999") from None

    def _window(self, now: int, zone: ZoneInfo) -> Window:
        local = datetime.fromtimestamp(now, UTC).astimezone(zone)
        if self.unit == "hour":
            start = float(now - local.minute * 60 - local.second)
            return Window(start, start + 3_600.0)
        first = local.date()
        if self.unit == "week":
            first -= timedelta(days=first.weekday())
        elif self.unit == "month":
            first = first.replace(day=1)
        last = first + timedelta(days=32 if self.unit == "month" else _DAYS[self.unit])
        last = last.replace(day=1) if self.unit == "month" else last
        return Window(_midnight(first, zone), _midnight(last, zone))


def _midnight(day: date, zone: ZoneInfo) -> float:
    return datetime.combine(day, time(), zone).timestamp()
