"""What was done to a ledger, and who finds it: the chain, a key, an anchor."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from mlguard import Ledger
from mlguard.governance.chain import START, keys_of, line_of
from mlguard.testing import ManualClock

KEY = b"the secret of the ledger"
RECORDS = 12


def begun(path: Path, key: bytes | None, *, records: int = RECORDS) -> Ledger:
    ledger = Ledger(path, key=key, sync="never", clock=ManualClock(1_790_000_000.0))
    for number in range(records):
        ledger.append({"kind": "decision", "number": number})
    return ledger


def lines_of(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


def put(path: Path, lines: list[bytes]) -> None:
    """Write the lines as a careful attacker does, who leaves no tip behind that would tell."""
    path.write_bytes(b"".join(lines))
    path.with_name(f"{path.name}.tip").unlink()


def relinked(lines: list[bytes], first: int, keys: dict[bytes, bytes]) -> list[bytes]:
    """Number and hash the lines anew, from one on."""
    before = json.loads(lines[first - 1])["hash"] if first else START
    new = lines[:first]
    for seq, line in enumerate(lines[first:], start=first):
        content = json.loads(line)
        written, before = line_of(
            seq, before, kind=content["kind"], at=content["at"], record=json.dumps(content["record"]), private="", keys=keys
        )  # fmt: skip
        new.append(written)
    return new


def edit(path: Path) -> None:
    lines = lines_of(path)
    lines[6] = lines[6].replace(b'"number":5', b'"number":9')
    put(path, lines)


def edit_and_hash(path: Path) -> None:
    lines = lines_of(path)
    lines[6] = relinked([*lines[:6], lines[6].replace(b'"number":5', b'"number":9')], 6, {})[6]
    put(path, lines)


def insert(path: Path) -> None:
    lines = lines_of(path)
    put(path, [*lines[:6], relinked([*lines[:6], lines[3]], 6, {})[6], *lines[6:]])


def delete(path: Path) -> None:
    lines = lines_of(path)
    put(path, lines[:6] + lines[7:])


def swap(path: Path) -> None:
    lines = lines_of(path)
    lines[6], lines[7] = lines[7], lines[6]
    put(path, lines)


def duplicate(path: Path) -> None:
    lines = lines_of(path)
    put(path, [*lines[:7], *lines[6:]])


def cut_the_head(path: Path) -> None:
    put(path, lines_of(path)[4:])


def cut_the_tail(path: Path) -> None:
    put(path, lines_of(path)[:-4])


def cut_the_tail_and_leave_the_tip(path: Path) -> None:
    path.write_bytes(b"".join(lines_of(path)[:-4]))


def delete_all(path: Path) -> None:
    for each in path.parent.glob(f"{path.name}*"):
        each.unlink()


def empty(path: Path) -> None:
    put(path, [])


def delete_all_and_go_on(path: Path) -> None:
    keyed = b'"mac"' in path.read_bytes()
    delete_all(path)
    begun(path, KEY if keyed else None, records=RECORDS + 3)


def rewrite_from_the_middle(path: Path) -> None:
    lines = [line.replace(b'"number":5', b'"number":9') for line in lines_of(path)]
    put(path, relinked(lines, 6, {}))


def rewrite_with_another_key(path: Path) -> None:
    lines = [line.replace(b'"number":5', b'"number":9') for line in lines_of(path)]
    put(path, relinked(lines, 6, keys_of(b"a key of the attacker")))


def rewrite_under_the_id_of_the_key(path: Path) -> None:
    (name,) = keys_of(KEY)
    lines = [line.replace(b'"number":5', b'"number":9') for line in lines_of(path)]
    put(path, relinked(lines, 6, {name: b"a key of the attacker"}))


def replace_the_file(path: Path) -> None:
    delete_all(path)
    begun(path, None, records=RECORDS + 3)


def put_an_older_copy_back(path: Path) -> None:
    for each in path.parent.joinpath("old").iterdir():
        shutil.copy(each, path.parent)


MISSED, FOUND = True, False
MATRIX: list[tuple[Callable[[Path], None], bool, bool, bool]] = [
    # what was done                   chain   key     anchor
    (edit,                            FOUND,  FOUND,  FOUND),
    (edit_and_hash,                   FOUND,  FOUND,  FOUND),
    (insert,                          FOUND,  FOUND,  FOUND),
    (delete,                          FOUND,  FOUND,  FOUND),
    (swap,                            FOUND,  FOUND,  FOUND),
    (duplicate,                       FOUND,  FOUND,  FOUND),
    (cut_the_head,                    FOUND,  FOUND,  FOUND),
    (cut_the_tail,                    MISSED, MISSED, FOUND),
    (cut_the_tail_and_leave_the_tip,  FOUND,  FOUND,  FOUND),
    (delete_all,                      FOUND,  FOUND,  FOUND),
    (empty,                           FOUND,  FOUND,  FOUND),
    (delete_all_and_go_on,            MISSED, MISSED, FOUND),
    (rewrite_from_the_middle,         MISSED, FOUND,  FOUND),
    (rewrite_with_another_key,        MISSED, FOUND,  FOUND),
    (rewrite_under_the_id_of_the_key, MISSED, FOUND,  FOUND),
    (replace_the_file,                MISSED, FOUND,  FOUND),
    (put_an_older_copy_back,          MISSED, MISSED, FOUND),
]  # fmt: skip


@pytest.mark.parametrize("given", ["chain", "key", "anchor"])
@pytest.mark.parametrize("row", MATRIX, ids=[row[0].__name__ for row in MATRIX])
def test_what_is_found_is_what_is_documented(
    row: tuple[Callable[[Path], None], bool, bool, bool], given: str, tmp_path: Path
) -> None:
    attack, *outcomes = row
    path, key = tmp_path / "audit.jsonl", KEY if given == "key" else None
    ledger = begun(path, key, records=RECORDS // 2)
    shutil.copytree(tmp_path, tmp_path / "old")
    for number in range(RECORDS // 2, RECORDS):
        ledger.append({"kind": "decision", "number": number})
    anchor = ledger.anchor() if given == "anchor" else None
    ledger.close()
    assert Ledger(path, key=key).verify(anchor).intact
    attack(path)
    found = Ledger(path, key=key).verify(anchor)
    assert found.intact is dict(zip(["chain", "key", "anchor"], outcomes, strict=True))[given], (
        found
    )
    if not found.intact:
        assert found.reason.startswith("broken")


@pytest.mark.parametrize(
    ("attack", "where", "why"),
    [
        (edit, (7, 6), "it was edited"),
        (edit_and_hash, (8, 7), "does not continue the record before it"),
        (insert, (8, 7), "is record 6 where 7 belongs"),
        (delete, (7, 6), "is record 7 where 6 belongs"),
        (swap, (7, 6), "is record 7 where 6 belongs"),
        (duplicate, (8, 7), "is record 6 where 7 belongs"),
        (cut_the_head, (1, 4), "is not what a segment begins with"),
        (cut_the_tail_and_leave_the_tip, (None, None), "ends with record 8, but its tip says 12"),
        (delete_all, (None, None), "no record is there"),
    ],
)
def test_it_says_where_and_why(
    attack: Callable[[Path], None], where: tuple[int | None, int | None], why: str, tmp_path: Path
) -> None:
    path = tmp_path / "audit.jsonl"
    begun(path, None).close()
    attack(path)
    found = Ledger(path).verify()
    assert (found.line, found.seq) == where
    assert why in found.reason


def test_an_anchor_says_how_far_it_reaches(tmp_path: Path) -> None:
    ledger = begun(tmp_path / "audit.jsonl", None)
    anchor = ledger.anchor()
    for number in range(3):
        ledger.append({"number": number})
    found = ledger.verify(anchor)
    assert found.intact
    assert (found.complete_to, found.tail, found.last) == (RECORDS, 3, RECORDS + 3)
    assert "complete up to anchor 12, unanchored tail of 3" in str(found)
    assert ledger.verify(f"{anchor}\n{ledger.anchor()}\n").complete_to == RECORDS + 3


def test_an_anchor_of_another_ledger_does_not_fit(tmp_path: Path) -> None:
    other = begun(tmp_path / "other.jsonl", None)
    ledger = begun(tmp_path / "audit.jsonl", None)
    assert "an anchor is of the ledger" in ledger.verify(other.anchor()).reason


@pytest.mark.parametrize(
    ("records", "flips"), [(40, 800), pytest.param(10_000, 4_000, marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("key", [None, KEY], ids=["chain", "key"])
def test_any_flipped_bit_is_found(
    records: int, flips: int, key: bytes | None, tmp_path: Path
) -> None:
    """Verification does not depend on what stands more than a line away, so near the flip suffices.

    The rest of the file is cut off behind the flip for speed; that alone is not found, as no tip is
    left, so what is found is the flip.
    """
    path, copy = tmp_path / "audit.jsonl", tmp_path / "copy.jsonl"
    begun(path, key, records=records).close()
    whole = path.read_bytes()
    chance = random.Random(records)  # noqa: S311 -- no secret
    ends = [place for place, byte in enumerate(whole) if byte == 10]
    places = [8 * chance.choice(ends) + bit for bit in range(8)]  # a line that has no end
    places += [8 * (len(whole) - 1) + bit for bit in range(8)]
    places += [chance.randrange(8 * len(whole)) for _ in range(flips)]
    for place in places:
        byte = place // 8
        following = next((end for end in ends if end > byte), len(whole) - 1)
        changed = bytearray(whole[: following + 1])
        changed[byte] ^= 1 << place % 8
        copy.write_bytes(changed)
        assert not Ledger(copy, key=key).verify().intact, place
    copy.write_bytes(whole)
    assert Ledger(copy, key=key).verify().intact


def test_every_bit_of_a_short_ledger(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    begun(path, KEY, records=1).close()
    path.with_name(f"{path.name}.tip").unlink()
    whole = path.read_bytes()
    for place in range(8 * len(whole)):
        changed = bytearray(whole)
        changed[place // 8] ^= 1 << place % 8
        path.write_bytes(changed)
        assert not Ledger(path, key=KEY).verify().intact, place


def test_a_key_can_be_changed_and_the_old_one_still_verifies(tmp_path: Path) -> None:
    path, new = tmp_path / "audit.jsonl", b"another secret of the ledger"
    begun(path, KEY).close()
    with Ledger(path, key=[KEY, new], clock=ManualClock(1_790_000_001.0)) as ledger:
        ledger.append({"number": -1})
        assert ledger.verify().intact
    assert "another key" in Ledger(path, key=new).verify().reason
    assert Ledger(path).verify().intact
    assert KEY.decode() not in repr(ledger)
