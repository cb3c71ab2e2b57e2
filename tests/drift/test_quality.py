"""Data quality from the counts of a comparison."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from mlguard import ConfigurationError, Severity, at_least, at_most, guard
from mlguard.drift import DriftReport, Quality, Reference
from mlguard.stats.intervals import proportion_interval

ROWS = 1_000


def frame(rows: int) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return {
        "age": rng.integers(18, 90, rows).astype(float),
        "plan": rng.choice(["free", "paid"], rows),
        "city": rng.choice([f"city {place}" for place in range(9)], rows),
    }


@pytest.fixture(scope="module")
def reference() -> Reference:
    data = frame(10_000)
    data["age"][:100] = np.nan
    return Reference.fit(data, levels=5)


@pytest.fixture
def quality(reference: Reference) -> Quality:
    data = frame(ROWS)
    data["age"][:50] = np.nan
    data["age"][50:60] = 200.0
    data["plan"] = np.where(np.arange(ROWS) < 30, "trial", data["plan"])
    data["gate"] = data["age"]
    profile = reference.profile()
    profile.observe_many(data, at=datetime(2026, 11, 22, 12, tzinfo=UTC))
    return reference.compare(profile).quality


def test_the_missing_share_has_an_interval(quality: Quality) -> None:
    found = quality.missing("age")
    assert (found.name, found.value, found.n, found.unit) == ("missing[age]", 0.05, ROWS, "share")
    assert (found.low, found.high) == proportion_interval(50, ROWS, 0.95)
    assert [each.name for each in quality.missing()] == [
        "missing[age]",
        "missing[plan]",
        "missing[city]",
    ]


def test_a_change_of_the_missing_share_is_in_points(quality: Quality) -> None:
    found = quality.missing_change("age")
    assert found.value == pytest.approx(0.04)
    assert found.low is not None
    assert found.high is not None
    assert 0.02 < found.low < 0.04 < found.high < 0.06
    assert found.details["reference"] == pytest.approx(0.01)
    assert guard(quality.missing_change, at_most(0.03))().severity is Severity.BREACH
    assert guard(quality.missing_change, at_most(0.05))().ok


def test_values_out_of_range_and_unseen_levels(quality: Quality) -> None:
    assert quality.out_of_range("age").value == 0.01
    assert [each.name for each in quality.out_of_range()] == ["out of range[age]"]
    assert quality.unseen("plan").value == 0.03
    assert [each.name for each in quality.unseen()] == ["unseen[plan]"]


def test_a_share_that_a_column_has_not_is_refused(quality: Quality) -> None:
    with pytest.raises(ConfigurationError, match=r"unseen of column = 'city': .* \['plan'\]"):
        quality.unseen("city")
    with pytest.raises(ConfigurationError, match="out of range of column = 'plan'"):
        quality.out_of_range("plan")
    with pytest.raises(ConfigurationError, match="missing of column = 'speed'"):
        quality.missing("speed")


def test_a_constant_column_is_stuck(reference: Reference) -> None:
    data = frame(ROWS)
    data["age"][:] = 41.0
    data["plan"][:] = "free"
    found = reference.compare(data).quality
    assert found.stuck("age").value == 1.0
    assert found.stuck("plan").details["cell"] == "free"
    assert found.stuck("plan").details["reference"] == pytest.approx(0.5, abs=0.02)
    assert guard(found.stuck, at_most(0.99))().severity is Severity.BREACH


def test_rows_and_schema_changes(quality: Quality) -> None:
    assert guard(quality.rows, at_least(2_000))().severity is Severity.BREACH
    changes = quality.schema_changes()
    assert (changes.value, changes.details["changes"]) == (1, ("unknown column gate",))
    assert guard(quality.schema_changes, at_most(0))().severity is Severity.BREACH


def test_freshness_is_the_age_of_the_newest_row(quality: Quality, reference: Reference) -> None:
    now = datetime(2026, 11, 22, 15, tzinfo=UTC)
    age = quality.age(now)
    assert (age.value, age.unit) == (3 * 3600.0, "s")
    assert guard(age, at_most(timedelta(days=1).total_seconds()))().ok
    timeless = reference.compare(frame(ROWS)).quality.age(now)
    assert math.isnan(timeless.value)
    assert "no row was given an event time" in guard(timeless, at_most(1))().reason
    with pytest.raises(ConfigurationError, match="now = "):
        quality.age(datetime(2026, 11, 22))  # noqa: DTZ001 -- naive, which is refused


def test_without_rows_nothing_is_known(reference: Reference) -> None:
    report: DriftReport = reference.compare(reference.profile())
    for measure in (report.quality.missing, report.quality.missing_change, report.quality.stuck):
        verdict = guard(measure, at_most(0.5))()
        assert verdict.severity is Severity.UNKNOWN
    assert "there are no rows" in guard(report.quality.missing("age"), at_most(0.5))().reason


def test_everything_is_listed_with_the_time_of_the_newest_row(quality: Quality) -> None:
    found = quality.measurements()
    assert len({each.name for each in found}) == len(found) == 2 + 3 + 3 + 1 + 1 + 3
    assert {each.at for each in found} == {datetime(2026, 11, 22, 12, tzinfo=UTC).timestamp()}
