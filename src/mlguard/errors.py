"""The exceptions of mlguard: one root, each also the fitting builtin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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
    """A reservation would take the spend over its cap. The message says all of it.

    Attributes:
        budget: Name of the budget that refused.
        key: Who was to pay, where there is a cap for each.
        requested: What was to be reserved, as `Money`.
        spent: What has been spent in the window; None where the store did not answer.
        reserved: What calls under way keep; None likewise.
        cap: What may be spent.
        window: A `Window`, in Unix seconds.
        retry_after: Seconds after which it may pass; None where waiting does not help.
    """

    def __init__(self, message: str, **facts: Any) -> None:
        super().__init__(message)
        self.budget: str = facts.get("budget", "")
        self.key: str | None = facts.get("key")
        self.requested: Any = facts.get("requested")
        self.spent: Any = facts.get("spent")
        self.reserved: Any = facts.get("reserved")
        self.cap: Any = facts.get("cap")
        self.window: Any = facts.get("window")
        self.retry_after: float | None = facts.get("retry_after")


class UnknownCost(MlguardError, LookupError):  # noqa: N818 -- reads as what happened
    """What a call has cost cannot be told; the message says what is missing and what is known.

    Never read it as nothing: charge what was reserved for the call.
    """


class StateConflict(MlguardError):  # noqa: N818 -- reads as what happened
    """Another process saved the same state first; load it again and retry."""


class LedgerCorrupted(MlguardError):  # noqa: N818 -- reads as what happened
    """A ledger does not read back as it was written."""


class MissingDependencyError(MlguardError, ImportError):
    """An optional dependency is not installed; the message names the extra that brings it."""
