"""Kinds that are told by name and not judged yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlguard.lint.kinds.kind import Kind

if TYPE_CHECKING:
    from mlguard.lint.nodes import Node

_SAGEMAKER = {"initial_instance_count", "EndpointInstanceCount", "EndpointInstanceType"}
_HELM = {"replicaCount", "servingEngineSpec", "nameOverride", "fullnameOverride"}
_SILENT = {"ConfigMap", "Secret"}


def _sagemaker(root: Node) -> bool:
    types = (each.at("Type").text for each in root.at("Resources"))
    return (
        any(each.startswith("AWS::SageMaker::") for each in types)
        or root.at("apiVersion").text.startswith("sagemaker.")
        or not _SAGEMAKER.isdisjoint({*_keys(root), *_keys(root.at("Parameters"))})
    )


def _azureml(root: Node) -> bool:
    return "azureml" in root.at("$schema").text.lower()


def _bentoml(root: Node) -> bool:
    told = {"python", "docker", "include", "models", "bento"} & _keys(root)
    deployed = root.at("bento").there and root.at("services").there
    settings = root.at("services", "metrics", "namespace").text.startswith("bento")
    code = root.document.form == "python" and "bentoml.service" in root.text
    return (":" in root.at("service").text and bool(told)) or deployed or settings or code


def _ci(root: Node) -> bool:
    github = root.at("jobs").there and bool({"on", "true", "True"} & _keys(root))
    return github or any(each.at("script").there and isinstance(root.value, dict) for each in root)


def _helm(root: Node) -> bool:
    return not root.at("apiVersion").there and not _HELM.isdisjoint(_keys(root))


def _requirements(root: Node) -> bool:
    keys = _keys(root)
    return (
        {"version", "service"} <= keys and root.at("version").value == 1 and "replicas" not in keys
    )


def _pods(root: Node) -> bool:
    """Tell any other object of Kubernetes that starts containers, or copies of something."""
    if not root.at("apiVersion").there or root.at("kind").text in _SILENT:
        return False
    return root.at("spec", "replicas").there or any(
        each.key in {"containers", "mainContainer"} and isinstance(each.value, list | dict)
        for each in root.walk(12)
    )


def _keys(node: Node) -> set[str]:
    return set(node.value) if isinstance(node.value, dict) else set()


KINDS = (
    Kind("SageMaker", _sagemaker),
    Kind("AzureML", _azureml),
    Kind("BentoML", _bentoml),
    Kind("requirements", _requirements),
    Kind("values of a Helm chart", _helm),
    Kind("CI jobs", _ci),
)
OBJECT = Kind("object of Kubernetes", _pods)
