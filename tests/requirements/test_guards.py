"""The guards of a document do what it says, and a reload changes what it says and no more."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlguard import (
    Action,
    BudgetExceeded,
    ConfigurationError,
    Decision,
    ErrorBudget,
    Guards,
    LatencyBudget,
    Ledger,
    MemoryStore,
    Reference,
    Requirements,
    Severity,
    StreamLatency,
    at_least,
    checkout,
    guard,
    measured,
)
from mlguard.integrations.asgi import GuardMiddleware
from mlguard.performance import Outcomes, compare, evaluate
from mlguard.testing import ManualClock, RecordingSink, ScriptedCheck

HERE = Path(__file__).parent
WHOLE = Requirements.load(HERE / "production.yaml")
FLAT = {
    "replicas": 3,
    "resources": {"cpu": "2", "memory": "4Gi"},
    "rollback_on_error": True,
    "drift_alert_threshold": 0.05,
    "cost_alert_per_day": 500,
}
NOON = 1_900_022_400.0  # of a day of UTC


RETRAIN = {"when": "drift", "do": "retrain", "cooldown": "7 d"}
ALERT = {"when": "drift", "do": "alert"}


def rows(*, shift: float = 0.0, n: int = 5_000, seed: int = 1) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    return {"amount": rng.normal(size=n) + shift, "score": rng.random(n)}


REFERENCE = Reference.fit(rows(seed=0))


def document(**sections: Any) -> Requirements:
    return Requirements.model_validate({"version": 1, "service": "fraud", **sections})


def build(wanted: Requirements, **given: Any) -> Guards:
    usual: dict[str, Any] = {"reference": REFERENCE, "store": MemoryStore()}
    return Guards.build(wanted, **{**usual, "clock": ManualClock(NOON), **given})


def test_the_short_form_rolls_back_alerts_and_caps() -> None:
    clock, sink = ManualClock(NOON), RecordingSink()
    guards = build(Requirements.model_validate(FLAT), clock=clock, sinks=[sink])
    # it rolls back on error
    engine = guards.rollout("7")
    for _ in range(3):
        engine.observe("baseline", requests=900, events={"errors": 9})
        engine.observe("canary", requests=100, events={"errors": 8})
        clock.advance(30)
        engine.decide()
    assert engine.phase == "rolled back"
    # it alerts on drift, once an episode, and resolves
    assert guards.drift is not None
    guards.drift.profile.observe_many(rows())
    assert guards.decide() == []
    clock.advance(1)
    guards.drift.profile.take()
    guards.drift.profile.observe_many(rows(shift=0.3))
    assert [each.action for each in guards.decide()] == [Action.ALERT]
    assert guards.decide() == []
    guards.drift.profile.take()
    guards.drift.profile.observe_many(rows(seed=2))
    clock.advance(1)
    assert [each.action for each in guards.decide()] == [Action.RESOLVE]
    # it caps the day's cost
    assert guards.cost is not None
    with guards.cost.reserve("500 USD") as call:
        call.dispatched()
        call.settle("500 USD")
    with pytest.raises(BudgetExceeded), guards.cost.reserve("0.01 USD"):
        pass
    clock.advance(1)
    (alert,) = guards.decide()
    assert (alert.action, "cost" in alert.reason) == (Action.ALERT, True)
    clock.advance(86_400)
    with guards.cost.reserve("0.01 USD") as call:
        call.settle("0 USD")
    by = {str(each.action) for each in sink.decisions}
    assert by == {"rollback", "alert", "resolve"}


def test_the_short_form_leaves_a_good_canary_and_data_without_drift_alone() -> None:
    clock, sink = ManualClock(NOON), RecordingSink()
    guards = build(Requirements.model_validate(FLAT), clock=clock, sinks=[sink])
    engine = guards.rollout("7")
    for _ in range(20):
        engine.observe("baseline", requests=900, events={"errors": 9})
        engine.observe("canary", requests=100, events={"errors": 1})
        clock.advance(30)
        assert engine.decide().action is not Action.ROLLBACK
    assert guards.drift is not None
    guards.drift.profile.observe_many(rows())
    assert guards.decide() == []
    assert guards.check().severity is Severity.OK


def test_a_whole_document_makes_every_guard() -> None:
    guards = build(WHOLE)
    assert isinstance(guards.latency, LatencyBudget)
    assert guards.latency.limits == {0.5: 0.010, 0.99: 0.050}
    assert isinstance(guards.errors, ErrorBudget)
    assert guards.errors.slo == 0.999
    assert guards.cost is not None
    assert guards.unit_cost is not None
    assert guards.drift is not None
    assert guards.performance is None  # average precision is no mean over rows
    assert guards.respond is not None
    assert [str(each.action) for each in guards.respond.responses] == ["alert", "retrain"]
    names = [cause.name for cause in guards.check().causes]  # type: ignore[union-attr]
    assert names == ["latency", "errors", "cost", "unit_cost", "drift"]


def test_verdicts_say_which_service_they_are_about() -> None:
    for verdict in build(WHOLE).verdicts():
        assert verdict.subject["service"] == "fraud-scorer"


def test_streams_have_a_latency_of_their_own() -> None:
    guards = build(document(latency={"first_token": {"p95": "800 ms"}, "window": "10 min"}))
    assert isinstance(guards.latency, StreamLatency)
    assert guards.latency["first"].limits == {0.95: 0.8}


def test_labels_that_come_late_are_followed_where_the_metric_is_a_mean() -> None:
    section = {"metric": "accuracy", "floor": 0.9, "labels_after": "1 d"}
    guards = build(document(performance=section))
    assert isinstance(guards.performance, Outcomes)
    day = NOON - 4 * 86_400
    ids = range(400)
    guards.performance.add({"id": ids, "predicted_at": [day] * 400, "prediction": [0, 1] * 200})
    guards.performance.add({"id": ids, "labelled_at": [day + 9] * 400, "label": [0, 1, 1, 1] * 100})
    assert guards.check().severity is Severity.BREACH


def test_what_is_missing_is_named_all_at_once() -> None:
    with pytest.raises(ConfigurationError) as raised:
        Guards.build(WHOLE)
    assert str(raised.value).splitlines() == [
        "reference = None: must be given: the document asks for drift",
        "store = None: must be given: the document asks for cost.cap",
    ]


def test_a_column_that_the_reference_does_not_have_is_named() -> None:
    wanted = document(drift={"must_be_conclusive": ["amount", "age"]})
    with pytest.raises(ConfigurationError, match=r"drift\.must_be_conclusive = \['age'\]"):
        build(wanted)


def test_a_column_that_must_be_conclusive_makes_the_verdict_unknown_until_it_is() -> None:
    def drawn(n: int, seed: int) -> dict[str, Any]:
        rng = np.random.default_rng(seed)
        return {"amount": rng.normal(size=n), "kind": rng.choice(["a", "b"], size=n)}

    reference = Reference.fit(drawn(5_000, 0))
    needed = reference.required_n()
    n = ((needed["amount"] or 0) + (needed["kind"] or 0)) // 2  # enough for one of the two
    for must, severity in (([], Severity.OK), (["amount"], Severity.UNKNOWN)):
        guards = build(document(drift={"must_be_conclusive": must}), reference=reference)
        assert guards.drift is not None
        guards.drift.profile.observe_many(drawn(n, 1))
        assert guards.check().severity is severity


def test_a_document_that_asks_for_nothing_here_is_unknown_and_never_ok() -> None:
    assert build(document(rollout={})).check().severity is Severity.UNKNOWN
    assert build(document()).check().severity is Severity.UNKNOWN


def test_a_guard_that_nobody_asks_is_stale() -> None:
    clock = ManualClock(NOON)
    guards = build(document(latency={"p99": "50 ms"}), clock=clock)
    stale = guards.stale(after=60)
    assert stale().ok
    clock.advance(61)
    assert stale().severity is Severity.BREACH
    guards.check()
    assert stale().ok


def test_the_gate_judges_performance_and_what_else_it_is_given() -> None:
    section = {"metric": "brier", "ceiling": 0.2, "not_worse_by": 0.01}
    guards = build(document(performance=section))
    rng = np.random.default_rng(3)
    chance = rng.random(4_000)
    y = rng.random(4_000) < chance
    change = compare(y, chance, chance, loss="brier").overall
    achieved = evaluate(y, chance, loss="brier").overall
    assert guards.gate(achieved=achieved, change=change)().ok
    bad = compare(y, chance, 1 - chance, loss="brier").overall
    assert guards.gate(achieved=achieved, change=bad)().severity is Severity.BREACH
    held = guards.gate(ScriptedCheck("UNKNOWN"), achieved=achieved, change=change)()
    assert held.severity is Severity.UNKNOWN
    with pytest.raises(
        ConfigurationError, match="change = None: must be a measurement named 'brier change'"
    ):
        guards.gate(achieved=achieved)
    with pytest.raises(ConfigurationError, match=r"achieved\.name = 'accuracy'"):
        guards.gate(achieved=measured("accuracy", 0.9), change=change)


@pytest.mark.parametrize("name", ["brier[region=north]", "train_brier", "brier change"])
def test_the_gate_takes_the_measurement_of_its_metric_only(name: str) -> None:
    guards = build(document(performance={"metric": "brier", "ceiling": 0.2}))
    with pytest.raises(ConfigurationError, match=r"achieved.name = .*: must be 'brier'"):
        guards.gate(achieved=measured(name, 0.1, n=500)())


class Broken(MemoryStore):
    """A store that stops to answer."""

    broken = False

    def total(self, *given: Any, **named: Any) -> Any:
        if self.broken:
            raise ConnectionError("no route")
        return super().total(*given, **named)


def test_where_the_store_does_not_answer_the_one_who_decides_does_not_know() -> None:
    store = Broken()
    cost = {"cap": "10 USD", "window": "day"}
    rule = {"when": "cost", "severity": "UNKNOWN", "do": "page"}
    clock = ManualClock(NOON)
    guards = build(document(cost=cost, respond=[rule]), store=store, clock=clock)
    assert guards.decide() == []
    clock.advance(60)
    store.broken = True
    (decision,) = guards.decide()
    assert decision.action == "page"
    assert "ConnectionError" in decision.reason


def test_a_sink_that_fails_swallows_no_decision() -> None:
    down, sink = [True], RecordingSink()

    def pager(decision: Decision) -> None:
        if down[0]:
            raise ConnectionError("no route")
        sink(decision)

    clock = ManualClock(NOON)
    rule = {"when": "latency", "do": "retrain", "cooldown": "7 d"}
    wanted = document(latency={"p99": "50 ms"}, respond=[rule])
    guards = build(wanted, sinks=[pager], clock=clock)
    assert isinstance(guards.latency, LatencyBudget)
    guards.latency.observe_many([0.2] * 500)
    with pytest.raises(ExceptionGroup):
        guards.decide()
    clock.advance(60)
    with pytest.raises(ExceptionGroup):
        guards.decide()
    clock.advance(60)
    down[0] = False
    assert [str(each.action) for each in guards.decide()] == ["retrain"]
    assert [str(each.action) for each in sink.decisions] == ["retrain"]
    clock.advance(60)
    assert guards.decide() == []


def test_the_verdict_of_all_replicas_takes_the_place_of_ones_own() -> None:
    rule = {"when": "latency", "do": "alert"}
    guards = build(document(latency={"p99": "50 ms"}, respond=[rule]), clock=ManualClock(NOON))
    assert guards.decide() == []
    fleet = ScriptedCheck("BREACH", name="latency")()
    assert [str(each.action) for each in guards.decide(fleet)] == ["alert"]


def test_a_section_that_a_reload_adds_is_fresh() -> None:
    clock = ManualClock(NOON)
    guards = build(document(latency={"p99": "50 ms"}), clock=clock)
    stale = guards.stale(after=60)
    clock.advance(300)
    guards.check()
    guards.reload(document(latency={"p99": "50 ms"}, errors={"slo": "99.9 %"}))
    assert stale().ok
    clock.advance(61)
    assert stale().severity is Severity.BREACH


def test_responses_wait_for_a_verdict_that_is_judged_elsewhere() -> None:
    clock = ManualClock(NOON)
    guards = build(WHOLE, clock=clock)
    assert guards.drift is not None
    guards.drift.profile.observe_many(rows(shift=0.5))
    assert guards.decide() == []
    clock.advance(60)
    performance = ScriptedCheck("BREACH", name="performance")()
    assert [str(each.action) for each in guards.decide(performance)] == ["retrain"]


def test_an_estimate_is_judged_elsewhere_and_a_rollback_withholds_the_retrain() -> None:
    wanted = document(
        drift={},
        performance={"metric": "accuracy", "floor": 0.7},
        respond=[
            {"when": ["drift", "estimated performance"], "do": "retrain", "unless": "rollback"},
            {"when": "performance", "do": "rollback"},
        ],
    )
    clock = ManualClock(NOON)
    guards = build(wanted, clock=clock)
    assert guards.drift is not None
    guards.drift.profile.observe_many(rows(shift=2.0), at=NOON)
    poor = measured("estimated performance", 0.6, n=900), measured("performance", 0.6, n=900)
    estimated, realised = (guard(each, at_least(0.7))() for each in poor)
    assert [str(each.action) for each in guards.decide(estimated, realised)] == ["rollback"]
    apart = build(wanted, clock=clock)
    assert apart.drift is not None
    apart.drift.profile.observe_many(rows(shift=2.0), at=NOON)
    assert [str(each.action) for each in apart.decide(estimated)] == ["retrain"]


def test_a_guardrail_of_the_document_has_its_ceiling() -> None:
    watched = {"name": "no board", "margin": 1.5, "ceiling": "30 %"}
    wanted = document(rollout={"rollback_on_error": False, "guardrails": [watched]})
    (guardrail,) = build(wanted).rollout("2").plan.guardrails
    assert (guardrail.name, guardrail.margin, guardrail.ceiling) == ("no board", 1.5, 0.3)


def test_a_verdict_that_nobody_supplies_goes_stale() -> None:
    clock = ManualClock(NOON)
    floor = {"metric": "average_precision", "floor": 0.62, "labels_after": "45 d"}
    guards = build(document(performance=floor, latency={"p99": "50 ms"}), clock=clock)
    fresh = guards.stale(after=3_600.0)
    clock.advance(4_000)
    guards.check()
    verdict = fresh()
    assert (verdict.severity, verdict.reason) == (
        Severity.BREACH,
        "not asked lately: performance",
    )
    guards.decide(guard(measured("performance", 0.7, n=900), at_least(0.62))())
    assert fresh().ok
    rule = {"when": ["estimated performance"], "do": "alert"}
    guards.reload(document(performance={**floor, "labels_after": None}, respond=[rule]))
    assert fresh().ok
    clock.advance(4_000)
    guards.decide()
    assert fresh().reason == "not asked lately: estimated performance"


def daily(store: MemoryStore, wanted: Requirements, shift: float, clock: ManualClock) -> list[str]:
    """Run a job of a day, in a process of its own."""
    sink = RecordingSink()
    with checkout(store, "daily", lambda: build(wanted, clock=clock, sinks=[sink])) as guards:
        assert guards.drift is not None
        guards.drift.profile.observe_many(rows(shift=shift), at=clock())
        told = guards.decide()
    clock.advance(86_400)
    assert told == sink.decisions
    return [str(each.action) for each in told]


def test_jobs_remember_what_earlier_ones_decided() -> None:
    clock, store = ManualClock(NOON), MemoryStore()
    rules = [{"when": "drift", "for": 3, "do": "alert"}]
    wanted = document(drift={}, respond=rules)
    days = [daily(store, wanted, 1.0, clock) for _ in range(4)]
    assert days == [[], [], ["alert"], []]
    other = document(drift={}, respond=[*rules, {"when": "drift", "do": "retrain"}])
    assert daily(store, other, 1.0, clock) == ["retrain"]
    gone = document(drift={})
    assert daily(store, gone, 1.0, clock) == ["resolve"]
    assert daily(store, gone, 1.0, clock) == []


@pytest.mark.parametrize(
    "state",
    [
        {},
        [],
        {"kind": "guards", "schema": 2},
        {"kind": "guards", "schema": 1, "respond": {}},
        {"kind": "guards", "schema": 1, "respond": {}, "requirements": {"version": 1}},
    ],
)
def test_a_state_of_something_else_is_refused(state: Any) -> None:
    with pytest.raises(ConfigurationError, match="state = "):
        build(document(drift={}, respond=[ALERT])).from_state(state)


def test_a_job_whose_sink_fails_tells_it_the_next_day() -> None:
    clock, store, heard = ManualClock(NOON), MemoryStore(), RecordingSink()
    wanted = document(drift={}, respond=[ALERT])

    def deaf(decision: Decision) -> None:
        raise OSError(f"503 for {decision.key}")

    with checkout(store, "job", lambda: build(wanted, clock=clock, sinks=[deaf])) as guards:
        assert guards.drift is not None
        guards.drift.profile.observe_many(rows(shift=1.0), at=clock())
        with pytest.raises(ExceptionGroup):
            guards.decide()
    clock.advance(86_400)
    with checkout(store, "job", lambda: build(wanted, clock=clock, sinks=[heard])) as guards:
        assert [str(each.action) for each in guards.decide()] == ["alert"]
    assert len(heard.decisions) == 1


def test_what_an_earlier_job_still_owes_is_not_forgotten() -> None:
    clock, store = ManualClock(NOON), MemoryStore()
    assert daily(store, document(drift={}, respond=[ALERT]), 1.0, clock) == ["alert"]
    with checkout(store, "daily", lambda: build(document(drift={}), clock=clock)):
        pass  # and decides nothing
    assert daily(store, document(drift={}), 1.0, clock) == ["resolve"]


def test_jobs_know_what_was_not_supplied_for_long() -> None:
    clock, store = ManualClock(NOON), MemoryStore()
    floor = {"metric": "average_precision", "floor": 0.62, "labels_after": "45 d"}
    wanted = document(performance=floor)
    said = []
    for day in range(5):
        with checkout(store, "job", lambda: build(wanted, clock=clock)) as guards:
            given = [ScriptedCheck("OK", name="performance")()] * (day == 1)
            guards.decide(*given)
            said.append(guards.stale(after=2.5 * 86_400)().ok)
        clock.advance(86_400)
    assert said == [True, True, True, True, False]


def test_a_reload_while_decide_asks_is_seen_whole() -> None:
    clock, ready = ManualClock(NOON), threading.Event()
    other = document(
        service="other", latency={"p99": "10 ms"}, respond=[{**ALERT, "when": "latency"}]
    )

    def reloads() -> float:
        latency = guards.latency if ready.is_set() else None
        if latency is not None and not latency._lock.locked():  # so the checks were just asked
            ready.clear()
            guards.reload(other)
        return clock()

    one = document(latency={"p99": "50 ms"}, respond=[{**ALERT, "when": "latency"}])
    guards = build(one, clock=reloads)
    served_latency(guards)
    ready.set()
    assert [dict(each.subject) for each in guards.decide()] == [{"service": "other"}]
    clock.advance(60)
    assert guards.decide() == []


def test_what_a_reload_owes_survives_a_delivery_that_fails() -> None:
    clock = ManualClock(NOON)
    drift = {"tolerance": 0.1}
    heard: list[Decision] = []
    broken: list[bool] = []

    def sink(decision: Decision) -> None:
        if broken:
            broken.clear()
            guards.reload(document(drift=drift, respond=[RETRAIN]))
            raise OSError("503")
        heard.append(decision)

    guards = build(document(drift=drift, respond=[ALERT]), clock=clock, sinks=[sink])
    (alert,) = drifted(guards, 1.0, clock)
    assert drifted(guards, 0.0, clock)[0].action is Action.RESOLVE
    broken.append(True)
    with pytest.raises(ExceptionGroup):
        drifted(guards, 1.0, clock)
    told = [str(each.action) for each in guards.decide()]
    assert told == ["alert", "resolve", "retrain"]
    assert [each.action for each in heard[:2]] == [alert.action, Action.RESOLVE]


def test_a_report_names_what_no_verdict_is_named_after() -> None:
    sections: dict[str, Any] = {
        "rollout": {},
        "approvals": {"production": {"votes": 2}},
        "performance": {"metric": "accuracy", "floor": 0.9},
        "respond": [{**ALERT, "when": "performance"}],
    }
    guards = build(document(**sections))
    looser = {**sections, "approvals": {"production": {"votes": 1}}}
    looser["performance"] = {"metric": "accuracy", "floor": 0.1}
    assert str(guards.reload(document(**looser))) == (
        "kept respond; begun approvals: they hold for engines made from now on, "
        "performance: its limits hold for what is judged from now on"
    )
    report = guards.reload(document(errors={"slo": "99 %"}))
    assert {"approvals", "performance", "respond", "rollout"} < {*report.dropped}
    streams = document(latency={"first_token": {"p95": "1 s"}})
    guards.reload(document(latency={"p99": "1 s"}, cost={"per_million": "1 USD"}))
    assert guards.reload(streams).begun == ("latency: it is another kind of limit",)
    guards.reload(document(cost={"per_million": "1 USD"}))
    report = guards.reload(document(cost={"per_million": "1 EUR"}))
    assert report.begun == ("unit_cost: its currency is another",)
    assert not guards.reload("a\0.yaml").applied


# reload


def served_latency(guards: Guards) -> None:
    assert isinstance(guards.latency, LatencyBudget)
    guards.latency.observe_many([0.020] * 900 + [0.045] * 100)


def served(guards: Guards) -> None:
    served_latency(guards)
    assert guards.errors is not None
    guards.errors.observe_counts(good=990, bad=10)


def test_a_limit_moves_and_what_was_counted_stays() -> None:
    one = {"latency": {"p50": "10 ms", "p99": "50 ms"}, "errors": {"slo": "99.9 %"}}
    two = {"latency": {"p90": "30 ms", "p99": "50 ms"}, "errors": {"slo": "95 %"}}
    clock = ManualClock(NOON)
    guards, fresh = (build(document(**each), clock=clock) for each in (one, two))
    served(guards)
    served(fresh)
    report = guards.reload(document(**two))
    assert report.applied
    assert (report.kept, report.begun) == (("latency", "errors"), ())
    assert guards.latency is not None
    assert fresh.latency is not None
    assert guards.latency().to_dict() == fresh.latency().to_dict()
    assert guards.errors is not None
    assert fresh.errors is not None
    assert guards.errors().to_dict() == fresh.errors().to_dict()


def test_what_is_counted_after_a_reload_leaves_the_window_as_ever() -> None:
    clock = ManualClock(NOON)
    guards = build(document(latency={"p99": "50 ms"}), clock=clock)
    assert isinstance(guards.latency, LatencyBudget)
    guards.latency.observe_many([0.060] * 1_000)
    clock.advance(150)
    guards.reload(document(latency={"p99": "55 ms"}))
    guards.latency.observe_many([0.010] * 1_000)
    assert guards.latency.measure().n == 2_000
    clock.advance(200)
    assert guards.latency.measure().n == 1_000
    assert guards.check().severity is Severity.OK


def test_a_window_that_moves_begins_anew_and_says_so() -> None:
    guards = build(document(latency={"p99": "50 ms"}, errors={"slo": "99 %"}))
    served(guards)
    wanted = document(
        latency={"p99": "50 ms", "window": "10 min"}, errors={"slo": "99 %", "period": "month"}
    )
    report = guards.reload(wanted)
    assert report.begun == ("latency: its window is another", "errors: its window is another")
    assert isinstance(guards.latency, LatencyBudget)
    assert guards.latency.totals["requests"] == 0


def test_an_unchanged_section_keeps_its_very_meter() -> None:
    guards = build(WHOLE)
    before = guards.latency, guards.errors, guards.cost, guards.unit_cost, guards.respond
    report = guards.reload(Requirements.load(HERE / "production.yaml"))
    assert before == (guards.latency, guards.errors, guards.cost, guards.unit_cost, guards.respond)
    assert all(
        one is two
        for one, two in zip(
            before,
            (guards.latency, guards.errors, guards.cost, guards.unit_cost, guards.respond),
            strict=True,
        )
    )
    assert (report.begun, report.dropped, report.before) == ((), (), report.after)


def test_a_cap_moves_and_what_was_spent_stays() -> None:
    cost = {"cap": "500 USD", "window": "day"}
    guards = build(document(cost=cost))
    assert guards.cost is not None
    with guards.cost.reserve("450 USD") as call:
        call.settle("450 USD")
    report = guards.reload(document(cost={**cost, "cap": "400 USD"}))
    assert report.kept == ("cost",)
    assert guards.check().severity is Severity.BREACH
    with pytest.raises(BudgetExceeded), guards.cost.reserve("1 USD"):
        pass
    report = guards.reload(document(cost={**cost, "cap": "400 EUR"}))
    assert report.begun == ("cost: its account is another, by window or currency",)
    with guards.cost.reserve("400 EUR") as call:
        call.settle("0 EUR")


def test_the_bill_of_another_service_is_another() -> None:
    cost = {"cap": "500 USD", "window": "day"}
    guards = build(document(cost=cost, respond=[{"when": "cost", "do": "alert"}]))
    assert guards.cost is not None
    with guards.cost.reserve("500 USD") as call:
        call.dispatched()
        call.settle("500 USD")
    (alert,) = guards.decide()
    wanted = document(service="abuse", cost=cost, respond=[{"when": "cost", "do": "alert"}])
    report = guards.reload(wanted)
    assert report.begun == (
        "cost: another service has a bill of its own",
        "respond: the service is another",
    )
    (resolved,) = guards.decide()  # nobody asks for the old service any more
    assert (resolved.action, resolved.key) == (Action.RESOLVE, alert.key)
    assert guards.check().severity is Severity.OK


def drifted(guards: Guards, shift: float, clock: ManualClock) -> list[Decision]:
    assert guards.drift is not None
    clock.advance(60)
    guards.drift.profile.take()
    guards.drift.profile.observe_many(rows(shift=shift))
    return guards.decide()


def test_a_rule_that_changes_leaves_the_other_episodes_open_and_keeps_its_cooldown() -> None:
    clock = ManualClock(NOON)
    drift = {"tolerance": 0.1}
    guards = build(document(drift=drift, respond=[ALERT, RETRAIN]), clock=clock)
    alert, retrain = drifted(guards, 1.0, clock)
    changed = {**RETRAIN, "for": 2}
    report = guards.reload(document(drift=drift, respond=[ALERT, changed]))
    assert report.kept == ("drift", "respond, alert")
    assert report.begun == ("respond, retrain: its condition is another",)
    assert [drifted(guards, 1.0, clock) for _ in range(3)] == [[], [], []]  # it cools down
    (resolved,) = drifted(guards, 0.0, clock)
    assert (resolved.action, resolved.key) == (Action.RESOLVE, alert.key)
    clock.advance(7 * 86_400)
    assert drifted(guards, 1.0, clock)[0].action is Action.ALERT
    (again,) = drifted(guards, 1.0, clock)
    assert (again.action, again.key == retrain.key) == (Action.RETRAIN, False)


@pytest.mark.parametrize(
    "after", [[RETRAIN], [], [{**ALERT, "severity": "WARN"}], [{**ALERT, "for": 3}]]
)
def test_an_alert_that_nobody_goes_on_with_is_resolved(after: list[Any]) -> None:
    clock = ManualClock(NOON)
    guards = build(document(drift={"tolerance": 0.1}, respond=[ALERT]), clock=clock)
    (alert,) = drifted(guards, 1.0, clock)
    guards.reload(document(drift={"tolerance": 0.1}, respond=after))
    resolved, *_ = guards.decide()
    assert (resolved.action, resolved.key) == (Action.RESOLVE, alert.key)
    assert "no response asks for it any more" in resolved.reason


def test_a_limit_of_a_rule_leaves_its_episode_open() -> None:
    clock = ManualClock(NOON)
    guards = build(document(drift={"tolerance": 0.1}, respond=[ALERT]), clock=clock)
    (alert,) = drifted(guards, 1.0, clock)
    named = {"when": "drift", "do": "alert", "severity": "WARN"}  # so both have longer names
    report = guards.reload(
        document(drift={"tolerance": 0.1}, respond=[named, {**ALERT, "cooldown": "1 h"}])
    )
    assert report.kept == ("drift", "respond, alert on drift at BREACH")
    told = drifted(guards, 0.0, clock)
    assert [(each.action, each.key) for each in told] == [(Action.RESOLVE, alert.key)]


def test_the_lines_of_drift_move_and_the_rows_stay() -> None:
    guards = build(document(drift={"tolerance": 0.1}))
    assert guards.drift is not None
    guards.drift.profile.observe_many(rows(shift=0.2))
    assert guards.check().severity is Severity.WARN
    guards.reload(document(drift={"tolerance": 0.5}))
    assert guards.check().severity is Severity.OK
    guards.reload(document(drift={"tolerance": 0.05, "breach": 0.1}))
    assert guards.check().severity is Severity.BREACH


@pytest.mark.parametrize(
    "bad",
    [
        {"version": 1, "service": "fraud", "latency": {"p99": 50}},
        {"version": 1, "service": "fraud", "drift": {"must_be_conclusive": ["age"]}},
        HERE / "missing.yaml",
        None,
    ],
)
def test_a_document_that_is_refused_leaves_the_old_one_and_warns(bad: Any) -> None:
    guards = build(document(latency={"p99": "50 ms"}))
    assert isinstance(guards.latency, LatencyBudget)
    guards.latency.observe_many([0.010] * 1_000)
    meter, digest = guards.latency, guards.requirements.digest
    assert guards.check().severity is Severity.OK
    report = guards.reload(bad)
    assert not report.applied
    assert report.error in str(report)
    assert guards.latency is meter
    assert guards.requirements.digest == digest
    verdict = guards.check()
    assert verdict.severity is Severity.WARN
    assert "the new requirements were refused" in verdict.explain()
    assert guards.reload(document(latency={"p99": "60 ms"})).applied
    assert guards.check().severity is Severity.OK


def test_the_ledger_knows_both_digests_and_the_decisions(tmp_path: Path) -> None:
    with Ledger(tmp_path / "audit.jsonl") as ledger:
        one, two = document(latency={"p99": "50 ms"}), document(latency={"p99": "60 ms"})
        guards = build(one, ledger=ledger)
        guards.reload(two)
        guards.reload({})
        entries = [entry.record for entry in ledger if entry.kind.startswith("requirements")]
        assert [(each["before"], each["after"]) for each in entries] == [
            (one.digest, two.digest),
            (two.digest, ""),
        ]
        assert ledger.verify().intact


def test_a_reload_that_cannot_be_recorded_is_refused(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "audit.jsonl")
    one, two = (document(latency={"p99": each}) for each in ("50 ms", "40 ms"))
    guards = build(one, ledger=ledger)
    ledger.close()
    report = guards.reload(two)
    assert not report.applied
    assert guards.requirements == one
    assert guards.check().causes[-1].severity is Severity.WARN  # type: ignore[union-attr]


def test_a_follower_that_crashes_does_not_undo_a_reload(caplog: pytest.LogCaptureFixture) -> None:
    guards = build(document(latency={"p99": "50 ms"}))
    heard: list[Guards] = []
    guards.follow(lambda _: 1 / 0)
    guards.follow(heard.append)
    assert guards.reload(document(latency={"p99": "40 ms"})).applied
    assert heard == [guards]
    assert "did not take the reload" in caplog.text


def test_a_rollout_under_way_keeps_its_plan() -> None:
    guards = build(document(rollout={"stages": ["10 %", "50 %"]}))
    engine = guards.rollout("7")
    report = guards.reload(document(rollout={"stages": ["1 %", "50 %"]}))
    assert engine.share == 0.1
    assert guards.rollout("8").share == 0.01
    assert report.begun == ("rollout: its plan holds for engines made from now on",)


def test_a_reload_that_another_overtook_builds_on_that_one() -> None:
    guards = build(document(latency={"p99": "50 ms"}))

    class Overtaken(dict[str, Any]):
        def __contains__(self, key: object) -> bool:
            if guards.requirements.latency == document(latency={"p99": "50 ms"}).latency:
                guards.reload(document(latency={"p99": "60 ms"}))
                served_latency(guards)
            return super().__contains__(key)

    last = Overtaken(version=1, service="fraud", latency={"p99": "70 ms"})
    assert guards.reload(last).applied
    assert isinstance(guards.latency, LatencyBudget)
    assert guards.latency.limits == {0.99: 0.070}
    assert guards.latency.totals["requests"] == 1_000


def test_reloads_from_many_threads_lose_nothing_that_was_counted() -> None:
    guards = build(document(latency={"p99": "50 ms"}, errors={"slo": "99 %"}))
    served(guards)
    wanted = [document(latency={"p99": f"{n} ms"}, errors={"slo": "99 %"}) for n in (40, 60, 80)]

    def turn(n: int) -> bool:
        guards.check()
        return guards.reload(wanted[n % 3]).applied

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(turn, range(60)))
    assert isinstance(guards.latency, LatencyBudget)
    assert guards.errors is not None
    assert guards.latency.totals["requests"] == 1_000
    assert guards.errors.totals == {"good": 990, "bad": 10, "invalid": 0}
    assert guards.latency.limits == (guards.requirements.latency or wanted[0].latency).limits  # type: ignore[union-attr]


# the middleware


async def app(scope: Any, receive: Any, send: Any) -> None:
    del scope, receive
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"0.74"})


def asked(guarded: Any) -> int:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(guarded({"type": "http", "method": "GET"}, None, send))
    return int(sent[0]["status"])


def test_a_middleware_takes_the_guards_in_one_line_and_follows_their_reloads() -> None:
    cost = {"cap": "1 USD", "window": "day"}
    guards = build(document(latency={"p99": "50 ms"}, errors={"slo": "99 %"}, cost=cost))
    guarded = GuardMiddleware(app, guards=guards)
    assert asked(guarded) == 200
    guards.reload(document(latency={"p99": "60 ms"}, errors={"slo": "99 %"}, cost=cost))
    assert asked(guarded) == 200
    assert isinstance(guards.latency, LatencyBudget)
    assert guards.latency.totals["requests"] == 2
    assert guards.errors is not None
    assert guards.errors.totals["good"] == 2
    assert guards.cost is not None
    with guards.cost.reserve("1 USD") as call:
        call.settle("1 USD")
    guards.cost.refresh()
    assert asked(guarded) == 429
    guards.reload(document())
    assert asked(guarded) == 200
    assert guarded.latency is None
    assert guarded.crashes == 0


def test_a_middleware_that_rejects_goes_by_the_new_limits() -> None:
    guards = build(document(latency={"p99": "50 ms"}))
    guarded = GuardMiddleware(app, guards=guards, on_breach="reject", clock=ManualClock(1.0))
    assert isinstance(guards.latency, LatencyBudget)
    guards.latency.observe_many([0.080] * 1_000)
    assert asked(guarded) == 503
    guards.reload(document(latency={"p99": "100 ms"}))
    assert asked(guarded) == 200
    guards.reload(document())
    assert asked(guarded) == 200
    guards.reload(document(latency={"p99": "1 ms"}))
    guards.latency.observe_many([0.080] * 1_000)
    assert asked(guarded) == 503


def test_a_middleware_takes_guards_or_meters() -> None:
    guards = build(document(latency={"p99": "50 ms"}))
    with pytest.raises(ConfigurationError, match="guards = "):
        GuardMiddleware(app, guards=guards, errors=ErrorBudget(0.99))
    with pytest.raises(ConfigurationError, match=r"guards = .*Guards\.build"):
        GuardMiddleware(app, guards=guards.requirements)  # type: ignore[arg-type]
    drift = build(document(drift={}))
    with pytest.raises(ConfigurationError, match=r"check = None: .*guards\.check"):
        GuardMiddleware(app, guards=drift, on_breach="reject")
    GuardMiddleware(app, guards=drift, on_breach="reject", check=drift.check)
