"""A first draft of a requirements document, from what was recorded while nothing was wrong."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from decimal import ROUND_CEILING, Decimal
from typing import TYPE_CHECKING, Any

from mlguard.arguments import name_of, refusal, whole
from mlguard.drift.reference import Reference
from mlguard.render.text import quantity
from mlguard.requirements.calibrate import (
    WARNS,
    Latencies,
    Moves,
    Spent,
    latencies_of,
    moves_of,
    spent_on,
)
from mlguard.requirements.sections import NAME

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from mlguard.budgets.money import Money

_DAY = 86_400
_WINDOWS = {"5 min": 300, "15 min": 900, "1 h": 3_600, "6 h": 21_600, "1 d": _DAY}
_SCALES = (("s", Decimal(1)), ("ms", Decimal(1_000)), ("us", Decimal(1_000_000)))
_ROOM = 2
"""How often the expected spend of a day fits into its cap."""

_OWNER = "# owner: {team: …, page: …, runbook: …} # OWNER: who answers for it, who is woken?"
_ERRORS = """\
# Not from data.
errors: {slo: 99.9 %, period: 30 d} # OWNER: may one in a thousand fail?"""
_PERFORMANCE = """\
# performance: {metric: …, floor: …, not_worse_by: …, labels_after: …}
# OWNER: how good must it be, and when do labels come?"""
_RESPOND = """\
respond:
  - {when: errors, do: alert} # OWNER: who does what?"""
_ON_DRIFT = """
  - {when: drift, for: 3, do: alert} # OWNER: alert only, or retrain, and at whose word?"""
_ROLLOUT = """\
# More errors than the baseline roll a canary back, falsely in at most 5 % of rollouts.
rollout: {stages: [1 %, 5 %, 25 %, 50 %]} # OWNER: how many requests may a bad candidate touch?
approvals: {production: {votes: 1}} # OWNER: how many people, of which roles?"""


def scaffold(
    reference: Any = None,
    *,
    service: str = "my-service",
    leave_out: Sequence[str] = (),
    latencies: ArrayLike | None = None,
    prices: Money | str | Sequence[Money | str] | None = None,
    requests_per_day: int | None = None,
) -> str:
    """Draft a requirements document as YAML, with limits from what was recorded.

    Each limit has a comment that says from which data it is and how often it alarms falsely; what a
    person must decide is marked OWNER. The draft loads as it stands: what nobody can know from data
    is a default or a comment. The same input gives the same text. No model is asked.

    Args:
        reference: A frame with the model's inputs and scores while nothing was wrong, its rows in
            the order of time, or a fitted `Reference`, of which nothing is learnt but its columns.
            Drift: of 2,000 rows on, five later parts of a frame are compared with its first half,
            and the tolerance is the least of 0.1, 0.15, 0.2, 0.3 and 0.5 at which none drifted.
        service: Its name.
        leave_out: Columns of the frame to leave out, such as identifiers and times.
        latencies: Recorded ones, in seconds. The median and the highest of p99, p95 and p90 that so
            many can show get a limit which a service as fast as recorded warns at in at most 1 % of
            evaluations, if its requests are independent. Each limit is too low in one of 40 drafts.
        prices: Of one inference, as "0.004 USD", or a list of what recorded ones cost, of which the
            upper end of the 95 % interval is taken.
        requests_per_day: Expected; for the window of the latency and the cap.

    Raises:
        ConfigurationError: An argument is not of its kind, or too little was recorded.

    Examples:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> draft = scaffold(latencies=rng.lognormal(-4.8, 0.3, 3_000), service="fraud")
        >>> print(next(line for line in draft.splitlines() if line.startswith("latency:")))
        latency: {p50: ... ms, p99: ... ms, window: 5 min} # OWNER: recorded is not required: ...
    """
    if not re.search(NAME, name_of("service", service)):
        raise refusal("service", service, "a name on one line, without control characters")
    per_day = None if requests_per_day is None else whole("requests_per_day", requests_per_day, 1)
    fitted, moves = _learnt(reference, leave_out)
    recorded = None if latencies is None else latencies_of(latencies)
    spent = None if prices is None else spent_on(prices)
    body = [
        f"version: 1\nservice: {json.dumps(service, ensure_ascii=False)}",
        _OWNER,
        _latency(recorded, per_day),
        _ERRORS,
        _cost(spent, per_day),
        _drift(fitted, moves, leave_out),
        _PERFORMANCE,
        _RESPOND + ("" if fitted is None else _ON_DRIFT),
        _ROLLOUT,
    ]
    text = "\n\n".join(body)
    head = [
        f"# A draft, made from data: {text.count('OWNER:')} places marked OWNER want a person.",
        *_watched(fitted, reference, moves, recorded, per_day),
    ]
    return "\n".join(head) + f"\n\n{text}\n"


def _learnt(reference: Any, leave_out: Sequence[str]) -> tuple[Reference | None, Moves | None]:
    if reference is None or isinstance(reference, Reference):
        if leave_out:
            raise refusal("leave_out", leave_out, "given with a frame")
        return reference, None if reference is None else Moves()
    fitted = Reference.fit(reference, leave_out=leave_out)
    return fitted, moves_of(reference, fitted)


def _watched(
    fitted: Reference | None,
    reference: Any,
    moves: Moves | None,
    recorded: Latencies | None,
    per_day: int | None,
) -> Iterator[str]:
    """Say what to watch, and why."""
    yield "#\n# What to watch, and why:"
    few = f"; it takes {recorded.fewest:,} requests in a window to judge it" if recorded else ""
    yield f"#   latency: what a user waits for{few}"
    rate = f", {per_day:,} requests a day expected" if per_day else ""
    yield f"#   throughput{rate}: with too few requests a window is UNKNOWN, not fine"
    if fitted is None or moves is None:
        yield "#   drift, data quality: nothing without a reference; give one"
        return
    needed = fitted.required_n(tolerance=moves.tolerance)
    known = {name: rows for name, rows in needed.items() if rows is not None}
    most = max(known, key=lambda name: known[name], default=None)
    rows = f"; {most} needs the most rows to be judged: {known[most]:,}" if most else ""
    yield f"#   drift: {len(fitted.columns)} columns may leave what the model was trained on{rows}"
    if fitted is reference:
        yield "#   data quality: missing and unseen values; give rows to see what is usual"
        return
    quality = fitted.compare(reference).quality
    holes = [(name, quality.missing(name).value) for name in fitted.columns]
    told = ", ".join(f"{name} {quantity(share, 'share')}" for name, share in holes if share)
    yield f"#   data quality: missing now: {told or 'nothing'}; unseen levels, ranges, schema"


def _latency(recorded: Latencies | None, per_day: int | None) -> str:
    if recorded is None:
        return (
            "# Not from data.\nlatency: {p99: 1 s, window: 5 min} # OWNER: how long may they wait?"
        )
    seen = ", ".join(f"p{100 * q:g} {quantity(s, 's', 3)}" for q, s in recorded.seen.items())
    limits = ", ".join(f"p{100 * q:g}: {_duration(s)}" for q, s in recorded.limits.items())
    wide = [
        name
        for name, length in _WINDOWS.items()
        if per_day is None or per_day * length >= recorded.fewest * _DAY
    ]
    window = wide[0] if wide else "1 d"
    note = "" if wide else "\n# Even a day has too few requests to judge it: it is UNKNOWN."
    return (
        f"# From {recorded.n:,} latencies ({seen}). A service as fast as that warns\n"
        f"# in at most {quantity(WARNS, 'share')} of evaluations if requests are independent; "
        f"bursts warn more often.{note}\n"
        f"latency: {{{limits}, window: {window}}} "
        "# OWNER: recorded is not required: what do users need?"
    )


def _cost(spent: Spent | None, per_day: int | None) -> str:
    if spent is None:
        return "# cost: {per_million: …, cap: …, window: day} # OWNER: what may it cost?"
    source = (
        f"From {spent.n:,} costs: the upper end of the 95 % interval of their mean."
        if spent.n > 1
        else f"From the price of one, {spent.each}."
    )
    million = _rounded(spent.million.amount)
    limits = f"per_million: {million:f} {spent.million.currency}"
    if per_day is None:
        return f"# {source}\ncost: {{{limits}}} # OWNER: is it worth that? and a cap on a day?"
    cap = _rounded(spent.million.amount * per_day * _ROOM / 1_000_000)
    return (
        f"# {source}\n# The cap is {_ROOM} × {per_day:,} requests a day.\n"
        f"cost: {{{limits}, cap: {cap:f} {spent.million.currency}, window: day}} "
        "# OWNER: is it worth that? whose day, by timezone?"
    )


def _drift(fitted: Reference | None, moves: Moves | None, leave_out: Sequence[str]) -> str:
    if fitted is None or moves is None:
        return "# drift: {tolerance: 0.1} # OWNER: needs a reference, saved with the model"
    digest = fitted.digest[:19]
    but = f", without {', '.join(leave_out)}" if leave_out else ""
    lines = [f"# From {fitted.rows:,} rows{but}, {digest}…"]
    if not moves.parts:
        lines.append("# The tolerance is the library's default: no rows in the order of time.")
    elif moves.loud:
        loud = ", ".join(f"{name} {effect:.2g}" for name, effect in moves.loud.items())
        lines.append(f"# Its {moves.parts} later parts move beyond any tolerance tried: {loud}.")
    else:
        lines.append(
            f"# None of its {moves.parts} later parts, {moves.rows:,} rows each, drifted from its "
            "first half at this tolerance."
        )
    lines.append(
        f"# If nothing changed, a comparison alarms with a chance of 1 % ({len(fitted.columns)} "
        "columns together)."
    )
    tolerance = f"tolerance: {moves.tolerance:g}, breach: {3 * moves.tolerance:g}"
    return "\n".join(lines) + (
        f"\ndrift: {{{tolerance}}} # OWNER: which columns must have enough rows to be judged?"
    )


def _duration(seconds: float) -> str:
    exact = Decimal(repr(seconds))
    unit, scale = next((each for each in _SCALES if exact * each[1] >= 1), _SCALES[-1])
    return f"{_rounded(exact * scale):f} {unit}"


def _rounded(value: Decimal) -> Decimal:
    """Round upward to two digits."""
    step = Decimal(1).scaleb(value.adjusted() - 1)
    up = (value / step).to_integral_value(ROUND_CEILING) * step
    return up.quantize(Decimal(1)) if up == up.to_integral_value() else up.normalize()
