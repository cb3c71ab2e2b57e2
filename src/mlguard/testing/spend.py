"""The part of the suite for stores that is about spend."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import count
from threading import Barrier
from typing import TypeGuard

from mlguard.errors import StateConflict
from mlguard.stores.spend import COMPACTED, Refusal, Spend
from mlguard.testing.spend_book import Book, broken, equal
from mlguard.testing.spend_rules import RULES

_THREADS = 8
_PATIENCE = 60.0
_AMOUNT, _GRANTS = 7, 100
_CAP = _AMOUNT * _GRANTS + _AMOUNT - 1
_LATE, _LAST = 1e15, 10**6


def keeps_spend(store: object) -> TypeGuard[Spend]:
    """Tell whether a store means to keep spend."""
    return hasattr(store, "reserve")


def check_spend(store: Spend, name: str) -> None:
    """Assert that a store keeps the rules of `Spend`, for eight threads too.

    Args:
        store: The store.
        name: What the accounts begin with.

    Raises:
        AssertionError: A rule is broken; the message says which.
    """
    for rule in RULES:
        try:
            rule(Book(store, f"{name}/{rule.__name__}"))
        except StateConflict as error:
            raise broken(f"what the rules allow conflicts: {error}") from error
    equal("reconcile() finds counters wrong that are right", store.reconcile(name), [])
    _check_threads(store, f"{name}/threads")


def _check_threads(store: Spend, account: str) -> None:
    start = Barrier(_THREADS)

    def run(who: int) -> int:
        start.wait(_PATIENCE)
        return spend_up(store, account, who)

    with ThreadPoolExecutor(_THREADS) as pool:
        check_spent(store, account, "threads", list(pool.map(run, range(_THREADS))))


def spend_up(store: Spend, account: str, who: int) -> int:
    """Reserve until the cap is reached, settle the half, and count the reservations.

    One more is reserved under an id that all share.
    """
    book = Book(store, account)
    store.reserve([book.claim("same", _AMOUNT, cap=_CAP)])
    for number in count():
        call = f"{who} {number}"
        if isinstance(store.reserve([book.claim(call, _AMOUNT, cap=_CAP)]), Refusal):
            return number
        if number % 2:
            book.settle(call, _AMOUNT)
    raise AssertionError  # never: for the type checkers


def check_spent(store: Spend, account: str, who: str, grants: list[int]) -> None:
    """Assert that as much was reserved as fits under the cap, by those who spent it at once."""
    equal(f"{who} get another number of reservations than fit", sum(grants) + 1, _GRANTS)
    held = sum(store.total(account, COMPACTED))
    equal(f"{who} hold another amount than they reserved", held, _AMOUNT * _GRANTS)
    equal(f"{who} make counters wrong", store.reconcile(account), [])


def sum_up(store: Spend, name: str) -> None:
    """Leave one sum of each account."""
    store.reap(name, _LATE)
    store.compact(name, _LAST)
