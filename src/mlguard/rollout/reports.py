"""What one report adds to one arm, read and checked."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from mlguard.arguments import real, refusal, whole
from mlguard.errors import ConfigurationError
from mlguard.stats.betting import Sums

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

_MOST = 2**53
_NONE: Mapping[str, Any] = {"seq": None, "requests": 0, "events": {}, "cost": 0.0}


@dataclass(frozen=True, slots=True)
class Report:
    """What one report adds to one arm. Immutable.

    Attributes:
        requests: How many.
        events: By name; where clusters are counted, first ones.
        cost: Of the requests.
        trials: Clusters newly at risk, by name of the event; None where requests are counted.
        values: Sums of values, by name of the guardrail.
    """

    requests: int
    events: Mapping[str, int]
    cost: float = 0.0
    trials: Mapping[str, int] | None = None
    values: Mapping[str, Sums] = field(default_factory=dict)


def read(
    bounds: Mapping[str, tuple[float, float] | None],
    requests: object,
    events: Mapping[str, object] | None,
    values: Mapping[str, ArrayLike] | None,
    cost: object,
) -> Report:
    """Check what a caller reported.

    Args:
        bounds: The names of the guardrails, and the bounds of those on values.
        requests: How many.
        events: By name, how many.
        values: By name.
        cost: Of the requests.

    Raises:
        ConfigurationError: A count is negative, no whole number, above 2**53 or more than the
            requests, a value is out of its bounds, the cost is negative or not finite, or a name is
            unknown.
    """
    names = [name for name, ends in bounds.items() if ends is None]
    total = whole("requests", requests)
    if total > _MOST:
        raise refusal("requests", requests, f"at most {_MOST}")
    for parameter, named in (("events", events), ("values", values)):
        if not isinstance(named, Mapping | None):
            raise refusal(parameter, named, "a mapping of names of guardrails")
    given = dict(events or {})
    if odd := sorted(given.keys() - {*names}):
        raise refusal("events", odd, f"names of guardrails, {list(names)}")
    counts = {name: whole(f"events[{name!r}]", count) for name, count in given.items()}
    paid = real("cost", cost)
    if not 0.0 <= paid < math.inf:
        raise refusal("cost", cost, "at least 0, and finite")
    sums = {}
    for name, each in (values or {}).items():
        ends = bounds.get(name)
        if ends is None:
            known = [name for name, ends in bounds.items() if ends is not None]
            raise refusal("values", name, f"names of guardrails on values, {known}")
        low, high = ends
        try:
            sums[name] = Sums.of(each, low=low, high=high)
        except (TypeError, ValueError) as error:
            raise ConfigurationError(f"values[{name!r}]: {error}") from None
        if sums[name].n > total:
            raise refusal(f"values[{name!r}]", sums[name].n, f"at most requests = {total}")
    return _within(Report(total, counts, paid, values=sums), "requests")


def grown(
    last: Mapping[str, Any] | None, report: Report, seq: int | None
) -> tuple[dict[str, Any], Report] | None:
    """Give where the counters of a source stand now, and what they grew by since the last report.

    A report with a number that is not above the last is a repeat or late, and gives None. A counter
    that is lower than before was reset, and counts from zero.

    Raises:
        ConfigurationError: Events grew by more than requests did.
    """
    before = last or _NONE
    if seq is not None and before["seq"] is not None and seq <= before["seq"]:
        return None
    reset = report.requests < before["requests"] or any(
        count < before["events"].get(name, 0) for name, count in report.events.items()
    )
    known = {} if reset else before["events"]
    stands = {
        "seq": before["seq"] if seq is None else seq,
        "requests": report.requests,
        "events": {**known, **report.events},
        "cost": report.cost,
    }
    if reset:
        return stands, report
    events = {name: count - known.get(name, 0) for name, count in report.events.items()}
    cost = max(report.cost - before["cost"], 0.0)
    return stands, _within(
        replace(report, requests=report.requests - before["requests"], events=events, cost=cost),
        "new requests",
    )


def _within(report: Report, what: str) -> Report:
    for name, count in report.events.items():
        if count > report.requests:
            raise refusal(f"events[{name!r}]", count, f"at most {what} = {report.requests}")
    return report
