"""What linting a file costs, after import. A limit fails the run.

It takes the folder of configs that is named, or the sample configs beside the checkout.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from statistics import median

from mlguard.lint import lint

SAMPLES = Path(__file__).parents[2] / "shared" / "configs"
LIMIT = 20.0  # milliseconds a file


def seconds_of(file: Path, times: int = 7) -> float:
    """Give the median time of linting a file."""
    taken = []
    for _ in range(times):
        before = time.perf_counter()
        lint(file)
        taken.append(time.perf_counter() - before)
    return median(taken)


def main() -> None:
    """Time every file."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else SAMPLES
    files = [
        each
        for each in sorted(folder.rglob("*"))
        if each.suffix in {".yaml", ".yml", ".json", ".py"}
    ]
    if not files:
        sys.exit(f"no configs in {folder}")
    lint(files[0])  # imports what is imported late
    took = {file: 1000 * seconds_of(file) for file in files}
    slowest = max(took, key=took.__getitem__)
    print(f"{len(files)} files: median {median(took.values()):.2f} ms a file")
    print(f"slowest {took[slowest]:.2f} ms: {slowest.relative_to(folder)}")
    if took[slowest] > LIMIT:
        sys.exit(f"above {LIMIT:g} ms")


if __name__ == "__main__":
    main()
