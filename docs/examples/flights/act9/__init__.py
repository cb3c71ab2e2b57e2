"""Act 9, the config: what an assistant wrote is held to the requirements, and mended."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml
from rich.text import Text

import report
from mlguard import Severity
from mlguard.lint import LintReport, lint
from production import WANTED
from story import Chapter
from terminal import STYLE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlguard.lint import Judgement
    from story import Story
    from terminal import Screen

TITLE: Final = "Act 9 · The config"
FILE: Final = Path(__file__).parents[1] / "generated.yaml"
SEVERITIES: Final = {"met": Severity.OK, "unmet": Severity.BREACH, "unknown": Severity.UNKNOWN}


@dataclass(frozen=True, slots=True)
class Linted:
    """The config as it was written, and with its fixes."""

    written: LintReport
    fixed: LintReport
    mended: dict[str, Any]


def play(_: Story, screen: Screen) -> Chapter:
    """Lint what was written, apply the fixes, and lint again."""
    screen.title(TITLE, "An assistant wrote the config of the deployment. Does it meet act 0?")
    linted = _linted()
    _show(linted, screen)
    return Chapter(
        anchor="config",
        title=TITLE,
        headline=_headline(linted),
        lead="It is valid, and names replicas and resources. What it leaves out is what production.yaml asks for. "
        "What such a config has no place for is told, with what enforces it at run time.",
        body=_body(linted),
        verdicts={},
    )


def _linted() -> Linted:
    written = lint(FILE, WANTED)
    mended = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    for finding in written.findings:
        if finding.fix is not None:
            mended = finding.fix.apply(mended)
    return Linted(written, lint(mended, WANTED), mended)


def _headline(linted: Linted) -> str:
    unmet = [each.requirement for each in linted.written.judgements if each.state == "unmet"]
    ends = "stops" if linted.fixed.severity is Severity.BREACH else "passes"
    return f"The generated config leaves out {len(unmet)} requirements; with its fixes it {ends}"


def _rows(linted: Linted) -> list[tuple[Judgement, Judgement]]:
    return list(zip(linted.written.judgements, linted.fixed.judgements, strict=True))


def _show(linted: Linted, screen: Screen) -> None:
    rows: list[Sequence[str | Text]] = [
        [Text(before.requirement), _word(before), _word(after)] for before, after in _rows(linted)
    ]
    screen.table("generated.yaml", ["requirement", "as written", "with its fixes"], rows)
    screen.moments(
        (each.requirement, "", _word(each), each.evidence) for each in linted.fixed.judgements
    )


def _word(judgement: Judgement) -> Text:
    sign, colour = STYLE[SEVERITIES[judgement.state]]
    return Text(f"{sign} {judgement.state}", colour)


def _body(linted: Linted) -> str:
    rows = [
        (
            SEVERITIES[after.state],
            (before.requirement, before.state, after.state, after.evidence),
        )
        for before, after in _rows(linted)
    ]
    heads = ["Requirement", "As written", "With its fixes", "What shows it"]
    shown = yaml.safe_dump(linted.mended, sort_keys=False)
    return "".join(
        [
            report.section("Each requirement", "", report.moments(heads, rows)),
            report.section("As written", "", report.text(FILE)),
            report.section(
                "With the fixes",
                "Each finding has a patch for that very kind of config; these are all of them, applied.",
                report.shown(shown),
            ),
        ]
    )
