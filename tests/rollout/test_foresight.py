"""What a plan would do, before it runs: the same as an engine does, and at the stated rates."""

from __future__ import annotations

import math
from typing import Any

import pytest
from scipy import stats

from mlguard import ConfigurationError
from mlguard.rollout import Guardrail, RollbackPlan, foresee

PLAN = RollbackPlan([0.1, 0.5], guardrails=[Guardrail("errors")], bake=600)


def test_equal_candidates_are_promoted_and_worse_ones_rolled_back() -> None:
    equal = foresee(PLAN, rates={"errors": 0.02}, per_second=20, runs=100)
    assert equal.part("promoted") > 0.9
    worse = foresee(PLAN, rates={"errors": 0.02}, ratios={"errors": 3.0}, per_second=20, runs=100)
    assert worse.part("rolled back") > 0.95
    assert worse.ends[0].seconds[0] < equal.ends[0].seconds[0]
    assert worse.ends[0].exposed[0] < worse.ends[0].exposed[1]
    assert sum(each.part for each in equal.ends) == pytest.approx(1.0)


@pytest.mark.slow
def test_the_plans_rates_hold() -> None:
    runs = 1_000
    equal = foresee(PLAN, rates={"errors": 0.01}, per_second=5, runs=runs)
    margin = foresee(PLAN, rates={"errors": 0.01}, ratios={"errors": 2.0}, per_second=5, runs=runs)
    for wrong in (equal.part("rolled back"), margin.part("promoted")):
        assert stats.binomtest(round(wrong * runs), runs, 0.05, "greater").pvalue > 0.001


def test_half_the_traffic_takes_twice_as_long() -> None:
    plan = RollbackPlan("external", guardrails=[Guardrail("errors")], bake=0)
    slow, fast = (
        foresee(plan, rates={"errors": 0.02}, per_second=rate, every=10, runs=60)
        for rate in (5, 50)
    )
    assert 5 < slow.ends[0].seconds[0] / fast.ends[0].seconds[0] < 20
    assert 0.5 < slow.ends[0].exposed[0] / fast.ends[0].exposed[0] < 2


def test_the_same_seed_gives_the_same() -> None:
    first, second, other = (
        foresee(PLAN, rates={"errors": 0.02}, per_second=2, runs=5, seed=seed) for seed in (1, 1, 2)
    )
    assert first == second != other


def test_what_comes_to_no_end_is_said_to() -> None:
    found = foresee(PLAN, rates={"errors": 0.001}, per_second=1, lasting=1_200, runs=5)
    assert found.part("undecided") == 1.0
    assert " ".join(str(found).split()).split("90 % ")[2].startswith("undecided 100.0% 20 min 20 ")


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({"rates": {}}, "rates"),
        ({"rates": {"errors": 0.1, "slow": 0.1}}, "rates"),
        ({"rates": {"errors": 0.0}}, r"rates\['errors'\]"),
        ({"rates": {"errors": math.nan}}, r"rates\['errors'\]"),
        ({"ratios": {"slow": 2.0}}, "ratios"),
        ({"ratios": {"errors": 100.0}}, "ratios"),
        ({"ratios": {"errors": math.nan}}, "ratios"),
        ({"per_second": 0.0}, "per_second"),
        ({"per_second": math.nan}, "per_second"),
        ({"every": 0}, "every"),
        ({"runs": 0}, "runs"),
        ({"external_share": 1.0}, "external_share"),
        ({"plan": RollbackPlan("external", guardrails=PLAN.guardrails, cluster="user")}, "plan"),
    ],
)
def test_bad_arguments_are_named(more: dict[str, Any], named: str) -> None:
    given = {"plan": PLAN, "rates": {"errors": 0.02}, "per_second": 1.0, **more}
    with pytest.raises(ConfigurationError, match=f"^{named} = "):
        foresee(given.pop("plan"), **given)
