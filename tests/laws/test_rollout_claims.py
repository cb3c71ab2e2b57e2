"""What a rollout's evidence promises, by simulation: seldom a false rollback at any number of looks."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import stats

from mlguard.rollout import Guardrail, RollbackEngine, RollbackPlan
from mlguard.rollout.evidence import Evidence, Table
from mlguard.testing import ManualClock

ALPHA = 0.05
GUARDRAIL = Guardrail("errors")
PLAN = RollbackPlan("external", guardrails=[GUARDRAIL], alpha=ALPHA)
LIMIT, SAFE = PLAN.limits[0], -math.log(0.05)
NEVER = 10**9

Rate = Callable[[float], float]


def steady(value: float) -> Rate:
    return lambda _: value


def rolled(
    rng: np.random.Generator,
    canary: Rate,
    baseline: Rate,
    share: Rate,
    *,
    requests: int = 20_000,
    look: int = 100,
) -> tuple[int, int]:
    """Give after how many requests harm is proven, and safety, looking every so often."""
    table, evidence = Table([GUARDRAIL]), Evidence.none(1)
    harm = safe = NEVER
    for seen in range(look, requests + 1, look):
        where = seen / requests
        n_c = int(rng.binomial(look, share(where)))
        if not 0 < n_c < look:
            continue
        k_c = int(rng.binomial(n_c, canary(where)))
        k_b = int(rng.binomial(look - n_c, baseline(where)))
        evidence = evidence.after(table, (n_c, look - n_c), [(k_c, k_b)])
        enough = int(evidence.counts.sum()) >= GUARDRAIL.min_events
        if harm == NEVER and enough and evidence.harm[0] >= LIMIT:
            harm = seen
        if safe == NEVER and evidence.safety[0] >= SAFE:
            safe = seen
        if max(harm, safe) < NEVER:
            break
    return harm, safe


def many(runs: int, seed: int, *rates: Rate, **more: Any) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    found = np.array([rolled(rng, *rates, **more) for _ in range(runs)])
    return found[:, 0], found[:, 1]


def at_most(count: int, n: int, share: float) -> bool:
    """Tell whether a share is no larger than claimed, but for chance of one in a thousand."""
    return count <= stats.binom.ppf(0.999, n, share)


def drifting(base: float) -> Rate:
    return lambda where: base * math.exp(math.log(2.7) * math.sin(9.0 * where))


def ramp(where: float) -> float:
    return (0.01, 0.05, 0.25, 0.5)[min(int(4 * where), 3)]


def jumping(where: float) -> float:
    return 0.02 + 0.58 * ((where * 7919.0) % 1.0)


EQUAL: dict[str, tuple[Rate, Rate]] = {
    "1 %": (steady(0.01), steady(0.5)),
    "1 %, a tenth": (steady(0.01), steady(0.1)),
    "0.1 %": (steady(0.001), steady(0.5)),
    "20 %": (steady(0.2), steady(0.5)),
    "drifting": (drifting(0.01), steady(0.5)),
    "ramp, errors double": (lambda where: 0.01 * (1.0 + where), ramp),
    "ramp, errors times 4": (lambda where: 0.01 * (1.0 + 3.0 * where), ramp),
    "the share jumps": (steady(0.01), jumping),
}


@pytest.mark.parametrize("case", ["1 %", "ramp, errors times 4"])
def test_equal_canaries_are_seldom_rolled_back(case: str) -> None:
    rate, share = EQUAL[case]
    harm, _ = many(120, 1, rate, rate, share)
    assert at_most(int((harm < NEVER).sum()), 120, ALPHA)


@pytest.mark.slow
@pytest.mark.parametrize("case", EQUAL)
def test_equal_canaries_are_rolled_back_in_at_most_alpha(case: str) -> None:
    rate, share = EQUAL[case]
    harm, _ = many(1_000, 2, rate, rate, share)
    assert at_most(int((harm < NEVER).sum()), 1_000, ALPHA)


@pytest.mark.slow
def test_a_look_after_every_request_costs_no_more() -> None:
    rate = steady(0.01)
    harm, _ = many(300, 3, rate, rate, steady(0.5), requests=5_000, look=2)
    assert at_most(int((harm < NEVER).sum()), 300, ALPHA)


def test_a_bad_canary_is_found_soon() -> None:
    harm, _ = many(60, 4, steady(0.05), steady(0.01), steady(0.5))
    assert np.median(harm) <= 600


@pytest.mark.slow
@pytest.mark.parametrize(
    ("canary", "share", "most", "power"),
    [
        (0.05, 0.5, 600, 0.99),
        (0.05, 0.1, 1_100, 0.99),
        (0.02, 0.5, 4_100, 0.98),
        (0.02, 0.1, 20_000, 0.8),
    ],
)
def test_the_delays_stay_within_the_numbers_to_hold(
    canary: float, share: float, most: int, power: float
) -> None:
    harm, _ = many(600, 5, steady(canary), steady(0.01), steady(share))
    assert np.median(harm) <= most
    assert (harm < NEVER).mean() >= power - 0.03


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.5, 0.1])
def test_canaries_at_the_margin_are_promoted_in_at_most_5_percent(share: float) -> None:
    _, safe = many(800, 6, steady(0.02), steady(0.01), steady(share))
    assert at_most(int((safe < NEVER).sum()), 800, 0.05)


@pytest.mark.slow
@pytest.mark.parametrize(("share", "most"), [(0.5, 5_000), (0.1, 11_500)])
def test_equal_canaries_are_proven_safe_within_the_numbers_to_hold(share: float, most: int) -> None:
    rate = steady(0.01)
    _, safe = many(1_600, 7, rate, rate, steady(share))
    assert np.median(safe) <= most


@pytest.mark.slow
@pytest.mark.parametrize("ratio", [1.0, 3.0])
def test_the_confidence_sequence_covers_at_every_look(ratio: float) -> None:
    rng = np.random.default_rng(8)
    table, missed, runs = Table([GUARDRAIL]), 0, 300
    for _ in range(runs):
        evidence = Evidence.none(1)
        for _ in range(100):
            n_c = int(rng.binomial(100, 0.3))
            if not 0 < n_c < 100:
                continue
            events = int(rng.binomial(n_c, 0.02 * ratio)), int(rng.binomial(100 - n_c, 0.02))
            evidence = evidence.after(table, (n_c, 100 - n_c), [events])
            low, high = (float(end[0]) for end in evidence.ratio(ALPHA))
            if not low <= ratio <= high:
                missed += 1
                break
    assert at_most(missed, runs, ALPHA)


def test_the_order_of_intervals_and_the_direction_do_not_matter() -> None:
    rng = np.random.default_rng(9)
    intervals = [
        ((int(rng.integers(5, 90)), 50), (int(rng.integers(0, 4)), int(rng.integers(0, 4))))
        for _ in range(30)
    ]
    more, fewer = Table([GUARDRAIL]), Table([Guardrail("errors", direction="decrease")])
    there = back = mirrored = Evidence.none(1)
    for requests, events in intervals:
        there = there.after(more, requests, [events])
        mirrored = mirrored.after(fewer, requests[::-1], [events[::-1]])
    for requests, events in reversed(intervals):
        back = back.after(more, requests, [events])
    assert there.harm == pytest.approx(back.harm, abs=1e-9)
    assert there.harm == pytest.approx(mirrored.harm, abs=1e-9)
    assert there.safety == pytest.approx(mirrored.safety, abs=1e-9)


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_an_e_value_is_at_most_one_on_average_under_the_null(rate: float) -> None:
    """By enumeration of all that a small interval can hold."""
    table, mean = Table([GUARDRAIL]), 0.0
    for k_c in range(6):
        for k_b in range(8):
            chance = stats.binom.pmf(k_c, 5, rate) * stats.binom.pmf(k_b, 7, rate)
            evidence = Evidence.none(1).after(table, (5, 7), [(k_c, k_b)])
            mean += float(chance * np.exp(evidence.harm[0]))
    assert mean <= 1.0 + 1e-9


# The engine itself, as it is used: the promise is the plan's, over all of its guardrails.

SEVERAL = {
    Guardrail("errors"): 0.01,
    Guardrail("slow"): 0.05,
    Guardrail("odd"): 0.001,
    Guardrail("unsure", ceiling=0.5): 0.2,
}
MORE = {
    "conversions": (Guardrail("more", direction="decrease"), 0.6),
    "clicks": (Guardrail("more", kind="success"), 0.6),
    "told": (Guardrail("more", action="notify"), 0.6),
    "held": (Guardrail("more", action="hold"), 0.6),
}


def ended(
    rng: np.random.Generator,
    rates: dict[Guardrail, float],
    *,
    worse: float = 1.0,
    looks: int = 100,
    look: int = 200,
    **settings: Any,
) -> str:
    """Give where a rollout ends whose canary has each event so many times as often."""
    plan = RollbackPlan(
        "external", guardrails=list(rates), alpha=ALPHA, **{"bake": 1e9, **settings}
    )
    clock = ManualClock(1e9)
    engine = RollbackEngine(plan, clock=clock)
    for place in range(looks):
        n_c = int(rng.binomial(look, jumping(place / looks)))
        for arm, n, times in (("canary", n_c, worse), ("baseline", look - n_c, 1.0)):
            events = {each.name: int(rng.binomial(n, rate * times)) for each, rate in rates.items()}
            engine.observe(arm, requests=n, events=events)  # type: ignore[arg-type]
        clock.advance(10.0)
        engine.decide()
        if engine.phase in {"rolled back", "promoted"}:
            break
    return engine.phase


def ends(runs: int, seed: int, *arguments: Any, **more: Any) -> list[str]:
    rng = np.random.default_rng(seed)
    return [ended(rng, *arguments, **more) for _ in range(runs)]


def test_a_plan_of_several_guardrails_seldom_rolls_an_equal_canary_back() -> None:
    found = ends(80, 10, SEVERAL)
    assert at_most(found.count("rolled back"), 80, ALPHA)
    assert "promoted" not in found


@pytest.mark.slow
def test_the_rate_of_a_plan_is_that_of_all_its_guardrails() -> None:
    found = ends(1_000, 11, SEVERAL)
    assert at_most(found.count("rolled back"), 1_000, ALPHA)


def test_conversions_beside_it_do_not_make_false_rollbacks_more_frequent() -> None:
    guardrail, rate = MORE["conversions"]
    found = ends(60, 12, {**SEVERAL, guardrail: rate})
    assert at_most(found.count("rolled back"), 60, ALPHA)


@pytest.mark.slow
@pytest.mark.parametrize("kind", MORE)
def test_no_other_guardrail_makes_false_rollbacks_more_frequent(kind: str) -> None:
    guardrail, rate = MORE[kind]
    found = ends(300, 13, {**SEVERAL, guardrail: rate})
    assert at_most(found.count("rolled back"), 300, ALPHA)


@pytest.mark.slow
def test_an_incident_of_both_arms_seldom_rolls_the_canary_back() -> None:
    found = ends(500, 14, {GUARDRAIL: 0.5})
    assert at_most(found.count("rolled back"), 500, ALPHA)


@pytest.mark.slow
def test_an_engine_promotes_what_is_worse_by_the_margin_in_at_most_5_percent() -> None:
    found = ends(300, 15, {GUARDRAIL: 0.01}, worse=2.0, bake=0.0, looks=150)
    assert at_most(found.count("promoted"), 300, 0.05)
    assert found.count("rolled back") > 200


def test_an_engine_promotes_what_is_equal_and_rolls_back_what_is_worse() -> None:
    equal = ends(20, 16, {GUARDRAIL: 0.02}, bake=0.0)
    assert equal.count("promoted") >= 17
    assert ends(20, 17, {GUARDRAIL: 0.02}, worse=4.0, bake=0.0) == ["rolled back"] * 20


def sticky(seed: int, *, share: float, clusters: bool) -> bool:
    """Tell whether an equal canary is rolled back; 2,000 users, of whom 1 % always fail."""
    rng, clock = np.random.default_rng(seed), ManualClock(0.0)
    plan = RollbackPlan(
        "external", guardrails=[GUARDRAIL], bake=1e9, cluster="user" if clusters else None
    )
    engine = RollbackEngine(plan, clock=clock)
    arms = np.where(rng.random(2_000) < share, "canary", "baseline").tolist()
    failing = (rng.random(2_000) < 0.01).tolist()
    for place, user in enumerate(rng.integers(0, 2_000, 20_000).tolist(), start=1):
        engine.observe(
            arms[user],
            requests=1,
            events={"errors": int(failing[user])},
            cluster=user if clusters else None,
        )
        if place % 100 == 0:
            clock.advance(1.0)
            if engine.decide().action == "rollback":
                return True
    return False


@pytest.mark.slow
@pytest.mark.parametrize(("share", "runs"), [(0.5, 300), (0.1, 150)])
def test_users_who_always_fail_do_not_roll_an_equal_canary_back(share: float, runs: int) -> None:
    assert at_most(sum(sticky(s, share=share, clusters=True) for s in range(runs)), runs, ALPHA)


def test_retries_that_count_each_time_do() -> None:
    assert sum(sticky(s, share=0.5, clusters=False) for s in range(12)) >= 2
