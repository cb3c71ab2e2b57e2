"""Error budgets beside a plain list of requests, cut into parts, and one request apart."""

from __future__ import annotations

import json
import math
import pickle
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from mlguard import BurnAlert, Calendar, ErrorBudget, Severity
from mlguard.testing import ManualClock

MINUTE, HOUR, DAY = 60.0, 3_600.0, 86_400.0
START = 1_700_000_000.0

counts = st.integers(0, 50)
steps = st.sampled_from([0.0, 0.5, 4.9, 5.0, MINUTE, 299.0, 300.0, HOUR, 5 * HOUR, DAY, 9 * DAY])
events = st.lists(st.tuples(st.integers(0, 2), steps, counts, counts), max_size=25)
periods = st.sampled_from([30 * DAY, Calendar("month", tz="Europe/Berlin")])
starts = st.sampled_from([START, START // 7200 * 7200])


def made(period: Any, clock: ManualClock) -> ErrorBudget:
    return ErrorBudget(0.99, period=period, min_coverage=0.1, clock=clock)


@given(events, periods, starts, st.permutations(range(3)), st.booleans())
def test_parts_add_up_to_what_saw_everything(
    seen: list[tuple[int, float, int, int]],
    period: Any,
    start: float,
    order: list[int],
    left_first: bool,  # noqa: FBT001 -- hypothesis gives it by position
) -> None:
    clock = ManualClock(start)
    whole, *parts = (made(period, clock) for _ in range(4))
    for part, step, good, bad in seen:
        clock.advance(step)
        for errors in (whole, parts[part]):
            errors.observe_counts(good=good, bad=bad)
            errors.observe(bool(bad % 2))
    first, second, third = (parts[place] for place in order)
    total = (first + second) + third if left_first else first + (second + third)
    assert json.loads(total.to_json()) == json.loads(whole.to_json())
    assert total() == whole()
    again = reduce(add, [pickle.loads(pickle.dumps(part)) for part in parts])  # noqa: S301 -- our own
    assert again == total
    clock.advance(DAY)
    assert total.to_json() == whole.to_json()
    empty = made(period, clock)
    assert (empty + whole).totals == whole.totals
    assert (whole + empty).to_json() == whole.to_json()


@given(events, periods, st.sampled_from([0.0, HOUR, 20 * DAY, 31 * DAY]))
def test_one_more_request_moves_everything_its_way(
    seen: list[tuple[int, float, int, int]], period: Any, age: float
) -> None:
    clock = ManualClock(START)
    errors = made(period, clock)
    clock.advance(age)
    for _, step, good, bad in seen:
        clock.advance(step)
        errors.observe_counts(good=good, bad=bad // 10)
    worse, better = (pickle.loads(pickle.dumps(errors)) for _ in range(2))  # noqa: S301 -- our own
    for twin, good in ((worse, False), (better, True)):
        twin.clock.advance(errors.clock() - twin.clock())
        twin.observe(good)
        assert (
            twin.totals["good" if good else "bad"] == errors.totals["good" if good else "bad"] + 1
        )
    if errors.measure().n:
        left = [each.remaining for each in (worse, errors, better)]
        assert len({each is None for each in left}) == 1
        known = [each for each in left if each is not None]
        assert known == sorted(known)
        for window in (MINUTE, HOUR, 2 * DAY):
            burns = [each.burn_rate(window) for each in (worse, errors, better)]
            if burns[1] is not None:
                assert burns == sorted(burns, key=lambda burn: -1 if burn is None else -burn)
    lows = [each().low for each in (worse, errors, better)]
    assert lows == sorted(lows, reverse=True)
    if errors.burn_rate(5 * MINUTE) is not None:
        highs = [each().high for each in (worse, errors)]
        assert highs == sorted(highs, reverse=True)


@dataclass
class Seen:
    """Requests, when they came, and the greatest age they ever had."""

    at: float
    good: int
    bad: int
    age: float = 0.0


class Model(RuleBasedStateMachine):
    """A budget beside the list of all requests."""

    alerts = (BurnAlert(0.02, HOUR), BurnAlert(0.1, DAY, Severity.WARN))
    period = 30 * DAY
    rings = sorted({each for alert in alerts for each in (alert.window, alert.short)})

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock(START)
        self.errors = ErrorBudget(0.99, alerts=self.alerts, clock=self.clock)
        self.seen: list[Seen] = []
        self.invalid = 0

    def saw(self, good: int, bad: int) -> None:
        self.seen.append(Seen(self.clock(), good, bad))

    @rule(good=st.booleans(), times=st.integers(1, 3))
    def observe(self, good: bool, times: int) -> None:  # noqa: FBT001 -- hypothesis names it
        for _ in range(times):
            self.errors.observe(good)
        self.saw(times * good, times * (not good))

    @rule(good=counts, bad=counts)
    def observe_counts(self, good: int, bad: int) -> None:
        self.errors.observe_counts(good=good, bad=bad)
        self.saw(good, bad)

    @rule()
    def observe_nonsense(self) -> None:
        self.errors.observe(math.nan)  # type: ignore[arg-type]
        self.invalid += 1

    @rule(step=steps)
    def wait(self, step: float) -> None:
        self.clock.advance(step)
        for each in self.seen:
            each.age = max(each.age, self.clock() - each.at)

    @rule(step=st.sampled_from([3.0, MINUTE, HOUR, 2 * DAY, 40 * DAY]))
    def set_back(self, step: float) -> None:
        """What was counted later than now is taken as of now, once the budget looks."""
        assert self.errors.totals
        self.clock.advance(-step)
        assert self.errors.totals
        for each in self.seen:
            each.at = min(each.at, self.clock())

    @rule()
    def write_and_read(self) -> None:
        self.errors = ErrorBudget.from_json(self.errors.to_json(), clock=self.clock)

    @rule(good=counts, bad=counts)
    def merge(self, good: int, bad: int) -> None:
        other = ErrorBudget(0.99, alerts=self.alerts, clock=self.clock)
        other.observe_counts(good=good, bad=bad)
        self.errors = self.errors + other
        self.saw(good, bad)

    @rule(window=st.floats(1.0, 30 * DAY) | st.sampled_from([*rings, 2 * HOUR, 30 * DAY]))
    def look(self, window: float) -> None:
        """Up to the width of a slot; what once has left a window does not come back."""
        ring = min((ring for ring in self.rings if ring >= window), default=self.period)
        width, now = ring / (60 if ring < self.period else 360), self.clock()
        inside = [each for each in self.seen if each.at >= now - window - width]
        edge = [
            each
            for each in sorted(inside, key=lambda each: each.at)
            if each.at <= now - window + width or each.age >= ring - width
        ]
        sure = [each for each in inside if each not in edge]
        allowed = []
        for cut in range(len(edge) + 1):
            good = sum(each.good for each in (*edge[cut:], *sure))
            bad = sum(each.bad for each in (*edge[cut:], *sure))
            allowed.append(bad / (good + bad) / 0.01 if good + bad else None)
        found = self.errors.burn_rate(window)
        assert any(
            found is each or (found is not None and each is not None and math.isclose(found, each))
            for each in allowed
        ), (found, allowed)

    @invariant()
    def everything_is_counted(self) -> None:
        good, bad = (sum(getattr(each, how) for each in self.seen) for how in ("good", "bad"))
        assert self.errors.totals == {"good": good, "bad": bad, "invalid": self.invalid}
        for ring in self.errors._rings.values():
            slots = [packed for _, packed in ring.slots()]
            assert ring.total.values == [sum(each[place] for each in slots) for place in (0, 1)]
            assert 0.0 <= self.errors._covers(ring, self.clock()) <= self.period

    @invariant()
    def it_has_a_verdict(self) -> None:
        verdict = self.errors()
        assert verdict.severity is not Severity.OK or self.errors.burn_rate(DAY) is not None


def test_it_is_what_a_list_of_requests_says() -> None:
    run_state_machine_as_test(Model, settings=settings(max_examples=100, deadline=None))
