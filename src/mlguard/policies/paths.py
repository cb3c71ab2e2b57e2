"""Simulated paths: quiet history in blocks, drift put into it, and what a policy does then."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, TypeAlias, runtime_checkable

import numpy as np

from mlguard.arguments import refusal
from mlguard.policies.hysteresis import StatefulPolicy
from mlguard.values import Action, Measurement, Severity, Verdict

if TYPE_CHECKING:
    from numpy.random import Generator, SeedSequence

    from mlguard.values import Decision

LEVELS = 10
"""Steps in which a gradual drift grows."""

LEAST_BLOCKS = 8


@runtime_checkable
class Stepper(Protocol):
    """What can be simulated: a pure step from verdicts to decisions."""

    def begin(self) -> Any:
        """Give the state before the first step."""
        ...

    def step(
        self, state: Any, verdicts: Mapping[str, Verdict], now: float, needs: Any = None
    ) -> tuple[Any, list[Decision]]:
        """Go one step."""
        ...


Judge: TypeAlias = Callable[[Any], Verdict]
"""Judges one observation: a policy over measurements, or anything else."""

Effect: TypeAlias = Callable[[Any, float], Any]
"""Puts drift of a strength between 0 and 1 into an observation."""

Shape: TypeAlias = Literal["sudden", "gradual", "recurring"]


@dataclass(frozen=True, slots=True)
class Drift:
    """A change to be put into quiet history. Immutable.

    Args:
        effects: By the name of a series, what it does to an observation: a function of the
            observation and a strength between 0 and 1, such as `mlguard.drift.shifted(…)`.
        shape: "sudden" is there at once; "gradual" grows over `over` evaluations in ten steps;
            "recurring" is there for `over` evaluations, then away for as many, and so on.
        over: Evaluations.

    Raises:
        ConfigurationError: There is no effect, or an argument is not of its kind.
    """

    effects: Mapping[str, Effect]
    shape: Shape = "sudden"
    over: int = 30

    def __post_init__(self) -> None:
        if not isinstance(self.effects, Mapping) or not all(map(callable, self.effects.values())):
            raise refusal("effects", self.effects, "a mapping of names to callables")
        if not self.effects:
            raise refusal("effects", self.effects, "at least one")
        if self.shape not in {"sudden", "gradual", "recurring"}:
            raise refusal("shape", self.shape, 'one of "sudden", "gradual", "recurring"')
        if not isinstance(self.over, int) or self.over < 1:
            raise refusal("over", self.over, "a whole number of evaluations")


class Course(NamedTuple):
    """When a drift is there, and how strongly. Immutable.

    Attributes:
        name: Of the drift.
        shape: As of `Drift`.
        over: As of `Drift`.
        onset: The evaluation at which it begins, or the earliest one.
    """

    name: str
    shape: str
    over: int
    onset: int

    def level(self, step: int) -> int:
        """Give the strength at an evaluation, in tenths."""
        since = step - self.onset
        if since < 0:
            return 0
        if self.shape == "sudden":
            return LEVELS
        if self.shape == "recurring":
            return LEVELS if since // self.over % 2 == 0 else 0
        return min(LEVELS, -(-(since + 1) * LEVELS // self.over))


class Found(NamedTuple):
    """What happened in one path. Immutable.

    Attributes:
        delay: Evaluations from the onset to the first decision; None where there was none.
        counts: How often each action was decided, from the onset on.
        before: Whether an alarm was on already when the drift began.
        stale: Whether it had been on for most of the time before, so that nobody looks any more.
        alarming: For which part of the path an alarm was on, 0 to 1.
    """

    delay: int | None
    counts: dict[str, int]
    before: bool = False
    stale: bool = False
    alarming: float = 0.0


@dataclass(frozen=True, slots=True)
class Tables:
    """Every observation of the history as judged, without drift and at each strength. Immutable.

    Attributes:
        quiet: By name, of each observation its verdict, or itself where the judge has a memory.
        judges: Those with a memory, by name.
        drifts: By the name of a drift and the level of its strength, the same.
        every: Seconds from one evaluation to the next.
        block: Evaluations that stay together.
        cycle: Evaluations after which the pattern repeats, or 1.
    """

    quiet: Mapping[str, Sequence[Any]]
    judges: Mapping[str, StatefulPolicy]
    drifts: Mapping[str, Mapping[int, Mapping[str, Sequence[Any]]]]
    every: float
    block: int
    cycle: int

    @property
    def unknown(self) -> dict[str, float]:
        """Of each series the share of the quiet history that is unknown, 0 to 1."""
        return {name: sum(map(_unknown, each)) / len(each) for name, each in self.quiet.items()}

    @property
    def length(self) -> int:
        """Observations of the history."""
        return len(next(iter(self.quiet.values())))

    def places(self, rng: Generator, count: int) -> list[int]:
        """Draw a path: blocks of the history that begin where their place in the cycle is due."""
        starts = range(self.length - self.block + 1)
        found: list[int] = []
        while len(found) < count:
            due = range(len(found) % self.cycle, len(starts), self.cycle)
            start = due[int(rng.integers(len(due)))]
            found += range(start, start + self.block)
        return found[:count]

    def walk(
        self, policy: Stepper, needs: Any, places: Sequence[int], course: Course | None
    ) -> Found:
        """Walk a policy along a path, with a drift or without one."""
        state, memory = policy.begin(), dict.fromkeys(self.judges)
        counts: dict[str, int] = {}
        alarms: dict[str, int] = {}
        delay, onset = None, 0 if course is None else course.onset
        before = stale = False
        alarming = 0
        for step, place in enumerate(places):
            level = 0 if course is None else course.level(step)
            series = self.quiet
            if course is not None and level:
                series = {**series, **self.drifts[course.name][level]}
            verdicts = {name: each[place] for name, each in series.items()}
            for name, judge in self.judges.items():
                memory[name], verdict = judge.step(memory[name], verdicts[name])
                verdicts[name] = replace(verdict, name=name)
            if step == onset and alarms:
                before, stale = True, 2 * min(alarms.values()) < onset
            state, decisions = policy.step(state, verdicts, step * self.every, needs)
            for decision in decisions:
                action = _action(decision)
                resolved = action == Action.RESOLVE
                if resolved:
                    alarms.pop(decision.key, None)
                elif action == Action.ALERT:
                    alarms[decision.key] = step
                if step >= onset:
                    counts[action] = counts.get(action, 0) + 1
                    if delay is None and not resolved:
                        delay = step - onset
            alarming += bool(alarms)
        return Found(delay, counts, before, stale, alarming / len(places))


def _action(decision: Decision) -> str:
    """Give what was decided, or would have been in a dry run."""
    would = next((each["would"] for each in decision.because if "would" in each), None)
    return str(decision.action if would is None else would)


def tables(  # noqa: PLR0917 -- the arguments of simulate
    history: Mapping[str, Sequence[Any]],
    judges: Mapping[str, Any],
    drifts: Mapping[str, Drift],
    every: float,
    block: int,
    cycle: int | None,
) -> Tables:
    """Judge the history once, without drift and at every strength that is needed.

    Raises:
        ConfigurationError: The history is too short or uneven, or names do not fit.
    """
    series = series_of(history, judges)
    lengths = {name: len(each) for name, each in series.items()}
    if len({*lengths.values()}) != 1:
        raise refusal("history", lengths, "one series or more, all of one length")
    length = next(iter(lengths.values()))
    needed = max(LEAST_BLOCKS * block, 2 * (cycle or 1))
    if length < needed:
        allowed = f"at least {needed}: {LEAST_BLOCKS} blocks of {block}, and two cycles"
        raise refusal("len(history)", length, allowed)
    if not isinstance(drifts, Mapping):
        raise refusal("drifts", drifts, "a mapping of names to drifts")
    for name, drift in drifts.items():
        if not isinstance(drift, Drift):
            raise refusal(f"drifts[{name!r}]", drift, "a Drift")
        if unknown := sorted(drift.effects.keys() - series.keys()):
            raise refusal(f"drifts[{name!r}]", unknown, f"names of series, among {sorted(series)}")
    remembering = {
        name: judge for name, judge in judges.items() if isinstance(judge, StatefulPolicy)
    }
    drifted: dict[str, dict[int, dict[str, list[Any]]]] = {}
    for (name, drift), level in product(drifts.items(), range(1, LEVELS + 1)):
        if drift.shape == "gradual" or level == LEVELS:
            drifted.setdefault(name, {})[level] = {
                each: _judged(
                    each, judges.get(each), [effect(old, level / LEVELS) for old in series[each]]
                )
                for each, effect in drift.effects.items()
            }
    quiet = {name: _judged(name, judges.get(name), each) for name, each in series.items()}
    return Tables(quiet, remembering, drifted, every, block, cycle or 1)


def series_of(history: Mapping[str, Any], judges: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Read the series of a history, each of which may have a judge.

    Raises:
        ConfigurationError: Something is not of its kind, or a judge is for none of the series.
    """
    if not isinstance(history, Mapping):
        raise refusal("history", history, "a mapping of names to observations")
    for name, each in history.items():
        if isinstance(each, str) or not isinstance(each, Iterable):
            raise refusal(f"history[{name!r}]", each, "a series of observations")
    if not isinstance(judges, Mapping) or not all(map(callable, judges.values())):
        raise refusal("judges", judges, "a mapping of names to callables")
    if unknown := sorted(judges.keys() - history.keys()):
        raise refusal("judges", unknown, f"names of series, among {sorted(history)}")
    return {name: list(each) for name, each in history.items()}


def judged(name: str, judge: Any, observation: Any) -> Any:
    """Judge an observation; one whose judge has a memory stays what it is, a measurement.

    Raises:
        ConfigurationError: It is of another kind.
    """
    parameter, remembers = f"history[{name!r}]", isinstance(judge, StatefulPolicy)
    found = observation
    if not (judge is None or remembers):
        try:
            found = judge(observation)
        except (AttributeError, TypeError) as error:
            allowed = f"an observation that its judge takes: {error!r}"
            raise refusal(parameter, observation, allowed) from error
    if remembers and not isinstance(found, Measurement):
        raise refusal(parameter, found, "a measurement")
    if not (remembers or isinstance(found, Verdict)):
        raise refusal(parameter, found, "a verdict, or a judge in judges")
    return found


def _judged(name: str, judge: Any, observations: Sequence[Any]) -> list[Any]:
    if hasattr(judge, "many"):
        observations, judge = judge.many(observations), None
    return [_timeless(name, judged(name, judge, each)) for each in observations]


def _unknown(each: Verdict | Measurement) -> bool:
    if isinstance(each, Measurement):
        return math.isnan(each.value)
    return each.severity is Severity.UNKNOWN


def _timeless(name: str, each: Verdict | Measurement) -> Any:
    """Take the time away, so that each evaluation of a path has its own."""
    if isinstance(each, Verdict):
        return Verdict(name, each.severity, each.reason, low=each.low, high=each.high)
    return replace(each, at=None)


def run(  # noqa: PLR0917 -- what a worker is sent
    table: Tables,
    policy: Stepper,
    needs: Any,
    course: Course | None,
    count: int,
    seeds: Sequence[SeedSequence],
) -> list[Found]:
    """Walk one path for each seed; a drift begins anywhere in the cycle."""
    found = []
    for seed in seeds:
        rng, begins, length = np.random.default_rng(seed), course, count
        if course is not None:
            later = int(rng.integers(table.cycle))
            begins, length = course._replace(onset=course.onset + later), count + later
        found.append(table.walk(policy, needs, table.places(rng, length), begins))
    return found
