"""What is published of a check: numbers under stable names with labels, whoever collects them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from mlguard.arguments import NO_ITEMS, refusal
from mlguard.budgets.errors import ErrorBudget
from mlguard.budgets.keyed import Keyed
from mlguard.budgets.streams import PARTS
from mlguard.checks import ask, checked
from mlguard.locks import Locked
from mlguard.render.text import visible
from mlguard.values import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlguard.protocols import Check, Clock

_IN_PROMETHEUS = {"": "", "s": "_seconds", "1": "_ratio"}


@dataclass(frozen=True, slots=True, eq=False)
class Metric:
    """A family of series. Immutable; equal to itself alone.

    Attributes:
        name: Stable; `mlguard.` goes before it, and dots are underscores in Prometheus.
        labels: Names of its labels. `key` is empty where a check is no family by key, `part` where
            it times no streams; an empty label is no label in Prometheus.
        text: What it says.
        unit: "s", "1" for a ratio, or nothing.
        counts: Whether it is a counter.
    """

    name: str
    labels: tuple[str, ...]
    text: str
    unit: str = ""
    counts: bool = False

    @property
    def in_prometheus(self) -> str:
        """Its name in Prometheus."""
        stem = f"mlguard_{self.name.replace('.', '_')}{_IN_PROMETHEUS[self.unit]}"
        return f"{stem}_total" if self.counts else stem


_OF = ("check", "key")
_COUNTED = (*_OF, "part")
_MEASURED = (*_OF, "name", "unit")
SEVERITY = Metric("severity", _OF, "Severity of a check: 0 OK, 1 UNKNOWN, 2 WARN, 3 BREACH")
EVALUATED = Metric(
    "last_evaluation_timestamp",
    ("check",),
    "Unix time of the last evaluation of a check, 0 before the first",
    unit="s",
)
DROPPED = Metric("dropped_series", ("check",), "Series of a check that are beyond the bound")
VALUE = Metric("measurement", _MEASURED, "What a check measured, NaN where it could not")
LOW = Metric("measurement_low", _MEASURED, "Lower end of the interval of what a check measured")
HIGH = Metric("measurement_high", _MEASURED, "Upper end of the interval of what a check measured")
REMAINING = Metric(
    "error_budget_remaining",
    _OF,
    "Share of an error budget that is left, below 0 if overdrawn",
    "1",
)
REQUESTS = Metric("requests", _COUNTED, "Requests observed", counts=True)
BAD = Metric("bad_requests", _COUNTED, "Requests observed that were bad", counts=True)
SLOW = Metric(
    "slow_requests", (*_COUNTED, "limit"), "Requests over a limit in seconds", counts=True
)
INVALID = Metric("invalid_observations", _COUNTED, "Observations that were no number", counts=True)

_COUNTERS = {"requests": REQUESTS, "bad": BAD, "invalid": INVALID}

METRICS = (
    SEVERITY, EVALUATED, DROPPED, VALUE, LOW, HIGH, REMAINING, REQUESTS, BAD, SLOW, INVALID,
)  # fmt: skip


Key: TypeAlias = tuple[Metric, tuple[str, ...]]


class Point(NamedTuple):
    """The value of one series."""

    metric: Metric
    labels: tuple[str, ...]
    value: float


def essential(metric: Metric, labels: tuple[str, ...]) -> bool:
    """Tell whether a series is beyond any bound: there are three a check, whatever it says."""
    return metric in {SEVERITY, EVALUATED, DROPPED} and labels[1:] in {(), ("",)}


class Watched(Locked):
    """Checks by name, and what is to be published of them. Thread-safe.

    What a meter had counted before is not counted again: after a restart from a saved state,
    another process has published that. A gathered meter is published whole: its counts are
    those of its sources, wherever they are gathered. In a forked child meters start at zero.
    """

    __slots__ = ("_before", "_clock", "checks")

    def __init__(self, checks: Mapping[str, Check], clock: Clock) -> None:
        super().__init__()
        self.checks = named(checks)
        self._clock = clock
        self._before = {
            (point.metric, point.labels): point.value
            for name, check in self.checks.items()
            if getattr(check, "sources", None) is None
            for point in _counters(name, check)
        }

    def _after_fork(self) -> None:
        super()._after_fork()
        self._before = {}

    def ask(self, name: str) -> tuple[Verdict, list[Point]]:
        """Ask a check, and give its verdict and its points, the most important ones first."""
        check = self.checks[name]
        verdict = ask(check)
        points = [
            Point(SEVERITY, (name, ""), verdict.severity),
            Point(EVALUATED, (name,), self._clock()),
            *self.counted(name),
            *_judged(name, check, verdict),
        ]
        return verdict, points

    def counted(self, name: str) -> Iterator[Point]:
        """Give the counters of a check."""
        for metric, labels, value in _counters(name, self.checks[name]):
            yield Point(metric, labels, value - self._before.get((metric, labels), 0.0))


def named(checks: Mapping[str, Check]) -> dict[str, Check]:
    """Read checks by the names under which they are published."""
    if not isinstance(checks, Mapping) or not checks:
        raise refusal("checks", checks, "a mapping of names to checks")
    for name, check in checks.items():
        if not (isinstance(name, str) and name.strip() and name.isprintable()) or "{{" in name:
            raise refusal("checks", name, "named by printable strings without {{")
        checked(check)
    return dict(checks)


def _counters(name: str, check: Check) -> Iterator[Point]:
    for key, meter in _meters(check):
        totals = getattr(meter, "totals", NO_ITEMS)
        if "good" in totals:
            yield Point(REQUESTS, (name, key, ""), totals["good"] + totals["bad"])
        for total, count in totals.items():
            part, _, rest = total.partition(" ")
            part, counted = (part, rest) if part in PARTS else ("", total)
            if counted.startswith("over "):
                yield Point(SLOW, (name, key, part, counted.removeprefix("over ")), count)
            elif counted in _COUNTERS:
                yield Point(_COUNTERS[counted], (name, key, part), count)


def _meters(check: Check) -> Iterator[tuple[str, object]]:
    """Give the meter under an empty key, or those of a family by theirs."""
    if isinstance(check, Keyed):
        for key, meter in check.items():
            yield visible(key), meter
    else:
        yield "", check


def _judged(name: str, check: Check, verdict: Verdict) -> Iterator[Point]:
    for key, meter in _meters(check):
        if isinstance(meter, ErrorBudget):
            remaining = meter.remaining
            yield Point(REMAINING, (name, key), math.nan if remaining is None else remaining)
    if not isinstance(check, Keyed):
        yield from _measured(verdict, "", name, "")
        return
    for cause in verdict.causes:
        if isinstance(cause, Verdict):
            key = visible(cause.name.partition(f"[{check.by}=")[2].removesuffix("]"))
            yield Point(SEVERITY, (name, key), cause.severity)
            yield from _measured(cause, "", name, key)


def _measured(verdict: Verdict, path: str, name: str, key: str) -> Iterator[Point]:
    """Give the evidence of a verdict and of its causes, named by the path to it."""
    for each in verdict.evidence:
        own = each.name == path.rpartition("/")[2]
        labels = name, key, visible(path if own else _below(path, each.name)), visible(each.unit)
        yield Point(VALUE, labels, each.value)
        if each.low is not None:
            yield Point(LOW, labels, each.low)
        if each.high is not None:
            yield Point(HIGH, labels, each.high)
    for cause in verdict.causes:
        if isinstance(cause, Verdict):
            yield from _measured(cause, _below(path, cause.name), name, key)


def _below(path: str, name: str) -> str:
    return f"{path}/{name}" if path else name
