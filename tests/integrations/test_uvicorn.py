"""Two real workers of uvicorn behind the guard: together they know of every request."""

from __future__ import annotations

import http.client
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mlguard import SqliteStore, gather

pytest.importorskip("uvicorn", reason="uvicorn is not installed")
websockets = pytest.importorskip("websockets.sync.client", reason="websockets is not installed")

PATIENCE = 60.0  # seconds after which a server that hangs is killed
SERVICE = """
import os

from mlguard import ErrorBudget, LatencyBudget, SqliteStore, publish
from mlguard.integrations.asgi import GuardMiddleware

latency, errors = LatencyBudget({0.99: 0.050}), ErrorBudget(slo=0.999)
store = SqliteStore("guard.db")
served = 0


def share():
    for meter in (latency, errors):
        publish(meter, store, f"service/{meter.name}", source=f"worker {os.getpid()}")


async def lifespan(receive, send):
    assert (await receive())["type"] == "lifespan.startup"
    await send({"type": "lifespan.startup.complete"})
    assert (await receive())["type"] == "lifespan.shutdown"
    share()
    await send({"type": "lifespan.shutdown.complete"})


async def echo(receive, send):
    await receive()
    await send({"type": "websocket.accept"})
    said = (await receive())["text"]
    await send({"type": "websocket.send", "text": f"you said {said}"})
    await send({"type": "websocket.close"})


async def service(scope, receive, send):
    global served
    if scope["type"] == "lifespan":
        return await lifespan(receive, send)
    if scope["type"] == "websocket":
        return await echo(receive, send)
    status = 500 if scope["path"] == "/bad" else 200
    await send({"type": "http.response.start", "status": status, "headers": []})
    if scope["path"] == "/endless":
        await send({"type": "http.response.body", "body": b"Once", "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            pass
        return
    await send({"type": "http.response.body", "body": b"0.74"})
    served += 1
    if served % 10 == 0:
        share()


app = GuardMiddleware(service, latency=latency, errors=errors, on_breach="header")
"""


class Server:
    """A real server with two workers, and what it logs."""

    def __init__(self, folder: Path) -> None:
        (folder / "service.py").write_text(SERVICE)
        options = ["--host", "127.0.0.1", "--port", "0", "--workers", "2", "--no-access-log"]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "uvicorn", "service:app", *options],
            cwd=folder,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.watchdog = threading.Timer(PATIENCE, self.process.kill)
        self.watchdog.start()
        self.port = int(self.logged(r"running on http://127\.0\.0\.1:(\d+)"))
        for _ in range(2):
            self.logged(r"(startup complete)")

    def logged(self, pattern: str) -> str:
        assert self.process.stderr is not None
        lines = []
        for line in self.process.stderr:
            lines.append(line)
            if found := re.search(pattern, line):
                return found[1]
        raise AssertionError("".join(lines))

    def get(self, path: str) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
        connection.close()
        return answer.status

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.communicate()
        self.watchdog.cancel()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path)
    yield server
    if server.process.returncode is None:
        server.stop()


def test_the_gathered_view_of_two_workers_counts_every_request(
    server: Server, tmp_path: Path
) -> None:
    paths = ["/bad" if n % 5 == 0 else "/good" for n in range(200)]
    with ThreadPoolExecutor(4) as threads:
        statuses = list(threads.map(server.get, paths))
    assert statuses.count(500) == 40
    with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as leaving:
        leaving.sendall(b"GET /endless HTTP/1.1\r\nHost: test\r\n\r\n")
        heard = b""
        while b"Once" not in heard:
            heard += leaving.recv(1000)
    with websockets.connect(f"ws://127.0.0.1:{server.port}/", open_timeout=PATIENCE) as websocket:
        websocket.send("hello")
        assert websocket.recv() == "you said hello"
    server.stop()
    store = SqliteStore(tmp_path / "guard.db")
    latency, errors = (gather(store, f"service/{name}") for name in ("latency", "errors"))
    assert errors.totals == {"good": 160, "bad": 40, "invalid": 0}
    assert latency.totals["requests"] == 200
    assert latency.sources is not None
    assert len(latency.sources.live) == 2
