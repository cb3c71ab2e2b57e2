"""The conformance suites let good policies and checks pass and catch each way to be bad."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from typing import Any

import pytest

from mlguard import (
    Measurement,
    Policy,
    Severity,
    Verdict,
    at_least,
    at_most,
    between,
    measured,
    require,
    worst,
)
from mlguard.testing import ScriptedCheck, check_check, check_policy


class Unreadable(Verdict):
    """A verdict of a kind that nobody can read back."""

    __slots__ = ()

    def to_dict(self) -> dict[str, Any]:
        return {**super().to_dict(), "colour": "red"}


GOOD = at_most(0.5)


def but(**change: Any) -> Callable[[], Policy]:
    return lambda: lambda measurement: replace(GOOD(measurement), **change)


def counting() -> Callable[[], Policy]:
    calls = count()

    def make() -> Policy:
        return lambda measurement: replace(GOOD(measurement), reason=f"call {next(calls)}")

    return make


def blind(measurement: Measurement) -> Verdict:
    verdict = GOOD(measurement)
    if math.isnan(measurement.value):
        return replace(verdict, severity=Severity.OK, low=Severity.OK, high=Severity.OK)
    return verdict


def unreadable(measurement: Measurement) -> Verdict:
    v = GOOD(measurement)
    return Unreadable(v.name, v.severity, v.reason, evidence=v.evidence, at=v.at)


@pytest.mark.parametrize(
    ("make", "fault"),
    [
        pytest.param(lambda: lambda _: True, "is not a Verdict", id="a bool"),
        pytest.param(lambda: lambda _: None, "is not a Verdict", id="nothing"),
        pytest.param(but(reason=" \n"), "has no reason", id="no reason"),
        pytest.param(but(evidence=()), "has not kept its evidence", id="no evidence"),
        pytest.param(but(evidence=(measured("another", 1.0),)), "has not kept its evidence", id="other evidence"),
        pytest.param(but(at=None), "has not kept at = 1.0", id="no time"),
        pytest.param(but(at=1.0), "has not kept at = 2.0", id="another time"),
        pytest.param(counting(), "differs when judged anew", id="a memory shared by all"),
        pytest.param(lambda: blind, "must be UNKNOWN: value is NaN", id="blind to NaN"),
        pytest.param(lambda: unreadable, "does not survive JSON", id="unreadable"),
    ],
)  # fmt: skip
def test_a_bad_policy_is_caught(make: Callable[[], Policy], fault: str) -> None:
    with pytest.raises(AssertionError, match=f"{fault}$"):
        check_policy(make)


def test_a_policy_is_tried_on_the_measurements_of_the_user_too() -> None:
    def bad_at_seven(measurement: Measurement) -> Verdict:
        return replace(GOOD(measurement), reason="" if measurement.value == 7 else "r")

    check_policy(lambda: bad_at_seven)
    with pytest.raises(AssertionError, match="has no reason"):
        check_policy(lambda: bad_at_seven, [measured("x", 6.0), measured("x", 7.0)])


@pytest.mark.parametrize(
    "make",
    [
        lambda: at_most(0.5, warn=0.4),
        lambda: at_least(0.5),
        lambda: between(0.0, 1.0),
        lambda: require(5, at_most(0.5)),
    ],
    ids=["at_most", "at_least", "between", "require"],
)
def test_our_policies_pass(make: Callable[[], Policy]) -> None:
    check_policy(make, [measured("x", math.inf), measured("x", 0.5, n=3)])


CALLS = count()


@pytest.mark.parametrize(
    ("make", "fault"),
    [
        pytest.param(lambda: lambda: True, "is not a Verdict", id="a bool"),
        pytest.param(lambda: lambda: Verdict("v", Severity.OK, ""), "has no reason", id="no reason"),
        pytest.param(lambda: lambda: Unreadable("v", Severity.OK, "r"), "does not survive JSON", id="unreadable"),
        pytest.param(lambda: lambda: Verdict("v", Severity.OK, f"{next(CALLS)}"), "differs when asked anew", id="a memory shared by all"),
    ],
)  # fmt: skip
def test_a_bad_check_is_caught(make: Callable[[], Any], fault: str) -> None:
    with pytest.raises(AssertionError, match=f"{fault}$"):
        check_check(make)


def test_a_good_check_passes() -> None:
    check_check(lambda: ScriptedCheck("WARN OK"))
    check_check(lambda: worst("w", ScriptedCheck("UNKNOWN"), Verdict("v", Severity.OK, "r")))
