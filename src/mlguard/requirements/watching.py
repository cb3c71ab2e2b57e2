"""Drift as a check: what is seen now, beside the reference of the model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mlguard.drift.compare import Tolerance

if TYPE_CHECKING:
    from datetime import datetime

    from mlguard.drift.profile import Profile
    from mlguard.drift.reference import Reference
    from mlguard.drift.report import DriftReport
    from mlguard.requirements.sections import Drift
    from mlguard.values import Verdict


class DriftGuard:
    """Counts rows and compares them with the reference: a check. Thread-safe.

    Its profile is per process; `publish` and `gather` it for a view over many. It counts from the
    beginning on: `profile.take()` begins a new period.

    Args:
        reference: What the data looked like when the model was made.
        section: The lines.
        profile: What was counted before, if anything.

    Attributes:
        reference: As given.
        profile: What was counted.
    """

    __slots__ = ("profile", "reference", "section")

    def __init__(
        self, reference: Reference, section: Drift, *, profile: Profile | None = None
    ) -> None:
        self.reference = reference
        self.section = section
        self.profile = reference.profile() if profile is None else profile

    def observe(self, row: Mapping[str, Any], *, at: float | datetime | None = None) -> None:
        """Count a row."""
        self.profile.observe(row, at=at)

    def compare(self, current: Any = None) -> DriftReport:
        """Compare what was counted with the reference, or a frame, or another profile."""
        section = self.section
        breach = section.breach
        return self.reference.compare(
            self.profile if current is None else current,
            alpha=section.alpha,
            tolerance=Tolerance(section.metric, section.tolerance),
            breach=None if breach is None else Tolerance(section.metric, breach),
        )

    def __call__(self) -> Verdict:
        return self.compare().verdict(self.section.must_be_conclusive)
