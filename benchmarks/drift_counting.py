"""What counting for drift costs: CPU time a value and a row, bytes of JSON, and memory."""

from __future__ import annotations

import importlib
import statistics
import sys
import time
import tracemalloc
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from mlguard.drift import Reference

ROUNDS = 15
ROWS = 1_000_000
COLUMNS = 10

rng = np.random.default_rng(0)


def cpu(work: Callable[[], object], times: int = 1) -> float:
    """Give the median CPU seconds of one call, over rounds of some calls each."""
    rounds = []
    for _ in range(ROUNDS):
        start = time.process_time()
        for _ in range(times):
            work()
        rounds.append((time.process_time() - start) / times)
    return statistics.median(rounds)


def shown(what: str, measured: float, limit: float | None, unit: str) -> bool:
    """Print a number beside its limit; tell whether it is over."""
    allowed = "no limit" if limit is None else f"limit {limit:,g}"
    print(f"{what}: {measured:,.3g} {unit} ({allowed})")
    return limit is not None and measured > limit


def table(rows: int) -> dict[str, Any]:
    """Make 30 columns of numbers and 10 of strings, with 3 to 30 levels."""
    columns: dict[str, Any] = {f"number {place}": rng.normal(size=rows) for place in range(30)}
    for place in range(10):
        levels = np.array([f"level {level}" for level in range(3 + 3 * place)], dtype=object)
        columns[f"level {place}"] = rng.choice(levels, rows)
    return columns


def numbers() -> list[bool]:
    """Count one column of a million numbers, a fiftieth of them missing."""
    values = rng.normal(size=ROWS)
    values[::50] = np.nan
    reference = Reference.fit({"x": values}, bins=20)
    took = cpu(lambda: reference.profile({"x": values})) / ROWS * 1e9
    tracemalloc.start()
    reference.profile({"x": values})
    peak = tracemalloc.get_traced_memory()[1] / values.nbytes
    tracemalloc.reset_peak()
    Reference.fit({"x": values})
    fitting = tracemalloc.get_traced_memory()[1] / values.nbytes
    tracemalloc.stop()
    return [
        shown("one number, 20 bins", took, 8, "ns"),
        shown("extra memory of counting a column", peak, 3, "columns"),
        shown("extra memory of fitting a column", fitting, 3, "columns"),
    ]


def serving() -> list[bool]:
    """Count frames, batches and single rows of 40 columns."""
    frame = table(100_000)
    reference = Reference.fit(frame)
    profile = reference.profile()
    row = {name: values[0] for name, values in frame.items()}
    plain = {name: getattr(value, "item", lambda v=value: v)() for name, value in row.items()}
    batch = {name: values[:64] for name, values in frame.items()}
    wide = {
        f"level {place}": [f"level {row % 100}" for row in range(20_000)] for place in range(10)
    }
    hundred = Reference.fit({**{name: frame[name][:20_000] for name in list(frame)[:30]}, **wide})
    size = len(
        hundred.profile(
            {
                **{name: frame[name] for name in hundred.columns[:30]},
                **{name: (levels * 5) for name, levels in wide.items()},
            }
        ).to_json()
    )
    return [
        shown("a frame of 100,000 rows", cpu(lambda: reference.profile(frame)), 0.15, "s"),
        shown("observe(row)", cpu(lambda: profile.observe(plain), 500) * 1e6, 40, "µs"),
        shown("observe(row) of numpy's", cpu(lambda: profile.observe(row), 500) * 1e6, 40, "µs"),
        shown(
            "a row in batches of 64", cpu(lambda: profile.observe_many(batch), 100) / 64e-6, 5, "µs"
        ),
        shown("a profile, 100 levels", size / 1000, 60, "kB"),
    ]


def lazily() -> None:
    """Count a million rows of 10 columns where they lie, on the engines that are installed."""
    values = {f"x{place}": rng.normal(size=ROWS) for place in range(COLUMNS)}
    reference = Reference.fit({name: column[:100_000] for name, column in values.items()})
    expected = reference.profile(values)
    makers: dict[str, Callable[[Any], Any]] = {
        "polars": lambda library: library.LazyFrame(values),
        "duckdb": lambda library: library.connect().from_df(_pandas(values)),
        "dask.dataframe": lambda library: library.from_pandas(_pandas(values), npartitions=4),
    }
    for name, make in makers.items():
        try:
            frame = make(importlib.import_module(name))
        except ImportError:
            print(f"{name}: not installed")
            continue
        start, wall = time.process_time(), time.perf_counter()
        counted = reference.profile(frame)
        took, waited = time.process_time() - start, time.perf_counter() - wall
        if counted != expected:
            message = f"{name} counts differently"
            raise SystemExit(message)
        print(
            f"{name}, lazily, {ROWS:,} x {COLUMNS}: {took:.2f} s CPU, {waited:.2f} s, same counts"
        )


def _pandas(values: dict[str, Any]) -> Any:
    return importlib.import_module("pandas").DataFrame(values)


def main() -> int:
    """Measure, print, fail over a limit."""
    warnings.simplefilter("ignore", FutureWarning)  # Dask is moving out of narwhals
    over = [*numbers(), *serving()]
    lazily()
    return int(any(over))


if __name__ == "__main__":
    sys.exit(main())
