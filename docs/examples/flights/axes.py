"""What a drawing over time is made of: a stretch of time, an axis of numbers, lines and areas."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from mlguard import Severity

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Point: TypeAlias = tuple[float, float, Severity]
"""Seconds, value, and how that was judged."""

HEIGHT: Final = 250


@dataclass(frozen=True, slots=True)
class Stretch:
    """The time that a drawing is about."""

    seconds: float
    marks: Sequence[tuple[float, str]]
    """Seconds, and what stands on the axis there."""
    shades: Sequence[tuple[float, float, str]]
    """From when to when something was wrong, and what."""

    def percent(self, at: float) -> str:
        """Return where a moment lies, or how long some seconds are, as a percentage of the width."""
        return f"{100 * at / self.seconds:.2f}%"


@dataclass(frozen=True, slots=True)
class Area:
    """What lies between two lines over time."""

    kind: str
    points: Sequence[tuple[float, float, float]]
    """Seconds, and the lower and the upper end."""


@dataclass(frozen=True, slots=True)
class Line:
    """A quantity over time, and how it was judged at each moment."""

    name: str
    kind: str
    points: Sequence[Point]


@dataclass(frozen=True, slots=True)
class Axis:
    """The numbers of a drawing, on a scale that is logarithmic unless said otherwise."""

    low: float
    high: float
    ticks: Sequence[float]
    word: Callable[[float], str]
    scale: Callable[[float], float] = math.log

    def y(self, value: float) -> float:
        """Return how far below the top a number lies."""
        low, inside, high = map(
            self.scale, (self.low, min(max(value, self.low), self.high), self.high)
        )
        return HEIGHT * (high - inside) / (high - low)
