"""Asking over HTTP: which addresses, which headers, and nothing that leads elsewhere."""

from __future__ import annotations

import re
import urllib.request
from collections.abc import Mapping
from functools import cache
from urllib.parse import SplitResult, urlsplit

from mlguard.arguments import name_of, refusal


@cache
def opener() -> urllib.request.OpenerDirector:
    """Open http and https alone, and follow no redirect, which would take the headers along."""
    made = urllib.request.OpenerDirector()
    made.add_handler(urllib.request.ProxyHandler())
    made.add_handler(urllib.request.HTTPHandler())
    made.add_handler(urllib.request.HTTPSHandler())
    made.add_handler(urllib.request.HTTPDefaultErrorHandler())
    made.add_handler(urllib.request.HTTPErrorProcessor())
    return made


def address(url: str) -> SplitResult | None:
    """Take an address of http or https apart; None where it is none.

    Raises:
        ConfigurationError: A password may stand in it, or it is no string; it is not shown.
    """
    try:
        parts = urlsplit(name_of("url", url))
        fits = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        parts, fits = None, False
    if "@" in (url if parts is None or not parts.netloc else parts.netloc):
        raise refusal("url", "…@…", "without a password: give headers={'Authorization': …}")
    return parts if fits and re.fullmatch("[!-~]+", url) else None


def headers_of(headers: Mapping[str, str]) -> Mapping[str, str]:
    """Read headers, which no message shows."""
    if not isinstance(headers, Mapping) or not all(
        isinstance(each, str) and each.isprintable() and each.isascii()
        for item in headers.items()
        for each in item
    ):
        raise refusal("headers", "…", "a mapping of strings to strings, in printable ASCII")
    return headers
