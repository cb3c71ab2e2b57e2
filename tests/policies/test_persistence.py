"""How long a condition must hold: the step against a model that keeps everything, and its edges."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mlguard import ConfigurationError
from mlguard.policies.persistence import NOTHING, Held, Persistence, held_from, persistence

Evaluations = list[tuple[float, bool]]
TIMES = st.one_of(
    st.integers(0, 30).map(float),
    st.integers(-10, 120).map(lambda quarters: quarters / 4.0),
)
EVALUATIONS = st.lists(st.tuples(TIMES, st.booleans()), max_size=40)
SORTED = EVALUATIONS.map(lambda several: sorted(several, key=lambda one: one[0]))
DURATIONS = st.sampled_from([0.0, 0.5, 1.0, 2.0, 3.0, 7.5, 20.0])


@st.composite
def terms_of(draw: st.DrawFn) -> Persistence:
    k = draw(st.integers(1, 5))
    of = draw(st.integers(k, 7))
    every = draw(st.sampled_from([None, 0.5, 1.0, 2.0, 5.0]))
    return Persistence(k, of, every, draw(DURATIONS), draw(DURATIONS))


class Model:
    """All evaluations, and the definition of `Persistence` read aloud. Slow, and without state."""

    def __init__(self, terms: Persistence, told: Evaluations) -> None:
        self.terms = terms
        self.counted: Evaluations = []
        for at, value in told:
            if not self.counted or self.place(at) > self.place(self.counted[-1][0]):
                self.counted.append((at, value))

    def place(self, at: float) -> float:
        return at if self.terms.every is None else at // self.terms.every

    def true_among_last(self, i: int) -> int:
        if self.terms.every is None:
            window = self.counted[max(i + 1 - self.terms.of, 0) : i + 1]
        else:
            first = self.place(self.counted[i][0]) - self.terms.of
            window = [one for one in self.counted[: i + 1] if self.place(one[0]) > first]
        return sum(value for _, value in window)

    def run(self, i: int) -> float | None:
        """Give the time since when it has been true without a break; an empty slot is one."""
        since: float | None = None
        for at, value in reversed(self.counted[: i + 1]):
            slotted = self.terms.every is not None and since is not None
            if not value or (slotted and self.place(since or 0.0) - self.place(at) > 1):
                break
            since = at
        return since

    def holds(self, i: int) -> bool:
        since = self.run(i)
        lasts = since is not None and self.counted[i][0] - since >= self.terms.for_
        return self.true_among_last(i) >= self.terms.k and (lasts or self.terms.for_ == 0.0)

    def kept(self, i: int) -> bool:
        true = [at for at, value in self.counted[: i + 1] if value]
        return bool(self.terms.keep and true) and self.counted[i][0] - true[-1] <= self.terms.keep

    def began(self) -> int | None:
        """Give the evaluation with which the present alarm began."""
        i = last = len(self.counted) - 1
        while i >= 0 and (self.holds(i) or self.kept(i)):
            i -= 1
        return next((j for j in range(i + 1, last + 1) if self.holds(j)), None)

    def state(self) -> tuple[bool, float | None, float | None]:
        began = self.began()
        start = None if began is None else self.run(began)
        return began is not None, start, self.run(len(self.counted) - 1) if self.counted else None


def played(terms: Persistence, told: Evaluations) -> list[Held]:
    held, states = NOTHING, []
    for at, value in told:
        held = terms.step(held, value, at)
        states.append(held)
    return states


def fires(terms: Persistence, script: str, every: float = 1.0) -> str:
    """Play letters, x for true, and give a letter for each: F where it fires."""
    told = [(place * every, letter == "x") for place, letter in enumerate(script)]
    return "".join("F" if held.firing else "." for held in played(terms, told))


# ---------------------------------------------------------------- against the model


@given(terms_of(), st.one_of(EVALUATIONS, SORTED))
@example(Persistence(2, 2, 1.0, 0.0, 0.0), [(0.0, True), (1.0, True), (9.0, True), (10.0, True)])
@example(Persistence(1, 1, 1.0, 5.0, 0.0), [(0.0, True), (9.0, True)])
def test_the_step_does_what_the_definition_says(terms: Persistence, told: Evaluations) -> None:
    for count, held in enumerate(played(terms, told), 1):
        assert (held.firing, held.start, held.since) == Model(terms, told[:count]).state()


@given(terms_of(), EVALUATIONS)
def test_what_has_no_later_time_or_slot_changes_nothing(
    terms: Persistence, told: Evaluations
) -> None:
    held = NOTHING
    for at, value in told:
        after = terms.step(held, value, at)
        counts = held.at is None or (
            at > held.at
            if terms.every is None
            else math.floor(at / terms.every) > math.floor(held.at / terms.every)
        )
        assert terms.advances(held, at) is counts
        assert (after == held) is (not counts)
        assert terms.step(after, not value, at) == after
        held = after


@given(terms_of(), EVALUATIONS)
def test_a_restart_at_any_point_changes_nothing(terms: Persistence, told: Evaluations) -> None:
    going = restarted = NOTHING
    for at, value in told:
        restarted = held_from(json.loads(json.dumps(list(restarted))))
        assert restarted == going
        going, restarted = terms.step(going, value, at), terms.step(restarted, value, at)
    assert json.dumps(list(restarted)) == json.dumps(list(going))


@given(terms_of(), EVALUATIONS)
def test_the_memory_is_bounded(terms: Persistence, told: Evaluations) -> None:
    for held in played(terms, told):
        assert held.recent < 1 << terms.of


@given(terms_of(), SORTED)
@example(Persistence(2, 2, 1.0), [(0.0, True), (1.0, True), (9.0, True), (10.0, True)])
def test_no_two_alarms_have_one_start(terms: Persistence, told: Evaluations) -> None:
    """The key of an episode is made of it."""
    states = [NOTHING, *played(terms, told)]
    began = [new.start for old, new in pairwise(states)
             if new.firing and not old.firing]  # fmt: skip
    assert None not in began
    assert len({*began}) == len(began)


@given(terms_of(), EVALUATIONS)
def test_while_one_alarm_goes_on_its_start_stays(terms: Persistence, told: Evaluations) -> None:
    states = [NOTHING, *played(terms, told)]
    for old, new in pairwise(states):
        if old.firing and new.firing:
            assert new.start == old.start
        assert new.firing or new.start is None


# ---------------------------------------------------------------- edges


@pytest.mark.parametrize(
    ("terms", "script", "expected"),
    [
        (Persistence(), ".x.xx.", ".F.FF."),
        (Persistence(3, 3), "xx.xxxx.", ".....FF."),
        (Persistence(2, 3), "x.x.x..x", "..F.F..."),
        (Persistence(2, 3), "xx...", ".FF.."),
        (Persistence(4, 5), ".xxxx.x..", "....FFF.."),
        (Persistence(for_=2.0), "xx.xxxx.", ".....FF."),
        (Persistence(2, 2, for_=3.0), "xxxxx.x", "...FF.."),
        (Persistence(keep=2.0), "x....x..", "FFF..FFF"),
        (Persistence(2, 2, keep=3.0), "xx....x.", ".FFFF..."),
        (Persistence(2, 2, keep=3.0), "xx..x....", ".FFFFFFF."),
        (Persistence(2, 2, keep=3.0), "x.x.x.", "......"),
    ],
)
def test_scripts(terms: Persistence, script: str, expected: str) -> None:
    assert fires(terms, script) == expected


@pytest.mark.parametrize(
    ("at", "firing"), [(9.99, False), (10.0, True), (math.nextafter(10.0, 0.0), False)]
)
def test_exactly_the_duration_is_enough(at: float, firing: bool) -> None:  # noqa: FBT001 -- a table of cases
    assert played(Persistence(for_=10.0), [(0.0, True), (at, True)])[-1].firing is firing


@pytest.mark.parametrize(("at", "firing"), [(15.0, True), (math.nextafter(15.0, 99.0), False)])
def test_exactly_the_keep_is_kept(at: float, firing: bool) -> None:  # noqa: FBT001 -- a table of cases
    told = [(0.0, True), (5.0, True), (at, False)]
    assert played(Persistence(keep=10.0), told)[-1].firing is firing


def test_keep_does_not_help_an_alarm_to_begin() -> None:
    assert fires(Persistence(3, 3, keep=100.0), "xx.xx.xx.") == "........."


@pytest.mark.parametrize(("at", "counts"), [(59.9, False), (60.0, True), (0.0, False)])
def test_a_slot_begins_with_its_first_moment(at: float, counts: bool) -> None:  # noqa: FBT001 -- a table of cases
    terms = Persistence(2, 2, 60.0)
    first = terms.step(NOTHING, value=True, at=3.0)
    assert terms.step(first, value=True, at=at).firing is counts


def test_the_first_of_a_slot_counts_and_an_empty_slot_is_not_true() -> None:
    terms = Persistence(2, 3, 10.0)
    told = [(0.0, True), (1.0, False), (29.9, True), (31.0, False), (45.0, True), (75.0, True)]
    assert [held.recent for held in played(terms, told)] == [0b1, 0b1, 0b101, 0b010, 0b101, 0b001]
    assert [held.firing for held in played(terms, told)] == [False, False, True, False, True, False]


def test_an_empty_slot_is_a_break() -> None:
    terms = Persistence(for_=30.0, every=10.0)
    told = [(0.0, True), (10.0, True), (40.0, True), (50.0, True), (60.0, True), (70.0, True)]
    assert [held.firing for held in played(terms, told)] == [False] * 5 + [True]
    assert played(terms, told)[-1].start == 40.0


def test_a_gap_of_a_century_is_no_work() -> None:
    terms = Persistence(3, 5, 0.001)
    held = terms.step(NOTHING, value=True, at=0.0)
    assert terms.step(held, value=True, at=3e9).recent == 1


def test_slots_before_1970_are_slots() -> None:
    terms = Persistence(2, 2, 10.0)
    assert played(terms, [(-5.0, True), (5.0, True)])[-1].firing
    assert not played(terms, [(-5.0, True), (-0.1, True)])[-1].firing


# ---------------------------------------------------------------- reading


def test_terms_are_read() -> None:
    assert persistence(3, None, None, 0, 0.0) == Persistence(3, 3)
    assert persistence(3, 5, timedelta(minutes=1), timedelta(0), 7) == (
        Persistence(3, 5, 60.0, 0.0, 7.0)
    )
    assert persistence(1, 1000, None, 0, 0).of == 1000


@pytest.mark.parametrize(
    ("terms", "message"),
    [
        ((0, None, None, 0, 0), r"^k = 0"),
        ((1.5, None, None, 0, 0), r"^k = 1.5"),
        ((3, 2, None, 0, 0), r"^of = 2: must be at least k = 3"),
        ((1, 1001, None, 0, 0), r"^of = 1001"),
        ((1001, None, None, 0, 0), r"^of = 1001"),
        ((1, 2.5, None, 0, 0), r"^of = 2.5"),
        ((1, 1, 0, 0, 0), r"^every = 0"),
        ((1, 1, -1.0, 0, 0), r"^every = -1.0"),
        ((1, 1, math.inf, 0, 0), r"^every = inf"),
        ((1, 1, None, -1, 0), r"^for_ = -1"),
        ((1, 1, None, "1", 0), r"^for_ = '1'"),
        ((1, 1, None, math.nan, 0), r"^for_ = nan"),
        ((1, 1, None, 0, -0.1), r"^keep = -0.1"),
        ((1, 1, None, 0, None), r"^keep = None"),
        ((1, 1, None, 0, timedelta(days=-1)), r"^keep = "),
    ],
)
def test_bad_terms_are_named(terms: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        persistence(*terms)


@pytest.mark.parametrize(
    "record",
    [
        None,
        7,
        [],
        [1.0, 1, 1.0, 1.0, True],
        [1.0, 1, 1.0, 1.0, True, 1.0, 1.0],
        ["1.0", 1, 1.0, 1.0, True, 1.0],
        [math.nan, 1, 1.0, 1.0, True, 1.0],
        [1.0, -1, 1.0, 1.0, True, 1.0],
        [1.0, 0.5, 1.0, 1.0, True, 1.0],
        "abcdef",
    ],
)
def test_a_damaged_memory_is_refused(record: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^state = "):
        held_from(record)


@pytest.mark.parametrize("of", [1, 64, 1000])
def test_the_longest_memory_survives_json(of: int) -> None:
    terms = Persistence(of, of)
    step: Callable[[Held, int], Held] = lambda held, at: terms.step(held, value=True, at=at)  # noqa: E731 -- a step
    held = NOTHING
    for at in range(of - 1):
        held = step(held, at)
    held = held_from(json.loads(json.dumps(list(held))))
    assert not held.firing
    assert step(held, of).firing
