"""What `import mlguard` costs over `import numpy`, in CPU seconds of fresh interpreters."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys

LIMIT = 0.1
ROUNDS = 15
PROGRAMS = {
    "numpy": "import numpy",
    "mlguard": "import numpy, mlguard",
    "every name": "import numpy, mlguard\nfor name in mlguard.__all__: getattr(mlguard, name)",
}


def cpu(program: str) -> float:
    """Give the user and system seconds that a fresh interpreter spends on a program."""
    child = subprocess.Popen([sys.executable, "-c", program])
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        message = f"failed: {program!r}"
        raise SystemExit(message)
    return usage.ru_utime + usage.ru_stime


def main() -> int:
    """Measure the programs by turns, print the medians, fail over the limit."""
    for program in PROGRAMS.values():
        cpu(program)  # compile and warm the disk cache
    times: dict[str, list[float]] = {name: [] for name in PROGRAMS}
    for _ in range(ROUNDS):
        for name, program in PROGRAMS.items():
            times[name].append(cpu(program))
    numpy = statistics.median(times["numpy"])
    cost = statistics.median(times["mlguard"]) - numpy
    names = statistics.median(times["every name"]) - numpy
    print(f"import numpy: {numpy:.3f} s CPU (median of {ROUNDS})")
    print(f"import mlguard over it: {cost:+.3f} s (limit {LIMIT} s)")
    print(f"every public name over it: {names:+.3f} s")
    return int(cost > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
