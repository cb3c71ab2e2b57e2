"""The laws of the check algebra, over random trees of checks.

The model knows nothing of verdicts: a check is a pair of ranks, the best and the worst that may be
true on the scale 0 (OK) < 1 (WARN) < 2 (BREACH), and a combinator does the same to both ends.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlguard import (
    Check,
    GuardBreached,
    Severity,
    Verdict,
    Waiver,
    best,
    cached,
    labelled,
    lenient,
    quorum,
    shielded,
    strict,
    waived,
    worst,
)
from mlguard.testing import ManualClock

OK, WARN, BREACH = SCALE = (Severity.OK, Severity.WARN, Severity.BREACH)
Ends: TypeAlias = tuple[int, int]
Tree: TypeAlias = tuple[Any, ...]  # ("leaf", ends), ("crash", how) or (operation, *trees)

DOUBT: Ends = (0, 2)
PAIRS: list[Ends] = [(low, high) for low in range(3) for high in range(low, 3)]
SEVERITY = {(0, 0): "OK", (0, 1): "UNKNOWN", (0, 2): "UNKNOWN", (1, 1): "WARN", (1, 2): "WARN", (2, 2): "BREACH"}  # fmt: skip
WAIVER = Waiver("ada", "why", until=100)


@pytest.fixture(autouse=True, scope="module")
def no_tracebacks() -> Iterator[None]:
    """Thousands of checks crash here, and each would log it."""
    logger = logging.getLogger("mlguard")
    logger.disabled = True
    yield
    logger.disabled = False


# ---------------------------------------------------------------- building a check from a tree


def leaf(ends: Ends) -> Check:
    low, high = (SCALE[end] for end in ends)
    verdict = Verdict("leaf", Severity[SEVERITY[ends]], "r", low=low, high=high)
    return lambda: verdict


def boom() -> Verdict:
    raise ZeroDivisionError


class UnprintableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError


def unprintable() -> Verdict:
    raise UnprintableError


class Nameless:
    name = "  "

    def __call__(self) -> Verdict:
        raise KeyError


def strange_stop() -> Verdict:
    raise GuardBreached(cast("Verdict", "not a verdict"))


class Shy:
    def __repr__(self) -> str:
        raise RuntimeError


CRASHES: dict[str, Callable[[], object]] = {
    "raises": boom,
    "raises what cannot be printed": unprintable,
    "has a blank name": Nameless(),
    "stops with no verdict": strange_stop,
    "gives a bool": lambda: True,
    "gives nothing": lambda: None,
    "gives what cannot be printed": Shy,
}

AROUND_ONE: dict[str, Callable[[Check], Check]] = {
    "strict": strict,
    "lenient": lenient,
    "shielded": shielded,
    "cached": lambda check: cached(check, ttl=1.0, clock=ManualClock()),
    "labelled": lambda check: labelled(check, model="eta"),
    "waived": lambda check: waived(check, WAIVER, clock=lambda: 50.0),
    "waived too late": lambda check: waived(check, WAIVER, clock=lambda: 100.0),
}


def build(tree: Tree) -> Check:
    operation, *parts = tree
    match operation:
        case "leaf":
            return leaf(parts[0])
        case "crash":
            return cast("Check", CRASHES[parts[0]])
        case "worst":
            return worst("w", *map(build, parts))
        case "best":
            return best("b", *map(build, parts))
        case int():
            return quorum(operation, "q", *map(build, parts))
    return AROUND_ONE[operation](build(parts[0]))


def model(tree: Tree) -> Ends:  # noqa: PLR0911 -- a line for each operation
    operation, *parts = tree
    if operation == "leaf":
        return cast("Ends", parts[0])
    if operation == "crash":
        return DOUBT
    lows, highs = zip(*map(model, parts), strict=True)
    low, high = lows[0], highs[0]
    match operation:
        case "worst":
            return max(lows), max(highs)
        case "best":
            return min(lows), min(highs)
        case int():  # the best rank that at least so many of the parts reach
            reached = [[r for r in range(3) if sum(e <= r for e in ends) >= operation] for ends in (lows, highs)]  # fmt: skip
            return min(reached[0]), min(reached[1])
        case "strict":
            return high, high
        case "lenient":
            return low, low
        case "waived":
            return (0, 0) if low == high else (low, high)
    return low, high


leaves = st.tuples(st.just("leaf"), st.sampled_from(PAIRS)) | st.tuples(
    st.just("crash"), st.sampled_from(sorted(CRASHES))
)


def combinations(parts: st.SearchStrategy[Tree], around: list[str]) -> st.SearchStrategy[Tree]:
    def join(trees: list[Tree], kind: str, k: int) -> Tree:
        return (min(k, len(trees)) if kind == "quorum" else kind, *trees)

    return st.tuples(st.sampled_from(around), parts) | st.builds(
        join,
        st.lists(parts, min_size=1, max_size=4),
        st.sampled_from(["worst", "best", "quorum"]),
        st.integers(1, 4),
    )


def grown(around: list[str]) -> st.SearchStrategy[Tree]:
    return st.recursive(leaves, lambda parts: combinations(parts, around), max_leaves=8)


trees = grown(sorted(AROUND_ONE))
several = st.lists(trees, min_size=1, max_size=4)


def ends(check: Check) -> Ends:
    verdict = shielded(check)()  # a crash all by itself has no combinator around it
    return SCALE.index(verdict.low), SCALE.index(verdict.high)


COMBINATORS: dict[str, Callable[..., Check]] = {
    "worst": lambda *checks: worst("w", *checks),
    "best": lambda *checks: best("b", *checks),
    "quorum": lambda *checks: quorum((len(checks) + 1) // 2, "q", *checks),
}
each_combinator = pytest.mark.parametrize("combine", COMBINATORS.values(), ids=COMBINATORS)

# ---------------------------------------------------------------- the laws


@given(tree=trees)
def test_a_tree_of_checks_never_raises_and_gives_what_the_model_gives(tree: Tree) -> None:
    verdict = shielded(build(tree))()
    assert (SCALE.index(verdict.low), SCALE.index(verdict.high)) == model(tree)
    assert verdict.severity.name == SEVERITY[model(tree)]
    assert verdict.explain()
    assert Verdict.from_dict(json.loads(json.dumps(verdict.to_dict(), allow_nan=False))) == verdict


@pytest.mark.parametrize("settle", [strict, lenient])
@each_combinator
@given(parts=several)
def test_strict_and_lenient_commute_with_every_combinator(
    settle: Callable[[Check], Check], combine: Callable[..., Check], parts: list[Tree]
) -> None:
    checks = [build(part) for part in parts]
    assert ends(settle(combine(*checks))) == ends(combine(*map(settle, checks)))


@pytest.mark.parametrize("first", [strict, lenient])
@pytest.mark.parametrize("then", [strict, lenient])
@given(tree=trees)
def test_what_is_settled_stays_settled(
    first: Callable[[Check], Check], then: Callable[[Check], Check], tree: Tree
) -> None:
    check = first(build(tree))
    assert then(check)() == check()


@each_combinator
@given(data=st.data(), parts=several)
def test_the_order_of_the_checks_does_not_matter(
    combine: Callable[..., Check], data: st.DataObject, parts: list[Tree]
) -> None:
    shuffled = data.draw(st.permutations(parts))
    assert ends(combine(*map(build, parts))) == ends(combine(*map(build, shuffled)))


@pytest.mark.parametrize(
    "combine", [COMBINATORS["worst"], COMBINATORS["best"]], ids=["worst", "best"]
)
@given(one=trees, two=trees, three=trees)
def test_worst_and_best_are_associative_and_idempotent(
    combine: Callable[..., Check], one: Tree, two: Tree, three: Tree
) -> None:
    a, b, c = build(one), build(two), build(three)
    assert (
        ends(combine(a, combine(b, c))) == ends(combine(combine(a, b), c)) == ends(combine(a, b, c))
    )
    assert ends(combine(a)) == ends(combine(a, a)) == ends(a)


@given(one=trees, two=trees)
def test_worst_and_best_absorb_each_other(one: Tree, two: Tree) -> None:
    a, b = build(one), build(two)
    assert ends(worst("w", a, best("b", a, b))) == ends(best("b", a, worst("w", a, b))) == ends(a)


@given(parts=several)
def test_worst_is_the_full_quorum_and_best_a_quorum_of_one(parts: list[Tree]) -> None:
    checks = [build(part) for part in parts]
    assert worst("gate", *checks)() == quorum(len(checks), "gate", *checks)()
    assert best("gate", *checks)() == quorum(1, "gate", *checks)()


def spoiled(tree: Tree, draw: Callable[[st.SearchStrategy[Any]], Any]) -> Tree:
    """Make some leaves worse, at either end."""
    operation, *parts = tree
    if operation in {"leaf", "crash"}:
        low, high = model(tree)
        worse = [pair for pair in PAIRS if pair[0] >= low and pair[1] >= high]
        return ("leaf", draw(st.sampled_from(worse)))
    return (operation, *(spoiled(part, draw) for part in parts))


@given(data=st.data(), tree=grown(sorted(AROUND_ONE.keys() - {"waived"})))
def test_a_check_that_gets_worse_never_makes_the_whole_better(
    data: st.DataObject, tree: Tree
) -> None:
    before, after = ends(build(tree)), ends(build(spoiled(tree, data.draw)))
    assert after[0] >= before[0]
    assert after[1] >= before[1]


def is_open(gate: Check) -> bool:
    return gate().severity in {Severity.OK, Severity.WARN}


@given(parts=several, more=trees)
def test_one_more_check_never_opens_a_strict_gate(parts: list[Tree], more: Tree) -> None:
    checks = [build(part) for part in parts]
    before, after = strict(worst("gate", *checks)), strict(worst("gate", *checks, build(more)))
    assert ends(after) >= ends(before)
    assert is_open(before) or not is_open(after)


@given(parts=several)
def test_one_more_warning_never_opens_a_strict_gate_even_through_a_waiver(
    parts: list[Tree],
) -> None:
    checks = [build(part) for part in parts]

    def gate(*more: Check) -> Check:
        return strict(AROUND_ONE["waived"](worst("gate", *checks, *more)))

    assert is_open(gate()) or not is_open(gate(leaf((1, 1))))


@pytest.mark.parametrize("crash", sorted(CRASHES))
def test_a_crash_beside_a_warning_can_still_be_a_breach_and_strict_finds_it(crash: str) -> None:
    gate = worst("gate", leaf((1, 1)), build(("crash", crash)))
    assert (gate().severity, gate().low, gate().high) == (WARN, WARN, BREACH)
    assert strict(gate)().severity is BREACH
    assert lenient(gate)().severity is WARN
