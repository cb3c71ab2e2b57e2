"""A scan over all ends of a stream: is the mean of the last values that of those before?

The last 4 to 31 values are compared with all before them after each value, the last 32, 34 and so
on to 62 after every second, and so on without end. So about 44 comparisons a value find changes of
every size, and the sums at 32 places for each doubling of the length are all that is kept.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from mlguard.arguments import choice, finite, refusal, whole
from mlguard.drift.streams.detector import Change, Detector, Direction, OnMissing
from mlguard.drift.streams.families import FAMILIES
from mlguard.drift.streams.reading import Range, rates
from mlguard.drift.streams.thresholds import heights

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlguard.drift.streams.thresholds import Heights

    Floats = NDArray[np.float64]

WARM_UP = 30
"""From so many values on, a window is compared with them."""
SHARE = 0.8
"""By so much times log(w / 4) a window of w values needs less: short ones are the more."""
LEAST = 1.0
"""So much evidence is needed at least."""
YOUNG = 60
"""A level is in doubt until it lasts so many times as long as when its change was found."""
CLEARER = 2.5
"""A change of a level in doubt needs so much more evidence than the change that began it."""
SHORTEST = 4
_FEWEST, _MOST = 16, 31
"""So many places back windows begin; in the first row, from the shortest on."""
_PLACES = 32
_LEVELS = 40
SIGNS = {"up": 1.0, "down": -1.0, "both": 0.0}
_ROUNDING = 1e-6
_DOUBT = 1e-5


class ScanGLR(Detector):
    """Compares the last values with all before, for windows of every size. Not thread-safe.

    Per process; `state()` and `from_state` carry it over a restart. The detector to begin with: it
    finds strong changes soon and weak ones at last, needs no reference and no unit, and goes on
    from the onset it found, so that the new level is known at once. Its statistic is a generalised
    likelihood ratio; the thresholds are those of simulations, for the family, the rate of false
    alarms and the mean that the stream has.

    A stretch of odd values by chance looks like a change, and its end like another. So for a while
    after a change the next one must be clearer than it was; alarms by chance would come in pairs
    else. A return after few values is found later for that.

    Args:
        family: "gaussian" for any numbers, "bernoulli" for events (0 and 1), "poisson" for counts.
        false_alarm_every: So many observations pass on average until an alarm without a change, if
            values are independent and of the family.
        warn_every: Likewise until a first warning; by default there are none.
        direction: "up", "down", or "both".
        threshold: The evidence that a window of 4 values needs, in place of that for the rate.
        block: As in `Detector`, with "gaussian".
        on_missing: As in `Detector`.

    Raises:
        ConfigurationError: An argument is not of its kind or range.

    Examples:
        >>> import numpy as np
        >>> rng = np.random.default_rng(1)
        >>> errors = ScanGLR("bernoulli")
        >>> [change] = errors.observe_many(rng.random(2000) < np.repeat([0.1, 0.3], 1000))
        >>> change.onset, change.at
        (1012, 1131)
    """

    __slots__ = (
        "_bounds",
        "_family",
        "_heights",
        "_n",
        "_origin",
        "_range",
        "_rows",
        "_sign",
        "_sums",
        "_warnings",
        "_young",
    )

    _kind = "scan_glr"
    _kept = ("_n", "_origin", "_rows", "_sums", "_young")

    def __init__(
        self,
        family: str = "gaussian",
        *,
        false_alarm_every: float = 1_000_000,
        warn_every: float | None = None,
        direction: Direction = "both",
        threshold: float | None = None,
        block: int = 1,
        on_missing: OnMissing = "skip",
    ) -> None:
        self._family = FAMILIES[choice("family", family, *FAMILIES)]
        self._range = Range(self._family.lowest, self._family.highest, self._family.whole)
        self._sign = SIGNS[choice("direction", direction, *SIGNS)]
        block = whole("block", block, 1)
        if block > 1 and family != "gaussian":
            raise refusal("family", family, f'"gaussian" with block = {block}: so means are')
        every, warn = rates(false_alarm_every, warn_every, block)
        self._heights = (
            heights(family, direction, every / block)
            if threshold is None
            else ([0.0], [finite("threshold", threshold)])
        )
        self._warnings = heights(family, direction, warn / block) if warn else None
        least = min(self._heights[1])
        self._bounds = [height(least, _MOST << r) for r in range(_LEVELS)]
        super().__init__(
            family=family,
            false_alarm_every=every if threshold is None else None,
            warn_every=warn,
            direction=direction,
            threshold=threshold,
            block=block,
            on_missing=on_missing,
        )

    def _begin(self) -> None:
        self._origin: float | None = None if self.settings["family"] == "gaussian" else 0.0
        self._restart(0, 0.0, 0.0)

    def _restart(self, n: int, total: float, squares: float) -> None:
        """Begin with n values of the level, as sums of deviations from the origin.

        Row r holds both sums at the last places that 2**r divides.
        """
        self._n = n
        self._sums = [total, squares]
        self._rows: list[list[list[float]]] = []
        self._young = [0.0, 0.0]

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
        rows, may, r, due, fewest = self._rows, False, 0, n, SHORTEST
        while True:
            if r == len(rows):
                rows.append([[], []])
            sums, both = rows[r]
            here = len(sums)
            if here >= fewest:
                bound = self._bounds[r] * spread
                step = 1 << r
                before = n - (min(here, _MOST) << r)
                for earlier in sums[-_MOST : 1 - fewest]:
                    e = before * mean - earlier
                    if e * e > bound * (before * (n - before)):
                        may = True
                    before += step
                if here == _PLACES:
                    del sums[0], both[0]
            sums.append(total)
            both.append(squares)
            if due & 1:
                return self._judge() if may else None
            due >>= 1
            r += 1
            fewest = _FEWEST

    def _judge(self) -> Change | None:
        for r in range(len(self._rows)):
            if self._n & ((1 << r) - 1):
                break
            if self._beyond(r, self._heights):
                return self._cut(self.threshold)
        return None

    def _beyond(self, r: int, found: Heights) -> bool:
        """Tell whether a window of a row was beyond its threshold when it was due last."""
        n = self._n >> r << r
        totals, squares = self._rows[r]
        needed = self._needed(found, totals[-1] / n)
        ends = totals[-1 - (_FEWEST if r else SHORTEST) :: -1]
        bar = self._bar(n) if found is self._heights else 0.0
        return any(
            self._evidence(n, totals[-1], squares[-1], w, before) > max(height(needed, w), bar)
            for w, before in zip(windows_of(r), ends, strict=False)
        )

    def _bar(self, n: int) -> float:
        """Give what every window needs while a change has just begun the level."""
        until, bar = self._young
        return bar if n < until else 0.0

    def _evidence(self, n: int, total: float, squares: float, w: int, before: float) -> float:
        """Give what says that the last w values have another mean, in the direction watched."""
        if n - w < WARM_UP or self._sign * (total * (n - w) - before * n) < 0.0:
            return 0.0
        return self._family.evidence(n, total, squares, w, total - before)

    def _windows(self) -> list[tuple[float, int, float, float]]:
        """Give the windows since every place that is kept: evidence, size, both sums before."""
        n, (total, all_squares) = self._n, self._sums
        found = []
        for r, row in enumerate(self._rows):
            w = n & ((1 << r) - 1)
            for before, squares in zip(*map(reversed, row), strict=True):
                if w >= SHORTEST:
                    evidence = self._evidence(n, total, all_squares, w, before)
                    found.append((evidence, w, before, squares))
                w += 1 << r
        return found

    def _cut(self, needed: float) -> Change:
        """Report the onset where the means differ most clearly, and go on from there."""
        found, w, before, squares_before = max(self._windows())
        total, squares = self._sums[0] - before, self._sums[1] - squares_before
        origin = self._origin or 0.0
        change = self._found(
            w,
            origin + before / (self._n - w),
            origin + total / w,
            statistic=found,
            threshold=height(needed, w),
        )
        if self.settings["family"] == "gaussian":
            moved = total / w
            self._origin = origin + moved
            squares = max(squares - moved * total, 0.0)
            total = 0.0
        self._restart(w, total, squares)
        every = self.settings["false_alarm_every"] or math.inf
        self._young = [float(min(YOUNG * w, every / self._per)), min(found, needed) + CLEARER]
        return change

    def _scan(self, values: Floats) -> tuple[int, Change | None]:
        """Take values up to a change, if there is one; give how many and it."""
        if self._origin is None:
            self._origin = float(values[0])
        first, end = self._n, self._n + len(values)
        d = values - self._origin
        totals = np.cumsum(np.concatenate((self._sums[:1], d)))
        squares = np.cumsum(np.concatenate((self._sums[1:], d * d)))
        places = np.maximum(np.arange(first, end + 1), 1)
        means = totals / places
        noise = self._family.spread(places, totals, squares) / places
        alarm, least = end + 1, min(self._heights[1])
        rows = []
        for r in range(end.bit_length()):
            ends = np.arange((first >> r) + 1, (end >> r) + 1) << r
            known = self._rows[r] if r < len(self._rows) else [[], []]
            here = ends - first
            row = [
                np.concatenate((old, new[here]))
                for old, new in zip(known, (totals, squares), strict=True)
            ]
            rows.append(row)
            if not len(ends):
                continue
            i, sizes, sums = beyond(r, row[0], ends, means[here], self._bounds[r] * noise[here])
            at = here[i]
            found = self._family.evidences(
                ends[i], totals[at], squares[at], sizes, totals[at] - sums
            )
            likely = found > np.maximum(least - SHARE * np.log(sizes / SHORTEST), LEAST) - _DOUBT
            for j in np.flatnonzero(likely).tolist():
                if ends[i[j]] >= alarm:
                    break
                n, w = int(ends[i[j]]), int(sizes[j])
                total, square = float(totals[at[j]]), float(squares[at[j]])
                needed = self._needed(self._heights, total / n)
                line = max(height(needed, w), self._bar(n))
                if self._evidence(n, total, square, w, float(sums[j])) > line:
                    alarm = n
        now = min(alarm, end)
        for r, row in enumerate(rows):
            until = len(row[0]) - (end >> r) + (now >> r)
            if until:
                last = slice(max(until - _PLACES, 0), until)
                self._rows[r : r + 1] = [[each[last].tolist() for each in row]]
        self._n, self._at = now, self._at + (now - first) * self._per
        self._sums = [float(totals[now - first]), float(squares[now - first])]
        return now - first, self._judge() if alarm <= end else None

    @property
    def threshold(self) -> float:
        """The evidence that a window of 4 values needs now; one of w, 0.8 log(w / 4) less."""
        return self._needed(self._heights, self._sums[0] / self._n if self._n else 0.0)

    def _needed(self, found: Heights, mean: float) -> float:
        return float(np.interp(self._family.scale(mean), *found))

    def _warned(self) -> bool:
        return self._warnings is not None and any(
            self._beyond(r, self._warnings) for r in range(len(self._rows))
        )

    @property
    def _ready(self) -> bool:
        return self._n >= WARM_UP + SHORTEST

    def _level(self) -> float | None:
        return (self._origin or 0.0) + self._sums[0] / self._n if self._n else None


def height(needed: float, w: int) -> float:
    """Give what a window of w values needs, from what the shortest one does."""
    return max(needed - SHARE * math.log(w / SHORTEST), LEAST)


def windows_of(r: int) -> list[int]:
    """Give the sizes of the windows of a row: they end where 2**r divides."""
    return [j << r for j in range(_FEWEST if r else SHORTEST, _MOST + 1)]


def beyond(
    r: int, sums: Floats, ends: NDArray[np.int64], means: Floats, noise: Floats
) -> tuple[NDArray[np.int64], NDArray[np.int64], Floats]:
    """Give the windows of a row that may be beyond their threshold, in the order of their ends.

    As numbers of ends, sizes, and sums before. The smallest and the largest sum of some
    places tell for all of them at once that none is.
    """
    known = len(sums) - len(ends)
    middle = means[-1]
    off = sums - middle * (ends[-1] - (np.arange(len(sums) - 1, -1, -1) << r))
    now, drift = off[known:], np.abs(means - middle)
    low = high = np.concatenate((np.full(_MOST, off[0]), off))
    size, found = 1, []
    while size < _FEWEST:
        low, high = np.minimum(low[:-size], low[size:]), np.maximum(high[:-size], high[size:])
        size *= 2
        if size < (_FEWEST if r else SHORTEST):
            continue
        start = known + _MOST + 1 - 2 * size
        some = slice(start, start + len(ends))
        narrow, wide = size << r, (2 * size - 1) << r
        before = np.maximum(ends - wide, WARM_UP)
        least = np.minimum(narrow * (ends - narrow), before * (ends - before))
        far = np.maximum(now - low[some], high[some] - now) + wide * drift
        i = np.flatnonzero(far * far > (1.0 - _ROUNDING) * noise * least)
        j = np.arange(size, 2 * size)
        place = i[:, None] + (known - j)
        begin = ends[i, None] - (j << r)
        earlier = sums[np.maximum(place, 0)]
        e = begin * means[i, None] - earlier
        hit = (e * e > noise[i, None] * (begin * (ends[i, None] - begin))) & (place >= 0)
        row, column = np.nonzero(hit & (begin >= WARM_UP))
        found.append((i[row], (size + column) << r, earlier[row, column]))
    which, sizes, before = (np.concatenate(each) for each in zip(*found, strict=True))
    order = np.argsort(which, kind="stable")
    return which[order], sizes[order], before[order]
