"""What is asked for, who answers, and how many must agree."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import KW_ONLY, dataclass, field
from secrets import token_hex

from mlguard.arguments import moment, name_of, refusal, whole
from mlguard.governance.digests import digest_json, digest_of
from mlguard.records import Record, iso


@dataclass(frozen=True, slots=True)
class Principal:
    """Who somebody is, as your authenticator says, never as a payload says. Immutable.

    Args:
        name: The same for the same person, however they came in.
        roles: What they may speak for.

    Raises:
        ConfigurationError: A name is empty, or `roles` is a string.

    Examples:
        >>> print(Principal("ada", roles=("risk", "platform")))
        ada (risk, platform)
    """

    name: str
    roles: Sequence[str] = ()

    def __post_init__(self) -> None:
        name_of("name", self.name)
        object.__setattr__(self, "roles", _roles(self.roles))

    def __str__(self) -> str:
        return f"{self.name} ({', '.join(self.roles)})" if self.roles else self.name


@dataclass(frozen=True, slots=True)
class Quorum:
    """How many must approve, and for which roles. Immutable.

    Each role is spoken for by another person: somebody with two roles fills one of them. A role
    that stands there twice takes two people.

    Args:
        votes: How many different people, at least; no fewer than the roles take.
        roles: What somebody must speak for.

    Raises:
        ConfigurationError: `votes` is no whole number of at least 1, or a role is empty.

    Examples:
        >>> two = Quorum(votes=2, roles=("risk", "platform"))
        >>> two.missing([Principal("ada", ("risk", "platform")), Principal("bo", ("risk",))])
        ''
        >>> two.missing([Principal("ada", ("risk", "platform"))])
        '1 more vote, for platform'
    """

    votes: int = 1
    roles: Sequence[str] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "roles", _roles(self.roles))
        least = max(whole("votes", self.votes, least=1), len(self.roles))
        object.__setattr__(self, "votes", least)

    def missing(self, principals: Iterable[Principal]) -> str:
        """Say what is missing of a quorum when these approve; nothing when it is reached."""
        people = list({each.name: each for each in principals}.values())
        filled: dict[int, int] = {}  # the number of a person, the number of a role
        open_roles = [
            role
            for place, role in enumerate(self.roles)
            if not self._fill(place, people, filled, set())
        ]
        more = max(self.votes - len(people), len(open_roles))
        if not more:
            return ""
        roles = f", for {' and '.join(open_roles)}" if open_roles else ""
        return f"{more} more vote{'s' * (more > 1)}{roles}"

    def _fill(
        self, place: int, people: list[Principal], filled: dict[int, int], asked: set[int]
    ) -> bool:
        """Find somebody for a role, asking those who have one to take another (a matching)."""
        for number, person in enumerate(people):
            if self.roles[place] in person.roles and number not in asked:
                asked.add(number)
                if number not in filled or self._fill(filled[number], people, filled, asked):
                    filled[number] = place
                    return True
        return False


@dataclass(frozen=True, slots=True, eq=False)
class ApprovalRequest(Record):
    """What somebody asks to be allowed: this action, in this environment, with these bytes.

    Everything in it is under its `digest`, so a vote for it is a vote for nothing else. Immutable.

    Args:
        subject_digest: Of what goes out, such as `digest_subject` gives; None for whatever passed
            the `gate` (a standing approval).
        action: What is to be done: "deploy", "promote".
        environment: Where.
        policy_digest: Of the requirements, which change only when a person edits them.
        evidence_digest: Of what the approvers are shown.
        requester: Name of the principal who asks. They have no vote.
        expires: When it ends, that moment excluded: an aware datetime or Unix seconds.
        gate: Name of the verdict that a subject must have passed, where no subject is given.
        nonce: Tells this request from another one that asks for the same; drawn when not given.

    Raises:
        ConfigurationError: An argument is empty or not of its kind, or there is not exactly one of
            `subject_digest` and `gate`.

    Examples:
        >>> request = ApprovalRequest(
        ...     subject_digest="sha256:5e",
        ...     action="deploy",
        ...     environment="production",
        ...     policy_digest="json:0c",
        ...     evidence_digest="sha256:1d",
        ...     requester="cy",
        ...     expires=2_000_000_000,
        ... )
        >>> print(request)
        deploy of sha256:5e in production, asked for by cy until 2033-05-18T03:33:20Z
    """

    _: KW_ONLY
    subject_digest: str | None = None
    action: str
    environment: str
    policy_digest: str
    evidence_digest: str
    requester: str
    expires: float
    gate: str | None = None
    nonce: str = field(default_factory=lambda: token_hex(16))

    def __post_init__(self) -> None:
        for parameter in ("action", "environment", "requester", "nonce"):
            name_of(parameter, getattr(self, parameter))
        for parameter in ("policy_digest", "evidence_digest"):
            digest_of(parameter, getattr(self, parameter))
        if (self.subject_digest is None) is (self.gate is None):
            raise refusal("subject_digest", self.subject_digest, "given, or else a gate")
        if self.subject_digest is not None:
            digest_of("subject_digest", self.subject_digest)
        if self.gate is not None:
            name_of("gate", self.gate)
        object.__setattr__(self, "expires", moment("expires", self.expires))

    @property
    def digest(self) -> str:
        """Digest of all its fields."""
        return digest_json(self)

    def __str__(self) -> str:
        what = self.subject_digest or f"whatever passed {self.gate!r}"
        asked = f"asked for by {self.requester} until {iso(self.expires)}"
        return f"{self.action} of {what} in {self.environment}, {asked}"


def _roles(roles: Sequence[str]) -> tuple[str, ...]:
    if isinstance(roles, str) or not isinstance(roles, Sequence):
        raise refusal("roles", roles, "a sequence of names")
    return tuple(name_of("roles", role) for role in roles)
