"""What requests see of the meters at the edge while a reload swaps them."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from mlguard import (
    Guards,
    LatencyBudget,
    Requirements,
    Severity,
    StreamLatency,
    Verdict,
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


class Noticing:
    """A lock that tells when somebody must wait for it."""

    def __init__(self, noticed: threading.Event) -> None:
        self._lock, self._noticed = threading.RLock(), noticed

    def __enter__(self) -> None:
        if not self._lock.acquire(blocking=False):
            self._noticed.set()
            self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


class Documents:
    """Stands in for `Guards`: a reload that another thread overtakes before it is followed."""

    drift = errors = None

    def __init__(self) -> None:
        self.latency: Any = LatencyBudget({0.99: 0.050})
        self.follower: Callable[[Any], object] = lambda _: None
        self.when_read: Callable[[], object] = lambda: None

    def follow(self, follower: Callable[[Any], object]) -> None:
        self.follower = follower

    @property
    def cost(self) -> None:
        """The last of what a follower reads."""
        self.when_read()

    def reload(self, latency: Any = None) -> None:
        self.latency = latency
        self.follower(self)


class Judged:
    """A meter that judges by a check of the test's own."""

    def __init__(self, check: Callable[[], Verdict]) -> None:
        self._check = check

    def observe(self, _: float) -> None:
        """Count nothing."""

    def __call__(self) -> Verdict:
        return self._check()


def test_of_racing_reloads_the_last_one_stays() -> None:
    documents: Any = Documents()
    ask, guard = of_wsgi(lambda: None, guards=documents)
    waits_or_is_over = threading.Event()
    guard._lock = Noticing(waits_or_is_over)
    newest = LatencyBudget({0.99: 0.070})

    def overtake() -> None:
        documents.reload(newest)
        waits_or_is_over.set()

    thread = threading.Thread(target=overtake)

    def once() -> None:
        documents.when_read = lambda: None
        thread.start()
        waits_or_is_over.wait()

    documents.when_read = once
    documents.reload(LatencyBudget({0.99: 0.060}))
    thread.join()
    ask()
    assert guard.latency is newest
    assert newest.totals["requests"] == 1


def test_a_reload_while_the_middleware_is_made_is_followed() -> None:
    class Quick(Documents):
        def follow(self, follower: Callable[[Any], object]) -> None:
            self.latency = LatencyBudget({0.99: 0.060})
            super().follow(follower)

    documents: Any = Quick()
    guard = of_wsgi(lambda: None, guards=documents)[1]
    assert guard.latency is documents.latency


def test_a_verdict_of_the_old_meters_refuses_nobody_after_a_reload() -> None:
    documents: Any = Documents()

    def breach() -> Verdict:
        documents.reload()
        return Verdict("latency", Severity.BREACH, "too slow")

    documents.latency = Judged(breach)
    clock = ManualClock(1.0)
    ask, guard = of_wsgi(
        lambda: None, guards=documents, on_breach="reject", every=60.0, clock=clock
    )
    ask()
    ask()
    assert (guard.rejected, guard.crashes) == (0, 0)
