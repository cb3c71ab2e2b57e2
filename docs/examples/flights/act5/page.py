"""Act 5 in the report."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import late_labels
import report
from act5 import words
from mlguard.performance import history_html
from production import LABELS_AFTER, WORSE
from truth import MADE_LATE

if TYPE_CHECKING:
    from act5.weeks import Autumn


def body(autumn: Autumn) -> str:
    """Return the act's part of the page, below its headline."""
    parts = [_cards(autumn), _history(autumn), _code(), _trees(autumn), _small_print(autumn)]
    return "".join(parts)


def _cards(autumn: Autumn) -> str:
    found = autumn.found
    estimated = report.card(
        f"By estimate, {words.day(found.at)}", found.by_estimate, words.unseen(autumn)
    )
    realised = report.card(f"By labels, {words.day(found.at)}", found.by_labels, words.seen(autumn))
    return f'<div class="pair">{estimated}{realised}</div>'


def _history(autumn: Autumn) -> str:
    drawn = history_html(
        {each.details["since"]: each for each in autumn.outcomes.by_cohort()},
        {at: found[0] for at, found in autumn.estimates.items()},
        floor=autumn.estimate.reference["accuracy"][0].value - WORSE,
        page=False,
    )
    return report.section(
        "Accuracy by week",
        words.running_ahead(autumn),
        drawn + report.facts([words.early(autumn), words.airports(autumn)]),
    )


def _code() -> str:
    return report.section(
        "The checks", "All of them, asked on Mondays.", report.code(late_labels, "def labels(")
    )


def _trees(autumn: Autumn) -> str:
    found = autumn.found
    drawn = "".join(
        f"<details><summary>{escape(each.name)}: {each.severity.name}</summary>{report.tree(each)}</details>"
        for each in (found.by_estimate, found.by_labels)
    )
    return report.section(f"The whole verdicts of {words.day(found.at)}", "", drawn)


def _small_print(autumn: Autumn) -> str:
    counts = autumn.outcomes.counts
    facts = [
        (
            f"Real: the flights and their scores. Made up: that a label takes up to {LABELS_AFTER.days} days, at random, and the change: "
            f"{autumn.made_late:,} flights that were punctual count as late from {words.day(autumn.changed)} on, {MADE_LATE:.0%} of them, drawn without a look at their score."
        ),
        "The departure board that the model reads was left as it was. In truth late flights would show there, and lift later scores a little.",
        (
            "The summer is July and August, which the model was not trained on. In December real snow lowers both lines, and the estimate sees that: "
            "the scores themselves say it."
        ),
        (
            "The intervals take flights as independent, which those of a day are not: they share its weather. So weeks differ by more than their intervals say."
        ),
        f"{counts['open']:,} rows wait in the join, {counts['conflicts']} labels contradict each other, {counts['early']} are older than their prediction.",
    ]
    return report.section("Small print", "", report.facts(facts))
