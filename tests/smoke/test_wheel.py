"""What must work wherever the package is installed; `make wheel` runs this against the wheel."""

from __future__ import annotations

import importlib
import json
import pkgutil
import subprocess
import sys
from importlib import metadata
from typing import TYPE_CHECKING

import pytest

import mlguard

if TYPE_CHECKING:
    from pathlib import Path

MODULES = [m.name for m in pkgutil.walk_packages(mlguard.__path__, "mlguard.")]


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mlguard", *arguments], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("module", [name for name in MODULES if not name.endswith("__main__")])
def test_every_module_imports(module: str) -> None:
    importlib.import_module(module)


@pytest.mark.parametrize("name", mlguard.__all__)
def test_every_name_of_the_front_door_opens(name: str) -> None:
    assert getattr(mlguard, name) is not None


def test_the_version_is_that_of_the_distribution() -> None:
    version = metadata.version("mlguard-primitives")
    assert mlguard.__version__ == version
    assert version in command("--version").stdout


def test_a_gate_judges_and_its_verdict_is_explained(tmp_path: Path) -> None:
    check = mlguard.worst(
        "release",
        mlguard.guard(mlguard.measured("accuracy", 0.81, n=1000), mlguard.at_least(0.7)),
        mlguard.guard(mlguard.measured("p99", 0.2, n=1000), mlguard.at_most(0.05)),
    )
    verdict = check()
    assert verdict.severity is mlguard.Severity.BREACH
    with pytest.raises(mlguard.GuardBreached):
        verdict.raise_for_breach()
    record = tmp_path / "verdict.json"
    record.write_text(json.dumps(verdict.to_dict()), encoding="utf-8")
    explained = command("explain", str(record))
    assert explained.returncode == 1
    assert "p99" in explained.stdout
