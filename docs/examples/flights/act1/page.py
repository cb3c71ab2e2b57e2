"""Act 1 in the report."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

import charts
import gate
import report
from act1 import words
from act1.exam import METRICS, by_whole_days, more_is_better, slice_of
from charts import ends, signed

if TYPE_CHECKING:
    from act1.exam import Candidate, Exam, Score
    from mlguard import Verdict

GROUPS: Final = {"origin": "Airport", "month": "Month", "carrier": "Carrier"}
COLOURS: Final = ("plain", "ok", "breach")


def body(exam: Exam) -> str:
    """Return the act's part of the page, below its headline."""
    found = [(candidate, leaf) for candidate in exam.candidates for leaf in candidate.worse[:1]]
    parts = [_cards(exam), _metrics(exam), _forests(exam)]
    parts += [_explanation(exam, leaf) for _, leaf in found[:1]]
    parts += [_code(), _trees(exam), _small_print(exam, found)]
    return "".join(parts)


def _cards(exam: Exam) -> str:
    cards = [
        report.card(each.name, each.verdict, words.why(exam, each)) for each in exam.candidates
    ]
    return f'<div class="pair">{"".join(cards)}</div>'


def _metrics(exam: Exam) -> str:
    names = "".join(
        f'<th scope="colgroup" colspan="2">{escape(candidate.name)}</th>'
        for candidate in exam.candidates
    )
    rows = "".join(_metric(exam, metric) for metric in METRICS)
    return report.section(
        "On average, both are better" if words.improved(exam) else "On average",
        "What a dashboard would show: four metrics over the whole exam, each difference on the same flights with its 95 % interval."
        + (" Nothing here says which of the two to stop." if words.improved(exam) else ""),
        f'<table class="metrics"><thead><tr><th scope="col">Metric</th><th scope="col">Champion</th>{names}</tr></thead>'
        f"<tbody>{rows}</tbody></table>",
    )


def _metric(exam: Exam, metric: str) -> str:
    champion = exam.champion_scores[metric]
    hint = "higher is better" if more_is_better(champion) else "lower is better"
    cells = "".join(_pair(each.name, each.scores[metric]) for each in exam.candidates)
    return (
        f'<tr><th scope="row">{METRICS[metric]} <span class="hint">{hint}</span></th>'
        f'<td data-label="Champion">{words.number(champion.value)}</td>{cells}</tr>'
    )


def _pair(name: str, score: Score) -> str:
    low, high = ends(score.difference)
    kind = "ok" if score.improved else "breach"
    return (
        f'<td data-label="{escape(name)}">{words.number(score.value.value)}</td>'
        f'<td data-label="against the champion" class="wide {kind}">{signed(score.difference.value)} '
        f'<span class="interval">{signed(low)} to {signed(high)}</span></td>'
    )


def _forests(exam: Exam) -> str:
    parts = [candidate.part["worse for nobody"] for candidate in exam.candidates]
    scale = charts.scale_of(parts, gate.MARGIN)
    stopped = sum(bool(candidate.worse) for candidate in exam.candidates)
    plots = "".join(
        charts.forest(
            _groups(exam, candidate), scale=scale, margin=gate.MARGIN, caption=candidate.name
        )
        for candidate in exam.candidates
    )
    return report.section(
        "Slice by slice, one is not" if stopped == 1 else f"Slice by slice, {stopped} are worse",
        "Difference in log loss to the champion, on the same flights. Left of zero the candidate is better. It may be worse by up to "
        f"{gate.MARGIN}; an interval that lies wholly in the shaded range is proven worse than that and stops the release. One that straddles the line does not pass either.",
        f'<div class="pair">{plots}</div><p class="key"><span><i class="ok">●</i> within the limit</span> '
        '<span><i class="unknown">○</i> cannot be told yet</span> <span><i class="breach">◆</i> proven worse</span></p>',
    )


def _groups(exam: Exam, candidate: Candidate) -> list[tuple[str, list[tuple[str, Verdict]]]]:
    groups = [("", [("All flights", candidate.overall)])]
    for column, title in GROUPS.items():
        members = [leaf for leaf in candidate.slices if (slice_of(leaf) or ("",))[0] == column]
        groups.append(
            (title, [(words.place(exam, leaf), leaf) for leaf in sorted(members, key=_order)])
        )
    return groups


def _order(leaf: Verdict) -> tuple[bool, int]:
    """Months by the calendar, others by their size, what was pooled last."""
    column, value = slice_of(leaf) or ("", "")
    if column == "month" and value.isdecimal():
        return False, int(value)
    return value == "(small)", -(leaf.evidence[0].n or 0)


def _explanation(exam: Exam, leaf: Verdict) -> str:
    rows, place = exam.rows(leaf), words.place(exam, leaf)
    models = {"Champion": exam.champion, **{each.name: each.prediction for each in exam.candidates}}
    panels = []
    for (name, prediction), kind in zip(models.items(), COLOURS, strict=True):
        said, late = prediction[rows], exam.story.late[rows]
        top = np.argsort(said)[-len(said) // 10 :]
        most = f"its riskiest tenth: said {100 * said[top].mean():.0f} %, happened {100 * late[top].mean():.0f} %"
        chart = charts.calibration(late, said, title=f"{name} at {place}: {most}", kind=kind)
        panels.append(
            f"<figure><figcaption><b>{escape(name)}</b><span>{most}</span></figcaption>{chart}</figure>"
        )
    empty = [
        frame["airport_late_1h"].isna().sum() for frame in (exam.story.broken_exam, exam.story.exam)
    ]
    return report.section(
        f"What happens at {place}",
        "Predicted chance of a late departure (across, in %) against the share that did leave late (up, in %). "
        "On the dotted line a model means what it says. The defect was planted: upstream, the departure board was renamed from EWR to "
        f"KEWR, so the join finds no row and {empty[0] - empty[1]:,} flights lose their live columns. "
        "Boosted trees accept empty values without an error.",
        f'<div class="triple">{"".join(panels)}</div>',
    )


def _code() -> str:
    source = Path(gate.__file__).read_text(encoding="utf-8")
    code = escape(source[source.index("AUC_FLOOR: Final") :].rstrip())
    return report.section(
        "The gate",
        "All of it. This is what a team writes down once and calls in its training script.",
        f"<pre><code>{code}</code></pre>",
    )


def _trees(exam: Exam) -> str:
    trees = "".join(
        f"<details><summary>{escape(each.name)}: {each.verdict.severity.name}</summary>{report.tree(each.verdict)}</details>"
        for each in exam.candidates
    )
    return report.section(
        "Every verdict behind the verdict",
        "Each line with the value, its interval, the number of flights and the limit it was held against.",
        trees,
    )


def _small_print(exam: Exam, found: list[tuple[Candidate, Verdict]]) -> str:
    share = 100 * exam.story.late.mean()
    facts = [
        (
            "A flight is late if it was not away within 15 minutes of schedule; a cancelled flight is late. "
            "Models are asked one hour before departure and read nothing that is known only later."
        ),
        (
            "The champion was trained on January to March, the candidates on January to June; "
            f"the exam is July to September, {len(exam.story.exam):,} flights, {share:.1f} % of them late."
        ),
        (
            f"Slices of fewer than {gate.SMALLEST_SLICE:,} flights are judged together as “Smaller ones”. "
            "The intervals of slices are widened for looking at many of them."
        ),
        *(_days(exam, candidate, leaf) for candidate, leaf in found),
    ]
    items = "".join(f"<li>{escape(fact)}</li>" for fact in facts)
    return report.section("Small print", "", f'<ul class="facts">{items}</ul>')


def _days(exam: Exam, candidate: Candidate, leaf: Verdict) -> str:
    low, high = by_whole_days(exam, candidate, leaf)
    stands = "is beyond the limit all the same" if low > gate.MARGIN else "then reaches the limit"
    return (
        "The intervals take flights as independent, though those of one day share its weather. Counted by whole days, the interval at "
        f"{words.place(exam, leaf)} is {words.number(low)} to {words.number(high)}: it {stands}."
    )
