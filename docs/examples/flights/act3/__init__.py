"""Act 3, serving: the service notices by itself that it is too slow, or fails too often."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.text import Text

from act3 import page, words
from act3.sparks import Sparks
from act3.traffic import serve
from story import Chapter
from terminal import STYLE

if TYPE_CHECKING:
    from act3.moments import Served
    from story import Story
    from terminal import Screen

TITLE: Final = "Act 3 · Serving"


def play(story: Story, screen: Screen) -> Chapter:
    """Let the new model serve through two incidents and tell what its guard said."""
    screen.title(
        TITLE, "The new model serves. Does it notice when it is too slow, or fails too often?"
    )
    served = serve(story, screen)
    _show(served, screen)
    return Chapter(
        anchor="serving",
        title=TITLE,
        headline=words.headline(served),
        lead=words.lead(served),
        body=page.body(served),
        verdicts={
            each.phase.name.replace(" ", "-"): each.found.verdict
            for each in served.incidents
            if each.found
        },
    )


def _show(served: Served, screen: Screen) -> None:
    sparks = Sparks(served)
    rows: list[list[str | Text]] = [
        [name, words.seconds(limit), *sparks.quantile(name)]
        for name, limit in words.limits().items()
    ]
    rows.append(["latency", "", sparks.verdicts("latency"), ""])
    rows += [
        [f"burn {name}", f"{served.alert:g}", *sparks.burn(place)]
        for place, name in enumerate(words.BURNS)
    ]
    rows.append(["errors", "", sparks.verdicts("errors"), ""])
    title = f"{served.minutes} minutes, {served.statuses.total():,} requests: · OK  ? UNKNOWN  ▒ WARN  █ BREACH"
    screen.table(title, ["", "limit", "", "most"], [*sparks.ruler(), *rows])
    _changes(served, screen)
    for incident in served.incidents:
        if incident.found:
            name = f"{words.title(incident)}, at {words.clock(incident.found)}"
            screen.verdict(name, incident.found.verdict, words.why(incident), word="BREACH")


def _changes(served: Served, screen: Screen) -> None:
    rows = []
    for each in served.changes:
        sign, colour = STYLE[each.verdict.severity]
        said = Text(f"{sign} {each.verdict.severity.name}", colour)
        rows.append((words.clock(each.moment), each.part, said, words.change(each)))
    screen.moments(rows)
