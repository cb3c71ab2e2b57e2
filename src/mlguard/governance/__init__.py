"""Who decided what, when and why: a trail that tells when it was changed."""

from __future__ import annotations

from mlguard.governance.chain import Receipt
from mlguard.governance.ledger import Ledger
from mlguard.governance.reading import Entry
from mlguard.governance.verification import Verification, verify_all

__all__ = ["Entry", "Ledger", "Receipt", "Verification", "verify_all"]
