"""Metrics say what they measure and which way is better."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mlguard import ConfigurationError
from mlguard.performance import (
    Metric,
    absolute,
    accuracy,
    brier,
    evaluate,
    log_loss,
    pinball,
    roc_auc,
    squared,
)


@pytest.mark.parametrize(
    ("metric", "name", "better"),
    [
        (accuracy, "accuracy", "higher"),
        (log_loss, "log_loss", "lower"),
        (brier, "brier", "lower"),
        (absolute, "absolute", "lower"),
        (squared, "squared", "lower"),
        (roc_auc, "roc_auc", "higher"),
        (pinball(0.95), "pinball_0.95", "lower"),
    ],
)
def test_each_has_a_name_and_a_way(metric: Metric, name: str, better: str) -> None:
    assert (metric.name, metric.better) == (name, better)
    found = evaluate([0, 1] * 10, [0, 1] * 10, loss=metric).overall
    assert found.name == name
    assert found.details["better"] == better


@pytest.mark.parametrize(
    "name", ["accuracy", "log_loss", "brier", "absolute", "squared", "roc_auc"]
)
def test_a_name_is_as_good_as_the_metric(name: str) -> None:
    from mlguard import performance

    y, said = [0, 1] * 10, [0, 1, 1, 1] * 5
    assert evaluate(y, said, loss=name)() == evaluate(y, said, loss=getattr(performance, name))()


def test_the_area_of_a_metric_alone_is_a_number() -> None:
    y = np.array([False, True, True])
    assert roc_auc.of(y, np.array([0.1, 0.1, 0.9])) == 0.75
    assert np.isnan(roc_auc.of(y[1:], np.array([0.1, 0.9])))


def test_a_certain_and_wrong_score_costs_much_but_not_infinitely() -> None:
    found = evaluate([1] * 10 + [0] * 10, [0.0] * 10 + [1.0] * 10, loss="log_loss").overall
    assert found.value == pytest.approx(36.04, abs=0.01)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("", max, "lower"), "name = '': must be a string that is not empty"),
        (("m", 3, "lower"), r"of = 3: must be a callable \(y, prediction\)"),
        (("m", max, "up"), 'better = \'up\': must be "lower" or "higher"'),
    ],
)
def test_a_metric_that_makes_no_sense_is_refused(given: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^{message}$"):
        Metric(*given)


@pytest.mark.parametrize("quantile", [0.0, 1.0, -0.1, 95, float("nan")])
def test_a_quantile_lies_between_0_and_1(quantile: float) -> None:
    with pytest.raises(ConfigurationError, match=r"^quantile = .*: must be between 0 and 1"):
        pinball(quantile)


def test_a_callable_of_rows_is_averaged_and_named_after_itself() -> None:
    def overshoot(y: Any, said: Any) -> Any:
        return np.maximum(said - y, 0.0)

    found = evaluate(np.zeros(20), [-1.0, 3.0] * 10, loss=overshoot).overall
    assert (found.name, found.value, found.details["better"]) == ("overshoot", 1.5, "lower")


def test_a_callable_may_take_predictions_of_any_shape() -> None:
    def top(y: Any, said: Any) -> Any:
        return said.argmax(axis=1) == y

    said = np.eye(3)[[0, 1, 2, 2] * 5]
    found = evaluate([0, 1, 2, 0] * 5, said, loss=Metric("top", top, "higher")).overall
    assert found.value == 0.75
    assert found.low is not None
