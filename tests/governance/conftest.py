"""People, a request they agree on, and approvals in a store."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from mlguard import ApprovalRequest, Approvals, MemoryStore, Principal, Quorum, Store
from mlguard.testing import ManualClock

NOW, KEY = 1_900_000_000.0, b"a key of at least sixteen bytes"
PEOPLE = {
    f"token-{name}": Principal(name, roles)
    for name, roles in {
        "ada": ("risk",),
        "bo": ("platform",),
        "cy": ("risk", "platform"),
        "di": (),
    }.items()
}
"""By credential; cy is who asks."""


@dataclass
class World:
    """Approvals of a request that needs ada and bo, with everything about them at hand."""

    store: Store = field(default_factory=MemoryStore)
    clock: ManualClock = field(default_factory=lambda: ManualClock(NOW))
    told: list[Any] = field(default_factory=list)

    def approvals(self, **settings: Any) -> Approvals:
        given = {
            "authenticate": PEOPLE.get,
            "quorum": Quorum(2, roles=("risk", "platform")),
            "key": KEY,
            "record": self.told.append,
            "clock": self.clock,
        }
        name = settings.pop("name", "eta")
        return Approvals(name, settings.pop("store", self.store), **{**given, **settings})

    def request(self, **fields: Any) -> ApprovalRequest:
        given = {
            "subject_digest": "sha256:5e",
            "action": "deploy",
            "environment": "production",
            "policy_digest": "json:0c",
            "evidence_digest": "sha256:1d",
            "requester": "cy",
            "expires": NOW + 3600.0,
        }
        return ApprovalRequest(**{**given, **fields})

    def approved(self, approvals: Approvals, **fields: Any) -> ApprovalRequest:
        request = self.request(**fields)
        approvals.submit(request, "token-cy")
        for name in ("ada", "bo"):
            approvals.approve(request, f"token-{name}")
        return request

    def now(self, request: ApprovalRequest, **other: Any) -> dict[str, Any]:
        """Give what is the case where exactly the request is about to be done."""
        names = ("action", "environment", "policy_digest", "subject_digest")
        return {**{name: getattr(request, name) for name in names}, **other}


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def make_world() -> type[World]:
    return World
