"""A guard around a function: gRPC, MLServer, KServe, batch jobs, anything without a middleware."""

from __future__ import annotations

import functools
import inspect
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar, cast

from mlguard.arguments import refusal
from mlguard.errors import GuardBreached, GuardUnknown
from mlguard.integrations.edge import Edge
from mlguard.integrations.exchange import Exchange
from mlguard.values import Severity

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator

    from mlguard.integrations.edge import Classify, Errors, Latency, Observer, OnError, Rows
    from mlguard.protocols import Check, Clock, Sink
    from mlguard.requirements import Guards
    from mlguard.values import Verdict

__all__ = ["wrap"]

F = TypeVar("F", bound=Callable[..., Any])
_Arguments: TypeAlias = tuple[tuple[Any, ...], dict[str, Any]]


def wrap(
    function: F,
    *,
    latency: Latency | None = None,
    errors: Errors | None = None,
    profile: Rows | None = None,
    features: Callable[..., Mapping[str, Any] | None] | None = None,
    check: Check | None = None,
    on_breach: Literal["reject"] | Callable[[Verdict], object] | None = None,
    every: float | timedelta = 1.0,
    key: Callable[..., str] | None = None,
    classify: Classify | None = None,
    observer: Observer | None = None,
    on_error: OnError = "open",
    sinks: Sequence[Sink] = (),
    clock: Clock = time.perf_counter,
    guards: Guards | None = None,
) -> F:
    """Put a guard around a callable: a function, a method, a coroutine function or a generator.

    The result is of the same kind, with the same signature. Its attribute `guard` counts `crashes`
    and `rejected`. Safe for any number of threads and tasks, as its meters and checks are.

    A call ends when it returns or raises; a generator with its last item, and each item is one of
    a `StreamLatency`. A generator begins when it is first asked for an item. One that is closed
    before its end and a task that is cancelled were cut by the caller, like a client that left.

    Args:
        function: What is guarded.
        latency: As for `mlguard.integrations.asgi.GuardMiddleware`, and so the others.
        errors: Likewise.
        profile: Likewise; it counts the row that `features` gives.
        features: Given the arguments of the call, gives its row, or None. Asked after the call, and
            needed with `profile`; with `guards`, it gives the rows of their drift.
        check: Asked before each call where `on_breach` is given.
        on_breach: None, "reject", which raises `GuardBreached`, or a callable.
        every: The check is evaluated at most once in this time, in seconds or as a timedelta.
        key: Given the arguments of the call, gives its key for `Keyed` families.
        classify: Given None and the exception of the call, or None; by default an exception is bad.
        observer: As for the middleware; in place of a scope it is given `(args, kwargs)`.
        on_error: "open", or "closed": `GuardUnknown` is raised for `every` after a crash.
        sinks: Are told of crashes of the guard.
        clock: Of elapsed seconds.
        guards: The `Guards` of a requirements document, in place of `latency`, `errors` and
            `profile`; their reloads are followed. Their cap on cost is not asked: `metered` is.

    Raises:
        ConfigurationError: An argument is not of its kind or range.

    Examples:
        >>> from mlguard import LatencyBudget
        >>> latency = LatencyBudget({0.99: 0.050})
        >>> def predict(row):
        ...     return 0.74
        >>> predict = wrap(predict, latency=latency)
        >>> predict({"distance": 1400}), latency.totals["requests"]
        (0.74, 1)
    """
    if on_breach is not None and on_breach != "reject" and not callable(on_breach):
        raise refusal("on_breach", on_breach, 'None, "reject" or a callable')
    if guards is None and (profile is None) is not (features is None):
        raise refusal("features", features, "given exactly when profile is")
    edge = Edge(
        function,
        latency=latency,
        errors=errors,
        profile=profile,
        check=check,
        on_breach=on_breach,
        every=every,
        key=None if key is None else _spread(key),
        classify=classify,
        observer=observer,
        on_error=on_error,
        sinks=sinks,
        clock=clock,
        row_of=_spread(features or _no_row),
        guards=guards,
    )
    wrapped: Any = functools.wraps(function)(_kind_of(function)(edge))
    wrapped.guard = edge
    return cast("F", wrapped)


def _kind_of(function: Callable[..., Any]) -> Callable[[Edge[Any]], Callable[..., Any]]:
    inside = getattr(function, "__call__", None)  # noqa: B004 -- of an object that is callable
    for is_kind, kind in _KINDS:
        if is_kind(function) or is_kind(inside):
            return kind
    return _call


def _no_row(*_: Any, **__: Any) -> None:
    """Give no row."""


def _spread(function: Callable[..., Any]) -> Callable[[_Arguments], Any]:
    return lambda call: function(*call[0], **call[1])


def _admitted(edge: Edge[Any], call: _Arguments) -> Exchange:
    started = edge.clock()
    if started >= edge.due:
        edge.ask(started)
    verdict = edge.acting
    if verdict is not None and edge.refuses(verdict):
        raise (GuardBreached if verdict.severity is Severity.BREACH else GuardUnknown)(verdict)
    return Exchange(edge, call, started)


def _call(edge: Edge[Any]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        exchange = _admitted(edge, (args, kwargs))
        try:
            result = edge.app(*args, **kwargs)
        except BaseException as error:
            exchange.failed(error)
            raise
        exchange.finished()
        return result

    return call


def _coroutine(edge: Edge[Any]) -> Callable[..., Any]:
    async def call(*args: Any, **kwargs: Any) -> Any:
        exchange = _admitted(edge, (args, kwargs))
        try:
            result = await edge.app(*args, **kwargs)
        except BaseException as error:
            exchange.failed(error)
            raise
        exchange.finished()
        return result

    return call


def _generator(edge: Edge[Any]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        exchange = _admitted(edge, (args, kwargs))
        try:
            result = yield from _Items(edge.app(*args, **kwargs), exchange)
        except BaseException as error:
            exchange.failed(error)
            raise
        exchange.finished()
        return result

    return call


def _async_generator(edge: Edge[Any]) -> Callable[..., Any]:
    async def call(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        exchange = _admitted(edge, (args, kwargs))
        try:
            inner = edge.app(*args, **kwargs)
            step = inner.__anext__()
            try:
                while True:
                    try:
                        item = await step
                    except StopAsyncIteration:
                        break
                    exchange.item()
                    try:
                        sent = yield item
                    except GeneratorExit:
                        raise
                    except BaseException as thrown:  # noqa: BLE001 -- it is the generator's
                        step = inner.athrow(thrown)
                    else:
                        step = inner.asend(sent)
            finally:
                await inner.aclose()
        except BaseException as error:
            exchange.failed(error)
            raise
        exchange.finished()

    return call


class _Items:
    """A generator whose items are noted. Not thread-safe: it follows one call."""

    __slots__ = ("_exchange", "_inner", "close")

    def __init__(self, inner: Generator[Any, Any, Any], exchange: Exchange) -> None:
        self._inner = inner
        self._exchange = exchange
        self.close = inner.close

    def __iter__(self) -> _Items:
        return self

    def __next__(self) -> Any:
        return self._noted(next(self._inner))

    def send(self, value: Any) -> Any:
        return self._noted(self._inner.send(value))

    def throw(self, error: BaseException) -> Any:
        return self._noted(self._inner.throw(error))

    def _noted(self, item: Any) -> Any:
        self._exchange.item()
        return item


_KINDS: tuple[tuple[Callable[[Any], bool], Callable[[Edge[Any]], Callable[..., Any]]], ...] = (
    (inspect.isasyncgenfunction, _async_generator),
    (inspect.isgeneratorfunction, _generator),
    (inspect.iscoroutinefunction, _coroutine),
)
