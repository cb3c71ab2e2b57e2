"""Bets that the mean has left a baseline: seldom wrong by theorem, whatever the values are.

A bet of b on "higher" multiplies its stake by 1 + b (u / m - 1) for a value u in 0...1, which is at
most 1 on average as long as the mean of the next value, given those before, is at most m. The sum
of what bets have won that began at every place so far, R = (R + 1) * (1 + b (u / m - 1)), less the
number of values is then a supermartingale, and so is its average over several b. So R is at least
A, for the first time, after A values on average or later (J. Shin, A. Ramdas, A. Rinaldo, 2023).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from mlguard.arguments import choice, finite, refusal, whole
from mlguard.drift.streams.detector import Change, Detector, Direction, OnMissing
from mlguard.drift.streams.reading import Range, rates

if TYPE_CHECKING:
    from numpy.typing import NDArray

BETS: list[float] = np.geomspace(0.005, 0.9, 10).tolist()
"""Parts of the stake. For 0 and 1 the best one is the rise over 1 - baseline."""
LEARNT = 1000
"""From so many values the baseline is learnt where none is given."""
_DOUBT = 0.01
"""That the learnt baseline lies on the wrong side of the mean; the threshold makes up for it."""
_BACK = 100.0
"""A change is over when bets that the values are back have won so much."""
_MARGIN = 1e-6
"""A baseline is at least so far, in parts of the range, from both of its ends."""


class EDetector(Detector):
    """Bets against a baseline that bounded values must keep. Not thread-safe: one writer.

    Per process; `state()` and `from_state` carry it over a restart. The detector with a theorem:
    however the values are distributed, and however that changes, an alarm takes at least
    `false_alarm_every` observations on average as long as the mean of the next value, given those
    before, never exceeds the baseline ("up"), never falls below it ("down"), or is the baseline
    ("both"). Values that stay above for a while and then below, as with a daily season, are not
    covered. It pays with its delay: see the how-to for how much.

    The baseline stays what it was. A change is reported once; `status` is "drift" until the values
    are back, and only then is there another alarm. `reset()` learns anew.

    Args:
        baseline: The mean that must be kept; by default learnt from the first thousand values, with
            a margin for what they leave in doubt.
        low: The lowest possible value.
        high: The highest possible value; the nearer the two, the sooner a change is found.
        false_alarm_every: So many observations pass on average, at least, until a false alarm.
        warn_every: Likewise until a first warning; by default there are none.
        direction: "up", "down", or "both".
        threshold: What the bets of a side have to win on average, in place of that for the rate.
        block: As in `Detector`.
        on_missing: As in `Detector`.

    Raises:
        ConfigurationError: An argument is not of its kind or range.

    Examples:
        >>> import numpy as np
        >>> rng = np.random.default_rng(2)
        >>> errors = EDetector(baseline=0.02)
        >>> [change] = errors.observe_many(rng.random(2000) < np.repeat([0.02, 0.1], 1000))
        >>> change.onset, change.at
        (1028, 1084)
    """

    __slots__ = ("_learning", "_level_now", "_range", "_sides", "_span", "_warn", "threshold")

    _kind = "e_detector"
    _kept = ("_learning", "_level_now", "_sides")

    def __init__(
        self,
        *,
        baseline: float | None = None,
        low: float = 0.0,
        high: float = 1.0,
        false_alarm_every: float = 1_000_000,
        warn_every: float | None = None,
        direction: Direction = "up",
        threshold: float | None = None,
        block: int = 1,
        on_missing: OnMissing = "skip",
    ) -> None:
        block = whole("block", block, 1)
        every, warn = rates(false_alarm_every, warn_every, block)
        if not finite("low", low) < finite("high", high):
            raise refusal("high", high, f"above low = {low:g}")
        self._range = Range(float(low), float(high))
        self._span = self._range.high - self._range.low
        choice("direction", direction, "up", "down", "both")
        if baseline is not None:
            margin = _MARGIN * self._span
            if not low + margin <= finite("baseline", baseline) <= high - margin:
                raise refusal("baseline", baseline, f"between low = {low:g} and high = {high:g}")
            baseline = float(baseline)
        won = (2.0 if direction == "both" else 1.0) / (1.0 if baseline else 1.0 - _DOUBT) / block
        self.threshold = every * won if threshold is None else finite("threshold", threshold)
        self._warn = warn * won if warn else math.inf
        super().__init__(
            baseline=baseline,
            low=self._range.low,
            high=self._range.high,
            false_alarm_every=every if threshold is None else None,
            warn_every=warn,
            direction=direction,
            threshold=threshold,
            block=block,
            on_missing=on_missing,
        )

    def _begin(self) -> None:
        self._learning: list[float] = []
        self._level_now = [0, 0.0]
        self._sides: list[list[Any]] = []
        if self.settings["baseline"] is not None:
            m = self._unit(self.settings["baseline"])
            self._bet_from(m, m)

    def _bet_from(self, most: float, least: float) -> None:
        """Begin to bet that the mean is above the first, or below the second.

        A side is its sign, its baseline, whether it has alarmed, what the bets of each size have
        won that began anywhere (after an alarm: on the other side), what the one won that began
        where it should have, and the count and the sum of values before that.
        """
        direction = self.settings["direction"]
        self._sides = []
        if direction != "down":
            self._sides.append([1, most, 0, *self._no_bets()])
        if direction != "up":
            self._sides.append([-1, 1.0 - least, 0, *self._no_bets()])

    def _no_bets(self) -> list[Any]:
        n, total = self._level_now
        places = [[n, total] for _ in BETS]
        return [[0.0] * len(BETS), [1.0] * len(BETS), places]

    def _step(self, x: float) -> Change | None:
        u = (x - self._range.low) / self._span
        if not self._sides:
            self._learn_baseline(u)
            return None
        n, total = self._level_now
        self._level_now = [n + 1, total + u]
        alarm = None
        for side in self._sides:
            if self._bet(side, u) and alarm is None:
                alarm = self._alarm(side)
        return alarm

    def _bet(self, side: list[Any], u: float) -> bool:
        """Let each bet win or lose; tell whether a change is proven that was not before."""
        sign, m, alarmed, won, best, places = side
        v = u if sign > 0 else 1.0 - u
        if alarmed:
            odds = (1.0 - v) / (1.0 - m) - 1.0
            won[:] = [max(w, 1.0) * (1.0 + b * odds) for w, b in zip(won, BETS, strict=True)]
            if sum(won) >= _BACK * len(BETS):
                side[2:] = [0, *self._no_bets()]
            return False
        odds = v / m - 1.0
        for j, b in enumerate(BETS):
            factor = 1.0 + b * odds
            won[j] = (won[j] + 1.0) * factor
            longest = best[j] * factor
            if longest <= 1.0:
                longest = 1.0
                places[j] = list(self._level_now)
            best[j] = longest
        return bool(sum(won) >= self.threshold * len(BETS))

    def _alarm(self, side: list[Any]) -> Change:
        sign, m, _, won, best, places = side
        statistic = sum(won) / len(BETS)
        n, total = places[max(range(len(BETS)), key=best.__getitem__)]
        length = max(self._level_now[0] - n, 1)
        after = (self._level_now[1] - total) / length
        side[2:4] = [1, [1.0] * len(BETS)]
        before = self._value(m if sign > 0 else 1.0 - m)
        return self._found(
            length, before, self._value(after), statistic=statistic, threshold=self.threshold
        )

    def _learn_baseline(self, u: float) -> None:
        self._learning.append(u)
        if len(self._learning) < LEARNT:
            return
        values = np.array(self._learning)
        doubt = _DOUBT / (2.0 if self.settings["direction"] == "both" else 1.0)
        most, least = upper_bound(values, doubt), 1.0 - upper_bound(1.0 - values, doubt)
        self._level_now, self._learning = [LEARNT, float(values.sum())], []
        self._bet_from(max(most, _MARGIN), min(least, 1.0 - _MARGIN))

    def _unit(self, x: float) -> float:
        return (x - self._range.low) / self._span

    def _value(self, u: float) -> float:
        return self._range.low + u * self._span

    @property
    def _ready(self) -> bool:
        seen = self._sides and self._level_now[0]
        return bool(seen) and not any(side[2] for side in self._sides)

    def _level(self) -> float | None:
        n, total = self._level_now
        return self._value(total / n) if n else None

    def _warned(self) -> bool:
        return any(sum(side[3]) >= self._warn * len(BETS) for side in self._sides)

    def _rate_holds(self) -> bool:
        """Tell whether the mean of the next value stays within the baseline, given the last one.

        After one that is a standard deviation off the mean, and as far as dependence goes.
        """
        if super()._rate_holds() or not self._sides:
            return super()._rate_holds()
        mean, spread, correlation = self._dependence.found()
        usual, most = self._unit(mean), abs(correlation) * math.sqrt(spread) / self._span
        return all((usual if s > 0 else 1.0 - usual) + most <= m for s, m, *_ in self._sides)


def upper_bound(values: NDArray[np.float64], doubt: float) -> float:
    """Give what the mean of values in 0...1 exceeds with a chance of `doubt` at most.

    That holds if the mean of each, given those before, is the same: a bet that it is lower wins
    1 / doubt with that chance.
    """
    least, most = min(float(values.mean()), 1.0 - _MARGIN), 1.0 - _MARGIN
    needed = math.log(len(BETS) / doubt)
    for _ in range(50):
        m = 0.5 * (least + most)
        odds = (1.0 - values) / (1.0 - m) - 1.0
        won = np.log1p(np.outer(BETS, odds)).sum(axis=1)
        proven = float(np.logaddexp.reduce(won)) >= needed
        least, most = (least, m) if proven else (m, most)
    return most
