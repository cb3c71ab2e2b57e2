"""What the wheel carries: the package, its types, its licence; and nothing of the workshop."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from email.parser import HeaderParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    out = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (path,) = out.glob("*.whl")
    assert path.name.endswith("-py3-none-any.whl")
    return zipfile.ZipFile(path)


def test_it_carries_the_package_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    names = set(wheel.namelist())
    modules = {name for name in names if not name.split("/")[0].endswith(".dist-info")}
    source = ROOT / "src"
    there = {
        path.relative_to(source).as_posix()
        for path in (source / "mlguard").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert modules == there
    assert "mlguard/py.typed" in modules


def test_its_metadata_says_what_we_promise(wheel: zipfile.ZipFile) -> None:
    (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    metadata = HeaderParser().parsestr(wheel.read(name).decode())
    assert metadata["Name"] == "mlguard-primitives"
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata.get_all("License-File") == ["LICENSE"]
    requirements = metadata.get_all("Requires-Dist") or []
    ranges = [line.partition(";")[0] for line in requirements]  # an extra stands behind it
    assert not [line for line in ranges if "<" in line or "==" in line]
