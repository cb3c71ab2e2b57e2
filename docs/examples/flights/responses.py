"""What to do about it: the drift policy, and what it is simulated against before it runs."""

from __future__ import annotations

from typing import Final

from mlguard import Action, Response, ResponsePolicy, at_least
from mlguard.policies.simulate import Drift, Sweep, sweep
from mlguard.values import Measurement
from production import WANTED, given

LADDER: Final = given(WANTED.policy())
"""Judges the last seven days, every day, by the document's `respond`."""

NAIVE: Final = ResponsePolicy(
    Response(Action.ALERT, when="drift"),
    Response(Action.RETRAIN, when=["drift", "estimated performance"]),
    Response(Action.ROLLBACK, when="performance"),
    flapping=None,
)
"""The same limits on yesterday alone, without a memory."""


def worse(day: Measurement, strength: float) -> Measurement:
    """Return a day whose accuracy is up to eight points lower."""
    return Measurement(day.name, day.value - 0.08 * strength, n=day.n)


def tradeoff(summer: list[Measurement], floor: float) -> Sweep:
    """Return what alerting after so many bad days would cost in false alarms, and in delay."""
    return sweep(
        lambda days: ResponsePolicy(Response(Action.ALERT, when="performance", for_=days)),
        {"days": [1, 2, 3, 4, 5, 6]},
        {"performance": summer},
        judges={"performance": at_least(floor)},
        drifts={"eight points lower": Drift({"performance": worse})},
    )
