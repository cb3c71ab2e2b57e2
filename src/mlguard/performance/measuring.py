"""Measuring a model, or the change from one to another."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from mlguard.arguments import real, refusal, share, whole
from mlguard.errors import ConfigurationError
from mlguard.performance import estimates
from mlguard.performance.evaluation import ALL, Comparison, Evaluation, Part, pooled
from mlguard.performance.inputs import clusters_of, groups, same_length, weights_of
from mlguard.performance.metrics import Function, Metric, metric_of, roc_auc
from mlguard.sketches.moments import LARGEST, Moments

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import ArrayLike, NDArray

    from mlguard.performance.estimates import Uncertain

    Rows = NDArray[np.intp]

E = TypeVar("E", bound=Evaluation)


def evaluate(
    y: ArrayLike,
    prediction: ArrayLike,
    *,
    loss: Metric | Function | str,
    by: Any = None,
    weights: ArrayLike | None = None,
    cluster: ArrayLike | None = None,
    confidence: float = 0.95,
    min_slice: int = 100,
    rng: np.random.Generator | None = None,
    resamples: int = 1_000,
) -> Evaluation:
    """Measure how good the predictions of a model are.

    Args:
        y: The truth, one label or number per row, shape (n,). None may be missing.
        prediction: What the model said, shape (n,): probabilities of the positive class for
            "log_loss" and "brier", scores of any scale for "roc_auc", labels for "accuracy".
        loss: A name ("accuracy", "log_loss", "brier", "absolute", "squared", "roc_auc"),
            `pinball(q)`, a `Metric`, or a callable `(y, prediction)`. A callable that gives one
            number per row is averaged; one that gives a single number needs `rng`.
        by: Slices: one column of n levels, or several as a mapping or a data frame.
        weights: Of the rows, shape (n,), not negative; for means over rows only.
        cluster: Whose rows belong together, shape (n,): rows of one user, day or machine are alike,
            and an interval that counts them as independent is too narrow. `n` and `min_slice`
            count clusters then. Batches that are merged must not share a cluster.
        confidence: Coverage of the interval; slices hold it together. 0.95 by custom.
        min_slice: Slices with fewer rows are put together: 100 by default, which makes the
            interval of a share at most 0.2 wide.
        rng: For the bootstrap of a metric of all rows.
        resamples: How many, for that bootstrap.

    Returns:
        The measurements: `.overall`, `.slices`, or all of them by calling it. Fewer than 10 rows,
        and losses whose spread is made by a single row, have no interval; no rows, or one class
        only for "roc_auc", give NaN with the reason.

    Raises:
        ConfigurationError: Rows are missing, of the wrong type, range or length; each message
            names the argument, the row and the value.

    At 95 % an interval is given and misses the true value in at most 7 % of samples: simulated
    from 30 rows on for rare events, skewed losses and AUCs near 1. With ten events to go by some
    are too wide (they cover 98.5 %), with forty they cover 97 % or less. A loss without a variance,
    such as the squared error of errors as heavy-tailed as t(3), is missed in 8 to 11 %. Rows are
    taken as independent, unless `cluster` says which belong together.

    Examples:
        >>> import numpy as np
        >>> rng = np.random.default_rng(7)
        >>> chance = rng.random(2_000)
        >>> y = rng.random(2_000) < chance
        >>> print(evaluate(y, chance, loss="brier").overall)
        brier = 0.1683 (0.1599 to 0.1771), n = 2,000
    """
    return _measured(
        Evaluation,
        y,
        {"prediction": prediction},
        loss=loss,
        by=by,
        weights=weights,
        cluster=cluster,
        confidence=confidence,
        min_slice=min_slice,
        rng=rng,
        resamples=resamples,
    )


def compare(
    y: ArrayLike,
    champion: ArrayLike,
    candidate: ArrayLike,
    *,
    loss: Metric | Function | str,
    by: Any = None,
    weights: ArrayLike | None = None,
    cluster: ArrayLike | None = None,
    confidence: float = 0.95,
    min_slice: int = 100,
    rng: np.random.Generator | None = None,
    resamples: int = 1_000,
) -> Comparison:
    """Measure how a metric changes from champion to candidate, on the same rows.

    Pairing takes out what both models find hard, so the interval is much narrower than the
    difference of two separate ones. Judge it with `not_worse(margin=)` or `better(margin=)`.

    Args:
        y: The truth, one label or number per row, shape (n,). None may be missing.
        champion: What the model in production says, shape (n,).
        candidate: What the new model says, shape (n,).
        loss: As in `evaluate`. A callable that gives a single number must be a `Metric`, which
            says which way is better.
        by: Slices: one column of n levels, or several as a mapping or a data frame.
        weights: Of the rows, shape (n,), not negative; for means over rows only.
        cluster: Whose rows belong together, shape (n,): rows of one user, day or machine are alike,
            and an interval that counts them as independent is too narrow. `n` and `min_slice`
            count clusters then. Batches that are merged must not share a cluster.
        confidence: Coverage of the interval; slices hold it together. 0.95 by custom.
        min_slice: Slices with fewer rows are put together; 100 by default.
        rng: For the paired bootstrap of a metric of all rows.
        resamples: How many, for that bootstrap.

    Returns:
        The changes: `.overall`, `.slices`, or all of them by calling it.

    Raises:
        ConfigurationError: Rows are missing, of the wrong type, range or length; each message
            names the argument, the row and the value.

    Of two equal models one is called worse, by an interval wholly on one side of zero, in at most
    2.5 % of samples at 95 %; see `evaluate` for the coverage. Lowest is that of a log loss with
    three events: 92 %.

    Examples:
        >>> import numpy as np
        >>> rng = np.random.default_rng(7)
        >>> chance = rng.random(2_000)
        >>> y = rng.random(2_000) < chance
        >>> print(compare(y, np.full(2_000, 0.5), chance, loss="brier").overall)
        brier change = -0.08172 (-0.0903 to -0.07314), n = 2,000
    """
    return _measured(
        Comparison,
        y,
        {"champion": champion, "candidate": candidate},
        loss=loss,
        by=by,
        weights=weights,
        cluster=cluster,
        confidence=confidence,
        min_slice=min_slice,
        rng=rng,
        resamples=resamples,
    )


def _measured(
    kind: type[E],
    y: ArrayLike,
    models: Mapping[str, ArrayLike],
    *,
    loss: Metric | Function | str,
    by: Any,
    weights: ArrayLike | None,
    cluster: ArrayLike | None,
    confidence: float,
    min_slice: int,
    rng: np.random.Generator | None,
    resamples: int,
) -> E:
    metric = metric_of(loss)
    name = metric.name if kind is Evaluation else f"{metric.name} change"
    share("confidence", confidence)
    whole("min_slice", min_slice, least=1)
    read_truth, read_model = metric.reads
    truth = read_truth("y", y)
    n = len(truth)
    said = []
    for model, values in models.items():
        said.append(read_model(model, values))
        same_length(model, len(said[-1]), n)
    weight = weights_of(weights, n)
    members = clusters_of(cluster, n)
    slices = groups(by, n)
    if metric.of is roc_auc.of:
        estimate: Callable[[Rows], Uncertain] = partial(_ranked, truth, said, members)
    else:
        results = [metric.of(truth, values) if n else np.empty(0) for values in said]
        if np.ndim(results[0]):
            columns = [_row_losses(metric, result, n) for result in results]
            columns += [columns[1] - columns[0]] if len(columns) > 1 else []
            everything = {ALL: np.arange(n), **slices}
            parts: dict[str, Part] = {
                key: tuple(_moments(column, weight, members, part) for column in columns)
                for key, part in everything.items()
            }
            return kind(name, metric.better, confidence, min_slice, parts)
        if len(said) > 1 and not isinstance(loss, Metric):
            raise ConfigurationError(
                f"loss = {metric.name} gives one number and does not say which way is better: "
                f'pass Metric("{metric.name}", {metric.name}, better="higher") or "lower"'
            )
        estimate = _resampled(metric, truth, said, members, rng, resamples)
    if weight is not None:
        raise refusal("weights", "an array", f"None for {metric.name}, which is no mean over rows")
    count = partial(_count, members)
    judged = pooled(slices, count, lambda a, b: np.concatenate([a, b]), min_slice)
    whole_parts: dict[str, Part] = {key: estimate(part) for key, part in judged.items()}
    whole_parts[ALL] = estimate(np.arange(n))
    return kind(name, metric.better, confidence, min_slice, whole_parts)


def _moments(
    column: NDArray[np.float64],
    weight: NDArray[np.float64] | None,
    members: Rows | None,
    part: Rows,
) -> Moments:
    values = column[part]
    mass = None if weight is None else weight[part]
    if members is None:
        return Moments.of(values, mass)
    codes = _codes(members, part)
    total = np.bincount(codes, values if mass is None else values * mass)
    mass = np.bincount(codes, mass).astype(np.float64)
    return Moments.of(total[mass > 0.0] / mass[mass > 0.0], mass[mass > 0.0])


def _codes(members: Rows, part: Rows) -> Rows:
    """Number the clusters of some rows from 0."""
    return np.unique(members[part], return_inverse=True)[1]


def _count(members: Rows | None, part: Rows) -> int:
    return len(part) if members is None else len(np.unique(members[part]))


def _row_losses(metric: Metric, result: Any, n: int) -> NDArray[np.float64]:
    losses = np.asarray(result, dtype=np.float64)
    if losses.shape != (n,):
        raise refusal(f"{metric.name}(y, prediction).shape", losses.shape, f"({n},) or one number")
    if not np.isfinite(losses).all():
        row = int((~np.isfinite(losses)).argmax())
        raise refusal(f"{metric.name}(y, prediction)[{row}]", float(losses[row]), "finite")
    if (large := np.abs(losses) > LARGEST / 2.0).any():
        row, allowed = int(large.argmax()), f"at most {LARGEST / 2.0:g} in absolute value"
        raise refusal(f"{metric.name}(y, prediction)[{row}]", float(losses[row]), allowed)
    return losses


def _ranked(
    truth: NDArray[np.bool_],
    said: list[NDArray[np.float64]],
    members: Rows | None,
    part: Rows,
) -> Uncertain:
    scores = [values[part] for values in said]
    codes = None if members is None else _codes(members, part)
    if len(scores) == 1:
        return estimates.of_ranks(truth[part], scores[0], codes)
    return estimates.of_rank_differences(truth[part], scores[0], scores[1], codes)


def _resampled(  # noqa: PLR0917 -- called once
    metric: Metric,
    truth: NDArray[Any],
    said: list[NDArray[Any]],
    members: Rows | None,
    rng: np.random.Generator | None,
    resamples: int,
) -> Callable[[Rows], Uncertain]:
    if not isinstance(rng, np.random.Generator):
        raise refusal("rng", rng, f"a numpy Generator, for the bootstrap of {metric.name}")
    whole("resamples", resamples, least=100)
    if len(truth):
        real(f"{metric.name}(y, prediction)", metric.of(truth, said[0]))

    def measure(part: Rows) -> tuple[float, ...]:
        return tuple(float(metric.of(truth[part], values[part])) for values in said)

    def estimate(part: Rows) -> Uncertain:
        codes = np.arange(len(part)) if members is None else _codes(members, part)
        ends = np.cumsum(np.bincount(codes))[:-1]
        blocks = np.split(part[np.argsort(codes, kind="stable")], ends)
        return estimates.by_bootstrap(measure, blocks if len(part) else [], rng, resamples)

    return estimate
