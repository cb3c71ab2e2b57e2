"""The intervals hold what they promise: by enumeration where that is possible, else by simulation.

A simulation counts how often an interval is given and misses the truth. It may do so in 7 % of
samples at 95 %; where the sample tells enough it must do so in 3 %, or it would be needlessly
wide. Both limits leave room for chance: a true rate at the limit fails once in 100,000 seeds.
"""

from __future__ import annotations

import math
import zlib
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pytest
from scipy import special, stats

from mlguard import Severity, guard
from mlguard.performance import Metric, compare, evaluate, not_worse
from mlguard.stats.intervals import proportion_interval

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from mlguard import Measurement

    Floats = NDArray[np.float64]

Sample: TypeAlias = "Callable[[np.random.Generator, int], Measurement]"
"""Draws that many rows and measures them."""

CHANCE = 1e-5
slow = pytest.mark.slow


def at_most(share: float, runs: int) -> int:
    """Give the count that a true share exceeds once in 100,000 seeds."""
    return int(stats.binom.ppf(1.0 - CHANCE, runs, share))


def at_least(share: float, runs: int) -> int:
    return int(stats.binom.ppf(CHANCE, runs, share))


def generator(*seed: object) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(repr(seed).encode()))


def check(name: str, draw: Sample, truth: float, n: int, runs: int, *, told: bool) -> None:
    """Assert the rate of intervals given that miss, and where the sample tells enough its floor."""
    rng, missed = generator(name, n), 0
    for _ in range(runs):
        found = draw(rng, n)
        if found.low is not None and found.high is not None:
            missed += not found.low <= truth <= found.high
    assert missed <= at_most(0.07, runs), f"{name}, n = {n}: {missed} of {runs} miss {truth:g}"
    if told:
        assert missed >= at_least(0.03, runs), f"{name}, n = {n}: only {missed} of {runs} miss"


def cells(
    quick: list[tuple[Any, ...]], full: list[tuple[Any, ...]], runs: tuple[int, int] = (700, 3000)
) -> list[Any]:
    """Put the runs behind each cell: few for those of every day, many for the others."""
    everything = [pytest.param(*cell, runs[0]) for cell in quick]
    return everything + [pytest.param(*cell, runs[1], marks=slow) for cell in full]


# Proportions, exactly.


def coverage(n: int, chances: Floats) -> Floats:
    counts = np.arange(n + 1)
    ends = np.array([proportion_interval(int(count), n, 0.95) for count in counts])
    around = np.concatenate([ends.ravel() - 1e-10, ends.ravel() + 1e-10, chances])
    around = around[(around > 0.0) & (around < 1.0)]
    inside = (ends[:, :1] <= around) & (around <= ends[:, 1:])
    covered = (stats.binom.pmf(counts[:, None], n, around) * inside).sum(axis=0)
    many = np.minimum(around, 1.0 - around) * n >= 10.0
    return np.array([covered.min(), covered[many].max(initial=0.0)])


OFTEN = (1, 10, 11, 16, 20, 22, 25, 26, 30, 37, 64, 100, 250)
SELDOM = sorted({*range(1, 121), 150, 200, 300, 500, 1000, 2000} - {*OFTEN})


@pytest.mark.parametrize("n", [*OFTEN, *(pytest.param(n, marks=slow) for n in SELDOM)])
def test_the_interval_of_a_proportion_covers_what_its_docstring_says(n: int) -> None:
    low = np.geomspace(1e-6, 0.2, 150)
    least, most = coverage(n, np.concatenate([np.linspace(0.001, 0.999, 500), low, 1.0 - low]))
    assert least >= 0.932
    assert most <= (0.971 if n >= 100 else 0.976)


def test_no_interval_of_a_half_at_21_rows_lies_between_93_and_97_percent() -> None:
    sides = [stats.binom.cdf(20 - k, 21, 0.5) - stats.binom.cdf(k, 21, 0.5) for k in (5, 6)]
    assert sides[0] > 0.97
    assert sides[1] < 0.93


# Means of losses.

STRENGTH = {0.5: 4.0, 0.1: 4.0, 0.02: 2.0}


def calibrated(
    rng: np.random.Generator, n: int, rate: float
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    chance = rng.beta(STRENGTH[rate] * rate, STRENGTH[rate] * (1.0 - rate), n)
    return rng.random(n) < chance, chance


def loss_of_calibrated(loss: str, rate: float) -> float:
    """Give the mean loss of scores that are the chances themselves, Beta distributed."""
    total = STRENGTH[rate]
    a, b = total * rate, total * (1.0 - rate)
    if loss == "brier":
        return a * b / (total * (total + 1.0))
    digamma = special.digamma
    return -sum(c / total * float(digamma(c + 1.0) - digamma(total + 1.0)) for c in (a, b))


@pytest.mark.parametrize(
    ("loss", "rate", "n", "runs"),
    cells(
        [
            *(("log_loss", 0.1, 30), ("log_loss", 0.02, 100), ("log_loss", 0.5, 100)),
            *(("brier", 0.02, 30), ("brier", 0.02, 100), ("brier", 0.5, 100)),
        ],
        [
            (loss, rate, n)
            for loss in ("log_loss", "brier")
            for rate in STRENGTH
            for n in (30, 50, 100, 200, 500, 1000, 2000)
        ],
    ),
)
def test_the_mean_loss_of_calibrated_scores_is_covered(
    loss: str, rate: float, n: int, runs: int
) -> None:
    def draw(rng: np.random.Generator, size: int) -> Measurement:
        return evaluate(*calibrated(rng, size, rate), loss=loss).overall

    told = n * rate >= 40.0
    check(f"{loss} {rate}", draw, loss_of_calibrated(loss, rate), n, runs, told=told)


def errors(rng: np.random.Generator, kind: str, n: int) -> Floats:
    if kind == "normal":
        return rng.standard_normal(n)
    return rng.lognormal(size=n) if kind == "lognormal" else rng.standard_t(int(kind[1:]), n)


def loss_of_errors(loss: str, kind: str) -> float:
    if kind == "lognormal":
        mean = math.exp(0.5)
        return {"absolute": mean, "squared": math.exp(2.0), "pinball": 0.9 * mean}[loss]
    if kind == "normal":
        mean, square = math.sqrt(2.0 / math.pi), 1.0
    else:
        df = int(kind[1:])
        gammas = math.gamma((df + 1) / 2.0) / math.gamma(df / 2.0)
        mean = 2.0 * math.sqrt(df / math.pi) * gammas / (df - 1)
        square = df / (df - 2.0)
    return {"absolute": mean, "squared": square, "pinball": mean / 2.0}[loss]


def loss_called(name: str) -> Any:
    from mlguard.performance import pinball

    return pinball(0.9) if name == "pinball" else name


@pytest.mark.parametrize(
    ("loss", "kind", "n", "runs"),
    cells(
        [
            *(("absolute", "lognormal", 30), ("absolute", "normal", 400), ("pinball", "t3", 30)),
            *(("squared", "t5", 30), ("squared", "lognormal", 30), ("squared", "lognormal", 100)),
        ],
        [
            (loss, kind, n)
            for loss in ("absolute", "squared", "pinball")
            for kind in ("normal", "t5", "t3", "lognormal")
            for n in (30, 100, 400, 2000)
            if (loss, kind) != ("squared", "t3")  # has no variance: no interval can cover its mean
        ],
    ),
)
def test_the_mean_loss_of_errors_is_covered(loss: str, kind: str, n: int, runs: int) -> None:
    def draw(rng: np.random.Generator, size: int) -> Measurement:
        said = np.zeros(size)
        return evaluate(errors(rng, kind, size), said, loss=loss_called(loss)).overall

    told = n >= 400 and kind == "normal"
    check(f"{loss} {kind}", draw, loss_of_errors(loss, kind), n, runs, told=told)


# Differences of means.


def noisy(chance: Floats, z: Floats) -> Floats:
    """Give the scores of a candidate: duller than the chances, and noisy."""
    tiny = np.clip(chance, 1e-300, 1.0 - 1e-16)
    return np.asarray(special.expit(0.8 * special.logit(tiny) + 0.3 * z))


def change_to_noisy(loss: str, rate: float) -> float:
    """Give the mean change from the chances to the candidate's scores, by quadrature."""
    share = (np.arange(20_000) + 0.5) / 20_000
    total = STRENGTH[rate]
    chance = np.asarray(special.betaincinv(total * rate, total * (1.0 - rate), share))[:, None]
    z, weight = np.polynomial.hermite_e.hermegauss(15)
    said = noisy(chance, z[None, :])
    if loss == "brier":
        cost: Floats = chance * (1.0 - said) ** 2 + (1.0 - chance) * said**2
    else:
        cost = np.asarray(-special.xlogy(chance, said) - special.xlog1py(1.0 - chance, -said))
    return float((cost.mean(axis=0) * weight).sum() / weight.sum()) - loss_of_calibrated(loss, rate)


@pytest.mark.parametrize(
    ("loss", "rate", "n", "runs"),
    cells(
        [("log_loss", 0.5, 100), ("log_loss", 0.02, 100), ("brier", 0.1, 30)],
        [
            (loss, rate, n)
            for loss in ("log_loss", "brier")
            for rate in STRENGTH
            for n in (30, 100, 400, 2000)
            if (loss, rate, n) != ("log_loss", 0.1, 30)  # three events: 92 %, as `compare` says
        ],
    ),
)
def test_a_paired_change_of_losses_is_covered(loss: str, rate: float, n: int, runs: int) -> None:
    def draw(rng: np.random.Generator, size: int) -> Measurement:
        y, chance = calibrated(rng, size, rate)
        return compare(y, chance, noisy(chance, rng.standard_normal(size)), loss=loss).overall

    told = n * rate >= 40.0
    check(f"change {loss} {rate}", draw, change_to_noisy(loss, rate), n, runs, told=told)


def folded(shift: float) -> float:
    """Give the mean of |e + shift| for a normal e."""
    density = math.sqrt(2.0 / math.pi) * math.exp(-shift * shift / 2.0)
    return density + shift * (1.0 - 2.0 * float(special.ndtr(-shift)))


def shifted(rng: np.random.Generator, n: int, shift: float) -> Measurement:
    y, said = rng.standard_normal(n), 0.5 * rng.standard_normal((2, n))
    scale = math.sqrt(1.25)  # of each error
    return compare(y / scale, said[0] / scale, said[1] / scale - shift, loss="absolute").overall


@pytest.mark.parametrize(("n", "runs"), cells([(30,), (200,)], [(30,), (100,), (400,), (2000,)]))
def test_a_paired_change_of_absolute_errors_is_covered(n: int, runs: int) -> None:
    truth = folded(0.3) - folded(0.0)
    check("shift", lambda rng, size: shifted(rng, size, 0.3), truth, n, runs, told=n >= 200)


def paired_hits(rng: np.random.Generator, n: int, down: float, up: float) -> Measurement:
    """Compare two classifiers that are right on 80 % together, and else on rows of their own."""
    both, alone = rng.random(n) < 0.8, rng.random(n)
    share = (down + up) / 0.2
    first = both | (alone < down / 0.2)
    second = both | ((alone >= down / 0.2) & (alone < share))
    return compare(
        np.ones(n, dtype=int), first.astype(int), second.astype(int), loss="accuracy"
    ).overall


@pytest.mark.parametrize(
    ("down", "up", "n", "runs"),
    cells(
        [(0.05, 0.05, 30), (0.02, 0.01, 100), (0.1, 0.05, 400)],
        [
            (down, up, n)
            for down, up in ((0.005, 0.005), (0.02, 0.01), (0.05, 0.05), (0.1, 0.05), (0.15, 0.01))
            for n in (10, 30, 100, 400, 2000)
        ],
    ),
)
def test_a_paired_change_of_accuracy_is_covered(down: float, up: float, n: int, runs: int) -> None:
    def draw(rng: np.random.Generator, size: int) -> Measurement:
        return paired_hits(rng, size, down, up)

    told = n * min(down, up) >= 10.0
    check(f"accuracy {down} {up}", draw, up - down, n, runs, told=told)


# Areas under the ROC curve.


def ranked(rng: np.random.Generator, kind: str, area: float, hits: int, misses: int) -> Floats:
    """Draw scores, positive rows first, whose AUC is known."""
    if kind == "normal":
        above = math.sqrt(2.0) * float(special.ndtri(area))
        return np.concatenate([rng.standard_normal(hits) + above, rng.standard_normal(misses)])
    if kind == "exponential":
        scale = area / (1.0 - area)
        return np.concatenate([scale * rng.exponential(size=hits), rng.exponential(size=misses)])
    far = 50.0 * (rng.random(hits) < 2.0 * area - 1.0)
    return np.concatenate([rng.standard_normal(hits) + far, rng.standard_normal(misses)])


KINDS = ("normal", "exponential", "bimodal")
SIZES = ((10, 10), (10, 200), (20, 20), (20, 1000), (50, 50), (200, 1000))


@pytest.mark.parametrize(
    ("kind", "area", "hits", "misses", "runs"),
    cells(
        [
            *(
                ("normal", 0.99, 20, 1000),
                ("exponential", 0.95, 10, 200),
                ("exponential", 0.99, 20, 1000),
            ),
            *(("normal", 0.7, 200, 1000), ("bimodal", 0.95, 20, 20)),
        ],
        [
            (kind, area, *size)
            for kind in KINDS
            for area in (0.55, 0.7, 0.85, 0.95, 0.99)
            for size in SIZES
        ],
        (700, 2000),
    ),
)
def test_an_area_is_covered(kind: str, area: float, hits: int, misses: int, runs: int) -> None:
    y = np.repeat([True, False], [hits, misses])

    def draw(rng: np.random.Generator, _: int) -> Measurement:
        return evaluate(y, ranked(rng, kind, area, hits, misses), loss="roc_auc").overall

    told = hits >= 200 and kind == "normal" and area <= 0.85
    check(f"{kind} {area} {hits}", draw, area, hits + misses, runs, told=told)


@pytest.mark.parametrize(
    ("kind", "area", "hits", "misses", "runs"),
    cells(
        [("normal", 0.95, 10, 200), ("normal", 0.99, 20, 20), ("normal", 0.7, 200, 1000)],
        [(kind, area, *size) for kind in KINDS for area in (0.55, 0.85, 0.99) for size in SIZES],
        (700, 2000),
    ),
)
def test_a_paired_change_of_area_is_covered(
    kind: str, area: float, hits: int, misses: int, runs: int
) -> None:
    """Of normal scores the candidate is a noisy copy; of the others both are, equally noisy."""
    y = np.repeat([True, False], [hits, misses])
    n = hits + misses

    def draw(rng: np.random.Generator, _: int) -> Measurement:
        first = ranked(rng, kind, area, hits, misses)
        second = first + 0.5 * rng.standard_normal(n)
        if kind != "normal":
            first = np.asarray(first + 0.5 * rng.standard_normal(n))
        return compare(y, first, second, loss="roc_auc").overall

    above = float(special.ndtri(area))
    truth = float(special.ndtr(above / math.sqrt(1.25))) - area if kind == "normal" else 0.0
    told = hits >= 200 and kind == "normal" and area <= 0.85
    check(f"change {kind} {area} {hits}", draw, truth, n, runs, told=told)


# A metric of all rows.


def f1(y: NDArray[np.bool_], said: NDArray[np.bool_]) -> float:
    wrong = int((y != said).sum())
    hits = int((y & said).sum())
    return 2.0 * hits / (2.0 * hits + wrong) if hits + wrong else 0.0


@pytest.mark.parametrize(
    ("rate", "found", "false", "n", "runs"),
    cells(
        [(0.1, 0.95, 0.01, 400)],
        [
            (rate, found, false, n)
            for rate, found, false in ((0.5, 0.8, 0.2), (0.1, 0.7, 0.05), (0.1, 0.95, 0.01))
            for n in (100, 400)
        ],
        (300, 1500),
    ),
)
def test_a_bootstrapped_f1_is_covered(
    rate: float, found: float, false: float, n: int, runs: int
) -> None:
    hits, wrong = rate * found, rate * (1.0 - found) + (1.0 - rate) * false
    metric = Metric("f1", f1, better="higher")

    def draw(rng: np.random.Generator, size: int) -> Measurement:
        y = rng.random(size) < rate
        said = rng.random(size) < np.where(y, found, false)
        return evaluate(y, said, loss=metric, rng=rng, resamples=200).overall

    told = n * rate * min(found, 1.0 - found) >= 10.0
    check(f"f1 {rate} {found}", draw, 2.0 * hits / (2.0 * hits + wrong), n, runs, told=told)


# What a gate makes of it.


def severities(draw: Sample, n: int, runs: int, margin: float, *seed: object) -> list[Severity]:
    rng, policy = generator(*seed), not_worse(margin=margin)
    return [policy(draw(rng, n)).severity for _ in range(runs)]


@pytest.mark.parametrize(("n", "runs"), cells([(200,)], [(50,), (200,), (1000,)], (700, 6000)))
@pytest.mark.parametrize("loss", ["absolute", "accuracy", "roc_auc"])
def test_of_two_equal_models_one_is_called_worse_in_at_most_one_in_forty(
    loss: str, n: int, runs: int
) -> None:
    def draw(rng: np.random.Generator, size: int) -> Measurement:
        if loss == "absolute":
            return shifted(rng, size, 0.0)
        if loss == "accuracy":
            return paired_hits(rng, size, 0.06, 0.06)
        y = np.arange(size) % 2
        said = y + rng.standard_normal(size) + 0.5 * rng.standard_normal((2, size))
        return compare(y, *said, loss=loss).overall

    found = severities(draw, n, runs, 0.0, "equal", loss, n)
    assert found.count(Severity.BREACH) <= at_most(0.025, runs)
    assert found.count(Severity.OK) <= at_most(0.025, runs)


@pytest.mark.parametrize("runs", [100, pytest.param(2000, marks=slow)])
def test_over_twenty_slices_equal_models_are_called_worse_in_at_most_one_in_forty(
    runs: int,
) -> None:
    rng, by, wrong = generator("family"), np.arange(2000) % 20, 0
    for _ in range(runs):
        y, said = rng.standard_normal(2000), 0.5 * rng.standard_normal((2, 2000))
        slices = list(compare(y, *said, loss="absolute", by=by).slices.values())
        assert len(slices) == 20
        wrong += guard(partial(list, slices), not_worse(margin=0.0))().severity is Severity.BREACH
    assert wrong <= at_most(0.025, runs)


@pytest.mark.parametrize("runs", [700, pytest.param(8000, marks=slow)])
@pytest.mark.parametrize("loss", ["absolute", "accuracy"])
def test_a_candidate_worse_by_just_the_margin_passes_in_at_most_one_in_forty(
    loss: str, runs: int
) -> None:
    margin = folded(0.3) - folded(0.0) if loss == "absolute" else 0.05

    def draw(rng: np.random.Generator, n: int) -> Measurement:
        return shifted(rng, n, 0.3) if loss == "absolute" else paired_hits(rng, n, 0.08, 0.03)

    found = severities(draw, 300, runs, margin, "margin", loss)
    assert found.count(Severity.OK) <= at_most(0.025, runs)
    assert found.count(Severity.BREACH) <= at_most(0.025, runs)


@pytest.mark.parametrize(
    ("n", "shift", "runs"),
    cells([(150, 0.35)], [(150, 0.35), (400, 0.25), (400, 0.35)], (700, 6000)),
)
def test_a_worse_candidate_is_found_as_often_as_the_width_of_the_interval_predicts(
    n: int, shift: float, runs: int
) -> None:
    truth = folded(shift) - folded(0.0)
    wide = shifted(generator("width", n, shift), 200_000, shift)
    assert wide.low is not None
    assert wide.high is not None
    error = (wide.high - wide.low) / 2.0 / 1.96 * math.sqrt(200_000 / n)
    power = float(special.ndtr(truth / error - 1.96))
    found = severities(lambda rng, m: shifted(rng, m, shift), n, runs, 0.0, "power", n, shift)
    share = found.count(Severity.BREACH) / runs
    assert abs(share - power) <= 4.4 * math.sqrt(power * (1.0 - power) / runs) + 0.015
