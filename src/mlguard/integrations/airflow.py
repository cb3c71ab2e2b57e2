"""Verdicts in Airflow 3: which fail a task for good, which are tried again, and what goes on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from mlguard.arguments import choice, name_of, refusal
from mlguard.checks import judged
from mlguard.errors import GuardUnknown, MissingDependencyError
from mlguard.values import Severity, Verdict

if TYPE_CHECKING:
    from mlguard.protocols import Check

__all__ = ["branch", "conclude", "guarded_task"]

Unknown: TypeAlias = Literal["fail", "skip", "pass"]
"""What a task does whose verdict could not judge."""


def conclude(verdict: Verdict | Check, *, unknown: Unknown = "fail") -> dict[str, Any]:
    """End a task by a verdict: raise what Airflow understands, or give the verdict as plain JSON.

    A BREACH fails the task at once: a verdict is the same at the next try, and every try would
    alert. OK and WARN give the dict, which is an XCom that any task can read: Airflow refuses
    classes. `Verdict.from_dict` makes the verdict of it again.

    Args:
        verdict: What was judged, or a check to be asked.
        unknown: What becomes of a verdict that could not judge. "fail" raises `GuardUnknown`, so
            that the task's retries apply: the data may yet come. "skip" skips it and what depends
            on it; "pass" gives the dict.

    Raises:
        airflow.sdk.exceptions.AirflowFailException: It is a BREACH; the message is its explanation.
        airflow.sdk.exceptions.AirflowSkipException: It could not judge, and `unknown` is "skip".
        GuardUnknown: It could not judge, and `unknown` is "fail".
        ConfigurationError: An argument is not of its kind.
        MissingDependencyError: Airflow is not installed.

    Examples:
        >>> from mlguard import Severity, Verdict
        >>> conclude(Verdict("drift", Severity.WARN, "1 column has drifted"))["severity"]
        'WARN'
    """
    choice("unknown", unknown, "fail", "skip", "pass")
    found = judged(verdict)
    if found.severity is Severity.BREACH:
        raise _airflows("AirflowFailException")(found.explain())
    if found.in_doubt and unknown == "fail":
        raise GuardUnknown(found)
    if found.in_doubt and unknown == "skip":
        raise _airflows("AirflowSkipException")(found.explain())
    return found.to_dict()


def branch(
    verdict: Verdict | Check | Mapping[str, Any], ways: Mapping[str, str | Sequence[str] | None]
) -> str | list[str] | None:
    """Choose what comes next by a verdict, in a task made with `@task.branch`.

    Args:
        verdict: What was judged, a check to be asked, or what `conclude` gave to another task.
        ways: By severity, "OK", "WARN", "UNKNOWN" and "BREACH", the tasks to go on with: one id,
            several, or None for nothing. A warning that may yet be a breach is "UNKNOWN".

    Raises:
        ConfigurationError: `verdict` is none, or `ways` lacks a severity or has something else:
            what is not said would be skipped in silence.

    Examples:
        >>> from mlguard import Severity, Verdict
        >>> found = Verdict("drift", Severity.BREACH, "12 columns have drifted")
        >>> ways = {"OK": None, "WARN": "look", "UNKNOWN": "look", "BREACH": ["page", "retrain"]}
        >>> branch(found, ways)
        ['page', 'retrain']
    """
    known = [each.name for each in Severity]
    if not isinstance(ways, Mapping) or {*ways} != {*known}:
        raise refusal("ways", ways, f"a mapping of {known} to ids of tasks")
    read = Verdict.from_dict(verdict) if isinstance(verdict, Mapping) else judged(verdict)
    way = ways["UNKNOWN" if read.in_doubt else read.severity.name]
    if way is None or isinstance(way, str):
        return way
    return [name_of("ways", each) for each in way]


def guarded_task(unknown: Unknown = "fail", **settings: Any) -> Callable[[Callable[..., Any]], Any]:
    """Make a task of a function that gives a verdict or a check: `@task`, ended by `conclude`.

    Args:
        unknown: As of `conclude`.
        settings: The arguments of Airflow's `@task`: retries, retry_delay, trigger_rule.

    Raises:
        ConfigurationError: `unknown` is not of its kind.
        MissingDependencyError: Airflow is not installed.

    Examples:
        >>> def drift():
        ...     return reference.compare(rows()).verdict()
        >>> guarded_task(unknown="skip", retries=2)  # (drift), or as @guarded_task(…), in a DAG
        <function ...>
    """
    choice("unknown", unknown, "fail", "skip", "pass")

    def made(function: Callable[..., Verdict | Check]) -> Any:
        try:
            from airflow.sdk import task  # noqa: PLC0415 -- Airflow is the caller's
        except ImportError as error:
            raise MissingDependencyError(_MISSING) from error

        @wraps(function)
        def concluded(*arguments: Any, **named: Any) -> dict[str, Any]:
            return conclude(function(*arguments, **named), unknown=unknown)

        return task(**settings)(concluded)

    return made


_MISSING = "Airflow 3 is not installed here: run this in its environment"


def _airflows(name: str) -> type[Exception]:
    try:
        from airflow.sdk import exceptions  # noqa: PLC0415 -- Airflow is the caller's
    except ImportError:
        try:
            from airflow import exceptions  # noqa: PLC0415 -- where it stood before 3.1
        except ImportError as error:
            raise MissingDependencyError(_MISSING) from error
    found: type[Exception] = getattr(exceptions, name)
    return found
