"""A day of questions in seconds: every call is reserved, made and settled, on a clock that is pushed from one to the next."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

import numpy as np

import bill
from act4.moments import Call, Day, Ledger, Look
from act4.questions import DATE, DAY, HOUR, MINUTE, ask
from act4.service import service
from mlguard import BudgetExceeded, Money, SqliteStore
from mlguard.budgets.cost import MOST_KEYS
from mlguard.testing import ManualClock, RecordingSink

if TYPE_CHECKING:
    from collections.abc import Iterable

    from act4.questions import Question
    from act4.service import Service
    from mlguard import CostBudget, Reference
    from story import Story
    from terminal import Screen

LOOK_EVERY: Final = 15 * MINUTE
PART: Final = 6 * HOUR
LAST: Final = DAY - 1.0
"""Second of the day; the next one is another day's."""
LOST_AT: Final = 17 * HOUR + 5 * MINUTE
"""The first call after it is lost: its worker is killed before the answer comes."""


def live(story: Story, screen: Screen) -> Day:
    """Let clients ask for a day, and look every quarter of an hour at what that comes to."""
    with (
        screen.steps(1 + int(DAY / PART)) as step,
        TemporaryDirectory() as folder,
        closing(SqliteStore(Path(folder) / "bill.db")) as store,
    ):
        with step("Predicting the flights of two days"):
            flights, questions = ask(story)
        lost = next(each for each in questions if each.at >= LOST_AT)
        desk = _Desk(service(flights), story.reference, store, lost)
        for start in np.arange(0.0, DAY, PART):
            with step(f"{start / HOUR:.0f} to {(start + PART) / HOUR:.0f} h"):
                for at in np.arange(start, start + PART, LOOK_EVERY):
                    until = at + LOOK_EVERY
                    desk.serve([each for each in questions if at <= each.at < until])
                    desk.look(min(until, LAST))
        return desk.close()


class _Desk:
    """Where questions are answered and paid for. Not thread-safe."""

    __slots__ = (
        "_answer",
        "_budgets",
        "_calls",
        "_check",
        "_clock",
        "_looks",
        "_lost",
        "_pager",
        "_paid",
        "_store",
    )

    def __init__(
        self, answer: Service, reference: Reference, store: SqliteStore, lost: Question
    ) -> None:
        self._answer, self._store, self._lost = answer, store, lost
        self._clock, self._pager = ManualClock(DATE.timestamp()), RecordingSink()
        self._budgets = bill.budgets(reference, store, self._clock, self._pager)
        self._paid = bill.paid(answer, *self._budgets)
        self._check = bill.bill_check(*self._budgets)
        self._calls: list[Call] = []
        self._looks: list[Look] = []

    def serve(self, questions: Iterable[Question]) -> None:
        """Answer questions when they are asked, and lose one."""
        for question in questions:
            self._wait(question.at)
            answered = self._lose if question is self._lost else self._call
            self._calls.append(answered(question))

    def _call(self, question: Question) -> Call:
        _, client, flight, _ = question
        try:
            return Call(question, bill.cost(self._paid(client, flight)))
        except BudgetExceeded as refused:
            return Call(question, bill.cost(self._answer(client, flight)), refused=str(refused))

    def _lose(self, question: Question) -> Call:
        reserved = bill.reserve(question.client, *self._budgets)
        reserved.__enter__()  # a worker that is killed never leaves the block
        reserved.dispatched()
        return Call(question, bill.MOST, lost=True)

    def look(self, at: float) -> None:
        """Look at what the day comes to."""
        self._wait(at)
        service, clients = self._budgets
        reaped = service.reap()
        clients.reap()
        for budget in self._budgets:
            budget.refresh()
        spent, expected = service.measure().value, service.forecast()
        self._looks.append(Look(at, spent, expected, service(), self._check(), reaped))

    def _wait(self, at: float) -> None:
        self._clock.advance(DATE.timestamp() + at - self._clock())

    def close(self) -> Day:
        """Close the books."""
        looped = next(each.question for each in self._calls if each.question.looped)
        return Day(
            calls=tuple(self._calls),
            looks=tuple(self._looks),
            alerts=tuple(self._pager.decisions),
            example=self._answer(looped.client, looped.flight),
            ledgers=tuple(map(self._ledger, self._budgets)),
        )

    def _ledger(self, budget: CostBudget) -> Ledger:
        account = budget.account(None)
        rows = self._store.entries(account)
        counters = self._store.totals(account, 0, MOST_KEYS)
        return Ledger(
            rows=len(rows),
            in_rows=Money.of_nanos(sum(row.charged for _, row in rows), bill.BOOK.currency),
            in_counters=Money.of_nanos(
                sum(counted.spent for _, counted in counters), bill.BOOK.currency
            ),
            wrong=len(budget.reconcile()),
        )
