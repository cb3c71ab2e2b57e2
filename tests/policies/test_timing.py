"""A cached check is asked once per ttl, whoever asks, and never holds anybody up."""

from __future__ import annotations

import copy
import pickle
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any, cast

import pytest

from mlguard import Check, ConfigurationError, Severity, Verdict, cached
from mlguard.testing import ManualClock, ScriptedCheck

PATIENCE = 20.0  # seconds after which a test that hangs gives up


class Numbered:
    """A check that counts how often, and how often at once, it is asked; and does as it is told."""

    def __init__(self, during: Callable[[int], object] = lambda _: None) -> None:
        self.asked = 0
        self.at_once = self.most_at_once = 0
        self.during = during
        self.lock = threading.Lock()

    def __call__(self) -> Verdict:
        with self.lock:
            self.asked += 1
            number = self.asked
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            self.during(number)
        finally:
            with self.lock:
                self.at_once -= 1
        return Verdict("numbered", Severity.OK, str(number))


def asked_at(check: Check, clock: ManualClock, *steps: float) -> list[str]:
    reasons = []
    for step in steps:
        clock.advance(step)
        reasons.append(check().reason)
    return reasons


def test_a_verdict_is_kept_for_its_ttl_counted_from_when_it_was_asked() -> None:
    clock = ManualClock(1e6)
    check = cached(Numbered(), ttl=5.0, clock=clock)
    assert asked_at(check, clock, 0, 4.5, 0.5, 4.5, 0.5) == ["1", "1", "2", "2", "3"]


def test_a_slow_check_is_as_old_as_its_question() -> None:
    clock = ManualClock()
    check = cached(Numbered(lambda _: clock.advance(4.0)), ttl=5.0, clock=clock)
    assert asked_at(check, clock, 0, 0.5, 0.5) == ["1", "1", "2"]


def test_a_crash_is_kept_like_any_verdict() -> None:
    def crash(number: int) -> None:
        if number == 1:
            raise OSError("no route")

    clock = ManualClock()
    check = cached(Numbered(crash), ttl=5.0, clock=clock)
    first = check()
    assert (first.severity, first.reason) == (Severity.UNKNOWN, "crashed: OSError: no route")
    assert asked_at(check, clock, 4.0, 1.0) == [first.reason, "2"]


def test_an_interrupted_question_leaves_the_check_usable() -> None:
    def interrupt(number: int) -> None:
        if number == 2:
            raise KeyboardInterrupt

    clock = ManualClock()
    check = cached(Numbered(interrupt), ttl=5.0, clock=clock)
    check()
    clock.advance(5.0)
    with pytest.raises(KeyboardInterrupt):
        check()
    assert check().reason == "3"


@pytest.mark.parametrize("back", [-5.0, -50.0, -1e6])
def test_a_clock_set_back_ends_a_verdict_and_never_brings_it_back(back: float) -> None:
    clock = ManualClock(100.0)
    check = cached(Numbered(), ttl=5.0, clock=clock)
    assert asked_at(check, clock, 0, back, 1.0, -back - 1.0) == ["1", "2", "2", "3"]


def test_a_clock_set_back_a_little_keeps_a_verdict_a_little_longer() -> None:
    clock = ManualClock(100.0)
    check = cached(Numbered(), ttl=5.0, clock=clock)
    assert asked_at(check, clock, 0, -4.9, 9.8, 0.2) == ["1", "1", "1", "2"]


@pytest.mark.parametrize("ttl", [0, -1.0, float("nan"), float("inf"), "5", None, timedelta(0)])
def test_a_bad_ttl_is_named(ttl: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^ttl"):
        cached(Numbered(), ttl=ttl)


def test_a_ttl_may_be_a_timedelta_and_a_check_must_be_callable() -> None:
    assert cached(Numbered(), ttl=timedelta(minutes=1)).ttl == 60.0
    with pytest.raises(ConfigurationError, match=r"^check = True"):
        cached(cast("Any", bool(1)), ttl=1.0)


# ---------------------------------------------------------------- many who ask


def test_while_one_thread_asks_the_others_get_the_last_verdict() -> None:
    others = 7
    answered = threading.Semaphore(0)

    def wait_for_the_others(number: int) -> None:
        for _ in range(others if number > 1 else 0):
            assert answered.acquire(timeout=PATIENCE)

    clock = ManualClock()
    numbered = Numbered(wait_for_the_others)
    check = cached(numbered, ttl=5.0, clock=clock)
    start = threading.Barrier(others + 1)

    def ask(_: int) -> str:
        start.wait(PATIENCE)
        reason = check().reason
        answered.release()
        return reason

    with ThreadPoolExecutor(others + 1) as pool:
        for now in range(1, 20):
            if now == 1:
                check()
            clock.advance(5.0)
            got = sorted(pool.map(ask, range(others + 1)), key=int)
            assert got == [str(now)] * others + [str(now + 1)]
            answered = threading.Semaphore(0)
    assert numbered.most_at_once == 1


def test_a_check_that_hangs_has_its_verdict_served_for_one_more_ttl() -> None:
    hanging, release = threading.Event(), threading.Event()

    def hang_once(number: int) -> None:
        if number == 2:
            hanging.set()
            assert release.wait(PATIENCE)

    clock = ManualClock()
    check = cached(Numbered(hang_once), ttl=5.0, clock=clock)
    check()
    clock.advance(5.0)
    with ThreadPoolExecutor(1) as pool:
        late = pool.submit(check)
        try:
            assert hanging.wait(PATIENCE)
            assert asked_at(check, clock, 0, 4.5, 0.5, 0.5) == ["1", "1", "3", "3"]
        finally:
            release.set()
        assert late.result(PATIENCE).reason == "2"
    assert check().reason == "3"  # an older answer does not replace a newer one


def test_a_check_that_asks_itself_gets_the_last_verdict() -> None:
    inner: list[str] = []
    clock = ManualClock()

    def ask_itself(number: int) -> None:
        if number > 1:
            inner.append(check().reason)

    check = cached(Numbered(ask_itself), ttl=5.0, clock=clock)
    assert asked_at(check, clock, 0, 5.0) == ["1", "2"]
    assert inner == ["1"]


def test_one_who_read_the_clock_before_another_answered_does_not_ask_again() -> None:
    readings: list[Callable[[], float]] = []

    def clock() -> float:
        reading = readings.pop(0)
        return reading()

    check = cached(numbered := Numbered(), ttl=5.0, clock=clock)

    def overtaken() -> float:  # between reading the clock and looking at the verdict
        assert check().reason == "2"
        return 10.0

    readings += [lambda: 0.0, overtaken, lambda: 10.1]
    check()
    assert check().reason == "2"
    assert numbered.asked == 2


def test_a_verdict_is_there_when_its_question_is_over() -> None:
    """Nobody may come between the end of a question and the keeping of its verdict."""
    clock = ManualClock()
    check = cached(numbered := Numbered(), ttl=5.0, clock=clock)
    check()
    clock.advance(5.0)

    class Nosy:
        """A lock that lets somebody else ask each time it is released."""

        def __init__(self) -> None:
            self.lock = threading.Lock()
            self.nested = False

        def __enter__(self) -> None:
            self.lock.acquire()

        def __exit__(self, *_: object) -> None:
            self.lock.release()
            if not self.nested:
                self.nested = True
                check()
                self.nested = False

    check._lock = cast("threading.Lock", Nosy())
    assert check().reason == "2"
    assert numbered.asked == 2


# ---------------------------------------------------------------- copies


def test_a_copy_starts_without_a_verdict_and_goes_its_own_way() -> None:
    clock = ManualClock()
    check = cached(ScriptedCheck("OK BREACH WARN"), ttl=5.0, clock=clock)
    check()
    for twin in (copy.deepcopy(check), pickle.loads(pickle.dumps(check))):  # noqa: S301 -- our own
        assert twin().severity is Severity.BREACH
        cast("ManualClock", twin._clock).advance(5.0)
        assert twin().severity is Severity.WARN
        assert twin._lock is not check._lock
    assert check().ok
