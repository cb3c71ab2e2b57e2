"""Slices whose calibration differs, and changes between two periods: what their intervals hold.

Three slices have the same scores and other rates. A simulation draws a reference and current rows,
and counts how often the intervals of all slices together hold what was realised: at 95 % they miss
in at most 7 % of samples, as in test_label_free_claims.py.
"""

from __future__ import annotations

import functools
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest
from scipy import stats

from mlguard import guard
from mlguard.performance import SlicedEstimate, change_from, evaluate, not_worse

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from mlguard import Measurement

    Floats = NDArray[np.float64]

CHANCE = 1e-5
RUNS = 1_000
WRONG_RUNS = 300
"""So many show what goes wrong with one table for all slices."""

NAMES = ("accuracy", "recall", "brier")
LEVELS = ("a", "b", "c")
SHARES = (0.5, 0.3, 0.2)
CALM, UNSURE = (2.0, 3.0), (10.0, 12.0)
"""Laws of the score: with the second the accuracy of each slice is 0.07 to 0.1 lower."""

pytestmark = pytest.mark.slow


def at_most(share: float, runs: int) -> int:
    return int(stats.binom.ppf(1.0 - CHANCE, runs, share))


class Rows(NamedTuple):
    y: NDArray[np.bool_]
    score: Floats
    level: NDArray[np.str_]


def chances(score: Floats, level: NDArray[np.str_]) -> Floats:
    """The score itself in a, less in b and more in c."""
    return np.where(level == "b", 0.7 * score, np.where(level == "c", np.sqrt(score), score))


def drawn(rng: np.random.Generator, n: int, shape: tuple[float, float] = CALM) -> Rows:
    score, level = rng.beta(*shape, n), rng.choice(LEVELS, n, p=SHARES)
    return Rows(rng.random(n) < chances(score, level), score, level)


def realised(y: NDArray[np.bool_], score: Floats) -> dict[str, float]:
    said = score >= 0.5
    return {
        "accuracy": float((said == y).mean()),
        "recall": float((said & y).sum() / y.sum()),
        "brier": float(((score - y) ** 2).mean()),
    }


def holds(found: Iterable[tuple[Measurement, float]]) -> bool:
    """Tell whether each interval, none of which may be missing, holds its truth."""
    known: list[Any] = list(found)
    return all(each.low - 1e-12 <= truth <= each.high + 1e-12 for each, truth in known)


@functools.cache
def held() -> Counter[tuple[str, str]]:
    """Count samples where all slices of a metric are held, and where the whole is."""
    rng = np.random.default_rng(1)
    counts: Counter[tuple[str, str]] = Counter()
    for run in range(RUNS):
        old, new = drawn(rng, 4_000), drawn(rng, 3_000)
        estimate = SlicedEstimate.fit(old.y, old.score, {"level": old.level}, bins=10)
        found = estimate.estimate(new.score, {"level": new.level})
        places = {level: new.level == level for level in LEVELS}
        truth = {level: realised(new.y[at], new.score[at]) for level, at in places.items()}
        overall = realised(new.y, new.score)
        for name in NAMES:
            whole, *slices = found[name]
            assert [each.name for each in slices] == [f"{name}[level={level}]" for level in LEVELS]
            truths = [truth[level][name] for level in LEVELS]
            counts[name, "slices"] += holds(zip(slices, truths, strict=True))
            counts[name, "whole"] += holds([(whole, overall[name])])
        if run < WRONG_RUNS:
            confidence = 1.0 - 0.05 / len(LEVELS)
            one_table = {
                level: estimate.whole.estimate(new.score[at], confidence=confidence)
                for level, at in places.items()
            }
            for name in NAMES:
                pairs = [(one_table[level][name], truth[level][name]) for level in LEVELS]
                counts[name, "one table"] += holds(pairs)
    return counts


@pytest.mark.parametrize("part", ["slices", "whole"])
@pytest.mark.parametrize("name", NAMES)
def test_the_intervals_of_all_slices_together_hold_what_is_realised(name: str, part: str) -> None:
    assert RUNS - held()[name, part] <= at_most(0.07, RUNS)


@pytest.mark.parametrize("name", NAMES)
def test_the_intervals_of_all_slices_are_not_much_too_wide(name: str) -> None:
    assert RUNS - held()[name, "slices"] >= 0.02 * RUNS


@pytest.mark.parametrize("name", NAMES)
def test_one_table_for_all_slices_would_not_hold(name: str) -> None:
    assert held()[name, "one table"] <= 0.5 * WRONG_RUNS


# Changes.


def accuracies(shape: tuple[float, float]) -> dict[str, float]:
    """Give the accuracy of the law itself, of all rows and by slice."""
    score = stats.beta(*shape).ppf((np.arange(200_000) + 0.5) / 200_000)
    by_level = {}
    for level in LEVELS:
        chance = chances(score, np.full(len(score), level))
        by_level[level] = float(np.where(score >= 0.5, chance, 1.0 - chance).mean())
    return {"": float(np.dot(SHARES, list(by_level.values()))), **by_level}


@functools.cache
def judged() -> Counter[tuple[str, str, str]]:
    """Count verdicts on estimates where the accuracy is worse by exactly the margin.

    The margin is either what the law lost, or what these very rows did: what the reference had,
    less what came. Each slice has a margin of its own; a sample counts if any is judged so.
    """
    rng = np.random.default_rng(2)
    before, after = accuracies(CALM), accuracies(UNSURE)
    counts: Counter[tuple[str, str, str]] = Counter()
    for _ in range(RUNS):
        old, new = drawn(rng, 3_000), drawn(rng, 3_000, UNSURE)
        estimate = SlicedEstimate.fit(old.y, old.score, {"level": old.level}, bins=10)
        found = estimate.estimate(new.score, {"level": new.level})["accuracy"]
        reference = estimate.reference["accuracy"]
        seen: dict[tuple[str, str], set[str]] = defaultdict(set)
        for current, known in zip(found, reference, strict=True):
            level = current.details.get("slice", "").removeprefix("level=")
            at = new.level == level if level else np.full(len(new.y), fill_value=True)
            fell = known.value - realised(new.y[at], new.score[at])["accuracy"]
            for kind, margin in (("law", before[level] - after[level]), ("rows", max(fell, 0.0))):
                check = guard(change_from(reference, current), not_worse(margin=margin))
                seen[kind, "slices" if level else "whole"].add(check().severity.name)
        counts.update((*key, name) for key, names in seen.items() for name in names)
    return counts


@pytest.mark.parametrize("part", ["slices", "whole"])
@pytest.mark.parametrize("kind", ["law", "rows"])
def test_what_is_worse_by_the_margin_is_seldom_judged(kind: str, part: str) -> None:
    for severity in ("OK", "BREACH"):  # documented: at most 2.5 % of runs each
        assert judged()[kind, part, severity] <= at_most(0.035, RUNS)


def test_a_change_between_two_samples_holds_the_true_one() -> None:
    rng = np.random.default_rng(5)
    before, after = accuracies(CALM), accuracies(UNSURE)
    rises = {level: after[level] - before[level] for level in before}
    counts: Counter[str] = Counter()
    for _ in range(RUNS):
        then, now = (
            evaluate(each.y, each.score >= 0.5, loss="accuracy", by={"level": each.level})
            for each in (drawn(rng, 3_000), drawn(rng, 2_000, UNSURE))
        )
        change = change_from(then, now)
        whole, *slices = change()
        counts["whole"] += holds([(whole, rises[""])])
        counts["slices"] += holds(zip(slices, [rises[level] for level in LEVELS], strict=True))
        counts[guard(whole, not_worse(margin=-rises[""]))().severity.name] += 1
    for part in ("whole", "slices"):
        assert 0.02 * RUNS <= RUNS - counts[part] <= at_most(0.07, RUNS)
    for severity in ("OK", "BREACH"):
        assert counts[severity] <= at_most(0.035, RUNS)
