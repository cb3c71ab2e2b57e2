"""The command line: one table of exit codes, and an explanation that can always be printed."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import mlguard
from mlguard import Measurement, Severity, Verdict
from mlguard.__main__ import main

WARN_OR_BREACH = Verdict("v", Severity.WARN, "r", low=Severity.WARN, high=Severity.BREACH)


def written(verdict: Verdict, folder: Path) -> str:
    path = folder / "verdict.json"
    path.write_text(json.dumps(verdict.to_dict()), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize(
    ("verdict", "code"),
    [
        (Verdict("v", Severity.OK, "r"), 0),
        (Verdict("v", Severity.WARN, "r"), 0),
        (WARN_OR_BREACH, 3),
        (Verdict("v", Severity.BREACH, "r"), 1),
        (Verdict("v", Severity.UNKNOWN, "r"), 3),
    ],
    ids=["OK", "WARN", "WARN or BREACH", "BREACH", "UNKNOWN"],
)
def test_the_exit_code_is_that_of_the_severity(
    verdict: Verdict, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["explain", written(verdict, tmp_path)]) == code
    assert capsys.readouterr() == (f"{verdict.explain()}\n", "")


def test_a_dash_reads_standard_input(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(WARN_OR_BREACH.to_dict())))
    assert main(["explain", "-"]) == 3
    assert capsys.readouterr().out == "WARN    v: r\n"


CAUSES = {**WARN_OR_BREACH.to_dict(), "causes": [1]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "holds no verdict: Expecting value"),
        (b"{", "holds no verdict: Expecting property name"),
        (b"\xff\xfe", "holds no verdict: 'utf-8' codec can't decode"),
        (b"[]", "holds no verdict: record = []: must be a mapping of kind 'verdict'"),
        (b"null", "holds no verdict: record = None"),
        (b"{}", "holds no verdict: schema = None: must be 1"),
        (b'{"schema": 1}', "holds no verdict: record = "),
        (b'{"schema": 9, "kind": "verdict"}', "a newer mlguard wrote this verdict"),
        (b'{"schema": 1, "kind": "waiver"}', "must be a mapping of kind 'verdict'"),
        (json.dumps(CAUSES).encode(), "holds no verdict: record = 1"),
        (b"[" * 100_000, "holds no verdict: "),
    ],
    ids=["empty", "cut off", "no text", "a list", "null", "no schema", "no fields", "newer", "a waiver", "a strange cause", "too deep"],
)  # fmt: skip
def test_what_holds_no_verdict_is_a_mistake_in_the_call(
    content: bytes, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bad.json"
    path.write_bytes(content)
    assert main(["explain", str(path)]) == 2
    out, error = capsys.readouterr()
    assert not out
    assert error.startswith(f"mlguard: {path} ")
    assert message in error


@pytest.mark.parametrize(
    ("name", "why"), [("gone.json", "No such file or directory"), ("", "Is a directory")]
)
def test_a_file_that_cannot_be_read_is_a_mistake_in_the_call(
    name: str, why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["explain", str(tmp_path / name)]) == 2
    assert capsys.readouterr().err == f"mlguard: cannot read {tmp_path / name}: {why}\n"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [([], 2), (["explain"], 2), (["cheese"], 2), (["explain", "a", "b"], 2), (["--help"], 0), (["--version"], 0)],
    ids=["nothing", "no file", "no command", "two files", "help", "version"],
)  # fmt: skip
def test_usage(arguments: list[str], code: int, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == code
    assert "mlguard" in "".join(capsys.readouterr())


def test_the_version_is_the_librarys(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"mlguard {mlguard.__version__}\n"


def test_a_process_of_its_own_gives_the_code_and_prints_on_any_terminal(tmp_path: Path) -> None:
    path = written(Verdict("µ – \ud800", Severity.UNKNOWN, "no rows"), tmp_path)
    run = subprocess.run(
        [sys.executable, "-m", "mlguard", "explain", path],
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )
    assert run.stdout.decode("ascii").splitlines() == [r"UNKNOWN \xb5 \u2013 \ud800: no rows"]
    assert (run.stderr, run.returncode) == (b"", 3)


def test_simulate_prints_what_an_alert_would_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "psi.jsonl"
    values = [0.1 + 0.02 * (place % 3) for place in range(60)]
    lines = [json.dumps(Measurement("psi", x).to_dict()) if x > 0.11 else str(x) for x in values]
    file.write_text("\n".join([*lines, ""]), encoding="utf-8")
    given = ["simulate", str(file), "--at-most", "0.15", "--shift", "0.1", "--years", "2"]
    assert main(given) == 0
    shown = capsys.readouterr().out
    assert "false alert a month" in shown
    assert "at once: delay, median         2 d" in shown


@pytest.mark.parametrize(
    ("text", "arguments", "words"),
    [
        ("0.1\n" * 20, [], "len(history) = 20: must be at least 56: 8 blocks of 7"),
        ("0.1\nmany\n", [], "line 2 = 'many': must be a number or a measurement"),
        ("\n0.1\n\nmany\n", [], "line 4 = 'many': must be a number or a measurement"),
        ("0.1\n" * 60, ["--for", "0"], "for_ = 0"),
    ],
)
def test_simulate_refuses_in_a_line(
    text: str, arguments: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "psi.jsonl"
    file.write_text(text, encoding="utf-8")
    assert main(["simulate", str(file), "--at-least", "0.0", "--shift", "-1", *arguments]) == 2
    assert words in capsys.readouterr().err
    assert main(["simulate", str(tmp_path / "none"), "--at-most", "1", "--shift", "1"]) == 2


VERDICTS = [Verdict(f"check {number}", Severity.BREACH, "x" * 200) for number in range(2_000)]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["explain", "verdict.json"], 1),
        (["init", "-o", "-"], 0),
        (["--help"], 0),
        (["lint", "."], 3),
    ],
    ids=["explain", "init", "help", "lint"],
)
def test_a_reader_that_has_seen_enough_changes_no_exit_code(
    arguments: list[str], code: int, tmp_path: Path
) -> None:
    """More than a pipe holds, into one that nobody reads any more, as after `head`."""
    verdict = Verdict("all", Severity.BREACH, "x", causes=VERDICTS)
    (tmp_path / "verdict.json").write_text(json.dumps(verdict.to_dict()), encoding="utf-8")
    reads, writes = os.pipe()
    os.close(reads)
    run = subprocess.run(
        [sys.executable, "-m", "mlguard", *arguments],
        cwd=tmp_path,
        stdout=writes,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writes)
    assert (run.returncode, run.stderr) == (code, "")
