"""A measure and a policy make a check; around it: shields, labels and waivers."""

from __future__ import annotations

import copy
import logging
import math
import pickle
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from mlguard import (
    Check,
    ConfigurationError,
    GuardBreached,
    Measurement,
    Severity,
    Verdict,
    Waiver,
    at_least,
    at_most,
    guard,
    labelled,
    measured,
    shielded,
    waived,
    worst,
)
from mlguard.testing import ManualClock, ScriptedCheck, check_check

P99 = measured("p99", 0.04, n=100)
WAIVER = Waiver("ada", "cold cache", until=1000.0)
OK, UNKNOWN, WARN, BREACH = Severity.OK, Severity.UNKNOWN, Severity.WARN, Severity.BREACH


def take_p99() -> Measurement:
    return P99


class Meter:
    def measure(self) -> Measurement:
        return P99


class NamedMeter(Meter):
    name = "latency"


def no_route() -> Measurement:
    raise ConnectionError("no route")


def warn_or_breach() -> Verdict:
    return worst("pair", ScriptedCheck("WARN"), ScriptedCheck("UNKNOWN"))()


# ---------------------------------------------------------------- guard


@pytest.mark.parametrize("measure", [P99, take_p99, Meter(), NamedMeter()])
def test_a_guard_takes_a_measurement_a_callable_or_a_meter(measure: Any) -> None:
    verdict = guard(measure, at_most(0.05))()
    assert (verdict.name, verdict.severity, verdict.evidence) == ("p99", OK, (P99,))
    assert guard(measure, at_most(0.05), name="mine")() == replace(verdict, name="mine")
    check_check(lambda: guard(measure, at_most(0.03)))


@pytest.mark.parametrize(
    ("measure", "name"),
    [(P99, "p99"), (take_p99, "take_p99"), (Meter(), "Meter"), (NamedMeter(), "latency")],
)
def test_a_guard_is_named_after_its_measure(measure: Any, name: str) -> None:
    assert guard(measure, at_most(1.0)).name == name
    assert guard(measure, at_most(1.0), name="mine").name == "mine"


def test_of_several_measurements_the_worst_decides() -> None:
    def slices() -> list[Measurement]:
        return [
            measured("auc", 0.8),
            measured("auc by night", 0.6),
            measured("auc by day", math.nan),
        ]

    verdict = guard(slices, at_least(0.7), name="every slice")()
    assert (verdict.name, verdict.severity, len(verdict.causes)) == ("every slice", BREACH, 3)
    assert verdict.reason == "1 BREACH (auc by night), 1 UNKNOWN (auc by day), 1 OK"
    assert guard(slices, at_least(0.7))().name == "slices"


def test_one_measurement_in_a_list_is_judged_like_one() -> None:
    assert guard(lambda: [P99], at_most(0.05))() == guard(P99, at_most(0.05))()


def test_nothing_measured_is_unknown() -> None:
    assert guard(list, at_most(0.05), name="slices")() == (
        Verdict("slices", UNKNOWN, "nothing was measured")
    )


@pytest.mark.parametrize(
    ("measure", "policy", "reason"),
    [
        (no_route, at_most(1.0), r"crashed: ConnectionError: no route"),
        (lambda: None, at_most(1.0), r"crashed: ConfigurationError: measure\(\) = None"),
        (lambda: 0.5, at_most(1.0), r"crashed: ConfigurationError: measure\(\) = 0.5"),
        (lambda: "p99", at_most(1.0), r"crashed: ConfigurationError: measure\(\) = 'p'"),
        (P99, lambda _: True, r"crashed: ConfigurationError: policy\(...\) = True: must be Verdict"),
        (lambda: [P99, P99], lambda _: None, r"crashed: ConfigurationError"),
        (P99, lambda: None, r"crashed: TypeError"),
    ],
    ids=["raises", "gives None", "gives a number", "gives text", "bool policy", "no verdict", "no argument"],
)  # fmt: skip
def test_a_crash_is_unknown_with_its_error_and_logged(
    measure: Any, policy: Any, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "mlguard"):
        verdict = guard(measure, policy, name="source")()
    assert (verdict.name, verdict.severity) == ("source", UNKNOWN)
    assert re.match(reason, verdict.reason)
    assert [(record.message, bool(record.exc_info)) for record in caplog.records] == [
        ("source crashed", True)
    ]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        pytest.param(lambda: guard(cast("Any", 0.5), at_most(1.0)), r"^measure = 0.5", id="number for a measure"),
        pytest.param(lambda: guard(P99, cast("Any", 0.5)), r"^policy = 0.5", id="number for a policy"),
        pytest.param(lambda: guard(P99, at_most(1.0), name=""), r"^name = ''", id="empty name"),
        pytest.param(lambda: shielded(cast("Any", 1)), r"^check = 1", id="no check to shield"),
        pytest.param(lambda: labelled(cast("Any", 1), a="b"), r"^check = 1", id="no check to label"),
        pytest.param(lambda: labelled(take_verdict, a=cast("Any", [1])), r"^subject\['a'\] = \[1\]", id="list for a label"),
        pytest.param(lambda: waived(take_verdict, cast("Any", "ada")), r"^waiver = 'ada'", id="no waiver"),
        pytest.param(lambda: waived(cast("Any", 1), WAIVER), r"^check = 1", id="no check to waive"),
    ],
)  # fmt: skip
def test_a_bad_argument_is_named(make: Callable[[], Check], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        make()


def take_verdict() -> Verdict:
    return Verdict("v", OK, "r")


# ---------------------------------------------------------------- shielded


def test_a_shield_turns_a_crash_into_unknown() -> None:
    def warehouse() -> Verdict:
        raise TimeoutError

    assert shielded(warehouse)() == Verdict("warehouse", UNKNOWN, "crashed: TimeoutError")


def test_a_shield_takes_a_stopped_gate_for_its_verdict() -> None:
    late = Verdict("p99", BREACH, "late")

    def gate() -> Verdict:
        raise GuardBreached(late)

    assert shielded(gate)() is late


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_a_shield_lets_the_user_out(stop: type[BaseException]) -> None:
    def interrupted() -> Verdict:
        raise stop

    with pytest.raises(stop):
        shielded(interrupted)()
    with pytest.raises(stop):
        guard(cast("Any", interrupted), at_most(1.0))()


# ---------------------------------------------------------------- labelled


def test_an_outer_label_replaces_an_inner_one_of_the_same_name() -> None:
    check = labelled(labelled(take_verdict, model="eta", version=7), version=8, name="n", check="c")
    assert check().subject == {"model": "eta", "version": "8", "name": "n", "check": "c"}
    assert check().severity is OK


def test_a_crash_is_labelled_too() -> None:
    assert labelled(cast("Check", no_route), model="eta")().subject == {"model": "eta"}


def test_a_labelled_check_is_copied_and_pickled() -> None:
    check = labelled(guard(P99, at_most(0.05)), model="eta")
    for copied in (copy.deepcopy(check), pickle.loads(pickle.dumps(check))):  # noqa: S301 -- our own
        assert copied() == check()


# ---------------------------------------------------------------- waived


def waive(check: Check, now: float) -> Verdict:
    return waived(check, WAIVER, clock=lambda: now)()


@pytest.mark.parametrize("severity", [WARN, BREACH])
def test_a_waiver_makes_a_breach_ok_and_keeps_both(severity: Severity) -> None:
    original = Verdict("p99", severity, "late", evidence=[P99], at=5.0, subject={"model": "eta"})
    verdict = waive(original, 999.9)
    assert verdict == Verdict(
        "p99",
        OK,
        "waived by ada, until 1970-01-01T00:16:40Z: cold cache",
        evidence=[P99],
        causes=[original, WAIVER],
        at=5.0,
        subject={"model": "eta"},
    )
    assert verdict.causes == (original, WAIVER)


@pytest.mark.parametrize("now", [1000.0, 1000.1, 1e9])
def test_a_waiver_is_over_at_its_end_and_the_reason_says_so(now: float) -> None:
    late = Verdict("p99", BREACH, "late")
    verdict = waive(late, now)
    assert (verdict.severity, verdict.causes) == (BREACH, ())
    assert verdict.reason == "late (waiver by ada ended 1970-01-01T00:16:40Z)"


@pytest.mark.parametrize("now", [0.0, 2000.0])
@pytest.mark.parametrize("check", [take_verdict, ScriptedCheck("UNKNOWN"), warn_or_breach])
def test_what_is_ok_or_in_doubt_is_left_as_it_is(check: Check, now: float) -> None:
    expected = check()
    verdict = waive(check, now)
    assert (verdict.severity, verdict.low, verdict.high) == (
        expected.severity,
        expected.low,
        expected.high,
    )
    assert "waive" not in verdict.reason


def test_the_clock_decides_and_is_unix_time_by_default() -> None:
    clock = ManualClock(999.0)
    check = waived(ScriptedCheck("BREACH"), WAIVER, clock=clock)
    assert check().ok
    clock.advance(1.0)
    assert not check().ok
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    assert waived(ScriptedCheck("BREACH"), Waiver("ada", "why", cast("Any", tomorrow)))().ok
    assert not waived(ScriptedCheck("BREACH"), Waiver("ada", "why", 1_600_000_000))().ok
