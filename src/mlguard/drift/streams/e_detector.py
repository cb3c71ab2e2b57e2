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

from mlguard.arguments import choice, finite, refusal
from mlguard.drift.streams.detector import Change, Detector, Direction, OnMissing, rate

if TYPE_CHECKING:
    from collections.abc import Mapping

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
        direction: "up", "down", or "both".
        on_missing: What a missing value does: "skip" counts it, "raise" refuses it, "alarm" makes a
            hundred in a row a change.

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

    __slots__ = ("_high", "_learning", "_level_now", "_low", "_sides", "_span", "threshold")

    _kind = "e_detector"
    _kept = ("_learning", "_level_now", "_sides")

    def __init__(
        self,
        *,
        baseline: float | None = None,
        low: float = 0.0,
        high: float = 1.0,
        false_alarm_every: float = 1_000_000,
        direction: Direction = "up",
        on_missing: OnMissing = "skip",
    ) -> None:
        every = rate("false_alarm_every", false_alarm_every)
        if not finite("low", low) < finite("high", high):
            raise refusal("high", high, f"above low = {low:g}")
        self._low, self._high = float(low), float(high)
        self._span = self._high - self._low
        choice("direction", direction, "up", "down", "both")
        if baseline is not None:
            margin = _MARGIN * self._span
            if not low + margin <= finite("baseline", baseline) <= high - margin:
                raise refusal("baseline", baseline, f"between low = {low:g} and high = {high:g}")
            baseline = float(baseline)
        self.threshold = every * (2.0 if direction == "both" else 1.0)
        if baseline is None:
            self.threshold /= 1.0 - _DOUBT
        super().__init__(
            baseline=baseline,
            low=self._low,
            high=self._high,
            false_alarm_every=every,
            direction=direction,
            on_missing=on_missing,
        )

    def _begin(self) -> None:
        self._learning: list[float] = []
        self._level_now = [0, 0.0]
        self._sides: list[list[Any]] = []
        if self.settings["baseline"] is not None:
            m = (self.settings["baseline"] - self._low) / self._span
            self._bet_from(m, m)

    def _bet_from(self, most: float, least: float) -> None:
        """Begin to bet that the mean is above the first, or below the second.

        A side is its sign, its baseline, whether it has alarmed, what the bets of each size have
        won that began anywhere (after an alarm: on the other side), what the one won that began
        where it should have, and where that was, with the count and the sum of values before.
        """
        direction = self.settings["direction"]
        self._sides = []
        if direction != "down":
            self._sides.append([1, most, 0, *self._no_bets()])
        if direction != "up":
            self._sides.append([-1, 1.0 - least, 0, *self._no_bets()])

    def _no_bets(self) -> list[Any]:
        n, total = self._level_now
        places = [[self._at, n, total] for _ in BETS]
        return [[0.0] * len(BETS), [1.0] * len(BETS), places]

    def _step(self, x: float) -> Change | None:
        u = (x - self._low) / self._span
        if not self._sides:
            self._learn(u)
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
                places[j] = [self._at, *self._level_now]
            best[j] = longest
        return bool(sum(won) >= self.threshold * len(BETS))

    def _alarm(self, side: list[Any]) -> Change:
        sign, m, _, won, best, places = side
        statistic = sum(won) / len(BETS)
        onset, n, total = places[max(range(len(BETS)), key=best.__getitem__)]
        onset = min(int(onset), self._at - 1)
        after = (self._level_now[1] - total) / max(self._level_now[0] - n, 1)
        side[2:4] = [1, [1.0] * len(BETS)]
        before = self._value(m if sign > 0 else 1.0 - m)
        return self._found(
            onset, before, self._value(after), statistic=statistic, threshold=self.threshold
        )

    def _learn(self, u: float) -> None:
        self._learning.append(u)
        if len(self._learning) < LEARNT:
            return
        values = np.array(self._learning)
        doubt = _DOUBT / (2.0 if self.settings["direction"] == "both" else 1.0)
        most, least = upper_bound(values, doubt), 1.0 - upper_bound(1.0 - values, doubt)
        self._level_now = [LEARNT, float(values.sum())]
        self._bet_from(max(most, _MARGIN), min(least, 1.0 - _MARGIN))

    def _value(self, u: float) -> float:
        return self._low + u * self._span

    @property
    def _ready(self) -> bool:
        seen = self._sides and self._level_now[0]
        return bool(seen) and not any(side[2] for side in self._sides)

    def _level(self) -> float | None:
        n, total = self._level_now
        return self._value(total / n) if n else None

    def _notes(self) -> Mapping[str, Any]:
        if len(self._learning) < LEARNT:
            return {}
        found = autocorrelation(self._learning)
        covered = abs(found) < 3.0 / math.sqrt(LEARNT)
        return {"autocorrelation": round(found, 3), "rate_holds": covered}


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


def autocorrelation(values: list[float]) -> float:
    """Give the correlation of values with those before them; 0 if they are all the same."""
    given = np.array(values)
    off = given - given.mean()
    spread = float(off @ off)
    return float(off[1:] @ off[:-1]) / spread if spread else 0.0
