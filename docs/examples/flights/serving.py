"""The guard around the service: how slow it may be, how often it may fail, and what happens then."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from mlguard import ErrorBudget, LatencyBudget, worst
from mlguard.integrations.asgi import GuardMiddleware

if TYPE_CHECKING:
    from mlguard import Check, Clock
    from mlguard.integrations.asgi import App

LIMITS: Final = {0.5: 0.250, 0.95: 0.500, 0.99: 1.0}
"""In seconds: half of all answers within 250 ms, 95 % within half a second, 99 % within one."""
SLO: Final = 0.999


def budgets(clock: Clock) -> tuple[LatencyBudget, ErrorBudget]:
    """Return what the service counts about itself."""
    latency = LatencyBudget(LIMITS, window=timedelta(minutes=5), clock=clock)
    errors = ErrorBudget(SLO, period=timedelta(days=30), clock=clock)
    return latency, errors


def service_check(latency: LatencyBudget, errors: ErrorBudget) -> Check:
    """Return the check that the service has to pass all the time."""
    return worst("service", latency, errors)


def guarded(app: App, latency: LatencyBudget, errors: ErrorBudget, clock: Clock) -> GuardMiddleware:
    """Return the app behind its guard: while it is in breach, each answer says so in a header."""
    return GuardMiddleware(
        app,
        latency=latency,
        errors=errors,
        check=service_check(latency, errors),
        on_breach="header",
        every=timedelta(seconds=5),
        clock=clock,
    )
