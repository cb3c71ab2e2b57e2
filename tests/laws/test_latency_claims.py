"""What latency budgets promise: intervals that cover, breaches that are seldom false.

A breach depends on the number of requests over the limit alone, which is binomial, so that its
chance is added up exactly: real budgets say which numbers breach. The rest is simulated. There a
limit on a rate leaves room for chance: a true rate at the limit fails once in 10,000 seeds.
"""

from __future__ import annotations

import math
import zlib
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pytest
from scipy import special, stats

from mlguard import LatencyBudget, Severity
from mlguard.testing import ManualClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]
    Quantiles: TypeAlias = Callable[[Floats], Floats]

slow = pytest.mark.slow
CHANCE = 1e-4
LEVELS = (0.5, 0.95, 0.99)
SIZES = [368, 369, 500, 1000, 1001, 3000, 10_000, 30_000, 100_000]
SLOTS = 4
FAST = 0.005
THREE = {0.5: 0.010, 0.95: 0.020, 0.99: 0.050}


def at_most(share: float, runs: int) -> int:
    return int(stats.binom.ppf(1.0 - CHANCE, runs, share))


def at_least(share: float, runs: int) -> int:
    return int(stats.binom.ppf(CHANCE, runs, share))


def generator(*seed: object) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(repr(seed).encode()))


# Exactly, by the number of requests over a limit.


def seen(over: int, n: int, limit: float, limits: dict[float, float], **more: Any) -> LatencyBudget:
    """Make a budget that saw n requests, so many of which were a hair over a limit."""
    budget = LatencyBudget(limits, clock=ManualClock(), **more)
    budget.observe_many(np.repeat([FAST, math.nextafter(limit, math.inf)], [n - over, over]))
    return budget


def first(holds: Callable[[int], bool], n: int) -> int:
    """Give the first of 0 to n for which a condition holds that then holds for ever."""
    low, high = -1, n
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    near = range(max(0, high - 6), min(n, high + 6) + 1)
    assert [holds(each) for each in near] == [each >= high for each in near]
    return high


def least_over(
    n: int, q: float, limits: dict[float, float], severity: Severity, **more: Any
) -> int:
    """Give the fewest requests over the limit of q, and no higher one, of at least a severity."""
    return first(lambda over: seen(over, n, limits[q], limits, **more)().high >= severity, n)


@pytest.mark.parametrize("alpha", [0.001, 0.1])
@pytest.mark.parametrize("limits", [*({q: 0.050} for q in LEVELS), THREE])
@pytest.mark.parametrize("n", SIZES)
def test_a_service_exactly_at_its_limits_breaches_with_a_chance_of_at_most_alpha(
    n: int, limits: dict[float, float], alpha: float
) -> None:
    chances = []
    for q in limits:
        over = least_over(n, q, limits, Severity.BREACH, alpha=alpha)
        allowed = min(0.025, alpha / len(limits))  # so seldom is the low end of the interval wrong
        chances.append(stats.binom.sf(over - 1, n, 1.0 - q))
        assert chances[-1] <= allowed < stats.binom.sf(over - 2, n, 1.0 - q)
    assert sum(chances) <= alpha


@pytest.mark.parametrize("n", [368, pytest.param(1000, marks=slow), pytest.param(4000, marks=slow)])
@pytest.mark.parametrize("q", LEVELS)
def test_of_all_numbers_over_the_limit_those_from_one_on_breach(n: int, q: float) -> None:
    edge = least_over(n, q, {q: 0.050}, Severity.BREACH)
    for over in range(n + 1):
        verdict = seen(over, n, 0.050, {q: 0.050})()
        assert (verdict.severity is Severity.BREACH) == (over >= edge), over


@pytest.mark.parametrize("n", SIZES)
def test_a_service_exactly_at_its_limit_is_proven_ok_with_a_chance_of_at_most_a_fortieth(
    n: int,
) -> None:
    for q in LEVELS:
        over = least_over(n, q, {q: 0.050}, Severity.WARN, rule="proven")
        assert 0.0 < stats.binom.cdf(over - 1, n, 1.0 - q) <= 0.025


@pytest.mark.parametrize("q", LEVELS)
@pytest.mark.parametrize("n", SIZES)
def test_each_end_of_the_interval_is_wrong_with_a_chance_of_at_most_a_fortieth(
    n: int, q: float
) -> None:
    def ends(below: int) -> tuple[float, float]:
        """Give the interval where so many requests lie below the true quantile, 10 ms."""
        measurement = seen(n - below, n, 0.010, {q: 0.010}).measure(q)
        assert measurement.low is not None
        assert measurement.high is not None
        return measurement.low, measurement.high

    right = first(lambda below: ends(below)[0] <= 0.010, n)
    wrong = first(lambda below: ends(below)[1] < 0.010, n)
    for chance in (stats.binom.cdf(right - 1, n, q), stats.binom.sf(wrong - 1, n, q)):
        assert 0.0 < chance <= 0.025


# By simulation.


def lognormal(u: Floats, sigma: float = 0.5) -> Floats:
    return np.asarray(0.010 * np.exp(sigma * special.ndtri(u)))


KINDS: dict[str, Quantiles] = {
    "lognormal": lognormal,
    "Pareto": lambda u: np.asarray(0.010 * (1.0 - u) ** (-1.0 / 1.1)),
    "bimodal": lambda u: np.where(u <= 0.98, 0.010, 0.500) * (1.0 + u),
    "constant": lambda u: np.full(len(u), 0.030),
    "ties": lambda u: np.ceil(lognormal(u) / 0.005) * 0.005,
}
"""Distributions by their quantile function, so that the true quantiles are known."""


def true(kind: Quantiles, q: float) -> float:
    return float(kind(np.array([q]))[0])


def windows(
    rng: np.random.Generator, kind: Quantiles, n: int, runs: int, *limits: Any, **more: Any
) -> Iterator[LatencyBudget]:
    """Give a budget whenever the n requests of its window are all new, slot by slot."""
    clock = ManualClock()
    budget = LatencyBudget(*limits, window=SLOTS, slots=SLOTS, clock=clock, **more)
    for _ in range(runs):
        for part in np.array_split(kind(rng.random(n)), SLOTS):
            clock.advance(1.0)
            budget.observe_many(part)
        yield budget


@pytest.mark.parametrize("runs", [100, pytest.param(2000, marks=slow)])
@pytest.mark.parametrize("n", [368, 1000, 4000])
@pytest.mark.parametrize("name", KINDS)
def test_the_interval_covers_the_true_quantile(name: str, n: int, runs: int) -> None:
    """The limit lies at the p99 or just beside it, where it sharpens the ends."""
    kind, covered = KINDS[name], dict.fromkeys(LEVELS, 0)
    for off in (0.998, 1.0, 1.002):
        limits = {0.99: off * true(kind, 0.99)}
        for budget in windows(generator("cover", name, n, off), kind, n, runs, limits):
            for q in LEVELS:
                measurement = budget.measure(q)
                assert measurement.n == n
                assert measurement.low is not None
                assert measurement.high is not None
                covered[q] += measurement.low <= true(kind, q) <= measurement.high
    least = at_least(0.95, 3 * runs)
    assert all(count >= least for count in covered.values()), covered


@pytest.mark.parametrize("runs", [300, pytest.param(10_000, marks=slow)])
@pytest.mark.parametrize("alpha", [0.001, 0.05])
@pytest.mark.parametrize("levels", [(0.99,), LEVELS])
@pytest.mark.parametrize("n", [368, 4000])
def test_a_service_exactly_at_its_limits_breaches_in_at_most_alpha_of_windows(
    n: int, levels: tuple[float, ...], alpha: float, runs: int
) -> None:
    rng, limits = generator("at", n, levels, alpha), {q: true(lognormal, q) for q in levels}
    found = sum(
        budget().severity is Severity.BREACH
        for budget in windows(rng, lognormal, n, runs, limits, alpha=alpha)
    )
    assert found <= at_most(alpha, runs)


@pytest.mark.parametrize("runs", [100, pytest.param(2000, marks=slow)])
@pytest.mark.parametrize(("sigma", "share"), [(0.5, 0.999), (1.0, 0.999), (2.0, 0.75)])
def test_a_service_half_again_as_slow_as_its_limit_breaches_in_most_windows(
    sigma: float, share: float, runs: int
) -> None:
    def kind(u: Floats) -> Floats:
        return lognormal(u, sigma)

    rng, limits = generator("slow", sigma), {0.99: true(kind, 0.99) / 1.5}
    found = [budget().severity for budget in windows(rng, kind, 4000, runs, limits)]
    assert found.count(Severity.BREACH) >= at_least(share, runs)
    assert found.count(Severity.OK) <= at_most(0.001, runs)


@pytest.mark.parametrize("runs", [200, pytest.param(4000, marks=slow)])
@pytest.mark.parametrize("n", [368, 1000, 4000])
def test_the_proven_rule_passes_what_is_well_within_its_limit_and_hardly_what_is_at_it(
    n: int, runs: int
) -> None:
    passed = []
    for times in (1.0, 3.0):
        rng, limits = generator("proven", n, times), {0.99: times * true(lognormal, 0.99)}
        budgets = windows(rng, lognormal, n, runs, limits, rule="proven")
        passed.append(sum(budget().severity is Severity.OK for budget in budgets))
    assert passed[0] <= at_most(0.025, runs)
    assert passed[1] >= at_least(0.95, runs)
