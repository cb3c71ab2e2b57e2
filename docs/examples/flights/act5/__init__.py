"""Act 5, the truth: labels come three weeks late, an estimate runs ahead, and one change it cannot see."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.text import Text

from act5 import page, words
from act5.weeks import live
from story import Chapter
from terminal import STYLE

if TYPE_CHECKING:
    from act5.weeks import Autumn, Monday
    from mlguard import Verdict
    from story import Story
    from terminal import Screen

TITLE: Final = "Act 5 · The truth"


def play(story: Story, screen: Screen) -> Chapter:
    """Ask every Monday how good the model is, by estimate and by labels, and tell where the two part."""
    screen.title(
        TITLE,
        "Whether a flight was late is known for certain three weeks later. Is the model good until then?",
    )
    autumn = live(story, screen)
    _show(autumn, screen)
    return Chapter(
        anchor="truth",
        title=TITLE,
        headline=words.headline(autumn),
        lead=words.lead(autumn),
        body=page.body(autumn),
        verdicts={"by-labels": autumn.found.by_labels, "by-estimate": autumn.found.by_estimate},
    )


def _show(autumn: Autumn, screen: Screen) -> None:
    screen.table(
        f"Every Monday from {words.day(autumn.mondays[0].at)}",
        ["asked on", "estimated, the week before", "", "the labels of the week of", "say", " "],
        [_row(each) for each in autumn.mondays],
    )
    found = autumn.found
    title = f"Monday {words.day(found.at)}"
    screen.verdict(f"{title}, by estimate", found.by_estimate, words.unseen(autumn))
    screen.verdict(f"{title}, by labels", found.by_labels, words.seen(autumn))


def _row(monday: Monday) -> list[str | Text]:
    realised = monday.realised
    known = ["–", "–"]
    if realised.n:
        known = [words.day(realised.details["since"]), f"{realised.value:.3f}"]
    return [
        words.day(monday.at),
        f"{monday.estimated.value:.3f}",
        _word(monday.by_estimate),
        *known,
        _word(monday.by_labels),
    ]


def _word(verdict: Verdict) -> Text:
    sign, colour = STYLE[verdict.severity]
    return Text(f"{sign} {verdict.severity.name}", colour)
