"""The requirements document: what a service must hold, written down once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path as File
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, PrivateAttr, ValidationError

from mlguard.arguments import refusal
from mlguard.governance.digests import digest_json
from mlguard.policies.ladder import ResponsePolicy
from mlguard.requirements import flat
from mlguard.requirements.load import read
from mlguard.requirements.mistakes import (
    InvalidRequirements,
    Lines,
    Mistake,
    Path,
    among,
    mistakes_of,
)
from mlguard.requirements.rollouts import Rollout, Votes
from mlguard.requirements.sections import (
    ESTIMATED,
    Cost,
    Drift,
    Errors,
    Latency,
    Name,
    Owner,
    Performance,
    Rule,
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
        raise ValueError(f"{VERSION}, a whole number: there is no other yet")
    return version


class Requirements(Section):
    """What a service must hold in production, and what follows if it does not. Immutable.

    A pydantic model. Numbers have units: "50 ms", "99.9 %", "500 USD"; a key that is not known is
    a mistake, and every mistake is told at once. The document names no file. The short form of a
    deployment's config (`rollback_on_error`, `drift_alert_threshold`, `cost_alert_per_day`) is
    read as it stands; `explain()` says how.

    Raises:
        InvalidRequirements: From `load` and `model_validate`; it has a line for each mistake.

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
    approvals: dict[Name, Votes] = Field(
        default_factory=dict, description="By environment, who must approve a rollout there."
    )

    _notes: tuple[str, ...] = PrivateAttr(())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a document from a file that ends in .yaml, .yml, .toml or .json.

        Raises:
            InvalidRequirements: It has mistakes; of YAML each has its line.
            ConfigurationError: It does not read, is too large, or of another kind.
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
    def _read(cls, given: Any, source: str, lines: Lines, **settings: Any) -> Self:
        short = flat.reading(given) if flat.is_flat(given) else None
        document = given if short is None else short.document
        found: list[tuple[Path, str]] = []
        try:
            made = super().model_validate(document, **settings)
        except ValidationError as error:
            found = mistakes_of(error, cls, document)
        if short is not None:
            found = short.mistakes(given, found)
        if lines and isinstance(given, Mapping):  # in YAML a section that was cut off reads as null
            told = {path[:1] for path, _ in found}
            cut = [key for key, value in given.items() if value is None and (key,) not in told]
            found += [((key,), str(refusal(key, None, "given, or left out"))) for key in cut]
        if found:
            mistakes = [_mistake(*each, source, lines) for each in found]
            raise InvalidRequirements(sorted(mistakes, key=lambda each: each.line or 0))
        made._notes = () if short is None else short.notes  # noqa: SLF001 -- of its own class
        return made

    @property
    def digest(self) -> str:
        """Stands for what is required: spelling, order and defaults do not count."""
        return digest_json(self.model_dump(mode="json", by_alias=True, exclude_defaults=True))

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
        return ResponsePolicy(*responses, clock=clock)

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


def _mistake(path: Path, says: str, source: str, lines: Lines) -> Mistake:
    """Give a mistake its line: that of the nearest place around it that has one."""
    while path not in lines and path:
        path = path[:-1]
    return Mistake(says.partition(" = ")[0], says, source, lines.get(path))
