"""A kind of config: how it is told, and what it means."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
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
        names: The roots by their name.
        references: The roots by each reference in their `spec`, and the name that it names.
    """

    roots: tuple[Node, ...]
    bar: Bar
    names: Mapping[str, list[Node]]
    references: Mapping[tuple[str, str], list[Node]]

    @classmethod
    def of(cls, roots: tuple[Node, ...], bar: Bar) -> Given:
        """Index the roots."""
        names: dict[str, list[Node]] = {}
        references: dict[tuple[str, str], list[Node]] = {}
        for root in roots:
            names.setdefault(name_of(root), []).append(root)
            for key in ("targetRef", "scaleTargetRef", "workloadRef"):
                if name := root.at("spec", key, "name").text:
                    references.setdefault((key, name), []).append(root)
            for label in labels_of(root.at("spec", "selector", "matchLabels"))[:1]:
                references.setdefault(("matchLabels", label), []).append(root)
        return cls(roots, bar, names, references)

    def naming(self, root: Node, reference: str, group: str, *kinds: str) -> Iterator[Node]:
        """Give the objects of Kubernetes in whose `spec` a reference names this one."""
        for each in self.references.get((reference, name_of(root)), ()):
            if is_object(each, group, *kinds) and _refers(each, reference, root):
                yield each

    def selecting(self, root: Node, group: str, *kinds: str) -> Iterator[Node]:
        """Give the objects of Kubernetes whose selector takes the pods of this one."""
        labels = labels_of(root.at("spec", "template", "metadata", "labels"))
        for label in labels:
            for each in self.references.get(("matchLabels", label), ()):
                wanted = labels_of(each.at("spec", "selector", "matchLabels"))
                fits = is_object(each, group, *kinds) and same_namespace(root, each)
                if fits and {*wanted} <= {*labels}:
                    yield each

    def named(self, root: Node, reference: str) -> Node | None:
        """Give the object that a reference in the `spec` of this one names."""
        others = self.names.get(root.at("spec", reference, "name").text, ())
        return next((each for each in others if _refers(root, reference, each)), None)


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


def labels_of(node: Node) -> list[str]:
    """Give labels as "key=value"."""
    return [f"{each.key}={each.text}" for each in node]


def same_namespace(one: Node, other: Node) -> bool:
    """Tell whether two objects may stand in one namespace: those without one go anywhere."""
    mine, theirs = (each.at("metadata", "namespace").text for each in (one, other))
    return not mine or not theirs or mine == theirs


def _refers(root: Node, reference: str, other: Node) -> bool:
    kind = root.at("spec", reference, "kind").text
    return kind in {"", other.at("kind").text} and same_namespace(root, other)
