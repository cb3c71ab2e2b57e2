"""Who allowed this, for which bytes, and where is the record?"""

from __future__ import annotations

from mlguard.governance.approvals import Approvals, approved
from mlguard.governance.digests import (
    digest_bytes,
    digest_json,
    digest_mlflow,
    digest_path,
    digest_subject,
)
from mlguard.governance.documents import model_card, runbook
from mlguard.governance.pages import Document
from mlguard.governance.requests import ApprovalRequest, Principal, Quorum

__all__ = [
    "ApprovalRequest",
    "Approvals",
    "Document",
    "Principal",
    "Quorum",
    "approved",
    "digest_bytes",
    "digest_json",
    "digest_mlflow",
    "digest_path",
    "digest_subject",
    "model_card",
    "runbook",
]
