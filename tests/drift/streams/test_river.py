"""from_river: with a stand-in of the same shape, as river is no dependency of the tests."""

from __future__ import annotations

import math
from typing import Self

import numpy as np
import pytest

from mlguard import ConfigurationError
from mlguard.drift.streams import from_river


class StandIn:
    """Alarms when ten values in a row are above 1; has a width of so many."""

    def __init__(self) -> None:
        self.width = 0
        self.drift_detected = False

    def clone(self) -> Self:
        return type(self)()

    def update(self, x: float) -> None:
        self.width = self.width + 1 if x > 1.0 else 0
        self.drift_detected = self.width == 10


def test_its_alarms_become_changes() -> None:
    detector = from_river(StandIn())
    xs = np.r_[np.zeros(50), np.full(5, 2.0), np.nan, np.full(20, 2.0)]
    [change] = detector.observe_many(xs)
    assert (change.onset, change.at, change.after) == (50, 60, None)
    assert detector.measure().value == 1
    detector.reset()
    assert detector.changes == ()


def test_it_reads_values_as_all_detectors_do() -> None:
    detector = from_river(StandIn(), on_missing="raise")
    for bad in (math.inf, "0.3", None):
        with pytest.raises(ConfigurationError):
            detector.observe(bad)  # type: ignore[arg-type]
    assert detector.measure().n == 0


def test_it_has_no_state_and_says_so() -> None:
    detector = from_river(StandIn())
    with pytest.raises(ConfigurationError, match=r"^detector = .*to have a state"):
        detector.state()
    with pytest.raises(ConfigurationError, match=r"^state = "):
        detector.from_state({})
    with pytest.raises(ConfigurationError, match=r"^detector = 7"):
        from_river(7)
