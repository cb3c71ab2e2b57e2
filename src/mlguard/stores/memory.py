"""A store in the memory of one process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlguard.arguments import seconds
from mlguard.clocks import unix_clock
from mlguard.stores.memory_spend import MemorySpend
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

if TYPE_CHECKING:
    from datetime import timedelta

    from mlguard.protocols import Clock


class MemoryStore(MemorySpend):
    """A store in memory: for tests, and for one process that keeps nothing.

    Thread-safe; per process: a forked child and a copy go on alone from what they got.

    Args:
        clock: In seconds; read under the lock. Unix time that never runs backwards by default.

    Examples:
        >>> store = MemoryStore()
        >>> version = store.save("model", b"champion", if_version=0)
        >>> store.load("model") == (b"champion", version)
        True
        >>> store.save("model", b"candidate", if_version=version) > version
        True
        >>> store.save("model", b"another", if_version=version)
        Traceback (most recent call last):
        mlguard.errors.StateConflict: 'model': version ... is there, not version ...
        >>> token = store.acquire("decider", ttl=30.0)
        >>> store.acquire("decider", ttl=30.0) is None
        True
        >>> store.release("decider", token)
        True
    """

    __slots__ = ("_clock", "_last", "_leases", "_states")

    def __init__(self, *, clock: Clock | None = None) -> None:
        super().__init__()
        self._clock = unix_clock() if clock is None else clock
        self._last = 0
        self._states: dict[bytes, tuple[bytes, int]] = {}
        self._leases: dict[bytes, Lease] = {}

    def load(self, key: str) -> tuple[bytes, int] | None:
        """Give the data and the version of a key, or None where there is none."""
        return self._states.get(key_of("key", key))

    def save(self, key: str, data: bytes, *, if_version: int | None = None) -> int:
        """Write the data of a key and give its new version; see `Store.save`."""
        place, state, wanted = key_of("key", key), data_of(data), version_of(if_version)
        with self._lock:
            _, there = self._states.get(place, (b"", 0))
            if wanted not in {None, there}:
                raise conflict(key, wanted, there)
            self._last = following(self._last, self._clock())
            self._states[place] = state, self._last
            return self._last

    def keys(self, prefix: str = "") -> list[str]:
        """Give the keys that begin with a prefix, sorted."""
        start = prefix_of("prefix", prefix)
        with self._lock:
            return [key.decode() for key in sorted(self._states) if key.startswith(start)]

    def delete(self, key: str) -> None:
        """Forget a key, if it is there."""
        place = key_of("key", key)
        with self._lock:
            self._states.pop(place, None)

    def acquire(self, name: str, ttl: float | timedelta) -> int | None:
        """Take a lease for `ttl` and give its token; None while another holds it."""
        place, length = key_of("name", name), seconds("ttl", ttl)
        with self._lock:
            now = self._clock()
            lease = self._leases.get(place)
            if lease is not None and lease.held(now):
                return None
            self._last = following(self._last, now)
            self._leases[place] = Lease(self._last, now, now + length)
            return self._last

    def renew(self, name: str, token: int, ttl: float | timedelta) -> bool:
        """Hold the lease for another `ttl` from now; False if it was lost."""
        place, holder, length = key_of("name", name), token_of(token), seconds("ttl", ttl)
        with self._lock:
            now = self._clock()
            lease = self._leases.get(place)
            if lease is None or lease.token != holder or not lease.held(now):
                return False
            self._leases[place] = Lease(holder, now, now + length)
            return True

    def release(self, name: str, token: int) -> bool:
        """Give the lease back; False if it was lost."""
        place, holder = key_of("name", name), token_of(token)
        with self._lock:
            lease = self._leases.get(place)
            if lease is None or lease.token != holder:
                return False
            del self._leases[place]
            return lease.held(self._clock())
