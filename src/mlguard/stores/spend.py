"""Spend as rows: what every store decides alike about reservations, whoever keeps them.

Amounts are whole numbers (nano-units of one currency), slots whole numbers that rise with time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol, TypeAlias

from mlguard.arguments import refusal, whole
from mlguard.errors import StateConflict
from mlguard.protocols import Store

Unsettled: TypeAlias = Literal["floor", "reserved"]
State: TypeAlias = Literal["open", "dispatched", "settled", "left", "released", "refund", "sum"]

COMPACTED = -1
"""The slot of what was compacted, before every other."""

UNASKED = "~"
"""What ids begin with that nobody gave, and so nobody can ask for again."""

quick = tuple.__new__
"""Makes a NamedTuple in half the time that its own constructor takes: for the way of every call."""

MOST = 2**60
"""Of an amount and of a cap, in nano-units: stores count in 64 bits."""


LIVE = frozenset({"open", "dispatched"})
"""The states in which a row keeps its amount from others."""


class Entry(NamedTuple):
    """A row of the ledger.

    Attributes:
        id: Unlike any other of its account.
        slot: Whose spend it is.
        reserved: How much was reserved.
        state: "open" before the call went out and "dispatched" after it; "settled" for good;
            "left" unsettled after it went out, and "released" before: both may still be settled.
            A "refund" is a row of its own; a "sum" stands for rows that were compacted.
        charged: What was charged; of a refund below zero.
        floor: What was reported as spent so far.
        expires: When its lease is over, in Unix seconds.
        on_unsettled: What is charged if it is never settled: what was reported, or all that was
            reserved if that is more.
        token: Of the attempt that holds it, unlike that of any other attempt at the same call.
    """

    id: str
    slot: int
    reserved: int
    state: State
    charged: int
    floor: int
    expires: float
    on_unsettled: Unsettled
    token: str = ""

    @property
    def held(self) -> int:
        """What it keeps from others."""
        return self.reserved if self.state in LIVE else 0

    def overdue(self, now: float) -> bool:
        """Tell whether its lease is over."""
        return self.state in LIVE and self.expires <= now

    def over(self, before: int) -> bool:
        """Tell whether nothing will change it and its slot is before that one."""
        return self.slot < before and self.state not in LIVE and self.state != "sum"


class Held(NamedTuple):
    """Whose reservation is spoken of.

    Attributes:
        account: Who pays.
        call: The id of its row.
        token: Of the attempt; empty for whoever holds the call, and where nobody named it.
    """

    account: str
    call: str
    token: str = ""


class Claim(NamedTuple):
    """A reservation that is asked for.

    Attributes:
        account: Whose.
        entry: The row as it will be.
        cap: What may be spent and reserved in the window.
        oldest: The first slot of the window; that of the entry is the last.
    """

    account: str
    entry: Entry
    cap: int
    oldest: int


class Total(NamedTuple):
    """What an account holds in a window."""

    spent: int
    reserved: int


class Refusal(NamedTuple):
    """Why nothing was reserved.

    Attributes:
        place: Of the claim that was refused first.
        total: What its account holds.
        newest: A later slot than its own, if its account has one: the clock is behind.
    """

    place: int
    total: Total
    newest: int | None = None


class Granted(NamedTuple):
    """A reservation that was made.

    Attributes:
        entry: Its row.
        spent: What its account had spent before it.
        reserved: What its account had reserved before it.
    """

    entry: Entry
    spent: int
    reserved: int


class Difference(NamedTuple):
    """A counter that did not say what the rows of its slot do; now it does."""

    account: str
    slot: int
    counted: Total
    true: Total


def attempt(call: str, token: str) -> str:
    """Name the row of an attempt whose call was taken over by another one."""
    return f"{call}\nleft {token}"


def reserved(found: Entry | None, entry: Entry, *, was_left: bool = False) -> Entry | None:
    """Give the row that answers a claim already; None where it must be asked for.

    That is the same attempt again, or a call that is settled: whoever asks sees that it is. A call
    that was left is asked for anew, in its own window, and what it was charged stays: its row goes
    on under the name of its attempt, which `taken_over` gives.

    Args:
        found: The row that is there.
        entry: The row that is asked for.
        was_left: There is a row under the name of this attempt, which was taken over.

    Raises:
        StateConflict: Another attempt at the call is under way, or this one was left before.
    """
    if found is None:
        return None
    if found.state in {"released", "left"}:
        if was_left or (found.state == "left" and found.token == entry.token):
            raise StateConflict(f"{entry.id!r} was left by this attempt: only another may reserve")
        return None
    if found.token == entry.token and found.reserved == entry.reserved:
        return found._replace(expires=max(found.expires, entry.expires))
    if found.state == "settled":
        return found
    raise StateConflict(
        f"{entry.id!r} is under way: another attempt holds it until it is settled or left, or its "
        "lease is over and reaped"
    )


def taken_over(found: Entry | None) -> Entry | None:
    """Give the row under which what was left stays charged, if anything is."""
    if found is None or found.state != "left":
        return None
    return found._replace(id=attempt(found.id, found.token))


def dispatched(found: Entry | None, claim: Held, floor: int, expires: float) -> Entry:
    """Give the row once its call is out, and so much was spent so far.

    Raises:
        StateConflict: It was released, settled or taken over by another attempt, or never reserved.
    """
    if found is None or found.token != claim.token or found.state == "released":
        raise StateConflict(
            f"{claim.call!r} is not reserved any more, or not by this attempt: reserve again"
        )
    if found.state == "settled":
        raise StateConflict(f"{claim.call!r} is settled already: do not make the call again")
    floor, expires = max(found.floor, floor), max(found.expires, expires)
    if found.state == "left":
        return unsettled(found._replace(state="dispatched", floor=floor), claim)
    return found._replace(state="dispatched", floor=floor, expires=expires)


def settled(found: Entry | None, claim: Held, actual: int) -> Entry:
    """Give the row once the cost of its call is known.

    Raises:
        StateConflict: It was settled at another cost, is held by another attempt, or not known.
    """
    if found is None:
        raise StateConflict(f"{claim.call!r} is not known: never reserved, or compacted since")
    if found.state == "settled":
        if found.charged == actual:
            return found
        raise StateConflict(
            f"{claim.call!r} was settled at another cost, {found.charged} not {actual} nano-units: "
            "take back what was charged too much by a refund"
        )
    if claim.token and found.token != claim.token:
        raise StateConflict(f"{claim.call!r} is held by another attempt, which will settle it")
    _, slot, amount, _, _, floor, expires, rule, token = found
    fields = found.id, slot, amount, "settled", actual, floor, expires, rule, token
    return quick(Entry, fields)


def unsettled(found: Entry | None, claim: Held) -> Entry:
    """Give the row of a call that nobody will settle: released, or charged by its rule.

    Raises:
        StateConflict: It is not known, or held by another attempt.
    """
    if found is None or (found.token != claim.token and found.state in LIVE):
        raise StateConflict(f"{claim.call!r} is not known, or held by another attempt")
    if found.state == "open":
        return found._replace(state="released")
    if found.state != "dispatched":
        return found
    least = found.reserved if found.on_unsettled == "reserved" else 0
    return found._replace(state="left", charged=max(found.floor, least))


def refunded(charged: Entry | None, found: Entry | None, before: int, entry: Entry) -> Entry:
    """Give the row of a refund, which belongs to the slot of what it takes back.

    Args:
        charged: The row that it takes back from.
        found: The refund, where it is there already.
        before: What all refunds took back so far.
        entry: The refund as it is asked for.

    Raises:
        StateConflict: It is not known, less was charged, or it was another amount before.
    """
    if found is not None:
        if found.charged != entry.charged:
            raise StateConflict(f"{entry.id!r} was another amount, {-found.charged} nano-units")
        return found
    if charged is None or charged.state != "settled":
        raise StateConflict(f"{entry.id!r}: nothing was settled that could be taken back")
    if -entry.charged > charged.charged - before:
        raise StateConflict(
            f"{entry.id!r}: {charged.charged - before} nano-units are left to take back, "
            f"not {-entry.charged}"
        )
    return entry._replace(slot=charged.slot)


def refund_of(call: str, refund_id: str, amount: int) -> Entry:
    """Make the row of a refund."""
    return Entry(f"{call}\n{refund_id}", 0, 0, "refund", -amount, 0, 0.0, "floor")


def amount_of(parameter: str, value: object) -> int:
    """Read an amount in nano-units."""
    amount = whole(parameter, value)
    if amount > MOST:
        raise refusal(parameter, value, f"at most {MOST} nano-units")
    return amount


def sum_of(charged: int, slot: int = COMPACTED) -> Entry:
    """Make the row that stands for those that are gone."""
    return Entry("", slot, 0, "sum", charged, 0, 0.0, "floor")


class Spend(Protocol):
    """Keeps what was reserved and spent. Each method is atomic, from any process.

    Rows are the truth; counters by account and slot are what a reservation is checked against.
    `mlguard.testing.check_store` has the conformance suite.
    """

    def reserve(self, claims: Sequence[Claim], /) -> list[Granted] | Refusal:
        """Reserve all or none of the claims, whose accounts differ.

        A claim that the same attempt made before, or whose call is settled, gets the row that is
        there.

        Raises:
            StateConflict: Another attempt at a call is under way, or this one was left before;
                nothing was reserved.
        """
        ...

    def dispatch(self, held: Held, /, *, floor: int, expires: float) -> Entry:
        """Note that the call went out, what was spent so far, and until when it is leased.

        The row is that of the call, or where another attempt took it over that of the attempt.

        Raises:
            StateConflict: It was released, settled or taken over, or never reserved.
        """
        ...

    def settle(self, held: Held, actual: int | None, /) -> Entry:
        """Charge what the call cost; None leaves it unsettled.

        The row is that of the call, or where another attempt took it over that of the attempt.

        Raises:
            StateConflict: It was settled at another cost, is held by another, or is not known.
        """
        ...

    def refund(self, account: str, call: str, refund_id: str, amount: int, /) -> Entry:
        """Take back a part of what was settled, once for each `refund_id`.

        Raises:
            StateConflict: Less was charged, or nothing; or it was another amount before.
        """
        ...

    def total(self, account: str, oldest: int, /) -> Total:
        """Give what an account holds, from a slot on."""
        ...

    def totals(self, prefix: str, oldest: int, most: int, /) -> list[tuple[str, Total]]:
        """Give the accounts that begin with a prefix and spent the most from a slot on."""
        ...

    def entries(self, prefix: str, /) -> list[tuple[str, Entry]]:
        """Give the rows of the accounts that begin with a prefix, by account and id."""
        ...

    def reap(self, prefix: str, now: float, /) -> int:
        """Leave unsettled what no lease holds any more, and give how many these were."""
        ...

    def compact(self, prefix: str, before: int, /) -> int:
        """Sum up what is over and stands in slots before that, and give how many rows went."""
        ...

    def reconcile(self, prefix: str, /) -> list[Difference]:
        """Count anew from the rows, and give the counters that were wrong."""
        ...


class SpendStore(Store, Spend, Protocol):
    """Keeps states, leases and spend."""
