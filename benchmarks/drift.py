"""What drift costs: CPU time of counting and comparing, beside a floor in plain numpy.

30 numeric and 10 text columns (3 to 30 levels). The floor compares the same rows with deciles of
the reference and PSI, and counts of levels and chi-square, as one would by hand in numpy; it counts
the current rows only, like ours, since the reference is fitted beforehand.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from scipy import special

from mlguard.drift import Profile, Reference
from mlguard.drift.cells import Ranges

if TYPE_CHECKING:
    from collections.abc import Callable

    Frame: TypeAlias = dict[str, np.ndarray[Any, Any]]

NUMBERS, TEXTS = 30, 10
MANY = 100


def frame(rng: np.random.Generator, rows: int) -> Frame:
    """Draw the columns."""
    columns: Frame = {f"x{place}": rng.standard_normal(rows) for place in range(NUMBERS)}
    for place in range(TEXTS):
        levels = np.array([f"level {each}" for each in range(3 + 3 * place)], dtype=object)
        columns[f"s{place}"] = rng.choice(levels, rows)
    return columns


def cpu(work: Callable[[], object], repeats: int) -> float:
    """Give the least CPU time of several runs, in seconds: neighbours only ever add to it."""
    least = float("inf")
    for _ in range(repeats):
        start = time.process_time()
        work()
        least = min(least, time.process_time() - start)
    return least


Known: TypeAlias = dict[str, tuple[Any, np.ndarray[Any, Any]]]


def by_hand(before: Frame) -> Known:
    """Fit the floor: edges and counts of numbers, levels and counts of texts."""
    known: Known = {}
    for name, values in before.items():
        if values.dtype.kind == "O":
            counts = Counter(values.tolist())
            known[name] = list(counts), np.array(list(counts.values()))
        else:
            edges = np.quantile(values, np.arange(1, 10) / 10)
            known[name] = edges, np.bincount(np.searchsorted(edges, values), minlength=10)
    return known


def floor(known: Known, after: Frame) -> list[float]:
    """Compare with the floor: PSI of numbers, chi-square p-value of texts."""
    found = []
    for name, (cells, counts) in known.items():
        values = after[name]
        if values.dtype.kind == "O":
            seen = Counter(values.tolist())
            both = np.stack([counts, [seen[level] for level in cells]])
            expected = both.sum(0) * both.sum(1)[:, None] / both.sum()
            statistic = float(((both - expected) ** 2 / expected).sum())
            found.append(float(special.chdtrc(len(cells) - 1, statistic)))
        else:
            new = np.bincount(np.searchsorted(cells, values), minlength=10)
            p, q = (counts + 0.5) / counts.sum(), (new + 0.5) / new.sum()
            found.append(float(((q - p) * np.log(q / p)).sum()))
    return found


def main() -> int:
    """Measure, print, fail over a limit."""
    rng, over = np.random.default_rng(1), 0

    def told(
        what: str, value: float, unit: str, limit: float | None = None, note: str = ""
    ) -> None:
        nonlocal over
        over += limit is not None and value > limit
        border = "" if limit is None else f" (limit {limit:g} {unit})"
        print(f"{what}: {value:.3g} {unit}{border}{note}", flush=True)

    for rows, limit, repeats in ((100_000, 0.15, 7), (1_000_000, 1.2, 2)):
        before, after = frame(rng, rows), frame(rng, rows)
        known = by_hand(before)
        reference = Reference.fit(before)
        least = cpu(lambda: floor(known, after), repeats)  # noqa: B023 -- called at once
        ours = cpu(lambda: reference.compare(after), repeats)  # noqa: B023 -- called at once
        told(
            f"count and compare 40 columns x {rows:,}",
            ours,
            "s",
            limit,
            f"; floor in numpy {least:.3g} s, ratio {ours / least:.2f}",
        )
    values = rng.standard_normal(1_000_000)
    ranges = Ranges.fit(values, 20)
    each = cpu(lambda: ranges.count(values), 7) / len(values) * 1e9
    told("count a number in 20 ranges", each, "ns a value", 8.0)

    reference = Reference.fit(frame(rng, 100_000))
    profiles = [reference.profile(frame(rng, 5000)) for _ in range(10)]
    stored = Profile.from_json(profiles[0].to_json())
    told("compare a stored profile", 1e3 * cpu(lambda: reference.compare(stored), 30), "ms", 5.0)
    together = cpu(lambda: reference.compare_many(profiles * (MANY // 10)), 9)
    told(f"compare each of {MANY} stored profiles", 1e3 * together / MANY, "ms", 0.4)
    read = cpu(lambda: [each.drifted for each in reference.compare_many(profiles)], 9)
    told("the same, and ask each for what drifted", 1e3 * read / len(profiles), "ms")
    told("JSON of a profile", len(stored.to_json()) / 1e3, "kB", 60.0)

    batch = frame(rng, 64)
    row = {name: column[0] for name, column in batch.items()}
    live = reference.profile()

    def rows_one_by_one() -> None:
        for _ in range(500):
            live.observe(row)

    def rows_in_batches() -> None:
        for _ in range(50):
            live.observe_many(batch)

    told("observe a row of 40 features", 1e6 * cpu(rows_one_by_one, 7) / 500, "us", 40.0)
    told("observe a row in a batch of 64", 1e6 * cpu(rows_in_batches, 7) / 50 / 64, "us", 5.0)
    return int(over > 0)


if __name__ == "__main__":
    sys.exit(main())
