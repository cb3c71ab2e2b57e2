"""The bill: what an answer costs, what a day may cost, and what each client's part of it may."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mlguard import Calendar, CostBudget, Guards, Price, PriceBook, reserve_all, worst
from mlguard.integrations.metered import metered
from production import WANTED, given

if TYPE_CHECKING:
    from act4.service import Answer, Service
    from mlguard import Check, Clock, Money, Reference, Sink, SqliteStore
    from mlguard.budgets.reservations import Reservations

BOOK: Final = PriceBook(
    "USD",
    [
        Price("trees", {"request": "0.004"}),
        Price("writer", {"input": "5.00", "output": "25.00"}, per=1_000_000),
    ],
)
MOST: Final = BOOK.worst_case("trees", request=1) + BOOK.worst_case("writer", input=250, output=150)
CAP_EACH: Final = "4 USD"
"""The document caps the whole; what a client may spend of it is this service's own rule."""


def budgets(
    reference: Reference, store: SqliteStore, clock: Clock, pager: Sink
) -> tuple[CostBudget, CostBudget]:
    """Return the cap on the day's whole bill, and the caps on each client's part of it."""
    guards = Guards.build(WANTED, reference=reference, store=store, sinks=[pager], clock=clock)
    clients = CostBudget(
        "clients",
        CAP_EACH,
        per="client",
        window=Calendar("day", tz="America/New_York"),
        store=store,
        on_store_error="deny",
        on_unsettled="reserved",
        sinks=[pager],
        clock=clock,
    )
    return given(guards.cost), clients


def reserve(client: str, service: CostBudget, clients: CostBudget) -> Reservations:
    """Return a reservation of the most that an answer may cost: in both budgets, or in none."""
    return reserve_all([clients.reserve(MOST, key=client), service.reserve(MOST)])


def cost(answer: Answer) -> Money:
    """Return what an answer did cost: the request, and the tokens of its explanation, if it has one."""
    request = BOOK.cost("trees", {"request": 1})
    return request + BOOK.cost("writer", answer.usage) if answer.usage else request


def paid(answer: Service, service: CostBudget, clients: CostBudget) -> Service:
    """Return the service behind its meter: it reserves, answers, and settles what that did cost."""
    return metered(answer, reserve=lambda client, _: reserve(client, service, clients), cost=cost)


def bill_check(service: CostBudget, clients: CostBudget) -> Check:
    """Return the check that the bill has to pass."""
    return worst("bill", service, clients)
