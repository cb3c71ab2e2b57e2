"""Error budgets: an SLO over a period, and alerts on how fast its budget burns."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from mlguard.arguments import finite, instances, refusal, seconds, share, whole
from mlguard.budgets.alerts import LEAST_WIDTH, BurnAlert, Rule, Seen, covers_of, default_alerts
from mlguard.budgets.counted import Counted
from mlguard.budgets.windows import Calendar, Rolling
from mlguard.render import text
from mlguard.sketches.buckets import MOST
from mlguard.sketches.buffered import FULL, RETRY
from mlguard.sketches.ring import Ring, Tally, sliding
from mlguard.stats.intervals import proportion_interval
from mlguard.values import Measurement, Severity, Verdict, combined, severity_of

if TYPE_CHECKING:
    from mlguard.protocols import Clock

_SLOTS = 60
_PERIOD_SLOTS = 360
_QUARTER = 900.0
"""Seconds: every time zone's midnight lies on a quarter of an hour."""
CONFIDENCE = 0.95
_TRUTHS = (bool, np.bool_, int, np.integer, float)


class ErrorBudget(Counted):
    """An SLO over a period, with alerts on its burn rate: a meter and a check. Thread-safe.

    Per process and mergeable: `a + b` judges the requests of both. For replicas, see `publish` and
    `gather`. A forked child starts at zero.

    The error budget is the share of requests that may fail, 1 - slo; the burn rate is how many
    times faster than that they fail. The check is BREACH or WARN while an alert fires, WARN when
    the budget is spent, UNKNOWN when it cannot know. An alert needs `min_bad_events`: without them
    the usual rules page 7 to 18 times a month on a healthy service of 20 to 60 requests an hour
    (with the default of five never, in 12 simulated months).

    A latency SLO, "99 % under 50 ms", is the same: `ErrorBudget(slo=0.99)` and
    `observe(seconds <= 0.050)`.

    Args:
        slo: Share of requests that must be good, between 0 and 1.
        period: A rolling one, as timedelta, seconds or `Rolling`; or a `Calendar`.
        alerts: By default pages for 2 % of the budget in 1/720 of the period and 5 % in 1/120, and
            tickets for 10 % in 1/30 and in 1/10: 1 h, 6 h, 1 d and 3 d of 30 days.
        min_bad_events: Bad requests in an alert's window below which it cannot fire.
        min_coverage: Share of a window that must have been watched to call it fine. Below it the
            window is judged as if the rest had been without an error, or is UNKNOWN.
        name: Of the verdict.
        clock: Of Unix seconds, `mlguard.clocks.unix_clock()` by default.

    Raises:
        ConfigurationError: An argument is not of its kind or range, or an alert can never fire.

    Examples:
        >>> from mlguard.testing import ManualClock
        >>> clock = ManualClock()
        >>> errors = ErrorBudget(slo=0.999, clock=clock)
        >>> clock.advance(timedelta(hours=1))
        >>> errors.observe_counts(good=980, bad=20)
        >>> round(errors.burn_rate(timedelta(hours=1)), 6), errors().severity.name
        (20.0, 'BREACH')
    """

    __slots__ = ("_rules", "alerts", "min_bad_events", "min_coverage", "period", "slo")

    lasting: ClassVar[frozenset[str]] = frozenset({"period"})
    limiting: ClassVar[frozenset[str]] = frozenset({"slo", "min_bad_events", "min_coverage"})

    def __init__(
        self,
        slo: float,
        *,
        period: float | timedelta | Rolling | Calendar = timedelta(days=30),
        alerts: Sequence[BurnAlert] | None = None,
        min_bad_events: int = 5,
        min_coverage: float = 0.5,
        name: str = "errors",
        clock: Clock | None = None,
    ) -> None:
        super().__init__(name, clock)
        self.slo = share("slo", slo)
        if not isinstance(period, Rolling | Calendar):
            period = Rolling(seconds("period", period))
        self.period = period
        if isinstance(period, Calendar) and period.window(self.clock()).start % _QUARTER:
            raise refusal("period", period, "one that begins on a quarter of an hour")
        if alerts is None:
            alerts = default_alerts(self.period.seconds)
        self.alerts = instances((BurnAlert,), "alerts", alerts)
        self.min_bad_events = whole("min_bad_events", min_bad_events, least=1)
        self.min_coverage = finite("min_coverage", min_coverage)
        if not 0.0 <= self.min_coverage <= 1.0:
            raise refusal("min_coverage", min_coverage, "between 0 and 1")
        for alert in self.alerts:
            self._check(alert)
        terms = self.period.seconds, 1.0 - self.slo, self.min_bad_events, self.min_coverage
        self._rules = [Rule(alert, *terms) for alert in self.alerts]
        at = self.clock()
        windows = sorted({w for alert in self.alerts for w in (alert.short, alert.window)})
        rings = {_named(window): _sliding(window, _SLOTS, at) for window in windows}
        if isinstance(self.period, Rolling):
            rings["period"] = _sliding(self.period.seconds, _PERIOD_SLOTS, at)
        else:
            rings["period"] = Ring(_tally, _QUARTER, _since_start(self.period), at)
        self._begin(rings, ["good", "bad", "invalid"], at)

    def _check(self, alert: BurnAlert) -> None:
        length, budget = self.period.seconds, 1.0 - self.slo
        if alert.window > length:
            raise refusal("alerts", alert, f"within the period of {text.quantity(length, 's')}")
        needed = alert.burn_rate(length) * budget
        if needed >= 1.0:
            most = alert.window / (length * budget)
            raise refusal(
                "alerts",
                alert,
                f"able to fire: with slo = {self.slo} it needs more than {needed:.0%} of requests "
                f"to fail; a share of the budget below {most:.2g} in that window can be reached",
            )

    def observe(self, good: bool) -> None:  # noqa: FBT001 -- it is what was seen
        """Count a request: True if it was good. Never raises.

        What is neither true nor false (1 and 0 are) is counted as invalid.
        """
        waiting = len(self._buffer)
        if self._tick() >= self._edge or (waiting >= FULL and not waiting % RETRY):
            self._flush(wait=False)
        self._append(good)

    def observe_counts(self, *, good: int = 0, bad: int = 0) -> None:
        """Count many requests at once, as of now.

        Raises:
            ConfigurationError: A count is no whole number from 0 to 9e15; nothing was counted.
        """
        counts = whole("good", good), whole("bad", bad)
        if max(counts) > MOST:
            raise refusal("good" if good > bad else "bad", max(counts), f"at most {MOST:,}")
        at = self._flush()
        with self._lock:
            self._at = at if any(counts) else self._at
            self._add(*counts)

    def _count(self, taken: Sequence[Any]) -> None:
        known = [each for each in taken if isinstance(each, _TRUTHS)]
        good, bad = known.count(True), known.count(False)
        self._add(good, bad)
        self._totals["invalid"] += len(taken) - good - bad

    def _add(self, good: int, bad: int) -> None:
        for ring in self._rings.values():
            ring.add(good, bad)
        self._totals["good"] += good
        self._totals["bad"] += bad

    def burn_rate(self, window: float | timedelta) -> float | None:
        """Give how many times faster than the SLO allows requests fail; None without a request.

        Over what was watched of the window, to the width of a slot.

        Args:
            window: How far back to look, in seconds or as a timedelta, at most the period.

        Raises:
            ConfigurationError: `window` is not positive, or longer than the period.
        """
        length = seconds("window", window)
        if length > self.period.seconds:
            raise refusal("window", window, f"at most the period, {self.period.seconds:g} s")
        return self._seen(length, self._flush()).burn_rate(1.0 - self.slo)

    def _seen(self, length: float, at: float) -> Seen:
        """Count the window, in the ring made for it or else in the shortest that holds it."""
        with self._lock:
            ring = self._rings.get(_named(length))
            if ring is not None:
                good, bad = ring.total.values
                return Seen(length, good, bad, self._covers(ring, at))
            windows = {name: float(name) for name in self._rings if name != "period"}
            longer = [name for name, window in windows.items() if window > length]
            ring = self._rings[min(longer, key=windows.__getitem__, default="period")]
            good, bad = ring.since(ring.newest + 1 - math.ceil(length / ring.width)).values
            return Seen(length, good, bad, min(length, self._covers(ring, at)))

    def _covers(self, ring: Ring[Any], at: float) -> float:
        """Give how many seconds were watched, the newest slot taken as whole if there for long."""
        return max(0.0, min(ring.covers(ring.end), at - self._began))

    def _of_period(self, at: float) -> tuple[Seen, float]:
        """Count the period, or of a calendar's what has passed of it; and how long it is."""
        window = self.period.window(at)
        with self._lock:
            ring = self._rings["period"]
            good, bad = ring.total.values
            covers = self._covers(ring, at)
        return Seen(at - window.start, good, bad, covers), window.end - window.start

    @property
    def remaining(self) -> float | None:
        """Share of the error budget that is left: 1 untouched, 0 spent, below 0 overspent.

        None without a request, and while less than `min_coverage` of the period was watched. Of a
        calendar's period the budget is that of the whole, the traffic going on as it did.
        """
        return self._remaining(*self._of_period(self._flush()))

    def _remaining(self, seen: Seen, length: float) -> float | None:
        burn = seen.burn_rate(1.0 - self.slo)
        if burn is None or covers_of(seen, self.min_coverage):
            return None
        return 1.0 - burn * seen.window / length

    def exhausts_in(self) -> float | None:
        """Give the seconds until the budget is spent, if it goes on burning as in the last hour.

        The last 1/720 of the period, to be exact: an hour of 30 days. Infinity where nothing
        burns, 0 where it is spent, None where what remains or what burns is not known.
        """
        at = self._flush()
        seen, length = self._of_period(at)
        remaining = self._remaining(seen, length)
        burn = self._seen(self.period.seconds / 720, at).burn_rate(1.0 - self.slo)
        if remaining is None or remaining <= 0.0:
            return None if remaining is None else 0.0
        if burn is None:
            return None
        return remaining / burn * length if burn else math.inf

    def measure(self) -> Measurement:
        """Measure the share of the error budget that remains, with its 95 % interval."""
        at = self._flush()
        return self._measured(*self._of_period(at), self._newest(at))

    def _measured(self, seen: Seen, length: float, newest: float | None) -> Measurement:
        remaining = self._remaining(seen, length)
        low = high = None
        details: dict[str, Any] = {
            "slo": self.slo,
            "good": seen.good,
            "bad": seen.bad,
            "covers": seen.covers,
        }
        if remaining is not None:
            shares = proportion_interval(seen.bad, seen.n, CONFIDENCE)
            scale = seen.window / length / (1.0 - self.slo)
            high, low = (1.0 - scale * each for each in shares)
        else:
            why = covers_of(seen, self.min_coverage).removeprefix(", ") or str(seen)
            invalid = self._totals["invalid"]
            details["reason"] = f"{why}; {invalid:,} were neither good nor bad" if invalid else why
        return Measurement(
            f"{self.name} remaining",
            math.nan if remaining is None else remaining,
            unit="share",
            n=seen.n,
            low=low,
            high=high,
            confidence=None if low is None else CONFIDENCE,
            at=newest,
            details=details,
        )

    def _judged(self) -> Verdict:
        at = self._flush()
        newest = self._newest(at)
        causes = [
            rule.judged(self._seen(rule.alert.window, at), self._seen(rule.alert.short, at), newest)
            for rule in self._rules
        ]
        causes.append(self._budget(self._measured(*self._of_period(at), newest)))
        return combined(self.name, causes, need=len(causes))

    def _budget(self, measurement: Measurement) -> Verdict:
        low = high = Severity.OK
        words = f"of the budget of {text.quantity(1.0 - self.slo, 'share')} of requests"
        if math.isnan(measurement.value):
            high, words = Severity.WARN, measurement.details["reason"]
        elif measurement.value <= 0.0:
            high, words = Severity.WARN, f"spent, {words}"
            if measurement.details["bad"] >= self.min_bad_events:
                low = high
            else:
                words += f"; but fewer than {self.min_bad_events} bad requests do not tell"
        return Verdict(
            measurement.name,
            severity_of(low, high),
            f"{measurement}: {words}",
            evidence=(measurement,),
            at=measurement.at,
            low=low,
            high=high,
        )

    def _settings(self) -> dict[str, Any]:
        period = self.period
        if isinstance(period, Calendar):
            length: Any = [period.unit, period.tz]
            if period != Calendar(period.unit, tz=period.tz):
                length.append(period.start)
        else:
            length = period.seconds
        return {
            "slo": self.slo,
            "period": length,
            "alerts": [[each.share, each.window, each.severity.name] for each in self.alerts],
            "min_bad_events": self.min_bad_events,
            "min_coverage": self.min_coverage,
        }

    @classmethod
    def _made(cls, settings: Mapping[str, Any], name: str, clock: Clock | None) -> Self:
        options = dict(settings)
        period = options.pop("period")
        if isinstance(period, list):
            unit, tz, *start = period
            period = Calendar(unit, tz=tz, start=start[0] if start else None)
        alerts = [BurnAlert(*each) for each in options.pop("alerts")]
        slo = options.pop("slo")
        return cls(slo, period=period, alerts=alerts, **options, name=name, clock=clock)

    def __repr__(self) -> str:
        return f"ErrorBudget(slo={self.slo:g}, period={self.period!r})"


def _tally() -> Tally:
    return Tally(2)


def _sliding(window: float, slots: int, at: float) -> Ring[Tally]:
    width = max(window / slots, LEAST_WIDTH)
    return Ring(_tally, width, sliding(int(window / width + 1e-9)), at)


def _since_start(period: Calendar) -> Callable[[int], int]:
    return lambda slot: math.ceil(period.window(slot * _QUARTER).start / _QUARTER)


def _named(window: float) -> str:
    return repr(float(window))
