"""River's detectors beside ours: the same alarms, the cost of an observation, and delays.

`make bench-peers` runs it in an environment of its own under .venvs/, installed on first use. It is
optional and never part of CI.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlguard.drift.streams import Detector

ROOT = Path(__file__).parents[1]
HOME = ROOT / ".venvs" / "streams"
PEERS = ["river==0.26.1"]
LENGTH = 300_000
CHANGES: dict[str, tuple[str, float, float]] = {
    "0.1 to 0.15": ("bernoulli", 0.1, 0.15),
    "0.1 to 0.3": ("bernoulli", 0.1, 0.3),
    "0.3 to 0.1": ("bernoulli", 0.3, 0.1),
    "+0.25 sd": ("gaussian", 0.0, 0.25),
    "+0.5 sd": ("gaussian", 0.0, 0.5),
    "+1 sd": ("gaussian", 0.0, 1.0),
}
DELTAS = {("bernoulli", 0.1): 0.0145, ("bernoulli", 0.3): 0.0092, ("gaussian", 0.0): 0.0051}
"""With which ADWIN has a false alarm in a million observations, as ours are asked for.

By two runs of 26 million values for each, of 0.006 and 0.012; an error of a third is left.
"""


def streams() -> dict[str, Any]:
    """Draw streams without changes, and with many."""
    rng = np.random.default_rng(7)
    levels = rng.random(300).repeat(LENGTH // 300)
    return {
        "events, steady": rng.binomial(1, 0.1, LENGTH).astype(float),
        "events, 299 changes": (rng.random(LENGTH) < levels).astype(float),
        "normal, steady": rng.normal(size=LENGTH),
        "normal, 299 changes": rng.normal(4.0 * levels),
    }


def same_alarms() -> None:
    """Compare Adwin with river's, alarm for alarm, and what an observation costs."""
    from river.drift import ADWIN  # type: ignore[import-not-found]  # noqa: PLC0415

    from mlguard.drift.streams import Adwin  # noqa: PLC0415

    print("| stream | alarms of river | the same | river, ns | one by one, ns | in chunks, ns |")
    print("|---|---|---|---|---|---|")
    for name, xs in streams().items():
        items = xs.tolist()
        theirs, alarms = ADWIN(), []
        start = time.process_time()
        for at, x in enumerate(items):
            theirs.update(x)
            if theirs.drift_detected:
                alarms.append(at)
        river = time.process_time() - start
        start = time.process_time()
        observe = Adwin(delta=0.002).observe
        for x in items:
            observe(x)
        single = time.process_time() - start
        detector, found = Adwin(delta=0.002), []
        start = time.process_time()
        for place in range(0, LENGTH, 8_192):
            found += [change.at for change in detector.observe_many(xs[place : place + 8_192])]
        chunk = time.process_time() - start
        costs = " | ".join(f"{1e9 * each / LENGTH:.0f}" for each in (river, single, chunk))
        print(f"| {name} | {len(alarms)} | {found == alarms} | {costs} |", flush=True)


def costs() -> None:
    """Compare what an observation costs with Page and Hinkley's test of river."""
    from river.drift import PageHinkley as Theirs  # noqa: PLC0415

    from mlguard.drift.streams import PageHinkley  # noqa: PLC0415

    xs = streams()["normal, steady"]
    for name, one in (("river", Theirs().update), ("mlguard", PageHinkley().observe)):
        start = time.process_time()
        for x in xs.tolist():
            one(x)
        cost = 1e9 * (time.process_time() - start) / LENGTH
        print(f"PageHinkley of {name}: {cost:.0f} ns an observation", flush=True)


def delays() -> None:
    """Compare detectors of river with ours: at their defaults, and at the rate of ours."""
    from functools import partial  # noqa: PLC0415

    from river import drift  # type: ignore[import-not-found]  # noqa: PLC0415

    from mlguard.drift.streams import PageHinkley, ScanGLR, from_river  # noqa: PLC0415
    from mlguard.testing import evaluate, stream  # noqa: PLC0415

    print("\n| change | detector | median delay | misses | run length |\n|---|---|---|---|---|")
    for change, (family, before, after) in CHANGES.items():
        rng = np.random.default_rng(3)
        means = np.repeat([before, after], [10_000, 10_000])
        given = [stream(rng, means, family=family) for _ in range(100)]
        delta = DELTAS[family, before]
        detectors: dict[str, Callable[[], Detector]] = {
            "mlguard ScanGLR": partial(ScanGLR, family),
            "mlguard PageHinkley": PageHinkley,
            f"river ADWIN, delta {delta}": lambda: from_river(drift.ADWIN(delta=delta)),  # noqa: B023
            "river ADWIN": lambda: from_river(drift.ADWIN()),
            "river PageHinkley": lambda: from_river(drift.PageHinkley()),
        }
        for name, make in detectors.items():
            found = evaluate(make, given)
            scores = f"{found.delay.value:.0f} | {found.misses.value:.0%}"
            print(f"| {change} | {name} | {scores} | {found.run_length.value:,.0f} |", flush=True)


def main() -> None:
    """Install the peers where they are not yet, and measure there."""
    if "--here" in sys.argv:
        same_alarms()
        costs()
        delays()
        return
    python = HOME / "bin" / "python"
    if not (HOME / "ready").exists():
        subprocess.run([sys.executable, "-m", "venv", str(HOME)], check=True)
        install = [str(python), "-m", "pip", "install", "--quiet", str(ROOT), *PEERS]
        subprocess.run(install, check=True)
        (HOME / "ready").touch()
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    subprocess.run([str(python), __file__, "--here"], env=environment, check=True)


if __name__ == "__main__":
    main()
