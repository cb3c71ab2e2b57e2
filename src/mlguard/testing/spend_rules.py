"""The rules of spend, one by one, each on an account of its own."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from mlguard.stores.spend import MOST, UNASKED, Granted, Refusal, Total, Unsettled
from mlguard.testing.spend_attempts import attempts, take_overs, take_overs_of_released
from mlguard.testing.spend_book import Book, equal

_ODD = (
    *("a", "a/", "a/b", "A", "ab", "a b", " a", "a|b", "a\tb", "a\0b", "a\\b", "a'b", 'a"b', "a%b"),
    *("a_b", "a*b", "a[b]", "a{b}", "a:b", "-1", "é", "e\u0301", "\uffff", "\U0010ffff"),
)
_LARGE = (10**9, 2**53, 2**53 + 1, 2**53 + 2, 10**18, MOST - 1, MOST)


def _cap(book: Book) -> None:
    book.holds("an account that nobody used holds something", 0, 0)
    wanted = book.claim("a", 60).entry
    equal("reserve() grants another row than that of the claim", book.granted("a", 60)[0], wanted)
    equal("entries() gives another row than was reserved", book.rows(), {"a": wanted})
    book.holds("what is reserved is not counted", 0, 60)
    refusal = book.refused("b", 41)
    equal("the reason of a refusal is wrong", refusal, Refusal(0, Total(0, 60)))
    second = book.granted("c", 40, fault="reserve() refuses what reaches the cap exactly")
    equal("reserve() does not give what was held before", second[1:], (0, 60))
    book.refused("d", 1)
    book.granted("e", 0, fault="reserve() refuses nothing at all where the cap is reached")
    book.refused("f", 0, cap=99)
    book.settle("a", 50)
    book.holds("settle() does not give back what was reserved", 50, 40)


def _exactness(book: Book) -> None:
    for cap in _LARGE:
        part = book.beside(f"/{cap}")
        part.granted("a", cap - 1, cap=cap)
        part.granted("b", 1, cap=cap)
        part.refused("c", 1, cap=cap)
        part.settle("a", cap - 1)
        part.holds("large amounts are not exact", cap - 1, 1)
        part.settle("b", 3)
        part.holds("large amounts are not exact", cap + 2, 0)


def _all_or_none(book: Book) -> None:
    other = book.beside("/other")
    other.spend("before", 90)
    mine = book.claim("a", 60)
    result = book.store.reserve([mine, other.claim("a", 11)])
    equal("the second claim is not refused", result, Refusal(1, Total(90, 0)))
    book.holds("a claim is reserved though another is refused", 0, 0)
    other.granted("open", 0)
    claims = [mine, other.claim("open", 1)]
    book.conflicts("the second claim does not conflict", book.store.reserve, claims)
    other.conflicts("the first claim does not conflict", book.store.reserve, claims[::-1])
    other.settle("open", None)
    book.holds("a claim is reserved though another conflicts", 0, 0)
    theirs = other.claim("a", 10)
    wanted = [Granted(mine.entry, 0, 0), Granted(theirs.entry, 90, 0)]
    equal("two claims that fit are not granted", book.store.reserve([mine, theirs]), wanted)
    book.holds("of two claims the first is not reserved", 0, 60)
    other.holds("of two claims the second is not reserved", 90, 10)


def _repeats(book: Book) -> None:
    book.granted("a", 60, expires=30.0)
    row = book.granted("a", 60, slot=6, expires=20.0, fault="a repeat is refused").entry
    equal("a repeat moves the reservation or shortens it", (row.slot, row.expires), (5, 30.0))
    row = book.granted("a", 60, cap=10, expires=40.0, fault="a repeat is refused").entry
    equal("a repeat does not prolong the lease", row.expires, 40.0)
    book.holds("a repeat is counted again", 0, 60)
    claims = [book.claim("a", 59)]
    book.conflicts("another amount does not conflict", book.store.reserve, claims)
    for floor, kept in ((20, 20), (10, 20), (30, 30)):
        row = book.dispatch("a", floor=floor, expires=float(floor))
        equal("dispatch() gives another row", row[3:7], ("dispatched", 0, kept, 40.0))
    equal("dispatch() does not prolong the lease", book.dispatch("a", expires=70.0).expires, 70.0)
    equal("dispatch() does not write what it gives", book.rows()["a"], book.dispatch("a"))
    book.holds("dispatch() changes what is held", 0, 60)
    for _ in range(3):
        row = book.settle("a", 50)
        equal("settle() gives another row", row[2:5], (60, "settled", 50))
        book.holds("a settled call is not charged once", 50, 0)
    book.conflicts("another cost does not conflict", book.settle, "a", 49)
    equal("what is settled is left unsettled", book.settle("a", None), row)
    book.conflicts("what is settled is dispatched", book.dispatch, "a")
    for amount, cap in ((60, 100), (99, 100), (60, 0)):
        fault = "a repeat of a settled call is refused"
        again = book.granted("a", amount, cap=cap, fault=fault).entry
        equal("what is settled is reserved again", again, row)
        book.holds("a repeat changes what a settled call is charged", 50, 0)
    book.conflicts("an unknown call is dispatched", book.dispatch, "unknown")
    book.conflicts("an unknown call is settled", book.settle, "unknown", 1)
    book.conflicts("an unknown call is left unsettled", book.settle, "unknown", None)


def _overruns(book: Book) -> None:
    book.spend("a", 60, 150)
    book.holds("a cost above the reservation and the cap is not recorded in full", 150, 0)
    book.refused("b", 0)
    book.spend("c", 60, 0, slot=6)
    book.holds("what costs nothing is charged", 0, 0, 6)


def _releases(book: Book) -> None:
    book.granted("a", 60)
    for _ in range(2):
        row = book.settle("a", None)
        equal("what was not dispatched is not released", row[3:5], ("released", 0))
        book.holds("what was released is held", 0, 0)
    book.conflicts("what was released is dispatched", book.dispatch, "a")
    wanted = book.claim("a", 50, slot=6).entry
    again = book.granted("a", 50, slot=6, fault="what was released cannot be reserved again")
    equal("what was released is not reserved anew", again.entry, wanted)
    book.holds("what is reserved anew is not held in its new slot", 0, 50, 6)
    book.settle("a", None)
    book.settle("a", 40)
    book.holds("a late settle of what was released is not charged", 40, 0, 6)


def _unsettled(book: Book) -> None:
    rules: tuple[Unsettled, Unsettled] = "floor", "reserved"
    for rule, due, late in zip(rules, (20, 50), (30, 50), strict=True):
        part = book.beside(f"/{rule}")
        part.granted("a", 50, on_unsettled=rule)
        part.dispatch("a", floor=20)
        for _ in range(2):
            row = part.settle("a", None)
            equal(f"{rule!r} charges something else", row[3:5], ("left", due))
            part.holds(f"{rule!r} counts something else", due, 0)
        part.dispatch("a", floor=30)
        part.holds(f"{rule!r} does not follow what was spent later", late, 0)
        claims = [part.claim("a", 50)]
        part.conflicts("what was left reserves again", part.store.reserve, claims)
        part.settle("a", 25)
        part.holds("a late settle does not correct what was charged", 25, 0)
        part.conflicts("a late settle is not for good", part.settle, "a", 26)
    over = book.beside("/over")
    over.granted("a", 50, on_unsettled="reserved")
    over.dispatch("a", floor=70)
    equal("'reserved' charges less than was spent", over.settle("a", None).charged, 70)
    over.holds("'reserved' counts less than was spent", 70, 0)


def _refunds(book: Book) -> None:
    book.spend("a", 60, 50)
    book.spend("ab", 10)
    book.spend("later", 10, slot=6)
    for _ in range(3):
        row = book.refund("a", "1", 20)
        equal("refund() gives another row", row[1:5], (5, 0, "refund", -20))
        book.holds("a refund is not taken back once", 50, 0)
    book.holds("a refund is taken back from another slot", 10, 0, 6)
    book.conflicts("a refund of another amount does not conflict", book.refund, "a", "1", 21)
    book.conflicts("more is taken back than is left", book.refund, "a", "2", 31)
    book.refund("ab", "1", 10)
    book.refund("a", "2", 30)
    book.holds("all that is left is not taken back", 10, 0)
    book.conflicts("more is taken back than was charged", book.refund, "a", "3", 1)
    equal("a refund changes what was settled", book.settle("a", 50).charged, 50)
    book.granted("b", 90, slot=6, oldest=5, fault="a refund makes no room")
    book.conflicts("a call that is open is refunded", book.refund, "b", "1", 0)
    book.dispatch("b", floor=5)
    book.settle("b", None)
    book.conflicts("a call that was left unsettled is refunded", book.refund, "b", "1", 1)
    book.conflicts("an unknown call is refunded", book.refund, "unknown", "1", 1)


def _windows(book: Book) -> None:
    for slot in (1, 2, 4):
        book.spend(f"{slot}", 10 * slot, slot=slot, oldest=1)
    for oldest, spent in ((0, 70), (1, 70), (2, 60), (3, 40), (4, 40), (5, 0)):
        book.holds(f"the sum from slot {oldest} on is wrong", spent, 0, oldest)
    book.refused("a", 41, oldest=2, fault="reserve() does not count the earlier slots")
    book.granted("b", 60, oldest=3, fault="reserve() counts slots before the window")
    behind = "reserve() grants a slot behind the newest"
    refusal = book.refused("c", 1, cap=MOST, slot=4, fault=behind)
    equal("a clock that is behind is not told the newest slot", refusal.newest, 5)
    refusal = book.refused("d", 1, oldest=4)
    equal("the reason of a refusal is wrong", refusal, Refusal(0, Total(40, 60)))
    book.granted("b", 60, slot=4, fault="a repeat is refused behind the newest slot")
    book.settle("b", None)
    book.refused("b", 60, slot=4, fault=behind)


def _reaping(book: Book) -> None:
    other = book.beside("/other")
    for call, expires in {"open": 10, "sent": 10, "paid": 10, "renewed": 10, "later": 30}.items():
        book.granted(call, 10, expires=float(expires))
    other.granted("open", 10, expires=10.0)
    book.dispatch("sent", floor=4, expires=5.0)
    book.dispatch("renewed", expires=20.0)
    book.settle("paid", 10)
    reap = partial(book.store.reap, book.account)
    equal("reap() ends what is leased still", reap(9.99), 0)
    equal("reap() does not end a lease in time", book.store.reap(other.account, 10.0), 1)
    equal("reap() ends a lease of another account", book.rows()["open"].state, "open")
    equal("reap() does not end the leases that are over", reap(10.0), 2)
    equal("reap() ends a lease twice", reap(10.0), 0)
    wanted = {"open": ("released", 0), "sent": ("left", 4), "paid": ("settled", 10)}
    wanted |= {"renewed": ("dispatched", 0), "later": ("open", 0)}
    rows = {call: row[3:5] for call, row in book.rows().items()}
    equal("reap() leaves other rows", rows, wanted)
    book.holds("reap() does not count what it leaves", 14, 20)
    equal("reap() forgets a lease", reap(30.0), 2)
    book.holds("reap() leaves something reserved", 14, 0)


def _compacting(book: Book) -> None:
    book.spend("a", 10, slot=1)
    book.granted("live", 10, slot=1)
    book.granted("released", 10, slot=2)
    book.settle("released", None)
    book.granted("left", 10, slot=2, on_unsettled="reserved")
    book.dispatch("left")
    book.settle("left", None)
    book.spend("b", 10, slot=3)
    book.refund("b", "1", 3)
    book.spend("c", 10, slot=4)
    kept = {call: book.rows()[call] for call in ("live", "c")}
    compact = partial(book.store.compact, book.account)
    equal("compact() does not take the rows that are over", compact(4), 5)
    equal("compact() takes a row twice", compact(4), 0)
    rows = {call: row for call, row in book.rows().items() if row.state != "sum"}
    equal("compact() leaves other rows", rows, kept)
    book.holds("compact() changes what was spent in all", 37, 10)
    book.holds("compact() changes a later slot", 10, 0, 4)
    book.holds("compact() leaves a sum where its rows were", 10, 10, 1)
    book.conflicts("what was compacted is settled", book.settle, "a", 10)
    book.conflicts("what was compacted is refunded", book.refund, "b", "1", 3)
    book.settle("live", 5)
    equal("compact() forgets a row that was live", compact(9), 2)
    book.holds("compact() changes what was spent in all", 42, 0)
    book.holds("compact() leaves a sum where its rows were", 0, 0, 1)
    refusal = book.refused("d", 1, slot=3, fault="compact() forgets the newest slot")
    equal("a clock that is behind is not told the newest slot", refusal.newest, 4)


def _totalling(book: Book) -> None:
    for name, amount in {"a": 5, "b": 50, "c": 5, "d": 0}.items():
        each = book.beside(f"/{name}")
        each.spend("early", 1, 1 if amount else 0, slot=1)
        each.spend("call", amount, slot=4)
    book.beside("/d").granted("open", 9)
    book.beside("/full").refused("call", 1, cap=0)
    book.beside("2").spend("call", 99, slot=4)
    for oldest, most, wanted in (
        (1, 9, {"b": (51, 0), "a": (6, 0), "c": (6, 0), "d": (0, 9)}),
        (1, 2, {"b": (51, 0), "a": (6, 0)}),
        (4, 9, {"b": (50, 0), "a": (5, 0), "c": (5, 0), "d": (0, 9)}),
        (5, 9, {"d": (0, 9)}),
        (6, 9, {}),
    ):
        found = book.store.totals(f"{book.account}/", oldest, most)
        right = [(f"{book.account}/{name}", total) for name, total in wanted.items()]
        equal("totals() are not the largest, or not sorted", found, right)


def _odd_names(book: Book) -> None:
    accounts = {odd: book.beside(f"/{odd}") for odd in ("a\nb", *_ODD)}
    for amount, (odd, each) in enumerate(accounts.items()):
        each.spend("call", amount, fault=f"the account {odd!r} is taken for another")
        each.granted("open", 1)
    for amount, (odd, each) in enumerate(accounts.items()):
        each.holds(f"the account {odd!r} is taken for another", amount, 1)
        wanted = sorted(name for name in accounts if name.startswith(odd))
        found = [account for account, _ in book.store.entries(each.account)]
        begun = [account.removeprefix(f"{book.account}/") for account in found[::2]]
        equal(f"accounts that begin with {odd!r} are not found", begun, wanted)
    calls = book.beside("/calls")
    for amount, call in enumerate(_ODD):
        fault = f"the id {call!r} is taken for another"
        calls.spend(call, amount, cap=MOST, by=call, fault=fault)
        calls.refund(call, call, min(amount, 1))
    charged = {call: amount for amount, call in enumerate(_ODD)}
    charged |= {f"{call}\n{call}": -min(amount, 1) for call, amount in charged.items()}
    tokens = {row.id: row.token for _, row in calls.store.entries(calls.account) if row.token}
    equal("tokens are not kept as they are", tokens, {call: call for call in _ODD})
    rows = [(row.id, row.charged) for _, row in calls.store.entries(calls.account)]
    equal("entries() do not give each row, or are not sorted", rows, sorted(charged.items()))


def _unasked_ids(book: Book) -> None:
    for number in range(3):
        book.spend(f"{UNASKED}{number}", 20)
    book.holds("a call without an id of its own is not charged", 60, 0)
    rows = [row for _, row in book.store.entries(book.account)]
    charged = {row.slot for row in rows}, sum(row.charged for row in rows)
    equal("the rows do not say what was charged", charged, ({5}, 60))
    book.granted(f"{UNASKED}open", 20)
    book.settle(f"{UNASKED}open", None)
    book.store.compact(book.account, 6)
    book.holds("compact() changes what was spent in all", 60, 0)
    book.holds("compact() leaves a sum where its rows were", 0, 0, 5)


RULES: tuple[Callable[[Book], None], ...] = (
    *(_cap, _overruns, _exactness, _all_or_none, _repeats, _releases, _unsettled, _refunds),
    *(_windows, _reaping, _compacting, _totalling, _odd_names, _unasked_ids),
    *(attempts, take_overs, take_overs_of_released),
)
