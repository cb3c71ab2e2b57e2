"""An asset check that ends by a verdict: what is a breach stops what is made of the asset."""

# mypy: disable-error-code="untyped-decorator"

from __future__ import annotations

from typing import Any

import numpy as np
from dagster import (
    AssetCheckResult,
    AssetCheckSeverity,
    Definitions,
    MetadataValue,
    RetryPolicy,
    asset,
    asset_check,
)

from mlguard import Reference, Severity, Verdict

MOVED = 0.0
"""How far tonight's rows have moved; yours come from the warehouse."""


def concluded(verdict: Verdict) -> AssetCheckResult:
    """Give a verdict as the result of an asset check: OK passes, and WARN does not stop."""
    stops = verdict.severity is Severity.BREACH or verdict.in_doubt
    return AssetCheckResult(
        passed=verdict.ok,
        severity=AssetCheckSeverity.ERROR if stops else AssetCheckSeverity.WARN,
        description=verdict.reason,
        metadata={
            "severity": verdict.severity.name,
            "why": MetadataValue.md(f"```text\n{verdict.explain()}\n```"),
            "verdict": MetadataValue.json(verdict.to_dict()),
        },
    )


def judged(rows: dict[str, Any]) -> Verdict:
    """Compare the rows with those that the model was trained on."""
    reference = Reference.fit({"amount": np.random.default_rng(1).normal(0.0, 1.0, 5_000)})
    return reference.compare(rows).verdict()


@asset
def rows() -> dict[str, Any]:
    """Read the rows of the night; made up here."""
    return {"amount": np.random.default_rng(2).normal(MOVED, 1.0, 5_000)}


@asset_check(asset=rows, blocking=True, retry_policy=RetryPolicy(max_retries=2))
def drift(rows: dict[str, Any]) -> AssetCheckResult:
    """Judge the rows before anything is made of them."""
    return concluded(judged(rows))


@asset
def model(rows: dict[str, Any]) -> int:
    """Train; made up here."""
    return len(rows["amount"])


DEFINITIONS = Definitions(assets=[rows, model], asset_checks=[drift])
