"""Act 1, the release gate: two candidates look better than the champion, and one would have hurt an airport."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.text import Text

from act1 import page, words
from act1.exam import METRICS, more_is_better, sit
from charts import ends, signed
from story import Chapter

if TYPE_CHECKING:
    from act1.exam import Exam
    from mlguard import Measurement
    from story import Story
    from terminal import Screen

TITLE: Final = "Act 1 · The release gate"


def play(story: Story, screen: Screen) -> Chapter:
    """Ask the gate about both candidates and tell what it said."""
    screen.title(TITLE, "Two candidates want to replace the model in production. May they?")
    exam = sit(story, screen)
    _show(exam, screen)
    return Chapter(
        anchor="release-gate",
        title=TITLE,
        headline=words.headline(exam),
        lead=words.lead(exam),
        body=page.body(exam),
        verdicts={candidate.key: candidate.verdict for candidate in exam.candidates},
    )


def _show(exam: Exam, screen: Screen) -> None:
    header = ["All flights", "champion"]
    for candidate in exam.candidates:
        header += [candidate.name, "difference"]
    rows = []
    for metric, label in METRICS.items():
        champion = exam.champion_scores[metric]
        arrow = "↑" if more_is_better(champion) else "↓"
        row = [Text(f"{label} {arrow}"), Text(words.number(champion.value))]
        for candidate in exam.candidates:
            score = candidate.scores[metric]
            row.append(Text(words.number(score.value.value)))
            row.append(Text(_plus_minus(score.difference), "green" if score.improved else "red"))
        rows.append(row)
    screen.table(f"{words.on_average(exam)} (± half the 95 % interval)", header, rows)
    screen.console.print(f"[dim]{words.days(exam)}[/]\n")
    for candidate in exam.candidates:
        screen.verdict(candidate.name, candidate.verdict, words.why(candidate))


def _plus_minus(found: Measurement) -> str:
    low, high = ends(found)
    return f"{signed(found.value)} ±{words.number((high - low) / 2)}"
