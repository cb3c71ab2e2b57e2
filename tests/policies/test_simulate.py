"""Simulating a policy, and playing history back to it: what is drawn, and what is refused."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from mlguard import (
    Action,
    ConfigurationError,
    Decision,
    Measurement,
    Reference,
    Response,
    ResponsePolicy,
    Severity,
    Verdict,
    at_most,
    hysteresis,
)
from mlguard.drift import shifted
from mlguard.policies.simulate import Costs, Drift, Simulation, backtest, compared, simulate, sweep
from mlguard.testing import ManualClock

DAY = 86_400.0
MONTH = 365.25 / 12.0 * DAY
ALERT = ResponsePolicy(Response(Action.ALERT, when="x"))


def verdict(severity: Severity | str = "OK", reason: str = "as told") -> Verdict:
    return Verdict("x", severity if isinstance(severity, Severity) else Severity[severity], reason)


OK, BREACH = verdict(), verdict("BREACH")
RARE = [BREACH, *[OK] * 9] * 8
"""One of ten."""

ALONE: Any = {"block": 1, "cycle": None, "years": 2.0, "repeats": 30}


def bad(_: object, __: float) -> Verdict:
    return BREACH


def good(_: object, __: float) -> Verdict:
    return OK


def same(observation: Any, _: float) -> Any:
    return observation


class Spy:
    """A policy of the user's own: notes what it is shown, and decides nothing or what it is told.

    Its state is the number of evaluations so far.
    """

    def __init__(self, act: str = "") -> None:
        self.act = act
        self.paths: list[list[tuple[float, dict[str, Verdict], object]]] = []

    def begin(self) -> int:
        self.paths.append([])
        return 0

    def step(
        self, state: int, verdicts: Any, now: float, needs: Any = None
    ) -> tuple[int, list[Decision]]:
        self.paths[-1].append((now, dict(verdicts), needs))
        found = [Decision(self.act, "mine", key="k")] if self.act and not verdicts["x"].ok else []
        return state + 1, found


def labelled(count: int) -> list[Verdict]:
    """Give verdicts that say their place."""
    return [verdict(reason=str(place)) for place in range(count)]


def places(spy: Spy, name: str = "x") -> list[list[int]]:
    return [[int(verdicts[name].reason) for _, verdicts, _ in path] for path in spy.paths]


# Paths.


def test_blocks_stay_together_and_come_from_everywhere() -> None:
    spy = Spy()
    simulate(spy, {"x": labelled(90)}, block=9, cycle=None, years=40.0)
    seen = set()
    for path in places(spy):
        assert len(path) == 365
        for start in range(0, len(path), 9):
            part = path[start : start + 9]
            assert part == list(range(part[0], part[0] + len(part)))
            seen.add(part[0])
    assert seen == set(range(82))


@pytest.mark.parametrize(("block", "cycle"), [(7, 7), (10, 7), (3, 7), (1, 7), (7, 5), (12, 24)])
def test_blocks_keep_their_place_in_the_cycle(block: int, cycle: int) -> None:
    spy = Spy()
    days = [verdict(reason=str(day % cycle)) for day in range(200)]
    simulate(spy, {"x": days}, drifts={"d": Drift({"x": same})}, block=block, cycle=cycle, years=5.0,
             repeats=5)  # fmt: skip
    for path in places(spy):
        assert path == [day % cycle for day in range(len(path))]


def test_without_a_cycle_they_do_not() -> None:
    spy = Spy()
    simulate(
        spy, {"x": [verdict(reason=str(day % 7)) for day in range(200)]}, cycle=None, years=2.0
    )
    assert any(path != [day % 7 for day in range(365)] for path in places(spy))


def test_all_series_of_an_evaluation_are_of_one_day() -> None:
    spy = Spy()
    simulate(spy, {"x": labelled(80), "y": labelled(80)}, years=2.0)
    assert places(spy) == places(spy, "y")


def test_each_path_begins_anew_and_at_zero() -> None:
    spy = Spy()
    found = simulate(spy, {"x": labelled(80)}, every=timedelta(hours=6), years=1.0)
    assert len(spy.paths) == 4  # paths of 365 evaluations
    assert [now for now, _, _ in spy.paths[1]] == [6 * 3_600.0 * step for step in range(365)]
    assert found.years == pytest.approx(1.0, rel=1e-3)


def test_a_history_of_two_weeks_and_eight_blocks_is_enough() -> None:
    simulate(ALERT, {"x": labelled(14)}, block=1, cycle=7, years=1.0)
    simulate(ALERT, {"x": labelled(16)}, block=2, cycle=7, years=1.0)


# Drift.


def path_of(drift: Drift, **settings: Any) -> tuple[int, list[float]]:
    """Give the onset, and the strengths from then on."""
    spy = Spy()

    def effect(_: Verdict, strength: float) -> Verdict:
        return verdict(reason=f"{strength:g}")

    quiet = [verdict(reason="0")] * 80
    put = Drift({"x": effect}, drift.shape, drift.over)
    simulate(spy, {"x": quiet}, drifts={"d": put}, years=1.0, repeats=1, **settings)
    quiet_path, drifting = spy.paths
    assert {verdicts["x"].reason for _, verdicts, _ in quiet_path} == {"0"}
    strengths = [float(verdicts["x"].reason) for _, verdicts, _ in drifting]
    onset = next(step for step, each in enumerate(strengths) if each)
    return onset, strengths[onset:]


def test_a_sudden_drift_is_there_at_once_for_the_horizon() -> None:
    onset, strengths = path_of(Drift({"x": same}), horizon=50)
    assert onset >= 14
    assert strengths == [1.0] * 50


def test_a_gradual_one_grows_in_ten_steps() -> None:
    _, strengths = path_of(Drift({"x": same}, "gradual", over=20))
    assert strengths[:22] == [math.ceil((step + 1) / 2) / 10 for step in range(20)] + [1.0, 1.0]
    _, strengths = path_of(Drift({"x": same}, "gradual", over=1))
    assert strengths == [1.0] * 90
    _, strengths = path_of(Drift({"x": same}, "gradual", over=4))
    assert strengths[:4] == [0.3, 0.5, 0.8, 1.0]


def test_a_recurring_one_comes_and_goes() -> None:
    _, strengths = path_of(Drift({"x": same}, "recurring", over=5), horizon=12)
    assert strengths == [1.0] * 5 + [0.0] * 5 + [1.0] * 2


def test_a_drift_touches_the_series_it_names() -> None:
    spy = Spy()
    simulate(
        spy, {"x": [OK] * 80, "y": [OK] * 80}, drifts={"d": Drift({"y": bad})}, years=1.0, repeats=1
    )
    _, drifting = spy.paths
    assert {verdicts["x"].severity for _, verdicts, _ in drifting} == {Severity.OK}
    assert drifting[-1][1]["y"].severity is Severity.BREACH


def test_the_effect_sees_each_observation_of_the_history_once() -> None:
    seen: list[tuple[str, float]] = []

    def effect(old: Verdict, strength: float) -> Verdict:
        seen.append((old.reason, strength))
        return old

    simulate(ALERT, {"x": labelled(80)}, drifts={"d": Drift({"x": effect})}, years=1.0)
    assert seen == [(str(place), 1.0) for place in range(80)]


# Findings.


def test_decisions_are_counted_by_action_in_a_month() -> None:
    policy = ResponsePolicy(
        Response(Action.ALERT, when="x"), Response("call", when="x"), flapping=None
    )
    found = simulate(policy, {"x": [BREACH, OK] * 28}, block=2, cycle=2, years=3.0)
    per_month = 183 / (365 * DAY) * MONTH  # each path begins in breach, and 365 is odd
    assert {name: each.value for name, each in found.false.items()} == {
        "alert": pytest.approx(per_month), "retrain": 0.0, "rollback": 0.0, "call": pytest.approx(per_month)
    }  # fmt: skip
    assert found.false_alarms is found.false["alert"]
    assert found.false_retrains is found.false["retrain"]
    rate = found.false_alarms
    assert rate.low is not None
    assert rate.high is not None
    assert rate.low < rate.value < rate.high
    assert (rate.n, rate.confidence, rate.details["count"]) == (3, 0.95, 549)


def test_nothing_found_has_an_upper_end_by_the_rule_of_three() -> None:
    found = simulate(ALERT, {"x": [OK] * 80}, years=10.0).false_alarms
    assert (found.value, found.low) == (0.0, 0.0)
    assert found.high == pytest.approx(3.689 / 120.0, rel=0.01)  # -ln(0.025) in ten years


def test_a_drift_that_is_found_at_once_and_one_that_never_is() -> None:
    drifts = {"seen": Drift({"x": bad}), "unseen": Drift({"x": good})}
    found = simulate(ALERT, {"x": [OK] * 80}, drifts=drifts, repeats=50, years=1.0, horizon=40)
    seen, unseen = found.drifts.values()
    assert (seen.missed.value, seen.median.value, seen.p90.value, seen.mean) == (0.0, 0.0, 0.0, 0.0)
    assert seen.actions["alert"].value == 1.0
    assert unseen.missed.value == 1.0
    assert math.isnan(unseen.median.value)
    assert math.isnan(unseen.p90.value)
    assert (unseen.mean, unseen.actions) == (40 * DAY, {})
    assert found.delay == 20 * DAY
    assert unseen.missed.low == pytest.approx(0.025 ** (1 / 50), rel=1e-3)


def test_the_delay_counts_evaluations_in_seconds() -> None:
    policy = ResponsePolicy(Response(Action.ALERT, when="x", for_=4))
    found = simulate(
        policy, {"x": [OK] * 80}, drifts={"d": Drift({"x": bad})}, every=3_600.0, years=0.1
    )
    assert found.drifts["d"].median.value == 3 * 3_600.0
    assert found.drifts["d"].p90.value == 3 * 3_600.0


def test_an_alarm_that_is_stuck_finds_nothing() -> None:
    """It counts as one false alarm a year, and would be chosen for its calm."""
    policy = ResponsePolicy(Response(Action.ALERT, when="x", keep=1e9))
    found = simulate(policy, {"x": RARE}, drifts={"d": Drift({"x": bad})}, **ALONE)
    seen = found.drifts["d"]
    assert seen.before.value > 0.8
    assert seen.missed.value == 0.0 or seen.missed.n == 0
    assert seen.mean > 0.8 * 90 * DAY
    assert found.alarming.value > 0.9
    assert "quiet time with an alarm" in str(found)
    assert "d: in a false alarm" in str(found)
    quick = sweep(
        lambda keep: ResponsePolicy(Response(Action.ALERT, when="x", keep=keep)),
        {"keep": [0.0, 1e9]},
        {"x": RARE},
        drifts={"d": Drift({"x": bad})},
        **ALONE,
    )
    assert quick.choose(false_alarms_per_month=1e6) is quick.tried[0].policy


def test_an_alarm_that_stays_on_costs_a_page_each_further_day() -> None:
    """Else one that is stuck is the cheapest of all."""

    def kept(keep: float) -> ResponsePolicy:
        return ResponsePolicy(Response(Action.ALERT, when="x", keep=keep))

    tried = sweep(kept, {"keep": [0.0, 1e9]}, {"x": RARE}, costs=Costs(page=1.0), **ALONE)
    assert tried.choose(minimise="cost") is tried.tried[0].policy
    brief, stuck = (each.simulation for each in tried.tried)
    assert brief.cost == pytest.approx(brief.alarming.value * MONTH / DAY)
    assert 25.0 < (stuck.cost or 0.0) < MONTH / DAY
    hourly = simulate(
        kept(0.0), {"x": [BREACH] * 80}, every=3_600.0, costs=Costs(page=1.0), **ALONE
    )
    length = 365 / 24  # days of a path, with one alarm that is on throughout
    assert hourly.cost == pytest.approx((1.0 + length - 1 / 24) * MONTH / DAY / length)


def test_a_policy_that_always_alarms_is_shown_without_numbers_that_there_are_not() -> None:
    drifts = {"d": Drift({"x": bad})}
    found = simulate(ALERT, {"x": [BREACH] * 80}, drifts=drifts, **ALONE)
    rows = {row[0]: row[1:] for row in found.rows()}
    assert rows["d: in a false alarm"][0] == "100 %"
    assert rows["quiet time with an alarm"][0] == "100 %"
    assert rows["d: missed"] == ["–", ""]
    tried = sweep(lambda _: ALERT, {"_": [1]}, {"x": [BREACH] * 80}, drifts=drifts, **ALONE)
    head, row = tried.rows()
    assert dict(zip(head, row, strict=True)) == {
        "policy": "_ 1",
        "false alarms a month": "0.0834",
        "false retrains": "0",
        "missed": "–",
        "mean delay, d": "90",
        "alarming": "100 %",
    }


def test_an_alarm_that_was_over_at_the_onset_does_not_count() -> None:
    found = simulate(ALERT, {"x": RARE}, drifts={"d": Drift({"x": good})}, **ALONE)
    seen = found.drifts["d"]
    assert seen.missed.value == 1.0
    assert 0.0 < seen.before.value < 0.4  # it is on in one of ten
    assert (seen.missed.n or 0) + round(seen.before.value * 30) == 30


def test_a_drift_begins_anywhere_in_the_cycle() -> None:
    """A check that is only bad on Mondays finds a drift after none to six days."""
    week = [OK] * 7
    history = {"x": week * 12}

    def mondays(old: Verdict, _: float) -> Verdict:
        return BREACH if next(monday) else old

    monday = itertools.cycle([True] + [False] * 6)
    found = simulate(
        ALERT, history, drifts={"d": Drift({"x": mondays})}, years=1.0, repeats=400, block=7
    ).drifts["d"]
    assert found.missed.value == 0.0
    assert found.mean == pytest.approx(3 * DAY, rel=0.1)
    assert found.p90.value == 6 * DAY


def test_an_action_that_was_over_at_the_onset_finds_nothing() -> None:
    """A retrain has no RESOLVE; one before the onset says nothing about the drift."""
    policy = ResponsePolicy(Response(Action.RETRAIN, when="x"))
    found = simulate(policy, {"x": RARE}, drifts={"d": Drift({"x": good})}, **ALONE)
    assert found.drifts["d"].actions == {}
    assert found.drifts["d"].missed.value == 1.0


def test_a_dry_run_is_simulated_as_the_policy_it_tries_out() -> None:
    """Its decisions are NONE, and say what they would have been."""
    dry = ResponsePolicy(Response(Action.ALERT, when="x"), dry_run=True)
    drifts = {"d": Drift({"x": good})}
    one, other = (simulate(each, {"x": RARE}, drifts=drifts, **ALONE) for each in (ALERT, dry))
    assert other.drifts["d"].missed == one.drifts["d"].missed


def test_costs_come_to_a_sum() -> None:
    costs = Costs(page=10.0, retrain=100.0, bad_hour=2.0, drifts_a_year=6.0)
    policy = ResponsePolicy(
        Response(Action.ALERT, when="x"), Response(Action.RETRAIN, when="x", for_=2)
    )
    drifts = {"a": Drift({"x": bad}), "b": Drift({"x": good})}
    found = simulate(policy, {"x": RARE}, drifts=drifts, costs=costs, **ALONE)
    days = found.alarming.value * MONTH / DAY  # of one evaluation each, and those that follow
    assert days >= found.false_alarms.value
    expected = (
        10.0 * days + 100.0 * found.false_retrains.value + found.delay / 3_600.0
    )  # half a drift a month of 2 an hour
    assert found.cost == pytest.approx(expected)
    assert simulate(policy, {"x": RARE}, **ALONE).cost is None
    quiet = simulate(policy, {"x": RARE}, costs=costs, **ALONE)
    assert quiet.cost == pytest.approx(10.0 * days + 100.0 * found.false_retrains.value)
    assert math.isnan(quiet.delay)


def test_needs_are_taken_as_met_and_not_asked() -> None:
    def fails() -> Verdict:
        raise AssertionError

    policy = ResponsePolicy(Response(Action.RETRAIN, when="x", needs=[fails], name="again"))
    found = simulate(policy, {"x": RARE}, **ALONE)
    assert found.false_retrains.value > 1.0
    spy = Spy()
    simulate(spy, {"x": RARE}, **ALONE)
    assert spy.paths[0][0][2] == {}


def test_any_object_with_the_two_methods_can_be_simulated() -> None:
    found = simulate(Spy("shout"), {"x": RARE}, drifts={"d": Drift({"x": bad})}, **ALONE)
    assert found.false["shout"].value == pytest.approx(3.0, abs=1.0)
    assert found.drifts["d"].actions["shout"].value == 1.0


def test_the_policy_is_left_as_it_is() -> None:
    policy = ResponsePolicy(Response(Action.ALERT, when="x"))
    policy.decide(BREACH)
    before = policy.state()
    simulate(policy, {"x": RARE}, **ALONE)
    backtest(policy, {"x": RARE}, times=range(80))
    assert policy.state() == before


# Judges.


def test_a_judge_makes_verdicts_and_its_times_do_not_matter() -> None:
    values = [Measurement("psi", 0.3 if day % 10 == 0 else 0.1, at=1e9 + day) for day in range(80)]
    told = simulate(ALERT, {"x": RARE}, **ALONE)
    assert simulate(ALERT, {"x": values}, judges={"x": at_most(0.2)}, **ALONE) == told


def test_a_judge_with_a_memory_goes_along_the_path() -> None:
    rng = np.random.default_rng(3)
    values = [Measurement("psi", float(value)) for value in rng.normal(0.9, 0.15, 90)]
    policy, spy = hysteresis(enter=1.0, exit=0.8), Spy()
    more = Drift({"x": lambda old, s: Measurement("psi", old.value + s)})
    simulate(spy, {"x": values}, judges={"x": policy}, drifts={"d": more}, years=3.0, repeats=3)
    remembered = 0
    assert len(spy.paths) == 6
    for path in spy.paths:
        state = None
        for _, verdicts, _ in path:
            (measured,) = verdicts["x"].evidence
            state, expected = policy.step(state, measured)
            assert verdicts["x"].severity is expected.severity
            remembered += expected.severity is not policy(measured).severity
    assert remembered > 50


def test_the_times_of_what_a_judge_with_a_memory_sees_do_not_matter() -> None:
    values = [1.5 if place % 9 == 0 else 0.5 for place in range(90)]
    timeless, timed = (
        [Measurement("psi", value, at=at(place)) for place, value in enumerate(values)]
        for at in (lambda _: None, lambda place: 1e9 + DAY * place)
    )
    judges = {"x": hysteresis(enter=1.0, exit=0.8)}
    one, other = (
        simulate(ALERT, {"x": each}, judges=judges, **ALONE) for each in (timeless, timed)
    )
    assert one == other
    assert one.false_alarms.value > 1.0


def test_profiles_are_judged_by_their_reference_many_at_once() -> None:
    rng = np.random.default_rng(4)
    reference = Reference.fit({"a": rng.normal(size=5_000), "b": rng.normal(size=5_000)})
    profiles = [
        reference.profile({"a": rng.normal(size=500), "b": rng.normal(size=500)}) for _ in range(60)
    ]
    judge = compared(reference, must_be_conclusive=["a"], breach=0.4)
    verdicts = [
        reference.compare(each, breach=0.4).verdict(must_be_conclusive=["a"]) for each in profiles
    ]
    assert judge.many(profiles) == verdicts
    assert judge(profiles[0]) == verdicts[0]
    drifts = {
        "all": Drift({"x": shifted(reference, 1.0)}),
        "one": Drift({"x": shifted(reference, 1.0, columns=["a"])}, "gradual"),
    }
    found = simulate(
        ALERT, {"x": profiles}, judges={"x": judge}, drifts=drifts, years=2.0, repeats=20
    )
    assert found.false_alarms.value < 0.5
    assert found.drifts["all"].median.value == 0.0
    assert found.drifts["one"].missed.value == 0.0
    assert found.drifts["one"].median.value > 5 * DAY


# Seeds, workers, progress.

MIXED: Any = {
    "drifts": {
        "a": Drift({"x": lambda old, _: verdict("BREACH" if old.reason[-1] in "123" else "OK")}),
        "b": Drift({"x": bad}, "gradual"),
    },
    "years": 30.0,
    "repeats": 30,
}
SHAKY = [verdict("BREACH" if place % 9 == 0 else "OK", str(place)) for place in range(90)]
TWICE = ResponsePolicy(Response(Action.ALERT, when="x", for_=2), Response(Action.RETRAIN, when="x"))


def run(seed: int | None = 7, **settings: Any) -> Simulation:
    rng = None if seed is None else np.random.default_rng(seed)
    return simulate(TWICE, {"x": SHAKY}, rng=rng, **{**MIXED, **settings})


def test_the_same_seed_gives_the_same_result_and_another_another() -> None:
    assert run() == run()
    assert str(run()) == str(run())
    assert run() != run(8)
    assert run(None) == run(0)


def test_the_number_of_workers_changes_nothing() -> None:
    assert run(workers=2) == run(workers=1)
    assert run(workers=3, years=0.1) == run(years=0.1)


def test_a_judge_with_a_memory_works_in_other_processes() -> None:
    values = [Measurement("psi", 0.1 * (place % 13)) for place in range(90)]
    settings: Any = {"judges": {"x": hysteresis(enter=1.0, exit=0.5)}, "years": 30.0}
    one, two = (simulate(TWICE, {"x": values}, workers=count, **settings) for count in (1, 2))
    assert one == two
    assert one.false_alarms.value > 0.0


def test_a_crash_in_a_worker_arrives() -> None:
    with pytest.raises(TypeError):
        simulate(Crashing(), {"x": SHAKY}, workers=2, years=60.0)


class Crashing(Spy):
    def step(self, *_: Any, **__: Any) -> Any:
        raise TypeError


def test_the_quiet_paths_do_not_depend_on_the_drifts() -> None:
    assert run(drifts={}).false == run().false


def test_the_order_of_drifts_does_not_matter() -> None:
    """Each has paths of its own, by its name and not by its place."""
    turned = {name: MIXED["drifts"][name] for name in ("b", "a")}
    assert run(drifts=turned).drifts == run().drifts


def test_a_drift_may_have_any_name() -> None:
    found = simulate(ALERT, {"x": [OK] * 80}, drifts={"": Drift({"x": bad})}, years=1.0, repeats=10)
    assert found.false_alarms.value == 0.0
    assert found.drifts[""].missed.value == 0.0


@pytest.mark.parametrize("workers", [1, 2])
def test_progress_is_told_up_to_the_end(workers: int) -> None:
    told: list[tuple[int, int]] = []
    run(workers=workers, progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (90, 90)
    assert {total for _, total in told} == {90}
    assert all(before < after for (before, _), (after, _) in pairwise(told))
    assert len(told) >= 3


# Bad input.


def refused(words: str, policy: Any = ALERT, history: Any = None, **settings: Any) -> None:
    with pytest.raises(ConfigurationError, match=words):
        simulate(policy, {"x": RARE} if history is None else history, **settings)


def test_a_history_that_is_too_short_says_what_is_needed() -> None:
    refused(
        r"len\(history\) = 55: must be at least 56: 8 blocks of 7, and two cycles",
        history={"x": RARE[:55]},
    )
    refused(r"len\(history\) = 80: must be at least 240: 8 blocks of 30", block=30)
    refused(r"len\(history\) = 80: must be at least 200: ", cycle=100)
    refused(
        r"len\(history\) = 7: must be at least 8: ", history={"x": RARE[:7]}, block=1, cycle=None
    )


def test_uneven_series_are_refused_with_their_lengths() -> None:
    refused(r"history = \{'x': 80, 'y': 79\}: must be one series or more, all of one length",
            history={"x": RARE, "y": RARE[:79]})  # fmt: skip
    refused(r"history = \{\}: must be one series or more", history={})


def test_unknown_names_are_refused_with_those_that_are_known() -> None:
    refused(
        r"judges = \['psi'\]: must be names of series, among \['x'\]", judges={"psi": at_most(1.0)}
    )
    refused(r"drifts\['d'\] = \['y'\]: must be names of series, among \['x'\]", drifts={"d": Drift({"x": bad, "y": bad})})  # fmt: skip


MEASUREMENTS = [Measurement("psi", 0.1)] * 80


def test_observations_of_another_kind_are_refused() -> None:
    refused(r"history\['x'\] = Measurement.*: must be a verdict, or a judge in judges", history={"x": MEASUREMENTS})  # fmt: skip
    refused(r"history\['x'\] = None: must be a verdict, or a judge in judges", history={"x": [*RARE[:-1], None]})  # fmt: skip
    refused(r"history\['x'\] = Verdict.*: must be a measurement", judges={"x": hysteresis(enter=1.0, exit=0.5)})  # fmt: skip
    refused(r"history\['x'\] = 3: must be a verdict", judges={"x": lambda _: 3})
    refused(
        r"history\['x'\] = 'bad': must be a verdict", drifts={"d": Drift({"x": lambda *_: "bad"})}
    )


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"every": 0.0}, "every = 0.0: must be"),
        ({"every": math.nan}, "every = nan: must be"),
        ({"years": 0.0}, "years = 0.0: must be"),
        ({"years": -1.0}, "years = -1.0: must be"),
        ({"years": math.inf}, "years = inf: must be"),
        ({"block": 0}, "block = 0: must be a whole number of at least 1"),
        ({"block": 2.5}, "block = 2.5: must be a whole number"),
        ({"cycle": 0}, "cycle = 0: must be a whole number of at least 1"),
        ({"horizon": 0}, "horizon = 0: must be a whole number of at least 1"),
        ({"repeats": 0}, "repeats = 0: must be a whole number of at least 1"),
        ({"workers": 0}, "workers = 0: must be a whole number of at least 1"),
        ({"workers": "two"}, "workers = 'two': must be"),
    ],
    ids=str,
)
def test_arguments_out_of_range_are_refused(settings: dict[str, Any], words: str) -> None:
    refused(words, **settings)


def test_whole_numbers_may_be_written_as_floats() -> None:
    wholes: Any = {"block": 7, "cycle": 7, "horizon": 30, "repeats": 5, "years": 1.0}
    floats: Any = {name: float(value) for name, value in wholes.items()}
    drifts = {"d": Drift({"x": bad})}
    assert simulate(ALERT, {"x": RARE}, drifts=drifts, **floats) == simulate(
        ALERT, {"x": RARE}, drifts=drifts, **wholes
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"effects": {}}, r"effects = \{\}: must be at least one"),
        ({"effects": []}, r"effects = \[\]: must be a mapping of names to callables"),
        ({"effects": {"x": 1.0}}, r"effects = \{'x': 1.0\}: must be a mapping of names to callables"),
        ({"shape": "slow"}, "shape = 'slow': must be one of \"sudden\", \"gradual\", \"recurring\""),
        ({"over": 0}, "over = 0: must be a whole number of evaluations"),
        ({"over": 1.5}, "over = 1.5: must be a whole number of evaluations"),
    ],
    ids=str,
)  # fmt: skip
def test_a_drift_that_makes_no_sense_is_refused(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        Drift(**{"effects": {"x": bad}, **arguments})


# As text and table.


def test_it_is_shown_as_a_table() -> None:
    drifts = {"all <of> it": Drift({"x": bad}), "nothing": Drift({"x": good})}
    found = simulate(ALERT, {"x": [OK] * 80}, drifts=drifts, costs=Costs(bad_hour=1.0), years=1.0,
                     repeats=20, horizon=10)  # fmt: skip
    rows = {row[0]: row[1:] for row in found.rows()}
    assert rows["what"] == ["value", "95 % interval"]
    assert rows["false alert a month"][0] == "0"
    assert rows["all <of> it: missed"] == ["0 %", "0 to 16.8 %"]
    assert rows["all <of> it: delay, median"] == ["0 d", "0 to 0 d"]
    assert rows["all <of> it: alert"] == ["100 %", "83.2 to 100 %"]
    assert rows["nothing: missed"] == ["100 %", "83.2 to 100 %"]
    assert "nothing: delay, median" not in rows
    assert rows["cost a month"] == ["20", ""]  # a sixth of a drift, five days of 24
    lines = str(found).splitlines()
    assert len(lines) == len(rows)
    assert lines[0].endswith("95 % interval")
    assert repr(found) == "<Simulation of 0.999316 quiet years, 2 drifts>"
    table = ET.fromstring(found._repr_html_())  # noqa: S314 -- our own
    assert [["".join(cell.itertext()) for cell in row] for row in table.iter("tr")] == found.rows()


# Backtest.


def times(count: int) -> list[float]:
    return [1.7e9 + DAY * place for place in range(count)]


def told(decisions: list[Decision]) -> list[tuple[float | None, str]]:
    return [((each.at or 0.0) - 1.7e9, str(each.action)) for each in decisions]


def test_a_backtest_gives_the_decisions_at_their_times() -> None:
    history = {"x": [OK, BREACH, BREACH, OK, BREACH]}
    assert told(backtest(ALERT, history, times=times(5))) == [
        (DAY, "alert"), (3 * DAY, "resolve"), (4 * DAY, "alert"),
    ]  # fmt: skip


def test_in_a_backtest_none_is_no_observation() -> None:
    policy = ResponsePolicy(Response(Action.ALERT, when="x", for_=2))
    history = {"x": [BREACH, None, BREACH, None, OK, None]}
    assert told(backtest(policy, history, times=times(6))) == [
        (2 * DAY, "alert"),
        (4 * DAY, "resolve"),
    ]
    judged = {"x": [None if each is None else Measurement("m", float(not each.ok)) for each in history["x"]]}  # fmt: skip
    for judge in (at_most(0.5), hysteresis(enter=0.5, exit=0.4)):
        found = backtest(policy, judged, judges={"x": judge}, times=times(6))
        assert told(found) == [(2 * DAY, "alert"), (4 * DAY, "resolve")]


def test_a_backtest_knows_verdicts_by_the_name_in_the_history() -> None:
    found = backtest(ALERT, {"x": [Verdict("other", Severity.BREACH, "why")]}, times=[5.0])
    assert [each.name for each in found[0].verdicts] == ["x"]
    assert "x is BREACH, why" in found[0].reason


def test_names_that_no_response_is_about_are_no_quiet_history(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with pytest.raises(ConfigurationError, match=r"^history = \['y'\]: must be of all names"):
        backtest(ALERT, {"y": [BREACH]}, times=[5.0])
    with pytest.raises(ConfigurationError, match=r"^history"):
        simulate(ALERT, {"y": [BREACH] * 80})
    ladder = ResponsePolicy(
        Response(Action.ALERT, when="x"), Response(Action.RETRAIN, when=["x", "labels"])
    )
    found = simulate(ladder, {"x": [OK] * 80}, years=0.5)
    assert found.unjudged == ("retrain",)
    assert "not judged: retrain" in str(found)
    backtest(ladder, {"x": [OK]}, times=[5.0])
    assert [each.getMessage() for each in caplog.records] == [
        f"{ladder!r} cannot judge from this history: ['retrain']"
    ]


def test_a_backtest_with_a_memory_and_one_with_profiles() -> None:
    values = [0.5, 1.1, 0.95, 0.95, 0.9, 0.95]
    history = {"x": [Measurement("psi", value) for value in values]}
    found = backtest(ALERT, history, judges={"x": hysteresis(enter=1.0, exit=0.9)}, times=times(6))
    assert told(found) == [(DAY, "alert"), (4 * DAY, "resolve")]
    rng = np.random.default_rng(2)
    reference = Reference.fit({"a": rng.normal(size=5_000)})
    days = [reference.profile({"a": rng.normal(shift, size=5_000)}) for shift in (0.0, 1.0, 0.0)]
    found = backtest(ALERT, {"x": days}, judges={"x": compared(reference)}, times=times(3))
    assert told(found) == [(DAY, "alert"), (2 * DAY, "resolve")]


def test_a_backtest_takes_needs_as_met() -> None:
    policy = ResponsePolicy(Response("call", when="x", needs=[lambda: BREACH]))
    assert told(backtest(policy, {"x": [BREACH]}, times=times(1))) == [(0.0, "call")]


def test_a_backtest_refuses_what_does_not_fit() -> None:
    for history, settings, words in (
        ({"x": RARE}, {}, r"len\(history\['x'\]\) = 80: must be that of times, 2"),
        ({"x": [BREACH, OK]}, {"judges": {"y": at_most(1.0)}}, r"judges = \['y'\]: must be names of series, among \['x'\]"),
        ({"x": [BREACH, 3]}, {}, r"history\['x'\] = 3: must be a verdict, or a judge in judges"),
        ({"x": MEASUREMENTS[:2]}, {}, r"history\['x'\] = Measurement.*: must be a verdict"),
    ):  # fmt: skip
        with pytest.raises(ConfigurationError, match=words):
            backtest(ALERT, history, times=[0.0, 1.0], **settings)


@pytest.mark.parametrize("wrong", [[5.0, 4.0], [5.0, math.nan], [5.0, 1e15]])
def test_times_of_a_backtest_do_not_fall(wrong: list[float]) -> None:
    with pytest.raises(ConfigurationError, match=r"^times = "):
        backtest(ALERT, {"x": [OK, OK]}, times=wrong)


def test_a_backtest_leaves_aside_what_is_far_ahead_as_the_live_policy_does() -> None:
    times = [1_700_000_000.0 + place * DAY for place in range(4)]
    clock = ManualClock(times[0])
    history = [replace(BREACH, at=each) for each in times]
    history[1] = replace(BREACH, at=times[1] + 100 * 365 * DAY)
    policy = ResponsePolicy(Response(Action.ALERT, when="x", for_=3), clock=clock)
    live = []
    for each in history:
        live += policy.decide(each)
        clock.advance(DAY)
    assert [each.at for each in live] == times[-1:]
    assert backtest(policy, {"x": history}, times=times) == live


def test_a_policy_that_cannot_be_sent_to_workers_is_named() -> None:
    policy = ResponsePolicy(Response(Action.ALERT, when="x", needs=[lambda: OK]))
    with pytest.raises(ConfigurationError, match=r"^policy = .*without lambdas"):
        simulate(policy, {"x": [OK] * 80}, years=0.5, workers=2)


def test_a_history_of_which_nothing_is_known_does_not_just_look_quiet() -> None:
    known, unknown = (Measurement("psi", value) for value in (0.5, math.nan))
    for judge in (at_most(1.0), hysteresis(enter=1.0, exit=0.5)):
        for history, part in (([unknown] * 80, "100 %"), ([known, unknown] * 40, "50 %")):
            found = simulate(ALERT, {"x": history}, judges={"x": judge}, years=0.5)
            assert ["history of x: unknown", part, ""] in found.rows()
        found = simulate(ALERT, {"x": [known] * 80}, judges={"x": judge}, years=0.5)
        assert "unknown" not in str(found)


NUMBERS: Any = {"x": [0.1] * 80}
REFERENCE = Reference.fit({"a": np.arange(100.0)})


@pytest.mark.parametrize(
    ("history", "judge", "words"),
    [
        (NUMBERS, at_most(1.0), "must be an observation that its judge takes"),
        ({"x": [REFERENCE.profile()] * 80}, at_most(1.0), "must be an observation that its"),
        (NUMBERS, hysteresis(enter=1.0, exit=0.5), "must be a measurement"),
        (NUMBERS, compared(REFERENCE), "must be Profile"),
        ({"x": [Measurement("psi", 1.0)] * 80}, compared(REFERENCE), "must be Profile"),
        ({"x": 5}, None, "must be a series of observations"),
        ({"x": "OOBB" * 20}, None, "must be a series of observations"),
        ([OK] * 80, None, "must be a mapping of names to observations"),
        ({"x": [OK] * 80}, 3, "must be a mapping of names to callables"),
    ],
)
def test_observations_of_another_kind_are_named(history: Any, judge: Any, words: str) -> None:
    judges = {} if judge is None else {"x": judge}
    parameter = "judges" if judge == 3 else "history"
    with pytest.raises(ConfigurationError, match=rf"^{parameter}.* = .*{words}"):
        simulate(ALERT, history, judges=judges, years=0.5)
    with pytest.raises(ConfigurationError, match=rf"^{parameter}.* = .*{words}"):
        backtest(ALERT, history, judges=judges, times=range(80))


@pytest.mark.parametrize("name", ["judges", "drifts"])
def test_judges_and_drifts_are_mappings(name: str) -> None:
    wrong: Any = {name: [at_most(1.0)]}
    with pytest.raises(ConfigurationError, match=rf"^{name} = "):
        simulate(ALERT, {"x": [OK] * 80}, **wrong)
    with pytest.raises(ConfigurationError, match=r"^judges = "):
        backtest(ALERT, {"x": [OK]}, judges=wrong[name], times=[1.0])


def test_what_is_no_policy_is_named() -> None:
    wrong: Any = 3
    with pytest.raises(ConfigurationError, match=r"^policy = 3: must be"):
        simulate(wrong, {"x": [OK] * 80})
    with pytest.raises(ConfigurationError, match=r"^policy = 3: must be"):
        backtest(wrong, {"x": [OK]}, times=[1.0])
    with pytest.raises(ConfigurationError, match=r"^times = 5: must be"):
        backtest(ALERT, {"x": [OK]}, times=wrong + 2)
