"""Fit the thresholds of `ScanGLR`: prints the tables of `mlguard.drift.streams.thresholds`.

The largest statistic so far of a stream without a change gives, for any threshold, how long it took
to the first alarm. A family takes minutes, so `make bench`, which names none, does nothing:
`python benchmarks/stream_thresholds.py gaussian bernoulli poisson`.
"""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from mlguard.drift.streams.families import FAMILIES
from mlguard.drift.streams.scan import LEAST, SHARE, SHORTEST, beyond, height, windows_of
from mlguard.drift.streams.thresholds import EVERY

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

RATES = (0.005, 0.02, 0.05, 0.1, 0.2, 0.5)
COUNTS = (0.01, 0.1, 1.0, 10.0)
PLANS = ((200, 40_000, 0.0), (300, 500_000, 9.9))
"""Streams, their length, and the least statistic that matters: for short and for long runs."""
SHORT = 3
"""So many run lengths are fitted with the first plan."""


def records(xs: Floats, family: str, floor: float) -> dict[str, tuple[Floats, Floats]]:
    """Give the records of the statistic, eased for its window, by direction: which, and when."""
    totals, squares = np.cumsum(np.r_[0.0, xs]), np.cumsum(np.r_[0.0, xs * xs])
    places = np.maximum(np.arange(len(xs) + 1), 1)
    means = totals / places
    noise = FAMILIES[family].spread(places, totals, squares) / places
    found = {way: np.zeros(len(xs) + 1) for way in ("both", "up", "down")}
    for r in range(len(xs).bit_length()):
        ends = np.arange(1, (len(xs) >> r) + 1) << r
        bound = height(floor, windows_of(r)[-1])
        i, w, before = beyond(r, totals[ends], ends, means[ends], bound * noise[ends])
        n = ends[i]
        window = totals[n] - before
        score = FAMILIES[family].evidences(n, totals[n], squares[n], w, window)
        score = np.where(score > LEAST, score + SHARE * np.log(w / SHORTEST), 0.0)
        rises = window * n > w * totals[n]
        for way, those in (("both", rises | True), ("up", rises), ("down", ~rises)):
            np.maximum.at(found[way], n[those], score[those])
    result = {}
    for way, scores in found.items():
        top = np.maximum.accumulate(scores)
        when = np.flatnonzero(np.diff(top)) + 1
        result[way] = top[when], np.r_[when, len(xs)]
    return result


def fitted(draw: Callable[[int], Any], family: str) -> dict[str, tuple[float, ...]]:
    """Give the threshold for each run length of EVERY, by direction."""
    tops: list[dict[str, list[tuple[Floats, Floats]]]] = []
    for streams, length, floor in PLANS:
        each = [records(draw(length).astype(float), family, floor) for _ in range(streams)]
        tops.append({way: [top[way] for top in each] for way in each[0]})
    return {
        way: (*direct(tops[0][way], EVERY[:SHORT]), *smooth(tops[1][way], EVERY[SHORT:]))
        for way in tops[0]
    }


def direct(tops: list[tuple[Floats, Floats]], goals: tuple[int, ...]) -> list[float]:
    """Give the thresholds at which run lengths are the goals."""
    found = []
    for goal in goals:
        low, high = 0.0, 40.0
        for _ in range(40):
            middle = 0.5 * (low + high)
            low, high = (middle, high) if run_length(tops, middle)[0] < goal else (low, middle)
        found.append(round(high, 2))
    return found


def smooth(tops: list[tuple[Floats, Floats]], goals: tuple[int, ...]) -> list[float]:
    """Give them where alarms are few: from a parabola through the logarithms of run lengths."""
    heights = np.arange(10.0, 18.0, 0.05)
    lengths, alarms = np.array([run_length(tops, height) for height in heights]).T
    usable = (alarms >= 15) & (lengths > 0.5 * goals[0])  # noqa: PLR2004 -- an error of a quarter
    curve = np.polyfit(heights[usable], np.log(lengths[usable]), 2)
    found = np.interp(np.log(goals), np.polyval(curve, heights), heights)
    return [round(float(each), 2) for each in found]


def run_length(tops: list[tuple[Floats, Floats]], height: float) -> tuple[float, int]:
    """Give observations for each first alarm, and how many there were."""
    first = [when[np.searchsorted(top, height, side="right")] for top, when in tops]
    alarms = sum(at < when[-1] for at, (_, when) in zip(first, tops, strict=True))
    return float(sum(first)) / max(alarms, 1), alarms


def main(family: str) -> None:
    """Print the table of a family."""
    rng = np.random.default_rng(12)
    draws: dict[str, Callable[[float, int], Any]] = {
        "gaussian": lambda mean, n: rng.normal(mean, size=n),
        "bernoulli": lambda mean, n: rng.random(n) < mean,
        "poisson": rng.poisson,
    }
    means = {"gaussian": (0.0,), "bernoulli": RATES, "poisson": COUNTS}[family]
    print(f'    "{family}": {{')
    for mean in means:
        print(f"        {mean}: {fitted(partial(draws[family], mean), family)},", flush=True)
    print("    },")


if __name__ == "__main__":
    for each in sys.argv[1:]:
        main(each)
