"""One decision of a rollout: a pure function of plan, state, time and what the checks said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

from mlguard.policies.episodes import digest
from mlguard.records import iso, library_version
from mlguard.render.text import number
from mlguard.rollout.grounds import above, because, told
from mlguard.rollout.machine import (
    CARRIED,
    OVER,
    SETTLING,
    Judged,
    Phase,
    State,
    closed,
    excess,
    in_stage,
    judged,
    safe,
)
from mlguard.values import Action, Decision, Severity, Verdict

if TYPE_CHECKING:
    from mlguard.rollout.plan import RollbackPlan

_BY_COMMAND = {Phase.ABORTED: Action.ROLLBACK, Phase.PROMOTED: Action.PROMOTE}

Checks = Mapping[str, Verdict]
"""What was asked with a decision: "approval" and "budget"."""


@dataclass(slots=True)
class Outcome:
    """Where a step leads, which commands were given before it, and whether sinks are to hear."""

    phase: Phase
    action: Action
    reason: str
    stage: int
    said: tuple[str, ...] = ()
    told: bool = True


def decided(
    plan: RollbackPlan, state: State, now: float, checks: Checks, *, act: bool
) -> tuple[State, Outcome, Judged]:
    """Close what can be closed, read the evidence, and go one step.

    Args:
        plan: The plan.
        state: The state before.
        now: Unix seconds.
        checks: What the approval of the next stage and the error budget said, where asked.
        act: Whether anything may be decided but to go on.
    """
    if state.phase in OVER:
        action = _BY_COMMAND[state.phase] if state.said else Action.NONE
        outcome = Outcome(state.phase, action, state.reason, state.stage, state.said)
        outcome.told = bool(state.said)
        return replace(state, said=()), outcome, judged(plan, state)
    silent, said = _silent(state), state.said
    if state.began is None:
        state = replace(state, began=now, entered=now, opened=now)
    since = now if state.no_data_since is None else state.no_data_since
    state = replace(
        state, **closed(plan, state, now), no_data_since=since if silent else None, said=()
    )
    found = judged(plan, state)
    outcome = _next(plan, state, now, checks, found, silent) if act else _compared(state, found)
    outcome.said = said
    if act and outcome.action is Action.NONE:
        state, outcome = _notified(plan, state, found, outcome)
    same = outcome.action is Action.HOLD and (not outcome.told or outcome.reason == state.told)
    outcome.told = outcome.action is not Action.NONE and not same
    moved = outcome.stage != state.stage
    after = replace(
        state,
        phase=outcome.phase,
        stage=outcome.stage,
        reason=outcome.reason,
        told=outcome.reason if outcome.told else state.told if same else "",
        entered=now if moved else state.entered,
        settled=not moved and (state.settled or now - state.entered >= SETTLING),
        at_entry=state.evidence.requests if moved else state.at_entry,
        seen=(0, 0) if moved else state.seen,
    )
    return after, outcome, found


def _notified(
    plan: RollbackPlan, state: State, found: Judged, outcome: Outcome
) -> tuple[State, Outcome]:
    """Tell once of a guardrail that is proven worse and only notifies."""
    for row, guardrail in enumerate(plan.guardrails):
        new = guardrail.name not in state.notified
        if guardrail.action == "notify" and found.harmful[row] and new:
            known = replace(state, notified=(*state.notified, guardrail.name))
            reason = told(plan, state, row)
            return known, Outcome(outcome.phase, Action.ALERT, reason, outcome.stage, outcome.said)
    return state, outcome


def _silent(state: State) -> str:
    """Name the arm that had no requests since the last decision, or both."""
    requests = [each.requests for each in state.open.values()]
    canary, baseline = (sum(each[place] for each in requests) for place in (0, 1))
    if any(each.paired for each in state.open.values()):
        return ""
    if bool(canary) == bool(baseline):
        return "both arms of one interval" if canary else "either arm"
    return "the baseline" if canary else "the canary"


def _compared(state: State, found: Judged) -> Outcome:
    sides = ["worse"] if any(found.harmful) else []
    if all(safe(state.evidence)):
        sides.append("safe")
    reason = f"proven so far: {' and '.join(sides) or 'nothing'}"
    return Outcome(Phase.STAGE, Action.NONE, reason, state.stage)


def _next(  # noqa: PLR0911, PLR0917 -- in the order of what matters most
    plan: RollbackPlan, state: State, now: float, checks: Checks, found: Judged, silent: str
) -> Outcome:
    def outcome(phase: Phase, action: Action, reason: str, stage: int = state.stage) -> Outcome:
        return Outcome(phase, action, reason, stage)

    if why := _must_stop(plan, state, now, found):
        return outcome(Phase.ROLLED_BACK, Action.ROLLBACK, why)
    if ended := _expired(plan, state, now):
        return ended
    if state.paused:
        return outcome(Phase.HOLD, Action.HOLD, f"paused: {state.paused}")
    if silent:
        since = now if state.no_data_since is None else state.no_data_since
        waiting = outcome(Phase.HOLD, Action.HOLD, f"no data from {silent} since {iso(since)}")
        waiting.told = now - since >= CARRIED
        return waiting
    if why := _must_wait(plan, state, found, checks):
        return outcome(Phase.HOLD, Action.HOLD, why)
    baked = _baked(plan, state, now)
    last = state.stage == len(plan.shares) - 1
    if not baked:
        return outcome(Phase.STAGE, Action.NONE, _baking(plan, state))
    if not last:
        return _approved(plan, state, checks, state.stage + 1) or _advanced(plan, state, now)
    if unsafe := _unproven(plan, state):
        return outcome(Phase.STAGE, Action.NONE, f"not proven safe yet: {', '.join(unsafe)}")
    promoted = outcome(Phase.PROMOTED, Action.PROMOTE, "every guardrail is proven safe")
    return _approved(plan, state, checks, "promote") or promoted


def _expired(plan: RollbackPlan, state: State, now: float) -> Outcome | None:
    began = now if state.began is None else state.began
    if plan.max_duration is None or now - began < float(plan.max_duration):  # type: ignore[arg-type]
        return None
    why = "time is up and nothing is proven"
    if plan.on_inconclusive == "rollback":
        return Outcome(Phase.ROLLED_BACK, Action.ROLLBACK, why, state.stage)
    return Outcome(Phase.EXPIRED, Action.HOLD, why, state.stage)


def _must_stop(plan: RollbackPlan, state: State, now: float, found: Judged) -> str:
    if found.killed is not None:
        return above(plan, state, found.killed)
    for row, guardrail in enumerate(plan.guardrails):
        if guardrail.rolls_back and found.harmful[row]:
            return told(plan, state, row)
    most = plan.blast_radius
    for unit, used, limit in (
        ("requests were exposed", state.exposed, most.requests),
        (f"{plan.cluster}s were exposed", state.users, most.users),
        ("was spent on the canary", state.cost, most.cost),
    ):
        if limit is not None and used >= limit:
            return f"blast radius: {used:,} {unit}, and {limit:,} may be"
    allowed = most.excess_events
    for row, guardrail in enumerate(plan.guardrails):
        if allowed is None or not guardrail.kills:
            continue
        if (beyond := excess(state.evidence, row)) >= allowed:
            return (
                f"blast radius: up to {number(beyond, 3)} excess {guardrail.name}, "
                f"and {number(allowed)} may be"
            )
    since = state.no_data_since
    if (
        plan.on_no_data == "rollback"
        and since is not None
        and not state.paused
        and now - since >= float(plan.no_data_deadline)  # type: ignore[arg-type]
    ):
        return f"no data since {iso(since)}"
    return ""


def _must_wait(plan: RollbackPlan, state: State, found: Judged, checks: Checks) -> str:
    if found.astray:
        canary, baseline = state.seen
        share = canary / max(canary + baseline, 1)
        planned = plan.shares[state.stage]
        return f"the canary got {share:.3%} of the requests, and {planned:.3%} is planned"
    for row, guardrail in enumerate(plan.guardrails):
        if guardrail.action == "hold" and found.harmful[row]:
            return told(plan, state, row)
    budget = checks.get("budget")
    if budget is not None and not budget.ok:
        return f"the error budget is {budget.severity.name}: {budget.reason}"
    return ""


def _baked(plan: RollbackPlan, state: State, now: float) -> bool:
    long_enough = now - state.entered >= float(plan.bake)  # type: ignore[arg-type]
    return long_enough and in_stage(state)[0] >= plan.bake_requests


def _baking(plan: RollbackPlan, state: State) -> str:
    until = iso(state.entered + float(plan.bake))  # type: ignore[arg-type]
    wanted = f" and {plan.bake_requests:,} canary requests" if plan.bake_requests else ""
    return f"stage {state.stage + 1} of {len(plan.shares)} bakes until {until}{wanted}"


def _approved(plan: RollbackPlan, state: State, checks: Checks, step: int | str) -> Outcome | None:
    if step not in plan.approvals:
        return None
    approval = checks.get("approval")
    if approval is not None and approval.severity is Severity.OK:
        return None
    said = "nobody was asked" if approval is None else approval.reason
    what = "the promotion" if step == "promote" else f"stage {int(step) + 1}"
    return Outcome(Phase.APPROVAL, Action.HOLD, f"{what} awaits an approval: {said}", state.stage)


def _advanced(plan: RollbackPlan, state: State, now: float) -> Outcome:
    """Go to the next stage, unless what is left of the blast radius is too little for it."""
    share = plan.shares[state.stage + 1]
    most = plan.blast_radius.requests
    canary, baseline = in_stage(state)
    seconds = max(now - state.entered, 1e-9)
    ahead = (canary + baseline) / seconds * share * float(plan.bake)  # type: ignore[arg-type]
    if most is not None and ahead > most - state.exposed:
        left = most - state.exposed
        reason = (
            f"stage {state.stage + 2} would expose about {ahead:,.0f} requests, and {left:,} are "
            "left of the blast radius"
        )
        return Outcome(Phase.HOLD, Action.HOLD, reason, state.stage)
    reason = f"stage {state.stage + 2} of {len(plan.shares)}: share {share:.3%}"
    return Outcome(Phase.STAGE, Action.NONE, reason, state.stage + 1)


def _unproven(plan: RollbackPlan, state: State) -> list[str]:
    return [
        guardrail.name
        for guardrail, proven in zip(plan.guardrails, safe(state.evidence), strict=True)
        if guardrail.kind != "deterioration" and not proven
    ]


@lru_cache(maxsize=64)
def _key(plan: str, subject: tuple[tuple[str, str], ...], began: float | None) -> str:
    return digest([plan, dict(subject), began])


def decision(  # noqa: PLR0917 -- a decision holds all it rests on
    plan: RollbackPlan,
    state: State,
    outcome: Outcome,
    found: Judged,
    now: float,
    subject: Mapping[str, str],
) -> Decision:
    """Write a step as a decision."""
    return Decision(
        outcome.action,
        outcome.reason,
        subject=subject,
        at=now,
        key=_key(plan.digest, tuple(sorted(subject.items())), state.began),
        because=(
            {"phase": outcome.phase.value, "stage": outcome.stage, "commands": list(outcome.said)},
            *(() if outcome.action is Action.NONE else because(plan, state, found)),
        ),
        policy_digest=plan.digest,
        state_digest=state.evidence.digest,
        version=library_version(),
    )
