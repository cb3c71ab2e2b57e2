"""Names that come from outside, and names for calls that nobody named."""

from __future__ import annotations

import os
import secrets
from itertools import count

from mlguard.arguments import refusal
from mlguard.stores.spend import UNASKED

LONGEST = 200
"""Characters of a key or a request id."""


def outside(parameter: str, value: object) -> str:
    """Read a key or an id that comes from outside."""
    if not isinstance(value, str) or not value.isprintable() or not 0 < len(value) <= LONGEST:
        raise refusal(parameter, value, f"1 to {LONGEST} printable characters")
    return value


def call_of(request_id: object) -> str:
    """Read what a caller names a call by."""
    call = outside("request_id", request_id)
    if call.startswith(UNASKED):
        raise refusal("request_id", call, f"without {UNASKED!r} as its first character")
    return call


def new_call() -> str:
    """Name a call that nobody will ask for again, unlike any other of any process."""
    return f"{UNASKED}{_process}{next(_calls)}"


_calls = count()
_process = secrets.token_hex(6)


def _renew() -> None:
    """Let the ids of a forked child differ from those of its parent."""
    global _process  # noqa: PLW0603 -- one for each process
    _process = secrets.token_hex(6)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)
