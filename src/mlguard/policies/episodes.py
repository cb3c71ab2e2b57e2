"""Episodes: from verdicts to decisions in pure steps."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from mlguard.arguments import moment, whole
from mlguard.policies.persistence import NOTHING, Held, held_from
from mlguard.records import iso, library_version
from mlguard.values import Action, Decision, Verdict, Waiver

if TYPE_CHECKING:
    from mlguard.policies.responses import Response

_CHANGES = 20
"""How many changes of a rung are remembered for flap detection, as in Nagios."""

_WEIGHTS = [0.75 + 0.5 * place / (_CHANGES - 1) for place in range(_CHANGES - 1, -1, -1)]
"""Of a change that many evaluations ago: the newest counts most, as in Nagios."""


class Rung(NamedTuple):
    """What is remembered of one response. Immutable.

    Attributes:
        held: Of its condition.
        taken: When its action was taken, as far as that still matters.
        told: Whether somebody was alerted in this episode.
        acted: Whether the action was taken in this episode.
        changes: Which of the last evaluations began or ended an episode, as bits.
        flaps: Whether it begins and ends so often that it may only alert.
        subject: What the episode is about, from its first decision on.
        key: Of the episode, from its first decision on: another policy may go on with it.
        stamp: What the clock said when the newest event time came; None without event times.
    """

    held: Held = NOTHING
    taken: tuple[float, ...] = ()
    told: bool = False
    acted: bool = False
    changes: int = 0
    flaps: bool = False
    subject: tuple[tuple[str, str], ...] = ()
    key: str = ""
    stamp: float | None = None


State: TypeAlias = tuple[Rung, ...]
Needs: TypeAlias = Mapping[str, tuple[Verdict, ...]]


@dataclass(frozen=True, slots=True)
class Asked:
    """What a step is told. Immutable.

    Attributes:
        verdicts: By name.
        now: Unix seconds.
        needs: What the needs of responses said.
        firing: Names of the responses that fire.
    """

    verdicts: Mapping[str, Verdict]
    now: float
    needs: Needs
    firing: frozenset[str]


@dataclass(frozen=True, slots=True)
class Rules:
    """The arguments of a `ResponsePolicy`, and its steps. Immutable, so safe between threads."""

    responses: tuple[Response, ...]
    waivers: Mapping[str, Waiver]
    flapping: tuple[float, float] | None
    dry_run: bool
    digest: str

    def step(
        self, state: State, verdicts: Mapping[str, Verdict], now: float, needs: Needs
    ) -> tuple[State, list[Decision]]:
        """Go one step; see `ResponsePolicy.step`."""
        rungs = self.held(state, verdicts, now)
        decisions: list[Decision] = []
        asked = None
        for place, old in enumerate(state):
            rung = rungs[place]
            if rung.held.firing:
                if not rung.acted:
                    asked = asked or Asked(verdicts, now, needs, self.firing(rungs))
                    rungs[place] = self._open(self.responses[place], rung, asked, decisions)
            elif old.held.firing:
                if old.told:
                    asked = asked or Asked(verdicts, now, needs, self.firing(rungs))
                    decisions.append(
                        self._decision(self.responses[place], old, Action.RESOLVE, asked)
                    )
                rungs[place] = rung._replace(told=False, acted=False, subject=(), key="")
        return tuple(rungs), decisions

    def closed(self, response: Response, rung: Rung, now: float) -> Decision:
        """Resolve an episode that nobody goes on with."""
        return self._decision(response, rung, Action.RESOLVE, Asked({}, now, {}, frozenset()))

    def firing(self, rungs: Sequence[Rung]) -> frozenset[str]:
        """Name the responses that fire."""
        pairs = zip(self.responses, rungs, strict=True)
        return frozenset(each.name for each, rung in pairs if rung.held.firing)

    def held(self, state: State, verdicts: Mapping[str, Verdict], now: float) -> list[Rung]:
        """Take the verdicts in: which conditions hold now, and for long enough."""
        rungs = []
        for response, rung in zip(self.responses, state, strict=True):
            answer, at = response.answer(verdicts)
            if answer is None:
                rungs.append(rung)
                continue
            stamp = rung.stamp
            if at is not None:
                stamp = now
            elif stamp is None or rung.held.at is None:
                at = now
            else:  # a crash among event times, which may lie far behind the clock
                at, stamp = rung.held.at + max(now - stamp, 0.0), now
            held = response.terms.step(rung.held, answer, at)
            rungs.append(rung if held is rung.held else self._moved(rung, held, stamp))
        return rungs

    def _moved(self, rung: Rung, held: Held, stamp: float | None) -> Rung:
        changed = held.firing is not rung.held.firing
        if self.flapping is None or not (changed or rung.changes):
            return Rung(held, *rung[1:-1], stamp)
        changes = ((rung.changes << 1) | changed) & ((1 << _CHANGES) - 1)
        share = sum(w for place, w in enumerate(_WEIGHTS) if changes >> place & 1) / _CHANGES
        flaps = share > self.flapping[0 if rung.flaps else 1]
        return rung._replace(held=held, changes=changes, flaps=flaps, stamp=stamp)

    def _open(
        self, response: Response, rung: Rung, asked: Asked, decisions: list[Decision]
    ) -> Rung:
        """Take the action of an episode, or keep it for later."""
        alert = response.action is Action.ALERT
        why_not = self.withheld(response, rung, asked)
        if not rung.key:
            subject = _common(_named(response, asked))
            key = digest([self.digest, response.name, subject, rung.held.start])
            rung = rung._replace(subject=tuple(sorted(subject.items())), key=key)
        if not why_not:
            decisions.append(self._decision(response, rung, response.action, asked))
            times = (*rung.taken, asked.now)
            taken = tuple(at for at in times[:-1] if asked.now - at < response.remembers)
            return rung._replace(acted=True, told=rung.told or alert, taken=(*taken, asked.now))
        if rung.flaps and not (alert or rung.told or self._waiver(response, asked.now)):
            decisions.append(self._decision(response, rung, Action.ALERT, asked, why_not))
            return rung._replace(told=True)
        return rung

    def _waiver(self, response: Response, now: float) -> Waiver | None:
        waiver = self.waivers.get(response.name)
        return waiver if waiver is not None and now < waiver.until else None

    def withheld(self, response: Response, rung: Rung, asked: Asked) -> str:
        """Say what holds an action back, or nothing."""
        others = self._reasons(response, rung, asked)
        return next(others, "") or next(self._unmet(response, asked), "")

    def asks(self, response: Response, rung: Rung, asked: Asked) -> bool:
        """Tell whether what the needs say decides whether the action is taken now."""
        waits = bool(response.needs) and rung.held.firing and not rung.acted
        return waits and not next(self._reasons(response, rung, asked), "")

    def _unmet(self, response: Response, asked: Asked) -> Iterator[str]:
        if response.needs:
            said = asked.needs.get(response.name)
            if said is None:
                yield "its needs are asked at the next decide()"
            yield from (
                f"it needs {each.name}, which is {each.severity.name}: {each.reason}"
                for each in said or ()
                if not each.ok
            )

    def _reasons(self, response: Response, rung: Rung, asked: Asked) -> Iterator[str]:
        now = asked.now
        if waiver := self._waiver(response, now):
            yield f"waived by {waiver}"
        if rung.flaps and response.action is not Action.ALERT:
            yield "it begins and ends so often (flapping) that it may only alert"
        if others := [name for name in response.unless if name in asked.firing]:
            yield f"{' and '.join(others)} fires"
        if rung.taken and now - rung.taken[-1] < response.cooldown:
            yield f"it cools down until {iso(rung.taken[-1] + response.cooldown)}"
        if response.at_most is not None:
            number, period = response.at_most
            recent = [at for at in rung.taken if now - at < period]
            if len(recent) >= number:
                yield f"taken {len(recent)} times since {iso(recent[0])}, which is the most"

    def _decision(
        self,
        response: Response,
        rung: Rung,
        action: Action | str,
        asked: Asked,
        why_not: str = "",
    ) -> Decision:
        named = _named(response, asked)
        start = rung.held.start
        told = "; ".join(map(told_of, named))
        since = "" if start is None else f" since {iso(start)}"
        reason = f"{response.name}: {response.condition}{since}: {told}"
        if action is Action.RESOLVE:
            reason = f"{response.name} is over: {told or 'no response asks for it any more'}"
        because: dict[str, Any] = {"response": response.name, "since": start}
        if why_not:
            because |= {"withheld": str(response.action), "why": why_not}
            reason = f"{reason} ({response.action} is withheld: {why_not})"
        if self.dry_run:
            because["would"] = str(action)
            action, reason = Action.NONE, f"dry run, would {action}: {reason}"
        return Decision(
            action,
            reason,
            subject=dict(rung.subject),
            at=asked.now,
            key=rung.key,
            verdicts=(*named, *asked.needs.get(response.name, ())),
            because=(because,),
            policy_digest=self.digest,
            state_digest=digest(rung),
            version=library_version(),
        )


def taken_over(
    old: Sequence[tuple[Response, Rung]], responses: Sequence[Response]
) -> tuple[list[Rung], list[tuple[Response, Rung]]]:
    """Match responses with those of an earlier policy: give their rungs, and who is left over."""
    left = list(old)
    rungs = []
    for response in responses:
        found = [pair for pair in left if pair[0].judges_as(response)]
        if found:
            pair = next((each for each in found if each[0].name == response.name), found[0])
            left.remove(pair)
            rungs.append(pair[1])
            continue
        alike = [rung.taken for each, rung in old if each.action == response.action]
        rungs.append(Rung(taken=tuple(sorted({at for taken in alike for at in taken}))))
    return rungs, left


def told_of(verdict: Verdict) -> str:
    """Write a verdict in a line."""
    return f"{verdict.name} is {verdict.severity.name}, {verdict.reason}"


def digest(value: Any) -> str:
    """Give 16 hexadecimal digits that stand for plain JSON."""
    written = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(written.encode()).hexdigest()[:16]


def rung_from(record: Mapping[str, Any]) -> Rung:
    """Read what `rung_to` wrote."""
    told, acted, flaps = (bool(record[name]) for name in ("told", "acted", "flaps"))
    stamp = record["stamp"]
    return Rung(
        held_from(record["held"]),
        tuple(moment("state", at) for at in record["taken"]),
        told,
        acted,
        whole("state", record["changes"]),
        flaps,
        tuple((str(name), str(value)) for name, value in record["subject"]),
        str(record["key"]),
        None if stamp is None else moment("state", stamp),
    )


def rung_to(rung: Rung) -> dict[str, Any]:
    """Write a rung as plain JSON."""
    lists = {
        "held": list(rung.held),
        "taken": list(rung.taken),
        "subject": [list(each) for each in rung.subject],
    }
    return {**rung._asdict(), **lists}


def _named(response: Response, asked: Asked) -> tuple[Verdict, ...]:
    return tuple(asked.verdicts[name] for name in response.bad if name in asked.verdicts)


def _common(verdicts: Sequence[Verdict]) -> dict[str, str]:
    if not verdicts:
        return {}
    first, *others = (each.subject for each in verdicts)
    return {key: value for key, value in first.items() if all(o.get(key) == value for o in others)}
