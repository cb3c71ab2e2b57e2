"""The command `ledger`: verify a ledger, show it, export it, anchor it."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlguard.arguments import refusal
from mlguard.governance.ledger import Ledger
from mlguard.governance.verification import verify_all
from mlguard.records import iso
from mlguard.render.text import visible

if TYPE_CHECKING:
    import argparse


def add_to(commands: Any) -> None:
    """Add the command to a parser."""
    parser = commands.add_parser(
        "ledger",
        help="was this ledger changed? verify it, show it, export it, anchor it",
        epilog="exit codes: 0 intact or done, 1 not intact, 2 usage",
    )
    parser.add_argument("what", choices=["verify", "show", "export", "anchor"])
    parser.add_argument("file", help="of the ledger; for verify also a folder of them")
    parser.add_argument(
        "--anchor", metavar="FILE", help="for verify: what anchor has printed, any number of lines"
    )
    parser.add_argument(
        "--key-file", metavar="FILE", help="the secret of the ledger, without space at its end"
    )
    parser.add_argument("--kind", help="for show and export: only entries of this kind")
    parser.add_argument(
        "--format", choices=["json", "csv"], default="json", help="of export (%(default)s)"
    )


def answer(given: argparse.Namespace) -> tuple[str, bool]:
    """Give what to print, and whether what was asked about is intact.

    Raises:
        ConfigurationError: The file, the key or the anchor is not usable.
        LedgerCorrupted: The ledger cannot be read.
    """
    key = None if given.key_file is None else Path(given.key_file).read_bytes().rstrip()
    path = Path(given.file)
    if given.what == "verify":
        anchor = None if given.anchor is None else Path(given.anchor).read_text(encoding="utf-8")
        if path.is_dir():
            found = verify_all(path, key=key, anchor=anchor)
            if not found:
                raise refusal("file", given.file, "a ledger, or a folder with ledgers (*.jsonl)")
        else:
            found = {given.file: Ledger(path, key=key).verify(anchor)}
        words = "\n".join(f"{Path(name).name}: {each}" for name, each in found.items())
        return words, all(each.intact for each in found.values())
    ledger = Ledger(path, key=key)
    if given.what == "anchor":
        found_now = ledger.verify()
        return (ledger.anchor(), True) if found_now.intact else (str(found_now), False)
    stream = io.StringIO()
    if given.what == "export":
        ledger.export(stream, format=given.format, kind=given.kind)
        return stream.getvalue().rstrip("\n"), True
    for entry in ledger.records(kind=given.kind):
        words = f"{iso(entry.at)} {entry.kind} {_words(entry.record)}"
        stream.write(f"{entry.seq} {visible(words)}\n")
    return stream.getvalue().rstrip("\n"), True


def _words(record: dict[str, Any]) -> str:
    """Give the fields of a record that are no lists and mappings, on a line."""
    plain = {name: value for name, value in record.items() if not isinstance(value, dict | list)}
    return ", ".join(f"{name}={value!r}" for name, value in plain.items() if name != "kind")
