"""Combinators: what they refuse, and what their verdicts carry and say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest

from mlguard import (
    Check,
    ConfigurationError,
    Severity,
    Verdict,
    best,
    lenient,
    measured,
    quorum,
    strict,
    worst,
)
from mlguard.testing import ScriptedCheck, check_check


def says(script: str, name: str = "scripted") -> ScriptedCheck:
    return ScriptedCheck(script, name=name)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        pytest.param(lambda: worst("w"), r"^checks = .*an empty gate would pass everything", id="empty worst"),
        pytest.param(lambda: best("b"), r"^checks", id="empty best"),
        pytest.param(lambda: quorum(1, "q"), r"^checks", id="empty quorum"),
        pytest.param(lambda: worst(" ", says("OK")), r"^name", id="blank name"),
        pytest.param(lambda: worst(cast("Any", says("OK")), says("OK")), r"^name", id="forgotten name"),
        pytest.param(lambda: best("b", cast("Any", 1)), r"^check = 1", id="number for a check"),
        pytest.param(lambda: quorum(0, "q", says("OK")), r"^k = 0: must be between 1 and", id="k = 0"),
        pytest.param(lambda: quorum(2, "q", says("OK")), r"^k = 2", id="k above n"),
        pytest.param(lambda: quorum(cast("Any", 1.5), "q", says("OK")), r"^k = 1.5", id="k = 1.5"),
        pytest.param(lambda: strict(cast("Any", None)), r"^check = None", id="strict nothing"),
        pytest.param(lambda: lenient(cast("Any", "x")), r"^check = 'x'", id="lenient text"),
    ],
)  # fmt: skip
def test_a_bad_argument_is_named(make: Callable[[], Check], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        make()


SIX = [
    says("OK", "a"),
    says("OK", "b"),
    says("WARN", "c"),
    *(says("BREACH", name) for name in "defgh"),
]


@pytest.mark.parametrize(
    ("check", "reason"),
    [
        (worst("w", *SIX[:2]), "all 2 OK"),
        (worst("w", *SIX), "5 BREACH (d, e, f, g and 1 more), 1 WARN (c), 2 OK"),
        (worst("w", SIX[0], says("UNKNOWN", "u")), "1 UNKNOWN (u), 1 OK"),
        (best("b", *SIX[:3]), "1 of 3 must be OK: 1 WARN (c), 2 OK (a, b)"),
        (quorum(2, "q", *SIX[1:4]), "2 of 3 must be OK: 1 BREACH (d), 1 WARN (c), 1 OK (b)"),
    ],
)
def test_the_reason_counts_and_names_the_causes(check: Check, reason: str) -> None:
    assert check().reason == reason


def test_all_checks_are_asked_and_kept_as_causes_in_their_order() -> None:
    verdict = worst("w", says("BREACH", "a"), says("OK", "b"), says("BREACH", "c"))()
    causes = [cause for cause in verdict.causes if isinstance(cause, Verdict)]
    assert [(cause.name, cause.severity.name) for cause in causes] == [("a", "BREACH"), ("b", "OK"), ("c", "BREACH")]  # fmt: skip


def test_the_verdict_is_as_new_as_its_newest_cause() -> None:
    old, new, timeless = (Verdict("v", Severity.OK, "r", at=at) for at in (1.0, 2.0, None))
    assert worst("w", new, old, timeless)().at == 2.0
    assert worst("w", timeless)().at is None


def test_what_is_settled_says_so_and_keeps_its_evidence_and_the_verdict_in_doubt() -> None:
    doubt = Verdict("p99", Severity.UNKNOWN, "no rows", evidence=[measured("p99", 1.0)], at=5.0, subject={"model": "eta"})  # fmt: skip
    verdict = strict(doubt)()
    assert verdict.reason == "in doubt, so BREACH at the high end: no rows"
    assert (verdict.causes, verdict.evidence, verdict.at, verdict.subject) == (
        (doubt,),
        doubt.evidence,
        5.0,
        {"model": "eta"},
    )
    assert lenient(doubt)().reason == "in doubt, so OK at the low end: no rows"


def test_a_verdict_without_doubt_passes_through_strict_and_lenient_as_it_is() -> None:
    sure = Verdict("p99", Severity.WARN, "r")
    assert strict(sure)() is lenient(sure)() is sure


def test_checks_are_named_after_what_they_wrap() -> None:
    assert strict(lenient(says("OK", "inner"))).name == "inner"


def test_combinators_keep_the_rules_of_a_check() -> None:
    check_check(
        lambda: worst("w", says("OK"), strict(says("UNKNOWN")), quorum(1, "q", says("BREACH")))
    )
