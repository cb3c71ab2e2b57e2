"""The front door: every name there, loaded late; a logger that is quiet until asked."""

from __future__ import annotations

import importlib
import logging
import re
from importlib import metadata

import pytest

import mlguard


def test_the_version_is_that_of_the_distribution() -> None:
    assert mlguard.__version__ == metadata.version("mlguard-primitives")
    assert re.fullmatch(r"\d+\.\d+\.\d+.*", mlguard.__version__)


def test_dir_shows_every_public_name() -> None:
    assert {*mlguard.__all__, "__version__"} <= set(dir(mlguard))
    assert dir(mlguard) == sorted(set(dir(mlguard)))


def test_every_public_name_is_the_one_of_its_home() -> None:
    assert set(mlguard._HOME_OF) == set(mlguard.__all__)
    for name, home in mlguard._HOME_OF.items():
        assert getattr(mlguard, name) is getattr(importlib.import_module(home), name)


def test_a_star_import_gives_what_is_public() -> None:
    namespace: dict[str, object] = {}
    exec("from mlguard import *", namespace)  # noqa: S102 -- no other way to try it
    assert namespace.keys() - {"__builtins__"} == set(mlguard.__all__)


@pytest.mark.parametrize("name", ["all_of", "at_mots", "__wrapped__"])
def test_an_unknown_name_is_an_attribute_error_like_any(name: str) -> None:
    with pytest.raises(AttributeError, match=f"^module 'mlguard' has no attribute '{name}'$"):
        getattr(mlguard, name)
    assert not hasattr(mlguard, name)


def test_a_name_is_looked_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    worst = mlguard.worst
    monkeypatch.delitem(vars(mlguard), "worst")
    assert "worst" not in vars(mlguard)
    assert mlguard.worst is worst
    assert "worst" in vars(mlguard)


def test_the_logger_is_quiet_until_asked() -> None:
    assert any(
        isinstance(each, logging.NullHandler) for each in logging.getLogger("mlguard").handlers
    )
