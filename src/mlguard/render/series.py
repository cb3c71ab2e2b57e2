"""Quantities over time as strings of SVG: a line with its band, spots with their intervals."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlguard.render.svg import drawing
from mlguard.render.text import escaped, number

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

STYLE = (
    ".mlguard-svg.over-time{width:calc(100% - 64px);margin-left:52px}"
    ".mlguard-svg .grid{stroke:currentColor;stroke-opacity:.12}"
    ".mlguard-svg .band{fill:var(--kind);fill-opacity:.16}"
    ".mlguard-svg .course{fill:none;stroke:var(--kind);stroke-width:2}"
    ".mlguard-svg text.limit{fill:var(--line);fill-opacity:1}"
)
"""Added to the style of drawings."""

_TICKS = 5
_MOST_LABELS = 5
_ROOM = 0.08
"""Of the height, above and below what is drawn."""


@dataclass(frozen=True, slots=True)
class Spot:
    """A quantity at one time. Immutable.

    Attributes:
        at: When.
        value: How much; NaN where it is unknown, which breaks a line.
        low: Lower end of its interval, or the value.
        high: Upper end.
        label: What it is in words, shown when it is pointed at.
        kind: CSS class that colours it.
    """

    at: float
    value: float
    low: float
    high: float
    label: str
    kind: str


def over_time(
    line: Sequence[Spot],
    spots: Sequence[Spot],
    *,
    labels: Sequence[tuple[float, str]],
    limit: tuple[float, str] | None = None,
    title: str,
    height: int = 260,
) -> str:
    """Draw a line with its band, and spots with their intervals, over one time axis.

    Args:
        line: In the order of time.
        spots: In the order of time.
        labels: Of the time axis: when, and the text. Those that find no room are left out.
        limit: A value to be drawn across, and what to call it.
        title: What it shows, in words for those who do not see it.
        height: In pixels, without the labels.
    """
    drawn = [each for each in (*line, *spots) if not math.isnan(each.value)]
    ends = [end for each in drawn for end in (each.low, each.high)] or [0.0, 1.0]
    if limit is not None:
        ends.append(limit[0])
    lowest, highest = min(ends), max(ends)
    room = _ROOM * (highest - lowest) or 0.5 * abs(highest) or 0.5
    lowest, highest = lowest - room, highest + room
    times = [at for at, _ in labels] + [each.at for each in (*line, *spots)] or [0.0]
    first, span = min(times), max(times) - min(times) or 1.0

    def x(at: float) -> str:
        return f"{4.0 + 92.0 * (at - first) / span:.2f}"

    def y(value: float) -> str:
        return f"{height * (highest - value) / (highest - lowest):.1f}"

    parts = []
    for tick in ticks(lowest, highest):
        at = y(tick)
        parts.append(f'<line class="grid" x1="0" x2="100%" y1="{at}" y2="{at}"/>')
        parts.append(
            f'<text x="0" dx="-8" y="{at}" dy="4" text-anchor="end">{escaped(number(tick))}</text>'
        )
    step = -(-len(labels) // _MOST_LABELS)
    parts += [
        f'<text x="{x(at)}%" y="{height + 18}" text-anchor="middle">{escaped(words)}</text>'
        for at, words in (labels[::step] if labels else ())
    ]
    if limit is not None:
        at = y(limit[0])
        parts.append(f'<line class="line" x1="0" x2="100%" y1="{at}" y2="{at}"/>')
        parts.append(f'<text class="limit" x="4" y="{at}" dy="-5">{escaped(limit[1])}</text>')
    paths = "".join(_run(run, x, y) for run in _runs(line))
    parts.append(
        f'<svg width="100%" height="{height}" viewBox="0 0 100 {height}" '
        f'preserveAspectRatio="none">{paths}</svg>'
    )
    alone = [run[0] for run in _runs(line) if len(run) == 1]
    parts += [
        f'<circle cx="{x(each.at)}%" cy="{y(each.value)}" r="7" fill-opacity="0">'
        f"<title>{escaped(each.label)}</title></circle>"  # to be pointed at
        for run in _runs(line)
        for each in run
        if len(run) > 1
    ]
    for each in (*alone, *spots):
        if not math.isnan(each.value):
            at = x(each.at)
            parts.append(
                f'<g class="{each.kind}"><title>{escaped(each.label)}</title><line class="span" '
                f'x1="{at}%" x2="{at}%" y1="{y(each.low)}" y2="{y(each.high)}"/>'
                f'<circle class="dot" cx="{at}%" cy="{y(each.value)}" r="4"/></g>'
            )
    return drawing(title, height + 24, parts, kind="over-time")


def _runs(line: Sequence[Spot]) -> list[list[Spot]]:
    """Cut a line where its value is unknown."""
    runs: list[list[Spot]] = [[]]
    for each in line:
        if math.isnan(each.value):
            runs.append([])
        else:
            runs[-1].append(each)
    return [run for run in runs if run]


def _run(run: Sequence[Spot], x: Callable[[float], str], y: Callable[[float], str]) -> str:
    there = [f"{x(each.at)},{y(each.high)}" for each in run]
    back = [f"{x(each.at)},{y(each.low)}" for each in reversed(run)]
    middle = " ".join(f"{x(each.at)},{y(each.value)}" for each in run)
    return (
        f'<g class="{run[0].kind}"><polygon class="band" points="{" ".join([*there, *back])}"/>'
        f'<polyline class="course" points="{middle}" vector-effect="non-scaling-stroke"/></g>'
    )


def ticks(low: float, high: float) -> list[float]:
    """Give round numbers within a range, at most six of them.

    Args:
        low: Lower end.
        high: Upper end, above it.

    Examples:
        >>> ticks(0.71, 0.89)
        [0.75, 0.8, 0.85]
        >>> ticks(-3.0, 118.0)
        [0.0, 25.0, 50.0, 75.0, 100.0]
    """
    least = (high - low) / _TICKS
    power = 10.0 ** math.floor(math.log10(least))
    step = next(size * power for size in (1.0, 2.0, 2.5, 5.0, 10.0) if size * power >= least)
    return [
        float(f"{k * step:.12g}") for k in range(math.ceil(low / step), math.floor(high / step) + 1)
    ]
