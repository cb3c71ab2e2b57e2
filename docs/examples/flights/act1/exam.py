"""The exam: the same flights as three models saw them, measured and put to the gate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from charts import ends, leaves
from gate import LIKELY, release_gate
from mlguard import Guards, MemoryStore, Verdict
from mlguard.performance import compare, evaluate
from production import WANTED

if TYPE_CHECKING:
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


@dataclass(frozen=True, slots=True)
class Score:
    """One metric of a candidate, and its difference to the champion's on the same flights, by whole days."""

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
        """The guards of the gate, by name."""
        return {each.name: each for each in self.verdict.causes if isinstance(each, Verdict)}

    @property
    def slices(self) -> list[Verdict]:
        """The verdicts on each airport, without the one on all flights."""
        return [leaf for leaf in leaves(self.part["worse at no airport"]) if slice_of(leaf)]

    @property
    def overall(self) -> Verdict:
        """The verdict on the log loss over all flights."""
        return leaves(self.part["worse at no airport"])[0]

    @property
    def stopped_at(self) -> list[Verdict]:
        """The airports that are proven worse, or not proven to be within the limit; the worst first."""
        found = [leaf for leaf in self.slices if not leaf.ok]
        return sorted(found, key=lambda leaf: -leaf.evidence[0].value)


@dataclass(frozen=True, slots=True)
class Exam:
    """Flights that no model has seen, and what came of asking about them."""

    story: Story
    champion: NDArray[np.float64]
    champion_scores: dict[str, Measurement]
    candidates: tuple[Candidate, ...]
    day: NDArray[np.int64]
    """The day of each flight: what is counted."""

    @property
    def days(self) -> int:
        """How many days the exam has."""
        return len(np.unique(self.day))

    def rows(self, leaf: Verdict) -> NDArray[np.bool_]:
        """Return which flights a verdict is about."""
        column, value = slice_of(leaf) or ("", "")
        if not column:
            return np.ones(len(self.day), dtype=np.bool_)
        return (self.story.exam[column].astype(str) == value).to_numpy()

    def by_weeks(self, candidate: Candidate, leaf: Verdict) -> Measurement:
        """Measure what a verdict is about again, with whole weeks from Monday in the place of days."""
        rows, confidence = self.rows(leaf), leaf.evidence[0].confidence or 0.95
        late, week = self.story.late[rows], (self.day[rows] + 3) // 7
        champion, prediction = self.champion[rows], candidate.prediction[rows]
        change = compare(
            late, champion, prediction, loss="log_loss", cluster=week, confidence=confidence
        )
        return change.overall


def sit(story: Story, screen: Screen) -> Exam:
    """Let all models sit the exam."""
    late, day = story.late, story.day
    guards = Guards.build(WANTED, reference=story.reference, store=MemoryStore())
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
                    metric: _score(late, champion, prediction, day, metric) for metric in METRICS
                }
            with step(f"Asking the gate: {name}"):
                origin = story.exam["origin"].astype(str)
                verdict = release_gate(
                    late, champion, prediction, guards=guards, origin=origin, day=day
                )()
            candidates.append(Candidate(key, name, prediction, scores, verdict))
    own = {
        metric: evaluate(late, _as_asked(champion, metric), loss=metric, cluster=day).overall
        for metric in METRICS
    }
    return Exam(story, champion, own, tuple(candidates), day)


def more_is_better(found: Measurement) -> bool:
    """Return whether a higher value of a metric is the better one."""
    return bool(found.details["better"] == "higher")


def slice_of(leaf: Verdict) -> tuple[str, str] | None:
    """Return the column and the level of the slice that a verdict is about; None for all rows."""
    column, _, level = str(leaf.evidence[0].details.get("slice", "")).partition("=")
    return (column, level) if column else None


def _score(
    late: NDArray[np.bool_],
    champion: NDArray[np.float64],
    candidate: NDArray[np.float64],
    day: NDArray[np.int64],
    metric: str,
) -> Score:
    before, after = _as_asked(champion, metric), _as_asked(candidate, metric)
    difference = compare(late, before, after, loss=metric, cluster=day).overall
    low, high = ends(difference)
    improved = low > 0 if more_is_better(difference) else high < 0
    value = evaluate(late, after, loss=metric, cluster=day).overall
    return Score(value, difference, improved)


def _as_asked(chance: NDArray[np.float64], metric: str) -> NDArray[np.float64] | NDArray[np.bool_]:
    return chance >= LIKELY if metric == "accuracy" else chance
