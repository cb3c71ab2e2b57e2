"""Act 3 in the report."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Final

import over_time
import report
import serving
from act3 import service, traffic, words
from act3.moments import LIMITED
from axes import Axis, Line, Stretch
from production import WANTED, given

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from act3.moments import Change, Moment, Served
    from axes import Point
    from mlguard import Severity

TICKS: Final = tuple(part * 10.0**power for power in range(-4, 4) for part in (1, 3))
EVERY: Final = 3
"""Minutes between two marks on the axis of time."""
KEY: Final = (
    '<p class="key bars"><span><i class="ok"></i> OK</span> <span><i class="unknown"></i> UNKNOWN</span> '
    '<span><i class="warn"></i> WARN</span> <span><i class="breach"></i> BREACH</span></p>'
)


def body(served: Served) -> str:
    """Return the act's part of the page, below its headline."""
    parts = [_cards(served), _latency(served), _burn(served), _changes(served)]
    return "".join([*parts, _code(), _trees(served), _small_print(served)])


def _cards(served: Served) -> str:
    cards = "".join(
        report.card(words.title(each), each.found.verdict, words.why(each), word=words.badge(each))
        for each in served.incidents
        if each.found
    )
    return f'<div class="pair">{cards}</div>'


def _latency(served: Served) -> str:
    limits = words.limits()
    lines = [
        Line(name, name, [_quantile(each, name) for each in served.moments]) for name in limits
    ]
    return report.section(
        "How slow",
        "Three quantiles of the last 5 minutes, as the serving process itself knew them, each with its limit (dashed). The scale is logarithmic.",
        _figure(
            served,
            lines,
            limits=[
                (f"{name} limit {words.seconds(limit)}", limit, name)
                for name, limit in limits.items()
            ],
            word=words.seconds,
        ),
    )


def _quantile(moment: Moment, name: str) -> Point:
    return moment.at, moment.seconds(name), moment.quantiles[name].severity


def _burn(served: Served) -> str:
    lines = [
        Line(
            name,
            kind,
            [
                (each.at, max(each.burn[place], words.LEAST_BURN), each.alert.severity)
                for each in served.moments
            ],
        )
        for place, (name, kind) in enumerate(zip(words.BURNS, ("p99", "p50"), strict=True))
    ]
    return report.section(
        "How often it failed",
        f"How many times faster than the SLO of {words.percent(given(WANTED.errors).slo, 1)} allows requests failed, over the last hour and over its last twelfth. "
        f"The first alert pages while both are beyond {served.alert:g} (dashed): 2 % of the budget of 30 days in an hour. "
        "The long window keeps a few errors from waking anyone, the short one ends the alert soon after the trouble.",
        _figure(
            served,
            lines,
            limits=[(f"alert beyond {served.alert:g}", served.alert, "p99")],
            word=lambda tick: f"{tick:g}" if tick > words.LEAST_BURN else f"≤ {tick:g}",
        ),
    )


def _figure(
    served: Served,
    lines: Sequence[Line],
    *,
    limits: Sequence[tuple[str, float, str]],
    word: Callable[[float], str],
) -> str:
    most = [(line.name, max(value for _, value, _ in line.points)) for line in lines]
    values = [value for line in lines for _, value, _ in line.points]
    low, high = min(values) / 1.2, 2.5 * max(*values, *(limit for _, limit, _ in limits))
    axis = Axis(low, high, [tick for tick in TICKS if low <= tick < high], word)
    title = "; ".join(f"{name}: at most {word(value)}" for name, value in most)
    drawn = over_time.lines(_stretch(served), lines, axis=axis, limits=limits, title=title)
    return f'<figure class="over-time">{drawn}</figure>'


def _stretch(served: Served) -> Stretch:
    return Stretch(
        60.0 * served.minutes,
        [
            (60.0 * minute, f"{minute}" if minute else "0 min")
            for minute in range(0, served.minutes + 1, EVERY)
        ],
        [(each.start, each.end, each.phase.name) for each in served.incidents],
    )


def _changes(served: Served) -> str:
    parts = [
        (name, [(each.at, each.parts[name].severity) for each in served.moments])
        for name in LIMITED
    ]
    whole = ("service", [(each.at, each.verdict.severity) for each in served.moments])
    return report.section(
        "What the guard said, and when",
        "Every change of its verdict, with the reason. Too few requests to judge is an answer, too.",
        f'<figure class="over-time">{over_time.bands(_stretch(served), [*parts, whole])}</figure>{KEY}'
        + report.moments(["Minute", "Budget", "Verdict", "Reason"], map(_change, served.changes)),
    )


def _change(change: Change) -> tuple[Severity, Sequence[str]]:
    severity = change.verdict.severity
    return severity, (words.clock(change.moment), change.part, severity.name, words.change(change))


def _code() -> str:
    return report.section(
        "The guard",
        "All of it. The app behind it is any ASGI app: FastAPI, Starlette, Litestar, or fifteen lines as here.",
        report.code(serving, "def service_check"),
    )


def _trees(served: Served) -> str:
    trees = "".join(
        f"<details><summary>{escape(words.title(each))}, at {words.clock(each.found)}: {each.found.verdict.severity.name}</summary>"
        f"{report.tree(each.found.verdict)}</details>"
        for each in served.incidents
        if each.found
    )
    return report.section(
        "The whole verdict at the moment of each breach",
        "What a pager, a log or a /guard endpoint would have shown.",
        trees,
    )


def _small_print(served: Served) -> str:
    facts = [
        (
            "Real: the app, the guard, every request, every prediction and the time it took; an answer waits while another is computed. "
            "The flights asked about are the last of 2013."
        ),
        (
            f"Simulated: the network of the departure board. A look-up waits about {words.seconds(service.USUAL)}, and the clock skips what is waited for. "
            f"So {served.minutes} minutes, at {traffic.RATE:g} requests a second, took seconds. Both incidents were planted."
        ),
        (
            f"The {traffic.BEFORE.days} days before were counted in batches, with one error in {traffic.ONE_BAD_IN:,} requests: "
            "an error budget that has not watched its period does not call it fine."
        ),
        "The limits leave a slow machine room. The predictions are as quick as this machine was when the page was made.",
        words.counts(served),
    ]
    return report.section("Small print", "", report.facts(facts))
