"""Bets on the difference of two means of bounded values: may be looked at after every interval.

Each value of the smaller arm is paired with the mean of its part of the larger arm's values. For
pairs whose differences d lie between -1 and 1 and have a mean m, a bet b wins, on either side,

    product of (1 + b d) * exp(-b m),

which is at most 1 on average for any b between -1 and 1, as 1 + x is at most exp(x). A level that
both arms share is in neither d nor m. The logarithm is linear in m, so one small state answers
for every m: tests in both directions and a confidence sequence.

How values are paired must not depend on them, so what is lost by a bet is averaged over all
pairings: an exponential is convex, and the mean of e-values is an e-value. Of log(1 + b d) the
first three terms are taken and the fourth as large as it can be for d = -1 (after X. Fan,
I. Grama, Q. Liu, 2015, who do so with the second): so the sums of four powers are enough.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from mlguard.arguments import finite, refusal, share, whole
from mlguard.stats import sequential

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

BETS = np.geomspace(0.001, 0.95, 20)
"""Parts of the stake. The best one is the difference over the variance of pairs, within -1…1."""

_WEIGHTS = np.full(len(BETS), 1.0 / len(BETS))

_TERMS = np.stack([BETS**2 / 2.0, BETS**3 / 3.0])
_LAST = -np.log1p(-BETS) - BETS - _TERMS.sum(axis=0)
_LOST = np.stack([[_TERMS[0], -_TERMS[1], _LAST], [_TERMS[0], _TERMS[1], _LAST]])
"""What each bet on "higher" and "lower" loses by the second, third and fourth power of a pair."""


@dataclass(frozen=True, slots=True)
class Sums:
    """What the bets need of an arm's values in an interval: sums of powers. Immutable, mergeable.

    Attributes:
        n: Number of values.
        powers: Sums of the values, where the lowest possible one counts 0 and the highest 1, of
            their squares, of their third and of their fourth powers.
    """

    n: int
    powers: tuple[float, float, float, float]

    @classmethod
    def of(cls, values: ArrayLike, *, low: float, high: float) -> Self:
        """Sum up values.

        Args:
            values: All between `low` and `high`.
            low: The lowest possible value.
            high: The highest possible value.

        Raises:
            ConfigurationError: A value is missing or lies outside.
        """
        given = np.asarray(values, dtype=np.float64).ravel()
        inside = (given >= low) & (given <= high)
        if not inside.all():
            wrong = float(given[~inside][0])
            raise refusal("values", wrong, f"between {low:g} and {high:g}")
        scaled = (given - low) / (high - low)
        squares = scaled * scaled
        powers = scaled.sum(), squares.sum(), squares @ scaled, squares @ squares
        first, second, third, fourth = map(float, powers)
        return cls(len(given), (first, second, third, fourth))

    @classmethod
    def of_events(cls, events: int, n: int) -> Self:
        """Sum up n values of which so many are 1, the others 0: the mean is the rate of events.

        Raises:
            ConfigurationError: There are more events than values.

        Examples:
            >>> bets = Bets.none()
            >>> for canary, baseline in (40, 310), (55, 640), (21, 180):
            ...     bets = bets.after(
            ...         Sums.of_events(canary, 1_000), Sums.of_events(baseline, 19_000)
            ...     )
            >>> low, high = bets.interval(0.05)
            >>> f"rates differ by {bets.difference:.2%}, between {low:.2%} and {high:.2%}"
            'rates differ by 1.88%, between 0.74% and 3.25%'
        """
        if whole("events", events) > whole("n", n):
            raise refusal("events", events, f"at most n = {n}")
        return cls(n, (events, events, events, events))

    def __add__(self, other: Sums) -> Sums:
        """Give the sums of all values of both."""
        first, second, third, fourth = map(sum, zip(self.powers, other.powers, strict=True))
        return Sums(self.n + other.n, (first, second, third, fourth))

    @property
    def mean(self) -> float:
        """The mean, where the lowest possible value counts 0 and the highest 1."""
        return self.powers[0] / self.n


NO_VALUES = Sums(0, (0.0, 0.0, 0.0, 0.0))


@dataclass(frozen=True, slots=True)
class Bets:
    """What bounded values of two arms say about the difference of their means. Immutable.

    The difference is the canary's mean less the baseline's. It may change from interval to
    interval: the claims are about its average over the intervals so far, each weighted with its
    pairs, as many as the smaller arm had values. The probability that a claim is ever false is
    at most its alpha, at any number of looks, whatever the shares are and however the level that
    both arms share moves.

    This holds if values are independent given the past, and an interval's numbers of values do
    not depend on the values. Within an interval a mean may move, if both arms have the same
    part of their values at each level, as random assignment has it. An event rate is the mean
    of values 0 and 1: see `Sums.of_events`.

    Attributes:
        low: The lowest possible value.
        high: The highest possible value.
        seen: Number of values of canary and baseline.
        pairs: Each a value of the smaller arm with its part of the larger one's.
        lead: Sum over them of the canary's value less the baseline's, within -1…1.
        losses: By which each bet on "higher" and "lower" wins less than its part of the lead, in
            logarithms, shape (2, bets).

    Examples:
        >>> rng = np.random.default_rng(1)
        >>> bets = Bets.none(low=0.0, high=10.0)
        >>> for _ in range(20):
        ...     canary, baseline = rng.uniform(1, 10, 50), rng.uniform(0, 9, 450)
        ...     bets = bets.after(bets.sums(canary), bets.sums(baseline))
        >>> bets.above(0.0) >= math.log(1 / 0.05), bets.below(2.0) >= math.log(1 / 0.05)
        (True, True)
        >>> low, high = bets.interval(0.05)
        >>> f"{bets.difference:.1f}, between {low:.1f} and {high:.1f}"
        '1.1, between 0.8 and 1.4'
    """

    low: float
    high: float
    seen: tuple[int, int]
    pairs: int
    lead: float
    losses: Floats

    @classmethod
    def none(cls, *, low: float = 0.0, high: float = 1.0) -> Self:
        """Begin with nothing.

        Args:
            low: The lowest possible value.
            high: The highest possible value; the nearer the two, the sooner something is known.

        Raises:
            ConfigurationError: `high` is not above `low`.
        """
        if not finite("low", low) < finite("high", high):
            raise refusal("high", high, f"above low = {low:g}")
        return cls(float(low), float(high), (0, 0), 0, 0.0, np.zeros((2, len(BETS))))

    def sums(self, values: ArrayLike) -> Sums:
        """Sum up an arm's values in an interval, for `after`."""
        return Sums.of(values, low=self.low, high=self.high)

    def after(self, canary: Sums, baseline: Sums) -> Bets:
        """Add an interval; one in which an arm had no values changes nothing."""
        if not canary.n or not baseline.n:
            return self
        pairs = min(canary.n, baseline.n)
        return Bets(
            self.low,
            self.high,
            (self.seen[0] + canary.n, self.seen[1] + baseline.n),
            self.pairs + pairs,
            self.lead + pairs * (canary.mean - baseline.mean),
            self.losses + np.array(paired(canary, baseline)) @ _LOST,
        )

    @property
    def difference(self) -> float:
        """The canary's mean less the baseline's, averaged over all pairs; NaN before any."""
        return self._span * self.lead / self.pairs if self.pairs else math.nan

    def above(self, difference: float) -> float:
        """Give the log e-value against "the difference is at most so much"."""
        return self._won(0, self.lead - self.pairs * difference / self._span)

    def below(self, difference: float) -> float:
        """Give the log e-value against "the difference is at least so much"."""
        return self._won(1, self.pairs * difference / self._span - self.lead)

    def least(self, limit: float) -> float:
        """Give the largest difference that is proven to be exceeded: `above` it is `limit`.

        Args:
            limit: log(1 / alpha).
        """
        if not self.pairs:
            return -self._span
        return max(self._span * (self.lead - self._needed(0, limit)) / self.pairs, -self._span)

    def most(self, limit: float) -> float:
        """Give the smallest difference that is proven not to be reached: `below` it is `limit`.

        Args:
            limit: log(1 / alpha).
        """
        if not self.pairs:
            return self._span
        return min(self._span * (self.lead + self._needed(1, limit)) / self.pairs, self._span)

    def interval(self, alpha: float) -> tuple[float, float]:
        """Give the confidence sequence of the difference: valid at any look.

        Args:
            alpha: That the average difference is ever left out.
        """
        limit = math.log(2.0 / share("alpha", alpha))
        return self.least(limit), self.most(limit)

    @property
    def digest(self) -> str:
        """Stands for the evidence, to the last bit."""
        rest = np.array([self.low, self.high, *self.seen, self.pairs, self.lead])
        content = rest.tobytes() + self.losses.tobytes()
        return hashlib.blake2b(content, digest_size=8).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """Give plain JSON."""
        return {
            "low": self.low,
            "high": self.high,
            "seen": list(self.seen),
            "pairs": self.pairs,
            "lead": self.lead,
            "losses": self.losses.tolist(),
        }

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Self:
        """Read what `to_dict` wrote."""
        canary, baseline = record["seen"]
        return cls(
            float(record["low"]),
            float(record["high"]),
            (int(canary), int(baseline)),
            int(record["pairs"]),
            float(record["lead"]),
            np.array(record["losses"], dtype=np.float64).reshape(2, len(BETS)),
        )

    @property
    def _span(self) -> float:
        return self.high - self.low

    def _won(self, side: int, lead: float) -> float:
        return float(sequential.mixture(BETS * lead - self.losses[side], _WEIGHTS))

    def _needed(self, side: int, limit: float) -> float:
        """Give the lead with which the bets have won so much, by Newton's method from above."""
        losses = self.losses[side]
        lead = float(((limit + math.log(len(BETS)) + losses) / BETS).min())
        while True:
            logs = BETS * lead - losses
            parts = np.exp(logs - logs.max())
            slope = float(parts @ BETS / parts.sum())
            step = (self._won(side, lead) - limit) / slope
            if not step > 1e-12 * lead:  # so that a limit that is no number ends it too
                return lead
            lead -= step


def paired(canary: Sums, baseline: Sums) -> tuple[float, float, float]:
    """Give the sums of second, third and fourth powers of pairs, on average over all pairings.

    The larger arm's values are dealt out to the smaller arm's as evenly as they go. Their means
    are taken as of values drawn with replacement: what a bet loses is convex, and so no smaller
    for it (W. Hoeffding, 1963).

    Args:
        canary: At least one value.
        baseline: Likewise.
    """
    pairs = min(canary.n, baseline.n)
    size, larger = divmod(max(canary.n, baseline.n), pairs)
    d = canary.mean - baseline.mean
    of_canary, of_baseline = _cumulants(canary), _cumulants(baseline)
    found = [0.0, 0.0, 0.0]
    for values, many in ((size, pairs - larger), (size + 1, larger)):
        ours, theirs = (values, 1) if canary.n > baseline.n else (1, values)
        second, third, fourth = (
            a / ours**order + (-1) ** (order + 1) * b / theirs**order
            for order, a, b in zip((1, 2, 3), of_canary, of_baseline, strict=True)
        )
        found[0] += many * (second + d**2)
        found[1] += many * (third + 3.0 * d * second + d**3)
        found[2] += many * (fourth + 3.0 * second**2 + 4.0 * d * third + 6.0 * d**2 * second + d**4)
    return found[0], found[1], found[2]


def _cumulants(sums: Sums) -> tuple[float, float, float]:
    """Give the second, third and fourth cumulant of a value drawn from those summed up."""
    mean, second, third, fourth = (power / sums.n for power in sums.powers)
    variance = second - mean**2
    skew = third - 3.0 * mean * second + 2.0 * mean**3
    tail = fourth - 4.0 * mean * third + 6.0 * mean**2 * second - 3.0 * mean**4
    return variance, skew, tail - 3.0 * variance**2
