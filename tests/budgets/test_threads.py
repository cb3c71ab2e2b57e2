"""Meters while threads observe, windows turn, processes fork and signals cut in."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from types import FrameType
from typing import Any

import pytest

from mlguard import ErrorBudget, Histogram, LatencyBudget
from mlguard.testing import ManualClock

START = 1_800_000_000.0


@dataclass(frozen=True)
class Kind:
    """How a meter is made, shown one thing, and asked how many it saw."""

    make: Callable[[ManualClock], Any]
    observe: Callable[[Any], None]
    count: Callable[[Any], int]


KINDS = {
    "latency": Kind(
        lambda clock: LatencyBudget({0.5: 0.010, 0.99: 0.050}, clock=clock),
        lambda latency: latency.observe(0.020),
        lambda latency: latency.totals["requests"],
    ),
    "errors": Kind(
        lambda clock: ErrorBudget(0.999, clock=clock),
        lambda errors: errors.observe(good=False),
        lambda errors: errors.totals["bad"],
    ),
    "histogram": Kind(
        lambda _: Histogram(),
        lambda histogram: histogram.add(0.020),
        lambda histogram: histogram.n,
    ),
}
each_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


@pytest.fixture
def _switching() -> Iterator[None]:
    """Let another thread go on after every few steps."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@each_kind
@pytest.mark.usefixtures("_switching")
def test_eight_threads_lose_nothing_while_another_turns_the_windows(kind: Kind) -> None:
    clock, start, turned = ManualClock(START), threading.Barrier(9), threading.Event()
    meter = kind.make(clock)

    def observe() -> int:
        start.wait(20.0)
        seen = 0
        while not turned.is_set():
            for _ in range(100):
                kind.observe(meter)
            seen += 100
        return seen

    def turn() -> None:
        start.wait(20.0)
        try:
            for _ in range(600):
                clock.advance(1.0)
                meter.to_json()
        finally:
            turned.set()

    with ThreadPoolExecutor(9) as pool:
        turning, *observing = pool.submit(turn), *(pool.submit(observe) for _ in range(8))
    turning.result()
    seen = sum(each.result() for each in observing)
    assert kind.count(meter) == seen

    clock.advance(timedelta(days=31))
    assert kind.count(meter) == seen
    for ring in getattr(meter, "_rings", {}).values():
        assert not ring.total
        assert not list(ring.slots())


each_budget = pytest.mark.parametrize("kind", list(KINDS.values())[:2], ids=list(KINDS)[:2])


@each_budget
def test_a_thread_that_waited_for_its_turn_does_not_set_the_window_back(kind: Kind) -> None:
    meter = kind.make(ManualClock(START))
    held = []

    def time() -> float:
        held.append(meter._lock.locked())
        return START

    meter.clock = time
    assert kind.count(meter) == 0
    assert held == [True]  # the time is that of its turn


forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
has_threads = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")  # on purpose


def in_a_child(meter: Any, work: Callable[[], int]) -> int:
    """Fork while another thread holds the lock of a meter, and give what the child counts."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(meter._lock.acquire).result()
        child = os.fork()
        if not child:
            code = 255
            try:
                signal.alarm(20)  # rather dead than waiting for a thread that is not there
                code = work()
            finally:
                os._exit(code)
        _, status = os.waitpid(child, 0)
        meter._lock.release()
    return os.waitstatus_to_exitcode(status)


@forks
@has_threads
@each_kind
def test_a_child_forked_while_another_thread_counts_goes_on(kind: Kind) -> None:
    meter = kind.make(ManualClock(START))

    def work() -> int:
        before = kind.count(meter)
        for _ in range(100):
            kind.observe(meter)
        return kind.count(meter) - before

    kind.observe(meter)
    assert in_a_child(meter, work) == 100
    assert kind.count(meter) == 1


@forks
@has_threads
@each_budget
def test_a_forked_child_of_a_budget_counts_from_zero(kind: Kind) -> None:
    clock = ManualClock(START)
    meter = kind.make(clock)

    def work() -> int:
        assert not any(ring.total for ring in meter._rings.values())
        clock.advance(timedelta(days=31))  # nor does it leave the window
        assert not any(meter.totals.values())
        assert not any(ring.total for ring in meter._rings.values())
        kind.observe(meter)
        return int(meter.measure().n)

    for _ in range(3):
        kind.observe(meter)
        clock.advance(60.0)
        assert meter.measure().n
    kind.observe(meter)  # which waits to be counted
    assert in_a_child(meter, work) == 1
    assert kind.count(meter) == meter.measure().n == 4


def steps_of(work: Callable[[], object]) -> int:
    """Count the lines that run: as many on every machine, however busy it is."""
    steps = 0

    def trace(_frame: FrameType, _event: str, _argument: object) -> Any:
        nonlocal steps
        steps += 1
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return steps


def test_a_million_idle_slots_take_no_more_steps_than_a_window_of_them() -> None:
    def after(idle: int) -> int:
        clock = ManualClock(START)
        latency = LatencyBudget({0.99: 0.050}, clock=clock)
        for _ in range(latency.slots):
            clock.advance(5.0)
            latency.observe(0.020)
        assert latency.measure().n == latency.slots
        clock.advance(5.0 * idle)
        steps = steps_of(lambda: latency.observe(0.020))
        assert latency.measure().n == 1
        return steps

    assert after(10**6) <= 2 * after(60)


INTERRUPTED = """
import signal
from mlguard import ErrorBudget, Histogram, LatencyBudget
from mlguard.sketches.buffered import FULL
from mlguard.testing import ManualClock

clock = ManualClock()
latency, errors = LatencyBudget({0.99: 0.05}, clock=clock), ErrorBudget(0.999, clock=clock)
histogram = Histogram()

def observe(*_):
    clock.advance(7200.0)
    for _ in range(FULL + 1):
        latency.observe(0.02)
        errors.observe(True)
        histogram.add(0.02)

def stream():
    try:
        yield
    finally:
        observe()

signal.signal(signal.SIGINT, observe)
left = stream()
next(left)
with latency._lock, errors._lock, histogram._lock:
    signal.raise_signal(signal.SIGINT)
    del left
for found in (latency.totals["requests"], errors.totals["good"], histogram.n):
    assert found == 2 * (FULL + 1), found
"""


def test_a_signal_or_a_finaliser_that_observes_does_not_wait_for_its_own_thread() -> None:
    subprocess.run([sys.executable, "-c", INTERRUPTED], check=True, timeout=60)


ALARMED = """
import signal
from mlguard import ErrorBudget, Histogram, LatencyBudget
from mlguard.testing import ManualClock

clock = ManualClock()
latency, errors = LatencyBudget({0.99: 0.05}, clock=clock), ErrorBudget(0.999, clock=clock)
histogram, alarms, seen = Histogram(), 0, 0

def observe():
    latency.observe(0.02)
    errors.observe(True)
    histogram.add(0.02)

def alarm(*_):
    global alarms
    alarms += 1
    observe()
    if alarms < 2000:
        signal.setitimer(signal.ITIMER_REAL, 1e-4)

signal.signal(signal.SIGALRM, alarm)
alarm()
while alarms < 2000:
    clock.advance(1.0)
    observe()
    seen += 1
    latency.to_json(), errors.totals, histogram.n
for found in (latency.totals["requests"], errors.totals["good"], histogram.n):
    assert found == seen + alarms, (found, seen, alarms)
"""


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="there are no timers here")
def test_signals_at_any_moment_lose_nothing() -> None:
    subprocess.run([sys.executable, "-c", ALARMED], check=True, timeout=60)
