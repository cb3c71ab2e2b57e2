"""Distances of counts, against scipy's of the rows."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial import distance

from mlguard.stats import distances

cells = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), min_size=1, max_size=8).filter(
    lambda drawn: all(sum(column) > 1 for column in zip(*drawn, strict=True))
)  # scipy's p-value divides by zero for one row a side


@given(cells)
def test_ks_is_that_of_the_cells_as_rows(drawn: list[tuple[int, int]]) -> None:
    counts = [np.array(column) for column in zip(*drawn, strict=True)]
    rows = [np.repeat(np.arange(len(each)), each) for each in counts]
    known = stats.ks_2samp(rows[0], rows[1], method="asymp").statistic
    assert distances.ks(*counts) == pytest.approx(known)


@pytest.mark.parametrize(
    "shares", [([0.5, 0.3, 0.2], [0.2, 0.2, 0.6]), ([0.5, 0.5, 0.0], [0.0, 0.5, 0.5])]
)
def test_js_and_psi_of_many_rows_are_those_of_the_shares(
    shares: tuple[list[float], list[float]],
) -> None:
    p, q = map(np.array, shares)
    counts = [(each * 10**9).astype(np.int64) for each in (p, q)]
    assert distances.js(*counts) == pytest.approx(distance.jensenshannon(p, q, base=2), rel=1e-6)
    if p.all() and q.all():
        known = ((q - p) * np.log(q / p)).sum()
        assert distances.psi(*counts) == pytest.approx(known, rel=1e-6)
    else:
        assert math.isfinite(distances.psi(*counts))


@given(
    st.lists(
        st.tuples(st.floats(0.01, 5.0), st.integers(0, 9), st.integers(0, 9)),
        min_size=1,
        max_size=6,
    ).filter(lambda drawn: sum(a for _, a, _ in drawn) > 0 and sum(b for _, _, b in drawn) > 0)
)
def test_wasserstein_is_that_of_rows_spread_evenly_in_their_cells(
    drawn: list[tuple[float, int, int]],
) -> None:
    widths, before, after = (np.array(column) for column in zip(*drawn, strict=True))
    edges = np.concatenate([[0.0], np.cumsum(widths)])
    fine = 400
    points = (edges[:-1, None] + widths[:, None] * (np.arange(fine) + 0.5) / fine).ravel()
    known = stats.wasserstein_distance(
        points, points, np.repeat(before, fine) + 1e-300, np.repeat(after, fine) + 1e-300
    )
    found = distances.wasserstein(np.pad(before, 1), np.pad(after, 1), edges.tolist())
    assert found == pytest.approx(known, rel=0.02, abs=edges[-1] / fine)


def test_wasserstein_does_not_guess_how_far_the_rows_outside_are() -> None:
    inside, outside = np.array([0, 5, 5, 0]), np.array([0, 5, 5, 1])
    assert distances.wasserstein(inside, inside, [0.0, 1.0, 2.0]) == 0.0
    assert math.isnan(distances.wasserstein(inside, outside, [0.0, 1.0, 2.0]))


def test_without_rows_there_is_no_distance() -> None:
    some, none = np.array([0, 3, 4, 0]), np.zeros(4, dtype=np.int64)
    for before, after in ((some, none), (none, some), (none, none)):
        assert math.isnan(distances.ks(before, after))
        assert math.isnan(distances.psi(before, after))
        assert math.isnan(distances.js(before, after))
        assert math.isnan(distances.wasserstein(before, after, [0.0, 1.0, 2.0]))


@pytest.mark.parametrize(("n", "m"), [(500, 500), (10_000, 200)])
def test_sampling_alone_adds_nothing_to_psi_and_to_the_square_of_js(n: int, m: int) -> None:
    rng, shares = np.random.default_rng(4), np.full(10, 0.1)
    drawn = zip(rng.multinomial(n, shares, 4000), rng.multinomial(m, shares, 4000), strict=True)
    found = np.array([distances.psi(*counts) for counts in drawn])
    noise = 9.0 * (1.0 / n + 1.0 / m)
    assert abs(found.mean()) <= 0.1 * noise
