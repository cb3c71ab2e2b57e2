"""Responses make episodes: one action each, one key each, on every replica and after a restart."""

from __future__ import annotations

import copy
import json
import pickle
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from mlguard import (
    Action,
    ConfigurationError,
    Decision,
    Response,
    ResponsePolicy,
    Severity,
    Verdict,
    Waiver,
    default_ladder,
)
from mlguard.testing import ManualClock, ScriptedCheck, play

LETTERS = {each.name[0]: each for each in Severity}
START = 1_000.0


def verdict(name: str, letter: str, at: float | None = None, **subject: str) -> Verdict:
    return Verdict(name, LETTERS[letter], f"it is {letter}", at=at, subject=subject)


def actions(decisions: list[Decision]) -> list[str]:
    return [str(each.action) for each in decisions]


def told(policy: ResponsePolicy, script: str, *, name: str = "drift", start: float = 0.0) -> list[Decision]:  # fmt: skip
    """Give a policy one verdict a second, by event time and by its clock."""
    found = []
    for place, letter in enumerate(script):
        policy.clock = ManualClock(START + start + place)
        found += policy.decide(verdict(name, letter, START + start + place))
    return found


def reload(policy: ResponsePolicy, fresh: ResponsePolicy) -> ResponsePolicy:
    return fresh.from_state(json.loads(json.dumps(policy.state())))


# ---------------------------------------------------------------- a plain model of it all


class Plain:
    """One response, read from its description: keeps all that ever happened."""

    def __init__(self, response: Response, flapping: tuple[float, float] | None) -> None:
        self.r = response
        self.flapping = flapping
        self.seen: list[tuple[float, bool]] = []
        self.fired: list[bool] = []
        self.actions: list[float] = []
        self.began: float | None = None
        self.told = self.acted = self.flaps = self.timed = False
        self.stamp = 0.0

    @property
    def fires(self) -> bool:
        return bool(self.fired) and self.fired[-1]

    def condition(self, given: Mapping[str, Verdict]) -> bool | None:
        answers: set[bool | None] = set()
        for name, need in self.r.bad.items():
            found = given[name].severity if name in given else None
            if found is None:
                answers.add(None)
            elif need is Severity.UNKNOWN or found is not Severity.UNKNOWN:
                answers.add(found is need if need is Severity.UNKNOWN else found >= need)
            else:
                answers.add(None)
        if False in answers:
            return False
        return {"keep": None, "fire": True, "resolve": False}[self.r.unknown] if None in answers else True  # fmt: skip

    def evaluate(self, given: Mapping[str, Verdict], now: float) -> None:
        answer = self.condition(given)
        times = [given[name].at for name in self.r.bad if name in given]
        at = max((each for each in times if each is not None), default=None)
        timed = self.timed or at is not None
        if at is None:  # without a time it comes as long after the newest as the clock has gone on
            at = self.seen[-1][0] + now - self.stamp if self.timed else now
        if answer is None or (self.seen and at <= self.seen[-1][0]):
            return
        self.timed, self.stamp = timed, now
        self.seen.append((at, answer))
        terms, before = self.r.terms, self.fires
        run = [when for when, _ in self.seen[self.last_false() + 1 :]]
        enough = sum(value for _, value in self.seen[-terms.of :]) >= terms.k
        lasted = not terms.for_ or (run and at - run[0] >= terms.for_)
        true = [when for when, value in self.seen if value]
        keeps = before and terms.keep and at - true[-1] <= terms.keep
        self.fired.append(bool((enough and lasted) or keeps))
        if self.fires and not before:
            self.began = run[0]
        if self.flapping:
            flips = [new != old for old, new in zip([False, *self.fired], self.fired, strict=False)]
            ages = [age for age, flip in enumerate(reversed(flips[-20:])) if flip]
            share = sum(1.25 - 0.5 * age / 19 for age in ages) / 20
            self.flaps = share > self.flapping[0 if self.flaps else 1]

    def last_false(self) -> int:
        return max((i for i, (_, value) in enumerate(self.seen) if not value), default=-1)

    def free(self, now: float, firing: set[str], *, waived: bool, needs_met: bool) -> bool:
        period = self.r.at_most or (1, 0.0)
        recent = [each for each in self.actions if now - each < period[1]]
        return not (
            waived
            or firing & {*self.r.unless}
            or (self.actions and now - self.actions[-1] < self.r.cooldown)
            or len(recent) >= period[0]
            or (self.flaps and self.r.action != "alert")
            or (self.r.needs and not needs_met)
        )

    def decide(self, now: float, firing: set[str], *, waived: bool, needs_met: bool) -> list[tuple[str, str, float]]:  # fmt: skip
        since = self.began or 0.0
        if not self.fires:
            ends = self.told
            self.told = self.acted = False
            return [(self.r.name, "resolve", since)] if ends else []
        if self.acted:
            return []
        if self.free(now, firing, waived=waived, needs_met=needs_met):
            self.acted = True
            self.told |= self.r.action == "alert"
            self.actions.append(now)
            return [(self.r.name, str(self.r.action), since)]
        if self.flaps and self.r.action != "alert" and not (self.told or waived):
            self.told = True
            return [(self.r.name, "alert", since)]
        return []


class PolicyMachine(RuleBasedStateMachine):
    """The policy, a twin that restarts all the time, and the model."""

    @initialize(flapping=st.sampled_from([None, (0.06, 0.21)]), dry_run=st.booleans())
    def begin(self, flapping: tuple[float, float] | None, dry_run: bool) -> None:  # noqa: FBT001 -- drawn
        self.clock = ManualClock(START)
        self.needs_met = True
        self.given: dict[str, Verdict] = {}
        self.keys: dict[str, tuple[str, float]] = {}
        self.dry_run = dry_run
        self.waivers = {
            "alert": Waiver("ada", "a move", START + 12.0),
            "rollback": Waiver("ada", "a move", START + 25.0),
        }

        def need() -> Verdict:
            return verdict("labels", "O" if self.needs_met else "B")

        responses = (
            Response(Action.ALERT, when="a", for_=2, of=3, keep=3.0),
            Response(Action.RETRAIN, when=["a", "b"], severity="WARN", for_=2.0, cooldown=10.0,
                     at_most=(2, 40.0), needs=[need], unless=["rollback"], unknown="fire"),
            Response(Action.ROLLBACK, when="b", unknown="resolve"),
            Response("watch", when={"a": "UNKNOWN"}, cooldown=5.0),
            Response(Action.ALERT, when="b", name="page", cooldown=6.0, at_most=(3, 30.0)),
        )  # fmt: skip
        self.make: Callable[[], ResponsePolicy] = lambda: ResponsePolicy(
            *responses,
            waivers=self.waivers,
            flapping=flapping,
            dry_run=dry_run,
            clock=self.clock,
        )
        self.policy, self.twin = self.make(), self.make()
        self.model = [Plain(each, flapping) for each in responses]

    @rule(step=st.sampled_from([0.0, 0.5, 1.0, 1.0, 2.0, 7.0]))
    def wait(self, step: float) -> None:
        self.clock.advance(step)

    @rule(met=st.booleans())
    def change_the_need(self, met: bool) -> None:  # noqa: FBT001 -- drawn
        self.needs_met = met

    @rule(a=st.sampled_from("OUWBB-"), b=st.sampled_from("OUWBB-"), late=st.sampled_from([0, 0, 3]))
    def judge(self, a: str, b: str, late: float) -> None:
        letters = {"a": a, "b": b}
        self.given = {
            name: verdict(name, letter, self.clock() - late)
            for name, letter in letters.items()
            if letter != "-"
        }
        self.decide()

    @rule(letters=st.lists(st.sampled_from("OB"), min_size=2, max_size=8))
    def flicker(self, letters: list[str]) -> None:
        for letter in letters:
            self.clock.advance(1.0)
            self.judge(letter, letter, 0.0)

    @rule()
    def decide(self) -> None:
        now, given = self.clock(), tuple(self.given.values())
        decisions = self.policy.decide(*given)
        self.twin = reload(self.twin, self.make())
        assert json.dumps([each.to_dict() for each in decisions]) == json.dumps(
            [each.to_dict() for each in self.twin.decide(*given)]
        )
        assert self.policy.state() == self.twin.state()
        for each in self.model:
            each.evaluate(self.given, now)
        firing = {each.r.name for each in self.model if each.fires}
        expected = []
        for each in self.model:
            waiver = self.waivers.get(each.r.name)
            waived = waiver is not None and now < waiver.until
            expected += each.decide(now, firing, waived=waived, needs_met=self.needs_met)
        assert [self.read(each) for each in decisions] == expected
        if len(given) == 2:  # all have an event time
            assert self.policy.decide(*given) == []
        self.policy.explain()

    def read(self, decision: Decision) -> tuple[str, str, float]:
        because = decision.because[0]
        assert (decision.action is Action.NONE) is self.dry_run
        action = str(because["would"]) if self.dry_run else str(decision.action)
        episode = str(because["response"]), float(because["since"])
        assert self.keys.setdefault(decision.key, episode) == episode
        assert [*self.keys.values()].count(episode) == 1
        return episode[0], action, episode[1]


PolicyMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestPolicyMachine = PolicyMachine.TestCase


# ---------------------------------------------------------------- episodes and keys


def alert(**arguments: Any) -> ResponsePolicy:
    return ResponsePolicy(Response(Action.ALERT, when="drift", for_=2, **arguments))


def test_an_alert_and_its_resolve_share_a_key_and_the_next_episode_has_a_new_one() -> None:
    found = told(alert(), "OBBBOOBBO")
    assert actions(found) == ["alert", "resolve", "alert", "resolve"]
    first, second, third, fourth = [each.key for each in found]
    assert first == second != third == fourth
    assert [each.at for each in found] == [START + at for at in (2, 4, 7, 8)]
    assert [each.because[0]["since"] for each in found] == [START + at for at in (1, 1, 6, 6)]


def test_replicas_and_restarts_give_the_same_key_whatever_their_clocks_say() -> None:
    keys = set()
    for shift in (0.0, 0.3, 5.0):
        policy = alert()
        for place, letter in enumerate("OBBBO"):
            policy = reload(policy, alert())
            policy.clock = ManualClock(START + shift + place)
            keys |= {each.key for each in policy.decide(verdict("drift", letter, START + place))}
    assert len(keys) == 1


def test_a_clock_of_whole_seconds_gives_the_same_key_after_a_restart() -> None:
    def policy() -> ResponsePolicy:
        return ResponsePolicy(Response(Action.ALERT, when="drift"), clock=lambda: next(now))

    now = iter([1_900_000_000, 1_900_000_001, 1_900_000_001])
    going = policy()
    (opened,) = going.decide(verdict("drift", "B"))
    again = reload(going, policy())
    (closed,) = going.decide(verdict("drift", "O"))
    assert again.decide(verdict("drift", "O")) == [closed]
    assert closed.key == opened.key


def key_of(policy: ResponsePolicy, **subject: str) -> str:
    (decision,) = policy.decide(verdict("drift", "B", 7.0, **subject))
    assert decision.subject == subject
    return decision.key


def test_what_makes_a_key() -> None:
    def policy(**arguments: Any) -> ResponsePolicy:
        return ResponsePolicy(Response(Action.ALERT, when="drift", **arguments))

    keys = [
        key_of(policy()),
        key_of(policy(), model="eta"),
        key_of(policy(), model="eta", version="2"),
        key_of(policy(cooldown=1.0)),
        key_of(policy(name="page")),
        key_of(policy(severity="WARN")),
    ]
    assert len({*keys}) == len(keys)
    assert key_of(policy()) == keys[0]
    waived = ResponsePolicy(
        Response(Action.ALERT, when="drift"), waivers={"alert": Waiver("ada", "w", 1.0)}
    )
    assert key_of(waived) == keys[0]  # a silence does not make another alarm


@pytest.mark.parametrize(
    ("during", "after"),
    [
        ({"model": "eta", "version": "7"}, {"model": "eta", "version": "8"}),
        ({"model": "eta"}, {}),
    ],
)
def test_a_resolve_has_the_key_of_its_alert_whatever_became_of_the_subject(
    during: dict[str, str], after: dict[str, str]
) -> None:
    policy = ResponsePolicy(Response(Action.ALERT, when="drift"))
    (opened,) = policy.decide(verdict("drift", "B", 1.0, **during))
    policy = reload(policy, ResponsePolicy(*policy.responses))
    (closed,) = policy.decide(verdict("drift", "O", 2.0, **after))
    assert closed.action is Action.RESOLVE
    assert closed.key == opened.key
    assert closed.subject == opened.subject == during


def test_a_resolve_has_the_key_of_its_alert_also_if_a_verdict_is_missing() -> None:
    policy = ResponsePolicy(Response(Action.ALERT, when=["a", "b"]))
    (opened,) = policy.decide(
        verdict("a", "B", 1.0, model="eta", env="prod"), verdict("b", "B", 1.0, model="eta")
    )
    assert opened.subject == {"model": "eta"}
    (closed,) = policy.decide(verdict("a", "O", 2.0, model="eta", env="prod"))
    assert closed.key == opened.key

    policy = ResponsePolicy(Response(Action.ALERT, when="a", unknown="resolve"))
    (opened,) = policy.decide(verdict("a", "B", 1.0, model="eta"))
    (closed,) = policy.decide()
    assert (closed.action, closed.key) == (Action.RESOLVE, opened.key)


def test_asking_again_with_the_same_verdicts_decides_nothing() -> None:
    policy = default_ladder(clock=(clock := ManualClock(START)))
    for place, letter in enumerate("OBBBBOO"):
        given = [verdict(name, letter, place) for name in ("drift", "estimated performance", "performance")]  # fmt: skip
        policy.decide(*given)
        state = policy.state()
        for _ in range(3):
            clock.advance(0.1)
            assert policy.decide(*given) == []
            assert policy.state() == state


def test_the_fields_of_a_decision() -> None:
    policy = alert(name="page")
    (decision,) = told(policy, "BB")
    assert (decision.policy_digest, len(decision.key)) == (policy.digest, 16)
    assert decision.verdicts == (verdict("drift", "B", START + 1),)
    assert decision.version
    assert decision.state_digest
    assert decision.reason == (
        "page: drift is BREACH since 1970-01-01T00:16:40Z: drift is BREACH, it is B"
    )
    assert Decision.from_dict(json.loads(json.dumps(decision.to_dict()))) == decision
    (over,) = told(policy, "O", start=2.0)
    assert over.reason == "page is over: drift is OK, it is O"


# ---------------------------------------------------------------- what holds an action back


def test_a_cooldown_holds_back_the_action_and_neither_the_episode_nor_the_alarm() -> None:
    def times(**arguments: Any) -> list[tuple[str, float | None]]:
        policy = ResponsePolicy(
            Response(Action.ALERT, when="drift", for_=2),
            Response(Action.RETRAIN, when="drift", for_=2, **arguments),
        )
        return [(str(each.action), each.at) for each in told(policy, "OBBOOBBBBBBBBBBBO")]

    free, cooled = times(), times(cooldown=10.0)
    alarms = ["alert", "resolve"]
    assert [each for each in free if each[0] in alarms] == [
        each for each in cooled if each[0] in alarms
    ]
    assert [at for action, at in free if action == "retrain"] == [START + 2, START + 6]
    assert [at for action, at in cooled if action == "retrain"] == [START + 2, START + 12]


def test_at_most_so_often_in_a_period() -> None:
    policy = ResponsePolicy(Response(Action.RETRAIN, when="drift", at_most=(2, 10.0)))
    assert [each.at for each in told(policy, "BOBOBBBBBBBB")] == [START, START + 2, START + 10]


def test_an_action_is_taken_once_in_an_episode() -> None:
    policy = ResponsePolicy(Response(Action.RETRAIN, when="drift", cooldown=2.0))
    assert len(told(policy, "B" * 50)) == 1


def test_a_waiver_silences_until_it_ends() -> None:
    waiver = Waiver("ada", "a move", START + 5.0)
    policy = ResponsePolicy(Response(Action.ALERT, when="drift"), waivers={"alert": waiver})
    found = told(policy, "BOBBBBBO")
    assert [(str(each.action), each.at) for each in found] == [
        ("alert", START + 5),
        ("resolve", START + 7),
    ]
    policy = ResponsePolicy(Response(Action.ALERT, when="drift"), waivers={"alert": waiver})
    told(policy, "B")
    assert "alert is withheld: waived by ada, until 1970-01-01T00:16:45Z: a move" in policy.explain()  # fmt: skip


def test_an_inhibited_action_waits_for_the_other_to_end() -> None:
    policy = default_ladder()
    found = []
    for place, labelled in enumerate("BBBBOO"):
        now = START + place
        policy.clock = ManualClock(now)
        found += policy.decide(
            verdict("drift", "B", now),
            verdict("estimated performance", "B", now),
            verdict("performance", labelled, now),
        )
    assert [(str(each.action), each.at) for each in found] == [
        ("rollback", START), ("alert", START + 2), ("retrain", START + 4),
    ]  # fmt: skip


def test_flapping_demotes_an_action_to_an_alert_and_says_so() -> None:
    policy = ResponsePolicy(Response(Action.RETRAIN, when="drift"))
    found = told(policy, "BO" * 15)
    demoted = [each for each in found if each.action is Action.ALERT]
    assert actions(found)[:5] == ["retrain"] * 4 + ["alert"]  # nine changes in a row weigh 0.515
    assert demoted
    assert "flapping" in demoted[0].reason
    assert demoted[0].because[0]["withheld"] == "retrain"
    assert "flapping" in str(demoted[0].because[0]["why"])
    pairs = [(each.key, str(each.action)) for each in found if each.action != "retrain"]
    for opened, closed in zip(pairs[::2], pairs[1::2], strict=True):
        assert (opened[0], opened[1], closed[1]) == (closed[0], "alert", "resolve")
    calm = told(policy, "O" * 20 + "B", start=100.0)
    assert actions(calm) == ["retrain"]
    never = ResponsePolicy(Response(Action.RETRAIN, when="drift"), flapping=None)
    assert actions(told(never, "BO" * 15)) == ["retrain"] * 15


def test_a_demoted_action_says_that_it_flaps_also_if_it_cools_down() -> None:
    policy = ResponsePolicy(Response(Action.RETRAIN, when="drift", cooldown=1000.0))
    demoted = [each for each in told(policy, "BO" * 15) if each.action is Action.ALERT]
    assert demoted
    assert "flapping" in demoted[0].reason


def test_a_dry_run_decides_the_same_and_asks_for_nothing() -> None:
    def policy(*, dry_run: bool) -> ResponsePolicy:
        return ResponsePolicy(
            Response(Action.ALERT, when="drift", for_=2),
            Response(Action.RETRAIN, when="drift", cooldown=3.0),
            dry_run=dry_run,
        )

    wet, dry = (told(policy(dry_run=flag), "OBBOBBBO") for flag in (False, True))
    assert {each.action for each in dry} == {Action.NONE}
    assert [each.because[0]["would"] for each in dry] == actions(wet)
    assert [each.key for each in dry] == [each.key for each in wet]
    assert dry[0].reason.startswith(f"dry run, would {wet[0].action}: {wet[0].reason}")


# ---------------------------------------------------------------- needs


class Need:
    name = "5,000 new labels"

    def __init__(self, letter: str = "O") -> None:
        self.letter, self.asked = letter, 0

    def __call__(self) -> Verdict:
        self.asked += 1
        if self.letter == "!":
            raise OSError("no route")
        return verdict(self.name, self.letter)


def needing(need: Callable[[], Verdict], **arguments: Any) -> ResponsePolicy:
    return ResponsePolicy(Response(Action.RETRAIN, when="drift", for_=2, needs=[need], **arguments))


def test_needs_are_asked_only_when_the_action_is_due() -> None:
    policy = needing(need := Need())
    assert told(policy, "OBO") == []
    assert need.asked == 0
    assert actions(told(policy, "BB", start=10.0)) == ["retrain"]
    assert need.asked == 1
    told(policy, "BBBO", start=20.0)
    assert need.asked == 1


def test_needs_are_not_asked_while_something_else_holds_the_action_back() -> None:
    policy = needing(need := Need(), cooldown=100.0)
    told(policy, "BBOBBBBBB")
    assert need.asked == 1
    policy = ResponsePolicy(
        Response(Action.RETRAIN, when="drift", needs=[other := Need()]),
        waivers={"retrain": Waiver("ada", "w", START + 99.0)},
    )
    told(policy, "BBBB")
    assert other.asked == 0


@pytest.mark.parametrize("letter", ["U", "W", "B", "!"])
def test_a_need_that_is_not_ok_holds_the_action_back(letter: str) -> None:
    policy = needing(need := Need(letter))
    assert told(policy, "OBBB") == []
    need.letter = "O"
    (decision,) = told(policy, "B", start=4.0)
    assert (decision.action, decision.at) == (Action.RETRAIN, START + 4.0)
    assert [each.name for each in decision.verdicts] == ["drift", "5,000 new labels"]


def test_the_pure_step_waits_for_what_needs_say() -> None:
    policy = needing(Need())
    given = {"drift": verdict("drift", "B")}
    state, _ = policy.step(policy.begin(), given, 1.0)
    state, decisions = policy.step(state, given, 2.0)
    assert decisions == []
    assert actions(policy.step(state, given, 3.0, {"retrain": (verdict("n", "B"),)})[1]) == []
    assert actions(policy.step(state, given, 3.0, {"retrain": (verdict("n", "O"),)})[1]) == ["retrain"]  # fmt: skip
    assert policy.state() == needing(Need()).state()  # the step leaves the policy alone


# ---------------------------------------------------------------- unknown, missing


@pytest.mark.parametrize(
    ("unknown", "script", "expected"),
    [
        ("keep", "BUBUO", ["alert", "resolve"]),
        ("fire", "UUUO", ["alert", "resolve"]),
        ("resolve", "BUBUBB", ["alert"]),
        ("resolve", "BBU", ["alert", "resolve"]),
        ("keep", "BBUUU", ["alert"]),
        ("keep", "BB---", ["alert"]),
        ("fire", "--", ["alert"]),
        ("resolve", "BB-", ["alert", "resolve"]),
    ],
)
def test_what_unknown_and_missing_verdicts_do(
    unknown: str, script: str, expected: list[str]
) -> None:
    policy = alert(unknown=unknown)
    found = []
    for place, letter in enumerate(script):
        policy.clock = ManualClock(START + place)
        given = [] if letter == "-" else [verdict("drift", letter, START + place)]
        found += policy.decide(*given)
    assert actions(found) == expected


def test_a_crash_does_not_move_the_memory_beyond_the_event_times() -> None:
    policy = ResponsePolicy(
        Response(Action.ALERT, when="drift", for_=2, unknown="fire"), clock=ManualClock(1e6)
    )
    found = []
    for letter, at in (("O", 100.0), ("U", None), ("B", 200.0), ("B", 300.0), ("B", 400.0)):
        found += policy.decide(verdict("drift", letter, at))
    assert actions(found) == ["alert"]


def test_verdicts_that_nobody_names_are_left_aside() -> None:
    policy = alert()
    assert policy.decide(verdict("another", "B", 1.0)) == []
    assert policy.state() == alert().state()


@pytest.mark.parametrize(
    ("verdicts", "message"),
    [
        ([7], r"^verdicts = 7"),
        ([None], r"^verdicts = None"),
        ([verdict("a", "B"), verdict("a", "O")], r"^verdicts = 'two of a'"),
    ],
    ids=["a number", "None", "two of one name"],
)
def test_bad_verdicts_are_named_and_change_nothing(verdicts: Any, message: str) -> None:
    policy = ResponsePolicy(Response(Action.ALERT, when="a"))
    state = policy.state()
    with pytest.raises(ConfigurationError, match=message):
        policy.decide(*verdicts)
    assert policy.state() == state


# ---------------------------------------------------------------- making one


def test_bad_arguments_are_named() -> None:
    one, two = Response(Action.ALERT, when="a"), Response(Action.RETRAIN, when="a", unless=["alert"])  # fmt: skip
    waiver = Waiver("ada", "w", 1.0)
    cases: list[tuple[tuple[Any, ...], dict[str, Any], str]] = [
        ((), {}, r"^responses = \[\]"),
        ((one, one), {}, r"^responses = \['alert', 'alert'\]"),
        ((7,), {}, r"^responses = 7"),
        ((two,), {}, r"^unless = \['alert'\]"),
        ((Response("x", when="a", unless=["x"]),), {}, r"^unless = \['x'\]"),
        ((one,), {"waivers": {"page": waiver}}, r"^waivers = \['page'\]"),
        ((one,), {"waivers": {"alert": "ada"}}, r"^waivers = 'ada'"),
        ((one,), {"waivers": 7}, r"^waivers = 7"),
        ((one,), {"flapping": (0.5, 0.25)}, r"^flapping = "),
        ((one,), {"flapping": (0.0, 0.5)}, r"^flapping = "),
        ((one,), {"flapping": (0.5, 1.0)}, r"^flapping = "),
        ((one,), {"flapping": ("a", 1.0)}, r"^flapping = 'a'"),
        ((one,), {"flapping": 0.5}, r"^flapping = 0.5"),
        ((one,), {"flapping": (0.5,)}, r"^flapping = "),
    ]
    for responses, arguments, message in cases:
        with pytest.raises(ConfigurationError, match=message):
            ResponsePolicy(*responses, **arguments)


def damaged(change: Callable[[dict[str, Any]], Any]) -> Any:
    policy = default_ladder()
    told(policy, "BBB")
    state = json.loads(json.dumps(policy.state()))
    return change(state) or state


@pytest.mark.parametrize(
    "change",
    [
        lambda _: 7,
        lambda _: {"kind": "sustained"},
        lambda s: s.update(schema=2),
        lambda s: s.update(digest="0" * 16),
        lambda s: s.pop("digest") and None,
        lambda s: s.pop("rungs") and None,
        lambda s: s.update(rungs=[]),
        lambda s: s["rungs"].pop("retrain") and None,
        lambda s: s["rungs"].update(retrain=None),
        lambda s: s["rungs"]["alert"].pop("held") and None,
        lambda s: s["rungs"]["alert"].update(held=[1, 2]),
        lambda s: s["rungs"]["alert"].update(taken=["x"]),
        lambda s: s["rungs"]["alert"].update(taken=None),
        lambda s: s["rungs"]["alert"].update(changes=-1),
    ],
    ids=[
        "number",
        "kind",
        "schema",
        "digest",
        "no digest",
        "no rungs",
        "rungs a list",
        "no rung",
        "rung None",
        "no held",
        "held short",
        "taken a word",
        "taken None",
        "changes",
    ],
)
def test_a_state_of_another_policy_or_damaged_is_refused(change: Any) -> None:
    policy = default_ladder()
    before = policy.state()
    with pytest.raises(ConfigurationError, match=r"^state"):
        policy.from_state(damaged(change))
    assert policy.state() == before


@given(st.text("OUWB", max_size=25), st.integers(0, 25), st.integers(0, 25))
def test_a_restart_anywhere_decides_nothing_anew(script: str, first: int, second: int) -> None:
    def policy() -> ResponsePolicy:
        return ResponsePolicy(
            Response(Action.ALERT, when="drift", for_=2, of=3, keep=2.0),
            Response(Action.RETRAIN, when="drift", severity="WARN", for_=2.0, cooldown=5.0),
            Response("page", when="drift", at_most=(1, 7.0), unknown="fire"),
        )

    going, again, expected, found = policy(), policy(), [], []
    for place, letter in enumerate(script):
        if place in {first, second}:
            again = reload(again, policy())
        expected += told(going, letter, start=place)
        found += told(again, letter, start=place)
    assert json.dumps([each.to_dict() for each in found]) == json.dumps(
        [each.to_dict() for each in expected]
    )


def test_another_object_with_its_state_does_not_share_its_memory() -> None:
    policy = ResponsePolicy(Response(Action.ALERT, when="drift"))
    for other in (policy.from_state(policy.state()), copy.copy(policy), copy.deepcopy(policy), pickle.loads(pickle.dumps(policy))):  # noqa: S301 -- our own  # fmt: skip
        assert actions(other.decide(verdict("drift", "B", 1.0))) == ["alert"]
        assert "drift was not given" in policy.explain()
    assert actions(policy.decide(verdict("drift", "B", 1.0))) == ["alert"]


# ---------------------------------------------------------------- threads


@pytest.fixture
def hasty() -> Iterator[None]:
    """Let threads take turns so often that a step without a lock is torn."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("hasty")
def test_of_eight_threads_one_alerts_and_one_resolves() -> None:
    policy, many = alert(), 8
    start = threading.Barrier(many)

    def decide(given: Verdict) -> list[Decision]:
        start.wait(20.0)
        return policy.decide(given)

    with ThreadPoolExecutor(many) as pool:
        for place, letter in enumerate("OBBBO" * 20):
            given = verdict("drift", letter, START + place)
            found = [each for some in pool.map(decide, [given] * many) for each in some]
            expected = {2: ["alert"], 4: ["resolve"]}.get(place % 5, [])
            assert actions(found) == expected


# ---------------------------------------------------------------- explain


def test_explain_says_where_each_stands() -> None:
    policy = ResponsePolicy(
        Response(Action.ALERT, when="drift", for_=3),
        Response(Action.RETRAIN, when="drift", for_=60.0, cooldown=1000.0),
        Response(Action.ROLLBACK, when=["drift", "recall"], severity="WARN"),
    )
    assert policy.explain() == (
        "alert: not due; it is when drift is BREACH\n"
        "  BREACH is needed: drift was not given\n"
        "retrain: not due; it is when drift is BREACH\n"
        "  BREACH is needed: drift was not given\n"
        "rollback: not due; it is when drift and recall are WARN\n"
        "  WARN is needed: drift was not given\n"
        "  WARN is needed: recall was not given"
    )
    told(policy, "BB")
    first = policy.explain().splitlines()[0]
    assert first == "alert: pending since 1970-01-01T00:16:40Z; 3 of 3 evaluations are needed"
    assert "retrain: pending since 1970-01-01T00:16:40Z; 60 s are needed" in policy.explain()
    assert "BREACH is needed: drift is BREACH, it is B" in policy.explain()
    told(policy, "B", start=2.0)
    assert policy.explain().startswith(
        "alert: fires since 1970-01-01T00:16:40Z; alert was decided on 1970-01-01T00:16:42Z"
    )


def test_explain_says_what_holds_an_action_back() -> None:
    policy = ResponsePolicy(
        Response(Action.RETRAIN, when="drift", cooldown=60.0),
        Response("quiet", when="drift", unless=["retrain"]),
        Response("seldom", when="drift", at_most=(1, 60.0)),
    )
    told(policy, "BOB")
    assert "retrain is withheld: it cools down until 1970-01-01T00:17:40Z" in policy.explain()
    assert "quiet is withheld: retrain fires" in policy.explain()
    assert "seldom is withheld: taken 1 times since" in policy.explain()


def test_explain_names_the_need_that_is_not_met() -> None:
    policy = needing(Need("B"))
    told(policy, "BB")
    assert "5,000 new labels" in policy.explain()


# ---------------------------------------------------------------- the default ladder, play

NAMES = ("drift", "estimated performance", "performance")


@pytest.mark.parametrize(
    ("letters", "expected"),
    [
        ("OOO", []),
        ("BOO", ["alert"]),
        ("OBO", []),
        ("BBO", ["alert", "retrain"]),
        ("OOB", ["rollback"]),
        ("BBB", ["rollback", "alert"]),
        ("BUO", ["alert"]),
        ("WWW", []),
    ],
)
def test_the_default_ladder(letters: str, expected: list[str]) -> None:
    policy, found = default_ladder(), []
    for place in range(3):
        policy.clock = ManualClock(START + place)
        found += policy.decide(
            *(
                verdict(name, letter, START + place)
                for name, letter in zip(NAMES, letters, strict=True)
            )
        )
    assert actions(found) == expected


def test_the_default_ladder_retrains_once_a_week_at_most() -> None:
    policy, day, found = default_ladder(), 86_400.0, []
    for place, letter in enumerate("BBBOBBBBBBBBB"):
        policy.clock = ManualClock(place * day)
        found += policy.decide(*(verdict(name, letter, place * day) for name in NAMES[:2]))
    assert [(each.at or 0.0) / day for each in found if each.action is Action.RETRAIN] == [2, 9]


def test_its_names_and_settings_are_arguments() -> None:
    policy = default_ladder(drift="psi", estimated="auc", performance="recall", dry_run=True)
    assert [each.condition for each in policy.responses] == [
        "psi is BREACH", "psi and auc are BREACH", "recall is BREACH",
    ]  # fmt: skip
    assert {each.action for each in play(policy, "BBB")} == {Action.NONE}
    with pytest.raises(ConfigurationError, match=r"^flapping"):
        default_ladder(flapping=(0.5, 0.2))


def test_play_gives_all_decisions_and_leaves_the_policy_alone() -> None:
    policy = alert(needs=[ScriptedCheck("BREACH")])
    told(policy, "B")
    state = policy.state()
    found = play(policy, "OO UBB BO", every=3600.0)
    assert [(str(each.action), each.at) for each in found] == [
        ("alert", 4 * 3600.0),
        ("resolve", 6 * 3600.0),
    ]
    assert policy.state() == state
    assert play(policy, "") == []
    assert play(policy, "OOUBBBO", every=3600.0) == found


@pytest.mark.parametrize("script", ["obo", "OXB", None, 7, ["O", "B"]], ids=repr)
def test_play_names_a_bad_script(script: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^script = "):
        play(alert(), script)


@pytest.mark.parametrize("every", [0, -1.0, "60", None])
def test_play_names_a_bad_step(every: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^every = "):
        play(alert(), "OB", every=every)


def test_a_verdict_that_never_comes_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    policy = ResponsePolicy(Response(Action.ALERT, when="drfit"))
    with caplog.at_level("WARNING", "mlguard"):
        for at in (1.0, 2.0, 3.0):
            assert policy.decide(verdict("drift", "B", at)) == []
    assert [each.getMessage() for each in caplog.records] == [
        f"{policy!r} waits for verdicts that were not given: ['drfit']"
    ]


def test_an_event_time_far_ahead_silences_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """A wrong year once, and nothing would have counted for a century."""
    clock = ManualClock(1_700_000_000)
    policy = ResponsePolicy(Response(Action.ALERT, when="drift", for_=2), clock=clock)
    wrong = Verdict("drift", Severity.BREACH, "drifted", at=clock() + 100 * 365 * 86_400.0)
    assert policy.decide(wrong) == []
    assert "is ahead of the clock" in caplog.text
    assert "is ahead of the clock" in policy.explain()
    decisions = []
    for _ in range(2):
        clock.advance(60.0)
        decisions += policy.decide(Verdict("drift", Severity.BREACH, "drifted", at=clock()))
    assert [each.action for each in decisions] == [Action.ALERT]
    ahead = Verdict("drift", Severity.OK, "fine", at=clock() + 86_400.0)  # a day, of time zones
    assert [each.action for each in policy.decide(ahead)] == [Action.RESOLVE]


@pytest.mark.parametrize("later", [0.0, 60.0, None])
@pytest.mark.parametrize("key", ["service", "model", "environment", "tenant", "route"])
def test_two_subjects_in_one_policy_are_refused(key: str, later: float | None) -> None:
    """Of two tenants in turn neither would be bad three times in a row, or both in each other's."""
    clock = ManualClock(1e9)
    policy = ResponsePolicy(Response(Action.ALERT, when="drift", for_=2), clock=clock)
    at = None if later is None else 1e9 + later
    policy.decide(verdict("drift", "B", at and 1e9, **{key: "eta", "version": "1"}))
    before = policy.state()
    with pytest.raises(ConfigurationError, match="one policy object for each subject"):
        policy.decide(verdict("drift", "B", at, **{key: "fraud", "version": "1"}))
    assert policy.state() == before
    assert policy.decide(verdict("drift", "B", 1e9 + 120.0, **{key: "eta", "version": "2"}))


def test_two_versions_at_one_event_time_are_refused() -> None:
    policy = ResponsePolicy(Response(Action.ALERT, when="drift"), clock=ManualClock(1e9))
    policy.decide(verdict("drift", "B", 1e9, version="1"))
    with pytest.raises(ConfigurationError, match="one policy object for each subject"):
        policy.decide(verdict("drift", "B", 1e9, version="2"))


@pytest.mark.parametrize("ring", [("a", "b"), ("a", "b", "c")])
def test_responses_that_hold_each_other_back_are_refused(ring: tuple[str, ...]) -> None:
    after = {name: ring[(place + 1) % len(ring)] for place, name in enumerate(ring)}
    with pytest.raises(ConfigurationError, match="unless"):
        ResponsePolicy(
            *(Response(name, when="x", unless=[after[name]]) for name in ring),
            Response("other", when="x", unless=["a"]),
        )


def test_explain_says_that_what_was_given_is_old() -> None:
    clock = ManualClock(1_700_000_000)
    policy = ResponsePolicy(Response(Action.ALERT, when="drift", for_=2), clock=clock)
    for ago in (0.0, 3_600.0):
        policy.decide(Verdict("drift", Severity.BREACH, "drifted", at=clock() - ago))
    assert "of 2023-11-14T21:13:20Z, older than what counted last" in policy.explain()


def test_names_that_no_response_has_are_not_kept() -> None:
    policy = ResponsePolicy(Response(Action.ALERT, when="drift"), clock=ManualClock(1e9))
    for place in range(50):
        policy.decide(Verdict(f"other {place}", Severity.OK, "fine"))
    assert not policy._verdicts
