"""A draft loads, says where its limits are from, and alarms no oftener than it says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from mlguard import (
    ConfigurationError,
    Guards,
    LatencyBudget,
    MemoryStore,
    Money,
    Reference,
    Requirements,
    Severity,
)
from mlguard.__main__ import main
from mlguard.requirements import scaffold
from mlguard.requirements.calibrate import WARNS, latencies_of, moves_of, spent_on
from mlguard.testing import ManualClock


def rows(seed: int = 0, n: int = 5_000) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    return {"amount": rng.lognormal(size=n), "score": rng.random(n)}


def recorded(seed: int = 0, n: int = 3_000) -> np.ndarray:
    return np.random.default_rng(seed).lognormal(-4.8, 0.3, n)


WHOLE: dict[str, Any] = {
    "service": "fraud",
    "latencies": recorded(),
    "prices": "0.00002 USD",
    "requests_per_day": 200_000,
}


@pytest.mark.parametrize("reference", [None, rows(), pd.DataFrame(rows()), Reference.fit(rows())])
@pytest.mark.parametrize("given_", [{}, WHOLE], ids=["nothing", "all"])
def test_a_draft_loads_as_it_stands_and_builds(
    reference: Any, given_: dict[str, Any], tmp_path: Path
) -> None:
    file = tmp_path / "production.yaml"
    text = scaffold(reference, **given_)
    assert text == scaffold(reference, **given_)
    file.write_text(text, encoding="utf-8")
    fitted = reference if isinstance(reference, Reference) else Reference.fit(rows())
    guards = Guards.build(Requirements.load(file), reference=fitted, store=MemoryStore())
    assert guards.latency is not None
    assert (guards.drift is None) is (reference is None)
    counted = re.search(r"(\d+) places marked OWNER", text)
    assert counted
    assert int(counted[1]) == text.count("OWNER:")
    assert all(len(line) <= 110 for line in text.splitlines())


@pytest.mark.parametrize("service", ["yes", "null", "1", "a: b # c", 'say "eta"', "späti 🛒"])
def test_any_name_of_a_service_reads_back(service: str) -> None:
    assert yaml.safe_load(scaffold(service=service))["service"] == service


def test_the_limits_are_those_of_what_was_recorded() -> None:
    document = yaml.safe_load(scaffold(rows(), **WHOLE))
    assert document["cost"] == {"per_million": "20 USD", "cap": "8 USD", "window": "day"}
    assert document["drift"] == {"tolerance": 0.1, "breach": 0.3}
    limit = float(document["latency"]["p99"].removesuffix(" ms")) / 1_000
    assert np.quantile(recorded(), 0.99) < limit < 2 * np.quantile(recorded(), 0.99)


@pytest.mark.parametrize(
    ("per_day", "window"), [(None, "5 min"), (200_000, "5 min"), (20_000, "1 h"), (500, "1 d")]
)
def test_the_window_is_as_wide_as_the_traffic_wants(per_day: int | None, window: str) -> None:
    text = scaffold(latencies=recorded(), requests_per_day=per_day)
    assert yaml.safe_load(text)["latency"]["window"] == window


def test_a_day_with_too_few_requests_is_told() -> None:
    text = scaffold(latencies=recorded(), requests_per_day=100)
    assert "Even a day has too few requests" in text


@pytest.mark.parametrize(("n", "top"), [(3_000, 0.99), (1_000, 0.95), (200, 0.9)])
def test_the_highest_quantile_is_one_that_so_many_can_show(n: int, top: float) -> None:
    assert max(latencies_of(recorded(n=n)).limits) == top


def _warned(n: int, drafts: int, windows: int, seed: int) -> float:
    """Give the share of quiet windows at the fewest requests in which any quantile warns."""
    rng = np.random.default_rng(seed)
    clock, loud = ManualClock(), 0
    for _ in range(drafts):
        found = latencies_of(rng.lognormal(-4.8, 0.3, n))
        for _ in range(windows):
            budget = LatencyBudget(dict(found.limits), clock=clock)
            budget.observe_many(rng.lognormal(-4.8, 0.3, found.fewest))
            severity = budget().severity
            assert severity is not Severity.UNKNOWN
            loud += severity is not Severity.OK
    return loud / (drafts * windows)


@pytest.mark.parametrize("n", [3_000, 250])
def test_a_service_as_fast_as_recorded_seldom_warns(n: int) -> None:
    assert _warned(n, drafts=50, windows=20, seed=n) <= WARNS


@pytest.mark.slow
@pytest.mark.parametrize("n", [200, 1_000, 3_000, 30_000])
def test_a_service_as_fast_as_recorded_warns_in_one_evaluation_of_a_hundred(n: int) -> None:
    assert _warned(n, drafts=400, windows=50, seed=n) <= WARNS


def test_the_limit_is_no_higher_than_the_rate_of_false_alarms_wants() -> None:
    """With as many latencies as one likes, a little lower a limit warns more often than it may."""
    rng = np.random.default_rng(5)
    found = latencies_of(rng.random(1_000_000))
    over = {q: 1.0 - limit for q, limit in found.limits.items()}
    for q, share in over.items():
        counts = rng.binomial(found.fewest, 1.1 * share, 200_000)
        allowed = found.fewest - int(np.ceil(q * found.fewest))
        assert (counts > allowed).mean() > WARNS / 2


def test_data_that_move_by_themselves_get_a_larger_tolerance() -> None:
    rng = np.random.default_rng(3)
    level = np.repeat(rng.normal(size=100) * 0.4, 100)
    wandering = {"x": rng.normal(size=10_000) + level}
    found = moves_of(wandering, Reference.fit(wandering))
    assert found.tolerance > 0.1
    assert not found.loud
    calm = {"x": rng.normal(size=10_000)}
    assert moves_of(calm, Reference.fit(calm)).tolerance == 0.1


def test_data_that_are_never_calm_are_told() -> None:
    rising = {"x": np.linspace(0.0, 10.0, 5_000), "y": np.random.default_rng(0).random(5_000)}
    text = scaffold(rising)
    assert "move beyond any tolerance tried: x " in text


@given(st.integers(1, 10**9))
@settings(max_examples=50)
def test_a_price_is_exact(nanos: int) -> None:
    price = Money.of_nanos(nanos, "EUR")
    assert spent_on(price).million == price * 1_000_000


def test_recorded_costs_give_the_upper_end_of_their_mean() -> None:
    rng = np.random.default_rng(0)
    costs = [Money.of_nanos(int(each), "USD") for each in rng.lognormal(12, 1, 2_000)]
    mean = sum(each.nanos for each in costs) / len(costs)
    assert 1.0 < spent_on(costs).million.nanos / 1_000_000 / mean < 1.1


@pytest.mark.parametrize(
    ("given_", "says"),
    [
        ({"service": ""}, "service = ''"),
        ({"service": "a\x07b"}, r"service = 'a\x07b'"),
        ({"latencies": [0.1] * 5}, "latencies = '5 values': must be more"),
        ({"latencies": [0.1, -1.0]}, "latencies = [0.1, -1.0]: must be a list of seconds"),
        ({"latencies": ["fast"]}, "latencies = ['fast']: must be a list of seconds"),
        ({"latencies": [float("nan")] * 500}, "latencies ="),
        ({"prices": "0.00 USD"}, "prices ="),
        ({"prices": "free"}, "prices = 'free'"),
        ({"prices": ["0.1 USD"] * 3}, "prices = '3 costs': must be one price, or at least 1,000"),
        ({"prices": []}, "prices = '0 costs'"),
        ({"prices": ["0.1 USD", "0.1 EUR"]}, "EUR"),
        ({"requests_per_day": 0}, "requests_per_day = 0"),
    ],
)
def test_bad_input_is_named(given_: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(says)):
        scaffold(**given_)


def test_the_command_writes_a_new_file_and_never_over_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frame, seconds = tmp_path / "rows.csv", tmp_path / "latencies.txt"
    pd.DataFrame(rows()).to_csv(frame, index=False)
    seconds.write_text("\n".join(map(str, recorded())), encoding="utf-8")
    out = tmp_path / "production.yaml"
    given_ = ["init", str(frame), "--latencies", str(seconds), "--price", "0.00002 USD"]
    given_ += ["--requests-per-day", "200000", "--service", "fraud", "-o"]
    assert main([*given_, str(out)]) == 0
    assert "10 places marked OWNER want a person" in capsys.readouterr().out
    assert Requirements.load(out).service == "fraud"
    before = out.read_text(encoding="utf-8")
    assert main([*given_, str(out)]) == 2
    assert "File exists" in capsys.readouterr().err
    assert out.read_text(encoding="utf-8") == before
    assert main([*given_, "-"]) == 0
    assert capsys.readouterr().out == before
    seconds.write_text("0.1\nfast\n", encoding="utf-8")
    assert main([*given_, "-"]) == 2
    assert "latencies.txt:2 = 'fast': must be a number of seconds" in capsys.readouterr().err


def test_the_command_takes_a_reference_and_names_what_it_cannot_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = tmp_path / "reference.json"
    kept.write_text(Reference.fit(rows()).to_json(), encoding="utf-8")
    assert main(["init", str(kept), "-o", "-"]) == 0
    assert "drift: {tolerance: 0.1, breach: 0.3}" in capsys.readouterr().out
    assert main(["init", str(tmp_path / "rows.xlsx"), "-o", "-"]) == 2
    assert "a file that ends in .csv, .parquet or .json" in capsys.readouterr().err


def test_columns_that_identify_rows_are_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = {**rows(), "id": [f"r{place}" for place in range(5_000)]}
    with pytest.raises(ConfigurationError, match=r"leave_out=\['id'\]"):
        scaffold(frame)
    assert "# From 5,000 rows, without id, " in scaffold(frame, leave_out=["id"])
    file = tmp_path / "rows.csv"
    pd.DataFrame(frame).to_csv(file, index=False)
    assert main(["init", "--leave-out", "id", str(file), "-o", "-"]) == 0
    assert capsys.readouterr().out == scaffold(pd.read_csv(file), leave_out=["id"])
    with pytest.raises(ConfigurationError, match=r"leave_out = .*a frame"):
        scaffold(Reference.fit(rows()), leave_out=["id"])
