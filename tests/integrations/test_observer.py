"""What an observer at the edge sees: each request once, and what a detector makes of them."""

from __future__ import annotations

import asyncio
import math
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any

import numpy as np
import pytest

from mlguard import ConfigurationError, ErrorBudget, LatencyBudget, Severity, StreamLatency
from mlguard.drift.streams import ScanGLR, Streams
from mlguard.integrations import asgi, wsgi
from mlguard.integrations.wrap import wrap
from mlguard.testing import ManualClock

Seen = list[tuple[float | None, bool | None]]


def served(status: int, seconds: float, **options: Any) -> tuple[Seen, asgi.GuardMiddleware]:
    """Serve one request that takes so long."""
    clock, seen = ManualClock(100.0), Seen()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        del receive
        scope["mlguard.features"] = {"score": 0.7}
        clock.advance(seconds)
        if status == 0:
            raise TimeoutError
        await send({"type": "http.response.start", "status": status})
        clock.advance(1.0)
        await send({"type": "http.response.body", "body": b"0.7"})

    async def send(message: Any) -> None:
        if options.get("gone") == message["type"]:
            raise OSError("the client is gone")

    def observe(took: float | None, good: bool | None, scope: Any) -> None:  # noqa: FBT001
        assert scope["mlguard.features"] == {"score": 0.7}
        seen.append((took, good))

    more = {key: value for key, value in options.items() if key != "gone"}
    guard = asgi.GuardMiddleware(app, **{"clock": clock, "observer": observe, **more})
    with suppress(OSError):  # TimeoutError is one
        asyncio.run(guard({"type": "http", "method": "GET"}, None, send))  # type: ignore[arg-type]
    return seen, guard


@pytest.mark.parametrize(
    ("status", "gone", "expected"),
    [
        (200, None, (3.0, True)),
        (500, None, (3.0, False)),
        (0, None, (2.0, False)),
        (200, "http.response.start", (2.0, None)),
        (200, "http.response.body", (3.0, True)),  # the last chunk was handed over
    ],
)
def test_each_request_is_seen_once(status: int, gone: str | None, expected: Any) -> None:
    more = {} if gone is None else {"gone": gone}
    assert served(status, 2.0, **more)[0] == [expected]


@pytest.mark.parametrize("status", [200, 500, 0])
def test_it_sees_what_the_meters_count(status: int) -> None:
    latency, errors = LatencyBudget({0.99: 1.0}), ErrorBudget(slo=0.99)
    [(took, good)], _ = served(status, 2.0, latency=latency, errors=errors)
    assert took == pytest.approx(latency.quantile(0.5), rel=0.05)
    assert errors.totals == {"good": int(good is True), "bad": int(good is False), "invalid": 0}


def test_it_sees_requests_of_a_streamed_answer_too() -> None:
    stream = StreamLatency(first={0.9: 1.0}, clock=ManualClock(1.0))
    assert served(200, 2.0, latency=stream)[0] == [(3.0, True)]


def test_what_is_not_counted_is_neither_good_nor_bad() -> None:
    assert served(200, 2.0, classify=lambda *_: None)[0] == [(3.0, None)]


def test_a_crash_of_the_observer_is_the_guards_own() -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("broken")

    errors = ErrorBudget(slo=0.99)
    assert served(200, 2.0, observer=broken, errors=errors)[1].crashes == 1
    assert errors.totals["good"] == 1


def test_what_the_guard_rejects_is_not_seen() -> None:
    breach = ErrorBudget(slo=0.99)
    seen, guard = served(200, 2.0, errors=breach, check=found_a_change(), on_breach="reject")
    assert (seen, guard.rejected) == ([], 1)


def found_a_change() -> ScanGLR:
    detector = ScanGLR()
    detector.observe_many(np.random.default_rng(1).normal(np.repeat([0.0, 4.0], 200)))
    assert detector().severity is Severity.BREACH
    return detector


def test_wsgi_and_plain_calls_are_seen_alike() -> None:
    seen: list[Any] = []
    clock = ManualClock(5.0)

    def observe(took: float | None, good: bool | None, call: Any) -> None:  # noqa: FBT001
        seen.append((took, good, call))

    def app(environ: Any, start_response: Any) -> list[bytes]:
        del environ
        clock.advance(2.0)
        start_response("503 Service Unavailable", [])
        return [b""]

    environ = {"REQUEST_METHOD": "GET"}
    list(wsgi.GuardMiddleware(app, observer=observe, clock=clock)(environ, lambda *_: None))

    def predict(x: float, *, k: int = 1) -> float:
        clock.advance(1.0)
        return k / x

    guarded = wrap(predict, observer=observe, clock=clock)
    guarded(2.0, k=4)
    with pytest.raises(ZeroDivisionError):
        guarded(0.0)
    assert seen == [
        (2.0, False, environ),
        (1.0, True, ((2.0,), {"k": 4})),
        (1.0, False, ((0.0,), {})),
    ]


@pytest.mark.parametrize("bad", [3, "observe", asyncio.sleep])
def test_an_observer_is_a_plain_callable(bad: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^observer = "):
        wrap(abs, observer=bad)


def test_detectors_behind_it_take_every_request_of_many_threads() -> None:
    streams = Streams({"seconds": ScanGLR, "failed": partial(ScanGLR, "bernoulli")})

    def observe(took: float | None, good: bool | None, call: Any) -> None:  # noqa: FBT001
        del call
        failed = None if good is None else not good
        streams.observe(
            {"seconds": None if took is None else math.log(max(took, 1e-9)), "failed": failed}
        )

    def predict(x: int) -> float:
        return 1.0 / (x % 10)

    guarded = wrap(predict, observer=observe)

    def call(x: int) -> None:
        with suppress(ZeroDivisionError):
            guarded(x)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(call, range(4_000)))
    seconds, failed = streams.measure()
    assert (seconds.n, failed.n) == (4_000, 4_000)
    assert streams.detectors["failed"]._n <= 4_000  # type: ignore[attr-defined]
    assert guarded.guard.crashes == 0  # type: ignore[attr-defined]
