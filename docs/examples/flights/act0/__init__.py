"""Act 0, the requirements: what must hold, in one file, and how it is read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.text import Text

import report
from production import FILE, WANTED
from story import Chapter

if TYPE_CHECKING:
    from collections.abc import Iterable

    from story import Story
    from terminal import Screen

TITLE: Final = "Act 0 · The requirements"


def play(_: Story, screen: Screen) -> Chapter:
    """Show the document and its reading."""
    screen.title(TITLE, "What must hold in production, and what follows if it does not?")
    _service, *lines = WANTED.explain().splitlines()
    said = [line.partition(": ")[::2] for line in lines]
    screen.moments((name, "", Text(), text) for name, text in said)
    return Chapter(
        anchor="requirements",
        title=TITLE,
        headline="One file says what must hold, and every act hangs from it",
        lead=(
            "How fast, how dear, how wrong, how far from the training data, how a candidate goes out and who "
            "says yes. The guards of the script, the service, the rollout and the record are all made from this."
        ),
        body="".join([_document(), _reading(said)]),
        verdicts={},
    )


def _document() -> str:
    return report.section("production.yaml", f"Its digest is {WANTED.digest}.", report.text(FILE))


def _reading(said: Iterable[tuple[str, ...]]) -> str:
    return report.section(
        "How it is read",
        "What the file leaves out is said, too.",
        report.facts(f"{name}: {text}" for name, text in said),
    )
