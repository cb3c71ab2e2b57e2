"""Kill -9 at any point between a reservation and its settlement: no spend is lost, none is kept."""

from __future__ import annotations

import pickle
import random
import subprocess
import sys
from collections.abc import Callable
from textwrap import dedent

import pytest

from mlguard import MemoryStore
from mlguard.integrations.redis import RedisStore
from mlguard.stores.spend import COMPACTED, Entry, SpendStore

Fresh = Callable[[], tuple[Callable[[], SpendStore], Callable[[float], object]]]

LEASED = 100.0
CALLS = """
    import pickle, sys
    from itertools import count
    from mlguard.stores.spend import Claim, Entry, Held

    store, life = pickle.loads(bytes.fromhex(sys.argv[1]))(), sys.argv[2]
    if hasattr(store, "_client"):
        store._client.client_setname(life)
    for number in count():
        call, rule = f"{life}/{number}", ("floor", "reserved")[number % 2]
        row = Entry(call, 5, 1000, "open", 0, 0, 100.0, rule, life)
        store.reserve([Claim(account, row, 2**60, 3) for account in ("acme", "globex")])
        print("reserved", "acme", call, flush=True)
        print("reserved", "globex", call, flush=True)
        for account in ("acme", "globex"):
            store.dispatch(Held(account, call, life), floor=number, expires=100.0)
            print("dispatched", account, call, flush=True)
        for account in ("acme", "globex"):
            store.settle(Held(account, call, life), 2 * number)
            print("settled", account, call, flush=True)
"""


def killed(make: Callable[[], SpendStore], life: str, after: int) -> dict[tuple[str, str], str]:
    """Run calls in a process, kill it after so many steps, and give the last step of each."""
    command = [sys.executable, "-c", dedent(CALLS), pickle.dumps(make).hex(), life]
    lines = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for _ in range(after):
            lines.append(process.stdout.readline())
            assert lines[-1]
        process.kill()
        lines += process.stdout.readlines()
    steps = {}
    for line in lines:
        if line.endswith("\n"):
            step, account, call = line.split()
            steps[account, call] = step
    return steps


def wait_until_it_is_gone(store: SpendStore, life: str) -> None:
    """Wait until the server has read all that the process had sent before it was killed."""
    if isinstance(store, RedisStore):
        while any(client["name"] == life for client in store._client.client_list()):
            pass


def check(row: Entry | None, step: str, number: int) -> None:
    """Tell that a row says what was acknowledged, or the step after that, which was under way."""
    done = ("settled", 2 * number)
    left = ("left", number if number % 2 == 0 else 1000)
    assert row is not None
    assert (
        row[3:5]
        in {
            "reserved": [("released", 0), left],
            "dispatched": [left, done],
            "settled": [done],
        }[step]
    )


@pytest.mark.parametrize("kills", [10, pytest.param(200, marks=pytest.mark.slow)])
def test_a_killed_process_neither_loses_spend_nor_keeps_a_reservation(
    fresh: Fresh, kills: int
) -> None:
    make, _ = fresh()
    store = make()
    if isinstance(store, MemoryStore):
        pytest.skip("a process that is killed leaves nothing of its memory")
    chance = random.Random(kills)  # noqa: S311 -- no secret
    steps: dict[tuple[str, str], str] = {}
    for life in range(kills):
        steps |= killed(make, f"{life}", chance.randrange(1, 40))
        wait_until_it_is_gone(store, f"{life}")
        assert store.reap("", LEASED) in {0, 1, 2}
        rows = {(account, row.id): row for account, row in store.entries("")}
        for (account, call), step in steps.items():
            check(rows.get((account, call)), step, int(call.partition("/")[2]))
        for account, call in rows.keys() - steps.keys():  # reserved, and killed before it said so
            assert rows[account, call].state == "released"
            assert {("acme", call), ("globex", call)} <= rows.keys()
        assert store.reconcile("") == []
        for account in ("acme", "globex"):
            spent = sum(row.charged for (name, _), row in rows.items() if name == account)
            assert store.total(account, COMPACTED) == (spent, 0)
            assert store.total(account, 5) == (spent, 0)
    assert "settled" in steps.values()
