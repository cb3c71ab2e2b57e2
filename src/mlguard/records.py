"""Values as plain JSON, with a kind and a schema number."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import UTC, datetime
from enum import Enum
from functools import cache
from types import MappingProxyType
from typing import Any, ClassVar, Self

from mlguard.arguments import NO_ITEMS, refusal


class Record:
    """A value that is written as plain JSON with its kind and a schema number."""

    __slots__ = ()
    __dataclass_fields__: ClassVar[dict[str, Any]]
    schema: ClassVar[int] = 1

    def to_dict(self) -> dict[str, Any]:
        """Give plain JSON: enums by name, NaN as null, infinities as "inf" and "-inf"."""
        record: dict[str, Any] = {"kind": type(self).__name__.lower(), "schema": self.schema}
        for each in fields(self):
            record[each.name] = plain(getattr(self, each.name), each.name)
        return record

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Self:
        """Read what `to_dict` wrote; raises ConfigurationError on anything else."""
        content = cls._fields(record)
        try:
            return cls(**content)
        except TypeError as error:
            raise refusal("record", sorted(content), f"whole: {error}") from error

    @classmethod
    def _fields(cls, record: Mapping[str, Any]) -> dict[str, Any]:
        kind = cls.__name__.lower()
        if not isinstance(record, Mapping) or record.get("kind", kind) != kind:
            raise refusal("record", record, f"a mapping of kind {kind!r}")
        schema = record.get("schema")
        if schema != cls.schema:
            newer = isinstance(schema, int) and schema > cls.schema
            hint = f": a newer mlguard wrote this {kind}" if newer else ""
            raise refusal("schema", schema, f"{cls.schema}{hint}")
        content = {key: value for key, value in record.items() if key not in {"kind", "schema"}}
        known = {each.name for each in fields(cls)}
        if unknown := sorted(map(str, content.keys() - known)):
            raise refusal("record", unknown, f"the fields of a {kind}: {sorted(known)}")
        return content

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, type(self)):
            return NotImplemented
        return self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash((type(self), getattr(self, fields(self)[0].name)))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self).from_dict, (self.to_dict(),)


def plain(value: object, where: str) -> Any:  # noqa: PLR0911 -- JSON has no better type
    """Turn a value into plain JSON, or raise naming where it stood."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, str | int):  # NumPy's own kind of str is made one of Python's
        return str.__str__(value) if isinstance(value, str) else int(value)
    if isinstance(value, float):
        if math.isnan(value):
            return None
        return float(value) if math.isfinite(value) else ("inf" if value > 0 else "-inf")
    if isinstance(value, Record):
        return value.to_dict()
    if isinstance(value, Mapping):
        return {str(key): plain(each, f"{where}[{key!r}]") for key, each in value.items()}
    if hasattr(value, "tolist"):
        return plain(value.tolist(), where)
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        return [plain(each, where) for each in value]
    raise refusal(where, value, "plain JSON: a string, number, boolean, None, list or mapping")


def frozen_items(items: Mapping[str, Any], parameter: str) -> Mapping[str, Any]:
    """Turn a mapping into plain JSON that cannot be changed, however deep."""
    if not isinstance(items, Mapping):
        raise refusal(parameter, items, "a mapping of plain JSON")
    sealed: Mapping[str, Any] = _sealed(plain(items, parameter)) if items else NO_ITEMS
    return sealed


def _sealed(value: Any) -> Any:
    if isinstance(value, dict):
        return MappingProxyType({key: _sealed(each) for key, each in value.items()})
    return tuple(map(_sealed, value)) if isinstance(value, list) else value


def parsed(text: str, kind: str) -> dict[str, Any]:
    """Read a JSON text that must hold a record of this kind, in schema 1."""
    try:
        record = json.loads(text)
        found = record.get("kind"), record.get("schema")
    except (TypeError, ValueError, AttributeError, RecursionError) as error:
        raise refusal("text", text, f"JSON of the kind {kind}: {error}") from None
    for name, given, expected in zip(("kind", "schema"), found, (kind, 1), strict=True):
        if given != expected:
            raise refusal(name, given, repr(expected))
    return dict(record)


def inner(record: Mapping[str, Any], name: str) -> Sequence[Any]:
    """Give the records that stand inside a record under a name."""
    items = record.get(name, ())
    if isinstance(items, str) or not isinstance(items, Sequence):
        raise refusal(name, items, "a list of records")
    return items


@cache
def library_version() -> str:
    """Give the version of the library, for a record."""
    from importlib.metadata import version  # noqa: PLC0415 -- 10 ms that few need

    return version("mlguard-primitives")


def iso(at: float) -> str:
    """Write Unix seconds as ISO 8601 in UTC."""
    return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")
