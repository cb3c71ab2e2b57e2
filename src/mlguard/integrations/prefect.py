"""Verdicts in Prefect 3: states that are named by them, what is tried again, and artifacts."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from mlguard.arguments import choice, name_of, refusal
from mlguard.checks import judged
from mlguard.errors import MissingDependencyError
from mlguard.values import Severity, Verdict

if TYPE_CHECKING:
    from mlguard.protocols import Check

__all__ = ["artifact", "conclude", "guarded_task", "unless_breach"]

Unknown: TypeAlias = Literal["fail", "skip", "pass"]
"""What a task does whose verdict could not judge."""


def conclude(verdict: Verdict | Check, *, unknown: Unknown = "fail") -> Any:
    """Give the state in which a task or a flow ends by a verdict: return it from there.

    It has the name of the verdict's severity, its reason as message, and where it is completed the
    verdict as plain JSON for its data, of which `Verdict.from_dict` makes the verdict again.

    Args:
        verdict: What was judged, or a check to be asked.
        unknown: What becomes of a verdict that could not judge: "fail" is a failed state UNKNOWN,
            which `unless_breach` lets be tried again; "pass" is a completed one; "skip" is
            completed too, and named Skipped.

    Raises:
        ConfigurationError: An argument is not of its kind.
        MissingDependencyError: Prefect is not installed.

    Examples:
        >>> def judge(reference, rows):  # in a task
        ...     return conclude(reference.compare(rows).verdict(), unknown="skip")
    """
    choice("unknown", unknown, "fail", "skip", "pass")
    found = judged(verdict)
    completed, failed = (_prefects("prefect.states", name) for name in ("Completed", "Failed"))
    name = "UNKNOWN" if found.in_doubt else found.severity.name
    if found.severity is Severity.BREACH or (found.in_doubt and unknown == "fail"):
        return failed(name=name, message=found.explain())
    if found.in_doubt and unknown == "skip":
        name = "Skipped"
    return completed(name=name, message=found.reason, data=found.to_dict())


def unless_breach(task: Any, run: Any, state: Any) -> bool:  # noqa: ARG001 -- Prefect calls it so
    """Tell Prefect to try a task again unless it ended by a BREACH: a `retry_condition_fn`.

    The verdict would be the same at the next try, and each would alert.

    Examples:
        >>> from types import SimpleNamespace
        >>> [unless_breach(None, None, SimpleNamespace(name=n)) for n in ("BREACH", "UNKNOWN")]
        [False, True]
    """
    return bool(state.name != Severity.BREACH.name)


def guarded_task(unknown: Unknown = "fail", **settings: Any) -> Callable[[Callable[..., Any]], Any]:
    """Make a task of a function that gives a verdict or a check: `@task`, ended by `conclude`.

    Called in a flow it gives the state, whatever that is; `state.result()` gives the verdict as a
    dict, and raises where the state is a failed one.

    Args:
        unknown: As of `conclude`.
        settings: The arguments of Prefect's `@task`: retries, retry_delay_seconds, name.

    Raises:
        ConfigurationError: `unknown` is not of its kind.
        MissingDependencyError: Prefect is not installed.

    Examples:
        >>> guarded_task(unknown="skip", retries=2)  # @guarded_task(…), before a function
        <function ...>
    """
    choice("unknown", unknown, "fail", "skip", "pass")

    def made(function: Callable[..., Verdict | Check]) -> Any:
        task = _prefects("prefect", "task")

        @wraps(function)
        def concluded(*arguments: Any, **named: Any) -> Any:
            return conclude(function(*arguments, **named), unknown=unknown)

        return task(**{"retry_condition_fn": unless_breach, **settings})(concluded)

    return made


def artifact(verdict: Verdict, *, key: str) -> Any:
    """Show a verdict as an artifact of the run, a tree in Markdown; gives the artifact's id.

    Args:
        verdict: What was judged.
        key: Of the artifact: lower-case letters, digits and dashes.

    Raises:
        ConfigurationError: An argument is not of its kind.
        MissingDependencyError: Prefect is not installed.

    Examples:
        >>> def show(verdict):  # in a task or a flow
        ...     return artifact(verdict, key="drift-of-the-day")
    """
    if not isinstance(verdict, Verdict):
        raise refusal("verdict", verdict, "a verdict")
    create = _prefects("prefect.artifacts", "create_markdown_artifact")
    told = f"**{verdict.severity.name}** {verdict.name}\n\n```text\n{verdict.explain()}\n```\n"
    return create(told, key=name_of("key", key), description=verdict.reason)


def _prefects(module: str, name: str) -> Any:
    from importlib import import_module  # noqa: PLC0415 -- Prefect is the caller's

    try:
        return getattr(import_module(module), name)
    except ImportError as error:
        missing = "Prefect 3 is not installed here: run this in its environment"
        raise MissingDependencyError(missing) from error
