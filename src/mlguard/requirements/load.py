"""Reading a file: YAML, TOML or JSON into plain values, and the line of each."""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import replace
from pathlib import Path as File
from typing import TYPE_CHECKING, Any, NoReturn

from mlguard.errors import MissingDependencyError
from mlguard.requirements.mistakes import InvalidRequirements, Mistake, mistake

if TYPE_CHECKING:
    import os

    from mlguard.requirements.mistakes import Lines, Path

MOST_BYTES = 1 << 20
MOST_NODES = 20_000
"""Values of a document, those behind an alias counted each time that it stands."""
MOST_DEPTH = 32
MOST_ALIASES = 100
_SIZE = f"at most {MOST_NODES:,} values, {MOST_DEPTH} deep"
_TAG = "tag:yaml.org,2002:"
_TAGLESS = "a plain value, without a tag"
_NUMBERS = {f"{_TAG}int", f"{_TAG}float"}
_SURPRISING = re.compile(r"[-+]?(0[0-9_]|[0-9_]+:)")
"""To YAML 1.1, 010 is 8 and 1:30 is 90."""


def read(path: str | os.PathLike[str]) -> tuple[Any, Lines]:
    """Read a file by the ending of its name; the lines are known of YAML only.

    Raises:
        InvalidRequirements: It is of another kind, too large, or does not read.
        MissingDependencyError: It is YAML, and PyYAML is not installed.
        OSError: It cannot be opened.
    """
    file = File(path)
    try:
        reader = _READERS.get(file.suffix.lower())
        if reader is None:
            _wrong(file.name, f"a file that ends in {', '.join(_READERS)}")
        with file.open("rb") as opened:
            data = opened.read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            _wrong(data[:80].decode(errors="replace"), f"at most {MOST_BYTES:,} bytes long")
        return reader(_decoded(data))
    except InvalidRequirements as error:
        raise InvalidRequirements(
            [replace(each, source=file.name) for each in error.mistakes]
        ) from None


def of_json(text: str | bytes) -> tuple[Any, Lines]:
    """Read a JSON text; its lines are not known.

    Raises:
        InvalidRequirements: It does not read.
    """
    if not isinstance(text, str):
        text = _decoded(text)
    try:
        document = json.loads(text, object_pairs_hook=_once)
    except json.JSONDecodeError as error:
        _wrong(_line(text, error.lineno), f"JSON: {error.msg}", error.lineno)
    except RecursionError:
        _wrong(text, _SIZE)
    except ValueError as error:  # a number of more digits than Python takes
        _wrong(text, f"JSON: {error}")
    return _measured(document), {}


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        values = [value for key, value in pairs if key == twice]
        _wrong(values[1], "given once", path=(twice,))
    return found


def _toml(text: str) -> tuple[Any, Lines]:
    try:
        return _measured(tomllib.loads(text)), {}
    except tomllib.TOMLDecodeError as error:
        says, _, place = str(error).partition(" (at ")
        number = re.search(r"line (\d+)", place)
        line = int(number[1]) if number else max(len(text.splitlines()), 1)
        _wrong(_line(text, line), f"TOML: {says}", line)
    except RecursionError:
        _wrong(text, _SIZE)
    except ValueError as error:
        _wrong(text, f"TOML: {error}")


def _yaml(text: str) -> tuple[Any, Lines]:
    try:
        import yaml  # noqa: PLC0415 -- an extra
    except ImportError as error:
        message = "YAML needs PyYAML, the extra `yaml`; TOML and JSON need nothing"
        raise MissingDependencyError(message) from error
    try:
        _look(yaml, text)
        loader = yaml.SafeLoader(text)
        try:
            node = loader.get_single_node()
            tree = _Tree(loader)
            document = None if node is None else tree.value(node, ())
        finally:
            loader.dispose()
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        _wrong(_line(text, line), f"YAML: {error.reason}", line)
    except yaml.MarkedYAMLError as error:
        marks = [each for each in (error.problem_mark, error.context_mark) if each is not None]
        lines = [each.line + 1 for each in marks] or [1]
        line = next((each for each in lines if _line(text, each)), lines[0])  # not the end of all
        says = ", ".join(each for each in (error.context, error.problem) if each)
        if "'\\t'" in says:
            says = "indented with blanks, not with tabs"
        _wrong(_line(text, line), f"YAML: {says}", line)
    if tree.mistakes:
        raise InvalidRequirements(tree.mistakes)
    return document, tree.lines


def _look(yaml: Any, text: str) -> None:
    """Stop at what is too large or too deep before it is built, which takes long."""
    nodes = aliases = depth = 0
    for event in yaml.parse(text, yaml.SafeLoader):
        nodes += isinstance(event, yaml.NodeEvent)
        aliases += isinstance(event, yaml.AliasEvent)
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        line = event.start_mark.line + 1
        if depth > MOST_DEPTH or nodes > 2 * MOST_NODES:  # keys are nodes too
            _wrong(_line(text, line), _SIZE, line)
        if aliases > MOST_ALIASES:
            _wrong(_line(text, line), f"with at most {MOST_ALIASES} aliases", line)


class _Tree:
    """Values of YAML nodes, and the line of each; not thread-safe. It makes plain values only."""

    __slots__ = ("lines", "loader", "mistakes", "nodes")

    def __init__(self, loader: Any) -> None:
        self.loader = loader
        self.lines: dict[Path, int] = {}
        self.mistakes: list[Mistake] = []
        self.nodes = 0

    def value(self, node: Any, path: Path) -> Any:
        self.nodes += 1
        line = node.start_mark.line + 1
        if self.nodes > MOST_NODES or len(path) > MOST_DEPTH:
            _wrong(node.value, _SIZE, line)
        self.lines.setdefault(path, line)
        if node.id == "scalar":
            return self._scalar(node, path, line)
        if node.tag not in {f"{_TAG}map", f"{_TAG}seq"}:
            return self._refuse(path, _short(node.tag), _TAGLESS, line)
        if node.id == "sequence":
            return [self.value(each, (*path, place)) for place, each in enumerate(node.value)]
        return self._mapping(node, path)

    def _scalar(self, node: Any, path: Path, line: int) -> Any:
        if node.tag in _NUMBERS and _SURPRISING.match(node.value):
            allowed = "written without a leading 0 and without ':', or as text in quotes"
            return self._refuse(path, node.value, allowed, line)
        if node.tag not in self.loader.yaml_constructors:
            return self._refuse(path, _short(node.tag), _TAGLESS, line)
        try:
            return self.loader.construct_object(node)
        except ValueError as error:  # such as of a date that there is not
            return self._refuse(path, node.value, f"text in quotes, or right: {error}", line)

    def _mapping(self, node: Any, path: Path) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, inner in node.value:
            line = key.start_mark.line + 1
            if key.id != "scalar" or key.value == "<<":
                given = key.value if key.id == "scalar" else f"a {key.id} as a key"
                self._refuse(
                    path, given, "a mapping whose keys are plain text; << is not read", line
                )
                continue
            inside = (*path, key.value)
            if key.value in found:
                first = self.lines[inside]
                given = inner.value if inner.id == "scalar" else f"a {inner.id}"
                self._refuse(inside, given, f"given once: it is in line {first} too", line)
                continue
            self.lines[inside] = line
            found[key.value] = self.value(inner, inside)
        return found

    def _refuse(self, path: Path, value: object, allowed: str, line: int) -> None:
        self.mistakes.append(mistake(path, value, allowed, line))


def _short(tag: str) -> str:
    return tag.replace(_TAG, "!!")


def _decoded(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        _wrong(data[error.start : error.start + 1], "UTF-8", line)


def _measured(document: Any) -> Any:
    """Give a document back that is not too deep."""
    level, depth = [document], 0
    while level:
        depth += 1
        if depth > MOST_DEPTH + 1:
            _wrong(document, _SIZE)
        level = [
            inner
            for each in level
            if isinstance(each, dict | list)
            for inner in (each.values() if isinstance(each, dict) else each)
        ]
    return document


def _line(text: str, number: int) -> str:
    lines = text.splitlines()
    return lines[number - 1].strip() if 0 < number <= len(lines) else ""


def _wrong(value: object, allowed: str, line: int | None = None, *, path: Path = ()) -> NoReturn:
    raise InvalidRequirements([mistake(path, value, allowed, line)])


_READERS = {".yaml": _yaml, ".yml": _yaml, ".toml": _toml, ".json": of_json}
