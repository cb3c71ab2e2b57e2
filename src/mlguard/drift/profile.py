"""Counts of what was seen, in the cells of a reference: mergeable, exact, without a row."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from mlguard.arguments import moment, real, refusal, whole
from mlguard.drift import scalars
from mlguard.drift.layout import Layout
from mlguard.errors import ConfigurationError
from mlguard.locks import Locked
from mlguard.records import parsed

if TYPE_CHECKING:
    from datetime import datetime

    from numpy.typing import NDArray

_MOST_UNKNOWN = 50
"""Unknown columns that are noted: their names come from outside, and must not fill the memory."""


class Profile(Locked):
    """Integer counts of every column in the cells that a reference fixed.

    Thread-safe. Per process and mergeable: `a + b` is the profile of all rows of both, exactly,
    however they were split; the JSON round-trips. Memory does not grow with the rows.

    Made by `reference.profile()`. In a serving path call `observe(row)` or `observe_many(batch)`,
    and now and then `take()`, which returns what was counted and starts at zero. A forked process
    begins with a copy of the counts: `take()` there first, or fork before counting.

    Attributes:
        layout: The cells, and the digest of the reference that fixed them.
    """

    __slots__ = ("_counts", "_notes", "_rows", "_since", "_until", "layout")

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        self.layout = layout
        self._clear()

    def _clear(self) -> None:
        self._counts = np.zeros(self.layout.size, dtype=np.int64)
        self._rows = 0
        self._since = math.inf
        self._until = -math.inf
        self._notes: frozenset[str] = frozenset()

    @property
    def rows(self) -> int:
        """How many rows were counted."""
        return self._rows

    @property
    def span(self) -> tuple[float, float] | None:
        """Event time (Unix seconds) of the oldest and newest row, where rows were given one."""
        with self._lock:
            return None if self._since > self._until else (self._since, self._until)

    @property
    def schema_changes(self) -> list[str]:
        """What did not fit the reference: unknown or absent columns, other kinds; each once.

        Of the unknown columns, whose names come from outside, the first 50 in the alphabet.
        """
        return sorted(self._notes)

    @property
    def counts(self) -> NDArray[np.int64]:
        """All counts, column after column, as `layout` says."""
        with self._lock:
            return self._counts.copy()

    def observe(self, row: Mapping[str, Any], *, at: float | datetime | None = None) -> None:
        """Count one row.

        Args:
            row: Values by column. None, NaN, NaT, NA and a column that is absent count as missing.
                What does not fit never raises; it is noted once in `schema_changes`: a column that
                the reference does not know, and a column that holds values of another kind. Of
                these, a boolean in a column of numbers counts as 0 or 1, and a number in a column
                of levels by its spelling; any other counts as missing.
            at: Event time, Unix seconds or an aware datetime.

        Raises:
            ConfigurationError: `row` is no mapping or `at` no time; nothing was counted then.
        """
        if not isinstance(row, Mapping):
            raise refusal("row", row, "a mapping of column names to values")
        stamp = None if at is None else moment("at", at)
        cells, notes = self.layout.cells_of(row)
        places = np.array(cells)
        with self._lock:
            self._counts[places] += 1  # a cell of each column: no two of them are one
            self._add_rows(1, stamp, stamp, notes)

    def observe_many(self, frame: Any, *, at: float | datetime | None = None) -> None:
        """Count the rows of a frame of any kind, as one by one.

        Args:
            frame: A dict of arrays, a numpy array with the reference's columns in order, or any
                data frame that narwhals takes. A lazy one of polars, DuckDB or Dask is counted by
                its engine; nothing but the counts is collected. What does not fit is noted once in
                `schema_changes`, as for a row; here also a column that is absent.
            at: Event time of its newest row, Unix seconds or an aware datetime.

        Raises:
            ConfigurationError: The frame cannot be read, or `at` is no time; nothing was counted.
        """
        stamp = None if at is None else moment("at", at)
        counts, rows, notes = self.layout.count(frame)
        with self._lock:
            self._counts += counts
            self._add_rows(rows, stamp, stamp, notes)

    def _add_rows(
        self, rows: int, since: float | None, until: float | None, notes: frozenset[str]
    ) -> None:
        self._rows += rows
        if since is not None and until is not None:
            self._since = min(self._since, since)
            self._until = max(self._until, until)
        if not notes <= self._notes:
            self._notes = _bounded(self._notes | notes)

    def __repr__(self) -> str:
        return f"<Profile of {self._rows:,} rows in the cells of reference {self.layout.digest}>"

    def copy(self) -> Profile:
        """Give what was counted so far, and go on counting."""
        twin = Profile(self.layout)
        with self._lock:
            twin._counts += self._counts
            twin._add_rows(self._rows, self._since, self._until, self._notes)
        return twin

    def recounted(self, counts: NDArray[np.int64]) -> Profile:
        """Give a profile of as many rows with other counts, which are not checked."""
        twin = self.copy()
        twin._counts[:] = counts
        return twin

    def take(self) -> Profile:
        """Give what was counted so far and start at zero, at once: no row is lost or doubled."""
        taken = Profile(self.layout)
        with self._lock:
            taken._counts, taken._rows = self._counts, self._rows
            taken._since, taken._until = self._since, self._until
            taken._notes = self._notes
            self._clear()
        return taken

    def __add__(self, other: Profile) -> Profile:
        if not isinstance(other, Profile):
            return NotImplemented
        if not self.layout.fits(other.layout):
            raise ConfigurationError(
                f"profiles of different references do not add: {self.layout.digest} and "
                f"{other.layout.digest}, or their columns differ"
            )
        total = Profile(self.layout if self.layout.cells else other.layout)
        for part in (self, other):
            with part._lock:
                total._counts += part._counts
                total._add_rows(part._rows, part._since, part._until, part._notes)
        return total

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Profile):
            return NotImplemented
        return self.to_json() == other.to_json()

    __hash__ = None  # type: ignore[assignment]

    def to_json(self) -> str:
        """Write the counts as JSON, the same for the same rows however they were split."""
        with self._lock:
            span = None if self._since > self._until else [self._since, self._until]
            columns = [
                [name, self._counts[part].tolist()] for name, part in self.layout.parts.items()
            ]
            record = {
                "kind": "profile",
                "schema": 1,
                "reference": self.layout.digest,
                "rows": self._rows,
                "span": span,
                "schema_changes": sorted(self._notes),
                "columns": columns,
            }
        return json.dumps(record, separators=(",", ":"))

    @property
    def digest(self) -> str:
        """Of its JSON."""
        return Layout.digest_of(self.to_json())

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote. The result adds and compares; it does not count more rows.

        Raises:
            ConfigurationError: The text is no profile of a known schema.
        """
        record = parsed(text, "profile")
        try:
            return cls._of(record)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise refusal("text", text, f"the JSON of a profile: {error!r}") from None

    @classmethod
    def _of(cls, record: Mapping[str, Any]) -> Self:
        columns: dict[str, list[int]] = dict(record["columns"])
        rows = whole("rows", record["rows"])
        for name, counts in columns.items():
            if sum(whole(name, count) for count in counts) != rows:
                raise refusal(name, counts, f"counts that add up to the {rows} rows")
        sizes = {name: len(counts) for name, counts in columns.items()}
        found = cls(Layout(record["reference"], sizes))
        found._counts[:] = [count for counts in columns.values() for count in counts]
        since, until = record["span"] or (None, None)
        found._add_rows(rows, since, until, frozenset(record["schema_changes"]))
        return found


def _bounded(notes: frozenset[str]) -> frozenset[str]:
    """Keep the same notes in whatever order they came."""
    unknown = sorted(note for note in notes if note.startswith("unknown column "))
    return notes - frozenset(unknown[_MOST_UNKNOWN:])


class Sampled:
    """A profile that is shown a share of the rows. Thread-safe; per process, like its profile.

    Args:
        profile: What counts.
        share: Of the rows, above 0 and at most 1.
        key: Of the row: the name of a column whose hash decides, so that a retry of the same
            request is counted twice or not at all, on every replica alike.
    """

    __slots__ = ("key", "profile", "share")

    def __init__(self, profile: Profile, *, share: float, key: str) -> None:
        if not 0.0 < real("share", share) <= 1.0:
            raise refusal("share", share, "above 0 and at most 1")
        self.profile = profile
        self.share = share
        self.key = key

    def observe(self, row: Mapping[str, Any], *, at: float | datetime | None = None) -> None:
        """Count the row if its key falls into the share."""
        if not isinstance(row, Mapping):
            raise refusal("row", row, "a mapping of column names to values")
        if self.takes(row.get(self.key)):
            self.profile.observe(row, at=at)

    def takes(self, value: object) -> bool:
        """Tell whether the row with this key is counted."""
        return int(Layout.digest_of(scalars.name_of(value))[:8], 16) < self.share * 2**32
