"""Whether configs meet the requirements, before anything is deployed."""

from __future__ import annotations

from mlguard.lint.baseline import baseline, known
from mlguard.lint.findings import Finding, Judgement, LintReport, Place, Rule
from mlguard.lint.intent import Fact, Replicas, ServingIntent
from mlguard.lint.kinds import Given, Kind
from mlguard.lint.linting import lint
from mlguard.lint.nodes import Node
from mlguard.lint.patches import Operation, Patch
from mlguard.lint.read import Document, read
from mlguard.lint.rules import Look
from mlguard.lint.trees import Unknown
from mlguard.lint.waivers import RuleWaiver, read_waivers, waive

__all__ = [
    "Document",
    "Fact",
    "Finding",
    "Given",
    "Judgement",
    "Kind",
    "LintReport",
    "Look",
    "Node",
    "Operation",
    "Patch",
    "Place",
    "Replicas",
    "Rule",
    "RuleWaiver",
    "ServingIntent",
    "Unknown",
    "baseline",
    "known",
    "lint",
    "read",
    "read_waivers",
    "waive",
]
