"""Where a request stands: a pure step from event to event, and the verdict that follows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from mlguard.arguments import NO_ITEMS
from mlguard.governance.requests import ApprovalRequest, Principal, Quorum
from mlguard.records import iso
from mlguard.values import Severity, Verdict

if TYPE_CHECKING:
    from mlguard.governance.events import Event, Log

VOTES = ("approve", "reject")
_CHANGES = {"revoke": "revoked", "break glass": "glass", "review": "review", "use": "used"}


@dataclass(frozen=True, slots=True)
class Standing:
    """What the events of a request come to. Immutable.

    Attributes:
        votes: The vote of each principal that stands, by name.
        revoked: When somebody took the request back.
        glass: When somebody broke the glass.
        review: When somebody else looked at that.
        used: When it was used up.
    """

    votes: Mapping[str, Event] = field(default_factory=lambda: NO_ITEMS)
    revoked: Event | None = None
    glass: Event | None = None
    review: Event | None = None
    used: Event | None = None

    @classmethod
    def of(cls, log: Log) -> Standing:
        """Go through all events."""
        standing = cls()
        for event in log.events:
            standing = standing.after(event, log.request)
        return standing

    def after(self, event: Event, request: ApprovalRequest) -> Standing:
        """Take one event; one that may not be does not count, however it came into the store."""
        if event.what == "submit" or self.refuses(event.what, event.who, request):
            return self
        if event.what in VOTES:
            return replace(self, votes={**self.votes, event.who: event})
        if event.what == "withdraw":
            kept = {who: vote for who, vote in self.votes.items() if who != event.who}
            return replace(self, votes=kept)
        changed: dict[str, Any] = {_CHANGES[event.what]: event} if event.what in _CHANGES else {}
        return replace(self, **changed)

    def refuses(self, what: str, who: str, request: ApprovalRequest) -> str:
        """Say why this may not happen now; nothing if it may."""
        if what == "review":
            if self.glass is None or self.review is not None:
                return "no review is open"
            involved = who in {self.glass.who, request.requester}
            return "a review is closed by somebody else" if involved else ""
        if what in VOTES and who == request.requester:
            return self.over or "who asks has no vote"
        if what == "withdraw" and who not in self.votes:
            return self.over or "there is no vote of theirs"
        if what == "break glass" and self.glass is not None:
            return self.over or "the glass is broken already"
        return self.over or (self.rejected if what == "break glass" else "")

    @property
    def over(self) -> str:
        """Why nothing more can come of it; nothing while something can."""
        if self.revoked is not None:
            return f"revoked: {self.revoked}"
        return f"used up: {self.used}" if self.used is not None else ""

    @property
    def rejected(self) -> str:
        """Which votes are against it."""
        return "; ".join(str(each) for each in self.votes.values() if each.what == "reject")


def judged(log: Log, quorum: Quorum, now: float, *, current: bool) -> Verdict:
    """Judge a request by what happened to it.

    Args:
        log: All of it.
        quorum: How many must approve.
        now: Unix seconds.
        current: Whether nobody has asked for something else since.
    """
    request, standing = log.request, Standing.of(log)
    approving = [each for each in standing.votes.values() if each.what == "approve"]
    missing = quorum.missing(Principal(each.who, each.roles) for each in approving)
    severity = Severity.BREACH
    if standing.over:
        reason = standing.over
    elif not current:
        reason = "superseded: something else was asked for since"
    elif now >= request.expires:
        reason = f"expired on {iso(request.expires)}"
    elif standing.rejected:
        reason = f"rejected: {standing.rejected}"
    elif not missing:
        severity, reason = Severity.OK, "; ".join(map(str, approving))
    elif standing.glass is not None:
        closed = "reviewed" if standing.review else "its review is open"
        severity, reason = Severity.OK, f"{standing.glass}; {missing}, and {closed}"
    else:
        severity, reason = Severity.UNKNOWN, f"pending: {missing}"
    return verdict_of(request, severity, reason, at=log.events[-1].at)


def verdict_of(
    request: ApprovalRequest, severity: Severity, reason: str, at: float | None = None
) -> Verdict:
    """Give a verdict about a request, with all that it binds."""
    what = {"gate": request.gate} if request.gate else {"subject_digest": request.subject_digest}
    subject = {"environment": request.environment, **what}
    return Verdict(f"approval of {request.action}", severity, reason, at=at, subject=subject)


def fitting(request: ApprovalRequest, now: Mapping[str, object]) -> Verdict | None:
    """Compare what is about to be done with what was asked for; None where it is the same.

    Args:
        request: What was asked for.
        now: By the names of its fields, what is the case.
    """
    for name, value in now.items():
        wanted = getattr(request, name)
        if wanted is not None and value != wanted:
            reason = f"{name} is {value}, approved was {wanted}"
            return verdict_of(request, Severity.BREACH, reason)
    return None


def passing(request: ApprovalRequest, subject: str, said: Mapping[str, Any]) -> Verdict | None:
    """Judge what a gate said of a subject, for a standing approval; None where it passed.

    Args:
        request: What was asked for.
        subject: Digest of the subject.
        said: What the gate said; nothing where it said nothing.
    """
    if said.get("policy_digest") != request.policy_digest:
        reason = f"{request.gate} has not judged {subject} by these requirements"
        return verdict_of(request, Severity.UNKNOWN, reason)
    if said.get("outcome") != Severity.OK.name:
        reason = f"{request.gate} said of {subject}: {said.get('outcome')}, {said.get('reason')}"
        return verdict_of(request, Severity.BREACH, reason)
    return None
