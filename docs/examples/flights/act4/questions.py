"""Who asks about which flight, and when: passengers through the apps of their airlines, and one app that runs away."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np

from act4.service import LIKELY
from data import airlines
from models import SEED

if TYPE_CHECKING:
    import pandas as pd

    from story import Story

DATE: Final = datetime(2013, 12, 10, tzinfo=ZoneInfo("America/New_York"))
"""A day of snow."""
DAY: Final = 86_400.0
HOUR: Final = 3600.0
MINUTE: Final = 60.0
PASSENGERS: Final = 3.0
"""Who ask about a flight, on average."""
AHEAD: Final = 3.0
"""Hours before the last one in which they ask, on average."""


@dataclass(frozen=True, slots=True)
class Loop:
    """An app that asks about the same flight again and again."""

    client: str
    start: float
    end: float
    a_minute: int


LOOP: Final = Loop("Virgin America", 12 * HOUR, 13 * HOUR, 200)


class Question(NamedTuple):
    """Someone asks about a flight."""

    at: float
    """Seconds since midnight."""
    client: str
    flight: int
    looped: bool


def ask(story: Story) -> tuple[pd.DataFrame, list[Question]]:
    """Return the flights of two days with the chance that each is late, and all questions of the first day."""
    today = (DATE.replace(tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)).days
    flights = story.exam[(story.day == today) | (story.day == today + 1)].reset_index(drop=True)
    flights["chance"] = story.candidate.predict(flights)
    flights["client"] = flights["carrier"].astype(str).map(airlines())
    due = flights["due"].to_numpy() * MINUTE - DATE.timestamp()
    asked = sorted([*_passengers(flights["client"].to_numpy(), due), *_loop(flights, due)])
    return flights, [each for each in asked if 0.0 <= each.at < DAY]


def _passengers(client: np.ndarray, due: np.ndarray) -> list[Question]:
    random = np.random.default_rng(SEED)
    flight = np.repeat(np.arange(len(due)), random.poisson(PASSENGERS, len(due)))
    at = due[flight] - HOUR * (1.0 + random.exponential(AHEAD, len(flight)))
    return [
        Question(float(when), client[which], int(which), looped=False)
        for when, which in zip(at, flight, strict=True)
    ]


def _loop(flights: pd.DataFrame, due: np.ndarray) -> list[Question]:
    """Return the questions of the loop, about the first flight of its airline that is due after it and likely late."""
    about = (flights["client"] == LOOP.client) & (due > LOOP.end) & (flights["chance"] >= LIKELY)
    flight, apart = int(np.flatnonzero(about)[0]), MINUTE / LOOP.a_minute
    times = np.arange(LOOP.start, LOOP.end, apart)
    return [Question(float(at), LOOP.client, flight, looped=True) for at in times]
