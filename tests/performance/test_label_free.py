"""Estimate: what it gives for which input, how it is kept, and what it refuses."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk
from sklearn.isotonic import IsotonicRegression

from mlguard import ConfigurationError, Measurement, Severity, at_least, guard
from mlguard.drift import Reference
from mlguard.performance import Estimate, LossEstimate, evaluate, realised_minus_estimated
from mlguard.performance.expected import Rates, losses_of
from mlguard.render.text import quantity

if TYPE_CHECKING:
    from numpy.typing import NDArray

NAMES = ["accuracy", "precision", "recall", "f1", "brier", "log_loss", "roc_auc"]
RNG = np.random.default_rng(6)
N = 4_000
SCORE = RNG.beta(1.0, 2.0, N)
Y = RNG.random(N) < SCORE
ESTIMATE = Estimate.fit(Y, SCORE)


def exactly(y: NDArray[Any], score: NDArray[Any], threshold: float = 0.5) -> dict[str, float]:
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


@pytest.mark.parametrize("threshold", [0.2, 0.37, 0.5, 0.8])
def test_of_the_reference_itself_it_gives_what_was_realised(threshold: float) -> None:
    estimate = Estimate.fit(Y, SCORE, threshold=threshold)
    found, known = estimate.estimate(SCORE), exactly(Y, SCORE, threshold)
    assert list(found) == NAMES
    for name, measurement in found.items():
        assert measurement.value == pytest.approx(known[name], abs=0.001), name
        assert measurement.name == name
        assert measurement.n == N
        assert measurement.low is not None
        assert measurement.high is not None
        assert measurement.low <= measurement.value <= measurement.high


def test_its_rates_are_those_of_isotonic_regression_where_the_reference_is_large() -> None:
    rng = np.random.default_rng(1)
    score = rng.random(200_000)
    y = rng.random(200_000) < score**2
    estimate = Estimate.fit(y, score)
    rates = Rates.of(
        estimate.rows,
        estimate.events,
        np.array(estimate.losses).reshape(2, 3, -1),
        10,
        estimate._reached,
    )
    ours = rates.events / rates.rows
    oracle = IsotonicRegression().fit(score, y).predict(score)
    places = rates.block[estimate.fine.thresholds.searchsorted(score)]
    theirs = np.bincount(places, oracle) / np.bincount(places)
    assert np.average(np.abs(ours - theirs), weights=rates.rows) < 0.003


def test_a_score_need_not_be_calibrated() -> None:
    found = Estimate.fit(Y, SCORE**3).estimate(SCORE**3)
    known = exactly(Y, SCORE**3)
    for name, measurement in found.items():
        assert measurement.value == pytest.approx(known[name], abs=0.004), name


def test_where_the_reference_has_few_rows_their_rate_follows_the_score() -> None:
    score = np.concatenate([np.linspace(0.0, 0.5, 20_000), np.linspace(0.6, 1.0, 12)])
    y = np.random.default_rng(9).random(len(score)) < score
    y[-12:] = [0, 1, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1]
    estimate = Estimate.fit(y, score)
    low, high = (
        estimate.estimate([each] * 10, most_outside=1.0)["precision"].value for each in (0.62, 0.97)
    )
    assert low == pytest.approx(0.62, abs=0.05)
    assert high == pytest.approx(0.97, abs=0.05)


def test_scores_of_exactly_0_and_1_that_never_err_cost_nothing() -> None:
    rng = np.random.default_rng(4)
    score = np.clip(rng.normal(0.5, 0.2, 200_000), 0.0, 1.0)
    y = rng.random(200_000) < score
    found = Estimate.fit(y, score).estimate(score)["log_loss"]
    assert found.value == pytest.approx(sk.log_loss(y, score), abs=0.001)


def test_each_measurement_says_what_it_assumes_and_on_what_it_rests() -> None:
    found = ESTIMATE.estimate(SCORE[:500], confidence=0.9, at=1_700_000_000)
    for name, measurement in found.items():
        assert measurement.details["assumes"] == "calibration as in the reference: no concept drift"
        assert measurement.details["outside"] == 0.0
        assert measurement.details["threshold"] == 0.5
        assert measurement.details["better"] == (
            "lower" if name in {"brier", "log_loss"} else "higher"
        )
        assert measurement.confidence == 0.9
        assert measurement.at == 1_700_000_000
        assert Measurement.from_dict(json.loads(json.dumps(measurement.to_dict()))) == measurement


@pytest.mark.parametrize("name", NAMES)
def test_more_rows_and_less_confidence_make_it_narrower(name: str) -> None:
    def width(estimate: Estimate, score: NDArray[Any], confidence: float = 0.95) -> float:
        found = estimate.estimate(score, confidence=confidence)[name]
        assert found.low is not None
        assert found.high is not None
        return found.high - found.low

    large = ESTIMATE + ESTIMATE + ESTIMATE + ESTIMATE
    assert (
        width(ESTIMATE, np.tile(SCORE, 4)) < width(ESTIMATE, SCORE) < width(ESTIMATE, SCORE[:500])
    )
    assert width(large, SCORE) < width(ESTIMATE, SCORE)
    assert width(ESTIMATE, SCORE, 0.5) < width(ESTIMATE, SCORE) < width(ESTIMATE, SCORE, 0.99)


def test_the_threshold_itself_counts_as_reached() -> None:
    y, score = [0, 0, 0, 1] * 25 + [0, 1, 1, 1] * 25, [0.25] * 100 + [0.5] * 100
    found = Estimate.fit(y, score).estimate([0.5] * 40)
    assert found["precision"].value == 0.75
    assert found["recall"].value == 1.0


# Counts in place of scores.


@pytest.mark.parametrize("bins", [10, 50])
def test_counts_on_the_same_cells_say_nearly_the_same(bins: int) -> None:
    estimate = Estimate.fit(Y, SCORE, bins=bins)
    counted = estimate.estimate_counts(estimate.cells.count(SCORE))
    for name, measurement in estimate.estimate(SCORE).items():
        assert counted[name].value == pytest.approx(measurement.value, abs=0.001), name
        assert counted[name].n == N
        assert counted[name].low == pytest.approx(measurement.low, abs=0.004)
        assert counted[name].high == pytest.approx(measurement.high, abs=0.004)


def test_a_drift_profile_can_be_judged() -> None:
    reference = Reference.fit({"score": SCORE, "other": SCORE})
    estimate = Estimate.fit(Y, SCORE, cells=reference.layout.cells["score"])  # type: ignore[arg-type]
    profile = reference.profile({"score": [*SCORE[:1_000], math.nan], "other": [0.0] * 1_001})
    counts = profile.counts[profile.layout.parts["score"]]
    found, known = estimate.estimate_counts(counts), estimate.estimate(SCORE[:1_000])
    for name in NAMES:
        assert found[name].value == pytest.approx(known[name].value, abs=0.01), name
        assert found[name].n == 1_000
        assert found[name].details["outside"] == pytest.approx(1 / 1_001)


def test_edges_make_cells_too() -> None:
    estimate = Estimate.fit(Y, SCORE, cells=[0.25, 0.5, 0.75])
    counts = estimate.cells.count(SCORE)
    assert len(counts) == 4 + 3
    assert estimate.estimate_counts(counts)["accuracy"].value == pytest.approx(
        estimate.estimate(SCORE)["accuracy"].value, abs=1e-6
    )


# Outside, and nothing.


def test_scores_that_the_reference_does_not_know_are_a_guess_and_not_a_pass() -> None:
    low = SCORE < 0.6
    estimate = Estimate.fit(Y[low], SCORE[low])
    share = float((SCORE[low].max() < SCORE).mean())
    found = estimate.estimate(SCORE)["accuracy"]
    assert math.isnan(found.value)
    assert found.low is found.high is None
    assert found.details["outside"] == pytest.approx(share)
    assert found.details["reason"] == (
        f"{quantity(share, 'share')} of the scores lie where the reference has too few rows, and 5 % may"
    )
    verdict = guard(found, at_least(0.5))()
    assert verdict.severity is Severity.UNKNOWN
    assert "too few rows" in verdict.reason
    allowed = estimate.estimate(SCORE, most_outside=0.5)["accuracy"]
    assert allowed.value == found.details["guess"]
    assert allowed.low is not None


def test_no_rows_are_no_number() -> None:
    for measurement in ESTIMATE.estimate([]).values():
        assert math.isnan(measurement.value)
        assert measurement.details["reason"] == "there are no rows"
    nothing = np.zeros(ESTIMATE.cells.size)
    assert math.isnan(ESTIMATE.estimate_counts(nothing)["brier"].value)


def test_without_a_score_at_the_threshold_there_is_no_precision() -> None:
    found = ESTIMATE.estimate(SCORE[SCORE < 0.5])
    assert math.isnan(found["precision"].value)
    assert found["precision"].details["reason"] == "no score reaches the threshold"
    assert found["recall"].value == 0.0
    assert not math.isnan(found["accuracy"].value)


def test_where_no_event_is_expected_there_is_no_recall_and_no_auc() -> None:
    estimate = Estimate.fit([0] * 50 + [1] * 50, [0.1] * 50 + [0.9] * 50)
    found = estimate.estimate([0.1] * 30)
    assert [name for name in NAMES if math.isnan(found[name].value)] == [
        "precision",
        "recall",
        "f1",
        "roc_auc",
    ]
    assert found["accuracy"].value == 1.0
    assert found["accuracy"].low is not None
    assert 0.85 < found["accuracy"].low < 1.0


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_a_few_rows_are_enough_to_ask(rows: int) -> None:
    for name, measurement in ESTIMATE.estimate(SCORE[:rows]).items():
        if not math.isnan(measurement.value):
            assert measurement.low is not None, name
            assert measurement.high is not None, name
            assert measurement.low <= measurement.value <= measurement.high


# Kept and merged.


START = Estimate.fit(Y[:200], SCORE[:200])


@settings(max_examples=40)
@given(st.lists(st.integers(0, 3), min_size=200, max_size=200), st.permutations(range(200)))
def test_any_split_and_order_gives_the_same_table(parts: list[int], order: list[int]) -> None:
    y, score = Y[:200][order], SCORE[:200][order]
    where = np.array(parts)
    pieces = [START.recount(y[where == part], score[where == part]) for part in range(4)]
    assert pieces[0] + pieces[1] + (pieces[2] + pieces[3]) == START
    assert (pieces[3] + pieces[1] + pieces[0] + pieces[2]).to_json() == START.to_json()


def test_the_json_round_trips_without_a_row() -> None:
    for estimate in (ESTIMATE, Estimate.fit(Y, SCORE, cells=[0.3], threshold=0.7)):
        text = estimate.to_json()
        again = Estimate.from_json(text)
        assert again == estimate
        assert again.to_json() == text
        assert again.estimate(SCORE) == estimate.estimate(SCORE)
    rows = json.loads(text)["rows"]
    assert sum(rows) == N
    assert all(isinstance(count, int) for count in rows)
    assert repr(ESTIMATE) == f"<Estimate from 4,000 rows, {Y.sum():,} events>"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"kind": "profile"}, "kind"),
        ({"schema": 2}, "schema"),
        ({"rows": [1]}, "8 columns"),
        ({"events": None}, "estimate"),
        ({"losses": []}, "8 columns"),
        ({"cells": [0.123]}, "edges of cells"),
        ({"fine": [0.3, 0.2]}, "ascending"),
        ({"threshold": 7}, "threshold"),
        ({"rows": "abc"}, "rows"),
    ],
)
def test_json_of_something_else_is_refused(change: dict[str, Any], words: str) -> None:
    record = json.loads(ESTIMATE.to_json()) | change
    with pytest.raises(ConfigurationError, match=words):
        Estimate.from_json(json.dumps(record))


def test_more_events_than_rows_are_refused() -> None:
    record = json.loads(ESTIMATE.to_json())
    record["events"] = [count + 1 for count in record["rows"]]
    with pytest.raises(ConfigurationError, match="at most rows"):
        Estimate.from_json(json.dumps(record))


def test_tables_of_other_cells_do_not_add() -> None:
    with pytest.raises(ConfigurationError, match="threshold"):
        ESTIMATE + Estimate.fit(Y, SCORE, threshold=0.6, cells=ESTIMATE.cells)
    with pytest.raises(ConfigurationError, match=r"cells .*recount"):
        ESTIMATE + Estimate.fit(Y[:900], SCORE[:900])
    with pytest.raises(TypeError):
        ESTIMATE + 1  # type: ignore[operator]


# Bad input.

BAD: dict[str, tuple[dict[str, Any], str]] = {
    "score above 1": ({"score": [0.1, 1.5] * 50}, r"score\[1\] = 1.5: must be a probability"),
    "score below 0": ({"score": [-0.1, 0.5] * 50}, r"score\[0\] = -0.1"),
    "score NaN": ({"score": [math.nan, 0.5] * 50}, r"score\[0\] = nan"),
    "score missing": ({"score": [None, 0.5] * 50}, r"score\[0\] = None"),
    "score infinite": ({"score": [math.inf, 0.5] * 50}, r"score\[0\] = inf"),
    "unlabelled": ({"y": [None, 1] * 50}, r"y\[0\] = None"),
    "unlabelled NaN": ({"y": [math.nan, 1.0] * 50}, r"y\[0\] = nan"),
    "labels of another kind": ({"y": ["yes", "no"] * 50}, r"y\[0\] = 'yes'"),
    "one class": ({"y": [1] * 100}, "y = 'only 1': must be rows of both classes"),
    "no class": ({"y": [0] * 100}, "y = 'only 0'"),
    "empty": ({"y": [], "score": []}, r"len\(y\) = 0: must be at least 30"),
    "few": ({"y": [0, 1], "score": [0.1, 0.9]}, r"len\(y\) = 2"),
    "lengths": ({"y": [0, 1]}, r"len\(score\) = 100"),
    "bins": ({"bins": 0}, "bins = 0"),
    "many bins": ({"bins": 1_001}, "bins = 1001"),
    "threshold": ({"threshold": 1.0}, "threshold = 1.0"),
    "cells": ({"cells": "score"}, "cells = 'score'"),
    "cells out of order": ({"cells": [0.5, 0.2]}, "ascending"),
    "cells NaN": ({"cells": [math.nan]}, "cells = nan"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_reference_data_is_named(name: str) -> None:
    change, message = BAD[name]
    given: dict[str, Any] = {"y": [0, 1] * 50, "score": [0.2, 0.7] * 50} | change
    with pytest.raises(ConfigurationError, match=message):
        Estimate.fit(given.pop("y"), given.pop("score"), **given)


@pytest.mark.parametrize(
    ("score", "more", "message"),
    [
        ([0.5, 2.0], {}, r"score\[1\] = 2.0"),
        ([0.5, math.nan], {}, r"score\[1\] = nan"),
        ([0.5], {"confidence": 1.0}, "confidence = 1.0"),
        ([0.5], {"most_outside": -0.1}, "most_outside = -0.1"),
        ([0.5], {"most_outside": math.nan}, "most_outside = nan"),
        ([0.5], {"at": math.inf}, "at = inf"),
    ],
)
def test_bad_current_scores_are_named(
    score: list[float], more: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        ESTIMATE.estimate(score, **more)


def test_bad_counts_are_named() -> None:
    size = ESTIMATE.cells.size
    with pytest.raises(ConfigurationError, match=rf"len\(counts\) = 3: must be {size}"):
        ESTIMATE.estimate_counts([1, 2, 3])
    for bad in (-1, 0.5):
        with pytest.raises(ConfigurationError, match=rf"counts\[1\] = {bad:.1f}"):
            ESTIMATE.estimate_counts([0, bad] + [0] * (size - 2))


# A loss model.

SPREAD = RNG.uniform(1.0, 3.0, N)
LOSS = (SPREAD * RNG.standard_normal(N)) ** 2


def test_a_loss_model_is_put_right_by_its_mean_error() -> None:
    estimate = Estimate.of_loss(LOSS, 0.5 * SPREAD**2, name="squared")
    found = estimate.estimate(0.5 * SPREAD**2)
    assert list(found) == ["squared"]
    assert found["squared"].value == pytest.approx(LOSS.mean())
    assert found["squared"].details["better"] == "lower"
    assert "no concept drift" in found["squared"].details["assumes"]
    assert repr(estimate) == "<LossEstimate of squared from 4,000 rows>"


def test_a_loss_model_follows_the_rows_and_says_when_they_leave_the_reference() -> None:
    estimate = Estimate.of_loss(LOSS, SPREAD**2)
    costly = SPREAD > 2.0
    found = estimate.estimate(SPREAD[costly] ** 2)["loss"]
    assert found.value == pytest.approx(LOSS[costly].mean(), rel=0.1)
    beyond = estimate.estimate(SPREAD[costly] ** 2 + 4.0)["loss"]
    assert math.isnan(beyond.value)
    assert "lie beyond every one of the reference" in beyond.details["reason"]
    assert estimate.estimate([])["loss"].details["reason"] == "there are no rows"
    realised = Measurement("loss", float(LOSS[costly].mean()), n=int(costly.sum()))
    assert realised_minus_estimated(realised, found).low is not None


def test_loss_estimates_add_and_round_trip() -> None:
    whole = Estimate.of_loss(LOSS, SPREAD)
    parts = Estimate.of_loss(LOSS[:100], SPREAD[:100]) + Estimate.of_loss(LOSS[100:], SPREAD[100:])
    assert parts == whole
    assert LossEstimate.from_json(whole.to_json()) == whole
    with pytest.raises(ConfigurationError, match="name"):
        whole + Estimate.of_loss(LOSS, SPREAD, name="other")
    with pytest.raises(TypeError):
        whole + 1  # type: ignore[operator]
    with pytest.raises(ConfigurationError, match="loss estimate"):
        LossEstimate.from_json('{"kind": "loss_estimate", "schema": 1}')
    constant = Estimate.of_loss([1.0] * 40, [1.0] * 40).estimate([1.0])["loss"]
    assert constant.low is constant.high is None
    assert "too few rows" in constant.details["no_interval"]
    below = Estimate.of_loss([1.0, 2.0] * 20, [-1.0] * 40).estimate([-1.0])["loss"]
    assert below.value == pytest.approx(1.5)


@pytest.mark.parametrize(
    ("loss", "predicted", "message"),
    [
        ([1.0] * 20, [1.0] * 19, r"len\(predicted\) = 19"),
        ([1.0] * 5, [1.0] * 5, r"len\(loss\) = 5"),
        ([math.nan] * 20, [1.0] * 20, r"loss\[0\] = nan"),
        ([1.0] * 20, [math.inf] * 20, r"predicted\[0\] = inf"),
    ],
)
def test_bad_losses_are_named(loss: list[float], predicted: list[float], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Estimate.of_loss(loss, predicted)


def test_the_loss_of_a_row_is_that_of_evaluate() -> None:
    score = np.array([0.0, 0.3, 1.0])
    brier, log = losses_of(score)[:2], losses_of(score)[3:5]
    for outcome in (False, True):
        y = np.full(3, outcome)
        assert brier[outcome].mean() == evaluate(y, score, loss="brier").overall.value
        assert log[outcome].mean() == evaluate(y, score, loss="log_loss").overall.value
