"""A new user's path: the wheel in a fresh environment, and the first block of each page as printed."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
PAGES = sorted(
    [*DOCS.glob("how-to/*.md"), *DOCS.glob("tutorial/*.md"), *DOCS.glob("concepts/*.md")]
)
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NEEDS = re.compile(
    r"^\s*(?:import|from) (sklearn|fastapi|starlette|polars|pandera|yaml|redis|prometheus_client|"
    r"opentelemetry|airflow|prefect|mlflow|dagster|river|lightgbm|mlguard\.integrations\.\w+)",
    re.MULTILINE,
)


def quickstart(page: Path) -> str:
    """Give the first block of a page that is code, and no line which includes a file."""
    found = BLOCK.findall(page.read_text(encoding="utf-8"))
    return next((block for block in found if not block.startswith("--8<--")), "")


BEGIN = {page: quickstart(page) for page in PAGES}


@pytest.mark.parametrize(
    "page",
    [page for page, block in BEGIN.items() if block],
    ids=lambda page: f"{page.parent.name}-{page.stem}",
)
def test_the_first_block_of_a_page_runs_as_printed(page: Path, tmp_path: Path) -> None:
    block = BEGIN[page]
    for name in NEEDS.findall(block):
        pytest.importorskip(name, reason=f"the page asks for {name}, which the core does not")
    ran = subprocess.run(
        [sys.executable, "-c", block], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    last = ran.stderr.rstrip().rpartition("\n")[2]
    if "MissingDependencyError" in last:
        pytest.skip(f"the page asks for an extra: {last}")
    assert ran.returncode == 0, ran.stderr


def test_most_pages_need_nothing_but_the_core() -> None:
    blocks = [block for block in BEGIN.values() if block]
    free = [block for block in blocks if not NEEDS.search(block)]
    assert len(free) > len(blocks) / 2
