"""What is measured of a model: losses of a row, the AUC, and metrics of the user's own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from numbers import Number
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from mlguard.arguments import name_of, refusal, share
from mlguard.performance.inputs import events, labels, numbers, probabilities, rows, scores
from mlguard.stats.ranking import placements

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_EPSILON = float(np.finfo(np.float64).eps)
"""Probabilities are kept this far from 0 and 1 in the log loss, as scikit-learn does."""

Function: TypeAlias = Callable[[Any, Any], Any]
Reader: TypeAlias = Callable[[str, Any], "NDArray[Any]"]


@dataclass(frozen=True, slots=True)
class Metric:
    """A number that says how good predictions are, and which way is better. Immutable.

    Args:
        name: Of the measurement.
        of: A callable `(y, prediction)` that gives one number per row, of which the mean is taken,
            or one number for all rows, as the metrics of scikit-learn do.
        better: "lower" or "higher".
        reads: How y and the prediction are read and checked before; any arrays by default.

    Raises:
        ConfigurationError: `of` is not callable, or `better` is neither.

    Examples:
        >>> from sklearn.metrics import f1_score
        >>> f1 = Metric("f1", f1_score, better="higher")
    """

    name: str
    of: Function
    better: Literal["lower", "higher"]
    reads: tuple[Reader, Reader] = (rows, rows)

    def __post_init__(self) -> None:
        name_of("name", self.name)
        if not callable(self.of):
            raise refusal("of", self.of, "a callable (y, prediction)")
        if self.better not in {"lower", "higher"}:
            raise refusal("better", self.better, '"lower" or "higher"')


@dataclass(frozen=True, slots=True)
class _Pinball:
    quantile: float

    def __call__(self, y: Floats, prediction: Floats) -> Floats:
        with np.errstate(over="ignore"):
            over = y - prediction
        return np.maximum(self.quantile * over, (self.quantile - 1.0) * over)


def _accuracy(y: NDArray[Any], prediction: NDArray[Any]) -> Floats:
    if len(y) and _numbered(y) != _numbered(prediction):
        raise refusal("prediction.dtype", str(prediction.dtype), f"like that of y, {y.dtype}")
    if prediction.dtype.kind == "f" and (broken := prediction != np.rint(prediction)).any():
        row, allowed = int(broken.argmax()), "a label like those of y: cut scores off first"
        raise refusal(f"prediction[{row}]", float(prediction[row]), allowed)
    return np.asarray(y == prediction, dtype=np.float64)


def _numbered(labels: NDArray[Any]) -> bool:
    if labels.dtype.kind == "O":
        return all(isinstance(label, Number | np.number | np.bool_) for label in labels)
    return labels.dtype.kind in "fiub"


def _squared(y: Floats, prediction: Floats) -> Floats:
    with np.errstate(over="ignore"):  # an infinite loss is refused with its row
        return np.square(y - prediction)


def _absolute(y: Floats, prediction: Floats) -> Floats:
    with np.errstate(over="ignore"):
        return np.abs(y - prediction)


def _log_loss(y: NDArray[np.bool_], chance: Floats) -> Floats:
    chance = np.clip(chance, _EPSILON, 1.0 - _EPSILON)
    return -np.log(np.where(y, chance, 1.0 - chance))


def _area(y: NDArray[np.bool_], scores: Floats) -> float:
    one_class = y.all() or not y.any()
    return float("nan") if one_class else float(placements(scores, y)[y].mean())


_binary = (events, probabilities)
_numeric = (numbers, numbers)

accuracy = Metric("accuracy", _accuracy, "higher", (labels, labels))
log_loss = Metric("log_loss", _log_loss, "lower", _binary)
brier = Metric("brier", lambda y, chance: np.square(chance - y), "lower", _binary)
absolute = Metric("absolute", _absolute, "lower", _numeric)
squared = Metric("squared", _squared, "lower", _numeric)
roc_auc = Metric("roc_auc", _area, "higher", (events, scores))

METRICS = {each.name: each for each in (accuracy, log_loss, brier, absolute, squared, roc_auc)}


def pinball(quantile: float) -> Metric:
    """Make the pinball loss, which the forecast of that quantile minimises.

    Args:
        quantile: Strictly between 0 and 1.

    Raises:
        ConfigurationError: `quantile` is not between 0 and 1.

    Examples:
        >>> import numpy as np
        >>> pinball(0.9).of(np.array([10.0, 10.0]), np.array([9.0, 11.0]))
        array([0.9, 0.1])
    """
    return Metric(f"pinball_{quantile:g}", _Pinball(share("quantile", quantile)), "lower", _numeric)


def metric_of(loss: Metric | Function | str) -> Metric:
    """Read the `loss` argument: a metric, its name, or a callable, of which less is better."""
    if isinstance(loss, Metric):
        return loss
    if isinstance(loss, str) and loss in METRICS:
        return METRICS[loss]
    if not callable(loss):
        allowed = f"a Metric, a callable (y, prediction), pinball(q) or one of {sorted(METRICS)}"
        raise refusal("loss", loss, allowed)
    return Metric(getattr(loss, "__name__", type(loss).__name__), loss, "lower")
