"""An append-only trail that tells when it was changed."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal, Self

from mlguard.arguments import choice, moment, name_of, refusal, seconds, whole
from mlguard.clocks import unix_clock
from mlguard.errors import MlguardError
from mlguard.governance import private, reading
from mlguard.governance.chain import OURS, Anchor, Receipt, anchors_of, content_of, keys_of, text_of
from mlguard.governance.files import (
    last_line,
    lines,
    log_of,
    path_of,
    segment,
    segments,
    side,
    snapshot,
    sync_folder,
)
from mlguard.governance.verification import verified
from mlguard.governance.writing import Writer, end_of
from mlguard.locks import Locked
from mlguard.records import iso

if TYPE_CHECKING:
    import pandas as pd

    from mlguard.governance.reading import Entry
    from mlguard.governance.verification import Verification
    from mlguard.protocols import Clock


class Ledger(Locked):
    """An append-only file of JSON lines, each bound to all before it by a hash.

    Thread-safe, and safe to fork. Any number of threads and processes of one machine may append to
    one file, which must be on a local disk; pods without one write a file each, and `verify_all`
    looks at all of them. `append` fits wherever a sink does: `sinks=[ledger.append]`.

    What is found, and by what: the chain alone finds bytes that were edited, and records that were
    inserted, deleted, doubled or swapped. A key also finds a rewrite by who has not got it, when it
    is verified with it. Only an anchor, kept where the writer of the file cannot write, finds a cut
    end, an older copy put back and a ledger deleted and begun anew, and a rewrite by who has the
    key. Nothing here prevents a change.

    Args:
        path: Of the first file. Those beside it have its name and more: `.000002` the next segment,
            `.tip` the end, under whose lock all write, and `.private` the values of personal
            fields. Nothing is made before the first append.
        key: A secret of at least 16 bytes, with which each record is signed (HMAC-SHA256). Several,
            to change it: the last one signs, and all verify. A ledger has one from its first record
            on, or never.
        sync: Whether `append` waits for the disk: "always", or "batch", where the records since the
            last time may be lost when the power fails, or "never". A killed process loses nothing
            that was acknowledged, whichever it is.
        batch: With "batch", wait for the disk at every so many records;
        within: and where the last time is so long ago. It is looked at when something is appended;
            nothing runs in between.
        segment_bytes: Begin another file when one is as large.
        keep: `prune` refuses to delete what is younger.
        clock: Of Unix seconds, `mlguard.clocks.unix_clock()` by default.

    Raises:
        ConfigurationError: An argument is not usable.

    Examples:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder, Ledger(f"{folder}/audit.jsonl") as ledger:
        ...     receipt = ledger.append({"kind": "retrained", "who": "nightly", "why": "drift"})
        ...     anchor = ledger.anchor()
        ...     receipt = ledger.append({"kind": "promoted", "who": "ada"})
        ...     print(ledger.verify(anchor=anchor))
        ...     print([entry.kind for entry in ledger])
        intact: 3 records, 0 to 2; complete up to anchor 1, unanchored tail of 1; \
no key, so a forged rewrite would be seen by an anchor alone
        ['ledger.genesis', 'retrained', 'promoted']
    """

    __slots__ = ("_clock", "_closed", "_keep", "_keys", "_writer", "path")

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        key: bytes | Iterable[bytes] | None = None,
        sync: Literal["always", "batch", "never"] = "batch",
        batch: int = 64,
        within: float | timedelta = 1.0,
        segment_bytes: int = 64 << 20,
        keep: float | timedelta = timedelta(days=183),
        clock: Clock | None = None,
    ) -> None:
        super().__init__()
        self.path = path_of(path)
        self._keys = keys_of(key)
        self._keep = seconds("keep", keep)
        self._clock = unix_clock() if clock is None else clock
        each = {"always": 1, "batch": whole("batch", batch, least=1), "never": 0}
        self._writer = Writer(
            self.path,
            self._keys,
            every=each[choice("sync", sync, *each)],
            within=seconds("within", within),
            segment_bytes=whole("segment_bytes", segment_bytes, least=1),
            clock=self._clock,
        )
        self._closed = False

    def __repr__(self) -> str:
        return f"Ledger({str(self.path)!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[Entry]:
        return self.records()

    def _after_fork(self) -> None:
        super()._after_fork()
        self._writer.close(sync=False)  # its lock would be the parent's

    def append(self, record: Any, *, personal: Iterable[str] = ()) -> Receipt:
        """Write a record at the end, and give its number and hash.

        Args:
            record: A mapping that is plain JSON; or a value with `to_dict()`, such as a decision, a
                verdict or a waiver. Its "kind", if it has one, is that of the entry.
            personal: Fields whose values must be erasable later, such as ["who", "subject.user"].
                A record that has not got one of them is fine.

        Raises:
            ConfigurationError: It is not plain JSON, or larger than 1 MiB. Nothing was written.
            OSError: The disk is full, say, or the file may not be written to. Nothing was written.
            LedgerCorrupted: The last record of the file is not one that a ledger has written.
            MlguardError: The ledger is closed.
        """
        content = record.to_dict() if hasattr(record, "to_dict") else record
        if not isinstance(content, Mapping):
            raise refusal("record", record, "a mapping of plain JSON, or a value with to_dict()")
        text = text_of(dict(content))
        kind = content.get("kind", "record")
        if not isinstance(kind, str) or kind.startswith(OURS):
            raise refusal("record['kind']", kind, f"a string that does not begin with {OURS!r}")
        values: private.Values = {}
        if personal:
            content, values = private.committed(json.loads(text), personal)
            text = text_of(content)
        with self._writing():
            return self._writer.add(kind, text, values)

    def rotate(self) -> None:
        """Begin another segment, so that `prune` may delete the one before."""
        with self._writing():
            if self._writer.files.tail.seq >= 0:
                self._writer.begin()

    def redact(self, seq: int, *, why: str) -> Receipt:
        """Erase the values of the personal fields of a record, and append that it was done.

        The chain still verifies: it holds only a commitment, which without its salt says nothing.
        Copies of the file `.private` are yours to erase. It reads the ledger up to the record.

        Raises:
            ConfigurationError: There is no such record, or it has no personal fields.
        """
        number, reason = whole("seq", seq), name_of("why", why)
        entry = next((each for each in self.records() if each.seq >= number), None)
        if entry is None or entry.seq != number or not entry.private:
            raise refusal("seq", seq, "the number of a record that has personal fields")
        note = {"seq": number, "fields": list(entry.private), "why": reason}
        with self._writing():
            private.keep(side(self.path, "private"), lambda each: each != number)
            return self._writer.add(OURS + "redacted", text_of(note))

    def prune(self, before: float | datetime) -> list[str]:
        """Delete the segments whose records are all older, and append that it was done.

        The record keeps the hash to continue from, so what is left still verifies. The segment that
        is being written stays: call `rotate()` first.

        Returns:
            The names of the files that were deleted.

        Raises:
            ConfigurationError: `before` is within the time that records must be kept.
        """
        end, now = moment("before", before), self._clock()
        if end > now - self._keep:
            allowed = f"at least {self._keep / 86_400:g} days ago, as keep= says"
            raise refusal("before", iso(end), allowed)
        with self._writing():
            gone: list[dict[str, Any]] = []
            for number in segments(self.path):
                file = segment(self.path, number)
                if number == self._writer.files.tail.segment or not _all_before(file, end):
                    break
                line, _ = last_line(file)
                last = content_of(line, file.name)
                gone.append({"file": file.name, "through": last["seq"], "hash": last["hash"]})
            if gone:
                self._writer.add(OURS + "pruned", text_of({"before": iso(end), "segments": gone}))
                self._writer.files.sync()
                last_seq = gone[-1]["through"]
                private.keep(side(self.path, "private"), lambda each: each > last_seq)
                for each in gone:
                    self.path.with_name(each["file"]).unlink()
                sync_folder(self.path.parent)
        return [each["file"] for each in gone]

    def anchor(self) -> str:
        """Give one line that proves later that everything up to now was there.

        Keep it where who writes the file cannot write: a ticket, a git tag, an object store. It
        waits for the disk first.

        Raises:
            ConfigurationError: There is no record yet.
            LedgerCorrupted: The last line is not one that a ledger has written.
        """
        self.flush()
        log = log_of(self.path)
        with snapshot(self.path) as (files, _):
            line = next(
                (found for file, _ in reversed(files) if (found := last_line(file)[0])), None
            )
        if line is None or log is None:
            raise refusal("path", str(self.path), "that of a ledger with at least one record")
        seq, digest = end_of(line, "the last line")
        return str(Anchor(log, seq, digest, self._clock()))

    def verify(self, anchor: str | None = None) -> Verification:
        """Go through all records and tell whether they are as they were written.

        It writes nothing, takes constant memory, and looks at what was there when it began.

        Args:
            anchor: What `anchor()` gave, one line or several.

        Raises:
            ConfigurationError: The anchor is none.
        """
        return verified(self.path, self._keys, anchors_of(anchor))

    def records(
        self,
        *,
        kind: str | None = None,
        subject: Mapping[str, object] | None = None,
        since: float | datetime | None = None,
        until: float | datetime | None = None,
        reveal: bool = False,
    ) -> Iterator[Entry]:
        """Give the entries that were there when it began, the oldest first; it does not verify.

        Args:
            kind: Only of this kind.
            subject: Only those whose "subject" has these labels, such as {"model": "delays"}.
            since: Only those appended then or later.
            until: Only those appended before.
            reveal: Put the values of personal fields in the place of their commitments.

        Raises:
            ConfigurationError: A filter is not usable.
            LedgerCorrupted: A line cannot be read.
        """
        return reading.entries(
            self.path, kind=kind, subject=subject, since=since, until=until, reveal=reveal
        )

    def export(
        self,
        stream: IO[str],
        *,
        format: Literal["json", "csv"] = "json",  # noqa: A002 -- what everybody calls it
        **filters: Any,
    ) -> None:
        """Write entries as a JSON array or as CSV; the filters are those of `records`."""
        choice("format", format, "json", "csv")
        write = reading.write_json if format == "json" else reading.write_csv
        write(self.records(**filters), stream)

    def to_frame(self, **filters: Any) -> pd.DataFrame:
        """Give a pandas data frame of entries; the filters are those of `records`."""
        return reading.frame_of(self.records(**filters))

    def flush(self) -> None:
        """Wait until all that this ledger has appended is on the disk."""
        with self._lock:
            self._writer.flush()

    def close(self) -> None:
        """Wait for the disk, unless `sync` is "never", and close the files: no more appends."""
        with self._lock:
            self._writer.close(sync=True)
            self._closed = True

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with self._lock:
            if self._closed:
                raise MlguardError(f"the ledger {self.path.name} is closed")
            with self._writer.locked():
                yield


def _all_before(file: Path, end: float) -> bool:
    found = (content_of(line, file.name)["at"] for line in lines(file, file.stat().st_size))
    return all(datetime.fromisoformat(at).timestamp() < end for at in found)
