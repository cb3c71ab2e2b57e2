"""What takes a document's place, and what came of it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlguard.arguments import refusal
from mlguard.requirements.model import Requirements

if TYPE_CHECKING:
    from mlguard.requirements.build import Running


@dataclass(frozen=True, slots=True)
class ReloadReport:
    """What a reload did. Immutable.

    Attributes:
        applied: Whether the new document runs now.
        before: Digest of the document that ran.
        after: Digest of the new one; empty where it could not be read.
        kept: Names of what went on with what it had counted.
        begun: Names of what began anew, and why.
        dropped: Names of what the new document does not ask for.
        error: Why the old document still runs; empty if it does not.
    """

    applied: bool
    before: str
    after: str = ""
    kept: tuple[str, ...] = ()
    begun: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    error: str = ""

    def __str__(self) -> str:
        if not self.applied:
            return f"refused, {self.before} still runs:\n{self.error}"
        parts = {"kept": self.kept, "begun": self.begun, "dropped": self.dropped}
        said = [f"{word} {', '.join(names)}" for word, names in parts.items() if names]
        return "; ".join(said) or "nothing changed"


_UNJUDGED = ("respond", "rollout", "approvals")
"""The sections that no verdict is named after."""


def applied(before: Running, running: Running) -> ReloadReport:
    """Say what became of what ran before."""
    old, new = before.wanted, running.wanted
    begun = list(running.begun)
    if new.rollout != old.rollout and new.rollout is not None:
        begun.append("rollout: its plan holds for engines made from now on")
    if new.approvals != old.approvals and new.approvals:
        begun.append("approvals: they hold for engines made from now on")
    if new.performance != old.performance and new.performance is not None:
        begun.append("performance: its limits hold for what is judged from now on")
    sections = {name for name in _UNJUDGED if getattr(old, name) and not getattr(new, name)}
    return ReloadReport(
        applied=True,
        before=old.digest,
        after=new.digest,
        kept=running.kept,
        begun=tuple(begun),
        dropped=tuple(sorted(old.judged - new.judged | sections)),
    )


def read(requirements: Any) -> Requirements:
    """Read a document, wherever it stands."""
    if isinstance(requirements, Requirements):
        return requirements
    if isinstance(requirements, Mapping):
        return Requirements.model_validate(requirements)
    if isinstance(requirements, str | os.PathLike):
        return Requirements.load(requirements)
    raise refusal("requirements", requirements, "Requirements, a mapping, or a path")
