"""Suites that a policy or check of your own must pass to compose with the rest."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

from mlguard.values import Measurement, Severity, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from mlguard.protocols import Check, Policy


def check_policy(make: Callable[[], Policy], measurements: Iterable[Measurement] = ()) -> None:
    """Assert that a policy keeps the rules: call it from a test.

    It must give a verdict for every measurement, say UNKNOWN for NaN, keep the measurement as
    evidence and its time as `at`, give a reason, judge the same again when made anew, and
    its verdicts must survive JSON.

    Args:
        make: Makes the policy; called more than once.
        measurements: What to judge, besides a plain and an unmeasurable one.

    Raises:
        AssertionError: A rule is broken; the message says which.

    Examples:
        >>> from mlguard import at_most
        >>> check_policy(lambda: at_most(0.05))
    """
    unmeasurable = Measurement("conformance", math.nan, at=1.0)
    plain = Measurement("conformance", 1.0, n=1_000_000, low=0.9, high=1.1, at=2.0)
    for measurement in (unmeasurable, plain, *measurements):
        verdict = make()(measurement)
        _check_verdict(verdict)
        _must(measurement in verdict.evidence, verdict, "has not kept its evidence")
        _must(verdict.at == measurement.at, verdict, f"has not kept at = {measurement.at}")
        _must(make()(measurement) == verdict, verdict, "differs when judged anew")
        if math.isnan(measurement.value):
            _must(verdict.severity is Severity.UNKNOWN, verdict, "must be UNKNOWN: value is NaN")


def check_check(make: Callable[[], Check]) -> None:
    """Assert that a check keeps the rules: call it from a test.

    It must give a verdict with a reason that survives JSON, and the same again when made anew.

    Args:
        make: Makes the check; called more than once.

    Raises:
        AssertionError: A rule is broken; the message says which.

    Examples:
        >>> from mlguard import at_most, guard, measured
        >>> check_check(lambda: guard(measured("p99", 0.04), at_most(0.05)))
    """
    verdict = make()()
    _check_verdict(verdict)
    _must(make()() == verdict, verdict, "differs when asked anew")


def _check_verdict(verdict: Verdict) -> None:
    _must(isinstance(verdict, Verdict), verdict, "is not a Verdict")
    _must(bool(verdict.reason.strip()), verdict, "has no reason")
    _must(_survives_json(verdict), verdict, "does not survive JSON")


def _survives_json(verdict: Verdict) -> bool:
    try:
        wire = json.dumps(verdict.to_dict(), allow_nan=False)
        return Verdict.from_dict(json.loads(wire)) == verdict
    except (TypeError, ValueError):
        return False


def _must(rule: bool, verdict: object, fault: str) -> None:  # noqa: FBT001 -- an assertion
    if not rule:
        raise AssertionError(f"{verdict!r} {fault}")
