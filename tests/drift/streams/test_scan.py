"""ScanGLR: its evidence, its families, and what it keeps after a change."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from scipy import stats

from mlguard import ConfigurationError
from mlguard.drift.streams import ScanGLR
from mlguard.drift.streams.families import FAMILIES
from mlguard.drift.streams.thresholds import EVERY, TABLE, heights

if TYPE_CHECKING:
    from mlguard.drift.streams.detector import Direction


def sums(xs: Any) -> tuple[int, float, float]:
    return len(xs), float(xs.sum()), float((xs * xs).sum())


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize(
    ("family", "law"), [("bernoulli", stats.bernoulli), ("poisson", stats.poisson)]
)
def test_the_evidence_is_a_likelihood_ratio(family: str, law: Any, seed: int) -> None:
    rng = np.random.default_rng(seed)
    before, window = law.rvs(0.3, size=80, random_state=rng), law.rvs(0.6, size=9, random_state=rng)
    both = np.r_[before, window].astype(float)

    def likelihood(xs: Any) -> float:
        return float(law.logpmf(xs, xs.mean()).sum())

    n, total, squares = sums(both)
    found = FAMILIES[family].evidence(n, total, squares, len(window), float(window.sum()))
    assert found == pytest.approx(likelihood(before) + likelihood(window) - likelihood(both))


def test_the_evidence_on_normal_values_is_students_made_normal() -> None:
    rng = np.random.default_rng(3)
    for n in (40, 400):
        xs = rng.normal(size=n)
        xs[-8:] += 1.0
        found = FAMILIES["gaussian"].evidence(*sums(xs), 8, float(xs[-8:].sum()))
        p = stats.ttest_ind(xs[:-8], xs[-8:]).pvalue
        assert np.sqrt(2 * found) == pytest.approx(stats.norm.isf(p / 2), rel=0.01)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("seed", range(30))
def test_the_bound_is_never_below_the_evidence(family: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, w = 60, int(rng.integers(4, 30))
    rate = rng.choice([0.02, 0.3, 0.9])
    xs = rng.normal(size=n) if family == "gaussian" else (rng.random(n) < rate).astype(float)
    xs[-w:] = rng.normal(2.0) if family == "gaussian" else rng.integers(0, 2)
    total, window = float(xs.sum()), float(xs[-w:].sum())
    spread = float(FAMILIES[family].spread(*sums(xs)))
    e = window - w * total / n
    found = FAMILIES[family].evidence(*sums(xs), w, window)
    assert found * spread * w * (n - w) <= e * e * n * (1.0 + 1e-9)


@pytest.mark.parametrize(
    ("family", "bad"),
    [
        ("bernoulli", 0.5),
        ("bernoulli", 2.0),
        ("bernoulli", -1),
        ("poisson", 1.5),
        ("poisson", -1.0),
    ],
)
def test_values_that_are_not_of_the_family_are_refused(family: str, bad: float) -> None:
    detector = ScanGLR(family)
    with pytest.raises(ConfigurationError, match=r"^x = .*a whole number between 0 and "):
        detector.observe(bad)
    with pytest.raises(ConfigurationError, match=r"^xs\[2\] = .*a whole number between 0 and "):
        detector.observe_many([np.nan, 1.0, bad])
    assert detector.state() == ScanGLR(family).state()
    with pytest.raises(ConfigurationError, match=r"^family = 'normal'"):
        ScanGLR("normal")


def test_neither_the_unit_nor_the_origin_matters() -> None:
    rng = np.random.default_rng(4)
    xs = np.r_[rng.normal(size=3000), rng.normal(0.5, size=1000)]
    [one] = ScanGLR().observe_many(xs)
    [other] = ScanGLR().observe_many(1e7 + 1e-2 * xs)
    assert (one.at, one.onset) == (other.at, other.onset)
    assert other.after == pytest.approx(1e7 + 1e-2 * one.after)  # type: ignore[operator]


def test_the_new_level_is_known_at_once() -> None:
    rng = np.random.default_rng(5)
    detector = ScanGLR()
    [change] = detector.observe_many(np.r_[rng.normal(size=2000), rng.normal(0.5, size=500)])
    assert detector.status == "stable"
    assert detector._n == 2500 - change.onset


def test_a_very_weak_change_is_found_in_the_end() -> None:
    rng = np.random.default_rng(6)
    xs = np.r_[rng.normal(size=50_000), rng.normal(0.06, size=50_000)]
    assert ScanGLR().observe_many(xs)


def test_what_is_kept_grows_with_the_logarithm_of_the_length() -> None:
    detector = ScanGLR()
    detector.observe_many(np.random.default_rng(7).normal(size=300_000))
    assert len(json.dumps(detector.state())) < 30_000


def test_a_place_counts_the_gaps_before_it() -> None:
    rng = np.random.default_rng(8)
    xs = np.r_[rng.normal(size=400), rng.normal(5.0, size=50)]
    gappy = np.insert(xs, [10, 10, 300, 420], np.nan)
    [plain], [found] = ScanGLR().observe_many(xs), ScanGLR().observe_many(gappy)
    assert abs(plain.onset - 400) <= 1
    assert found.onset == plain.onset + 3
    assert found.at == plain.at + 3


@pytest.mark.parametrize("direction", ["both", "up", "down"])
@pytest.mark.parametrize("family", FAMILIES)
def test_thresholds_rise_with_the_run_length(family: str, direction: Direction) -> None:
    for rows in TABLE[family].values():
        assert all(a < b for a, b in pairwise(rows[direction]))
    for place, every in enumerate(EVERY):
        first = next(iter(TABLE[family].values()))
        assert heights(family, direction, every)[1][0] == pytest.approx(first[direction][place])
    longer, longest = (heights(family, direction, every)[1] for every in (1e6, 1e7))
    assert all(1.5 < b - a < 3.5 for a, b in zip(longer, longest, strict=True))


def test_a_rise_of_what_happens_is_a_fall_of_what_does_not() -> None:
    rng = np.random.default_rng(9)
    xs = (rng.random(2000) < np.repeat([0.1, 0.3], 1000)).astype(float)
    [rise] = ScanGLR("bernoulli", direction="up").observe_many(xs)
    [fall] = ScanGLR("bernoulli", direction="down").observe_many(1.0 - xs)
    assert (rise.at, rise.onset) == (fall.at, fall.onset)
    assert rise.evidence["threshold"] == pytest.approx(fall.evidence["threshold"])
    assert ScanGLR("bernoulli", direction="down").observe_many(xs) == []
    [both] = ScanGLR("bernoulli").observe_many(xs)
    assert rise.evidence["threshold"] < both.evidence["threshold"]


def test_the_threshold_may_be_given() -> None:
    rng = np.random.default_rng(10)
    xs = rng.normal(size=5000)
    assert ScanGLR(threshold=6.0).observe_many(xs)
    assert ScanGLR(threshold=30.0).observe_many(xs) == []
    assert ScanGLR(threshold=30.0).threshold == 30.0
    with pytest.raises(ConfigurationError, match=r"^threshold = 'high'"):
        ScanGLR(threshold="high")  # type: ignore[arg-type]


def test_a_warning_comes_before_an_alarm_and_ends() -> None:
    rng = np.random.default_rng(11)
    detector, plain = ScanGLR(warn_every=1_000), ScanGLR()
    stages = []
    for x in np.r_[rng.normal(size=300), rng.normal(1.0, size=60)].tolist():
        assert detector.observe(x) == plain.observe(x)
        assert plain.status != "warning"
        stages.append(detector.status)
    change = detector.changes[0]
    assert stages[0] == "warm-up"
    assert stages[299] == "stable"
    assert "warning" in stages[300 : change.at]
    assert stages[change.at] == "drift"  # until the new level is known


@pytest.mark.parametrize("bad", [99, 1_000_000, 2_000_000, "often", np.nan])
def test_warnings_are_more_frequent_than_alarms(bad: object) -> None:
    with pytest.raises(ConfigurationError, match=r"^warn_every = "):
        ScanGLR(warn_every=bad)  # type: ignore[arg-type]
