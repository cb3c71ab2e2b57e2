"""What happened on the day of the act: calls, looks, and what each client's bill came to."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import TYPE_CHECKING, Final

import bill
from act4.questions import LOOP
from mlguard import Money
from production import CAP

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from act4.questions import Question
    from act4.service import Answer
    from mlguard import Decision, Measurement, Verdict

NOTHING: Final = Money("0 USD")


@dataclass(frozen=True, slots=True)
class Call:
    """A question, and what came of it."""

    question: Question
    price: Money
    """What it cost, or would have cost if it had not been refused."""
    refused: str = ""
    """What the budget said, if it refused."""
    lost: bool = False
    """Whether its worker was killed before the answer came."""


@dataclass(frozen=True, slots=True)
class Look:
    """What the budgets said at one moment."""

    at: float
    """Seconds since midnight."""
    spent: float
    expected: Measurement
    """What the day would come to."""
    service: Verdict
    whole: Verdict
    """The verdict on both budgets."""
    reaped: int
    """Leases that were over."""


@dataclass(frozen=True, slots=True)
class Part:
    """What a client asked, and what it came to."""

    client: str
    calls: Sequence[Call]

    @property
    def paid(self) -> Sequence[Call]:
        """The calls that were made."""
        return [each for each in self.calls if not each.refused]

    @property
    def refused(self) -> Sequence[Call]:
        """The calls that were not."""
        return [each for each in self.calls if each.refused]

    @property
    def spent(self) -> Money:
        """What the client is charged."""
        return total(self.paid)


@dataclass(frozen=True, slots=True)
class Ledger:
    """The books of a budget at the end of the day."""

    rows: int
    in_rows: Money
    """What its rows add up to."""
    in_counters: Money
    """What it checks reservations against."""
    wrong: int
    """Counters that `reconcile()` had to correct."""


@dataclass(frozen=True)
class Day:
    """All that happened."""

    calls: tuple[Call, ...]
    looks: tuple[Look, ...]
    alerts: tuple[Decision, ...]
    """What the pager was told."""
    example: Answer
    """What the runaway client asked for."""
    ledgers: tuple[Ledger, ...]
    """Of the service, and of its clients."""

    @cached_property
    def parts(self) -> list[Part]:
        """The clients, by what they spent."""
        clients = sorted({each.question.client for each in self.calls})
        found = [
            Part(client, [each for each in self.calls if each.question.client == client])
            for client in clients
        ]
        return sorted(found, key=lambda part: part.spent, reverse=True)

    @cached_property
    def runaway(self) -> Part:
        """The client whose app ran away."""
        return next(part for part in self.parts if part.client == LOOP.client)

    @cached_property
    def others(self) -> Part:
        """All other clients together."""
        return Part("", [each for each in self.calls if each.question.client != LOOP.client])

    @property
    def first_refusal(self) -> Call:
        """The first call that was refused."""
        return next(each for each in self.calls if each.refused)

    @property
    def met(self) -> Look:
        """The first look after a refusal."""
        return next(each for each in self.looks if each.at > self.first_refusal.question.at)

    @property
    def lost(self) -> Call:
        """The call whose worker was killed."""
        return next(each for each in self.calls if each.lost)

    @property
    def spent(self) -> float:
        """What the day came to, in dollars."""
        return float(self.ledgers[0].in_counters.amount)

    @cached_property
    def spent_alone(self) -> Call:
        """The first call that the service's cap would have refused, were it the only one."""
        before = accumulate((each.price for each in self.calls), initial=NOTHING)

        return next(
            call for call, spent in zip(self.calls, before, strict=False) if spent + bill.MOST > CAP
        )

    @property
    def forecasts(self) -> list[Look]:
        """The looks that had a forecast."""
        return [each for each in self.looks if each.expected.low is not None]

    @property
    def changes(self) -> list[Look]:
        """Every change of the verdict on the service."""
        return [
            now
            for before, now in zip(self.looks, self.looks[1:], strict=False)
            if before.service.severity is not now.service.severity
        ]

    def at(self, seconds: float) -> Look:
        """Return the last look until a moment."""
        return [each for each in self.looks if each.at <= seconds][-1]


def total(calls: Iterable[Call]) -> Money:
    """Return what some calls cost, or would have cost."""
    return sum((each.price for each in calls), start=NOTHING)
