"""A ring of slots, beside a model that keeps every count with its slot."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from mlguard import ConfigurationError
from mlguard.sketches.buckets import Counts
from mlguard.sketches.ring import Ring, Tally, sliding

if TYPE_CHECKING:
    from collections.abc import Callable

WIDTH = 5.0
START = 1_000_000.0

steps = st.sampled_from([0.0, 1.0, WIDTH, 7.5, 20.0, 35.0, 1000.0, WIDTH * 10**6]) | st.floats(
    0, 60
)
amounts = st.tuples(st.integers(0, 3), st.integers(0, 3))


def tally() -> Tally:
    return Tally(2)


def weeks(newest: int) -> int:
    """Give the first slot of a period that the calendar cuts, seven slots long."""
    return newest // 7 * 7


class Against(RuleBasedStateMachine):
    """What the ring holds is what the model holds, whatever the clock does."""

    @initialize(window=st.sampled_from([1, 2, 5, 60, weeks]))
    def begin(self, window: Any) -> None:
        self.oldest: Callable[[int], int] = window if callable(window) else sliding(window)
        self.at = START
        self.ring = Ring(tally, WIDTH, self.oldest, self.at)
        self.counts: list[tuple[int, tuple[int, int]]] = []
        self.watched: set[int] = set()
        self.lost = 0

    @property
    def newest(self) -> int:
        return int(self.at // WIDTH)

    def moved(self, newest: int) -> None:
        """Take what is in the future as of now, and forget what has left the window."""
        self.counts = [(min(slot, newest), amount) for slot, amount in self.counts]
        self.counts = [each for each in self.counts if each[0] >= self.oldest(newest)]
        self.watched = {slot for slot in self.watched if self.oldest(newest) <= slot <= newest}

    @rule(amount=amounts)
    def add(self, amount: tuple[int, int]) -> None:
        self.ring.add(*amount)
        self.counts.append((self.newest, amount))

    @rule(step=steps, back=st.booleans(), watched=st.booleans())
    def advance(self, step: float, *, back: bool, watched: bool) -> None:
        before, self.at = self.newest, self.at + (-step if back else step)
        self.ring.advance(self.at, watched=watched)
        if watched:
            since = max(before + 1, self.oldest(self.newest))
            self.watched |= {*range(since, self.newest + 1), self.newest}
        self.moved(self.newest)

    @rule(
        behind=st.integers(-5, 70) | st.sampled_from([10**6, 10**13, -(10**13)]),
        slots=st.dictionaries(st.integers(0, 70), amounts, max_size=5),
        bits=st.integers(0, 2**70),
    )
    def merge(self, behind: int, slots: dict[int, tuple[int, int]], bits: int) -> None:
        newest = self.newest - behind
        theirs = [(newest - back, amount) for back, amount in slots.items()]
        self.ring.put(theirs, newest, bits)
        self.counts += theirs
        self.watched |= {newest - place for place in range(71) if bits >> place & 1}
        self.moved(self.newest)

    @rule(later=steps)
    def write_and_read(self, later: float) -> None:
        wire = json.dumps([list(self.ring.slots()), self.ring.newest, f"{self.ring.watched:x}"])
        slots, newest, watched = json.loads(wire)
        self.at += later
        self.ring = Ring(tally, WIDTH, self.oldest, self.at)
        read = [(number, self.ring.read(each)) for number, each in slots]
        self.ring.put(read, newest, int(watched, 16))
        self.moved(self.newest)

    @rule()
    def forget(self) -> None:
        self.ring.clear()
        self.counts, self.watched = [], set()

    @invariant()
    def holds_what_the_model_holds(self) -> None:
        ring, expected = self.ring, Counter[tuple[int, int]]()
        for slot, amount in self.counts:
            for place in range(2):
                expected[slot, place] += amount[place]
        found = {
            (slot, place): packed[place] for slot, packed in ring.slots() for place in range(2)
        }
        assert +Counter(found) == +expected
        numbers = [slot for slot, _ in ring.slots()]
        assert numbers == sorted(set(numbers))
        assert (ring.newest, ring.oldest) == (self.newest, self.oldest(self.newest))
        total = [sum(expected[key] for key in expected if key[1] == place) for place in range(2)]
        assert ring.total.values == total == ring.since(ring.oldest).values
        middle = (ring.oldest + ring.newest) // 2
        late = [sum(each[place] for s, each in self.counts if s >= middle) for place in range(2)]
        assert ring.since(middle).values == late

    @invariant()
    def knows_who_watched(self) -> None:
        bits = {self.newest - place for place in range(200) if self.ring.watched >> place & 1}
        assert bits == self.watched
        assert self.ring.end == (self.newest + 1) * WIDTH
        expected = max(0.0, len(self.watched) * WIDTH - (self.ring.end - self.at))
        assert self.ring.covers(self.at) == pytest.approx(expected)
        assert self.ring.covers(self.at) <= WIDTH * (self.newest - self.oldest(self.newest) + 1)


Against.TestCase.settings = settings(max_examples=60, stateful_step_count=30)
TestRing = Against.TestCase


class Long(Against):
    pass


Long.TestCase.settings = settings(max_examples=1500, stateful_step_count=60)
TestRingLong = pytest.mark.slow(Long.TestCase)


def made(slots: int = 5, at: float = START) -> Ring[Tally]:
    ring = Ring(tally, WIDTH, sliding(slots), at)
    ring.advance(at, watched=True)
    return ring


@pytest.mark.parametrize("offset", [0.0, 0.1, 2.5, 4.999])
def test_a_count_stays_at_least_the_window_less_one_slot_and_at_most_the_window(
    offset: float,
) -> None:
    ring = made(5, START + offset)
    ring.add(1, 0)
    for step in np.arange(0.0, 30.0, 0.25):
        ring.advance(START + offset + float(step), watched=True)
        if step < 4 * WIDTH:
            assert ring.total.values == [1, 0]
        if step >= 5 * WIDTH:
            assert ring.total.values == [0, 0]
        assert ring.covers(START + offset + float(step)) <= 5 * WIDTH


def test_a_clock_set_back_keeps_a_count_no_longer_than_one_window_from_then_on() -> None:
    ring = made()
    ring.advance(START + 3600.0, watched=True)
    ring.add(1, 0)
    ring.advance(START, watched=True)
    assert ring.total.values == [1, 0]
    ring.advance(START + 5 * WIDTH, watched=True)
    assert ring.total.values == [0, 0]


def test_a_million_idle_slots_cost_no_more_than_one_window() -> None:
    ring = made(60)
    for _ in range(60):
        ring.add(1, 1)
        ring.advance(ring.end, watched=True)
    ring.advance(ring.end + 10**6 * WIDTH, watched=True)
    assert ring.total.values == [0, 0]
    assert not list(ring.slots())
    assert ring.watched == 2**60 - 1


def test_time_that_nobody_watched_is_not_covered() -> None:
    ring = made(10)
    ring.advance(START + 7 * WIDTH, watched=False)
    assert ring.covers(START + 7 * WIDTH) == 0.0
    ring.advance(START + 8 * WIDTH, watched=True)
    assert ring.watched == 0b100000001 | 0b11 >> 1
    assert ring.covers(START + 9 * WIDTH) == 2 * WIDTH


def test_only_slots_that_hold_something_are_kept() -> None:
    ring = Ring(Counts, WIDTH, sliding(60), START)
    for _ in range(60):
        ring.advance(ring.end, watched=True)
        ring.add(0, np.zeros(0, dtype=np.int64))
    assert not list(ring.slots())
    ring.add(65_000, np.ones(3, dtype=np.int64))
    assert [number for number, _ in ring.slots()] == [ring.newest]


def test_a_packed_slot_of_another_size_or_kind_is_refused() -> None:
    ring = made()
    for packed in ([1], [1, 2, 3], [1, -1], [1, 0.5], [1, 2**53 + 1]):
        with pytest.raises(ConfigurationError, match=r"^slots = "):
            ring.read(packed)
