"""Two quantities of which less is better, against each other, as a string of SVG."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mlguard.render import svg
from mlguard.render.series import ticks
from mlguard.render.text import escaped, number

if TYPE_CHECKING:
    from collections.abc import Sequence

STYLE = (
    f"{svg.STYLE}"
    ".mlguard-tradeoff{--kind:#1f66b0;font-variant-numeric:tabular-nums;line-height:1.5}"
    "@media(prefers-color-scheme:dark){.mlguard-tradeoff{--kind:#7db4f0}}"
    ".mlguard-tradeoff .mlguard-svg{width:calc(100% - 72px);margin:8px 0 12px 56px}"
    ".mlguard-tradeoff .grid{stroke:currentColor;stroke-opacity:.12}"
    ".mlguard-tradeoff .course{fill:none;stroke:var(--kind);stroke-width:1.5;stroke-opacity:.5}"
    ".mlguard-tradeoff table{border-collapse:collapse;font-size:14px}"
    ".mlguard-tradeoff td,.mlguard-tradeoff th{text-align:right;font-weight:400;"
    "padding:3px 0 3px 18px;border-top:1px solid rgb(128 128 128/.28)}"
    ".mlguard-tradeoff td:first-child,.mlguard-tradeoff th:first-child{text-align:left;"
    "padding-left:0}"
)
"""The style of a trade-off; a page that shows several needs it once."""


class Point(NamedTuple):
    """One choice. Immutable.

    Attributes:
        across: Its first quantity.
        up: Its second quantity.
        label: Its name.
    """

    across: float
    up: float
    label: str


def curve(points: Sequence[Point], *, across: str, up: str, title: str, height: int = 280) -> str:
    """Draw the choices, each with its name; those that no other is better than are joined.

    Args:
        points: The choices.
        across: Name of the first quantity, whose axis begins at 0.
        up: Name of the second, likewise.
        title: What it shows, in words for those who do not see it.
        height: In pixels, without the labels.
    """
    right = max((each.across for each in points), default=0.0) * 1.1 or 1.0
    top = max((each.up for each in points), default=0.0) * 1.12 or 1.0

    def x(value: float) -> str:
        return f"{100.0 * value / right:.2f}"

    def y(value: float) -> str:
        return f"{height * (1.0 - value / top):.1f}"

    parts = []
    for tick in ticks(0.0, top):
        parts.append(f'<line class="grid" x1="0" x2="100%" y1="{y(tick)}" y2="{y(tick)}"/>')
        parts.append(
            f'<text x="0" dx="-8" y="{y(tick)}" dy="4" text-anchor="end">{number(tick)}</text>'
        )
    parts += [
        f'<text x="{x(tick)}%" y="{height + 18}" text-anchor="middle">{number(tick)}</text>'
        for tick in ticks(0.0, right)
    ]
    parts.append(f'<text x="100%" y="{height + 36}" text-anchor="end">{escaped(across)}</text>')
    parts.append(f'<text x="4" y="-6">{escaped(up)}</text>')
    ordered = sorted(points)
    best = [
        each
        for place, each in enumerate(ordered)
        if all(each.up < other.up for other in ordered[:place])
    ]
    places = " ".join(f"{x(each.across)},{y(each.up)}" for each in best)
    parts.append(
        f'<svg width="100%" height="{height}" viewBox="0 0 100 {height}" '
        'preserveAspectRatio="none"><polyline class="course" vector-effect="non-scaling-stroke" '
        f'points="{places}"/></svg>'
    )
    last = (-1e9, -1e9)
    for each in ordered:
        at, level = float(x(each.across)), float(y(each.up))
        side, shift = ("end", -9) if at > 75.0 else ("start", 9)  # noqa: PLR2004 -- room for words
        parts.append(f'<circle class="dot" cx="{at}%" cy="{level}" r="4"/>')
        named = at - last[0] > 8.0 or abs(level - last[1]) > 14.0  # noqa: PLR2004 -- no overlap
        last = (at, level) if named else last
        words = f"{each.label}: {number(each.across, 3)} {across}, {number(each.up, 3)} {up}"
        parts.append(
            f'<text x="{at}%" dx="{shift}" y="{level}" dy="-6" text-anchor="{side}">'
            f"<title>{escaped(words)}</title>{escaped(each.label) if named else ''}</text>"
        )
    return svg.drawing(title, height + 42, parts)
