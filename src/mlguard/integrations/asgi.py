"""A guard in front of an ASGI app: FastAPI, Starlette, Litestar, BentoML, LitServe, Ray Serve."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any, TypeAlias

from mlguard.integrations.edge import HEADER, TOO_MANY, UNAVAILABLE, Edge
from mlguard.integrations.exchange import Exchange
from mlguard.values import Severity

if TYPE_CHECKING:
    from mlguard.values import Verdict

__all__ = ["GuardMiddleware"]

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

_BODIES = {"http.response.body", "http.response.pathsend", "http.response.zerocopysend"}


class GuardMiddleware(Edge[App]):
    """Times, counts and guards every HTTP request of an ASGI app.

    Safe for any number of tasks and threads, as its meters and checks are. State is per process:
    `publish` the meters for a view over all workers. A pure ASGI class that reads no body; a
    lifespan, a websocket and what is no request pass through untouched.

    A request begins when it reaches the guard and ends when the app hands over the last chunk of
    its answer; background tasks come after that. A client that left makes it neither good nor bad,
    and it is timed then only if the answer had not begun. An answer of the guard's own is neither
    timed nor good nor bad; it is counted in `rejected`.

    A crash inside the guard (a meter, the check, `on_breach`, `key`, `classify`, `observer`, a
    sink) is never seen by the client: it is counted in `crashes`, and logged and reported to the
    sinks at most once a minute for each place.

    Args:
        app: The app that is guarded.
        latency: A `LatencyBudget`, a `StreamLatency` (each chunk of a body is an item) or a `Keyed`
            family of either.
        errors: An `ErrorBudget`, or a `Keyed` family of them.
        profile: A `Profile`, or a `Sampled` one. It counts the row that the app put into
            `scope["mlguard.features"]`, after the answer is out.
        cost: A `CostBudget`. While its cap is spent, as far as this process saw within
            `retry_after`, the guard answers 429 with `Retry-After`. It asks no store: reserve in
            the app, which is what enforces the cap.
        payer: Gives who pays for a request, from its scope, where `cost` has a cap per key.
        check: Asked before each request where `on_breach` is given. By default the worst of
            `latency` and `errors`, also of `guards`: drift and cost are no reason to reject every
            request. Pass `guards.check` for all of them. A kill switch is a check, too.
        on_breach: What a BREACH does. None: nothing. "header": the answer says
            `mlguard-severity: BREACH`. "reject": the guard answers 503 with `Retry-After`. A
            callable is called with the verdict, once for each evaluation. UNKNOWN does nothing.
        retry_after: In seconds or as a timedelta, rounded up to whole seconds.
        every: The check is evaluated at most once in this time, in seconds or as a timedelta;
            between, its verdict is kept (see `cached`). A check that is cached already stays so.
        key: Gives the key of a request for `Keyed` families, from its scope. It is asked once, when
            the answer begins: the route is known then.
        classify: Given the status (None where no answer began) and the exception that left the app
            (None where none did), it says whether that was good (True), bad (False) or is not
            counted (None). By default bad is an exception, so a timeout, and a status from 500 on.
        observer: Called once for each request that reached the app, at its end, with the seconds it
            took (None where the client left in the middle of the answer), whether it was good (None
            where that is not counted) and its scope: what feeds a detector of changes. It is called
            from every thread that serves, so it must be as safe as `Streams` is.
        on_error: "open": requests are served whatever becomes of the guard. "closed": from a crash
            of the guard on it answers 503 for `every`, and then tries again.
        sinks: Are told of crashes of the guard, as a `Decision` to alert.
        clock: Of elapsed seconds.
        guards: The `Guards` of a requirements document, in place of `latency`, `errors`, `profile`
            and `cost`; their reloads are followed.

    Attributes:
        crashes: How often the guard itself crashed.
        rejected: How many requests the guard answered itself.

    Raises:
        ConfigurationError: An argument is not of its kind or range.

    Examples:
        >>> import asyncio
        >>> from mlguard import ErrorBudget, LatencyBudget
        >>> async def app(scope, receive, send):
        ...     await send({"type": "http.response.start", "status": 200, "headers": []})
        ...     await send({"type": "http.response.body", "body": b"0.74"})
        >>> latency, errors = LatencyBudget({0.99: 0.050}), ErrorBudget(slo=0.999)
        >>> guarded = GuardMiddleware(app, latency=latency, errors=errors, on_breach="reject")
        >>> async def send(message):
        ...     print(message.get("status", message.get("body")))
        >>> asyncio.run(guarded({"type": "http"}, None, send))
        200
        b'0.74'
        >>> latency.totals["requests"], errors.totals["good"]
        (1, 1)
    """

    __slots__ = ()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = self.clock()
        if started >= self.due:
            self.ask(started)
        verdict = self.acting
        if verdict is not None:
            if self.refuses(verdict):
                await _answer(scope, send, UNAVAILABLE, self.retry_after, verdict.severity)
                return
            send = _marking(send, verdict)
        exchange = _Exchange(self, scope, started, receive, send)
        cost = exchange.meters.cost
        if cost is not None and (wait := self.wait(cost, scope)) is not None:
            await _answer(scope, send, TOO_MANY, wait, Severity.BREACH)
            return
        try:
            await self.app(scope, exchange.receive, exchange.send)
        except BaseException as error:
            exchange.failed(error)
            raise
        if not exchange.over:
            exchange.failed(RuntimeError("the app returned before its answer was whole"))


async def _answer(
    scope: Scope, send: Send, status: tuple[int, str], wait: int, severity: Severity
) -> None:
    code, words = status
    body = f"{words}\n".encode()
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", b"%d" % len(body)),
        (b"retry-after", b"%d" % wait),
        _mark(severity),
    ]
    await send({"type": "http.response.start", "status": code, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


class _Exchange(Exchange):
    """A request in ASGI. Not thread-safe: it follows one request."""

    __slots__ = ("inner_receive", "inner_send")

    def __init__(
        self, edge: Edge[App], scope: Scope, started: float, receive: Receive, send: Send
    ) -> None:
        self.edge = edge
        self.meters = edge.meters
        self.scope = scope
        self.started = started
        self.inner_receive = receive
        self.inner_send = send
        self.status = self.last = self.left = self._members = self._stream = None
        self.over = False

    async def receive(self) -> Message:
        message = await self.inner_receive()
        if message["type"] == "http.disconnect":
            self.leave()
        return message

    async def send(self, message: Message) -> None:
        kind = message["type"]
        try:
            if kind == "http.response.start":
                await self.inner_send(message)
                self.status = message["status"]
                return
            if self.over or kind not in _BODIES:
                await self.inner_send(message)
                return
            if self.meters.opens and message.get("body"):
                self.item()
            if message.get("more_body"):
                await self.inner_send(message)
                return
        except OSError:
            self.leave()
            raise
        self.end(self.edge.clock())  # what the client does from here on is its own affair
        if self.meters.profile is None:
            await self.inner_send(message)
            return
        try:
            await self.inner_send(message)
        finally:
            self.features()


def _mark(severity: Severity) -> tuple[bytes, bytes]:
    return HEADER.encode(), severity.name.encode()


def _marking(send: Send, verdict: Verdict) -> Send:
    async def marking(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = [*message.get("headers", ()), _mark(verdict.severity)]
            message = {**message, "headers": headers}
        await send(message)

    return marking
