"""A sustained check reports what has lasted, counts each event time once and forgets nothing."""

from __future__ import annotations

import copy
import json
import pickle
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any, Literal, TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlguard import ConfigurationError, Severity, Verdict, labelled, sustained, worst
from mlguard.testing import ManualClock, ScriptedCheck, check_check

OK, UNKNOWN, WARN, BREACH = Severity.OK, Severity.UNKNOWN, Severity.WARN, Severity.BREACH
Unknown: TypeAlias = Literal["own", "keep", "fire", "resolve"]

ENDS = {
    "O": (OK, OK),
    "w": (OK, WARN),
    "U": (OK, BREACH),
    "W": (WARN, WARN),
    "b": (WARN, BREACH),
    "B": (BREACH, BREACH),
}
"""Letters of verdicts: w is OK or WARN, b is WARN or BREACH."""
NAMES = {ends: letter for letter, ends in ENDS.items()}


def verdict(letter: str, at: float | None = None) -> Verdict:
    low, high = ENDS[letter]
    severity = low if low is high else (UNKNOWN if low is OK else low)
    return Verdict("drift", severity, f"it is {letter}", at=at, low=low, high=high)


class Hand:
    """A check that gives the verdict in its hand."""

    name = "drift"

    def __init__(self) -> None:
        self.holds = verdict("O")

    def __call__(self) -> Verdict:
        return self.holds


def played(script: str, every: float = 1.0, **terms: Any) -> str:
    """Play letters at event times to a sustained check, and give the letters that it says."""
    check, found = sustained(hand := Hand(), **terms), ""
    for place, letter in enumerate(script):
        hand.holds = verdict(letter, place * every)
        said = check()
        found += NAMES[said.low, said.high]
    return found


# ---------------------------------------------------------------- levels


@pytest.mark.parametrize(
    ("script", "expected", "terms"),
    [
        ("OBOBBO", "OBOBBO", {}),
        ("OBBOBB", "OOBOOB", {"k": 2}),
        ("WBBWWO", "OWBWWO", {"k": 2}),
        ("BWBWO", "OWWWO", {"k": 2}),
        ("BBWOO", "OBBWO", {"k": 2, "keep": 1.0}),
        ("BBWWOOO", "OBBWWOO", {"k": 2, "keep": 1.0}),
        ("BBBBO", "OOBBO", {"for_": 2.0}),
        ("BOBOBOO", "OOBOBOO", {"k": 2, "of": 3}),
        ("BOOBOOO", "BBBBBBO", {"keep": timedelta(seconds=2)}),
    ],
)
def test_a_level_is_reported_once_it_has_lasted(
    script: str, expected: str, terms: dict[str, Any]
) -> None:
    assert played(script, **terms) == expected


@pytest.mark.parametrize(
    ("unknown", "script", "expected"),
    [
        # Two in a row; an alarm is kept for two seconds after the last bad one.
        ("own", "UBUBUO", "UOUBUB"),
        ("keep", "UBUBUO", "OOOBBB"),
        ("fire", "UBUOOO", "OBBBBO"),
        ("resolve", "UBUBBUUU", "OOOOBBBO"),
        # A warning that may be a breach is bad for WARN, and unknown for BREACH.
        ("own", "bbWWO", "UbWWW"),
        ("keep", "bbBbBO", "OWWWBB"),
        ("fire", "bbOOO", "OBBBO"),
        ("resolve", "bbBbBB", "OWWWWB"),
        # What may be a warning is no breach.
        ("own", "wwBwB", "wwOwW"),
        ("keep", "BwBO", "OOWW"),
        ("fire", "wwO", "OWW"),
        ("resolve", "WwWW", "OOOW"),
    ],
)
def test_what_unknown_does(unknown: Unknown, script: str, expected: str) -> None:
    assert played(script, k=2, keep=2.0, unknown=unknown) == expected


def test_a_crash_is_unknown_with_its_reason() -> None:
    def crash() -> Verdict:
        raise OSError("no route")

    said = sustained(crash)()
    assert (said.name, said.severity) == ("crash", UNKNOWN)
    assert said.reason.endswith("crashed: OSError: no route")
    assert sustained(crash, unknown="keep")().severity is OK
    assert sustained(crash, unknown="fire")().severity is BREACH
    assert sustained(crash, unknown="resolve")().severity is OK


def test_a_crash_does_not_move_the_memory_beyond_the_event_times() -> None:
    """Event times lie behind the clock where labels come late; a crash has only that of the clock."""
    meanings: list[Unknown] = ["fire", "resolve"]
    for unknown in meanings:
        check = sustained(hand := Hand(), k=2, unknown=unknown, clock=ManualClock(1e6))
        letters = ""
        for letter, at in (("O", 100.0), ("U", None), ("B", 200.0), ("B", 300.0)):
            hand.holds = verdict(letter, at)
            letters += NAMES[check().low, check().high]
        assert letters[-1] == "B", unknown


def test_it_says_what_it_was_made_from() -> None:
    inner = Verdict("drift", BREACH, "psi = 0.3", at=7.0, subject={"model": "eta"})
    said = sustained(inner)()
    assert (said.name, said.causes, said.at) == ("drift", (inner,), 7.0)
    assert dict(said.subject) == {"model": "eta"}
    assert worst("all", sustained(inner))().severity is BREACH
    assert labelled(sustained(inner), model="b")().subject == {"model": "b"}
    check_check(lambda: sustained(inner, k=2))


# ---------------------------------------------------------------- what counts


@pytest.mark.parametrize("start", [0.0, 1.8e9, 1e11])
def test_without_event_times_each_asking_counts(start: float) -> None:
    check = sustained(ScriptedCheck("BREACH"), k=3, clock=ManualClock(start))
    assert [check().severity for _ in range(4)] == [OK, OK, BREACH, BREACH]


def test_without_event_times_durations_are_those_of_the_clock() -> None:
    clock = ManualClock(100.0)
    check = sustained(ScriptedCheck("BREACH BREACH BREACH OK OK"), for_=10.0, keep=5.0, clock=clock)
    found = []
    for step in (0.0, 9.0, 1.0, 5.0, 0.5):
        clock.advance(step)
        found.append(check().severity)
    assert found == [OK, OK, BREACH, BREACH, OK]


def test_a_clock_set_back_counts_each_asking() -> None:
    clock = ManualClock(100.0)
    check = sustained(ScriptedCheck("BREACH"), k=3, clock=clock)
    found = []
    for step in (0.0, -50.0, -10.0):
        clock.advance(step)
        found.append(check().severity)
    assert found == [OK, OK, BREACH]


def test_with_slots_the_clock_gives_the_slot() -> None:
    clock = ManualClock(0.0)
    check = sustained(ScriptedCheck("BREACH"), k=2, every=timedelta(minutes=1), clock=clock)
    found = []
    for step in (0.0, 30.0, 29.0, 1.0, -60.0):
        clock.advance(step)
        found.append(check().severity)
    assert found == [OK, OK, OK, BREACH, BREACH]


SCRIPTS = st.lists(st.sampled_from("OOWBBU"), min_size=1, max_size=20)
TERMS = st.fixed_dictionaries(
    {
        "k": st.integers(1, 3),
        "of": st.integers(3, 5),
        "for_": st.sampled_from([0.0, 10.0, 25.0]),
        "keep": st.sampled_from([0.0, 10.0, 25.0]),
        "unknown": st.sampled_from(["own", "keep", "fire", "resolve"]),
    }
)


@given(SCRIPTS, TERMS, st.data())
def test_three_askers_any_number_of_times_a_slot_are_as_good_as_one(
    script: list[str], terms: dict[str, Any], data: st.DataObject
) -> None:
    hand = Hand()
    clock = ManualClock(1e9)
    alone = sustained(hand, every=10.0, clock=clock, **terms)
    shared = sustained(hand, every=10.0, clock=clock, **terms)
    for slot, letter in enumerate(script):
        asked = sorted(data.draw(st.lists(st.integers(0, 99), min_size=1, max_size=7)))
        hand.holds = verdict(letter, 10.0 * slot + asked[0] / 10.0)
        expected = alone()
        for tenths in asked:  # the endpoint, the middleware and the exporter, in any order
            hand.holds = verdict(letter, 10.0 * slot + tenths / 10.0)
            said = shared()
            assert (said.low, said.high) == (expected.low, expected.high)
    assert shared.state() == alone.state()


@given(SCRIPTS, TERMS, st.lists(st.integers(1, 4), min_size=20, max_size=20))
def test_asking_again_with_one_event_time_changes_nothing(
    script: list[str], terms: dict[str, Any], times: list[int]
) -> None:
    hand = Hand()
    clock = ManualClock(1e9)
    once, often = sustained(hand, clock=clock, **terms), sustained(hand, clock=clock, **terms)
    for place, letter in enumerate(script):
        hand.holds = verdict(letter, 5.0 * place)
        expected = once()
        assert [often() for _ in range(times[place])] == [expected] * times[place]
    assert often.state() == once.state()


def test_an_answer_that_comes_late_is_not_remembered() -> None:
    check = sustained(hand := Hand(), k=2)
    for at in (5.0, 4.0, 3.0):
        hand.holds = verdict("B", at)
        assert check().severity is OK
    hand.holds = verdict("B", 6.0)
    assert check().severity is BREACH
    hand.holds = verdict("O", 2.0)
    assert check().severity is BREACH  # what has lasted is judged, not the late answer


@given(SCRIPTS, TERMS, st.sampled_from([None, 10.0]))
def test_a_restart_at_any_point_changes_nothing(
    script: list[str], terms: dict[str, Any], every: float | None
) -> None:
    hand = Hand()
    terms = {**terms, "every": every, "clock": (clock := ManualClock(1e9))}
    going, again = sustained(hand, **terms), sustained(hand, **terms)
    for place, letter in enumerate(script):
        clock.advance(0.5)
        again = sustained(hand, **terms).from_state(json.loads(json.dumps(again.state())))
        hand.holds = verdict(letter, 7.0 * place)
        assert json.dumps(again().to_dict()) == json.dumps(going().to_dict())
    assert again.state() == going.state()


def test_threads_that_ask_at_once_count_each_event_time_once() -> None:
    hand, many = Hand(), 8
    check = sustained(hand, k=3, of=3)
    start = threading.Barrier(many)

    def ask(_: int) -> Severity:
        start.wait(20.0)
        return check().severity

    with ThreadPoolExecutor(many) as pool:
        for at, (letter, expected) in enumerate(zip("BBBO" * 40, "OOBO" * 40, strict=True)):
            hand.holds = verdict(letter, at)
            assert {*pool.map(ask, range(many))} == {OK if expected == "O" else BREACH}


def test_the_check_is_asked_without_a_lock() -> None:
    asked: list[int] = []

    def asks_itself() -> Verdict:
        asked.append(1)
        said: Verdict = check() if len(asked) < 3 else verdict("B", 1.0)
        return said

    check: Any = sustained(asks_itself)
    assert check().severity is BREACH


# ---------------------------------------------------------------- monotone

WORSE = {
    "O": "OwUWbB",
    "w": "wUWbB",
    "U": "UbB",
    "W": "WbB",
    "b": "bB",
    "B": "B",
}


@given(
    st.lists(st.sampled_from("OwUWbB"), min_size=1, max_size=20),
    st.lists(st.integers(0, 3), min_size=20, max_size=20),
    TERMS.filter(lambda terms: terms["unknown"] != "own"),
    st.sampled_from([None, 10.0]),
    st.data(),
)
def test_a_check_that_is_worse_every_time_never_gives_a_better_verdict(
    script: list[str],
    steps: list[int],
    terms: dict[str, Any],
    every: float | None,
    data: st.DataObject,
) -> None:
    better, worse = Hand(), Hand()
    one, other = (sustained(hand, every=every, **terms) for hand in (better, worse))
    at = 0.0
    for letter, step in zip(script, steps, strict=False):
        at += (4.0 if every is None else every) * step  # in a slot the first that is known counts
        better.holds = verdict(letter, at)
        worse.holds = verdict(data.draw(st.sampled_from(WORSE[letter])), at)
        first, second = one(), other()
        assert (second.low, second.high) >= (first.low, first.high)
        assert second.low >= first.low
        assert second.high >= first.high


@given(
    st.lists(st.sampled_from("OWB"), min_size=1, max_size=20),
    TERMS,
    st.data(),
)
def test_so_it_is_where_unknown_has_its_own_state_and_none_is(
    script: list[str], terms: dict[str, Any], data: st.DataObject
) -> None:
    worse = [data.draw(st.sampled_from([each for each in "OWB" if each in WORSE[letter]])) for letter in script]  # fmt: skip
    pairs = zip(played("".join(script), 5.0, **terms), played("".join(worse), 5.0, **terms), strict=True)  # fmt: skip
    assert all("OWB".index(first) <= "OWB".index(second) for first, second in pairs)


# ---------------------------------------------------------------- reasons


def said_by(script: Sequence[str], **terms: Any) -> str:
    check, reason = sustained(hand := Hand(), **terms), ""
    for place, letter in enumerate(script):
        hand.holds = verdict(letter, 60.0 * place)
        reason = check().reason
    return reason


@pytest.mark.parametrize(
    ("script", "terms", "reason"),
    [
        ("O", {"k": 3}, "OK: it is O"),
        ("B", {}, "BREACH since 1970-01-01T00:00:00Z: it is B"),
        (
            "OBB",
            {"k": 3},
            "BREACH in 2 of them since 1970-01-01T00:01:00Z, needed 3 of 3 evaluations: it is B",
        ),
        (
            "BBO",
            {"k": 2, "keep": 90.0},
            "BREACH since 1970-01-01T00:00:00Z, kept though it is OK now: it is O",
        ),
    ],
)
def test_the_reasons(script: str, terms: dict[str, Any], reason: str) -> None:
    assert said_by(script, **terms) == reason


@pytest.mark.parametrize("terms", [{}, {"keep": 600.0}, {"k": 2}, {"for_": 60.0}, {"k": 4, "for_": 7.0}])  # fmt: skip
def test_every_reason_is_a_sentence(terms: dict[str, Any]) -> None:
    for script in ("BU", "BBU", "WU", "Wb", "bU", "BOU", "BUU"):
        for unknown in ("own", "keep", "fire", "resolve"):
            reason = said_by(script, unknown=unknown, **terms)
            assert not [each for each in ("and  are", " 1 times") if each in reason], reason


def test_what_waits_is_not_counted_as_unknown() -> None:
    """The memory holds two breaches; the unknown of now is none of them."""
    assert "UNKNOWN 2 times" not in said_by("BBU", k=3)


def test_a_warning_says_since_when_also_if_a_breach_has_begun() -> None:
    assert said_by("WWB", k=2).startswith("WARN since 1970-01-01T00:00:00Z")


# ---------------------------------------------------------------- input, copies


@pytest.mark.parametrize(
    ("terms", "message"),
    [
        ({"k": 0}, r"^k = 0"),
        ({"k": 3, "of": 2}, r"^of = 2"),
        ({"every": 0}, r"^every = 0"),
        ({"for_": -1.0}, r"^for_ = -1.0"),
        ({"keep": float("nan")}, r"^keep = nan"),
        ({"unknown": "ok"}, r"^unknown = 'ok'"),
        ({"unknown": []}, r"^unknown = \[\]"),
        ({"check": 7}, r"^check = 7"),
    ],
)
def test_a_bad_argument_is_named(terms: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        sustained(**{"check": Hand(), **terms})


@pytest.mark.parametrize(
    "state",
    [
        None,
        7,
        {},
        {"kind": "sustained", "schema": 2, "warn": [], "breach": []},
        {"kind": "guard", "schema": 1, "measurements": {}},
        {"kind": "sustained", "schema": 1},
        {"kind": "sustained", "schema": 1, "warn": [None, 0, None, None, False, None]},
        {"kind": "sustained", "schema": 1, "warn": [1], "breach": [2]},
    ],
)
def test_a_state_of_something_else_or_damaged_is_refused(state: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^state = "):
        sustained(Hand()).from_state(state)


def test_from_state_leaves_the_check_itself_as_it_was() -> None:
    check = sustained(hand := Hand(), k=2)
    hand.holds = verdict("B", 1.0)
    check()
    other = sustained(hand, k=2).from_state(check.state())
    hand.holds = verdict("B", 2.0)
    assert other().severity is BREACH
    assert other._lock is not check._lock
    assert check.state()["breach"][0] == 1.0


def test_a_copy_goes_its_own_way() -> None:
    check = sustained(hand := Hand(), k=2)
    hand.holds = verdict("B", 1.0)
    check()
    hand.holds = verdict("B", 2.0)
    for other in (copy.copy(check), copy.deepcopy(check), pickle.loads(pickle.dumps(check))):  # noqa: S301 -- our own
        assert other().severity is BREACH
    assert check.state()["breach"][0] == 1.0


def test_an_event_time_far_ahead_is_unknown_and_silences_nothing() -> None:
    clock = ManualClock(1_700_000_000)
    times = iter([clock() + 3e9, clock(), clock() + 1, clock() + 2])
    check = sustained(
        lambda: Verdict("v", Severity.BREACH, "bad", at=next(times)), k=2, clock=clock
    )
    first = check()
    assert first.severity is Severity.UNKNOWN
    assert "ahead of the clock" in first.reason
    assert [check().severity for _ in range(3)][1:] == [Severity.BREACH] * 2
