from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import jsonschema
import pytest

from mlguard import Severity
from mlguard.lint import Finding, LintReport, Operation, Patch, Place, Rule, lint, read
from mlguard.lint.baseline import known
from mlguard.lint.findings import fingerprints
from mlguard.lint.pages import github, markdown
from mlguard.lint.terminal import summary
from mlguard.lint.waivers import waive

TEXT = {"type": "string", "minLength": 1}
LEVEL = {"enum": ["none", "note", "warning", "error"]}


def exactly(required: list[str], **properties: Any) -> dict[str, Any]:
    shape = {"type": "object", "properties": properties, "additionalProperties": False}
    return shape | {"required": required}


def list_of(items: Any) -> dict[str, Any]:
    return {"type": "array", "items": items, "uniqueItems": True}


MESSAGE = exactly(["text"], text=TEXT)
RULE = exactly(
    ["id"],
    id=TEXT,
    name={"type": "string", "pattern": "^[A-Z][A-Za-z]+$"},
    shortDescription=MESSAGE,
    fullDescription=MESSAGE,
    help=MESSAGE,
    defaultConfiguration=exactly([], level=LEVEL),
    properties=exactly([], tags=list_of(TEXT)),
)
LOCATION = exactly(
    [],
    logicalLocations=list_of(exactly([], fullyQualifiedName=TEXT)),
    physicalLocation=exactly(
        ["artifactLocation"],
        artifactLocation=exactly(["uri"], uri={"type": "string", "pattern": r"^[^\s\\]+$"}),
        region=exactly(["startLine"], startLine={"type": "integer", "minimum": 1}),
    ),
)
SUPPRESSION = exactly(
    ["kind"],
    kind={"enum": ["inSource", "external"]},
    status={"enum": ["accepted", "underReview", "rejected"]},
    justification=TEXT,
)
RESULT = exactly(
    ["message", "ruleId", "ruleIndex", "level", "locations", "partialFingerprints"],
    ruleId=TEXT,
    ruleIndex={"type": "integer", "minimum": 0},
    level=LEVEL,
    message=MESSAGE,
    locations=list_of(LOCATION),
    partialFingerprints={"type": "object", "additionalProperties": TEXT},
    suppressions=list_of(SUPPRESSION),
)
RUN = exactly(
    ["tool", "results"],
    tool=exactly(
        ["driver"], driver=exactly(["name"], name=TEXT, version=TEXT, rules=list_of(RULE))
    ),
    columnKind={"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
    results={"type": "array", "items": RESULT},
    properties={"type": "object"},
)
SARIF = exactly(
    ["version", "runs"], **{"$schema": TEXT, "version": {"const": "2.1.0"}, "runs": list_of(RUN)}
)
"""Of the standard what we write, and nothing that it does not know."""

BAD = "replicas: 3\nimage: a\n# mlguard: waive MLG-RB001 until 2027-01-31 because it is a batch\n"


def accepted(samples: Any) -> LintReport:
    given: LintReport = waive(samples.report(BAD), now=samples.now)
    name = {"fingerprint": fingerprints(given.findings)[1]}
    return known(given, {"kind": "baseline", "schema": 1, "findings": [name]})


def test_sarif_is_as_its_standard_says_and_keeps_what_is_accepted(samples: Any) -> None:
    log = accepted(samples).to_sarif()
    jsonschema.validate(log, SARIF)
    json.dumps(log, allow_nan=False)
    run = log["runs"][0]
    rules = run["tool"]["driver"]["rules"]
    assert [rules[each["ruleIndex"]]["id"] for each in run["results"]] == ["MLG-RB001", "MLG-IM001"]
    assert [each["suppressions"][0]["status"] for each in run["results"]] == [
        "accepted",
        "accepted",
    ]
    assert "it is a batch" in run["results"][0]["suppressions"][0]["justification"]
    assert "suppressions" not in samples.report().to_sarif()["runs"][0]["results"][0]


def test_sarif_of_what_lint_gives_declares_every_rule_with_and_without_findings() -> None:
    report = lint("replicas: 3\n---\na: [\n")
    log = report.to_sarif()
    jsonschema.validate(log, SARIF)
    declared = {each["id"] for each in log["runs"][0]["tool"]["driver"]["rules"]}
    assert {"MLG-RB001", "MLG-IM001", "MLG-FI001"} <= declared
    names = [each["partialFingerprints"]["mlguardFinding/v1"] for each in log["runs"][0]["results"]]
    assert len(set(names)) == len(names) > 3


@pytest.mark.parametrize(
    ("file", "uri"), [("a b/ü.yaml", "a%20b/%C3%BC.yaml"), ("/a/b.yaml", "file:///a/b.yaml")]
)
def test_sarif_names_files_as_a_uri(samples: Any, file: str, uri: str) -> None:
    (document,) = read("a: 1\n")
    log = samples.of(replace(document, file=file)).to_sarif()
    jsonschema.validate(log, SARIF)
    location = log["runs"][0]["results"][0]["locations"][0]["physicalLocation"]
    assert location["artifactLocation"]["uri"] == uri


def test_json_has_requirements_findings_and_their_fixes(samples: Any) -> None:
    given = json.loads(json.dumps(accepted(samples).to_dict(), allow_nan=False))
    assert (given["kind"], given["schema"], given["severity"]) == ("lintreport", 1, "OK")
    assert [each["state"] for each in given["requirements"]] == ["unmet", "unknown"]
    assert given["requirements"][0]["accepted"] is True
    first, second = given["findings"]
    assert first["fix"]["operations"] == [
        {"op": "add", "path": "/rollback_on_error", "value": True}
    ]
    assert "+rollback_on_error: true" in first["fix"]["diff"]
    assert (first["waiver"]["why"], second["known"], second["line"]) == ("it is a batch", True, 2)


def test_text_says_the_requirements_first_and_shows_the_fix(samples: Any) -> None:
    lines = str(samples.report()).splitlines()
    assert lines[:3] == [
        "requirement  state    evidence",
        "rollback     unmet    nothing rolls back (document:1)",
        "drift        unknown  cannot be said here",
    ]
    assert "    1 error   MLG-RB001 nothing rolls back" in lines
    assert "              +rollback_on_error: true" in lines
    assert lines[-1] == "1 file: 1 error, 1 warning"


def test_text_says_what_is_accepted_and_why(samples: Any) -> None:
    words = str(accepted(samples))
    assert "rollback     unmet, accepted" in words
    assert "it is a batch" in words
    assert "MLG-IM001" not in words
    assert summary(accepted(samples)) == "1 file: 1 waived, 1 in the baseline"
    assert summary(LintReport()) == "0 files: no finding"


EVIL = "a\x1b[2J%\n::error::|<b>`![x](y)"


def evil() -> LintReport:
    rule = Rule("MLG-XX001", "x", "error", "drift", "")
    fix = Patch((Operation("add", "/b", "```\n````"),))
    (document,) = read([{"a": EVIL}])
    document = replace(document, file="a,b:c\n.yaml")
    place = Place(document.file, 0, "/a", 1)
    return LintReport((), (Finding(rule, "", EVIL, place, fix),), (document,), (rule,))


def test_github_annotations_cannot_be_forged_by_what_is_linted(samples: Any) -> None:
    assert github(evil()) == (
        "::error file=a%2Cb%3Ac%0A.yaml,line=1,title=MLG-XX001 x::"
        "a\\x1b[2J%25%0A::error::|<b>`![x](y)"
    )
    assert github(accepted(samples)) == ""
    assert github(samples.report()).splitlines()[1] == (
        "::warning title=MLG-IM001 image-not-pinned::the image has no tag"
    )


def test_markdown_and_text_keep_what_is_linted_in_its_place(samples: Any) -> None:
    page = markdown(evil())
    assert "\x1b" not in page + str(evil())
    assert "| a\\x1b\\[2J% ::error::\\|\\<b\\>\\`!\\[x\\](y) |".replace("\\x1b", "\\\\x1b") in page
    assert "\n`````diff\n" in page
    assert "| rollback | unmet, accepted | nothing rolls back |" in markdown(accepted(samples))
    assert "```diff\n@@ -1,2 +1,3 @@" in markdown(samples.report())


def test_a_report_of_nothing_is_in_doubt() -> None:
    assert lint([]).severity is Severity.UNKNOWN
