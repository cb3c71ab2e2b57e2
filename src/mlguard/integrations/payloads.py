"""What Slack, PagerDuty and Alertmanager want to read, as pure functions of a decision."""

from __future__ import annotations

import hashlib
import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

from mlguard.arguments import NO_ITEMS, choice, name_of, refusal, seconds
from mlguard.records import iso
from mlguard.render.text import visible
from mlguard.values import Action, Severity

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlguard.values import Decision

PagerDutySeverity = Literal["critical", "error", "warning", "info"]

_SECTION = 3_000
"""Characters that Slack takes in a section, and in a message to be on the safe side."""

_SUMMARY = 1_024
_DEDUP_KEY = 255
_MOST_VERDICTS = 10
"""Verdicts that are shown, so that a message stays below 50 blocks and an event below 512 KB."""

_SEVERITIES: dict[Severity, PagerDutySeverity] = {
    Severity.BREACH: "critical",
    Severity.WARN: "warning",
    Severity.UNKNOWN: "warning",
    Severity.OK: "info",
}


def headline(decision: Decision) -> str:
    """Write a decision on one line: action, subject, reason."""
    subject = "".join(f" {key}={value}" for key, value in decision.subject.items())
    action = decision.action
    name = action.name if isinstance(action, Action) else action
    return visible(" ".join(f"{name}{subject}: {decision.reason}".split()))


def slack(decision: Decision) -> dict[str, Any]:
    """Write a decision as a message for an incoming webhook of Slack.

    A section with action, subject and reason, one for each of the first ten verdicts as a tree, and
    the key and time below. What comes from outside is escaped, so that it can mention nobody, and
    cut to what Slack takes.

    Args:
        decision: Any decision.

    Examples:
        >>> from mlguard import Action, Decision
        >>> slack(Decision(Action.ALERT, "p99 > 50 ms"))["text"]
        'ALERT: p99 &gt; 50 ms'
    """
    title = headline(decision)
    blocks = [_section(_escaped(title, _SECTION))]
    for verdict in decision.verdicts[:_MOST_VERDICTS]:
        tree = verdict.explain().replace("```", "'''")
        blocks.append(_section(f"```{_escaped(tree, _SECTION - 6)}```"))
    known = [f"key {decision.key}" if decision.key else ""]
    known.append("" if decision.at is None else iso(decision.at))
    if (left := len(decision.verdicts) - _MOST_VERDICTS) > 0:
        known.append(f"{left} more verdicts")
    if below := " · ".join(filter(None, known)):
        element = {"type": "mrkdwn", "text": _escaped(visible(below), _SECTION), "verbatim": True}
        blocks.append({"type": "context", "elements": [element]})
    return {"text": _escaped(title, _SECTION), "blocks": blocks}


def pagerduty(
    decision: Decision, *, routing_key: str, severity: PagerDutySeverity | None = None
) -> dict[str, Any]:
    """Write a decision as an event for version 2 of the Events API of PagerDuty.

    RESOLVE resolves, anything else triggers, under the key of the decision: so an ALERT and its
    RESOLVE are one alert there, and one that is sent twice is still one. Send it to
    https://events.pagerduty.com/v2/enqueue.

    Args:
        decision: Any decision; a RESOLVE has a key.
        routing_key: The integration key of your service in PagerDuty.
        severity: In PagerDuty. By default that of the worst verdict: "critical" for a breach,
            "warning" for a warning or what could not be judged, "info" if all is well; "error" for
            a decision without verdicts.

    Raises:
        ConfigurationError: An argument is not of its kind, or a RESOLVE has no key.

    Examples:
        >>> from mlguard import Action, Decision
        >>> event = pagerduty(Decision(Action.ALERT, "p99", key="0c1d"), routing_key="R0UT1NG")
        >>> event["event_action"], event["dedup_key"], event["payload"]["severity"]
        ('trigger', '0c1d', 'error')
    """
    resolve = decision.action == Action.RESOLVE
    if resolve and not decision.key:
        raise refusal("decision.key", "", "that of what is resolved")
    if severity is not None:
        choice("severity", severity, "critical", "error", "warning", "info")
    verdicts = decision.verdicts[:_MOST_VERDICTS]
    worst = max((each.severity for each in decision.verdicts), default=None)
    payload: dict[str, Any] = {
        "summary": _cut(headline(decision), _SUMMARY),
        "source": _cut(decision.subject.get("service", "").strip(), _SUMMARY) or "mlguard",
        "severity": severity or ("error" if worst is None else _SEVERITIES[worst]),
        "custom_details": {
            "action": visible(str(decision.action)),
            "subject": {visible(key): visible(value) for key, value in decision.subject.items()},
            "verdicts": [_cut(each.explain(), _SECTION) for each in verdicts],
            "policy_digest": visible(decision.policy_digest),
            "version": visible(decision.version),
        },
    }
    for field, key in (("component", "model"), ("group", "environment")):
        if value := decision.subject.get(key):
            payload[field] = visible(value)
    if decision.at is not None:
        payload["timestamp"] = iso(decision.at)
    event = {
        "routing_key": name_of("routing_key", routing_key),
        "event_action": "resolve" if resolve else "trigger",
        "payload": payload,
    }
    if decision.key:
        fits = _cut(decision.key, _DEDUP_KEY) == decision.key
        digest = hashlib.sha256(decision.key.encode("utf-8", "surrogatepass")).hexdigest()
        event["dedup_key"] = decision.key if fits else digest
    return event


def alertmanager(
    decision: Decision,
    *,
    labels: Mapping[str, str] = NO_ITEMS,
    lasting: float | timedelta = timedelta(days=7),
) -> list[dict[str, Any]]:
    """Write a decision as the one alert of a POST to /api/v2/alerts of Alertmanager.

    Its labels are those of the subject, `alertname="MlguardDecision"`, the key, and yours: the same
    for an ALERT and its RESOLVE, since Alertmanager knows an alert by its labels. So the action and
    the severity stand in the annotations. A RESOLVE ends the alert.

    Args:
        decision: Any decision; a RESOLVE has a time.
        labels: Further labels, such as a severity to route by, or another alertname.
        lasting: When the alert ends if no RESOLVE comes; without an end, Alertmanager would resolve
            it five minutes after it was last sent.

    Raises:
        ConfigurationError: An argument is not of its kind, or a RESOLVE has no time.

    Examples:
        >>> from mlguard import Action, Decision
        >>> decision = Decision(Action.RESOLVE, "within the limit", key="0c1d", at=1_700_000_000)
        >>> (alert,) = alertmanager(decision, labels={"severity": "page"})
        >>> alert["labels"]
        {'alertname': 'MlguardDecision', 'severity': 'page', 'key': '0c1d'}
        >>> alert["endsAt"]
        '2023-11-14T22:13:20Z'
    """
    at, length = decision.at, seconds("lasting", lasting)
    resolve = decision.action == Action.RESOLVE
    if resolve and at is None:
        raise refusal("decision.at", None, "when it was resolved")
    known = {_label(name): value for name, value in decision.subject.items()}
    known |= {"alertname": "MlguardDecision"}
    known |= {_label(name_of("labels", name)): value for name, value in labels.items()}
    known |= {"key": decision.key}
    worst = max((each.severity for each in decision.verdicts), default=None)
    told = {
        "summary": _cut(headline(decision), _SUMMARY),
        "description": _cut(
            "\n".join(each.explain() for each in decision.verdicts[:_MOST_VERDICTS]), _SECTION
        ),
        "action": str(decision.action),
        "verdict": "" if worst is None else worst.name,
        "policy_digest": decision.policy_digest,
    }
    alert: dict[str, Any] = {"labels": _texts(known), "annotations": _texts(told)}
    if resolve and at is not None:
        alert["endsAt"] = iso(at)
    elif at is not None:
        alert |= {"startsAt": iso(at), "endsAt": iso(at + length)}
    return [alert]


def _section(written: str) -> dict[str, Any]:
    text = {"type": "mrkdwn", "text": written, "verbatim": True}
    return {"type": "section", "text": text}


def _escaped(written: str, most: int) -> str:
    """Escape a text for Slack and cut it, though not within an escape."""
    text = written.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    cut = _cut(text, most)
    return cut if cut == text else re.sub(r"&[a-z]{0,3}…$", "…", cut)


def _cut(written: str, most: int) -> str:
    """Cut a text to so many units of UTF-16, in which a character may count as two."""
    units = visible(written).encode("utf-16-le")
    if len(units) <= 2 * most:
        return units.decode("utf-16-le")
    return units[: 2 * (most - 1)].decode("utf-16-le", "ignore") + "…"


def _label(name: str) -> str:
    """Spell a name as Prometheus spells those of labels."""
    return re.sub(r"^(?=\d)|[^a-zA-Z0-9_]", "_", name)


def _texts(values: Mapping[str, str]) -> dict[str, str]:
    return {name: visible(value) for name, value in values.items() if value}
