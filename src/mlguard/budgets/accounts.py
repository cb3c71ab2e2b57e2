"""Who pays, from which cap, in which window."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import quote

from mlguard.arguments import refusal
from mlguard.budgets.money import Money, money_of
from mlguard.budgets.windows import Calendar, Rolling, Window
from mlguard.clocks import UnixClock
from mlguard.locks import Locked
from mlguard.render import text
from mlguard.stores.spend import MOST

if TYPE_CHECKING:
    from mlguard.protocols import Clock
    from mlguard.stores.spend import SpendStore

Cap: TypeAlias = "Money | str | Callable[[str], Money | str]"


class Accounts(Locked):
    """Caps by key, in windows that never go back. Thread-safe.

    Attributes:
        name: Alike wherever the same cap is spent.
        cap: What may be spent in a window, or a function that gives it for a key.
        per: What a key is.
        window: Calendar or rolling.
        store: Where the spend is kept.
        clock: Of Unix seconds.
        unrecorded: What was spent in this window and could not be recorded; None if nothing.
    """

    __slots__ = (
        "_account",
        "_currency",
        "_offset",
        "_span",
        "_tick",
        "_until",
        "cap",
        "clock",
        "name",
        "per",
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
        clock: Clock,
    ) -> None:
        super().__init__()
        self.name = name
        self.cap = cap
        self.per = per
        self.window = window
        self.store = store
        self.clock = clock
        self.unrecorded: Money | None = None
        self._account = f"{quote(name, safe='')} {_kind_of(window)}/"
        self._currency = cap.currency if isinstance(cap, Money) else ""
        self._tick, self._offset = clock, 0.0
        if isinstance(clock, UnixClock):  # its two parts are quicker than the call
            self._tick, self._offset = clock.monotonic, clock.origin
        self._move(clock())

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
        if isinstance(self.window, Calendar):
            self.unrecorded = None  # it was of the window before
        self._span = span

    def _learn(self, cap: Money) -> str:
        """Find the currency of a cap that is a function, the first time it is asked."""
        self._currency = cap.currency
        return self._currency

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
