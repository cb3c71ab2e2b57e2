"""Limits include themselves, NaN is UNKNOWN, and the reason shows why."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, cast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mlguard import (
    ConfigurationError,
    Measurement,
    Policy,
    Severity,
    Verdict,
    at_least,
    at_most,
    between,
    measured,
    require,
)
from mlguard.testing import check_policy

UP, DOWN = math.nextafter(1.0, 2.0), math.nextafter(1.0, 0.0)
POLICIES: dict[str, Policy] = {
    "at_most": at_most(1.0, warn=0.8),
    "at_least": at_least(1.0, warn=1.2),
    "between": between(1.0, 2.0),
    "a point": between(1.0, 1.0),
    "require": require(10, at_most(1.0)),
}


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize(
    "extra", [math.inf, -math.inf, 0.9, 1.0, 1.1], ids=["inf", "-inf", "0.9", "1", "1.1"]
)
def test_every_policy_passes_the_conformance_suite(policy: str, extra: float) -> None:
    check_policy(
        lambda: POLICIES[policy], [Measurement("x", extra, n=12, at=3.0), measured("x", 1.0)]
    )


@pytest.mark.parametrize(
    ("policy", "value", "severity"),
    [
        ("at_most", 0.8, "OK"),
        ("at_most", math.nextafter(0.8, 1), "WARN"),
        ("at_most", 1.0, "WARN"),
        ("at_most", UP, "BREACH"),
        ("at_most", math.inf, "BREACH"),
        ("at_most", -math.inf, "OK"),
        ("at_least", 1.2, "OK"),
        ("at_least", math.nextafter(1.2, 1), "WARN"),
        ("at_least", 1.0, "WARN"),
        ("at_least", DOWN, "BREACH"),
        ("at_least", -math.inf, "BREACH"),
        ("between", 1.0, "OK"),
        ("between", 2.0, "OK"),
        ("between", DOWN, "BREACH"),
        ("between", math.nextafter(2.0, 3), "BREACH"),
        ("a point", 1.0, "OK"),
        ("a point", UP, "BREACH"),
        *((policy, math.nan, "UNKNOWN") for policy in POLICIES),
        *((policy, None, "UNKNOWN") for policy in POLICIES),
    ],
)
def test_the_limit_itself_is_fine_and_nan_is_unknown(
    policy: str, value: Any, severity: str
) -> None:
    assert POLICIES[policy](measured("x", value, n=100)).severity.name == severity


@pytest.mark.parametrize(
    ("make", "message"),
    [
        pytest.param(lambda: at_most(1.0, warn=1.0), r"^warn = 1.0: must be below limit = 1.0", id="at_most, warn at"),
        pytest.param(lambda: at_most(1.0, warn=2.0), r"^warn", id="at_most, warn above"),
        pytest.param(lambda: at_least(1.0, warn=1.0), r"^warn = 1.0: must be above limit = 1.0", id="at_least, warn at"),
        pytest.param(lambda: at_least(1.0, warn=0.5), r"^warn", id="at_least, warn below"),
        pytest.param(lambda: at_most(1.0, warn=math.nan), r"^warn = nan", id="warn nan"),
        pytest.param(lambda: at_least(1.0, warn=math.inf), r"^warn = inf", id="warn inf"),
        pytest.param(lambda: at_most(math.nan), r"^limit = nan: must be a finite number", id="limit nan"),
        pytest.param(lambda: at_least(math.inf), r"^limit = inf", id="limit inf"),
        pytest.param(lambda: at_most(cast("Any", "0.5")), r"^limit = '0.5'", id="limit text"),
        pytest.param(lambda: at_most(cast("Any", None)), r"^limit = None", id="limit none"),
        pytest.param(lambda: between(2.0, 1.0), r"^low = 2.0: must be at most high = 1.0", id="between turned round"),
        pytest.param(lambda: between(1.0, math.nan), r"^high = nan", id="between nan"),
        pytest.param(lambda: require(0, at_most(1.0)), r"^n = 0: must be a whole number of at least 1", id="require 0"),
        pytest.param(lambda: require(cast("Any", 1.5), at_most(1.0)), r"^n = 1.5", id="require 1.5"),
        pytest.param(lambda: require(5, cast("Any", 0.5)), r"^policy = 0.5", id="require no policy"),
    ],
)  # fmt: skip
def test_a_bad_argument_is_named(make: Callable[[], Policy], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        make()


@pytest.mark.parametrize(
    ("policy", "measurement", "reason"),
    [
        (at_most(0.05), measured("p99", 0.061, n=4210, unit="s"), "p99 = 61 ms, n = 4,210: above the limit of 50 ms"),
        (at_most(0.05), measured("p99", 0.05, unit="s"), "p99 = 50 ms: at most 50 ms"),
        (at_most(2, warn=1), measured("lag", 1.5, unit="s"), "lag = 1.5 s: above the warning line of 1 s"),
        (at_least(0.7), Measurement("roc_auc", 0.68, low=0.66, high=0.7), "roc_auc = 0.68 (0.66 to 0.7): below the limit of 0.7"),
        (at_least(0.7), measured("recall", 0.71), "recall = 0.71: at least 0.7"),
        (between(0.1, 0.3), measured("rate", 0.2, unit="share"), "rate = 20 %: at most 30 % and at least 10 %"),
        (between(0.1, 0.3), measured("rate", 0.3001, unit="share"), "rate = 30.01 %: above the limit of 30 %"),
        (between(0.1, 0.3), measured("rate", 0.05, unit="share"), "rate = 5 %: below the limit of 10 %"),
        (at_most(1e6), measured("spend", 1_234_567, unit="USD"), "spend = 1,234,567 USD: above the limit of 1,000,000 USD"),
        (at_most(5), measured("x", math.inf), "x = infinity: above the limit of 5"),
        (at_most(5), measured("x", math.nan), "x = not a number: it could not be measured"),
        (at_most(5), Measurement("auc", math.nan, details={"reason": "one class only"}), "auc = not a number: one class only"),
        (require(500, at_most(5)), measured("x", 1, n=12), "x = 1, n = 12: 500 observations are required"),
        (require(1500, at_most(5)), measured("x", 1), "x = 1: its n is not known and 1,500 are required"),
        # As many digits as it takes to tell the value from the limit.
        (at_most(0.05), measured("p99", 0.0500001, unit="s"), "p99 = 50.0001 ms: above the limit of 50 ms"),
        (at_least(1.0), measured("uptime", 0.99999999, unit="s"), "uptime = 999.99999 ms: below the limit of 1 s"),
        (at_least(86400), measured("bake", 86399, unit="s"), "bake = 23.9997 h: below the limit of 1 d"),
        (at_least(1000), measured("rows", 999.9999), "rows = 999.9999: below the limit of 1,000"),
    ],
)  # fmt: skip
def test_the_reason_reads_well(policy: Policy, measurement: Measurement, reason: str) -> None:
    verdict = policy(measurement)
    assert verdict.reason == reason
    assert verdict.name == measurement.name


FACTORS = {"": 1.0, "%": 0.01, "ns": 1e-9, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}  # fmt: skip


def read(text: str) -> float:
    number, _, unit = text.replace(",", "").partition(" ")
    return float(number) * FACTORS[unit]


limits = st.sampled_from([1e-6, 0.001, 0.05, 0.3, 1.0, 60.0, 999.9, 1000.0, 86400.0, 1e15, -2.5, 0.0]) | st.floats(-1e18, 1e18)  # fmt: skip


@example(limit=1.0, steps=-1, unit="s")
@example(limit=60.0, steps=-1, unit="s")
@example(limit=1e15, steps=-1, unit="")
@given(limit=limits, steps=st.integers(-3, 3).filter(bool) | st.floats(-1.0, 1.0).filter(bool), unit=st.sampled_from(["", "s"]))  # fmt: skip
def test_a_value_off_its_limit_never_reads_like_the_limit(
    limit: float, steps: float, unit: str
) -> None:
    if isinstance(steps, int):
        value = limit
        for _ in range(abs(steps)):
            value = math.nextafter(value, math.copysign(math.inf, steps))
    else:
        value = limit + limit * steps * 1e-4
    verdict: Verdict = at_most(limit)(measured("x", value, unit=unit))
    shown, line = verdict.reason.removeprefix("x = ").split(": ")
    if value == limit:
        return
    words = "above the limit of " if value > limit else "at most "
    assert line.startswith(words)
    assert shown != line.removeprefix(words)
    assert (read(shown) > read(line.removeprefix(words))) is (value > limit) or abs(
        value / limit - 1
    ) < 1e-14


def test_a_policy_keeps_the_measurement_and_its_time() -> None:
    measurement = Measurement("x", 2.0, at=7.0)
    for policy in (at_most(1.0), at_least(1.0), require(5, at_most(1.0))):
        assert (policy(measurement).evidence, policy(measurement).at) == ((measurement,), 7.0)


@pytest.mark.parametrize(("n", "severity"), [(9, "UNKNOWN"), (10, "OK"), (11, "OK")])
def test_the_required_number_itself_is_enough(n: int, severity: str) -> None:
    assert POLICIES["require"](measured("x", 0.5, n=n)).severity.name == severity


def test_policies_are_values() -> None:
    assert at_most(1) == at_most(1.0)
    assert at_most(1.0) != at_least(1.0)
    assert len({require(5, at_most(1.0)), require(5, at_most(1.0))}) == 1


@pytest.mark.parametrize(
    ("low", "high", "severity", "possible"),
    [
        (0.03, 0.05, Severity.OK, (Severity.OK, Severity.OK)),
        (0.051, 0.06, Severity.BREACH, (Severity.BREACH, Severity.BREACH)),
        (0.04, 0.06, Severity.UNKNOWN, (Severity.OK, Severity.BREACH)),
        (None, None, Severity.UNKNOWN, (Severity.OK, Severity.BREACH)),
    ],
)
def test_a_proven_limit_judges_the_whole_interval(
    low: float | None,
    high: float | None,
    severity: Severity,
    possible: tuple[Severity, Severity],
) -> None:
    taken = Measurement("p99", 0.045, unit="s", n=900, low=low, high=high)
    verdict = at_most(0.05, rule="proven")(taken)
    assert verdict.severity is severity
    assert (verdict.low, verdict.high) == possible


def test_a_proven_warning_line_in_doubt_is_no_more_than_a_warning() -> None:
    taken = Measurement("auc", 0.75, n=900, low=0.71, high=0.79)
    verdict = at_least(0.7, warn=0.75, rule="proven")(taken)
    assert (verdict.low, verdict.high) == (Severity.OK, Severity.WARN)
    assert verdict.reason.endswith("its interval contains the warning line of 0.75")


def test_an_unknown_rule_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="rule = 'surely': must be"):
        at_most(1.0, rule="surely")  # type: ignore[arg-type]
