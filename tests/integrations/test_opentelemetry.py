"""What observable instruments give, by the in-memory reader of the SDK."""

from __future__ import annotations

import math
import sys
import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from mlguard import (
    BurnAlert,
    ConfigurationError,
    ErrorBudget,
    Keyed,
    LatencyBudget,
    Measurement,
    MissingDependencyError,
    Severity,
    Verdict,
)
from mlguard.integrations.opentelemetry import instrument
from mlguard.integrations.series import METRICS
from mlguard.testing import ManualClock, ScriptedCheck

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlguard import Check

sdk = pytest.importorskip(
    "opentelemetry.sdk.metrics", reason="the OpenTelemetry SDK is not installed"
)
export = pytest.importorskip("opentelemetry.sdk.metrics.export")


class Collected:
    """Instrumented checks and what a reader collects of them."""

    def __init__(self, checks: Mapping[str, Check], **options: Any) -> None:
        self.reader = export.InMemoryMetricReader()
        provider = sdk.MeterProvider([self.reader], shutdown_on_exit=False)
        instrument(checks, meter=provider.get_meter("test"), **options)

    def collect(self) -> None:
        data = self.reader.get_metrics_data()
        scopes = data.resource_metrics[0].scope_metrics if data is not None else []
        self.metrics = {metric.name: metric for scope in scopes for metric in scope.metrics}

    def __call__(self, metric_name: str, /, **attributes: str) -> Any:
        """Give the value of the one series with exactly these attributes."""
        metric = self.metrics.get(f"mlguard.{metric_name}")
        points = metric.data.data_points if metric is not None else []
        found = [point.value for point in points if dict(point.attributes) == attributes]
        assert len(found) <= 1
        return found[0] if found else None


def budget(clock: ManualClock | None = None) -> ErrorBudget:
    alerts = [BurnAlert(0.5, timedelta(hours=12))]
    return ErrorBudget(0.9, period=timedelta(days=1), alerts=alerts, clock=clock)


def test_the_instruments_have_their_names_kinds_and_units() -> None:
    collected = Collected({"errors": budget(), "latency": LatencyBudget({0.5: 0.1})})
    collected.collect()
    kinds = {
        name: (type(metric.data).__name__, metric.unit)
        for name, metric in collected.metrics.items()
    }
    assert kinds == {
        "mlguard.severity": ("Gauge", ""),
        "mlguard.last_evaluation_timestamp": ("Gauge", "s"),
        "mlguard.dropped_series": ("Gauge", ""),
        "mlguard.requests": ("Sum", ""),
        "mlguard.bad_requests": ("Sum", ""),
        "mlguard.slow_requests": ("Sum", ""),
        "mlguard.invalid_observations": ("Sum", ""),
    }
    assert {f"mlguard.{metric.name}" for metric in METRICS} >= kinds.keys()
    assert collected.metrics["mlguard.requests"].data.is_monotonic


def test_checks_are_asked_once_a_collection() -> None:
    clock = ManualClock(1000.0)
    collected = Collected({"gate": ScriptedCheck("OK WARN BREACH")}, clock=clock)
    for severity in (0, 2, 3):
        collected.collect()
        assert collected("severity", check="gate") == severity
        assert collected("last_evaluation_timestamp", check="gate") == clock()
        clock.advance(60.0)


def test_two_readers_each_begin_a_collection_of_their_own() -> None:
    readers = [export.InMemoryMetricReader(), export.InMemoryMetricReader()]
    provider = sdk.MeterProvider(readers, shutdown_on_exit=False)
    check = ScriptedCheck("OK WARN BREACH OK")
    instrument({"gate": check}, meter=provider.get_meter("test"))
    for reader in readers:
        reader.get_metrics_data()
    assert check._asked == 2


def test_counters_measurements_and_budgets() -> None:
    clock = ManualClock()
    errors, latency = budget(clock), LatencyBudget({0.5: 0.01}, clock=clock)
    collected = Collected({"errors": errors, "latency": latency})
    clock.advance(timedelta(days=1))
    for _ in range(2):
        errors.observe_counts(good=95, bad=5)
        latency.observe_many([0.02] * 50)
        collected.collect()
    assert collected("requests", check="errors") == 200
    assert collected("bad_requests", check="errors") == 10
    assert collected("slow_requests", check="latency", limit="0.01") == 100
    assert collected("error_budget_remaining", check="errors") == pytest.approx(0.5)
    assert collected("measurement", check="latency", name="p50", unit="s") == pytest.approx(
        0.02, rel=0.01
    )
    low = collected("measurement_low", check="latency", name="p50", unit="s")
    high = collected("measurement_high", check="latency", name="p50", unit="s")
    assert low <= 0.02 <= high
    assert isinstance(collected("requests", check="errors"), int)


def test_what_is_unknown_or_infinite_is_not_observed_but_its_severity_is(
    caplog: pytest.LogCaptureFixture,
) -> None:
    evidence = [Measurement("a", math.nan), Measurement("b", math.inf), Measurement("c", 1.0)]
    collected = Collected({"gate": Verdict("gate", Severity.UNKNOWN, "", evidence=evidence)})
    collected.collect()
    assert collected("severity", check="gate") == 1
    assert [collected("measurement", check="gate", name=name) for name in "abc"] == [
        None,
        None,
        1.0,
    ]
    assert not caplog.records


def test_a_family_is_observed_key_by_key() -> None:
    clock = ManualClock()
    tenants = Keyed(lambda: budget(clock), by="tenant")
    tenants["acme"].observe(good=True)
    collected = Collected({"errors": tenants})
    clock.advance(timedelta(days=1))
    tenants["acme"].observe_counts(good=10, bad=90)
    collected.collect()
    assert (
        collected("severity", check="errors")
        == collected("severity", check="errors", key="acme")
        == 3
    )
    assert collected("bad_requests", check="errors", key="acme") == 90


def test_a_check_that_crashes_is_unknown() -> None:
    def crash() -> Verdict:
        raise RuntimeError

    collected = Collected({"bad": crash, "good": ScriptedCheck("OK")})
    collected.collect()
    assert (collected("severity", check="bad"), collected("severity", check="good")) == (1, 0)


def test_series_are_bounded_and_the_rest_is_counted() -> None:
    many = Verdict(
        "many", Severity.BREACH, "", evidence=[Measurement(f"m{i}", i) for i in range(50)]
    )
    collected = Collected({"many": many, "late": ScriptedCheck("WARN")}, max_series=10)
    for _ in range(2):
        collected.collect()
        assert (
            collected("dropped_series", check="many"),
            collected("dropped_series", check="late"),
        ) == (40, 0)
        assert (collected("severity", check="many"), collected("severity", check="late")) == (3, 2)
        assert len(collected.metrics["mlguard.measurement"].data.data_points) == 10


def test_what_was_counted_before_is_not_observed() -> None:
    before = budget()
    before.observe_counts(good=1000, bad=10)
    restored = ErrorBudget.from_json(before.to_json())
    collected = Collected({"errors": restored})
    restored.observe(good=False)
    collected.collect()
    assert (collected("requests", check="errors"), collected("bad_requests", check="errors")) == (
        1,
        1,
    )


def test_collections_from_many_threads() -> None:
    collected = Collected({"gate": ScriptedCheck("OK")})
    found: list[object] = []

    def collect() -> None:
        for _ in range(20):
            data = collected.reader.get_metrics_data()
            found.append(len(data.resource_metrics[0].scope_metrics[0].metrics))

    threads = [threading.Thread(target=collect) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [3] * 80  # severity, time of evaluation, dropped series


def test_without_a_meter_it_is_the_global_one_and_without_an_sdk_nothing_is_asked() -> None:
    check = ScriptedCheck("OK")
    instrument({"gate": check})
    assert check._asked == 0


def test_checks_that_are_none_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="checks = "):
        instrument({})


def test_without_the_api_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.metrics", None)
    with pytest.raises(MissingDependencyError, match="`otel`"):
        instrument({"gate": ScriptedCheck("OK")})
