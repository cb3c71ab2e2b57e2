"""Six replicas that are real processes, restarted and killed while they publish, beside the truth."""

from __future__ import annotations

import math
import os
import random
import signal
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any

import pytest

from mlguard import SqliteStore, gather

pytestmark = pytest.mark.skipif(
    not hasattr(signal, "SIGKILL"), reason="no process can be killed with SIGKILL here"
)

START = 1_700_000_001.0
STEP = 20.0
"""Seconds: no step ends at the end of a slot, where clocks that differ in the last bit disagree."""

SLO, PERIOD, PERIOD_SLOTS = 0.999, 600.0, 360
WINDOW, WINDOW_SLOTS = 300.0, 60
KNOWN = 270.0
"""Seconds that must have been watched to know what remains of the period."""

SOURCES = [f"pod-{number}" for number in range(6)]
KEYS = ("errors", "latency")
POINTS: dict[str, tuple[int | None, set[int]]] = {
    "at rest": (None, {0}),
    "before it publishes": (None, {0}),
    "in its first save": (1, {0}),
    "in its second save": (2, {1}),
    "anywhere on the way": (0, {0, 1, 2}),
}
"""Where a process is killed: the save in which it kills itself, and how many may be done then."""

REPLICA = f"""
import os, signal, sys
from mlguard import BurnAlert, ErrorBudget, LatencyBudget, SqliteStore, publish
from mlguard.clocks import unix_clock

signal.alarm(600)  # rather dead than waited for without end
saves = 0

def now():  # it is read in the middle of every save
    global saves
    saves -= 1
    if not saves:
        os.kill(os.getpid(), signal.SIGKILL)
    return clock()

store = SqliteStore(sys.argv[1], clock=now)
for line in sys.stdin:
    word, *arguments = line.split()
    if word == "begin":
        source, (wall, at) = arguments[0], map(float, arguments[1:])
        clock = unix_clock(wall=lambda: wall, monotonic=lambda: at)
        errors = ErrorBudget({SLO}, period={PERIOD}, alerts=[BurnAlert(0.1, 60.0)],
                             min_coverage={KNOWN / PERIOD}, clock=clock)
        latency = LatencyBudget({{0.5: 0.01, 0.99: 0.05}}, window={WINDOW}, clock=clock)
    if word == "push":
        at += float(arguments[0])
    if word == "observe":
        good, bad, fast, slow = map(int, arguments)
        for _ in range(good):
            errors.observe(True)
        errors.observe_counts(bad=bad)
        for _ in range(slow):
            latency.observe(0.06)
        latency.observe_many([0.005] * fast)
    if word == "publish":
        saves = int(arguments[0])
        publish(errors, store, "errors", source=source, clock=clock)
        publish(latency, store, "latency", source=source, clock=clock)
    print("done", flush=True)
"""

Seen = list[tuple[float, Counter[str]]]
"""What was counted, and when."""


class Fleet:
    """The replicas, what each has published, and what it has yet to publish."""

    def __init__(self, path: Path, seed: int) -> None:
        self.path, self.random = path, random.Random(seed)  # noqa: S311 -- the same every time
        self.store, self.at = SqliteStore(path), START
        self.published: dict[tuple[str, str], Seen] = {
            (s, key): [] for s in SOURCES for key in KEYS
        }
        self.waiting: dict[tuple[str, str], Seen] = {(s, key): [] for s in SOURCES for key in KEYS}
        self.running: dict[str, Popen[str]] = {}
        self.spare = self.started()

    def started(self) -> Popen[str]:
        command = [sys.executable, "-c", REPLICA, str(self.path)]
        quicker = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}  # its threads are a third of a start
        return Popen(command, stdin=PIPE, stdout=PIPE, text=True, env=quicker)

    def close(self) -> None:
        for process in (*self.running.values(), self.spare):
            process.kill()
            process.communicate()
        self.store.close()

    def now(self) -> float:
        return self.at

    def tell(self, source: str, *words: object) -> None:
        print(*words, file=self.running[source].stdin, flush=True)

    def ask(self, source: str, *words: object) -> None:
        self.tell(source, *words)
        replies = self.running[source].stdout
        assert replies is not None
        assert replies.readline() == "done\n"

    def ended(self, source: str) -> int:
        """Let a process come to its end, and give its code."""
        process = self.running.pop(source)
        process.communicate(timeout=120.0)
        return process.returncode

    def begin(self, source: str) -> None:
        self.running[source], self.spare = self.spare, self.started()
        self.ask(source, "begin", source, self.at, self.random.uniform(0.0, 1e6))

    def observe(self, source: str) -> None:
        good, bad = self.random.choice([1, 50, 3000]), self.random.choice([0, 0, 0, 1])
        fast, slow = self.random.randint(1, 100), self.random.choice([0, 0, 2])
        self.ask(source, "observe", good, bad, fast, slow)
        counts = Counter(good=good, bad=bad)
        self.waiting[source, "errors"].append((self.at, counts))
        counts = Counter({"requests": fast + slow, "over 0.01": slow, "over 0.05": slow})
        self.waiting[source, "latency"].append((self.at, counts))

    def publish(self, source: str) -> None:
        self.ask(source, "publish", 0)
        for key in KEYS:
            self.arrived(source, key)

    def arrived(self, source: str, key: str) -> None:
        self.published[source, key] += self.waiting[source, key]
        self.waiting[source, key].clear()

    def gathered(self) -> list[Any]:
        return [gather(self.store, key, clock=self.now) for key in KEYS]

    def truth(self, key: str, window: float = math.inf, slots: int = 1) -> Counter[str]:
        """Add up what was published, in the window only where there is one."""
        width = window / slots
        seen = [each for source in SOURCES for each in self.published[source, key]]
        within = [counts for at, counts in seen if at // width > self.at // width - slots]
        return sum(within, Counter[str]())

    def check(self) -> None:
        errors, latency = self.gathered()
        assert Counter(errors.totals) == self.truth("errors")
        assert Counter(latency.totals) == self.truth("latency")
        assert errors.sources.live == latency.sources.live == tuple(SOURCES)

        period = self.truth("errors", PERIOD, PERIOD_SLOTS)
        left = 1.0 - period["bad"] / max(period.total(), 1) / (1.0 - SLO)
        known = period.total() and self.at - START > KNOWN
        assert errors.remaining == (pytest.approx(left) if known else None)

        window, over = self.truth("latency", WINDOW, WINDOW_SLOTS), latency.over(0.05)
        assert (over.n, over.details["over"]) == (window["requests"], window["over 0.05"])

    def minute(self) -> None:
        for _ in range(3):
            self.at += STEP
            for source in SOURCES:
                self.ask(source, "push", STEP)
            for source in self.random.sample(SOURCES, 4):
                self.observe(source)
            for source in self.random.sample(SOURCES, 2):
                self.publish(source)
            self.check()
        for source in SOURCES:
            self.publish(source)
        self.check()

    def restart(self, source: str) -> None:
        self.observe(source)
        self.publish(source)
        before = self.gathered()
        assert self.ended(source) == 0
        self.follow(source, before)

    def kill(self, source: str, point: str) -> None:
        before, (dies, possible) = self.gathered(), POINTS[point]
        if point != "at rest":
            self.observe(source)
        if dies is not None:
            self.tell(source, "publish", dies)
        if dies == 0:
            for _ in range(round(10.0 ** self.random.uniform(0.0, 3.0))):
                self.store.keys()  # which gives it more or less time
        if not dies:
            self.running[source].kill()
        assert self.ended(source) == -signal.SIGKILL
        after = self.gathered()
        saved = self.saved(after)
        assert saved in possible
        assert after[saved:] == before[saved:]
        for key in KEYS[:saved]:
            self.arrived(source, key)
        for key in KEYS:
            self.waiting[source, key].clear()
        self.check()
        self.follow(source, after)

    def saved(self, meters: list[Any]) -> int:
        """Tell how many of its saves a process had done when it was killed on the way."""
        new = [Counter(m.totals) != self.truth(key) for key, m in zip(KEYS, meters, strict=True)]
        assert new != [False, True]
        return sum(new)

    def follow(self, source: str, before: list[Any]) -> None:
        """Let a new process follow one that ended: not a count changes, nor what remains."""
        self.begin(source)
        if self.random.random() < 0.5:  # else its first part holds counts, or it dies before
            self.publish(source)
        after = self.gathered()
        assert after == before
        assert after[0].remaining == before[0].remaining
        self.check()


@pytest.mark.parametrize(
    ("minutes", "seed"),
    [(12, 0), *(pytest.param(120, seed, marks=pytest.mark.slow) for seed in (1, 2, 3))],
)
def test_restarts_and_kills_change_no_total_and_give_back_no_budget(
    tmp_path: Path, minutes: int, seed: int
) -> None:
    with closing(Fleet(tmp_path / "guard.db", seed)) as fleet:
        for source in SOURCES:
            fleet.begin(source)
            fleet.publish(source)
        points = fleet.random.sample(list(POINTS), len(POINTS)) * minutes
        killed = fleet.random.sample(range(minutes), 1 + minutes // 3)
        kills = dict(zip(killed, points, strict=False))
        for minute in range(minutes):
            fleet.minute()
            restarted = SOURCES[minute % len(SOURCES)]
            fleet.restart(restarted)
            if minute in kills:
                fleet.kill(fleet.random.choice([restarted, *SOURCES[:3]]), kills[minute])
