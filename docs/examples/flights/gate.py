"""The release gate: is the candidate good enough, is it better, and is it worse for nobody?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mlguard import at_least, guard, worst
from mlguard.performance import better, compare, evaluate, not_worse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import ArrayLike

    from mlguard import Check

AUC_FLOOR: Final = 0.70
MARGIN: Final = 0.01
SMALLEST_SLICE: Final = 1_000


def release_gate(
    y: ArrayLike, champion: ArrayLike, candidate: ArrayLike, by: Mapping[str, ArrayLike]
) -> Check:
    """Return the check that a candidate has to pass before it replaces the champion."""
    good = evaluate(y, candidate, loss="roc_auc")
    gain = compare(y, champion, candidate, loss="roc_auc")
    harm = compare(y, champion, candidate, loss="log_loss", by=by, min_slice=SMALLEST_SLICE)
    return worst(
        "release",
        guard(good, at_least(AUC_FLOOR), name="good enough"),
        guard(gain, better(margin=0), name="better than the champion"),
        guard(harm, not_worse(margin=MARGIN), name="worse for nobody"),
    )
