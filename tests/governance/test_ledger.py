"""What a ledger keeps: any JSON, filters, exports, erasable fields, retention, clear refusals."""

from __future__ import annotations

import csv
import io
import json
import math
import shutil
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from mlguard import (
    Action,
    ConfigurationError,
    Decision,
    Ledger,
    LedgerCorrupted,
    Measurement,
    MlguardError,
    Severity,
    Verdict,
    Waiver,
    deliver,
)
from mlguard.governance import Entry, verify_all
from mlguard.testing import ManualClock

DAY = 86_400.0
NOW = 1_790_000_000.0
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip
RECORDS = st.dictionaries(st.text(), JSON, max_size=5).map(
    lambda r: {k: v for k, v in r.items() if k != "kind"}
)


@settings(max_examples=150)
@given(
    records=st.lists(RECORDS, max_size=6),
    key=st.none() | st.just(b"0123456789abcdef"),
    size=st.sampled_from([1, 600, 1 << 20]),
)
def test_what_was_appended_comes_back(
    records: list[dict[str, Any]], key: bytes | None, size: int
) -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        Ledger(f"{folder}/audit.jsonl", key=key, sync="never", segment_bytes=size) as ledger,
    ):
        receipts = [ledger.append(record) for record in records]
        found = list(ledger.records(kind="record"))
        assert [entry.record for entry in found] == records
        assert [(entry.seq, entry.hash) for entry in found] == [(r.seq, r.hash) for r in receipts]
        assert ledger.verify().intact is bool(records)


def test_values_of_the_library_are_records(tmp_path: Path) -> None:
    verdict = Verdict(
        "p99", Severity.BREACH, "61 ms", evidence=[Measurement("p99", math.inf, p_value=math.nan)]
    )
    decision = Decision(
        Action.ALERT, "p99", key="0c1d", verdicts=(verdict,), subject={"model": "m"}
    )
    waiver = Waiver("ada", "load test", NOW)
    with Ledger(tmp_path / "audit.jsonl") as ledger:
        deliver([decision], ledger.append)
        ledger.append(verdict)
        ledger.append(waiver)
        found = list(ledger)[1:]
    assert [entry.kind for entry in found] == ["decision", "verdict", "waiver"]
    assert Decision.from_dict(found[0].record) == decision
    assert Verdict.from_dict(found[1].record) == verdict
    assert Waiver.from_dict(found[2].record) == waiver


CYCLE: dict[str, Any] = {}
CYCLE["self"] = CYCLE
DEEP: Any = []
for _ in range(100_000):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    "record",
    [
        {"x": math.nan}, {"x": [math.inf]}, {"x": {1: "a"}}, {1: "a"}, {"x": {None: 1}}, {"x": object()}, {"x": {1, 2}},
        {"x": b"raw"}, {"x": datetime.now(UTC)}, CYCLE, {"x": DEEP}, {"x": 10**5000}, {"kind": "ledger.genesis"}, {"kind": 3},
        {"x": "y" * (1 << 20)}, [], "text", None, 3,
    ],
    ids=["nan", "inf", "number key", "number key at the top", "None key", "object", "set", "bytes", "datetime", "cycle", "deep", "huge number", "our kind", "kind 3", "large", "list", "str", "None", "int"],
)  # fmt: skip
def test_what_is_no_json_is_refused_before_anything_is_written(record: Any, tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "audit.jsonl")
    with pytest.raises(ConfigurationError, match=r"^record"):
        ledger.append(record)
    assert list(tmp_path.iterdir()) == []
    ledger.append({"fine": True})
    before = (tmp_path / "audit.jsonl").read_bytes()
    with pytest.raises(ConfigurationError):
        ledger.append(record)
    assert (tmp_path / "audit.jsonl").read_bytes() == before


def test_a_record_is_measured_with_all_that_stands_around_it(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "audit.jsonl")
    with pytest.raises(ConfigurationError, match=r"must be at most 1048576 bytes as a line"):
        ledger.append({"x": "y" * ((1 << 20) - 20)}, personal=["who"])
    ledger.append({"x": "y" * ((1 << 20) - 400)})
    ledger.append({"n": 1})
    assert ledger.verify().intact
    ledger.close()
    with Ledger(tmp_path / "audit.jsonl") as again:  # its last lines are found again
        assert again.append({"n": 2}).seq == 3


def test_a_closed_ledger_refuses_but_can_be_read(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "audit.jsonl")
    ledger.append({"n": 1})
    ledger.close()
    with pytest.raises(MlguardError, match=r"audit\.jsonl is closed"):
        ledger.append({"n": 2})
    assert ledger.verify(ledger.anchor()).records == 2
    ledger.close()


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"path": ""}, "path"), ({"path": 3}, "path"), ({"path": "nowhere/audit.jsonl"}, "path"),
        ({"path": "audit.jsonl.000002"}, "path"), ({"key": b"short"}, "key"), ({"key": "text that is long enough"}, "key"),
        ({"key": [b"0123456789abcdef", None]}, "key"), ({"key": 3}, "key"), ({"sync": "often"}, "sync"), ({"batch": 0}, "batch"),
        ({"within": 0}, "within"), ({"segment_bytes": 0}, "segment_bytes"), ({"keep": -1}, "keep"),
    ],
)  # fmt: skip
def test_arguments_are_refused_by_name(arguments: Any, named: str, tmp_path: Path) -> None:
    path = arguments.pop("path", "audit.jsonl")
    where = tmp_path / path if path and isinstance(path, str) else path
    with pytest.raises(ConfigurationError, match=rf"^{named} = ") as caught:
        Ledger(where, **arguments)
    assert "long enough" not in str(caught.value)
    assert "0123456789" not in str(caught.value)


def test_a_ledger_has_a_key_always_or_never(tmp_path: Path) -> None:
    key = b"0123456789abcdef"
    with Ledger(tmp_path / "with.jsonl", key=key) as keyed, Ledger(tmp_path / "less.jsonl") as bare:
        keyed.append({})
        bare.append({})
    with (
        Ledger(tmp_path / "with.jsonl") as ledger,
        pytest.raises(ConfigurationError, match="has a key from"),
    ):
        ledger.append({})
    with (
        Ledger(tmp_path / "less.jsonl", key=key) as ledger,
        pytest.raises(ConfigurationError, match="begun without"),
    ):
        ledger.append({})
    found = verify_all(tmp_path, key=key)
    assert [each.intact for each in found.values()] == [False, True]
    assert "has no mac" in next(iter(found.values())).reason


@pytest.mark.parametrize(
    "text",
    [
        "x",
        "mlguard-ledger/1 a b c d",
        "mlguard-ledger/2 a 1 " + "0" * 64 + " 2026-01-01T00:00:00Z",
        3,
    ],
)
def test_what_is_no_anchor_is_refused(text: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"^anchor = "):
        Ledger(tmp_path / "audit.jsonl").verify(text)
    with pytest.raises(ConfigurationError, match="at least one record"):
        Ledger(tmp_path / "audit.jsonl").anchor()


def test_filters(tmp_path: Path) -> None:
    clock = ManualClock(NOW)
    with Ledger(tmp_path / "audit.jsonl", clock=clock) as ledger:
        for number in range(4):
            subject = {"model": "ab"[number % 2], "version": number}
            ledger.append({"kind": "k" * (1 + number // 2), "subject": subject})
            clock.advance(60.0)
        ledger.append({"subject": "no mapping"})

        def seqs(**filters: Any) -> list[int]:
            return [entry.seq for entry in ledger.records(**filters)]

        assert seqs(subject={"model": "a"}) == [1, 3]
        assert seqs(subject={"model": "a", "version": "2"}) == [3]
        assert seqs(kind="k") == [1, 2]
        assert seqs(since=NOW + 60.0) == [2, 3, 4, 5]
        assert seqs(until=datetime.fromtimestamp(NOW + 60.0, UTC)) == [0, 1]
        assert seqs(since=NOW + 60.0, until=NOW + 180.0, kind="kk") == [3]
        with pytest.raises(ConfigurationError, match=r"^since = "):
            ledger.records(since=math.nan)
        with pytest.raises(ConfigurationError, match=r"^subject"):
            ledger.records(subject={"a": object()})


def test_exports(tmp_path: Path) -> None:
    with Ledger(tmp_path / "audit.jsonl", clock=ManualClock(NOW)) as ledger:
        ledger.append({"kind": "promoted", "who": 'Zoë, "x"\n', "subject": {"model": "m"}})
        ledger.append({"who": "ada", "seq": 99})
        stream, table = io.StringIO(), io.StringIO()
        ledger.export(stream)
        ledger.export(table, format="csv", kind="promoted")
        frame = ledger.to_frame()
        nothing = ledger.to_frame(kind="none")
        with pytest.raises(ConfigurationError, match=r"^format = 'xml'"):
            ledger.export(stream, format="xml")  # type: ignore[arg-type]
    assert json.loads(stream.getvalue()) == [entry.to_dict() for entry in ledger]
    head, row = csv.reader(io.StringIO(table.getvalue()))
    assert head == ["seq", "at", "kind", "subject", "record", "hash"]
    assert json.loads(row[4])["who"] == 'Zoë, "x"\n'
    assert list(frame["seq"]) == [0, 1, 2]
    assert frame["who"][2] == "ada"
    assert frame["at"][0] == datetime.fromtimestamp(NOW, UTC)
    assert len(nothing) == 0
    assert list(nothing) == ["seq", "at", "kind", "hash"]


def personal(path: Path) -> Ledger:
    ledger = Ledger(path)
    ledger.append(
        {"who": "ada@example.com", "subject": {"user": "u-17", "model": "m"}},
        personal=["who", "subject.user", "absent.field"],
    )
    ledger.append({"who": "ada@example.com"}, personal=["who"])
    return ledger


def test_personal_fields_are_committed_to_and_can_be_revealed(tmp_path: Path) -> None:
    with personal(tmp_path / "audit.jsonl") as ledger:
        raw = (tmp_path / "audit.jsonl").read_text()
        assert "ada@" not in raw
        assert "u-17" not in raw
        _, one, two = ledger
        _, shown, _ = ledger.records(reveal=True)
        assert one.private == ("who", "subject.user")
        assert shown.record == {"who": "ada@example.com", "subject": {"user": "u-17", "model": "m"}}
        assert one.record["who"] != two.record["who"]  # nobody can tell that it is the same person
        assert [e.seq for e in ledger.records(subject={"user": "u-17"}, reveal=True)] == [1]
        assert ledger.verify().intact


def test_what_was_redacted_is_gone_and_the_chain_verifies(tmp_path: Path) -> None:
    with personal(tmp_path / "audit.jsonl") as ledger:
        anchor = ledger.anchor()
        ledger.redact(1, why="request 12 of the person")
        assert ledger.verify(anchor).intact
        assert not any(b"u-17" in each.read_bytes() for each in tmp_path.iterdir())
        _, gone, there, note = ledger.records(reveal=True)
        assert gone.record["who"].startswith("sha256:")
        assert there.record["who"] == "ada@example.com"
        assert note.kind == "ledger.redacted"
        assert note.record == {
            "seq": 1,
            "fields": ["who", "subject.user"],
            "why": "request 12 of the person",
        }
        ledger.redact(1, why="again, harmless")
        assert ledger.verify().intact
        for seq in (0, 3, 99, -1):
            with pytest.raises(ConfigurationError, match=r"^seq = "):
                ledger.redact(seq, why="none there")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("ada@example.com", "bob@example.com"),
        ('"who"', '"how"'),
        ('"salt": "', '"salt": "0'),
        ("seq", "qes"),
    ],
)
def test_private_values_that_were_changed_or_erased_in_secret_are_found(
    old: str, new: str, tmp_path: Path
) -> None:
    with personal(tmp_path / "audit.jsonl") as ledger:
        side = tmp_path / "audit.jsonl.private"
        text = side.read_text()
        side.write_text(text.replace(old, new))
        found = ledger.verify()
        assert not found.intact
        assert "values of record 1 are missing or changed" in found.reason
        side.unlink()
        assert not ledger.verify().intact
        side.write_text(text + '{"seq": 1, "fie')  # torn by a crash: the rest still counts
        ledger.append({"who": "eve"}, personal=["who"])
        assert ledger.verify().intact


def test_personal_is_a_sequence_of_fields(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "audit.jsonl")
    for wrong in ("who", [""], [3]):
        with pytest.raises(ConfigurationError, match=r"^personal = "):
            ledger.append({"who": "ada"}, personal=wrong)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match=r"^record"):
        ledger.append({"who": math.nan}, personal=["who"])
    assert list(tmp_path.iterdir()) == []


def aged(path: Path, clock: ManualClock, **arguments: Any) -> Ledger:
    ledger = Ledger(path, clock=clock, **arguments)
    for number in range(6):
        ledger.append({"number": number, "who": f"user {number}"}, personal=["who"])
        clock.advance(100 * DAY)
        if number % 2:
            ledger.rotate()
    return ledger


def test_pruned_segments_are_gone_and_the_rest_verifies(tmp_path: Path) -> None:
    clock, path = ManualClock(NOW), tmp_path / "audit.jsonl"
    with aged(path, clock) as ledger:
        early, late = str(ledger.anchor()), ""
        assert ledger.prune(NOW + 250 * DAY) == ["audit.jsonl"]
        late = ledger.anchor()
        assert not path.exists()
        assert ledger.verify().intact
        assert [e.record["number"] for e in ledger.records(kind="record")] == [2, 3, 4, 5]
        assert b"user 0" not in path.with_name("audit.jsonl.private").read_bytes()
        assert ledger.prune(NOW + 250 * DAY) == []
        assert ledger.verify(early).complete_to is not None
        assert ledger.prune(NOW + 400 * DAY) == ["audit.jsonl.000002"]
        assert ledger.verify(f"{early}\n{late}").intact
        assert Ledger(path).verify().intact
        assert ledger.append({"number": 6}).seq == ledger.verify().last
    path.with_name("audit.jsonl.000003").unlink()
    assert not Ledger(path).verify().intact


def test_a_cut_head_is_not_a_pruned_one(tmp_path: Path) -> None:
    clock, path = ManualClock(NOW), tmp_path / "audit.jsonl"
    with aged(path, clock) as ledger:
        first = ledger.verify()
        assert first.intact
        path.unlink()
        assert "are gone, and none says they were pruned" in ledger.verify().reason


def test_a_prune_that_was_interrupted_still_verifies(tmp_path: Path) -> None:
    clock, path = ManualClock(NOW), tmp_path / "audit.jsonl"
    with aged(path, clock) as ledger:
        copy = path.read_bytes(), path.with_name("audit.jsonl.000002").read_bytes()
        private = path.with_name("audit.jsonl.private").read_bytes()
        assert len(ledger.prune(NOW + 400 * DAY)) == 2
        path.with_name("audit.jsonl.private").write_bytes(private)
        path.with_name("audit.jsonl.000002").write_bytes(copy[1])
        assert ledger.verify().intact
        path.write_bytes(copy[0])
        assert ledger.verify().intact
        assert len(ledger.prune(NOW + 400 * DAY)) == 2


def test_an_anchor_of_what_was_pruned_cannot_tell(tmp_path: Path) -> None:
    clock, path = ManualClock(NOW), tmp_path / "audit.jsonl"
    ledger = Ledger(path, clock=clock)
    ledger.append({"number": 0})
    anchor = ledger.anchor()
    ledger.append({"number": 1})
    ledger.close()
    with aged(path, clock) as ledger:
        ledger.prune(NOW + 300 * DAY)
        found = ledger.verify(anchor)
        assert not found.intact
        assert "take a newer anchor" in found.reason
        assert ledger.verify(ledger.anchor()).intact


def test_the_floor_of_retention(tmp_path: Path) -> None:
    clock = ManualClock(NOW)
    with aged(tmp_path / "audit.jsonl", clock) as ledger:
        with pytest.raises(ConfigurationError, match=r"at least 183 days ago, as keep= says"):
            ledger.prune(clock() - 182 * DAY)
        assert ledger.verify().intact
    with Ledger(tmp_path / "audit.jsonl", clock=clock, keep=timedelta(days=1)) as ledger:
        assert ledger.prune(clock() - 2 * DAY)


def test_when_it_waits_for_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[int] = []
    clock = ManualClock(NOW)
    monkeypatch.setattr("mlguard.governance.files.os.fsync", waits.append)

    def counts(**arguments: Any) -> list[int]:
        found = []
        with Ledger(
            tmp_path / f"{len(list(tmp_path.iterdir()))}.jsonl", clock=clock, **arguments
        ) as ledger:
            ledger.append({})
            for number in range(6):
                waits.clear()
                clock.advance(10.0 * (number == 4))
                ledger.append({})
                found.append(len(waits))
            waits.clear()
        return [*found, len(waits)]

    assert counts(sync="always") == [1, 1, 1, 1, 1, 1, 0]
    assert counts(sync="never") == [0, 0, 0, 0, 0, 0, 0]
    assert counts(sync="batch", batch=3, within=5.0) == [1, 0, 0, 1, 1, 0, 1]


@pytest.mark.parametrize("line", [b"[]\n", b"{}\n", b"{\n", b'{"hash": 1}\n', b"\xff\n"])
def test_a_line_that_cannot_be_read_says_where(line: bytes, tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    with Ledger(path) as ledger:
        ledger.append({})
    path.write_bytes(path.read_bytes() + line)
    with pytest.raises(LedgerCorrupted, match=r"line 3 of audit\.jsonl"):
        list(Ledger(path))
    assert not Ledger(path).verify().intact


@pytest.mark.parametrize(
    "record", ["{}", '{"segments":3}', '{"segments":[3]}', '{"segments":[{}]}', "[]"]
)
def test_a_forged_record_of_our_own_kind_does_not_break_verification(
    record: str, tmp_path: Path
) -> None:
    from mlguard.governance.chain import line_of

    path = tmp_path / "audit.jsonl"
    with Ledger(path) as ledger:
        last = ledger.append({})
    for kind in ("pruned", "redacted", "segment"):
        line, _ = line_of(
            2,
            last.hash,
            kind=f"ledger.{kind}",
            at="2026-01-01T00:00:00Z",
            record=record,
            private='"private":[3],',
            keys={},
        )
        copy = path.with_name(f"{kind}.jsonl")
        copy.write_bytes(path.read_bytes() + line)
        assert "it was forged" in Ledger(copy).verify().reason


class Machine(RuleBasedStateMachine):
    """A ledger against a list of what it should hold."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.clock = ManualClock(NOW)
        self.model: list[tuple[int, dict[str, Any]]] = []
        self.times: dict[int, float] = {}
        self.redacted: set[int] = set()
        self.anchors: list[str] = []
        self.begun = False

    @initialize(
        key=st.sampled_from([None, b"0123456789abcdef"]), size=st.sampled_from([700, 1 << 20])
    )
    def open(self, key: bytes | None, size: int) -> None:
        self.arguments: dict[str, Any] = {
            "key": key,
            "segment_bytes": size,
            "sync": "never",
            "keep": 5.0,
            "clock": self.clock,
        }
        self.ledger = Ledger(self.folder / "audit.jsonl", **self.arguments)
        self.other = Ledger(self.folder / "audit.jsonl", **self.arguments)

    @rule(record=RECORDS, who=st.text(), second=st.booleans())
    def append(self, record: dict[str, Any], who: str, second: bool) -> None:  # noqa: FBT001 -- drawn
        content = {**record, "who": who}
        ledger = self.other if second else self.ledger
        receipt = ledger.append(content, personal=["who"])
        self.begun = True
        self.model.append((receipt.seq, content))
        self.times[receipt.seq] = self.clock()
        self.clock.advance(1.0)

    @rule()
    def rotate(self) -> None:
        self.ledger.rotate()

    @rule()
    def reopen(self) -> None:
        self.ledger.close()
        self.ledger = Ledger(self.folder / "audit.jsonl", **self.arguments)

    @rule()
    def lose_the_tip(self) -> None:
        (self.folder / "audit.jsonl.tip").unlink(missing_ok=True)

    @rule(torn=st.binary(min_size=1, max_size=30).filter(lambda data: b"\n" not in data))
    def tear(self, torn: bytes) -> None:
        files = sorted(
            each for each in self.folder.iterdir() if each.suffix not in {".tip", ".private"}
        )
        if files:
            with files[-1].open("ab") as stream:
                stream.write(torn)
            assert not self.ledger.verify().intact
            self.append({}, "after", second=False)
            assert self.ledger.verify().recovered

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def redact(self, data: st.DataObject) -> None:
        seq, _ = data.draw(st.sampled_from(self.model))
        self.ledger.redact(seq, why="asked")
        self.redacted.add(seq)

    @precondition(lambda self: self.model)
    @rule()
    def anchor(self) -> None:
        self.anchors.append(self.ledger.anchor())

    @rule(age=st.integers(5, 12))
    def prune(self, age: int) -> None:
        before = self.clock() - age
        self.ledger.prune(before)
        kept = {entry.seq for entry in self.ledger.records(kind="record")}
        gone = [seq for seq, _ in self.model if seq not in kept]
        assert all(self.times[seq] < before for seq in gone)
        assert gone == [seq for seq, _ in self.model][: len(gone)]
        self.model = self.model[len(gone) :]

    @invariant()
    def it_is_intact_and_holds_what_the_model_holds(self) -> None:
        found = self.ledger.verify()
        assert found.intact is self.begun, found
        if self.anchors and self.model:
            anchored = self.ledger.verify(self.anchors[-1])
            assert anchored.intact or "was pruned" in anchored.reason
        shown = list(self.ledger.records(kind="record", reveal=True))
        assert [entry.seq for entry in shown] == [seq for seq, _ in self.model]
        for entry, (seq, content) in zip(shown, self.model, strict=True):
            expected = dict(content)
            if seq in self.redacted:
                expected["who"] = entry.record["who"]
                assert entry.record["who"].startswith("sha256:")
            assert entry.record == expected

    def teardown(self) -> None:
        shutil.rmtree(self.folder)


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)


def test_an_entry_is_a_value() -> None:
    entry = Entry(1, NOW, "k", {}, (), "h")
    assert entry == Entry(1, NOW, "k", {}, (), "h")
    assert entry.to_dict()["at"] == "2026-09-21T14:13:20Z"
