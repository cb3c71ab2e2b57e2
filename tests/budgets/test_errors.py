"""Error budgets: what is left, what burns, what nobody knows, and what time does to the counts."""

from __future__ import annotations

import copy
import json
import math
import pickle
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest

from mlguard import (
    BurnAlert,
    Calendar,
    ConfigurationError,
    ErrorBudget,
    Rolling,
    Severity,
    Verdict,
)
from mlguard.clocks import UnixClock
from mlguard.testing import ManualClock

MINUTE, HOUR, DAY = 60.0, 3_600.0, 86_400.0
START = 1_700_000_000.0
BERLIN = ZoneInfo("Europe/Berlin")


def made(slo: float = 0.999, **options: Any) -> tuple[ErrorBudget, ManualClock]:
    clock = ManualClock(START)
    return ErrorBudget(slo, clock=clock, **options), clock


def left_of(errors: ErrorBudget) -> float | None:
    return errors.remaining


def serve(
    errors: ErrorBudget,
    clock: ManualClock,
    seconds: float,
    *,
    good: int = 10,
    bad: int = 0,
    every: float = MINUTE,
) -> None:
    """Serve the same number of requests in each step of time."""
    for _ in range(round(seconds / every)):
        clock.advance(every)
        errors.observe_counts(good=good, bad=bad)


def severities(errors: ErrorBudget) -> dict[str, str]:
    causes = errors().causes
    return {cause.name: cause.severity.name for cause in causes if isinstance(cause, Verdict)}


# What is not known.


@pytest.mark.parametrize("period", [timedelta(days=30), Calendar("month"), Rolling(DAY)])
@pytest.mark.parametrize("idle", [0.0, 10.0, HOUR, 40 * DAY])
def test_no_request_is_unknown_and_never_good(period: Any, idle: float) -> None:
    errors, clock = made(period=period)
    clock.advance(idle)
    assert left_of(errors) is None
    assert errors.exhausts_in() is None
    for window in (1.0, MINUTE, HOUR, 5 * HOUR, DAY):
        assert errors.burn_rate(window) is None
    measurement = errors.measure()
    assert math.isnan(measurement.value)
    assert (measurement.n, measurement.low, measurement.high) == (0, None, None)
    assert measurement.details["reason"]
    assert measurement.at is None
    verdict = errors()
    assert (verdict.severity, verdict.low) == (Severity.UNKNOWN, Severity.OK)
    assert verdict.high is Severity.BREACH
    assert set(severities(errors).values()) == {"UNKNOWN"}


def test_a_service_that_fell_silent_is_unknown_again() -> None:
    errors, clock = made(min_coverage=0.0)
    serve(errors, clock, HOUR)
    assert errors().ok
    clock.advance(2 * HOUR)
    assert errors.burn_rate(HOUR) is None
    assert severities(errors)["burn over 1 h"] == "UNKNOWN"
    assert severities(errors)["burn over 6 h"] == "OK"
    clock.advance(31 * DAY)
    assert left_of(errors) is None
    assert set(severities(errors).values()) == {"UNKNOWN"}
    assert errors.totals["good"] == 600


@pytest.mark.parametrize("min_coverage", [0.1, 0.5, 0.9, 1.0])
def test_what_remains_is_unknown_until_enough_of_the_period_was_watched(
    min_coverage: float,
) -> None:
    errors, clock = made(min_coverage=min_coverage)
    needed = min_coverage * 30 * DAY
    serve(errors, clock, needed - 4 * HOUR, every=HOUR)
    assert left_of(errors) is None
    assert errors.exhausts_in() is None
    assert errors.measure().details["covers"] == needed - 4 * HOUR
    assert "state was not restored" in errors.measure().details["reason"]
    serve(errors, clock, 8 * HOUR, every=HOUR)
    assert left_of(errors) == 1.0
    assert errors.exhausts_in() == math.inf
    serve(errors, clock, 30 * DAY, every=6 * HOUR)
    assert left_of(errors) == 1.0
    assert errors.measure().details["covers"] <= 30 * DAY


def test_it_says_how_little_it_covers() -> None:
    errors, clock = made()
    serve(errors, clock, 3 * HOUR)
    assert "covers 3 h of 30 d: state was not restored" in errors().explain()
    assert errors.measure().details["covers"] == 3 * HOUR


def test_each_alert_works_as_soon_as_half_of_its_short_window_was_watched() -> None:
    errors, clock = made()
    known = {
        2 * MINUTE: 0,
        3 * MINUTE: 1,
        14 * MINUTE: 1,
        16 * MINUTE: 2,
        59 * MINUTE: 2,
        61 * MINUTE: 3,
        2.9 * HOUR: 3,
        3.1 * HOUR: 4,
        14.9 * DAY: 4,
        15.1 * DAY: 5,
    }
    for age, number in known.items():
        serve(errors, clock, START + age - clock(), every=MINUTE)
        found = list(severities(errors).values())
        assert found == ["OK"] * number + ["UNKNOWN"] * (5 - number), age
    assert errors().ok


@pytest.mark.parametrize("per_minute", [6, 60, 6000])
def test_a_total_outage_right_after_a_cold_start_is_found(per_minute: int) -> None:
    errors, clock = made()
    seconds = 0
    while errors().severity is not Severity.BREACH:
        clock.advance(1.0)
        seconds += 1
        errors.observe_counts(bad=per_minute * seconds // 60 - per_minute * (seconds - 1) // 60)
    assert seconds <= max(52, 60 * 5 / per_minute) + 5
    assert left_of(errors) is None
    assert errors.exhausts_in() is None


def test_a_cold_start_does_not_hide_what_burns_anyway() -> None:
    errors, clock = made()
    serve(errors, clock, 20 * MINUTE, good=95, bad=5)  # 50 times too fast for a third of an hour
    assert severities(errors)["burn over 1 h"] == "BREACH"
    assert severities(errors)["burn over 3 d"] == "UNKNOWN"
    errors, clock = made()
    serve(errors, clock, 20 * MINUTE, good=980, bad=20)  # 20 times: perhaps an hour of 6.7
    assert severities(errors)["burn over 1 h"] == "UNKNOWN"
    assert errors().low is Severity.OK


# What is left, and how long it lasts.


def watched(slo: float = 0.999, **options: Any) -> tuple[ErrorBudget, ManualClock]:
    """Give a budget that has watched a whole period, without a request."""
    errors, clock = made(slo, **options)
    clock.advance(31 * DAY)
    assert errors.totals["good"] == 0
    return errors, clock


@pytest.mark.parametrize(
    ("good", "bad", "left"), [(1000, 0, 1.0), (9995, 5, 0.5), (999, 1, 0.0), (998, 2, -1.0)]
)
def test_what_remains(good: int, bad: int, left: float) -> None:
    errors, _ = watched()
    errors.observe_counts(good=good, bad=bad)
    assert left_of(errors) == pytest.approx(left, abs=1e-12)
    measurement = errors.measure()
    assert measurement.name == "errors remaining"
    assert measurement.unit == "share"
    assert measurement.value == left_of(errors)
    assert measurement.n == good + bad
    assert measurement.confidence == 0.95
    assert measurement.low is not None
    assert measurement.high is not None
    assert measurement.low < left <= measurement.high <= 1.0
    assert dict(measurement.details) == {
        "slo": 0.999,
        "good": good,
        "bad": bad,
        "covers": 30 * DAY,
    }


def test_it_is_exhausted_when_it_goes_on_burning_as_in_the_last_hour() -> None:
    errors, clock = watched()
    errors.observe_counts(good=1_000_000)
    assert errors.exhausts_in() == math.inf
    clock.advance(2 * HOUR)
    assert errors.exhausts_in() is None  # nobody knows what burns now
    errors.observe_counts(good=9_980, bad=20)
    remaining = left_of(errors)
    assert remaining is not None
    assert errors.exhausts_in() == pytest.approx(remaining / 2 * 30 * DAY)
    errors.observe_counts(bad=5_000)
    assert errors.exhausts_in() == 0.0


def test_a_spent_budget_warns_and_few_bad_requests_do_not_tell() -> None:
    errors, clock = watched()
    errors.observe_counts(good=3_000, bad=4)
    clock.advance(4 * DAY)  # out of all alerts
    errors.observe_counts(good=10)
    assert left_of(errors) == pytest.approx(1 - 4 / 3_014 / 0.001)
    assert severities(errors)["errors remaining"] == "UNKNOWN"
    assert errors().high is Severity.WARN
    assert "but fewer than 5 bad requests do not tell" in errors().explain()
    errors.observe(good=False)
    clock.advance(4 * DAY)
    errors.observe_counts(good=10)
    assert severities(errors)["errors remaining"] == "WARN"
    assert errors().severity is Severity.WARN
    assert "spent, of the budget of 0.1 % of requests" in errors().explain()


@pytest.mark.parametrize(
    ("least", "bad", "severity"),
    [(5, 4, "UNKNOWN"), (5, 5, "BREACH"), (1, 1, "BREACH"), (2, 1, "UNKNOWN"), (30, 29, "UNKNOWN")],
)
def test_few_bad_requests_are_sparse_and_neither_a_page_nor_fine(
    least: int, bad: int, severity: str
) -> None:
    errors, _ = watched(min_bad_events=least)
    errors.observe_counts(good=20, bad=bad)
    verdict = errors()
    assert severities(errors)["burn over 1 h"] == severity
    assert verdict.high is Severity.BREACH
    if severity == "UNKNOWN":
        assert verdict.low is Severity.OK
        assert f"but fewer than {least} bad requests do not tell" in verdict.explain()


def test_a_burn_rate_looks_back_as_far_as_asked() -> None:
    errors, clock = watched()
    errors.observe_counts(good=0, bad=100)
    clock.advance(3 * HOUR)
    errors.observe_counts(good=100)
    assert errors.burn_rate(2 * HOUR) == 0.0
    assert errors.burn_rate(timedelta(hours=4)) == pytest.approx(500.0)
    assert errors.burn_rate(30 * DAY) == pytest.approx(500.0)
    assert errors.burn_rate(0.001) == 0.0
    with pytest.raises(ConfigurationError, match="window = 2592001: must be at most the period"):
        errors.burn_rate(2_592_001)
    with pytest.raises(ConfigurationError, match="window = -1"):
        errors.burn_rate(-1)


# What is observed.


class Nasty:
    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no comparison")

    def __bool__(self) -> bool:
        raise RuntimeError("no truth")

    __hash__ = None  # type: ignore[assignment]


def test_anything_but_a_truth_is_invalid_and_nothing_raises() -> None:
    errors, _ = made()
    strange: list[Any] = [
        None, math.nan, math.inf, "yes", "True", b"1", 2, -1, 0.5, [], [True], {}, Nasty(), pd.NA,
        np.array([True, False]), np.array([True]), np.float64("nan"), object(), Decimal(7),
    ]  # fmt: skip
    truths: list[Any] = [True, False, np.True_, np.False_, 1, 0]
    for value in [*strange, *truths]:
        errors.observe(value)
    assert errors.totals == {"good": 3, "bad": 3, "invalid": len(strange)}
    assert errors.burn_rate(HOUR) == pytest.approx(500.0)


@pytest.mark.parametrize(
    "counts",
    [
        {"good": -1}, {"bad": -1}, {"good": 1.5}, {"bad": math.nan}, {"good": math.inf},
        {"good": None}, {"bad": "three"}, {"good": [1]}, {"good": 5, "bad": -5}, {"bad": 10**400},
        {"good": 2**53 + 2},
    ],
)  # fmt: skip
def test_bad_counts_are_refused_and_leave_everything_as_it_was(counts: dict[str, Any]) -> None:
    errors, clock = made()
    serve(errors, clock, HOUR, good=7, bad=1)
    before = errors.to_json()
    with pytest.raises(ConfigurationError, match=r"(good|bad) = .*: must be "):
        errors.observe_counts(**counts)
    assert errors.to_json() == before


def test_what_is_invalid_is_in_the_words() -> None:
    errors, _ = watched()
    errors.observe("yes")  # type: ignore[arg-type]
    assert errors.measure().details["reason"].endswith("; 1 were neither good nor bad")
    for good in (np.int64(1), np.bool_(1), np.float64(1.0), 1):
        errors.observe(good)  # type: ignore[arg-type]
    assert errors.totals == {"good": 4, "bad": 0, "invalid": 1}


def test_counts_may_be_numpys_and_large() -> None:
    errors, _ = watched()
    errors.observe_counts(good=np.int64(3), bad=np.uint8(2))  # type: ignore[arg-type]
    errors.observe_counts(good=2**53 - 3, bad=True)
    assert errors.totals == {"good": 2**53, "bad": 3, "invalid": 0}
    assert ErrorBudget.from_json(errors.to_json(), clock=errors.clock) == errors
    assert left_of(errors) == pytest.approx(1.0)


def test_nothing_at_all_is_no_observation() -> None:
    errors, clock = made()
    errors.observe(good=True)
    assert errors().at == START
    clock.advance(HOUR)
    errors.observe_counts()
    assert errors().at == START
    errors.observe_counts(good=1)
    assert errors().at == clock()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"slo": 1.0}, "slo = 1.0: must be between 0 and 1, both excluded"),
        ({"slo": 0}, "slo = 0"),
        ({"slo": math.nan}, "slo = nan"),
        ({"slo": 99.9}, "slo = 99.9"),
        ({"slo": "0.999"}, "slo = '0.999': must be a number"),
        ({"period": 0}, "period = 0"),
        ({"period": -timedelta(days=1)}, "period"),
        ({"period": math.inf}, "period = inf"),
        ({"period": "month"}, "period = 'month'"),
        ({"min_bad_events": 0}, "min_bad_events = 0: must be a whole number of at least 1"),
        ({"min_bad_events": 2.5}, "min_bad_events = 2.5"),
        ({"min_coverage": -0.1}, "min_coverage = -0.1: must be between 0 and 1"),
        ({"min_coverage": 1.1}, "min_coverage = 1.1: must be between 0 and 1"),
        ({"min_coverage": math.nan}, "min_coverage = nan"),
        ({"name": " "}, "name = ' '"),
    ],
)
def test_bad_arguments_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        ErrorBudget(**{"slo": 0.999, **options})


def test_it_says_what_it_is() -> None:
    assert repr(ErrorBudget(0.999)) == "ErrorBudget(slo=0.999, period=Rolling(seconds=2592000.0))"


# Time.


def test_a_gap_is_not_covered_and_the_totals_stay() -> None:
    errors, clock = made()
    serve(errors, clock, 20 * DAY, every=HOUR, bad=1)
    left, written = left_of(errors), errors.to_json()
    clock.advance(3 * HOUR)
    again = ErrorBudget.from_json(written, clock=clock)
    assert again.totals == errors.totals
    assert left_of(again) == left
    assert again.measure().details["covers"] == pytest.approx(20 * DAY, abs=4 * HOUR)
    assert errors.measure().details["covers"] == pytest.approx(20 * DAY + 3 * HOUR)
    assert severities(again)["burn over 1 h"] == "UNKNOWN"
    assert severities(again)["burn over 3 d"] == "WARN"
    clock.advance(17 * DAY)
    later = ErrorBudget.from_json(written, clock=clock)
    assert later.remaining is None  # 13 of the last 30 days were watched
    assert later.measure().details["covers"] == pytest.approx(12.875 * DAY, abs=4 * HOUR)
    clock.advance(60 * DAY)
    ancient = ErrorBudget.from_json(written, clock=clock)
    assert ancient.remaining is None
    assert ancient.measure().details["covers"] == pytest.approx(0.0, abs=2 * HOUR)
    assert ancient.totals == errors.totals


def test_a_restored_budget_finds_an_outage_at_once() -> None:
    errors, clock = made()
    serve(errors, clock, 2 * DAY, every=HOUR)
    written = errors.to_json()
    clock.advance(DAY)
    again = ErrorBudget.from_json(written, clock=clock)
    serve(again, clock, 5 * MINUTE, good=0, bad=10)
    assert severities(again)["burn over 1 h"] == "BREACH"


def test_two_that_took_turns_cover_the_whole() -> None:
    clock = ManualClock(START)
    first = ErrorBudget(0.999, clock=clock)
    serve(first, clock, 10 * DAY, every=HOUR)
    written = first.to_json()
    second = ErrorBudget(0.999, clock=clock)
    serve(second, clock, 10 * DAY, every=HOUR)
    assert second.remaining is None
    both = ErrorBudget.from_json(written, clock=clock) + second
    assert both.remaining == 1.0
    assert both.measure().details["covers"] == pytest.approx(20 * DAY, abs=2 * HOUR)
    assert both.totals["good"] == first.totals["good"] + second.totals["good"]


@pytest.mark.parametrize("back", [1.0, 30.0, 59.0, HOUR, DAY, 400 * DAY])
def test_a_clock_set_back_loses_nothing_and_keeps_nothing_too_long(back: float) -> None:
    errors, clock = made()
    serve(errors, clock, 2 * HOUR, good=9, bad=1)
    errors.observe(good=False)
    before, burning = errors.totals, errors.burn_rate(6 * HOUR)
    clock.advance(-back)
    assert errors.totals == before
    assert errors.burn_rate(6 * HOUR) == burning
    clock.advance(6 * HOUR + 10 * MINUTE)
    assert errors.burn_rate(6 * HOUR) is None
    assert errors.totals == before


@pytest.mark.parametrize("back", [MINUTE, DAY])
def test_an_outage_after_the_clock_was_set_back_is_found(back: float) -> None:
    errors, clock = made()
    serve(errors, clock, 2 * HOUR)
    clock.advance(-back)
    assert errors.totals["good"] == 1200
    minutes = 0
    while severities(errors)["burn over 1 h"] != "BREACH":
        serve(errors, clock, MINUTE, good=0, bad=10)
        minutes += 1
        assert minutes <= 10


def test_a_clock_that_jumps_a_day_starts_new_windows() -> None:
    errors, clock = made()
    serve(errors, clock, 2 * HOUR, good=0)
    serve(errors, clock, 2 * HOUR, good=9, bad=1)
    clock.advance(DAY)
    assert errors.burn_rate(6 * HOUR) is None
    assert errors.burn_rate(2 * DAY) == pytest.approx(100.0)
    errors.observe(good=True)
    assert errors.burn_rate(6 * HOUR) == 0.0


def test_a_million_idle_slots_cost_no_more_than_one() -> None:
    errors, clock = made()
    errors.observe(good=False)
    clock.advance(5.0 * 10**6)  # of five seconds
    assert errors.burn_rate(HOUR) is None
    assert errors.totals["bad"] == 1
    for ring in errors._rings.values():
        assert ring.watched.bit_length() <= 361
        assert not list(ring.slots())
    written = errors.to_json()
    clock.advance(5.0 * 10**8)
    again = ErrorBudget.from_json(written, clock=clock)
    assert all(ring.watched.bit_length() <= 361 for ring in again._rings.values())


def test_what_it_keeps_is_bounded() -> None:
    errors, clock = made()
    for _ in range(2000):
        clock.advance(HOUR * 0.77)
        errors.observe_counts(good=3, bad=1)
    slots = [len(list(ring.slots())) for ring in errors._rings.values()]
    assert max(slots) <= 360
    assert sum(slots) <= 9 * 60 + 360
    assert len(errors.to_json()) < 20_000


# The calendar.


def at(*moment: int, tz: Any = UTC) -> float:
    return datetime(*moment, tzinfo=tz).timestamp()  # type: ignore[misc, arg-type]


def in_calendar(
    unit: Any, start: float, tz: str = "UTC", **options: Any
) -> tuple[ErrorBudget, ManualClock]:
    clock = ManualClock(start)
    return ErrorBudget(0.99, period=Calendar(unit, tz=tz), clock=clock, **options), clock


@pytest.mark.parametrize(
    ("year", "month", "days"), [(2026, 1, 31), (2026, 2, 28), (2028, 2, 29), (2026, 4, 30)]
)
def test_a_month_at_its_rate_ends_with_nothing_left(year: int, month: int, days: int) -> None:
    errors, clock = in_calendar("month", at(year, month, 1))
    left: list[float | None] = []
    for _ in range(days * 24):
        clock.advance(HOUR - 1e-6)
        errors.observe_counts(good=99, bad=1)
        left.append(left_of(errors))
        clock.advance(1e-6)
    for hours, remaining in enumerate(left, start=1):
        assert remaining == pytest.approx(1 - hours / (24 * days), abs=1e-6)
    assert left_of(errors) is None  # a new month, and nothing was asked of it
    errors.observe(good=False)
    clock.advance(MINUTE)
    month_of = Calendar("month").window(clock())
    assert left_of(errors) == pytest.approx(1 - 100 * MINUTE / (month_of.end - month_of.start))


@pytest.mark.parametrize(
    ("unit", "tz", "reset"),
    [
        ("month", "Europe/Berlin", at(2026, 4, 1, tz=BERLIN)),
        ("month", "Europe/Berlin", at(2026, 11, 1, tz=BERLIN)),
        ("month", "Asia/Kathmandu", at(2026, 5, 1, tz=ZoneInfo("Asia/Kathmandu"))),
        ("month", "UTC", at(2027, 1, 1)),
        ("week", "Europe/Berlin", at(2026, 3, 30, tz=BERLIN)),
        ("day", "Europe/Berlin", at(2026, 3, 30, tz=BERLIN)),
        ("day", "Europe/Berlin", at(2026, 10, 26, tz=BERLIN)),
        ("day", "America/Sao_Paulo", at(2017, 10, 15, 3)),
    ],
)
def test_a_budget_resets_where_its_calendar_says(unit: Any, tz: str, reset: float) -> None:
    alerts = [BurnAlert(0.5, HOUR)] if unit == "day" else None
    errors, clock = in_calendar(unit, reset - 6 * HOUR, tz, min_coverage=0.0, alerts=alerts)
    serve(errors, clock, 6 * HOUR - MINUTE, good=0, bad=10)
    clock.advance(MINUTE - 0.5)
    spent = left_of(errors)
    assert spent is not None
    assert spent < 0.0
    clock.advance(0.5)
    assert left_of(errors) is None
    assert errors.measure().n == 0
    assert errors.burn_rate(HOUR) == pytest.approx(100.0)  # the alerts look across
    serve(errors, clock, HOUR, good=10)
    assert left_of(errors) == 1.0
    assert errors.measure().n == 600
    assert errors.totals == {"good": 600, "bad": 3590, "invalid": 0}


@pytest.mark.parametrize(
    ("day", "hours"), [((2026, 3, 29), 23), ((2026, 10, 25), 25), ((2026, 6, 1), 24)]
)
def test_a_day_is_as_long_as_the_clocks_make_it(day: tuple[int, int, int], hours: int) -> None:
    errors, clock = in_calendar("day", at(*day, tz=BERLIN), "Europe/Berlin")
    left = []
    for _ in range(hours):
        clock.advance(HOUR - 1e-6)
        errors.observe_counts(good=99, bad=1)
        left.append(left_of(errors))
        clock.advance(1e-6)
    assert left == pytest.approx([1 - done / hours for done in range(1, hours + 1)], abs=1e-6)
    assert left_of(errors) is None


def test_a_restart_in_the_middle_of_the_month_knows_nothing_of_its_beginning() -> None:
    errors, clock = in_calendar("month", at(2026, 4, 10))
    serve(errors, clock, 5 * DAY, every=HOUR)
    assert left_of(errors) is None
    assert errors.measure().details["covers"] == 5 * DAY
    serve(errors, clock, 6 * DAY, every=HOUR)
    assert left_of(errors) == 1.0  # 11 of 20 days
    serve(errors, clock, 10.25 * DAY, every=HOUR)
    assert left_of(errors) == 1.0  # May, watched from its beginning
    assert errors.measure().n == 10 * 7


def test_the_budget_of_a_month_is_that_of_the_whole() -> None:
    errors, clock = in_calendar("month", at(2026, 4, 1))
    serve(errors, clock, 3 * DAY, good=98, bad=2, every=HOUR)
    assert left_of(errors) == pytest.approx(1 - 2 * 3 / 30)
    assert errors.exhausts_in() == pytest.approx((1 - 2 * 3 / 30) / 2 * 30 * DAY)


# Copies, records and sums.


def busy() -> tuple[ErrorBudget, ManualClock]:
    errors, clock = made(name="scoring")
    serve(errors, clock, 5 * HOUR, good=20, bad=1)
    errors.observe(good=True)
    errors.observe("neither")  # type: ignore[arg-type]
    return errors, clock


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"slo": 0.95, "period": 7 * DAY, "min_bad_events": 9, "min_coverage": 0.25},
        {"period": Calendar("month", tz="Europe/Berlin")},
        {"alerts": [BurnAlert(0.1, HOUR, Severity.WARN)], "name": "größer"},
        {"alerts": []},
    ],
)
def test_it_round_trips_through_json(options: dict[str, Any]) -> None:
    clock = ManualClock(START)
    errors = ErrorBudget(**{"slo": 0.999, **options}, clock=clock)
    serve(errors, clock, 5 * HOUR, good=20, bad=1)
    written = errors.to_json()
    again = ErrorBudget.from_json(written, clock=clock)
    assert again == errors
    assert again.to_json() == written
    assert again() == errors()
    assert again.measure() == errors.measure()
    assert (again.slo, again.period, again.alerts) == (errors.slo, errors.period, errors.alerts)
    serve(errors, clock, HOUR, good=3, bad=2)
    clock.advance(-HOUR)
    serve(again, clock, HOUR, good=3, bad=2)
    assert again.totals == errors.totals


def test_copies_carry_the_counts_and_go_on_alone() -> None:
    errors, clock = busy()
    for twin in (pickle.loads(pickle.dumps(errors)), copy.deepcopy(errors), copy.copy(errors)):  # noqa: S301 -- our own
        assert twin == errors
        assert twin() == errors()
        twin.observe(good=False)
        assert twin.totals["bad"] == errors.totals["bad"] + 1
    assert copy.copy(errors).clock is clock
    origin = UnixClock(START, ManualClock(7.0))
    moved = pickle.loads(pickle.dumps(ErrorBudget(0.999, clock=origin)))  # noqa: S301 -- our own
    assert moved.clock() == START + 7.0


def damaged() -> dict[str, Any]:
    errors, _ = busy()
    whole = errors.to_json()
    record = json.loads(whole)
    found: dict[str, Any] = {
        "nothing": "",
        "no JSON": whole[:-1],
        "a list": "[]",
        "no text": None,
        "another kind": json.dumps(record | {"kind": "latencybudget"}),
        "a newer schema": json.dumps(record | {"schema": 2}),
    }
    parts: dict[str, tuple[Any, ...]] = {
        "settings": ("7 s", [], {"x": 1}),
        "rings": ("7 s", [], {"x": 1}),
        "totals": ("7 s", [], *({**record["totals"], "good": n} for n in (-1, 0.5, None, "x"))),
        "at": ("7 s", [], -1e300, math.inf),
        "began": ("7 s", [], -1e300, math.inf),
        "name": (7, [], " "),
    }
    for part, values in parts.items():
        found[f"no {part}"] = json.dumps({key: record[key] for key in record if key != part})
        found |= {f"{part} is {value}": json.dumps(record | {part: value}) for value in values}
    for setting, now in record["settings"].items():
        for value in (None, "x", -1, math.inf, ["x"]):
            settings = record["settings"] | {setting: value}
            if value != now:
                found[f"{setting} is {value}"] = json.dumps(record | {"settings": settings})
    slots = "x", 5, [1], [[1, None]], [[1, [1]]], [["x", [1, 2]]], [[1, [-1, 2]]], [[1, [0.5, 2]]]
    fields: dict[str, Any] = {"newest": (None, "x"), "watched": (None, "xyz"), "slots": slots}
    for field, values in fields.items():
        for value in values:
            ring = record["rings"]["period"] | {field: value}
            rings = record["rings"] | {"period": ring}
            found[f"{field} is {value}"] = json.dumps(record | {"rings": rings})
    return found


DAMAGED = damaged()


@pytest.mark.parametrize("text", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_record_is_refused(text: Any) -> None:
    with pytest.raises(ConfigurationError):
        ErrorBudget.from_json(text, clock=ManualClock(START))


@pytest.mark.parametrize(
    "other",
    [
        ErrorBudget(0.99),
        ErrorBudget(0.999, period=7 * DAY),
        ErrorBudget(0.999, period=Calendar("month")),
        ErrorBudget(0.999, alerts=[]),
        ErrorBudget(0.999, min_bad_events=1),
        ErrorBudget(0.999, min_coverage=0.1),
    ],
)
def test_different_settings_do_not_add(other: ErrorBudget) -> None:
    with pytest.raises(ConfigurationError, match=r"budgets of different .* do not add: "):
        ErrorBudget(0.999) + other


def test_only_error_budgets_add_to_error_budgets() -> None:
    for other in (1, None, "x"):
        with pytest.raises(TypeError):
            ErrorBudget(0.999) + other  # type: ignore[operator]
    assert ErrorBudget(0.999) != 1


def test_a_sum_leaves_its_parts_alone_and_keeps_the_first_clock_and_name() -> None:
    one, clock = busy()
    two = ErrorBudget(0.999, clock=ManualClock(START + DAY), name="another")
    two.observe(good=False)
    before = one.to_json(), two.to_json()
    total = one + two
    assert (total.clock, total.name) == (clock, "scoring")
    assert total.totals["bad"] == one.totals["bad"] + 1
    total.observe(good=False)
    assert (one.to_json(), two.to_json()) == before


def test_the_future_of_another_host_counts_as_of_now() -> None:
    errors, clock = watched()
    ahead = ErrorBudget(0.999, clock=ManualClock(clock() + DAY))
    ahead.observe_counts(good=90, bad=10)
    errors.observe_counts(good=100)
    for total in (errors + ahead, errors + ahead + errors):
        assert total.burn_rate(5 * MINUTE) is not None
        assert total().at == clock()
    total = errors + ahead
    assert total.burn_rate(HOUR) == pytest.approx(50.0)
    assert total.remaining is not None
    clock.advance(HOUR + 2 * MINUTE)
    assert total.burn_rate(HOUR) is None


def test_what_stays_of_a_silent_source() -> None:
    errors, clock = busy()
    kept = errors.retired()
    assert kept.totals == errors.totals
    assert kept.burn_rate(HOUR) is None
    assert kept.measure().n == errors.measure().n
    clock.advance(31 * DAY)
    assert kept.measure().n == 0
    assert kept.totals == errors.totals


# Threads and processes.


def test_threads_lose_nothing_while_the_slots_turn() -> None:
    errors, clock = made()
    clock.advance(1.0)
    each = 4_000

    def work(good: bool) -> None:  # noqa: FBT001 -- it is what is seen
        for number in range(each):
            errors.observe(good)
            if not number % 50:
                clock.advance(1.0)
            if not number % 400:
                errors()
                errors.observe_counts(bad=1)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=work, args=(bool(n % 2),)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert errors.totals == {"good": 4 * each, "bad": 4 * each + 80, "invalid": 0}
    assert errors.measure().n == 8 * each + 80


FORKED = """
import os
from mlguard import ErrorBudget
errors = ErrorBudget(0.999, min_coverage=0.0)
errors.observe_counts(good=5, bad=5)
errors.observe(True)
errors._lock.acquire()
child = os.fork()
if not child:
    assert errors.totals == {"good": 0, "bad": 0, "invalid": 0}, errors.totals
    assert errors.remaining is None
    errors.observe(False)
    assert errors.totals["bad"] == 1
    os._exit(0)
errors._lock.release()
assert os.waitpid(child, 0)[1] == 0
assert errors.totals == {"good": 6, "bad": 5, "invalid": 0}, errors.totals
"""


@pytest.mark.skipif(sys.platform == "win32", reason="nothing forks there")
def test_a_forked_child_starts_at_zero() -> None:
    subprocess.run([sys.executable, "-c", FORKED], check=True, timeout=60)
