"""What stands in a ledger: filtered, and as JSON, CSV or a data frame."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from mlguard.arguments import moment, subject_of
from mlguard.governance.chain import content_of
from mlguard.governance.files import lines, side, snapshot
from mlguard.governance.private import Disclosure
from mlguard.records import iso

if TYPE_CHECKING:
    import pandas as pd

_COLUMNS = ("seq", "at", "kind", "subject", "record", "hash")


@dataclass(frozen=True, slots=True)
class Entry:
    """A record of a ledger and where it stands.

    Attributes:
        seq: Its number; the first of a ledger is 0.
        at: When it was appended, in Unix seconds.
        kind: The "kind" of the record, or "record"; the ledger's own begin with "ledger.".
        record: What was appended, as plain JSON. In the place of a personal field stands its
            commitment, or its value when that was asked for and is still there.
        private: The personal fields.
        hash: SHA-256 of its line.
    """

    seq: int
    at: float
    kind: str
    record: dict[str, Any]
    private: tuple[str, ...]
    hash: str

    def to_dict(self) -> dict[str, Any]:
        """Give plain JSON."""
        head = {"seq": self.seq, "at": iso(self.at), "kind": self.kind}
        return {**head, "record": self.record, "private": list(self.private), "hash": self.hash}


def entries(
    path: Path,
    *,
    kind: str | None = None,
    subject: Mapping[str, object] | None = None,
    since: float | datetime | None = None,
    until: float | datetime | None = None,
    reveal: bool = False,
) -> Iterator[Entry]:
    """Give what was appended until now and passes the filters, in order."""
    wanted = dict(subject_of({} if subject is None else subject))
    first = None if since is None else moment("since", since)
    end = None if until is None else moment("until", until)
    return _entries(path, kind, wanted, first, end, reveal=reveal)


def _entries(
    path: Path,
    kind: str | None,
    subject: dict[str, str],
    first: float | None,
    end: float | None,
    *,
    reveal: bool,
) -> Iterator[Entry]:
    disclosed = Disclosure(side(path, "private"))
    for content in _contents(path):
        at = datetime.fromisoformat(content["at"]).timestamp()
        if (
            (kind is None or content["kind"] == kind)
            and (first is None or at >= first)
            and (end is None or at < end)
        ):
            record = disclosed.reveal(content)[0] if reveal else content["record"]
            if not subject or _about(record, subject):
                private = tuple(content.get("private", ()))
                yield Entry(content["seq"], at, content["kind"], record, private, content["hash"])


def _contents(path: Path) -> Iterator[dict[str, Any]]:
    with snapshot(path) as (files, _):
        for file, size in files:
            for number, line in enumerate(lines(file, size), start=1):
                if line.endswith(b"\n"):  # else it is torn, and was not acknowledged
                    yield content_of(line, f"line {number} of {file.name}")


def _about(record: Mapping[str, Any], subject: Mapping[str, str]) -> bool:
    found = record.get("subject")
    return isinstance(found, Mapping) and all(
        name in found and str(found[name]) == value for name, value in subject.items()
    )


def write_json(found: Iterable[Entry], stream: IO[str]) -> None:
    """Write a JSON array, an entry on each line."""
    stream.write("[")
    for number, entry in enumerate(found):
        stream.write(",\n" if number else "\n")
        stream.write(json.dumps(entry.to_dict()))
    stream.write("\n]\n")


def write_csv(found: Iterable[Entry], stream: IO[str]) -> None:
    """Write a table whose columns `subject` and `record` hold JSON."""
    table = csv.writer(stream, lineterminator="\n")
    table.writerow(_COLUMNS)
    table.writerows(row for row in map(_row, found))


def _row(entry: Entry) -> tuple[object, ...]:
    subject, record = json.dumps(entry.record.get("subject")), json.dumps(entry.record)
    return entry.seq, iso(entry.at), entry.kind, subject, record, entry.hash


def frame_of(found: Iterable[Entry]) -> pd.DataFrame:
    """Give a data frame with a column for each field at the top of the records."""
    import pandas as pd  # noqa: PLC0415 -- it is slow to import

    rows = [
        {"seq": entry.seq, "at": entry.at, "kind": entry.kind}
        | {name: value for name, value in entry.record.items() if name not in {"seq", "at", "kind"}}
        | {"hash": entry.hash}
        for entry in found
    ]
    frame = pd.DataFrame(rows, columns=None if rows else ["seq", "at", "kind", "hash"])
    frame["at"] = pd.to_datetime(frame["at"], unit="s", utc=True)
    return frame
