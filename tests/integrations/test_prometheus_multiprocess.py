"""Several processes and a forked one: the merged registry counts every request once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("prometheus_client", reason="prometheus_client is not installed")

WORKER = """
import sys

from mlguard import ErrorBudget, Keyed, LatencyBudget
from mlguard.integrations.prometheus import Exporter
from mlguard.testing import ScriptedCheck

place, severity, asked, at = sys.argv[1:]
errors, tenants = ErrorBudget(0.999), Keyed(lambda: LatencyBudget({0.5: 0.1}))
errors.observe_counts(good=50)  # another process has published these
checks = {"errors": errors, "tenants": tenants, "gate": ScriptedCheck(severity)}
exporter = Exporter({**checks, "never": ScriptedCheck("OK")}, clock=lambda: float(at))
for place in range(int(place) * 100):
    errors.observe(place % 10 != 0)
    tenants[f"t{place % 2}"].observe(0.01)
    if place % 30 == 0:
        exporter.update(*asked.split())
exporter.update(*asked.split())
"""

FORK = """
import os
from mlguard import ErrorBudget
from mlguard.integrations.prometheus import Exporter

errors = ErrorBudget(0.999)
errors.observe_counts(good=50)  # another process has published these
exporter = Exporter({"errors": errors})
for _ in range(1000):
    errors.observe(True)
exporter.update()
for requests in (3, 1500):  # fewer and more than the parent had
    if os.fork() == 0:
        for _ in range(requests):
            errors.observe(False)
        exporter.update()
        os._exit(0)
    assert os.wait()[1] == 0
errors.observe(True)
exporter.update()
"""


def start(folder: Path, program: str, *arguments: str) -> subprocess.Popen[bytes]:
    where = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(folder)}
    return subprocess.Popen([sys.executable, "-c", program, *arguments], env=where)


def run(folder: Path, program: str, *arguments: str) -> None:
    with start(folder, program, *arguments) as process:
        assert process.wait() == 0


def merged(folder: Path) -> dict[str, float]:
    """Give what a scrape of any worker would show."""
    from prometheus_client import CollectorRegistry
    from prometheus_client.multiprocess import MultiProcessCollector

    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=str(folder))  # type: ignore[no-untyped-call]
    return {
        " ".join([sample.name, *(v for _, v in sorted(sample.labels.items()) if v)]): sample.value
        for family in registry.collect()
        for sample in family.samples
    }


def test_two_processes_add_up(tmp_path: Path) -> None:
    workers = [start(tmp_path, WORKER, size, "OK", "errors tenants", "1000") for size in "12"]
    for worker in workers:
        with worker:
            assert worker.wait() == 0
    shown = merged(tmp_path)
    assert shown["mlguard_requests_total errors"] == 300.0
    assert shown["mlguard_bad_requests_total errors"] == 30.0
    assert shown["mlguard_requests_total tenants t0"] == 150.0
    assert shown["mlguard_requests_total tenants t1"] == 150.0


def test_the_worker_that_was_updated_last_shows_its_severity(tmp_path: Path) -> None:
    run(tmp_path, WORKER, "1", "BREACH", "gate", "2000")
    run(tmp_path, WORKER, "1", "WARN", "gate", "1000")
    assert merged(tmp_path)["mlguard_severity gate"] == 2.0


def test_the_latest_evaluation_of_any_worker_is_shown_and_that_there_was_none(
    tmp_path: Path,
) -> None:
    run(tmp_path, WORKER, "1", "OK", "gate", "2000")
    run(tmp_path, WORKER, "1", "OK", "errors", "1000")
    shown = merged(tmp_path)
    stamps = {name.rpartition(" ")[2]: shown[name] for name in shown if "_evaluation_" in name}
    assert stamps == {"gate": 2000.0, "errors": 1000.0, "tenants": 0.0, "never": 0.0}
    assert "mlguard_severity never" not in shown


def test_a_worker_that_has_just_begun_hides_nothing(tmp_path: Path) -> None:
    run(tmp_path, WORKER, "1", "BREACH", "errors tenants gate", "2000")
    before = merged(tmp_path)
    run(tmp_path, WORKER.partition("for place")[0], "1", "OK", "gate", "1000")
    assert sorted(map(str, merged(tmp_path).items())) == sorted(map(str, before.items()))  # NaN too


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_forked_workers_publish_what_they_count_themselves(tmp_path: Path) -> None:
    run(tmp_path, FORK)
    shown = merged(tmp_path)
    assert shown["mlguard_requests_total errors"] == 1001.0 + 1503.0
    assert shown["mlguard_bad_requests_total errors"] == 1503.0
