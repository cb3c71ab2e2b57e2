"""The kit for testing guards, policies and checks: yours and ours."""

from __future__ import annotations

from mlguard.testing.conformance import check_check, check_policy
from mlguard.testing.doubles import ManualClock, RecordingSink, ScriptedCheck
from mlguard.testing.playing import play
from mlguard.testing.stores import check_store
from mlguard.testing.streams import Evaluation, Metronome, Stream, evaluate, stream

__all__ = [
    "Evaluation",
    "ManualClock",
    "Metronome",
    "RecordingSink",
    "ScriptedCheck",
    "Stream",
    "check_check",
    "check_policy",
    "check_store",
    "evaluate",
    "play",
    "stream",
]
