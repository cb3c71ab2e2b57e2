"""A crowd spends a cap to its end, and not beyond: threads and processes on every store."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from multiprocessing import get_context
from typing import Any

import pytest

from mlguard import BudgetExceeded, Calendar, CostBudget, MemoryStore, Money, Store
from mlguard.testing import ManualClock

Opened = tuple[Callable[[], Store], Callable[[float], object]]
Fresh = Callable[[], Opened]

PRICE = Money("0.01 USD")
CALLS = 100
NOON = 1_800_014_400.0


def budget(store: Any) -> CostBudget:
    return CostBudget(
        "crowd",
        PRICE * CALLS,
        window=Calendar("month"),
        store=store,
        on_store_error="deny",
        on_unsettled="reserved",
        clock=ManualClock(NOON),
    )


def spend_all(of: CostBudget) -> None:
    """Call until the cap is spent, reserving twice what each call costs."""
    while True:
        try:
            with of.reserve(PRICE * 2) as call:
                call.dispatched()
                os.sched_yield()
                call.settle(PRICE)
        except BudgetExceeded as refused:
            if not refused.reserved or not refused.reserved.nanos:
                return
            os.sched_yield()


def crowd(make: Callable[[], Store], threads: int) -> None:
    of = budget(make())
    running = [threading.Thread(target=spend_all, args=(of,)) for _ in range(threads)]
    for each in running:
        each.start()
    for each in running:
        each.join()


def spent(make: Callable[[], Store]) -> int:
    """Give how many calls were paid; nothing may be left over."""
    of = budget(make())
    of.refresh()
    known = of.known()
    assert known is not None
    assert not known.reserved.nanos
    assert of.reconcile() == []
    assert not known.spent.nanos % PRICE.nanos
    return known.spent.nanos // PRICE.nanos


@pytest.mark.skipif(not hasattr(os, "sched_yield"), reason="no sched_yield on this platform")
@pytest.mark.parametrize(
    "share", [8, pytest.param(1, marks=pytest.mark.slow, id="one thread a process")]
)
def test_nobody_spends_beyond_the_cap_and_98_percent_of_it_are_spent(
    fresh: Fresh, share: int
) -> None:
    make, _ = fresh()
    if isinstance(make(), MemoryStore):
        crowd(make, 64)
    else:
        context = get_context("spawn")
        running = [context.Process(target=crowd, args=(make, share)) for _ in range(8)]
        for each in running:
            each.start()
        for each in running:
            each.join(120.0)
        assert [each.exitcode for each in running] == [0] * 8
    assert 98 <= spent(make) <= 100
