"""What a million inferences cost: counted exactly, judged by its interval, merged to the last bit."""

from __future__ import annotations

import copy
import json
import math
import pickle
import re
import subprocess
import sys
import threading
from decimal import Decimal
from functools import reduce
from operator import add
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlguard import ConfigurationError, Keyed, Severity
from mlguard.budgets.counted import Sources
from mlguard.budgets.money import Money
from mlguard.budgets.unit_cost import UnitCost, fleet_cost
from mlguard.stats.intervals import mean_interval, spread_of_mean
from mlguard.testing import ManualClock, check_check

START = 1_700_000_000.0
Pairs = list[tuple[int, int]]


def usd(nanos: int) -> Money:
    return Money.of_nanos(nanos, "USD")


def made(pairs: Pairs = (), limit: str = "12 USD", **options: Any) -> UnitCost:  # type: ignore[assignment]
    """Give a meter that saw pairs of nano-dollars and inferences."""
    cost = UnitCost(limit, **{"clock": ManualClock(START), **options})
    for nanos, n in pairs:
        cost.observe(usd(nanos), n)
    return cost


def hours(*dollars: str, n: int = 10_000) -> Pairs:
    return [(Money(f"{each} USD").nanos, n) for each in dollars]


NEAR = hours(*("0.11", "0.13", "0.12", "0.14") * 3)

# Judging.


@pytest.mark.parametrize(
    ("limit", "severity", "words"),
    [
        ("11 USD", "BREACH", "limit 11 USD, n = 120,000: too expensive"),
        ("12 USD", "WARN", "limit 12 USD, n = 120,000: above the limit, which its interval contains"),
        ("12.50 USD", "OK", "limit 12.5 USD, n = 120,000: within the limit"),
        ("13 USD", "OK", "limit 13 USD, n = 120,000: within the limit"),
    ],
)  # fmt: skip
def test_it_breaches_when_the_whole_interval_does_and_warns_when_the_estimate_does(
    limit: str, severity: str, words: str
) -> None:
    verdict = made(NEAR, limit)()
    assert verdict.severity.name == severity
    assert verdict.reason == f"12.5 USD per million (11.71 to 13.29), {words}"
    assert verdict.name == "unit cost"
    assert verdict.at == START
    assert verdict.evidence[0].unit == "USD"


def test_the_limit_itself_is_fine_and_a_nano_above_it_is_told_apart() -> None:
    assert made([(12_000, 1)] * 1000)().severity is Severity.OK
    assert made([(245_000, 700)] * 10, "0.35 USD")().severity is Severity.OK
    above = made([(12_000, 1)] * 999 + [(12_001, 1)])()
    assert above.severity is Severity.WARN
    assert above.reason.startswith("12.000001 USD per million (12 to 12), limit 12 USD, n = 1,000")
    assert made([(12_001, 1)] * 1000)().severity is Severity.BREACH


@pytest.mark.parametrize(
    ("pairs", "reason"),
    [
        ([], "0.00 USD for no inferences: 1,000 inferences are needed to judge it"),
        ([(5, 0)] * 9, "0.000000045 USD for no inferences: 1,000 inferences are needed to judge it"),
        ([(13_000, 1)] * 999, "13 USD per million, limit 12 USD, n = 999: 1,000 inferences are needed to judge it"),
        (hours(*["0.13"] * 7), "13 USD per million, limit 12 USD, n = 70,000: 7 observations, but 8 are needed to judge it"),
        (hours("0.13"), "13 USD per million, limit 12 USD, n = 10,000: 1 observation, but 8 are needed to judge it"),
    ],
)  # fmt: skip
def test_it_is_unknown_with_too_few_inferences_or_observations(pairs: Pairs, reason: str) -> None:
    verdict = made(pairs)()
    assert verdict.severity is Severity.UNKNOWN
    assert verdict.reason == reason
    assert verdict.evidence[0].low is None
    assert verdict.evidence[0].confidence is None


def test_with_enough_it_is_known() -> None:
    assert made([(13_000, 1)] * 1000)().severity is Severity.BREACH
    assert made(hours(*["0.13"] * 8))().severity is Severity.BREACH
    assert made([(13_000, 1)] * 8, min_count=8)().severity is Severity.BREACH


@pytest.mark.parametrize(
    ("per", "name", "value"),
    [
        (1, "cost per inference", 0.0000125),
        (1_000, "cost per thousand", 0.0125),
        (1_000_000, "cost per million", 12.5),
        (10_000, "cost per 10,000", 0.125),
    ],
)
def test_it_measures_per_so_many(per: int, name: str, value: float) -> None:
    found = made(NEAR, per=per).measure()
    assert found.name == name
    assert found.value == pytest.approx(value, rel=1e-15)
    assert found.low is not None
    assert found.low / value == pytest.approx(11.71 / 12.5, rel=1e-3)
    assert dict(found.details) == {
        "limit": "12.00 USD",
        "per": per,
        "cost": "1.50 USD",
        "observations": 12,
    }


def test_idle_hours_cost_and_free_calls_count() -> None:
    cost = made(NEAR)
    cost.observe(usd(1_500_000_000), 0)
    assert cost.measure().value == 25.0
    cost.observe(usd(0), 120_000)
    assert cost.measure().value == 12.5
    before = cost.to_json()
    cost.observe(usd(0), 0)
    assert cost.to_json() == before


def test_the_interval_is_halls_for_the_ratio_of_what_was_observed() -> None:
    rng = np.random.default_rng(5)
    n = rng.integers(0, 2000, 50)
    nanos = np.rint(n * 13_000 * rng.lognormal(0, 0.5, 50) + 1e6).astype(int)
    found = made(list(zip(nanos.tolist(), n.tolist(), strict=True))).measure()
    ratio = nanos.sum() / n.sum()
    off = (nanos - ratio * n) / n.sum() / 1000
    spread = spread_of_mean(50, (off**2).sum(), (off**3).sum(), (off**4).sum())
    low, high = mean_interval(ratio / 1000, spread, 0.95)
    assert found.value == pytest.approx(ratio / 1000)
    assert (found.low, found.high) == pytest.approx((low, high))
    assert found.confidence == 0.95


def test_the_cost_is_never_below_nothing() -> None:
    found = made([(0, 1000)] * 20 + [(10**9, 1000)]).measure()
    assert found.low is not None
    assert found.low >= 0.0


def test_it_is_a_check_like_others() -> None:
    check_check(lambda: made(NEAR))
    cost = made(NEAR)
    cost.sources = Sources(("a",), needed=2)
    assert cost().severity is Severity.UNKNOWN
    assert "1 of at least 2 sources live" in cost().reason
    assert (
        str(cost.measure()) == "cost per million = 12.5 USD (11.71 USD to 13.29 USD), n = 120,000"
    )
    assert repr(cost) == "UnitCost('12.00 USD', per=1,000,000)"


def test_by_day_it_stands_in_a_family() -> None:
    days = Keyed(made, by="day")
    for nanos, n in NEAR:
        days["2026-03-01"].observe(usd(nanos), n)
        days["2026-03-02"].observe(usd(nanos * 2), n)
    days["2026-03-03"].observe(usd(1))
    assert days().severity is Severity.BREACH
    values = {each.name: each.value for each in days.measure()}
    assert values["cost per million[day=2026-03-02]"] == 25.0


# Time.


def test_time_is_rate_times_replicas_times_hours() -> None:
    cost = made()
    cost.observe_time(Money("2.50 USD"), hours=0.1, replicas=3, inferences=40_000)
    assert cost.totals == {"observations": 1, "inferences": 40_000, "nanos": 750_000_000}
    cost.observe_time(Money("2.50 USD"), hours=2, inferences=0)
    assert cost.totals["nanos"] == 5_750_000_000
    cost.observe_time(Money("2.50 USD"), hours=1, replicas=0, inferences=0)
    assert cost.totals["observations"] == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rate": Money("1 EUR")}, "rate = '1.00 EUR': must be in USD"),
        ({"rate": Money("-1 USD")}, "rate = '-1.00 USD': must be at least 0"),
        ({"rate": 2.5}, "rate = 2.5: must be a Money or its text"),
        ({"hours": -1}, "hours = -1: must be at least 0"),
        ({"hours": "1 h"}, "hours = '1 h': must be a number"),
        ({"replicas": 1.5}, "replicas = 1.5: must be a whole number of at least 0"),
        ({"inferences": -1}, "inferences = -1: must be a whole number of at least 0"),
        ({"hours": 1e12}, "cost = '1000000000000.00 USD': must be at most 1152921504.606846976"),
    ],
)
def test_bad_time_is_refused_and_changes_nothing(arguments: dict[str, Any], message: str) -> None:
    cost = made()
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        cost.observe_time(**{"rate": Money("1 USD"), "hours": 1, "inferences": 1, **arguments})
    assert cost.totals["observations"] == 0


@pytest.mark.parametrize(
    ("replicas", "hourly", "hours", "nanos"),
    [
        (10, "2.50 USD", 24, 600 * 10**9),
        (1, Money("0.000000001 USD"), 0.5, 1),
        (3, "0.10 USD", 0.1, 30_000_000),
        (3, "1.00 USD", 1 / 3, 999_999_999 + 1),
        (0, "2.50 USD", 24, 0),
        (7, "0 USD", 24, 0),
        (2**53, "1 USD", Decimal("0.25"), 2**51 * 10**9),
    ],
)
def test_a_fleet_costs_at_most(replicas: int, hourly: Any, hours: Any, nanos: int) -> None:
    assert fleet_cost(replicas, hourly, hours=hours) == usd(nanos)


def test_a_fleet_costs_that_for_a_day() -> None:
    assert fleet_cost(2, Money("1 EUR")) == Money("48 EUR")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"replicas": None}, "replicas = None: must be a whole number: without a bound there is"),
        ({"replicas": -1}, "replicas = -1: must be a whole number of at least 0"),
        ({"replicas": 2.5}, "replicas = 2.5: must be a whole number of at least 0"),
        ({"replicas": 2**53 + 1}, "replicas = 9007199254740993: must be at most"),
        ({"hourly": 2.5}, "hourly = 2.5: must be a Money or its text"),
        ({"hourly": "-1 USD"}, "hourly = '-1.00 USD': must be at least 0"),
        ({"hours": -1}, "hours = -1: must be at least 0"),
        ({"hours": math.inf}, "hours = inf: must be a finite number"),
    ],
)
def test_a_fleet_refuses_what_it_cannot_mean(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        fleet_cost(**{"replicas": 1, "hourly": "1 USD", **arguments})


# Bad input.


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"limit": 12}, "limit = 12: must be a Money or its text"),
        ({"limit": "12"}, "limit = '12': must be such as"),
        ({"limit": "0 USD"}, "limit = '0.00 USD': must be above 0"),
        ({"limit": "-1 USD"}, "limit = '-1.00 USD': must be above 0"),
        ({"per": 0}, "per = 0: must be a whole number of at least 1"),
        ({"per": 2**54}, "per = 18014398509481984: must be at most"),
        ({"min_count": 0.5}, "min_count = 0.5: must be a whole number of at least 1"),
        ({"name": " "}, "name = ' ': must be a string"),
    ],
)
def test_bad_arguments_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        UnitCost(**({"limit": "12 USD"} | options))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((Money("1 EUR"),), "cost = '1.00 EUR': must be in USD"),
        ((Money("-1 USD"),), "cost = '-1.00 USD': must be at least 0"),
        (
            (usd(2**60 + 1),),
            "cost = '1152921504.606846977 USD': must be at most 1152921504.606846976",
        ),
        ((1.5,), "cost = 1.5: must be a Money or its text"),
        ((Money("1 USD"), -1), "n = -1: must be a whole number of at least 0"),
        ((Money("1 USD"), 1.5), "n = 1.5: must be a whole number of at least 0"),
        ((Money("1 USD"), math.nan), "n = nan: must be a whole number of at least 0"),
        ((Money("1 USD"), 2**53 + 1), "n = 9007199254740993: must be at most"),
    ],
)
def test_a_bad_observation_is_refused_and_changes_nothing(arguments: Any, message: str) -> None:
    cost = made(NEAR)
    before = cost.to_json()
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        cost.observe(*arguments)
    assert cost.to_json() == before


# Merging.

pairs = st.lists(st.tuples(st.integers(0, 2**60), st.integers(0, 2**53)), max_size=20)


@given(pairs, st.lists(st.integers(0, 3), min_size=20, max_size=20), st.permutations(range(4)))
def test_parts_add_up_to_the_whole_exactly_in_any_order(
    seen: Pairs, split: list[int], order: list[int]
) -> None:
    parts = [[pair for pair, k in zip(seen, split, strict=False) if k == part] for part in order]
    total = reduce(add, [made(part) for part in parts])
    assert total == made(seen)
    assert total() == made(seen)()
    again = UnitCost.from_json(total.to_json(), clock=ManualClock(START))
    assert again == total
    assert again() == total()
    kept = [pair for pair in seen if any(pair)]
    assert total.totals == {
        "observations": len(kept),
        "inferences": sum(n for _, n in kept),
        "nanos": sum(nanos for nanos, _ in kept),
    }


def test_a_sum_leaves_its_parts_alone_and_keeps_the_first_clock() -> None:
    one, two = made(NEAR), made(NEAR, clock=ManualClock(START + 5.0))
    before = one.to_json(), two.to_json()
    total = one + two
    assert total.clock is one.clock
    total.observe(usd(1))
    assert (one.to_json(), two.to_json()) == before
    assert one.retired() == one


@pytest.mark.parametrize(
    "other", [made(limit="13 USD"), made(limit="12 EUR"), made(per=1000), made(min_count=1)]
)
def test_different_settings_do_not_add(other: UnitCost) -> None:
    with pytest.raises(ConfigurationError, match=r"budgets of different .* do not add: "):
        made() + other
    with pytest.raises(TypeError):
        made() + 1  # type: ignore[operator]


def test_the_newest_observation_says_when() -> None:
    clock = ManualClock(START)
    cost = made(NEAR, clock=clock)
    clock.advance(3600.0)
    assert cost().at == START
    cost.observe(usd(1))
    clock.advance(3600.0)
    assert cost().at == START + 3600.0
    clock.advance(-7200.0)
    cost.observe(usd(1))
    assert cost().at == START
    assert made()().at is None


def test_copies_carry_the_counts_and_go_on_alone() -> None:
    cost = made(NEAR)
    for twin in (pickle.loads(pickle.dumps(cost)), copy.deepcopy(cost), copy.copy(cost)):  # noqa: S301 -- our own
        assert twin == cost
        assert twin() == cost()
        twin.observe(usd(1))
        assert twin.totals["observations"] == 13
    assert cost.totals["observations"] == 12


def damaged() -> dict[str, Any]:
    whole = made(NEAR).to_json()
    record = json.loads(whole)
    found: dict[str, Any] = {
        "nothing": "",
        "no JSON": whole[:-1],
        "no text": None,
        "another kind": json.dumps(record | {"kind": "latencybudget"}),
        "a newer schema": json.dumps(record | {"schema": 2}),
    }
    sums = ({**record["totals"], "cost^2 n^1": n} for n in (-1, 0.5, None, "x"))
    parts: dict[str, tuple[Any, ...]] = {
        "settings": (7, [], {"x": 1}, *({**record["settings"], "per": n} for n in (0, None, "x"))),
        "totals": (7, [], {"x": 1}, *sums),
        "at": (7, "x", math.inf),
        "name": (7, " "),
    }
    for part, values in parts.items():
        found[f"no {part}"] = json.dumps({key: record[key] for key in record if key != part})
        for value in values[part == "at" :]:
            found[f"{part} is {value}"] = json.dumps(record | {part: value})
    return found


DAMAGED = damaged()


@pytest.mark.parametrize("text", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_record_is_refused(text: Any) -> None:
    with pytest.raises(ConfigurationError):
        UnitCost.from_json(text, clock=ManualClock(START))


@pytest.mark.parametrize("power", json.loads(made().to_json())["totals"])
@pytest.mark.parametrize("value", [0, 10**15])
def test_sums_that_cannot_be_crash_nothing(power: str, value: int) -> None:
    record = json.loads(made(NEAR).to_json())
    record["totals"][power] = value
    assert UnitCost.from_json(json.dumps(record))().reason


# Threads and processes.


def test_threads_lose_nothing() -> None:
    cost, each = made(), 2_000

    def work() -> None:
        for number in range(each):
            cost.observe(usd(number))
            if not number % 100:
                cost()

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert cost == reduce(add, [made([(number, 1) for number in range(each)])] * 8)


FORKED = """
import os
from mlguard.budgets.money import Money
from mlguard.budgets.unit_cost import UnitCost

cost = UnitCost("12 USD")
for _ in range(100):
    cost.observe(Money("1 USD"))
child = os.fork()
if not child:
    assert cost.totals == {"observations": 0, "inferences": 0, "nanos": 0}
    cost.observe(Money("2 USD"))
    assert cost.totals["nanos"] == 2 * 10**9
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
assert cost.totals["observations"] == 100
"""


@pytest.mark.skipif(sys.platform == "win32", reason="nothing forks there")
def test_a_forked_child_starts_at_zero() -> None:
    subprocess.run([sys.executable, "-c", FORKED], check=True, timeout=60)
