"""Is a ledger as it was written? As far as its chain, a key and an anchor can tell."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlguard.arguments import refusal
from mlguard.errors import LedgerCorrupted
from mlguard.governance import private
from mlguard.governance.chain import (
    FORMAT,
    OURS,
    START,
    Anchor,
    anchors_of,
    content_of,
    fault,
    hash_of,
    is_plain,
    keys_of,
    place_of,
)
from mlguard.governance.files import Tail, ledgers, lines, log_of, path_of, side, snapshot
from mlguard.records import plain


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What a ledger looks like: `intact`, and `reason` in words.

    Attributes:
        intact: Nothing is wrong as far as the chain, and the key and the anchor where they were
            given, can tell. It is false where there is no record at all: a ledger that was deleted
            looks like one that was never begun.
        reason: What is wrong and where, or what has been checked and what could not be seen.
        records: How many were found right, one after the other.
        last: Number of the last of them; -1 where there is none.
        hash: Of the last of them.
        complete_to: Number of the newest record that an anchor has confirmed: up to it nothing is
            missing. None without an anchor.
        tail: How many records come after that, unanchored.
        recovered: How often a torn or lost end was found and recorded.
        segment: Name of the file where it breaks; None where it is intact.
        line: Number of the line there, from 1.
        seq: Number that the record there should have.
    """

    intact: bool
    reason: str
    records: int = 0
    last: int = -1
    hash: str = START
    complete_to: int | None = None
    tail: int = 0
    recovered: int = 0
    segment: str | None = None
    line: int | None = None
    seq: int | None = None

    def __str__(self) -> str:
        return self.reason

    def to_dict(self) -> dict[str, Any]:
        """Give plain JSON."""
        return {name: plain(getattr(self, name), name) for name in self.__slots__}


class _Broken(Exception):  # noqa: N818 -- reads as what happened
    """What is wrong with a ledger, and maybe where."""


class _Walk:
    """Goes through the lines of a ledger, in constant memory."""

    __slots__ = (
        "anchors", "before", "confirmed", "disclosed", "first", "gone", "head", "keys",
        "line", "log", "missing", "recovered", "segment", "seq",
    )  # fmt: skip

    def __init__(self, path: Path, keys: dict[bytes, bytes], anchors: list[Anchor]) -> None:
        self.keys, self.anchors = keys, list(anchors)
        self.disclosed = private.Disclosure(side(path, "private"))
        self.seq, self.before, self.first = 0, START, 0
        self.log: str | None = None
        self.head: tuple[int, str] | None = None
        self.missing: dict[int, list[str]] = {}
        self.confirmed: int | None = None
        self.recovered, self.line = 0, 0
        self.segment: str | None = None
        self.gone = False

    def through(self, files: list[tuple[Path, int]]) -> None:
        """Take every line in."""
        for file, size in files:
            self.segment, self.line = file.name, 0
            for line in lines(file, size):
                self.line += 1
                if self.seq == self.first == 0 and self.log is None:
                    self._begin(line)
                if wrong := fault(line, self.seq, self.before, self.keys):
                    torn = file == files[-1][0] and not line.endswith(b"\n")
                    raise _Broken(_TORN.format(len(line)) if torn else wrong)
                self.before = hash_of(line)
                if self.line == 1 or not is_plain(line):
                    self._understand(line)
                if self.anchors and self.anchors[0].seq <= self.seq:
                    self._confirm()
                self.seq += 1
        self.segment = None

    def _begin(self, line: bytes) -> None:
        """Take up a chain whose first records were pruned: a later record must say so."""
        place = place_of(line)
        if place is not None and place[0] > 0:
            self.seq, self.before = place
            self.first = self.seq
            self.head = self.seq - 1, self.before

    def _understand(self, line: bytes) -> None:
        try:
            self._read(content_of(line, "it"))
        except (LedgerCorrupted, LookupError, TypeError, AttributeError, ValueError):
            raise _Broken("is no record that a ledger writes: it was forged") from None

    def _read(self, content: dict[str, Any]) -> None:
        record, kind = content["record"], content["kind"]
        if self.line == 1:
            self._open(kind, record)
        elif kind == OURS + "recovered":
            self.recovered += 1
        elif kind == OURS + "pruned":
            if self.head in [(each["through"], each["hash"]) for each in record["segments"]]:
                self.head = None
        elif kind == OURS + "redacted":
            self.missing.pop(record["seq"], None)
        if "private" in content and (gone := self.disclosed.reveal(content)[1]):
            self.missing[self.seq] = gone

    def _open(self, kind: str, record: dict[str, Any]) -> None:
        if kind != OURS + ("genesis" if self.seq == 0 else "segment"):
            raise _Broken("is not what a segment begins with")
        if record["format"] != FORMAT:
            raise _Broken(f"is of format {record['format']}; this mlguard reads {FORMAT}")
        if self.log not in {None, record["log"]}:
            raise _Broken("belongs to another ledger")
        self.log = str(record["log"])
        for anchor in self.anchors:
            if anchor.log != self.log:
                raise _Broken(f"an anchor is of the ledger {anchor.log}, this is {self.log}")

    def _confirm(self) -> None:
        while self.anchors and self.anchors[0].seq <= self.seq:
            anchor = self.anchors.pop(0)
            if anchor.seq == self.seq and anchor.hash != self.before:
                raise _Broken(f"record {self.seq} is not the one that its anchor has seen")
            if anchor.seq == self.seq:
                self.confirmed = self.seq
            elif (
                self.head is not None
                and anchor.seq == self.first - 1
                and anchor.hash == self.head[1]
            ):
                self.confirmed = anchor.seq
            else:
                self.gone = True

    def end(self, tip: Tail | None) -> None:
        """Look at what only the end can tell."""
        last = self.seq - 1
        if self.log is None:
            raise _Broken("no record is there: it was never begun, or all was deleted")
        if self.head is not None:
            raise _Broken(
                f"the records up to {self.head[0]} are gone, and none says they were pruned"
            )
        if tip is not None and (tip.seq > last or (tip.seq == last and tip.hash != self.before)):
            raise _Broken(
                f"it ends with record {last}, but its tip says {tip.seq}: the end is cut or lost"
            )
        if self.anchors:
            seq = self.anchors[-1].seq
            raise _Broken(
                f"it ends with record {last}, but an anchor has seen {seq}: the end is cut"
            )
        if self.gone and self.confirmed is None:
            raise _Broken("what the anchor has seen was pruned: take a newer anchor")
        if self.missing:
            seq, fields = next(iter(self.missing.items()))
            raise _Broken(
                f"values of record {seq} are missing or changed, and none says they were redacted: "
                f"{', '.join(fields)}"
            )


_TORN = "{} bytes have no end: a write was cut off; the next append records it"


def verified(path: Path, keys: dict[bytes, bytes], anchors: list[Anchor]) -> Verification:
    """Go through a ledger and say what is wrong with it, at the first place."""
    walk = _Walk(path, keys, anchors)
    broken = None
    try:
        with snapshot(path) as (files, tip):
            walk.through(files)
            walk.end(tip)
    except _Broken as error:
        broken = str(error)
    last = walk.seq - 1
    count = walk.seq - walk.first
    there = walk.segment
    if broken is None:
        reason = _reach(walk, count)
    elif there is None:
        reason = f"broken: {broken}"
    else:
        reason = f"broken at line {walk.line} of {there}, record {walk.seq}: {broken}"
    return Verification(
        intact=broken is None,
        reason=reason,
        records=count,
        last=last,
        hash=walk.before,
        complete_to=walk.confirmed,
        tail=count if walk.confirmed is None else last - walk.confirmed,
        recovered=walk.recovered,
        segment=there,
        line=walk.line if there else None,
        seq=walk.seq if there else None,
    )


def _reach(walk: _Walk, count: int) -> str:
    last = walk.seq - 1
    words = [f"intact: {count} records, {walk.first} to {last}"]
    if walk.confirmed is None:
        words.append("no anchor, so a cut end or an older copy would not be seen")
    else:
        words.append(
            f"complete up to anchor {walk.confirmed}, unanchored tail of {last - walk.confirmed}"
        )
    if not walk.keys:
        words.append("no key, so a forged rewrite would be seen by an anchor alone")
    if walk.recovered:
        words.append(f"torn or lost ends recorded: {walk.recovered}")
    return "; ".join(words)


def verify_all(
    paths: Any, *, key: bytes | Iterable[bytes] | None = None, anchor: str | None = None
) -> dict[str, Verification]:
    r"""Verify several ledgers, such as one for each pod.

    Args:
        paths: Of the ledgers; or a folder, for all in it whose names end with `.jsonl`.
        key: As for `Ledger`.
        anchor: What `Ledger.anchor()` gave of any of them, a line each.

    Returns:
        What each looks like, by its path. An anchor of a ledger that is not there has a place of
        its own, `log …`: that ledger was deleted, or another one put in its place.

    Raises:
        ConfigurationError: A path is none, or the key or an anchor is not usable.

    Examples:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from mlguard.governance import Ledger, verify_all
        >>> with TemporaryDirectory() as folder:
        ...     anchors = []
        ...     for pod in ("a", "b"):
        ...         with Ledger(Path(folder) / f"{pod}.jsonl") as ledger:
        ...             receipt = ledger.append({"pod": pod})
        ...             anchors.append(ledger.anchor())
        ...     found = verify_all(folder, anchor="\n".join(anchors))
        >>> [each.intact for each in found.values()]
        [True, True]
    """
    keys, anchors = keys_of(key), anchors_of(anchor)
    if isinstance(paths, str | Path):
        if not Path(paths).is_dir():
            raise refusal("paths", paths, "a folder, or a sequence of paths")
        paths = ledgers(Path(paths))
    found = {}
    logs = set()
    for path in map(path_of, paths):
        log = log_of(path)
        logs.add(log)
        found[str(path)] = verified(path, keys, [each for each in anchors if each.log == log])
    for lost in sorted({each.log for each in anchors} - logs):
        reason = "broken: an anchor has seen this ledger, and it is not there"
        found[f"log {lost}"] = Verification(intact=False, reason=reason)
    return found
