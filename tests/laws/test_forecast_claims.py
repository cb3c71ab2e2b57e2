"""What forecasts of spend and unit costs promise: intervals that cover, breaches seldom false.

All of it is simulated. A limit on a rate leaves room for chance: a true rate at the limit fails
once in 10,000 seeds.
"""

from __future__ import annotations

import math
import zlib
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pytest
from scipy import signal, stats

from mlguard import Severity
from mlguard.budgets.forecast import forecast
from mlguard.budgets.money import Money
from mlguard.budgets.unit_cost import UnitCost
from mlguard.testing import ManualClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]
    Draw: TypeAlias = Callable[[np.random.Generator, int], tuple[Floats, Floats]]

slow = pytest.mark.slow
CHANCE = 1e-4
START = 1_700_006_400.0
HOUR, DAY = 3_600.0, 86_400.0


def at_most(share: float, runs: int) -> int:
    return int(stats.binom.ppf(1.0 - CHANCE, runs, share))


def at_least(share: float, runs: int) -> int:
    return int(stats.binom.ppf(CHANCE, runs, share))


def generator(*seed: object) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(repr(seed).encode()))


# Forecasts.

SIZES: dict[str, Callable[[np.random.Generator, int], Floats]] = {
    "alike": lambda _, n: np.ones(n),
    "exponential": lambda rng, n: rng.exponential(1.0, n),
    "lognormal": lambda rng, n: rng.lognormal(0.0, 1.0, n),
    "heavy": lambda rng, n: rng.lognormal(0.0, 1.5, n),
}


def judged(
    times: Floats, amounts: Floats, share: float, length: float, confidence: float
) -> tuple[bool, bool] | None:
    """Tell whether the forecast, where it is given, covers the end and whether it ends above it."""
    spent = np.append(0.0, np.cumsum(amounts))
    known = int(np.searchsorted(times, share * length, side="right"))
    moments = START + np.append(times[:known], share * length)
    points: Any = np.column_stack([moments, np.append(spent[1 : known + 1], spent[known])])
    found = forecast(points, start=START, end=START + length, confidence=confidence)
    if found.low is None or found.high is None:
        return None
    return found.low <= spent[-1] <= found.high, spent[-1] > found.high


def check(
    draw: Callable[[], tuple[Floats, Floats]],
    share: float,
    runs: int,
    least: float,
    *,
    length: float = 30 * DAY,
    confidence: float = 0.8,
) -> None:
    found = [judged(*draw(), share, length, confidence) for _ in range(runs)]
    given = [each for each in found if each is not None]
    assert len(given) > runs / 4
    covered = sum(covers for covers, _ in given)
    assert covered >= at_least(least, len(given)), f"{covered} of {len(given)} cover"


@pytest.mark.parametrize("runs", [200, pytest.param(3000, marks=slow)])
@pytest.mark.parametrize(
    ("size", "so_far", "share", "least"),
    [
        ("exponential", 10, 0.1, 0.8),
        ("exponential", 30, 0.1, 0.8),
        ("exponential", 30, 0.3, 0.8),
        ("exponential", 1000, 0.1, 0.8),
        ("exponential", 1000, 0.6, 0.8),
        ("exponential", 10_000, 0.25, 0.8),
        ("alike", 30, 0.1, 0.8),
        ("lognormal", 30, 0.1, 0.78),
        ("lognormal", 300, 0.5, 0.78),
        ("heavy", 30, 0.1, 0.74),
        ("heavy", 300, 0.25, 0.75),
    ],
)
def test_the_forecast_of_a_steady_rate_covers(
    size: str, so_far: int, share: float, least: float, runs: int
) -> None:
    rng = generator("steady", size, so_far, share)

    def draw() -> tuple[Floats, Floats]:
        n = int(rng.poisson(so_far / share))
        return np.sort(rng.uniform(0.0, 30 * DAY, n)), SIZES[size](rng, n)

    check(draw, share, runs, least)


@pytest.mark.parametrize("runs", [200, pytest.param(3000, marks=slow)])
@pytest.mark.parametrize("confidence", [0.5, 0.95])
def test_it_covers_at_other_levels(confidence: float, runs: int) -> None:
    rng = generator("level", confidence)

    def draw() -> tuple[Floats, Floats]:
        n = int(rng.poisson(1000))
        return np.sort(rng.uniform(0.0, DAY, n)), rng.exponential(1.0, n)

    check(draw, 0.3, runs, confidence - 0.01, length=DAY, confidence=confidence)


STEPS = 1000


@pytest.mark.parametrize("runs", [200, pytest.param(3000, marks=slow)])
@pytest.mark.parametrize(
    ("charges", "memory", "share"),
    [(20_000, 0.05, 0.1), (20_000, 0.1, 0.1), (1000, 0.1, 0.1), (20_000, 0.1, 0.5), (500, 0.1, 0.8)],
)  # fmt: skip
def test_the_forecast_of_a_rate_that_drifts_covers(
    charges: int, memory: float, share: float, runs: int
) -> None:
    """Its logarithm is an AR(1) process of a deviation of a half, its memory a part of the past."""
    rng = generator("drift", charges, memory, share)
    keep = math.exp(-1.0 / (memory * share * STEPS))

    def draw() -> tuple[Floats, Floats]:
        noise = 0.5 * math.sqrt(1.0 - keep**2) * rng.standard_normal(STEPS + 1)
        noise[0] = 0.5 * rng.standard_normal()
        rate = np.exp(signal.lfilter([1.0], [1.0, -keep], noise)[1:])
        counts = rng.poisson(charges / STEPS * rate)
        ends = np.arange(1.0, STEPS + 1.0) * DAY / STEPS
        return ends, np.where(counts, rng.gamma(np.maximum(counts, 1)), 0.0)

    check(draw, share, runs, 0.75, length=DAY)


def of_a_day(rng: np.random.Generator, days: int, a_day: int = 500) -> tuple[Floats, Floats]:
    """Draw charges that are nine times as many in the afternoon as in the night."""
    n = int(rng.poisson(1.8 * a_day * days))
    times = np.sort(rng.uniform(0.0, days * DAY, n))
    busy = 1.0 - 0.8 * np.cos(2.0 * math.pi * (times / DAY - 2 / 24))
    times = times[1.8 * rng.random(n) < busy]
    return times, rng.exponential(1.0, len(times))


@pytest.mark.parametrize("days", [9, 15, 25])
def test_the_time_of_day_is_harmless_in_a_month_after_eight_days(days: int) -> None:
    rng = generator("month", days)
    check(lambda: of_a_day(rng, 30), days / 30, 100, 0.8)


@pytest.mark.parametrize(("share", "length"), [(0.2, 7), (0.5, 7), (0.15, 30)])
def test_before_and_in_a_week_it_makes_the_interval_too_wide(share: float, length: int) -> None:
    rng = generator("week", share)
    check(lambda: of_a_day(rng, length), share, 100, 0.97, length=length * DAY)


def test_in_a_window_of_a_day_it_makes_the_forecast_wrong() -> None:
    rng = generator("day")
    found = [judged(*of_a_day(rng, 1, 3000), 0.25, DAY, 0.8) for _ in range(100)]
    covered = [each[0] for each in found if each is not None]
    assert len(covered) == 100
    assert sum(covered) <= at_most(0.05, 100)


# Unit costs.


def calls(sigma: float) -> Draw:
    """Make calls whose tokens are lognormal, with a mean cost of 10,000 nanos or so."""
    scale = 10_000.0 * math.exp(-(sigma**2) / 2.0)
    return lambda rng, m: (scale * rng.lognormal(0.0, sigma, m), np.ones(m))


def batches(sigma: float, size: int, spread: float) -> Draw:
    def draw(rng: np.random.Generator, m: int) -> tuple[Floats, Floats]:
        n = np.ceil(size * rng.lognormal(0.0, spread, m)).astype(int)
        cost, _ = calls(sigma)(rng, int(n.sum()))
        return np.add.reduceat(cost, np.append(0, np.cumsum(n)[:-1])), n

    return draw


def hours(spread: float) -> Draw:
    """Make hours of a fleet that cost the same whatever they served."""
    mean = math.exp(-(spread**2) / 2.0)
    return lambda rng, m: (np.full(m, 1e9), 1e5 * mean * rng.lognormal(0.0, spread, m))


CELLS: list[tuple[str, Draw, int, float]] = [
    ("tokens with a sigma of 0.5", calls(0.5), 1000, 0.94),
    ("tokens with a sigma of 1", calls(1.0), 1000, 0.94),
    ("tokens with a sigma of 1.5", calls(1.5), 1000, 0.94),
    ("batches", batches(1.0, 250, 0.3), 8, 0.95),
    ("batches of all sizes", batches(1.0, 250, 1.0), 12, 0.94),
    ("heavy batches", batches(1.5, 250, 0.3), 8, 0.95),
    ("even hours", hours(0.2), 8, 0.95),
    ("uneven hours", hours(1.0), 12, 0.94),
    ("a week of hours", hours(0.5), 168, 0.94),
]


def meters(rng: np.random.Generator, draw: Draw, m: int, runs: int) -> Iterator[UnitCost]:
    """Give meters of a service exactly at its limit."""
    clock = ManualClock()
    for _ in range(runs):
        cost = UnitCost("10 USD", clock=clock)
        nanos, n = (np.rint(each).astype(int).tolist() for each in draw(rng, m))
        for each, count in zip(nanos, n, strict=True):
            cost.observe(Money.of_nanos(each, "USD"), count)
        yield cost


@pytest.mark.parametrize("runs", [150, pytest.param(3000, marks=slow)])
@pytest.mark.parametrize(
    ("draw", "m", "least"), [cell[1:] for cell in CELLS], ids=[cell[0] for cell in CELLS]
)
def test_the_interval_of_a_unit_cost_covers_and_at_its_limit_it_seldom_breaches(
    draw: Any, m: int, least: float, runs: int
) -> None:
    rng, covered, breaches = generator("unit", m, least), 0, 0
    for cost in meters(rng, draw, m, runs):
        found = cost.measure()
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= 10.0 <= found.high
        breaches += cost().severity is Severity.BREACH
    assert covered >= at_least(least, runs)
    assert breaches <= at_most(0.025, runs)


@pytest.mark.parametrize("runs", [100, pytest.param(1000, marks=slow)])
def test_what_costs_a_quarter_more_than_its_limit_is_found(runs: int) -> None:
    def dear(rng: np.random.Generator, m: int) -> tuple[Floats, Floats]:
        nanos, n = calls(1.0)(rng, m)
        return 1.25 * nanos, n

    found = [cost().severity for cost in meters(generator("dear"), dear, 1000, runs)]
    assert found.count(Severity.BREACH) >= at_least(0.95, runs)
    assert found.count(Severity.OK) == 0


@pytest.mark.parametrize("runs", [30, pytest.param(300, marks=slow)])
def test_at_its_limit_and_asked_a_hundred_times_while_it_grows_tenfold_few_breach(
    runs: int,
) -> None:
    rng, found, clock = generator("again"), 0, ManualClock()
    for _ in range(runs):
        cost = UnitCost("10 USD", clock=clock)
        severities = []
        for number, nanos in enumerate(np.rint(calls(1.0)(rng, 10_000)[0]).astype(int).tolist(), 1):
            cost.observe(Money.of_nanos(nanos, "USD"))
            if not number % 100:
                severities.append(cost().severity)
        found += Severity.BREACH in severities
    assert found <= at_most(0.12, runs)
