"""The command line, a thin front to the library.

Exit codes: 0 ok or warn, 1 breach, 2 usage, 3 unknown (also a warning that may be a breach).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import mlguard
from mlguard import commands as ours
from mlguard.errors import LedgerCorrupted, MissingDependencyError
from mlguard.governance import commands as governance
from mlguard.requirements import commands as requirements
from mlguard.values import Severity, Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

PASSED, BREACHED, USAGE, UNKNOWN = range(4)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and give its exit code."""
    parser = argparse.ArgumentParser(prog="mlguard", description="Ask mlguard about its records.")
    parser.add_argument("--version", action="version", version=f"mlguard {mlguard.__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    explain = commands.add_parser(
        "explain",
        help="print a stored verdict as a tree; the exit code is that of its severity",
        epilog="exit codes: 0 ok or warn, 1 breach, 2 usage, 3 unknown",
    )
    explain.add_argument("file", help="JSON that Verdict.to_dict() gave, or - for standard input")
    requirements.add_to(commands)
    ours.add_to(commands)
    try:
        given = parser.parse_args(arguments)
    except SystemExit:
        _write("")  # what --help has printed
        raise
    run = {
        "explain": _explain,
        "init": _init,
        "simulate": _simulate,
        "replay": _replay,
        "ledger": _ledger,
        "lint": _lint,
    }
    return run[given.command](given)


def _explain(given: argparse.Namespace) -> int:
    file = given.file
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
        verdict = Verdict.from_dict(json.loads(text))
    except OSError as error:
        return _refuse(f"cannot read {file}: {error.strerror}")
    except (ValueError, RecursionError) as error:
        return _refuse(f"{file} holds no verdict: {error}")
    _print(verdict.explain())
    if verdict.severity is Severity.BREACH:
        return BREACHED
    return UNKNOWN if verdict.in_doubt else PASSED


def _init(given: argparse.Namespace) -> int:
    try:
        _print(requirements.drafted(given))
    except OSError as error:
        return _refuse(f"cannot read or write {error.filename}: {error.strerror}")
    except (ValueError, ImportError) as error:
        return _refuse(str(error))
    return PASSED


def _simulate(given: argparse.Namespace) -> int:
    try:
        _print(ours.table(given))
    except OSError as error:
        return _refuse(f"cannot read {given.file}: {error.strerror}")
    except ValueError as error:
        return _refuse(str(error))
    return PASSED


def _replay(given: argparse.Namespace) -> int:
    try:
        words, phase = ours.rollout(given)
    except OSError as error:
        return _refuse(f"cannot read or write {error.filename}: {error.strerror}")
    except (ValueError, TypeError) as error:
        return _refuse(str(error))
    _print(words)
    ends = {"promoted": PASSED, "rolled back": BREACHED, "aborted": BREACHED}
    return ends.get(phase, UNKNOWN)


def _ledger(given: argparse.Namespace) -> int:
    try:
        words, intact = governance.answer(given)
    except OSError as error:
        return _refuse(f"cannot read {error.filename}: {error.strerror}")
    except (ValueError, LedgerCorrupted) as error:
        return _refuse(str(error))
    _print(words)
    return PASSED if intact else BREACHED


def _lint(given: argparse.Namespace) -> int:
    try:
        words, severity = ours.linted(given)
    except OSError as error:
        return _refuse(f"cannot read {error.filename}: {error.strerror}")
    except (ValueError, MissingDependencyError) as error:
        return _refuse(str(error))
    _print(words)
    return {Severity.BREACH: BREACHED, Severity.UNKNOWN: UNKNOWN}.get(severity, PASSED)


def _print(words: str) -> None:
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    _write(words.encode(encoding, "backslashreplace").decode(encoding) + "\n")


def _write(text: str) -> None:
    """Write to standard output; one who has read enough, as `head`, changes no exit code."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at the end


def _refuse(message: str) -> int:
    print(f"mlguard: {message}", file=sys.stderr)
    return USAGE


if __name__ == "__main__":
    sys.exit(main())
