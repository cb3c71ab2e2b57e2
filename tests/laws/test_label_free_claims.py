"""An estimate holds what it promises: its interval holds the metric that the rows turn out to have.

A simulation draws reference and current rows of one law, and counts how often an interval that is
given misses the realised metric: at most 7 % at 95 %, as in test_coverage.py. Scores are the true
chances, or any increasing function of them.
"""

from __future__ import annotations

import math
import zlib
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pytest
from scipy import stats

from mlguard.performance import Estimate
from mlguard.performance.expected import skewed_quantiles
from mlguard.stats.ranking import placements

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

Law: TypeAlias = "Callable[[np.random.Generator, int], Floats]"

CHANCE = 1e-5
slow = pytest.mark.slow

LAWS: dict[str, Law] = {
    "uniform": lambda rng, n: rng.random(n),
    "skewed": lambda rng, n: rng.beta(1.0, 3.0, n),
    "sure": lambda rng, n: rng.beta(0.2, 0.2, n),
    "unsure": lambda rng, n: rng.beta(5.0, 5.0, n),
    "rare": lambda rng, n: rng.beta(0.4, 6.0, n),
    "common": lambda rng, n: rng.beta(20.0, 1.5, n),
    "rounded": lambda rng, n: np.round(rng.beta(2.0, 3.0, n), 2),
    "clipped": lambda rng, n: np.clip(rng.normal(0.5, 0.2, n), 0.01, 0.99),
    "logistic": lambda rng, n: 1.0 / (1.0 + np.exp(rng.normal(2.0, 2.0, n))),
}


def at_most(share: float, runs: int) -> int:
    return int(stats.binom.ppf(1.0 - CHANCE, runs, share))


def realised(y: NDArray[np.bool_], score: Floats, threshold: float) -> dict[str, float]:
    said = score >= threshold
    hits, reached, positive, n = (
        int(each) for each in ((said & y).sum(), said.sum(), y.sum(), len(y))
    )
    chance = np.clip(np.where(y, score, 1.0 - score), 2.0**-52, 1.0)
    return {
        "accuracy": float((said == y).mean()),
        "precision": hits / reached if reached else math.nan,
        "recall": hits / positive if positive else math.nan,
        "f1": 2 * hits / (reached + positive) if reached + positive else math.nan,
        "brier": float(((score - y) ** 2).mean()),
        "log_loss": float(-np.log(chance).mean()),
        "roc_auc": float(placements(score, y)[y].mean()) if 0 < positive < n else math.nan,
    }


def check(
    law: str,
    sizes: tuple[int, int],
    runs: int,
    *,
    now: str = "",
    bent: bool = False,
    counted: bool = False,
    threshold: float = 0.5,
) -> None:
    """Assert for every metric how often its interval misses."""
    rng = np.random.default_rng(zlib.crc32(repr((law, sizes, now, bent)).encode()))
    missed: Counter[str] = Counter()
    for _ in range(runs):
        chances = LAWS[law](rng, sizes[0]), LAWS[now or law](rng, sizes[1])
        before, after = (rng.random(len(each)) < each for each in chances)
        old, new = (each / (each + 3.0 * (1.0 - each)) if bent else each for each in chances)
        estimate = Estimate.fit(before, old, threshold=threshold)
        if counted:
            found = estimate.estimate_counts(estimate.cells.count(new), most_outside=1.0)
        else:
            found = estimate.estimate(new, most_outside=1.0)
        for name, truth in realised(after, new, threshold).items():
            low, high = found[name].low, found[name].high
            if low is not None and high is not None and not math.isnan(truth):
                missed[name] += not low <= truth + 1e-12 or not truth - 1e-12 <= high
    most = at_most(0.07, runs)
    assert {name: count for name, count in missed.items() if count > most} == {}


QUICK = [("skewed", (500, 500)), ("rare", (2_000, 1_000)), ("unsure", (500, 5_000))]
SIZES = [(200, 200), (1_000, 1_000), (10_000, 200), (1_000, 20_000), (20_000, 20_000)]


@pytest.mark.parametrize(("law", "sizes"), QUICK)
def test_intervals_hold_the_realised_metric(law: str, sizes: tuple[int, int]) -> None:
    check(law, sizes, 120)


@slow
@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("law", LAWS)
def test_intervals_hold_for_every_law_and_size(law: str, sizes: tuple[int, int]) -> None:
    check(law, sizes, 600)


@slow
@pytest.mark.parametrize("law", LAWS)
def test_intervals_hold_for_scores_that_are_not_calibrated(law: str) -> None:
    check(law, (3_000, 3_000), 600, bent=True)


@slow
@pytest.mark.parametrize("law", ["uniform", "skewed", "sure", "logistic"])
def test_intervals_hold_for_counts(law: str) -> None:
    check(law, (3_000, 3_000), 600, counted=True)


@slow
@pytest.mark.parametrize("threshold", [0.1, 0.3, 0.9])
def test_intervals_hold_at_any_threshold(threshold: float) -> None:
    check("uniform", (2_000, 2_000), 600, threshold=threshold)


@pytest.mark.parametrize(
    ("law", "now", "runs"),
    [
        ("skewed", "uniform", 60),
        pytest.param("uniform", "skewed", 600, marks=slow),
        pytest.param("uniform", "sure", 600, marks=slow),
        pytest.param("skewed", "uniform", 600, marks=slow),
    ],
)
def test_intervals_hold_where_the_scores_have_moved(law: str, now: str, runs: int) -> None:
    check(law, (5_000, 5_000), runs, now=now)


@pytest.mark.parametrize(
    ("wrong", "runs"),
    [(0.3, 60), *(pytest.param(each, 600, marks=slow) for each in (0.02, 0.1, 0.3))],
)
def test_the_log_loss_holds_where_scores_of_zero_and_one_are_wrong_at_times(
    wrong: float, runs: int
) -> None:
    rng = np.random.default_rng(6)

    def drawn() -> tuple[NDArray[np.bool_], Floats]:
        score = rng.beta(2.0, 3.0, 10_000)
        sure = rng.random(len(score)) < 0.01
        score = np.where(sure, np.rint(score), score)
        return rng.random(len(score)) < np.where(sure, np.abs(score - wrong), score), score

    missed = 0
    for _ in range(runs):
        estimate = Estimate.fit(*drawn())
        y, score = drawn()
        found: Any = estimate.estimate(score)["log_loss"]
        missed += not found.low <= realised(y, score, 0.5)["log_loss"] <= found.high
    assert missed <= at_most(0.09, runs)


# The Poisson-binomial law, by convolution.


def convolved(chances: Floats) -> Floats:
    """Give the probability of each number of events among rows of these chances."""
    law = np.ones(1)
    for chance in chances:
        law = np.convolve(law, [1.0 - chance, chance])
    return law


@pytest.mark.parametrize("n", [5, 20, 60, 200])
@pytest.mark.parametrize("most", [0.05, 0.3, 0.95])
def test_with_known_rates_the_interval_is_that_of_the_poisson_binomial_law(
    n: int, most: float
) -> None:
    rng = np.random.default_rng(n)
    levels = np.round(np.linspace(0.02, most, 12), 3)
    reference = np.repeat(levels, 1_000)
    y = np.arange(len(reference)) % 1_000 < np.rint(1_000.0 * reference)
    estimate = Estimate.fit(y, reference, threshold=0.01)
    for _ in range(10):
        estimate += estimate
    score = rng.choice(levels, n)
    law = convolved(score)
    for confidence in (0.8, 0.95, 0.99):
        found: Any = estimate.estimate(score, confidence=confidence)["precision"]
        low, high = round(found.low * n), round(found.high * n)
        tail = (1.0 - confidence) / 2.0
        total = np.cumsum(law)
        exact = np.searchsorted(total, tail), np.searchsorted(total, 1.0 - tail)
        assert abs(low - exact[0]) <= 1
        assert abs(high - exact[1]) <= 1
        assert law[low : high + 1].sum() >= confidence - 0.015
        assert found.value == pytest.approx(float(score.mean()), abs=1e-5)


@pytest.mark.parametrize("skewness", [-1.5, -0.3, 0.0, 0.1, 0.7, 1.5])
def test_the_quantiles_are_those_of_pearsons_type_three_law(skewness: float) -> None:
    z = np.linspace(-2.5, 2.5, 11)
    found = skewed_quantiles(z, 5.0, 4.0, 8.0 * skewness)
    exact = stats.pearson3(skewness, 5.0, 2.0).ppf(stats.norm.cdf(z))
    assert found == pytest.approx(exact, abs=0.1)
    assert (np.diff(found) >= 0.0).all()


# A loss model.


@pytest.mark.parametrize(
    ("sizes", "runs"),
    [((500, 500), 300), *(pytest.param(size, 3_000, marks=slow) for size in SIZES)],
)
def test_the_interval_of_a_loss_model_holds_the_realised_loss(
    sizes: tuple[int, int], runs: int
) -> None:
    rng = np.random.default_rng(sizes[0])
    missed = 0
    for _ in range(runs):
        before, after = (rng.uniform(1.0, 5.0, n) for n in sizes)
        loss, truth = (np.abs(each * rng.standard_normal(len(each))) for each in (before, after))
        found = Estimate.of_loss(loss, 0.7 * before).estimate(0.7 * after, most_outside=1.0)["loss"]
        assert found.low is not None
        assert found.high is not None
        missed += not found.low <= float(truth.mean()) <= found.high
    assert missed <= at_most(0.07, runs)
