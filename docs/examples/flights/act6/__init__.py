"""Act 6, the response: the same half-year under a naive threshold and under a ladder with memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.text import Text

from act6 import page, words
from act6.days import live
from mlguard import Action
from story import Chapter

if TYPE_CHECKING:
    from act6.days import Response
    from story import Story
    from terminal import Screen

TITLE: Final = "Act 6 · The response"
COLOUR: Final[dict[str, str]] = {Action.ALERT: "yellow", Action.RESOLVE: "green"}


def play(story: Story, screen: Screen) -> Chapter:
    """Replay the days after the summer under two policies, and tell what each would have done."""
    screen.title(
        TITLE, "Drift every day, and labels that come late: who is woken, and what is done?"
    )
    response = live(story, screen)
    _show(response, screen)
    return Chapter(
        anchor="response",
        title=TITLE,
        headline=words.headline(response),
        lead=words.lead(response),
        body=page.body(response),
        verdicts={},
        decisions=tuple(response.ladder),
    )


def _show(response: Response, screen: Screen) -> None:
    screen.table(
        f"{len(response.times)} days from {words.day(response.times[0])}",
        ["policy", "alerts", "retrains", "rollbacks"],
        [
            [name, *(str(words.count(decisions, action)) for action in words.ACTIONS)]
            for name, decisions in response.decisions.items()
        ],
    )
    screen.moments(
        (
            words.day(each.at or 0.0),
            str(each.because[0]["response"]),
            Text(str(each.action).upper(), COLOUR.get(each.action, "red")),
            each.verdicts[-1].reason,
        )
        for each in response.ladder
    )
    screen.table(
        "Alert after so many bad days", response.sweep.rows()[0], response.sweep.rows()[1:]
    )
