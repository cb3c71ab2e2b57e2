"""How good the model was, by labels that come late: only cohorts that are old enough count."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, Self, TypeAlias

import numpy as np

from mlguard.arguments import moment, name_of, refusal, seconds, share, whole
from mlguard.clocks import unix_clock
from mlguard.errors import ConfigurationError
from mlguard.locks import Locked
from mlguard.performance import cohorts, waiting
from mlguard.performance.cohorts import LENGTHS, Absent, Calendar, State, Terms
from mlguard.performance.evaluation import ALL
from mlguard.performance.metrics import Function, Metric, metric_of, roc_auc
from mlguard.performance.waiting import COLUMNS, Rows
from mlguard.records import iso, parsed

if TYPE_CHECKING:
    from mlguard.protocols import Clock
    from mlguard.values import Measurement

Spill: TypeAlias = Callable[[dict[str, Any]], object]
"""Takes the rows that found no room, as columns."""

_NOTED = ("conflicts", "repredicted", "early", "unmatched", "late", "dropped", "spilled", "young")


class Outcomes(Locked):
    """Joins predictions with labels that come late, and measures the cohorts that are old enough.

    Thread-safe. Per process and mergeable: `a + b` knows what either knew, exactly, so that
    predictions may be added in the serving process and labels in a nightly job; it round-trips
    through JSON. Rows may be added in any order, cut in any way and more than once: the result is
    the same as long as no cohort was closed in between.

    A cohort is the predictions of one day or week (UTC, weeks from Monday). It is mature when
    `labels_after` has passed since its end. Before, the labels that are there are those that came
    fast, which are not like the others, so they are not looked at. A label that comes later than
    that still counts from then on, until its cohort is closed.

    Rows wait in memory, with 42 bytes each and 8 for each slice; ids are kept as digests of 64
    bits, so that among a million any two are confused with a chance of 3e-8. A cohort that is
    closed is exact sums only, 3 kB for each slice, and changes no more. Closed is what `close()`
    says, and what must be when `max_open` rows are there: first the cohorts that have been mature
    for `keep`, then all that are mature. What then finds no room goes to `on_full`.

    With millions of rows a day let the warehouse join, and pass the result to `from_frame`. For a
    metric that is no mean over rows, such as an AUC, use `evaluate` on mature rows.

    Args:
        labels_after: How long after a prediction its label has come, if it comes at all: seconds or
            a timedelta. 45 days are usual for chargebacks.
        loss: As in `evaluate`: a name, `pinball(q)`, a `Metric` or a callable, with a number for
            each row.
        by: Only "prediction_time": cohorts by label time would mix old predictions with young.
        cohort: "day" or "week".
        window: How much of the mature time is judged, seconds or a timedelta, a whole number of
            cohorts. A week by default: every weekday counts once, and a drop fills it within
            `labels_after` and 8 days.
        slices: Names of the columns to slice by; frames with predictions must have them.
        no_label_means: What it means that a mature prediction has no label: 0 where labels are
            reports of fraud. By default such rows are left out, and `details["coverage"]` says so.
        keep: How long a mature cohort may still change before room is made: `labels_after` again
            by default.
        max_open: Most rows that wait.
        on_full: What becomes of rows that find no room: "drop", or a callable that takes them as
            columns. Either way they are counted. It must not use this object; if it raises,
            nothing was added. The ids whose digests are largest go, which is a random choice.
        confidence: Coverage of the interval; slices hold it together. 0.95 by custom.
        min_slice: Slices with fewer judged rows are put together, as in `evaluate`.
        clock: Of Unix seconds, `mlguard.clocks.unix_clock()` by default.

    Raises:
        ConfigurationError: An argument is not of its kind or range.

    The interval misses the true mean in at most 7 % of windows, as that of `evaluate`, if the rows
    of a window are independent. So `at_least(floor, rule="proven")` alarms falsely in about 2.5 %
    of windows where the true value is exactly at the floor, and more seldom where it is above.

    Examples:
        >>> from mlguard import at_least, guard
        >>> day = 86_400.0
        >>> outcomes = Outcomes(timedelta(days=45), loss="accuracy", clock=lambda: 50 * day)
        >>> sent = {"id": range(400), "predicted_at": [day] * 400, "prediction": [0, 1] * 200}
        >>> outcomes.add(sent)
        >>> came = {"id": range(400), "labelled_at": [9 * day] * 400, "label": [0, 1, 1, 1] * 100}
        >>> outcomes.add(came)
        >>> print(outcomes.measure()[0])
        accuracy = 0.75 (0.7053 to 0.791), n = 400
        >>> print(guard(outcomes, at_least(0.9), name="accuracy")().reason)
        accuracy = 0.75 (0.7053 to 0.791), n = 400: below the limit of 0.9
        >>> print(outcomes.measure(30 * day)[0].details["reason"])
        no mature predictions from 1969-12-10 to 1969-12-17; ... on 1970-02-17T00:00:00Z
    """

    __slots__ = ("_state", "_terms", "clock", "max_open", "on_full")

    def __init__(
        self,
        labels_after: float | timedelta,
        *,
        loss: Metric | Function | str,
        by: Literal["prediction_time"] = "prediction_time",
        cohort: Literal["day", "week"] = "day",
        window: float | timedelta = timedelta(days=7),
        slices: Sequence[str] = (),
        no_label_means: float | str | None = None,
        keep: float | timedelta | None = None,
        max_open: int = 1_000_000,
        on_full: Literal["drop"] | Spill = "drop",
        confidence: float = 0.95,
        min_slice: int = 100,
        clock: Clock | None = None,
    ) -> None:
        super().__init__()
        if by != "prediction_time":
            raise refusal("by", by, '"prediction_time"')
        if on_full != "drop" and not callable(on_full):
            raise refusal("on_full", on_full, '"drop" or a callable that takes columns')
        terms = _terms(metric_of(loss), labels_after, cohort, window)
        if no_label_means is not None:
            no_label_means = _label(no_label_means, terms.metric)
        self._terms = replace(
            terms,
            slices=_names(slices),
            no_label_means=no_label_means,
            keep=terms.keep if keep is None else seconds("keep", keep),
            confidence=share("confidence", confidence),
            min_slice=whole("min_slice", min_slice, least=1),
        )
        kind = "text" if isinstance(no_label_means, str) else "numbers"
        kinds = {} if no_label_means is None else {"label": kind}
        self._state = State((Rows.empty(self._terms.slices),), kinds=kinds)
        self.max_open = whole("max_open", max_open, least=1)
        self.on_full = on_full
        self.clock: Clock = clock or unix_clock()

    @classmethod
    def from_frame(
        cls,
        joined: Any,
        labels_after: float | timedelta,
        *,
        loss: Metric | Function | str,
        now: float | datetime | None = None,
        **settings: Any,
    ) -> Self:
        """Take the result of a join that the warehouse made; only sums are kept.

        Args:
            joined: A frame with predicted_at and prediction, label and labelled_at (missing where
                there is no label), and the slices. With a column id, rows of the same id are one.
            labels_after: As of `Outcomes`.
            loss: As of `Outcomes`.
            now: When the join was made, by the clock if not given. Cohorts that were not mature
                then are left out, and counted as "young": join those later, and add with `+`.
            settings: The other arguments of `Outcomes`.

        Raises:
            ConfigurationError: As `add` does.
        """
        outcomes = cls(labels_after, loss=loss, **settings)
        terms = outcomes._terms
        rows, _, _ = waiting.read(joined, terms.metric, terms.slices, ids=False)
        line = terms.calendar.line(outcomes._now(now))
        old = terms.calendar.place(rows.times) < line
        state = outcomes._state.with_rows(rows.at(old), terms).folded(line, terms)
        noted = {**state.noted, "young": int((~old).sum())}
        outcomes._state = replace(state, noted=noted)
        return outcomes

    @property
    def counts(self) -> dict[str, int]:
        """What was noted, each 0 at first.

        open: Ids that wait. conflicts: Ids with more than one label. repredicted: Ids that were
        predicted twice, not alike. early: Ids whose label is older than their prediction, so that
        it is not used. unmatched: Labels that no prediction joined before the cohort of their day
        was closed. late: Rows that were added after their cohort was closed. dropped, spilled: Ids
        that found no room. young: Rows that `from_frame` left out.
        """
        state = self._tidied()
        return {"open": len(state.rows), **{name: state.counts[name] for name in _NOTED}}

    def add(self, frame: Any) -> None:
        """Add predictions, labels, or both.

        The last one wins: the prediction with the largest predicted_at, the label with the largest
        labelled_at; of two at the same moment the larger. The same row again changes nothing.

        Args:
            frame: A dict of arrays or any data frame in memory that narwhals takes, with the
                column id (text or whole numbers: 7 and "7" are one), and with predicted_at,
                prediction and the slices, or labelled_at and label, or all of them. Times are Unix
                seconds or know their time zone. In a row that knows only one half, the other is
                missing. Other columns are not looked at.

        Raises:
            ConfigurationError: A column or an id is missing, a time is naive or has no value
                beside it, a value is not one that the loss takes; nothing was added then.
        """
        terms = self._terms
        rows, digests, arrays = waiting.read(frame, terms.metric, terms.slices)
        with self._lock:
            state = self._state.with_rows(rows, terms)
            if sum(map(len, state.batches)) > self.max_open:
                state = self._with_room(state, digests, arrays)
            self._state = state

    def close(self, now: float | datetime | None = None) -> None:
        """Turn the cohorts that have been mature for `keep` into sums, and forget their rows.

        Args:
            now: As of `measure`.

        Raises:
            ConfigurationError: `now` is no time, or the loss is not finite; nothing changed then.
        """
        line = self._terms.calendar.line(self._now(now) - self._terms.keep)
        with self._lock:
            self._state = self._state.folded(line, self._terms)

    def measure(self, now: float | datetime | None = None) -> list[Measurement]:
        """Measure the mature cohorts of the last `window`, overall and by slice.

        Args:
            now: Unix seconds or an aware datetime; by the clock if not given. What was added
                counts, whenever it came.

        Returns:
            The mean loss with its interval, NaN with the reason where there is none. `at` is when
            the newest judged prediction was made. In `details`: predictions (the mature ones),
            coverage (the share of them that has a label), since and until (what is judged) and
            matures_at (when the next cohort is mature, or None), in Unix seconds.

        Raises:
            ConfigurationError: `now` is no time, or the loss is not finite.
        """
        terms, calendar = self._terms, self._terms.calendar
        line = calendar.line(self._now(now))
        first = line - round(terms.window / calendar.length)
        state = self._tidied()
        found, matures_at = state.mature(first, line, terms)
        parts = cohorts.added(*found.values())
        since, until = calendar.starts(first), calendar.starts(line)
        details = {"since": since, "until": until, "matures_at": matures_at}
        if overall := parts.get(ALL):
            reason = f"none of {overall.predictions:,} mature predictions has a label"
            if early := state.counts["early"]:
                reason += f"; {early:,} labels are older than their prediction"
        else:
            reason = f"no mature predictions from {iso(since)[:10]} to {iso(until)[:10]}"
            if matures_at is not None:
                reason += f"; the next cohort matures on {iso(matures_at)}"
        return cohorts.measurements(parts, terms, details, reason)

    def by_cohort(self, now: float | datetime | None = None) -> list[Measurement]:
        """Measure each mature cohort by itself, the oldest first: for a chart.

        Args:
            now: As of `measure`.

        Raises:
            ConfigurationError: As `measure` does.
        """
        calendar = self._terms.calendar
        known, _ = self._tidied().mature(-math.inf, calendar.line(self._now(now)), self._terms)
        found = []
        for place, parts in sorted(known.items()):
            details = {"since": calendar.starts(place), "until": calendar.starts(place + 1)}
            reason = f"none of {parts[ALL].predictions:,} predictions has a label"
            found += cohorts.measurements({ALL: parts[ALL]}, self._terms, details, reason)
        return found

    def _now(self, now: float | datetime | None) -> float:
        return moment("now", self.clock() if now is None else now)

    def _tidied(self) -> State:
        with self._lock:
            self._state = replace(self._state, batches=(self._state.rows,))
            return self._state

    def _with_room(self, state: State, digests: Any, arrays: Mapping[str, Any]) -> State:
        """Close what is mature, and turn away the new ids that still find no room."""
        now = self._now(None)
        state = replace(state, batches=(state.rows,))
        for wait in (self._terms.keep, 0.0):
            if len(state.rows) > self.max_open:
                state = state.folded(self._terms.calendar.line(now - wait), self._terms)
        rows = state.rows
        if (excess := len(rows) - self.max_open) <= 0:
            return state
        away = rows.ids[~np.isin(rows.ids, self._state.rows.ids)][-excess:]
        fate = "dropped" if self.on_full == "drop" else "spilled"
        noted = {**state.noted, fate: state.noted.get(fate, 0) + len(away)}
        if callable(self.on_full):
            turned = np.isin(digests, away)
            self.on_full({name: array[turned] for name, array in arrays.items()})
        return replace(state, batches=(rows.at(~np.isin(rows.ids, away)),), noted=noted)

    def __add__(self, other: Outcomes) -> Outcomes:
        if not isinstance(other, Outcomes):
            return NotImplemented
        theirs = other._terms.to_dict()
        for name, ours in self._terms.to_dict().items():
            if theirs[name] != ours:
                raise refusal(name, theirs[name], f"the same in both, here {ours!r}")
        total = copy(self)
        if isinstance(self._terms.metric.of, Absent):
            total._terms = other._terms
        total._state = self._tidied() + other._tidied()
        return total

    def __repr__(self) -> str:
        counts = ", ".join(f"{count:,} {name}" for name, count in self.counts.items() if count)
        return f"<Outcomes of {self._terms.metric.name}: {counts or 'nothing waits'}>"

    def to_json(self) -> str:
        """Write all of it: of rows that wait the values and the digest of the id, else sums."""
        record = {**self._terms.to_dict(), "max_open": self.max_open, **self._tidied().to_dict()}
        return json.dumps({"kind": "outcomes", "schema": 1, **record}, allow_nan=False)

    @classmethod
    def from_json(
        cls,
        text: str,
        *,
        loss: Metric | Function | None = None,
        on_full: Literal["drop"] | Spill = "drop",
        clock: Clock | None = None,
    ) -> Self:
        """Read what `to_json` wrote.

        Args:
            text: The JSON.
            loss: The function of the loss, where it is one of your own. Without it, closed cohorts
                can be measured and all can be added to an `Outcomes` that has it.
            on_full: As of `Outcomes`.
            clock: As of `Outcomes`.

        Raises:
            ConfigurationError: The text is no such JSON, of a newer schema, or of another loss.
        """
        record = parsed(text, "outcomes")
        try:
            name, better = record["loss"], record["better"]
            metric = cohorts.named(name, better) if loss is None else metric_of(loss)
            settings = {key: record[key] for key in _KEPT}
            outcomes = cls(loss=metric, on_full=on_full, clock=clock, **settings)
            state = State.from_dict(record)
        except ConfigurationError:
            raise
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            raise refusal("text", text, f"whole: {error!r}") from None
        if (metric.name, metric.better) != (name, better):
            raise refusal("loss", f"{metric.name}, {metric.better} is better", f"{name}, {better}")
        outcomes._state = replace(state, kinds={**outcomes._state.kinds, **state.kinds})
        return outcomes


_KEPT = (
    *("labels_after", "by", "cohort", "window", "slices", "no_label_means", "keep"),
    *("max_open", "confidence", "min_slice"),
)


def _terms(
    metric: Metric, labels_after: float | timedelta, cohort: str, window: float | timedelta
) -> Terms:
    if metric.of is roc_auc.of:
        raise refusal("loss", metric.name, "a mean over rows: sums of ranks do not add up")
    if cohort not in LENGTHS:
        raise refusal("cohort", cohort, f"one of {sorted(LENGTHS)}")
    calendar = Calendar(*LENGTHS[cohort], seconds("labels_after", labels_after))
    span = seconds("window", window)
    if not (span / calendar.length).is_integer():
        raise refusal("window", window, f"a whole number of cohorts, each a {cohort}")
    return Terms(metric, calendar, cohort, span, (), None, calendar.labels_after, 0.95, 100)


def _names(slices: Sequence[str]) -> tuple[str, ...]:
    names = () if isinstance(slices, str) else tuple(name_of("slices", name) for name in slices)
    odd = [name for name in names if name in {"id", *COLUMNS} or "=" in name]
    if odd or isinstance(slices, str) or len(set(names)) < len(names):
        raise refusal("slices", slices, 'a list of columns that differ, without "=" and not ours')
    return names


def _label(value: object, metric: Metric) -> float | str:
    read = metric.reads[0]("no_label_means", np.array([value])).tolist()[0]
    return read if isinstance(read, str) else float(read)
