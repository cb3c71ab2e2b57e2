"""Limits move under a meter that goes on: as if it had had them from the beginning."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlguard import (
    Calendar,
    ConfigurationError,
    ErrorBudget,
    LatencyBudget,
    Money,
    StreamLatency,
    UnitCost,
)
from mlguard.testing import ManualClock

NOW = 1_900_022_400.0
LATENCIES = st.lists(
    st.one_of(
        st.floats(1e-4, 10.0), st.sampled_from([0.0, 0.05, 0.08, float("inf"), -1.0, float("nan")])
    ),
    max_size=60,
)


@given(st.lists(st.tuples(st.floats(0.0, 200.0), LATENCIES), max_size=6))
def test_a_limit_of_latency_is_counted_anew_within_its_bucket(
    batches: list[tuple[float, list[float]]],
) -> None:
    clock = ManualClock(NOW)
    old = LatencyBudget({0.5: 0.05, 0.99: 0.08}, clock=clock)
    fresh = LatencyBudget({0.9: 0.04, 0.99: 0.08}, clock=clock)
    near = LatencyBudget({0.5: 0.04 * (1 - 1 / 64), 0.9: 0.04 * (1 + 1 / 64)}, clock=clock)
    for wait, values in batches:
        for budget in (old, fresh, near):
            budget.observe_many(values)
        clock.advance(wait)
    old.take_limits(fresh)
    assert old.over(0.08).details["over"] == fresh.over(0.08).details["over"]
    assert old.measure(0.9).n == fresh.measure(0.9).n
    most, least = (each.details["over"] for each in map(near.over, near.limits.values()))
    assert least <= old.over(0.04).details["over"] <= most
    for q in (0.1, 0.9):
        assert np.isclose(old.quantile(q), fresh.quantile(q), rtol=0.008, equal_nan=True)
    clock.advance(400.0)
    assert old.measure(0.9).n == 0  # what was counted leaves the window as ever


def test_what_was_counted_before_a_move_stays_mergeable() -> None:
    clock = ManualClock(NOW)
    old, new = (LatencyBudget({0.99: limit}, clock=clock) for limit in (0.05, 0.06))
    old.observe_many([0.055] * 100)
    old.take_limits(new)
    old.observe_many([0.065] * 10)
    both = old + LatencyBudget.from_json(old.to_json(), clock=clock)
    assert both.over(0.06).details["over"] == 20
    assert both.totals["requests"] == 220


@pytest.mark.parametrize("period", [timedelta(days=30), Calendar("month", tz="Europe/Berlin")])
def test_an_slo_moves_exactly(period: Any) -> None:
    clock = ManualClock(NOW)
    old, new, fresh = (ErrorBudget(slo, period=period, clock=clock) for slo in (0.999, 0.99, 0.99))
    for bad in (3, 50, 0):
        for budget in (old, fresh):
            budget.observe_counts(good=1_000, bad=bad)
        clock.advance(timedelta(hours=5))
    old.take_limits(new)
    assert old == fresh
    assert old().to_dict() == fresh().to_dict()


@pytest.fixture
def hasty() -> Iterator[None]:
    """Let threads take turns as often as they can."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


@pytest.mark.usefixtures("hasty")
def test_nothing_is_lost_and_nobody_stumbles_while_limits_move() -> None:
    budget = LatencyBudget({0.5: 0.01, 0.99: 0.08}, clock=ManualClock(NOW))
    others = [
        LatencyBudget(limits, clock=ManualClock(NOW))
        for limits in ({0.9: 0.04}, {0.5: 0.01, 0.9: 0.02, 0.99: 0.08})
    ]
    done = threading.Event()

    def serve() -> int:
        for _ in range(20_000):
            with budget.timed():
                pass
        return 20_000

    def read() -> int:
        read = 0
        while not done.is_set():
            assert budget().severity is not None
            budget.measure()
            LatencyBudget.from_json(budget.to_json())
            read += 1
        return read

    def move() -> None:
        while not done.is_set():
            for other in others:
                budget.take_limits(other)

    with ThreadPoolExecutor(4) as pool:
        reader, mover = pool.submit(read), pool.submit(move)
        sent = sum(each.result() for each in [pool.submit(serve), pool.submit(serve)])
        done.set()
        assert reader.result() > 0
        mover.result()
    assert budget.totals["requests"] == budget.measure(0.9).n == sent


def test_a_limit_on_the_unit_cost_moves_exactly() -> None:
    clock = ManualClock(NOW)
    old, new, fresh = (UnitCost(limit, clock=clock) for limit in ("12 USD", "14 USD", "14 USD"))
    for budget in (old, fresh):
        for cents in (1, 2, 3) * 400:
            budget.observe(cents * Money("0.000005 USD"))
    old.take_limits(new)
    assert old().to_dict() == fresh().to_dict()


def test_a_stream_moves_part_by_part() -> None:
    clock = ManualClock(NOW)
    old = StreamLatency(first={0.95: 0.8}, gap={0.99: 0.1}, clock=clock)
    with old.start() as stream:
        clock.advance(0.5)
        stream.item()
        clock.advance(0.05)
        stream.item()
        old.take_limits(StreamLatency(first={0.95: 0.4}, total={0.9: 5.0}, clock=clock))
    assert old["first"].over(0.4).details["over"] == 1
    assert old["total"].totals["requests"] == 0


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (LatencyBudget({0.99: 1.0}), LatencyBudget({0.99: 1.0}, window=60)),
        (LatencyBudget({0.99: 1.0}), LatencyBudget({0.99: 1.0}, slots=30)),
        (LatencyBudget({0.99: 1.0}), ErrorBudget(0.99)),
        (ErrorBudget(0.99), ErrorBudget(0.99, period=timedelta(days=7))),
        (ErrorBudget(0.99), ErrorBudget(0.99, period=Calendar("month"))),
        (ErrorBudget(0.99, period=Calendar("week")), ErrorBudget(0.99, period=Calendar("month"))),
        (UnitCost("1 USD"), UnitCost("1 USD", per=1_000)),
        (UnitCost("1 USD"), UnitCost("1 EUR")),
        (StreamLatency(gap={0.5: 1.0}), StreamLatency(gap={0.5: 1.0}, window=60)),
    ],
)
def test_another_window_is_refused(one: Any, other: Any) -> None:
    with pytest.raises(ConfigurationError, match="other = "):
        one.take_limits(other)
    assert not one.fits(other)
