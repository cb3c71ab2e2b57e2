"""A function whose calls are paid for: reserve the worst case, call, settle what it cost."""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable
from contextlib import aclosing, closing
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, cast

from mlguard.arguments import refusal

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator

    from mlguard.budgets.money import Money
    from mlguard.budgets.reservations import Reservation, Reservations

__all__ = ["metered"]

F = TypeVar("F", bound=Callable[..., Any])
_logger = logging.getLogger("mlguard")
Cost: TypeAlias = "Callable[[Any], Money | str | None]"
Reserve: TypeAlias = "Callable[..., Reservation | Reservations]"


def metered(function: F, *, reserve: Reserve, cost: Cost) -> F:
    """Put a cost budget around a callable: a function, a coroutine function or a generator.

    The result is of the same kind, with the same signature. Each call reserves, goes out, and is
    settled with what it cost. One that raises, is cancelled or whose generator is closed early is
    charged by the `on_unsettled` of its budget. Safe for any number of threads and tasks.

    Args:
        function: What costs. A generator is dispatched when it is first asked for an item.
        reserve: Given the arguments of the call, gives a reservation that is not entered yet:
            `budget.reserve(...)` or `reserve_all([...])`.
        cost: Given what the call returned, gives what it cost. Of a generator it is given each
            item, and gives what the whole call has cost so far, or None; the last one settles it.
            Where it gives None in the end, or raises (which is logged), all that was reserved is
            charged.

    Raises:
        ConfigurationError: An argument is not callable.
        BudgetExceeded: When called: the cap would be exceeded. The function was not called.
        StateConflict: When called: the `request_id` of the reservation is settled already, or
            another attempt at it is under way. The function was not called.

    Examples:
        >>> from mlguard import Calendar, CostBudget, MemoryStore
        >>> budget = CostBudget(
        ...     "llm",
        ...     "10 USD",
        ...     window=Calendar("day"),
        ...     store=MemoryStore(),
        ...     on_store_error="deny",
        ...     on_unsettled="reserved",
        ... )
        >>> def complete(prompt):
        ...     return {"text": "late", "cost": "0.002 USD"}
        >>> complete = metered(
        ...     complete,
        ...     reserve=lambda prompt: budget.reserve("0.05 USD"),
        ...     cost=lambda answer: answer["cost"],
        ... )
        >>> complete("Will AA 31 be late?")["text"]
        'late'
        >>> budget.refresh()
        >>> budget.measure().value
        0.002
    """
    for parameter, value in (("function", function), ("reserve", reserve), ("cost", cost)):
        if not callable(value):
            raise refusal(parameter, value, "a callable")
    wrapped = functools.wraps(function)(_kind_of(function)(function, reserve, cost))
    return cast("F", wrapped)


def _kind_of(function: Callable[..., Any]) -> Callable[..., Callable[..., Any]]:
    inside = getattr(function, "__call__", None)  # noqa: B004 -- of an object that is callable
    for is_kind, kind in _KINDS:
        if is_kind(function) or is_kind(inside):
            return kind
    return _call


def _told(cost: Cost, result: Any) -> Money | str | None:
    """Ask what it cost. A crash is logged: the answer is paid for and must reach its caller."""
    try:
        return cost(result)
    except Exception:
        _logger.exception("what a call cost cannot be told")
        return None


def _settle(reservation: Reservation | Reservations, actual: Money | str | None) -> None:
    """Settle with the actual cost; one that is not known is never 0, but all that was reserved.

    What cannot be settled is logged and left to its lease: the answer must reach its caller.
    """
    try:
        if actual is not None:
            reservation.settle(actual)
        else:
            for part in reservation.each:
                part.settle(part.amount)
    except Exception:
        _logger.exception("a call could not be settled")


def _call(function: Callable[..., Any], reserve: Reserve, cost: Cost) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        with reserve(*args, **kwargs) as reservation:
            reservation.dispatched()
            result = function(*args, **kwargs)
            _settle(reservation, _told(cost, result))
            return result

    return call


def _coroutine(function: Callable[..., Any], reserve: Reserve, cost: Cost) -> Callable[..., Any]:
    async def call(*args: Any, **kwargs: Any) -> Any:
        async with reserve(*args, **kwargs) as reservation:
            await reservation.adispatched()
            result = await function(*args, **kwargs)
            actual = _told(cost, result)
            await reservation.aside(lambda: _settle(reservation, actual))
            return result

    return call


def _generator(function: Callable[..., Any], reserve: Reserve, cost: Cost) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        with reserve(*args, **kwargs) as reservation:
            reservation.dispatched()
            last = None
            with closing(function(*args, **kwargs)) as items:
                for item in items:
                    so_far = _told(cost, item)
                    if so_far is not None:
                        last = so_far
                        reservation.spent_so_far(last)
                    yield item
            _settle(reservation, last)

    return call


def _async_generator(
    function: Callable[..., Any], reserve: Reserve, cost: Cost
) -> Callable[..., Any]:
    async def call(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        async with reserve(*args, **kwargs) as reservation:
            await reservation.adispatched()
            last = None
            async with aclosing(function(*args, **kwargs)) as items:
                async for item in items:
                    so_far = _told(cost, item)
                    if so_far is not None:
                        last = so_far
                        await reservation.aspent_so_far(last)
                    yield item
            await reservation.aside(lambda: _settle(reservation, last))

    return call


_KINDS: tuple[tuple[Callable[[Any], bool], Callable[..., Callable[..., Any]]], ...] = (
    (inspect.isasyncgenfunction, _async_generator),
    (inspect.isgeneratorfunction, _generator),
    (inspect.iscoroutinefunction, _coroutine),
)
