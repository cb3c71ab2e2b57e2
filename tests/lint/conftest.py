"""Two rules, findings and a report, for the tests of what is made of them."""

from __future__ import annotations

from typing import Any

import pytest

from mlguard.lint.findings import Finding, Judgement, LintReport, Rule
from mlguard.lint.patches import Operation, Patch
from mlguard.lint.read import Document, read

ROLLBACK = Rule("MLG-RB001", "no-rollback", "error", "rollback", "A bad version must go back.")
IMAGE = Rule("MLG-IM001", "image-not-pinned", "warning", "", "What runs must be known.")
FIX = Patch((Operation("add", "/rollback_on_error", value=True),))
NOW = 1_800_000_000.0  # in January 2027


class Samples:
    rollback, image, now = ROLLBACK, IMAGE, NOW

    @staticmethod
    def report(text: str = "replicas: 3\nimage: a\n", **more: Any) -> LintReport:
        """Report on one document that has no rollback and an image without a tag."""
        documents = read(text)
        (document, *_) = documents
        return Samples.of(document, **more)

    @staticmethod
    def of(*documents: Document, **more: Any) -> LintReport:
        found = [
            finding
            for each in documents
            for finding in (
                Finding(ROLLBACK, "flat", "nothing rolls back", each.place(), FIX),
                Finding(IMAGE, "flat", "the image has no tag", each.place("/image")),
            )
        ]
        judged = Judgement("rollback", "unmet", "nothing rolls back", (documents[0].place(),))
        made = {
            "judgements": (judged, Judgement("drift", "unknown", "cannot be said here")),
            "findings": tuple(found),
            "documents": documents,
            "rules": (ROLLBACK, IMAGE),
        }
        return LintReport(**(made | more))


@pytest.fixture
def samples() -> type[Samples]:
    return Samples
