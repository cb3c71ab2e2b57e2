"""Is the model good enough, and no worse than the champion: losses with intervals, and gates."""

from __future__ import annotations

from mlguard.performance.awaited import LossEstimate
from mlguard.performance.changes import change_from, realised_minus_estimated
from mlguard.performance.evaluation import Comparison, Evaluation
from mlguard.performance.history import history_html
from mlguard.performance.label_free import Estimate
from mlguard.performance.mature import MatureLosses, mature_losses
from mlguard.performance.measuring import compare, evaluate
from mlguard.performance.metrics import (
    Metric,
    absolute,
    accuracy,
    brier,
    log_loss,
    pinball,
    roc_auc,
    squared,
)
from mlguard.performance.outcomes import Outcomes
from mlguard.performance.policies import better, not_worse
from mlguard.performance.sliced import SlicedEstimate
from mlguard.performance.training import TrainingGate, converges, finite, improves, logged

__all__ = [
    "Comparison",
    "Estimate",
    "Evaluation",
    "LossEstimate",
    "MatureLosses",
    "Metric",
    "Outcomes",
    "SlicedEstimate",
    "TrainingGate",
    "absolute",
    "accuracy",
    "better",
    "brier",
    "change_from",
    "compare",
    "converges",
    "evaluate",
    "finite",
    "history_html",
    "improves",
    "log_loss",
    "logged",
    "mature_losses",
    "not_worse",
    "pinball",
    "realised_minus_estimated",
    "roc_auc",
    "squared",
]
