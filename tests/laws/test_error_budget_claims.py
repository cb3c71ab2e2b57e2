"""What error budgets promise about pages, by simulation: false ones, and how soon the true ones."""

from __future__ import annotations

import numpy as np
import pytest

from mlguard import ErrorBudget, Severity
from mlguard.testing import ManualClock

slow = pytest.mark.slow
SLO = 0.999
HEALTHY = 0.0005
"""Share of bad requests that uses half of the budget."""
MINUTE, HOUR = 60.0, 3_600.0
START = 1_700_000_007.0
MONTH = 30 * 24 * 60
"""In minutes."""
LOOK_BACK = 6 * 60 + 6
"""Minutes of the longest window that pages, and a slot: without a bad request there none fires."""


def pages(per_hour: float, *, months: int, seed: int, min_bad_events: int = 5) -> int:
    """Count how often a page begins at a healthy service that is asked every minute."""
    rng = np.random.default_rng(seed)
    goods = rng.poisson(per_hour / 60 * (1 - HEALTHY), months * MONTH).tolist()
    bads = rng.poisson(per_hour / 60 * HEALTHY, months * MONTH).tolist()
    clock = ManualClock(START)
    errors = ErrorBudget(SLO, min_bad_events=min_bad_events, clock=clock)
    found, paging, last = 0, False, -LOOK_BACK
    for minute, (good, bad) in enumerate(zip(goods, bads, strict=True)):
        clock.advance(MINUTE)
        if good or bad:
            errors.observe_counts(good=good, bad=bad)
        last = minute if bad else last
        was, paging = paging, minute - last < LOOK_BACK and errors().severity is Severity.BREACH
        found += paging and not was
    return found


def delay(per_hour: float, share: float, *, seed: int) -> int:
    """Count the minutes until a page, once that share of requests fails; 600 if it takes longer."""
    rng = np.random.default_rng(seed)
    clock = ManualClock(START + rng.uniform(0.0, HOUR))
    errors = ErrorBudget(SLO, clock=clock)
    for minute in range(-LOOK_BACK, 600):
        clock.advance(MINUTE)
        bad = HEALTHY if minute < 0 else share
        good, failed = rng.poisson([per_hour / 60 * (1 - bad), per_hour / 60 * bad]).tolist()
        errors.observe_counts(good=good, bad=failed)
        if minute >= 0 and errors().severity is Severity.BREACH:
            return minute + 1
    return 600


def delays(per_hour: float, share: float, runs: int) -> list[int]:
    return sorted(delay(per_hour, share, seed=seed) for seed in range(runs))


def test_a_healthy_service_does_not_page_in_a_month() -> None:
    assert pages(60, months=1, seed=1) == 0


def test_the_classic_rule_would_page() -> None:
    assert pages(60, months=1, seed=1, min_bad_events=1) >= 7


def test_an_outage_is_found_soon() -> None:
    assert delays(60, 1.0, 20)[-1] <= 15
    assert delays(3000, 1.0, 10)[-1] <= 2


def test_a_fast_burn_is_found_within_the_hour() -> None:
    found = delays(3000, 20 * (1 - SLO), 15)
    assert found[7] <= 45
    assert found[13] <= 60


@slow
@pytest.mark.parametrize("per_hour", [20, 60, 300, 3000])
def test_a_healthy_service_does_not_page_in_twelve_months(per_hour: int) -> None:
    assert pages(per_hour, months=12, seed=per_hour) == 0


@slow
@pytest.mark.parametrize(("per_hour", "least", "most"), [(20, 4.0, 12.0), (60, 12.0, 25.0)])
def test_the_classic_rule_pages_every_other_day(per_hour: int, least: float, most: float) -> None:
    found = pages(per_hour, months=12, seed=per_hour, min_bad_events=1)
    assert least <= found / 12 <= most


@slow
def test_an_outage_is_found_within_its_time() -> None:
    few, many = delays(60, 1.0, 400), delays(3000, 1.0, 200)
    assert few[200] <= 6
    assert few[396] <= 15  # of 400 outages: fifteen minutes bring 5 of 15 requests but for chance
    assert many[-1] <= 2


@slow
def test_a_fast_burn_is_found_within_its_time() -> None:
    found = delays(3000, 20 * (1 - SLO), 200)
    assert found[100] <= 45
    assert found[180] <= 60
