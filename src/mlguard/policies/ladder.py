"""A policy of responses: from verdicts to decisions, one episode at a time."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from copy import copy
from typing import TYPE_CHECKING, Any, Self

from mlguard.arguments import instances, moment, real, refusal
from mlguard.checks import ask
from mlguard.clocks import unix_clock
from mlguard.locks import Locked
from mlguard.policies.episodes import (
    Asked,
    Needs,
    Rules,
    Rung,
    State,
    digest,
    rung_from,
    rung_to,
    taken_over,
    told_of,
)
from mlguard.policies.persistence import believable
from mlguard.policies.responses import Response
from mlguard.records import iso
from mlguard.values import Action, Decision, Verdict, Waiver

if TYPE_CHECKING:
    from mlguard.protocols import Clock

_logger = logging.getLogger("mlguard")

_WHO = ("service", "model", "environment", "tenant", "route")
"""What stays the same of a subject as long as it is the same one."""


class ResponsePolicy(Locked):
    """Turns verdicts into decisions: alert, retrain, roll back, or an action of your own.

    Thread-safe: each call of `decide` is one step. Its state is per process; `state()` and
    `from_state` carry it over a restart, and one decider for all replicas is the rule (a lease,
    `gather`). It decides and does nothing: pass the decisions to your sinks.

    Each response is judged by itself. While it fires there is an episode, whose `key` is the same
    on every replica and after a restart: a digest of policy, response, subject and the event time
    at which the condition began to hold. An ALERT is followed by its RESOLVE under the same key
    when the episode ends. Responses advance once for each distinct event time (or slot, with
    `every`): asking again with the same verdicts decides nothing new.

    Args:
        responses: From the mildest to the strictest; their names differ.
        waivers: By the name of a response: until the waiver ends its action is not taken, nor
            anybody alerted. The same is a silence and a maintenance window.
        flapping: Two shares of the last 20 evaluations, recent ones weighing more, that began or
            ended an episode: above the second a response may only alert, and says so, until it is
            back at the first. Nagios has 0.05 and 0.2 for checks without persistence; ours are
            0.25 and 0.5. None: never.
        dry_run: Whether each decision is `Action.NONE`, with the reason that says what it would
            have been.
        clock: Of Unix seconds, for cool-downs, limits and waivers, and for verdicts without `at`;
            `mlguard.clocks.unix_clock()` when not given.

    Raises:
        ConfigurationError: There is no response, two have one name, a name in `unless` or `waivers`
            is that of none, or responses hold each other back in a ring.

    Examples:
        >>> from mlguard import Action, Response, ResponsePolicy
        >>> from mlguard.testing import play
        >>> policy = ResponsePolicy(
        ...     Response(Action.ALERT, when="drift", for_=2),
        ...     Response(Action.RETRAIN, when=["drift", "performance"], for_=3, cooldown=86_400.0),
        ... )
        >>> [str(decision.action) for decision in play(policy, "OBBBBO", every=3_600.0)]
        ['alert', 'retrain', 'resolve']
    """

    __slots__ = ("_missed", "_named", "_needs", "_rules", "_state", "_verdicts", "clock")

    def __init__(
        self,
        *responses: Response,
        waivers: Mapping[str, Waiver] | None = None,
        flapping: tuple[float, float] | None = (0.25, 0.5),
        dry_run: bool = False,
        clock: Clock | None = None,
    ) -> None:
        super().__init__()
        rungs: tuple[Response, ...] = instances((Response,), "responses", responses)
        names = [each.name for each in rungs]
        if not names or len({*names}) < len(names):
            raise refusal("responses", names, "one or more, of different names (name=)")
        for each in rungs:
            if odd := [name for name in each.unless if name not in names or name == each.name]:
                raise refusal("unless", odd, f"names of other responses, among {names}")
        if ring := _ring({each.name: each.unless for each in rungs}):
            allowed = "without a ring, in which each would wait for the others"
            raise refusal("unless", ring, allowed)
        if not isinstance(waivers, Mapping | None):
            raise refusal("waivers", waivers, "a mapping of names of responses to waivers")
        silent = dict(waivers or {})
        instances((Waiver,), "waivers", silent.values())
        if odd := sorted(silent.keys() - {*names}):
            raise refusal("waivers", odd, f"names of responses, among {names}")
        settings = {"responses": [each.to_dict() for each in rungs], "flapping": _shares(flapping)}
        self._rules = Rules(rungs, silent, _shares(flapping), bool(dry_run), digest(settings))
        self._state = self.begin()
        self._verdicts: Mapping[str, Verdict] = {}
        self._needs: Needs = {}
        self._named = frozenset(name for each in rungs for name in each.bad)
        self._missed: frozenset[str] = frozenset()
        self.clock: Clock = clock or unix_clock()

    @property
    def responses(self) -> tuple[Response, ...]:
        """The responses, in their order."""
        return self._rules.responses

    @property
    def digest(self) -> str:
        """Stands for the settings of the responses: another digest is another policy."""
        return self._rules.digest

    def decide(self, *verdicts: Verdict) -> list[Decision]:
        """Take in what was judged now, and give what is to be done: often nothing.

        Args:
            verdicts: By their names; those that no response names are left aside. One whose `at` is
                more than a day ahead of the clock is UNKNOWN; one without `at` is of now, and
                counts at each call. A response
                whose verdicts are not all there waits, as with UNKNOWN; the logger "mlguard" is
                told of each name once, since it may be misspelt.

        Raises:
            ConfigurationError: One is no verdict, two have one name, or one is about another
                service, model, environment, tenant or route than before, or of the same event time
                about another version: each needs a policy object of its own.
        """
        given: dict[str, Verdict] = {}
        now = moment("clock()", self.clock())
        for each in instances((Verdict,), "verdicts", verdicts):
            if each.name in given:
                raise refusal("verdicts", f"two of {each.name}", "verdicts of different names")
            given[each.name] = believable(each, now)
            self._one_subject(each)
        if new := self._named - given.keys() - self._missed:
            self._missed |= new
            _logger.warning("%r waits for verdicts that were not given: %s", self, sorted(new))
        needs = {
            each.name: tuple(ask(check) for check in each.needs)
            for each in self._due(self._state, given, now)
        }
        with self._lock:
            self._state, decisions = self._rules.step(self._state, given, now, needs)
            known = {name: given[name] for name in given.keys() & self._named}
            self._verdicts = {**self._verdicts, **known}
            self._needs = {**self._needs, **needs}
        return decisions

    def _one_subject(self, verdict: Verdict) -> None:
        """Refuse a second subject, whose verdicts would count with those of the first.

        Its version may change with time, and what else a user says of it.
        """
        before = self._verdicts.get(verdict.name)
        if before is None:
            return
        old, new = before.subject, verdict.subject
        same_time = verdict.at is not None and before.at == verdict.at
        if (same_time and old != new) or any(
            old[key] != new[key] for key in _WHO if key in old and key in new
        ):
            named = f"{verdict.name} of {dict(new)}"
            allowed = f"of {dict(old)}, as before: one policy object for each subject"
            raise refusal("verdicts", named, allowed)

    def begin(self) -> State:
        """Give the state before the first step."""
        return (Rung(),) * len(self.responses)

    def _due(self, state: State, verdicts: Mapping[str, Verdict], now: float) -> list[Response]:
        """Find the responses whose needs must be asked: what they say may matter in this step."""
        if not any(each.needs for each in self.responses):
            return []
        rungs = self._rules.held(state, verdicts, now)
        asked = Asked(verdicts, now, {}, self._rules.firing(rungs))
        pairs = zip(self.responses, rungs, strict=True)
        return [each for each, rung in pairs if self._rules.asks(each, rung, asked)]

    def step(
        self,
        state: State,
        verdicts: Mapping[str, Verdict],
        now: float,
        needs: Needs | None = None,
    ) -> tuple[State, list[Decision]]:
        """Go one step: pure, so that any decision can be replayed from its record.

        Args:
            state: What the last step gave, or `begin()`.
            verdicts: By name.
            now: Unix seconds.
            needs: By the name of a response, what its needs said; a response with needs of which
                nothing was said waits.

        Returns:
            The state after, and the decisions in the order of the responses.
        """
        return self._rules.step(state, verdicts, now, needs or {})

    def explain(self) -> str:
        """Say of each response where it stands, since when, and what would have to differ."""
        with self._lock:
            state, verdicts = self._state, dict(self._verdicts)
        asked = Asked(verdicts, self.clock(), self._needs, self._rules.firing(state))
        lines = []
        for response, rung in zip(self.responses, state, strict=True):
            lines.append(f"{response.name}: {self._stands(response, rung, asked)}")
            for name, severity in response.bad.items():
                said = told_of(verdicts[name]) if name in verdicts else f"{name} was not given"
                lines.append(f"  {severity.name} is needed: {said}")
            _, at = response.answer(verdicts)
            if at is not None and rung.held.at is not None and at < rung.held.at:
                newest = iso(rung.held.at)
                lines.append(f"  of {iso(at)}, older than what counted last, of {newest}")
        return "\n".join(lines)

    def _stands(self, response: Response, rung: Rung, asked: Asked) -> str:
        held, terms = rung.held, response.terms
        if not held.firing:
            if held.since is None:
                return f"not due; it is when {response.condition}"
            needed = f"{terms.for_:g} s" if terms.for_ else f"{terms.k} of {terms.of} evaluations"
            return f"pending since {iso(held.since)}; {needed} are needed"
        since = f"fires since {iso(held.start or 0.0)}"
        if rung.acted:
            return f"{since}; {response.action} was decided on {iso(rung.taken[-1])}"
        why = self._rules.withheld(response, rung, asked) or "it is due at the next decide()"
        return f"{since}; {response.action} is withheld: {why}"

    def state(self) -> dict[str, Any]:
        """Give all that is remembered, as plain JSON."""
        pairs = zip(self.responses, self._state, strict=True)
        rungs = {response.name: rung_to(rung) for response, rung in pairs}
        return {"kind": "response_policy", "schema": 1, "digest": self.digest, "rungs": rungs}

    def from_state(self, state: Mapping[str, Any]) -> Self:
        """Make the same policy with what another remembered: a restart decides nothing anew.

        Raises:
            ConfigurationError: This is no state of a response policy, or one of another policy.
        """
        known = state if isinstance(state, Mapping) else {}
        if (known.get("kind"), known.get("schema")) != ("response_policy", 1):
            raise refusal("state", state, "what state() of a response policy gave")
        if known.get("digest") != self.digest:
            raise refusal("state", known.get("digest"), f"of this policy, {self.digest}")
        other = copy(self)
        try:
            other._state = tuple(rung_from(known["rungs"][each.name]) for each in self.responses)
        except (KeyError, TypeError) as error:
            raise refusal("state", state, f"whole: {error!r}") from None
        return other

    def hand_over(self, heir: ResponsePolicy | None) -> list[Decision]:
        """Give what is remembered to the policy that takes this one's place.

        A response of the same action and condition goes on with its episode, under its key. Another
        one takes over when its action was taken, so that cool-downs hold, and begins anew.

        Args:
            heir: Of the same subject, and asked from now on; None where nobody is.

        Returns:
            The RESOLVE of each open alert that nobody goes on with.
        """
        now = moment("clock()", self.clock())
        with self._lock:
            pairs = list(zip(self.responses, self._state, strict=True))
            verdicts = self._verdicts
        rungs, left = taken_over(pairs, () if heir is None else heir.responses)
        if heir is not None:
            with heir._lock:
                heir._state, heir._verdicts = tuple(rungs), verdicts
        return [self._rules.closed(*pair, now) for pair in left if pair[1].told]

    def __repr__(self) -> str:
        return f"<ResponsePolicy {self.digest}: {', '.join(each.name for each in self.responses)}>"


def default_ladder(
    *,
    drift: str = "drift",
    estimated: str = "estimated performance",
    performance: str = "performance",
    **settings: Any,
) -> ResponsePolicy:
    """Make the policy that most teams begin with: alert, retrain, roll back.

    Input drift alone is an alert after 3 evaluations in a row: drift without harm is the rule. With
    the estimated performance below its floor too it is a reason to retrain, once a week at most.
    The labelled performance below its floor is a reason to roll back, at once, and retraining waits
    for that.

    Args:
        drift: Name of the verdict on the inputs.
        estimated: Name of that on the performance estimated from scores.
        performance: Name of that on the performance by labels.
        settings: The other arguments of `ResponsePolicy`.

    Examples:
        >>> default_ladder()
        <ResponsePolicy ...: alert, retrain, rollback>
    """
    week = 7 * 86_400.0
    return ResponsePolicy(
        Response(Action.ALERT, when=drift, for_=3),
        Response(
            Action.RETRAIN, when=[drift, estimated], for_=3, cooldown=week, unless=["rollback"]
        ),
        Response(Action.ROLLBACK, when=performance),
        **settings,
    )


def _ring(unless: Mapping[str, Sequence[str]]) -> list[str]:
    """Find responses that hold each other back, in a ring, or nothing."""
    left = dict(unless)
    while free := [name for name, others in left.items() if not left.keys() & {*others}]:
        for name in free:
            del left[name]
    return sorted(left)


def _shares(flapping: tuple[float, float] | None) -> tuple[float, float] | None:
    if flapping is None:
        return None
    if not isinstance(flapping, tuple | list) or len(flapping) != 2:  # noqa: PLR2004 -- as it says
        raise refusal("flapping", flapping, "two shares, or None")
    low, high = (real("flapping", each) for each in flapping)
    if not 0.0 < low < high < 1.0:
        raise refusal("flapping", flapping, "two shares, the first below the second")
    return low, high
