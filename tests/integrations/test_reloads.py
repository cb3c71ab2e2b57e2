"""What requests see of the meters at the edge while a reload swaps them."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from mlguard import (
    Guards,
    LatencyBudget,
    Requirements,
    StreamLatency,
)
from mlguard.integrations import asgi, edge, wsgi
from mlguard.integrations.wrap import wrap
from mlguard.testing import ManualClock

PLAIN = {"latency": {"p99": "50 ms"}, "errors": {"slo": "99 %"}}
STREAM = {"latency": {"first_token": {"p95": "800 ms"}, "total": {"p95": "9 s"}}}


def document(**sections: Any) -> Requirements:
    return Requirements.model_validate({"version": 1, "service": "fraud", **sections})


def build(**sections: Any) -> Guards:
    return Guards.build(document(**sections), clock=ManualClock(1_900_022_400.0))


def of_asgi(between: Callable[[], object], **options: Any) -> tuple[Callable[[], object], Any]:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        del scope, receive
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"0.", "more_body": True})
        between()
        await send({"type": "http.response.body", "body": b"74"})

    async def send(message: Any) -> None:
        del message

    guarded: Any = asgi.GuardMiddleware(app, **options)
    return lambda: asyncio.run(guarded({"type": "http", "method": "GET"}, None, send)), guarded


def of_wsgi(between: Callable[[], object], **options: Any) -> tuple[Callable[[], object], Any]:
    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        del environ
        start_response("200 OK", [])
        yield b"0."
        between()
        yield b"74"

    guarded = wsgi.GuardMiddleware(app, **options)
    return lambda: list(guarded({"REQUEST_METHOD": "GET"}, lambda *_: None)), guarded


def of_calls(between: Callable[[], object], **options: Any) -> tuple[Callable[[], object], Any]:
    def app() -> Iterator[float]:
        yield 0.7
        between()
        yield 0.04

    guarded: Any = wrap(app, **options)
    return lambda: list(guarded()), guarded.guard


every_edge = pytest.mark.parametrize("of", [of_asgi, of_wsgi, of_calls])


def counted(*latencies: Any) -> list[dict[str, int]]:
    return [
        {name: number for name, number in each.totals.items() if number}
        for each in latencies
        if each is not None
    ]


@every_edge
@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (PLAIN, STREAM, {"requests": 1}),
        (STREAM, PLAIN, {"first requests": 1, "total requests": 1}),
        (STREAM, {}, {"first requests": 1, "total requests": 1}),
    ],
)
def test_a_request_under_way_is_counted_whole_in_the_meters_it_began_with(
    of: Any, before: Any, after: Any, expected: dict[str, int]
) -> None:
    guards = build(**before)
    began_with = guards.latency
    ask, guard = of(lambda: guards.reload(document(**after)), guards=guards, on_error="closed")
    ask()
    assert counted(began_with) == [expected]
    assert not any(counted(guards.latency))
    assert guard.crashes == 0


@every_edge
@pytest.mark.parametrize(("before", "after"), [(PLAIN, STREAM), (STREAM, PLAIN)])
def test_requests_at_every_line_of_a_reload_are_counted_once(
    of: Any, before: Any, after: Any
) -> None:
    guards = build(**before)
    old, asked = guards.latency, 0
    ask, guard = of(lambda: None, guards=guards, on_error="closed")

    def trace(frame: Any, event: str, _: Any) -> Any:
        nonlocal asked
        if frame.f_code.co_filename != edge.__file__:
            return None
        if event == "line":
            asked += 1
            ask()
        return trace

    usual = sys.gettrace()
    sys.settrace(trace)
    try:
        guards.reload(document(**after))
    finally:
        sys.settrace(usual)
    both = [each for each in (old, guards.latency) if each is not None]
    plain = next(each for each in both if isinstance(each, LatencyBudget))
    stream = next(each for each in both if isinstance(each, StreamLatency))
    assert asked > 5
    assert (guard.crashes, guard.rejected) == (0, 0)
    assert plain.totals["requests"] + stream.totals["total requests"] == asked
    assert plain.totals["requests"] > 0
    assert stream.totals["first requests"] == stream.totals["total requests"] > 0
