"""What guards remember of what they decided, from one job to the next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from mlguard.arguments import moment, refusal
from mlguard.errors import ConfigurationError
from mlguard.requirements.model import Requirements
from mlguard.values import Decision

if TYPE_CHECKING:
    from mlguard.requirements.build import Given, Running


@dataclass(slots=True)
class Memory:
    """What guards remember beside their meters. Not thread-safe: whoever holds it locks it.

    Attributes:
        since: When they began to watch.
        stamps: When each verdict was asked for, or given, last.
        owed: Decisions that no sink has taken yet.
    """

    since: float
    stamps: dict[str, float] = field(default_factory=dict)
    owed: list[Decision] = field(default_factory=list)


def state_of(running: Running, memory: Memory) -> dict[str, Any]:
    """Give what is remembered, and the document that it was decided by, as plain JSON."""
    respond = running.respond
    return {
        "kind": "guards",
        "schema": 1,
        "requirements": running.wanted.model_dump(mode="json", by_alias=True),
        "respond": None if respond is None else respond.state(),
        "since": memory.since,
        "stamps": dict(memory.stamps),
        "owed": [decision.to_dict() for decision in memory.owed],
    }


def resumed(
    running: Running, given: Given, state: Mapping[str, Any]
) -> tuple[Running, Given, Memory]:
    """Go on from what was remembered, by the same document or as after a reload.

    What is owed is, after a change of the document, also the RESOLVE of each alert that nobody asks
    for any more.

    Raises:
        ConfigurationError: This is no state of guards.
    """
    known = state if isinstance(state, Mapping) else {}
    if (known.get("kind"), known.get("schema")) != ("guards", 1):
        raise refusal("state", state, "what state() of guards gave")
    try:
        memory = Memory(
            moment("since", known["since"]),
            {str(name): moment("stamps", at) for name, at in known["stamps"].items()},
            [Decision.from_dict(each) for each in known["owed"]],
        )
        before = Requirements.model_validate(known["requirements"])
        policy = before.policy(given.clock)
        policy = policy and policy.from_state(known["respond"])
    except (KeyError, TypeError, AttributeError, ConfigurationError) as error:
        raise refusal("state", state, f"whole: {error}") from error
    if policy is None:
        return running, given, memory
    heir = running.respond if before.service == running.wanted.service else None
    if heir is not None and heir.digest == policy.digest:
        return replace(running, respond=policy), given, memory
    memory.owed += policy.hand_over(heir)
    return running, given, memory
