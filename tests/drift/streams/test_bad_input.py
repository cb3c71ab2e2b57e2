"""What a detector makes of whatever it is given: a number, a missing value, or a refusal."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from functools import partial
from typing import Any, Literal, Self

import numpy as np
import pytest

from mlguard import ConfigurationError
from mlguard.drift.streams import Adwin, EDetector, PageHinkley, ScanGLR, from_river
from mlguard.drift.streams.detector import STARVED, Detector

Make = Callable[..., Detector]
Outcome = Literal["number", "missing", "refused"]


class StandIn:
    """Of the shape of river's: alarms where the mean of twenty values begins to be above 0.6."""

    def __init__(self) -> None:
        self.last: list[float] = []
        self.drift_detected = False

    def clone(self) -> Self:
        return type(self)()

    def update(self, x: float) -> None:
        before, self.last = sum(self.last), [*self.last[-19:], x]
        self.drift_detected = before <= 12.0 < sum(self.last) and len(self.last) == 20


DETECTORS: dict[str, Make] = {
    "ScanGLR": ScanGLR,
    "EDetector": partial(EDetector, baseline=0.2),
    "Adwin": Adwin,
    "PageHinkley": PageHinkley,
    "from_river": lambda **also: from_river(StandIn(), **also),
    "ScanGLR in blocks": partial(ScanGLR, block=3),
}

MATRIX: dict[str, tuple[Any, Outcome]] = {
    "nan": (math.nan, "missing"),
    "None": (None, "missing"),
    "Decimal nan": (Decimal("nan"), "missing"),
    "float32 nan": (np.float32("nan"), "missing"),
    "0-d nan": (np.array(math.nan), "missing"),
    "inf": (math.inf, "refused"),
    "-inf": (-math.inf, "refused"),
    "float32 inf": (np.float32("inf"), "refused"),
    "Decimal inf": (Decimal("-inf"), "refused"),
    "0-d inf": (np.array(-math.inf), "refused"),
    "too large": (1e300, "refused"),
    "larger than any float": (10**400, "refused"),
    "str": ("0.3", "refused"),
    "str inf": ("inf", "refused"),
    "numpy str": (np.str_("0.3"), "refused"),
    "0-d str": (np.array("0.3"), "refused"),
    "0-d str object": (np.array("0.3", dtype=object), "refused"),
    "bytes": (b"0", "refused"),
    "array of 3": (np.array([0.1, 0.2, 0.3]), "refused"),
    "array of 1": (np.array([0.5]), "refused"),
    "list": ([0.5], "refused"),
    "ragged list": ([[0.5], [0.1, 0.2]], "refused"),
    "complex": (1j, "refused"),
    "numpy complex": (np.complex128(0.5), "refused"),
    "signalling nan": (Decimal("sNaN"), "refused"),
    "date": (np.datetime64("2026-01-01"), "refused"),
    "duration": (np.timedelta64(1, "s"), "refused"),
    "object": (object, "refused"),
    "0-d": (np.array(0.25), "number"),
    "0-d object": (np.array(0.25, dtype=object), "number"),
    "bool": (True, "number"),
    "numpy bool": (np.bool_(True), "number"),  # noqa: FBT003
    "Decimal": (Decimal("0.25"), "number"),
    "Fraction": (Fraction(1, 4), "number"),
    "float32": (np.float32(0.25), "number"),
    "int64": (np.int64(1), "number"),
    "int": (0, "number"),
}

matrix = pytest.mark.parametrize(("bad", "outcome"), MATRIX.values(), ids=MATRIX)
every_detector = pytest.mark.parametrize("make", DETECTORS.values(), ids=DETECTORS)


def memory(detector: Detector) -> str:
    """Write down all that a detector remembers, to the last bit."""
    try:
        return json.dumps(detector.state())
    except ConfigurationError:  # river has none
        running = vars(detector._running)  # type: ignore[attr-defined]
        return repr((running, detector.measure(), detector._gaps, detector._dependence.memory))


@every_detector
@matrix
@pytest.mark.parametrize("on_missing", ["skip", "raise", "alarm"])
def test_each_has_an_outcome_and_nothing_makes_a_detector_blind(
    make: Make, bad: Any, outcome: Outcome, on_missing: str
) -> None:
    detector = make(on_missing=on_missing)
    rng = np.random.default_rng(2)
    detector.observe_many(rng.random(400) < 0.1)
    before, missing = memory(detector), detector.measure().details["missing"]
    if outcome == "refused" or (outcome == "missing" and on_missing == "raise"):
        for _ in range(2):
            with pytest.raises(ConfigurationError, match=r"^x = "):
                detector.observe(bad)
            with pytest.raises(ConfigurationError, match=r"^xs(\[2\])? = "):
                detector.observe_many([0.0, 1.0, bad])
        assert memory(detector) == before
    elif outcome == "missing":
        detector.observe(bad)
        detector.observe_many([bad, bad])
        assert detector.measure().details["missing"] == missing + 3
        assert detector.measure().n == 400
    else:
        twin = make(on_missing=on_missing)
        twin.observe_many(np.random.default_rng(2).random(400) < 0.1)
        detector.observe(bad)
        detector.observe_many([bad, bad])
        twin.observe_many([float(bad)] * 3)
        assert memory(detector) == memory(twin)
    known = len(detector.changes)
    detector.observe_many(rng.random(200) < 0.9)
    assert len(detector.changes) == known + 1


@every_detector
def test_only_a_hundred_missing_values_in_a_row_are_an_alarm(make: Make) -> None:
    detector = make(on_missing="alarm")
    detector.observe_many(np.zeros(50))
    assert detector.observe_many([math.nan] * (STARVED - 1)) == []
    detector.observe(0.0)
    assert detector.observe_many(np.full(STARVED - 1, None)) == []
    assert detector.observe(None) is not None
