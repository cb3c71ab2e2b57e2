"""What a report says, and in which forms."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from mlguard import ConfigurationError, Severity
from mlguard.drift import DriftReport, Reference, psi


def frame(rows: int, *, shift: float = 0.0, ua: float = 0.2, seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    carrier = np.where(rng.random(rows) < ua, "UA", rng.choice(["AA", "DL", "B6"], rows))
    return {
        "distance": rng.normal(1000.0, 200.0, rows) + 200.0 * shift,
        "carrier": carrier,
        "delay": rng.lognormal(size=rows),
    }


@pytest.fixture(scope="module")
def reference() -> Reference:
    return Reference.fit(frame(20_000))


@pytest.fixture(scope="module")
def drifted(reference: Reference) -> DriftReport:
    return reference.compare(frame(8_000, shift=0.2, ua=0.5, seed=1))


def test_the_worst_column_comes_first(drifted: DriftReport) -> None:
    assert [column.name for column in drifted.ranked] == ["carrier", "distance", "delay"]
    assert drifted.drifted == ["carrier", "distance"]
    assert [c.severity.name for c in drifted.ranked] == ["BREACH", "WARN", "OK"]
    verdict = drifted.verdict()
    assert verdict.severity is Severity.BREACH
    assert verdict.reason == (
        "2 of 3 columns have drifted: carrier, distance; 8,000 rows against 20,000"
    )
    assert [cause.name for cause in verdict.causes if hasattr(cause, "name")] == [
        "carrier",
        "distance",
        "delay",
    ]


def test_a_drifted_column_says_how_far_and_what_moved(drifted: DriftReport) -> None:
    carrier, distance = drifted.columns["carrier"], drifted.columns["distance"]
    assert carrier.moved[0].startswith("UA: 19.")
    assert " → 49." in carrier.moved[0]
    assert len(carrier.moved) == 1  # the others gave way alike, which is not told again
    assert "over the breach line of 0.3 sd: UA: " in carrier.reason
    assert distance.moved[0].startswith("median 999 → 1,0")
    assert "over the tolerance of 0.1 sd" in distance.reason
    assert distance.reason.endswith("(n = 8,000)")


def test_a_stable_column_says_whether_it_moved_at_all(reference: Reference) -> None:
    calm = reference.compare(frame(8_000, seed=1)).columns["distance"]
    assert calm.status == "stable"
    assert calm.reason.startswith("no change found: ")
    little = reference.compare(frame(200_000, shift=0.06, seed=1)).columns["distance"]
    assert little.status == "stable"
    assert little.reason.startswith("a change within the tolerance: 0.0")
    assert little.reason.endswith("tolerance 0.1 sd, n = 200,000")


def test_too_few_rows_are_named_with_the_number_needed(reference: Reference) -> None:
    report = reference.compare(frame(50))
    column = report.columns["distance"]
    assert column.status == "inconclusive"
    assert column.required_n is not None
    assert f"about {column.required_n:,} " in column.reason
    verdict = report.verdict()
    assert verdict.severity is Severity.UNKNOWN
    assert verdict.reason.startswith("Too few rows to tell; ")


def test_a_small_reference_says_so() -> None:
    report = Reference.fit(frame(200)).compare(frame(100_000, seed=1))
    reasons = {column.reason for column in report.columns.values() if column.required_n is None}
    assert reasons
    assert all(reason.startswith("the reference is too small to tell") for reason in reasons)


def test_an_inconclusive_column_is_unknown_only_where_it_must_not_be() -> None:
    rng = np.random.default_rng(0)
    names = np.array([f"level {place}" for place in range(60)])
    wide = {"x": rng.normal(size=50_000), "many": rng.choice(names, 50_000)}
    report = Reference.fit(wide).compare({name: column[:2_000] for name, column in wide.items()})
    assert report.inconclusive == ["many"]
    assert report.verdict().ok
    assert "too few rows to tell for many" in report.verdict().reason
    assert report.verdict(must_be_conclusive=["x"]).ok
    assert report.verdict(must_be_conclusive={"many"}).severity is Severity.UNKNOWN


@pytest.mark.parametrize("named", [["speed"], "distance", {"distance", "speed"}])
def test_must_be_conclusive_takes_columns_that_are_there(drifted: DriftReport, named: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"must_be_conclusive = .*\['distance', 'carrier'"):
        drifted.verdict(must_be_conclusive=named)


def test_an_empty_profile_is_unknown_and_says_why(reference: Reference) -> None:
    report = reference.compare(reference.profile())
    verdict = report.verdict()
    assert verdict.severity is Severity.UNKNOWN
    assert verdict.reason == "No rows to compare; 0 rows against 20,000"
    assert {c.reason for c in report.columns.values()} == {"no rows, so nothing can be told"}
    assert all(math.isnan(m.value) for m in report.measurements())
    json.dumps(report.to_dict(), allow_nan=False)
    assert "No rows to compare" in report.to_html()
    assert "No rows to compare" in report.to_markdown()
    assert len(report.to_frame()) == 3


def test_the_event_time_goes_along(reference: Reference) -> None:
    profile = reference.profile()
    profile.observe_many(frame(3_000), at=1_700_000_000)
    report = reference.compare(profile)
    assert report.verdict().at == 1_700_000_000
    assert {m.at for m in report.measurements()} == {1_700_000_000}


def test_a_changed_schema_is_in_the_reason(reference: Reference) -> None:
    data = frame(3_000)
    data["gate"] = data["distance"]
    assert "schema changed: unknown column gate" in reference.compare(data).verdict().reason


def test_the_record_is_plain_json(drifted: DriftReport) -> None:
    record = json.loads(json.dumps(drifted.to_dict(), allow_nan=False))
    assert (record["kind"], record["schema"]) == ("driftreport", 1)
    assert record["current"]["rows"] == 8_000
    assert record["settings"]["tolerance"] == 0.1
    assert [column["name"] for column in record["columns"]] == ["carrier", "distance", "delay"]
    first = record["columns"][0]
    assert first["severity"] == "BREACH"
    assert first["ks"] is None
    assert first["moved"] == drifted.columns["carrier"].moved


def test_the_frame_has_a_row_for_each_column(drifted: DriftReport) -> None:
    table = drifted.to_frame()
    assert table["column"].tolist() == ["carrier", "distance", "delay"]
    assert table["status"].tolist() == ["drifted", "drifted", "stable"]
    assert str(table["required_n"].dtype) == "Int64"
    assert table.set_index("column").loc["distance", "effect"] == drifted.columns["distance"].effect


def test_a_tolerance_in_a_metric_of_its_own_is_told_in_it(reference: Reference) -> None:
    report = reference.compare(frame(8_000, ua=0.5, seed=1), tolerance=psi(0.1), breach=psi(0.25))
    reason = report.columns["carrier"].reason
    assert reason.startswith("changed by PSI 0.")
    assert " of 0.25 PSI" in reason
    assert "PSI" in report.to_html()


def test_numbers_are_told_apart_from_the_line() -> None:
    from mlguard.drift.words import told

    assert told(0.104, 0.1) == "0.104"
    assert told(0.1002, 0.1) == "0.1002"
    assert told(0.1, 0.1) == "0.10"
    assert told(1.4377, 0.3) == "1.44"


def test_neighbouring_cells_are_told_together() -> None:
    rng = np.random.default_rng(0)
    reference = Reference.fit({"x": rng.normal(size=20_000)})
    moved = reference.compare({"x": rng.normal(0.5, 1.0, size=5_000)}).columns["x"].moved
    assert moved[0].startswith("median -0.0")
    assert len(moved[1].split(": ")[0].split(" to ")) == 2


def test_zeros_values_out_of_range_and_missing_ones_have_their_own_words() -> None:
    rng = np.random.default_rng(0)
    rain = np.where(rng.random(20_000) < 0.9, 0.0, rng.exponential(size=20_000))
    reference = Reference.fit({"rain": rain})
    wet = np.where(rng.random(5_000) < 0.7, 0.0, rng.exponential(size=5_000))
    assert reference.compare({"rain": wet}).columns["rain"].moved[0].startswith("0: 90")
    gone = np.where(rng.random(5_000) < 0.3, np.nan, rain[:5_000])
    assert reference.compare({"rain": gone}).columns["rain"].moved[0].startswith("missing: 0 % → ")
    far = np.where(rng.random(5_000) < 0.3, 1e6, rain[:5_000])
    assert reference.compare({"rain": far}).columns["rain"].moved[0].startswith("above ")
    under = np.where(rng.random(5_000) < 0.3, -1.0, rain[:5_000])
    assert reference.compare({"rain": under}).columns["rain"].moved[0].startswith("below 0: ")
    assert math.isnan(
        reference.compare({"rain": np.full(5_000, np.inf)}).columns["rain"].wasserstein
    )
    endless = np.where(rng.random(5_000) < 0.3, np.inf, rain[:5_000])
    assert reference.compare({"rain": endless}).columns["rain"].moved[0].startswith("+infinity: ")


def test_times_are_written_as_dates() -> None:
    seconds = np.arange(0, 86_400 * 28, 600)
    start = np.datetime64("2026-01-05T00:00:00")
    reference = Reference.fit({"at": start + seconds.astype("timedelta64[s]")})
    later = np.datetime64("2026-03-02T00:00:00") + seconds.astype("timedelta64[s]")
    moved = reference.compare({"at": later}).columns["at"].moved
    assert moved[0] == "after 2026-02-01 23:50: 0 % → 100 %"
    assert " of 6 sd or more (" in reference.compare({"at": later}).columns["at"].reason


def test_unseen_levels_are_called_so() -> None:
    reference = Reference.fit({"plan": ["a", "b"] * 5_000})
    moved = reference.compare({"plan": ["a", "b", "c", "c"] * 1_000}).columns["plan"].moved
    assert moved[0] == "unseen levels: 0 % → 50 %"


def test_an_absent_column_is_missing_and_the_schema_says_so() -> None:
    reference = Reference.fit({"x": [None, "a"] * 1_000, "y": np.arange(2_000.0)})
    report = reference.compare({"y": np.arange(2_000.0)})
    assert report.columns["x"].moved == ["missing: 50 % → 100 %"]
    assert report.verdict().reason.endswith("schema changed: absent column x")


def test_words_for_a_share_of_alike_columns() -> None:
    rng = np.random.default_rng(0)
    names = np.array([f"level {place}" for place in range(60)])
    wide = {"x": rng.normal(size=50_000), "many": rng.choice(names, 50_000)}
    report = Reference.fit(wide).compare({name: column[:2_000] for name, column in wide.items()})
    assert report.verdict().reason.startswith("No drift found in 1 of 2 columns; too few rows")
