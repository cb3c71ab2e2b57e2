"""Each mistake in a document is one line: where, which line, what stands there, what is allowed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from mlguard import Requirements
from mlguard.requirements import InvalidRequirements

HEAD = "version: 1\nservice: fraud\n"
SECONDS = "a positive duration with its unit"
SHARE = "a share between 0 and 1"
MONEY = "a positive amount and its currency, such as '500 USD'"

# what is written from line 3 on, the line of the mistake, its path, the value, what is allowed
MISTAKES = [
    ("latncy: {p99: 50 ms}", 3, "latncy", "{'p99': '50 ms'}", "did you mean 'latency'?"),
    ("latency: {p98: 50 ms}", 3, "latency.p98", "'50 ms'", "did you mean 'p99'?"),
    ("latency: {P99: 50 ms}", 3, "latency.P99", "'50 ms'", "did you mean 'p99'?"),
    ("latency:\n  p50: 10 ms\n  p99: 50", 5, "latency.p99", "50", SECONDS),
    ("latency:\n  p50: 10 ms\n  p99: 50ms.", 5, "latency.p99", "'50ms.'", SECONDS),
    ("latency: {p99: fast}", 3, "latency.p99", "'fast'", SECONDS),
    ("latency: {p99: 0 ms}", 3, "latency.p99", "'0 ms'", SECONDS),
    ("latency: {p99: -5 ms}", 3, "latency.p99", "'-5 ms'", SECONDS),
    ("latency: {p99: 5 parsecs}", 3, "latency.p99", "'5 parsecs'", SECONDS),
    ("latency: {p99: 50 ms, window: 5}", 3, "latency.window", "5", SECONDS),
    ("latency: {p50: 50 ms, p99: 10 ms}", 3, "latency.p99", "'10 ms'", "above that of p50, 50 ms"),
    ("latency: {window: 5 min}", 3, "latency.p99", "None", "given, or another quantile"),
    ("latency: 50 ms", 3, "latency", "'50 ms'", "a mapping"),
    ("latency: [50 ms]", 3, "latency", "['50 ms']", "a mapping"),
    ("latency: {first_token: {p95: 800}}", 3, "latency.first_token.p95", "800", SECONDS),
    ("latency: {p99: 1 s, first_token: {p95: 1 s}}", 3, "latency.p99", "'1 s'", "under first_token, gap or total"),
    ("errors: {slo: 99.9}", 3, "errors.slo", "99.9", SHARE),
    ("errors: {slo: 100 %}", 3, "errors.slo", "'100 %'", SHARE),
    ("errors: {slo: 1}", 3, "errors.slo", "1", SHARE),
    ("errors: {period: 30 d}", 3, "errors.slo", "None", "given"),
    ("errors: {slo: 99.9 %, period: 30}", 3, "errors.period", "30", "one of day, week, month, or a duration"),
    ("errors: {slo: 99.9 %, period: 1 min}", 3, "errors.period", "'1 min'", "at least 2.4 h"),
    ("errors: {slo: 50 %}", 3, "errors.slo", "'50 %'", "above 93.06 %"),
    ("errors: {slo: 99.9 %, period: month, timezone: Berlin}", 3, "errors.timezone", "'Berlin'", "a time zone"),
    ("cost: {cap: 500, window: day}", 3, "cost.cap", "500", MONEY),
    ("cost: {cap: 500 dollars, window: day}", 3, "cost.cap", "'500 dollars'", MONEY),
    ("cost: {cap: $500, window: day}", 3, "cost.cap", "'$500'", MONEY),
    ("cost: {cap: 0 USD, window: day}", 3, "cost.cap", "'0 USD'", MONEY),
    ("cost: {cap: 500 USD}", 3, "cost.window", "None", "given exactly when cap is"),
    ("cost: {per_million: 12 USD, window: day}", 3, "cost.window", "'day'", "given exactly when cap is"),
    ("cost: {timezone: UTC}", 3, "cost.per_million", "None", "given, or cap"),
    ("cost: {cap: 500 USD, window: fortnight}", 3, "cost.window", "'fortnight'", "one of hour, day, week, month"),
    ("cost: {cap: 5 USD, window: day, on_store_error: ignore}", 3, "cost.on_store_error", "'ignore'", "one of deny, allow"),
    ("drift: {tolerance: 0}", 3, "drift.tolerance", "0", "greater than 0"),
    ("drift: {tolerance: 10 %}", 3, "drift.tolerance", "'10 %'", "a number (did you mean 0.1?)"),
    ("drift: {tolerance: 0.3, breach: 0.1}", 3, "drift.breach", "0.1", "at least the tolerance, 0.3"),
    ("drift: {metric: pis}", 3, "drift.metric", "'pis'", "did you mean 'psi'?"),
    ("drift: {must_be_conclusive: amount}", 3, "drift.must_be_conclusive", "'amount'", "a list"),
    ("drift: {alpha: 1.5}", 3, "drift.alpha", "1.5", SHARE),
    ("performance: {metric: accuracy}", 3, "performance.floor", "None", "given, or ceiling, or not_worse_by"),
    ("performance: {metric: brier, floor: 0.1}", 3, "performance.floor", "0.1", "left out: of brier lower is better"),
    ("performance: {metric: accuracy, floor: .nan}", 3, "performance.floor", "nan", "a finite number"),
    ("performance: {metric: accuracy, floor: high}", 3, "performance.floor", "'high'", "a number"),
    ("performance: {metric: accuracy, floor: 0.9, not_worse_by: -1}", 3, "performance.not_worse_by", "-1", "greater than 0"),
    ("drift: {}\nrespond:\n  - {when: drfit, do: alert}", 5, "respond[0].when", "'drfit'", "did you mean 'drift'?"),
    ("drift: {}\nrespond:\n  - {when: latency, do: alert}", 5, "respond[0].when", "'latency'", "a verdict that the document asks for, one of drift"),
    ("drift: {}\nrespond:\n  - {when: drift}", 5, "respond[0].do", "None", "given"),
    ("drift: {}\nrespond:\n  - {when: drift, do: alert, unless: retrian}\n  - {when: drift, do: retrain}", 5, "respond[0].unless", "'retrian'", "did you mean 'retrain'?"),
    ("drift: {}\nrespond:\n  - {when: drift, do: Roll_back}", 5, "respond[0].do", "'Roll_back'", "spelled 'rollback'"),
    ("drift: {metric: ks, tolerance: 5}", 3, "drift.tolerance", "5", "below 1, the most that ks is"),
    ("drift: {metric: ks, tolerance: 0.5}", 3, "drift.breach", "None", "given, and below 1"),
    ("performance: {metric: roc_auc, floor: 90}", 3, "performance.floor", "90", "above 0 and at most 1, the best roc_auc"),
    ("latency:", 3, "latency", "None", "given, or left out"),
    ("drift: {}\nrespond:\n  - {when: drift, do: resolve}", 5, "respond[0].do", "'resolve'", "an action"),
    ("drift: {}\nrespond:\n  - {when: drift, do: alert, for: 0}", 5, "respond[0].for", "0", "a number of evaluations in a row"),
    ("drift: {}\nrespond:\n  - {when: drift, do: retrain, cooldown: weekly}", 5, "respond[0].cooldown", "'weekly'", SECONDS),
    ("drift: {}\nrespond: {when: drift, do: alert}", 4, "respond", "{'when': 'drift', 'do': 'alert'}", "a list"),
    ("drift: {}\nrespond:\n  - {when: drift, do: alert}\n  - {when: drift, do: alert}", 6, "respond[1]", "'alert on drift at BREACH'", "of another action, when or severity than respond[0]"),
    ("rollout: {stages: [5 %, 1 %]}", 3, "rollout.stages", "['5 %', '1 %']", "rising shares"),
    ("rollout:\n  stages:\n    - 1 %\n    - 150 %", 6, "rollout.stages[1]", "'150 %'", SHARE),
    ("rollout: {rollback_on_error: 'yes'}", 3, "rollout.rollback_on_error", "'yes'", "true or false"),
    ("rollout: {rollback_on_error: false}", 3, "rollout.rollback_on_error", "False", "true, or guardrails given"),
    ("rollout: {blast_radius: {requests: many}}", 3, "rollout.blast_radius.requests", "'many'", "a whole number"),
    ("rollout: {blast_radius: {request: 5}}", 3, "rollout.blast_radius.request", "5", "did you mean 'requests'?"),
    ("approvals: {production: {votes: 2}}", 3, "approvals", "['production']", "left out where there is no rollout"),
    ("rollout: {}\napprovals: {production: {votes: 0}}", 4, "approvals.production.votes", "0", "greater than 0"),
    ("rollout: {}\napprovals: {production: {vote: 2}}", 4, "approvals.production.vote", "2", "did you mean 'votes'?"),
    ("owner: {page: risk}", 3, "owner.team", "None", "given"),
    ("owner: {team: ''}", 3, "owner.team", "''", "not empty"),
    # as a stranger types them
    ("latency: p99 < 50 ms", 3, "latency", "'p99 < 50 ms'", "a mapping with p50, p90, p95, p99, p99.9, window"),
    ("latency: {p99: <50 ms}", 3, "latency.p99", "'<50 ms'", SECONDS),
    ("latency: {p99: 50 milliseconds}", 3, "latency.p99", "'50 milliseconds'", "(us, µs, ms, s, min, h, d, w)"),
    ("latency: {p99: 50 MS}", 3, "latency.p99", "'50 MS'", "(us, µs, ms, s, min, h, d, w)"),
    ("latency: {99: 50 ms}", 3, "latency.99", "'50 ms'", "did you mean 'p99'?"),
    ("latency: {p99: 50 ms, window: day}", 3, "latency.window", "'day'", SECONDS),
    ("latencies: {p99: 50 ms}", 3, "latencies", "{'p99': '50 ms'}", "did you mean 'latency'?"),
    ("errors: 99.9 %", 3, "errors", "'99.9 %'", "a mapping with slo, period, timezone"),
    ("errors: {slo: 0.1 %}", 3, "errors.slo", "'0.1 %'", "above 93.06 %"),
    ("errors: {slo: 99.9 %, period: monthly}", 3, "errors.period", "'monthly'", "one of day, week, month"),
    ("cost: 500 USD", 3, "cost", "'500 USD'", "a mapping with per_million, cap, window"),
    ("cost: {cap: 500 usd, window: day}", 3, "cost.cap", "'500 usd'", MONEY),
    ("cost: {cap: '500,00 EUR', window: day}", 3, "cost.cap", "'500,00 EUR'", MONEY),
    ("cost: {per_1k: 12 USD}", 3, "cost.per_1k", "'12 USD'", "under one of per_million, cap"),
    ("drift: 0.1", 3, "drift", "0.1", "a mapping with metric, tolerance, breach"),
    ("drift: {threshold: 0.1}", 3, "drift.threshold", "0.1", "under one of metric, tolerance, breach"),
    ("drift: {metric: PSI}", 3, "drift.metric", "'PSI'", "did you mean 'psi'?"),
    ("performance: {metric: accuracy, floor: 80 %}", 3, "performance.floor", "'80 %'", "a number (did you mean 0.8?)"),
    ("drift: {}\nrespond: alert", 4, "respond", "'alert'", "a list"),
    ("drift: {}\nrespond: [alert]", 4, "respond[0]", "'alert'", "a mapping with when, severity, do, for"),
    ("drift: {}\nrespond:\n  - {when: drift, do: [alert, retrain]}", 5, "respond[0].do", "['alert', 'retrain']", "text"),
    ("drift: {}\nrespond:\n  - {when: drift, do: alert, severity: breach}", 5, "respond[0].severity", "'breach'", "did you mean 'BREACH'?"),
    ("drift: {}\nrespond:\n  - {when: drift, do: alert, for: 3 days}", 5, "respond[0].for", "'3 days'", "or a duration, such as '2 h'"),
    ("rollout: {stages: []}", 3, "rollout.stages", "[]", "one or more, rising shares"),
    ("rollout: {stages: 10 %}", 3, "rollout.stages", "'10 %'", "a list"),
    ("rollout: {blast_radius: 50000}", 3, "rollout.blast_radius", "50000", "a mapping with requests, excess_events, cost"),
    ("rollout: {}\napproval: {production: {votes: 2}}", 4, "approval", "{'production': {'votes': 2}}", "did you mean 'approvals'?"),
    ("rollout: {}\napprovals: {production: 2}", 4, "approvals.production", "2", "a mapping with votes, roles"),
    ("owner: risk-ml", 3, "owner", "'risk-ml'", "a mapping with team, page, runbook"),
    # limits that never bite, or always
    ("rollout: {bake: 1 d, max_duration: 3 d}", 3, "rollout.max_duration", "'3 d'", "above 4 d, which is what the stages take at least"),
    ("performance: {metric: roc_auc, not_worse_by: 2}", 3, "performance.not_worse_by", "2", "below 1: roc_auc is between 0 and 1"),
    ("performance: {metric: average_precision, floor: 62}", 3, "performance.floor", "62", "above 0 and at most 1"),
    ("performance: {metric: accuracy, floor: 0}", 3, "performance.floor", "0", "above 0"),
    ("performance: {metric: brier, ceiling: 1}", 3, "performance.ceiling", "1", "below 1, the worst brier"),
    ("performance: {metric: log_loss, ceiling: -0.1}", 3, "performance.ceiling", "-0.1", "above 0, the best log_loss"),
    ("drift: {tolerance: 10}", 3, "drift.tolerance", "10", "below 6, the most that shift is"),
    ("drift: {breach: 6}", 3, "drift.breach", "6", "below 6, the most that shift is"),
    ("drift: {tolerance: 2.5}", 3, "drift.breach", "None", "given, and below 6"),
    ("drift: {alpha: 95 %}", 3, "drift.alpha", "'95 %'", "below 50 %: it is the chance of a false alarm"),
    ("rollout: {alpha: 95 %}", 3, "rollout.alpha", "'95 %'", "below 50 %: it is the chance of a false alarm"),
    ("rollout: {guardrails: [{name: slow, tolerance: 3.0}]}", 3, "rollout.guardrails[0].margin", "2.0", "above tolerance = 3.0"),
    ("drift: {}\nrespond:\n  - {when: drift, do: alert, for: 5000}", 5, "respond[0].for", "5000", "at most 1,000 evaluations"),
    ("drift: {}\nrespond:\n  - {when: drift, do: alert, unless: retrain}\n  - {when: drift, do: retrain, unless: alert}", 4, "respond", "['alert', 'retrain']", "without a ring"),
    ("latency: {p99: 50 ms, window: 5 ms}", 3, "latency.window", "'5 ms'", "at least 60 ms"),
    ("latency: {first_token: {}}", 3, "latency.first_token.p99", "None", "given, or another quantile"),
    # in a hurry, or as a language model writes them
    ("latency: {p50: 10 ms, p99: }", 3, "latency.p99", "None", "given, or left out"),
    ("latency: {p99:50 ms}", 3, "latency['p99:50 ms']", "None", "did you mean 'p99'?"),
    ("latency: {p99: {value: 50, unit: ms}}", 3, "latency.p99", "{'value': 50, 'unit': 'ms'}", SECONDS),
    ("latency:\n  - {quantile: 0.99, limit: 50 ms}", 3, "latency", "[{'quantile': 0.99, 'limit': '50 ms'}]", "a mapping with p50"),
    ("errors: {slo: 99.9 %, period: hour}", 3, "errors.period", "'hour'", "one of day, week, month"),
    ("errors: {slo: 99.9 %, period: 1 month}", 3, "errors.period", "'1 month'", "one of day, week, month"),
    ("errors: {slo: 99.9 %, timezone: Nowhere}", 3, "errors.timezone", "'Nowhere'", "a time zone"),
    ("cost: {cap: 1_000 USD, window: day}", 3, "cost.cap", "'1_000 USD'", MONEY),
    ("cost: {cap: 500 USD, window: day, per_million: 12 EUR}", 3, "cost.per_million", "'12 EUR'", "in USD, the currency of cap"),
    ("cost: {cap: 500 EUR, window: day}\nrollout: {blast_radius: {cost: 100}}", 4, "rollout.blast_radius.cost", "100", "in EUR, the currency of cost"),
    ("rollout: {blast_radius: {cost: 100 dollars}}", 3, "rollout.blast_radius.cost", "'100 dollars'", MONEY),
    ("rollout: {guardrails: [{name: errors}]}", 3, "rollout.guardrails[0].name", "'errors'", "rollback_on_error watches the errors already"),
    ("rollout: {guardrails: [slow]}", 3, "rollout.guardrails[0]", "'slow'", "a mapping with name"),
    ("rollout: {stages: [50]}", 3, "rollout.stages[0]", "50", SHARE),
    ("rollout: {}\napprovals: {'': {votes: 2}}", 4, "approvals['']", "''", "text that is not empty"),
    ("rollout: {}\napprovals: {production: {roles: risk}}", 4, "approvals.production.roles", "'risk'", "a list"),
    ('owner: {team: "risk\\nml"}', 3, "owner.team", "'risk\\nml'", "on one line, without control characters"),
    ('"ser\\nvice": a', 3, "['ser\\nvice']", "'a'", "did you mean 'service'?"),
]  # fmt: skip


def mistakes_in(text: str, folder: Path) -> InvalidRequirements:
    file = folder / "production.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(InvalidRequirements) as raised:
        Requirements.load(file)
    return raised.value


@pytest.mark.parametrize("case", MISTAKES, ids=lambda case: case[0])
def test_a_mistake_is_one_line_that_says_it_all(
    case: tuple[str, int, str, str, str], tmp_path: Path
) -> None:
    body, line, path, value, allowed = case
    error = mistakes_in(HEAD + body, tmp_path)
    (mistake,) = error.mistakes
    assert (mistake.path, mistake.line) == (path, line)
    assert str(error) == str(mistake)
    assert str(error).startswith(f"production.yaml:{line}: {path} = ")
    assert value in str(error)
    assert re.search(rf": must be .*{re.escape(allowed)}", str(error))
    assert "\n" not in str(error)


def test_there_are_fifty_typical_mistakes() -> None:
    assert len({*map(str, MISTAKES)}) >= 50


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("version: 2", "version = 2: must be at most 1, the newest form that this mlguard reads; a newer one may read it"),
        ("version: 0", "version = 0: must be 1, a whole number without a point or quotes: there is no other version yet"),
        ("version: '1'", "version = '1': must be 1, a whole number without a point or quotes: there is no other version yet"),
        ("version: 1.0", "version = 1.0: must be 1, a whole number without a point or quotes: there is no other version yet"),
        ("version: yes", "version = True: must be 1, a whole number without a point or quotes: there is no other version yet"),
        ("version:", "version = None: must be 1, a whole number without a point or quotes: there is no other version yet"),
        ("", "version = None: must be given: 1"),
    ],
)  # fmt: skip
def test_of_another_version_it_says_which_one_is_read(
    given: str, says: str, tmp_path: Path
) -> None:
    error = mistakes_in(f"{given}\nservice: fraud\n".lstrip(), tmp_path)
    assert str(error) == f"production.yaml:1: {says}"


def test_all_mistakes_are_told_at_once_in_the_order_of_the_lines(tmp_path: Path) -> None:
    text = "version: 2\nlatency: {p99: 5}\nerrors: {slo: 99.9}\nservce: fraud\ncost: {cap: 5, window: day}\n"
    error = mistakes_in(text, tmp_path)
    found = [(mistake.line, mistake.path) for mistake in error.mistakes]
    assert found == [
        (1, "version"),
        (1, "service"),
        (2, "latency.p99"),
        (3, "errors.slo"),
        (4, "servce"),
        (5, "cost.cap"),
    ]


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("a.yaml", "version: 1\nversion: 1\n", ":2: version = '1': must be given once: it is in line 1 too"),
        ("a.yaml", "latency: {p99: 1 s, p99: 2 s}\n", ":1: latency.p99 = '2 s': must be given once"),
        ("a.yaml", "version: !!python/object:os.system 1\n", ":1: version = '!!python/object:os.system': must be a plain value, without a tag"),
        ("a.yaml", "version: !!python/object/apply:os.system [ls]\n", ":1: version = '!!python/object/apply:os.system': must be a plain value, without a tag"),
        ("a.yaml", "a: &a {b: 1}\nc: {<<: *a}\n", ":2: c = '<<': must be a mapping whose keys are plain text; << is not read"),
        ("a.yaml", "? [a]\n: 1\n", ":1: the document = 'a sequence as a key': must be a mapping whose keys are plain text"),
        ("a.yaml", "a: 010\n", ":1: a = '010': must be written without a leading 0"),
        ("a.yaml", "a: 2026-13-45\n", ":1: a = '2026-13-45': must be text in quotes, or right: month must be in 1..12"),
        ("a.yaml", "a: [1, 2\n", ":1: the document = 'a: [1, 2': must be YAML: while parsing a flow sequence, expected ',' or ']'"),
        ("a.yaml", "a: 'b\n", """:1: the document = "a: \'b": must be YAML: while scanning a quoted scalar, found unexpected end of stream"""),
        ("a.yaml", "a:\n\tb: 1\n", ":2: the document = 'b: 1': must be YAML: indented with blanks, not with tabs"),
        ("a.yaml", "a: 1\n b: 2\n", ":2: the document = 'b: 2': must be YAML: mapping values are not allowed here"),
        ("a.yaml", "a: *b\n", ":1: the document = 'a: *b': must be YAML: found undefined alias 'b'"),
        ("a.yaml", "a: 1\nb: \0\n", ":2: the document = 'b: \\x00': must be YAML: special characters are not allowed"),
        ("a.yaml", "a: 1\n---\nb: 2\n", ":2: the document = '---': must be YAML: expected a single document in the stream, but found another document"),
        ("a.yaml", "a: &a [*a]\n", "must be at most 20,000 values, 32 deep"),
        ("a.yaml", "a: 1\nb: " + "[" * 5_000 + "]" * 5_000, ":2: the document = 'b: [[["),
        ("a.yaml", "".join(f"k{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9) if i else 1}]\n" for i in range(9)), "must be at most 20,000 values, 32 deep"),
        ("a.yaml", "a: &a 1\nb: [" + "*a, " * 101 + "1]\n", ":2: the document = 'b: [*a, *a, "),
        ("a.json", '{"version": 1, "version": 2}', ": version = 2: must be given once"),
        ("a.json", '{"version": 1,\n "service": }', """:2: the document = '"service": }': must be JSON: Expecting value"""),
        ("a.json", "{", ":1: the document = '{': must be JSON: Expecting property name"),
        ("a.json", "[" * 100_000, "must be at most 20,000 values, 32 deep"),
        ("a.json", "[" * 40 + "]" * 40, "must be at most 20,000 values, 32 deep"),
        ("a.json", '{"version": ' + "1" * 5_000 + "}", "must be JSON: Exceeds the limit"),
        ("a.toml", "version = 1\nversion = 1\n", ":2: the document = 'version = 1': must be TOML: Cannot overwrite a value"),
        ("a.toml", "version = 1\nservice = fraud\n", ":2: the document = 'service = fraud': must be TOML: Invalid value"),
        ("a.toml", "a = [1,\n", ":1: the document = 'a = [1,': must be TOML: Invalid value"),
        ("a.toml", "a = " + "[" * 5_000 + "]" * 5_000, "must be at most 20,000 values, 32 deep"),
        ("a.toml", "a = " + "[" * 40 + "]" * 40, "must be at most 20,000 values, 32 deep"),
        ("a.yaml", "x" * (1 << 20) + "x", "must be at most 1,048,576 bytes long"),
        ("a.ini", "", "a.ini: the document = 'a.ini': must be a file that ends in .yaml, .yml, .toml, .json"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_read_is_a_mistake_in_the_same_form(
    name: str, text: str, says: str, tmp_path: Path
) -> None:
    file = tmp_path / name
    file.write_text(text, encoding="utf-8")
    with pytest.raises(InvalidRequirements) as raised:
        Requirements.load(file)
    (mistake,) = raised.value.mistakes
    assert str(mistake) == str(raised.value)
    assert re.fullmatch(rf"{name}:(\d+:)? {re.escape(mistake.path)} = .+: must be .+", str(mistake))
    assert says in str(mistake)
    assert mistake.line is not None or not name.endswith("yaml") or len(text) > 1 << 20


def test_what_is_no_text_is_a_mistake_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_bytes(b"version: 1\nservice: fr\xe4ud\n")
    with pytest.raises(InvalidRequirements) as raised:
        Requirements.load(file)
    assert str(raised.value) == r"a.yaml:2: the document = b'\xe4': must be UTF-8"


def test_what_reads_in_two_ways_is_told_of_all_at_once(tmp_path: Path) -> None:
    error = mistakes_in("version: 1\nversion: 1\na: 010\nb: !x 1\n", tmp_path)
    assert [(each.line, each.path) for each in error.mistakes] == [
        (2, "version"),
        (3, "a"),
        (4, "b"),
    ]


def test_what_is_too_deep_or_too_large_is_refused_before_it_is_built(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def never(_: object) -> None:
        raise AssertionError("built")

    monkeypatch.setattr(yaml.SafeLoader, "get_single_node", never)
    events = 0
    parse = yaml.parse

    def counted(*given: Any) -> Iterator[object]:
        nonlocal events
        for event in parse(*given):
            events += 1
            yield event

    monkeypatch.setattr(yaml, "parse", counted)
    for text in ("[" * 5_000, "- " * 5_000, "{a: " * 5_000):
        events = 0
        assert "32 deep" in str(mistakes_in(text, tmp_path))
        assert events < 100
    assert "at most 20,000 values" in str(mistakes_in("[" + "1, " * 300_000 + "]", tmp_path))
    assert events < 50_000


def test_a_file_that_is_not_there_is_no_mistake_of_the_document(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Requirements.load(tmp_path / "production.yaml")


@pytest.mark.parametrize(
    "document", [None, [], "version: 1", 1, {1: 2}, {"version": 1.5, "service": "a"}]
)
def test_what_is_no_document_is_refused(document: object) -> None:
    with pytest.raises(InvalidRequirements):
        Requirements.model_validate(document)


WRONG: dict[str, Any] = {
    "version": 1,
    "service": "a",
    "latency": {"p98": "50 ms"},
    "errors": {"slo": 99.9},
}


def test_however_it_is_made_its_mistakes_are_the_same() -> None:
    found = []
    ways: list[Callable[[], Requirements]] = [
        lambda: Requirements.model_validate(WRONG),
        lambda: Requirements(**WRONG),
        lambda: Requirements.model_validate_json(json.dumps(WRONG)),
        lambda: Requirements.model_validate_json(json.dumps(WRONG).encode()),
    ]
    for made in ways:
        with pytest.raises(InvalidRequirements) as raised:
            made()
        found.append(str(raised.value).splitlines())
    assert found[0] == [
        "latency.p98 = '50 ms': must be under one of p50, p90, p95, p99, p99.9, window, first_token, gap, total (did you mean 'p99'?)",
        "errors.slo = 99.9: must be a share between 0 and 1, both excluded, such as '99.9 %' or 0.999",
    ]
    assert all(each == found[0] for each in found)


def test_json_that_does_not_read_is_a_mistake_with_its_line() -> None:
    with pytest.raises(InvalidRequirements) as raised:
        Requirements.model_validate_json('{"version": 1,\n"service": fraud}')
    says = """line 2: the document = '"service": fraud}': must be JSON: Expecting value"""
    assert str(raised.value) == says


def test_it_is_made_by_hand_in_the_short_form_too() -> None:
    assert Requirements(rollback_on_error=True).rollout is not None
    assert Requirements(version=1, service="a") == Requirements.model_validate_json(
        '{"version": 1, "service": "a"}'
    )


def test_the_short_form_is_told_of_by_its_own_keys() -> None:
    given = {
        "rollback_on_error": "yes",
        "drift_alert_threshold": -0.05,
        "drift_metric": "kl",
        "cost_alert_per_day": -500,
        "replicsa": 3,
    }
    with pytest.raises(InvalidRequirements) as raised:
        Requirements.model_validate(given)
    told = {mistake.path: str(mistake) for mistake in raised.value.mistakes}
    assert told.keys() == given.keys()
    assert told["drift_alert_threshold"] == "drift_alert_threshold = -0.05: must be greater than 0"
    assert "did you mean 'replicas'?" in told["replicsa"]
    assert "one of shift, psi, ks, js" in told["drift_metric"]
