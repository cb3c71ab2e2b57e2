"""The test of Page and Hinkley, in units of the stream's own spread."""

from __future__ import annotations

import math
from math import sqrt
from typing import TYPE_CHECKING

import numpy as np

from mlguard.arguments import choice, finite, refusal, whole
from mlguard.drift.streams.detector import Change, Detector, Direction, OnMissing
from mlguard.drift.streams.reading import rates

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Sums = tuple[float, float, float]

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
            That alarm is often followed by another, that all is as before: over many it is one in
            0.7 of what is asked.
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
        (999, 1029)
    """

    __slots__ = (
        "_counted",
        "_down",
        "_fallen",
        "_origin",
        "_risen",
        "_sums",
        "_test",
        "_up",
        "_warn",
        "slack",
        "threshold",
    )

    _kind = "page_hinkley"
    _kept = ("_counted", "_down", "_fallen", "_origin", "_risen", "_sums", "_up")

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
        self._test = (
            self.slack,
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
        self._restart(0.0, (0.0, 0.0, 0.0))

    def _restart(self, n: float, sums: Sums) -> None:
        """Begin the test with what is known of the level, in deviations from the origin.

        `_up` and `_down` are the minimum of a sum, and what was known there: how many values since
        the onset, and their sums of powers.
        """
        self._counted = n
        self._sums = sums
        self._watch()

    def _watch(self) -> None:
        self._risen = self._fallen = 0.0
        self._up = self._down = (0.0, self._counted, self._sums)

    def _step(self, x: float) -> Change | None:
        if self._origin is None:
            self._origin = x
        d = x - self._origin
        n = self._counted
        total, squares, cubes = self._sums
        square = d * d
        self._counted = m = n + 1.0  # a float: with an integer, sums take twice as long
        self._sums = sums = (total + d, squares + square, cubes + square * d)
        if n < WARM_UP:
            self._watch()
            return None
        mean = total / n
        spread = squares - total * mean
        z = 0.0
        if spread > _ROUNDING * squares:
            off = d - mean
            z = off * (n - 1.25) * sqrt(n / ((n - 1.0) * (m * spread + 0.5 * n * off * off)))
            if z > _FARTHEST:
                z = _FARTHEST
            elif z < -_FARTHEST:
                z = -_FARTHEST
        slack, most_up, most_down = self._test
        self._risen = risen = self._risen + (z - slack)
        self._fallen = fallen = self._fallen - (z + slack)
        beyond = False
        if risen < self._up[0]:
            self._up = (risen, m, sums)
        elif risen - self._up[0] > most_up:
            beyond = True
        if fallen < self._down[0]:
            self._down = (fallen, m, sums)
        elif fallen - self._down[0] > most_down:
            beyond = True
        return self._judge() if beyond else None

    def _judge(self) -> Change | None:
        for statistic, threshold, place in self._watched(self.threshold):
            if statistic > threshold:
                return self._alarm(statistic, threshold, *place)
        return None

    def _warned(self) -> bool:
        return self._warn is not None and any(
            statistic > threshold for statistic, threshold, _ in self._watched(self._warn)
        )

    def _watched(self, limit: float) -> Iterator[tuple[float, float, tuple[float, Sums]]]:
        """Give statistic, threshold and likeliest onset of the sides, where the limit is this."""
        for now, (least, n, sums), sign, other in (
            (self._risen, self._up, 1.0, "down"),
            (self._fallen, self._down, -1.0, "up"),
        ):
            if self.settings["direction"] != other:
                yield now - least, self._raised(limit, sign * skewness(n, *sums)), (n, sums)

    def _alarm(self, statistic: float, threshold: float, n: float, sums: Sums) -> Change:
        total, squares, cubes = sums
        origin = self._origin or 0.0
        m = self._counted - n
        first = self._sums[0] - total
        second, third = self._sums[1] - squares, self._sums[2] - cubes
        moved = first / m
        before, after = origin + total / n, origin + moved
        change = self._found(int(m), before, after, statistic=statistic, threshold=threshold)
        self._origin = after
        third += moved * (3.0 * moved * first - 3.0 * second - m * moved * moved)
        second = max(second - moved * first, 0.0)
        self._restart(m, (first - m * moved, second, third))
        return change

    def _raised(self, limit: float, skew: float) -> float:
        """Give the threshold where values lean to the side that is watched.

        Sums of them rise as high as exp(-r height) is seldom, where skew r² / 6 + r / 2 = slack.
        """
        leaning = math.sqrt(0.25 + 2.0 / 3.0 * max(skew, 0.0) * self.slack) + 0.5
        return (limit + _OVERSHOOT) * leaning - _OVERSHOOT

    def _scan(self, values: Floats) -> tuple[int, Change | None]:
        if self._counted < WARM_UP:
            return super()._scan(values[: WARM_UP - int(self._counted)])
        d = values - self._origin  # type: ignore[operator]
        totals = np.cumsum(np.r_[self._sums[0], d])
        squares = np.cumsum(np.r_[self._sums[1], d * d])
        cubes = np.cumsum(np.r_[self._sums[2], d * d * d])
        n = np.arange(self._counted, self._counted + len(d) + 1.0)
        before, total, square = n[:-1], totals[:-1], squares[:-1]
        mean = total / before
        spread = square - total * mean
        known = spread > _ROUNDING * square
        off = d - mean
        least = (before - 1.0) * ((before + 1.0) * spread + 0.5 * before * off * off)
        z = off * (before - 1.25) * np.sqrt(before / np.where(known, least, 1.0))
        z = np.where(known, np.clip(z, -_FARTHEST, _FARTHEST), 0.0)
        walks = []
        taken = len(d)
        steps = z - self.slack, -(z + self.slack)
        sides = (self._risen, self._up), (self._fallen, self._down)
        for (now, place), step, limit in zip(sides, steps, self._test[1:], strict=True):
            c = np.cumsum(np.r_[now, step])[1:]
            low = np.minimum.accumulate(np.r_[place[0], c])
            walks.append((c, low, place))
            beyond = c - low[1:] > limit
            taken = min(taken, int(beyond.argmax()) + 1) if beyond.any() else taken
        places = []
        for c, low, known_place in walks:
            place = known_place
            fresh = np.flatnonzero(c[:taken] < low[:taken])
            if len(fresh):
                j = int(fresh[-1]) + 1
                sums = (float(totals[j]), float(squares[j]), float(cubes[j]))
                place = (float(low[j]), self._counted + j, sums)
            places.append(place)
        self._up, self._down = places
        self._risen, self._fallen = (float(c[taken - 1]) for c, _, _ in walks)
        self._counted += taken
        self._at += taken * self._per
        self._sums = (float(totals[taken]), float(squares[taken]), float(cubes[taken]))
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
