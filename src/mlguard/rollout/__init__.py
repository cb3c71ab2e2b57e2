"""Is the canary worse than the baseline? Evidence that holds at any look, and what follows."""

from __future__ import annotations

from mlguard.rollout.acting import Acting, Actuator, Move
from mlguard.rollout.assignment import Splitter
from mlguard.rollout.denied import DenyList
from mlguard.rollout.engine import RollbackEngine
from mlguard.rollout.foresight import Foresight, foresee
from mlguard.rollout.guardrails import Guardrail
from mlguard.rollout.plan import BlastRadius, RollbackPlan
from mlguard.rollout.replay import replay
from mlguard.rollout.router import Router
from mlguard.rollout.timeline import timeline_html

__all__ = [
    "Acting",
    "Actuator",
    "BlastRadius",
    "DenyList",
    "Foresight",
    "Guardrail",
    "Move",
    "RollbackEngine",
    "RollbackPlan",
    "Router",
    "Splitter",
    "foresee",
    "replay",
    "timeline_html",
]
