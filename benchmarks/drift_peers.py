"""What other drift detectors do by default on data without drift, and what a comparison costs.

`make bench-peers` runs it: each peer in an environment of its own under .venvs/, installed on first
use. It is optional and never part of CI. Every program sees the same rows; 20 normal columns
without drift, "any column flagged" at default settings; then 30 numeric and 10 text columns of
100,000 rows a side, in CPU seconds of the process, fitting the reference included.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    Frame: TypeAlias = dict[str, np.ndarray[Any, Any]]
    Flags: TypeAlias = Callable[[Frame, Frame], bool]

ROOT = Path(__file__).parents[1]
SIZES = ((1_000, 1_000), (10_000, 100))
SECONDS = 40.0
MOST_RUNS = 200
PEERS = {
    "evidently": ["evidently", "pandas<3"],
    "nannyml": ["nannyml", "statsmodels", "pandas<3"],
    "alibi-detect": ["alibi-detect", "numpy<2"],
    "frouros": ["frouros"],
}


def mlguard() -> Flags:
    """One family of tests at alpha 0.01, and an effect beyond 0.1 standard deviations."""
    from mlguard.drift import Reference  # noqa: PLC0415 -- each program has its own environment

    return lambda before, after: bool(Reference.fit(before).compare(after).drifted)


def evidently() -> Flags:
    """DataDriftPreset: a test or distance a column, chosen by the size of the reference."""
    import pandas as pd  # noqa: PLC0415
    from evidently import Report  # type: ignore[import-not-found]  # noqa: PLC0415
    from evidently.presets import (  # type: ignore[import-not-found]  # noqa: PLC0415
        DataDriftPreset,
    )

    def flags(before: Frame, after: Frame) -> bool:
        run = Report([DataDriftPreset()]).run(pd.DataFrame(after), pd.DataFrame(before))
        return bool(run.dict()["metrics"][0]["value"]["count"] > 0)

    return flags


def nannyml() -> Flags:
    """UnivariateDriftCalculator: Jensen-Shannon distances, beyond 3 sd of the reference chunks."""
    import pandas as pd  # noqa: PLC0415
    from nannyml import (  # type: ignore[import-not-found]  # noqa: PLC0415
        UnivariateDriftCalculator,
    )

    def flags(before: Frame, after: Frame) -> bool:
        calculator = UnivariateDriftCalculator(column_names=list(before))
        found = calculator.fit(pd.DataFrame(before)).calculate(pd.DataFrame(after))
        table = found.filter(period="analysis").to_df()
        return bool(table.xs("alert", axis=1, level=-1).to_numpy().any())

    return flags


def alibi_detect() -> Flags:
    """TabularDrift: Kolmogorov-Smirnov and chi-square, p below 0.05 by Bonferroni."""
    from alibi_detect.cd import TabularDrift  # type: ignore[import-not-found]  # noqa: PLC0415

    def flags(before: Frame, after: Frame) -> bool:
        text = [place for place, name in enumerate(before) if before[name].dtype.kind == "O"]
        codes = [np.unique(np.concatenate([before[n], after[n]])) for n in before]
        rows = [
            np.stack(
                [
                    np.searchsorted(codes[place], frame[name]) if place in text else frame[name]
                    for place, name in enumerate(before)
                ],
                axis=1,
            )
            for frame in (before, after)
        ]
        kinds = dict.fromkeys(text) or None
        detector = TabularDrift(rows[0], p_val=0.05, categories_per_feature=kinds)
        return bool(detector.predict(rows[1])["data"]["is_drift"])

    return flags


def frouros() -> Flags:
    """KSTest and ChiSquareTest a column, p below 0.05: it has no rule of its own."""
    from frouros.detectors.data_drift import (  # type: ignore[import-not-found]  # noqa: PLC0415
        ChiSquareTest,
        KSTest,
    )

    def flags(before: Frame, after: Frame) -> bool:
        found = []
        for name, values in before.items():
            detector = ChiSquareTest() if values.dtype.kind == "O" else KSTest()
            detector.fit(X=values)
            found.append(detector.compare(X=after[name])[0].p_value < 0.05)  # noqa: PLR2004
        return any(found)

    return flags


PROGRAMS: dict[str, Callable[[], Flags]] = {
    "mlguard": mlguard,
    "evidently": evidently,
    "nannyml": nannyml,
    "alibi-detect": alibi_detect,
    "frouros": frouros,
}


def normal(rng: np.random.Generator, rows: int) -> Frame:
    """Draw 20 normal columns."""
    return {f"x{place}": rng.standard_normal(rows) for place in range(20)}


def mixed(rng: np.random.Generator, rows: int) -> Frame:
    """Draw 30 numeric columns and 10 of text, with 3 to 30 levels."""
    frame: Frame = {f"x{place}": rng.standard_normal(rows) for place in range(30)}
    for place in range(10):
        levels = np.array([f"level {each}" for each in range(3 + 3 * place)], dtype=object)
        frame[f"s{place}"] = rng.choice(levels, rows)
    return frame


def measure(name: str) -> dict[str, Any]:
    """Run one program in this environment."""
    warnings.simplefilter("ignore")
    flags = PROGRAMS[name]()
    found: dict[str, Any] = {}
    for n, m in SIZES:
        rng = np.random.default_rng(n + m)
        flagged, runs, until = 0, 0, time.monotonic() + SECONDS
        while runs < MOST_RUNS and time.monotonic() < until:
            flagged += flags(normal(rng, n), normal(rng, m))
            runs += 1
        found[f"{n}v{m}"] = [flagged, runs]
    rng = np.random.default_rng(5)
    before, after = mixed(rng, 100_000), mixed(rng, 100_000)
    start = time.process_time()
    flags(before, after)
    found["cpu"] = time.process_time() - start
    return found


def python_of(name: str) -> Path:
    """Make the environment of a peer, unless it is there; give its Python."""
    venv = ROOT / ".venvs" / f"peer-{name}"
    python = venv / "bin" / "python"
    uv = ROOT / ".venv" / "bin" / "uv"
    if not python.exists():
        subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, venv], check=True)
    command = [str(uv), "pip", "install", "--quiet", "--python", str(python), *PEERS[name]]
    subprocess.run(command, check=True)
    return python


def main() -> None:
    """Run every program, print a table; a peer that does not install or run says so."""
    print("| program | " + " | ".join(f"{n} v {m}" for n, m in SIZES) + " | CPU, 40 x 100k |")
    print("|---|" + "---|" * (len(SIZES) + 1))
    quiet = {"NML_DISABLE_USAGE_LOGGING": "1", "DO_NOT_TRACK": "1", "OMP_NUM_THREADS": "1"}
    for name in PROGRAMS:
        try:
            python = Path(sys.executable) if name == "mlguard" else python_of(name)
            command = [str(python), __file__, name]
            answer = subprocess.run(
                command, env=os.environ | quiet, capture_output=True, text=True, check=True
            )
            found = json.loads(answer.stdout.splitlines()[-1])
        except subprocess.CalledProcessError as error:
            lines = str(error.stderr or error).strip().splitlines()
            print(f"| {name} | failed: {lines[-1][:80]} | | |", flush=True)
            continue
        rates = [
            f"{flagged / runs:.1%} of {runs}"
            for flagged, runs in (found[f"{n}v{m}"] for n, m in SIZES)
        ]
        print(f"| {name} | {' | '.join(rates)} | {found['cpu']:.2f} s |", flush=True)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(measure(sys.argv[1])))
    else:
        main()
