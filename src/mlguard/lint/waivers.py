"""Findings that somebody accepts for a while: said beside them, or in a file for all."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time
from itertools import islice
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from mlguard.arguments import name_of, refusal
from mlguard.lint.findings import Finding, LintReport, Place, Rule
from mlguard.lint.patches import pointer
from mlguard.lint.read import UNREADABLE, Document
from mlguard.records import iso
from mlguard.requirements.load import read as read_file
from mlguard.values import Waiver

if TYPE_CHECKING:
    import os

MOST_COMMENTS = 1_000
"""Of a document; those after them hide nothing."""
ANNOTATION = "mlguard/waive"
_KEYS = "rule", "file", "who", "why", "until"

INVALID = Rule(
    "MLG-WA001",
    "waiver-not-valid",
    "warning",
    "",
    "A waiver says which rule, until when and why; one that does not hides nothing.",
)
EXPIRED = Rule(
    "MLG-WA002",
    "waiver-expired",
    "warning",
    "",
    "What was accepted for a while has come to its end: mend it, or accept it again.",
)
UNUSED = Rule(
    "MLG-WA003",
    "waiver-unused",
    "warning",
    "",
    "A waiver that nothing needs any more would hide the next finding of its kind.",
)
RULES = INVALID, EXPIRED, UNUSED

_COMMENT = re.compile(r"(?:^|\s)#\s*mlguard:\s*(.*?)\s*$")
_WORDS = re.compile(
    r"waive\s+(?P<rule>\S+)(?:\s+by\s+(?P<who>.+?))?"
    r"\s+until\s+(?P<until>\d{4}-\d\d-\d\d)\s+because\s+(?P<why>.+)"
)
_WANTED = "waive RULE until YYYY-MM-DD because WHY"


@dataclass(frozen=True, slots=True)
class RuleWaiver:
    """A waiver of one rule in some files. Immutable.

    Attributes:
        rule: Id of the rule.
        waiver: Who accepts it, why and until when.
        place: Where it is said.
        file: Pattern of the files, as "deploy/*.yaml"; it is matched from the right.
        begins: The line in which the only document that it is for begins; None for all.

    Raises:
        ConfigurationError: `rule` or `file` is empty.
    """

    rule: str
    waiver: Waiver
    place: Place
    file: str = "*"
    begins: int | None = None

    def __post_init__(self) -> None:
        name_of("rule", self.rule)
        name_of("file", self.file)

    def covers(self, document: Document) -> bool:
        """Tell whether it is for a document."""
        if self.begins is not None:
            return (document.file, document.begins) == (self.place.file, self.begins)
        return self.file == "*" or PurePosixPath(document.file).match(self.file)


def read_waivers(path: str | os.PathLike[str]) -> list[RuleWaiver]:
    """Read the file with the waivers of a repository, YAML, TOML or JSON.

    It has a list under `waivers`, each with the `rule`, the `file` (a pattern; every file where it
    is left out), `who`, `why` and `until`, the last day.

    Raises:
        ConfigurationError: It does not read, or a waiver lacks something.
        MissingDependencyError: It is YAML, and PyYAML is not installed.
        OSError: It cannot be opened.
    """
    value, lines = read_file(path)
    items = value.get("waivers") if isinstance(value, Mapping) and len(value) == 1 else None
    if not isinstance(items, list):
        raise refusal("waivers", value, f"in {path} the only key, with a list")
    return [
        _central(f"waivers[{n}]", each, Place(str(path), 0, pointer("waivers", n), line))
        for n, each in enumerate(items)
        for line in [lines.get(("waivers", n))]
    ]


def waive(report: LintReport, waivers: Iterable[RuleWaiver] = (), *, now: float) -> LintReport:
    r"""Accept what is waived, by these waivers or by those in the documents.

    A waiver that is not valid, has expired or is not needed is a finding of its own. A file that
    does not read is never accepted: nobody can accept what nobody has seen.

    Args:
        report: What linting gave.
        waivers: Those for all files; `read_waivers` reads them.
        now: Unix seconds, to tell which have expired.

    Examples:
        >>> from mlguard.lint import Document, Finding, LintReport, Rule
        >>> text = "# mlguard: waive MLG-RB001 until 2027-01-31 because it is a batch job\n"
        >>> document = Document("deploy.yaml", 0, {}, "yaml", text)
        >>> rule = Rule("MLG-RB001", "no-rollback", "error", "rollback", "")
        >>> finding = Finding(rule, "flat", "nothing rolls back", document.place())
        >>> report = LintReport((), (finding,), (document,), (rule,))
        >>> print(waive(report, now=1_800_000_000).findings[0].waiver)
        deploy.yaml:1, until 2027-01-31T23:59:59Z: it is a batch job
        >>> waive(report, now=1_900_000_000).findings[1].message
        'the waiver of MLG-RB001 has expired at 2027-01-31T23:59:59Z'
    """
    problems: list[Finding] = []
    inline = [each for document in report.documents for each in _inline(document, problems)]
    known = {rule.id for rule in report.rules}
    used: set[int] = set()
    valid = []
    for each in [*waivers, *dict.fromkeys(inline)]:
        if each.rule not in known:
            problems.append(_told(INVALID, f"there is no rule {each.rule}", each.place))
        elif each.waiver.until <= now:
            ended = f"has expired at {iso(each.waiver.until)}"
            problems.append(_told(EXPIRED, f"the waiver of {each.rule} {ended}", each.place))
        else:
            valid.append(each)
    documents = {(each.file, each.index): each for each in report.documents}
    findings = []
    for found in report.findings:
        document = documents.get((found.place.file, found.place.document))
        fits = [
            n
            for n, each in enumerate(valid)
            if document
            and found.rule.id == each.rule
            and found.rule != UNREADABLE
            and each.covers(document)
        ]
        used.update(fits)
        findings.append(replace(found, waiver=valid[fits[0]].waiver) if fits else found)
    judged = {rule.id for rule in report.rules if rule.requirement in {"", *report.requirements}}
    for n, each in enumerate(valid):
        if n not in used and each.rule in judged and any(map(each.covers, report.documents)):
            problems.append(_told(UNUSED, f"nothing needs the waiver of {each.rule}", each.place))
    rules = tuple(dict.fromkeys((*report.rules, *RULES)))
    return replace(report, findings=(*findings, *problems), rules=rules)


def _inline(document: Document, problems: list[Finding]) -> Iterator[RuleWaiver]:
    for words, place in _said(document):
        found = _WORDS.fullmatch(words)
        try:
            if found is None:
                raise refusal("mlguard", words, _WANTED)
            where = f"{place.file or 'document'}:{place.line}" if place.line else place.file
            waiver = Waiver(
                found["who"] or where or "document",
                found["why"],
                _last_day("until", found["until"]),
            )
        except ValueError as error:
            problems.append(_told(INVALID, str(error), place))
        else:
            yield RuleWaiver(found["rule"], waiver, place, begins=document.begins)


def _said(document: Document) -> Iterator[tuple[str, Place]]:
    """Give what is said to the linter in comments and in the annotation of Kubernetes."""
    comments = (
        (found[1], document.begins + n)
        for n, line in enumerate(document.text.split("\n"))
        if (found := _COMMENT.search(line))
    )
    for words, line in islice(comments, MOST_COMMENTS):
        yield words, Place(document.file, document.index, "", line)
    value = document.value
    for key in ("metadata", "annotations", ANNOTATION):
        value = value.get(key) if isinstance(value, dict) else None
    if value is not None:
        place = document.place(pointer("metadata", "annotations", ANNOTATION))
        for words in str(value).splitlines():
            yield f"waive {words.strip()}", place


def _central(parameter: str, item: Any, place: Place) -> RuleWaiver:
    if not isinstance(item, Mapping) or not {"rule", "who", "why", "until"} <= item.keys() <= {
        *_KEYS
    }:
        raise refusal(parameter, item, f"a mapping with {', '.join(_KEYS)}; file may be left out")
    waiver = Waiver(item["who"], item["why"], _last_day(f"{parameter}.until", item["until"]))
    return RuleWaiver(item["rule"], waiver, place, item.get("file", "*"))


def _last_day(parameter: str, value: object) -> datetime:
    try:
        day = value if isinstance(value, date) else date.fromisoformat(str(value))
    except ValueError:
        raise refusal(parameter, value, "a day, as 2027-01-31") from None
    return datetime.combine(day, time(23, 59, 59), UTC)


def _told(rule: Rule, message: str, place: Place) -> Finding:
    return Finding(rule, "", message, place)
