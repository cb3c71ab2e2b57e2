"""Sliding windows as rings of integer slots."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from mlguard.arguments import refusal, whole
from mlguard.sketches.buckets import MOST

if TYPE_CHECKING:
    from collections.abc import Callable


class Summed(Protocol):
    """Integers that add up, true if any is not zero: `Counts`, `Tally`."""

    def __bool__(self) -> bool: ...

    def add(self, *amount: Any) -> None:
        """Count more."""
        ...

    def packed(self) -> Any:
        """Give them in a small form."""
        ...

    def put(self, packed: Any, /) -> None:
        """Add what `packed` gave."""
        ...

    def read(self, packed: Any, /) -> Any:
        """Read from plain JSON what `packed` gave, or raise a ValueError."""
        ...

    def take(self, packed: Any, /) -> None:
        """Subtract what was added before."""
        ...


class Tally:
    """A few integers. Not thread-safe. Mergeable: `put` and `take` are exact."""

    __slots__ = ("values",)

    def __init__(self, size: int) -> None:
        self.values = [0] * size

    def __bool__(self) -> bool:
        return any(self.values)

    def packed(self) -> tuple[int, ...]:
        """Give them as a tuple."""
        return tuple(self.values)

    def read(self, packed: Sequence[int], /) -> tuple[int, ...]:
        """Read from plain JSON what `packed` gave."""
        if len(packed) != len(self.values):
            raise refusal("slots", packed, f"{len(self.values)} numbers")
        if max(packed, default=0) > MOST:
            raise refusal("slots", packed, f"at most {MOST:,}")
        return tuple(whole("slots", each) for each in packed)

    def add(self, *amount: int) -> None:
        """Add integers."""
        self.values = [value + more for value, more in zip(self.values, amount, strict=True)]

    def put(self, packed: Iterable[int], /) -> None:
        """Add what `packed` gave."""
        self.add(*packed)

    def take(self, packed: Iterable[int], /) -> None:
        """Subtract what was added before."""
        self.add(*(-value for value in packed))


S = TypeVar("S", bound=Summed)


def sliding(slots: int) -> Callable[[int], int]:
    """Give what tells a ring the oldest of so many slots that slide along."""
    return lambda newest: newest - slots + 1


class Ring(Generic[S]):
    """Integers by slot of time, with their total over the slots of a window.

    Not thread-safe: whoever holds it locks it. Mergeable: `put` is exact in any order.

    Slots are numbered in Unix time, so that rings of several hosts and boots merge. A slot that is
    over is kept packed; when it leaves the window it is subtracted from the total, which is exact
    for integers. Each slot says whether anybody was there to watch it.

    Args:
        make: Makes the integers of a slot, all zero.
        width: Of a slot, in seconds.
        oldest: Gives the oldest slot of the window that a slot ends.
        at: Unix seconds now.

    Attributes:
        newest: Number of the slot that counts now.
        oldest: Number of the oldest slot of the window.
        watched: Bit i is set if slot `newest - i` was watched.
        total: Sum over the slots of the window.
    """

    __slots__ = (
        "_closed",
        "_current",
        "_make",
        "_oldest",
        "newest",
        "oldest",
        "total",
        "watched",
        "width",
    )

    def __init__(
        self, make: Callable[[], S], width: float, oldest: Callable[[int], int], at: float
    ) -> None:
        self._make = make
        self._oldest = oldest
        self.width = width
        self.newest = math.floor(at / width)
        self.oldest = oldest(self.newest)
        self.clear()

    def clear(self) -> None:
        """Forget every count, and who watched."""
        self._closed: dict[int, Any] = {}
        self._current, self.total = self._make(), self._make()
        self.watched = 0

    @property
    def end(self) -> float:
        """When the newest slot is over, in Unix seconds."""
        return (self.newest + 1) * self.width

    def covers(self, at: float) -> float:
        """How many seconds of the window were watched until `at`, to the width of a slot."""
        return max(0.0, self.watched.bit_count() * self.width - max(0.0, self.end - at))

    def read(self, packed: Any) -> Any:
        """Read a packed slot from plain JSON."""
        return self._make().read(packed)

    def add(self, *amount: Any) -> None:
        """Count in the newest slot."""
        self._current.add(*amount)
        self.total.add(*amount)

    def advance(self, at: float, *, watched: bool) -> None:
        """Move the window to `at`; `watched` says whether the time since the last move was watched.

        Backwards, what was counted in later slots is taken as of the newest one: a clock that is
        set back neither loses a count nor keeps it longer than one window.
        """
        newest = math.floor(at / self.width)
        if newest != self.newest:
            oldest = self._oldest(newest)
            length = newest - oldest + 1
            if newest > self.newest:
                self._close()
                steps = min(newest - self.newest, length)
                self.watched = (self.watched << steps) | ((1 << steps) - 1 if watched else 0)
            else:
                self._fold(newest)
            self.watched &= (1 << length) - 1
            self.newest, self.oldest = newest, oldest
            while self._closed and (number := next(iter(self._closed))) < oldest:
                self.total.take(self._closed.pop(number))
        self.watched |= watched

    def _close(self) -> None:
        if self._current:
            self._closed[self.newest] = self._current.packed()
            self._current = self._make()

    def _fold(self, newest: int) -> None:
        for number in [each for each in self._closed if each >= newest]:
            self._current.put(self._closed.pop(number))
        self.watched >>= self.newest - newest

    def slots(self) -> Iterator[tuple[int, Any]]:
        """Give each slot that holds something, packed, oldest first."""
        yield from self._closed.items()
        if self._current:
            yield self.newest, self._current.packed()

    def since(self, oldest: int) -> S:
        """Give the sum over the slots from `oldest` on."""
        total = self._make()
        for number, packed in self.slots():
            if number >= oldest:
                total.put(packed)
        return total

    def put(self, slots: Iterable[tuple[int, Any]], newest: int, watched: int) -> None:
        """Merge the slots of another ring, whose bits of `watched` count back from `newest`.

        Those older than the window are left out; those newer than its newest slot count in it.
        """
        merged: dict[int, S] = {}
        for number, packed in slots:
            if number < self.oldest:
                continue
            self.total.put(packed)
            if number >= self.newest:
                self._current.put(packed)
            else:
                merged.setdefault(number, self._make()).put(packed)
        for number, summed in merged.items():
            if number in self._closed:
                summed.put(self._closed[number])
            self._closed[number] = summed.packed()
        self._closed = dict(sorted(self._closed.items()))
        length = self.newest - self.oldest + 1
        behind = min(self.newest - newest, length)
        shifted = watched << behind if behind >= 0 else watched >> -behind
        self.watched |= shifted & ((1 << length) - 1)
