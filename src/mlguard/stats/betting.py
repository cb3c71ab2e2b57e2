"""Bets on the difference of two means of bounded values: may be looked at after every interval.

Each bet is a fixed part of what is at stake on "the canary's mean is higher". Over values x between
0 and 1 with conditional means m, and centres c that do not depend on the value they are for,

    exp(sum of b (x - m) - psi(b) (x - c)**2),  psi(b) = -log(1 - b) - b,

is at most 1 on average for any b between -1 and 1 (psi at its size): by X. Fan, I. Grama, Q. Liu
(2015) it is no more than the capital of a bet, the product of 1 + b (x - c). The bets on the two
arms of an interval stand in such a ratio that a level which both share falls out. What is left is
linear in the difference under test, so one small state answers for every difference: tests in both
directions and a confidence sequence (after S. Howard, A. Ramdas, J. McAuliffe, J. Sekhon, 2021).
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from scipy import special

from mlguard.arguments import finite, refusal, share, whole
from mlguard.stats import sequential

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

BETS = np.geomspace(0.001, 0.95, 20)
"""Parts of the stake. The best one is the difference over the variance, of values within 0…1."""

_WEIGHTS = np.full(len(BETS), 1.0 / len(BETS))

_MEMORY = 50
"""How many values an arm's past counts for, at most, as the centre of its next values."""


@dataclass(frozen=True, slots=True)
class Sums:
    """What the bets need of an arm's values in an interval: three sums. Immutable, mergeable.

    Attributes:
        n: Number of values.
        total: Their sum, where the lowest possible value counts 0 and the highest 1.
        squares: The sum of their squares, likewise.
    """

    n: int
    total: float
    squares: float

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
        scaled = (np.asarray(values, dtype=np.float64).ravel() - low) / (high - low)
        inside = (scaled >= 0.0) & (scaled <= 1.0)
        if not inside.all():
            wrong = float(np.asarray(values, dtype=np.float64).ravel()[~inside][0])
            raise refusal("values", wrong, f"between {low:g} and {high:g}")
        return cls(len(scaled), float(scaled.sum()), float(scaled @ scaled))

    @classmethod
    def of_events(cls, events: int, n: int) -> Self:
        """Sum up n values of which so many are 1, the others 0: the mean is the rate of events.

        Raises:
            ConfigurationError: There are more events than values.
        """
        if whole("events", events) > whole("n", n):
            raise refusal("events", events, f"at most n = {n}")
        return cls(n, events, events)

    def __add__(self, other: Sums) -> Sums:
        """Give the sums of all values of both."""
        return Sums(self.n + other.n, self.total + other.total, self.squares + other.squares)


@dataclass(frozen=True, slots=True)
class Bets:
    """What bounded values of two arms say about the difference of their means. Immutable.

    The difference is the canary's mean less the baseline's. It may change from interval to
    interval: the claims are about its average over the intervals so far, each with its number of
    effective pairs (canary * baseline / both) as weight. The probability that one of them is
    ever false is at most its alpha, at any number of looks, whatever the shares are and however
    the level that both arms share moves.

    This holds if values are independent given the past, and an interval's numbers of values do
    not depend on the values. Within an interval a mean may move, if both arms have the same
    part of their values at each level, as random assignment has it. An event rate is the mean
    of values 0 and 1: see `Sums.of_events`.

    Attributes:
        low: The lowest possible value.
        high: The highest possible value.
        seen: Number of values of canary and baseline.
        centres: Where the values of canary and baseline lay of late, on the scale 0…1.
        pairs: Effective pairs.
        lead: Sum over them of the canary's value less the baseline's, on the scale 0…1.
        costs: What scatter costs each bet, in logarithms, shape (bets,).

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
        '1.1, between 0.7 and 1.4'
    """

    low: float
    high: float
    seen: tuple[int, int]
    centres: tuple[float, float]
    pairs: float
    lead: float
    costs: Floats

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
        return cls(float(low), float(high), (0, 0), (0.5, 0.5), 0.0, 0.0, np.zeros(len(BETS)))

    def sums(self, values: ArrayLike) -> Sums:
        """Sum up an arm's values in an interval, for `after`."""
        return Sums.of(values, low=self.low, high=self.high)

    def after(self, canary: Sums, baseline: Sums) -> Bets:
        """Add an interval; one in which an arm had no values changes nothing."""
        arms = canary, baseline
        if not canary.n or not baseline.n:
            return self
        both = canary.n + baseline.n
        pairs = canary.n * baseline.n / both
        costs, centres = self.costs, []
        for arm, other, seen, centre in zip(arms, arms[::-1], self.seen, self.centres, strict=True):
            weight = min(1 + seen, _MEMORY)
            costs = costs + _psi(BETS * (other.n / both)) * scatter(arm, centre, weight)
            centres.append((weight * centre + arm.total) / (weight + arm.n))
        return Bets(
            self.low,
            self.high,
            (self.seen[0] + canary.n, self.seen[1] + baseline.n),
            (centres[0], centres[1]),
            self.pairs + pairs,
            self.lead + pairs * (canary.total / canary.n - baseline.total / baseline.n),
            costs,
        )

    @property
    def difference(self) -> float:
        """The canary's mean less the baseline's, over all effective pairs; NaN before any."""
        return self._span * self.lead / self.pairs if self.pairs else math.nan

    def above(self, difference: float) -> float:
        """Give the log e-value against "the difference is at most so much"."""
        return self._won(self.lead - self.pairs * difference / self._span)

    def below(self, difference: float) -> float:
        """Give the log e-value against "the difference is at least so much"."""
        return self._won(self.pairs * difference / self._span - self.lead)

    def least(self, limit: float) -> float:
        """Give the largest difference that is proven to be exceeded: `above` it is `limit`.

        Args:
            limit: log(1 / alpha).
        """
        if not self.pairs:
            return -self._span
        return max(self._span * (self.lead - self._needed(limit)) / self.pairs, -self._span)

    def most(self, limit: float) -> float:
        """Give the smallest difference that is proven not to be reached: `below` it is `limit`.

        Args:
            limit: log(1 / alpha).
        """
        if not self.pairs:
            return self._span
        return min(self._span * (self.lead + self._needed(limit)) / self.pairs, self._span)

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
        rest = self.low, self.high, *self.seen, *self.centres, self.pairs, self.lead
        content = np.array(rest).tobytes() + self.costs.tobytes()
        return hashlib.blake2b(content, digest_size=8).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """Give plain JSON."""
        return {
            "low": self.low,
            "high": self.high,
            "seen": list(self.seen),
            "centres": list(self.centres),
            "pairs": self.pairs,
            "lead": self.lead,
            "costs": self.costs.tolist(),
        }

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Self:
        """Read what `to_dict` wrote."""
        (canary, baseline), (here, there) = record["seen"], record["centres"]
        return cls(
            float(record["low"]),
            float(record["high"]),
            (int(canary), int(baseline)),
            (float(here), float(there)),
            float(record["pairs"]),
            float(record["lead"]),
            np.array(record["costs"], dtype=np.float64).reshape(BETS.shape),
        )

    @property
    def _span(self) -> float:
        return self.high - self.low

    def _won(self, lead: float) -> float:
        return float(sequential.mixture(BETS * lead - self.costs, _WEIGHTS))

    def _needed(self, limit: float) -> float:
        """Give the lead with which the bets have won so much, by Newton's method from above."""
        lead = float(((limit + math.log(len(BETS)) + self.costs) / BETS).min())
        while True:
            logs = BETS * lead - self.costs
            parts = np.exp(logs - logs.max())
            slope = float(parts @ BETS / parts.sum())
            step = (self._won(lead) - limit) / slope
            if step <= 1e-12 * lead:
                return lead
            lead -= step


def scatter(sums: Sums, centre: float, weight: float) -> float:
    """Give the sum of squared distances of values from the mean of those before them.

    It is the average over all orders of the values, so their order need not be known and cannot
    have been chosen; the mean of e-values is an e-value, and an exponential is convex.

    Args:
        sums: Of the values.
        centre: Where values lay before these.
        weight: How many values that centre counts for, above 0.
    """
    n = sums.n
    mean = sums.total / n
    spread = max(sums.squares - n * mean * mean, 0.0) / (n - 1) if n > 1 else 0.0
    once = float(special.digamma(weight + n) - special.digamma(weight))
    twice = float(special.zeta(2.0, weight) - special.zeta(2.0, weight + n))
    own = n + once - (weight + weight * weight / n) * twice
    return spread * own + (weight * (mean - centre)) ** 2 * twice


def _psi(bets: Floats) -> Floats:
    return -np.log1p(-bets) - bets
