"""The reference: what the data looked like, as cells and counts, saved with the model."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np

from mlguard.arguments import name_of, refusal, whole
from mlguard.drift.cells import Cells, Cycle, Levels, Ranges, cells_from_dict
from mlguard.drift.frames import Column, read
from mlguard.drift.layout import Layout
from mlguard.drift.profile import Profile
from mlguard.errors import ConfigurationError
from mlguard.records import parsed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray
    from typing_extensions import Unpack

    from mlguard.drift.compare import How, Tolerance
    from mlguard.drift.groups import Groups
    from mlguard.drift.report import DriftReport

_MOST_BINS = 1_000

_ID_LIKE = 0.5
"""A column of levels with more distinct values than this share of its rows identifies rows."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Reference:
    """What current data is compared with: cells, fixed here for good, and counts in them.

    Immutable, so safe between threads. It holds no row: ranges, level names (or salted hashes of
    them) and integers. Save it with the model it belongs to. Made by `Reference.fit`.

    Attributes:
        layout: The cells, and the digest that profiles carry.
        counts: How many rows of the reference lie in each cell.
        rows: How many rows the reference has.
    """

    layout: Layout
    counts: NDArray[np.int64]
    rows: int
    groups: dict[int, Groups] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def fit(
        cls,
        frame: Any,
        *,
        columns: Sequence[str] | None = None,
        leave_out: Iterable[str] = (),
        bins: int = 20,
        levels: int = 100,
        private: Iterable[str] = (),
        names: Sequence[str] | None = None,
    ) -> Self:
        """Fix the cells by a frame and count it.

        Args:
            frame: A dict of arrays, a numpy array with `names`, or any data frame that narwhals
                takes. Include the prediction and the score: their drift matters most.
            columns: Which columns; all when not given.
            leave_out: Columns to leave out, such as identifiers.
            bins: Quantile cells of a number, 2 to 1000. 20 resolve a tenth of a standard deviation
                and cost 4 ns a value.
            levels: Cells of a column of levels, the most frequent ones; the rest share one.
            private: Columns of levels whose names are kept as salted hashes only. The salt, made
                anew by each fit, stands in the reference: who has it can try out guesses.
            names: Of the columns of a numpy array.

        Raises:
            ConfigurationError: The frame cannot be read or has no rows, a column is named that it
                does not have, or a column identifies rows: more than half of them distinct.

        Examples:
            >>> import numpy as np
            >>> rng = np.random.default_rng(0)
            >>> reference = Reference.fit({"amount": rng.lognormal(size=5_000)})
            >>> report = reference.compare({"amount": rng.lognormal(size=2_000)})
            >>> report.verdict().severity.name
            'OK'
        """
        if whole("bins", bins, least=2) > _MOST_BINS:
            raise refusal("bins", bins, f"at most {_MOST_BINS}")
        whole("levels", levels, least=1)
        table = read(frame, names)
        hidden = _named("private", private, table)
        chosen = _chosen(table, columns, _named("leave_out", leave_out, table))
        cells: dict[str, Cells] = {}
        sources: dict[str, str] = {}
        parts = []
        for column in chosen:
            salt = secrets.token_hex(8) if column.name in hidden else ""
            if salt and column.kind != "level":
                raise refusal(
                    f"private: {column.name}", column.kind, "a column of levels: ranges are numbers"
                )
            for name, fixed, counted in _fitted(column, bins, levels, salt):
                if name in cells:
                    raise refusal("frame", name, "columns of different names")
                cells[name], sources[name] = fixed, column.name
                parts.append(counted)
        return cls._of(cells, sources, np.concatenate(parts), chosen[0].rows)

    @classmethod
    def _of(
        cls,
        cells: Mapping[str, Cells],
        sources: Mapping[str, str],
        counts: NDArray[np.int64],
        rows: int,
    ) -> Self:
        counts.flags.writeable = False
        sizes = {name: fixed.size for name, fixed in cells.items()}
        digest = Layout.digest_of(_written(cells, sources, counts, rows))
        return cls(Layout(digest, sizes, cells, sources), counts, rows)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Reference) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def __repr__(self) -> str:
        return f"<Reference {self.digest} of {len(self.columns)} columns, {self.rows:,} rows>"

    @property
    def digest(self) -> str:
        """Of the cells and counts; profiles carry it, and only those of one digest add."""
        return self.layout.digest

    @property
    def columns(self) -> list[str]:
        """Names of the columns; a column of times gives three: itself, its hour, its weekday."""
        return list(self.layout.cells)

    def profile(self, frame: Any = None) -> Profile:
        """Make a profile in these cells: empty, or of a frame.

        Raises:
            ConfigurationError: The frame cannot be read.
        """
        profile = Profile(self.layout)
        if frame is not None:
            profile.observe_many(frame)
        return profile

    def compare(
        self,
        current: Any,
        *,
        alpha: float = 0.01,
        tolerance: float | Tolerance = 0.1,
        breach: float | Tolerance | None = None,
        rule: Literal["estimate", "proven"] = "estimate",
        correction: Literal["holm", "bh"] = "holm",
        weights: Mapping[str, float] | None = None,
    ) -> DriftReport:
        """Has the data changed since the reference?

        A column has drifted when the change is significant (the chance that any column is flagged
        without drift is at most alpha) and material (larger than the tolerance). It is stable when
        the rows would have shown a change at the tolerance more often than not; else it is
        inconclusive, as is, with `rule="proven"`, an estimate beyond the tolerance without proof.

        Args:
            current: A profile of this reference, or a frame.
            alpha: Chance of any false alarm among all columns; with `correction="bh"`, the share of
                false ones among the columns flagged.
            tolerance: Beyond it a column warns: a number of standard deviations, told as the mean
                shift of a normal column, or `psi(...)`, `ks(...)`, `js(...)`, applied in that
                metric.
            breach: Beyond it the column breaches; if not given, beyond three times the tolerance:
                0.3 for the default. A plain number is in the metric of the tolerance.
            rule: "estimate": significantly changed, and the estimated effect is beyond the
                tolerance. "proven": the effect is significantly beyond the tolerance.
            correction: "holm", or "bh" for Benjamini and Hochberg's.
            weights: Importance of columns, 1 if not given: a column of twice the weight gets twice
                the share of alpha.

        Raises:
            ConfigurationError: The profile is of another reference, or an argument is out of range.
        """
        profile = current if isinstance(current, Profile) else self.profile(current)
        (report,) = self.compare_many(
            [profile],
            alpha=alpha,
            tolerance=tolerance,
            breach=breach,
            rule=rule,
            correction=correction,
            weights=weights,
        )
        return report

    def compare_many(self, profiles: Iterable[Profile], **how: Unpack[How]) -> list[DriftReport]:
        """Compare each of several profiles, as `compare` would, in less time.

        Args:
            profiles: Of this reference, such as one a day. Each is a family of its own: over k
                profiles without drift, expect k times alpha false alarms.
            how: The keyword arguments of `compare`.
        """
        from mlguard.drift.compare import compare_many  # noqa: PLC0415 -- counting needs no tests

        return compare_many(self, [profile.copy() for profile in profiles], **how)

    def compare_reference(self, newer: Reference, **how: Unpack[How]) -> DriftReport:
        """What did a retrain itself move? Compare the reference of a newer model with this one.

        Levels are compared exactly; a level that only one of the two told apart joins the others.
        Numbers are compared exactly where both have mostly the same ranges, as whole numbers do.
        Else the newer rows are spread within their ranges as those of a normal column would be:
        `profile.schema_changes` says "approximate column ..." then, and effects below a tenth of a
        standard deviation mean little there. `compare` with the newer rows themselves, where they
        are still at hand, is exact.

        Args:
            newer: The other reference.
            how: The keyword arguments of `compare`.
        """
        from mlguard.drift.retrained import recounted  # noqa: PLC0415 -- counting needs no tests

        layout, counts, profile = recounted(self, newer)
        (report,) = Reference(layout, counts, self.rows).compare_many([profile], **how)
        return report

    def required_n(
        self, *, alpha: float = 0.01, tolerance: float | Tolerance = 0.1
    ) -> dict[str, int | None]:
        """How many current rows find a change at the tolerance in half of all samples, by column.

        Args:
            alpha: As in `compare`; each column gets its share of it.
            tolerance: As in `compare`.

        Returns:
            The rows by column; None where no number does, because the reference is too small.
        """
        from mlguard.drift.compare import required_rows  # noqa: PLC0415 -- counting needs no tests

        return required_rows(self, alpha=alpha, tolerance=tolerance)

    def to_json(self) -> str:
        """Write the reference as JSON, the same for the same rows."""
        return _written(self.layout.cells, self.layout.sources, self.counts, self.rows)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote.

        Raises:
            ConfigurationError: The text is no reference of a known schema.
        """
        record = parsed(text, "reference")
        try:
            return cls._read(record)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise refusal("text", text, f"the JSON of a reference: {error!r}") from None

    @classmethod
    def _read(cls, record: Mapping[str, Any]) -> Self:
        rows = whole("rows", record["rows"], least=1)
        cells, sources, parts = {}, {}, []
        for name, column in record["columns"].items():
            cells[name], sources[name] = (
                cells_from_dict(column),
                name_of("source", column["source"]),
            )
            counts = [whole(f"counts of {name}", count) for count in column["counts"]]
            if len(counts) != cells[name].size or sum(counts) != rows:
                allowed = f"one for each of {cells[name].size} cells, {rows} rows in all"
                raise refusal(f"counts of {name}", counts, allowed)
            parts.append(np.array(counts, dtype=np.int64))
        return cls._of(cells, sources, np.concatenate(parts), rows)


def _named(parameter: str, names: Iterable[str], table: Mapping[str, Column]) -> set[str]:
    if isinstance(names, str):
        raise refusal(parameter, names, "a list of names of columns")
    given = list(names)
    if unknown := sorted(set(given) - set(table)):
        raise refusal(parameter, unknown, f"columns of the frame: {sorted(table)}")
    if len(set(given)) < len(given):
        raise refusal(parameter, given, "each column once")
    return set(given)


def _chosen(
    table: Mapping[str, Column], columns: Sequence[str] | None, out: set[str]
) -> list[Column]:
    wanted = list(table) if columns is None else list(columns)
    _named("columns", columns or (), table)
    chosen = [table[name] for name in wanted if name not in out]
    if not chosen or not chosen[0].rows:
        raise refusal("frame", f"{len(chosen)} columns", "at least one column and one row")
    return chosen


def _fitted(
    column: Column, bins: int, levels: int, salt: str
) -> Iterable[tuple[str, Cells, NDArray[np.int64]]]:
    if column.kind == "level":
        counts, absent, _ = column.levels()
        if len(counts) > max(_ID_LIKE * column.rows, 2):
            raise ConfigurationError(
                f"column {column.name!r} has {len(counts):,} distinct values in {column.rows:,} "
                f"rows: it identifies rows. Leave it out: leave_out=[{column.name!r}]"
            )
        known = Levels.fit(counts, levels, salt)
        yield column.name, known, known.count(counts, absent)
        return
    values = column.floats()
    ranges = Ranges.fit(values, bins)
    yield column.name, ranges, ranges.count(values)
    if column.kind == "time":
        for part in ("hour", "weekday"):
            cycle = Cycle(part)
            yield f"{column.name}.{part}", cycle, cycle.count(values)


def _written(
    cells: Mapping[str, Cells],
    sources: Mapping[str, str],
    counts: NDArray[np.int64],
    rows: int,
) -> str:
    columns, start = {}, 0
    for name, fixed in cells.items():
        part = counts[start : start + fixed.size]
        columns[name] = {"source": sources[name], **fixed.to_dict(), "counts": part.tolist()}
        start += fixed.size
    record = {"kind": "reference", "schema": 1, "rows": rows, "columns": columns}
    return json.dumps(record, separators=(",", ":"))
