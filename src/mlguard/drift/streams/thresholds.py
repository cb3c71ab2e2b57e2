"""The thresholds of `ScanGLR`, by simulation: `benchmarks/stream_thresholds.py` prints them."""

from __future__ import annotations

import math

import numpy as np

EVERY = (100, 1_000, 10_000, 100_000)
"""Run lengths, in observations; between them and beyond, thresholds are linear in the logarithm."""
TABLE: dict[str, dict[float, tuple[float, ...]]] = {
    "gaussian": {
        0.0: (3.56, 6.75, 9.45, 12.0),
    },
    "bernoulli": {
        0.005: (2.1, 5.18, 8.04, 11.03),
        0.02: (2.84, 5.77, 8.65, 11.26),
        0.05: (3.33, 6.37, 8.95, 11.93),
        0.1: (3.59, 6.51, 9.32, 11.75),
        0.2: (3.75, 7.09, 9.7, 11.85),
        0.5: (4.35, 6.83, 9.54, 12.02),
    },
    "poisson": {
        0.01: (2.33, 5.62, 8.2, 10.69),
        0.1: (3.31, 6.3, 8.73, 11.36),
        1.0: (3.74, 7.08, 9.29, 11.65),
        10.0: (3.58, 6.76, 9.44, 11.86),
    },
}
"""By family and mean, the threshold for each run length, for a window of 4 values."""


def heights(family: str, every: float) -> tuple[list[float], list[float]]:
    """Give the logarithms of the means in the table, and the threshold for each."""
    of = TABLE[family]
    right = min(max(int(np.searchsorted(EVERY, every)), 1), len(EVERY) - 1)
    low, high = math.log(EVERY[right - 1]), math.log(EVERY[right])
    part = (math.log(every) - low) / (high - low)
    found = [(1.0 - part) * row[right - 1] + part * row[right] for row in of.values()]
    return [math.log(mean) if mean else 0.0 for mean in of], found


def threshold(family: str, found: tuple[list[float], list[float]], mean: float) -> float:
    """Give the threshold for a mean, linear in its logarithm between those of the table."""
    if family == "bernoulli":
        mean = min(mean, 1.0 - mean)
    return float(np.interp(math.log(max(mean, 1e-9)), *found))
