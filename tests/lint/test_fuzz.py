from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlguard.lint import LintReport, lint, read
from mlguard.lint.pages import github, markdown
from mlguard.lint.waivers import waive

WORDS = [
    "apiVersion",
    "kind",
    "metadata",
    "name",
    "namespace",
    "annotations",
    "labels",
    "spec",
    "template",
    "containers",
    "image",
    "replicas",
    "resources",
    "limits",
    "memory",
    "readinessProbe",
    "strategy",
    "canary",
    "steps",
    "analysis",
    "metrics",
    "predictor",
    "transformer",
    "maxReplicas",
    "minReplicas",
    "timeout",
    "logger",
    "scaleTargetRef",
    "targetRef",
    "predictors",
    "graph",
    "componentSpecs",
    "serveConfigV2",
    "services",
    "deploy",
    "update_config",
    "healthcheck",
    "rollback_on_error",
    "drift_alert_threshold",
    "cost_alert_per_day",
    "items",
    "on",
    "8080",
    "~",
    "<<",
    "mlguard/waive",
]
KINDS = [
    "Deployment",
    "StatefulSet",
    "HorizontalPodAutoscaler",
    "ScaledObject",
    "InferenceService",
    "Rollout",
    "List",
    "AnalysisTemplate",
    "Canary",
    "SeldonDeployment",
    "RayService",
    "LLMInferenceService",
]
VERSIONS = [
    "apps/v1",
    "autoscaling/v2",
    "serving.kserve.io/v1beta1",
    "serving.kubeflow.org/v1alpha2",
    "ray.io/v1",
    "machinelearning.seldon.io/v1",
    "argoproj.io/v1alpha1",
    "flagger.app/v1beta1",
    "keda.sh/v1alpha1",
    "v1",
]

scalars = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
    | st.sampled_from([*KINDS, *VERSIONS, "${IMAGE}", "{{ .Values.a }}", "a: [", "canary", "10%"])
)  # fmt: skip
trees = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(WORDS) | st.integers() | st.text(max_size=5), inner, max_size=6
        )
    ),
    max_leaves=40,
)
objects = st.builds(
    lambda version, kind, name, body, spec: {
        **(body if isinstance(body, dict) else {}),
        "apiVersion": version,
        "kind": kind,
        "metadata": {"name": name},
        "spec": spec,
    },
    st.sampled_from(VERSIONS), st.sampled_from(KINDS), scalars, trees, trees,
)  # fmt: skip
documents = st.lists(objects | trees.filter(lambda tree: isinstance(tree, dict)), max_size=3)
lines = st.lists(
    st.sampled_from(
        ["a: &a {b: *a}", "- *a", "<<: *a", "? [x]", "a: !Ref b", "{{- if .x }}", "{% raw %}", "---",
         "...", "%YAML 1.1", "# mlguard: waive MLG-RB001", "\t- a", "a: |", "  text", "kind: Deployment",
         "spec:", "  replicas: {{ .x }}", "&a a: *a", "a: 'b", '"c": [', "}", "\x07", "\ufeff", "a: a: a",
         "# mlguard: waive MLG-RB001 until 2027-01-31 because x", "on: *b", "!!python/name:os.system x"]
    ) | st.text(max_size=12),
    max_size=12,
).map("\n".join)  # fmt: skip


def holds(report: LintReport) -> None:
    """Ask a report for all that it can give."""
    report = waive(report, now=1.8e9)
    for each in report.documents:
        assert (
            each.value is not None or each.problems or not each.text.strip() or each.form == "yaml"
        )
    for finding in report.findings:
        assert finding.message
        if finding.place.file or any(each.text for each in report.documents):
            assert finding.place.line is not None
    json.dumps([report.to_dict(), report.to_sarif()], allow_nan=False)
    for text in (str(report), github(report), markdown(report)):
        text.encode()


def fuzzed_values(values: list[Any]) -> None:
    holds(lint(values))


def fuzzed_text(text: str) -> None:
    holds(lint(f"{text}\n"))


def fuzzed_json(values: list[Any]) -> None:
    for value in values:
        holds(lint(f"{json.dumps(value)}\n"))


quick = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
slow = settings(quick, max_examples=4_000)
CASES: dict[str, tuple[Any, Any]] = {
    "values": (fuzzed_values, documents),
    "text": (fuzzed_text, lines),
    "json": (fuzzed_json, documents),
}


@pytest.mark.parametrize("name", CASES)
def test_whatever_is_linted_gives_a_report(name: str) -> None:
    judge, examples = CASES[name]
    run: Any = quick(given(examples)(judge))  # type: ignore[no-untyped-call]
    run()


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_whatever_is_linted_gives_a_report_12_000_times(name: str) -> None:
    judge, examples = CASES[name]
    run: Any = slow(given(examples)(judge))  # type: ignore[no-untyped-call]
    run()


HARD = {
    "aliases": "a0: &a0 [x, x]\n"
    + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 90)),
    "merges": "a0: &a0 {x: 1}\n"
    + "".join(f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}]}}\n" for n in range(1, 45)),
    "cycle": "a: &a\n  b: [*a]\n",
    "brackets": "[" * 1_000_000,
    "open": "- " * 500_000 + "\n",
    "indent": "".join(" " * n + f"k{n}:\n" for n in range(1_300)),
    "braces": "{" * 500_000 + "\n",
    "items": "- 1\n" * 250_000,
    "keys": "".join(f"k{n}: 1\n" for n in range(100_000)),
    "twice": "a: 1\n" * 200_000,
    "templates": "{{ " * 340_000 + "\n: [",
    "parts": "{{ a }}" * 149_000 + "\n: [",
    "documents": "---\n" * 250_000,
    "text": "a: '" + "x" * 1_040_000 + "'\n",
    "quotes": '"' * 1_000_000 + "\n",
    "json": '{"a": ' * 150_000,
    "json text": '{"a": "' + '\\"' * 500_000,
    "bombs": ("---\na: &a [" + "1," * 180 + "]\nb: [" + "*a," * 95 + "]\n") * 800,
    "waivers": "# mlguard: waive\n" * 60_000,
    "spaces": " " * 1_000_000 + "\n",
    "flat": "[" + "{}," * 300_000 + "\n",
}


PROGRAM = """
import resource, sys, time
from mlguard.lint import lint
from mlguard.lint.waivers import waive
lint("a: 1\\n")
for file in sys.argv[1:]:
    print(file, flush=True)
    end = int(time.process_time()) + 2  # from one second to two
    resource.setrlimit(resource.RLIMIT_CPU, (end, resource.RLIM_INFINITY))
    report = waive(lint(file), now=0.0)
    str(report), report.to_sarif()
"""


def test_hard_texts_take_bounded_time_and_memory(tmp_path: Path) -> None:
    """A process that passes its limits is killed; the last name that it wrote tells where."""
    files = []
    for name, text in HARD.items():
        file = tmp_path / (name + (".json" if name.startswith("json") else ".yaml"))
        file.write_text(text)
        files.append(str(file))
    code = f"import resource; resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))\n{PROGRAM}"
    done = subprocess.run(
        [sys.executable, "-c", code, *files], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, (done.stdout.splitlines()[-1:], done.stderr[-500:])
    assert done.stdout.split("\n")[:-1] == files


def test_100_megabytes_are_refused_before_they_are_read(tmp_path: Path) -> None:
    file = tmp_path / "large.yaml"
    with file.open("wb") as opened:
        opened.truncate(100 << 20)
    (document,) = read(file)
    assert "more than 1,048,576 bytes" in document.problems[0].message
    (document,) = read("x" * (100 << 20) + "\n")
    assert document.text == ""
