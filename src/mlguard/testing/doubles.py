"""Clocks, checks and sinks that a test holds in its hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlguard.arguments import finite, member, refusal
from mlguard.locks import Locked
from mlguard.values import Decision, Severity, Verdict

if TYPE_CHECKING:
    from datetime import timedelta


class ManualClock(Locked):
    """A clock that moves only when it is pushed. Thread-safe.

    Args:
        start: First reading, in seconds.

    Examples:
        >>> clock = ManualClock(start=100.0)
        >>> clock.advance(2.5)
        >>> clock()
        102.5
    """

    __slots__ = ("_now",)

    def __init__(self, start: float = 0.0) -> None:
        super().__init__()
        self._now = finite("start", start)

    def __call__(self) -> float:
        return self._now

    def advance(self, seconds: float | timedelta) -> None:
        """Move the clock; a negative step sets it back, as a wall clock may be.

        Raises:
            ConfigurationError: `seconds` is not a finite number or a timedelta.
        """
        step = seconds.total_seconds() if hasattr(seconds, "total_seconds") else seconds
        with self._lock:
            self._now += finite("seconds", step)


class ScriptedCheck(Locked):
    """A check that gives the severities of a script, one a call, and repeats the last.

    Thread-safe: each call takes the next entry.

    Args:
        script: Names of severities, separated by spaces: "OK OK BREACH UNKNOWN".
        name: Of the verdicts.

    Raises:
        ConfigurationError: The script is empty or names no severity.

    Examples:
        >>> check = ScriptedCheck("OK BREACH")
        >>> [check().severity.name for _ in range(3)]
        ['OK', 'BREACH', 'BREACH']
    """

    __slots__ = ("_asked", "_script", "name")

    def __init__(self, script: str, *, name: str = "scripted") -> None:
        super().__init__()
        if not isinstance(script, str) or not script.split():
            raise refusal("script", script, 'names of severities, such as "OK OK BREACH"')
        self._script = tuple(member(Severity, "script", word) for word in script.split())
        self._asked = 0
        self.name = name

    def __call__(self) -> Verdict:
        with self._lock:
            step = min(self._asked, len(self._script) - 1)
            self._asked += 1
        return Verdict(self.name, self._script[step], f"entry {step + 1} of the script")


class RecordingSink:
    """A sink that keeps the decisions it was given, in order. Thread-safe.

    Examples:
        >>> from mlguard import Action, Decision
        >>> sink = RecordingSink()
        >>> sink(Decision(Action.HOLD, "no data"))
        >>> sink.decisions[0].reason
        'no data'
    """

    __slots__ = ("decisions",)

    def __init__(self) -> None:
        self.decisions: list[Decision] = []

    def __call__(self, decision: Decision) -> None:
        self.decisions.append(decision)
