"""Where the cells of each column lie in one flat array of counts."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from mlguard.drift import scalars
from mlguard.drift.cells import Cells, Cycle, Levels
from mlguard.drift.frames import Column, read, table_of
from mlguard.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from mlguard.drift.scalars import Expected, Kind

Target: TypeAlias = tuple[slice, Cells]
"""Where the counts of a column lie, and its cells."""

_LONGEST = 100
"""Characters of an unknown column's name that are noted: names come from outside."""


@dataclass(frozen=True, slots=True)
class Source:
    """A column of the frame, and the columns of the reference that are read from it.

    Attributes:
        name: Of the column in the frame.
        expected: What it holds.
        targets: Its cells: those of its values, for a time also those of the hour and weekday.
        plain: The type of values that its cells take as they are.
    """

    name: str
    expected: Expected
    targets: tuple[Target, ...]
    plain: type

    def notes(self, kinds: Iterable[Kind]) -> set[str]:
        """Note what else it holds."""
        name = scalars.shown(self.name)
        return {f"column {name} holds {scalars.PLURALS[kind]}" for kind in kinds}


@dataclass(frozen=True, slots=True)
class Layout:
    """The cells of a reference, column after column. Immutable.

    Attributes:
        digest: Of the reference.
        sizes: Number of cells by column.
        cells: The cells by column; none where only counts were stored, which cannot count more.
        sources: By column, the column of the frame that it is read from.
        parts: By column, its place in the flat counts.
        plan: By column of the frame, what to count there.
    """

    digest: str
    sizes: Mapping[str, int]
    cells: Mapping[str, Cells] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)
    parts: Mapping[str, slice] = field(init=False)
    plan: Mapping[str, Source] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        ends = np.cumsum([0, *self.sizes.values()]).tolist()
        parts = {
            name: slice(start, end)
            for name, start, end in zip(self.sizes, ends, ends[1:], strict=False)
        }
        targets: dict[str, list[Target]] = {}
        for name, cells in self.cells.items():
            targets.setdefault(self.sources[name], []).append((parts[name], cells))
        plan = {name: _source(name, tuple(each)) for name, each in targets.items()}
        object.__setattr__(self, "parts", parts)
        object.__setattr__(self, "plan", plan)

    @staticmethod
    def digest_of(text: str) -> str:
        """Digest a text: the first 16 hexadecimal digits of its SHA-256."""
        return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:16]

    def fits(self, other: Layout) -> bool:
        """Whether counts in the other layout lie in the same cells."""
        return self.digest == other.digest and [*self.sizes.items()] == [*other.sizes.items()]

    @property
    def size(self) -> int:
        """Number of all cells."""
        return sum(self.sizes.values())

    def count(self, frame: Any) -> tuple[NDArray[np.int64], int, frozenset[str]]:
        """Count a frame, lazy or in memory: the flat counts, the rows, and what did not fit."""
        self._able()
        if not isinstance(frame, Mapping | np.ndarray):
            frame = table_of(frame)
            if hasattr(frame, "collect"):
                from mlguard.drift import lazy  # noqa: PLC0415 -- needs narwhals, here loaded

                return lazy.count(self, frame)
        columns = read(frame, list(self.plan))
        rows = next(iter(columns.values())).rows if columns else 0
        counts = np.zeros(self.size, dtype=np.int64)
        notes = self.unknown(columns)
        for name, source in self.plan.items():
            if name in columns:
                kinds = _count(columns[name], source, counts)
                if kinds:
                    notes |= source.notes(kinds)
            else:
                notes |= self.absent(source, rows, counts)
        return counts, rows, frozenset(notes)

    def cells_of(self, row: Mapping[str, Any]) -> tuple[list[int], frozenset[str]]:
        """Find the cell of each value of a row, and what did not fit."""
        self._able()
        notes: set[str] = set()
        if not isinstance(row, dict):
            row = _copied(row)
        if not row.keys() <= self.plan.keys():
            row = _spread(row, self.plan)
            notes = self.unknown(row)
        places = []
        get = row.get
        for name, source in self.plan.items():
            value: Any = get(name)
            if type(value) is not source.plain:
                value, held = scalars.read(value, source.expected)
                if held is not None:
                    notes |= source.notes([held])
            for part, cells in source.targets:
                places.append(part.start + cells.cell(value))
        return places, frozenset(notes)

    def unknown(self, names: Iterable[Any]) -> set[str]:
        """Note the columns that the reference does not know."""
        unknown = [scalars.name_of(name) for name in names if name not in self.plan]
        return {f"unknown column {scalars.shown(name[:_LONGEST])}" for name in unknown}

    @staticmethod
    def absent(source: Source, rows: int, counts: NDArray[np.int64]) -> set[str]:
        """Count a column that the frame does not have as missing, and note it."""
        for part, _ in source.targets:
            counts[part.stop - 1] = rows
        return {f"absent column {scalars.shown(source.name)}"}

    def _able(self) -> None:
        if not self.cells:
            raise ConfigurationError(
                f"this profile of reference {self.digest} was read from JSON and has no cells: "
                "count into reference.profile() and add the two"
            )


def _source(name: str, targets: tuple[Target, ...]) -> Source:
    if any(isinstance(cells, Cycle) for _, cells in targets):
        return Source(name, "time", targets, type(None))
    if isinstance(targets[0][1], Levels):
        return Source(name, "level", targets, str)
    return Source(name, "number", targets, float)


def _count(column: Column, source: Source, counts: NDArray[np.int64]) -> frozenset[Kind]:
    if source.expected == "level":
        (part, cells), *_ = source.targets
        found, missing, kinds = column.levels()
        counts[part] = cells.count(found, missing)  # type: ignore[call-arg, arg-type]
        return kinds
    kinds = frozenset()
    for block, held in column.blocks(source.expected):
        kinds |= held
        for part, cells in source.targets:
            counts[part] += cells.count(block)  # type: ignore[call-arg, arg-type]
    return kinds


def _copied(row: Mapping[Any, Any]) -> dict[Any, Any]:
    """Copy a mapping of any class; what cannot be read of it is missing."""
    found: dict[Any, Any] = {}
    try:
        for name in row:
            try:
                found[name] = row[name]
            except Exception:  # noqa: BLE001 -- counting must not fail for one value
                found[name] = None
    except Exception:  # noqa: BLE001 -- what was read so far counts
        return found
    return found


def _spread(row: Mapping[Any, Any], plan: Mapping[str, Source]) -> dict[str, Any]:
    """Name the columns of a row as a frame does: in text, each component of a vector by itself."""
    spread: dict[str, Any] = {}
    for key, value in row.items():
        name = scalars.name_of(key)
        if not isinstance(key, str) and name in row:  # no frame has both; the text is meant
            continue
        parts = None
        if name not in plan and f"{name}[0]" in plan:
            parts = _components(value, len(plan) + 1)
        if parts is None:
            spread[name] = value
        else:
            spread |= {f"{name}[{place}]": each for place, each in enumerate(parts)}
    return spread


def _components(value: Any, most: int) -> list[Any] | None:
    """Read the components of a vector; None if it is none."""
    if isinstance(value, str | bytes | Mapping):
        return None
    try:
        return list(islice(value, most)) if hasattr(value, "__getitem__") else None
    except Exception:  # noqa: BLE001 -- an array without dimensions, or any class
        return None
