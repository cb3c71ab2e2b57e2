"""What the rollouts did, in words: every sentence is made from the decisions and the counts."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from act7.canaries import Canaries, Canary


def headline(canaries: Canaries) -> str:
    """Say how both ended."""
    broken, better = canaries.both
    return f"The broken canary was rolled back after {broken.exposed:,} answers, the better one {_ended(better)}"


def _ended(canary: Canary) -> str:
    return {"promote": "was promoted", "rollback": "was rolled back"}.get(
        canary.last.action, "is on hold"
    )


def lead(canaries: Canaries) -> str:
    """Say in a few sentences what there is to learn."""
    better = canaries.better
    return (
        "The engine is asked every hour, and may be: its error rate of 5 % holds for all looks together. The broken candidate is wrong less often than the champion, "
        "so its accuracy would never have stopped it. That it answers without the departure board does. "
        f"The better one needs {better.exposed:,} answers of its own until it is proven safe, by {hour(better.last.at)}."
    )


def told(canary: Canary) -> str:
    """Say how one rollout ended."""
    asked = len(canary.steps)
    return f"{_ended(canary).capitalize()} on {hour(canary.last.at)}, after {canary.exposed:,} answers and {asked:,} looks. {canary.last.reason}."


def evidence(canary: Canary) -> list[str]:
    """Say what was known at the end, guardrail by guardrail."""
    found = []
    for each in canary.findings:
        (bad, of), (bad_b, of_b) = zip(each["events"], each["requests"], strict=True)
        high = each["ratio_high"]
        found.append(
            f"{each['guardrail']}: {bad:,} of {of:,} answers of the canary, {bad_b:,} of {of_b:,} of the champion; "
            f"{each['ratio_low']:.2f} to {'any' if high is None else f'{high:.2f}'} times as often, whenever one looks."
        )
    return found


def hour(at: float) -> str:
    """Write a time."""
    when = datetime.fromtimestamp(at, UTC)
    return f"{when.day} {when:%b %H:%M}"
