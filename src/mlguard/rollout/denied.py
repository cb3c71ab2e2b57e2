"""What was rolled back stays back for a while, also where another process asks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from mlguard.arguments import finite, seconds, subject_of
from mlguard.clocks import unix_clock
from mlguard.policies.episodes import digest
from mlguard.records import iso
from mlguard.values import Action, Decision, Severity, Verdict

if TYPE_CHECKING:
    from datetime import timedelta

    from mlguard.protocols import Check, Clock, Store


class DenyList:
    """Remembers which candidates were rolled back, and keeps them from going out again at once.

    It is a sink of a `RollbackEngine`: a ROLLBACK is written into the store. `allows` is the check
    to ask before a candidate starts, wherever that is. Somebody who knows better waives it, with
    `mlguard.waived`, and that is on record. Thread-safe; shared by all processes with that store.

    Args:
        store: Where it is kept.
        cooldown: How long a candidate stays back, seconds or a timedelta; a day by default.
        clock: Of Unix seconds, `mlguard.clocks.unix_clock()` when not given.

    Raises:
        ConfigurationError: `cooldown` is not positive.

    Examples:
        >>> from mlguard import Action, Decision, MemoryStore
        >>> from mlguard.rollout import DenyList
        >>> from mlguard.testing import ManualClock
        >>> clock = ManualClock(1_700_000_000)
        >>> deny = DenyList(MemoryStore(), clock=clock)
        >>> candidate = {"service": "eta", "version": "7"}
        >>> deny(Decision(Action.ROLLBACK, "too many errors", subject=candidate, at=clock()))
        >>> print(deny.allows(candidate)().reason)
        rolled back on 2023-11-14T22:13:20Z: too many errors; stays back until 2023-11-15T22:13:20Z
        >>> clock.advance(86_400)
        >>> deny.allows(candidate)().ok
        True
    """

    __slots__ = ("clock", "cooldown", "store")

    def __init__(
        self,
        store: Store,
        *,
        cooldown: float | timedelta = 86_400.0,
        clock: Clock | None = None,
    ) -> None:
        self.store = store
        self.cooldown = seconds("cooldown", cooldown)
        self.clock: Clock = clock or unix_clock()

    def __call__(self, decision: Decision) -> None:
        """Write a ROLLBACK down; other decisions are passed over."""
        if decision.action is not Action.ROLLBACK:
            return
        at = self.clock() if decision.at is None else decision.at
        record = {"at": at, "reason": decision.reason, "subject": dict(decision.subject)}
        self.store.save(_place(decision.subject), json.dumps(record).encode())

    def allows(self, subject: Mapping[str, str | int]) -> Check:
        """Make the check whether a candidate may go out.

        BREACH for as long as it stays back. What the store raises passes through, and whoever asks
        a check makes UNKNOWN of it.

        Args:
            subject: As in the engine that may have rolled it back; with which baseline it was
                compared makes no difference.

        Raises:
            ConfigurationError: `subject` is no flat mapping.
        """
        about = subject_of(subject)
        place = _place(about)

        def allowed() -> Verdict:
            now = finite("clock()", self.clock())
            found = self.store.load(place)
            record = None if found is None else json.loads(found[0])
            if record is None or now >= record["at"] + self.cooldown:
                reason = f"not rolled back in the last {self.cooldown:g} s"
                return Verdict("allowed", Severity.OK, reason, subject=about)
            until = iso(record["at"] + self.cooldown)
            reason = f"rolled back on {iso(record['at'])}: {record['reason']}"
            stays = f"{reason}; stays back until {until}"
            return Verdict("allowed", Severity.BREACH, stays, subject=about)

        return allowed


def _place(subject: Mapping[str, str]) -> str:
    candidate = {key: value for key, value in subject.items() if key != "baseline"}
    return f"rollout/denied/{digest(candidate)}"
