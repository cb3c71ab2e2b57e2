"""scikit-learn and we give the same numbers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from mlguard.performance import Metric, compare, evaluate, not_worse, pinball

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlguard.performance.metrics import Function


def exactly(value: float, scale: float = 1.0) -> Any:
    return pytest.approx(value, rel=1e-12, abs=1e-12 * max(1.0, scale))


chances = st.sampled_from([0.0, 0.25, 0.5, 1.0]) | st.floats(0.0, 1.0)
weights = st.sampled_from([0.0, 0.5, 1.0, 2.0, 7.25])
binary = st.lists(st.tuples(st.booleans(), chances, chances, weights), min_size=1, max_size=60)
real = st.floats(-1e6, 1e6) | st.sampled_from([0.0, 1.0, -1.0])
continuous = st.lists(st.tuples(real, real, real, weights), min_size=1, max_size=60)

BINARY: dict[str, Function] = {
    "log_loss": lambda y, p, **more: metrics.log_loss(y, p, labels=[False, True], **more),
    "brier": metrics.brier_score_loss,
}
CONTINUOUS: dict[Any, Function] = {
    "absolute": metrics.mean_absolute_error,
    "squared": metrics.mean_squared_error,
    0.9: lambda y, p, **more: metrics.mean_pinball_loss(y, p, alpha=0.9, **more),
    0.25: lambda y, p, **more: metrics.mean_pinball_loss(y, p, alpha=0.25, **more),
}


def columns(rows: list[tuple[Any, ...]]) -> list[Any]:
    return [np.array(column) for column in zip(*rows, strict=True)]


def same(loss: Any, theirs: Callable[..., float], rows: list[tuple[Any, ...]]) -> None:
    y, champion, candidate, weight = columns(rows)
    before, after = theirs(y, champion), theirs(y, candidate)
    assert evaluate(y, champion, loss=loss).overall.value == exactly(before)
    change = compare(y, champion, candidate, loss=loss).overall
    assert change.value == exactly(after - before, before)
    if weight.any():
        found = evaluate(y, champion, loss=loss, weights=weight).overall.value
        assert found == exactly(theirs(y, champion, sample_weight=weight))


@pytest.mark.parametrize("loss", BINARY)
@given(binary)
def test_losses_of_probabilities_agree(loss: str, rows: list[tuple[Any, ...]]) -> None:
    same(loss, BINARY[loss], rows)


@pytest.mark.parametrize("loss", CONTINUOUS)
@given(continuous)
def test_losses_of_numbers_agree(loss: Any, rows: list[tuple[Any, ...]]) -> None:
    same(pinball(loss) if isinstance(loss, float) else loss, CONTINUOUS[loss], rows)


labels = st.sampled_from(["cat", "dog", "owl"])
animals = st.lists(st.tuples(labels, labels, labels, weights), min_size=1, max_size=60)
digits = st.lists(st.tuples(*[st.integers(0, 3)] * 3, weights), min_size=1, max_size=60)


@given(animals | digits)
def test_accuracies_agree(rows: list[tuple[Any, ...]]) -> None:
    same("accuracy", metrics.accuracy_score, rows)


@given(binary)
def test_areas_agree_and_one_class_is_unknown(rows: list[tuple[Any, ...]]) -> None:
    y, champion, candidate, _ = columns(rows)
    found = evaluate(y, champion, loss="roc_auc").overall
    change = compare(y, champion, candidate, loss="roc_auc").overall
    if y.all() or not y.any():
        for measurement in (found, change):
            assert math.isnan(measurement.value)
            assert measurement.low is measurement.high is measurement.p_value is None
            reason = f"y holds only {int(y[0])}: a ROC needs both classes"
            assert measurement.details["reason"] == reason
        verdict = not_worse(margin=0.1)(change)
        assert verdict.severity.name == "UNKNOWN"
        assert verdict.reason.endswith(reason)
        return
    before, after = metrics.roc_auc_score(y, champion), metrics.roc_auc_score(y, candidate)
    assert found.value == exactly(before)
    assert change.value == exactly(after - before)
    assert change.details["champion"] == exactly(before)
    assert change.details["candidate"] == exactly(after)


def test_a_constant_score_ranks_nothing() -> None:
    found = evaluate([0, 1] * 20, np.full(40, 0.3), loss="roc_auc").overall
    assert found.value == 0.5
    assert found.low is not None
    assert found.high is not None
    assert found.low < 0.35
    assert found.high > 0.65


@pytest.mark.parametrize(
    ("name", "metric"), [("f1", metrics.f1_score), ("kappa", metrics.cohen_kappa_score)]
)
def test_its_own_metrics_are_taken_as_they_are(name: str, metric: Function) -> None:
    rng = np.random.default_rng(5)
    y, said, other = rng.random((3, 300)) < 0.4
    y ^= rng.random(300) < 0.1
    ours = Metric(name, metric, better="higher")
    found = evaluate(y, y ^ said, loss=ours, rng=rng, resamples=100).overall
    assert found.value == metric(y, y ^ said)
    assert found.low is not None
    change = compare(y, y ^ said, y ^ other, loss=ours, rng=rng, resamples=100).overall
    assert change.value == metric(y, y ^ other) - metric(y, y ^ said)
    assert change.name == f"{name} change"
