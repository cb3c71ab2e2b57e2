"""A rollout over time as a drawing: its phases, the share, and the evidence against its limits."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from mlguard.arguments import refusal
from mlguard.render import html, series, svg
from mlguard.render.text import escaped, number
from mlguard.rollout.machine import PROVEN_SAFE
from mlguard.rollout.replay import course

if TYPE_CHECKING:
    from mlguard.rollout.plan import RollbackPlan
    from mlguard.values import Decision

_MOST = 400
"""Looks that are drawn of a guardrail, evenly chosen: more are no pixels."""

_ROOM = 14.0
"""Percent of the width that the name of a phase needs."""

_COLOURS = {
    "stage": "OK",
    "promoted": "OK",
    "hold": "WARN",
    "awaiting approval": "WARN",
    "expired": "UNKNOWN",
    "rolled back": "BREACH",
    "aborted": "BREACH",
}
_UNITS = ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min"), (1.0, "s"))

_SCHEMES = [
    "".join(f"--{name.lower()}:{pair[scheme]};" for name, pair in html.COLOURS.items())
    for scheme in (0, 1)
]
STYLE = (
    f".mlguard-rollout{{{_SCHEMES[0]}font-variant-numeric:tabular-nums;line-height:1.5;"
    "--line:var(--breach)}"
    f"@media(prefers-color-scheme:dark){{.mlguard-rollout{{{_SCHEMES[1]}}}}}"
    f"{svg.STYLE}{series.STYLE}"
    ".mlguard-rollout h1{font-size:clamp(26px,4vw,40px);line-height:1.15;letter-spacing:-.02em;"
    "font-weight:680;margin:4px 0 8px}"
    ".mlguard-rollout h3{font-size:15px;font-weight:640;margin:22px 0 6px}"
    ".mlguard-rollout .end{margin:0 0 14px}"
    ".mlguard-rollout .harm{--kind:var(--breach)}.mlguard-rollout .safe{--kind:var(--ok)}"
    ".mlguard-rollout .share{--kind:currentColor}"
    ".mlguard-rollout .pair{display:grid;grid-template-columns:1fr 1fr;gap:8px 28px}"
    "@media(max-width:760px){.mlguard-rollout .pair{grid-template-columns:1fr}}"
    + "".join(
        f".mlguard-rollout .phase.{name.replace(' ', '-')}{{fill:var(--{kind.lower()});"
        "fill-opacity:.75}"
        for name, kind in _COLOURS.items()
    )
)
"""The style of a rollout's timeline; a page that shows several needs it once."""


class Look(NamedTuple):
    """A decision, in seconds since the first, and what the evidence was then."""

    at: float
    decision: Decision
    phase: str
    share: float
    findings: tuple[dict[str, Any], ...]


def timeline_html(
    plan: RollbackPlan,
    events: Iterable[Mapping[str, Any]],
    *,
    page: bool = True,
    **collaborators: Any,
) -> str:
    """Draw a recorded rollout: phases, share, and the evidence of each guardrail over time.

    Self-contained HTML without scripts, light and dark. Evidence is drawn in percent of what a
    proof takes: of harm, which rolls back, and of safety, which a promotion needs.

    Args:
        plan: The plan.
        events: As `replay` takes them.
        page: Whether to make a page of its own; else a part for another page, without
            `mlguard.rollout.timeline.STYLE`.
        collaborators: As `replay` takes them.

    Raises:
        ConfigurationError: An event is of no known kind, or none is a "decide".

    Examples:
        >>> from mlguard.rollout import Guardrail, RollbackPlan, timeline_html
        >>> plan = RollbackPlan("external", guardrails=[Guardrail("errors")])
        >>> events = [
        ...     {"observe": {"arm": "canary", "requests": 50, "events": {"errors": 50}}},
        ...     {"observe": {"arm": "baseline", "requests": 50}},
        ...     {"decide": 60.0},
        ... ]
        >>> "rolled back" in timeline_html(plan, events)
        True
    """
    looks: list[Look] = []
    start = None
    for engine, decision in course(plan, events, collaborators):
        at = decision.at or 0.0
        start = at if start is None else start
        looks.append(Look(at - start, decision, engine.phase, engine.share, engine.findings))
    if not looks:
        raise refusal("events", looks, "at least one decide")
    span = looks[-1].at or 1.0
    unit, name = next(((u, n) for u, n in _UNITS if span >= u), _UNITS[-1])
    labels = [(tick * unit, f"{number(tick)} {name}") for tick in series.ticks(0.0, span / unit)]
    drawn = [_phases(looks, span)]
    if plan.stages != "external":
        drawn.append("<h3>Share of the canary, %</h3>" + _shares(looks, labels))
    for row, guardrail in enumerate(plan.guardrails):
        drawn.append(f"<h3>{escaped(guardrail.name)}: evidence, % of a proof</h3>")
        harm = _evidence(looks, row, "harm", plan.limits[row], labels)
        safety = _evidence(looks, row, "safe", PROVEN_SAFE, labels)
        drawn.append(f'<div class="pair">{harm}{safety}</div>')
    subject = looks[-1].decision.subject
    title = " ".join(value for key, value in subject.items() if key != "baseline") or "Rollout"
    end = f'<p class="end">{escaped(looks[-1].phase)}: {escaped(looks[-1].decision.reason)}</p>'
    body = f'<div class="mlguard-rollout">{{head}}{end}{"".join(drawn)}</div>'
    if not page:
        return body.replace("{head}", "", 1)
    head = f"<h1>{escaped(title)}</h1>"
    return html.page(title, f"<style>{STYLE}</style>{body.replace('{head}', head, 1)}")


def _phases(looks: Sequence[Look], span: float) -> str:
    """Draw a strip of the phases; the last lasts for as long as there is room."""
    parts = []
    runs = itertools.groupby(range(len(looks)), key=lambda place: looks[place].phase)
    for phase, run in runs:
        places = [*run]
        left = 4.0 + 92.0 * looks[places[0]].at / span
        after = places[-1] + 1
        right = 4.0 + 92.0 * looks[after].at / span if after < len(looks) else 100.0
        words = f"{phase}: {looks[places[0]].decision.reason}"
        parts.append(
            f'<rect class="phase {phase.replace(" ", "-")}" x="{left:.2f}%" y="2" '
            f'width="{max(right - left, 0.3):.2f}%" height="16" rx="3">'
            f"<title>{escaped(words)}</title></rect>"
        )
        if right - left > _ROOM:
            parts.append(f'<text x="{left:.2f}%" y="33">{escaped(phase)}</text>')
    return svg.drawing("Phases", 38, parts, kind="over-time")


def _shares(looks: Sequence[Look], labels: Sequence[tuple[float, str]]) -> str:
    spots = []
    for before, each in zip([looks[0], *looks], looks, strict=False):
        if each.share != before.share or each is looks[0] or each is looks[-1]:
            for share in (before.share, each.share):
                step = 100.0 * share
                words = f"{number(step)} %"
                spots.append(series.Spot(each.at, step, step, step, words, "share"))
    return series.over_time(spots, (), labels=labels, title="Share of the canary", height=90)


def _evidence(
    looks: Sequence[Look], row: int, kind: str, limit: float, labels: Sequence[tuple[float, str]]
) -> str:
    field, called = ("log_e_harm", "worse") if kind == "harm" else ("log_e_safety", "safe")
    spots = []
    for each in [*looks[: -1 : -(-len(looks) // _MOST)], looks[-1]]:
        value = max(100.0 * each.findings[row][field] / limit, -100.0)
        canary, baseline = each.findings[row]["events"]
        words = f"{number(value, 3)} %: {canary:,} of the canary, {baseline:,} of the baseline"
        spots.append(series.Spot(each.at, value, value, value, words, kind))
    line = (100.0, f"proven {called}")
    return series.over_time(spots, (), labels=labels, limit=line, title=called, height=110)
