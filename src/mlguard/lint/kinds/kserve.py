"""KServe's InferenceService, in its old and its new forms."""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING

from mlguard.lint.intent import Fact, ServingIntent
from mlguard.lint.kinds.kind import Given, Kind, is_object, name_of
from mlguard.lint.kinds.pods import (
    bounds,
    containers,
    given_up,
    image,
    images,
    merged,
    probes,
    resources,
)
from mlguard.lint.nodes import Node, together

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mlguard.lint.bar import Bar

OLD, NEW = "serving.kubeflow.org", "serving.kserve.io"
_COMPONENTS = ("predictor", "transformer", "explainer")
_MODE = "serving.kserve.io/deploymentMode"
_MOST = ("autoscaling.knative.dev/max-scale", "autoscaling.knative.dev/maxScale")
_LEAST = ("autoscaling.knative.dev/min-scale", "autoscaling.knative.dev/minScale")
_LOGGER = {"mode": "all", "url": "http://drift.monitoring.svc"}
_NOT_MODELS = {"containers", "logger", "batcher", "workerSpec", "affinity", "volumes"}


def _read(root: Node, given: Given) -> Iterable[ServingIntent]:
    old = root.at("spec", "default").there
    at = root.at("spec", "default") if old else root.at("spec")
    components = [each for name in _COMPONENTS if (each := at.at(name)).there]
    if not components:
        components = [at.at("predictor")]
    raw = root.at("metadata", "annotations", _MODE).text in {"RawDeployment", "Standard"}
    yield ServingIntent(
        "InferenceService",
        name_of(root),
        root.place,
        rollback=(_rollback(root, components[0], old=old, raw=raw),),
        drift=tuple(_drift(components)),
        latency=tuple(_latency(components, given.bar)),
        replicas=tuple(merged(_replicas(root, each, raw=raw) for each in components)),
        resources=tuple(merged(fact for each in components for fact in _resources(each))),
        probes=tuple(merged(fact for each in components for fact in _probes(each))),
        images=tuple(merged(fact for each in components for fact in _images(each))),
    )


def _model(component: Node) -> Node:
    """Give what says which model runs: `model`, or in the old form the name of a framework."""
    if component.at("model").there:
        return component.at("model")
    frameworks = (
        each
        for each in component
        if isinstance(each.value, dict)
        and each.key not in _NOT_MODELS
        and any(each.at(key).there for key in ("storageUri", "storage", "runtimeVersion", "image"))
    )
    return next(frameworks, component.at("model"))


def _rollback(root: Node, predictor: Node, *, old: bool, raw: bool) -> Fact:
    if old:
        canary = root.at("spec", "canary")
        if canary.there:
            return canary.present("the default goes on beside the canary")
        share, first = root.at("spec", "canaryTrafficPercent"), root.at("spec", "default")
        fix = together(canary.put(copy.deepcopy(first.value)), share.put(10))
        return canary.absent("there is no canary to take back", fix)
    share = predictor.at("canaryTrafficPercent")
    if share.templated:
        return share.unknown("the share of the canary is put in later")
    if raw:
        return share.absent("without Knative no earlier revision is kept to go back to")
    if share.number is not None and share.number < 100:  # noqa: PLR2004 -- percent
        return share.present(f"a canary of {share.number:g} %: the last good revision goes on")
    return share.absent("all traffic goes to a new revision at once", share.put(10))


def _drift(components: list[Node]) -> Iterable[Fact]:
    loggers = [each.at("logger") for each in components if each.at("logger").there]
    for each in loggers:
        yield each.unknown("requests are recorded; what watches them stands elsewhere")
        return
    where = components[0].at("logger")
    yield where.absent("nothing records the requests, to watch them for drift", where.put(_LOGGER))


def _latency(components: list[Node], bar: Bar) -> Iterable[Fact]:
    for each in components:
        if each.at("timeout").there:
            yield given_up(each.at("timeout"), each.at("timeout"), bar)
            return
    where = components[0].at("timeout")
    limit = math.ceil(max(bar.latency.values(), default=1.0))
    yield where.absent("nothing ends an answer that takes too long", where.put(limit))


def _replicas(root: Node, component: Node, *, raw: bool) -> Fact:
    annotations = [
        root.at("spec", "template", "metadata", "annotations"),
        component.at("annotations"),
        root.at("metadata", "annotations"),
    ]
    most, least = component.at("maxReplicas"), component.at("minReplicas")
    for each in annotations:
        for key in _MOST:
            most = each.at(key) if each.at(key).there and not most.there else most
        for key in _LEAST:
            least = each.at(key) if each.at(key).there and not least.there else least
    few = int(least.number) if least.number is not None else 1
    fact = bounds(least, most, few=1, many=max(few, 1) if raw else None)
    return fact if fact.known == "unknown" else _named(component, fact)


def _named(component: Node, fact: Fact) -> Fact:
    says = f"{component.key}: {fact.says}"
    return Fact(fact.known, says, fact.place, fact.value, fact.fix)


def _resources(component: Node) -> Iterable[Fact]:
    model = _model(component)
    if model.there and not model.at("resources").there:
        yield model.at("resources").unknown("the runtime says what it may use")
    elif model.there:
        yield model.at("resources").present("it says what it may use")
    yield from resources(containers(component))


def _probes(component: Node) -> Iterable[Fact]:
    model = _model(component)
    if model.there:
        probe = model.at("readinessProbe")
        yield (
            probe.present("a readiness probe")
            if probe.there
            else probe.unknown("the runtime has probes of its own")
        )
    else:
        yield from probes(containers(component))


def _images(component: Node) -> Iterable[Fact]:
    yield from image(_model(component).at("image"))
    yield from images(containers(component))


KIND = Kind(
    "InferenceService",
    lambda root: (
        is_object(root, OLD, "InferenceService") or is_object(root, NEW, "InferenceService")
    ),
    _read,
)
