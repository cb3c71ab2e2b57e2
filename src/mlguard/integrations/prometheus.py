"""Metrics out to Prometheus, the alerts on them, and PromQL as a measure. Extra: `prometheus`."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any, Literal

from mlguard.arguments import refusal, whole
from mlguard.errors import MissingDependencyError
from mlguard.integrations.promql import counts, query
from mlguard.integrations.rules import rules
from mlguard.integrations.series import DROPPED, EVALUATED, METRICS, Metric, Watched, essential
from mlguard.locks import Locked

if TYPE_CHECKING:
    from collections.abc import Mapping

    from prometheus_client import CollectorRegistry

    from mlguard.integrations.series import Key, Point
    from mlguard.protocols import Check, Clock
    from mlguard.values import Verdict

__all__ = ["Exporter", "counts", "query", "rules"]


class Exporter(Locked):
    """Publishes checks and meters to prometheus_client whenever `update` is called. Thread-safe.

    Per process. In prometheus_client's multiprocess mode the counters of all workers add up; of the
    gauges the worker that was updated last is shown, and of the time of evaluation the latest.
    There each worker must call `update` now and then, and once before it stops, since nobody else
    can know its counts. A forked child publishes what it counts itself. Like the registry that it
    writes to, it cannot be pickled.

    Published are, under stable names and all with the label `check`: `mlguard_severity` (0 OK,
    1 UNKNOWN, 2 WARN, 3 BREACH); `mlguard_last_evaluation_timestamp_seconds` (0 before the first);
    `mlguard_measurement` with the ends of its interval, `mlguard_measurement_low` and `_high`, for
    all evidence of the verdict; `mlguard_error_budget_remaining_ratio`; `mlguard_dropped_series`;
    and the counters of meters, `mlguard_requests_total`, `mlguard_bad_requests_total`,
    `mlguard_slow_requests_total` and `mlguard_invalid_observations_total`. What is not known is
    NaN. A `Keyed` family is published key by key under the label `key`.

    Args:
        checks: By the names under which they are published. A meter that is a check brings its
            counters along; what it had counted before is not published.
        registry: Of prometheus_client; its default one when not given. One exporter each.
        max_series: Most series of the exporter, beyond three a check that are always there. Those
            that come later are counted in `mlguard_dropped_series`.
        clock: Of Unix seconds, for the time of evaluation. Prometheus compares it with its own, so
            it is the wall clock by default.

    Raises:
        ConfigurationError: An argument is not of its kind, or the registry has an exporter already.
        MissingDependencyError: prometheus_client is not installed.

    Examples:
        >>> from prometheus_client import CollectorRegistry
        >>> from mlguard import at_most, guard, measured
        >>> registry = CollectorRegistry()
        >>> gate = guard(measured("p99", 0.061, unit="s"), at_most(0.05))
        >>> exporter = Exporter({"gate": gate}, registry=registry)
        >>> exporter.update()["gate"].severity.name
        'BREACH'
        >>> registry.get_sample_value("mlguard_severity", {"check": "gate", "key": ""})
        3.0
    """

    __slots__ = ("_families", "_kept", "_live", "_most", "_published", "_watched")

    def __init__(
        self,
        checks: Mapping[str, Check],
        *,
        registry: CollectorRegistry | None = None,
        max_series: int = 2000,
        clock: Clock = time.time,
    ) -> None:
        super().__init__()
        self._watched = Watched(checks, clock)
        self._most = whole("max_series", max_series)
        self._families = _families(registry)
        self._kept: dict[Key, Any] = {}
        self._published: dict[Key, float] = {}
        self._live: dict[str, set[Key]] = {}
        for name in self._watched.checks:
            self._families[EVALUATED].labels(name)  # at 0, where no worker has evaluated it
            self._publish(name, list(self._watched.counted(name)))

    def _after_fork(self) -> None:
        super()._after_fork()
        self._published.clear()

    def update(self, *names: str) -> dict[str, Verdict]:
        """Ask the checks, publish what they say, and give their verdicts.

        Call it wherever you want the checks asked: for each scrape, in a loop of yours, at the end
        of a batch job. Never raises for what a check does: a crash is UNKNOWN.

        Args:
            names: Of the checks to ask; all when none is given. A check that is asked at another
                pace than the rest has a time of evaluation of its own to show it.

        Raises:
            ConfigurationError: A name is that of no check.
        """
        for name in names:
            if name not in self._watched.checks:
                raise refusal("names", name, f"one of {', '.join(self._watched.checks)}")
        verdicts = {}
        for name in names or self._watched.checks:
            verdicts[name], points = self._watched.ask(name)
            with self._lock:
                dropped = self._publish(name, points)
                self._families[DROPPED].labels(name).set(dropped)
        return verdicts

    def _publish(self, name: str, points: list[Point]) -> int:
        """Publish what there is room for, and give how many points were left."""
        live = set()
        dropped = 0
        for metric, labels, value in points:
            key = metric, labels
            series = self._series(metric, labels)
            if series is None:
                dropped += 1
            elif not metric.counts:
                series.set(value)
                live.add(key)
            elif (grown := value - self._published.get(key, 0.0)) > 0.0:
                series.inc(grown)
                self._published[key] = value
        for key in self._live.get(name, live) - live:  # what the check says no more
            self._kept[key].set(math.nan)
        self._live[name] = live
        return dropped

    def _series(self, metric: Metric, labels: tuple[str, ...]) -> Any:
        if essential(metric, labels):
            return self._families[metric].labels(*labels)
        series = self._kept.get((metric, labels))
        if series is None and len(self._kept) < self._most:
            series = self._kept[metric, labels] = self._families[metric].labels(*labels)
        return series


def _families(registry: CollectorRegistry | None) -> dict[Metric, Any]:
    try:
        from prometheus_client import REGISTRY, Counter, Gauge  # noqa: PLC0415 -- optional
    except ImportError as error:
        message = "prometheus_client is not installed; the extra `prometheus` brings it"
        raise MissingDependencyError(message) from error
    registry = REGISTRY if registry is None else registry
    families: dict[Metric, Any] = {}
    try:
        for metric in METRICS:
            known = metric.in_prometheus, metric.text, metric.labels
            if metric.counts:
                families[metric] = Counter(*known, registry=registry)
            else:  # "mostrecent" leaves out what no worker has set
                mode: Literal["max", "mostrecent"] = "max" if metric is EVALUATED else "mostrecent"
                families[metric] = Gauge(*known, registry=registry, multiprocess_mode=mode)
    except ValueError as error:
        for family in families.values():
            registry.unregister(family)
        raise refusal("registry", registry, f"one without an exporter: {error}") from None
    return families
