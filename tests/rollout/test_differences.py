"""Guardrails on a difference: of means of values, and of rates of events."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from mlguard import Action, ConfigurationError
from mlguard.rollout import Guardrail, RollbackEngine, RollbackPlan, foresee, replay, timeline_html
from mlguard.testing import ManualClock

SCORE = Guardrail("score", values=(0.0, 1.0), direction="decrease", tolerance=0.0, margin=0.05)
COST = Guardrail("cost", values=(0.0, 10.0), tolerance=0.1, margin=0.5)
SHARE = Guardrail("clicks", unit="difference", direction="decrease", tolerance=0.01, margin=0.05)


def engine(*guardrails: Guardrail, **settings: Any) -> tuple[RollbackEngine, ManualClock]:
    clock = ManualClock(1e9)
    plan = RollbackPlan("external", guardrails=guardrails, **{"bake": 0, **settings})
    return RollbackEngine(plan, clock=clock), clock


def scores(
    judge: RollbackEngine,
    clock: ManualClock,
    rng: np.random.Generator,
    drop: float,
    guardrail: Guardrail = SCORE,
) -> Any:
    """Report 100 values of each arm, the canary's lower by so much of their span."""
    _, high = guardrail.values or (0.0, 1.0)
    for arm, less in (("canary", drop), ("baseline", 0.0)):
        values = high * np.clip(rng.normal(0.7 - less, 0.1, 100), 0, 1)
        judge.observe(arm, requests=100, values={guardrail.name: values})  # type: ignore[arg-type]
    clock.advance(1.0)
    return judge.decide()


def looks(drop: float, most: int = 300, seed: int = 1, guardrail: Guardrail = SCORE) -> Any:
    judge, clock = engine(guardrail)
    rng = np.random.default_rng(seed)
    for _ in range(most):
        decision = scores(judge, clock, rng, drop, guardrail)
        if judge.over:
            break
    return judge, decision


def test_lower_scores_roll_back_and_equal_ones_are_promoted() -> None:
    judge, decision = looks(0.05)
    assert decision.action is Action.ROLLBACK
    grounds = decision.because[1]
    assert grounds["method"] == "bets on the difference"
    assert -0.15 < grounds["difference_low"] < -0.05 < grounds["difference_high"] < 0.0
    assert "ratio_low" not in grounds
    assert " values of the canary, " in decision.reason
    assert decision.reason.endswith(", and 0 is tolerated")
    judge, decision = looks(0.0)
    assert decision.action is Action.PROMOTE
    assert "proven above -0.05" in judge.explain()
    assert looks(-0.05)[1].action is Action.PROMOTE


def test_where_more_is_worse_it_is_the_other_way_round() -> None:
    assert looks(-0.1, guardrail=COST)[1].action is Action.ROLLBACK  # costs 1 more, 0.1 tolerated
    assert looks(0.1, guardrail=COST)[1].action is Action.PROMOTE


def test_a_difference_within_the_tolerance_is_no_harm() -> None:
    tolerant = Guardrail(
        "score", values=(0.0, 1.0), direction="decrease", tolerance=0.1, margin=0.3
    )
    assert looks(0.05, guardrail=tolerant)[1].action is Action.PROMOTE


def test_a_success_must_be_better() -> None:
    better = Guardrail("score", values=(0, 1), kind="success", direction="decrease")
    assert (better.tolerance, better.margin) == (0.0, 0.0)
    assert looks(-0.05, guardrail=better)[1].action is Action.PROMOTE
    judge, decision = looks(0.05, most=30, guardrail=better)
    assert decision.action is Action.NONE
    assert judge.phase == "stage"


@pytest.mark.slow
@pytest.mark.parametrize("guardrail", [SCORE, COST], ids=["score", "cost"])
def test_the_rates_of_values_hold(guardrail: Guardrail) -> None:
    """At the tolerance seldom a rollback, at the margin seldom a promotion."""
    runs, worse = 200, -1.0 if guardrail is COST else 1.0
    span = (guardrail.values or (0, 1))[1]
    for limit, phase in ((guardrail.tolerated, "rolled back"), (guardrail.bound, "promoted")):
        ended = sum(
            looks(worse * limit / span, 100, seed, guardrail)[0].phase == phase
            for seed in range(runs)
        )
        assert ended <= stats.binom.ppf(0.999, runs, 0.05)


def rates(judge: RollbackEngine, clock: ManualClock, counts: tuple[int, int]) -> Any:
    for arm, clicks in zip(("canary", "baseline"), counts, strict=True):
        judge.observe(arm, requests=1_000, events={"clicks": clicks})  # type: ignore[arg-type]
    clock.advance(1.0)
    return judge.decide()


@pytest.mark.parametrize(
    ("counts", "action"),
    [((300, 400), Action.ROLLBACK), ((395, 400), Action.PROMOTE), ((400, 300), Action.PROMOTE)],
)
def test_rates_may_be_compared_by_their_difference(counts: tuple[int, int], action: Action) -> None:
    judge, clock = engine(SHARE)
    for _ in range(60):
        decision = rates(judge, clock, counts)
        if judge.over:
            break
    assert decision.action is action
    assert judge.findings[0]["difference_low"] <= (counts[0] - counts[1]) / 1_000
    assert judge.findings[0]["difference_high"] >= (counts[0] - counts[1]) / 1_000


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 2), st.integers(0, 9)), max_size=30))
def test_reports_in_parts_restarts_and_replay_are_the_same(
    parts: list[tuple[bool, int, int]],
) -> None:
    events: list[Any] = []
    plan = RollbackPlan("external", guardrails=[SCORE, SHARE], bake=1e9)
    clock = ManualClock(1e9)
    judge = RollbackEngine(plan, clock=clock, journal=events.append)
    twin = RollbackEngine(plan, clock=clock)
    decisions = []
    for canary, interval, many in parts:
        told: dict[str, Any] = {
            "requests": 10,
            "values": {"score": [0.1 * each for each in range(many)]},
            "events": {"clicks": many},
            "interval": str(interval),
        }
        for each in (judge, twin):
            each.observe("canary" if canary else "baseline", **told)
        clock.advance(1.0)
        decisions.append(judge.decide())
        twin = RollbackEngine(plan, clock=clock).from_state(json.loads(json.dumps(twin.state())))
        assert twin.decide() == decisions[-1]
    written = [json.loads(json.dumps(each)) for each in events]
    assert replay(plan, written) == decisions


def test_values_are_kept_until_the_other_arm_has_some() -> None:
    judge, clock = engine(SCORE, bake=1e9)
    judge.observe("canary", requests=2, values={"score": [0.5, 0.6]}, interval="a")
    judge.observe("canary", requests=1, values={"score": 0.7}, interval="a")
    clock.advance(1.0)
    judge.decide()
    assert judge.state()["evidence"]["means"]["0"]["seen"] == [0, 0]
    judge.observe("baseline", requests=1, values={"score": [0.5]}, interval="a")
    judge.decide()
    assert judge.state()["evidence"]["means"]["0"]["seen"] == [3, 1]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"score": [0.5, 1.5]}, r"values\['score'\]: values = 1.5: must be between 0 and 1"),
        ({"score": [math.nan]}, r"values\['score'\]: values = nan"),
        ({"score": ["high"]}, r"values\['score'\]"),
        ({"score": [0.1] * 11}, r"values\['score'\] = 11: must be at most requests = 10"),
        (
            {"clicks": [0.1]},
            r"values = 'clicks': must be names of guardrails on values, \['score'\]",
        ),
        ({"odd": [0.1]}, r"values = 'odd'"),
    ],
)
def test_bad_values_are_named_and_change_nothing(values: Any, message: str) -> None:
    judge, _ = engine(SCORE, SHARE)
    before = judge.state()
    with pytest.raises(ConfigurationError, match=message):
        judge.observe("canary", requests=10, values=values)
    with pytest.raises(ConfigurationError, match="events"):
        judge.observe("canary", requests=10, events={"score": 1})
    assert judge.state() == before


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"values": (1.0, 0.0), "margin": 0.1}, "values"),
        ({"values": (0.0, math.inf), "margin": 0.1}, "values"),
        ({"values": "01", "margin": 0.1}, "values"),
        ({"values": (0.0, 0.5, 1.0), "margin": 0.1}, "values"),
        ({"values": (0.0, 1.0)}, "margin"),
        ({"values": (0.0, 1.0), "margin": 0.1, "unit": "ratio"}, "unit"),
        ({"unit": "percent"}, "unit"),
        ({"unit": "difference"}, "margin"),
        ({"unit": "difference", "tolerance": 0.1, "margin": 0.1}, "margin"),
        ({"unit": "difference", "tolerance": -0.1, "margin": 0.1}, "tolerance"),
        ({"tolerance": 0.0}, "tolerance"),
        ({"values": (0.0, 1.0), "margin": 0.1, "absolute": True}, "absolute"),
    ],
)
def test_bad_guardrails_are_named(settings: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^{named} = "):
        Guardrail("score", **settings)


def test_a_deterioration_needs_no_margin_and_plans_say_what_they_cannot_do() -> None:
    assert Guardrail("s", values=(2.0, 5.0), kind="deterioration").margin == 3.0
    with pytest.raises(ConfigurationError, match="cluster"):
        RollbackPlan("external", guardrails=[SCORE], cluster="user")
    with pytest.raises(ConfigurationError, match="plan"):
        foresee(RollbackPlan("external", guardrails=[SCORE]), rates={}, per_second=1)
    assert foresee(
        RollbackPlan("external", guardrails=[SHARE], bake=0),
        rates={"clicks": 0.3},
        per_second=50,
        runs=3,
    ).part("promoted")


def test_a_plan_on_differences_is_read_from_what_it_wrote() -> None:
    plan = RollbackPlan([0.5], guardrails=[SCORE, COST, SHARE])
    again = RollbackPlan.from_dict(json.loads(json.dumps(plan.to_dict())))
    assert again.digest == plan.digest
    assert [each.values for each in again.guardrails] == [(0.0, 1.0), (0.0, 10.0), None]


def test_a_rollout_on_values_is_drawn() -> None:
    events: list[Any] = []
    plan = RollbackPlan("external", guardrails=[SCORE], bake=0)
    clock, rng = ManualClock(1e9), np.random.default_rng(2)
    judge = RollbackEngine(plan, clock=clock, journal=events.append)
    while not judge.over:
        scores(judge, clock, rng, 0.05)
    assert "rolled back: score: " in timeline_html(plan, events)
