"""Is the model good enough, and no worse than the champion: losses with intervals, and gates."""

from __future__ import annotations

from mlguard.performance.evaluation import Comparison, Evaluation
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
from mlguard.performance.policies import better, not_worse
from mlguard.performance.training import TrainingGate, converges, finite, improves, logged

__all__ = [
    "Comparison",
    "Evaluation",
    "Metric",
    "TrainingGate",
    "absolute",
    "accuracy",
    "better",
    "brier",
    "compare",
    "converges",
    "evaluate",
    "finite",
    "improves",
    "log_loss",
    "logged",
    "not_worse",
    "pinball",
    "roc_auc",
    "squared",
]
