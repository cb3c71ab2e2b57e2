"""Batches add up to the whole, to the last bit, however the rows were split, ordered and nested."""

from __future__ import annotations

import json
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlguard import ConfigurationError
from mlguard.performance import Comparison, Evaluation, compare, evaluate

if TYPE_CHECKING:
    from numpy.typing import NDArray

rng = np.random.default_rng(11)
N = 120
Y = rng.random(N) < 0.3
MODELS = rng.random((2, N))
WEIGHTS = rng.choice([0.0, 0.5, 1.0, 1e-7, 3e6], N)
COUNTRY = np.where(rng.random(N) < 0.05, None, rng.choice(["de", "fr", "it", "tiny"], N))  # type: ignore[call-overload]
AGE = np.where(rng.random(N) < 0.05, np.nan, rng.integers(0, 4, N))

splits = st.lists(st.integers(0, 4), min_size=N, max_size=N)
setups = st.tuples(
    st.booleans(), st.booleans(), st.sampled_from(["log_loss", "brier", "roc", "hits"])
)


def batch(rows: NDArray[Any], *, pair: bool, weighted: bool, loss: str) -> Evaluation:
    if loss == "hits":
        models = [(model[rows] > 0.5).astype(int) for model in MODELS]
        y, loss = Y[rows].astype(int), "accuracy"
    else:
        models, y = [model[rows] for model in MODELS], Y[rows]
    more: dict[str, Any] = {
        "loss": loss if loss != "roc" else "absolute",
        "by": {"country": COUNTRY[rows], "age": AGE[rows].tolist()},
        "weights": WEIGHTS[rows] if weighted else None,
        "min_slice": 12,
    }
    return compare(y, *models, **more) if pair else evaluate(y, models[0], **more)


def merged(parts: list[Evaluation], depth: int) -> Evaluation:
    """Add from the left, from the right, or as a tree."""
    if depth == 0:
        return reduce(add, parts)
    if depth == 1:
        return reduce(lambda a, b: b + a, parts)
    middle = len(parts) // 2
    return merged(parts[:middle], 2) + merged(parts[middle:], 2) if middle else parts[0]


@given(splits, st.permutations(range(5)), st.integers(0, 2), setups)
def test_any_split_order_and_nesting_gives_the_same(
    split: list[int], order: list[int], depth: int, setup: tuple[bool, bool, str]
) -> None:
    pair, weighted, loss = setup
    of = {"pair": pair, "weighted": weighted, "loss": loss}
    whole = batch(np.arange(N), **of)  # type: ignore[arg-type]
    parts = [batch(np.flatnonzero(np.array(split) == k), **of) for k in order]  # type: ignore[arg-type]
    found = merged(parts, depth)
    assert json.dumps(found.to_dict()) == json.dumps(whole.to_dict())
    assert found() == whole()
    kind = Comparison if pair else Evaluation
    again = kind.from_dict(json.loads(json.dumps(found.to_dict(), allow_nan=False)))
    assert type(again) is kind
    assert again() == whole()
    assert again.to_dict() == whole.to_dict()


def test_a_level_has_one_name_whether_or_not_its_batch_misses_some() -> None:
    y, said = [0.0] * 20, [1.0, 2.0] * 10
    first = evaluate(y, said, loss="absolute", by=np.arange(20) % 2, min_slice=1)
    second = evaluate(y, said, loss="absolute", by=[1, None] * 10, min_slice=1)
    third = evaluate(y, said, loss="absolute", by=[1.0, np.nan] * 10, min_slice=1)
    assert list(second.parts) == list(third.parts)
    assert list((first + second + third).slices) == ["slice=0", "slice=1", "slice=(missing)"]


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"loss": "squared"}, "name = 'squared': must be the same in both, here 'absolute'"),
        ({"confidence": 0.9}, "confidence = 0.9: must be the same in both, here 0.95"),
        ({"min_slice": 7}, "min_slice = 7: must be the same in both, here 100"),
        (
            {"by": np.arange(20) % 2},
            "by = ['slice']: must be the same columns in both, here []",
        ),
    ],
)
def test_what_was_measured_otherwise_does_not_add(other: dict[str, Any], message: str) -> None:
    y, said = [0.0] * 20, [1.0, 2.0] * 10
    first = evaluate(y, said, loss="absolute")
    with pytest.raises(ConfigurationError) as caught:
        first + evaluate(y, said, **{"loss": "absolute", **other})
    assert str(caught.value) == message


def test_an_area_neither_adds_nor_is_written() -> None:
    area = evaluate([0, 1] * 20, np.arange(40), loss="roc_auc")
    with pytest.raises(ConfigurationError, match="does not merge: evaluate all rows at once"):
        area + area
    with pytest.raises(
        ConfigurationError, match="roc_auc is no mean over rows: it has no exact sums"
    ):
        area.to_dict()


def test_an_evaluation_and_a_comparison_do_not_add() -> None:
    y, said = [0.0] * 20, [1.0, 2.0] * 10
    with pytest.raises(TypeError):
        evaluate(y, said, loss="absolute") + compare(y, said, said, loss="absolute")


def test_the_record_of_another_kind_or_schema_is_refused() -> None:
    record = evaluate([0.0] * 20, [1.0, 2.0] * 10, loss="absolute").to_dict()
    with pytest.raises(ConfigurationError, match="kind = 'evaluation': must be 'comparison'"):
        Comparison.from_dict(record)
    with pytest.raises(ConfigurationError, match="schema = 2: must be 1"):
        Evaluation.from_dict({**record, "schema": 2})
