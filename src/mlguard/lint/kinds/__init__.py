"""The kinds of config that are known, and those that others add."""

from __future__ import annotations

from mlguard.lint.kinds import (
    airflow,
    canary,
    compose,
    deployment,
    flat,
    kserve,
    llm,
    others,
    ray,
    rollout,
    seldon,
)
from mlguard.lint.kinds.kind import Given, Kind
from mlguard.lint.plugins import plugins

__all__ = ["Given", "Kind", "known"]

KINDS = (
    deployment.KIND,
    rollout.KIND,
    canary.KIND,
    kserve.KIND,
    llm.KIND,
    seldon.KIND,
    ray.KIND,
    compose.KIND,
    airflow.KIND,
    *others.KINDS,
    flat.KIND,
    others.OBJECT,
)


def known() -> tuple[Kind, ...]:
    """Give those that others add before our own, so that theirs may take a document over."""
    return (*plugins("mlguard.lint.kinds", Kind), *KINDS)
