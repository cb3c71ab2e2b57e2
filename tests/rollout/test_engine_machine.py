"""Any sequence of reports, looks, commands and restarts: what the engine must never do."""

from __future__ import annotations

import itertools
import json
import math
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from mlguard import Action, Decision, Severity, Verdict
from mlguard.rollout import BlastRadius, Guardrail, RollbackEngine, RollbackPlan, replay
from mlguard.testing import ManualClock, RecordingSink

OVER = {"promoted", "rolled back", "aborted", "expired"}
START = 1_700_000_000.0
CARRIED = 60.0
GUARDRAILS = (
    Guardrail("errors"),
    Guardrail("slow", action="hold"),
    Guardrail("sales", direction="decrease", kind="deterioration", ceiling=0.5),
)
PLANS = [
    RollbackPlan(
        [0.1, 0.3, 0.6],
        guardrails=GUARDRAILS,
        bake=50,
        mismatch="ignore",
        approvals=[1, "promote"],
        blast_radius=BlastRadius(requests=60_000),
        max_duration=900.0,
    ),
    RollbackPlan(
        "external",
        guardrails=GUARDRAILS,
        bake=0,
        blast_radius=BlastRadius(requests=20_000),
        on_no_data="rollback",
        no_data_deadline=100.0,
    ),
    RollbackPlan([0.5], guardrails=GUARDRAILS[:1], bake=30, mismatch="ignore"),
]
ARMS = ("canary", "baseline")
SMALL, LARGE = st.integers(0, 40), st.integers(500, 20_000)


class Rollouts(RuleBasedStateMachine):
    """An engine, its twin that is restarted before each step, and a count of our own."""

    reached: ClassVar[set[str]] = set()

    @initialize(plan=st.sampled_from(PLANS))
    def begin(self, plan: RollbackPlan) -> None:
        self.plan = plan
        self.names = [each.name for each in plan.guardrails]
        self.clock = ManualClock(START)
        self.sink = RecordingSink()
        self.said = {"approval": Severity.UNKNOWN, "budget": Severity.OK}
        self.asked: dict[str, list[Severity]] = {"approval": [], "budget": []}
        self.engine = self.made(sinks=[self.sink])
        self.twin = self.made()
        self.events: list[dict[str, Any]] = []
        self.decisions: list[Decision] = []
        self.open: dict[str, dict[str, dict[str, int]]] = {}
        self.closed: list[str] = []
        self.opened = START
        self.counted = {arm: dict.fromkeys(("requests", *self.names), 0) for arm in ARMS}
        self.exposed = 0
        self.ending = False
        self.shares = [self.engine.share]

    def made(self, **more: Any) -> RollbackEngine:
        checks: dict[str, Any] = {
            name: (lambda name=name: Verdict(name, self.said[name], "as said"))
            for name in self.said
        }
        return RollbackEngine(self.plan, clock=self.clock, **checks, **more)

    def both(self, method: str, **keywords: Any) -> Any:
        """Do the same with the engine and, from its written state, with the twin."""
        record = json.loads(json.dumps(self.twin.state()))
        self.twin = self.made().from_state(record)
        theirs = getattr(self.twin, method)(**keywords)
        found = getattr(self.engine, method)(**keywords)
        assert found == theirs
        assert self.engine.state() == self.twin.state()
        return found

    def tell(self, arm: str, counts: dict[str, int], interval: str | None) -> None:
        events = {name: counts[name] for name in self.names}
        told = {"arm": arm, "requests": counts["requests"], "events": events, "interval": interval}
        self.events.append({"observe": told})
        self.both("observe", **told)
        label = interval or ""
        if self.engine.phase in OVER:
            return
        if label in self.closed:
            self.exposed += counts["requests"] if arm == "canary" else 0
            return
        empty = {each: dict.fromkeys(("requests", *self.names), 0) for each in ARMS}
        here = self.open.setdefault(label, empty)[arm]
        for name in here:
            here[name] += counts[name]
        self.exposed += counts["requests"] if arm == "canary" else 0

    @rule(
        arm=st.sampled_from(ARMS),
        n=SMALL,
        parts=st.tuples(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1)),
        interval=st.sampled_from([None, "12:00", "12:01", "12:02"]),
    )
    def one_arm_reports(
        self, arm: str, n: int, parts: tuple[float, ...], interval: str | None
    ) -> None:
        events = {name: int(part * n) for name, part in zip(self.names, parts, strict=False)}
        self.tell(arm, {"requests": n, **events}, interval)

    @rule(
        n_c=LARGE,
        n_b=LARGE,
        worse=st.sampled_from([1.0, 1.0, 1.0, 1.0, 1.3, 6.0]),
        sold=st.sampled_from([1.0, 1.0, 1.0, 1.0, 0.2]),
    )
    def traffic(self, n_c: int, n_b: int, worse: float, sold: float) -> None:
        """Both arms report usual counts, but for the canary's errors and sales."""
        for arm, n, errors, sales in (("canary", n_c, worse, sold), ("baseline", n_b, 1.0, 1.0)):
            rates = {"errors": 0.01 * errors, "slow": 0.02, "sales": 0.05 * sales}
            events = {name: round(rates[name] * n) for name in self.names}
            self.tell(arm, {"requests": n, **events}, None)

    @rule(n=st.integers(200, 2_000))
    def slow_canary(self, n: int) -> None:
        for arm, times in (("canary", 8), ("baseline", 1)):
            usual = {"errors": n // 100, "slow": times * (n // 50), "sales": n // 20}
            counts = {name: usual[name] for name in self.names}
            self.tell(arm, {"requests": n, **counts}, None)

    @rule(approval=st.sampled_from(Severity), budget=st.sampled_from([Severity.OK, Severity.WARN]))
    def others_say(self, approval: Severity, budget: Severity) -> None:
        self.said = {"approval": approval, "budget": budget}

    @rule(
        name=st.sampled_from(["pause", "resume", "resume", "abort", "promote"]),
        sure=st.integers(0, 5),
    )
    def command(self, name: str, sure: int) -> None:
        if self.engine.phase in OVER or (name in {"abort", "promote"} and sure):
            return
        arguments = {"name": name, "who": "ada", "reason": "a reason"}
        self.events.append({"command": arguments})
        self.both("command", **arguments)
        if name in {"abort", "promote"}:
            self.ending = True
            self.reached.add(f"{name} by command")

    @rule(seconds=st.sampled_from([0.5, 20.0, 55.0, 61.0, 200.0]))
    def look(self, seconds: float) -> None:
        self.clock.advance(seconds)
        over = self.engine.phase in OVER
        for name, said in self.said.items():
            self.asked[name].append(said)
        before = self.engine.share
        decision = self.both("decide")
        self.events.append({"decide": self.clock()})
        self.decisions.append(decision)
        self.shares.append(self.engine.share)
        self.reached.add(self.engine.phase)
        paired = False
        if not over:
            paired = self.close()
        if over:
            ended = {"aborted": Action.ROLLBACK, "promoted": Action.PROMOTE}
            told = ended[self.engine.phase] if self.ending else Action.NONE
            assert decision.action is told
            assert self.engine.share == before
            self.ending = False
            return
        self.judge(decision, paired=paired)

    def close(self) -> bool:
        """Keep count of which intervals are evidence; tell whether one was."""
        if len(self.decisions) == 1:
            self.opened = self.clock()
        paired, waiting = False, {}
        for label, arms in self.open.items():
            if min(arms[arm]["requests"] for arm in ARMS) == 0:
                if label or self.clock() - self.opened < CARRIED:
                    waiting[label] = arms
                continue
            paired = True
            for arm in ARMS:
                for name, count in arms[arm].items():
                    self.counted[arm][name] += count
            if label:
                self.closed.append(label)
        if "" not in waiting:
            self.opened = self.clock()
        self.open = waiting
        return paired

    def judge(self, decision: Decision, *, paired: bool) -> None:
        phase, findings = self.engine.phase, self.engine.findings
        worse = {each["guardrail"] for each in findings if each["worse"]}
        stopping = {each.name for each in self.plan.guardrails if each.rolls_back}
        most = self.plan.blast_radius.requests
        if worse & stopping:
            assert decision.action is Action.ROLLBACK
        elif worse:
            assert decision.action in {Action.HOLD, Action.ROLLBACK}
        if most is not None and self.exposed >= most:
            assert decision.action is Action.ROLLBACK
        if phase == "promoted":
            assert decision.action is Action.PROMOTE
            assert paired
            assert not worse
            assert all(
                each["safe"] and each["log_e_safety"] >= math.log(20.0) - 1e-9
                for each, guardrail in zip(findings, self.plan.guardrails, strict=True)
                if guardrail.kind != "deterioration"
            )
            assert self.said["budget"] is Severity.OK
            assert "promote" not in self.plan.approvals or self.said["approval"] is Severity.OK
        if not paired:
            assert phase in {"hold", "rolled back", "expired"}
        if decision.action is Action.ROLLBACK:
            assert phase == "rolled back"
            assert self.engine.share == 0.0

    @invariant()
    def counts_are_ours(self) -> None:
        if not hasattr(self, "engine"):
            return
        for each in self.engine.findings:
            name = each["guardrail"]
            assert each["requests"] == [self.counted[arm]["requests"] for arm in ARMS]
            assert each["events"] == [self.counted[arm][name] for arm in ARMS]
        assert self.engine.state()["exposed"] == self.exposed

    @invariant()
    def shares_follow_the_plan(self) -> None:
        if not hasattr(self, "engine") or self.plan.stages == "external":
            return
        planned = self.plan.shares
        steps = [share for share in self.shares if share in planned]
        places = [planned.index(share) for share in steps]
        assert all(after - before in {0, 1} for before, after in itertools.pairwise(places))

    def teardown(self) -> None:
        if not hasattr(self, "engine"):
            return
        actions = [each.action for each in self.decisions]
        assert actions.count(Action.ROLLBACK) <= 1
        assert actions.count(Action.PROMOTE) <= 1
        assert not {Action.ROLLBACK, Action.PROMOTE} <= {*actions}
        heard, left = self.sink.decisions, iter(self.decisions)
        assert all(each in left for each in heard)  # in order
        quiet = {Action.NONE, Action.HOLD}
        assert [each for each in heard if each.action not in quiet] == [
            each for each in self.decisions if each.action not in quiet
        ]

        def repeated(name: str) -> Any:
            said = iter(self.asked[name])
            return lambda: Verdict(name, next(said), "as said")

        checks = {name: repeated(name) for name in self.asked}
        again = replay(self.plan, self.events, **checks)
        written = [json.dumps(each.to_dict(), sort_keys=True) for each in self.decisions]
        assert [json.dumps(each.to_dict(), sort_keys=True) for each in again] == written


def run(examples: int, steps: int) -> set[str]:
    Rollouts.reached.clear()
    run_state_machine_as_test(
        Rollouts,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    return {*Rollouts.reached}


EVERYWHERE = {"stage", "hold", "awaiting approval", *OVER, "promote by command", "abort by command"}


def test_hundreds_of_sequences_never_do_what_they_must_not() -> None:
    reached = run(250, 20)
    assert {"stage", "hold", "promoted", "rolled back"} <= reached


@pytest.mark.slow
def test_ten_thousand_sequences_never_do_what_they_must_not() -> None:
    assert run(10_000, 30) >= EVERYWHERE
