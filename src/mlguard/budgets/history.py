"""How spend grew within its window: kept in the store, and what it lets expect."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any, NamedTuple

from mlguard.budgets.money import NANOS
from mlguard.errors import StateConflict
from mlguard.values import Measurement

if TYPE_CHECKING:
    from mlguard.budgets.windows import Span
    from mlguard.protocols import Store

_MOST = 256
"""Points that are kept of a window, so that its history stays a few kilobytes."""
_logger = logging.getLogger("mlguard")


class Seen(NamedTuple):
    """What was seen of a window.

    Attributes:
        window: Its number.
        points: Unix seconds, and the nano-units that were spent by then.
    """

    window: int
    points: list[tuple[float, int]]


class History:
    """The growth of spend, seen by whoever refreshed, on any host. Thread-safe."""

    __slots__ = ("_seen", "_store")

    def __init__(self, store: Store) -> None:
        self._store = store
        self._seen: dict[str, Seen] = {}

    def note(self, account: str, span: Span, at: float, spent: int) -> None:
        """Add what was spent by a time to what all have seen. A store that fails is logged."""
        place = f"cost/{account}/history"
        try:
            found = self._store.load(place)
            window, points = json.loads(found[0]) if found else (span.newest, [])
            points = [tuple(each) for each in points] if window == span.newest else []
            if len(points) > 1 and at - points[-2][0] < (span.end - span.start) / _MOST:
                points.pop()
            points = [each for each in points if each[0] < at] + [(at, spent)]
            self._seen[account] = Seen(span.newest, points)
            note = json.dumps([span.newest, points]).encode()
            self._store.save(place, note, if_version=found[1] if found else 0)
        except StateConflict:
            return  # another noted the same moment
        except Exception:
            _logger.exception("%s: the growth of spend could not be noted", place)

    def expected(
        self, name: str, account: str, *, span: Span, cap: int, unit: str, confidence: float
    ) -> Measurement:
        """Measure what will be spent by the end of the window."""
        from mlguard.budgets.forecast import forecast, pacing, runs_out_in  # noqa: PLC0415 -- scipy

        seen = self._seen.get(account)
        if seen is None or seen.window != span.newest:
            return Measurement(name, float("nan"), unit=unit, details={"reason": UNSEEN})
        points, (now, spent) = seen.points, seen.points[-1]
        found = forecast(points, start=span.start, end=span.end, confidence=confidence)
        details: dict[str, Any] = {
            "cap": cap / NANOS,
            "spent": spent / NANOS,
            "pacing": pacing(spent, cap, start=span.start, end=span.end, now=now),
            "runs_out_in": runs_out_in(points, cap, start=span.start, end=span.end),
        }
        if found.value is None or found.low is None or found.high is None:
            return Measurement(
                name, float("nan"), unit=unit, at=now, details=details | {"reason": found.reason}
            )
        return Measurement(
            name,
            found.value / NANOS,
            unit=unit,
            n=found.n,
            low=found.low / NANOS,
            high=found.high / NANOS,
            confidence=confidence,
            at=now,
            details=details,
        )


UNSEEN = "the spend of this window was not seen yet: call refresh()"
