"""One SQLite file and the connection to it: threads, processes, forks, versions of the schema."""

from __future__ import annotations

import os
import sqlite3
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mlguard.arguments import refusal
from mlguard.locks import Locked

_PATIENCE = 10.0
"""Seconds that a transaction waits for another process, before `sqlite3.OperationalError`."""

_STEPS = (
    (  # keys are UTF-8 bytes, since a text of SQLite ends at a NUL in some places
        "CREATE TABLE counter (last INTEGER NOT NULL)",
        "INSERT INTO counter VALUES (0)",
        "CREATE TABLE states (key BLOB PRIMARY KEY, data BLOB NOT NULL, version INTEGER NOT NULL)",
        """CREATE TABLE leases (name BLOB PRIMARY KEY, token INTEGER NOT NULL,
                                acquired REAL NOT NULL, expires REAL NOT NULL)""",
        """CREATE TABLE entries (account BLOB NOT NULL, id TEXT NOT NULL, slot INTEGER NOT NULL,
                                 reserved INTEGER NOT NULL, state TEXT NOT NULL,
                                 charged INTEGER NOT NULL, floor INTEGER NOT NULL,
                                 expires REAL NOT NULL, on_unsettled TEXT NOT NULL,
                                 token TEXT NOT NULL,
                                 PRIMARY KEY (account, id)) WITHOUT ROWID""",
        """CREATE INDEX leased ON entries (account, expires)
           WHERE state IN ('open', 'dispatched')""",
        """CREATE TABLE counters (account BLOB NOT NULL, slot INTEGER NOT NULL,
                                  spent INTEGER NOT NULL CHECK (typeof(spent) = 'integer'),
                                  reserved INTEGER NOT NULL CHECK (typeof(reserved) = 'integer'),
                                  PRIMARY KEY (account, slot)) WITHOUT ROWID""",
    ),
)
"""What makes each version of the schema of the one before; a file's is its `user_version`."""


class Database(Locked):
    """An SQLite file with our tables in it. Thread-safe: the threads of a process take turns.

    Safe to fork: it is closed before a fork, and opened again by the next transaction.
    """

    __slots__ = ("_connection", "path")

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__()
        self._connection: sqlite3.Connection | None = None
        self.path = _path_of(path)
        with _forking:
            _databases.add(self)
        with self.read():
            pass  # what is wrong with it is said here

    def __reduce__(self) -> tuple[Any, ...]:
        return Database, (self.path,)

    def __del__(self) -> None:
        connection: sqlite3.Connection | None = getattr(self, "_connection", None)
        if connection is not None:
            connection.close()

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """Open the file to read from it."""
        with self._lock:
            if self._connection is None:
                self._connection = _connect(self.path)
            yield self._connection

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """Lock the file to write to it: what is read inside still holds when it is written."""
        with self.read() as connection, connection:  # leaving it commits, or rolls back
            connection.execute("BEGIN IMMEDIATE")
            yield connection

    def close(self) -> None:
        """Close the file, until the next transaction."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _path_of(path: str | os.PathLike[str]) -> Path:
    allowed = "that of a file in a folder that is there"
    if not isinstance(path, str | os.PathLike) or path in {"", ":memory:"} or "\0" in str(path):
        raise refusal("path", path, allowed)
    file = Path(path).absolute()  # the process may change its folder before it opens it again
    if file.is_dir() or not file.parent.is_dir():
        raise refusal("path", path, allowed)
    return file


def _connect(path: Path) -> sqlite3.Connection:
    connection = None
    try:
        connection = sqlite3.connect(
            path, timeout=_PATIENCE, isolation_level=None, check_same_thread=False
        )
        _use_wal(connection)
        connection.execute("PRAGMA synchronous = NORMAL")
        _upgrade(connection)
    except Exception as error:
        error.add_note(f"path = {str(path)!r}")
        if connection is not None:
            connection.close()
        raise
    return connection


def _use_wal(connection: sqlite3.Connection) -> None:
    """Let readers and one writer work at once: a property of the file, set when it is new."""
    for left in reversed(range(100)):
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError:
            if not left:
                raise
        else:
            return
        connection.execute("BEGIN IMMEDIATE")  # waits for who sets it now, as that does not
        connection.execute("ROLLBACK")


def _upgrade(connection: sqlite3.Connection) -> None:
    if _schema(connection) == len(_STEPS):
        return
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        there = _schema(connection)
        if there > len(_STEPS):
            raise refusal("path", f"schema {there}", f"a file of schema {len(_STEPS)} or older")
        for step in _STEPS[there:]:
            for statement in step:
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {len(_STEPS)}")


def _schema(connection: sqlite3.Connection) -> int:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)


# A connection must not pass a fork, not even unused: SQLite would believe that the child holds the
# locks on the file as well, and another process could remove the log that the child writes to. Nor
# may a thread be inside SQLite, whose own locks nobody would release in the child.

_databases: weakref.WeakSet[Database] = weakref.WeakSet()
_forking = threading.Lock()  # also while a database is added: it cannot be opened before
_held: list[Database] = []


def _before_fork() -> None:
    _forking.acquire()
    _held.extend(_databases)
    for database in _held:
        database._lock.acquire()  # noqa: SLF001 -- waits for the end of a transaction
        database._close()  # noqa: SLF001


def _after_fork_in_parent() -> None:
    for database in _held:
        database._lock.release()  # noqa: SLF001
    _held.clear()
    _forking.release()


def _after_fork_in_child() -> None:
    _held.clear()  # their locks are new ones
    _forking.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork_in_parent,
        after_in_child=_after_fork_in_child,
    )
