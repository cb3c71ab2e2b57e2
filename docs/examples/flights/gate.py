"""The release gate: is the candidate good enough, is it better, and is it worse at no airport?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mlguard import at_least, guard, worst
from mlguard.performance import better, compare, evaluate, not_worse

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from mlguard import Check

AUC_FLOOR: Final = 0.70
MARGIN: Final = 0.005
"""One percent of the champion's log loss."""


def release_gate(
    y: ArrayLike, champion: ArrayLike, candidate: ArrayLike, origin: ArrayLike, day: ArrayLike
) -> Check:
    """Return the check that a candidate has to pass before it replaces the champion.

    The flights of a day share its weather, so days are counted, not flights.
    """
    by = {"origin": origin}
    good = evaluate(y, candidate, loss="roc_auc", cluster=day)
    gain = compare(y, champion, candidate, loss="roc_auc", cluster=day)
    harm = compare(y, champion, candidate, loss="log_loss", by=by, cluster=day)
    return worst(
        "release",
        guard(good, at_least(AUC_FLOOR, rule="proven"), name="good enough"),
        guard(gain, better(margin=0), name="better than the champion"),
        guard(harm, not_worse(margin=MARGIN), name="worse at no airport"),
    )
