"""Metrics out through OpenTelemetry: its API only, the SDK is the application's. Extra: `otel`."""

from __future__ import annotations

import math
import time
from functools import partial
from typing import TYPE_CHECKING

from mlguard.arguments import whole
from mlguard.errors import MissingDependencyError
from mlguard.integrations.series import DROPPED, METRICS, Metric, Point, Watched, essential
from mlguard.locks import Locked

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from opentelemetry.metrics import CallbackOptions, Meter, Observation

    from mlguard.protocols import Check, Clock

__all__ = ["instrument"]

_SCOPE = "mlguard"


def instrument(
    checks: Mapping[str, Check],
    *,
    meter: Meter | None = None,
    max_series: int = 2000,
    clock: Clock = time.time,
) -> None:
    """Publish checks and meters through observable instruments, asked at each collection.

    The instruments are those of `mlguard.integrations.prometheus.Exporter`, in the names of
    OpenTelemetry: `mlguard.severity`, `mlguard.last_evaluation_timestamp`, `mlguard.measurement`,
    `mlguard.measurement_low`, `mlguard.measurement_high`, `mlguard.error_budget_remaining`,
    `mlguard.requests`, `mlguard.bad_requests`, `mlguard.slow_requests`,
    `mlguard.invalid_observations` and `mlguard.dropped_series`. What is not known, or infinite, is
    not observed; the severity always is. Labels that are empty are left out.

    Each check is asked once a collection, in the thread that collects, so it should be quick: wrap
    one that is not in `cached`. Nothing is asked while nobody collects: without an SDK the
    instruments cost nothing.

    Args:
        checks: By the names under which they are published. A meter that is a check brings its
            counters along; what it had counted before is not published.
        meter: Of OpenTelemetry; that of the global provider when not given. Give it the same
            checks once: an SDK adds up or refuses what is instrumented twice.
        max_series: Most series of a collection; those beyond are counted as dropped.
        clock: Of Unix seconds, for the time of evaluation; the wall clock by default.

    Raises:
        ConfigurationError: An argument is not of its kind.
        MissingDependencyError: The OpenTelemetry API is not installed.

    Examples:
        >>> from mlguard import at_most, guard, measured
        >>> instrument({"gate": guard(measured("p99", 0.061, unit="s"), at_most(0.05))})
    """
    try:
        from opentelemetry.metrics import get_meter  # noqa: PLC0415 -- optional
    except ImportError as error:
        message = "the OpenTelemetry API is not installed; the extra `otel` brings it"
        raise MissingDependencyError(message) from error
    collection = _Collection(Watched(checks, clock), whole("max_series", max_series))
    meter = get_meter(_SCOPE) if meter is None else meter
    for metric in METRICS:
        create = meter.create_observable_counter if metric.counts else meter.create_observable_gauge
        observe = partial(collection.observe, metric)
        create(f"mlguard.{metric.name}", [observe], unit=metric.unit, description=metric.text)


class _Collection(Locked):
    """What one collection sees: the checks are asked for its first instrument. Thread-safe.

    An instrument that is observed again begins the next collection.
    """

    __slots__ = ("_max_series", "_observed", "_points", "_watched")

    def __init__(self, watched: Watched, max_series: int) -> None:
        super().__init__()
        self._watched = watched
        self._max_series = max_series
        self._points: dict[Metric, list[Point]] = {}
        self._observed = set(METRICS)

    def observe(self, metric: Metric, _options: CallbackOptions) -> Iterator[Observation]:
        """Give the observations of an instrument."""
        from opentelemetry.metrics import Observation  # noqa: PLC0415 -- optional

        for _, labels, value in self._of(metric):
            if math.isfinite(value):
                known = zip(metric.labels, labels, strict=True)
                number = int(value) if metric.counts else value
                yield Observation(number, {name: label for name, label in known if label})

    def _of(self, metric: Metric) -> list[Point]:
        with self._lock:
            if metric not in self._observed:
                self._observed.add(metric)
                return self._points.get(metric, [])
        points = self._asked()  # without the lock, for it runs the user's checks
        with self._lock:
            self._points = points
            self._observed = {metric}
        return points.get(metric, [])

    def _asked(self) -> dict[Metric, list[Point]]:
        points: dict[Metric, list[Point]] = {}
        left = self._max_series
        for name in self._watched.checks:
            dropped = 0
            for point in self._watched.ask(name)[1]:
                if essential(point.metric, point.labels):
                    points.setdefault(point.metric, []).append(point)
                elif left:
                    left -= 1
                    points.setdefault(point.metric, []).append(point)
                else:
                    dropped += 1
            points.setdefault(DROPPED, []).append(Point(DROPPED, (name,), dropped))
        return points
