"""What every detector of changes in a stream does: reading values, counting, remembering."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from copy import copy
from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, TypeAlias

import numpy as np

from mlguard.arguments import choice, finite, optional, real, refusal, whole
from mlguard.records import Record, frozen_items
from mlguard.render.text import number
from mlguard.values import Measurement, Severity, Verdict, unjudged

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

Status: TypeAlias = Literal["warm-up", "stable", "warning", "drift", "starved"]
OnMissing: TypeAlias = Literal["skip", "raise", "alarm"]
Direction: TypeAlias = Literal["up", "down", "both"]

LARGEST = 1e100
"""Beyond this in absolute value, sums of squares are no floats."""
STARVED = 100
"""So many missing values in a row, and nothing is known of the stream any more."""
GAPS = 200
"""Of so many gaps in the stream it is known where they were."""
KEPT = 20
"""So many changes are kept."""


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
    They have a place in the stream, so that `at` and `onset` count them, and nothing else. Booleans
    are 0 and 1; infinities, strings and arrays are refused, and a refusal changes nothing.
    """

    __slots__ = (
        "_at",
        "_changes",
        "_count",
        "_gap",
        "_gaps",
        "_missed",
        "_missed_at",
        "settings",
    )

    _kept: ClassVar[tuple[str, ...]] = ()
    """The attributes that an engine remembers: numbers, None, or lists of them."""
    _kind: ClassVar[str]
    _low: float = -LARGEST
    _high: float = LARGEST
    _whole: bool = False

    settings: dict[str, Any]

    def __init__(self, *, on_missing: OnMissing, **settings: Any) -> None:
        choice("on_missing", on_missing, "skip", "raise", "alarm")
        self.settings = {**settings, "on_missing": on_missing}
        self.reset()

    def reset(self) -> None:
        """Forget everything, as if just made."""
        self._at = self._count = self._missed = self._gap = 0
        self._missed_at = -1
        self._gaps: list[list[int]] = []
        self._changes: list[Change] = []
        self._begin()

    def observe(self, x: float | None) -> Change | None:
        """Take one observation and give the change that it completes, or None.

        Raises:
            ConfigurationError: `x` is no number, or outside of what the detector takes.
        """
        if type(x) is not float or not self._low <= x <= self._high or (self._whole and x % 1.0):
            x = self._read("x", x)
            if math.isnan(x):
                self._refuse_missing("x", x)
                return self._miss()
        self._at += 1
        return self._step(x)

    def observe_many(self, xs: ArrayLike) -> list[Change]:
        """Take observations in their order and give the changes found.

        They are the same as one by one, wherever a stream is cut.

        Raises:
            ConfigurationError: One of them is refused, so none was taken.
        """
        values = self._read_many(xs)
        missing = np.flatnonzero(np.isnan(values))
        if len(missing):
            self._refuse_missing(f"xs[{missing[0]}]", math.nan)
        found = []
        start = 0
        for end in [*missing.tolist(), len(values)]:
            if start < end:
                found += self._block(values[start:end])
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
        details = {
            "status": self.status,
            "missing": self._missed,
            "last": self._changes[-1].to_dict() if self._changes else None,
            **self._notes(),
        }
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
        memory = {name: _copied(getattr(self, name)) for name in self._kept}
        stream = [self._at, self._count, self._missed, self._gap, self._missed_at]
        changes = [each.to_dict() for each in self._changes]
        return {
            "kind": self._kind,
            "schema": 1,
            "settings": self.settings,
            "stream": stream,
            "gaps": _copied(self._gaps),
            "changes": changes,
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
            other._gaps = _numbers(known["gaps"])
            other._at, other._count, other._missed, other._gap, other._missed_at = stream
            for name in self._kept:
                setattr(other, name, _numbers(known["memory"][name]))
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

    def _block(self, values: Floats) -> list[Change]:
        """Take values without a gap, the first at place `_at`; exactly as `_step` does."""
        found = []
        step = self._step
        for x in values.tolist():
            self._at += 1
            if (change := step(x)) is not None:
                found.append(change)
        return found

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

    def _notes(self) -> Mapping[str, Any]:
        """Give what else the details of a measurement say."""
        return {}

    def _found(
        self, onset: int, before: float | None, after: float | None, **evidence: Any
    ) -> Change:
        """Report a change at the newest observation."""
        change = Change(at=self._at - 1, onset=onset, before=before, after=after, evidence=evidence)
        self._changes = [*self._changes[1 - KEPT :], change]
        self._count += 1
        return change

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
            return self._found(
                self._at - STARVED, self._level(), None, statistic=STARVED, threshold=STARVED
            )
        return None

    def _refuse_missing(self, name: str, value: float) -> None:
        if self.settings["on_missing"] == "raise":
            raise refusal(name, value, 'there, as on_missing is "raise"')

    def _read(self, name: str, value: object) -> float:
        if value is None:
            return math.nan
        if isinstance(value, str) or np.ndim(value):  # type: ignore[arg-type]
            raise refusal(name, value, "a number, or None where it is missing")
        number = real(name, value)
        if not math.isnan(number):
            self._check(name, number)
        return number

    def _check(self, name: str, number: float) -> None:
        if not self._low <= number <= self._high or (self._whole and number % 1.0):
            kind = "a whole number" if self._whole else "a number"
            raise refusal(name, number, f"{kind} between {self._low:g} and {self._high:g}")

    def _read_many(self, xs: ArrayLike) -> Floats:
        if isinstance(xs, str | bytes) or not isinstance(xs, Iterable):
            raise refusal("xs", xs, "a sequence of numbers")
        try:
            values = np.asarray(xs)
        except ValueError:  # sequences of different lengths in it
            values = np.empty(0, dtype=object)
        if values.ndim != 1 or values.dtype.kind not in "fiub":
            each = [self._read(f"xs[{i}]", x) for i, x in enumerate(xs)]
            return np.array(each, dtype=np.float64)
        values = values.astype(np.float64)
        with np.errstate(invalid="ignore"):
            outside = (values < self._low) | (values > self._high)
            if self._whole:
                outside |= values % 1.0 > 0.0
        if outside.any():
            first = int(outside.argmax())
            self._check(f"xs[{first}]", float(values[first]))
        return values


def rates(false_alarm_every: object, warn_every: object) -> tuple[float, float | None]:
    """Read how seldom alarms and warnings are to be."""
    every = rate("false_alarm_every", false_alarm_every)
    if warn_every is None:
        return every, None
    warn = rate("warn_every", warn_every)
    if warn >= every:
        raise refusal("warn_every", warn_every, f"less than false_alarm_every = {every:g}")
    return every, warn


def rate(name: str, value: object) -> float:
    """Read a number of observations."""
    number = finite(name, value)
    if not 100.0 <= number <= 1e9:  # noqa: PLR2004 -- what the thresholds are known for
        raise refusal(name, value, "between 100 and 1e9 observations")
    return number


def _copied(value: Any) -> Any:
    return [_copied(each) for each in value] if isinstance(value, list) else value


def _numbers(value: Any) -> Any:
    if isinstance(value, list):
        return [_numbers(each) for each in value]
    if value is None or type(value) in {int, float}:
        return value
    raise refusal("memory", value, "numbers")
