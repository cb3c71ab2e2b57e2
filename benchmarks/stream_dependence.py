"""What dependence does to the run length of detectors, and what means of blocks do for it.

Values with a mean of 0 and a standard deviation of 1 in which nothing changes, but which follow
those before (AR(1)) or the hour of the day (1,440 observations a day, half of the variance). Asked
is a false alarm in 1,000,000 observations; it takes five minutes.
"""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.signal import lfilter

from mlguard.drift.streams import Adwin, EDetector, PageHinkley, ScanGLR

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlguard.drift.streams import Detector

EVERY, STREAMS, LENGTH, DAY = 1_000_000, 20, 288_000, 1_440
DETECTORS: dict[str, Callable[..., Detector]] = {
    "ScanGLR": ScanGLR,
    "PageHinkley": PageHinkley,
    "Adwin": Adwin,
    "EDetector": partial(EDetector, low=-8.0, high=8.0, direction="both"),
}
BLOCKS = {"independent": (20,), "AR(1), 0.5": (20, 50), "AR(1), 0.9": (50, 200), "season": (DAY,)}


def values(kind: str, rng: np.random.Generator) -> Any:
    """Draw a stream of a kind."""
    noise = rng.normal(size=LENGTH)
    if kind == "season":
        day = np.sin(2.0 * np.pi * np.arange(LENGTH) / DAY + rng.uniform(0.0, 2.0 * np.pi))
        return np.sqrt(0.5) * (noise + np.sqrt(2.0) * day)
    correlation = {"independent": 0.0, "AR(1), 0.5": 0.5, "AR(1), 0.9": 0.9}[kind]
    noise[1:] *= np.sqrt(1.0 - correlation**2)
    return lfilter([1.0], [1.0, -correlation], noise)


def measured(make: Callable[[], Detector], kind: str) -> str:
    """Give observations for each alarm, and how many streams were said to break the rate."""
    rng = np.random.default_rng(1)
    alarms = broken = 0
    for _ in range(STREAMS):
        detector = make()
        detector.observe_many(values(kind, rng))
        found = detector.measure()
        if math.isnan(found.value):
            return f"{found.details['status']}, none"
        alarms += int(found.value)
        broken += found.details.get("rate_holds") is False
    total = STREAMS * LENGTH
    length = f"{total / alarms:,.0f}" if alarms else f"over {total:,}"
    return f"{length}, {broken} of {STREAMS}"


def main() -> None:
    """Print the table."""
    print(f"| values | block | {' | '.join(DETECTORS)} |\n|---|---|{'---|' * len(DETECTORS)}")
    for kind, blocks in BLOCKS.items():
        for block in (1, *blocks):
            cells = [
                measured(partial(make, false_alarm_every=EVERY, block=block), kind)
                for make in DETECTORS.values()
            ]
            print(f"| {kind} | {block} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
