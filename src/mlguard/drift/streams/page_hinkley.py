"""The test of Page and Hinkley, in units of the stream's own spread."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from mlguard.arguments import choice, finite, refusal
from mlguard.drift.streams.detector import Change, Detector, Direction, OnMissing, rate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

WARM_UP = 30
"""From so many values on, a next one is told from a normal one."""
_FARTHEST = 10.0
"""Standard deviations beyond which a value counts no more: one outlier is no change."""
_OVERSHOOT = 1.166
"""By how much a sum of normal steps is beyond both ends of its way (D. Siegmund, 1985)."""
_ROUNDING = 1e-12
"""A sum of squared deviations below this part of that of squares is what rounding leaves of 0."""


class PageHinkley(Detector):
    """Sums up by how much values are off the running mean. Not thread-safe: one writer.

    Per process; `state()` and `from_state` carry it over a restart. The cheapest detector, for
    values that are about normal. Each value is compared with the mean and the spread of those
    before it and becomes a standard normal one if they are normal, whatever their mean and spread
    (D. M. Hawkins, 1987). So the rate of false alarms holds without a reference. It does not hold
    for skewed values, such as errors of 1 in 50: take `EDetector` for these.

    Args:
        false_alarm_every: So many observations pass on average until an alarm without a change.
        smallest_shift: What is to be found, in standard deviations; the test is at its best there.
        direction: "up", "down", or "both".
        on_missing: What a missing value does: "skip" counts it, "raise" refuses it, "alarm" makes a
            hundred in a row a change.

    Raises:
        ConfigurationError: An argument is not of its kind or range.

    Examples:
        >>> import numpy as np
        >>> rng = np.random.default_rng(1)
        >>> detector = PageHinkley(false_alarm_every=100_000)
        >>> [change] = detector.observe_many(np.r_[rng.normal(7, 2, 1000), rng.normal(9, 2, 100)])
        >>> change.onset, change.at
        (999, 1029)
    """

    __slots__ = ("_counted", "_down", "_limits", "_origin", "_sums", "_up", "slack", "threshold")

    _kind = "page_hinkley"
    _kept = ("_counted", "_down", "_origin", "_sums", "_up")

    def __init__(
        self,
        *,
        false_alarm_every: float = 1_000_000,
        smallest_shift: float = 0.5,
        direction: Direction = "both",
        on_missing: OnMissing = "skip",
    ) -> None:
        every = rate("false_alarm_every", false_alarm_every)
        shift = finite("smallest_shift", smallest_shift)
        if not 0.05 <= shift <= 3.0:  # noqa: PLR2004 -- where the threshold is exact enough
            raise refusal("smallest_shift", smallest_shift, "between 0.05 and 3")
        choice("direction", direction, "up", "down", "both")
        self.slack = shift / 2.0
        self.threshold = threshold(every * (2.0 if direction == "both" else 1.0), self.slack)
        self._limits = (
            math.inf if direction == "down" else self.threshold,
            math.inf if direction == "up" else self.threshold,
        )
        super().__init__(
            false_alarm_every=every,
            smallest_shift=shift,
            direction=direction,
            on_missing=on_missing,
        )

    def _begin(self) -> None:
        self._origin: float | None = None
        self._restart(0, 0.0, 0.0, 0.0)

    def _restart(self, n: int, *sums: float) -> None:
        """Begin the test with what is known of the level, in deviations from the origin.

        `_up` and `_down` are a sum, its minimum, and what was known there: how many values since
        the onset, their sums of powers, and the place of the next one.
        """
        self._counted = n
        self._sums = list(sums)
        self._watch()

    def _watch(self) -> None:
        self._up = [0.0, 0.0, self._counted, *self._sums, self._at]
        self._down = list(self._up)

    def _step(self, x: float) -> Change | None:
        if self._origin is None:
            self._origin = x
        d = x - self._origin
        n = self._counted
        total, squares, cubes = self._sums
        square = d * d
        self._counted = n + 1
        self._sums = sums = [total + d, squares + square, cubes + square * d]
        if n < WARM_UP:
            self._watch()
            return None
        spread = squares - total * total / n
        z = 0.0
        if spread > _ROUNDING * squares:
            off = d - total / n
            freedom = n - 1.0
            t = off * off * n * freedom / ((n + 1.0) * spread)
            z = (1.0 - 0.25 / freedom) * math.sqrt(t / (1.0 + 0.5 * t / freedom))
            if z > _FARTHEST:  # noqa: PLR1730 -- min() takes longer
                z = _FARTHEST
            if off < 0.0:
                z = -z
        slack = self.slack
        most_up, most_down = self._limits
        up, down = self._up, self._down
        up[0] = risen = up[0] + (z - slack)
        down[0] = fallen = down[0] + (-z - slack)
        beyond = False
        if risen < up[1]:
            self._up = [risen, risen, n + 1, *sums, self._at]
        elif risen - up[1] > most_up:
            beyond = True
        if fallen < down[1]:
            self._down = [fallen, fallen, n + 1, *sums, self._at]
        elif fallen - down[1] > most_down:
            beyond = True
        return self._judge() if beyond else None

    def _judge(self) -> Change | None:
        for side, sign in ((self._up, 1.0), (self._down, -1.0)):
            statistic = side[0] - side[1]
            if statistic > self._limits[0 if sign > 0 else 1]:
                threshold = self._raised(sign * skewness(*side[2:6]))
                if statistic > threshold:
                    return self._alarm(side, statistic, threshold)
        return None

    def _alarm(self, side: list[float], statistic: float, threshold: float) -> Change:
        _, _, n, total, squares, cubes, onset = side
        origin = self._origin or 0.0
        m = self._counted - int(n)
        first = self._sums[0] - total
        second, third = self._sums[1] - squares, self._sums[2] - cubes
        moved = first / m
        before, after = origin + total / n, origin + moved
        change = self._found(int(onset), before, after, statistic=statistic, threshold=threshold)
        self._origin = after
        third += moved * (3.0 * moved * first - 3.0 * second - m * moved * moved)
        second = max(second - moved * first, 0.0)
        self._restart(m, first - m * moved, second, third)
        return change

    def _raised(self, skew: float) -> float:
        """Give the threshold where values lean to the side that is watched.

        Sums of them rise as high as exp(-r height) is seldom, where skew r² / 6 + r / 2 = slack.
        """
        if skew <= 0.0:
            return self.threshold
        r = (math.sqrt(0.25 + 2.0 * skew * self.slack / 3.0) - 0.5) * 3.0 / skew
        return (self.threshold + _OVERSHOOT) * 2.0 * self.slack / r - _OVERSHOOT

    def _block(self, values: Floats) -> list[Change]:
        found = []
        start, size = 0, 8192
        while start < len(values):
            if self._counted < WARM_UP:
                end = min(start + WARM_UP - self._counted, len(values))
                super()._block(values[start:end])
                start = end
                continue
            block = values[start : start + size]
            taken, change = self._scan(block)
            start += taken
            size = min(2 * size, 8192) if taken == len(block) else 128  # so little is done twice
            if change is not None:
                found.append(change)
        return found

    def _scan(self, values: Floats) -> tuple[int, Change | None]:
        """Take values up to a change, if there is one; give how many and it."""
        d = values - self._origin  # type: ignore[operator]
        totals = np.cumsum(np.r_[self._sums[0], d])
        squares = np.cumsum(np.r_[self._sums[1], d * d])
        cubes = np.cumsum(np.r_[self._sums[2], d * d * d])
        n = np.arange(self._counted, self._counted + len(d) + 1, dtype=np.float64)
        before, total, square = n[:-1], totals[:-1], squares[:-1]
        spread = square - total * total / before
        known = spread > _ROUNDING * square
        off = d - total / before
        freedom = before - 1.0
        t = off * off * before * freedom / ((before + 1.0) * np.where(known, spread, 1.0))
        z = (1.0 - 0.25 / freedom) * np.sqrt(t / (1.0 + 0.5 * t / freedom))
        z = np.where(known, np.copysign(np.minimum(z, _FARTHEST), off), 0.0)
        walks = []
        taken = len(d)
        for side, step, limit in zip((self._up, self._down), (z, -z), self._limits, strict=True):
            c = np.cumsum(np.r_[side[0], step - self.slack])[1:]
            low = np.minimum.accumulate(np.r_[side[1], c])
            walks.append((side, c, low))
            beyond = c - low[1:] > limit
            taken = min(taken, int(beyond.argmax()) + 1) if beyond.any() else taken
        for side, c, low in walks:
            fresh = np.flatnonzero(c[:taken] < low[:taken])
            side[0] = float(c[taken - 1])
            if len(fresh):
                j = int(fresh[-1]) + 1
                ends = float(totals[j]), float(squares[j]), float(cubes[j])
                side[1:] = (float(low[j]), self._counted + j, *ends, self._at + j)
        self._counted += taken
        self._at += taken
        self._sums = [float(totals[taken]), float(squares[taken]), float(cubes[taken])]
        return taken, self._judge()

    @property
    def _ready(self) -> bool:
        return self._counted >= WARM_UP

    def _level(self) -> float | None:
        if self._origin is None:
            return None
        return self._origin + self._sums[0] / self._counted


def skewness(n: float, total: float, squares: float, cubes: float) -> float:
    """Give the skewness of n values from the sums of their powers; 0 if they are all the same."""
    mean = total / n
    spread = squares - total * mean
    if spread <= _ROUNDING * squares:
        return 0.0
    third = cubes + mean * (2.0 * mean * total - 3.0 * squares)
    return float(third / n / (spread / n) ** 1.5)


def threshold(every: float, slack: float) -> float:
    """Give the height that a sum of normal steps less the slack reaches after so many on average.

    Siegmund's approximation, (exp(a) - a - 1) / (2 slack²) with a = 2 slack (height + 1.166).
    """
    goal = 2.0 * slack * slack * every
    a = math.log1p(goal)
    for _ in range(50):
        a = math.log(goal + a + 1.0)
    return max(a / (2.0 * slack) - _OVERSHOOT, 0.0)
