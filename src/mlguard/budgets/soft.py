"""Soft limits: who is told once a share of a cap is spent, and that nobody is told twice."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

from mlguard.errors import StateConflict

if TYPE_CHECKING:
    from mlguard.protocols import Sink, Store
    from mlguard.stores.spend import Claim
    from mlguard.values import Decision

_logger = logging.getLogger("mlguard")


class SoftLimits:
    """Shares of a cap at which sinks are told, once in a window for all processes. Thread-safe.

    Which limits were told of stands in the store, a state for each account.

    Attributes:
        shares: Of the cap, rising.
        sinks: Who is told.
    """

    __slots__ = ("_seen", "_store", "shares", "sinks")

    def __init__(self, shares: tuple[float, ...], sinks: tuple[Sink, ...], store: Store) -> None:
        self.shares = shares
        self.sinks = sinks
        self._store = store
        self._seen: dict[str, tuple[int, int, int]] = {}

    def passed(self, claim: Claim, spent: int) -> list[float]:
        """Give the limits that are passed and that nobody told of in this window; now we do.

        A cap that was changed has limits of its own.
        """
        account, cap = claim.account, claim.cap
        passed = [each for each in self.shares if spent >= each * cap]
        seen = claim.oldest, cap, len(passed)
        if not self.sinks or self._seen.get(account) == seen:
            return []
        self._seen[account] = seen
        return [each for each in passed if self._first(claim, f"{each} of {cap}")]

    def forget(self, account: str) -> None:
        """Remember no more what this process saw of an account; the store still does."""
        self._seen.pop(account, None)

    def _first(self, claim: Claim, limit: str) -> bool:
        """Note that this limit is told of, and tell whether it was not before."""
        place = f"cost/{claim.account}/soft"
        try:
            while True:
                found = self._store.load(place)
                told: dict[str, int] = json.loads(found[0]) if found else {}
                if told.get(limit, claim.oldest - 1) >= claim.oldest:
                    return False
                told = {each: slot for each, slot in told.items() if slot >= claim.oldest}
                note = json.dumps(told | {limit: claim.entry.slot})
                try:
                    self._store.save(place, note.encode(), if_version=found[1] if found else 0)
                except StateConflict:
                    continue
                return True
        except Exception:
            _logger.exception("%s: a soft limit could not be noted", place)
            return True  # twice is better than never

    def tell(self, decision: Decision) -> None:
        """Give a decision to each sink; one that fails is logged, for the money is spent anyway."""
        for sink in self.sinks:
            try:
                sink(decision)
            except Exception:
                _logger.exception("a sink failed")
