"""The lines of a ledger: how one is written, and what is wrong with one. No files here.

A line is JSON: `{"hash":"…","seq":…,"prev":"…",["private":[…],]"kind":"…","at":"…","record":{…}}`,
with `,"key":"…","mac":"…"` before the last brace where there is a key. `hash` is the SHA-256 of the
bytes after it, as they are stored, `prev` the `hash` of the line before, and `mac` the HMAC of all
that stands between `hash` and `key`.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any

from mlguard.arguments import refusal
from mlguard.errors import LedgerCorrupted
from mlguard.records import iso

FORMAT = 1
START = "0" * 64
LARGEST = 1 << 20
OURS = "ledger."
_BEFORE, _AFTER = b'{"hash":"', b'",'
_HASH = slice(len(_BEFORE), len(_BEFORE) + 64)
_GAP = slice(_HASH.stop, _HASH.stop + len(_AFTER))
_KEY, _MAC, _END = b',"key":"', b'","mac":"', b'"}'
_SIGNED = len(_KEY) + 8 + len(_MAC) + 64 + len(_END)
_SHORTEST_KEY = 16
_ANCHOR = "mlguard-ledger/1"
_write = json.JSONEncoder(allow_nan=False, separators=(",", ":")).encode


@dataclass(frozen=True, slots=True)
class Receipt:
    """Where a record stands in its ledger. Keep it: it proves later what was written.

    Attributes:
        seq: Its number; the first of a ledger is 0.
        hash: SHA-256 of its line.
    """

    seq: int
    hash: str


def keys_of(key: Any) -> dict[bytes, bytes]:
    """Read a key, or several of which the last signs, into keys by their ids."""
    given = [] if key is None else [key] if isinstance(key, bytes) else key
    secrets = list(given) if isinstance(given, Iterable) and not isinstance(given, str) else [given]
    for secret in secrets:
        if not isinstance(secret, bytes) or len(secret) < _SHORTEST_KEY:
            kind = f"<{type(secret).__name__}>"  # a message must not tell a secret
            raise refusal("key", kind, f"at least {_SHORTEST_KEY} bytes, or a sequence of such")
    return {sha256(b"mlguard key " + each).hexdigest()[:8].encode(): each for each in secrets}


def text_of(content: Any) -> str:
    """Write JSON; what would not come back as it was is refused."""
    try:
        _strict(content)
        text = _write(content)
    except (TypeError, ValueError, RecursionError) as error:
        raise refusal("record", content, f"plain JSON: {error}") from None
    if len(text) > LARGEST:
        raise refusal("record", f"{len(text)} bytes", f"at most {LARGEST} bytes as a line")
    return text


def _strict(value: Any) -> None:
    """Refuse keys that JSON would make strings."""
    if isinstance(value, dict):
        for key, each in value.items():
            if not isinstance(key, str):
                raise TypeError(f"the key {key!r} is no string")
            if isinstance(each, dict | list | tuple):
                _strict(each)
    elif isinstance(value, list | tuple):
        for each in value:
            if isinstance(each, dict | list | tuple):
                _strict(each)


def line_of(
    seq: int,
    before: str,
    *,
    kind: str,
    at: str,
    record: str,
    private: str,
    keys: dict[bytes, bytes],
) -> tuple[bytes, str]:
    """Write a line, of a record that is JSON already, and give it with its hash."""
    body = (
        f'"seq":{seq},"prev":"{before}",{private}"kind":{json.dumps(kind)},'
        f'"at":"{at}","record":{record}'
    ).encode()
    if keys:
        name = next(reversed(keys))
        body = b"".join((body, _KEY, name, _MAC, _mac(keys[name], body), _END))
    else:
        body += b"}"
    digest = sha256(body).hexdigest()
    return b"".join((_BEFORE, digest.encode(), _AFTER, body, b"\n")), digest


def fault(line: bytes, seq: int, before: str, keys: dict[bytes, bytes]) -> str | None:
    """Say what is wrong with a line that should be record `seq` after the hash `before`."""
    if line[: _HASH.start] != _BEFORE or line[_GAP] != _AFTER or line[-1:] != b"\n":
        return "is no record of a ledger"
    body = line[_GAP.stop : -1]
    if sha256(body).hexdigest().encode() != line[_HASH]:
        return "its bytes are not those that its hash was made of: it was edited"
    if not body.startswith(b'"seq":%d,"prev":"%s",' % (seq, before.encode())):
        there = place_of(line)
        if there is None:
            return "is no record of a ledger"
        if there[0] != seq:
            return f"is record {there[0]} where {seq} belongs: cut, inserted, doubled or moved"
        return "does not continue the record before it: one of the two was replaced"
    return _unsigned(body, keys) if keys else None


def _unsigned(body: bytes, keys: dict[bytes, bytes]) -> str | None:
    if not signed(body):
        return "has no mac: it was written without the key"
    key = keys.get(body[-_SIGNED:][len(_KEY) :][:8])
    if key is None:
        return "was written with another key"
    if not hmac.compare_digest(_mac(key, body[:-_SIGNED]), body[-64 - len(_END) : -len(_END)]):
        return "its mac is not of the key: it was forged"
    return None


def signed(line: bytes) -> bool:
    """Tell whether a line has a mac."""
    return line.rstrip(b"\n")[-_SIGNED:].startswith(_KEY)


def hash_of(line: bytes) -> str:
    """Give the hash that a line says it has."""
    return line[_HASH].decode("ascii", "replace")


def place_of(line: bytes) -> tuple[int, str] | None:
    """Give the number of a line and the hash before it, as it says; None if it is no record."""
    try:
        content = json.loads(line)
        seq, before = content["seq"], content["prev"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    whole = isinstance(seq, int) and isinstance(before, str) and len(before) == len(START)
    return (seq, before) if whole else None


def is_plain(line: bytes) -> bool:
    """Tell whether a line is neither one of the ledger's own nor one with private fields."""
    start = line.find(_AFTER, _GAP.stop) + len(_AFTER)  # after the number comes the hash before it
    return line.startswith(b'"kind":"', start) and not line.startswith(OURS.encode(), start + 8)


def content_of(line: bytes, where: str) -> dict[str, Any]:
    """Read a line.

    Raises:
        LedgerCorrupted: It is no record of a ledger.
    """
    try:
        content = json.loads(line)
        whole = {"hash", "seq", "prev", "kind", "at", "record"} <= content.keys()
    except (ValueError, AttributeError, RecursionError):
        whole = False
    if not whole:
        raise LedgerCorrupted(f"{where} is no record of a ledger; verify() tells more")
    return dict(content)


def _mac(key: bytes, body: bytes) -> bytes:
    return hmac.digest(key, body, "sha256").hex().encode()


@dataclass(frozen=True, slots=True)
class Anchor:
    """That a ledger had a record with this hash: one line of text, to keep elsewhere."""

    log: str
    seq: int
    hash: str
    at: float

    def __str__(self) -> str:
        return f"{_ANCHOR} {self.log} {self.seq} {self.hash} {iso(self.at)}"


def anchors_of(text: str | None) -> list[Anchor]:
    """Read the lines that `Ledger.anchor` gave; those that are empty do not count."""
    if not isinstance(text, str | None):
        raise refusal("anchor", text, "what Ledger.anchor() gave")
    return sorted(
        (_anchor(line) for line in (text or "").splitlines() if line.strip()),
        key=lambda anchor: anchor.seq,
    )


def _anchor(line: str) -> Anchor:
    try:
        mark, log, seq, digest, at = line.split()
        anchor = Anchor(log, int(seq), digest, datetime.fromisoformat(at).timestamp())
        whole = mark == _ANCHOR and len(digest) == len(START)
    except ValueError:
        whole = False
    if not whole:
        raise refusal("anchor", line, f"what Ledger.anchor() gave: {_ANCHOR} log seq hash time")
    return anchor
