"""A rollout whose state lives in a store, one decider for all, and candidates that stay back."""

from __future__ import annotations

import multiprocessing
from pathlib import Path
from typing import Any

import pytest

from mlguard import (
    Action,
    ConfigurationError,
    Decision,
    MemoryStore,
    Response,
    ResponsePolicy,
    Severity,
    SqliteStore,
    StateConflict,
    Verdict,
    checkout,
)
from mlguard.rollout import DenyList, Guardrail, RollbackEngine, RollbackPlan
from mlguard.testing import ManualClock, RecordingSink

START = 1_700_000_000.0
PLAN = RollbackPlan("external", guardrails=[Guardrail("errors")], bake=1e9)
CANDIDATE = {"service": "eta", "version": "7"}


def look(store: Any, clock: ManualClock, errors: int, **more: Any) -> Decision:
    """What a job does that runs each minute and forgets everything."""
    with checkout(
        store, "eta", lambda: RollbackEngine(PLAN, subject=CANDIDATE, clock=clock, **more)
    ) as judge:
        judge.observe("canary", requests=100, events={"errors": errors})
        judge.observe("baseline", requests=100, events={"errors": 1})
        clock.advance(60.0)
        return judge.decide()


def test_jobs_that_come_and_go_decide_like_one_engine() -> None:
    store, clock, clock_too = MemoryStore(), ManualClock(START), ManualClock(START)
    whole = RollbackEngine(PLAN, subject=CANDIDATE, clock=clock_too)
    for errors in (1, 2, 4, 9, 20, 3):
        decision = look(store, clock, errors)
        whole.observe("canary", requests=100, events={"errors": errors})
        whole.observe("baseline", requests=100, events={"errors": 1})
        clock_too.advance(60.0)
        assert decision == whole.decide()
    assert whole.phase == "rolled back"


def counted_by_both(judge: RollbackEngine, store: Any, clock: ManualClock) -> None:
    judge.observe("canary", requests=7)
    look(store, clock, 1)


def test_of_two_jobs_at_once_one_is_told_and_nothing_is_counted_twice() -> None:
    store, clock = MemoryStore(), ManualClock(START)
    look(store, clock, 1)
    first = checkout(store, "eta", lambda: RollbackEngine(PLAN, subject=CANDIDATE))
    with pytest.raises(StateConflict), first as judge:
        counted_by_both(judge, store, clock)
    with checkout(store, "eta", lambda: RollbackEngine(PLAN, subject=CANDIDATE)) as judge:
        assert judge.findings[0]["requests"] == [200, 200]


def test_another_plan_or_something_else_in_the_store_is_named() -> None:
    store = MemoryStore()
    look(store, ManualClock(START), 1)
    other = RollbackPlan("external", guardrails=[Guardrail("slow")])
    with (
        pytest.raises(ConfigurationError, match="'eta' in the store: state"),
        checkout(store, "eta", lambda: RollbackEngine(other)),
    ):
        pytest.fail("it was loaded")
    store.save("eta", b"{")
    with (
        pytest.raises(ConfigurationError, match="'eta' in the store: text"),
        checkout(store, "eta", lambda: RollbackEngine(PLAN)),
    ):
        pytest.fail("it was loaded")


def test_a_response_policy_is_kept_too() -> None:
    store, clock = MemoryStore(), ManualClock(START)
    actions = []
    for _ in range(4):
        clock.advance(60.0)
        with checkout(
            store,
            "alerts",
            lambda: ResponsePolicy(Response("alert", when="drift", for_=3), clock=clock),
        ) as policy:
            drift = Verdict("drift", Severity.BREACH, "it drifts", at=clock())
            actions += [each.action for each in policy.decide(drift)]
    assert actions == [Action.ALERT]


def rolled_back_elsewhere(path: str) -> None:
    deny = DenyList(SqliteStore(path), clock=ManualClock(START))
    judge = RollbackEngine(PLAN, subject=CANDIDATE, clock=ManualClock(START), sinks=[deny])
    judge.command("abort", who="ada", reason="it is wrong")
    judge.decide()


def test_what_was_rolled_back_in_one_process_stays_back_in_another(tmp_path: Path) -> None:
    path = str(tmp_path / "store.sqlite")
    clock = ManualClock(START)
    allowed = DenyList(SqliteStore(path), cooldown=3_600, clock=clock).allows(CANDIDATE)
    assert allowed().severity is Severity.OK
    process = multiprocessing.get_context("spawn").Process(
        target=rolled_back_elsewhere, args=(path,)
    )
    process.start()
    process.join()
    assert process.exitcode == 0
    verdict = allowed()
    assert verdict.severity is Severity.BREACH
    assert "abort by ada: it is wrong" in verdict.reason
    assert dict(verdict.subject) == CANDIDATE
    clock.advance(3_599)
    assert not allowed().ok
    clock.advance(1)
    assert allowed().ok


def test_only_rollbacks_of_that_candidate_count() -> None:
    deny = DenyList(MemoryStore(), clock=ManualClock(START))
    for action in Action:
        if action is not Action.ROLLBACK:
            deny(Decision(action, "so", subject=CANDIDATE))
    deny(Decision(Action.ROLLBACK, "so", subject={**CANDIDATE, "version": "8", "baseline": "6"}))
    assert deny.allows(CANDIDATE)().ok
    assert not deny.allows({**CANDIDATE, "version": 8})().ok


def test_a_store_that_fails_is_not_taken_for_permission() -> None:
    class Broken(MemoryStore):
        def load(self, key: str) -> Any:
            raise ConnectionError(f"no route to {key}")

    with pytest.raises(ConnectionError):
        DenyList(Broken()).allows(CANDIDATE)()
    with pytest.raises(ConfigurationError, match="cooldown"):
        DenyList(MemoryStore(), cooldown=0)


def test_sinks_hear_a_rollback_once_although_each_look_is_a_new_engine() -> None:
    store, clock, sink = MemoryStore(), ManualClock(START), RecordingSink()
    for _ in range(3):
        look(store, clock, 60, sinks=[sink])
    assert [each.action for each in sink.decisions] == [Action.ROLLBACK]


def test_the_next_candidate_does_not_inherit_the_end_of_the_last_one() -> None:
    store, clock = MemoryStore(), ManualClock(START)
    look(store, clock, 60)
    with (
        pytest.raises(ConfigurationError, match="of this candidate"),
        checkout(store, "eta", lambda: RollbackEngine(PLAN, subject={"version": "8"})),
    ):
        pytest.fail("it was loaded")


def test_a_hold_that_goes_on_is_told_once_and_silence_after_a_minute() -> None:
    clock, sink = ManualClock(START), RecordingSink()
    judge = RollbackEngine(PLAN, clock=clock, sinks=[sink])
    for _ in range(300):
        clock.advance(1.0)
        assert judge.decide().action is Action.HOLD
    assert len(sink.decisions) == 1
    assert (sink.decisions[0].at or 0.0) - START == pytest.approx(61.0)
    judge.command("pause", who="ada", reason="freeze")
    for _ in range(5):
        judge.decide()
    judge.command("resume", who="ada", reason="over")
    judge.observe("canary", requests=9)
    judge.observe("baseline", requests=9)
    judge.decide()
    judge.command("pause", who="ada", reason="freeze")
    judge.decide()
    assert [each.reason[:6] for each in sink.decisions] == ["no dat", "paused", "paused"]


def test_a_journal_that_fails_loses_a_report_and_no_decision() -> None:
    def full(event: Any) -> None:
        raise OSError(28, f"no space for {event}")

    sink = RecordingSink()
    judge = RollbackEngine(PLAN, clock=ManualClock(START), sinks=[sink], journal=full)
    with pytest.raises(OSError, match="no space"):
        judge.observe("canary", requests=100)
    assert judge.state()["exposed"] == 0
    judge.journal = None
    judge.observe("canary", requests=100, events={"errors": 50})
    judge.observe("baseline", requests=100)
    judge.journal = full
    with pytest.raises(OSError, match="no space"):
        judge.decide()
    assert judge.phase == "rolled back"
    assert [each.action for each in sink.decisions] == [Action.ROLLBACK]


def test_a_journal_that_fails_leaves_clusters_as_they_were() -> None:
    def full(event: Any) -> None:
        raise OSError(28, f"no space for {event}")

    plan = RollbackPlan("external", guardrails=[Guardrail("errors")], cluster="user")
    judge = RollbackEngine(plan, clock=ManualClock(START), journal=full)
    before = judge.state()
    with pytest.raises(OSError, match="no space"):
        judge.observe("canary", requests=1, events={"errors": 1}, cluster="ada")
    assert judge.state() == before


def test_late_reports_are_told() -> None:
    judge = RollbackEngine(PLAN, clock=ManualClock(START))
    for arm in ("canary", "baseline"):
        judge.observe(arm, requests=9, interval="a")
    judge.decide()
    assert "too late" not in judge.explain()
    judge.observe("canary", requests=9, interval="a")
    assert judge.explain().endswith("reports that came too late and are no evidence: 1")


def test_a_state_that_lacks_something_is_refused() -> None:
    judge = RollbackEngine(PLAN, clock=ManualClock(START))
    for name in ("exposed", "stage", "paused", "began"):
        state = judge.state()
        del state[name]
        with pytest.raises(ConfigurationError, match="state"):
            judge.from_state(state)


def test_plans_of_one_content_are_equal() -> None:
    assert RollbackPlan.from_dict(PLAN.to_dict()) == PLAN
    assert hash(RollbackPlan.from_dict(PLAN.to_dict())) == hash(PLAN)
    assert RollbackPlan("external", guardrails=[Guardrail("slow")]) != PLAN
