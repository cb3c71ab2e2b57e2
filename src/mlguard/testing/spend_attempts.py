"""The rules of spend about the attempts at one call."""

from __future__ import annotations

from mlguard.stores.spend import Granted, attempt
from mlguard.testing.spend_book import Book, equal


def attempts(book: Book) -> None:
    """One attempt holds a call: another neither reserves, nor ends what the first one holds."""
    book.granted("a", 60, by="1")
    for send in (False, True):
        if send:
            book.dispatch("a", "1", floor=20)
        for token, amount in (("2", 60), ("2", 10), ("", 60), ("1", 59)):
            claims = [book.claim("a", amount, by=token)]
            fault = f"another attempt reserves what is {'sent' if send else 'open'}"
            book.conflicts(fault, book.store.reserve, claims)
        book.granted("a", 60, by="1", fault="a repeat of the same attempt is refused")
        for token in ("2", ""):
            book.conflicts("another attempt dispatches", book.dispatch, "a", token)
        book.conflicts("another attempt settles", book.settle, "a", 50, "2")
        book.conflicts("another attempt ends the first", book.settle, "a", None, "2")
    equal("one that knows no attempt cannot settle", book.settle("a", 50).charged, 50)
    row = book.settle("a", 50, "1")
    equal("another attempt cannot see a settled call", book.settle("a", 50, "2"), row)
    equal("leaving by another attempt changes a settled call", book.settle("a", None, "2"), row)
    again = book.granted("a", 7, by="2", cap=0, fault="a settled call is refused to another")
    equal("what is settled is reserved by another attempt", again.entry, row)
    for token in ("1", "2", ""):
        book.conflicts("what is settled is dispatched", book.dispatch, "a", token)
    book.conflicts("another attempt settles at another cost", book.settle, "a", 49, "2")
    book.holds("another attempt changes what is charged", 50, 0)


def take_overs(book: Book) -> None:
    """A call that was left is asked for anew, beside what the first attempt is charged."""
    book.granted("a", 60, by="1")
    book.dispatch("a", "1", floor=30)
    left = book.settle("a", None, "1")
    equal("leaving by another attempt changes what was left", book.settle("a", None, "2"), left)
    book.refused("a", 71, by="2", fault="what was left is taken over beyond the cap")
    behind = "what was left is taken over behind the newest slot"
    book.refused("a", 1, by="2", slot=4, fault=behind)
    wanted = book.claim("a", 50, slot=6, oldest=5, by="2")
    granted = book.granted("a", 50, slot=6, oldest=5, by="2", fault="what was left is refused")
    equal("what was left is not taken over", granted, Granted(wanted.entry, 30, 0))
    first = left._replace(id=attempt("a", "1"))
    rows = {"a": wanted.entry, first.id: first}
    equal("what the first attempt is charged is not kept beside", book.rows(), rows)
    book.holds("a take-over changes what was charged", 30, 50)
    book.holds("a take-over is not held in its own slot", 0, 50, 6)
    for slot in (5, 6):
        claims = [book.claim("a", 60, slot=slot, by="1")]
        book.conflicts("the first attempt reserves again", book.store.reserve, claims)
    row = book.dispatch("a", "1", floor=40)
    wanted_row = first._replace(charged=40, floor=40)
    equal("the first attempt does not follow what was spent later", row, wanted_row)
    equal("leaving twice changes something", book.settle("a", None, "1"), row)
    book.holds("leaving the first attempt ends the second", 40, 50)
    for _ in range(2):
        row = book.settle("a", 25, "1")
        wanted_row = wanted_row._replace(state="settled", charged=25)
        equal("the first attempt is not settled late", row, wanted_row)
        book.holds("a late settle of the first attempt is not charged", 25, 50)
    book.conflicts("a late settle is not for good", book.settle, "a", 26, "1")
    book.conflicts("an attempt that is settled is dispatched", book.dispatch, "a", "1")
    equal("the second attempt is ended by the first", book.rows()["a"], wanted.entry)
    book.dispatch("a", "2", floor=5)
    book.settle("a", None, "2")
    claims = [book.claim("a", 1, slot=6, by="1")]
    book.conflicts("the first attempt reserves again", book.store.reserve, claims)
    book.granted("a", 20, slot=6, oldest=5, by="3")
    book.holds("a second take-over is not charged beside the first", 30, 20)
    book.settle("a", 20, "3")
    book.holds("the last attempt is not charged", 50, 0)
    book.refund("a", "x", 20)
    book.conflicts("what attempts were charged is taken back", book.refund, "a", "y", 1)
    equal("an attempt is not found after the last", book.settle("a", 5, "2").charged, 5)
    book.holds("an attempt is not corrected after the last", 30, 0)
    equal("compact() leaves attempts", book.store.compact(book.account, 7), 4)
    book.holds("compact() changes what was spent in all", 30, 0)


def take_overs_of_released(book: Book) -> None:
    """Of a call that was released nothing stays beside the attempt that takes it over."""
    book.granted("a", 60, by="1")
    book.settle("a", None, "1")
    wanted = book.claim("a", 50, by="2").entry
    book.refused("a", 101, by="2", fault="what was released is reserved beyond the cap")
    equal("what was released is not reserved by another", book.granted("a", 50, by="2")[0], wanted)
    equal("what was released stays beside", book.rows(), {"a": wanted})
    book.conflicts("a released attempt is dispatched", book.dispatch, "a", "1")
    book.conflicts("a released attempt ends another", book.settle, "a", None, "1")
    book.conflicts("a released attempt settles another", book.settle, "a", 1, "1")
    book.holds("what was released holds something", 0, 50)
