"""The rollback engine: counts in, decisions out, in a thin locked shell around pure steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np

from mlguard.arguments import finite, name_of, refusal, subject_of
from mlguard.checks import ask, checked
from mlguard.clocks import unix_clock
from mlguard.locks import Locked
from mlguard.policies.delivery import deliver
from mlguard.rollout import deciding, grounds, machine
from mlguard.rollout.clusters import Clusters
from mlguard.rollout.evidence import Evidence
from mlguard.rollout.machine import OVER, Phase, State
from mlguard.rollout.plan import RollbackPlan
from mlguard.rollout.reports import Report, grown, read

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from mlguard.protocols import Check, Clock, Sink
    from mlguard.values import Decision, Verdict

_ARMS = ("canary", "baseline")
_COMMANDS = ("pause", "resume", "abort", "promote")


class RollbackEngine(Locked):
    """Judges a canary against its baseline, as often as you like, and says what to do.

    Thread-safe. Per process; `state()` and `from_state` carry it over a restart, and one decider
    for all replicas is the rule. It moves no traffic: `share` says what the canary should get.

    Count requests and events of both arms with `observe`, and call `decide` when you want: after
    every request or every minute, at the same error rate. Evidence grows from intervals in which
    both arms had requests. While one is silent, what the other reports waits for it for a minute
    and is then left out, and the decision is a HOLD that says which.

    A false rollback has a probability of at most the plan's alpha over the whole rollout, if the
    requests are assigned to the arms independently of what comes of them, and if the events of
    different requests are independent. Where one user's retries all fail together, count the users
    with an event and not the events.

    Args:
        plan: The plan.
        subject: What goes out: service, model, version, environment.
        baseline: What it is compared with, for the record.
        act: False for an A/B comparison: the evidence is read, and nothing is decided.
        approval: A check that is asked where the plan wants an approval.
        budget: A check of the error budget: unless it is OK no further stage begins.
        clock: Of Unix seconds, `mlguard.clocks.unix_clock()` when not given.
        sinks: Each takes every decision that is not NONE; see `deliver`. Of a HOLD that goes on
            for the same reason only the first is delivered, and one for want of data when it has
            lasted for a minute.
        journal: Takes every report, look and command as plain JSON, in order, for `replay`. It is
            called while the engine is locked: let it append, and not wait. Where it raises, a
            report is not counted; a step is taken, told to the sinks, and the error raised then.

    Raises:
        ConfigurationError: An argument is not of its kind.

    Examples:
        >>> from mlguard.rollout import Guardrail, RollbackEngine, RollbackPlan
        >>> from mlguard.testing import ManualClock
        >>> clock = ManualClock(1_700_000_000)
        >>> plan = RollbackPlan([0.1, 0.5], guardrails=[Guardrail("errors")], bake=60)
        >>> engine = RollbackEngine(plan, subject={"version": "7"}, clock=clock)
        >>> for _ in range(3):
        ...     engine.observe("baseline", requests=900, events={"errors": 9})
        ...     engine.observe("canary", requests=100, events={"errors": 8})
        ...     clock.advance(30)
        ...     print(engine.decide().action, engine.share)
        rollback 0.0
        none 0.0
        none 0.0
        >>> print(engine.decide().reason)
        errors: 8 of 100 requests of the canary, 9 of 900 of the baseline; ... is tolerated
    """

    __slots__ = (
        "_clusters",
        "_state",
        "act",
        "approval",
        "budget",
        "clock",
        "journal",
        "plan",
        "sinks",
        "subject",
    )

    def __init__(
        self,
        plan: RollbackPlan,
        *,
        subject: Mapping[str, str | int] | None = None,
        baseline: str = "baseline",
        act: bool = True,
        approval: Check | None = None,
        budget: Check | None = None,
        clock: Clock | None = None,
        sinks: Sequence[Sink] = (),
        journal: Callable[[dict[str, Any]], object] | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(plan, RollbackPlan):
            raise refusal("plan", plan, "a RollbackPlan")
        self.plan = plan
        self.subject = {**subject_of(subject or {}), "baseline": name_of("baseline", baseline)}
        self.act = bool(act)
        self.approval = None if approval is None else checked(approval)
        self.budget = None if budget is None else checked(budget)
        self.clock: Clock = clock or unix_clock()
        self.sinks = tuple(sinks)
        self.journal = journal
        self._state = State(Evidence.none(len(plan.guardrails), plan.table.means))
        self._clusters = Clusters([each.name for each in plan.guardrails])

    @property
    def share(self) -> float:
        """What the canary should get of the requests, 0 to 1; NaN while something else moves it."""
        state = self._state
        if state.phase is Phase.PROMOTED:
            return 1.0
        return 0.0 if state.phase in OVER else self.plan.shares[state.stage]

    @property
    def phase(self) -> str:
        """Where the rollout stands: "stage", "hold", "rolled back" and so on."""
        return self._state.phase.value

    @property
    def over(self) -> bool:
        """Whether nothing more will be decided."""
        return self._state.phase in OVER

    @property
    def findings(self) -> tuple[dict[str, Any], ...]:
        """What the evidence says of each guardrail now, as decisions carry it in `because`."""
        state = self._state
        return grounds.because(self.plan, state, machine.judged(self.plan, state))

    def explain(self) -> str:
        """Say where the rollout stands and why, and of each guardrail what would change that."""
        state = self._state
        return grounds.explained(self.plan, state, machine.judged(self.plan, state))

    def observe(
        self,
        arm: Literal["canary", "baseline"],
        *,
        requests: int,
        events: Mapping[str, int] | None = None,
        values: Mapping[str, ArrayLike] | None = None,
        interval: str | None = None,
        source: str | None = None,
        seq: int | None = None,
        cluster: str | int | None = None,
        cost: float = 0.0,
    ) -> None:
        """Count requests of one arm, and the events among them.

        Args:
            arm: "canary" or "baseline".
            requests: How many.
            events: By the name of a guardrail, how many of them had that event; 0 for those that
                are left out. Other names are counted by nobody, and refused.
            values: By the name of a guardrail on values, those of these requests; of a source,
                those since its last report.
            interval: Ties the reports of both arms together, such as the minute they are about;
                since the last decision when not given. A report of an interval that is closed comes
                too late: its requests count as exposed, and are no evidence. Intervals that are
                first heard of in the first 5 minutes of a stage may be about the one before, and
                are not held against its share.
            source: Who reports, if the numbers are counters that only grow: then what is new is
                worked out. A first report counts whole, and a name that is left out stands where it
                stood. A counter that is lower than before was reset.
            seq: Number of the report of this source and arm: repeats and older ones are passed
                over. A process that starts again goes on counting, or takes another name.
            cluster: Whose requests these are, where the plan counts clusters.
            cost: What they cost, in the unit of `BlastRadius.cost`; of a source, all of its so far.

        Raises:
            ConfigurationError: A count is negative, no whole number, above 2**53 or more than the
                requests, or a name is unknown. Nothing was counted then.
        """
        if arm not in _ARMS:
            raise refusal("arm", arm, f"one of {list(_ARMS)}")
        bounds = {each.name: each.values for each in self.plan.guardrails}
        report = told = read(bounds, requests, events, values, cost)
        _fits(self.plan, cluster, source, seq)
        label = "" if interval is None else name_of("interval", interval)
        place = _ARMS.index(arm)
        with self._lock:
            state = self._state
            if state.phase in OVER:
                return
            if source is not None:
                key = f"{name_of('source', source)}/{arm}"
                if (new := grown(state.sources.get(key), report, seq)) is None:
                    return
                state, report = replace(state, sources={**state.sources, key: new[0]}), new[1]
            if self.journal is not None:
                ties = {"interval": interval, "source": source, "seq": seq, "cluster": cluster}
                self.journal({"observe": _written(arm, told, values, ties)})
            if cluster is not None and label not in state.closed:
                trials, first = self._clusters.first(label, place, cluster, report.events)
                report = replace(report, events=first, trials=trials)
                state = replace(state, users=self._clusters.users)
            self._state = machine.observed(state, place, report, label)

    def decide(self) -> Decision:
        """Close the intervals that both arms reported, and go one step.

        Raises:
            ExceptionGroup: Sinks failed; the step was taken, and `decide` may be called again.
        """
        now = finite("clock()", self.clock())
        checks: dict[str, Verdict] = {}
        for name, check in (("approval", self.approval), ("budget", self.budget)):
            if check is not None:
                checks[name] = ask(check)
        with self._lock:
            self._state, outcome, found = deciding.decided(
                self.plan, self._state, now, checks, act=self.act
            )
            self._clusters.keep(self._state.open)
            failed = None
            if self.journal is not None:
                said = {name: verdict.to_dict() for name, verdict in checks.items()}
                try:
                    self.journal({"decide": now, **said})
                except Exception as error:  # noqa: BLE001 -- raised when the sinks have heard
                    failed = error
            decision = deciding.decision(self.plan, self._state, outcome, found, now, self.subject)
        try:
            if outcome.told:
                deliver([decision], *self.sinks)
        finally:
            if failed is not None:
                raise failed
        return decision

    def command(self, name: str, *, who: str, reason: str) -> None:
        """Take an operator's command: "pause", "resume", "abort" or "promote" (by force).

        Args:
            name: Of the command.
            who: Who gives it.
            reason: Why; both stand in the next decision, which after "abort" is a ROLLBACK and
                after "promote" a PROMOTE.

        Raises:
            ConfigurationError: The command is unknown, a text is empty, or the rollout is over.
        """
        if name not in _COMMANDS:
            raise refusal("name", name, f"one of {list(_COMMANDS)}")
        words = f"{name_of('who', who)}: {name_of('reason', reason)}"
        with self._lock:
            state = self._state
            if state.phase in OVER:
                raise refusal("name", name, f"given before the rollout is over ({state.phase})")
            state = replace(state, said=(*state.said, f"{name} by {words}"))
            ends = {"abort": Phase.ABORTED, "promote": Phase.PROMOTED}
            if name in ends:
                self._state = replace(state, phase=ends[name], reason=state.said[-1])
            else:
                self._state = replace(state, paused=words if name == "pause" else "")
            if self.journal is not None:
                self.journal({"command": {"name": name, "who": who, "reason": reason}})

    def state(self) -> dict[str, Any]:
        """Give all that is remembered, as plain JSON."""
        own = {"kind": "rollback_engine", "schema": 1, "plan": self.plan.digest}
        own["subject"] = dict(self.subject)
        with self._lock:
            return {**own, "clusters": self._clusters.to_dict(), **self._state.to_dict()}

    def from_state(self, state: Mapping[str, Any]) -> Self:
        """Make the same engine with what another remembered.

        Raises:
            ConfigurationError: This is no state of an engine, or one of another plan or candidate:
                a new one begins without evidence.
        """
        record = dict(state) if isinstance(state, Mapping) else {}
        kind = record.pop("kind", None), record.pop("schema", None)
        if kind != ("rollback_engine", 1):
            raise refusal("state", state, "what state() of a rollback engine gave")
        if (plan := record.pop("plan", None)) != self.plan.digest:
            raise refusal("state", plan, f"of this plan, {self.plan.digest}")
        if (about := record.pop("subject", None)) != dict(self.subject):
            raise refusal("state", about, f"of this candidate, {dict(self.subject)}")
        other = copy(self)
        try:
            other._clusters = Clusters.from_dict(record.pop("clusters"), self._clusters.names)
            other._state = State.from_dict(record, self.plan)
        except (AttributeError, KeyError, TypeError, ValueError, IndexError) as error:
            raise refusal("state", sorted(record), f"whole: {error!r}") from None
        if other._state.stage not in range(stages := len(self.plan.shares)):
            raise refusal("state", other._state.stage, f"at one of the plan's {stages} stages")
        return other

    def __repr__(self) -> str:
        return f"<RollbackEngine {self.phase}, share {self.share:g}>"


def _fits(plan: RollbackPlan, cluster: object, source: object, seq: object) -> None:
    if (cluster is None) is not (plan.cluster is None):
        what = "given" if cluster is None else "left out"
        raise refusal("cluster", cluster, f"{what}: the plan's is {plan.cluster!r}")
    if cluster is not None and not isinstance(cluster, str | int):
        raise refusal("cluster", cluster, "text or a whole number")
    if cluster is not None and source is not None:
        raise refusal("source", source, "left out where clusters are counted")
    if seq is not None and source is None:
        raise refusal("seq", seq, "given with source")


def _written(
    arm: str, report: Report, values: Mapping[str, ArrayLike] | None, ties: Mapping[str, Any]
) -> dict[str, Any]:
    listed = {name: np.ravel(each).tolist() for name, each in (values or {}).items()}
    if listed:
        ties = {**ties, "values": listed}
    given = {name: value for name, value in ties.items() if value is not None}
    cost = {"cost": report.cost} if report.cost else {}
    counts = {"requests": report.requests, "events": dict(report.events)}
    return {"arm": arm, **counts, **cost, **given}
