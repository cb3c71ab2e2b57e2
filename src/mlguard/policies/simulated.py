"""What a simulation found: rates and delays with intervals, as a table, and what it would cost."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

from mlguard.arguments import finite, refusal
from mlguard.render.text import escaped, number
from mlguard.stats.intervals import exact_proportion_interval
from mlguard.values import Action, Measurement

if TYPE_CHECKING:
    from mlguard.policies.paths import Found

DAY = 86_400.0
MONTH = 365.25 / 12.0 * DAY
CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Costs:
    """What things cost, in one currency: for the money line. Immutable.

    Args:
        page: Of an alert that wakes somebody for nothing, and of each further day that it stays on.
        retrain: Of a retrain, needed or not.
        bad_hour: Of an hour in which drift has not been noticed.
        drifts_a_year: How many drifts are to be expected.
    """

    page: float = 0.0
    retrain: float = 0.0
    bad_hour: float = 0.0
    drifts_a_year: float = 2.0

    def __post_init__(self) -> None:
        for each in fields(self):
            if not finite(each.name, getattr(self, each.name)) >= 0.0:
                raise refusal(each.name, getattr(self, each.name), "at least 0")


@dataclass(frozen=True, slots=True)
class Detection:
    """How a policy met one kind of drift. Immutable.

    Attributes:
        before: Share of drifts that met an alarm that was on already, falsely: they are left out
            of `missed` and the delays.
        missed: Share of drifts that nothing was decided about within the horizon.
        median: Median delay from the onset to the first decision, in seconds, of those found.
        p90: Nine in ten are found within this.
        actions: By action, the share of drifts in which it was decided after the onset.
        mean: Mean delay in seconds. Drifts that are missed count with the horizon, and so do those
            that met a false alarm which had been on for most of the time: nobody looks any more.
    """

    before: Measurement
    missed: Measurement
    median: Measurement
    p90: Measurement
    actions: Mapping[str, Measurement]
    mean: float


@dataclass(frozen=True, slots=True, repr=False)
class Simulation:
    """What a policy would do: on quiet history, and when drift is put into it. Immutable.

    Attributes:
        false: By action, how often it is decided a month where nothing has changed. Each alert is
            one: its RESOLVE is left out.
        drifts: By the name of a drift, how it is met.
        alarming: Share of quiet time for which an alarm is on.
        unjudged: Responses that could not be judged, as the history lacks what they are about.
        unknown: Of each series the share of the quiet history that is UNKNOWN, 0 to 1.
        years: How much quiet time was simulated.
        cost: What false alarms, retrains and unnoticed drift come to in a month; None without
            `Costs`.
    """

    false: Mapping[str, Measurement]
    drifts: Mapping[str, Detection]
    alarming: Measurement
    unjudged: tuple[str, ...]
    unknown: Mapping[str, float]
    years: float
    cost: float | None

    @property
    def false_alarms(self) -> Measurement:
        """False alerts a month."""
        return self.false[Action.ALERT]

    @property
    def false_retrains(self) -> Measurement:
        """False retrains a month."""
        return self.false[Action.RETRAIN]

    @property
    def delay(self) -> float:
        """Mean delay over all drifts, in seconds, where what is missed counts with the horizon."""
        every = [each.mean for each in self.drifts.values()]
        return float(np.mean(every)) if every else math.nan

    def rows(self) -> list[list[str]]:
        """Give the table: a header, then a line for each finding."""
        found = [["what", "value", "95 % interval"]]
        decided = {action for each in self.drifts.values() for action in each.actions}
        for action, rate in self.false.items():
            if not rate.value and action not in {*decided, Action.ALERT}:
                continue  # nothing of the kind, here or there
            found.append([f"false {action} a month", *_shown(rate)])
        if self.alarming.value:
            found.append(["quiet time with an alarm", *_shown(self.alarming, 100.0, " %")])
        found += [
            [f"history of {name}: unknown", f"{number(100.0 * part, 3)} %", ""]
            for name, part in self.unknown.items()
            if part
        ]
        found += [[f"not judged: {name}", "–", ""] for name in self.unjudged]
        for name, each in self.drifts.items():
            if each.before.value:
                found.append([f"{name}: in a false alarm", *_shown(each.before, 100.0, " %")])
            found.append([f"{name}: missed", *_shown(each.missed, 100.0, " %")])
            if not math.isnan(each.median.value):
                found.append([f"{name}: delay, median", *_shown(each.median, 1.0 / DAY, " d")])
                found.append([f"{name}: delay, nine in ten", *_shown(each.p90, 1.0 / DAY, " d")])
            found += [
                [f"{name}: {action}", *_shown(part, 100.0, " %")]
                for action, part in each.actions.items()
            ]
        if self.cost is not None:
            found.append(["cost a month", number(self.cost), ""])
        return found

    def __str__(self) -> str:
        rows = self.rows()
        widths = [max(len(row[place]) for row in rows) for place in range(3)]
        lines = [
            "  ".join([row[0].ljust(widths[0]), row[1].rjust(widths[1]), row[2].rjust(widths[2])])
            for row in rows
        ]
        return "\n".join(line.rstrip() for line in lines)

    def __repr__(self) -> str:
        return f"<Simulation of {self.years:g} quiet years, {len(self.drifts)} drifts>"

    def _repr_html_(self) -> str:
        head, *rows = self.rows()
        cells = "".join(f"<th>{escaped(each)}</th>" for each in head)
        body = "".join(
            f"<tr>{''.join(f'<td>{escaped(each)}</td>' for each in row)}</tr>" for row in rows
        )
        return f"<table><thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table>"


def quiet_rates(found: Sequence[Found], seconds: float) -> dict[str, Measurement]:
    """Measure how often each action is decided a month, from paths of so many seconds each.

    The interval is that of a Poisson count (F. Garwood, Biometrika 28, 1936), made wider as far as
    the counts of the paths scatter more than such ones would.
    """
    names: list[str] = [Action.ALERT, Action.RETRAIN, Action.ROLLBACK]
    names += sorted({name for each in found for name in each.counts} - {*names, Action.RESOLVE})
    months = len(found) * seconds / MONTH
    rates = {}
    for name in names:
        counts = np.array([each.counts.get(name, 0) for each in found], dtype=np.float64)
        total = float(counts.sum())
        spread = (
            max(1.0, float(counts.var(ddof=1) / counts.mean())) if total and len(found) > 1 else 1.0
        )
        low, high = _garwood(total / spread)
        rates[str(name)] = Measurement(
            f"false {name} a month",
            total / months,
            n=len(found),
            low=min(low * spread, total) / months,
            high=max(high * spread, total) / months,
            confidence=CONFIDENCE,
            details={"count": int(total), "better": "lower"},
        )
    return rates


def detection(name: str, found: Sequence[Found], every: float, horizon: int) -> Detection:
    """Measure how a drift was met in many paths."""
    n = len(found)
    met = [each for each in found if not each.before]
    delays = np.sort(np.array([each.delay for each in met if each.delay is not None], dtype=float))
    missed = len(met) - len(delays)
    unnoticed = missed + sum(each.stale for each in found) or int(not met)
    actions = {
        action: _share(f"{name}: {action}", sum(action in each.counts for each in found), n)
        for action in sorted({action for each in found for action in each.counts})
        if action != Action.RESOLVE
    }
    return Detection(
        _share(f"{name}: in a false alarm", n - len(met), n),
        _share(f"{name}: missed", missed, len(met)),
        _quantile(f"{name}: median delay", delays * every, 0.5, horizon * every),
        _quantile(f"{name}: delay of nine in ten", delays * every, 0.9, horizon * every),
        actions,
        every * (float(delays.sum()) + unnoticed * horizon) / (len(delays) + unnoticed),
    )


def time_alarming(found: Sequence[Found]) -> Measurement:
    """Measure for which part of quiet time an alarm is on, with a normal interval over paths."""
    parts = np.array([each.alarming for each in found])
    mean = float(parts.mean())
    error = 1.96 * float(parts.std(ddof=1)) / math.sqrt(len(parts)) if len(parts) > 1 else math.nan
    low, high = (None, None) if math.isnan(error) else (max(mean - error, 0), min(mean + error, 1))
    return Measurement(
        "quiet time with an alarm",
        mean,
        unit="share",
        n=len(parts),
        low=low,
        high=high,
        confidence=None if low is None else CONFIDENCE,
    )


def cost_of(
    false: Mapping[str, Measurement],
    alarming: Measurement,
    delay: float,
    every: float,
    costs: Costs | None,
) -> float | None:
    """Give what a policy comes to in a month."""
    if costs is None:
        return None
    hours = 0.0 if math.isnan(delay) else delay / 3_600.0
    alerts = false[Action.ALERT].value
    further = max(alarming.value * MONTH - alerts * every, 0.0) / DAY
    return (
        costs.page * (alerts + further)
        + costs.retrain * false[Action.RETRAIN].value
        + costs.drifts_a_year / 12.0 * costs.bad_hour * hours
    )


def _share(name: str, count: int, n: int) -> Measurement:
    if not n:
        reason = "an alarm was on in every path"
        return Measurement(name, math.nan, unit="share", n=0, details={"reason": reason})
    low, high = exact_proportion_interval(count, n, CONFIDENCE)
    return Measurement(
        name, count / n, unit="share", n=n, low=low, high=high, confidence=CONFIDENCE
    )


def _quantile(name: str, values: np.ndarray, q: float, longest: float) -> Measurement:
    """Measure a quantile, with the interval that order statistics give.

    Its upper end is the longest delay that there may be, where too few values bound it.
    """
    n = len(values)
    if not n:
        return Measurement(name, math.nan, unit="s", n=0, details={"reason": "none was found"})
    tail = (1.0 - CONFIDENCE) / 2.0
    ranks = np.arange(n + 1)
    below = special.bdtr(ranks, n, q)
    low = int(np.searchsorted(below, tail))
    high = int(np.searchsorted(below, 1.0 - tail))
    place = max(math.ceil(q * n) - 1, 0)
    return Measurement(
        name,
        float(values[place]),
        unit="s",
        n=n,
        low=float(values[min(max(low - 1, 0), place)]),
        high=float(values[max(high, place)]) if high < n else longest,
        confidence=CONFIDENCE,
    )


def _garwood(count: float) -> tuple[float, float]:
    tail = (1.0 - CONFIDENCE) / 2.0
    low = float(special.gammaincinv(count, tail)) if count > 0.0 else 0.0
    return low, float(special.gammaincinv(count + 1.0, 1.0 - tail))


def _shown(each: Measurement, factor: float = 1.0, unit: str = "") -> list[str]:
    if math.isnan(each.value):
        return ["–", ""]
    low, high = ((end or 0.0) * factor for end in (each.low, each.high))
    return [
        f"{number(each.value * factor, 3)}{unit}",
        f"{number(low, 3)} to {number(high, 3)}{unit}",
    ]
