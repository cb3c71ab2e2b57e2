"""An approval as a check."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlguard.arguments import refusal
from mlguard.checks import crashed
from mlguard.governance.approvals import Approvals
from mlguard.governance.requests import ApprovalRequest

if TYPE_CHECKING:
    from mlguard.values import Verdict

_BINDS = ("action", "environment", "policy_digest", "subject_digest")


@dataclass(frozen=True, slots=True)
class Approved:
    """A check of where a request stands. Thread-safe if the approvals are."""

    request: ApprovalRequest
    votes: Approvals
    now: Mapping[str, str] | None = None

    @property
    def name(self) -> str:
        """Of its verdicts."""
        return f"approval of {self.request.action}"

    def __call__(self) -> Verdict:
        try:
            return self.votes.verdict(self.request, now=self.now)
        except Exception as error:  # noqa: BLE001 -- a store may fail in any way
            return crashed(self.name, error)


def approved(
    request: ApprovalRequest, votes: Approvals, *, now: Mapping[str, str] | None = None
) -> Approved:
    """Make a check: whether a request is approved by the votes that are in now.

    OK with the quorum, UNKNOWN while votes are missing, BREACH once it is rejected or over. Without
    `now` it says nothing of what is about to go out. It records nothing: right before the action
    `Approvals.use` looks again, and does.

    Args:
        request: What is asked for.
        votes: Where they are cast.
        now: What is about to be done, by "action", "environment", "policy_digest" and
            "subject_digest": BREACH where it is not what was approved.

    Raises:
        ConfigurationError: An argument is not of its kind.
    """
    if not isinstance(request, ApprovalRequest):
        raise refusal("request", request, "an ApprovalRequest")
    if not isinstance(votes, Approvals):
        raise refusal("votes", votes, "Approvals")
    if now is not None and (not isinstance(now, Mapping) or {*now} != {*_BINDS}):
        raise refusal("now", now, f"a mapping of {', '.join(_BINDS)}, or None")
    return Approved(request, votes, now)
