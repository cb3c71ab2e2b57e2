"""A candidate goes out as the document says, and only once the people whom it names agree."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from mlguard import (
    Action,
    ApprovalRequest,
    ConfigurationError,
    GuardBreached,
    Guards,
    GuardUnknown,
    Measurement,
    MemoryStore,
    Principal,
    Reference,
    Requirements,
    approved,
)
from mlguard.performance import evaluate
from mlguard.testing import ManualClock, ScriptedCheck

if TYPE_CHECKING:
    from mlguard.governance.approval_check import Approved

WHOLE = Requirements.load(Path(__file__).parent / "production.yaml")
NOON = 1_900_022_400.0
RNG = np.random.default_rng(0)
REFERENCE = Reference.fit({"amount": RNG.normal(size=500), "score": RNG.random(500)})


def document(**sections: Any) -> Requirements:
    return Requirements.model_validate({"version": 1, "service": "fraud", **sections})


def build(wanted: Requirements, **given: Any) -> Guards:
    usual: dict[str, Any] = {"reference": REFERENCE, "store": MemoryStore()}
    return Guards.build(wanted, **{**usual, "clock": ManualClock(NOON), **given})


ACCURATE = document(performance={"metric": "accuracy", "floor": 0.8})


def exam(wrong: int, rows: int) -> Measurement:
    right = np.arange(rows) >= wrong
    return evaluate(np.ones(rows), right.astype(float), loss="accuracy").overall


@pytest.mark.parametrize(
    ("achieved", "severity"),
    [
        (exam(10, 1_000), "OK"),
        (exam(190, 1_000), "UNKNOWN"),
        (exam(1, 20), "UNKNOWN"),
        (exam(300, 1_000), "BREACH"),
        (exam(0, 9), "UNKNOWN"),
        (exam(9, 9), "UNKNOWN"),
        (Measurement("accuracy", 0.81, low=0.79), "UNKNOWN"),
        (Measurement("accuracy", 0.80), "OK"),
        (Measurement("accuracy", 0.79), "BREACH"),
    ],
)
def test_a_floor_must_be_proven(achieved: Measurement, severity: str) -> None:
    verdict = build(ACCURATE).gate(achieved=achieved)()
    assert verdict.severity.name == severity


def test_few_groups_and_equal_losses_prove_nothing() -> None:
    groups = [f"user {place % 3}" for place in range(1_000)]
    found = evaluate(np.ones(1_000), np.ones(1_000), loss="accuracy", cluster=groups).overall
    assert build(ACCURATE).gate(achieved=found)().severity.name == "UNKNOWN"
    equal = evaluate(np.ones(50), np.full(50, 0.9), loss="log_loss").overall
    wanted = document(performance={"metric": "log_loss", "ceiling": 0.5})
    assert build(wanted).gate(achieved=equal)().severity.name == "UNKNOWN"


def test_a_candidate_exactly_at_its_floor_passes_in_one_of_forty() -> None:
    gate, rng, passed = build(ACCURATE).gate, np.random.default_rng(1), 0
    for wrong in rng.binomial(400, 0.2, size=2_000):
        passed += gate(achieved=exam(int(wrong), 400))().ok
    assert 10 < passed < 72  # 1 in 40 of 2,000 is 50, and three standard errors 21


PEOPLE = {"a": Principal("ada", ("risk",)), "b": Principal("bo", ("platform",))}
BYTES = "sha256:5e"


def asked(guards: Guards, votes: str = "", **differs: Any) -> Approved:
    """Ask for the approval of some bytes, and let people vote."""
    desk = guards.approvals("production", authenticate={**PEOPLE, "c": Principal("cy")}.get)
    fields = {
        "subject_digest": BYTES,
        "action": "promote",
        "environment": "production",
        "policy_digest": guards.requirements.digest,
        "evidence_digest": "sha256:1d",
        "requester": "cy",
        "expires": NOON + 86_400.0,
    }
    request = ApprovalRequest(**{**fields, **differs})
    desk.submit(request, "c")
    for voter in votes:
        desk.approve(request, voter)
    return approved(request, desk)


def test_a_rollout_wants_the_approval_that_the_document_asks_for() -> None:
    guards = build(WHOLE)
    with pytest.raises(ConfigurationError, match=r"approval = None: .*approvals\.production"):
        guards.rollout("7")
    with pytest.raises(ConfigurationError, match=r"approval = <"):
        guards.rollout("7", approval=ScriptedCheck("OK"), subject_digest=BYTES)  # type: ignore[arg-type]
    assert guards.rollout("7", environment="staging").phase == "pending"
    for typo in ("prod", "Production", "prodution"):
        with pytest.raises(ConfigurationError, match="did you mean 'production'"):
            guards.rollout("7", environment=typo)
    with pytest.raises(GuardUnknown, match="1 more vote, for platform"):
        guards.rollout("7", approval=asked(guards, "a"), subject_digest=BYTES)
    both = asked(guards, "ab")
    with pytest.raises(ConfigurationError, match="subject_digest = None: "):
        guards.rollout("7", approval=both)
    engine = guards.rollout("7", approval=both, subject_digest=BYTES)
    engine.observe("canary", requests=5)
    again = guards.rollout("7", approval=both, subject_digest=BYTES, state=engine.state())
    assert again.state() == engine.state()
    with pytest.raises(ConfigurationError, match="environment = 'moon'"):
        guards.approvals("moon", authenticate=PEOPLE.get)


@pytest.mark.parametrize(
    "differs",
    [
        {"subject_digest": "sha256:77"},
        {"action": "deploy"},
        {"environment": "staging"},
        {"policy_digest": "json:0c"},
        {"subject_digest": None, "gate": "release"},
    ],
)
def test_an_approval_of_something_else_lets_nothing_out(differs: dict[str, Any]) -> None:
    guards = build(WHOLE)
    approval = asked(guards, "ab", **differs)
    with pytest.raises((GuardBreached, GuardUnknown)):
        guards.rollout("7", approval=approval, subject_digest=BYTES)


def test_votes_that_the_document_does_not_ask_for_let_nothing_out() -> None:
    guards = build(WHOLE)
    for service, what in (("fraud-scorer", "quorum"), ("fraud", "name")):
        wanted = document(service=service, rollout={}, approvals={"production": {}})
        approval = asked(build(wanted), "a", policy_digest=WHOLE.digest)
        assert approval().ok
        with pytest.raises(ConfigurationError, match=rf"approval\.votes\.{what} = "):
            guards.rollout("7", approval=approval, subject_digest=BYTES)
    with pytest.raises(ConfigurationError, match="left out: the document asks for no approvals"):
        guards.rollout("7", environment="lab", approval=approval)


def test_a_restart_with_other_bytes_lets_nothing_out() -> None:
    guards = build(WHOLE)
    approval = asked(guards, "ab")
    state = guards.rollout("7", approval=approval, subject_digest=BYTES).state()
    with pytest.raises(GuardBreached, match="subject_digest is sha256:77"):
        guards.rollout("7", approval=approval, subject_digest="sha256:77", state=state)


def test_a_candidate_does_not_say_where_it_goes() -> None:
    guards = build(WHOLE)
    for odd in ({"environment": "production"}, {"service": "other", "version": "8"}):
        with pytest.raises(ConfigurationError, match=r"candidate = .*which are known"):
            guards.rollout(odd, environment="dev")
    live = build(document(rollout={}, approvals={"live": {"votes": 2}}))
    with pytest.raises(ConfigurationError, match=r"environment = None: .*\['live'\]"):
        live.rollout("8")
    with pytest.raises(ConfigurationError, match="environment = ''"):
        live.rollout("8", environment="")
    assert live.rollout("8", environment="dev").subject["environment"] == "dev"


def test_an_approval_that_is_revoked_holds_the_rollout_where_it_stands() -> None:
    clock = ManualClock(NOON)
    guards = build(WHOLE, clock=clock)
    approval = asked(guards, "ab")
    whole = WHOLE.model_dump(mode="json", by_alias=True)
    kept = {name: whole[name] for name in ("service", "rollout", "approvals")}
    state = None
    shares = []
    for turn in range(6):
        if turn == 3:
            approval.votes.revoke(approval.request, "a", reason="a label leaked")
        engine = guards.rollout("7", approval=approval, subject_digest=BYTES, state=state)
        guards.reload(document(**kept, owner={"team": f"turn {turn}"}))
        share = engine.share
        engine.observe("canary", requests=round(4_000 * share))
        engine.observe("baseline", requests=round(4_000 * (1 - share)))
        clock.advance(1_000)
        decision = engine.decide()
        shares.append(engine.share)
        state = engine.state()
    assert shares == [0.01, 0.05, 0.25, 0.25, 0.25, 0.25]
    assert decision.action is Action.HOLD
    assert "a label leaked" in decision.reason
    engine = guards.rollout("7", approval=asked(guards, "ab"), subject_digest=BYTES, state=state)
    for arm, part in (("canary", 0.25), ("baseline", 0.75)):
        engine.observe(arm, requests=round(4_000 * part))  # type: ignore[arg-type]
    assert (engine.decide().action, engine.share) == (Action.NONE, 0.5)  # approved anew
    with pytest.raises(GuardBreached, match="a label leaked"):
        guards.rollout("8", approval=approval, subject_digest=BYTES)
