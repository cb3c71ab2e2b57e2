"""The clock, the check and the sink that a test holds in its hand."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from mlguard import Action, ConfigurationError, Decision
from mlguard.testing import ManualClock, RecordingSink, ScriptedCheck


def test_a_manual_clock_moves_only_when_pushed_and_back_too() -> None:
    clock = ManualClock(10)
    assert [clock(), clock()] == [10.0, 10.0]
    for step in (2.5, timedelta(minutes=1), -12.5):
        clock.advance(step)
    assert clock() == 60.0


@pytest.mark.parametrize("step", [float("nan"), float("inf"), "5", None])
def test_a_bad_step_leaves_the_clock_as_it_was(step: Any) -> None:
    clock = ManualClock(10.0)
    with pytest.raises(ConfigurationError, match=r"^seconds"):
        clock.advance(step)
    clock.advance(1.0)
    assert clock() == 11.0


def test_a_scripted_check_follows_its_script_and_repeats_the_last_entry() -> None:
    check = ScriptedCheck("OK WARN\tBREACH\nUNKNOWN", name="drift")
    verdicts = [check() for _ in range(6)]
    assert [verdict.severity.name for verdict in verdicts] == [
        "OK",
        "WARN",
        "BREACH",
        *["UNKNOWN"] * 3,
    ]
    assert {verdict.name for verdict in verdicts} == {"drift"}
    assert verdicts[1].reason == "entry 2 of the script"


@pytest.mark.parametrize("script", ["", "  ", "OK FINE", "ok", None, ["OK"]])
def test_a_bad_script_is_refused(script: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^script"):
        ScriptedCheck(script)


def test_a_recording_sink_keeps_what_it_was_given_in_order() -> None:
    sink = RecordingSink()
    given = [Decision(Action.HOLD, "no data"), Decision(Action.ALERT, "drift")]
    for decision in given:
        sink(decision)
    assert sink.decisions == given
