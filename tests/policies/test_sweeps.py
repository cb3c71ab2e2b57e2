"""A grid of policies tried on the same paths, and the choice among them."""

from __future__ import annotations

import math
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from mlguard import (
    Action,
    ConfigurationError,
    Measurement,
    Response,
    ResponsePolicy,
    Severity,
    Verdict,
    at_most,
    hysteresis,
)
from mlguard.policies.simulate import Costs, Drift, Sweep, Tried, simulate, sweep

RNG = np.random.default_rng(6)
OK, BREACH = (Verdict("x", Severity[name], "as told") for name in ("OK", "BREACH"))
SHAKY = [BREACH if RNG.random() < 0.4 else OK for _ in range(120)]
DRIFTS = {"most of it": Drift({"x": lambda _, __: BREACH})}
QUICK: Any = {"block": 1, "cycle": None, "years": 4.0, "repeats": 40, "drifts": DRIFTS}


def patient(days: int, **terms: Any) -> ResponsePolicy:
    return ResponsePolicy(Response(Action.ALERT, when="x", for_=days, **terms))


def swept(grid: Any = None, **settings: Any) -> Sweep:
    return sweep(
        patient,
        {"days": [1, 2, 3, 4]} if grid is None else grid,
        {"x": SHAKY},
        **{**QUICK, **settings},
    )


def days_of(policy: ResponsePolicy) -> int:
    return policy.responses[0].terms.k


def test_every_point_of_the_grid_is_tried_in_order() -> None:
    tried = swept({"days": [2, 1], "keep": [0.0, 86_400.0]}).tried
    assert [each.parameters for each in tried] == [
        {"days": 2, "keep": 0.0}, {"days": 2, "keep": 86_400.0},
        {"days": 1, "keep": 0.0}, {"days": 1, "keep": 86_400.0},
    ]  # fmt: skip
    assert [days_of(each.policy) for each in tried] == [2, 2, 1, 1]  # type: ignore[arg-type]
    assert tried[0].label == "days 2, keep 0.0"


def test_patience_trades_false_alarms_for_delay() -> None:
    found = [each.simulation for each in swept().tried]
    alarms = [each.false_alarms.value for each in found]
    delays = [each.delay for each in found]
    assert alarms == sorted(alarms, reverse=True)
    assert delays == sorted(delays)
    assert len({*alarms}) == len({*delays}) == 4


def test_all_points_see_the_same_paths() -> None:
    one, other = swept({"days": [2, 2]}).tried
    assert one.simulation == other.simulation
    assert swept({"days": [3, 2]}).tried[1].simulation == one.simulation


def test_seeds_and_workers() -> None:
    def tried(seed: int | None, **settings: Any) -> list[Any]:
        rng = None if seed is None else np.random.default_rng(seed)
        return [each.simulation for each in swept({"days": [1, 2]}, rng=rng, **settings).tried]

    assert tried(3) == tried(3)
    assert tried(3) != tried(4)
    assert tried(None) == tried(0)
    assert tried(3, workers=2, years=60.0) == tried(3, years=60.0)


def test_the_grid_may_be_about_a_limit_of_the_judges() -> None:
    values = [Measurement("psi", float(value)) for value in RNG.normal(0.1, 0.04, 90)]
    more = Drift({"x": lambda old, s: Measurement("psi", old.value + 0.2 * s)})
    for judge in (at_most, lambda limit: hysteresis(enter=limit, exit=0.8 * limit)):
        tried = sweep(
            lambda limit: patient(1),  # noqa: ARG005
            {"limit": [0.1, 0.15, 0.3]},
            {"x": values},
            judges=lambda limit, judge=judge: {"x": judge(limit)},
            drifts={"more": more},
            years=4.0,
            repeats=20,
        ).tried
        alarms = [each.simulation.false_alarms.value for each in tried]
        assert alarms[0] > alarms[1] > alarms[2] == 0.0
        missed = [each.simulation.drifts["more"].missed.value for each in tried]
        assert missed[:2] == [0.0, 0.0]


def test_judges_may_stay_the_same() -> None:
    values = [Measurement("psi", 1.0 - each.ok) for each in SHAKY]
    drifts = {"most of it": Drift({"x": lambda _, __: Measurement("psi", 1.0)})}
    found = sweep(
        patient,
        {"days": [1]},
        {"x": values},
        judges={"x": at_most(0.5)},
        **{**QUICK, "drifts": drifts},
    )
    assert found.tried[0].simulation == swept({"days": [1]}).tried[0].simulation


# Choosing.


def test_the_quickest_within_the_false_alarms_is_chosen_ready_to_use() -> None:
    found = swept()
    rates = [each.simulation.false_alarms.value for each in found.tried]
    for place, rate in enumerate(rates):
        chosen = found.choose(false_alarms_per_month=rate)  # exactly so many are within
        same: Any = found.tried[place].policy
        assert chosen is same
        assert [chosen.decide(BREACH) != [] for _ in range(4)].index(True) == place
    assert days_of(found.choose(false_alarms_per_month=1_000.0)) == 1


def test_the_cheapest_is_chosen_by_cost() -> None:
    dear_pages = swept(costs=Costs(page=1_000.0, bad_hour=0.01))
    dear_hours = swept(costs=Costs(page=0.01, bad_hour=1_000.0))
    assert days_of(dear_pages.choose(minimise="cost")) == 4
    assert days_of(dear_hours.choose(minimise="cost")) == 1
    most = dear_hours.tried[2].simulation.false_alarms.value
    assert days_of(dear_hours.choose(minimise="cost", false_alarms_per_month=most)) == 3


def test_of_equal_delays_the_calmer_one_is_chosen() -> None:
    found = sweep(
        lambda often: ResponsePolicy(Response(Action.ALERT, when="x", keep=0.0 if often else 9e5)),
        {"often": [True, False]},
        {"x": [OK] * 119 + [BREACH]},
        **{**QUICK, "drifts": {}},
    )
    assert all(math.isnan(each.simulation.delay) for each in found.tried)
    alarms = [each.simulation.false_alarms.value for each in found.tried]
    assert alarms[0] > alarms[1]
    assert found.choose(false_alarms_per_month=1_000.0) is found.tried[1].policy


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({}, r"minimise = None: must be \"cost\", or give false_alarms_per_month"),
        ({"minimise": "delay"}, "minimise = 'delay': must be \"cost\""),
        ({"minimise": "cost"}, r"minimise = 'cost': must be used with costs=Costs\(…\) in the sweep"),
        ({"false_alarms_per_month": math.nan}, "false_alarms_per_month = nan: must be a finite number"),
        ({"false_alarms_per_month": "one"}, "false_alarms_per_month = 'one': must be a number"),
        ({"false_alarms_per_month": -1.0}, r"false_alarms_per_month = -1.0: must be at least [\d.]+, which the calmest"),
    ],
    ids=str,
)  # fmt: skip
def test_a_choice_that_cannot_be_made_is_refused(asked: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        swept({"days": [1, 2]}).choose(**asked)


def test_a_choice_too_strict_says_what_the_calmest_has_and_that_is_enough() -> None:
    found = swept()
    least = min(each.simulation.false_alarms.value for each in found.tried)
    with pytest.raises(ConfigurationError, match=f"at least {least:.3g}"):
        found.choose(false_alarms_per_month=0.99 * least)
    assert found.choose(false_alarms_per_month=least) is found.tried[-1].policy


@pytest.mark.parametrize("grid", [{}, {"days": []}, {"days": [1], "keep": []}], ids=str)
def test_no_grid_is_refused(grid: Any) -> None:
    with pytest.raises(
        ConfigurationError,
        match=r"grid = .*: must be one parameter or more, each with values to try",
    ):
        swept(grid)


def test_what_simulate_refuses_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"len\(history\) = 120: must be at least 400"):
        swept(block=50)
    with pytest.raises(ConfigurationError, match="years = 0"):
        swept(years=0.0)


# As text and as a page.


def test_it_is_shown_as_a_table() -> None:
    found = swept()
    head, *rows = found.rows()
    assert head == [
        "policy", "false alarms a month", "false retrains", "missed", "mean delay, d", "alarming"
    ]  # fmt: skip
    assert [row[0] for row in rows] == ["days 1", "days 2", "days 3", "days 4"]
    assert [row[3] for row in rows] == ["0 %"] * 4
    assert float(rows[3][4]) > 1.0
    lines = str(found).splitlines()
    assert len(lines) == 5
    assert len({len(line) for line in lines}) == 1
    assert repr(found) == "<Sweep of 4 policies>"


def test_the_table_has_costs_where_there_are_and_dashes_for_what_is_unknown() -> None:
    costly = swept({"days": [1]}, costs=Costs(page=10.0), drifts={})
    head, row = costly.rows()
    assert head[-1] == "cost a month"
    assert row[3:5] == ["–", "–"]
    (tried,) = costly.tried
    days = tried.simulation.alarming.value * 365.25 / 12.0
    assert float(row[-1].replace(",", "")) == pytest.approx(10.0 * days, rel=0.01)
    assert "<circle" not in costly.to_html()


def fragment(found: Sweep) -> ET.Element:
    return ET.fromstring(f"<all>{found._repr_html_()}</all>")  # noqa: S314 -- our own


def test_it_is_drawn_with_a_dot_for_each_point_above_its_table() -> None:
    found = swept()
    root = fragment(found)
    assert len(list(root.iter("circle"))) == 4
    assert [["".join(cell.itertext()) for cell in row] for row in root.iter("tr")] == found.rows()
    assert root.find(".//h1") is None
    assert found._repr_html_() == found.to_html(page=False)
    page = found.to_html()
    assert page.startswith("<!doctype html>")
    assert "<h1>False alarms against delay</h1>" in page
    assert "<script" not in page


def test_what_a_user_named_is_escaped() -> None:
    evil = "<script>alert(1)</script>"
    found = simulate(patient(1), {"x": SHAKY}, **QUICK)
    drawn = Sweep((Tried({evil: evil}, patient(1), found),))
    assert "<script" not in drawn.to_html()
    assert f"{evil} {evil}" in "".join(fragment(drawn).itertext())
