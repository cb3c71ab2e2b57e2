"""Events that come in bunches, one user's retries, counted once each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mlguard.rollout.assignment import Splitter

_MOST = 100_000
"""Places that are remembered; above that, every second cluster is left out from then on."""

_PLACES = Splitter("mlguard.rollout.clusters")
"""Of its own salt: which clusters are left out says nothing about their arm."""


class Clusters:
    """Which clusters were seen, and which had their first event. Not thread-safe.

    A cluster is at risk in an interval if it was active in it and had no event of a guardrail
    before, in either arm. Memory is bounded: when too many are remembered, those in one half of
    the hash space are forgotten and count no more, so the rest are a random part of all.

    Attributes:
        names: Of the guardrails.
        failed: Of each cluster with an event, bit by bit, of which guardrails.
        active: By interval and arm, who was seen.
        exposed: Who was seen in the canary.
        part: Of the hash space, 0 to 1, that is kept.
    """

    __slots__ = ("active", "exposed", "failed", "names", "part")

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self.failed: dict[float, int] = {}
        self.active: dict[str, tuple[set[float], set[float]]] = {}
        self.exposed: set[float] = set()
        self.part = 1.0

    @property
    def users(self) -> int:
        """How many clusters the canary answered; an estimate once some are left out."""
        return round(len(self.exposed) / self.part)

    def first(
        self, interval: str, place: int, key: str | int, events: Mapping[str, int]
    ) -> tuple[dict[str, int], dict[str, int]]:
        """Take in a report of one cluster; give where it is newly at risk, and its first events."""
        where = _PLACES.place(key)
        if where >= self.part:
            return {}, {}
        if place == 0:
            self.exposed.add(where)
        seen = self.active.setdefault(interval, (set(), set()))[place]
        before = self.failed.get(where, 0)
        fresh = {name: 1 << row for row, name in enumerate(self.names) if not before >> row & 1}
        trials = {} if where in seen else dict.fromkeys(fresh, 1)
        seen.add(where)
        found = {name: 1 for name in fresh if events.get(name)}
        if found:
            self.failed[where] = before | sum(fresh[name] for name in found)
        if self._remembered() > _MOST:
            self._halve()
        return trials, found

    def keep(self, intervals: Mapping[str, object]) -> None:
        """Forget who was active in other intervals than these."""
        self.active = {name: seen for name, seen in self.active.items() if name in intervals}

    def _remembered(self) -> int:
        active = sum(len(arm) for arms in self.active.values() for arm in arms)
        return len(self.failed) + len(self.exposed) + active

    def _halve(self) -> None:
        self.part /= 2.0
        self.failed = {at: mask for at, mask in self.failed.items() if at < self.part}
        self.exposed = {at for at in self.exposed if at < self.part}
        for arms in self.active.values():
            for arm in arms:
                arm.difference_update([at for at in arm if at >= self.part])

    def to_dict(self) -> dict[str, Any]:
        """Give plain JSON."""
        return {
            "failed": [[at, mask] for at, mask in sorted(self.failed.items())],
            "active": {name: [sorted(arm) for arm in arms] for name, arms in self.active.items()},
            "exposed": sorted(self.exposed),
            "part": self.part,
        }

    @classmethod
    def from_dict(cls, record: Mapping[str, Any], names: Sequence[str]) -> Clusters:
        """Read what `to_dict` wrote."""
        found = cls(names)
        found.failed = {float(at): int(mask) for at, mask in record["failed"]}
        found.active = {
            name: (set(canary), set(baseline))
            for name, (canary, baseline) in record["active"].items()
        }
        found.exposed = set(record["exposed"])
        found.part = float(record["part"])
        return found
