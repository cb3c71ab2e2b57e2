"""Act 1 in the report."""

from __future__ import annotations

from dataclasses import replace
from html import escape
from typing import TYPE_CHECKING, Final

import numpy as np

import charts
import gate
import report
from act1 import words
from act1.exam import METRICS, more_is_better
from charts import signed
from story import CANDIDATE_MONTHS, CHAMPION_MONTHS, EXAM_MONTHS

if TYPE_CHECKING:
    from act1.exam import Candidate, Exam, Score
    from mlguard import Verdict

ROOM: Final = 0.08
"""Left of the drawing, so that its first number keeps clear of the column beside it."""
COLOURS: Final = ("plain", "ok", "breach")


def body(exam: Exam) -> str:
    """Return the act's part of the page, below its headline."""
    found = [leaf for candidate in exam.candidates for leaf in candidate.stopped_at[:1]]
    parts = [_cards(exam), _metrics(exam), _forests(exam)]
    parts += [_explanation(exam, leaf) for leaf in found[:1]]
    parts += [_code(), _trees(exam), _small_print(exam)]
    return "".join(parts)


def _cards(exam: Exam) -> str:
    cards = [report.card(each.name, each.verdict, words.why(each)) for each in exam.candidates]
    return f'<div class="pair">{"".join(cards)}</div>'


def _metrics(exam: Exam) -> str:
    names = "".join(
        f'<th scope="colgroup" colspan="2">{escape(candidate.name)}</th>'
        for candidate in exam.candidates
    )
    rows = "".join(_metric(exam, metric) for metric in METRICS)
    return report.section(
        "On average, both are better" if words.improved(exam) else "On average",
        "What a dashboard would show: four metrics over the whole exam, each difference on the same flights with its 95 % interval. "
        + words.days(exam)
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
    kind = "ok" if score.improved else "breach"
    return (
        f'<td data-label="{escape(name)}">{words.number(score.value.value)}</td>'
        f'<td data-label="against the champion" class="wide {kind}">{signed(score.difference.value)} '
        f'<span class="interval">{words.interval(score.difference)}</span></td>'
    )


def _forests(exam: Exam) -> str:
    parts = [candidate.part["worse at no airport"] for candidate in exam.candidates]
    scale = charts.scale_of(parts, gate.MARGIN)
    scale = replace(scale, low=scale.low - ROOM * (scale.high - scale.low))
    stopped = sum(bool(candidate.stopped_at) for candidate in exam.candidates)
    names = {0: "all pass", 1: "one does not pass"}
    plots = "".join(
        charts.forest(
            _groups(exam, candidate), scale=scale, margin=gate.MARGIN, caption=candidate.name
        )
        for candidate in exam.candidates
    )
    return report.section(
        f"Airport by airport, {names.get(stopped, f'{stopped} do not pass')}",
        "Difference in log loss to the champion, on the same flights. Left of zero the candidate is better. It may be worse by up to "
        f"{gate.MARGIN}; an interval that lies wholly in the shaded range is proven worse than that and stops the release. One that straddles the line does not pass either.",
        f'<div class="pair">{plots}</div><p class="key"><span><i class="ok">●</i> within the limit</span> '
        '<span><i class="unknown">○</i> not proven either way: does not pass</span> <span><i class="breach">◆</i> proven worse</span></p>',
    )


def _groups(exam: Exam, candidate: Candidate) -> list[tuple[str, list[tuple[str, Verdict]]]]:
    airports = [(words.place(leaf), _drawn(exam, leaf)) for leaf in candidate.slices]
    airports.sort(key=lambda airport: -(airport[1].evidence[0].n or 0))
    return [("", [("All flights", _drawn(exam, candidate.overall))]), ("Airport", airports)]


def _drawn(exam: Exam, leaf: Verdict) -> Verdict:
    """Return a verdict as the drawing shows it: with flights in the place of days, of which all airports have the same."""
    flights = int(exam.rows(leaf).sum())
    return replace(leaf, evidence=(replace(leaf.evidence[0], n=flights),))


def _explanation(exam: Exam, leaf: Verdict) -> str:
    rows, place = exam.rows(leaf), words.place(leaf)
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
    return report.section(
        "The gate",
        "All of it. This is what a team writes down once and calls in its training script.",
        report.code(gate, "MARGIN: Final"),
    )


def _trees(exam: Exam) -> str:
    trees = "".join(
        f"<details><summary>{escape(each.name)}: {each.verdict.severity.name}</summary>{report.tree(each.verdict)}</details>"
        for each in exam.candidates
    )
    return report.section(
        "Every verdict behind the verdict",
        "Each line with the value, its interval, the number of days and the limit it was held against.",
        trees,
    )


def _small_print(exam: Exam) -> str:
    share = 100 * exam.story.late.mean()
    judged = max(len(candidate.slices) for candidate in exam.candidates)
    facts = [
        (
            "A flight is late if it was not away within 15 minutes of schedule; a cancelled flight is late. "
            "Models are asked one hour before departure and read nothing that is known only later."
        ),
        (
            f"The champion was trained on {words.months(CHAMPION_MONTHS)}, the candidates on {words.months(CANDIDATE_MONTHS)}; "
            f"the exam is {words.months(EXAM_MONTHS)}, {len(exam.day):,} flights on {exam.days} days, {share:.1f} % of them late."
        ),
        f"The intervals of the {judged} airports are widened, so that they hold together at 95 %. Days are those of New York.",
        *(
            _weeks(exam, candidate, leaf)
            for candidate in exam.candidates
            for leaf in candidate.stopped_at[:1]
        ),
    ]
    return report.section("Small print", "", report.facts(facts))


def _weeks(exam: Exam, candidate: Candidate, leaf: Verdict) -> str:
    found = exam.by_weeks(candidate, leaf)
    return (
        "Days are taken as independent, though a spell of weather may last longer. "
        f"Counted by whole weeks (n = {found.n}), the interval at {words.place(leaf)} is {words.interval(found)}."
    )
