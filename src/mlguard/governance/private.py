"""Personal fields: the chain holds a salted commitment, a file beside it the value.

The value can be erased and the chain still verifies. Without the salt a commitment says nothing,
not even to who guesses the value.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

from mlguard.arguments import name_of, refusal
from mlguard.governance.files import last_line

Values = dict[str, dict[str, Any]]
"""By dotted field: salt and value."""


def committed(record: Mapping[str, Any], fields: Iterable[str]) -> tuple[dict[str, Any], Values]:
    """Put commitments in the place of fields, in a copy; those that are not there stay so."""
    if isinstance(fields, str):
        raise refusal("personal", fields, "a sequence of fields, such as ['subject.user']")
    copy, values = dict(record), {}
    for field in fields:
        *path, last = name_of("personal", field).split(".")
        place = copy
        for step in path:
            inner = place.get(step)
            if not isinstance(inner, Mapping):
                break
            place[step] = place = dict(inner)
        else:
            if last in place:
                values[field] = {"salt": secrets.token_hex(16), "value": place[last]}
                place[last] = _commitment(values[field])
    return copy, values


def _commitment(entry: Mapping[str, Any]) -> str:
    value = json.dumps(entry["value"], sort_keys=True)
    return "sha256:" + sha256(f"{entry['salt']}{value}".encode()).hexdigest()


def add(file: Path, seq: int, values: Values, *, sync: bool) -> None:
    """Write the values of a record at the end of the file."""
    lines = "".join(
        json.dumps({"seq": seq, "field": field, **entry}) + "\n" for field, entry in values.items()
    )
    with open(file, "ab", opener=_for_the_owner) as stream:
        stream.write(b"\n" + lines.encode())  # what a crash has torn before it stays apart
        stream.flush()
        if sync:
            os.fsync(stream.fileno())


def _for_the_owner(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def entries(file: Path) -> Iterator[dict[str, Any]]:
    """Give what the file holds, in order of the records; what is torn is passed over."""
    with suppress(FileNotFoundError), file.open("rb") as stream:
        for line in stream:
            with suppress(ValueError, TypeError, LookupError):
                entry = json.loads(line)
                if type(entry["seq"]) is int:
                    yield {name: entry[name] for name in ("seq", "field", "salt", "value")}


def keep(file: Path, wanted: Any) -> None:
    """Erase the entries that are not wanted: the file is written anew and put in its place."""
    if not file.exists():
        return
    new = file.with_name(f"{file.name}.new")
    with open(new, "wb", opener=_for_the_owner) as stream:
        for entry in entries(file):
            if wanted(entry["seq"]):
                stream.write(json.dumps(entry).encode() + b"\n")
        stream.flush()
        os.fsync(stream.fileno())
    new.replace(file)


def forget_after(file: Path, seq: int) -> None:
    """Erase the values of records that were lost, or never written: their numbers come again."""
    if file.exists():
        line, _ = last_line(file)
        with suppress(ValueError, TypeError, LookupError):
            if json.loads(line)["seq"] > seq:
                keep(file, lambda each: each <= seq)


class Disclosure:
    """Finds the values of records that are gone through in order."""

    __slots__ = ("_next", "_rest")

    def __init__(self, file: Path) -> None:
        self._rest = entries(file)
        self._next = next(self._rest, None)

    def reveal(self, content: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
        """Give a record with its values put back, and the fields whose values are not there."""
        found = self._of(content["seq"])
        copy, gone = dict(content["record"]), []
        for field in content.get("private", ()):
            *path, last = field.split(".")
            place = copy
            for step in path:
                place[step] = place = dict(place[step])
            fitting = (each for each in found if _commitment(each) == place[last])
            entry = next((each for each in fitting if each["field"] == field), None)
            if entry is None:
                gone.append(field)
            else:
                place[last] = entry["value"]
        return copy, gone

    def _of(self, seq: int) -> list[dict[str, Any]]:
        found = []
        while self._next is not None and self._next["seq"] <= seq:
            if self._next["seq"] == seq:
                found.append(self._next)
            self._next = next(self._rest, None)
        return found
