"""The guard in WSGI: by hand, under the validator of the standard library, and with real Flask."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any
from wsgiref.util import FileWrapper, setup_testing_defaults
from wsgiref.validate import validator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlguard import ErrorBudget, LatencyBudget, Severity, StreamLatency, Verdict
from mlguard.integrations.wsgi import GuardMiddleware
from mlguard.testing import ManualClock

BREACH = Verdict("kill switch", Severity.BREACH, "on")
App = Callable[[Any, Any], Iterable[bytes]]


class Recorder:
    """Keeps what it was shown."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def observe(self, value: Any) -> None:
        self.seen.append(value)


class Chunks:
    """A body that takes a second for each chunk and notes that it was closed."""

    def __init__(self, clock: ManualClock, *chunks: bytes | Exception) -> None:
        self.clock = clock
        self.chunks = list(chunks)
        self.closed = 0

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self.chunks:
            self.clock.advance(1.0)
            if isinstance(chunk, Exception):
                raise chunk
            yield chunk

    def close(self) -> None:
        self.closed += 1
        self.clock.advance(60.0)


class Server:
    """What a server does with an app, noting what the client gets."""

    def __init__(self, *, leaves_after: int | None = None) -> None:
        self.leaves_after = leaves_after
        self.started: list[Any] = []
        self.chunks: list[bytes] = []

    def start_response(self, status: str, headers: Any, exc_info: Any = None) -> Any:
        if exc_info and self.chunks:
            raise exc_info[1]
        self.started.append((status, list(headers)))
        return self.chunks.append

    def ask(self, app: App, method: str = "GET", **environ: Any) -> Server:
        full: dict[str, Any] = {"REQUEST_METHOD": method, "QUERY_STRING": "", **environ}
        setup_testing_defaults(full)
        body = app(full, self.start_response)
        try:
            if self.leaves_after != 0:
                for n, chunk in enumerate(body, start=1):
                    self.chunks.append(chunk)
                    if n == self.leaves_after:
                        break
        finally:
            close = getattr(body, "close", None)
            if close:
                close()
        return self

    @property
    def status(self) -> str:
        return str(self.started[-1][0])

    @property
    def headers(self) -> dict[str, str]:
        return dict(self.started[-1][1])


class Guarded:
    """A guard with recorders and a clock in hand."""

    def __init__(self, app: App, clock: ManualClock | None = None, **options: Any) -> None:
        self.clock = clock or ManualClock()
        self.latency, self.errors = Recorder(), Recorder()
        options = {"latency": self.latency, "errors": self.errors, **options}
        self.guard = GuardMiddleware(app, clock=self.clock, **options)

    @property
    def seen(self) -> tuple[list[float], list[bool]]:
        return self.latency.seen, self.errors.seen


def answering(body: Any, status: str = "200 OK", clock: ManualClock | None = None) -> App:
    def app(_environ: Any, start_response: Any) -> Iterable[bytes]:
        if clock:
            clock.advance(1.0)
        start_response(status, [("Content-Type", "text/plain")])
        return body  # type: ignore[no-any-return]

    return app


# ---------------------------------------------------------------- the time and the outcome


def test_a_list_is_handed_over_when_the_app_returns_and_stays_a_list() -> None:
    clock, body = ManualClock(), [b"a", b"b"]
    guarded = Guarded(answering(body, clock=clock), clock)
    environ: dict[str, Any] = {"REQUEST_METHOD": "GET"}
    assert guarded.guard(environ, Server().start_response) is body  # its length tells the server
    assert guarded.seen == ([1.0], [True])


def test_a_file_stays_what_the_server_knows_how_to_send() -> None:
    body = FileWrapper(io.BytesIO(b"model"))
    guarded = Guarded(answering(body))
    environ: dict[str, Any] = {"REQUEST_METHOD": "GET", "wsgi.file_wrapper": FileWrapper}
    assert guarded.guard(environ, Server().start_response) is body
    assert guarded.errors.seen == [True]


def test_a_body_is_timed_until_its_last_chunk_and_closed() -> None:
    clock = ManualClock()
    chunks = Chunks(clock, b"a", b"b", b"c")
    guarded = Guarded(answering(chunks), clock)
    assert Server().ask(guarded.guard).chunks == [b"a", b"b", b"c"]
    assert chunks.closed == 1
    assert guarded.seen == ([3.0], [True])


def test_a_body_without_a_chunk_is_over_when_it_ends() -> None:
    clock = ManualClock()
    guarded = Guarded(answering(Chunks(clock), clock=clock), clock)
    assert Server().ask(guarded.guard).chunks == []
    assert guarded.seen == ([1.0], [True])


@pytest.mark.parametrize(
    ("status", "good"), [("200 OK", True), ("404 Not Found", True), ("500 Oh", False)]
)
def test_a_status_from_500_on_is_bad(status: str, good: bool) -> None:  # noqa: FBT001 -- a table
    guarded = Guarded(answering([b"x"], status))
    assert Server().ask(guarded.guard).status == status
    assert guarded.errors.seen == [good]


def test_an_exception_of_the_app_is_bad_and_goes_on() -> None:
    def app(_environ: Any, _start: Any) -> Iterable[bytes]:
        clock.advance(1.0)
        raise TimeoutError

    clock = ManualClock()
    guarded = Guarded(app, clock)
    with pytest.raises(TimeoutError):
        Server().ask(guarded.guard)
    assert guarded.seen == ([1.0], [False])


def test_an_exception_in_the_middle_of_the_body_is_bad_once() -> None:
    clock = ManualClock()
    chunks = Chunks(clock, b"a", ValueError("x"))
    guarded = Guarded(answering(chunks), clock)
    server = Server()
    with pytest.raises(ValueError, match="x"):
        server.ask(guarded.guard)
    assert (server.chunks, chunks.closed) == ([b"a"], 1)
    assert guarded.seen == ([2.0], [False])


@pytest.mark.parametrize("body", [[], iter([])])
def test_an_app_that_never_starts_its_answer_is_bad(body: Any) -> None:
    guarded = Guarded(lambda _environ, _start: body)
    Server().ask(guarded.guard)
    assert guarded.errors.seen == [False]


def test_start_response_may_be_called_late() -> None:
    def app(_environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("503 Later", [])
        yield b"x"

    guarded = Guarded(app)
    assert Server().ask(guarded.guard).status == "503 Later"
    assert guarded.errors.seen == [False]


def test_start_response_may_be_called_again_after_an_error() -> None:
    def app(_environ: Any, start_response: Any) -> Iterator[bytes]:
        write = start_response("200 OK", [])
        try:
            int("x")
        except ValueError:
            start_response("500 Oh", [], sys.exc_info())
        write(b"by hand, ")
        yield b"sorry"

    guarded = Guarded(app)
    server = Server().ask(guarded.guard)
    assert [status for status, _ in server.started] == ["200 OK", "500 Oh"]
    assert server.chunks == [b"by hand, ", b"sorry"]
    assert guarded.errors.seen == [False]


def test_start_response_again_when_it_is_too_late_raises_through_the_guard() -> None:
    def app(_environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield b"x"
        try:
            int("too late")
        except ValueError:
            start_response("500 Oh", [], exc_info=sys.exc_info())

    guarded = Guarded(app)
    with pytest.raises(ValueError, match="too late"):
        Server().ask(guarded.guard)
    assert guarded.errors.seen == [False]


# ---------------------------------------------------------------- clients that leave


def test_a_body_that_is_closed_before_its_end_was_cut_by_the_client() -> None:
    clock = ManualClock()
    chunks = Chunks(clock, b"a", b"b", b"c")
    guarded = Guarded(answering(chunks), clock)
    assert Server(leaves_after=2).ask(guarded.guard).chunks == [b"a", b"b"]
    assert chunks.closed == 1
    assert guarded.seen == ([], [])


def test_a_body_that_is_asked_again_counts_once() -> None:
    for chunks in ((), (b"a",)):
        guarded = Guarded(answering(iter(chunks)))
        environ = {"REQUEST_METHOD": "GET"}
        body: Any = guarded.guard(environ, lambda *_: None)
        for _ in range(2):
            list(body)
        body.close()
        list(body)
        assert guarded.seen == ([0.0], [True])


def test_nobody_reads_the_body_of_head() -> None:
    guarded = Guarded(answering(Chunks(ManualClock(), b"a")))
    Server(leaves_after=0).ask(guarded.guard, "HEAD")
    assert guarded.errors.seen == [True]
    Server().ask(guarded.guard, "HEAD")
    assert guarded.errors.seen == [True, True]


def test_each_chunk_of_a_stream_is_an_item() -> None:
    clock = ManualClock(1e6)
    latency = StreamLatency(first={0.5: 9.0}, gap={0.5: 9.0}, total={0.5: 9.0}, clock=clock)

    def counted(leaves_after: int | None = None, *, listed: bool = False) -> list[int]:
        body: Any = [b"a", b"b"] if listed else Chunks(clock, b"a", b"b", b"c")
        guarded = Guarded(answering(body), clock, latency=latency)
        before = latency.totals
        Server(leaves_after=leaves_after).ask(guarded.guard)
        return [
            latency.totals[f"{part} requests"] - before[f"{part} requests"]
            for part in ("first", "gap", "total")
        ]

    assert counted() == [1, 2, 1]
    assert counted(leaves_after=2) == [1, 1, 0]
    assert counted(listed=True) == [1, 1, 1]


# ---------------------------------------------------------------- what happens on a breach


def test_a_breach_is_answered_without_the_app() -> None:
    guarded = Guarded(lambda *_: 1 / 0, check=BREACH, on_breach="reject", retry_after=30)  # type: ignore[arg-type]
    server = Server().ask(validator(guarded.guard))
    assert server.status == "503 Service Unavailable"
    assert server.headers["Retry-After"] == "30"
    assert server.headers["Content-Length"] == str(len(b"".join(server.chunks)))
    assert server.headers["mlguard-severity"] == "BREACH"
    assert (guarded.seen, guarded.guard.rejected) == (([], []), 1)
    assert Server().ask(guarded.guard, "HEAD").chunks == []


def test_a_breach_can_mark_the_answer() -> None:
    guarded = Guarded(answering([b"x"]), check=BREACH, on_breach="header")
    server = Server().ask(validator(guarded.guard))
    assert server.headers == {"Content-Type": "text/plain", "mlguard-severity": "BREACH"}
    assert guarded.errors.seen == [True]


def test_a_crash_of_the_guard_is_never_seen_by_the_client() -> None:
    class Broken:
        def observe(self, _: Any) -> None:
            raise OSError("no disk")

    for body in ([b"a"], iter([b"a"])):
        guarded = Guarded(answering(body), latency=Broken(), errors=Broken(), profile=Broken())
        environ: dict[str, Any] = {"mlguard.features": {"x": 1}}
        assert Server().ask(guarded.guard, **environ).chunks == [b"a"]
        assert guarded.guard.crashes == 3


# ---------------------------------------------------------------- laws


def test_the_guard_keeps_to_the_protocol() -> None:
    def inside(_environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        yield from (b"a", b"b")

    guarded = Guarded(validator(inside))
    assert Server().ask(validator(guarded.guard)).chunks == [b"a", b"b"]
    assert guarded.errors.seen == [True]


@given(
    chunks=st.lists(st.binary(max_size=3) | st.just(ValueError("x")), max_size=5),
    leaves_after=st.none() | st.integers(0, 5),
    status=st.sampled_from(["200 OK", "404 Not Found", "500 Oh"]),
    stream=st.booleans(),
)
def test_the_client_sees_the_same_and_each_request_is_observed_at_most_once(
    chunks: list[Any],
    leaves_after: int | None,
    status: str,
    stream: bool,  # noqa: FBT001 -- given by name
) -> None:
    def run(wrap: Callable[[App], App]) -> tuple[Any, ...]:
        body, server = Chunks(ManualClock(), *chunks), Server(leaves_after=leaves_after)
        with suppress(ValueError):
            server.ask(wrap(answering(body, status)))
        return server.started, server.chunks, body.closed

    latency = StreamLatency(total={0.5: 9.0}) if stream else LatencyBudget({0.5: 9.0})
    errors = ErrorBudget(slo=0.999)
    assert run(lambda app: GuardMiddleware(app, latency=latency, errors=errors)) == run(lambda a: a)
    assert latency.totals["total requests" if stream else "requests"] <= 1
    cut = leaves_after is not None and leaves_after <= len(chunks)
    assert sum(errors.totals.values()) == (0 if cut and _whole(chunks[:leaves_after]) else 1)


def _whole(chunks: list[Any]) -> bool:
    return all(isinstance(chunk, bytes) for chunk in chunks)


def test_many_threads_are_each_counted() -> None:
    latency, errors = LatencyBudget({0.5: 9.0}), ErrorBudget(slo=0.999)
    clock = ManualClock()

    def app(environ: Any, start_response: Any) -> Iterable[bytes]:
        start_response("500 Oh" if environ["n"] % 4 == 0 else "200 OK", [])
        return [b"a"] if environ["n"] % 3 else Chunks(clock, b"a", b"b")

    guarded = GuardMiddleware(app, latency=latency, errors=errors, on_breach="header")
    with ThreadPoolExecutor(8) as threads:
        for done in [threads.submit(Server().ask, guarded, n=n) for n in range(800)]:
            done.result()
    assert latency.totals["requests"] == 800
    assert errors.totals == {"good": 600, "bad": 200, "invalid": 0}


# ---------------------------------------------------------------- Flask


@pytest.fixture
def flask() -> Any:
    return pytest.importorskip("flask", reason="Flask is not installed")


def flask_app(flask: Any, clock: ManualClock) -> Any:
    app = flask.Flask("service")

    def predict() -> Any:
        clock.advance(2.0)
        flask.request.environ["mlguard.features"] = {"distance": 1400.0}
        return {"score": 0.74}

    def stream() -> Any:
        def told() -> Iterator[str]:
            for word in ("Once", " upon", " a time"):
                clock.advance(1.0)
                yield word

        return flask.Response(told())

    def breaking() -> Any:
        def told() -> Iterator[str]:
            yield "Once"
            raise ValueError("after the headers")

        return flask.Response(told())

    def raises() -> Any:
        raise ValueError("before the headers")

    for function in (predict, stream, breaking, raises):
        app.add_url_rule(f"/{function.__name__}", view_func=function)
    return app


def test_flask(flask: Any) -> None:
    clock, profile = ManualClock(), Recorder()
    app = flask_app(flask, clock)
    guarded = Guarded(app.wsgi_app, clock, profile=profile)
    app.wsgi_app = guarded.guard
    client = app.test_client()
    assert client.get("/predict").json == {"score": 0.74}
    assert client.get("/stream").text == "Once upon a time"
    assert client.get("/nowhere", buffered=True).status_code == 404
    assert client.head("/predict", buffered=True).status_code == 200
    assert client.get("/raises", buffered=True).status_code == 500
    with pytest.raises(ValueError, match="after the headers"):
        client.get("/breaking", buffered=True)
    assert guarded.latency.seen == [2.0, 3.0, 0.0, 2.0, 0.0, 0.0]
    assert guarded.errors.seen == [True, True, True, True, False, False]
    assert profile.seen == [{"distance": 1400.0}] * 2


def test_a_client_of_flask_that_leaves_in_the_middle(flask: Any) -> None:
    clock = ManualClock()
    app = flask_app(flask, clock)
    guarded = Guarded(app.wsgi_app, clock)
    app.wsgi_app = guarded.guard
    answer = app.test_client().get("/stream", buffered=False)
    assert next(answer.iter_encoded()) == b"Once"
    answer.close()
    assert guarded.seen == ([], [])


def test_flask_behind_a_breach(flask: Any) -> None:
    app = flask_app(flask, ManualClock())
    app.wsgi_app = GuardMiddleware(app.wsgi_app, check=BREACH, on_breach="reject")
    answer = app.test_client().get("/predict")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "10")
