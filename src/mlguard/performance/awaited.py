"""Measurements whose labels are awaited: how they are written, and those of a loss model."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar

import numpy as np

from mlguard.arguments import NO_ITEMS, finite, moment, name_of, real, refusal, share
from mlguard.performance import estimates
from mlguard.performance.expected import WITHOUT, Ends, skewed_quantiles
from mlguard.performance.inputs import numbers, same_length
from mlguard.records import parsed
from mlguard.render import text
from mlguard.sketches.moments import Moments
from mlguard.stats.intervals import normal_quantile
from mlguard.values import Measurement

if TYPE_CHECKING:
    from datetime import datetime

    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

LEAST_ROWS = 10
"""Fewer reference rows than this tell no rate of a score."""

LEAST_REFERENCE = 30
"""Fewer rows are no reference: with 20 the intervals missed in 40 % of samples, with 30 in 6."""

_WHERE = "predictions lie beyond every one of the reference"

_ASSUMES = "losses scatter around the loss model as in the reference: no concept drift"


def terms(confidence: float, most_outside: float) -> tuple[float, float]:
    """Read what an estimate is asked with."""
    bound = real("most_outside", most_outside)
    if not 0.0 <= bound <= 1.0:
        raise refusal("most_outside", most_outside, "between 0 and 1")
    return share("confidence", confidence), bound


@dataclass(frozen=True, slots=True)
class About:
    """What all measurements of one estimate have in common. Immutable.

    Attributes:
        n: Current rows.
        confidence: Of the intervals.
        at: Event time of the newest row.
        outside: Share of the rows of which the reference knows too little.
        most_outside: How much of that is allowed.
        assumes: What must hold.
        where: What "outside" means, in words.
    """

    n: int
    confidence: float
    at: float | None
    outside: float
    most_outside: float
    assumes: str
    where: str = "scores lie where the reference has too few rows"

    def measurement(
        self, name: str, ends: Ends, better: str, more: Mapping[str, Any] = NO_ITEMS
    ) -> Measurement:
        """Write a value with its interval, or NaN with the reason."""
        value, low, high = ends
        details = {"better": better, "assumes": self.assumes, "outside": self.outside, **more}
        if not self.n:
            details["reason"] = "there are no rows"
        elif math.isnan(value):
            details["reason"] = WITHOUT[name]
        elif self.outside > self.most_outside:
            details["guess"], value = value, math.nan
            share, most = text.apart(self.outside, self.most_outside, "share")
            details["reason"] = f"{share} of the {self.where}, and {most} may"
        known = not (math.isnan(value) or math.isnan(low))
        return Measurement(
            name,
            value,
            n=self.n,
            low=low if known else None,
            high=high if known else None,
            confidence=self.confidence if known else None,
            at=self.at,
            details=details,
        )


def known(found: Mapping[str, Measurement]) -> dict[str, Measurement]:
    """Take the intervals away where the labels are known."""
    return {
        name: replace(each, low=None, high=None, confidence=None) for name, each in found.items()
    }


class Kept(Protocol):
    """What is kept as JSON."""

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Self:
        """Read what was written."""


K = TypeVar("K", bound=Kept)


def read_json(cls: type[K], written: str, kind: str) -> K:
    """Read the JSON of a kind; whatever is wrong with it, the error names the text."""
    record = parsed(written, kind)
    try:
        return cls.from_dict(record)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise refusal("text", written, f"whole, as a {kind.replace('_', ' ')}: {error}") from None


def costs(loss: ArrayLike, predicted: ArrayLike) -> tuple[Floats, Floats]:
    """Read what rows cost and what a loss model says of them."""
    cost, said = numbers("loss", loss), numbers("predicted", predicted)
    same_length("predicted", len(said), len(cost), like="loss")
    return cost, said


@dataclass(frozen=True, slots=True, repr=False)
class LossEstimate:
    """What a loss model says of the mean loss of rows without labels. Made by `Estimate.of_loss`.

    Immutable, so safe between threads. Per process and mergeable: `a + b` rests on the reference
    rows of both, exactly; the JSON round-trips and holds no row.

    The expected loss is the mean of what the loss model predicts, put right by its mean error on
    the reference (NannyML's DLE is the same without this correction). The interval is one for
    the mean loss that these rows will turn out to have: the errors of these rows and of the
    reference rows are independent, so their variances and third moments add. Costlier rows
    scatter more: where the mean prediction rises, the errors are taken to grow as much.

    Attributes:
        name: Of the metric.
        errors: Moments of realised minus predicted loss over the reference rows.
        predictions: Moments of the predicted losses.
        lowest: The lowest loss predicted for a reference row.
        highest: The highest one; predictions beyond the two are outside.
        least: The lowest loss of a reference row: no interval goes below 0 if this is not.
    """

    name: str
    errors: Moments
    predictions: Moments
    lowest: float
    highest: float
    least: float

    @classmethod
    def fit(cls, loss: ArrayLike, predicted: ArrayLike, *, name: str) -> Self:
        """Measure the errors of a loss model; see `Estimate.of_loss`."""
        cost, said = costs(loss, predicted)
        if len(cost) < LEAST_REFERENCE:
            raise refusal("len(loss)", len(cost), f"at least {LEAST_REFERENCE} rows")
        return cls.of(cost, said, name_of("name", name))

    @classmethod
    def of(cls, cost: Floats, said: Floats, name: str) -> Self:
        """Measure the errors of at least one row that was read."""
        ends = float(said.min()), float(said.max()), float(cost.min())
        return cls(name, Moments.of(cost - said), Moments.of(said), *ends)

    def estimate(
        self,
        predicted: ArrayLike,
        *,
        confidence: float = 0.95,
        most_outside: float = 0.05,
        at: float | datetime | None = None,
    ) -> dict[str, Measurement]:
        """Estimate the mean loss of rows whose labels are not known yet.

        Args:
            predicted: What the loss model says that each row costs, shape (n,).
            confidence: That the interval holds the realised mean loss.
            most_outside: Share of the rows that may lie beyond every prediction of the reference;
                above it the value is NaN, with the reason.
            at: Event time of the newest row, Unix seconds or an aware datetime.

        Returns:
            One measurement, by its name. NaN with the reason where there are no rows.

        Raises:
            ConfigurationError: A prediction is missing or infinite, or an argument out of range.
        """
        said = numbers("predicted", predicted)
        confidence, bound = terms(confidence, most_outside)
        stamp = None if at is None else moment("at", at)
        n, rows = len(said), self.n
        outside = (said < self.lowest) | (said > self.highest)
        beyond = float(outside.mean()) if n else math.nan
        about = About(n, confidence, stamp, beyond, bound, _ASSUMES, _WHERE)
        if not n:
            return {self.name: about.measurement(self.name, (math.nan,) * 3, "lower")}
        value = float(said.mean()) + self.errors.mean
        variance, third = (self.errors.central(power) / rows for power in (2, 3))
        variance *= rows / (rows - 1.0)
        usual = self.predictions.mean
        growth = max(float(said.mean()) / usual, 1.0) if usual > 0.0 else 1.0
        ends = np.array([-1.0, 1.0]) * normal_quantile(confidence)
        low, high = skewed_quantiles(
            ends,
            value,
            variance * (growth**2 / n + 1.0 / rows),
            third * (growth**3 / n**2 + 2.0 / rows**2),
        ).tolist()
        if self.least >= 0.0:
            value, low = max(value, 0.0), max(low, 0.0)
        more: dict[str, Any] = {}
        if variance <= 0.0 or estimates.of_rows(self.errors).interval is None:
            low = high = math.nan
            more["no_interval"] = "the errors in the reference are those of too few rows"
        return {self.name: about.measurement(self.name, (value, low, high), "lower", more)}

    @property
    def n(self) -> int:
        """Reference rows."""
        return self.errors.n

    @property
    def reference(self) -> dict[str, Measurement]:
        """The mean loss of the reference rows: what `change_from` starts from."""
        about = About(self.n, 0.95, None, 0.0, 0.0, _ASSUMES)
        value = self.errors.mean + self.predictions.mean
        return known({self.name: about.measurement(self.name, (value,) * 3, "lower")})

    def __add__(self, other: Self) -> Self:
        if not isinstance(other, LossEstimate):
            return NotImplemented
        if other.name != self.name:
            raise refusal("name", other.name, f"the same in both, here {self.name!r}")
        lowest, highest = min(self.lowest, other.lowest), max(self.highest, other.highest)
        errors, predictions = self.errors + other.errors, self.predictions + other.predictions
        least = min(self.least, other.least)
        return type(self)(self.name, errors, predictions, lowest, highest, least)

    def __repr__(self) -> str:
        return f"<LossEstimate of {self.name} from {self.n:,} rows>"

    def to_dict(self) -> dict[str, Any]:
        """Give plain JSON."""
        return {
            "kind": "loss_estimate",
            "schema": 1,
            "name": self.name,
            "errors": self.errors.to_dict(),
            "predictions": self.predictions.to_dict(),
            "lowest": self.lowest,
            "highest": self.highest,
            "least": self.least,
        }

    def to_json(self) -> str:
        """Write the sums as JSON, the same for the same rows however they were split."""
        return json.dumps(self.to_dict(), separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote.

        Raises:
            ConfigurationError: The text is no loss estimate of a known schema.
        """
        return read_json(cls, text, "loss_estimate")

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Self:
        """Read what `to_dict` wrote."""
        errors, said = (Moments.from_dict(record[name]) for name in ("errors", "predictions"))
        ends = [finite(name, record[name]) for name in ("lowest", "highest", "least")]
        if ends[0] > ends[1]:
            raise refusal("lowest", ends[0], f"at most highest = {ends[1]}")
        return cls(name_of("name", record["name"]), errors, said, *ends)
