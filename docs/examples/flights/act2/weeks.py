"""The weeks after the exam began: what arrived, counted and compared with the first half of the year."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd

from data_check import data_check
from mlguard import Guards, MemoryStore
from production import WANTED, given
from story import seen

if TYPE_CHECKING:
    from mlguard import Verdict
    from mlguard.drift import DriftReport, Reference
    from mlguard.requirements import DriftGuard
    from story import Story
    from terminal import Screen

FIRST: Final = pd.Timestamp("2013-07-01", tz="America/New_York")
WEEKS: Final = 26
BROKEN: Final = 20
KILOMETRES: Final = 1.609344


@dataclass(frozen=True, slots=True)
class Week:
    """A week of flights as the model saw it."""

    label: str
    report: DriftReport
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Weeks:
    """All weeks; the distances of one of them arrived in kilometres."""

    reference: Reference
    weeks: tuple[Week, ...]
    unbroken: Week
    """The broken week as it would have been."""
    losses: tuple[float, float]
    """Log loss of that week: as it would have been, and broken."""

    @property
    def broken(self) -> Week:
        """The week whose distances arrived in kilometres."""
        return self.weeks[BROKEN]


def count(story: Story, screen: Screen) -> Weeks:
    """Count the reference and every week after it, and ask about each."""
    flights = story.flights
    guards = Guards.build(WANTED, reference=story.reference, store=MemoryStore())
    drift = given(guards.drift)
    with screen.steps(2) as step:
        with step("Scoring the year with the new model"):
            read = seen(flights, story.candidate.predict(flights))
            weeks = (flights["due"] * 60 - FIRST.timestamp()) // pd.Timedelta(
                weeks=1
            ).total_seconds()
        with step(f"Comparing {WEEKS} weeks with January to June"):
            of_broken = flights[weeks == BROKEN]
            in_km = of_broken.assign(distance=of_broken["distance"] * KILOMETRES)
            score = story.candidate.predict(in_km)
            compared = [_week(drift, place, read[weeks == place]) for place in range(WEEKS)]
            unbroken = compared[BROKEN]
            compared[BROKEN] = _week(drift, BROKEN, seen(in_km, score))
    late = of_broken["late"].to_numpy()
    scores = (read.loc[weeks == BROKEN, "score"].to_numpy(), score)
    first, second = (float(-np.log(np.where(late, each, 1 - each)).mean()) for each in scores)
    return Weeks(story.reference, tuple(compared), unbroken, (first, second))


def _week(drift: DriftGuard, place: int, flights: pd.DataFrame) -> Week:
    monday = FIRST + pd.DateOffset(weeks=place)
    profile = drift.reference.profile()
    profile.observe_many(flights, at=monday + pd.DateOffset(days=7))
    report = drift.compare(profile)
    return Week(f"{monday.day} {monday:%b}", report, data_check(report)())
