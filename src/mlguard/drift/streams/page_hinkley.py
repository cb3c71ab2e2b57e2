"""The test of Page and Hinkley, in units of the stream's own spread."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from mlguard.arguments import choice, finite, refusal, whole
from mlguard.drift.streams.detector import Change, Detector, Direction, OnMissing
from mlguard.drift.streams.reading import rates

if TYPE_CHECKING:
    from collections.abc import Iterator

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
        warn_every: Likewise until a first warning; by default there are none.
        smallest_shift: What is to be found, in standard deviations; the test is at its best there.
        direction: "up", "down", or "both".
        threshold: What the sum has to exceed, in standard deviations, in place of that for the
            rate.
        block: As in `Detector`; the standard deviations are then those of the means of blocks.
        on_missing: As in `Detector`.

    Raises:
        ConfigurationError: An argument is not of its kind or range.

    Examples:
        >>> import numpy as np
        >>> rng = np.random.default_rng(1)
        >>> detector = PageHinkley(false_alarm_every=100_000)
        >>> [change] = detector.observe_many(np.r_[rng.normal(7, 2, 1000), rng.normal(9, 2, 100)])
        >>> change.onset, change.at
        (1000, 1035)
    """

    __slots__ = (
        "_counted",
        "_down",
        "_limits",
        "_origin",
        "_sums",
        "_up",
        "_warn",
        "slack",
        "threshold",
    )

    _kind = "page_hinkley"
    _kept = ("_counted", "_down", "_origin", "_sums", "_up")

    def __init__(
        self,
        *,
        false_alarm_every: float = 1_000_000,
        warn_every: float | None = None,
        smallest_shift: float = 0.5,
        direction: Direction = "both",
        threshold: float | None = None,
        block: int = 1,
        on_missing: OnMissing = "skip",
    ) -> None:
        block = whole("block", block, 1)
        every, warn = rates(false_alarm_every, warn_every, block)
        shift = finite("smallest_shift", smallest_shift)
        if not 0.05 <= shift <= 3.0:  # noqa: PLR2004 -- where the threshold is exact enough
            raise refusal("smallest_shift", smallest_shift, "between 0.05 and 3")
        choice("direction", direction, "up", "down", "both")
        self.slack = shift / 2.0
        sides = 2.0 if direction == "both" else 1.0
        self.threshold = (
            height(every / block * sides, self.slack)
            if threshold is None
            else finite("threshold", threshold)
        )
        self._warn = height(warn / block * sides, self.slack) if warn else None
        self._limits = (
            math.inf if direction == "down" else self.threshold,
            math.inf if direction == "up" else self.threshold,
        )
        super().__init__(
            false_alarm_every=every if threshold is None else None,
            warn_every=warn,
            smallest_shift=shift,
            direction=direction,
            threshold=threshold,
            block=block,
            on_missing=on_missing,
        )

    def _begin(self) -> None:
        self._origin: float | None = None
        self._restart(0, 0.0, 0.0, 0.0)

    def _restart(self, n: int, *sums: float) -> None:
        """Begin the test with what is known of the level, in deviations from the origin.

        `_up` and `_down` are a sum, its minimum, and what was known there: how many values since
        the onset, and their sums of powers.
        """
        self._counted = n
        self._sums = list(sums)
        self._watch()

    def _watch(self) -> None:
        self._up = [0.0, 0.0, self._counted, *self._sums]
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
        if risen < up[1]:
            up[1:] = risen, n + 1, *sums
        if fallen < down[1]:
            down[1:] = fallen, n + 1, *sums
        if risen - up[1] > most_up or fallen - down[1] > most_down:
            return self._judge()
        return None

    def _judge(self) -> Change | None:
        for side, threshold in self._watched(self.threshold):
            statistic = side[0] - side[1]
            if statistic > threshold:
                return self._alarm(side, statistic, threshold)
        return None

    def _warned(self) -> bool:
        return self._warn is not None and any(
            side[0] - side[1] > threshold for side, threshold in self._watched(self._warn)
        )

    def _watched(self, limit: float) -> Iterator[tuple[list[float], float]]:
        """Give the sides that are watched, each with its threshold where the limit is this one."""
        for side, sign, other in ((self._up, 1.0, "down"), (self._down, -1.0, "up")):
            if self.settings["direction"] != other:
                yield side, self._raised(limit, sign * skewness(*side[2:]))

    def _alarm(self, side: list[float], statistic: float, threshold: float) -> Change:
        _, _, n, total, squares, cubes = side
        origin = self._origin or 0.0
        m = self._counted - int(n)
        first = self._sums[0] - total
        second, third = self._sums[1] - squares, self._sums[2] - cubes
        moved = first / m
        before, after = origin + total / n, origin + moved
        change = self._found(m, before, after, statistic=statistic, threshold=threshold)
        self._origin = after
        third += moved * (3.0 * moved * first - 3.0 * second - m * moved * moved)
        second = max(second - moved * first, 0.0)
        self._restart(m, first - m * moved, second, third)
        return change

    def _raised(self, limit: float, skew: float) -> float:
        """Give the threshold where values lean to the side that is watched.

        Sums of them rise as high as exp(-r height) is seldom, where skew r² / 6 + r / 2 = slack.
        """
        if skew <= 0.0:
            return limit
        r = (math.sqrt(0.25 + 2.0 * skew * self.slack / 3.0) - 0.5) * 3.0 / skew
        return (limit + _OVERSHOOT) * 2.0 * self.slack / r - _OVERSHOOT

    def _scan(self, values: Floats) -> tuple[int, Change | None]:
        if self._counted < WARM_UP:
            return super()._scan(values[: WARM_UP - self._counted])
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
                side[1:] = (float(low[j]), self._counted + j, *ends)
        self._counted += taken
        self._at += taken * self._per
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


def height(every: float, slack: float) -> float:
    """Give the height that a sum of normal steps less the slack reaches after so many on average.

    Siegmund's approximation, (exp(a) - a - 1) / (2 slack²) with a = 2 slack (height + 1.166).
    """
    goal = 2.0 * slack * slack * every
    a = math.log1p(goal)
    for _ in range(50):
        a = math.log(goal + a + 1.0)
    return max(a / (2.0 * slack) - _OVERSHOOT, 0.0)
