"""Checks and time."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from mlguard.arguments import seconds
from mlguard.checks import ask, checked, name_for
from mlguard.locks import Locked

if TYPE_CHECKING:
    from mlguard.protocols import Check, Clock
    from mlguard.values import Verdict


class Cached(Locked):
    """A check whose verdict is kept for `ttl`, whoever asks. Thread-safe; state is per process.

    While one thread asks anew, the others get the last verdict for at most another `ttl`; with no
    verdict younger than that, each caller asks for itself. A copy starts without a verdict. A clock
    that is set back by less than `ttl` keeps a verdict that much longer; by more, it ends it.
    """

    __slots__ = (
        "_asked",
        "_asking",
        "_clock",
        "_kept",
        "_turns",
        "_verdict",
        "check",
        "name",
        "ttl",
    )

    def __init__(self, check: Check, ttl: float, clock: Clock) -> None:
        super().__init__()
        self.name = name_for(check)
        self.ttl = ttl
        self.check = check
        self._clock = clock
        self._verdict: Verdict | None = None
        self._asked = 0.0
        self._kept = 0  # turn of the evaluation that gave the verdict
        self._asking = 0  # turn of the newest evaluation under way, or 0
        self._turns = 0

    def __reduce__(self) -> tuple[Any, ...]:
        return Cached, (self.check, self.ttl, self._clock)

    def __call__(self) -> Verdict:
        now = self._clock()
        with self._lock:
            age = now - self._asked  # negative too if another read the clock later and was first
            kept_for = 2 * self.ttl if self._asking else self.ttl
            if self._verdict is not None and -self.ttl < age < kept_for:
                return self._verdict
            self._turns += 1
            turn = self._asking = self._turns
        verdict = None
        try:
            verdict = ask(self.check)
        finally:
            with self._lock:
                if self._asking == turn:
                    self._asking = 0
                if verdict is not None and turn > self._kept:  # else a later one was quicker
                    self._verdict, self._asked, self._kept = verdict, now, turn
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
