"""Docker Compose: the services of one file together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlguard.lint.intent import Fact, ServingIntent
from mlguard.lint.kinds.kind import Given, Kind
from mlguard.lint.kinds.pods import fixed, images, merged, serves

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mlguard.lint.nodes import Node


def _recognises(root: Node) -> bool:
    services = root.at("services")
    return (
        isinstance(services.value, dict)
        and not root.at("apiVersion").there
        and all(isinstance(each.value, dict) for each in services)
        and any(each.at(key).there for each in services for key in ("image", "build", "extends"))
    )


def _read(root: Node, _: Given) -> Iterable[ServingIntent]:
    """Read what may serve a model: a database or a dashboard is read where nothing else stands."""
    every = list(root.at("services"))
    services = [each for each in every if serves([each])] or every
    yield ServingIntent(
        "docker-compose",
        root.at("name").text or services[0].key,
        root.place,
        rollback=tuple(merged(map(_rollback, services))),
        replicas=tuple(map(_replicas, services)),
        resources=tuple(merged(map(_resources, services))),
        probes=tuple(_probes(services)),
        images=tuple(merged(images(each for each in services if not each.at("build").there))),
    )


def _rollback(service: Node) -> Fact:
    action = service.at("deploy", "update_config", "failure_action")
    if action.templated:
        return action.unknown("what follows a failed update is put in later")
    if action.text == "rollback":
        return action.present(f"{service.key} rolls back when an update fails")
    return action.absent(
        f"{service.key} stays as it is when an update fails", action.put("rollback")
    )


def _replicas(service: Node) -> Fact:
    count = service.at("deploy", "replicas")
    return fixed(count if count.there or not service.at("scale").there else service.at("scale"))


def _resources(service: Node) -> Fact:
    given = service.at("deploy", "resources")
    old = [service.at(key) for key in ("mem_limit", "cpus", "cpu_shares", "mem_reservation")]
    found = next((each for each in (given, *old) if each.there), None)
    if found is not None:
        return found.present(f"{service.key} says what it may use")
    fix = given.at("limits").put({"cpus": "1", "memory": "2G"})
    return given.absent(f"{service.key} may use all there is", fix)


def _probes(services: list[Node]) -> Iterator[Fact]:
    checks = [each.at("healthcheck") for each in services]
    found = next(
        (each for each in checks if each.there and each.at("disable").value is not True), None
    )
    if found is not None:
        yield found.present("a health check")
        return
    test = ["CMD", "wget", "-q", "--spider", "http://localhost:8080/health"]
    fix = checks[0].put({"test": test, "interval": "10s", "timeout": "5s", "retries": 3})
    yield checks[0].absent("no service tells when it is ready", fix)


KIND = Kind("docker-compose", _recognises, _read)
