"""What production asks for: `production.yaml`, read once, and its numbers by name."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Final, TypeVar

from mlguard import Requirements

T = TypeVar("T")


def given(section: T | None) -> T:
    """Return a section, or what it makes, that this document has."""
    if section is None:
        raise LookupError("production.yaml does not ask for it")
    return section


FILE: Final = Path(__file__).with_name("production.yaml")
WANTED: Final = Requirements.load(FILE)
PERFORMANCE: Final = given(WANTED.performance)
FLOOR: Final = given(PERFORMANCE.floor)
WORSE: Final = given(PERFORMANCE.not_worse_by)
LABELS_AFTER: Final = timedelta(seconds=given(PERFORMANCE.labels_after))
CAP: Final = given(given(WANTED.cost).cap)
