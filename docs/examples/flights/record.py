"""What is on record: who may approve a model, and what its card and its runbook say."""

from __future__ import annotations

import pickle
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import responses
from mlguard import ApprovalRequest, Principal, model_card, runbook
from mlguard.governance import digest_bytes, digest_json
from production import WANTED, given

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlguard import Approvals, Check, Guards, Measure, Verdict
    from mlguard.governance import Document
    from models import Model

PEOPLE: Final = {
    "ada’s token": Principal("ada", ("risk",)),
    "bo’s token": Principal("bo", ("platform",)),
    "cy’s token": Principal("cy", ("modelling",)),
}
"""Who brings which credential: an authenticator of yours says so."""

OWNER: Final = given(WANTED.owner)
NOW: Final = datetime(2014, 1, 2, 9, tzinfo=UTC).timestamp()


def desk(guards: Guards) -> Approvals:
    """Return where approvals are asked for, by whom the document names."""
    return guards.approvals("production", authenticate=PEOPLE.get)


def digest_of(model: Model) -> str:
    """Return the digest of a model's bytes."""
    return digest_bytes(pickle.dumps(model.classifier))


def request(model: Model, evidence: Verdict) -> ApprovalRequest:
    """Return what cy asks for: this model, promoted, in production, on this evidence."""
    return ApprovalRequest(
        subject_digest=digest_of(model),
        action="promote",
        environment="production",
        policy_digest=WANTED.digest,
        evidence_digest=digest_json(evidence),
        requester="cy",
        expires=NOW + 7 * 86_400.0,
    )


def card(digests: Mapping[str, str], metrics: Sequence[Measure], approval: Check) -> Document:
    """Return the card of the new model."""
    return model_card(
        "late flights, trees with live data",
        at=NOW,
        digests=digests,
        purpose="Tells passengers an hour before departure whether a flight from New York will probably leave more than 15 minutes late. Not for crews or air traffic control.",
        limits="Trained on January to June 2013. Without the departure board it answers, and worse: then its guardrail rolls it back.",
        metrics=metrics,
        responses=responses.LADDER,
        approvals=[approval],
    )


def book(digests: Mapping[str, str]) -> Document:
    """Return the runbook of the service."""
    return runbook(
        "late-flights",
        at=NOW,
        digests=digests,
        owner=f"{OWNER.team}, {OWNER.page}",
        rollback='engine.command("abort", who="…", reason="…"), then engine.decide()',
        alarms={
            "alert": ("what the model reads has changed", "the heat map of the weeks, act 2"),
            "retrain": ("and its scores say that it is worse", "the estimate by slice, act 5"),
            "rollback": ("the labels say that it is worse", "the newest week by airport, act 5"),
            "no board": ("answers without the departure board", "the join: names of airports"),
        },
        responses=responses.LADDER,
    )
