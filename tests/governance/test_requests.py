"""Requests, principals, quorums: what they are made of, and what is refused."""

from __future__ import annotations

import pickle
from dataclasses import FrozenInstanceError, replace
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlguard import ApprovalRequest, ConfigurationError, Principal, Quorum

FIELDS: dict[str, Any] = {
    "subject_digest": "sha256:5e",
    "action": "deploy",
    "environment": "production",
    "policy_digest": "json:0c",
    "evidence_digest": "sha256:1d",
    "requester": "cy",
    "expires": 2e9,
}


def test_the_digest_is_over_every_field() -> None:
    request = ApprovalRequest(**FIELDS)
    words = [name for name, value in request.to_dict().items() if isinstance(value, str)]
    changes: list[dict[str, Any]] = [{name: f"{getattr(request, name)}x"} for name in words[1:]]
    changes += [{"expires": 2e9 + 1e-6}, {"subject_digest": None, "gate": "release"}]
    others = [replace(request, **change) for change in changes]
    assert len({request.digest, *(each.digest for each in others)}) == len(others) + 1
    assert len(others) == len(ApprovalRequest.__dataclass_fields__)


def test_two_requests_for_the_same_are_two() -> None:
    assert ApprovalRequest(**FIELDS).digest != ApprovalRequest(**FIELDS).digest
    twins = [ApprovalRequest(**FIELDS, nonce="1") for _ in range(2)]
    assert twins[0] == twins[1]
    assert twins[0].digest == twins[1].digest


def test_a_request_travels_as_json_and_pickle_and_cannot_be_changed() -> None:
    request = ApprovalRequest(**FIELDS)
    for copy in (ApprovalRequest.from_dict(request.to_dict()), pickle.loads(pickle.dumps(request))):  # noqa: S301 -- our own
        assert copy.digest == request.digest
    with pytest.raises(FrozenInstanceError):
        request.action = "promote"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"subject_digest": ""}, "subject_digest = '': must be a digest"),
        ({"subject_digest": "sha256:5e\n"}, "subject_digest = "),
        ({"subject_digest": None}, "subject_digest = None: must be given, or else a gate"),
        ({"gate": "release"}, "must be given, or else a gate"),
        ({"subject_digest": None, "gate": " "}, "gate = ' '"),
        ({"policy_digest": None}, "policy_digest = None"),
        ({"evidence_digest": "see the wiki"}, "evidence_digest = 'see the wiki'"),
        ({"action": ""}, "action = ''"),
        ({"environment": None}, "environment = None"),
        ({"requester": " "}, "requester = ' '"),
        ({"nonce": ""}, "nonce = ''"),
        ({"expires": float("nan")}, "expires = nan"),
        ({"expires": "tomorrow"}, "expires = 'tomorrow'"),
    ],
)
def test_a_bad_request_is_refused_by_the_name_of_its_field(
    wrong: dict[str, Any], says: str
) -> None:
    with pytest.raises(ConfigurationError) as refused:
        ApprovalRequest(**{**FIELDS, **wrong})
    assert says in str(refused.value)


@pytest.mark.parametrize("roles", ["risk", [""], [None], 7])
def test_roles_are_a_sequence_of_names(roles: Any) -> None:
    for make in (lambda: Principal("ada", roles), lambda: Quorum(1, roles=roles)):
        with pytest.raises(ConfigurationError, match="roles = "):
            make()


@pytest.mark.parametrize("votes", [0, -1, 1.5, None])
def test_a_quorum_takes_at_least_one_vote(votes: Any) -> None:
    with pytest.raises(ConfigurationError, match="votes = "):
        Quorum(votes)


def reached(quorum: Quorum, people: list[Principal]) -> bool:
    """Tell by trying every way to give the roles to different people."""
    names = {each.name: each for each in people}
    ways = permutations(names.values(), len(quorum.roles))
    return len(names) >= quorum.votes and any(
        all(role in person.roles for role, person in zip(quorum.roles, way, strict=True))
        for way in ways
    )


roles = st.lists(st.sampled_from("abc"), max_size=3)
people = st.lists(st.builds(Principal, st.sampled_from("12345"), roles), max_size=6)


@given(st.builds(Quorum, st.integers(1, 4), roles), people)
def test_a_quorum_is_reached_exactly_if_its_roles_can_be_given_to_different_people(
    quorum: Quorum, people: list[Principal]
) -> None:
    assert (not quorum.missing(people)) is reached(quorum, people)


def test_one_person_is_not_two() -> None:
    both = Principal("ada", ("risk", "platform"))
    quorum = Quorum(2, roles=("risk", "platform"))
    assert quorum.missing([both, both]) == "1 more vote, for platform"
    assert quorum.missing([]) == "2 more votes, for risk and platform"
    assert Quorum(3).missing([both]) == "2 more votes"
    assert Quorum(1, roles=("risk", "risk")).votes == 2
