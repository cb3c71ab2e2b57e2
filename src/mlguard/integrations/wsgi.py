"""A guard in front of a WSGI app: Flask, Django, Bottle."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeAlias

from mlguard.integrations.edge import HEADER, TOO_MANY, UNAVAILABLE, Edge
from mlguard.integrations.exchange import Exchange
from mlguard.values import Severity

if TYPE_CHECKING:
    from mlguard.values import Verdict

__all__ = ["GuardMiddleware"]

Environ: TypeAlias = dict[str, Any]
StartResponse: TypeAlias = Callable[..., Any]
App: TypeAlias = Callable[[Environ, StartResponse], Iterable[bytes]]


class GuardMiddleware(Edge[App]):
    """Times, counts and guards every request of a WSGI app: `app.wsgi_app = GuardMiddleware(...)`.

    Thread-safe, as far as its meters and checks are: those of mlguard are. State is per process;
    `publish` the meters for a view over all workers.

    Args, attributes and behaviour are those of `mlguard.integrations.asgi.GuardMiddleware`, except
    that `key` is given the environ, and that the row of features goes into
    `environ["mlguard.features"]`. A request ends when the app hands over the last chunk of its
    body. A body that the server closes before it is through was cut by the client.

    Raises:
        ConfigurationError: An argument is not of its kind or range.

    Examples:
        >>> from mlguard import ErrorBudget
        >>> def app(environ, start_response):
        ...     start_response("200 OK", [])
        ...     return [b"0.74"]
        >>> errors = ErrorBudget(slo=0.999)
        >>> guarded = GuardMiddleware(app, errors=errors)
        >>> list(guarded({"REQUEST_METHOD": "GET"}, lambda status, headers: None))
        [b'0.74']
        >>> errors.totals["good"]
        1
    """

    __slots__ = ()

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        started = self.clock()
        if started >= self.due:
            self.ask(started)
        verdict = self.acting
        if verdict is not None and self.refuses(verdict):
            answer = UNAVAILABLE, self.retry_after, verdict.severity
            return _answer(environ, start_response, *answer)
        exchange = Exchange(self, environ, started)
        cost = exchange.meters.cost
        if cost is not None and (wait := self.wait(cost, environ)) is not None:
            return _answer(environ, start_response, TOO_MANY, wait, Severity.BREACH)
        return self._serve(exchange, start_response, verdict)

    def _serve(
        self, exchange: Exchange, start_response: StartResponse, verdict: Verdict | None
    ) -> Iterable[bytes]:
        environ = exchange.scope

        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            if verdict is not None:
                headers = [*headers, (HEADER, verdict.severity.name)]
            more = () if exc_info is None else (exc_info,)
            write = start_response(status, headers, *more)
            exchange.status = int(status[:3])
            return write

        try:
            body = self.app(environ, start)
            if not isinstance(body, list | tuple):
                sent_as_file = environ.get("wsgi.file_wrapper")
                if not isinstance(sent_as_file, type) or not isinstance(body, sent_as_file):
                    return _Body(exchange, body)
            elif exchange.meters.opens:
                for _ in body:
                    exchange.item()
        except BaseException as error:
            exchange.failed(error)
            raise
        _whole(exchange)
        return body


def _answer(
    environ: Environ,
    start_response: StartResponse,
    status: tuple[int, str],
    wait: int,
    severity: Severity,
) -> list[bytes]:
    code, words = status
    body = f"{words}\n".encode()
    headers = [
        ("Content-Type", "text/plain; charset=utf-8"),
        ("Content-Length", str(len(body))),
        ("Retry-After", str(wait)),
        (HEADER, severity.name),
    ]
    start_response(f"{code} {words}", headers)
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]


class _Body:
    """The body of an answer on its way. Not thread-safe: it follows one request."""

    __slots__ = ("_body", "_exchange", "_next")

    def __init__(self, exchange: Exchange, body: Iterable[bytes]) -> None:
        self._exchange = exchange
        self._body = body
        self._next = iter(body).__next__

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            chunk = self._next()
        except StopIteration:
            _whole(self._exchange)
            raise
        except BaseException as error:
            self._exchange.failed(error)
            raise
        self._exchange.item()
        return chunk

    def close(self) -> None:
        try:
            close = getattr(self._body, "close", None)
            if close is not None:
                close()
        finally:
            if self._exchange.scope.get("REQUEST_METHOD") == "HEAD" and not self._exchange.over:
                _whole(self._exchange)  # nobody reads the body of that
            self._exchange.failed(GeneratorExit())


def _whole(exchange: Exchange) -> None:
    if exchange.over:
        return  # an exhausted body was asked again
    if exchange.status is None:
        exchange.failed(RuntimeError("the app never called start_response"))
    else:
        exchange.finished()
