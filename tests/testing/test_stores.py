"""The suite for stores catches each way to be bad."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from mlguard import ConfigurationError, MemoryStore, SqliteStore, StateConflict, Store
from mlguard.stores.memory_spend import _Account
from mlguard.stores.spend import (
    COMPACTED,
    LIVE,
    MOST,
    Claim,
    Difference,
    Entry,
    Granted,
    Held,
    Refusal,
    Total,
    attempt,
)
from mlguard.testing import ManualClock, check_store


class Forgetful(MemoryStore):
    """Compares with the version it was told to find, and does not look."""

    __slots__ = ()

    def save(self, key: str, data: bytes, *, if_version: int | None = None) -> int:
        super().save(key, b"", if_version=if_version if if_version == 0 else None)
        return super().save(key, data)


class Careless(MemoryStore):
    """Writes first and compares then."""

    __slots__ = ()

    def save(self, key: str, data: bytes, *, if_version: int | None = None) -> int:
        try:
            return super().save(key, data, if_version=if_version)
        except StateConflict:
            super().save(key, data)
            raise


class Upserting(MemoryStore):
    """Takes a version of a key that is gone for one that is there."""

    __slots__ = ()

    def save(self, key: str, data: bytes, *, if_version: int | None = None) -> int:
        there = self.load(key) is not None
        return super().save(key, data, if_version=if_version if there else None)


class Recounting(MemoryStore):
    """Counts versions for each key, and again from one after a delete."""

    __slots__ = ("_counts",)

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._counts: dict[str, int] = {}

    def load(self, key: str) -> tuple[bytes, int] | None:
        found = super().load(key)
        return found and (found[0], self._counts[key])

    def save(self, key: str, data: bytes, *, if_version: int | None = None) -> int:
        there = self._counts.get(key, 0)
        if if_version not in {None, there}:
            raise StateConflict
        super().save(key, data, if_version=if_version if if_version in {None, 0} else None)
        self._counts[key] = there + 1
        return there + 1

    def delete(self, key: str) -> None:
        super().delete(key)
        self._counts.pop(key, None)


class Textual(MemoryStore):
    """Keeps text."""

    __slots__ = ()

    def load(self, key: str) -> tuple[bytes, int] | None:
        found = super().load(key)
        return found and (found[0].decode("ascii", "replace").encode(), found[1])


class Globbing(MemoryStore):
    """Takes a prefix for a pattern."""

    __slots__ = ()

    def keys(self, prefix: str = "") -> list[str]:
        return [key for key in super().keys("") if fnmatchcase(key, f"{prefix}*")]


class Terminated(MemoryStore):
    """Ends a key at a NUL."""

    __slots__ = ()

    def load(self, key: str) -> tuple[bytes, int] | None:
        return super().load(key.partition("\0")[0])

    def save(self, key: str, data: bytes, *, if_version: int | None = None) -> int:
        return super().save(key.partition("\0")[0], data, if_version=if_version)


class Unsorted(MemoryStore):
    __slots__ = ()

    def keys(self, prefix: str = "") -> list[str]:
        return sorted(super().keys(prefix), key=lambda key: key.encode("utf-16"))


class Partial(MemoryStore):
    """Lists nothing unless a prefix is given."""

    __slots__ = ()

    def keys(self, prefix: str = "") -> list[str]:
        return super().keys(prefix) if prefix else []


class Keeping(MemoryStore):
    """Deletes what begins with the key as well."""

    __slots__ = ()

    def delete(self, key: str) -> None:
        for each in self.keys(key):
            super().delete(each)


class Lenient(MemoryStore):
    """Takes any text as data and any key."""

    __slots__ = ()

    def save(self, key: str, data: bytes | str, *, if_version: int | None = None) -> int:
        known = data if isinstance(data, bytes) else str(data).encode()
        return super().save(key, known, if_version=if_version)


class Timeless(MemoryStore):
    """Lends for ever where the length makes no sense."""

    __slots__ = ()

    def acquire(self, name: str, ttl: Any) -> int | None:
        try:
            return super().acquire(name, ttl)
        except ConfigurationError:
            if not name or not isinstance(name, str) or name == "\ud800":
                raise
            return super().acquire(name, 1e9)


class Generous(MemoryStore):
    """Lends to anyone."""

    __slots__ = ()

    def acquire(self, name: str, ttl: Any) -> int | None:
        self._leases.clear()
        return super().acquire(name, ttl)


class Single(MemoryStore):
    """Has one lease for several names."""

    __slots__ = ()

    def acquire(self, name: str, ttl: Any) -> int | None:
        return super().acquire(name.removesuffix("/other") if isinstance(name, str) else name, ttl)


class Stale(MemoryStore):
    """Gives each name the token it had before."""

    __slots__ = ()

    def acquire(self, name: str, ttl: Any) -> int | None:
        token = super().acquire(name, ttl)
        if token is None:
            return None
        place = name.encode()
        self._leases[place] = self._leases[place]._replace(token=7)
        return 7


class Trusting(MemoryStore):
    """Does not look at the token."""

    __slots__ = ()

    def release(self, name: str, token: int) -> bool:
        lease = self._leases.get(name.encode())
        return super().release(name, lease.token if lease else token)


class Reviving(MemoryStore):
    """Renews whatever was lent to the holder last, also when it has ended."""

    __slots__ = ()

    def renew(self, name: str, token: int, ttl: Any) -> bool:
        lease = self._leases.get(name.encode())
        if lease is not None and lease.token == token:
            self._leases[name.encode()] = lease._replace(expires=1e12)
        return super().renew(name, token, ttl)


class Idle(MemoryStore):
    """Says that it has renewed a lease, and has not."""

    __slots__ = ()

    def renew(self, name: str, token: int, ttl: Any) -> bool:
        lease = self._leases.get(name.encode())
        renewed = super().renew(name, token, ttl)
        if renewed and lease is not None:
            self._leases[name.encode()] = lease
        return renewed


class Endless(MemoryStore):
    """Ends no lease."""

    __slots__ = ()

    def acquire(self, name: str, ttl: Any) -> int | None:
        there = isinstance(name, str) and name != "\ud800" and name.encode() in self._leases
        return None if there else super().acquire(name, ttl)


class Polite(MemoryStore):
    """Says that an ended lease was given back."""

    __slots__ = ()

    def release(self, name: str, token: int) -> bool:
        lease = self._leases.get(name.encode())
        return super().release(name, token) or (lease is not None and lease.token == token)


class Racing(MemoryStore):
    """Compares, lets the others compare as well, and writes."""

    __slots__ = ("_all", "_met")

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._all = threading.Barrier(8)
        self._met = {threading.get_ident()}

    def save(self, key: str, data: bytes, *, if_version: int | None = None) -> int:
        there = (self.load(key) or (b"", 0))[1]
        if if_version not in {None, there}:
            return super().save(key, data, if_version=if_version)
        if threading.get_ident() not in self._met:
            self._met.add(threading.get_ident())
            self._all.wait(60.0)
        return super().save(key, data, if_version=if_version if if_version == -1 else None)


@pytest.mark.parametrize(
    ("kind", "fault"),
    [
        (Forgetful, "if_version writes over another version"),
        (Careless, "a save that lost the race has changed the state"),
        (Upserting, "if_version writes where nothing is"),
        (Recounting, "a version is given again after delete"),
        (Textual, "the bytes .* come back as"),
        (Terminated, "the key .* is taken for another"),
        (Globbing, r"keys\('.*'\) gives \[.*\], not \["),
        (Unsorted, "not sorted|gives"),
        (Partial, "without a prefix does not give all"),
        (Keeping, "delete.. leaves its key, or takes another"),
        (Lenient, "save.. takes the data 'text'"),
        (Timeless, "acquire.. takes ttl=0"),
        (Generous, "acquire.. gives a lease that is held"),
        (Single, "a lease keeps another from being lent"),
        (Stale, "the token 7 follows 7: it is not greater"),
        (Trusting, "release.. takes a token that was not given"),
        (Reviving, "a lease that has ended is renewed"),
        (Idle, "does not prolong the lease"),
        (Endless, "a lease does not end with its time"),
        (Polite, "release.. of a lease that has ended gives True"),
        (Racing, "200 increments by compare-and-set make "),
    ],
)
def test_a_bad_store_is_caught(kind: Callable[..., Store], fault: str) -> None:
    clock = ManualClock(1_000.0)
    with pytest.raises(AssertionError, match=f"^the store breaks a rule: .*(?:{fault})"):
        check_store(partial(kind, clock=clock), advance=clock.advance)


Answer = list[Granted] | Refusal


def book_of(store: MemoryStore, account: str) -> _Account:
    """Give the rows and counters of an account, which is there from then on."""
    return store._accounts.setdefault(account, _Account())


class Overdrawing(MemoryStore):
    """Takes the cap for the first amount that is refused, and a bit."""

    __slots__ = ()

    def reserve(self, claims: Sequence[Claim], /) -> Answer:
        return super().reserve([claim._replace(cap=claim.cap + 1) for claim in claims])


class Stingy(MemoryStore):
    """Refuses what reaches the cap."""

    __slots__ = ()

    def reserve(self, claims: Sequence[Claim], /) -> Answer:
        return super().reserve([claim._replace(cap=claim.cap - 1) for claim in claims])


class Floating(MemoryStore):
    """Adds as floats do."""

    __slots__ = ()

    def reserve(self, claims: Sequence[Claim], /) -> Answer:
        for account, row, cap, oldest in claims:
            if float(sum(self.total(account, oldest))) + float(row.reserved) <= float(cap):
                return super().reserve([claim._replace(cap=2 * cap) for claim in claims])
        return super().reserve(claims)


class Piecemeal(MemoryStore):
    """Reserves one claim after the other."""

    __slots__ = ()

    def reserve(self, claims: Sequence[Claim], /) -> Answer:
        granted: list[Granted] = []
        for place, claim in enumerate(claims):
            result = super().reserve([claim])
            if isinstance(result, Refusal):
                return result._replace(place=place)
            granted += result
        return granted


class Forgiving(MemoryStore):
    """Reserves again whatever is asked for again."""

    __slots__ = ()

    def reserve(self, claims: Sequence[Claim], /) -> Answer:
        for account, row, *_ in claims:
            there = book_of(self, account).entries.get(row.id)
            if there is not None and there.reserved == row.reserved:
                del book_of(self, account).entries[row.id]
        return super().reserve(claims)


class Shortening(MemoryStore):
    """Lets a repeat set the end of the lease."""

    __slots__ = ()

    def reserve(self, claims: Sequence[Claim], /) -> Answer:
        result = super().reserve(claims)
        if isinstance(result, Refusal):
            return result
        for claim, granted in zip(claims, result, strict=True):
            row = granted.entry._replace(expires=claim.entry.expires)
            book_of(self, claim.account).entries[row.id] = row
        rows = [book_of(self, claim.account).entries[claim.entry.id] for claim in claims]
        return [Granted(row, *each[1:]) for row, each in zip(rows, result, strict=True)]


class Backdating(MemoryStore):
    """Believes every clock."""

    __slots__ = ()

    def reserve(self, claims: Sequence[Claim], /) -> Answer:
        for claim in claims:
            book_of(self, claim.account).newest = COMPACTED
        return super().reserve(claims)


class Narrow(MemoryStore):
    """Counts the last slot only."""

    __slots__ = ()

    def reserve(self, claims: Sequence[Claim], /) -> Answer:
        return super().reserve([claim._replace(oldest=claim.entry.slot) for claim in claims])


class Timid(MemoryStore):
    """Refuses for ever what was released once."""

    __slots__ = ()

    def reserve(self, claims: Sequence[Claim], /) -> Answer:
        for place, claim in enumerate(claims):
            there = book_of(self, claim.account).entries.get(claim.entry.id)
            if there is not None and there.state == "released":
                return Refusal(place, self.total(claim.account, claim.oldest))
        return super().reserve(claims)


class Sending(MemoryStore):
    """Dispatches what was released, too."""

    __slots__ = ()

    def dispatch(self, held: Held, /, *, floor: int, expires: float) -> Entry:
        try:
            return super().dispatch(held, floor=floor, expires=expires)
        except StateConflict:
            there = book_of(self, held.account).entries.get(held.call)
            if there is not None and there.state == "released":
                return there
            raise


class Resending(MemoryStore):
    """Dispatches what was settled, too."""

    __slots__ = ()

    def dispatch(self, held: Held, /, *, floor: int, expires: float) -> Entry:
        there = book_of(self, held.account).entries.get(held.call)
        if there is not None and there.state == "settled":
            return there
        return super().dispatch(held, floor=floor, expires=expires)


class Sharing(MemoryStore):
    """Takes every attempt at a call for the one that holds it."""

    __slots__ = ()

    def reserve(self, claims: Sequence[Claim], /) -> Answer:
        return super().reserve([self.shared(claim) for claim in claims])

    def shared(self, claim: Claim) -> Claim:
        there = book_of(self, claim.account).entries.get(claim.entry.id)
        if there is None or there.state not in LIVE:
            return claim
        return claim._replace(entry=claim.entry._replace(token=there.token))


class Pressing(MemoryStore):
    """Lets an attempt dispatch what another one holds."""

    __slots__ = ()

    def dispatch(self, held: Held, /, *, floor: int, expires: float) -> Entry:
        there = book_of(self, held.account).entries.get(held.call)
        if there is not None and there.state in LIVE:
            held = held._replace(token=there.token)
        return super().dispatch(held, floor=floor, expires=expires)


class Usurping(MemoryStore):
    """Lets an attempt settle what another one holds."""

    __slots__ = ()

    def settle(self, held: Held, actual: int | None, /) -> Entry:
        return super().settle(held if actual is None else held._replace(token=""), actual)


class Evicting(MemoryStore):
    """Lets an attempt leave what another one holds."""

    __slots__ = ()

    def settle(self, held: Held, actual: int | None, /) -> Entry:
        there = book_of(self, held.account).entries.get(held.call)
        if there is not None and actual is None:
            held = held._replace(token=there.token)
        return super().settle(held, actual)


class Jealous(MemoryStore):
    """Shows no other attempt that its call is settled."""

    __slots__ = ()

    def reserve(self, claims: Sequence[Claim], /) -> Answer:
        for account, row, *_ in claims:
            there = book_of(self, account).entries.get(row.id)
            if there is not None and there.state == "settled" and there.token != row.token:
                raise StateConflict
        return super().reserve(claims)


class Counting(MemoryStore):
    """Compares the amount of what is settled, too."""

    __slots__ = ()

    def reserve(self, claims: Sequence[Claim], /) -> Answer:
        for account, row, *_ in claims:
            there = book_of(self, account).entries.get(row.id)
            if there is not None and there.state == "settled" and there.reserved != row.reserved:
                raise StateConflict
        return super().reserve(claims)


class Resuming(MemoryStore):
    """Asks for no room again where a call was left."""

    __slots__ = ()

    def reserve(self, claims: Sequence[Claim], /) -> Answer:
        return super().reserve([self.resumed(claim) for claim in claims])

    def resumed(self, claim: Claim) -> Claim:
        there = book_of(self, claim.account).entries.get(claim.entry.id)
        left = there is not None and there.state == "left"
        return claim._replace(cap=MOST) if left else claim


class Retrying(MemoryStore):
    """Lets the attempt reserve again that was left."""

    __slots__ = ()

    def reserve(self, claims: Sequence[Claim], /) -> Answer:
        for account, row, *_ in claims:
            book = book_of(self, account)
            there = book.entries.get(row.id)
            if there is not None and (there.state, there.token) == ("left", row.token):
                book.entries[row.id] = there._replace(token=f"not {row.token}")
        return super().reserve(claims)


class Returning(MemoryStore):
    """Lets the attempt reserve again that was taken over, once the other one was left as well."""

    __slots__ = ()

    def reserve(self, claims: Sequence[Claim], /) -> Answer:
        for account, row, *_ in claims:
            entries = book_of(self, account).entries
            there = entries.get(row.id)
            own = attempt(row.id, row.token)
            if own in entries and there is not None and there.state == "left":
                entries[f"{own} once"] = entries.pop(own)._replace(id=f"{own} once")
        return super().reserve(claims)


class Erasing(MemoryStore):
    """Forgets what an attempt was charged once another one has taken over."""

    __slots__ = ()

    def reserve(self, claims: Sequence[Claim], /) -> Answer:
        there = [book_of(self, each.account).entries.get(each.entry.id) for each in claims]
        result = super().reserve(claims)
        for claim, row in zip(claims, there, strict=True):
            book = book_of(self, claim.account)
            if row is not None and attempt(row.id, row.token) in book.entries:
                del book.entries[attempt(row.id, row.token)]
                book.add(row.slot, -row.charged, 0)
        return result


class Final(MemoryStore):
    """Does not settle an attempt late that was taken over."""

    __slots__ = ()

    def settle(self, held: Held, actual: int | None, /) -> Entry:
        if attempt(held.call, held.token) in book_of(self, held.account).entries and actual:
            raise StateConflict
        return super().settle(held, actual)


class Sparing(MemoryStore):
    """Charges what was reserved though more was spent."""

    __slots__ = ()

    def settle(self, held: Held, actual: int | None, /) -> Entry:
        there = book_of(self, held.account).entries.get(held.call)
        if actual is None and there is not None and there.on_unsettled == "reserved":
            floor = min(there.floor, there.reserved)
            book_of(self, held.account).entries[held.call] = there._replace(floor=floor)
        return super().settle(held, actual)


class Swallowing(MemoryStore):
    """Takes what attempts were charged for refunds."""

    __slots__ = ()

    def refund(self, account: str, call: str, refund_id: str, amount: int, /) -> Entry:
        book = book_of(self, account)
        start = attempt(call, "")
        left = sum(row.charged for key, row in book.entries.items() if key.startswith(start))
        there = book.entries.get(call)
        if there is not None:
            book.entries[call] = there._replace(charged=there.charged + left)
        try:
            return super().refund(account, call, refund_id, amount)
        finally:
            if there is not None:
                book.entries[call] = there


class Sinking(MemoryStore):
    """Takes the last floor for the highest."""

    __slots__ = ()

    def dispatch(self, held: Held, /, *, floor: int, expires: float) -> Entry:
        row = super().dispatch(held, floor=floor, expires=expires)
        book_of(self, held.account).entries[held.call] = row = row._replace(floor=floor)
        return row


class Clipping(MemoryStore):
    """Charges no more than was reserved."""

    __slots__ = ()

    def settle(self, held: Held, actual: int | None, /) -> Entry:
        there = book_of(self, held.account).entries.get(held.call)
        if actual is not None and there is not None:
            actual = min(actual, there.reserved)
        return super().settle(held, actual)


class Recharging(MemoryStore):
    """Charges each time, and whatever it is told."""

    __slots__ = ()

    def settle(self, held: Held, actual: int | None, /) -> Entry:
        there = book_of(self, held.account).entries.get(held.call)
        if there is not None and there.state == "settled" and actual is not None:
            book_of(self, held.account).entries[held.call] = there._replace(state="left")
        return super().settle(held, actual)


class Losing(MemoryStore):
    """Charges nothing for what was left unsettled."""

    __slots__ = ()

    def settle(self, held: Held, actual: int | None, /) -> Entry:
        there = book_of(self, held.account).entries.get(held.call)
        if actual is None and there is not None and there.state == "dispatched":
            book_of(self, held.account).entries[held.call] = there._replace(state="open")
        return super().settle(held, actual)


class Holding(MemoryStore):
    """Counts what a call cost and keeps what was reserved for it as well."""

    __slots__ = ()

    def settle(self, held: Held, actual: int | None, /) -> Entry:
        there = book_of(self, held.account).entries.get(held.call)
        row = super().settle(held, actual)
        book_of(self, held.account).add(row.slot, 0, there.held if there else 0)
        return row


class Refunding(MemoryStore):
    """Takes back again what is asked for again."""

    __slots__ = ()

    def refund(self, account: str, call: str, refund_id: str, amount: int, /) -> Entry:
        rows = book_of(self, account).entries
        rows.pop(f"{call}\n{refund_id}", None)
        return super().refund(account, call, refund_id, amount)


class Lavish(MemoryStore):
    """Takes back more than was charged."""

    __slots__ = ()

    def refund(self, account: str, call: str, refund_id: str, amount: int, /) -> Entry:
        there = book_of(self, account).entries.get(call)
        rows = book_of(self, account).entries
        if there is not None and f"{call}\n{refund_id}" not in rows:
            rows[call] = there._replace(charged=10**9)
        row = super().refund(account, call, refund_id, amount)
        if there is not None:
            rows[call] = there
        return row


class Timely(MemoryStore):
    """Takes back from the slot that is spent from now."""

    __slots__ = ()

    def refund(self, account: str, call: str, refund_id: str, amount: int, /) -> Entry:
        book = book_of(self, account)
        known = f"{call}\n{refund_id}" in book.entries
        row = super().refund(account, call, refund_id, amount)
        if not known:
            book.add(row.slot, amount, 0)
            book.add(book.newest, -amount, 0)
        return row


class Reaping(MemoryStore):
    """Ends every lease."""

    __slots__ = ()

    def reap(self, prefix: str, now: float, /) -> int:
        return super().reap(prefix, now + 1e9)


class Late(MemoryStore):
    """Ends a lease after its time."""

    __slots__ = ()

    def reap(self, prefix: str, now: float, /) -> int:
        return super().reap(prefix, now - 0.001)


class Shredding(MemoryStore):
    """Keeps no sums of what it compacts."""

    __slots__ = ()

    def compact(self, prefix: str, before: int, /) -> int:
        gone = super().compact(prefix, before)
        for _, book in self._books(prefix):
            book.add(COMPACTED, -book.summed.pop(COMPACTED, 0), 0)
        return gone


class Hasty(MemoryStore):
    """Compacts what is still open."""

    __slots__ = ()

    def compact(self, prefix: str, before: int, /) -> int:
        super().reap(prefix, 1e9)
        return super().compact(prefix, before)


class Oblivious(MemoryStore):
    """Forgets what the newest slot was once it is empty."""

    __slots__ = ()

    def compact(self, prefix: str, before: int, /) -> int:
        gone = super().compact(prefix, before)
        for _, book in self._books(prefix):
            book.newest = max(book.slots, default=COMPACTED)
        return gone


class Unranked(MemoryStore):
    """Gives accounts as they come."""

    __slots__ = ()

    def totals(self, prefix: str, oldest: int, most: int, /) -> list[tuple[str, Total]]:
        return sorted(super().totals(prefix, oldest, 10**6))[:most]


class Endlessly(MemoryStore):
    """Gives every account."""

    __slots__ = ()

    def totals(self, prefix: str, oldest: int, most: int, /) -> list[tuple[str, Total]]:
        return super().totals(prefix, oldest, most + 10**6)


class Caseless(MemoryStore):
    """Takes an account for another that is written alike."""

    __slots__ = ()

    def reserve(self, claims: Sequence[Claim], /) -> Answer:
        return super().reserve([each._replace(account=each.account.lower()) for each in claims])

    def settle(self, held: Held, actual: int | None, /) -> Entry:
        return super().settle(held._replace(account=held.account.lower()), actual)

    def total(self, account: str, oldest: int, /) -> Total:
        return super().total(account.lower(), oldest)


class Restless(MemoryStore):
    """Finds counters wrong that are right."""

    __slots__ = ()

    def reconcile(self, prefix: str, /) -> list[Difference]:
        return [Difference(prefix, 1, Total(0, 0), Total(0, 0))]


class Interrupted(MemoryStore):
    """Checks, lets the others check as well, and reserves."""

    __slots__ = ("_all", "_met")

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._all = threading.Barrier(8)
        self._met = {threading.get_ident()}

    def reserve(self, claims: Sequence[Claim], /) -> Answer:
        if claims[0].entry.id == "same" or threading.get_ident() in self._met:
            return super().reserve(claims)
        self._met.add(threading.get_ident())
        (claim,) = claims
        fits = sum(self.total(claim.account, claim.oldest)) + claim.entry.reserved <= claim.cap
        self._all.wait(60.0)
        return super().reserve([claim._replace(cap=10**9)] if fits else claims)


class Repeating(MemoryStore):
    """Tells each thread that it was the first to reserve."""

    __slots__ = ()

    def reserve(self, claims: Sequence[Claim], /) -> Answer:
        if claims[0].cap == 706:
            claims = [each._replace(cap=each.cap + 7) for each in claims]
        return super().reserve(claims)


@pytest.mark.parametrize(
    ("kind", "fault"),
    [
        (Overdrawing, "reserve.. grants more than the cap"),
        (Stingy, "reserve.. refuses what reaches the cap exactly"),
        (Floating, "reserve.. grants more than the cap"),
        (Piecemeal, "a claim is reserved though another is refused"),
        (Forgiving, "a repeat moves the reservation"),
        (Shortening, "a repeat moves the reservation or shortens it"),
        (Backdating, "grants a slot behind the newest"),
        (Narrow, "does not count the earlier slots"),
        (Timid, "what was released cannot be reserved again"),
        (Sending, "what was released is dispatched"),
        (Resending, "what is settled is dispatched"),
        (Sharing, "another attempt reserves what is open"),
        (Pressing, "another attempt dispatches"),
        (Usurping, "another attempt settles"),
        (Evicting, "another attempt ends the first"),
        (Jealous, "a settled call is refused to another"),
        (Counting, "a repeat of a settled call is refused"),
        (Resuming, "what was left is taken over beyond the cap"),
        (Retrying, "what was left reserves again"),
        (Returning, "the first attempt reserves again"),
        (Erasing, "what the first attempt is charged is not kept beside"),
        (Final, "what the rules allow conflicts"),
        (Sparing, "'reserved' charges less than was spent"),
        (Swallowing, "what attempts were charged is taken back"),
        (Sinking, "dispatch.. gives another row"),
        (Clipping, "a cost above the reservation and the cap is not recorded in full"),
        (Recharging, "another cost does not conflict"),
        (Losing, "'floor' charges something else"),
        (Holding, "settle.. does not give back what was reserved"),
        (Refunding, "a refund is not taken back once"),
        (Lavish, "more is taken back than is left"),
        (Timely, "a refund is taken back from another slot"),
        (Reaping, "reap.. ends what is leased still"),
        (Late, "reap.. does not end a lease in time"),
        (Shredding, "compact.. changes what was spent in all"),
        (Hasty, "compact.. does not take the rows that are over: 6, not 5"),
        (Oblivious, "compact.. forgets the newest slot"),
        (Unranked, "totals.. are not the largest, or not sorted"),
        (Endlessly, "totals.. are not the largest, or not sorted"),
        (Caseless, "is taken for another"),
        (Restless, "reconcile.. finds counters wrong that are right"),
        (Interrupted, "threads get another number of reservations than fit"),
        (Repeating, "threads get another number of reservations than fit: 101, not 100"),
    ],
)
def test_a_store_that_keeps_spend_badly_is_caught(kind: Callable[..., Store], fault: str) -> None:
    clock = ManualClock(1_000.0)
    with pytest.raises(AssertionError, match=f"^the store breaks a rule: .*(?:{fault})"):
        check_store(partial(kind, clock=clock), advance=clock.advance)


class Unspending:
    """A store of states and leases only."""

    def __init__(self, store: MemoryStore) -> None:
        self.load, self.save, self.keys = store.load, store.save, store.keys
        self.delete, self.acquire = store.delete, store.acquire
        self.renew, self.release = store.renew, store.release


def test_a_store_need_not_keep_spend() -> None:
    clock = ManualClock()
    store = MemoryStore(clock=clock)
    check_store(lambda: Unspending(store), advance=clock.advance)
    assert store.entries("") == []


def test_of_its_spend_a_sum_stays() -> None:
    clock = ManualClock()
    store = MemoryStore(clock=clock)
    check_store(lambda: store, advance=clock.advance)
    states = {row.state for _, row in store.entries("")}
    assert states == {"sum"}


def test_a_store_that_processes_do_not_share_is_caught() -> None:
    clock = ManualClock()
    with pytest.raises(AssertionError, match="50 increments by compare-and-set make 0"):
        check_store(partial(MemoryStore, clock=clock), advance=clock.advance, processes=2)


def test_its_keys_are_deleted_in_the_end_also_of_a_bad_store() -> None:
    clock = ManualClock()
    good, bad = MemoryStore(clock=clock), Idle(clock=clock)
    check_store(lambda: good, advance=clock.advance)
    assert good.keys() == []
    with pytest.raises(AssertionError):
        check_store(lambda: bad, advance=clock.advance)
    assert bad.keys() == []


@pytest.mark.parametrize(
    ("options", "message"),
    [({"ttl": 0.0}, "ttl = 0.0: must be"), ({"processes": -1}, "processes = -1: must be")],
)
def test_bad_arguments_are_refused(options: dict[str, Any], message: str) -> None:
    clock = ManualClock()
    with pytest.raises(ConfigurationError, match=message):
        check_store(MemoryStore, advance=clock.advance, **options)


def test_time_that_can_only_be_slept_away_will_do(tmp_path: Path) -> None:
    """Nothing is slept here: the clock of the store is the one that the suite waits for."""
    now = [0.0]

    def sleep(seconds: float) -> None:
        assert seconds > 0
        now[0] += seconds * 1.01

    store = SqliteStore(tmp_path / "guard.db", clock=lambda: now[0])
    check_store(lambda: store, advance=sleep, ttl=0.5)
    store.close()
