"""Forecasts of spend: what they add up, when they are withheld, what they refuse."""

from __future__ import annotations

import math
import re
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from mlguard import ConfigurationError
from mlguard.budgets.forecast import Forecast, Points, forecast, pacing, runs_out_in

HOUR, DAY = 3_600.0, 86_400.0
START = 1_700_006_400.0
WINDOW: dict[str, Any] = {"start": START, "end": START + 24 * HOUR}
MONTH: dict[str, Any] = {"start": START, "end": START + 30 * DAY}
UNEVEN = [3e9, 5e9, 4e9, 8e9, 7e9, 7e9, 2e9, 1e9, 4e9, 3e9, 6e9, 9e9]


def line(amounts: Any, step: float = HOUR, start: float = START) -> list[tuple[float, float]]:
    """Give points a step apart, from what was spent in each step."""
    total = np.cumsum(amounts).tolist()
    return [(start + step * (place + 1), spent) for place, spent in enumerate(total)]


def given_by(found: Forecast) -> tuple[float, float, float, float]:
    """Give value, low, high and rate of a forecast that there is."""
    assert found.reason is None
    assert found.value is not None
    assert found.low is not None
    assert found.high is not None
    assert found.rate is not None
    return found.value, found.low, found.high, found.rate


def expected(amounts: list[float], ahead: float, level: float) -> tuple[float, float]:
    """Give estimate and half a width as the docstring has them, for periods of one second."""
    n, rate = len(amounts), sum(amounts) / len(amounts)
    off = [amount - rate for amount in amounts]
    squares = sum(each**2 for each in off)
    lag = sum(one * two for one, two in pairwise(off)) / squares
    r = min(max(lag + (1 + 3 * lag) / n, 0.0), 0.9)
    wider = (1 + r) / (1 - r)
    variance = squares / (n - 1) * wider * (ahead + ahead**2 / n)
    student = stats.t.ppf((1 + level) / 2, max(n / wider - 1, 1.0))
    return sum(amounts) + rate * ahead, student * math.sqrt(variance)


@pytest.mark.parametrize("amounts", [UNEVEN, sorted(UNEVEN), UNEVEN[::-1], [9e9, 0.0] * 6])
@pytest.mark.parametrize("level", [0.5, 0.8, 0.95])
@pytest.mark.parametrize("hours", [12, 18, 24, 120])
def test_it_is_a_line_with_students_interval_widened_by_autocorrelation(
    amounts: list[float], level: float, hours: int
) -> None:
    busy = [amount + 1.0 for amount in amounts]
    end = START + hours * HOUR
    found = forecast(line(busy), start=START, end=end, confidence=level)
    value, low, high, rate = given_by(found)
    estimate, half = expected(busy, hours - 12.0, level)
    assert value == pytest.approx(estimate)
    assert high == pytest.approx(estimate + half)
    assert low == pytest.approx(max(estimate - half, sum(busy)))
    assert rate == pytest.approx(sum(busy) / 12 / HOUR)
    assert found.n == 12


def test_spend_that_is_high_for_a_while_widens_the_interval() -> None:
    mixed = given_by(forecast(line([9e9, 1e9] * 6), **WINDOW))
    apart = given_by(forecast(line([1e9] * 6 + [9e9] * 6), **WINDOW))
    assert apart[0] == pytest.approx(mixed[0])
    assert apart[2] - apart[0] > 2.5 * (mixed[2] - mixed[0])


def test_what_never_varies_is_certain() -> None:
    value, low, high, rate = given_by(forecast(line([2.0**30] * 12), **WINDOW))
    assert value == low == high == 24 * 2.0**30
    assert rate == 2.0**30 / HOUR


def test_at_the_end_of_the_window_all_is_known() -> None:
    found = given_by(forecast(line(UNEVEN * 2), **WINDOW))
    assert found[:3] == (sum(UNEVEN) * 2,) * 3
    assert runs_out_in(line(UNEVEN * 2), 1e18, **WINDOW) == math.inf


# Points.


def test_what_is_spent_so_far_is_all_that_counts_between_two_ends_of_a_period() -> None:
    hourly = line(UNEVEN)
    every_second = [
        (time - HOUR + second, spent)
        for (time, after), spent in zip(hourly, [0.0, *[s for _, s in hourly]], strict=False)
        for second in (900.0, 1800.0, 2700.0)
    ]
    assert forecast(sorted(hourly + every_second), **WINDOW) == forecast(hourly, **WINDOW)


def test_a_period_is_no_shorter_than_the_spacing_of_the_points() -> None:
    eight = line([sum(pair) for pair in zip(UNEVEN[:8], UNEVEN[4:], strict=True)], 1.5 * HOUR)
    found = forecast(eight, **WINDOW)
    assert found.n == 8
    seven = line([1e9] * 7, 12 * HOUR / 7)
    assert forecast(seven, **WINDOW) == Forecast(
        n=7, reason="too little history: spend in 7 of at least 8 periods"
    )


def test_a_gap_between_the_points_is_one_long_increment() -> None:
    hourly = line([1e9] * 24)
    gap = [point for place, point in enumerate(hourly) if not 5 <= place < 10]
    found = forecast(gap, start=START, end=START + 48 * HOUR)
    value, low, high, _ = given_by(found)
    assert found.n == 10
    assert value == pytest.approx(48e9)
    assert low == pytest.approx(high)


def test_a_long_increment_may_scatter_more() -> None:
    lengths = [1, 1, 2, 1, 4, 1, 1, 1]
    ends = np.cumsum(lengths).tolist()
    points = [
        (START + HOUR * end, spent) for end, (_, spent) in zip(ends, line(UNEVEN[:8]), strict=True)
    ]
    rate = sum(UNEVEN[:8]) / 12
    off = [
        (each - rate * hours) / hours**0.5 for each, hours in zip(UNEVEN[:8], lengths, strict=True)
    ]
    lag = sum(one * two for one, two in pairwise(off)) / sum(each**2 for each in off)
    assert lag + (1 + 3 * lag) / 8 < 0.0
    half = stats.t.ppf(0.9, 7) * math.sqrt(sum(each**2 for each in off) / 7 * (12 + 12**2 / 12))
    value, _, high, _ = given_by(forecast(points, **WINDOW))
    assert value == pytest.approx(24 * rate)
    assert high == pytest.approx(24 * rate + half)


@pytest.mark.parametrize("offset", [0.0, 0.1, 1 / 3, 0.7])
@pytest.mark.parametrize("step", [100 / 7, 300.1, HOUR / 3, 7 * HOUR / 11])
def test_a_period_ends_with_a_point_that_is_there(offset: float, step: float) -> None:
    start = START + offset
    found = forecast(line(UNEVEN, step, start), start=start, end=start + 24 * step)
    assert found.n == 12
    expected_there = given_by(forecast(line(UNEVEN), **WINDOW))[:3]
    assert given_by(found)[:3] == pytest.approx(expected_there, rel=1e-6)
    assert given_by(found)[3] == pytest.approx(sum(UNEVEN) / 12 / step)


def test_charges_may_share_a_moment_and_the_last_of_them_counts() -> None:
    hourly = line(UNEVEN)
    twice = [(time, spent - 1e9) for time, spent in hourly]
    both = [point for pair in zip(twice, hourly, strict=True) for point in pair]
    assert forecast(both, **WINDOW) == forecast(hourly, **WINDOW)


def test_what_is_spent_in_the_first_moment_belongs_to_the_first_period() -> None:
    hourly = line(UNEVEN)
    assert forecast([(START, 2e9), *hourly], **WINDOW) == forecast(hourly, **WINDOW)
    assert forecast([(START, 0.0), *hourly], **WINDOW) == forecast(hourly, **WINDOW)


def test_points_may_be_of_numpy_and_of_whole_numbers() -> None:
    whole = [(int(time), int(spent)) for time, spent in line(UNEVEN)]
    many: Any = np.array(whole)
    assert forecast(many, **WINDOW) == forecast(whole, **WINDOW) == forecast(line(UNEVEN), **WINDOW)


spends = st.lists(st.integers(1, 10**6), min_size=12, max_size=60)


@given(spends, st.integers(1, 1000), st.integers(-10_000, 10_000), st.floats(1.05, 9.0))
def test_another_currency_and_another_time_change_nothing_else(
    amounts: list[int], price: int, days: int, length: float
) -> None:
    span = HOUR * len(amounts)
    one = given_by(forecast(line(amounts), start=START, end=START + span * length))
    later = START + DAY * days
    dear = line([price * amount for amount in amounts], start=later)
    two = given_by(forecast(dear, start=later, end=later + span * length))
    assert two == pytest.approx(tuple(price * each for each in one), rel=1e-6)


@given(spends, st.floats(1.0, 9.0), st.floats(0.05, 0.95))
def test_the_interval_holds_the_estimate_and_grows_with_the_confidence(
    amounts: list[int], length: float, level: float
) -> None:
    end = START + HOUR * len(amounts) * length
    wide = [
        given_by(forecast(line(amounts), start=START, end=end, confidence=each))
        for each in (level, (1.0 + level) / 2)
    ]
    for value, low, high, _ in wide:
        assert sum(amounts) <= low <= value <= high
    assert wide[1][1] <= wide[0][1]
    assert wide[0][2] <= wide[1][2]
    assert wide[0][0] == wide[1][0]


# Days.


def test_the_time_of_day_does_no_harm_once_eight_days_have_passed() -> None:
    profile = [1e9 + 0.9e9 * math.sin(hour / 12 * math.pi) for hour in range(24)]
    found = forecast(line(profile * 10), **MONTH)
    value, low, high, _ = given_by(found)
    assert found.n == 10
    assert (value, low, high) == pytest.approx((30 * 24e9,) * 3)
    early = given_by(forecast(line(profile * 7), **MONTH))
    assert early[0] == pytest.approx(30 * 24e9)
    assert early[2] > 1.02 * early[0]


@pytest.mark.parametrize(("days", "n"), [(8, 8), (11.9, 11), (23, 23), (24, 12), (29.5, 14)])
def test_periods_are_whole_days_counted_back_from_now(days: float, n: int) -> None:
    hours = round(24 * days)
    rising = line(range(1, hours + 1))
    found = forecast(rising, **MONTH)
    width = 24 * (2 if days >= 24 else 1)
    assert found.n == n
    of_days = (rising[-1][1] - ([0.0] + [s for _, s in rising])[hours - n * width]) / (n * width)
    assert given_by(found)[3] == pytest.approx(of_days / HOUR)


# Withheld.


@pytest.mark.parametrize("points", [[], line(UNEVEN, 719.0), [(START, 5e9)]])
def test_it_is_withheld_until_a_tenth_has_passed(points: Points) -> None:
    found = forecast(points, **WINDOW)
    assert found[:4] == (None,) * 4
    assert found.reason == "less than a tenth of the window has passed"


def test_a_tenth_is_enough() -> None:
    assert forecast(line(UNEVEN, 720.0), **WINDOW).reason is None


@pytest.mark.parametrize("busy", range(9))
def test_it_is_withheld_until_eight_periods_saw_spend(busy: int) -> None:
    amounts = [1e9] * busy + [0.0] * (12 - busy)
    reason = None if busy == 8 else f"too little history: spend in {busy} of at least 8 periods"
    for order in (amounts, amounts[::-1]):
        found = forecast(line(order), **WINDOW)
        assert (found.reason, found.n) == (reason, 12)
        assert (found.value is None) == (reason is not None)


# Refunds.


def test_refunds_may_make_spend_fall_and_the_forecast_is_never_below_what_is_spent() -> None:
    amounts = [9e9] + [-0.5e9] * 11
    value, low, high, rate = given_by(forecast(line(amounts), **WINDOW))
    assert rate == pytest.approx(sum(amounts) / 12 / HOUR)
    falling = line([9e9] * 3 + [-3e9] * 12)
    value, low, high, rate = given_by(forecast(falling, **WINDOW))
    assert rate < 0.0
    assert value == low == falling[-1][1]
    assert high > value
    assert runs_out_in(falling, 30e9, **WINDOW) == math.inf


# When a cap is reached.


@pytest.mark.parametrize(
    ("spent", "cap", "hours"),
    [(12, 23, 11.0), (12, 18, 6.0), (12, 12, 0.0), (12, 3, 0.0), (12, 24.1, math.inf)],
)
def test_the_cap_is_reached_at_the_rate_so_far(spent: int, cap: float, hours: float) -> None:
    found = runs_out_in(line([1e9] * spent), cap * 1e9, **WINDOW)
    assert found == pytest.approx(hours * HOUR)


def test_it_is_known_early_where_it_is_soon() -> None:
    early = line([5e9] * 12, 300.0)
    assert forecast(early, **WINDOW).reason is not None
    assert runs_out_in(early, 90e9, **WINDOW) == pytest.approx(1800.0)
    assert runs_out_in(early, 599e9, **WINDOW) == pytest.approx(HOUR * 539 / 60)
    assert runs_out_in(early, 601e9, **WINDOW) is None
    assert runs_out_in(early, 1e18, **WINDOW) is None


def test_with_few_charges_it_is_not_known() -> None:
    assert runs_out_in(line([1e9] * 7 + [0.0] * 5), 8e9, **WINDOW) is None
    assert runs_out_in(line([1e9] * 8 + [0.0] * 4), 10e9, **WINDOW) == pytest.approx(3 * HOUR)


def test_without_spend_it_is_never_or_too_early_to_say() -> None:
    assert runs_out_in(line([0.0] * 12), 1.0, **WINDOW) == math.inf
    assert runs_out_in([(START + 12 * HOUR, 0.0)], 1.0, **WINDOW) == math.inf
    assert runs_out_in(line([0.0] * 2), 1.0, **WINDOW) is None
    assert runs_out_in([], 1.0, **WINDOW) is None
    assert runs_out_in([], 0.0, **WINDOW) == 0.0


# Pacing.


@pytest.mark.parametrize(
    ("spent", "cap", "hours", "pace"),
    [
        (50, 100, 12, 1.0),
        (25, 100, 12, 0.5),
        (100, 100, 6, 4.0),
        (100, 100, 24, 1.0),
        (0, 100, 12, 0.0),
        (-5, 100, 12, -0.1),
        (0, 100, 0, 1.0),
        (1, 100, 0, math.inf),
        (0, 0, 12, 1.0),
        (1, 0, 12, math.inf),
        (-1, 0, 12, 1.0),
    ],
)
def test_pacing_compares_with_an_even_plan(
    spent: float, cap: float, hours: float, pace: float
) -> None:
    assert pacing(spent, cap, now=START + hours * HOUR, **WINDOW) == pytest.approx(pace)


# Bad input.

BAD_POINTS: list[Any] = [
    None,
    5,
    "spend",
    [5.0],
    [START + 1.0, 2.0, START + 2.0, 3.0],
    [(START + 1.0, 2.0, 3.0)],
    [(START + 1.0, 2.0), (START + 2.0,)],
    [(START + 1.0, None)],
    [(START + 1.0, math.nan)],
    [(math.nan, 1.0)],
    [(START + 1.0, math.inf)],
    [(START + 1.0, 10**400)],
    [(START + 2.0, 1.0), (START + 1.0, 2.0)],
    [(START - 1.0, 0.0)],
    [(START + 24 * HOUR + 1.0, 1.0)],
]


@pytest.mark.parametrize("points", BAD_POINTS)
def test_bad_points_are_refused(points: Any) -> None:
    words = "must be pairs of Unix seconds and nano-units, in the window and in the order of time"
    with pytest.raises(ConfigurationError, match=f"points = .*{words}"):
        forecast(points, **WINDOW)
    with pytest.raises(ConfigurationError, match=f"points = .*{words}"):
        runs_out_in(points, 1.0, **WINDOW)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"confidence": 1.0}, "confidence = 1.0: must be between 0 and 1, both excluded"),
        ({"confidence": "80 %"}, "confidence = '80 %': must be a number"),
        ({"start": math.nan}, "start = nan: must be a finite number"),
        ({"start": 1e12}, "start = 1000000000000.0: must be Unix seconds"),
        ({"end": START}, f"end = {START}: must be after start = {START}"),
        ({"end": None}, "end = None: must be a number"),
    ],
)
def test_bad_arguments_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        forecast([], **(WINDOW | options))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cap": -1.0}, "cap = -1.0: must be at least 0"),
        ({"cap": math.inf}, "cap = inf: must be a finite number"),
        ({"spent": math.nan}, "spent = nan: must be a finite number"),
        ({"now": START - 1}, f"now = {START - 1}: must be within the window, 1700006400 to 17"),
        ({"now": START + 25 * HOUR}, "must be within the window"),
        ({"start": START + 25 * HOUR}, "end = "),
    ],
)
def test_a_bad_plan_is_refused(options: dict[str, Any], message: str) -> None:
    plan = {"spent": 1.0, "cap": 1.0, "now": START + HOUR, **WINDOW}
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        pacing(**(plan | options))
    if "cap" in options:
        with pytest.raises(ConfigurationError, match=re.escape(message)):
            runs_out_in([], options["cap"], **WINDOW)
