"""A model of flight delays goes to production, act by act: `make demo`, or `python docs/examples/flights/demo.py`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

import act0
import act1
import act2
import act3
import act4
import act5
import act6
import act7
import act8
import act9
import report
import story
from terminal import Screen

ACTS: Final[tuple[story.Act, ...]] = (
    act0.play,
    act1.play,
    act2.play,
    act3.play,
    act4.play,
    act5.play,
    act6.play,
    act7.play,
)
"""The acts whose verdicts go on record, which is act 8; act 9 comes after."""

REPORT: Final = Path(__file__).resolve().parents[3] / "build" / "demo" / "report.html"


def main() -> None:
    """Play every act and write the report."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument(
        "--report",
        type=Path,
        default=REPORT,
        help="where to write the report (default: %(default)s)",
    )
    path = options.parse_args().report

    screen = Screen()
    stage = story.prepare(screen)
    chapters = [act(stage, screen) for act in ACTS]
    chapters.append(act8.play(stage, screen, chapters, path.parent))
    chapters.append(act9.play(stage, screen))
    report.write(path, chapters)
    screen.report(path)


if __name__ == "__main__":
    main()
