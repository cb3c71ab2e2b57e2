"""A canary in a transaction: what is judged a breach takes it back."""

# mypy: disable-error-code="untyped-decorator"

from __future__ import annotations

from prefect import flow, task
from prefect.transactions import Transaction, transaction

from mlguard import Measurement, Splitter, Verdict, at_most, guard
from mlguard.integrations.prefect import artifact, conclude, guarded_task
from mlguard.rollout import Router

router = Router("new".format, "old".format, splitter=Splitter("eta-v7"))  # two models


def judged() -> Verdict:
    """Judge the error rate of the canary; yours comes from the service."""
    return guard(Measurement("errors of the canary", 0.004), at_most(0.01))()


@task
def send_out(share: float) -> float:
    """Give the canary its share."""
    router.set_share(share)
    return share


@send_out.on_rollback
def take_back(_: Transaction) -> None:
    """Give all traffic back to the baseline."""
    router.rollback()


@guarded_task(unknown="fail", retries=2, retry_delay_seconds=0)
def judge() -> Verdict:
    """Judge the canary, and show it in the run."""
    found = judged()
    artifact(found, key="canary")
    return found


@flow
def canary() -> object:
    """Send the canary out, judge it, promote it; if it is a breach, take it back."""
    with transaction():
        send_out(0.05)
        found = judge().result()  # raises if it failed, and the transaction rolls back
        router.promote()
    return conclude(Verdict.from_dict(found))


if __name__ == "__main__":
    canary()
