"""What may stand in the files of this repository."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LONGEST = 400

LOCKS = {"uv.lock", "poetry.lock", "pdm.lock", "pylock.toml", "Pipfile.lock", "package-lock.json"}
# Written so that the patterns do not find themselves.
MACHINE_PATH = re.compile(r"(?<![\w.~/-])/(?:home|root|Users|work|opt|mnt)/\w|\b[A-Z]:\\Users")
REGISTRY = re.compile(
    r"\b(?:py[p]i|pythonhoste[d]|npmj[s])\.(?:org|com)|index[-_]url\s*=", re.IGNORECASE
)
INSTALL = re.compile(
    r"\b(?:pip[x3]?|uv|poetry|pdm|conda|mamba)\b[^\n`]*?\b(?:install|add)\b([^\n`]*)"
)
SKIPPED = re.compile(r"doctest:\s*[+]SKIP")


def tracked() -> list[Path]:
    """List the files that git knows or would add; outside a checkout, every file there is."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],  # noqa: S607 -- git is on the PATH or there is no checkout
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listing.returncode:
        pytest.skip("not a git checkout")
    return [path for name in listing.stdout.split("\0") if name and (path := ROOT / name).is_file()]


def text_of(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except UnicodeDecodeError:
        return ""  # a picture


def found(pattern: re.Pattern[str]) -> list[str]:
    return [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in tracked()
        for number, line in enumerate(text_of(path).splitlines(), start=1)
        if pattern.search(line)
    ]


def test_no_module_is_too_long() -> None:
    lengths = {str(p): len(text_of(p).splitlines()) for p in (ROOT / "src").rglob("*.py")}
    assert {path: n for path, n in lengths.items() if n > LONGEST} == {}


def test_no_lock_file_is_tracked() -> None:
    assert not [path for path in tracked() if path.name in LOCKS]


def test_no_path_of_one_machine() -> None:
    assert not found(MACHINE_PATH)


def test_no_registry_address() -> None:
    assert not found(REGISTRY)


def fetches_a_stranger(arguments: str) -> bool:
    """Tell whether an install line would take a distribution called mlguard-anything from an index."""
    return any(
        re.match(r"mlguard", word.strip("'\"()[],.:;"), re.IGNORECASE) and ".whl" not in word
        for word in arguments.split()
    )


@pytest.mark.parametrize(
    ("line", "bad"),
    [
        ("pip install mlguard", True),
        ("python -m pip install --upgrade 'mlguard[redis]'", True),
        ("uv add mlguard-primitives", True),
        ("pip install mlguard && pip install .", True),
        ("pip install .", False),
        ("pip install dist/mlguard_primitives-0.1.0-py3-none-any.whl", False),
        ("pip install '.[yaml]'", False),
    ],
)
def test_an_install_line_is_recognised(line: str, bad: bool) -> None:  # noqa: FBT001 -- a table of cases
    match = INSTALL.search(line)
    assert match is not None
    assert fetches_a_stranger(match[1]) is bad


def test_no_install_line_fetches_a_strangers_package() -> None:
    here = Path(__file__).resolve()
    lines = [
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path in tracked()
        if path.resolve() != here
        for match in INSTALL.finditer(text_of(path))
        if fetches_a_stranger(match[1])
    ]
    assert not lines


def test_every_python_block_is_one_that_runs() -> None:
    """Only a fence of exactly three backticks and `python` is executed, so no other may look like it."""
    fence = re.compile(r"^\s*(?:>\s*)*(?:```+|~~~+)\s*(.*)$")
    wrong = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
        for number, line in enumerate(text_of(path).splitlines(), start=1)
        if (match := fence.match(line))
        and re.search(r"py|ipython", match[1], re.IGNORECASE)
        and not re.fullmatch(r"\s*```python", line)
    ]
    assert not wrong


def test_no_example_is_skipped() -> None:
    assert not found(SKIPPED)


def test_examples_in_docstrings_are_doctests() -> None:
    nodes = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    fenced = [
        f"{path.relative_to(ROOT)}:{getattr(node, 'name', 'module')}"
        for path in (ROOT / "src").rglob("*.py")
        for node in ast.walk(ast.parse(text_of(path)))
        if isinstance(node, nodes)
        and re.search(r"^\s*(```|~~~)", ast.get_docstring(node) or "", re.MULTILINE)
    ]
    assert not fenced
