"""Configs as plain values with the line of each, whoever wrote them; and values as YAML."""

from __future__ import annotations

import ast
import json
import re
import warnings
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from mlguard.arguments import shown
from mlguard.errors import MissingDependencyError
from mlguard.lint.patches import pointer
from mlguard.requirements.load import MOST_ALIASES, MOST_BYTES, MOST_NODES

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_DEPTH = 64
"""More than a requirements document may: the schema of a custom resource goes deep."""

_TAG = "tag:yaml.org,2002:"
_MADE = {f"{_TAG}{name}" for name in ("null", "bool", "int", "float")}
_KEPT = {f"{_TAG}{name}" for name in ("str", "timestamp", "value", "merge")} | {"!"}
_PLAIN = {"mapping": f"{_TAG}map", "sequence": f"{_TAG}seq"}
_TEMPLATED = re.compile(r"\{\{|\{%|\$\{|\$[A-Z_]{2}|\ue000")
_TOKEN = re.compile(  # a string that is left open ends the text, so that it is read once
    r'"(?:[^"\\]|\\.|\\\Z)*(?:"|\Z)|[{}\[\],:]|[^\s{}\[\],:"]+', re.DOTALL
)


class Unknown(str):
    """A text whose value is decided elsewhere: it is templated, or stands behind a tag.

    Examples:
        >>> of_value({"image": "registry/${IMAGE}:2"}).value["image"].__class__.__name__
        'Unknown'
    """

    __slots__ = ()


class Unreadable(Exception):  # noqa: N818 -- reads as what it is
    """What stands there cannot be read; it never leaves the reader."""

    def __init__(self, says: str, line: int | None = None) -> None:
        super().__init__(says)
        self.line = line


@dataclass(slots=True)
class Tree:
    """A value made of plain JSON, and what was seen of its text.

    Attributes:
        value: Its keys are text, whatever they are in YAML.
        lines: By JSON pointer, from 1.
        twice: Pointers of keys that are given more than once; the last one counts.
    """

    value: Any
    lines: dict[str, int] = field(default_factory=dict)
    twice: dict[str, int] = field(default_factory=dict)


def of_yaml(text: str) -> Iterator[Tree]:
    """Read the documents of a text one by one.

    Raises:
        Unreadable: The next one does not read.
        MissingDependencyError: PyYAML is not installed.
    """
    yaml = _yaml()
    loader = None
    try:
        _measure(yaml, text)
        loader = _loader()(text)
        while loader.check_node():
            builder = _Builder(loader)
            node = loader.get_node()
            builder.tree.value = builder.value(node, (), node.start_mark.line + 1)
            yield builder.tree
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        if mark is not None:
            raise Unreadable(str(error.problem), mark.line + 1) from None
        at = getattr(error, "position", 0)
        raise Unreadable(str(error).partition("\n")[0], text.count("\n", 0, at) + 1) from None
    except ValueError as error:
        raise Unreadable(str(error)) from None
    finally:
        if loader is not None:
            loader.dispose()


def of_json(text: str) -> Tree:
    """Read a JSON text.

    Raises:
        Unreadable: It is not JSON, or too large.
    """
    lines, twice = _positions(text)
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise Unreadable(error.msg, error.lineno) from None
    except (ValueError, RecursionError) as error:
        raise Unreadable(str(error)) from None
    return Tree(of_value(value).value, lines, twice)


def of_python(text: str) -> ast.Module:
    """Read a Python file as syntax; nothing of it runs.

    Raises:
        Unreadable: It is no Python, or nested too deeply.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of its author, not of who lints it
            return ast.parse(text)
    except SyntaxError as error:
        raise Unreadable(error.msg, error.lineno) from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise Unreadable(str(error) or "nested too deeply") from None


def of_value(value: Any) -> Tree:
    """Take what another parser made: what is no plain JSON becomes unknown.

    Raises:
        Unreadable: It is too large or too deep, as what holds itself.
    """
    return Tree(_Copy().of(value, 0))


def dumped(value: Any) -> str:
    """Write a value as YAML.

    Raises:
        MissingDependencyError: PyYAML is not installed.
    """
    written: str = _yaml().dump(value, Dumper=_dumper(), sort_keys=False, allow_unicode=True)
    return written.removesuffix("...\n")


class _Builder:
    """Makes a tree of YAML nodes; not thread-safe."""

    __slots__ = ("around", "loader", "size", "tree")

    def __init__(self, loader: Any) -> None:
        self.loader = loader
        self.tree = Tree(None)
        self.size = _Size()
        self.around: set[int] = set()

    def value(self, node: Any, path: tuple[object, ...], line: int) -> Any:
        self.tree.lines[pointer(*path)] = line
        self.size.add(len(path), line, node.value)
        if node.id == "scalar":
            return self._scalar(node)
        if node.tag != _PLAIN[node.id]:
            return Unknown(node.tag)
        if id(node) in self.around:
            raise Unreadable("an alias stands inside of what it means", line)
        self.around.add(id(node))
        if node.id == "sequence":
            made: Any = [
                self.value(each, (*path, place), each.start_mark.line + 1)
                for place, each in enumerate(node.value)
            ]
        else:
            made = self._mapping(node, path)
        self.around.discard(id(node))
        return made

    def _mapping(self, node: Any, path: tuple[object, ...]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        own: set[str] = set()
        for key, inner in node.value:
            if key.tag == f"{_TAG}merge":
                found |= self._merged(inner, path) | {name: found[name] for name in own}
        for key, inner in node.value:
            line = key.start_mark.line + 1
            if key.id != "scalar":
                raise Unreadable("a key is no text", line)
            if key.tag == f"{_TAG}merge":
                continue
            name, inside = key.value, (*path, key.value)
            if name in own:
                self.tree.twice[pointer(*inside)] = line
            own.add(name)
            found[name] = self.value(inner, inside, line)
        return found

    def _merged(self, node: Any, path: tuple[object, ...]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for each in reversed(node.value if node.id == "sequence" else [node]):
            line = each.start_mark.line + 1
            made = self.value(each, path, line)
            if not isinstance(made, dict):
                raise Unreadable("what is merged is no mapping", line)
            found |= made
        return found

    def _scalar(self, node: Any) -> Any:
        if node.tag in _MADE:
            try:
                return self.loader.construct_object(node)
            except ValueError:  # as an integer of 5,000 digits
                return node.value
        if node.tag in _KEPT:
            return _marked(node.value)
        return Unknown(f"{node.tag} {node.value}")


class _Copy:
    """Copies plain values within the limits; not thread-safe."""

    __slots__ = ("size",)

    def __init__(self) -> None:
        self.size = _Size()

    def of(self, value: Any, depth: int) -> Any:
        self.size.add(depth, None, value)
        if isinstance(value, dict):
            return {str(key): self.of(each, depth + 1) for key, each in value.items()}
        if isinstance(value, list | tuple):
            return [self.of(each, depth + 1) for each in value]
        if value is None or isinstance(value, bool | int | float | Unknown):
            return value
        return _marked(value) if isinstance(value, str) else Unknown(shown(value))


class _Size:
    """Counts what a document holds, those behind an alias each time; not thread-safe."""

    __slots__ = ("characters", "nodes")

    def __init__(self) -> None:
        self.nodes = self.characters = 0

    def add(self, depth: int, line: int | None, value: object) -> None:
        self.nodes += 1
        if isinstance(value, str):
            self.characters += len(value)
        if self.nodes > MOST_NODES or depth > MOST_DEPTH or self.characters > MOST_BYTES:
            raise _too_large(line)


def _too_large(line: int | None) -> Unreadable:
    return Unreadable(
        f"larger than {MOST_NODES:,} values, {MOST_DEPTH} deep, of {MOST_BYTES:,} characters", line
    )


def _marked(text: str) -> str:
    """Tell a templated value; a text of many lines is no value but a program or a config."""
    if "\n" in text or _TEMPLATED.search(text) is None:
        return text
    return Unknown(text.replace("\ue000", "{{…}}"))


def _measure(yaml: Any, text: str) -> None:
    """Refuse what is too large or too deep before a tree is made of it."""
    nodes = depth = aliases = 0
    for event in yaml.parse(text, _loader()):
        nodes += isinstance(event, yaml.NodeEvent)
        aliases += isinstance(event, yaml.AliasEvent)
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        line = event.start_mark.line + 1
        if nodes > 2 * MOST_NODES or depth > MOST_DEPTH:  # the keys are nodes too
            raise _too_large(line)
        if aliases > MOST_ALIASES:
            raise Unreadable(f"more than {MOST_ALIASES} aliases", line)


def _positions(text: str) -> tuple[dict[str, int], dict[str, int]]:
    """Give the line of every value of a JSON text, and the keys that are given twice."""
    lines: dict[str, int] = {}
    twice: dict[str, int] = {}
    path: list[str | int] = []
    line, at, key = 1, 0, False
    size = _Size()
    for token in _TOKEN.finditer(text):
        line, at = line + text.count("\n", at, token.start()), token.start()
        word = token[0]
        if word in {"}", "]"}:
            if path:
                path.pop()
            key = False
        elif word == ",":
            if path and isinstance(path[-1], int):
                path[-1] += 1
            key = bool(path) and isinstance(path[-1], str)
        elif word == ":":
            key = False
        elif key:
            path[-1] = _unquoted(word)
            if pointer(*path) in lines:
                twice[pointer(*path)] = line
            lines[pointer(*path)] = line
        else:
            size.add(len(path), line, word)
            lines.setdefault(pointer(*path), line)
            if word in {"{", "["}:
                path.append("" if word == "{" else 0)
                key = word == "{"
    return lines, twice


def _unquoted(word: str) -> str:
    try:
        return str(json.loads(word))
    except ValueError:
        return word


@cache
def _loader() -> Any:
    yaml = _yaml()
    return getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@cache
def _dumper() -> Any:
    class Dumper(_yaml().SafeDumper):  # type: ignore[misc]  # its module comes late
        def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
            return True

        def increase_indent(self, flow: bool = False, indentless: bool = False) -> Any:  # noqa: ARG002, FBT001, FBT002
            return super().increase_indent(flow, False)  # noqa: FBT003

    def text(dumper: Any, data: str) -> Any:
        style = "|" if "\n" in data else None
        return dumper.represent_scalar(f"{_TAG}str", str(data), style=style)

    Dumper.add_representer(Unknown, text)
    Dumper.add_representer(str, text)
    return Dumper


def _yaml() -> Any:
    try:
        import yaml  # noqa: PLC0415 -- an extra
    except ImportError as error:
        message = "YAML needs PyYAML, the extra `yaml`; JSON needs nothing"
        raise MissingDependencyError(message) from error
    return yaml
