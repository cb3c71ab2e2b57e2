"""What one process knows of a cap without asking the store."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mlguard.render import text

if TYPE_CHECKING:
    from mlguard.budgets.money import Money


class Known(NamedTuple):
    """What a budget last saw of a key.

    Attributes:
        spent: In the window.
        reserved: By calls under way.
        cap: What may be spent.
        exhausted: Whether it is spent, or a call was refused while less than 1 % of it was left.
        at: When it saw it, in Unix seconds.
        until: When the window or its slot is over: from then on it is not known.
    """

    spent: Money
    reserved: Money
    cap: Money
    exhausted: bool
    at: float
    until: float

    def stays(self, cap: int, spent: int) -> bool:
        """Tell whether it is exhausted still, since nothing came free."""
        return self.exhausted and self.cap.nanos >= cap and self.spent.nanos <= spent

    def __str__(self) -> str:
        part = self.spent.nanos / self.cap.nanos if self.cap.nanos else 1.0
        share = text.quantity(part, "share", 3)
        return f"{self.spent} of {self.cap} spent ({share}), {self.reserved} reserved"
