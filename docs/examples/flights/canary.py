"""How a candidate goes out: in stages, behind a splitter, judged every hour."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from mlguard import Guards
from production import WANTED, given

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlguard import Clock, MemoryStore, Reference
    from mlguard.rollout import RollbackEngine

PLAN: Final = given(WANTED.rollout).make()


def engine(
    version: str,
    *,
    reference: Reference,
    store: MemoryStore,
    clock: Clock,
    journal: Callable[[dict[str, Any]], None],
) -> RollbackEngine:
    """Return what judges a version against the one in production, and writes down what it is told.

    This is a rehearsal on flights of the past, so nobody is asked. In production the document asks
    for two approvals first, without which there is no engine.
    """
    guards = Guards.build(WANTED, reference=reference, store=store, clock=clock)
    return guards.rollout(version, environment="rehearsal", baseline="champion", journal=journal)
