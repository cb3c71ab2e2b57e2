"""The comparison: significant and material, or stable, or too few rows to tell."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypedDict

import numpy as np
from scipy import special

from mlguard.arguments import finite, refusal, share
from mlguard.drift.groups import Groups, grouped
from mlguard.drift.report import ColumnReport, DriftReport
from mlguard.errors import ConfigurationError
from mlguard.stats import corrections, homogeneity
from mlguard.stats.homogeneity import LEAST_EXPECTED
from mlguard.stats.intervals import normal_quantile
from mlguard.stats.shifts import FINE, shift_of, square_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from mlguard.drift.profile import Profile
    from mlguard.drift.reference import Reference

    Floats = NDArray[np.float64]

Metric: TypeAlias = Literal["shift", "psi", "ks", "js"]

_POWER = 0.5
_ROUNDS = 4
_CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Tolerance:
    """A tolerance in a metric of its own, applied in that metric."""

    metric: Metric
    limit: float


@dataclass(frozen=True, slots=True)
class Settings:
    """How a comparison judges; kept in the report."""

    alpha: float
    tolerance: Tolerance
    breach: Tolerance
    rule: str
    correction: str
    weights: tuple[float, ...]


def psi(limit: float) -> Tolerance:
    """Tolerate a population stability index up to `limit`, such as the customary 0.1."""
    return Tolerance("psi", _positive("limit", limit))


def ks(limit: float) -> Tolerance:
    """Tolerate a Kolmogorov-Smirnov statistic up to `limit`."""
    return Tolerance("ks", _positive("limit", limit))


def js(limit: float) -> Tolerance:
    """Tolerate a Jensen-Shannon distance (base 2) up to `limit`."""
    return Tolerance("js", _positive("limit", limit))


class How(TypedDict, total=False):
    """The keyword arguments of `Reference.compare`."""

    alpha: float
    tolerance: float | Tolerance
    breach: float | Tolerance | None
    rule: Literal["estimate", "proven"]
    correction: Literal["holm", "bh"]
    weights: Mapping[str, float] | None


def compare_many(
    reference: Reference,
    profiles: Sequence[Profile],
    *,
    alpha: float = 0.01,
    tolerance: float | Tolerance = 0.1,
    breach: float | Tolerance | None = None,
    rule: Literal["estimate", "proven"] = "estimate",
    correction: Literal["holm", "bh"] = "holm",
    weights: Mapping[str, float] | None = None,
) -> list[DriftReport]:
    """Compare profiles, those of similar size at once; see `Reference.compare`."""
    share("alpha", alpha)
    line, limit = _lines(tolerance, breach)
    if line.metric == "ks" and (unordered := _unordered(reference)):
        raise refusal(
            "tolerance", tolerance, f"in a metric of all columns: without order are {unordered}"
        )
    if rule not in {"estimate", "proven"}:
        raise refusal("rule", rule, '"estimate" or "proven"')
    if rule == "proven" and isinstance(tolerance, Tolerance):
        raise refusal("rule", rule, '"estimate" with a tolerance in a metric of its own')
    if correction not in {"holm", "bh"}:
        raise refusal("correction", correction, '"holm" or "bh"')
    importance = _importance(reference, weights, correction)
    settings = Settings(alpha, line, limit, rule, correction, tuple(importance))
    for profile in profiles:
        if not profile.layout.fits(reference.layout):
            raise ConfigurationError(
                f"the profile was counted in the cells of reference {profile.layout.digest}, "
                f"not of this one, {reference.digest}"
            )
    by_size: dict[int, list[int]] = {}
    for place, profile in enumerate(profiles):
        by_size.setdefault(_octave(min(profile.rows, reference.rows)), []).append(place)
    reports: dict[int, DriftReport] = {}
    for smaller, places in by_size.items():
        together = [profiles[place] for place in places]
        reports |= zip(places, _compared(reference, together, smaller, settings), strict=True)
    return [reports[place] for place in range(len(profiles))]


def required_rows(
    reference: Reference, *, alpha: float, tolerance: float | Tolerance
) -> dict[str, int | None]:
    """See `Reference.required_n`."""
    share("alpha", alpha)
    line = _line("tolerance", tolerance, "shift")
    groups = _groups(reference, _octave(reference.rows))
    tests = len(reference.columns)
    needed = _needed(reference, groups, line, np.full(tests, alpha / tests))
    return dict(zip(reference.columns, needed, strict=True))


def _compared(
    reference: Reference, profiles: Sequence[Profile], smaller: int, settings: Settings
) -> list[DriftReport]:
    groups = _groups(reference, smaller)
    seen = np.stack([profile.counts for profile in profiles])
    sizes = np.array([[float(profile.rows)] for profile in profiles])
    before, after = groups.slots(reference.counts), groups.slots(seen)
    alone = groups.alone(before, after, reference.rows, sizes)
    turned = groups.turned(after, alone, reference.rows, sizes)
    apart = (
        groups.corrected(groups.apart(before, alone, turned)),
        groups.apart(after, alone, turned),
    )
    effect = homogeneity.effect(*apart, groups.starts)
    cells = _unit_cells(groups)
    if settings.rule == "proven":
        squares = np.array([_tolerated_square(settings.tolerance, size) for size in cells])
        p_values = homogeneity.beyond(*apart, groups.starts, squares)
    else:
        p_values = _p_values(reference, groups, seen, apart, sizes)
    weights = np.array(settings.weights)
    adjusted = (
        corrections.holm(p_values, weights)
        if settings.correction == "holm"
        else corrections.benjamini_hochberg(p_values)
    )
    shifts = [
        _shifts(square, cells).tolist()
        for square in (effect.square, *effect.interval(normal_quantile(_CONFIDENCE)))
    ]
    share_of_alpha = settings.alpha * weights / weights.sum()
    needed = _needed(reference, groups, settings.tolerance, share_of_alpha)
    places = {name: place for place, name in enumerate(reference.columns)}
    rows = zip(p_values.tolist(), adjusted.tolist(), *shifts, strict=True)
    return [
        DriftReport(
            reference=reference,
            profile=profile,
            settings=settings,
            columns=_Columns(
                reference,
                settings,
                places=places,
                rows=profile.rows,
                counts=counts,
                numbers=(*row, needed),
            ),
        )
        for profile, counts, row in zip(profiles, seen, rows, strict=True)
    ]


class _Columns(Mapping[str, ColumnReport]):
    """The columns of a report, each made when it is first asked for. Immutable."""

    __slots__ = ("_counts", "_made", "_numbers", "_places", "_reference", "_rows", "_settings")

    def __init__(
        self,
        reference: Reference,
        settings: Settings,
        *,
        places: Mapping[str, int],
        rows: int,
        counts: NDArray[np.int64],
        numbers: tuple[Sequence[Any], ...],
    ) -> None:
        self._reference = reference
        self._places = places
        self._rows = rows
        self._counts = counts
        self._settings = settings
        self._numbers = numbers
        self._made: dict[str, ColumnReport] = {}

    def __getitem__(self, name: str) -> ColumnReport:
        if name not in self._made:
            place = self._places[name]
            p_value, adjusted_p, effect, low, high, required_n = (n[place] for n in self._numbers)
            self._made[name] = ColumnReport.of(
                self._reference,
                self._counts,
                name,
                self._settings,
                p_value=p_value,
                adjusted_p=adjusted_p,
                effect=effect,
                low=low,
                high=high,
                required_n=required_n,
                n=self._rows,
            )
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def __repr__(self) -> str:
        return repr(dict(self))


def _p_values(
    reference: Reference,
    groups: Groups,
    seen: NDArray[np.int64],
    apart: tuple[NDArray[np.int64], NDArray[np.int64]],
    sizes: Floats,
) -> Floats:
    """Chi-square over the cells that stand for themselves and the rest; smooth where ordered."""
    near = apart[0][..., groups.nears], apart[1][..., groups.nears]
    rest = apart[0][..., groups.nears + 1] + near[0], apart[1][..., groups.nears + 1] + near[1]
    for counts in apart:
        counts[..., groups.nears] = 0
        counts[..., groups.nears + 1] = 0
    statistic, degrees = homogeneity.chi_square(*apart, groups.starts)
    for more in (
        homogeneity.split(*rest, reference.rows, sizes),
        homogeneity.estimated_split(*near, *rest, groups.tails[:, 1]),
    ):
        statistic, degrees = statistic + more[0], degrees + more[1]
    p_values = homogeneity.chi_square_tail(statistic, degrees)
    if len(groups.ordered):
        ranked = groups.ordered_cells
        found = homogeneity.smooth(
            reference.counts[ranked], seen[..., ranked], groups.ordered_starts
        )
        tail = homogeneity.chi_square_tail(*found)
        both = np.minimum(p_values[..., groups.ordered], tail)
        p_values[..., groups.ordered] = np.minimum(2.0 * both, 1.0)
    return p_values


def _shifts(squares: Floats, cells: Sequence[int]) -> Floats:
    shifts = np.empty_like(squares)
    for size in set(cells):
        chosen = np.array([each == size for each in cells])
        shifts[:, chosen] = shift_of(squares[:, chosen], size)
    return shifts


def _unit_cells(groups: Groups) -> list[int]:
    """Cells of the normal column that each column's effect is told in."""
    return [size if size > 1 else FINE for size in groups.sizes.tolist()]


def _needed(
    reference: Reference, groups: Groups, tolerance: Tolerance, alphas: Floats
) -> list[int | None]:
    """Rows at which the test finds an effect at the tolerance in half of all samples."""
    needed: list[int | None] = []
    rows, ordered = reference.rows, set(groups.ordered.tolist())
    slots = np.split(groups.slots(reference.counts), groups.columns[1:])
    least = np.split(groups.least, groups.columns[1:])
    for column, cells in enumerate(_unit_cells(groups)):
        square = _tolerated_square(tolerance, cells)
        if column in ordered:
            needed.append(_rows(rows, _noncentrality(2, alphas[column] / 2.0) / square))
            continue
        frequent = np.sort(slots[column][slots[column] >= least[column]])
        found: int | None = rows
        for _ in range(_ROUNDS):  # the more rows, the more levels that stand for themselves
            share = min(found or rows, rows) / rows
            alone = len(frequent) - int(np.searchsorted(frequent, LEAST_EXPECTED / share))
            degrees = max(alone - (frequent[-alone:].sum() == rows if alone else 0), 1)
            found = _rows(rows, _noncentrality(int(degrees), alphas[column]) / square)
        needed.append(found)
    return needed


def _rows(reference: int, harmonic: float) -> int | None:
    """Rows that make, with those of the reference, n m / (n + m) = harmonic."""
    if reference <= harmonic:
        return None
    return math.ceil(harmonic * reference / (reference - harmonic))


@lru_cache(maxsize=1024)
def _noncentrality(degrees: int, alpha: float) -> float:
    critical = float(special.chdtri(degrees, alpha))
    return float(special.chndtrinc(critical, degrees, 1.0 - _POWER))


def _tolerated_square(tolerance: Tolerance, cells: int) -> float:
    """Squared effect at the tolerance; near it the other metrics measure the same."""
    if tolerance.metric == "shift":
        return square_of(tolerance.limit, cells)
    if tolerance.metric == "psi":
        return tolerance.limit
    if tolerance.metric == "js":
        return tolerance.limit**2 * 8.0 * math.log(2.0)
    return square_of(math.sqrt(2.0 * math.pi) * tolerance.limit, cells)


def _groups(reference: Reference, smaller: int) -> Groups:
    found = reference.groups.get(smaller)
    if found is None:
        layout = reference.layout
        found = grouped(layout.cells, reference.counts, reference.rows, smaller)
        reference.groups[smaller] = found
    return found


def _octave(rows: int) -> int:
    """Round down to a power of two, so that profiles of similar size share their groups."""
    return 1 << (rows.bit_length() - 1) if rows else 0


def _lines(
    tolerance: float | Tolerance, breach: float | Tolerance | None
) -> tuple[Tolerance, Tolerance]:
    line = _line("tolerance", tolerance, "shift")
    if breach is None:
        return line, Tolerance(line.metric, float(f"{3.0 * line.limit:.12g}"))
    limit = _line("breach", breach, line.metric)
    if line.metric != limit.metric:
        raise refusal("breach", breach, f"in the metric of the tolerance, {line.metric}")
    if line.limit > limit.limit:
        raise refusal("breach", breach, f"at least the tolerance, {line.limit:g}")
    return line, limit


def _unordered(reference: Reference) -> list[str]:
    return [name for name, cells in reference.layout.cells.items() if not cells.ordered]


def _line(parameter: str, value: float | Tolerance, metric: Metric) -> Tolerance:
    if isinstance(value, Tolerance):
        return value
    return Tolerance(metric, _positive(parameter, value))


def _importance(
    reference: Reference, weights: Mapping[str, float] | None, correction: str
) -> list[float]:
    given = dict(weights or {})
    if given and correction == "bh":
        raise refusal("weights", given, 'None with correction="bh"')
    if unknown := sorted(given.keys() - set(reference.columns)):
        raise refusal("weights", unknown, f"columns of the reference: {reference.columns}")
    return [_positive(f"weights[{n!r}]", given.get(n, 1.0)) for n in reference.columns]


def _positive(parameter: str, value: float) -> float:
    number = finite(parameter, value)
    if number <= 0.0:
        raise refusal(parameter, value, "above 0")
    return number
