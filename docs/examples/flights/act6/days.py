"""The days after the summer: what was judged of each, of yesterday alone and of the last seven days."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Final

import numpy as np

import truth
from mlguard import Guards, Measurement, MemoryStore, at_least, guard, require
from mlguard.drift import Reference
from mlguard.performance import Estimate, Outcomes
from mlguard.policies.simulate import backtest
from production import FLOOR, LABELS_AFTER, WANTED, given
from responses import LADDER, NAIVE, tradeoff
from truth import DAY, FIRST, LAST, SUMMER

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from mlguard import Decision, Verdict
    from mlguard.drift import Profile
    from mlguard.policies.simulate import Sweep
    from mlguard.requirements import DriftGuard
    from story import Story
    from terminal import Screen

READ: Final = ["hour", "carrier", "origin", "distance", "score"]
NAMES: Final = ("drift", "estimated performance", "performance")
LEAST: Final = 200
"""Flights that a floor is held against."""


@dataclass(frozen=True, slots=True)
class Response:
    """What two policies would have decided, and the trade-off behind one of their numbers."""

    times: Sequence[float]
    decisions: dict[str, list[Decision]]
    sweep: Sweep

    @property
    def naive(self) -> list[Decision]:
        """What the naive threshold would have decided."""
        return self.decisions["naive threshold"]

    @property
    def ladder(self) -> list[Decision]:
        """What the ladder would have decided."""
        return self.decisions["ladder"]


@dataclass(frozen=True, slots=True)
class Signals:
    """What judges a day."""

    days: dict[int, pd.DataFrame]
    profiles: dict[int, Profile]
    drift: DriftGuard
    estimate: Estimate

    def verdicts(self, day: int, width: int, outcomes: Outcomes) -> tuple[Verdict, ...]:
        """Judge the days up to one: inputs, estimated accuracy, and accuracy by the labels that have come."""
        now, days = FIRST + (day + 1) * DAY, range(day - width + 1, day + 1)
        drift = self.drift.compare(reduce(add, [self.profiles[each] for each in days])).verdict()
        score = np.concatenate([self.days[each]["score"].to_numpy() for each in days])
        floor = require(LEAST, at_least(FLOOR))
        estimated = self.estimate.estimate(score, at=now)["accuracy"]
        realised = outcomes.measure(now)[0]
        return (
            replace(drift, name=NAMES[0], at=now),
            guard(estimated, floor, name=NAMES[1])(),
            guard(realised, floor, name=NAMES[2])(),
        )


def live(story: Story, screen: Screen) -> Response:
    """Judge every day after the summer twice, replay both policies, and simulate one of their numbers."""
    with screen.steps(3) as step:
        with step("Counting July and August"):
            flights = truth.flights(story)
            summer = flights[flights["week"] < SUMMER]
            estimate = Estimate.fit(summer["late"], summer["score"])
            days = {int(float(str(day))): rows for day, rows in flights.groupby("day")}
            reference = Reference.fit(summer[READ])
            profiles = {day: reference.profile(rows[READ]) for day, rows in days.items()}
            guards = Guards.build(WANTED, reference=reference, store=MemoryStore())
            signals = Signals(days, profiles, given(guards.drift), estimate)
        with step("Judging every day, alone and with the six before it"):
            judged = range(7 * SUMMER, 7 * LAST)
            times = [FIRST + (day + 1) * DAY for day in judged]
            decisions = {}
            for name, policy, width in (("naive threshold", NAIVE, 1), ("ladder", LADDER, 7)):
                outcomes = _labelled(flights, width)
                verdicts = zip(
                    *(signals.verdicts(day, width, outcomes) for day in judged), strict=True
                )
                history = dict(zip(NAMES, verdicts, strict=True))
                decisions[name] = backtest(policy, history, times=times)
        with step("Simulating how long to wait before an alert"):
            each_day = [
                Measurement("accuracy", float((rows["late"] == rows["likely"]).mean()), n=len(rows))
                for day, rows in sorted(days.items())
                if day < 7 * SUMMER
            ]
            found = tradeoff(each_day, FLOOR)
    return Response(times, decisions, found)


def _labelled(flights: pd.DataFrame, width: int) -> Outcomes:
    outcomes = Outcomes(LABELS_AFTER, loss="accuracy", window=timedelta(days=width))
    names = ("id", "predicted_at", "prediction", "label", "labelled_at")
    outcomes.add(truth.columns(flights, *names))
    return outcomes
