"""What a cost budget and its reservations do with the store."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from mlguard.arguments import refusal
from mlguard.budgets.accounts import Accounts
from mlguard.budgets.calls import call_of, outside
from mlguard.budgets.money import Money, money_of
from mlguard.errors import BudgetExceeded, MlguardError, StateConflict
from mlguard.render import text
from mlguard.stores.spend import MOST, Claim, Entry, Held, Refusal, Total, quick

if TYPE_CHECKING:
    from mlguard.budgets.accounts import Cap
    from mlguard.budgets.reservations import Reservation
    from mlguard.budgets.windows import Calendar, Rolling
    from mlguard.protocols import Clock
    from mlguard.stores.spend import Difference, SpendStore, Unsettled

SOON = 1.0
"""Seconds to wait where the cap is not spent, but kept by calls under way."""

_logger = logging.getLogger("mlguard")


class Spending(Accounts):
    """Reserves, dispatches, settles and leaves calls. Thread-safe.

    Attributes:
        on_store_error: "deny" or "allow".
        on_unsettled: "floor" or "reserved".
        lease: In seconds.
        retention: In seconds.
    """

    __slots__ = ("_dropped", "lease", "on_store_error", "on_unsettled", "retention")

    def __init__(
        self,
        name: str,
        *,
        cap: Cap,
        per: str | None,
        window: Calendar | Rolling,
        store: SpendStore,
        on_store_error: Literal["deny", "allow"],
        on_unsettled: Unsettled,
        lease: float,
        retention: float,
        clock: Clock,
    ) -> None:
        super().__init__(name, cap=cap, per=per, window=window, store=store, clock=clock)
        self.on_store_error = on_store_error
        self.on_unsettled = on_unsettled
        self.lease = lease
        self.retention = retention
        self._dropped: deque[Reservation] = deque()

    @abstractmethod
    def _see(
        self,
        key: str | None,
        spent: int,
        reserved: int,
        claim: Claim,
        refused: bool = False,  # noqa: FBT001, FBT002 -- on the way of every call
    ) -> None:
        """Take note of what an account held before a claim."""

    def refund(
        self,
        request_id: str,
        amount: Money | str,
        *,
        key: str | None = None,
        refund_id: str = "refund",
    ) -> None:
        """Take back a part of what a settled call was charged, as a row of its own.

        It belongs to the window of its call. The same again changes nothing.

        Args:
            request_id: Of the call.
            amount: How much of it.
            key: Who paid.
            refund_id: Tells several refunds of one call apart.

        Raises:
            ConfigurationError: An argument is not of its kind.
            StateConflict: It was not settled, less was charged, or it was another amount before.
        """
        money = money_of("amount", amount, currency=self.cap_of(key).currency)
        if not 0 < money.nanos <= MOST:
            raise refusal("amount", str(money), "more than 0")
        refund = outside("refund_id", refund_id)
        self.store.refund(self.account(key), call_of(request_id), refund, money.nanos)

    def settle(self, request_id: str, actual: Money | str, *, key: str | None = None) -> None:
        """Settle a call that was left, from wherever its bill comes: another process, a day later.

        It must still be there: not older than its window and the `retention`.

        Args:
            request_id: Of the call.
            actual: What it cost.
            key: Who pays.

        Raises:
            ConfigurationError: An argument is not of its kind.
            StateConflict: It was settled at another cost, or is not known.
        """
        money = money_of("actual", actual, currency=self.cap_of(key).currency)
        if not 0 <= money.nanos <= MOST:
            raise refusal("actual", str(money), "at least 0: what was too much is a refund")
        self.store.settle(Held(self.account(key), call_of(request_id)), money.nanos)

    def reap(self) -> int:
        """End the leases of calls that fell silent, sum up old rows; give how many leases ended.

        Call it now and then, from one process or several: once a minute, say. Until then what a
        killed process had reserved is kept from others.
        """
        self._drain()
        now = self._now()
        ended = self.store.reap(self._account, now)
        self.store.compact(self._account, self.window.span(now - self.retention).oldest)
        return ended

    def reconcile(self) -> list[Difference]:
        """Count anew from the rows, and give the counters that were wrong: none, ever."""
        return self.store.reconcile(self._account)

    def _claim(self, part: Reservation) -> Claim:
        expires = self._now() + self.lease
        span, key, amount = self._span, part.key, part.amount
        cap = self.cap
        if type(cap) is not Money:
            cap = self.cap_of(key)
        currency = self._currency or self._learn(cap)
        if cap.currency != currency:
            raise refusal("cap", str(cap), f"in {currency} as before: a budget has one currency")
        if amount.currency != currency:
            raise refusal("max_cost", str(amount), f"in {currency}, as the cap")
        account, call, token = part._held
        rule = self.on_unsettled
        fields = call, span.newest, amount.nanos, "open", 0, 0, expires, rule, token
        return quick(Claim, (account, quick(Entry, fields), cap.nanos, span.oldest))

    def _open_one(self, part: Reservation) -> None:
        """Reserve a part, or raise: as `_open`, for the price of a microsecond less."""
        if self._dropped:
            self._drain()
        claim = self._claim(part)
        try:
            result = self.store.reserve((claim,))
        except MlguardError:
            raise
        except Exception as error:  # noqa: BLE001 -- a store may fail in any way
            self._unanswered((part,), error)
            return
        if isinstance(result, Refusal):
            self._open((part,))  # which says why, or follows a newer window
            return
        entry, spent, reserved = result[0]
        part._entered(entry)
        self._see(part.key, spent, reserved, claim)

    def _open(self, parts: Sequence[Reservation]) -> None:
        """Reserve all parts, whose budgets share this store, or raise."""
        reaped = False
        for part in parts:
            part.budget._drain()
        while True:
            claims = [part.budget._claim(part) for part in parts]
            try:
                result = self.store.reserve(claims)
            except MlguardError:
                raise
            except Exception as error:  # noqa: BLE001 -- a store may fail in any way
                self._unanswered(parts, error)
                return
            if not isinstance(result, Refusal):
                for part, claim, (row, spent, reserved) in zip(parts, claims, result, strict=True):
                    part._entered(row)
                    part.budget._see(part.key, spent, reserved, claim)
                return
            refused, claim = parts[result.place], claims[result.place]
            if result.newest is not None:
                refused.budget._follow(result.newest)
            elif result.total.reserved and not reaped and refused.budget._reap(claim):
                reaped = True  # somebody died, and nobody else has noticed
            else:
                raise refused.budget._exceeded(refused, claim, result.total)

    def _reap(self, claim: Claim) -> int:
        try:
            return self.store.reap(claim.account, claim.entry.expires - self.lease)
        except Exception:
            _logger.exception("%s: leases could not be ended", self.name)
            return 0

    def _unanswered(self, parts: Sequence[Reservation], error: Exception) -> None:
        """Grant without the store, where every budget allows that."""
        for part in parts:
            if part.budget.on_store_error == "deny":
                raise BudgetExceeded(
                    f"{part.budget._title(part.key)}: {part.amount} refused: the store does not "
                    f"answer ({type(error).__name__}: {error}), and on_store_error is deny",
                    budget=part.budget.name,
                    key=part.key,
                    requested=part.amount,
                    retry_after=SOON,
                ) from error
        for part in parts:
            part._entered(None)
        _logger.error("%s: granted without the store", self.name, exc_info=error)

    def _exceeded(self, part: Reservation, claim: Claim, total: Total) -> BudgetExceeded:
        amount, cap = part.amount, Money.of_nanos(claim.cap, part.amount.currency)
        spent, reserved = (Money.of_nanos(each, amount.currency) for each in total)
        now, broke = self._now(), False
        if amount > cap:
            retry, words = None, "it is more than the cap"
        elif total.spent + amount.nanos <= claim.cap:
            retry, words = SOON, f"calls under way keep it: retry after {SOON:g} s"
        else:
            retry = self._wait(claim, now)
            words = f"retry after {text.quantity(retry, 's', 3)}"
            broke = True
        self._see(part.key, *total, claim, broke)
        return BudgetExceeded(
            f"{self._title(part.key)}: {amount} refused: {spent} spent and {reserved} reserved of "
            f"a cap of {cap} {self._period(self._until)}; {words}",
            budget=self.name,
            key=part.key,
            requested=amount,
            spent=spent,
            reserved=reserved,
            cap=cap,
            window=self._window(now),
            retry_after=retry,
        )

    def _wait(self, claim: Claim, now: float) -> float:
        """Find how long it takes until enough spend has left the window."""
        low, high = claim.oldest, claim.entry.slot
        while low < high:
            middle = (low + high) // 2
            try:
                left = self.store.total(claim.account, middle + 1)
            except Exception:
                _logger.exception("%s: when spend leaves the window is not known", self.name)
                break
            if left.spent + claim.entry.reserved <= claim.cap:
                high = middle
            else:
                low = middle + 1
        return max(0.0, self.window.counts_until(low) - now)

    def _dispatch(self, part: Reservation, floor: int) -> None:
        expires = self._now() + self.lease
        try:
            self.store.dispatch(part._held, floor=floor, expires=expires)
        except MlguardError:
            raise
        except Exception:
            if self.on_store_error == "deny":
                raise
            _logger.exception("%s: a call went out that the store was not told of", self.name)

    def _settle(self, part: Reservation, actual: int) -> bool:
        """Settle, and tell whether that is recorded."""
        try:
            if part._here:
                self._record(part)
            self.store.settle(part._held, actual)
        except MlguardError:
            raise
        except Exception:
            if self.on_store_error == "deny":
                raise
            _logger.exception("%s: what a call cost is not recorded", self.name)
            return False
        return True

    def _record(self, part: Reservation) -> None:
        """Reserve what was granted without the store, whatever the cap says by now."""
        while isinstance(
            refused := self.store.reserve([self._claim(part)._replace(cap=4 * MOST)]), Refusal
        ):
            self._follow(refused.newest or 0)
        part._here = False

    def _leave(self, part: Reservation) -> None:
        """Leave it to its rule. Never raises: the lease is there for what cannot be done now."""
        try:
            if not part._here:
                self.store.settle(part._held, None)
            elif part._dispatched:
                least = part.amount.nanos if self.on_unsettled == "reserved" else 0
                charged = max(part._floor, least)
                if not self._settle(part, charged):
                    self._miss(Money.of_nanos(charged, part.amount.currency))
        except StateConflict:
            return  # it was reaped and summed up, or is another attempt's by now
        except Exception:
            _logger.exception("%s: left to its lease", self.name)

    def _miss(self, money: Money) -> None:
        """Count what could not be recorded in this window; what now is counts against it."""
        with self._lock:
            self.unrecorded = money if self.unrecorded is None else self.unrecorded + money
            if not self.unrecorded.nanos:
                self.unrecorded = None

    def _drain(self) -> None:
        """Leave what the garbage collector closed, which may have happened inside the store."""
        while self._dropped:
            try:
                part = self._dropped.popleft()
            except IndexError:  # another thread was quicker
                return
            part._give_back()
