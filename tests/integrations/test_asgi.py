"""The guard in ASGI, message by message: what is timed, what is counted, what passes untouched."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlguard import ErrorBudget, LatencyBudget, StreamLatency
from mlguard.integrations.asgi import GuardMiddleware
from mlguard.testing import ManualClock, ScriptedCheck

START = {"type": "http.response.start", "status": 200, "headers": [(b"x", b"y")]}
App = Callable[[Any, Any, Any], Coroutine[Any, Any, None]]


class Recorder:
    """Keeps what it was shown."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def observe(self, value: Any) -> None:
        self.seen.append(value)


class Client:
    """What the server does for one client: takes messages, and goes away when it is told to."""

    def __init__(self, *, leaves_after: int | None = None, raises: bool = False) -> None:
        self.messages: list[Any] = []
        self.leaves_after = leaves_after
        self.raises = raises

    @property
    def gone(self) -> bool:
        return self.leaves_after is not None and len(self.messages) >= self.leaves_after

    async def send(self, message: Any) -> None:
        if self.gone and self.raises:
            raise OSError("the client is gone")  # as of version 2.4 of the specification
        self.messages.append(message)

    async def receive(self) -> Any:
        return {"type": "http.disconnect" if self.gone else "http.request"}


class Guarded:
    """A guard with recorders and a clock in hand."""

    def __init__(self, app: App, **options: Any) -> None:
        self.clock: ManualClock = options.pop("clock", None) or ManualClock(100.0)
        self.latency, self.errors = Recorder(), Recorder()
        options = {"latency": self.latency, "errors": self.errors, **options}
        self.guard = GuardMiddleware(app, clock=self.clock, **options)

    def ask(self, client: Client | None = None) -> Client:
        client = client or Client()
        scope = {"type": "http", "method": "GET"}
        asyncio.run(self.guard(scope, client.receive, client.send))
        return client

    @property
    def seen(self) -> tuple[list[float], list[bool]]:
        return self.latency.seen, self.errors.seen


def body(content: bytes, *, more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": content, "more_body": more}


def answering(clock: ManualClock, *messages: Any) -> App:
    """Make an app that takes a second for each message."""

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        for message in messages:
            clock.advance(1.0)
            await send(message)

    return app


# ---------------------------------------------------------------- the time and the outcome


@pytest.mark.parametrize(
    "last",
    [
        body(b"x"),
        {"type": "http.response.body", "body": b"x"},
        {"type": "http.response.body"},
        {"type": "http.response.pathsend", "path": "/tmp/x"},  # noqa: S108 -- nobody opens it
        {"type": "http.response.zerocopysend", "file": 3},
    ],
)
def test_a_request_is_timed_until_its_last_chunk_is_handed_over(last: Any) -> None:
    clock = ManualClock()
    more = {"type": "http.response.debug", "info": {}}
    guarded = Guarded(answering(clock, START, more, body(b"a", more=True), last), clock=clock)
    guarded.ask()
    assert guarded.seen == ([4.0], [True])


def test_what_comes_after_the_answer_is_not_timed_and_cannot_make_it_bad() -> None:
    clock = ManualClock()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await answering(clock, START, body(b"x"))(scope, receive, send)
        await send({"type": "http.response.trailers", "headers": []})
        assert guarded.seen == ([2.0], [True])  # also when what follows never ends
        clock.advance(60.0)
        raise RuntimeError("in the background")

    guarded = Guarded(app, clock=clock)
    with pytest.raises(RuntimeError, match="background"):
        guarded.ask()
    assert guarded.seen == ([2.0], [True])


def test_a_slow_client_is_not_a_slow_service() -> None:
    clock = ManualClock()

    class Slow(Client):
        async def send(self, message: Any) -> None:
            await super().send(message)
            clock.advance(30.0)

    guarded = Guarded(answering(clock, body(b"x")), clock=clock)
    guarded.ask(Slow())
    assert guarded.seen[0] == [1.0]


@pytest.mark.parametrize(
    ("status", "good"), [(200, True), (404, True), (499, True), (500, False), (504, False)]
)
def test_a_status_from_500_on_is_bad(status: int, good: bool) -> None:  # noqa: FBT001 -- a table
    guarded = Guarded(answering(ManualClock(), {**START, "status": status}, body(b"x")))
    guarded.ask()
    assert guarded.errors.seen == [good]


@pytest.mark.parametrize("sent", [[], [START], [START, body(b"x", more=True)]])
@pytest.mark.parametrize("error", [ValueError("x"), TimeoutError(), OSError("no database"), None])
def test_an_exception_before_the_end_is_bad_and_timed_and_goes_on(
    sent: list[Any], error: Exception | None
) -> None:
    clock = ManualClock()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await answering(clock, *sent)(scope, receive, send)
        clock.advance(0.5)
        if error is not None:
            raise error

    guarded = Guarded(app, clock=clock)
    if error is None:  # it just stops, and the client never gets the rest
        guarded.ask()
    else:
        with pytest.raises(type(error)) as caught:
            guarded.ask()
        assert caught.value is error
    assert guarded.seen == ([len(sent) + 0.5], [False])


def test_what_counts_as_good_is_the_users_choice() -> None:
    asked: list[Any] = []

    def classify(status: int | None, error: BaseException | None) -> bool | None:
        asked.append((status, error))
        return {418: None, 404: False}.get(status or 0, True)

    for status in (418, 404, 500):
        guarded = Guarded(
            answering(ManualClock(), {**START, "status": status}, body(b"x")), classify=classify
        )
        guarded.ask()
        assert guarded.errors.seen == {418: [], 404: [False], 500: [True]}[status]
    assert asked == [(418, None), (404, None), (500, None)]


# ---------------------------------------------------------------- clients that leave


@pytest.mark.parametrize("raises", [True, False])
@pytest.mark.parametrize("sent", [1, 2])
def test_a_client_that_leaves_makes_it_neither_good_nor_bad(sent: int, raises: bool) -> None:  # noqa: FBT001 -- a table
    clock = ManualClock()

    async def app(_scope: Any, receive: Any, send: Any) -> None:
        for message in (START, body(b"a", more=True), body(b"b", more=True), body(b"")):
            clock.advance(1.0)
            if not raises and (await receive())["type"] == "http.disconnect":
                return  # as Starlette does
            await send(message)

    guarded = Guarded(app, clock=clock)
    client = Client(leaves_after=sent, raises=raises)
    if raises:
        with pytest.raises(OSError, match="client"):
            guarded.ask(client)
    else:
        guarded.ask(client)
    assert len(client.messages) == sent
    assert guarded.seen == ([], [])  # nobody knows how long it would have taken


def test_a_client_that_leaves_once_all_is_handed_over_changes_nothing() -> None:
    clock = ManualClock()
    guarded = Guarded(answering(clock, START, body(b"a", more=True), body(b"")), clock=clock)
    with pytest.raises(OSError, match="client"):
        guarded.ask(Client(leaves_after=2, raises=True))
    assert guarded.seen == ([3.0], [True])


def test_a_client_that_leaves_while_it_waits_waited_that_long() -> None:
    clock = ManualClock()

    async def app(_scope: Any, receive: Any, _send: Any) -> None:
        clock.advance(30.0)
        await receive()
        raise ConnectionError("the client is gone")

    guarded = Guarded(app, clock=clock)
    with pytest.raises(ConnectionError):
        guarded.ask(Client(leaves_after=0))
    assert guarded.seen == ([30.0], [])


def test_a_client_that_left_before_the_answer_began_waited_until_it_left() -> None:
    clock = ManualClock()

    async def app(_scope: Any, receive: Any, send: Any) -> None:
        clock.advance(30.0)
        await receive()
        clock.advance(5.0)  # it looks up, and answers nobody
        for message in ({**START, "status": 499}, body(b"gone")):
            await send(message)

    guarded = Guarded(app, clock=clock)
    guarded.ask(Client(leaves_after=0))
    assert guarded.seen == ([30.0], [])


@pytest.mark.parametrize("before", [0, 2])
def test_a_cancelled_request_is_like_a_client_that_left(before: int) -> None:
    clock, reached = ManualClock(), asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await answering(clock, *[START, body(b"a", more=True)][:before])(scope, receive, send)
        clock.advance(5.0)
        reached.set()
        await asyncio.Event().wait()

    guarded, client = Guarded(app, clock=clock), Client()

    async def cancel() -> None:
        task = asyncio.create_task(guarded.guard({"type": "http"}, client.receive, client.send))
        await reached.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())
    assert guarded.seen == ([] if before else [5.0], [])


def test_a_timeout_inside_is_bad() -> None:
    async def app(_scope: Any, _receive: Any, _send: Any) -> None:
        async with asyncio.timeout(0):
            await asyncio.Event().wait()

    guarded = Guarded(app)
    with pytest.raises(TimeoutError):
        guarded.ask()
    assert guarded.errors.seen == [False]


# ---------------------------------------------------------------- streams


def test_each_chunk_of_a_stream_is_an_item() -> None:
    clock = ManualClock(1e6)
    latency = StreamLatency(first={0.5: 9.0}, gap={0.5: 9.0}, total={0.5: 9.0}, clock=clock)
    chunks = [body(b"a", more=True), body(b"b", more=True), body(b"", more=True), body(b"")]
    guarded = Guarded(answering(clock, START, *chunks), latency=latency, clock=clock)
    guarded.ask()
    assert latency.totals["first requests"] == latency.totals["total requests"] == 1
    assert latency.totals["gap requests"] == 1  # an empty chunk is nothing to read
    found = [latency[part].quantile(0.5) for part in ("first", "gap", "total")]
    assert found == pytest.approx([2.0, 1.0, 5.0], rel=0.01)
    assert guarded.errors.seen == [True]


@pytest.mark.parametrize("how", ["leaves", "crashes"])
def test_a_stream_that_is_cut_counts_for_what_came(how: str) -> None:
    clock = ManualClock(1e6)
    latency = StreamLatency(first={0.5: 9.0}, gap={0.5: 9.0}, total={0.5: 9.0}, clock=clock)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        messages = [START, body(b"a", more=True), body(b"b", more=True)]
        await answering(clock, *messages)(scope, receive, send)
        if how == "crashes":
            raise ValueError(how)
        await send(body(b"c", more=True))

    guarded = Guarded(app, latency=latency, clock=clock)
    with pytest.raises((ValueError, OSError)):
        guarded.ask(Client(leaves_after=3, raises=True))
    assert latency.totals["first requests"] == 1
    assert latency.totals["total requests"] == 0
    assert guarded.errors.seen == ([] if how == "leaves" else [False])


def test_a_stream_latency_may_come_with_a_clock_of_its_own() -> None:
    clock, unix = ManualClock(5.0), ManualClock(1.7e9)
    latency = StreamLatency(first={0.5: 9.0}, clock=unix)

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        clock.advance(3.0)
        unix.advance(3.0)
        await send(START)
        await send(body(b"x"))

    Guarded(app, latency=latency, clock=clock).ask()
    assert latency["first"].quantile(0.5) == pytest.approx(3.0, rel=0.01)


# ---------------------------------------------------------------- what passes untouched


@pytest.mark.parametrize("kind", ["lifespan", "websocket", "something new"])
def test_what_is_no_request_passes_untouched(kind: str) -> None:
    passed: list[Any] = []

    async def app(*given: Any) -> None:
        passed.extend(given)

    guarded = Guarded(app, check=ScriptedCheck("BREACH"), on_breach="reject")
    scope: Any = {"type": kind}
    client = Client()
    given = (scope, client.receive, client.send)
    asyncio.run(guarded.guard(*given))
    assert all(one is other for one, other in zip(passed, given, strict=True))
    assert guarded.seen == ([], [])


starts = st.builds(
    lambda status, headers: {"type": "http.response.start", "status": status, "headers": headers},
    st.sampled_from([200, 404, 500]),
    st.lists(st.tuples(st.binary(max_size=3), st.binary(max_size=3)), max_size=2),
)
bodies = st.builds(
    lambda **given: {"type": "http.response.body"} | {k: v for k, v in given.items() if v != "no"},
    body=st.binary(max_size=3) | st.just("no"),
    more_body=st.booleans() | st.just("no"),
)
others = st.sampled_from([{"type": "http.response.trailers"}, {"type": "http.response.push"}])
ends = st.sampled_from([None, ValueError, TimeoutError, asyncio.CancelledError, KeyError])


@given(
    messages=st.lists(starts | bodies | others, max_size=6),
    end=ends,
    leaves_after=st.none() | st.integers(0, 5),
    raises=st.booleans(),
    stream=st.booleans(),
)
def test_the_client_sees_the_same_bytes_and_each_request_is_observed_at_most_once(
    messages: list[Any],
    end: type[BaseException] | None,
    leaves_after: int | None,
    raises: bool,  # noqa: FBT001 -- given by name
    stream: bool,  # noqa: FBT001 -- given by name
) -> None:
    async def app(_scope: Any, receive: Any, send: Any) -> None:
        for message in messages:
            await receive()
            await send(message)
        if end is not None:
            raise end

    def run(asked: Any) -> tuple[list[Any], str | None]:
        client = Client(leaves_after=leaves_after, raises=raises)
        try:
            asyncio.run(asked({"type": "http"}, client.receive, client.send))
        except BaseException as error:  # noqa: BLE001 -- whatever it is, both must raise it
            return client.messages, repr(error)
        return client.messages, None

    latency = StreamLatency(total={0.5: 9.0}) if stream else LatencyBudget({0.5: 9.0})
    errors = ErrorBudget(slo=0.999)
    guarded = GuardMiddleware(app, latency=latency, errors=errors, on_breach="reject")
    assert run(guarded) == run(app)
    assert guarded.crashes == 0
    assert sum(errors.totals.values()) <= 1
    assert latency.totals["total requests" if stream else "requests"] <= 1
    whole = [m for m in messages if m["type"].endswith("body") and not m.get("more_body")]
    if whole and leaves_after is None and "start" in messages[0]["type"]:
        assert sum(errors.totals.values()) == 1


def test_many_requests_at_once_are_each_counted() -> None:
    latency, errors = LatencyBudget({0.5: 1.0}), ErrorBudget(slo=0.999)

    async def app(scope: Any, _receive: Any, send: Any) -> None:
        await asyncio.sleep(0)
        await send({**START, "status": 500 if scope["n"] % 4 == 0 else 200})
        for _ in range(scope["n"] % 3):
            await asyncio.sleep(0)
            await send(body(b"x", more=True))
        await send(body(b"y"))

    guarded = GuardMiddleware(app, latency=latency, errors=errors)

    async def many() -> None:
        clients = [Client() for _ in range(400)]
        await asyncio.gather(
            *(
                guarded({"type": "http", "n": n}, client.receive, client.send)
                for n, client in enumerate(clients)
            )
        )

    asyncio.run(many())
    assert latency.totals["requests"] == 400
    assert errors.totals == {"good": 300, "bad": 100, "invalid": 0}
