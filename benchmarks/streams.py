"""Detectors on streams: cost of an observation, run lengths and delays, with the numbers to hold.

`streams_peers.py` runs the same with river beside it.
"""

from __future__ import annotations

import json
import sys
import time
from functools import partial
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from mlguard.drift.streams import Adwin, EDetector, PageHinkley, ScanGLR
from mlguard.testing import evaluate, stream

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlguard.drift.streams import Detector

ITEMS, CHUNK, TIMES = 200_000, 8_192, 5
DETECTORS: dict[str, tuple[Callable[..., Detector], str, float | None, float | None]] = {
    "ScanGLR, bernoulli": (partial(ScanGLR, "bernoulli"), "bernoulli", 6_000, 250),
    "ScanGLR, gaussian": (ScanGLR, "gaussian", 6_000, 250),
    "Adwin": (Adwin, "bernoulli", 1_000, 250),
    "PageHinkley": (PageHinkley, "gaussian", 500, 150),
    "EDetector, baseline 0.1": (partial(EDetector, baseline=0.1), "bernoulli", None, None),
}
"""With the family of the values, and what an observation may cost, one by one and in chunks."""
CHANGES: dict[str, tuple[str, float, float]] = {
    "0.1 to 0.15": ("bernoulli", 0.1, 0.15),
    "0.1 to 0.3": ("bernoulli", 0.1, 0.3),
    "0.3 to 0.1": ("bernoulli", 0.3, 0.1),
    "+0.25 sd": ("gaussian", 0.0, 0.25),
    "+0.5 sd": ("gaussian", 0.0, 0.5),
    "+1 sd": ("gaussian", 0.0, 1.0),
}
BEFORE, AFTER = 10_000, 10_000
QUIET: dict[str, tuple[str, float]] = {
    **{f"events, {p}": ("bernoulli", p) for p in (0.02, 0.1, 0.3, 0.5)},
    "normal": ("gaussian", 0.0),
    "counts, 0.5": ("poisson", 0.5),
}
ALARMS, LEAST, MOST = 200, 0.7, 2.0


def values(family: str, n: int, seed: int = 1) -> Any:
    """Draw values without a change."""
    mean = 0.1 if family == "bernoulli" else 0.0
    return stream(np.random.default_rng(seed), np.full(n, mean), family=family).values


def costs(make: Callable[..., Detector], family: str) -> tuple[float, float]:
    """Give the CPU nanoseconds of an observation, one by one and in chunks: medians."""
    xs = values(family, ITEMS)
    items, singles, chunks = xs.tolist(), [], []
    for _ in range(TIMES):
        observe = make().observe
        start = time.process_time_ns()
        for x in items:
            observe(x)
        singles.append((time.process_time_ns() - start) / ITEMS)
        detector = make()
        start = time.process_time_ns()
        for place in range(0, ITEMS, CHUNK):
            detector.observe_many(xs[place : place + CHUNK])
        chunks.append((time.process_time_ns() - start) / ITEMS)
    return median(singles), median(chunks)


def delays(make: Callable[..., Detector], change: str, runs: int = 60) -> str:
    """Give median delay, misses and onset error at the default rate, and false alarms."""
    family, before, after = CHANGES[change]
    rng = np.random.default_rng(3)
    means = np.repeat([before, after], [BEFORE, AFTER])
    found = evaluate(make, [stream(rng, means, family=family) for _ in range(runs)])
    return (
        f"{found.delay.value:.0f} | {found.misses.value:.0%} | "
        f"{found.onset_error.value:.0f} | {found.run_length.value:,.0f}"
    )


def kept(family: str, mean: float, every: int) -> float:
    """Give the observations for each alarm without a change, in parts of what was asked."""
    rng = np.random.default_rng(7)
    detector = ScanGLR(family, false_alarm_every=every)
    means = np.full(every, mean)
    found = 0
    for _ in range(ALARMS):
        found += len(detector.observe_many(stream(rng, means, family=family).values))
    return ALARMS / found


def main() -> None:
    """Print the tables, and fail over a limit."""
    missed = []
    print("| detector | ns one by one | ns in chunks of 8,192 | JSON, bytes |\n|---|---|---|---|")
    for name, (make, family, *limits) in DETECTORS.items():
        found = costs(make, family)
        missed += [name for cost, most in zip(found, limits, strict=True) if most and cost > most]
        detector = make()
        detector.observe_many(values(family, ITEMS))
        size = len(json.dumps(detector.state()))
        print(f"| {name} | {found[0]:.0f} | {found[1]:.0f} | {size:,} |", flush=True)
    print("\n| change | detector | median delay | misses | onset error | run length |")
    print("|---|---|---|---|---|---|")
    for change, (family, before, _) in CHANGES.items():
        detectors: dict[str, Callable[..., Detector]] = {
            f"ScanGLR, {family}": partial(ScanGLR, family),
            "Adwin, delta 0.002": partial(Adwin, delta=0.002),
            "PageHinkley": PageHinkley,
        }
        if family == "bernoulli":
            given = partial(EDetector, baseline=before, direction="both")
            detectors |= {"EDetector, baseline given": given}
        for name, make in detectors.items():
            print(f"| {change} | {name} | {delays(make, change)} |", flush=True)
    print("\n| without a change | 1,000 asked | 10,000 | 100,000 |\n|---|---|---|---|")
    for name, (family, mean) in QUIET.items():
        parts = [kept(family, mean, every) for every in (1_000, 10_000, 100_000)]
        missed += [name for part in parts if not LEAST <= part <= MOST]
        print(f"| {name} | {' | '.join(f'{part:.2f}' for part in parts)} |", flush=True)
    if missed:
        sys.exit(f"over the limit: {', '.join(missed)}")


if __name__ == "__main__":
    main()
