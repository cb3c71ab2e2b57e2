"""What a policy would do, and cost, before it runs: false alarms, missed drifts, delays."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import pairwise, product
from typing import TYPE_CHECKING, Any, NamedTuple
from zlib import crc32

import numpy as np

from mlguard.arguments import instances, moment, refusal, seconds, whole
from mlguard.policies.hysteresis import StatefulPolicy
from mlguard.policies.paths import (
    Course,
    Drift,
    Judge,
    Stepper,
    Tables,
    judged,
    run,
    series_of,
    tables,
)
from mlguard.policies.persistence import believable
from mlguard.policies.simulated import (
    DAY,
    Costs,
    Detection,
    Simulation,
    cost_of,
    detection,
    quiet_rates,
    time_alarming,
)
from mlguard.policies.sweeps import Sweep, Tried
from mlguard.policies.timeline import timeline_html

if TYPE_CHECKING:
    from mlguard.drift.profile import Profile
    from mlguard.drift.reference import Reference
    from mlguard.policies.paths import Found
    from mlguard.values import Decision, Verdict

__all__ = [
    "Compared",
    "Costs",
    "Detection",
    "Drift",
    "Simulation",
    "Sweep",
    "Tried",
    "backtest",
    "compared",
    "simulate",
    "sweep",
    "timeline_html",
]

_logger = logging.getLogger("mlguard")

_YEAR = 365
_PART = 25
"""Paths that a worker takes at once."""


class Job(NamedTuple):
    """Paths of one kind: the name of their drift or None, its course, their length, how many."""

    name: str | None
    course: Course | None
    length: int
    paths: int


@dataclass(frozen=True, slots=True)
class Compared:
    """A judge of profiles: `reference.compare(profile, …).verdict()`, many at a time. Immutable."""

    reference: Reference
    must_be_conclusive: tuple[str, ...] | None
    how: Mapping[str, Any]

    def __call__(self, profile: Profile) -> Verdict:
        return self.many([profile])[0]

    def many(self, profiles: Sequence[Profile]) -> list[Verdict]:
        """Judge several profiles in less time than one by one."""
        from mlguard.drift.profile import Profile  # noqa: PLC0415 -- it is slow to import

        instances((Profile,), "history", profiles)
        reports = self.reference.compare_many(profiles, **self.how)
        return [each.verdict(must_be_conclusive=self.must_be_conclusive) for each in reports]


def compared(
    reference: Reference, *, must_be_conclusive: Sequence[str] | None = None, **how: Any
) -> Compared:
    """Make a judge of profiles, for `simulate` and `backtest`.

    Args:
        reference: What they are compared with.
        must_be_conclusive: As of `DriftReport.verdict`.
        how: The other arguments of `Reference.compare`: alpha, tolerance, breach, rule.
    """
    named = None if must_be_conclusive is None else tuple(must_be_conclusive)
    return Compared(reference, named, how)


def simulate(
    policy: Stepper,
    history: Mapping[str, Sequence[Any]],
    *,
    judges: Mapping[str, Judge | StatefulPolicy] | None = None,
    drifts: Mapping[str, Drift] | None = None,
    every: float | timedelta = timedelta(days=1),
    years: float = 50.0,
    repeats: int = 200,
    horizon: int = 90,
    block: int = 7,
    cycle: int | None = 7,
    costs: Costs | None = None,
    rng: np.random.Generator | None = None,
    workers: int = 1,
    progress: Callable[[int, int], object] | None = None,
) -> Simulation:
    """Simulate what a policy would decide: on quiet history, and with drift put into it.

    Quiet paths are put together from blocks of the history, drawn with replacement (the moving
    block bootstrap of H. R. Künsch, Annals of Statistics 17, 1989), so that what belongs together
    within a block stays so. All that the policy decides there is false. Nothing is simulated that
    the history does not hold: if it is not quiet, or has no winter, neither is the result.

    Args:
        policy: A `ResponsePolicy`, or anything with `begin()` and `step(state, verdicts, now,
            needs)`. Its needs are taken as met. It is left as it is.
        history: By the name that the policy knows, what was observed while nothing was wrong, the
            oldest first, all of one length: measurements, profiles, verdicts.
        judges: By name, what makes a verdict of an observation: a policy such as `at_most(0.2)` or
            `hysteresis(…)`, or `compared(reference)` for profiles. Verdicts need none.
        drifts: By a name of your own, the drifts to be put in: after 30 evaluations or two blocks,
            and anywhere in the cycle.
        every: From one evaluation to the next, seconds or a timedelta.
        years: How much quiet time to simulate, in paths of 365 evaluations.
        repeats: How often each drift is put in.
        horizon: Evaluations after which a drift that nothing was decided about is missed.
        block: Evaluations that stay together: longer than what depends on each other.
        cycle: Evaluations after which a pattern repeats, 7 for daily ones over a week: blocks
            begin where their place in it is due. None where there is no pattern.
        costs: What things cost, for the money line.
        rng: For the paths; `np.random.default_rng(0)` when not given. The result depends on it and
            not on the number of workers.
        workers: Processes that work at once.
        progress: Called with the paths that are done, and all that there are.

    Raises:
        ConfigurationError: The history holds fewer than 8 blocks or 2 cycles, series differ in
            length, names do not fit, it holds what no response is about, or an argument is out of
            range.

    Examples:
        >>> import numpy as np
        >>> from mlguard import Action, Measurement, Response, ResponsePolicy, at_most
        >>> from mlguard.policies.simulate import Drift, simulate
        >>> rng = np.random.default_rng(3)
        >>> psi = [Measurement("psi", x) for x in rng.normal(0.1, 0.04, 180)]
        >>> more = lambda m, strength: Measurement("psi", m.value + 0.15 * strength)
        >>> policy = ResponsePolicy(Response(Action.ALERT, when="drift", for_=2))
        >>> found = simulate(
        ...     policy,
        ...     {"drift": psi},
        ...     judges={"drift": at_most(0.15)},
        ...     drifts={"all of it": Drift({"drift": more})},
        ...     rng=np.random.default_rng(1),
        ... )
        >>> print(found.drifts["all of it"].missed.value, found.false_alarms.value < 0.5)
        0.0 True
    """
    step, period = seconds("every", every), seconds("years", years)
    block, horizon = whole("block", block, least=1), whole("horizon", horizon, least=1)
    cycle = None if cycle is None else whole("cycle", cycle, least=1)
    repeats, workers = whole("repeats", repeats, least=1), whole("workers", workers, least=1)
    generator = _generator(rng)
    if not (costs is None or isinstance(costs, Costs)):
        raise refusal("costs", costs, "Costs(…)")
    table = tables(history, judges or {}, drifts or {}, step, block, cycle)
    unjudged = _unjudged(policy, history)
    length = _YEAR
    paths = max(1, round(period * 365.25 * DAY / (length * step)))
    onset = max(2 * block, block * (30 // block))
    jobs = [Job(None, None, length, paths)]
    jobs += [
        Job(name, Course(name, drift.shape, drift.over, onset), onset + horizon, repeats)
        for name, drift in (drifts or {}).items()
    ]
    found = _walked(table, policy, jobs, int(generator.integers(2**63)), workers, progress)
    false, alarming = quiet_rates(found[None], length * step), time_alarming(found[None])
    seen = {name: detection(name, found[name], step, horizon) for name in drifts or {}}
    every_delay = [each.mean for each in seen.values()]
    delay = float(np.mean(every_delay)) if every_delay else float("nan")
    return Simulation(
        false,
        seen,
        alarming,
        unjudged,
        table.unknown,
        paths * length * step / (365.25 * DAY),
        cost_of(false, alarming, delay, step, costs),
    )


def backtest(
    policy: Stepper,
    history: Mapping[str, Sequence[Any]],
    *,
    judges: Mapping[str, Judge | StatefulPolicy] | None = None,
    times: Sequence[float],
) -> list[Decision]:
    """Give the decisions that a policy would have taken: those that it takes if it is fed live.

    Args:
        policy: As of `simulate`. Its needs are taken as met. It is left as it is.
        history: As of `simulate`, whatever happened in it. None where there was no observation.
        judges: As of `simulate`.
        times: When each evaluation was, in Unix seconds: the clock of the policy then.

    The logger "mlguard" is told of responses that are about more than the history holds.

    Raises:
        ConfigurationError: The series and `times` differ in length, the times fall, names do
            not fit, or no response is about what the history holds.
    """
    makers = judges or {}
    given = series_of(history, makers)
    if not isinstance(times, Iterable):
        raise refusal("times", times, "a series of Unix seconds")
    times = [moment("times", each) for each in times]
    if any(after < before for before, after in pairwise(times)):
        raise refusal("times", times, "in order, the oldest first")
    for name, series in given.items():
        if len(series) != len(times):
            raise refusal(f"len(history[{name!r}])", len(series), f"that of times, {len(times)}")
    if lacking := _unjudged(policy, history):
        _logger.warning("%r cannot judge from this history: %s", policy, list(lacking))
    state, memory = policy.begin(), dict.fromkeys(makers)
    decided: list[Decision] = []
    for place, now in enumerate(times):
        verdicts = {}
        for name, series in given.items():
            if series[place] is None:
                continue
            judge = makers.get(name)
            verdict = judged(name, judge, series[place])
            if isinstance(judge, StatefulPolicy):
                memory[name], verdict = judge.step(memory[name], verdict)
            verdicts[name] = believable(replace(verdict, name=name), now)
        state, decisions = policy.step(state, verdicts, now, met(policy))
        decided += decisions
    return decided


def sweep(
    make: Callable[..., Stepper],
    grid: Mapping[str, Sequence[Any]],
    history: Mapping[str, Sequence[Any]],
    **settings: Any,
) -> Sweep:
    """Simulate a policy at every point of a grid, on the same paths: the trade-off.

    Args:
        make: Makes the policy from one value of each parameter.
        grid: By parameter, the values to try.
        history: As of `simulate`.
        settings: The other arguments of `simulate`. `judges` may be a callable of the same
            parameters, where the grid is about a limit.

    Raises:
        ConfigurationError: As of `simulate`, or the grid is empty.

    Examples:
        >>> import numpy as np
        >>> from mlguard import Action, Measurement, Response, ResponsePolicy, at_most
        >>> from mlguard.policies.simulate import Drift, sweep
        >>> rng = np.random.default_rng(3)
        >>> psi = [Measurement("psi", x) for x in rng.normal(0.1, 0.04, 180)]
        >>> more = lambda m, strength: Measurement("psi", m.value + 0.1 * strength)
        >>> tried = sweep(
        ...     lambda days: ResponsePolicy(Response(Action.ALERT, when="drift", for_=days)),
        ...     {"days": [1, 2, 3, 4]},
        ...     {"drift": psi},
        ...     judges={"drift": at_most(0.15)},
        ...     drifts={"all of it": Drift({"drift": more})},
        ... )
        >>> tried.choose(false_alarms_per_month=1.0)
        <ResponsePolicy ...: alert>
    """
    fits = isinstance(grid, Mapping) and all(isinstance(each, Iterable) for each in grid.values())
    names, values = (list(grid), list(grid.values())) if fits else ([], [])
    points = [dict(zip(names, each, strict=True)) for each in product(*values)]
    if not names or not points:
        raise refusal("grid", grid, "one parameter or more, each with values to try")
    seed = int(_generator(settings.pop("rng", None)).integers(2**63))
    judges = settings.pop("judges", None)
    tried = []
    for point in points:
        policy = make(**point)
        said = judges(**point) if callable(judges) else judges
        same = np.random.default_rng(seed)
        tried.append(
            Tried(point, policy, simulate(policy, history, judges=said, rng=same, **settings))
        )
    return Sweep(tuple(tried))


def met(policy: Stepper) -> Mapping[str, tuple[Verdict, ...]]:
    """Give the needs of a policy as met."""
    return {response.name: () for response in getattr(policy, "responses", ())}


def _unjudged(policy: Stepper, history: Mapping[str, Any]) -> tuple[str, ...]:
    """Name the responses that are about more than the history holds.

    Raises:
        ConfigurationError: These are all of them, or this is no policy.
    """
    if not isinstance(policy, Stepper):
        raise refusal("policy", policy, "a ResponsePolicy, or anything with begin() and step()")
    responses = getattr(policy, "responses", ())
    lacking = tuple(each.name for each in responses if not each.bad.keys() <= history.keys())
    if responses and len(lacking) == len(responses):
        named = sorted({name for each in responses for name in each.bad})
        raise refusal("history", sorted(history), f"of all names of a response, among {named}")
    return lacking


def _generator(rng: object) -> np.random.Generator:
    if not (rng is None or isinstance(rng, np.random.Generator)):
        raise refusal("rng", rng, "a numpy.random.Generator")
    return np.random.default_rng(0) if rng is None else rng


def _sendable(policy: Stepper) -> None:
    try:
        pickle.dumps(policy)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        allowed = f"one that can be pickled for workers > 1, without lambdas: {error}"
        raise refusal("policy", policy, allowed) from None


def _walked(  # noqa: PLR0917
    table: Tables,
    policy: Stepper,
    jobs: Sequence[Job],
    entropy: int,
    workers: int,
    progress: Callable[[int, int], object] | None,
) -> dict[str | None, list[Found]]:
    total, done = sum(job.paths for job in jobs), 0
    found: dict[str | None, list[Found]] = {}
    needs = met(policy)
    if workers > 1:
        _sendable(policy)
    pool = ProcessPoolExecutor(workers) if workers > 1 else None
    try:
        for name, course, length, paths in jobs:
            place = () if name is None else (crc32(name.encode(errors="surrogatepass")),)
            seeds = np.random.SeedSequence(entropy, spawn_key=place).spawn(paths)
            parts = [seeds[start : start + _PART] for start in range(0, paths, _PART)]
            arguments = [(table, policy, needs, course, length, part) for part in parts]
            results = (
                (run(*each) for each in arguments)
                if pool is None
                else (future.result() for future in [pool.submit(run, *each) for each in arguments])
            )
            found[name] = []
            for part in results:
                found[name] += part
                done += len(part)
                if progress is not None:
                    progress(done, total)
    finally:
        if pool is not None:
            pool.shutdown(cancel_futures=True)
    return found
