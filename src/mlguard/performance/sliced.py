"""Label-free estimates by slice, each from the reference rows of its own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

import numpy as np

from mlguard.arguments import refusal, whole
from mlguard.performance.awaited import LEAST_ROWS, LossEstimate, costs, read_json, terms
from mlguard.performance.evaluation import ALL, pooled, slice_order
from mlguard.performance.inputs import groups, labelled_scores, rows
from mlguard.performance.label_free import Estimate
from mlguard.values import Measurement

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from numpy.typing import ArrayLike, NDArray

    Places = NDArray[np.intp]

P = TypeVar("P", Estimate, LossEstimate)

_PARTS: dict[str, Any] = {"estimate": Estimate, "loss_estimate": LossEstimate}


@dataclass(frozen=True, slots=True, repr=False)
class SlicedEstimate(Generic[P]):
    """Estimates of the whole and of each slice. Made by `SlicedEstimate.fit` or `.of_loss`.

    Immutable, so safe between threads. Per process and mergeable: `a + b` rests on the reference
    rows of both, exactly; the JSON round-trips and holds no row.

    A slice is judged by reference rows of its own: where the event is more frequent at the same
    scores, as in one region, the table of all rows would be wrong for every slice. Each estimate
    is that of `Estimate` or `LossEstimate` in all else; the intervals of the slices hold together
    (Bonferroni). A slice with fewer than `min_slice` rows, now or in the reference, is put
    together with the other small ones of its column, as if they were mixed as there.

    Levels that the reference does not know count in the whole; where they are more than
    `most_outside` of all rows, they are a slice "column=(unseen)" without a value, so that a guard
    is UNKNOWN.

    Attributes:
        whole: The estimate from all rows.
        slices: Those of each slice, by "column=level".
        min_slice: The fewest rows of a slice that is judged by itself.
    """

    whole: P
    slices: Mapping[str, P]
    min_slice: int

    @staticmethod
    def fit(
        y: ArrayLike, score: ArrayLike, by: Any, *, min_slice: int = 100, **settings: Any
    ) -> SlicedEstimate[Estimate]:
        """Count labelled reference rows, all of them and by slice, in the same cells.

        Args:
            y: As of `Estimate.fit`.
            score: As of `Estimate.fit`.
            by: Slices: one column of n levels, or several as a mapping or a data frame. At most
                1000 levels each.
            min_slice: Slices with fewer rows are put together: 100 by default, as in `evaluate`.
            settings: The other arguments of `Estimate.fit`.

        Raises:
            ConfigurationError: As of `Estimate.fit`, or `by` does not fit.

        Examples:
            >>> import numpy as np
            >>> from mlguard import guard
            >>> from mlguard.performance import change_from, not_worse
            >>> rng = np.random.default_rng(3)
            >>> score, region = rng.beta(1.0, 3.0, 20_000), rng.choice(["north", "south"], 20_000)
            >>> y = rng.random(20_000) < np.where(region == "north", score, 0.8 * score)
            >>> estimate = SlicedEstimate.fit(y, score, {"region": region}, threshold=0.3)
            >>> now, where = score[:3_000] ** 1.2, {"region": region[:3_000]}
            >>> found = estimate.estimate(now, where)["recall"]
            >>> print(found[1])
            recall[region=north] = 0.6095 (0.5546 to 0.6655), n = 1,506
            >>> change = change_from(estimate.reference["recall"], lambda: found)
            >>> print(guard(change, not_worse(margin=0.15), name="recall")().reason)
            all 3 OK
        """
        truth, said = labelled_scores(y, score)
        whole = Estimate.fit(truth, said, **settings)
        return _sliced(whole, by, min_slice, lambda at: whole.recount(truth[at], said[at]))

    @staticmethod
    def of_loss(
        loss: ArrayLike,
        predicted: ArrayLike,
        by: Any,
        *,
        name: str = "loss",
        min_slice: int = 100,
    ) -> SlicedEstimate[LossEstimate]:
        """Fit an estimate of a mean loss by slice, by a loss model of your own.

        Args:
            loss: As of `Estimate.of_loss`.
            predicted: As of `Estimate.of_loss`.
            by: As of `fit`.
            name: Of the metric: "absolute", "squared".
            min_slice: As of `fit`.

        Raises:
            ConfigurationError: As of `Estimate.of_loss`, or `by` does not fit.
        """
        cost, said = costs(loss, predicted)
        whole = LossEstimate.fit(cost, said, name=name)
        return _sliced(whole, by, min_slice, lambda at: LossEstimate.of(cost[at], said[at], name))

    def recount(self, y: ArrayLike, score: ArrayLike, by: Any) -> SlicedEstimate[Estimate]:
        """Count other labelled rows in the same cells, to be added to this estimate.

        Args:
            y: As of `Estimate.recount`; of a loss model the losses are fitted anew instead.
            score: As of `Estimate.recount`.
            by: The slices of these rows: the columns of `fit`.

        Raises:
            ConfigurationError: A label or a score is missing or out of range, `by` does not fit, or
                this is an estimate of a loss, which `of_loss` adds to without this.
        """
        table = self.whole
        if not isinstance(table, Estimate):
            raise refusal("recount", table.name, "of scores: add SlicedEstimate.of_loss(…)")
        truth, said = labelled_scores(y, score)
        again = table.recount(truth, said)
        return _sliced(again, by, self.min_slice, lambda at: table.recount(truth[at], said[at]))

    def estimate(
        self,
        score: ArrayLike,
        by: Any,
        *,
        confidence: float = 0.95,
        most_outside: float = 0.05,
        at: float | datetime | None = None,
    ) -> dict[str, list[Measurement]]:
        """Estimate the metrics of rows whose labels are not known yet, overall and by slice.

        Args:
            score: What the model said, shape (n,); with `of_loss` what the loss model says.
            by: The slices of these rows: the columns of `fit`.
            confidence: That the interval of the whole holds, and all those of the slices.
            most_outside: As of `Estimate.estimate`; also the largest share of the rows whose level
                the reference may not know.
            at: Event time of the newest row, Unix seconds or an aware datetime.

        Returns:
            By metric the measurement of the whole and then those of the slices, named
            "metric[column=level]".

        Raises:
            ConfigurationError: As of `Estimate.estimate`, or `by` has other columns than `fit` had.
        """
        said = rows("score", score)
        found = groups(by, len(said), like="score")
        if len(said) and (ours := _columns(self.slices)) != _columns(found):
            raise refusal("by", _columns(found), f"the columns of the reference, {ours}")
        _, bound = terms(confidence, most_outside)
        parts = {key: (part, self.slices[key]) for key, part in found.items() if key in self.slices}
        judged = pooled(
            {key: parts[key] for key in sorted(parts, key=slice_order)},
            lambda pair: min(len(pair[0]), pair[1].n),
            lambda a, b: (np.concatenate([a[0], b[0]]), a[1] + b[1]),
            self.min_slice,
        )
        asked: dict[str, Any] = {"most_outside": most_outside, "at": at}
        overall = self.whole.estimate(said, confidence=confidence, **asked)
        asked["confidence"] = 1.0 - (1.0 - confidence) / max(len(judged), 1)
        measured = {name: [each] for name, each in overall.items()}
        for key, (part, reference) in judged.items():
            estimated = reference.estimate(said[part], **asked) if reference.n >= LEAST_ROWS else {}
            why = f"the reference has {reference.n} rows of it, and {LEAST_ROWS} are needed"
            for name, each in overall.items():
                known = estimated.get(name) or _unknown(each, len(part), why)
                measured[name].append(_of_slice(known, name, key))
        for column, part in _unseen(found, self.slices).items():
            if len(part) > bound * len(said):
                why = f"the reference has no rows of {len(part):,} of the {len(said):,} rows"
                for name, each in overall.items():
                    unknown = _unknown(each, len(part), why)
                    measured[name].append(_of_slice(unknown, name, f"{column}=(unseen)"))
        return measured

    @property
    def reference(self) -> dict[str, list[Measurement]]:
        """The metrics of the reference rows, overall and by slice, for `change_from`.

        Slices with fewer than `min_slice` rows are put together here too.
        """
        keys = sorted(self.slices, key=slice_order)
        judged = pooled(
            {key: self.slices[key] for key in keys},
            lambda part: part.n,
            lambda a, b: a + b,
            self.min_slice,
        )
        measured = {name: [each] for name, each in self.whole.reference.items()}
        for key, part in judged.items():
            for name, each in part.reference.items():
                measured[name].append(_of_slice(each, name, key))
        return measured

    def __add__(self, other: Self) -> Self:
        if not isinstance(other, SlicedEstimate):
            return NotImplemented
        for name, ours, theirs in (
            ("min_slice", self.min_slice, other.min_slice),
            ("by", _columns(self.slices), _columns(other.slices)),
        ):
            if ours != theirs:
                raise refusal(name, theirs, f"the same in both, here {ours!r}")
        slices = dict(self.slices)
        for key, part in other.slices.items():
            slices[key] = slices[key] + part if key in slices else part
        return replace(self, whole=self.whole + other.whole, slices=slices)

    def __repr__(self) -> str:
        return f"<SlicedEstimate of {self.whole}, {len(self.slices)} slices>"

    def to_json(self) -> str:
        """Write all of it as JSON, the same for the same rows however they were split."""
        slices = {key: part.to_dict() for key, part in sorted(self.slices.items())}
        record = {"whole": self.whole.to_dict(), "slices": slices, "min_slice": self.min_slice}
        return json.dumps({"kind": "sliced_estimate", "schema": 1, **record}, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote.

        Raises:
            ConfigurationError: The text is no such JSON of a known schema.
        """
        return read_json(cls, text, "sliced_estimate")

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Self:
        """Read a record."""
        part = _PARTS[record["whole"]["kind"]]
        everything = part.from_dict(record["whole"])
        slices = {str(key): part.from_dict(each) for key, each in record["slices"].items()}
        for key, each in slices.items():
            kind = record["slices"][key]["kind"], record["slices"][key]["schema"]
            odd = kind != (record["whole"]["kind"], 1) or "=" not in key
            if odd or (part is Estimate and each.fine != everything.fine):
                raise refusal("slices", key, "column=level, in the cells of the whole")
        if not slices:
            raise refusal("slices", slices, "at least one")
        return cls(everything, slices, whole("min_slice", record["min_slice"], least=1))


def _sliced(everything: P, by: Any, min_slice: int, of: Callable[[Places], P]) -> SlicedEstimate[P]:
    least = whole("min_slice", min_slice, least=1)
    slices = {key: of(part) for key, part in groups(by, everything.n, like="the rows").items()}
    if not slices:
        raise refusal("by", by, "one column or more")
    return SlicedEstimate(everything, slices, least)


def _columns(parts: Mapping[str, Any]) -> list[str]:
    return sorted({key.partition("=")[0] for key in parts if key != ALL})


def _unseen(found: Mapping[str, Places], slices: Mapping[str, Any]) -> dict[str, Places]:
    columns: dict[str, list[Places]] = {}
    for key, part in found.items():
        if key not in slices:
            columns.setdefault(key.partition("=")[0], []).append(part)
    return {column: np.concatenate(parts) for column, parts in sorted(columns.items())}


def _unknown(like: Measurement, n: int, why: str) -> Measurement:
    kept = {name: like.details[name] for name in ("better", "assumes")}
    return Measurement(like.name, float("nan"), n=n, at=like.at, details={**kept, "reason": why})


def _of_slice(measurement: Measurement, name: str, key: str) -> Measurement:
    details = {**measurement.details, "slice": key}
    return replace(measurement, name=f"{name}[{key}]", details=details)
