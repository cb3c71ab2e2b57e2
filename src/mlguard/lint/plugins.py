"""Kinds and rules that other packages add through an entry point."""

from __future__ import annotations

from functools import cache
from importlib.metadata import entry_points
from typing import TypeVar

from mlguard.arguments import refusal

T = TypeVar("T")


@cache
def plugins(group: str, kind: type[T]) -> tuple[T, ...]:
    """Load what is registered under a group, in the order of the names.

    Raises:
        ConfigurationError: Something there is of another kind.
    """
    found = sorted(entry_points(group=group), key=lambda each: each.name)
    loaded = [(each.name, each.load()) for each in found]
    for name, value in loaded:
        if not isinstance(value, kind):
            raise refusal(f"entry point {name} of {group}", value, f"a {kind.__name__}")
    return tuple(value for _, value in loaded)
