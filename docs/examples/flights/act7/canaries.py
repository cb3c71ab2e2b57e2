"""Two rollouts on replayed flights: each flight is one request, and goes to one arm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from canary import engine
from data import FEED
from mlguard import Action, MemoryStore
from mlguard.rollout import Splitter
from mlguard.testing import ManualClock

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from mlguard import Decision
    from story import Story
    from terminal import Screen

HOUR: Final = 3_600.0
LIKELY: Final = 0.5


@dataclass(frozen=True, slots=True)
class Step:
    """What was decided in an hour."""

    at: float
    decision: Decision
    share: float

    @property
    def action(self) -> str:
        """What was decided."""
        return str(self.decision.action)

    @property
    def reason(self) -> str:
        """Why."""
        return self.decision.reason


@dataclass(frozen=True, slots=True)
class Canary:
    """One rollout from its first hour to its last: decisions, journal, and the evidence at the end."""

    name: str
    steps: tuple[Step, ...]
    journal: list[dict[str, Any]]
    findings: tuple[dict[str, Any], ...]

    @property
    def last(self) -> Step:
        """The step that ended it."""
        return self.steps[-1]

    @property
    def told(self) -> list[Step]:
        """The steps at which the share changed, or that ended it."""
        shares = [None, *(each.share for each in self.steps)]
        return [
            each for each, before in zip(self.steps, shares, strict=False) if each.share != before
        ]

    @property
    def exposed(self) -> int:
        """Requests that the canary answered, as far as they are evidence."""
        return int(self.findings[0]["requests"][0])


@dataclass(frozen=True, slots=True)
class Canaries:
    """Both rollouts."""

    broken: Canary
    better: Canary

    @property
    def both(self) -> tuple[Canary, Canary]:
        """First the broken one."""
        return self.broken, self.better


def live(story: Story, screen: Screen) -> Canaries:
    """Send both candidates out on the flights from July on."""
    with screen.steps(2) as step:
        baseline = _events(story, story.exam, story.champion.predict(story.exam))
        with step("Sending out the broken candidate"):
            broken = _rollout("broken", story, baseline, story.broken_exam)
        with step("Sending out the better candidate"):
            better = _rollout("better", story, baseline, story.exam)
    return Canaries(broken, better)


def _events(
    story: Story, seen: pd.DataFrame, score: NDArray[np.float64]
) -> dict[str, NDArray[np.bool_]]:
    return {
        "wrong": (score >= LIKELY) != story.late,
        "no board": seen[FEED].isna().all(axis=1).to_numpy(),
    }


def _rollout(
    name: str, story: Story, baseline: dict[str, NDArray[np.bool_]], seen: pd.DataFrame
) -> Canary:
    canary = _events(story, seen, story.candidate.predict(seen))
    due = story.exam["due"].to_numpy() * 60.0
    hours = (due // HOUR).astype(int)
    splitter = Splitter(f"late-flights-{name}")
    place = np.array([splitter.place(flight) for flight in range(len(due))])
    clock = ManualClock(hours[0] * HOUR)
    journal: list[dict[str, Any]] = []
    judge = engine(
        name,
        reference=story.reference,
        store=MemoryStore(),
        clock=clock,
        journal=journal.append,
    )
    steps = []
    for hour in range(hours[0], hours[-1] + 1):
        rows = slice(*np.searchsorted(hours, [hour, hour + 1]))
        chosen = place[rows] < judge.share
        for arm, events, here in (("canary", canary, chosen), ("baseline", baseline, ~chosen)):
            counts = {each: int(flags[rows][here].sum()) for each, flags in events.items()}
            judge.observe(arm, requests=int(here.sum()), events=counts)  # type: ignore[arg-type]
        clock.advance(HOUR)
        decision = judge.decide()
        steps.append(Step(clock(), decision, judge.share))
        if decision.action in {Action.ROLLBACK, Action.PROMOTE}:
            break
    return Canary(name, tuple(steps), journal, judge.findings)
