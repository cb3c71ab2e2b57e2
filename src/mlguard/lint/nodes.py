"""A value in a document and where it stands, so that what is missing has a place too."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from mlguard.lint.intent import Fact
from mlguard.lint.patches import Operation, Patch, pointer
from mlguard.lint.trees import Unknown

if TYPE_CHECKING:
    from mlguard.lint.findings import Place
    from mlguard.lint.read import Document

_MOST_LINES = 2000  # of a larger template, all that is missed is in doubt
_PART = re.compile(r"(\{\{.*\}\}|\{%.*%\})")
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")


@dataclass(frozen=True, slots=True)
class Node:
    """A value at a place of a document, or None where nothing stands there. Immutable.

    Attributes:
        document: It stands there.
        keys: The way to it.
        value: As it was read.
        there: Whether it stands there; null stands nowhere.
    """

    document: Document
    keys: tuple[str | int, ...] = ()
    value: Any = None
    there: bool = False

    @classmethod
    def of(cls, document: Document) -> Node:
        """Give the root of a document."""
        return cls(document, (), document.value, document.value is not None)

    def at(self, *keys: str | int) -> Node:
        """Go further in; beyond what is there, nothing stands."""
        value: Any = self.value
        for key in keys:
            if isinstance(value, Mapping):
                value = value.get(key)
            elif isinstance(value, list) and isinstance(key, int) and 0 <= key < len(value):
                value = value[key]
            else:
                value = None
        return Node(self.document, (*self.keys, *keys), value, value is not None)

    @property
    def around(self) -> Node:
        """What it stands in."""
        return Node.of(self.document).at(*self.keys[:-1])

    def __iter__(self) -> Iterator[Node]:
        """Give what stands in a list or a mapping; nothing in another value."""
        if isinstance(self.value, Mapping):
            yield from (self.at(key) for key in self.value)
        elif isinstance(self.value, list):
            yield from (self.at(place) for place in range(len(self.value)))

    @property
    def key(self) -> str:
        """The last key on the way."""
        return str(self.keys[-1]) if self.keys else ""

    @property
    def place(self) -> Place:
        """Where it stands; of what is missing, where it would."""
        return self.document.place(pointer(*self.keys))

    @property
    def text(self) -> str:
        """The text of a string; empty for another value."""
        return self.value if isinstance(self.value, str) else ""

    @property
    def number(self) -> float | None:
        """A finite number, or the one that a string spells."""
        value = self.text.strip() or self.value
        if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,12}(\.[0-9]{1,9})?", value):
            value = float(value)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        try:
            number = float(value)
        except OverflowError:
            return None
        return number if math.isfinite(number) else None

    @property
    def templated(self) -> bool:
        """Whether its value is decided elsewhere."""
        return isinstance(self.value, Unknown)

    def walk(self, deep: int = 32) -> Iterator[Node]:
        """Give it and all that stands inside it."""
        yield self
        if deep:
            for each in self:
                yield from each.walk(deep - 1)

    def put(self, value: Any) -> Patch:
        """Give the change that puts a value here, and what must stand around it."""
        keys = self.keys
        at: Any = self.document.value
        depth = 0
        while depth < len(keys) and (inside := _inside(at, keys[depth])) is not None:
            at, depth = inside, depth + 1
        if depth == len(keys):
            return Patch((Operation("replace", pointer(*keys), value),))
        op: Literal["add", "replace"] = "add"
        takes = int if isinstance(at, list) else (str, int)
        if not isinstance(at, dict | list) or not isinstance(keys[depth], takes):
            # something else stands in the way
            op, depth = "replace", depth - 1
        for missing in reversed(keys[depth + 1 :]):
            value = [value] if isinstance(missing, int) else {missing: value}
        return Patch((Operation(op, pointer(*keys[: depth + 1]), value),))

    def present(self, says: str, value: Any = None, fix: Patch | None = None) -> Fact:
        """State what stands here."""
        return Fact("present", says, self.place, value, fix)

    def absent(self, says: str, fix: Patch | None = None) -> Fact:
        """State that nothing stands here, and what should; in a template, that nobody knows."""
        if self._open():
            return self.unknown(f"{says}, but what is put into the template may say more")
        return Fact("absent", says, self.place, fix=fix)

    def unknown(self, says: str) -> Fact:
        """State that it is decided elsewhere."""
        return Fact("unknown", says, self.place)

    def _open(self) -> bool:
        """Whether a part of a template, on lines of its own, may put something around here."""
        document = self.document
        if not document.partial or len(document.lines) > _MOST_LINES:
            return document.partial
        near = self
        while near.keys and not near.there:
            near = near.around
        first = document.line(pointer(*near.keys)) or document.begins
        inside = f"{pointer(*near.keys)}/"
        behind = (
            line
            for name, line in document.lines.items()
            if line > first and not name.startswith(inside)
        )
        last = min(behind, default=sys.maxsize)
        lines = document.text.splitlines()[first - document.begins : last - document.begins]
        return any(_PART.fullmatch(line.strip()) for line in lines)


def words(name: object) -> list[str]:
    """Split a name into its words, in small letters.

    Examples:
        >>> words("driftAlert_threshold-p99")
        ['drift', 'alert', 'threshold', 'p', '99']
    """
    return [each.lower() for each in _WORD.findall(str(name)[:200])]


def together(*patches: Patch) -> Patch:
    """Make one patch of several."""
    return Patch(
        tuple(each for patch in patches for each in patch.operations),
        tuple(each for patch in patches for each in patch.documents),
    )


def _inside(at: Any, key: str | int) -> Any:
    if isinstance(at, Mapping):
        return at.get(key)
    if isinstance(at, list) and isinstance(key, int) and key < len(at):
        return at[key]
    return None
