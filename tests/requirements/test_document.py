"""A document means the same however it is written, and its schema says what it may hold."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pydantic
import pytest
import yaml

from mlguard import MissingDependencyError, Money, Requirements
from mlguard.requirements import InvalidRequirements, Mistake

HERE = Path(__file__).parent
DOCUMENT: dict[str, Any] = yaml.safe_load((HERE / "production.yaml").read_text("utf-8"))
FLAT = {
    "replicas": 3,
    "resources": {"cpu": "2", "memory": "4Gi"},
    "rollback_on_error": True,
    "drift_alert_threshold": 0.05,
    "cost_alert_per_day": 500,
}
TOML = """
version = 1
service = "fraud"
latency = {p99 = "50 ms"}
[errors]
slo = 0.999
[[respond]]
when = "errors"
do = "alert"
for = 3
"""


def changed(**sections: Any) -> dict[str, Any]:
    return {**DOCUMENT, **sections}


def test_the_document_of_the_issue_is_read_with_its_units() -> None:
    wanted = Requirements.load(HERE / "production.yaml")
    assert wanted.latency is not None
    assert wanted.latency.limits == {0.5: 0.010, 0.99: 0.050}
    assert wanted.latency.window == 300.0
    assert wanted.errors is not None
    assert (wanted.errors.slo, wanted.errors.period) == (0.999, "2592000 s")
    assert wanted.cost is not None
    assert (wanted.cost.cap, wanted.cost.per_million) == (Money("500 USD"), Money("12 USD"))
    assert wanted.rollout is not None
    assert wanted.rollout.stages == (0.01, 0.05, 0.25, 0.5)
    assert wanted.respond[1].cooldown == 7 * 86_400.0


def test_yaml_toml_json_and_a_mapping_are_one_document(tmp_path: Path) -> None:
    record = {
        "version": 1,
        "service": "fraud",
        "latency": {"p99": "0.05 s"},
        "errors": {"slo": "99.9 %"},
        "respond": [{"do": "alert", "when": ["errors"], "for": 3}],
    }
    texts = {"a.toml": TOML, "a.json": json.dumps(record), "a.yml": yaml.safe_dump(record)}
    for name, text in texts.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    read = [Requirements.load(tmp_path / name) for name in texts]
    read.append(Requirements.model_validate(record))
    assert len({each.digest for each in read}) == 1
    assert all(each == read[0] for each in read)


@pytest.mark.parametrize(
    ("same", "section"),
    [
        (True, {"latency": {"p50": "0.01 s", "p99": "50000 us"}}),
        (True, {"latency": {"p99": "50 ms", "window": "300 s", "p50": "10 ms"}}),
        (True, {"errors": {"slo": 0.999}}),
        (True, {"cost": {**DOCUMENT["cost"], "on_store_error": "deny", "cap": "500.00 USD"}}),
        (False, {"latency": {"p50": "10 ms", "p99": "51 ms"}}),
        (False, {"cost": {**DOCUMENT["cost"], "per_million": "12 EUR", "cap": "500 EUR"}}),
        (False, {"service": "fraud"}),
        (False, {"respond": DOCUMENT["respond"][:1]}),
        (False, {"approvals": {"production": {"votes": 2}}}),
    ],
)
def test_the_digest_is_of_what_is_meant(same: bool, section: dict[str, Any]) -> None:  # noqa: FBT001 -- a table of cases
    one = Requirements.model_validate(DOCUMENT)
    assert (Requirements.model_validate(changed(**section)).digest == one.digest) is same


def test_the_digest_is_the_same_on_every_machine() -> None:
    digest = Requirements.model_validate(DOCUMENT).digest
    assert digest == "json:8998118dfc607e65d555611dd2433e101cf9ed0f87e59de4ce65b4d6c361a00a"


@pytest.mark.parametrize("document", [DOCUMENT, FLAT])
def test_what_it_is_dumped_as_reads_back_as_the_same(document: dict[str, Any]) -> None:
    wanted = Requirements.model_validate(document)
    for defaults in (True, False):
        dumped = wanted.model_dump(mode="json", by_alias=True, exclude_defaults=defaults)
        kept = {key: value for key, value in dumped.items() if value is not None}
        again = Requirements.model_validate(_without_none(kept))
        assert again.digest == wanted.digest
    assert pickle.loads(pickle.dumps(wanted)) == wanted  # noqa: S301 -- of our own making


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(each) for key, each in value.items() if each is not None}
    return [_without_none(each) for each in value] if isinstance(value, list) else value


def test_it_cannot_be_changed() -> None:
    wanted = Requirements.model_validate(DOCUMENT)
    with pytest.raises(ValueError, match="frozen"):
        wanted.service = "other"


def test_every_line_of_its_explanation_is_a_requirement() -> None:
    assert Requirements.load(HERE / "production.yaml").explain().splitlines() == [
        "fraud-scorer, owned by risk-ml, paged at risk-oncall",
        "latency: p50 at most 10 ms and p99 at most 50 ms over 5 min",
        "errors: at least 99.9 % of requests good over 30 d",
        "unit_cost: at most 12.00 USD for a million inferences",
        "cost: at most 500.00 USD in a calendar day of Europe/Berlin; while the store is down nothing is spent; a call that never settled is charged all that was reserved for it",
        "drift: warns beyond 0.1 and breaches beyond 0.3 standard deviations; amount, score must have enough rows",
        "performance: average_precision proven to be at least 0.62, a candidate at most 0.002 worse than the champion; labels come after 45 d; its verdict is given to decide()",
        "alert: when drift is BREACH for 3 evaluations in a row",
        "retrain: when drift and performance are BREACH, at most every 7 d",
        "rollout: 1 %, 5 %, 25 %, 50 % for 10 min each; more errors than the baseline stop it, falsely in at most 5 % of rollouts; promoted once proven below 2 times the baseline's errors; at most 50,000 requests before a proof",
        "approvals: 2 people before a rollout in production, among them risk and platform",
    ]


def test_the_short_form_says_how_it_is_read() -> None:
    assert Requirements.model_validate(FLAT).explain().splitlines() == [
        "service",
        "cost: at most 500.00 USD in a calendar day of UTC; while the store is down nothing is spent; a call that never settled is charged all that was reserved for it",
        "drift: breaches beyond 0.05 in psi",
        "alert: when drift is BREACH",
        "alert: when cost is BREACH",
        "rollout: 1 %, 5 %, 25 %, 50 % for 10 min each; more errors than the baseline stop it, falsely in at most 5 % of rollouts; promoted once proven below 2 times the baseline's errors",
        "rollback_on_error: True is read as: a canary with more errors than the baseline is rolled back",
        "drift_alert_threshold: 0.05 is read as: alert beyond a psi of 0.05",
        "cost_alert_per_day: 500 is read as: alert at 500 USD in a day of UTC, and spend no more",
        "replicas: read by nobody here, it is the deployment's",
        "resources: read by nobody here, it is the deployment's",
    ]


def test_the_short_form_has_a_metric_a_currency_and_a_no() -> None:
    given = {**FLAT, "drift_metric": "ks", "currency": "EUR", "rollback_on_error": False}
    wanted = Requirements.model_validate(given)
    assert wanted.drift is not None
    assert wanted.drift.metric == "ks"
    assert wanted.cost is not None
    assert wanted.cost.cap == Money("500 EUR")
    assert wanted.rollout is None


PUBLISHED = files("mlguard.requirements").joinpath("requirements.schema.json").read_text("utf-8")
SCHEMA = json.loads(PUBLISHED)
OLD = tuple(map(int, pydantic.VERSION.split(".")[:2])) < (2, 13)


@pytest.mark.skipif(OLD, reason="an older pydantic says the same schema in other words")
def test_the_published_schema_is_that_of_the_model() -> None:
    assert Requirements.model_json_schema() == SCHEMA


def test_the_schema_stands_beside_the_reference_too() -> None:
    page = HERE.parents[1] / "docs" / "reference" / "requirements.schema.json"
    assert page.read_text("utf-8") == PUBLISHED


def _with(key: str, node: Any) -> Any:
    if isinstance(node, dict):
        if key in node:
            yield node
        for each in node.values():
            yield from _with(key, each)
    if isinstance(node, list):
        for each in node:
            yield from _with(key, each)


def test_every_default_and_example_of_the_schema_may_be_written_out() -> None:
    cases = [(each, each["default"]) for each in _with("default", SCHEMA)]
    fields = [each for each in _with("examples", SCHEMA) if isinstance(each["examples"], list)]
    cases += [(each, example) for each in fields for example in each["examples"]]
    assert len(cases) > 50
    for node, value in cases:
        jsonschema.validate(value, {**node, "$defs": SCHEMA["$defs"]})


@pytest.mark.parametrize("keys", [DOCUMENT.keys(), *([*DOCUMENT][: n + 1] for n in range(2, 10))])
def test_an_independent_validator_takes_what_the_model_takes(keys: Any) -> None:
    document = {key: DOCUMENT[key] for key in keys}
    document.pop("respond", None)
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(document, SCHEMA)
    wanted = Requirements.model_validate(document)
    dumped = wanted.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    jsonschema.validate(dumped, SCHEMA)
    assert Requirements.model_validate(dumped).explain() == wanted.explain()


@pytest.mark.parametrize(
    "section",
    [
        {"latency": {"p99": 50}},
        {"latency": {"p99": "50"}},
        {"latency": {"p99": "50 parsecs"}},
        {"latency": {"p98": "50 ms"}},
        {"errors": {"slo": 99.9}},
        {"errors": {}},
        {"cost": {"cap": 500, "window": "day"}},
        {"cost": {"cap": "500 USD", "window": "fortnight"}},
        {"drift": {"tolerance": 0}},
        {"drift": {"metric": "kl"}},
        {"respond": [{"when": "drfit", "do": "alert"}]},
        {"respond": [{"when": "drift", "do": "alert", "for": 0}]},
        {"rollout": {"stages": ["150"]}},
        {"rollout": {"rollback_on_error": "yes"}},
        {"approvals": {"production": {"votes": 0}}},
        {"owner": {}},
        {"version": 2},
        {"service": ""},
        {"service": " "},
        {"service": "fraud\nBREACH  all is well"},
        {"service": "fraud\u202e"},
        {"owner": {"team": "risk\x1b[2J"}},
        {"approvals": {"pro\nduction": {}}},
        {"errors": {"slo": 0.999, "period": "hour"}},
        {"rollout": {"blast_radius": {"cost": 0}}},
        {"extra": 1},
    ],
)
def test_an_independent_validator_refuses_what_the_model_refuses(section: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(changed(**section), SCHEMA)
    with pytest.raises(InvalidRequirements):
        Requirements.model_validate(changed(**section))


def test_the_schema_is_good_enough_for_an_editor_and_a_language_model() -> None:
    for each in _with("properties", SCHEMA):
        assert each["additionalProperties"] is False
        assert each["description"]
        for name, field in each["properties"].items():
            assert field.get("description"), name


def test_mistakes_survive_a_process_border() -> None:
    with pytest.raises(InvalidRequirements) as raised:
        Requirements.model_validate({"version": 1})
    again = pickle.loads(pickle.dumps(raised.value))  # noqa: S301 -- of our own making
    assert again.mistakes == (Mistake("service", "service = None: must be given"),)
    assert str(again) == str(raised.value)


def test_yaml_without_pyyaml_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    (tmp_path / "a.toml").write_text(TOML, encoding="utf-8")
    assert Requirements.load(tmp_path / "a.toml").service == "fraud"
    with pytest.raises(MissingDependencyError, match="the extra `yaml`"):
        Requirements.load(HERE / "production.yaml")


def test_yaml_is_imported_only_for_yaml() -> None:
    program = "import sys, mlguard.requirements; print('yaml' in sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert run.stdout == "False\n"
