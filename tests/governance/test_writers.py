"""Many writers, crashes, full disks: nothing acknowledged is lost, and no link is broken."""

from __future__ import annotations

import json
import os
import pickle
import random
import resource
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent

import pytest

from mlguard import Ledger, LedgerCorrupted
from mlguard.governance import verify_all

APPENDS = """
    import sys
    from mlguard import Ledger
    ledger = Ledger(sys.argv[1], sync=sys.argv[2], segment_bytes=int(sys.argv[3]))
    for number in range(int(sys.argv[5])):
        receipt = ledger.append({"writer": sys.argv[4], "number": number, "who": "ada"}, personal=sys.argv[6:])
        print(number, receipt.seq, receipt.hash, flush=True)
"""


def started(path: Path, *, writer: str, count: int, sync: str = "never", segment_bytes: int = 1 << 26, personal: str | None = None) -> subprocess.Popen[str]:  # fmt: skip
    arguments = [str(path), sync, str(segment_bytes), writer, str(count), *filter(None, [personal])]
    command = [sys.executable, "-c", dedent(APPENDS), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize(
    ("processes", "appends"), [(4, 100), pytest.param(8, 1000, marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("segment_bytes", [1 << 26, 5_000], ids=["one segment", "segments"])
def test_many_processes_break_no_link_and_lose_nothing(
    processes: int, appends: int, segment_bytes: int, tmp_path: Path
) -> None:
    path = tmp_path / "audit.jsonl"
    running = [
        started(path, writer=str(n), count=appends, segment_bytes=segment_bytes)
        for n in range(processes)
    ]
    said = {}
    for process in running:
        out, _ = process.communicate()
        assert process.returncode == 0
        for line in out.splitlines():
            _, seq, digest = line.split()
            said[int(seq)] = digest
    found = Ledger(path).verify()
    assert found.intact
    assert found.recovered == 0
    entries = {entry.seq: entry for entry in Ledger(path)}
    written = [each for each in entries.values() if each.kind == "record"]
    assert len(written) == len(said) == processes * appends
    assert all(entries[seq].hash == digest for seq, digest in said.items())
    by_writer: dict[str, list[int]] = {}
    for entry in written:
        by_writer.setdefault(entry.record["writer"], []).append(entry.record["number"])
    assert all(numbers == list(range(appends)) for numbers in by_writer.values())


def test_many_threads_and_ledgers_on_one_file(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    ledgers = [Ledger(path, sync="never", segment_bytes=3_000) for _ in range(3)]

    def work(number: int) -> None:
        for each in range(50):
            ledgers[number % 3].append({"writer": number, "number": each})

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Ledger(path).verify().intact
    assert sum(entry.kind == "record" for entry in Ledger(path)) == 300


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_fork_goes_on_with_a_lock_of_its_own(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "audit.jsonl", sync="never")
    ledger.append({"writer": "parent"})
    children = []
    for child in range(3):
        pid = os.fork()
        if pid == 0:
            own = ledger._writer.files._tip is None  # a lock on the same open file is the parent's
            try:
                for number in range(100):
                    ledger.append({"writer": child, "number": number})
            finally:
                os._exit(0 if own else 1)
        children.append(pid)
    for number in range(100):
        ledger.append({"writer": "parent", "number": number})
    for pid in children:
        assert os.waitpid(pid, 0)[1] == 0
    assert ledger.verify().intact
    assert sum(entry.kind == "record" for entry in ledger) == 401


def test_a_copy_by_pickle_writes_to_the_same_file(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "audit.jsonl", key=b"0123456789abcdef", segment_bytes=500)
    ledger.append({"number": 0})
    copy = pickle.loads(pickle.dumps(ledger))  # noqa: S301 -- our own
    copy.append({"number": 1})
    ledger.append({"number": 2})
    assert copy.verify().intact
    assert [entry.record["number"] for entry in ledger.records(kind="record")] == [0, 1, 2]


@pytest.mark.parametrize("kills", [10, pytest.param(200, marks=pytest.mark.slow)])
def test_kill_9_loses_nothing_that_was_acknowledged(kills: int, tmp_path: Path) -> None:
    path, chance = tmp_path / "audit.jsonl", random.Random(kills)  # noqa: S311 -- no secret
    said = {}
    for life in range(kills):
        after = chance.randrange(1, 30)
        with started(path, writer=str(life), count=10**6, sync="always", segment_bytes=4_000, personal="who") as process:  # fmt: skip
            assert process.stdout is not None
            out = [process.stdout.readline() for _ in range(after)]
            process.kill()
            out += process.stdout.readlines()
        for line in out:
            if line.endswith("\n"):
                number, place, digest = line.split()
                said[int(place)] = (str(life), int(number), digest)
    with Ledger(path) as ledger:
        ledger.append({"writer": "last"})
        assert ledger.verify().intact
        entries = {entry.seq: entry for entry in ledger.records(reveal=True)}
    assert len(said) >= kills
    for seq, (writer, count, digest) in said.items():
        assert entries[seq].hash == digest
        assert entries[seq].record == {"writer": writer, "number": count, "who": "ada"}


def torn_at(path: Path, cut: int) -> bytes:
    whole = path.read_bytes()
    start = whole[:-1].rindex(b"\n") + 1
    path.write_bytes(whole[:start] + whole[start:][:cut])
    return whole[start:][:cut]


@pytest.mark.parametrize("cut", [1, 9, 80, 200, -1])
def test_a_torn_line_is_cut_off_and_what_was_torn_is_recorded(cut: int, tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    with Ledger(path) as ledger:
        for number in range(3):
            ledger.append({"number": number, "words": "x" * 50})
    torn = torn_at(path, cut)
    found = Ledger(path).verify()
    assert not found.intact
    assert (found.line, found.seq) == (4, 3)
    assert "have no end: a write was cut off" in found.reason
    assert [entry.seq for entry in Ledger(path)] == [0, 1, 2]  # it can still be read
    with Ledger(path) as ledger:
        receipt = ledger.append({"number": 3})
        found = ledger.verify()
        assert found.intact
        assert found.recovered == 1
        (entry,) = ledger.records(kind="ledger.recovered")
    assert receipt.seq == 4
    assert entry.seq == 3
    assert entry.record["ends"] == 2
    assert entry.record["torn"]["bytes"] == len(torn)
    assert entry.record["torn"]["text"] == torn.decode()


@pytest.mark.parametrize("left", [0, 5])
def test_a_torn_beginning(left: int, tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    path.write_bytes(b'{"has'[:left])
    with Ledger(path) as ledger:
        ledger.append({"number": 0})
        assert ledger.verify().intact
        kinds = [entry.kind for entry in ledger]
    assert kinds == ["ledger.genesis", *["ledger.recovered"] * bool(left), "record"]


@pytest.mark.parametrize("left", [None, b"", b'{"has'])
def test_a_crash_while_a_segment_is_begun(left: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    with Ledger(path) as ledger:
        ledger.append({"number": 0})
    if left is not None:
        path.with_name("audit.jsonl.000002").write_bytes(left)
    with Ledger(path, segment_bytes=10) as ledger:
        ledger.append({"number": 1})
        ledger.append({"number": 2})
        assert ledger.verify().intact
        assert [e.record["number"] for e in ledger.records(kind="record")] == [0, 1, 2]
        assert ledger.verify().recovered == bool(left)


def test_a_lost_end_is_recorded(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    with Ledger(path) as ledger:
        ledger.append({"number": 0})
        lost = ledger.append({"number": 1})
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-1]))
    with Ledger(path) as ledger:
        ledger.append({"number": 2})
        (entry,) = ledger.records(kind="ledger.recovered")
        assert entry.record["tip"] == {"seq": lost.seq, "hash": lost.hash}
        assert ledger.verify().recovered == 1


@pytest.mark.parametrize("left", [0, 1, 3])
def test_values_of_lost_records_do_not_stand_in_the_way(left: int, tmp_path: Path) -> None:
    """A power cut may keep the values and lose the records."""
    path = tmp_path / "audit.jsonl"
    with Ledger(path) as ledger:
        for number in range(5):
            ledger.append({"number": number, "who": f"user {number}"}, personal=["who"])
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:left]))
    path.with_name("audit.jsonl.tip").unlink()
    with Ledger(path) as ledger:
        for number in range(2):
            ledger.append({"number": number, "who": f"later {number}"}, personal=["who"])
        assert ledger.verify().intact
        shown = [e.record["who"] for e in ledger.records(kind="record", reveal=True)]
    assert shown == [f"user {n}" for n in range(left - 1)] + ["later 0", "later 1"]
    assert b"user 4" not in path.with_name("audit.jsonl.private").read_bytes()


def test_a_writer_notices_that_its_file_was_replaced(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    with Ledger(path) as ledger:
        ledger.append({"number": 0})
        whole = path.read_bytes()
        path.unlink()
        path.write_bytes(whole)
        ledger.append({"number": 1})
        assert [entry.record["number"] for entry in ledger.records(kind="record")] == [0, 1]
        path.unlink()
        ledger.append({"number": 2})
        assert [entry.kind for entry in ledger] == ["ledger.genesis", "ledger.recovered", "record"]
        path.with_name("audit.jsonl.tip").unlink()
        ledger.append({"number": 3})
        assert ledger.verify().intact


def test_it_does_not_go_on_after_a_line_that_it_did_not_write(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    with Ledger(path) as ledger:
        ledger.append({"number": 0})
    path.write_bytes(path.read_bytes().replace(b'"number":0', b'"number":1'))
    with Ledger(path) as ledger, pytest.raises(LedgerCorrupted, match="it was edited; verify"):
        ledger.append({"number": 1})
    path.write_bytes(path.read_bytes() + b"\n")
    with Ledger(path) as ledger, pytest.raises(LedgerCorrupted, match="is no record of a ledger"):
        ledger.append({"number": 1})


@contextmanager
def files_up_to(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("room", [0, 1, 100, 230])
def test_a_full_disk_leaves_the_ledger_as_it_was(room: int, tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    with Ledger(path, sync="never") as ledger:
        ledger.append({"number": 0})
        before = path.read_bytes()
        with files_up_to(len(before) + room), pytest.raises(OSError, match=r"audit\.jsonl") as caught:  # fmt: skip
            ledger.append({"number": 1, "words": "x" * 100})
        assert caught.value.__notes__ == ["nothing was added to the ledger after record 1"]
        assert path.read_bytes() == before
        assert ledger.verify().intact
        assert ledger.append({"number": 2}).seq == 2
        assert ledger.verify().recovered == 0


def test_a_full_disk_at_the_beginning(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "audit.jsonl", sync="never")
    with files_up_to(10), pytest.raises(OSError, match="audit"):
        ledger.append({"number": 0})
    ledger.append({"number": 0})
    assert ledger.verify().intact


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="there are no users here")
def test_a_file_that_may_only_be_read_can_be_verified_but_not_written() -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        path = Path(folder) / "audit.jsonl"
        with Ledger(path) as ledger:
            ledger.append({"number": 0})
        for each in Path(folder).iterdir():
            each.chmod(0o444)
        before = path.read_bytes()
        root = os.geteuid() == 0
        if root:  # who may write everywhere
            os.seteuid(65534)
        try:
            reader = Ledger(path)
            assert reader.verify(reader.anchor()).intact
            assert [entry.seq for entry in reader] == [0, 1]
            with pytest.raises(PermissionError, match=r"audit\.jsonl"):
                reader.append({"number": 1})
        finally:
            if root:
                os.seteuid(0)
        assert path.read_bytes() == before


def test_reading_a_ledger_while_it_is_written_sees_whole_records(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    with started(path, writer="0", count=2000, segment_bytes=20_000) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        before = 0
        while process.poll() is None:
            found = Ledger(path).verify()
            assert found.intact, found
            assert found.records >= before
            before = found.records
            if before < 2000:
                process.stdout.readline()
            else:
                process.stdout.read()


def test_a_ledger_for_each_pod_and_one_look_at_all(tmp_path: Path) -> None:
    anchors = []
    for pod in ("a", "b", "c"):
        with Ledger(tmp_path / f"{pod}.jsonl", segment_bytes=300) as ledger:
            for number in range(5):
                ledger.append({"pod": pod, "number": number}, personal=["pod"])
            anchors.append(ledger.anchor())
    anchor = "\n".join(anchors)
    found = verify_all(tmp_path, anchor=anchor)
    assert sorted(map(os.path.basename, found)) == ["a.jsonl", "b.jsonl", "c.jsonl"]
    assert all(each.intact and each.tail == 0 for each in found.values())
    for each in tmp_path.glob("b.jsonl*"):
        each.unlink()
    found = verify_all(tmp_path, anchor=anchor)
    assert [each.intact for each in found.values()] == [True, True, False]
    assert "log " in list(found)[-1]
    found = verify_all([tmp_path / "a.jsonl", tmp_path / "b.jsonl"])
    assert [each.intact for each in found.values()] == [True, False]
    assert json.dumps([each.to_dict() for each in found.values()])
