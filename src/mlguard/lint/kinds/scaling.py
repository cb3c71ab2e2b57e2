"""What scales a workload of Kubernetes, and what it keeps of earlier versions."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from mlguard.lint.intent import Replicas
from mlguard.lint.kinds.pods import bounds, fixed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mlguard.lint.intent import Fact
    from mlguard.lint.kinds.kind import Given
    from mlguard.lint.nodes import Node


def scaled(root: Node, given: Given) -> Fact:
    """State how many replicas a workload may have, by what scales it."""
    for each in given.naming(root, "scaleTargetRef", "autoscaling", "HorizontalPodAutoscaler"):
        spec = each.at("spec")
        return bounds(spec.at("minReplicas"), spec.at("maxReplicas"), few=1, many=None)
    for each in given.naming(root, "scaleTargetRef", "keda.sh", "ScaledObject"):
        spec = each.at("spec")
        # 100 is what KEDA takes where nothing is said
        return bounds(spec.at("minReplicaCount"), spec.at("maxReplicaCount"), few=0, many=100)
    count = root.at("spec", "replicas")
    if not count.there:
        return count.unknown("no replicas and no autoscaler here: one may stand elsewhere")
    return fixed(count)


def drains(root: Node, given: Given) -> Iterable[Fact]:
    """State whether the budgets of disruption let a pod go."""
    found = scaled(root, given).value
    fewest = found.least if isinstance(found, Replicas) else None
    for each in given.selecting(root, "policy", "PodDisruptionBudget"):
        least, most = each.at("spec", "minAvailable"), each.at("spec", "maxUnavailable")
        every = least.number if least.number is not None else math.inf
        if most.number == 0 or most.text == "0%":
            yield most.absent("no pod may ever go, so no node can be drained", most.put(1))
        elif least.value == "100%" or (fewest is not None and math.inf > every >= fewest):
            keep = least.put(max((fewest or 1) - 1, 0))
            yield least.absent("all pods must stay, so no node can be drained", keep)
        else:
            yield each.at("spec").present("a pod may go when its node is drained")


def history(root: Node) -> Iterable[Fact]:
    """State whether the last version is kept."""
    kept = root.at("spec", "revisionHistoryLimit")
    if kept.there and kept.number == 0:
        yield kept.absent("no earlier version is kept to go back to", kept.put(3))
    elif kept.there and not kept.templated:
        yield kept.present(f"{kept.value} earlier versions are kept")
