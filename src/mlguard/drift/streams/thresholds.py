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
            "both": (3.95, 7.23, 10.25, 13.1, 15.49),
            "up": (2.96, 6.5, 9.55, 12.3, 14.82),
            "down": (2.96, 6.5, 9.55, 12.3, 14.82),
        },
    },
    "bernoulli": {
        0.005: {
            "both": (0.0, 5.98, 8.87, 11.85, 14.55),
            "up": (0.0, 4.89, 8.13, 11.16, 13.84),
            "down": (0.0, 5.1, 7.91, 10.78, 13.61),
        },
        0.02: {
            "both": (3.06, 6.51, 9.63, 12.31, 15.05),
            "up": (1.47, 5.62, 8.8, 11.51, 14.45),
            "down": (0.0, 5.74, 8.72, 11.47, 14.1),
        },
        0.05: {
            "both": (3.64, 7.15, 10.02, 12.74, 15.13),
            "up": (2.43, 6.18, 9.25, 12.17, 14.72),
            "down": (2.83, 6.22, 9.06, 11.86, 14.28),
        },
        0.1: {
            "both": (3.97, 7.23, 10.07, 12.97, 15.52),
            "up": (2.62, 6.24, 9.39, 12.37, 14.89),
            "down": (3.19, 6.4, 9.22, 12.13, 14.69),
        },
        0.2: {
            "both": (4.12, 7.77, 10.44, 13.23, 15.8),
            "up": (3.06, 6.72, 9.82, 12.46, 15.06),
            "down": (3.47, 6.83, 9.77, 12.41, 14.98),
        },
        0.5: {
            "both": (4.59, 7.88, 10.72, 13.52, 15.89),
            "up": (3.58, 7.05, 9.92, 12.67, 15.21),
            "down": (3.58, 7.05, 9.92, 12.67, 15.21),
        },
    },
    "poisson": {
        0.01: {
            "both": (0.0, 6.36, 9.19, 12.03, 14.91),
            "up": (0.0, 5.26, 8.32, 11.07, 14.15),
            "down": (0.0, 5.41, 8.48, 11.39, 14.01),
        },
        0.1: {
            "both": (3.73, 7.2, 9.98, 12.88, 15.36),
            "up": (2.46, 5.96, 9.0, 11.72, 14.42),
            "down": (2.99, 6.31, 9.43, 12.21, 14.8),
        },
        1.0: {
            "both": (4.09, 7.65, 10.55, 13.1, 15.8),
            "up": (2.69, 6.35, 9.12, 12.09, 14.63),
            "down": (3.58, 7.14, 9.91, 12.53, 15.26),
        },
        10.0: {
            "both": (3.8, 7.54, 10.38, 13.11, 15.48),
            "up": (2.77, 6.58, 9.3, 12.32, 14.56),
            "down": (2.89, 6.63, 9.59, 12.45, 14.94),
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
