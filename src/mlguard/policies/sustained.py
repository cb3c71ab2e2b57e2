"""A check that reports what has lasted, and not what has just happened."""

from __future__ import annotations

import math
from collections.abc import Mapping
from copy import copy
from typing import TYPE_CHECKING, Any, Literal, Self, TypeAlias, get_args

from mlguard.arguments import finite, refusal
from mlguard.checks import ask, checked, name_for
from mlguard.clocks import unix_clock
from mlguard.locks import Locked
from mlguard.policies.hysteresis import Remembering
from mlguard.policies.persistence import (
    NOTHING,
    Held,
    Persistence,
    believable,
    held_from,
    persistence,
)
from mlguard.records import iso
from mlguard.values import Severity, Verdict, severity_of

if TYPE_CHECKING:
    from datetime import timedelta

    from mlguard.protocols import Check, Clock

Unknown: TypeAlias = Literal["own", "keep", "fire", "resolve"]
"""What an evaluation without an answer means."""

_LEVELS = (Severity.WARN, Severity.BREACH)


class Sustained(Locked):
    """A check whose severity has lasted. Thread-safe; per process, and kept by `state()`.

    WARN and BREACH have a memory each: the result is BREACH once BREACH has lasted, and WARN once
    WARN or worse has. The check is asked without a lock; an answer that comes after a newer one is
    not remembered.
    """

    __slots__ = ("_clock", "_held", "_stamp", "check", "name", "terms", "unknown")

    def __init__(self, check: Check, terms: Persistence, unknown: Unknown, clock: Clock) -> None:
        super().__init__()
        self.check = check
        self.name = name_for(check)
        self.terms = terms
        self.unknown = unknown
        self._clock = clock
        self._held: tuple[Held, Held] = (NOTHING, NOTHING)
        self._stamp: float | None = None

    def __call__(self) -> Verdict:
        verdict = ask(self.check)
        with self._lock:
            before, now = self._held, self._clock()
            verdict = believable(verdict, now)
            at = self._time_of(verdict, now)
            answers = [self._answer(verdict, level) for level in _LEVELS]
            warn, breach = (
                held if answer is None else self.terms.step(held, answer, at)
                for held, answer in zip(before, answers, strict=True)
            )
            self._held = warn, breach
            if self._held != before and (verdict.at is not None or self._stamp is not None):
                self._stamp = now
        if isinstance(self.check, Remembering):
            self.check.led(alarm=warn.firing or breach.firing)
        return self._verdict(verdict, answers, (warn, breach))

    def _time_of(self, verdict: Verdict, now: float) -> float:
        if verdict.at is not None:
            return verdict.at
        newest = max((held.at for held in self._held if held.at is not None), default=None)
        if newest is None:
            return now
        if self._stamp is not None:  # a crash among event times, which may lie far behind the clock
            return newest + max(now - self._stamp, 0.0)
        if self.terms.every is not None:
            return now
        return max(now, math.nextafter(newest, math.inf))  # each asking counts

    def _answer(self, verdict: Verdict, level: Severity) -> bool | None:
        if verdict.low >= level:
            return True
        if verdict.high < level:
            return False
        return {"fire": True, "resolve": False}.get(self.unknown)

    def _verdict(
        self, verdict: Verdict, answers: list[bool | None], held: tuple[Held, Held]
    ) -> Verdict:
        low = high = Severity.OK
        for level, answer, memory in zip(_LEVELS, answers, held, strict=True):
            if memory.firing and (answer is not None or self.unknown == "keep"):
                low = high = level
            elif answer is None and self.unknown == "own":
                high = level
        return Verdict(
            self.name,
            severity_of(low, high),
            f"{self._words(verdict, low, held)}: {verdict.reason}",
            causes=(verdict,),
            at=verdict.at,
            subject=verdict.subject,
            low=low,
            high=high,
        )

    def _words(self, verdict: Verdict, low: Severity, held: tuple[Held, Held]) -> str:
        terms, now = self.terms, verdict.severity.name
        if low is not Severity.OK:
            start = held[_LEVELS.index(low)].start
            since = "" if start is None else f" since {iso(start)}"
            kept = f", kept though it is {now} now" if verdict.low < low else ""
            return f"{low.name}{since}{kept}"
        needed = [f"{terms.k} of {terms.of} evaluations"] if terms.of > 1 else []
        needed += [f"{terms.for_:g} s"] if terms.for_ else []
        for level, memory in zip(_LEVELS[::-1], held[::-1], strict=True):
            if needed and memory.since is not None and not memory.firing:
                count = memory.recent.bit_count()
                so_far = f" in {count} of them" if terms.of > 1 else ""
                first = "" if now == level.name else f"{now}, "
                since = iso(memory.since)
                return f"{first}{level.name}{so_far} since {since}, needed {' and '.join(needed)}"
        return now

    def state(self) -> dict[str, Any]:
        """Give what is remembered, as plain JSON."""
        with self._lock:
            (warn, breach), stamp = self._held, self._stamp
        memory = {"warn": list(warn), "breach": list(breach), "stamp": stamp}
        return {"kind": "sustained", "schema": 1, **memory}

    def from_state(self, state: Mapping[str, Any]) -> Self:
        """Make the same check with what another remembered: after a restart it goes on.

        Raises:
            ConfigurationError: This is no state of a sustained check.
        """
        known = state if isinstance(state, Mapping) else {}
        if (known.get("kind"), known.get("schema")) != ("sustained", 1):
            raise refusal("state", state, "what state() of a sustained check gave")
        other = copy(self)
        other._held = held_from(known.get("warn")), held_from(known.get("breach"))
        stamp = known.get("stamp")
        other._stamp = None if stamp is None else finite("state", stamp)
        return other


def sustained(
    check: Check,
    *,
    k: int = 1,
    of: int | None = None,
    every: float | timedelta | None = None,
    for_: float | timedelta = 0.0,
    keep: float | timedelta = 0.0,
    unknown: Unknown = "own",
    clock: Clock | None = None,
) -> Sustained:
    """Make a check that alarms when its check has done so for a while, and stays so for a while.

    It begins with the evaluation by which the check was bad in at least `k` of the last `of` and
    without a break for `for_`, and ends when neither that is so nor the check was bad within
    `keep`. Fewer than `k` evaluations never alarm.

    Around a guard with `hysteresis`, `enter` is the line until this alarms, and `exit` as long as
    it does.

    The memory advances once for each distinct `at` of the verdict, or once a slot with `every`: an
    endpoint, a middleware and an exporter that all ask it count once. A verdict without `at` has
    the time of the clock, and without `every` each asking counts; a crash among verdicts with `at`
    comes as long after the newest of them as the clock has gone on. One whose `at` is more than a
    day ahead of the clock is UNKNOWN, or nothing after it would count.

    Args:
        check: The check. A crash is UNKNOWN.
        k: Bad evaluations that are needed.
        of: Among the last so many; `k` in a row when not given.
        every: Length of a slot, in seconds or as a timedelta, where evaluations come all the time:
            the first of each slot counts, and an empty slot is not bad.
        for_: How long without a break, counted between the event times of evaluations; exactly
            that long is enough.
        keep: How long after the last bad evaluation it still alarms, exactly that long included.
        unknown: What UNKNOWN does. "own": the result is UNKNOWN too, and the memory waits; "keep":
            the memory waits and decides; "fire": it counts as BREACH; "resolve": as OK. A WARN that
            may be a BREACH is bad for WARN, and unknown for BREACH.
        clock: Of Unix seconds, for verdicts without `at`; `mlguard.clocks.unix_clock()` when not
            given.

    Raises:
        ConfigurationError: An argument is not of its kind or range.

    On an AR(1) metric that hovers at its limit (φ 0.6) `x > T` alarms about 300 times in 2000
    evaluations; three in a row, with hysteresis and a `keep` of ten evaluations, once (median; 3 at
    most in 400 runs), and finds a step to 1.4 times the limit two evaluations later.

    Examples:
        >>> from mlguard.testing import ScriptedCheck
        >>> check = sustained(ScriptedCheck("BREACH OK BREACH BREACH OK"), k=2)
        >>> [check().severity.name for _ in range(5)]
        ['OK', 'OK', 'OK', 'BREACH', 'OK']
    """
    if unknown not in get_args(Unknown):
        raise refusal("unknown", unknown, f"one of {list(get_args(Unknown))}")
    terms = persistence(k, of, every, for_, keep)
    return Sustained(checked(check), terms, unknown, clock or unix_clock())
