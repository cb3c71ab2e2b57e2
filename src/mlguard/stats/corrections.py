"""Adjusting p-values for the number of tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


def holm(p_values: Floats, weights: Floats | None = None) -> Floats:
    """Adjusted p-values that control the chance of any false rejection, along the last axis.

    Args:
        p_values: Shape (..., tests).
        weights: Of the tests, positive; a test of twice the weight gets twice the share of alpha.

    Reference: S. Holm, Scandinavian Journal of Statistics 6 (1979), with weights.
    """
    weight = np.ones(p_values.shape[-1]) if weights is None else np.asarray(weights, float)
    order = np.argsort(p_values / weight, axis=-1)
    sorted_p = np.take_along_axis(p_values, order, axis=-1)
    sorted_w = weight[order]
    remaining = np.cumsum(sorted_w[..., ::-1], axis=-1)[..., ::-1]
    stepped = np.maximum.accumulate(sorted_p * remaining / sorted_w, axis=-1)
    adjusted = np.empty_like(stepped)
    np.put_along_axis(adjusted, order, np.minimum(stepped, 1.0), axis=-1)
    return adjusted


def benjamini_hochberg(p_values: Floats) -> Floats:
    """Adjusted p-values that control the share of false rejections, along the last axis.

    Reference: Y. Benjamini and Y. Hochberg, JRSS B 57 (1995).
    """
    tests = p_values.shape[-1]
    order = np.argsort(p_values, axis=-1)
    sorted_p = np.take_along_axis(p_values, order, axis=-1) * tests / np.arange(1, tests + 1)
    stepped = np.minimum.accumulate(sorted_p[..., ::-1], axis=-1)[..., ::-1]
    adjusted = np.empty_like(stepped)
    np.put_along_axis(adjusted, order, np.minimum(stepped, 1.0), axis=-1)
    return adjusted
