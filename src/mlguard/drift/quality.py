"""Is the data fit to be judged at all? Shares with intervals, from the counts of a comparison."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeAlias, overload

import numpy as np

from mlguard.arguments import moment, refusal
from mlguard.drift.cells import Levels, Ranges
from mlguard.stats.intervals import proportion_interval
from mlguard.values import Measurement

if TYPE_CHECKING:
    from mlguard.drift.report import ColumnReport, DriftReport

_CONFIDENCE = 0.95
_Of: TypeAlias = Callable[["ColumnReport"], Measurement | None]


@dataclass(frozen=True, slots=True)
class Quality:
    """Data quality of the current sample, as measurements for policies. Immutable.

    Made by `DriftReport.quality`. Each method measures one column when it is named, and all columns
    that have such a share when it is not, so each is a measure as it stands:
    `guard(report.quality.missing, at_most(0.05))` judges every column and the worst one counts.

    Attributes:
        report: The comparison that the counts are taken from.

    Examples:
        >>> from mlguard import at_most, guard
        >>> from mlguard.drift import Reference
        >>> reference = Reference.fit({"age": range(100), "plan": ["a", "b"] * 50})
        >>> report = reference.compare({"age": [31, 47, None, 200], "plan": ["a", "b", "a", "c"]})
        >>> print(guard(report.quality.missing, at_most(0.2))().explain())
        BREACH  missing: 1 BREACH (missing[age]), 1 OK
          BREACH  missing[age] = 25 % (0.6309 % to 80.59 %), n = 4: above the limit of 20 %
          OK      missing[plan] = 0 % (0 % to 60.24 %), n = 4: at most 20 %
        >>> report.quality.unseen("plan").value
        0.25
    """

    report: DriftReport

    def rows(self) -> Measurement:
        """How many rows there are."""
        count = self.report.profile.rows
        return Measurement("rows", count, n=count, at=self._at)

    def schema_changes(self) -> Measurement:
        """How many things did not fit the reference: unknown or absent columns, other types."""
        profile = self.report.profile
        notes = profile.schema_changes
        return Measurement(
            "schema changes", len(notes), n=profile.rows, at=self._at, details={"changes": notes}
        )

    def age(self, now: float | datetime) -> Measurement:
        """How long before `now` the newest row happened, where rows were given an event time.

        Args:
            now: Unix seconds or an aware datetime.

        Raises:
            ConfigurationError: `now` is no time.
        """
        asked = moment("now", now)
        n = self.report.profile.rows
        if self._at is None:
            why = {"reason": "no row was given an event time: observe_many(frame, at=...)"}
            return Measurement("age", math.nan, unit="s", n=n, details=why)
        return Measurement("age", asked - self._at, unit="s", n=n, at=self._at)

    @overload
    def missing(self) -> list[Measurement]: ...
    @overload
    def missing(self, column: str) -> Measurement: ...
    def missing(self, column: str | None = None) -> Measurement | list[Measurement]:
        """Share of rows whose value is missing; NaN and null are one."""
        return self._measured("missing", column, lambda c: self._share("missing", c, _missing(c)))

    @overload
    def missing_change(self) -> list[Measurement]: ...
    @overload
    def missing_change(self, column: str) -> Measurement: ...
    def missing_change(self, column: str | None = None) -> Measurement | list[Measurement]:
        """Share of rows that are missing, less that of the reference: 0.02 is two points more.

        Its interval is Newcombe's, made of the two intervals of the shares (Statistics in Medicine
        17, 1998, method 10).
        """
        return self._measured("missing change", column, self._change)

    @overload
    def out_of_range(self) -> list[Measurement]: ...
    @overload
    def out_of_range(self, column: str) -> Measurement: ...
    def out_of_range(self, column: str | None = None) -> Measurement | list[Measurement]:
        """Share of rows below the smallest or above the largest number of the reference."""

        def of(c: ColumnReport) -> Measurement | None:
            return (
                self._share("out of range", c, c.outside) if isinstance(c.cells, Ranges) else None
            )

        return self._measured("out of range", column, of, "a column of numbers or times")

    @overload
    def unseen(self) -> list[Measurement]: ...
    @overload
    def unseen(self, column: str) -> Measurement: ...
    def unseen(self, column: str | None = None) -> Measurement | list[Measurement]:
        """Share of rows with a level that the reference has not.

        Only for columns whose levels the reference keeps all: raise its `levels` where it does not.
        """

        def of(c: ColumnReport) -> Measurement | None:
            known = isinstance(c.cells, Levels) and c.cells.complete
            return self._share("unseen", c, c.outside) if known else None

        return self._measured("unseen", column, of, "a column whose levels are all kept")

    @overload
    def stuck(self) -> list[Measurement]: ...
    @overload
    def stuck(self, column: str) -> Measurement: ...
    def stuck(self, column: str | None = None) -> Measurement | list[Measurement]:
        """Share of the rows that are not missing in one cell, the fullest; 1 for a constant.

        Hold it against a limit just below 1, or against the reference's own share, which stands in
        the details as "reference".
        """
        return self._measured("stuck", column, self._fullest)

    def measurements(self) -> list[Measurement]:
        """Give all of it, but for the age, which depends on when you ask."""
        every = [self.missing, self.missing_change, self.out_of_range, self.unseen, self.stuck]
        return [self.rows(), self.schema_changes(), *(found for each in every for found in each())]

    @property
    def _at(self) -> float | None:
        span = self.report.profile.span
        return None if span is None else span[1]

    def _measured(
        self, name: str, column: str | None, of: _Of, allowed: str = "a column"
    ) -> Measurement | list[Measurement]:
        columns = self.report.columns
        if column is None:
            return [found for each in columns.values() if (found := of(each)) is not None]
        found = of(columns[column]) if column in columns else None
        if found is None:
            having = [each for each, what in columns.items() if of(what) is not None]
            raise refusal(f"{name} of column", column, f"{allowed}: {having}")
        return found

    def _share(self, name: str, column: ColumnReport, count: int) -> Measurement:
        return self._proportion(f"{name}[{column.name}]", count, column.n, {})

    def _fullest(self, column: ColumnReport) -> Measurement:
        before, after = column.reference_counts[:-1], column.current_counts[:-1]
        cell = int(np.argmax(after))
        details = {
            "cell": column.cells.labels()[cell],
            "reference": float(before[cell]) / max(int(before.sum()), 1),
        }
        name = f"stuck[{column.name}]"
        return self._proportion(name, int(after[cell]), int(after.sum()), details)

    def _proportion(self, name: str, count: int, n: int, details: dict[str, Any]) -> Measurement:
        if not n:
            why = {"reason": "there are no rows"}
            return Measurement(name, math.nan, unit="share", n=0, at=self._at, details=why)
        low, high = proportion_interval(count, n, _CONFIDENCE)
        return Measurement(
            name,
            count / n,
            unit="share",
            n=n,
            low=low,
            high=high,
            confidence=_CONFIDENCE,
            at=self._at,
            details=details,
        )

    def _change(self, column: ColumnReport) -> Measurement:
        name, n = f"missing change[{column.name}]", column.n
        if not n:
            return self._proportion(name, 0, 0, {})
        now = self._share("missing", column, _missing(column))
        gone, rows = int(column.reference_counts[-1]), int(column.reference_counts.sum())
        before, ends = gone / rows, proportion_interval(gone, rows, _CONFIDENCE)
        low, high = proportion_interval(_missing(column), n, _CONFIDENCE)
        change = now.value - before
        return Measurement(
            name,
            change,
            unit="share",
            n=n,
            low=change - math.hypot(now.value - low, ends[1] - before),
            high=change + math.hypot(high - now.value, before - ends[0]),
            confidence=_CONFIDENCE,
            at=self._at,
            details={"reference": before},
        )


def _missing(column: ColumnReport) -> int:
    return int(column.current_counts[-1])
