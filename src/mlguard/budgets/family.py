"""Meters that belong together: judged, merged and written as one."""

from __future__ import annotations

import json
import threading
from abc import abstractmethod
from collections.abc import Callable, Mapping
from copy import copy
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from mlguard.arguments import name_of, refusal
from mlguard.errors import ConfigurationError
from mlguard.locks import Locked
from mlguard.records import parsed
from mlguard.values import Severity, Verdict

if TYPE_CHECKING:
    from mlguard.budgets.counted import Sources
    from mlguard.protocols import Clock

M = TypeVar("M")
Read = Callable[[str], Any]
"""Reads a meter from its JSON."""


class Family(Locked, Generic[M]):
    """Meters by name. Thread-safe if they are; per process and mergeable, member by member.

    Attributes:
        name: Of the verdict.
        sources: Who took part, where this was gathered from many processes.
    """

    __slots__ = ("_parts", "name", "sources")

    def __init__(self, name: str, parts: Mapping[str, M]) -> None:
        super().__init__()
        self.name = name_of("name", name)
        self.sources: Sources | None = None
        self._parts = dict(parts)

    def _make_lock(self) -> Any:
        return threading.RLock()

    @abstractmethod
    def _settings(self) -> dict[str, Any]:
        """Give what must agree for two families to add up, as plain JSON."""

    @abstractmethod
    def _with(self, parts: Mapping[str, M]) -> Self:
        """Make a family of the same settings with other members."""

    @classmethod
    @abstractmethod
    def _read(cls, settings: Mapping[str, Any], name: str, parts: Mapping[str, M]) -> Self:
        """Make a family from what `_settings` gave and its members."""

    @abstractmethod
    def _judged(self) -> Verdict:
        """Give the verdict over the members."""

    def _members(self) -> dict[str, M]:
        with self._lock:
            return dict(self._parts)

    def __call__(self) -> Verdict:
        if self.sources is not None and not self.sources.enough:
            return Verdict(self.name, Severity.UNKNOWN, str(self.sources))
        return self._judged()

    def retired(self) -> Self:
        """Give what stays of a source that fell silent."""
        return self._with({key: part.retired() for key, part in self._members().items()})  # type: ignore[attr-defined]

    def __add__(self, other: Self) -> Self:
        if type(other) is not type(self):
            return NotImplemented
        if self._settings() != other._settings():
            raise ConfigurationError(
                f"families of different settings do not add: {self._settings()} and "
                f"{other._settings()}"
            )
        mine: dict[str, Any] = self._members()
        theirs: dict[str, Any] = other._members()
        parts = {
            key: mine[key] + theirs[key] if key in mine and key in theirs else copy(part)
            for key, part in {**mine, **theirs}.items()
        }
        return self._with(parts)

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self.to_json() == other.to_json()

    __hash__ = None  # type: ignore[assignment]

    def to_json(self) -> str:
        """Write settings and members as JSON."""
        head = {"kind": type(self).__name__.lower(), "schema": 1, "name": self.name}
        text = json.dumps({**head, "settings": self._settings()}, separators=(",", ":"))
        members = sorted(self._members().items())
        parts = ",".join(f"{json.dumps(key)}:{part.to_json()}" for key, part in members)  # type: ignore[attr-defined]
        return f'{text[:-1]},"parts":{{{parts}}}}}'

    @classmethod
    def from_json(cls, text: str, *, clock: Clock | None = None, read: Read | None = None) -> Self:
        """Read what `to_json` wrote, as of now.

        Args:
            text: The JSON.
            clock: Of Unix seconds; `mlguard.clocks.unix_clock()` when not given.
            read: Reads a member from its JSON; budgets of mlguard are read when not given.

        Raises:
            ConfigurationError: The text is no such family of a known schema.
        """
        record = parsed(text, cls.__name__.lower())
        reader = read or (lambda part: read_budget(part, clock))
        try:
            parts = {key: reader(json.dumps(part)) for key, part in record["parts"].items()}
            return cls._read(record["settings"], record["name"], parts)
        except (KeyError, TypeError, AttributeError) as error:
            raise refusal("text", text, f"the JSON of a {record['kind']}: {error!r}") from None


def read_budget(text: str, clock: Clock | None) -> Any:
    """Read a budget of any kind from its JSON."""
    from mlguard.budgets import errors, latency, streams, unit_cost  # noqa: PLC0415 -- a cycle

    kinds: dict[str, Any] = {
        "errorbudget": errors.ErrorBudget,
        "latencybudget": latency.LatencyBudget,
        "streamlatency": streams.StreamLatency,
        "unitcost": unit_cost.UnitCost,
    }
    kind = json.loads(text)["kind"]
    if kind not in kinds:
        raise refusal("kind", kind, f"one of {', '.join(kinds)}")
    return kinds[kind].from_json(text, clock=clock)
