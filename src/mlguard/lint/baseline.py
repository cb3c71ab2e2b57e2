"""The findings that stood when the linter came: known, so that only new ones count."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from mlguard.arguments import refusal
from mlguard.lint.findings import LintReport, fingerprints
from mlguard.lint.read import UNREADABLE
from mlguard.records import inner


def baseline(report: LintReport) -> dict[str, Any]:
    """Give the record of all findings that count, as plain JSON.

    A finding is known by its rule, file and pointer, not by its line.
    """
    named = zip(fingerprints(report.findings), report.findings, strict=True)
    findings = [
        {
            "fingerprint": name,
            "rule": each.rule.id,
            "file": each.place.file,
            "pointer": each.place.pointer,
        }
        for name, each in named
        if each.level != "info" and each.rule != UNREADABLE
    ]
    return {"kind": "baseline", "schema": 1, "findings": findings}


def known(report: LintReport, record: Mapping[str, Any]) -> LintReport:
    """Mark the findings that stand in a baseline.

    A file that does not read is never known: nobody has seen what stands in it.

    Raises:
        ConfigurationError: `record` is not what `baseline` gave.
    """
    kind, schema = record.get("kind"), record.get("schema")
    if (kind, schema) != ("baseline", 1):
        raise refusal("baseline", (kind, schema), "the record of a baseline, in schema 1")
    names = {
        each.get("fingerprint") for each in inner(record, "findings") if isinstance(each, dict)
    }
    findings = tuple(
        replace(each, known=True) if name in names and each.rule != UNREADABLE else each
        for name, each in zip(fingerprints(report.findings), report.findings, strict=True)
    )
    return replace(report, findings=findings)
