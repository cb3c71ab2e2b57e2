"""Has the data changed? Counts in cells fixed by a reference, and tests that do not cry wolf."""

from __future__ import annotations

from mlguard.drift.compare import js, ks, psi
from mlguard.drift.history import history_html
from mlguard.drift.injected import Injection, scaled, shifted, vanished
from mlguard.drift.profile import Profile, Sampled
from mlguard.drift.quality import Quality
from mlguard.drift.reference import Reference
from mlguard.drift.report import ColumnReport, DriftReport

__all__ = [
    "ColumnReport",
    "DriftReport",
    "Injection",
    "Profile",
    "Quality",
    "Reference",
    "Sampled",
    "history_html",
    "js",
    "ks",
    "psi",
    "scaled",
    "shifted",
    "vanished",
]
