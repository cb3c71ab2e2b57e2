"""Cohorts of predictions: when they are mature, and the exact sums of each."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field, fields, replace
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from mlguard.arguments import refusal
from mlguard.performance import estimates
from mlguard.performance.evaluation import ALL, pooled, slice_order
from mlguard.performance.inputs import labels
from mlguard.performance.metrics import METRICS, Metric, pinball
from mlguard.performance.waiting import Rows
from mlguard.sketches.moments import LARGEST, Moments
from mlguard.values import Measurement

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray


DAY = 86_400.0
LENGTHS = {"day": (DAY, 0.0), "week": (7.0 * DAY, 3.0 * DAY)}
"""Of a cohort, and how long before 1970 the one that holds its first moment began: on a Monday."""


@dataclass(frozen=True, slots=True)
class Calendar:
    """Which cohort a prediction belongs to, and when that is mature. Immutable; in seconds, UTC."""

    length: float
    shift: float
    labels_after: float

    def place(self, times: NDArray[np.float64]) -> NDArray[np.float64]:
        """Number the cohorts of some moments; NaN stays NaN."""
        return np.floor((times + self.shift) / self.length)

    def starts(self, place: float) -> float:
        """Give the first moment of a cohort."""
        return place * self.length - self.shift

    def matures(self, place: float) -> float:
        """Give the moment from which a cohort is mature: `labels_after` after its end."""
        return self.starts(place + 1) + self.labels_after

    def line(self, now: float) -> int:
        """Give the first cohort that is not mature."""
        return math.floor((now - self.labels_after + self.shift) / self.length)


@dataclass(frozen=True, slots=True)
class Terms:
    """What is judged, and how: the arguments of `Outcomes` that two must share to add up."""

    metric: Metric
    calendar: Calendar
    cohort: str
    window: float
    slices: tuple[str, ...]
    no_label_means: float | str | None
    keep: float
    confidence: float
    min_slice: int

    def to_dict(self) -> dict[str, Any]:
        """Give plain JSON; of the loss its name."""
        own = {each.name: getattr(self, each.name) for each in fields(self)[2:]}
        loss = {"loss": self.metric.name, "better": self.metric.better}
        labels_after = {"labels_after": self.calendar.labels_after, "by": "prediction_time"}
        return {**loss, **labels_after, **own, "slices": list(self.slices)}


@dataclass(frozen=True, slots=True)
class Absent:
    """Stands for a loss of the user's own where only its name is known."""

    name: str

    def __call__(self, y: Any, prediction: Any) -> Any:
        """Refuse to give a loss."""
        del y, prediction
        allowed = f"given: from_json(text, loss={self.name}), or add this to Outcomes that have it"
        raise refusal("loss", self.name, allowed)


def named(name: str, better: Any) -> Metric:
    """Find a loss by its name."""
    kind, _, quantile = name.partition("_")
    if kind == "pinball":
        return pinball(float(quantile))
    return METRICS.get(name) or Metric(name, Absent(name), better)


@dataclass(frozen=True, slots=True)
class Tally:
    """What is known of the predictions of one cohort and slice, without a row.

    Immutable, so safe between threads; per process and mergeable: `a + b` is exact in any order.

    Attributes:
        predictions: How many there were.
        labelled: How many of them got a label.
        newest: Moment of the newest prediction that has a loss.
        losses: Exact sums of the losses.
    """

    predictions: int = 0
    labelled: int = 0
    newest: float = -math.inf
    losses: Moments = field(default_factory=lambda: Moments.of(np.empty(0)))

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.predictions + other.predictions,
            self.labelled + other.labelled,
            max(self.newest, other.newest),
            self.losses + other.losses,
        )

    def to_dict(self) -> dict[str, Any]:
        """Give plain JSON."""
        newest = None if math.isinf(self.newest) else self.newest
        counts = {"predictions": self.predictions, "labelled": self.labelled, "newest": newest}
        return {**counts, "losses": self.losses.to_dict()}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Self:
        """Read what `to_dict` wrote."""
        newest = -math.inf if record["newest"] is None else float(record["newest"])
        losses = Moments.from_dict(record["losses"])
        return cls(record["predictions"], record["labelled"], newest, losses)


def added(*parts: Mapping[str, Tally]) -> dict[str, Tally]:
    """Add the tallies of each slice."""
    total: dict[str, Tally] = {}
    for part in parts:
        for key, tally in part.items():
            total[key] = total[key] + tally if key in total else tally
    return total


def tallied(rows: Rows, terms: Terms) -> dict[int, dict[str, Tally]]:
    """Count the predictions among some rows by cohort and slice."""
    rows = rows.at(rows.predicted)
    labelled, losses = rows.labelled, row_losses(rows, terms)
    found: dict[int, dict[str, Tally]] = {}
    times = rows.columns["predicted_at"]
    for place, members in _groups(terms.calendar.place(times), np.arange(len(rows))):
        found[int(place)] = {
            key: _tally(times[part], labelled[part], losses[part])
            for key, part in _slices(rows, members)
        }
    return found


def row_losses(rows: Rows, terms: Terms) -> NDArray[np.float64]:
    """Give the loss of each of some predictions, NaN where it has no label."""
    no_label_means = terms.no_label_means
    labelled = rows.labelled
    judged = labelled if no_label_means is None else np.ones(len(rows), dtype=bool)
    losses = np.full(len(rows), np.nan)
    if judged.any():
        kind = object if isinstance(no_label_means, str) else rows.values("label", judged).dtype
        truth = np.full(len(rows), no_label_means, dtype=kind)
        truth[labelled] = rows.values("label", labelled)
        truth = truth[judged]
        losses[judged] = _losses(terms.metric, truth, rows.values("prediction", judged))
    return losses


def _slices(rows: Rows, members: NDArray[np.intp]) -> Iterable[tuple[str, NDArray[np.intp]]]:
    yield ALL, members
    for name in rows.slices:
        for code, part in _groups(rows.columns[name], members):
            yield f"{name}={rows.words[int(code)]}", part


def _groups(
    keys: NDArray[np.float64], members: NDArray[np.intp]
) -> Iterable[tuple[float, NDArray[np.intp]]]:
    order = members[np.argsort(keys[members], kind="stable")]
    cuts = np.flatnonzero(np.diff(keys[order])) + 1
    for part in np.split(order, cuts) if len(order) else []:
        yield float(keys[part[0]]), part


def _tally(
    times: NDArray[np.float64], labelled: NDArray[np.bool_], losses: NDArray[np.float64]
) -> Tally:
    judged = ~np.isnan(losses)
    newest = float(times[judged].max(initial=-math.inf))
    return Tally(len(times), int(labelled.sum()), newest, Moments.of(losses[judged]))


def _losses(metric: Metric, truth: NDArray[Any], said: NDArray[Any]) -> NDArray[np.float64]:
    read_truth, read_model = metric.reads
    result = metric.of(read_truth("label", truth), read_model("prediction", said))
    losses = np.asarray(result, dtype=np.float64)
    if losses.shape != truth.shape:
        allowed = f"{truth.shape}, one number per row: sums of a metric of all rows do not add up"
        raise refusal(f"{metric.name}(y, prediction).shape", losses.shape, allowed)
    if not (fits := np.abs(losses) <= LARGEST).all():
        row, allowed = int((~fits).argmax()), f"finite and at most {LARGEST:g} in absolute value"
        raise refusal(f"{metric.name}(y, prediction)[{row}]", float(losses[row]), allowed)
    return losses


@dataclass(frozen=True, slots=True)
class State:
    """All that was learned. Immutable; per process and mergeable: `a + b` knows what either did.

    Attributes:
        batches: The rows that wait; an id may stand in several batches.
        sums: What became of the rows of closed cohorts.
        closed: The cohorts before this one are closed.
        noted: Counts of what was odd among the rows that no longer wait.
        kinds: Whether predictions and labels are numbers or text, where that is known.
    """

    batches: tuple[Rows, ...]
    sums: Mapping[int, Mapping[str, Tally]] = field(default_factory=dict)
    closed: int | None = None
    noted: Mapping[str, int] = field(default_factory=dict)
    kinds: Mapping[str, str] = field(default_factory=dict)

    @property
    def rows(self) -> Rows:
        """All rows that wait, one for each id."""
        return reduce(add, self.batches)

    @property
    def counts(self) -> Counter[str]:
        """What was odd so far."""
        return Counter(self.noted) + odd(self.rows)

    def with_rows(self, rows: Rows, terms: Terms) -> State:
        """Let rows wait; those of closed cohorts are late. A batch stays twice as long as the next.

        Raises:
            ConfigurationError: There is text among numbers, or numbers among text.
        """
        kinds, noted = _agreed(self.kinds, rows.kinds), Counter(self.noted)
        if terms.metric.reads == (labels, labels) and len({*kinds.values()}) > 1:
            raise refusal("label", kinds["label"], f"{kinds['prediction']}, like the predictions")
        if self.closed is not None:
            late = terms.calendar.place(rows.times) < self.closed
            noted["late"] += int(late.sum())
            rows = rows.at(~late)
        batches = list(self.batches)
        while batches and len(batches[-1]) < 2 * len(rows):
            rows = batches.pop() + rows
        return replace(self, batches=(*batches, rows), noted=noted, kinds=kinds)

    def folded(self, line: int, terms: Terms) -> State:
        """Turn the rows of the cohorts before a line into sums."""
        rows = self.rows
        going = terms.calendar.place(rows.times) < line
        gone = rows.at(going)
        noted = Counter(self.noted) + odd(gone)
        noted["unmatched"] += int((~gone.predicted).sum())
        sums = dict(self.sums)
        for place, parts in tallied(gone, terms).items():
            sums[place] = added(sums.get(place, {}), parts)
        closed = line if self.closed is None else max(line, self.closed)
        return replace(self, batches=(rows.at(~going),), sums=sums, closed=closed, noted=noted)

    def mature(
        self, first: float, line: int, terms: Terms
    ) -> tuple[dict[int, Mapping[str, Tally]], float | None]:
        """Give the tallies of the cohorts from `first` to the line, and when the next is mature."""
        rows = self.rows
        places = terms.calendar.place(rows.columns["predicted_at"])
        found = {place: parts for place, parts in self.sums.items() if first <= place < line}
        for place, parts in tallied(rows.at((places >= first) & (places < line)), terms).items():
            found[place] = added(found.get(place, {}), parts)
        waits = [*places[places >= line], *(place for place in self.sums if place >= line)]
        return found, terms.calendar.matures(float(min(waits))) if waits else None

    def __add__(self, other: State) -> State:
        sums = {
            place: added(self.sums.get(place, {}), other.sums.get(place, {}))
            for place in {*self.sums, *other.sums}
        }
        lines = [each for each in (self.closed, other.closed) if each is not None]
        noted = Counter(self.noted) + Counter(other.noted)
        kinds = _agreed(self.kinds, other.kinds)
        return State((self.rows + other.rows,), sums, max(lines, default=None), noted, kinds)

    def to_dict(self) -> dict[str, Any]:
        """Give plain JSON."""
        sums = {
            str(place): {key: parts[key].to_dict() for key in sorted(parts)}
            for place, parts in sorted(self.sums.items())
        }
        noted = {name: count for name, count in sorted(self.noted.items()) if count}
        return {"closed": self.closed, "noted": noted, "sums": sums, "rows": self.rows.to_dict()}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Self:
        """Read what `to_dict` wrote."""
        sums = {
            int(place): {key: Tally.from_dict(part) for key, part in parts.items()}
            for place, parts in record["sums"].items()
        }
        rows = Rows.from_dict(record["rows"])
        return cls((rows,), sums, record["closed"], dict(record["noted"]), rows.kinds)


def _agreed(first: Mapping[str, str], second: Mapping[str, str]) -> dict[str, str]:
    """Refuse text among numbers, and numbers among text."""
    for name, kind in second.items():
        if (before := first.get(name, kind)) != kind:
            raise refusal(name, kind, f"{before}, like those before")
    return {**first, **second}


def odd(rows: Rows) -> Counter[str]:
    """Count what is odd among rows."""
    noted = {"conflicts": rows.relabelled, "repredicted": rows.repredicted, "early": rows.early}
    return Counter({name: int(flags.sum()) for name, flags in noted.items()})


def measurements(
    parts: Mapping[str, Tally], terms: Terms, details: Mapping[str, Any], reason: str
) -> list[Measurement]:
    """Measure the whole and its slices, whose intervals hold together (Bonferroni)."""
    overall, least = parts.get(ALL, Tally()), terms.min_slice
    if not overall.losses.n:
        return [_measurement(ALL, overall, terms, {**details, "reason": reason})]
    slices = {key: parts[key] for key in sorted(parts, key=slice_order) if key != ALL}
    judged = pooled(slices, lambda tally: tally.losses.n, add, least)
    return [_measurement(ALL, overall, terms, details)] + [
        _measurement(key, tally, terms, {**details, "slice": key}, tests=len(judged))
        for key, tally in judged.items()
        if tally.losses.n or tally.predictions >= least
    ]


def _measurement(
    key: str, tally: Tally, terms: Terms, details: Mapping[str, Any], *, tests: int = 1
) -> Measurement:
    estimate = estimates.of_rows(tally.losses)
    confidence = 1.0 - (1.0 - terms.confidence) / tests
    low = high = None
    if estimate.interval is not None:
        low, high = estimate.interval(confidence)
    coverage = tally.labelled / tally.predictions if tally.predictions else None
    known = {"better": terms.metric.better, "coverage": coverage, "predictions": tally.predictions}
    return Measurement(
        f"{terms.metric.name}[{key}]" if key else terms.metric.name,
        estimate.value,
        n=estimate.n,
        low=low,
        high=high,
        confidence=None if low is None else confidence,
        at=tally.newest if estimate.n else None,
        details={**known, **estimate.details, **details},
    )
