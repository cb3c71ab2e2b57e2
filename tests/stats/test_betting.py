"""Bets on a difference of means: against brute force, and by counting all that can happen."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlguard.errors import ConfigurationError
from mlguard.stats.betting import BETS, Bets, Sums, paired

inside = st.floats(0.0, 1.0)
Outcome = tuple[float, Sums, Sums]


def groups(pairs: int, many: int) -> list[int]:
    """Give how many values of the larger arm go to each of the smaller one's."""
    return [many // pairs + (place < many % pairs) for place in range(pairs)]


def dealt(few: list[float], values: Sequence[float]) -> list[float]:
    """Give the differences of an arm's values and the means of their parts of the other's."""
    stops = np.cumsum([0, *groups(len(few), len(values))])
    means = [np.mean(values[a:b]) for a, b in itertools.pairwise(stops)]
    return [float(value - mean) for value, mean in zip(few, means, strict=True)]


def unit(values: Any) -> Sums:
    return Sums.of(values, low=0.0, high=1.0)


def filled(rng: np.random.Generator, intervals: int = 5, **bounds: float) -> Bets:
    bets = Bets.none(**bounds)
    for _ in range(intervals):
        canary, baseline = (rng.uniform(bets.low, bets.high, n) for n in (10, 30))
        bets = bets.after(bets.sums(canary), bets.sums(baseline))
    return bets


@given(st.lists(st.tuples(inside, inside), min_size=1, max_size=4))
def test_powers_of_pairs_are_the_average_over_all_pairings(arms: list[tuple[float, float]]) -> None:
    canary, baseline = map(list, zip(*arms, strict=True))
    pairings = [dealt(canary, order) for order in itertools.permutations(baseline)]
    average = [np.mean([np.power(each, k).sum() for each in pairings]) for k in (2, 3, 4)]
    found = paired(unit(canary), unit(baseline))
    assert found == pytest.approx(average, abs=1e-12)


@given(
    st.lists(inside, min_size=1, max_size=2),
    st.lists(inside, min_size=2, max_size=5),
    st.sampled_from([1.0, -1.0]),
)
def test_parts_of_the_larger_arm_are_as_drawn_with_replacement(
    few: list[float], many: list[float], side: float
) -> None:
    average = np.zeros(3)
    for size in groups(len(few), len(many)):
        draws = [np.mean(draw) for draw in itertools.product(many, repeat=size)]
        found = np.subtract.outer(few, draws) * side
        average += [np.mean(found**k) for k in (2, 3, 4)]
    arms = (unit(few), unit(many)) if side > 0.0 else (unit(many), unit(few))
    assert paired(*arms) == pytest.approx(average, abs=1e-12)


@given(
    st.lists(inside | st.sampled_from([0.0, 1.0]), min_size=1, max_size=3),
    st.lists(inside | st.sampled_from([0.0, 1.0]), min_size=3, max_size=5),
)
def test_no_bet_claims_more_than_the_capital_that_it_would_win(
    few: list[float], many: list[float]
) -> None:
    bets = Bets.none().after(unit(few), unit(many))
    pairings = [np.array(dealt(few, order)) for order in itertools.permutations(many)]
    for side, losses in zip((1.0, -1.0), bets.losses, strict=True):
        claimed = np.exp(side * BETS * bets.lead - losses)
        won = np.mean(
            [np.prod(1.0 + side * np.outer(BETS, each), axis=1) for each in pairings], axis=0
        )
        assert (claimed <= won * (1.0 + 1e-9)).all()


def test_small_differences_lose_little_to_the_capital() -> None:
    rng = np.random.default_rng(10)
    canary, baseline = rng.beta(20, 80, 1000), rng.beta(20, 80, 1000)
    bets = Bets.none().after(unit(canary), unit(baseline))
    for side, losses in zip((1.0, -1.0), bets.losses, strict=True):
        won = np.log1p(side * np.outer(BETS, canary - baseline)).sum(axis=1)
        assert side * BETS * bets.lead - losses == pytest.approx(won, rel=0.1, abs=0.1)


def outcomes(n: tuple[int, int], canary: float, baseline: float) -> Iterator[Outcome]:
    """Give all that two arms of values 0 and 1 can do in an interval, with probabilities."""
    for k_c, k_b in itertools.product(range(n[0] + 1), range(n[1] + 1)):
        chance = 1.0
        for k, size, rate in ((k_c, n[0], canary), (k_b, n[1], baseline)):
            chance *= math.comb(size, k) * rate**k * (1.0 - rate) ** (size - k)
        yield chance, Sums.of_events(k_c, n[0]), Sums.of_events(k_b, n[1])


@pytest.mark.parametrize("sizes", [((1, 1), (1, 1)), ((2, 1), (3, 2)), ((1, 6), (8, 1))])
@pytest.mark.parametrize("difference", [-0.3, 0.0, 0.3])
@pytest.mark.parametrize("side", [0, 1])
def test_each_bet_is_worth_at_most_1_on_average(
    sizes: tuple[tuple[int, int], ...], difference: float, side: int
) -> None:
    """Whatever the level, and where an adversary sets the next one by what came before."""
    levels = np.linspace(max(0.0, -difference), min(1.0, 1.0 - difference), 9)
    first = []
    for level in levels:
        worth = np.zeros(len(BETS))
        for chance, *arms in outcomes(sizes[0], level + difference, level):
            bets = Bets.none().after(*arms)
            worst = np.zeros(len(BETS))
            for after in levels:
                later = np.zeros(len(BETS))
                for then, *next_arms in outcomes(sizes[1], after + difference, after):
                    last = bets.after(*next_arms)
                    lead = (1 - 2 * side) * (last.lead - last.pairs * difference)
                    later += then * np.exp(BETS * lead - last.losses[side])
                worst = np.maximum(worst, later)
            worth += chance * worst
        first.append(worth)
    assert np.max(first) <= 1.0 + 1e-12


def test_the_mixture_is_the_mean_of_the_bets() -> None:
    bets = filled(np.random.default_rng(1), low=0.0, high=2.0)
    lead = bets.lead - bets.pairs * 0.1 / 2.0
    assert math.exp(bets.above(0.1)) == pytest.approx(np.exp(BETS * lead - bets.losses[0]).mean())
    assert math.exp(bets.below(0.1)) == pytest.approx(np.exp(-BETS * lead - bets.losses[1]).mean())


def test_the_difference_is_an_weighted_with_pairs() -> None:
    bets = Bets.none(high=10.0)
    bets = bets.after(bets.sums([4.0]), bets.sums([1.0]))
    bets = bets.after(bets.sums([5.0, 7.0, 6.0]), bets.sums([4.0] * 6))
    assert bets.difference == pytest.approx((1 * 3.0 + 3 * 2.0) / 4)
    assert bets.pairs == 4
    assert bets.seen == (4, 7)


@pytest.mark.parametrize("limit", [math.log(2.0), math.log(20.0), 15.0])
def test_the_ends_are_where_the_evidence_is_just_enough(limit: float) -> None:
    bets = filled(np.random.default_rng(2), 400, low=-1.0, high=2.0)
    assert bets.above(bets.least(limit)) == pytest.approx(limit)
    assert bets.below(bets.most(limit)) == pytest.approx(limit)


def test_the_interval_has_half_of_alpha_on_either_side() -> None:
    bets = filled(np.random.default_rng(3), 400)
    low, high = bets.interval(0.05)
    assert low < bets.difference < high
    assert bets.above(low) == pytest.approx(math.log(40.0))
    assert bets.below(high) == pytest.approx(math.log(40.0))


def test_the_arms_turned_about_say_the_opposite() -> None:
    rng = np.random.default_rng(4)
    one, other = Bets.none(), Bets.none()
    for _ in range(3):
        arms = one.sums(rng.beta(2, 5, 7)), one.sums(rng.beta(2, 4, 60))
        one, other = one.after(*arms), other.after(*arms[::-1])
    assert one.above(0.02) == pytest.approx(other.below(-0.02))
    assert one.below(0.02) == pytest.approx(other.above(-0.02))


def test_the_unit_of_the_values_does_not_matter() -> None:
    values = np.random.default_rng(5).uniform(size=(4, 12))
    small, large = Bets.none(), Bets.none(low=-100.0, high=300.0)
    for canary, baseline in (values[:2], values[2:]):
        small = small.after(small.sums(canary), small.sums(baseline))
        scaled = large.sums(400.0 * canary - 100.0), large.sums(400.0 * baseline - 100.0)
        large = large.after(*scaled)
    assert large.above(40.0) == pytest.approx(small.above(0.1))
    assert large.difference == pytest.approx(400.0 * small.difference)
    assert large.interval(0.5) == pytest.approx([400.0 * end for end in small.interval(0.5)])


def test_events_are_values_0_and_1() -> None:
    assert Sums.of_events(3, 10) == Sums.of([0] * 7 + [1] * 3, low=0.0, high=1.0)


def test_sums_of_parts_add_up() -> None:
    values = np.random.default_rng(6).integers(0, 9, 20)
    parts = [Sums.of(part, low=0.0, high=8.0) for part in (values[:3], values[3:])]
    every = Sums.of(values, low=0.0, high=8.0)
    assert (parts[0] + parts[1]).n == every.n
    assert (parts[0] + parts[1]).powers == pytest.approx(every.powers)


def test_nothing_is_known_before_both_arms_had_values() -> None:
    bets = Bets.none(low=1.0, high=3.0)
    assert bets.after(bets.sums([]), bets.sums([2.0])) is bets
    assert bets.after(bets.sums([2.0]), bets.sums([])) is bets
    assert math.isnan(bets.difference)
    assert bets.interval(0.05) == (-2.0, 2.0)
    assert bets.above(0.0) == pytest.approx(0.0, abs=1e-12)
    assert bets.below(0.0) == pytest.approx(0.0, abs=1e-12)


def test_little_is_known_after_one_interval_of_one_value_each() -> None:
    bets = Bets.none()
    bets = bets.after(bets.sums([1.0]), bets.sums([0.0]))
    assert bets.interval(0.05) == (-1.0, 1.0)


@pytest.mark.parametrize("n", [1, 10, 100_000_000])
def test_values_that_never_scatter_decide(n: int) -> None:
    bets = Bets.none()
    for _ in range(30):
        bets = bets.after(Sums.of_events(n, n), Sums.of_events(0, n))
    assert bets.above(0.0) >= math.log(20.0)
    assert bets.interval(0.05)[0] > 0.0


def test_huge_counts_keep_their_ends() -> None:
    bets, n = Bets.none(), 10**9
    for _ in range(100):
        bets = bets.after(Sums.of_events(n // 100, n), Sums.of_events(n // 101, n))
    low, high = bets.interval(0.05)
    assert low < n // 100 / n - n // 101 / n < high
    assert high - low < 1e-4


@pytest.mark.parametrize("limit", [math.inf, math.nan])
def test_a_limit_that_nothing_reaches_ends(limit: float) -> None:
    with np.errstate(invalid="ignore"):
        assert not filled(np.random.default_rng(11)).least(limit) > -1.0


def test_evidence_comes_back_from_json_to_the_last_bit() -> None:
    bets = filled(np.random.default_rng(7), low=-1.0, high=2.0)
    again = Bets.from_dict(json.loads(json.dumps(bets.to_dict())))
    assert again.digest == bets.digest
    assert again.to_dict() == bets.to_dict()
    arms = bets.sums([0.5]), bets.sums([0.1, 0.2])
    assert again.after(*arms).digest == bets.after(*arms).digest != bets.digest


def test_adding_leaves_the_evidence_before_as_it_was() -> None:
    bets = filled(np.random.default_rng(8))
    before = bets.digest
    bets.after(bets.sums([0.1, 0.4]), bets.sums([0.7]))
    assert bets.digest == before


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -0.1, 2.1])
def test_a_value_outside_is_refused(wrong: float) -> None:
    with pytest.raises(ConfigurationError, match=r"values = .*: must be between 0 and 2"):
        Bets.none(high=2.0).sums([1.0, wrong])


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: Bets.none(low=1.0, high=1.0), "high"),
        (lambda: Bets.none(low=-math.inf), "low"),
        (lambda: Bets.none(high=math.nan), "high"),
        (lambda: Sums.of_events(3, 2), "events"),
        (lambda: Sums.of_events(-1, 2), "events"),
        (lambda: Bets.none().interval(1.0), "alpha"),
    ],
    ids=["no span", "infinite", "missing", "too many", "negative", "all of it"],
)
def test_bad_arguments_are_named(call: Any, name: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"^{name} = "):
        call()
