"""Objects are small: every class of ours declares its slots."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from enum import Enum
from typing import is_typeddict

import pytest
from pydantic import BaseModel

import mlguard

MODULES = [m.name for m in pkgutil.walk_packages(mlguard.__path__, "mlguard.")]


def without_slots(module: str) -> set[str]:
    return {
        name
        for name, value in vars(importlib.import_module(module)).items()
        if inspect.isclass(value)
        and value.__module__ == module
        and not issubclass(value, (Enum, BaseException, BaseModel))  # pydantic lays out its own
        and not getattr(value, "_is_protocol", False)
        and not is_typeddict(value)
        and value.__dictoffset__
    }


@pytest.mark.parametrize("module", [name for name in MODULES if not name.endswith("__main__")])
def test_classes_have_slots(module: str) -> None:
    assert not without_slots(module)
