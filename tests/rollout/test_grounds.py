"""What decisions say of the evidence, and what would have changed them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlguard import Action
from mlguard.rollout import Guardrail, RollbackEngine, RollbackPlan
from mlguard.rollout.evidence import Evidence
from mlguard.testing import ManualClock

LIMIT = 3.5
counts = st.tuples(st.integers(1, 400), st.integers(1, 4_000))


@given(counts, st.floats(0, 0.05), st.floats(0, 0.05), st.sampled_from([1.0, 1.5]))
def test_so_many_more_canary_events_and_no_fewer_are_a_proof(
    requests: tuple[int, int], rate_c: float, rate_b: float, tolerance: float
) -> None:
    table = RollbackPlan("external", guardrails=[Guardrail("e", tolerance=tolerance)]).table
    events = round(requests[0] * rate_c), round(requests[1] * rate_b)
    before = Evidence.none(1).after(table, requests, [events])
    more = before.events_to_harm(table, 0, LIMIT)
    assert more is not None
    many = requests[0] * 1_000_000, requests[1] * 1_000_000
    after = before.after(table, many, [(more, 0)])
    assert after.harm[0] >= LIMIT - 1e-9
    if more:
        assert before.after(table, many, [(more - 1, 0)]).harm[0] < LIMIT


def test_events_to_harm_are_at_least_what_the_guardrail_asks_for() -> None:
    table = RollbackPlan("external", guardrails=[Guardrail("e")]).table
    before = Evidence.none(1).after(table, (1, 10_000), [(0, 0)])
    assert before.events_to_harm(table, 0, 1.0, least=1) == 1
    assert before.events_to_harm(table, 0, 1.0, least=7) == 7


@pytest.mark.parametrize("share", [0.1, 0.5])
@pytest.mark.parametrize("direction", ["increase", "decrease"])
def test_events_to_safety_are_what_equal_canaries_need(share: float, direction: Any) -> None:
    table = RollbackPlan("external", guardrails=[Guardrail("e", direction=direction)]).table
    rng, limit, needed = np.random.default_rng(4), 3.0, []
    sizes = round(1_000 * share), round(1_000 * (1 - share))
    before = Evidence.none(1).after(table, sizes, [(0, 0)])
    expected = before.events_to_safety(table, 0, limit)
    assert expected is not None
    for _ in range(40):
        evidence = before
        while evidence.safety[0] < limit:
            hits = (int(rng.binomial(sizes[0], 0.01)), int(rng.binomial(sizes[1], 0.01)))
            evidence = evidence.after(table, sizes, [hits])
        needed.append(int(evidence.counts.sum()))
    assert 0.6 * np.mean(needed) < expected < 1.6 * np.mean(needed)


def test_nothing_is_foretold_before_any_request() -> None:
    table = RollbackPlan("external", guardrails=[Guardrail("e")]).table
    assert Evidence.none(1).events_to_harm(table, 0, LIMIT) is None
    assert Evidence.none(1).events_to_safety(table, 0, LIMIT) is None


def test_an_engine_explains_itself() -> None:
    plan = RollbackPlan(
        [0.1, 0.5],
        guardrails=[
            Guardrail("errors"),
            Guardrail("sales", direction="decrease", kind="deterioration", action="hold"),
        ],
    )
    judge = RollbackEngine(plan, clock=ManualClock(1.7e9))
    assert judge.explain().splitlines()[0] == "pending: nothing was decided yet"
    judge.observe("canary", requests=100, events={"errors": 2, "sales": 5})
    judge.observe("baseline", requests=900, events={"errors": 9, "sales": 45})
    judge.decide()
    stands, errors, sales = judge.explain().splitlines()
    assert stands == "stage: stage 1 of 2 bakes until 2023-11-14T22:23:20Z"
    counted, ratio, harm, safety = errors.split("; ")
    assert counted == "errors: 2 of 100 requests of the canary, 9 of 900 of the baseline"
    assert ratio == "0.11 to 12.9 times the rate"
    assert harm == "4 more of the canary, and none of the baseline, would roll it back"
    assert safety == "about 155 more of both at equal rates prove it safe"
    assert "would" not in sales
    judge.observe("canary", requests=100, events={"errors": 40, "sales": 5})
    judge.observe("baseline", requests=900, events={"errors": 9, "sales": 45})
    decision = judge.decide()
    assert decision.action is Action.ROLLBACK
    grounds = decision.because[1]
    assert grounds["alpha"] == pytest.approx(0.045)
    assert grounds["events_to_harm"] == 0
    assert "proven worse, at 0.045" in judge.explain()
