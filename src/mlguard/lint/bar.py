"""The bar that configs must pass: which requirements, and how far each goes."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING

from mlguard.arguments import refusal
from mlguard.budgets.money import Money, money_of
from mlguard.requirements import Requirements
from mlguard.requirements.units import UNITS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlguard.requirements.sections import Drift

DEFAULT = "rollback", "drift", "cost"
_HOURS = dict(zip(UNITS, (1.0, 24.0, 7 * 24.0, 31 * 24.0), strict=True))


@dataclass(frozen=True, slots=True)
class Bar:
    """What is required of configs. Immutable.

    Attributes:
        names: Of the requirements.
        latency: Limits in seconds, by quantile.
        drift: How far the data may move, if that is said.
        cap: What may be spent in so many hours, if that is said.
        hours: How long the window of the cap is at most.
        hourly: What a replica costs for an hour, if that is known.
    """

    names: tuple[str, ...] = DEFAULT
    latency: Mapping[float, float] = field(default_factory=dict)
    drift: Drift | None = None
    cap: Money | None = None
    hours: float = 24.0
    hourly: Money | None = None

    @property
    def a_day(self) -> Money | None:
        """What an alert for a day may be set to, so that the cap is not passed unseen.

        Of a longer window it is a day's share; a shorter one may see a day's spend at once.
        """
        if self.cap is None or self.hours <= 24.0:  # noqa: PLR2004 -- a day
            return self.cap
        return Money.of_nanos(int(self.cap.nanos * 24 / Fraction(self.hours)), self.cap.currency)


def bar(requirements: Requirements | None, hourly: Money | str | None) -> Bar:
    """Give the bar of a requirements document; without one, rollback, drift and cost.

    Raises:
        ConfigurationError: An argument is of another kind, or the two speak of two currencies.
    """
    price = None if hourly is None else money_of("hourly", hourly)
    if price is not None and price.nanos < 0:
        raise refusal("hourly", str(price), "at least 0")
    if requirements is None:
        return Bar(hourly=price)
    if not isinstance(requirements, Requirements):
        raise refusal("requirements", requirements, "a Requirements, or None")
    cost, latency = requirements.cost, requirements.latency
    cap = cost.cap if cost else None
    if price is not None and cap is not None and price.currency != cap.currency:
        raise refusal("hourly", str(price), f"in {cap.currency}, as the cap")
    required = {
        "rollback": requirements.rollout,
        "drift": requirements.drift,
        "cost": cost,
        "latency": latency,
        "errors": requirements.errors,
        "performance": requirements.performance,
        "approvals": requirements.approvals,
    }
    return Bar(
        names=tuple(name for name, section in required.items() if section),
        latency=latency.limits if latency else {},
        drift=requirements.drift,
        cap=cap,
        hours=_hours(cost.window) if cost and cost.window else 24.0,
        hourly=price,
    )


def _hours(window: str) -> float:
    return _HOURS.get(window) or float(window.partition(" ")[0]) / 3600
