"""The suite for stores catches each way to be bad."""

from __future__ import annotations

import threading
from collections.abc import Callable
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from mlguard import ConfigurationError, MemoryStore, SqliteStore, StateConflict, Store
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
