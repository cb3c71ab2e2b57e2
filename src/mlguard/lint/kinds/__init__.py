"""The kinds of config that are known, and those that others add."""

from __future__ import annotations

from mlguard.lint.kinds import canary, deployment, flat, kserve, rollout
from mlguard.lint.kinds.kind import Given, Kind
from mlguard.lint.plugins import plugins

__all__ = ["Given", "Kind", "known"]

KINDS = (
    deployment.KIND,
    rollout.KIND,
    canary.KIND,
    kserve.KIND,
    flat.KIND,
)


def known() -> tuple[Kind, ...]:
    """Give those that others add before our own, so that theirs may take a document over."""
    return (*plugins("mlguard.lint.kinds", Kind), *KINDS)
