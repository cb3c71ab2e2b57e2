"""Every night: has the data drifted? An alert for a breach, a retrain if the estimate fell too."""

# mypy: disable-error-code="untyped-decorator, no-untyped-call"

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from airflow.sdk import dag, task

from mlguard import Measurement, Reference, at_least, guard
from mlguard.integrations.airflow import branch, conclude, guarded_task

DRIFTED, ESTIMATE = 0.0, 0.80
"""How far tonight's rows have moved, and the estimated accuracy: yours come from the warehouse."""


def rows(seed: int, moved: float = 0.0) -> dict[str, Any]:
    """Read the rows of a day; made up here."""
    return {"amount": np.random.default_rng(seed).normal(moved, 1.0, 5_000)}


@dag(schedule="@daily", start_date=datetime(2026, 1, 1, tzinfo=UTC), catchup=False)
def daily_drift() -> None:
    """Compare the day with the reference, then alert, retrain or do nothing."""

    @guarded_task(unknown="fail", retries=2, retry_delay=timedelta(0))
    def enough_rows() -> Any:
        return guard(Measurement("rows", 5_000), at_least(1_000))

    @task
    def drift() -> dict[str, Any]:
        report = Reference.fit(rows(1)).compare(rows(2, DRIFTED))
        return report.verdict().to_dict()

    @task.branch
    def choose(found: dict[str, Any]) -> str | list[str] | None:
        return branch(
            found, {"OK": None, "WARN": "alert", "UNKNOWN": "alert", "BREACH": "alert_and_look"}
        )

    @task
    def alert() -> str:
        return "the data has drifted; nobody is woken for it alone"

    @task
    def alert_and_look() -> dict[str, Any]:
        floor = guard(Measurement("estimated accuracy", ESTIMATE), at_least(0.77))
        return conclude(floor)

    @task(trigger_rule="all_failed")
    def retrain() -> str:
        return "drifted, and worse: a new model is trained"

    found = drift()
    enough_rows() >> found
    chosen = choose(found)
    looked = alert_and_look()
    chosen >> [alert(), looked]
    looked >> retrain()


daily_drift()
