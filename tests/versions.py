"""Run the quick tests on every Python found here, and once at the lowest declared versions.

`make test-versions` starts this. Each environment is kept in .venvs/ and made anew when
pyproject.toml changes.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
VENVS = ROOT / ".venvs"
PYPROJECT = ROOT / "pyproject.toml"
OLDEST = (3, 11)
QUICK = ["-m", "pytest", "-q", "--numprocesses", "2", "--dist", "loadfile", "-m", "not slow"]


def run(*command: str | Path) -> None:
    """Run a command, or fail with it."""
    subprocess.run([str(part) for part in command], cwd=ROOT, check=True)


def version_of(python: Path) -> tuple[int, int] | None:
    """Ask an interpreter for its version; None if it does not start (a pyenv shim may not)."""
    ask = "import sys, venv, ensurepip; print(*sys.version_info[:2])"
    answer = subprocess.run([str(python), "-c", ask], capture_output=True, text=True, check=False)
    if answer.returncode:
        return None
    major, minor = answer.stdout.split()
    return int(major), int(minor)


def interpreters() -> dict[tuple[int, int], Path]:
    """Find one interpreter for each Python from 3.11 on: on the PATH, and those of pyenv."""
    candidates = [
        path
        for folder in os.get_exec_path()
        for path in sorted(Path(folder).glob("python3*"))
        if re.fullmatch(r"python3(\.\d+)?", path.name)
    ]
    if pyenv := shutil.which("pyenv"):
        root = subprocess.run([pyenv, "root"], capture_output=True, text=True, check=False).stdout
        candidates += sorted(Path(root.strip()).glob("versions/*/bin/python3"))
    found: dict[tuple[int, int], Path] = {}
    for python in candidates:
        version = version_of(python)
        if version is not None and version >= OLDEST:
            found.setdefault(version, python)
    return dict(sorted(found.items()))


def lowest() -> str:
    """Give the constraints that pin each runtime dependency to its declared lower bound."""
    dependencies = tomllib.loads(PYPROJECT.read_text("utf-8"))["project"]["dependencies"]
    return "\n".join(line.replace(">=", "==") for line in dependencies) + "\n"


def environment(name: str, python: Path, *, constraints: str | None = None) -> Path:
    """Make the environment, unless it is newer than pyproject.toml, and give its interpreter."""
    folder = VENVS / name
    inside = folder / "bin" / "python"
    ready = folder / "ready"
    if ready.exists() and ready.stat().st_mtime > PYPROJECT.stat().st_mtime:
        return inside
    shutil.rmtree(folder, ignore_errors=True)
    run(python, "-m", "venv", "--without-pip", folder)
    what = ["--editable", ".", "--group", "test"]
    if constraints is not None:
        (folder / "lowest.txt").write_text(constraints, encoding="utf-8")
        what += ["--constraint", str(folder / "lowest.txt")]
    try:
        run(sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", inside, *what)
    except subprocess.CalledProcessError:  # where uv cannot reach the packages
        run(sys.executable, "-m", "pip", "--python", inside, "install", "--quiet", *what)
    ready.touch()
    return inside


def passes(name: str, python: Path, *, constraints: str | None = None) -> bool:
    """Run the tests in the environment of that name."""
    print(f"\n-------- {name} --------", flush=True)
    try:
        inside = environment(name, python, constraints=constraints)
        run(inside, *QUICK, "tests")
    except subprocess.CalledProcessError as error:
        print(error)
        return False
    return True


def main() -> int:
    """Run them all, then say which passed."""
    found = interpreters()
    results = {
        f"{major}.{minor}": passes(f"{major}.{minor}", python)
        for (major, minor), python in found.items()
    }
    oldest = next(iter(found.values()))
    results["lowest"] = passes("lowest", oldest, constraints=lowest())
    print(
        "\n" + "\n".join(f"{name}: {'passed' if ok else 'FAILED'}" for name, ok in results.items())
    )
    return 0 if all(results.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
