"""The types through which everything composes. Any object of the right shape fits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias

from mlguard.values import Decision, Measurement, Verdict

Check: TypeAlias = Callable[[], Verdict]
"""Yields a verdict when asked. Detectors, budgets, canaries and approvals all end in one."""

Measure: TypeAlias = Callable[[], Measurement | Sequence[Measurement]]
"""Yields one measurement, or several that are judged alike."""

Policy: TypeAlias = Callable[[Measurement], Verdict]
"""Judges one measurement."""

Sink: TypeAlias = Callable[[Decision], None]
"""Takes a decision somewhere: a ledger, a pager, an action."""

Clock: TypeAlias = Callable[[], float]
"""Tells the time in seconds."""


class Meter(Protocol):
    """Observes and measures; how it observes is its own affair."""

    def measure(self) -> Measurement | Sequence[Measurement]:
        """Give the current measurement, or several. Asking changes nothing."""
        ...
