"""Spend in an SQLite file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlguard.stores import spend
from mlguard.stores.spend import COMPACTED, Difference, Entry, Granted, Held, Refusal, Total

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Sequence

    from mlguard.stores.database import Database
    from mlguard.stores.spend import Claim

_FIELDS = ", ".join(Entry._fields)
_LIVE = "state IN ('open', 'dispatched')"
_OVER = "state NOT IN ('open', 'dispatched', 'sum')"
_RANGE = "account >= ? AND account < ?"
_TRUE = f"""SELECT account, slot, SUM(charged), SUM(CASE WHEN {_LIVE} THEN reserved ELSE 0 END)
            FROM entries WHERE {_RANGE} GROUP BY account, slot"""


class _Book:
    """Rows and counters in a transaction. Not thread-safe."""

    __slots__ = ("_ask",)

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._ask = connection.execute

    def entry(self, account: bytes, call: str) -> Entry | None:
        """Give a row."""
        query = f"SELECT {_FIELDS} FROM entries WHERE account = ? AND id = ?"
        row = self._ask(query, (account, call)).fetchone()
        return row and Entry(*row)

    def held(self, account: bytes, held: Held) -> Entry | None:
        """Give the row that an attempt holds, or held."""
        found = self.entry(account, held.call)
        if held.token and (found is None or found.token != held.token):
            return self.entry(account, spend.attempt(held.call, held.token)) or found
        return found

    def take_over(self, account: bytes, found: Entry | None, entry: Entry) -> None:
        """Keep a row that was reserved; what an earlier attempt was charged stays beside it."""
        left = spend.taken_over(found)
        if left is not None and found is not entry:
            self._ask(
                "REPLACE INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", (account, *left)
            )
            found = None
        self.put(account, found, entry)

    def put(self, account: bytes, found: Entry | None, entry: Entry) -> Entry:
        """Keep a row in place of the one that was found, and count it."""
        spent, reserved = entry.charged, entry.held
        if found is not None:
            spent, reserved = spent - found.charged, reserved - found.held
        self._ask("REPLACE INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", (account, *entry))
        if spent or reserved or found is None or found.slot != entry.slot:
            self.add(account, entry.slot, spent, reserved)
        return entry

    def add(self, account: bytes, slot: int, spent: int, reserved: int) -> None:
        """Count in a slot."""
        self._ask(
            "INSERT INTO counters VALUES (?, ?, ?, ?) ON CONFLICT (account, slot) DO UPDATE "
            "SET spent = spent + excluded.spent, reserved = reserved + excluded.reserved",
            (account, slot, spent, reserved),
        )

    def total(self, account: bytes, oldest: int) -> tuple[Total, int]:
        """Give what an account holds from a slot on, and its newest slot from there on."""
        spent, reserved, newest = self._ask(
            "SELECT SUM(spent), SUM(reserved), MAX(slot) FROM counters "
            "WHERE account = ? AND slot >= ?",
            (account, oldest),
        ).fetchone()
        return Total(spent or 0, reserved or 0), COMPACTED if newest is None else newest

    def refunded(self, account: bytes, call: str) -> int:
        """Give what was taken back of a row."""
        (charged,) = self._ask(
            "SELECT SUM(charged) FROM entries "
            "WHERE account = ? AND id > ? AND id < ? AND state = 'refund'",
            (account, f"{call}\n", f"{call}\v"),
        ).fetchone()
        return -(charged or 0)


class SqliteSpend:
    """Spend in an SQLite file; see `Spend`. Thread-safe.

    Every method that writes holds the lock of the file while it reads what it decides on.
    """

    __slots__ = ("_database",)

    _database: Database

    def reserve(self, claims: Sequence[Claim], /) -> list[Granted] | Refusal:
        """Reserve all or none of the claims; see `Spend.reserve`."""
        granted = []
        puts = []
        with self._database.write() as connection:
            book = _Book(connection)
            for place, (name, entry, cap, oldest) in enumerate(claims):
                account = name.encode()
                total, newest = book.total(account, oldest)
                found = book.entry(account, entry.id)
                left = found and book.entry(account, spend.attempt(entry.id, entry.token))
                there = spend.reserved(found, entry, was_left=left is not None)
                if there is None:
                    if newest > entry.slot:
                        return Refusal(place, total, newest)
                    if total.spent + total.reserved + entry.reserved > cap:
                        return Refusal(place, total)
                    there = entry
                puts.append((account, found, there))
                granted.append(Granted(there, *total))
            for account, found, there in puts:
                book.take_over(account, found, there)
        return granted

    def dispatch(self, held: Held, /, *, floor: int, expires: float) -> Entry:
        """Note that the call went out; see `Spend.dispatch`."""
        place = held.account.encode()
        with self._database.write() as connection:
            book = _Book(connection)
            found = book.held(place, held)
            return book.put(place, found, spend.dispatched(found, held, floor, expires))

    def settle(self, held: Held, actual: int | None, /) -> Entry:
        """Charge what the call cost; None leaves it unsettled. See `Spend.settle`."""
        place = held.account.encode()
        with self._database.write() as connection:
            book = _Book(connection)
            found = book.held(place, held)
            if actual is None:
                return book.put(place, found, spend.unsettled(found, held))
            return book.put(place, found, spend.settled(found, held, actual))

    def refund(self, account: str, call: str, refund_id: str, amount: int, /) -> Entry:
        """Take back a part of what was settled; see `Spend.refund`."""
        place, wanted = account.encode(), spend.refund_of(call, refund_id, amount)
        with self._database.write() as connection:
            book = _Book(connection)
            found, charged = book.entry(place, wanted.id), book.entry(place, call)
            entry = spend.refunded(charged, found, book.refunded(place, call), wanted)
            return book.put(place, found, entry)

    def total(self, account: str, oldest: int, /) -> Total:
        """Give what an account holds, from a slot on."""
        with self._database.read() as connection:
            return _Book(connection).total(account.encode(), oldest)[0]

    def totals(self, prefix: str, oldest: int, most: int, /) -> list[tuple[str, Total]]:
        """Give the accounts that spent the most; see `Spend.totals`."""
        query = (
            f"SELECT account, SUM(spent), SUM(reserved) FROM counters WHERE {_RANGE} "
            "AND slot >= ? GROUP BY account HAVING SUM(spent) <> 0 OR SUM(reserved) <> 0 "
            "ORDER BY SUM(spent) DESC, account LIMIT ?"
        )
        with self._database.read() as connection:
            rows = connection.execute(query, (*_range(prefix), oldest, most)).fetchall()
        return [(account.decode(), Total(*total)) for account, *total in rows]

    def entries(self, prefix: str, /) -> list[tuple[str, Entry]]:
        """Give the rows; see `Spend.entries`."""
        query = f"SELECT account, {_FIELDS} FROM entries WHERE {_RANGE} ORDER BY account, id"
        with self._database.read() as connection:
            rows = connection.execute(query, _range(prefix)).fetchall()
        return [(account.decode(), Entry(*row)) for account, *row in rows]

    def reap(self, prefix: str, now: float, /) -> int:
        """Leave unsettled what no lease holds any more; see `Spend.reap`."""
        query = (
            f"SELECT account, {_FIELDS} FROM entries WHERE {_LIVE} AND expires <= ? AND {_RANGE}"
        )
        with self._database.write() as connection:
            book = _Book(connection)
            rows = connection.execute(query, (now, *_range(prefix))).fetchall()
            for account, *row in rows:
                found = Entry(*row)
                book.put(
                    account,
                    found,
                    spend.unsettled(found, Held(account.decode(), found.id, found.token)),
                )
        return len(rows)

    def compact(self, prefix: str, before: int, /) -> int:
        """Sum up what is over; see `Spend.compact`."""
        over = f"FROM entries WHERE {_RANGE} AND slot < ? AND {_OVER}"
        bounds = (*_range(prefix), before)
        query = f"SELECT account, slot, SUM(charged) {over} GROUP BY account, slot"
        with self._database.write() as connection:
            book = _Book(connection)
            for account, slot, charged in connection.execute(query, bounds).fetchall():
                found = book.entry(account, "")
                book.put(account, found, spend.sum_of(charged + (found.charged if found else 0)))
                book.add(account, slot, -charged, 0)
            gone = connection.execute(f"DELETE {over}", bounds).rowcount
            newest = "SELECT MAX(slot) FROM counters own WHERE own.account = counters.account"
            empty = (  # but for the newest slot: it tells a clock that is behind
                f"DELETE FROM counters WHERE {_RANGE} AND slot < ? "
                f"AND spent = 0 AND reserved = 0 AND slot < ({newest})"
            )
            connection.execute(empty, bounds)
        return gone

    def reconcile(self, prefix: str, /) -> list[Difference]:
        """Count anew from the rows; see `Spend.reconcile`."""
        query = f"SELECT account, slot, spent, reserved FROM counters WHERE {_RANGE}"
        bounds = _range(prefix)
        with self._database.write() as connection:
            counted = dict(_by_slot(connection.execute(query, bounds)))
            true = dict(_by_slot(connection.execute(_TRUE, bounds)))
            connection.execute(
                f"UPDATE counters SET spent = 0, reserved = 0 WHERE {_RANGE}", bounds
            )
            for (account, slot), total in true.items():
                _Book(connection).add(account, slot, *total)
        nothing = Total(0, 0)
        return [
            Difference(
                place[0].decode(), place[1], counted.get(place, nothing), true.get(place, nothing)
            )
            for place in sorted(counted.keys() | true.keys())
            if counted.get(place, nothing) != true.get(place, nothing)
        ]


def _by_slot(rows: sqlite3.Cursor) -> Iterator[tuple[tuple[bytes, int], Total]]:
    for account, slot, spent, reserved in rows:
        yield (account, slot), Total(spent, reserved)


def _range(prefix: str) -> tuple[bytes, bytes]:
    start = prefix.encode()
    return start, start + b"\xff"  # which no UTF-8 has
