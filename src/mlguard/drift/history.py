"""Drift over time: the columns of several reports as a heat map."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlguard.arguments import refusal
from mlguard.drift import page as pages
from mlguard.drift import scalars, words
from mlguard.render import html
from mlguard.render.text import escaped
from mlguard.values import Severity

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlguard.drift.report import ColumnReport, DriftReport

_WIDE, _NARROW = 14, 6
"""Labels of periods that fit beside each other on a wide and on a narrow page."""

_STEPS = (1.0, 2.0, 4.0)
"""Shades of a breach: from the breach line on, from twice and from four times it."""

STYLE = (
    ".mlguard-drift .heat{border-collapse:separate;border-spacing:2px;table-layout:fixed;"
    "width:100%;font-size:11px;line-height:1}"
    ".mlguard-drift .heat th{font-weight:400;text-align:left;font-size:13px;padding:0 8px 0 0;"
    "overflow-wrap:anywhere;line-height:1.15}"
    ".mlguard-drift .heat thead th{font-size:11px;padding:0 0 4px;overflow:visible;"
    "white-space:nowrap;opacity:.7}"
    ".mlguard-drift .heat thead th:first-child{width:130px}"
    ".mlguard-drift .heat thead span{display:none}"
    ".mlguard-drift .heat thead .wide{display:inline}"
    ".mlguard-drift .heat td{height:24px;padding:0;text-align:center;border-radius:3px;"
    "overflow:hidden}"
    ".mlguard-drift .heat .calm{background:rgb(128 128 128/.1)}"
    ".mlguard-drift .heat .none{background:none;border:1px dashed rgb(128 128 128/.5)}"
    ".mlguard-drift .heat .near{background:rgb(128 128 128/.22)}"
    ".mlguard-drift .heat .warn{background:#f3d58a;color:#3a2b00}"
    ".mlguard-drift .heat .b1{background:#f0a58f;color:#3b0d00}"
    ".mlguard-drift .heat .b2{background:#d9604a;color:#fff}"
    ".mlguard-drift .heat .b3{background:#8c1d18;color:#fff}"
    ".mlguard-drift p.shades{display:flex;font-size:13px;line-height:1.5;flex-wrap:wrap;"
    "gap:2px 18px;margin-top:10px}"
    ".mlguard-drift .shades i{display:inline-block;width:12px;height:12px;border-radius:3px;"
    "margin-right:6px;vertical-align:-1px;font-style:normal}"
    ".mlguard-drift .heat caption,.mlguard-drift .unseen{position:absolute;width:1px;height:1px;"
    "overflow:hidden;clip-path:inset(50%)}"
    "@media(prefers-color-scheme:dark){.mlguard-drift .heat .warn{background:#6b541b;color:#ffe9b8}"
    ".mlguard-drift .heat .b1{background:#7a3426;color:#ffe3dc}"
    ".mlguard-drift .heat .b2{background:#c4492f;color:#fff}"
    ".mlguard-drift .heat .b3{background:#ff9d86;color:#3b0d00}}"
    "@media(max-width:760px){.mlguard-drift .heat{border-spacing:1px}"
    ".mlguard-drift .heat thead th:first-child{width:96px}"
    ".mlguard-drift .heat td{font-size:0;border-radius:1px}"
    ".mlguard-drift .heat th{font-size:12px}"
    ".mlguard-drift .heat thead .wide{display:none}"
    ".mlguard-drift .heat thead .narrow{display:inline}}"
)


def history_html(reports: Mapping[Any, DriftReport], *, page: bool = True) -> str:
    """Write reports of several periods as a heat map: columns by periods, coloured by effect.

    Self-contained HTML like `DriftReport.to_html`. What a colour says stands in each cell as text.

    Args:
        reports: By the label of their period, such as a text or a date, in the order of
            time; all of one set of columns.
        page: Whether to write a page of its own, or a part for yours.

    Raises:
        ConfigurationError: There is no report, or they are not of the same columns.
    """
    every = list(reports.values())
    columns = list(every[0].columns) if every else []
    for label, report in reports.items():
        if list(report.columns) != columns:
            raise refusal(f"reports[{label!r}]", list(report.columns), f"of the columns {columns}")
    if not every:
        raise refusal("reports", dict(reports), "at least one report")
    head = "".join(
        f'<th scope="col">{_label(str(label), place, len(every))}</th>'
        for place, label in enumerate(reports)
    )
    rows = "".join(
        f'<tr><th scope="row">{escaped(scalars.shown(name))}</th>'
        + "".join(_cell(str(label), report.columns[name]) for label, report in reports.items())
        + "</tr>"
        for name in columns
    )
    drifted = sum(bool(report.drifted) for report in every)
    title = f"{drifted} of {len(every)} periods have a column that drifted"
    table = (
        f'<table class="heat"><caption>Effect of each column in each period, in standard deviations'
        f'</caption><thead><tr><th scope="col"><b class="unseen">Column</b></th>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table>{_shades(every)}"
    )
    heading = f'<h1 class="drift-title">{escaped(title)}</h1>' if page else ""
    body = pages.part(f"<style>{STYLE}</style>{heading}{table}")
    return html.page(title, body) if page else body


def _label(label: str, place: int, count: int) -> str:
    shown = " ".join(
        name
        for name, most in (("wide", _WIDE), ("narrow", _NARROW))
        if place % (step := -(-count // most)) == 0 and (not place or place + 0.6 * step <= count)
    )
    return f'<span class="{shown}">{escaped(label)}</span>'


def _cell(label: str, column: ColumnReport) -> str:
    size = words.sized(column) if column.n else "no rows"
    title = f"{scalars.shown(column.name)}, {label}: {size}, {column.status}"
    shown = words.told(column.effect) if column.status == "drifted" else ""
    if not shown:
        shown = f'<span class="unseen">{size}</span>'
    return f'<td class="{shade(column)}" title="{escaped(title)}">{shown}</td>'


def shade(column: ColumnReport) -> str:
    """Name the shade of a column: "none", "calm", "near", "warn", "b1", "b2" or "b3"."""
    if column.severity is Severity.BREACH:
        steps = sum(column.size >= step * column.settings.breach.limit for step in _STEPS)
        return f"b{max(steps, 1)}"
    if column.severity is Severity.WARN:
        return "warn"
    if column.severity is Severity.UNKNOWN:
        return "none"
    return "near" if column.size > column.settings.tolerance.limit / 2.0 else "calm"


def _shades(reports: list[DriftReport]) -> str:
    settings = reports[0].settings
    line, limit = settings.tolerance.limit, settings.breach.limit
    unit = "sd" if settings.tolerance.metric == "shift" else settings.tolerance.metric.upper()
    named = [
        ("calm", "stable"),
        ("near", f"stable, above {line / 2:g}"),
        ("warn", f"drifted, over {line:g} {unit}"),
        ("b1", f"breach, over {limit:g}"),
        ("b2", f"over {2 * limit:g}"),
        ("b3", f"over {4 * limit:g}"),
    ]
    if any(report.inconclusive for report in reports):
        named.append(("none", "too few rows to tell"))
    items = "".join(
        f'<span><i class="{name}"></i>{escaped(meaning)}</span>' for name, meaning in named
    )
    return f'<p class="shades heat">{items}</p>'
