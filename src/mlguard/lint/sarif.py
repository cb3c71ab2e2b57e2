"""A lint report as SARIF 2.1.0, which code hosts show beside the lines."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from mlguard.lint.findings import Finding, LintReport, Rule, fingerprints
from mlguard.records import library_version

if TYPE_CHECKING:
    from mlguard.lint.findings import Place

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_LEVELS = {"error": "error", "warning": "warning", "info": "note"}


def sarif(report: LintReport) -> dict[str, Any]:
    """Write a report as a SARIF log with one run: all rules, and the findings as results."""
    rules = {rule.id: rule for rule in (*report.rules, *(each.rule for each in report.findings))}
    ids = list(rules)
    named = zip(report.findings, fingerprints(report.findings), strict=True)
    run = {
        "tool": {
            "driver": {
                "name": "mlguard",
                "version": library_version(),
                "rules": [_rule(rule) for rule in rules.values()],
            }
        },
        "columnKind": "unicodeCodePoints",
        "results": [_result(each, ids.index(each.rule.id), name) for each, name in named],
        "properties": {"requirements": dict(report.requirements)},
    }
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _rule(rule: Rule) -> dict[str, Any]:
    words = rule.rationale or rule.name
    return {
        "id": rule.id,
        "name": "".join(word.capitalize() for word in rule.name.split("-")),
        "shortDescription": {"text": rule.name.replace("-", " ")},
        "fullDescription": {"text": words},
        "help": {"text": words},
        "defaultConfiguration": {"level": _LEVELS[rule.level]},
        "properties": {"tags": [rule.requirement] if rule.requirement else []},
    }


def _result(finding: Finding, index: int, name: str) -> dict[str, Any]:
    made: dict[str, Any] = {
        "ruleId": finding.rule.id,
        "ruleIndex": index,
        "level": _LEVELS[finding.level],
        "message": {"text": finding.message},
        "locations": [_location(finding.place)],
        "partialFingerprints": {"mlguardFinding/v1": name},
    }
    if finding.accepted:
        made["suppressions"] = [_suppression(finding)]
    return made


def _location(place: Place) -> dict[str, Any]:
    made: dict[str, Any] = {
        "logicalLocations": [{"fullyQualifiedName": f"{place.document}#{place.pointer}"}]
    }
    if place.file:
        made["physicalLocation"] = {
            "artifactLocation": {"uri": _uri(place.file)},
            "region": {"startLine": place.line or 1},
        }
    return made


def _uri(file: str) -> str:
    path = PurePath(file)
    return path.as_uri() if path.is_absolute() else quote(file)


def _suppression(finding: Finding) -> dict[str, Any]:
    why = "stands in the baseline" if finding.waiver is None else str(finding.waiver)
    return {"kind": "external", "status": "accepted", "justification": why}
