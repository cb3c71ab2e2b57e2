"""Reservations: what one call may cost, from before it goes out until its cost is known."""

from __future__ import annotations

import contextvars
import threading
from typing import TYPE_CHECKING, Self, TypeVar

from mlguard.arguments import instances, refusal
from mlguard.budgets.money import Money, money_of
from mlguard.errors import ConfigurationError, StateConflict
from mlguard.stores.memory_spend import MemorySpend

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mlguard.budgets.cost import CostBudget
    from mlguard.stores.spend import Entry, Held

R = TypeVar("R")
_NEW, _OPEN = "new", "open"


class _Held:
    """What `with` and `async with` do alike. Not thread-safe: it belongs to one call."""

    __slots__ = ("_settled",)

    def __init__(self) -> None:
        self._settled: Money | None = None

    @property
    def charged(self) -> Money | None:
        """What was charged, once it is settled."""
        return self._settled

    def __enter__(self) -> Self:
        self._reserve()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._settled is None:
            self._leave(later=kind is GeneratorExit)

    async def __aenter__(self) -> Self:
        await self.aside(self._reserve, undo=self._leave)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._settled is None and kind is GeneratorExit:
            self._leave(later=True)  # a coroutine that is dropped must not wait any more
        elif self._settled is None:
            await self.aside(self._leave)

    @property
    def each(self) -> Sequence[Reservation]:
        """The reservation in each budget."""
        raise NotImplementedError

    def _reserve(self) -> None:
        raise NotImplementedError

    def _leave(self, *, later: bool = False) -> None:
        """Leave all parts, or where a generator is closed note that they were left.

        The garbage collector closes generators, at any moment, also inside a store that this very
        thread has locked. So the budget leaves them before it does anything else.
        """
        for part in self.each:
            if later:
                part.budget._dropped.append(part)
            else:
                part._give_back()

    async def aside(self, work: Callable[[], R], *, undo: Callable[[], object] | None = None) -> R:
        """Do what may wait for the store, such as to settle, without keeping the loop waiting.

        It is done to its end even if the task is cancelled meanwhile; then it is undone.
        """
        if all(isinstance(part.budget.store, MemorySpend) for part in self.each):
            return work()
        import asyncio  # noqa: PLC0415 -- whoever awaits has it

        lock = threading.Lock()
        ended = abandoned = False

        def attempt() -> R:
            nonlocal ended
            result = work()
            with lock:
                ended, late = True, abandoned
            if late and undo is not None:
                undo()
            return result

        loop = asyncio.get_running_loop()
        doing = loop.run_in_executor(None, contextvars.copy_context().run, attempt)
        doing.add_done_callback(lambda done: done.cancelled() or done.exception())
        try:
            return await asyncio.shield(doing)
        except asyncio.CancelledError:
            with lock:
                abandoned, early = True, ended
            if early and undo is not None:
                loop.run_in_executor(None, undo)
            raise


class Reservation(_Held):
    """What one call may cost, kept from others: `with budget.reserve("0.05 USD") as call: ...`.

    Not thread-safe: it belongs to whoever makes the call. Made by `CostBudget.reserve`; nothing is
    reserved before the block is entered.

    Leaving the block unsettled releases it before `dispatched()`, and charges it after that: what
    `spent_so_far` reported (`on_unsettled="floor"`) or all that was reserved (`"reserved"`). That
    goes for an exception, a task that is cancelled and a generator that is closed, too; and for a
    process that was killed, once its lease is over and somebody calls `budget.reap()`. It may still
    be settled afterwards.

    Attributes:
        budget: Whose it is.
        amount: What it keeps from others.
        key: Who pays.
        request_id: What makes a retry the same call.
        charged: What it cost, once settled.
    """

    __slots__ = (
        "_dispatched",
        "_floor",
        "_held",
        "_here",
        "_lost",
        "_state",
        "amount",
        "budget",
        "key",
        "request_id",
    )

    def __init__(
        self, budget: CostBudget, amount: Money, key: str | None, request_id: str | None, held: Held
    ) -> None:
        self._settled = None
        self.budget = budget
        self.amount = amount
        self.key = key
        self.request_id = request_id
        self._held = held
        self._state = _NEW
        self._here = False  # granted without the store, which did not answer
        self._lost = False  # settled, and not recorded
        self._dispatched = False
        self._floor = 0

    @property
    def overrun(self) -> Money | None:
        """What was charged beyond the reservation, once settled; None if nothing was."""
        if self._settled is None or self._settled <= self.amount:
            return None
        return self._settled - self.amount

    @property
    def each(self) -> Sequence[Reservation]:
        """Itself: one budget pays."""
        return (self,)

    def __enter__(self) -> Self:
        if self._state is not _NEW:
            raise self._misused("is entered a second time: reserve anew for each call")
        self.budget._open_one(self)
        return self

    def _reserve(self) -> None:
        self.__enter__()

    def _entered(self, row: Entry | None) -> None:
        """Take note that it is reserved, without a row where the store did not answer.

        Or of what the call cost, if it is settled already.
        """
        self._state = _OPEN
        if row is None:
            self._here = True
        elif row.state == "settled":
            self._settled = Money.of_nanos(row.charged, self.amount.currency)

    def _misused(self, words: str) -> StateConflict:
        return StateConflict(f"{self.budget.name}: the reservation {words}")

    def dispatched(self) -> None:
        """Say that the call goes out now: from here on it costs.

        Raises:
            StateConflict: The lease was over and the reservation released: reserve again. Or the
                call is settled already, which `charged` tells: do not make it again.
        """
        if self._state is _NEW:
            raise self._misused("is not entered: `with budget.reserve(...) as call`")
        if self._settled is not None:
            raise self._misused(f"is settled at {self._settled}: do not make the call again")
        self._dispatched = True
        if not self._here:
            self.budget._dispatch(self, self._floor)

    def spent_so_far(self, cost: Money | str) -> None:
        """Report what a call that goes on has cost so far, such as a stream after each chunk.

        It is in the store when this returns, so a crash does not lose it; and it holds the lease.

        Raises:
            ConfigurationError: `cost` is no amount in the currency of the cap, or negative.
            StateConflict: The lease was over and the reservation released.
        """
        self._floor = max(self._floor, self._read("cost", cost).nanos)
        self.dispatched()

    def settle(self, actual: Money | str) -> None:
        """Charge what the call cost, in full even if that is more than was reserved.

        The same again changes nothing. After the block it corrects what leaving it charged.

        Raises:
            ConfigurationError: `actual` is no amount in the currency of the cap, or negative.
            StateConflict: It was settled at another cost.
        """
        cost = self._read("actual", actual)
        if self._settled is None:
            if self._state is _NEW:
                raise self._misused("is not entered: `with budget.reserve(...) as call`")
        elif self._settled != cost:
            raise self._misused(
                f"is settled at {self._settled}, not {cost}: what was too much is a refund"
            )
        elif not self._lost:
            return
        lost, self._settled = self._lost, cost
        try:
            self._lost = not self.budget._settle(self, cost.nanos)
        except BaseException:
            if not lost:
                self._settled = None
            raise
        if self._lost is not lost:
            self.budget._miss(cost if self._lost else -cost)

    async def adispatched(self) -> None:
        """Do as `dispatched`, without keeping the loop waiting for the store."""
        await self.aside(self.dispatched)

    async def aspent_so_far(self, cost: Money | str) -> None:
        """Do as `spent_so_far`, without keeping the loop waiting for the store."""
        await self.aside(lambda: self.spent_so_far(cost))

    async def asettle(self, actual: Money | str) -> None:
        """Do as `settle`, without keeping the loop waiting for the store."""
        await self.aside(lambda: self.settle(actual))

    def _give_back(self) -> None:
        if self._settled is None:
            self.budget._leave(self)

    def _read(self, parameter: str, value: Money | str) -> Money:
        if type(value) is Money and value.nanos >= 0 and value.currency == self.amount.currency:
            return value
        money = money_of(parameter, value, currency=self.amount.currency)
        if money.nanos < 0:
            raise refusal(parameter, str(money), "at least 0: what was too much is a refund")
        return money


class Reservations(_Held):
    """One call that several budgets pay for, all or none. Not thread-safe.

    Made by `reserve_all`. What it is told goes to each.
    """

    __slots__ = ("_each",)

    def __init__(self, each: tuple[Reservation, ...]) -> None:
        super().__init__()
        self._each = each

    @property
    def each(self) -> Sequence[Reservation]:
        """The reservation in each budget, as given."""
        return self._each

    def _reserve(self) -> None:
        for part in self._each:
            if part._state is not _NEW:
                raise part._misused("is entered a second time: reserve anew for each call")
        taken: list[Reservation] = []
        try:
            for group in _by_store(self.each):
                group[0].budget._open(group)
                taken += group
            if all(part._settled is not None for part in self._each):
                self._settled = self._each[0]._settled
        except BaseException:
            for part in taken:
                part._give_back()
            raise

    def dispatched(self) -> None:
        """Say that the call goes out now; see `Reservation.dispatched`."""
        for part in self.each:
            part.dispatched()

    def spent_so_far(self, cost: Money | str) -> None:
        """Report what it has cost so far; see `Reservation.spent_so_far`."""
        _all(self.each, lambda part: part.spent_so_far(cost))

    def settle(self, actual: Money | str) -> None:
        """Charge each budget what the call cost; see `Reservation.settle`."""
        _all(self.each, lambda part: part.settle(actual))
        self._settled = self.each[0].charged

    async def adispatched(self) -> None:
        """Do as `dispatched`, without keeping the loop waiting for the stores."""
        await self.aside(self.dispatched)

    async def aspent_so_far(self, cost: Money | str) -> None:
        """Do as `spent_so_far`, without keeping the loop waiting for the stores."""
        await self.aside(lambda: self.spent_so_far(cost))

    async def asettle(self, actual: Money | str) -> None:
        """Do as `settle`, without keeping the loop waiting for the stores."""
        await self.aside(lambda: self.settle(actual))


def _all(parts: Sequence[Reservation], work: Callable[[Reservation], object]) -> None:
    """Do it for each part, also after one fails; then raise what failed first."""
    failed: Exception | None = None
    for part in parts:
        try:
            work(part)
        except Exception as error:  # noqa: BLE001 -- the other budgets must hear of it, too
            failed = failed or error
    if failed is not None:
        raise failed


def reserve_all(reservations: Sequence[Reservation]) -> Reservations:
    """Reserve in several budgets, all or none: a tenant's, a team's and the company's.

    Budgets in one store reserve in one transaction. Of several stores each reserves in turn, in a
    fixed order, and gives back if a later one refuses. The refusal names the first limit hit.

    Raises:
        ConfigurationError: There is none, two are of one budget and key, or of two currencies.

    Examples:
        >>> from mlguard import Calendar, CostBudget, MemoryStore
        >>> store = MemoryStore()
        >>> terms = {"window": Calendar("day"), "store": store, "on_store_error": "deny"}
        >>> team = CostBudget("team", "5 USD", on_unsettled="reserved", **terms)
        >>> company = CostBudget("company", "50 USD", on_unsettled="reserved", **terms)
        >>> with reserve_all([team.reserve("0.10 USD"), company.reserve("0.10 USD")]) as call:
        ...     call.dispatched()
        ...     call.settle("0.07 USD")
        >>> for budget in (team, company):
        ...     budget.refresh()
        ...     print(budget.measure())
        team = 0.07 USD
        company = 0.07 USD
    """
    each = instances((Reservation,), "reservations", reservations)
    if not each:
        raise refusal("reservations", reservations, "at least one")
    accounts = [(id(part.budget.store), part.budget.account(part.key)) for part in each]
    if len(set(accounts)) < len(accounts):
        raise ConfigurationError("reservations: two are of one budget and key")
    if len({part.amount.currency for part in each}) > 1:
        raise ConfigurationError("reservations: all must be of one currency")
    return Reservations(each)


def _by_store(each: Sequence[Reservation]) -> list[list[Reservation]]:
    """Group reservations by store, in an order that is the same for every caller."""
    groups: dict[int, list[Reservation]] = {}
    for part in each:
        groups.setdefault(id(part.budget.store), []).append(part)
    return sorted(groups.values(), key=lambda group: min(p.budget.account(p.key) for p in group))
