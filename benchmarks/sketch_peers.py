"""Quantile sketches side by side: cost and error on the same numbers, in one run.

`make bench-peers` runs it in an environment of its own under .venvs/, installed on first use. It is
optional and never part of CI. Costs are the least CPU time of several runs; errors are relative to
the order statistic, the largest of p50, p95, p99 and p99.9.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[1]
HOME = ROOT / ".venvs" / "sketches"
PEERS = ["datasketches", "ddsketch", "fastdigest", "hdrhistogram"]
LEVELS = (0.5, 0.95, 0.99, 0.999)
HEAVY = 0.05
"""Share of the values with a heavy tail."""
SCALARS = 100_000
"""Of a million values that bulk adds take; scalar adds, which some have only, take so many."""


@dataclass(frozen=True, slots=True)
class Sketch:
    """A sketch as its users call it."""

    make: Callable[[], Any]
    add: Callable[[Any], Callable[[float], object]]
    quantile: Callable[[Any, float], float]
    merge: Callable[[Any, Any], object]
    many: Callable[[Any, np.ndarray], object] | None = None
    size: Callable[[Any], int] | None = None


def sketches() -> dict[str, Sketch]:
    """Import each program and say how it is called."""
    import datasketches as ds  # type: ignore[import-not-found]  # noqa: PLC0415
    from ddsketch import DDSketch  # type: ignore[import-not-found]  # noqa: PLC0415
    from fastdigest import TDigest  # type: ignore[import-not-found]  # noqa: PLC0415
    from hdrh.histogram import HdrHistogram  # type: ignore[import-not-found]  # noqa: PLC0415

    from mlguard import Histogram  # noqa: PLC0415

    def hdr_add(sketch: Any) -> Callable[[float], object]:
        record = sketch.record_value
        return lambda value: record(int(value * 1e6))  # it counts integers: microseconds

    def kll_merge(one: Any, other: Any) -> object:
        one.merge(other)
        return one

    return {
        "mlguard.Histogram": Sketch(
            Histogram,
            lambda s: s.add,
            lambda s, q: s.quantile(q),
            lambda a, b: a + b,
            lambda s, x: s.add_many(x),
            lambda s: len(s.to_bytes()),
        ),
        "ddsketch, 1 %": Sketch(
            lambda: DDSketch(0.01),
            lambda s: s.add,
            lambda s, q: s.get_quantile_value(q),
            lambda a, b: a.merge(b),
        ),
        "fastdigest": Sketch(
            TDigest,
            lambda s: s.update,
            lambda s, q: s.quantile(q),
            lambda a, b: a + b,
            lambda s, x: s.batch_update(x),
        ),
        "hdrhistogram, 2 digits": Sketch(
            lambda: HdrHistogram(1, 3_600_000_000, 2),
            hdr_add,
            lambda s, q: s.get_value_at_percentile(100 * q) / 1e6,
            lambda a, b: a.add(b),
            None,
            lambda s: len(s.encode()),
        ),
        "datasketches KLL, k = 200": Sketch(
            lambda: ds.kll_doubles_sketch(200),
            lambda s: s.update,
            lambda s, q: s.get_quantile(q),
            kll_merge,
            lambda s, x: s.update(x),
            lambda s: len(s.serialize()),
        ),
        "datasketches REQ, k = 12": Sketch(
            lambda: ds.req_floats_sketch(12),
            lambda s: s.update,
            lambda s, q: s.get_quantile(q),
            kll_merge,
            lambda s, x: s.update(x.astype(np.float32)),
            lambda s: len(s.serialize()),
        ),
    }


def cpu(work: Callable[[], object], repeats: int) -> float:
    """Give the least CPU time of several runs, in seconds."""
    found = float("inf")
    for _ in range(repeats):
        start = time.process_time()
        work()
        found = min(found, time.process_time() - start)
    return found


def filled(sketch: Sketch, values: np.ndarray) -> Any:
    """Fill a sketch the quickest way it has."""
    found = sketch.make()
    if sketch.many is not None:
        sketch.many(found, values)
    else:
        add = sketch.add(found)
        for value in values.tolist():
            add(value)
    return found


def one_by_one(sketch: Sketch, values: list[float]) -> None:
    """Fill a new sketch by scalar adds, and ask it something, so that nothing is left waiting."""
    made = sketch.make()
    add = sketch.add(made)
    for value in values:
        add(value)
    sketch.quantile(made, 0.5)


def error(sketch: Sketch, values: np.ndarray) -> float:
    """Give the largest relative error over the levels."""
    made, sorted_values = filled(sketch, values), np.sort(values)
    exact = [sorted_values[int(np.ceil(q * len(values))) - 1] for q in LEVELS]
    found = [sketch.quantile(made, q) for q in LEVELS]
    return float(max(abs(a / b - 1.0) for a, b in zip(found, exact, strict=True)))


def measure() -> None:
    """Print a table."""
    rng = np.random.default_rng(1)
    body = rng.lognormal(-3.0, 0.8, 1_000_000)
    tail = rng.random(1_000_000) < HEAVY
    heavy = np.clip(np.where(tail, rng.pareto(1.2, 1_000_000), body), 1e-5, 60.0)
    some, fewer = body[:SCALARS].tolist(), heavy[:SCALARS]
    print("| sketch | add, ns | bulk, ns | p99, us | merge, us | bytes | lognormal | heavy tail |")
    print("|---|---|---|---|---|---|---|---|")
    for name, sketch in sketches().items():
        made = filled(sketch, body[:SCALARS])
        other = filled(sketch, fewer)
        many = sketch.many
        bulk = "none" if many is None else f"{cpu(lambda s=made, f=many: f(s, body), 5) * 1e3:.1f}"  # type: ignore[misc]
        cells = [
            name,
            f"{cpu(lambda s=sketch: one_by_one(s, some), 5) / SCALARS * 1e9:.0f}",  # type: ignore[misc]
            bulk,
            f"{cpu(lambda s=sketch, m=made: s.quantile(m, 0.99), 200) * 1e6:.1f}",  # type: ignore[misc]
            f"{cpu(lambda s=sketch, m=made, o=other: s.merge(m, o), 50) * 1e6:.1f}",  # type: ignore[misc]
            "-" if sketch.size is None else f"{sketch.size(filled(sketch, body[:SCALARS])):,}",
            f"{error(sketch, body[:SCALARS]):.2%}",
            f"{error(sketch, fewer):.2%}",
        ]
        print(f"| {' | '.join(cells)} |", flush=True)


def main() -> None:
    """Install the peers on first use and measure there."""
    if "--inside" in sys.argv:
        measure()
        return
    python = HOME / "bin" / "python"
    if not (HOME / "ready").exists():
        subprocess.run([sys.executable, "-m", "venv", str(HOME)], check=True)
        install = [str(python), "-m", "pip", "install", "--quiet", str(ROOT), *PEERS]
        subprocess.run(install, check=True)
        (HOME / "ready").touch()
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    command = [str(python), str(Path(__file__).resolve()), "--inside"]
    subprocess.run(command, env=environment, check=True)


if __name__ == "__main__":
    main()
