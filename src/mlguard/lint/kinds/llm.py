"""KServe's LLMInferenceService."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlguard.lint.intent import Fact, ServingIntent
from mlguard.lint.kinds.kind import Given, Kind, is_object, name_of
from mlguard.lint.kinds.kserve import NEW
from mlguard.lint.kinds.pods import bounds, containers, fixed, images, merged, resources

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mlguard.lint.nodes import Node


def _read(root: Node, _: Given) -> Iterable[ServingIntent]:
    spec = root.at("spec")
    parts = [spec, *(each for each in (spec.at("prefill"),) if each.there)]
    pods = [
        container
        for part in parts
        for key in ("template", "worker")
        for container in containers(part.at(key))
    ]
    yield ServingIntent(
        "LLMInferenceService",
        name_of(root),
        root.place,
        replicas=tuple(map(_replicas, parts)),
        resources=tuple(merged(resources(pods))),
        images=tuple(merged(images(pods))),
    )


def _replicas(part: Node) -> Fact:
    scaling = part.at("scaling")
    if not scaling.there:
        return fixed(part.at("replicas"))
    return bounds(scaling.at("minReplicas"), scaling.at("maxReplicas"), few=1, many=None)


KIND = Kind("LLMInferenceService", lambda root: is_object(root, NEW, "LLMInferenceService"), _read)
