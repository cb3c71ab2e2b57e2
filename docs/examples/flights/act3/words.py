"""What the minutes mean, in words: every sentence is made from the verdicts and the counts."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from act3.service import SLOWER
from charts import leaves
from production import WANTED, given

if TYPE_CHECKING:
    from act3.moments import Change, Incident, Moment, Phase, Served

BUDGETS: Final = {"latency": "the latency budget", "errors": "the error budget"}
BURNS: Final = ("1 h", "5 min")
"""The windows of the first alert."""
HOUR: Final = 3600.0
MINUTE: Final = 60.0
LEAST_BURN: Final = 0.1
"""Where scales of the burn rate begin, which know no zero."""


def headline(served: Served) -> str:
    """Say how many incidents the guard noticed, and how soon."""
    incidents = served.incidents
    found = [span(each.found.at - each.start) for each in incidents if each.found]
    after = f", after {' and '.join(found)}" if found else ""
    return f"{len(found)} of {len(incidents)} incidents were noticed{after}"


def lead(served: Served) -> str:
    """Say in a few sentences what there is to learn."""
    return (
        f"For {served.minutes} minutes the new model answered {served.statuses.total():,} requests behind its guard. "
        + " ".join(_lesson(incident) for incident in served.incidents)
    )


def _lesson(incident: Incident) -> str:
    who = " and ".join(BUDGETS[part] for part in incident.seen_by) or "nothing"
    median, slowest = (seconds(incident.most(name)) for name in ("p50", "p99"))
    if incident.phase.slow:
        return f"With a slow departure board, p99 went to {slowest} while the median was never above {median}: {who} noticed."
    return f"With a board that refuses, answers failed quickly and p99 was never above {slowest}: {who} noticed."


def badge(incident: Incident) -> str:
    """Say how soon an incident was found."""
    if incident.found is None:
        return "Not noticed"
    return (
        f"{incident.found.verdict.severity.name} after {span(incident.found.at - incident.start)}"
    )


def why(incident: Incident) -> str:
    """Say what went wrong, what the guard saw of it, and when it said so."""
    phase = incident.phase
    told = _slow(incident) if phase.slow else _refused(incident)
    return f"{told} {_when(incident)}"


def title(incident: Incident) -> str:
    """Name an incident by its minutes."""
    start, end = incident.start / MINUTE, incident.end / MINUTE
    return f"Minutes {start:.0f} to {end:.0f}: {incident.phase.name}"


def short(phase: Phase) -> str:
    """Say in one word what is wrong with the departure board."""
    return "slow" if phase.slow else "down" if phase.refused else ""


def _slow(incident: Incident) -> str:
    rises = ", ".join(
        f"{name} {seconds(incident.before.seconds(name))} → {seconds(incident.most(name))} (limit {seconds(limit)})"
        for name, limit in limits().items()
    )
    return f"{percent(incident.phase.slow)} of the look-ups took {SLOWER} times as long. Before, and at worst: {rises}."


def _refused(incident: Incident) -> str:
    fastest = max(incident.during, key=lambda each: each.burn[1])
    ends = min(each.exhausts_in for each in incident.during)
    return (
        f"{percent(incident.phase.refused)} of the look-ups were refused. The error budget burnt up to {fastest.burn[1]:.0f} times as fast as it may, "
        f"over 5 minutes; at the pace of the last hour, what is left of its 30 days would have lasted {span(ends)}. "
        f"It went from {percent(incident.before.remaining, 1)} to {percent(incident.during[-1].remaining, 1)}."
    )


def _when(incident: Incident) -> str:
    if incident.found is None:
        return "The guard did not notice."
    found = f"The guard said BREACH after {span(incident.found.at - incident.start)}"
    if incident.over is None:
        return f"{found}, and had not taken it back when the act ended."
    return f"{found}, and OK again {span(incident.over.at - incident.end)} after the trouble ended: by then it had left the window of 5 minutes."


def change(change: Change) -> str:
    """Say why a part of the verdict changed."""
    same = [leaf for leaf in leaves(change.verdict) if leaf.severity is change.verdict.severity]
    return change.verdict.reason if change.verdict.ok else same[0].reason


def counts(served: Served) -> str:
    """Say what the clients got."""
    failed = served.statuses.total() - served.statuses[200]
    return (
        f"{served.statuses[200]:,} answers came with a prediction, {failed:,} with an error; {served.marked:,} carried the header "
        "mlguard-severity: BREACH, by which a caller or a load balancer can turn elsewhere."
    )


def limits() -> dict[str, float]:
    """Return the limit of each quantile by its name."""
    return {f"p{100 * q:g}": limit for q, limit in given(WANTED.latency).limits.items()}


def seconds(value: float) -> str:
    """Write a latency."""
    return f"{1000 * value:.0f} ms" if value < 1 else f"{value:.2g} s"


def clock(moment: Moment) -> str:
    """Write when something was said, in minutes and seconds."""
    return f"{moment.at // 60:.0f}:{moment.at % 60:02.0f}"


def percent(share: float, digits: int = 0) -> str:
    """Write a share."""
    return f"{100 * share:.{digits}f} %"


def span(seconds: float) -> str:
    """Write how long something took."""
    if math.isinf(seconds):
        return "for ever"
    units = ((2 * HOUR, HOUR, "h"), (2 * MINUTE, MINUTE, "min"), (0.0, 1.0, "s"))
    unit, name = next((unit, name) for least, unit, name in units if seconds >= least)
    return f"{seconds / unit:.0f} {name}"
