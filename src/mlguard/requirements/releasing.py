"""The engine of a candidate's rollout, once the people whom the document names have approved it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mlguard.arguments import name_of, refusal
from mlguard.governance.approval_check import Approved, approved
from mlguard.governance.approvals import Approvals
from mlguard.governance.standing import fitting
from mlguard.requirements.mistakes import among
from mlguard.rollout.engine import RollbackEngine

if TYPE_CHECKING:
    from mlguard.governance.approvals import Authenticate
    from mlguard.requirements.build import Given
    from mlguard.requirements.model import Requirements


def engine_of(
    wanted: Requirements,
    candidate: str | int | Mapping[str, str | int],
    *,
    environment: str | None,
    approval: Approved | None,
    subject_digest: str | None,
    state: Mapping[str, Any] | None,
    **settings: Any,
) -> RollbackEngine:
    """Make the engine; see `Guards.rollout`."""
    if wanted.rollout is None:
        raise refusal("candidate", candidate, "left alone: the document has no rollout")
    if environment is None:
        environment = "production"
        if wanted.approvals and environment not in wanted.approvals:
            allowed = f"given: the document asks for approvals of {[*wanted.approvals]}"
            raise refusal("environment", None, allowed)
    name_of("environment", environment)
    what = candidate if isinstance(candidate, Mapping) else {"version": candidate}
    if odd := sorted({"service", "environment"} & what.keys()):
        raise refusal("candidate", candidate, f"without {' and '.join(odd)}, which are known")
    check = None
    if environment in wanted.approvals:
        check = _checked(wanted, environment, approval, subject_digest, begun=state is not None)
    else:
        near = among(environment, [*wanted.approvals])
        if "did you mean" in near:
            raise refusal("environment", environment, f"{near}, or a name less like it")
        for parameter, value in (("approval", approval), ("subject_digest", subject_digest)):
            if value is not None:
                allowed = f"left out: the document asks for no approvals.{environment}"
                raise refusal(parameter, value, allowed)
    engine = RollbackEngine(
        wanted.rollout.make(approved=check is not None),
        subject={"service": wanted.service, "environment": environment, **what},
        approval=check,
        **settings,
    )
    return engine if state is None else engine.from_state(state)


def desk_of(
    wanted: Requirements,
    given: Given,
    environment: str,
    *,
    authenticate: Authenticate,
    key: bytes | None,
) -> Approvals:
    """Make the place of votes; see `Guards.approvals`."""
    votes = wanted.approvals.get(environment)
    if votes is None:
        raise refusal("environment", environment, f"one of {[*wanted.approvals]}")
    if given.store is None:
        raise refusal("store", None, "given to build(): it keeps the votes")
    return Approvals(
        _desk(wanted, environment),
        given.store,
        authenticate=authenticate,
        quorum=votes.make(),
        key=key,
        record=None if given.ledger is None else given.ledger.append,
        clock=given.clock,
    )


def _desk(wanted: Requirements, environment: str) -> str:
    """Name the place of votes."""
    return f"{wanted.service} {environment}"


def _checked(
    wanted: Requirements,
    environment: str,
    approval: Approved | None,
    subject_digest: str | None,
    *,
    begun: bool,
) -> Approved:
    """Make the check that the engine asks: of the votes, and of what goes out."""
    section = f"approvals.{environment}"
    if not isinstance(approval, Approved):
        allowed = f"approved(request, votes): the document asks for {section}"
        raise refusal("approval", approval, allowed)
    name = _desk(wanted, environment)
    if approval.votes.name != name:
        allowed = f"{name!r}, as of guards.approvals({environment!r}, ...)"
        raise refusal("approval.votes.name", approval.votes.name, allowed)
    quorum = wanted.approvals[environment].make()
    if approval.votes.quorum != quorum:
        raise refusal("approval.votes.quorum", approval.votes.quorum, f"as in {section}, {quorum}")
    request = approval.request
    if subject_digest is None:
        allowed = f"the digest of what goes out: the document asks for {section}"
        raise refusal("subject_digest", subject_digest, allowed)
    now = {
        "action": "promote",
        "environment": environment,
        "policy_digest": request.policy_digest if begun else wanted.digest,
        "subject_digest": subject_digest,
    }
    check = approved(request, approval.votes, now=now)
    if not begun:
        check().raise_for_breach()
    elif (differs := fitting(request, now)) is not None:
        differs.raise_for_breach()
    return check
