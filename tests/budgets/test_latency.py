"""Latency budgets: windows beside a model that keeps every value, verdicts beside the binomial."""

from __future__ import annotations

import copy
import json
import math
import pickle
import re
from collections import Counter
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from scipy import stats

from mlguard import ConfigurationError, ErrorBudget, LatencyBudget, Severity, Verdict
from mlguard.clocks import UnixClock, unix_clock
from mlguard.sketches.buckets import ends_of, rank_of
from mlguard.sketches.buffered import FULL
from mlguard.stats.quantiles import rank_interval
from mlguard.testing import ManualClock

if TYPE_CHECKING:
    from mlguard import Clock, Measurement

LIMITS = {0.5: 0.010, 0.99: 0.050}
START = 1_800_000_000.0


def budget(limits: Any = None, *, at: float = START, **more: Any) -> LatencyBudget:
    clock = more.pop("clock", None) or ManualClock(at)
    return LatencyBudget({0.99: 0.050} if limits is None else limits, clock=clock, **more)


def of(over: int, n: int, **more: Any) -> LatencyBudget:
    """Make a budget that saw `over` of n requests beyond 50 ms."""
    found = budget(**more)
    found.observe_many([0.020] * (n - over) + [0.080] * over)
    return found


def near(found: float, true: float) -> bool:
    return found == true or math.isclose(found, true, rel_tol=0.008, abs_tol=1.8e-310)


# Beside a model.


class Model:
    """Keeps every value with the slot it counts in."""

    def __init__(self, clock: Clock, window: float, slots: int) -> None:
        self.clock, self.width, self.slots = clock, window / slots, slots
        self.waiting: list[Any] = []
        self.kept: list[tuple[int, Any]] = []
        self.ever: list[Any] = []
        self.newest = self.now

    @property
    def now(self) -> int:
        return math.floor(self.clock() / self.width)

    def observe(self, value: Any) -> None:
        if self.clock() >= (self.newest + 1) * self.width or len(self.waiting) >= FULL:
            self.flush()
        self.waiting.append(value)

    def observe_many(self, values: list[float]) -> None:
        self.flush()
        self.kept += [(self.newest, value) for value in values]
        self.ever += values

    def flush(self) -> None:
        self.kept += [(self.newest, value) for value in self.waiting]
        self.ever += self.waiting
        self.waiting.clear()
        self.newest = self.now
        self.kept = [(min(slot, self.newest), value) for slot, value in self.kept]
        self.kept = [each for each in self.kept if each[0] > self.newest - self.slots]

    def add(self, other: Model) -> None:
        self.flush()
        other.flush()
        self.kept += other.kept
        self.ever += other.ever
        self.flush()

    def window(self) -> list[float]:
        self.flush()
        return sorted(float(value) for _, value in self.kept if valid(value))

    def totals(self, limits: Any) -> dict[str, int]:
        self.flush()
        found = [float(value) for value in self.ever if valid(value)]
        over = {f"over {limit!r}": sum(v > limit for v in found) for limit in limits.values()}
        return {"requests": len(found), "invalid": len(self.ever) - len(found), **over}


def valid(value: Any) -> bool:
    return isinstance(value, float | int) and value >= 0.0


latencies = st.one_of(
    st.floats(0.0, 1.0),
    st.sampled_from([0.0, -0.0, 0.010, 0.050, 1e-300, 1e300, math.inf, 5e-324]),
    st.sampled_from([math.nextafter(0.010, 1), math.nextafter(0.010, 0), math.nextafter(0.05, 1)]),
    st.sampled_from([0.0501, 0.0499]),
)
odd = st.sampled_from([math.nan, -1.0, -math.inf, None, "0.01", b"1", [0.1], True, 3])
steps = st.floats(0.0, 12.0) | st.sampled_from([0.5, 1.0, 5.0, 20.0, 299.0, 300.0, 3600.0, 5e6])


class Against(RuleBasedStateMachine):
    """A budget shows what its model shows, whatever the clock does and however it travels."""

    @initialize(slots=st.sampled_from([1, 4, 60]), window=st.sampled_from([20.0, 60.0, 300.0]))
    def begin(self, slots: int, window: float) -> None:
        self.clock = ManualClock(START)
        self.more = {"window": window, "slots": slots, "min_count": 1}
        self.budget = budget(LIMITS, clock=self.clock, **self.more)
        self.model = Model(self.clock, window, slots)

    @rule(value=latencies | odd)
    def observe(self, value: Any) -> None:
        self.budget.observe(value)
        self.model.observe(value)

    @rule(value=latencies, times=st.sampled_from([3, FULL + 5]))
    def observe_often(self, value: float, times: int) -> None:
        for _ in range(times):
            self.observe(value)

    @rule(values=st.lists(latencies | st.sampled_from([math.nan, -1.0]), max_size=20))
    def observe_many(self, values: list[float]) -> None:
        self.budget.observe_many(values)
        self.model.observe_many(values)

    @rule(step=steps)
    def advance(self, step: float) -> None:
        self.clock.advance(step)

    @rule(step=steps)
    def set_back(self, step: float) -> None:
        self.clock.advance(-step)

    @rule(
        skew=st.sampled_from([0.0, 7.0, -7.0, 400.0, -1e6]),
        values=st.lists(st.tuples(latencies, st.floats(0.0, 9.0)), max_size=8),
        swapped=st.booleans(),
    )
    def merge(self, skew: float, values: list[tuple[float, float]], *, swapped: bool) -> None:
        clock = ManualClock(self.clock() + skew)
        other = budget(LIMITS, clock=clock, **self.more)
        model = Model(clock, self.model.width * self.model.slots, self.model.slots)
        for value, step in values:
            other.observe(value)
            model.observe(value)
            clock.advance(step)
        if swapped:
            self.budget, self.clock = other + self.budget, clock
            model.add(self.model)
            self.model = model
        else:
            self.budget += other
            self.model.add(model)

    @rule(later=steps, how=st.sampled_from(["json", "pickle", "copy", "deepcopy"]))
    def travel(self, later: float, how: str) -> None:
        self.model.flush()
        if how == "json":
            text = self.budget.to_json()
            self.clock.advance(later)
            self.budget = LatencyBudget.from_json(text, clock=self.clock)
        elif how == "copy":
            self.budget = copy.copy(self.budget)
        else:
            twins = (self.budget, self.clock)
            self.budget, self.clock = (
                copy.deepcopy(twins) if how == "deepcopy" else pickle.loads(pickle.dumps(twins))  # noqa: S301 -- our own
            )
            assert self.budget.clock is self.clock
            self.model.clock = self.clock
        self.model.flush()

    @rule(q=st.sampled_from([0.0, 0.3, 0.5, 0.9, 0.99, 1.0]))
    def look(self, q: float) -> None:
        values = self.model.window()
        assert self.budget.totals == self.model.totals(LIMITS)
        measurement = self.budget.measure(q)
        assert measurement.n == len(values)
        if not values:
            assert math.isnan(self.budget.quantile(q))
            return
        true = values[rank_of(q, len(values)) - 1]
        assert measurement.value == self.budget.quantile(q)
        assert near(measurement.value, true) or true < 3.5e-310
        ranks = rank_interval(len(values), q, 0.95)
        for rank, end, sign in zip(
            ranks, (measurement.low, measurement.high), (-1, 1), strict=True
        ):
            if rank is None:
                assert end is None
            else:
                assert end is not None
                assert sign * (end - values[rank - 1]) >= 0 or end == values[rank - 1]
                assert end == values[rank - 1] or abs(end - values[rank - 1]) <= end / 60 + 4e-310
        for limit in LIMITS.values():
            assert (measurement.value > limit) == (true > limit)
            assert self.budget.over(limit).details["over"] == sum(v > limit for v in values)
        verdict = self.budget()
        assert {cause.severity for cause in causes(verdict)} <= set(Severity)
        assert all(Decimal(cause.evidence[0].details["covers"]) >= 0 for cause in causes(verdict))

    @invariant()
    def adds_up(self) -> None:
        if not hasattr(self, "budget"):
            return
        assert len(self.budget._buffer) == len(self.model.waiting)
        for ring in self.budget._rings.values():
            total = ring._make()
            for _, packed in ring.slots():
                total.put(packed)
            assert json.dumps(ring.total.packed(), default=list_of) == json.dumps(
                total.packed(), default=list_of
            )
        buckets, tally = self.budget._buckets.total, self.budget._tally.total
        assert buckets.n == tally.values[0]
        assert 0.0 <= self.budget._covers(self.budget._tally, self.clock()) <= self.budget.window

    def teardown(self) -> None:
        if hasattr(self, "budget"):
            self.look(0.5)


def list_of(array: Any) -> Any:
    return array.tolist()


def causes(verdict: Verdict) -> list[Verdict]:
    return [each for each in verdict.causes if isinstance(each, Verdict)]


Against.TestCase.settings = settings(max_examples=60, stateful_step_count=25)
TestLatencyBudget = Against.TestCase


class Long(Against):
    pass


Long.TestCase.settings = settings(max_examples=1500, stateful_step_count=50)
TestLatencyBudgetLong = pytest.mark.slow(Long.TestCase)


# The window.


def test_a_request_stays_at_least_59_of_60_slots_and_at_most_the_window() -> None:
    for offset in (0.0, 0.1, 4.9):
        latency = budget(at=START + offset)
        latency.observe(0.020)
        clock: Any = latency.clock
        for _ in range(295):
            assert latency.measure().n == 1
            clock.advance(1.0)
        clock.advance(5.0)
        assert latency.measure().n == 0
        assert latency.totals["requests"] == 1


def test_a_clock_set_back_loses_nothing_and_keeps_nothing_longer_than_a_window() -> None:
    for back in (0.5, 5.0, 200.0, 86_400.0, 1.7e9):
        clock = ManualClock(START)
        latency = budget(clock=clock)
        for value in (0.010, 0.020, 0.030):
            clock.advance(60.0)
            latency.observe(value)
        clock.advance(-back)
        latency.observe(0.040)
        assert latency.measure().n == 4
        clock.advance(300.0)
        assert latency.measure().n == 0
        assert latency.totals["requests"] == 4


def test_after_a_clock_set_back_it_covers_its_window_again_after_one_window() -> None:
    clock = ManualClock(START)
    latency = budget(clock=clock)
    clock.advance(600.0)
    latency.observe(0.010)
    clock.advance(-86_400.0)
    latency()
    for _ in range(60):
        clock.advance(5.0)
        latency.observe(0.010)
    assert latency.measure().details["covers"] == 295.0
    clock.advance(4.0)
    assert latency.throughput == pytest.approx(60 / 299)


def test_a_clock_that_jumps_a_day_ahead_empties_the_window() -> None:
    latency = of(20, 1000)
    latency.clock.advance(86_400.0)  # type: ignore[attr-defined]
    assert latency().reason == "no requests in 5 min: 368 are needed to judge it"
    latency.observe(0.010)
    assert latency.measure().n == 1


def test_the_window_may_be_one_slot_or_many_and_a_timedelta() -> None:
    latency = budget(window=timedelta(minutes=1), slots=1)
    latency.observe(0.020)
    latency.clock.advance(59.0)  # type: ignore[attr-defined]
    assert latency.measure().n == 1
    latency.clock.advance(1.0)  # type: ignore[attr-defined]
    assert (latency.measure().n, latency.window) == (0, 60.0)


def test_throughput_is_over_what_was_watched() -> None:
    latency = budget()
    assert math.isnan(latency.throughput)
    for _ in range(10):
        latency.clock.advance(1.0)  # type: ignore[attr-defined]
        latency.observe(0.020)
    assert latency.throughput == pytest.approx(1.0)
    latency.clock.advance(290.0)  # type: ignore[attr-defined]
    assert latency.throughput == pytest.approx(6 / 295)  # its first slot has just left the window


def test_what_was_counted_before_a_restart_is_not_taken_for_watched_time() -> None:
    latency = budget()
    for _ in range(10):
        latency.clock.advance(1.0)  # type: ignore[attr-defined]
        latency.observe(0.020)
    clock = ManualClock(START + 110.0)
    again = LatencyBudget.from_json(latency.to_json(), clock=clock)
    assert again.measure().details["covers"] == pytest.approx(15.0)  # to the width of a slot
    clock.advance(20.0)
    assert again.throughput == pytest.approx(10 / 35)


def test_the_time_of_the_newest_request_is_that_of_the_verdict() -> None:
    latency = budget()
    assert latency().at is None
    latency.observe(0.020)
    latency.clock.advance(100.0)  # type: ignore[attr-defined]
    assert latency().at == START + 5.0  # the end of its slot: no one looked earlier
    latency.observe_many([0.020])
    assert latency.measure().at == latency().at == START + 100.0
    assert latency.over(0.050).at == START + 100.0


def test_sixty_slots_are_small() -> None:
    latency, rng = budget(), np.random.default_rng(0)
    for _ in range(60):
        latency.observe_many([*rng.lognormal(-4.0, 1.0, 2000), 0.0, math.inf])
        latency.clock.advance(5.0)  # type: ignore[attr-defined]
    latency()
    ring = latency._buckets
    room = ring.total.array.nbytes + sum(
        part.nbytes for _, packed in ring.slots() for part in packed
    )
    assert room < 200_000


# What is a request.


@pytest.mark.parametrize(
    "value", [math.nan, -1.0, -5e-324, -math.inf, "0.05", b"1", None, [], [0.1], {}, object(), 1j]
)
def test_what_is_no_latency_is_invalid_and_never_raises(value: Any) -> None:
    latency = budget()
    for each in (0.010, value, 0.020):
        latency.observe(each)
    assert latency.totals == {"requests": 2, "invalid": 1, "over 0.05": 0}
    assert latency.measure().details["invalid"] == 1
    assert latency.quantile(1.0) == pytest.approx(0.020, rel=0.01)


@pytest.mark.parametrize("value", [True, 1, Decimal(1), Fraction(1), np.float32(1.0), np.int64(1)])
def test_every_kind_of_number_is_a_latency(value: Any) -> None:
    latency = budget()
    latency.observe(value)
    assert latency.totals == {"requests": 1, "invalid": 0, "over 0.05": 1}
    assert latency.quantile(0.5) == pytest.approx(1.0, rel=0.01)


def test_what_is_invalid_is_in_the_words() -> None:
    latency = budget()
    for _ in range(1000):
        latency.observe(timedelta(milliseconds=80))  # type: ignore[arg-type]
    assert latency().reason.startswith("no requests and 1,000 that were no latency in 0 s of 5 min")
    latency.observe(0.01)
    assert ", 1 request and 1,000 that were no latency in" in latency().reason


def test_infinity_is_slower_than_every_limit() -> None:
    latency = of(0, 500)
    latency.observe_many([math.inf] * 50)
    verdict = latency()
    assert verdict.severity is Severity.BREACH
    assert verdict.reason == (
        "p99 = infinity (infinity to infinity), limit 50 ms, 550 requests in 0 s of 5 min: too slow"
    )
    assert json.loads(json.dumps(verdict.to_dict(), allow_nan=False))


@pytest.mark.parametrize(
    "values", [["a"], "0.05", {"a": 1.0}, [[1.0], []], np.array(["2026"], "M8")]
)
def test_an_array_of_something_else_is_refused_and_nothing_counted(values: Any) -> None:
    latency = of(1, 10)
    before = latency.to_json()
    with pytest.raises(ConfigurationError, match=r"^seconds = .*: must be an array of numbers$"):
        latency.observe_many(values)
    assert latency.to_json() == before


@given(st.lists(latencies | st.sampled_from([math.nan, -1.0]), max_size=40), st.randoms())
def test_any_chunks_order_and_merge_give_the_same_json(values: list[float], random: Any) -> None:
    whole, mixed, parts = budget(LIMITS), budget(LIMITS), [budget(LIMITS) for _ in range(3)]
    whole.observe_many(values)
    random.shuffle(values)
    for value in values:
        mixed.observe(value) if random.random() < 0.5 else mixed.observe_many([value])
        random.choice(parts).observe(value)
    a, b, c = parts
    for other in (mixed, a + b + c, c + (a + b), b + (c + a)):
        record, expected = json.loads(other.to_json()), json.loads(whole.to_json())
        assert record == expected
        assert other == whole


# The limit.


def test_a_latency_exactly_at_the_limit_is_fine() -> None:
    for limit in (0.05, 0.1, 1e-300, 0.015625, 3):
        latency = budget({0.99: limit})
        latency.observe_many([limit] * 1000)
        assert latency().severity is Severity.OK
        assert latency.quantile(0.99) <= limit
        assert latency.over(limit).value == 0.0
        latency.observe_many([math.nextafter(limit, math.inf)] * 1000)
        assert latency().severity is Severity.BREACH
        assert latency.quantile(0.99) > limit
        assert latency.quantile(0.5) <= limit
        assert latency.over(limit).value == 0.5
        assert latency.measure().low > limit  # type: ignore[operator]


@given(st.floats(1e-9, 1e9), st.integers(0, 20), st.integers(0, 20), st.integers(0, 20))
def test_a_quantile_lies_on_its_side_of_the_limit(
    limit: float, below: int, at: int, above: int
) -> None:
    assume(below + at + above)
    latency = budget({0.5: limit, 0.99: limit * 1.0001})  # both in one bucket, or nearly
    values = [math.nextafter(limit, 0.0)] * below + [limit] * at
    values += [math.nextafter(limit, math.inf)] * above
    latency.observe_many(values)
    for rank in range(1, len(values) + 1):
        found = latency.quantile(rank / len(values))
        assert near(found, values[rank - 1])
        assert (found > limit) == (values[rank - 1] > limit)
        assert found <= limit * 1.0001
        low, high = ends_of(65_000)
        assert low < high


# Verdicts.


@pytest.mark.parametrize("rule", ["estimate", "proven"])
@pytest.mark.parametrize("n", [367, 368, 1000, 5000])
def test_severities_follow_from_the_binomial(n: int, rule: Any) -> None:
    low, high = rank_interval(n, 0.99, 0.95)
    rank = math.ceil(0.99 * n)
    seen = set()
    for over in range(n // 20):
        verdict = of(over, n, rule=rule)()
        if n < 368:
            expected = Severity.UNKNOWN
        elif over > n - rank:
            assert low is not None
            certain = stats.binom.sf(over - 1, n, 0.01) <= 0.001 and over > n - low
            expected = Severity.BREACH if certain else Severity.WARN
        else:
            assert high is not None
            proven = rule == "estimate" or over <= n - high
            expected = Severity.OK if proven else Severity.UNKNOWN
        assert verdict.severity is expected, over
        seen.add(expected)
        ends = (Severity.OK, Severity.BREACH) if expected is Severity.UNKNOWN else (expected,) * 2
        assert (verdict.low, verdict.high) == ends
    assert n < 368 or {Severity.OK, Severity.WARN, Severity.BREACH} <= seen


def test_alpha_is_divided_among_the_limits() -> None:
    n, tail = 1000, stats.binom.sf(np.arange(-1, 60), 1000, 0.01)
    one, two = (int(np.argmax(tail <= alpha)) for alpha in (0.001, 0.0005))
    assert one < two
    for over, alone, beside in ((one - 1, "WARN", "WARN"), (one, "BREACH", "WARN")):
        assert of(over, n)().severity.name == alone
        assert of(over, n, limits={0.5: 0.045, 0.99: 0.050})().severity.name == beside
    assert of(two, n, limits={0.5: 0.045, 0.99: 0.050})().severity is Severity.BREACH
    assert of(one, n, alpha=0.0001)().severity is Severity.WARN


def test_it_needs_368_requests_for_p99_and_says_so() -> None:
    for limits, needed in (({0.99: 1}, 368), ({0.5: 1}, 6), ({0.5: 1, 0.95: 2}, 72)):
        latency = budget(limits)
        assert latency.min_count == needed
        latency.observe_many([0.1] * (needed - 1))
        assert latency().severity is Severity.UNKNOWN
        assert not latency().ok
        latency.observe(0.1)
        assert latency().severity is Severity.OK
    assert of(0, 367)().reason.endswith("367 requests in 0 s of 5 min: 368 are needed to judge it")


def test_with_fewer_allowed_it_warns_and_does_not_breach_without_an_interval() -> None:
    verdict = of(200, 200, min_count=10)()
    assert verdict.severity is Severity.BREACH  # every one: the low end is there
    few = of(5, 10, min_count=10)()
    assert few.severity is Severity.BREACH
    assert of(1, 10, min_count=10)().severity is Severity.WARN
    assert of(0, 10, min_count=10, rule="proven")().severity is Severity.UNKNOWN
    assert of(0, 10, min_count=10)().severity is Severity.OK


@pytest.mark.parametrize(
    ("over", "n", "more", "reason"),
    [
        (0, 0, {}, "no requests in 0 s of 5 min: 368 are needed to judge it"),
        (0, 1, {}, "p99 = 20.02 ms, limit 50 ms, 1 request in 0 s of 5 min: 368 are needed"),
        (
            0,
            4210,
            {},
            "p99 = 20.02 ms (19.9 ms to 20.14 ms), limit 50 ms, 4,210 requests in 0 s of",
        ),
        (420, 4200, {}, "p99 = 79.76 ms (79.1 ms to 80.08 ms), limit 50 ms, 4,200 requests"),
        (
            43,
            4200,
            {},
            ": above the limit; a service at its limit looks so slow with a chance of 0.46",
        ),
        (5, 4200, {"rule": "proven"}, " 4,200 requests in 0 s of 5 min: within the limit"),
        (41, 4200, {"rule": "proven"}, ": its interval contains the limit"),
    ],
)
def test_the_reason_says_quantile_interval_limit_count_and_window(
    over: int, n: int, more: Any, reason: str
) -> None:
    words = of(over, n, **more)().reason
    assert reason in words or re.sub(r"\d+\.\d+ ms", "ms", reason) in re.sub(
        r"\d+\.\d+ ms", "ms", words
    )


def test_the_reason_says_how_much_of_the_window_it_saw() -> None:
    latency = budget()
    for seconds, words in (
        (0, "0 s of 5 min"),
        (90, "1.5 min of 5 min"),
        (210, "5 min"),
        (1e4, "5 min"),
    ):
        latency.clock.advance(seconds)  # type: ignore[attr-defined]
        latency.observe_many([0.020] * 400)
        assert re.search(r"requests in (.*): within the limit$", latency().reason)[1] == words  # type: ignore[index]


def test_several_limits_are_judged_one_by_one_and_the_worst_counts() -> None:
    latency = budget(LIMITS, name="scorer")
    latency.observe_many([0.005] * 900 + [0.020] * 100)
    assert (latency().name, latency().severity) == ("scorer", Severity.OK)
    latency.observe_many([0.020] * 1000)
    verdict = latency()
    assert [(each.name, each.severity.name) for each in causes(verdict)] == [
        ("p50", "BREACH"),
        ("p99", "OK"),
    ]
    assert verdict.severity is Severity.BREACH
    assert budget(name="alone")().name == "alone"


def test_a_measurement_carries_everything() -> None:
    m = of(50, 1000).measure(0.99)
    assert (m.name, m.unit, m.n, m.confidence) == ("p99", "s", 1000, 0.95)
    assert m.value == pytest.approx(0.080, rel=0.01)
    assert m.p_value == pytest.approx(stats.binom.sf(49, 1000, 0.01))
    assert dict(m.details) == {
        "window": 300.0,
        "covers": 0.0,
        "invalid": 0,
        "limit": 0.05,
        "over": 50,
    }
    other = of(50, 1000).measure(0.999)
    assert (other.name, other.p_value, other.high, other.confidence) == ("p99.9", None, None, None)
    assert "limit" not in other.details
    empty = budget().measure()
    assert (empty.n, empty.low, empty.high, empty.p_value) == (0, None, None, None)
    assert math.isnan(empty.value)


def test_by_default_the_quantile_nearest_to_its_limit_is_measured() -> None:
    latency = budget(LIMITS)
    assert latency.measure().n == 0
    latency.observe_many([0.009] * 90 + [0.020] * 10)
    assert latency.measure().name == "p50"
    latency.observe_many([0.009] * 80 + [0.120] * 20)
    assert latency.measure().name == "p99"


def test_the_share_over_a_limit_is_exact_and_has_an_interval() -> None:
    m: Measurement = of(30, 1000).over(0.050)
    assert (m.name, m.value, m.unit, m.n, m.details["over"]) == (
        "over 50 ms",
        0.03,
        "share",
        1000,
        30,
    )
    assert m.low == pytest.approx(0.0206, abs=5e-4)
    assert m.high == pytest.approx(0.0421, abs=5e-4)
    empty = budget().over(0.050)
    assert (empty.n, empty.low, empty.high) == (0, None, None)
    for limit in (0.051, "0.05", None):
        with pytest.raises(ConfigurationError, match=r"^limit = .*: must be one of \[0.05\]$"):
            budget().over(limit)  # type: ignore[arg-type]


# Timing.


def fail_after(clock: ManualClock, seconds: float) -> None:
    clock.advance(seconds)
    raise KeyError


def test_a_block_is_timed_whether_it_raises_or_not() -> None:
    clock = ManualClock(START)
    latency = budget(clock=clock)
    with latency.timed():
        clock.advance(0.25)
    with pytest.raises(KeyError), latency.timed():
        fail_after(clock, 0.5)
    assert latency.totals["requests"] == 2
    assert latency.quantile(0.0) == pytest.approx(0.25, rel=0.01)
    assert latency.quantile(1.0) == pytest.approx(0.5, rel=0.01)


def test_a_block_may_be_timed_from_when_it_was_due() -> None:
    clock = ManualClock(START)
    latency = budget(clock=clock)
    with latency.timed(intended_start=START - 2.0):
        clock.advance(0.5)
    assert latency.quantile(1.0) == pytest.approx(2.5, rel=0.01)
    with latency.timed(intended_start=START + 10.0):  # the clock of another host is ahead
        clock.advance(0.5)
    assert latency.quantile(0.0) == pytest.approx(0.5, rel=0.01)
    assert latency.totals == {"requests": 2, "invalid": 0, "over 0.05": 2}
    waiting = latency.timed()
    clock.advance(10.0)  # not in the block yet
    for _ in range(2):
        with waiting:
            clock.advance(0.1)
    assert latency.quantile(0.5) == pytest.approx(0.1, rel=0.01)
    for wrong in (math.nan, math.inf, "soon", START * 1000):
        with pytest.raises(ConfigurationError, match=r"^intended_start = "):
            latency.timed(intended_start=wrong)  # type: ignore[arg-type]


# Its arguments.


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"limits": {}}, "^limits = {}: must be a mapping of quantiles to seconds"),
        ({"limits": 0.05}, "^limits = 0.05: must be a mapping of quantiles to seconds"),
        ({"limits": [(0.99, 0.05)]}, "must be a mapping of quantiles to seconds"),
        ({"limits": {99: 0.05}}, "^a quantile of limits = 99: must be between 0 and 1"),
        ({"limits": {"p99": 0.05}}, "^a quantile of limits = 'p99': must be a number"),
        (
            {"limits": {0.0: 0.05}},
            "^a quantile of limits = 0.0: must be between 0 and 1, both excl",
        ),
        (
            {"limits": {1.0: 0.05}},
            "^a quantile of limits = 1.0: must be between 0 and 1, both excl",
        ),
        ({"limits": {math.nan: 0.05}}, "^a quantile of limits = nan"),
        ({"limits": {0.99: 0.0}}, r"^limits\[0.99\] = 0.0: must be a positive duration"),
        ({"limits": {0.99: -1}}, r"^limits\[0.99\] = -1: must be a positive duration"),
        ({"limits": {0.99: math.inf}}, r"^limits\[0.99\] = inf: must be a positive duration"),
        ({"limits": {0.99: math.nan}}, r"^limits\[0.99\] = nan: must be a positive duration"),
        ({"limits": {0.99: "50ms"}}, r"^limits\[0.99\] = '50ms': must be a number"),
        ({"limits": {0.5: 0.05, 0.99: 0.05}}, "^limits = .*: must be larger for a higher quantile"),
        ({"limits": {0.99: 0.01, 0.5: 0.05}}, "^limits = .*: must be larger for a higher quantile"),
        ({"window": 0}, "^window = 0: must be a positive duration"),
        ({"window": timedelta(-1)}, "^window = .*: must be a positive duration"),
        ({"window": "5 min"}, "^window = '5 min': must be a number"),
        ({"window": 0.05}, "^slots = 60: must be at most 10,000, each of at least 1 ms"),
        ({"window": 5e-324}, "^slots = 60: must be at most 10,000, each of at least 1 ms"),
        (
            {"slots": 10**15},
            "^slots = 1000000000000000: must be at most 10,000, each of at least 1 ms",
        ),
        ({"slots": 0}, "^slots = 0: must be a whole number of at least 1"),
        ({"slots": 2.5}, "^slots = 2.5: must be a whole number of at least 1"),
        ({"min_count": 0}, "^min_count = 0: must be a whole number of at least 1"),
        ({"rule": "sure"}, '^rule = \'sure\': must be "estimate" or "proven"'),
        ({"alpha": 0.0}, "^alpha = 0.0: must be between 0 and 1, both excluded"),
        ({"alpha": 1}, "^alpha = 1: must be between 0 and 1, both excluded"),
        ({"name": " "}, "^name = ' ': must be a string that is not empty"),
    ],
)
def test_a_wrong_argument_is_named(more: Any, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        budget(**more)


def test_limits_may_be_timedeltas_and_stand_in_any_order() -> None:
    latency = budget({0.99: timedelta(milliseconds=50), 0.5: 0.010})
    assert dict(latency.limits) == LIMITS
    assert latency == budget(LIMITS)
    with pytest.raises(TypeError):
        latency.limits[0.9] = 1.0  # type: ignore[index]
    assert repr(latency) == "LatencyBudget({0.5: 0.01, 0.99: 0.05}, window=300)"


def test_its_clock_is_one_of_unix_seconds_by_default() -> None:
    latency = LatencyBudget({0.99: 0.05})
    assert isinstance(latency.clock, UnixClock)
    latency.observe(0.010)
    assert latency.measure().n == 1


def test_a_unix_clock_of_two_parts_moves_the_window() -> None:
    monotonic = ManualClock(5.0)
    latency = budget(clock=unix_clock(wall=lambda: START, monotonic=monotonic))
    latency.observe(0.010)
    monotonic.advance(290.0)
    latency.observe(0.010)
    assert latency.measure().n == 2
    monotonic.advance(10.0)
    assert latency.measure().n == 1
    assert latency.measure().at == START + 290.0


# Sums and the wire.


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"limits": {0.99: 0.06}}, "limits"),
        ({"window": 60.0}, "window"),
        ({"slots": 30}, "slots"),
        ({"rule": "proven", "alpha": 0.01}, "rule, alpha"),
        ({"min_count": 5}, "min_count"),
    ],
)
def test_budgets_of_different_settings_do_not_add(more: Any, words: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^budgets of different {words} do not add: "):
        budget() + budget(**more)


def test_budgets_add_only_to_budgets_and_have_no_hash() -> None:
    for other in (1, None, ErrorBudget(slo=0.99)):
        with pytest.raises(TypeError):
            budget() + other  # type: ignore[operator]
        assert budget() != other
    with pytest.raises(TypeError):
        hash(budget())


def test_a_sum_has_the_clock_of_the_first_and_stands_by_itself() -> None:
    one, two = of(1, 10), of(2, 20)
    total = one + two
    assert total.clock is one.clock
    total.observe(0.010)
    one.observe(0.010)
    assert [each.totals["requests"] for each in (one, two, total)] == [11, 20, 31]


def test_a_host_whose_clock_is_ahead_counts_as_of_now() -> None:
    here, ahead = of(0, 500), of(0, 700, at=START + 3600.0)
    assert (here + ahead).measure().n == 1200
    assert (ahead + here).measure().n == 700
    total = here + ahead
    total.clock.advance(300.0)  # type: ignore[attr-defined]
    assert total.measure().n == 0


def test_a_source_that_retired_keeps_its_totals_only() -> None:
    old = of(20, 1000).retired()
    assert old.totals == {"requests": 1000, "invalid": 0, "over 0.05": 20}
    assert old.measure().n == 0
    total = of(1, 10) + old
    assert (total.totals["requests"], total.measure().n) == (1010, 10)


def test_its_json_is_this() -> None:
    latency = budget()
    for value in (0.020, 0.080, math.nan):
        latency.observe(value)
    latency.clock.advance(5.0)  # type: ignore[attr-defined]
    latency.observe(math.inf)
    slot = int(START // 5)
    assert json.loads(latency.to_json()) == {
        "kind": "latencybudget",
        "schema": 1,
        "name": "latency",
        "settings": {
            "limits": [[0.99, 0.05]],
            "window": 300.0,
            "slots": 60,
            "min_count": 368,
            "rule": "estimate",
            "alpha": 0.001,
        },
        "began": START,
        "at": START + 5.0,
        "totals": {"requests": 3, "invalid": 1, "over 0.05": 2},
        "rings": {
            "buckets": {
                "newest": slot + 1,
                "watched": "3",
                "slots": [[slot, [[65105, 65233], [1, 1]]], [slot + 1, [[131008], [1]]]],
            },
            "tally": {
                "newest": slot + 1,
                "watched": "3",
                "slots": [[slot, [2, 1, 1]], [slot + 1, [1, 0, 1]]],
            },
        },
    }


def test_it_reads_what_an_earlier_one_wrote_however_long_ago() -> None:
    latency = of(20, 1000, limits=LIMITS, rule="proven", min_count=5, alpha=0.01, name="scorer")
    text = latency.to_json()
    for later in (0.0, 200.0, 1e9, -1e9):
        again = LatencyBudget.from_json(text, clock=ManualClock(START + later))
        assert again.totals == latency.totals
        assert again.measure(0.5).n == (0 if later == 1e9 else 1000)
        assert (again.rule, again.min_count, again.alpha, again.name) == (
            "proven",
            5,
            0.01,
            "scorer",
        )
    assert LatencyBudget.from_json(text, clock=latency.clock) == latency
    assert isinstance(LatencyBudget.from_json(text).clock, UnixClock)


def test_a_pickle_carries_counts_and_clock() -> None:
    latency = of(20, 1000)
    latency.observe(0.010)
    twin = pickle.loads(pickle.dumps(latency))  # noqa: S301 -- our own
    assert twin == latency
    assert twin.clock() == START
    assert copy.copy(latency).clock is latency.clock
    real = LatencyBudget({0.99: 0.05})
    assert pickle.loads(pickle.dumps(real)).clock == real.clock  # noqa: S301 -- our own


GOOD = json.loads(of(20, 1000, limits=LIMITS).to_json())
junk = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.integers(-(10**400), 10**400)
    | st.floats()
    | st.text(max_size=3)
    | st.sampled_from(["inf", "-1", "ff", 10**13, -(10**13)]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)


def places(record: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = record.items() if isinstance(record, dict) else enumerate(record)
    found = []
    for key, each in inner:
        found.append((*path, key))
        if isinstance(each, dict | list):
            found += places(each, (*path, key))
    return found


@pytest.mark.filterwarnings("error")
@settings(max_examples=400)
@given(path=st.sampled_from(places(GOOD)), value=junk, drop=st.booleans())
def test_damaged_json_is_refused_or_read_whole(
    path: tuple[Any, ...], value: Any, *, drop: bool
) -> None:
    record = json.loads(json.dumps(GOOD))
    inside = record
    for key in path[:-1]:
        inside = inside[key]
    if drop:
        del inside[path[-1]]
    else:
        inside[path[-1]] = value
    clock = ManualClock(START)
    try:
        found = LatencyBudget.from_json(json.dumps(record), clock=clock)
    except ConfigurationError as error:
        assert str(error)  # noqa: PT017 -- it is the only error allowed
        return
    assert found().reason
    found.observe(0.010)
    clock.advance(7.0)
    assert found.throughput >= 0.0 or math.isnan(found.throughput)
    again = LatencyBudget.from_json((found + found).to_json(), clock=clock)
    assert again.totals == {name: 2 * number for name, number in found.totals.items()}


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (("kind",), "errorbudget", "^kind = 'errorbudget': must be 'latencybudget'$"),
        (("schema",), 2, "^schema = 2: must be 1$"),
        (("settings", "slots"), 0, "slots = 0"),
        (("settings", "slots"), 10**13, "slots = 10000000000000"),
        (("settings", "colour"), "red", "colour"),
        (
            ("settings",),
            {"limits": [[0.5, 0.01], [0.99, 0.05]]},
            "^settings = .*: must be whole, with ",
        ),
        (("at",), 1e300, "at = 1e"),
        (("began",), "soon", "began = 'soon'"),
        (("totals", "requests"), -1, "requests = -1"),
        (("rings", "tally", "watched"), "xyz", "xyz"),
        (("rings", "tally", "slots"), [[0, [1]]], r"slots = \[1\]"),
        (("rings", "tally", "slots"), [[0, [2**60, 0, 0, 0]]], "slots = "),
        (("rings", "buckets", "slots"), [[0, [[5, 4], [1, 1]]]], "counts = "),
        (("name",), "", "name = ''"),
    ],
)
def test_the_error_names_what_is_damaged(path: tuple[str, ...], value: Any, words: str) -> None:
    record = json.loads(json.dumps(GOOD))
    inside = record
    for key in path[:-1]:
        inside = inside[key]
    inside[path[-1]] = value
    with pytest.raises(ConfigurationError, match=words):
        LatencyBudget.from_json(json.dumps(record))


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "1", None, 5, b"\xff", "[" * 200_000])
def test_what_is_no_json_of_a_budget_is_refused(text: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^(text|kind) = "):
        LatencyBudget.from_json(text)


def test_a_record_from_long_ago_or_far_ahead_takes_no_memory() -> None:
    for newest in (-(10**15), 10**15, -(10**400), 10**400):
        record = json.loads(json.dumps(GOOD))
        for ring in record["rings"].values():
            ring["newest"] = newest
        found = LatencyBudget.from_json(json.dumps(record), clock=ManualClock(START))
        assert found._tally.watched < 2**60


def test_the_window_is_a_counter_of_all_that_happened() -> None:
    latency, seen = budget(LIMITS), Counter[str]()
    for value in np.random.default_rng(5).lognormal(-4.0, 1.0, 3 * FULL):
        latency.observe(value)
        seen["requests"] += 1
        seen["over 0.01"] += value > 0.010
        seen["over 0.05"] += value > 0.050
    assert latency.totals == {**seen, "invalid": 0}
