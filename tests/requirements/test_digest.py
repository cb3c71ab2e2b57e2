"""Documents have one digest exactly if they mean the same, and nobody changes what one means."""

from __future__ import annotations

import copy
import json
import pickle
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlguard import Guards, MemoryStore, Reference, Requirements
from mlguard.testing import ManualClock

HERE = Path(__file__).parent
HEAD = {"version": 1, "service": "fraud"}

# What a document may mean. Each part is said in one way only, so that other values mean other things.
ZONES = ("UTC", "Europe/Berlin")
CAPS = st.tuples(
    st.sampled_from(["500", "20.5"]),
    st.sampled_from([*[("day", zone) for zone in ZONES], ("48 h", "")]),
    st.sampled_from(["deny", "allow"]),
    st.sampled_from(["floor", "reserved"]),
)
RULES = st.lists(
    st.tuples(
        st.sets(st.sampled_from(["drift", "latency"]), min_size=1),
        st.sampled_from(["WARN", "BREACH"]),
        st.sampled_from([1, 3, 7200.0]),
        st.sampled_from([None, 7]),
        st.booleans(),
    ),
    max_size=2,
)
MEANINGS = st.fixed_dictionaries(
    {
        "latency": st.tuples(st.sampled_from([40, 50]), st.sampled_from([5, 10])),
        "errors": st.sampled_from([("month", zone) for zone in ZONES] + [(7, ""), (30, "")]),
        "slo": st.sampled_from(["99", "99.9"]),
        "price": st.none() | st.sampled_from(["12", "0.5"]),
        "cap": st.none() | CAPS,
        "drift": st.tuples(st.sampled_from([0.1, 0.15]), st.sampled_from([3, 4])),
        "must": st.sets(st.sampled_from(["amount", "score", "age"])),
        "rules": RULES,
        "guardrails": st.sets(st.sampled_from(["errors", "slow", "dear"]), min_size=1),
        "lenient": st.booleans(),
        "requests": st.none() | st.just(50_000),
        "spent": st.none() | st.sampled_from([100, 250]),
        "roles": st.lists(st.sampled_from(["risk", "platform"]), max_size=3).map(sorted),
        "more": st.integers(0, 1),
    }
)


class Writer:
    """Writes what is meant in one of its ways, as `draw` says."""

    def __init__(self, draw: Any) -> None:
        self.draw = draw

    def either(self, *ways: Any) -> Any:
        return self.draw(st.sampled_from(ways))

    def maybe(self) -> bool:
        return bool(self.draw(st.booleans()))

    def said(self, section: dict[str, Any], **defaults: Any) -> dict[str, Any]:
        """Leave defaults out or write them out, and shuffle the keys."""
        found = {**section}
        for name, default in defaults.items():
            if name not in found and self.maybe():
                found[name] = default
            elif found.get(name) == default and self.maybe():
                del found[name]
        return dict(self.draw(st.permutations([*found.items()])))

    def names(self, names: Any) -> list[str]:
        """Write a set: in any order, and some of it twice."""
        again = self.draw(st.lists(st.sampled_from(sorted(names)), max_size=2)) if names else []
        return list(self.draw(st.permutations([*names, *again])))

    def zoned(self, zone: str) -> dict[str, Any]:
        """A rolling window has no zone, so that any may stand there."""
        found: dict[str, Any] = {"timezone": zone or self.either(*ZONES)}
        return found if zone or self.maybe() else {}

    def document(self, meant: dict[str, Any]) -> dict[str, Any]:
        p99, minutes = meant["latency"]
        latency = {
            "p99": self.either(f"{p99} ms", f"{Decimal(p99) / 1000} s"),
            "window": self.either(f"{minutes} min", f"{60 * minutes} s"),
        }
        if minutes == 5 and self.maybe():
            del latency["window"]
        period, zone = meant["errors"]
        days = period if zone else self.either(f"{period} d", f"{24 * period} h")
        slo = self.either(f"{meant['slo']} %", float(Decimal(meant["slo"]) / 100))
        errors = {"slo": slo, "period": days, **self.zoned(zone)}
        if period == 30 and self.maybe():
            del errors["period"]
        tolerance, times = meant["drift"]
        drift: dict[str, Any] = {
            "tolerance": tolerance,
            "breach": float(Decimal(str(tolerance)) * times),
            "must_be_conclusive": self.names(meant["must"]),
        }
        breach = {"breach": drift["breach"]} if times == 3 else {}
        found = {
            **HEAD,
            "latency": self.said(latency),
            "errors": self.said(errors, timezone="UTC"),
            "drift": self.said(
                drift,
                **breach,
                tolerance=0.1,
                metric="shift",
                alpha=0.01,
                must_be_conclusive=[],
            ),
            "rollout": self.rollout(meant),
            "approvals": {"production": self.votes(meant)},
        }
        found |= {"cost": self.cost(meant)} if meant["cap"] or meant["price"] else {}
        if meant["rules"] or self.maybe():
            found["respond"] = [self.rule(n, rule) for n, rule in enumerate(meant["rules"])]
        return self.said(found)

    def cost(self, meant: dict[str, Any]) -> dict[str, Any]:
        found = {}
        if meant["price"]:
            found["per_million"] = f"{meant['price']} USD"
        if meant["cap"] is None:  # then there is no window, and nothing to settle
            loose = {"timezone": ZONES[1], "on_store_error": "allow", "on_unsettled": "floor"}
            return {**found, **self.either({}, loose)}
        amount, (window, zone), failed, late = meant["cap"]
        found["cap"] = f"{amount} USD"
        found["window"] = window if zone else self.either("48 h", "2 d")
        found |= {**self.zoned(zone), "on_store_error": failed, "on_unsettled": late}
        return self.said(found, timezone="UTC", on_store_error="deny", on_unsettled="reserved")

    def rule(self, place: int, meant: Any) -> dict[str, Any]:
        when, bad, lasts, days, alone = meant
        names = self.names(when)
        found: dict[str, Any] = {
            "when": names[0] if len(when) == 1 and self.maybe() else names,
            "do": f"action {place}",
            "severity": bad,
            "for": self.either("2 h", "120 min") if isinstance(lasts, float) else lasts,
        }
        if days is not None:
            found["cooldown"] = self.either(f"{days} d", "1 w")
        if place == 1 and not alone:
            found["unless"] = self.either("action 0", ["action 0"], ["action 0", "action 0"])
        return self.said(found, severity="BREACH", **{"for": 1})

    def rollout(self, meant: dict[str, Any]) -> dict[str, Any]:
        watched = []
        wanted = meant["guardrails"]
        by_name = "errors" in wanted and self.maybe()
        for name in self.draw(st.permutations(sorted(wanted))):
            if name == "errors" and not by_name:
                continue
            own = {"ceiling": 0.5} if name == "slow" and meant["lenient"] else {}
            defaults = {"tolerance": 1.0, "margin": 2.0, "action": "rollback"}
            watched.append(self.said({"name": name, **own}, **defaults))
        found: dict[str, Any] = {
            "rollback_on_error": "errors" in wanted and not by_name,
            "guardrails": watched,
        }
        radius: dict[str, Any] = {}
        if meant["requests"]:
            radius["requests"] = meant["requests"]
        if meant["spent"]:
            radius["cost"] = self.either(meant["spent"], f"{meant['spent']} USD")
        if radius or self.maybe():
            found["blast_radius"] = radius
        defaults = {"stages": ["1 %", 0.05, "25 %", 0.5], "bake": "10 min", "alpha": "5 %"}
        return self.said(found, rollback_on_error=True, guardrails=[], **defaults)

    def votes(self, meant: dict[str, Any]) -> dict[str, Any]:
        roles = list(self.draw(st.permutations(meant["roles"])))
        least = max(len(roles), 1)
        votes = least + meant["more"]
        if not meant["more"]:  # the roles take as many already
            votes = self.draw(st.integers(1, least))
        return self.said({"votes": votes, "roles": roles}, votes=1, roles=[])


def normal(meant: dict[str, Any]) -> dict[str, Any]:
    """Leave out what is not said: whether "slow" is lenient where nobody watches it, and so on."""
    rules = [(*rule[:4], rule[4] or place == 0) for place, rule in enumerate(meant["rules"])]
    lenient = meant["lenient"] and "slow" in meant["guardrails"]
    return {**meant, "rules": rules, "lenient": lenient}


@given(st.data(), MEANINGS, MEANINGS)
def test_the_digest_is_the_same_exactly_if_the_meaning_is(
    data: st.DataObject, one: dict[str, Any], other: dict[str, Any]
) -> None:
    parts = data.draw(st.sets(st.sampled_from(sorted(one)), max_size=2))
    two = {**one, **{part: other[part] for part in parts}}
    writer = Writer(data.draw)
    documents = [writer.document(each) for each in (one, two)]
    first, second = (Requirements.model_validate(each) for each in documents)
    same = normal(one) == normal(two)
    assert (first.digest == second.digest) is same
    assert (first == second) is same
    assert not same or hash(first) == hash(second)
    dumped = first.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    assert Requirements.model_validate(dumped).digest == first.digest


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ({"drift": {}}, {"drift": {"breach": 0.3}}),
        ({"drift": {"tolerance": 0.7}}, {"drift": {"tolerance": 0.7, "breach": 2.1}}),
        ({"errors": {"slo": 0.999}}, {"errors": {"slo": "99.9 %", "timezone": "Europe/Berlin"}}),
        ({"rollout": {}}, {"rollout": {"blast_radius": {}}}),
        ({"rollout": {}}, {"rollout": {"rollback_on_error": False, "guardrails": [{"name": "errors"}]}}),
        (
            {"drift": {"must_be_conclusive": ["a", "b"]}},
            {"drift": {"must_be_conclusive": ["b", "a", "b"]}},
        ),
        (
            {"rollout": {}, "approvals": {"x": {"votes": 2, "roles": ["a", "b"]}}},
            {"rollout": {}, "approvals": {"x": {"roles": ["b", "a"]}}},
        ),
    ],
)  # fmt: skip
def test_what_means_the_same_is_the_same(one: dict[str, Any], two: dict[str, Any]) -> None:
    first, second = (Requirements.model_validate({**HEAD, **each}) for each in (one, two))
    assert (first, first.digest, hash(first)) == (second, second.digest, hash(second))
    assert {first} == {second}


def test_a_role_that_stands_there_twice_takes_two_people() -> None:
    votes = [{"votes": 2, "roles": roles} for roles in (["risk"], ["risk", "risk"])]
    first, second = (
        Requirements.model_validate({**HEAD, "rollout": {}, "approvals": {"x": each}})
        for each in votes
    )
    assert first.digest != second.digest


def test_it_is_unequal_to_anything_else() -> None:
    wanted = Requirements.model_validate(HEAD)
    assert wanted != HEAD
    assert wanted != wanted.digest


def test_a_reload_of_the_same_in_other_words_keeps_every_meter() -> None:
    rng = np.random.default_rng(0)
    reference = Reference.fit({"a": rng.normal(size=500)})
    one = {**HEAD, "drift": {}, "errors": {"slo": 0.999}, "latency": {"p99": "1 s"}}
    other = {
        **HEAD,
        "drift": {"breach": 0.3},
        "errors": {"slo": "99.9 %", "timezone": "Europe/Berlin"},
        "latency": {"p99": "1000 ms", "window": "300 s"},
    }
    guards = Guards.build(
        Requirements.model_validate(one), reference=reference, clock=ManualClock(1_900_000_000)
    )
    before = guards.latency, guards.errors
    report = guards.reload(other)
    assert report.before == report.after
    assert report.kept == ("latency", "errors", "drift")
    assert (guards.latency, guards.errors) == before


def test_nothing_in_it_can_be_changed() -> None:
    wanted = Requirements.load(HERE / "production.yaml")
    hash(wanted)
    assert wanted.approvals["production"].votes == 2
    with pytest.raises(TypeError, match="does not support item assignment"):
        wanted.approvals["staging"] = wanted.approvals["production"]
    with pytest.raises((TypeError, AttributeError)):
        wanted.approvals.clear()
    with pytest.raises(ValueError, match="frozen"):
        wanted.approvals["production"].votes = 1
    assert {hash(section) for section in (wanted.latency, wanted.cost, wanted.rollout)}


def test_a_copy_is_the_same() -> None:
    wanted = Requirements.load(HERE / "production.yaml")
    pickled = pickle.loads(pickle.dumps(wanted))  # noqa: S301 -- of our own making
    for found in (copy.copy(wanted), copy.deepcopy(wanted), pickled):
        assert found == wanted
        assert found.explain() == wanted.explain()
        assert json.loads(found.model_dump_json()) == wanted.model_dump(mode="json")


def test_no_column_drifts_further_than_a_line_may_be() -> None:
    """So a line from there on would never be crossed."""
    rng = np.random.default_rng(0)
    reference = Reference.fit({"a": rng.normal(size=5_000)})
    column = reference.compare({"a": rng.normal(size=5_000) + 1e9}).columns["a"]
    assert column.effect == 6.0
    assert column.ks == pytest.approx(1.0)
    assert column.js == pytest.approx(1.0, abs=1e-2)


def test_what_is_no_ledger_is_refused() -> None:
    wanted = Requirements.model_validate(HEAD)
    with pytest.raises(ValueError, match="ledger = 'x': must be a Ledger, or None"):
        Guards.build(wanted, ledger="x", store=MemoryStore())  # type: ignore[arg-type]
