"""What writes to a ledger: one after the other, and after a crash where it left off."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlguard.arguments import refusal
from mlguard.errors import LedgerCorrupted
from mlguard.governance import private
from mlguard.governance.chain import (
    FORMAT,
    LARGEST,
    OURS,
    Receipt,
    fault,
    hash_of,
    line_of,
    place_of,
    signed,
    text_of,
)
from mlguard.governance.files import LogFiles, Tail, last_line, log_of, segment, segments, side
from mlguard.records import iso, library_version

if TYPE_CHECKING:
    from mlguard.protocols import Clock

_SAMPLE = 1000
"""How many bytes of what was torn are kept."""


class Writer:
    """Adds records to the files of a ledger. Not thread-safe: the lock of the ledger is held.

    Args:
        path: Of the ledger.
        keys: By their ids; the last one signs.
        every: Wait for the disk at every so many records; 0 for never.
        within: And where the last time is so many seconds ago.
        segment_bytes: Begin another segment when one is as large.
        clock: Of Unix seconds.
    """

    __slots__ = (
        "_clock", "_every", "_keys", "_log", "_segment_bytes", "_synced", "_unsynced", "_within",
        "files",
    )  # fmt: skip

    def __init__(
        self,
        path: Path,
        keys: dict[bytes, bytes],
        *,
        every: int,
        within: float,
        segment_bytes: int,
        clock: Clock,
    ) -> None:
        self.files = LogFiles(path)
        self._keys, self._clock = keys, clock
        self._every, self._within, self._segment_bytes = every, within, segment_bytes
        self._log = ""
        self._unsynced, self._synced = 0, clock()

    def __reduce__(self) -> tuple[Any, ...]:
        rest: dict[str, Any] = {"every": self._every, "within": self._within, "clock": self._clock}
        make = partial(Writer, **rest, segment_bytes=self._segment_bytes)
        return make, (self.files.path, self._keys)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other writers out, and know where the ledger ends."""
        with self.files.locked() as known:
            if not known:
                self._resume()
            yield

    def add(self, kind: str, text: str, values: private.Values | None = None) -> Receipt:
        """Add a record that is JSON already, in another segment where this one is full."""
        tail = self.files.tail
        if tail.size == 0 or tail.size >= self._segment_bytes:
            self.begin()
        return self._put(kind, text, values or {})

    def begin(self) -> None:
        """Begin the ledger, or another segment."""
        tail = self.files.tail
        if tail.size > 0:
            self.flush()
            tail = Tail(tail.segment + 1, 0, tail.seq, tail.hash)
            self.files.open(tail)
        if tail.seq < 0:
            self._log = secrets.token_hex(8)
        note = {
            "log": self._log,
            "format": FORMAT,
            "segment": tail.segment,
            "library": library_version(),
        }
        self._put(OURS + ("genesis" if tail.seq < 0 else "segment"), text_of(note), {})

    def _put(self, kind: str, text: str, values: private.Values) -> Receipt:
        now, tail, named = self._clock(), self.files.tail, ""
        self._unsynced += 1
        late = self._unsynced >= self._every or now - self._synced >= self._within
        sync = self._every > 0 and late
        if values:
            named = f'"private":{text_of(list(values))},'
        line, digest = line_of(
            tail.seq + 1,
            tail.hash,
            kind=kind,
            at=iso(now),
            record=text,
            private=named,
            keys=self._keys,
        )
        if len(line) > LARGEST:
            raise refusal("record", f"{len(line)} bytes", f"at most {LARGEST} bytes as a line")
        if values:  # first: what was acknowledged has its values
            private.add(side(self.files.path, "private"), tail.seq + 1, values, sync=sync)
        self.files.write(line, digest, sync=sync)
        if sync:
            self._unsynced, self._synced = 0, now
        return Receipt(tail.seq + 1, digest)

    def flush(self) -> None:
        """Wait until what was added is on the disk."""
        if self._unsynced:
            self.files.sync()
            self._unsynced, self._synced = 0, self._clock()

    def close(self, *, sync: bool) -> None:
        """Close the files; they are opened again when needed."""
        if sync and self._every:
            self.flush()
        self._unsynced = 0
        self.files.close()

    def _resume(self) -> None:
        """Find the end of what is there; what was torn or lost since is recorded."""
        path = self.files.path
        said = Tail.from_bytes(self.files.tip())
        tail, torn, line = _found(path)
        if line and signed(line) != bool(self._keys):
            has = (
                "has a key from its first record on" if signed(line) else "was begun without a key"
            )
            raise refusal("key", "a key" if self._keys else None, f"as the ledger, which {has}")
        self._log = log_of(path) or ""
        self.files.open(tail)
        private.forget_after(side(path, "private"), tail.seq)
        lost = (
            said is not None
            and said.seq >= tail.seq
            and (said.seq, said.hash) != (tail.seq, tail.hash)
        )
        if torn or lost:
            note: dict[str, Any] = {"ends": tail.seq, "hash": tail.hash}
            if lost and said is not None:
                note["tip"] = {"seq": said.seq, "hash": said.hash}
            if torn:
                words = torn[:_SAMPLE].decode("utf-8", "backslashreplace")
                note["torn"] = {
                    "bytes": len(torn),
                    "sha256": sha256(torn).hexdigest(),
                    "text": words,
                }
            self.add(OURS + "recovered", text_of(note))


def _found(path: Path) -> tuple[Tail, bytes, bytes]:
    """Give the end of what is there, what is torn off behind it, and the last line."""
    numbers = segments(path) or [1]
    torn = b""
    for number in reversed(numbers):
        file = segment(path, number)
        line, rest = last_line(file) if file.exists() else (b"", b"")
        torn = rest + torn
        if line:
            seq, digest = end_of(line, f"the last line of {file.name}")
            size = file.stat().st_size - len(rest) if number == numbers[-1] else 0
            return Tail(numbers[-1], size, seq, digest), torn, line
    return Tail(numbers[-1]), torn, b""


def end_of(line: bytes, where: str) -> tuple[int, str]:
    """Give number and hash of a line after which one may go on.

    Raises:
        LedgerCorrupted: It is not as a ledger has written it.
    """
    place = place_of(line)
    wrong = "is no record of a ledger" if place is None else fault(line, *place, {})
    if place is None or wrong:
        raise LedgerCorrupted(f"{where} {wrong}; verify() tells more")
    return place[0], hash_of(line)
