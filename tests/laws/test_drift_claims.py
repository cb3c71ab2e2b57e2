"""What drift comparisons promise about errors, effects and rows, by simulation.

A limit on a rate leaves room for chance: a true rate at the limit fails once in 100,000 seeds.
"""

from __future__ import annotations

import math
import zlib
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pytest
from scipy import special, stats

from mlguard.drift import Profile, Reference
from mlguard.drift.cells import Levels, Ranges
from mlguard.drift.layout import Layout
from mlguard.stats import homogeneity
from mlguard.stats.shifts import FINE, shift_of, square_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from mlguard.drift import DriftReport
    from mlguard.drift.cells import Cells

    Counts = NDArray[np.int64]
    Floats = NDArray[np.float64]

slow = pytest.mark.slow
CHANCE = 1e-5
TINY = 1e-6
"""A tolerance at which the test alone decides."""


def at_most(share: float, runs: int) -> int:
    return int(stats.binom.ppf(1.0 - CHANCE, runs, share))


def at_least(share: float, runs: int) -> int:
    return int(stats.binom.ppf(CHANCE, runs, share))


def generator(*seed: object) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(repr(seed).encode()))


@dataclass(frozen=True)
class Number:
    """A column of numbers: how to draw rows, and its distribution function if it has no atom."""

    draw: Callable[[np.random.Generator, int], Floats]
    below: Callable[[Floats], Floats] | None = None

    def fit(self, rng: np.random.Generator, n: int) -> tuple[Cells, Counts]:
        values = self.draw(rng, n)
        ranges = Ranges.fit(values, 20)
        return ranges, ranges.count(values)

    def count(self, rng: np.random.Generator, m: int, cells: Cells) -> Counts:
        """Count m rows; where the distribution function is known, straight in the cells."""
        assert isinstance(cells, Ranges)
        if self.below is None:
            return cells.count(self.draw(rng, m))
        shares = np.diff(np.concatenate([[0.0], self.below(np.array(cells.edges)), [1.0, 1.0]]))
        return rng.multinomial(m, shares)


@dataclass(frozen=True)
class Level:
    """A column of levels: their shares, and how many a reference keeps."""

    shares: Floats
    most: int = 100

    def fit(self, rng: np.random.Generator, n: int) -> tuple[Cells, Counts]:
        counts = rng.multinomial(n, self.shares)
        seen = Counter({str(place): int(counts[place]) for place in np.flatnonzero(counts)})
        levels = Levels.fit(seen, self.most, "")
        return levels, levels.count(seen, 0)

    def count(self, rng: np.random.Generator, m: int, cells: Cells) -> Counts:
        assert isinstance(cells, Levels)
        kept = rng.multinomial(m, self.shares)[[int(name) for name in cells.names]]
        return np.concatenate([kept, [m - kept.sum(), 0]])


Kind: TypeAlias = Number | Level


def normal(shift: float = 0.0, scale: float = 1.0) -> Number:
    return Number(
        lambda rng, n: scale * (rng.standard_normal(n) + shift),
        lambda x: np.asarray(special.ndtr(np.clip(x, -1e6, 1e6) / scale - shift)),
    )


def lognormal(median: float = 1.0) -> Number:
    return Number(
        lambda rng, n: median * rng.lognormal(0.0, 2.0, n),
        lambda x: np.asarray(stats.lognorm.cdf(x, 2.0, scale=median)),
    )


def partly(share: float, value: float) -> Number:
    def draw(rng: np.random.Generator, n: int) -> Floats:
        return np.where(rng.random(n) < share, value, rng.standard_normal(n))

    return Number(draw)


def levels(count: int) -> Level:
    return Level(np.full(count, 1.0 / count))


ZIPF = (1.0 / np.arange(1, 5001)) / (1.0 / np.arange(1, 5001)).sum()
KINDS: dict[str, Kind] = {
    "normal": normal(),
    "t2": Number(lambda rng, n: rng.standard_t(2, n), lambda x: np.asarray(special.stdtr(2.0, x))),
    "lognormal": lognormal(),
    "integers": Number(lambda rng, n: rng.poisson(30.0, n).astype(float)),
    "few integers": Number(lambda rng, n: rng.integers(0, 20, n).astype(float)),
    "some missing": partly(0.003, math.nan),
    **{f"{count} levels": levels(count) for count in (2, 3, 10, 100, 150, 1000)},
    "zipf": Level(ZIPF),
}


def fitted(rng: np.random.Generator, kinds: Sequence[Kind], n: int) -> Reference:
    columns = {f"c{place}": kind.fit(rng, n) for place, kind in enumerate(kinds)}
    cells = {name: fixed for name, (fixed, _) in columns.items()}
    sizes = {name: fixed.size for name, fixed in cells.items()}
    layout = Layout("made", sizes, cells, {name: name for name in cells})
    return Reference(layout, np.concatenate([each for _, each in columns.values()]), n)


def seen(rng: np.random.Generator, reference: Reference, kinds: Sequence[Kind], m: int) -> Profile:
    profile = reference.profile()
    cells = reference.layout.cells.values()
    counts = [kind.count(rng, m, fixed) for kind, fixed in zip(kinds, cells, strict=True)]
    profile._counts[:] = np.concatenate(counts)
    profile._rows = m
    return profile


def compared(
    rng: np.random.Generator,
    before: Sequence[Kind],
    after: Sequence[Kind],
    size: tuple[int, int],
    **how: Any,
) -> DriftReport:
    reference = fitted(rng, before, size[0])
    return reference.compare(seen(rng, reference, after, size[1]), **how)


def cases(
    quick: list[tuple[Any, ...]], full: list[tuple[Any, ...]], runs: tuple[int, int]
) -> list[Any]:
    return [pytest.param(*case, runs[0]) for case in quick] + [
        pytest.param(*case, runs[1], marks=slow) for case in full
    ]


# False alarms.

SIZES = [
    (1000, 1000),
    (10_000, 10_000),
    (100_000, 100_000),
    (10_000, 50),
    (10_000, 100),
    (10_000, 1000),
]
LATTICES = ("integers", "few integers", "some missing")  # drawn row by row, which takes its time
FULL = [
    (kind, size) for kind in KINDS for size in SIZES if kind not in LATTICES or size[1] <= 10_000
]
QUICK = [
    *(("normal", (1000, 1000)), ("t2", (10_000, 50)), ("lognormal", (10_000, 10_000))),
    *(
        ("integers", (1000, 1000)),
        ("few integers", (10_000, 1000)),
        ("some missing", (10_000, 100)),
    ),
    *(("2 levels", (10_000, 50)), ("10 levels", (1000, 1000)), ("100 levels", (1000, 1000))),
    *(("150 levels", (1000, 1000)), ("1000 levels", (10_000, 10_000)), ("zipf", (10_000, 1000))),
]


@pytest.mark.parametrize(
    ("kind", "size", "runs"),
    cases(QUICK, FULL, (40, 1000)),
)
def test_twenty_columns_without_drift_are_quiet(
    kind: str, size: tuple[int, int], runs: int
) -> None:
    """Any column flagged in at most 1.5 alpha of the runs; four runs share a reference."""
    rng, kinds = generator(kind, size), [KINDS[kind]] * 20
    alarms, material, small = 0, 0, 0
    for _ in range(runs // 4):
        reference = fitted(rng, kinds, size[0])
        profiles = [seen(rng, reference, kinds, size[1]) for _ in range(4)]
        for report in reference.compare_many(profiles, tolerance=TINY):
            columns = report.columns.values()
            alarms += min(column.adjusted_p for column in columns) <= 0.01
            material += any(c.adjusted_p <= 0.01 and c.effect > 0.1 for c in columns)
            small += sum(column.p_value <= 0.01 for column in columns)
    assert material <= alarms <= at_most(0.015, runs)
    assert small <= at_most(0.015, 20 * runs)


@pytest.mark.parametrize("runs", [20, pytest.param(500, marks=slow)])
def test_frames_without_drift_are_quiet_from_end_to_end(runs: int) -> None:
    rng, names = generator("frames"), np.array(list("abcdefgh"), dtype=object)

    def frame(rows: int) -> dict[str, Any]:
        numbers = {f"x{place}": rng.standard_normal(rows) for place in range(10)}
        return numbers | {f"s{place}": rng.choice(names, rows) for place in range(10)}

    alarms = sum(
        bool(Reference.fit(frame(1000)).compare(frame(1000), tolerance=TINY).drifted)
        for _ in range(runs)
    )
    assert alarms <= at_most(0.015, runs)


def zipf(power: float, count: int, most: int) -> Level:
    shares = 1.0 / np.arange(1, count + 1) ** power
    return Level(shares / shares.sum(), most)


ALL_KEPT = [
    *((1.5, 90, 100, (1000, 1000)), (1.2, 500, 1000, (3000, 3000))),
    *((1.5, 60, 100, (300, 300)), (1.5, 100, 100, (2000, 2000)), (1.0, 90, 100, (150, 5000))),
    *((0.0, 90, 100, (200, 10_000)), (2.0, 90, 100, (1000, 10_000))),
]


@pytest.mark.parametrize(
    ("power", "count", "most", "size", "runs"), cases(ALL_KEPT[:2], ALL_KEPT, (150, 2000))
)
def test_levels_not_seen_by_chance_are_no_drift_where_all_that_were_seen_are_kept(
    power: float, count: int, most: int, size: tuple[int, int], runs: int
) -> None:
    rng, kinds = generator("kept", power, size), [zipf(power, count, most)]
    alarms, squares = 0, []
    for _ in range(runs):
        column = compared(rng, kinds, kinds, size, tolerance=TINY).columns["c0"]
        alarms += column.adjusted_p <= 0.01
        squares.append(column.effect**2)
    assert alarms <= at_most(0.015, runs)
    assert np.median(squares) <= 0.1**2


OUTSIDE = [(300, 30_000), (200, 100_000), (300, 300)]


@pytest.mark.parametrize("runs", [20, pytest.param(200, marks=slow)])
@pytest.mark.parametrize("size", OUTSIDE)
@pytest.mark.parametrize("shift", [0.0, 0.3])
def test_a_small_reference_and_many_rows_alarm_as_promised_and_the_interval_covers(
    shift: float, size: tuple[int, int], runs: int
) -> None:
    """Each run has twenty columns."""
    rng, covered, small = generator("small", shift, size), 0, 0
    for _ in range(runs):
        reference = fitted(rng, [normal()] * 20, size[0])
        profile = seen(rng, reference, [normal(shift)] * 20, size[1])
        columns = reference.compare(profile).columns.values()
        covered += sum(column.low <= shift <= column.high for column in columns)
        small += sum(column.p_value <= 0.01 for column in columns)
    assert covered >= at_least(0.925, 20 * runs)
    assert shift or small <= at_most(0.015, 20 * runs)


# What is found.


def missing(share: float) -> Number:
    return partly(share, math.nan)


PLANTED: dict[str, tuple[list[Kind], Kind, tuple[int, int], float, float]] = {
    "0.1 sd in one of twenty": ([normal()] * 20, normal(0.1), (10_000, 10_000), 0.05, 0.99),
    "lognormal, median x 1.3": ([lognormal()], lognormal(1.3), (10_000, 10_000), 0.1, 0.9),
    "3 sd of 1e-5": ([normal(0.0, 1e-5)], normal(3.0, 1e-5), (10_000, 10_000), 0.1, 0.99),
    "20 % missing": ([normal()] * 20, missing(0.2), (10_000, 10_000), 0.1, 0.99),
    "20 % missing, few rows": ([normal()] * 20, missing(0.2), (10_000, 100), 0.1, 0.9),
    "2 % stuck at one value": ([normal()], partly(0.02, 0.0), (10_000, 10_000), 0.05, 0.75),
    "constant elsewhere": ([partly(1.0, 1.0)] * 20, partly(1.0, 2.0), (10_000, 100), 0.1, 0.99),
    "one level becomes another": (
        [Level(np.array([1.0, 0.0]))],
        Level(np.array([0.0, 1.0])),
        (1000, 100),
        0.1,
        0.99,
    ),
    "a new level at 5 %": (
        [Level(np.append(zipf(1.5, 60, 100).shares, 0.0))],
        Level(np.append(0.95 * zipf(1.5, 60, 100).shares, 0.05)),
        (2000, 2000),
        0.1,
        0.99,
    ),
    "a new level at 10 %, of 500": (
        [Level(np.append(zipf(1.2, 500, 1000).shares, 0.0), 1000)],
        Level(np.append(0.9 * zipf(1.2, 500, 1000).shares, 0.1), 1000),
        (2000, 2000),
        0.1,
        0.99,
    ),
    "every second zipf level gone": (
        [KINDS["zipf"]],
        Level(ZIPF * (np.arange(5000) % 2) / (ZIPF[1::2].sum())),
        (10_000, 1000),
        0.1,
        0.99,
    ),
}


@pytest.mark.parametrize("runs", [25, pytest.param(1000, marks=slow)])
@pytest.mark.parametrize("name", PLANTED)
def test_planted_drift_is_found(name: str, runs: int) -> None:
    before, after, size, tolerance, share = PLANTED[name]
    rng, found = generator(name), 0
    for _ in range(runs):
        report = compared(rng, before, [after, *before[1:]], size, tolerance=tolerance)
        found += "c0" in report.drifted
    assert found >= at_least(share, runs)


@pytest.mark.parametrize("runs", [10, pytest.param(200, marks=slow)])
def test_a_shift_of_a_fiftieth_of_a_standard_deviation_stays_stable_at_a_million_rows(
    runs: int,
) -> None:
    rng = generator("harmless")
    reference = fitted(rng, [normal()], 1_000_000)
    for _ in range(runs):
        column = reference.compare(seen(rng, reference, [normal(0.02)], 1_000_000)).columns["c0"]
        assert column.adjusted_p < 1e-9
        assert column.status == "stable"


# The effect.


def in_cells(shift: float, cells: int = 20) -> Floats:
    """Give the shares of a shifted normal column in the cells of the unshifted."""
    cuts = special.ndtri(np.arange(1, cells) / cells)
    return np.diff(np.concatenate([[0.0], special.ndtr(cuts - shift), [1.0]]))


def tilted(shares: Floats, by: float) -> Floats:
    moved = shares * np.exp(by * np.where(np.arange(len(shares)) % 2, 1.0, -1.0))
    return np.asarray(moved / moved.sum())


def square(p: Floats, q: Floats) -> float:
    return float((2.0 * (p - q) ** 2 / (p + q)).sum())


THREE = np.array([0.5, 0.3, 0.2])
FIFTY = ZIPF[:50] / ZIPF[:50].sum()
SHARES: dict[str, tuple[Floats, Floats]] = {
    **{f"{d} sd": (in_cells(0.0), in_cells(d)) for d in (0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0)},
    **{f"three {by}": (THREE, tilted(THREE, by)) for by in (0.0, 0.05, 0.1, 0.2, 0.5, 1.0)},
    **{f"zipf {by}": (FIFTY, tilted(FIFTY, by)) for by in (0.0, 0.1, 0.2, 0.5, 1.0)},
    "doubled": (np.array([0.9, 0.1]), np.array([0.8, 0.2])),
    "rare": (np.array([0.98, 0.02]), np.array([0.95, 0.05])),
    "appears": (np.append(in_cells(0.0), 0.0), np.append(0.8 * in_cells(0.0), 0.2)),
}
RATIOS = [(1000, 1000), (10_000, 1000), (1_000_000, 1000), (100_000, 100_000), (1000, 1_000_000)]
START = np.array([0])


def drawn(name: str, size: tuple[int, int], runs: int) -> tuple[Counts, Counts, float] | None:
    """Draw samples; None where cells expect fewer than ten rows, or the rarer sample is all."""
    p, q = SHARES[name]
    n, m = size
    if min(n * p[p > 0.0].min(), m * q.min()) < 10.0 or (name == "appears" and m > n):
        return None
    rng = generator("effect", name, size)
    return rng.multinomial(n, p, runs), rng.multinomial(m, q, runs), square(p, q)


@pytest.mark.parametrize("runs", [2000, pytest.param(40_000, marks=slow)])
@pytest.mark.parametrize("name", SHARES)
def test_the_effect_depends_on_the_shares_alone_and_its_interval_covers(
    name: str, runs: int
) -> None:
    for size in RATIOS:
        if (sample := drawn(name, size, runs)) is None:
            continue
        before, after, truth = sample
        found = homogeneity.effect(before, after, START)
        error = found.square.std()
        assert abs(found.square.mean() - truth) <= (0.06 + 4.5 / math.sqrt(runs)) * error
        low, high = found.interval(1.959964)
        covered = int(((low <= truth) & (truth <= high)).sum())
        assert covered >= at_least(0.93, runs)
        if truth > 2.0 * error:
            assert covered <= at_most(0.97, runs)
            told = [float(shift_of(np.array([s]), 20)[0]) for s in (found.square.mean(), truth)]
            assert told[0] == pytest.approx(told[1], rel=0.05)


@pytest.mark.parametrize(
    ("shift", "size"),
    [
        (0.1, (100_000, 20_000)),
        (0.3, (2000, 2000)),
        (0.3, (200_000, 2000)),
        (1.0, (20_000, 2000)),
        (1.0, (20_000, 100)),
        (2.0, (5000, 5000)),
    ],
)
def test_the_effect_of_a_shifted_normal_column_is_its_shift(
    shift: float, size: tuple[int, int]
) -> None:
    rng = generator("unit", shift, size)
    report = compared(rng, [normal()] * 60, [normal(shift)] * 60, size)
    effects = np.array([column.effect for column in report.columns.values()])
    assert effects.mean() == pytest.approx(shift, abs=0.015 + 4.5 * effects.std() / math.sqrt(60))
    assert effects.mean() == pytest.approx(shift, rel=0.1)


# The strict rule.


@pytest.mark.parametrize("runs", [2000, pytest.param(60_000, marks=slow)])
@pytest.mark.parametrize("name", [name for name in SHARES if square(*SHARES[name]) > 0.0])
def test_at_exactly_the_tolerance_little_is_proven(name: str, runs: int) -> None:
    for size in RATIOS:
        if (sample := drawn(name, size, runs)) is None:
            continue
        before, after, truth = sample
        p_values = homogeneity.beyond(before, after, START, np.array([truth]))
        for alpha in (0.05, 0.01, 0.001):
            assert (p_values <= alpha).sum() <= at_most(1.5 * alpha, runs)


@pytest.mark.parametrize("runs", [60, pytest.param(1000, marks=slow)])
def test_beyond_the_tolerance_the_strict_rule_finds_drift_and_at_it_does_not(runs: int) -> None:
    rng, flagged = generator("proven"), dict.fromkeys((0.1, 0.2), 0)
    for _ in range(runs):
        reference = fitted(rng, [normal()] * 2, 20_000)
        for shift in flagged:
            profile = seen(rng, reference, [normal(shift)] * 2, 10_000)
            flagged[shift] += bool(reference.compare(profile, rule="proven").drifted)
    assert flagged[0.1] <= at_most(0.015, runs)
    assert flagged[0.2] >= at_least(0.99, runs)


# The rows that are needed.


@pytest.mark.parametrize("runs", [80, pytest.param(1500, marks=slow)])
@pytest.mark.parametrize("tolerance", [0.1, 0.2, 0.3])
@pytest.mark.parametrize("name", ["normal", "3 levels", "10 levels"])
def test_the_required_rows_find_a_change_at_the_tolerance_half_of_the_time(
    name: str, tolerance: float, runs: int
) -> None:
    kind = KINDS[name]
    after: Kind = normal(tolerance)
    if isinstance(kind, Level):
        by = tolerance
        for _ in range(5):
            by *= math.sqrt(
                square_of(tolerance, FINE) / square(kind.shares, tilted(kind.shares, by))
            )
        after = Level(tilted(kind.shares, by))
    rng, found = generator("required", name, tolerance), 0
    for _ in range(runs):
        reference = fitted(rng, [kind], 20_000)
        rows = reference.required_n(tolerance=tolerance)["c0"]
        assert rows is not None
        column = reference.compare(
            seen(rng, reference, [after], rows), tolerance=tolerance
        ).columns["c0"]
        found += column.adjusted_p <= 0.01
    assert at_least(0.38, runs) <= found <= at_most(0.62, runs)
