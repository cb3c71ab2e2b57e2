"""A lint report for machines and pages: plain JSON, GitHub annotations, Markdown."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from mlguard.lint.findings import Finding, LintReport, fingerprints
from mlguard.lint.terminal import shown_fix, state_of, summary
from mlguard.records import plain
from mlguard.render.text import visible

if TYPE_CHECKING:
    from mlguard.lint.findings import Place

_COMMANDS = {"error": "error", "warning": "warning", "info": "notice"}


def record(report: LintReport) -> dict[str, Any]:
    """Write a report as plain JSON."""
    named = zip(report.findings, fingerprints(report.findings), strict=True)
    return {
        "kind": "lintreport",
        "schema": 1,
        "severity": report.severity.name,
        "requirements": [
            {
                "requirement": each.requirement,
                "state": each.state,
                "accepted": each.state == "unmet" and report.accepts(each.requirement),
                "evidence": each.evidence,
                "places": [_place(place) for place in each.places],
            }
            for each in report.judgements
        ],
        "findings": [_finding(report, each, name) for each, name in named],
    }


def github(report: LintReport) -> str:
    """Write the findings as commands that a GitHub job shows beside the lines."""
    lines = []
    for each in report.findings:
        if each.accepted:
            continue
        place = each.place
        where = f"file={_property(place.file)},line={place.line or 1}," if place.file else ""
        title = _property(f"{each.rule.id} {each.rule.name}")
        message = (
            visible(each.message).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
        )
        lines.append(f"::{_COMMANDS[each.level]} {where}title={title}::{message}")
    return "\n".join(lines)


def markdown(report: LintReport) -> str:
    """Write a report as a page or a comment in Markdown."""
    lines = ["| requirement | state | evidence |", "|---|---|---|"]
    lines += [
        f"| {_cell(each.requirement)} | {state_of(report, each)} | {_cell(each.evidence)} |"
        for each in report.judgements
    ]
    open_ = [each for each in report.findings if not each.known]
    if open_:
        lines += ["", "| where | level | rule | finding |", "|---|---|---|---|"]
    for each in open_:
        level = f"waived by {each.waiver}" if each.waiver else each.level
        where = f"{each.place.file or 'document'}:{each.place.line or ''}".rstrip(":")
        cells = where, level, each.rule.id, each.message
        lines.append(f"| {' | '.join(map(_cell, cells))} |")
    for each in open_:
        diff = "" if each.waiver else visible(shown_fix(report, each))
        if diff:
            fence = "`" * max(3, 1 + max(map(len, re.findall("`+", diff)), default=0))
            heading = f"{_cell(each.rule.id)} in {_cell(str(each.place))}:"
            lines += ["", heading, "", f"{fence}diff", diff, fence]
    return "\n".join([*lines, "", _cell(summary(report))])


def _finding(report: LintReport, finding: Finding, name: str) -> dict[str, Any]:
    fix = finding.fix
    return {
        "rule": finding.rule.id,
        "name": finding.rule.name,
        "level": finding.level,
        "requirement": finding.rule.requirement,
        "kind": finding.kind,
        "message": finding.message,
        **_place(finding.place),
        "fix": None
        if fix is None
        else {
            "operations": [
                {"op": each.op, "path": each.path}
                | ({} if each.op == "remove" else {"value": plain(each.value, each.path)})
                for each in fix.operations
            ],
            "documents": plain(fix.documents, "documents"),
            "diff": shown_fix(report, finding),
        },
        "waiver": None if finding.waiver is None else finding.waiver.to_dict(),
        "known": finding.known,
        "fingerprint": name,
    }


def _place(place: Place) -> dict[str, Any]:
    return {
        "file": place.file,
        "document": place.document,
        "pointer": place.pointer,
        "line": place.line,
    }


def _property(text: str) -> str:
    for character, code in (("%", "%25"), ("\r", "%0D"), ("\n", "%0A"), (":", "%3A"), (",", "%2C")):
        text = text.replace(character, code)
    return visible(text)


def _cell(text: str) -> str:
    """Write a text so that it can neither leave its cell nor be markup."""
    words = " ".join(visible(text).split())
    return re.sub(r"([\\|`*_\[\]<>#&@])", r"\\\1", words)
