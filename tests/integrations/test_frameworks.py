"""The guard in front of real FastAPI, Starlette and Litestar apps, without a server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from mlguard import ErrorBudget, Keyed, Reference, Severity, StreamLatency, Verdict
from mlguard.integrations.asgi import GuardMiddleware
from mlguard.testing import ManualClock

CHUNKS = [b"Once", b" upon", b" a time"]


class Recorder:
    """Keeps what it was shown."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def observe(self, value: Any) -> None:
        self.seen.append(value)


class Client:
    """What the server does for one client, which may leave after so many messages."""

    def __init__(self, path: str, method: str = "GET", *, leaves_after: int | None = None) -> None:
        self.scope: Any = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "scheme": "http",
            "query_string": b"",
            "headers": [(b"host", b"test")],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
        }
        self.messages: list[Any] = []
        self.leaves_after = leaves_after
        self.asked = False
        self.left = asyncio.Event()

    async def receive(self) -> Any:
        if not self.asked:
            self.asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        if not self.left.is_set():
            self.messages.append(message)
        whole = message["type"] == "http.response.body" and not message.get("more_body")
        if whole or len(self.messages) == self.leaves_after:  # a server says so in both cases
            self.left.set()
            await asyncio.sleep(0)

    async def ask(self, app: Any) -> Client:
        await app(self.scope, self.receive, self.send)
        return self

    @property
    def status(self) -> int:
        return int(self.messages[0]["status"])

    @property
    def content(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.messages[1:])


class Guarded:
    """A guard around an app, with recorders and a clock in hand."""

    def __init__(self, app: Any, clock: ManualClock, **options: Any) -> None:
        self.latency, self.errors = Recorder(), Recorder()
        options = {"latency": self.latency, "errors": self.errors, "clock": clock, **options}
        self.guard = GuardMiddleware(app, **options)

    def ask(self, path: str, method: str = "GET", *, leaves_after: int | None = None) -> Client:
        async def run() -> Client:
            return await Client(path, method, leaves_after=leaves_after).ask(self.guard)

        return asyncio.run(run())

    @property
    def seen(self) -> tuple[list[float], list[bool]]:
        return self.latency.seen, self.errors.seen


async def told(clock: ManualClock, then: str = "") -> AsyncIterator[bytes]:
    """Give the chunks, a second each, then end as it is said."""
    for chunk in CHUNKS:
        clock.advance(1.0)
        yield chunk
    if then == "raise":
        raise ValueError("after the headers")
    if then == "hang":
        await asyncio.Event().wait()


async def hanging() -> Any:
    async with asyncio.timeout(0):
        await asyncio.Event().wait()


@asynccontextmanager
async def lifespan(app: Any) -> AsyncIterator[None]:
    app.state.life = ["up"]
    yield
    app.state.life.append("down")


def handlers(clock: ManualClock, streamed: Any, later: Any, unavailable: Any) -> dict[str, Any]:
    """Give what the app does at each path, in the words of its framework."""

    async def predict() -> Any:
        clock.advance(2.0)
        return 0.74

    def threaded() -> Any:
        clock.advance(2.0)
        return 0.74

    async def stream() -> Any:
        return streamed(told(clock))

    async def breaking() -> Any:
        return streamed(told(clock, "raise"))

    async def endless() -> Any:
        return streamed(told(clock, "hang"))

    async def raises() -> Any:
        clock.advance(2.0)
        raise ValueError("before the headers")

    async def with_task() -> Any:
        clock.advance(2.0)
        return later(clock.advance, 3600.0)

    async def closed() -> Any:
        raise unavailable

    return {
        "/predict": predict,
        "/threaded": threaded,
        "/stream": stream,
        "/breaking": breaking,
        "/endless": endless,
        "/raises": raises,
        "/hangs": hanging,
        "/later": with_task,
        "/unavailable": closed,
    }


def fastapi_app(clock: ManualClock) -> Any:
    fastapi = pytest.importorskip("fastapi", reason="FastAPI is not installed")
    background = pytest.importorskip("starlette.background")
    answers = pytest.importorskip("starlette.responses")

    def later(*task: Any) -> Any:
        return answers.JSONResponse(0.74, background=background.BackgroundTask(*task))

    async def row(request: Any) -> Any:
        request.scope["mlguard.features"] = {"distance": 1400.0}
        return answers.JSONResponse(0.74)

    async def echo(websocket: Any) -> None:
        await websocket.accept()
        await websocket.send_text("you said " + await websocket.receive_text())
        await websocket.close()

    async def of_tenant(tenant: str) -> str:
        return tenant

    app = fastapi.FastAPI(lifespan=lifespan)
    unavailable = fastapi.HTTPException(503)
    for path, function in handlers(clock, answers.StreamingResponse, later, unavailable).items():
        app.add_api_route(path, function)
    app.add_api_route("/tenants/{tenant}", of_tenant)
    app.add_route("/row", row, methods=["GET", "HEAD"])
    echo.__annotations__["websocket"] = fastapi.WebSocket
    app.add_api_websocket_route("/echo", echo)
    return app


def litestar_app(clock: ManualClock) -> Any:
    litestar = pytest.importorskip("litestar", reason="Litestar is not installed")
    background = pytest.importorskip("litestar.background_tasks")
    exceptions = pytest.importorskip("litestar.exceptions")
    answers = pytest.importorskip("litestar.response")

    def later(*task: Any) -> Any:
        return answers.Response(0.74, background=background.BackgroundTask(*task))

    async def row(request: Any) -> Any:
        request.scope["mlguard.features"] = {"distance": 1400.0}
        return 0.74

    async def echo(socket: Any) -> None:
        await socket.accept()
        await socket.send_text("you said " + await socket.receive_text())
        await socket.close()

    unavailable = exceptions.ServiceUnavailableException()
    routes = [
        litestar.get(path, sync_to_thread=None if path != "/threaded" else True)(function)
        for path, function in handlers(clock, answers.Stream, later, unavailable).items()
    ]
    row.__annotations__["request"] = litestar.Request
    echo.__annotations__["socket"] = litestar.WebSocket
    routes.append(litestar.route("/row", http_method=["GET", "HEAD"])(row))
    routes.append(litestar.websocket("/echo")(echo))
    return litestar.Litestar(routes, lifespan=[lifespan], openapi_config=None)


Make = Callable[[ManualClock], Any]
everywhere = pytest.mark.parametrize("make", [fastapi_app, litestar_app])


@everywhere
def test_plain_answers_are_timed(make: Make) -> None:
    clock = ManualClock()
    guarded = Guarded(make(clock), clock)
    assert b"0.74" in guarded.ask("/predict").content
    assert guarded.ask("/threaded").content == b"0.74"
    assert guarded.seen == ([2.0, 2.0], [True, True])


@everywhere
def test_a_wrong_address_is_no_error_of_the_service(make: Make) -> None:
    guarded = Guarded(make(ManualClock()), ManualClock())
    found = [guarded.ask(path).status for path in ("/nowhere", "/unavailable", "/row")]
    assert found == [404, 503, 200]
    assert guarded.errors.seen == [True, False, True]


@everywhere
def test_head_has_no_body_and_counts(make: Make) -> None:
    guarded = Guarded(make(ManualClock()), ManualClock())
    assert guarded.ask("/row", "HEAD").status == 200
    assert guarded.errors.seen == [True]


@everywhere
def test_a_stream_is_timed_until_its_last_chunk(make: Make) -> None:
    clock = ManualClock()
    guarded = Guarded(make(clock), clock)
    assert guarded.ask("/stream").content == b"".join(CHUNKS)
    assert guarded.seen == ([3.0], [True])


@everywhere
def test_the_chunks_of_a_stream_are_items(make: Make) -> None:
    clock = ManualClock()
    latency = StreamLatency(first={0.5: 9.0}, gap={0.5: 9.0}, total={0.5: 9.0}, clock=clock)
    Guarded(make(clock), clock, latency=latency).ask("/stream")
    totals = latency.totals
    assert [totals[f"{part} requests"] for part in ("first", "gap", "total")] == [1, 2, 1]
    assert latency["first"].quantile(0.5) == pytest.approx(1.0, rel=0.01)


@everywhere
def test_a_client_that_leaves_in_the_middle_of_a_stream(make: Make) -> None:
    clock = ManualClock()
    latency = StreamLatency(first={0.5: 9.0}, gap={0.5: 9.0}, total={0.5: 9.0}, clock=clock)
    guarded = Guarded(make(clock), clock, latency=latency)
    client = guarded.ask("/endless", leaves_after=3)
    assert client.content == b"".join(CHUNKS[:2])
    totals = latency.totals
    assert (totals["first requests"], totals["total requests"]) == (1, 0)
    assert guarded.errors.seen == []
    assert guarded.guard.crashes == 0


@everywhere
def test_an_exception_after_the_headers_is_bad(make: Make) -> None:
    clock = ManualClock()
    guarded = Guarded(make(clock), clock)
    with pytest.raises(BaseException) as caught:  # noqa: PT011 -- each framework wraps it in its way
        guarded.ask("/breaking")
    assert "after the headers" in repr(caught.value) + repr(caught.value.__cause__)
    assert guarded.seen == ([3.0], [False])


@everywhere
def test_an_exception_before_the_headers_is_bad_once(make: Make) -> None:
    clock = ManualClock()
    guarded = Guarded(make(clock), clock)
    with suppress(ValueError):  # Starlette answers 500 and raises it to the server
        assert guarded.ask("/raises").status == 500
    assert guarded.seen == ([2.0], [False])


@everywhere
def test_a_timeout_is_bad(make: Make) -> None:
    guarded = Guarded(make(ManualClock()), ManualClock())
    with suppress(TimeoutError):
        assert guarded.ask("/hangs").status == 500
    assert guarded.errors.seen == [False]


@everywhere
def test_background_tasks_are_not_timed(make: Make) -> None:
    clock = ManualClock()
    guarded = Guarded(make(clock), clock)
    assert guarded.ask("/later").content == b"0.74"
    assert clock() == 3602.0
    assert guarded.seen == ([2.0], [True])


@everywhere
def test_features_reach_a_real_profile(make: Make) -> None:
    profile = Reference.fit({"distance": [100.0 * n for n in range(100)]}).profile()
    guarded = Guarded(make(ManualClock()), ManualClock(), profile=profile)
    guarded.ask("/row")
    guarded.ask("/threaded")
    assert (profile.rows, profile.schema_changes, guarded.guard.crashes) == (1, [], 0)


@everywhere
def test_a_breach_is_answered_before_the_app_is_asked(make: Make) -> None:
    clock = ManualClock()
    switch = Verdict("kill switch", Severity.BREACH, "on")
    guarded = Guarded(make(clock), clock, check=switch, on_breach="reject")
    assert guarded.ask("/predict").status == 503
    assert clock() == 0.0
    assert guarded.seen == ([], [])
    marked = Guarded(make(clock), clock, check=switch, on_breach="header")
    headers = marked.ask("/threaded").messages[0]["headers"]
    assert (b"mlguard-severity", b"BREACH") in headers


@everywhere
def test_the_lifespan_passes_untouched(make: Make) -> None:
    app = make(ManualClock())
    guarded = Guarded(app, ManualClock())
    incoming = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    outgoing: list[Any] = []

    async def receive() -> Any:
        return incoming.pop(0)

    async def send(message: Any) -> None:
        outgoing.append(message["type"])

    scope: Any = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}, "app": app}
    asyncio.run(guarded.guard(scope, receive, send))
    assert outgoing == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert app.state.life == ["up", "down"]
    assert guarded.seen == ([], [])


@everywhere
def test_a_websocket_is_exchanged_untouched(make: Make) -> None:
    guarded = Guarded(make(ManualClock()), ManualClock())
    incoming = [{"type": "websocket.connect"}, {"type": "websocket.receive", "text": "hello"}]
    outgoing: list[Any] = []

    async def receive() -> Any:
        return incoming.pop(0)

    async def send(message: Any) -> None:
        outgoing.append((message["type"], message.get("text")))

    scope = {**Client("/echo").scope, "type": "websocket", "scheme": "ws", "subprotocols": []}
    del scope["method"]
    asyncio.run(guarded.guard(scope, receive, send))
    assert outgoing == [
        ("websocket.accept", None),
        ("websocket.send", "you said hello"),
        ("websocket.close", None),
    ]
    assert guarded.seen == ([], [])


def test_the_route_of_fastapi_can_be_the_key() -> None:
    clock = ManualClock()
    app = fastapi_app(clock)
    errors = Keyed(lambda: ErrorBudget(slo=0.999), by="route")

    def route(scope: Any) -> str:
        return scope["route"].path if "route" in scope else "none"

    app.add_middleware(GuardMiddleware, errors=errors, key=route)
    for path in ("/tenants/acme", "/tenants/duck", "/nowhere", "/predict"):
        asyncio.run(_asked(app, path))
    assert {key: meter.totals["good"] for key, meter in errors.items()} == {
        "/predict": 1,
        "/tenants/{tenant}": 2,
        "none": 1,
    }


async def _asked(app: Any, path: str) -> Client:
    return await Client(path).ask(app)


def test_litestar_takes_it_as_its_middleware() -> None:
    litestar = pytest.importorskip("litestar", reason="Litestar is not installed")
    middleware = pytest.importorskip("litestar.middleware")
    errors = ErrorBudget(slo=0.999)

    async def predict() -> float:
        return 0.74

    guard = middleware.DefineMiddleware(GuardMiddleware, errors=errors)
    app = litestar.Litestar([litestar.get("/")(predict)], middleware=[guard], openapi_config=None)
    assert asyncio.run(_asked(app, "/")).status == 200
    assert errors.totals["good"] == 1
