"""The payloads against the shapes that Slack, PagerDuty and Alertmanager publish."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlguard import Action, ConfigurationError, Decision, Severity, Verdict
from mlguard.integrations.sinks import alertmanager, pagerduty, slack, webhook

Schema = dict[str, Any]


def text(most: int, least: int = 1) -> Schema:
    return {"type": "string", "minLength": least, "maxLength": most}


def record(properties: Schema, *required: str) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


MOMENT = {"type": "string", "format": "date-time"}
MRKDWN = record(
    {"type": {"enum": ["mrkdwn"]}, "text": text(3_000), "verbatim": {"type": "boolean"}},
    "type",
    "text",
)
SECTION = record({"type": {"enum": ["section"]}, "text": MRKDWN}, "type", "text")
CONTEXT = record(
    {
        "type": {"enum": ["context"]},
        "elements": {"type": "array", "items": MRKDWN, "minItems": 1, "maxItems": 10},
    },
    "type",
    "elements",
)
SLACK = record(
    {
        "text": text(4_000),
        "blocks": {
            "type": "array",
            "items": {"anyOf": [SECTION, CONTEXT]},
            "minItems": 1,
            "maxItems": 50,
        },
    },
    "text",
)
"""https://docs.slack.dev: incoming webhooks; section and context blocks; the text object."""

PAGERDUTY = record(
    {
        "routing_key": text(32),
        "event_action": {"enum": ["trigger", "acknowledge", "resolve"]},
        "dedup_key": text(255),
        "payload": record(
            {
                "summary": text(1_024),
                "source": text(10_000),
                "severity": {"enum": ["critical", "error", "warning", "info"]},
                "timestamp": MOMENT,
                "component": {"type": "string"},
                "group": {"type": "string"},
                "class": {"type": "string"},
                "custom_details": {"type": "object"},
            },
            "summary",
            "source",
            "severity",
        ),
        "client": {"type": "string"},
        "client_url": {"type": "string"},
        "links": {"type": "array"},
        "images": {"type": "array"},
    },
    "routing_key",
    "event_action",
    "payload",
)
"""PagerDuty/api-schema, reference/events-v2/openapiv3.json, with the lengths of its guide."""

LABELS = {"type": "object", "additionalProperties": {"type": "string"}}
ALERTMANAGER = {
    "type": "array",
    "minItems": 1,
    "maxItems": 1,
    "items": record(
        {
            "labels": LABELS,
            "annotations": LABELS,
            "startsAt": MOMENT,
            "endsAt": MOMENT,
            "generatorURL": {"type": "string"},
        },
        "labels",
    ),
}
"""prometheus/alertmanager, api/v2/openapi.yaml: postableAlerts."""

KINDS: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "object": dict,
    "array": list,
    "boolean": bool,
}


def units(written: str) -> int:
    return len(written.encode("utf-16-le")) // 2


def wrong(value: Any, schema: Schema, where: str = "$") -> Iterator[str]:
    """Say what of a value does not fit a schema, as far as the schemas above go."""
    if "anyOf" in schema and all([*wrong(value, each, where)] for each in schema["anyOf"]):
        yield f"{where}: fits none"
    if "enum" in schema and value not in schema["enum"]:
        yield f"{where}: {value!r}"
    if "type" in schema and not isinstance(value, KINDS[schema["type"]]):
        yield f"{where}: no {schema['type']}"
    elif isinstance(value, str):
        yield from wrong_text(value, schema, where)
    elif isinstance(value, list):
        if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
            yield f"{where}: {len(value)} items"
        for place, each in enumerate(value):
            yield from wrong(each, schema.get("items", {}), f"{where}[{place}]")
    elif isinstance(value, dict):
        yield from wrong_record(value, schema, where)


def wrong_text(value: str, schema: Schema, where: str) -> Iterator[str]:
    if not schema.get("minLength", 0) <= units(value) <= schema.get("maxLength", units(value)):
        yield f"{where}: {units(value)} characters"
    if schema.get("format") == "date-time" and datetime.fromisoformat(value).tzinfo is not UTC:
        yield f"{where}: {value} is not in UTC"


def wrong_record(value: dict[str, Any], schema: Schema, where: str) -> Iterator[str]:
    known, others = schema.get("properties", {}), schema.get("additionalProperties", {})
    for name in schema.get("required", ()):
        if name not in value:
            yield f"{where}.{name} is missing"
    for name, each in value.items():
        if name not in known and others is False:
            yield f"{where}.{name} is not known"
        yield from wrong(each, known.get(name, others or {}), f"{where}.{name}")


def all_wrong(decision: Decision) -> list[str]:
    """Write all three, as they are sent, and say what does not fit."""
    found: list[str] = []
    for payload, schema in (
        (slack, SLACK),
        (partial(pagerduty, routing_key="R"), PAGERDUTY),
        (alertmanager, ALERTMANAGER),
    ):
        sent = json.dumps(payload(decision), allow_nan=False)
        found += wrong(json.loads(sent), schema)
        assert len(sent) < 500_000
    return found


BREACH = Verdict(
    "p99", Severity.BREACH, "p99 = 61 ms: above the limit of 50 ms", at=1_700_000_000.0
)
ALERT = Decision(
    Action.ALERT,
    "latency: p99 is BREACH",
    subject={"service": "eta", "model": "gbm", "environment": "prod", "pod-id": "7"},
    at=1_700_000_060.0,
    key="0c1d",
    verdicts=(BREACH,),
    policy_digest="aa",
    version="0.1.0",
)
RESOLVE = Decision(
    Action.RESOLVE,
    "latency is over",
    subject=ALERT.subject,
    at=1_700_000_120.0,
    key="0c1d",
    verdicts=(Verdict("p99", Severity.OK, "p99 = 41 ms"),),
)

texts = st.text(max_size=60) | st.sampled_from(
    ["&<>" * 2_000, "😀" * 5_000, "<!channel>", "```", "\ud800", "\x00\x1b[2J\n" * 300]
)
verdicts = st.builds(
    Verdict,
    texts.filter(str.strip),
    st.sampled_from(Severity),
    texts,
    subject=st.dictionaries(texts.filter(str.strip), texts, max_size=2),
)
decisions = st.builds(
    Decision,
    st.sampled_from(Action) | texts.filter(str.strip),
    texts,
    subject=st.dictionaries(texts.filter(str.strip) | st.just("service"), texts, max_size=4),
    at=st.floats(0.0, 4e9),
    key=texts.filter(bool),
    verdicts=st.lists(verdicts, max_size=12).map(tuple),
)


@given(decisions)
def test_every_decision_fits_the_published_shapes(decision: Decision) -> None:
    assert all_wrong(decision) == []


@pytest.mark.parametrize("decision", [ALERT, RESOLVE, Decision("own", "r")])
def test_ordinary_decisions_fit_the_published_shapes(decision: Decision) -> None:
    assert all_wrong(decision) == []


def test_the_shapes_can_be_missed() -> None:
    assert [*wrong({"blocks": []}, SLACK)] == ["$.text is missing", "$.blocks: 0 items"]
    assert [*wrong({"text": "x" * 4_001, "icon": 1}, SLACK)] == [
        "$.text: 4001 characters",
        "$.icon is not known",
    ]
    block = {"type": "section", "text": {"type": "mrkdwn", "text": "x" * 3_001}}
    assert [*wrong({"text": "x", "blocks": [block]}, SLACK)] == ["$.blocks[0]: fits none"]


def test_slack_says_what_happened() -> None:
    assert slack(ALERT) == {
        "text": (
            title := "ALERT service=eta model=gbm environment=prod pod-id=7: latency: p99 is BREACH"
        ),
        "blocks": [
            {"type": "section", "text": {"type": "mrkdwn", "text": title, "verbatim": True}},
            {
                "type": "section",
                "text": {
                    "type": "mrkdwn",
                    "text": "```BREACH  p99 = 61 ms: above the limit of 50 ms```",
                    "verbatim": True,
                },
            },
            {
                "type": "context",
                "elements": [
                    {
                        "type": "mrkdwn",
                        "text": "key 0c1d · 2023-11-14T22:14:20Z",
                        "verbatim": True,
                    }
                ],
            },
        ],
    }


def test_slack_mentions_nobody_and_links_nothing() -> None:
    evil = "<!channel> <https://example.com|your bank> & ``` _x_"
    verdict = Verdict("v", Severity.BREACH, evil, subject={"tenant": "<@U1>"})
    sent = slack(
        Decision(
            "<!here>", evil, subject={"tenant": "<@U1>"}, verdicts=(verdict,), key="<!everyone>"
        )
    )
    written = json.dumps(sent)
    assert not re.search("[<>]|&(?!amp;|lt;|gt;)", written)
    tree = sent["blocks"][1]["text"]["text"]
    assert tree.count("```") == 2
    assert all(each["text"]["verbatim"] for each in sent["blocks"][:-1])


@pytest.mark.parametrize("more", range(5))
def test_slack_is_not_cut_within_an_escape(more: int) -> None:
    sent = slack(Decision("own", "x" * more + "<" * 5_000))
    written = sent["blocks"][0]["text"]["text"]
    assert 2_990 < len(written) <= 3_000
    assert re.fullmatch(r"own: x*(&lt;)+…", written)


def test_slack_says_how_many_verdicts_are_left_out() -> None:
    sent = slack(Decision("own", "r", verdicts=(BREACH,) * 12))
    assert len(sent["blocks"]) == 12
    assert sent["blocks"][-1]["elements"][0]["text"] == "2 more verdicts"


def test_pagerduty_triggers_and_resolves_under_one_key() -> None:
    trigger, resolve = (pagerduty(each, routing_key="R") for each in (ALERT, RESOLVE))
    assert trigger == {
        "routing_key": "R",
        "event_action": "trigger",
        "dedup_key": "0c1d",
        "payload": {
            "summary": "ALERT service=eta model=gbm environment=prod pod-id=7: latency: p99 is BREACH",
            "source": "eta",
            "component": "gbm",
            "group": "prod",
            "severity": "critical",
            "timestamp": "2023-11-14T22:14:20Z",
            "custom_details": {
                "action": "alert",
                "subject": dict(ALERT.subject),
                "verdicts": ["BREACH  p99 = 61 ms: above the limit of 50 ms"],
                "policy_digest": "aa",
                "version": "0.1.0",
            },
        },
    }
    assert (resolve["event_action"], resolve["dedup_key"]) == ("resolve", "0c1d")


@pytest.mark.parametrize(
    ("severities", "given", "wanted"),
    [
        ("OK BREACH WARN", None, "critical"),
        ("OK WARN", None, "warning"),
        ("OK UNKNOWN", None, "warning"),
        ("OK", None, "info"),
        ("", None, "error"),
        ("BREACH", "info", "info"),
    ],
)
def test_the_severity_in_pagerduty(severities: str, given: Any, wanted: str) -> None:
    found = tuple(Verdict("v", Severity[name], "r") for name in severities.split())
    event = pagerduty(Decision("own", "r", verdicts=found), routing_key="R", severity=given)
    assert event["payload"]["severity"] == wanted


def test_keys_that_are_long_or_missing_in_pagerduty() -> None:
    one, other = ("k" * 300 + end for end in "ab")
    keys = [
        pagerduty(Decision("own", "r", key=k), routing_key="R")["dedup_key"] for k in (one, other)
    ]
    assert len({*keys}) == 2
    assert "dedup_key" not in pagerduty(Decision("own", "r"), routing_key="R")
    with pytest.raises(ConfigurationError, match=r"decision\.key"):
        pagerduty(Decision(Action.RESOLVE, "r"), routing_key="R")


def test_what_would_deceive_a_terminal_is_spelt_out() -> None:
    evil = "x\x1b[2J\u202e\ud800"
    verdict = Verdict("v", Severity.BREACH, evil)
    subject = {"service": evil, "model": evil, evil: evil}
    odd = Decision(evil, evil, key=evil, subject=subject, verdicts=(verdict,), policy_digest=evil)
    for sent in (slack(odd), pagerduty(odd, routing_key="R"), alertmanager(odd)):
        written = json.dumps(sent, ensure_ascii=False)
        assert not re.search("[\x1b\u202e\ud800]", written.replace("\\u001b", "\x1b"))
        assert r"x\\x1b[2J\\u202e\\ud800" in written


def test_pagerduty_refuses_bad_arguments() -> None:
    with pytest.raises(ConfigurationError, match="routing_key"):
        pagerduty(ALERT, routing_key=" ")
    with pytest.raises(ConfigurationError, match="severity"):
        pagerduty(ALERT, routing_key="R", severity="page")  # type: ignore[arg-type]


def test_alertmanager_has_the_same_labels_for_an_alert_and_its_resolve() -> None:
    ((fired,), (over,)) = (
        alertmanager(each, labels={"severity": "page"}) for each in (ALERT, RESOLVE)
    )
    assert fired == {
        "labels": {
            "service": "eta",
            "model": "gbm",
            "environment": "prod",
            "pod_id": "7",
            "alertname": "MlguardDecision",
            "severity": "page",
            "key": "0c1d",
        },
        "annotations": {
            "summary": "ALERT service=eta model=gbm environment=prod pod-id=7: latency: p99 is BREACH",
            "description": "BREACH  p99 = 61 ms: above the limit of 50 ms",
            "action": "alert",
            "verdict": "BREACH",
            "policy_digest": "aa",
        },
        "startsAt": "2023-11-14T22:14:20Z",
        "endsAt": "2023-11-21T22:14:20Z",
    }
    assert over["labels"] == fired["labels"]
    assert "startsAt" not in over
    assert over["endsAt"] == "2023-11-14T22:15:20Z"


def test_alertmanager_without_a_time() -> None:
    (alert,) = alertmanager(Decision(Action.ALERT, "r"))
    assert alert.keys() == {"labels", "annotations"}
    with pytest.raises(ConfigurationError, match=r"decision\.at"):
        alertmanager(Decision(Action.RESOLVE, "r", key="k"))


def test_labels_are_spelt_as_prometheus_spells_them() -> None:
    odd = {"9lives": "a", "größe": "b", "empty": "", "alertname": "mine", "key": "mine"}
    (alert,) = alertmanager(
        Decision("own", "r", subject=odd, key="k"), labels={"alertname": "Drift"}
    )
    assert alert["labels"] == {"_9lives": "a", "gr__e": "b", "alertname": "Drift", "key": "k"}


SERVER = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")


@pytest.mark.skipif(SERVER is None, reason="alertmanager is not on the PATH")
def test_the_real_alertmanager_takes_an_alert_and_its_resolve(tmp_path: Path) -> None:
    assert SERVER is not None
    with socket.create_server(("127.0.0.1", 0)) as probe:
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    (tmp_path / "am.yml").write_text("route: {receiver: nobody}\nreceivers: [{name: nobody}]\n")
    options = ["--config.file=am.yml", "--storage.path=am", "--cluster.listen-address="]
    log = (tmp_path / "log").open("wb")
    server = subprocess.Popen(
        [SERVER, f"--web.listen-address={address}", *options], cwd=tmp_path, stdout=log, stderr=log
    )

    def firing() -> list[Any]:
        with urllib.request.urlopen(f"http://{address}/api/v2/alerts", timeout=5) as answer:
            found: list[Any] = json.load(answer)
            return found

    try:
        send = partial(webhook, f"http://{address}/api/v2/alerts", retries=100, longest_wait=0.1)
        now = time.time()
        odd = {"service": "größer <&>", "pod-id": "7"}
        alert = Decision(Action.ALERT, "r", key="k", at=now - 86_400.0, subject=odd)
        send(payload=alertmanager)(alert)
        (found,) = firing()
        assert found["labels"] == alertmanager(alert)[0]["labels"]
        assert found["status"]["state"] in {"active", "unprocessed"}
        over = Decision(Action.RESOLVE, "r", key="k", at=now - 60.0, subject=odd)
        send(payload=alertmanager)(over)
        assert firing() == []
    finally:
        server.terminate()
        server.wait()
        log.close()
