"""Latency of generated text: the first token, the gaps, and the whole."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Self

from mlguard.arguments import instances, moment, refusal, whole
from mlguard.budgets.family import Family
from mlguard.budgets.latency import LatencyBudget
from mlguard.errors import ConfigurationError
from mlguard.values import Verdict, combined

if TYPE_CHECKING:
    from mlguard.protocols import Clock
    from mlguard.values import Measurement

PARTS = ("first", "gap", "per_output_token", "total")


class StreamLatency(Family[LatencyBudget]):
    """Limits on the latencies of a stream: a meter and a check. Thread-safe.

    Per process and mergeable, like the `LatencyBudget` of each part. A stream that the client cuts
    counts for the first item and the gaps, but not for the total and the time per token, which
    nobody knows then.

    Args:
        first: Limits of the time to the first item (TTFT), `{0.95: 0.8}` in seconds.
        gap: Limits of the time between two items (inter-token latency).
        per_output_token: Limits of the mean time of a token after the first item (TPOT).
        total: Limits of the time to the end.
        window: How far back each part looks, in seconds or as a timedelta.
        min_count: As for a `LatencyBudget`, each part by itself.
        name: Of the verdict.
        clock: Of Unix seconds, `mlguard.clocks.unix_clock()` by default.

    Raises:
        ConfigurationError: An argument is not of its kind or range, or no part has limits.

    Examples:
        >>> from mlguard.testing import ManualClock
        >>> clock = ManualClock()
        >>> latency = StreamLatency(first={0.95: 0.8}, gap={0.99: 0.1}, clock=clock)
        >>> with latency.start() as stream:
        ...     for token in ("Once", " upon", " a time"):
        ...         clock.advance(0.05)
        ...         stream.item(tokens=1)
        >>> latency["first"].totals["requests"], latency["gap"].totals["requests"]
        (1, 2)
    """

    __slots__ = ("clock",)

    def __init__(
        self,
        *,
        first: Mapping[float, float] | None = None,
        gap: Mapping[float, float] | None = None,
        per_output_token: Mapping[float, float] | None = None,
        total: Mapping[float, float] | None = None,
        window: float | timedelta = timedelta(minutes=5),
        min_count: int | None = None,
        name: str = "stream",
        clock: Clock | None = None,
    ) -> None:
        limits = dict(zip(PARTS, (first, gap, per_output_token, total), strict=True))
        parts = {
            part: LatencyBudget(
                each, window=window, min_count=min_count, name=f"{name} {part}", clock=clock
            )
            for part, each in limits.items()
            if each is not None
        }
        if not parts:
            raise ConfigurationError(f"give limits for at least one of {', '.join(PARTS)}")
        super().__init__(name, parts)
        self.clock = next(iter(parts.values())).clock

    def __getitem__(self, part: str) -> LatencyBudget:
        if part not in self._parts:
            raise refusal("part", part, f"one with limits: {', '.join(self._parts)}")
        return self._parts[part]

    def fits(self, other: Self) -> bool:
        """Tell whether another is of the same kind and windows, so that its limits can be taken."""
        return isinstance(other, type(self)) and all(
            mine.fits(each)
            for mine in self._members().values()
            for each in other._members().values()
        )

    def take_limits(self, other: Self) -> None:
        """Judge by the limits of another from now on, part by part.

        What was counted stays, and whoever counts here goes on counting here. A part that only the
        other has begins anew.

        Raises:
            ConfigurationError: It is of another kind, or of other windows.
        """
        if not self.fits(other):
            raise refusal("other", other, "a StreamLatency of the same windows")
        mine, theirs = self._members(), other._members()
        for name in mine.keys() & theirs.keys():
            mine[name].take_limits(theirs[name])
        with self._lock:
            self._parts = {name: mine.get(name, part) for name, part in theirs.items()}

    def start(self, *, intended_start: float | None = None) -> Stream:
        """Start the clock of a stream: `with latency.start() as stream: ...`.

        Args:
            intended_start: When it was due, in Unix seconds, where it may have had to wait; see
                `LatencyBudget.timed`.
        """
        due = math.inf if intended_start is None else moment("intended_start", intended_start)
        return Stream(self._parts, self.clock, min(due, self.clock()))

    def measure(self) -> list[Measurement]:
        """Measure each part: its quantile nearest to its limit."""
        return [part.measure() for part in self._members().values()]

    @property
    def totals(self) -> dict[str, int]:
        """What was counted since the beginning, by part."""
        return {
            f"{name} {count}": number
            for name, part in self._members().items()
            for count, number in part.totals.items()
        }

    def _judged(self) -> Verdict:
        said = [part() for part in self._members().values()]
        return combined(self.name, said, need=len(said))

    def _settings(self) -> dict[str, Any]:
        return {"parts": list(self._parts)}

    def _with(self, parts: Mapping[str, LatencyBudget]) -> Self:
        return self._read({}, self.name, parts)

    @classmethod
    def _read(
        cls,
        settings: Mapping[str, Any],  # noqa: ARG003 -- the members are all
        name: str,
        parts: Mapping[str, LatencyBudget],
    ) -> Self:
        if not parts or not parts.keys() <= set(PARTS):
            raise refusal("parts", list(parts), f"of {', '.join(PARTS)}")
        instances((LatencyBudget,), "parts", parts.values())
        found = cls.__new__(cls)
        Family.__init__(found, name, parts)
        found.clock = next(iter(parts.values())).clock
        return found

    def __repr__(self) -> str:
        return f"StreamLatency of {', '.join(self._parts)}"


class Stream:
    """One stream that is timed. Not thread-safe: it belongs to whoever writes the stream.

    Made by `StreamLatency.start()`. Leaving the block ends the stream; leaving it by an exception,
    also by the one that closes a generator or cancels a task, cuts it.
    """

    __slots__ = ("_clock", "_cut", "_first", "_last", "_parts", "_start", "_tokens")

    def __init__(self, parts: Mapping[str, LatencyBudget], clock: Clock, start: float) -> None:
        self._parts = parts
        self._clock = clock
        self._start = start
        self._first: float | None = None
        self._last = start
        self._tokens = 0
        self._cut = False

    def item(self, tokens: int = 1) -> None:
        """Count an item that was just sent, and the tokens in it.

        Raises:
            ConfigurationError: `tokens` is no whole number of at least 0.
        """
        more = tokens if type(tokens) is int and tokens >= 0 else whole("tokens", tokens)
        now = self._clock()
        if self._first is None:
            self._first = now
            self._observe("first", now - self._start)
        else:
            self._observe("gap", now - self._last)
            self._tokens += more
        self._last = now

    def cut(self) -> None:
        """Say that the client went away: the stream will not count for the total."""
        self._cut = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None or self._cut:
            return
        self._observe("total", self._clock() - self._start)
        if self._first is not None and self._tokens:
            self._observe("per_output_token", (self._last - self._first) / self._tokens)

    def _observe(self, part: str, elapsed: float) -> None:
        if part in self._parts:
            self._parts[part].observe(elapsed)
