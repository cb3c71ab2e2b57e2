"""How long a condition must hold before it counts, and how long it then goes on: a pure step."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NamedTuple

from mlguard.arguments import finite, refusal, seconds, whole
from mlguard.values import Severity, Verdict

_logger = logging.getLogger("mlguard")

_MOST = 1_000
"""Evaluations that a memory may hold."""


_AHEAD = 86_400.0
"""Seconds by which an event time may be ahead of the clock, as local times are: more is a fault,
and would let nothing that comes later count."""


def believable(verdict: Verdict, now: float) -> Verdict:
    """Give a verdict, or UNKNOWN where its event time is more than a day ahead of the clock."""
    if verdict.at is None or verdict.at <= now + _AHEAD:
        return verdict
    reason = f"at = {verdict.at:.15g} is ahead of the clock, {now:.15g}, by more than a day"
    _logger.warning("the verdict %r is left aside: %s", verdict.name, reason)
    told = f"{reason}: {verdict.reason}"
    return Verdict(verdict.name, Severity.UNKNOWN, told, subject=verdict.subject)


class Held(NamedTuple):
    """What is remembered of a condition. Immutable.

    Attributes:
        at: Event time of the newest evaluation that counted; None before the first.
        recent: The newest evaluations as bits, the last one in the lowest.
        since: When the unbroken run of true evaluations began; None where the last was false.
        last: Event time of the newest true evaluation.
        firing: Whether the condition has held for long enough, and has not been gone for long.
        start: The `since` of the run that made it fire.
    """

    at: float | None = None
    recent: int = 0
    since: float | None = None
    last: float | None = None
    firing: bool = False
    start: float | None = None


NOTHING = Held()


@dataclass(frozen=True, slots=True)
class Persistence:
    """When a condition counts. Immutable, so safe between threads.

    It begins to fire with the evaluation by which it was true in at least `k` of the last `of`
    and has been true without a break for `for_` (that moment included). It goes on while that is
    so, and until it was last true longer than `keep` ago.

    Attributes:
        k: True evaluations that are needed.
        of: Among so many, the newest included.
        every: Length of a slot in seconds: only the first evaluation of each slot counts, and
            slots without one count as not true. None: each evaluation with a later event time.
        for_: Seconds without a break.
        keep: Seconds.
    """

    k: int = 1
    of: int = 1
    every: float | None = None
    for_: float = 0.0
    keep: float = 0.0

    def advances(self, held: Held, at: float) -> bool:
        """Tell whether an evaluation counts: each event time or slot does so once."""
        if held.at is None:
            return True
        if self.every is None:
            return at > held.at
        return math.floor(at / self.every) > math.floor(held.at / self.every)

    def step(self, held: Held, value: bool, at: float) -> Held:  # noqa: FBT001 -- it is the datum
        """Take an evaluation in; one that does not count changes nothing."""
        before, recent, since, last, firing, start = held
        steps = 1
        if before is not None:
            if self.every is None:
                if at <= before:
                    return held
            else:
                steps = math.floor(at / self.every) - math.floor(before / self.every)
                if steps <= 0:
                    return held
                if steps > 1:
                    since = None  # an empty slot is a break
        recent = ((recent << min(steps, self.of)) | value) & ((1 << self.of) - 1)
        if value:
            last = at
            if since is None:
                since = at
        else:
            since = None
        enters = recent.bit_count() >= self.k and (
            not self.for_ or (since is not None and at - since >= self.for_)
        )
        goes_on = firing and self.keep > 0.0 and last is not None and at - last <= self.keep
        if not (enters or goes_on):
            return Held(at, recent, since, last)
        return Held(at, recent, since, last, True, start if firing else since)  # noqa: FBT003


def persistence(k: int, of: int | None, every: object, for_: object, keep: object) -> Persistence:
    """Read the terms of a persistence; durations in seconds or as timedelta, 0 for none."""
    whole("k", k, least=1)
    many = k if of is None else whole("of", of, least=1)
    if not k <= many <= _MOST:
        raise refusal("of", many, f"at least k = {k} and at most {_MOST}")
    return Persistence(
        k,
        many,
        None if every is None else seconds("every", every),
        *map(duration, ("for_", "keep"), (for_, keep)),
    )


def duration(parameter: str, value: object) -> float:
    """Read a duration in seconds or as a timedelta, 0 for none."""
    return 0.0 if value in (0, timedelta(0)) else seconds(parameter, value)


def held_from(record: Any) -> Held:
    """Read what `list(held)` wrote."""
    try:
        at, recent, since, last, firing, start = record
    except (TypeError, ValueError):
        raise refusal("state", record, "the six parts of a remembered condition") from None
    times = (None if each is None else finite("state", each) for each in (at, since, last, start))
    at, since, last, start = times
    return Held(at, whole("state", recent), since, last, bool(firing), start)
