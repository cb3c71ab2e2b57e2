"""What the evidence says, guardrail by guardrail: for records, and for people."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from mlguard.render.text import number
from mlguard.rollout.machine import PROVEN_SAFE, Judged, State, excess, safe

if TYPE_CHECKING:
    from mlguard.rollout.plan import RollbackPlan


def because(plan: RollbackPlan, state: State, found: Judged) -> tuple[dict[str, Any], ...]:
    """Give the grounds of a decision as plain JSON, a mapping for each guardrail."""
    evidence = state.evidence
    lows, highs = evidence.ratio(plan.alpha)
    harm, safety, proven = evidence.harm, evidence.safety, safe(evidence)
    split = plan.split
    return tuple(
        {
            "guardrail": guardrail.name,
            "events": evidence.counts[row].tolist(),
            "requests": list(evidence.requests),
            "method": "2 x 2" if evidence.frequent[row] else "origin of events",
            "ratio_low": _proven(plan, state, row) if found.harmful[row] else float(lows[row]),
            "ratio_high": _finite(float(highs[row])),
            "alpha": split.get(guardrail.name, plan.alpha),
            "log_e_harm": float(harm[row]),
            "log_limit": plan.limits[row],
            "log_e_safety": float(safety[row]),
            "excess_at_most": excess(evidence, row) if guardrail.kills else None,
            "worse": found.harmful[row],
            "safe": proven[row],
            "events_to_harm": evidence.events_to_harm(
                plan.table, row, plan.limits[row], guardrail.min_events
            ),
            "events_to_safety": evidence.events_to_safety(plan.table, row, PROVEN_SAFE),
        }
        for row, guardrail in enumerate(plan.guardrails)
    )


def told(plan: RollbackPlan, state: State, row: int) -> str:
    """Say of a guardrail that is proven worse what was counted, and how much worse at least."""
    _, highs = state.evidence.ratio(plan.alpha)
    ends = _ends(_proven(plan, state, row), _finite(float(highs[row])))
    tolerated = number(plan.guardrails[row].tolerance)
    return f"{_counted(plan, state, row)}; {ends} times the rate, and {tolerated} is tolerated"


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
        ends = _ends(each["ratio_low"], each["ratio_high"])
        parts = [f"{_counted(plan, state, row)}; {ends} times the rate"]
        if each["worse"]:
            parts.append(f"proven worse, at {each['alpha']:.3g}")
        elif guardrail.kind != "success" and (more := each["events_to_harm"]) is not None:
            harm = (
                "would roll it back"
                if guardrail.action == "rollback"
                else f"would {guardrail.action}"
            )
            parts.append(f"{more:,} more of the canary, and none of the baseline, {harm}")
        if each["safe"]:
            parts.append(f"proven below {number(guardrail.bound)}")
        elif not each["worse"] and (more := each["events_to_safety"]) is not None:
            parts.append(f"about {more:,} more of both at equal rates prove it safe")
        lines.append("; ".join(parts))
    return "\n".join(lines)


def _counted(plan: RollbackPlan, state: State, row: int) -> str:
    canary, baseline = state.evidence.counts[row].tolist()
    n_c, n_b = state.evidence.requests
    unit = "requests" if plan.cluster is None else f"requests ({plan.cluster}s counted once)"
    return (
        f"{plan.guardrails[row].name}: {canary:,} of {n_c:,} {unit} of the canary, "
        f"{baseline:,} of {n_b:,} of the baseline"
    )


def _ends(low: float, high: float | None) -> str:
    return f"{number(low, 3)} to {'any' if high is None else number(high, 3)}"


def _proven(plan: RollbackPlan, state: State, row: int) -> float:
    """Give the lower end of a guardrail that is proven worse: that of the test that proved it."""
    return state.evidence.proven_above(row, plan.guardrails[row].tolerance, plan.limits[row])


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
