"""The exceptions of mlguard: one root, each also the fitting builtin."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlguard.values import Verdict


class MlguardError(Exception):
    """Root of every exception that mlguard raises on purpose."""


class ConfigurationError(MlguardError, ValueError):
    """An argument is not usable; the message names it, its value and what is allowed."""


class _GuardError(MlguardError):
    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict)
        self.verdict = verdict

    def __str__(self) -> str:
        return self.verdict.explain()


class GuardBreached(_GuardError):  # noqa: N818 -- reads as what happened: `except GuardBreached`
    """A check breached. `verdict` is the whole tree; the message is its explanation."""


class GuardUnknown(_GuardError):  # noqa: N818 -- reads as what happened: `except GuardUnknown`
    """A check could not judge, so the gate has not passed. `verdict` says what was missing."""


class BudgetExceeded(MlguardError):  # noqa: N818 -- reads as what happened
    """A reservation would take the spend over its cap."""


class StateConflict(MlguardError):  # noqa: N818 -- reads as what happened
    """Another process saved the same state first; load it again and retry."""


class LedgerCorrupted(MlguardError):  # noqa: N818 -- reads as what happened
    """A ledger does not read back as it was written."""


class MissingDependencyError(MlguardError, ImportError):
    """An optional dependency is not installed; the message names the extra that brings it."""
