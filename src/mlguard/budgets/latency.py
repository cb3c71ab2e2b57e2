"""Limits on the quantiles of latency, kept by the process that serves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np

from mlguard.arguments import moment, refusal, seconds, share, whole
from mlguard.budgets.counted import Counted
from mlguard.render import text
from mlguard.sketches.buckets import (
    Counts,
    Packed,
    bucket_of,
    counted,
    ends_of,
    quantile_level,
    rank_of,
    value_of,
)
from mlguard.sketches.buffered import FULL, RETRY, floats
from mlguard.sketches.histogram import numbers
from mlguard.sketches.ring import Ring, Tally, sliding
from mlguard.stats.intervals import proportion_interval
from mlguard.stats.quantiles import excess_p_value, rank_interval, smallest_n
from mlguard.values import Measurement, Severity, Verdict, combined, severity_of

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from mlguard.protocols import Clock

CONFIDENCE = 0.95
"""Of the interval that is printed; a breach is proven at `alpha`."""

MOST_SLOTS = 10_000
LEAST_WIDTH = 0.001


class LatencyBudget(Counted):
    """Limits on quantiles of latency over a sliding window: a meter and a check. Thread-safe.

    Per process and mergeable: `a + b` judges the requests of both. For replicas, see `publish` and
    `gather`. A forked child starts at zero.

    A quantile breaches when its whole 95 % interval lies above its limit and a service exactly at
    the limit would show so many slow requests with a chance of at most `alpha`; it warns when the
    estimate does; else it is OK. The interval is that of order statistics: it assumes nothing of
    the distribution, but that the requests are independent. Slow requests come in bursts, so a
    breach says "too slow now", not "too slow for ever".

    A wall clock set back neither loses a count nor keeps one longer than a window.

    Args:
        limits: Of each quantile, in seconds: `{0.5: 0.010, 0.99: 0.050}`. The limit itself is fine.
        window: How far back it looks, in seconds or as a timedelta.
        slots: Into how many slots the window is cut; it moves by one slot at a time, so that it
            holds the last (slots - 1) / slots of itself and what came since.
        min_count: Requests below which it is UNKNOWN. By default the fewest for which the interval
            of the highest quantile has both ends: 368 for p99.
        rule: "estimate" as above; with "proven" OK needs the whole interval at or below the limit,
            and where the interval contains it the verdict is UNKNOWN.
        alpha: Chance of a BREACH, per evaluation, of a service exactly at its limits; with several
            limits each gets its part of it.
        name: Of the verdict.
        clock: Of Unix seconds, `mlguard.clocks.unix_clock()` by default.

    Raises:
        ConfigurationError: An argument is not of its kind or range.

    Examples:
        >>> from mlguard.testing import ManualClock
        >>> latency = LatencyBudget({0.99: 0.050}, clock=ManualClock())
        >>> latency.observe_many([0.020] * 980 + [0.080] * 20)
        >>> print(latency().severity.name, latency().reason)
        WARN p99 = ...
    """

    __slots__ = ("_buckets", "_tally", "alpha", "limits", "min_count", "rule", "slots", "window")

    limiting: ClassVar[frozenset[str]] = frozenset({"limits", "min_count", "rule", "alpha"})

    def __init__(
        self,
        limits: Mapping[float, float],
        *,
        window: float | timedelta = timedelta(minutes=5),
        slots: int = 60,
        min_count: int | None = None,
        rule: Literal["estimate", "proven"] = "estimate",
        alpha: float = 0.001,
        name: str = "latency",
        clock: Clock | None = None,
    ) -> None:
        super().__init__(name, clock)
        self.limits = limits_of("limits", limits)
        self.window = seconds("window", window)
        self.slots = whole("slots", slots, least=1)
        if self.slots > MOST_SLOTS or self.window / self.slots < LEAST_WIDTH:
            raise refusal("slots", slots, f"at most {MOST_SLOTS:,}, each of at least 1 ms")
        least = smallest_n(max(self.limits), CONFIDENCE)
        self.min_count = least if min_count is None else whole("min_count", min_count, least=1)
        if rule not in {"estimate", "proven"}:
            raise refusal("rule", rule, '"estimate" or "proven"')
        self.rule = rule
        self.alpha = share("alpha", alpha)
        at = self.clock()
        width, oldest = self.window / self.slots, sliding(self.slots)
        self._buckets = Ring(Counts, width, oldest, at)
        self._tally = Ring(lambda: Tally(2 + len(self.limits)), width, oldest, at)
        names = ["requests", "invalid", *(f"over {limit!r}" for limit in self.limits.values())]
        self._begin({"buckets": self._buckets, "tally": self._tally}, names, at)

    def observe(self, seconds: float) -> None:
        """Count a request that took so many seconds. Never raises.

        What is negative or no number is counted as invalid. Infinity is a request that never came
        back: slower than every limit.
        """
        waiting = len(self._buffer)
        if self._tick() >= self._edge or (waiting >= FULL and not waiting % RETRY):
            self._flush(wait=False)
        self._append(seconds)

    def observe_many(self, seconds: ArrayLike) -> None:
        """Count the requests of an array of seconds, all as of now.

        Raises:
            ConfigurationError: `seconds` holds something else than numbers; nothing was counted.
        """
        values = numbers("seconds", seconds)
        at = self._flush()
        with self._lock:
            self._at = at if len(values) else self._at
            self._count(values)

    def timed(self, *, intended_start: float | None = None) -> Timed:
        """Time a block: `with latency.timed(): ...`, whether it raises or not.

        Args:
            intended_start: When the work was due, in Unix seconds, where it may have had to wait
                for its turn: the time of arrival in a queue, or of a load generator's plan. Without
                it a stalled service measures one slow request and none of those that could not
                start (coordinated omission).
        """
        due = math.inf if intended_start is None else moment("intended_start", intended_start)
        return Timed(self, due)

    def _count(self, taken: Sequence[Any] | NDArray[np.float64]) -> None:
        values = taken if isinstance(taken, np.ndarray) else floats(taken)
        amount, negative, missing = counted(values)
        over = [int(np.count_nonzero(values > limit)) for limit in self.limits.values()]
        n = len(values) - negative - missing
        self._buckets.add(*amount)
        self._tally.add(n, negative + missing, *over)
        for name, more in zip(self._totals, (n, negative + missing, *over), strict=True):
            self._totals[name] += more

    def quantile(self, q: float) -> float:
        """Give the quantile over the window, in seconds: NaN without a request.

        It lies within 0.8 % of the order statistic of rank ceil(q * n), and on its side of each
        limit.
        """
        level = quantile_level(q)
        self._flush()
        with self._lock:
            n, _, *over = self._tally.total.values
            return self._value(rank_of(level, n), n, over) if n else math.nan

    def _value(self, rank: int, n: int, over: list[int], end: int | None = None) -> float:
        """Give the value of a rank, or the lower (0) or upper (1) end of where it lies."""
        (bucket,) = self._buckets.total.at_ranks([rank])
        value = value_of(bucket) if end is None else ends_of(bucket)[end]
        for limit, above in zip(self.limits.values(), over, strict=True):
            if bucket == bucket_of(limit):  # then the counts know more than the bucket
                beyond = math.nextafter(limit, math.inf)
                value = min(value, limit) if rank <= n - above else max(value, beyond)
        return value

    @property
    def throughput(self) -> float:
        """Requests a second over what was watched of the window; NaN before anything was."""
        at = self._flush()
        with self._lock:
            covers = self._covers(self._tally, at)
            return self._tally.total.values[0] / covers if covers else math.nan

    def over(self, limit: float) -> Measurement:
        """Measure the share of the requests of the window that were slower than a limit.

        Args:
            limit: One of the limits of this budget, which are counted exactly.

        Raises:
            ConfigurationError: It is none of them.
        """
        at = self._flush()
        with self._lock:
            if limit not in self.limits.values():
                raise refusal("limit", limit, f"one of {sorted(set(self.limits.values()))}")
            n, _, *over = self._tally.total.values
            count = over[list(self.limits.values()).index(limit)]
            details = {"window": self.window, "covers": self._covers(self._tally, at)}
            newest = self._newest(at)
        low, high = proportion_interval(count, n, CONFIDENCE) if n else (None, None)
        return Measurement(
            f"over {text.quantity(limit, 's')}",
            count / n if n else math.nan,
            unit="share",
            n=n,
            low=low,
            high=high,
            confidence=CONFIDENCE if n else None,
            at=newest,
            details={**details, "over": count},
        )

    def measure(self, q: float | None = None) -> Measurement:
        """Measure a quantile over the window, in seconds, with its 95 % interval.

        Args:
            q: The quantile; by default the one that is nearest to its limit, or furthest above.
        """
        level = None if q is None else quantile_level(q)
        at = self._flush()
        with self._lock:
            if level is not None:
                return self._measured(level, at)
            each = [self._measured(level, at) for level in self.limits]
        return max(each, key=lambda m: m.value / m.details["limit"] if m.n else 0.0)

    def _measured(self, q: float, at: float) -> Measurement:
        """Measure a quantile; called under the lock."""
        low = high = p_value = None
        value = math.nan
        n, invalid, *over = self._tally.total.values
        covers = self._covers(self._tally, at)
        details = {"window": self.window, "covers": covers, "invalid": invalid}
        if n:
            first, last = rank_interval(n, q, CONFIDENCE)
            value = self._value(rank_of(q, n), n, over)
            low = self._value(first, n, over, end=0) if first else None
            high = self._value(last, n, over, end=1) if last else None
        if q in self.limits:
            count = over[list(self.limits).index(q)]
            details |= {"limit": self.limits[q], "over": count}
            p_value = excess_p_value(count, n, q) if n else None
        return Measurement(
            f"p{100 * q:.10g}",
            value,
            unit="s",
            n=n,
            low=low,
            high=high,
            confidence=CONFIDENCE if low is not None and high is not None else None,
            p_value=p_value,
            at=self._newest(at),
            details=details,
        )

    def _judged(self) -> Verdict:
        at = self._flush()
        with self._lock:
            verdicts = [self._verdict(self._measured(q, at)) for q in self.limits]
        if len(verdicts) == 1:
            return replace(verdicts[0], name=self.name)
        return combined(self.name, verdicts, need=len(verdicts))

    def _verdict(self, measurement: Measurement) -> Verdict:
        low, high, words = self._severity(measurement)
        return Verdict(
            measurement.name,
            severity_of(low, high),
            f"{self._words(measurement)}: {words}",
            evidence=(measurement,),
            at=measurement.at,
            low=low,
            high=high,
        )

    def _severity(self, measurement: Measurement) -> tuple[Severity, Severity, str]:
        n, limit = measurement.n or 0, measurement.details["limit"]
        if n < self.min_count:
            return Severity.OK, Severity.BREACH, f"{self.min_count:,} are needed to judge it"
        if measurement.value > limit:
            proven = (measurement.p_value or 0.0) <= self.alpha / len(self.limits)
            if proven and measurement.low is not None and measurement.low > limit:
                return Severity.BREACH, Severity.BREACH, "too slow"
            chance = text.number(measurement.p_value or 0.0, 2)
            words = (
                f"above the limit; a service at its limit looks so slow with a chance of {chance}"
            )
            return Severity.WARN, Severity.WARN, words
        if self.rule == "proven" and (measurement.high is None or measurement.high > limit):
            return Severity.OK, Severity.BREACH, "its interval contains the limit"
        return Severity.OK, Severity.OK, "within the limit"

    def _words(self, measurement: Measurement) -> str:
        invalid = measurement.details["invalid"]
        odd = f" and {invalid:,} that were no latency" if invalid else ""
        if not measurement.n:
            return f"no requests{odd} in {self._span(measurement)}"
        value, limit = text.apart(measurement.value, measurement.details["limit"], "s")
        interval = ""
        if measurement.low is not None and measurement.high is not None:
            ends = (text.quantity(end, "s") for end in (measurement.low, measurement.high))
            interval = f" ({' to '.join(ends)})"
        count = f"{measurement.n:,} request{'' if measurement.n == 1 else 's'}{odd}"
        span = self._span(measurement)
        return f"{measurement.name} = {value}{interval}, limit {limit}, {count} in {span}"

    def _span(self, measurement: Measurement) -> str:
        window, covers = self.window, measurement.details["covers"]
        whole_window = covers >= window * (1 - 2 / self.slots)
        seen = "" if whole_window else f"{text.quantity(covers, 's', 3)} of "
        return seen + text.quantity(window, "s")

    def _settings(self) -> dict[str, Any]:
        return {
            "limits": [[q, limit] for q, limit in self.limits.items()],
            "window": self.window,
            "slots": self.slots,
            "min_count": self.min_count,
            "rule": self.rule,
            "alpha": self.alpha,
        }

    @classmethod
    def _made(cls, settings: Mapping[str, Any], name: str, clock: Clock | None) -> Self:
        options = {**settings, "limits": dict(settings["limits"])}
        return cls(options.pop("limits"), **options, name=name, clock=clock)

    def _recounted(self, other: Self, state: dict[str, Any]) -> dict[str, Any]:
        """Count anew what is over each limit: by its bucket, where it was no limit before."""
        before = list(other.limits.values())
        buckets = dict(state["rings"]["buckets"]["slots"])
        tally = state["rings"]["tally"]
        tally["slots"] = [
            (
                slot,
                (n, invalid, *self._over(buckets.get(slot), dict(zip(before, over, strict=True)))),
            )
            for slot, (n, invalid, *over) in tally["slots"]
        ]
        state["totals"] = {name: state["totals"].get(name, 0) for name in self._totals}
        return state

    def _over(self, packed: Packed | None, known: Mapping[float, int]) -> list[int]:
        found, counts = ((), ()) if packed is None else packed
        values = np.array([value_of(int(bucket)) for bucket in found])
        numbers = np.asarray(counts, dtype=np.int64)
        limits = self.limits.values()
        return [known.get(limit, int(numbers[values > limit].sum())) for limit in limits]

    def __repr__(self) -> str:
        limits = ", ".join(f"{q:g}: {limit:g}" for q, limit in self.limits.items())
        return f"LatencyBudget({{{limits}}}, window={self.window:g})"


class Timed:
    """A block that is timed when it ends. Not thread-safe: one for each block.

    Made by `latency.timed()`.
    """

    __slots__ = ("_budget", "_due", "_start")

    def __init__(self, budget: LatencyBudget, due: float) -> None:
        self._budget = budget
        self._due = due

    def __enter__(self) -> Self:
        self._start = min(self._due, self._budget.clock())  # hosts disagree on what time it is
        return self

    def __exit__(self, *_: object) -> None:
        self._budget.observe(self._budget.clock() - self._start)


def limits_of(parameter: str, limits: Mapping[float, float]) -> Mapping[float, float]:
    """Read limits: of each quantile strictly between 0 and 1, in seconds, rising with it."""
    if not isinstance(limits, Mapping) or not limits:
        raise refusal(parameter, limits, "a mapping of quantiles to seconds, as {0.99: 0.05}")
    found = {
        share(f"a quantile of {parameter}", q): seconds(f"{parameter}[{q!r}]", limit)
        for q, limit in limits.items()
    }
    rising = dict(sorted(found.items()))
    if any(high <= low for low, high in pairwise(rising.values())):
        raise refusal(parameter, limits, "larger for a higher quantile: the others say no more")
    return MappingProxyType(rising)
