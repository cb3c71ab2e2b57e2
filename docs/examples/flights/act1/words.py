"""What the exam means, in words: every sentence is made from the verdicts and the measurements."""

from __future__ import annotations

from calendar import month_name
from typing import TYPE_CHECKING

import gate
from act1.exam import slice_of
from charts import ends, leaves, signed
from data import AIRPORTS
from mlguard import Severity
from production import FLOOR

if TYPE_CHECKING:
    from act1.exam import Candidate, Exam
    from mlguard import Measurement, Verdict


def number(value: float) -> str:
    """Write a metric with three decimals."""
    return f"{value:.3f}"


def interval(found: Measurement) -> str:
    """Write the interval of a difference."""
    low, high = ends(found)
    return f"{signed(low)} to {signed(high)}"


def months(span: range) -> str:
    """Name the first and the last of some months."""
    return f"{month_name[span[0]]} to {month_name[span[-1]]}"


def headline(exam: Exam) -> str:
    """Say how many candidates may ship."""
    passed = sum(candidate.verdict.ok for candidate in exam.candidates)
    return f"{passed} of {len(exam.candidates)} candidates may ship"


def lead(exam: Exam) -> str:
    """Say in two sentences what there is to learn."""
    stopped = [leaf for candidate in exam.candidates for leaf in candidate.stopped_at[:1]]
    found = "each of them stays within the limit"
    if stopped:
        who = "one of them" if len(stopped) == 1 else "more than one"
        found = f"{who} {_harm(stopped[0])}"
    return f"{on_average(exam)} in every overall number. Airport by airport, {found}."


def on_average(exam: Exam) -> str:
    """Say whether the overall numbers of all candidates are better than the champion's."""
    return f"{'Both' if improved(exam) else 'Not both'} candidates beat the model in production"


def improved(exam: Exam) -> bool:
    """Whether every overall number of every candidate is better than the champion's."""
    return all(each.improved for candidate in exam.candidates for each in candidate.scores.values())


def why(candidate: Candidate) -> str:
    """Say in a few sentences why the gate passed or stopped a candidate."""
    if candidate.verdict.ok:
        accuracy, gain = candidate.scores["accuracy"].value, candidate.scores["roc_auc"].difference
        return (
            f"Accuracy {number(accuracy.value)}, at least the {FLOOR} that production.yaml asks for, and the AUC is {number(gain.value)} above the champion’s. "
            f"At each of {len(candidate.slices)} airports the whole interval of the difference in log loss stays below the limit of {gate.MARGIN}."
        )
    if not candidate.stopped_at:
        return "; ".join(leaf.reason for leaf in leaves(candidate.verdict) if not leaf.ok)
    overall = signed(candidate.overall.evidence[0].value)
    return (
        f"Over all flights the difference in log loss to the champion is {overall}. "
        f"{' '.join(map(_stop, candidate.stopped_at))}"
    )


def days(exam: Exam) -> str:
    """Say what the intervals count."""
    return (
        f"The intervals count {exam.days} days, not {len(exam.day):,} flights, because the flights of a day share its weather "
        f"(n = {exam.days} in the verdicts)."
    )


def place(leaf: Verdict) -> str:
    """Name the airport that a verdict is about."""
    _, value = slice_of(leaf) or ("", "All flights")
    return AIRPORTS.get(value, value)


def _harm(leaf: Verdict) -> str:
    if leaf.severity is Severity.BREACH:
        return f"is proven worse at {place(leaf)}, by more than the gate allows"
    does = "does" if leaf.evidence[0].value > 0 else "may do"
    return f"{does} worse at {place(leaf)}, maybe by more than the gate allows"


def _stop(leaf: Verdict) -> str:
    found = leaf.evidence[0]
    meaning = (
        f"beyond the limit of {gate.MARGIN}."
        if leaf.severity is Severity.BREACH
        else f"whether that is within the limit of {gate.MARGIN} is not proven, and doubt does not pass."
    )
    return f"At {place(leaf)} it is {signed(found.value)} ({interval(found)}): {meaning}"
