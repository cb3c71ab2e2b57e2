"""Tests that may be looked at after every observation: evidence as e-values, in pure functions.

An e-value is at most 1 on average where the null hypothesis holds, however often one looks; that it
ever reaches 1 / alpha then has a probability of at most alpha (J. Ville, 1939).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

HARM = np.geomspace(1.1, 20.0, 48)
"""Factors above the null of a ratio: from just noticeable to total, as the effect is not known."""

HARM_WEIGHTS = np.where((HARM >= 1.5) & (HARM <= 6.0), 4.0, 1.0)  # noqa: PLR2004 -- likely ones
"""With these 1 → 2 % at a share of 10 % is found in 83 % of runs of 20,000 requests, else in 79."""

SAFE = 1.0 / np.geomspace(1.25, 4.0, 12)[::-1]
"""Factors below a margin: where canaries lie that are as good as the baseline, or better."""

_BETA = 0.18
"""Prior counts of the 2 × 2 test (R. Turner, A. Ly, P. Grünwald, Statistics 2024)."""


def mixture(log_likelihoods: Floats, weights: Floats) -> Floats:
    """Give the logarithm of a weighted mean of likelihoods; less that of the null it is an e-value.

    For a null of "the ratio is at most so much" the alternatives lie above it, where each
    likelihood ratio falls with the ratio below the null; so it is an e-value for all of the null.

    Args:
        log_likelihoods: Of each alternative, shape (..., k).
        weights: Of the alternatives, shape (k,); their sum is 1.
    """
    most = log_likelihoods.max(axis=-1, keepdims=True)
    total = (np.exp(log_likelihoods - most) * weights).sum(axis=-1)
    found: Floats = most[..., 0] + np.log(total)
    return found


def two_by_two(
    canary: tuple[int, int], baseline: tuple[int, int], before: tuple[float, float]
) -> float:
    """Give a log e-value against "the canary's rate is at most the baseline's", for high rates.

    The safe test for 2 × 2 tables of Turner, Ly and Grünwald, with the rates of the alternative
    taken from earlier intervals, the canary's no lower than the baseline's.

    Args:
        canary: Events and requests of this interval.
        baseline: Likewise.
        before: Rates of canary and baseline in earlier intervals.
    """
    (k_c, n_c), (k_b, n_b) = canary, baseline
    if not n_c or not n_b:
        return 0.0
    low = before[1]
    high = max(before[0], low)
    shared = (n_c * high + n_b * low) / (n_c + n_b)
    return _bernoulli(k_c, n_c, high, shared) + _bernoulli(k_b, n_b, low, shared)


def learnt(events: int, n: int) -> float:
    """Give the rate that earlier counts suggest, never 0 or 1."""
    return (events + _BETA) / (n + 2.0 * _BETA)


def _bernoulli(events: int, n: int, rate: float, null: float) -> float:
    return events * math.log(rate / null) + (n - events) * math.log((1.0 - rate) / (1.0 - null))


def mismatch(
    canary: int, total: int, share: float, *, within: float = 1.0, weight: float = 100.0
) -> float:
    """Give a log e-value against "each request went to the canary with that share, or about".

    A beta-binomial alternative around the share: both more and fewer are found.

    Args:
        canary: Requests of the canary.
        total: Requests of both.
        share: Planned, between 0 and 1.
        within: By which factor the odds of the share may be off, 1 or more.
        weight: How many requests the prior around the share is worth.
    """
    a, b = weight * share, weight * (1.0 - share)
    rest = total - canary
    mixed = float(special.betaln(a + canary, b + rest) - special.betaln(a, b))
    odds = share / (1.0 - share)
    found = canary / rest if rest else math.inf
    nearest = min(max(found, odds / within), odds * within)
    return mixed - canary * math.log(nearest / (1.0 + nearest)) + rest * math.log1p(nearest)
