"""What may be voted, what passes at use, and what a key finds in the store."""

from __future__ import annotations

import json
import logging
import pickle
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from mlguard import (
    ConfigurationError,
    GuardBreached,
    GuardUnknown,
    MemoryStore,
    Principal,
    Quorum,
    Severity,
    Verdict,
    approved,
    worst,
)
from mlguard.rollout import Guardrail, RollbackEngine, RollbackPlan

PASSED = Verdict("release", Severity.OK, "all OK")


def test_a_request_goes_from_pending_to_approved(world: Any) -> None:
    approvals, request = world.approvals(), world.request()
    check = approved(request, approvals)
    assert (check().severity, check().reason) == (Severity.UNKNOWN, "nobody asked for it")
    approvals.submit(request, "token-cy")
    assert check().reason == "pending: 2 more votes, for risk and platform"
    approvals.approve(request, "token-ada", reason="looks fine")
    assert check().reason == "pending: 1 more vote, for platform"
    with pytest.raises(GuardUnknown):
        approvals.use(request, **world.now(request))
    assert approvals.approve(request, "token-bo").ok
    assert (
        "approve by ada (risk) on 2030-03-17T17:46:40Z: looks fine; approve by bo" in check().reason
    )
    assert check().subject["subject_digest"] == "sha256:5e"
    assert approvals.use(request, **world.now(request)).ok
    assert worst("release", check)().ok


def test_a_vote_that_nobody_needs_does_not_complete_a_quorum(world: Any) -> None:
    approvals, request = world.approvals(), world.request()
    approvals.submit(request, "token-cy")
    approvals.approve(request, "token-ada")
    assert not approvals.approve(request, "token-di").ok


Act = Callable[[Any, Any, Any], object]
ENDS: dict[str, tuple[str, Act]] = {
    "rejected": (
        "rejected: reject by di on 2030-03-17T17:46:40Z: no canary",
        lambda _, a, r: a.reject(r, "token-di", reason="no canary"),
    ),
    "expired": ("expired on 2030-03-17T18:46:40Z", lambda w, _a, _r: w.clock.advance(3600.0)),
    "revoked": ("revoked: ", lambda _, a, r: a.revoke(r, "token-di", reason="incident 12")),
    "used": (
        "used up: use on 2030-03-17",
        lambda w, a, r: a.use(r, **w.now(r), consume=True),
    ),
    "superseded": (
        "superseded: something else was asked for since",
        lambda w, a, r: a.submit(
            replace(r, subject_digest="sha256:77", nonce=w.request().nonce), "token-cy"
        ),
    ),
}


@pytest.mark.parametrize(("reason", "end"), ENDS.values(), ids=ENDS)
def test_an_end_is_a_breach_in_the_check_and_at_use(world: Any, reason: str, end: Act) -> None:
    approvals = world.approvals()
    request = world.approved(approvals)
    assert approved(request, approvals)().ok
    end(world, approvals, request)
    verdict = approved(request, approvals)()
    assert verdict.severity is Severity.BREACH
    assert reason in verdict.reason
    with pytest.raises(GuardBreached, match=reason.split(":", maxsplit=1)[0]):
        approvals.use(request, **world.now(request))
    assert len(approvals.history(request)) >= 3


@pytest.mark.parametrize("end", ["expired", "revoked", "used", "superseded"])
@pytest.mark.parametrize("method", ["approve", "reject", "withdraw", "revoke", "break_glass"])
def test_nothing_happens_to_a_request_that_is_over(world: Any, end: str, method: str) -> None:
    approvals = world.approvals()
    request = world.approved(approvals)
    ENDS[end][1](world, approvals, request)
    before = approvals.history(request)
    with pytest.raises(ConfigurationError):
        getattr(approvals, method)(request, "token-ada", reason="late")
    assert approvals.history(request) == before


def test_a_rejection_may_be_taken_back_or_turned_into_an_approval(world: Any) -> None:
    approvals = world.approvals()
    request = world.approved(approvals)
    approvals.reject(request, "token-ada", reason="one more look")
    assert not approvals.withdraw(request, "token-ada", reason="asked the owner").ok
    assert approvals.approve(request, "token-ada").ok
    assert not approvals.withdraw(request, "token-bo", reason="not my service").ok
    with pytest.raises(ConfigurationError, match="withdraw by bo: there is no vote of theirs"):
        approvals.withdraw(request, "token-bo", reason="again")
    with pytest.raises(ConfigurationError, match="withdraw by di: there is no vote of theirs"):
        approvals.withdraw(request, "token-di", reason="for ada")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("action", "promote"),
        ("environment", "staging"),
        ("policy_digest", "json:0d"),
        ("subject_digest", "sha256:5f"),
        ("subject_digest", None),
    ],
)
def test_it_passes_for_nothing_else_at_use(world: Any, field: str, value: Any) -> None:
    approvals = world.approvals()
    request = world.approved(approvals)
    approved_was = getattr(request, field)
    with pytest.raises(GuardBreached, match=f"{field} is {value}, approved was {approved_was}"):
        approvals.use(request, **world.now(request, **{field: value}), consume=True)
    assert approvals.use(request, **world.now(request), consume=True).ok  # and nothing was consumed


def test_who_asks_has_no_vote_and_asks_in_their_own_name(world: Any) -> None:
    approvals, request = world.approvals(quorum=Quorum(1)), world.request()
    with pytest.raises(ConfigurationError, match=r"requester = 'cy': must be who brings .*: ada"):
        approvals.submit(request, "token-ada")
    approvals.submit(request, "token-cy")
    for method in (approvals.approve, approvals.reject):
        with pytest.raises(ConfigurationError, match="by cy: who asks has no vote"):
            method(request, "token-cy", reason="mine")


@pytest.mark.parametrize("nobody", [None, "ada", Verdict("ada", Severity.OK, "ok")])
def test_a_credential_of_nobody_is_refused_and_not_repeated(world: Any, nobody: Any) -> None:
    request = world.approved(world.approvals())
    approvals = world.approvals(authenticate=lambda _: nobody)
    with pytest.raises(ConfigurationError) as refused:
        approvals.approve(request, "secret-token")
    assert "secret-token" not in str(refused.value)
    assert "authenticate() knows nobody" in str(refused.value)


def test_what_the_authenticator_raises_passes_through(world: Any) -> None:
    def authenticate(_: object) -> Principal:
        raise PermissionError("token expired")

    with pytest.raises(PermissionError):
        world.approvals(authenticate=authenticate).submit(world.request(), "token-cy")
    assert not world.store.keys("")


def test_a_request_is_submitted_once(world: Any) -> None:
    approvals = world.approvals()
    old = world.approved(approvals)
    world.clock.advance(1.0)
    world.approved(approvals, subject_digest="sha256:77")
    with pytest.raises(ConfigurationError, match="a new one: it was submitted before"):
        approvals.submit(old, "token-cy")  # that would make it the newest again
    assert not approved(old, approvals)().ok
    with pytest.raises(ConfigurationError, match="expires = "):
        approvals.submit(world.request(expires=world.clock()), "token-cy")
    assert approvals.requests()[0] == old


def test_other_actions_environments_and_things_do_not_supersede(world: Any) -> None:
    approvals = world.approvals()
    request = world.approved(approvals)
    for other in ({"action": "promote"}, {"environment": "staging"}):
        world.approved(approvals, **other)
    world.approved(world.approvals(name="fraud"))
    world.approved(approvals, subject_digest=None, gate="release")
    assert approved(request, approvals)().ok


def test_breaking_the_glass_is_loud_and_its_review_open_until_somebody_else_closes_it(
    world: Any, caplog: pytest.LogCaptureFixture
) -> None:
    approvals, request = world.approvals(), world.request()
    approvals.submit(request, "token-cy")
    with pytest.raises(ConfigurationError, match="reason = ''"):
        approvals.break_glass(request, "token-di", reason="")
    assert approvals.reviewed().ok
    with caplog.at_level(logging.ERROR, logger="mlguard"):
        verdict = approvals.break_glass(request, "token-di", reason="p99 at 9 s")
    assert verdict.ok
    assert "break glass by di" in verdict.reason
    assert "2 more votes, for risk and platform, and its review is open" in verdict.reason
    assert "glass was broken for deploy of sha256:5e in production" in caplog.text
    assert world.told[-1]["what"] == "break glass"
    assert approvals.use(request, **world.now(request), consume=True).ok
    for involved in ("token-di", "token-cy"):
        with pytest.raises(ConfigurationError, match="a review is closed by somebody else"):
            approvals.review(request, involved, reason="was fine")
    assert approvals.reviewed().severity is Severity.WARN
    assert "p99 at 9 s" in approvals.reviewed().reason
    world.clock.advance(1e6)  # long over, and still to be reviewed
    approvals.review(request, "token-ada", reason="rolled back, see incident 12")
    assert approvals.reviewed().ok
    with pytest.raises(ConfigurationError, match="no review is open"):
        approvals.review(request, "token-bo", reason="too")


def test_a_glass_is_broken_once_so_that_no_review_covers_another(world: Any) -> None:
    approvals, request = world.approvals(), world.request()
    approvals.submit(request, "token-cy")
    approvals.break_glass(request, "token-di", reason="p99 at 9 s")
    approvals.review(request, "token-ada", reason="it was")
    with pytest.raises(ConfigurationError, match="the glass is broken already"):
        approvals.break_glass(request, "token-bo", reason="again")
    assert "and reviewed" in approved(request, approvals)().reason


def test_a_broken_glass_stands_for_missing_votes_and_nothing_else(world: Any) -> None:
    approvals, request = world.approvals(), world.request()
    approvals.submit(request, "token-cy")
    approvals.break_glass(request, "token-cy", reason="all is down")
    for field in ("action", "environment", "policy_digest", "subject_digest"):
        with pytest.raises(GuardBreached):
            approvals.use(request, **world.now(request, **{field: "json:77"}))
    approvals.reject(request, "token-ada", reason="it makes it worse")
    assert approved(request, approvals)().severity is Severity.BREACH
    approvals.submit(request := world.request(), "token-cy")
    approvals.reject(request, "token-ada", reason="it makes it worse")
    with pytest.raises(ConfigurationError, match="break glass by di: reject by ada"):
        approvals.break_glass(request, "token-di", reason="really")
    assert approved(request, approvals)().severity is Severity.BREACH


def test_a_standing_approval_is_for_whatever_passed_the_gate(world: Any) -> None:
    approvals = world.approvals()
    request = world.approved(approvals, subject_digest=None, gate="release")
    now = world.now(request, subject_digest="sha256:n1")

    def gate(verdict: Verdict, subject: str = "sha256:n1", policy: str = "json:0c") -> None:
        approvals.gate_said(verdict, subject_digest=subject, policy_digest=policy)

    with pytest.raises(GuardUnknown, match="release has not judged sha256:n1"):
        approvals.use(request, **now)
    gate(PASSED, subject="sha256:n2")
    gate(replace(PASSED, name="smoke"))
    gate(PASSED, policy="json:0d")
    with pytest.raises(GuardUnknown, match="release has not judged sha256:n1"):
        approvals.use(request, **now)
    gate(PASSED)
    assert approvals.use(request, **now).ok
    assert approvals.use(request, **{**now, "subject_digest": "sha256:n2"}).ok
    gate(Verdict("release", Severity.WARN, "p99 is near its limit"))
    with pytest.raises(GuardBreached, match="release said of sha256:n1: WARN, p99 is near"):
        approvals.use(request, **now)
    gate(PASSED)
    with pytest.raises(GuardBreached, match="policy_digest is json:0d"):
        approvals.use(request, **{**now, "policy_digest": "json:0d"})
    approvals.revoke(request, "token-ada", reason="new owner")
    with pytest.raises(GuardBreached, match="revoked"):
        approvals.use(request, **now)


def test_every_event_and_every_use_is_recorded_as_plain_json(world: Any) -> None:
    approvals = world.approvals()
    request = world.approved(approvals)
    approvals.gate_said(PASSED, subject_digest="sha256:5e", policy_digest="json:0c")
    with pytest.raises(GuardBreached):
        approvals.use(request, **world.now(request, environment="staging"))
    approvals.use(request, **world.now(request), consume=True)
    told = json.loads(json.dumps(world.told))
    assert [each["what"] for each in told] == ["submit", "approve", "approve", "gate", "use", "use"]
    assert [each["who"] for each in told[:3]] == ["cy", "ada", "bo"]
    assert [each["outcome"] for each in told] == ["UNKNOWN", "UNKNOWN", "OK", "OK", "BREACH", "OK"]
    assert [each["consumed"] for each in told[-2:]] == [False, True]
    assert told[-2]["now"]["environment"] == "staging"
    assert told[1]["request"]["subject_digest"] == "sha256:5e"
    assert told[1]["version"]
    assert "token-ada" not in json.dumps(told) + repr(
        [*map(world.store.load, world.store.keys(""))]
    )


def test_what_the_record_raises_passes_through_and_the_event_counts(world: Any) -> None:
    request = world.approved(world.approvals())

    def full(_: object) -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        world.approvals(record=full).use(request, **world.now(request), consume=True)
    assert "used up" in approved(request, world.approvals())().reason


# What is written into the store by somebody else.


def edited(world: Any, place: str, edit: Callable[[Any], None]) -> None:
    (key,) = (key for key in world.store.keys("") if place in key)
    record = json.loads(world.store.load(key)[0])
    edit(record)
    world.store.save(key, json.dumps(record).encode())


VOTE = {"kind": "event", "schema": 1, "what": "approve", "at": 1.9e9, "reason": ""}


def forged_vote(record: Any) -> None:
    record["events"].append({**VOTE, "who": "bo", "roles": ["platform"], "seal": "0" * 64})


def copied_seal(record: Any) -> None:
    seal = record["events"][-1]["seal"]
    record["events"].append({**VOTE, "who": "bo", "roles": ["platform"], "seal": seal})


EDITS: dict[str, Callable[[Any], Any]] = {
    "a forged principal": forged_vote,
    "with the seal of another vote": copied_seal,
    "another principal in a vote": lambda r: r["events"][1].update(who="bo"),
    "more roles in a vote": lambda r: r["events"][1].update(roles=["risk", "platform"]),
    "another requester in the first event": lambda r: r["events"][0].update(who="ada"),
    "a vote taken out": lambda r: r["events"].pop(1),
    "votes swapped": lambda r: r["events"].reverse(),
    "a vote twice": lambda r: r["events"].append(r["events"][1]),
    "a later expiry": lambda r: r["request"].update(expires=3e9),
    "another subject": lambda r: r["request"].update(subject_digest="sha256:77"),
    "no events": lambda r: r["events"].clear(),
    "no seal": lambda r: r["events"][1].update(seal=""),
    "a seal of other letters": lambda r: r["events"][1].update(seal="ß\ud800"),
    "a seal that is none": lambda r: r["events"][1].update(seal=7),
    "no request": lambda r: r.pop("request"),
    "another schema": lambda r: r.update(schema=2),
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_a_key_finds_what_was_written_without_it(world: Any, edit: Callable[[Any], Any]) -> None:
    approvals, request = world.approvals(), world.request()
    approvals.submit(request, "token-cy")
    approvals.approve(request, "token-ada")
    approvals.reject(request, "token-di", reason="no")
    edited(world, "/requests/", edit)
    assert "forged: " in approved(request, approvals)().reason
    with pytest.raises(GuardBreached, match="forged: "):
        approvals.use(request, **world.now(request))
    with pytest.raises(ConfigurationError):
        approvals.approve(request, "token-bo")
    with pytest.raises(ConfigurationError):
        approvals.history(request)


def test_a_log_copied_to_another_place_is_found(world: Any) -> None:
    approvals, fraud = world.approvals(), world.approvals(name="fraud")
    request = world.approved(approvals)
    for key in world.store.keys(""):
        world.store.save(key.replace("/eta/", "/fraud/"), world.store.load(key)[0])
    assert approved(request, approvals)().ok
    assert "forged: " in approved(request, fraud)().reason


def test_a_pointer_to_the_newest_that_was_written_without_the_key_is_found(world: Any) -> None:
    approvals = world.approvals()
    old = world.approved(approvals)
    new = world.approved(approvals, subject_digest="sha256:77")
    edited(world, "/newest/", lambda record: record.update(request=old.digest))
    for request in (old, new):
        assert "forged: " in approved(request, approvals)().reason


def test_without_the_pointer_nothing_is_approved(world: Any) -> None:
    approvals = world.approvals()
    request = world.approved(approvals)
    world.store.delete(next(key for key in world.store.keys("") if "/newest/" in key))
    assert approved(request, approvals)().severity is Severity.BREACH


def test_what_a_gate_said_is_sealed_too(world: Any) -> None:
    approvals = world.approvals()
    request = world.approved(approvals, subject_digest=None, gate="release")
    failed = replace(PASSED, severity=Severity.BREACH, low=Severity.BREACH, high=Severity.BREACH)
    approvals.gate_said(failed, subject_digest="sha256:n1", policy_digest="json:0c")
    edited(world, "/gates/", lambda record: record.update(outcome="OK"))
    with pytest.raises(GuardBreached, match="forged: "):
        approvals.use(request, **world.now(request, subject_digest="sha256:n1"))


def test_another_key_or_none_before_does_not_pass(world: Any) -> None:
    request = world.approved(world.approvals(key=None))
    assert approved(request, world.approvals(key=None))().ok
    for key in (b"another key of sixteen bytes", b"a key of at least sixteen byteS"):
        assert "forged: " in approved(request, world.approvals(key=key))().reason


def test_without_a_key_who_writes_the_store_votes_for_anybody_as_documented(world: Any) -> None:
    approvals, request = world.approvals(key=None), world.request()
    approvals.submit(request, "token-cy")
    approvals.approve(request, "token-ada")
    edited(world, "/requests/", forged_vote)
    assert approved(request, approvals)().ok
    own = {**VOTE, "who": "cy", "roles": ["risk", "platform"], "seal": ""}
    votes = [own, {**own, "what": "review"}, {**own, "what": "unheard of"}]
    edited(world, "/requests/", lambda record: record["events"].extend(votes))
    assert "cy" not in approved(request, approvals)().reason  # who asks has no vote even there


def test_a_cut_tail_and_an_older_copy_are_not_found_but_are_in_the_record_as_documented(
    world: Any,
) -> None:
    approvals = world.approvals()
    request = world.approved(approvals)
    older = {key: world.store.load(key)[0] for key in world.store.keys("")}
    approvals.use(request, **world.now(request), consume=True)
    approvals_again = world.approved(approvals, subject_digest="sha256:77")
    edited(world, request.digest, lambda record: record["events"].pop())
    assert "superseded" in approved(request, approvals)().reason  # no longer: used up
    for key, data in older.items():
        world.store.save(key, data)
    assert approved(request, approvals)().ok
    assert "superseded" in approved(approvals_again, approvals)().reason
    assert [each["what"] for each in world.told if each.get("consumed")] == ["use"]


@pytest.mark.parametrize("key", [b"short", "a string of sixteen characters", 16])
def test_a_bad_key_is_refused_and_not_repeated(world: Any, key: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^key: must be at least 16 bytes, or None$"):
        world.approvals(key=key)


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ({"authenticate": "ada"}, "authenticate = 'ada'"),
        ({"quorum": 2}, "quorum = 2: must be a Quorum"),
        ({"name": ""}, "name = ''"),
    ],
)
def test_bad_settings_are_refused(world: Any, setting: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        world.approvals(**setting)


def test_what_is_no_request_is_refused(world: Any) -> None:
    approvals = world.approvals()
    calls: list[Callable[[], object]] = [
        lambda: approved("r", approvals),  # type: ignore[arg-type]
        lambda: approved(world.request(), [world]),  # type: ignore[arg-type]
        lambda: approvals.submit("r", "token-cy"),
        lambda: approvals.approve({"digest": "x"}, "token-ada"),
        lambda: approvals.use(None, **world.now(world.request())),
        lambda: approvals.gate_said("OK", subject_digest="a", policy_digest="b"),
        lambda: approvals.approve(world.request(), "token-ada"),
    ]
    for call in calls:
        with pytest.raises(ConfigurationError):
            call()


def test_a_store_that_fails_is_unknown_in_a_check_and_an_error_at_use(world: Any) -> None:
    class Gone(MemoryStore):
        def load(self, key: str) -> tuple[bytes, int] | None:
            raise ConnectionError(f"no route to {key}")

        def keys(self, prefix: str = "") -> list[str]:
            raise ConnectionError(f"no route to {prefix}")

    approvals, request = world.approvals(store=Gone()), world.request()
    assert approved(request, approvals)().severity is Severity.UNKNOWN
    assert approvals.reviewed().severity is Severity.UNKNOWN
    with pytest.raises(ConnectionError):
        approvals.use(request, **world.now(request))


def test_no_repr_shows_the_key_and_a_copy_goes_on(world: Any) -> None:
    approvals = world.approvals(authenticate=dict.fromkeys, clock=None, record=None)
    assert "sixteen" not in repr(approvals) + repr(approvals._kept)
    copy = pickle.loads(pickle.dumps(world.approvals(store=MemoryStore(), record=None)))  # noqa: S301 -- our own
    assert world.approved(copy) in copy.requests()


def test_an_engine_waits_for_the_approval_and_goes_on_with_it(world: Any) -> None:
    approvals, request = world.approvals(), world.request(action="promote")
    approvals.submit(request, "token-cy")
    plan = RollbackPlan(
        [0.5], guardrails=[Guardrail("errors", margin=2.0)], bake=60, approvals=["promote"]
    )
    engine = RollbackEngine(
        plan,
        clock=world.clock,
        approval=lambda: approvals.use(request, **world.now(request)),
    )

    def look() -> Any:
        for arm in ("canary", "baseline"):
            engine.observe(arm, requests=20_000, events={"errors": 200})
        world.clock.advance(60)
        return engine.decide()

    for _ in range(3):
        decision = look()
    assert engine.phase == "awaiting approval"
    assert "pending: 2 more votes" in decision.reason
    for name in ("ada", "bo"):
        approvals.approve(request, f"token-{name}")
    look()
    assert engine.phase == "promoted"
