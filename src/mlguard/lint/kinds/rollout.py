"""Argo Rollouts, with the templates of their analysis."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mlguard.lint.intent import Fact, ServingIntent
from mlguard.lint.kinds.kind import Given, Kind, is_object, name_of, same_namespace
from mlguard.lint.kinds.pods import containers, images, merged, probes, resources
from mlguard.lint.kinds.scaling import history, scaled
from mlguard.lint.nodes import Node, together
from mlguard.lint.patches import Patch

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mlguard.lint.bar import Bar

GROUP = "argoproj.io"
_LATENCY = re.compile(r"latency|duration|response.?time|p9[059]\b|quantile", re.IGNORECASE)
_ERRORS = re.compile(r"success|error|fail|5xx|5\.\*|availab", re.IGNORECASE)
_DRIFT = re.compile(r"drift|\bpsi\b", re.IGNORECASE)


def referring(root: Node, given: Given) -> bool:
    """Tell whether a Rollout runs the pods of a Deployment, and is judged instead of it."""
    return any(True for _ in given.naming(root, "workloadRef", GROUP, "Rollout"))


def _rollback(root: Node, given: Given) -> Fact:
    spec = root.at("spec")
    strategy = spec.at("strategy")
    analyses = list(_analyses(strategy))
    named = [each for analysis in analyses for each in analysis.at("templates")]
    if named:
        found = [_template(each, root, given) for each in named]
        missing = [
            each.at("templateName").text or "its template"
            for each, template in zip(named, found, strict=True)
            if template is None
        ]
        if len(missing) == len(named):
            return named[0].unknown(f"the analysis {missing[0]} stands elsewhere")
        if all(_dry(analysis) for analysis in analyses):
            return (
                analyses[0]
                .at("dryRun")
                .absent("a dry run of the analysis aborts nothing", _removed(analyses))
            )
        return named[0].present("a failed analysis aborts the rollout and brings it back")
    abort = spec.at("progressDeadlineAbort")
    if abort.value is True:
        return abort.present("pods that do not get ready in time abort the rollout")
    if strategy.templated or any(each.at("templates").templated for each in analyses):
        return strategy.unknown("how it goes out is put in later")
    return strategy.absent("no analysis aborts the rollout", _fix(root, given.bar))


def _analyses(strategy: Node) -> Iterator[Node]:
    canary, blue = strategy.at("canary"), strategy.at("blueGreen")
    found = [
        canary.at("analysis"),
        *(step.at("analysis") for step in canary.at("steps")),
        blue.at("prePromotionAnalysis"),
        blue.at("postPromotionAnalysis"),
    ]
    yield from (each for each in found if each.there)


def _template(reference: Node, root: Node, given: Given) -> Node | None:
    name = reference.at("templateName").text
    for each in given.names.get(name, ()):
        cluster = is_object(each, GROUP, "ClusterAnalysisTemplate")
        near = is_object(each, GROUP, "AnalysisTemplate") and same_namespace(each, root)
        if cluster or near:
            return each
    return None


def _dry(analysis: Node) -> bool:
    return any(each.at("metricName").text in {".*", "*"} for each in analysis.at("dryRun"))


def _removed(analyses: list[Node]) -> Patch:
    return together(*(each.at("dryRun").put([]) for each in analyses))


def _fix(root: Node, bar: Bar) -> Patch:
    strategy = root.at("spec", "strategy")
    name = f"{name_of(root) or 'rollout'}-checks"
    metadata = {"name": name}
    if root.at("metadata", "namespace").text:
        metadata["namespace"] = root.at("metadata", "namespace").text
    where = strategy.at("blueGreen", "prePromotionAnalysis")
    if not strategy.at("blueGreen").there:
        where = strategy.at("canary", "analysis")
    template = {
        "apiVersion": f"{GROUP}/v1alpha1",
        "kind": "AnalysisTemplate",
        "metadata": metadata,
        "spec": {"metrics": [_FAILURES, _slowness(bar)]},
    }
    change = where.put({"templates": [{"templateName": name}]})
    return Patch(change.operations, (template,))


def _prometheus(query: str) -> dict[str, object]:
    return {"prometheus": {"address": "http://prometheus.monitoring:9090", "query": query}}


_FAILURES = {
    "name": "success-rate",
    "interval": "1m",
    "successCondition": "len(result) > 0 && result[0] >= 0.99",
    "failureLimit": 3,
    "provider": _prometheus(
        'sum(rate(http_requests_total{code!~"5.."}[5m])) / sum(rate(http_requests_total[5m]))'
    ),
}


def _slowness(bar: Bar) -> dict[str, object]:
    quantile = 0.99 if 0.99 in bar.latency else max(bar.latency, default=0.99)  # noqa: PLR2004
    limit = bar.latency.get(quantile, 0.5)
    return {
        "name": "latency",
        "interval": "1m",
        "successCondition": f"len(result) > 0 && result[0] <= {limit:.10g}",
        "failureLimit": 3,
        "provider": _prometheus(
            f"histogram_quantile({quantile:.10g}, "
            "sum(rate(http_request_duration_seconds_bucket[5m])) by (le))"
        ),
    }


def _metrics(root: Node, given: Given) -> tuple[list[Node], bool]:
    """Give the metrics of its analyses, and whether they are all there."""
    named = [
        each
        for analysis in _analyses(root.at("spec", "strategy"))
        for each in analysis.at("templates")
    ]
    found = [_template(each, root, given) for each in named]
    metrics = [each for one in found if one for each in one.at("spec", "metrics")]
    return metrics, bool(found) and None not in found


def _speaking(metrics: list[Node], pattern: re.Pattern[str]) -> Node | None:
    for each in metrics:
        texts = [each.at("name").text, *(inner.text for inner in each.at("provider").walk(6))]
        if any(pattern.search(text) for text in texts):
            return each
    return None


def _looked(root: Node, given: Given, pattern: re.Pattern[str], what: str) -> Iterable[Fact]:
    """State what the metrics of the analyses look at; of what they do not, nothing is known."""
    metrics, _ = _metrics(root, given)
    found = _speaking(metrics, pattern)
    if found is not None:
        yield found.present(f"the metric {found.at('name').text or '?'} looks at {what}")


def _latency(root: Node, given: Given) -> Iterable[Fact]:
    metrics, complete = _metrics(root, given)
    found = _speaking(metrics, _LATENCY)
    if found is not None:
        yield Fact(
            "present",
            f"the metric {found.at('name').text or '?'} looks at latency",
            found.place,
            _limit(found),
        )
    elif complete and metrics:
        last = metrics[-1]
        more = last.around.at(len(last.around.value))
        says = "the analysis does not look at latency"
        yield more.absent(says, more.put(_slowness(given.bar)))
    elif not any(True for _ in _analyses(root.at("spec", "strategy"))):
        strategy = root.at("spec", "strategy")
        yield strategy.absent("no analysis looks at latency", _fix(root, given.bar))


def _limit(metric: Node) -> dict[float | None, float] | None:
    """Read a limit in seconds by quantile, where the condition and the query tell both."""
    condition = metric.at("successCondition").text
    most = re.search(r"<=?\s*([0-9]{1,9}(?:\.[0-9]{1,9})?)\s*\)?$", condition)
    query = " ".join(each.text for each in metric.at("provider").walk(6))
    quantile = re.search(r"histogram_quantile\(\s*(0\.[0-9]{1,6})", query)
    if most is None or quantile is None:
        return None
    unit = 0.001 if re.search(r"_ms|millisecond", query) else 1.0
    return {float(quantile[1]): float(most[1]) * unit}


def _approvals(strategy: Node) -> Iterable[Fact]:
    for step in strategy.at("canary", "steps"):
        pause = step.at("pause")
        if isinstance(pause.value, dict) and not pause.at("duration").there:
            yield pause.unknown("a pause waits for somebody, but anybody may say yes")
            return


def _read(root: Node, given: Given) -> Iterable[ServingIntent]:
    spec = root.at("spec")
    pod = spec.at("template", "spec")
    runs = given.named(root, "workloadRef")
    if runs is not None:
        pod = runs.at("spec", "template", "spec")
    pods = containers(pod)
    yield ServingIntent(
        "Rollout",
        name_of(root),
        root.place,
        rollback=(_rollback(root, given),),
        undo=tuple(history(root)),
        drift=tuple(_looked(root, given, _DRIFT, "drift")),
        latency=tuple(_latency(root, given)),
        errors=tuple(_looked(root, given, _ERRORS, "failures")),
        approvals=tuple(_approvals(spec.at("strategy"))),
        replicas=(scaled(root, given),),
        resources=tuple(merged(resources(pods))),
        probes=tuple(merged(probes(pods))),
        images=tuple(merged(images(pods))),
    )


KIND = Kind("Rollout", lambda root: is_object(root, GROUP, "Rollout"), _read)
