"""Act 2 in the report."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import data_check
import report
from act2 import words
from mlguard.drift import history_html

if TYPE_CHECKING:
    from act2.weeks import Weeks


def body(weeks: Weeks) -> str:
    """Return the act's part of the page, below its headline."""
    parts = [_heat(weeks), _broken(weeks), _code(), _trees(weeks), _small_print(weeks)]
    return "".join(parts)


def _heat(weeks: Weeks) -> str:
    reports = {week.label: week.report for week in weeks.weeks}
    return report.section(
        "Every column, every week",
        "How far each week lies from the first half of the year, in one unit for every column: a mean shift of that many standard "
        "deviations. Up to 0.1 is tolerated, beyond 0.3 is a breach. The timetable above, what moves with the seasons below.",
        history_html(reports, page=False)
        + report.facts([words.seasons(weeks), words.timetable(weeks)]),
    )


def _broken(weeks: Weeks) -> str:
    card = report.card(f"Week of {weeks.broken.label}", weeks.broken.verdict, words.broken(weeks))
    return report.section(
        f"What happened in the week of {weeks.broken.label}",
        words.harmless(weeks),
        f"{card}{weeks.broken.report.to_html(page=False)}",
    )


def _code() -> str:
    return report.section(
        "The check", "All of it, asked once a week.", report.code(data_check, "TIMETABLE: Final")
    )


def _trees(weeks: Weeks) -> str:
    shown = [week for week in weeks.weeks if not week.verdict.ok]
    trees = "".join(
        f"<details><summary>{escape(week.label)}: {week.verdict.severity.name}</summary>{report.tree(week.verdict)}</details>"
        for week in shown
    )
    return report.section(
        "Every week that was not OK", f"{len(weeks.weeks) - len(shown)} weeks were OK.", trees
    )


def _small_print(weeks: Weeks) -> str:
    facts = [
        (
            f"The reference is all {weeks.reference.rows:,} flights of January to June: {len(weeks.reference.to_json()) // 1000} kB of counts, without a row. "
            "The score of those flights is that of a model trained on them, a little surer than it will be."
        ),
        f"The distances of one week, that of {weeks.broken.label}, were multiplied by 1.609344. Everything else is as it was in 2013.",
        "Each week is judged at 1 % for all its columns together: without any change, one week in a hundred or fewer would show a drifted column.",
        "Flights of one hour share its weather, so the weather of a week is less than its flights suggest; its drift is large all the same.",
    ]
    return report.section("Small print", "", report.facts(facts))
