"""Asking Prometheus, or whatever speaks its HTTP API: one number, or how much counters grew."""

from __future__ import annotations

import json
import math
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from http.client import HTTPException
from typing import Any, NamedTuple, TypeAlias
from urllib.parse import urlencode

from mlguard.arguments import NO_ITEMS, name_of, refusal, seconds
from mlguard.integrations.web import address, headers_of, opener
from mlguard.locks import Locked
from mlguard.values import Measurement

_LONGEST_ANSWER = 8_000_000
_MOST_SERIES = 10_000

Labels: TypeAlias = frozenset[tuple[str, str]]


class _Unanswered(Exception):  # noqa: N818 -- says what happened; never leaves this module
    """Prometheus gave no answer; the message says why."""


class Sample(NamedTuple):
    """The value of a series at a time."""

    labels: Labels
    at: float
    value: float


@dataclass(frozen=True, slots=True)
class Server:
    """Where to ask, how, and for how long. Thread-safe: it has no state."""

    url: str
    timeout: float
    headers: Mapping[str, str] = field(repr=False)

    def ask(self, promql: str) -> tuple[str, list[Sample]]:
        """Give the kind of the answer to an instant query, and its samples.

        Raises:
            _Unanswered: There was none.
        """
        body = self._fetch(f"{self.url}/api/v1/query?{urlencode({'query': promql})}")
        try:
            data = json.loads(body)["data"]
            kind, result = data["resultType"], data["result"]
            if kind == "scalar":
                result = [{"metric": {}, "value": result}]
            samples = [_sample(each) for each in result] if kind in {"scalar", "vector"} else []
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            raise _Unanswered("the answer is not that of the Prometheus API") from None
        return kind, samples

    def _fetch(self, address: str) -> bytes:
        request = urllib.request.Request(address, headers=dict(self.headers))  # noqa: S310 -- `server` allows http and https only
        try:
            with opener().open(request, timeout=self.timeout) as answer:
                body: bytes = answer.read(_LONGEST_ANSWER + 1)
        except urllib.error.HTTPError as error:
            with error:
                raise _Unanswered(f"HTTP {error.code}{_complaint(error)}") from None
        except (OSError, HTTPException) as error:
            reason = getattr(error, "reason", None) or error
            raise _Unanswered(f"no answer: {str(reason) or type(error).__name__}") from None
        if len(body) > _LONGEST_ANSWER:
            raise _Unanswered(f"the answer is longer than {_LONGEST_ANSWER:,} bytes")
        return body


def _sample(record: Any) -> Sample:
    if "histogram" in record:
        raise _Unanswered("the query gives native histograms: take histogram_quantile(…) of them")
    at, value = record["value"]
    return Sample(frozenset(record["metric"].items()), float(at), float(value))


def _complaint(error: urllib.error.HTTPError) -> str:
    """Give what Prometheus says of the query, where it was Prometheus that answered."""
    try:
        record = json.loads(error.read(_LONGEST_ANSWER))
        return f": {record['errorType']}: {record['error']}"
    except (OSError, HTTPException, ValueError, LookupError, TypeError, RecursionError):
        return f": {error.reason}" if error.reason else ""


def server(url: str, timeout: float | timedelta, headers: Mapping[str, str]) -> Server:
    """Read where to ask."""
    parts = address(url)
    if parts is None or parts.query or parts.fragment:
        raise refusal("url", url, 'the root of a server: "http://prometheus:9090"')
    headers_of(headers)
    return Server(url.rstrip("/"), seconds("timeout", timeout), headers)


@dataclass(frozen=True, slots=True)
class Query:
    """A measure that asks Prometheus. Thread-safe; it keeps nothing and asks anew each time."""

    server: Server
    promql: str
    name: str
    unit: str

    def __call__(self) -> Measurement:
        try:
            kind, samples = self.server.ask(self.promql)
        except _Unanswered as error:
            return self._nothing(f"{self.server.url}: {error}")
        if kind not in {"scalar", "vector"}:
            raise refusal("promql", self.promql, f"an instant vector or a scalar, not a {kind}")
        if len(samples) > 1:
            allowed = f"one series, not {len(samples):,}: aggregate them, as by sum(…)"
            raise refusal("promql", self.promql, allowed)
        if not samples:
            return self._nothing(f"{self.server.url}: the query finds no series")
        _, at, value = samples[0]
        if math.isnan(value):
            return self._nothing("the query gives NaN: 0/0, where there was no traffic?", at)
        return Measurement(self.name, value, unit=self.unit, at=at)

    def _nothing(self, reason: str, at: float | None = None) -> Measurement:
        return Measurement(self.name, math.nan, unit=self.unit, at=at, details={"reason": reason})


def query(
    url: str,
    promql: str,
    *,
    name: str | None = None,
    unit: str = "",
    timeout: float | timedelta = 10.0,
    headers: Mapping[str, str] = NO_ITEMS,
) -> Query:
    """Make a measure of a PromQL query, for `guard`.

    Asked, it gives the number of the one series (or the scalar) that the query gives, with the time
    of the evaluation. Where there is no number it gives NaN with the reason in its details, so that
    the verdict is UNKNOWN, never a pass and never 0: no series, NaN (0/0), no connection, a
    timeout, an HTTP error (with what Prometheus said), a redirect, an answer of another API.
    Infinity is a number here.

    Args:
        url: Root of the server, such as "http://prometheus:9090"; http or https.
        promql: An instant query that gives one series or a scalar.
        name: Of the measurement; the query itself when not given.
        unit: "s" for seconds, "share" for a fraction of one, a currency code, or nothing.
        timeout: Of each wait for the server, in seconds or as a timedelta.
        headers: Sent along: an Authorization, a tenant. They are in no record and no message.

    Raises:
        ConfigurationError: An argument is not of its kind. When asked: the query gives several
            series (aggregate them) or a range (a guard makes that UNKNOWN, with these words).

    Examples:
        >>> from mlguard import at_most, guard
        >>> p99 = "histogram_quantile(0.99, sum by (le) (rate(request_seconds_bucket[5m])))"
        >>> measure = query("http://127.0.0.1:9", p99, name="p99", unit="s")
        >>> guard(measure, at_most(0.05))().severity.name  # nobody listens there
        'UNKNOWN'
    """
    promql = name_of("promql", promql)
    known = promql if name is None else name_of("name", name)
    return Query(server(url, timeout, headers), promql, known, unit)


class Counts(Locked):
    """How much counters in Prometheus grew since it was last asked. Thread-safe; per process.

    A copy begins anew. The lock is held while Prometheus is asked, or the older of two answers
    would look like a counter that was reset.
    """

    __slots__ = ("_queries", "_seen", "_server")

    def __init__(self, server: Server, queries: Mapping[str, str]) -> None:
        super().__init__()
        self._server = server
        self._queries = queries
        self._seen: dict[tuple[str, Labels], int] | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return Counts, (self._server, self._queries)

    def __call__(self) -> dict[str, int]:
        """Give the growth by name; a raising call leaves it for the next one.

        Raises:
            ConnectionError: Prometheus gave no answer.
            LookupError: A query finds no series.
            ConfigurationError: A query does not give counters.
        """
        with self._lock:
            found = {name: self._totals(name, query) for name, query in self._queries.items()}
            first, seen = self._seen is None, self._seen or {}
            growth = dict.fromkeys(found, 0)
            for name, totals in found.items():
                for labels, total in totals.items():
                    before = seen.pop((name, labels), 0)  # put back as the newest
                    seen[name, labels] = total
                    growth[name] += total - before if total >= before else total
            while len(seen) > _MOST_SERIES * len(found):
                del seen[next(iter(seen))]
            self._seen = seen
            return dict.fromkeys(found, 0) if first else growth

    def _totals(self, name: str, promql: str) -> dict[Labels, int]:
        parameter = f"queries[{name!r}]"
        try:
            kind, samples = self._server.ask(promql)
        except _Unanswered as error:
            message = f"{self._server.url}: {parameter}: {error}"
            raise ConnectionError(message) from None
        if kind not in {"scalar", "vector"}:
            raise refusal(parameter, promql, f"counters, not a {kind}")
        if not samples:
            message = (
                f"{parameter} = {promql!r} finds no series; "
                "where a counter need not exist yet, write: … or vector(0)"
            )
            raise LookupError(message)
        if len(samples) > _MOST_SERIES:
            raise refusal(parameter, promql, f"at most {_MOST_SERIES:,} series")
        for _, _, value in samples:
            if not (value.is_integer() and value >= 0.0):
                raise refusal(parameter, promql, f"counters, no rate or increase: it gave {value}")
        return {labels: int(value) for labels, _, value in samples}


def counts(
    url: str,
    queries: Mapping[str, str],
    *,
    timeout: float | timedelta = 10.0,
    headers: Mapping[str, str] = NO_ITEMS,
) -> Counts:
    """Make a callable that gives how much counters grew since it was last called, as integers.

    It feeds an error budget: `errors.observe_counts(**new())`. The first call gives zeros, since
    nobody knows over what time the counters had counted by then. A call that raises (see
    `Counts.__call__`) loses nothing: the next one gives the growth of both.

    Each series is followed by itself, so query the counters as they are, without `sum`, `rate`
    or `increase`. A series that falls was reset by a restart and counts from zero, like in `rate`;
    what it counted between the last call and the restart is lost. A new series counts in full.
    Ask one Prometheus: of two behind one address, the one that lags would look like a reset.

    Args:
        url: Root of the server, such as "http://prometheus:9090"; http or https.
        queries: Instant queries of counters by name. One that finds nothing is an error, since it
            may be misspelt: where a counter need not exist yet, append `or vector(0)`.
        timeout: Of each wait for the server, in seconds or as a timedelta.
        headers: Sent along: an Authorization, a tenant. They are in no record and no message.

    Raises:
        ConfigurationError: An argument is not of its kind.

    Examples:
        >>> bad = 'http_requests_total{job="scoring",code=~"5.."} or vector(0)'
        >>> good = 'http_requests_total{job="scoring",code!~"5.."}'
        >>> new = counts("http://prometheus:9090", {"good": good, "bad": bad})
    """
    if not isinstance(queries, Mapping) or not queries:
        raise refusal("queries", queries, "a mapping of names to queries")
    for name, promql in queries.items():
        name_of("queries", name)
        name_of(f"queries[{name!r}]", promql)
    return Counts(server(url, timeout, headers), dict(queries))
