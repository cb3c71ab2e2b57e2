"""Act 7 in the report."""

from __future__ import annotations

from typing import TYPE_CHECKING

import canary
import report
from act7 import words
from mlguard import Severity, Verdict
from mlguard.render import series, svg

if TYPE_CHECKING:
    from act7.canaries import Canaries, Canary


def body(canaries: Canaries) -> str:
    """Return the act's part of the page, below its headline."""
    cards = "".join(map(_card, canaries.both))
    style = f"<style>{svg.STYLE}{series.STYLE}.evidence{{--kind:var(--p99);--line:var(--breach)}}</style>"
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
    promoted = canary.last.action == "promote"
    what, limit = ("log_e_safety", 2.9957) if promoted else ("log_e_harm", None)
    drawn = "".join(_evidence(canary, row, what, limit) for row in range(len(canary.last.findings)))
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
    lead = (
        "Evidence that the canary is safe, hour by hour, as the logarithm of an e-value; above the limit it is proven. Every guardrail must be."
        if promoted
        else "Evidence that the canary is worse, hour by hour, as the logarithm of an e-value; above the limit it is rolled back."
    )
    return report.section(
        f"The {canary.name} candidate",
        lead,
        f"{drawn}{moments}{report.facts(words.evidence(canary))}",
    )


def _evidence(canary: Canary, row: int, what: str, limit: float | None) -> str:
    every = max(len(canary.steps) // 200, 1)
    steps = [*canary.steps[:-1:every], canary.last]
    name = canary.last.findings[row]["guardrail"]
    spots = [
        series.Spot(each.at, value, value, value, f"{words.hour(each.at)}: {value:.1f}", "evidence")
        for each in steps
        for value in [each.findings[row][what]]
    ]
    marks = steps[:: max(len(steps) // 6, 1)]
    line = canary.last.findings[row]["log_limit"] if limit is None else limit
    drawn = series.over_time(
        spots,
        [],
        labels=[(each.at, words.hour(each.at)) for each in marks],
        limit=(line, f"limit {line:.1f}"),
        title=f"{name}: {spots[-1].value:.1f}, limit {line:.1f}",
        height=120,
    )
    return f'<div class="evidence"><p class="key">{name}</p>{drawn}</div>'


def _code() -> str:
    return report.section("The plan", "All of it.", report.code(canary, "PLAN: Final"))


def _small_print() -> str:
    facts = [
        "Each flight is one request, and goes to one arm by a salted hash of its number; both arms see the same hours. The flights and models are those of act 1.",
        "Flights of one hour share its weather, and so do both arms, which is why the comparison is by hour. Within an arm they are not quite independent; a wrong answer is known only after departure, and is counted at once here.",
        "The first requests of a canary are few, so a share of 5 % waits two days before it rises: the bake is a choice, and the evidence does not need it.",
    ]
    return report.section("Small print", "", report.facts(facts))
