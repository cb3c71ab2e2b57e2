"""A candidate beside the champion of an MLflow registry: all that is judged is logged to its run."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mlguard import Reference, Verdict, at_least, guard, model_card, worst
from mlguard.governance import digest_json, digest_path
from mlguard.integrations.mlflow import MlflowAlias
from mlguard.performance import compare, evaluate, not_worse

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

    from mlguard.drift import DriftReport
    from mlguard.governance import Document

MODEL, EXPERIMENT = "eta", "0"


def rows(seed: int, moved: float = 0.0, n: int = 4_000) -> tuple[dict[str, Any], Any]:
    """Read rows and their labels; made up here."""
    rng = np.random.default_rng(seed)
    x = rng.normal(moved, 1.0, (n, 2))
    late = rng.random(n) < 1 / (1 + np.exp(-(x @ [1.0, 1.0])))
    return {"wind": x[:, 0], "traffic": x[:, 1]}, late


def register(client: MlflowClient, weights: dict[str, float], seen: dict[str, Any]) -> ModelVersion:
    """Register a model that was trained, and beside it the reference of what it has seen."""
    run = client.create_run(EXPERIMENT)
    client.log_dict(run.info.run_id, weights, "model/weights.json")
    client.log_text(run.info.run_id, Reference.fit(seen).to_json(), "model/reference.json")
    client.set_terminated(run.info.run_id)
    return client.create_model_version(MODEL, f"{run.info.artifact_uri}/model", run.info.run_id)


def fetch(client: MlflowClient, alias: str) -> tuple[ModelVersion, Path]:
    """Find the version that an alias is at, and download it with its reference."""
    version = client.get_model_version_by_alias(MODEL, alias)
    return version, Path(client.download_artifacts(version.run_id, "model"))


def score(folder: Path, frame: dict[str, Any]) -> Any:
    """Score rows with a model that was downloaded."""
    weights = json.loads((folder / "weights.json").read_text("utf-8"))
    return 1 / (1 + np.exp(-sum(weight * frame[name] for name, weight in weights.items())))


def release(client: MlflowClient, frame: dict[str, Any], late: Any) -> Verdict:
    """Judge the challenger beside the champion, on rows that neither has seen."""
    champion, challenger = fetch(client, "champion"), fetch(client, "challenger")
    old, new = (score(folder, frame) for _, folder in (champion, challenger))
    reached = evaluate(late, new, loss="roc_auc")
    reference = Reference.from_json((challenger[1] / "reference.json").read_text("utf-8"))
    drift = reference.compare(frame)
    verdict = worst(
        "release",
        guard(reached, at_least(0.70), name="good enough"),
        guard(compare(late, old, new, loss="log_loss"), not_worse(margin=0.01), name="no worse"),
        drift.verdict(),
    )()
    digests = {"model": digest_path(challenger[1]), "verdict": digest_json(verdict)}
    version = challenger[0]
    card = model_card(
        f"{MODEL} {version.version}", at=time.time(), digests=digests, metrics=[reached]
    )
    log(client, version.run_id, verdict=verdict, drift=drift, card=card, digests=digests)
    client.log_metric(version.run_id, "roc_auc", reached.overall.value)
    return verdict


def log(
    client: MlflowClient,
    run: str,
    *,
    verdict: Verdict,
    drift: DriftReport,
    card: Document,
    digests: dict[str, str],
) -> None:
    """Log what was judged: files to read and to compute with, tags to search by."""
    client.log_dict(run, verdict.to_dict(), "mlguard/verdict.json")
    client.log_text(run, verdict.explain(), "mlguard/verdict.txt")
    client.log_text(run, drift.to_html(), "mlguard/drift.html")
    client.log_text(run, card, "mlguard/model-card.md")
    client.log_text(run, card.to_html(), "mlguard/model-card.html")
    client.set_tag(run, "mlguard.severity", verdict.severity.name)
    for name, digest in digests.items():
        client.set_tag(run, f"mlguard.digest.{name}", digest)


def promote(client: MlflowClient) -> None:
    """Make the challenger champion, if it passed and is still what was judged."""
    (champion, _), (challenger, folder) = fetch(client, "champion"), fetch(client, "challenger")
    tags = client.get_run(challenger.run_id).data.tags
    told = Path(client.download_artifacts(challenger.run_id, "mlguard/verdict.json"))
    verdict = Verdict.from_dict(json.loads(told.read_text("utf-8")))
    now = {"model": digest_path(folder), "verdict": digest_json(verdict)}
    for name, digest in now.items():
        if tags[f"mlguard.digest.{name}"] != digest:
            raise RuntimeError(f"the {name} of version {challenger.version} is not what was judged")
    verdict.raise_for_breach()
    MlflowAlias(client, MODEL, canary=challenger.version, baseline=champion.version).promote()
