"""Who allowed this, for which bytes, and who decided what, when and why: a trail that tells."""

from __future__ import annotations

from mlguard.governance.approval_check import approved
from mlguard.governance.approvals import Approvals
from mlguard.governance.chain import Receipt
from mlguard.governance.digests import (
    digest_bytes,
    digest_json,
    digest_mlflow,
    digest_path,
    digest_subject,
)
from mlguard.governance.documents import model_card, runbook
from mlguard.governance.ledger import Ledger
from mlguard.governance.pages import Document
from mlguard.governance.reading import Entry
from mlguard.governance.requests import ApprovalRequest, Principal, Quorum
from mlguard.governance.verification import Verification, verify_all

__all__ = [
    "ApprovalRequest",
    "Approvals",
    "Document",
    "Entry",
    "Ledger",
    "Principal",
    "Quorum",
    "Receipt",
    "Verification",
    "approved",
    "digest_bytes",
    "digest_json",
    "digest_mlflow",
    "digest_path",
    "digest_subject",
    "model_card",
    "runbook",
    "verify_all",
]
