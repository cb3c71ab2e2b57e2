"""The running guards of a requirements document."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Self

from mlguard.arguments import refusal, seconds
from mlguard.clocks import unix_clock
from mlguard.errors import MlguardError
from mlguard.locks import Locked
from mlguard.policies.delivery import deliver
from mlguard.requirements.build import Given, Running, built, refreshed, sinks_of
from mlguard.requirements.gates import gate_of
from mlguard.requirements.model import Requirements
from mlguard.requirements.releasing import desk_of, engine_of
from mlguard.requirements.reloading import ReloadReport, applied, read
from mlguard.requirements.remembering import Memory, resumed, state_of
from mlguard.values import Measurement, Severity, Verdict, combined

if TYPE_CHECKING:
    from mlguard.budgets.cost import CostBudget
    from mlguard.budgets.errors import ErrorBudget
    from mlguard.budgets.latency import LatencyBudget
    from mlguard.budgets.streams import StreamLatency
    from mlguard.budgets.unit_cost import UnitCost
    from mlguard.drift.reference import Reference
    from mlguard.governance.approval_check import Approved
    from mlguard.governance.approvals import Approvals, Authenticate
    from mlguard.governance.ledger import Ledger
    from mlguard.performance.outcomes import Outcomes
    from mlguard.policies.ladder import ResponsePolicy
    from mlguard.protocols import Check, Clock, Sink
    from mlguard.requirements.watching import DriftGuard
    from mlguard.rollout.engine import RollbackEngine
    from mlguard.values import Decision


_logger = logging.getLogger("mlguard")


class Guards(Locked):
    """What a requirements document asks for, running. Thread-safe.

    Per process, as its meters are; the spend is shared through the store. Made by `Guards.build`.
    Where the document may be reloaded, ask `guards.latency` anew each time: a reload may put
    another meter there.

    Examples:
        >>> from mlguard import Requirements
        >>> from mlguard.testing import ManualClock
        >>> wanted = Requirements.model_validate(
        ...     {"version": 1, "service": "fraud", "latency": {"p99": "50 ms"}}
        ... )
        >>> guards = Guards.build(wanted, clock=ManualClock(1_900_000_000))
        >>> guards.latency.observe_many([0.020] * 500 + [0.300] * 100)
        >>> print(guards.check().explain())
        BREACH  fraud: all 1 BREACH (latency)
          BREACH  latency service=fraud: p99 = ..., limit 50 ms, 600 requests in ...: too slow
    """

    __slots__ = ("_followers", "_given", "_memory", "_refused", "_running")

    def __init__(self, running: Running, given: Given, memory: Memory | None = None) -> None:
        super().__init__()
        self._running = running
        self._given = given
        self._refused = ""
        self._memory = memory or Memory(given.clock())
        self._followers: list[Callable[[Guards], object]] = []

    @classmethod
    def build(
        cls,
        requirements: Requirements,
        *,
        reference: Reference | None = None,
        store: Any = None,
        ledger: Ledger | None = None,
        sinks: Sequence[Sink] = (),
        clock: Clock | None = None,
    ) -> Self:
        """Make the guards of a document.

        Args:
            requirements: The document.
            reference: Saved with the model; needed where the document has `drift`.
            store: A `MemoryStore`, `SqliteStore` or `RedisStore`; needed for `cost.cap`.
            ledger: Takes decisions and reloads.
            sinks: Take decisions.
            clock: Of Unix seconds, `mlguard.clocks.unix_clock()` by default.

        Raises:
            ConfigurationError: What the document needs is missing; all of it is named.
        """
        if not isinstance(requirements, Requirements):
            raise refusal("requirements", requirements, "Requirements")
        given = Given(reference, store, ledger, sinks_of(sinks, ledger), clock or unix_clock())
        return cls(built(requirements, given), given)

    @property
    def requirements(self) -> Requirements:
        """The document that runs."""
        return self._running.wanted

    @property
    def latency(self) -> LatencyBudget | StreamLatency | None:
        """The budget of latency, if the document asks for one; so with the others."""
        return self._running.latency

    @property
    def errors(self) -> ErrorBudget | None:
        """The budget of errors."""
        return self._running.errors

    @property
    def cost(self) -> CostBudget | None:
        """The cap on what is spent."""
        return self._running.cost

    @property
    def unit_cost(self) -> UnitCost | None:
        """The limit on the cost of a million inferences."""
        return self._running.unit_cost

    @property
    def drift(self) -> DriftGuard | None:
        """What counts rows and compares them with the reference."""
        return self._running.drift

    @property
    def performance(self) -> Outcomes | None:
        """Where predictions and labels meet, if the metric is a mean with a known delay."""
        return self._running.performance

    @property
    def respond(self) -> ResponsePolicy | None:
        """The policy of what is done when."""
        return self._running.respond

    def verdicts(self) -> list[Verdict]:
        """Ask each check of the document, and stamp that it was asked."""
        return self._verdicts(self._running)

    def _verdicts(self, running: Running) -> list[Verdict]:
        found = [running.ask(name) for name in running.checks]
        at = self._given.clock()
        with self._lock:
            self._memory.stamps |= dict.fromkeys(running.checks, at)
        return found

    def check(self) -> Verdict:
        """Give the worst verdict: a check. It warns while a reload is refused. Without I/O."""
        service, refused = self.requirements.service, self._refused
        found = self.verdicts()
        if refused:
            reason = f"the new requirements were refused, the old ones run: {refused}"
            found.append(Verdict("requirements", Severity.WARN, reason))
        if not found:
            reason = "the document asks for nothing that can be checked here"
            return Verdict(service, Severity.UNKNOWN, reason)
        return combined(service, found, need=len(found))

    def stale(self, *, after: float | timedelta) -> Check:
        """Make a check that breaches when a guard was not asked for longer than `after`.

        So it does when a verdict that the document needs, and that nothing here gives, such as that
        on a metric which is no mean over rows, was not given to `decide` for so long.

        Args:
            after: In seconds or as a timedelta.
        """
        most = seconds("after", after)

        def fresh() -> Verdict:
            now = self._given.clock()
            with self._lock:
                names = [*self._running.checks, *self._running.elsewhere]
                memory = self._memory
                asked = {name: memory.stamps.get(name, memory.since) for name in names}
            late = sorted(name for name, at in asked.items() if now - at > most)
            if late:
                return Verdict("stale", Severity.BREACH, f"not asked lately: {', '.join(late)}")
            return Verdict("stale", Severity.OK, f"each was asked within {most:g} s")

        return fresh

    def decide(self, *verdicts: Verdict) -> list[Decision]:
        """Ask every check, decide by `respond`, and give the decisions to the sinks.

        It looks into the store for what is spent, and is for the one who decides for all replicas.
        It remembers episodes as long as these guards live: in jobs, `checkout` the guards.

        Args:
            verdicts: Those that are judged elsewhere, such as "estimated performance", or of all
                replicas together, as `gather` gives them: each takes the place of one's own.

        Raises:
            ExceptionGroup: Sinks failed. What was decided is not lost: the next call gives it again
                to every sink, and returns it.
        """
        decisions = None
        while decisions is None:  # where a reload came between, all is asked anew
            decisions = self._decided(self._running, {each.name: each for each in verdicts})
        try:
            deliver(decisions, *self._given.sinks)
        except ExceptionGroup:
            with self._lock:
                self._memory.owed = [*decisions, *self._memory.owed]
            raise
        return decisions

    def _decided(self, running: Running, given: dict[str, Verdict]) -> list[Decision] | None:
        cost, policy = running.cost, running.respond
        if cost is not None and (failed := refreshed(cost)) and "cost" not in given:
            given["cost"] = Verdict("cost", Severity.UNKNOWN, failed, at=self._given.clock())
        own = [each for each in self._verdicts(running) if each.name not in given]
        at = self._given.clock()
        with self._lock:
            if self._running is not running:
                return None
            memory = self._memory
            memory.stamps |= dict.fromkeys(given, at)
            new = [] if policy is None else policy.decide(*own, *given.values())
            decisions, memory.owed = [*memory.owed, *new], []
        return decisions

    def gate(
        self,
        *checks: Check,
        achieved: Measurement | None = None,
        change: Measurement | None = None,
    ) -> Check:
        """Make the gate of a candidate: its performance by labels, and checks of your own.

        A floor or ceiling must be kept by the whole interval of what is achieved: UNKNOWN where it
        contains the line, so that few rows do not pass. Without an interval the value counts.

        Args:
            checks: More that must be OK, such as an approval.
            achieved: What the candidate reaches, as `evaluate(...).overall`; needed where the
                document has a floor or ceiling.
            change: From champion to candidate, as `compare(...).overall`; needed where the document
                has `not_worse_by`.

        Raises:
            ConfigurationError: A measurement is missing or of another metric, or there is nothing
                to check.
        """
        return gate_of(self.requirements.performance, checks, achieved, change)

    def rollout(
        self,
        candidate: str | int | Mapping[str, str | int],
        *,
        environment: str | None = None,
        approval: Approved | None = None,
        subject_digest: str | None = None,
        state: Mapping[str, Any] | None = None,
        **settings: Any,
    ) -> RollbackEngine:
        """Make the engine that judges a candidate by the document's plan. Its evidence is its own.

        Without the approval that the document asks for there is no engine, so that the candidate
        gets not one request. The engine asks again before each further stage and the promotion: a
        revoked or expired approval holds it where it stands.

        Args:
            candidate: Its version, or what it is as a mapping.
            environment: Where it goes out; "production" by default, which has to be said where the
                document asks for approvals of others only. One that has none there needs none; a
                name much like one that has is refused.
            approval: `approved(request, votes)` of a request to "promote" there, by the digest of
                this document, with the votes of `approvals`; needed where the document asks.
            subject_digest: Of what goes out, taken from its bytes now, as `digest_path` gives;
                needed with an approval.
            state: What an earlier engine of the candidate, by the same plan, remembered. The votes
                are then first asked for at its next stage, and may be by an earlier digest of the
                document.
            settings: Others of `RollbackEngine`: `baseline`, `budget`, `journal`.

        Raises:
            ConfigurationError: The document has no rollout, or an argument is missing or not of its
                kind.
            GuardUnknown: The approval is pending.
            GuardBreached: It was refused, is over, or is of something else.
        """
        return engine_of(
            self.requirements,
            candidate,
            environment=environment,
            approval=approval,
            subject_digest=subject_digest,
            state=state,
            clock=self._given.clock,
            sinks=self._given.sinks,
            **settings,
        )

    def approvals(
        self, environment: str, *, authenticate: Authenticate, key: bytes | None = None
    ) -> Approvals:
        """Make the place where the people whom the document names vote.

        Args:
            environment: For which.
            authenticate: As of `Approvals`.
            key: As of `Approvals`.

        Raises:
            ConfigurationError: The document names nobody for it, or there is no store.
        """
        return desk_of(
            self.requirements, self._given, environment, authenticate=authenticate, key=key
        )

    def reload(
        self, requirements: Requirements | Mapping[str, Any] | str | os.PathLike[str]
    ) -> ReloadReport:
        """Take another document, whole or not at all.

        A meter of which only the limits changed stays, with all that it counted; one with another
        window begins anew. Rollouts under way keep the plan that they began with. What cannot be
        read, built or recorded leaves the old document running, and `check()` warns until a reload
        succeeds.

        Args:
            requirements: The document, or where it stands.
        """
        before = self._running
        old = before.wanted.digest
        try:
            wanted = read(requirements)
            running = built(wanted, self._given, before)
            self._record("requirements.reloaded", old, wanted.digest)
            while not self._swapped(before, running):  # another reload was quicker
                before = self._running
                running = built(wanted, self._given, before)
        except (MlguardError, OSError, ValueError) as error:
            self._refused = "; ".join(str(error).splitlines())
            with suppress(MlguardError, OSError):  # the ledger may be what failed
                self._record("requirements.refused", old, "")
            return ReloadReport(applied=False, before=old, error=str(error))
        if running.cost is not None and running.cost is not before.cost:
            refreshed(running.cost)
        return applied(before, running)

    def _swapped(self, before: Running, running: Running) -> bool:
        with self._lock:
            if self._running is not before:
                return False
            at = self._given.clock()
            new = {*running.checks, *running.elsewhere} - {*before.checks, *before.elsewhere}
            self._memory.stamps |= dict.fromkeys(new, at)
            self._memory.owed += running.move()
            self._running, self._refused = running, ""
            followers = list(self._followers)
        for follower in followers:
            try:
                follower(self)
            except Exception:
                _logger.exception("%r did not take the reload", follower)
        return True

    def _record(self, kind: str, before: str, after: str) -> None:
        ledger = self._given.ledger
        if ledger is not None:
            ledger.append({"kind": kind, "before": before, "after": after})

    def follow(self, follower: Callable[[Guards], object]) -> None:
        """Call somebody who holds meters after each reload, with these guards."""
        with self._lock:
            self._followers.append(follower)

    def state(self) -> dict[str, Any]:
        """Give what `decide` and `stale` remember, as plain JSON; the meters have their own."""
        with self._lock:
            return state_of(self._running, self._memory)

    def from_state(self, state: Mapping[str, Any]) -> Self:
        """Make the same guards with what others remembered: for `checkout`, in jobs.

        By a document that has changed since, they go on as after a reload.

        Raises:
            ConfigurationError: This is no state of guards.
        """
        return type(self)(*resumed(self._running, self._given, state))

    def explain(self) -> str:
        """Say what the document means, and how it stands."""
        return f"{self.requirements.explain()}\n\n{self.check().explain()}"

    def __repr__(self) -> str:
        wanted = self.requirements
        return f"<Guards of {wanted.service}, {wanted.digest}>"
