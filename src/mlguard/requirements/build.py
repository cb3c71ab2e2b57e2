"""From a document to its guards: what runs, what it needs, what it keeps of the one before."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from mlguard.arguments import refusal
from mlguard.checks import ask
from mlguard.errors import ConfigurationError
from mlguard.performance.outcomes import Outcomes
from mlguard.policies.guards import guard
from mlguard.requirements.gates import held
from mlguard.requirements.watching import DriftGuard

if TYPE_CHECKING:
    from mlguard.budgets.cost import CostBudget
    from mlguard.budgets.errors import ErrorBudget
    from mlguard.budgets.latency import LatencyBudget
    from mlguard.budgets.streams import StreamLatency
    from mlguard.budgets.unit_cost import UnitCost
    from mlguard.drift.reference import Reference
    from mlguard.governance.ledger import Ledger
    from mlguard.policies.ladder import ResponsePolicy
    from mlguard.protocols import Check, Clock, Sink
    from mlguard.requirements.model import Requirements
    from mlguard.values import Decision, Verdict

T = TypeVar("T")

_logger = logging.getLogger("mlguard")


@dataclass(frozen=True, slots=True)
class Given:
    """What the guards work with. Immutable.

    Attributes:
        reference: What data is compared with.
        store: Where spend and votes are kept.
        ledger: Where decisions and reloads are recorded.
        sinks: What takes decisions, the ledger included.
        clock: Of Unix seconds.
    """

    reference: Reference | None
    store: Any
    ledger: Ledger | None
    sinks: tuple[Sink, ...]
    clock: Clock

    def missing(self, wanted: Requirements) -> list[str]:
        """Name what a document needs and was not given."""
        capped = wanted.cost is not None and wanted.cost.cap is not None
        needs = (
            ("reference", self.reference, wanted.drift is not None, "drift"),
            ("store", self.store, capped, "cost.cap"),
        )
        return [
            str(refusal(name, None, f"given: the document asks for {section}"))
            for name, value, needed, section in needs
            if needed and value is None
        ]


@dataclass(frozen=True, slots=True)
class Running:
    """The guards of one document. Immutable; what it holds has its own rules.

    Attributes:
        wanted: The document.
        checks: By name, each with its name and the service on its verdicts.
        moves: Meters that go on counting, each with one whose limits it takes.
        hands: The policy of responses before, where it is another, and who goes on with it.
        kept: Names of the meters that went on counting.
        begun: Of those that began anew, each with why.
    """

    wanted: Requirements
    latency: LatencyBudget | StreamLatency | None = None
    errors: ErrorBudget | None = None
    cost: CostBudget | None = None
    unit_cost: UnitCost | None = None
    drift: DriftGuard | None = None
    performance: Outcomes | None = None
    respond: ResponsePolicy | None = None
    moves: tuple[tuple[Any, Any], ...] = ()
    hands: tuple[ResponsePolicy, ResponsePolicy | None] | None = None
    kept: tuple[str, ...] = ()
    begun: tuple[str, ...] = ()

    def move(self) -> list[Decision]:
        """Let what goes on take its new limits; resolve alerts that nobody goes on with."""
        for meter, other in self.moves:
            meter.take_limits(other)
        return [] if self.hands is None else self.hands[0].hand_over(self.hands[1])

    @property
    def checks(self) -> dict[str, Check]:
        """The checks, by name."""
        found: dict[str, Check | None] = {
            "latency": self.latency,
            "errors": self.errors,
            "cost": self.cost,
            "unit_cost": self.unit_cost,
            "drift": self.drift,
            "performance": None,
        }
        section = self.wanted.performance
        limit = None if section is None else section.limit
        if self.performance is not None and limit is not None:
            found["performance"] = guard(self.performance, held(limit), name="performance")
        return {name: check for name, check in found.items() if check is not None}

    @property
    def elsewhere(self) -> set[str]:
        """Names of the verdicts that the document needs and that nothing here gives."""
        section = self.wanted.performance
        needed: set[str] = {name for rule in self.wanted.respond for name in rule.when}
        if section is not None and section.limit is not None and section.labels_after is not None:
            needed.add("performance")
        return needed - self.checks.keys()

    def ask(self, name: str) -> Verdict:
        """Ask one of the checks, by its name in the document."""
        verdict = ask(self.checks[name])
        subject = {**verdict.subject, "service": self.wanted.service}
        return replace(verdict, name=name, subject=subject)


def built(wanted: Requirements, given: Given, before: Running | None = None) -> Running:
    """Make the guards of a document; what has its shape from before goes on counting.

    Raises:
        ConfigurationError: Something that it needs is missing; the message names all of it.
    """
    if missing := given.missing(wanted):
        raise ConfigurationError("\n".join(missing))
    builder, clock = _Builder(wanted, given, before), given.clock
    parts: dict[str, Any] = {
        "latency": builder.counting(
            "latency", "latency", wanted.latency and wanted.latency.make(clock)
        ),
        "errors": builder.counting("errors", "errors", wanted.errors and wanted.errors.make(clock)),
        "cost": builder.cost(),
        "unit_cost": builder.counting(
            "unit_cost", "cost", wanted.cost and wanted.cost.unit_cost(clock)
        ),
        "drift": builder.drift(),
        "performance": builder.performance(),
        "respond": builder.respond(),
        "hands": builder.hands,
    }
    parts |= {name: tuple(getattr(builder, name)) for name in ("moves", "kept", "begun")}
    return Running(wanted, **parts)


class _Builder:
    """Keeps what goes on from before. Not thread-safe: it builds once."""

    __slots__ = ("before", "begun", "given", "hands", "kept", "moves", "wanted")

    def __init__(self, wanted: Requirements, given: Given, before: Running | None) -> None:
        self.wanted = wanted
        self.given = given
        self.before = before
        self.moves: list[tuple[Any, Any]] = []
        self.hands: tuple[ResponsePolicy, ResponsePolicy | None] | None = None
        self.kept: list[str] = []
        self.begun: list[str] = []

    def _noted(self, name: str, new: T | None, carry: Callable[[Any], T | None], why: str) -> Any:
        """Give what goes on from before, or else the new one; note which."""
        if new is None:
            return None
        was = None if self.before is None else getattr(self.before, name)
        found = None if was is None else carry(was)
        if found is None:
            self.begun.append(name if was is None else f"{name}: {why}")
            return new
        self.kept.append(name)
        return found

    def _same(self, section: str) -> bool:
        """Tell whether a section is as before."""
        before = None if self.before is None else self.before.wanted
        return before is not None and getattr(before, section) == getattr(self.wanted, section)

    def counting(self, name: str, section: str, new: Any) -> Any:
        """Keep the counts of a budget whose windows are the same."""

        def carry(was: Any) -> Any:
            if not was.fits(new):
                return None
            if not self._same(section):
                self.moves.append((was, new))
            return was

        was = None if self.before is None else getattr(self.before, name)
        why = "its window is another" if name != "unit_cost" else "its currency is another"
        why = why if type(was) is type(new) else "it is another kind of limit"
        return self._noted(name, new, carry, why)

    def cost(self) -> CostBudget | None:
        """Keep the account of what was spent, which is in the store."""
        wanted, given = self.wanted, self.given
        section = wanted.cost
        if section is None or section.cap is None:
            return None
        name = f"{wanted.service} in {section.cap.currency}"  # so that currencies never meet
        new = section.budget(name, store=given.store, sinks=given.sinks, clock=given.clock)

        def carry(was: CostBudget) -> CostBudget | None:
            if self._same("cost") and self._same("service"):
                return was
            return new if new is not None and was.account(None) == new.account(None) else None

        why = "its account is another, by window or currency"
        why = why if self._same("service") else "another service has a bill of its own"
        made: CostBudget = self._noted("cost", new, carry, why)
        return made

    def drift(self) -> DriftGuard | None:
        """Keep the profile: lines may move."""
        reference, section = self.given.reference, self.wanted.drift
        if section is None or reference is None:
            return None
        if odd := sorted({*section.must_be_conclusive} - {*reference.columns}):
            allowed = f"columns of the reference: {reference.columns}"
            raise refusal("drift.must_be_conclusive", odd, allowed)

        def carry(was: DriftGuard) -> DriftGuard:
            return DriftGuard(reference, section, profile=was.profile)

        made: DriftGuard = self._noted("drift", DriftGuard(reference, section), carry, "")
        return made

    def performance(self) -> Outcomes | None:
        """Keep the outcomes while metric and delay are the same."""
        section = self.wanted.performance
        if section is None or not section.live or section.labels_after is None:
            return None
        delay, metric = section.labels_after, section.metric
        new = Outcomes(delay, loss=metric, clock=self.given.clock)

        def carry(was: Outcomes) -> Outcomes | None:
            old = self.before and self.before.wanted.performance
            return was if old and (old.metric, old.labels_after) == (metric, delay) else None

        made: Outcomes = self._noted("performance", new, carry, "its metric or delay is another")
        return made

    def respond(self) -> ResponsePolicy | None:
        """Keep the episodes of responses that are the same, and the cool-downs of the others."""
        new = self.wanted.policy(self.given.clock)
        was = None if self.before is None else self.before.respond
        if was is None:
            self.begun += ["respond"] * (new is not None)
        elif not self._same("service"):
            self.hands = was, None
            self.begun += ["respond: the service is another"] * (new is not None)
        elif new is not None and was.digest == new.digest:
            self.kept.append("respond")
            return was
        else:
            self.hands = was, new
            for each in () if new is None else new.responses:
                if any(map(each.judges_as, was.responses)):
                    self.kept.append(f"respond, {each.name}")
                else:
                    self.begun.append(f"respond, {each.name}: its condition is another")
        return new


def sinks_of(sinks: Sequence[Sink], ledger: Ledger | None) -> tuple[Sink, ...]:
    """Give the sinks of decisions: those given, and the ledger.

    Raises:
        ConfigurationError: The ledger is none.
    """
    if ledger is not None and not callable(getattr(ledger, "append", None)):
        raise refusal("ledger", ledger, "a Ledger, or None")
    return (*sinks, *([] if ledger is None else [ledger.append]))


def refreshed(cost: CostBudget) -> str:
    """Look at what is spent; say why it is not known, where the store does not answer."""
    try:
        cost.refresh()
    except Exception as error:
        _logger.exception("%s: what is spent is not known", cost.name)
        return f"what is spent is not known: the store failed with {error!r}"
    return ""
