"""Quantiles without an assumption on the distribution: order statistics and exact tails."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

from scipy import special


@lru_cache(maxsize=1024)
def rank_interval(n: int, q: float, confidence: float) -> tuple[int | None, int | None]:
    """Give the ranks whose order statistics enclose the q-quantile; None where there is none.

    Whatever the distribution, each end is wrong with a chance of at most (1 - confidence) / 2: the
    number of values up to the quantile is binomial (W. J. Conover, "Practical Nonparametric
    Statistics", section 3.2). The smallest value has rank 1.

    Examples:
        >>> rank_interval(368, 0.99, 0.95)
        (360, 368)
        >>> rank_interval(367, 0.99, 0.95)
        (359, None)
    """
    tail = (1.0 - confidence) / 2.0
    spread = special.ndtri(1.0 - tail) * math.sqrt(n * q * (1.0 - q))
    low = _last(lambda k: _most(k, n, q) <= tail, n, int(n * q - spread)) + 1
    high = _last(lambda k: _more(k, n, q) > tail, n, int(n * q + spread)) + 2
    return (low if low >= 1 else None), (high if high <= n else None)


def _most(k: int, n: int, p: float) -> float:
    """Give the chance of at most k of n; `special.bdtr` is wrong where n is 10**8."""
    return float(special.betainc(n - k, k + 1, 1.0 - p)) if k < n else 1.0


def _more(k: int, n: int, p: float) -> float:
    """Give the chance of more than k of n."""
    return float(special.betainc(k + 1, n - k, p)) if k < n else 0.0


def _last(holds: Callable[[int], bool], n: int, guess: int) -> int:
    """Give the last k up to n for which a condition holds that then fails for ever, or -1."""
    low = high = min(max(guess, 0), n)
    step = 1
    while low >= 0 and not holds(low):
        low, step = low - step, 2 * step
    while high <= n and holds(high):
        high, step = high + step, 2 * step
    low, high = max(low, -1), min(high, n + 1)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


def smallest_n(q: float, confidence: float) -> int:
    """Give the smallest n whose interval for the q-quantile has both ends.

    Examples:
        >>> smallest_n(0.99, 0.95), smallest_n(0.5, 0.95)
        (368, 6)
    """
    tail = (1.0 - confidence) / 2.0
    return max(1, math.ceil(math.log(tail) / math.log(max(q, 1.0 - q)) - 1e-9))


def excess_p_value(over: int, n: int, q: float) -> float:
    """Give the chance of at least `over` values above the q-quantile among n: exact, one-sided."""
    return _more(over - 1, n, 1.0 - q) if over else 1.0
