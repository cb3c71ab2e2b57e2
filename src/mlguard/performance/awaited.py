"""Measurements whose labels are awaited: how they are written, and what comes of them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from mlguard.arguments import NO_ITEMS, finite, moment, name_of, real, refusal, share
from mlguard.performance.expected import WITHOUT, Ends, skewed_quantiles
from mlguard.performance.inputs import numbers
from mlguard.records import parsed
from mlguard.sketches.moments import Moments
from mlguard.stats.intervals import normal_quantile
from mlguard.values import Measurement

if TYPE_CHECKING:
    from datetime import datetime

    from numpy.typing import ArrayLike

LEAST_ROWS = 10
"""Fewer reference rows than this tell neither a rate nor a spread."""

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
    """

    n: int
    confidence: float
    at: float | None
    outside: float
    most_outside: float
    assumes: str

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
            details["reason"] = (
                f"{self.outside:.0%} of the scores lie where the reference has too few rows, "
                f"and {self.most_outside:.0%} may"
            )
        known = not math.isnan(value)
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
    """

    name: str
    errors: Moments
    predictions: Moments
    lowest: float
    highest: float

    @classmethod
    def fit(cls, loss: ArrayLike, predicted: ArrayLike, *, name: str) -> Self:
        """Measure the errors of a loss model; see `Estimate.of_loss`."""
        cost, said = numbers("loss", loss), numbers("predicted", predicted)
        if len(said) != len(cost):
            raise refusal("len(predicted)", len(said), f"that of loss, which is {len(cost)}")
        if len(cost) < LEAST_ROWS:
            raise refusal("len(loss)", len(cost), f"at least {LEAST_ROWS} rows")
        ends = float(said.min()), float(said.max())
        return cls(name_of("name", name), Moments.of(cost - said), Moments.of(said), *ends)

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
        n, known = len(said), self.errors.n
        outside = (said < self.lowest) | (said > self.highest)
        beyond = float(outside.mean()) if n else math.nan
        about = About(n, confidence, stamp, beyond, bound, _ASSUMES)
        if not n:
            return {self.name: about.measurement(self.name, (math.nan,) * 3, "lower")}
        value = float(said.mean()) + self.errors.mean
        variance, third = (self.errors.central(power) / known for power in (2, 3))
        variance *= known / (known - 1.0)
        usual = self.predictions.mean
        growth = max(float(said.mean()) / usual, 1.0) if usual > 0.0 else 1.0
        ends = np.array([-1.0, 1.0]) * normal_quantile(confidence)
        low, high = skewed_quantiles(
            ends,
            value,
            variance * (growth**2 / n + 1.0 / known),
            third * (growth**3 / n**2 + 2.0 / known**2),
        ).tolist()
        return {self.name: about.measurement(self.name, (value, low, high), "lower")}

    def __add__(self, other: Self) -> Self:
        if not isinstance(other, LossEstimate):
            return NotImplemented
        if other.name != self.name:
            raise refusal("name", other.name, f"the same in both, here {self.name!r}")
        lowest, highest = min(self.lowest, other.lowest), max(self.highest, other.highest)
        errors, predictions = self.errors + other.errors, self.predictions + other.predictions
        return type(self)(self.name, errors, predictions, lowest, highest)

    def __repr__(self) -> str:
        return f"<LossEstimate of {self.name} from {self.errors.n:,} rows>"

    def to_json(self) -> str:
        """Write the sums as JSON, the same for the same rows however they were split."""
        record = {
            "kind": "loss_estimate",
            "schema": 1,
            "name": self.name,
            "errors": self.errors.to_dict(),
            "predictions": self.predictions.to_dict(),
            "lowest": self.lowest,
            "highest": self.highest,
        }
        return json.dumps(record, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote.

        Raises:
            ConfigurationError: The text is no loss estimate of a known schema.
        """
        record = parsed(text, "loss_estimate")
        try:
            return cls._of(record)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise refusal("text", text, f"the JSON of a loss estimate: {error}") from None

    @classmethod
    def _of(cls, record: Mapping[str, Any]) -> Self:
        errors, said = (Moments.from_dict(record[name]) for name in ("errors", "predictions"))
        ends = (finite(name, record[name]) for name in ("lowest", "highest"))
        return cls(name_of("name", record["name"]), errors, said, *ends)


def realised_minus_estimated(realised: Measurement, estimated: Measurement) -> Measurement:
    """Measure how far a metric turned out from its estimate: a detector of concept drift.

    An estimate holds the scores fixed and takes the calibration as it was. So where the interval of
    this difference leaves out zero, the share of events at the same scores has changed: the chance
    of a false alarm is 1 minus the confidence of the estimate. `not_worse(margin=)` judges it.

    Args:
        realised: Of the rows, once they have their labels, such as `evaluate(…).overall`.
        estimated: The estimate for the scores of the same rows, of the same metric. Where some
            rows are missing in one of the two, their counts differ, and the interval takes in the
            sampling error of both (G. Y. Zou and A. Donner, Statistics in Medicine 27, 2008);
            this is wider than needed.

    Returns:
        The difference, NaN with the reason where either is.

    Raises:
        ConfigurationError: The two are of different metrics, or `estimated` is no estimate.

    Examples:
        >>> import numpy as np
        >>> from mlguard.performance import Estimate, evaluate
        >>> rng = np.random.default_rng(3)
        >>> score = rng.random(8_000)
        >>> y = rng.random(8_000) < np.where(np.arange(8_000) < 6_000, score, 0.8 * score)
        >>> estimated = Estimate.fit(y[:6_000], score[:6_000]).estimate(score[6_000:])
        >>> realised = evaluate(y[6_000:], score[6_000:], loss="brier").overall
        >>> print(realised_minus_estimated(realised, estimated["brier"]))
        brier realised − estimated = 0.03376 (0.0245 to 0.04268), n = 2,000
    """
    metric = realised.name.partition("[")[0]
    if metric != estimated.name:
        raise refusal("estimated", estimated.name, f"of the same metric as realised, {metric}")
    if "assumes" not in estimated.details:
        raise refusal("estimated", str(estimated), "what Estimate.estimate gave")
    value = realised.value - estimated.value
    details = {
        "better": estimated.details["better"],
        "champion": estimated.value,
        "candidate": realised.value,
    }
    low = high = None
    if math.isnan(value):
        parts = [part for part in (realised, estimated) if math.isnan(part.value)]
        details["reason"] = parts[0].details.get("reason", "one of the two has no value")
    elif estimated.low is None or estimated.high is None:
        details["reason"] = "the estimate has no interval"
    else:
        below, above = estimated.high - estimated.value, estimated.value - estimated.low
        if realised.n == estimated.n:
            low, high = value - below, value + above
        elif realised.low is not None and realised.high is not None:
            low = value - math.hypot(below, realised.value - realised.low)
            high = value + math.hypot(above, realised.high - realised.value)
        else:
            details["reason"] = (
                f"the estimate has {estimated.n} rows, and the realised metric no interval"
            )
    return Measurement(
        f"{realised.name} realised − estimated",
        value,
        n=realised.n,
        low=low,
        high=high,
        confidence=None if low is None else estimated.confidence,
        at=realised.at,
        details=details,
    )
