"""The cells of a column, fixed by the reference: every value of any column falls into one."""

from __future__ import annotations

import hashlib
import math
import sys
from bisect import bisect_left
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Self, TypeAlias

import numpy as np

from mlguard.arguments import refusal
from mlguard.render import text

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

BLOCK = 1 << 16
"""Values worked on at once: they and their comparison stay in the processor's cache."""

_FEW = 1 << 11
"""Fewer values than this are searched one by one, more are compared with one edge at a time."""

_LARGEST = sys.float_info.max

_SINGLES = (2.0**-126, 2.0**24)
"""Where float32 has all its digits and tells whole numbers apart."""

MISSING = "(missing)"
OTHER = "(other)"


@dataclass(frozen=True, slots=True)
class Ranges:
    """Ordered cells: between neighbouring edges, upper edge included.

    The first cell is -inf, the second everything below the reference's range, the last three
    everything above it, +inf, and missing. A value with a share of its own has a cell of its own:
    from the float just below it up to it. Up to 2**24, where no other value of the reference is
    near, each cell also takes in what its outermost values become as a float32, or were before.

    Attributes:
        edges: Ascending, from -inf to the largest float.
        thresholds: The edges and +inf. "How many are at most each threshold" decides every cell: no
            engine takes NaN for at most anything, so what is not at most +inf is missing.
    """

    edges: tuple[float, ...]
    thresholds: NDArray[np.float64] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "thresholds", np.array([*self.edges, math.inf]))

    @classmethod
    def fit(cls, values: NDArray[np.float64], bins: int) -> Self:
        """Choose edges: quantiles of the finite values, and point masses above 1 / bins."""
        finite = values[np.isfinite(values)]
        finite += 0.0  # makes -0.0 a 0.0, so that the edges do not depend on the order of rows
        finite.sort()
        edges = {-math.inf, _LARGEST}
        if len(finite):
            places = -(np.arange(1, bins) * -len(finite) // bins) - 1
            cuts = np.unique(finite[places])
            # A value with more than 1 / bins of the rows always reaches over one of the cuts.
            ends = np.unique(np.append(cuts, finite[[0, -1]]))
            starts, stops = (finite.searchsorted(ends, side) for side in ("left", "right"))
            before = np.where(starts > 0, finite[starts - 1], -math.inf).tolist()
            after = np.where(stops < len(finite), finite[stops % len(finite)], math.inf).tolist()
            spans = list(map(_span, before, ends.tolist(), after))
            heavy = (stops - starts) * bins > len(finite)
            heavy[0] = True  # what lies below the reference's range is apart
            edges |= {_below(low) for (low, _), apart in zip(spans, heavy, strict=True) if apart}
            inner = np.isin(ends, cuts)
            inner[-1] = True
            edges |= {high for (_, high), end in zip(spans, inner, strict=True) if end}
        return cls(tuple(sorted(edges)))

    @property
    def size(self) -> int:
        """Number of cells, the missing one included."""
        return len(self.edges) + 2

    @property
    def ordered(self) -> int:
        """Number of cells that have an order: all but the missing one."""
        return self.size - 1

    def count(self, values: NDArray[np.float64]) -> NDArray[np.int64]:
        """Count values, shape (n,)."""
        if len(values) < _FEW:  # a search sorts NaN behind +inf, into the last cell
            return np.bincount(self.thresholds.searchsorted(values), minlength=self.size)
        thresholds = self.thresholds.tolist()
        up_to = [0] * len(thresholds)
        for block in blocks(values):
            for place, threshold in enumerate(thresholds):
                up_to[place] += int(np.count_nonzero(block <= threshold))
        return self.from_cumulative(up_to, len(values))

    def from_cumulative(self, up_to: Sequence[int], rows: int) -> NDArray[np.int64]:
        """Turn "how many are at most each threshold" into cells, as lazy engines give it."""
        return np.diff([0, *up_to, rows]).astype(np.int64, copy=False)

    def cell(self, number: float | None) -> int:
        """Find the cell of one number."""
        if number is None or number != number:  # noqa: PLR0124 -- NaN differs from itself
            return len(self.edges) + 1
        return bisect_left(self.edges, number)

    def labels(self) -> list[str]:
        """Name the cells in words."""
        inner = self.edges[1:-1]
        if not inner:
            return ["-infinity", "finite", "+infinity", MISSING]
        names = ["-infinity", f"below {_number(math.nextafter(inner[0], math.inf))}"]
        for low, high in pairwise(inner):
            alone = point(low, high)
            between = f"{_number(low)} to {_number(high)}"
            names.append(between if alone is None else _number(alone))
        return [*names, f"above {_number(inner[-1])}", "+infinity", MISSING]

    def to_dict(self) -> dict[str, Any]:
        """Give plain JSON; the two outer edges are the same for every column."""
        return {"edges": list(self.edges[1:-1])}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Self:
        """Read what `to_dict` wrote."""
        edges = (-math.inf, *map(float, record["edges"]), _LARGEST)
        if not all(low < high for low, high in pairwise(edges)):
            raise refusal("edges", record["edges"], "finite numbers in ascending order")
        return cls(edges)


@dataclass(frozen=True, slots=True)
class Levels:
    """One cell a level, then one for every other level, and one for missing.

    Attributes:
        names: The levels kept, or their salted hashes.
        complete: Whether the reference had no other level, so that another one is unseen.
        salt: Of the hashes; none when the names are in clear.
        places: The cell of each name.
    """

    names: tuple[str, ...]
    complete: bool
    salt: str = ""
    places: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        places = {name: place for place, name in enumerate(self.names)}
        object.__setattr__(self, "places", places)

    @classmethod
    def fit(cls, counts: Counter[str], most: int, salt: str) -> Self:
        """Keep the most frequent levels."""
        kept = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:most]
        names = tuple(sorted(cls._spelled(name, salt) for name, _ in kept))
        return cls(names, len(counts) <= most, salt)

    @property
    def size(self) -> int:
        """Number of cells, the other and the missing one included."""
        return len(self.names) + 2

    @property
    def ordered(self) -> int:
        """Number of cells that have an order: none."""
        return 0

    def count(self, counts: Mapping[str, int], missing: int) -> NDArray[np.int64]:
        """Count the levels of a column by their spelling."""
        cells = [0] * self.size
        get, salt, other = self.places.get, self.salt, len(self.names)
        for name, count in counts.items():
            cells[get(self._spelled(name, salt) if salt else name, other)] += count
        cells[-1] = missing
        return np.array(cells, dtype=np.int64)

    def cell(self, name: str | None) -> int:
        """Find the cell of one level by its spelling."""
        if name is None:
            return len(self.names) + 1
        return self.places.get(self._spelled(name, self.salt), len(self.names))

    def labels(self) -> list[str]:
        """Name the cells in words."""
        return [*self.names, "(unseen)" if self.complete else OTHER, MISSING]

    def to_dict(self) -> dict[str, Any]:
        """Give plain JSON."""
        return {"names": list(self.names), "complete": self.complete, "salt": self.salt}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Self:
        """Read what `to_dict` wrote."""
        return cls(tuple(record["names"]), record["complete"], record["salt"])

    @staticmethod
    def _spelled(name: str, salt: str) -> str:
        if not salt:
            return name
        return hashlib.sha256((salt + name).encode(errors="surrogatepass")).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Cycle:
    """One cell for each hour of the day or day of the week, in UTC, and one for missing.

    Attributes:
        part: "hour" or "weekday".
    """

    part: str

    @property
    def size(self) -> int:
        """Number of cells, the missing one included."""
        return len(_CYCLES[self.part][2]) + 1

    @property
    def ordered(self) -> int:
        """Number of cells that have an order: none, since midnight follows the evening."""
        return 0

    def count(self, values: NDArray[np.float64]) -> NDArray[np.int64]:
        """Count times, in Unix seconds."""
        length, offset, names = _CYCLES[self.part]
        cells = np.zeros(len(names) + 1, dtype=np.int64)
        for block in blocks(values):
            known = block[np.isfinite(block)]
            turns = ((known + offset) // length % len(names)).astype(np.int64)
            cells[:-1] += np.bincount(turns, minlength=len(names))
            cells[-1] += len(block) - len(known)
        return cells

    def cell(self, seconds: float | None) -> int:
        """Find the cell of one time, in Unix seconds."""
        length, offset, names = _CYCLES[self.part]
        if seconds is None or not math.isfinite(seconds):
            return len(names)
        return int((seconds + offset) // length % len(names))

    def labels(self) -> list[str]:
        """Name the cells in words."""
        return [*_CYCLES[self.part][2], MISSING]

    def to_dict(self) -> dict[str, Any]:
        """Give plain JSON."""
        return {"cycle": self.part}


_CYCLES: dict[str, tuple[float, float, tuple[str, ...]]] = {
    "hour": (3_600.0, 0.0, tuple(f"{hour:02d}:00" for hour in range(24))),
    "weekday": (86_400.0, 3 * 86_400.0, ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")),
}
"""Seconds of a step, offset of the Unix epoch (a Thursday), and the names of the steps."""

Cells: TypeAlias = Ranges | Levels | Cycle


def blocks(values: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Cut an array of any length into blocks that stay in the processor's cache."""
    for start in range(0, len(values), BLOCK):
        yield values[start : start + BLOCK]


def cells_from_dict(record: Mapping[str, Any]) -> Cells:
    """Read the cells of a column."""
    if "edges" in record:
        return Ranges.from_dict(record)
    if "names" in record:
        return Levels.from_dict(record)
    if record.get("cycle") in _CYCLES:
        return Cycle(record["cycle"])
    raise refusal("cells", sorted(record), "edges, names or cycle")


def point(low: float, high: float) -> float | None:
    """Give the value that has the cell between two edges to itself; None if more values do."""
    first = math.nextafter(low, math.inf)
    if first == high:
        return high
    if _twin(first) != high and _twin(high) != first:
        return None
    return high if float(np.float32(first)) == first else first


def _span(before: float, value: float, after: float) -> tuple[float, float]:
    """Give the ends of a value and its twin; of the value only, if one of its neighbours is near.

    A price of 4.99 is 4.989999771118164 as a float32: no drift, but another number.
    """
    twin = _twin(value)
    if twin > value:
        return value, twin if min(after, _twin(after)) > twin else value
    return twin if max(before, _twin(before)) < twin else value, value


def _twin(value: float) -> float:
    """Give what a number becomes as a float32, or what it was before if it is one already."""
    if not _SINGLES[0] <= abs(value) <= _SINGLES[1]:
        return value
    single = np.float32(value)
    return float(single) if float(single) != value else float(str(single))


def _below(value: float) -> float:
    return math.nextafter(value, -math.inf)


def _number(value: float) -> str:
    return text.number(float(value))
