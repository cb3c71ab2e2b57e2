"""Fit the thresholds of `ScanGLR`: prints the tables of `mlguard.drift.streams.thresholds`.

The largest statistic so far of a stream without a change gives, for any threshold, how long it took
to the first alarm. A family takes some minutes, so `make bench`, which names none, does nothing:
`python benchmarks/stream_thresholds.py gaussian bernoulli poisson`.
"""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import xlogy

from mlguard.drift.streams.scan import SHARE, WARM_UP

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

EVERY = (100, 1_000, 10_000, 100_000)
RATES = (0.005, 0.02, 0.05, 0.1, 0.2, 0.5)
COUNTS = (0.01, 0.1, 1.0, 10.0)
PLANS = ((200, 40_000), (40, 400_000))
"""Streams and their length: for the shorter run lengths, and for the longest."""


def highest(xs: Floats, family: str) -> Floats:
    """Give the largest statistic up to each place, each eased for its window."""
    totals, squares = np.r_[0.0, np.cumsum(xs)], np.r_[0.0, np.cumsum(xs * xs)]
    best = np.zeros(len(xs) + 1)
    for r in range(40):
        n = np.arange(0, len(xs) + 1, 1 << r)
        if len(n) <= 4:  # noqa: PLR2004 -- the shortest window
            break
        s, q = totals[n], squares[n]
        for j in range(4, 8):
            w = j << r
            now, before = slice(j, None), slice(None, -j)
            use = n[before] >= WARM_UP
            ns, at = n[now][use].astype(float), n[now][use]
            window = (s[now] - s[before])[use]
            found = statistic(family, ns, s[now][use], q[now][use], w, window)
            best[at] = np.maximum(best[at], found + SHARE * np.log(w / 4.0))
    return np.maximum.accumulate(best[1:])


def statistic(  # noqa: PLR0917 -- as `evidence` there
    family: str, n: Floats, s: Floats, q: Floats, w: int, window: Floats
) -> Floats:
    """Give the evidence of `mlguard.drift.streams.families`, for arrays."""
    if family == "gaussian":
        apart = (window - w * s / n) ** 2 * n / (w * (n - w))
        freedom = n - 2.0
        spread = q - s * s / n
        return 0.5 * (1.0 - 0.25 / freedom) ** 2 * freedom * apart / (spread - 0.5 * apart)

    def term(count: Any, of: Any) -> Any:
        return xlogy(count, count / of)

    found = term(window, w) + term(s - window, n - w) - term(s, n)
    if family == "bernoulli":
        before = s - window
        found += term(w - window, w) + term(n - w - before, n - w) - term(n - s, n)
    return np.asarray(found)


def fitted(draw: Callable[[int], Any], family: str) -> list[float]:
    """Give the threshold for each run length of EVERY."""
    thresholds = []
    for (streams, length), goals in zip(PLANS, (EVERY[:3], EVERY[3:]), strict=True):
        tops = [highest(draw(length).astype(float), family) for _ in range(streams)]

        def run_length(height: float, tops: list[Floats] = tops) -> float:
            first = np.array([np.searchsorted(top, height, side="right") for top in tops])
            return float(first.sum() / max((first < len(tops[0])).sum(), 1))

        for goal in goals:
            low, high = 0.0, 40.0
            for _ in range(40):
                middle = 0.5 * (low + high)
                low, high = (middle, high) if run_length(middle) < goal else (low, middle)
            thresholds.append(round(high, 2))
    return thresholds


def main(family: str) -> None:
    """Print the table of a family."""
    rng = np.random.default_rng(12)
    draws: dict[str, Callable[[float, int], Any]] = {
        "gaussian": lambda mean, n: rng.normal(mean, size=n),
        "bernoulli": lambda mean, n: rng.random(n) < mean,
        "poisson": rng.poisson,
    }
    means = {"gaussian": (0.0,), "bernoulli": RATES, "poisson": COUNTS}[family]
    for mean in means:
        print(family, mean, fitted(partial(draws[family], mean), family), flush=True)


if __name__ == "__main__":
    for each in sys.argv[1:]:
        main(each)
