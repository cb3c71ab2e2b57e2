"""The gate of a candidate: what the document asks of its performance, and checks of one's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from mlguard.arguments import refusal
from mlguard.performance.policies import not_worse
from mlguard.policies.combine import worst
from mlguard.policies.guards import guard
from mlguard.values import Measurement, Verdict, unjudged

if TYPE_CHECKING:
    from mlguard.policies.thresholds import Limits
    from mlguard.protocols import Check, Policy
    from mlguard.requirements.sections import Performance


def gate_of(
    wanted: Performance | None,
    checks: Sequence[Check],
    achieved: Measurement | None,
    change: Measurement | None,
) -> Check:
    """Make the gate; see `Guards.gate`."""
    found = list(checks)
    if wanted is not None and wanted.limit is not None:
        reached = _named("achieved", achieved, wanted.metric)
        found.append(guard(reached, held(wanted.limit), name=f"{wanted.metric} achieved"))
    if wanted is not None and wanted.not_worse_by is not None:
        moved = _named("change", change, f"{wanted.metric} change")
        policy = not_worse(margin=wanted.not_worse_by)
        found.append(guard(moved, policy, name=f"{wanted.metric} change"))
    return worst("gate", *found)


def held(limit: Limits) -> Policy:
    """Make the policy of a floor or ceiling: it must be proven.

    Of a measurement of the user's own that has no interval the value counts. One that says the
    reason why it has none rests on too little.
    """
    proven = replace(limit, proven=True)

    def judge(measurement: Measurement) -> Verdict:
        bare = measurement.low is None and measurement.high is None
        if bare and "reason" in measurement.details:
            return unjudged(measurement, str(measurement.details["reason"]))
        return (limit if bare else proven)(measurement)

    return judge


def _named(parameter: str, value: object, name: str) -> Measurement:
    if not isinstance(value, Measurement):
        raise refusal(parameter, value, f"a measurement named {name!r}")
    if value.name != name:
        raise refusal(f"{parameter}.name", value.name, repr(name))
    return value
