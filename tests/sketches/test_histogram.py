"""Histograms: every quantile within 1 %, exact sums and differences, nothing poisons them."""

from __future__ import annotations

import copy
import json
import math
import operator
import pickle
import struct
import threading
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from fractions import Fraction
from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlguard import ConfigurationError, Histogram
from mlguard.sketches.buckets import (
    ERROR,
    MOST,
    Counts,
    bucket_of,
    counted,
    ends_of,
    rank_of,
    value_of,
)
from mlguard.sketches.buffered import FULL

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

LEVELS = [0.0, 0.001, 0.01, 0.05, 0.07, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 0.9999, 1.0]
SUBNORMAL = 5e-324
LARGEST = 1.7976931348623157e308
FIRST_BUCKET = 3.5e-310  # what is smaller counts as 0
NORMAL = 2.2250738585072014e-308

positive = st.floats(NORMAL, LARGEST)
any_float = st.floats() | st.sampled_from(
    [0.0, -0.0, SUBNORMAL, NORMAL, LARGEST, math.inf, -math.inf, math.nan, -1.0, 1.0, 0.05]
)


def of(values: Any) -> Histogram:
    histogram = Histogram()
    histogram.add_many(values)
    return histogram


def one_by_one(values: Any) -> Histogram:
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    return histogram


# Quantiles.


def lognormal(rng: np.random.Generator, n: int) -> Floats:
    return rng.lognormal(-4.0, 1.0, n)


def pareto(rng: np.random.Generator, n: int) -> Floats:
    return rng.pareto(1.1, n) + 1.0


def bimodal(rng: np.random.Generator, n: int) -> Floats:
    return np.where(rng.random(n) < 0.9, rng.lognormal(-6.0, 0.1, n), rng.lognormal(1.0, 0.3, n))


def constant(_: np.random.Generator, n: int) -> Floats:
    return np.full(n, 0.0123456789)


def everything(rng: np.random.Generator, n: int) -> Floats:
    return 10.0 ** rng.uniform(-300.0, 300.0, n)


@pytest.mark.parametrize("n", [1, 2, 7, 100, 5000])
@pytest.mark.parametrize("draw", [lognormal, pareto, bimodal, constant, everything])
def test_every_quantile_is_within_one_percent_of_the_order_statistic(
    draw: Callable[[np.random.Generator, int], Floats], n: int
) -> None:
    values = draw(np.random.default_rng(n), n)
    histogram, ordered = of(values), np.sort(values)
    for q in (*LEVELS, *np.random.default_rng(1).random(50).tolist()):
        true = float(ordered[max(1, math.ceil(Fraction(str(q)) * n)) - 1])
        assert math.isclose(histogram.quantile(q), true, rel_tol=ERROR * (1 + 1e-9)), q
        if Fraction(q) == Fraction(str(q)) or n * q % 1.0 > 1e-9:  # else numpy rounds q * n up
            assert true == np.quantile(values, q, method="inverted_cdf")


@given(positive)
def test_a_normal_number_lies_in_its_bucket_and_near_its_value(x: float) -> None:
    bucket = bucket_of(x)
    low, high = ends_of(bucket)
    assert low <= x <= high
    assert low <= value_of(bucket) <= high
    assert abs(Fraction(value_of(bucket)) - Fraction(x)) <= Fraction(1.0001 / 129) * Fraction(x)
    assert ends_of(bucket + 1)[0] == math.nextafter(high, math.inf)


def test_the_stated_error_is_reached_and_below_one_percent() -> None:
    low, high = ends_of(bucket_of(1.0))
    middle = value_of(bucket_of(1.0))
    assert middle / low - 1.0 == pytest.approx(ERROR)
    assert 1.0 - middle / high == pytest.approx(ERROR, rel=1e-3)
    assert ERROR < 0.008


@given(st.floats(0.0, NORMAL))
def test_below_the_normal_numbers_the_error_is_absolute(x: float) -> None:
    found = of([x]).quantile(0.5)
    if x < 3.47e-310:
        assert found == 0.0
    assert abs(found - x) <= (3.5e-310 if found == 0.0 else 1.8e-310)


@given(st.floats(0.0, 1.0).map(lambda q: round(q, 4)), st.integers(1, 10**9))
def test_a_rank_is_that_of_exact_arithmetic(q: float, n: int) -> None:
    assert rank_of(q, n) == max(1, math.ceil(Fraction(str(q)) * n))


def test_without_numbers_a_quantile_is_nan() -> None:
    assert math.isnan(Histogram().quantile(0.5))
    assert math.isnan(of([math.nan, -1.0]).quantile(0.5))


@pytest.mark.parametrize("q", [-0.1, 1.1, math.nan, math.inf, "0.5", None, [0.5]])
def test_a_quantile_outside_zero_to_one_is_refused(q: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^q = .*: must be a quantile between 0 and 1$"):
        of([1.0]).quantile(q)


# Odd values.


@pytest.mark.parametrize("make", [of, one_by_one])
def test_odd_numbers_are_counted_where_the_docstring_says(make: Callable[[Any], Histogram]) -> None:
    zeros, tiny = [0.0, -0.0, SUBNORMAL, 3.4e-310], [4e-310, NORMAL]
    huge = [LARGEST, math.inf, math.inf]
    histogram = make([*zeros, *tiny, *huge, -1.0, -SUBNORMAL, -math.inf, math.nan, -math.nan])
    assert (histogram.n, histogram.negative, histogram.missing) == (9, 3, 2)
    found = [histogram.quantile(rank / 9) for rank in range(1, 10)]
    assert found[:4] == [0.0] * 4
    assert found[4] == pytest.approx(4e-310, abs=1.8e-310)
    assert found[5] == pytest.approx(NORMAL, rel=0.01)
    assert found[6] == pytest.approx(LARGEST, rel=0.01)
    assert found[7:] == [math.inf] * 2
    assert histogram.quantile(0.0) == 0.0


class Unreadable:
    def __float__(self) -> float:
        raise RuntimeError("no")

    def __gt__(self, other: object) -> bool:
        raise RuntimeError("not that either")


class TooLarge(Unreadable):
    def __float__(self) -> float:
        raise OverflowError


NO_NUMBERS: list[Any] = ["", "0.5", "nan", b"0.5", bytearray(b"1"), None, [], [1.0], (1.0,), {}, 1j]
NO_NUMBERS += [object(), Decimal("nan"), Decimal("sNaN"), pd.NA, pd.NaT, float, Unreadable()]
NO_NUMBERS += [TooLarge(), np.array([1.0, 2.0]), np.datetime64("2026-01-01")]


@pytest.mark.parametrize(
    "value",
    NO_NUMBERS,
    ids=[f"{place} {type(each).__name__}" for place, each in enumerate(NO_NUMBERS)],
)
def test_what_is_no_number_is_missing_and_takes_nothing_with_it(value: Any) -> None:
    histogram = one_by_one([1.0, value, 2.0])
    assert (histogram.n, histogram.negative, histogram.missing) == (2, 0, 1)
    assert histogram.quantile(1.0) == pytest.approx(2.0, rel=0.01)


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (True, 1.0),
        (3, 3.0),
        (2**70, 2.0**70),
        (10**400, math.inf),
        (Decimal("0.25"), 0.25),
        (Fraction(1, 8), 0.125),
        (np.float32(0.5), 0.5),
        (np.int8(2), 2.0),
        (np.array(4.0), 4.0),
    ],
)
@pytest.mark.parametrize("beside", [[], [None]], ids=["alone", "beside none"])
def test_every_kind_of_number_is_read(value: Any, number: float, beside: list[Any]) -> None:
    histogram = one_by_one([value, *beside])
    assert histogram.quantile(1.0) == pytest.approx(number, rel=0.01)
    assert (histogram.n, histogram.missing) == (1, len(beside))
    assert one_by_one([-(10**400)]).negative == 1


X = np.array([0.5, 1.0, 2.0, 0.0])
ARRAYS: dict[str, Any] = {
    "list": X.tolist(),
    "tuple": tuple(X.tolist()),
    "range": range(5),
    "scalar": 3.0,
    "zero dimensions": np.array(3.0),
    "two dimensions": np.array([[1.0, 2.0], [3.0, 4.0]]),
    "transposed": np.arange(6.0).reshape(2, 3).T,
    "every other": np.arange(10.0)[::2],
    "backwards": np.arange(10.0)[::-1],
    "read-only": np.frombuffer(struct.pack("2d", 1.0, 2.0)),
    "bool": np.array([True, False]),
    "int8": np.array([1, 127], dtype=np.int8),
    "uint64": np.array([2**64 - 1], dtype=np.uint64),
    "float16": X.astype(np.float16),
    "float32": X.astype(np.float32),
    "longdouble": X.astype(np.longdouble),
    "big endian": X.astype(">f8"),
    "objects": np.array([1.0, 2], dtype=object),
    "series": pd.Series(X),
    "empty": [],
    "empty of strings": np.array([], dtype=str),
}


@pytest.mark.parametrize("values", ARRAYS.values(), ids=ARRAYS)
def test_arrays_of_any_shape_and_kind_of_number_are_counted_as_one_by_one(values: Any) -> None:
    plain = [float(each) for each in np.asarray(values).ravel()]
    assert of(values) == one_by_one(plain)
    assert of(values).n == len(plain)


def test_missing_values_of_arrays_are_counted() -> None:
    for values in ([1.0, None], pd.Series([1.0, None]), pd.array([1.0, None], dtype="Float64")):
        histogram = of(values)
        assert (histogram.n, histogram.missing) == (1, 1)


def test_a_wider_float_beyond_the_largest_is_infinite() -> None:
    values = np.array([1e300], dtype=np.longdouble) * np.longdouble(1e300)
    assert of(values).quantile(0.5) == math.inf


NO_ARRAYS: dict[str, Any] = {
    "strings": ["a", "b"],
    "digits": ["1.0"],
    "bytes": [b"1"],
    "mixed": [1.0, "a"],
    "ragged": [[1.0], [1.0, 2.0]],
    "complex": [1j],
    "dates": np.array(["2026-01-01"], dtype="M8[D]"),
    "durations": np.array([1], dtype="m8[s]"),
    "records": np.array([(1.0, 2)], dtype=[("a", "f8"), ("b", "i4")]),
    "one string": "1.0",
    "mapping": {"a": 1.0},
    "set": {1.0},
    "object": object(),
    "decimals": [Decimal("nan"), "x"],
    "huge": [10**400, "x"],
}


@pytest.mark.parametrize("values", NO_ARRAYS.values(), ids=NO_ARRAYS)
def test_what_is_no_array_of_numbers_is_refused_and_nothing_counted(values: Any) -> None:
    histogram = of([1.0])
    before = histogram.to_json()
    with pytest.raises(ConfigurationError, match=r"^values = .*: must be an array of numbers$"):
        histogram.add_many(values)
    assert histogram.to_json() == before


def test_an_array_is_left_as_it_was() -> None:
    values = np.array([-0.0, math.nan, -1.0, 5.0])
    before = values.tobytes()
    of(values)
    assert values.tobytes() == before


# Any order, any chunks.

chunks = st.lists(st.tuples(st.booleans(), st.lists(any_float, max_size=20)), max_size=8)


@given(chunks, st.randoms())
def test_any_chunks_order_and_merge_give_the_same_json(
    parts: list[tuple[bool, list[float]]], random: Any
) -> None:
    values = [value for _, part in parts for value in part]
    whole, mixed = of(values), Histogram()
    for bulk, part in parts:
        if bulk:
            mixed.add_many(part)
        else:
            for value in part:
                mixed.add(value)
    pieces = [of(part) if bulk else one_by_one(part) for bulk, part in parts] or [Histogram()]
    random.shuffle(pieces)
    random.shuffle(values)
    for other in (mixed, one_by_one(values), reduce(operator.add, pieces), Histogram() + whole):
        assert other.to_json() == whole.to_json()
        assert other.to_bytes() == whole.to_bytes()
        assert other == whole


@given(st.lists(any_float, max_size=30), st.lists(any_float, max_size=30))
def test_a_part_is_taken_away_exactly(one: list[float], two: list[float]) -> None:
    total = of(one) + of(two)
    assert total - of(two) == of(one)
    assert (total - of(one)).to_json() == of(two).to_json()
    assert total - total == Histogram()
    assert total == of([*one, *two])  # its parts and differences left it alone


@pytest.mark.parametrize("more", [[5.0], [-1.0], [math.nan], [0.0], [math.inf], [1.0, 1.0]])
def test_what_is_no_part_is_not_taken_away(more: list[float]) -> None:
    histogram = of([1.0, 2.0])
    with pytest.raises(ConfigurationError, match=r"^other = .*: must be a part of <Histogram of 2"):
        histogram - of(more)
    assert histogram == of([1.0, 2.0])


def test_a_sum_stands_by_itself() -> None:
    one, two = of([1.0]), of([2.0])
    total = one + two
    one.add(1.0)
    total.add(3.0)
    assert (one.n, two.n, total.n) == (2, 1, 3)


@pytest.mark.parametrize("operation", [operator.add, operator.sub])
def test_histograms_add_only_to_histograms(operation: Any) -> None:
    for other in (1, None, "x", Counts()):
        with pytest.raises(TypeError):
            operation(Histogram(), other)
        assert Histogram() != other


def test_a_histogram_has_no_hash_and_says_how_much_it_holds() -> None:
    with pytest.raises(TypeError):
        hash(Histogram())
    assert repr(of(np.ones(12345))) == "<Histogram of 12,345 numbers>"


def test_zeros_and_infinities_and_nothing_cost_no_room() -> None:
    values = np.random.default_rng(0).lognormal(-4.0, 1.0, 10_000)
    histogram = of(values)
    room = histogram._counts.array.nbytes
    for more in ([0.0, math.inf], [], [math.nan], [-0.0]):
        histogram.add_many(more)
    histogram += Histogram()
    assert histogram._counts.array.nbytes == room <= 10_000


def test_scalars_are_counted_in_bulk_before_they_fill_the_memory() -> None:
    histogram = Histogram()
    for _ in range(3 * FULL):
        histogram.add(1.0)
        assert len(histogram._buffer) <= FULL
    assert histogram.n == 3 * FULL
    assert not histogram._buffer


# On the wire.


@given(st.lists(any_float, max_size=50))
def test_it_round_trips(values: list[float]) -> None:
    histogram = of(values)
    text, data = histogram.to_json(), histogram.to_bytes()
    assert not {"NaN", "Infinity"} & set(text.replace(":", ",").split(","))
    twins = [Histogram.from_json(text), Histogram.from_bytes(data), copy.copy(histogram)]
    twins += [copy.deepcopy(histogram), pickle.loads(pickle.dumps(histogram))]  # noqa: S301 -- our own
    for twin in twins:
        assert twin == histogram
        assert (twin.to_json(), twin.to_bytes()) == (text, data)
        twin.add(1.0)
        assert twin.n == histogram.n + 1


def test_its_json_and_bytes_are_these() -> None:
    histogram = of([0.0, 1.0, 1.0, math.inf, -2.0, math.nan])
    assert json.loads(histogram.to_json()) == {
        "kind": "histogram",
        "schema": 1,
        "negative": 1,
        "missing": 1,
        "buckets": [0, 65472, 131008],
        "counts": [1, 2, 1],
    }
    numbers = struct.pack("<4sqqi3i3q", b"mlh1", 1, 1, 3, 0, 65472, 131008, 1, 2, 1)
    assert histogram.to_bytes() == numbers


GOOD = json.loads(of([0.0, 1.0, 2.0, math.inf, -1.0]).to_json())
junk = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(10**400), 10**400)
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["inf", "-1", "65472"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)


def read(text: Any) -> None:
    try:
        found = Histogram.from_json(text)
    except ConfigurationError as error:
        assert str(error)  # noqa: PT017 -- it is the only error allowed
        return
    assert Histogram.from_json(found.to_json()) == found
    assert found.n >= 0
    assert not math.isnan(found.quantile(0.5)) or found.n == 0
    (found + found).add(1.0)


@given(st.sampled_from([*GOOD]), junk)
def test_damaged_json_is_refused_or_read_whole(name: str, value: Any) -> None:
    read(json.dumps({**GOOD, name: value}))
    read(json.dumps({key: each for key, each in GOOD.items() if key != name}))


@given(st.text(max_size=30) | st.integers(0, 120).map(json.dumps(GOOD).__getitem__) | junk)
def test_what_is_no_json_of_a_histogram_is_refused(text: Any) -> None:
    with pytest.raises(ConfigurationError):
        Histogram.from_json(text)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"kind": "profile"}, "^kind = 'profile': must be 'histogram'$"),
        ({"schema": 2}, "^schema = 2: must be 1$"),
        ({"counts": [1]}, "rising buckets and a count"),
        ({"counts": [1, -1, 1, 1]}, "rising buckets and a count"),
        ({"buckets": [0, 2, 1, 3]}, "rising buckets and a count"),
        ({"buckets": [0, 1, 1, 3]}, "rising buckets and a count"),
        ({"buckets": [0, 1, 2, 131009]}, "from 0 to 131008"),
        ({"buckets": [-1, 1, 2, 3]}, "from 0 to 131008"),
        ({"buckets": [0.0, 1.5, 2, 3]}, "integers"),
        ({"buckets": ["0", "1", "2", "3"]}, "integers"),
        ({"counts": [1, 1, 1, 2**53]}, "at most 9,007,199,254,740,992 together"),
        ({"counts": [10**30, 1, 1, 1]}, "at most 9,007,199,254,740,992 together"),
        ({"counts": None}, "the JSON of a histogram"),
        ({"negative": -1}, "negative = -1: must be a whole number of at least 0"),
        ({"missing": 1.5}, "missing = 1.5: must be a whole number of at least 0"),
    ],
)
def test_the_error_names_what_is_damaged(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        Histogram.from_json(json.dumps({**GOOD, **change}))


@pytest.mark.parametrize("name", [*GOOD])
def test_the_error_names_what_is_not_there(name: str) -> None:
    record = {key: each for key, each in GOOD.items() if key != name}
    with pytest.raises(ConfigurationError, match=name):
        Histogram.from_json(json.dumps(record))


def test_json_nested_without_end_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"^text = "):
        Histogram.from_json("[" * 200_000)


DATA = of([0.0, 1.0, 2.0, math.inf, -1.0]).to_bytes()


@given(st.integers(0, len(DATA) - 1), st.integers(0, 255), st.booleans())
def test_damaged_bytes_are_refused_or_read_whole(place: int, byte: int, cut: bool) -> None:  # noqa: FBT001 -- hypothesis gives it by name
    data = DATA[:place] if cut else DATA[:place] + bytes([byte]) + DATA[place + 1 :]
    try:
        found = Histogram.from_bytes(data)
    except ConfigurationError as error:
        assert str(error)  # noqa: PT017 -- it is the only error allowed
    else:
        assert Histogram.from_bytes(found.to_bytes()) == found
        found.quantile(0.5)


@given(st.binary(max_size=80))
def test_bytes_of_something_else_are_refused(data: bytes) -> None:
    with pytest.raises(ConfigurationError, match=r"^data = "):
        Histogram.from_bytes(data)


@pytest.mark.parametrize("data", [None, "mlh1", 5, [1], b"", b"mlh1" + bytes(16) + b"\xff" * 4])
def test_what_are_no_bytes_of_a_histogram_is_refused(data: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^data = "):
        Histogram.from_bytes(data)
    with pytest.raises(ConfigurationError, match="as long as its head says"):
        Histogram.from_bytes(DATA + b"\0")


# Counts.


@given(st.lists(st.lists(st.floats(0.0, math.inf), max_size=10), max_size=6))
def test_packed_counts_put_and_take_exactly(parts: list[list[float]]) -> None:
    total, packed = Counts(), []
    for part in parts:
        slot = Counts()
        slot.add(*counted(np.array(part, dtype=np.float64))[0])
        assert (slot.n, bool(slot)) == (len(part), bool(part))
        packed.append(slot.packed())
        total.put(slot.packed())
    assert total.n == sum(map(len, parts))
    for each in packed:
        total.take(Counts.read([numbers.tolist() for numbers in each]))
    assert not total
    assert [numbers.tolist() for numbers in total.packed()] == [[], []]


@pytest.mark.parametrize("count", [1, 255, 256, 65_536, 2**32, MOST])
def test_packed_counts_are_as_small_as_they_can_be(count: int) -> None:
    counts = Counts()
    counts.put((np.array([7], dtype=np.int32), np.array([count])))
    _, numbers = counts.packed()
    assert numbers.tolist() == [count]
    assert numbers.dtype == np.min_scalar_type(count)


# Threads.


def test_many_threads_lose_nothing() -> None:
    histogram, start = Histogram(), threading.Barrier(8)
    values = np.random.default_rng(3).lognormal(size=5000).tolist()

    def run(number: int) -> None:
        start.wait(20.0)
        if number % 2:
            for value in values:
                histogram.add(value)
        else:
            for place in range(0, len(values), 100):
                histogram.add_many(values[place : place + 100])
                histogram.quantile(0.99)

    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(run, number) for number in range(8)]:
            done.result()
    assert histogram == of(values * 8)


def test_a_forked_child_starts_at_zero() -> None:
    histogram = of([1.0, 2.0, -1.0, math.nan])
    histogram.add(3.0)
    histogram._after_fork()
    assert (histogram.n, histogram.negative, histogram.missing) == (0, 0, 0)
    histogram.add(3.0)
    assert histogram == of([3.0])


def test_a_value_that_counts_while_it_is_read_does_not_stop_the_world() -> None:
    histogram = Histogram()

    class Nosy:
        def __float__(self) -> float:
            for _ in range(2 * FULL):
                histogram.add(1.0)
            return 2.0

    histogram.add(Nosy())  # type: ignore[arg-type]
    thread = threading.Thread(target=lambda: histogram.n, daemon=True)
    thread.start()
    thread.join(20.0)
    assert not thread.is_alive()
    assert histogram.n == 2 * FULL + 1
