"""What the exam means, in words: every sentence is made from the verdicts and the measurements."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import gate
from act1.exam import slice_of
from charts import ends, leaves
from data import AIRPORTS

if TYPE_CHECKING:
    from act1.exam import Candidate, Exam
    from mlguard import Verdict

MONTHS: Final = {"7": "July", "8": "August", "9": "September"}
COMPANY: Final = re.compile(
    r"(?<=\w{3})( Air Lines| Airlines| Airways| Air)?( Inc\.| Co\.| Corporation)?$",
)


def number(value: float) -> str:
    """Write a metric with three decimals."""
    return f"{value:.3f}"


def headline(exam: Exam) -> str:
    """Say how many candidates may ship."""
    passed = sum(candidate.verdict.ok for candidate in exam.candidates)
    return f"{passed} of {len(exam.candidates)} candidates may ship"


def lead(exam: Exam) -> str:
    """Say in two sentences what there is to learn."""
    stopped = [place(exam, leaf) for candidate in exam.candidates for leaf in candidate.worse]
    found = f"one of them is proven worse: at {stopped[0]}" if stopped else "none got worse"
    return f"{on_average(exam)} in every overall number. Slice by slice, {found}."


def on_average(exam: Exam) -> str:
    """Say whether the overall numbers of all candidates are better than the champion's."""
    return f"{'Both' if improved(exam) else 'Not both'} candidates beat the model in production"


def improved(exam: Exam) -> bool:
    """Whether every overall number of every candidate is better than the champion's."""
    return all(each.improved for candidate in exam.candidates for each in candidate.scores.values())


def why(exam: Exam, candidate: Candidate) -> str:
    """Say in a sentence or two why the gate passed or stopped a candidate."""
    if candidate.verdict.ok:
        auc, gain = candidate.scores["roc_auc"].value, candidate.scores["roc_auc"].difference
        return (
            f"AUC {number(auc.value)} where {gate.AUC_FLOOR:.2f} is asked, {number(gain.value)} above the champion’s. "
            f"None of {len(candidate.slices)} slices is worse: each interval of the log loss stays below the limit of {gate.MARGIN}."
        )
    if not candidate.worse:
        return "; ".join(leaf.reason for leaf in leaves(candidate.verdict) if not leaf.ok)
    first, *others = candidate.worse
    low, high = ends(first.evidence[0])
    also = "".join(
        f", and for {place(exam, leaf)} by {number(leaf.evidence[0].value)}" for leaf in others
    )
    return (
        f"Overall its log loss is {number(-candidate.overall.evidence[0].value)} lower than the champion’s. "
        f"But at {place(exam, first)} it is higher by {number(first.evidence[0].value)} ({number(low)} to {number(high)}){also}. "
        f"The limit is {gate.MARGIN}."
    )


def place(exam: Exam, leaf: Verdict) -> str:
    """Name the slice that a verdict is about."""
    column, value = slice_of(leaf) or ("", "")
    names = {"origin": AIRPORTS, "month": MONTHS, "carrier": exam.story.airlines}.get(column, {})
    if value in names:
        return COMPANY.sub("", names[value])
    return "Smaller ones" if column else "All flights"
