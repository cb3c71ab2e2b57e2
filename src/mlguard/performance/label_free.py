"""How good is the model probably, before the labels come: estimates from calibrated scores."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from mlguard.arguments import moment, refusal, share, whole
from mlguard.drift.cells import Ranges
from mlguard.performance import expected
from mlguard.performance.awaited import (
    LEAST_REFERENCE,
    LEAST_ROWS,
    About,
    LossEstimate,
    known,
    read_json,
    terms,
)
from mlguard.performance.expected import LOSSES, UNIT, Forecast, Rates, Seen, losses_of
from mlguard.performance.inputs import labelled_scores, numbers, probabilities, ranges_of

if TYPE_CHECKING:
    from datetime import datetime

    from numpy.typing import ArrayLike, NDArray

    from mlguard.values import Measurement

    Floats = NDArray[np.float64]

_ROWS_A_BIN = 20
"""`fit` makes fewer bins than asked for rather than smaller ones."""

_MOST_BINS = 1_000

_EDGES = [0.0, *(place / 20.0 for place in range(1, 20)), math.nextafter(1.0, 0.0)]
"""Further edges, for scores that move; 0 and 1 are apart, as a wrong one costs 36 in log loss."""

_ASSUMES = "calibration as in the reference: no concept drift"


@dataclass(frozen=True, slots=True, repr=False)
class Estimate:
    """What labelled reference data says of the metrics of scores whose labels are still to come.

    Immutable, so safe between threads. Per process and mergeable: `a + b` is the estimate fitted
    on the rows of both, exactly; the JSON round-trips. It holds no row: only integers by cell of
    the score. Save it with the model it belongs to. Made by `Estimate.fit`, or by
    `Estimate.of_loss` for a regression.

    The reference says how often the event happened at each score; the current scores then give the
    expected accuracy, precision, recall, F1, Brier score, log loss and AUC (as in NannyML's CBPE).
    The rates are plain shares of the cells: made monotone (isotonic), they would flatter the model
    where the reference is small. Between cells they follow the score.

    An interval is one for the metric that these rows will turn out to have, and has two parts. The
    labels are open: the number of events among rows of known rates follows a Poisson-binomial law.
    And the rates were measured on so many rows: each scatters as a beta law does. Variances and
    third moments of the two add up; of accuracy, recall and F1, the two counts on either side of
    the threshold are laid out in a grid. Where the model is calibrated as in the reference, an
    interval at 95 % misses the realised metric in at most 7 % of samples, from 200 rows and ten of
    either class on either side of the threshold. Scores of exactly 0 or 1 count 36 in the log loss
    where they are wrong: there its interval misses in at most 9 %, if the reference has a hundred
    of them; with 20 it missed in up to a quarter of samples.

    What it cannot see is concept drift: the same scores, and another share of events. When the
    labels come, `realised_minus_estimated` shows just that. Where labels come soon, measure with
    `evaluate` instead.

    Attributes:
        cells: Of the score, for `estimate_counts`.
        fine: The same cells divided further, at the threshold too: the calibration table.
        threshold: Scores of at least this are predicted as the event.
        rows: Reference rows by fine cell.
        events: Those of them with the event.
        losses: Sums over these rows, in multiples of 2**-20: the Brier score without and with an
            event, and the score times the gap of the two; then the same of the log loss.

    References:
        J. Kivimäki, J. Białek, J. K. Nurminen, W. Kuberski, "Confidence-based Estimators for
        Predictive Performance in Model Monitoring", arXiv 2407.08649 and 2505.05295.
    """

    cells: Ranges
    fine: Ranges
    threshold: float
    rows: tuple[int, ...]
    events: tuple[int, ...]
    losses: tuple[tuple[int, ...], ...]

    @classmethod
    def fit(
        cls,
        y: ArrayLike,
        score: ArrayLike,
        *,
        bins: int = 50,
        cells: Ranges | Sequence[float] | None = None,
        threshold: float = 0.5,
    ) -> Self:
        """Fix the cells by labelled reference rows, which the model was not trained on, and count.

        Args:
            y: The truth of each row, 0/1 or boolean, shape (n,).
            score: What the model said, between 0 and 1, shape (n,). It need not be calibrated.
            bins: Quantile cells of the table, 1 to 1000; fewer where there are not 20 rows for
                each. 50 by simulation: ten make an AUC of 0.76 look 0.001 too small, 50 0.0001.
            cells: Of the histograms that `estimate_counts` will be given: those of a drift
                reference, `reference.layout.cells["score"]`, or their inner edges, ascending. Each
                holds its upper edge. Those of the table when not given.
            threshold: A score of at least this is a prediction of the event. 0.5 by custom; take
                the one that the service acts on.

        Raises:
            ConfigurationError: A label is missing or not binary, a score is missing or not between
                0 and 1, there are fewer than 30 rows or only one class, or an argument is out of
                range.

        Examples:
            >>> import numpy as np
            >>> rng = np.random.default_rng(3)
            >>> score = rng.beta(1.0, 3.0, 20_000)
            >>> y = rng.random(20_000) < score
            >>> estimate = Estimate.fit(y[:10_000], score[:10_000])
            >>> print(estimate.estimate(score[10_000:])["roc_auc"])
            roc_auc = 0.7812 (0.7675 to 0.7945), n = 10,000
        """
        truth, said = labelled_scores(y, score)
        if whole("bins", bins, least=1) > _MOST_BINS:
            raise refusal("bins", bins, f"at most {_MOST_BINS}")
        share("threshold", threshold)
        if len(truth) < LEAST_REFERENCE:
            raise refusal("len(y)", len(truth), f"at least {LEAST_REFERENCE} labelled rows")
        if truth.all() or not truth.any():
            allowed = "rows of both classes: one class tells no rates"
            raise refusal("y", f"only {int(truth[0])}", allowed)
        table = Ranges.fit(said, max(1, min(bins, len(said) // _ROWS_A_BIN)))
        given = table if cells is None else ranges_of("cells", cells)
        cut = math.nextafter(threshold, 0.0)
        fine = Ranges(tuple(sorted({*table.edges, *given.edges, *_EDGES, cut})))
        nothing = (0,) * fine.size
        empty = cls(given, fine, float(threshold), nothing, nothing, (nothing,) * 3 * len(LOSSES))
        return empty.recount(truth, said)

    @staticmethod
    def of_loss(loss: ArrayLike, predicted: ArrayLike, *, name: str = "loss") -> LossEstimate:
        """Fit an estimate of a mean loss, such as a regression's, by a loss model of your own.

        Args:
            loss: What each reference row cost, shape (n,), such as `abs(y - model.predict(x))`.
            predicted: What your loss model says that it costs, shape (n,): any regressor of the
                loss, fitted on rows of their own.
            name: Of the metric: "absolute", "squared".

        Raises:
            ConfigurationError: A number is missing or infinite, or there are fewer than 30 rows.

        Examples:
            >>> import numpy as np
            >>> rng = np.random.default_rng(3)
            >>> spread = rng.uniform(1.0, 5.0, 4_000)
            >>> loss = np.abs(spread * rng.standard_normal(4_000))
            >>> estimate = Estimate.of_loss(loss, 0.8 * spread, name="absolute")
            >>> print(estimate.estimate(0.8 * spread[spread > 4.0])["absolute"])
            absolute = 3.627 (3.438 to 3.821), n = 999
        """
        return LossEstimate.fit(loss, predicted, name=name)

    def recount(self, y: ArrayLike, score: ArrayLike) -> Self:
        """Count other labelled rows in the same cells, to be added to this estimate.

        Args:
            y: The truth of each row, 0/1 or boolean, shape (n,).
            score: What the model said, between 0 and 1, shape (n,).

        Raises:
            ConfigurationError: A label or a score is missing or out of range.
        """
        truth, said = labelled_scores(y, score)
        places, size = self.fine.thresholds.searchsorted(said), self.fine.size
        losses = [np.rint(each / UNIT) for each in losses_of(said)]
        return replace(
            self,
            rows=_whole(np.bincount(places, minlength=size)),
            events=_whole(np.bincount(places[truth], minlength=size)),
            losses=tuple(_whole(np.bincount(places, each, minlength=size)) for each in losses),
        )

    def estimate(
        self,
        score: ArrayLike,
        *,
        confidence: float = 0.95,
        most_outside: float = 0.05,
        at: float | datetime | None = None,
    ) -> dict[str, Measurement]:
        """Estimate the metrics of rows whose labels are not known yet.

        Args:
            score: What the model said, between 0 and 1, shape (n,).
            confidence: That the interval holds the realised metric.
            most_outside: Share of the scores that may lie where the reference has fewer than ten
                rows in a cell. Above it the estimate would rest on guesses: each value is NaN, so
                a guard is UNKNOWN, with the reason; the guess stands in `details["guess"]`.
            at: Event time of the newest row, Unix seconds or an aware datetime.

        Returns:
            The measurements by name: "accuracy", "precision", "recall", "f1", "brier", "log_loss",
            "roc_auc". NaN with the reason where there are no rows, or no score reaches the
            threshold for "precision". `details` has "assumes", "outside", "threshold", "better".

        Raises:
            ConfigurationError: A score is missing or not between 0 and 1, or an argument is out of
                range.
        """
        said = probabilities("score", score)
        places, size = self.fine.thresholds.searchsorted(said), self.fine.size
        counts = np.bincount(places, minlength=size)
        losses = [np.bincount(places, each, minlength=size) for each in losses_of(said)]
        return self._measured(
            counts.astype(np.float64),
            np.array(losses) / np.maximum(counts, 1),
            self._outside(self.cells.count(said)),
            confidence,
            most_outside,
            at,
        )

    def estimate_counts(
        self,
        counts: ArrayLike,
        *,
        confidence: float = 0.95,
        most_outside: float = 0.05,
        at: float | datetime | None = None,
    ) -> dict[str, Measurement]:
        """Estimate the metrics of rows that were only counted, by cell of the score.

        Within a cell the rows are taken to lie as those of the reference do.

        Args:
            counts: Rows in each of `cells`, whole numbers; of a drift profile,
                `profile.counts[profile.layout.parts["score"]]`. Rows without a finite score are
                left out, and count as outside.
            confidence: As in `estimate`.
            most_outside: As in `estimate`.
            at: As in `estimate`.

        Raises:
            ConfigurationError: `counts` does not fit the cells or is negative, or an argument is
                out of range.
        """
        given = numbers("counts", counts)
        if len(given) != self.cells.size:
            raise refusal("len(counts)", len(given), f"{self.cells.size}, one for each of cells")
        if (odd := (given < 0.0) | (given != np.rint(given))).any():
            place = int(odd.argmax())
            raise refusal(f"counts[{place}]", float(given[place]), "a whole number of at least 0")
        inside = given.copy()
        inside[[0, -2, -1]] = 0.0
        owner = self._owners()
        rows = np.array(self.rows, dtype=np.float64)
        held, parts = np.bincount(owner, rows)[owner], np.bincount(owner)[owner]
        portion = np.where(held > 0.0, rows / np.maximum(held, 1.0), 1.0 / parts)
        rates = self._rates()
        sums = self._sums.reshape(3 * len(LOSSES), -1)
        means = np.array([rates.by_block(each) / rates.rows for each in sums])[:, rates.block]
        return self._measured(
            inside[owner] * portion,
            np.where(rows > 0.0, sums / np.maximum(rows, 1.0), means),
            self._outside(given),
            confidence,
            most_outside,
            at,
        )

    @property
    def n(self) -> int:
        """Reference rows."""
        return sum(self.rows)

    @property
    def reference(self) -> dict[str, Measurement]:
        """The metrics of the reference rows, whose labels are known: without an interval."""
        rows = np.array(self.rows, dtype=np.float64)
        means = self._sums / np.maximum(rows, 1.0)
        return known(self._measured(rows, means, 0.0, 0.95, 0.0, None))

    def __add__(self, other: Self) -> Self:
        if not isinstance(other, Estimate):
            return NotImplemented
        for name in ("threshold", "cells", "fine"):
            ours, theirs = getattr(self, name), getattr(other, name)
            if ours != theirs:
                raise refusal(name, theirs, "the same in both: count with a.recount(y, score)")
        return replace(
            self,
            rows=_sum(self.rows, other.rows),
            events=_sum(self.events, other.events),
            losses=tuple(map(_sum, self.losses, other.losses)),
        )

    def __repr__(self) -> str:
        return f"<Estimate from {self.n:,} rows, {sum(self.events):,} events>"

    def to_dict(self) -> dict[str, Any]:
        """Give plain JSON."""
        own = {name: getattr(self, name) for name in ("threshold", "rows", "events", "losses")}
        edges = {name: getattr(self, name).to_dict()["edges"] for name in ("cells", "fine")}
        return {"kind": "estimate", "schema": 1, **own, **edges}

    def to_json(self) -> str:
        """Write the table as JSON, the same for the same rows however they were split."""
        return json.dumps(self.to_dict(), separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote.

        Raises:
            ConfigurationError: The text is no estimate of a known schema.
        """
        return read_json(cls, text, "estimate")

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Self:
        """Read what `to_dict` wrote."""
        cells, fine = (ranges_of(name, record[name]) for name in ("cells", "fine"))
        if not {*cells.edges} <= {*fine.edges}:
            raise refusal("fine", record["fine"], "the edges of cells, and more")
        read = [tuple(whole(name, n) for n in record[name]) for name in ("rows", "events")]
        most = -(10**30)
        read += [tuple(whole("losses", n, least=most) for n in each) for each in record["losses"]]
        if {*map(len, read)} != {fine.size} or len(read) != 2 + 3 * len(LOSSES):
            raise refusal("losses", f"{len(read)} columns", f"8 columns of {fine.size} cells")
        rows, happened, *losses = read
        if any(part > n for part, n in zip(happened, rows, strict=True)):
            raise refusal("events", record["events"], "at most rows")
        return cls(
            cells, fine, share("threshold", record["threshold"]), rows, happened, tuple(losses)
        )

    def _owners(self) -> NDArray[np.intp]:
        """Give the cell in which each fine cell lies."""
        upper = np.append(self.fine.thresholds, math.nan)
        return self.cells.thresholds.searchsorted(upper)

    def _outside(self, counts: ArrayLike) -> float:
        given = np.asarray(counts, dtype=np.float64)
        rows = np.bincount(self._owners(), self.rows, self.cells.size).astype(np.float64)
        few = expected.nearby(rows, LEAST_ROWS) < LEAST_ROWS
        return float(given[few].sum() / given.sum()) if given.any() else math.nan

    @property
    def _sums(self) -> Floats:
        return np.array(self.losses, dtype=np.float64).reshape(len(LOSSES), 3, -1) * UNIT

    @property
    def _reached(self) -> NDArray[np.bool_]:
        return np.append(self.fine.thresholds, math.inf) >= self.threshold

    def _rates(self) -> Rates:
        return Rates.of(self.rows, self.events, self._sums, LEAST_ROWS, self._reached)

    def _measured(  # noqa: PLR0917 -- called twice
        self,
        counts: Floats,
        losses: Floats,
        outside: float,
        confidence: float,
        most_outside: float,
        at: float | datetime | None,
    ) -> dict[str, Measurement]:
        confidence, bound = terms(confidence, most_outside)
        stamp = None if at is None else moment("at", at)
        rates = self._rates()
        seen = Seen(counts, losses.reshape(len(LOSSES), 3, -1), self._reached)
        found = expected.metrics(Forecast(seen, rates), confidence)
        n = round(float(counts.sum()))
        about = About(n, confidence, stamp, outside, bound, _ASSUMES)
        return {
            name: about.measurement(
                name, ends, "lower" if name in LOSSES else "higher", {"threshold": self.threshold}
            )
            for name, ends in found.items()
        }


def _whole(sums: NDArray[Any]) -> tuple[int, ...]:
    return tuple(map(int, sums.tolist()))


def _sum(first: tuple[int, ...], second: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(a + b for a, b in zip(first, second, strict=True))
