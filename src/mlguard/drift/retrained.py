"""What a retrain itself moved: two references, brought to cells that both know."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

from mlguard.drift.cells import Cycle, Levels, Ranges
from mlguard.drift.layout import Layout
from mlguard.drift.profile import Profile

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlguard.drift.cells import Cells
    from mlguard.drift.reference import Reference

    Counts = NDArray[np.int64]


def recounted(older: Reference, newer: Reference) -> tuple[Layout, Counts, Profile]:
    """Count both references in cells that both know: layout, counts of the older, the newer.

    Levels and cycles are exact: a level that only one of the two told apart joins the others. So
    are ranges with mostly the same edges, such as those of whole numbers: they are joined between
    the common ones. Else the rows of the newer reference are spread within its ranges as those of a
    normal column would be (of a lognormal one, if all are positive), and the profile says so in
    `schema_changes`.
    """
    cells: dict[str, Cells] = {}
    before: dict[str, Counts] = {}
    after: dict[str, list[int]] = {}
    notes = []
    for name, known in older.layout.cells.items():
        mine = older.counts[older.layout.parts[name]]
        other = newer.layout.cells.get(name)
        theirs = newer.counts[newer.layout.parts[name]] if other is not None else mine[:0]
        cells[name], before[name] = known, mine
        if isinstance(known, Levels) and isinstance(other, Levels) and known.salt == other.salt:
            cells[name], before[name], found = _levels(known, mine, other, theirs)
        elif isinstance(known, Ranges) and isinstance(other, Ranges):
            common = [edge for edge in known.edges if edge in set(other.edges)]
            if 2 * len(common) > len(known.edges):
                cells[name] = Ranges(tuple(common))
                before[name], found = _joined(known, mine, common), _joined(other, theirs, common)
            else:
                found = _spread(known, other, theirs)
                notes.append(f"approximate column {name}: its ranges differ")
        elif isinstance(known, Cycle) and known == other:
            found = theirs
        else:
            found = np.zeros(known.size, dtype=np.int64)
            found[-1] = newer.rows
            what = "absent column" if other is None else "other levels or kind in column"
            notes.append(f"{what} {name}")
        after[name] = found.tolist()
    notes += [f"unknown column {name}" for name in newer.columns if name not in cells]
    sizes = {name: fixed.size for name, fixed in cells.items()}
    record = {
        "kind": "profile",
        "schema": 1,
        "reference": older.digest,
        "rows": newer.rows,
        "span": None,
        "schema_changes": sorted(notes),
        "columns": [[name, counts] for name, counts in after.items()],
    }
    layout = Layout(older.digest, sizes, cells, older.layout.sources)
    return layout, np.concatenate([*before.values()]), Profile.from_json(json.dumps(record))


def _levels(
    known: Levels, mine: Counts, other: Levels, theirs: Counts
) -> tuple[Levels, Counts, Counts]:
    """Keep the levels of which both counts are known; the rest joins the others."""
    place = {name: index for index, name in enumerate(other.names)}
    kept = [name in place or other.complete for name in known.names]
    names = [name for name, keep in zip(known.names, kept, strict=True) if keep]
    before = np.append(mine[:-2][kept], [0, mine[-1]])
    before[-2] = mine.sum() - before.sum()
    after = np.array([theirs[place[name]] if name in place else 0 for name in names], np.int64)
    after = np.append(after, [0, theirs[-1]])
    after[-2] = theirs.sum() - after.sum()
    return Levels(tuple(names), known.complete and all(kept), known.salt), before, after


def _joined(ranges: Ranges, counts: Counts, edges: list[float]) -> Counts:
    """Join the ranges between the edges."""
    up_to = np.cumsum(counts)
    places = np.append(np.searchsorted(ranges.edges, edges), [-2, -1])
    return np.diff(np.concatenate([[0], up_to[places]]))


def _spread(known: Ranges, other: Ranges, theirs: Counts) -> Counts:
    """Spread the rows within each range as a (log)normal column would, and count them anew."""
    up_to = np.cumsum(theirs)
    present = int(up_to[-2])
    inner = np.array(other.edges[1:-1])
    found = np.zeros(len(known.edges) - 2)
    if len(inner):
        depth = special.ndtri((up_to[1 : len(inner) + 1] + 0.5) / (present + 1.0))
        edges = np.array(known.edges[1:-1])
        if min(inner[0], *edges) > 0.0:
            inner, edges = np.log(inner), np.log(edges)
        found = np.rint(special.ndtr(np.interp(edges, inner, depth)) * (present + 1.0) - 0.5)
    least, most = up_to[0], up_to[-3]
    anew = np.clip(found, least, most).astype(np.int64)
    return known.from_cumulative([int(least), *anew.tolist(), int(most), present], int(up_to[-1]))
