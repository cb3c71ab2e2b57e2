"""A lint report for the terminal: the requirements first, then the findings and their fixes."""

from __future__ import annotations

from dataclasses import replace
from itertools import groupby
from textwrap import indent, wrap
from typing import TYPE_CHECKING

from mlguard.lint.findings import LEVELS, Finding, Judgement, LintReport, Place
from mlguard.render.text import visible

if TYPE_CHECKING:
    from collections.abc import Iterable

WIDTH = 100
_HEAD = "requirement", "state", "evidence"


def text(report: LintReport) -> str:
    """Write a report for people."""
    parts = [_requirements(report), *_files(report), summary(report)]
    return visible("\n\n".join(part for part in parts if part))


def summary(report: LintReport) -> str:
    """Count in one line what was found."""
    counted = [each.level for each in report.findings if not each.accepted]
    words = [_many(counted.count(level), level) for level in LEVELS if level in counted]
    waived = sum(each.waiver is not None for each in report.findings)
    known = sum(each.known and each.waiver is None for each in report.findings)
    words += [f"{waived} waived"] * bool(waived) + [f"{known} in the baseline"] * bool(known)
    read = _many(len({each.file for each in report.documents}), "file")
    return f"{read}: {', '.join(words) or 'no finding'}"


def shown_fix(report: LintReport, finding: Finding) -> str:
    """Give the diff of a finding's fix, or nothing."""
    place = finding.place
    for document in report.documents:
        if (document.file, document.index) == (place.file, place.document) and finding.fix:
            return finding.fix.diff(document.value)
    return ""


def state_of(report: LintReport, judgement: Judgement) -> str:
    """Name the state of a requirement, and whether it is accepted as it is."""
    accepted = judgement.state == "unmet" and report.accepts(judgement.requirement)
    return f"{judgement.state}, accepted" if accepted else judgement.state


def _requirements(report: LintReport) -> str:
    rows = [
        (each.requirement, state_of(report, each), each.evidence, each.places)
        for each in report.judgements
    ]
    if not rows:
        return ""
    first, second = (max(len(row[n]) for row in (_HEAD, *rows)) for n in (0, 1))
    lines = [f"{_HEAD[0]:<{first}}  {_HEAD[1]:<{second}}  {_HEAD[2]}"]
    for name, state, evidence, places in rows:
        head = f"{name:<{first}}  {state:<{second}}  "
        words = f"{evidence} ({_places(places)})" if places else evidence
        lines += wrap(
            words,
            WIDTH,
            initial_indent=head,
            subsequent_indent=" " * len(head),
            break_on_hyphens=False,
            break_long_words=False,
        ) or [head.rstrip()]
    return "\n".join(lines)


def _places(places: Iterable[Place]) -> str:
    names = list(
        dict.fromkeys(str(replace(each, pointer="")) if each.line else str(each) for each in places)
    )
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""  # noqa: PLR2004 -- one line
    return ", ".join(names[:3]) + more


def _files(report: LintReport) -> list[str]:
    open_ = [each for each in report.findings if not each.known]
    ordered = sorted(open_, key=lambda each: (each.place.file, each.place.document))
    parts = []
    for file, found in groupby(ordered, key=lambda each: each.place.file):
        lines = [file or "document"]
        for each in found:
            lines += _finding(report, each)
        parts.append("\n".join(lines))
    return parts


def _finding(report: LintReport, finding: Finding) -> list[str]:
    line = "" if finding.place.line is None else str(finding.place.line)
    level = "waived" if finding.waiver else finding.level
    head = f"{line:>5} {level:<8}{finding.rule.id} "
    words = " ".join(finding.message.split())
    made = wrap(
        words, WIDTH, initial_indent=head, subsequent_indent=" " * 24, break_long_words=False
    )
    margin = " " * 14
    if finding.waiver:
        return [*made, f"{margin}{finding.waiver}"]
    diff = shown_fix(report, finding)
    return [*made, indent(diff, margin)] if diff else made


def _many(count: int, word: str) -> str:
    return f"{count} {word}" + "s" * (count != 1)
