"""What holds for every store: the suite, and the same steps as a plain dictionary."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import timedelta
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from mlguard import ConfigurationError, MemoryStore, StateConflict, Store
from mlguard.testing import check_store

Opened = tuple[Callable[[], Store], Callable[[float], object]]
Fresh = Callable[[], Opened]

KEYS = st.sampled_from(["a", "a/b", "a/b/c", "a%", "a_", "a*", "[a]", "ä", "\0", "\U0010ffff"])
NAMES = st.sampled_from(["decider", "decider/2"])
LENGTHS = st.sampled_from([1500, 3500])  # never near a multiple of a step, as a server's time runs
STEPS = st.sampled_from([1000, 2000, 4000, -1000])


def test_it_keeps_the_rules_for_threads_and_for_processes(fresh: Fresh) -> None:
    make, advance = fresh()
    processes = 0 if isinstance(make(), MemoryStore) else 8
    check_store(make, advance=advance, processes=processes)


@pytest.mark.slow
def test_it_keeps_the_rules_every_time(fresh: Fresh) -> None:
    for _ in range(10):
        test_it_keeps_the_rules_for_threads_and_for_processes(fresh)


class Model(RuleBasedStateMachine):
    """A store beside a dictionary of states, a dictionary of leases and the time."""

    def __init__(self, opened: Opened) -> None:
        super().__init__()
        make, self.advance = opened
        self.store = make()
        self.now = 0
        self.states: dict[str, tuple[bytes, int]] = {}
        self.given: set[int] = set()
        self.leases: dict[str, tuple[int, int, int]] = {}
        self.tokens: dict[str, list[int]] = {}

    @rule(key=KEYS, data=st.binary(max_size=20))
    def write_over(self, key: str, data: bytes) -> None:
        self.wrote(key, data, self.store.save(key, data))

    @rule(key=KEYS, data=st.binary(max_size=20))
    def write_over_what_is_known(self, key: str, data: bytes) -> None:
        _, there = self.states.get(key, (b"", 0))
        self.wrote(key, data, self.store.save(key, data, if_version=there))

    @rule(key=KEYS, choice=st.randoms(use_true_random=False))
    def lose_the_race(self, key: str, choice: Any) -> None:
        _, there = self.states.get(key, (b"", 0))
        wrong = choice.choice(sorted({0, 1, *self.given} - {there}))
        with pytest.raises(StateConflict, match="load it and try again"):
            self.store.save(key, b"lost", if_version=wrong)

    def wrote(self, key: str, data: bytes, version: int) -> None:
        assert version not in {0, *self.given}
        self.given.add(version)
        self.states[key] = data, version

    @rule(key=KEYS)
    def delete(self, key: str) -> None:
        self.store.delete(key)
        self.states.pop(key, None)

    @rule(key=KEYS)
    def load(self, key: str) -> None:
        assert self.store.load(key) == self.states.get(key)

    @rule(prefix=KEYS)
    def list_some(self, prefix: str) -> None:
        assert self.store.keys(prefix) == sorted(k for k in self.states if k.startswith(prefix))

    @invariant()
    def lists_all(self) -> None:
        assert self.store.keys() == sorted(self.states)

    @rule(seconds=STEPS)
    def let_time_pass(self, seconds: int) -> None:
        self.advance(seconds)
        self.now += seconds

    def held(self, name: str) -> int:
        token, acquired, expires = self.leases.get(name, (0, 0, 0))
        return token if acquired <= self.now < expires else 0

    @rule(name=NAMES, ttl=LENGTHS)
    def acquire(self, name: str, ttl: int) -> None:
        token = self.store.acquire(name, timedelta(seconds=ttl))
        assert (token is None) == bool(self.held(name))
        if token is not None:
            assert token > max(self.tokens.get(name, [0]))
            self.tokens.setdefault(name, []).append(token)
            self.leases[name] = token, self.now, self.now + ttl

    @rule(name=NAMES, ttl=LENGTHS, back=st.integers(0, 2))
    def renew(self, name: str, ttl: int, back: int) -> None:
        token = self.token(name, back)
        kept = self.held(name) == token
        assert self.store.renew(name, token, ttl) is kept
        if kept:
            self.leases[name] = token, self.now, self.now + ttl

    @rule(name=NAMES, back=st.integers(0, 2))
    def release(self, name: str, back: int) -> None:
        token = self.token(name, back)
        assert self.store.release(name, token) is (self.held(name) == token)
        if self.leases.get(name, (0,))[0] == token:
            del self.leases[name]

    def token(self, name: str, back: int) -> int:
        """Give the last token of a name, or an older one, or one that was not given."""
        tokens = [1, 1, 1, *self.tokens.get(name, [])]
        return tokens[-1 - back]


def test_it_does_what_a_dictionary_does(fresh: Fresh) -> None:
    class Here(Model):
        def __init__(self) -> None:
            super().__init__(fresh())

    checks = list(HealthCheck)  # a server and a disk take their time
    steps = settings(
        max_examples=40, stateful_step_count=40, deadline=None, suppress_health_check=checks
    )
    run_state_machine_as_test(Here, settings=steps)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s: s.save("", b""), "key = '': must be a string that is not empty"),
        (lambda s: s.load(""), "key = '': must be a string that is not empty"),
        (lambda s: s.delete(""), "key = '': must be a string that is not empty"),
        (lambda s: s.save(7, b""), "key = 7: must be a string"),
        (lambda s: s.keys(None), "prefix = None: must be a string"),
        (lambda s: s.keys("\ud800"), r"prefix = '\\ud800': must be a string that UTF-8 can write"),
        (lambda s: s.save("k", "text"), "data = 'text': must be bytes"),
        (lambda s: s.save("k", bytearray(b"x")), r"data = bytearray\(b'x'\): must be bytes"),
        (lambda s: s.save("k", b"", if_version=-1), "if_version = -1: must be a whole number"),
        (lambda s: s.acquire("", 1.0), "name = '': must be a string that is not empty"),
        (lambda s: s.acquire("n", -1.0), "ttl = -1.0: must be a positive duration"),
        (lambda s: s.acquire("n", math.inf), "ttl = inf: must be a positive duration"),
        (lambda s: s.renew("n", None, 1.0), "token = None: must be a number"),
        (lambda s: s.renew("n", 1, timedelta(0)), "ttl = .*: must be a positive duration"),
        (lambda s: s.release("n", 0), "token = 0: must be a whole number of at least 1"),
    ],
    ids=count(),
)
def test_bad_input_is_refused_by_name(
    fresh: Fresh, call: Callable[[Any], object], message: str
) -> None:
    store = fresh()[0]()
    with pytest.raises(ConfigurationError, match=f"^{message}"):
        call(store)
    assert store.keys() == []


def test_a_clock_that_is_set_back_ends_a_lease_early(fresh: Fresh) -> None:
    make, advance = fresh()
    store = make()
    first = store.acquire("decider", 600.0)
    assert first is not None
    advance(300.0)
    assert store.renew("decider", first, 600.0)
    advance(-100.0)  # to a time after the lease was taken, but before it was renewed
    assert not store.renew("decider", first, 600.0)
    second = store.acquire("decider", 600.0)
    assert second is not None
    assert second > first


@pytest.mark.parametrize("ttl", [1e300, 1e20, timedelta.max])
def test_a_lease_may_be_as_long_as_you_like(fresh: Fresh, ttl: float | timedelta) -> None:
    store = fresh()[0]()
    assert store.acquire("decider", ttl) is not None
    assert store.acquire("decider", 1.0) is None


def test_a_lease_may_be_too_short_to_be_held(fresh: Fresh) -> None:
    make, advance = fresh()
    assert make().acquire("decider", 1e-300) is not None
    advance(1e-5)
    assert make().acquire("decider", 1e-300) is not None
