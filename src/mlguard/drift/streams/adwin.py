"""ADWIN: a window that is as long as its two parts have the same mean, however it is cut.

The values since the last change are kept as sums of 1, 2, 4 and so on of them, five or four of
each. Which ones those are depends on the number of values only. So what is kept is the sum from the
beginning up to the end of each: two parts become one by dropping a number.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from mlguard.arguments import share, whole
from mlguard.drift.streams.detector import Change, Detector, OnMissing
from mlguard.drift.streams.reading import rates

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

EVERY = 32
"""The cuts are looked at whenever so many more values are there."""
FEWEST = 5
"""Each side of a cut has so many values at least."""
_MOST = 5
"""So many sums of one size are kept at most."""
_SIZES = 40


class Adwin(Detector):
    """Compares the parts of a window for every cut of it. Not thread-safe: one writer.

    Per process; `state()` and `from_state` carry it over a restart. It gives an alarm exactly where
    `river.drift.ADWIN` does (A. Bifet, R. Gavalda, 2007), with its defaults. As there, it forgets
    all after a change, and looks only at every 32nd value. It is good at weak and slow changes, of
    any values, and stores a few hundred numbers at most.

    Args:
        false_alarm_every: So many observations pass on average, at least, until an alarm without a
            change, in simulations of normal values and of events of any rate.
        warn_every: Likewise until a first warning; by default there are none.
        delta: River's parameter, in place of the rate; its default there is 0.002. The threshold
            is log(2 log(n) / delta) for a window of n values.
        block: As in `Detector`.
        on_missing: As in `Detector`.

    Raises:
        ConfigurationError: An argument is not of its kind or range.

    Examples:
        >>> import numpy as np
        >>> rng = np.random.default_rng(1)
        >>> detector = Adwin(delta=0.002)
        >>> [change] = detector.observe_many(rng.random(2000) < np.repeat([0.1, 0.3], 1000))
        >>> change.onset, change.at
        (1056, 1183)
    """

    __slots__ = ("_looked", "_n", "_pending", "_rows", "_total", "_variance", "_warn", "delta")

    _kind = "adwin"
    _kept = ("_looked", "_n", "_pending", "_rows", "_total", "_variance")

    def __init__(
        self,
        *,
        false_alarm_every: float = 1_000_000,
        warn_every: float | None = None,
        delta: float | None = None,
        block: int = 1,
        on_missing: OnMissing = "skip",
    ) -> None:
        block = whole("block", block, 1)
        every, warn = rates(false_alarm_every, warn_every, block)
        self.delta = delta_of(every / block) if delta is None else share("delta", delta)
        self._warn = delta_of(warn / block) if warn else None
        super().__init__(
            false_alarm_every=every if delta is None else None,
            warn_every=warn,
            delta=self.delta,
            block=block,
            on_missing=on_missing,
        )

    def _begin(self) -> None:
        self._n = 0
        self._total = self._variance = self._looked = 0.0
        self._rows: list[list[float]] = [[]]
        self._pending: list[float] = []

    def _step(self, x: float) -> Change | None:
        n, total = self._n, self._total
        if n:
            off = x - total / n
            self._variance += n * off * off / (n + 1.0)
        self._n = n + 1
        self._total = total = total + x
        self._pending.append(total)
        if (n + 1) % EVERY:
            return None
        self._stow()
        self._looked = self._variance
        return self._cut() if self._beyond(self.delta) else None

    def _stow(self) -> None:
        """Take the pending sums into the rows; of a full row, every second one goes up."""
        rows = self._rows
        arriving, self._pending = self._pending, []
        for r in range(_SIZES):
            row = rows[r]
            row += arriving
            up = (len(row) - _MOST + 1) // 2
            if up <= 0:
                break
            arriving = row[1 : 2 * up : 2]
            del row[: 2 * up]
            if r + 1 == len(rows):
                rows.append([])

    def _beyond(self, delta: float) -> bool:
        """Tell whether a cut was beyond its threshold when they were looked at last."""
        n, total = self._n - len(self._pending), self._rows[0][-1]
        doubt, width = _doubt(n, delta), float(n)
        noise = 2.0 * (self._looked / width) * doubt
        slack = 2.0 / 3.0 * doubt
        done = 0.0
        for r in range(len(self._rows) - 1, -1, -1):
            size = float(1 << r)
            for left in self._rows[r]:
                done += size
                rest = width - done
                if done < FEWEST or rest < FEWEST:
                    continue
                apart = left / done - (total - left) / rest
                inverse = 1.0 / (done - FEWEST + 1.0) + 1.0 / (rest - FEWEST + 1.0)
                apart = abs(apart) - slack * inverse
                if apart > 0.0 and apart * apart > noise * inverse:
                    return True
        return False

    def _cut(self) -> Change:
        """Cut where the parts differ most clearly, and forget all."""
        n, total, done = self._n, self._total, 0
        noise, most = math.sqrt(2.0 * self._variance / n), 0.0
        clearest = (-1.0, 0, 0.0)
        for r in range(len(self._rows) - 1, -1, -1):
            for left in self._rows[r]:
                done += 1 << r
                rest = n - done
                if done < FEWEST or rest < FEWEST:
                    continue
                apart = left / done - (total - left) / rest
                clearest = max(clearest, (apart * apart * done * rest, done, left))
                inverse = 1.0 / (done - FEWEST + 1.0) + 1.0 / (rest - FEWEST + 1.0)
                root = 0.75 * (math.sqrt(noise * noise + 8.0 / 3.0 * abs(apart)) - noise)
                most = max(most, root * root / inverse)
        _, done, left = clearest
        change = self._found(
            n - done,
            left / done,
            (total - left) / (n - done),
            statistic=most,
            threshold=_doubt(n, self.delta),
        )
        self._begin()
        return change

    def _scan(self, values: Floats) -> tuple[int, Change | None]:
        """Take values up to a change, if there is one; give how many and it."""
        first = self._n
        counts = np.arange(first, first + len(values), dtype=np.float64)
        totals = np.cumsum(np.r_[self._total, values])
        off = values - totals[:-1] / np.maximum(counts, 1.0)
        variances = np.cumsum(np.r_[self._variance, counts * off * off / (counts + 1.0)])
        looks = np.arange(first // EVERY + 1, (first + len(values)) // EVERY + 1) * EVERY
        known = first - len(self._pending)
        sums = np.r_[self._pending, totals[1:]]  # the first is that of known + 1 values
        hit = self._first(looks, known, sums, variances[looks - first]) if len(looks) else None
        now = len(values) if hit is None else int(hit) - first
        last = (first + now) // EVERY * EVERY
        if last > known:
            self._looked = float(variances[last - first])
            self._pending = sums[: last - known].tolist()
            self._stow()
            known_now = last
        else:
            known_now = known
        self._pending = sums[known_now - known : first + now - known].tolist()
        self._n, self._at = first + now, self._at + now * self._per
        self._total, self._variance = float(totals[now]), float(variances[now])
        return now, None if hit is None else self._cut()

    def _first(
        self, looks: NDArray[np.int64], known: int, sums: Floats, variances: Floats
    ) -> int | None:
        """Give the first number of values at which a cut shows a change."""
        ends, there = _ends(looks)
        old = np.array([total for row in reversed(self._rows) for total in row])
        sizes = [1 << r for r in range(len(self._rows) - 1, -1, -1) for _ in self._rows[r]]
        places = np.cumsum(np.array(sizes, dtype=np.int64))
        done = np.where(there, ends, looks[:, None])
        table = np.r_[old, sums]
        where = done - known - 1 + len(old)
        earlier = done <= known
        where[earlier] = np.searchsorted(places, done[earlier])
        left = table[where]
        total = sums[looks - known - 1][:, None]
        width = looks[:, None].astype(np.float64)
        rest = width - done
        usable = there & (done >= FEWEST) & (rest >= FEWEST)
        done, rest = np.where(usable, done, FEWEST), np.where(usable, rest, FEWEST)
        doubt = np.array([_doubt(n, self.delta) for n in looks.tolist()])[:, None]
        inverse = 1.0 / (done - FEWEST + 1.0) + 1.0 / (rest - FEWEST + 1.0)
        apart = np.abs(left / done - (total - left) / rest) - 2.0 / 3.0 * doubt * inverse
        noise = 2.0 * (variances[:, None] / width) * doubt * inverse
        beyond = (usable & (apart > 0.0) & (apart * apart > noise)).any(axis=1)
        return int(looks[beyond.argmax()]) if beyond.any() else None

    @property
    def threshold(self) -> float:
        """What the evidence of a cut has to exceed when they are looked at next."""
        return _doubt(self._n - self._n % EVERY + EVERY, self.delta)

    def _warned(self) -> bool:
        return self._warn is not None and self._beyond(self._warn)

    @property
    def _ready(self) -> bool:
        return self._n >= EVERY

    def _level(self) -> float | None:
        return self._total / self._n if self._n else None


def _doubt(n: int, delta: float) -> float:
    return math.log(2.0 * math.log(n) / delta)


def _ends(looks: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Give where sums end, for numbers of values: of row r, which ends are there, and where."""
    arrived: Any = looks
    ends, there = [], []
    fifth = np.arange(1, _MOST + 1)
    for r in range(_SIZES):
        if not arrived.any():
            break
        up = np.maximum((arrived - _MOST + 1) // 2, 0)
        each = 2 * up[:, None] + fifth
        ends.append(each << r)
        there.append(each <= arrived[:, None])
        arrived = up
    return np.concatenate(ends, axis=1), np.concatenate(there, axis=1)


def delta_of(every: float) -> float:
    """Give the delta with which false alarms are at least so far apart.

    Of normal values with a large spread, for which they are the most frequent, they were 420 /
    delta**1.1 apart or a little more, for every delta from 0.5 to 0.001.
    """
    return float(min((420.0 / every) ** (1.0 / 1.1), 0.5))
