"""What every store reads and decides alike."""

from __future__ import annotations

from typing import NamedTuple

from mlguard.arguments import refusal, whole
from mlguard.errors import StateConflict


class Lease(NamedTuple):
    """Who holds a name, and when: times in seconds of the store's clock."""

    token: int
    acquired: float
    expires: float

    def held(self, now: float) -> bool:
        """Tell whether it is held: a clock that was set back ends it early, not late."""
        return self.acquired <= now < self.expires


def following(last: int, now: float) -> int:
    """Give the next version or token, which is at least the microseconds of the clock.

    So it is a new one even where the store lost its memory, as a cache without a disk does.
    """
    return max(last + 1, int(now * 1e6))


def key_of(parameter: str, key: object) -> bytes:
    """Read a key, or the name of a lease, as UTF-8."""
    if key == "":
        raise refusal(parameter, key, "a string that is not empty")
    return prefix_of(parameter, key)


def prefix_of(parameter: str, prefix: object) -> bytes:
    """Read what keys begin with, as UTF-8, whose order is that of the strings."""
    if not isinstance(prefix, str):
        raise refusal(parameter, prefix, "a string")
    try:
        return prefix.encode()
    except UnicodeEncodeError:
        raise refusal(parameter, prefix, "a string that UTF-8 can write") from None


def data_of(data: object) -> bytes:
    """Read the data of a state."""
    if not isinstance(data, bytes):
        raise refusal("data", data, "bytes")
    return data


def version_of(if_version: object) -> int | None:
    """Read the version that must be there: None for any, 0 for none."""
    return None if if_version is None else whole("if_version", if_version)


def token_of(token: object) -> int:
    """Read the token of a lease."""
    return whole("token", token, least=1)


def conflict(key: str, wanted: int, there: int) -> StateConflict:
    """Make the error for a lost race."""
    found = f"version {there} is there" if there else "nothing is there"
    expected = f"not version {wanted}" if wanted else "and it must be new"
    return StateConflict(f"{key!r}: {found}, {expected}; load it and try again")
