"""How good the model was over time, and how good it was thought to be: a drawing, in words too."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime
from itertools import groupby
from typing import TYPE_CHECKING

from mlguard.arguments import finite, instances, moment, refusal
from mlguard.performance.changes import realised_minus_estimated
from mlguard.render import html, series, svg
from mlguard.render.text import escaped, quantity
from mlguard.stats.intervals import normal_quantile
from mlguard.values import Measurement

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

_SEASON = 300 * 86_400.0
"""Periods that lie further apart in seconds are named with their year."""

_MOST_RUNS = 4
"""More stretches in which the two part are put together."""

_WHY = (
    "There something else came at the same scores than in the reference: concept drift, which no "
    "estimate from scores can see."
)

_MOST = 1e100
"""Beyond this nothing is drawn, an infinity least of all."""

_ESTIMATE = ("#1f66b0", "#7db4f0")
_LIGHT, _DARK = (
    f"--estimate:{_ESTIMATE[scheme]};--worse:{html.COLOURS['BREACH'][scheme]};"
    f"--better:{html.COLOURS['OK'][scheme]};"
    f"--line:{html.COLOURS['WARN'][scheme]}"
    for scheme in (0, 1)
)
STYLE = (
    f".mlguard-history{{{_LIGHT};font-variant-numeric:tabular-nums;line-height:1.5}}"
    f"@media(prefers-color-scheme:dark){{.mlguard-history{{{_DARK}}}}}"
    f"{svg.STYLE}{series.STYLE}"
    ".mlguard-history .estimated{--kind:var(--estimate)}"
    ".mlguard-history .realised{--kind:currentColor}"
    ".mlguard-history .worse{--kind:var(--worse)}"
    ".mlguard-history .better{--kind:var(--better)}"
    ".mlguard-history h1{font-size:clamp(26px,4vw,40px);line-height:1.15;letter-spacing:-.02em;"
    "font-weight:680;margin:4px 0 18px}"
    ".mlguard-history .key{display:flex;flex-wrap:wrap;gap:2px 20px;margin:10px 0;font-size:14px}"
    ".mlguard-history .key i{display:inline-block;width:11px;height:11px;border-radius:6px;"
    "margin-right:6px;vertical-align:-1px;background:var(--kind)}"
    ".mlguard-history table{border-collapse:collapse;font-size:14px;width:100%}"
    ".mlguard-history td,.mlguard-history th{text-align:left;font-weight:400;"
    "padding:3px 12px 3px 0;border-top:1px solid rgb(128 128 128/.28)}"
    ".mlguard-history tr.worse td:last-child,.mlguard-history tr.better td:last-child"
    "{color:var(--kind)}"
    ".mlguard-history summary{cursor:pointer}"
    ".mlguard-history ul{margin:8px 0 12px;padding-left:18px}"
)
"""The style of a history; a page that shows several needs it once."""


def history_html(
    realised: Mapping[float, Measurement] | Mapping[datetime, Measurement],
    estimated: Mapping[float, Measurement] | Mapping[datetime, Measurement],
    *,
    floor: float | None = None,
    page: bool = True,
) -> str:
    """Draw a metric by period: what was estimated at once, and what was realised when labels came.

    Self-contained HTML without scripts, light and dark. Below the drawing stands in words where
    the two part, and each number in a table. The intervals of realised minus estimated hold for
    all periods together (Bonferroni), so that a long history without drift shows none. To be told
    of it, guard `realised_minus_estimated`.

    Args:
        realised: By the start of each period, Unix seconds or aware datetimes: of `Outcomes`,
            `{each.details["since"]: each for each in outcomes.by_cohort()}`.
        estimated: Likewise, of the same metric, such as `estimate.estimate(score)["accuracy"]`.
        floor: A limit to be drawn across.
        page: Whether to write a page of its own, or a part for yours.

    Raises:
        ConfigurationError: There is nothing to draw, a start is no moment, or metrics differ.
    """
    truth, guess = _by_moment("realised", realised), _by_moment("estimated", estimated)
    names = {each.name for each in (*truth.values(), *guess.values())}
    if len(names) != 1:
        raise refusal("realised, estimated", sorted(names), "measurements of one metric")
    limit = None if floor is None else finite("floor", floor)
    (name,) = names
    apart = _together(
        {
            at: realised_minus_estimated(truth[at], guess[at])
            for at in sorted(truth.keys() & guess.keys())
        }
    )
    title, named = f"{name}: {_compared(apart)}", _naming([*truth, *guess])
    drawn = series.over_time(
        [_spot(at, guess[at], "estimated") for at in sorted(guess)],
        [_spot(at, truth[at], _kind(apart.get(at))) for at in sorted(truth)],
        labels=[(at, named([at])) for at in sorted(truth.keys() | guess.keys())],
        limit=None if limit is None else (limit, f"limit {quantity(limit)}"),
        title=title,
    )
    facts = "".join(f"<li>{escaped(fact)}</li>" for fact in words(truth, guess, apart))
    heading = f"<h1>{escaped(title)}</h1>" if page else ""
    body = (
        f'<style>{STYLE}</style><div class="mlguard-history">{heading}{drawn}{_key(apart)}'
        f"<ul>{facts}</ul>{_table(truth, guess, apart)}</div>"
    )
    return html.page(title, body) if page else body


def words(
    truth: Mapping[float, Measurement],
    guess: Mapping[float, Measurement],
    apart: Mapping[float, Measurement],
) -> list[str]:
    """Say what a history shows, in sentences."""
    found, named = [], _naming([*truth, *guess])
    known = [at for at in sorted(truth) if not math.isnan(truth[at].value)]
    if ahead := [
        at for at in sorted(guess) if at not in truth and at > max(known, default=-math.inf)
    ]:
        until = f" Labels reach until the period of {named(known[-1:])}." if known else ""
        found.append(f"{named(ahead)}: estimated only, the labels are still to come.{until}")
    ways = {at: _parts(apart[at]) for at in apart}
    runs = [(way, [*run]) for way, run in groupby(ways, key=ways.__getitem__) if way]
    if len(runs) > _MOST_RUNS:
        runs = [(way, [at for at in ways if ways[at] == way]) for way in ("higher", "lower")]
    for way, places in runs:
        if places:
            mean = sum(apart[at].value for at in places) / len(places)
            count = f" in {len(places)} periods" if len(places) > 1 else ""
            found.append(
                f"{named(places)}: realised is {way} than estimated{count}, by "
                f"{quantity(abs(mean))} on average."
            )
    if runs:
        found.append(_WHY)
    judged = [each for each in apart.values() if each.low is not None]
    if judged and not runs:
        found.append("Nowhere does the interval of realised minus estimated leave out zero.")
    return found + [
        f"{named([at])}: {which[at].details.get('reason', 'no value')}."
        for which in (guess, truth)
        for at in sorted(which)
        if math.isnan(which[at].value)
    ]


def _by_moment(
    parameter: str, given: Mapping[float, Measurement] | Mapping[datetime, Measurement]
) -> dict[float, Measurement]:
    instances((Measurement,), parameter, given.values())
    found = {moment(parameter, at): each for at, each in given.items()}
    if len(found) < len(given):
        raise refusal(parameter, sorted(found), "one measurement for each moment")
    return found


def _together(apart: Mapping[float, Measurement]) -> dict[float, Measurement]:
    """Widen the intervals of changes so that they hold together."""
    tests = sum(each.low is not None for each in apart.values())
    return {at: _widened(each, tests) for at, each in apart.items()}


def _widened(change: Measurement, tests: int) -> Measurement:
    if change.low is None or change.high is None or change.confidence is None:
        return change
    confidence = 1.0 - (1.0 - change.confidence) / tests
    wider = normal_quantile(confidence) / normal_quantile(change.confidence)
    return replace(
        change,
        low=change.value - wider * (change.value - change.low),
        high=change.value + wider * (change.high - change.value),
        confidence=confidence,
    )


def _parts(change: Measurement | None) -> str:
    """Say on which side of zero the whole interval of a change lies: "higher", "lower" or ""."""
    if change is None or change.low is None or change.high is None:
        return ""
    return "higher" if change.low > 0.0 else "lower" if change.high < 0.0 else ""


def _kind(change: Measurement | None) -> str:
    """Name how what was realised is drawn: "worse" or "better" than estimated, or as it is."""
    way = _parts(change)
    if change is None or not way:
        return "realised"
    return "better" if way == change.details["better"] else "worse"


def _compared(apart: Mapping[float, Measurement]) -> str:
    judged = [each for each in apart.values() if each.low is not None]
    if not judged:
        return "no period has both an estimate and labels"
    many = sum(bool(_parts(each)) for each in judged)
    return f"realised and estimated part in {many} of {len(judged)} periods"


def _spot(at: float, each: Measurement, kind: str) -> series.Spot:
    ends = [
        end for end in (each.low, each.value, each.high) if end is not None and abs(end) < _MOST
    ]
    value = each.value if abs(each.value) < _MOST else math.nan
    word = "estimated" if kind == "estimated" else "realised"
    low, high = min(ends, default=value), max(ends, default=value)
    return series.Spot(at, value, low, high, f"{_day(at, year=True)}, {word}: {each}", kind)


def _key(apart: Mapping[float, Measurement]) -> str:
    items = [
        ("estimated", "estimated from the scores, with its interval"),
        ("realised", "realised, when the labels had come"),
    ]
    kinds = {*map(_kind, apart.values())}
    items += [
        (kind, f"realised, {kind} than estimated") for kind in ("worse", "better") if kind in kinds
    ]
    marks = "".join(f'<span><i class="{kind}"></i>{meaning}</span>' for kind, meaning in items)
    return f'<p class="key">{marks}</p>'


def _table(
    truth: Mapping[float, Measurement],
    guess: Mapping[float, Measurement],
    apart: Mapping[float, Measurement],
) -> str:
    rows = "".join(
        f'<tr class="{_kind(apart.get(at))}"><th scope="row">'
        f"{_day(at, year=True)}</th>{_cells((guess.get(at), truth.get(at), apart.get(at)))}</tr>"
        for at in sorted(truth.keys() | guess.keys())
    )
    heads = ("from", "estimated", "realised", "realised − estimated")
    head = "".join(f'<th scope="col">{each}</th>' for each in heads)
    return (
        f"<details><summary>All numbers</summary><table><thead><tr>{head}</tr></thead>"
        f"<tbody>{rows}</tbody></table></details>"
    )


def _cells(measurements: Iterable[Measurement | None]) -> str:
    shown = (
        "–" if each is None or math.isnan(each.value) else str(each).removeprefix(f"{each.name} = ")
        for each in measurements
    )
    return "".join(f"<td>{escaped(each)}</td>" for each in shown)


def _naming(times: Sequence[float]) -> Callable[[Sequence[float]], str]:
    """Make what names periods: with the year where the history has several."""
    year = bool(times) and max(times) - min(times) > _SEASON

    def named(places: Sequence[float]) -> str:
        first, last = (_day(at, year=year) for at in (places[0], places[-1]))
        return f"{first} to {last}" if first != last else first

    return named


def _day(at: float, *, year: bool = False) -> str:
    day = datetime.fromtimestamp(at, UTC)
    return f"{day.day} {day:%b %Y}" if year else f"{day.day} {day:%b}"
