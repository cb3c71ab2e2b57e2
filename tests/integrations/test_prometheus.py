"""What an exporter publishes, when, and what it leaves alone."""

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
    MemoryStore,
    MissingDependencyError,
    Severity,
    StreamLatency,
    Verdict,
    at_most,
    gather,
    guard,
    publish,
    worst,
)
from mlguard.integrations.prometheus import Exporter
from mlguard.testing import ManualClock, ScriptedCheck

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlguard import Check, Clock

client = pytest.importorskip("prometheus_client", reason="prometheus_client is not installed")


class Shown:
    """An exporter and what its registry shows."""

    def __init__(self, checks: Mapping[str, Check], **options: Any) -> None:
        self.registry = client.CollectorRegistry()
        self.exporter = Exporter(checks, registry=self.registry, **options)

    def __call__(self, metric: str, **labels: str) -> float | None:
        """Give the one series that has these labels, whatever it has beside them."""
        found = [
            sample.value
            for family in self.registry.collect()
            for sample in family.samples
            if sample.name == f"mlguard_{metric}"
            and all(sample.labels.get(name) == value for name, value in labels.items())
        ]
        assert len(found) <= 1
        return found[0] if found else None


def budget(clock: Clock | None = None) -> ErrorBudget:
    alerts = [BurnAlert(0.5, timedelta(hours=12))]
    return ErrorBudget(0.9, period=timedelta(days=1), alerts=alerts, clock=clock)


def measuring(name: str, value: float, **options: Any) -> Verdict:
    measurement = Measurement(name, value, **options)
    return Verdict(name, Severity.OK, "fine", evidence=[measurement])


@pytest.mark.parametrize(
    ("word", "number"), [("OK", 0), ("UNKNOWN", 1), ("WARN", 2), ("BREACH", 3)]
)
def test_the_severities_have_their_numbers(word: str, number: float) -> None:
    shown = Shown({"gate": ScriptedCheck(word)})
    shown.exporter.update()
    assert shown("severity", check="gate", key="") == number


def test_a_check_that_was_never_asked_shows_no_severity_and_a_time_of_zero() -> None:
    shown = Shown({"gate": ScriptedCheck("BREACH")})
    assert shown("severity") is None
    assert shown("last_evaluation_timestamp_seconds", check="gate") == 0.0


def test_the_time_of_evaluation_is_that_of_the_update() -> None:
    clock = ManualClock(1000.0)
    shown = Shown({"gate": ScriptedCheck("OK")}, clock=clock)
    shown.exporter.update()
    clock.advance(500.0)
    assert shown("last_evaluation_timestamp_seconds") == 1000.0
    shown.exporter.update()
    assert shown("last_evaluation_timestamp_seconds") == 1500.0


def test_update_asks_those_it_names_and_gives_their_verdicts() -> None:
    slow, quick = ScriptedCheck("OK BREACH"), ScriptedCheck("OK BREACH")
    shown = Shown({"slow": slow, "quick": quick})
    assert set(shown.exporter.update()) == {"slow", "quick"}
    assert {name: v.severity.name for name, v in shown.exporter.update("quick").items()} == {
        "quick": "BREACH"
    }
    assert (shown("severity", check="slow"), shown("severity", check="quick")) == (0.0, 3.0)
    with pytest.raises(ConfigurationError, match=r"names = 'quack': must be one of slow, quick"):
        shown.exporter.update("quack")


def test_a_check_that_crashes_is_unknown_and_the_others_go_on() -> None:
    def crash() -> Verdict:
        raise RuntimeError

    shown = Shown({"bad": crash, "good": ScriptedCheck("OK")})
    shown.exporter.update()
    assert (shown("severity", check="bad"), shown("severity", check="good")) == (1.0, 0.0)


def test_a_measurement_with_its_interval() -> None:
    verdict = measuring("p99", 0.061, unit="s", low=0.055, high=0.07)
    shown = Shown({"latency": verdict})
    shown.exporter.update()
    labels = {"check": "latency", "key": "", "name": "p99", "unit": "s"}
    ends = [shown(f"measurement{end}", **labels) for end in ("", "_low", "_high")]
    assert ends == [0.061, 0.055, 0.07]


def test_evidence_in_the_causes_is_named_by_its_path() -> None:
    latency = worst(
        "latency",
        guard(Measurement("p50", 0.01), at_most(1)),
        guard(Measurement("p99", 0.05), at_most(1)),
    )
    auc = guard(Measurement("roc_auc", 0.8), at_most(1), name="quality")
    shown = Shown({"gate": worst("all", latency, auc)})
    shown.exporter.update()
    assert shown("measurement", name="latency/p50") == 0.01
    assert shown("measurement", name="latency/p99") == 0.05
    assert shown("measurement", name="quality/roc_auc") == 0.8


def test_what_is_not_known_is_nan_and_so_is_what_is_no_longer_said() -> None:
    verdicts = [measuring("a", 1.0, low=0.5), measuring("b", math.nan)]
    shown = Shown({"gate": lambda: verdicts[0]})
    shown.exporter.update()
    verdicts.pop(0)
    shown.exporter.update()
    for metric, name in [("measurement", "a"), ("measurement_low", "a"), ("measurement", "b")]:
        value = shown(metric, name=name)
        assert value is not None
        assert math.isnan(value)
    assert shown("measurement_low", name="b") is None


def test_an_error_budget_shows_its_counters_and_what_remains() -> None:
    clock = ManualClock()
    errors = budget(clock)
    shown = Shown({"errors": errors})
    assert shown("requests_total", check="errors") == shown("bad_requests_total") == 0.0
    shown.exporter.update()
    remaining = shown("error_budget_remaining_ratio")
    assert remaining is not None
    assert math.isnan(remaining)
    clock.advance(timedelta(days=1))
    errors.observe_counts(good=95, bad=5)
    errors.observe("what?")  # type: ignore[arg-type]
    shown.exporter.update()
    assert (shown("requests_total"), shown("bad_requests_total")) == (100.0, 5.0)
    assert shown("invalid_observations_total") == 1.0
    assert shown("error_budget_remaining_ratio") == pytest.approx(0.5)


def test_a_latency_budget_shows_how_many_were_slow() -> None:
    latency = LatencyBudget({0.5: 0.01, 0.99: 0.05}, clock=ManualClock())
    shown = Shown({"latency": latency})
    latency.observe_many([0.005] * 90 + [0.02] * 7 + [0.06] * 3)
    latency.observe(-1.0)
    shown.exporter.update()
    assert shown("requests_total", check="latency", key="", part="") == 100.0
    assert shown("slow_requests_total", limit="0.01") == 10.0
    assert shown("slow_requests_total", limit="0.05") == 3.0
    assert shown("invalid_observations_total") == 1.0


def test_the_parts_of_a_stream_are_told_apart() -> None:
    clock = ManualClock()
    streams = StreamLatency(first={0.95: 0.8}, gap={0.99: 0.1}, clock=clock)
    shown = Shown({"tokens": streams})
    with streams.start() as stream:
        for _ in range(3):
            clock.advance(0.5)
            stream.item()
    shown.exporter.update()
    assert (shown("requests_total", part="first"), shown("requests_total", part="gap")) == (
        1.0,
        2.0,
    )
    assert shown("slow_requests_total", part="gap", limit="0.1") == 2.0


def test_a_family_is_shown_key_by_key() -> None:
    clock = ManualClock()
    tenants = Keyed(lambda: budget(clock), max_keys=2, by="tenant")
    tenants["acme"].observe(good=True)
    tenants["idle"]
    shown = Shown({"errors": tenants})
    clock.advance(timedelta(days=1))
    tenants["acme"].observe_counts(good=10, bad=90)
    for key in ("b", "c\ud800\x1b"):
        tenants[key].observe(good=True)
    verdict = shown.exporter.update()["errors"]
    assert verdict.severity is Severity.BREACH
    assert shown("severity", key="") == shown("severity", key="acme") == 3.0
    assert shown("severity", key="idle") is None
    assert shown("requests_total", key="acme") == 100.0
    assert shown("bad_requests_total", key="acme") == 90.0
    assert shown("requests_total", key="other") == 2.0
    assert shown("error_budget_remaining_ratio", key="idle") is not None
    assert shown("measurement", key="acme", name="errors remaining") == pytest.approx(-8.0, rel=0.1)


def test_keys_from_outside_cannot_break_the_page() -> None:
    tenants = Keyed(lambda: LatencyBudget({0.5: 0.1}, clock=ManualClock()))
    shown = Shown({"latency": tenants})
    tenants['\ud800"}\n\x1b'].observe(0.01)
    shown.exporter.update()
    page = client.generate_latest(shown.registry).decode()
    assert r'key="\\ud800\"}\n\\x1b"' in page


def test_series_are_bounded_and_the_rest_is_counted() -> None:
    many = Verdict(
        "many", Severity.BREACH, "", evidence=[Measurement(f"m{i}", i) for i in range(50)]
    )
    shown = Shown({"many": many, "late": ScriptedCheck("WARN")}, max_series=10)
    for _ in range(2):
        shown.exporter.update()
        assert (shown("dropped_series", check="many"), shown("dropped_series", check="late")) == (
            40.0,
            0.0,
        )
        assert (shown("severity", check="many"), shown("severity", check="late")) == (3.0, 2.0)
    samples = [s for family in shown.registry.collect() for s in family.samples]
    assert len(samples) == 10 + 2 * 3


def test_what_was_counted_before_is_not_published() -> None:
    before = budget()
    before.observe_counts(good=1000, bad=10)
    restored = ErrorBudget.from_json(before.to_json())
    shown = Shown({"errors": restored})
    restored.observe(good=False)
    shown.exporter.update()
    assert (shown("requests_total"), shown("bad_requests_total")) == (1.0, 1.0)


def test_a_restored_family_publishes_what_is_new_in_old_and_new_keys() -> None:
    tenants = Keyed(budget)
    tenants["old"].observe_counts(good=1000)
    shown = Shown({"errors": tenants})
    tenants["old"].observe(good=True)
    tenants["new"].observe(good=True)
    shown.exporter.update()
    assert shown("requests_total", key="old") == shown("requests_total", key="new") == 1.0


def test_a_gathered_meter_is_published_whole() -> None:
    store = MemoryStore()
    for source in ("a", "b"):
        errors = budget()
        errors.observe_counts(good=100, bad=3)
        publish(errors, store, "errors", source=source)
    shown = Shown({"errors": gather(store, "errors")})
    assert (shown("requests_total"), shown("bad_requests_total")) == (206.0, 6.0)


def test_updates_from_many_threads_count_each_request_once() -> None:
    errors = budget()
    shown = Shown({"errors": errors})

    def serve() -> None:
        for _ in range(50):
            errors.observe(good=True)
            shown.exporter.update()

    threads = [threading.Thread(target=serve) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert shown("requests_total") == 200.0


@pytest.mark.parametrize(
    "checks",
    [
        {},
        [ScriptedCheck("OK")],
        {"": ScriptedCheck("OK")},
        {"a\n": ScriptedCheck("OK")},
        {"{{a": ScriptedCheck("OK")},
        {"a": 3},
        {1: ScriptedCheck("OK")},
    ],
)
def test_checks_that_are_none_are_refused(checks: Any) -> None:
    with pytest.raises(ConfigurationError, match="check"):
        Exporter(checks, registry=client.CollectorRegistry())


def test_a_registry_takes_one_exporter_and_stays_as_it_was() -> None:
    shown = Shown({"gate": ScriptedCheck("OK")})
    with pytest.raises(ConfigurationError, match="one without an exporter"):
        Exporter({"gate": ScriptedCheck("OK")}, registry=shown.registry)
    taken = client.CollectorRegistry()
    client.Gauge("mlguard_measurement", "of somebody else", registry=taken)
    with pytest.raises(ConfigurationError, match="registry"):
        Exporter({"gate": ScriptedCheck("OK")}, registry=taken)
    assert [family.name for family in taken.collect()] == ["mlguard_measurement"]


def test_the_default_registry_is_that_of_the_client() -> None:
    exporter = Exporter({"gate": ScriptedCheck("BREACH")})
    try:
        exporter.update()
        assert b'mlguard_severity{check="gate",key=""} 3.0' in client.generate_latest()
    finally:
        for family in exporter._families.values():
            client.REGISTRY.unregister(family)


def test_without_the_client_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(MissingDependencyError, match="`prometheus`"):
        Exporter({"gate": ScriptedCheck("OK")})
