"""Act 8, the record: two people approve these bytes, all of the story is on a ledger, and changes of it show."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.text import Text

from act8 import page, words
from act8.trail import keep
from story import Chapter

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from act8.trail import Trail
    from story import Story
    from terminal import Screen

TITLE: Final = "Act 8 · The record"


def play(story: Story, screen: Screen, chapters: Sequence[Chapter], folder: Path) -> Chapter:
    """Put the story on record, have the promotion approved, then tamper with copies of the record."""
    screen.title(TITLE, "Who approved this model, and would anybody see if the record was changed?")
    trail = keep(story, chapters, folder, screen)
    _show(trail, screen)
    return Chapter(
        anchor="record",
        title=TITLE,
        headline=words.headline(trail),
        lead=words.lead(trail),
        body=page.body(trail),
        verdicts={},
    )


def _show(trail: Trail, screen: Screen) -> None:
    screen.moments(
        (each.who, each.what, _word(passed=each.passed), each.told) for each in trail.steps
    )
    screen.table(
        f"{trail.found.records} records, and copies that somebody changed",
        ["what was done to a copy", "the chain", "with an anchor"],
        [[Text(each.what), _found(each.chain), _found(each.anchored)] for each in trail.tampered],
    )


def _word(*, passed: bool) -> Text:
    return Text("PASSED", "green") if passed else Text("STOPPED", "red")


def _found(intact: bool) -> Text:  # noqa: FBT001 -- a cell
    return Text("not found", "yellow") if intact else Text("found", "green")
