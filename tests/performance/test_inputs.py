"""Bad input gives a documented result, or an error that names parameter, row and value."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
import polars as pl
import pytest

from mlguard import ConfigurationError, Measurement, guard
from mlguard.performance import Metric, compare, evaluate, not_worse

if TYPE_CHECKING:
    from collections.abc import Callable

N = 20
Y = np.arange(N) % 2
P = np.linspace(0.0, 1.0, N)
ONES = np.ones(N)
MISSING = "must be not missing: drop or fill these rows (1 of 20 rows)"
COLUMN = "must be (n,), one value per row: pass the column of the positive class"
SLICING = "must be one column of n values, or a mapping of names to columns"


def but(values: Any, at: int, value: object) -> list[Any]:
    changed = list(values)
    changed[at] = value
    return changed


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


class Bad(NamedTuple):
    """Arguments and what is said of them; y is `Y` and the prediction `P` where not given."""

    label: str
    message: str
    given: dict[str, Any]


def bad(label: str, message: str, **given: Any) -> Bad:
    return Bad(label, message, given)


REFUSED = [
    bad("NaN label", f"y[3] = nan: {MISSING}", y=but(Y, 3, np.nan)),
    bad("None label", f"y[3] = None: {MISSING}", y=but(Y, 3, None)),
    bad("NA label", f"y[3] = <NA>: {MISSING}", y=but(Y, 3, pd.NA)),
    bad("NaT label", f"y[3] = NaT: {MISSING}", y=but(Y, 3, pd.NaT)),
    bad("masked label", f"y[3] = None: {MISSING}", y=np.ma.array(Y, mask=np.arange(N) == 3)),
    bad("nullable label", f"y[3] = ?: {MISSING}", y=pd.array(but(Y, 3, None), dtype="Int64")),
    bad("polars null", f"y[3] = nan: {MISSING}", y=pl.Series(but(Y, 3, None))),
    bad("NaN score", f"prediction[3] = nan: {MISSING}", prediction=but(P, 3, np.nan), loss="roc_auc"),
    bad("NaN for accuracy", f"y[3] = nan: {MISSING}", y=but(Y, 3, np.nan), loss="accuracy"),
    bad("Decimal NaN", f"y[3] = Decimal('NaN'): {MISSING}", y=but([Decimal(1)] * N, 3, Decimal("NaN"))),
    bad("string labels", "y[0] = 'a': must be 0, 1 or boolean; for other labels pass y == one (20 of 20 rows)", y=["a", "b"] * 10),
    bad("object labels", "y[2] = 'a': must be 0, 1 or boolean; for other labels pass y == one (1 of 20 rows)", y=np.array(but(Y, 2, "a"), dtype=object)),
    bad("categorical labels", "y[0] = 'a': must be 0, 1 or boolean; for other labels pass y == one (20 of 20 rows)", y=pd.Categorical(["a", "b"] * 10)),
    bad("labels -1 and 1", "y[0] = -1: must be 0, 1 or boolean; for other labels pass y == one (10 of 20 rows)", y=2 * Y - 1, loss="roc_auc"),
    bad("datetime labels", "y[0] = datetime.date(2020, 1, 1): must be 0, 1 or boolean; for other labels pass y == one (20 of 20 rows)", y=np.full(N, np.datetime64("2020-01-01"))),
    bad("too short", "len(prediction) = 19: must be that of y, which is 20", prediction=P[1:]),
    bad("no rows beside some", "len(prediction) = 0: must be that of y, which is 20", prediction=[]),
    bad("short candidate", "len(candidate) = 19: must be that of y, which is 20", candidate=P[1:]),
    bad("scalar label", "y = 1: must be an array with one entry per row", y=1),
    bad("scalar score", "prediction = 0.5: must be an array with one entry per row", prediction=0.5),
    bad("mapping", "y = {'a': 1}: must be an array with one entry per row", y={"a": 1}),
    bad("ragged", "y = [[1], [1, 2]]: must be an array with one entry per row", y=[[1], [1, 2]]),
    bad("two columns", f"prediction.shape = (20, 2): {COLUMN}", prediction=np.column_stack([1 - P, P])),
    bad("a column vector", f"y.shape = (20, 1): {COLUMN}", y=Y[:, None]),
    bad("a frame as scores", f"prediction.shape = (20, 2): {COLUMN}", prediction=pl.DataFrame({"a": P, "b": P})),
    bad("above 1", "prediction[3] = 1.5: must be a probability, between 0 and 1 (1 of 20 rows)", prediction=but(P, 3, 1.5)),
    bad("below 0", "candidate[3] = -0.5: must be a probability, between 0 and 1 (1 of 20 rows)", candidate=but(P, 3, -0.5), loss="brier"),
    bad("percent", "prediction[1] = 5.263157894736842: must be a probability, between 0 and 1 (19 of 20 rows)", prediction=100 * P),
    bad("infinite chance", "prediction[3] = inf: must be finite (1 of 20 rows)", prediction=but(P, 3, np.inf)),
    bad("infinite number", "champion[3] = -inf: must be finite (1 of 20 rows)", champion=but(P, 3, -np.inf), loss="absolute"),
    bad("string score", "prediction[2] = 'x': must be a number (1 of 20 rows)", prediction=np.array(but(P, 2, "x"), dtype=object)),
    bad("numbers in strings", "prediction.dtype = '<U3': must be numeric: float, integer or boolean", prediction=["0.5"] * N),
    bad("complex", "prediction.dtype = 'complex128': must be numeric: float, integer or boolean", prediction=P + 1j),
    bad("datetime64", "prediction.dtype = 'datetime64[D]': must be numeric: float, integer or boolean", prediction=np.full(N, np.datetime64("2020-01-01")), loss="absolute"),
    bad("datetimes", "prediction = datetime.datetime(2020, 1, 1, 0, 0, tzinfo=datetime.timezone.utc): must be a number in every row", prediction=[dt.datetime(2020, 1, 1, tzinfo=dt.UTC)] * N),
    bad("an integer beyond float", "prediction = 1000", prediction=[10**400] * N, loss="absolute"),
    bad("a loss beyond exact", "absolute(y, prediction)[2] = 1e+200: must be at most 5e+74 in absolute value", prediction=but(P, 2, 1e200), loss="absolute"),
    bad("an infinite loss", "squared(y, prediction)[2] = inf: must be finite", prediction=but(P, 2, 1e200), loss="squared"),
    bad("scores as labels", "prediction[1] = 0.05263157894736842: must be a label like those of y: cut scores off first", loss="accuracy"),
    bad("strings against numbers", "prediction.dtype = 'int64': must be like that of y, <U1", y=["0", "1"] * 10, prediction=Y, loss="accuracy"),
    bad("negative weight", "weights[2] = -1.0: must be at least 0 (1 of 20 rows)", weights=but(ONES, 2, -1.0)),
    bad("NaN weight", f"weights[2] = nan: {MISSING}", weights=but(ONES, 2, np.nan)),
    bad("infinite weight", "weights[2] = inf: must be finite (1 of 20 rows)", weights=but(ONES, 2, np.inf)),
    bad("huge weight", "weights[2] = 1e+200: must be 0 or between 1e-75 and 1e+75 (1 of 20 rows)", weights=but(ONES, 2, 1e200)),
    bad("tiny weights", "weights[0] = 1e-100: must be 0 or between 1e-75 and 1e+75 (20 of 20 rows)", weights=ONES * 1e-100),
    bad("short weights", "len(weights) = 1: must be that of y, which is 20", weights=[1.0]),
    bad("one weight", "weights = 1.0: must be an array with one entry per row", weights=1.0),
    bad("weights of an area", "weights = 'an array': must be None for roc_auc, which is no mean over rows", weights=ONES, loss="roc_auc"),
    bad("by a name", f"by = 'country': {SLICING}", by="country"),
    bad("by a 2-D array", f"by = 'an array of shape (20, 2)': {SLICING}", by=np.zeros((N, 2))),
    bad("by nothing", f"by = None: {SLICING}", by={"a": None}),
    bad("by a ragged list", "by['slice'] = [[1], [1, 2]]: must be an array with one entry per row", by=[[1], [1, 2]]),
    bad("by a short column", "len(by['slice']) = 5: must be that of y, which is 20", by=["a"] * 5),
    bad("by a short named column", "len(by['b']) = 5: must be that of y, which is 20", by={"a": Y, "b": Y[:5]}),
    bad("by a frame's twin columns", "by = ['a']: must be columns of different names", by=pd.DataFrame(np.column_stack([Y, Y]), columns=["a", "a"])),
    bad("by names alike as text", "by = ['1']: must be columns of different names", by={1: Y, "1": Y}),
    bad("by a name with =", "by = 'a=b': must be columns without \"=\" in their names: slices are column=level", by={"a=b": Y}),
    bad("by 5,000 levels", "by['slice'] = '5000 levels': must be at most 1000 slices", y=np.tile(Y, 250), prediction=np.tile(P, 250), by=np.arange(5000)),
    bad("unknown loss", "loss = 'auc': must be a Metric, a callable (y, prediction), pinball(q) or one of ['absolute', 'accuracy', 'brier', 'log_loss', 'roc_auc', 'squared']", loss="auc"),
    bad("no loss", "loss = None: must be a Metric, a callable", loss=None),
    bad("confidence", "confidence = 1.5: must be between 0 and 1, both excluded", confidence=1.5),
    bad("confidence in percent", "confidence = 95: must be between 0 and 1, both excluded", confidence=95),
    bad("min_slice", "min_slice = 0: must be a whole number of at least 1", min_slice=0),
    bad("a loss too short", "short(y, prediction).shape = (3,): must be (20,) or one number", loss=Metric("short", lambda _y, _p: np.ones(3), "lower")),
    bad("a loss in a column", "wide(y, prediction).shape = (20, 1): must be (20,) or one number", loss=Metric("wide", lambda y, _p: y[:, None], "lower")),
    bad("a loss with NaN", "odd(y, prediction)[4] = nan: must be finite", loss=Metric("odd", lambda _y, p: np.where(np.arange(N) == 4, np.nan, p), "lower")),
    bad("one number without rng", "rng = None: must be a numpy Generator, for the bootstrap of one", loss=Metric("one", lambda _y, _p: 1.0, "lower")),
    bad("a seed for an rng", "rng = 3: must be a numpy Generator, for the bootstrap of one", loss=Metric("one", lambda _y, _p: 1.0, "lower"), rng=3),
    bad("resamples", "resamples = 3: must be a whole number of at least 100", loss=Metric("one", lambda _y, _p: 1.0, "lower"), rng=rng(), resamples=3),
    bad("no number", "one(y, prediction) = 'high': must be a number", loss=Metric("one", lambda _y, _p: "high", "lower"), rng=rng()),
    bad("a bare function of all rows", 'loss = total gives one number and does not say which way is better: pass Metric("total", total, better="higher") or "lower"', candidate=P, loss=lambda _y, _p: 1.0, rng=rng()),
]  # fmt: skip


def measured(**given: Any) -> list[Measurement]:
    y = given.pop("y", Y)
    if "candidate" in given or "champion" in given:
        models = given.pop("champion", P), given.pop("candidate", P)
        return compare(y, *models, **given)()
    return evaluate(y, given.pop("prediction", P), **given)()


@pytest.mark.parametrize("case", REFUSED, ids=[case.label for case in REFUSED])
def test_bad_input_is_refused_by_name_and_value(case: Bad) -> None:
    arguments = {"loss": "log_loss", **case.given}
    if getattr(arguments["loss"], "__name__", "") == "<lambda>":
        arguments["loss"].__name__ = "total"
    with pytest.raises(ConfigurationError) as caught:
        measured(**arguments)
    said = str(caught.value)
    for missing in ("nan", "<NA>"):  # what pandas makes of a nullable column differs by version
        if "[3] = ?" in case.message and missing in said:
            said = said.replace(missing, "?")
    assert said.startswith(case.message)


NOTHING: list[float] = []


@pytest.mark.parametrize(
    "loss", ["accuracy", "log_loss", "absolute", "roc_auc", lambda y, p: y - p]
)
def test_no_rows_are_unknown(loss: Any) -> None:
    for found in (
        evaluate(NOTHING, NOTHING, loss=loss, by=NOTHING),
        compare(NOTHING, NOTHING, NOTHING, loss=loss),
    ):
        (only,) = found()
        assert np.isnan(only.value)
        assert only.n == 0
        assert only.details["reason"].startswith("there are no rows")
        assert guard(found, not_worse(margin=0.0))().severity.name == "UNKNOWN"


def test_one_row_has_a_value_and_no_interval() -> None:
    only = evaluate([1], [0.5], loss="brier").overall
    assert (only.value, only.low, only.n) == (0.25, None, 1)
    assert only.details["reason"] == "an interval needs at least 10 rows"


def test_weights_of_zero_leave_nothing() -> None:
    for found in (
        evaluate(Y, P, loss="brier", weights=0.0 * ONES),
        compare(Y, P, P, loss="brier", weights=0.0 * ONES),
    ):
        assert np.isnan(found.overall.value)
        assert found.overall.details["reason"] == "every weight is zero"


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"weights": but(0.0 * ONES, 2, 1.0)}, "an interval needs at least 10 rows"),
        ({"prediction": 0.5 * ONES}, "all rows say the same, which says nothing about their spread"),
        ({"y": [Decimal("1.5")] * N, "prediction": [Decimal(1)] * N, "loss": "absolute"}, "all rows say the same, which says nothing about their spread"),
        ({"prediction": but(Y, 4, 0.9), "champion": Y * 1.0, "candidate": but(Y, 4, 0.9)}, "a single row makes up most of the spread: an interval needs more like it"),
        ({"y": 1e-100 * Y, "prediction": 1e-100 * P, "loss": "absolute"}, "a single row makes up most of the spread: an interval needs more like it"),
        ({"loss": Metric("one", lambda _y, _p: 1.0, "lower"), "rng": rng(), "resamples": 100}, "the metric is the same on every resample, which shows no spread"),
        ({"loss": Metric("one", lambda _y, _p: np.nan, "lower"), "rng": rng(), "resamples": 100}, "the metric is not a number on some of the resampled rows"),
    ],
)  # fmt: skip
def test_rows_that_do_not_show_their_spread_get_no_interval(
    given: dict[str, Any], reason: str
) -> None:
    if "champion" in given:
        given = {key: value for key, value in given.items() if key != "prediction"}
    (found,) = measured(**{"loss": "brier", **given})
    assert (found.low, found.high, found.p_value) == (None, None, None)
    assert found.details["reason"] == reason


def test_infinite_scores_rank_first_and_last() -> None:
    found = evaluate(Y, but(but(P, 18, -np.inf), 1, np.inf), loss="roc_auc").overall
    expected = evaluate(Y, but(but(P, 18, -9.0), 1, 9.0), loss="roc_auc").overall
    assert found == expected


def readonly(values: Any) -> Any:
    array = np.array(values)
    array.flags.writeable = False
    return array


FORMS: dict[str, Callable[[Any], Any]] = {
    "list": lambda values: np.asarray(values).tolist(),
    "tuple": lambda values: tuple(np.asarray(values).tolist()),
    "objects": lambda values: np.asarray(values).astype(object),
    "read-only": readonly,
    "strided": lambda values: np.repeat(values, 3)[::3],
    "reversed twice": lambda values: np.asarray(values)[::-1].copy()[::-1],
    "big-endian": lambda values: np.asarray(values).astype(
        np.asarray(values).dtype.newbyteorder(">")
    ),
    "unmasked": np.ma.array,
    "pandas": lambda values: pd.Series(values, index=range(N, 0, -1)),
    "pandas nullable": lambda values: pd.Series(values).convert_dtypes(),
    "polars": pl.Series,
    "decimals": lambda values: [Decimal(str(value)) for value in np.asarray(values).tolist()],
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("loss", ["log_loss", "brier", "absolute", "roc_auc", "accuracy"])
def test_every_form_of_the_same_rows_gives_the_same(form: str, loss: str) -> None:
    scores = (P > 0.4).astype(int) if loss == "accuracy" else np.round(P, 3)
    made = FORMS[form]
    expected = compare(Y, scores, scores[::-1], loss=loss, weights=None)()
    assert compare(made(Y), made(scores), made(scores[::-1]), loss=loss)() == expected


@pytest.mark.parametrize("kind", [np.float32, np.float16, np.int8, np.uint8, np.bool_, np.int64])
def test_every_number_type_is_read_as_its_value(kind: type[np.generic]) -> None:
    said = (P > 0.4).astype(kind)
    expected = evaluate(Y, said.astype(float), loss="absolute").overall
    assert evaluate(Y.astype(kind), said, loss="absolute").overall == expected
    labels = evaluate(Y.astype(kind), said, loss="accuracy").overall
    assert labels == evaluate(Y, said.astype(int), loss="accuracy").overall


@pytest.mark.parametrize(
    "labels",
    [
        ["a", "b"] * 10,
        np.array(["a", "b"] * 10),
        pd.Series(["a", "b"] * 10),
        pd.Series(["a", "b"] * 10, dtype="category"),
        pl.Series(["a", "b"] * 10),
        pl.Series(["a", "b"] * 10, dtype=pl.Categorical),
    ],
    ids=["list", "numpy", "pandas", "pandas categorical", "polars", "polars categorical"],
)
def test_labels_of_any_form_are_compared(labels: Any) -> None:
    assert evaluate(labels, ["a", "a"] * 10, loss="accuracy").overall.value == 0.5
    assert evaluate(["a", "a"] * 10, labels, loss="accuracy").overall.value == 0.5


COUNTRIES = ["de", "fr", None, "de"] * 5
HOURS = [1, 2, 3, None] * 5


@pytest.mark.parametrize(
    "by",
    [
        {"country": COUNTRIES, "hour": HOURS},
        {"country": np.array(COUNTRIES), "hour": np.array(HOURS, dtype=float)},
        pd.DataFrame({"country": COUNTRIES, "hour": HOURS}),
        pd.DataFrame({"country": COUNTRIES, "hour": HOURS}).convert_dtypes(),
        pd.DataFrame({"country": pd.Categorical(COUNTRIES), "hour": HOURS}),
        pl.DataFrame({"country": COUNTRIES, "hour": HOURS}),
        pl.DataFrame({"country": pl.Series(COUNTRIES, dtype=pl.Categorical), "hour": HOURS}),
    ],
    ids=[
        "lists",
        "numpy",
        "pandas",
        "nullable",
        "categorical",
        "polars",
        "polars categorical",
    ],
)
def test_every_form_of_the_same_columns_gives_the_same_slices(by: Any) -> None:
    found = evaluate(Y, P, loss="brier", by=by, min_slice=1).slices
    assert {key: measurement.n for key, measurement in found.items()} == {
        "country=de": 10,
        "country=fr": 5,
        "country=(missing)": 5,
        "hour=1": 5,
        "hour=2": 5,
        "hour=3": 5,
        "hour=(missing)": 5,
    }
