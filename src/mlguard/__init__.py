"""Guardrail primitives for machine learning in production.

One idea: a check is any callable without arguments that gives a `Verdict`. Detectors, budgets,
canaries and approvals end in a check; combinators take checks and give checks.
"""

from __future__ import annotations

import logging
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlguard.budgets.alerts import BurnAlert
    from mlguard.budgets.cost import CostBudget
    from mlguard.budgets.errors import ErrorBudget
    from mlguard.budgets.keyed import Keyed
    from mlguard.budgets.latency import LatencyBudget
    from mlguard.budgets.money import Money
    from mlguard.budgets.prices import Price, PriceBook
    from mlguard.budgets.reservations import Reservation, Reservations, reserve_all
    from mlguard.budgets.streams import StreamLatency
    from mlguard.budgets.unit_cost import UnitCost, fleet_cost
    from mlguard.budgets.windows import Calendar, Rolling, Window
    from mlguard.drift.profile import Profile, Sampled
    from mlguard.drift.reference import Reference
    from mlguard.drift.report import DriftReport
    from mlguard.errors import (
        BudgetExceeded,
        ConfigurationError,
        GuardBreached,
        GuardUnknown,
        LedgerCorrupted,
        MissingDependencyError,
        MlguardError,
        StateConflict,
        UnknownCost,
    )
    from mlguard.governance.approval_check import approved
    from mlguard.governance.approvals import Approvals
    from mlguard.governance.documents import model_card, runbook
    from mlguard.governance.ledger import Ledger
    from mlguard.governance.requests import ApprovalRequest, Principal, Quorum
    from mlguard.policies.combine import best, lenient, quorum, strict, worst
    from mlguard.policies.delivery import deliver, once
    from mlguard.policies.guards import guard, labelled, measured, shielded, waived
    from mlguard.policies.hysteresis import hysteresis
    from mlguard.policies.ladder import ResponsePolicy, default_ladder
    from mlguard.policies.responses import Response
    from mlguard.policies.sustained import sustained
    from mlguard.policies.thresholds import at_least, at_most, between, require
    from mlguard.policies.timing import cached
    from mlguard.protocols import Check, Clock, Measure, Meter, Policy, Sink, Store
    from mlguard.requirements import Guards, Requirements
    from mlguard.rollout.assignment import Splitter
    from mlguard.rollout.engine import RollbackEngine
    from mlguard.rollout.guardrails import Guardrail
    from mlguard.rollout.plan import BlastRadius, RollbackPlan
    from mlguard.rollout.replay import replay
    from mlguard.sharing import checkout, gather, publish
    from mlguard.sketches.histogram import Histogram
    from mlguard.stores.memory import MemoryStore
    from mlguard.stores.sqlite import SqliteStore
    from mlguard.values import Action, Decision, Measurement, Severity, Verdict, Waiver

    __version__: str

__all__ = [
    "Action",
    "ApprovalRequest",
    "Approvals",
    "BlastRadius",
    "BudgetExceeded",
    "BurnAlert",
    "Calendar",
    "Check",
    "Clock",
    "ConfigurationError",
    "CostBudget",
    "Decision",
    "DriftReport",
    "ErrorBudget",
    "GuardBreached",
    "GuardUnknown",
    "Guardrail",
    "Guards",
    "Histogram",
    "Keyed",
    "LatencyBudget",
    "Ledger",
    "LedgerCorrupted",
    "Measure",
    "Measurement",
    "MemoryStore",
    "Meter",
    "MissingDependencyError",
    "MlguardError",
    "Money",
    "Policy",
    "Price",
    "PriceBook",
    "Principal",
    "Profile",
    "Quorum",
    "Reference",
    "Requirements",
    "Reservation",
    "Reservations",
    "Response",
    "ResponsePolicy",
    "RollbackEngine",
    "RollbackPlan",
    "Rolling",
    "Sampled",
    "Severity",
    "Sink",
    "Splitter",
    "SqliteStore",
    "StateConflict",
    "Store",
    "StreamLatency",
    "UnitCost",
    "UnknownCost",
    "Verdict",
    "Waiver",
    "Window",
    "approved",
    "at_least",
    "at_most",
    "best",
    "between",
    "cached",
    "checkout",
    "default_ladder",
    "deliver",
    "fleet_cost",
    "gather",
    "guard",
    "hysteresis",
    "labelled",
    "lenient",
    "measured",
    "model_card",
    "once",
    "publish",
    "quorum",
    "replay",
    "require",
    "reserve_all",
    "runbook",
    "shielded",
    "strict",
    "sustained",
    "waived",
    "worst",
]

_HOMES = {
    "budgets.alerts": "BurnAlert",
    "budgets.cost": "CostBudget",
    "budgets.errors": "ErrorBudget",
    "budgets.keyed": "Keyed",
    "budgets.latency": "LatencyBudget",
    "budgets.money": "Money",
    "budgets.prices": "Price PriceBook",
    "budgets.reservations": "Reservation Reservations reserve_all",
    "budgets.streams": "StreamLatency",
    "budgets.unit_cost": "UnitCost fleet_cost",
    "budgets.windows": "Calendar Rolling Window",
    "drift.profile": "Profile Sampled",
    "drift.reference": "Reference",
    "drift.report": "DriftReport",
    "errors": (
        "BudgetExceeded ConfigurationError GuardBreached GuardUnknown LedgerCorrupted "
        "MissingDependencyError MlguardError StateConflict UnknownCost"
    ),
    "governance.approval_check": "approved",
    "governance.approvals": "Approvals",
    "governance.documents": "model_card runbook",
    "governance.ledger": "Ledger",
    "governance.requests": "ApprovalRequest Principal Quorum",
    "policies.combine": "best lenient quorum strict worst",
    "policies.delivery": "deliver once",
    "policies.guards": "guard labelled measured shielded waived",
    "policies.hysteresis": "hysteresis",
    "requirements": "Guards Requirements",
    "rollout.assignment": "Splitter",
    "rollout.engine": "RollbackEngine",
    "rollout.guardrails": "Guardrail",
    "rollout.plan": "BlastRadius RollbackPlan",
    "rollout.replay": "replay",
    "policies.ladder": "ResponsePolicy default_ladder",
    "policies.responses": "Response",
    "policies.sustained": "sustained",
    "policies.thresholds": "at_least at_most between require",
    "policies.timing": "cached",
    "protocols": "Check Clock Measure Meter Policy Sink Store",
    "sharing": "checkout gather publish",
    "sketches.histogram": "Histogram",
    "stores.memory": "MemoryStore",
    "stores.sqlite": "SqliteStore",
    "values": "Action Decision Measurement Severity Verdict Waiver",
}
_HOME_OF = {name: f"mlguard.{home}" for home, names in _HOMES.items() for name in names.split()}

logging.getLogger("mlguard").addHandler(logging.NullHandler())


if not TYPE_CHECKING:  # a type checker would take any name for one of ours

    def __getattr__(name: str) -> Any:
        if name == "__version__":
            from mlguard.records import library_version  # noqa: PLC0415 -- few need it

            value: Any = library_version()
        elif name in _HOME_OF:
            value = getattr(import_module(_HOME_OF[name]), name)
        else:
            message = f"module 'mlguard' has no attribute {name!r}"
            raise AttributeError(message)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "__version__"})
