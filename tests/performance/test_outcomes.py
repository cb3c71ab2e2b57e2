"""Outcomes: what is known of each id, whatever came first, and which cohorts are judged."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlguard import (
    ConfigurationError,
    MemoryStore,
    Severity,
    at_least,
    checkout,
    gather,
    guard,
    publish,
)
from mlguard.performance import Metric, Outcomes, evaluate, pinball, squared
from mlguard.performance.waiting import Rows

if TYPE_CHECKING:
    from collections.abc import Sequence

DAY = 86_400.0
FACTS = ("predicted_at", "prediction", "labelled_at", "label")
NOTHING = math.nan


def outcomes(**more: Any) -> Outcomes:
    given_: dict[str, Any] = {"loss": "accuracy", "clock": lambda: 1_000 * DAY, "min_slice": 1}
    return Outcomes(timedelta(days=3), **(given_ | more))


def frame(rows: Sequence[tuple[Any, ...]], slices: Sequence[str] = ()) -> dict[str, list[Any]]:
    names = ("id", *FACTS, *slices)
    return {name: [row[place] for row in rows] for place, name in enumerate(names)}


# The same rows give the same state.

FACT = st.tuples(
    st.integers(0, 5),
    st.sampled_from([0.0, 0.5 * DAY, 2.0 * DAY, 9.0 * DAY]),
    st.integers(0, 1),
    st.sampled_from([0.0, 0.5 * DAY, 4.0 * DAY, 9.5 * DAY]),
    st.integers(0, 1),
    st.sampled_from(["de", "fr", None]),
)
KINDS = st.sampled_from(["both", "prediction", "label"])


def halves(row: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    return [
        (row[0], row[1], row[2], None, None, row[5]),
        (row[0], None, None, row[3], row[4], None),
    ]


def shown(row: tuple[Any, ...], kind: str) -> tuple[Any, ...]:
    return {"both": row, "prediction": halves(row)[0], "label": halves(row)[1]}[kind]


ROWS = st.lists(st.builds(shown, FACT, KINDS), max_size=16)


@given(ROWS, st.data())
def test_any_order_duplication_and_chunking_gives_the_same_state(rows: Any, data: Any) -> None:
    whole = outcomes(slices=["country"])
    whole.add(frame(rows, ["country"])) if rows else None
    again = data.draw(st.lists(st.sampled_from(rows), max_size=8)) if rows else []
    cut = [
        half if half[1] is not None or half[3] is not None else row
        for row in [*rows, *again]
        for half in (halves(row) if row[1] is not None and row[3] is not None else [row])
    ]
    mixed = data.draw(st.permutations(cut))
    parts = [outcomes(slices=["country"]) for _ in range(3)]
    for row in mixed:
        parts[data.draw(st.integers(0, 2))].add(frame([row], ["country"]))
    if data.draw(st.booleans()):
        parts = [Outcomes.from_json(part.to_json()) for part in parts]
    nested = data.draw(st.booleans())
    total = parts[2] + (parts[1] + parts[0]) if nested else reduce(add, parts)
    assert total.to_json() == whole.to_json()
    assert total.counts == whole.counts
    assert total.measure(13 * DAY) == whole.measure(13 * DAY)


@given(ROWS, st.sampled_from([4, 5.9, 6, 7, 13, 30]), st.sampled_from([None, 0]))
def test_it_judges_what_a_plain_join_of_the_mature_cohorts_judges(
    rows: Any, day: float, meaning: int | None
) -> None:
    judge = outcomes(slices=["country"], no_label_means=meaning)
    judge.add(frame(rows, ["country"])) if rows else None
    predictions: dict[int, Any] = {}
    labels: dict[int, Any] = {}
    for row in rows:
        if row[1] is not None:
            key = (row[1], row[2], row[5] or "(missing)")
            predictions[row[0]] = max(predictions.get(row[0], key), key)
        if row[3] is not None:
            labels[row[0]] = max(labels.get(row[0], row[3:5]), row[3:5])
    hits: dict[str, list[bool]] = defaultdict(list)
    newest, count, labelled = [], 0, 0
    for row_id, (at, said, country) in predictions.items():
        cohort = at // DAY
        if not (cohort + 1) * DAY + 3 * DAY <= day * DAY or cohort < (day - 3) // 1 - 7:
            continue
        count += 1
        known = row_id in labels and labels[row_id][0] >= at
        labelled += known
        if known or meaning is not None:
            truth = labels[row_id][1] if known else meaning
            hits[""].append(said == truth)
            hits[f"[country={country}]"].append(said == truth)
            newest.append(at)
    found = judge.measure(day * DAY)
    assert {
        each.name.removeprefix("accuracy"): (each.n, each.value) for each in found if each.n
    } == {key: (len(values), sum(values) / len(values)) for key, values in hits.items()}
    assert found[0].details["predictions"] == count
    assert found[0].details["coverage"] == (labelled / count if count else None)
    assert found[0].at == max(newest, default=None)
    differing: dict[int, set[Any]] = defaultdict(set)
    for row in rows:
        differing[row[0]] |= {row[4]} - {None}
    assert judge.counts["conflicts"] == sum(len(each) > 1 for each in differing.values())
    assert judge.counts["early"] == sum(
        labels[key][0] < predictions[key][0] for key in labels.keys() & predictions.keys()
    )


@given(ROWS, st.data())
def test_what_was_closed_measures_as_before(rows: Any, data: Any) -> None:
    open_ = outcomes(slices=["country"])
    parts = [outcomes(slices=["country"]) for _ in range(2)]
    for row in rows:
        owner = row[0] % 2  # all rows of an id are with one
        open_.add(frame([row], ["country"]))
        parts[owner].add(frame([row], ["country"]))
    for part in parts:
        part.close(data.draw(st.sampled_from([0, 7, 8, 9, 15, 16, 40])) * DAY)
    for total in (parts[0] + parts[1], parts[1] + parts[0]):
        back = Outcomes.from_json(total.to_json())
        assert back.to_json() == total.to_json()
        for day in (4, 7, 13, 30):
            assert back.measure(day * DAY) == open_.measure(day * DAY)
        for name in ("conflicts", "repredicted", "early"):
            assert total.counts[name] == open_.counts[name]


@given(ROWS)
def test_a_join_made_elsewhere_is_the_same(rows: Any) -> None:
    rows = [row for row in rows if row[1] is not None]
    if not rows:
        return
    mine = outcomes(slices=["country"])
    mine.add(frame(rows, ["country"]))
    theirs = Outcomes.from_frame(
        frame(rows, ["country"]),
        timedelta(days=3),
        loss="accuracy",
        slices=["country"],
        min_slice=1,
        now=13 * DAY,
    )
    assert theirs.measure(13 * DAY) == mine.measure(13 * DAY)
    assert theirs.by_cohort(13 * DAY) == mine.by_cohort(13 * DAY)
    assert theirs.counts["open"] == 0


def test_a_join_without_ids_takes_each_row_for_one_and_leaves_out_young_cohorts() -> None:
    rng = np.random.default_rng(3)
    at = rng.uniform(0, 20 * DAY, 2_000)
    truth, said = rng.integers(0, 2, (2, 2_000))
    came = np.where(rng.random(2_000) < 0.8, at + DAY, np.nan)
    joined = {
        "predicted_at": at,
        "prediction": said,
        "labelled_at": came,
        "label": np.where(np.isnan(came), np.nan, truth),
    }
    found = Outcomes.from_frame(
        joined, 3 * DAY, loss="accuracy", now=20 * DAY, clock=lambda: 40 * DAY, window=40 * DAY
    )
    mature = at < 17 * DAY
    judged = mature & ~np.isnan(came)
    overall = found.measure()[0]
    again = evaluate(truth[judged], said[judged], loss="accuracy").overall
    assert (overall.value, overall.low, overall.high) == (again.value, again.low, again.high)
    assert overall.details["coverage"] == pytest.approx(judged.sum() / mature.sum())
    assert found.counts["young"] == (~mature).sum()
    late = {"id": [1], "predicted_at": [DAY], "prediction": [1]}
    found.add(late)
    assert found.counts["late"] == 1


# Which cohorts are judged.


def test_it_is_unknown_before_the_first_mature_cohort_and_says_when() -> None:
    now = [0.0]
    judge = outcomes(clock=lambda: now[0])
    check = guard(judge, at_least(0.5))
    assert "no mature predictions" in check().reason
    judge.add(frame([(n, 10.5 * DAY, 1, 10.6 * DAY, 1) for n in range(20)]))
    now[0] = 14.0 * DAY - 1e-3
    verdict = check()
    assert verdict.severity is Severity.UNKNOWN
    assert "the next cohort matures on 1970-01-15T00:00:00Z" in verdict.reason
    assert judge.measure()[0].details["matures_at"] == 14 * DAY
    now[0] = 14 * DAY
    assert check().severity is Severity.OK
    assert check().at == 10.5 * DAY
    assert judge.measure()[0].details["matures_at"] is None
    assert judge.measure(datetime.fromtimestamp(14 * DAY, UTC)) == judge.measure()
    now[0] = 21 * DAY  # the window has left it behind
    assert check().severity is Severity.UNKNOWN
    assert "no mature predictions from 1970-01-12 to 1970-01-19" in check().reason


def test_young_cohorts_never_mix_in() -> None:
    judge = outcomes()
    judge.add(frame([(n, 10.5 * DAY, 1, 10.6 * DAY, 1) for n in range(20)]))
    before = judge.measure(14 * DAY)[0]
    judge.add(frame([(n, 11 * DAY, 1, 11.1 * DAY, 0) for n in range(100, 200)]))
    after = judge.measure(14 * DAY)[0]
    assert (
        (after.value, after.n, after.at)
        == (before.value, before.n, before.at)
        == (1, 20, 10.5 * DAY)
    )
    assert after.details["matures_at"] == 15 * DAY


def test_a_label_that_comes_after_its_cohort_was_judged_counts_from_then_on() -> None:
    judge = outcomes()
    judge.add(frame([(n, 0.5 * DAY, 1, DAY, 1) for n in range(20)]))
    judge.add(frame([(99, 0.6 * DAY, 1, None, None)]))
    assert judge.measure(5 * DAY)[0].details["coverage"] == 20 / 21
    assert judge.measure(5 * DAY)[0].at == 0.5 * DAY
    judge.add({"id": [99], "labelled_at": [5 * DAY], "label": [0]})
    assert judge.measure(5 * DAY)[0].value == 20 / 21
    assert judge.measure(5 * DAY)[0].at == 0.6 * DAY
    judge.add({"id": [99], "labelled_at": [6 * DAY], "label": [1]})
    assert judge.measure(6 * DAY)[0].value == 1.0
    assert judge.counts["conflicts"] == 1


def test_weeks_begin_on_monday() -> None:
    judge = outcomes(cohort="week")
    monday = datetime(2026, 1, 5, tzinfo=UTC)
    days = [monday - timedelta(seconds=1), monday, monday + timedelta(days=6, hours=23)]
    judge.add({"id": [1, 2, 3], "predicted_at": days, "prediction": [1] * 3})
    assert (
        judge.measure(monday)[0].details["matures_at"] == (monday + timedelta(days=3)).timestamp()
    )
    sizes = [each.details["predictions"] for each in judge.by_cohort(monday + timedelta(days=10))]
    assert sizes == [1, 2]
    assert judge.measure(monday + timedelta(days=10))[0].details["predictions"] == 2


def test_without_a_label_it_says_so_or_takes_what_that_means() -> None:
    rows = frame([(n, 0.0, n % 2, None, None) for n in range(20)])
    judge = outcomes()
    judge.add(rows)
    found = judge.measure(5 * DAY)[0]
    assert found.details["reason"] == "none of 20 mature predictions has a label"
    assert found.details["coverage"] == 0.0
    judge.add({"id": [0], "labelled_at": [-1.0], "label": [1]})
    assert "1 labels are older than their prediction" in judge.measure(5 * DAY)[0].details["reason"]
    legit = outcomes(no_label_means=0)
    legit.add(rows)
    assert (legit.measure(5 * DAY)[0].value, legit.measure(5 * DAY)[0].n) == (0.5, 20)
    assert legit.measure(5 * DAY)[0].details["coverage"] == 0.0


def test_slices_are_pooled_and_hold_together_as_in_evaluate() -> None:
    rng = np.random.default_rng(6)
    n = 1_000
    country = rng.choice(["de", "fr", "tiny"], n, p=[0.6, 0.35, 0.05]).astype(object)
    age = np.where(rng.random(n) < 0.1, np.nan, rng.integers(0, 3, n))
    chance = rng.random(n)
    truth = rng.random(n) < chance
    judge = outcomes(loss="brier", slices=["country", "age"], min_slice=80)
    times = {"predicted_at": np.zeros(n), "labelled_at": np.ones(n)}
    judge.add(
        {"id": np.arange(n), "prediction": chance, "label": truth, "country": country, "age": age}
        | times
    )
    by = {"country": country, "age": age}
    theirs = evaluate(truth, chance, loss="brier", by=by, min_slice=80)
    seen = {each.name: (each.value, each.low, each.high, each.n) for each in judge.measure(5 * DAY)}
    assert seen == {each.name: (each.value, each.low, each.high, each.n) for each in theirs()}
    assert [*seen] == [each.name for each in theirs()]


def test_a_large_slice_without_labels_is_not_passed_over() -> None:
    judge = outcomes(slices=["shop"], min_slice=15)
    judge.add(frame([(n, 0.0, 1, 1.0, 1, "a") for n in range(20)], ["shop"]))
    judge.add(frame([(n, 0.0, 1, None, None, "b") for n in range(20, 40)], ["shop"]))
    verdict = guard(judge, at_least(0.5))
    judge.clock = lambda: 5 * DAY
    assert verdict().severity is Severity.UNKNOWN


# What frames may be.

STAMPS = [datetime(2026, 3, 1, 12, tzinfo=UTC) + timedelta(hours=n) for n in range(3)]
SECONDS = [stamp.timestamp() for stamp in STAMPS]
PLAIN: dict[str, list[Any]] = {
    "id": ["7", "8", "9"],
    "predicted_at": SECONDS,
    "prediction": [0.25, 0.5, 1.0],
    "labelled_at": [SECONDS[2], NOTHING, SECONDS[2]],
    "label": [1.0, NOTHING, 0.0],
    "country": ["de", None, "fr"],
    "ignored": [{}, (), None],
}


def _aware(kind: Any) -> dict[str, Any]:
    del kind
    return PLAIN | {
        "predicted_at": STAMPS,
        "labelled_at": [STAMPS[2], None, STAMPS[2]],
        "label": [1, None, 0],
        "ignored": [1, 2, 3],
    }


FRAMES: dict[str, Any] = {
    "lists of Python": PLAIN | {"label": [True, None, False]},
    "whole ids": PLAIN | {"id": np.array([7, 8, 9])},
    "ids as floats": PLAIN | {"id": np.array([7.0, 8.0, 9.0])},
    "ids of both kinds": PLAIN | {"id": [7, "8", 9]},
    "arrays": {
        name: np.array(values)
        for name, values in PLAIN.items()
        if name not in {"ignored", "country"}
    }
    | {"country": np.array(PLAIN["country"], dtype=object)},
    "masked": PLAIN
    | {
        "label": np.ma.array([1, 5, 0], mask=[False, True, False]),
        "labelled_at": np.ma.array(np.full(3, SECONDS[2]), mask=[False, True, False]),
    },
    "aware datetimes": _aware(list),
    "pandas": pd.DataFrame(_aware(pd)),
    "pandas in Berlin": pd.DataFrame(_aware(pd)).assign(
        predicted_at=lambda found: found["predicted_at"].dt.tz_convert("Europe/Berlin")
    ),
    "pandas nullable": pd.DataFrame(_aware(pd)).convert_dtypes(),
    "pandas categorical": pd.DataFrame(_aware(pd)).astype(
        {"country": "category", "id": "category"}
    ),
    "polars": pl.DataFrame(_aware(pl)),
    "polars categorical": pl.DataFrame(_aware(pl)).cast({"country": pl.Categorical}),
}


@pytest.mark.parametrize("name", FRAMES)
def test_frames_of_every_kind_are_read_alike(name: str) -> None:
    first, second = (outcomes(loss="brier", slices=["country"]) for _ in range(2))
    first.add(PLAIN)
    second.add(FRAMES[name])
    assert second.to_json() == first.to_json()
    assert len(first.measure(SECONDS[0] + 5 * DAY)) == 4  # one has no label


def without(*names: str, **more: Any) -> dict[str, Any]:
    return {name: values for name, values in (PLAIN | more).items() if name not in names}


NAIVE = [stamp.replace(tzinfo=None) for stamp in STAMPS]
BAD: dict[str, tuple[Any, str]] = {
    "no id": (without("id"), r"frame = .*: must be columns that include \['id'\]"),
    "no times": (without("predicted_at"), r"columns that include \['predicted_at'\]"),
    "no label times": (without("labelled_at"), r"columns that include \['labelled_at'\]"),
    "no slice": (without("country"), r"columns that include \['country'\]"),
    "nothing to join": (
        without("predicted_at", "prediction", "labelled_at", "label"),
        "columns with a prediction or a label",
    ),
    "id missing": (
        without(id=["7", None, "9"]),
        r"id\[1\] = None: must be not missing: drop or fill these rows \(1",
    ),
    "id NaN": (without(id=[7.0, 8.0, NOTHING]), r"id\[2\] = nan: must be not missing"),
    "id NaN in an array": (without(id=np.array([7, NOTHING, 9])), r"id\[1\] = nan: must be not"),
    "broken id": (without(id=np.array([7.5, 8, 9])), r"id\[0\] = 7.5: must be text or a whole"),
    "id too large for a float": (without(id=np.array([7.0, 8, 2.0**53])), r"id\[2\] = 90071"),
    "id of a strange kind": (without(id=np.array([1j, 2, 3])), "id.dtype = 'complex128'"),
    "broken id among objects": (without(id=["7", 7.5, "9"]), "id = 'a float among other objects'"),
    "id that is no text": (without(id=["7", "\ud800", "9"]), "id = .*: must be text that UTF-8"),
    "naive datetimes": (without(predicted_at=NAIVE), r"predicted_at\[0\] = .*: must be an aware"),
    "naive array": (without(predicted_at=np.array(NAIVE, "M8[s]")), "predicted_at.dtype = .*aware"),
    "naive pandas": (
        pd.DataFrame(without("ignored", predicted_at=NAIVE)),
        "predicted_at = 'times without a time zone': must be aware",
    ),
    "naive polars": (
        pl.DataFrame(without("ignored", labelled_at=NAIVE, label=[1, 1, 1])),
        "labelled_at = 'times without a time zone': must be aware",
    ),
    "times as text": (
        without(predicted_at=np.array(["a", "b", "c"])),
        "predicted_at.dtype = '<U1'",
    ),
    "milliseconds": (
        without(predicted_at=np.array(SECONDS) * 1e3),
        "predicted_at = .*not milliseconds",
    ),
    "time without a prediction": (
        without(prediction=[0.2, None, 0.3]),
        r"prediction\[1\] = None: must be given where predicted_at is",
    ),
    "prediction without a time": (
        without(predicted_at=[SECONDS[0], NOTHING, SECONDS[2]]),
        r"predicted_at\[1\] = nan: must be given where prediction is",
    ),
    "label without a time": (
        without(labelled_at=[NOTHING, NOTHING, SECONDS[2]]),
        r"labelled_at\[0\] = nan: must be given where label is",
    ),
    "a row with nothing": (
        without(predicted_at=[SECONDS[0], NOTHING, SECONDS[2]], prediction=[0.1, NOTHING, 0.1]),
        "frame, row 1 = .*: must be a prediction, a label, or both",
    ),
    "no probability": (
        without(prediction=[0.2, 0.3, 1.2]),
        r"prediction\[2\] = 1.2: must be a probability",
    ),
    "no event": (without(label=[1, NOTHING, 2]), r"label\[2\] = 2: must be 0, 1 or boolean"),
    "columns of two lengths": (without(id=["7"]), "frame = .*: must be columns of one length"),
    "no frame": (7, "frame = 'int'"),
    "too many levels": (
        {"id": range(1_001), "predicted_at": [0.0] * 1_001, "prediction": [0.1] * 1_001}
        | {"country": np.arange(1_001)},
        r"by\['country'\] = '1001 levels': must be at most 1000",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_frame_is_named_and_changes_nothing(name: str) -> None:
    bad, message = BAD[name]
    judge = outcomes(loss="brier", slices=["country"])
    judge.add(PLAIN)
    before = judge.to_json()
    with pytest.raises(ConfigurationError, match=message):
        judge.add(bad)
    assert judge.to_json() == before


def test_accuracy_takes_labels_of_any_kind_but_one() -> None:
    judge = outcomes()
    words = frame([(1, 0.0, "cat", 1.0, "cat"), (2, 0.0, "dog", 1.0, "cat")])
    judge.add(words)
    assert judge.measure(5 * DAY)[0].value == 0.5
    back = Outcomes.from_json(judge.to_json())
    for each in (judge, back):
        before = each.to_json()
        with pytest.raises(ConfigurationError, match="prediction = 'numbers': must be text, like"):
            each.add(frame([(3, 0.0, 1, None, None)]))
        assert each.to_json() == before
    with pytest.raises(ConfigurationError, match="label = 'numbers': must be text, like the pred"):
        outcomes().add(frame([(3, 0.0, "cat", 1.0, 1)]))
    with pytest.raises(ConfigurationError, match=r"prediction\[1\] = 0.4: .*cut scores off first"):
        outcomes().add(frame([(3, 0.0, 1, 1.0, 1), (4, 0.0, 0.4, 1.0, 1)]))
    with pytest.raises(ConfigurationError, match=r"label = \['int', 'str'\]: must be all numbers"):
        outcomes().add(frame([(3, 0.0, 1, 1.0, 1), (4, 0.0, 0, 1.0, "a")]))
    means = outcomes(no_label_means="cat")
    means.add(frame([(1, 0.0, "cat", None, None), (2, 0.0, "cat", 1.0, "dog")]))
    assert means.measure(5 * DAY)[0].value == 0.5


def test_the_two_zeros_are_one() -> None:
    plus, minus = outcomes(loss="squared"), outcomes(loss="squared")
    plus.add(frame([(1, 0.0, 0.0, 0.0, 0.0)]))
    minus.add(frame([(1, -0.0, -0.0, -0.0, -0.0)]))
    assert plus.to_json() == minus.to_json()


def test_losses_too_large_to_sum_are_refused_when_they_are_added() -> None:
    judge = outcomes(loss="squared")
    with pytest.raises(ConfigurationError, match=r"prediction\[1\] = 1e\+38: must be finite, at m"):
        judge.add(frame([(1, 0.0, 1.0, 1.0, 1.0), (2, 0.0, 1e38, 1.0, 1.0)]))
    judge.add(frame([(1, 0.0, -1e37, 1.0, 1e37)]))
    assert judge.measure(5 * DAY)[0].value == 4e74


# Losses.


def cost(y: Any, prediction: Any) -> Any:
    return np.where(y > prediction, 3.0, 1.0)


def test_a_loss_of_your_own_is_named_in_the_json_and_given_back() -> None:
    judge = outcomes(loss=cost)
    judge.add(frame([(n, 0.0, 1, 1.0, n % 2 * 2) for n in range(20)]))
    text = judge.to_json()
    back = Outcomes.from_json(text, loss=cost)
    assert back.measure(5 * DAY) == judge.measure(5 * DAY)
    bare = Outcomes.from_json(text)
    with pytest.raises(ConfigurationError, match=r"loss = 'cost': .*from_json\(text, loss=cost\)"):
        bare.measure(5 * DAY)
    assert (bare + outcomes(loss=cost)).measure(5 * DAY) == judge.measure(5 * DAY)
    assert (outcomes(loss=cost) + bare).measure(5 * DAY) == judge.measure(5 * DAY)
    judge.close()
    assert Outcomes.from_json(judge.to_json()).measure(5 * DAY) == judge.measure(5 * DAY)
    with pytest.raises(ConfigurationError, match="loss = 'squared, lower is better': must be cost"):
        Outcomes.from_json(text, loss=squared)


def test_known_losses_come_back_by_name() -> None:
    judge = outcomes(loss=pinball(0.9))
    judge.add(frame([(n, 0.0, 1.5, 1.0, n) for n in range(20)]))
    back = Outcomes.from_json(judge.to_json())
    assert back.measure(5 * DAY) == judge.measure(5 * DAY)


def test_a_loss_of_all_rows_does_not_add_up() -> None:
    judge = outcomes(loss=lambda y, prediction: float(np.mean(y == prediction)))
    judge.add(frame([(1, 0.0, 1, 1.0, 1)]))
    before = judge.to_json()
    with pytest.raises(ConfigurationError, match="one number per row"):
        judge.close()
    assert judge.to_json() == before
    broken = outcomes(loss=Metric("broken", lambda y, _: y * np.nan, better="lower"))
    broken.add(frame([(1, 0.0, 1, 1.0, 1)]))
    with pytest.raises(
        ConfigurationError, match=r"broken\(y, prediction\)\[0\] = nan: must be fini"
    ):
        broken.measure(5 * DAY)


# Bounded memory.


def test_closed_cohorts_keep_sums_only_and_later_rows_are_late() -> None:
    judge = outcomes(keep=timedelta(days=2))
    judge.add(frame([(n, 0.5 * DAY, 1, DAY, n % 2) for n in range(20)]))
    judge.add({"id": [77], "labelled_at": [0.7 * DAY], "label": [1]})
    judge.add({"id": [78], "labelled_at": [1.7 * DAY], "label": [1]})
    before = judge.measure(5 * DAY)
    judge.close(6 * DAY - 1.0)
    assert judge.counts["open"] == 22
    judge.close(6 * DAY)
    assert judge.counts | {"open": 1, "unmatched": 1} == judge.counts
    assert judge.measure(5 * DAY) == before
    judge.add(frame([(5, 0.5 * DAY, 1, DAY, 1), (79, 0.6 * DAY, 1, 5 * DAY, 1)]))
    assert judge.counts["late"] == 2
    assert judge.measure(5 * DAY) == before
    assert len(judge.to_json()) < 5_000


def test_a_full_buffer_closes_what_is_mature_and_then_drops_and_counts() -> None:
    now = [4 * DAY]
    judge = outcomes(max_open=10, keep=timedelta(days=2), clock=lambda: now[0])
    judge.add(frame([(n, 0.0, 1, DAY, 1) for n in range(6)]))
    judge.add(frame([(n, 2 * DAY, 1, 3 * DAY, 1) for n in range(6, 10)]))
    before = judge.measure(4 * DAY)
    judge.add({"id": range(10), "labelled_at": [3 * DAY] * 10, "label": [1] * 10})
    assert judge.counts["open"] == 10  # labels of ids that wait need no room
    judge.add(frame([(10, 2 * DAY, 1, 3 * DAY, 1)]))
    assert judge.counts["open"] == 5
    assert judge.measure(4 * DAY) == before
    judge.add(frame([(n, 3 * DAY, 1, 3 * DAY, 0) for n in range(11, 20)]))
    assert judge.counts | {"open": 10, "dropped": 4} == judge.counts
    now[0] = 7 * DAY
    judge.add(frame([(n, 6 * DAY, 1, 6 * DAY, 0) for n in range(30, 40)]))
    assert judge.counts | {"open": 10, "dropped": 4, "late": 0} == judge.counts


def test_room_is_made_by_what_has_been_mature_for_long_and_never_by_what_waits() -> None:
    judge = outcomes(max_open=10, keep=timedelta(days=2), clock=lambda: 6 * DAY)
    judge.add(frame([(n, 0.0, 1, DAY, 1) for n in range(3)]))
    judge.add(frame([(n, 1.5 * DAY, 1, 2 * DAY, 1) for n in range(3, 6)]))
    judge.add(frame([(n, 4 * DAY, 1, 5 * DAY, 1) for n in range(6, 11)]))
    assert judge.counts["open"] == 8  # the first cohort alone was mature for two days
    judge.add({"id": [3], "labelled_at": [5 * DAY], "label": [0]})
    assert judge.by_cohort(5 * DAY)[1].value == pytest.approx(2 / 3)
    waiting = set(judge._state.rows.ids)
    judge.max_open = 9
    fresh = outcomes()
    rows = frame([(n, 4 * DAY, 1, 5 * DAY, 1) for n in range(20, 40)])
    fresh.add(rows)
    judge.add(rows)
    old = {each for each in waiting if each in judge._state.rows.ids}
    assert len(old) == 5  # all but the second cohort, which is mature
    new = sorted(set(judge._state.rows.ids) - old)
    assert new == sorted(fresh._state.rows.ids)[:4]
    assert judge.counts["dropped"] == 16


def test_text_that_no_row_holds_is_forgotten() -> None:
    judge = outcomes(slices=["shop"])
    judge.add(
        frame([(1, 0.0, "cat", DAY, "dog", "a"), (2, 9 * DAY, "cow", None, None, "b")], ["shop"])
    )
    judge.add({"id": [1], "labelled_at": [2 * DAY], "label": ["cat"]})
    assert list(judge._state.rows.words) == ["a", "b", "cat", "cow"]
    judge.close(10 * DAY)
    assert list(judge._state.rows.words) == ["b", "cow"]


def test_what_either_closed_is_closed_for_both() -> None:
    early, late = outcomes(), outcomes()
    early.close(9 * DAY)
    late.close(20 * DAY)
    for total in (early + late, late + early, late + outcomes()):
        total.add(frame([(1, 10 * DAY, 1, None, None)]))
        assert total.counts | {"open": 0, "late": 1} == total.counts


def test_what_finds_no_room_is_spilled_whole_and_can_be_joined_elsewhere() -> None:
    spilled: list[dict[str, Any]] = []
    judge = outcomes(max_open=10, on_full=spilled.append, clock=lambda: 0.0, slices=["shop"])
    rows = [(f"tx-{n}", 0.0, 1, DAY, n % 2, "ab"[n % 2]) for n in range(25)]
    judge.add(frame(rows, ["shop"]))
    assert judge.counts | {"open": 10, "spilled": 15} == judge.counts
    other = outcomes(slices=["shop"])
    other.add(spilled[0])
    whole = outcomes(slices=["shop"])
    whole.add(frame(rows, ["shop"]))
    assert (judge + other).measure(5 * DAY) == whole.measure(5 * DAY)
    before = judge.to_json()

    def full(_: Any) -> None:
        raise OSError("the disk is full, too")

    judge.on_full = full
    with pytest.raises(OSError, match="the disk is full, too"):
        judge.add(frame([("new", 0.0, 1, DAY, 1, "a")], ["shop"]))
    assert judge.to_json() == before


def test_memory_is_bounded_by_the_buffer_and_the_cohorts() -> None:
    now = [0.0]
    judge = outcomes(max_open=500, clock=lambda: now[0])
    sizes = []
    for day in range(60):
        now[0] = day * DAY
        ids = np.arange(100) + 100 * day
        judge.add({"id": ids, "predicted_at": np.full(100, now[0]), "prediction": ids % 2})
        judge.add({"id": ids, "labelled_at": np.full(100, now[0]), "label": ids % 2})
        sizes.append(sum(map(len, judge._state.batches)))
    assert max(sizes) <= 500
    assert judge.counts["dropped"] == 0
    assert sum(each.n or 0 for each in judge.by_cohort(70 * DAY)) == 6_000


def test_adding_row_by_row_keeps_few_batches() -> None:
    judge = outcomes()
    for n in range(300):
        judge.add(frame([(n, 0.0, 1, None, None)]))
    assert len(judge._state.batches) <= math.log2(300) + 1
    assert judge.counts["open"] == 300


# Many threads and processes.


def test_threads_may_add_and_measure_at_once() -> None:
    judge, alone = outcomes(), outcomes()
    pieces = [
        frame([(n, 0.0, 1, DAY, n % 2) for n in range(start, start + 10)])
        for start in range(0, 400, 5)
    ]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(judge.add, pieces))
        list(pool.map(lambda _: judge.measure(), range(8)))
    for piece in pieces:
        alone.add(piece)
    assert judge.to_json() == alone.to_json()


def test_it_is_published_gathered_and_checked_out() -> None:
    store = MemoryStore()
    sent, came = outcomes(), outcomes()
    sent.add({"id": [1, 2], "predicted_at": [0.0, 0.0], "prediction": [1, 1]})
    came.add({"id": [1, 2], "labelled_at": [1.0, 1.0], "label": [1, 0]})
    publish(sent, store, "scorer/outcomes", source="pod-1")
    publish(came, store, "scorer/outcomes", source="labels")
    both = gather(store, "scorer/outcomes")
    assert both.measure(5 * DAY)[0].value == 0.5
    for part in (sent, came):
        with checkout(store, "nightly", outcomes) as judge:
            judge.add({"id": [3], "predicted_at": [0.0], "prediction": [1]})
            judge._state = (judge + part)._state
    with checkout(store, "nightly", outcomes) as judge:
        assert judge.counts["open"] == 3
    assert repr(judge) == "<Outcomes of accuracy: 3 open>"
    assert repr(outcomes()) == "<Outcomes of accuracy: nothing waits>"


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"loss": "squared"}, "loss = 'squared': must be the same in both, here 'accuracy'"),
        ({"cohort": "week"}, "cohort = 'week': must be the same in both"),
        ({"slices": ["shop"]}, r"slices = \['shop'\]: must be the same in both, here \[\]"),
        ({"no_label_means": 0}, "no_label_means = 0.0: must be the same in both, here None"),
    ],
)
def test_only_alike_adds_up(more: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        outcomes() + outcomes(**more)
    with pytest.raises(TypeError):
        outcomes() + 1  # type: ignore[operator]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"loss": "roc_auc"}, "loss = 'roc_auc': must be a mean over rows"),
        ({"loss": "auc"}, "loss = 'auc'"),
        ({"by": "label_time"}, "by = 'label_time': must be \"prediction_time\""),
        ({"cohort": "month"}, r"cohort = 'month': must be one of \['day', 'week'\]"),
        ({"window": 1.5 * DAY}, "window = .*: must be a whole number of cohorts, each a day"),
        ({"window": 3 * DAY, "cohort": "week"}, "window = .*: must be a whole number of cohorts"),
        ({"window": 0}, "window = 0"),
        ({"slices": "country"}, "slices = 'country': must be a list"),
        ({"slices": ["a", "a"]}, "slices = "),
        ({"slices": ["label"]}, "slices = "),
        ({"slices": ["a=b"]}, "slices = "),
        ({"slices": [""]}, "slices = ''"),
        ({"no_label_means": 2, "loss": "brier"}, "no_label_means.* = 2"),
        ({"keep": -1}, "keep = -1"),
        ({"max_open": 0}, "max_open = 0"),
        ({"on_full": "spill"}, "on_full = 'spill': must be \"drop\" or a callable"),
        ({"confidence": 1.0}, "confidence = 1.0"),
        ({"min_slice": 0}, "min_slice = 0"),
    ],
)
def test_bad_arguments_are_named(more: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        outcomes(**more)


def test_labels_after_is_a_duration() -> None:
    with pytest.raises(ConfigurationError, match="labels_after = -1"):
        Outcomes(-1.0, loss="accuracy")
    with pytest.raises(ConfigurationError, match=r"now = .*aware datetime"):
        outcomes().measure(datetime(2026, 1, 1))  # noqa: DTZ001 -- a naive one


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "profile"},
        {"schema": 2},
        {"rows": None},
        {"sums": 3},
        {"window": None},
        {"sums": {"a": {}}},
    ],
)
def test_what_is_no_such_json_is_refused(change: dict[str, Any]) -> None:
    record = json.loads(outcomes().to_json()) | change
    with pytest.raises(ConfigurationError):
        Outcomes.from_json(json.dumps(record))


FROZEN = (
    '{"kind": "outcomes", "schema": 1, "loss": "accuracy", "better": "higher", '
    '"labels_after": 259200.0, "by": "prediction_time", "cohort": "day", "window": 604800.0, '
)


def test_the_json_and_the_digests_of_ids_stay_what_they_are() -> None:
    judge = outcomes()
    judge.add(frame([("tx-1", 0.0, 1, None, None), (2, 9 * DAY, 1, 9 * DAY, 0)]))
    judge.close(10 * DAY)
    text = judge.to_json()
    assert text.startswith(FROZEN)
    rows = json.loads(text)["rows"]
    assert rows["ids"] == ["dc2d5425cae0c696"]
    assert rows["columns"]["label"] == [0.0]


def test_no_rows_are_rows() -> None:
    empty = Rows.empty(["shop"])
    assert len(empty + empty) == 0
    judge = outcomes()
    judge.add({"id": [], "predicted_at": [], "prediction": []})
    assert judge.to_json() == outcomes().to_json()
