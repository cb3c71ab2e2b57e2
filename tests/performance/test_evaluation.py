"""Slices: which are judged, what they are called, and what their intervals promise together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from mlguard import at_least, guard
from mlguard.performance import Evaluation, Metric, compare, evaluate, not_worse

if TYPE_CHECKING:
    from mlguard import Measurement

RNG = np.random.default_rng(21)
N = 1000
Y = RNG.random(N) < 0.4
P = RNG.random(N)


def levels(**counts: int) -> np.ndarray[Any, np.dtype[np.str_]]:
    return np.repeat(list(counts), list(counts.values()))


def sliced(by: Any, least: int = 100, n: int = N, **more: Any) -> Evaluation:
    return evaluate(Y[:n], P[:n], loss=more.pop("loss", "brier"), by=by, min_slice=least, **more)


def sizes(found: Evaluation) -> dict[str, int | None]:
    return {key: measurement.n for key, measurement in found.slices.items()}


def test_small_slices_are_put_together() -> None:
    found = sliced(levels(a=700, b=180, c=60, d=60))
    assert sizes(found) == {"slice=a": 700, "slice=b": 180, "slice=(small)": 120}


def test_too_few_even_together_are_judged_all_the_same() -> None:
    found = sliced({"kind": levels(a=700, b=250, c=30, d=20), "one": levels(x=1000)})
    assert sizes(found) == {"kind=a": 700, "kind=b": 250, "one=x": 1000, "kind=(small)": 50}


def test_rows_of_a_small_slice_that_went_wrong_do_not_pass() -> None:
    wrong = np.where(np.arange(N) >= 940, 1.0 - P, P)
    change = compare(Y, P, wrong, loss="brier", by=levels(big=940, tiny=60))
    assert not guard(change, not_worse(margin=0.1))().ok


def test_a_column_of_small_slices_alone_is_judged_together() -> None:
    found = sliced(levels(a=20, b=20), n=40)
    assert sizes(found) == {"slice=(small)": 40}


@pytest.mark.parametrize("loss", ["brier", "roc_auc"])
def test_the_pool_is_the_rows_together_for_every_kind_of_metric(loss: str) -> None:
    by = levels(a=880, b=60, c=60)
    pool = sliced(by, loss=loss).slices["slice=(small)"]
    assert pool.value == evaluate(Y[880:], P[880:], loss=loss).overall.value


def test_a_missing_level_is_a_slice_of_its_own() -> None:
    by = [*["a"] * 500, *[None] * 300, *["(missing)"] * 200]
    found = sliced(by)
    assert sizes(found) == {"slice=a": 500, "slice=(missing)": 500}
    expected = evaluate(Y[500:], P[500:], loss="brier").overall
    assert found.slices["slice=(missing)"].value == expected.value


def test_a_level_named_as_the_pool_is_among_it() -> None:
    found = sliced([*["(small)"] * 500, *["a"] * 450, *["b"] * 30, *["c"] * 20], least=40)
    assert sizes(found) == {"slice=a": 450, "slice=(small)": 550}


def test_intervals_of_slices_hold_together() -> None:
    found = sliced({"kind": levels(a=500, b=500), "half": np.arange(N) % 2})
    ranges = {"kind=a": slice(500), "kind=b": slice(500, N)}
    ranges |= {f"half={k}": slice(k, N, 2) for k in (0, 1)}
    assert found.slices.keys() == ranges.keys()
    for key, measurement in found.slices.items():
        rows = ranges[key]
        alone = evaluate(Y[rows], P[rows], loss="brier", confidence=1.0 - 0.05 / 4).overall
        assert measurement.confidence == pytest.approx(0.9875)
        assert (measurement.low, measurement.high) == pytest.approx((alone.low, alone.high))
    assert found.overall.confidence == 0.95


def test_p_values_of_slices_are_multiplied_by_their_number() -> None:
    found = compare(Y, P, 0.5 * P, loss="brier", by=np.arange(N) % 4)
    for k in range(4):
        alone = compare(Y[k::4], P[k::4], 0.5 * P[k::4], loss="brier").overall
        assert alone.p_value is not None
        assert found.slices[f"slice={k}"].p_value == pytest.approx(min(1.0, 4 * alone.p_value))


@pytest.mark.parametrize(
    ("by", "names"),
    [
        ({"url": levels(**{"a=1": 500, "b=2": 500})}, ["url=a=1", "url=b=2"]),
        ({"a": levels(b=1000), "ab": levels(c=1000)}, ["a=b", "ab=c"]),
        ({"": levels(x=1000)}, ["=x"]),
        ({"": levels(**{"": 1000})}, ["="]),
        (pd.Series(levels(x=1000), name="col"), ["col=x"]),
        (pd.Series(levels(x=1000), name=0), ["0=x"]),
        (pd.Series(levels(x=1000), name=""), ["slice=x"]),
        (pd.Series(levels(x=1000)), ["slice=x"]),
        (np.arange(N) % 12, [f"slice={k}" for k in range(12)]),
        (np.arange(N) % 2 == 0, ["slice=False", "slice=True"]),
        (["a", 1] * 500, ["slice=1", "slice=a"]),
        ([0.5, 2.0] * 500, ["slice=0.5", "slice=2"]),
        (np.repeat(np.array(["2020-01-01", "NaT"], "datetime64[D]"), 500), ["slice=2020-01-01", "slice=(missing)"]),
        (None, []),
        ({}, []),
    ],
)  # fmt: skip
def test_slices_are_named_by_column_and_level(by: Any, names: list[str]) -> None:
    found = sliced(by, least=10)
    assert list(found.slices) == names
    for key, measurement in found.slices.items():
        assert measurement.name == f"brier[{key}]"
        assert measurement.details["slice"] == key


def test_pools_of_columns_whose_names_begin_alike_stay_apart() -> None:
    by = {"a": levels(x=960, y=20, z=20), "ab": levels(x=930, y=35, z=35)}
    found = sliced(by, least=50)
    assert sizes(found) == {"a=x": 960, "ab=x": 930, "a=(small)": 40, "ab=(small)": 70}


def test_calling_it_gives_everything_to_a_guard() -> None:
    found = sliced(levels(a=500, b=500))
    assert [measurement.name for measurement in found()] == [
        "brier",
        "brier[slice=a]",
        "brier[slice=b]",
    ]
    assert len(guard(found, at_least(0.0))().causes) == 3


def test_a_slice_of_one_class_is_unknown_and_the_others_are_judged() -> None:
    slices = sliced(np.where(Y, "yes", "both"), loss="roc_auc", least=10).slices
    assert all(found.details["reason"].startswith("y holds only") for found in slices.values())
    mixed = np.where(np.arange(N) < 900, "mixed", np.where(Y, "yes", "mixed"))
    found = sliced(mixed, loss="roc_auc", least=10).slices
    assert found["slice=mixed"].low is not None
    assert found["slice=yes"].low is None


def test_a_bootstrap_is_made_for_each_slice_from_the_one_generator() -> None:
    def worst(y: Any, said: Any) -> float:
        return float(np.abs(y - said).max())

    def run(seed: int) -> list[Measurement]:
        rng = np.random.default_rng(seed)
        more = {"loss": Metric("worst", worst, "lower"), "rng": rng, "resamples": 100}
        return evaluate(1.0 * Y, P, by=levels(a=500, b=500), **more)()  # type: ignore[arg-type]

    assert run(1) == run(1)
    assert [found.value for found in run(1)] == [found.value for found in run(2)]
