"""What bets on a difference of means promise, by simulation: seldom wrong at any number of looks."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import stats

from mlguard.stats.betting import Bets, Sums

ALPHA = 0.05
LIMIT = math.log(1.0 / ALPHA)
NEVER = math.inf

Draw = Callable[[np.random.Generator, int, float], Any]
Rate = Callable[[float], float]


def beta(rng: np.random.Generator, n: int, mean: float) -> Any:
    return rng.beta(10.0 * mean, 10.0 * (1.0 - mean), n)


def two_points(rng: np.random.Generator, n: int, mean: float) -> Any:
    return rng.uniform(size=n) < mean


def skewed(rng: np.random.Generator, n: int, mean: float) -> Any:
    return rng.beta(0.3, 0.3 * (1.0 - mean) / mean, n)


def uniform(rng: np.random.Generator, n: int, mean: float) -> Any:
    return rng.uniform(mean - 0.45, mean + 0.45, n)


def steady(value: float) -> Rate:
    return lambda _: value


def drifting(where: float) -> float:
    return 0.25 * math.exp(math.log(2.7) * math.sin(9.0 * where))


def jumping(where: float) -> float:
    return 0.1 + 0.8 * ((where * 7919.0) % 1.0)


def ramp(where: float) -> float:
    return (0.01, 0.05, 0.25, 0.5)[min(int(4 * where), 3)]


def rising(where: float) -> float:
    return 0.1 + 0.3 * where


def ruled_out(
    rng: np.random.Generator,
    draw: Draw,
    mean: Rate,
    share: Rate,
    *,
    by: float = 0.0,
    claimed: float | None = None,
    requests: int = 10_000,
    look: int = 100,
) -> tuple[float, float, float]:
    """Give after how many requests a difference is ruled out, for canaries with another mean.

    From below, from above, and by the interval.
    """
    difference = by if claimed is None else claimed
    bets, found = Bets.none(), np.full(3, NEVER)
    for seen in range(look, requests + 1, look):
        where = seen / requests
        n = int(rng.binomial(look, share(where)))
        canary, baseline = draw(rng, n, mean(where) + by), draw(rng, look - n, mean(where))
        bets = bets.after(bets.sums(canary), bets.sums(baseline))
        above, below = bets.above(difference), bets.below(difference)
        out = np.array([above, below, max(above, below) - math.log(2.0)]) >= LIMIT
        found = np.where(out, np.minimum(found, seen), found)
    return float(found[0]), float(found[1]), float(found[2])


def many(runs: int, seed: int, *args: Any, **more: Any) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.array([ruled_out(rng, *args, **more) for _ in range(runs)])


def at_most(count: int, n: int, share: float) -> bool:
    """Tell whether a share is no larger than claimed, but for chance of one in a thousand."""
    return bool(count <= stats.binom.ppf(0.999, n, share))


CASES: dict[str, tuple[Draw, Rate, Rate]] = {
    "beta": (beta, steady(0.2), steady(0.5)),
    "beta, a tenth": (beta, steady(0.2), steady(0.1)),
    "two points": (two_points, steady(0.4), steady(0.5)),
    "two points, a tenth": (two_points, steady(0.4), steady(0.1)),
    "two points, rare": (two_points, steady(0.01), steady(0.5)),
    "skewed": (skewed, steady(0.05), steady(0.5)),
    "skewed, a tenth": (skewed, steady(0.05), steady(0.1)),
    "beta, drifting": (beta, drifting, steady(0.5)),
    "beta, drifting, a tenth": (beta, drifting, steady(0.1)),
    "two points, jumping": (two_points, jumping, steady(0.5)),
    "skewed, rising on a ramp": (skewed, rising, ramp),
}


@pytest.mark.parametrize("case", ["two points, a tenth", "skewed, rising on a ramp"])
def test_a_true_difference_is_seldom_ruled_out(case: str) -> None:
    found = many(100, 1, *CASES[case])
    for times in found.T:
        assert at_most(int(np.isfinite(times).sum()), 100, ALPHA)


@pytest.mark.slow
@pytest.mark.parametrize("by", [0.0, 0.02])
@pytest.mark.parametrize("case", CASES)
def test_a_true_difference_is_ruled_out_in_at_most_alpha(case: str, by: float) -> None:
    """Harm of equal arms, safety at the margin itself, and an interval over all looks."""
    found = many(600, 2, *CASES[case], by=by)
    for times in found.T:
        assert at_most(int(np.isfinite(times).sum()), 600, ALPHA)


@pytest.mark.slow
def test_a_look_after_every_other_request_costs_no_more() -> None:
    found = many(300, 3, two_points, steady(0.3), steady(0.5), requests=2_000, look=2)
    for times in found.T:
        assert at_most(int(np.isfinite(times).sum()), 300, ALPHA)


@pytest.mark.parametrize(
    ("draw", "mean", "deviation"),
    [
        pytest.param(uniform, 0.5, 0.9 / math.sqrt(12.0), id="uniform"),
        pytest.param(beta, 0.2, math.sqrt(0.16 / 11.0), id="beta"),
    ],
)
def test_a_small_difference_is_found_within_3_times_what_one_look_needs(
    draw: Draw, mean: float, deviation: float
) -> None:
    """One look: a one-sided z-test of 80 % power, here for 0.05 standard deviations."""
    quantiles = stats.norm.ppf(1.0 - ALPHA) + stats.norm.ppf(0.8)
    needed = 4.0 * (quantiles / 0.05) ** 2
    found = many(
        40,
        4,
        draw,
        steady(mean),
        steady(0.5),
        by=0.05 * deviation,
        claimed=0.0,
        requests=60_000,
        look=600,
    )
    assert np.median(found[:, 0]) <= 3.0 * needed
    assert np.isinf(found[:, 1]).all()


def test_equal_canaries_are_proven_safe() -> None:
    """By 0.2 standard deviations, within 3 times what a z-test of 80 % power needs."""
    found = many(40, 5, beta, steady(0.2), steady(0.5), claimed=0.2 * math.sqrt(0.16 / 11.0))
    assert np.median(found[:, 1]) <= 3.0 * 620


def average_left_out(rng: np.random.Generator) -> bool:
    """Tell whether rates that differ now this way, now that, ever leave their average out."""
    bets, total, pairs = Bets.none(), 0.0, 0
    for place in range(200):
        level, by = rng.uniform(0.3, 0.7), 0.3 * math.sin(place / 20.0)
        n = int(rng.integers(5, 80))
        canary = Sums.of_events(int(rng.binomial(n, level + by)), n)
        baseline = Sums.of_events(int(rng.binomial(100 - n, level)), 100 - n)
        bets = bets.after(canary, baseline)
        total, pairs = total + min(n, 100 - n) * by, pairs + min(n, 100 - n)
        low, high = bets.interval(ALPHA)
        if not low <= total / pairs <= high:
            return True
    return False


@pytest.mark.parametrize(
    "runs", [pytest.param(60, id="few"), pytest.param(600, id="many", marks=pytest.mark.slow)]
)
def test_the_interval_is_for_the_average_of_differences_that_change(runs: int) -> None:
    rng = np.random.default_rng(6)
    assert at_most(sum(average_left_out(rng) for _ in range(runs)), runs, ALPHA)


def wrong(rng: np.random.Generator) -> bool:
    """Tell whether equal arms are ever told apart by either test, on a treacherous rollout.

    The level sweeps within each interval while requests are dealt to arms at random, and the
    share follows the evidence: up while it is good, down while it is bad.
    """
    bets, share = Bets.none(), 0.1
    for _ in range(100):
        levels = rng.uniform() + (rng.uniform() - 0.5) * np.linspace(-1.0, 1.0, 60)
        values = rng.uniform(size=60) < levels
        canary = rng.uniform(size=60) < share
        bets = bets.after(bets.sums(values[canary]), bets.sums(values[~canary]))
        if max(bets.above(0.0), bets.below(0.0)) >= LIMIT + math.log(2.0):
            return True
        share = min(max(share * (0.8 if bets.lead > 0.0 else 1.25), 0.02), 0.5)
    return False


@pytest.mark.parametrize(
    "runs", [pytest.param(60, id="few"), pytest.param(1_000, id="many", marks=pytest.mark.slow)]
)
def test_neither_a_moving_level_nor_a_share_that_follows_the_evidence_misleads(runs: int) -> None:
    rng = np.random.default_rng(8)
    assert at_most(sum(wrong(rng) for _ in range(runs)), runs, ALPHA)


def test_rates_of_millions_need_no_more_than_their_counts() -> None:
    rng, bets = np.random.default_rng(7), Bets.none()
    for _ in range(50):
        level = rng.uniform(0.005, 0.02)
        canary = Sums.of_events(int(rng.binomial(10**5, level + 0.001)), 10**5)
        bets = bets.after(canary, Sums.of_events(int(rng.binomial(10**6, level)), 10**6))
    low, high = bets.interval(ALPHA)
    assert low < 0.001 < high
    assert high - low < 0.001
