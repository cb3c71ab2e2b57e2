"""What a million inferences cost, as a meter and a check; and the most that a fleet can cost."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from operator import mul
from typing import TYPE_CHECKING, Any, ClassVar, Self

from mlguard.arguments import finite, refusal, whole
from mlguard.budgets.counted import Counted
from mlguard.budgets.money import NANOS, Money, money_of
from mlguard.render import text
from mlguard.sketches.buckets import MOST
from mlguard.stats.intervals import mean_interval, spread_of_mean
from mlguard.values import Measurement, Severity, Verdict

if TYPE_CHECKING:
    from mlguard.protocols import Clock

CONFIDENCE = 0.95

LEAST = 8
"""Observations below which it is UNKNOWN: of fewer hours or batches the spread is not known."""

MOST_COST = 2**60
"""Of an observation, in nano-units: a billion dollars, as in the stores of cost budgets."""

_BULK = 64
"""Observations that wait before they are counted: together they take 0.1 ms."""

_POWERS = {f"cost^{i} n^{j}": (i, j) for i in range(5) for j in range(5 - i) if i + j}
"""The sums that the interval needs, of the powers of an observation: whole, and so exact."""

_SCALES = {1: "inference", 1_000: "thousand", 1_000_000: "million"}


class UnitCost(Counted):
    """A limit on what so many inferences cost: a meter and a check. Thread-safe.

    Count what each call or batch cost (`observe`), or the time of the replicas that served
    (`observe_time`); hours without a request belong to it. Per process and mergeable: `a + b` is
    exact, in whole nano-units. A forked child starts at zero.

    It is BREACH when the whole 95 % interval of the cost lies above the limit, WARN when the
    estimate does, else OK; UNKNOWN below `min_count` inferences or 8 observations.

    The interval is Hall's for the ratio of cost to inferences, since costs are skewed. It assumes
    that observations are independent. Load by the time of day breaks that, so judge hours over
    whole days. Of a service exactly at its limit an evaluation says BREACH with a chance of at
    most 2.5 %, by simulation, also where tokens are lognormal with a sigma of 1.5; there 1,000
    calls cover the true cost in 95 %, and Student's interval would in 91 %. Asked a hundred times
    while it grows tenfold, about one meter in ten that is at its limit breaches once.

    It counts for ever. For a cost by day, use a `Keyed` of these with the day as its key, or a
    fresh one each day. To stop spending, use a `CostBudget`.

    Args:
        limit: On the cost of `per` inferences, as `Money` or "12 USD". The limit itself is fine.
        per: How many inferences it is for.
        min_count: Inferences below which it is UNKNOWN. By default 1,000, from which on the
            interval covers as said where each call is one observation.
        name: Of the verdict.
        clock: Of Unix seconds, `mlguard.clocks.unix_clock()` by default.

    Raises:
        ConfigurationError: An argument is not of its kind or range.

    Examples:
        >>> cost = UnitCost("12 USD")
        >>> for tokens in (900, 1100) * 1000:
        ...     cost.observe(tokens * Money("0.000000013 USD"))
        >>> print(cost().severity.name, cost().reason)
        BREACH 13 USD per million (12.94 to 13.06), limit 12 USD, n = 2,000: too expensive

    References:
        W. G. Cochran, "Sampling Techniques", chapter 6, for the ratio; P. Hall, "On the removal of
        skewness by transformation", JRSS B 54 (1992), for the interval.
    """

    __slots__ = ("limit", "min_count", "per")

    limiting: ClassVar[frozenset[str]] = frozenset({"limit", "min_count"})

    def __init__(
        self,
        limit: Money | str,
        *,
        per: int = 1_000_000,
        min_count: int = 1_000,
        name: str = "unit cost",
        clock: Clock | None = None,
    ) -> None:
        super().__init__(name, clock)
        self.limit = money_of("limit", limit)
        if self.limit.nanos <= 0:
            raise refusal("limit", str(self.limit), "above 0")
        self.per = _count_of("per", per, least=1)
        self.min_count = _count_of("min_count", min_count, least=1)
        self._begin({}, ["observations", *_POWERS], self.clock())

    def observe(self, cost: Money, n: int = 1) -> None:
        """Count a call or a batch that cost so much for `n` inferences.

        Take a refund off the cost of its call. What neither cost nor served anything is no
        observation.

        Raises:
            ConfigurationError: `cost` is below 0, above a billion or in another currency than the
                limit, or `n` is no whole number from 0 to 9e15; nothing was counted.
        """
        nanos = money_of("cost", cost, currency=self.limit.currency).nanos
        if not 0 <= nanos <= MOST_COST:
            most = Money.of_nanos(MOST_COST, self.limit.currency)
            raise refusal("cost", str(cost), "at least 0" if nanos < 0 else f"at most {most}")
        count = _count_of("n", n)
        if nanos or count:
            self._append((nanos, count, self.clock()))
            if len(self._buffer) >= _BULK:
                self._flush(wait=False)

    def observe_time(
        self, rate: Money, *, hours: float, replicas: int = 1, inferences: int
    ) -> None:
        """Count what replicas cost for a while, and how many inferences they gave meanwhile.

        Args:
            rate: Of one replica for one hour.
            hours: How long; where the number of replicas changed, the hours of all together.
            replicas: How many.
            inferences: Of all together; 0 where they were idle, which costs as much.

        Raises:
            ConfigurationError: An argument is not of its kind or range; nothing was counted.

        Examples:
            >>> cost = UnitCost("12 USD")
            >>> cost.observe_time(Money("2.50 USD"), hours=1, replicas=4, inferences=800_000)
            >>> print(cost.measure())
            cost per million = 12.5 USD, n = 800,000
        """
        price = money_of("rate", rate, currency=self.limit.currency)
        count = _count_of("inferences", inferences)
        self.observe(_cost_of_time("rate", price, replicas, hours), count)

    def _count(self, taken: Sequence[tuple[int, int, float]]) -> None:
        costs, counts, times = zip(*taken, strict=True)
        self._at = max(times)
        ones = [1] * len(taken)
        columns = [ones, costs], [ones, counts]
        for powers in columns:
            for _ in range(3):
                powers.append(list(map(mul, powers[-1], powers[1])))
        self._totals["observations"] += len(taken)
        for name, (i, j) in _POWERS.items():
            self._totals[name] += sum(map(mul, columns[0][i], columns[1][j]))

    def _advance(self, at: float) -> None:
        """Move nothing: without a window nothing is ever too old."""
        self._edge = math.inf
        self._began = min(self._began, at)

    @property
    def totals(self) -> dict[str, int]:
        """What was counted: observations, inferences and their cost in nano-units."""
        found = super().totals
        return {
            "observations": found["observations"],
            "inferences": found["cost^0 n^1"],
            "nanos": found["cost^1 n^0"],
        }

    def measure(self) -> Measurement:
        """Measure the cost of `per` inferences, in units of the currency, with its 95 % interval.

        NaN without an inference; without an interval where there are too few to judge.
        """
        at = self._flush()
        with self._lock:
            sums = {powers: self._totals[name] for name, powers in _POWERS.items()}
            observations, newest = self._totals["observations"], self._newest(at)
        cost, n = sums[1, 0], sums[0, 1]
        value = cost * self.per / (n * NANOS) if n else math.nan
        details: dict[str, Any] = {
            "limit": str(self.limit),
            "per": self.per,
            "cost": str(Money.of_nanos(cost, self.limit.currency)),
            "observations": observations,
        }
        low = high = None
        if n < self.min_count:
            details["reason"] = f"{self.min_count:,} inferences are needed to judge it"
        elif observations < LEAST:
            few = f"{observations} observation{'' if observations == 1 else 's'}"
            details["reason"] = f"{few}, but {LEAST} are needed to judge it"
        else:
            scale = self.per / NANOS
            moments = (_moment(sums, order) * scale**order for order in (2, 3, 4))
            spread = spread_of_mean(observations, *moments)
            low, high = mean_interval(value, spread, CONFIDENCE)
            low = max(low, 0.0)
        return Measurement(
            f"cost per {_SCALES.get(self.per, f'{self.per:,}')}",
            value,
            unit=self.limit.currency,
            n=n,
            low=low,
            high=high,
            confidence=None if low is None else CONFIDENCE,
            at=newest,
            details=details,
        )

    def _judged(self) -> Verdict:
        found = self.measure()
        limit = self.limit.nanos / NANOS
        if found.low is None:
            severity, words = Severity.UNKNOWN, found.details["reason"]
        elif found.low > limit:
            severity, words = Severity.BREACH, "too expensive"
        elif found.value > limit:
            severity, words = Severity.WARN, "above the limit, which its interval contains"
        else:
            severity, words = Severity.OK, "within the limit"
        return Verdict(
            self.name,
            severity,
            f"{self._words(found, limit)}: {words}",
            evidence=(found,),
            at=found.at,
        )

    def _words(self, found: Measurement, limit: float) -> str:
        if not found.n:
            return f"{found.details['cost']} for no inferences"
        value, most = text.apart(found.value, limit, found.unit)
        interval = ""
        if found.low is not None and found.high is not None:
            interval = f" ({text.number(found.low)} to {text.number(found.high)})"
        unit = found.name.removeprefix("cost ")
        return f"{value} {unit}{interval}, limit {most}, n = {found.n:,}"

    def _shape(self) -> dict[str, Any]:
        return {**super()._shape(), "currency": self.limit.currency}

    def _settings(self) -> dict[str, Any]:
        return {"limit": str(self.limit), "per": self.per, "min_count": self.min_count}

    @classmethod
    def _made(cls, settings: Mapping[str, Any], name: str, clock: Clock | None) -> Self:
        return cls(**settings, name=name, clock=clock)

    def __repr__(self) -> str:
        return f"UnitCost({str(self.limit)!r}, per={self.per:,})"


def fleet_cost(replicas: int, hourly: Money | str, *, hours: float = 24) -> Money:
    """Give what so many replicas cost at most: in a day, by default.

    With the largest number that an autoscaler may start this is the worst case. A fleet without a
    bound has none, so its caller reports that instead of asking.

    Args:
        replicas: How many there may be.
        hourly: What one costs for an hour, as `Money` or "2.50 USD".
        hours: How long, not below 0. It counts as it is written, 0.1 as a tenth, and the cost is
            rounded up to a whole nano-unit.

    Raises:
        ConfigurationError: An argument is not of its kind or range; `replicas` is None.

    Examples:
        >>> print(fleet_cost(10, "2.50 USD"))
        600.00 USD
    """
    if replicas is None:
        raise refusal("replicas", replicas, "a whole number: without a bound there is no most")
    return _cost_of_time("hourly", money_of("hourly", hourly), replicas, hours)


def _cost_of_time(parameter: str, price: Money, replicas: int, hours: float) -> Money:
    if price.nanos < 0:
        raise refusal(parameter, str(price), "at least 0")
    length = finite("hours", hours)
    if length < 0.0:
        raise refusal("hours", hours, "at least 0")
    above, below = Decimal(repr(length)).as_integer_ratio()
    nanos = _count_of("replicas", replicas) * price.nanos * above
    return Money.of_nanos(-(-nanos // below), price.currency)


def _count_of(parameter: str, value: object, least: int = 0) -> int:
    count = whole(parameter, value, least)
    if count > MOST:
        raise refusal(parameter, value, f"at most {MOST:,}")
    return count


def _moment(sums: Mapping[tuple[int, int], int], order: int) -> float:
    """Give the sum of (cost - ratio * n)**order over the observations, over n**order in all."""
    cost, n = sums[1, 0], sums[0, 1]
    terms = (
        math.comb(order, i) * pow(n, i) * pow(-cost, order - i) * sums[i, order - i]
        for i in range(order + 1)
    )
    return float(sum(terms) / pow(n, 2 * order))
