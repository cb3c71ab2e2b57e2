"""The autumn, Monday by Monday: predictions of the week, labels as they come, and both questions asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

import truth
from late_labels import by_estimate, by_labels, labels
from mlguard import Severity
from mlguard.performance import SlicedEstimate, evaluate
from mlguard.testing import ManualClock
from truth import CHANGED, FIRST, LAST, SUMMER, WEEK

if TYPE_CHECKING:
    import pandas as pd

    from mlguard import Measurement, Verdict
    from mlguard.performance import Estimate, Outcomes
    from story import Story
    from terminal import Screen


@dataclass(frozen=True, slots=True)
class Monday:
    """What was known on a Monday, and said."""

    at: float
    estimated: Measurement
    realised: Measurement
    by_estimate: Verdict
    by_labels: Verdict


@dataclass(frozen=True, slots=True)
class Autumn:
    """All Mondays, and what they rest on."""

    estimate: SlicedEstimate[Estimate]
    outcomes: Outcomes
    estimates: dict[float, list[Measurement]]
    """Of the accuracy by the start of each week, overall and by airport."""
    mondays: tuple[Monday, ...]
    made_late: int

    @property
    def changed(self) -> float:
        """When the change began."""
        return FIRST + CHANGED * WEEK

    @property
    def found(self) -> Monday:
        """The first Monday after the change on which the labels are a breach."""
        return next(
            each
            for each in self.mondays
            if each.at > self.changed and each.by_labels.severity is Severity.BREACH
        )


def live(story: Story, screen: Screen) -> Autumn:
    """Calibrate on the summer, then let the autumn pass."""
    with screen.steps(2) as step:
        with step("Calibrating on July and August"):
            every = truth.flights(story)
            summer = every[every["week"] < SUMMER]
            where = summer[["origin"]]
            estimate = SlicedEstimate.fit(summer["late"], summer["score"], where)
            before = evaluate(summer["late"], summer["likely"], loss="accuracy", by=where)
        with step(f"Asking on {LAST - SUMMER} Mondays"):
            rest = every[every["week"] >= SUMMER]
            clock = ManualClock(FIRST + SUMMER * WEEK)
            outcomes = labels(clock)
            estimates: dict[float, list[Measurement]] = {}
            mondays = []
            for start in FIRST + WEEK * np.arange(SUMMER, LAST):
                clock.advance(WEEK)
                week = _between(rest, "predicted_at", start)
                outcomes.add(truth.columns(week, "id", "predicted_at", "prediction", "origin"))
                came = _between(rest, "labelled_at", start)
                outcomes.add(truth.columns(came, "id", "labelled_at", "label"))
                newest = week["predicted_at"].max()
                now = estimate.estimate(week["score"], week[["origin"]], at=newest)["accuracy"]
                estimates[start] = now
                realised = outcomes.measure()[0]
                then = estimates.get(realised.details["since"], now)[0]
                mondays.append(
                    Monday(
                        clock(),
                        now[0],
                        realised,
                        by_estimate(estimate.reference["accuracy"], now)(),
                        by_labels(before, outcomes, then)(),
                    )
                )
    return Autumn(estimate, outcomes, estimates, tuple(mondays), int(rest["made_late"].sum()))


def _between(flights: pd.DataFrame, column: str, start: float) -> pd.DataFrame:
    return flights[(flights[column] >= start) & (flights[column] < start + WEEK)]
