"""What linting says of documents: the article's configs, joined documents, money, doubts, plug-ins."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from pathlib import Path
from statistics import median
from typing import Any

import pytest

import mlguard
from mlguard import ConfigurationError, Requirements
from mlguard.lint import Rule, lint, read
from mlguard.lint import plugins as plugged
from mlguard.lint.intent import ServingIntent
from mlguard.lint.kinds import Kind
from mlguard.lint.linting import AT_RUN_TIME
from mlguard.lint.rules import LOOKS, NOT_JUDGED, Look, topic

CONFIGS = Path(__file__).parents[3] / "shared" / "configs"
PLAIN: dict[str, Any] = {"replicas": 3, "resources": {"cpu": "500m", "memory": "1Gi"}}
GUARDED = PLAIN | {
    "rollback_on_error": True,
    "drift_alert_threshold": 0.05,
    "cost_alert_per_day": 500,
}
BAR = ("rollback", "drift", "cost")


def asked(**more: Any) -> Requirements:
    return Requirements.model_validate({"version": 1, "service": "eta", **more})


@pytest.mark.parametrize("nested", [False, True])
def test_the_articles_first_config_lacks_exactly_three_and_its_second_none(*, nested: bool) -> None:
    first, second = (lint({"deployment": each} if nested else each) for each in (PLAIN, GUARDED))
    assert dict(first.requirements) == dict.fromkeys(BAR, "unmet")
    assert {each.rule.id for each in first.findings} == {"MLG-RB001", "MLG-DR001", "MLG-CO001"}
    assert dict(second.requirements) == dict.fromkeys(BAR, "met")
    assert second.findings == ()


def test_latency_is_missed_where_it_is_required() -> None:
    wanted = asked(
        latency={"p99": "50 ms"}, drift={}, cost={"cap": "500 USD", "window": "day"}, rollout={}
    )
    first = lint(PLAIN, wanted).requirements
    assert dict(first) == dict.fromkeys((*BAR, "latency"), "unmet")
    fixed = GUARDED | {"latency_p99_ms": 50}
    assert dict(lint(fixed, wanted).requirements) == dict.fromkeys((*BAR, "latency"), "met")
    assert lint(GUARDED | {"latency_p99_ms": 80}, wanted).requirements["latency"] == "unmet"
    assert lint(GUARDED | {"latency_p99": 50}, wanted).requirements["latency"] == "unknown"


@pytest.mark.parametrize(
    ("keys", "requirement", "state"),
    [
        ({"rollback": {"enabled": False, "on": "error"}}, "rollback", "unmet"),
        ({"rollback": {"enabled": True}}, "rollback", "met"),
        ({"autoRollback": "on-failure"}, "rollback", "met"),
        ({"rollback_on_error": "${ROLLBACK}"}, "rollback", "unknown"),
        ({"rollback_on_error": "never"}, "rollback", "unmet"),
        ({"monitoring": {"drift": {"threshold": 0.2}}}, "drift", "met"),
        ({"drift_metric": "psi"}, "drift", "unmet"),
        ({"drift_alert_threshold": 0}, "drift", "unmet"),
        ({"drift_detection": True}, "drift", "met"),
        ({"budget": {"max_per_day": "$400"}}, "cost", "met"),
        ({"max_daily_cost": "400 USD"}, "cost", "met"),
        ({"cost_center": "ml-7"}, "cost", "unmet"),
        ({"estimated_cost_per_day": 7}, "cost", "unmet"),
        ({"error_budget": 0.01}, "cost", "unmet"),
        ({"cost_alert_per_day": -1}, "cost", "unmet"),
    ],
)
def test_keys_of_a_flat_form_are_read_by_their_words(
    keys: dict[str, Any], requirement: str, state: str
) -> None:
    assert lint(PLAIN | keys).requirements[requirement] == state


@pytest.mark.parametrize(
    "around",
    [
        {"service": {"name": "eta", "deployment": GUARDED}},
        {"version": "1.0", "kind": "ModelDeployment", **GUARDED},
        {"apiVersion": "own/v1", "kind": "ModelDeployment", "spec": GUARDED},
        {"deployments": [{"name": "a", **GUARDED}, {"name": "b", **GUARDED}]},
        {
            "serving": PLAIN,
            "monitoring": {"drift_alert_threshold": 0.1},
            "rollback_on_error": True,
            "cost_alert_per_day": 1,
        },
    ],
)
def test_a_flat_form_may_stand_inside_others(around: dict[str, Any]) -> None:
    assert dict(lint(around).requirements) == dict.fromkeys(BAR, "met")


def test_one_of_two_without_guardrails_is_enough() -> None:
    report = lint({"deployments": [GUARDED, PLAIN]})
    assert dict(report.requirements) == dict.fromkeys(BAR, "unmet")
    assert {each.place.pointer[:15] for each in report.findings} == {"/deployments/1/"}


def test_the_items_of_a_list_are_judged_one_by_one() -> None:
    pair = [workload(replicas=2), scaler(*HPA)]
    listed = lint({"apiVersion": "v1", "kind": "List", "items": pair})
    assert listed.requirements == lint(pair).requirements
    (finding,) = (each for each in listed.findings if each.rule.id == "MLG-SC001")
    assert finding.place.pointer == "/items/1/spec/maxReplicas"
    assert finding.fix is not None
    assert lint(finding.fix.apply(listed.documents[0].value)).requirements["cost"] == "unknown"


def workload(kind: str = "Deployment", **spec: Any) -> dict[str, Any]:
    container = {"name": "eta", "image": "eta:1"}
    pod = {"template": {"spec": {"containers": [container]}}}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": "eta"}, "spec": pod | spec}


def scaler(api: str, kind: str, **spec: Any) -> dict[str, Any]:
    target = {"scaleTargetRef": {"name": "eta"}}
    return {"apiVersion": api, "kind": kind, "metadata": {"name": "s"}, "spec": target | spec}


HPA = "autoscaling/v2", "HorizontalPodAutoscaler"
KEDA = "keda.sh/v1alpha1", "ScaledObject"


@pytest.mark.parametrize(
    ("given", "state", "says"),
    [
        ([workload(replicas=4)], "met", "4 replicas at 2.50 USD an hour cost 240.00 USD"),
        ([workload(replicas=9)], "unmet", "9 replicas at 2.50 USD an hour cost 540.00 USD"),
        ([workload(replicas=2), scaler(*HPA, maxReplicas=9)], "unmet", "9 replicas"),
        ([workload(replicas=9), scaler(*HPA, maxReplicas=4)], "met", "4 replicas"),
        ([workload(replicas=2), scaler(*HPA)], "unmet", "without a bound"),
        ([workload(replicas=2), scaler(*KEDA)], "unmet", "100 replicas"),
        ([workload(), scaler(*KEDA, maxReplicaCount=2)], "met", "2 replicas"),
        ([workload()], "unknown", "one may stand elsewhere"),
        ([workload(replicas="{{ n }}")], "unknown", "put in later"),
        ([workload(replicas=3), workload("StatefulSet", replicas=3)], "met", "6 replicas"),
        ([workload(replicas=5), workload("StatefulSet", replicas=5)], "unmet", "10 replicas"),
    ],
)
def test_what_all_replicas_may_cost_is_computed(given: Any, state: str, says: str) -> None:
    report = lint(given, asked(cost={"cap": "360 USD", "window": "day"}), hourly="2.50 USD")
    (judgement,) = report.judgements
    assert (judgement.state, says in judgement.evidence) == (state, True)


def test_the_cap_of_a_month_pays_for_31_days() -> None:
    wanted = asked(cost={"cap": "744 USD", "window": "month"})
    assert lint(workload(replicas=1), wanted, hourly="1 USD").requirements["cost"] == "met"
    assert lint(workload(replicas=1), wanted, hourly="1.01 USD").requirements["cost"] == "unmet"
    assert lint(PLAIN | {"cost_alert_per_day": 24}, wanted).requirements["cost"] == "met"
    assert lint(PLAIN | {"cost_alert_per_day": 25}, wanted).requirements["cost"] == "unmet"


def test_without_a_price_or_a_cap_a_bounded_fleet_is_in_doubt() -> None:
    assert lint(workload(replicas=3)).requirements["cost"] == "unknown"
    assert lint(workload(replicas=3), hourly="1 USD").requirements["cost"] == "unknown"


@pytest.mark.parametrize(
    ("hourly", "words"), [("1 EUR", "in USD"), ("-1 USD", "at least 0"), ("much", "hourly")]
)
def test_a_price_that_does_not_fit_is_refused(hourly: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        lint(PLAIN, asked(cost={"cap": "5 USD", "window": "day"}), hourly=hourly)


def test_requirements_of_another_kind_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="requirements"):
        lint(PLAIN, {"version": 1})  # type: ignore[arg-type]


def test_what_a_kind_has_no_place_for_is_unknown_and_says_what_enforces_it() -> None:
    report = lint(workload(replicas=2))
    (drift,) = (each for each in report.judgements if each.requirement == "drift")
    assert (drift.state, "mlguard.Reference" in drift.evidence) == ("unknown", True)
    assert [each.level for each in report.findings if each.rule.id == "MLG-DR001"] == ["info"]


def test_what_enforces_at_run_time_is_there() -> None:
    for name in AT_RUN_TIME.values():
        inside, _, last = name.rpartition(".")
        home = __import__(f"mlguard.{inside}", fromlist=["_"]) if inside else mlguard
        assert hasattr(home, last)


@pytest.mark.parametrize(
    "beside",
    [
        {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "eta-drift"}},
        {
            "apiVersion": "monitoring.coreos.com/v1",
            "kind": "PrometheusRule",
            "spec": {"groups": [{"rules": [{"alert": "FeatureDrift", "expr": "psi > 0.2"}]}]},
        },
    ],
)
def test_drift_is_met_by_what_stands_beside_a_deployment(beside: dict[str, Any]) -> None:
    assert lint([workload(replicas=2), beside]).requirements["drift"] == "met"
    named = beside | {"metadata": {"name": "backup"}, "spec": {}}
    assert lint([workload(replicas=2), named]).requirements["drift"] == "unknown"


def test_a_rollout_runs_the_pods_of_a_deployment_and_is_judged_instead() -> None:
    spec = {
        "replicas": 2,
        "workloadRef": {"kind": "Deployment", "name": "eta"},
        "strategy": {"canary": {}},
    }
    rollout = {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Rollout",
        "metadata": {"name": "r"},
        "spec": spec,
    }
    report = lint([workload(replicas=0), rollout])
    assert {each.kind for each in report.findings} == {"Rollout"}


@pytest.mark.parametrize("template", [None, "elsewhere"])
def test_an_analysis_that_stands_elsewhere_is_in_doubt(template: str | None) -> None:
    spec = {"strategy": {"canary": {"analysis": {"templates": [{"templateName": template}]}}}}
    rollout = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "spec": spec}
    assert lint(rollout).requirements["rollback"] == "unknown"


TEMPLATE = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: a}
spec:
  replicas: {{ .n }}
  template:
    spec:
      containers:
        - name: a
          image: a:1
          ports: [{containerPort: 1}]
          PART
"""


def test_what_a_template_puts_in_is_in_doubt_and_what_it_cannot_is_missed() -> None:
    open_, closed = (
        {each.rule.id for each in lint(TEMPLATE.replace("PART", part)).findings if not each.doubt}
        for part in ("{{- toYaml .more | nindent 10 }}", "tty: {{ .tty }}")
    )
    assert {"MLG-RS001", "MLG-PB001"} & open_ == set()
    assert {"MLG-RS001", "MLG-PB001"} <= closed


@pytest.mark.parametrize(
    ("first", "second", "missed"),
    [
        ({}, {"ports": [1], "readinessProbe": {"exec": {}}}, False),
        ({}, {"readinessProbe": {"exec": {}}}, False),
        ({"ports": [1]}, {"ports": [2], "readinessProbe": {"exec": {}}}, True),
        ({}, {}, True),
    ],
)
def test_only_what_opens_a_port_needs_a_probe(first: Any, second: Any, *, missed: bool) -> None:
    pod = {"containers": [{"name": "a", **first}, {"name": "b", **second}]}
    report = lint(workload(template={"spec": pod}))
    assert ("MLG-PB001" in {each.rule.id for each in report.findings}) is missed


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ({"Resources": {"E": {"Type": "AWS::SageMaker::Endpoint"}}}, "SageMaker"),
        ({"initial_instance_count": 1}, "SageMaker"),
        ({"$schema": "https://azuremlschemas/x", "name": "green"}, "AzureML"),
        ({"service": "service:Svc", "python": {}}, "BentoML"),
        ({"on": "push", "jobs": {"test": {"steps": []}}}, "CI jobs"),
        ({"stages": ["a"], "train": {"script": ["true"]}}, "CI jobs"),
        ({"replicaCount": 1}, "values of a Helm chart"),
        ({"apiVersion": "v1", "kind": "Pod", "spec": {"containers": []}}, "Pod"),
        ({"apiVersion": "own/v1", "kind": "Model", "spec": {"replicas": 1}}, "Model"),
        ({"version": 1, "service": "eta"}, "requirements"),
        ({"colour": "red"}, ""),
    ],
)
def test_what_is_not_judged_yet_is_said(given: dict[str, Any], kind: str) -> None:
    report = lint(given)
    assert [(each.rule.id, each.kind, each.level) for each in report.findings] == [
        ("MLG-KD001", kind, "info")
    ]
    assert set(report.requirements.values()) == {"unknown"}


def test_a_service_of_bentoml_in_python_is_told() -> None:
    report = lint(document("import bentoml\n\n\n@bentoml.service\nclass Eta: ...\n"))
    assert [each.kind for each in report.findings] == ["BentoML"]


@pytest.mark.parametrize("kind", ["Service", "ConfigMap", "Namespace"])
def test_what_belongs_to_others_is_left_alone(kind: str) -> None:
    assert lint({"apiVersion": "v1", "kind": kind}).findings == ()


def test_a_mode_without_knative_keeps_no_revision_and_scales_to_one() -> None:
    service = {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": "a", "annotations": {"serving.kserve.io/deploymentMode": "Standard"}},
        "spec": {"predictor": {"canaryTrafficPercent": 10, "model": {"storageUri": "s"}}},
    }
    report = lint(service)
    assert (report.requirements["rollback"], report.requirements["cost"]) == ("unmet", "unknown")


@pytest.mark.parametrize(
    "spec",
    [{"default": {"predictor": {"sklearn": {"storageUri": "s"}}}, "canary": {}}, {"canary": None}],
)
def test_the_old_form_of_an_inference_service_has_a_canary_of_its_own(spec: dict[str, Any]) -> None:
    given = {
        "apiVersion": "serving.kubeflow.org/v1alpha2",
        "kind": "InferenceService",
        "spec": spec,
    }
    assert lint(given).requirements["rollback"] == (
        "met" if spec["canary"] is not None else "unmet"
    )


def test_a_dag_is_never_run(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    dag = tmp_path / "dag.py"
    dag.write_text(
        f"import airflow\nopen({str(ran)!r}, 'w')\nairflow.DAG('a', schedule=None)\n", "utf-8"
    )
    report = lint(dag)
    assert not ran.exists()
    (finding,) = (each for each in report.findings if each.rule.id == "MLG-LA002")
    assert (finding.place.line, finding.fix is not None) == (3, True)


def test_a_gate_that_does_not_stand_before_the_deployment_is_none() -> None:
    dag = (
        "from airflow.decorators import dag, task\n@dag(dagrun_timeout=1)\ndef eta():\n"
        "    @task\n    def train(): ...\n    @task.short_circuit\n    def gate(model): ...\n"
        "    @task\n    def deploy(model): ...\n    model = train()\n{}\neta()\n"
    )
    wanted = asked(performance={"metric": "mean_absolute_error", "ceiling": 5.0})
    beside, before = (
        dag.format("    deploy(model)\n    gate(model)"),
        dag.format("    deploy(gate(model))"),
    )
    states = [lint(document(text), wanted).requirements["performance"] for text in (beside, before)]
    assert states == ["unmet", "met"]


def document(text: str) -> Any:
    from mlguard.lint import Document

    return Document("dag.py", 0, text, "python", text)


def test_kinds_and_rules_plug_in(monkeypatch: pytest.MonkeyPatch) -> None:
    def read_(root: Any, _: Any) -> list[ServingIntent]:
        return [ServingIntent("own", "a", root.place, cost=(root.at("cap").absent("no cap"),))]

    kind = Kind("own", lambda root: root.at("own").there, read_)
    look = Look(Rule("OWN-1", "own-cap", "error", "cost", "It must have a cap."), topic("cost"))

    def points(group: str) -> list[EntryPoint]:
        return [EntryPoint("own", f"own:{group.rpartition('.')[2]}", group)]

    monkeypatch.setattr(plugged, "entry_points", points)
    monkeypatch.setattr(EntryPoint, "load", lambda self: {"kinds": kind, "rules": look}[self.attr])
    plugged.plugins.cache_clear()
    try:
        assert [each.rule.id for each in lint({"own": 1}).findings if each.level == "error"] == [
            "MLG-CO001",
            "OWN-1",
        ]
        monkeypatch.setattr(EntryPoint, "load", lambda _: "no kind")
        plugged.plugins.cache_clear()
        with pytest.raises(ConfigurationError, match=r"entry point own of mlguard\.lint"):
            lint({"own": 1})
    finally:
        plugged.plugins.cache_clear()


def test_the_table_of_the_rules_says_what_the_rules_say() -> None:
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "lint.md").read_text("utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| `MLG-")]
    assert rows == [
        f"| `{each.id}` | {each.name} | {each.level} | {each.requirement or '–'} | {each.rationale} |"
        for each in (*(look.rule for look in LOOKS), NOT_JUDGED)
    ]


HERE = pytest.mark.skipif(
    not CONFIGS.is_dir(), reason="the sample configs lie beside a checkout of ours only"
)


@HERE
def test_real_configs_are_judged_in_few_words() -> None:
    files = [
        each
        for each in sorted(CONFIGS.rglob("*"))
        if each.suffix in {".yaml", ".yml", ".json", ".py"}
    ]
    reports = {file: lint(file) for file in files}
    assert len(reports) > 30
    for file, report in reports.items():
        whole = len(file.read_text("utf-8").splitlines())
        assert all(each.place.line and 1 <= each.place.line <= whole for each in report.findings)
        for each in report.findings:
            if each.fix is not None and each.fix.operations:
                value = report.documents[each.place.document].value
                assert each.fix.apply(value) != value
    assert median(len(each.findings) for each in reports.values()) <= 6
    errors = {
        file: {f.rule.id for f in report.findings if f.level == "error"}
        for file, report in reports.items()
    }
    assert median(map(len, errors.values())) <= 2
    often = [
        rule
        for rule in set().union(*errors.values())
        if sum(rule in each for each in errors.values()) > 0.9 * len(files)
    ]
    assert often == []


@HERE
def test_real_configs_are_judged_together_too() -> None:
    assert len(lint(CONFIGS).documents) == len(read(CONFIGS))


def test_a_key_that_is_switched_off_is_named_with_its_value() -> None:
    (judgement, *_) = lint("replicas: 3\nrollback_on_error: false\n").judgements
    assert (judgement.state, judgement.evidence) == (
        "unmet",
        "rollback_on_error: False asks for nothing",
    )
    assert judgement.places[0].line == 2


def test_a_number_with_a_control_character_behind_it_is_read() -> None:
    assert lint({"replicas": "3\x1f", "rollback_on_error": None}).requirements["cost"] == "unmet"
