"""Hysteresis: a breach begins at one line and ends at another, whoever asks and how often."""

from __future__ import annotations

import copy
import json
import math
import pickle
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlguard import (
    ConfigurationError,
    Measurement,
    Severity,
    Verdict,
    guard,
    hysteresis,
    require,
    sustained,
)
from mlguard.testing import check_check, check_policy

OK, UNKNOWN, BREACH = Severity.OK, Severity.UNKNOWN, Severity.BREACH
HIGH = hysteresis(enter=1.0, exit=0.8)
LOW = hysteresis(enter=0.8, exit=1.0)
VALUES = st.lists(st.sampled_from([0.7, 0.8, 0.81, 0.9, 0.99, 1.0, 1.01, 1.2, math.nan]), max_size=30)  # fmt: skip


class Hand:
    """A measure whose result is laid into its hand."""

    def __init__(self) -> None:
        self.holds: Measurement | Sequence[Measurement] = ()

    def __call__(self) -> Any:
        return self.holds


def psi(value: float, at: float | None = None, name: str = "psi") -> Measurement:
    return Measurement(name, value, at=at, n=100)


def causes_of(verdict: Verdict) -> list[Verdict]:
    return [cause for cause in verdict.causes if isinstance(cause, Verdict)]


def judged(check: Callable[[], Any], hand: Hand, *values: float, start: float = 0.0) -> str:
    """Give a letter for each verdict."""
    letters = ""
    for place, value in enumerate(values):
        hand.holds = psi(value, start + place)
        letters += check().severity.name[0]
    return letters


def breaches(values: Sequence[float], *, high: bool) -> bool:
    """Read the definition: somewhere it went beyond `enter`, and never came back to `exit` since."""
    sign = 1.0 if high else -1.0
    enter, leave = (1.0, 0.8) if high else (0.8, 1.0)
    known = [sign * value for value in values if not math.isnan(value)]
    return any(
        known[i] > sign * enter and all(value > sign * leave for value in known[i:])
        for i in range(len(known))
    )


# ---------------------------------------------------------------- the law


@given(VALUES, st.booleans(), st.booleans())
def test_it_does_what_the_definition_says(values: list[float], high: bool, timed: bool) -> None:  # noqa: FBT001 -- drawn
    check = guard(hand := Hand(), HIGH if high else LOW)
    for place, value in enumerate(values):
        hand.holds = psi(value, place if timed else None)
        expected = BREACH if breaches(values[: place + 1], high=high) else OK
        assert check().severity is (UNKNOWN if math.isnan(value) else expected)


@given(VALUES, st.lists(st.integers(1, 4), min_size=30, max_size=30))
def test_asking_again_with_one_event_time_changes_nothing(
    values: list[float], times: list[int]
) -> None:
    once: Any = guard(hand := Hand(), HIGH)
    often: Any = guard(hand, HIGH)
    for place, value in enumerate(values):
        hand.holds = psi(value, place)
        verdict = once()
        assert [often() for _ in range(times[place])] == [verdict] * times[place]
    assert often.state() == once.state()


@given(VALUES, st.integers(0, 30))
def test_a_restart_at_any_point_changes_nothing(values: list[float], point: int) -> None:
    going: Any = guard(hand := Hand(), HIGH)
    other: Any = guard(hand, HIGH)
    for place, value in enumerate(values):
        hand.holds = psi(value, place)
        if place >= point:
            fresh: Any = guard(hand, HIGH)
            other = fresh.from_state(json.loads(json.dumps(other.state())))
        assert going() == other()
    assert going.state() == other.state()


@given(st.lists(st.tuples(st.integers(0, 9), st.sampled_from([0.7, 0.9, 1.2])), max_size=25))
def test_an_older_measurement_is_judged_and_not_remembered(told: list[tuple[int, float]]) -> None:
    all_of_them: Any = guard(hand := Hand(), HIGH)
    in_order: Any = guard(hand, HIGH)
    newest = -1
    for at, value in told:
        hand.holds = psi(value, at)
        verdict = all_of_them()
        assert verdict.severity in {OK, BREACH}
        if at > newest:
            newest = at
            assert in_order() == verdict
        assert all_of_them.state() == in_order.state()


# ---------------------------------------------------------------- edges


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1.0, 0.9, math.nextafter(1.0, 2.0)], "OOB"),
        ([1.1, math.nextafter(0.8, 1.0), 0.8, 0.9, 1.0], "BBOOO"),
        ([math.inf, -math.inf, math.inf], "BOB"),
        ([1.1, math.nan, 0.9, math.nan, 0.7, math.nan, 0.9], "BUBUOUO"),
        ([math.nan, 0.9], "UO"),
    ],
)
def test_the_lines_themselves(values: list[float], expected: str) -> None:
    check = guard(hand := Hand(), HIGH)
    assert judged(check, hand, *values) == expected


def test_below_is_bad_where_the_exit_is_above() -> None:
    check = guard(hand := Hand(), LOW)
    assert judged(check, hand, 0.8, 0.79, 0.9, 0.99, 1.0, 0.9, 0.79) == "OBBBOOB"


def test_by_itself_the_policy_judges_as_at_first() -> None:
    assert [HIGH(psi(value, at)).severity for at, value in enumerate([1.1, 0.9, 1.1])] == [
        BREACH,
        OK,
        BREACH,
    ]
    check_policy(lambda: HIGH, [psi(1.1, 1.0), psi(math.inf), psi(0.9, 7.0)])
    check_policy(lambda: require(10, HIGH), [psi(1.1, 1.0)])
    check_check(lambda: guard(psi(1.1, 1.0), HIGH))


def test_the_reasons() -> None:
    check = guard(hand := Hand(), HIGH, name="drift")
    reasons = []
    for at, value in enumerate([0.9, 1.1, 0.9, 0.8]):
        hand.holds = psi(value, at)
        verdict = check()
        assert (verdict.name, verdict.evidence, verdict.at) == ("drift", (hand.holds,), at)
        reasons.append(verdict.reason)
    assert reasons == [
        "psi = 0.9, n = 100: at most 1",
        "psi = 1.1, n = 100: above the limit of 1",
        "psi = 0.9, n = 100: still above 0.8, where the breach ends",
        "psi = 0.8, n = 100: at most 0.8",
    ]
    below = guard(hand, LOW)
    reasons = []
    for at, value in enumerate([0.9, 0.7, 0.9, 1.0]):
        hand.holds = psi(value, at)
        reasons.append(below().reason.partition(": ")[2])
    assert reasons == [
        "at least 0.8",
        "below the limit of 0.8",
        "still below 1, where the breach ends",
        "at least 1",
    ]


@pytest.mark.parametrize(
    ("enter", "leave", "message"),
    [
        (math.nan, 1.0, r"^enter = nan"),
        (1.0, math.nan, r"^exit = nan"),
        (math.inf, 1.0, r"^enter = inf"),
        (1.0, -math.inf, r"^exit = -inf"),
        ("1", 0.5, r"^enter = '1'"),
        (1.0, None, r"^exit = None"),
        (1.0, 1, r"^exit = 1: must be another line than enter = 1.0"),
    ],
)
def test_bad_lines_are_named(enter: Any, leave: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        hysteresis(enter=enter, exit=leave)


# ---------------------------------------------------------------- whose memory it is


def test_two_guards_with_one_policy_do_not_share_it() -> None:
    first, second = guard(hand := Hand(), HIGH), guard(hand, HIGH)
    assert judged(first, hand, 1.1, 0.9) == "BB"
    assert judged(second, hand, 0.9) == "O"
    assert judged(first, hand, 0.9, start=5.0) == "B"


def test_each_measurement_of_a_guard_has_its_own() -> None:
    check = guard(hand := Hand(), HIGH, name="every column")
    found = []
    for at, (a, b) in enumerate([(1.1, 0.9), (0.9, 0.9), (0.9, 1.1), (0.8, 0.9), (0.9, 0.8)]):
        hand.holds = [psi(a, at, "a"), psi(b, at, "b")]
        causes = {cause.name: cause.severity for cause in causes_of(check())}
        found.append((causes["a"].name[0], causes["b"].name[0]))
    assert found == [("B", "O"), ("B", "O"), ("B", "B"), ("O", "B"), ("O", "O")]


def test_too_few_observations_do_not_reach_it() -> None:
    check = guard(hand := Hand(), require(50, HIGH))
    letters = ""
    for at, (value, n) in enumerate(
        [(1.1, 49), (0.9, 50), (1.1, 50), (0.7, 49), (0.9, 50), (0.8, 50)]
    ):
        hand.holds = Measurement("psi", value, n=n, at=at)
        letters += check().severity.name[0]
    assert letters == "UOBUBO"


def test_a_crash_is_unknown_and_changes_nothing() -> None:
    class Sometimes(Hand):
        def __call__(self) -> Any:
            if not self.holds:
                raise OSError("no route")
            return self.holds

    check = guard(hand := Sometimes(), HIGH)
    assert judged(check, hand, 1.1) == "B"
    hand.holds = ()
    assert (check().severity, check().reason) == (UNKNOWN, "crashed: OSError: no route")
    assert judged(check, hand, 0.9, start=5.0) == "B"


def test_nothing_measured_is_unknown() -> None:
    assert guard(Hand(), HIGH)().reason == "nothing was measured"


@pytest.mark.parametrize(
    "state",
    [
        None,
        7,
        {},
        {"kind": "sustained", "schema": 1, "measurements": {}},
        {"kind": "guard", "schema": 2, "measurements": {}},
        {"kind": "guard", "schema": 1},
        {"kind": "guard", "schema": 1, "measurements": 3},
        {"kind": "guard", "schema": 1, "measurements": {"psi": [True]}},
    ],
)
def test_a_state_of_something_else_or_damaged_is_refused(state: Any) -> None:
    check: Any = guard(Hand(), HIGH)
    with pytest.raises(ConfigurationError, match=r"^state"):
        check.from_state(state)


def test_a_copy_goes_its_own_way() -> None:
    check: Any = guard(hand := Hand(), HIGH)
    assert judged(check, hand, 1.1) == "B"
    hand.holds = psi(0.7, 1.0)
    for other in (copy.deepcopy(check), pickle.loads(pickle.dumps(check)), copy.copy(check)):  # noqa: S301 -- our own
        assert other().severity is OK
    assert judged(check, hand, 0.9, start=2.0) == "B"


def test_many_threads_with_one_event_time_hear_the_same() -> None:
    check: Any = guard(hand := Hand(), HIGH)
    with ThreadPoolExecutor(8) as pool:
        for at, (value, expected) in enumerate([(1.1, BREACH), (0.9, BREACH), (0.7, OK)] * 20):
            hand.holds = psi(value, at)
            found = pool.map(lambda _: check().severity, range(8))
            assert {*found} == {expected}
        assert check.state()["measurements"] == {"psi": [True, False, 59.0]}


# ---------------------------------------------------------------- while an alarm goes on


def test_while_an_alarm_goes_on_the_exit_is_the_line() -> None:
    inner: Any = guard(hand := Hand(), HIGH)
    alarm = sustained(inner, keep=3.0)
    letters = ""
    for at, value in enumerate([0.9, 1.1, 0.7, 0.7, 0.9, 0.7, 0.7, 0.7, 0.7, 0.9, 1.0]):
        hand.holds = psi(value, at)
        verdict = alarm()
        letters += causes_of(verdict)[0].severity.name[0] + verdict.severity.name[0]
    #      0.9 1.1 0.7 0.7 0.9 0.7 0.7 0.7 0.7 0.9 1.0
    assert letters == "OOBBOBOBBBOBOBOBOOOOOO"


def test_without_an_alarm_it_is_not() -> None:
    inner = guard(hand := Hand(), HIGH)
    alarm = sustained(inner, k=2, keep=3.0)
    assert judged(alarm, hand, 1.1, 0.7, 0.9, 0.9, 1.0, 0.9) == "OOOOOO"


def test_only_what_was_in_breach_is_held() -> None:
    inner: Any = guard(hand := Hand(), HIGH, name="every column")
    alarm = sustained(inner, keep=10.0)
    hand.holds = [psi(1.1, 0, "a"), psi(0.7, 0, "b")]
    assert alarm().severity is BREACH
    for at in (1, 2):
        hand.holds = [psi(0.7, at, "a"), psi(0.7, at, "b")]
        assert alarm().severity is BREACH
    hand.holds = [psi(0.9, 3, "a"), psi(0.9, 3, "b")]
    causes = inner().causes
    assert {cause.name: cause.severity for cause in causes} == {"a": BREACH, "b": OK}


@given(VALUES, st.lists(st.integers(1, 3), min_size=30, max_size=30))
def test_several_askers_of_an_alarm_and_of_its_guard_change_nothing(
    values: list[float], times: list[int]
) -> None:
    hand = Hand()
    one = sustained(guard(hand, HIGH), k=2, of=3, keep=3.0)
    inner = guard(hand, HIGH)
    two = sustained(inner, k=2, of=3, keep=3.0)
    for place, value in enumerate(values):
        hand.holds = psi(value, place)
        expected = one()
        for _ in range(times[place]):
            found = two()
            assert found == expected
            assert inner() == found.causes[0]
