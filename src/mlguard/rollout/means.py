"""What a guardrail knows of a difference: of means of values, or of rates of events."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from mlguard.stats.betting import Bets, Sums

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlguard.rollout.guardrails import Guardrail


@dataclass(frozen=True, slots=True)
class Means:
    """The evidence of one guardrail on a difference. Immutable.

    Attributes:
        bets: On the canary's mean less the baseline's.
        tolerance: How much worse is no harm yet.
        margin: How much worse must be ruled out.
        worse: 1 where a higher mean is worse, -1 where a lower one is.
        events: Whether the values are events, 0 or 1 for each request.
    """

    bets: Bets
    tolerance: float
    margin: float
    worse: float
    events: bool

    @classmethod
    def of(cls, guardrail: Guardrail) -> Means | None:
        """Begin with nothing, where a guardrail is about a difference."""
        if guardrail.unit == "ratio":
            return None
        low, high = guardrail.values or (0.0, 1.0)
        worse = -1.0 if guardrail.direction == "decrease" else 1.0
        bets = Bets.none(low=low, high=high)
        limits = guardrail.tolerated, guardrail.bound
        return cls(bets, *limits, worse, guardrail.values is None)

    def after(self, canary: Sums, baseline: Sums) -> Means:
        """Add an interval."""
        return replace(self, bets=self.bets.after(canary, baseline))

    @property
    def harm(self) -> float:
        """The log e-value against "no worse than the tolerance"."""
        tolerated = self.worse * self.tolerance
        return self.bets.above(tolerated) if self.worse > 0 else self.bets.below(tolerated)

    @property
    def safety(self) -> float:
        """The log e-value against "worse than the margin, or just so"."""
        bound = self.worse * self.margin
        return self.bets.below(bound) if self.worse > 0 else self.bets.above(bound)

    def proven(self, alpha: float) -> tuple[float, float]:
        """Give the ends of the difference, canary less baseline, where it is proven worse.

        One end is that of the test that proved it, which spent all of alpha on one side.
        """
        limit = -math.log(alpha)
        low, high = self.bets.interval(alpha)
        return (self.bets.least(limit), high) if self.worse > 0 else (low, self.bets.most(limit))

    def with_bets(self, record: Mapping[str, Any]) -> Means:
        """Go on from what `bets.to_dict()` wrote."""
        return replace(self, bets=Bets.from_dict(record))
