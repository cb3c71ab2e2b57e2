"""How far a metric moved: from its estimate to what came, or from the reference to now."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from mlguard.arguments import instances, refusal
from mlguard.checks import taken_of
from mlguard.performance.evaluation import SMALL
from mlguard.values import Measurement

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlguard.protocols import Measure, Meter


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
        brier realised − estimated = 0.03379 (0.02453 to 0.04271), n = 2,000
    """
    instances((Measurement,), "realised, estimated", (realised, estimated))
    metric = realised.name.partition("[")[0]
    if estimated.name not in {metric, realised.name}:
        raise refusal("estimated", estimated.name, f"of the same metric as realised, {metric}")
    if "assumes" not in estimated.details:
        raise refusal("estimated", str(estimated), "what Estimate.estimate gave")
    details = {
        "better": estimated.details["better"],
        "estimated": estimated.value,
        "realised": realised.value,
    }
    value, low, high = realised.value - estimated.value, None, None
    if math.isnan(value):
        details["reason"] = _reason(realised, estimated)
    elif estimated.low is None or estimated.high is None:
        details["reason"] = "the estimate has no interval"
    elif realised.n == estimated.n:
        low, high = realised.value - estimated.high, realised.value - estimated.low
    elif realised.low is None or realised.high is None:
        details["reason"] = (
            f"the estimate has {estimated.n} rows, and the realised metric no interval"
        )
    else:
        low, high = _apart(realised, estimated)
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


@dataclass(frozen=True, slots=True)
class Change:
    """The measure that `change_from` makes. Thread-safe if what it measures is."""

    reference: Mapping[str, Measurement]
    current: Measure

    def __call__(self) -> list[Measurement]:
        return [
            self._of(current)
            for current in taken_of(self.current())
            if not current.name.endswith(f"={SMALL}]")
        ]

    def _of(self, current: Measurement) -> Measurement:
        known = self.reference.get(current.name)
        better = current.details.get("better")
        ours = better if known is None else known.details.get("better", better)
        if ours != better:
            raise refusal(f"better of {current.name}", better, f"as in the reference, {ours!r}")
        before = math.nan if known is None else known.value
        details: dict[str, Any] = {**current.details, "reference": before, "current": current.value}
        value, low, high = current.value - before, None, None
        if math.isnan(current.value):
            details["reason"] = _reason(current)
        elif known is None:
            details["reason"] = f"the reference has no {current.name}, or too few rows of it"
        elif math.isnan(value):
            details["reason"] = _reason(current, known)
        elif current.low is None or current.high is None:
            details["reason"] = f"{current.name} has no interval"
        elif known.low is None or known.high is None:
            low, high = current.low - before, current.high - before
        else:
            low, high = _apart(current, known)
        return Measurement(
            f"{current.name} current − reference",
            value,
            unit=current.unit,
            n=current.n,
            low=low,
            high=high,
            confidence=None if low is None else current.confidence,
            at=current.at,
            details=details,
        )


def change_from(
    reference: Measure | Meter | Sequence[Measurement], measure: Measure | Meter
) -> Change:
    """Make a measure: how far metrics are from where they were in the reference period.

    For `guard(…, not_worse(margin=))` over late labels and estimates, overall and by slice, whose
    intervals hold together as those of `measure` do. The two periods have different rows; the same
    rows judged by two models are for `compare`, whose paired interval is narrower.

    Args:
        reference: The metrics then: an `Evaluation` or another measure, which is asked once, now;
            or measurements, such as `estimate.reference["recall"]`. Those with an interval are a
            sample, and the change takes in the error of both (G. Y. Zou and A. Donner, Statistics
            in Medicine 27, 2008). Those without are a yardstick that is known exactly.
        measure: The metrics now, such as `Outcomes`; asked anew each time.

    Returns:
        A measure. Metrics and slices are matched by name: NaN with the reason where the reference
        has none of that name. Slices that were put together as small are left to the whole, as
        they are others then and now, and so are slices that have no rows now. `details` has
        "reference" and "current" beside what was there.

    Raises:
        ConfigurationError: One of the two is no measure, or the reference has two of one name.

    Examples:
        >>> import numpy as np
        >>> from mlguard import guard
        >>> from mlguard.performance import change_from, evaluate, not_worse
        >>> spring = evaluate([1, 0] * 1_000, [1, 0, 1, 1] * 500, loss="accuracy")
        >>> now = evaluate([1, 0] * 1_000, [1, 0, 0, 1, 0] * 400, loss="accuracy")
        >>> check = guard(change_from(spring, now), not_worse(margin=0.02))
        >>> print(check().reason)
        accuracy current − reference = -0.25 (... current 0.5): worse by more than 0.02
    """
    given = isinstance(reference, Sequence) and not isinstance(reference, str)
    taken = reference if given else taken_of(_measure("reference", reference)())
    known: dict[str, Measurement] = {}
    for each in instances((Measurement,), "reference", cast("Any", taken)):
        if each.name in known:
            raise refusal("reference", f"two of {each.name}", "measurements of different names")
        known[each.name] = each
    return Change(known, _measure("measure", measure))


def _measure(parameter: str, measure: Any) -> Measure:
    take = getattr(measure, "measure", measure)
    if not callable(take):
        raise refusal(parameter, measure, "a measurement, a callable that gives some, or a meter")
    return cast("Measure", take)


def _reason(*parts: Measurement) -> str:
    reasons = [part.details.get("reason") for part in parts if math.isnan(part.value)]
    return str((reasons and reasons[0]) or "the difference of the two has no value")


def _apart(after: Measurement, before: Measurement) -> tuple[float, float]:
    """Give the interval of a difference of two measurements of different rows."""
    value = after.value - before.value
    ends = after.low, after.high, before.low, before.high
    after_low, after_high, before_low, before_high = (float(end) for end in ends if end is not None)
    return (
        value - math.hypot(after.value - after_low, before_high - before.value),
        value + math.hypot(after_high - after.value, before.value - before_low),
    )
