"""Alerts on the burn rate of an error budget."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import NamedTuple

from mlguard import arguments
from mlguard.arguments import member, refusal, seconds
from mlguard.render import text
from mlguard.values import Severity, Verdict, severity_of

LEAST_WIDTH = 1.0
"""Of a slot, in seconds: a finer one would cost more than it tells."""

DEFAULT = (
    (0.02, 720, Severity.BREACH),
    (0.05, 120, Severity.BREACH),
    (0.10, 30, Severity.WARN),
    (0.10, 10, Severity.WARN),
)
"""Share of the budget, part of the period: of 30 days 1 h, 6 h, 1 d and 3 d, as in the workbook."""


@dataclass(frozen=True, slots=True, init=False)
class BurnAlert:
    """An alert on a share of the error budget that is spent within a window. Immutable.

    It fires while the budget burns faster than that over the window *and* over its last twelfth,
    so that it ends soon after the trouble does. The burn rate follows: share * period / window.

    Args:
        share: Of the budget, such as 0.02.
        window: In which it is spent, in seconds or as a timedelta.
        severity: BREACH pages, WARN writes a ticket.

    Raises:
        ConfigurationError: An argument is not of its kind or range.

    Examples:
        >>> alert = BurnAlert(0.02, timedelta(hours=1))
        >>> round(alert.burn_rate(timedelta(days=30).total_seconds()), 10)
        14.4

    References:
        "The Site Reliability Workbook", chapter 5, Alerting on SLOs (O'Reilly, 2018).
    """

    share: float
    window: float
    severity: Severity

    def __init__(
        self, share: float, window: float | timedelta, severity: Severity = Severity.BREACH
    ) -> None:
        put = object.__setattr__
        put(self, "share", arguments.share("share", share))
        put(self, "window", seconds("window", window))
        put(self, "severity", member(Severity, "severity", severity))
        if self.severity not in {Severity.BREACH, Severity.WARN}:
            raise refusal("severity", severity, "BREACH (a page) or WARN (a ticket)")
        if self.window < 12 * LEAST_WIDTH:
            raise refusal("window", window, f"at least {12 * LEAST_WIDTH:g} s")

    @property
    def short(self) -> float:
        """The short window, in seconds."""
        return self.window / 12

    def burn_rate(self, period: float) -> float:
        """Give the burn rate beyond which it fires, for a period in seconds."""
        return self.share * period / self.window


def default_alerts(period: float) -> list[BurnAlert]:
    """Make the usual alerts for a period in seconds."""
    shortest = max(parts for _, parts, _ in DEFAULT)
    least = shortest * 12 * LEAST_WIDTH
    if period < least:
        allowed = f"at least {text.quantity(least, 's')}, or with alerts of its own"
        raise refusal("period", period, f"{allowed}: the shortest is 1/{shortest} of it")
    return [BurnAlert(share, period / parts, severity) for share, parts, severity in DEFAULT]


class Seen(NamedTuple):
    """What was counted in a window. Immutable.

    Attributes:
        window: Its length, in seconds.
        good: Good requests.
        bad: Bad requests.
        covers: How many seconds of it were watched.
    """

    window: float
    good: int
    bad: int
    covers: float

    @property
    def n(self) -> int:
        """All requests."""
        return self.good + self.bad

    def burn_rate(self, budget: float) -> float | None:
        """Give how many times faster than the budget allows requests fail; None without one."""
        return self.bad / self.n / budget if self.n else None

    def __str__(self) -> str:
        failed = f"{self.bad:,} of {self.n:,} requests failed" if self.n else "no requests"
        return f"{failed} in {text.quantity(self.window, 's')}"


@dataclass(frozen=True, slots=True)
class Rule:
    """An alert as one budget puts it, its numbers in words at hand. Immutable.

    Attributes:
        alert: The alert.
        period: Of the budget, in seconds.
        budget: Share of the requests that may fail.
        min_bad_events: Bad requests in the window below which it cannot fire.
        min_coverage: Share of a window that must have been watched to call it fine.
        rate: The burn rate beyond which it fires.
        words: For the window, its short one and the rate.
    """

    alert: BurnAlert
    period: float
    budget: float
    min_bad_events: int
    min_coverage: float
    rate: float = field(init=False)
    words: tuple[str, str, str] = field(init=False)

    def __post_init__(self) -> None:
        rate = self.alert.burn_rate(self.period)
        lengths = (text.quantity(each, "s") for each in (self.alert.window, self.alert.short))
        object.__setattr__(self, "rate", rate)
        object.__setattr__(self, "words", (*lengths, text.number(rate)))

    def judged(self, long: Seen, short: Seen, at: float | None) -> Verdict:
        """Judge the alert by its two windows."""
        both = [self._beyond(seen) for seen in (long, short)]
        low = high = Severity.OK
        why = "" if False in both else covers_of(long, self.min_coverage)
        if False not in both:
            high = self.alert.severity
            if None not in both:
                if long.bad >= self.min_bad_events:
                    low = self.alert.severity
                else:
                    why = f", but fewer than {self.min_bad_events} bad requests do not tell"
        window, last, rate = self.words
        failed = f"{long.bad:,} of {long.n:,} requests failed" if long.n else "no requests"
        return Verdict(
            f"burn over {window}",
            severity_of(low, high),
            f"burn rate {self._burn(long)} over {window} and {self._burn(short)} over {last}, "
            f"alert beyond {rate}: {failed} in {window}{why}",
            at=at,
            low=low,
            high=high,
        )

    def _beyond(self, seen: Seen) -> bool | None:
        """Tell whether a window burns beyond the rate; None where that cannot be known.

        Too little of the window watched, the rest is taken to have been without an error: what
        burns beyond the rate even so, does.
        """
        burn = seen.burn_rate(self.budget)
        if burn is None:
            return None
        watched = min(1.0, seen.covers / seen.window)
        if watched >= self.min_coverage:
            return burn > self.rate
        return True if burn * watched > self.rate else None

    def _burn(self, seen: Seen) -> str:
        burn = seen.burn_rate(self.budget)
        return "unknown" if burn is None else text.number(burn, 3)


def covers_of(seen: Seen, min_coverage: float) -> str:
    """Say how much of a window was watched, where that is too little."""
    if seen.covers >= min_coverage * seen.window:
        return ""
    covers, window = text.quantity(seen.covers, "s", 3), text.quantity(seen.window, "s")
    return f", covers {covers} of {window}: state was not restored"
