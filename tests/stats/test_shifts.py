"""The unit of effects: a mean shift of a normal column."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import integrate, stats

from mlguard.stats.shifts import FINE, LARGEST, shift_of, square_of


@pytest.mark.parametrize("cells", [2, 3, 5, 20, 100, FINE])
@pytest.mark.parametrize("shift", [0.0, 0.01, 0.1, 0.35, 1.0, 2.5, 5.0])
def test_there_and_back(cells: int, shift: float) -> None:
    square = square_of(shift, cells)
    assert float(shift_of(np.array(square), cells)) == pytest.approx(shift, abs=1e-9)


@pytest.mark.parametrize("shift", [0.1, 0.5, 1.5])
def test_twenty_cells_are_cut_at_the_quantiles(shift: float) -> None:
    cuts = stats.norm.ppf(np.arange(1, 20) / 20)
    q = np.diff(np.concatenate([[0.0], stats.norm.cdf(cuts - shift), [1.0]]))
    expected = (2.0 * (q - 0.05) ** 2 / (q + 0.05)).sum()
    assert square_of(shift, 20) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("shift", [0.1, 0.5, 1.5])
def test_fine_cells_lose_nothing(shift: float) -> None:
    def density(x: float) -> float:
        p, q = stats.norm.pdf(x), stats.norm.pdf(x - shift)
        return float(2.0 * (p - q) ** 2 / (p + q))

    expected = integrate.quad(density, -10.0, 12.0)[0]
    assert square_of(shift, FINE) == pytest.approx(expected, rel=0.01)


def test_it_is_monotone_zero_at_zero_and_ends() -> None:
    squares = np.linspace(-0.1, 4.0, 200)
    for cells in (1, 2, 20):
        shifts = shift_of(squares, cells)
        assert (np.diff(shifts) >= 0.0).all()
        assert shifts[0] == 0.0
        assert shifts[-1] == LARGEST
    assert math.isclose(square_of(0.0, 20), 0.0, abs_tol=1e-15)
