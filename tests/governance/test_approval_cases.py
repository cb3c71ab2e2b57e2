"""Ten thousand requests, each attacked in one way: none passes. And histories beside a small model."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from mlguard import (
    ApprovalRequest,
    Approvals,
    ConfigurationError,
    GuardBreached,
    GuardUnknown,
    MemoryStore,
    Principal,
    Quorum,
    Severity,
    Verdict,
    approved,
)
from mlguard.testing import ManualClock

NOW, KEY = 1_900_000_000.0, b"a key of at least sixteen bytes"
ROLES = ("risk", "platform", "legal")
FIELDS = ("action", "environment", "policy_digest", "subject_digest")


class Case:
    """One approved request, drawn at random, and what is the case when it is used."""

    def __init__(self, seed: int) -> None:
        self.rng = rng = random.Random(seed)  # noqa: S311 -- no secret
        self.people = {
            f"token-{n}": Principal(f"p{n}", rng.sample(ROLES, rng.randint(0, 3))) for n in range(8)
        }
        self.clock, self.store = ManualClock(NOW + rng.random()), MemoryStore()
        self.quorum = Quorum(rng.randint(1, 3), roles=rng.choices(ROLES, k=rng.randint(0, 2)))
        self.approvals = self.desk()
        self.asker = rng.choice([*self.people])
        self.gate = rng.choice([None, None, "release"])
        self.request = self.asked()
        self.now = {name: getattr(self.request, name) for name in FIELDS}
        if self.gate is not None:
            self.now["subject_digest"] = subject = self.word("sha256:")
            said = {"subject_digest": subject, "policy_digest": self.request.policy_digest}
            self.approvals.gate_said(PASSED, **said)
        self.approvals.submit(self.request, self.asker)
        self.voters = [each for each in self.people if each != self.asker]
        rng.shuffle(self.voters)

    def desk(self, **other: Any) -> Approvals:
        given = {"authenticate": self.people.get, "quorum": self.quorum, "key": KEY}
        return Approvals("eta", self.store, clock=self.clock, **{**given, **other})

    def word(self, start: str = "") -> str:
        return f"{start}{self.rng.getrandbits(64):016x}"

    def asked(self, **fields: Any) -> ApprovalRequest:
        given: dict[str, Any] = {
            "subject_digest": None if self.gate else self.word("sha256:"),
            "gate": self.gate,
            "action": self.rng.choice(["deploy", "promote"]),
            "environment": self.rng.choice(["staging", "production"]),
            "policy_digest": self.word("json:"),
            "evidence_digest": self.word("sha256:"),
            "requester": self.people[self.asker].name,
            "expires": NOW + self.rng.uniform(10.0, 1e6),
            "nonce": self.word(),
        }
        return ApprovalRequest(**{**given, **fields})

    def vote(self) -> bool:
        """Let people vote until the quorum is there; False if they are too few for it."""
        return any(self.approvals.approve(self.request, voter).ok for voter in self.voters)

    def passes(self, approvals: Approvals | None = None, /, **given: Any) -> bool:
        desk = self.approvals if approvals is None else approvals
        try:
            desk.use(self.request, **{**self.now, **given})
        except (GuardBreached, GuardUnknown):
            return False
        return True

    def states(self) -> dict[str, bytes]:
        found = ((key, self.store.load(key)) for key in self.store.keys(""))
        return {key: each[0] for key, each in found if each is not None}

    def edit(self, place: str, change: Callable[[Any], object]) -> None:
        for key, data in self.states().items():
            if f"/{place}/" in key:
                record = json.loads(data)
                change(record)
                self.store.save(key, json.dumps(record).encode())

    def needed(self) -> str:
        """Name somebody without whom the quorum is not there."""
        votes = [each for each in self.approvals.history(self.request) if each.what == "approve"]
        people = [Principal(each.who, each.roles) for each in votes]
        for each in self.rng.sample(people, len(people)):
            if self.quorum.missing([other for other in people if other != each]):
                return next(token for token, who in self.people.items() if who == each)
        raise AssertionError("the last vote at least is needed")


PASSED = Verdict("release", Severity.OK, "all OK")


def other_field(case: Case) -> bool:
    name = case.rng.choice(FIELDS)
    return case.passes(**{name: case.word(f"{case.now[name]}")})


def other_gate_policy(case: Case) -> bool:
    """The subject is another one, which the gate passed by other requirements, or refused."""
    subject = case.word("sha256:")
    said = {"subject_digest": subject, "policy_digest": case.word("json:")}
    case.approvals.gate_said(PASSED, **said)
    return case.passes(subject_digest=subject)


def expired(case: Case) -> bool:
    left = case.request.expires - case.clock()
    case.clock.advance(case.rng.choice([left, left + 1e-3, left + 1e9]))
    return case.passes()


def superseded(case: Case) -> bool:
    same = {name: getattr(case.request, name) for name in ("action", "environment")}
    new = case.asked(**same)
    if case.rng.random() < 0.5:
        new = replace(case.request, nonce=case.word())
    case.approvals.submit(new, case.asker)
    return case.passes()


def replayed_fields(case: Case) -> bool:
    """The same request with another nonce is another request."""
    case.request = replace(case.request, nonce=case.word())
    if case.rng.random() < 0.5:
        case.approvals.submit(case.request, case.asker)
    return case.passes()


def revoked(case: Case) -> bool:
    case.approvals.revoke(case.request, case.rng.choice([*case.people]), reason="r")
    return case.passes()


def rejected(case: Case) -> bool:
    case.approvals.reject(case.request, case.rng.choice(case.voters), reason="r")
    return case.passes()


def withdrawn(case: Case) -> bool:
    case.approvals.withdraw(case.request, case.needed(), reason="r")
    return case.passes()


def used_twice(case: Case) -> bool:
    assert case.passes(consume=True)
    return case.passes(consume=case.rng.random() < 0.5)


def by_the_requester(case: Case) -> bool:
    """Who asks takes the place of somebody who is needed."""
    case.approvals.withdraw(case.request, case.needed(), reason="r")
    with pytest.raises(ConfigurationError, match="who asks has no vote"):
        case.approvals.approve(case.request, case.asker)
    return case.passes()


def forged_principal(case: Case) -> bool:
    """A vote of somebody who never voted, written straight into the store."""
    needed = case.needed()
    case.approvals.withdraw(case.request, needed, reason="r")
    seals: list[str] = [each.seal for each in case.approvals.history(case.request)]
    seal = case.rng.choice([*seals, "", "0" * 64])
    who = case.people[needed]
    vote = {"kind": "event", "schema": 1, "what": "approve", "at": NOW, "seal": seal}
    vote |= {"who": case.rng.choice([who.name, "nobody"]), "roles": list(ROLES), "reason": ""}
    case.edit("requests", lambda record: record["events"].append(vote))
    return case.passes()


def edited_event(case: Case) -> bool:
    def change(record: Any) -> None:
        event = case.rng.choice(record["events"])
        name = case.rng.choice(["what", "who", "roles", "at", "reason"])
        event[name] = {"roles": [case.word()], "at": NOW - 1}.get(name, case.word())

    case.edit("requests", change)
    return case.passes()


def event_taken_out(case: Case) -> bool:
    case.approvals.reject(case.request, case.rng.choice(case.voters), reason="r")

    def change(record: Any) -> None:
        events = record["events"]
        events.pop(case.rng.randrange(len(events) - 1))

    case.edit("requests", change)
    return case.passes()


def votes_of_another_request(case: Case) -> bool:
    """All the votes stand in the store under the request that nobody has seen."""
    (data,) = (data for key, data in case.states().items() if "/requests/" in key)
    case.request = replace(case.request, subject_digest=case.word("x"), gate=None)
    case.now["subject_digest"] = str(case.request.subject_digest)
    case.approvals.submit(case.request, case.asker)
    (place,) = (key for key in case.states() if case.request.digest in key)
    record = {**json.loads(data), "request": case.request.to_dict()}
    case.store.save(place, json.dumps(record).encode())
    return case.passes()


def other_key(case: Case) -> bool:
    return case.passes(case.desk(key=case.rng.randbytes(16)))


ATTACKS = (
    *(other_field, other_gate_policy, expired, superseded, replayed_fields, revoked, rejected),
    *(withdrawn, used_twice, by_the_requester, forged_principal, edited_event, event_taken_out),
    *(votes_of_another_request, other_key),
)


@pytest.mark.parametrize("cases", [400, pytest.param(10_000, marks=pytest.mark.slow)])
def test_no_request_passes_for_anything_but_itself(cases: int) -> None:
    tried: Counter[str] = Counter()
    seed = 0
    while tried.total() < cases:
        case = Case(seed)
        seed += 1
        if not case.vote():
            assert not case.passes()  # too few people for the quorum
            continue
        assert case.passes()  # or the attack would show nothing
        attack = ATTACKS[tried.total() % len(ATTACKS)]
        tried[attack.__name__] += 1
        assert not attack(case), (seed, attack.__name__)
    assert min(tried[attack.__name__] for attack in ATTACKS) >= cases // len(ATTACKS)
    assert seed < 3 * cases


class Histories(RuleBasedStateMachine):
    """Anything in any order, beside a model that knows only sets of names."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock(NOW)
        roles: dict[str, tuple[str, ...]] = {"ada": ("risk",), "bo": (), "cy": ("risk",), "di": ()}
        self.people = {name: Principal(name, each) for name, each in roles.items()}
        self.approvals = Approvals(
            "eta",
            MemoryStore(),
            authenticate=self.people.get,
            quorum=Quorum(2, roles=("risk",)),
            key=KEY,
            clock=self.clock,
        )
        self.number = 0
        self.begin()

    def begin(self) -> None:
        self.number += 1
        self.request = ApprovalRequest(
            subject_digest=f"sha256:{self.number}",
            action="deploy",
            environment="production",
            policy_digest="json:0c",
            evidence_digest="sha256:1d",
            requester="cy",
            expires=self.clock() + 100.0,
            nonce=str(self.number),
        )
        self.approvals.submit(self.request, "cy")
        self.votes: dict[str, str] = {}
        self.glass = ""
        self.reviewed = self.over = False
        self.old: list[ApprovalRequest] = getattr(self, "old", [])

    @property
    def open(self) -> bool:
        return not self.over and self.clock() < self.request.expires

    @property
    def passes(self) -> bool:
        yes = {who for who, what in self.votes.items() if what == "approve"}
        enough = len(yes) >= 2 and "ada" in yes
        return self.open and "reject" not in self.votes.values() and (enough or bool(self.glass))

    def happens(self, what: str, who: str, *, allowed: bool) -> bool:
        try:
            getattr(self.approvals, what)(self.request, who, reason="r")
        except ConfigurationError:
            assert not allowed, (what, who)
            return False
        assert allowed, (what, who)
        return True

    who = st.sampled_from(["ada", "bo", "cy", "di", "nobody"])

    @rule(what=st.sampled_from(["approve", "approve", "reject"]), who=who)
    def vote(self, what: str, who: str) -> None:
        if self.happens(what, who, allowed=self.open and who in {"ada", "bo", "di"}):
            self.votes[who] = what

    @rule(who=who)
    def withdraw(self, who: str) -> None:
        if self.happens("withdraw", who, allowed=self.open and who in self.votes):
            del self.votes[who]

    @rule(who=who)
    def break_glass(self, who: str) -> None:
        able = self.open and not self.glass and who != "nobody"
        if self.happens("break_glass", who, allowed=able and "reject" not in self.votes.values()):
            self.glass = who

    @rule(who=who)
    def review(self, who: str) -> None:
        allowed = bool(self.glass) and not self.reviewed and who not in {self.glass, "cy", "nobody"}
        self.reviewed |= self.happens("review", who, allowed=allowed)

    @rule(who=who, often=st.integers(0, 3))
    def revoke(self, who: str, often: int) -> None:
        if often == 0:
            self.over |= self.happens("revoke", who, allowed=self.open and who != "nobody")

    @rule(seconds=st.sampled_from([1.0, 30.0, 100.0]))
    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule()
    def supersede(self) -> None:
        self.old.append(self.request)
        self.begin()

    @rule(consume=st.booleans(), subject=st.booleans())
    def use(self, *, consume: bool, subject: bool) -> None:
        given = {name: getattr(self.request, name) for name in FIELDS}
        if not subject:
            given["subject_digest"] = "sha256:0"
        try:
            self.approvals.use(self.request, **given, consume=consume)
        except (GuardBreached, GuardUnknown):
            assert not (self.passes and subject)
            return
        assert self.passes
        assert subject
        self.over |= consume

    @invariant()
    def the_check_says_what_the_model_says(self) -> None:
        verdict = approved(self.request, self.approvals)()
        assert verdict.ok is self.passes
        pending = self.open and not self.passes and "reject" not in self.votes.values()
        assert (verdict.severity is Severity.UNKNOWN) is pending

    @invariant()
    def what_was_superseded_never_passes(self) -> None:
        for request in self.old:
            assert approved(request, self.approvals)().severity is Severity.BREACH

    @invariant()
    def nothing_is_deleted(self) -> None:
        assert len(self.approvals.requests()) == self.number


TestHistories = Histories.TestCase
TestHistories.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
