"""What the engine says where data are missing, broken, repeated or late."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlguard import Action, ConfigurationError, Severity, Verdict
from mlguard.rollout import Guardrail, RollbackEngine, RollbackPlan, replay
from mlguard.testing import ManualClock, RecordingSink

START = 1_700_000_000.0
GUARDRAILS = [Guardrail("errors"), Guardrail("slow")]


def engine(
    stages: Any = "external", *, collaborators: dict[str, Any] | None = None, **settings: Any
) -> tuple[RollbackEngine, ManualClock]:
    clock = ManualClock(START)
    given = {"guardrails": GUARDRAILS, "bake": 60.0, "mismatch": "ignore", **settings}
    return RollbackEngine(RollbackPlan(stages, **given), clock=clock, **collaborators or {}), clock


def good(judge: RollbackEngine, n: int = 500) -> None:
    for arm in ("canary", "baseline"):
        judge.observe(arm, requests=n, events={"errors": n // 100, "slow": n // 50})


def looked(judge: RollbackEngine, clock: ManualClock, seconds: float = 30.0) -> Any:
    clock.advance(seconds)
    return judge.decide()


# The table: each has its named state.


def no_traffic(judge: RollbackEngine, clock: ManualClock) -> Any:
    return looked(judge, clock)


def requests_of_nobody(judge: RollbackEngine, clock: ManualClock) -> Any:
    good(judge, 0)
    return looked(judge, clock)


def canary_only(judge: RollbackEngine, clock: ManualClock) -> Any:
    judge.observe("canary", requests=10_000, events={"errors": 10_000})
    return looked(judge, clock)


def baseline_only(judge: RollbackEngine, clock: ManualClock) -> Any:
    judge.observe("baseline", requests=10_000, events={"errors": 10_000})
    return looked(judge, clock)


def traffic_that_stops(judge: RollbackEngine, clock: ManualClock) -> Any:
    for _ in range(20):
        good(judge)
        assert looked(judge, clock, 1.0).action is Action.NONE
    return looked(judge, clock)


def unpaired_interval(judge: RollbackEngine, clock: ManualClock) -> Any:
    judge.observe("canary", requests=100, interval="12:00")
    return looked(judge, clock, 1e5)


@pytest.mark.parametrize(
    ("happens", "reason"),
    [
        (no_traffic, "no data from either arm since "),
        (requests_of_nobody, "no data from either arm since "),
        (canary_only, "no data from the baseline since "),
        (baseline_only, "no data from the canary since "),
        (traffic_that_stops, "no data from either arm since "),
        (unpaired_interval, "no data from the baseline since "),
    ],
    ids=lambda each: getattr(each, "__name__", ""),
)
@pytest.mark.parametrize("stages", ["external", [0.2, 0.5]], ids=str)
def test_no_data_is_a_hold_and_never_a_promotion(happens: Any, reason: str, stages: Any) -> None:
    judge, clock = engine(stages, bake=1e4)
    decision = happens(judge, clock)
    assert decision.action is Action.HOLD
    assert decision.reason.startswith(reason)
    assert judge.phase == "hold"
    before = judge.findings
    for _ in range(50):
        assert looked(judge, clock, 1e4).action is Action.HOLD  # time alone proves nothing
    assert judge.findings == before


def test_a_proven_canary_is_not_promoted_at_a_look_without_data() -> None:
    judge, clock = engine(bake=600.0)
    for _ in range(30):
        good(judge)
        looked(judge, clock, 1.0)
    assert all(each["safe"] for each in judge.findings)
    assert looked(judge, clock, 1e4).action is Action.HOLD
    good(judge)
    assert looked(judge, clock, 1.0).action is Action.PROMOTE


def test_no_data_since_is_when_it_began_and_ends_with_data() -> None:
    judge, clock = engine(on_no_data="rollback", no_data_deadline=100.0)
    reasons = {looked(judge, clock, 45.0).reason for _ in range(3)}
    assert reasons == {"no data from either arm since 2023-11-14T22:14:05Z"}
    good(judge)
    assert looked(judge, clock).action is Action.NONE
    found = [looked(judge, clock, 50.0).action for _ in range(3)]
    assert found == [Action.HOLD, Action.HOLD, Action.ROLLBACK]


@pytest.mark.parametrize("name", ["budget", "approval"])
def test_a_source_that_raises_is_not_a_yes(name: str) -> None:
    def broken() -> Verdict:
        raise OSError("prometheus is away")

    judge, clock = engine(bake=0, approvals=["promote"], collaborators={name: broken})
    if name == "budget":
        judge.approval = lambda: Verdict("approval", Severity.OK, "yes")
    for _ in range(20):
        good(judge, 5_000)
        decision = looked(judge, clock)
    assert decision.action is Action.HOLD
    assert "prometheus is away" in decision.reason


BROKEN = [math.nan, math.inf, -1, 0.5, "many", None, [1]]


@pytest.mark.parametrize("value", BROKEN, ids=lambda each: f"{each!r:.8}")
@pytest.mark.parametrize("where", ["requests", "errors"])
def test_a_count_that_is_none_is_refused_and_changes_nothing(value: Any, where: str) -> None:
    judge, clock = engine()
    judge.observe("canary", requests=7, events={"errors": 2}, source="pod", seq=1)
    before = judge.state()
    arguments: dict[str, Any] = {"requests": 9, "events": {"errors": 3}}
    if where == "requests":
        arguments["requests"] = value
    else:
        arguments["events"] = {"errors": value}
    with pytest.raises(ConfigurationError, match=where):
        judge.observe("canary", **arguments, source="pod", seq=2)
    assert judge.state() == before
    judge.observe("canary", requests=9, events={"errors": 3}, source="pod", seq=2)
    judge.observe("baseline", requests=9)
    looked(judge, clock)
    assert judge.findings[0]["events"] == [3, 0]


def test_numbers_of_numpy_are_counts_and_plain_in_the_state() -> None:
    judge, clock = engine()
    judge.observe("canary", requests=np.int64(10), events={"errors": np.int32(2)})  # type: ignore[arg-type, dict-item]
    judge.observe("baseline", requests=10.0)  # type: ignore[arg-type]
    looked(judge, clock)
    assert judge.findings[0]["events"] == [2, 0]
    json.dumps(judge.state())


# Counters.

GROWTH = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=1, max_size=12)


@settings(max_examples=60)
@given(GROWTH, st.sets(st.integers(0, 11)), st.lists(st.integers(0, 11), max_size=12))
def test_counters_give_what_increments_give(
    growth: list[tuple[int, int]], resets: set[int], repeats: list[int]
) -> None:
    """Whatever is repeated, late or started anew."""
    counters, clock = engine()
    increments, _ = engine()
    told: list[dict[str, Any]] = []
    requests = errors = 0
    for place, (more, failed) in enumerate(growth):
        if place in resets and more <= requests:
            requests = errors = 0
            more = min(more, max(told[-1]["requests"] - 1, 0)) if told else more  # noqa: PLW2901 -- else nobody can see it
        failed = min(failed, more)  # noqa: PLW2901 -- of them
        requests, errors = requests + more, errors + failed
        told.append({"requests": requests, "events": {"errors": errors, "slow": 0}, "seq": place})
        counters.observe("canary", source="pod", **told[-1])
        for again in repeats:
            if again <= place:
                counters.observe("canary", source="pod", **told[again])
        increments.observe("canary", requests=more, events={"errors": failed})
    for judge in (counters, increments):
        judge.observe("baseline", requests=10)
        judge.clock = clock
        judge.decide()
    assert counters.findings == increments.findings
    assert counters.state()["exposed"] == increments.state()["exposed"]


def test_a_number_that_was_there_is_passed_over_whatever_it_brings() -> None:
    judge, _ = engine()
    for requests, seq in ((100, 5), (900, 5), (800, 4)):
        judge.observe("canary", requests=requests, source="pod", seq=seq)
    assert judge.state()["exposed"] == 100


def test_few_events_are_no_reason_to_roll_back() -> None:
    for least, action in ((3, Action.ROLLBACK), (4, Action.NONE)):
        judge, clock = engine(guardrails=[Guardrail("errors", min_events=least)], bake=1e9)
        judge.observe("canary", requests=100, events={"errors": 3})
        judge.observe("baseline", requests=900)
        assert looked(judge, clock).action is action
        assert judge.findings[0]["log_e_harm"] > judge.findings[0]["log_limit"]


def test_sources_and_arms_are_counted_apart() -> None:
    judge, clock = engine()
    for arm in ("canary", "baseline"):
        for source, n in (("a", 100), ("b", 30)):
            judge.observe(arm, requests=n, events={"errors": 1}, source=source, seq=1)
            judge.observe(arm, requests=n + 5, events={"errors": 2}, source=source, seq=2)
    looked(judge, clock)
    assert judge.findings[0]["requests"] == [140, 140]
    assert judge.findings[0]["events"] == [4, 4]


def test_counters_survive_a_restart_of_the_engine() -> None:
    judge, clock = engine()
    judge.observe("canary", requests=100, source="a", seq=1)
    judge.observe("baseline", requests=100, source="a", seq=1)
    looked(judge, clock)
    again = judge.from_state(json.loads(json.dumps(judge.state())))
    again.observe("canary", requests=100, source="a", seq=1)
    again.observe("canary", requests=110, source="a", seq=2)
    again.observe("baseline", requests=130, source="a", seq=2)
    again.decide()
    assert again.findings[0]["requests"] == [110, 130]


def test_an_engine_over_counts_nothing() -> None:
    judge, clock = engine()
    judge.command("abort", who="ada", reason="enough")
    looked(judge, clock)
    before = judge.state()
    good(judge)
    judge.observe("canary", requests=3, source="a", seq=1)
    looked(judge, clock)
    assert judge.state() == before


# Intervals.


def test_an_interval_waits_for_its_other_arm_however_long() -> None:
    judge, clock = engine()
    judge.observe("canary", requests=100, events={"errors": 3}, interval="a")
    looked(judge, clock, 1e4)
    judge.observe("baseline", requests=50, events={"errors": 1}, interval="a")
    looked(judge, clock, 1e4)
    assert judge.findings[0]["requests"] == [100, 50]
    assert judge.findings[0]["events"] == [3, 1]


def test_late_reports_are_counted_as_late_and_change_no_evidence() -> None:
    judge, clock = engine()
    for arm in ("canary", "baseline"):
        judge.observe(arm, requests=100, interval="a")
    looked(judge, clock)
    before = judge.findings
    for late in range(3):
        judge.observe("baseline", requests=100, events={"errors": 100}, interval="a")
        looked(judge, clock)
        assert judge.state()["late"] == late + 1
    assert judge.findings == before


def test_what_waits_is_bounded() -> None:
    judge, clock = engine()
    for place in range(3_000):
        judge.observe("canary", requests=1, interval=f"i{place}")
        if place % 500 == 0:
            looked(judge, clock)
    looked(judge, clock)
    assert len(judge.state()["open"]) <= 1_000
    for place in range(3_000):
        for arm in ("canary", "baseline"):
            judge.observe(arm, requests=1, interval=f"j{place}")
        if place % 500 == 0:
            looked(judge, clock)
    looked(judge, clock)
    assert len(judge.state()["closed"]) <= 1_000


# What a stage's share is held against.


def minutes(judge: RollbackEngine, clock: ManualClock, canary: int, baseline: int) -> str:
    """Look each minute for ten of them; the last reason."""
    for _ in range(10):
        judge.observe("canary", requests=canary)
        judge.observe("baseline", requests=baseline)
        reason: str = looked(judge, clock, 61.0).reason
    return reason


def test_an_outage_of_one_arms_reports_is_not_held_against_the_share() -> None:
    judge, clock = engine(stages=[0.1, 0.5], bake=1e9, mismatch="hold")
    assert "is planned" not in minutes(judge, clock, 100, 900)
    assert minutes(judge, clock, 100, 0).startswith("no data from the baseline")
    assert "is planned" not in minutes(judge, clock, 100, 900)


def test_a_share_that_is_wrong_is_found_although_most_minutes_have_no_canary() -> None:
    judge, clock = engine(stages=[0.1, 0.5], bake=1e9, mismatch="hold")
    for place in range(100):
        judge.observe("canary", requests=int(place % 10 == 0))
        judge.observe("baseline", requests=100)
        reason = looked(judge, clock, 61.0).reason
        if "is planned" in reason:
            break
    assert reason.startswith("the canary got 0.")


@pytest.mark.parametrize(("canary", "held"), [(88, False), (112, False), (200, True), (40, True)])
def test_the_share_of_few_users_is_not_exactly_planned_but_a_fault_in_routing_is_found(
    canary: int, *, held: bool
) -> None:
    judge, clock = engine(stages=[0.1, 0.5], bake=1e9, mismatch="hold")
    for _ in range(2_000):
        judge.observe("canary", requests=canary)
        judge.observe("baseline", requests=1_000 - canary)
        reason = looked(judge, clock).reason
    assert ("is planned" in reason) is held


def test_late_reports_are_of_the_share_of_their_stage() -> None:
    judge, clock = engine(stages=[0.1], bake=1e9, mismatch="hold")
    for place in range(50):
        judge.observe("canary", requests=50, interval=f"{place}")
        judge.observe("baseline", requests=900, interval=f"{place}")
        reason = looked(judge, clock).reason
        judge.observe("canary", requests=50, interval=f"{place}")
    assert reason.startswith("stage 1 of 1 bakes")


# Commands, sinks, replay.


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "stop", "who": "a", "reason": "b"}, r"^name = 'stop'"),
        ({"name": "pause", "who": "", "reason": "b"}, r"^who = ''"),
        ({"name": "pause", "who": "a", "reason": ""}, r"^reason = ''"),
    ],
)
def test_a_bad_command_is_named_and_changes_nothing(arguments: Any, message: str) -> None:
    judge, _ = engine()
    before = judge.state()
    with pytest.raises(ConfigurationError, match=message):
        judge.command(**arguments)
    assert judge.state() == before


def test_a_forced_promotion_takes_all_traffic_and_an_abort_none() -> None:
    for name, share in (("promote", 1.0), ("abort", 0.0)):
        judge, clock = engine([0.1])
        judge.command(name, who="ada", reason="we know better")
        assert judge.share == share
        assert looked(judge, clock).reason == f"{name} by ada: we know better"


def test_a_sink_that_fails_does_not_undo_the_rollback() -> None:
    def broken(_: Any) -> None:
        raise OSError("slack is away")

    kept = RecordingSink()
    judge, clock = engine(collaborators={"sinks": [broken, kept]})
    judge.observe("canary", requests=500, events={"errors": 100})
    judge.observe("baseline", requests=500)
    clock.advance(1.0)
    with pytest.raises(ExceptionGroup):
        judge.decide()
    assert judge.phase == "rolled back"
    assert [each.action for each in kept.decisions] == [Action.ROLLBACK]
    assert judge.decide().action is Action.NONE


def test_a_shadow_plan_judges_the_same_events() -> None:
    events: list[dict[str, Any]] = []
    for place in range(1, 40):
        for arm, errors in (("canary", 4), ("baseline", 2)):
            events.append({"observe": {"arm": arm, "requests": 200, "events": {"errors": errors}}})
        events.append({"decide": START + 60.0 * place})
    first = []
    for alpha in (0.2, 0.05, 0.001):
        plan = RollbackPlan("external", guardrails=GUARDRAILS, alpha=alpha)
        decisions = replay(plan, events)
        first.append(next(n for n, each in enumerate(decisions) if each.action == "rollback"))
    assert first == sorted(first)
    assert len({*first}) == 3
