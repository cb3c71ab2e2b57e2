"""The files of a ledger: its segments, and the tip under whose lock they are written.

The segments are `audit.jsonl`, `audit.jsonl.000002` and so on; a file never changes its name, so
who reads them misses none. The tip, `audit.jsonl.tip`, says where the last record ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from mlguard.arguments import refusal
from mlguard.governance.chain import LARGEST, START

if sys.platform == "win32":
    import msvcrt

    def _lock(file: int, *, alone: bool) -> None:  # noqa: ARG001 -- it knows no shared lock
        os.lseek(file, 1 << 30, os.SEEK_SET)
        msvcrt.locking(file, msvcrt.LK_LOCK, 1)

    def _unlock(file: int) -> None:
        os.lseek(file, 1 << 30, os.SEEK_SET)
        msvcrt.locking(file, msvcrt.LK_UNLCK, 1)
else:
    import fcntl

    def _lock(file: int, *, alone: bool) -> None:
        fcntl.flock(file, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)

    def _unlock(file: int) -> None:
        fcntl.flock(file, fcntl.LOCK_UN)


_BINARY = getattr(os, "O_BINARY", 0)
_TIP = 128
_NUMBERED = re.compile(r"\.(\d{6,})$")


@dataclass(frozen=True, slots=True)
class Tail:
    """Where the last record of a ledger stands and ends."""

    segment: int = 1
    size: int = 0
    seq: int = -1
    hash: str = START

    def to_bytes(self) -> bytes:
        """Write the tip, always as long, so that a full disk can still take it."""
        text = f"{self.segment} {self.size} {self.seq} {self.hash}"
        return text.encode().ljust(_TIP - 1) + b"\n"

    @classmethod
    def from_bytes(cls, tip: bytes) -> Tail | None:
        """Read a tip; None if it is none."""
        try:
            segment, size, seq, digest = tip.decode("ascii").split()
            return cls(int(segment), int(size), int(seq), digest)
        except ValueError:
            return None


def path_of(path: object) -> Path:
    """Read the path of a ledger."""
    allowed = "that of a file in a folder that is there"
    if not isinstance(path, str | os.PathLike) or not str(path) or "\0" in str(path):
        raise refusal("path", path, allowed)
    file = Path(path).absolute()  # the process may change its folder
    if file.is_dir() or not file.parent.is_dir() or _NUMBERED.search(file.name):
        raise refusal("path", path, allowed + ", without the number of a segment")
    return file


def segment(path: Path, number: int) -> Path:
    """Give the path of a segment."""
    return path if number == 1 else path.with_name(f"{path.name}.{number:06d}")


def segments(path: Path) -> list[int]:
    """Give the numbers of the segments that are there."""
    with os.scandir(path.parent) as there:
        names = [each.name for each in there if each.name.startswith(path.name)]
    numbered = (_NUMBERED.fullmatch(name, len(path.name)) for name in names)
    later = sorted(int(match[1]) for match in numbered if match)
    return [1, *later] if path.name in names else later


def ledgers(folder: Path) -> list[Path]:
    """Give the paths of the ledgers in a folder, those whose first segment is gone as well."""
    names = {_NUMBERED.sub("", each.name) for each in folder.iterdir()}
    return sorted(folder / name for name in names if name.endswith(".jsonl"))


def side(path: Path, what: str) -> Path:
    """Give the path of a file beside the ledger."""
    return path.with_name(f"{path.name}.{what}")


@contextmanager
def snapshot(path: Path) -> Iterator[tuple[list[tuple[Path, int]], Tail | None]]:
    """Give the segments with their sizes, and the tip, as they are while nobody writes."""
    try:
        tip = os.open(side(path, "tip"), os.O_RDONLY | _BINARY)
    except FileNotFoundError:  # a copy of the log alone
        yield _sizes(path), None
        return
    try:
        _lock(tip, alone=False)
        try:
            os.lseek(tip, 0, os.SEEK_SET)
            there = _sizes(path), Tail.from_bytes(os.read(tip, _TIP))
        finally:
            _unlock(tip)
    finally:
        os.close(tip)
    yield there


def _sizes(path: Path) -> list[tuple[Path, int]]:
    files = [segment(path, number) for number in segments(path)]
    return [(file, file.stat().st_size) for file in files]


def lines(file: Path, size: int) -> Iterator[bytes]:
    """Give the lines of a segment up to a size; the last one has no end where it is torn."""
    with file.open("rb", buffering=1 << 18) as stream:
        while size > 0:
            line = stream.readline(min(size, 2 * LARGEST))
            if not line:
                return
            size -= len(line)
            yield line


def last_line(file: Path) -> tuple[bytes, bytes]:
    """Give the last whole line of a segment, empty if there is none, and what is torn after it."""
    with file.open("rb") as stream:
        size = stream.seek(0, os.SEEK_END)
        reach = min(size, 1 << 14)
        while True:
            stream.seek(size - reach)
            block = stream.read(reach)
            whole, end, torn = block.rpartition(b"\n")
            _, newline, line = whole.rpartition(b"\n")
            if newline or reach == size:
                return line + end, torn
            reach = min(size, 4 * reach)


def log_of(path: Path) -> str | None:
    """Give the id of the ledger, as its first line says; None if there is none."""
    for number in segments(path):
        for line in lines(segment(path, number), 2 * LARGEST):
            try:
                return str(json.loads(line)["record"]["log"])
            except (ValueError, LookupError, TypeError, RecursionError):
                return None
    return None


class LogFiles:
    """The open files of one writer. Not thread-safe: the lock of its ledger is held."""

    __slots__ = ("_log", "_place", "_tip", "_written", "path", "tail")

    def __init__(self, path: Path) -> None:
        self.path = path
        self.tail = Tail()
        self._tip: int | None = None
        self._log: int | None = None
        self._place: tuple[int, int] | None = None
        self._written = b""

    def __del__(self) -> None:
        self.close()

    @contextmanager
    def locked(self) -> Iterator[bool]:
        """Keep other writers out; tells whether `tail` is still that of the files."""
        tip = self._take()
        try:
            yield self._unchanged()
        finally:
            _unlock(tip)

    def _take(self) -> int:
        place = side(self.path, "tip")
        while True:
            if self._tip is None:
                self._tip = os.open(place, os.O_RDWR | os.O_CREAT | _BINARY, 0o644)
            _lock(self._tip, alone=True)
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(place.stat(), os.fstat(self._tip)):
                    return self._tip
            _unlock(self._tip)  # another file stands there now: a lock on this one keeps nobody out
            self.close()

    def _unchanged(self) -> bool:
        if self._log is None or self.tip() != self._written:
            return False
        try:
            there = segment(self.path, self.tail.segment).stat()
        except FileNotFoundError:
            return False
        return (there.st_dev, there.st_ino) == self._place and there.st_size == self.tail.size

    def tip(self) -> bytes:
        """Read the tip."""
        assert self._tip is not None  # noqa: S101 -- the lock is held
        os.lseek(self._tip, 0, os.SEEK_SET)
        return os.read(self._tip, _TIP)

    def open(self, tail: Tail) -> None:
        """Go on after a record: open its segment, and cut what is torn off behind it."""
        self._close_log()
        place = segment(self.path, tail.segment)
        new = not place.exists()
        self._log = os.open(place, os.O_RDWR | os.O_CREAT | os.O_APPEND | _BINARY, 0o644)
        there = os.fstat(self._log)
        self._place = (there.st_dev, there.st_ino)
        if there.st_size > tail.size:
            os.ftruncate(self._log, tail.size)
        if new:
            sync_folder(self.path.parent)
        self.tail = tail

    def write(self, line: bytes, digest: str, *, sync: bool) -> None:
        """Add a line; when it fails, the segment is as it was.

        Raises:
            OSError: The disk is full, say.
        """
        assert self._log is not None and self._tip is not None  # noqa: S101, PT018
        before = self.tail
        tail = replace(before, size=before.size + len(line), seq=before.seq + 1, hash=digest)
        try:
            _write_all(self._log, line)
            if sync:
                os.fsync(self._log)
            self._written = tail.to_bytes()
            os.lseek(self._tip, 0, os.SEEK_SET)
            _write_all(self._tip, self._written)
        except BaseException as error:
            self._written = b""  # the next append looks at the files again
            with contextlib.suppress(OSError):
                os.ftruncate(self._log, before.size)
            if isinstance(error, OSError):
                error.filename = str(segment(self.path, before.segment))
                error.add_note(f"nothing was added to the ledger after record {before.seq}")
            raise
        self.tail = tail

    def sync(self) -> None:
        """Wait until what was written is on the disk."""
        if self._log is not None:
            os.fsync(self._log)

    def close(self) -> None:
        """Close the files; they are opened again when needed."""
        self._close_log()
        if self._tip is not None:
            os.close(self._tip)
            self._tip = None

    def _close_log(self) -> None:
        if self._log is not None:
            os.close(self._log)
            self._log = None


def _write_all(file: int, data: bytes) -> None:
    while data:
        data = data[os.write(file, data) :]


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk, where there is a way to."""
    if sys.platform != "win32":
        there = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(there)
        finally:
            os.close(there)
