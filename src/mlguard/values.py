"""The frozen values of the flow: measurement, verdict, decision; and the waiver.

Each round-trips through plain JSON: `from_dict(to_dict(value)) == value`. Nothing here has state
or a lock; every value may be shared between threads, hashed, copied and pickled.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from datetime import datetime
from enum import IntEnum, StrEnum
from typing import Any, Literal, NoReturn

from mlguard.arguments import (
    NO_ITEMS,
    instances,
    member,
    moment,
    name_of,
    optional,
    real,
    refusal,
    subject_of,
    whole,
)
from mlguard.errors import GuardBreached, GuardUnknown
from mlguard.records import Record, frozen_items, inner, iso
from mlguard.render import text


class Severity(IntEnum):
    """How bad it is. UNKNOWN stands below WARN, but it is not a pass: a gate stops on it."""

    OK = 0
    UNKNOWN = 1
    WARN = 2
    BREACH = 3


class Action(StrEnum):
    """What a decision asks for. Any other string is a user's own action."""

    NONE = "none"
    ALERT = "alert"
    RESOLVE = "resolve"
    RETRAIN = "retrain"
    HOLD = "hold"
    PROMOTE = "promote"
    ROLLBACK = "rollback"


@dataclass(frozen=True, slots=True, eq=False)
class Measurement(Record):
    """A number with its uncertainty, ready to be judged. Calling it gives itself.

    Args:
        name: What was measured, such as "p99" or "roc_auc".
        value: The number; NaN or None when it could not be measured.
        unit: "s" for seconds, "share" for a fraction of one, a currency code, or nothing.
        n: How many observations it rests on.
        low: Lower end of the interval.
        high: Upper end of the interval.
        confidence: Coverage of that interval, such as 0.95.
        p_value: Of the test behind the measurement, where there is one.
        at: Event time (Unix seconds) of the newest observation.
        details: Further plain JSON.

    Raises:
        ConfigurationError: An argument is not of its kind or range.

    Examples:
        >>> print(Measurement("p99", 0.061, unit="s", n=4210, low=0.055, high=0.070))
        p99 = 61 ms (55 ms to 70 ms), n = 4,210
    """

    name: str
    value: float
    _: KW_ONLY
    unit: str = ""
    n: int | None = None
    low: float | None = None
    high: float | None = None
    confidence: float | None = None
    p_value: float | None = None
    at: float | None = None
    details: Mapping[str, Any] = field(default_factory=lambda: NO_ITEMS)

    def __post_init__(self) -> None:
        put = object.__setattr__
        name_of("name", self.name)
        put(self, "value", math.nan if self.value is None else real("value", self.value))
        for bound in ("low", "high"):
            put(self, bound, optional(bound, getattr(self, bound)))
        if self.low is not None and self.high is not None and self.low > self.high:
            raise refusal("low", self.low, f"at most high = {self.high}")
        if self.n is not None:
            put(self, "n", whole("n", self.n))
        for chance in ("confidence", "p_value"):
            value = optional(chance, getattr(self, chance))
            if value is not None and not 0.0 <= value <= 1.0:
                raise refusal(chance, value, "between 0 and 1")
            put(self, chance, value)
        put(self, "at", None if self.at is None else moment("at", self.at))
        put(self, "details", frozen_items(self.details, "details"))

    def __call__(self) -> Measurement:
        return self

    def __str__(self) -> str:
        return text.measured(self)


@dataclass(frozen=True, slots=True, eq=False, init=False)
class Waiver(Record):
    """Somebody's word that a breach is accepted for a while.

    Args:
        who: Who takes the responsibility.
        why: Why it is acceptable.
        until: When it ends: an aware datetime or Unix seconds.

    Raises:
        ConfigurationError: `who` or `why` is empty, or `until` is a naive datetime.

    Examples:
        >>> print(Waiver("ada", "upstream fix is under way", until=1_700_000_000))
        ada, until 2023-11-14T22:13:20Z: upstream fix is under way
    """

    who: str
    why: str
    until: float

    def __init__(self, who: str, why: str, until: float | datetime) -> None:
        put = object.__setattr__
        put(self, "who", name_of("who", who))
        put(self, "why", name_of("why", why))
        put(self, "until", moment("until", until))

    def __str__(self) -> str:
        return f"{self.who}, until {iso(self.until)}: {self.why}"


@dataclass(frozen=True, slots=True, eq=False, init=False)
class Verdict(Record):
    """A judgement: a severity, the reason in words and the evidence behind it.

    A verdict is an interval: `low` and `high` are the best and the worst that may still be true on
    the scale OK < WARN < BREACH. `severity` is `low` where both agree, UNKNOWN where `low` is OK,
    else `low`. It has no truth value: ask `ok`, `severity` or `raise_for_breach()`. Called, it
    gives itself: a verdict already given is a check like any other.

    Args:
        name: What was judged.
        severity: The judgement.
        reason: Written for the person who is woken at night.
        evidence: The measurements it rests on.
        causes: The verdicts (and a waiver) it was made from.
        at: Event time (Unix seconds) of the newest observation judged.
        subject: What it is about: service, model, version, environment, tenant, route.
        low: Best severity still possible; follows from `severity` when not given.
        high: Worst severity still possible; follows from `severity` when not given.

    Raises:
        ConfigurationError: An argument is not of its kind, or `low` and `high` do not fit.

    Examples:
        >>> Verdict("drift", Severity.UNKNOWN, "only 12 rows").high.name
        'BREACH'
    """

    name: str
    severity: Severity
    reason: str
    _: KW_ONLY
    evidence: tuple[Measurement, ...]
    causes: tuple[Verdict | Waiver, ...]
    at: float | None
    subject: Mapping[str, str]
    low: Severity
    high: Severity

    def __init__(
        self,
        name: str,
        severity: Severity,
        reason: str,
        *,
        evidence: Sequence[Measurement] = (),
        causes: Sequence[Verdict | Waiver] = (),
        at: float | None = None,
        subject: Mapping[str, object] = NO_ITEMS,
        low: Severity | None = None,
        high: Severity | None = None,
    ) -> None:
        put = object.__setattr__
        put(self, "name", name_of("name", name))
        severity = member(Severity, "severity", severity)
        put(self, "severity", severity)
        if not isinstance(reason, str):
            raise refusal("reason", reason, "a string")
        put(self, "reason", reason)
        put(self, "evidence", instances((Measurement,), "evidence", evidence))
        put(self, "causes", instances((Verdict, Waiver), "causes", causes))
        put(self, "at", None if at is None else moment("at", at))
        put(self, "subject", subject_of(subject))
        unknown = severity is Severity.UNKNOWN
        ends = (Severity.OK, Severity.BREACH) if unknown else (severity, severity)
        put(self, "low", ends[0] if low is None else member(Severity, "low", low))
        put(self, "high", ends[1] if high is None else member(Severity, "high", high))
        if severity_of(self.low, self.high) is not severity:
            raise refusal("severity", severity, f"what low={low!r} and high={high!r} give")

    @property
    def ok(self) -> bool:
        """Whether the severity is OK. A warning and an unknown are not."""
        return self.severity is Severity.OK

    @property
    def in_doubt(self) -> bool:
        """Whether this could not be judged: UNKNOWN, or a warning that may yet be a breach."""
        return self.low is not self.high

    def raise_for_breach(self, *, unknown: Literal["raise", "pass"] = "raise") -> Verdict:
        """Raise if this is no pass, else return the verdict itself.

        A warning passes. A gate that could not judge has not passed, unless `unknown="pass"`; that
        goes for a warning that may still turn out a breach, too.

        Raises:
            GuardBreached: The severity is BREACH.
            GuardUnknown: The severity is UNKNOWN, or `high` is BREACH, and `unknown` is "raise".
        """
        if unknown not in {"raise", "pass"}:
            raise refusal("unknown", unknown, '"raise" or "pass"')
        if self.severity is Severity.BREACH:
            raise GuardBreached(self)
        if self.in_doubt and unknown == "raise":
            raise GuardUnknown(self)
        return self

    def explain(self) -> str:
        """Write the verdict as an indented tree, a line for each cause."""
        from mlguard.render import tree  # noqa: PLC0415 -- it is made of the values here

        return tree.explain(self)

    def __call__(self) -> Verdict:
        return self

    def __bool__(self) -> NoReturn:
        message = (
            f"the verdict {self.name!r} has no truth value, since UNKNOWN is neither: "
            "use verdict.ok, verdict.severity or verdict.raise_for_breach()"
        )
        raise TypeError(message)

    def __str__(self) -> str:
        return self.explain()

    def _repr_html_(self) -> str:
        from mlguard.render import html  # noqa: PLC0415 -- it is made of the values here

        return html.verdict(self)

    @classmethod
    def _fields(cls, record: Mapping[str, Any]) -> dict[str, Any]:
        content = super(Verdict, cls)._fields(record)
        content["evidence"] = [Measurement.from_dict(each) for each in inner(content, "evidence")]
        content["causes"] = [_cause(each) for each in inner(content, "causes")]
        return content


@dataclass(frozen=True, slots=True, eq=False)
class Decision(Record):
    """What to do, and why: enough to replay it from the record.

    Args:
        action: An `Action`, or a string that names a user's own.
        reason: In words.
        subject: What it is about: service, model, version, environment, tenant, route.
        at: When it was taken, Unix seconds by the clock of who decided; event times stand in
            `verdicts`.
        key: The episode: the same on every replica and after a restart.
        verdicts: What it was decided from.
        because: Further grounds, each a mapping of plain JSON.
        policy_digest: Digest of the policy that decided.
        state_digest: Digest of the state it decided in.
        version: Version of the library that decided.

    Raises:
        ConfigurationError: An argument is not of its kind.

    Examples:
        >>> Decision("page-the-vendor", "3 of 5 calls failed").action
        'page-the-vendor'
    """

    action: Action | str
    reason: str
    _: KW_ONLY
    subject: Mapping[str, str] = field(default_factory=lambda: NO_ITEMS)
    at: float | None = None
    key: str = ""
    verdicts: tuple[Verdict, ...] = ()
    because: tuple[Mapping[str, Any], ...] = ()
    policy_digest: str = ""
    state_digest: str = ""
    version: str = ""

    def __post_init__(self) -> None:
        put = object.__setattr__
        put(self, "action", action_of(self.action))
        for name in ("reason", "key", "policy_digest", "state_digest", "version"):
            if not isinstance(getattr(self, name), str):
                raise refusal(name, getattr(self, name), "a string")
        put(self, "subject", subject_of(self.subject))
        put(self, "at", None if self.at is None else moment("at", self.at))
        put(self, "verdicts", instances((Verdict,), "verdicts", self.verdicts))
        because = instances((Mapping,), "because", self.because)
        put(self, "because", tuple(frozen_items(each, "because") for each in because))

    @classmethod
    def _fields(cls, record: Mapping[str, Any]) -> dict[str, Any]:
        content = super(Decision, cls)._fields(record)
        content["verdicts"] = [Verdict.from_dict(each) for each in inner(content, "verdicts")]
        return content


def _cause(record: Mapping[str, Any]) -> Verdict | Waiver:
    waiver = isinstance(record, Mapping) and record.get("kind") == "waiver"
    return Waiver.from_dict(record) if waiver else Verdict.from_dict(record)


def action_of(action: str) -> Action | str:
    """Read an action: one of ours by its name, or a user's own."""
    return _OWN_ACTIONS.get(name_of("action", action), action)


_OWN_ACTIONS = {name: each for each in Action for name in (each.value, each.name)}
_SEVERITIES = sorted(Severity, reverse=True)


def severity_of(low: Severity, high: Severity) -> Severity:
    """Name the severity of an interval on the scale OK < WARN < BREACH."""
    if low > high or Severity.UNKNOWN in {low, high}:
        raise refusal("low", low, f"OK, WARN or BREACH and at most high = {high!r}")
    if low is high:
        return low
    return Severity.UNKNOWN if low is Severity.OK else low


def combined(name: str, causes: Sequence[Verdict], *, need: int) -> Verdict:
    """Combine verdicts so that the result is OK only if at least `need` of them are.

    Both ends of the result are order statistics of the ends of the causes: the `need`-th best.
    `need=len(causes)` is the worst of them, `need=1` the best.
    """
    low = sorted(cause.low for cause in causes)[need - 1]
    high = sorted(cause.high for cause in causes)[need - 1]
    times = [cause.at for cause in causes if cause.at is not None]
    return Verdict(
        name,
        severity_of(low, high),
        _tally(causes, need),
        causes=causes,
        at=max(times, default=None),
        low=low,
        high=high,
    )


def _tally(causes: Sequence[Verdict], need: int) -> str:
    every = need == len(causes)
    parts = []
    for severity in _SEVERITIES:
        names = [cause.name for cause in causes if cause.severity is severity]
        if names:
            shown = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if names[4:] else "")
            listed = "" if every and severity is Severity.OK else f" ({shown})"
            parts.append(f"{len(names)} {severity.name}{listed}")
    if not every:
        return f"{need} of {len(causes)} must be OK: {', '.join(parts)}"
    return ", ".join(parts) if parts[1:] else f"all {parts[0]}"


def unjudged(measurement: Measurement, why: str) -> Verdict:
    """Give the verdict for a measurement that cannot be judged; its own reason goes first."""
    return Verdict(
        measurement.name,
        Severity.UNKNOWN,
        f"{measurement}: {measurement.details.get('reason', why)}",
        evidence=(measurement,),
        at=measurement.at,
    )
