"""Flagger's Canary: alone, or as the way back of the Deployment that it targets."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from mlguard.lint.intent import Fact, ServingIntent
from mlguard.lint.kinds.kind import Given, Kind, is_object, name_of
from mlguard.lint.patches import Patch

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mlguard.lint.bar import Bar
    from mlguard.lint.nodes import Node

GROUP = "flagger.app"
_FAILURES = {"name": "request-success-rate", "thresholdRange": {"min": 99}, "interval": "1m"}


def canaries(root: Node, given: Given) -> list[Node]:
    """Find the canary of a workload, if it has one."""
    return list(islice(given.naming(root, "targetRef", GROUP, "Canary"), 1))


def rollback(canary: Node, bar: Bar) -> Fact:
    """State whether failed checks bring the last version back."""
    analysis = _analysis(canary)
    skip = canary.at("spec", "skipAnalysis")
    if skip.templated or analysis.templated:
        return analysis.unknown("whether the canary is analysed is put in later")
    if skip.value is True:
        fix = skip.put(False)  # noqa: FBT003 -- the value of a key
        return skip.absent("the canary goes out without analysis: skipAnalysis", fix)
    if any(True for key in ("metrics", "webhooks") for _ in analysis.at(key)):
        return analysis.present("Flagger rolls back after failed checks")
    own = analysis.value if isinstance(analysis.value, dict) else {}
    checks = analysis_of(bar)
    fix = analysis.put(checks | own | {"metrics": checks["metrics"]})
    return analysis.absent("the canary checks neither a metric nor a hook", fix)


def latency(canary: Node, bar: Bar) -> Fact:
    """State what the canary holds the latency to; the built-in metric is the 99th percentile."""
    metrics = _analysis(canary).at("metrics")
    for each in metrics:
        most = each.at("thresholdRange", "max")
        if each.at("name").text == "request-duration" and most.number is not None:
            says = f"the canary fails above {most.number:g} ms"
            fix = most.put(_milliseconds(bar))
            return most.present(says, {0.99: most.number / 1000}, fix)
        if any(word in each.at("name").text for word in ("latency", "duration", "p99")):
            return each.unknown(f"the query of {each.at('name').text} stands elsewhere")
    return metrics.absent("the canary does not look at latency", _more(metrics, _latency(bar)))


def errors(canary: Node) -> Fact:
    """State what the canary holds the share of good requests to."""
    metrics = _analysis(canary).at("metrics")
    for each in metrics:
        least = each.at("thresholdRange", "min")
        if each.at("name").text == "request-success-rate" and least.number is not None:
            return least.present(f"the canary fails below {least.number:g} % of good requests")
    return metrics.absent("the canary does not look at failures", _more(metrics, _FAILURES))


def approvals(canary: Node) -> Fact:
    """State whether somebody is asked before it goes on."""
    hooks = _analysis(canary).at("webhooks")
    for each in hooks:
        if each.at("type").text in {"confirm-rollout", "confirm-promotion"}:
            return each.present("a hook confirms the rollout")
    ask = {"name": "approval", "type": "confirm-promotion", "url": "http://approvals.mlops/canary"}
    return hooks.absent("no hook waits for a yes", _more(hooks, ask))


def analysis_of(bar: Bar) -> dict[str, object]:
    """Give an analysis that looks at failures and at latency."""
    return {
        "interval": "1m",
        "threshold": 5,
        "maxWeight": 50,
        "stepWeight": 10,
        "metrics": [_FAILURES, _latency(bar)],
    }


def beside(root: Node, bar: Bar) -> Patch:
    """Give the canary that a Deployment lacks."""
    metadata = {"name": name_of(root)}
    if root.at("metadata", "namespace").text:
        metadata["namespace"] = root.at("metadata", "namespace").text
    return Patch(
        documents=(
            {
                "apiVersion": f"{GROUP}/v1beta1",
                "kind": "Canary",
                "metadata": metadata,
                "spec": {
                    "targetRef": {
                        "apiVersion": root.at("apiVersion").text,
                        "kind": root.at("kind").text,
                        "name": name_of(root),
                    },
                    "service": {"port": 80},
                    "analysis": analysis_of(bar),
                },
            },
        )
    )


def _latency(bar: Bar) -> dict[str, object]:
    most = {"max": _milliseconds(bar)}
    return {"name": "request-duration", "thresholdRange": most, "interval": "1m"}


def _milliseconds(bar: Bar) -> int:
    return round(1000 * bar.latency.get(0.99, max(bar.latency.values(), default=0.5)))


def _more(metrics: Node, metric: object) -> Patch:
    """Add to a list, which may be missing."""
    return metrics.at(len(metrics.value) if isinstance(metrics.value, list) else 0).put(metric)


def _analysis(canary: Node) -> Node:
    spec = canary.at("spec")
    return spec.at("canaryAnalysis" if spec.at("canaryAnalysis").there else "analysis")


def _read(root: Node, given: Given) -> Iterable[ServingIntent]:
    target = root.at("spec", "targetRef")
    if given.named(root, "targetRef") is not None:
        return  # what it targets is judged, and this with it
    count = root.at("spec").unknown(f"{target.at('name').text or 'its target'} stands elsewhere")
    yield ServingIntent(
        "Canary",
        name_of(root),
        root.place,
        rollback=(rollback(root, given.bar),),
        latency=(latency(root, given.bar),),
        errors=(errors(root),),
        approvals=(approvals(root),),
        replicas=(count,),
    )


KIND = Kind("Canary", lambda root: is_object(root, GROUP, "Canary"), _read)
