from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mlguard import Severity
from mlguard.errors import ConfigurationError
from mlguard.lint import (
    Finding,
    Judgement,
    LintReport,
    Operation,
    Patch,
    Place,
    Rule,
    Unknown,
    read,
)
from mlguard.lint.findings import fingerprints
from mlguard.lint.patches import pointer, steps


def change(op: Any, path: str, value: Any = None) -> Patch:
    return Patch((Operation(op, path, value),))


@pytest.mark.parametrize(
    ("patch", "after"),
    [
        (change("add", "/b", 3), {"a": [1, {"x/y": 2}], "b": 3}),
        (change("add", "/a", 3), {"a": 3}),
        (change("add", "/a/0", 3), {"a": [3, 1, {"x/y": 2}]}),
        (change("add", "/a/-", 3), {"a": [1, {"x/y": 2}, 3]}),
        (change("add", "/a/2", 3), {"a": [1, {"x/y": 2}, 3]}),
        (change("replace", "/a/1/x~1y", 3), {"a": [1, {"x/y": 3}]}),
        (change("replace", "/a/0", 3), {"a": [3, {"x/y": 2}]}),
        (change("replace", "", 3), 3),
        (change("remove", "/a/0"), {"a": [{"x/y": 2}]}),
        (change("remove", "/a"), {}),
    ],
)
def test_a_patch_changes_a_copy_as_rfc_6902_says(patch: Patch, after: object) -> None:
    before = {"a": [1, {"x/y": 2}]}
    assert patch.apply(before) == after
    assert before == {"a": [1, {"x/y": 2}]}


@pytest.mark.parametrize(
    "patch",
    [
        change("replace", "/b", 3),
        change("remove", "/b"),
        change("add", "/b/c", 3),
        change("add", "/a/3", 3),
        change("add", "/a/x", 3),
        change("replace", "/a/2", 3),
        change("replace", "/a/-", 3),
        change("add", "/a/0/b", 3),
    ],
)
def test_a_patch_that_does_not_fit_is_refused(patch: Patch) -> None:
    with pytest.raises(ConfigurationError, match=r"path = .*: must be in the document"):
        patch.apply({"a": [1, 2]})


def test_a_patch_does_not_share_its_values_with_what_it_made() -> None:
    patch = change("add", "/b", [])
    patch.apply({})["b"].append(1)
    assert patch.apply({}) == {"b": []}
    patch = change("add", "/a/-", [])
    patch.apply({"a": []})["a"][0].append(1)
    assert patch.apply({"a": []}) == {"a": [[]]}


def test_a_diff_shows_what_is_changed_and_the_documents_beside_it() -> None:
    patch = Patch((Operation("replace", "/image", "a:1"),), ({"kind": "HorizontalPodAutoscaler"},))
    assert patch.diff({"image": Unknown("${IMAGE}"), "args": ["a\nb", "c"]}) == (
        "@@ -1,5 +1,7 @@\n-image: ${IMAGE}\n+image: a:1\n args:\n   - |-\n     a\n     b\n   - c\n"
        "+---\n+kind: HorizontalPodAutoscaler"
    ).replace("-1,5 +1,7", "-1,6 +1,8").replace("   - c\n", "   - c\n")


def test_a_pointer_keeps_slashes_and_tildes() -> None:
    assert steps(pointer("a/b", 0, "~c")) == ["a/b", "0", "~c"]


@pytest.mark.parametrize(
    ("make", "given"),
    [
        (Operation, ("move", "/a")),
        (Operation, ("add", "a")),
        (Rule, ("", "a", "error", "", "")),
        (Rule, ("a", "a", "fatal", "", "")),
        (Judgement, ("a", "maybe", "")),
    ],
)
def test_words_that_are_not_known_are_refused(make: Any, given: tuple[str, ...]) -> None:
    with pytest.raises(ConfigurationError, match="must be"):
        make(*given)


def test_a_fingerprint_stays_when_lines_move_and_tells_the_second_from_the_first(
    samples: Any,
) -> None:
    finding = samples.report().findings[0]
    moved = replace(finding, place=replace(finding.place, line=99, document=3), message="else")
    other = replace(finding, place=Place("other"))
    one, two, three = fingerprints([finding, moved, other])
    assert (one[-2:], two[-2:], one[:-2]) == (":1", ":2", two[:-2])
    assert one.partition(":")[0] != three.partition(":")[0]


RULE = Rule("MLG-XX001", "x", "error", "drift", "")


@pytest.mark.parametrize(
    ("states", "findings", "severity"),
    [
        (["met", "unknown"], [], Severity.OK),
        (["met", "unmet"], [], Severity.BREACH),
        (["unknown"], [], Severity.UNKNOWN),
        ([], [], Severity.UNKNOWN),
        (["met"], [Finding(RULE, "", "", Place(""))], Severity.BREACH),
        (["met"], [Finding(RULE, "", "", Place(""), doubt=True)], Severity.OK),
        (["met"], [Finding(replace(RULE, level="warning"), "", "", Place(""))], Severity.WARN),
        (["met"], [Finding(RULE, "", "", Place(""), known=True)], Severity.OK),
    ],
)
def test_a_report_is_as_bad_as_the_worst_that_counts(
    states: list[Any], findings: list[Finding], severity: Severity
) -> None:
    judgements = tuple(Judgement(f"r{n}", each, "") for n, each in enumerate(states))
    assert LintReport(judgements, tuple(findings)).severity is severity


def test_a_file_that_does_not_read_leaves_in_doubt_what_is_not_breached() -> None:
    documents = tuple(read("a: 1\n---\nb: [\n"))
    met = LintReport((Judgement("drift", "met", ""),), documents[1].problems, documents)
    assert met.severity is Severity.UNKNOWN
    unmet = replace(met, judgements=(Judgement("drift", "unmet", ""),))
    assert unmet.severity is Severity.BREACH
