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
from scipy.special import xlogy

from mlguard.drift.streams.families import FAMILIES
from mlguard.drift.streams.scan import LEAST, SHARE, SHORTEST, WARM_UP, windows_of
from mlguard.drift.streams.thresholds import EVERY

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

RATES = (0.005, 0.02, 0.05, 0.1, 0.2, 0.5)
COUNTS = (0.01, 0.1, 1.0, 10.0)
PLANS = ((200, 40_000, 0.0), (140, 500_000, 8.0))
"""Streams, their length, and the least statistic that matters: for short and for long runs."""
SHORT = 3
"""So many run lengths are fitted with the first plan."""


def records(xs: Floats, family: str, floor: float) -> dict[str, tuple[Floats, Floats]]:
    """Give the records of the statistic, eased for its window, by direction: which, and when."""
    totals, squares = np.r_[0.0, np.cumsum(xs)], np.r_[0.0, np.cumsum(xs * xs)]
    places = np.arange(len(xs) + 1)
    means = totals / np.maximum(places, 1)
    noise = FAMILIES[family].spread(np.maximum(places, 1), totals, squares)
    found = {way: np.zeros(len(xs) + 1) for way in ("both", "up", "down")}
    for r in range(len(xs).bit_length()):
        for w in windows_of(r):
            n = places[w + WARM_UP :]
            n = n[n % (1 << r) == 0]
            window = totals[n] - totals[n - w]
            e = window - w * means[n]
            ease = SHARE * np.log(w / SHORTEST)
            enough = e * e * n > max(floor - ease, LEAST) * noise[n] * w * (n - w)
            at, e = n[enough], e[enough]
            score = statistic(family, at, totals[at], squares[at], w, window[enough])
            score = np.where(score > LEAST, score + ease, 0.0)
            for way, sign in (("both", np.sign(e)), ("up", 1.0), ("down", -1.0)):
                here, reached = at[e * sign > 0.0], score[e * sign > 0.0]
                found[way][here] = np.maximum(found[way][here], reached)
    result = {}
    for way, scores in found.items():
        top = np.maximum.accumulate(scores)
        when = np.flatnonzero(np.diff(top)) + 1
        result[way] = top[when], np.r_[when, len(xs)]
    return result


def statistic(  # noqa: PLR0917 -- as `evidence` there
    family: str, n: Any, s: Floats, q: Floats, w: int, window: Floats
) -> Floats:
    """Give the evidence of `mlguard.drift.streams.families`, for arrays."""
    if family == "gaussian":
        apart = (window - w * s / n) ** 2 * n / (w * (n - w))
        freedom = n - 2.0
        spread = q - s * s / n
        found = 0.5 * (1.0 - 0.25 / freedom) ** 2 * freedom * apart / (spread - 0.5 * apart)
        return np.asarray(found)

    def term(count: Any, of: Any) -> Any:
        return xlogy(count, count / of)

    found = term(window, w) + term(s - window, n - w) - term(s, n)
    if family == "bernoulli":
        before = s - window
        found += term(w - window, w) + term(n - w - before, n - w) - term(n - s, n)
    return np.asarray(found)


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
