"""Is the model still good? By an estimate at once, and by the labels when they have come."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlguard import guard, worst
from mlguard.performance import Outcomes, change_from, not_worse, realised_minus_estimated
from production import LABELS_AFTER, WORSE

if TYPE_CHECKING:
    from mlguard import Check, Clock, Measurement
    from mlguard.performance import Evaluation


def labels(clock: Clock) -> Outcomes:
    """Return what joins predictions with labels, and judges a week when its labels have come."""
    return Outcomes(LABELS_AFTER, loss="accuracy", cohort="week", slices=["origin"], clock=clock)


def by_estimate(before: list[Measurement], now: list[Measurement]) -> Check:
    """Return the check of the week that just ended: it has scores and no labels."""
    return guard(
        change_from(before, lambda: now), not_worse(margin=WORSE), name="accuracy, estimated"
    )


def by_labels(before: Evaluation, outcomes: Outcomes, estimated: Measurement) -> Check:
    """Return the check of the newest week whose labels have come, and of what was said of it."""
    return worst(
        "accuracy, by labels",
        guard(change_from(before, outcomes), not_worse(margin=WORSE), name="as good as in summer"),
        guard(
            lambda: realised_minus_estimated(outcomes.measure()[0], estimated),
            not_worse(margin=WORSE),
            name="as good as was estimated",
        ),
    )
