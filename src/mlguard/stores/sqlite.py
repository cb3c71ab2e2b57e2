"""A store in a file, for the processes of one machine."""

from __future__ import annotations

import os
import sqlite3
import time
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from mlguard.arguments import seconds
from mlguard.stores.database import Database
from mlguard.stores.rules import (
    Lease,
    conflict,
    data_of,
    following,
    key_of,
    prefix_of,
    token_of,
    version_of,
)
from mlguard.stores.sqlite_spend import SqliteSpend

if TYPE_CHECKING:
    from datetime import timedelta

    from mlguard.protocols import Clock


class SqliteStore(SqliteSpend):
    """A store in an SQLite file, which any number of processes of one machine share.

    Thread-safe, and safe to fork: the file is closed before a fork and opened again when needed.
    The threads of a process take turns, and so do the processes that write; one that has waited for
    ten seconds gets `sqlite3.OperationalError`. A killed process leaves the state before or after
    its save. So does a power cut, which may also undo the last saves; their versions and tokens,
    which follow the clock, are not given out again.

    Leases go by the wall clock, the one that all processes read alike, and are held while
    acquired <= now < expires. A clock set back ends them early, and so does one set ahead: the
    token then tells who is late.

    Args:
        path: Of the file, on a local disk; made where there is none. While it is open there are
            two more beside it, `-wal` and `-shm`.
        clock: Unix seconds, the same in every process; read while the file is locked.

    Raises:
        ConfigurationError: `path` is not that of a file in a folder that is there, or a newer
            mlguard wrote the file.
        sqlite3.DatabaseError: The file cannot be opened, or is none of SQLite's.

    Examples:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     store, other = SqliteStore(f"{folder}/guard.db"), SqliteStore(f"{folder}/guard.db")
        ...     version = store.save("model", b"champion", if_version=0)
        ...     print(other.load("model") == (b"champion", version), other.keys("mo"))
        ...     token = store.acquire("decider", ttl=30.0)
        ...     print(other.acquire("decider", ttl=30.0), store.release("decider", token))
        ...     store.close()
        ...     other.close()
        True ['model']
        None True
    """

    __slots__ = ("__weakref__", "_clock")

    def __init__(self, path: str | os.PathLike[str], *, clock: Clock = time.time) -> None:
        self._clock = clock
        self._database = Database(path)

    def __repr__(self) -> str:
        return f"SqliteStore({str(self._database.path)!r})"

    def load(self, key: str) -> tuple[bytes, int] | None:
        """Give the data and the version of a key, or None where there is none."""
        place = key_of("key", key)
        with self._database.read() as connection:
            row = _first(connection, "SELECT data, version FROM states WHERE key = ?", place)
        return row and (row[0], row[1])

    def save(self, key: str, data: bytes, *, if_version: int | None = None) -> int:
        """Write the data of a key and give its new version; see `Store.save`."""
        place, state, wanted = key_of("key", key), data_of(data), version_of(if_version)
        with self._database.write() as connection:
            (there,) = _first(connection, "SELECT version FROM states WHERE key = ?", place) or (0,)
            if wanted not in {None, there}:
                raise conflict(key, wanted, there)
            version = _number(connection, self._clock())
            connection.execute("REPLACE INTO states VALUES (?, ?, ?)", (place, state, version))
        return version

    def keys(self, prefix: str = "") -> list[str]:
        """Give the keys that begin with a prefix, sorted."""
        start = prefix_of("prefix", prefix)
        query = "SELECT key FROM states WHERE key >= ? ORDER BY key"
        with self._database.read() as connection:
            rows = connection.execute(query, (start,))
            found = takewhile(lambda row: row[0].startswith(start), rows)
            return [key.decode() for (key,) in found]

    def delete(self, key: str) -> None:
        """Forget a key, if it is there."""
        place = key_of("key", key)
        with self._database.write() as connection:
            connection.execute("DELETE FROM states WHERE key = ?", (place,))

    def acquire(self, name: str, ttl: float | timedelta) -> int | None:
        """Take a lease for `ttl` and give its token; None while another holds it."""
        place, length = key_of("name", name), seconds("ttl", ttl)
        with self._database.write() as connection:
            now = self._clock()
            lease = _lease(connection, place)
            if lease is not None and lease.held(now):
                return None
            token = _number(connection, now)
            _hold(connection, place, Lease(token, now, now + length))
        return token

    def renew(self, name: str, token: int, ttl: float | timedelta) -> bool:
        """Hold the lease for another `ttl` from now; False if it was lost."""
        place, holder, length = key_of("name", name), token_of(token), seconds("ttl", ttl)
        with self._database.write() as connection:
            now = self._clock()
            lease = _lease(connection, place)
            if lease is None or lease.token != holder or not lease.held(now):
                return False
            _hold(connection, place, Lease(holder, now, now + length))
        return True

    def release(self, name: str, token: int) -> bool:
        """Give the lease back; False if it was lost."""
        place, holder = key_of("name", name), token_of(token)
        with self._database.write() as connection:
            lease = _lease(connection, place)
            if lease is None or lease.token != holder:
                return False
            connection.execute("DELETE FROM leases WHERE name = ?", (place,))
            return lease.held(self._clock())

    def close(self) -> None:
        """Close the file; the next operation opens it again."""
        self._database.close()


def _first(connection: sqlite3.Connection, query: str, place: bytes) -> tuple[Any, ...] | None:
    row: tuple[Any, ...] | None = connection.execute(query, (place,)).fetchone()
    return row


def _lease(connection: sqlite3.Connection, place: bytes) -> Lease | None:
    row = _first(connection, "SELECT token, acquired, expires FROM leases WHERE name = ?", place)
    return None if row is None else Lease(*row)


def _hold(connection: sqlite3.Connection, place: bytes, lease: Lease) -> None:
    connection.execute("REPLACE INTO leases VALUES (?, ?, ?, ?)", (place, *lease))


def _number(connection: sqlite3.Connection, now: float) -> int:
    (last,) = connection.execute("SELECT last FROM counter").fetchone()
    number = following(last, now)
    connection.execute("UPDATE counter SET last = ?", (number,))
    return number
