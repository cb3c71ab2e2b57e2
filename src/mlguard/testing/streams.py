"""Streams whose changes are known, and what a detector makes of them."""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import special

from mlguard.arguments import choice, instances, refusal, share, whole
from mlguard.drift.streams.detector import Change, Detector
from mlguard.render.text import number
from mlguard.stats.intervals import exact_proportion_interval
from mlguard.stats.quantiles import rank_interval
from mlguard.values import Measurement

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Stream:
    """Values with the places of their changes. Immutable.

    Attributes:
        values: In their order.
        changes: The first value of each new level, in their order.

    Raises:
        ConfigurationError: A change is outside of the values, or not after the one before.
    """

    values: Floats
    changes: tuple[int, ...]

    def __post_init__(self) -> None:
        places = tuple(whole("changes", each) for each in self.changes)
        if any(each >= end for each, end in pairwise((*places, len(self.values)))):
            raise refusal("changes", places, f"rising, and below {len(self.values)}")
        object.__setattr__(self, "changes", places)


def stream(
    rng: np.random.Generator,
    means: ArrayLike,
    *,
    family: str = "gaussian",
    sd: ArrayLike = 1.0,
    correlation: float = 0.0,
    changes: Sequence[int] | None = None,
) -> Stream:
    """Draw a stream with a given mean at every place.

    Args:
        rng: Where the values come from.
        means: The mean of each value: `np.repeat([0.1, 0.3], 1000)` for a sudden change, a ramp of
            `np.linspace` for a gradual one, `np.tile` for one that comes back.
        family: "gaussian", "bernoulli" or "poisson".
        sd: The standard deviation of normal values, one or each.
        correlation: Of each deviation with the one before, of normal values.
        changes: Where the changes are; by default wherever the mean or the spread of a value is not
            that of the one before, and a ramp is one change.

    Raises:
        ConfigurationError: An argument is not of its kind or range.

    Examples:
        >>> import numpy as np
        >>> rng = np.random.default_rng(1)
        >>> found = stream(rng, np.repeat([0.1, 0.5], 1000), family="bernoulli")
        >>> found.changes, int(found.values[:1000].sum()), int(found.values[1000:].sum())
        ((1000,), 92, 495)
    """
    mean = np.asarray(means, dtype=np.float64)
    if mean.ndim != 1 or not len(mean):
        raise refusal("means", means, "a mean for each value")
    choice("family", family, "gaussian", "bernoulli", "poisson")
    if not -1.0 < correlation < 1.0:
        raise refusal("correlation", correlation, "between -1 and 1, both excluded")
    spread = np.broadcast_to(np.asarray(sd, dtype=np.float64), mean.shape)
    if family == "bernoulli":
        values = (rng.random(len(mean)) < mean).astype(np.float64)
    elif family == "poisson":
        values = rng.poisson(mean).astype(np.float64)
    else:
        values = mean + spread * _correlated(rng.normal(size=len(mean)), correlation)
    if changes is None:
        moves = (np.diff(mean) != 0.0) | (np.diff(spread) != 0.0)
        begins = np.flatnonzero(moves & ~np.r_[False, moves[:-1]]) + 1
        changes = begins.tolist()
    return Stream(values, tuple(changes))


def _correlated(noise: Floats, correlation: float) -> Floats:
    if not correlation:
        return noise
    fresh = math.sqrt(1.0 - correlation * correlation)
    last = float(noise[0])
    found = [last]
    for each in noise[1:].tolist():
        last = correlation * last + fresh * each
        found.append(last)
    return np.array(found)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a detector made of streams whose changes are known. Immutable.

    Attributes:
        run_length: Observations without a change for each false alarm; infinite without any.
        delay: Median number of observations from a change to its alarm, of the changes found.
        misses: Share of the changes that no alarm followed before the next one or the end.
        onset_error: Median distance of the estimated onset from the true one.
        always: What an alarm after every value makes of the same streams.
        never: Likewise, no alarm at all.
    """

    run_length: Measurement
    delay: Measurement
    misses: Measurement
    onset_error: Measurement
    always: Evaluation | None = None
    never: Evaluation | None = None

    def __str__(self) -> str:
        return "\n".join(map(self._line, ("run_length", "delay", "misses", "onset_error")))

    def _line(self, name: str) -> str:
        beside = [
            f"{other} {'none' if math.isnan(value) else number(value)}"
            for other in ("always", "never")
            if (found := getattr(self, other)) is not None
            for value in (getattr(found, name).value,)
        ]
        return f"{getattr(self, name)}" + (f"; {', '.join(beside)}" if beside else "")


def evaluate(
    make: Callable[[], Detector], streams: Iterable[Stream], *, confidence: float = 0.95
) -> Evaluation:
    """Let a fresh detector run over each stream, and compare its alarms with the changes.

    The first alarm after a change and before the next finds it; every other one is false. Look at
    all four numbers: what always alarms misses nothing, and what never does is never wrong. Both
    stand beside the detector; `Metronome` is one that alarms at any other pace.

    Args:
        make: Gives a fresh detector.
        streams: With their changes.
        confidence: Of the intervals.

    Raises:
        ConfigurationError: An argument is not of its kind or range.

    Examples:
        >>> import numpy as np
        >>> from mlguard.drift.streams import ScanGLR
        >>> rng = np.random.default_rng(1)
        >>> streams = [stream(rng, np.repeat([0.0, 1.0], 500)) for _ in range(50)]
        >>> print(evaluate(ScanGLR, streams))
        run length = infinity (13,168 to infinity), n = 48,577; always 1, never infinity
        delay = 26 (24 to 31), n = 50; always 0, never none
        misses = 0 (0 to 0.07112), n = 50; always 0, never 1
        onset error = 1 (0 to 2), n = 50; always 0, never none
        >>> print(evaluate(lambda: Metronome(10), streams).run_length)
        run length = 10 (9.725 to 10.28), n = 49,500
    """
    share("confidence", confidence)
    known = instances((Stream,), "streams", streams)
    found = [make().observe_many(each.values) for each in known]
    alarms = [([change.at for change in each], [change.onset for change in each]) for each in found]
    every = [(range(len(each.values)),) * 2 for each in known]
    none: list[tuple[Sequence[int], Sequence[int]]] = [((), ())] * len(known)
    always, never = (_scored(known, each, confidence) for each in (every, none))
    return replace(_scored(known, alarms, confidence), always=always, never=never)


def _scored(
    streams: Sequence[Stream],
    alarms: Sequence[tuple[Sequence[int], Sequence[int]]],
    confidence: float,
) -> Evaluation:
    """Compare the changes of each stream with its alarms: where they came, and their onsets."""
    quiet = false = changes = 0
    delays: list[int] = []
    errors: list[int] = []
    for each, (ats, onsets) in zip(streams, alarms, strict=True):
        changes += len(each.changes)
        quiet += len(each.values)
        false += len(ats)
        for start, end in pairwise((*each.changes, len(each.values))):
            first = bisect_left(ats, start)
            if first < len(ats) and ats[first] < end:
                false -= 1
                delays.append(ats[first] - start)
                errors.append(abs(onsets[first] - start))
                quiet -= ats[first] - start + 1
            else:
                quiet -= end - start
    missed = changes - len(delays)
    low, high = exact_proportion_interval(missed, changes, confidence) if changes else (0.0, 1.0)
    misses = Measurement(
        "misses",
        missed / changes if changes else math.nan,
        n=changes,
        low=low,
        high=high,
        confidence=confidence,
    )
    return Evaluation(
        _every(quiet, false, confidence),
        _median("delay", delays, confidence),
        misses,
        _median("onset error", errors, confidence),
    )


def _every(n: int, alarms: int, confidence: float) -> Measurement:
    tail = (1.0 - confidence) / 2.0
    most = float(special.gammaincinv(alarms + 1.0, 1.0 - tail))
    least = float(special.gammaincinv(alarms, tail)) if alarms else 0.0
    return Measurement(
        "run length",
        n / alarms if alarms else math.inf,
        n=n,
        low=n / most,
        high=n / least if least else math.inf,
        confidence=confidence,
    )


def _median(name: str, values: list[int], confidence: float) -> Measurement:
    n = len(values)
    ends: Any = rank_interval(n, 0.5, confidence) if n else (None, None)
    ranked = sorted(values)
    low, high = (None if rank is None else ranked[rank - 1] for rank in ends)
    value = float(np.median(values)) if n else math.nan
    return Measurement(name, value, n=n, low=low, high=high, confidence=confidence)


class Metronome(Detector):
    """Alarms after every so many values, or never: what to compare a detector with.

    Not thread-safe: one writer. Per process.

    Args:
        every: So many values; infinity is never.

    Raises:
        ConfigurationError: `every` is no whole number of at least 1.
    """

    __slots__ = ("_every",)

    _kind = "metronome"

    def __init__(self, every: float) -> None:
        self._every = every if every == math.inf else whole("every", every, 1)
        super().__init__(on_missing="skip", every=None if every == math.inf else self._every)

    def _begin(self) -> None:
        pass

    def _step(self, x: float) -> Change | None:  # noqa: ARG002 -- whatever it is
        alarm = self._at % self._every == 0
        return self._found(1, None, None) if alarm else None

    @property
    def _ready(self) -> bool:
        return True

    def _level(self) -> float | None:
        return None
