"""What holds for the spend of every store: the suite, and the same steps as a list of rows."""

from __future__ import annotations

import random
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from mlguard import MemoryStore, SqliteStore, StateConflict
from mlguard.integrations.redis import RedisStore
from mlguard.stores.spend import (
    COMPACTED,
    Claim,
    Difference,
    Entry,
    Held,
    Refusal,
    SpendStore,
    Total,
)
from mlguard.testing.spend import check_spend

if TYPE_CHECKING:
    from redis import Redis

Fresh = Callable[[], tuple[Callable[[], SpendStore], Callable[[float], object]]]


@pytest.fixture
def store(fresh: Fresh) -> SpendStore:
    return fresh()[0]()


def test_it_keeps_the_rules(store: SpendStore) -> None:
    check_spend(store, "suite")


@pytest.fixture
def hurry() -> Iterator[None]:
    """Let threads take turns as often as they can."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("hurry")
def test_no_thread_comes_between_reading_and_writing(store: SpendStore) -> None:
    for number in range(5):
        check_spend(store, f"hurry {number}")


class Row(NamedTuple):
    """A row of the model."""

    slot: int
    reserved: int
    state: str
    charged: int
    floor: int
    expires: float
    rule: str
    token: str


class Ledger:
    """The rules once more, over rows that are added up whenever a sum is asked for."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], Row] = {}
        self.sums: Counter[tuple[str, int]] = Counter()
        self.newest: dict[str, int] = {}

    def total(self, account: str, oldest: int) -> Total:
        rows = [row for (name, _), row in self.rows.items() if name == account]
        kept = [row for row in rows if row.slot >= oldest]
        spent = sum(row.charged for row in kept)
        spent += sum(
            n for (name, slot), n in self.sums.items() if name == account and slot >= oldest
        )
        return Total(spent, sum(row.reserved for row in kept if self.live(row)))

    @staticmethod
    def live(row: Row) -> bool:
        return row.state in {"open", "dispatched"}

    def reserve(self, claims: Sequence[Claim]) -> object:
        granted: list[tuple[Entry, int, int]] = []
        for place, (account, entry, cap, oldest) in enumerate(claims):
            total, row = self.total(account, oldest), self.rows.get((account, entry.id))
            if row is None or row.state in {"released", "left"}:
                if self.was_left(account, entry):
                    raise StateConflict
                newest = self.newest.get(account, COMPACTED)
                if entry.slot < newest:
                    return Refusal(place, total, newest)
                if sum(total) + entry.reserved > cap:
                    return Refusal(place, total, None)
                row = Row(*entry[1:])
            elif (row.reserved, row.token) == (entry.reserved, entry.token):
                row = row._replace(expires=max(row.expires, entry.expires))
            elif row.state != "settled":
                raise StateConflict
            granted.append((self.entry(entry.id, row), *total))
        for (account, *_), (entry, *_) in zip(claims, granted, strict=True):
            left = self.rows.get((account, entry.id))
            if left is not None and left.state == "left":
                self.rows[account, f"{entry.id}\nleft {left.token}"] = left
            self.rows[account, entry.id] = Row(*entry[1:])
            self.newest[account] = max(self.newest.get(account, COMPACTED), entry.slot)
        return granted

    def was_left(self, account: str, entry: Entry) -> bool:
        row = self.rows.get((account, entry.id))
        if row is None:
            return False
        own = (row.state, row.token) == ("left", entry.token)
        return own or (account, f"{entry.id}\nleft {entry.token}") in self.rows

    def held(self, held: Held) -> tuple[str, Row]:
        """Give the row of the attempt that was named; of another one only where it has none."""
        account, call, token = held
        names = [call, *([f"{call}\nleft {token}"] if token else [])]
        found = [(name, self.rows[account, name]) for name in names if (account, name) in self.rows]
        own = [each for each in found if each[1].token == token]
        if not found:
            raise StateConflict
        return (own or found)[0]

    def dispatch(self, held: Held, floor: int, expires: float) -> Entry:
        name, row = self.held(held)
        if row.token != held.token or row.state in {"released", "settled"}:
            raise StateConflict
        row = row._replace(floor=max(row.floor, floor))
        if self.live(row):
            row = row._replace(state="dispatched", expires=max(row.expires, expires))
        else:
            row = row._replace(charged=self.due(row))
        return self.put(held.account, name, row)

    def settle(self, held: Held, actual: int | None) -> Entry:
        name, row = self.held(held)
        if actual is None:
            if row.token != held.token and self.live(row):
                raise StateConflict
            return self.put(held.account, name, self.ended(row))
        if row.state == "settled":
            if row.charged != actual:
                raise StateConflict
        elif held.token not in {"", row.token}:
            raise StateConflict
        return self.put(held.account, name, row._replace(state="settled", charged=actual))

    def ended(self, row: Row) -> Row:
        if row.state == "dispatched":
            return row._replace(state="left", charged=self.due(row))
        return row._replace(state="released") if row.state == "open" else row

    @staticmethod
    def due(row: Row) -> int:
        return row.floor if row.rule == "floor" else max(row.floor, row.reserved)

    def refund(self, account: str, call: str, refund_id: str, amount: int) -> Entry:
        name = f"{call}\n{refund_id}"
        there, row = self.rows.get((account, name)), self.rows.get((account, call))
        if there is None:
            if row is None or row.state != "settled":
                raise StateConflict
            back = [
                each.charged
                for (whose, other), each in self.rows.items()
                if whose == account and other.startswith(f"{call}\n") and each.state == "refund"
            ]
            if amount > row.charged + sum(back):
                raise StateConflict
            there = Row(row.slot, 0, "refund", -amount, 0, 0.0, "floor", "")
        elif there.charged != -amount:
            raise StateConflict
        return self.put(account, name, there)

    def reap(self, prefix: str, now: float) -> int:
        over = {
            key: self.ended(row)
            for key, row in self.rows.items()
            if key[0].startswith(prefix) and self.live(row) and row.expires <= now
        }
        self.rows |= over
        return len(over)

    def compact(self, prefix: str, before: int) -> set[int]:
        """Give how many rows may go: a store may sum up at once what nobody can ask for again."""
        gone = {
            key: row
            for key, row in self.rows.items()
            if key[0].startswith(prefix) and not self.live(row) and row.slot < before
        }
        for (account, call), row in gone.items():
            del self.rows[account, call]
            self.sums[account, COMPACTED] += row.charged
        unasked = [call for (_, call), row in gone.items() if unaskable(call, row.state)]
        return {len(gone), len(gone) - len(unasked)}

    def put(self, account: str, call: str, row: Row) -> Entry:
        self.rows[account, call] = row
        return self.entry(call, row)

    @staticmethod
    def entry(call: str, row: Row) -> Entry:
        fields: list[Any] = [call, *row]
        return Entry(*fields)

    def entries(self) -> list[tuple[str, Entry]]:
        sums: list[Any] = [
            (account, Entry("", slot, 0, "sum", charged, 0, 0.0, "floor"))
            for (account, slot), charged in self.sums.items()
        ]
        return sums + [
            (account, self.entry(call, row)) for (account, call), row in self.rows.items()
        ]


def unaskable(call: str, state: str) -> bool:
    return call.startswith("~") and state == "settled"


def known(entries: list[tuple[str, Entry]]) -> tuple[dict[Any, Entry], dict[Any, int]]:
    """Give the rows, and by slot what those were charged that a store may sum up."""
    rows = {}
    sums = Counter[Any]()
    for account, row in entries:
        if row.state == "sum" or unaskable(row.id, row.state):
            sums[account, row.slot] += row.charged
        else:
            rows[account, row.id] = row
    return rows, {place: charged for place, charged in sums.items() if charged}


def added_up(entries: list[tuple[str, Entry]], oldest: int) -> dict[str, Total]:
    sums: dict[str, Total] = {}
    for account, row in entries:
        if row.slot >= oldest:
            spent, reserved = sums.get(account, (0, 0))
            sums[account] = Total(spent + row.charged, reserved + row.held)
    return {account: total for account, total in sums.items() if any(total)}


LARGE = 2**54 + 1
CAPS = {"day": 100, "day/2": 60, "hours": 150, "large": 100 * LARGE}
ACCOUNTS = st.sampled_from([*CAPS])
PREFIXES = st.sampled_from(["", "day", "day/", "hours"])
CALLS = st.sampled_from(["a", "b", "ab", "~1", "~2", "~3"])
TOKENS = st.sampled_from(["1", "2", "3", ""])
AMOUNTS = st.sampled_from([0, 1, 20, 30, 40, 60])
TIMES = st.integers(1, 3)
MOMENTS = st.integers(0, 9).map(float)
ROWS = st.fixed_dictionaries(
    {
        "amount": AMOUNTS,
        "behind": st.sampled_from([0, 0, 0, 1, 3]),
        "expires": MOMENTS,
        "on_unsettled": st.sampled_from(["floor", "reserved"]),
    }
)
ALL = 99


def scale(account: str) -> int:
    """Give what amounts of an account are multiplied by."""
    return LARGE if account == "large" else 1


def of(account: str, call: str, token: str) -> Held:
    """Name an attempt; a call that nobody named has but one."""
    return Held(account, call, "" if call.startswith("~") else token)


def asked(name: str, *given: Any) -> set[tuple[str, str]]:
    """Give the calls that an operation is about."""
    if name == "reserve":
        return {(c.account, c.entry.id) for c in given[0]}
    return {given[0][:2] if isinstance(given[0], Held) else given[:2]}


HELD = st.builds(of, ACCOUNTS, CALLS, TOKENS)


class Model(RuleBasedStateMachine):
    """A store beside the ledger. Time goes on by slots, leases end at moments of their own."""

    def __init__(self, store: SpendStore) -> None:
        super().__init__()
        self.store = store
        self.ledger = Ledger()
        self.now = 0
        self.done: list[tuple[str, tuple[Any, ...]]] = []
        self.over: set[tuple[str, str]] = set()

    def do(self, name: str, *given: Any, times: int = 1) -> None:
        """Do the same to both, unless it asks for what nobody can ask for again."""
        self.done.append((name, given))
        for _ in range(times):
            if name != "reap" and self.over.intersection(asked(name, *given)):
                return
            try:
                wanted = getattr(self.ledger, name)(*given)
            except StateConflict:
                with pytest.raises(StateConflict):
                    self.ask(name, *given)
            else:
                assert self.ask(name, *given) == wanted
                if name == "settle" and unaskable(wanted.id, wanted.state):
                    self.over.add(given[0][:2])

    def ask(self, name: str, *given: Any) -> object:
        if name == "dispatch":
            held, floor, expires = given
            return self.store.dispatch(held, floor=floor, expires=expires)
        if name == "reserve":
            return self.ask_for(*given)
        return getattr(self.store, name)(*given)

    def ask_for(self, claims: list[Claim]) -> object:
        there, _ = known(self.store.entries(""))
        result = self.store.reserve(claims)
        for account, row, cap, oldest in claims if isinstance(result, list) else ():
            found = there.get((account, row.id))
            if found is None or found.state in {"released", "left"}:
                assert sum(self.store.total(account, oldest)) <= cap
        return result

    def claim(self, held: Held, amount: int, behind: int, **row: Any) -> Claim:
        account, call, token = held
        now = max(0, self.now - behind)
        slot = now // 3 * 3 if account.startswith("day") else now
        oldest = slot if account.startswith("day") else max(0, now - 3)
        amount *= scale(account)
        entry = Entry(call, slot, amount, "open", 0, 0, **row, token=token)
        return Claim(account, entry, CAPS[account], oldest)

    @rule(
        accounts=st.sets(ACCOUNTS, min_size=1, max_size=3),
        call=CALLS,
        token=TOKENS,
        row=ROWS,
        times=TIMES,
    )
    def reserve(
        self, accounts: set[str], call: str, token: str, row: dict[str, Any], times: int
    ) -> None:
        claims = [self.claim(of(each, call, token), **row) for each in sorted(accounts)]
        self.do("reserve", claims, times=times)

    @rule(held=HELD, floor=AMOUNTS, expires=MOMENTS, times=TIMES)
    def dispatch(self, held: Held, floor: int, expires: float, times: int) -> None:
        self.do("dispatch", held, floor * scale(held.account), expires, times=times)

    @rule(held=HELD, actual=st.none() | AMOUNTS, times=TIMES)
    def settle(self, held: Held, actual: int | None, times: int) -> None:
        cost = None if actual is None else actual * scale(held.account)
        self.do("settle", held, cost, times=times)

    @rule(held=HELD, rows=st.tuples(ROWS, ROWS), floor=AMOUNTS, other=TOKENS, times=TIMES)
    def leave_and_take_over(
        self, held: Held, rows: tuple[dict[str, Any], ...], floor: int, other: str, times: int
    ) -> None:
        taker = of(held.account, held.call, other)
        self.do("reserve", [self.claim(held, **rows[0])], times=times)
        self.do("dispatch", held, floor * scale(held.account), 9.0, times=times)
        self.do("settle", held, None, times=times)
        self.do("reserve", [self.claim(taker, **rows[1])], times=times)

    @rule(account=ACCOUNTS, call=CALLS, name=st.sampled_from("xy"), amount=AMOUNTS, times=TIMES)
    def refund(self, account: str, call: str, name: str, amount: int, times: int) -> None:
        self.do("refund", account, call, name, amount, times=times)

    @rule(back=st.integers(1, 40), times=TIMES)
    def do_again(self, back: int, times: int) -> None:
        for name, given in self.done[-back:][:1]:
            self.do(name, *given, times=times)

    @rule(slots=st.integers(1, 2))
    def let_time_pass(self, slots: int) -> None:
        self.now += slots

    @rule(prefix=PREFIXES, now=MOMENTS, times=TIMES)
    def reap(self, prefix: str, now: float, times: int) -> None:
        self.do("reap", prefix, now, times=times)

    @rule(prefix=PREFIXES, ago=st.integers(-1, 4))
    def compact(self, prefix: str, ago: int) -> None:
        before = self.now - ago
        assert self.store.compact(prefix, before) in self.ledger.compact(prefix, before)

    @rule(prefix=PREFIXES)
    def reconcile(self, prefix: str) -> None:
        assert self.store.reconcile(prefix) == []

    @rule(account=ACCOUNTS, oldest=st.integers(COMPACTED, 9))
    def ask_for_a_total(self, account: str, oldest: int) -> None:
        assert self.store.total(account, oldest) == self.ledger.total(account, oldest)

    @rule(prefix=PREFIXES, oldest=st.integers(COMPACTED, 9), most=st.integers(1, 3))
    def ask_for_the_largest(self, prefix: str, oldest: int, most: int) -> None:
        assert self.store.totals(prefix, oldest, most) == self.totals(prefix, oldest)[:most]

    def totals(self, prefix: str, oldest: int) -> list[tuple[str, Total]]:
        found = {name: self.ledger.total(name, oldest) for name in CAPS if name.startswith(prefix)}
        held = [(name, total) for name, total in found.items() if any(total)]
        return sorted(held, key=lambda each: (-each[1].spent, each[0]))

    @invariant()
    def has_the_same_rows(self) -> None:
        assert known(self.store.entries("")) == known(self.ledger.entries())

    @invariant()
    def has_counters_that_say_what_the_rows_do(self) -> None:
        rows = self.store.entries("")
        for oldest in range(COMPACTED, self.now + 4):
            assert dict(self.store.totals("", oldest, ALL)) == added_up(rows, oldest)


def test_it_does_what_a_list_of_rows_does(fresh: Fresh) -> None:
    class Here(Model):
        def __init__(self) -> None:
            super().__init__(fresh()[0]())

    checks = list(HealthCheck)  # a server and a disk take their time
    steps = settings(
        max_examples=40, stateful_step_count=40, deadline=None, suppress_health_check=checks
    )
    run_state_machine_as_test(Here, settings=steps)


@pytest.mark.slow
def test_it_does_what_a_list_of_rows_does_for_long(fresh: Fresh) -> None:
    for _ in range(25):
        test_it_does_what_a_list_of_rows_does(fresh)


def reserve(store: SpendStore, call: str, amount: int, slot: int = 5, cap: int = 100) -> object:
    row = Entry(call, slot, amount, "open", 0, 0, 60.0, "floor")
    return store.reserve([Claim("account", row, cap, slot)])


def damage(store: SpendStore, slot: int, by: int) -> None:
    """Change what a slot of the account is said to have spent."""
    if isinstance(store, MemoryStore):
        store._accounts["account"].slots.setdefault(slot, [0, 0])[0] += by
    elif isinstance(store, SqliteStore):
        with store._database.write() as connection:
            connection.execute(
                "INSERT INTO counters VALUES (?, ?, ?, 0) ON CONFLICT (account, slot) "
                "DO UPDATE SET spent = spent + excluded.spent",
                (b"account", slot, by),
            )
    elif isinstance(store, RedisStore):
        store._client.hincrby(store._start + b"sums:account", f"s{slot}", by)
        store._client.zadd(store._start + b"slots:account", {f"{slot}": slot})


@pytest.mark.parametrize("by", [5, -5, -100, 2**59])
def test_a_counter_that_went_wrong_is_put_right_and_reported(store: SpendStore, by: int) -> None:
    reserve(store, "a", 40)
    store.settle(Held("account", "a"), 30)
    reserve(store, "b", 50)
    damage(store, 5, by)
    assert store.reconcile("other") == []
    found = store.reconcile("acc")
    assert found == [Difference("account", 5, Total(30 + by, 50), Total(30, 50))]
    assert store.reconcile("") == []
    assert store.total("account", 5) == Total(30, 50)
    assert isinstance(reserve(store, "c", 21), Refusal)
    assert isinstance(reserve(store, "c", 20), list)


def test_a_counter_of_no_row_is_put_right_and_reported(store: SpendStore) -> None:
    reserve(store, "a", 40)
    damage(store, 3, 7)
    assert store.reconcile("") == [Difference("account", 3, Total(7, 0), Total(0, 0))]
    assert store.total("account", COMPACTED) == Total(0, 40)


def test_reconcile_keeps_the_newest_slot(store: SpendStore) -> None:
    reserve(store, "a", 40)
    store.settle(Held("account", "a"), None)
    store.compact("", 9)
    assert store.reconcile("") == []
    refusal = reserve(store, "b", 1, slot=4)
    assert refusal == Refusal(0, Total(0, 0), 5)


def script(seed: int) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Give operations by chance: of any kind, on few calls, at amounts of one size."""
    chance = random.Random(seed)  # noqa: S311 -- no secret
    size = chance.choice([10, 10**6, 2**53, 2**58])
    slot = 0
    for _ in range(200):
        account, call = chance.choice(["a/1", "a/2", "a\n", "b"]), chance.choice("uvwxyz")
        amount, moment = chance.choice([0, 1, chance.randrange(size)]), float(chance.randrange(20))
        token = chance.choice(["", "1", "2|é", "3"])
        slot += chance.choice([0] * 9 + [1, 2])
        prefix, now = chance.choice(["", "a", "a/"]), max(0, slot - (chance.random() < 0.1))
        row = Entry(
            call, now, amount, "open", 0, 0, moment, chance.choice(["floor", "reserved"]), token
        )
        claims = [
            Claim(each, row, 2 * size, max(0, now - chance.choice([0, 3])))
            for each in chance.sample(["a/1", "a/2", "a\n", "b"], chance.choice([1, 1, 2, 3]))
        ]
        yield chance.choice(
            [
                *[("reserve", (claims,))] * 4,
                *[("dispatch", (Held(account, call, token), amount, 2 * moment))] * 2,
                *[("settle", (Held(account, call, token), amount))] * 2,
                *[("settle", (Held(account, call, token), None))] * 2,
                *[("refund", (account, call, chance.choice("pq"), chance.choice([1, amount])))] * 2,
                ("total", (account, chance.choice([COMPACTED, now]))),
                ("totals", (prefix, chance.choice([COMPACTED, now]), chance.choice([1, 5]))),
                ("entries", (prefix,)),
                ("reap", (prefix, moment)),
                ("compact", (prefix, slot - chance.choice([0, 2]))),
                ("reconcile", (prefix,)),
            ]
        )


def told(store: SpendStore, seed: int) -> Iterator[object]:
    """Do a script, and give every answer and the message of every conflict."""
    answer: Any
    for name, given in script(seed):
        try:
            if name == "dispatch":
                held, floor, expires = given
                answer = store.dispatch(held, floor=floor, expires=expires)
            else:
                answer = getattr(store, name)(*given)
        except StateConflict as error:
            answer = str(error)
        if name == "entries":  # a sum of nothing may be there or not
            answer = [each for each in answer if each[1].charged or each[1].state != "sum"]
        yield name, given, answer


@pytest.mark.parametrize("seeds", [range(10), pytest.param(range(500), marks=pytest.mark.slow)])
def test_all_stores_say_the_same(redis_url: str, tmp_path: Path, seeds: range) -> None:
    for seed in seeds:
        files = SqliteStore(tmp_path / f"{seed}.db")
        stores = (
            MemoryStore(),
            files,
            RedisStore.from_url(redis_url, prefix=f"same {seeds} {seed}:"),
        )
        for one, two, three in zip(*(told(each, seed) for each in stores), strict=True):
            assert one == two == three
        files.close()


@pytest.mark.parametrize("cap", [10**9, 10**12, 2**53, 2**53 + 1, 10**18, 2**60 - 1, 2**60])
def test_caps_are_exact_at_every_size(store: SpendStore, cap: int) -> None:
    chance = random.Random(cap)  # noqa: S311 -- no secret
    spent = 0
    for number in range(20):
        amount = chance.randrange(1, cap // 20)
        reserve(store, f"{number}", amount, cap=cap)
        spent += amount
        if number % 2:
            store.settle(Held("account", f"{number}"), amount)
    left = cap - spent
    assert isinstance(reserve(store, "last", left + 1, cap=cap), Refusal)
    assert isinstance(reserve(store, "last", left, cap=cap), list)
    assert sum(store.total("account", COMPACTED)) == cap
    assert isinstance(reserve(store, "more", 1, cap=cap), Refusal)


@pytest.fixture
def client(redis_url: str) -> Iterator[Redis]:
    redis = pytest.importorskip("redis")
    with redis.Redis.from_url(redis_url) as client:
        yield client


PREFIXES_THERE = count()


@pytest.fixture
def there(client: Redis) -> RedisStore:
    return RedisStore(client, prefix=f"spend {next(PREFIXES_THERE)}:")


def test_sums_are_exact_at_every_size(store: SpendStore) -> None:
    near = [10**9, 10**12, 10**13, 10**18, 2**31, 2**52, 2**53, 2**54, 2**60 - 2]
    amounts = [size + by for size in near for by in (-2, -1, 0, 1, 2)]
    for slot, amount in enumerate(amounts):
        reserve(store, f"{slot}", 2**60, slot=slot, cap=2**60)
        store.settle(Held("account", f"{slot}"), amount)
        store.refund("account", f"{slot}", "a part", amount // 3)
    charged = [amount - amount // 3 for amount in amounts]
    for oldest in range(len(amounts)):
        assert store.total("account", oldest) == Total(sum(charged[oldest:]), 0)
    store.compact("", 20)
    for oldest in range(len(amounts)):
        left = sum(charged[max(20, oldest) :])
        assert store.total("account", oldest) == Total(left, 0)
    assert store.total("account", COMPACTED) == Total(sum(charged), 0)
    assert store.reconcile("") == []


def test_in_redis_many_slots_are_one_sum(there: RedisStore) -> None:
    amounts = [10**11 + slot for slot in range(2500)]
    for slot, amount in enumerate(amounts, start=1):
        reserve(there, f"{slot}", amount, slot=slot, cap=2**60)
        there.settle(Held("account", f"{slot}"), amount)
    assert there.total("account", COMPACTED) == Total(sum(amounts), 0)
    assert there.total("account", 1001) == Total(sum(amounts[1000:]), 0)
    assert there.compact("", 2001) == 2000
    assert there.reconcile("") == []
    assert there.total("account", COMPACTED) == Total(sum(amounts), 0)


def test_redis_writes_nothing_that_it_cannot_count(there: RedisStore) -> None:
    import redis

    for number in range(7):
        reserve(there, f"{number}", 0, cap=2**63)
        there.settle(Held("account", f"{number}"), 2**60)
    reserve(there, "last", 0, cap=2**63)
    rows = there.entries("")
    with pytest.raises(redis.exceptions.ResponseError, match="overflow"):
        there.settle(Held("account", "last"), 2**60)
    assert there.entries("") == rows
    assert there.reconcile("") == []


def test_in_redis_the_sum_of_the_window_is_put_right_too(there: RedisStore, client: Redis) -> None:
    reserve(there, "a", 40)
    client.hincrby(f"{there._start.decode()}sums:account", "s", -1000)
    there.reconcile("")
    assert isinstance(reserve(there, "b", 61), Refusal)


def test_in_redis_a_lease_that_was_lost_is_found_again(there: RedisStore, client: Redis) -> None:
    reserve(there, "a", 40)
    client.delete(there._start + b"leases")
    assert there.reap("", 60.0) == 0
    there.reconcile("")
    assert there.reap("", 60.0) == 1


def test_in_redis_a_lease_without_its_row_is_dropped(there: RedisStore, client: Redis) -> None:
    reserve(there, "a", 40)
    client.delete(there._start + b"rows:account")
    assert there.reap("", 60.0) == 0
    assert not client.exists(there._start + b"leases")
