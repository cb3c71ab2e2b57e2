"""The exam: the same flights as three models saw them, measured and put to the gate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from charts import ends, leaves
from gate import release_gate
from mlguard import Severity, Verdict
from mlguard.performance import compare, evaluate

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from mlguard import Measurement
    from story import Story
    from terminal import Screen

NAMES: Final = {"better": "Trees with live data", "broken": "Same trees, Newark’s feed lost"}
METRICS: Final = {
    "roc_auc": "ROC AUC",
    "accuracy": "Accuracy",
    "log_loss": "Log loss",
    "brier": "Brier score",
}
CUT: Final = 0.5
SLICED_BY: Final = ("origin", "month", "carrier")


@dataclass(frozen=True, slots=True)
class Score:
    """One metric of a candidate, and its difference to the champion's on the same flights."""

    value: Measurement
    difference: Measurement
    improved: bool
    """Whether the whole interval of the difference lies on the good side of zero."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """What is known of a candidate after the exam."""

    key: str
    name: str
    prediction: NDArray[np.float64]
    scores: dict[str, Score]
    verdict: Verdict

    @property
    def part(self) -> dict[str, Verdict]:
        """The three guards of the gate, by name."""
        return {each.name: each for each in self.verdict.causes if isinstance(each, Verdict)}

    @property
    def slices(self) -> list[Verdict]:
        """The verdicts on each slice, without the one on all flights."""
        return [leaf for leaf in leaves(self.part["worse for nobody"]) if slice_of(leaf)]

    @property
    def overall(self) -> Verdict:
        """The verdict on the log loss over all flights."""
        return leaves(self.part["worse for nobody"])[0]

    @property
    def worse(self) -> list[Verdict]:
        """The slices that are proven worse, the worst first."""
        found = [leaf for leaf in self.slices if leaf.severity is Severity.BREACH]
        return sorted(found, key=lambda leaf: -leaf.evidence[0].value)


@dataclass(frozen=True, slots=True)
class Exam:
    """Flights that no model has seen, and what came of asking about them."""

    story: Story
    champion: NDArray[np.float64]
    champion_scores: dict[str, Measurement]
    candidates: tuple[Candidate, ...]

    def rows(self, leaf: Verdict) -> NDArray[np.bool_]:
        """Return which flights belong to the slice that a verdict is about."""
        column, value = slice_of(leaf) or ("", "")
        return (self.story.exam[column].astype(str) == value).to_numpy()


def sit(story: Story, screen: Screen) -> Exam:
    """Let all models sit the exam."""
    with screen.steps(5) as step:
        with step(f"Predicting {len(story.exam):,} flights that no model has seen"):
            champion = story.champion.predict(story.exam)
            predictions = {
                "better": story.candidate.predict(story.exam),
                "broken": story.candidate.predict(story.broken_exam),
            }
        candidates = []
        for key, prediction in predictions.items():
            name = NAMES[key]
            with step(f"Measuring: {name}"):
                scores = {
                    metric: _score(story.late, champion, prediction, metric) for metric in METRICS
                }
            with step(f"Asking the gate: {name}"):
                by = {column: story.exam[column].astype(str) for column in SLICED_BY}
                verdict = release_gate(story.late, champion, prediction, by)()
            candidates.append(Candidate(key, name, prediction, scores, verdict))
    own = {
        metric: evaluate(story.late, _as_asked(champion, metric), loss=metric).overall
        for metric in METRICS
    }
    return Exam(story, champion, own, tuple(candidates))


def more_is_better(found: Measurement) -> bool:
    """Return whether a higher value of a metric is the better one."""
    return bool(found.details["better"] == "higher")


def slice_of(leaf: Verdict) -> tuple[str, str] | None:
    """Return the column and the level of the slice that a verdict is about; None for all rows."""
    column, _, level = str(leaf.evidence[0].details.get("slice", "")).partition("=")
    return (column, level) if column else None


def by_whole_days(exam: Exam, candidate: Candidate, leaf: Verdict) -> tuple[float, float]:
    """Return the interval of the extra log loss in a slice when whole days are what varies."""
    rows = exam.rows(leaf)
    late = exam.story.late[rows]
    extra = _log_loss(late, candidate.prediction[rows]) - _log_loss(late, exam.champion[rows])
    day = _day(exam.story.exam)[rows]
    total = np.bincount(day - day.min(), weights=extra - extra.mean())
    half = 1.96 * float(np.sqrt((total**2).sum())) / len(extra)
    return float(extra.mean()) - half, float(extra.mean()) + half


def _score(
    late: NDArray[np.bool_],
    champion: NDArray[np.float64],
    candidate: NDArray[np.float64],
    metric: str,
) -> Score:
    before, after = _as_asked(champion, metric), _as_asked(candidate, metric)
    difference = compare(late, before, after, loss=metric).overall
    low, high = ends(difference)
    improved = low > 0 if more_is_better(difference) else high < 0
    return Score(evaluate(late, after, loss=metric).overall, difference, improved)


def _as_asked(chance: NDArray[np.float64], metric: str) -> NDArray[np.float64] | NDArray[np.bool_]:
    return chance >= CUT if metric == "accuracy" else chance


def _day(flights: pd.DataFrame) -> NDArray[np.int64]:
    return flights["due"].to_numpy() // (24 * 60)


def _log_loss(late: NDArray[np.bool_], said: NDArray[np.float64]) -> NDArray[np.float64]:
    return -np.log(np.where(late, said, 1 - said))
