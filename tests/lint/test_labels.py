from __future__ import annotations

import json
from pathlib import Path

import pytest

from mlguard import Requirements
from mlguard.lint import lint

CONFIGS = Path(__file__).parents[3] / "shared" / "configs"
LABELS = json.loads(Path(__file__).with_name("labels.json").read_text())
TOPICS = {"SC": "scale", "RS": "resources", "PB": "probes", "IM": "image"}
"""By the letters of a rule, the label that its findings answer, beside the requirements."""
WANTED = Requirements.model_validate(
    {
        "version": 1,
        "service": "eta",
        "latency": {"p99": "1000 s"},  # the labels ask for a limit, not for a number
        "drift": {},
        "cost": {"cap": "500 USD", "window": "day"},
        "rollout": {"rollback_on_error": True},
    }
)


def unmet(file: Path) -> set[str]:
    report = lint(file, WANTED)
    states = {name for name, state in report.requirements.items() if state == "unmet"}
    found = {each.rule.id.removeprefix("MLG-")[:2] for each in report.findings if not each.doubt}
    return states | {TOPICS[letters] for letters in found & TOPICS.keys()}


@pytest.mark.skipif(not CONFIGS.is_dir(), reason="the sample configs are not beside this clone")
def test_what_is_called_unmet_is_what_a_reviewer_calls_unmet() -> None:
    hits, told, labelled = 0, 0, 0
    for name, labels in LABELS.items():
        ours = unmet(CONFIGS / name)
        theirs = {topic for topic, state in labels.items() if state == "unmet"}
        hits += len(ours & theirs)
        told += len(ours)
        labelled += len(theirs)
    assert hits / told >= 0.95
    assert hits / labelled >= 0.90


def test_the_labels_name_every_topic_with_a_state() -> None:
    topics = ["rollback", "drift", "cost", "latency", "scale", "resources", "probes", "image"]
    for labels in LABELS.values():
        assert list(labels) == topics
        assert set(labels.values()) <= {"met", "unmet", "unknown"}
