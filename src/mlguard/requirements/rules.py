"""The rules of a requirements document: when what is done, and how often at most."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from mlguard.arguments import refusal
from mlguard.policies.responses import Response
from mlguard.requirements.sections import Name, Section, as_set
from mlguard.requirements.units import Duration, Lasting

ESTIMATED = "estimated performance"
"""The verdict on what is estimated while labels are still to come; it is given to `decide()`."""
JUDGED = ("latency", "errors", "cost", "unit_cost", "drift", "performance", ESTIMATED)
"""The verdicts of a service, which `respond` may name."""


def _listed(value: object) -> object:
    if not value:
        raise ValueError("the name of a verdict, or a list of several")
    return _several(value)


def _several(value: object) -> object:
    return (value,) if isinstance(value, str) else value


_JUDGED = {"type": "string", "enum": list(JUDGED)}
Judged: TypeAlias = Annotated[
    tuple[
        Literal[
            "latency",
            "errors",
            "cost",
            "unit_cost",
            "drift",
            "performance",
            "estimated performance",
        ],
        ...,
    ],
    BeforeValidator(_listed),
    AfterValidator(as_set),
    Field(strict=False),
    WithJsonSchema({"anyOf": [_JUDGED, {"type": "array", "items": _JUDGED, "minItems": 1}]}),
]

Actions: TypeAlias = Annotated[
    tuple[Name, ...],
    BeforeValidator(_several),
    AfterValidator(as_set),
    Field(strict=False),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]


_MOST_EVALUATIONS = 1_000
_ACTIONS = {"alert", "retrain", "rollback", "hold", "promote"}


class Rule(Section):
    """When what is done, and how often at most."""

    when: Judged = Field(description="Verdicts, all of which must be bad.", examples=["drift"])
    severity: Literal["WARN", "BREACH", "UNKNOWN"] = Field(
        "BREACH", description="Which severity is bad enough."
    )
    do: Name = Field(
        description="alert, retrain, rollback, hold, promote, or an action of your own.",
        examples=["alert", "retrain", "rollback"],
    )
    lasts: Lasting = Field(
        1, alias="for", description="Evaluations in a row, or a duration.", examples=[3, "2 h"]
    )
    cooldown: Duration | None = Field(None, description="Least time between two actions.")
    unless: Actions = Field(
        (), description="Actions of other rules: while one is called for, this is not taken."
    )

    def make(self, name: str | None = None, unless: Sequence[str] = ()) -> Response:
        """Make the response; `unless` are the names of those that withhold it."""
        ours = self.do.lower().replace("_", "").replace(" ", "").replace("-", "")
        if ours in _ACTIONS and self.do != ours:
            raise refusal("do", self.do, f"spelled {ours!r}, or an action of your own name")
        if self.do.lower() in {"none", "resolve"}:
            raise refusal("do", self.do, "an action; an alert is resolved by itself")
        if isinstance(self.lasts, int) and self.lasts > _MOST_EVALUATIONS:
            allowed = f"at most {_MOST_EVALUATIONS:,} evaluations, or a duration, such as '2 h'"
            raise refusal("for", self.lasts, allowed)
        return Response(
            self.do,
            when=self.when,
            severity=self.severity,
            for_=self.lasts,
            cooldown=self.cooldown or 0.0,
            unless=unless,
            name=name,
        )
