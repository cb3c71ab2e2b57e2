"""Sinks: where decisions go. The standard library alone; nothing here has a thread of its own."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.message import Message
from email.utils import parsedate_to_datetime
from functools import partial
from http.client import HTTPException
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from urllib.parse import urlsplit

from mlguard.arguments import NO_ITEMS, name_of, refusal, seconds, whole
from mlguard.checks import name_for
from mlguard.integrations.payloads import alertmanager, headline, pagerduty, slack
from mlguard.integrations.web import address, headers_of
from mlguard.integrations.web import opener as _opener
from mlguard.render.text import visible
from mlguard.values import Action, Decision

if TYPE_CHECKING:
    from datetime import timedelta

__all__ = ["alertmanager", "json_lines", "logging_sink", "pagerduty", "slack", "webhook"]

_LEVELS = {Action.NONE: logging.INFO, Action.RESOLVE: logging.INFO, Action.PROMOTE: logging.INFO}
_TOO_MANY = 429
_FIRST_SERVER_ERROR = 500
_LONGEST_COMPLAINT = 200
_SECRET = 8
"""Characters from which on a part of an address may be a secret that an answer must not repeat."""


class Writable(Protocol):
    """What lines can be written to: an open text file, `sys.stdout`."""

    def write(self, text: str, /) -> object: ...

    def flush(self) -> object: ...


@dataclass(frozen=True, slots=True)
class LoggingSink:
    """A sink that logs; made by `logging_sink`. Thread-safe: it has no state."""

    logger: logging.Logger
    levels: Mapping[str, int]
    name: str = "logging"

    def __call__(self, decision: Decision) -> None:
        level = self.levels.get(str(decision.action), logging.WARNING)
        extra = {"decision": decision.to_dict()} if self.logger.isEnabledFor(level) else None
        self.logger.log(level, "%s", headline(decision), extra=extra)


def logging_sink(
    logger: logging.Logger | str = "mlguard.decisions", *, levels: Mapping[str, int] = NO_ITEMS
) -> LoggingSink:
    """Make a sink that logs each decision on one line, with the whole of it for formatters.

    A line has the action, the subject and the reason; line breaks and what would deceive a terminal
    are spelt out. The record's attribute `decision` is `decision.to_dict()`.

    Args:
        logger: A logger, or its name.
        levels: By action, as in `{"retrain": logging.INFO}`. By default NONE, RESOLVE and PROMOTE
            are INFO, everything else is WARNING.

    Raises:
        ConfigurationError: An argument is not of its kind.

    Examples:
        >>> import logging
        >>> from mlguard import Action, Decision
        >>> sink = logging_sink(levels={Action.ROLLBACK: logging.CRITICAL})
        >>> sink(Decision(Action.ROLLBACK, "errors: 5 % against 1 %"))
    """
    chosen = logging.getLogger(logger) if isinstance(logger, str) else logger
    if not isinstance(chosen, logging.Logger | logging.LoggerAdapter):
        raise refusal("logger", logger, "a logger, or its name")
    if not isinstance(levels, Mapping):
        raise refusal("levels", levels, "a mapping of actions to levels")
    known = {str(action): level for action, level in _LEVELS.items()}
    for action, level in levels.items():
        known[str(Decision(action, "").action)] = whole(f"levels[{action!r}]", level)
    return LoggingSink(chosen, known)


@dataclass(frozen=True, slots=True)
class JsonLines:
    """A sink that appends lines; made by `json_lines`. Thread-safe: it has no state."""

    target: str | Writable
    name: str = "json lines"

    def __call__(self, decision: Decision) -> None:
        line = json.dumps(decision.to_dict(), allow_nan=False) + "\n"
        if not isinstance(self.target, str):
            self.target.write(line)
            self.target.flush()
            return
        data = line.encode()
        with open(self.target, "ab", buffering=0) as file:  # noqa: PTH123 -- the name as it was given
            if (written := file.write(data)) != len(data):
                message = f"{self.target}: only {written} of {len(data)} bytes were written"
                raise OSError(message)


def json_lines(target: str | os.PathLike[str] | Writable) -> JsonLines:
    """Make a sink that appends each decision as one line of JSON.

    Each line is one write in append mode, so that on a local disk of a POSIX system the lines of
    any number of threads and processes do not mix. The file is opened for each line, so it may be
    moved away at any time. Nothing is synced: a power cut may take the last lines.

    Args:
        target: Path of a file, in a folder that is there; or an open text file.

    Raises:
        ConfigurationError: `target` is neither.

    Examples:
        >>> import sys
        >>> from mlguard import Action, Decision
        >>> json_lines(sys.stdout)(Decision(Action.HOLD, "no data"))
        {"kind": "decision", "schema": 1, "action": "HOLD", "reason": "no data", ...}
    """
    if isinstance(target, str | os.PathLike):
        return JsonLines(name_of("target", os.fspath(target)))
    if not callable(getattr(target, "write", None)) or not callable(getattr(target, "flush", None)):
        raise refusal("target", target, "a path, or an open text file")
    return JsonLines(target)


class _Failure(NamedTuple):
    """Why an attempt failed, whether another may not, and what the server asks to wait."""

    why: str
    passing: bool
    wait: float = 0.0


@dataclass(frozen=True, slots=True)
class Webhook:
    """A sink that posts JSON; made by `webhook`. Thread-safe if its payload is: it has no state."""

    url: str = field(repr=False)
    payload: Callable[[Decision], Any]
    timeout: float
    retries: int
    backoff: float
    longest_wait: float
    headers: Mapping[str, str] = field(repr=False)
    sleep: Callable[[float], object]
    opener: urllib.request.OpenerDirector
    where: str
    name: str

    def __call__(self, decision: Decision) -> None:
        body = json.dumps(self.payload(decision), allow_nan=False).encode()
        headers = {"Content-Type": "application/json", "User-Agent": "mlguard", **self.headers}
        request = urllib.request.Request(self.url, body, headers, method="POST")  # noqa: S310 -- `webhook` allows http and https only
        attempts = 0
        while (failure := self._attempt(request)) is not None:
            attempts += 1
            if not failure.passing or attempts > self.retries:
                tried = f" after {attempts} attempts" if attempts > 1 else ""
                message = f"{self.where}: {failure.why}{tried}"
                raise ConnectionError(message)
            wait = max(failure.wait, self.backoff * 2.0 ** (attempts - 1))
            self.sleep(min(wait, self.longest_wait))

    def _attempt(self, request: urllib.request.Request) -> _Failure | None:
        try:
            with self.opener.open(request, timeout=self.timeout):
                return None
        except urllib.error.HTTPError as error:
            with error:
                passing = error.code == _TOO_MANY or error.code >= _FIRST_SERVER_ERROR
                why = f"HTTP {error.code}{self._complaint(error)}"
                return _Failure(why, passing, _retry_after(error.headers))
        except (OSError, HTTPException) as error:
            reason = getattr(error, "reason", None) or error
            return _Failure(f"no answer: {str(reason) or type(error).__name__}", passing=True)

    def _complaint(self, error: urllib.error.HTTPError) -> str:
        """Give what the server says, unless it repeats what may be secret."""
        try:
            said = error.read(_LONGEST_COMPLAINT).decode(errors="replace")
        except (OSError, HTTPException):
            said = ""
        parts = urlsplit(self.url)
        pieces = [*parts.path.split("/"), *parts.query.split("&"), *self.headers.values()]
        if any(len(each) >= _SECRET and each in said for each in pieces):
            said = ""
        said = " ".join(visible(said or str(error.reason or "")).split())
        return f": {said}" if said else ""


def webhook(
    url: str,
    *,
    payload: Callable[[Decision], Any] = Decision.to_dict,
    timeout: float | timedelta = 5.0,
    retries: int = 3,
    backoff: float | timedelta = 1.0,
    longest_wait: float | timedelta = 10.0,
    headers: Mapping[str, str] = NO_ITEMS,
    sleep: Callable[[float], object] = time.sleep,
    opener: urllib.request.OpenerDirector | None = None,
    name: str | None = None,
) -> Webhook:
    """Make a sink that posts each decision as JSON.

    It blocks its caller until the server took it, or it gives up. HTTP 429 and 5xx, a refused or
    broken connection and a timeout are tried again, after 1, 2, 4, … seconds or what the server
    asks for in Retry-After, but never more than `longest_wait`. Any other answer is final: another
    4xx, and a redirect, which is not followed. With the defaults it gives up after 70 s at most,
    unless the name of the server is slow to resolve.

    Args:
        url: Where to; http or https, without a password. Only its scheme and host are in messages,
            since for Slack the rest of it is a secret.
        payload: What to post: `slack`, `alertmanager`, `partial(pagerduty, routing_key=…)`, or any
            function of a decision that gives plain JSON. `decision.to_dict()` by default.
        timeout: Of each wait for the server, in seconds or as a timedelta.
        retries: Attempts after the first.
        backoff: Before the first of them; doubled each time. Seconds or a timedelta.
        longest_wait: Before any of them. Seconds or a timedelta.
        headers: Sent along: an Authorization. They are in no record and no message.
        sleep: Is called with the seconds to wait.
        opener: Of your own: for a proxy, say, or a client certificate.
        name: For `once` and error notes; by default made of host, address and payload.

    Raises:
        ConfigurationError: An argument is not of its kind. When called, what the payload raises, or
            ConnectionError if the decision was not taken.

    Examples:
        >>> from mlguard import Action, Decision
        >>> sink = webhook("http://127.0.0.1:9/services/T0/B0/s3cr3t", payload=slack, retries=0)
        >>> sink(Decision(Action.ALERT, "p99 = 61 ms"))
        Traceback (most recent call last):
        ConnectionError: http://127.0.0.1:9: no answer: ...
    """
    parts = address(url)
    if parts is None:
        raise refusal("url", "…", 'an address such as "https://hooks.example.com/…"')
    needed: dict[str, Any] = {"payload": payload, "sleep": sleep}
    if opener is not None:
        needed["opener"] = getattr(opener, "open", None)
    for parameter, call in needed.items():
        if not callable(call):
            raise refusal(parameter, call, "a callable, and of an opener its `open`")
    where = f"{parts.scheme}://{parts.netloc}"
    return Webhook(
        url,
        payload,
        seconds("timeout", timeout),
        whole("retries", retries),
        seconds("backoff", backoff),
        seconds("longest_wait", longest_wait),
        dict(headers_of(headers)),
        sleep,
        _opener() if opener is None else opener,
        where,
        _named(url, where, payload) if name is None else name_of("name", name),
    )


def _named(url: str, where: str, payload: Callable[[Decision], Any]) -> str:
    """Tell webhooks apart by address and payload, for `once`, without saying either."""
    told: list[Any] = [url]
    while isinstance(payload, partial):
        told += [payload.args, sorted(payload.keywords.items())]
        payload = payload.func
    told.append(name_for(payload))
    digest = hashlib.sha256(repr(told).encode()).hexdigest()
    return f"{where} {digest[:8]}"


def _retry_after(headers: Message) -> float:
    """Read how long to wait: in seconds, or until a time by the server's own clock."""
    asked = headers.get("Retry-After", "")
    try:
        if asked.strip().isdecimal():
            return float(asked)
        then, now = parsedate_to_datetime(asked), parsedate_to_datetime(headers.get("Date", ""))
        return max(0.0, (then - now).total_seconds())
    except (TypeError, ValueError, OverflowError):
        return 0.0
