"""The whole story: drift, a retrain, a gate, an approval, a canary; promoted, or taken back."""

# mypy: disable-error-code="untyped-decorator, no-untyped-call"

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airflow.sdk import PokeReturnValue, dag, task

import late_flights
from mlguard import Verdict
from mlguard.integrations.airflow import guarded_task

SETTINGS: dict[str, Any] = {"start_date": datetime(2026, 1, 1, tzinfo=UTC), "catchup": False}


@dag(schedule="@daily", **SETTINGS)
def watch() -> None:
    """See whether the data has drifted; if it has, train a candidate, judge it, and ask."""

    @task
    def drift() -> list[str]:
        return [str(decision.action) for decision in late_flights.responses()]

    @task.branch
    def choose(actions: list[str]) -> str | None:
        return "retrain" if "retrain" in actions else None

    @task
    def retrain() -> str:
        return late_flights.retrain()

    @guarded_task(unknown="fail")
    def gate(candidate: str) -> Verdict:
        return late_flights.gate(candidate)

    @task
    def ask(candidate: str, found: dict[str, Any]) -> None:
        late_flights.ask(candidate, Verdict.from_dict(found))

    candidate = retrain()
    choose(drift()) >> candidate
    ask(candidate, gate(candidate))


@dag(schedule="@hourly", max_active_runs=1, **SETTINGS)
def release() -> None:
    """Hold until two people have approved; then send the canary out, and promote it or not."""

    @guarded_task(unknown="skip")
    def approval() -> Verdict:
        return late_flights.approval()

    @task.sensor(poke_interval=late_flights.EVERY, timeout=30 * 86_400.0, mode="reschedule")
    def canary() -> PokeReturnValue:
        phase = late_flights.turn()
        return PokeReturnValue(phase in {"promoted", "rolled back"}, phase)

    @task.branch
    def choose(phase: str) -> str:
        return "promote" if phase == "promoted" else "take_back"

    @task
    def promote() -> None:
        late_flights.promote()

    @task
    def take_back() -> None:
        late_flights.take_back()

    decided = canary()
    approval() >> decided
    choose(decided) >> [promote(), take_back()]


watching, releasing = watch(), release()
