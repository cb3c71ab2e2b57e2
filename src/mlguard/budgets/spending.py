"""What a cost budget and its reservations do with the store."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias
from urllib.parse import quote

from mlguard.arguments import refusal
from mlguard.budgets.calls import call_of, outside
from mlguard.budgets.money import Money, money_of
from mlguard.budgets.windows import Calendar, Rolling, Window
from mlguard.clocks import UnixClock
from mlguard.errors import BudgetExceeded, MlguardError, StateConflict
from mlguard.locks import Locked
from mlguard.render import text
from mlguard.stores.spend import MOST, Claim, Entry, Refusal, Total, quick

if TYPE_CHECKING:
    from mlguard.budgets.reservations import Reservation
    from mlguard.protocols import Clock
    from mlguard.stores.spend import Difference, SpendStore, Unsettled

Cap: TypeAlias = "Money | str | Callable[[str], Money | str]"
SOON = 1.0
"""Seconds to wait where the cap is not spent, but kept by calls under way."""

_logger = logging.getLogger("mlguard")


class Spending(Locked):
    """Reserves, dispatches, settles and leaves calls, in windows that never go back. Thread-safe.

    Attributes:
        name: Alike wherever the same cap is spent.
        cap: What may be spent in a window, or a function that gives it for a key.
        per: What a key is.
        window: Calendar or rolling.
        store: Where the spend is kept.
        on_store_error: "deny" or "allow".
        on_unsettled: "floor" or "reserved".
        lease: In seconds.
        retention: In seconds.
        clock: Of Unix seconds.
        unrecorded: What was spent and could not be recorded, if anything; None otherwise.
    """

    __slots__ = (
        "_account",
        "_offset",
        "_span",
        "_tick",
        "_until",
        "cap",
        "clock",
        "lease",
        "name",
        "on_store_error",
        "on_unsettled",
        "per",
        "retention",
        "store",
        "unrecorded",
        "window",
    )

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
        super().__init__()
        self.name = name
        self.cap = cap
        self.per = per
        self.window = window
        self.store = store
        self.on_store_error = on_store_error
        self.on_unsettled = on_unsettled
        self.lease = lease
        self.retention = retention
        self.clock = clock
        self.unrecorded: Money | None = None
        self._account = f"{quote(name, safe='')} {_kind_of(window)}/"
        self._tick, self._offset = clock, 0.0
        if isinstance(clock, UnixClock):  # its two parts are quicker than the call
            self._tick, self._offset = clock.monotonic, clock.origin
        self._move(clock())

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

    def reap(self) -> int:
        """End the leases of calls that fell silent, sum up old rows; give how many leases ended.

        Call it now and then, from one process or several: once a minute, say. Until then what a
        killed process had reserved is kept from others.
        """
        now = self._now()
        ended = self.store.reap(self._account, now)
        self.store.compact(self._account, self.window.span(now - self.retention).oldest)
        return ended

    def reconcile(self) -> list[Difference]:
        """Count anew from the rows, and give the counters that were wrong: none, ever."""
        return self.store.reconcile(self._account)

    def account(self, key: str | None) -> str:
        """Give the name under which the store keeps what a key spends."""
        return self._account if key is None else self._account + key

    def cap_of(self, key: str | None) -> Money:
        """Give the cap that holds for a key now."""
        cap = self.cap
        if type(cap) is Money:
            return cap
        return cap_from("cap", cap("" if key is None else key) if callable(cap) else cap)

    def _now(self) -> float:
        """Give the time, no earlier than the newest window that was seen, and find its slot."""
        at = self._tick() + self._offset
        span = self._span
        if at >= span.end:
            self._move(at)
        elif at < span.start:
            at = self._follow(span.newest)
        return at

    def _follow(self, slot: int) -> float:
        """Go on from the beginning of a slot that somebody opened before us."""
        with self._lock:
            now = self._tick()
            self._offset = max(self._offset, self.window.slot_start(slot) - now)
            at = now + self._offset
            self._move(at)
        return at

    def _move(self, at: float) -> None:
        span = self.window.span(at)
        self._until = self.window.counts_until(span.newest)
        self._span = span

    def _claim(self, part: Reservation) -> Claim:
        expires = self._now() + self.lease
        span, key, amount = self._span, part.key, part.amount
        cap = self.cap
        if type(cap) is not Money:
            cap = self.cap_of(key)
        if cap.currency != amount.currency:
            raise refusal("max_cost", str(amount), f"in {cap.currency}, as the cap")
        fields = part._call, span.newest, amount.nanos, "open", 0, 0, expires, self.on_unsettled
        account = self._account if key is None else self._account + key
        return quick(Claim, (account, quick(Entry, fields), cap.nanos, span.oldest))

    def _open_one(self, part: Reservation) -> None:
        """Reserve a part, or raise: as `_open`, for the price of a microsecond less."""
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
        _, spent, reserved = result[0]
        self._see(part.key, spent, reserved, claim)

    def _open(self, parts: Sequence[Reservation]) -> None:
        """Reserve all parts, whose budgets share this store, or raise."""
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
                for part, claim, (_, spent, reserved) in zip(parts, claims, result, strict=True):
                    part.budget._see(part.key, spent, reserved, claim)
                return
            refused = parts[result.place]
            if result.newest is None:
                raise refused.budget._exceeded(refused, claims[result.place], result.total)
            refused.budget._follow(result.newest)

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
            part._here = True
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
            left = self.store.total(claim.account, middle + 1)
            if left.spent + claim.entry.reserved <= claim.cap:
                high = middle
            else:
                low = middle + 1
        return max(0.0, self.window.counts_until(low) - now)

    def _dispatch(self, part: Reservation, floor: int) -> None:
        expires = self._now() + self.lease
        try:
            self.store.dispatch(self.account(part.key), part._call, floor=floor, expires=expires)
        except MlguardError:
            raise
        except Exception:
            if self.on_store_error == "deny":
                raise
            _logger.exception("%s: a call went out that the store was not told of", self.name)

    def _settle(self, part: Reservation, actual: int) -> None:
        try:
            if part._here:
                self._record(part)
            account = self._account if part.key is None else self._account + part.key
            self.store.settle(account, part._call, actual)
        except MlguardError:
            raise
        except Exception as error:
            if self.on_store_error == "deny":
                raise
            self._miss(part, actual, error)

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
                self.store.settle(self.account(part.key), part._call, None)
            elif part._dispatched:
                self._settle(
                    part, part._floor if self.on_unsettled == "floor" else part.amount.nanos
                )
        except StateConflict:
            return  # it was reaped and summed up
        except Exception:
            _logger.exception("%s: left to its lease", self.name)

    def _miss(self, part: Reservation, actual: int, error: Exception) -> None:
        money = Money.of_nanos(actual, part.amount.currency)
        with self._lock:
            self.unrecorded = money if self.unrecorded is None else self.unrecorded + money
        _logger.error("%s: %s could not be recorded", self.name, money, exc_info=error)

    def _title(self, key: str | None) -> str:
        return self.name if key is None else f"{self.name}[{self.per}={text.visible(key)}]"

    def _window(self, now: float) -> Window:
        if isinstance(self.window, Rolling):
            return self.window.window(now)
        return Window(self._span.start, self._span.end)

    def _period(self, end: float) -> str:
        if isinstance(self.window, Rolling):
            return f"in {text.quantity(self.window.seconds, 's')}"
        return f"until {self.window.written(end)}"


def _kind_of(window: Calendar | Rolling) -> str:
    """Name a kind of window, since the slots of two kinds do not compare."""
    if isinstance(window, Rolling):
        return f"{window.seconds!r}s"
    return quote(f"{window.unit} {window.start} {window.tz}", safe="")


def cap_from(parameter: str, value: object) -> Money:
    """Read a cap."""
    cap = money_of(parameter, value)
    if not 0 <= cap.nanos <= MOST:
        raise refusal(parameter, str(cap), f"from 0 to {Money.of_nanos(MOST, cap.currency)}")
    return cap
