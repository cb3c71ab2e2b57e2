"""What each client spent, as bars against its cap."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Final

from act4 import words
from charts import ROW, Scale

if TYPE_CHECKING:
    from collections.abc import Sequence

    from act4.moments import Part

THICK: Final = 12
ROOM: Final = 1.06
"""How far the scale goes beyond the cap."""


def bars(parts: Sequence[Part], *, cap: float) -> str:
    """Draw a bar for each client, a table row each."""
    scale = Scale(0.0, ROOM * cap)
    rows = "".join(_row(part, scale, cap) for part in parts)
    return (
        '<table class="forest clients"><tr class="axis"><th scope="col">Client</th><th scope="col" class="n">Paid calls</th>'
        '<th scope="col"></th><th scope="col" class="value">Spent</th><th scope="col" class="value">Refused</th></tr>'
        f"{rows}</table>"
    )


def _row(part: Part, scale: Scale, cap: float) -> str:
    spent, refused = float(part.spent.amount), len(part.refused)
    kind = "breach" if refused else "ok"
    line = scale.percent(cap)
    title = (
        f"{part.client}: {words.usd(part.spent)} for {len(part.paid):,} calls, {refused:,} refused"
    )
    return (
        f'<tr class="{kind}"><th scope="row">{escape(part.client)}</th><td class="n">{len(part.paid):,}</td>'
        f'<td><svg class="cell" width="100%" height="{ROW}" role="img"><title>{escape(title)}</title>'
        f'<rect class="bar {kind}" x="0" width="{scale.percent(spent)}" y="{(ROW - THICK) / 2:g}" height="{THICK}"/>'
        f'<line class="margin" x1="{line}" x2="{line}" y1="0" y2="{ROW}"/></svg></td>'
        f'<td class="value">{words.usd(part.spent)}</td><td class="value">{f"{refused:,}" if refused else "–"}</td></tr>'
    )
