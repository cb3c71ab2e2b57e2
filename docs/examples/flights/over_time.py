"""What changed over time, as strings of SVG: lines against their limits, areas, and verdicts as bands."""

from __future__ import annotations

import math
from html import escape
from itertools import groupby, pairwise
from typing import TYPE_CHECKING, Final

from axes import HEIGHT
from charts import MARK

if TYPE_CHECKING:
    from collections.abc import Sequence

    from axes import Area, Axis, Line, Stretch
    from mlguard import Severity

BAND: Final = 26
THICK: Final = {"ok": 4, "unknown": 10, "warn": 10, "breach": 18}
APART: Final = 15
"""Pixels between two names at the ends of lines."""


def lines(
    stretch: Stretch,
    drawn: Sequence[Line],
    *,
    axis: Axis,
    limits: Sequence[tuple[str, float, str]],
    title: str,
    areas: Sequence[Area] = (),
) -> str:
    """Draw lines over time with their limits; a limit is its label, its value and its kind."""
    grid = "".join(
        f'<line class="grid" x1="0" x2="100%" y1="{axis.y(tick):.1f}" y2="{axis.y(tick):.1f}"/>'
        f'<text x="0" dx="-8" y="{axis.y(tick) + 4:.1f}" text-anchor="end">{escape(axis.word(tick))}</text>'
        for tick in axis.ticks
    )
    places = [(escape(label), f"{axis.y(value):.1f}", kind) for label, value, kind in limits]
    limit = "".join(
        f'<line class="limit {kind}" x1="0" x2="100%" y1="{y}" y2="{y}"/>' for _, y, kind in places
    )
    labels = "".join(
        f'<text class="limit {kind}" x="0" dx="6" y="{y}" dy="-5">{label}</text>'
        for label, y, kind in places
    )
    paths = "".join(
        [
            *(_area(each, axis) for each in areas),
            *(path for line in drawn for path in _paths(line, axis)),
        ]
    )
    return (
        f'<svg class="series" width="100%" height="{HEIGHT + 24}" role="img"><title>{escape(title)}</title>'
        f"{_shades(stretch, HEIGHT)}{grid}{_marks(stretch)}{limit}"
        f'<svg width="100%" height="{HEIGHT}" viewBox="0 0 {stretch.seconds:g} {HEIGHT}" preserveAspectRatio="none">{paths}</svg>'
        f"{labels}{_names(drawn, axis)}</svg>"
    )


def bands(stretch: Stretch, rows: Sequence[tuple[str, Sequence[tuple[float, Severity]]]]) -> str:
    """Draw how each of several verdicts went: the worse, the thicker."""
    drawn = "".join(
        _band(stretch, name, verdicts, BAND * place) for place, (name, verdicts) in enumerate(rows)
    )
    height = BAND * len(rows)
    return (
        f'<svg class="series bands" width="100%" height="{height}" role="img"><title>{escape(_spoken(rows))}</title>'
        f"{_shades(stretch, height, named=False)}{drawn}</svg>"
    )


def _band(
    stretch: Stretch, name: str, verdicts: Sequence[tuple[float, Severity]], top: float
) -> str:
    middle = top + BAND / 2
    pieces = [f'<text x="0" dx="-8" y="{middle + 4:.1f}" text-anchor="end">{escape(name)}</text>']
    for start, end, severity in _stretches(stretch, verdicts):
        kind = severity.name.lower()
        thick = THICK[kind]
        pieces.append(
            f'<rect class="{kind}" x="{stretch.percent(start)}" width="{stretch.percent(end - start)}" '
            f'y="{middle - thick / 2:.1f}" height="{thick}"/>'
        )
    return "".join(pieces)


def _stretches(
    stretch: Stretch, verdicts: Sequence[tuple[float, Severity]]
) -> list[tuple[float, float, Severity]]:
    groups = [
        (severity, [at for at, _ in members])
        for severity, members in groupby(verdicts, key=lambda each: each[1])
    ]
    starts = [0.0, *(times[0] for _, times in groups[1:]), stretch.seconds]
    return [
        (start, end, severity)
        for (start, end), (severity, _) in zip(pairwise(starts), groups, strict=True)
    ]


def _spoken(rows: Sequence[tuple[str, Sequence[tuple[float, Severity]]]]) -> str:
    return "; ".join(
        f"{name}: {', '.join(severity.name for severity, _ in groupby(each for _, each in verdicts))}"
        for name, verdicts in rows
    )


def _paths(line: Line, axis: Axis) -> list[str]:
    """Draw a line, and the stretches in which it was not fine once more in their colour."""
    found = [_path(f"line {line.kind}", [(at, axis.y(value)) for at, value, _ in line.points])]
    for severity, group in groupby(pairwise(line.points), key=lambda pair: pair[1][2]):
        kind = MARK[severity]
        if severity.name in {"WARN", "BREACH"}:
            pairs = list(group)
            points = [pairs[0][0], *(second for _, second in pairs)]
            found.append(
                _path(f"line {line.kind} {kind}", [(at, axis.y(value)) for at, value, _ in points])
            )
    return found


def _area(area: Area, axis: Axis) -> str:
    there = [(at, axis.y(low)) for at, low, _ in area.points]
    back = [(at, axis.y(high)) for at, _, high in reversed(area.points)]
    return f'<polygon class="{area.kind}" points="{_places([*there, *back])}"/>'


def _path(kind: str, points: Sequence[tuple[float, float]]) -> str:
    return (
        f'<polyline class="{kind}" points="{_places(points)}" vector-effect="non-scaling-stroke"/>'
    )


def _places(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.0f},{y:.1f}" for x, y in points)


def _names(drawn: Sequence[Line], axis: Axis) -> str:
    """Write the name of each line at its end, apart from each other."""
    ends = sorted((axis.y(line.points[-1][1]), line) for line in drawn)
    found, lowest = [], -math.inf
    for y, line in ends:
        lowest = max(y, lowest + APART)
        found.append(
            f'<text class="name {line.kind}" x="100%" dx="7" y="{lowest + 4:.1f}">{escape(line.name)}</text>'
        )
    return "".join(found)


def _shades(stretch: Stretch, height: float, *, named: bool = True) -> str:
    found = []
    for start, end, name in stretch.shades:
        x, width = stretch.percent(start), stretch.percent(end - start)
        found.append(f'<rect class="shade" x="{x}" width="{width}" y="0" height="{height}"/>')
        if named:
            found.append(f'<text class="shade" x="{x}" dx="5" y="14">{escape(name)}</text>')
    return "".join(found)


def _marks(stretch: Stretch) -> str:
    return "".join(
        f'<text x="{stretch.percent(at)}" y="{HEIGHT + 18}" text-anchor="middle">{escape(word)}</text>'
        for at, word in stretch.marks
    )
