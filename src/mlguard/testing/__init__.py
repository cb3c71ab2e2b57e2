"""The kit for testing guards, policies and checks: yours and ours."""

from __future__ import annotations

from mlguard.testing.conformance import check_check, check_policy
from mlguard.testing.doubles import ManualClock, RecordingSink, ScriptedCheck
from mlguard.testing.playing import play
from mlguard.testing.stores import check_store

__all__ = [
    "ManualClock",
    "RecordingSink",
    "ScriptedCheck",
    "check_check",
    "check_policy",
    "check_store",
    "play",
]
