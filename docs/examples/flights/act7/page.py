"""Act 7 in the report."""

from __future__ import annotations

from typing import TYPE_CHECKING

import canary as plan_of
import report
from act7 import words
from mlguard import Severity, Verdict
from mlguard.rollout import timeline

if TYPE_CHECKING:
    from act7.canaries import Canaries, Canary


def body(canaries: Canaries) -> str:
    """Return the act's part of the page, below its headline."""
    cards = "".join(map(_card, canaries.both))
    style = f"<style>{timeline.STYLE}</style>"
    parts = [
        f'<div class="pair">{cards}</div>{style}',
        *map(_rollout, canaries.both),
        _code(),
        _small_print(),
    ]
    return "".join(parts)


def _card(canary: Canary) -> str:
    good = canary.last.action == "promote"
    verdict = Verdict(canary.name, Severity.OK if good else Severity.BREACH, canary.last.reason)
    return report.card(
        f"The {canary.name} candidate",
        verdict,
        words.told(canary),
        word="Promoted" if good else "Rolled back",
    )


def _rollout(canary: Canary) -> str:
    drawn = timeline.timeline_html(plan_of.PLAN, canary.journal, page=False)
    moments = report.moments(
        ["Time", "Share", "Decision", "Why"],
        (
            (
                {"rollback": Severity.BREACH, "promote": Severity.OK}.get(
                    each.action, Severity.UNKNOWN
                ),
                (
                    words.hour(each.at),
                    f"{each.share:.0%}",
                    each.action if each.action != "none" else "go on",
                    each.reason,
                ),
            )
            for each in canary.told
        ),
    )
    lead = "Hour by hour: the phases, the share, and the evidence. Proven worse, it is rolled back; a promotion needs every guardrail proven safe."
    return report.section(
        f"The {canary.name} candidate",
        lead,
        f"{drawn}{moments}{report.facts(words.evidence(canary))}",
    )


def _code() -> str:
    return report.section("The plan", "All of it.", report.code(plan_of, "PLAN: Final"))


def _small_print() -> str:
    facts = [
        "Each flight is one request, and goes to one arm by a salted hash of its number; both arms see the same hours. The flights and models are those of act 1.",
        "Flights of one hour share its weather, and so do both arms, which is why the comparison is by hour. Within an arm they are not quite independent; a wrong answer is known only after departure, and is counted at once here.",
        "The first requests of a canary are few, so a share of 5 % waits two days before it rises: the bake is a choice, and the evidence does not need it.",
    ]
    return report.section("Small print", "", report.facts(facts))
