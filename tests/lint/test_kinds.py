"""Every kind: a good config, each guardrail taken out of it, and the fix put in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import pytest

from mlguard import Requirements
from mlguard.lint import Document, Finding, LintReport, Operation, Patch, lint, read
from mlguard.lint.rules import LOOKS
from mlguard.lint.trees import of_value

WANTED = Requirements.model_validate(
    {
        "version": 1,
        "service": "eta",
        "latency": {"p99": "500 ms"},
        "errors": {"slo": "99 %", "period": "30 d"},
        "cost": {"cap": "300 USD", "window": "day"},
        "drift": {"metric": "psi", "tolerance": 0.1, "breach": 0.2},
        "performance": {"metric": "mean_absolute_error", "ceiling": 5.0},
        "rollout": {},
        "approvals": {"production": {"votes": 1}},
    }
)

FLAT = """\
service: eta
image: eta:1.2.0
replicas: 3
resources: {cpu: "1", memory: 2Gi}
rollback_on_error: true
drift_alert_threshold: 0.05
cost_alert_per_day: 300
latency: {p99: 500 ms}
"""
DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: eta, namespace: prod}
spec:
  revisionHistoryLimit: 5
  template:
    metadata: {labels: {app: eta, tier: model}}
    spec:
      containers:
        - name: eta
          image: registry.local:5000/eta:1.2.0
          ports: [{containerPort: 8000}]
          readinessProbe: {httpGet: {path: /ready, port: 8000}}
          resources: {requests: {cpu: "1"}, limits: {memory: 2Gi}}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: eta, namespace: prod}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: eta}
  minReplicas: 2
  maxReplicas: 4
---
apiVersion: flagger.app/v1beta1
kind: Canary
metadata: {name: eta, namespace: prod}
spec:
  targetRef: {apiVersion: apps/v1, kind: Deployment, name: eta}
  analysis:
    interval: 1m
    threshold: 5
    metrics:
      - {name: request-success-rate, thresholdRange: {min: 99}, interval: 1m}
      - {name: request-duration, thresholdRange: {max: 500}, interval: 1m}
    webhooks:
      - {name: ask, type: confirm-promotion, url: "http://gate/approve"}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: eta, namespace: prod}
spec:
  minAvailable: 1
  selector: {matchLabels: {app: eta}}
"""
STATEFUL = """\
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: store}
spec:
  replicas: 3
  updateStrategy: {type: RollingUpdate, rollingUpdate: {partition: 2}}
  template:
    spec:
      containers:
        - name: store
          image: features:2
          readinessProbe: {tcpSocket: {port: 1}}
          resources: {limits: {memory: 2Gi}}
"""
KSERVE = """\
apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata: {name: eta}
spec:
  predictor:
    canaryTrafficPercent: 10
    minReplicas: 1
    maxReplicas: 4
    timeout: 1
    logger: {mode: all, url: "http://drift"}
    containers:
      - name: eta
        image: eta:1.2.0
        readinessProbe: {httpGet: {path: /ready, port: 8000}}
        resources: {limits: {memory: 2Gi}}
"""
SELDON = """\
apiVersion: machinelearning.seldon.io/v1
kind: SeldonDeployment
metadata: {name: eta}
spec:
  predictors:
    - name: new
      traffic: 10
      graph: {name: eta, logger: {mode: all}}
      componentSpecs:
        - hpaSpec: {minReplicas: 1, maxReplicas: 3}
          spec:
            containers:
              - name: eta
                image: eta:1.2.0
                readinessProbe: {httpGet: {path: /ready, port: 8000}}
                resources: {limits: {memory: 2Gi}}
    - name: old
      traffic: 90
      replicas: 1
      graph: {name: eta, implementation: SKLEARN_SERVER, modelUri: "gs://models/eta"}
"""
ROLLOUT = """\
apiVersion: argoproj.io/v1alpha1
kind: Rollout
metadata: {name: eta}
spec:
  replicas: 4
  strategy:
    canary:
      analysis: {templates: [{templateName: fine}]}
      steps: [{setWeight: 10}, {pause: {duration: 10m}}]
  template:
    spec:
      containers:
        - name: eta
          image: eta:1.2.0
          readinessProbe: {httpGet: {path: /ready, port: 8000}}
          resources: {limits: {memory: 2Gi}}
---
apiVersion: argoproj.io/v1alpha1
kind: AnalysisTemplate
metadata: {name: fine}
spec:
  metrics:
    - name: success-rate
      successCondition: result[0] >= 0.99
      provider: {prometheus: {query: "sum(rate(ok[5m])) / sum(rate(all[5m]))"}}
    - name: latency
      successCondition: result[0] <= 0.5
      provider: {prometheus: {query: "histogram_quantile(0.99, rate(seconds_bucket[5m]))"}}
"""
RAY = """\
apiVersion: ray.io/v1
kind: RayService
metadata: {name: eta}
spec:
  upgradeStrategy: {type: NewClusterWithIncrementalUpgrade}
  serveConfigV2: |
    http_options: {request_timeout_s: 0.4}
    applications:
      - name: eta
        import_path: eta:app
        deployments:
          - {name: Eta, autoscaling_config: {min_replicas: 1, max_replicas: 3}}
  rayClusterConfig:
    enableInTreeAutoscaling: true
    headGroupSpec:
      template:
        spec:
          containers:
            - {name: head, image: "rayproject/ray:2.51.0", resources: {limits: {memory: 2Gi}}}
    workerGroupSpecs:
      - groupName: small
        minReplicas: 0
        maxReplicas: 3
        template:
          spec:
            containers:
              - {name: worker, image: "rayproject/ray:2.51.0", resources: {limits: {memory: 2Gi}}}
"""
LLM = """\
apiVersion: serving.kserve.io/v1alpha1
kind: LLMInferenceService
metadata: {name: chat}
spec:
  scaling: {minReplicas: 1, maxReplicas: 2}
  template:
    containers:
      - {name: main, image: "vllm:0.9.0", resources: {limits: {nvidia.com/gpu: 1}}}
"""
COMPOSE = """\
services:
  eta:
    image: eta:1.2.0
    healthcheck: {test: ["CMD", "true"]}
    deploy:
      replicas: 2
      update_config: {failure_action: rollback}
      resources: {limits: {memory: 2G}}
  cache:
    image: redis
"""
DAG = """\
from datetime import datetime

from airflow import DAG
from airflow.operators.python import PythonOperator, ShortCircuitOperator

with DAG("eta", start_date=datetime(2026, 1, 1), dagrun_timeout=LONGEST) as dag:
    drift = PythonOperator(task_id="check_drift", python_callable=check_drift)
    train = PythonOperator(task_id="train_model", python_callable=train)
    better = ShortCircuitOperator(task_id="is_better", python_callable=compare)
    ask = PythonOperator(task_id="wait_for_approval", python_callable=ask)
    deploy = PythonOperator(task_id="deploy", python_callable=deploy, on_failure_callback=roll_back)
    drift >> train >> better >> ask >> deploy
"""
GOOD = {
    "flat": FLAT,
    "Deployment": DEPLOYMENT,
    "StatefulSet": STATEFUL,
    "InferenceService": KSERVE,
    "SeldonDeployment": SELDON,
    "Rollout": ROLLOUT,
    "RayService": RAY,
    "LLMInferenceService": LLM,
    "docker-compose": COMPOSE,
    "Airflow DAG": DAG,
}


class Mutation(NamedTuple):
    """A guardrail taken out of a good config."""

    kind: str
    rule: str
    document: int
    change: Operation | tuple[str, str]
    mended: bool = True


def out(path: str) -> Operation:
    return Operation("remove", path)


def to(path: str, value: Any) -> Operation:
    return Operation("replace", path, value)


POD = "/spec/template/spec/containers/0"
MUTATIONS = [
    Mutation("flat", "MLG-RB001", 0, out("/rollback_on_error")),
    Mutation("flat", "MLG-RB001", 0, to("/rollback_on_error", "off")),
    Mutation("flat", "MLG-DR001", 0, out("/drift_alert_threshold")),
    Mutation("flat", "MLG-DR001", 0, to("/drift_alert_threshold", None)),
    Mutation("flat", "MLG-DR001", 0, to("/drift_alert_threshold", 0.5)),
    Mutation("flat", "MLG-CO001", 0, out("/cost_alert_per_day")),
    Mutation("flat", "MLG-CO002", 0, to("/cost_alert_per_day", 5000)),
    Mutation("flat", "MLG-CO002", 0, to("/replicas", 400)),
    Mutation("flat", "MLG-SC001", 0, Operation("add", "/autoscaling", {"min_replicas": 2})),
    Mutation("flat", "MLG-LA001", 0, out("/latency")),
    Mutation("flat", "MLG-RS001", 0, out("/resources")),
    Mutation("flat", "MLG-IM001", 0, to("/image", "eta")),
    Mutation("Deployment", "MLG-RB001", 2, to("/spec/skipAnalysis", value=True)),
    Mutation("Deployment", "MLG-RB001", 2, out("/spec/analysis")),
    Mutation("Deployment", "MLG-RB001", 2, to("/spec/analysis", {"interval": "2m", "metrics": []})),
    Mutation("Deployment", "MLG-RB001", 2, to("", None)),
    Mutation("Deployment", "MLG-RB001", 2, to("/metadata/namespace", "staging")),
    Mutation("Deployment", "MLG-RB002", 0, to("/spec/revisionHistoryLimit", 0)),
    Mutation("Deployment", "MLG-SC001", 1, out("/spec/maxReplicas")),
    Mutation("Deployment", "MLG-CO002", 1, to("/spec/maxReplicas", 40)),
    Mutation("Deployment", "MLG-SC002", 3, to("/spec/minAvailable", 2)),
    Mutation("Deployment", "MLG-SC002", 3, to("/spec/minAvailable", "100%")),
    Mutation(
        "Deployment",
        "MLG-SC002",
        3,
        to("/spec", {"maxUnavailable": 0, "selector": {"matchLabels": {"app": "eta"}}}),
    ),
    Mutation("Deployment", "MLG-SC002", 1, to("/spec/minReplicas", 1)),
    Mutation("Deployment", "MLG-LA001", 2, out("/spec/analysis/metrics/1")),
    Mutation("Deployment", "MLG-LA001", 2, to("/spec/analysis/metrics/1/thresholdRange/max", 900)),
    Mutation("Deployment", "MLG-ER001", 2, out("/spec/analysis/metrics/0")),
    Mutation("Deployment", "MLG-GV002", 2, out("/spec/analysis/webhooks")),
    Mutation("Deployment", "MLG-RS001", 0, out(f"{POD}/resources")),
    Mutation("Deployment", "MLG-PB001", 0, out(f"{POD}/readinessProbe")),
    Mutation("Deployment", "MLG-IM001", 0, to(f"{POD}/image", "registry.local:5000/eta:latest")),
    Mutation("StatefulSet", "MLG-RB001", 0, out("/spec/updateStrategy")),
    Mutation("InferenceService", "MLG-RB001", 0, out("/spec/predictor/canaryTrafficPercent")),
    Mutation("InferenceService", "MLG-DR001", 0, out("/spec/predictor/logger")),
    Mutation("InferenceService", "MLG-SC001", 0, out("/spec/predictor/maxReplicas")),
    Mutation("InferenceService", "MLG-SC001", 0, to("/spec/predictor/maxReplicas", 0)),
    Mutation("InferenceService", "MLG-CO002", 0, to("/spec/predictor/maxReplicas", 40)),
    Mutation("InferenceService", "MLG-LA001", 0, out("/spec/predictor/timeout")),
    Mutation("InferenceService", "MLG-RS001", 0, out("/spec/predictor/containers/0/resources")),
    Mutation(
        "InferenceService", "MLG-PB001", 0, out("/spec/predictor/containers/0/readinessProbe")
    ),
    Mutation("InferenceService", "MLG-IM001", 0, to("/spec/predictor/containers/0/image", "eta")),
    Mutation("SeldonDeployment", "MLG-RB001", 0, out("/spec/predictors/1")),
    Mutation("SeldonDeployment", "MLG-DR001", 0, out("/spec/predictors/0/graph/logger")),
    Mutation(
        "SeldonDeployment",
        "MLG-SC001",
        0,
        out("/spec/predictors/0/componentSpecs/0/hpaSpec/maxReplicas"),
    ),
    Mutation(
        "SeldonDeployment",
        "MLG-IM001",
        0,
        to("/spec/predictors/0/componentSpecs/0/spec/containers/0/image", "a"),
    ),
    Mutation(
        "SeldonDeployment",
        "MLG-RS001",
        0,
        out("/spec/predictors/0/componentSpecs/0/spec/containers/0/resources"),
    ),
    Mutation(
        "SeldonDeployment",
        "MLG-PB001",
        0,
        out("/spec/predictors/0/componentSpecs/0/spec/containers/0/readinessProbe"),
    ),
    Mutation("Rollout", "MLG-RB001", 0, out("/spec/strategy/canary/analysis")),
    Mutation(
        "Rollout",
        "MLG-RB001",
        0,
        Operation("add", "/spec/strategy/canary/analysis/dryRun", [{"metricName": ".*"}]),
    ),
    Mutation("Rollout", "MLG-RB002", 0, Operation("add", "/spec/revisionHistoryLimit", 0)),
    Mutation("Rollout", "MLG-LA001", 1, out("/spec/metrics/1")),
    Mutation("Rollout", "MLG-CO002", 0, to("/spec/replicas", 40)),
    Mutation("RayService", "MLG-RB001", 0, out("/spec/upgradeStrategy")),
    Mutation(
        "RayService", "MLG-SC001", 0, out("/spec/rayClusterConfig/workerGroupSpecs/0/maxReplicas")
    ),
    Mutation(
        "RayService", "MLG-LA001", 0, to("/spec/serveConfigV2", "applications: [{name: eta}]\n")
    ),
    Mutation("LLMInferenceService", "MLG-SC001", 0, out("/spec/scaling/maxReplicas")),
    Mutation("LLMInferenceService", "MLG-RS001", 0, out("/spec/template/containers/0/resources")),
    Mutation("docker-compose", "MLG-RB001", 0, out("/services/eta/deploy/update_config")),
    Mutation("docker-compose", "MLG-RS001", 0, out("/services/eta/deploy/resources")),
    Mutation("docker-compose", "MLG-PB001", 0, out("/services/eta/healthcheck")),
    Mutation("docker-compose", "MLG-IM001", 0, to("/services/eta/image", "eta:latest")),
    Mutation("Airflow DAG", "MLG-LA002", 0, (", dagrun_timeout=LONGEST", "")),
    Mutation("Airflow DAG", "MLG-RB001", 0, (", on_failure_callback=roll_back", ""), mended=False),
    Mutation("Airflow DAG", "MLG-DR001", 0, ("drift", "data"), mended=False),
    Mutation("Airflow DAG", "MLG-GV001", 0, (">> better >> ask", ""), mended=False),
    Mutation("Airflow DAG", "MLG-GV002", 0, ("wait_for_approval", "wait"), mended=False),
]


def documents(kind: str) -> list[Document]:
    text = GOOD[kind]
    if kind != "Airflow DAG":
        return read(text)
    return [Document("dag.py", 0, text, "python", text)]


def changed(given: Sequence[Document], place: int, change: Patch) -> list[Document]:
    made = [
        replace(each, value=value, text=value if isinstance(value, str) else "")
        if each.index == place and (value := change.apply(each.value)) is not each.value
        else each
        for each in given
    ]
    return [
        *made,
        *(Document("", len(made) + n, value) for n, value in enumerate(change.documents)),
    ]


def judged(given: Sequence[Document]) -> LintReport:
    return lint(given, WANTED, hourly="3 USD")


def found(report: LintReport, rule: str) -> list[Finding]:
    return [each for each in report.findings if each.rule.id == rule and not each.doubt]


@pytest.mark.parametrize("kind", GOOD)
def test_a_good_config_has_no_finding_but_doubts(kind: str) -> None:
    report = judged(documents(kind))
    assert [str(each.message) for each in report.findings if each.level != "info"] == []
    assert "unmet" not in report.requirements.values()


@pytest.mark.parametrize(
    "case", MUTATIONS, ids=lambda case: f"{case.kind} {case.rule} {case.change}"
)
def test_what_is_taken_out_is_found_and_its_fix_mends_it(case: Mutation) -> None:
    good = documents(case.kind)
    if isinstance(case.change, tuple):
        assert case.change[0] in good[0].value
        change = to("", good[0].value.replace(*case.change))
    else:
        change = case.change
        if change.op == "replace":
            change = replace(change, op="add")
    bad = changed(good, case.document, Patch((change,)))
    before = judged(bad)
    findings = found(before, case.rule)
    assert len(findings) == 1
    if rule_requirement := findings[0].rule.requirement:
        assert before.requirements[rule_requirement] == "unmet"
    fix = findings[0].fix
    if not case.mended:
        assert fix is None  # only its author can write the code
        return
    assert fix is not None
    mended = changed(bad, findings[0].place.document, fix)
    after = judged(mended)
    assert found(after, case.rule) == []
    assert {each.kind for each in before.findings if each.rule.id.startswith("MLG-RB")} <= {
        case.kind
    }
    assert [each for each in after.findings if each.rule.id == "MLG-KD001"] == []
    assert fix.diff(bad[[each.index for each in bad].index(findings[0].place.document)].value)


def test_every_rule_is_taken_out_of_something() -> None:
    assert {each.rule.id for each in LOOKS} == {each.rule for each in MUTATIONS}


PODS = "template: {spec: {containers: [{name: a, image: 'a:1'}]}}"
BAD = {
    "a blue-green Rollout without analysis": (
        "apiVersion: argoproj.io/v1alpha1\nkind: Rollout\nmetadata: {name: a, namespace: b}\n"
        f"spec: {{replicas: 1, strategy: {{blueGreen: {{activeService: a}}}}, {PODS}}}\n"
    ),
    "an old InferenceService without a canary": (
        "apiVersion: serving.kubeflow.org/v1alpha2\nkind: InferenceService\nmetadata: {name: a}\n"
        "spec: {default: {predictor: {sklearn: {storageUri: s}}}}\n"
    ),
    "a Deployment in a namespace": (
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a, namespace: b}\n"
        f"spec: {{replicas: 1, {PODS}}}\n"
    ),
    "a List": (
        "apiVersion: v1\nkind: List\nitems: [{apiVersion: machinelearning.seldon.io/v1, "
        "kind: SeldonDeployment, spec: {predictors: [{name: a, graph: {name: a}}]}}]\n"
    ),
    "a flat form inside a list": "services_: [{replicas: 1}]\n",
    "a Compose file without deploy": "services: {a: {image: 'a:1'}, b: {build: .}}\n",
}


@pytest.mark.parametrize("text", BAD.values(), ids=BAD)
def test_the_fix_of_every_error_mends_it(text: str) -> None:
    given = read(text)
    errors = {each.rule.id: each for each in lint(given).findings if each.level == "error"}
    assert "MLG-RB001" in errors
    for rule, each in errors.items():
        assert each.fix is not None
        mended = changed(given, each.place.document, each.fix)
        assert found(lint(mended), rule) == []


JUNK: list[Any] = [None, 5, -1.5, True, "x", "{{ x }}", [], {}, [None, 5], {"name": None}, 10**400]


@pytest.mark.parametrize("kind", [each for each in GOOD if each != "Airflow DAG"])
def test_whatever_stands_anywhere_nothing_fails_and_fixes_fit(kind: str) -> None:
    good = documents(kind)
    for place, document in enumerate(good):
        for pointer in list(document.lines)[1:]:
            for junk in JUNK:
                bad = changed(good, place, Patch((to(pointer, junk),)))
                bad[place] = replace(bad[place], value=of_value(bad[place].value).value)
                for each in judged(bad).findings:
                    if each.fix is not None:
                        each.fix.apply(bad[each.place.document].value)


def test_a_budget_of_other_pods_is_not_theirs() -> None:
    blocked = DEPLOYMENT.replace("minAvailable: 1", "minAvailable: 2")
    for other in ("app: other", "app: eta, tier: other"):
        text = blocked.replace("matchLabels: {app: eta}", "matchLabels: {" + other + "}")
        assert "MLG-SC002" not in {each.rule.id for each in lint(text).findings}
    assert "MLG-SC002" in {each.rule.id for each in lint(blocked).findings}
