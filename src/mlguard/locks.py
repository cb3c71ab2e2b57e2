"""One lock per object, made anew after a fork and in a copy."""

from __future__ import annotations

import os
import threading
import weakref
from typing import Any


class Locked:
    """Gives a class a `_lock` that survives fork and pickling; the class stays picklable.

    Thread-safe itself. A subclass calls `super().__init__()` and lists its state in
    `__slots__` or `__dict__`; the lock is never copied, a copy gets its own.
    """

    __slots__ = ("__weakref__", "_lock")

    def __init__(self) -> None:
        self._lock = self._make_lock()
        _alive[id(self)] = self

    def _make_lock(self) -> Any:
        """Give a Lock, or an RLock where the garbage collector may come in while it is held.

        It closes generators at any moment, and they do then whatever they do when closed.
        """
        return threading.Lock()

    def _after_fork(self) -> None:
        """Make the object usable in a forked child, where its lock may be held for ever."""
        self._lock = self._make_lock()

    def __getstate__(self) -> dict[str, Any]:
        slots = (name for kind in type(self).__mro__ for name in getattr(kind, "__slots__", ()))
        state = {name: getattr(self, name) for name in slots if hasattr(self, name)}
        state.update(getattr(self, "__dict__", {}))
        state.pop("_lock", None)
        state.pop("__weakref__", None)
        state.pop("__dict__", None)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        Locked.__init__(self)
        for name, value in state.items():
            setattr(self, name, value)


_alive: weakref.WeakValueDictionary[int, Locked] = weakref.WeakValueDictionary()


def _renew() -> None:
    for owner in list(_alive.values()):
        try:
            owner._after_fork()  # noqa: SLF001 -- it is ours
        except AttributeError:
            continue  # another thread was making it: here nobody has it


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)
