"""A kind of config: how it is told, and what it means."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from mlguard.lint.intent import ServingIntent
from mlguard.lint.nodes import Node

if TYPE_CHECKING:
    from mlguard.lint.bar import Bar


@dataclass(frozen=True, slots=True)
class Given:
    """What a document is read beside. Immutable.

    Attributes:
        roots: Of all documents that were given, among which may be an autoscaler of this one.
        bar: What is required, so that a fix puts in what passes.
    """

    roots: tuple[Node, ...]
    bar: Bar

    def naming(self, root: Node, reference: str, group: str, *kinds: str) -> list[Node]:
        """Give the objects of Kubernetes in whose `spec` a reference names this one."""
        return [
            each
            for each in self.roots
            if is_object(each, group, *kinds)
            and refers(each.at("spec", reference), root)
            and same_namespace(each, root)
        ]


Reader: TypeAlias = Callable[[Node, Given], Iterable[ServingIntent]]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of config. Immutable.

    Attributes:
        name: As people call it, "InferenceService".
        recognises: Tells a document of this kind by its root.
        read: Gives the services that a document describes, from its root. None is a kind that is
            known and not judged yet.
    """

    name: str
    recognises: Callable[[Node], bool]
    read: Reader | None = None


def is_object(root: Node, group: str, *kinds: str) -> bool:
    """Tell an object of Kubernetes by the group of its API, or its end, and by its kind."""
    api, _, _ = root.at("apiVersion").text.partition("/")
    return api.endswith(group) and root.at("kind").text in kinds


def name_of(root: Node) -> str:
    """Give the name of an object of Kubernetes."""
    return root.at("metadata", "name").text or root.at("metadata", "generateName").text


def same_namespace(one: Node, other: Node) -> bool:
    """Tell whether two objects may stand in one namespace: those without one go anywhere."""
    mine, theirs = (each.at("metadata", "namespace").text for each in (one, other))
    return not mine or not theirs or mine == theirs


def refers(reference: Node, root: Node) -> bool:
    """Tell whether a reference names an object, as `targetRef` does."""
    return (
        bool(name_of(root))
        and reference.at("name").text == name_of(root)
        and reference.at("kind").text in {"", root.at("kind").text}
    )
