"""Deployments and StatefulSets, with what scales them and what brings them back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlguard.lint.intent import Fact, ServingIntent
from mlguard.lint.kinds import canary, rollout
from mlguard.lint.kinds.kind import Given, Kind, is_object, name_of
from mlguard.lint.kinds.pods import containers, images, merged, probes, resources, serves
from mlguard.lint.kinds.scaling import drains, history, scaled

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mlguard.lint.nodes import Node


def _read(root: Node, given: Given) -> Iterable[ServingIntent]:
    pods = list(containers(root.at("spec", "template", "spec")))
    if not serves(pods) or rollout.referring(root, given):
        return
    found = canary.canaries(root, given)
    yield ServingIntent(
        root.at("kind").text,
        name_of(root),
        root.place,
        rollback=tuple(canary.rollback(each, given.bar) for each in found)
        or (_no_way_back(root, given),),
        undo=tuple(history(root)),
        drains=tuple(drains(root, given)),
        latency=tuple(canary.latency(each, given.bar) for each in found),
        errors=tuple(map(canary.errors, found)),
        approvals=tuple(map(canary.approvals, found)),
        replicas=(scaled(root, given),),
        resources=tuple(merged(resources(pods))),
        probes=tuple(merged(probes(pods))),
        images=tuple(merged(images(pods))),
    )


def _no_way_back(root: Node, given: Given) -> Fact:
    spec = root.at("spec")
    if root.at("kind").text == "Deployment":
        says = "no Canary and no Rollout here brings the last version back"
        return spec.absent(says, canary.beside(root, given.bar))
    partition = spec.at("updateStrategy", "rollingUpdate", "partition")
    if partition.templated:
        return partition.unknown("the partition of the update is put in later")
    if (partition.number or 0) > 0:
        return partition.present(f"pods below {partition.number:g} keep the last version")
    keep = max(int(spec.at("replicas").number or 1) - 1, 1)
    return partition.absent("an update replaces every pod", partition.put(keep))


KIND = Kind("Deployment", lambda root: is_object(root, "apps", "Deployment", "StatefulSet"), _read)
