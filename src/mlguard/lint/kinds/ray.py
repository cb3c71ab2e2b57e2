"""KubeRay's RayService, whose applications stand in a string of YAML."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from mlguard.lint.intent import Fact, Replicas, ServingIntent
from mlguard.lint.kinds.kind import Given, Kind, is_object, name_of
from mlguard.lint.kinds.pods import bounds, containers, fixed, given_up, images, merged, resources
from mlguard.lint.nodes import Node
from mlguard.lint.read import read
from mlguard.lint.trees import dumped

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mlguard.lint.bar import Bar
    from mlguard.lint.patches import Patch

GROUP = "ray.io"
_GRADUAL = "NewClusterWithIncrementalUpgrade"


def _read(root: Node, given: Given) -> Iterable[ServingIntent]:
    cluster = root.at("spec", "rayClusterConfig")
    groups = [cluster.at("headGroupSpec"), *cluster.at("workerGroupSpecs")]
    pods = [each for group in groups for each in containers(group.at("template", "spec"))]
    yield ServingIntent(
        "RayService",
        name_of(root),
        root.place,
        rollback=(_rollback(root),),
        replicas=tuple(merged(_replicas(root, cluster))),
        latency=tuple(_latency(root, given.bar)),
        resources=tuple(merged(resources(pods))),
        images=tuple(merged(images(pods))),
    )


def applications(root: Node) -> Node | None:
    """Give what stands in the string, or None where it does not read."""
    text = root.at("spec", "serveConfigV2").text
    documents = read(f"{text}\n") if text.strip() else []
    if len(documents) != 1 or documents[0].problems or not isinstance(documents[0].value, dict):
        return None
    return Node.of(documents[0])


def _rollback(root: Node) -> Fact:
    strategy = root.at("spec", "upgradeStrategy")
    kind = strategy.at("type") if not strategy.text else strategy
    if kind.templated:
        return kind.unknown("how it is upgraded is put in later")
    if kind.text == _GRADUAL:
        return kind.present("the traffic moves step by step, and the old cluster stays until then")
    return strategy.absent("all traffic moves to a new cluster at once", _gradual(strategy))


def _gradual(strategy: Node) -> Patch:
    return strategy.put(
        {
            "type": _GRADUAL,
            "clusterUpgradeOptions": {
                "gatewayClassName": "istio",
                "stepSizePercent": 10,
                "intervalSeconds": 60,
                "maxSurgePercent": 100,
            },
        }
    )


def _replicas(root: Node, cluster: Node) -> Iterator[Fact]:
    """State the pods of the cluster, which hold all replicas of all applications."""
    if applications(root) is None and root.at("spec", "serveConfigV2").there:
        yield root.at("spec", "serveConfigV2").unknown("the applications in it do not read")
    if not cluster.there:
        return
    grows = cluster.at("enableInTreeAutoscaling").value is True
    yield Fact("present", "one head", cluster.at("headGroupSpec").place, Replicas(1, 1))
    for group in cluster.at("workerGroupSpecs"):
        if grows or group.at("maxReplicas").there:
            few = int(group.at("replicas").number or 1)
            yield bounds(group.at("minReplicas"), group.at("maxReplicas"), few=few, many=None)
        else:
            yield fixed(group.at("replicas"))


def _latency(root: Node, bar: Bar) -> Iterator[Fact]:
    """State after how long a request is given up, which stands in the string."""
    where = root.at("spec", "serveConfigV2")
    inside = applications(root)
    if inside is None:
        yield where.unknown("the applications in the string do not read")
        return
    timeout = inside.at("http_options", "request_timeout_s")
    if timeout.there:
        yield given_up(timeout, where, bar)
    elif where.text:
        limit = math.ceil(max(bar.latency.values(), default=1.0))
        patch = inside.at("http_options", "request_timeout_s").put(limit)
        fix = where.put(dumped(patch.apply(inside.value)))
        yield where.absent("nothing ends a request that takes too long", fix)


KIND = Kind("RayService", lambda root: is_object(root, GROUP, "RayService"), _read)
