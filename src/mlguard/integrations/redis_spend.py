"""Spend in Redis: the scripts decide as the rules of `mlguard.stores.spend` do, and write.

A script gives the row that it found; here, the rule then makes of it what the script wrote, or the
error for what it refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlguard.integrations import redis_scripts as scripts
from mlguard.integrations import redis_sweeps as sweeps
from mlguard.stores import spend
from mlguard.stores.spend import Difference, Entry, Granted, Refusal, Total

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis import Redis

    from mlguard.stores.spend import Claim, Held


class RedisSpend:
    """Spend in Redis; see `Spend`. Thread-safe.

    Every method is one script, so the server answers nobody else meanwhile: `entries` and
    `reconcile` read all rows of a prefix, in about 3 µs each, and so long takes `compact` for each
    row that goes. Rows stay until they are compacted.
    """

    __slots__ = (
        "_compact",
        "_dispatch",
        "_entries",
        "_reap",
        "_reconcile",
        "_refund",
        "_reserve",
        "_settle",
        "_shared",
        "_start",
        "_total",
        "_totals",
    )

    def __init__(self, client: Redis, start: bytes) -> None:
        self._start = start
        self._shared = [start + b"accounts", start + b"leases"]
        self._reserve: Any = client.register_script(scripts.RESERVE)
        self._dispatch: Any = client.register_script(scripts.DISPATCH)
        self._settle: Any = client.register_script(scripts.SETTLE)
        self._refund: Any = client.register_script(scripts.REFUND)
        self._total: Any = client.register_script(scripts.TOTAL)
        self._totals: Any = client.register_script(sweeps.TOTALS)
        self._entries: Any = client.register_script(sweeps.ENTRIES)
        self._reap: Any = client.register_script(sweeps.REAP)
        self._compact: Any = client.register_script(sweeps.COMPACT)
        self._reconcile: Any = client.register_script(sweeps.RECONCILE)

    def reserve(self, claims: Sequence[Claim], /) -> list[Granted] | Refusal:
        """Reserve all or none of the claims; see `Spend.reserve`."""
        arguments: list[bytes | str | int] = []
        for account, entry, cap, oldest in claims:
            arguments += [account.encode(), entry.id.encode(), _packed(entry), cap, oldest]
        done, looked = self._reserve(self._keys(*(each.account for each in claims)), arguments)
        granted = []
        for place, (there, newest, *sums, left) in enumerate(looked):
            entry, total = claims[place].entry, _total(sums)
            found = spend.reserved(_row(entry.id, there), entry, was_left=left == 1)
            if found is None and not done and place == len(looked) - 1:
                behind = newest is not None and int(newest) > entry.slot
                return Refusal(place, total, int(newest) if behind else None)
            granted.append(Granted(found or entry, *total))
        return granted

    def dispatch(self, held: Held, /, *, floor: int, expires: float) -> Entry:
        """Note that the call went out; see `Spend.dispatch`."""
        found = self._found(self._dispatch, held, floor, float(expires))
        return spend.dispatched(found, held, floor, expires)

    def settle(self, held: Held, actual: int | None, /) -> Entry:
        """Charge what the call cost; None leaves it unsettled. See `Spend.settle`."""
        if actual is None:
            return spend.unsettled(self._found(self._settle, held, ""), held)
        return spend.settled(self._found(self._settle, held, actual), held, actual)

    def refund(self, account: str, call: str, refund_id: str, amount: int, /) -> Entry:
        """Take back a part of what was settled; see `Spend.refund`."""
        wanted = spend.refund_of(call, refund_id, amount)
        arguments = wanted.id.encode(), _packed(wanted), amount
        there, before = self._on_call(self._refund, account, call, *arguments)
        back = int(there.split(b"|", 8)[7]) if there else 0
        return spend.refunded(_row(call, there), _row(wanted.id, before), back, wanted)

    def total(self, account: str, oldest: int, /) -> Total:
        """Give what an account holds, from a slot on."""
        return _total(self._total(self._keys(account), [oldest]))

    def totals(self, prefix: str, oldest: int, most: int, /) -> list[tuple[str, Total]]:
        """Give the accounts that spent the most; see `Spend.totals`."""
        books = self._on_all(self._totals, prefix, oldest)
        found = [(account.decode(), _total(sums)) for account, *sums in books]
        held = [each for each in found if any(each[1])]
        return sorted(held, key=lambda each: (-each[1].spent, each[0]))[:most]

    def entries(self, prefix: str, /) -> list[tuple[str, Entry]]:
        """Give the rows; see `Spend.entries`."""
        return sorted(
            (account.decode(), _entry(call.decode(), there))
            for account, flat in self._on_all(self._entries, prefix)
            for call, there in zip(flat[::2], flat[1::2], strict=True)
        )

    def reap(self, prefix: str, now: float, /) -> int:
        """Leave unsettled what no lease holds any more; see `Spend.reap`."""
        return int(self._on_all(self._reap, prefix, float(now)))

    def compact(self, prefix: str, before: int, /) -> int:
        """Sum up what is over; see `Spend.compact`."""
        return int(self._on_all(self._compact, prefix, before, _packed(spend.sum_of(0))))

    def reconcile(self, prefix: str, /) -> list[Difference]:
        """Count anew from the rows; see `Spend.reconcile`."""
        return sorted(
            Difference(account.decode(), slot, Total(*sums[:2]), Total(*sums[2:]))
            for account, *numbers in self._on_all(self._reconcile, prefix)
            for slot, *sums in [map(int, numbers)]
        )

    def _found(self, script: Any, held: Held, *arguments: Any) -> Entry | None:
        account, call, token = held
        there, name = self._on_call(script, account, call, token.encode(), *arguments)
        return _row(name.decode(), there)

    def _on_call(self, script: Any, account: str, call: str, *arguments: Any) -> Any:
        return script(self._keys(account), [account.encode(), call.encode(), *arguments])

    def _on_all(self, script: Any, prefix: str, *arguments: Any) -> Any:
        return script(self._shared, [self._start, prefix.encode(), *arguments])

    def _keys(self, *accounts: str) -> list[bytes]:
        kinds = (b"rows:", b"sums:", b"slots:", b"ids:")
        places = [self._start + kind + name.encode() for name in accounts for kind in kinds]
        return self._shared + places


def _packed(entry: Entry) -> str:
    _, *numbers, expires, rule, token = entry
    return "|".join(map(str, (*numbers, float(expires), rule, 0, token)))


def _row(call: str, there: bytes | None) -> Entry | None:
    return None if there is None else _entry(call, there)


def _entry(call: str, there: bytes) -> Entry:
    fields: list[Any] = there.decode().split("|", 8)
    slot, reserved, state, charged, floor, expires, rule, _, token = fields
    numbers = int(slot), int(reserved), state, int(charged), int(floor), float(expires)
    return Entry(call, *numbers, rule, token)


def _total(sums: Sequence[tuple[int, int]]) -> Total:
    return Total(*(billions * 10**9 + rest for billions, rest in sums))
