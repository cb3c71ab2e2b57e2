"""A meter for each key: bounded, whoever asks; the worst of those that saw traffic."""

from __future__ import annotations

import copy
import json
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlguard import ConfigurationError, ErrorBudget, Keyed, LatencyBudget, Severity, StreamLatency
from mlguard.testing import ManualClock

START = 1_800_000_000.0
CLOCK = ManualClock(START)


def meter() -> LatencyBudget:
    return LatencyBudget({0.5: 0.050}, clock=CLOCK)


def keyed(make: Any = meter, **more: Any) -> Keyed[Any]:
    return Keyed(make, **more)


def requests(family: Keyed[Any]) -> dict[str, int]:
    return {key: part.totals["requests"] for key, part in family.items()}


def test_a_key_gets_a_meter_of_its_own_when_it_is_first_seen() -> None:
    family = keyed()
    assert (list(family), len(family), "b" in family) == ([], 0, False)
    for key in ("b", "a", "b"):
        family[key].observe(0.010)
    assert (list(family), len(family), "b" in family, 5 in family) == (["a", "b"], 2, True, False)
    assert requests(family) == {"a": 1, "b": 2}
    assert family["a"] is family["a"]
    assert repr(family) == "<Keyed by key: 2 of at most 200>"


def test_beyond_the_bound_all_share_one() -> None:
    family = keyed(max_keys=2, overflow="rest")
    for key in ("a", "b", "c", "d", "a", "rest"):
        family[key].observe(0.010)
    assert requests(family) == {"a": 2, "b": 1, "rest": 3}
    assert family["c"] is family["zzz"] is family["rest"]
    assert len(family) == 3


def test_the_overflow_may_come_first_and_takes_no_room() -> None:
    family = keyed(max_keys=1)
    for key in ("other", "x" * 201, "a", "b"):
        family[key].observe(0.010)
    assert requests(family) == {"a": 1, "other": 3}


def test_a_long_key_is_no_name() -> None:
    family = keyed()
    for key in ("x" * 200, "x" * 201, "y" * 10**6):
        family[key].observe(0.010)
    assert requests(family) == {"x" * 200: 1, "other": 2}


@pytest.mark.parametrize("key", [None, 1, 1.5, b"a", ("a",), ["a"], {"a": 1}, {"a"}], ids=repr)
def test_a_key_that_is_no_string_is_refused(key: Any) -> None:
    family = keyed()
    with pytest.raises(ConfigurationError, match=r"^key = .*: must be a string$"):
        family[key]
    assert not len(family)


@given(st.lists(st.text(max_size=250), max_size=30))
def test_any_string_is_a_key_and_every_request_counts_once(keys: list[str]) -> None:
    family = keyed(max_keys=5)
    for key in keys:
        family[key].observe(0.010)
    assert len(family) <= 6
    assert sum(requests(family).values()) == len(keys)
    again: Keyed[Any] = Keyed.from_json(family.to_json(), clock=CLOCK)
    assert requests(again) == requests(family)
    assert family().reason


def test_an_example_shows_what_the_family_is_made_of() -> None:
    made = Keyed(lambda: ErrorBudget(0.999))
    assert isinstance(made.example(), ErrorBudget)
    assert not list(made)
    assert made.example() is not made["acme"]
    assert made.example() is made["acme"]
    assert Keyed.from_json(Keyed(lambda: ErrorBudget(0.999)).to_json()).example() is None


def test_many_threads_make_no_more_meters_than_allowed_and_lose_nothing() -> None:
    family = keyed(max_keys=10)
    start = threading.Barrier(8)

    def run(first: int) -> None:
        start.wait(20.0)
        for number in range(400):
            family[f"key {(first * 7 + number) % 40}"].observe(0.010)

    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(run, number) for number in range(8)]:
            done.result()
    assert len(family) == 11
    assert sum(requests(family).values()) == 8 * 400


def test_two_threads_that_make_the_last_key_at_once_get_the_same_meter() -> None:
    both = threading.Barrier(2)

    def make() -> LatencyBudget:
        both.wait(20.0)
        return meter()

    family = keyed(make, max_keys=1)
    with ThreadPoolExecutor(2) as pool:
        one, two = pool.map(family.__getitem__, ["last", "last"])
    assert one is two is family["last"]
    assert list(family) == ["last"]


def test_two_threads_that_make_two_last_keys_at_once_get_one_and_the_overflow() -> None:
    both = threading.Barrier(2)

    def make() -> LatencyBudget:
        both.wait(20.0)
        return meter()

    family = keyed(make, max_keys=1)
    with ThreadPoolExecutor(2) as pool:
        one, two = pool.map(family.__getitem__, ["a", "b"])
    assert one is not two
    assert sorted(family)[1] == "other"
    assert len(family) == 2


def test_no_lock_is_held_while_a_meter_is_made() -> None:
    def make() -> LatencyBudget:
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(lambda: len(list(family))).result(20.0) == 0
        return meter()

    family = keyed(make)
    family["a"].observe(0.010)
    assert len(family) == 1


def test_a_meter_that_cannot_be_made_leaves_the_family_as_it_was() -> None:
    family = keyed(lambda: LatencyBudget({}))
    with pytest.raises(ConfigurationError, match=r"^limits = "):
        family["a"]
    assert not len(family)


# As a check.


def test_it_is_the_worst_over_the_keys_that_saw_traffic() -> None:
    clock = ManualClock(START)
    family = keyed(lambda: LatencyBudget({0.5: 0.050}, clock=clock), by="tenant", name="tenants")
    assert (family().severity, family().reason) == (Severity.UNKNOWN, "no tenant of 0 saw traffic")
    assert family["idle"].measure().n == 0
    assert family().reason == "no tenant of 1 saw traffic"
    family["good"].observe_many([0.010] * 100)
    verdict = family()
    assert (verdict.name, verdict.severity) == ("tenants", Severity.OK)
    assert [cause.name for cause in verdict.causes] == ["latency[tenant=good]"]  # type: ignore[union-attr]
    family["bad"].observe_many([0.080] * 100)
    assert family().severity is Severity.BREACH
    assert family().reason == "1 BREACH (latency[tenant=bad]), 1 OK"
    clock.advance(3600.0)
    assert family().reason == "no tenant of 3 saw traffic"
    assert requests(family) == {"bad": 100, "good": 100, "idle": 0}


def test_a_key_with_too_little_traffic_is_unknown_and_not_left_out() -> None:
    family = keyed()
    family["busy"].observe_many([0.010] * 100)
    family["quiet"].observe(0.010)
    assert (family().severity, len(family().causes)) == (Severity.UNKNOWN, 2)


def test_a_meter_that_crashes_is_unknown() -> None:
    def crash() -> Any:
        raise RuntimeError("lost")

    family = keyed(lambda: crash)
    family["a"]
    assert family().severity is Severity.UNKNOWN
    assert "crashed: RuntimeError: lost" in family().explain()


@pytest.mark.parametrize(
    "make",
    [
        lambda: StreamLatency(first={0.5: 1.0}, gap={0.5: 1.0}),
        lambda: ErrorBudget(slo=0.9, alerts=[]),
    ],
    ids=["streams", "errors"],
)
def test_families_of_every_kind_leave_out_the_idle(make: Any) -> None:
    family = keyed(make)
    family["idle"]
    assert family().reason == "no key of 1 saw traffic"
    names = [each.name for each in family.measure()]
    assert names
    assert all(name.endswith("[key=idle]") for name in names)


# Sums and the wire.


def filled(*keys: str, **more: Any) -> Keyed[Any]:
    family = keyed(**more)
    for key in keys:
        family[key].observe(0.010)
    return family


def test_sums_go_key_by_key_and_stand_by_themselves() -> None:
    one, two = filled("a", "b"), filled("b", "c")
    for total in (one + two, two + one):
        assert requests(total) == {"a": 1, "b": 2, "c": 1}
        for key in "abcd":
            total[key].observe(0.010)
    assert requests(one) == {"a": 1, "b": 1}
    assert requests(two) == {"b": 1, "c": 1}
    read: list[Keyed[Any]] = [Keyed.from_json(each.to_json(), clock=CLOCK) for each in (one, two)]
    total = read[0] + read[1]
    total["a"].observe(0.010)
    total["c"].observe(0.010)
    assert [requests(each) for each in read] == [{"a": 1, "b": 1}, {"b": 1, "c": 1}]
    a, b, c = (filled("a", "b"), filled("b", "c"), filled("c", "a"))
    assert (a + b) + c == c + (b + a) == a + (b + c)


def test_a_sum_has_the_clock_of_the_first() -> None:
    here, there = ManualClock(START), ManualClock(START + 5.0)
    one = keyed(lambda: LatencyBudget({0.5: 0.050}, clock=here))
    two = keyed(lambda: LatencyBudget({0.5: 0.050}, clock=there))
    two["a"].observe(0.010)
    total = one + two
    assert total["a"].clock is here
    assert total["b"].clock is here
    assert requests(two) == {"a": 1}


@pytest.mark.parametrize("more", [{"max_keys": 5}, {"overflow": "rest"}, {"by": "tenant"}])
def test_families_of_different_settings_do_not_add(more: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^families of different settings do not add"):
        keyed() + keyed(**more)


def test_families_add_only_to_families() -> None:
    for other in (1, meter()):
        with pytest.raises(TypeError):
            keyed() + other  # type: ignore[operator]
    with pytest.raises(TypeError):
        hash(keyed())


def test_it_round_trips_and_then_makes_no_more_meters() -> None:
    family = filled("a", "b", by="tenant", max_keys=7, name="tenants")
    text = family.to_json()
    again: Keyed[Any] = Keyed.from_json(text, clock=CLOCK)
    assert again == family
    assert again.to_json() == text
    assert (again.by, again.max_keys, again.name) == ("tenant", 7, "tenants")
    again["a"].observe(0.010)
    assert requests(again) == {"a": 2, "b": 1}
    with pytest.raises(
        ConfigurationError, match=r"^key = 'c': must be one of \['a', 'b'\]: this was"
    ):
        again["c"]
    assert family.retired().items()[0][1].measure().n == 0


def test_a_family_whose_maker_can_be_pickled_can_be_pickled() -> None:
    family = keyed(partial(LatencyBudget, {0.5: 0.050}, clock=CLOCK))
    family["a"].observe(0.010)
    for twin in (pickle.loads(pickle.dumps(family)), copy.deepcopy(family)):  # noqa: S301 -- our own
        twin["a"].observe(0.010)
        twin["b"].observe(0.010)
        assert requests(twin) == {"a": 2, "b": 1}
    assert requests(family) == {"a": 1}


GOOD = json.loads(filled("a").to_json())
CHANGES: list[dict[str, Any]] = [
    {"parts": []},
    {"parts": None},
    {"parts": {"a": 5}},
    {"parts": {"a": {"kind": "profile"}}},
    {"parts": {"a": {"kind": ["latencybudget"]}}},
    {"settings": {}},
    {"settings": []},
    {"settings": 5},
    {"settings": {**GOOD["settings"], "max_keys": 0}},
    {"settings": {"max_keys": 5, "by": "key"}},
    {"settings": {**GOOD["settings"], "overflow": None}},
    {"name": " "},
    {"kind": "streamlatency"},
    {"schema": None},
]


@pytest.mark.parametrize("change", CHANGES, ids=map(str, range(len(CHANGES))))
def test_damaged_json_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        Keyed.from_json(json.dumps({**GOOD, **change}))
    with pytest.raises(ConfigurationError):
        Keyed.from_json(json.dumps({k: v for k, v in GOOD.items() if k not in change}))


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"make": None}, "^make = None: must be a callable without arguments that makes a meter"),
        ({"max_keys": 0}, "^max_keys = 0: must be a whole number of at least 1"),
        ({"max_keys": "many"}, "^max_keys = 'many': must be a number"),
        ({"overflow": ""}, "^overflow = ''"),
        ({"by": 5}, "^by = 5"),
        ({"name": None}, "^name = None"),
    ],
)
def test_a_wrong_argument_is_named(more: Any, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        keyed(**more)
