"""Seldon Core's SeldonDeployment."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from mlguard.lint.intent import Fact, ServingIntent
from mlguard.lint.kinds.kind import Given, Kind, is_object, name_of
from mlguard.lint.kinds.pods import bounds, containers, fixed, images, merged, probes, resources
from mlguard.lint.nodes import Node, together

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mlguard.lint.patches import Patch

GROUP = "machinelearning.seldon.io"
_LOGGER = {"mode": "all", "url": "http://drift.monitoring.svc"}


def _read(root: Node, _: Given) -> Iterable[ServingIntent]:
    predictors = list(root.at("spec", "predictors"))
    parts = [part for each in predictors for part in each.at("componentSpecs")]
    pods = [container for part in parts for container in containers(part.at("spec"))]
    yield ServingIntent(
        "SeldonDeployment",
        name_of(root),
        root.place,
        rollback=(_rollback(root),),
        drift=tuple(_drift(predictors)),
        replicas=tuple(merged(fact for each in predictors for fact in _replicas(root, each))),
        resources=tuple(merged(resources(pods))),
        probes=tuple(merged(probes(pods))),
        images=tuple(merged(images(pods))),
    )


def _rollback(root: Node) -> Fact:
    predictors = list(root.at("spec", "predictors"))
    for each in predictors:
        traffic = each.at("traffic")
        if each.at("shadow").value is True:
            return each.at("shadow").present("a shadow is tried before it answers")
        if traffic.templated:
            return traffic.unknown("the traffic is put in later")
        if len(predictors) > 1 and traffic.number is not None:
            return traffic.present("the traffic is split, and the other predictor goes on")
    first = root.at("spec", "predictors", 0)
    says = "one predictor takes all traffic at once"
    return first.absent(says, _kept(first) if predictors else None)


def _kept(first: Node) -> Patch | None:
    """Keep the version that runs beside the new one, which begins with a tenth of the traffic."""
    if not isinstance(first.value, dict):
        return None
    kept = copy.deepcopy(first.value) | {
        "name": f"{first.at('name').text or 'default'}-stable",
        "traffic": 90,
    }
    return together(first.at("traffic").put(10), first.around.at(1).put(kept))


def _drift(predictors: list[Node]) -> Iterator[Fact]:
    for each in predictors:
        for inside in each.at("graph").walk():
            if inside.key == "logger" and inside.there:
                yield inside.unknown("requests are recorded; what watches them stands elsewhere")
                return
    if predictors:
        where = predictors[0].at("graph", "logger")
        says = "nothing records the requests, to watch them for drift"
        yield where.absent(says, where.put(_LOGGER))


def _replicas(root: Node, predictor: Node) -> Iterator[Fact]:
    scaled = False
    for part in predictor.at("componentSpecs"):
        hpa, keda = part.at("hpaSpec"), part.at("kedaSpec")
        if hpa.there:
            scaled = True
            yield bounds(hpa.at("minReplicas"), hpa.at("maxReplicas"), few=1, many=None)
        elif keda.there:
            scaled = True
            # 100 is what KEDA takes where nothing is said
            yield bounds(keda.at("minReplicaCount"), keda.at("maxReplicaCount"), few=0, many=100)
        elif part.at("replicas").there:
            scaled = True
            yield fixed(part.at("replicas"))
    if not scaled:
        own = predictor.at("replicas")
        yield fixed(
            own
            if own.there or not root.at("spec", "replicas").there
            else root.at("spec", "replicas")
        )


KIND = Kind("SeldonDeployment", lambda root: is_object(root, GROUP, "SeldonDeployment"), _read)
