"""The same events, the same decisions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from mlguard.arguments import refusal
from mlguard.rollout.engine import RollbackEngine

if TYPE_CHECKING:
    from mlguard.rollout.plan import RollbackPlan
    from mlguard.values import Decision


def replay(
    plan: RollbackPlan, events: Iterable[Mapping[str, Any]], **collaborators: Any
) -> list[Decision]:
    """Give the decisions that a plan takes on recorded events: a backtest, or a shadow plan.

    Args:
        plan: The plan.
        events: In order, each a mapping with one of the keys "observe" (the arguments of
            `RollbackEngine.observe`), "decide" (the time in Unix seconds) or "command" (the
            arguments of `RollbackEngine.command`).
        collaborators: The other arguments of `RollbackEngine`, but for clock and sinks.

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
    times = [0.0]
    engine = RollbackEngine(plan, clock=lambda: times[-1], **collaborators)
    decisions = []
    for each in events:
        match dict(each):
            case {"observe": arguments} if len(each) == 1:
                engine.observe(**arguments)
            case {"decide": now} if len(each) == 1:
                times.append(now)
                decisions.append(engine.decide())
            case {"command": arguments} if len(each) == 1:
                engine.command(**arguments)
            case _:
                raise refusal("events", each, 'one of "observe", "decide" and "command"')
    return decisions
