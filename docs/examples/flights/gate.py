"""The release gate: is the candidate good enough, is it better, and is it worse at no airport?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from mlguard import guard
from mlguard.performance import better, compare, evaluate, not_worse

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from mlguard import Check, Guards

MARGIN: Final = 0.005
"""One percent of the champion's log loss."""
LIKELY: Final = 0.5


def release_gate(
    y: ArrayLike,
    champion: ArrayLike,
    candidate: ArrayLike,
    *,
    guards: Guards,
    origin: ArrayLike,
    day: ArrayLike,
) -> Check:
    """Return the check that a candidate has to pass before it replaces the champion.

    The document asks for accuracy; that it is better, and worse nowhere, is asked of the chances
    themselves. The flights of a day share its weather, so days are counted, not flights.
    """
    said = [np.asarray(each) >= LIKELY for each in (champion, candidate)]
    gain = compare(y, champion, candidate, loss="roc_auc", cluster=day)
    by = {"origin": origin}
    harm = compare(y, champion, candidate, loss="log_loss", by=by, cluster=day)
    return guards.gate(
        guard(gain, better(margin=0), name="better than the champion"),
        guard(harm, not_worse(margin=MARGIN), name="worse at no airport"),
        achieved=evaluate(y, said[1], loss="accuracy", cluster=day).overall,
        change=compare(y, *said, loss="accuracy", cluster=day).overall,
    )
