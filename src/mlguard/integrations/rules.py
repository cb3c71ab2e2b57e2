"""Alerts for Prometheus on what is exported, written as the text of a rules file."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from mlguard.arguments import NO_ITEMS, refusal, seconds
from mlguard.budgets.errors import ErrorBudget
from mlguard.budgets.keyed import Keyed
from mlguard.integrations.series import (
    BAD,
    EVALUATED,
    REMAINING,
    REQUESTS,
    SEVERITY,
    named,
)
from mlguard.render import text
from mlguard.values import Severity

if TYPE_CHECKING:
    from mlguard.budgets.alerts import BurnAlert
    from mlguard.integrations.series import Metric
    from mlguard.protocols import Check

_URGENCY = {Severity.BREACH: "page", Severity.WARN: "ticket"}
_WHICH = "{{ $labels.check }}{{ with $labels.key }} of {{ . }}{{ end }}"
_HEAD = """\
# Made by mlguard.integrations.prometheus.rules: change it there.
groups:
  - name: mlguard
    rules:
"""


def rules(
    checks: Mapping[str, Check],
    *,
    match: Mapping[str, str] = NO_ITEMS,
    by: Sequence[str] = ("job",),
    for_: float | timedelta = timedelta(minutes=1),
    unknown_for: float | timedelta = timedelta(hours=1),
    stale: float | timedelta = timedelta(minutes=5),
) -> str:
    """Write a rules file for Prometheus: alerts on what an `Exporter` of these checks publishes.

    The alerts, each with a label `severity`, "page" or "ticket", and with the check's name:
    `MlguardBreach` (page), `MlguardWarning` and `MlguardUnknown` (tickets) while any instance says
    so; for each alert of an `ErrorBudget` `MlguardErrorBudgetBurn` on the requests of all
    instances together, with the budget's own windows, burn rates and `min_bad_events`, and without
    regard to what the process has forgotten (so that a budget that is UNKNOWN is no news);
    `MlguardNotEvaluated` (page) if no instance has evaluated a check for `stale`, or ever; and
    `MlguardAbsent` (page) if nobody even exports it.

    Args:
        checks: As the exporter is given them.
        match: Labels by which to find the series, such as `{"job": "scoring"}`. Give at least the
            job where a Prometheus sees several services, or `MlguardAbsent` would be content with
            any of them.
        by: Labels that tell one service from another: its instances are judged together. With
            `("job", "instance")` each instance is judged for itself.
        for_: How long a breach, a warning or not being evaluated must last.
        unknown_for: How long UNKNOWN must last; a quiet night is no news.
        stale: Since when a check that is not evaluated counts as abandoned: a few times the pace
            at which `update` is called.

    Raises:
        ConfigurationError: An argument is not of its kind.

    Examples:
        >>> from mlguard import ErrorBudget
        >>> text = rules({"errors": ErrorBudget(slo=0.999)}, match={"job": "scoring"})
        >>> text.count("MlguardErrorBudgetBurn"), "> 0.0144" in text
        (4, True)
    """
    checks = named(checks)
    file = _read(match, by)
    lasting = seconds("for_", for_)
    old = seconds("stale", stale)
    known = seconds("unknown_for", unknown_for)
    return _HEAD + "".join(
        [
            file.severity("Breach", Severity.BREACH, lasting, "page"),
            file.severity("Warning", Severity.WARN, lasting, "ticket"),
            file.unknown(known),
            file.not_evaluated(old, lasting),
            file.absent(checks, old),
            *(
                file.burn(name, budget, alert)
                for name, check in checks.items()
                if isinstance(budget := _meter(check), ErrorBudget)
                for alert in budget.alerts
            ),
        ]
    )


def _meter(check: Check) -> object:
    """Give a meter as it is, or one as a family by key makes them."""
    return check.example() if isinstance(check, Keyed) else check


@dataclass(frozen=True, slots=True)
class _File:
    """Writes the rules for series that are found by `where` and judged together by `by`."""

    where: str
    by: str

    def severity(
        self, alert: str, severity: Severity, lasting: float, urgency: str, unless: str = ""
    ) -> str:
        """Alert while an instance says so. A family says the worst over its keys under no key."""
        found = self._series(SEVERITY, 'key=""')
        return _rule(
            f"Mlguard{alert}",
            f"count by ({self.by}) ({found} == {severity.value}) > 0{unless}",
            lasting,
            {"severity": urgency},
            f"{{{{ $labels.check }}}} is {severity.name} on {{{{ $value }}}} instance(s)",
        )

    def unknown(self, lasting: float) -> str:
        """Alert on what cannot be judged, but for error budgets: Prometheus remembers those."""
        budgets = f"\nunless on ({self.by})\n{self._series(REMAINING)}"
        return self.severity("Unknown", Severity.UNKNOWN, lasting, "ticket", budgets)

    def burn(self, name: str, budget: ErrorBudget, alert: BurnAlert) -> str:
        """Alert while a budget burns too fast, over the window and its last twelfth."""
        of = f"check={_string(name)}"
        by = f"sum by ({self.by}, key)"
        bad, requests = self._series(BAD, of), self._series(REQUESTS, of)
        limit = alert.burn_rate(budget.period.seconds) * (1.0 - budget.slo)
        over = [
            f"{by} (rate({bad}[{window}]))\n  / {by} (rate({requests}[{window}]))\n  > {limit:.10g}"
            for window in map(duration, (alert.window, alert.short))
        ]
        enough = f"{by} (increase({bad}[{duration(alert.window)}])) >= {budget.min_bad_events}"
        return _rule(
            "MlguardErrorBudgetBurn",
            "\nand\n".join([*over, enough]),
            0.0,
            {
                "check": _quoted(name),  # or two budgets with the same windows were one rule twice
                "severity": _URGENCY[alert.severity],
                "window": duration(alert.window),
            },
            f"{_WHICH} spent {text.quantity(alert.share, 'share')} of its error budget within "
            f"{duration(alert.window)}: {{{{ $value | humanizePercentage }}}} of requests are bad",
        )

    def not_evaluated(self, stale: float, lasting: float) -> str:
        """Alert if the last evaluation by anybody is too long ago, or never was."""
        return _rule(
            "MlguardNotEvaluated",
            f"time() - max by ({self.by}) ({self._series(EVALUATED)}) > {stale:.10g}",
            lasting,
            {"severity": "page"},
            "{{ $labels.check }} was last evaluated {{ $value | humanizeDuration }} ago",
        )

    def absent(self, names: Iterable[str], stale: float) -> str:
        """Alert if nobody exports one of the checks."""
        found = (self._series(EVALUATED, f"check={_string(name)}") for name in names)
        return _rule(
            "MlguardAbsent",
            "\nor\n".join(f"absent({each})" for each in found),
            stale,
            {"severity": "page"},
            "{{ $labels.check }} is exported by nobody",
        )

    def _series(self, metric: Metric, *matches: str) -> str:
        matchers = ", ".join(each for each in (self.where, *matches) if each)
        return metric.in_prometheus + (f"{{{matchers}}}" if matchers else "")


def _rule(
    alert: str, expression: str, lasting: float, labels: Mapping[str, str], summary: str
) -> str:
    lines = [f"- alert: {alert}", "  expr: |", *(f"    {line}" for line in expression.split("\n"))]
    if lasting:
        lines.append(f"  for: {duration(lasting)}")
    lines += ["  labels:", *(f"    {name}: {value}" for name, value in labels.items())]
    lines += ["  annotations:", f"    summary: {_quoted(summary)}"]
    return "".join(f"      {line}\n" for line in lines)


def _string(value: str) -> str:
    """Write a string of PromQL."""
    return json.dumps(value, ensure_ascii=False)


def _quoted(value: str) -> str:
    """Write a string of YAML."""
    return "'" + value.replace("'", "''") + "'"


def duration(seconds: float) -> str:
    """Write a duration as Prometheus does, to the millisecond.

    Examples:
        >>> duration(3600.0), duration(5400.0), duration(0.25), duration(259200.0)
        ('1h', '1h30m', '250ms', '3d')
    """
    left = max(1, round(1000 * seconds))
    words = ""
    for unit, length in (
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1000),
        ("ms", 1),
    ):
        count, left = divmod(left, length)
        words += f"{count}{unit}" if count else ""
    return words


def _read(match: Mapping[str, str], by: Sequence[str]) -> _File:
    if not isinstance(match, Mapping):
        raise refusal("match", match, "a mapping of labels to values")
    if isinstance(by, str) or not isinstance(by, Sequence):
        raise refusal("by", by, 'a list of labels, such as ("job",)')
    for parameter, labels in (("match", match), ("by", by)):
        for label in labels:
            fits = isinstance(label, str) and re.fullmatch("[a-zA-Z_][a-zA-Z0-9_]*", label)
            if not fits or label in {"check", "key"}:
                raise refusal(parameter, label, "labels that Prometheus adds, such as job")
    for label, value in match.items():
        if not (isinstance(value, str) and value.isprintable()):
            raise refusal(f"match[{label!r}]", value, "a printable string")
    where = [f"{label}={_string(value)}" for label, value in match.items()]
    return _File(", ".join(where), ", ".join([*by, "check"]))
