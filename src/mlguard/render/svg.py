"""Drawings as strings of SVG: no script, no dependency; colours come from the style beside them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlguard.render.text import escaped

if TYPE_CHECKING:
    from collections.abc import Sequence

_NARROW = 320.0
"""Pixels of the narrowest drawing, into which every label must fit."""

_LETTER = 6.6
"""Pixels of a letter of a label."""

STYLE = (
    ".mlguard-svg{display:block;width:100%;overflow:visible}"
    ".mlguard-svg text{fill:currentColor;fill-opacity:.65;font-size:11px}"
    ".mlguard-svg .axis{stroke:currentColor;stroke-opacity:.35}"
    ".mlguard-svg .before{fill:none;stroke:currentColor;stroke-opacity:.6}"
    ".mlguard-svg .after,.mlguard-svg .dot{fill:var(--kind);fill-opacity:.5}"
    ".mlguard-svg .dot{fill-opacity:1}"
    ".mlguard-svg .span{stroke:var(--kind);stroke-width:2;stroke-linecap:round}"
    ".mlguard-svg .beyond{fill:var(--line);fill-opacity:.1}"
    ".mlguard-svg .line{stroke:var(--line);stroke-dasharray:3 3}"
)
"""The style of drawings; a page that shows several needs it once. `--kind` colours the data."""


@dataclass(frozen=True, slots=True)
class Bar:
    """A cell of a histogram: its share before and after, what to call it, and how under the axis.

    Attributes:
        label: In full, shown when it is pointed at.
        before: Share before.
        after: Share after.
        short: Under the bar; nothing where there is no room for it.
        apart: Whether it stands apart from the bar before it.
    """

    label: str
    before: float
    after: float
    short: str = ""
    apart: bool = False


def histogram(
    bars: Sequence[Bar], *, title: str, ticks: Sequence[tuple[float, str]] = (), height: int = 132
) -> str:
    """Draw two distributions over the same cells: outlined before, filled after.

    Args:
        bars: From left to right.
        title: What it shows, in words for those who do not see it.
        ticks: Labels between the bars: number of bars to their left, and the text.
        height: In pixels, without the labels.
    """
    gaps = [0.7 if bar.apart else 0.0 for bar in bars]
    width = 100.0 / max(len(bars) + sum(gaps), 1.0)
    highest = max((max(bar.before, bar.after) for bar in bars), default=0.0) or 1.0
    room = int(_NARROW * width / 100.0 / _LETTER)
    parts, x = [], 0.0
    for bar, gap in zip(bars, gaps, strict=True):
        x += gap * width
        parts.append(_bar(bar, x, width, highest, height))
        short = bar.short if len(bar.short) <= room else f"{bar.short[: room - 1]}…"
        if short and (room > 2 or short == bar.short):  # noqa: PLR2004 -- letters that say anything
            parts.append(_text(x + width / 2, height + 14, short))
        x += width
    for place, label in ticks:
        at = place * width
        parts.append(
            f'<line class="axis" x1="{at:.2f}%" x2="{at:.2f}%" y1="{height}" y2="{height + 3}"/>'
        )
        parts.append(_text(at, height + 14, label))
    parts.append(f'<line class="axis" x1="0" x2="100%" y1="{height}" y2="{height}"/>')
    return drawing(title, height + 18, parts)


def _bar(bar: Bar, x: float, width: float, highest: float, height: int) -> str:
    inner = 0.86 * width
    left = x + 0.07 * width
    shares = f"{100 * bar.before:.3g} % → {100 * bar.after:.3g} %"
    rects = ""
    for name, share in (("after", bar.after), ("before", bar.before)):
        tall = (height - 2) * share / highest
        rects += (
            f'<rect class="{name}" x="{left:.2f}%" width="{inner:.2f}%" '
            f'y="{height - tall:.1f}" height="{tall:.1f}"/>'
        )
    return f"<g><title>{escaped(bar.label)}: {shares}</title>{rects}</g>"


def interval(
    value: float,
    ends: tuple[float, float],
    *,
    top: float,
    lines: Sequence[tuple[float, str]],
    title: str,
) -> str:
    """Draw an interval from 0 to `top` against lines, the last of which is not to be passed.

    The scale is that of square roots, so that small and large effects are both read.

    Args:
        value: Drawn as a dot.
        ends: Of the interval.
        top: Right end of the scale.
        lines: Where they are, and the CSS variable that colours them.
        title: What it shows, in words.
    """

    def at(number: float) -> str:
        return f"{100.0 * math.sqrt(min(max(number, 0.0), top) / top):.2f}%"

    parts = []
    for place, colour in lines:
        x = at(place)
        if place is lines[-1][0]:
            rest = 100.0 - float(x[:-1])
            parts.append(
                f'<rect class="beyond" style="--line:{colour}" x="{x}" width="{rest:.2f}%" '
                'height="20"/>'
            )
        parts.append(
            f'<line class="line" style="--line:{colour}" x1="{x}" x2="{x}" y1="0" y2="20"/>'
        )
        parts.append(f'<text x="{x}" y="33" text-anchor="middle">{place:g}</text>')
    parts.append('<line class="axis" x1="0" x2="0" y1="0" y2="20"/><text x="0" y="33">0</text>')
    if not math.isnan(value):
        low, high = ends
        parts.append(f'<line class="span" x1="{at(low)}" x2="{at(high)}" y1="10" y2="10"/>')
        parts.append(f'<circle class="dot" cx="{at(value)}" cy="10" r="4"/>')
    return drawing(title, 36, parts)


def _text(x: float, y: float, words: str) -> str:
    anchor = "start" if x < 1.0 else "end" if x > 99.0 else "middle"  # noqa: PLR2004 -- the borders
    return f'<text x="{x:.2f}%" y="{y:g}" text-anchor="{anchor}">{escaped(words)}</text>'


def drawing(title: str, height: int, parts: Sequence[str], *, kind: str = "") -> str:
    """Put parts together as one drawing."""
    names = f"mlguard-svg {kind}".rstrip()
    return (
        f'<svg class="{names}" role="img" height="{height}"><title>{escaped(title)}</title>'
        f"{''.join(parts)}</svg>"
    )
