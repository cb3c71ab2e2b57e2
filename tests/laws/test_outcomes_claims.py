"""What waiting for mature labels promises: no alarm from young cohorts, a real drop seen in time.

Frauds are charged back after a log-normal delay with a mean of 30 days; what is not charged back is
no fraud. The model is constant until it drops. All of it is simulated, day by day.
"""

from __future__ import annotations

import zlib
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pytest
from scipy import stats

from mlguard import Severity, at_least, guard, require
from mlguard.performance import Outcomes, evaluate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]

DAY = 86_400.0
A_DAY = 400
LABELS_AFTER = timedelta(days=45)
FRAUDS, FOUND, FALSE = 0.05, 0.8, 0.01
DROPPED = 0.2
"""Of the frauds that are found after the drop: 0.05 * (0.8 - 0.2) is a drop of 3 points."""
FLOOR = 0.9625
"""Of the accuracy: 1.5 points below what it is, with the few labels that come after 45 days."""


def generator(*seed: object) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(repr(seed).encode()))


def payments(rng: np.random.Generator, days: int, drop: float = np.inf) -> dict[str, Any]:
    at = np.sort(rng.uniform(0.0, days * DAY, days * A_DAY))
    fraud = rng.random(len(at)) < FRAUDS
    found = rng.random(len(at)) < np.where(at < drop * DAY, FOUND, DROPPED)
    flagged = np.where(fraud, found, rng.random(len(at)) < FALSE)
    sigma = 0.35
    delay = rng.lognormal(np.log(30.0) - sigma**2 / 2.0, sigma, len(at)) * DAY
    back = np.where(fraud, at + delay, np.inf)
    return {"at": at, "flagged": flagged, "fraud": fraud, "back": back}


def alarms(sent: dict[str, Any], days: int) -> tuple[list[int], list[int], list[int]]:
    """Give the days with an alarm: of mature cohorts, and of two naive joins."""
    now = [0.0]
    outcomes = Outcomes(
        LABELS_AFTER,
        loss="accuracy",
        no_label_means=0,
        keep=timedelta(days=30),
        max_open=100 * A_DAY,
        clock=lambda: now[0],
    )
    check = guard(outcomes, require(2_000, at_least(FLOOR)))
    ids, order = np.arange(len(sent["at"])), np.argsort(sent["back"])
    found: tuple[list[int], list[int], list[int]] = ([], [], [])
    for day in range(1, days + 1):
        now[0] = day * DAY
        start, end = np.searchsorted(sent["at"], [now[0] - DAY, now[0]])
        today = slice(start, end)
        outcomes.add(
            {
                "id": ids[today],
                "predicted_at": sent["at"][today],
                "prediction": sent["flagged"][today],
            }
        )
        came = order[slice(*np.searchsorted(sent["back"], [now[0] - DAY, now[0]], sorter=order))]
        outcomes.add(
            {"id": ids[came], "labelled_at": sent["back"][came], "label": sent["fraud"][came]}
        )
        outcomes.close()
        if check().severity is Severity.BREACH:
            found[0].append(day)
        week = slice(np.searchsorted(sent["at"], now[0] - 7 * DAY), end)
        known = sent["back"][week] <= now[0]
        right = known == sent["flagged"][week]
        if right.mean() < FLOOR:  # what has no label is no fraud, yet
            found[1].append(day)
        lately = slice(*np.searchsorted(sent["back"], [now[0] - 7 * DAY, now[0]], sorter=order))
        labelled = sent["flagged"][order[lately]]
        if len(labelled) and labelled.mean() < FLOOR:  # what got a label this week: frauds only
            found[2].append(day)
    assert outcomes.counts["dropped"] == outcomes.counts["late"] == 0
    return found


def test_three_years_without_an_alarm_where_naive_joins_always_alarm() -> None:
    days = 3 * 365
    mature, hasty, labelled = alarms(payments(generator("constant"), days), days)
    assert mature == []
    assert len(hasty) / days > 0.95
    assert len(labelled) / days > 0.95


@pytest.mark.parametrize("seed", range(5))
def test_a_drop_of_three_points_is_found_within_a_week_of_maturity(seed: int) -> None:
    drop = 60
    days = drop + 45 + 7
    mature, _, _ = alarms(payments(generator("drop", seed), days, drop=drop), days)
    assert mature
    assert drop + 45 < mature[0] <= days


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_so_it_is_for_other_seeds(seed: int) -> None:
    days = 3 * 365
    drop = days - 52
    mature, _, _ = alarms(payments(generator("long", seed), days, drop=drop), days)
    assert drop + 45 < mature[0] <= days


def test_the_mean_of_labels_that_came_fast_is_not_that_of_all() -> None:
    sent = payments(generator("fast"), 60)
    known = sent["back"] <= 60 * DAY
    fast = evaluate(sent["fraud"][known], sent["flagged"][known], loss="accuracy").overall
    true = FRAUDS * FOUND + (1.0 - FRAUDS) * (1.0 - FALSE)
    assert fast.high is not None
    assert fast.high < true - 0.1


@pytest.mark.parametrize("loss", ["accuracy", "brier"])
def test_a_floor_at_the_true_value_is_seldom_broken_by_chance(loss: str) -> None:
    rng = generator("floor", loss)
    windows, rows = 4_000, 300
    n = windows * rows
    at = np.repeat(np.arange(windows) * DAY, rows) + rng.uniform(0.0, DAY, n)
    chance = rng.beta(2.0, 2.0, n)
    truth = rng.random(n) < chance
    said = chance if loss == "brier" else chance > 0.5
    found = Outcomes.from_frame(
        {"predicted_at": at, "prediction": said, "labelled_at": at, "label": truth},
        LABELS_AFTER,
        loss=loss,
        now=(windows + 46) * DAY,
    ).by_cohort((windows + 46) * DAY)
    assert len(found) == windows
    # of Beta(2, 2): the mean of x (1 - x) is 1/5, and of max(x, 1 - x) it is 11/16
    true = 0.2 if loss == "brier" else 11.0 / 16.0
    above = sum(each.low is not None and each.low > true for each in found)
    below = sum(each.high is not None and each.high < true for each in found)
    limit = stats.binom.ppf(1.0 - 1e-4, windows, 0.035)
    assert above <= limit
    assert below <= limit
    assert above + below <= stats.binom.ppf(1.0 - 1e-4, windows, 0.07)
