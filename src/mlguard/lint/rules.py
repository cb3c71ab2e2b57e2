"""The rules: which facts each looks at, and what it serves."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from mlguard.lint import limits
from mlguard.lint.bar import Bar
from mlguard.lint.findings import Rule
from mlguard.lint.intent import Fact, ServingIntent
from mlguard.lint.plugins import plugins

Told: TypeAlias = Iterable[tuple[ServingIntent, Fact]]
Looking: TypeAlias = Callable[[Sequence[ServingIntent], Bar], Told]


@dataclass(frozen=True, slots=True)
class Look:
    """A rule, and how it looks at services. Immutable.

    Attributes:
        rule: What its findings are of.
        look: Gives facts, each with its service: an absent one is a finding, and makes the
            requirement unmet; an unknown one is told as an info, where the requirement is asked.
    """

    rule: Rule
    look: Looking


def topic(name: str) -> Looking:
    """Look at all facts of one topic."""

    def look(intents: Sequence[ServingIntent], _: Bar) -> Told:
        return ((intent, fact) for intent in intents for fact in getattr(intent, name))

    return look


def missing(name: str) -> Looking:
    """Look at what is absent of one topic: that it is there meets no requirement yet."""

    def look(intents: Sequence[ServingIntent], bar: Bar) -> Told:
        return (told for told in topic(name)(intents, bar) if told[1].known == "absent")

    return look


NOT_JUDGED = Rule(
    "MLG-KD001",
    "not-judged",
    "info",
    "",
    "A config of this kind is not judged yet: what it leaves out, nobody has looked for.",
)
LOOKS = (
    Look(
        Rule(
            "MLG-RB001",
            "no-rollback",
            "error",
            "rollback",
            "A version that fails goes on failing until somebody wakes up and takes it back.",
        ),
        topic("rollback"),
    ),
    Look(
        Rule(
            "MLG-RB002",
            "no-undo",
            "warning",
            "rollback",
            "Where no earlier version is kept, there is nothing to go back to.",
        ),
        missing("undo"),
    ),
    Look(
        Rule(
            "MLG-DR001",
            "no-drift-watch",
            "error",
            "drift",
            "A model answers as surely on data that it never saw; only the data tells.",
        ),
        limits.drift,
    ),
    Look(
        Rule(
            "MLG-CO001",
            "no-cost-bound",
            "error",
            "cost",
            "What has no bound is first noticed on the bill.",
        ),
        topic("cost"),
    ),
    Look(
        Rule(
            "MLG-CO002",
            "above-the-cap",
            "error",
            "cost",
            "With all replicas that may run, the cap is passed before anybody is told.",
        ),
        limits.cost,
    ),
    Look(
        Rule(
            "MLG-SC001",
            "unbounded-replicas",
            "error",
            "cost",
            "An autoscaler without a largest number turns a burst, or a loop, into a bill.",
        ),
        missing("replicas"),
    ),
    Look(
        Rule(
            "MLG-SC002",
            "undrainable",
            "warning",
            "",
            "A budget that lets no pod go stops every upgrade of a node, until it is deleted.",
        ),
        missing("drains"),
    ),
    Look(
        Rule(
            "MLG-LA001",
            "no-latency-limit",
            "error",
            "latency",
            "A slow answer is a wrong one to whoever waits; nobody is told where no limit stands.",
        ),
        limits.latency,
    ),
    Look(
        Rule(
            "MLG-LA002",
            "no-timeout",
            "warning",
            "",
            "A task that hangs holds its workers, and is paid for, until somebody looks.",
        ),
        topic("timeouts"),
    ),
    Look(
        Rule(
            "MLG-ER001",
            "no-error-limit",
            "error",
            "errors",
            "A rollout that does not count failures takes a broken version to everybody.",
        ),
        topic("errors"),
    ),
    Look(
        Rule(
            "MLG-GV001",
            "no-gate",
            "error",
            "performance",
            "What is trained goes out unseen, also on the day on which it is worse.",
        ),
        topic("performance"),
    ),
    Look(
        Rule(
            "MLG-GV002",
            "no-approval",
            "error",
            "approvals",
            "A release that needs a yes must have a place where it waits for it.",
        ),
        topic("approvals"),
    ),
    Look(
        Rule(
            "MLG-RS001",
            "no-resources",
            "warning",
            "",
            "A container that may use all there is takes others down with it, or is evicted first.",
        ),
        topic("resources"),
    ),
    Look(
        Rule(
            "MLG-PB001",
            "no-readiness-probe",
            "warning",
            "",
            "Requests arrive while the model still loads, and on every start some of them fail.",
        ),
        topic("probes"),
    ),
    Look(
        Rule(
            "MLG-IM001",
            "unpinned-image",
            "warning",
            "",
            "What was tested and what runs need not be the same, and the last one is not known.",
        ),
        topic("images"),
    ),
)


def looks() -> tuple[Look, ...]:
    """Give our own and those that others add.

    Raises:
        ConfigurationError: An entry point gives something else.
    """
    return (*LOOKS, *plugins("mlguard.lint.rules", Look))
