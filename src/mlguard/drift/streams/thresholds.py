"""The thresholds of `ScanGLR`."""

from __future__ import annotations


def threshold(family: str, every: float, mean: float) -> float:
    return 15.0


def lowest_threshold(family: str, every: float) -> float:
    return 15.0
