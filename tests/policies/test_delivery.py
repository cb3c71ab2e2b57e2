"""`deliver` and `once` in one process; `tests/stores/test_once.py` has them in many."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest

from mlguard import (
    Action,
    ConfigurationError,
    Decision,
    MemoryStore,
    Response,
    ResponsePolicy,
    Severity,
    Verdict,
    deliver,
    once,
)
from mlguard.errors import StateConflict
from mlguard.testing import ManualClock, RecordingSink

ALERT, RESOLVE, RETRAIN = Action.ALERT, Action.RESOLVE, Action.RETRAIN


def decision(
    action: Action | str = ALERT, key: str = "k", at: float | None = None, policy: str = ""
) -> Decision:
    return Decision(action, "p99 = 61 ms", key=key, at=at, policy_digest=policy)


def told(sink: RecordingSink) -> list[tuple[str, str]]:
    return [(str(each.action), each.key) for each in sink.decisions]


class Failing:
    """A sink that fails so many times, and then records."""

    name = "pager"

    def __init__(self, times: int) -> None:
        self.times = times
        self.decisions: list[Decision] = []

    def __call__(self, decision: Decision) -> None:
        if self.times:
            self.times -= 1
            raise ConnectionError("no route")
        self.decisions.append(decision)


def test_every_decision_goes_to_every_sink_whatever_fails() -> None:
    before, after = RecordingSink(), RecordingSink()
    decisions = [decision(key="a"), decision(RESOLVE, "a"), decision("own", "")]
    with pytest.raises(ExceptionGroup, match="3 of 9 deliveries failed") as caught:
        deliver(iter(decisions), before, Failing(3), after)
    assert before.decisions == after.decisions == decisions
    notes = [error.__notes__ for error in caught.value.exceptions]
    assert notes == [
        ["alert a did not arrive at pager"],
        ["resolve a did not arrive at pager"],
        ["own did not arrive at pager"],
    ]


def test_nothing_to_deliver_and_nowhere_to() -> None:
    deliver([], RecordingSink())
    deliver([decision()])


def test_an_interrupt_is_no_failure() -> None:
    def interrupted(_: Decision) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        deliver([decision()], interrupted)


@pytest.mark.parametrize("wrong", [decision(), "alert", [decision(), "alert"]])
def test_deliver_refuses_what_is_no_decision_before_it_delivers(wrong: Any) -> None:
    sink = RecordingSink()
    with pytest.raises(ConfigurationError, match="decisions = "):
        deliver(wrong, sink)
    assert sink.decisions == []


def test_deliver_refuses_what_is_no_sink() -> None:
    with pytest.raises(ConfigurationError, match="sinks = "):
        deliver([], "pager")  # type: ignore[arg-type]


def test_a_key_is_told_once_and_its_resolve_once() -> None:
    sink, store = RecordingSink(), MemoryStore()
    replicas = [once(sink, store=store) for _ in range(3)]
    for each in (ALERT, ALERT, RESOLVE, RESOLVE):
        for replica in replicas:
            replica(decision(each))
    assert told(sink) == [("alert", "k"), ("resolve", "k")]


def test_resolve_arms_the_key_again() -> None:
    sink = RecordingSink()
    one = once(sink, store=MemoryStore())
    for _ in range(2):
        for each in (ALERT, ALERT, RESOLVE, RESOLVE):
            one(decision(each))
    assert told(sink) == [("alert", "k"), ("resolve", "k")] * 2


@pytest.mark.parametrize(
    ("at", "policy", "pages"),
    [
        (5.0, "", 1),  # a replica that lags
        (10.0, "", 2),  # an episode that begins as the last one ends
        (11.0, "", 2),
        (None, "", 2),  # nobody knows, and twice is better than never
        (11.0, "5e", 1),  # a policy gives each episode its own key
    ],
)
def test_an_alert_after_the_resolve_is_new_or_late(
    at: float | None, policy: str, pages: int
) -> None:
    sink = RecordingSink()
    one = once(sink, store=MemoryStore())
    for each in (decision(at=4.0), decision(RESOLVE, at=10.0), decision(at=at, policy=policy)):
        one(each)
    assert [action for action, _ in told(sink)].count("alert") == pages


def test_a_late_resolve_does_not_close_the_next_episode() -> None:
    sink = RecordingSink()
    one = once(sink, store=MemoryStore())
    times = [(ALERT, 1.0), (RESOLVE, 2.0), (ALERT, 3.0), (RESOLVE, 2.0), (RESOLVE, 4.0)]
    for action, at in times:
        one(decision(action, at=at))
    assert [each.at for each in sink.decisions] == [1.0, 2.0, 3.0, 4.0]


def test_a_resolve_by_a_clock_that_is_behind_still_closes_the_key_of_a_policy() -> None:
    sink = RecordingSink()
    one = once(sink, store=MemoryStore())
    one(decision(at=3.0, policy="5e"))
    one(decision(RESOLVE, at=2.9, policy="5e"))
    assert told(sink) == [("alert", "k"), ("resolve", "k")]


def test_other_actions_under_a_key_are_told_too() -> None:
    sink = RecordingSink()
    one = once(sink, store=MemoryStore())
    for each in (ALERT, RETRAIN, "page-the-vendor", RETRAIN, RESOLVE, Action.ROLLBACK):
        one(decision(each, policy="5e"))
    actions = [action for action, _ in told(sink)]
    assert actions == ["alert", "retrain", "page-the-vendor", "resolve", "rollback"]


def test_nobody_hears_that_it_is_over_who_did_not_hear_that_it_began() -> None:
    sink = RecordingSink()
    one = once(sink, store=MemoryStore())
    one(decision(RESOLVE))
    assert (told(sink), one.pending) == ([], ())


def test_a_decision_without_a_key_is_always_delivered() -> None:
    sink, store = RecordingSink(), MemoryStore()
    one = once(sink, store=store)
    one(decision(key=""))
    one(decision(key=""))
    assert len(sink.decisions) == 2
    assert store.keys() == []


def test_a_sink_that_fails_leaves_no_mark_and_the_next_attempt_delivers() -> None:
    sink, store = Failing(2), MemoryStore()
    one, other = once(sink, store=store), once(sink, store=store)
    for replica in (one, other):
        with pytest.raises(ConnectionError):
            replica(decision())
    assert one.pending == other.pending == (decision(),)
    other(decision())
    one.retry()
    assert len(sink.decisions) == 1
    assert not one.pending + other.pending


def test_retry_raises_what_fails_again_and_keeps_it() -> None:
    sink = Failing(3)
    one = once(sink, store=MemoryStore())
    for key in ("a", "b"):
        with pytest.raises(ConnectionError):
            one(decision(key=key))
    with pytest.raises(ExceptionGroup, match="1 of 2"):
        one.retry()
    assert [each.key for each in one.pending] == ["a"]
    one.retry()
    assert [each.key for each in sink.decisions] == ["b", "a"]


def test_a_resolve_waits_for_its_alert() -> None:
    sink = Failing(2)
    one = once(sink, store=MemoryStore())
    with pytest.raises(ConnectionError):
        one(decision())
    with pytest.raises(ExceptionGroup):
        one(decision(RESOLVE))
    assert [each.action for each in one.pending] == [ALERT, RESOLVE]
    one.retry()
    assert [each.action for each in sink.decisions] == [ALERT, RESOLVE]
    assert one.pending == ()


def test_while_another_delivers_it_is_left_to_it() -> None:
    store, begun, end = MemoryStore(), threading.Event(), threading.Event()
    sink = RecordingSink()

    def slow(decision: Decision) -> None:
        begun.set()
        assert end.wait(60.0)
        sink(decision)

    holder = threading.Thread(target=once(slow, store=store, name="pager"), args=(decision(),))
    holder.start()
    assert begun.wait(60.0)
    one = once(sink, store=store, name="pager")
    one(decision())
    one(decision(RESOLVE))
    assert [each.action for each in one.pending] == [ALERT, RESOLVE]
    assert sink.decisions == []
    end.set()
    holder.join()
    one.retry()
    assert told(sink) == [("alert", "k"), ("resolve", "k")]
    assert one.pending == ()


def test_a_resolve_does_not_overtake_an_alert_that_the_other_one_gave_up() -> None:
    class Busy(MemoryStore):
        __slots__ = ()
        times = 2

        def acquire(self, name: str, ttl: float | timedelta) -> int | None:
            type(self).times -= 1
            return None if self.times >= 0 else super().acquire(name, ttl)

    sink = RecordingSink()
    one = once(sink, store=Busy())
    one(decision())
    one(decision(RESOLVE))
    assert [each.action for each in one.pending] == [ALERT, RESOLVE]
    one.retry()
    assert told(sink) == [("alert", "k"), ("resolve", "k")]


def test_a_lease_that_nobody_gave_back_delays_no_longer_than_it_lasts() -> None:
    clock, sink = ManualClock(1e6), RecordingSink()
    store = MemoryStore(clock=clock)
    assert store.acquire("once/pager/k", 120.0) is not None
    one = once(sink, store=store, name="pager")
    one(decision())
    clock.advance(119.0)
    one.retry()
    assert (sink.decisions, one.pending) == ([], (decision(),))
    clock.advance(1.0)
    one.retry()
    assert (told(sink), one.pending) == ([("alert", "k")], ())


def test_a_delivery_longer_than_its_lease_may_be_doubled_but_is_marked() -> None:
    clock = ManualClock(1e6)
    store, sink = MemoryStore(clock=clock), RecordingSink()
    other = once(sink, store=store, name="pager")

    def slow(decision: Decision) -> None:
        clock.advance(121.0)
        other(decision)
        sink(decision)

    one = once(slow, store=store, name="pager")
    one(decision())
    one(decision())
    assert len(sink.decisions) == 2
    assert one.pending == other.pending == ()


def test_an_interrupt_leaves_it_pending_and_gives_the_lease_back() -> None:
    store, sink = MemoryStore(), RecordingSink()

    def interrupted(_: Decision) -> None:
        raise KeyboardInterrupt

    one = once(interrupted, store=store, name="pager")
    with pytest.raises(KeyboardInterrupt):
        one(decision())
    assert one.pending == (decision(),)
    once(sink, store=store, name="pager")(decision())
    assert len(sink.decisions) == 1


def test_the_policies_of_six_replicas_page_once_an_episode() -> None:
    store, pages = MemoryStore(), RecordingSink()
    severities = ["OK", "BREACH", "BREACH", "OK", "OK", "BREACH", "OK"]
    history = [Verdict("p99", Severity[s], "r", at=60.0 * n) for n, s in enumerate(severities)]

    def replica() -> None:
        for _ in range(3):
            policy = ResponsePolicy(Response(ALERT, when="p99"))
            page = once(pages, store=store, name="pager")
            for verdict in history:
                deliver(policy.decide(verdict), page)
                page.retry()

    threads = [threading.Thread(target=replica) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [action for action, _ in told(pages)] == ["alert", "resolve"] * 2
    assert len({key for _, key in told(pages)}) == 2


def test_two_sinks_on_a_store_have_two_names() -> None:
    pager, chat, store = RecordingSink(), RecordingSink(), MemoryStore()
    sinks = once(pager, store=store, name="pager"), once(chat, store=store, name="chat")
    deliver([decision(), decision()], *sinks)
    assert told(pager) == told(chat) == [("alert", "k")]
    assert store.keys() == ["once/chat/k", "once/pager/k"]


def test_names_and_keys_do_not_mix() -> None:
    sink, store = RecordingSink(), MemoryStore()
    once(sink, store=store, name="a")(decision(key="b/c"))
    once(sink, store=store, name="a/b")(decision(key="c"))
    once(sink, store=store, name="a")(decision(key="\ud800"))
    assert len(sink.decisions) == 3


def test_the_store_keeps_the_last_keys_and_forgets_resolved_ones_first() -> None:
    sink, store = RecordingSink(), MemoryStore()
    one = once(sink, store=store, name="pager", keep=8)
    one(decision(key="open"))
    for number in range(100):
        one(decision(key=f"{number}"))
        one(decision(RESOLVE, key=f"{number}"))
        assert len(store.keys()) <= 8
    assert store.load("once/pager/open") is not None
    one(decision(RESOLVE, key="open"))
    assert told(sink)[-1] == ("resolve", "open")
    for number in range(100):  # open ones are bounded, too
        one(decision(key=f"again {number}"))
    assert len(store.keys()) <= 8


def test_what_is_pending_is_bounded(caplog: pytest.LogCaptureFixture) -> None:
    one = once(Failing(-1), store=MemoryStore(), keep=2)
    for number in range(3):
        with pytest.raises(ConnectionError):
            one(decision(key=f"{number}"))
    assert [each.key for each in one.pending] == ["1", "2"]
    assert "given up: [('0', 'alert')]" in caplog.text


def test_a_store_that_is_down_is_told_of_and_nothing_is_lost() -> None:
    class Down(MemoryStore):
        __slots__ = ()
        down = True

        def load(self, key: str) -> tuple[bytes, int] | None:
            if self.down:
                raise ConnectionError("store")
            return super().load(key)

    store, sink = Down(), RecordingSink()
    one = once(sink, store=store)
    with pytest.raises(ConnectionError, match="store"):
        one(decision())
    Down.down = False
    one.retry()
    assert told(sink) == [("alert", "k")]


def test_a_lease_that_cannot_be_given_back_hides_no_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Sticky(MemoryStore):
        __slots__ = ()

        def release(self, name: str, token: int) -> bool:
            raise ConnectionError(name, token)

    with pytest.raises(ConnectionError, match="no route"):
        once(Failing(1), store=Sticky())(decision())
    assert "runs out by itself" in caplog.text


def test_a_lost_race_for_the_mark_is_run_again() -> None:
    class Contended(MemoryStore):
        __slots__ = ()
        races = 2

        def save(self, key: str, data: bytes, *, if_version: int | None = None) -> int:
            if self.races:
                type(self).races -= 1
                raise StateConflict(key)
            return super().save(key, data, if_version=if_version)

    store, sink = Contended(), RecordingSink()
    one = once(sink, store=store)
    one(decision())
    one(decision())
    assert (len(sink.decisions), store.races) == (1, 0)


@pytest.mark.parametrize(
    "data",
    [
        b"\xff",
        b'{"kind": "part", "schema": 1}',
        b'{"kind": "once", "schema": 2}',
        b'{"kind": "once", "schema": 1}',
    ],
)
def test_a_mark_that_cannot_be_read_says_where_it_stands(data: bytes) -> None:
    store, sink = MemoryStore(), RecordingSink()
    store.save("once/pager/k", data)
    with pytest.raises(ConfigurationError, match="'once/pager/k' in the store"):
        once(sink, store=store, name="pager")(decision())
    assert sink.decisions == []


@pytest.mark.parametrize(
    ("sink", "settings", "named"),
    [
        ("pager", {}, "sinks"),
        (print, {"store": {}}, "store"),
        (print, {"name": " "}, "name"),
        (print, {"lease": 0.0}, "lease"),
        (print, {"keep": 0}, "keep"),
    ],
)
def test_once_refuses_bad_arguments(sink: Any, settings: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^{named} = "):
        once(sink, **{"store": MemoryStore(), **settings})
