"""The guard around the service: how slow it may be, how often it may fail, and what happens then."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from mlguard import worst
from mlguard.integrations.asgi import GuardMiddleware
from production import given

if TYPE_CHECKING:
    from mlguard import Check, Clock, Guards
    from mlguard.integrations.asgi import App


def service_check(guards: Guards) -> Check:
    """Return the check that the service has to pass all the time."""
    checks: list[Check | None] = [guards.latency, guards.errors]
    return worst("service", *map(given, checks))


def guarded(app: App, guards: Guards, clock: Clock) -> GuardMiddleware:
    """Return the app behind its guard: while it is in breach, each answer says so in a header."""
    return GuardMiddleware(
        app,
        guards=guards,
        check=service_check(guards),
        on_breach="header",
        every=timedelta(seconds=5),
        clock=clock,
    )
