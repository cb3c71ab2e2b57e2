"""Asking a check never raises, and always gives a verdict with a name and a reason."""

from __future__ import annotations

import logging
from functools import partial
from typing import Any, cast

import pytest

from mlguard import GuardUnknown, Severity, Verdict
from mlguard.checks import ask, checked, crashed, name_for
from mlguard.testing import ScriptedCheck


class Blank:
    name = " "

    def __call__(self) -> None:
        return None


class Speechless(Exception):  # noqa: N818 -- a name for a test
    def __str__(self) -> str:
        raise RuntimeError


def fails() -> Verdict:
    raise LookupError("nothing there")


@pytest.mark.parametrize(
    ("source", "name"),
    [
        (fails, "fails"),
        (ScriptedCheck("OK", name="mine"), "mine"),
        (ScriptedCheck("OK", name=""), "ScriptedCheck"),
        (Blank(), "Blank"),
        (Blank, "Blank"),
        (partial(fails), "partial"),
        (lambda: None, "<lambda>"),
    ],
)
def test_a_check_is_named_after_itself_its_function_or_its_class(source: Any, name: str) -> None:
    assert name_for(source) == name


@pytest.mark.parametrize(
    ("check", "name", "reason"),
    [
        (fails, "fails", "crashed: LookupError: nothing there"),
        (Blank(), "Blank", "crashed: TypeError: it gave None, not a verdict"),
        (partial(str, "x" * 99), "partial", f"crashed: TypeError: it gave '{'x' * 76}..., not a verdict"),
        (partial(cast("Any", fails), 1), "partial", "crashed: TypeError: fails() takes 0 positional arguments but 1 was given"),
    ],
    ids=["raises", "gives None", "gives a long text", "takes no such argument"],
)  # fmt: skip
def test_a_crash_is_unknown_and_says_why(check: Any, name: str, reason: str) -> None:
    assert ask(check) == Verdict(name, Severity.UNKNOWN, reason)


def test_a_check_that_stopped_with_a_verdict_has_given_it() -> None:
    unsure = Verdict("a", Severity.UNKNOWN, "no rows")

    def gate() -> Verdict:
        return unsure.raise_for_breach()

    with pytest.raises(GuardUnknown):
        gate()
    assert ask(gate) is unsure


def test_an_error_that_cannot_speak_still_gives_a_reason() -> None:
    assert crashed("a", Speechless()).reason == "crashed: Speechless: (it cannot say why)"


def test_the_traceback_goes_to_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "mlguard"):
        ask(fails)
    (record,) = caplog.records
    assert (record.name, record.levelname, record.message) == (
        "mlguard",
        "WARNING",
        "fails crashed",
    )
    assert "LookupError: nothing there" in caplog.text


def test_a_checked_check_is_itself() -> None:
    assert checked(fails) is fails
