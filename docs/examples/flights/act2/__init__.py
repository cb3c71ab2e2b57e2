"""Act 2, the data: seasons drift and are shown, a unit error drifts and is stopped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.text import Text

from act2 import page, words
from act2.weeks import count
from mlguard import Severity
from story import Chapter
from terminal import MARK

if TYPE_CHECKING:
    from act2.weeks import Weeks
    from mlguard.drift import ColumnReport
    from story import Story
    from terminal import Screen

TITLE: Final = "Act 2 · The data"


def play(story: Story, screen: Screen) -> Chapter:
    """Compare every week with the first half of the year and tell what moved."""
    screen.title(TITLE, "Week by week: is what the new model reads still what it was trained on?")
    weeks = count(story, screen)
    _show(weeks, screen)
    return Chapter(
        anchor="data",
        title=TITLE,
        headline=words.headline(weeks),
        lead=words.lead(weeks),
        body=page.body(weeks),
        verdicts={"broken-week": weeks.broken.verdict},
    )


def _show(weeks: Weeks, screen: Screen) -> None:
    rows = []
    for name in weeks.reference.columns:
        columns = [week.report.columns[name] for week in weeks.weeks]
        most = max(columns, key=lambda column: column.effect)
        heat = Text.assemble(*(_mark(column) for column in columns))
        rows.append([Text(name), heat, Text(f"{most.effect:.2f}")])
    title = f"{len(weeks.weeks)} weeks from {weeks.weeks[0].label}: · stable  ▒ drifted  █ breach"
    screen.table(title, ["column", "week by week", "largest"], rows)
    screen.console.print(Text(words.seasons(weeks), style="dim"))
    screen.console.print()
    screen.verdict(f"Week of {weeks.broken.label}", weeks.broken.verdict, words.broken(weeks))


def _mark(column: ColumnReport) -> tuple[str, str]:
    sign, style = MARK[column.severity]
    strong = column.severity is Severity.BREACH and column.effect > 4 * column.settings.breach.limit
    return sign, f"bold bright_{style}" if strong else style
