"""Checks and time."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING

from mlguard.arguments import seconds
from mlguard.checks import ask, checked, name_for
from mlguard.locks import Locked

if TYPE_CHECKING:
    from mlguard.protocols import Check, Clock
    from mlguard.values import Verdict


class Cached(Locked):
    """A check asked at most once per `ttl`, whoever asks. Thread-safe; state is per process.

    While one thread asks anew, the others get the last verdict for at most another `ttl`.
    """

    __slots__ = ("_asked", "_asking", "_check", "_clock", "_verdict", "name", "ttl")

    def __init__(self, check: Check, ttl: float, clock: Clock) -> None:
        super().__init__()
        self.name = name_for(check)
        self.ttl = ttl
        self._check = check
        self._clock = clock
        self._verdict: Verdict | None = None
        self._asked = 0.0
        self._asking = False

    def __call__(self) -> Verdict:
        now = self._clock()
        with self._lock:
            age = now - self._asked
            fresh = 0.0 <= age < self.ttl
            waiting = self._asking and 0.0 <= age < 2 * self.ttl
            if self._verdict is not None and (fresh or waiting):
                return self._verdict
            self._asking = True
        try:
            verdict = ask(self._check)
        finally:
            with self._lock:
                self._asking = False
        with self._lock:
            if self._verdict is None or now >= self._asked:
                self._verdict, self._asked = verdict, now
        return verdict


def cached(check: Check, ttl: float | timedelta, *, clock: Clock = time.monotonic) -> Cached:
    """Make a check that keeps its verdict for `ttl`: for a check on a hot path.

    Args:
        check: The check. A crash is UNKNOWN, and is kept like any verdict.
        ttl: How long a verdict is kept, in seconds or as a timedelta, counted from when the
            check was asked.
        clock: In seconds; monotonic by default.

    Raises:
        ConfigurationError: `check` is not callable or `ttl` is not positive and finite.

    Examples:
        >>> from mlguard.testing import ManualClock, ScriptedCheck
        >>> clock = ManualClock()
        >>> check = cached(ScriptedCheck("OK BREACH"), ttl=5.0, clock=clock)
        >>> [check().severity.name, check().severity.name]
        ['OK', 'OK']
        >>> clock.advance(5.0)
        >>> check().severity.name
        'BREACH'
    """
    return Cached(checked(check), seconds("ttl", ttl), clock)
