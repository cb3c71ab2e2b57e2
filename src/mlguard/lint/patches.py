"""The fix of a finding: a few changes to one document, as in RFC 6902."""

from __future__ import annotations

import copy
import difflib
import json
from dataclasses import dataclass
from typing import Any, Literal

from mlguard.arguments import choice, refusal


@dataclass(frozen=True, slots=True)
class Operation:
    """One change to a document. Immutable.

    Attributes:
        op: "add" puts in a key, or a value before an item of a list ("-" is its end);
            "replace" changes a value, and "remove" takes it out.
        path: JSON pointer of the value.
        value: The new one.

    Raises:
        ConfigurationError: `op` is another word, or `path` is no pointer.
    """

    op: Literal["add", "replace", "remove"]
    path: str
    value: Any = None

    def __post_init__(self) -> None:
        choice("op", self.op, "add", "replace", "remove")
        if self.path and not self.path.startswith("/"):
            raise refusal("path", self.path, "a JSON pointer")


@dataclass(frozen=True, slots=True)
class Patch:
    """Changes to one document, in order, and documents to put beside it. Immutable.

    Attributes:
        operations: The changes.
        documents: What must stand in the same file too, as an autoscaler.

    Examples:
        >>> patch = Patch((Operation("add", "/rollback_on_error", True),))
        >>> patch.apply({"replicas": 3})
        {'replicas': 3, 'rollback_on_error': True}
        >>> print(patch.diff({"replicas": 3}))
        @@ -1 +1,2 @@
         replicas: 3
        +rollback_on_error: true
    """

    operations: tuple[Operation, ...] = ()
    documents: tuple[Any, ...] = ()

    def apply(self, value: Any) -> Any:
        """Give the changed document; the one given stays as it is.

        Raises:
            ConfigurationError: There is nothing at a path.
        """
        value = copy.deepcopy(value)
        for each in self.operations:
            value = _changed(value, each)
        return value

    def diff(self, value: Any) -> str:
        """Show what it changes in a document, as a unified diff of YAML.

        It is of JSON where PyYAML is not installed.
        """
        before = written(value).splitlines()
        after = written(self.apply(value)).splitlines()
        for each in self.documents:
            after += ["---", *written(each).splitlines()]
        lines = list(difflib.unified_diff(before, after, lineterm=""))
        return "\n".join(lines[2:])  # without the names of the files


def steps(pointer: str) -> list[str]:
    """Give the keys of a JSON pointer.

    Examples:
        >>> steps("/metadata/annotations/mlguard~1waive")
        ['metadata', 'annotations', 'mlguard/waive']
    """
    return [each.replace("~1", "/").replace("~0", "~") for each in pointer.split("/")[1:]]


def pointer(*keys: object) -> str:
    """Write keys as a JSON pointer.

    Examples:
        >>> pointer("containers", 0, "a/b")
        '/containers/0/a~1b'
    """
    words = (str(each).replace("~", "~0").replace("/", "~1") for each in keys)
    return "".join(f"/{each}" for each in words)


def written(value: Any) -> str:
    """Write a document as YAML, or as JSON where PyYAML is not installed."""
    try:
        from mlguard.lint.trees import dumped  # noqa: PLC0415 -- an extra
    except ImportError:
        return json.dumps(value, indent=2, ensure_ascii=False, default=str)
    return dumped(value)


def _changed(value: Any, change: Operation) -> Any:
    new = copy.deepcopy(change.value)
    if not change.path:
        return new
    *way, last = steps(change.path)
    at = value
    for step in way:
        at = _inside(at, step, change)
    if isinstance(at, list):
        if change.op == "add":
            at.insert(len(at) if last == "-" else _place(at, last, change, 1), new)
        elif change.op == "replace":
            at[_place(at, last, change)] = new
        else:
            del at[_place(at, last, change)]
    elif isinstance(at, dict) and (change.op == "add" or last in at):
        if change.op == "remove":
            del at[last]
        else:
            at[last] = new
    else:
        raise _missed(change)
    return value


def _inside(at: Any, step: str, change: Operation) -> Any:
    if isinstance(at, list):
        return at[_place(at, step, change)]
    if isinstance(at, dict) and step in at:
        return at[step]
    raise _missed(change)


def _place(items: list[Any], step: str, change: Operation, more: int = 0) -> int:
    if step.isdecimal() and int(step) < len(items) + more:
        return int(step)
    raise _missed(change)


def _missed(change: Operation) -> Exception:
    return refusal("path", change.path, f"in the document, to {change.op} there")
