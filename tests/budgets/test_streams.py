"""Streams of text: what counts for the first item, the gaps, the time per token and the whole."""

from __future__ import annotations

import asyncio
import copy
import json
import math
import pickle
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlguard import ConfigurationError, ErrorBudget, Severity, StreamLatency
from mlguard.testing import ManualClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Generator

START = 1_800_000_000.0
PARTS = ("first", "gap", "per_output_token", "total")
LIMIT = {0.5: 1.0}


def latency(*parts: str, clock: ManualClock | None = None, **more: Any) -> StreamLatency:
    limits: dict[str, Any] = dict.fromkeys(parts or PARTS, LIMIT)
    return StreamLatency(**limits, clock=clock or ManualClock(START), **more)


def seen(stream: StreamLatency) -> dict[str, list[float]]:
    """Give the latencies of each part, from the smallest, to within 1 %."""
    found = {}
    for name in PARTS:
        part = stream[name]
        n = part.totals["requests"]
        found[name] = [part.quantile(rank / n) for rank in range(1, n + 1)]
        assert part.totals["invalid"] == 0
    return found


def near(*values: float) -> list[Any]:
    return [pytest.approx(value, rel=0.01) for value in values]


def test_first_gaps_time_per_token_and_total() -> None:
    clock = ManualClock(START)
    streams = latency(clock=clock)
    with streams.start() as stream:
        for wait, tokens in ((0.5, 7), (0.1, 1), (0.2, 3), (0.3, 2)):
            clock.advance(wait)
            stream.item(tokens=tokens)
        clock.advance(1.0)
    assert seen(streams) == {
        "first": near(0.5),
        "gap": near(0.1, 0.2, 0.3),
        "per_output_token": near(0.6 / 6),  # after the first item: 1 + 3 + 2 tokens in 0.6 s
        "total": near(2.1),
    }


waits = st.lists(st.tuples(st.floats(0.01, 9.0), st.integers(0, 3)), max_size=6)


@given(waits, st.floats(0.01, 9.0), st.sampled_from(["end", "cut", "error"]))
def test_whatever_is_sent_is_timed_once(
    items: list[tuple[float, int]], last: float, how: str
) -> None:
    clock = ManualClock(START)
    streams = latency(clock=clock)
    stream = streams.start()
    stream.__enter__()
    for wait, tokens in items:
        clock.advance(wait)
        stream.item(tokens)
    clock.advance(last)
    if how == "cut":
        stream.cut()
    stream.__exit__(ValueError if how == "error" else None)
    rest = items[1:]
    tokens = sum(each for _, each in rest)
    ended = how == "end"
    assert seen(streams) == {
        "first": near(*(wait for wait, _ in items[:1])),
        "gap": near(*sorted(wait for wait, _ in rest)),
        "per_output_token": near(sum(wait for wait, _ in rest) / tokens)
        if ended and tokens
        else [],
        "total": near(sum(wait for wait, _ in items) + last) if ended else [],
    }


def test_a_stream_without_items_counts_for_the_total_only() -> None:
    clock = ManualClock(START)
    streams = latency(clock=clock)
    with streams.start():
        clock.advance(2.0)
    assert seen(streams) == {"first": [], "gap": [], "per_output_token": [], "total": near(2.0)}


def test_an_item_without_tokens_is_a_gap_but_no_output() -> None:
    clock = ManualClock(START)
    streams = latency(clock=clock)
    with streams.start() as stream:
        for _ in range(3):
            clock.advance(0.5)
            stream.item(tokens=0)
    found = seen(streams)
    assert (found["gap"], found["per_output_token"]) == (near(0.5, 0.5), [])


@pytest.mark.parametrize(
    "error", [ValueError(), KeyboardInterrupt(), GeneratorExit(), asyncio.CancelledError()]
)
def test_an_exception_cuts_the_stream_and_goes_on(error: BaseException) -> None:
    clock = ManualClock(START)
    streams = latency(clock=clock)

    def serve() -> None:
        with streams.start() as stream:
            clock.advance(0.5)
            stream.item()
            raise error

    with pytest.raises(type(error)):
        serve()
    assert seen(streams) == {"first": near(0.5), "gap": [], "per_output_token": [], "total": []}


def test_a_generator_that_the_client_leaves_is_cut() -> None:
    clock = ManualClock(START)
    streams = latency(clock=clock)

    def words() -> Generator[str]:
        with streams.start() as stream:
            for word in ("a", "b", "c"):
                clock.advance(0.25)
                stream.item()
                yield word

    left = words()
    assert [next(left), next(left)] == ["a", "b"]
    left.close()
    assert seen(streams)["total"] == []
    assert list(words()) == ["a", "b", "c"]
    assert (seen(streams)["total"], len(seen(streams)["gap"])) == (near(0.75), 3)


def test_a_task_that_is_cancelled_is_cut() -> None:
    clock = ManualClock(START)
    streams = latency(clock=clock)

    async def words() -> AsyncIterator[str]:
        with streams.start() as stream:
            clock.advance(0.25)
            stream.item()
            yield "a"
            await asyncio.Event().wait()

    async def serve() -> None:
        async for _ in words():
            asyncio.current_task().cancel()  # type: ignore[union-attr]

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(serve())
    assert seen(streams) == {"first": near(0.25), "gap": [], "per_output_token": [], "total": []}


def test_a_stream_may_be_timed_from_when_it_was_due() -> None:
    clock = ManualClock(START)
    streams = latency(clock=clock)
    with streams.start(intended_start=START - 3.0) as stream:
        clock.advance(0.5)
        stream.item()
    assert (seen(streams)["first"], seen(streams)["total"]) == (near(3.5), near(3.5))
    with pytest.raises(ConfigurationError, match=r"^intended_start = nan: "):
        streams.start(intended_start=math.nan)


@pytest.mark.parametrize("tokens", [-1, 0.5, "1", None, math.nan, math.inf])
def test_tokens_that_are_no_whole_number_are_refused_and_nothing_counted(tokens: Any) -> None:
    clock = ManualClock(START)
    streams = latency(clock=clock)
    with streams.start() as stream:
        clock.advance(0.5)
        with pytest.raises(ConfigurationError, match=r"^tokens = .*: must be a"):
            stream.item(tokens=tokens)
        clock.advance(0.5)
        stream.item()
    assert (seen(streams)["first"], seen(streams)["gap"]) == (near(1.0), [])


def test_only_parts_with_limits_are_timed() -> None:
    clock = ManualClock(START)
    streams = latency("gap", clock=clock)
    with streams.start() as stream:
        stream.item()
        clock.advance(0.5)
        stream.item()
    assert streams.totals == {"gap requests": 1, "gap invalid": 0, "gap over 1.0": 0}
    for part in ("first", "gaps", 5):
        with pytest.raises(
            ConfigurationError, match=rf"^part = {part!r}: must be one with limits: gap$"
        ):
            streams[part]  # type: ignore[index]
    assert repr(streams) == "StreamLatency of gap"


def test_it_is_the_worst_of_its_parts() -> None:
    clock = ManualClock(START)
    streams = latency("first", "gap", name="chat", clock=clock, min_count=10)
    assert (streams().name, streams().severity) == ("chat", Severity.UNKNOWN)
    for wait in (0.5, 1.5):
        for _ in range(50):
            with streams.start() as stream:
                stream.item()
                clock.advance(wait)
                stream.item()
    verdict = streams()
    assert [(each.name, each.severity.name) for each in verdict.causes] == [  # type: ignore[union-attr]
        ("chat first", "OK"),
        ("chat gap", "OK"),
    ]
    for _ in range(120):
        with streams.start() as stream:
            clock.advance(2.0)
            stream.item()
    assert streams().severity is Severity.BREACH
    assert [(each.name, each.details["limit"]) for each in streams.measure()] == [("p50", 1.0)] * 2


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({}, "^give limits for at least one of first, gap, per_output_token, total$"),
        ({"first": {}}, "^limits = {}: must be a mapping of quantiles"),
        ({"gap": {0.99: -1}}, r"^limits\[0.99\] = -1"),
        ({"gap": LIMIT, "window": 0}, "^window = 0"),
        ({"gap": LIMIT, "min_count": 0}, "^min_count = 0"),
    ],
)
def test_a_wrong_argument_is_named(more: Any, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        StreamLatency(**more)


def busy(*parts: str) -> StreamLatency:
    clock = ManualClock(START)
    streams = latency(*parts, clock=clock)
    with streams.start() as stream:
        for _ in range(3):
            clock.advance(0.5)
            stream.item(2)
    return streams


def test_sums_and_their_order() -> None:
    one, two, three = busy(), busy(), latency()
    total = one + two + three
    assert total.totals == {name: 2 * number for name, number in one.totals.items()}
    assert total == three + (two + one)
    assert total.clock is one.clock
    total["gap"].observe(0.5)
    assert one["gap"].totals["requests"] == 2
    assert one.retired().totals == one.totals
    assert one.retired()["gap"].measure().n == 0
    for other in (1, ErrorBudget(slo=0.99)):
        with pytest.raises(TypeError):
            one + other  # type: ignore[operator]
    with pytest.raises(ConfigurationError, match="do not add"):
        one + latency("gap")
    with pytest.raises(ConfigurationError, match=r"^budgets of different window do not add"):
        one + latency(window=60.0)


def test_it_round_trips() -> None:
    streams = busy()
    text = streams.to_json()
    assert [*json.loads(text)] == ["kind", "schema", "name", "settings", "parts"]
    twins = [StreamLatency.from_json(text, clock=streams.clock), copy.deepcopy(streams)]
    twins.append(pickle.loads(pickle.dumps(streams)))  # noqa: S301 -- our own
    for twin in twins:
        assert twin == streams
        assert twin.to_json() == text
        with twin.start() as stream:
            stream.item()
        assert twin.totals["first requests"] == 2
        assert streams.totals["first requests"] == 1
        assert {id(part.clock) for part in twin._parts.values()} == {id(twin.clock)}
    with pytest.raises(TypeError):
        hash(streams)


GOOD = json.loads(busy("first", "gap").to_json())
CHANGES: list[dict[str, Any]] = [
    {"parts": {}},
    {"parts": []},
    {"parts": None},
    {"parts": {"last": GOOD["parts"]["gap"]}},
    {"parts": {"gap": json.loads(ErrorBudget(slo=0.99).to_json())}},
    {"parts": {"gap": GOOD}},
    {"parts": {"gap": {"kind": []}}},
    {"parts": {"gap": {"kind": "latencybudget"}}},
    {"parts": {"gap": 5}},
    {"name": ""},
    {"name": 5},
    {"kind": "keyed"},
    {"schema": 2},
]


@pytest.mark.parametrize("change", CHANGES, ids=map(str, range(len(CHANGES))))
def test_damaged_json_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        StreamLatency.from_json(json.dumps({**GOOD, **change}))
    with pytest.raises(ConfigurationError):
        StreamLatency.from_json(json.dumps({k: v for k, v in GOOD.items() if k not in change}))
