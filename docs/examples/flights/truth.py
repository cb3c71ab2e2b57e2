"""The flights from July on as a model owner gets them: scores at once, labels later, and one change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd

from models import SEED
from production import LABELS_AFTER

if TYPE_CHECKING:
    from story import Story

DAY: Final = 86_400.0
WEEK: Final = 7 * DAY
FIRST: Final = pd.Timestamp("2013-07-01", tz="UTC").timestamp()
SUMMER: Final = 9
"""Weeks of the reference."""
LAST: Final = 26
CHANGED: Final = 15
"""The week in which the change begins."""
MADE_LATE: Final = 0.15
"""Share of the punctual flights that the change makes late."""
LIKELY: Final = 0.5


def flights(story: Story) -> pd.DataFrame:
    """Return a row for each flight: what was known when it was scored, and its label with when that came."""
    rng = np.random.default_rng(SEED)
    found = story.exam[["origin", "carrier", "hour", "distance", "late"]].copy()
    found["id"] = np.arange(len(found))
    found["predicted_at"] = story.exam["due"] * 60.0
    found["score"] = story.candidate.predict(story.exam)
    found["likely"] = found["score"] >= LIKELY
    found["week"] = (found["predicted_at"] - FIRST) // WEEK
    found["day"] = (found["predicted_at"] - FIRST) // DAY
    found = found[(found["week"] >= 0) & (found["week"] < LAST)].copy()
    changed = (found["week"] >= CHANGED) & ~found["late"]
    found["made_late"] = changed & (rng.random(len(found)) < MADE_LATE)
    found["late"] |= found["made_late"]
    delay = rng.uniform(0.0, LABELS_AFTER.total_seconds(), len(found))
    return found.assign(labelled_at=found["predicted_at"] + delay)


def columns(rows: pd.DataFrame, *names: str) -> pd.DataFrame:
    """Return columns as `Outcomes.add` takes them."""
    return rows.assign(prediction=rows["likely"], label=rows["late"])[[*names]]
