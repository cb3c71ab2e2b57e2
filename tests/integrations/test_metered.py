"""Calls that are paid for: functions, coroutines and both kinds of generators."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from mlguard import (
    BudgetExceeded,
    Calendar,
    ConfigurationError,
    CostBudget,
    MemoryStore,
    StateConflict,
    UnknownCost,
    reserve_all,
)
from mlguard.integrations.metered import metered

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


def budget(cap: str = "1 USD", **more: Any) -> CostBudget:
    options = {"on_store_error": "deny", "on_unsettled": "floor", **more}
    return CostBudget("llm", cap, window=Calendar("day"), store=MemoryStore(), **options)


def held(of: CostBudget) -> tuple[str, str]:
    of.refresh()
    known = of.known()
    assert known is not None
    return str(known.spent), str(known.reserved)


class Model:
    """Counts how often it was asked; each answer or item is what the call has cost so far."""

    def __init__(self, *, fails: bool = False) -> None:
        self.fails = fails
        self.asked = 0
        self.closed = 0

    def _ask(self) -> None:
        self.asked += 1

    def call(self, cents: int) -> int:
        self._ask()
        if self.fails:
            raise RuntimeError
        return cents

    async def coroutine(self, cents: int) -> int:
        return self.call(cents)

    def generator(self, cents: int) -> Iterator[int]:
        self._ask()
        try:
            for each in range(1, cents + 1):
                if self.fails and each > 2:
                    raise RuntimeError
                yield each
        finally:
            self.closed += 1

    async def async_generator(self, cents: int) -> AsyncIterator[int]:
        for each in self.generator(cents):
            yield each


def ask(function: Any, cents: int) -> list[int]:
    """Ask a function of any kind, and give all that it answers."""

    async def collected(found: Any) -> list[int]:
        if hasattr(found, "__await__"):
            return [await found]
        return [each async for each in found]

    found = function(cents)
    if isinstance(found, int):
        return [found]
    if hasattr(found, "__next__"):
        return list(found)
    return asyncio.run(collected(found))


KINDS = ["call", "coroutine", "generator", "async_generator"]


def guarded(llm: CostBudget, function: Any, worst: str = "0.50 USD") -> Any:
    return metered(
        function,
        reserve=lambda cents: llm.reserve(worst),  # noqa: ARG005 -- given what the call is given
        cost=lambda cents: f"0.{cents:02} USD",
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_call_is_settled_with_what_it_cost(kind: str) -> None:
    llm, model = budget(), Model()
    function = guarded(llm, getattr(model, kind))
    assert ask(function, 20)[-1] == 20
    assert held(llm) == ("0.20 USD", "0.00 USD")
    assert function.__name__ == kind


@pytest.mark.parametrize("kind", KINDS)
def test_what_would_exceed_the_cap_is_never_called(kind: str) -> None:
    llm, model = budget("0.40 USD"), Model()
    with pytest.raises(BudgetExceeded):
        ask(guarded(llm, getattr(model, kind)), 20)
    assert model.asked == 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("rule", "charged"), [("floor", "0.02 USD"), ("reserved", "0.50 USD")])
def test_a_call_that_raises_is_charged_by_the_rule(kind: str, rule: str, charged: str) -> None:
    llm, model = budget(on_unsettled=rule), Model(fails=True)
    with pytest.raises(RuntimeError):
        ask(guarded(llm, getattr(model, kind)), 20)
    streams = "generator" in kind
    assert held(llm) == (charged if streams or rule == "reserved" else "0.00 USD", "0.00 USD")


def test_a_generator_that_is_closed_is_charged_for_what_it_sent_and_closes_what_it_asks() -> None:
    llm, model = budget(), Model()
    stream = guarded(llm, model.generator)(20)
    assert [next(stream), next(stream), next(stream)] == [1, 2, 3]
    assert held(llm) == ("0.00 USD", "0.50 USD")
    stream.close()
    assert held(llm) == ("0.03 USD", "0.00 USD")
    assert model.closed == 1


def test_an_async_generator_that_is_closed_is_charged_for_what_it_sent() -> None:
    llm, model = budget(), Model()

    async def run() -> None:
        stream = guarded(llm, model.async_generator)(20)
        async for each in stream:
            if each == 3:
                break
        await stream.aclose()

    asyncio.run(run())
    assert held(llm) == ("0.03 USD", "0.00 USD")


def unknown(_: Any) -> None:
    """Say nothing."""


def crashing(_: Any) -> None:
    raise UnknownCost("no price")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rule", ["floor", "reserved"])
@pytest.mark.parametrize("cost", [unknown, crashing])
def test_an_unknown_cost_is_all_that_was_reserved_and_the_answer_arrives(
    kind: str, rule: str, cost: Any
) -> None:
    one, two, model = budget(on_unsettled=rule), budget("9 USD", on_unsettled=rule), Model()
    function = metered(
        getattr(model, kind),
        reserve=lambda _: reserve_all([one.reserve("0.50 USD"), two.reserve("0.60 USD")]),
        cost=cost,
    )
    assert ask(function, 20)[-1] == 20
    assert held(one) == ("0.50 USD", "0.00 USD")
    assert held(two) == ("0.60 USD", "0.00 USD")


@pytest.mark.parametrize("kind", KINDS)
def test_a_job_that_is_delivered_twice_is_made_once(kind: str) -> None:
    llm, model = budget(), Model()
    function = metered(
        getattr(model, kind),
        reserve=lambda _: llm.reserve("0.50 USD", request_id="job"),
        cost=lambda cents: f"0.{cents:02} USD",
    )
    ask(function, 20)
    with pytest.raises(StateConflict, match="do not make the call again"):
        ask(function, 30)
    assert model.asked == 1
    assert held(llm) == ("0.20 USD", "0.00 USD")


def test_nothing_happens_before_a_generator_is_asked() -> None:
    llm, model = budget(), Model()
    guarded(llm, model.generator)(20)
    assert held(llm) == ("0.00 USD", "0.00 USD")
    assert model.asked == 0


@pytest.mark.parametrize("parameter", ["function", "reserve", "cost"])
def test_a_bad_argument_is_named(parameter: str) -> None:
    options: dict[str, Any] = {"function": print, "reserve": print, "cost": print}
    options[parameter] = 5
    with pytest.raises(ConfigurationError, match=rf"^{parameter} = 5"):
        metered(options.pop("function"), **options)
