"""The autumn, Monday by Monday: predictions of the week, labels as they come, and both questions asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd

from late_labels import LABELS_AFTER, by_estimate, by_labels, labels
from mlguard import Severity
from mlguard.performance import SlicedEstimate, evaluate
from mlguard.testing import ManualClock
from models import SEED

if TYPE_CHECKING:
    from mlguard import Measurement, Verdict
    from mlguard.performance import Estimate, Outcomes
    from story import Story
    from terminal import Screen

WEEK: Final = 7 * 86_400.0
FIRST: Final = pd.Timestamp("2013-07-01", tz="UTC").timestamp()
SUMMER: Final = 9
"""Weeks of the reference."""
LAST: Final = 26
CHANGED: Final = 15
"""The week in which the change begins."""
MADE_LATE: Final = 0.15
"""Share of the punctual flights that the change makes late."""
LIKELY: Final = 0.5


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
    rng = np.random.default_rng(SEED)
    with screen.steps(2) as step:
        with step("Calibrating on July and August"):
            flights = _flights(story)
            summer = flights[flights["week"] < SUMMER]
            where = summer[["origin"]]
            estimate = SlicedEstimate.fit(summer["late"], summer["score"], where)
            before = evaluate(summer["late"], summer["likely"], loss="accuracy", by=where)
        with step(f"Asking on {LAST - SUMMER} Mondays"):
            rest = flights[flights["week"] >= SUMMER].copy()
            made_late = (
                (rest["week"] >= CHANGED) & ~rest["late"] & (rng.random(len(rest)) < MADE_LATE)
            )
            rest["late"] |= made_late
            delay = rng.uniform(0.0, LABELS_AFTER.total_seconds(), len(rest))
            rest["labelled_at"] = rest["predicted_at"] + delay
            clock = ManualClock(FIRST + SUMMER * WEEK)
            outcomes = labels(clock)
            estimates: dict[float, list[Measurement]] = {}
            mondays = []
            for start in FIRST + WEEK * np.arange(SUMMER, LAST):
                clock.advance(WEEK)
                week = _between(rest, "predicted_at", start)
                outcomes.add(_columns(week, "id", "predicted_at", "prediction", "origin"))
                came = _between(rest, "labelled_at", start)
                outcomes.add(_columns(came, "id", "labelled_at", "label"))
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
    return Autumn(estimate, outcomes, estimates, tuple(mondays), int(made_late.sum()))


def _flights(story: Story) -> pd.DataFrame:
    flights = story.exam[["origin", "late"]].copy()
    flights["id"] = np.arange(len(flights))
    flights["predicted_at"] = story.exam["due"] * 60.0
    flights["score"] = story.candidate.predict(story.exam)
    flights["likely"] = flights["score"] >= LIKELY
    flights["week"] = (flights["predicted_at"] - FIRST) // WEEK
    return flights[(flights["week"] >= 0) & (flights["week"] < LAST)]


def _between(flights: pd.DataFrame, column: str, start: float) -> pd.DataFrame:
    return flights[(flights[column] >= start) & (flights[column] < start + WEEK)]


def _columns(flights: pd.DataFrame, *names: str) -> pd.DataFrame:
    return flights.assign(prediction=flights["likely"], label=flights["late"])[[*names]]
