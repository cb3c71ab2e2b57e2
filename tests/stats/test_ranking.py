"""Placements against the definition: every positive row against every negative one."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mlguard.performance import estimates
from mlguard.stats.ranking import placements

few = st.sampled_from([-np.inf, -1.0, 0.0, 0.25, 1.0, np.inf])
rows = st.lists(
    st.tuples(st.booleans(), few, few | st.floats(-1, 1)), min_size=4, max_size=40
).filter(lambda drawn: 2 <= sum(y for y, _, _ in drawn) <= len(drawn) - 2)


def kernel(scores: Any, y: Any) -> Any:
    """Give psi for each pair: 1 where the positive row is above, one half at a tie."""
    hits, misses = scores[y][:, None], scores[~y][None, :]
    return np.where(hits > misses, 1.0, np.where(hits == misses, 0.5, 0.0))


@given(rows)
def test_they_are_the_means_over_the_other_class(drawn: list[tuple[bool, float, float]]) -> None:
    y, scores = np.array([r[0] for r in drawn]), np.array([r[1] for r in drawn])
    psi, found = kernel(scores, y), placements(scores, y)
    np.testing.assert_allclose(found[y], psi.mean(axis=1), rtol=0, atol=1e-12)
    np.testing.assert_allclose(found[~y], psi.mean(axis=0), rtol=0, atol=1e-12)


@given(rows)
def test_the_variance_and_that_of_a_paired_difference_are_delongs(
    drawn: list[tuple[bool, float, float]],
) -> None:
    y = np.array([r[0] for r in drawn])
    kernels = [kernel(np.array([r[k] for r in drawn]), y) for k in (1, 2)]
    by_hit, by_miss = (np.cov([psi.mean(axis=axis) for psi in kernels]) for axis in (1, 0))
    covariance = by_hit / y.sum() + by_miss / (~y).sum()
    places = [placements(np.array([r[k] for r in drawn]), y) for k in (1, 2)]
    for k in (0, 1):
        found = estimates._rank_spread(places[k], y, None).variance
        np.testing.assert_allclose(found, covariance[k, k], rtol=1e-9, atol=1e-15)
    expected = covariance[0, 0] + covariance[1, 1] - 2.0 * covariance[0, 1]
    found = estimates._rank_spread(places[1] - places[0], y, None).variance
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-15)
