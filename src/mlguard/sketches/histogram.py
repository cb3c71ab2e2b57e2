"""A mergeable histogram of positive numbers with a guaranteed relative error."""

from __future__ import annotations

import json
import math
import struct
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from mlguard.arguments import refusal, whole
from mlguard.records import parsed
from mlguard.sketches.buckets import Amount, Counts, counted, quantile_level, rank_of, value_of
from mlguard.sketches.buffered import FULL, RETRY, Buffered, floats

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

_HEAD = struct.Struct("<4sqqi")
_MAGIC = b"mlh1"


class Histogram(Buffered):
    """Counts of numbers in buckets of equal relative width, 64 to each power of two.

    Thread-safe. Per process and mergeable: `a + b` is exactly the histogram of all values of both,
    in whatever order they came; `a - b` takes a part away again. About 5 kB for latencies. A forked
    child starts at zero.

    Every quantile lies within 0.8 % of the true order statistic, whatever the distribution, for
    positive numbers from 2.2e-308 up. Zero, and what is smaller than 3.5e-310, counts as 0;
    between these two the error is at most 1.8e-310. Infinity is a value larger than all others.
    What is negative or no number is counted apart and never in the way.

    For rank errors instead of relative ones, and for negative numbers, use a KLL or t-digest; for
    a count in cells that a reference fixed, `Profile`.

    Examples:
        >>> latencies = Histogram()
        >>> latencies.add_many([0.010, 0.012, 0.011, 0.250])
        >>> latencies.add(0.013)
        >>> latencies.n, round(latencies.quantile(0.5), 4)
        (5, 0.012)

    References:
        C. Masson, J. E. Rim, H. K. Lee, "DDSketch: a fast and fully-mergeable quantile sketch with
        relative-error guarantees", PVLDB 12 (2019), for the guarantee; the buckets are linear in
        each power of two, as in G. Tene's HdrHistogram.
    """

    __slots__ = ("_counts", "_missing", "_negative")

    def __init__(self) -> None:
        super().__init__()
        self._counts = Counts()
        self._negative = 0
        self._missing = 0

    def add(self, value: float) -> None:
        """Count a number; what is none is counted as missing."""
        self._append(value)
        waiting = len(self._buffer)
        if waiting >= FULL and not waiting % RETRY:
            self._flush(wait=False)

    def add_many(self, values: ArrayLike) -> None:
        """Count an array of numbers of any shape.

        Raises:
            ConfigurationError: `values` holds something else than numbers; nothing was counted.
        """
        part = counted(numbers("values", values))
        with self._lock:
            self._add(*part)

    def _flush(self, *, wait: bool = True) -> None:
        if wait:
            with self._lock:  # which an exception from a signal cannot leave locked
                self._count()
        elif self._lock.acquire(blocking=False):  # else whoever has it counts
            try:
                self._count()
            finally:
                self._lock.release()

    def _count(self) -> None:
        if taken := self._taken():
            self._add(*counted(floats(taken)))

    def _after_fork(self) -> None:
        super()._after_fork()
        self._buffer.clear()
        self._counts, self._negative, self._missing = Counts(), 0, 0

    def _add(self, amount: Amount, negative: int, missing: int) -> None:
        self._counts.add(*amount)
        self._negative += negative
        self._missing += missing

    @property
    def n(self) -> int:
        """How many numbers were counted: zeros and infinities too, negatives and missing not."""
        self._flush()
        return self._counts.n

    @property
    def negative(self) -> int:
        """How many numbers were negative."""
        self._flush()
        return self._negative

    @property
    def missing(self) -> int:
        """How many values were NaN or no number."""
        self._flush()
        return self._missing

    def quantile(self, q: float) -> float:
        """Give the smallest number that a share `q` of the numbers does not exceed.

        NaN without any number; the order statistic of rank ceil(q * n) to within 0.8 %.

        Raises:
            ConfigurationError: `q` is not between 0 and 1.
        """
        level = quantile_level(q)
        self._flush()
        with self._lock:
            n = self._counts.n
            if not n:
                return math.nan
            (bucket,) = self._counts.at_ranks([rank_of(level, n)])
        return value_of(bucket)

    def _parts(self) -> tuple[list[int], list[int], int, int]:
        self._flush()
        with self._lock:
            buckets, counts = self._counts.packed()
            return buckets.tolist(), counts.tolist(), self._negative, self._missing

    def __add__(self, other: Histogram) -> Histogram:
        if not isinstance(other, Histogram):
            return NotImplemented
        total = Histogram()
        for part in (self, other):
            part._flush()
            with part._lock:
                counts = part._counts
                total._counts.add(counts.first, counts.array, counts.zeros, counts.infinite)
                total._negative += part._negative
                total._missing += part._missing
        return total

    def __sub__(self, other: Histogram) -> Histogram:
        if not isinstance(other, Histogram):
            return NotImplemented
        rest = self + Histogram()
        buckets, counts, negative, missing = other._parts()
        mine = dict(zip(*rest._parts()[:2], strict=True))
        short = [b for b, count in zip(buckets, counts, strict=True) if mine.get(b, 0) < count]
        if short or rest._negative < negative or rest._missing < missing:
            raise refusal("other", other, f"a part of {self!r}, which it is not")
        rest._counts.take(Counts.read([buckets, counts]))
        rest._negative -= negative
        rest._missing -= missing
        return rest

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Histogram):
            return NotImplemented
        return self._parts() == other._parts()

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<Histogram of {self.n:,} numbers>"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self).from_bytes, (self.to_bytes(),)

    def to_json(self) -> str:
        """Write the counts as JSON: the same for the same numbers, however they came."""
        buckets, counts, negative, missing = self._parts()
        record = {
            "kind": "histogram",
            "schema": 1,
            "negative": negative,
            "missing": missing,
            "buckets": buckets,
            "counts": counts,
        }
        return json.dumps(record, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote.

        Raises:
            ConfigurationError: The text is no histogram of a known schema.
        """
        record = parsed(text, "histogram")
        try:
            return cls._of(*(record[name] for name in ("buckets", "counts", "negative", "missing")))
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise refusal("text", text, f"the JSON of a histogram: {error!r}") from None

    def to_bytes(self) -> bytes:
        """Write the counts as bytes, little-endian: the same for the same numbers."""
        buckets, counts, negative, missing = self._parts()
        head = _HEAD.pack(_MAGIC, negative, missing, len(buckets))
        return head + np.array(buckets, "<i4").tobytes() + np.array(counts, "<i8").tobytes()

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read what `to_bytes` wrote.

        Raises:
            ConfigurationError: The bytes are no histogram.
        """
        try:
            magic, negative, missing, size = _HEAD.unpack_from(data)
            middle = _HEAD.size + 4 * size
            if magic != _MAGIC or len(data) != middle + 8 * size:
                raise refusal("data", data, "as long as its head says")
            buckets = np.frombuffer(data, "<i4", size, _HEAD.size).tolist()
            counts = np.frombuffer(data, "<i8", size, middle).tolist()
            return cls._of(buckets, counts, negative, missing)
        except (TypeError, ValueError, struct.error) as error:
            raise refusal("data", data, f"the bytes of a histogram: {error}") from None

    @classmethod
    def _of(cls, buckets: list[int], counts: list[int], negative: int, missing: int) -> Self:
        found = cls()
        found._counts.put(Counts.read([buckets, counts]))
        found._negative = whole("negative", negative)
        found._missing = whole("missing", missing)
        return found


def numbers(parameter: str, values: ArrayLike) -> NDArray[np.float64]:
    """Read an array-like of numbers as one dimension of float64."""
    try:
        array = np.asarray(values)
        if array.dtype.kind not in "fiub" and array.size:
            array = np.asarray([math.nan if each is None else each for each in array.ravel()])
        if array.dtype.kind in "fiub" or not array.size:
            with np.errstate(over="ignore"):  # of a wider float
                return np.ascontiguousarray(array, dtype=np.float64).ravel()
    except (TypeError, ValueError):
        pass
    raise refusal(parameter, values, "an array of numbers")
