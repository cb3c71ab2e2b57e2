"""A scan over all ends of a stream: is the mean of the last values that of those before?

The last 4 to 7 values are compared with all before them after each value, the last 8, 10, 12 and
14 after every second, and so on without end. So about 8 comparisons a value find changes of every
size, and the sums at 16 places for each doubling of the length are all that is kept.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from mlguard.arguments import choice
from mlguard.drift.streams.detector import Change, Detector, OnMissing, rate
from mlguard.drift.streams.families import FAMILIES
from mlguard.drift.streams.thresholds import heights, threshold

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

WARM_UP = 30
"""From so many values on, a window is compared with them."""
SHARE = 0.7
"""By so much times log(w / 4) a window of w values needs less: short ones are the more."""
_SHORTEST, _LONGEST = 4, 7
_PLACES = 16
"""So many places a row are kept, more than are compared, for the onset to be exact."""
_LEVELS = 40


class ScanGLR(Detector):
    """Compares the last values with all before, for windows of every size. Not thread-safe.

    Per process; `state()` and `from_state` carry it over a restart. The detector to begin with: it
    finds strong changes soon and weak ones at last, needs no reference and no unit, and goes on
    from the onset it found, so that the new level is known at once. Its statistic is a generalised
    likelihood ratio; the thresholds are those of simulations, for the family, the rate of false
    alarms and the mean that the stream has.

    Args:
        family: "gaussian" for any numbers, "bernoulli" for events (0 and 1), "poisson" for counts.
        false_alarm_every: So many observations pass on average until an alarm without a change, if
            values are independent and of the family.
        on_missing: What a missing value does: "skip" counts it, "raise" refuses it, "alarm" makes a
            hundred in a row a change.

    Raises:
        ConfigurationError: An argument is not of its kind or range.

    Examples:
        >>> import numpy as np
        >>> rng = np.random.default_rng(1)
        >>> errors = ScanGLR("bernoulli")
        >>> [change] = errors.observe_many(rng.random(2000) < np.repeat([0.1, 0.3], 1000))
        >>> change.onset, change.at
        (1001, 1080)
    """

    __slots__ = (
        "_bounds",
        "_family",
        "_heights",
        "_high",
        "_low",
        "_n",
        "_origin",
        "_rows",
        "_sums",
        "_whole",
    )

    _kind = "scan_glr"
    _kept = ("_n", "_origin", "_rows", "_sums")

    def __init__(
        self,
        family: str = "gaussian",
        *,
        false_alarm_every: float = 1_000_000,
        on_missing: OnMissing = "skip",
    ) -> None:
        self._family = FAMILIES[choice("family", family, *FAMILIES)]
        self._low, self._high = self._family.lowest, self._family.highest
        self._whole = self._family.whole
        every = rate(false_alarm_every)
        self._heights = heights(family, every)
        least = min(self._heights[1])
        self._bounds = [least - _eased(_LONGEST << r) for r in range(_LEVELS)]
        super().__init__(family=family, false_alarm_every=every, on_missing=on_missing)

    def _begin(self) -> None:
        self._origin: float | None = None if self.settings["family"] == "gaussian" else 0.0
        self._restart(0, 0.0, 0.0)

    def _restart(self, n: int, total: float, squares: float) -> None:
        """Begin with n values of the level, as sums of deviations from the origin.

        Row r holds the last places 2**r apart: n there, and both sums.
        """
        self._n = n
        self._sums = [total, squares]
        self._rows: list[list[list[float]]] = []

    def _step(self, x: float) -> Change | None:
        if self._origin is None:
            self._origin = x
        d = x - self._origin
        total, squares = self._sums
        total += d
        squares += d * d
        self._sums = [total, squares]
        self._n = n = self._n + 1
        mean = total / n
        spread = self._family.spread(n, total, squares) / n
        rows, may, r, due = self._rows, False, 0, n
        while True:
            if r == len(rows):
                rows.append([])
            row = rows[r]
            if len(row) >= _SHORTEST:
                bound = self._bounds[r] * spread
                for before, sum_before, _ in row[-_LONGEST : 1 - _SHORTEST]:
                    w = n - before
                    e = total - sum_before - w * mean
                    if e * e > bound * w * before and before >= WARM_UP:
                        may = True
                if len(row) == _PLACES:
                    del row[0]
            row.append([n, total, squares])
            if due & 1:
                return self._judge() if may else None
            due >>= 1
            r += 1

    def _judge(self) -> Change | None:
        """Compare what is beyond the bounds with its threshold."""
        n, (total, squares) = self._n, self._sums
        needed = self._needed(total / n)
        evidence = self._family.evidence
        for r, row in enumerate(self._rows):
            if n & ((1 << r) - 1):
                break
            for before, sum_before, _ in row[-1 - _LONGEST : -_SHORTEST]:
                w = n - int(before)
                found = evidence(n, total, squares, w, total - sum_before)
                if before >= WARM_UP and found > needed - _eased(w):
                    return self._cut(needed)
        return None

    def _cut(self, needed: float) -> Change:
        """Report the onset where the means differ most clearly, and go on from there."""
        n, (total, squares) = self._n, self._sums
        found, _, place = max(
            (
                self._family.evidence(n, total, squares, n - int(place[0]), total - place[1]),
                r,
                place,
            )
            for r, row in enumerate(self._rows)
            for place in row
            if place[0] <= n - _SHORTEST
        )
        before, sum_before, squares_before = place
        origin = self._origin or 0.0
        w = n - int(before)
        total, squares = total - sum_before, squares - squares_before
        change = self._found(
            self._place(self._at - self._missed - w),
            origin + sum_before / before,
            origin + total / w,
            statistic=found,
            threshold=needed - _eased(w),
        )
        if self.settings["family"] == "gaussian":
            moved = total / w
            self._origin = origin + moved
            squares = max(squares - moved * total, 0.0)
            total = 0.0
        self._restart(w, total, squares)
        return change

    def _block(self, values: Floats) -> list[Change]:
        found = []
        start, size = 0, 8192
        while start < len(values):
            if self._origin is None:
                self._origin = float(values[0])
            block = values[start : start + size]
            taken, change = self._scan(block)
            start += taken
            size = min(2 * size, 8192) if change is None else 512  # so little is done twice
            if change is not None:
                found.append(change)
        return found

    def _scan(self, values: Floats) -> tuple[int, Change | None]:
        """Take values up to a change, if there is one; give how many and it."""
        first = self._n
        d = values - self._origin  # type: ignore[operator]
        totals = np.cumsum(np.r_[self._sums[0], d])
        squares = np.cumsum(np.r_[self._sums[1], d * d])
        end = first + len(d)
        alarm = end + 1
        places = []
        for r in range(_LEVELS):
            n = np.arange((first >> r) + 1, (end >> r) + 1) << r
            if not len(n):
                break
            row = self._rows[r] if r < len(self._rows) else []
            kept = np.array(row, dtype=np.float64).reshape(-1, 3).T
            row_places = [
                np.concatenate([old, new])
                for old, new in zip(kept, (n, totals[n - first], squares[n - first]), strict=True)
            ]
            places.append(row_places)
            alarm = min(alarm, self._first_alarm(row_places, len(row), r, alarm))
        now = min(alarm, end)
        taken = now - first
        for r, row_places in enumerate(places):
            until = int(np.searchsorted(row_places[0], now, side="right"))
            last = zip(
                *(each[max(until - _PLACES, 0) : until].tolist() for each in row_places),
                strict=True,
            )
            if until:
                self._rows[r : r + 1] = [[[int(n), total, square] for n, total, square in last]]
        self._n, self._at = now, self._at + taken
        self._sums = [float(totals[taken]), float(squares[taken])]
        return taken, self._judge() if alarm <= end else None

    def _first_alarm(self, places: list[Floats], known: int, r: int, before: int) -> int:
        """Give the first new place of a row where a window is beyond its threshold, if before."""
        n, totals, squares = places
        mean = totals / n
        spread = self._family.spread(n, totals, squares) / n * self._bounds[r]
        for j in range(_SHORTEST, min(_LONGEST + 1, len(n))):
            start = max(known - j, 0)
            then, now = slice(start, -j), slice(start + j, None)
            w = j << r
            e = totals[now] - totals[then] - w * mean[now]
            beyond = (e * e > spread[now] * (w * n[then])) & (n[then] >= WARM_UP)
            for i in (np.flatnonzero(beyond) + start).tolist():
                at = int(n[i + j])
                if at >= before:
                    break
                total, square = float(totals[i + j]), float(squares[i + j])
                found = self._family.evidence(at, total, square, w, total - float(totals[i]))
                if found > self._needed(total / at) - _eased(w):
                    before = at
        return before

    def _needed(self, mean: float) -> float:
        return threshold(self.settings["family"], self._heights, mean)

    @property
    def _ready(self) -> bool:
        return self._n >= WARM_UP + _SHORTEST

    def _level(self) -> float | None:
        return (self._origin or 0.0) + self._sums[0] / self._n if self._n else None


def _eased(w: int) -> float:
    return SHARE * math.log(min(w, 1 << 20) / _SHORTEST)
