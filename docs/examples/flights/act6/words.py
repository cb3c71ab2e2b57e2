"""What the policies did, in words: every sentence is made from their decisions."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from mlguard import Action
from production import FLOOR
from truth import CHANGED, FIRST, WEEK

if TYPE_CHECKING:
    from collections.abc import Sequence

    from act6.days import Response
    from mlguard import Decision

ACTIONS: Final = (Action.ALERT, Action.RETRAIN, Action.ROLLBACK)
BEGAN: Final = FIRST + CHANGED * WEEK
"""When the change of act 5 began."""


def headline(response: Response) -> str:
    """Say what each policy did."""
    naive, ladder = (_acted(each) for each in (response.naive, response.ladder))
    return f"The naive threshold would have acted {naive} times, the ladder {'once' if ladder == 1 else f'{ladder} times'}"


def lead(response: Response) -> str:
    """Say in a few sentences what there is to learn."""
    early = sum(each.at < BEGAN for each in response.naive if each.at and _acts(each))
    back = next(each for each in response.ladder if each.action is Action.ROLLBACK)
    return (
        f"Both hold the same limits against the same flights, those of act 5. The naive one looks at yesterday, and acts at once: {early} times before anything was wrong. "
        f"The ladder looks at a week, alerts on drift that lasts, retrains only where the estimate has fallen too, and rolls back on {day(back.at or 0.0)}, "
        "the first day on which the labels that are old enough show what changed on 14 October."
    )


def told(response: Response) -> list[str]:
    """Say what stands out."""
    counts = {
        name: ", ".join(f"{count(each, action)} {action}s" for action in ACTIONS)
        for name, each in response.decisions.items()
    }
    return [
        f"Naive threshold: {counts['naive threshold']}. Ladder: {counts['ladder']}.",
        "The inputs drift through the whole autumn, which is true: scores are lower, because the autumn is more punctual. The ladder alerts on that and does nothing else about it.",
        "In December snow lowers the estimate below the floor and the inputs drift too: a reason to retrain. The ladder withholds it, because the rollback of November is still open.",
    ]


def balance(response: Response) -> str:
    """Say what the trade-off is."""
    quick, calm = response.sweep.tried[0], response.sweep.tried[-1]
    return (
        f"How many bad days before an alert? Each day of the summer was held against the floor of {FLOOR:.3f}, in 50 simulated years and with eight points of accuracy lost. "
        f"After one bad day: {quick.simulation.false_alarms.value:.1f} false alarms a month, and a mean delay of {quick.simulation.delay / 86_400:.1f} days. "
        f"After {calm.parameters['days']}: {calm.simulation.false_alarms.value:.2f}, and {calm.simulation.delay / 86_400:.1f} days. "
        f"choose(false_alarms_per_month=1) takes {_chosen(response)}."
    )


def _chosen(response: Response) -> str:
    chosen = response.sweep.choose(false_alarms_per_month=1.0)
    point = next(each for each in response.sweep.tried if each.policy is chosen)
    return f"{point.parameters['days']} days"


def count(decisions: Sequence[Decision], action: Action) -> int:
    """Count the decisions of one kind."""
    return sum(each.action is action for each in decisions)


def _acts(decision: Decision) -> bool:
    return decision.action in {Action.RETRAIN, Action.ROLLBACK}


def _acted(decisions: Sequence[Decision]) -> int:
    return sum(map(_acts, decisions))


def day(at: float) -> str:
    """Write a date."""
    when = datetime.fromtimestamp(at, UTC)
    return f"{when.day} {when:%b}"
