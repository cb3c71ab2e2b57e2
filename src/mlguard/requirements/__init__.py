"""What a service must hold, written down once, and the guards that hold it."""

from __future__ import annotations

from mlguard.requirements.guards import Guards
from mlguard.requirements.mistakes import InvalidRequirements, Mistake
from mlguard.requirements.model import Requirements
from mlguard.requirements.reloading import ReloadReport
from mlguard.requirements.watching import DriftGuard

__all__ = [
    "DriftGuard",
    "Guards",
    "InvalidRequirements",
    "Mistake",
    "ReloadReport",
    "Requirements",
]
