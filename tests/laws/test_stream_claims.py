"""How often detectors of changes cry wolf, and how soon they find one, by simulation."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from mlguard.drift.streams import Adwin, EDetector, PageHinkley, ScanGLR
from mlguard.testing import evaluate, stream

if TYPE_CHECKING:
    from mlguard.drift.streams.detector import Detector

Draw = Callable[[np.random.Generator, int], Any]
CHUNK = 512


def normal(rng: np.random.Generator, n: int, *, mean: float = 0.0, sd: float = 1.0) -> Any:
    return rng.normal(mean, sd, n)


def events(rng: np.random.Generator, n: int, *, p: float) -> Any:
    return rng.random(n) < p


def run_length(make: Callable[[], Detector], draw: Draw, *, seed: int, runs: int) -> float:
    """Give the mean number of observations until the first alarm."""
    rng = np.random.default_rng(seed)
    lengths = []
    for _ in range(runs):
        detector = make()
        while not (found := detector.observe_many(draw(rng, CHUNK))):
            pass
        lengths.append(found[0].at + 1)
    return float(np.mean(lengths))


def counts(rng: np.random.Generator, n: int, *, mean: float) -> Any:
    return rng.poisson(mean, n)


NORMAL: dict[str, Draw] = {
    "N(0,1)": normal,
    "N(500,0.1)": partial(normal, mean=500.0, sd=0.1),
}
EVENTS: dict[str, Draw] = {f"B({p})": partial(events, p=p) for p in (0.02, 0.1, 0.3, 0.5, 0.9)}


@pytest.mark.parametrize("name", NORMAL)
def test_page_hinkley_keeps_its_rate_on_normal_values(name: str) -> None:
    make = partial(PageHinkley, false_alarm_every=1_000)
    found = run_length(make, NORMAL[name], seed=1, runs=300)
    assert 0.85 <= found / 1_000 <= 1.35  # the mean of 300 has a standard error of 6 %


@pytest.mark.slow
@pytest.mark.parametrize("shift", [0.2, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("every", [1_000, 10_000, 100_000])
def test_page_hinkley_keeps_its_rate_for_every_shift(every: int, shift: float) -> None:
    make = partial(PageHinkley, false_alarm_every=every, smallest_shift=shift)
    found = run_length(make, normal, seed=2, runs=200)
    assert 0.8 <= found / every <= 1.4


@pytest.mark.slow
@pytest.mark.parametrize("every", [1_000, 10_000, 100_000])
@pytest.mark.parametrize("name", EVENTS)
def test_page_hinkley_is_quiet_enough_on_events(name: str, every: int) -> None:
    make = partial(PageHinkley, false_alarm_every=every)
    found = run_length(make, EVENTS[name], seed=3, runs=100)
    assert 0.8 <= found / every <= 6.0


class Streak:
    """Values whose mean, given those before, is the baseline, but that depend on them wildly."""

    def __init__(self, baseline: float) -> None:
        self.baseline = baseline
        self.run = 0

    def __call__(self, rng: np.random.Generator, n: int) -> Any:
        found = []
        for u in rng.random(n):
            spread = self.baseline * (1.0 if self.run % 3 == 0 else 0.2)
            hit = u < 0.5
            self.run = self.run + 1 if hit else 0
            found.append(self.baseline + (spread if hit else -spread))
        return found


def below(rng: np.random.Generator, n: int) -> Any:
    """Give events whose rate is anything up to the baseline of 0.3."""
    return rng.random(n) < rng.choice([0.01, 0.15, 0.3], size=n)


AT_BASELINE: dict[str, tuple[float, Callable[[], Draw]]] = {
    **{f"B({p})": (p, partial(lambda p: partial(events, p=p), p)) for p in (0.02, 0.1, 0.3, 0.5)},
    "streak": (0.3, lambda: Streak(0.3)),
    "below": (0.3, lambda: below),
}


@pytest.mark.parametrize(
    ("name", "direction"),
    [  # values below the baseline are a change for a detector of both directions
        (name, direction)
        for name in AT_BASELINE
        for direction in ("up", "both")
        if (name, direction) != ("below", "both")
    ],
)
def test_an_e_detector_is_at_least_as_quiet_as_asked(name: str, direction: Any) -> None:
    baseline, draw = AT_BASELINE[name]
    make = partial(EDetector, baseline=baseline, false_alarm_every=200, direction=direction)
    assert run_length(make, draw(), seed=4, runs=60) >= 200


@pytest.mark.slow
@pytest.mark.parametrize("name", ["B(0.02)", "B(0.1)", "B(0.3)", "B(0.5)"])
def test_an_e_detector_that_learns_is_at_least_as_quiet_as_asked(name: str) -> None:
    make = partial(EDetector, false_alarm_every=2_000)
    assert run_length(make, EVENTS[name], seed=5, runs=40) >= 2_000


@pytest.mark.slow
@pytest.mark.parametrize("every", [1_000, 10_000, 100_000])
@pytest.mark.parametrize(
    "draw",
    [partial(normal, sd=100.0), normal, EVENTS["B(0.5)"]],
    ids=["N(0,100)", "N(0,1)", "B(0.5)"],
)
def test_adwin_is_at_least_as_quiet_as_asked(draw: Draw, every: int) -> None:
    found = run_length(partial(Adwin, false_alarm_every=every), draw, seed=8, runs=80)
    assert found >= 0.8 * every  # the mean of 80 has a standard error of 11 %


SCANNED: dict[str, tuple[str, Draw]] = {
    **{name: ("gaussian", draw) for name, draw in NORMAL.items()},
    **{name: ("bernoulli", draw) for name, draw in EVENTS.items()},
    **{f"P({m})": ("poisson", partial(counts, mean=m)) for m in (0.05, 0.5, 5.0)},
}


@pytest.mark.parametrize("name", SCANNED)
def test_a_scan_keeps_its_rate(name: str) -> None:
    family, draw = SCANNED[name]
    make = partial(ScanGLR, family, false_alarm_every=1_000)
    found = run_length(make, draw, seed=6, runs=120)
    assert 0.7 <= found / 1_000 <= 2.0


@pytest.mark.slow
@pytest.mark.parametrize("every", [10_000, 100_000])
@pytest.mark.parametrize("name", SCANNED)
def test_a_scan_keeps_its_rate_when_it_is_seldom(name: str, every: int) -> None:
    family, draw = SCANNED[name]
    make = partial(ScanGLR, family, false_alarm_every=every)
    found = run_length(make, draw, seed=7, runs=80)
    assert 0.7 <= found / every <= 2.0


@pytest.mark.parametrize("name", SCANNED)
@pytest.mark.parametrize(
    "every",
    [
        1_000,
        pytest.param(10_000, marks=pytest.mark.slow),
        pytest.param(100_000, marks=pytest.mark.slow),
    ],
)
def test_a_scan_keeps_its_rate_over_many_alarms(name: str, every: int) -> None:
    """An alarm by chance is not followed by another, that all is as before."""
    family, draw = SCANNED[name]
    rng, detector = np.random.default_rng(13), ScanGLR(family, false_alarm_every=every)
    alarms = sum(len(detector.observe_many(draw(rng, every))) for _ in range(150))
    assert 0.7 <= 150 / alarms <= 2.0  # 150 alarms have a standard error of 8 %


@pytest.mark.parametrize("every", [1_000, 10_000])
def test_page_hinkley_has_the_rate_it_says_over_many_alarms(every: int) -> None:
    rng, detector = np.random.default_rng(14), PageHinkley(false_alarm_every=every)
    alarms = sum(len(detector.observe_many(rng.normal(size=every))) for _ in range(200))
    assert 0.6 <= 200 / alarms <= 0.85  # some 280 alarms have a standard error of 6 %


def warned(make: Callable[[], Detector], draw: Draw, *, seed: int, runs: int) -> float:
    """Give the mean number of observations until the first warning, asked for after each."""
    rng = np.random.default_rng(seed)
    lengths = []
    for _ in range(runs):
        detector = make()
        n = 0
        while detector.status != "warning":
            if n % CHUNK == 0:
                xs = np.asarray(draw(rng, CHUNK), dtype=float).tolist()
            detector.observe(xs[n % CHUNK])
            n += 1
        lengths.append(n)
    return float(np.mean(lengths))


WARNED: dict[str, tuple[Callable[..., Detector], Draw, int, float, float]] = {
    "ScanGLR, N(0,1)": (ScanGLR, normal, 300, 0.7, 2.0),
    "ScanGLR, B(0.3)": (partial(ScanGLR, "bernoulli"), EVENTS["B(0.3)"], 300, 0.7, 2.0),
    "ScanGLR, P(0.5)": (partial(ScanGLR, "poisson"), partial(counts, mean=0.5), 300, 0.7, 2.0),
    "PageHinkley, N(0,1)": (PageHinkley, normal, 300, 0.8, 1.4),
    "EDetector, B(0.3)": (partial(EDetector, baseline=0.3), EVENTS["B(0.3)"], 300, 1.0, 3.0),
    "Adwin, N(0,100)": (Adwin, partial(normal, sd=100.0), 1_500, 0.8, 2.0),
}


@pytest.mark.parametrize("name", WARNED)
def test_warnings_come_as_often_as_asked(name: str) -> None:
    make, draw, every, least, most = WARNED[name]
    found = warned(partial(make, warn_every=every), draw, seed=10, runs=100)
    assert least <= found / every <= most  # the mean of 100 has a standard error of 10 %


@pytest.mark.slow
@pytest.mark.parametrize("name", SCANNED)
def test_few_streams_have_an_alarm_early_at_a_million(name: str) -> None:
    family, draw = SCANNED[name]
    rng = np.random.default_rng(11)
    alarmed = sum(bool(ScanGLR(family).observe_many(draw(rng, 10_000))) for _ in range(1000))
    assert alarmed <= 30  # of 1,000 streams; 10 are to be expected


@pytest.mark.slow
@pytest.mark.parametrize("make", [Adwin, PageHinkley, EDetector])
def test_few_streams_of_the_others_have_one(make: Callable[[], Detector]) -> None:
    rng = np.random.default_rng(12)
    alarmed = sum(bool(make().observe_many(rng.random(10_000))) for _ in range(1000))
    assert alarmed <= 30


FOUND = {  # median delay and, for normal values, onset error, at most
    "0.1 to 0.3": ("bernoulli", 0.1, 0.3, 75, None),
    "0.3 to 0.1": ("bernoulli", 0.3, 0.1, 100, None),
    "+0.5 sd": ("gaussian", 0.0, 0.5, 92, 12),
    "+1 sd": ("gaussian", 0.0, 1.0, 24, 3),
}


SLOWER = {  # than asked, at thresholds whose run length is a million; each of 1,000 streams
    "0.3 to 0.1": "103 (99 to 103)",
    "+0.5 sd": "95 (91 to 99); 91 with a threshold that alarmed every 840,000",
}


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.xfail(strict=True, reason=SLOWER[name]))
        if name in SLOWER
        else name
        for name in FOUND
    ],
)
def test_a_scan_finds_a_change_soon_and_where_it_was(name: str) -> None:
    family, before, after, delay, error = FOUND[name]
    rng = np.random.default_rng(9)
    means = np.repeat([before, after], [10_000, 10_000])
    streams = [stream(rng, means, family=family) for _ in range(1000)]
    found = evaluate(partial(ScanGLR, family), streams)
    assert found.misses.value == 0.0
    assert found.delay.value <= delay
    assert error is None or found.onset_error.value <= error
