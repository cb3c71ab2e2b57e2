"""What the evidence says, guardrail by guardrail: for records, and for people."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from mlguard.render.text import number
from mlguard.rollout.machine import PROVEN_SAFE, Judged, State, excess, safe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlguard.rollout.evidence import Evidence
    from mlguard.rollout.means import Means
    from mlguard.rollout.plan import RollbackPlan


_RATIO, _ENDS = ("ratio_low", "ratio_high"), ("difference_low", "difference_high")


def because(plan: RollbackPlan, state: State, found: Judged) -> tuple[dict[str, Any], ...]:
    """Give the grounds of a decision as plain JSON, a mapping for each guardrail."""
    evidence = state.evidence
    lows, highs = evidence.ratio(plan.alpha)
    harm, safety, proven = evidence.harm, evidence.safety, safe(evidence)
    split = plan.split
    rows = []
    for row, guardrail in enumerate(plan.guardrails):
        means = evidence.means.get(row)
        if means is None:
            low = _proven(plan, state, row) if found.harmful[row] else float(lows[row])
            ends = {"ratio_low": low, "ratio_high": _finite(float(highs[row]))}
            foretold = {
                "events_to_harm": evidence.events_to_harm(
                    plan.table, row, plan.limits[row], guardrail.min_events
                ),
                "events_to_safety": evidence.events_to_safety(plan.table, row, PROVEN_SAFE),
            }
        else:
            ends = dict(zip(_ENDS, _difference(plan, means, row, found), strict=True))
            foretold = {}
        rows.append(
            {
                "guardrail": guardrail.name,
                "events": evidence.counts[row].tolist(),
                "requests": list(evidence.requests),
                "method": _method(evidence, row),
                **ends,
                "alpha": split.get(guardrail.name, plan.alpha),
                "log_e_harm": float(harm[row]),
                "log_limit": plan.limits[row],
                "log_e_safety": float(safety[row]),
                "excess_at_most": excess(evidence, row) if guardrail.kills else None,
                "worse": found.harmful[row],
                "safe": proven[row],
                **foretold,
            }
        )
    return tuple(rows)


def told(plan: RollbackPlan, state: State, row: int) -> str:
    """Say of a guardrail that is proven worse what was counted, and how much worse at least."""
    evidence = state.evidence
    if (means := evidence.means.get(row)) is not None:
        ends = means.proven(math.exp(-plan.limits[row]))
    else:
        _, highs = evidence.ratio(plan.alpha)
        ends = _proven(plan, state, row), float(highs[row])
    return f"{_stands(plan, state, row, ends)}, and {_tolerated(plan, row)} is tolerated"


def above(plan: RollbackPlan, state: State, row: int) -> str:
    """Say of a guardrail that its ceiling is passed."""
    canary, of = state.evidence.counts[row, 0], state.evidence.trials[row, 0]
    ceiling = f"{plan.guardrails[row].ceiling:.3%}"
    name = plan.guardrails[row].name
    return f"{name}: {canary:,} of {of:,} of the canary, proven above the ceiling of {ceiling}"


def explained(plan: RollbackPlan, state: State, found: Judged) -> str:
    """Say where a rollout stands, why, and of each guardrail what would change that."""
    lines = [f"{state.phase.value}: {state.reason or 'nothing was decided yet'}"]
    for row, each in enumerate(because(plan, state, found)):
        guardrail = plan.guardrails[row]
        ends = [each[name] for name in (_ENDS if row in state.evidence.means else _RATIO)]
        parts = [_stands(plan, state, row, ends)]
        if each["worse"]:
            parts.append(f"proven worse, at {each['alpha']:.3g}")
        elif guardrail.kind != "success" and (more := each.get("events_to_harm")) is not None:
            harm = "roll it back" if guardrail.action == "rollback" else guardrail.action
            parts.append(f"{more:,} more of the canary, and none of the baseline, would {harm}")
        if each["safe"]:
            parts.append(f"proven {_bound(plan, row)}")
        elif not each["worse"] and (more := each.get("events_to_safety")) is not None:
            parts.append(f"about {more:,} more of both at equal rates prove it safe")
        lines.append("; ".join(parts))
    if state.late:
        lines.append(f"reports that came too late and are no evidence: {state.late:,}")
    return "\n".join(lines)


def _stands(plan: RollbackPlan, state: State, row: int, ends: Sequence[float | None]) -> str:
    """Say what was counted, and between which ends the truth lies."""
    evidence, guardrail = state.evidence, plan.guardrails[row]
    low, high = (None if end is None or math.isinf(end) else end for end in ends)
    means = evidence.means.get(row)
    if means is not None and not means.events:
        canary, baseline = means.bets.seen
        counted = f"{canary:,} values of the canary, {baseline:,} of the baseline"
    else:
        canary, baseline = evidence.counts[row].tolist()
        n_c, n_b = evidence.requests
        counted = f"{canary:,} of {n_c:,} requests of the canary, {baseline:,} of {n_b:,} "
        counted += "of the baseline"
        if plan.cluster is not None:
            counted = f"{canary:,} {plan.cluster}s of the canary, {baseline:,} of the baseline"
    if means is not None:
        middle = number(means.bets.difference, 3)
        apart = f"difference {middle}, {number(low or 0.0, 3)} to {number(high or 0.0, 3)}"
        return f"{guardrail.name}: {counted}; {apart}"
    ratio = (
        f"{number(low or 0.0, 3)} to {'any' if high is None else number(high, 3)} times the rate"
    )
    return f"{guardrail.name}: {counted}; {ratio}"


def _difference(plan: RollbackPlan, means: Means, row: int, found: Judged) -> tuple[float, float]:
    if found.harmful[row]:
        return means.proven(math.exp(-plan.limits[row]))
    return means.bets.interval(plan.alpha)


def _tolerated(plan: RollbackPlan, row: int) -> str:
    guardrail = plan.guardrails[row]
    lower = guardrail.unit == "difference" and guardrail.direction == "decrease"
    return number(0.0 - guardrail.tolerated if lower else guardrail.tolerated)


def _bound(plan: RollbackPlan, row: int) -> str:
    guardrail = plan.guardrails[row]
    if guardrail.unit == "difference" and guardrail.direction == "decrease":
        return f"above {number(-guardrail.bound)}"
    return f"below {number(guardrail.bound)}"


def _method(evidence: Evidence, row: int) -> str:
    if row in evidence.means:
        return "bets on the difference"
    return "2 x 2" if evidence.frequent[row] else "origin of events"


def _proven(plan: RollbackPlan, state: State, row: int) -> float:
    """Give the lower end of a guardrail that is proven worse: that of the test that proved it."""
    return state.evidence.proven_above(row, plan.guardrails[row].tolerated, plan.limits[row])


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
