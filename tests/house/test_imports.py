"""`import mlguard` loads nothing heavy, and neither do the names of the front door."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {"pandas", "scipy.stats", "pydantic", "narwhals", "sklearn", "hypothesis"}
MODULES = "import sys; print(*sorted(sys.modules))"


def loaded_by(program: str) -> set[str]:
    run = subprocess.run(
        [sys.executable, "-c", f"{program}\n{MODULES}"], capture_output=True, text=True, check=True
    )
    return set(run.stdout.split())


def test_importing_mlguard_loads_nothing_heavy() -> None:
    modules = loaded_by("import mlguard")
    assert "mlguard" in modules
    assert not HEAVY & modules


DOCUMENT = {"Guards", "Requirements"}
"""The names that stand for a pydantic document, which the design lets load pydantic when touched."""


@pytest.mark.parametrize("module", ["mlguard", "mlguard.performance"])
def test_touching_every_public_name_loads_nothing_heavy(module: str) -> None:
    touch = f"import {module} as m\nfor name in {{*m.__all__}} - {DOCUMENT}: getattr(m, name)"
    assert not HEAVY & loaded_by(touch)


def test_touching_the_document_loads_pydantic_and_nothing_else_that_is_heavy() -> None:
    touch = f"import mlguard as m\nfor name in {DOCUMENT}: getattr(m, name)"
    assert HEAVY & loaded_by(touch) == {"pydantic"}


def test_importing_mlguard_prints_nothing_and_warns_of_nothing() -> None:
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", "import mlguard"], capture_output=True, check=True
    )
    assert (run.stdout, run.stderr) == (b"", b"")
