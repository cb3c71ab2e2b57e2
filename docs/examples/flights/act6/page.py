"""Act 6 in the report."""

from __future__ import annotations

from typing import TYPE_CHECKING

import report
import responses
from act6 import words
from mlguard import Severity
from mlguard.policies.simulate import timeline_html

if TYPE_CHECKING:
    from act6.days import Response


def body(response: Response) -> str:
    """Return the act's part of the page, below its headline."""
    return "".join(
        [_timelines(response), _decisions(response), _balance(response), _code(), _small_print()]
    )


def _timelines(response: Response) -> str:
    drawn = timeline_html(
        response.decisions, since=response.times[0], until=response.times[-1], page=False
    )
    return report.section(
        "What each would have decided",
        "A bar is an alarm, from alert to resolve; a dot is a retrain or a rollback.",
        drawn + report.facts(words.told(response)),
    )


def _decisions(response: Response) -> str:
    rows = (
        (
            Severity.OK
            if each.action == "resolve"
            else Severity.WARN
            if each.action == "alert"
            else Severity.BREACH,
            (
                words.day(each.at or 0.0),
                str(each.because[0]["response"]),
                str(each.action),
                each.reason,
            ),
        )
        for each in response.ladder
    )
    return report.section(
        "Every decision of the ladder",
        "",
        report.moments(["Day", "Response", "Action", "Why"], rows),
    )


def _balance(response: Response) -> str:
    return report.section(
        "False alarms against delay", words.balance(response), response.sweep.to_html(page=False)
    )


def _code() -> str:
    return report.section(
        "The policies", "All of them, and the simulation.", report.code(responses, "LADDER: Final")
    )


def _small_print() -> str:
    facts = [
        "The decisions are those of a backtest: the policies were fed every day's verdicts in order, as they would have been live. Nobody retrained or rolled back, so what was wrong stayed wrong.",
        "Days begin at midnight UTC. The labels and the change are those of act 5, which are made up.",
        "The simulation knows the summer only: 63 days, in blocks of a week. A policy for the winter wants a winter in its history.",
    ]
    return report.section("Small print", "", report.facts(facts))
