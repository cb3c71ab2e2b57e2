"""A drift report as a page: one file, no script, light and dark, wide and narrow."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from mlguard.drift import scalars, words
from mlguard.drift.cells import Cycle, Ranges
from mlguard.records import iso
from mlguard.render import html, svg
from mlguard.render.text import escaped, visible

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlguard.drift.report import ColumnReport, DriftReport

_MOST_LEVELS = 24
_TICKS = 4

_KINDS = "".join(f".mlguard-drift .{name}{{--kind:var(--{name})}}" for name in html.COLOURS)
_SCHEMES = [
    ";".join(f"--{name}:{pair[scheme]}" for name, pair in html.COLOURS.items()) for scheme in (0, 1)
]
STYLE = (
    f".mlguard-drift{{{_SCHEMES[0]};font-variant-numeric:tabular-nums;line-height:1.5}}"
    f"@media(prefers-color-scheme:dark){{.mlguard-drift{{{_SCHEMES[1]}}}}}"
    f"{svg.STYLE}{_KINDS}"
    ".mlguard-drift .drift-title{font-size:clamp(26px,4vw,40px);line-height:1.15;"
    "letter-spacing:-.02em;font-weight:680;margin:4px 0 10px}"
    ".mlguard-drift p{margin:0}"
    ".mlguard-drift .soft{opacity:.7;font-size:14px}"
    ".mlguard-drift .drift-lead{opacity:.75;font-size:18px;max-width:68ch;overflow-wrap:anywhere}"
    ".mlguard-drift .column{display:grid;grid-template-columns:minmax(0,5fr) minmax(0,7fr);"
    "gap:8px 40px;padding:20px 0;border-top:1px solid rgb(128 128 128/.28)}"
    ".mlguard-drift .drift-name{font-size:18px;line-height:1.3;font-weight:640;margin:0 0 6px;"
    "overflow-wrap:anywhere}"
    ".mlguard-drift .drift-badge{color:var(--kind);border:1px solid;border-radius:4px;"
    "padding:1px 7px;font-size:12px;font-weight:640;letter-spacing:.04em;margin-left:8px;"
    "vertical-align:2px;white-space:nowrap}"
    ".mlguard-drift ul{margin:4px 0 12px;padding-left:18px;overflow-wrap:anywhere}"
    ".mlguard-drift .value{color:var(--kind);font-weight:640}"
    ".mlguard-drift .numbers{font-size:14px;display:flex;flex-wrap:wrap;gap:0 16px;margin-top:4px}"
    ".mlguard-drift .drift-key{display:flex;flex-wrap:wrap;gap:2px 20px;margin:18px 0 14px}"
    ".mlguard-drift .drift-key i{display:inline-block;width:11px;height:11px;margin-right:6px;"
    "vertical-align:-1px}"
    ".mlguard-drift details{border-top:1px solid rgb(128 128 128/.28);padding:12px 0}"
    ".mlguard-drift summary{cursor:pointer;overflow-wrap:anywhere}"
    ".mlguard-drift .drift-foot{border-top:1px solid rgb(128 128 128/.28);padding-top:12px}"
    "@media(max-width:760px){.mlguard-drift .column{grid-template-columns:minmax(0,1fr)}}"
)
"""The style of a drift report; a page that shows several needs it once."""


def report_html(report: DriftReport, *, page: bool) -> str:
    """Write a report as a page, or as a part for a page."""
    ranked = report.ranked
    stable = [column for column in ranked if column.status == "stable"]
    others = [column for column in ranked if column.status != "stable"]
    reached = [c.high for c in ranked if not math.isnan(c.high)]
    top = 1.15 * max([*reached, 1.5 * _lines(report)[-1][0] if _lines(report) else 0.5])
    shown = "".join(_column(column, top) for column in others)
    hidden = "".join(_column(column, top) for column in stable)
    if stable:
        names = ", ".join(scalars.shown(column.name) for column in stable)
        many = f"{len(stable)} stable column{'s' if len(stable) > 1 else ''}"
        hidden = f"<details><summary><b>{many}</b>: {escaped(names)}</summary>{hidden}</details>"
    body = f"{_head(report, 'h1' if page else 'h2')}{_key(report)}{shown}{hidden}{_foot(report)}"
    body = part(body)
    return html.page(words.headline(report), body) if page else body


def part(body: str) -> str:
    """Wrap HTML in the style of drift reports."""
    return f'<style>{STYLE}</style><div class="mlguard-drift">{body}</div>'


def _head(report: DriftReport, tag: str) -> str:
    profile = report.profile
    when = ""
    if profile.span is not None:
        first, last = (iso(round(end)) for end in profile.span)
        when = f", {first} to {last}" if last != first else f" until {last}"
    changes = "".join(f"<li>{escaped(note)}</li>" for note in profile.schema_changes)
    schema = f'<p class="BREACH"><b class="value">The schema changed</b></p><ul>{changes}</ul>'
    lead = ""
    if report.drifted:
        most = report.columns[report.drifted[0]]
        said = f"{scalars.shown(most.name)} {words.reason(most, most.moved[:2])}."
        lead = f'<p class="drift-lead">{escaped(said)}</p>'
    elif len(report.inconclusive) == len(report.columns):
        lead = f'<p class="drift-lead">{escaped(report.ranked[0].reason)}.</p>'
    return (
        f'<div><p class="soft">{profile.rows:,} rows{escaped(when)}, against '
        f"{report.reference.rows:,} of the reference</p>"
        f'<{tag} class="drift-title">{escaped(words.headline(report))}</{tag}>'
        f"{lead}{schema if changes else ''}</div>"
    )


def _key(report: DriftReport) -> str:
    settings = report.settings
    marks = ""
    if _lines(report):
        marks = (
            f"<span>dashed: tolerance {settings.tolerance.limit:g} and breach line "
            f"{settings.breach.limit:g}</span>"
        )
    return (
        '<p class="drift-key soft">'
        '<span><i style="border:1px solid;opacity:.7"></i>reference</span>'
        '<span><i style="background:currentColor;opacity:.45"></i>current</span>'
        f"<span>effect: as large as a mean shift of that many standard deviations</span>{marks}</p>"
    )


def _foot(report: DriftReport) -> str:
    settings = report.settings
    metric = settings.tolerance.metric
    unit = "sd" if metric == "shift" else metric.upper()
    spread = "Holm" if settings.correction == "holm" else "Benjamini and Hochberg"
    line, limit = settings.tolerance.limit, settings.breach.limit
    return (
        '<div class="drift-foot soft"><p>A column has drifted when the change is significant '
        f"(alpha {settings.alpha:g} for all columns together, after {spread}) and beyond the "
        f"tolerance of {line:g} {unit}; beyond {limit:g} {unit} it is a breach. "
        f"Reference {report.reference.digest}.</p></div>"
    )


def _lines(report: DriftReport) -> list[tuple[float, str]]:
    settings = report.settings
    if settings.tolerance.metric != "shift":
        return []
    return [(settings.tolerance.limit, "var(--WARN)"), (settings.breach.limit, "var(--BREACH)")]


def _column(column: ColumnReport, top: float) -> str:
    settings = column.settings
    moved = column.moved if column.n else []
    listed = "".join(f"<li>{escaped(each)}</li>" for each in moved)
    shift = settings.tolerance.metric == "shift"
    lines = [(settings.tolerance.limit, "var(--WARN)"), (settings.breach.limit, "var(--BREACH)")]
    size = words.sized(column) if column.n else "–"
    ends = f"{words.told(column.low)} to {words.told(column.high)}" if column.n else "no rows"
    drawing = svg.interval(
        column.effect,
        (column.low, column.high),
        top=top,
        lines=lines if shift else [],
        title=f"{scalars.shown(column.name)}: effect {size}, {ends}",
    )
    own = (
        ""
        if shift
        else f"<span>{settings.tolerance.metric.upper()} {words.told(column.size)}</span>"
    )
    numbers = [
        f'<span>effect <b class="value">{size}</b> ({ends})</span>{own}',
        f"<span>adjusted {words.p_value(column.adjusted_p)}</span>",
        f"<span>n = {column.n:,}</span>",
    ]
    if column.n and column.missing > 0.0:
        numbers.append(f"<span>missing {words.percent(column.missing)}</span>")
    if column.outside:
        what = "out of range" if isinstance(column.cells, Ranges) else "unseen"
        numbers.append(f"<span>{what} {words.percent(column.unseen)}</span>")
    why = "" if column.status != "inconclusive" else f"<p>{escaped(column.reason)}</p>"
    return (
        f'<div class="column {column.severity.name}"><div>'
        f'<h3 class="drift-name">{escaped(scalars.shown(column.name))}'
        f'<span class="drift-badge">{_badge(column)}</span></h3>{why}'
        f"{f'<ul>{listed}</ul>' if listed else ''}{drawing}"
        f'<p class="numbers">{"".join(numbers)}</p></div>'
        f"<div>{_distributions(column)}</div></div>"
    )


def _badge(column: ColumnReport) -> str:
    if column.status == "drifted":
        return f"drifted: {column.severity.name.lower()}"
    return column.status if column.status == "stable" else "too few rows"


def _distributions(column: ColumnReport) -> str:
    shares = [counts / max(int(counts.sum()), 1) for counts in column.counts]
    before, after = shares[0].tolist(), shares[1].tolist()
    cells = column.cells
    labels = [words.label_of(cells, at, at, time=column.time) for at in range(cells.size)]
    bars, ticks = [], []
    if isinstance(cells, Ranges):
        inner = range(2, cells.size - 3)
        edge = [at for at in range(cells.size - 1) if at in inner or before[at] or after[at]]
        bars = [svg.Bar(labels[at], before[at], after[at]) for at in edge]
        ticks = _edges(column, edge)
    else:
        order = list(range(cells.size - 1))
        if not isinstance(cells, Cycle):
            order.sort(key=lambda at: -max(before[at], after[at]))
            order = [at for at in order if before[at] or after[at]]
        bars = [
            svg.Bar(labels[at], before[at], after[at], labels[at].removesuffix(":00"))
            for at in order[:_MOST_LEVELS]
        ]
        if rest := order[_MOST_LEVELS:]:
            total, now = (sum(side[at] for at in rest) for side in (before, after))
            bars.append(svg.Bar(f"{len(rest)} further levels", total, now, "rest", apart=True))
    if before[-1] or after[-1]:
        short = "NA" if isinstance(cells, Ranges) else "missing"
        bars.append(svg.Bar("missing", before[-1], after[-1], short, apart=True))
    told = "; ".join(column.moved) or "nothing to compare"
    return svg.histogram(bars, title=f"{scalars.shown(column.name)}: {told}", ticks=ticks)


def _edges(column: ColumnReport, shown: Sequence[int]) -> list[tuple[float, str]]:
    """Label a few of the borders between the cells of numbers."""
    cells = column.cells
    inner = [place for place, at in enumerate(shown) if 2 <= at <= cells.size - 4]  # noqa: PLR2004
    if not isinstance(cells, Ranges) or not inner:
        return []
    borders = [*inner, inner[-1] + 1]
    chosen = sorted(
        {borders[round(step * (len(borders) - 1) / _TICKS)] for step in range(_TICKS + 1)}
    )
    edges = [cells.edges[shown[inner[0]] - 1 + place - inner[0]] for place in chosen]
    named = [words.written(edge, time=column.time)[:10] for edge in edges]
    return [
        (place, name)
        for place, name, last in zip(chosen, named, ["", *named], strict=False)
        if name != last
    ]


def markdown(report: DriftReport) -> str:
    """Write a report as Markdown: a sentence and a table."""
    rows = [
        "| column | status | effect (95 %) | adjusted p | n | what moved |",
        "|---|---|---|---|---|---|",
    ]
    for column in report.ranked:
        moved = "; ".join(column.moved) if column.status == "drifted" else ""
        if column.status == "inconclusive":
            moved = column.reason
        size = words.effect(column) if column.n else "–"
        cells = [scalars.shown(column.name), _badge(column), size, words.p_value(column.adjusted_p)]
        rows.append(f"| {' | '.join(map(_plain, [*cells, f'{column.n:,}', moved]))} |")
    return f"**{_plain(words.found(report))}**\n\n" + "\n".join(rows) + "\n"


def _plain(written: str) -> str:
    """Keep a text from being read as Markdown or HTML."""
    written = visible(written)
    for mark in "\\`*_[]<>|#~":
        written = written.replace(mark, f"\\{mark}" if mark not in "<>" else escaped(mark))
    return " ".join(written.split())
