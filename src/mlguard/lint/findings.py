"""What a linted config shows: rules, findings and their fixes, requirements met or not."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from mlguard.arguments import choice, name_of
from mlguard.values import Severity, Waiver

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mlguard.lint.patches import Patch
    from mlguard.lint.read import Document

Level: TypeAlias = Literal["error", "warning", "info"]
State: TypeAlias = Literal["met", "unmet", "unknown"]
LEVELS = "error", "warning", "info"
STATES = "unmet", "unknown", "met"
"""The worst first, as the levels."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands, or where it is missed. Immutable.

    Attributes:
        file: As it was named, or empty where there is none.
        document: Its number in the file, from 0.
        pointer: JSON pointer into the document; empty is the whole of it.
        line: In the file, from 1, where it is known.

    Examples:
        >>> print(Place("deploy.yaml", 0, "/spec/replicas", 7))
        deploy.yaml:7 /spec/replicas
    """

    file: str
    document: int = 0
    pointer: str = ""
    line: int | None = None

    def __str__(self) -> str:
        where = (self.file or "document") + (f":{self.line}" if self.line else "")
        return f"{where} {self.pointer}".rstrip()


@dataclass(frozen=True, slots=True)
class Rule:
    """What is looked for in a config. Immutable.

    Attributes:
        id: Stable, as "MLG-RB001".
        name: In words with hyphens, as "no-rollback".
        level: "error", "warning" or "info", of its findings unless they say another.
        requirement: Name of the requirement that it serves; empty where it serves none.
        rationale: Why it matters, for who reads it the first time.

    Raises:
        ConfigurationError: `id` or `name` is empty, or `level` is another word.
    """

    id: str
    name: str
    level: Level
    requirement: str
    rationale: str

    def __post_init__(self) -> None:
        name_of("id", self.id)
        name_of("name", self.name)
        choice("level", self.level, *LEVELS)


@dataclass(frozen=True, slots=True)
class Finding:
    """A rule that a config does not keep, or that nobody can tell of. Immutable.

    Attributes:
        rule: The rule.
        kind: Of the document, as "kubernetes".
        message: What is wrong there.
        place: Where.
        fix: Changes to the document at `place` that mend it, if there are some.
        doubt: The fact is unknown rather than absent, which is at most an info.
        waiver: Who accepts it, why and until when.
        known: It stands in the baseline.
    """

    rule: Rule
    kind: str
    message: str
    place: Place
    fix: Patch | None = None
    doubt: bool = False
    waiver: Waiver | None = None
    known: bool = False

    @property
    def level(self) -> Level:
        """The level of the rule; "info" in doubt."""
        return "info" if self.doubt else self.rule.level

    @property
    def accepted(self) -> bool:
        """It is waived, or stands in the baseline."""
        return self.waiver is not None or self.known


@dataclass(frozen=True, slots=True)
class Judgement:
    """Whether a requirement is met in the configs, and what shows it. Immutable.

    Attributes:
        requirement: Its name.
        state: "met", "unmet" or "unknown".
        evidence: What shows it, in words; of one that is unknown, what to do about it.
        places: Where it stands, or where it is missed.

    Raises:
        ConfigurationError: `state` is another word.
    """

    requirement: str
    state: State
    evidence: str
    places: tuple[Place, ...] = ()

    def __post_init__(self) -> None:
        choice("state", self.state, *STATES)


@dataclass(frozen=True, slots=True)
class LintReport:
    """What linting gave: each requirement with its evidence, and the findings. Immutable.

    Attributes:
        judgements: One for each requirement.
        findings: The accepted ones too.
        documents: What was read.
        rules: All that were looked for.
    """

    judgements: tuple[Judgement, ...] = ()
    findings: tuple[Finding, ...] = ()
    documents: tuple[Document, ...] = ()
    rules: tuple[Rule, ...] = ()

    @property
    def requirements(self) -> Mapping[str, State]:
        """By name of the requirement, "met", "unmet" or "unknown"."""
        return {each.requirement: each.state for each in self.judgements}

    @property
    def severity(self) -> Severity:
        """BREACH where a requirement is unmet or an error found, unless it is accepted.

        Else UNKNOWN where a file does not read, or where no requirement could be judged; WARN
        where a warning is found, and OK.
        """
        levels = {each.level for each in self.findings if not each.accepted}
        unmet = {each.requirement for each in self.judgements if each.state == "unmet"}
        if "error" in levels or any(not self.accepts(each) for each in unmet):
            return Severity.BREACH
        unread = any(each.value is None and each.problems for each in self.documents)
        if unread or not set(self.requirements.values()) & {"met", "unmet"}:
            return Severity.UNKNOWN
        return Severity.WARN if "warning" in levels else Severity.OK

    def to_dict(self) -> dict[str, Any]:
        """Give plain JSON."""
        from mlguard.lint.pages import record  # noqa: PLC0415 -- it stands on this module

        return record(self)

    def to_sarif(self) -> dict[str, Any]:
        """Give a log in SARIF 2.1.0."""
        from mlguard.lint.sarif import sarif  # noqa: PLC0415 -- it stands on this module

        return sarif(self)

    def __str__(self) -> str:
        from mlguard.lint.terminal import text  # noqa: PLC0415 -- it stands on this module

        return text(self)

    def accepts(self, requirement: str) -> bool:
        """Tell whether all findings against a requirement are waived or in the baseline."""
        found = [
            each
            for each in self.findings
            if each.rule.requirement == requirement and each.level != "info"
        ]
        return bool(found) and all(each.accepted for each in found)


def fingerprints(findings: Iterable[Finding]) -> list[str]:
    """Give each finding a name that stays when lines move.

    It stands for the rule, the file and the pointer; the second of the same has its own.
    """
    seen: Counter[str] = Counter()
    names = []
    for each in findings:
        place = each.place
        text = f"{each.rule.id}\n{place.file}\n{place.pointer}"
        name = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]
        seen[name] += 1
        names.append(f"{name}:{seen[name]}")
    return names
