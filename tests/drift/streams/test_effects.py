"""Detectors over a sequence of profiles: a creeping drift below every day's tolerance."""

from __future__ import annotations

from typing import Any

import numpy as np

from mlguard import Severity
from mlguard.drift import Reference
from mlguard.drift.streams import Change, PageHinkley, Streams

COLUMNS = ["age", "income"]


def frame(rng: np.random.Generator, n: int, income: float = 0.0) -> dict[str, Any]:
    return {"age": rng.normal(size=n), "income": rng.normal(income, 1.0, n)}


def test_a_drift_too_small_for_any_day_is_found_over_days() -> None:
    rng = np.random.default_rng(1)
    reference = Reference.fit(frame(rng, 20_000))
    effects = Streams(dict.fromkeys(COLUMNS, PageHinkley), false_alarm_every=365)
    drifted: set[str] = set()
    found: dict[str, tuple[int, Change]] = {}
    for day in range(120):
        profile = reference.profile()
        profile.observe_many(frame(rng, 4_000, income=0.0 if day < 60 else 0.05))
        report = reference.compare(profile)
        drifted |= set(report.drifted)
        daily = {name: column.effect for name, column in report.columns.items()}
        found |= {name: (day, change) for name, change in effects.observe(daily).items()}
    assert drifted == set()
    assert list(found) == ["income"]
    day, change = found["income"]
    assert day == change.at
    assert 55 <= change.onset <= 65
    assert change.at <= 90
    assert effects().severity is Severity.BREACH


def test_a_day_without_rows_is_missing_and_no_change() -> None:
    rng = np.random.default_rng(2)
    reference = Reference.fit(frame(rng, 5_000))
    effects = Streams(dict.fromkeys(COLUMNS, PageHinkley), false_alarm_every=365)
    for day in range(40):
        report = reference.compare(frame(rng, 0 if day % 7 == 6 else 500))
        daily = {name: column.effect for name, column in report.columns.items()}
        assert effects.observe(daily) == {}
    assert [each.n for each in effects.measure()] == [35, 35]
