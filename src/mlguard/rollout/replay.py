"""The same events, the same decisions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from mlguard.arguments import refusal
from mlguard.rollout.engine import RollbackEngine
from mlguard.values import Severity, Verdict

if TYPE_CHECKING:
    from mlguard.rollout.plan import RollbackPlan
    from mlguard.values import Decision

_UNASKED = {
    "approval": Verdict("approval", Severity.UNKNOWN, "nobody was asked"),
    "budget": Verdict("budget", Severity.OK, "nobody was asked"),
}


def replay(
    plan: RollbackPlan, events: Iterable[Mapping[str, Any]], **collaborators: Any
) -> list[Decision]:
    """Give the decisions that a plan takes on recorded events: a backtest, or a shadow plan.

    Args:
        plan: The plan.
        events: In order, as the `journal` of an engine took them. Each is a mapping with one of the
            keys "observe" (the arguments of `RollbackEngine.observe`), "decide" (the time in Unix
            seconds) or "command" (the arguments of `RollbackEngine.command`); beside "decide" stand
            the verdicts of "approval" and "budget", where they were asked.
        collaborators: The other arguments of `RollbackEngine`, but for clock and sinks. An
            `approval` or `budget` is asked again instead of what was recorded.

    Raises:
        ConfigurationError: An event is of no known kind.

    Examples:
        >>> from mlguard.rollout import Guardrail, RollbackPlan, replay
        >>> plan = RollbackPlan("external", guardrails=[Guardrail("errors")])
        >>> events = [
        ...     {"observe": {"arm": "canary", "requests": 50, "events": {"errors": 50}}},
        ...     {"observe": {"arm": "baseline", "requests": 50}},
        ...     {"decide": 60.0},
        ... ]
        >>> [str(decision.action) for decision in replay(plan, events)]
        ['rollback']
    """
    return [decision for _, decision in course(plan, events, collaborators)]


def course(
    plan: RollbackPlan, events: Iterable[Mapping[str, Any]], collaborators: Mapping[str, Any]
) -> Iterator[tuple[RollbackEngine, Decision]]:
    """Go through events; give the engine as it stands after each decision, and the decision."""
    now, said = 0.0, dict(_UNASKED)
    asked = {"approval": lambda: said["approval"], "budget": lambda: said["budget"]}
    engine = RollbackEngine(plan, clock=lambda: now, **{**asked, **collaborators})
    for each in events:
        if not isinstance(each, Mapping):
            raise refusal("events", each, "mappings")
        match dict(each):
            case {"observe": arguments} if len(each) == 1:
                engine.observe(**arguments)
            case {"decide": time, **verdicts} if verdicts.keys() <= _UNASKED.keys():
                now = time
                read = {name: Verdict.from_dict(verdict) for name, verdict in verdicts.items()}
                said |= {**_UNASKED, **read}
                yield engine, engine.decide()
            case {"command": arguments} if len(each) == 1:
                engine.command(**arguments)
            case _:
                raise refusal("events", each, 'one of "observe", "decide" and "command"')
