"""Act 7, the rollout: the broken and the better candidate go out as canaries, on the same flights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.text import Text

from act7 import page, words
from act7.canaries import live
from mlguard import Action, Severity, Verdict
from story import Chapter

if TYPE_CHECKING:
    from act7.canaries import Canaries, Canary
    from story import Story
    from terminal import Screen

TITLE: Final = "Act 7 · The rollout"


def play(story: Story, screen: Screen) -> Chapter:
    """Send each candidate out behind a splitter, and tell what was decided."""
    screen.title(
        TITLE,
        "Both candidates go out as canaries, beside the champion. Who finds the broken one, and how many passengers met it?",
    )
    canaries = live(story, screen)
    _show(canaries, screen)
    return Chapter(
        anchor="rollout",
        title=TITLE,
        headline=words.headline(canaries),
        lead=words.lead(canaries),
        body=page.body(canaries),
        verdicts={},
        decisions=tuple(step.decision for each in canaries.both for step in each.told),
    )


def _show(canaries: Canaries, screen: Screen) -> None:
    for each in canaries.both:
        screen.moments(
            (words.hour(step.at), f"{step.share:.0%}", _word(step.action), step.reason)
            for step in each.told
        )
        screen.verdict(each.name, _verdict(each), words.told(each), word=each.last.action.upper())


def _word(action: str) -> Text:
    colours = {Action.ROLLBACK: "red", Action.PROMOTE: "green", Action.HOLD: "yellow"}
    return Text(
        action.upper() if action != "none" else "GO ON", dict(colours).get(Action(action), "dim")
    )


def _verdict(canary: Canary) -> Verdict:
    severity = Severity.OK if canary.last.action == Action.PROMOTE else Severity.BREACH
    return Verdict(canary.name, severity, canary.last.reason)
