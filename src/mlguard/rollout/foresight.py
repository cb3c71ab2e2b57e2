"""How long until we could know? A plan put through rollouts that are drawn at random."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mlguard.arguments import refusal, seconds, share, whole
from mlguard.render.text import number
from mlguard.rollout.engine import RollbackEngine
from mlguard.values import Severity, Verdict

if TYPE_CHECKING:
    from datetime import timedelta

    from mlguard.rollout.plan import RollbackPlan

_UNITS = ((86_400.0, "days"), (3_600.0, "h"), (60.0, "min"))


@dataclass(frozen=True, slots=True)
class End:
    """One way that rollouts end. Immutable.

    Attributes:
        phase: As in `RollbackEngine.phase`.
        part: Of the runs that end so, 0 to 1.
        seconds: Until then: the median and the 90 % point of these runs.
        exposed: Requests that the canary had answered by then, likewise.
    """

    phase: str
    part: float
    seconds: tuple[float, float]
    exposed: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Foresight:
    """What a plan does with a candidate of known rates. Immutable; prints as a table.

    Attributes:
        ends: The most frequent first.
        runs: How many were drawn.
    """

    ends: tuple[End, ...]
    runs: int

    def part(self, phase: str) -> float:
        """Give which part of the runs ends in a phase, 0 to 1."""
        return sum(each.part for each in self.ends if each.phase == phase)

    def __str__(self) -> str:
        lines = [f"{'ends':<18}{'of runs':>8}{'after':>12}{'90 %':>12}{'exposed':>10}{'90 %':>10}"]
        for each in self.ends:
            after, late = (_duration(each) for each in each.seconds)
            most = "".join(f"{count:>10,.0f}" for count in each.exposed)
            lines.append(f"{each.phase:<18}{each.part:>8.1%}{after:>12}{late:>12}{most}")
        return "\n".join(lines)


def foresee(
    plan: RollbackPlan,
    *,
    rates: Mapping[str, float],
    ratios: Mapping[str, float] | None = None,
    per_second: float,
    every: float | timedelta = 60.0,
    lasting: float | timedelta = 7 * 86_400.0,
    external_share: float = 0.5,
    runs: int = 200,
    seed: int = 0,
) -> Foresight:
    """Draw rollouts of a candidate, and tell how they end, how soon, and after how many requests.

    To be asked before a rollout: can this plan see a doubled error rate at this traffic, and how
    long does an equal candidate take? Requests and events are independent and of constant rate;
    approvals are given and the error budget is fine. A part of the runs is uncertain by about
    1 / sqrt(runs).

    Args:
        plan: The plan. One that counts clusters or looks at values is refused: who retries, and
            how values scatter, is not known.
        rates: Of each guardrail, events by request of the baseline, 0 to 1.
        ratios: By which the candidate's are multiplied; 1 for those that are left out.
        per_second: Requests per second of both arms together.
        every: Seconds or a timedelta between two looks.
        lasting: After this it is given up, seconds or a timedelta; a week by default.
        external_share: Of the canary, where the plan's stages are "external".
        runs: How many to draw.
        seed: Of the random numbers.

    Raises:
        ConfigurationError: A rate is missing or not between 0 and 1, with its ratio too, a name is
            unknown, or another argument is not of its range.

    Examples:
        >>> from mlguard.rollout import Guardrail, RollbackPlan, foresee
        >>> plan = RollbackPlan([0.1, 0.5], guardrails=[Guardrail("errors")], bake=600)
        >>> found = foresee(
        ...     plan, rates={"errors": 0.01}, ratios={"errors": 5.0}, per_second=10, runs=20
        ... )
        >>> found.part("rolled back")
        1.0
    """
    if plan.cluster is not None:
        raise refusal("plan", plan.cluster, "without cluster")
    if odd := [each.name for each in plan.guardrails if each.values is not None]:
        raise refusal("plan", odd, "without guardrails on values")
    names = [each.name for each in plan.guardrails]
    if {*rates} != {*names}:
        raise refusal("rates", dict(rates), f"of exactly {names}")
    if unknown := (ratios or {}).keys() - {*names}:
        raise refusal("ratios", sorted(unknown), f"names of guardrails, {names}")
    base = np.array([share(f"rates[{name!r}]", rates[name]) for name in names])
    factors = np.array([float((ratios or {}).get(name, 1.0)) for name in names])
    worse = base * factors
    if not ((worse > 0.0) & (worse < 1.0)).all():
        raise refusal("ratios", dict(ratios or {}), "such that all rates stay between 0 and 1")
    step = seconds("every", every)
    looks = math.ceil(seconds("lasting", lasting) / step)
    if not 0.0 < per_second * step < math.inf:
        raise refusal("per_second", per_second, "a positive number")
    part = share("external_share", external_share)
    rng = np.random.default_rng(whole("seed", seed))
    found: dict[str, list[tuple[float, int]]] = {}
    for _ in range(whole("runs", runs, least=1)):
        run = _Run(plan, step, per_second * step, part)
        end = run.until(looks, (worse, base), rng)
        found.setdefault(end, []).append((run.now, run.exposed))
    ends = [
        End(phase, len(each) / runs, _points([at for at, _ in each]), _points([n for _, n in each]))
        for phase, each in found.items()
    ]
    return Foresight(tuple(sorted(ends, key=lambda each: -each.part)), runs)


class _Run:
    """One rollout."""

    __slots__ = ("engine", "exposed", "now", "share", "step", "traffic")

    def __init__(self, plan: RollbackPlan, step: float, traffic: float, share: float) -> None:
        self.now, self.exposed = 0.0, 0
        self.step, self.traffic, self.share = step, traffic, share
        given = Verdict("given", Severity.OK, "as assumed")
        self.engine = RollbackEngine(
            plan, clock=lambda: self.now, approval=lambda: given, budget=lambda: given
        )

    def until(
        self, looks: int, rates: tuple[np.typing.NDArray[np.float64], ...], rng: np.random.Generator
    ) -> str:
        """Go on until it is over, or for so many looks; give how it ended."""
        names = [each.name for each in self.engine.plan.guardrails]
        for _ in range(looks):
            share = self.share if math.isnan(self.engine.share) else self.engine.share
            total = int(rng.poisson(self.traffic))
            canary = int(rng.binomial(total, share))
            for arm, n, rate in zip(
                ("canary", "baseline"), (canary, total - canary), rates, strict=True
            ):
                counts = dict(zip(names, rng.binomial(n, rate).tolist(), strict=True))
                self.engine.observe(arm, requests=n, events=counts)  # type: ignore[arg-type]
            self.exposed += canary
            self.now += self.step
            self.engine.decide()
            if self.engine.over:
                return self.engine.phase
        return "undecided"


def _points(values: list[float] | list[int]) -> tuple[float, float]:
    median, late = np.quantile(values, [0.5, 0.9])
    return float(median), float(late)


def _duration(taken: float) -> str:
    unit, name = next(((u, n) for u, n in _UNITS if taken >= u), (1.0, "s"))
    return f"{number(taken / unit, 3)} {name}"
