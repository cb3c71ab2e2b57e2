"""evaluate and compare: what is measured, and how it is written down."""

from __future__ import annotations

import json
from typing import Any, cast

import numpy as np
import pytest

from mlguard import ConfigurationError, Measurement
from mlguard.performance import Metric, compare, evaluate

RNG = np.random.default_rng(4)
N = 400
CHANCE = RNG.random(N)
Y = RNG.random(N) < CHANCE
LOSSES = ["log_loss", "brier", "absolute", "roc_auc"]


@pytest.mark.parametrize("loss", LOSSES)
def test_a_change_is_candidate_minus_champion_and_keeps_both(loss: str) -> None:
    dull = 0.5 + 0.5 * (CHANCE - 0.5) * (Y == 1)
    before = evaluate(Y, dull, loss=loss).overall
    after = evaluate(Y, CHANCE, loss=loss).overall
    change = compare(Y, dull, CHANCE, loss=loss).overall
    assert change.value == pytest.approx(after.value - before.value, abs=1e-12)
    assert change.details["champion"] == before.value
    assert change.details["candidate"] == after.value
    assert change.name == f"{loss} change"
    back = compare(Y, CHANCE, dull, loss=loss).overall
    assert (back.value, back.low, back.high) == pytest.approx(
        (-change.value, -(change.high or 0.0), -(change.low or 0.0)), abs=1e-12
    )
    assert back.p_value == pytest.approx(change.p_value)


@pytest.mark.parametrize("loss", [*LOSSES, "accuracy"])
@pytest.mark.parametrize("noise", [0.02, 0.3, 1.0])
def test_the_p_value_is_small_just_where_the_interval_leaves_out_zero(
    loss: str, noise: float
) -> None:
    other = np.clip(CHANCE + noise * np.random.default_rng(5).standard_normal(N), 0.01, 0.99)
    first, second = (CHANCE, other) if loss != "accuracy" else (CHANCE > 0.5, other > 0.5)
    found = compare(Y, first, second, loss=loss).overall
    assert found.p_value is not None
    assert found.low is not None
    assert found.high is not None
    assert (found.p_value < 0.05) == (not found.low <= 0.0 <= found.high)


@pytest.mark.parametrize("loss", [*LOSSES, "accuracy"])
def test_a_model_compared_with_itself_has_not_changed(loss: str) -> None:
    said = CHANCE if loss != "accuracy" else CHANCE > 0.5
    found = compare(Y, said, said, loss=loss).overall
    assert found.value == 0.0
    assert found.p_value == 1.0
    assert found.low is not None
    assert found.high is not None
    assert -0.05 < found.low < 0.0 < found.high < 0.05


def test_a_higher_confidence_gives_a_wider_interval() -> None:
    widths = []
    for confidence in (0.5, 0.9, 0.99):
        found = evaluate(Y, CHANCE, loss="brier", confidence=confidence).overall
        assert found.low is not None
        assert found.high is not None
        widths.append(found.high - found.low)
    assert widths == sorted(widths)


def test_weights_of_one_change_nothing_and_whole_weights_repeat_rows() -> None:
    for loss in ("brier", "accuracy"):
        said = CHANCE if loss == "brier" else CHANCE > 0.5
        plain = evaluate(Y, said, loss=loss)
        assert evaluate(Y, said, loss=loss, weights=np.ones(N))() == plain()
        double = evaluate(np.tile(Y, 2), np.tile(said, 2), loss=loss).overall
        heavy = evaluate(Y, said, loss=loss, weights=np.full(N, 2.0)).overall
        assert heavy.value == double.value
        assert heavy.n == N
        assert heavy.low == pytest.approx(
            plain.overall.low, abs=2e-3
        )  # repeating tells nothing new


def test_the_scale_of_weights_does_not_matter() -> None:
    weights = CHANCE[::-1]
    found = [
        evaluate(Y, CHANCE, loss="brier", weights=scale * weights).overall
        for scale in (1.0, 2.0**60, 2.0**-60)
    ]
    assert found[0] == found[1] == found[2]


def test_the_unit_of_a_loss_does_not_matter() -> None:
    y, said = np.random.default_rng(6).standard_normal((2, N))
    small, large = (
        evaluate(scale * y, scale * said, loss="absolute").overall for scale in (1.0, 2.0**40)
    )
    assert large.low == pytest.approx((small.low or 0.0) * 2.0**40)
    assert large.high == pytest.approx((small.high or 0.0) * 2.0**40)


def test_scores_may_be_transformed_as_long_as_they_rank_the_same() -> None:
    plain = compare(Y, CHANCE, CHANCE**2 + 0.1 * Y, loss="roc_auc").overall
    bent = compare(Y, 1e6 * CHANCE, np.sqrt(CHANCE**2 + 0.1 * Y), loss="roc_auc").overall
    assert bent == plain


def test_an_interval_of_shares_stays_between_0_and_1() -> None:
    for said in (Y, ~Y):
        hits = evaluate(Y, said, loss="accuracy").overall
        area = evaluate(Y, said, loss="roc_auc").overall
        for found in (hits, area):
            assert found.low is not None
            assert found.high is not None
            assert 0.0 <= found.low < found.high <= 1.0


def test_nine_rows_have_no_interval_and_ten_have() -> None:
    for n in (9, 10):
        found = evaluate([0, 1] * 10, [0, 1] * 5 + [1, 0] * 5, loss="accuracy").overall
        assert found.low is not None
        few = compare(Y[:n], CHANCE[:n], CHANCE[:n][::-1], loss="brier").overall
        assert (few.low is None) is (n == 9)


def test_one_row_of_the_rarer_class_has_an_area_and_hardly_an_interval() -> None:
    y = np.arange(50) == 7
    found = evaluate(y, CHANCE[:50], loss="roc_auc").overall
    assert found.low is not None
    assert found.high is not None
    assert found.high - found.low > 0.9
    change = compare(y, CHANCE[:50], CHANCE[50:100], loss="roc_auc").overall
    assert change.low is None
    assert change.details["reason"] == "y has one row of its rarer class, which has no spread"


def test_a_perfect_ranking_of_few_rows_is_not_called_certain() -> None:
    y = np.arange(20) % 2
    found = evaluate(y, y, loss="roc_auc").overall
    assert (found.value, found.high) == (1.0, 1.0)
    assert found.low is not None
    assert found.low < 0.75
    change = compare(y, y, y, loss="roc_auc").overall
    assert change.low is not None
    assert change.low < -0.1


def test_the_same_seed_gives_the_same_bootstrap() -> None:
    def median(y: Any, said: Any) -> float:
        return float(np.median(np.abs(y - said)))

    metric = Metric("median", median, "lower")

    def run(seed: int) -> Measurement:
        rng = np.random.default_rng(seed)
        return compare(1.0 * Y, CHANCE, 0.9 * CHANCE, loss=metric, rng=rng, resamples=200).overall

    assert run(3) == run(3)
    assert run(3) != run(4)
    assert run(3).details["champion"] == median(Y, CHANCE)


def test_a_bootstrap_of_nine_rows_has_no_interval() -> None:
    metric = Metric("top", lambda _y, said: float(said.max()), "higher")
    found = evaluate(Y[:9], CHANCE[:9], loss=metric, rng=np.random.default_rng(1)).overall
    assert found.low is None
    assert found.value == CHANCE[:9].max()


def test_a_measurement_survives_json() -> None:
    for found in compare(Y, CHANCE, CHANCE[::-1], loss="roc_auc", by=np.arange(N) % 3)():
        wire = json.dumps(found.to_dict(), allow_nan=False)
        assert Measurement.from_dict(json.loads(wire)) == found


def test_a_bootstrapped_mean_has_the_interval_of_the_mean() -> None:
    y, said = np.random.default_rng(8).lognormal(size=(2, 400))
    metric = Metric("mean", lambda y, said: float(np.abs(y - said).mean()), "lower")
    found = evaluate(y, said, loss=metric, rng=np.random.default_rng(9), resamples=2000).overall
    expected = evaluate(y, said, loss="absolute").overall
    for measurement in (found, expected):
        assert measurement.low is not None
        assert measurement.high is not None
        assert measurement.high - found.value > 1.15 * (found.value - measurement.low)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=0.05)


@pytest.mark.parametrize("loss", ["brier", "roc_auc"])
def test_rows_of_a_cluster_count_once(loss: str) -> None:
    """Every row five times over says nothing new: the interval is that of the rows."""
    draw = np.random.default_rng(8)
    chance = draw.random(300)
    y = draw.random(300) < chance
    once = evaluate(y, chance, loss=loss).overall
    five = np.repeat(np.arange(300), 5)
    copied = evaluate(y[five], chance[five], loss=loss, cluster=five).overall
    naive = evaluate(y[five], chance[five], loss=loss).overall
    assert copied.n == 300
    assert (copied.low, copied.high) == pytest.approx((once.low, once.high), rel=2e-3)
    assert naive.high - naive.low < 0.5 * (once.high - once.low)  # type: ignore[operator]


def test_a_bootstrap_draws_whole_clusters() -> None:
    draw = np.random.default_rng(9)
    y = draw.random(200) < 0.5
    said = np.where(draw.random(200) < 0.8, y, ~y)
    metric = Metric("accuracy of all", lambda a, b: float((a == b).mean()), "higher")
    five = np.repeat(np.arange(200), 5)
    once = evaluate(y, said, loss=metric, rng=np.random.default_rng(1)).overall
    copied = evaluate(
        y[five], said[five], loss=metric, cluster=five, rng=np.random.default_rng(1)
    ).overall
    assert (copied.low, copied.high) == pytest.approx((once.low, once.high))


def test_a_change_on_clusters_covers_where_rows_alone_do_not() -> None:
    """Fifty days of forty flights that share their weather: two equal models, 300 times over."""
    draw = np.random.default_rng(10)
    days = np.repeat(np.arange(50), 40)
    called = {True: 0, False: 0}
    for _ in range(300):
        y = draw.random(2000) < 0.5
        tilt = np.repeat(draw.normal(0.0, 0.3, 50), 40)
        before, after = (
            1.0 / (1.0 + np.exp(-(2.0 * y - 1.0) * (1.0 + side * tilt))) for side in (1.0, -1.0)
        )
        for clustered in called:
            found = compare(
                y, before, after, loss="log_loss", cluster=days if clustered else None
            ).overall
            called[clustered] += not cast("float", found.low) <= 0.0 <= cast("float", found.high)
    assert called[True] <= 28  # 5 % of 300 and three standard errors
    assert called[False] > 100


def test_clusters_that_are_missing_or_too_few_are_refused_by_name() -> None:
    with pytest.raises(ConfigurationError, match=r"^cluster\[1\] = None"):
        evaluate([0, 1], [0.1, 0.9], loss="brier", cluster=np.array(["a", None]))
    with pytest.raises(ConfigurationError, match=r"^len\(cluster\) = 1"):
        evaluate([0, 1], [0.1, 0.9], loss="brier", cluster=["a"])
