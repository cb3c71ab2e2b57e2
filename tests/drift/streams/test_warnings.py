"""Warnings: they begin where an alarm of their rate would, in every detector."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

from mlguard import ConfigurationError
from mlguard.drift.streams import Adwin, EDetector, PageHinkley, ScanGLR
from mlguard.drift.streams.detector import Detector

Make = Callable[..., Detector]

DETECTORS: dict[str, Make] = {
    "ScanGLR": ScanGLR,
    "ScanGLR, events": partial(ScanGLR, "bernoulli"),
    "ScanGLR, rises": partial(ScanGLR, direction="up"),
    "EDetector": partial(EDetector, baseline=0.1),
    "EDetector, both": partial(EDetector, baseline=0.1, direction="both"),
    "EDetector, learnt": EDetector,
    "Adwin": Adwin,
    "PageHinkley": PageHinkley,
    "PageHinkley, falls": partial(PageHinkley, direction="down"),
    "PageHinkley in blocks": partial(PageHinkley, block=5),
}
every_detector = pytest.mark.parametrize("make", DETECTORS.values(), ids=DETECTORS)


@every_detector
@pytest.mark.parametrize("seed", range(3))
def test_a_warning_begins_where_an_alarm_of_its_rate_would(make: Make, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rates = np.repeat([0.1, 0.2, 0.02, 0.5], 1500)
    xs = (rng.random(6000) < rates).astype(float)
    warned, alarmed = make(warn_every=2_000), make(false_alarm_every=2_000)
    plain = make()
    first = None
    for at, x in enumerate(xs.tolist()):
        assert warned.observe(x) == plain.observe(x)
        assert plain.status != "warning"
        if alarmed.observe(x) is not None:
            assert warned.status in {"warning", "drift"}
            first = at
            break
        assert warned.status != "warning"
    assert first is not None


@every_detector
@pytest.mark.parametrize("bad", [99, 1_000_000, 2_000_000, "often", np.nan])
def test_warnings_are_more_frequent_than_alarms(make: Make, bad: object) -> None:
    with pytest.raises(ConfigurationError, match=r"^warn_every = "):
        make(warn_every=bad)


@every_detector
def test_a_warning_survives_a_restart(make: Make) -> None:
    rng = np.random.default_rng(5)
    detector = make(warn_every=500)
    statuses = set()
    for x in (rng.random(1500) < 0.1).astype(float).tolist() + [1.0, 0.0] * 30:
        detector.observe(x)
        again = make(warn_every=500).from_state(detector.state())
        assert again.status == detector.status
        statuses.add(detector.status)
    assert "stable" in statuses


def test_the_threshold_may_be_given() -> None:
    xs = np.repeat([0.0, 1.0], 500) + np.random.default_rng(6).normal(size=1000)
    bounded = np.repeat([0.1, 0.6], 500)
    cases: tuple[tuple[Make, float, float, Any], ...] = (
        (PageHinkley, 5.0, 1e6, xs),
        (partial(EDetector, baseline=0.2), 100.0, 1e300, bounded),
        (ScanGLR, 5.0, 1e6, xs),
    )
    for make, low, high, values in cases:
        assert make(threshold=low).observe_many(values)
        assert make(threshold=high).observe_many(values) == []
        assert make(threshold=low).threshold == low  # type: ignore[attr-defined]
        assert make(threshold=low).settings["false_alarm_every"] is None
        with pytest.raises(ConfigurationError, match=r"^threshold = 'high'"):
            make(threshold="high")


def test_the_evidence_of_an_alarm_is_beyond_its_threshold() -> None:
    xs = np.repeat([0.1, 0.6], 500) > np.random.default_rng(7).random(1000)
    for make in DETECTORS.values():
        for change in make().observe_many(xs):
            assert change.evidence["statistic"] > change.evidence["threshold"]
    [change] = Adwin().observe_many(xs)
    quiet = Adwin(delta=0.002)
    assert quiet.observe_many(xs[: change.at // 2]) == []
    assert quiet.threshold == pytest.approx(
        np.log(2 * np.log(change.at // 2 // 32 * 32 + 32) / 0.002)
    )
