"""What a guard adds to a request, in CPU time: one task asks an app; no network and no server.

The variants take turns, round by round; a row is the median of the differences, or ratios, of the
rounds. Counting in bulk, once every 1024 requests, is in it. Limits fail the run.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass, field
from itertools import cycle
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from fastapi import FastAPI
from pydantic import BaseModel
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint

from mlguard import ErrorBudget, Keyed, LatencyBudget, StreamLatency, cached
from mlguard.drift import Reference, Sampled
from mlguard.integrations import asgi, wsgi
from mlguard.integrations.wrap import wrap

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

ADDED, RATIO = 3.0, 1.1
ROUNDS = 60
MANY, SOME = 10_000, 500
"""Requests of a round: of what takes microseconds, and of FastAPI."""
CHUNKS = 10
LIMITS = {0.5: 0.010, 0.99: 0.050}
SCOPE: dict[str, Any] = {
    "type": "http",
    "asgi": {"version": "3.0", "spec_version": "2.4"},
    "http_version": "1.1",
    "method": "GET",
    "scheme": "http",
    "path": "/predict",
    "raw_path": b"/predict",
    "query_string": b"",
    "root_path": "",
    "headers": [(b"host", b"localhost"), (b"accept", b"*/*")],
    "client": ("127.0.0.1", 50_000),
    "server": ("127.0.0.1", 8000),
}
HEADERS = [(b"content-type", b"text/plain"), (b"content-length", b"4")]
ROWS = 1000


BODY = b'{"distance": 1400.0, "hour": 17.0, "carrier": "AA", "origin": "EWR", "late": 0.4}'
SCORING: dict[str, Any] = {
    **SCOPE,
    "method": "POST",
    "path": "/score",
    "raw_path": b"/score",
    "headers": [(b"host", b"localhost"), (b"content-type", b"application/json")],
}


class Flight(BaseModel):
    """What a service is asked to score."""

    distance: float
    hour: float
    carrier: str
    origin: str
    late: float


@dataclass(frozen=True)
class Work:
    """Requests to one variant, what counts them, and their CPU microseconds, round by round."""

    run: Callable[[int], Awaitable[None]]
    requests: int = MANY
    meters: Iterable[Any] = ()
    took: list[float] = field(default_factory=list)

    async def round(self) -> None:
        """Ask all of them once."""
        start = time.process_time()
        await self.run(self.requests)
        self.took.append((time.process_time() - start) / self.requests * 1e6)

    def counted(self) -> bool:
        """Tell whether each meter counted each request: no guard crashed or rejected one."""
        return all(seen(each) == self.requests * (ROUNDS + 1) for each in self.meters)


@dataclass(frozen=True)
class Row:
    """What is compared with what; the `parts` of a request share what was added."""

    what: str
    bare: Work
    guarded: Work
    limit: float | None = None
    parts: int = 1

    def measured(self) -> float:
        """Give the median over the rounds: of ratios where the row says so, or of differences."""
        pairs = list(zip(self.guarded.took, self.bare.took, strict=True))
        if self.what.endswith("ratio"):
            return statistics.median(guarded / bare for guarded, bare in pairs)
        return statistics.median(guarded - bare for guarded, bare in pairs) / self.parts


def seen(meter: Any) -> int:
    """Give how many requests a meter counted as good, or timed."""
    if isinstance(meter, Keyed):
        return sum(seen(each) for _, each in meter.items())
    totals = meter.totals
    return next(
        int(totals[name]) for name in ("good", "requests", "first requests") if name in totals
    )


class Clocked:
    """The least that a pure ASGI middleware can cost which knows when an answer is out."""

    __slots__ = ("app",)

    def __init__(self, app: App) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = ended = time.perf_counter()

        async def noting(message: Message) -> None:
            nonlocal ended
            if message["type"] == "http.response.body":
                ended = time.perf_counter()
            await send(message)

        await self.app(scope, receive, noting)
        if ended < started:
            raise AssertionError


class Dispatched(BaseHTTPMiddleware):
    """The same in Starlette's way: what most who measure a service write."""

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        """Read the clock before and after."""
        started = time.perf_counter()
        response = await call_next(request)
        if time.perf_counter() < started:
            raise AssertionError
        return response


async def receive() -> Message:
    """Give the body of a request; only the one that scores a row reads it."""
    return {"type": "http.request", "body": BODY, "more_body": False}


async def send(message: Message) -> None:
    """Take a message as a server with an empty socket does."""


async def plain(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001 -- it is ASGI
    """Answer at once."""
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": b"0.74"})


async def chunked(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001 -- likewise
    """Answer in chunks, as Starlette's StreamingResponse does."""
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    for _ in range(CHUNKS):
        await send({"type": "http.response.body", "body": b"token", "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


def featured(rows: Iterable[dict[str, Any]]) -> App:
    """Make an app that tells its features."""
    following = cycle(rows)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["mlguard.features"] = next(following)
        await plain(scope, receive, send)

    return app


def web(*middleware: tuple[Any, dict[str, Any]]) -> FastAPI:
    """Make a FastAPI app that scores a row, and has an empty route."""
    app = FastAPI()

    @app.post("/score")
    async def score(flight: Flight) -> dict[str, float]:
        return {"delayed": 0.74 if flight.late else 0.2}

    @app.get("/predict")
    async def predict() -> dict[str, float]:
        return {"delayed": 0.74}

    for kind, options in middleware:
        app.add_middleware(kind, **options)
    return app


def start_response(status: str, headers: list[tuple[str, str]]) -> None:
    """Take the head of an answer."""


def answered(
    environ: dict[str, Any],  # noqa: ARG001 -- it is WSGI
    start_response: Callable[..., Any],
) -> list[bytes]:
    """Answer at once."""
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "4")])
    return [b"0.74"]


def called(row: object) -> float:  # noqa: ARG001 -- it is a model
    """Predict."""
    return 0.74


async def awaited(row: object) -> float:  # noqa: ARG001 -- it is a model
    """Predict."""
    return 0.74


def asgi_work(app: Any, scope: Scope = SCOPE, **options: Any) -> Work:
    """Ask an ASGI app."""

    async def run(requests: int) -> None:
        for _ in range(requests):
            await app(dict(scope), receive, send)

    return Work(run, **options)


def wsgi_work(app: Any, **options: Any) -> Work:
    """Ask a WSGI app, and read its answer as a server does."""
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/predict"}

    async def run(requests: int) -> None:
        for _ in range(requests):
            for _ in app(environ.copy(), start_response):
                pass

    return Work(run, **options)


def call_work(function: Callable[[object], object], **options: Any) -> Work:
    """Call a function."""

    async def run(requests: int) -> None:
        for _ in range(requests):
            function(None)

    return Work(run, **options)


def await_work(function: Callable[[object], Awaitable[object]], **options: Any) -> Work:
    """Await a function."""

    async def run(requests: int) -> None:
        for _ in range(requests):
            await function(None)

    return Work(run, **options)


def meters() -> dict[str, Any]:
    """Make what most services have."""
    return {"latency": LatencyBudget(LIMITS), "errors": ErrorBudget(0.999)}


def guarded(app: App, requests: int = MANY, **options: Any) -> Work:
    """Ask an ASGI app behind a guard."""
    both = {name: options.pop(name, meter) for name, meter in meters().items()}
    guard = asgi.GuardMiddleware(app, **both, **options)
    return asgi_work(guard, requests=requests, meters=both.values())


def drawn() -> tuple[Reference, list[dict[str, Any]]]:
    """Draw rows of 30 numbers and 10 texts, fit a reference, and give each row an id."""
    rng = np.random.default_rng(1)
    columns = {f"x{place}": rng.standard_normal(ROWS).tolist() for place in range(30)}
    columns |= {
        f"s{place}": rng.choice(["low", "mid", "high"], ROWS).tolist() for place in range(10)
    }
    rows = [
        dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)
    ]
    return Reference.fit(columns), [{**row, "id": f"id {place}"} for place, row in enumerate(rows)]


def of_asgi() -> list[Row]:
    """Compare a raw ASGI app with itself behind guards."""
    bare = asgi_work(plain)
    once_a_second = cached(ErrorBudget(0.999), 1.0)
    by_route = Keyed(lambda: ErrorBudget(0.999), by="route")
    stream = StreamLatency(first={0.95: 0.8}, gap={0.99: 0.1})
    reference, rows = drawn()
    app = featured(rows)
    sampled = Sampled(reference.profile(), share=0.01, key="id")
    return [
        Row("floor: an ASGI class that reads the clock twice, µs", bare, asgi_work(Clocked(plain))),
        Row("ASGI, latency and errors, µs", bare, guarded(plain), ADDED),
        Row('with on_breach="reject", µs', bare, guarded(plain, on_breach="reject")),
        Row(
            "with a check that the user cached, µs",
            bare,
            guarded(plain, on_breach="reject", check=once_a_second),
        ),
        Row(
            "with errors by route, µs",
            bare,
            guarded(plain, errors=by_route, key=lambda scope: scope["path"]),
        ),
        Row(
            f"with a StreamLatency, each of {CHUNKS} chunks, µs",
            asgi_work(chunked, requests=MANY // CHUNKS),
            guarded(chunked, requests=MANY // CHUNKS, latency=stream),
            parts=CHUNKS,
        ),
        Row(
            "with a profile of 40 columns that samples 1 %, µs",
            asgi_work(app),
            guarded(app, profile=sampled),
        ),
    ]


def of_fastapi() -> list[Row]:
    """Compare an app of FastAPI with itself behind a guard, and behind what most people write."""
    both = meters()
    bare = asgi_work(web(), requests=SOME)
    guard = asgi_work(web((asgi.GuardMiddleware, both)), requests=SOME, meters=both.values())
    floor = asgi_work(web((Clocked, {})), requests=SOME)
    peer = asgi_work(web((Dispatched, {})), requests=SOME)
    again = meters()
    scored = asgi_work(web(), requests=SOME, scope=SCORING)
    scored_behind = asgi_work(
        web((asgi.GuardMiddleware, again)), requests=SOME, scope=SCORING, meters=again.values()
    )
    return [
        Row("FastAPI, a row of five features, ratio", scored, scored_behind, RATIO),
        Row("FastAPI, an empty route, ratio", bare, guard),
        Row("FastAPI, an empty route, µs", bare, guard),
        Row("floor: FastAPI, an ASGI class that reads the clock twice, µs", bare, floor),
        Row("peer: FastAPI, a BaseHTTPMiddleware that does, µs", bare, peer),
        Row("peer: FastAPI, a BaseHTTPMiddleware that does, ratio", bare, peer),
    ]


def of_wsgi() -> list[Row]:
    """Compare a raw WSGI app with itself behind a guard."""
    both = meters()
    guard = wsgi_work(wsgi.GuardMiddleware(answered, **both), meters=both.values())
    return [Row("WSGI, latency and errors, µs", wsgi_work(answered), guard)]


def of_functions() -> list[Row]:
    """Compare functions with themselves behind a guard."""
    ones, others = meters(), meters()
    function = call_work(wrap(called, **ones), meters=ones.values())
    coroutine = await_work(wrap(awaited, **others), meters=others.values())
    return [
        Row("wrap() of a function, latency and errors, µs", call_work(called), function),
        Row("wrap() of a coroutine function, µs", await_work(awaited), coroutine),
    ]


async def measure(rows: list[Row]) -> None:
    """Let the variants take turns, in one order and back, after a round that warms them up."""
    works = list({id(work): work for row in rows for work in (row.bare, row.guarded)}.values())
    for number in range(ROUNDS + 1):
        for work in works if number % 2 else reversed(works):
            await work.round()
    for work in works:
        del work.took[0]
        if not work.counted():
            message = "a guard did not count what it was asked"
            raise SystemExit(message)


async def main() -> int:
    """Measure, print, and fail over a limit."""
    over = 0
    for make in (of_asgi, of_fastapi, of_wsgi, of_functions):
        rows = make()
        await measure(rows)
        for row in rows:
            measured = row.measured()
            over += row.limit is not None and measured > row.limit
            limit = "" if row.limit is None else f" (limit {row.limit:g})"
            bare = statistics.median(row.bare.took)
            print(f"{row.what}: {measured:.3g}{limit}; without it {bare:.2f} µs")
    return int(over > 0)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
