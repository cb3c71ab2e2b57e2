"""The losses of predictions whose labels had time to come, as a stream for a detector."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np

from mlguard.arguments import moment, refusal
from mlguard.performance.cohorts import row_losses
from mlguard.records import iso

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlguard.performance.outcomes import Outcomes


@dataclass(frozen=True, slots=True, eq=False)
class MatureLosses:
    """Losses in the order in which the predictions were made. Immutable.

    Attributes:
        values: The loss of each prediction; NaN where it has no label, so that it has a place.
        predicted_at: When each was made, Unix seconds: `predicted_at[change.onset]`, of a detector
            that saw these values only, is since when.
        until: Where the next ones begin: their `since`.
    """

    values: NDArray[np.float64]
    predicted_at: NDArray[np.float64]
    until: float


def mature_losses(
    outcomes: Outcomes, *, since: float | None = None, now: float | datetime | None = None
) -> MatureLosses:
    """Give the losses of the mature predictions since a moment, each once, for a detector.

    Ask every night with the `until` of the night before, and keep that beside the `state()` of the
    detector, in one record: then every prediction is seen exactly once, in the order of prediction
    times, however and whenever labels came, and whatever was repeated after a crash. A label that
    comes after its prediction was given is not seen; a prediction that is made again is another.

    Args:
        outcomes: Where predictions and labels wait.
        since: The `until` of the last answer; by default all that wait.
        now: Unix seconds or an aware datetime; by the clock of `outcomes` if not given.

    Raises:
        ConfigurationError: An argument is no time, or a cohort from `since` on was closed, so that
            its rows are gone. Ask before `close()`, and with room for all that wait.

    Examples:
        >>> from mlguard.performance import Outcomes
        >>> day = 86_400.0
        >>> outcomes = Outcomes(7 * day, loss="absolute", clock=lambda: 10 * day)
        >>> outcomes.add(
        ...     {"id": [1, 2, 3], "predicted_at": [day, 0.0, day], "prediction": [5, 6, 7]}
        ... )
        >>> outcomes.add({"id": [1, 2], "labelled_at": [3 * day, 4 * day], "label": [6, 6]})
        >>> found = mature_losses(outcomes)
        >>> found.values, found.until / day
        (array([ 0.,  1., nan]), 3.0)
        >>> mature_losses(outcomes, since=found.until).values
        array([], dtype=float64)
    """
    first = -math.inf if since is None else moment("since", since)
    terms, calendar = outcomes._terms, outcomes._terms.calendar
    until = max(first, calendar.starts(calendar.line(outcomes._now(now))))
    state = outcomes._tidied()
    closed = -math.inf if state.closed is None else calendar.starts(state.closed)
    if since is not None and first < closed:
        raise refusal(
            "since", since, f"at least {closed:.0f}: what is before {iso(closed)} is closed"
        )
    rows = state.rows.at(state.rows.predicted)
    times = rows.columns["predicted_at"]
    rows = rows.at((times >= first) & (times < until))
    order = np.argsort(rows.columns["predicted_at"], kind="stable")  # alike: by their digests
    return MatureLosses(row_losses(rows, terms)[order], rows.columns["predicted_at"][order], until)
