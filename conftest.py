"""Make every Python block of the README, the docs and the docstrings a test."""

from __future__ import annotations

import os
import re
from doctest import ELLIPSIS
from typing import TYPE_CHECKING

import hypothesis
import pytest
from sybil import Sybil
from sybil.integration.pytest import SybilItem
from sybil.parsers.markdown import PythonCodeBlockParser
from sybil.parsers.rest import DocTestParser

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from sybil import Document, Region

if "CI" not in os.environ:  # there hypothesis has a profile of its own, also without a deadline
    hypothesis.settings.register_profile("mlguard", deadline=None)
    hypothesis.settings.load_profile("mlguard")


class PythonBlocks(PythonCodeBlockParser):
    """Python blocks, but for those that include a file and hold no code of their own.

    The tests of the integrations run these files; tests/house/test_pages.py sees to it.
    """

    def __call__(self, document: Document) -> Iterable[Region]:
        for region in super().__call__(document):
            if not re.fullmatch(r"--8<--\n[\w./]+\n--8<--\n", str(region.parsed)):
                yield region


# There is no parser for skipping: a block that is there runs.
markdown = Sybil(
    parsers=[PythonBlocks(doctest_optionflags=ELLIPSIS)],
    patterns=["README.md", "docs/**/*.md", "docs/*.md"],
)
docstrings = Sybil(
    parsers=[DocTestParser(optionflags=ELLIPSIS)],
    patterns=["src/mlguard/*.py", "src/mlguard/*/*.py", "src/mlguard/*/*/*.py"],
)

pytest_collect_file = (markdown + docstrings).pytest()


def _position(item: SybilItem) -> tuple[Path, int]:
    return item.path, item.example.line


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests run in random order, but the blocks of one document build on each other."""
    tests = [item for item in items if not isinstance(item, SybilItem)]
    blocks = [item for item in items if isinstance(item, SybilItem)]
    items[:] = [*tests, *sorted(blocks, key=_position)]
