"""What is wrong with a document: every mistake at once, each in one line."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from mlguard.arguments import refusal, shown
from mlguard.errors import ConfigurationError

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError

Path: TypeAlias = tuple[str | int, ...]
Lines: TypeAlias = Mapping[Path, int]

_ALLOWED = {
    "bool_type": "true or false",
    "dict_type": "a mapping",
    "float_type": "a number",
    "int_type": "a whole number",
    "string_type": "text",
    "string_too_short": "text that is not empty",
    "string_pattern_mismatch": "text that is not blank, on one line, without control characters",
    "string_unicode": "text that can be written in UTF-8",
    "tuple_type": "a list",
    "too_short": "a list that is not empty",
    "invalid_key": "given by a name that is text",
    "finite_number": "a finite number",
}
_WORD = re.compile(r"\w[\w .%-]{0,60}")
"""A key that is written as it is; others stand in brackets, as the places in a list do."""
_PERCENT = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?%")
_KEYS: dict[str | int, str] = {"p999": "p99.9", "responses": "respond", "tz": "timezone"}
"""What a document calls the parameter of a primitive, where it is not the same word."""


@dataclass(frozen=True, slots=True)
class Mistake:
    """Something in a document that cannot be used. Immutable.

    Attributes:
        path: Where, as in "respond[0].when".
        says: The path, the value, and what is allowed.
        source: Name of the file, if it is one.
        line: In the file, where the format tells.
    """

    path: str
    says: str
    source: str = ""
    line: int | None = None

    def __str__(self) -> str:
        if self.line is None:
            return f"{self.source}: {self.says}" if self.source else self.says
        return f"{self.source or 'line '}{':' * bool(self.source)}{self.line}: {self.says}"


class InvalidRequirements(ConfigurationError):  # noqa: N818 -- reads as what it is
    """A requirements document does not read, or has mistakes; the message has a line for each.

    Attributes:
        mistakes: Each `Mistake`, in the order of the document.
    """

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        self.mistakes = tuple(mistakes)
        super().__init__("\n".join(map(str, self.mistakes)))

    def __reduce__(self) -> tuple[Any, ...]:
        return InvalidRequirements, (self.mistakes,)


def spelled(path: Path) -> str:
    """Spell a path as people write it.

    Examples:
        >>> spelled(("respond", 0, "when")), spelled(("approvals", "a = b"))
        ('respond[0].when', "approvals['a = b']")
    """
    words = (
        f".{each}" if isinstance(each, str) and _WORD.fullmatch(each) else f"[{shown(each)}]"
        for each in path
    )
    return "".join(words).removeprefix(".") or "the document"


def mistake(path: Path, value: object, allowed: str, line: int | None = None) -> Mistake:
    """Make a mistake from its parts."""
    return Mistake(spelled(path), str(refusal(spelled(path), value, allowed)), line=line)


def among(name: object, known: Sequence[str]) -> str:
    """Say which names are known, and which one was meant.

    Examples:
        >>> among("p98", ["p50", "p99"])
        "one of p50, p99 (did you mean 'p99'?)"
    """
    spellings = {each.lower(): each for each in known}
    near = difflib.get_close_matches(str(name).lower(), spellings, n=1, cutoff=0.5)
    meant = f" (did you mean {spellings[near[0]]!r}?)" if near else ""
    return f"one of {', '.join(known)}{meant}"


def mistakes_of(
    error: ValidationError, model: type[BaseModel], document: object
) -> list[tuple[Path, str]]:
    """Give the path of each mistake that pydantic found, and what is said of it."""
    return [_said(each, model, document) for each in error.errors(include_url=False)]


def _said(error: Any, model: type[BaseModel], document: object) -> tuple[Path, str]:
    path, kind, given = _place(error["loc"], document), error["type"], error["input"]
    if kind == "extra_forbidden":
        known = _keys(model, path[:-1])
        return path, str(refusal(spelled(path), given, f"under {among(path[-1], known)}"))
    if kind == "missing":
        only = _node(model, path).get("const")
        return path, str(refusal(spelled(path), None, "given" + f": {only}" * (only is not None)))
    raised = error.get("ctx", {}).get("error")
    if isinstance(raised, ConfigurationError):  # of a primitive, which names its parameter
        name, _, rest = str(raised).partition(" = ")
        steps = [int(each) if each.isdigit() else each for each in re.findall(r"[^.\[\]]+", name)]
        steps[0] = _KEYS.get(steps[0], steps[0])
        path = (*path, *steps)
        value, _, allowed = rest.partition(": must be ")
        written = _at(given, steps)
        if isinstance(written, str | int | float):  # "50 %", where the primitive was given 0.5
            value = shown(written)
        return path, f"{spelled(path)} = {value}: must be {allowed}"
    if kind == "literal_error":
        known = [
            word.strip("'") for word in error["ctx"]["expected"].replace(" or ", ", ").split(", ")
        ]
        allowed = among(given, known)
    elif kind == "model_type":
        allowed = f"a mapping with {', '.join(_keys(model, path))}"
    elif kind == "float_type" and (found := _PERCENT.fullmatch(str(given))):
        allowed = f"a number (did you mean {float(found[1]) / 100:g}?)"
    elif raised is not None:
        allowed = str(raised)
    else:
        allowed = _ALLOWED.get(kind) or error["msg"].removeprefix("Input should be ")
    return path, str(refusal(spelled(path), given, allowed))


def _place(loc: Path, document: object) -> Path:
    """Leave out of a place what pydantic adds to it: the branch of a union, or "[key]"."""
    path: list[str | int] = []
    for step in loc:
        inside = isinstance(document, Mapping) or (
            isinstance(document, Sequence) and isinstance(step, int)
        )
        if not inside or isinstance(document, str) or step == "[key]":
            break
        path.append(step)
        document = _at(document, [step])
    return tuple(path)


def _at(document: object, steps: Sequence[str | int]) -> object:
    """Give what stands at a place of a document; None where nothing does."""
    for step in steps:
        try:
            document = document[step]  # type: ignore[index]
        except (KeyError, IndexError, TypeError):
            return None
    return document


def _keys(model: Any, path: Path) -> list[str]:
    """Give the keys that are known at a path."""
    return list(_node(model, path).get("properties", {}))


def _node(model: Any, path: Path) -> Any:
    """Give what the schema says of a path."""
    schema = model.model_json_schema()
    node = schema
    for step in path:
        node = _resolved(schema, node)
        inner = node.get("properties", {}).get(step) if isinstance(step, str) else node.get("items")
        others = [node.get("additionalProperties"), *node.get("patternProperties", {}).values()]
        node = inner or next((each for each in others if each), {})
    return _resolved(schema, node)


def _resolved(schema: Any, node: Any) -> Any:
    """Follow a schema's references to where its keys stand."""
    for each in (node, *node.get("anyOf", ()), *node.get("allOf", ())):
        if "$ref" in each:
            return schema["$defs"][each["$ref"].rpartition("/")[2]]
    return node
