"""Whether configs meet the requirements, before anything is deployed."""

from __future__ import annotations

from mlguard.lint.findings import Finding, Judgement, LintReport, Place, Rule
from mlguard.lint.linting import lint
from mlguard.lint.patches import Operation, Patch
from mlguard.lint.read import Document, read
from mlguard.lint.trees import Unknown

__all__ = [
    "Document",
    "Finding",
    "Judgement",
    "LintReport",
    "Operation",
    "Patch",
    "Place",
    "Rule",
    "Unknown",
    "lint",
    "read",
]
