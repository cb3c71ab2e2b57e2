"""What a requirements document means, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from mlguard.render.text import quantity

if TYPE_CHECKING:
    from mlguard.requirements.model import Requirements
    from mlguard.requirements.rollouts import Rollout
    from mlguard.requirements.rules import Rule
    from mlguard.requirements.sections import Cost, Drift, Latency, Performance


def explained(wanted: Requirements) -> Iterator[str]:
    """Give a line for each requirement."""
    owner = wanted.owner
    paged = f", paged at {owner.page}" if owner and owner.page else ""
    yield wanted.service + (f", owned by {owner.team}{paged}" if owner else "")
    if wanted.latency:
        yield from _latency(wanted.latency)
    if wanted.errors:
        slo, period = quantity(wanted.errors.slo, "share", 10), wanted.errors.period
        yield f"errors: at least {slo} of requests good over {_window(period)}"
    if wanted.cost:
        yield from _cost(wanted.cost)
    if wanted.drift:
        yield _drift(wanted.drift)
    if wanted.performance:
        yield _performance(wanted.performance)
    yield from map(_rule, wanted.respond)
    if wanted.rollout:
        yield _rollout(wanted.rollout)
    for environment, votes in wanted.approvals.items():
        roles = f", among them {' and '.join(votes.roles)}" if votes.roles else ""
        needed = votes.make().votes
        people = "person" if needed == 1 else "people"
        yield f"approvals: {needed} {people} before a rollout in {environment}{roles}"


def _latency(latency: Latency) -> Iterator[str]:
    parts = {
        "latency": latency,
        "time to the first item": latency.first_token,
        "time between items": latency.gap,
        "time to the end": latency.total,
    }
    for name, part in parts.items():
        if part is not None and part.limits:
            yield f"{name}: {_limits(part.limits)} over {quantity(latency.window, 's')}"


def _limits(limits: Mapping[float, float]) -> str:
    said = (f"p{100 * q:.10g} at most {quantity(limit, 's', 10)}" for q, limit in limits.items())
    return " and ".join(said)


def _window(window: str) -> str:
    number, blank, _ = window.partition(" ")
    return quantity(float(number), "s") if blank else f"a calendar {window}"


def _cost(cost: Cost) -> Iterator[str]:
    if cost.per_million:
        yield f"unit_cost: at most {cost.per_million} for a million inferences"
    if cost.cap and cost.window:
        zone = f" of {cost.timezone}" if " " not in cost.window else ""
        down = "nothing is spent" if cost.on_store_error == "deny" else "calls go on"
        charged = {"reserved": "all that was reserved for it", "floor": "what it reported"}
        yield (
            f"cost: at most {cost.cap} in {_window(cost.window)}{zone}; while the store is down "
            f"{down}; a call that never settled is charged {charged[cost.on_unsettled]}"
        )


def _drift(drift: Drift) -> str:
    breach = drift.line
    unit = "standard deviations" if drift.metric == "shift" else f"in {drift.metric}"
    lines = f"warns beyond {drift.tolerance:g} and breaches beyond {breach:g} {unit}"
    if drift.tolerance == breach:
        lines = f"breaches beyond {breach:g} {unit}"
    must = ", ".join(drift.must_be_conclusive)
    falsely = "" if drift.alpha == 0.01 else f", falsely in {quantity(drift.alpha, 'share')}"  # noqa: PLR2004 -- the default
    return f"drift: {lines}{falsely}" + (f"; {must} must have enough rows" if must else "")


def _performance(performance: Performance) -> str:
    said = []
    if performance.floor is not None:
        said.append(f"at least {performance.floor:g}")
    if performance.ceiling is not None:
        said.append(f"at most {performance.ceiling:g}")
    said = [f"proven to be {line}" for line in said]
    if performance.not_worse_by is not None:
        said.append(f"a candidate at most {performance.not_worse_by:g} worse than the champion")
    late = performance.labels_after
    after = f"; labels come after {quantity(late, 's')}" if late is not None else ""
    by_hand = "" if performance.live else "; its verdict is given to decide()"
    return f"performance: {performance.metric} {', '.join(said)}{after}{by_hand}"


def _rule(rule: Rule) -> str:
    verb = "are" if len(rule.when) > 1 else "is"
    lasts = f"for {rule.lasts} evaluations in a row"
    if isinstance(rule.lasts, float):
        lasts = f"for {quantity(rule.lasts, 's')}"
    lasting = "" if rule.lasts == 1 else f" {lasts}"
    pause = f", at most every {quantity(rule.cooldown, 's')}" if rule.cooldown else ""
    but = f", unless {' or '.join(rule.unless)} is called for" if rule.unless else ""
    return f"{rule.do}: when {' and '.join(rule.when)} {verb} {rule.severity}{lasting}{pause}{but}"


def _rollout(rollout: Rollout) -> str:
    plan, radius = rollout.make(), rollout.blast_radius
    stages = ", ".join(quantity(each, "share", 10) for each in rollout.stages)
    events = [each.name for each in plan.guardrails if each.action == "rollback"]
    said = [f"rollout: {stages} for {quantity(rollout.bake, 's')} each"]
    if events:
        alpha = quantity(rollout.alpha, "share")
        said.append(
            f"more {' or '.join(events)} than the baseline stop it, falsely in at most {alpha} of "
            "rollouts"
        )
    said += [
        f"more {each.name} lead to {each.action}"
        for each in plan.guardrails
        if each.action != "rollback"
    ]
    if plan.guardrails:
        margins = [f"{each.margin:g} times the baseline's {each.name}" for each in plan.guardrails]
        said.append(f"promoted once proven below {' and '.join(margins)}")
    if radius is not None:
        limits = {"requests": radius.requests, "excess events": radius.excess_events}
        most = [f"{value:,.10g} {name}" for name, value in limits.items() if value is not None]
        most += [] if radius.cost is None else [f"a cost of {radius.cost}"]
        said += [f"at most {' and '.join(most)} before a proof"] if most else []
    if rollout.max_duration is not None:
        said.append(f"ended after {quantity(rollout.max_duration, 's')}")
    return "; ".join(said)
