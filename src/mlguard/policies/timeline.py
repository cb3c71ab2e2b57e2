"""Decisions over time as a drawing: alarms as bars, until they end, other actions as marks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from mlguard.arguments import instances, moment, refusal
from mlguard.render import html, svg
from mlguard.render.text import escaped
from mlguard.values import Action, Decision

if TYPE_CHECKING:
    from collections.abc import Iterator

_HOUR = 3_600.0
_ROW = 26
_LETTERS = 13
"""Of a name, for which there is room to the left."""

_MOST_LABELS = 6
_ROOM = 2.0
"""Percent of the width, at either end."""

_SCHEMES = [
    f"--alert:{html.COLOURS['WARN'][scheme]};--act:{html.COLOURS['BREACH'][scheme]}"
    for scheme in (0, 1)
]
STYLE = (
    f".mlguard-timeline{{{_SCHEMES[0]};font-variant-numeric:tabular-nums;line-height:1.5}}"
    f"@media(prefers-color-scheme:dark){{.mlguard-timeline{{{_SCHEMES[1]}}}}}"
    f"{svg.STYLE}"
    ".mlguard-timeline h1{font-size:clamp(26px,4vw,40px);line-height:1.15;letter-spacing:-.02em;"
    "font-weight:680;margin:4px 0 18px}"
    ".mlguard-timeline h3{font-size:15px;font-weight:640;margin:14px 0 4px}"
    ".mlguard-timeline .mlguard-svg{width:calc(100% - 96px);margin-left:92px}"
    ".mlguard-timeline .alarm{fill:var(--alert);fill-opacity:.75}"
    ".mlguard-timeline .mark{fill:var(--act)}"
    ".mlguard-timeline .grid{stroke:currentColor;stroke-opacity:.12}"
)
"""The style of a timeline; a page that shows several needs it once."""


class Bar(NamedTuple):
    """An alarm, or an action where both ends are the same."""

    start: float
    end: float
    words: str


def timeline_html(
    decisions: Mapping[str, Sequence[Decision]],
    *,
    since: float | datetime | None = None,
    until: float | datetime | None = None,
    page: bool = True,
) -> str:
    """Draw the decisions of one policy or several, below each other on one time axis.

    Self-contained HTML without scripts, light and dark. Each response has a row: a bar from an
    alert to its resolve, or to the end where there is none yet, and a mark for every other action.
    The reason stands in the tooltip.

    Args:
        decisions: By the name of the policy, what `decide` or `backtest` gave, in order.
        since: Where the axis begins, Unix seconds or an aware datetime; the first decision when not
            given. What lies outside the axis is not drawn.
        until: Where it ends; the last decision when not given.
        page: Whether to write a page of its own, or a part for yours.

    Raises:
        ConfigurationError: There is no time to draw, a decision has none, or `until` is not after
            `since`.
    """
    if not isinstance(decisions, Mapping):
        raise refusal("decisions", decisions, "a mapping of names of policies to their decisions")
    every = [
        each for given in decisions.values() for each in instances((Decision,), "decisions", given)
    ]
    if not every and None in {since, until}:
        raise refusal("decisions", decisions, "at least one, or since and until given")
    if any(each.at is None for each in every):
        raise refusal("decisions", "one without a time", "decisions with `at`")
    times = [each.at for each in every if each.at is not None]
    first = min(times, default=math.nan) if since is None else moment("since", since)
    last = max(times, default=math.nan) if until is None else moment("until", until)
    if until is None and first == last:
        last = first + _HOUR  # one moment: an alarm that begins there is seen to go on
    if not first < last:
        raise refusal("until", last, f"after since, {first}")
    drawn = "".join(
        _drawing(f"{name}: {_counted(given, first, last)}", given, first, last)
        for name, given in decisions.items()
    )
    title = "Decisions over time"
    heading = f"<h1>{title}</h1>" if page else ""
    body = f'<style>{STYLE}</style><div class="mlguard-timeline">{heading}{drawn}</div>'
    return html.page(title, body) if page else body


def _counted(decisions: Sequence[Decision], first: float, last: float) -> str:
    counts: dict[str, int] = {}
    for each in decisions:
        if each.action is not Action.RESOLVE and first <= (each.at or 0.0) <= last:
            counts[str(each.action)] = counts.get(str(each.action), 0) + 1
    shown = (f"{count} × {action}" for action, count in counts.items())
    return ", ".join(shown) or "nothing was decided"


def _drawing(heading: str, decisions: Sequence[Decision], first: float, last: float) -> str:
    every = _rows(decisions, last).items()
    shown = {
        row: [bar for bar in bars if bar.end >= first and bar.start <= last] for row, bars in every
    }
    rows = {row: bars for row, bars in shown.items() if bars}
    height = _ROW * max(len(rows), 1)

    def x(at: float) -> float:
        inside = (min(max(at, first), last) - first) / (last - first)
        return _ROOM + (100.0 - 2.0 * _ROOM) * inside

    parts = []
    for at, words in _labels(first, last):
        place = f"{x(at):.2f}%"
        parts.append(f'<line class="grid" x1="{place}" x2="{place}" y1="0" y2="{height}"/>')
        parts.append(f'<text x="{place}" y="{height + 15}" text-anchor="middle">{words}</text>')
    for number, (row, bars) in enumerate(rows.items()):
        middle = _ROW * number + _ROW / 2
        parts.append(
            f'<text x="0" dx="-8" y="{middle + 4}" text-anchor="end"><title>{escaped(row)}</title>'
            f"{escaped(row if len(row) <= _LETTERS else f'{row[: _LETTERS - 1]}…')}</text>"
        )
        for bar in bars:
            start, end = x(bar.start), x(bar.end)
            if bar.end > bar.start:
                shape = (
                    f'<rect class="alarm" x="{start:.2f}%" width="{max(end - start, 0.3):.2f}%" '
                    f'y="{middle - 6}" height="12" rx="2">'
                )
                parts.append(f"{shape}<title>{escaped(bar.words)}</title></rect>")
            else:
                parts.append(
                    f'<circle class="mark" cx="{start:.2f}%" cy="{middle}" r="5.5">'
                    f"<title>{escaped(bar.words)}</title></circle>"
                )
    return f"<h3>{escaped(heading)}</h3>{svg.drawing(heading, height + 20, parts)}"


def _rows(decisions: Sequence[Decision], last: float) -> dict[str, list[Bar]]:
    """Give the bars of each response, alarms until they are resolved."""
    rows: dict[str, list[Bar]] = {}
    open_alarms: dict[str, tuple[str, int]] = {}
    for each in decisions:
        at = each.at or 0.0
        row = next((str(b["response"]) for b in each.because if "response" in b), str(each.action))
        bars = rows.setdefault(row, [])
        if each.action is Action.RESOLVE:
            if each.key in open_alarms:
                row, place = open_alarms.pop(each.key)
                rows[row][place] = rows[row][place]._replace(end=at)
        elif each.action is Action.ALERT:
            open_alarms[each.key] = row, len(bars)
            bars.append(Bar(at, max(last, at), each.reason))
        else:
            bars.append(Bar(at, at, each.reason))
    return rows


def _labels(first: float, last: float) -> Iterator[tuple[float, str]]:
    step = (last - first) / (_MOST_LABELS - 1)
    hours = last - first < 3 * 86_400.0
    years = datetime.fromtimestamp(first, UTC).year != datetime.fromtimestamp(last, UTC).year
    for place in range(_MOST_LABELS):
        at = first + place * step
        day = datetime.fromtimestamp(at, UTC)
        date = f"{day.day} {day:%b}"
        yield at, f"{day:%H:%M}" if hours else f"{date} {day.year}" if years else date
