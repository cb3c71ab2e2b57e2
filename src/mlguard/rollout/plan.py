"""What a candidate must not do, how far it may go at each stage, and what follows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, MISSING, asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal, Self

from mlguard.arguments import instances, name_of, refusal, seconds, share, whole
from mlguard.policies.episodes import digest
from mlguard.rollout.evidence import Table
from mlguard.rollout.guardrails import Guardrail, listed, positive

if TYPE_CHECKING:
    from datetime import timedelta

_KILL = 0.1
"""Part of alpha that is kept for the fast kill."""


@dataclass(frozen=True, slots=True)
class BlastRadius:
    """How much a candidate may touch before it is promoted, proven safe or not. Immutable.

    A canary that meets a limit is rolled back. That has nothing to do with the plan's alpha: with a
    small limit of `excess_events` good canaries meet it by chance.

    Args:
        requests: The most requests that the canary may answer.
        excess_events: The most events of a guardrail beyond those that the baseline would have had,
            by the upper end of a 95 % interval.
        users: The most clusters of the plan that the canary may answer.
        cost: The most that the canary's requests may cost, in the unit of `observe(cost=)`.

    Raises:
        ConfigurationError: A limit is not positive.
    """

    requests: int | None = None
    _: KW_ONLY
    excess_events: float | None = None
    users: int | None = None
    cost: float | None = None

    def __post_init__(self) -> None:
        for name in ("requests", "users"):
            if (most := getattr(self, name)) is not None:
                whole(name, most, least=1)
        for name in ("excess_events", "cost"):
            if (most := getattr(self, name)) is not None:
                positive(name, most)


@dataclass(frozen=True, slots=True, eq=False)
class RollbackPlan:
    """How a candidate goes out, and what stops it. Immutable.

    Alpha is the plan's: the chance that a canary that is no worse is ever rolled back, at any
    number of looks, is at most alpha. A tenth of it is kept for the fast kill, the rest is split
    among the guardrails that roll back, by weight. A promotion needs each guardrail's proof of
    safety at 0.05; since all are needed, that is not split: a canary that is worse by the margin
    in any of them is promoted in at most 5 % of rollouts.

    Args:
        stages: The shares of the requests that the canary gets, one after the other; "external"
            where something else moves the share.
        guardrails: What the canary must not do.
        alpha: Of a false rollback.
        blast_radius: How much may be touched before the promotion; then it is rolled back.
        bake: How long each stage lasts at least, seconds or a timedelta.
        bake_requests: How many canary requests each stage has at least.
        max_duration: After this the plan ends, seconds or a timedelta; None for no end.
        on_inconclusive: What it ends with, if nothing is proven: "hold" or "rollback". Either way
            the canary gets no more requests, as nobody judges them any more; "hold" leaves what
            becomes of it to people.
        on_no_data: What an interval without data of one arm leads to: "hold", or "rollback" once it
            has lasted for `no_data_deadline`.
        no_data_deadline: Seconds or a timedelta.
        approvals: The stages (from 1; the first, 0, begins when you send it traffic) that need an
            approval before they begin, and "promote".
        mismatch: What a wrong share of requests leads to, proven to be off by more than a factor of
            1.5 in its odds: "hold" or "ignore". With "external" there is none to compare with.

        cluster: What events come in bunches of, such as "user" whose retries all fail: then each
            counts once, with its first event of a guardrail, among those that had none before.

    Raises:
        ConfigurationError: An argument is not of its kind or range.
    """

    stages: Sequence[float] | Literal["external"] = (0.01, 0.05, 0.25, 0.5)
    _: KW_ONLY
    guardrails: Sequence[Guardrail]
    alpha: float = 0.05
    blast_radius: BlastRadius = field(default_factory=BlastRadius)
    bake: float | timedelta = 600.0
    bake_requests: int = 0
    max_duration: float | timedelta | None = None
    on_inconclusive: Literal["hold", "rollback"] = "hold"
    on_no_data: Literal["hold", "rollback"] = "hold"
    no_data_deadline: float | timedelta = 3_600.0
    approvals: Sequence[int | str] = ()
    mismatch: Literal["hold", "ignore"] = "hold"
    cluster: str | None = None
    digest: str = field(init=False)
    table: Table = field(init=False, repr=False)
    limits: tuple[float, ...] = field(init=False, repr=False)
    kill_limit: float = field(init=False, repr=False)

    def __post_init__(self) -> None:
        put = object.__setattr__
        if self.stages != "external":
            shares = tuple(share("stages", each) for each in listed("stages", self.stages))
            if not shares or list(shares) != sorted({*shares}):
                raise refusal("stages", self.stages, 'rising shares between 0 and 1, or "external"')
            put(self, "stages", shares)
        given = instances((Guardrail,), "guardrails", self.guardrails)
        put(self, "guardrails", given)
        names = [each.name for each in given]
        if not names or len({*names}) < len(names):
            raise refusal("guardrails", names, "one or more, of different names")
        share("alpha", self.alpha)
        put(self, "bake", 0.0 if self.bake == 0 else seconds("bake", self.bake))
        whole("bake_requests", self.bake_requests)
        if self.max_duration is not None:
            put(self, "max_duration", seconds("max_duration", self.max_duration))
        put(self, "no_data_deadline", seconds("no_data_deadline", self.no_data_deadline))
        for name, allowed in (
            ("on_inconclusive", ("hold", "rollback")),
            ("on_no_data", ("hold", "rollback")),
            ("mismatch", ("hold", "ignore")),
        ):
            if getattr(self, name) not in allowed:
                raise refusal(name, getattr(self, name), f"one of {list(allowed)}")
        put(self, "approvals", tuple(listed("approvals", self.approvals)))
        known = [*range(1, len(self.shares)), "promote"]
        if odd := [each for each in self.approvals if each not in known]:
            later = 'numbers of stages after the first, which is 0, and "promote"'
            raise refusal("approvals", odd, later)
        self._read_cluster()
        put(self, "digest", digest(self.to_dict()))
        split = self.split
        limits = tuple(-math.log(split.get(each.name, self.alpha)) for each in given)
        put(self, "limits", limits)
        killing = sum(each.kills for each in given)
        put(self, "kill_limit", -math.log(_KILL * self.alpha / max(killing, 1)))
        put(self, "table", Table(given))

    def _read_cluster(self) -> None:
        if self.cluster is None:
            if self.blast_radius.users is not None:
                allowed = "without users where cluster is None"
                raise refusal("blast_radius", self.blast_radius, allowed)
            return
        name_of("cluster", self.cluster)
        if odd := [each.name for each in self.guardrails if each.values is not None]:
            raise refusal("cluster", self.cluster, f"None with guardrails on values, {odd}")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RollbackPlan) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    @property
    def shares(self) -> tuple[float, ...]:
        """The share of each stage; one unknown stage where something else moves it."""
        return (math.nan,) if self.stages == "external" else tuple(map(float, self.stages))

    @property
    def split(self) -> dict[str, float]:
        """The alpha of each guardrail that rolls back; what is left is for the fast kill."""
        rolling = [each for each in self.guardrails if each.rolls_back]
        total = sum(each.weight for each in rolling)
        kept = (1.0 - _KILL) * self.alpha
        return {each.name: kept * each.weight / total for each in rolling}

    def to_dict(self) -> dict[str, Any]:
        """Give plain JSON."""
        plain = (
            *("alpha", "bake", "bake_requests", "max_duration", "on_inconclusive", "on_no_data"),
            *("no_data_deadline", "mismatch", "cluster"),
        )
        return {
            **{name: getattr(self, name) for name in plain},
            "stages": self.stages if self.stages == "external" else list(self.shares),
            "guardrails": [each.to_dict() for each in self.guardrails],
            "blast_radius": asdict(self.blast_radius),
            "approvals": list(self.approvals),
        }

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Self:
        """Read what `to_dict` wrote; what is left out has its default.

        Raises:
            ConfigurationError: A name is unknown, or a value is not of its kind or range.
        """
        given = _known(cls, "plan", record)
        given["guardrails"] = [
            Guardrail(**_known(Guardrail, "guardrails", each))
            for each in listed("guardrails", given["guardrails"])
        ]
        if "blast_radius" in given:
            radius = _known(BlastRadius, "blast_radius", given["blast_radius"])
            given["blast_radius"] = BlastRadius(**radius)
        return cls(**given)


def _known(kind: Any, parameter: str, record: Any) -> dict[str, Any]:
    known = {each.name: each for each in fields(kind) if each.init}
    least = {
        name
        for name, each in known.items()
        if each.default is MISSING and each.default_factory is MISSING
    }
    if not isinstance(record, Mapping) or not least <= record.keys() <= known.keys():
        raise refusal(parameter, record, f"a mapping of {[*known]}, at least {[*least]}")
    return dict(record)
