"""What stands beside a service and watches it: rules of Prometheus, and jobs that look at drift."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any

from mlguard.lint.kinds.kind import Given, is_object, name_of
from mlguard.lint.nodes import words

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mlguard.lint.intent import Fact, ServingIntent
    from mlguard.lint.nodes import Node

_ALERTS = {
    "drift": {"drift", "psi"},
    "cost": {"cost", "spend", "spending"},
    "latency": {"latency", "slow", "duration"},
    "errors": {"error", "errors", "failures", "availability", "burn"},
}
_JOBS = ("Job", "CronJob")


def beside(intents: list[ServingIntent], given: Given) -> list[ServingIntent]:
    """Add to each service what an alert or a job of the same documents watches."""
    found = {topic: tuple(islice(_found(topic, given), 1)) for topic in _ALERTS}
    added = {topic: facts for topic, facts in found.items() if facts}
    return [_with(each, added) for each in intents]


def _with(intent: ServingIntent, added: Mapping[str, tuple[Fact, ...]]) -> ServingIntent:
    new: dict[str, Any] = {t: f for t, f in added.items() if not _said(getattr(intent, t))}
    return replace(intent, **new)


def _said(facts: tuple[Fact, ...]) -> bool:
    return any(each.known == "present" for each in facts)


def _found(topic: str, given: Given) -> Iterator[Fact]:
    for root in given.roots:
        for rule in _rules(root):
            alert = rule.at("alert")
            if not _ALERTS[topic].isdisjoint(words(alert.text)):
                yield alert.present(f"the alert {alert.text} watches it")
        if topic == "drift" and _looks_at_drift(root):
            yield root.at("kind").present(f"{root.at('kind').text} {name_of(root)} looks at drift")


def _rules(root: Node) -> Iterator[Node]:
    """Give the rules of a PrometheusRule, or of a file of Prometheus."""
    if is_object(root, "monitoring.coreos.com", "PrometheusRule"):
        groups = root.at("spec", "groups")
    elif not root.at("apiVersion").there:
        groups = root.at("groups")
    else:
        return
    for group in groups:
        yield from (each for each in group.at("rules") if each.at("alert").text)


def _looks_at_drift(root: Node) -> bool:
    if not is_object(root, "batch", *_JOBS):
        return False
    names = [name_of(root)]
    names += [each.text for each in root.walk(12) if each.key in {"image", "name"}]
    return any("drift" in words(each) for each in names)
