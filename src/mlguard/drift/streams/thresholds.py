"""The thresholds of `ScanGLR`, by simulation: `benchmarks/stream_thresholds.py` prints them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from mlguard.drift.streams.families import FAMILIES

if TYPE_CHECKING:
    from mlguard.drift.streams.detector import Direction

Heights: TypeAlias = tuple[list[float], list[float]]
"""Means, on the scale of the family, and the threshold for each."""

EVERY = (100, 1_000, 10_000, 100_000, 1_000_000)
"""Run lengths, in observations; between them and beyond, thresholds are linear in the logarithm."""
TABLE: dict[str, dict[float, dict[str, tuple[float, ...]]]] = {
    "gaussian": {
        0.0: {
            "both": (3.95, 7.23, 10.25, 13.08, 15.64),
            "up": (2.96, 6.5, 9.55, 12.24, 14.89),
            "down": (2.96, 6.5, 9.55, 12.24, 14.89),
        },
    },
    "bernoulli": {
        0.005: {
            "both": (0.0, 5.98, 8.87, 11.87, 14.58),
            "up": (0.0, 4.89, 8.13, 11.18, 13.91),
            "down": (0.0, 5.1, 7.91, 10.88, 13.64),
        },
        0.02: {
            "both": (3.21, 6.54, 9.64, 12.32, 15.04),
            "up": (1.31, 5.58, 8.65, 11.43, 14.37),
            "down": (0.0, 5.74, 8.71, 11.45, 14.18),
        },
        0.05: {
            "both": (3.59, 7.1, 9.87, 12.67, 15.36),
            "up": (2.43, 6.09, 9.02, 12.01, 14.6),
            "down": (2.8, 6.28, 9.07, 11.84, 14.57),
        },
        0.1: {
            "both": (4.03, 7.36, 10.39, 12.95, 15.61),
            "up": (2.45, 6.26, 9.44, 12.25, 14.89),
            "down": (3.37, 6.57, 9.52, 12.16, 14.67),
        },
        0.2: {
            "both": (4.14, 7.8, 10.51, 13.16, 15.71),
            "up": (2.97, 6.7, 9.91, 12.31, 14.93),
            "down": (3.38, 6.92, 9.67, 12.46, 14.99),
        },
        0.5: {
            "both": (4.67, 7.89, 10.67, 13.4, 16.05),
            "up": (3.65, 7.11, 9.91, 12.62, 15.22),
            "down": (3.65, 7.11, 9.91, 12.62, 15.22),
        },
    },
    "poisson": {
        0.01: {
            "both": (0.0, 6.36, 9.19, 12.09, 14.82),
            "up": (0.0, 5.26, 8.32, 11.16, 14.1),
            "down": (0.0, 5.41, 8.48, 11.32, 13.99),
        },
        0.1: {
            "both": (3.88, 7.17, 10.14, 12.82, 15.33),
            "up": (2.44, 5.87, 9.06, 11.82, 14.46),
            "down": (3.16, 6.43, 9.47, 12.11, 14.69),
        },
        1.0: {
            "both": (4.22, 7.55, 10.57, 13.23, 15.86),
            "up": (2.57, 6.25, 9.08, 12.04, 14.74),
            "down": (3.73, 7.28, 9.95, 12.72, 15.26),
        },
        10.0: {
            "both": (4.04, 7.72, 10.47, 13.06, 15.68),
            "up": (2.74, 6.51, 9.41, 12.15, 14.81),
            "down": (3.14, 6.89, 9.43, 12.4, 14.93),
        },
    },
}
"""By family, mean and direction, the threshold for each run length, for a window of 4 values.

Rises and falls of normal values, and of events of which half happen, are the mean of the two."""
_OTHER: dict[Direction, Direction] = {"up": "down", "down": "up", "both": "both"}


def heights(family: str, direction: Direction, every: float) -> Heights:
    """Give the threshold for each mean of the table: linear between them, the last one beyond."""
    right = min(max(int(np.searchsorted(EVERY, every)), 1), len(EVERY) - 1)
    low, high = math.log(EVERY[right - 1]), math.log(EVERY[right])
    part = (math.log(every) - low) / (high - low)

    def height(row: tuple[float, ...]) -> float:
        return (1.0 - part) * row[right - 1] + part * row[right]

    rows = TABLE[family]
    scale = FAMILIES[family].scale
    means = [scale(mean) for mean in rows]
    found = [height(row[direction]) for row in rows.values()]
    if family == "bernoulli":  # a rise of what happens is a fall of what does not
        means += [-mean for mean in means[-2::-1]]
        found += [height(row[_OTHER[direction]]) for row in list(rows.values())[-2::-1]]
    return means, found
