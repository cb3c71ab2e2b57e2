"""Pages include the files that they tell of, and what is included is what the tests run."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS, SITE, EXAMPLES = ROOT / "docs", ROOT / "build" / "site", ROOT / "docs" / "examples"
TOOLS = "airflow", "dagster", "mlflow", "prefect"
INCLUDES = [
    (page, name)
    for page in sorted(DOCS.rglob("*.md"))
    for name in re.findall(r"^--8<--\n(.*)\n--8<--$", page.read_text("utf-8"), re.MULTILINE)
]


def files_of(tool: str) -> set[str]:
    found = [path for path in (EXAMPLES / tool).rglob("*") if path.suffix in {".py", ".yaml"}]
    return {path.relative_to(EXAMPLES).as_posix() for path in found}


@pytest.mark.parametrize("tool", TOOLS)
def test_the_page_of_a_tool_includes_each_of_its_examples_whole(tool: str) -> None:
    page = DOCS / "how-to" / f"{tool}.md"
    included = [name for where, name in INCLUDES if where == page]
    assert sorted(included) == sorted(files_of(tool))


@pytest.mark.parametrize("name", sorted({name for _, name in INCLUDES}))
def test_what_a_page_includes_is_run_by_the_tests_of_its_tool(name: str) -> None:
    tool, first = Path(name).parts[:2]
    tests = (ROOT / "tests" / "integrations" / f"test_{tool}.py").read_text("utf-8")
    assert (EXAMPLES / name).is_file()
    assert re.search(rf'"{re.escape(first.removesuffix(".py"))}(\.py)?"', tests)


@pytest.mark.parametrize("page", sorted({page for page, _ in INCLUDES}), ids=lambda page: page.stem)
def test_an_include_stands_alone_in_its_fence(page: Path) -> None:
    """Otherwise the blocks around it would be taken for code that runs."""
    text = page.read_text("utf-8")
    fence = r"^```(?:python|yaml)\n--8<--\n[\w./]+\n--8<--\n```$"
    assert 2 * len(re.findall(fence, text, re.MULTILINE)) == text.count("8<--")


class Words(HTMLParser):
    """Takes the text out of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_data(self, data: str) -> None:
        self.found.append(data)


@pytest.mark.parametrize(("page", "name"), INCLUDES, ids=lambda each: getattr(each, "stem", each))
def test_the_site_has_the_text_of_the_file(page: Path, name: str) -> None:
    built = (SITE / page.relative_to(DOCS)).with_suffix(".html")
    newest = max(path.stat().st_mtime for path in (page, EXAMPLES / name, ROOT / "zensical.toml"))
    if not built.is_file() or built.stat().st_mtime < newest:
        pytest.skip("the site is not built, or is older than its pages: `make docs` builds it")
    words = Words()
    words.feed(built.read_text("utf-8"))
    assert (EXAMPLES / name).read_text("utf-8").strip() in "".join(words.found)
