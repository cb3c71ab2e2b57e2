"""The sections of a requirements document on a candidate: its rollout, and who approves it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mlguard.arguments import refusal
from mlguard.governance.requests import Quorum
from mlguard.render.text import quantity
from mlguard.requirements.sections import Count, Name, Positive, Section
from mlguard.requirements.units import Duration, Share
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


class Radius(Section):
    """How much a candidate may touch before it is proven."""

    requests: Count | None = Field(None, description="Most requests of the canary.")
    excess_events: Positive | None = Field(None, description="Most events beyond the baseline's.")
    cost: Positive | None = Field(None, description="Most that its requests may cost.")


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
        errors = [Guardrail("errors")] if self.rollback_on_error else []
        radius = {} if self.blast_radius is None else self.blast_radius.model_dump()
        return RollbackPlan(
            self.stages,
            guardrails=[*errors, *(each.make() for each in self.guardrails)],
            alpha=self.alpha,
            blast_radius=BlastRadius(**radius),
            approvals=[*range(1, len(self.stages)), "promote"] if approved else [],
            bake=self.bake,
            max_duration=self.max_duration,
        )


class Votes(Section):
    """Who must approve."""

    votes: Count = Field(1, description="Different people who approve, at least.")
    roles: tuple[Name, ...] = Field((), strict=False, description="For which they must speak.")

    def make(self) -> Quorum:
        """Make the quorum."""
        return Quorum(self.votes, roles=self.roles)
