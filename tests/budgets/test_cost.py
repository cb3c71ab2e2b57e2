"""Cost budgets: every way a call can end, windows and clocks, refusals, and stores that fail."""

from __future__ import annotations

import asyncio
import copy
import gc
import logging
import pickle
import threading
from contextlib import ExitStack
from datetime import timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlguard import (
    BudgetExceeded,
    Calendar,
    ConfigurationError,
    CostBudget,
    MemoryStore,
    Money,
    Rolling,
    Severity,
    SqliteStore,
    StateConflict,
    reserve_all,
)
from mlguard.testing import ManualClock, RecordingSink

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Generator, Iterator
    from pathlib import Path

NOON = 1_800_014_400.0  # 2027-01-15T12:00:00Z
DAY = Calendar("day")


def budget(cap: Any = "10 USD", *, name: str = "llm", **more: Any) -> CostBudget:
    clock = more.setdefault("clock", ManualClock(NOON))
    options: dict[str, Any] = {"window": DAY, "on_store_error": "deny", "on_unsettled": "reserved"}
    if "store" not in more:
        more["store"] = MemoryStore(clock=clock)
    return CostBudget(name, cap, **(options | more))


def spend(of: CostBudget, cost: str, **more: Any) -> None:
    with of.reserve(cost, **more) as call:
        call.dispatched()
        call.settle(cost)


def held(of: CostBudget, key: str | None = None) -> tuple[str, str]:
    """Give what is spent and reserved, as the store has it."""
    of.refresh(key)
    known = of.known(key)
    assert known is not None
    return str(known.spent), str(known.reserved)


# How a call can end.


def test_a_settled_call_costs_what_it_cost() -> None:
    llm = budget()
    with llm.reserve("0.05 USD") as call:
        assert held(llm) == ("0.00 USD", "0.05 USD")
        call.dispatched()
        call.settle("0.021 USD")
        assert held(llm) == ("0.021 USD", "0.00 USD")
    assert held(llm) == ("0.021 USD", "0.00 USD")
    assert call.charged == Money("0.021 USD")
    assert call.overrun is None


def test_nothing_is_reserved_before_the_block_is_entered() -> None:
    llm = budget()
    llm.reserve("0.05 USD")
    assert held(llm) == ("0.00 USD", "0.00 USD")


@pytest.mark.parametrize("error", [None, RuntimeError, KeyboardInterrupt, GeneratorExit])
@pytest.mark.parametrize(
    ("rule", "reported", "charged"),
    [
        ("floor", None, "0.00 USD"),
        ("floor", "0.02 USD", "0.02 USD"),
        ("floor", "0.09 USD", "0.09 USD"),
        ("reserved", None, "0.05 USD"),
        ("reserved", "0.02 USD", "0.05 USD"),
        ("reserved", "0.09 USD", "0.09 USD"),
    ],
)
def test_a_call_left_unsettled_is_charged_by_its_rule_however_it_is_left(
    error: type[BaseException] | None, rule: Any, reported: str | None, charged: str
) -> None:
    llm = budget(on_unsettled=rule)

    def run() -> None:
        with llm.reserve("0.05 USD") as call:
            call.dispatched()
            if reported:
                call.spent_so_far(reported)
                call.spent_so_far("0.01 USD")  # late news does not lower it
            if error:
                raise error

    if error is None:
        run()
    else:
        with pytest.raises(error):
            run()
    assert held(llm) == (charged, "0.00 USD")


@pytest.mark.parametrize("error", [None, RuntimeError, KeyboardInterrupt])
def test_a_call_that_never_went_out_costs_nothing(error: type[BaseException] | None) -> None:
    llm = budget()
    try:
        with llm.reserve("0.05 USD"):
            assert held(llm) == ("0.00 USD", "0.05 USD")
            if error:
                raise error
    except (RuntimeError, KeyboardInterrupt):
        pass
    assert held(llm) == ("0.00 USD", "0.00 USD")


def test_a_late_settlement_corrects_what_leaving_charged() -> None:
    llm = budget()
    with llm.reserve("0.05 USD", request_id="a") as call:
        call.dispatched()
    assert held(llm) == ("0.05 USD", "0.00 USD")
    call.settle("0.02 USD")
    assert held(llm) == ("0.02 USD", "0.00 USD")
    with llm.reserve("0.05 USD") as undispatched:
        pass
    undispatched.settle("0.01 USD")
    assert held(llm) == ("0.03 USD", "0.00 USD")


def test_the_same_settlement_again_changes_nothing_and_another_is_refused() -> None:
    llm = budget()
    with llm.reserve("0.05 USD") as call:
        call.settle("0.02 USD")
        call.settle("0.02 USD")
        with pytest.raises(StateConflict, match=r"settled at 0\.02 USD, not 0\.03 USD"):
            call.settle("0.03 USD")
    assert held(llm) == ("0.02 USD", "0.00 USD")


def test_what_costs_more_than_reserved_is_recorded_in_full() -> None:
    llm = budget("1 USD")
    with llm.reserve("0.90 USD") as call:
        call.settle("1.20 USD")
    assert call.overrun == Money("0.30 USD")
    assert held(llm) == ("1.20 USD", "0.00 USD")
    with pytest.raises(BudgetExceeded), llm.reserve("0 USD"):
        pytest.fail("nothing may pass above the cap")


def test_a_refund_is_a_row_of_its_own_in_the_window_of_its_call() -> None:
    clock = ManualClock(NOON)
    llm = budget("1 USD", clock=clock)
    spend(llm, "0.90 USD", request_id="a")
    clock.advance(86_400)
    spend(llm, "0.10 USD")
    for _ in range(3):
        llm.refund("a", "0.20 USD")
    llm.refund("a", "0.10 USD", refund_id="second")
    assert held(llm) == ("0.10 USD", "0.00 USD")
    rows = {entry.id: entry.charged for _, entry in llm.store.entries(llm.account(None))}
    assert rows["a"] == 900_000_000
    assert rows["a\nrefund"] == -200_000_000
    assert rows["a\nsecond"] == -100_000_000
    for wrong in ("0.70 USD", "0.61 USD"):
        with pytest.raises(StateConflict, match="600000000 nano-units are left"):
            llm.refund("a", wrong, refund_id="third")
    with pytest.raises(StateConflict, match="another amount"):
        llm.refund("a", "0.30 USD")
    with pytest.raises(StateConflict, match="nothing was settled"):
        llm.refund("b", "0.01 USD")
    assert llm.reconcile() == []


# Retries.


def test_a_job_that_is_delivered_twice_is_paid_once() -> None:
    llm = budget("1 USD")
    with llm.reserve("0.60 USD", request_id="a") as call:
        assert call.charged is None
        call.dispatched()
        call.settle("0.40 USD")
    for cost in ("0.60 USD", "0.90 USD"):
        with llm.reserve(cost, request_id="a") as again:
            assert again.charged == Money("0.40 USD")
            with pytest.raises(
                StateConflict, match=r"settled at 0\.40 USD: do not make the call again"
            ):
                again.dispatched()
            again.settle("0.40 USD")
    assert held(llm) == ("0.40 USD", "0.00 USD")


def test_while_an_attempt_is_under_way_another_is_refused_and_ends_nothing() -> None:
    llm = budget("1 USD")
    one, two = (llm.reserve("0.60 USD", request_id="a") for _ in range(2))
    with one:
        with pytest.raises(StateConflict, match="another attempt holds it"), two:
            pytest.fail("the block must not run")
        two.__exit__(None, None, None)
        assert held(llm) == ("0.00 USD", "0.60 USD")
        one.dispatched()
        two.__exit__(None, None, None)
        assert held(llm) == ("0.00 USD", "0.60 USD")
        one.settle("0.50 USD")
    assert held(llm) == ("0.50 USD", "0.00 USD")


def test_an_attempt_that_was_left_stays_charged_and_the_next_meets_the_cap() -> None:
    clock = ManualClock(NOON)
    llm = budget("1 USD", clock=clock, on_unsettled="floor")
    first = llm.reserve("0.60 USD", request_id="a")
    with first:
        first.spent_so_far("0.30 USD")
    with llm.reserve("0.60 USD", request_id="a") as second:
        assert held(llm) == ("0.30 USD", "0.60 USD")
        second.dispatched()
        with pytest.raises(BudgetExceeded), llm.reserve("0.20 USD"):
            pytest.fail("the block must not run")
        first.settle("0.35 USD")  # its bill came late
        assert held(llm) == ("0.35 USD", "0.60 USD")
        second.settle("0.50 USD")
    assert held(llm) == ("0.85 USD", "0.00 USD")
    spend(llm, "0.15 USD")
    for number in range(3):
        with pytest.raises(BudgetExceeded), llm.reserve("0.60 USD", request_id=f"full {number}"):
            pytest.fail("the block must not run")
    assert llm.reconcile() == []


def test_twenty_jobs_that_fail_and_are_retried_do_not_exceed_the_cap() -> None:
    llm = budget("1 USD", on_unsettled="floor")
    for number in range(20):
        with llm.reserve("0.60 USD", request_id=f"job {number}") as call:
            call.dispatched()
    admitted = 0
    with ExitStack() as stack:
        for number in range(20):
            try:
                call = stack.enter_context(llm.reserve("0.60 USD", request_id=f"job {number}"))
            except BudgetExceeded:
                continue
            admitted += 1
            call.settle("0.60 USD")
    assert admitted == 1
    assert held(llm) == ("0.60 USD", "0.00 USD")


def test_a_bill_that_comes_later_and_elsewhere_settles_what_was_left() -> None:
    llm = budget("1 USD")
    with llm.reserve("0.60 USD", request_id="a") as call:
        call.dispatched()
    for _ in range(2):
        budget("1 USD", store=llm.store).settle("a", "0.45 USD")
    assert held(llm) == ("0.45 USD", "0.00 USD")
    with pytest.raises(StateConflict, match="another cost"):
        llm.settle("a", "0.50 USD")
    with pytest.raises(StateConflict, match="not known"):
        llm.settle("b", "0.50 USD")


def test_a_reservation_is_for_one_call() -> None:
    llm = budget()
    call = llm.reserve("0.60 USD")
    for early in (call.dispatched, lambda: call.settle("0.10 USD")):
        with pytest.raises(StateConflict, match="is not entered"):
            early()
    with call:
        call.settle("0.10 USD")
    with pytest.raises(StateConflict, match="entered a second time"), call:
        pytest.fail("the block must not run")
    assert held(llm) == ("0.10 USD", "0.00 USD")


def test_a_released_request_may_be_tried_again_at_another_price_and_in_another_window() -> None:
    clock = ManualClock(NOON)
    llm = budget("1 USD", clock=clock)
    with llm.reserve("0.60 USD", request_id="a"):
        pass
    clock.advance(86_400)
    with llm.reserve("0.80 USD", request_id="a") as call:
        call.dispatched()
        call.settle("0.70 USD")
    assert held(llm) == ("0.70 USD", "0.00 USD")
    assert llm.reconcile() == []


def test_ids_of_different_keys_and_budgets_do_not_meet() -> None:
    store, clock = MemoryStore(), ManualClock(NOON)
    one = budget("1 USD", store=store, clock=clock, per="tenant")
    two = budget("1 USD", name="llm/acme", store=store, clock=clock)
    three = budget("1 USD", name="llm", store=store, clock=clock)
    spend(one, "0.10 USD", key="acme", request_id="a")
    spend(one, "0.20 USD", key="acme/b", request_id="a")
    spend(two, "0.30 USD", request_id="a")
    spend(three, "0.40 USD", request_id="a")
    assert held(one, "acme") == ("0.10 USD", "0.00 USD")
    assert held(one, "acme/b") == ("0.20 USD", "0.00 USD")
    assert held(two) == ("0.30 USD", "0.00 USD")
    assert held(three) == ("0.40 USD", "0.00 USD")


# Refusals.


def test_the_refusal_says_all_of_it() -> None:
    llm = budget("1 USD")
    spend(llm, "0.70 USD")
    with llm.reserve("0.20 USD"), pytest.raises(BudgetExceeded) as caught, llm.reserve("0.40 USD"):
        pytest.fail("the block must not run")
    error = caught.value
    assert str(error) == (
        "llm: 0.40 USD refused: 0.70 USD spent and 0.20 USD reserved of a cap of 1.00 USD "
        "until 2027-01-16T00:00:00Z; retry after 12 h"
    )
    assert (error.budget, error.key) == ("llm", None)
    assert [str(each) for each in (error.requested, error.spent, error.reserved, error.cap)] == [
        "0.40 USD", "0.70 USD", "0.20 USD", "1.00 USD",
    ]  # fmt: skip
    assert (error.window.start, error.window.end) == (NOON - 43_200, NOON + 43_200)
    assert error.retry_after == 43_200.0
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 -- our own
    assert str(again) == str(error)
    assert vars(again) == vars(error)


def test_what_only_calls_under_way_keep_may_be_tried_again_soon() -> None:
    llm = budget("1 USD")
    with (
        llm.reserve("0.70 USD"),
        pytest.raises(BudgetExceeded, match="calls under way") as caught,
        llm.reserve("0.40 USD"),
    ):
        pytest.fail("the block must not run")
    assert caught.value.retry_after == 1.0


def test_waiting_does_not_help_what_is_more_than_the_cap() -> None:
    with (
        pytest.raises(BudgetExceeded, match="it is more than the cap") as caught,
        budget("1 USD").reserve("1.000000001 USD"),
    ):
        pytest.fail("the block must not run")
    assert caught.value.retry_after is None


def test_the_cap_itself_may_be_spent_to_the_last_nano() -> None:
    llm = budget("1 USD")
    spend(llm, "0.999999999 USD")
    spend(llm, "0.000000001 USD")
    with pytest.raises(BudgetExceeded), llm.reserve("0.000000001 USD"):
        pytest.fail("the block must not run")
    spend(llm, "0 USD")


def test_a_refusal_writes_nothing() -> None:
    llm = budget("1 USD")
    spend(llm, "0.90 USD")
    before = llm.store.entries("")
    for _ in range(3):
        with pytest.raises(BudgetExceeded), llm.reserve("0.20 USD", request_id="a"):
            pytest.fail("the block must not run")
    assert llm.store.entries("") == before


# Caps.


def test_a_cap_that_changes_holds_from_the_next_reservation_on_every_replica() -> None:
    caps = {"acme": "1 USD"}
    store, clock = MemoryStore(), ManualClock(NOON)
    replicas = [
        budget(lambda key: caps.get(key, "0.10 USD"), per="tenant", store=store, clock=clock)
        for _ in range(2)
    ]
    for replica in replicas:
        spend(replica, "0.40 USD", key="acme")
    with pytest.raises(BudgetExceeded), replicas[0].reserve("0.40 USD", key="acme"):
        pytest.fail("the block must not run")
    caps["acme"] = "2 USD"
    for replica in replicas:
        spend(replica, "0.40 USD", key="acme")
    caps["acme"] = "0.50 USD"  # below what is spent
    for replica in replicas:
        with (
            pytest.raises(BudgetExceeded, match=r"1\.60 USD spent .* cap of 0\.50 USD"),
            replica.reserve("0 USD", key="acme"),
        ):
            pytest.fail("the block must not run")
    with (
        pytest.raises(BudgetExceeded, match=r"llm\[tenant=umbrella\]: 0\.20 USD refused"),
        replicas[0].reserve("0.20 USD", key="umbrella"),
    ):
        pytest.fail("the block must not run")


def test_a_cap_of_nothing_refuses_everything_but_nothing() -> None:
    llm = budget("0 USD")
    spend(llm, "0 USD")
    with pytest.raises(BudgetExceeded), llm.reserve("0.000000001 USD"):
        pytest.fail("the block must not run")
    assert llm().severity is Severity.BREACH


# Windows and clocks.


def test_spend_belongs_to_the_window_of_its_reservation() -> None:
    clock = ManualClock(NOON)
    llm = budget("1 USD", clock=clock)
    with llm.reserve("0.90 USD") as late:
        late.dispatched()
        clock.advance(86_400)
        spend(llm, "0.80 USD")
        late.settle("0.90 USD")
    assert held(llm) == ("0.80 USD", "0.00 USD")


def test_a_rolling_window_frees_what_has_left_it_and_says_when() -> None:
    clock = ManualClock(NOON)
    llm = budget("1 USD", clock=clock, window=Rolling(timedelta(hours=48)))
    slot = 48 * 3600 / 256
    for _ in range(4):
        spend(llm, "0.25 USD")
        clock.advance(6 * 3600)
    with (
        pytest.raises(BudgetExceeded, match="in 2 d; retry after") as caught,
        llm.reserve("0.40 USD"),  # two of the four must leave
    ):
        pytest.fail("the block must not run")
    wait = caught.value.retry_after
    assert wait is not None
    assert 30 * 3600 <= wait <= 30 * 3600 + slot
    clock.advance(wait - 1.0)
    with pytest.raises(BudgetExceeded), llm.reserve("0.40 USD"):
        pytest.fail("the block must not run")
    clock.advance(1.0)
    spend(llm, "0.40 USD")


HOURS = Calendar("hour")


@pytest.mark.parametrize("window", [HOURS, Rolling(3600.0)])
@pytest.mark.parametrize("back", [60.0, 3600.0, 86_400.0])
def test_a_clock_set_back_finds_no_second_cap_and_waits_for_one_window(
    window: Any, back: float
) -> None:
    clock = ManualClock(NOON + 1800)
    llm = budget("1 USD", clock=clock, window=window)
    spend(llm, "1 USD")
    clock.advance(-back)
    with pytest.raises(BudgetExceeded) as caught, llm.reserve("0.01 USD"):
        pytest.fail("the block must not run")
    wait = caught.value.retry_after
    assert wait is not None
    assert wait <= 3600.0 * (1 + 1 / 256)
    clock.advance(wait)
    spend(llm, "0.01 USD")


@pytest.mark.parametrize("window", [HOURS, Rolling(3600.0)])
@pytest.mark.parametrize("behind", [0.5, 3600.0, 86_400.0])
def test_a_host_whose_clock_is_behind_follows_the_newest_window(window: Any, behind: float) -> None:
    store = MemoryStore()
    ahead = budget("1 USD", store=store, window=window, clock=ManualClock(NOON + 1800))
    late = ManualClock(NOON + 1800 - behind)
    slow = budget("1 USD", store=store, window=window, clock=late)
    spend(ahead, "0.90 USD")
    with pytest.raises(BudgetExceeded, match=r"0\.90 USD spent"), slow.reserve("0.20 USD"):
        pytest.fail("the block must not run")
    spend(slow, "0.10 USD")
    late.advance(3600.0 * (1 + 1 / 128))
    spend(slow, "1 USD")


# Leases.


def test_a_lease_that_is_over_is_freed_by_whoever_reaps() -> None:
    clock = ManualClock(NOON)
    store = MemoryStore()
    dead, alive = (budget("1 USD", store=store, clock=clock, lease=60.0) for _ in range(2))
    lost = [dead.reserve("0.30 USD", request_id=each) for each in ("never out", "out")]
    for call in lost:
        call.__enter__()
    lost[1].dispatched()
    clock.advance(59.0)
    assert alive.reap() == 0
    lost[1].dispatched()  # it is still there
    clock.advance(1.0)
    assert alive.reap() == 1
    assert held(alive) == ("0.00 USD", "0.30 USD")
    clock.advance(59.0)
    assert alive.reap() == 1
    assert alive.reap() == 0
    assert held(alive) == ("0.30 USD", "0.00 USD")
    with pytest.raises(StateConflict, match="reserve again"):
        lost[0].dispatched()
    lost[1].settle("0.10 USD")  # late, and known after all
    assert held(alive) == ("0.10 USD", "0.00 USD")
    for call in lost:
        call.__exit__(None, None, None)
    assert held(alive) == ("0.10 USD", "0.00 USD")


def test_old_rows_are_summed_up_after_their_window_and_the_retention() -> None:
    clock = ManualClock(NOON)
    llm = budget(clock=clock, retention=timedelta(days=2))
    for number in range(5):
        spend(llm, "0.10 USD", request_id=f"request {number}")
        clock.advance(86_400)
    llm.reap()
    rows = [entry for _, entry in llm.store.entries(llm.account(None))]
    assert sorted(row.state for row in rows) == ["settled", "settled", "sum"]
    assert sum(row.charged for row in rows) == 500_000_000
    assert llm.reconcile() == []
    with pytest.raises(StateConflict, match="nothing was settled"):
        llm.refund("request 0", "0.01 USD")


def test_a_refusal_for_what_the_dead_hold_frees_it_first() -> None:
    clock = ManualClock(NOON)
    llm = budget("1 USD", clock=clock, lease=60.0)
    for each in ("0.50 USD", "0.50 USD"):
        llm.reserve(each).__enter__()  # and dies
    clock.advance(59.0)
    with pytest.raises(BudgetExceeded, match="calls under way"), llm.reserve("0.20 USD"):
        pytest.fail("the block must not run")
    clock.advance(1.0)
    spend(llm, "0.20 USD")
    assert held(llm) == ("0.20 USD", "0.00 USD")


class Dropped:
    """A stream in a cycle, which only the garbage collector can end."""

    def __init__(self, llm: CostBudget) -> None:
        self.itself = self
        self.stream = self.run(llm)

    def run(self, llm: CostBudget) -> Iterator[int]:
        with llm.reserve("0.01 USD") as call:
            call.dispatched()
            yield 1
            call.settle("0.01 USD")


@pytest.mark.parametrize("where", ["memory", "sqlite"])
def test_streams_that_the_garbage_collector_closes_stop_nobody(where: str, tmp_path: Path) -> None:
    store: Any = MemoryStore() if where == "memory" else SqliteStore(tmp_path / "guard.db")
    llm = budget("1000 USD", store=store)
    before = gc.get_threshold()
    gc.set_threshold(20, 2, 2)  # in the middle of everything

    def drop() -> None:
        for _ in range(1000 if where == "memory" else 200):
            next(iter(Dropped(llm).stream))

    try:
        thread = threading.Thread(target=drop, daemon=True)
        thread.start()
        thread.join(60.0)
        assert not thread.is_alive()
    finally:
        gc.set_threshold(*before)
    gc.collect()
    assert held(llm) == (f"{10 if where == 'memory' else 2}.00 USD", "0.00 USD")


# Several budgets.


def test_all_reserve_or_none_and_the_refusal_names_the_first() -> None:
    store, clock = MemoryStore(), ManualClock(NOON)
    tenant = budget("1 USD", name="tenant", per="tenant", store=store, clock=clock)
    team = budget("0.50 USD", name="team", store=store, clock=clock)
    company = budget("0.40 USD", name="whole", store=MemoryStore(), clock=clock)

    def call(cost: str) -> Any:
        return reserve_all(
            [tenant.reserve(cost, key="acme"), team.reserve(cost), company.reserve(cost)]
        )

    with call("0.20 USD") as both:
        both.dispatched()
        both.spent_so_far("0.05 USD")
        both.settle("0.10 USD")
    assert both.charged == Money("0.10 USD")
    for each in (team, company):
        assert held(each) == ("0.10 USD", "0.00 USD")
    assert held(tenant, "acme") == ("0.10 USD", "0.00 USD")
    for cost, name in (("0.45 USD", "team"), ("0.35 USD", "whole"), ("0.95 USD", r"tenant\[")):
        with pytest.raises(BudgetExceeded, match=f"^{name}"), call(cost):
            pytest.fail("the block must not run")
        assert held(tenant, "acme") == ("0.10 USD", "0.00 USD")
        assert held(team) == ("0.10 USD", "0.00 USD")
    with call("0.20 USD") as left:
        left.dispatched()
    assert held(team) == ("0.30 USD", "0.00 USD")
    euros = budget("1 EUR", name="euros")
    for wrong in (
        [],
        [team.reserve("1 USD"), team.reserve("1 USD")],
        [team.reserve("1 USD"), euros.reserve("1 EUR")],
        [1],
    ):
        with pytest.raises(ConfigurationError, match=r"^reservations"):
            reserve_all(wrong)  # type: ignore[arg-type]


# Streams.

chunks = st.lists(st.integers(1, 50), min_size=1, max_size=30)


def streamed(llm: CostBudget, tokens: list[int], worst: Money) -> Generator[int]:
    """Send chunks of a stream, each token for a hundredth of a cent."""
    cost = 0
    with llm.reserve(worst) as call:
        call.dispatched()
        for chunk in tokens:
            cost += chunk
            call.spent_so_far(Money.of_nanos(cost * 100_000, "USD"))
            yield chunk
        call.settle(Money.of_nanos(cost * 100_000, "USD"))


@settings(max_examples=1000)
@given(chunks, st.integers(1, 31), st.sampled_from(["floor", "reserved"]))
def test_a_stream_that_is_cut_is_charged_for_what_was_sent(
    tokens: list[int], cut: int, rule: Any
) -> None:
    llm = budget(on_unsettled=rule)
    stream = streamed(llm, tokens, Money("1 USD"))
    sent = sum(islice(stream, cut)) * 100_000
    stream.close()
    llm.refresh()
    known = llm.known()
    assert known is not None
    assert known.reserved.nanos == 0
    if cut > len(tokens) or rule == "floor":
        assert known.spent.nanos == sent
    else:
        assert known.spent == Money("1 USD")


# Asynchronous.


def stores(tmp_path: Path) -> list[Any]:
    return [MemoryStore(), SqliteStore(tmp_path / "guard.db")]


async def fails(llm: CostBudget) -> None:
    async with llm.reserve("0.30 USD") as call:
        call.dispatched()
        raise RuntimeError


def test_an_asynchronous_block_follows_the_same_rules(tmp_path: Path) -> None:
    async def run(llm: CostBudget) -> None:
        async with llm.reserve("0.30 USD") as call:
            await call.adispatched()
            await call.aspent_so_far("0.10 USD")
            await call.asettle("0.20 USD")
        async with llm.reserve("0.30 USD"):
            pass
        with pytest.raises(BudgetExceeded):
            async with llm.reserve("9.90 USD"):
                pytest.fail("the block must not run")
        with pytest.raises(RuntimeError):
            await fails(llm)
        await llm.arefresh()

    for store in stores(tmp_path):
        llm = budget(store=store)
        asyncio.run(run(llm))
        assert held(llm) == ("0.50 USD", "0.00 USD")


@pytest.mark.parametrize("out", [False, True])
def test_a_task_that_is_cancelled_follows_the_same_rules(tmp_path: Path, out: bool) -> None:  # noqa: FBT001 -- a table
    async def run(llm: CostBudget) -> None:
        entered = asyncio.Event()

        async def call() -> None:
            async with llm.reserve("0.30 USD") as reservation:
                if out:
                    await reservation.adispatched()
                entered.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(call())
        await entered.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    for store in stores(tmp_path):
        llm = budget(store=store)
        asyncio.run(run(llm))
        assert held(llm) == ("0.30 USD" if out else "0.00 USD", "0.00 USD")


def test_a_task_that_is_cancelled_while_it_reserves_leaves_nothing(tmp_path: Path) -> None:
    async def run(llm: CostBudget) -> None:
        async def call() -> None:
            async with llm.reserve("0.30 USD"):
                await asyncio.Event().wait()

        for turns in range(1, 20):
            task = asyncio.create_task(call())
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    llm = budget("100 USD", store=SqliteStore(tmp_path / "guard.db"))
    asyncio.run(run(llm))  # waits for the threads that undo
    assert held(llm) == ("0.00 USD", "0.00 USD")


def test_an_asynchronous_generator_that_is_closed_follows_the_same_rules() -> None:
    llm = budget(on_unsettled="floor")

    async def generate() -> AsyncIterator[int]:
        async with llm.reserve("1 USD") as call:
            await call.adispatched()
            for number in range(10):
                await call.aspent_so_far(f"0.{number + 1:02} USD")
                yield number

    async def run() -> None:
        stream = generate()
        async for number in stream:
            if number == 3:
                break
        await stream.aclose()  # type: ignore[attr-defined]

    asyncio.run(run())
    assert held(llm) == ("0.04 USD", "0.00 USD")


# Stores that fail.


class Failing(MemoryStore):
    """A store that does not answer while it is down."""

    down = False

    def reserve(self, *args: Any) -> Any:
        return self._if_up(super().reserve, *args)

    def dispatch(self, *args: Any, **named: Any) -> Any:
        return self._if_up(super().dispatch, *args, **named)

    def settle(self, *args: Any) -> Any:
        return self._if_up(super().settle, *args)

    def _if_up(self, method: Any, *args: Any, **named: Any) -> Any:
        if Failing.down:
            raise ConnectionError("nobody listens")
        return method(*args, **named)


@pytest.fixture
def store() -> Iterator[Failing]:
    Failing.down = False
    yield Failing()
    Failing.down = False


def test_deny_spends_nothing_while_the_store_does_not_answer(store: Failing) -> None:
    llm = budget(store=store)
    Failing.down = True
    with (
        pytest.raises(BudgetExceeded, match=r"does not answer \(ConnectionError: nobody") as caught,
        llm.reserve("0.05 USD"),
    ):
        pytest.fail("the block must not run")
    assert caught.value.spent is None
    assert isinstance(caught.value.__cause__, ConnectionError)


def test_deny_raises_what_could_not_be_settled_and_the_lease_charges_it(store: Failing) -> None:
    llm = budget(store=store)
    with pytest.raises(ConnectionError), llm.reserve("0.05 USD") as call:  # noqa: PT012
        call.dispatched()
        Failing.down = True
        call.settle("0.02 USD")
    Failing.down = False
    assert held(llm) == ("0.00 USD", "0.05 USD")
    llm.clock.advance(601)  # type: ignore[attr-defined]
    assert llm.reap() == 1
    assert held(llm) == ("0.05 USD", "0.00 USD")
    call.settle("0.02 USD")
    assert held(llm) == ("0.02 USD", "0.00 USD")


def test_allow_goes_on_and_records_it_when_the_store_is_back(
    store: Failing, caplog: pytest.LogCaptureFixture
) -> None:
    llm = budget("0.01 USD", store=store, on_store_error="allow")
    Failing.down = True
    with llm.reserve("0.05 USD") as call:
        call.dispatched()
        Failing.down = False
        call.settle("0.02 USD")
    assert held(llm) == ("0.02 USD", "0.00 USD")  # beyond the cap, and known
    assert llm.unrecorded is None
    assert "granted without the store" in caplog.text


def test_what_is_settled_again_when_the_store_is_back_is_recorded(store: Failing) -> None:
    llm = budget(store=store, on_store_error="allow")
    with llm.reserve("0.05 USD") as call:
        call.dispatched()
        Failing.down = True
        call.settle("0.02 USD")
        assert str(llm.unrecorded) == "0.02 USD"
        Failing.down = False
        for _ in range(2):
            call.settle("0.02 USD")
    assert str(llm.unrecorded) == "None"
    assert held(llm) == ("0.02 USD", "0.00 USD")


def test_what_could_not_be_recorded_is_of_its_window(store: Failing) -> None:
    clock = ManualClock(NOON)
    llm = budget(store=store, on_store_error="allow", clock=clock)
    with llm.reserve("0.05 USD") as call:
        Failing.down = True
        call.settle("0.02 USD")
    Failing.down = False
    clock.advance(86_400)
    llm.refresh()
    assert llm.unrecorded is None


def test_the_other_budgets_hear_of_a_cost_although_one_store_fails(store: Failing) -> None:
    one, two = budget(store=store, on_unsettled="floor"), budget(on_unsettled="floor")
    with reserve_all([one.reserve("1 USD"), two.reserve("1 USD")]) as call:
        call.dispatched()
        Failing.down = True
        with pytest.raises(ConnectionError):
            call.settle("0.70 USD")
    assert held(two) == ("0.70 USD", "0.00 USD")


def test_allow_counts_what_it_could_not_record(
    store: Failing, caplog: pytest.LogCaptureFixture
) -> None:
    llm = budget(store=store, on_store_error="allow", on_unsettled="floor")
    llm.refresh()
    Failing.down = True
    with caplog.at_level(logging.CRITICAL):
        with llm.reserve("0.05 USD") as call:
            call.dispatched()
            call.settle("0.02 USD")
        with llm.reserve("0.05 USD") as call:
            call.spent_so_far("0.01 USD")
        with llm.reserve("0.05 USD"):
            pass
    assert llm.unrecorded == Money("0.03 USD")
    assert llm().severity is Severity.WARN
    assert "0.03 USD could not be recorded" in llm().reason


# Keys, soft limits, the check.


def test_the_check_asks_nothing_and_knows_what_was_seen() -> None:
    clock = ManualClock(NOON)
    llm = budget("1 USD", clock=clock)
    assert llm().severity is Severity.UNKNOWN
    assert "refresh()" in llm().reason
    assert llm.measure().details["reason"] == llm().reason
    llm.refresh()
    assert llm().severity is Severity.OK
    spend(llm, "0.95 USD")
    assert llm().severity is Severity.OK  # as it was before that call
    llm.refresh()
    assert llm().severity is Severity.WARN
    assert llm().reason == (
        "0.95 USD of 1.00 USD spent (95 %), 0.00 USD reserved, until 2027-01-16T00:00:00Z"
    )
    spend(llm, "0.05 USD")
    llm.refresh()
    verdict = llm()
    assert verdict.severity is Severity.BREACH
    assert verdict.evidence[0].value == 1.0
    assert verdict.evidence[0].unit == "USD"
    assert verdict.evidence[0].details["cap"] == 1.0
    clock.advance(86_400)
    assert llm().severity is Severity.UNKNOWN


def refused(llm: CostBudget, cost: str) -> None:
    with pytest.raises(BudgetExceeded), llm.reserve(cost):
        pytest.fail("the block must not run")


def test_a_cap_of_which_too_little_is_left_for_a_call_is_a_breach_until_one_passes() -> None:
    clock = ManualClock(NOON)
    llm = budget("1 USD", clock=clock)
    spend(llm, "0.50 USD")
    refused(llm, "0.60 USD")
    assert llm().severity is Severity.OK  # that says more of the call than of the budget
    assert llm.wait() is None
    spend(llm, "0.40 USD")
    spend(llm, "0.091 USD")
    assert llm().severity is not Severity.BREACH
    refused(llm, "0.01 USD")
    llm.refresh()
    assert llm().severity is Severity.BREACH
    assert "the last call was refused" in llm().reason
    assert llm.wait() == 10.0  # a smaller one may fit
    llm.cap = Money("2 USD")
    llm.refresh()
    assert llm().severity is not Severity.BREACH
    llm.cap = Money("1 USD")
    refused(llm, "0.01 USD")
    spend(llm, "0.009 USD")
    llm.refresh()
    assert llm().severity is Severity.BREACH
    assert llm.wait() == 43_200.0


def test_the_words_say_the_time_of_the_calendar() -> None:
    llm = budget("1 USD", window=Calendar("day", tz="America/New_York"))
    llm.refresh()
    assert llm().reason.endswith("until 2027-01-16T00:00:00-05:00")


def test_a_family_of_caps_is_the_worst_over_the_keys_that_were_seen() -> None:
    llm = budget("1 USD", per="tenant")
    assert llm().severity is Severity.UNKNOWN
    for key, cost in (("acme", "0.10 USD"), ("umbrella", "1 USD"), ("initech", "0.30 USD")):
        spend(llm, cost, key=key)
    llm.refresh()
    verdict = llm()
    assert verdict.severity is Severity.BREACH
    assert "llm[tenant=umbrella]" in verdict.reason
    assert llm.measure().value == pytest.approx(1.4)
    assert llm.measure("acme").value == 0.1
    assert [(each.name, each.value) for each in llm.top(2)] == [
        ("llm[tenant=umbrella]", 1.0),
        ("llm[tenant=initech]", 0.3),
    ]


def test_a_process_remembers_a_thousand_keys() -> None:
    llm = budget("1 USD", per="tenant", sinks=[RecordingSink()])
    for number in range(1500):
        spend(llm, "0.90 USD", key=f"tenant {number}")
    assert len(llm._known) == 1000
    llm.refresh()
    assert len(llm._known) == 1000


def test_each_soft_limit_is_told_once_a_window_by_one_replica() -> None:
    store, clock, sink = MemoryStore(), ManualClock(NOON), RecordingSink()
    replicas = [budget("1 USD", store=store, clock=clock, sinks=[sink]) for _ in range(3)]
    for day in range(2):
        for number in range(20):
            spend(replicas[number % 3], "0.05 USD")
            for replica in replicas:
                replica.refresh()
        told = [each.key.rpartition(" ")[2] for each in sink.decisions[3 * day :]]
        assert told == ["0.5", "0.8", "0.95"]
        clock.advance(86_400)
    first = sink.decisions[0]
    assert first.reason == (
        "50 % of the cap: 0.50 USD of 1.00 USD spent (50 %), 0.00 USD reserved, "
        "until 2027-01-16T00:00:00Z"
    )
    assert dict(first.subject) == {"budget": "llm"}
    assert first.verdicts[0].evidence[0].value == 0.5


def test_a_cap_that_changes_has_soft_limits_of_its_own() -> None:
    sink = RecordingSink()
    llm = budget("1 USD", sinks=[sink], soft=[0.5, 1.0])
    spend(llm, "1 USD")
    llm.refresh()
    assert len(sink.decisions) == 2
    llm.cap = Money("100 USD")
    spend(llm, "59 USD")
    llm.refresh()
    assert len(sink.decisions) == 3
    assert "60.00 USD of 100.00 USD" in sink.decisions[2].reason


def test_a_limit_of_a_rolling_window_is_told_once_while_it_lasts() -> None:
    clock, sink = ManualClock(NOON), RecordingSink()
    llm = budget("1 USD", clock=clock, window=Rolling(3600.0), sinks=[sink], soft=[0.5])
    for _ in range(59):
        spend(llm, "0.60 USD") if not sink.decisions else None
        llm.refresh()
        clock.advance(60)
    assert len(sink.decisions) == 1
    clock.advance(3600)
    spend(llm, "0.60 USD")
    llm.refresh()
    assert len(sink.decisions) == 2


def test_a_cap_that_cannot_be_told_for_one_tenant_does_not_hide_the_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caps = {"acme": "1 USD", "gone": "1 USD"}
    llm = budget(lambda key: caps[key], per="tenant")
    for key in caps:
        spend(llm, "0.50 USD", key=key)
    del caps["gone"]
    llm.refresh()
    assert llm().severity is Severity.OK
    assert llm.wait("gone") is None
    assert "the cap of 'gone' is not known" in caplog.text
    with pytest.raises(KeyError), llm.reserve("0.10 USD", key="gone"):
        pytest.fail("the block must not run")
    caps["acme"] = "1 EUR"
    with pytest.raises(ConfigurationError, match="a budget has one currency"):
        spend(llm, "0.10 EUR", key="acme")


def test_a_sink_that_fails_does_not_stop_the_call(caplog: pytest.LogCaptureFixture) -> None:
    def broken(_: object) -> None:
        raise RuntimeError("no mail today")

    sink = RecordingSink()
    llm = budget("1 USD", sinks=[broken, sink])
    spend(llm, "0.60 USD")
    spend(llm, "0.10 USD")
    assert len(sink.decisions) == 1
    assert "a sink failed" in caplog.text


# Forecasts.


def spent_evenly(llm: CostBudget, clock: ManualClock, hours: int, cost: str) -> None:
    for _ in range(4 * hours):
        clock.advance(900)
        spend(llm, cost)
        llm.refresh()


def test_the_forecast_goes_on_as_so_far_and_warns_by_its_upper_end() -> None:
    clock = ManualClock(NOON - 43_200)
    llm = budget("10 USD", clock=clock)
    assert "refresh()" in llm.forecast().details["reason"]
    spent_evenly(llm, clock, 1, "0.10 USD")
    assert "less than a tenth of the window" in llm.forecast().details["reason"]
    assert llm().severity is Severity.OK
    spent_evenly(llm, clock, 11, "0.10 USD")
    found = llm.forecast()
    assert found.value == pytest.approx(9.6)
    assert found.low is not None
    assert found.high is not None
    assert 4.8 <= found.low <= 9.6 <= found.high
    assert found.details["pacing"] == pytest.approx(0.96)
    assert found.unit == "USD"
    spent_evenly(llm, clock, 2, "0.20 USD")
    assert llm.forecast().details["pacing"] > 1
    verdict = llm()
    assert verdict.severity is Severity.WARN
    assert "by then" in verdict.reason
    assert verdict.evidence[1] == llm.forecast()
    assert llm.forecast().details["runs_out_in"] > 3600


def test_a_restarted_process_and_another_host_know_the_same_history() -> None:
    clock, store = ManualClock(NOON - 43_200), MemoryStore()
    one, two = (budget(clock=clock, store=store) for _ in range(2))
    for _ in range(24):
        for each in (one, two):
            clock.advance(900)
            spend(each, "0.10 USD")
            each.refresh()
    three = budget(clock=clock, store=store)
    three.refresh()
    assert three.forecast() == two.forecast()
    assert three.forecast().value == pytest.approx(9.6)
    clock.advance(86_400)
    three.refresh()
    assert three.forecast().details["spent"] == 0.0


def test_a_history_is_bounded() -> None:
    clock = ManualClock(NOON - 43_200)
    llm = budget(clock=clock)
    for _ in range(4000):
        clock.advance(20)
        llm.refresh()
    data, _ = llm.store.load(f"cost/{llm.account(None)}/history") or (b"", 0)
    assert len(data) < 8_000


def test_a_rolling_window_has_no_forecast() -> None:
    llm = budget(window=Rolling(3600.0))
    llm.refresh()
    assert llm.forecast().details["reason"] == "a rolling window has no end"


# Travelling.


def test_a_copy_spends_from_the_same_cap(tmp_path: Path) -> None:
    llm = budget("1 USD", store=SqliteStore(tmp_path / "guard.db"), clock=ManualClock(NOON))
    for other in (copy.copy(llm), pickle.loads(pickle.dumps(llm))):  # noqa: S301 -- our own
        spend(other, "0.30 USD")
    spend(llm, "0.30 USD")
    assert held(llm) == ("0.90 USD", "0.00 USD")


# Arguments.


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"cap": "ten dollars"}, "^cap"),
        ({"cap": "-1 USD"}, "^cap = '-1.00 USD'"),
        ({"cap": "9999999999 USD"}, "^cap"),
        ({"cap": 10.0}, "^cap"),
        ({"name": ""}, "^name"),
        ({"per": ""}, "^per"),
        ({"window": "day"}, "^window"),
        ({"store": object()}, "^store"),
        ({"on_store_error": "ignore"}, "^on_store_error = 'ignore': must be 'deny' or 'allow'"),
        ({"on_unsettled": "zero"}, "^on_unsettled"),
        ({"soft": [0.5, 1.5]}, "^soft"),
        ({"soft": 0.8}, "^soft"),
        ({"lease": 0}, "^lease"),
        ({"retention": -1}, "^retention"),
    ],
)
def test_a_wrong_argument_is_named(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        budget(**options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"max_cost": "-1 USD"}, "^max_cost"),
        ({"max_cost": 0.05}, "^max_cost"),
        ({"max_cost": None}, "^max_cost"),
        ({"key": "acme"}, "^key = 'acme': must be None"),
        ({"request_id": ""}, "^request_id"),
        ({"request_id": "a\nb"}, "^request_id"),
        ({"request_id": "~1"}, "^request_id"),
        ({"request_id": "x" * 201}, "^request_id"),
        ({"request_id": 7}, "^request_id"),
    ],
)
def test_a_wrong_reservation_is_refused_before_anything_is_touched(
    options: dict[str, Any], words: str
) -> None:
    llm = budget()
    with pytest.raises(ConfigurationError, match=words):
        llm.reserve(**({"max_cost": "0.05 USD"} | options))
    assert llm.store.entries("") == []


def test_a_key_is_needed_where_each_has_a_cap() -> None:
    llm = budget(per="tenant")
    for key in (None, "", "x" * 201, 7, "a\0b"):
        with pytest.raises(ConfigurationError, match=r"^key"):
            llm.reserve("0.05 USD", key=key)  # type: ignore[arg-type]


def test_another_currency_is_refused_and_nothing_is_touched() -> None:
    llm = budget()
    with pytest.raises(ConfigurationError, match="in USD, as the cap"), llm.reserve("1 EUR"):
        pytest.fail("the block must not run")
    with llm.reserve("1 USD") as call:
        for wrong in ("1 EUR", "-1 USD", 1.0, None):
            for method in (call.settle, call.spent_so_far):
                with pytest.raises(ConfigurationError):
                    method(wrong)  # type: ignore[arg-type]
        assert held(llm) == ("0.00 USD", "1.00 USD")


def test_a_policy_must_be_said() -> None:
    with pytest.raises(TypeError, match="on_store_error"):
        CostBudget("llm", "1 USD", window=DAY, store=MemoryStore(), on_unsettled="floor")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="on_unsettled"):
        CostBudget("llm", "1 USD", window=DAY, store=MemoryStore(), on_store_error="deny")  # type: ignore[call-arg]
