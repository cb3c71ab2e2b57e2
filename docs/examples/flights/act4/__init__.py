"""Act 4, the bill: a client whose app runs away meets its cap, and nobody else does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.text import Text

from act4 import page, words
from act4.day import live
from act4.events import events
from act4.questions import HOUR, LOOP
from production import CAP
from story import Chapter
from terminal import STYLE

if TYPE_CHECKING:
    from act4.moments import Day, Look
    from story import Story
    from terminal import Screen

TITLE: Final = "Act 4 · The bill"
SHOWN: Final = (3, 6, 9, 12, 12.25, 15, 18, 21, 24)
"""Hours."""


def play(story: Story, screen: Screen) -> Chapter:
    """Let clients ask for a day, one of them far too often, and tell what that came to."""
    screen.title(
        TITLE, "Every answer costs. Who stops an app that asks in a loop, and who pays for it?"
    )
    day = live(story, screen)
    _show(day, screen)
    return Chapter(
        anchor="bill",
        title=TITLE,
        headline=words.headline(day),
        lead=words.lead(day),
        body=page.body(day),
        verdicts={"runaway-client": day.met.whole},
    )


def _show(day: Day, screen: Screen) -> None:
    looks = [day.at(hour * HOUR) for hour in SHOWN]
    title = f"{len(day.calls):,} questions on a day, {words.usd(CAP)} at most"
    screen.table(
        title,
        ["time", "spent", "forecast for midnight", "80 % interval", "verdict", "refused"],
        [_row(day, look) for look in looks],
    )
    screen.moments(
        (words.clock(each.at), each.who, Text(each.word, STYLE[each.severity][1]), each.text)
        for each in events(day)
    )
    screen.verdict(
        f"{LOOP.client}, at {words.clock(day.met.at)}",
        day.met.whole,
        words.capped(day),
        word="CAPPED",
    )
    screen.verdict(
        "Everyone else, at midnight", day.looks[-1].service, words.served(day), word="SERVED"
    )


def _row(day: Day, look: Look) -> list[str | Text]:
    refused = sum(bool(each.refused) for each in day.calls if each.question.at <= look.at)
    found = look.expected
    told = (
        ["–", "–"]
        if found.low is None
        else [f"{found.value:.2f}", f"{found.low:.2f} to {found.high:.2f}"]
    )
    sign, colour = STYLE[look.service.severity]
    return [
        words.clock(look.at),
        f"{look.spent:.2f} USD",
        *told,
        Text(f"{sign} {look.service.severity.name}", colour),
        f"{refused:,}",
    ]
