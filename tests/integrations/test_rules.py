"""The alerts: what Prometheus itself says of the file, and when it would fire."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from mlguard import BurnAlert, Calendar, Check, ConfigurationError, ErrorBudget, Keyed
from mlguard.integrations.prometheus import rules
from mlguard.testing import ScriptedCheck

PROMTOOL = shutil.which("promtool")
promtool = pytest.mark.skipif(PROMTOOL is None, reason="promtool is not on the PATH")

CHECKS: dict[str, Check] = {"errors": ErrorBudget(0.999), "gate": ScriptedCheck("OK")}
JOB = {"job": "scoring"}


def runs(folder: Path, *arguments: str) -> None:
    """Run promtool, or fail with what it says."""
    found = subprocess.run(
        [str(PROMTOOL), *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stdout + found.stderr


@promtool
@pytest.mark.parametrize(
    ("checks", "options"),
    [
        (CHECKS, {}),
        (CHECKS, {"match": JOB, "by": ()}),
        (CHECKS, {"match": {"env": 'it\'s "x" \\ {{y}}: é'}, "by": ["job", "instance"]}),
        (CHECKS, {"for_": 0.5, "unknown_for": 5400, "stale": timedelta(days=2)}),
        ({"a": ErrorBudget(0.99), 'it\'s "b" \\ : # é': ErrorBudget(0.99)}, {}),
        ({"month": ErrorBudget(0.999, period=Calendar("month", tz="Europe/Berlin"))}, {}),
        ({"tenants": Keyed(lambda: ErrorBudget(0.9995, period=timedelta(days=7)))}, {}),
    ],
)
def test_promtool_accepts_the_file(tmp_path: Path, checks: Any, options: Any) -> None:
    (tmp_path / "rules.yml").write_text(rules(checks, **options), encoding="utf-8")
    runs(tmp_path, "check", "rules", "--lint=all", "--lint-fatal", "rules.yml")


def test_the_burn_rates_are_those_of_the_budget() -> None:
    text = rules({"errors": ErrorBudget(0.999)})
    for window, short, limit in [
        ("1h", "5m", "0.0144"),
        ("6h", "30m", "0.006"),
        ("1d", "2h", "0.003"),
        ("3d", "6h", "0.001"),
    ]:
        assert f"[{window}]" in text
        assert f"[{short}]" in text
        assert f"> {limit}\n" in text
    week = rules(
        {
            "errors": ErrorBudget(
                0.99,
                period=timedelta(days=7),
                min_bad_events=9,
                alerts=[BurnAlert(0.08, timedelta(hours=1))],
            )
        }
    )
    assert "> 0.1344\n" in week  # 13.44, as Sloth has it for 7 days, times 1 %
    assert ">= 9\n" in week


def test_a_family_has_the_alerts_of_its_members() -> None:
    tenants = Keyed(lambda: ErrorBudget(0.999))
    text = rules({"tenants": tenants})
    assert text.count("MlguardErrorBudgetBurn") == 4
    assert len(tenants) == 0
    assert rules({"tenants": tenants + tenants}) == text
    tenants["acme"].observe(good=True)
    assert rules({"tenants": Keyed.from_json(tenants.to_json())}) == text


def test_a_check_that_is_no_error_budget_has_no_burn_rate() -> None:
    assert "Burn" not in rules({"gate": ScriptedCheck("OK")})


@pytest.mark.parametrize(
    "wrong",
    [{"match": {"a-b": "x"}}, {"match": {"check": "x"}}, {"match": {"job": 3}}, {"match": {"job": "a\n"}}, {"match": "job"},
     {"by": "job"}, {"by": ["key"]}, {"by": [3]}, {"stale": 0}, {"for_": -1}, {"unknown_for": "1h"}],
)  # fmt: skip
def test_what_is_no_label_or_duration_is_refused(wrong: Mapping[str, Any]) -> None:
    (name,) = wrong
    with pytest.raises(ConfigurationError, match=name):
        rules(CHECKS, **wrong)


# What fires, and when: promtool plays series of one value a minute.


def fires(folder: Path, text: str, series: Mapping[str, str], at: str) -> list[str]:
    """Give the names of the alerts that fire: promtool is told that none will, and names them."""
    test = {
        "rule_files": ["rules.yml"],
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": name, "values": series[name]} for name in series],
                "promql_expr_test": [
                    {"expr": 'ALERTS{alertstate="firing"}', "eval_time": at, "exp_samples": []}
                ],
            }
        ],
    }
    (folder / "rules.yml").write_text(text, encoding="utf-8")
    (folder / "test.yml").write_text(json.dumps(test), encoding="utf-8")  # JSON is YAML
    command = [str(PROMTOOL), "test", "rules", "test.yml"]
    found = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    said = found.stdout + found.stderr
    names = re.findall(r'alertname=\\?"(\w+)', said)
    assert bool(names) == bool(found.returncode), said
    return sorted(names)


SEVERITY = 'mlguard_severity{job="scoring", instance="%s", check="gate"%s}'
STAMP = 'mlguard_last_evaluation_timestamp_seconds{job="scoring", instance="%s", check="%s"}'
EVALUATED = {STAMP % ("a", "gate"): "0+60x6000"}
COUNTER = 'mlguard_%s_total{job="scoring", instance="%s", check="errors"}'
GATE = {"gate": ScriptedCheck("OK")}


@promtool
@pytest.mark.parametrize(
    ("values", "at", "expected"),
    [
        ("0x200", "90m", []),
        ("3x200", "90m", ["MlguardBreach"]),
        ("0x10 3x200", "11m", []),  # it has lasted no minute
        ("3x10 0x200", "20m", []),
        ("2x200", "90m", ["MlguardWarning"]),
        ("1x200", "50m", []),
        ("1x200", "90m", ["MlguardUnknown"]),
    ],
)
def test_severity(tmp_path: Path, values: str, at: str, expected: list[str]) -> None:
    series = {SEVERITY % ("a", ""): values, SEVERITY % ("b", ""): "0x200", **EVALUATED}
    assert fires(tmp_path, rules(GATE, match=JOB), series, at) == expected


@promtool
def test_the_severity_of_a_key_is_that_of_its_family(tmp_path: Path) -> None:
    series = {SEVERITY % ("a", ""): "0x200", SEVERITY % ("a", ', key="acme"'): "3x200", **EVALUATED}
    assert fires(tmp_path, rules(GATE), series, "90m") == []


@promtool
def test_an_error_budget_that_is_unknown_is_no_news(tmp_path: Path) -> None:
    remaining = 'mlguard_error_budget_remaining_ratio{job="scoring", instance="a", check="gate"}'
    series = {SEVERITY % ("a", ""): "1x200", remaining: "0.5x200", **EVALUATED}
    assert fires(tmp_path, rules(GATE, match=JOB), series, "90m") == []


@promtool
@pytest.mark.parametrize(
    ("stamps", "at", "expected"),
    [
        ({"a": "0+60x100"}, "50m", []),
        ({"a": "0+60x20 1200x100"}, "24m", []),
        ({"a": "0+60x20 1200x100"}, "30m", ["MlguardNotEvaluated"]),
        ({"a": "0x100"}, "10m", ["MlguardNotEvaluated"]),  # never was
        ({"a": "0+60x20 1200x100", "b": "0+60x100"}, "30m", []),  # b does
        ({"a": "0+60x20 _x100"}, "22m", []),
        ({"a": "0+60x20 _x100"}, "40m", ["MlguardAbsent"]),
        ({}, "2m", []),
        ({}, "10m", ["MlguardAbsent"]),
    ],
)
def test_a_guard_that_stopped_being_evaluated(
    tmp_path: Path, stamps: Mapping[str, str], at: str, expected: list[str]
) -> None:
    series = {STAMP % (instance, "gate"): values for instance, values in stamps.items()}
    other = {'up{job="scoring"}': "1x100"}
    assert fires(tmp_path, rules(GATE, match=JOB), {**series, **other}, at) == expected


@promtool
def test_each_instance_for_itself(tmp_path: Path) -> None:
    series = {STAMP % ("a", "gate"): "0+60x20 1200x100", STAMP % ("b", "gate"): "0+60x100"}
    text = rules(GATE, by=("job", "instance"))
    assert fires(tmp_path, text, series, "30m") == ["MlguardNotEvaluated"]


@promtool
def test_another_job_does_not_stand_in_for_one_that_is_gone(tmp_path: Path) -> None:
    series = {(STAMP % ("a", "gate")).replace("scoring", "other"): "0+60x100"}
    assert fires(tmp_path, rules(GATE, match=JOB), series, "30m") == ["MlguardAbsent"]


@promtool
@pytest.mark.parametrize(
    ("bad", "requests", "at", "expected"),
    [
        ("0x400", "0+100x400", "120m", []),
        ("0+0.1x400", "0+100x400", "120m", []),  # at its SLO exactly
        (
            "0x120 0+2x200",
            "0+100x400",
            "125m",
            [],  # 2 % for 5 minutes is 10 bad, of 6,000 in the hour
        ),
        ("0x120 0+2x200", "0+100x400", "180m", ["MlguardErrorBudgetBurn"]),
        ("0x120 0+2x60 120x200", "0+100x400", "190m", []),  # over: so is the short window
        ("0x60 0+1x4 4x400", "0+0.2x400", "66m", []),  # 4 bad of 14 requests are too few to tell
        ("0x60 0+1x5 5x400", "0+0.2x400", "67m", ["MlguardErrorBudgetBurn"]),
    ],
)
def test_burning(tmp_path: Path, bad: str, requests: str, at: str, expected: list[str]) -> None:
    alerts = [BurnAlert(0.02, timedelta(hours=1))]
    budget = {"errors": ErrorBudget(0.999, alerts=alerts)}
    series = {COUNTER % ("bad_requests", "a"): bad, COUNTER % ("requests", "a"): requests}
    stamp = {STAMP % ("a", "errors"): "0+60x400"}
    assert fires(tmp_path, rules(budget, match=JOB), {**series, **stamp}, at) == expected


@promtool
def test_instances_burn_one_budget_and_a_restart_is_no_burn(tmp_path: Path) -> None:
    budget = {"errors": ErrorBudget(0.999, alerts=[BurnAlert(0.02, timedelta(hours=1))])}
    stamp = {STAMP % ("a", "errors"): "0+60x400"}
    diluted = {
        COUNTER % ("bad_requests", "a"): "0+2x400",
        COUNTER % ("requests", "a"): "0+100x400",
        COUNTER % ("bad_requests", "b"): "0x400",
        COUNTER % ("requests", "b"): "0+900x400",
    }
    assert fires(tmp_path, rules(budget), {**diluted, **stamp}, "180m") == []
    restarted = {
        COUNTER % ("bad_requests", "a"): "5000x100 0x300",
        COUNTER % ("requests", "a"): "100000+100x100 0+100x300",
    }
    assert fires(tmp_path, rules(budget), {**restarted, **stamp}, "105m") == []
