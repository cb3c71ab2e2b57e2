"""How a candidate goes out: in stages, behind a splitter, judged every hour."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from mlguard.rollout import BlastRadius, Guardrail, RollbackEngine, RollbackPlan

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlguard import Clock

DAY: Final = 86_400.0

PLAN: Final = RollbackPlan(
    [0.05, 0.1, 0.25, 0.5],
    guardrails=[
        Guardrail(
            "wrong", margin=1.1, ceiling=0.6
        ),  # the flight was late and was not said to be, or not
        Guardrail("no board", margin=1.5, ceiling=0.3),  # answered without the departure board
    ],
    blast_radius=BlastRadius(requests=15_000),
    bake=2 * DAY,
)


def engine(version: str, clock: Clock, journal: Callable[[dict[str, Any]], None]) -> RollbackEngine:
    """Return what judges a version against the one in production, and writes down what it is told."""
    subject = {"service": "late-flights", "version": version}
    return RollbackEngine(PLAN, subject=subject, baseline="champion", clock=clock, journal=journal)
