"""Evidence: against formulas written another way, and its laws by exact enumeration."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import special, stats

from mlguard.rollout import Guardrail
from mlguard.rollout.evidence import _SPAN, Evidence, Table, ratios
from mlguard.stats import sequential
from mlguard.stats.sequential import HARM, HARM_WEIGHTS, SAFE

Interval = tuple[tuple[int, int], tuple[int, int]]
"""Requests of both arms, and events of both."""

ROUNDING = 1e-9
ONE = 1.0 + ROUNDING


def gathered(guardrail: Guardrail, intervals: list[Interval]) -> Evidence:
    evidence, table = Evidence.none(1), Table([guardrail])
    for requests, events in intervals:
        evidence = evidence.after(table, requests, [events])
    return evidence


@st.composite
def counted(draw: st.DrawFn, *, rare: bool = False) -> Interval:
    """Draw an interval; a rare event is never above a tenth of either arm's requests."""
    least = 10 if rare else 1
    requests = draw(st.integers(least, 3_000)), draw(st.integers(least, 3_000))
    most = [n // 10 if rare else n for n in requests]
    return requests, (draw(st.integers(0, most[0])), draw(st.integers(0, most[1])))


RARE = st.lists(counted(rare=True), min_size=1, max_size=8)
ANY = st.lists(counted(), min_size=1, max_size=8)
TOLERANCES = st.sampled_from([(1.0, 2.0), (1.3, 1.9), (0.8, 4.0)])


# Against formulas written another way.


def origin(ratio: float, intervals: list[Interval]) -> float:
    """Give the log-likelihood of which arm the events came from, up to what no ratio changes."""
    return sum(
        float(stats.binom.logpmf(k_c, k_c + k_b, ratio * n_c / (ratio * n_c + n_b)))
        for (n_c, n_b), (k_c, k_b) in intervals
    )


@settings(max_examples=60)
@given(RARE, TOLERANCES)
def test_harm_and_safety_are_mixtures_of_conditional_binomials(
    intervals: list[Interval], limits: tuple[float, float]
) -> None:
    tolerance, margin = limits
    evidence = gathered(Guardrail("e", tolerance=tolerance, margin=margin), intervals)
    for found, null, factors, weights in (
        (evidence.harm[0], tolerance, HARM, HARM_WEIGHTS / HARM_WEIGHTS.sum()),
        (evidence.safety[0], margin, SAFE, np.full(len(SAFE), 1.0 / len(SAFE))),
    ):
        logs = [origin(null * factor, intervals) for factor in factors]
        expected = special.logsumexp(logs, b=weights) - origin(null, intervals)
        assert found == pytest.approx(expected, rel=1e-7, abs=1e-7)


@settings(max_examples=60)
@given(
    st.lists(st.floats(-2_000.0, 2_000.0), min_size=1, max_size=30).map(np.array),
    st.integers(0, 2**32 - 1),
)
def test_a_mixture_is_scipys_logsumexp(logs: np.ndarray, seed: int) -> None:
    weights = np.random.default_rng(seed).dirichlet(np.ones(len(logs))) + 1e-12
    expected = special.logsumexp(logs, b=weights)
    assert sequential.mixture(logs, weights) == pytest.approx(expected, rel=1e-12, abs=1e-9)
    both = sequential.mixture(np.stack([logs, logs - 7.0]), weights)
    assert both == pytest.approx([expected, expected - 7.0], rel=1e-12, abs=1e-9)


@settings(max_examples=60)
@given(st.integers(0, 2_000), st.integers(0, 2_000), st.floats(0.01, 0.99))
def test_a_mismatch_is_scipys_beta_binomial(canary: int, rest: int, share: float) -> None:
    total = canary + rest
    expected = stats.betabinom.logpmf(canary, total, 100 * share, 100 * (1 - share))
    expected -= stats.binom.logpmf(canary, total, share)
    assert sequential.mismatch(canary, total, share) == pytest.approx(expected, rel=1e-6, abs=1e-6)


@settings(max_examples=60)
@given(counted(), st.floats(0.01, 0.99), st.floats(0.01, 0.99))
def test_two_by_two_is_a_ratio_of_binomials(interval: Interval, one: float, other: float) -> None:
    (n_c, n_b), (k_c, k_b) = interval
    high, low = max(one, other), other
    shared = (n_c * high + n_b * low) / (n_c + n_b)
    expected = sum(
        float(stats.binom.logpmf(k, n, rate) - stats.binom.logpmf(k, n, shared))
        for k, n, rate in ((k_c, n_c, high), (k_b, n_b, low))
    )
    found = sequential.two_by_two((k_c, n_c), (k_b, n_b), (one, other))
    assert found == pytest.approx(expected, rel=1e-6, abs=1e-6)
    assert sequential.two_by_two((0, 0), (k_b, n_b), (one, other)) == 0.0


def test_frequent_events_are_judged_by_the_two_by_two_test_of_earlier_rates() -> None:
    first, second = ((40, 60), (12, 15)), ((50, 70), (20, 11))
    before = gathered(Guardrail("e"), [first])
    after = gathered(Guardrail("e"), [first, second])
    rates = (12.18 / 40.36, 15.18 / 60.36)
    step = sequential.two_by_two((20, 50), (11, 70), rates)
    assert after.harm[0] - before.harm[0] == pytest.approx(step)
    tolerant = Guardrail("e", tolerance=1.2)  # it says nothing about other ratios than one
    assert gathered(tolerant, [first, second]).frequent[0] == 0.0


# What an e-value is: 1 at most on average wherever the null holds.


def average(
    guardrail: Guardrail,
    sizes: list[tuple[int, int]],
    rates: tuple[float, float],
    value: Callable[[Evidence], float],
) -> float:
    """Give the mean of an e-value over all that some small intervals can hold."""
    table = Table([guardrail])
    reached = [(1.0, Evidence.none(1))]
    for n_c, n_b in sizes:
        chances = [
            (
                k_c,
                k_b,
                float(stats.binom.pmf(k_c, n_c, rates[0]) * stats.binom.pmf(k_b, n_b, rates[1])),
            )
            for k_c, k_b in itertools.product(range(n_c + 1), range(n_b + 1))
        ]
        reached = [
            (chance * more, evidence.after(table, (n_c, n_b), [(k_c, k_b)]))
            for chance, evidence in reached
            for k_c, k_b, more in chances
        ]
    return math.fsum(chance * math.exp(value(evidence)) for chance, evidence in reached)


SIZES = [[(3, 4)], [(5, 2)], [(1, 9)], [(2, 3), (4, 2)], [(1, 1), (3, 1), (1, 2)]]
BASES = (0.02, 0.2, 0.5, 0.9)


@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("tolerance", [1.0, 1.5, 3.0])
def test_harm_is_an_e_value_for_all_of_its_null(
    sizes: list[tuple[int, int]], tolerance: float
) -> None:
    more = Guardrail("e", tolerance=tolerance, margin=9.0)
    fewer = Guardrail("e", tolerance=tolerance, margin=9.0, direction="decrease")
    for base, part in itertools.product(BASES, (1.0, 0.6)):
        canary = min(base * tolerance * part, 1.0)
        assert average(more, sizes, (canary, base), lambda each: float(each.harm[0])) <= ONE
        turned = [size[::-1] for size in sizes]
        assert average(fewer, turned, (base, canary), lambda each: float(each.harm[0])) <= ONE


@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_safety_is_an_e_value_for_all_of_its_null(sizes: list[tuple[int, int]]) -> None:
    for margin, base, beyond in itertools.product((1.0, 2.0, 3.0), (0.02, 0.1, 0.3), (1.0, 1.5)):
        guardrail = Guardrail("e", kind="success", margin=margin)
        canary = min(base * margin * beyond, 1.0)
        if canary < base * margin:
            continue
        assert average(guardrail, sizes, (canary, base), lambda each: float(each.safety[0])) <= ONE


@pytest.mark.parametrize("place", [20, 78, 110, 156])
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_what_rules_a_ratio_out_is_an_e_value_where_it_is_true(
    sizes: list[tuple[int, int]], place: int
) -> None:
    ratio = math.exp(_SPAN[place])
    least = len(ratios(1.0, 2.0)) - len(_SPAN)

    def against(evidence: Evidence) -> float:
        prior = np.exp(-0.5 * (_SPAN / 1.2) ** 2) + 0.02
        spans = evidence.logs[0, least:]
        return float(special.logsumexp(spans, b=prior / prior.sum()) - spans[place])

    for high in (0.05, 0.4, 1.0):
        rates = (high, high / ratio) if ratio > 1.0 else (high * ratio, high)
        assert average(Guardrail("e"), sizes, rates, against) <= ONE


@pytest.mark.parametrize("ceiling", [0.05, 0.25, 0.55])
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_the_fast_kill_is_an_e_value_below_the_ceiling(
    sizes: list[tuple[int, int]], ceiling: float
) -> None:
    guardrail = Guardrail("e", ceiling=ceiling)
    for part in (1.0, 0.5, 0.0):
        rates = (part * ceiling, 0.5)
        assert average(guardrail, sizes, rates, lambda each: float(each.kill[0])) <= ONE
        assert average(guardrail, sizes, rates, lambda each: float(each.above[0])) <= ONE


@pytest.mark.parametrize("share", [0.01, 0.3, 0.9])
def test_a_mismatch_is_an_e_value_at_the_share(share: float) -> None:
    for total in (1, 7, 40):
        mean = sum(
            float(stats.binom.pmf(k, total, share)) * math.exp(sequential.mismatch(k, total, share))
            for k in range(total + 1)
        )
        assert mean == pytest.approx(1.0)


@pytest.mark.parametrize("share", [0.05, 0.3, 0.8])
@pytest.mark.parametrize("factor", [1 / 1.5, 1 / 1.2, 1.0, 1.3, 1.5])
def test_a_mismatch_is_an_e_value_at_shares_that_are_about_right(
    share: float, factor: float
) -> None:
    odds = factor * share / (1.0 - share)
    true = odds / (1.0 + odds)
    for total in (1, 7, 40):
        mean = sum(
            float(stats.binom.pmf(k, total, true))
            * math.exp(sequential.mismatch(k, total, share, within=1.5))
            for k in range(total + 1)
        )
        assert mean <= ONE
    assert sequential.mismatch(round(4e5 * true), 400_000, share, within=1.5) < 0.0


def test_an_e_value_above_its_null_grows() -> None:
    """The other side: tests that never reject would pass all the above."""
    grown = average(Guardrail("e"), [(3, 4)], (0.5, 0.05), lambda each: float(each.harm[0]))
    assert grown > 1.2
    success = Guardrail("e", kind="success")
    assert average(success, [(3, 4)], (0.02, 0.5), lambda each: float(each.safety[0])) > 1.2
    assert average(Guardrail("e"), [(3, 4)], (0.9, 0.5), lambda each: float(each.kill[0])) > 2.0


# Laws.


@settings(max_examples=60)
@given(RARE.flatmap(lambda each: st.tuples(st.just(each), st.permutations(each))), TOLERANCES)
def test_the_order_of_intervals_does_not_matter(
    orders: tuple[list[Interval], list[Interval]], limits: tuple[float, float]
) -> None:
    guardrail = Guardrail("e", tolerance=limits[0], margin=limits[1])
    there, back = (gathered(guardrail, order) for order in orders)
    for name in ("harm", "safety"):
        assert getattr(there, name) == pytest.approx(getattr(back, name), rel=1e-9, abs=1e-8)
    assert float(there.kill[0]) == pytest.approx(float(back.kill[0]), rel=1e-9, abs=1e-8)
    assert (there.counts == back.counts).all()
    assert there.requests == back.requests


@settings(max_examples=60)
@given(ANY, TOLERANCES)
def test_fewer_is_more_with_the_arms_exchanged(
    intervals: list[Interval], limits: tuple[float, float]
) -> None:
    settings: dict[str, Any] = {"tolerance": limits[0], "margin": limits[1]}
    more = gathered(Guardrail("e", **settings), intervals)
    turned = [(requests[::-1], events[::-1]) for requests, events in intervals]
    fewer = gathered(Guardrail("e", direction="decrease", **settings), turned)
    assert (fewer.harm == more.harm).all()
    assert (fewer.safety == more.safety).all()
    assert np.array_equal(fewer.ratio(0.05), more.ratio(0.05))


@settings(max_examples=60)
@given(RARE)
def test_an_event_that_moves_to_the_canary_is_evidence_of_harm(intervals: list[Interval]) -> None:
    (requests, (k_c, k_b)), *rest = intervals
    assume(k_b > 0 and k_c < requests[0] // 10)
    before = gathered(Guardrail("e"), intervals)
    after = gathered(Guardrail("e"), [(requests, (k_c + 1, k_b - 1)), *rest])
    assert after.harm[0] > before.harm[0]
    assert after.safety[0] < before.safety[0]


@settings(max_examples=60)
@given(ANY, st.integers(1, 5_000), st.integers(1, 5_000))
def test_an_interval_without_events_says_nothing_of_the_ratio(
    intervals: list[Interval], n_c: int, n_b: int
) -> None:
    before = gathered(Guardrail("e"), intervals)
    after = gathered(Guardrail("e"), [*intervals, ((n_c, n_b), (0, 0))])
    assert (after.logs == before.logs).all()
    assert (after.frequent == before.frequent).all()
    assert float(after.kill[0]) < float(before.kill[0])
    assert after.requests == (before.requests[0] + n_c, before.requests[1] + n_b)


@settings(max_examples=60)
@given(ANY)
def test_a_smaller_alpha_gives_a_wider_interval(intervals: list[Interval]) -> None:
    evidence = gathered(Guardrail("e"), intervals)
    lows, highs = zip(*(evidence.ratio(alpha) for alpha in (0.2, 0.05, 0.001)), strict=True)
    assert lows[0][0] >= lows[1][0] >= lows[2][0]
    assert highs[0][0] <= highs[1][0] <= highs[2][0]
    assert lows[0][0] < highs[0][0]


@settings(max_examples=40)
@given(st.lists(counted(rare=True), min_size=1, max_size=5), st.integers(2, 6))
def test_guardrails_do_not_disturb_each_other(intervals: list[Interval], many: int) -> None:
    guardrails = [
        Guardrail(
            f"e{place}",
            tolerance=1.0 + 0.1 * place,
            direction="decrease" if place % 2 else "increase",
        )
        for place in range(many)
    ]
    together, table = Evidence.none(many), Table(guardrails)
    for requests, (k_c, k_b) in intervals:
        events = [(max(k_c - place, 0), max(k_b - place, 0)) for place in range(many)]
        together = together.after(table, requests, events)
    for place, guardrail in enumerate(guardrails):
        alone = gathered(
            guardrail,
            [(n, (max(k_c - place, 0), max(k_b - place, 0))) for n, (k_c, k_b) in intervals],
        )
        assert together.harm[place] == pytest.approx(alone.harm[0], rel=1e-12, abs=1e-12)
        assert together.safety[place] == pytest.approx(alone.safety[0], rel=1e-12, abs=1e-12)


def test_nothing_is_no_evidence() -> None:
    evidence = Evidence.none(2)
    assert evidence.harm == pytest.approx([0.0, 0.0])
    assert evidence.safety == pytest.approx([0.0, 0.0])
    assert float(evidence.kill[0]) == pytest.approx(0.0)
    lows, highs = evidence.ratio(0.05)
    assert lows.tolist() == [0.0, 0.0]
    assert highs.tolist() == [math.inf, math.inf]


@settings(max_examples=40)
@given(ANY)
def test_evidence_is_written_and_read_to_the_last_bit(intervals: list[Interval]) -> None:
    evidence = gathered(Guardrail("e"), intervals)
    again = Evidence.from_dict(evidence.to_dict(), 1)
    assert again.digest == evidence.digest
    more = evidence.after(Table([Guardrail("e")]), (5, 5), [(1, 0)])
    assert more.digest != evidence.digest


def test_the_interval_holds_the_ratio_of_many_counts() -> None:
    evidence = gathered(Guardrail("e"), [((100_000, 100_000), (3_000, 1_000))])
    low, high = (float(end[0]) for end in evidence.ratio(0.05))
    assert 2.5 < low < 3.0 < high < 3.6
