"""The types through which everything composes. Any object of the right shape fits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Protocol, TypeAlias

from mlguard.values import Decision, Measurement, Verdict

Check: TypeAlias = Callable[[], Verdict]
"""Yields a verdict when asked. Detectors, budgets, canaries and approvals all end in one."""

Measure: TypeAlias = Callable[[], Measurement | Sequence[Measurement]]
"""Yields one measurement, or several that are judged alike."""

Policy: TypeAlias = Callable[[Measurement], Verdict]
"""Judges one measurement."""

Sink: TypeAlias = Callable[[Decision], object]
"""Takes a decision somewhere: a ledger, a pager, an action."""

Clock: TypeAlias = Callable[[], float]
"""Tells the time in seconds."""


class Meter(Protocol):
    """Observes and measures; how it observes is its own affair."""

    def measure(self) -> Measurement | Sequence[Measurement]:
        """Give the current measurement, or several. Asking changes nothing."""
        ...


class Store(Protocol):
    """Keeps states and leases that processes share. Each method is atomic, from any process.

    `mlguard.testing.check_store` is the conformance suite for a store of your own.
    """

    def load(self, key: str) -> tuple[bytes, int] | None:
        """Give the data and the version of a key, or None where there is none."""
        ...

    def save(self, key: str, data: bytes, *, if_version: int | None = None) -> int:
        """Write the data of a key and give its new version, which no key had before.

        Args:
            key: Of the state.
            data: The state.
            if_version: The version that must still be there; 0 if there must be none. None writes
                over whatever is there.

        Raises:
            StateConflict: Another version is there; nothing was written.
        """
        ...

    def keys(self, prefix: str = "") -> list[str]:
        """Give the keys that begin with a prefix, sorted."""
        ...

    def delete(self, key: str) -> None:
        """Forget a key, if it is there."""
        ...

    def acquire(self, name: str, ttl: float | timedelta) -> int | None:
        """Take a lease for `ttl`; None while another holds it.

        The token grows with every holder, for ever: whatever the holder writes to can refuse a
        late one by it (a fencing token).
        """
        ...

    def renew(self, name: str, token: int, ttl: float | timedelta) -> bool:
        """Hold the lease for another `ttl` from now; False if it was lost."""
        ...

    def release(self, name: str, token: int) -> bool:
        """Give the lease back; False if it was lost."""
        ...
