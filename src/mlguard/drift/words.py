"""What moved, and what was found, in words for the person woken at night."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mlguard.drift.cells import Levels, Ranges, point
from mlguard.drift.scalars import shown
from mlguard.render import text
from mlguard.stats import shifts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from mlguard.drift.cells import Cells
    from mlguard.drift.report import ColumnReport, DriftReport

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 -- written without its zone, UTC
_FIRST = (datetime(1, 1, 1) - _EPOCH).total_seconds()  # noqa: DTZ001 -- the same
_LAST = (datetime(9999, 12, 31) - _EPOCH).total_seconds()  # noqa: DTZ001 -- the same

_MOST = 3
"""Changes told of one column, at most."""

_CLEAR = 3.0
"""Standard errors that a further change must have to be told."""

_NAMED = 4
"""Columns named in one sentence, at most."""


class Moved(NamedTuple):
    """A share that changed: of one cell, or of neighbouring cells taken together."""

    label: str
    before: float
    after: float

    def __str__(self) -> str:
        return f"{self.label}: {percent(self.before)} → {percent(self.after)}"


def moved(
    cells: Cells, before: NDArray[np.int64], after: NDArray[np.int64], *, time: bool = False
) -> list[Moved]:
    """Find the shares that changed most, the clearest first.

    Neighbouring cells of numbers are taken together where that is clearer. Once a change is told,
    the rest is looked at among itself, so that what gave way to it is not told again.

    Args:
        cells: Of the column.
        before: Counts of the reference.
        after: Counts of the current sample.
        time: Whether the numbers are times in Unix seconds.
    """
    n, m = rows = int(before.sum()), int(after.sum())
    first, last = _runs(cells.size, neighbours=isinstance(cells, Ranges))
    shares = [
        (total := np.concatenate(([0], np.cumsum(counts))))[last + 1] - total[first]
        for counts in (before, after)
    ]
    found: list[Moved] = []
    while n and m and len(first) and len(found) < _MOST:
        p, q = shares
        pooled = (p + q) / (n + m)
        noise = np.sqrt(pooled * (1.0 - pooled) * (1.0 / n + 1.0 / m))
        gap = q / m - p / n
        clear = np.abs(gap) / np.where(noise > 0.0, noise, np.inf)
        # Of equals the shortest, and what has come rather than what has gone.
        best = int(np.argmax(clear * (1.0 - 1e-6 * (last - first) + 1e-7 * (gap > 0.0))))
        if clear[best] < (_CLEAR if found else 1e-9):
            break
        low, high = int(first[best]), int(last[best])
        label = label_of(cells, low, high, time=time)
        found.append(Moved(label, float(p[best]) / rows[0], float(q[best]) / rows[1]))
        n, m = n - int(p[best]), m - int(q[best])
        others = (last < low) | (first > high)
        first, last, shares = first[others], last[others], [each[others] for each in shares]
    return found


@lru_cache(maxsize=16)
def _runs(size: int, *, neighbours: bool) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """List first and last cell of every run: single cells, and neighbours within the range."""
    singles = np.arange(size)
    if not neighbours or size < 6:  # noqa: PLR2004 -- no two cells within the range
        return singles, singles
    first, last = np.triu_indices(size - 5, k=1)  # the five outer cells stay alone
    return np.concatenate((singles, first + 2)), np.concatenate((singles, last + 2))


def label_of(cells: Cells, first: int, last: int, *, time: bool = False) -> str:
    """Name a run of cells."""
    if first == cells.size - 1:
        return "missing"
    if isinstance(cells, Levels) and first == cells.size - 2:
        return "unseen levels" if cells.complete else "other levels"
    if isinstance(cells, Ranges) and len(cells.edges) > 2:  # noqa: PLR2004 -- not all missing
        return _range(cells, first, last, time=time)
    return cells.labels()[first]


def _range(cells: Ranges, first: int, last: int, *, time: bool) -> str:
    sides = {
        0: "-infinity",
        1: f"{'before' if time else 'below'} {written(smallest(cells, 2), time=time)}",
        cells.size - 3: f"{'after' if time else 'above'} {written(cells.edges[-2], time=time)}",
        cells.size - 2: "+infinity",
    }
    if first in sides:
        return sides[first]
    low, high = smallest(cells, first), cells.edges[last]
    alone = point(cells.edges[first - 1], high)
    if alone is not None:
        return written(alone, time=time)
    beside = first > 2 and point(*cells.edges[first - 2 : first]) is not None  # noqa: PLR2004
    start = f"{'over ' if beside else ''}{written(low, time=time)}"
    return f"{start} to {written(high, time=time)}"


def smallest(cells: Ranges, cell: int) -> float:
    """Give the smallest number that falls into a cell; an edge itself belongs to the cell below."""
    return float(np.nextafter(cells.edges[cell - 1], np.inf)) + 0.0  # no minus zero


def written(value: float, *, time: bool = False) -> str:
    """Write an edge."""
    if time and _FIRST - 1.0 < value < _LAST:  # within the calendar, or just below it
        moment = _EPOCH + timedelta(seconds=max(value, _FIRST))
        return moment.isoformat(" ", "minutes")
    return text.number(0.0 if abs(value) < 1e-300 else value)  # noqa: PLR2004 -- beside a zero


def median(cells: Cells, counts: NDArray[np.int64]) -> float | None:
    """Read the median off the cells, as if numbers lay evenly within one; None where it is not."""
    if not isinstance(cells, Ranges):
        return None
    present = counts[:-1]
    total = np.cumsum(present)
    half = total[-1] / 2.0
    cell = int(np.searchsorted(total, half))
    if not half or not 2 <= cell <= cells.size - 4:  # noqa: PLR2004 -- see Ranges
        return None
    low, high = smallest(cells, cell), cells.edges[cell]
    return low + (high - low) * float((half - total[cell]) / present[cell] + 1.0)


def percent(share: float) -> str:
    """Write a share with three digits, tiny ones with one."""
    return f"{text.number(100.0 * share, 3 if share >= 0.01 else 2)} %"  # noqa: PLR2004


def told(value: float, line: float | None = None) -> str:
    """Write an effect with two decimals, or as many as tell it from a line."""
    for decimals in range(2, 6):
        shown = f"{value:.{decimals}f}"
        if line is None or value == line or float(shown) != round(line, decimals):
            break
    return shown


def effect(column: ColumnReport) -> str:
    """Write the effect with its interval."""
    return f"{sized(column)} ({told(column.low)} to {told(column.high)})"


def sized(column: ColumnReport, line: float | None = None) -> str:
    """Write the effect, with as many decimals as tell it from a line."""
    largest = column.effect >= shifts.LARGEST
    return f"{shifts.LARGEST:g} sd or more" if largest else f"{told(column.effect, line)} sd"


def p_value(value: float) -> str:
    """Write a p-value."""
    return "p < 1e-300" if value < 1e-300 else f"p = {text.number(value, 2)}"  # noqa: PLR2004


def changes(column: ColumnReport) -> list[str]:
    """Say what moved in a column."""
    cells, time = column.cells, column.time
    words = [str(each) for each in moved(cells, *column.counts, time=time)]
    middle = [median(cells, counts) for counts in column.counts]
    if middle[0] is None or middle[1] is None:
        return words
    ends = [written(x, time=True) if time else text.number(x, 3) for x in middle if x is not None]
    return words if ends[0] == ends[1] else [f"median {ends[0]} → {ends[1]}", *words]


def reason(column: ColumnReport, what: Sequence[str]) -> str:
    """Say what was found in a column, and what moved if it has drifted."""
    settings = column.settings
    limit = settings.tolerance.limit
    unit = "sd" if settings.tolerance.metric == "shift" else settings.tolerance.metric.upper()
    if not column.n:
        return "no rows, so nothing can be told"
    if column.status == "drifted":
        beyond = column.size > settings.breach.limit
        line = settings.breach.limit if beyond else limit
        over = f"over the {'breach line' if beyond else 'tolerance'} of {line:g} {unit}"
        if settings.tolerance.metric == "shift":
            ends = f"({told(column.low)} to {told(column.high)})"
            found = f"changed as much as a shift of {sized(column, line)} {ends}, {over}"
        else:
            found = f"changed by {unit} {told(column.size, line)}, {over}"
        return f"{found}{': ' if what else ''}{'; '.join(what)} (n = {column.n:,})"
    if column.status == "stable":
        settled = f"tolerance {limit:g} {unit}, n = {column.n:,}"
        small = column.adjusted_p <= settings.alpha
        calm = "a change within the tolerance" if small else "no change found"
        if settings.rule == "proven":
            calm = "no change beyond the tolerance found"
        return f"{calm}: {effect(column)}, {settled}"
    so_far = f"(so far {effect(column)})"
    if column.required_n is None:
        return (
            f"the reference is too small to tell a change of {limit:g} {unit}, however many rows "
            f"come {so_far}"
        )
    if column.n >= column.required_n:
        return (
            f"too few rows to prove that the change is over the tolerance of {limit:g} {unit}: "
            f"{effect(column)}, n = {column.n:,}"
        )
    return (
        f"too few rows to tell: {column.n:,}, where a change of {limit:g} {unit} takes about "
        f"{column.required_n:,} {so_far}"
    )


def headline(report: DriftReport) -> str:
    """Say in a short sentence what was found."""
    total, drifted = len(report.columns), len(report.drifted)
    if drifted:
        return f"{drifted} of {total} columns {'has' if drifted == 1 else 'have'} drifted"
    if not report.profile.rows:
        return "No rows to compare"
    unsure = len(report.inconclusive)
    if unsure == total:
        return "Too few rows to tell"
    return (
        f"None of {total} columns has drifted"
        if not unsure
        else f"No drift found in {total - unsure} of {total} columns"
    )


def found(report: DriftReport) -> str:
    """Say in one line what was found."""
    parts = [headline(report)]
    if report.drifted:
        parts[0] += f": {names(report.drifted)}"
    unsure = report.inconclusive
    if unsure and report.profile.rows:
        parts.append(f"too few rows to tell for {names(unsure)}")
    parts.append(f"{report.profile.rows:,} rows against {report.reference.rows:,}")
    if notes := report.profile.schema_changes:
        parts.append(f"schema changed: {names(notes)}")
    return "; ".join(parts)


def names(listed: Sequence[str]) -> str:
    """List names, the first few of many."""
    more = len(listed) - _NAMED
    return ", ".join(map(shown, listed[:_NAMED])) + (f" and {more} more" if more > 0 else "")
