"""What every detector of changes in a stream does: reading values, counting, remembering."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, TypeAlias

import numpy as np

from mlguard.arguments import choice, finite, optional, refusal, whole
from mlguard.drift.streams.blocks import Blocks
from mlguard.drift.streams.dependence import Dependence
from mlguard.drift.streams.reading import Range, copied, numbers
from mlguard.records import Record, frozen_items
from mlguard.render.text import number
from mlguard.values import Measurement, Severity, Verdict, unjudged

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

Status: TypeAlias = Literal["warm-up", "stable", "warning", "drift", "starved"]
OnMissing: TypeAlias = Literal["skip", "raise", "alarm"]
Direction: TypeAlias = Literal["up", "down", "both"]

STARVED = 100
"""So many missing values in a row, and nothing is known of the stream any more."""
GAPS = 200
"""Of so many gaps in the stream it is known where they were."""
KEPT = 20
"""So many changes are kept."""
_BLOCK, _AGAIN = 8192, 512
"""So many values are looked at together; after a change fewer, so that little is done twice."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Change(Record):
    """A change that was found in a stream. Immutable.

    Args:
        at: The observation at which it was found; the first of the stream is 0.
        onset: The first observation of the new level, as estimated: `stream[onset:]` is new.
        before: The mean before the onset.
        after: The mean since the onset; None where the values went missing.
        evidence: The statistic that went beyond its threshold, and that threshold.

    Raises:
        ConfigurationError: An argument is not of its kind or range.

    Examples:
        >>> print(Change(at=120, onset=100, before=0.1, after=0.5, evidence={"statistic": 17.0}))
        found at 120, since 100: from 0.1 to 0.5
    """

    at: int
    onset: int
    before: float | None
    after: float | None
    evidence: Mapping[str, Any]

    def __post_init__(self) -> None:
        put = object.__setattr__
        put(self, "at", whole("at", self.at))
        put(self, "onset", whole("onset", self.onset))
        if self.onset > self.at:
            raise refusal("onset", self.onset, f"at most at = {self.at}")
        put(self, "before", optional("before", self.before))
        put(self, "after", optional("after", self.after))
        put(self, "evidence", frozen_items(self.evidence, "evidence"))

    def __str__(self) -> str:
        levels = ["unknown" if x is None else number(x) for x in (self.before, self.after)]
        return f"found at {self.at:,}, since {self.onset:,}: from {levels[0]} to {levels[1]}"


class Detector:
    """Finds changes in a stream of numbers. Not thread-safe: one writer for each detector.

    It is a check, too: BREACH from a change on until `reset()`, WARN while its status is "warning",
    UNKNOWN while nothing can be found.

    The detectors of this package inherit from it; it is not made by itself. Its state is per
    process: `state()` and `from_state` carry it over a restart. NaN and None are missing values.
    They have a place in the stream, so that `at` and `onset` count them, and nothing else. Numbers
    of every kind are taken, of numpy, Decimal and Fraction, and arrays without a dimension;
    booleans are 0 and 1. Infinities, strings and other arrays are refused, and a refusal changes
    nothing.

    Run lengths are those of independent values. Where the first thousand depend on those before,
    `measure()` says so: `details["autocorrelation"]` is their correlation, and
    `details["rate_holds"]` is false where it is beyond 0.1 and what chance makes of it.

    Args:
        block: The detector is given the means of so many observations each, which depend less on
            those before and are about normal. Run lengths and places are in observations still.
        on_missing: What a missing value does: "skip" counts it, "raise" refuses it, "alarm" makes a
            hundred in a row a change.
        settings: What else the detector was made with.

    Raises:
        ConfigurationError: An argument is not of its kind or range.
    """

    __slots__ = (
        "_at",
        "_blocks",
        "_changes",
        "_count",
        "_dependence",
        "_early",
        "_gap",
        "_gaps",
        "_missed",
        "_missed_at",
        "_per",
        "settings",
    )

    _kept: ClassVar[tuple[str, ...]] = ()
    """The attributes that an engine remembers: numbers, None, or lists of them."""
    _kind: ClassVar[str]
    _range: Range = Range()

    settings: dict[str, Any]

    def __init__(self, *, on_missing: OnMissing, block: int = 1, **settings: Any) -> None:
        choice("on_missing", on_missing, "skip", "raise", "alarm")
        self._per = whole("block", block, 1)
        self.settings = {**settings, "block": self._per, "on_missing": on_missing}
        self.reset()

    def reset(self) -> None:
        """Forget everything, as if just made."""
        self._at = self._count = self._missed = self._gap = 0
        self._missed_at = -1
        self._gaps: list[list[int]] = []
        self._changes: list[Change] = []
        self._blocks = Blocks(self._per)
        self._dependence = Dependence()
        self._early = True
        self._begin()

    def observe(self, x: float | None) -> Change | None:
        """Take one observation and give the change that it completes, or None.

        Raises:
            ConfigurationError: `x` is no number, or outside of what the detector takes.
        """
        low, high, whole_only = self._range
        if type(x) is not float or not low <= x <= high or (whole_only and x % 1.0):
            x = self._range.read("x", x)
            if math.isnan(x):
                self._refuse_missing("x", x)
                return self._miss()
        self._at += 1
        return self._observe_early(x) if self._early else self._step(x)

    def observe_many(self, xs: ArrayLike) -> list[Change]:
        """Take observations in their order and give the changes found.

        They are the same as one by one, wherever a stream is cut.

        Raises:
            ConfigurationError: One of them is refused, so none was taken.
        """
        values = self._range.read_many(xs)
        missing = np.flatnonzero(np.isnan(values))
        if len(missing):
            self._refuse_missing(f"xs[{missing[0]}]", math.nan)
        found = []
        start = 0
        for end in [*missing.tolist(), len(values)]:
            if start < end:
                found += self._take(values[start:end])
            if end < len(values):
                change = self._miss()
                found += [] if change is None else [change]
            start = end + 1
        return found

    @property
    def changes(self) -> tuple[Change, ...]:
        """The last changes, oldest first."""
        return tuple(self._changes)

    @property
    def status(self) -> Status:
        """How it stands.

        "warm-up" before it can find anything, "drift" from a change until the new level is known as
        well, "starved" when the last hundred values were missing, "warning" while the evidence is
        beyond what `warn_every` asks, else "stable".
        """
        if self._gap >= STARVED and self._missed_at == self._at - 1:
            return "starved"
        if self._ready:
            return "warning" if self._warned() else "stable"
        return "drift" if self._changes else "warm-up"

    def measure(self) -> Measurement:
        """Measure how many changes were found since the beginning or the last `reset()`.

        NaN, which no policy passes, while nothing can be found.
        """
        known = self._count or self.status not in {"warm-up", "starved"}
        details: dict[str, Any] = {
            "status": self.status,
            "missing": self._missed,
            "last": self._changes[-1].to_dict() if self._changes else None,
        }
        if self._dependence.complete or self._dependence.there:
            details["autocorrelation"] = round(self._dependence.found()[2], 3)
            if self.settings.get("false_alarm_every"):
                details["rate_holds"] = self._rate_holds()
        value = self._count if known else math.nan
        return Measurement("changes", value, n=self._at - self._missed, details=details)

    def __call__(self) -> Verdict:
        found = self.measure()
        status = found.details["status"]
        if math.isnan(found.value):
            return unjudged(found, status)
        if self._changes:
            return Verdict(
                found.name, Severity.BREACH, f"{found}: {self._changes[-1]}", evidence=(found,)
            )
        severity = Severity.WARN if status == "warning" else Severity.OK
        return Verdict(found.name, severity, f"{found}: {status}", evidence=(found,))

    def state(self) -> dict[str, Any]:
        """Give all that is remembered, as plain JSON."""
        memory = {name: copied(getattr(self, name)) for name in self._kept}
        stream = [self._at, self._count, self._missed, self._gap, self._missed_at]
        changes = [each.to_dict() for each in self._changes]
        return {
            "kind": self._kind,
            "schema": 1,
            "settings": self.settings,
            "stream": stream,
            "gaps": copied(self._gaps),
            "changes": changes,
            "block": [self._blocks.count, self._blocks.total],
            "dependence": list(self._dependence.memory),
            "memory": memory,
        }

    def from_state(self, state: Mapping[str, Any]) -> Self:
        """Make the same detector with what another remembered: it goes on to the last bit.

        Raises:
            ConfigurationError: This is no state of such a detector, or one of other settings.
        """
        known = state if isinstance(state, Mapping) else {}
        if (known.get("kind"), known.get("schema")) != (self._kind, 1):
            raise refusal("state", state, f"what state() of a {type(self).__name__} gave")
        if known.get("settings") != self.settings:
            raise refusal("state", known.get("settings"), f"of the settings {self.settings}")
        other = copy(self)
        try:
            changes = [Change.from_dict(each) for each in known["changes"]]
            stream = [whole("stream", each, -1) for each in known["stream"]]
            other._changes = changes
            other._gaps = numbers(known["gaps"])
            other._at, other._count, other._missed, other._gap, other._missed_at = stream
            count, total = known["block"]
            other._blocks = Blocks(self._per, whole("block", count), finite("block", total))
            other._dependence = Dependence(*numbers(known["dependence"]))
            other._early = self._per > 1 or not other._dependence.complete
            for name in self._kept:
                setattr(other, name, numbers(known["memory"][name]))
        except (KeyError, TypeError, ValueError) as error:
            raise refusal("state", state, f"whole: {error!r}") from None
        return other

    def __repr__(self) -> str:
        settings = ", ".join(f"{name}={value!r}" for name, value in self.settings.items())
        return f"{type(self).__name__}({settings})"

    def _begin(self) -> None:
        """Forget what the engine remembers."""
        raise NotImplementedError

    def _step(self, x: float) -> Change | None:
        """Take the value at place `_at - 1`."""
        raise NotImplementedError

    def _scan(self, values: Floats) -> tuple[int, Change | None]:
        """Take values without a gap up to a change, if there is one; give how many and it.

        Exactly as `_step` does, and each moves `_at` by `_per`.
        """
        for taken, x in enumerate(values.tolist(), 1):
            self._at += self._per
            if (change := self._step(x)) is not None:
                return taken, change
        return len(values), None

    @property
    def _ready(self) -> bool:
        """Whether a change could be found by now."""
        raise NotImplementedError

    def _warned(self) -> bool:
        """Tell whether the evidence is beyond that for a warning."""
        return False

    def _level(self) -> float | None:
        """Give the mean since the last onset, if any value was seen."""
        raise NotImplementedError

    def _rate_holds(self) -> bool:
        """Tell whether the run length is as asked, as far as dependence goes."""
        return not self._dependence.there

    def _found(
        self, length: int, before: float | None, after: float | None, **evidence: Any
    ) -> Change:
        """Report a change: the last values, so many, are new."""
        onset = self._place(self._at - self._missed - length * self._per)
        return self._report(onset, before, after, **evidence)

    def _report(
        self, onset: int, before: float | None, after: float | None, **evidence: Any
    ) -> Change:
        """Report a change at the newest observation."""
        change = Change(at=self._at - 1, onset=onset, before=before, after=after, evidence=evidence)
        self._changes = [*self._changes[1 - KEPT :], change]
        self._count += 1
        return change

    def _observe_early(self, x: float) -> Change | None:
        """Take a value that may complete a block, or is one of the first thousand."""
        mean = self._blocks.add(x) if self._per > 1 else x
        return None if mean is None else self._learn([mean], self._step(mean))

    def _learn(self, values: list[float], change: Change | None) -> Change | None:
        """Let the dependence know of the last values, up to a change."""
        known = self._dependence
        at = self._at - self._per * len(values)
        for x in values:
            if known.complete:
                self._early = self._per > 1
                break
            at += self._per
            known.add(x, at)
        if change is not None:
            known.forget(change.onset)
        return change

    def _take(self, values: Floats) -> list[Change]:
        """Take values without a gap, or the means of their blocks."""
        end = self._at + len(values)
        if self._per > 1:
            self._at -= self._blocks.count
            values = self._blocks.add_many(values)
        found = []
        start, size = 0, _BLOCK
        while start < len(values):
            some = values[start : start + size]
            taken, change = self._scan(some)
            if self._early:
                self._learn(some[:taken].tolist(), change)
            if change is not None:
                found.append(change)
            start += taken
            size = min(2 * size, _BLOCK) if taken == len(some) else _AGAIN
        self._at = end
        return found

    def _place(self, n: int) -> int:
        """Give the place in the stream of the value after n that were there."""
        before = bisect_right(self._gaps, n, key=itemgetter(0))
        return n + (self._gaps[before - 1][1] if before else 0)

    def _miss(self) -> Change | None:
        self._gap = self._gap + 1 if self._missed_at == self._at - 1 and self._missed else 1
        self._missed_at = self._at
        if self._gap == 1:
            self._gaps = [*self._gaps[1 - GAPS :], [self._at - self._missed, 0]]
        self._at += 1
        self._missed += 1
        self._gaps[-1][1] = self._missed
        if self._gap == STARVED and self.settings["on_missing"] == "alarm":
            return self._report(
                self._at - STARVED, self._level(), None, statistic=STARVED, threshold=STARVED
            )
        return None

    def _refuse_missing(self, name: str, value: float) -> None:
        if self.settings["on_missing"] == "raise":
            raise refusal(name, value, 'there, as on_missing is "raise"')
