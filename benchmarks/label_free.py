"""Does the label-free estimate beat "same as the reference"? The flights of 2013, month by month.

The candidate of the demo is trained on January to April and calibrated on May and June, which it
has not seen. Then it meets July to December. By metric and month: what was realised, what was
estimated from the scores alone, with its interval, and where this fails. Below stands why: the
share of late flights at the same scores. Fails where the mean absolute error of any metric is not
below that of "same as the reference".
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from sklearn import metrics

from mlguard.performance import Estimate

sys.path.insert(0, str(Path(__file__).parents[1] / "docs" / "examples" / "flights"))

import data
import models

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlguard import Measurement

TRAINED = 4
REFERENCE = (5, 6)
EXAM = range(7, 13)
THRESHOLD = 0.5


def realised(y: NDArray[np.bool_], score: NDArray[np.float64]) -> dict[str, float]:
    """Give each metric of labelled rows, by scikit-learn."""
    late = score >= THRESHOLD
    found = {
        "accuracy": metrics.accuracy_score(y, late),
        "precision": metrics.precision_score(y, late),
        "recall": metrics.recall_score(y, late),
        "f1": metrics.f1_score(y, late),
        "brier": metrics.brier_score_loss(y, score),
        "log_loss": metrics.log_loss(y, score),
        "roc_auc": metrics.roc_auc_score(y, score),
    }
    return {name: float(value) for name, value in found.items()}


def judged(estimated: Measurement, truth: float, before: float) -> str:
    """Write a month in a line."""
    low, high = estimated.low or 0.0, estimated.high or 0.0
    notes = [] if low <= truth <= high else ["interval misses"]
    notes += (
        ["worse than the reference"] if abs(estimated.value - truth) > abs(before - truth) else []
    )
    interval = f"{estimated.value:.4f} ({low:.4f} to {high:.4f})"
    return f"realised {truth:.4f}, estimated {interval} {', '.join(notes)}".rstrip()


def main() -> int:
    """Train, calibrate, estimate each month and compare."""
    rows = data.load()
    flights = models.join_feed(rows, data.delay_feed(rows))
    month = flights["month"].to_numpy()
    model = models.train_candidate(flights[month <= TRAINED].reset_index(drop=True))
    score, y = model.predict(flights), flights["late"].to_numpy()
    labelled = np.isin(month, REFERENCE)
    estimate = Estimate.fit(y[labelled], score[labelled])
    before = realised(y[labelled], score[labelled])
    start = time.process_time()
    found = {each: estimate.estimate(score[month == each]) for each in EXAM}
    seconds = time.process_time() - start
    truth = {each: realised(y[month == each], score[month == each]) for each in EXAM}
    lost = 0
    for name, reference in before.items():
        print(f"{name}, in the reference {reference:.4f}")
        for each in EXAM:
            print(f"  {each:2d} {judged(found[each][name], truth[each][name], reference)}")
        ours = np.mean([abs(found[each][name].value - truth[each][name]) for each in EXAM])
        same = np.mean([abs(reference - truth[each][name]) for each in EXAM])
        print(f"  mean absolute error {ours:.4f}, of the reference's own {same:.4f}")
        lost += bool(ours >= same)
    print("why: late flights at scores of 0.1 to 0.3, and of 0.3 to 0.6")
    for name, where in {
        "reference": labelled,
        **{str(each): month == each for each in EXAM},
    }.items():
        low, high = (where & (score >= a) & (score < b) for a, b in ((0.1, 0.3), (0.3, 0.6)))
        print(
            f"  {name:>9} {y[low].mean():.1%}, {y[high].mean():.1%}; "
            f"mean score {score[where].mean():.3f}"
        )
    print(f"six months estimated in {1e3 * seconds:.0f} ms CPU")
    return int(lost > 0)


if __name__ == "__main__":
    sys.exit(main())
