"""What simulations of policies promise: figures as known closed forms have them, and live steps.

A history of one evaluation a block is an urn: a share p of bad ones are iid exceedances with p.
"""

from __future__ import annotations

import json
import math
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from mlguard import (
    Action,
    Measurement,
    Response,
    ResponsePolicy,
    Severity,
    Verdict,
    Waiver,
    guard,
    hysteresis,
)
from mlguard.policies.simulate import Drift, Simulation, backtest, simulate
from mlguard.testing import ManualClock

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mlguard import Decision

slow = pytest.mark.slow
CHANCE = 1e-4
DAY = 86_400.0
PATH = 365
MONTHS = PATH * DAY / (365.25 / 12.0 * DAY)
"""Of a path."""

OK, BREACH = (Verdict("x", Severity[name], "as drawn") for name in ("OK", "BREACH"))
few_and_many = pytest.mark.parametrize("runs", [25, pytest.param(400, marks=slow)])


def generator(*seed: object) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(repr(seed).encode()))


def urn(p: float, size: int = 200) -> list[Verdict]:
    bad = round(p * size)
    return [BREACH] * bad + [OK] * (size - bad)


def alert(k: int = 1, **terms: Any) -> ResponsePolicy:
    return ResponsePolicy(Response(Action.ALERT, when="x", for_=k, **terms), flapping=None)


def covered(
    truth: float, runs: int, draw: Callable[[np.random.Generator], Measurement], *seed: object
) -> None:
    """Hold the share of intervals with the truth in them: 93 % of many, and no fluke of few."""
    rng = generator(*seed)
    found = [draw(np.random.default_rng(int(rng.integers(2**32)))) for _ in range(runs)]
    for each in found:
        assert each.low is not None
        assert each.high is not None
        assert each.low <= each.value <= each.high
    hits = sum(
        (e.low or 0.0) <= truth * (1 + 1e-12) and truth <= (e.high or 0.0) * (1 + 1e-12)
        for e in found
    )
    least = 0.93 * runs if runs >= 300 else stats.binom.ppf(CHANCE, runs, 0.95)
    mean = float(np.mean([each.value for each in found]))
    assert hits >= least, f"{hits} of {runs} cover {truth:.4g}; their mean is {mean:.4g}"


def runs_of(k: int, p: float, n: int = PATH) -> float:
    """Expect so many runs of at least k among n iid exceedances: each is counted as it gets to k."""
    return p**k * (1.0 + (n - k) * (1.0 - p))


@few_and_many
@pytest.mark.parametrize(
    ("p", "k"), [(0.05, 1), (0.3, 1), (0.3, 2), (0.5, 3), (0.5, 5), (0.005, 1), (0.8, 8)]
)
def test_false_alarms_of_iid_exceedances(p: float, k: int, runs: int) -> None:
    history = {"x": urn(p)}

    def draw(rng: np.random.Generator) -> Measurement:
        return simulate(alert(k), history, block=1, cycle=None, years=6.0, rng=rng).false_alarms

    covered(runs_of(k, p) / MONTHS, runs, draw, "iid", p, k)


@few_and_many
def test_rare_false_alarms_are_poisson(runs: int) -> None:
    """One in a thousand: about two in six years, so that the ends are those of Garwood."""
    history = {"x": urn(0.001, 1_000)}

    def draw(rng: np.random.Generator) -> Measurement:
        found = simulate(alert(), history, block=1, cycle=None, years=6.0, rng=rng).false_alarms
        count = found.details["count"]
        if count <= 1:  # never counts that scatter more than those of Poisson
            low = stats.chi2.ppf(0.025, 2 * count) / 2.0 if count else 0.0
            high = stats.chi2.ppf(0.975, 2 * count + 2) / 2.0
            assert (found.low, found.high) == pytest.approx((low / 6 / MONTHS, high / 6 / MONTHS))
        return found

    covered(runs_of(1, 0.001) / MONTHS, runs, draw, "rare")


BURST = 40
CLUSTERED = [*[BREACH, OK] * (BURST // 2), *[OK] * (7 * BURST)]
"""One block of eight with an alarm every other evaluation."""


def clustered(rng: np.random.Generator, years: float = 30.0) -> Measurement:
    return simulate(
        alert(), {"x": CLUSTERED}, block=BURST, cycle=BURST, years=years, rng=rng
    ).false_alarms


@few_and_many
def test_alarms_in_clusters_widen_the_interval_so_that_it_covers(runs: int) -> None:
    whole, rest = divmod(PATH, BURST)
    covered((whole * BURST / 2 + math.ceil(rest / 2)) / 8 / MONTHS, runs, clustered, "clusters")


def test_alarms_in_clusters_have_a_wider_interval_than_as_many_alone() -> None:
    found = clustered(generator("wide"))
    count = found.details["count"]
    poisson = 2.0 * 1.96 * math.sqrt(count) / (30 * MONTHS)
    assert found.low is not None
    assert found.high is not None
    assert found.high - found.low > 3.0 * poisson
    spread = simulate(alert(), {"x": urn(0.06)}, block=1, cycle=None, years=30.0).false_alarms
    assert spread.low is not None
    assert spread.high is not None
    assert spread.high - spread.low < 1.5 * 3.92 * math.sqrt(spread.details["count"]) / (
        30 * MONTHS
    )


# Delays.

MARKED = [Verdict("x", Severity.OK, str(place)) for place in range(200)]


def exceeding(p: float) -> Drift:
    """After the onset a share p of evaluations is bad; before it none."""
    return Drift({"x": lambda old, _: BREACH if int(old.reason) < p * 200 else OK})


def delayed(
    p: float, rng: np.random.Generator, k: int = 1, horizon: int | None = None, repeats: int = 60
) -> Any:
    far = math.ceil(13.0 / (p**k * (1.0 - p)))  # beyond it lies less than one in 100,000
    return simulate(
        alert(k), {"x": MARKED}, drifts={"d": exceeding(p)}, block=1, cycle=None, years=1.0,
        repeats=repeats, horizon=horizon or far, rng=rng,
    ).drifts["d"]  # fmt: skip


@few_and_many
@pytest.mark.parametrize("p", [0.1, 0.35])
@pytest.mark.parametrize("q", [0.5, 0.9])
def test_delays_are_geometric(p: float, q: float, runs: int) -> None:
    """P(delay <= d) = 1 - (1 - p)^(d + 1), counted from 0 at the onset."""
    truth = math.ceil(math.log(1.0 - q) / math.log(1.0 - p)) - 1

    def draw(rng: np.random.Generator) -> Measurement:
        found = delayed(p, rng)
        measured: Measurement = found.median if q == 0.5 else found.p90
        return measured

    covered(truth * DAY, runs, draw, "geometric", p, q)


@few_and_many
def test_the_share_that_is_missed_within_a_horizon(runs: int) -> None:
    covered(0.9**10, runs, lambda rng: delayed(0.1, rng, horizon=10).missed, "missed")


@pytest.mark.parametrize(("p", "k"), [(0.1, 1), (0.5, 1), (0.5, 2), (0.7, 3)])
def test_the_mean_delay_of_a_run(p: float, k: int) -> None:
    """The wait for the first run of k is (1 - p^k) / ((1 - p) p^k) evaluations, the last included."""
    found = delayed(p, generator("mean", p, k), k=k, repeats=800)
    truth = (1.0 - p**k) / ((1.0 - p) * p**k) - 1.0
    assert found.mean / DAY == pytest.approx(truth, abs=4.5 * (truth + 1.0) / math.sqrt(800))


def test_the_mean_delay_counts_what_is_missed_with_the_horizon() -> None:
    found = delayed(0.1, generator("horizon"), horizon=10, repeats=1_500)
    truth = sum(0.9 ** (d + 1) for d in range(10))
    assert found.mean / DAY == pytest.approx(truth, abs=4.5 * 3.9 / math.sqrt(1_500))


@few_and_many
def test_the_interval_of_a_far_quantile_of_few_drifts_covers(runs: int) -> None:
    """Of ten drifts the longest delay is below the ninth decile in a third of all cases."""
    covered(21 * DAY, runs, lambda rng: delayed(0.1, rng, repeats=10).p90, "few")


def test_more_years_narrow_the_interval() -> None:
    def width(found: Simulation) -> float:
        return (found.false_alarms.high or 0.0) - (found.false_alarms.low or 0.0)

    few, many = (
        simulate(alert(), {"x": urn(0.05)}, block=1, cycle=None, years=years)
        for years in (5.0, 80.0)
    )
    assert width(many) == pytest.approx(width(few) / 4.0, rel=0.5)


# Backtest and live.

letters = st.sampled_from([*"OOOBBBBWU", None])
values = st.none() | st.sampled_from([0.5, 0.85, 0.9, 0.95, 1.0, 1.05, 1.5, math.nan])
kinds = {each.name[0]: each for each in Severity}


@st.composite
def policies(draw: st.DrawFn) -> ResponsePolicy:
    names = st.sampled_from(["drift", "psi", "other"])
    bad = st.lists(names, min_size=1, max_size=2, unique=True)
    days = st.sampled_from([0.0, DAY, 3 * DAY])
    responses: list[Response] = []
    for name in ["one", "two", "three"][: draw(st.integers(1, 3))]:
        counted = draw(st.booleans())
        k = draw(st.integers(1, 3))
        responses.append(
            Response(
                draw(st.sampled_from([Action.ALERT, Action.RETRAIN, Action.ROLLBACK, "call"])),
                when=draw(bad),
                severity=draw(st.sampled_from(["BREACH", "WARN"])),
                for_=k if counted else draw(days),
                of=k + draw(st.integers(0, 2)) if counted else None,
                keep=draw(days),
                cooldown=draw(days),
                at_most=draw(st.sampled_from([None, (1, 5 * DAY), (2, 9 * DAY)])),
                unless=draw(st.sampled_from([[], ["one"]])) if responses else [],
                unknown=draw(st.sampled_from(["keep", "fire", "resolve"])),
                name=name,
            )
        )
    waivers = {"one": Waiver("me", "works", until=1.7e9 + 6 * DAY)} if draw(st.booleans()) else None
    return ResponsePolicy(
        *responses,
        waivers=waivers,
        flapping=draw(st.sampled_from([None, (0.05, 0.2), (0.25, 0.5)])),
        dry_run=draw(st.sampled_from([False, False, True])),
        clock=ManualClock(1.7e9),
    )


def written(decisions: Sequence[Decision]) -> str:
    return json.dumps([each.to_dict() for each in decisions])


def restarted(one: Any) -> Any:
    return one.from_state(json.loads(json.dumps(one.state())))


@pytest.mark.parametrize("restarts", [False, True])
@pytest.mark.parametrize("stamped", [False, True])
@given(policy=policies(), data=st.data())
@settings(max_examples=150)
def test_a_backtest_is_the_live_policy_byte_for_byte(
    *, stamped: bool, restarts: bool, policy: ResponsePolicy, data: st.DataObject
) -> None:
    assume(any(each.bad.keys() <= {"drift", "psi"} for each in policy.responses))
    count = data.draw(st.integers(0, 14))
    gaps = data.draw(
        st.lists(st.sampled_from([0.0, DAY, DAY, 2 * DAY]), min_size=count, max_size=count)
    )
    times = [1.7e9 + sum(gaps[: place + 1]) for place in range(count)]
    told = data.draw(st.lists(letters, min_size=count, max_size=count))
    measured = data.draw(st.lists(values, min_size=count, max_size=count))
    history: dict[str, list[Any]] = {
        "drift": [
            None if letter is None
            else Verdict("drift", kinds[letter], f"on {at}", at=at if stamped else None, subject={"model": "m"})
            for letter, at in zip(told, times, strict=True)
        ],
        "psi": [
            None if value is None else Measurement("psi", value, at=at if stamped else None)
            for value, at in zip(measured, times, strict=True)
        ],
    }  # fmt: skip
    lines = hysteresis(enter=1.0, exit=0.9)
    found = backtest(policy, history, judges={"psi": lines}, times=times)

    newest: list[Measurement] = []
    check: Any = guard(lambda: newest[-1], lines, name="psi")
    live, decided = policy, []
    for place, at in enumerate(times):
        assert isinstance(live.clock, ManualClock)
        live.clock.advance(at - live.clock())
        if restarts:
            live, check = restarted(live), restarted(check)
        given_now = [history["drift"][place]]
        if history["psi"][place] is not None:
            newest.append(history["psi"][place])
            given_now.append(check())
        decided += live.decide(*(each for each in given_now if each is not None))
    assert written(decided) == written(found)


def test_the_law_has_something_to_compare() -> None:
    history = {"x": [BREACH, OK, BREACH, BREACH]}
    found = backtest(alert(), history, times=[DAY * place for place in range(4)])
    assert [str(each.action) for each in found] == ["alert", "resolve", "alert"]
    assert written(found) != written(found[:2])
