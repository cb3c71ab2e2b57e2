"""Several streams at once, that together cry wolf as seldom as one."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from mlguard.arguments import name_of, refusal
from mlguard.drift import frames
from mlguard.drift.streams.detector import Change, Detector
from mlguard.drift.streams.reading import rate
from mlguard.errors import ConfigurationError
from mlguard.locks import Locked
from mlguard.values import combined

if TYPE_CHECKING:
    from mlguard.values import Measurement, Verdict

_MOST = 1e9
"""Observations between false alarms for which a detector has a threshold."""


class Streams(Locked):
    """Watches several streams that move on together, a row at a time. Thread-safe.

    Per process; `state()` and `from_state` carry it over a restart. Each of k streams has a
    detector of its own, to which k times `false_alarm_every` is given. So the first alarm without a
    change, in whichever stream, takes as many rows as asked on average if the streams are
    independent, and more if they are alike. With `EDetector`s of given baselines it takes at least
    as many by theorem, however the streams depend on each other, if the baselines hold for values
    given all before of all streams.

    It is a check, the worst over its streams. A value that is missing in one stream is none in the
    others. A row of which one value is refused is refused as a whole.

    Args:
        makers: By the name of a stream, what makes its detector: a type of detector, or anything
            that takes `false_alarm_every`, such as `partial(ScanGLR, "bernoulli")`. Of streams that
            are alike, `dict.fromkeys(names, ScanGLR)`.
        false_alarm_every: So many rows pass on average until an alarm in any stream without a
            change. What a maker sets besides, such as `warn_every`, is each stream's own.
        name: Of the verdict.

    Attributes:
        detectors: By the name of a stream: `streams.detectors["score"].status`. To be read.

    Raises:
        ConfigurationError: An argument is not of its kind or range.

    Examples:
        >>> import numpy as np
        >>> from mlguard.drift.streams import PageHinkley
        >>> rng = np.random.default_rng(1)
        >>> rows = rng.normal(size=(2000, 3))
        >>> rows[1000:, 1] += 1.0
        >>> streams = Streams(dict.fromkeys(["age", "income", "debt"], PageHinkley))
        >>> for name, changes in streams.observe_many(rows).items():
        ...     print(name, *changes)
        income found at 1,037, since 995: from 0.02503 to 0.8946
        >>> streams().reason
        '1 BREACH (changes[income]), 2 OK'
    """

    __slots__ = ("detectors", "false_alarm_every", "name")

    def __init__(
        self,
        makers: Mapping[str, Callable[..., Detector]],
        *,
        false_alarm_every: float = 1_000_000,
        name: str = "streams",
    ) -> None:
        super().__init__()
        if not isinstance(makers, Mapping) or not makers:
            raise refusal("makers", makers, "by the name of each stream, what makes its detector")
        every = rate("false_alarm_every", false_alarm_every)
        shared = every * len(makers)
        if shared > _MOST:
            allowed = f"at most {_MOST / len(makers):g} rows for {len(makers)} streams"
            raise refusal("false_alarm_every", false_alarm_every, allowed)
        self.name = name_of("name", name)
        self.false_alarm_every = every
        self.detectors: dict[str, Detector] = {
            name_of("makers", stream): _made(stream, make, shared)
            for stream, make in makers.items()
        }

    def observe(self, row: Mapping[str, float | None]) -> dict[str, Change]:
        """Take the next value of each stream, by its name, and give the changes found, likewise.

        Raises:
            ConfigurationError: A value is refused, or a name is absent or unknown. Nothing was
                taken then.
        """
        if not isinstance(row, Mapping):
            raise refusal("row", row, "a mapping of the names of the streams to values")
        self._check_names("row", row)
        values = {
            name: _cell(detector, f"row[{name!r}]", row[name])
            for name, detector in self.detectors.items()
        }
        with self._lock:
            found = {
                name: detector.observe(values[name]) for name, detector in self.detectors.items()
            }
        return {name: change for name, change in found.items() if change is not None}

    def observe_many(self, rows: Any) -> dict[str, list[Change]]:
        """Take rows in their order and give the changes of each stream in which there are any.

        They are the same as row by row, wherever the rows are cut.

        Args:
            rows: An array (time, streams) with the streams in their order, a mapping of their names
                to arrays, or a data frame in memory.

        Raises:
            ConfigurationError: A value is refused, or a stream is absent or unknown. Nothing was
                taken then.
        """
        columns = frames.read(rows, list(self.detectors))
        self._check_names("rows", columns)
        values = {
            name: _column(detector, name, columns[name].array())
            for name, detector in self.detectors.items()
        }
        with self._lock:
            found = {
                name: detector.observe_many(values[name])
                for name, detector in self.detectors.items()
            }
        return {name: changes for name, changes in found.items() if changes}

    def measure(self) -> list[Measurement]:
        """Measure each stream: how many changes were found in it."""
        with self._lock:
            found = [(name, detector.measure()) for name, detector in self.detectors.items()]
        return [replace(each, name=_named(each.name, stream)) for stream, each in found]

    def __call__(self) -> Verdict:
        with self._lock:
            found = [(name, detector()) for name, detector in self.detectors.items()]
        verdicts = [replace(each, name=_named(each.name, stream)) for stream, each in found]
        return combined(self.name, verdicts, need=len(verdicts))

    def reset(self) -> None:
        """Forget everything, as if just made."""
        with self._lock:
            for detector in self.detectors.values():
                detector.reset()

    def state(self) -> dict[str, Any]:
        """Give all that is remembered, as plain JSON."""
        with self._lock:
            parts = {name: detector.state() for name, detector in self.detectors.items()}
        return {"kind": "streams", "schema": 1, "streams": parts}

    def from_state(self, state: Mapping[str, Any]) -> Self:
        """Make the same with what another remembered: it goes on to the last bit.

        Raises:
            ConfigurationError: This is no such state, or one of other streams or settings.
        """
        known = state if isinstance(state, Mapping) else {}
        if (known.get("kind"), known.get("schema")) != ("streams", 1):
            raise refusal("state", state, "what state() of Streams gave")
        parts = known.get("streams")
        self._check_names("state", parts if isinstance(parts, Mapping) else {})
        other = copy(self)
        other.detectors = {
            name: detector.from_state(known["streams"][name])
            for name, detector in self.detectors.items()
        }
        return other

    def _check_names(self, parameter: str, given: Mapping[str, Any]) -> None:
        if given.keys() != self.detectors.keys():
            raise refusal(parameter, list(given), f"of the streams {list(self.detectors)}")

    def __repr__(self) -> str:
        return f"<Streams: {', '.join(self.detectors)}>"


def _made(stream: str, make: Callable[..., Detector], every: float) -> Detector:
    fits = callable(make) and not isinstance(make, Detector)
    made = make(false_alarm_every=every) if fits else None
    if not isinstance(made, Detector):
        raise refusal(f"makers[{stream!r}]", make, "what makes a detector from false_alarm_every")
    return made


def _named(name: str, stream: str) -> str:
    return f"{name}[{stream}]"


def _cell(detector: Detector, name: str, value: object) -> float:
    low, high, whole = detector._range
    if type(value) is float and low <= value <= high and not whole:
        return value  # to ask more takes longer than a PageHinkley does
    number = detector._range.read(name, value)
    if math.isnan(number):
        detector._refuse_missing(name, number)
    return number


def _column(detector: Detector, name: str, values: Any) -> Any:
    try:
        numbers = detector._range.read_many(values)
        missing = np.flatnonzero(np.isnan(numbers))
        if len(missing):
            detector._refuse_missing(f"xs[{missing[0]}]", math.nan)
    except ConfigurationError as error:
        raise ConfigurationError(f"rows[{name!r}]: {error}") from None
    return numbers
