from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mlguard import Severity
from mlguard.errors import ConfigurationError
from mlguard.lint import Judgement, LintReport, read
from mlguard.lint.baseline import baseline, known
from mlguard.lint.findings import fingerprints
from mlguard.lint.waivers import read_waivers, waive

WAIVED = "# mlguard: waive MLG-RB001 until 2027-01-31 because the job is idempotent\n"
CONFIG = "replicas: 3\nimage: a\n"


def told(given: LintReport) -> list[str]:
    return [f"{each.place.line} {each.rule.id} {each.message}" for each in given.findings[2:]]


def test_a_comment_accepts_a_finding_of_its_document(samples: Any) -> None:
    found = waive(samples.report(CONFIG + WAIVED), now=samples.now)
    waiver = found.findings[0].waiver
    assert waiver is not None
    assert (waiver.who, waiver.why) == ("document:3", "the job is idempotent")
    assert found.findings[1].waiver is None
    assert found.accepts("rollback")
    assert (samples.report(CONFIG).severity, found.severity) == (Severity.BREACH, Severity.WARN)
    assert told(found) == []


def test_a_comment_can_say_who(samples: Any) -> None:
    text = WAIVED.replace("until", "by Ada Lovelace until")
    waiver = waive(samples.report(text + CONFIG), now=samples.now).findings[0].waiver
    assert waiver is not None
    assert waiver.who == "Ada Lovelace"


def test_a_comment_is_for_its_own_document_only(samples: Any) -> None:
    documents = read(f"---\n{CONFIG}---\n{WAIVED}{CONFIG}")
    found = waive(samples.of(*documents), now=samples.now).findings
    assert [each.waiver is None for each in found] == [True, True, False, True]


def test_a_comment_before_the_first_document_is_for_it(samples: Any) -> None:
    documents = read(f"{WAIVED}---\n{CONFIG}---\n{CONFIG}")
    found = waive(samples.of(*documents), now=samples.now).findings
    assert [each.waiver is None for each in found] == [False, True, True, True]


def test_an_annotation_accepts_findings_a_line_each(samples: Any) -> None:
    annotation = "MLG-RB001 until 2027-01-31 because one\nMLG-IM001 until 2027-01-31 because two"
    (document,) = read([{"metadata": {"annotations": {"mlguard/waive": annotation}}}])
    found = waive(samples.of(document), now=samples.now).findings
    assert [each.waiver and each.waiver.why for each in found] == ["one", "two"]


@pytest.mark.parametrize(
    ("comment", "says"),
    [
        ("waive MLG-RB001", "must be waive RULE until YYYY-MM-DD because WHY"),
        ("waive MLG-RB001 until 2027-01-31", "must be waive RULE until"),
        ("waive MLG-RB001 because it is fine", "must be waive RULE until"),
        ("waive MLG-RB001 until 2027-13-31 because of it", "until = '2027-13-31': must be a day"),
        ("waive until 2027-01-31 because of it", "must be waive RULE until"),
        ("wave MLG-RB001 until 2027-01-31 because of it", "must be waive RULE until"),
        ("waive MLG-XX001 until 2027-01-31 because of it", "there is no rule MLG-XX001"),
    ],
)
def test_a_waiver_without_rule_day_or_reason_hides_nothing(
    samples: Any, comment: str, says: str
) -> None:
    found = waive(samples.report(f"{CONFIG}# mlguard: {comment}\n"), now=samples.now)
    assert found.severity is Severity.BREACH
    assert found.findings[0].waiver is None
    (problem,) = told(found)
    assert problem.startswith("3 MLG-WA001 ")
    assert says in problem


def test_an_expired_waiver_hides_nothing_from_the_end_of_its_last_day(samples: Any) -> None:
    given = samples.report(CONFIG + WAIVED)
    end = 1_801_439_999.0  # 2027-01-31T23:59:59Z
    assert waive(given, now=end - 1).findings[0].waiver is not None
    found = waive(given, now=end)
    assert found.findings[0].waiver is None
    assert told(found) == [
        "3 MLG-WA002 the waiver of MLG-RB001 has expired at 2027-01-31T23:59:59Z"
    ]


def test_a_waiver_that_nothing_needs_is_told_where_its_rule_was_judged(samples: Any) -> None:
    given = samples.report(CONFIG + WAIVED)
    mended = replace(given, findings=given.findings[1:])
    assert [each.rule.id for each in waive(mended, now=samples.now).findings] == [
        "MLG-IM001",
        "MLG-WA003",
    ]
    not_asked = replace(mended, judgements=(Judgement("drift", "met", "there"),))
    assert [each.rule.id for each in waive(not_asked, now=samples.now).findings] == ["MLG-IM001"]


def written(path: Path, **item: Any) -> Path:
    lines = "".join(f"\n  {key}: {value}" for key, value in item.items())
    path.write_text(f"waivers:\n-{lines[2:]}\n")
    return path


GIVEN: dict[str, Any] = {"rule": "MLG-RB001", "who": "ada", "why": "batch", "until": "2027-01-31"}


@pytest.mark.parametrize(
    ("pattern", "hits"),
    [("deploy/*.yaml", 1), ("'*.yaml'", 2), ("deploy/a.yaml", 1), ("a.yaml", 1), ("'*.json'", 0)],
)
def test_a_file_of_waivers_is_for_the_files_of_its_pattern(
    samples: Any, tmp_path: Path, pattern: str, hits: int
) -> None:
    waivers = read_waivers(written(tmp_path / "waivers.yaml", file=pattern, **GIVEN))
    (document,) = read(CONFIG)
    files = [replace(document, file=f"repository/{name}.yaml") for name in ("deploy/a", "test/b")]
    found = waive(samples.of(*files), waivers, now=samples.now)
    assert sum(each.waiver is not None for each in found.findings) == hits
    assert not any(each.rule.id == "MLG-WA003" for each in found.findings)


def test_the_place_of_an_unused_waiver_is_in_its_file(samples: Any, tmp_path: Path) -> None:
    file = written(tmp_path / "waivers.yaml", **GIVEN)
    given = samples.report(CONFIG)
    found = waive(replace(given, findings=()), read_waivers(file), now=samples.now)
    assert str(found.findings[0].place) == f"{file}:2 /waivers/0"


@pytest.mark.parametrize("missing", ["rule", "who", "why", "until"])
def test_a_file_of_waivers_must_say_everything(tmp_path: Path, missing: str) -> None:
    item = {key: value for key, value in GIVEN.items() if key != missing}
    with pytest.raises(ConfigurationError, match=r"waivers\[0\] = "):
        read_waivers(written(tmp_path / "waivers.yaml", **item))


def test_a_file_of_waivers_refuses_what_it_does_not_know(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"waivers\[0\] = "):
        read_waivers(written(tmp_path / "waivers.yaml", **GIVEN, pointer="/a"))
    with pytest.raises(ConfigurationError, match="a day"):
        read_waivers(written(tmp_path / "waivers.yaml", **{**GIVEN, "until": "soon"}))
    (tmp_path / "list.json").write_text("[]")
    with pytest.raises(ConfigurationError, match="the only key"):
        read_waivers(tmp_path / "list.json")


def test_what_nobody_has_seen_is_neither_waived_nor_known(samples: Any) -> None:
    (broken,) = read("# mlguard: waive MLG-FI001 until 2027-01-31 because it is a template\na: [\n")
    rules = (broken.problems[0].rule,)
    given = LintReport((), broken.problems, (broken,), rules)
    found = waive(given, now=samples.now)
    assert [each.waiver for each in found.findings] == [None, None]
    assert [each.rule.id for each in found.findings] == ["MLG-FI001", "MLG-WA003"]
    names = [{"fingerprint": each} for each in fingerprints(given.findings)]
    again = known(given, {"kind": "baseline", "schema": 1, "findings": names})
    assert again.severity is Severity.UNKNOWN
    assert not again.findings[0].known


def test_what_stands_in_the_baseline_does_not_count_wherever_its_line_is(samples: Any) -> None:
    record = baseline(samples.report(CONFIG))
    assert [each["rule"] for each in record["findings"]] == [samples.rollback.id, samples.image.id]
    found = known(samples.report(f"# moved\n{CONFIG}"), record)
    assert [each.known for each in found.findings] == [True, True]
    assert found.accepts("rollback")
    assert found.severity is Severity.OK


def test_a_second_finding_of_the_same_place_is_new(samples: Any) -> None:
    record = baseline(samples.report(CONFIG))
    found = known(samples.of(*read(f"{CONFIG}---\n{CONFIG}")), record)
    assert [each.known for each in found.findings] == [True, True, False, False]
    assert found.severity is Severity.BREACH


@pytest.mark.parametrize(
    "record",
    [{}, {"kind": "baseline", "schema": 2}, {"kind": "baseline", "schema": 1, "findings": 3}],
)
def test_a_baseline_of_another_kind_is_refused(samples: Any, record: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="must be"):
        known(samples.report(), record)
