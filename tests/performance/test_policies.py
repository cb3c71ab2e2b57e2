"""not_worse and better judge the whole interval, in the metric's own direction."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest

from mlguard import ConfigurationError, Measurement, Severity
from mlguard.performance import better, evaluate, not_worse
from mlguard.testing import check_policy

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlguard.protocols import Policy

OK, UNKNOWN, BREACH = Severity.OK, Severity.UNKNOWN, Severity.BREACH


def change(
    low: float | None, high: float | None, way: str | None = "higher", **more: Any
) -> Measurement:
    value = more.pop("value", math.nan if low is None or high is None else (low + high) / 2.0)
    details = {} if way is None else {"better": way, "champion": 0.7, "candidate": 0.8}
    return Measurement("auc change", value, n=100, low=low, high=high, details=details, **more)


@pytest.mark.parametrize(
    ("low", "high", "keeps", "gains"),
    [
        (0.01, 0.03, OK, OK),
        (0.0, 0.03, OK, UNKNOWN),
        (-0.005, 0.03, OK, UNKNOWN),
        (-0.01, 0.03, OK, UNKNOWN),  # the limit itself is fine
        (-0.02, 0.03, UNKNOWN, UNKNOWN),
        (-0.02, 0.0, UNKNOWN, BREACH),  # no gain at all is not better
        (-0.02, -0.005, UNKNOWN, BREACH),
        (-0.02, -0.01, UNKNOWN, BREACH),
        (-0.03, -0.02, BREACH, BREACH),
    ],
)
def test_they_judge_the_whole_interval(
    low: float, high: float, keeps: Severity, gains: Severity
) -> None:
    for way, ends in (("higher", (low, high)), ("lower", (-high, -low))):
        assert not_worse(margin=0.01)(change(*ends, way)).severity is keeps
        assert better()(change(*ends, way)).severity is gains


@pytest.mark.parametrize("policy", [not_worse(margin=0.01), better()], ids=["not_worse", "better"])
@pytest.mark.parametrize(
    ("measurement", "why"),
    [
        (change(None, None), "it could not be measured"),
        (change(None, None, value=0.1), "it has no interval to judge"),
        (change(None, 0.1, value=0.1), "it has no interval to judge"),
        (change(0.1, 0.2, value=math.nan), "it could not be measured"),
        (change(0.1, 0.2, None), "it is no change: use compare() or change_from()"),
        (evaluate([0, 1] * 50, [0.2, 0.7] * 50, loss="brier").overall, "or change_from()"),
    ],
    ids=["nothing", "no interval", "half an interval", "no value", "no way", "no change"],
)
def test_what_cannot_be_judged_is_unknown(
    policy: Policy, measurement: Measurement, why: str
) -> None:
    verdict = policy(measurement)
    assert verdict.severity is UNKNOWN
    assert verdict.reason.endswith(why)
    assert verdict.evidence == (measurement,)


def test_a_doubt_says_how_many_rows_would_settle_it() -> None:
    reason = not_worse(margin=0.01)(change(-0.02, 0.02)).reason
    assert "neither proven nor refuted" in reason
    assert "(n = 400 or so would settle it)" in reason  # half the width, so four times the rows
    assert "settle" not in not_worse(margin=0.0)(change(-0.02, 0.02)).reason


@pytest.mark.parametrize(
    "make", [lambda: not_worse(margin=0.1), lambda: better(margin=0.1)], ids=["not_worse", "better"]
)
def test_they_keep_the_rules_of_policies(make: Callable[[], Policy]) -> None:
    check_policy(make, [change(-0.2, 0.0), change(0.2, 0.3, "lower"), change(0.0, 0.0)])


@pytest.mark.parametrize("make", [not_worse, better])
@pytest.mark.parametrize("margin", [-0.01, math.nan, math.inf, "a lot", None])
def test_a_margin_is_a_size(make: Callable[..., Policy], margin: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^margin = "):
        make(margin=margin)
