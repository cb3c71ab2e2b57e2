"""The guard around a callable of any kind."""

from __future__ import annotations

import asyncio
import functools
import inspect
import threading
from collections.abc import AsyncGenerator, Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlguard import (
    ConfigurationError,
    ErrorBudget,
    GuardBreached,
    Guards,
    GuardUnknown,
    Keyed,
    LatencyBudget,
    MemoryStore,
    Reference,
    Requirements,
    StreamLatency,
)
from mlguard.integrations.wrap import wrap
from mlguard.testing import ManualClock, RecordingSink, ScriptedCheck


class Recorder:
    """Keeps what it was shown."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def observe(self, value: Any) -> None:
        self.seen.append(value)


class Broken:
    """Crashes whatever it is shown."""

    def observe(self, _: Any) -> None:
        raise OSError("no disk")


clock = ManualClock(1e6)


@pytest.fixture(autouse=True)
def _same_start() -> None:
    clock.advance(1e6 - clock())


def call(row: dict[str, float], *, fail: bool = False) -> float:
    """Predict."""
    clock.advance(2.0)
    if fail:
        raise TimeoutError
    return row["x"]


async def coroutine(row: dict[str, float], *, fail: bool = False) -> float:
    """Predict."""
    await asyncio.sleep(0)
    return call(row, fail=fail)


def generator(row: dict[str, float], *, fail: bool = False) -> Generator[float, Any, str]:
    """Predict."""
    yield call(row)
    yield call(row, fail=fail)
    return "done"


async def async_generator(row: dict[str, float], *, fail: bool = False) -> AsyncGenerator[float]:
    """Predict."""
    yield call(row)
    await asyncio.sleep(0)
    yield call(row, fail=fail)


KINDS: list[Callable[..., Any]] = [call, coroutine, generator, async_generator]
PREDICATES: list[Callable[[Any], bool]] = [
    inspect.isfunction,
    inspect.iscoroutinefunction,
    inspect.isgeneratorfunction,
    inspect.isasyncgenfunction,
]
every_kind = pytest.mark.parametrize("function", KINDS)


def run(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call a callable of any kind to its end."""
    result = function(*args, **kwargs)
    if inspect.isgenerator(result):
        return list(result)
    if inspect.isasyncgen(result):

        async def collect() -> list[Any]:
            return [item async for item in result]

        return asyncio.run(collect())
    return asyncio.run(result) if inspect.iscoroutine(result) else result


ROW = {"x": 0.74}
RESULTS = {"call": 0.74, "coroutine": 0.74, "generator": [0.74] * 2, "async_generator": [0.74] * 2}


@every_kind
def test_it_stays_what_it_is(function: Any) -> None:
    wrapped = wrap(function, latency=Recorder())
    assert [is_kind(wrapped) for is_kind in PREDICATES] == [
        is_kind(function) for is_kind in PREDICATES
    ]
    assert inspect.signature(wrapped) == inspect.signature(function)
    assert (wrapped.__name__, wrapped.__doc__) == (function.__name__, "Predict.")
    assert wrapped.__wrapped__ is function


@every_kind
def test_a_call_is_timed_and_counted(function: Any) -> None:
    latency, errors = Recorder(), Recorder()
    wrapped = wrap(function, latency=latency, errors=errors, clock=clock)
    assert run(wrapped, ROW) == RESULTS[function.__name__]
    with pytest.raises(TimeoutError):
        run(wrapped, ROW, fail=True)
    seconds = 4.0 if "generator" in function.__name__ else 2.0
    assert latency.seen == [seconds, seconds]
    assert errors.seen == [True, False]


@every_kind
def test_a_breach_stops_the_call(function: Any) -> None:
    errors = Recorder()
    wrapped = wrap(function, errors=errors, check=ScriptedCheck("BREACH"), on_breach="reject")
    start = clock()
    with pytest.raises(GuardBreached) as caught:
        run(wrapped, ROW)
    assert caught.value.verdict.name == "scripted"
    assert (clock(), errors.seen, wrapped.guard.rejected) == (start, [], 1)


@every_kind
def test_a_breach_can_call_a_function_and_unknown_stops_nothing(function: Any) -> None:
    told: list[Any] = []
    wrapped = wrap(function, check=ScriptedCheck("BREACH"), on_breach=told.append)
    assert run(wrapped, ROW) == RESULTS[function.__name__]
    assert len(told) == 1
    wrapped = wrap(function, check=ScriptedCheck("UNKNOWN"), on_breach="reject")
    assert run(wrapped, ROW) == RESULTS[function.__name__]


@every_kind
def test_a_crash_of_the_guard_is_never_seen_by_the_caller(function: Any) -> None:
    sink = RecordingSink()
    wrapped = wrap(
        function,
        latency=Broken(),
        errors=Broken(),
        profile=Broken(),
        features=lambda row, **_: row,
        sinks=[sink],
    )
    assert run(wrapped, ROW) == RESULTS[function.__name__]
    assert (wrapped.guard.crashes, len(sink.decisions)) == (3, 3)


@every_kind
def test_failing_closed_raises_for_a_while(function: Any) -> None:
    wrapped = wrap(function, latency=Broken(), on_error="closed", every=10.0, clock=clock)
    assert run(wrapped, ROW) == RESULTS[function.__name__]
    with pytest.raises(GuardUnknown, match="crashed in latency"):
        run(wrapped, ROW)
    clock.advance(20.0)
    assert run(wrapped, ROW) == RESULTS[function.__name__]


@every_kind
def test_features_and_keys_come_from_the_arguments(function: Any) -> None:
    profile = Reference.fit({"x": [0.01 * n for n in range(100)]}).profile()
    errors = Keyed(lambda: ErrorBudget(slo=0.999))
    wrapped = wrap(
        function,
        errors=errors,
        key=lambda row, **_: f"x={row['x']}",
        profile=profile,
        features=lambda row, **_: row,
    )
    run(wrapped, ROW)
    assert (profile.rows, list(errors), wrapped.guard.crashes) == (1, ["x=0.74"], 0)


@pytest.mark.parametrize("function", [generator, async_generator])
def test_each_item_of_a_generator_is_one_of_the_stream(function: Any) -> None:
    latency = StreamLatency(first={0.5: 9.0}, gap={0.5: 9.0}, total={0.5: 9.0}, clock=clock)
    run(wrap(function, latency=latency, clock=clock), ROW)
    parts = ("first", "gap", "total")
    assert [latency[part].totals["requests"] for part in parts] == [1, 1, 1]
    found = [latency[part].quantile(0.5) for part in parts]
    assert found == pytest.approx([2.0, 2.0, 4.0], rel=0.01)


def test_a_generator_without_an_item_ends_when_it_ends() -> None:
    def empty() -> Generator[int]:
        clock.advance(3.0)
        yield from ()

    latency = Recorder()
    assert list(wrap(empty, latency=latency, clock=clock)()) == []
    assert latency.seen == [3.0]


def test_a_generator_that_is_left_half_way_was_cut() -> None:
    closed: list[bool] = []

    def endless() -> Generator[int]:
        try:
            while True:
                yield 1
        finally:
            closed.append(True)

    latency, errors = Recorder(), Recorder()
    stream = StreamLatency(first={0.5: 9.0}, total={0.5: 9.0})
    for meter in (latency, stream):
        items = wrap(endless, latency=meter, errors=errors)()
        assert next(items) == 1
        items.close()
    assert closed == [True, True]
    assert (latency.seen, errors.seen) == ([], [])
    assert stream.totals["first requests"] == 1
    assert stream.totals["total requests"] == 0


def test_an_async_generator_that_is_left_half_way_was_cut() -> None:
    closed: list[bool] = []

    async def endless() -> AsyncGenerator[int]:
        try:
            while True:
                yield 1
        finally:
            closed.append(True)

    latency, errors = Recorder(), Recorder()

    async def leave() -> None:
        items = wrap(endless, latency=latency, errors=errors)()
        assert await anext(items) == 1
        await items.aclose()
        assert closed == [True]

    asyncio.run(leave())
    assert (latency.seen, errors.seen) == ([], [])


def test_a_cancelled_call_waited_that_long_and_is_neither_good_nor_bad() -> None:
    latency, errors = Recorder(), Recorder()

    async def hang() -> None:
        clock.advance(5.0)
        await asyncio.Event().wait()

    async def items() -> AsyncGenerator[int]:
        await hang()
        yield 1

    async def cancelled(work: Any) -> None:
        task = asyncio.ensure_future(work)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    options: dict[str, Any] = {"latency": latency, "errors": errors, "clock": clock}

    async def first() -> int:
        return await anext(wrap(items, **options)())

    asyncio.run(cancelled(wrap(hang, **options)()))
    asyncio.run(cancelled(first()))
    assert (latency.seen, errors.seen) == ([5.0, 5.0], [])


def echo() -> Generator[Any, Any, str]:
    got: Any = "start"
    while got != "stop":
        try:
            got = yield got
        except KeyError as error:
            got = f"caught {error}"
    return "end"


async def async_echo() -> AsyncGenerator[Any, Any]:
    got: Any = "start"
    while got != "stop":
        try:
            got = yield got
        except KeyError as error:
            got = f"caught {error}"


steps = st.lists(st.sampled_from(["a", "b", "stop", KeyError("k"), ValueError("v")]), max_size=5)


@given(steps)
def test_what_is_sent_and_thrown_reaches_the_generator(script: list[Any]) -> None:
    def play(function: Any) -> list[Any]:
        items, heard = function(), []
        try:
            heard.append(next(items))
            for step in script:
                failing = isinstance(step, Exception)
                heard.append(items.throw(step) if failing else items.send(step))
        except (StopIteration, ValueError) as end:
            heard.append(repr(end))
        items.close()
        return heard

    async def play_async(function: Any) -> list[Any]:
        items, heard = function(), []
        try:
            heard.append(await anext(items))
            for step in script:
                failing = isinstance(step, Exception)
                heard.append(await (items.athrow(step) if failing else items.asend(step)))
        except (StopAsyncIteration, ValueError) as end:
            heard.append(repr(end))
        await items.aclose()
        return heard

    errors = ErrorBudget(slo=0.999)
    assert play(wrap(echo, errors=errors)) == play(echo)
    assert asyncio.run(play_async(wrap(async_echo, errors=errors))) == asyncio.run(
        play_async(async_echo)
    )
    assert sum(errors.totals.values()) <= 2


class Model:
    def __init__(self) -> None:
        self.scale = 2.0

    def predict(self, x: float) -> float:
        return self.scale * x

    async def __call__(self, x: float) -> float:
        return self.scale * x


def test_methods_and_objects_are_callables_too() -> None:
    errors = ErrorBudget(slo=0.999)
    model = Model()
    assert wrap(model.predict, errors=errors)(1.0) == 2.0
    served: Any = type("Served", (Model,), {"predict": wrap(Model.predict, errors=errors)})
    assert served().predict(1.0) == 2.0
    wrapped = wrap(model, errors=errors)
    assert inspect.iscoroutinefunction(wrapped)
    assert asyncio.run(wrapped(1.0)) == 2.0
    partly = wrap(functools.partial(coroutine, ROW), errors=errors)
    assert inspect.iscoroutinefunction(partly)
    assert asyncio.run(partly()) == 0.74
    assert wrap(len, errors=errors)("abc") == 3
    assert errors.totals["good"] == 5


def test_it_is_a_decorator_with_partial() -> None:
    latency = LatencyBudget({0.5: 9.0})

    @functools.partial(wrap, latency=latency)
    def predict(x: float) -> float:
        return x

    assert predict(0.5) == 0.5
    assert latency.totals["requests"] == 1


def test_many_threads_are_each_counted() -> None:
    errors = ErrorBudget(slo=0.999)
    wrapped = wrap(lambda n: 1 / n, errors=errors)
    with ThreadPoolExecutor(8) as threads:
        done = [threads.submit(wrapped, n % 4) for n in range(800)]
        failed = sum(each.exception() is not None for each in done)
    assert failed == 200
    assert errors.totals == {"good": 600, "bad": 200, "invalid": 0}


@pytest.mark.parametrize(
    ("parameter", "options"),
    [
        ("on_breach", {"on_breach": "header", "check": ScriptedCheck("OK")}),
        ("features", {"profile": Recorder()}),
        ("features", {"features": lambda row: row}),
        ("app", {"function": None}),
    ],
)
def test_a_bad_argument_is_named(parameter: str, options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=f"^{parameter} = "):
        wrap(**{"function": call, **options})


def test_a_generator_may_be_closed_while_its_thread_holds_the_locks() -> None:
    """As the garbage collector does it, in whatever thread and moment it comes."""
    tenants = Keyed(lambda: ErrorBudget(slo=0.99))

    def classify(_status: object, _exception: object) -> bool:
        raise ValueError("cannot tell")

    log: Any = wrap(lambda: None, errors=ErrorBudget(slo=0.99), classify=classify)

    def answer() -> Generator[int, None, None]:
        try:
            yield 1
        finally:
            tenants["acme"].observe(good=True)
            log()

    done = threading.Event()

    def close() -> None:
        stream = answer()
        next(stream)
        with tenants._lock, log.guard._lock:
            stream.close()
        done.set()

    threading.Thread(target=close, daemon=True).start()
    assert done.wait(20.0)
    assert tenants["acme"].totals["good"] == 1
    assert log.guard.crashes == 1


def document(**sections: Any) -> Requirements:
    return Requirements.model_validate({"version": 1, "service": "fraud", **sections})


def guards_of(wanted: Requirements) -> Guards:
    reference = Reference.fit({"x": [0.01 * n for n in range(100)]})
    return Guards.build(wanted, reference=reference, store=MemoryStore(), clock=clock)


@pytest.mark.parametrize("features", [None, lambda row, **_: row])
@every_kind
def test_it_takes_the_guards_of_a_document_and_follows_their_reloads(
    function: Any, features: Any
) -> None:
    wanted = document(
        latency={"p99": "50 ms"},
        errors={"slo": "99 %"},
        drift={},
        cost={"cap": "1 USD", "window": "day"},
    )
    guards: Any = guards_of(wanted)
    wrapped = wrap(function, guards=guards, features=features, clock=clock)
    run(wrapped, ROW)
    with pytest.raises(TimeoutError):
        run(wrapped, ROW, fail=True)
    assert guards.latency.totals["requests"] == 2
    assert guards.errors.totals == {"good": 1, "bad": 1, "invalid": 0}
    assert guards.drift.profile.rows == (0 if features is None else 2)
    guards.reload(document(latency={"p99": "60 ms", "window": "1 h"}))
    run(wrapped, ROW)
    assert guards.latency.totals["requests"] == 1
    guards.reload(document())
    run(wrapped, ROW)
    assert (wrapped.guard.latency, wrapped.guard.crashes) == (None, 0)


def test_it_rejects_by_the_guards_of_a_document() -> None:
    guards: Any = guards_of(document(latency={"p99": "50 ms"}))
    wrapped = wrap(call, guards=guards, on_breach="reject", clock=clock)
    guards.latency.observe_many([0.080] * 1_000)
    with pytest.raises(GuardBreached):
        wrapped(ROW)
    guards.reload(document(latency={"p99": "100 ms"}))
    assert wrapped(ROW) == ROW["x"]


def test_it_takes_guards_or_meters() -> None:
    guards = guards_of(document(latency={"p99": "50 ms"}))
    with pytest.raises(ConfigurationError, match="guards = "):
        wrap(call, guards=guards, latency=Recorder())
    with pytest.raises(ConfigurationError, match=r"guards = .*Guards\.build"):
        wrap(call, guards=guards.requirements)  # type: ignore[arg-type]
