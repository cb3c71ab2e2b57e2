"""What the acts of the demo share: the data, the models, and how an act hands its part to the report."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np
import pandas as pd

import data
import models
from mlguard import Reference

if TYPE_CHECKING:
    from numpy.typing import NDArray

    import terminal
    from mlguard import Decision, Verdict

CHAMPION_MONTHS: Final = range(1, 4)
CANDIDATE_MONTHS: Final = range(1, 7)
EXAM_MONTHS: Final = range(7, 13)
DAYS: Final = dict(enumerate(("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")))


@dataclass(frozen=True, slots=True)
class Story:
    """The stage: every act reads it, none changes it."""

    flights: pd.DataFrame
    """All flights of the year with the departure board joined as it should be."""
    exam: pd.DataFrame
    """The flights of the exam months, which no model has seen."""
    broken_exam: pd.DataFrame
    """The same flights with the departure board joined after the rename upstream."""
    champion: models.Model
    candidate: models.Model
    reference: Reference
    """What the candidate read from January to June, and what it said; saved with it."""

    @property
    def late(self) -> NDArray[np.bool_]:
        """The labels of the exam."""
        return self.exam["late"].to_numpy()

    @property
    def day(self) -> NDArray[np.int64]:
        """The date in New York on which each flight of the exam was due, as days since 1970."""
        due = pd.to_datetime(self.exam["due"] * 60, unit="s", utc=True)
        date = due.dt.tz_convert("America/New_York").dt.tz_localize(None)
        return date.to_numpy("datetime64[D]").astype(np.int64)


@dataclass(frozen=True, slots=True)
class Chapter:
    """What an act adds to the report."""

    anchor: str
    title: str
    headline: str
    lead: str
    body: str
    verdicts: dict[str, Verdict]
    decisions: tuple[Decision, ...] = ()


Act: TypeAlias = Callable[[Story, "terminal.Screen"], Chapter]


def prepare(screen: terminal.Screen) -> Story:
    """Read the data, join the features, train the models."""
    with screen.steps(7) as step:
        with step("Reading 336,776 flights"):
            rows = data.load()
        with step("Building the departure board"):
            feed = data.delay_feed(rows)
            flights = models.join_feed(rows, feed)
        with step("Training the champion on January to March"):
            champion = models.train_champion(_of(flights, CHAMPION_MONTHS))
        with step("Training the candidate on January to June"):
            candidate = models.train_candidate(_of(flights, CANDIDATE_MONTHS))
        with step("Counting what the candidate read"):
            read = _of(flights, CANDIDATE_MONTHS)
            reference = Reference.fit(seen(read, candidate.predict(read)))
        with step("Setting the exam: July to December"):
            exam = _of(flights, EXAM_MONTHS)
        with step("Breaking the departure board for one candidate"):
            broken_exam = models.join_feed(_of(rows, EXAM_MONTHS), models.break_feed(feed))
    return Story(flights, exam, broken_exam, champion, candidate, reference)


def seen(flights: pd.DataFrame, score: NDArray[np.float64]) -> pd.DataFrame:
    """Return what a model read of flights, and what it said, as the data check looks at it."""
    return flights[models.LIVE].assign(score=score, weekday=flights["weekday"].map(DAYS))


def _of(flights: pd.DataFrame, months: range) -> pd.DataFrame:
    return flights[flights["month"].isin(months)].reset_index(drop=True)
