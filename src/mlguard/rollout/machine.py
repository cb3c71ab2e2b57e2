"""The states of a rollout, and its steps: pure, so that each decision can be replayed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Self

from mlguard.rollout.evidence import Evidence
from mlguard.stats import sequential
from mlguard.stats.betting import NO_VALUES, Sums
from mlguard.stats.intervals import exact_proportion_interval

if TYPE_CHECKING:
    from mlguard.rollout.plan import RollbackPlan
    from mlguard.rollout.reports import Report

PROVEN_SAFE = -math.log(0.05)
"""Of a promotion of a canary that is worse by the margin: 5 %."""

_ASTRAY = -math.log(0.001)
"""Of finding a wrong share where there is none, which holds good canaries back: 0.1 %."""

_ABOUT = 1.5
"""By which factor the odds of a share may be off: users who keep their arm are few, and the share
of their requests is not exactly planned. Faults in routing are larger."""

_LABELS = 1_000
"""Intervals that wait for their other arm, and closed ones whose late reports are told from new."""

CARRIED = 60.0
"""Seconds for which the requests of one arm wait for the other's."""

SETTLING = 300.0
"""Seconds in which intervals may still be about the stage before."""

_SILENCE = math.log(1e-4)
"""Of one arm's silence: rarer than this under the planned share, it is a fault in reporting."""


class Phase(StrEnum):
    """Where a rollout stands."""

    PENDING = "pending"
    STAGE = "stage"
    HOLD = "hold"
    APPROVAL = "awaiting approval"
    PROMOTED = "promoted"
    ROLLED_BACK = "rolled back"
    ABORTED = "aborted"
    EXPIRED = "expired"


OVER = frozenset({Phase.PROMOTED, Phase.ROLLED_BACK, Phase.ABORTED, Phase.EXPIRED})
"""Phases that nothing leads out of."""

_APART = math.log(4.0)
"""Evidence that it is the canary's fault, without which nothing is killed fast: in an incident that
both arms share, events are more frequent than any ceiling, and no canary should go for that."""

Counts = tuple[int, int]
"""Of canary and baseline."""


@dataclass(frozen=True, slots=True)
class Interval:
    """What was reported of an interval so far. Immutable.

    Attributes:
        requests: Of canary and baseline.
        events: Likewise, by name.
        trials: Likewise, clusters at risk, where clusters are counted.
        values: Likewise, sums of values.
        stage: Whose share it is held against; None where that is not known.
    """

    requests: Counts = (0, 0)
    events: Mapping[str, Counts] = field(default_factory=dict)
    trials: Mapping[str, Counts] = field(default_factory=dict)
    values: Mapping[str, tuple[Sums, Sums]] = field(default_factory=dict)
    stage: int | None = None

    def plus(self, place: int, report: Report) -> Interval:
        """Add a report of one arm."""
        values = dict(self.values)
        for name, sums in report.values.items():
            canary, baseline = values.get(name, (NO_VALUES, NO_VALUES))
            values[name] = (canary, baseline + sums) if place else (canary + sums, baseline)
        return Interval(
            _plus(self.requests, place, report.requests),
            _added(self.events, place, report.events),
            _added(self.trials, place, report.trials) if report.trials else self.trials,
            values,
            self.stage,
        )

    def to_dict(self) -> dict[str, Any]:
        """Give plain JSON."""
        return {
            "requests": list(self.requests),
            "events": {name: list(pair) for name, pair in self.events.items()},
            "trials": {name: list(pair) for name, pair in self.trials.items()},
            "values": {
                name: [[each.n, *each.powers] for each in pair]
                for name, pair in self.values.items()
            },
            "stage": self.stage,
        }

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Interval:
        """Read what `to_dict` wrote."""
        return cls(
            (record["requests"][0], record["requests"][1]),
            {name: (pair[0], pair[1]) for name, pair in record["events"].items()},
            {name: (pair[0], pair[1]) for name, pair in record["trials"].items()},
            {name: (_sums(*pair[0]), _sums(*pair[1])) for name, pair in record["values"].items()},
            record["stage"],
        )

    @property
    def paired(self) -> bool:
        """Whether both arms had requests."""
        return min(self.requests) > 0


@dataclass(frozen=True, slots=True)
class State:
    """All that is remembered of a rollout. Immutable.

    Attributes:
        evidence: From intervals that are closed.
        phase: Where it stands.
        stage: Number of the stage.
        reason: Why it stands there.
        began: When it began.
        entered: When the stage began.
        settled: Whether intervals that are first heard of now are about this stage.
        at_entry: Requests of both arms when the stage began.
        seen: Requests of this stage, evidence or not.
        no_data_since: Since when an arm has had no requests.
        paused: Why an operator paused it, or nothing.
        open: Intervals that are not closed, by name; that of "" is "since the last decision".
        closed: Names of intervals that are, and the stage of each.
        sources: Of each source and arm its last number and counters.
        late: Reports that came too late.
        opened: When the interval since the last decision began.
        exposed: Requests that the canary answered, evidence or not.
        cost: Of these.
        users: Clusters among these, where clusters are counted.
        notified: Guardrails whose harm was told.
        said: Operators' commands since the last decision.
        told: The reason of the HOLD that the sinks heard of and that goes on.
    """

    evidence: Evidence
    phase: Phase = Phase.PENDING
    stage: int = 0
    reason: str = ""
    began: float | None = None
    entered: float = 0.0
    settled: bool = True
    at_entry: Counts = (0, 0)
    seen: Counts = (0, 0)
    no_data_since: float | None = None
    paused: str = ""
    open: Mapping[str, Interval] = field(default_factory=dict)
    closed: Mapping[str, int | None] = field(default_factory=dict)
    sources: Mapping[str, Any] = field(default_factory=dict)
    late: int = 0
    opened: float = 0.0
    exposed: int = 0
    cost: float = 0.0
    users: int = 0
    notified: tuple[str, ...] = ()
    said: tuple[str, ...] = ()
    told: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Give plain JSON."""
        plain = ("stage", "reason", "began", "entered", "settled", "at_entry", "seen", "paused")
        others = ("no_data_since", "late", "opened", "exposed", "cost", "users", "told")
        return {
            **{name: getattr(self, name) for name in (*plain, *others)},
            "phase": self.phase.value,
            "evidence": self.evidence.to_dict(),
            "open": {name: each.to_dict() for name, each in self.open.items()},
            "closed": dict(self.closed),
            "notified": list(self.notified),
            "said": list(self.said),
            "sources": deepcopy(dict(self.sources)),
        }

    @classmethod
    def from_dict(cls, record: Mapping[str, Any], plan: RollbackPlan) -> Self:
        """Read what `to_dict` wrote."""
        given = dict(record)
        if lacking := {each.name for each in fields(cls)} ^ given.keys():
            raise ValueError(f"{sorted(lacking)} lack or are unknown")
        given["phase"] = Phase(given["phase"])
        many = len(plan.guardrails)
        given["evidence"] = Evidence.from_dict(given["evidence"], many, plan.table.means)
        given["open"] = {name: Interval.from_dict(each) for name, each in given["open"].items()}
        given["closed"] = dict(given["closed"])
        for name in ("notified", "said", "at_entry", "seen"):
            given[name] = tuple(given[name])
        given["sources"] = deepcopy(dict(given["sources"]))
        return cls(**given)


def _sums(n: int, *powers: float) -> Sums:
    first, second, third, fourth = powers
    return Sums(n, (first, second, third, fourth))


def _plus(counts: Counts, place: int, more: int) -> Counts:
    return (counts[0] + more, counts[1]) if place == 0 else (counts[0], counts[1] + more)


def _added(counts: Mapping[str, Counts], place: int, more: Mapping[str, int]) -> dict[str, Counts]:
    found = dict(counts)
    for name, count in more.items():
        found[name] = _plus(found.get(name, (0, 0)), place, count)
    return found


def observed(state: State, place: int, report: Report, interval: str) -> State:
    """Take in a report of one arm."""
    exposed, cost = state.exposed, state.cost
    if place == 0:
        exposed, cost = exposed + report.requests, cost + report.cost
    late = interval in state.closed
    if late:
        stage = state.closed[interval]
    else:
        here = state.stage if state.settled or not interval else None
        before = state.open.get(interval) or Interval(stage=here)
        stage = before.stage
    seen = _plus(state.seen, place, report.requests) if stage == state.stage else state.seen
    if late:
        return replace(state, late=state.late + 1, exposed=exposed, cost=cost, seen=seen)
    added = {**state.open, interval: before.plus(place, report)}
    return replace(state, open=added, exposed=exposed, cost=cost, seen=seen)


def closed(plan: RollbackPlan, state: State, now: float) -> dict[str, Any]:
    """Turn the intervals in which both arms had requests into evidence; give what changes.

    Where one arm was silent, what the other reported waits for it: a minute at most, as rates
    drift, and counts of the two arms from different times are no comparison.
    """
    evidence, labels, seen = state.evidence, dict(state.closed), state.seen
    waiting = {}
    for name, interval in state.open.items():
        if not interval.paired:
            if name or now - state.opened < CARRIED:
                waiting[name] = interval
            elif interval.stage == state.stage and _unlikely(plan, state.stage, interval.requests):
                seen = seen[0] - interval.requests[0], seen[1] - interval.requests[1]
            continue
        events = [interval.events.get(each.name, (0, 0)) for each in plan.guardrails]
        trials = None
        if plan.cluster is not None:
            trials = [interval.trials.get(each.name, (0, 0)) for each in plan.guardrails]
        sums = {
            row: interval.values[each.name]
            for row, each in enumerate(plan.guardrails)
            if each.name in interval.values
        }
        evidence = evidence.after(plan.table, interval.requests, events, trials, sums)
        if name:
            labels[name] = interval.stage
    return {
        "evidence": evidence,
        "open": dict([*waiting.items()][-_LABELS:]),
        "closed": dict([*labels.items()][-_LABELS:]),
        "seen": seen,
        "opened": state.opened if "" in waiting else now,
    }


def _unlikely(plan: RollbackPlan, stage: int, requests: Counts) -> bool:
    """Tell whether one arm's silence beside the other's requests is no chance."""
    share, (canary, baseline) = plan.shares[stage], requests
    return canary * math.log(share) + baseline * math.log1p(-share) < _SILENCE


@dataclass(frozen=True, slots=True)
class Judged:
    """What the evidence amounts to, guardrail by guardrail. Immutable.

    Attributes:
        harmful: Which guardrails are proven worse.
        killed: Which guardrail's ceiling is proven to be passed, or None.
        astray: Whether the share of requests is proven not to be the planned one.
    """

    harmful: tuple[bool, ...]
    killed: int | None
    astray: bool


def judged(plan: RollbackPlan, state: State) -> Judged:
    """Hold the evidence against the plan."""
    evidence = state.evidence
    limits, harm = plan.limits, evidence.harm.tolist()
    harmful = tuple(
        harm[row] >= limits[row]
        and guardrail.kind != "success"
        and evidence.known(row) >= guardrail.min_events
        for row, guardrail in enumerate(plan.guardrails)
    )
    apart = [
        row
        for row, guardrail in enumerate(plan.guardrails)
        if guardrail.kills and not guardrail.absolute and harm[row] >= _APART
    ]
    killed = [row for row in apart if evidence.kill[row] >= plan.kill_limit]
    absolute = [row for row, guardrail in enumerate(plan.guardrails) if guardrail.absolute]
    killed += [row for row in absolute if evidence.above[row] >= plan.kill_limit]
    return Judged(harmful, killed[0] if killed else None, _astray(plan, state))


def safe(evidence: Evidence) -> tuple[bool, ...]:
    """Tell of each guardrail whether it is proven safe."""
    return tuple(found >= PROVEN_SAFE for found in evidence.safety.tolist())


def _astray(plan: RollbackPlan, state: State) -> bool:
    planned = plan.shares[state.stage]
    canary, baseline = state.seen
    if math.isnan(planned) or plan.mismatch == "ignore":
        return False
    total = canary + baseline
    return sequential.mismatch(canary, total, planned, within=_ABOUT) >= _ASTRAY


def in_stage(state: State) -> Counts:
    """Count the requests of this stage that are evidence."""
    now, before = state.evidence.requests, state.at_entry
    return now[0] - before[0], now[1] - before[1]


def excess(evidence: Evidence, row: int) -> float:
    """Give how many events the canary may have had beyond the baseline's rate, at 95 %."""
    canary, baseline = (int(each) for each in evidence.counts[row])
    n_c, n_b = (int(each) for each in evidence.trials[row])
    if not n_c:
        return 0.0
    lowest = exact_proportion_interval(min(baseline, n_b), n_b, 0.9)[0] if n_b else 0.0
    return max(canary - n_c * lowest, 0.0)
