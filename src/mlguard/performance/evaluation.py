"""A metric with its interval, overall and by slice: of one model, or of the change to another."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self, TypeAlias, TypeVar

from mlguard.arguments import refusal
from mlguard.errors import ConfigurationError
from mlguard.performance import estimates
from mlguard.performance.estimates import Uncertain
from mlguard.sketches.moments import Moments
from mlguard.values import Measurement

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

P = TypeVar("P")

Part: TypeAlias = tuple[Moments, ...] | Uncertain
"""What a slice rests on: exact sums, which merge, or an estimate made at once."""

SMALL = "(small)"
"""The level of slices that were put together."""

ALL = ""
"""The key of the part that holds all rows; the others are "column=level"."""


@dataclass(frozen=True, slots=True, repr=False)
class Evaluation:
    """A metric of one model with its interval, overall and by slice. Made by `evaluate`.

    Immutable, so safe between threads. Per process and mergeable where the metric is a mean over
    rows: `a + b` is the evaluation of all rows of both, exactly, and it round-trips through JSON.
    Calling it gives all measurements, so `guard(evaluation, policy)` judges every one.

    Attributes:
        name: Of the metric, or of its change.
        better: Which way is better: "lower" or "higher".
        confidence: Coverage of the overall interval, and of all slices together.
        min_slice: Slices with fewer rows are put together as "column=(small)".
        parts: What each slice rests on.
    """

    name: str
    better: str
    confidence: float
    min_slice: int
    parts: Mapping[str, Part]

    def __call__(self) -> list[Measurement]:
        return [self.overall, *self.slices.values()]

    @property
    def overall(self) -> Measurement:
        """The measurement over all rows."""
        return self._measurement(self.name, self.parts[ALL], 1, {})

    @property
    def slices(self) -> dict[str, Measurement]:
        """The measurements by slice; their intervals hold together at `confidence` (Bonferroni)."""
        parts = {key: self.parts[key] for key in sorted(self.parts, key=slice_order) if key != ALL}
        judged = pooled(parts, _rows, _joined, self.min_slice)
        return {
            key: self._measurement(f"{self.name}[{key}]", part, len(judged), {"slice": key})
            for key, part in judged.items()
        }

    def __repr__(self) -> str:
        slices = len(self.slices)
        return f"<{type(self).__name__} {self.overall}, {slices} slices>"

    def _estimate(self, part: Part) -> Uncertain:
        return part if isinstance(part, Uncertain) else estimates.of_rows(*part)

    def _measurement(
        self, name: str, part: Part, tests: int, more: Mapping[str, Any]
    ) -> Measurement:
        estimate = self._estimate(part)
        confidence = 1.0 - (1.0 - self.confidence) / tests
        p_value = estimate.p_value
        low = high = None
        if estimate.interval is not None:
            low, high = estimate.interval(confidence)
        return Measurement(
            name,
            estimate.value,
            n=estimate.n,
            low=low,
            high=high,
            confidence=None if low is None else confidence,
            p_value=None if p_value is None else min(1.0, tests * p_value),
            details={"better": self.better, **estimate.details, **more},
        )

    def __add__(self, other: Self) -> Self:
        if type(other) is not type(self):
            return NotImplemented
        for field in ("name", "better", "confidence", "min_slice"):
            ours, theirs = getattr(self, field), getattr(other, field)
            if ours != theirs:
                raise refusal(field, theirs, f"the same in both, here {ours!r}")
        if _rows(self.parts[ALL]) and _rows(other.parts[ALL]):
            ours, theirs = (
                sorted({key.partition("=")[0] for key in each.parts} - {ALL})
                for each in (self, other)
            )
            if ours != theirs:
                raise refusal("by", theirs, f"the same columns in both, here {ours}")
        parts = dict(self.parts)
        for key, part in other.parts.items():
            parts[key] = _joined(parts[key], part) if key in parts else part
        return type(self)(self.name, self.better, self.confidence, self.min_slice, parts)

    def to_dict(self) -> dict[str, Any]:
        """Give plain JSON: exact sums, no rows.

        Raises:
            ConfigurationError: The metric is no mean over rows.
        """
        parts = {}
        for key, part in sorted(self.parts.items()):
            if isinstance(part, Uncertain):
                raise ConfigurationError(f"{self.name} is no mean over rows: it has no exact sums")
            parts[key] = [moments.to_dict() for moments in part]
        return {
            "kind": type(self).__name__.lower(),
            "schema": 1,
            "name": self.name,
            "better": self.better,
            "confidence": self.confidence,
            "min_slice": self.min_slice,
            "parts": parts,
        }

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Self:
        """Read what `to_dict` wrote; raises ConfigurationError on another kind or schema."""
        for field, expected in (("kind", cls.__name__.lower()), ("schema", 1)):
            if record.get(field) != expected:
                raise refusal(field, record.get(field), repr(expected))
        parts: dict[str, Part] = {
            key: tuple(Moments.from_dict(moments) for moments in part)
            for key, part in record["parts"].items()
        }
        limits = record["confidence"], record["min_slice"]
        return cls(record["name"], record["better"], *limits, parts)


@dataclass(frozen=True, slots=True, repr=False)
class Comparison(Evaluation):
    """The change of a metric from champion to candidate on the same rows. Made by `compare`.

    Immutable, mergeable and a measure, like `Evaluation`. A value is candidate minus champion in
    the metric's own unit, with a paired interval and the p-value of "no change"; each model's own
    value stands in `details`.
    """

    def _estimate(self, part: Part) -> Uncertain:
        return part if isinstance(part, Uncertain) else estimates.of_row_differences(*part)


def slice_order(key: str) -> tuple[Any, ...]:
    """Sort by column, "(missing)" last, 2 before 10: the same after a merge in any order."""
    column, _, level = key.partition("=")
    words = [int(word) if word.isdecimal() else word for word in re.split(r"(\d+)", level)]
    return column, level.startswith("("), words, level


def pooled(
    parts: Mapping[str, P], rows: Callable[[P], int], join: Callable[[P, P], P], least: int
) -> dict[str, P]:
    """Put the slices of a column that have fewer than `least` rows together as one.

    It is judged like any other, however small it is: rows that nobody judged must not pass.
    """
    kept: dict[str, P] = {}
    small: dict[str, P] = {}
    for key, part in parts.items():
        if rows(part) >= least:
            kept[key] = part
        else:
            column = key.partition("=")[0]  # which has no "=" in its name
            small[column] = join(small[column], part) if column in small else part
    for column, part in small.items():
        key = f"{column}={SMALL}"  # a level of that very name is among them
        kept[key] = join(kept[key], part) if key in kept else part
    return kept


def _rows(part: Part) -> int:
    return part.n if isinstance(part, Uncertain) else part[0].n


def _joined(first: Part, second: Part) -> Part:
    if isinstance(first, Uncertain) or isinstance(second, Uncertain):
        raise ConfigurationError(
            "a metric of all rows, such as an AUC, does not merge: evaluate all rows at once"
        )
    return tuple(a + b for a, b in zip(first, second, strict=True))
