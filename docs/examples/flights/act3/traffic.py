"""Minutes of traffic in seconds: every request is really answered, on a clock that skips the waiting."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Final

import numpy as np
from threadpoolctl import threadpool_limits

from act3.moments import Moment, Phase, Served
from act3.service import Board, service
from act3.simulated import SkippingClock, SkippingLoop
from mlguard import Guards, MemoryStore
from models import SEED
from production import WANTED, given
from serving import guarded, service_check

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from mlguard import Check, ErrorBudget
    from mlguard.integrations.asgi import App, Message
    from story import Story
    from terminal import Screen

PHASES: Final = (
    Phase("all is well", 6),
    Phase("slow board", 3, slow=0.2),
    Phase("all is well again", 6),
    Phase("board refuses", 2, refused=0.6),
    Phase("all is well again", 7),
)
START: Final = datetime(2013, 12, 31, 12, tzinfo=UTC)
RATE: Final = 1.4
"""Requests a second."""
LOOK_EVERY: Final = 5.0
"""Seconds between two looks at what the guard says."""
BEFORE: Final = timedelta(days=30)
HOUR: Final = timedelta(hours=1)
BATCH: Final = timedelta(minutes=5)
ONE_BAD_IN: Final = 5_000
"""Requests of the days before."""


def serve(story: Story, screen: Screen) -> Served:
    """Let the new model serve: while all is well, and through two incidents."""
    clock = SkippingClock(START - BEFORE)
    asked = story.exam.tail(sum(map(_requests, PHASES)))
    board = Board(np.asarray(story.candidate.encode(asked)), SEED)
    with (
        screen.steps(1 + len(PHASES)) as step,
        threadpool_limits(1, user_api="openmp"),
        asyncio.Runner(loop_factory=lambda: SkippingLoop(clock)) as runner,
    ):
        with step(f"Counting the {BEFORE.days} days before"):
            guards = Guards.build(
                WANTED, reference=story.reference, store=MemoryStore(), clock=clock
            )
            errors = given(guards.errors)
            _past(clock, errors)
        app = guarded(service(story.candidate, board), guards, clock)
        look = partial(_look, service_check(guards), errors)
        moments, statuses, marked = runner.run(_play(app, board, look, step))
    rate = errors.alerts[0].burn_rate(errors.period.seconds)
    return Served(PHASES, tuple(moments), statuses, marked, rate)


def _past(clock: SkippingClock, errors: ErrorBudget) -> None:
    """Count the days before by the hour, and the last of them by five minutes."""
    last_day = timedelta(days=1)
    batches = [HOUR] * ((BEFORE - last_day) // HOUR) + [BATCH] * (last_day // BATCH)
    counted = 0
    for batch in batches:
        clock.push(batch.total_seconds())
        requests = round(RATE * batch.total_seconds())
        bad = (counted + requests) // ONE_BAD_IN - counted // ONE_BAD_IN
        errors.observe_counts(good=requests - bad, bad=bad)
        counted += requests


def _look(check: Check, errors: ErrorBudget, at: float) -> Moment:
    alert = errors.alerts[0]
    return Moment(
        at=at,
        verdict=check(),
        burn=(_known(errors.burn_rate(alert.window)), _known(errors.burn_rate(alert.short))),
        remaining=_known(errors.remaining),
        exhausts_in=_known(errors.exhausts_in()),
    )


async def _play(
    app: App,
    board: Board,
    look: Callable[[float], Moment],
    step: Callable[[str], AbstractContextManager[None]],
) -> tuple[list[Moment], Counter[int], int]:
    """Send the requests of all phases when they are due, each as a task of its own, and look on."""
    loop = asyncio.get_running_loop()
    start, sent, marked = loop.time(), 0, 0
    moments: list[Moment] = []
    statuses: Counter[int] = Counter()
    jitter = np.random.default_rng(SEED)

    async def until(at: float) -> None:
        await asyncio.sleep(start + at - loop.time())

    async def ask(flight: int) -> None:
        await app({"type": "http", "method": "GET", "path": f"/flights/{flight}"}, receive, send)

    async def receive() -> Message:
        return {"type": "http.request"}

    async def send(message: Message) -> None:
        nonlocal marked
        if message["type"] == "http.response.start":
            statuses[message["status"]] += 1
            marked += any(name == b"mlguard-severity" for name, _ in message["headers"])

    async def look_on() -> None:
        while True:
            at = (len(moments) + 1) * LOOK_EVERY
            await until(at)
            moments.append(look(at))

    async with asyncio.TaskGroup() as tasks:
        watcher = tasks.create_task(look_on())
        for phase in PHASES:
            with step(f"{phase.minutes} minutes: {phase.name}"):
                board.slow, board.refused = phase.slow, phase.refused
                for _ in range(_requests(phase)):
                    await until((sent + jitter.random()) / RATE)
                    tasks.create_task(ask(sent))
                    sent += 1
        await until(sent / RATE)
        watcher.cancel()
    return moments, statuses, marked


def _requests(phase: Phase) -> int:
    return round(60 * RATE * phase.minutes)


def _known(number: float | None) -> float:
    return math.nan if number is None else number
