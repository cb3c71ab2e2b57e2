"""The gate of a candidate: what the document asks of its performance, and checks of one's own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mlguard.arguments import refusal
from mlguard.performance.policies import not_worse
from mlguard.policies.combine import worst
from mlguard.policies.guards import guard
from mlguard.values import Measurement

if TYPE_CHECKING:
    from mlguard.protocols import Check
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
        found.append(guard(reached, wanted.limit, name=f"{wanted.metric} achieved"))
    if wanted is not None and wanted.not_worse_by is not None:
        moved = _named("change", change, f"{wanted.metric} change")
        policy = not_worse(margin=wanted.not_worse_by)
        found.append(guard(moved, policy, name=f"{wanted.metric} change"))
    return worst("gate", *found)


def _named(parameter: str, value: object, name: str) -> Measurement:
    if not isinstance(value, Measurement):
        raise refusal(parameter, value, f"a measurement named {name!r}")
    if value.name != name:
        raise refusal(f"{parameter}.name", value.name, repr(name))
    return value
