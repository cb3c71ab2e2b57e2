"""SlicedEstimate: each slice by its own reference rows, pooled, named, kept, merged and refused."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from mlguard import ConfigurationError, Severity, at_least, guard
from mlguard.performance import Estimate, LossEstimate, SlicedEstimate, evaluate

if TYPE_CHECKING:
    from mlguard import Measurement

NAMES = ["accuracy", "precision", "recall", "f1", "brier", "log_loss", "roc_auc"]
BINS = 10
RNG = np.random.default_rng(8)
N = 6_000
REGION = RNG.choice(["north", "south", "west"], N, p=[0.5, 0.3, 0.2])
SHOP = RNG.integers(1, 3, N)
SCORE = RNG.beta(1.0, 2.0, N)
Y = RNG.random(N) < SCORE * np.where(REGION == "south", 0.6, 1.0)
BY = {"region": REGION, "shop": SHOP}
ESTIMATE = SlicedEstimate.fit(Y, SCORE, BY, bins=BINS, threshold=0.4)

M = 2_500
NOW = RNG.beta(1.2, 2.0, M)
NOW_BY = {"region": RNG.choice(["north", "south", "west"], M), "shop": RNG.integers(1, 3, M)}
KEYS = ["region=north", "region=south", "region=west", "shop=1", "shop=2"]


def at(by: Any, key: str) -> Any:
    column, level = key.split("=")
    return by[column].astype(str) == level


def same(found: Measurement, expected: Measurement, key: str) -> None:
    details = {**expected.details, "slice": key}
    assert found == replace(expected, name=f"{expected.name}[{key}]", details=details)


def keys(found: list[Measurement]) -> list[str]:
    return [each.details["slice"] for each in found[1:]]


def levels(**counts: int) -> Any:
    return np.repeat(list(counts), list(counts.values()))


def binary(n: int, seed: int = 0) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    score = rng.random(n)
    return rng.random(n) < score, score


def test_each_slice_is_estimated_by_the_reference_rows_of_its_own() -> None:
    table = Estimate.fit(Y, SCORE, bins=BINS, threshold=0.4)
    found = ESTIMATE.estimate(NOW, NOW_BY, confidence=0.9, at=1_700_000_000)
    assert list(found) == NAMES
    overall = table.estimate(NOW, confidence=0.9, at=1_700_000_000)
    for name in NAMES:
        assert found[name][0] == overall[name]
        assert keys(found[name]) == KEYS
    for place, key in enumerate(KEYS, start=1):
        own = table.recount(Y[at(BY, key)], SCORE[at(BY, key)])
        confidence = 1.0 - 0.1 / len(KEYS)
        expected = own.estimate(NOW[at(NOW_BY, key)], confidence=confidence, at=1_700_000_000)
        for name in NAMES:
            same(found[name][place], expected[name], key)
            assert found[name][place].confidence == confidence
            assert found[name][place].n == at(NOW_BY, key).sum()


def test_most_outside_goes_for_each_slice() -> None:
    far = at(NOW_BY, "region=west")
    low = SCORE < 0.6
    estimate = SlicedEstimate.fit(Y[low], SCORE[low], {"region": REGION[low]}, bins=BINS)
    score = np.where(far, NOW, np.minimum(NOW, 0.55))
    by = {"region": NOW_BY["region"]}
    strict, lax = (estimate.estimate(score, by, most_outside=most) for most in (0.1, 1.0))
    assert [math.isnan(each.value) for each in strict["brier"]] == [False, False, False, True]
    assert not any(math.isnan(each.value) for each in lax["brier"])
    assert strict["brier"][3].details["guess"] == lax["brier"][3].value


def test_a_loss_model_is_put_right_by_slice() -> None:
    rng = np.random.default_rng(1)
    said = rng.uniform(1.0, 2.0, N)
    loss = said * np.where(REGION == "south", 2.0, 1.0) * rng.exponential(1.0, N)
    estimate = SlicedEstimate.of_loss(loss, said, BY, name="absolute")
    now = rng.uniform(1.0, 2.0, M)
    found = estimate.estimate(now, NOW_BY)
    assert list(found) == ["absolute"]
    assert keys(found["absolute"]) == KEYS
    whole = Estimate.of_loss(loss, said, name="absolute")
    assert found["absolute"][0] == whole.estimate(now)["absolute"]
    for place, key in enumerate(KEYS, start=1):
        own = Estimate.of_loss(loss[at(BY, key)], said[at(BY, key)], name="absolute")
        expected = own.estimate(now[at(NOW_BY, key)], confidence=1.0 - 0.05 / len(KEYS))
        same(found["absolute"][place], expected["absolute"], key)
        known = estimate.reference["absolute"][place]
        assert known.name == f"absolute[{key}]"
        assert known.value == pytest.approx(loss[at(BY, key)].mean())
        assert known.low is known.high is known.confidence is None


# Small slices.


def test_what_is_small_in_the_reference_or_now_is_put_together() -> None:
    before = {"r": levels(big=3_000, few=60, gone=900, odd=70)}
    now = {"r": levels(big=500, few=300, gone=99, odd=5)}
    y, score = binary(4_030)
    _, current = binary(904, seed=1)
    found = SlicedEstimate.fit(y, score, before, bins=BINS).estimate(current, now)
    table = Estimate.fit(y, score, bins=BINS)
    small = {
        which: np.isin(by["r"], ["few", "gone", "odd"])
        for which, by in (("old", before), ("new", now))
    }
    own = table.recount(y[small["old"]], score[small["old"]])
    expected = own.estimate(current[small["new"]], confidence=1.0 - 0.05 / 2)
    for name in NAMES:
        assert keys(found[name]) == ["r=big", "r=(small)"]
        same(found[name][2], expected[name], "r=(small)")
    assert found["brier"][2].n == 404
    assert not math.isnan(found["brier"][2].value)


@pytest.mark.parametrize(("least", "alone"), [(60, True), (61, False)])
@pytest.mark.parametrize("which", ["reference", "now"])
def test_min_slice_rows_are_enough(least: int, which: str, *, alone: bool) -> None:
    y, score = binary(3_000)
    small, large = levels(a=60, b=2_940), levels(a=1_500, b=1_500)
    before, now = (small, large) if which == "reference" else (large, small)
    estimate = SlicedEstimate.fit(y, score, {"r": before}, bins=2, min_slice=least)
    found = keys(estimate.estimate(score, {"r": now})["brier"])
    assert found == (["r=a", "r=b"] if alone else ["r=b", "r=(small)"])


def test_small_slices_of_two_columns_stay_apart() -> None:
    y, score = binary(3_000)
    by = {"p": levels(a=2_950, b=50), "q": levels(c=40, d=2_960)}
    estimate = SlicedEstimate.fit(y, score, by, bins=2)
    expected = ["p=a", "q=d", "p=(small)", "q=(small)"]
    assert keys(estimate.estimate(score, by)["brier"]) == expected
    assert keys(estimate.reference["brier"]) == expected


def test_the_reference_puts_small_slices_together_too() -> None:
    y, score = binary(3_000)
    by = levels(a=2_800, b=50, c=99, d=51)
    found = SlicedEstimate.fit(y, score, by, bins=5).reference["accuracy"]
    assert keys(found) == ["slice=a", "slice=(small)"]
    small = by != "a"
    assert found[2].n == 200
    assert found[2].value == pytest.approx(((score >= 0.5) == y)[small].mean(), abs=0.01)


def test_names_are_in_the_order_of_evaluate() -> None:
    shop = np.array(["10", "2", "alpha", "1", None, "few"], dtype=object)
    by = {
        "z": np.repeat(["one", "two"], 750),
        "shop": np.repeat(shop, [300, 300, 300, 300, 250, 50]),
    }
    y, score = binary(1_500)
    estimate = SlicedEstimate.fit(y, score, by, bins=2)
    levels_ = ["1", "2", "10", "alpha", "(missing)"]
    expected = [f"shop={level}" for level in levels_] + ["z=one", "z=two", "shop=(small)"]
    assert keys(estimate.estimate(score, by)["recall"]) == expected
    assert keys(estimate.reference["recall"]) == expected
    assert [*evaluate(y, score, loss="brier", by=by).slices] == expected


@pytest.mark.parametrize("rows", [1, 9, 10])
def test_a_few_reference_rows_tell_nothing(rows: int) -> None:
    y, score = binary(1_000)
    by = levels(few=rows, rest=1_000 - rows)
    estimate = SlicedEstimate.fit(y, score, by, bins=2, min_slice=1)
    found = estimate.estimate(score, by, most_outside=1.0)
    for name in NAMES:
        few = found[name][1]
        assert few.name == f"{name}[slice=few]"
        reason = few.details.get("reason", "")
        if rows < 10:
            assert math.isnan(few.value)
            assert few.low is few.high is few.confidence is None
            assert few.n == rows
            assert reason == f"the reference has {rows} rows of it, and 10 are needed"
            assert few.details["better"] == found[name][0].details["better"]
            assert few.details["assumes"] == found[name][0].details["assumes"]
        else:
            assert "are needed" not in reason
    assert math.isnan(found["brier"][1].value) == (rows < 10)


def test_so_it_is_with_a_loss_model() -> None:
    by = levels(few=9, rest=991)
    estimate = SlicedEstimate.of_loss(np.arange(1_000.0), np.arange(1_000.0), by, min_slice=1)
    few = estimate.estimate(np.arange(1_000.0), by)["loss"][1]
    assert math.isnan(few.value)
    assert few.details["reason"] == "the reference has 9 rows of it, and 10 are needed"


# Levels that the reference does not know.


@pytest.mark.parametrize(("unknown", "said"), [(0, False), (50, False), (51, True), (1_000, True)])
def test_unseen_levels_are_a_slice_where_they_are_too_many(unknown: int, *, said: bool) -> None:
    y, score = binary(2_000)
    estimate = SlicedEstimate.fit(y, score, {"r": levels(a=1_000, b=1_000)}, bins=BINS)
    now = np.repeat(["x", "y", "a"], [unknown - unknown // 2, unknown // 2, 1_000 - unknown])
    found = estimate.estimate(score[:1_000], {"r": now})
    assert found["accuracy"][0] == estimate.whole.estimate(score[:1_000])["accuracy"]
    judged = ["r=a"] if unknown < 1_000 else []
    for name in NAMES:
        assert keys(found[name]) == judged + ["r=(unseen)"] * said
    if judged:
        assert found["accuracy"][1].n == 1_000 - unknown
        assert found["accuracy"][1].confidence == pytest.approx(0.95)
    if said:
        unseen = found["accuracy"][-1]
        assert unseen.name == "accuracy[r=(unseen)]"
        assert unseen.n == unknown
        assert math.isnan(unseen.value)
        reason = f"the reference has no rows of {unknown:,} of the 1,000 rows"
        assert unseen.details["reason"] == reason
        verdict = guard(lambda: found["accuracy"], at_least(0.1))()
        assert verdict.severity is Severity.UNKNOWN
        assert reason in verdict.explain()


def test_most_outside_says_how_many_may_be_unseen() -> None:
    y, score = binary(1_000)
    by = {"r": levels(a=1_000), "s": levels(b=1_000)}
    estimate = SlicedEstimate.fit(y, score, by, bins=2)
    now = {"r": levels(a=999, x=1), "s": levels(y=700, b=300)}
    for most, expected in (
        (0.0, ["r=(unseen)", "s=(unseen)"]),
        (0.5, ["s=(unseen)"]),
        (1.0, []),
    ):
        found = keys(estimate.estimate(score, now, most_outside=most)["brier"])
        assert [key for key in found if "unseen" in key] == expected


def test_a_missing_level_may_be_unseen_too() -> None:
    y, score = binary(1_000)
    estimate = SlicedEstimate.fit(y, score, {"r": levels(a=1_000)}, bins=2)
    now = np.array(["a"] * 800 + [None] * 200, dtype=object)
    assert keys(estimate.estimate(score, {"r": now})["brier"]) == ["r=a", "r=(unseen)"]


def test_numbers_are_the_same_level_with_a_missing_one_beside_them() -> None:
    y, score = binary(1_000)
    estimate = SlicedEstimate.fit(y, score, {"r": np.repeat([1, 2], 500)}, bins=2)
    now = np.repeat([1.0, 2.0, math.nan], [480, 480, 40])
    assert keys(estimate.estimate(score, {"r": now})["brier"]) == ["r=1", "r=2"]


# The reference.


def exactly(y: Any, score: Any, threshold: float) -> dict[str, float]:
    said = score >= threshold
    return {
        "accuracy": sk.accuracy_score(y, said),
        "precision": sk.precision_score(y, said),
        "recall": sk.recall_score(y, said),
        "f1": sk.f1_score(y, said),
        "brier": sk.brier_score_loss(y, score),
        "log_loss": sk.log_loss(y, score),
        "roc_auc": sk.roc_auc_score(y, score),
    }


@pytest.mark.parametrize("bins", [BINS, 50])
def test_the_reference_has_what_was_realised_without_an_interval(bins: int) -> None:
    estimate = SlicedEstimate.fit(Y, SCORE, BY, bins=bins, threshold=0.4)
    assert list(estimate.reference) == NAMES
    for name, found in estimate.reference.items():
        assert keys(found) == KEYS
        assert [each.name for each in found] == [name, *(f"{name}[{key}]" for key in KEYS)]
        for each, key in zip(found, ["", *KEYS], strict=True):
            rows = at(BY, key) if key else np.full(N, fill_value=True)
            known = exactly(Y[rows], SCORE[rows], 0.4)
            assert each.value == pytest.approx(known[name], abs=0.01), each.name
            assert each.n == rows.sum()
            assert each.low is each.high is each.confidence is None


def test_a_slice_of_one_class_has_no_recall_and_says_why() -> None:
    y, score = binary(1_000)
    y[:300] = False
    found = SlicedEstimate.fit(y, score, levels(a=300, b=700), bins=2).reference
    assert math.isnan(found["recall"][1].value)
    assert found["recall"][1].details["reason"] == "no event is expected"
    assert found["accuracy"][1].value == pytest.approx((score[:300] < 0.5).mean())


# Nothing.


def test_no_rows_are_no_number_and_no_slice() -> None:
    nothing: dict[str, list[str]] = {"region": [], "shop": []}
    for by in (nothing, None):
        found = ESTIMATE.estimate([], by)
        assert sorted(found) == sorted(NAMES)
        for measurements in found.values():
            (only,) = measurements
            assert math.isnan(only.value)
            assert only.details["reason"] == "there are no rows"


# Bad input.


@pytest.mark.parametrize(
    ("score", "by", "more", "message"),
    [
        ([0.5], {"region": ["north"]}, {}, r"by = \['region'\].* \['region', 'shop'\]"),
        ([0.5], {"region": ["north"], "shop": [1], "x": [1]}, {}, r"^by = "),
        ([0.5], {"region": ["north"], "store": [1]}, {}, r"^by = \['region', 'store'\]"),
        ([0.5], ["north"], {}, r"^by = \['slice'\]"),
        ([0.5], None, {}, r"^by = \[\]"),
        ([0.5], {}, {}, r"^by = \[\]"),
        ([0.5], "north", {}, r"^by = 'north'"),
        (
            [0.5],
            {"region": ["north"] * 2, "shop": [1]},
            {},
            r"len\(by\['region'\]\) = 2.* score.* 1",
        ),
        ([0.5] * 2, {"region": ["north"] * 2, "shop": [1]}, {}, r"len\(by\['shop'\]\) = 1"),
        ([0.5, 1.5], None, {}, r"by = "),
        ([0.5, 1.5], {"region": ["a"] * 2, "shop": [1] * 2}, {}, r"score\[1\] = 1.5"),
        ([math.nan], {"region": ["a"], "shop": [1]}, {}, r"score\[0\] = nan"),
        ([None], {"region": ["a"], "shop": [1]}, {}, r"score\[0\] = None"),
        (["x"], {"region": ["a"], "shop": [1]}, {}, r"score"),
        (0.5, {"region": ["a"], "shop": [1]}, {}, r"^score = 0.5"),
        ([[0.5, 0.5]], {"region": ["a"], "shop": [1]}, {}, r"score\.shape"),
        ([0.5], {"region": ["a"], "shop": [1]}, {"confidence": 1.0}, "confidence = 1.0"),
        ([0.5], {"region": ["a"], "shop": [1]}, {"most_outside": 1.1}, "most_outside = 1.1"),
        ([0.5], {"region": ["a"], "shop": [1]}, {"at": math.inf}, "at = inf"),
    ],
)
def test_bad_current_rows_are_named(
    score: Any, by: Any, more: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        ESTIMATE.estimate(score, by, **more)


GOOD: dict[str, Any] = {"y": [0, 1] * 50, "score": [0.2, 0.7] * 50, "by": ["a", "b"] * 50}
BAD: dict[str, tuple[dict[str, Any], str]] = {
    "score above 1": ({"score": [0.1, 1.5] * 50}, r"score\[1\] = 1.5: must be a probability"),
    "score missing": ({"score": [None, 0.5] * 50}, r"score\[0\] = None"),
    "unlabelled": ({"y": [None, 1] * 50}, r"y\[0\] = None"),
    "one class": ({"y": [1] * 100}, "y = 'only 1'"),
    "no rows": ({"y": [], "score": [], "by": []}, r"len\(y\) = 0: must be at least 30"),
    "shorter score": ({"score": [0.1, 0.9]}, r"len\(score\) = 2"),
    "shorter by": ({"by": ["a", "b"]}, r"len\(by\['slice'\]\) = 2.* 100"),
    "no by": ({"by": None}, "by = None: must be one column or more"),
    "no column": ({"by": {}}, "by = {}: must be one column or more"),
    "by of a level": ({"by": "a"}, "by = 'a'"),
    "by with =": ({"by": {"a=b": [1] * 100}}, "by = 'a=b'"),
    "by twice": ({"by": {1: [1] * 100, "1": [1] * 100}}, r"by = \['1'\]"),
    "min_slice": ({"min_slice": 0}, "min_slice = 0"),
    "min_slice of nothing": ({"min_slice": None}, "min_slice = None"),
    "bins": ({"bins": 0}, "bins = 0"),
    "threshold": ({"threshold": 1.0}, "threshold = 1.0"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_reference_rows_are_named(name: str) -> None:
    change, message = BAD[name]
    with pytest.raises(ConfigurationError, match=message):
        SlicedEstimate.fit(**GOOD | change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"loss": [1.0, math.nan] * 50}, r"loss\[1\] = nan"),
        ({"predicted": [1.0, math.inf] * 50}, r"predicted\[1\] = inf"),
        ({"predicted": [1.0]}, r"len\(predicted\) = 1"),
        ({"loss": [1.0] * 9, "predicted": [1.0] * 9, "by": [1] * 9}, r"len\(loss\) = 9"),
        ({"by": [1] * 99}, r"len\(by\['slice'\]\) = 99"),
        ({"by": None}, "by = None"),
        ({"name": " "}, "name = ' '"),
        ({"min_slice": 0.5}, "min_slice = 0.5"),
    ],
)
def test_bad_rows_of_a_loss_model_are_named(change: dict[str, Any], message: str) -> None:
    rows: dict[str, Any] = {"loss": [1.0] * 100, "predicted": [1.0] * 100, "by": ["a"] * 100}
    with pytest.raises(ConfigurationError, match=message):
        SlicedEstimate.of_loss(**rows | change)


# Kept and merged.

SOME = 240
START = SlicedEstimate.fit(Y[:SOME], SCORE[:SOME], REGION[:SOME], bins=4, min_slice=30)
LOSS = np.abs(RNG.normal(0.0, 1.0 + SCORE[:SOME]))
COST = SlicedEstimate.of_loss(LOSS, SCORE[:SOME], REGION[:SOME], min_slice=30)


def part(places: Any) -> SlicedEstimate[Estimate]:
    """Count some of the reference rows in the same cells, with the slices that are among them."""

    def counted(rows: Any) -> Estimate:
        return START.whole.recount(Y[:SOME][rows], SCORE[:SOME][rows])

    found = {
        f"slice={level}": counted(places[REGION[places] == level])
        for level in np.unique(REGION[places])
    }
    return replace(START, whole=counted(places), slices=found)


@settings(max_examples=40)
@given(st.lists(st.integers(0, 3), min_size=SOME, max_size=SOME), st.permutations(range(4)))
def test_any_split_and_order_gives_the_same_tables(places: list[int], order: list[int]) -> None:
    pieces = [part(np.flatnonzero(np.array(places) == place)) for place in order]
    pieces = [piece for piece in pieces if piece.slices]
    merged = pieces[0]
    for piece in pieces[1:]:
        merged += piece
    assert merged == START
    assert merged.to_json() == START.to_json()


def test_a_level_that_only_one_part_knows_is_kept() -> None:
    north, south = (part(np.flatnonzero(REGION[:SOME] == level)) for level in ("north", "south"))
    west = part(np.flatnonzero(REGION[:SOME] == "west"))
    assert list((north + south).slices) == ["slice=north", "slice=south"]
    assert list(north.slices) == ["slice=north"]
    assert west + (south + north) == START
    assert (west + (south + north)).to_json() == START.to_json()


@settings(max_examples=20)
@given(st.integers(30, SOME - 30))
def test_loss_models_by_slice_add(cut: int) -> None:
    parts = [
        SlicedEstimate.of_loss(LOSS[rows], SCORE[:SOME][rows], REGION[:SOME][rows], min_slice=30)
        for rows in (slice(0, cut), slice(cut, SOME))
    ]
    assert parts[0] + parts[1] == parts[1] + parts[0] == COST
    assert (parts[1] + parts[0]).to_json() == COST.to_json()


@pytest.mark.parametrize(
    ("estimate", "by"),
    [(ESTIMATE, BY), (START, REGION[:SOME]), (COST, REGION[:SOME])],
    ids=["two columns", "one column", "loss"],
)
def test_the_json_round_trips_without_a_row(estimate: SlicedEstimate[Any], by: Any) -> None:
    text = estimate.to_json()
    again: SlicedEstimate[Any] = SlicedEstimate.from_json(text)
    assert again == estimate
    assert again.to_json() == text
    assert again.min_slice == estimate.min_slice
    assert type(again.whole) is type(estimate.whole)
    score = SCORE[: estimate.whole.n]
    assert again.estimate(score, by) == estimate.estimate(score, by)
    assert again.reference == estimate.reference
    record = json.loads(text)
    assert (record["kind"], record["schema"]) == ("sliced_estimate", 1)
    assert list(record["slices"]) == sorted(estimate.slices)
    assert len(text) < 40_000


def test_it_says_what_it_is() -> None:
    events = f"{Y.sum():,}"
    whole = f"<Estimate from 6,000 rows, {events} events>"
    assert repr(ESTIMATE) == f"<SlicedEstimate of {whole}, 5 slices>"
    assert repr(COST) == "<SlicedEstimate of <LossEstimate of loss from 240 rows>, 3 slices>"
    assert isinstance(COST.whole, LossEstimate)


def changed(estimate: SlicedEstimate[Any], change: dict[str, Any]) -> str:
    return json.dumps(json.loads(estimate.to_json()) | change)


@pytest.mark.parametrize("estimate", [START, COST], ids=["scores", "loss"])
@pytest.mark.parametrize(
    "change",
    [
        {"kind": "estimate"},
        {"schema": 2},
        {"whole": None},
        {"whole": []},
        {"whole": {}},
        {"whole": {"kind": "profile"}},
        {"whole": {"kind": []}},
        {"whole": {"kind": "estimate"}},
        {"whole": {"kind": "loss_estimate"}},
        {"slices": None},
        {"slices": ["slice=north"]},
        {"slices": {"slice=north": None}},
        {"slices": {"slice=north": {}}},
        {"min_slice": 0},
        {"min_slice": "many"},
        {"min_slice": None},
    ],
    ids=str,
)
def test_json_of_something_else_is_refused(
    estimate: SlicedEstimate[Any], change: dict[str, Any]
) -> None:
    with pytest.raises(ConfigurationError):
        SlicedEstimate.from_json(changed(estimate, change))


@pytest.mark.parametrize("estimate", [START, COST], ids=["scores", "loss"])
def test_json_that_lacks_something_is_refused(estimate: SlicedEstimate[Any]) -> None:
    record = json.loads(estimate.to_json())
    for name in record:
        less = {key: value for key, value in record.items() if key != name}
        with pytest.raises(ConfigurationError):
            SlicedEstimate.from_json(json.dumps(less))
    for text in ("", "null", "[]", estimate.to_json()[:-9], estimate.whole.to_json()):
        with pytest.raises(ConfigurationError):
            SlicedEstimate.from_json(text)


def test_slices_of_another_kind_than_the_whole_are_refused() -> None:
    slices = json.loads(COST.to_json())["slices"]
    with pytest.raises(ConfigurationError, match="sliced estimate"):
        SlicedEstimate.from_json(changed(START, {"slices": slices}))


def test_what_is_not_alike_does_not_add() -> None:
    rows = Y[:SOME], SCORE[:SOME]
    with pytest.raises(ConfigurationError, match="min_slice = 31"):
        START + replace(START, min_slice=31)
    other = SlicedEstimate.fit(*rows, {"shop": SHOP[:SOME]}, bins=4, min_slice=30)
    with pytest.raises(ConfigurationError, match=r"by = \['shop'\].*\['slice'\]"):
        START + other
    finer = SlicedEstimate.fit(*rows, REGION[:SOME], bins=2, min_slice=30)
    with pytest.raises(ConfigurationError, match="cells"):
        START + finer
    named = SlicedEstimate.of_loss(LOSS, LOSS, REGION[:SOME], name="other", min_slice=30)
    with pytest.raises(ConfigurationError, match="name = 'other'"):
        COST + named
    for odd in (1, START.whole, COST):
        with pytest.raises(TypeError):
            START + odd  # type: ignore[operator]


def test_adding_changes_neither_part() -> None:
    north, south = (part(np.flatnonzero(REGION[:SOME] == level)) for level in ("north", "south"))
    before = north.to_json(), south.to_json()
    assert (north + south).whole.n == north.whole.n + south.whole.n
    assert (north.to_json(), south.to_json()) == before


def test_a_frame_and_a_column_slice_alike() -> None:
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(BY)
    framed = SlicedEstimate.fit(Y, SCORE, frame, bins=BINS, threshold=0.4)
    assert framed == ESTIMATE
    assert framed.estimate(NOW, pd.DataFrame(NOW_BY)) == ESTIMATE.estimate(NOW, NOW_BY)
    column = SlicedEstimate.fit(Y, SCORE, frame["region"], bins=BINS)
    assert sorted(column.slices) == KEYS[:3]


@pytest.mark.parametrize("rows", [100, 200, 400])
def test_a_slice_of_min_slice_rows_has_a_value_beside_a_large_one(rows: int) -> None:
    rng = np.random.default_rng(rows)
    n = 20_000 + rows
    score = rng.beta(1.0, 3.0, n)
    y = rng.random(n) < score
    by = {"r": np.repeat(["large", "small"], [20_000, rows])}
    found = SlicedEstimate.fit(y, score, by).estimate(score, by)["accuracy"]
    assert [each.details["slice"] for each in found[1:]] == ["r=large", "r=small"]
    assert not any(math.isnan(each.value) for each in found)


def test_scores_beyond_those_of_a_slice_are_outside_all_the_same() -> None:
    rng = np.random.default_rng(5)
    score = np.append(rng.random(20_000), 0.3 * rng.random(300))
    by = {"r": np.repeat(["large", "small"], [20_000, 300])}
    estimate = SlicedEstimate.fit(rng.random(20_300) < score, score, by)
    now = {"r": ["small"] * 200}
    assert math.isnan(estimate.estimate([0.8] * 200, now)["accuracy"][1].value)
    assert not math.isnan(estimate.estimate([0.2] * 200, now)["accuracy"][1].value)


def test_other_rows_are_counted_in_the_same_cells_and_added() -> None:
    rng = np.random.default_rng(6)
    score = rng.random(4_000)
    y, r = rng.random(4_000) < score, rng.choice(["a", "b", "c"], 4_000)
    half = np.arange(4_000) < 2_000
    first = SlicedEstimate.fit(y[half], score[half], {"r": r[half]})
    second = first.recount(y[~half], score[~half], {"r": r[~half]})
    assert first + second == first.recount(y, score, {"r": r})
    with pytest.raises(ConfigurationError, match="recount"):
        SlicedEstimate.of_loss(score, score, {"r": r}).recount(y, score, {"r": r})
