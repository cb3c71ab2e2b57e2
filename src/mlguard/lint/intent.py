"""What a config means for a service, whatever its kind: facts, and where each was read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

from mlguard.arguments import choice

if TYPE_CHECKING:
    from mlguard.lint.findings import Place
    from mlguard.lint.patches import Patch

Known: TypeAlias = Literal["present", "absent", "unknown"]


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing that a config says, does not say, or leaves open. Immutable.

    Attributes:
        known: "present"; "absent", where the config has a place for it and the place is empty;
            "unknown", where a template, another file or an implementation decides.
        says: The evidence, in words.
        place: Where it stands, or where it is missed.
        value: What was read, where a rule compares it.
        fix: What would make it present; of one that is present, what would make it as required.

    Raises:
        ConfigurationError: `known` is another word.
    """

    known: Known
    says: str
    place: Place
    value: Any = None
    fix: Patch | None = None

    def __post_init__(self) -> None:
        choice("known", self.known, "present", "absent", "unknown")


class Replicas(NamedTuple):
    """How many copies there may be.

    Attributes:
        least: The fewest.
        most: The most.
    """

    least: int
    most: int


@dataclass(frozen=True, slots=True)
class ServingIntent:
    """What one service, or one pipeline, is meant to do by its config. Immutable.

    Each topic has as many facts as were found. One without any is a topic that this kind of config
    has no place for, so nothing can be told.

    Attributes:
        kind: Of its config, as "Deployment".
        name: Of the service, as its config has it.
        place: Where the config begins.
        rollback: What brings the last version back when the new one fails.
        undo: Whether the last version is kept at all.
        drift: What watches the data, or records it for who watches.
        cost: What bounds the spend; the value is `Money` for a day, where it is one.
        replicas: How many may run; the value is `Replicas`, absent is without a bound.
        latency: What holds the latency; the value is a duration in seconds by quantile.
        errors: What holds the share of failures.
        approvals: What waits for somebody's yes.
        performance: What compares a model before it goes out.
        timeouts: What ends work that takes too long; the value is in seconds.
        drains: Whether a pod may go when its node is drained.
        resources: What each container may use.
        probes: What tells that a container is ready.
        images: What runs; the value is the image.
    """

    kind: str
    name: str
    place: Place
    rollback: tuple[Fact, ...] = ()
    undo: tuple[Fact, ...] = ()
    drift: tuple[Fact, ...] = ()
    cost: tuple[Fact, ...] = ()
    replicas: tuple[Fact, ...] = ()
    latency: tuple[Fact, ...] = ()
    errors: tuple[Fact, ...] = ()
    approvals: tuple[Fact, ...] = ()
    performance: tuple[Fact, ...] = ()
    timeouts: tuple[Fact, ...] = ()
    drains: tuple[Fact, ...] = ()
    resources: tuple[Fact, ...] = ()
    probes: tuple[Fact, ...] = ()
    images: tuple[Fact, ...] = ()
