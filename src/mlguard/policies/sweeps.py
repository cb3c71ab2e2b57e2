"""The trade-off: what policies would do that differ in a parameter, and the choice among them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlguard.arguments import finite, refusal
from mlguard.policies.simulated import DAY
from mlguard.render import html, tradeoff
from mlguard.render.text import escaped, number

if TYPE_CHECKING:
    from mlguard.policies.paths import Stepper
    from mlguard.policies.simulated import Simulation


@dataclass(frozen=True, slots=True)
class Tried:
    """One point of a sweep. Immutable.

    Attributes:
        parameters: What the policy was made from.
        policy: The policy, ready to use.
        simulation: What it would do.
    """

    parameters: Mapping[str, Any]
    policy: Stepper
    simulation: Simulation

    @property
    def label(self) -> str:
        """The parameters in words."""
        return ", ".join(f"{name} {value}" for name, value in self.parameters.items())


@dataclass(frozen=True, slots=True, repr=False)
class Sweep:
    """Policies tried on the same paths. Immutable; in a notebook it shows its trade-off.

    Attributes:
        tried: In the order of the grid.
    """

    tried: tuple[Tried, ...]

    def choose(
        self, *, false_alarms_per_month: float | None = None, minimise: str | None = None
    ) -> Any:
        """Choose a policy, ready to use.

        Args:
            false_alarms_per_month: The policy with the shortest mean delay among those that stay
                within, of equals the calmest. Missed drifts count with the horizon, and so do those
                that meet an old false alarm: where drifts are simulated, a policy whose alarm is
                stuck is not chosen.
            minimise: "cost" for the cheapest policy; with the first, among those within it.

        Raises:
            ConfigurationError: Neither is given, none stays within, or no costs were simulated.
        """
        if minimise not in {None, "cost"}:
            raise refusal("minimise", minimise, '"cost"')
        within = list(self.tried)
        if false_alarms_per_month is not None:
            most = finite("false_alarms_per_month", false_alarms_per_month)
            within = [each for each in within if each.simulation.false_alarms.value <= most]
            if not within:
                least = min(each.simulation.false_alarms.value for each in self.tried)
                allowed = f"at least {least:.3g}, which the calmest of these policies has"
                raise refusal("false_alarms_per_month", false_alarms_per_month, allowed)
        elif minimise is None:
            raise refusal("minimise", minimise, '"cost", or give false_alarms_per_month')
        if minimise == "cost":
            if any(each.simulation.cost is None for each in within):
                raise refusal("minimise", minimise, "used with costs=Costs(…) in the sweep")
            return min(within, key=lambda each: each.simulation.cost or 0.0).policy
        return min(
            within,
            key=lambda each: (
                math.inf if math.isnan(each.simulation.delay) else each.simulation.delay,
                each.simulation.false_alarms.value,
            ),
        ).policy

    def rows(self) -> list[list[str]]:
        """Give the table: a header, then a line for each point."""
        found = [["policy", "false alarms a month", "false retrains", "missed", "mean delay, d"]]
        found[0].append("alarming")
        costly = any(each.simulation.cost is not None for each in self.tried)
        found[0] += ["cost a month"] if costly else []
        for each in self.tried:
            seen = each.simulation
            every = (drift.missed.value for drift in seen.drifts.values())
            missed = [share for share in every if not math.isnan(share)]
            row = [
                each.label,
                number(seen.false_alarms.value, 3),
                number(seen.false_retrains.value, 3),
            ]
            row.append(f"{100.0 * sum(missed) / len(missed):.3g} %" if missed else "–")
            row.append("–" if math.isnan(seen.delay) else number(seen.delay / DAY, 3))
            row.append(f"{number(100.0 * seen.alarming.value, 3)} %")
            if seen.cost is not None:
                row.append(number(seen.cost))
            found.append(row)
        return found

    def __str__(self) -> str:
        rows = self.rows()
        widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
        lines = [
            "  ".join(
                each.rjust(width) if place else each.ljust(width)
                for place, (each, width) in enumerate(zip(row, widths, strict=True))
            )
            for row in rows
        ]
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"<Sweep of {len(self.tried)} policies>"

    def to_html(self, *, page: bool = True) -> str:
        """Write the trade-off as a curve, and the table below it.

        Args:
            page: Whether to write a page of its own, or a part for yours.
        """
        title = "False alarms against delay"
        points = [
            tradeoff.Point(
                each.simulation.false_alarms.value, each.simulation.delay / DAY, each.label
            )
            for each in self.tried
            if not math.isnan(each.simulation.delay)
        ]
        drawn = tradeoff.curve(
            points, across="false alarms a month", up="mean delay in days", title=title
        )
        head, *rows = self.rows()
        cells = "".join(f'<th scope="col">{escaped(each)}</th>' for each in head)
        lines = "".join(
            f"<tr>{''.join(f'<td>{escaped(each)}</td>' for each in row)}</tr>" for row in rows
        )
        heading = f"<h1>{title}</h1>" if page else ""
        body = (
            f'<style>{tradeoff.STYLE}</style><div class="mlguard-tradeoff">{heading}{drawn}'
            f"<table><thead><tr>{cells}</tr></thead><tbody>{lines}</tbody></table></div>"
        )
        return html.page(title, body) if page else body

    def _repr_html_(self) -> str:
        return self.to_html(page=False)
