"""A task that ends by a verdict, and what runs after it: training, an alert, cleaning up."""

# mypy: disable-error-code="untyped-decorator, no-untyped-call"

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import dag, task

from mlguard import Measurement, Verdict, at_least, guard
from mlguard.integrations.airflow import Unknown, guarded_task


def judged() -> Verdict:
    """Judge the labels of last night; yours come from the warehouse."""
    return guard(Measurement("labelled rows", 5_200), at_least(5_000))()


def made(unknown: Unknown) -> Any:
    """Make the DAG: what should a verdict do that could not judge?"""

    @dag(
        dag_id=f"train_unknown_{unknown}",
        schedule=None,
        start_date=datetime(2026, 1, 1, tzinfo=UTC),
        catchup=False,
    )
    def training() -> None:
        @guarded_task(unknown=unknown, retries=2, retry_delay=timedelta(0))
        def judge() -> Verdict:
            return judged()

        @task
        def train(found: dict[str, Any]) -> str:
            return f"trained, as {Verdict.from_dict(found).reason}"

        @task(trigger_rule="one_failed")
        def alert() -> str:
            return "somebody should look"

        @task(trigger_rule="all_done")
        def clean_up() -> str:
            return "whatever happened"

        found = judge()
        train(found)
        found >> [alert(), clean_up()]

    return training()


DAGS = {unknown: made(unknown) for unknown in ("fail", "skip", "pass")}
globals().update({dag.dag_id: dag for dag in DAGS.values()})  # where Airflow looks for them
