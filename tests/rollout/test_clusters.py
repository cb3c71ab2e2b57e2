"""Users whose retries all fail count once."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlguard import Action, ConfigurationError
from mlguard.rollout import BlastRadius, Guardrail, RollbackEngine, RollbackPlan, clusters
from mlguard.rollout.clusters import Clusters
from mlguard.testing import ManualClock

GUARDRAILS = (Guardrail("errors"), Guardrail("slow"))


def engine(**settings: Any) -> tuple[RollbackEngine, ManualClock]:
    clock = ManualClock(1e9)
    given = {"guardrails": GUARDRAILS, "bake": 1e9, "cluster": "user", **settings}
    return RollbackEngine(RollbackPlan("external", **given), clock=clock), clock


def looked(judge: RollbackEngine, clock: ManualClock) -> Any:
    clock.advance(1.0)
    return judge.decide()


def test_retries_of_one_user_count_once() -> None:
    judge, clock = engine()
    for look in range(50):
        for user in ("ada", "bob"):
            judge.observe("baseline", requests=1, cluster=user)
        for _ in range(20):
            judge.observe("canary", requests=1, events={"errors": 1}, cluster="eve")
        assert looked(judge, clock).action is Action.NONE, look
    errors, slow = judge.findings
    assert errors["events"] == [1, 0]
    assert judge.state()["evidence"]["trials"] == [[1, 2], [50, 100]]
    assert slow["events"] == [0, 0]
    assert judge.state()["exposed"] == 1_000


def test_users_that_all_fail_roll_back() -> None:
    judge, clock = engine()
    for user in range(20):
        judge.observe("canary", requests=1, events={"errors": 1}, cluster=f"c{user}")
        judge.observe("baseline", requests=1, cluster=f"b{user}")
        if looked(judge, clock).action is Action.ROLLBACK:
            break
    assert user < 10
    assert f"errors: {user + 1} users of the canary, 0 of the baseline" in judge.decide().reason


reports = st.lists(
    st.tuples(
        st.sampled_from(["a", "b"]),
        st.integers(0, 1),
        st.integers(0, 9),
        st.fixed_dictionaries({"errors": st.integers(0, 2), "slow": st.integers(0, 1)}),
    ),
    max_size=60,
)


@given(reports)
def test_first_events_are_those_of_a_brute_force_count(
    given: list[tuple[str, int, int, dict[str, int]]],
) -> None:
    counted = Clusters(["errors", "slow"])
    failed: set[tuple[str, int]] = set()
    active: set[tuple[str, int, int]] = set()
    for interval, place, key, events in given:
        fresh = [name for name in events if (name, key) not in failed]
        expected = (
            {name: 1 for name in fresh if (interval, place, key) not in active},
            {name: 1 for name in fresh if events[name]},
        )
        assert counted.first(interval, place, key, events) == expected
        active.add((interval, place, key))
        failed |= {(name, key) for name in expected[1]}
        record = json.loads(json.dumps(counted.to_dict()))
        counted = Clusters.from_dict(record, ["errors", "slow"])
    assert counted.users == len({key for _, place, key, _ in given if place == 0})


def test_memory_is_bounded_and_what_is_left_is_a_random_part(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(clusters, "_MOST", 1_000)
    counted = Clusters(["errors"])
    for user in range(20_000):
        counted.first("", user % 2, user, {"errors": int(user % 10 == 0)})
        if user % 100 == 0:
            counted.keep({})
    assert len(counted.failed) + len(counted.exposed) <= 1_000
    assert counted.part < 0.2
    assert counted.users == pytest.approx(10_000, rel=0.15)
    share = len(counted.failed) / (20_000 * counted.part)
    assert share == pytest.approx(0.1, rel=0.3)


def test_a_closed_interval_is_forgotten() -> None:
    judge, clock = engine()
    for name in ("a", "b"):
        judge.observe("canary", requests=1, cluster=1, interval=name)
    judge.observe("baseline", requests=1, cluster=2, interval="a")
    looked(judge, clock)
    assert [*judge.state()["clusters"]["active"]] == ["b"]


def test_users_and_cost_are_part_of_the_blast_radius() -> None:
    judge, clock = engine(blast_radius=BlastRadius(users=3))
    for user in range(3):
        judge.observe("canary", requests=5, cluster=user, cost=0.5)
        judge.observe("canary", requests=5, cluster=user)
        judge.observe("baseline", requests=5, cluster=10 + user, cost=99.0)
        decision = looked(judge, clock)
    assert decision.action is Action.ROLLBACK
    assert decision.reason == "blast radius: 3 users were exposed, and 3 may be"
    judge, clock = engine(blast_radius=BlastRadius(cost=10.0), cluster=None)
    for total in (4.0, 9.5, 9.5, 11.0):
        judge.observe("canary", requests=int(total), cost=total, source="pod")
        judge.observe("baseline", requests=5)
        decision = looked(judge, clock)
    assert decision.action is Action.ROLLBACK
    assert decision.reason == "blast radius: 11.0 was spent on the canary, and 10.0 may be"


@pytest.mark.parametrize(
    ("settings", "report", "named"),
    [
        ({}, {}, "cluster"),
        ({"cluster": None}, {"cluster": "ada"}, "cluster"),
        ({}, {"cluster": "ada", "source": "pod"}, "source"),
        ({}, {"cluster": 1.5}, "cluster"),
        ({}, {"cluster": "ada", "cost": -1.0}, "cost"),
        ({}, {"cluster": "ada", "cost": float("nan")}, "cost"),
    ],
)
def test_bad_reports_are_named_and_change_nothing(
    settings: dict[str, Any], report: dict[str, Any], named: str
) -> None:
    judge, _ = engine(**settings)
    before = judge.state()
    with pytest.raises(ConfigurationError, match=f"^{named} = "):
        judge.observe("canary", requests=1, **report)
    assert judge.state() == before


def test_users_are_limited_only_where_they_are_known() -> None:
    with pytest.raises(ConfigurationError, match="blast_radius"):
        engine(cluster=None, blast_radius=BlastRadius(users=3))
