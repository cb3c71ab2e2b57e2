"""What the rules of spend are written in: an account, and what must hold of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from mlguard.errors import StateConflict
from mlguard.stores.spend import (
    COMPACTED,
    Claim,
    Entry,
    Granted,
    Held,
    Refusal,
    Spend,
    Total,
    Unsettled,
)

_FITS = "reserve() refuses what fits under the cap"
_OVER = "reserve() grants more than the cap"


class Book(NamedTuple):
    """An account of a store, and what most rules leave as it is: a cap of 100 in slot 5."""

    store: Spend
    account: str

    def beside(self, name: str) -> Book:
        """Give an account whose name begins with the name of this one."""
        return self._replace(account=self.account + name)

    def claim(
        self,
        call: str,
        amount: int,
        *,
        cap: int = 100,
        slot: int = 5,
        oldest: int | None = None,
        expires: float = 60.0,
        on_unsettled: Unsettled = "floor",
        by: str = "",
    ) -> Claim:
        """Make a claim."""
        row = Entry(call, slot, amount, "open", 0, 0, expires, on_unsettled, by)
        return Claim(self.account, row, cap, slot if oldest is None else oldest)

    def granted(self, call: str, amount: int, *, fault: str = _FITS, **options: Any) -> Granted:
        """Reserve what must be granted."""
        try:
            result = self.store.reserve([self.claim(call, amount, **options)])
        except StateConflict as error:
            raise broken(f"{fault}: {error}") from error
        if isinstance(result, Refusal):
            raise broken(f"{fault}: {result}")
        return result[0]

    def refused(self, call: str, amount: int, *, fault: str = _OVER, **options: Any) -> Refusal:
        """Ask for what must be refused."""
        before = self.state()
        result = self.store.reserve([self.claim(call, amount, **options)])
        if not isinstance(result, Refusal):
            raise broken(fault)
        equal("reserve() writes what it refuses", self.state(), before)
        return result

    def dispatch(
        self, call: str, token: str = "", *, floor: int = 0, expires: float = 60.0
    ) -> Entry:
        """Dispatch a call."""
        return self.store.dispatch(Held(self.account, call, token), floor=floor, expires=expires)

    def settle(self, call: str, actual: int | None, token: str = "") -> Entry:
        """Settle a call."""
        return self.store.settle(Held(self.account, call, token), actual)

    def refund(self, call: str, refund_id: str, amount: int) -> Entry:
        """Take back a part of a call."""
        return self.store.refund(self.account, call, refund_id, amount)

    def spend(
        self,
        call: str,
        amount: int,
        actual: int | None = None,
        *,
        fault: str = _FITS,
        **options: Any,
    ) -> None:
        """Reserve and settle, at the amount that was reserved if no other is given."""
        self.granted(call, amount, fault=fault, **options)
        try:
            self.settle(call, amount if actual is None else actual)
        except StateConflict as error:
            raise broken(f"{fault}: {error}") from error

    def rows(self) -> dict[str, Entry]:
        """Give the rows by id."""
        found = self.store.entries(self.account)
        return {row.id: row for account, row in found if account == self.account}

    def state(self) -> tuple[dict[str, Entry], Total]:
        """Give all that is known of it."""
        return self.rows(), self.store.total(self.account, COMPACTED)

    def holds(self, fault: str, spent: int, reserved: int, oldest: int = COMPACTED) -> None:
        """Assert what is spent and reserved."""
        equal(fault, self.store.total(self.account, oldest), Total(spent, reserved))

    def conflicts(self, fault: str, call: Callable[..., object], *given: Any) -> None:
        """Assert that a call conflicts, and that it writes nothing."""
        before = self.state()
        try:
            call(*given)
        except StateConflict:
            equal("what conflicts is written all the same", self.state(), before)
            return
        raise broken(fault)


def broken(fault: str) -> AssertionError:
    """Make the error for a rule that is broken."""
    return AssertionError(f"the store breaks a rule: {fault}")


def equal(fault: str, found: object, wanted: object) -> None:
    """Assert that what was found is what the rules want."""
    if found != wanted:
        raise broken(f"{fault}: {found}, not {wanted}")
