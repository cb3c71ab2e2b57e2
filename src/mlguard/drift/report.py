"""What a comparison found, column by column, in numbers and in words."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from mlguard.arguments import refusal
from mlguard.drift import scalars, words
from mlguard.drift.cells import Cycle, Levels, Ranges
from mlguard.records import plain
from mlguard.stats import distances
from mlguard.values import Measurement, Severity, Verdict, combined

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from mlguard.drift.cells import Cells
    from mlguard.drift.compare import Settings
    from mlguard.drift.profile import Profile
    from mlguard.drift.quality import Quality
    from mlguard.drift.reference import Reference

_NUMBERS = (
    *("effect", "low", "high", "p_value", "adjusted_p"),
    *("ks", "psi", "js", "wasserstein", "missing", "unseen", "n", "required_n"),
)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class ColumnReport:
    """What was found in one column. Immutable.

    Attributes:
        name: Of the column.
        status: "drifted", "stable", or "inconclusive" where the rows are too few to tell.
        severity: WARN beyond the tolerance, BREACH beyond the breach line, UNKNOWN if inconclusive.
        p_value: Of "no change"; with `rule="proven"`, of "no more than the tolerance".
        adjusted_p: The same, adjusted for the number of columns.
        effect: As large as a mean shift of that many standard deviations of a normal column; NaN
            without rows.
        low: Lower end of its 95 % interval.
        high: Upper end of its 95 % interval.
        n: Rows of the current sample.
        required_n: Rows that find a change at the tolerance in half of all samples; None if no
            number does, because the reference is too small.
        settings: How it was judged.
        cells: The cells that were counted.
        reference_counts: Rows of the reference in each cell.
        current_counts: Rows of the current sample in each cell.
        time: Whether the numbers are times, in Unix seconds.
    """

    name: str
    status: str
    severity: Severity
    p_value: float
    adjusted_p: float
    effect: float
    low: float
    high: float
    n: int
    required_n: int | None
    settings: Settings
    cells: Cells
    reference_counts: NDArray[np.int64]
    current_counts: NDArray[np.int64]
    time: bool

    def __repr__(self) -> str:
        return f"<ColumnReport {self.name}: {self.status}, {self.reason}>"

    @classmethod
    def of(
        cls,
        reference: Reference,
        seen: NDArray[np.int64],
        name: str,
        settings: Settings,
        *,
        p_value: float,
        adjusted_p: float,
        effect: float,
        low: float,
        high: float,
        required_n: int | None,
        n: int,
    ) -> ColumnReport:
        """Judge a column by its numbers."""
        part = reference.layout.parts[name]
        cells = reference.layout.cells[name]
        significant = n > 0 and adjusted_p <= settings.alpha
        enough = n > 0 and required_n is not None and n >= required_n
        if settings.rule == "proven" and not significant:  # the test had the tolerance to beat
            enough = enough and effect <= settings.tolerance.limit
        status, severity = _judged(settings, effect if significant else math.nan, enough=enough)
        column = cls(
            name,
            status,
            severity,
            p_value,
            adjusted_p,
            effect if n else math.nan,
            low if n else math.nan,
            high if n else math.nan,
            n,
            required_n,
            settings,
            cells,
            reference.counts[part],
            seen[part],
            time=type(cells) is Ranges
            and isinstance(reference.layout.cells.get(f"{name}.hour"), Cycle),
        )
        if settings.tolerance.metric == "shift" or not significant:
            return column
        status, severity = _judged(settings, column.size, enough=enough)
        return replace(column, status=status, severity=severity)

    @property
    def counts(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows in each cell: of the reference, and of the current sample."""
        return self.reference_counts, self.current_counts

    @property
    def size(self) -> float:
        """The change in the metric of the tolerance; the effect where that has none of its own."""
        metric = self.settings.tolerance.metric
        return self.effect if metric == "shift" else float(getattr(self, metric))

    @property
    def ks(self) -> float:
        """Kolmogorov-Smirnov statistic of ordered cells; NaN for levels."""
        if not self.cells.ordered:
            return math.nan
        first = slice(0, self.cells.ordered)
        return float(distances.ks(self.reference_counts[first], self.current_counts[first]))

    @property
    def psi(self) -> float:
        """Population stability index over the cells, without its bias."""
        return distances.psi(*self.counts)

    @property
    def js(self) -> float:
        """Jensen-Shannon distance, base 2, over the cells, without its bias."""
        return distances.js(*self.counts)

    @property
    def wasserstein(self) -> float:
        """Wasserstein-1 distance in the column's unit; NaN for levels and for rows out of range."""
        if not isinstance(self.cells, Ranges):
            return math.nan
        inner = slice(1, self.cells.size - 2)
        lost = self.current_counts[[0, self.cells.size - 2]].sum()
        if lost or len(self.cells.edges) < 4:  # noqa: PLR2004 -- at least one bounded cell
            return math.nan
        edges = self.cells.edges[1:-1]
        return distances.wasserstein(
            self.reference_counts[inner], self.current_counts[inner], edges
        )

    @property
    def missing(self) -> float:
        """Share of the current rows that are missing."""
        return self._share(int(self.current_counts[-1]))

    @property
    def unseen(self) -> float:
        """Share of the current rows outside the reference's range or among its unseen levels."""
        return self._share(self.outside)

    @property
    def outside(self) -> int:
        """How many current rows are outside the reference's range or among its unseen levels."""
        if isinstance(self.cells, Levels):
            return int(self.current_counts[-2]) if self.cells.complete else 0
        if isinstance(self.cells, Ranges):
            return int(self.current_counts[[0, 1, -3, -2]].sum())
        return 0

    def _share(self, count: int) -> float:
        return count / self.n if self.n else math.nan

    @property
    def moved(self) -> list[str]:
        """The shares that changed most, in words, the clearest first."""
        return words.changes(self)

    @property
    def reason(self) -> str:
        """What was found, in one line."""
        return words.reason(self, self._told())

    def _told(self) -> list[str]:
        return self.moved if self.status == "drifted" else []

    def measurement(self, *, at: float | None = None) -> Measurement:
        """Give the effect as a measurement.

        Args:
            at: Event time (Unix seconds) of the newest row.
        """
        return self._measured(self._told(), at)

    def _measured(self, told: list[str], at: float | None) -> Measurement:
        details = {"status": self.status, "required_n": self.required_n, "moved": told}
        if not self.n:
            details["reason"] = words.reason(self, told)
        return Measurement(
            f"drift[{scalars.shown(self.name)}]",
            self.effect,
            unit="sd",
            n=self.n,
            low=self.low,
            high=self.high,
            confidence=0.95 if self.n else None,
            p_value=self.adjusted_p,
            at=at,
            details=details,
        )

    def verdict(self, *, at: float | None = None) -> Verdict:
        """Give the verdict on this column.

        Args:
            at: Event time (Unix seconds) of the newest row.
        """
        told = self._told()
        found, reason = [self._measured(told, at)], words.reason(self, told)
        return Verdict(scalars.shown(self.name), self.severity, reason, evidence=found, at=at)

    def to_dict(self) -> dict[str, Any]:
        """Give plain JSON."""
        record = {"name": self.name, "status": self.status, "severity": self.severity}
        numbers = {each: getattr(self, each) for each in _NUMBERS}
        told = self._told()
        said = {"moved": told, "reason": words.reason(self, told)}
        written: dict[str, Any] = plain({**record, **numbers, **said}, self.name)
        return written


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class DriftReport:
    """What a comparison found. Immutable.

    In a notebook it shows itself. Its pages hold shares and names of levels, but no row.

    Attributes:
        reference: What was compared with.
        profile: What was compared.
        settings: How it was judged.
        columns: What was found, by column.
    """

    reference: Reference
    profile: Profile
    settings: Settings
    columns: Mapping[str, ColumnReport]

    def __repr__(self) -> str:
        return f"<DriftReport {self.verdict().reason}>"

    @property
    def ranked(self) -> list[ColumnReport]:
        """The columns, the most severe first, then by effect."""
        return sorted(
            self.columns.values(),
            key=lambda column: (-column.severity, -column.effect if column.n else 0.0),
        )

    @property
    def drifted(self) -> list[str]:
        """Names of the columns that have drifted, the most severe first, then by effect."""
        return [column.name for column in self.ranked if column.status == "drifted"]

    @property
    def inconclusive(self) -> list[str]:
        """Names of the columns with too few rows to tell."""
        return [column.name for column in self.ranked if column.status == "inconclusive"]

    @property
    def quality(self) -> Quality:
        """Data quality of the current sample, as measurements for policies."""
        from mlguard.drift.quality import Quality  # noqa: PLC0415 -- it measures reports

        return Quality(self)

    def verdict(self, must_be_conclusive: Collection[str] | None = None) -> Verdict:
        """Judge the comparison: the worst column counts.

        Args:
            must_be_conclusive: Columns that must have enough rows. An inconclusive column makes the
                verdict UNKNOWN only if it is named here, or if every column is inconclusive;
                otherwise the reason names it.

        Raises:
            ConfigurationError: A column is named that was not compared.
        """
        named = {} if must_be_conclusive is None else must_be_conclusive
        if isinstance(named, str) or not set(named) <= self.columns.keys():
            allowed = f"a collection of columns that were compared: {list(self.columns)}"
            raise refusal("must_be_conclusive", must_be_conclusive, allowed)
        counted = [c for c in self.ranked if c.status != "inconclusive" or c.name in named]
        at = None if self.profile.span is None else self.profile.span[1]
        causes = [column.verdict(at=at) for column in counted or self.ranked]
        verdict = combined("drift", causes, need=len(causes))
        return replace(verdict, reason=words.found(self), at=at)

    def measurements(self) -> list[Measurement]:
        """Give the effect of every column as a measurement."""
        at = None if self.profile.span is None else self.profile.span[1]
        return [column.measurement(at=at) for column in self.columns.values()]

    def to_dict(self) -> dict[str, Any]:
        """Give plain JSON: what was found, by whom it was judged, and every column."""
        settings = self.settings
        record = {
            "kind": "driftreport",
            "schema": 1,
            "found": words.found(self),
            "reference": {"digest": self.reference.digest, "rows": self.reference.rows},
            "current": {
                "digest": self.profile.digest,
                "rows": self.profile.rows,
                "span": self.profile.span,
                "schema_changes": self.profile.schema_changes,
            },
            "settings": {
                "alpha": settings.alpha,
                "metric": settings.tolerance.metric,
                "tolerance": settings.tolerance.limit,
                "breach": settings.breach.limit,
                "rule": settings.rule,
                "correction": settings.correction,
            },
        }
        return {**plain(record, "report"), "columns": [column.to_dict() for column in self.ranked]}

    def to_frame(self) -> pd.DataFrame:
        """Give a pandas data frame, a row for each column, the most severe first."""
        import pandas as pd  # noqa: PLC0415 -- only where a frame is asked for

        rows = [
            {"column": c.name, "status": c.status, "severity": c.severity.name}
            | {each: getattr(c, each) for each in _NUMBERS}
            | {"reason": c.reason}
            for c in self.ranked
        ]
        return pd.DataFrame(rows).astype({"required_n": "Int64"})

    def to_markdown(self) -> str:
        """Write the report for a pull request or a chat: a sentence and a table."""
        from mlguard.drift import page  # noqa: PLC0415 -- only where a page is asked for

        return page.markdown(self)

    def to_html(self, *, page: bool = True) -> str:
        """Write the report as HTML with its drawings inside: no script, light and dark.

        Args:
            page: Whether to write a page of its own, or a part for yours.
        """
        from mlguard.drift import page as pages  # noqa: PLC0415 -- only where a page is asked for

        return pages.report_html(self, page=page)

    def _repr_html_(self) -> str:
        return self.to_html(page=False)


def _judged(settings: Settings, size: float, *, enough: bool) -> tuple[str, Severity]:
    """Judge a column by the size of its change, NaN if that is not significant."""
    if size > settings.tolerance.limit or (settings.rule == "proven" and not math.isnan(size)):
        return "drifted", Severity.BREACH if size > settings.breach.limit else Severity.WARN
    return ("stable", Severity.OK) if enough else ("inconclusive", Severity.UNKNOWN)
