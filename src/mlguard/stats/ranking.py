"""The area under the ROC curve by placements, after DeLong."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def placements(scores: NDArray[np.float64], positive: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Give each row's share of the other class that it is ranked rightly against.

    The mean over the positive rows, and that over the negative rows, is the AUC; a tie counts one
    half. One sort, then linear: E. R. DeLong, D. M. DeLong and D. L. Clarke-Pearson, Biometrics
    44 (1988), in the manner of X. Sun and W. Xu, IEEE Signal Processing Letters 21 (2014).

    Args:
        scores: Shape (n,), without NaN.
        positive: Shape (n,), with at least one row of each class.
    """
    order = np.argsort(scores)
    ranked, hits = scores[order], positive[order]
    last = np.empty(len(ranked), dtype=bool)
    last[-1] = True
    np.not_equal(ranked[1:], ranked[:-1], out=last[:-1])
    ends = np.flatnonzero(last) + 1
    starts = np.concatenate(([0], ends[:-1]))
    above = np.concatenate(([0], np.cumsum(hits)))
    before, through = above[starts], above[ends]
    positives = int(above[-1])
    negatives = len(scores) - positives
    rank_of_hit = (starts - before + ends - through) / (2.0 * negatives)
    rank_of_miss = 1.0 - (before + through) / (2.0 * positives)
    sizes = ends - starts
    result = np.empty(len(scores))
    result[order] = np.where(hits, np.repeat(rank_of_hit, sizes), np.repeat(rank_of_miss, sizes))
    return result
