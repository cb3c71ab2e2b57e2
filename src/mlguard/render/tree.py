"""A verdict in words: an indented tree, a line for each cause."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlguard.render import text
from mlguard.values import Verdict, Waiver

if TYPE_CHECKING:
    from collections.abc import Iterator


def explain(verdict: Verdict) -> str:
    """Write a verdict as an indented tree: severity, name, subject and reason on each line."""
    lines = (" ".join(line.splitlines()) for line in _lines(verdict, ""))
    return "\n".join(text.visible(line).replace("\t", "\\t") for line in lines)


def _lines(cause: Verdict | Waiver, indent: str) -> Iterator[str]:
    if isinstance(cause, Waiver):
        yield f"{indent}{'WAIVER':<8}{cause}"
        return
    subject = "".join(f" {key}={value}" for key, value in cause.subject.items())
    named = cause.reason.startswith(f"{cause.name} = ") and not subject
    head = "" if named else f"{cause.name}{subject}: "
    yield f"{indent}{cause.severity.name:<8}{head}{cause.reason}"
    for inner in cause.causes:
        yield from _lines(inner, indent + "  ")
