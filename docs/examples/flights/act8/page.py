"""Act 8 in the report."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import record
import report
from mlguard import Severity

if TYPE_CHECKING:
    from act8.trail import Trail


def body(trail: Trail) -> str:
    """Return the act's part of the page, below its headline."""
    return "".join([_approval(trail), _tampered(trail), _documents(trail), _code()])


def _approval(trail: Trail) -> str:
    rows = (
        (
            Severity.OK if each.passed else Severity.BREACH,
            (each.who, each.what, "passed" if each.passed else "stopped", each.told),
        )
        for each in trail.steps
    )
    return report.section(
        "The approval",
        "Who votes is what an authenticator says of their credential. Who asks has no vote.",
        report.moments(["Who", "What", "Came of it", "Why"], rows),
    )


def _tampered(trail: Trail) -> str:
    rows = (
        (
            Severity.WARN if each.chain else Severity.OK,
            (
                each.what,
                "not found" if each.chain else "found",
                "not found" if each.anchored else "found",
                each.told,
            ),
        )
        for each in trail.tampered
    )
    return report.section(
        "Copies that somebody changed",
        f"{trail.found}. The anchor: {trail.anchor}",
        report.moments(["What was done", "By the chain", "With the anchor", "What it says"], rows),
    )


def _documents(trail: Trail) -> str:
    shown = "".join(
        f"<details><summary>{escape(name)}</summary><pre>{escape(str(document))}</pre></details>"
        for name, document in (("The model card", trail.card), ("The runbook", trail.book))
    )
    return report.section(
        "The card and the runbook",
        "Written from the same records. What only a person can write is marked.",
        shown,
    )


def _code() -> str:
    return report.section("The rules", "All of them.", report.code(record, "PEOPLE: Final"))
