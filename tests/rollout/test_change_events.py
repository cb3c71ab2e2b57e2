"""Detectors beside a rollout: an alarm is an event, and a detector is a check."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from mlguard import Keyed
from mlguard.drift.streams import ScanGLR
from mlguard.rollout import Guardrail, RollbackEngine, RollbackPlan
from mlguard.testing import ManualClock

ARMS: tuple[Literal["canary", "baseline"], ...] = ("canary", "baseline")
TENANTS = [f"tenant {place}" for place in range(10)]


def engine(clock: ManualClock, **more: Any) -> RollbackEngine:
    plan = RollbackPlan([0.5], guardrails=[Guardrail("changes")], bake=60)
    return RollbackEngine(plan, clock=clock, **more)


def run(moved: dict[str, float], minutes: int = 10) -> RollbackEngine:
    """Feed the scores of both arms, whose mean moves in the fifth minute, tenant by tenant."""
    clock, rng = ManualClock(1_800_000_000.0), np.random.default_rng(1)
    rollout = engine(clock)
    scores = {arm: Keyed(lambda: ScanGLR(false_alarm_every=100_000), by="tenant") for arm in ARMS}
    for minute in range(minutes):
        for arm in ARMS:
            mean = moved[arm] if minute >= 5 else 0.0
            found = [scores[arm][key].observe_many(rng.normal(mean, 1.0, 50)) for key in TENANTS]
            rollout.observe(arm, requests=500, events={"changes": sum(map(len, found))})
        clock.advance(60.0)
        rollout.decide()
    return rollout


def test_changes_of_many_streams_in_the_canary_alone_roll_it_back() -> None:
    assert run({"canary": 2.0, "baseline": 0.0}).phase == "rolled back"


def test_changes_that_both_arms_see_are_the_worlds_and_no_reason() -> None:
    rollout = run({"canary": 2.0, "baseline": 2.0})
    assert rollout.phase != "rolled back"
    [finding] = rollout.findings
    assert finding["events"] == [len(TENANTS), len(TENANTS)]


def test_one_change_is_one_event_and_proves_nothing_of_a_canary() -> None:
    clock = ManualClock(1_800_000_000.0)
    rollout = engine(clock)
    for minute in range(5):
        rollout.observe("baseline", requests=500)
        rollout.observe("canary", requests=500, events={"changes": int(minute == 2)})
        clock.advance(60.0)
        rollout.decide()
    assert rollout.phase != "rolled back"


def test_a_detector_holds_the_next_stage_as_any_check_does() -> None:
    clock, rng = ManualClock(1_800_000_000.0), np.random.default_rng(1)
    detector = ScanGLR()
    detector.observe_many(rng.normal(np.repeat([0.0, 4.0], 200)))
    plan = RollbackPlan([0.1, 0.5], guardrails=[Guardrail("errors")], bake=60)
    rollout = RollbackEngine(plan, budget=detector, clock=clock)

    def go_on() -> float:
        for _ in range(6):
            rollout.observe("baseline", requests=9_000, events={"errors": 90})
            rollout.observe("canary", requests=1_000, events={"errors": 10})
            clock.advance(30.0)
            rollout.decide()
        return rollout.share

    assert go_on() == 0.1
    detector.reset()  # somebody has looked at it
    assert go_on() == 0.1  # nothing is known yet
    detector.observe_many(rng.normal(4.0, 1.0, 200))
    assert go_on() == 0.5
