"""A detector is a check: what it says, and to whom it is of use."""

from __future__ import annotations

import json

import numpy as np
import pytest

from mlguard import ConfigurationError, Keyed, Severity, at_most, guard, strict, worst
from mlguard.drift.streams import PageHinkley, ScanGLR
from mlguard.testing import check_check


def found() -> ScanGLR:
    rng = np.random.default_rng(1)
    detector = ScanGLR()
    detector.observe_many(np.r_[rng.normal(size=500), rng.normal(2.0, 1.0, 100)])
    return detector


def test_it_is_unknown_then_ok_then_a_breach_until_the_reset() -> None:
    detector = ScanGLR()
    rng = np.random.default_rng(1)
    assert (detector().severity, detector().name) == (Severity.UNKNOWN, "changes")
    assert detector().reason.endswith(": warm-up")
    detector.observe_many(rng.normal(size=500))
    assert detector().severity is Severity.OK
    assert detector().reason == "changes = 0, n = 500: stable"
    detector.observe_many(rng.normal(2.0, 1.0, 100))
    verdict = detector()
    assert verdict.severity is Severity.BREACH
    assert verdict.reason == f"{detector.measure()}: {detector.changes[-1]}"
    assert verdict.evidence == (detector.measure(),)
    detector.observe_many(rng.normal(2.0, 1.0, 5_000))
    assert detector().severity is Severity.BREACH
    detector.reset()
    assert detector().severity is Severity.UNKNOWN


def test_a_warning_is_a_warning() -> None:
    rng = np.random.default_rng(1)
    detector = ScanGLR(warn_every=100)
    detector.observe_many(rng.normal(size=500))
    seen = set()
    for x in rng.normal(0.7, 1.0, 60).tolist():
        detector.observe(x)
        if not detector.changes:
            seen.add((detector.status, detector().severity))
    assert seen <= {("stable", Severity.OK), ("warning", Severity.WARN)}
    assert ("warning", Severity.WARN) in seen


def test_a_starved_one_is_unknown_also_in_the_strict_sense() -> None:
    detector = ScanGLR()
    detector.observe_many(np.r_[np.random.default_rng(1).normal(size=500), np.full(100, np.nan)])
    assert detector().severity is Severity.UNKNOWN
    assert detector().reason.endswith(": starved")
    assert strict(detector)().severity is Severity.BREACH


@pytest.mark.parametrize("make", [ScanGLR, PageHinkley, found])
def test_it_keeps_what_a_check_must(make: type[ScanGLR]) -> None:
    check_check(make())


def test_it_says_what_a_policy_of_no_change_says() -> None:
    for detector in (ScanGLR(), found()):
        assert guard(detector, at_most(0))().severity is detector().severity
    assert worst("streams", found(), PageHinkley())().severity is Severity.BREACH


def keyed(**more: object) -> Keyed[ScanGLR]:
    return Keyed(lambda: ScanGLR(false_alarm_every=10_000), by="tenant", **more)  # type: ignore[arg-type]


def test_a_family_is_the_worst_over_its_keys() -> None:
    rng = np.random.default_rng(2)
    tenants = keyed(name="tenants")
    assert tenants().severity is Severity.UNKNOWN
    for key in ("acme", "bold", "cosy"):
        tenants[key].observe_many(rng.normal(size=400))
    assert tenants().severity is Severity.OK
    tenants["bold"].observe_many(rng.normal(3.0, 1.0, 40))
    tenants["dull"]  # made, and never fed
    verdict = tenants()
    assert verdict.severity is Severity.BREACH
    assert verdict.reason == "1 BREACH (changes[tenant=bold]), 2 OK"
    names = [each.name for each in tenants.measure()]
    assert names == [f"changes[tenant={key}]" for key in ("acme", "bold", "cosy", "dull")]


def test_a_family_is_bounded_and_the_rest_share_one() -> None:
    tenants = keyed(max_keys=2)
    for key in ("a", "b", "c", "d", "x" * 300):
        tenants[key].observe(1.0)
    assert {key: each.measure().n for key, each in tenants.items()} == {"a": 1, "b": 1, "other": 3}


def test_a_young_key_leaves_it_unknown_but_hides_no_change() -> None:
    tenants = keyed()
    tenants["old"].observe_many(np.random.default_rng(1).normal(size=400))
    tenants["new"].observe(1.0)
    assert tenants().severity is Severity.UNKNOWN
    tenants["old"].observe_many(np.random.default_rng(1).normal(4.0, 1.0, 40))
    assert tenants().severity is Severity.BREACH


def test_a_family_goes_on_after_a_restart_as_if_there_was_none() -> None:
    rng = np.random.default_rng(3)
    first = keyed(max_keys=3)
    for key in ("a", "b", "c", "d"):
        first[key].observe_many(rng.normal(size=200))
    text = json.dumps({key: each.state() for key, each in first.items()})
    second = keyed(max_keys=3)
    for key, state in json.loads(text).items():
        second[key] = ScanGLR(false_alarm_every=10_000).from_state(state)
    for key, level in (("a", 1.0), ("d", 1.0), ("e", -1.0)):  # the last two are one stream
        values = rng.normal(level, 1.0, 200)
        assert first[key].observe_many(values) == second[key].observe_many(values) != []
    assert list(first) == list(second) == ["a", "b", "c", "other"]
    assert first().reason == second().reason


@pytest.mark.parametrize("key", [None, 1, "x" * 201, "c"])
def test_no_more_can_be_put_back_than_there_is_room_for(key: str) -> None:
    tenants = keyed(max_keys=2)
    for each in ("a", "b", "b", "other"):
        tenants[each] = ScanGLR()
    with pytest.raises(ConfigurationError, match=r"^key = "):
        tenants[key] = ScanGLR()
    assert list(tenants) == ["a", "b", "other"]
