"""The sections of a requirements document on a candidate: its rollout, and who approves it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema

from mlguard.arguments import refusal
from mlguard.governance.requests import Quorum
from mlguard.render.text import quantity
from mlguard.requirements.sections import ALPHA, Count, Name, Positive, Section
from mlguard.requirements.units import AMOUNT, Amount, Duration, Share, written
from mlguard.rollout.guardrails import Guardrail
from mlguard.rollout.plan import BlastRadius, RollbackPlan


class Watched(Section):
    """A kind of event that a canary must not have oftener than the baseline."""

    name: Name = Field(description="As it is counted on the rollout.", examples=["slow"])
    tolerance: Positive | None = Field(None, description="Ratio of rates that is no harm yet.")
    margin: Positive | None = Field(None, description="Ratio of rates that must be ruled out.")
    ceiling: Share = Field(
        0.25,
        description="Above this rate, once proven, the canary is stopped at once, unless the "
        "baseline fares alike.",
    )
    action: Literal["rollback", "hold", "notify"] = Field(
        "rollback", description="What harm leads to."
    )

    def make(self) -> Guardrail:
        """Make the guardrail."""
        return Guardrail(
            self.name,
            tolerance=self.tolerance,
            margin=self.margin,
            ceiling=self.ceiling,
            action=self.action,
        )

    def settled(self) -> Mapping[str, Any]:
        """Write out the ratios."""
        made = self.make()
        return {"tolerance": made.tolerance, "margin": made.margin}


def _in_dollars(value: object) -> object:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return f"{value} USD" if number else value


class Radius(Section):
    """How much a candidate may touch before it is proven."""

    requests: Count | None = Field(None, description="Most requests of the canary.")
    excess_events: Positive | None = Field(None, description="Most events beyond the baseline's.")
    cost: (
        Annotated[
            Amount,
            BeforeValidator(_in_dollars),
            WithJsonSchema({"anyOf": [AMOUNT, {"type": "number", "exclusiveMinimum": 0}]}),
        ]
        | None
    ) = Field(
        None, description="Most that its requests may cost; a number without a currency is USD."
    )

    def make(self) -> BlastRadius:
        """Make the limits."""
        cost = None if self.cost is None else float(self.cost.amount)
        return BlastRadius(self.requests, excess_events=self.excess_events, cost=cost)


_ERRORS = Watched.model_validate({"name": "errors"})
"""What `rollback_on_error` asks for."""
_UNLIMITED = Radius.model_validate({})


class Rollout(Section):
    """How a candidate goes out, and what brings it back."""

    stages: tuple[Share, ...] = Field(
        (0.01, 0.05, 0.25, 0.5),
        strict=False,
        description="Rising shares of the requests that the canary gets.",
        examples=[["1 %", "5 %", "25 %", "50 %"]],
    )
    rollback_on_error: bool = Field(
        default=True,
        description="Whether more errors than the baseline's roll back: none is tolerated.",
    )
    guardrails: tuple[Watched, ...] = Field(
        (), strict=False, description="Other events that the canary must not have oftener."
    )
    alpha: Share = Field(0.05, description="Chance of a false rollback, over the whole rollout.")
    bake: Duration = Field(
        "10 min",
        validate_default=True,
        description="Least duration of a stage.",
        examples=["10 min"],
    )
    max_duration: Duration | None = Field(None, description="After it the rollout ends.")
    blast_radius: Radius | None = Field(None, description="How much may be touched before a proof.")

    def make(self, *, approved: bool = False) -> RollbackPlan:
        """Make the plan; `approved` if it needs an approval, which is then asked at each stage."""
        if not self.stages or sorted({*self.stages}) != [*self.stages]:
            shares = [quantity(each, "share") for each in self.stages]
            raise refusal("stages", shares, "one or more, rising shares, such as [1 %, 10 %, 50 %]")
        if not self.guardrails and not self.rollback_on_error:
            allowed = "true, or guardrails given: something must stop a canary"
            raise refusal("rollback_on_error", self.rollback_on_error, allowed)
        for place, each in enumerate(self.guardrails):
            if self.rollback_on_error and each.name == _ERRORS.name:
                allowed = "another kind of event: rollback_on_error watches the errors already"
                raise refusal(f"guardrails[{place}].name", each.name, allowed)
        if self.alpha >= 0.5:  # noqa: PLR2004 -- a half
            raise refusal("alpha", self.alpha, ALPHA)
        least = len(self.stages) * self.bake
        if self.max_duration is not None and self.max_duration <= least:
            allowed = f"above {quantity(least, 's')}, which is what the stages take at least"
            raise refusal("max_duration", written(self.max_duration), allowed)
        errors = [Guardrail("errors")] if self.rollback_on_error else []
        return RollbackPlan(
            self.stages,
            guardrails=[*errors, *(each.make() for each in self.guardrails)],
            alpha=self.alpha,
            blast_radius=(self.blast_radius or _UNLIMITED).make(),
            approvals=[*range(1, len(self.stages)), "promote"] if approved else [],
            bake=self.bake,
            max_duration=self.max_duration,
        )

    def settled(self) -> Mapping[str, Any]:
        """Keep a limit on errors that is written out as what it is, and no limits as none."""
        others = [each for each in self.guardrails if each != _ERRORS]
        return {
            "rollback_on_error": self.rollback_on_error or len(others) < len(self.guardrails),
            "guardrails": tuple(sorted(others, key=lambda each: each.name)),
            "blast_radius": None if self.blast_radius == _UNLIMITED else self.blast_radius,
        }


class Votes(Section):
    """Who must approve."""

    votes: Count = Field(1, description="Different people who approve, at least.")
    roles: tuple[Name, ...] = Field(
        (),
        strict=False,
        description="For which they must speak, each role by another person; one that stands there "
        "twice takes two.",
    )

    def make(self) -> Quorum:
        """Make the quorum."""
        return Quorum(self.votes, roles=self.roles)

    def settled(self) -> Mapping[str, Any]:
        """Ask for no fewer votes than the roles take."""
        return {"votes": self.make().votes}
