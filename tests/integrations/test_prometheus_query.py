"""`query` and `counts` against a server that answers what the test says."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from mlguard import ConfigurationError, at_most, guard
from mlguard.integrations.prometheus import counts, query

Answer = tuple[int, str]


class Fake:
    """A Prometheus whose answers are set by hand. Keeps what it was asked."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.url = ""

    def give(self, promql: str, result: Any, kind: str = "vector") -> None:
        data = {"resultType": kind, "result": result}
        self.answers[promql] = 200, json.dumps({"status": "success", "data": data})

    def series(self, promql: str, *values: float | str) -> None:
        """Let a query give series of these values, told apart by their instance."""
        samples = [
            {"metric": {"instance": str(place)}, "value": [1_800_000_000.5, str(value)]}
            for place, value in enumerate(values)
        ]
        self.give(promql, samples)


@pytest.fixture
def prometheus() -> Iterator[Fake]:
    fake = Fake()

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            promql = parse_qs(parts.query)["query"][0] if parts.query else ""
            fake.asked.append((parts.path, dict(self.headers)))
            status, body = fake.answers.get(promql, (200, "{}"))
            self.send_response(status)
            if status in {301, 302}:
                self.send_header("Location", body)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    fake.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield fake
    server.shutdown()
    thread.join()
    server.server_close()


def test_one_series_is_its_number_at_its_time(prometheus: Fake) -> None:
    prometheus.series("p99", 0.061)
    measurement = query(prometheus.url, "p99", unit="s")()
    assert measurement.name == "p99"
    assert (measurement.value, measurement.unit, measurement.at) == (0.061, "s", 1_800_000_000.5)
    assert prometheus.asked[0][0] == "/api/v1/query"


def test_a_name_and_a_root_below_a_path(prometheus: Fake) -> None:
    prometheus.series("p99", 0.061)
    measurement = query(f"{prometheus.url}/prom/", "p99", name="latency")()
    assert measurement.name == "latency"
    assert prometheus.asked[0][0] == "/prom/api/v1/query"


def test_a_scalar_is_its_number(prometheus: Fake) -> None:
    prometheus.give("scalar(x)", [1_800_000_000, "3"], "scalar")
    assert query(prometheus.url, "scalar(x)")().value == 3.0


def test_infinity_is_a_number(prometheus: Fake) -> None:
    prometheus.series("1/0", "+Inf")
    assert query(prometheus.url, "1/0")().value == math.inf


def no_series(fake: Fake) -> None:
    fake.give("q", [])


def nan(fake: Fake) -> None:
    fake.series("q", "NaN")


def bad_query(fake: Fake) -> None:
    error = {"status": "error", "errorType": "bad_data", "error": "1:2: parse error"}
    fake.answers["q"] = 400, json.dumps(error)


def overloaded(fake: Fake) -> None:
    fake.answers["q"] = 503, "<html>"


def redirected(fake: Fake) -> None:
    fake.series("elsewhere", 0.0)
    fake.answers["q"] = 302, f"{fake.url}/api/v1/query?query=elsewhere"


def another_api(fake: Fake) -> None:
    fake.answers["q"] = 200, '{"data": [1]}'


def no_json(fake: Fake) -> None:
    fake.answers["q"] = 200, "<html>"


def histograms(fake: Fake) -> None:
    fake.give("q", [{"metric": {}, "histogram": [1, {"count": "3"}]}])


def endless(fake: Fake) -> None:
    fake.answers["q"] = 200, " " * 8_000_001


@pytest.mark.parametrize(
    ("set_up", "reason"),
    [
        (no_series, "finds no series"),
        (nan, "0/0"),
        (bad_query, "HTTP 400: bad_data: 1:2: parse error"),
        (overloaded, "HTTP 503: Service Unavailable"),
        (redirected, "HTTP 302"),
        (another_api, "not that of the Prometheus API"),
        (no_json, "not that of the Prometheus API"),
        (histograms, "native histograms"),
        (endless, "longer than 8,000,000 bytes"),
    ],
)
def test_no_number_is_unknown_with_its_reason_and_never_zero(
    prometheus: Fake, set_up: Callable[[Fake], None], reason: str
) -> None:
    set_up(prometheus)
    measure = query(prometheus.url, "q")
    measurement = measure()
    assert math.isnan(measurement.value)
    assert reason in measurement.details["reason"]
    verdict = guard(measure, at_most(0.05))()
    assert verdict.severity.name == "UNKNOWN"
    assert reason in verdict.reason


def test_nobody_there_is_unknown() -> None:
    verdict = guard(query("http://127.0.0.1:9", "q", timeout=0.5), at_most(0.05))()
    assert verdict.severity.name == "UNKNOWN"
    assert "no answer" in verdict.reason


def test_several_series_are_an_error_that_says_to_aggregate(prometheus: Fake) -> None:
    prometheus.series("q", 1, 2, 3)
    with pytest.raises(ConfigurationError, match=r"one series, not 3: aggregate"):
        query(prometheus.url, "q")()
    assert guard(query(prometheus.url, "q"), at_most(5))().severity.name == "UNKNOWN"


def test_a_range_is_an_error(prometheus: Fake) -> None:
    prometheus.give("q[5m]", [{"metric": {}, "values": []}], "matrix")
    with pytest.raises(ConfigurationError, match="not a matrix"):
        query(prometheus.url, "q[5m]")()


def test_headers_are_sent_and_shown_nowhere(prometheus: Fake) -> None:
    prometheus.answers["q"] = 503, ""
    measure = query(prometheus.url, "q", headers={"Authorization": "Bearer s3cret"})
    assert "s3cret" not in repr((measure, measure()))
    assert prometheus.asked[0][1]["Authorization"] == "Bearer s3cret"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "prometheus:9090",
        "file:///etc/passwd",
        "ftp://prometheus",
        "http://",
        "http://a:x",
        "http://a/?b=c",
        "http://a b/",
    ],
)
def test_an_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="url = "):
        query(url, "up")


@pytest.mark.parametrize("scheme", ["http", "ftp"])
def test_a_password_in_the_url_is_refused_and_not_shown(scheme: str) -> None:
    with pytest.raises(ConfigurationError, match="headers=") as refused:
        query(f"{scheme}://me:s3cret@prometheus", "up")
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize("value", ["a\r\nb", "ä", 3])
def test_a_header_that_would_break_the_request_is_refused_and_not_shown(value: Any) -> None:
    with pytest.raises(ConfigurationError, match="headers = ") as refused:
        query("http://prometheus", "up", headers={"Authorization": value})
    assert repr(value) not in str(refused.value)


# Counts.


def test_counts_are_the_growth_since_the_last_call(prometheus: Fake) -> None:
    new = counts(prometheus.url, {"good": "g", "bad": "b"})
    prometheus.series("g", 100, 50)
    prometheus.series("b", 7)
    assert new() == {"good": 0, "bad": 0}
    prometheus.series("g", 110, 55)
    assert new() == {"good": 15, "bad": 0}
    assert new() == {"good": 0, "bad": 0}


def test_a_series_that_was_reset_counts_from_zero_and_the_others_go_on(prometheus: Fake) -> None:
    new = counts(prometheus.url, {"good": "g"})
    prometheus.series("g", 1000, 500)
    new()
    prometheus.series("g", 3, 510)  # the sum fell by 987
    assert new() == {"good": 13}


def test_a_new_series_counts_in_full_and_one_that_was_away_from_where_it_was(
    prometheus: Fake,
) -> None:
    new = counts(prometheus.url, {"good": "g"})
    prometheus.series("g", 1000)
    new()
    prometheus.series("g", 1000, 20)
    assert new() == {"good": 20}
    prometheus.series("g", 1001)
    assert new() == {"good": 1}
    prometheus.series("g", 1001, 25)
    assert new() == {"good": 5}


def test_series_that_are_long_gone_are_forgotten_oldest_first(
    prometheus: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlguard.integrations.promql._MOST_SERIES", 3)
    new = counts(prometheus.url, {"good": "g"})
    for place in range(5):
        pods = ["stays", str(place)]
        prometheus.give("g", [{"metric": {"pod": pod}, "value": [1, "7"]} for pod in pods])
        assert new() == {"good": 7 if place else 0}
    assert len(new._seen or {}) == 3


def test_a_call_that_fails_loses_nothing(prometheus: Fake) -> None:
    new = counts(prometheus.url, {"good": "g", "bad": "b"})
    prometheus.series("g", 100)
    prometheus.series("b", 1)
    new()
    prometheus.series("g", 110)
    prometheus.answers["b"] = 503, ""
    with pytest.raises(ConnectionError, match=r"queries\['bad'\]: HTTP 503"):
        new()
    prometheus.series("b", 2)
    assert new() == {"good": 10, "bad": 1}


def test_a_query_that_finds_nothing_is_no_zero(prometheus: Fake) -> None:
    prometheus.give("g", [])
    with pytest.raises(LookupError, match=r"or vector\(0\)"):
        counts(prometheus.url, {"good": "g"})()


@pytest.mark.parametrize("value", [0.5, -1, "NaN", "+Inf"])
def test_what_is_no_counter_is_refused(prometheus: Fake, value: float | str) -> None:
    prometheus.series("rate(g[5m])", value)
    with pytest.raises(ConfigurationError, match="counters"):
        counts(prometheus.url, {"good": "rate(g[5m])"})()


@pytest.mark.parametrize("queries", [{}, {"": "q"}, {"good": " "}, ["q"]])
def test_queries_that_are_none_are_refused(queries: Any) -> None:
    with pytest.raises(ConfigurationError, match="queries"):
        counts("http://prometheus", queries)


def test_threads_share_one_growth(prometheus: Fake) -> None:
    new = counts(prometheus.url, {"good": "g"})
    prometheus.series("g", 0)
    new()
    prometheus.series("g", 1000)
    found: list[int] = []
    threads = [threading.Thread(target=lambda: found.append(new()["good"])) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [0, 0, 0, 1000]
