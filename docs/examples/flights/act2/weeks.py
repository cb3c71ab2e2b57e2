"""The weeks after the exam began: what arrived, counted and compared with the first half of the year."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd

from data_check import data_check
from mlguard.drift import Reference
from models import LIVE
from story import CANDIDATE_MONTHS

if TYPE_CHECKING:
    from mlguard import Verdict
    from mlguard.drift import DriftReport
    from story import Story
    from terminal import Screen

COLUMNS: Final = [*LIVE, "score"]
DAYS: Final = dict(enumerate(("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")))
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
    with screen.steps(3) as step:
        with step("Scoring the year with the new model"):
            seen = _as_seen(flights, story.candidate.predict(flights))
            weeks = (flights["due"] * 60 - FIRST.timestamp()) // pd.Timedelta(
                weeks=1
            ).total_seconds()
        with step("Counting the first half of the year"):
            reference = Reference.fit(seen[flights["month"].isin(CANDIDATE_MONTHS)])
        with step(f"Comparing {WEEKS} weeks with it"):
            of_broken = flights[weeks == BROKEN]
            in_km = of_broken.assign(distance=of_broken["distance"] * KILOMETRES)
            score = story.candidate.predict(in_km)
            compared = [_week(reference, place, seen[weeks == place]) for place in range(WEEKS)]
            unbroken = compared[BROKEN]
            compared[BROKEN] = _week(reference, BROKEN, _as_seen(in_km, score))
    late = of_broken["late"].to_numpy()
    scores = (seen.loc[weeks == BROKEN, "score"].to_numpy(), score)
    first, second = (float(-np.log(np.where(late, each, 1 - each)).mean()) for each in scores)
    return Weeks(reference, tuple(compared), unbroken, (first, second))


def _as_seen(flights: pd.DataFrame, score: np.ndarray) -> pd.DataFrame:
    return flights[LIVE].assign(score=score, weekday=flights["weekday"].map(DAYS))


def _week(reference: Reference, place: int, flights: pd.DataFrame) -> Week:
    monday = FIRST + pd.DateOffset(weeks=place)
    profile = reference.profile()
    profile.observe_many(flights, at=monday + pd.DateOffset(days=7))
    report = reference.compare(profile)
    return Week(f"{monday.day} {monday:%b}", report, data_check(report)())
