"""Asking a check, whatever it does."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mlguard.arguments import instances, refusal, shown
from mlguard.errors import GuardBreached, GuardUnknown
from mlguard.values import Measurement, Severity, Verdict

if TYPE_CHECKING:
    from mlguard.protocols import Check

_logger = logging.getLogger("mlguard")
_CRASHED = "crashed: "


def ask(check: Check) -> Verdict:
    """Ask a check and never raise: a crash is UNKNOWN with the error in its reason."""
    try:
        verdict: object = check()
    except (GuardBreached, GuardUnknown) as stopped:
        verdict = stopped.verdict
    except Exception as error:  # noqa: BLE001 -- a check may crash in any way
        return crashed(name_for(check), error)
    if isinstance(verdict, Verdict):
        return verdict
    return crashed(name_for(check), TypeError(f"it gave {shown(verdict)}, not a verdict"))


def crashed(name: str, error: Exception) -> Verdict:
    """Give the verdict for a check that crashed, and log the traceback."""
    _logger.warning("%s crashed", name, exc_info=error)
    try:
        words = str(error)
    except Exception:  # noqa: BLE001 -- an error may even fail to say what it is
        words = "(it cannot say why)"
    reason = f"{_CRASHED}{type(error).__name__}" + (f": {words}" if words else "")
    return Verdict(name, Severity.UNKNOWN, reason)


def crashes_in(verdict: Verdict) -> list[Verdict]:
    """Find the verdicts of checks that crashed, in a verdict and all its causes."""
    inside = (cause for cause in verdict.causes if isinstance(cause, Verdict))
    found = [each for cause in inside for each in crashes_in(cause)]
    if verdict.severity is Severity.UNKNOWN and verdict.reason.startswith(_CRASHED):
        found.insert(0, verdict)
    return found


def name_for(source: object) -> str:
    """Name a check or a measure: by its own name, else that of its function or class."""
    for attribute in ("name", "__name__"):
        try:
            name = getattr(source, attribute, None)
        except Exception:  # noqa: BLE001 -- a property of the user's may crash in any way
            name = None
        if isinstance(name, str) and name.strip():
            return name
    return type(source).__name__


def taken_of(taken: object) -> tuple[Measurement, ...]:
    """Read what a measure gave: a measurement, several, or some by name."""
    if isinstance(taken, Measurement):
        return (taken,)
    several: Any = taken.values() if isinstance(taken, Mapping) else taken
    return instances((Measurement,), "measure()", several)


def judged(value: Verdict | Check) -> Verdict:
    """Give a verdict as it is, or ask a check for one."""
    if isinstance(value, Verdict):
        return value
    if not callable(value):
        raise refusal("verdict", value, "a verdict or a check")
    return ask(value)


def checked(check: Check) -> Check:
    """Refuse what is no check."""
    if not callable(check):
        raise refusal("check", check, "a callable without arguments that gives a verdict")
    return check
