"""Is the canary worse than the baseline? Evidence that holds at any look, and what follows."""

from __future__ import annotations

from mlguard.rollout.acting import Acting, Actuator, Move
from mlguard.rollout.assignment import Splitter
from mlguard.rollout.engine import RollbackEngine
from mlguard.rollout.plan import BlastRadius, Guardrail, RollbackPlan
from mlguard.rollout.replay import replay
from mlguard.rollout.router import Router

__all__ = [
    "Acting",
    "Actuator",
    "BlastRadius",
    "Guardrail",
    "Move",
    "RollbackEngine",
    "RollbackPlan",
    "Router",
    "Splitter",
    "replay",
]
