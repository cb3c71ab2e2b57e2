"""What a service must hold, written down once, and the guards that hold it."""

from __future__ import annotations

from mlguard.requirements.mistakes import InvalidRequirements, Mistake
from mlguard.requirements.model import Requirements

__all__ = ["InvalidRequirements", "Mistake", "Requirements"]
