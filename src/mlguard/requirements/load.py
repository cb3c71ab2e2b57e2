"""Reading a file: YAML, TOML or JSON into plain values, and the line of each."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path as File
from typing import TYPE_CHECKING, Any

from mlguard.arguments import refusal
from mlguard.errors import ConfigurationError, MissingDependencyError

if TYPE_CHECKING:
    import os

    from mlguard.requirements.mistakes import Lines, Path

MOST_BYTES = 1 << 20
MOST_NODES = 20_000
"""Values of a document, those behind an alias counted each time that it stands."""
MOST_DEPTH = 32
MOST_ALIASES = 100
_NUMBERS = {"tag:yaml.org,2002:int", "tag:yaml.org,2002:float"}
_SURPRISING = re.compile(r"[-+]?(0[0-9_]|[0-9_]+:)")
"""To YAML 1.1, 010 is 8 and 1:30 is 90."""


def read(path: str | os.PathLike[str]) -> tuple[Any, Lines]:
    """Read a file by the ending of its name; the lines are known of YAML only.

    Raises:
        ConfigurationError: It is of another kind, too large, or does not read.
        MissingDependencyError: It is YAML, and PyYAML is not installed.
        OSError: It cannot be opened.
    """
    file = File(path)
    reader = _READERS.get(file.suffix.lower())
    if reader is None:
        raise refusal("path", str(file), f"a file that ends in {', '.join(_READERS)}")
    with file.open("rb") as opened:
        data = opened.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise refusal("path", str(file), f"at most {MOST_BYTES:,} bytes long")
    try:
        return reader(data.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        words = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise ConfigurationError(f"{file}: {words}") from None


def _json(text: str) -> tuple[Any, Lines]:
    return json.loads(text, object_pairs_hook=_once), {}


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ConfigurationError(f"{twice} = given twice: must be given once")
    return found


def _toml(text: str) -> tuple[Any, Lines]:
    return tomllib.loads(text), {}


def _yaml(text: str) -> tuple[Any, Lines]:
    try:
        import yaml  # noqa: PLC0415 -- an extra
    except ImportError as error:
        message = "YAML needs PyYAML, the extra `yaml`; TOML and JSON need nothing"
        raise MissingDependencyError(message) from error
    try:
        events = (isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, yaml.SafeLoader))
        if sum(events) > MOST_ALIASES:
            raise ConfigurationError(f"aliases: must be at most {MOST_ALIASES}")
        loader = yaml.SafeLoader(text)
        try:
            node = loader.get_single_node()
            tree = _Tree(loader)
            return (None if node is None else tree.value(node, ())), tree.lines
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = "" if mark is None else f"line {mark.line + 1}: "
        raise ConfigurationError(where + str(getattr(error, "problem", None) or error)) from None


class _Tree:
    """Values of YAML nodes, and the line of each; not thread-safe. It makes plain values only."""

    __slots__ = ("lines", "loader", "nodes")

    def __init__(self, loader: Any) -> None:
        self.loader = loader
        self.lines: dict[Path, int] = {}
        self.nodes = 0

    def value(self, node: Any, path: Path) -> Any:
        self.nodes += 1
        line = node.start_mark.line + 1
        if self.nodes > MOST_NODES or len(path) > MOST_DEPTH:
            allowed = f"at most {MOST_NODES:,} values, {MOST_DEPTH} deep"
            raise ConfigurationError(f"line {line}: the document: must be {allowed}")
        self.lines.setdefault(path, line)
        if node.id == "scalar":
            if node.tag in _NUMBERS and _SURPRISING.match(node.value):
                allowed = "written without a leading 0 and without ':', or as text in quotes"
                raise ConfigurationError(f"line {line}: {node.value}: must be {allowed}")
            return self.loader.construct_object(node)
        if node.tag not in {"tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"}:
            raise ConfigurationError(f"line {line}: tag {node.tag!r}: must be left out")
        if node.id == "sequence":
            return [self.value(each, (*path, place)) for place, each in enumerate(node.value)]
        return self._mapping(node, path)

    def _mapping(self, node: Any, path: Path) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, inner in node.value:
            line = key.start_mark.line + 1
            if key.id != "scalar" or key.value == "<<":
                raise ConfigurationError(f"line {line}: a key: must be plain text")
            if key.value in found:
                raise ConfigurationError(f"line {line}: {key.value} = given twice: must be once")
            inside = (*path, key.value)
            self.lines[inside] = line
            found[key.value] = self.value(inner, inside)
        return found


_READERS = {".yaml": _yaml, ".yml": _yaml, ".toml": _toml, ".json": _json}
