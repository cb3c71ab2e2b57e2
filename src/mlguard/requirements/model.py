"""The requirements document: what a service must hold, written down once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path as File
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, TypeVar

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PrivateAttr,
    ValidationError,
    WrapSerializer,
)

from mlguard.arguments import refusal
from mlguard.errors import ConfigurationError
from mlguard.governance.digests import digest_json
from mlguard.policies.ladder import ResponsePolicy
from mlguard.requirements import flat
from mlguard.requirements.load import of_json, read
from mlguard.requirements.mistakes import (
    InvalidRequirements,
    Lines,
    Mistake,
    Path,
    among,
    mistakes_of,
    spelled,
)
from mlguard.requirements.rollouts import Rollout, Votes
from mlguard.requirements.rules import ESTIMATED, Rule
from mlguard.requirements.sections import (
    Cost,
    Drift,
    Errors,
    Latency,
    Name,
    Owner,
    Performance,
    Section,
)
from mlguard.requirements.words import explained

if TYPE_CHECKING:
    import os

    from mlguard.protocols import Clock


VERSION = 1
"""The newest form. A document of an older one would be read as `flat` reads the short form."""


def _known(version: object) -> object:
    """Refuse other versions: what a newer document means by the same words is not known."""
    if type(version) is int and version > VERSION:
        raise ValueError(
            f"at most {VERSION}, the newest form that this mlguard reads; a newer one may read it"
        )
    if type(version) is not int or version != VERSION:
        raise ValueError(
            f"{VERSION}, a whole number without a point or quotes: there is no other version yet"
        )
    return version


V = TypeVar("V")


class _Sealed(Mapping[str, V]):
    """A mapping that cannot be changed; unlike Python's own it can be pickled. Immutable."""

    __slots__ = ("_items",)

    def __init__(self, items: Mapping[str, V]) -> None:
        self._items = dict(items)

    def __getitem__(self, key: str) -> V:
        return self._items[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __repr__(self) -> str:
        return repr(self._items)


class Requirements(Section):
    """What a service must hold in production, and what follows if it does not. Immutable.

    A pydantic model. Numbers have units: "50 ms", "99.9 %", "500 USD"; a key that is not known is
    a mistake, and every mistake is told at once. The document names no file. The short form of a
    deployment's config (`rollback_on_error`, `drift_alert_threshold`, `cost_alert_per_day`) is
    read as it stands; `explain()` says how.

    Two documents that mean the same are equal and have one digest: a default that is written out,
    other units for the same number, or another order where none is meant make no difference.

    Raises:
        InvalidRequirements: However it is made; it has a line for each mistake.

    Examples:
        >>> wanted = Requirements.model_validate(
        ...     {"version": 1, "service": "fraud", "latency": {"p99": "50 ms"}}
        ... )
        >>> wanted.latency.limits
        {0.99: 0.05}
        >>> print(wanted.explain())
        fraud
        latency: p99 at most 50 ms over 5 min
        >>> Requirements.model_validate({"version": 1, "service": "a", "latency": {"p98": "50"}})
        Traceback (most recent call last):
        mlguard.requirements.mistakes.InvalidRequirements: latency.p98 = '50': must be ...
    """

    version: Annotated[Literal[1], BeforeValidator(_known)] = Field(
        description="Of the form of this document."
    )
    service: Name = Field(description="Name of the service.", examples=["fraud-scorer"])
    owner: Owner | None = Field(None, description="Who answers for it.")
    latency: Latency | None = Field(None, description="How fast answers must be.")
    errors: Errors | None = Field(None, description="How many requests may fail.")
    cost: Cost | None = Field(None, description="What inference may cost.")
    drift: Drift | None = Field(None, description="How far the data may move.")
    performance: Performance | None = Field(None, description="How good the model must be.")
    respond: tuple[Rule, ...] = Field(
        (), strict=False, description="What is done when: from the mildest to the strictest."
    )
    rollout: Rollout | None = Field(None, description="How a candidate goes out.")
    approvals: Annotated[
        dict[Name, Votes],
        AfterValidator(_Sealed),
        WrapSerializer(lambda votes, write: write(dict(votes))),
    ] = Field(
        default_factory=lambda: _Sealed({}),  # type: ignore[arg-type]
        json_schema_extra={"additionalProperties": False},  # a name that is none
        description="By environment, who must approve a rollout there.",
    )

    _notes: tuple[str, ...] = PrivateAttr(())

    def __init__(self, /, **sections: Any) -> None:
        self._take(sections, "", {})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a document from a file that ends in .yaml, .yml, .toml or .json.

        Raises:
            InvalidRequirements: It does not read, or has mistakes; of YAML each has its line.
            MissingDependencyError: It is YAML, and PyYAML is not installed.
            OSError: It cannot be opened.
        """
        document, lines = read(path)
        return cls._read(document, File(path).name, lines)

    @classmethod
    def model_validate(cls, obj: Any, **settings: Any) -> Self:
        """Read a document from a mapping, as a parser gives it.

        Args:
            obj: The mapping, or a `Requirements`.
            settings: As pydantic's; none is needed.

        Raises:
            InvalidRequirements: It has mistakes.
        """
        return cls._read(obj, "", {}, **settings)

    @classmethod
    def model_validate_json(cls, json_data: str | bytes | bytearray, **settings: Any) -> Self:
        """Read a document from JSON, such as a language model's answer.

        Args:
            json_data: The text.
            settings: As pydantic's; none is needed.

        Raises:
            InvalidRequirements: It does not read, or has mistakes.
        """
        document, lines = of_json(json_data if isinstance(json_data, str) else bytes(json_data))
        return cls._read(document, "", lines, **settings)

    @classmethod
    def _read(cls, given: Any, source: str, lines: Lines, **settings: Any) -> Self:
        if isinstance(given, cls):
            return given
        made = cls.__new__(cls)
        made._take(given, source, lines, **settings)  # noqa: SLF001 -- of its own class
        return made

    def _take(self, given: Any, source: str, lines: Lines, **settings: Any) -> None:
        short = flat.reading(given) if flat.is_flat(given) else None
        document = given if short is None else short.document
        found: list[tuple[Path, str]] = []
        try:
            self.__pydantic_validator__.validate_python(document, self_instance=self, **settings)
        except ValidationError as error:
            found = mistakes_of(error, type(self), document)
        if short is not None:
            found = short.mistakes(given, found)
        if lines:  # in YAML a section, or a limit, that was cut off reads as null
            told = {path for path, _ in found}
            cut = [path for path in _nulls(given) if path not in told]
            found += [
                (path, str(refusal(spelled(path), None, "given, or left out"))) for path in cut
            ]
        if found:
            mistakes = [_mistake(*each, source, lines) for each in found]
            raise InvalidRequirements(sorted(mistakes, key=lambda each: each.line or 0))
        self._notes = () if short is None else short.notes

    @property
    def digest(self) -> str:
        """Stands for what is required: spelling, order and defaults do not count."""
        meant = self.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        for votes in meant.get("approvals", {}).values():
            votes.get("roles", []).sort()  # they are told of as they were written
        return digest_json(meant)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Requirements) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def make(self) -> object:
        """Look at what the sections need of each other."""
        judged = self.judged
        for place, rule in enumerate(self.respond):
            for name in rule.when:
                if name not in judged:
                    allowed = f"a verdict that the document asks for, {among(name, sorted(judged))}"
                    raise refusal(f"respond[{place}].when", name, allowed)
        if self.approvals and self.rollout is None:
            raise refusal("approvals", sorted(self.approvals), "left out where there is no rollout")
        radius, cost = self.rollout and self.rollout.blast_radius, self.cost
        paid = None if cost is None else cost.per_million or cost.cap
        if radius and radius.cost and paid and radius.cost.currency != paid.currency:
            allowed = f"in {paid.currency}, the currency of cost"
            raise refusal("rollout.blast_radius.cost", str(radius.cost), allowed)
        return self.policy()

    @property
    def judged(self) -> set[str]:
        """The names of the verdicts that it asks for."""
        cost = self.cost
        asked = {
            "latency": self.latency,
            "errors": self.errors,
            "cost": cost and cost.cap,
            "unit_cost": cost and cost.per_million,
            "drift": self.drift,
            "performance": self.performance,
            ESTIMATED: self.performance,
        }
        return {name for name, section in asked.items() if section is not None}

    def policy(self, clock: Clock | None = None) -> ResponsePolicy | None:
        """Make the policy of `respond`, if there is one."""
        if not self.respond:
            return None
        actions = [rule.do for rule in self.respond]
        names = _named(self.respond)
        for place, name in enumerate(names):
            if (first := names.index(name)) < place:
                allowed = f"of another action, when or severity than respond[{first}]"
                raise refusal(f"respond[{place}]", name, allowed)
        responses = []
        for place, rule in enumerate(self.respond):
            others = sorted({*actions} - {rule.do})
            for action in rule.unless:
                if action not in others:
                    allowed = "an action of another rule"
                    allowed += f", {among(action, others)}" if others else ""
                    raise refusal(f"respond[{place}].unless", action, allowed)
            held = [name for name, do in zip(names, actions, strict=True) if do in rule.unless]
            responses.append(rule.make(names[place], held))
        try:
            return ResponsePolicy(*responses, clock=clock)
        except ConfigurationError as error:  # rules that wait for each other; it knows no document
            _, _, says = str(error).partition(" = ")
            raise ConfigurationError(f"respond = {says}") from None

    def explain(self) -> str:
        """Say what the document means, in a line for each requirement."""
        return "\n".join([*explained(self), *self._notes])


def _named(rules: Sequence[Rule]) -> list[str]:
    """Name rules by what they do, and as far as that takes it to tell them apart, when."""
    names = [rule.do for rule in rules]
    more = (
        [f" on {' and '.join(rule.when)}" for rule in rules],
        [f" at {rule.severity}" for rule in rules],
    )
    for words in more:
        names = [
            name if names.count(name) == 1 else name + word
            for name, word in zip(names, words, strict=True)
        ]
    return names


def _nulls(value: Any, path: Path = ()) -> Iterator[Path]:
    """Give the places where nothing stands."""
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _nulls(inner, (*path, key))
    elif value is None and path:
        yield path


def _mistake(path: Path, says: str, source: str, lines: Lines) -> Mistake:
    """Give a mistake its line: that of the nearest place around it that has one."""
    place = spelled(path)
    while path not in lines and path:
        path = path[:-1]
    return Mistake(place, says, source, lines.get(path))
