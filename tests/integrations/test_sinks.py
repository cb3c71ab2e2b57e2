"""Logging, JSON lines and webhooks against a server on this machine."""

from __future__ import annotations

import json
import logging
import sys
import threading
import traceback
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import StringIO
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Self

import pytest

from mlguard import Action, ConfigurationError, Decision, Measurement, Severity, Verdict
from mlguard.integrations.sinks import json_lines, logging_sink, pagerduty, slack, webhook

EVIL = "above\n2026-01-01 OK: all is well\x1b[2J"
DECISION = Decision(
    Action.ALERT,
    "p99 = 61 ms: above 50 ms",
    subject={"service": "eta"},
    at=1_700_000_000.0,
    key="0c1d",
    verdicts=(
        Verdict("p99", Severity.BREACH, "61 ms", evidence=[Measurement("p99", float("nan"))]),
    ),
)


def test_a_decision_is_logged_on_one_line_with_all_of_it(caplog: pytest.LogCaptureFixture) -> None:
    logging_sink()(Decision(Action.ALERT, EVIL, subject={"service": "eta"}))
    logging_sink()(DECISION)
    evil, record = caplog.records
    assert evil.getMessage() == (r"ALERT service=eta: above 2026-01-01 OK: all is well\x1b[2J")
    assert (record.name, record.levelname) == ("mlguard.decisions", "WARNING")
    assert Decision.from_dict(record.__dict__["decision"]) == DECISION


@pytest.mark.parametrize(
    ("action", "level"),
    [
        (Action.ALERT, logging.WARNING),
        (Action.RESOLVE, logging.INFO),
        (Action.PROMOTE, logging.INFO),
        (Action.RETRAIN, logging.ERROR),
        ("page-the-vendor", logging.CRITICAL),
        ("another", logging.WARNING),
    ],
)
def test_the_level_goes_by_the_action(
    action: str, level: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    levels = {"RETRAIN": logging.ERROR, "page-the-vendor": logging.CRITICAL}
    logging_sink(logging.getLogger("mine"), levels=levels)(Decision(action, "r"))
    assert (caplog.records[0].name, caplog.records[0].levelno) == ("mine", level)


def test_lines_are_appended_and_read_back(tmp_path: Path) -> None:
    path = tmp_path / "decisions.jsonl"
    odd = Decision("own", "größer\u2028\ud800\n", key="k")
    json_lines(path)(DECISION)
    json_lines(str(path))(odd)
    lines = path.read_bytes().split(b"\n")
    assert [Decision.from_dict(json.loads(line)) for line in lines[:-1]] == [DECISION, odd]
    assert lines[-1] == b""


def test_a_line_to_an_open_file_is_one_write() -> None:
    written: list[str] = []

    class File(StringIO):
        def write(self, text: str, /) -> int:
            written.append(text)
            return len(text)

    json_lines(File())(DECISION)
    assert [json.loads(line) for line in written] == [DECISION.to_dict()]


def append(path: Path, source: int) -> None:
    sink = json_lines(path)
    for number in range(200):
        sink(Decision("own", "x" * (37 * number), key=f"{source}/{number}"))


@pytest.mark.parametrize("crowd", ["threads", "processes"])
def test_lines_of_eight_writers_do_not_mix(crowd: str, tmp_path: Path) -> None:
    path = tmp_path / "decisions.jsonl"
    make: Callable[..., Any] = threading.Thread
    if crowd == "processes":
        if sys.platform == "win32":
            pytest.skip("appending is not atomic between processes there")
        make = get_context("spawn").Process
    writers = [make(target=append, args=(path, source)) for source in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    records = [json.loads(line) for line in path.read_text().splitlines()]
    wanted = {f"{source}/{number}" for source in range(8) for number in range(200)}
    assert len(records) == len(wanted)
    assert {record["key"] for record in records} == wanted


def test_a_disk_that_takes_half_a_line_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full:
        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None: ...

        def write(self, data: bytes) -> int:
            return len(data) // 2

    monkeypatch.setattr("builtins.open", lambda *_, **__: Full())
    with pytest.raises(OSError, match=r"only \d+ of \d+ bytes"):
        json_lines(tmp_path / "decisions.jsonl")(DECISION)


class Server:
    """A server that gives the answers of a script, and then 200; keeps what it was sent."""

    def __init__(self) -> None:
        self.script: list[tuple[int, Mapping[str, str], str]] = []
        self.requests: list[tuple[str, dict[str, str], Any]] = []
        self.url = ""
        self.hold = threading.Event()
        self.hold.set()

    def answers(self, *statuses: int, headers: Mapping[str, str] | None = None) -> None:
        self.script += [(status, headers or {}, "") for status in statuses]


@pytest.fixture
def server() -> Iterator[Server]:
    fake = Server()

    class Answers(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            fake.requests.append((self.path, dict(self.headers), json.loads(body)))
            fake.hold.wait(60.0)
            status, headers, said = fake.script.pop(0) if fake.script else (200, {}, "ok")
            try:
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(said.encode())
            except OSError:
                pass  # the client has left

        do_GET = do_POST  # noqa: N815 -- the library calls it so

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as listening:
        fake.url = f"http://127.0.0.1:{listening.server_port}"
        thread = threading.Thread(target=listening.serve_forever, args=(0.01,))
        thread.start()
        yield fake
        fake.hold.set()
        listening.shutdown()
        thread.join()


def test_a_webhook_posts_the_decision(server: Server) -> None:
    webhook(f"{server.url}/hook?a=b", headers={"Authorization": "Bearer s3cr3t"})(DECISION)
    ((path, headers, body),) = server.requests
    assert path == "/hook?a=b"
    assert headers["Content-Type"] == "application/json"
    assert headers["Authorization"] == "Bearer s3cr3t"
    assert Decision.from_dict(body) == DECISION


def test_a_webhook_posts_its_payload(server: Server) -> None:
    webhook(server.url, payload=slack)(DECISION)
    webhook(server.url, payload=partial(pagerduty, routing_key="R"))(DECISION)
    bodies = [body for _, _, body in server.requests]
    assert bodies == [slack(DECISION), pagerduty(DECISION, routing_key="R")]


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_what_passes_is_tried_again_with_a_growing_wait(server: Server, status: int) -> None:
    waits: list[float] = []
    server.answers(status, status, status)
    webhook(server.url, sleep=waits.append)(DECISION)
    assert waits == [1.0, 2.0, 4.0]
    assert len(server.requests) == 4


def test_it_gives_up_after_its_retries(server: Server) -> None:
    waits: list[float] = []
    server.answers(503, 503, 503, 503)
    sink = webhook(server.url, retries=2, backoff=8.0, sleep=waits.append)
    with pytest.raises(ConnectionError, match=r"HTTP 503: Service Unavailable after 3 attempts$"):
        sink(DECISION)
    assert waits == [8.0, 10.0]
    assert len(server.requests) == 3


DATE = "Tue, 14 Nov 2023 22:13:20 GMT"


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": "86400"}, 10.0),
        ({"Retry-After": "0"}, 1.0),
        ({"Retry-After": "-5"}, 1.0),
        ({"Retry-After": "soon"}, 1.0),
        ({"Retry-After": "9" * 400}, 10.0),
        ({"Retry-After": "Tue, 14 Nov 2023 22:13:26 GMT", "Date": DATE}, 6.0),
        ({"Retry-After": "Tue, 14 Nov 2023 22:13:26 -0000", "Date": DATE}, 1.0),
        ({"Retry-After": "Tue, 14 Nov 2000 22:13:26 GMT", "Date": DATE}, 1.0),
    ],
)
def test_retry_after_is_honoured_within_bounds(
    server: Server, headers: dict[str, str], wait: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    if date := headers.pop("Date", None):
        monkeypatch.setattr(BaseHTTPRequestHandler, "date_time_string", lambda _: date)
    server.answers(429, headers=headers)
    webhook(server.url, sleep=waits.append)(DECISION)
    assert waits == [wait]


@pytest.mark.parametrize("status", [301, 302, 307, 400, 401, 404, 410])
def test_what_stays_wrong_is_not_tried_again(server: Server, status: int) -> None:
    server.answers(status, headers={"Location": f"{server.url}/elsewhere"})
    sink = webhook(server.url, sleep=lambda _: pytest.fail("it waits"))
    with pytest.raises(ConnectionError, match=f"^{server.url}: HTTP {status}"):
        sink(DECISION)
    assert len(server.requests) == 1


def test_a_server_that_does_not_answer_is_tried_again(server: Server) -> None:
    server.hold.clear()
    sink = webhook(server.url, timeout=0.05, sleep=lambda _: server.hold.set())
    sink(DECISION)
    assert len(server.requests) == 2


def test_a_server_that_is_not_there_is_tried_again() -> None:
    waits: list[float] = []
    with pytest.raises(ConnectionError, match=r"^http://127.0.0.1:9: no answer: .* 4 attempts$"):
        webhook("http://127.0.0.1:9/x", sleep=waits.append)(DECISION)
    assert waits == [1.0, 2.0, 4.0]


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("invalid_blocks", "HTTP 400: invalid_blocks"),
        ("a\nb\x1b[2J" + "x" * 10_000, r"HTTP 400: a b\x1b[2J"),
        ("no such hook: /services/T0/B0/s3cr3tp4th", "HTTP 400: Bad Request"),
        ("bad token=s3cr3tqu3ry", "HTTP 400: Bad Request"),
        ("not you, Bearer s3cr3thead", "HTTP 400: Bad Request"),
    ],
)
def test_no_secret_is_in_what_it_raises(server: Server, said: str, shown: str) -> None:
    server.script.append((400, {}, said))
    sink = webhook(
        f"{server.url}/services/T0/B0/s3cr3tp4th?token=s3cr3tqu3ry",
        headers={"Authorization": "Bearer s3cr3thead"},
    )
    with pytest.raises(ConnectionError) as caught:
        sink(DECISION)
    assert str(caught.value).startswith(f"{server.url}: {shown}")
    assert len(str(caught.value)) < 300
    written = "".join(traceback.format_exception(caught.value))
    assert caught.value.__context__ is None
    for text in (written, repr(sink), sink.name):
        assert "s3cr3t" not in text


def test_an_opener_of_your_own(server: Server) -> None:
    opener = urllib.request.build_opener()
    opener.addheaders = [("X-Mine", "yes")]
    webhook(server.url, opener=opener)(DECISION)
    assert server.requests[0][1]["X-Mine"] == "yes"


def test_a_payload_that_crashes_sends_nothing(server: Server) -> None:
    with pytest.raises(ConfigurationError):
        webhook(server.url, payload=partial(pagerduty, routing_key=""))(DECISION)
    with pytest.raises(ValueError, match="JSON"):
        webhook(server.url, payload=lambda _: float("nan"))(DECISION)
    assert server.requests == []


def test_webhooks_have_names_of_their_own_that_stay() -> None:
    def named(url: str, **settings: Any) -> str:
        return webhook(f"https://hooks.example.com/{url}", **settings).name

    pagers = [partial(pagerduty, routing_key=key) for key in "AB"]
    names = [named("a"), named("b"), named("a", payload=slack)]
    names += [named("a", payload=payload) for payload in pagers]
    assert len({*names}) == 5
    assert named("a", timeout=1.0) == names[0] == "https://hooks.example.com a9fab283"
    assert named("a", payload=partial(pagerduty, routing_key="A")) == names[3]
    assert named("a", name="pager") == "pager"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "hooks.example.com",
        "file:///etc/passwd",
        "ftp://hooks.example.com/s3cr3t",
        "https://",
        "https://example.com:0/",
        "https://example.com:x/s3cr3t",
        "https://ada:s3cr3t@example.com/",
        "https://[s3cr3t@",
        "https://example.com/s3cr3t\r\nX: y",
        "https://example.com/s3cr3t y",
    ],
)
def test_an_address_that_will_not_do_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^url = ") as caught:
        webhook(url)
    assert "s3cr3t" not in str(caught.value)


def test_an_address_may_have_an_at_sign_in_its_path() -> None:
    assert webhook("https://example.com/hook@tenant/x").where == "https://example.com"


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"payload": {}}, "payload"),
        ({"sleep": 1.0}, "sleep"),
        ({"opener": 1}, "opener"),
        ({"timeout": 0}, "timeout"),
        ({"retries": -1}, "retries"),
        ({"backoff": 0}, "backoff"),
        ({"longest_wait": 0}, "longest_wait"),
        ({"headers": {"a": "b\n"}}, "headers"),
        ({"name": ""}, "name"),
    ],
)
def test_a_webhook_refuses_bad_arguments(settings: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^{named} = "):
        webhook("http://127.0.0.1:9", **settings)


@pytest.mark.parametrize("target", [3, ""])
def test_json_lines_refuses_what_cannot_be_written_to(target: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^target = "):
        json_lines(target)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"logger": 3}, "logger"),
        ({"levels": ["ALERT"]}, "levels"),
        ({"levels": {"ALERT": "high"}}, r"levels\['ALERT'\]"),
    ],
)
def test_logging_refuses_bad_arguments(settings: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^{named} = "):
        logging_sink(**settings)
