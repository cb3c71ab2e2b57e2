"""Charts as strings of HTML and SVG: colours come from the page's style sheet, so both themes work."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Final

import numpy as np

from mlguard import Severity, Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from mlguard import Measurement

ROW: Final = 26
GROUP: Final = 38
SIDE: Final = 200
MOST: Final = 0.9
GROUPS: Final = 10
MARK: Final = {
    Severity.OK: "ok",
    Severity.UNKNOWN: "unknown",
    Severity.WARN: "unknown",
    Severity.BREACH: "breach",
}


@dataclass(frozen=True, slots=True)
class Scale:
    """A stretch of numbers, drawn from 0 % to 100 % of a width."""

    low: float
    high: float

    def percent(self, value: float) -> str:
        """Return where a number lies, as a percentage of the width."""
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return f"{100 * share:.2f}%"


def signed(value: float, digits: int = 3) -> str:
    """Write a difference with its sign, as wide for a loss as for a gain."""
    return f"{value:+.{digits}f}".replace("-", "−")


def ends(found: Measurement) -> tuple[float, float]:
    """Return the ends of an interval, both the value itself where there is none."""
    low = found.value if found.low is None else found.low
    return low, found.value if found.high is None else found.high


def leaves(verdict: Verdict) -> list[Verdict]:
    """Return the verdicts on single measurements below a verdict, or the verdict itself."""
    causes = [cause for cause in verdict.causes if isinstance(cause, Verdict)]
    return [leaf for cause in causes for leaf in leaves(cause)] or [verdict]


def scale_of(verdicts: Sequence[Verdict], margin: float) -> Scale:
    """Return one scale for the intervals of several verdicts, with zero and the margin on it."""
    found = [leaf.evidence[0] for verdict in verdicts for leaf in leaves(verdict)]
    reached = [0.0, margin, *(end for each in found for end in ends(each))]
    low, high = min(reached), max(reached)
    return Scale(
        low - 0.05 * (high - low), max(high + 0.05 * (high - low), margin + 0.3 * (high - low))
    )


def forest(
    groups: Sequence[tuple[str, Sequence[tuple[str, Verdict]]]],
    *,
    scale: Scale,
    margin: float,
    caption: str,
) -> str:
    """Draw each verdict's measurement as an interval on a common scale, a table row each."""
    rows = [_axis(scale, margin)]
    for title, members in groups:
        if title:
            rows.append(
                f'<tr class="group"><th scope="colgroup">{escape(title)}</th><td class="n"></td><td>{_cell(scale, margin, height=GROUP)}</td><td></td></tr>'
            )
        rows += [_forest_row(label, verdict, scale, margin) for label, verdict in members]
    return f'<table class="forest"><caption>{escape(caption)}</caption>{"".join(rows)}</table>'


def _forest_row(label: str, verdict: Verdict, scale: Scale, margin: float) -> str:
    found = verdict.evidence[0]
    kind = MARK[verdict.severity]
    low, high = ends(found)
    interval = f"{signed(low)} to {signed(high)}"
    title = (
        f"{label}: {signed(found.value)}, {interval}, {found.n:,} flights: {verdict.severity.name}"
    )
    marks = (
        f'<line class="{kind}" x1="{scale.percent(low)}" x2="{scale.percent(high)}" y1="{ROW / 2}" y2="{ROW / 2}"/>'
        f"{_mark(kind, scale.percent(found.value))}"
    )
    return (
        f'<tr class="{kind}"><th scope="row">{escape(label)}</th><td class="n">{found.n:,}</td>'
        f"<td>{_cell(scale, margin, marks, title)}</td>"
        f'<td class="value">{signed(found.value)}<span class="interval"> {interval}</span></td></tr>'
    )


def _mark(kind: str, x: str) -> str:
    if kind == "breach":
        return f'<rect class="breach" x="{x}" y="{ROW / 2}" width="8" height="8"/>'
    return f'<circle class="{kind}" cx="{x}" cy="{ROW / 2}" r="4"/>'


def _cell(scale: Scale, margin: float, marks: str = "", title: str = "", height: int = ROW) -> str:
    named = f'role="img"><title>{escape(title)}</title>' if title else 'aria-hidden="true">'
    return f'<svg class="cell" width="100%" height="{height}" {named}{_lines(scale, margin, 0, height)}{marks}</svg>'


def _axis(scale: Scale, margin: float) -> str:
    ticks = "".join(
        f'<text x="{scale.percent(tick)}" y="34" text-anchor="middle">{signed(tick, 2)}</text>'
        for tick in _ticks(scale)
    )
    words = (
        f'<svg class="cell" width="100%" height="48" aria-hidden="true">{_lines(scale, margin, 40, 48)}{ticks}'
        '<text x="0" y="12">← better</text><text x="100%" y="12" text-anchor="end">worse →</text>'
        f'<text x="{scale.percent(0)}" dx="3" y="34" text-anchor="end">0</text>'
        f'<text class="limit" x="{scale.percent(margin)}" dx="2" y="34">{signed(margin)}</text></svg>'
    )
    return (
        f'<tr class="axis"><th scope="col">Slice</th><th scope="col" class="n">Flights</th><th scope="col">{words}</th>'
        '<th scope="col" class="value">Difference</th></tr>'
    )


def _lines(scale: Scale, margin: float, top: int, bottom: int) -> str:
    zero, line = scale.percent(0), scale.percent(margin)
    grid = "".join(
        f'<line class="grid" x1="{at}" x2="{at}" y1="{top}" y2="{bottom}"/>'
        for at in map(scale.percent, _ticks(scale))
    )
    return (
        f'<rect class="too-far" x="{line}" y="{top}" width="{100 - float(line[:-1]):.2f}%" height="{bottom - top}"/>{grid}'
        f'<line class="zero" x1="{zero}" x2="{zero}" y1="{top}" y2="{bottom}"/>'
        f'<line class="margin" x1="{line}" x2="{line}" y1="{top}" y2="{bottom}"/>'
    )


def _ticks(scale: Scale, step: float = 0.1) -> list[float]:
    places = range(int(np.ceil(scale.low / step)), int(np.floor(scale.high / step)) + 1)
    return [place * step for place in places if place]


def calibration(
    y: NDArray[np.bool_], prediction: NDArray[np.float64], *, title: str, kind: str
) -> str:
    """Draw what a model said against what happened, in ten groups of equally many rows."""
    groups = np.array_split(np.argsort(prediction, kind="stable"), GROUPS)
    points = [(_across(prediction[rows].mean()), _up(y[rows].mean())) for rows in groups]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.2"/>' for x, y in points)
    right, bottom = _across(MOST), _up(0)
    return (
        f'<svg class="calibration {kind}" viewBox="0 0 {right + 8:.0f} {bottom + 26:.0f}" role="img">'
        f"<title>{escape(title)}</title>{''.join(map(_tick, (0.0, 0.2, 0.4, 0.6, 0.8)))}"
        f'<line class="ideal" x1="{_across(0)}" y1="{bottom}" x2="{right}" y2="{_up(MOST)}"/>'
        f'<polyline points="{path}"/>{dots}</svg>'
    )


def _tick(share: float) -> str:
    x, y, percent = _across(share), _up(share), f"{100 * share:.0f}"
    return (
        f'<line class="grid" x1="{_across(0)}" x2="{_across(MOST)}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text x="{_across(0) - 6}" y="{y + 4:.1f}" text-anchor="end">{percent}</text>'
        f'<text x="{x:.1f}" y="{_up(0) + 16}" text-anchor="middle">{percent}</text>'
    )


def _across(share: float) -> float:
    return 34 + SIDE * share / MOST


def _up(share: float) -> float:
    return 8 + SIDE * (1 - share / MOST)
