"""Alerts on the burn rate: what they derive, what they refuse, when they fire and end."""

from __future__ import annotations

import math
import pickle
import re
from dataclasses import FrozenInstanceError
from datetime import timedelta
from typing import Any

import pytest

from mlguard import BurnAlert, Calendar, ConfigurationError, ErrorBudget, Rolling, Severity
from mlguard.testing import ManualClock

HOUR, DAY = 3_600.0, 86_400.0
START = 1_700_000_000.0


@pytest.mark.parametrize(
    ("days", "share", "hours", "factor"),
    [
        (30, 0.02, 1, 14.4),
        (30, 0.05, 6, 6.0),
        (30, 0.10, 24, 3.0),
        (30, 0.10, 72, 1.0),
        (28, 0.02, 1, 13.44),
        (28, 0.05, 6, 5.6),
        (28, 0.10, 24, 2.8),
        (28, 0.10, 72, 28 / 30),
        (7, 0.08, 1, 13.44),
        (7, 0.125, 6, 3.5),
        (7, 0.20, 24, 1.4),
        (7, 0.42, 72, 0.98),
    ],
)
def test_the_burn_rate_follows_from_share_window_and_period(
    days: int, share: float, hours: int, factor: float
) -> None:
    alert = BurnAlert(share, timedelta(hours=hours))
    assert alert.burn_rate(days * DAY) == pytest.approx(factor, rel=1e-12)
    assert alert.short * 12 == alert.window == hours * HOUR
    errors = ErrorBudget(0.999, period=timedelta(days=days), alerts=[alert])
    assert f"alert beyond {factor:.4g}:" in errors().explain()


@pytest.mark.parametrize(
    ("period", "seconds"),
    [
        (timedelta(days=30), 30 * DAY),
        (Rolling(timedelta(days=28)), 28 * DAY),
        (7 * DAY, 7 * DAY),
        (Calendar("month"), 30 * DAY),
        (Calendar("week", tz="Europe/Berlin"), 7 * DAY),
        (Calendar("day"), DAY),
        (2.4 * HOUR, 2.4 * HOUR),
    ],
)
def test_the_usual_alerts_scale_with_the_period(period: Any, seconds: float) -> None:
    found = ErrorBudget(0.999, period=period).alerts
    assert [alert.burn_rate(seconds) for alert in found] == pytest.approx([14.4, 6.0, 3.0, 1.0])
    assert [seconds / alert.window for alert in found] == pytest.approx([720, 120, 30, 10])
    assert [alert.severity.name for alert in found] == ["BREACH", "BREACH", "WARN", "WARN"]


@pytest.mark.parametrize("period", [timedelta(hours=1), 2.39 * HOUR, Calendar("hour")])
def test_a_period_too_short_for_the_usual_alerts_says_so(period: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"period = .*at least 2.4 h, or with alerts of"):
        ErrorBudget(0.999, period=period)
    assert ErrorBudget(0.999, period=period, alerts=[BurnAlert(0.5, 600)])().severity.name


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0.0, 3600), "share = 0.0: must be between 0 and 1, both excluded"),
        ((1, 3600), "share = 1: must be between 0 and 1, both excluded"),
        ((math.nan, 3600), "share = nan: must be between 0 and 1, both excluded"),
        (("2 %", 3600), "share = '2 %': must be a number"),
        ((0.02, 0), "window = 0: must be a positive duration"),
        ((0.02, -timedelta(1)), "must be a positive duration"),
        ((0.02, math.inf), "window = inf: must be a positive duration"),
        ((0.02, math.nan), "window = nan: must be a positive duration"),
        ((0.02, None), "window = None: must be a number"),
        ((0.02, 11.9), "window = 11.9: must be at least 12 s"),
        ((0.02, 3600, "PAGE"), "severity = 'PAGE': must be one of OK, UNKNOWN, WARN, BREACH"),
        ((0.02, 3600, Severity.OK), "must be BREACH (a page) or WARN (a ticket)"),
        ((0.02, 3600, "UNKNOWN"), "must be BREACH (a page) or WARN (a ticket)"),
    ],
)
def test_an_alert_refuses_what_it_cannot_mean(arguments: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        BurnAlert(*arguments)


def test_an_alert_is_a_value() -> None:
    alert = BurnAlert(0.02, timedelta(hours=1), severity="WARN")  # type: ignore[arg-type] # by name
    assert alert == BurnAlert(0.02, 3600, Severity.WARN)
    assert len({alert, BurnAlert(0.02, 3600.0, Severity.WARN)}) == 1
    assert pickle.loads(pickle.dumps(alert)) == alert  # noqa: S301 -- our own
    with pytest.raises(FrozenInstanceError):
        alert.share = 0.5  # type: ignore[misc]


@pytest.mark.parametrize("slo", [0.9305, 0.93, 0.9, 0.5, 0.01])
def test_an_alert_that_can_never_fire_is_refused_and_told_what_can(slo: float) -> None:
    with pytest.raises(ConfigurationError) as caught:
        ErrorBudget(slo)
    message = str(caught.value)
    assert f"with slo = {slo} it needs more than {14.4 * (1 - slo):.0%} of requests" in message
    found = re.search(r"a share of the budget below (\S+) in that window", message)
    assert found is not None
    able = BurnAlert(0.99 * float(found[1]), HOUR)
    assert able.burn_rate(30 * DAY) * (1 - slo) < 1.0
    errors, clock = budget(slo, alerts=[able])
    errors.observe_counts(bad=10)
    clock.advance(1.0)
    assert errors().severity is Severity.BREACH


def test_an_alert_that_can_just_fire_is_fine() -> None:
    assert 14.4 * (1 - 0.9306) < 1.0
    errors, clock = budget(0.9306)
    errors.observe_counts(bad=10)
    clock.advance(1.0)
    assert errors().severity is Severity.BREACH
    with pytest.raises(ConfigurationError, match="able to fire"):  # not even if all fail
        ErrorBudget(0.5, period=DAY, alerts=[BurnAlert(0.5, DAY / 4)])


def test_a_window_no_longer_than_the_period() -> None:
    assert ErrorBudget(0.999, period=DAY, alerts=[BurnAlert(0.5, DAY)]).alerts[0].window == DAY
    with pytest.raises(ConfigurationError, match=r"alerts = .*must be within the period of 1 d"):
        ErrorBudget(0.999, period=DAY, alerts=[BurnAlert(0.5, DAY + 1)])
    with pytest.raises(ConfigurationError, match="within the period of 30 d"):
        ErrorBudget(0.999, period=Calendar("month"), alerts=[BurnAlert(0.5, 31 * DAY)])


@pytest.mark.parametrize("alerts", [0.02, [0.02], [(0.02, 3600)], "page", [None]])
def test_alerts_are_alerts(alerts: Any) -> None:
    with pytest.raises(ConfigurationError, match="BurnAlert"):
        ErrorBudget(0.999, alerts=alerts)


def budget(slo: float = 0.999, **options: Any) -> tuple[ErrorBudget, ManualClock]:
    """Give a budget that has watched a whole period, without a request, and its clock."""
    clock = ManualClock(START)
    errors = ErrorBudget(slo, clock=clock, **options)
    clock.advance(timedelta(days=31))
    assert errors.totals["good"] == 0
    return errors, clock


def pages(errors: ErrorBudget) -> list[str]:
    return [cause.severity.name for cause in errors().causes if hasattr(cause, "severity")][:-1]


def test_it_fires_beyond_the_rate_and_not_at_it() -> None:
    alert = BurnAlert(0.0625, HOUR)  # 1.5 of a day, to the last bit
    errors, _ = budget(0.5, period=DAY, alerts=[alert])
    errors.observe_counts(good=25, bad=75)
    assert errors.burn_rate(HOUR) == 1.5 == alert.burn_rate(DAY)
    assert pages(errors) == ["OK"]
    errors.observe(good=False)
    assert pages(errors) == ["BREACH"]


def test_it_takes_both_windows_and_ends_with_the_short_one() -> None:
    errors, clock = budget(alerts=[BurnAlert(0.02, HOUR)])
    minutes = []
    for minute in range(180):
        clock.advance(60.0)
        failing = 80 <= minute < 120
        errors.observe_counts(good=50 if not failing else 48, bad=2 if failing else 0)
        if pages(errors) == ["BREACH"]:
            minutes.append(minute)
    assert 101 <= minutes[0] <= 103  # 14.4 of an hour at 40 are 21.6 minutes
    assert 120 <= minutes[-1] <= 125  # while the long window still burns
    assert minutes == list(range(minutes[0], minutes[-1] + 1))
    assert errors.burn_rate(HOUR) == 0.0


def test_a_ticket_warns() -> None:
    errors, clock = budget(alerts=[BurnAlert(0.02, HOUR, Severity.WARN)])
    clock.advance(60.0)
    errors.observe_counts(good=80, bad=20)
    verdict = errors()
    assert verdict.severity is Severity.WARN
    assert verdict.high is Severity.WARN


def test_without_alerts_only_the_budget_is_judged() -> None:
    errors, _ = budget(alerts=[])
    errors.observe_counts(good=1_000_000, bad=999)
    assert errors().ok
    errors.observe_counts(bad=100)
    assert errors().severity is Severity.WARN


def test_it_says_what_it_saw() -> None:
    errors, clock = budget()
    clock.advance(60.0)
    errors.observe_counts(good=980, bad=20)
    verdict = errors()
    assert verdict.causes[0].name == "burn over 1 h"  # type: ignore[union-attr]
    assert verdict.causes[0].reason == (  # type: ignore[union-attr]
        "burn rate 20 over 1 h and 20 over 5 min, alert beyond 14.4: "
        "20 of 1,000 requests failed in 1 h"
    )
    assert [cause.name for cause in verdict.causes] == [  # type: ignore[union-attr]
        "burn over 1 h",
        "burn over 6 h",
        "burn over 1 d",
        "burn over 3 d",
        "errors remaining",
    ]
    assert verdict.at == clock()


def test_without_a_request_it_says_that() -> None:
    errors, _ = budget()
    assert "burn rate unknown over 1 h and unknown over 5 min, alert beyond 14.4: no requests in 1 h" in errors().explain()  # fmt: skip
    assert errors().severity is Severity.UNKNOWN
