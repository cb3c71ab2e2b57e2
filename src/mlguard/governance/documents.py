"""A model card and a runbook: what the records say, and who must write what they cannot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from mlguard.arguments import moment, name_of, refusal
from mlguard.checks import ask, checked, taken_of
from mlguard.governance.digests import digest_of
from mlguard.governance.pages import Block, Command, Document, Human, Section, Table, Warned
from mlguard.policies.ladder import ResponsePolicy
from mlguard.records import iso
from mlguard.render.text import quantity

if TYPE_CHECKING:
    from datetime import datetime

    from mlguard.policies.responses import Response
    from mlguard.protocols import Check, Measure
    from mlguard.values import Measurement

NOTHING = "None is on record."
_BLANK = "–"
_OWNER = "who answers for it, and how they are reached at night"
_WANTED = "(to be written by a person)"


def model_card(
    name: str,
    *,
    at: float | datetime,
    digests: Mapping[str, str],
    found: Mapping[str, str] | None = None,
    since: float | datetime | None = None,
    purpose: str = "",
    limits: str = "",
    owner: str = "",
    metrics: Sequence[Measure] = (),
    responses: ResponsePolicy | None = None,
    approvals: Sequence[Check] = (),
) -> Document:
    """Write the card of a model, as Markdown; `to_html()` of it gives a page.

    The same arguments give the same card. What only a person can write (`purpose`, `limits`,
    `owner`) is marked as missing until it is given, and what is not on record is said to be so.

    Args:
        name: Of the model, with its version.
        at: When it is written: an aware datetime or Unix seconds.
        digests: By name, what it is about: "model", "reference", "policy".
        found: The same digests as they are now, where somebody looked: the card is stale where one
            is another.
        since: When the first of them was found to be another.
        purpose: What the model is for, and what it is not.
        limits: Where it is known to be wrong.
        owner: Who answers for it.
        metrics: Measurements, or what gives them, such as an `Evaluation`; those by slice stand in
            a table of their own.
        responses: What is done about drift.
        approvals: Checks, such as `approved(request, votes)`, or verdicts.

    Raises:
        ConfigurationError: An argument is not of its kind, or `digests` is empty.

    Examples:
        >>> from mlguard import measured
        >>> card = model_card(
        ...     "eta 7",
        ...     at=1_900_000_000,
        ...     digests={"model": "sha256:5e"},
        ...     found={"model": "sha256:77"},
        ...     metrics=[measured("roc_auc", 0.74, n=5_000)],
        ... )
        >>> print(*card.splitlines()[:9], sep=chr(10))
        # Model card of eta 7
        <BLANKLINE>
        Written on 2030-03-17T17:46:40Z from records.
        <BLANKLINE>
        > **Stale: model is sha256:77 now, and this was written for sha256:5e.**
        <BLANKLINE>
        ## What it is for
        <BLANKLINE>
        > **To be written by a person:** what the model is for, and what it must not be used for
    """
    wanted = "where the model is known to be wrong, and for whom"
    purposes = "what the model is for, and what it must not be used for"
    return Document(
        f"Model card of {name_of('name', name)}",
        [
            ("", _opening(at, digests, found, since)),
            ("What it is for", [Human(purpose, purposes)]),
            ("Limits", [Human(limits, wanted)]),
            ("Who answers for it", [Human(owner, _OWNER)]),
            ("What this is about", [Table(["what", "digest"], list(digests.items()))]),
            *_performance(metrics),
            ("What is done about drift", _ladder(responses)),
            ("Approvals", _verdicts(approvals)),
        ],
    )


def runbook(
    name: str,
    *,
    at: float | datetime,
    digests: Mapping[str, str],
    found: Mapping[str, str] | None = None,
    since: float | datetime | None = None,
    owner: str = "",
    rollback: str = "",
    drilled: float | datetime | None = None,
    alarms: Mapping[str, tuple[str, str]] | None = None,
    responses: ResponsePolicy | None = None,
    budgets: Sequence[Check] = (),
) -> Document:
    """Write what the person needs who is woken at night, as Markdown.

    As with `model_card`, nothing is invented: an alarm whose meaning nobody has written says so.

    Args:
        name: Of the service.
        at: When it is written: an aware datetime or Unix seconds.
        digests: By name, what it is about: "model", "policy".
        found: The same digests as they are now, where somebody looked.
        since: When the first of them was found to be another.
        owner: Who answers for it.
        rollback: The command that rolls back, word for word.
        drilled: When somebody last tried that.
        alarms: By name, what an alarm means and where to look first.
        responses: Whose actions are alarms, too.
        budgets: Checks, such as a `LatencyBudget`, an `ErrorBudget` and a `CostBudget`, as they
            stand now.

    Raises:
        ConfigurationError: An argument is not of its kind, or `digests` is empty.

    Examples:
        >>> book = runbook(
        ...     "eta",
        ...     at=1_900_000_000,
        ...     digests={"policy": "json:0c"},
        ...     owner="risk-ml, pager 7",
        ...     alarms={"p99": ("answers are slow", "the departure board's own latency")},
        ... )
        >>> "| p99 | – | answers are slow | the departure board's own latency |" in book
        True
        >>> "**To be written by a person:** the command that rolls back" in book
        True
    """
    command: Block = (
        Command(rollback) if rollback.strip() else Human("", "the command that rolls back")
    )
    drill = NOTHING if drilled is None else f"{iso(moment('drilled', drilled))}."
    return Document(
        f"Runbook of {name_of('name', name)}",
        [
            ("", _opening(at, digests, found, since)),
            ("Who answers for it", [Human(owner, _OWNER)]),
            ("Roll back", [command, f"Last drill: {drill}"]),
            ("Alarms", _alarms(alarms or {}, responses)),
            ("Budgets", _verdicts(budgets)),
            ("What this is about", [Table(["what", "digest"], list(digests.items()))]),
        ],
    )


def _opening(
    at: float | datetime,
    digests: Mapping[str, str],
    found: Mapping[str, str] | None,
    since: float | datetime | None,
) -> list[Block]:
    for parameter, given in (("digests", digests), ("found", found or {})):
        if not isinstance(given, Mapping) or (not given and parameter == "digests"):
            raise refusal(parameter, given, "digests by name, at least one")
        for each, digest in given.items():
            digest_of(f"{parameter}[{name_of(parameter, each)!r}]", digest)
    now = found or {}
    if odd := sorted(now.keys() - digests.keys()):
        raise refusal("found", odd, f"among the names in digests, {[*digests]}")
    moved = [
        f"{each} is {now[each]} now, and this was written for {digest}"
        for each, digest in digests.items()
        if now.get(each, digest) != digest
    ]
    blocks: list[Block] = [f"Written on {iso(moment('at', at))} from records."]
    if moved:
        when = "" if since is None else f" since {iso(moment('since', since))}"
        blocks.append(Warned(f"Stale{when}: {'; '.join(moved)}."))
    return blocks


def _performance(metrics: Sequence[Measure]) -> list[Section]:
    taken = [measurement for each in metrics for measurement in taken_of(each())]
    overall = [each for each in taken if "slice" not in each.details]
    slices = [each for each in taken if "slice" in each.details]
    return [
        ("Performance", [_measurements(overall) if overall else NOTHING]),
        ("Performance by slice", [_measurements(slices) if slices else NOTHING]),
    ]


def _measurements(measurements: Sequence[Measurement]) -> Table:
    return Table(
        ["metric", "value", "interval", "n"],
        [
            [
                each.name,
                quantity(each.value, each.unit),
                _interval(each),
                _BLANK if each.n is None else f"{each.n:,}",
            ]
            for each in measurements
        ],
    )


def _interval(measurement: Measurement) -> str:
    low, high, unit = measurement.low, measurement.high, measurement.unit
    if low is None or high is None:
        return _BLANK
    sure = measurement.confidence
    level = "" if sure is None else f" ({quantity(sure, 'share')})"
    return f"{quantity(low, unit)} to {quantity(high, unit)}{level}"


def _ladder(policy: ResponsePolicy | None) -> list[Block]:
    if policy is None:
        return [NOTHING]
    rows = [[each.name, str(each.action), _when(each), _held(each)] for each in _rungs(policy)]
    head = ["response", "action", "when", "held back"]
    return [Table(head, rows), f"Digest of the policy: {policy.digest}"]


def _rungs(policy: ResponsePolicy | None) -> tuple[Response, ...]:
    if not isinstance(policy, ResponsePolicy | None):
        raise refusal("responses", policy, "a ResponsePolicy, or None")
    return () if policy is None else policy.responses


def _when(response: Response) -> str:
    terms = response.terms
    words = response.condition
    if terms.k > 1:
        row = terms.of in {None, terms.k}
        words += f", {terms.k} times in a row" if row else f", {terms.k} of {terms.of} times"
    return words + (f", for {quantity(terms.for_, 's')}" if terms.for_ else "")


def _held(response: Response) -> str:
    told = response.to_dict()
    parts = [f"at least {quantity(told['cooldown'], 's')} apart"] if told["cooldown"] else []
    if told["at_most"]:
        number, period = told["at_most"]
        parts.append(f"at most {number} in {quantity(period, 's')}")
    parts += [f"needs {each}" for each in told["needs"]]
    parts += [f"not while {each} fires" for each in told["unless"]]
    return "; ".join(parts) or _BLANK


def _alarms(alarms: Mapping[str, tuple[str, str]], policy: ResponsePolicy | None) -> list[Block]:
    rungs = {each.name: _when(each) for each in _rungs(policy)}
    rows = []
    for each in [*rungs, *(other for other in alarms if other not in rungs)]:
        words = alarms.get(each, ("", ""))
        if isinstance(words, str) or len(words) != 2:  # noqa: PLR2004 -- as the message says
            raise refusal(f"alarms[{each!r}]", words, "what it means, and where to look first")
        rows.append([each, rungs.get(each, _BLANK), *(word or _WANTED for word in words)])
    head = ["alarm", "when", "what it means", "look first at"]
    return [Table(head, rows) if rows else NOTHING]


def _verdicts(checks: Sequence[Check]) -> list[Block]:
    found = [ask(checked(each)) for each in checks]
    rows = [
        [each.name, ", ".join(each.subject.values()) or _BLANK, each.severity.name, each.reason]
        for each in found
    ]
    return [Table(["what", "of", "state", "reason"], rows) if rows else NOTHING]
