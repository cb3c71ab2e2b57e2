"""What guards remember of what they decided, from one job to the next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mlguard.arguments import refusal
from mlguard.errors import ConfigurationError
from mlguard.requirements.model import Requirements

if TYPE_CHECKING:
    from mlguard.requirements.build import Given, Running
    from mlguard.values import Decision


def state_of(running: Running) -> dict[str, Any]:
    """Give what is remembered, and the document that it was decided by, as plain JSON."""
    respond = running.respond
    return {
        "kind": "guards",
        "schema": 1,
        "requirements": running.wanted.model_dump(mode="json", by_alias=True),
        "respond": None if respond is None else respond.state(),
    }


def resumed(
    running: Running, given: Given, state: Mapping[str, Any]
) -> tuple[Running, Given, list[Decision]]:
    """Go on from what was remembered, by the same document or as after a reload.

    Returns:
        What runs, with what, and the RESOLVE of each alert that nobody asks for any more.

    Raises:
        ConfigurationError: This is no state of guards.
    """
    known = state if isinstance(state, Mapping) else {}
    if (known.get("kind"), known.get("schema")) != ("guards", 1):
        raise refusal("state", state, "what state() of guards gave")
    if known.get("respond") is None:
        return running, given, []
    try:
        before = Requirements.model_validate(known["requirements"])
        policy = before.policy(given.clock)
        if policy is None:
            raise refusal("state", state, "of a document with responses")
        policy = policy.from_state(known["respond"])
    except (KeyError, TypeError, ConfigurationError) as error:
        raise refusal("state", state, f"whole: {error}") from error
    heir = running.respond if before.service == running.wanted.service else None
    if heir is not None and heir.digest == policy.digest:
        return replace(running, respond=policy), given, []
    return running, given, policy.hand_over(heir)
