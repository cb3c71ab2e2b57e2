"""Budgets of money that hold under concurrency, streams and crashes."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Literal

from mlguard.arguments import (
    choice,
    instances,
    name_of,
    part_of,
    refusal,
    seconds,
    share,
    whole,
)
from mlguard.budgets.accounts import cap_from
from mlguard.budgets.calls import call_of, new_call, outside
from mlguard.budgets.history import UNSEEN, History
from mlguard.budgets.known import Known
from mlguard.budgets.money import NANOS, Money, money_of
from mlguard.budgets.reservations import Reservation
from mlguard.budgets.soft import SoftLimits
from mlguard.budgets.spending import Spending
from mlguard.budgets.windows import Calendar, Rolling
from mlguard.clocks import unix_clock
from mlguard.render import text
from mlguard.stores.spend import MOST, Claim, Held, quick
from mlguard.values import Action, Decision, Measurement, Severity, Verdict, combined

if TYPE_CHECKING:
    from mlguard.budgets.accounts import Cap
    from mlguard.protocols import Clock, Sink
    from mlguard.stores.spend import SpendStore, Unsettled

_logger = logging.getLogger("mlguard")
MOST_KEYS = 1000
"""Keys of which one process remembers what it saw."""


class CostBudget(Spending):
    """A cap on what may be spent in a window: reserve before a call, settle after it. Thread-safe.

    Shared through its store: every process that names the budget alike spends from the same cap,
    and none of them ever reserves beyond it. What a call costs more than it reserved is recorded
    in full, and so are refunds; the next reservation sees both.

    It is a check over what this process last saw, without asking the store: BREACH once the cap is
    spent, or less than 1 % of it is left and a call was refused; WARN from the last soft limit on,
    or where the upper end of the forecast lies above the cap; UNKNOWN while the window has not
    been seen. `refresh()` looks.

    Windows follow the newest one that anybody opened: a clock that is behind, or set back, neither
    finds an earlier window nor a second cap, and waits for one window at most. Spend belongs to the
    window of its reservation.

    Args:
        name: Alike wherever the same cap is spent.
        cap: What may be spent in the window, as `Money` or "500 USD"; or a function that gives it
            for a key. It is asked at each reservation, so a new cap holds from the next one on.
        per: What a key is, where each key has a cap of its own: "tenant".
        window: A `Calendar` or `Rolling` one.
        store: A `MemoryStore` for one process, a `SqliteStore` for one machine, a `RedisStore`.
        on_store_error: "deny": nothing is spent while the store does not answer; the error is
            raised. "allow": calls go on, and what cannot be recorded is counted in `unrecorded`.
        on_unsettled: What is charged for a call that went out and was never settled: "floor", what
            it reported by `spent_so_far`, or "reserved", all that it reserved.
        soft: Shares of the cap at which the sinks are told, once in each window.
        lease: How long a call may stay silent before `reap()` takes it for dead.
        retention: How long rows are kept after their window, before `reap()` sums them up.
        sinks: Are given a `Decision` to alert for each soft limit.
        clock: Of Unix seconds, `mlguard.clocks.unix_clock()` by default.

    Attributes:
        unrecorded: What was spent and could not be recorded, if anything; None otherwise.

    Raises:
        ConfigurationError: An argument is not of its kind or range.

    Examples:
        >>> from mlguard import MemoryStore
        >>> budget = CostBudget(
        ...     "llm",
        ...     "10 USD",
        ...     window=Calendar("day"),
        ...     store=MemoryStore(),
        ...     on_store_error="deny",
        ...     on_unsettled="reserved",
        ... )
        >>> with budget.reserve("0.05 USD") as call:
        ...     call.dispatched()
        ...     call.settle("0.021 USD")
        >>> budget.refresh()
        >>> print(budget.measure())
        llm = 0.021 USD
        >>> with budget.reserve("9.98 USD"):
        ...     pass
        Traceback (most recent call last):
        mlguard.errors.BudgetExceeded: llm: 9.98 USD refused: 0.021 USD spent and 0.00 USD ...
    """

    __slots__ = ("_history", "_known", "_soft")

    def __init__(
        self,
        name: str,
        cap: Cap,
        *,
        per: str | None = None,
        window: Calendar | Rolling,
        store: SpendStore,
        on_store_error: Literal["deny", "allow"],
        on_unsettled: Unsettled,
        soft: Sequence[float] = (0.5, 0.8, 0.95),
        lease: float | timedelta = timedelta(minutes=10),
        retention: float | timedelta = timedelta(days=30),
        sinks: Sequence[Sink] = (),
        clock: Clock | None = None,
    ) -> None:
        if not callable(cap):
            cap = cap_from("cap", cap)
        instances((Calendar, Rolling), "window", (window,))
        if not callable(getattr(store, "reserve", None)):
            raise refusal("store", store, "a store that keeps spend, such as MemoryStore()")
        super().__init__(
            name_of("name", name),
            cap=cap,
            per=None if per is None else name_of("per", per),
            window=window,
            store=store,
            on_store_error=choice("on_store_error", on_store_error, "deny", "allow"),
            on_unsettled=choice("on_unsettled", on_unsettled, "floor", "reserved"),
            lease=seconds("lease", lease),
            retention=seconds("retention", retention),
            clock=unix_clock() if clock is None else clock,
        )
        if not isinstance(soft, Sequence):
            raise refusal("soft", soft, "a sequence of shares of the cap")
        shares = tuple(sorted(part_of("soft", each) for each in soft))
        self._soft = SoftLimits(shares, tuple(sinks), store)
        self._history = History(store)
        self._known: dict[str | None, tuple[int, int, int, bool, float, float]] = {}

    def reserve(
        self,
        max_cost: Money | str,
        *,
        key: str | None = None,
        request_id: str | None = None,
    ) -> Reservation:
        """Reserve what a call may cost at most, in a `with` or `async with` block.

        Args:
            max_cost: As `Money` or "0.05 USD"; `PriceBook.worst_case` knows it.
            key: Who pays; given exactly when the budget has a cap `per` key.
            request_id: Names the call, so that a job that is delivered twice pays once: while
                another attempt at the call is under way, entering raises StateConflict; once it
                is settled, `charged` says so on entering and `dispatched()` raises; an attempt
                that was left stays charged, and the next one reserves anew. Without it each is a
                call of its own.

        Raises:
            ConfigurationError: An argument is not of its kind.
            BudgetExceeded: On entering the block: the cap would be exceeded, or the store does not
                answer and `on_store_error` is "deny".
            StateConflict: On entering: another attempt at the `request_id` is under way.
        """
        amount = max_cost if type(max_cost) is Money else money_of("max_cost", max_cost)
        if not 0 <= amount.nanos <= MOST:
            raise refusal(
                "max_cost", str(amount), f"from 0 to {Money.of_nanos(MOST, amount.currency)}"
            )
        if (key is None) is not (self.per is None):
            allowed = "None: there is one cap for all" if self.per is None else f"a {self.per}"
            raise refusal("key", key, allowed)
        if key is not None:
            outside("key", key)
        account = self._account if key is None else self._account + key
        if request_id is None:
            held = quick(Held, (account, new_call(), ""))
        else:
            held = Held(account, call_of(request_id), new_call())
        return Reservation(self, amount, key, request_id, held)

    def _see(
        self,
        key: str | None,
        spent: int,
        reserved: int,
        claim: Claim,
        refused: bool = False,  # noqa: FBT001, FBT002 -- on the way of every call
    ) -> None:
        if len(self._known) >= MOST_KEYS and key not in self._known:
            self._forget()
        cap, at = claim.cap, claim.entry.expires - self.lease
        exhausted = spent >= cap or (refused and cap - spent <= cap // 100)
        self._known[key] = spent, reserved, cap, exhausted, at, self._until
        shares = self._soft.shares
        if shares and spent >= shares[0] * cap:
            self._tell(key, spent, claim)

    def _forget(self) -> None:
        with self._lock:
            while len(self._known) >= MOST_KEYS:
                key = next(iter(self._known))
                self._known.pop(key)
                self._soft.forget(self.account(key))

    def _tell(self, key: str | None, spent: int, claim: Claim) -> None:
        """Tell of soft limits. Never raises: the call that passed one is not to blame for it."""
        try:
            for each in self._soft.passed(claim, spent):
                verdict = self._verdict(key)
                subject = {"budget": self.name} | ({} if key is None else {str(self.per): key})
                self._soft.tell(
                    Decision(
                        Action.ALERT,
                        f"{text.quantity(each, 'share')} of the cap: {verdict.reason}",
                        subject=subject,
                        at=verdict.at,
                        key=f"{claim.account} {claim.cap} {claim.oldest} {each}",
                        verdicts=(verdict,),
                    )
                )
        except Exception:
            _logger.exception("%s: a soft limit could not be told of", self.name)

    def known(self, key: str | None = None) -> Known | None:
        """Give what this process last saw of a key; None if that was in an earlier window."""
        seen = self._known.get(key)
        if seen is None or self._now() >= seen[-1]:
            return None
        currency = self._currency
        spent, reserved, cap = (Money.of_nanos(each, currency) for each in seen[:3])
        return Known(spent, reserved, cap, *seen[3:])

    def wait(self, key: str | None = None, *, max_age: float | timedelta = 10.0) -> float | None:
        """Give the seconds until more may be spent, if the cap is exhausted; None if it is not.

        As this process saw it, and no longer ago than `max_age`: then it is None too, so that the
        next reservation looks again.
        """
        known, oldest = self.known(key), seconds("max_age", max_age)
        age = 0.0 if known is None else self._now() - known.at
        if known is None or age > oldest or not known.exhausted:
            return None
        if isinstance(self.window, Rolling) or known.spent < known.cap:
            return oldest
        return known.until - known.at - age

    def __call__(self) -> Verdict:
        if self.per is None:
            return self._verdict(None)
        verdicts = [self._verdict(key) for key in list(self._known) if self.known(key) is not None]
        if not verdicts:
            reason = f"no {self.per} was seen in this window: call refresh()"
            return Verdict(self.name, Severity.UNKNOWN, reason)
        return combined(self.name, verdicts, need=len(verdicts))

    def _verdict(self, key: str | None) -> Verdict:
        known, name = self.known(key), self._title(key)
        if known is None:
            return Verdict(name, Severity.UNKNOWN, UNSEEN)
        expected = self.forecast(key)
        running_out = expected.high is not None and expected.high > expected.details["cap"]
        severity, limits = Severity.OK, self._soft.shares or (1.0,)
        if known.exhausted:
            severity = Severity.BREACH
        elif (
            running_out
            or self.unrecorded is not None
            or known.spent.nanos >= limits[-1] * known.cap.nanos
        ):
            severity = Severity.WARN
        words = f"{known}, {self._period(known.until)}"
        if known.exhausted and known.spent < known.cap:
            words += "; the last call was refused"
        if expected.high is not None:
            value, low, high = (
                text.quantity(each or 0.0, expected.unit)
                for each in (expected.value, expected.low, expected.high)
            )
            words += f"; forecast {value} ({low} to {high}) by then"
        if self.unrecorded is not None:
            words += f"; {self.unrecorded} could not be recorded"
        evidence = (self.measure(key), expected)
        return Verdict(name, severity, words, evidence=evidence, at=known.at)

    def measure(self, key: str | None = None) -> Measurement:
        """Measure what is spent in the window, in units of the currency, as this process saw it.

        Args:
            key: Who pays; without one the sum over the keys that this process knows.
        """
        keys = list(self._known) if self.per is not None and key is None else [key]
        known = [each for each in map(self.known, keys) if each is not None]
        unit = self._currency
        if not known:
            return Measurement(self._title(key), math.nan, unit=unit, details={"reason": UNSEEN})
        amounts = [(k.spent.nanos, k.reserved.nanos, k.cap.nanos) for k in known]
        spent, reserved, cap = (sum(each) / NANOS for each in zip(*amounts, strict=True))
        return Measurement(
            self._title(key),
            spent,
            unit=known[0].cap.currency,
            at=max(each.at for each in known),
            details={
                "reserved": reserved,
                "cap": cap,
                "until": min(each.until for each in known),
                "keys": len(known),
            },
        )

    def forecast(self, key: str | None = None, *, confidence: float = 0.8) -> Measurement:
        """Measure what will be spent by the end of the window, in units of the currency.

        It rests on what `refresh` saw, here and on other hosts, of this key: NaN with the reason
        until that is enough. `low` and `high` are the interval; alert on `high`. The details have
        `pacing`, 1 where the cap lasts exactly, and `runs_out_in`, the seconds until the cap is
        reached at the present rate. See `mlguard.budgets.forecast.forecast` for what it assumes.

        Args:
            key: Who pays.
            confidence: Of the interval.
        """
        name = f"{self._title(key)} by the end"
        known = self.known(key)
        cap = self.cap_of(key) if known is None else known.cap
        if isinstance(self.window, Rolling):
            reason = "a rolling window has no end"
            return Measurement(name, math.nan, unit=cap.currency, details={"reason": reason})
        self._now()
        account, span = self.account(key), self._span
        return self._history.expected(
            name,
            account,
            span=span,
            cap=cap.nanos,
            unit=cap.currency,
            confidence=share("confidence", confidence),
        )

    def refresh(self, key: str | None = None) -> None:
        """Ask the store what is spent, so that the check and `measure` know.

        Args:
            key: Of whom; without one, where each key has a cap, of the 1,000 that spent the most,
                whose growth it does not note: the forecast of a key takes `refresh(key)`.
        """
        self._drain()
        self._now()
        span = self._span
        if self.per is None or key is not None:
            found = [(key, self.store.total(self.account(key), span.oldest))]
        else:
            totals = self.store.totals(self._account, span.oldest, MOST_KEYS)
            found = [(account.removeprefix(self._account), total) for account, total in totals]
        for each, total in found:
            try:
                part = self.reserve(Money.of_nanos(0, self.cap_of(each).currency), key=each)
                claim, was = self._claim(part), self.known(each)
            except Exception:
                if self.per is None or key is not None:
                    raise
                _logger.exception("%s: the cap of %r is not known", self.name, each)
                continue
            stuck = was is not None and was.stays(claim.cap, total.spent)
            self._see(each, *total, claim, stuck)
            if (self.per is None or key is not None) and isinstance(self.window, Calendar):
                at = claim.entry.expires - self.lease
                self._history.note(claim.account, span, at, total.spent)

    async def arefresh(self, key: str | None = None) -> None:
        """Do as `refresh`, without keeping the loop waiting for the store."""
        import asyncio  # noqa: PLC0415 -- whoever awaits has it

        await asyncio.to_thread(self.refresh, key)

    def top(self, n: int = 10) -> list[Measurement]:
        """Ask the store for the keys that spent the most in the window."""
        self._now()
        found = self.store.totals(self._account, self._span.oldest, whole("n", n, least=1))
        for account, _ in found:
            self.refresh(self._key_of(account))
        return [self.measure(self._key_of(account)) for account, _ in found]

    def _key_of(self, account: str) -> str | None:
        return None if self.per is None else account.removeprefix(self._account)

    def __repr__(self) -> str:
        return f"CostBudget({self.name!r}, window={self.window!r})"
