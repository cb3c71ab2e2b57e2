"""The whole way with the real servers: a breach is scraped, alerts, is sent, and is resolved."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Empty, Queue
from typing import Any, TypeVar

import pytest

from mlguard import BurnAlert, Check, ErrorBudget, Verdict, at_most, guard
from mlguard.integrations.prometheus import Exporter, counts, query, rules
from mlguard.testing import ScriptedCheck

client = pytest.importorskip("prometheus_client", reason="prometheus_client is not installed")
PROMETHEUS = shutil.which("prometheus")
ALERTMANAGER = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
pytestmark = pytest.mark.skipif(
    PROMETHEUS is None or ALERTMANAGER is None,
    reason="prometheus and its alertmanager are not on the PATH",
)

DEADLINE = 120.0
"""Seconds until something must have happened, on however busy a machine."""

T = TypeVar("T")


def until(ask: Callable[[], T]) -> T:
    """Ask until the answer is true, and give it."""
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        try:
            if answer := ask():
                return answer
        except (OSError, LookupError):
            pass
        time.sleep(0.05)
    pytest.fail("it did not happen in time")


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


@contextmanager
def served(answer: Callable[[str, bytes], str]) -> Iterator[int]:
    """Serve HTTP from a thread: an answer to each path and body."""

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            text = answer(self.path, body).encode()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(text)

        do_POST = do_GET  # noqa: N815 -- the library calls it so

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def running(folder: Path, program: str | None, *options: str) -> Iterator[str]:
    """Run a server on a free port of the loopback until it is ready; give its address."""
    assert program is not None
    address = f"127.0.0.1:{free_port()}"
    log = folder / f"{Path(program).name}.log"
    with log.open("wb") as written:
        process = subprocess.Popen(
            [program, f"--web.listen-address={address}", *options],
            cwd=folder,
            stdout=written,
            stderr=written,
            env={**os.environ, "GOMAXPROCS": "1"},
        )
    try:

        def ready() -> bool:
            assert process.poll() is None, log.read_text()
            with urllib.request.urlopen(f"http://{address}/-/ready", timeout=5) as answer:
                return bool(answer.status == 200)

        until(ready)
        yield address
    finally:
        process.terminate()
        process.wait()


class World:
    """A service whose gate breaches when told to, and what Alertmanager says of it."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.verdict: Callable[[], Verdict] = ScriptedCheck("OK")
        self.updating = True
        alerts = [BurnAlert(0.001, timedelta(minutes=2))]
        self.errors = ErrorBudget(0.99, alerts=alerts)
        checks: dict[str, Check] = {"gate": self.gate, "errors": self.errors}
        registry = client.CollectorRegistry()
        exporter = Exporter(checks, registry=registry)
        self.alerts: Queue[Mapping[str, Any]] = Queue()

        def metrics(_path: str, _body: bytes) -> str:
            if self.updating:
                exporter.update()
            text: str = client.generate_latest(registry).decode()
            return text

        def webhook(_path: str, body: bytes) -> str:
            for alert in json.loads(body)["alerts"]:
                self.alerts.put(alert)
            return ""

        service = stack.enter_context(served(metrics))
        receiver = stack.enter_context(served(webhook))
        (folder / "alertmanager.yml").write_text(f"""
route: {{receiver: test, group_by: [alertname, check], group_wait: 0s, group_interval: 1s}}
receivers: [{{name: test, webhook_configs: [{{url: 'http://127.0.0.1:{receiver}/'}}]}}]
""")
        alertmanager = stack.enter_context(
            running(
                folder,
                ALERTMANAGER,
                "--config.file=alertmanager.yml",
                "--storage.path=am",
                "--cluster.listen-address=",
            )
        )
        (folder / "rules.yml").write_text(
            rules(checks, match={"job": "scoring"}, for_=1, unknown_for=1, stale=3)
        )
        (folder / "prometheus.yml").write_text(f"""
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: [rules.yml]
alerting: {{alertmanagers: [{{static_configs: [{{targets: ['{alertmanager}']}}]}}]}}
scrape_configs: [{{job_name: scoring, static_configs: [{{targets: ['127.0.0.1:{service}']}}]}}]
""")
        prometheus = stack.enter_context(
            running(folder, PROMETHEUS, "--config.file=prometheus.yml", "--storage.tsdb.path=tsdb")
        )
        self.url = f"http://{prometheus}"

    def gate(self) -> Verdict:
        return self.verdict()

    def told(self, name: str, status: str) -> Mapping[str, Any]:
        """Wait until Alertmanager has sent this alert in this state."""
        end = time.monotonic() + DEADLINE
        seen: list[tuple[str, str]] = []
        while True:
            try:
                alert = self.alerts.get(timeout=max(0.0, end - time.monotonic()))
            except Empty:
                pytest.fail(f"{name} was not {status}; there were {seen}")
            if (alert["labels"]["alertname"], alert["status"]) == (name, status):
                return alert
            seen.append((alert["labels"]["alertname"], alert["status"]))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with ExitStack() as stack:
        yield World(tmp_path_factory.mktemp("servers"), stack)


def test_a_breach_pages_and_is_resolved(world: World) -> None:
    world.verdict = ScriptedCheck("BREACH")
    alert = world.told("MlguardBreach", "firing")
    assert alert["labels"] == {
        "alertname": "MlguardBreach",
        "check": "gate",
        "job": "scoring",
        "severity": "page",
    }
    assert alert["annotations"]["summary"] == "gate is BREACH on 1 instance(s)"
    world.verdict = ScriptedCheck("OK")
    world.told("MlguardBreach", "resolved")


def test_a_guard_that_nobody_asks_any_more_pages(world: World) -> None:
    until(lambda: query(world.url, 'mlguard_severity{check="gate"}')().value == 0.0)
    world.updating = False
    found = {world.told("MlguardNotEvaluated", "firing")["labels"]["check"] for _ in range(2)}
    world.updating = True
    assert found == {"gate", "errors"}
    world.told("MlguardNotEvaluated", "resolved")


def test_promql_is_a_measure(world: World) -> None:
    find = query(world.url, 'mlguard_last_evaluation_timestamp_seconds{check="gate"}', unit="s")
    until(lambda: find().value > 0.0)
    stamp = find()
    assert stamp.at is not None
    assert abs(stamp.at - stamp.value) < 3600.0
    up = query(world.url, "up", name="up")
    assert guard(up, at_most(1))().severity.name == "OK"
    assert query(world.url, "scalar(up)")().value == 1.0
    assert "finds no series" in query(world.url, "nobody_knows_this")().details["reason"]
    assert "bad_data" in query(world.url, "sum(")().details["reason"]
    assert "0/0" in query(world.url, "vector(0)/vector(0)")().details["reason"]
    assert query(world.url, "vector(1)/vector(0)")().value == float("inf")
    verdict = guard(query(world.url, "mlguard_severity"), at_most(0))()
    assert verdict.severity.name == "UNKNOWN"
    assert "aggregate" in verdict.reason
    assert guard(query(world.url, "up[1m]"), at_most(0))().severity.name == "UNKNOWN"
    assert guard(query(world.url, "'text'"), at_most(0))().severity.name == "UNKNOWN"


def test_counters_in_prometheus_feed_a_budget_elsewhere(world: World) -> None:
    bad = 'mlguard_bad_requests_total{check="errors"}'
    requests = 'mlguard_requests_total{check="errors"}'
    new = counts(world.url, {"good": f"{requests} - {bad}", "bad": bad})
    until(new)
    elsewhere = ErrorBudget(0.99)
    world.errors.observe_counts(good=50, bad=50)

    def fed() -> bool:
        elsewhere.observe_counts(**new())
        return elsewhere.totals["good"] + elsewhere.totals["bad"] >= 100

    until(fed)
    assert (elsewhere.totals["good"], elsewhere.totals["bad"]) == (50, 50)
    alert = world.told("MlguardErrorBudgetBurn", "firing")
    assert (alert["labels"]["check"], alert["labels"]["window"]) == ("errors", "2m")
