"""`python -m mlguard ledger`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mlguard import Ledger
from mlguard.__main__ import main

KEY = b"the secret of the ledger"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "audit.jsonl"
    with Ledger(path) as ledger:
        ledger.append({"kind": "promoted", "who": "ada", "why": "\x1b[2Jall\nfine", "more": [1]})
        ledger.append({"n": 2})
    return path


def test_verify(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ledger", "verify", str(path)]) == 0
    assert capsys.readouterr().out.startswith("audit.jsonl: intact: 3 records, 0 to 2; no anchor")
    path.write_bytes(path.read_bytes().replace(b'"n":2', b'"n":3'))
    assert main(["ledger", "verify", str(path)]) == 1
    assert "audit.jsonl: broken at line 3 of audit.jsonl" in capsys.readouterr().out
    assert main(["ledger", "anchor", str(path)]) == 1
    assert "broken" in capsys.readouterr().out


def test_an_anchor_goes_round(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ledger", "anchor", str(path)]) == 0
    anchors = path.with_name("anchors.txt")
    anchors.write_text(capsys.readouterr().out)
    for where in (path, path.parent):
        assert main(["ledger", "verify", str(where), "--anchor", str(anchors)]) == 0
        assert "complete up to anchor 2, unanchored tail of 0" in capsys.readouterr().out
    for each in path.parent.glob("audit.jsonl*"):
        each.unlink()
    with Ledger(path.with_name("other.jsonl")) as ledger:
        ledger.append({})
    assert main(["ledger", "verify", str(path.parent), "--anchor", str(anchors)]) == 1
    assert "it is not there" in capsys.readouterr().out


def test_show_and_export(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ledger", "show", str(path), "--kind", "promoted"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("1 2")
    assert out.endswith("Z promoted who='ada', why='\\x1b[2Jall\\nfine'\n")
    assert main(["ledger", "export", str(path)]) == 0
    assert [each["seq"] for each in json.loads(capsys.readouterr().out)] == [0, 1, 2]
    assert main(["ledger", "export", str(path), "--format", "csv", "--kind", "record"]) == 0
    head, row = capsys.readouterr().out.splitlines()
    assert head == "seq,at,kind,subject,record,hash"
    assert row.startswith("2,")


def test_with_a_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, secret = tmp_path / "audit.jsonl", tmp_path / "secret"
    secret.write_bytes(KEY + b"\n")
    with Ledger(path, key=KEY) as ledger:
        ledger.append({})
    assert main(["ledger", "verify", str(path), "--key-file", str(secret)]) == 0
    assert "no key" not in capsys.readouterr().out
    secret.write_bytes(b"another secret of the ledger")
    assert main(["ledger", "verify", str(path), "--key-file", str(secret)]) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["verify", "{folder}"], "a folder with ledgers"),
        (["verify", "{folder}/nowhere/audit.jsonl"], "path = "),
        (["anchor", "{folder}/audit.jsonl"], "no record is there"),
        (["verify", "{folder}/audit.jsonl", "--anchor", "{folder}/none"], "cannot read "),
        (["verify", "{folder}/audit.jsonl", "--key-file", "{folder}/none"], "cannot read "),
        (["show", "{folder}/bad.txt"], "line 1 of bad.txt is no record"),
        (["verify", "{folder}/bad.txt", "--anchor", "{folder}/bad.txt"], "anchor = "),
    ],
)
def test_wrong_use(arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    tmp_path.joinpath("bad.txt").write_text("bad\n")
    code = main(["ledger", *(each.format(folder=tmp_path) for each in arguments)])
    assert code == (1 if arguments[0] == "anchor" else 2)
    assert message in "".join(capsys.readouterr())
