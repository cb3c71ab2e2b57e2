"""What all kinds share that start containers: resources, probes and images."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from mlguard.lint.intent import Fact, Replicas
from mlguard.lint.nodes import Node, together

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mlguard.lint.bar import Bar

LIMITS = {
    "requests": {"cpu": "1", "memory": "2Gi"},
    "limits": {"memory": "4Gi"},
}
_OTHERS = re.compile(
    r"(^|/)(adminer|elasticsearch|grafana(-enterprise)?|kafka|mariadb|minio|mongo(db)?|mysql|pgadmin4?|"
    r"postgres(ql)?|prometheus|rabbitmq|redis|traefik|zookeeper)(:[^/]*)?(@.*)?$"
)
_VERSIONED = re.compile(r"@sha256:[0-9a-f]{64}$|:(?!latest$)[\w][\w.-]{0,127}$")
MOST_REPLICAS = 10**9


def containers(pod: Node) -> list[Node]:
    """Give the containers of a pod that run as long as it does."""
    return list(pod.at("containers"))


def serves(containers: Iterable[Node]) -> bool:
    """Tell whether some container may serve a model: databases and dashboards do not."""
    images = [each.at("image") for each in containers]
    return not images or any(each.templated or not _OTHERS.search(each.text) for each in images)


def resources(containers: Iterable[Node]) -> Iterable[Fact]:
    """State of each container what it may use."""
    for each in containers:
        given = each.at("resources")
        name = _name(each)
        if given.templated:
            yield given.unknown(f"{name}: its resources are put in later")
        elif given.at("limits").there or given.at("requests").there:
            yield given.present(f"{name} says what it may use")
        else:
            yield given.absent(f"{name} may use all there is", given.put(LIMITS))


def probes(containers: Iterable[Node]) -> Iterable[Fact]:
    """State whether what opens a port tells that it is ready; where nothing does, one of them."""
    every = list(containers)
    opening = [each for each in every if each.at("ports").there]
    facts = [_probe(each) for each in opening or every]
    if not opening and any(each.known == "present" for each in facts):
        return [each for each in facts if each.known == "present"]
    return facts if opening else facts[:1]


def _probe(container: Node) -> Fact:
    probe = container.at("readinessProbe")
    if probe.there:
        return probe.present(f"{_name(container)} tells when it is ready")
    port = container.at("ports", 0, "containerPort").value or 8080
    fix = {"httpGet": {"path": "/health", "port": port}, "periodSeconds": 10}
    return probe.absent(f"{_name(container)} does not tell when it is ready", probe.put(fix))


def images(containers: Iterable[Node]) -> Iterable[Fact]:
    """State of each container whether its image stays the same."""
    for each in containers:
        yield from image(each.at("image"))


def image(given: Node) -> Iterable[Fact]:
    """State whether an image stays the same until the config changes."""
    if given.templated:
        yield given.unknown("the image is put in later")
    elif not given.text:
        return
    elif _VERSIONED.search(given.text):
        yield Fact("present", f"{given.text} has a version", given.place, given.text)
    else:
        plain = given.text.removesuffix(":latest")
        fixed = f"{plain}:1.0.0"  # which version is right, only the author knows
        yield given.absent(f"{given.text} may be another image tomorrow", given.put(fixed))


def bounds(least: Node, most: Node, *, few: int, many: int | None, put: Any = 4) -> Fact:
    """State how many replicas there may be.

    Args:
        least: The fewest, where that stands.
        most: The most, where that stands.
        few: The fewest where nothing is said.
        many: The most where nothing is said; None is without a bound.
        put: A bound that mends it.
    """
    low, high = least.number, most.number
    if most.templated or (least.templated and not most.there):
        return most.unknown("how many replicas there may be is put in later")
    if high is not None and high >= 1:
        most_of_all = int(min(high, MOST_REPLICAS))
        low = few if low is None else low
        return most.present(
            f"at most {most_of_all:,}", Replicas(int(max(0, min(low, most_of_all))), most_of_all)
        )
    if many is None:
        return most.absent("may grow without a bound", most.put(max(put, int(low or 0))))
    most_of_all = max(many, int(min(low or 0, MOST_REPLICAS)))
    return most.present(f"at most {most_of_all:,}", Replicas(int(low or few), most_of_all))


def fixed(count: Node, *, few: int = 1) -> Fact:
    """State how many replicas there are where nothing scales them."""
    if count.templated:
        return count.unknown("how many replicas there are is put in later")
    number = int(min(max(count.number if count.number is not None else few, 0), MOST_REPLICAS))
    return count.present(f"{number:,}", Replicas(number, number))


def given_up(timeout: Node, where: Node, bar: Bar) -> Fact:
    """State after how long a request is given up; only below every limit it holds them."""
    if timeout.number is None:
        return where.unknown("after how long a request is given up is put in later")
    says = f"a request is given up after {timeout.number:g} s"
    if 0 < timeout.number <= min(bar.latency.values(), default=0.0):
        return where.present(says)
    return where.unknown(f"{says}, which is no limit on a quantile")


def merged(facts: Iterable[Fact]) -> list[Fact]:
    """Make one fact of all that is absent, whose fix mends them all."""
    every = list(facts)
    lacking = [each for each in every if each.known == "absent"]
    if not lacking:
        return every
    fix = together(*(each.fix for each in lacking if each.fix))
    says = "; ".join(each.says for each in lacking)
    others = [each for each in every if each.known != "absent"]
    return [Fact("absent", says, lacking[0].place, fix=fix), *others]


def _name(container: Node) -> str:
    return f"container {container.at('name').text or container.key!r}"
