"""What the budgets share: counting for the price of an append, in windows, over processes."""

from __future__ import annotations

import json
import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

from mlguard.arguments import moment, name_of, refusal, shown, whole
from mlguard.clocks import UnixClock, unix_clock
from mlguard.errors import ConfigurationError
from mlguard.records import parsed
from mlguard.render import text
from mlguard.sketches.buffered import Buffered
from mlguard.values import Severity, Verdict

if TYPE_CHECKING:
    from mlguard.protocols import Clock
    from mlguard.sketches.ring import Ring


_STAYS = frozenset({"name", "clock", "sources", "_tick", "_origin", "_buffer", "_append"})
"""What a budget keeps of itself when it takes the limits of another."""


@dataclass(frozen=True, slots=True)
class Sources:
    """Who took part in what was gathered. Immutable.

    Attributes:
        live: Names of the sources that published lately.
        silent: Names of those that did not, with the seconds since they did.
        needed: How many live ones it takes to judge.
    """

    live: tuple[str, ...]
    silent: tuple[tuple[str, float], ...] = ()
    needed: int = 1

    @property
    def enough(self) -> bool:
        """Whether enough sources are live."""
        return len(self.live) >= self.needed

    def __str__(self) -> str:
        parts = [f"{len(self.live)} of at least {self.needed} sources live"]
        parts += [f"{name} silent for {text.quantity(age, 's', 3)}" for name, age in self.silent]
        never = self.needed - len(self.live) - len(self.silent)
        return ", ".join([*parts, f"{never} never heard of"] if never > 0 else parts)


class Counted(Buffered):
    """Integer counts in windows of slots, and totals for ever. Thread-safe.

    Per process and mergeable: `a + b` is exact and keeps the clock of `a`. A forked child starts at
    zero, since its parent keeps the counts; a pickle carries them along.

    Attributes:
        name: Of the verdicts.
        clock: Of Unix seconds.
        sources: Who took part, where this was gathered from many processes.
    """

    __slots__ = (
        "_at",
        "_began",
        "_edge",
        "_origin",
        "_rings",
        "_tick",
        "_totals",
        "clock",
        "name",
        "sources",
    )

    lasting: ClassVar[frozenset[str]] = frozenset()
    """The rings that keep the counts of a source that fell silent."""

    limiting: ClassVar[frozenset[str]] = frozenset()
    """The settings that judge what was counted, and do not shape it."""

    def __init__(self, name: str, clock: Clock | None) -> None:
        super().__init__()
        self.name = name_of("name", name)
        self.clock = unix_clock() if clock is None else clock
        if not callable(self.clock):
            raise refusal("clock", clock, "a callable that gives Unix seconds")
        self.sources: Sources | None = None
        self._tick, self._origin = self.clock, 0.0
        if isinstance(self.clock, UnixClock):  # its two parts are quicker than the call
            self._tick, self._origin = self.clock.monotonic, self.clock.origin

    def _begin(self, rings: dict[str, Ring[Any]], totals: Sequence[str], at: float) -> None:
        self._rings = rings
        self._totals = dict.fromkeys(totals, 0)
        self._at: float | None = None
        self._began = at
        self._advance(at)

    def _advance(self, at: float) -> None:
        for ring in self._rings.values():
            ring.advance(at, watched=True)
        self._edge = min(ring.end for ring in self._rings.values()) - self._origin
        self._began = min(self._began, at)  # a clock set back begins anew

    def _covers(self, ring: Ring[Any], at: float) -> float:
        """Give how many seconds of a ring's window were watched."""
        return max(0.0, min(ring.covers(at), at - self._began))

    def _newest(self, at: float) -> float | None:
        """Give the time of the newest observation: at most now, however far ahead its host is."""
        newest = self._at
        return None if newest is None else min(newest, at)

    @abstractmethod
    def _count(self, taken: Sequence[Any]) -> None:
        """Count values in the newest slot; called under the lock."""

    @abstractmethod
    def _settings(self) -> dict[str, Any]:
        """Give what the constructor needs beside name and clock, as plain JSON."""

    @classmethod
    @abstractmethod
    def _made(cls, settings: Mapping[str, Any], name: str, clock: Clock | None) -> Self:
        """Make an object from what `_settings` gave."""

    @abstractmethod
    def _judged(self) -> Verdict:
        """Give the verdict over what was counted."""

    def _flush(self, *, wait: bool = True) -> float:
        """Count what waits, move the windows to the present, and give the time.

        Not to wait leaves it to whoever has the lock. That may be this very thread, interrupted
        by a signal or by a generator that the garbage collector closes.
        """
        if wait:
            with self._lock:  # which an exception from a signal cannot leave locked
                return self._counted()
        if not self._lock.acquire(blocking=False):
            return math.nan
        try:
            return self._counted()
        finally:
            self._lock.release()

    def _counted(self) -> float:
        at = self.clock()  # under the lock, or a slow thread would set the window back
        if taken := self._taken():
            self._at = min(at, self._edge + self._origin)
            self._count(taken)
        self._advance(at)
        return at

    def __call__(self) -> Verdict:
        if self.sources is not None and not self.sources.enough:
            return Verdict(self.name, Severity.UNKNOWN, str(self.sources))
        return self._judged()

    @property
    def totals(self) -> dict[str, int]:
        """What was counted since the beginning: whole numbers that only grow."""
        self._flush()
        with self._lock:
            return dict(self._totals)

    def _after_fork(self) -> None:
        super()._after_fork()
        self._buffer.clear()
        for ring in self._rings.values():
            ring.clear()
        self._begin(self._rings, list(self._totals), self.clock())

    def _state(self) -> dict[str, Any]:
        """Give settings and counts, which fit each other also while limits are taken."""
        self._flush()
        with self._lock:
            return self._packed()

    def _packed(self) -> dict[str, Any]:
        rings = {
            name: {
                "newest": ring.newest,
                "watched": f"{ring.watched:x}",
                "slots": list(ring.slots()),
            }
            for name, ring in self._rings.items()
        }
        began = None if math.isinf(self._began) else self._began
        return {
            "settings": self._settings(),
            "began": began,
            "at": self._at,
            "totals": dict(self._totals),
            "rings": rings,
        }

    def _put(self, state: Mapping[str, Any], names: Sequence[str]) -> None:
        for name in names:
            part = state["rings"][name]
            self._rings[name].put(part["slots"], part["newest"], int(part["watched"], 16))
        for name in self._totals:
            self._totals[name] += state["totals"][name]
        if state["began"] is not None:
            self._began = min(self._began, state["began"])
        self._at = max((at for at in (self._at, state["at"]) if at is not None), default=None)

    def _empty(self, settings: Mapping[str, Any]) -> Self:
        """Make an object of these settings that saw nothing and watched nothing."""
        return self._made(settings, self.name, self.clock)._cleared()

    def _cleared(self) -> Self:
        self._began = math.inf
        for ring in self._rings.values():
            ring.clear()
        return self

    def retired(self) -> Self:
        """Give what stays of a source that fell silent: its totals, but not its sliding windows."""
        state = self._state()
        found = self._empty(state["settings"])
        found._put(state, sorted(self.lasting))
        return found

    def fits(self, other: Self) -> bool:
        """Tell whether another is of the same kind and windows, so that its limits can be taken."""
        return isinstance(other, type(self)) and self._shape() == other._shape()

    def take_limits(self, other: Self) -> None:
        """Judge by the limits of another from now on.

        What was counted stays, and whoever counts here goes on counting here.

        Args:
            other: Of the same windows; it stays as it is.

        Raises:
            ConfigurationError: It is of another kind, or of other windows.
        """
        if not self.fits(other):
            raise refusal("other", other, f"a {type(self).__name__} of the same windows")
        found = other._empty(other._settings())
        with self._lock:
            at = self._counted()
            found._put(found._recounted(self, self._packed()), list(found._rings))
            for name, value in found.__getstate__().items():
                if name not in _STAYS:
                    setattr(self, name, value)
            self._advance(at)

    def _shape(self) -> dict[str, Any]:
        settings = self._settings()
        return {name: settings[name] for name in settings.keys() - self.limiting}

    def _recounted(self, other: Self, state: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG002
        """Give a state of `other` in the terms of this one's limits."""
        return state

    def __add__(self, other: Self) -> Self:
        if type(other) is not type(self):
            return NotImplemented
        states = self._state(), other._state()
        mine, theirs = (state["settings"] for state in states)
        if mine != theirs:
            apart = [key for key in mine if mine[key] != theirs[key]]
            raise ConfigurationError(
                f"budgets of different {', '.join(apart)} do not add: "
                f"{shown([mine[key] for key in apart])} and {shown([theirs[key] for key in apart])}"
            )
        total = self._empty(mine)
        for state in states:
            total._put(state, list(total._rings))
        return total

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self.to_json() == other.to_json()

    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (type(self), self.to_json(), self.clock), {"sources": self.sources}

    def to_json(self) -> str:
        """Write settings and counts as JSON: no raw value is in it."""
        head = {"kind": type(self).__name__.lower(), "schema": 1, "name": self.name}
        record = {**head, **self._state()}
        return json.dumps(record, separators=(",", ":"), default=lambda array: array.tolist())

    @classmethod
    def from_json(cls, text: str, *, clock: Clock | None = None) -> Self:
        """Read what `to_json` wrote, as of now: what has left the windows meanwhile is not in them.

        Args:
            text: The JSON.
            clock: Of Unix seconds; `mlguard.clocks.unix_clock()` when not given.

        Raises:
            ConfigurationError: The text is no such budget of a known schema.
        """
        record = parsed(text, cls.__name__.lower())
        try:
            found = cls._made(record["settings"], record["name"], clock)._cleared()
            for name, ring in found._rings.items():
                part = record["rings"][name]
                part["slots"] = [(int(number), ring.read(each)) for number, each in part["slots"]]
            for name in found._totals:
                whole(name, record["totals"][name])
            for name in ("began", "at"):
                record[name] = None if record[name] is None else moment(name, record[name])
            found._put(record, list(found._rings))
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise refusal("text", text, f"the JSON of a {record['kind']}: {error!r}") from None
        if missing := found._settings().keys() - record["settings"].keys():
            raise refusal("settings", record["settings"], f"whole, with {', '.join(missing)}")
        return found


def _restored(kind: type[Counted], text: str, clock: Clock) -> Counted:
    return kind.from_json(text, clock=clock)
