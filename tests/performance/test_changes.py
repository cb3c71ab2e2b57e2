"""Changes: from the estimate to what came, and from a reference period to now."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from mlguard import ConfigurationError, Measurement, Severity, Verdict, guard
from mlguard.performance import (
    Estimate,
    Evaluation,
    Outcomes,
    SlicedEstimate,
    change_from,
    evaluate,
    not_worse,
    realised_minus_estimated,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

RNG = np.random.default_rng(6)
N = 4_000
SCORE = RNG.beta(1.0, 2.0, N)
Y = RNG.random(N) < SCORE
ESTIMATE = Estimate.fit(Y, SCORE)
DAY = 86_400.0


def metric(value: float, low: float | None = None, high: float | None = None, **more: Any) -> Any:
    name = more.pop("name", "accuracy")
    details = {"better": "higher", **more.pop("details", {})}
    confidence = None if low is None else more.pop("confidence", 0.95)
    more = {"n": 200, "confidence": confidence} | more
    return Measurement(name, value, low=low, high=high, details=details, **more)


def estimated_as(
    value: float, low: float | None = None, high: float | None = None, **more: Any
) -> Any:
    return metric(value, low, high, details={"assumes": "no drift"}, **more)


def change(reference: Any, current: Any) -> Measurement:
    (found,) = change_from(reference, current)()
    return found


# Realised minus estimated.


def test_the_difference_has_the_interval_of_the_estimate_where_the_rows_are_the_same() -> None:
    estimated = ESTIMATE.estimate(SCORE)["brier"]
    realised = evaluate(Y, SCORE, loss="brier").overall
    found = realised_minus_estimated(realised, estimated)
    assert found.name == "brier realised − estimated"
    assert found.value == realised.value - estimated.value
    assert estimated.low is not None
    assert estimated.high is not None
    assert found.low == pytest.approx(realised.value - estimated.high)
    assert found.high == pytest.approx(realised.value - estimated.low)
    assert not_worse(margin=0.01)(found).severity is Severity.OK


def test_the_difference_takes_in_both_intervals_where_the_rows_differ() -> None:
    estimated = ESTIMATE.estimate(SCORE)["brier"]
    same = realised_minus_estimated(evaluate(Y, SCORE, loss="brier").overall, estimated)
    part = realised_minus_estimated(
        evaluate(Y[:2_000], SCORE[:2_000], loss="brier").overall, estimated
    )
    assert part.low is not None
    assert part.high is not None
    assert same.low is not None
    assert same.high is not None
    assert part.high - part.low > same.high - same.low


def test_a_concept_change_is_seen_by_the_truth_and_not_by_the_estimate() -> None:
    rng = np.random.default_rng(2)
    score = rng.beta(1.0, 2.0, 3_000)
    y = rng.random(3_000) < np.sqrt(score)
    estimated = ESTIMATE.estimate(score)["log_loss"]
    before = evaluate(Y, SCORE, loss="log_loss").overall.value
    assert estimated.value == pytest.approx(before, abs=0.02)
    found = realised_minus_estimated(evaluate(y, score, loss="log_loss").overall, estimated)
    assert found.low is not None
    assert found.low > 0.0
    assert not_worse(margin=0.02)(found).severity is Severity.BREACH


def test_what_has_no_difference_says_why() -> None:
    estimated = ESTIMATE.estimate(SCORE)["brier"]
    nothing = evaluate([], [], loss="brier").overall
    assert realised_minus_estimated(nothing, estimated).details["reason"] == "there are no rows"
    few = evaluate(Y[:5], SCORE[:5], loss="brier").overall
    assert "no interval" in realised_minus_estimated(few, estimated).details["reason"]
    bare = Measurement("brier", 0.1, n=5, details={"assumes": "much", "better": "lower"})
    assert realised_minus_estimated(few, bare).details["reason"] == "the estimate has no interval"
    with pytest.raises(ConfigurationError, match="same metric"):
        realised_minus_estimated(evaluate(Y, SCORE, loss="log_loss").overall, estimated)
    realised = evaluate(Y, SCORE, loss="brier").overall
    with pytest.raises(ConfigurationError, match=r"what Estimate\.estimate gave"):
        realised_minus_estimated(realised, realised)


def test_the_arithmetic_of_what_came_less_what_was_estimated() -> None:
    realised, estimated = metric(0.8, 0.76, 0.83), estimated_as(0.9, 0.88, 0.95, confidence=0.9)
    same = realised_minus_estimated(realised, estimated)
    assert same.value == pytest.approx(-0.1)
    assert (same.low, same.high) == pytest.approx((0.8 - 0.95, 0.8 - 0.88))
    assert same.confidence == 0.9
    assert (same.n, same.details["better"]) == (200, "higher")
    assert (same.details["estimated"], same.details["realised"]) == (0.9, 0.8)
    other = realised_minus_estimated(realised, estimated_as(0.9, 0.88, 0.95, n=300))
    low = -0.1 - math.hypot(0.8 - 0.76, 0.95 - 0.9)
    high = -0.1 + math.hypot(0.83 - 0.8, 0.9 - 0.88)
    assert (other.low, other.high) == pytest.approx((low, high))


def test_a_slice_is_compared_with_the_estimate_for_its_rows() -> None:
    region = np.where(np.arange(N) % 2, "north", "south")
    estimate = SlicedEstimate.fit(Y, SCORE, {"region": region}, bins=10)
    estimated = estimate.estimate(SCORE, {"region": region})["brier"]
    evaluation = evaluate(Y, SCORE, loss="brier", by={"region": region})
    for guess, realised in zip(estimated, evaluation(), strict=True):
        found = realised_minus_estimated(realised, guess)
        assert found.name == f"{realised.name} realised − estimated"
        assert found.confidence == guess.confidence
        assert found.value == pytest.approx(0.0, abs=0.002)
    north = evaluation.slices["region=north"]
    alone = ESTIMATE.estimate(SCORE[region == "north"])["brier"]
    assert realised_minus_estimated(north, alone).low is not None
    with pytest.raises(ConfigurationError, match="same metric"):
        realised_minus_estimated(north, estimated[2])


def test_its_reason_says_estimated_and_realised() -> None:
    found = realised_minus_estimated(metric(0.7, n=200), estimated_as(0.9, 0.88, 0.95))
    assert not_worse(margin=0.05)(found).reason == (
        "accuracy realised − estimated = -0.2 (-0.25 to -0.18), n = 200 "
        "(estimated 0.9, realised 0.7): worse by more than 0.05"
    )


def test_it_keeps_the_time_of_what_came() -> None:
    found = realised_minus_estimated(metric(0.7, at=1_700_000_000), estimated_as(0.9, 0.8, 1.0))
    assert found.at == 1_700_000_000


# From a reference period.


def test_the_arithmetic_of_a_change_between_two_samples() -> None:
    found = change(
        [metric(0.9, 0.87, 0.92, n=500)],
        metric(0.8, 0.75, 0.84, confidence=0.9, at=1_700_000_000, details={"slice": "a=b"}),
    )
    assert found.name == "accuracy current − reference"
    assert found.value == pytest.approx(-0.1)
    assert found.low == pytest.approx(-0.1 - math.hypot(0.05, 0.02))
    assert found.high == pytest.approx(-0.1 + math.hypot(0.04, 0.03))
    assert (found.n, found.confidence, found.at) == (200, 0.9, 1_700_000_000)
    assert found.details == {
        "better": "higher",
        "slice": "a=b",
        "reference": 0.9,
        "current": 0.8,
    }


def test_a_yardstick_without_an_interval_is_known_exactly() -> None:
    found = change([metric(0.9)], metric(0.8, 0.75, 0.84))
    assert (found.low, found.high) == pytest.approx((-0.15, -0.06))
    narrower = change([metric(0.9, 0.9, 0.9)], metric(0.8, 0.75, 0.84))
    assert (narrower.low, narrower.high) == pytest.approx((found.low, found.high))


def test_no_change_is_none() -> None:
    found = change([metric(0.9, 0.8, 1.0)], metric(0.9, 0.8, 1.0))
    assert found.value == 0.0
    assert found.low == -found.high == pytest.approx(-math.hypot(0.1, 0.1))  # type: ignore[operator]


def test_the_unit_is_kept() -> None:
    assert change([metric(3.0, unit="s")], metric(4.0, 3.5, 4.5, unit="s")).unit == "s"


NAN = math.nan


@pytest.mark.parametrize(
    ("reference", "current", "reason"),
    [
        ([], metric(0.8, 0.7, 0.9), "the reference has no accuracy, or too few rows of it"),
        (
            [metric(0.8, name="recall")],
            metric(0.8, 0.7, 0.9),
            "the reference has no accuracy, or too few rows of it",
        ),
        (
            [],
            metric(NAN, details={"reason": "too few"}),
            "too few",
        ),
        ([metric(0.9)], metric(NAN, details={"reason": "too few"}), "too few"),
        ([metric(NAN, details={"reason": "none"})], metric(0.8, 0.7, 0.9), "none"),
        (
            [metric(NAN, details={"reason": "before"})],
            metric(NAN, details={"reason": "now"}),
            "now",
        ),
        ([metric(NAN)], metric(0.8, 0.7, 0.9), "the difference of the two has no value"),
        ([metric(0.9)], metric(0.8), "accuracy has no interval"),
        ([metric(0.9, 0.8, 1.0)], metric(0.8), "accuracy has no interval"),
    ],
)
def test_what_has_no_change_says_why(
    reference: Sequence[Measurement], current: Measurement, reason: str
) -> None:
    found = change(reference, current)
    assert found.details["reason"] == reason
    assert found.low is found.high is found.confidence is None
    verdict = guard(change_from(reference, current), not_worse(margin=0.5))()
    assert verdict.severity is Severity.UNKNOWN
    assert verdict.reason.endswith(f": {reason}")


def test_without_a_value_there_is_no_number() -> None:
    for reference, current in (([], metric(0.8, 0.7, 0.9)), ([metric(0.9)], metric(NAN))):
        assert math.isnan(change(reference, current).value)


def test_one_unknown_slice_makes_the_whole_unknown() -> None:
    now = [metric(0.9, 0.89, 0.91), metric(0.9, 0.89, 0.91, name="accuracy[r=new]")]
    verdict = guard(change_from([metric(0.9)], lambda: now), not_worse(margin=0.05))()
    assert verdict.severity is Severity.UNKNOWN
    assert "the reference has no accuracy[r=new]" in verdict.explain()


def test_a_metric_that_is_better_the_other_way_is_an_error() -> None:
    measure = change_from([metric(0.9, details={"better": "lower"})], metric(0.8, 0.7, 0.9))
    with pytest.raises(ConfigurationError, match=r"better of accuracy = 'higher'.* 'lower'"):
        measure()
    verdict = guard(measure, not_worse(margin=0.05))()
    assert verdict.severity is Severity.UNKNOWN
    assert verdict.reason.startswith("crashed: ConfigurationError: better of accuracy")


def test_a_measure_that_crashes_is_unknown() -> None:
    def warehouse() -> Measurement:
        raise ConnectionError("no route")

    verdict = guard(change_from([metric(0.9)], warehouse), not_worse(margin=0.05))()
    assert verdict.severity is Severity.UNKNOWN
    assert "ConnectionError: no route" in verdict.reason
    with pytest.raises(ConnectionError):
        change_from(warehouse, metric(0.9))


def test_a_measure_of_something_else_is_an_error() -> None:
    odd: Any = lambda: [0.9]  # noqa: E731 -- no measure
    with pytest.raises(ConfigurationError, match=r"measure\(\) = 0.9"):
        change_from([metric(0.9)], odd)()


def test_nothing_measured_is_unknown() -> None:
    verdict = guard(change_from([metric(0.9)], list), not_worse(margin=0.05))()
    assert verdict.severity is Severity.UNKNOWN


@pytest.mark.parametrize(
    ("reference", "measure", "message"),
    [
        ([metric(0.9), metric(0.8)], metric(0.9), "reference = 'two of accuracy'"),
        ([0.9], metric(0.9), "reference = 0.9: must be Measurement"),
        ("accuracy", metric(0.9), "reference = 'accuracy'"),
        (0.9, metric(0.9), "reference = 0.9: must be a measurement, a callable"),
        (None, metric(0.9), "reference = None"),
        ({"accuracy": metric(0.9)}, metric(0.9), "reference = {"),
        ([metric(0.9)], 0.9, "measure = 0.9: must be a measurement, a callable"),
        ([metric(0.9)], [metric(0.9)], r"measure = \["),
        ([metric(0.9)], None, "measure = None"),
        (lambda: [metric(0.9), metric(0.9)], metric(0.9), "two of accuracy"),
        (lambda: [0.9], metric(0.9), r"measure\(\) = 0.9"),
    ],
)
def test_bad_arguments_are_named(reference: Any, measure: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        change_from(reference, measure)


def test_the_reference_is_asked_once_and_the_metric_each_time() -> None:
    asked: list[str] = []

    def measure(name: str) -> Any:
        def asking() -> Any:
            asked.append(name)
            return metric(0.9, 0.8, 1.0)

        return asking

    changed = change_from(measure("then"), measure("now"))
    changed()
    changed()
    assert asked == ["then", "now", "now"]


def test_its_reason_says_reference_and_current() -> None:
    check = guard(change_from(metric(0.9), metric(0.7, 0.65, 0.75)), not_worse(margin=0.05))
    verdict = check()
    assert verdict.severity is Severity.BREACH
    assert verdict.reason == (
        "accuracy current − reference = -0.2 (-0.25 to -0.15), n = 200 "
        "(reference 0.9, current 0.7): worse by more than 0.05"
    )


@pytest.mark.parametrize("better", ["higher", "lower"])
def test_it_is_judged_in_its_own_direction(better: str) -> None:
    more: Any = {"details": {"better": better}}
    sign = 1.0 if better == "higher" else -1.0
    before = metric(0.5, **more)
    worse, same = 0.5 - 0.1 * sign, 0.5 + 0.1 * sign
    for value, expected in ((worse, Severity.BREACH), (same, Severity.OK)):
        now = metric(value, value - 0.01, value + 0.01, **more)
        assert guard(change_from(before, now), not_worse(margin=0.05))().severity is expected


def test_evaluations_are_compared_by_slice() -> None:
    level = np.where(np.arange(N) % 2, "a", "b")
    then = evaluate(Y, SCORE, loss="brier", by={"r": level})
    later = np.where(level == "a", 1.0 - SCORE, SCORE)
    now = evaluate(Y, later, loss="brier", by={"r": level})
    found = change_from(then, now)()
    names = ["brier", "brier[r=a]", "brier[r=b]"]
    assert [each.name for each in found] == [f"{name} current − reference" for name in names]
    for each, current, known in zip(found, now(), then(), strict=True):
        assert each.value == current.value - known.value
        assert each.confidence == current.confidence
        ends: Any = (current.low, current.high, known.low, known.high)
        wide = math.hypot(current.value - ends[0], ends[3] - known.value)
        assert each.low == pytest.approx(each.value - wide)
    check = guard(change_from(then, now), not_worse(margin=0.05), name="brier")
    verdict = check()
    severities = {
        cause.name: cause.severity for cause in verdict.causes if isinstance(cause, Verdict)
    }
    assert severities[f"{names[1]} current − reference"] is Severity.BREACH
    assert severities[f"{names[2]} current − reference"] is Severity.OK
    assert verdict.severity is Severity.BREACH


def test_late_labels_are_compared_with_the_reference_of_the_estimate() -> None:
    region = np.where(np.arange(N) % 2, "north", "south")
    estimate = SlicedEstimate.fit(Y, SCORE, {"region": region}, bins=10)
    outcomes = Outcomes(
        timedelta(days=3), loss="brier", slices=["region"], clock=lambda: 20.0 * DAY
    )
    check = guard(change_from(estimate.reference["brier"], outcomes), not_worse(margin=0.02))
    assert check().severity is Severity.UNKNOWN
    assert "no mature predictions" in check().reason
    outcomes.add(
        {
            "id": np.arange(N),
            "predicted_at": np.full(N, 14.0 * DAY),
            "prediction": SCORE,
            "region": region,
            "labelled_at": np.full(N, 15.0 * DAY),
            "label": np.where(region == "south", ~Y, Y).astype(float),
        }
    )
    verdict = check()
    severities = [cause.severity for cause in verdict.causes if isinstance(cause, Verdict)]
    assert severities == [Severity.BREACH, Severity.OK, Severity.BREACH]
    found = change_from(estimate.reference["brier"], outcomes)()
    for each, realised, known in zip(
        found, outcomes.measure(), estimate.reference["brier"], strict=True
    ):
        assert each.value == realised.value - known.value
        assert each.low == pytest.approx((realised.low or 0.0) - known.value)
        assert each.details["coverage"] == 1.0


def test_small_slices_of_then_and_now_are_others_and_are_left_to_the_whole() -> None:
    rng = np.random.default_rng(8)
    right = {"a": 0.6, "b": 0.95, "c": 0.8}

    def judged(sizes: dict[str, int]) -> Evaluation:
        level = np.repeat([*sizes], [*sizes.values()])
        hit = rng.random(len(level)) < np.array([right[each] for each in level])
        return evaluate(np.ones(len(level)), hit.astype(int), loss="accuracy", by={"r": level})

    then, now = judged({"a": 5_000, "b": 90, "c": 5_000}), judged({"a": 95, "b": 95, "c": 5_000})
    names = [each.details.get("slice") for each in change_from(then, now)()]
    assert names == [None, "r=c"]


def test_infinite_metrics_have_no_change_and_no_crash() -> None:
    endless = Measurement("m", math.inf, n=9, details={"better": "lower", "assumes": "x"})
    for change in (realised_minus_estimated(endless, endless), change_from(endless, endless)()[0]):
        assert math.isnan(change.value)
        assert change.details["reason"] == "the difference of the two has no value"
