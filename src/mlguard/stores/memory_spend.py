"""Spend in the memory of one process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlguard.locks import Locked
from mlguard.stores import spend
from mlguard.stores.spend import COMPACTED, LIVE, Difference, Entry, Granted, Held, Refusal, Total

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mlguard.stores.spend import Claim


_NEVER = 2**63
"""The first slot of no window."""


class _Account:
    """Rows and counters of one account. Not thread-safe.

    Attributes:
        entries: The rows by id.
        slots: What is spent and reserved in each slot.
        newest: The last slot.
        spent: In the window.
        reserved: In the window.
        summed: What rows were charged that are gone.
    """

    __slots__ = ("_oldest", "entries", "newest", "reserved", "slots", "spent", "summed")

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self.slots: dict[int, list[int]] = {}
        self.newest = COMPACTED
        self.summed: dict[int, int] = {}
        self._oldest = COMPACTED
        self.spent = self.reserved = 0

    def slide(self, oldest: int) -> None:
        """Move the window whose sums are at hand, so that it begins with a slot."""
        if oldest != self._oldest:
            self._oldest = oldest
            kept = [sums for slot, sums in self.slots.items() if slot >= oldest]
            self.spent = sum(sums[0] for sums in kept)
            self.reserved = sum(sums[1] for sums in kept)

    def total(self, oldest: int) -> Total:
        """Give what it holds from a slot on."""
        self.slide(oldest)
        return Total(self.spent, self.reserved)

    def take(self, claim: Claim) -> Granted | None:
        """Reserve a new claim that is in order, as nearly all are."""
        _, entry, cap, oldest = claim
        if oldest != self._oldest:
            self.slide(oldest)
        slot, amount, spent, reserved = entry.slot, entry.reserved, self.spent, self.reserved
        if entry.id in self.entries or self.newest > slot or spent + reserved + amount > cap:
            return None
        self.entries[entry.id] = entry
        self.add(slot, 0, amount)
        return spend.quick(Granted, (entry, spent, reserved))

    def take_over(self, found: Entry | None, entry: Entry) -> None:
        """Keep a row that was reserved; what an earlier attempt was charged stays beside it."""
        left = spend.taken_over(found)
        if left is not None and found is not entry:
            self.entries[left.id] = left
            found = None
        self.put(found, entry)

    def held(self, held: Held) -> Entry | None:
        """Give the row that an attempt holds, or held."""
        found = self.entries.get(held.call)
        if held.token and (found is None or found.token != held.token):
            return self.entries.get(spend.attempt(held.call, held.token), found)
        return found

    def put(self, found: Entry | None, entry: Entry) -> Entry:
        """Keep a row in place of the one that was found, and count it."""
        self.entries[entry.id] = entry
        if found is None:
            self.add(entry.slot, entry.charged, entry.held)
        else:
            self.add(entry.slot, entry.charged - found.charged, entry.held - found.held)
        return entry

    def add(self, slot: int, spent: int, reserved: int) -> None:
        """Count in a slot."""
        sums = self.slots.get(slot)
        if sums is None:
            self.slots[slot] = [spent, reserved]
            self.newest = max(self.newest, slot)
        else:
            sums[0] += spent
            sums[1] += reserved
        if slot >= self._oldest:
            self.spent += spent
            self.reserved += reserved

    def drop(self, entry: Entry) -> None:
        """Sum up a row in its slot, where it is counted already."""
        del self.entries[entry.id]
        if entry.charged:
            self.summed[entry.slot] = self.summed.get(entry.slot, 0) + entry.charged

    def close(self, before: int) -> None:
        """Make one sum of those of slots before that."""
        for slot in [each for each in self.summed if COMPACTED < each < before]:
            charged = self.summed.pop(slot)
            self.summed[COMPACTED] = self.summed.get(COMPACTED, 0) + charged
            self.add(slot, -charged, 0)
            self.add(COMPACTED, charged, 0)
        for slot in [each for each, sums in self.slots.items() if not any(sums)]:
            del self.slots[slot]

    def recount(self) -> Iterator[tuple[int, Total, Total]]:
        """Count anew, and give each slot that was wrong, with both counts."""
        true: dict[int, list[int]] = {}
        for row in self.rows():
            sums = true.setdefault(row.slot, [0, 0])
            sums[0] += row.charged
            sums[1] += row.held
        for slot in sorted(true.keys() | self.slots.keys()):
            counted, right = Total(*self.slots.get(slot, (0, 0))), Total(*true.get(slot, (0, 0)))
            if counted != right:
                yield slot, counted, right
        self.slots = true
        self._oldest = _NEVER

    def refunded(self, call: str) -> int:
        """Give what was taken back of a row."""
        start = f"{call}\n"
        rows = [row for row in self.entries.values() if row.id.startswith(start)]
        return -sum(row.charged for row in rows if row.state == "refund")

    def rows(self) -> Iterator[Entry]:
        """Give the rows, and one for each sum."""
        for slot, charged in self.summed.items():
            yield spend.sum_of(charged)._replace(slot=slot)
        yield from self.entries.values()


_NOBODY = _Account()
"""Has no row, so whatever is asked of one is refused before anything is written."""


class MemorySpend(Locked):
    """Spend in memory; see `Spend`. Thread-safe.

    A settled row that nobody can ask for again, since its id was not given, is summed up at once.
    """

    __slots__ = ("_accounts",)

    def __init__(self) -> None:
        super().__init__()
        self._accounts: dict[str, _Account] = {}

    def reserve(self, claims: Sequence[Claim], /) -> list[Granted] | Refusal:
        """Reserve all or none of the claims; see `Spend.reserve`."""
        granted, puts = [], []
        with self._lock:
            if len(claims) == 1:
                name = claims[0].account
                book = self._accounts.get(name) or _Account()
                if (answer := book.take(claims[0])) is not None:
                    self._accounts[name] = book
                    return [answer]
            for place, (name, entry, cap, oldest) in enumerate(claims):
                book = self._accounts.get(name) or _Account()
                book.slide(oldest)
                found = book.entries.get(entry.id)
                left = spend.attempt(entry.id, entry.token) in book.entries
                there = spend.reserved(found, entry, was_left=left)
                if there is None:
                    newest = book.newest if book.newest > entry.slot else None
                    if newest or book.spent + book.reserved + entry.reserved > cap:
                        return Refusal(place, Total(book.spent, book.reserved), newest)
                    there = entry
                granted.append(spend.quick(Granted, (there, book.spent, book.reserved)))
                puts.append((name, book, found, there))
            for name, book, found, there in puts:
                self._accounts[name] = book
                book.take_over(found, there)
        return granted

    def dispatch(self, held: Held, /, *, floor: int, expires: float) -> Entry:
        """Note that the call went out; see `Spend.dispatch`."""
        with self._lock:
            book = self._accounts.get(held.account, _NOBODY)
            found = book.held(held)
            return book.put(found, spend.dispatched(found, held, floor, expires))

    def settle(self, held: Held, actual: int | None, /) -> Entry:
        """Charge what the call cost; None leaves it unsettled. See `Spend.settle`."""
        with self._lock:
            book = self._accounts.get(held.account, _NOBODY)
            found = book.held(held)
            if actual is None:
                return book.put(found, spend.unsettled(found, held))
            entry = spend.settled(found, held, actual)
            if found is None or held.call[0] != spend.UNASKED:
                return book.put(found, entry)
            del book.entries[found.id]
            slot = entry.slot
            book.summed[slot] = book.summed.get(slot, 0) + actual
            book.add(slot, actual - found.charged, -found.reserved if found.state in LIVE else 0)
            return entry

    def refund(self, account: str, call: str, refund_id: str, amount: int, /) -> Entry:
        """Take back a part of what was settled; see `Spend.refund`."""
        with self._lock:
            book = self._accounts.get(account, _NOBODY)
            wanted = spend.refund_of(call, refund_id, amount)
            found = book.entries.get(wanted.id)
            entry = spend.refunded(book.entries.get(call), found, book.refunded(call), wanted)
            return book.put(found, entry)

    def total(self, account: str, oldest: int, /) -> Total:
        """Give what an account holds, from a slot on."""
        with self._lock:
            book = self._accounts.get(account)
            return Total(0, 0) if book is None else book.total(oldest)

    def totals(self, prefix: str, oldest: int, most: int, /) -> list[tuple[str, Total]]:
        """Give the accounts that spent the most; see `Spend.totals`."""
        with self._lock:
            found = [(name, book.total(oldest)) for name, book in self._books(prefix)]
        held = [each for each in found if any(each[1])]
        return sorted(held, key=lambda each: (-each[1].spent, each[0]))[:most]

    def entries(self, prefix: str, /) -> list[tuple[str, Entry]]:
        """Give the rows; see `Spend.entries`."""
        with self._lock:
            found = [(name, row) for name, book in self._books(prefix) for row in book.rows()]
        return sorted(found)

    def reap(self, prefix: str, now: float, /) -> int:
        """Leave unsettled what no lease holds any more; see `Spend.reap`."""
        ended = 0
        with self._lock:
            for name, book in self._books(prefix):
                for row in [each for each in book.entries.values() if each.overdue(now)]:
                    book.put(row, spend.unsettled(row, Held(name, row.id, row.token)))
                    ended += 1
        return ended

    def compact(self, prefix: str, before: int, /) -> int:
        """Sum up what is over; see `Spend.compact`."""
        gone = 0
        with self._lock:
            for _, book in self._books(prefix):
                for row in [each for each in book.entries.values() if each.over(before)]:
                    book.drop(row)
                    gone += 1
                book.close(before)
        return gone

    def reconcile(self, prefix: str, /) -> list[Difference]:
        """Count anew from the rows; see `Spend.reconcile`."""
        with self._lock:
            return [
                Difference(name, *each)
                for name, book in self._books(prefix)
                for each in book.recount()
            ]

    def _books(self, prefix: str) -> list[tuple[str, _Account]]:
        return [each for each in sorted(self._accounts.items()) if each[0].startswith(prefix)]
