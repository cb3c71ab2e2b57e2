"""Meters of many processes as one: each publishes its own part, a decider gathers them."""

from __future__ import annotations

import json
import os
import uuid
import weakref
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from urllib.parse import quote, unquote

from mlguard.arguments import moment, name_of, refusal, seconds, whole
from mlguard.budgets.counted import Counted, Sources
from mlguard.budgets.family import Family, read_budget
from mlguard.budgets.keyed import Keyed
from mlguard.clocks import unix_clock
from mlguard.errors import ConfigurationError, GuardUnknown, StateConflict
from mlguard.records import parsed
from mlguard.values import Severity, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import timedelta

    from mlguard.protocols import Clock, Store

_ANY_NAME = "surrogatepass"
"""How names are spelled in keys: those of the system may hold what is no character."""

_REMEMBERED = 100
"""Ended runs of a source that are remembered, to tell a restart from two processes of one name."""


class Mergeable(Protocol):
    """What can be shared: a meter that adds up and round-trips through JSON."""

    def __add__(self, other: Any, /) -> Any: ...

    def to_json(self) -> str:
        """Write it as JSON."""
        ...


class Stateful(Protocol):
    """What `checkout` also keeps: it remembers a state of plain JSON."""

    def state(self) -> dict[str, Any]:
        """Give all that is remembered."""
        ...

    def from_state(self, state: Mapping[str, Any], /) -> Any:
        """Make the same with what another remembered."""
        ...


T = TypeVar("T", bound=Mergeable)
K = TypeVar("K", bound="Mergeable | Stateful")


@dataclass(frozen=True, slots=True)
class _Part:
    """What one source published: what its present run counted, and what its earlier runs did."""

    run: str
    at: float
    own: str
    before: str | None = None
    ended: tuple[str, ...] = ()

    def to_bytes(self) -> bytes:
        return json.dumps({"kind": "part", "schema": 1, **asdict(self)}).encode()

    @classmethod
    def read(cls, data: bytes) -> _Part:
        record = parsed(data.decode(errors="replace"), "part")
        try:
            at, ended = moment("at", record["at"]), tuple(record["ended"])
            before = None if record["before"] is None else str.__str__(record["before"])
            return cls(record["run"], at, str.__str__(record["own"]), before, ended)
        except (KeyError, TypeError) as error:
            raise refusal("data", data, f"a part that was published: {error!r}") from None

    def meters(self, clock: Clock) -> list[Any]:
        """Read what was counted."""
        return [_read(text, clock) for text in (self.before, self.own) if text is not None]


def publish(
    meter: Mergeable, store: Store, key: str, *, source: str, clock: Clock | None = None
) -> None:
    """Write what this process counted so far to a store, over its own last part.

    Call it every few seconds and at the end. A process that is killed loses what it counted after
    its last call, and nothing else: the next run under the same source name leaves in place what
    its predecessor published, and adds to it. So begin with an empty meter: one that was restored
    from what this source published would be counted twice.

    What the store raises passes through, and nothing is lost by it: the next call writes it all.

    Args:
        meter: A budget, a `Keyed` of them, a profile or a histogram.
        store: Where to.
        key: What it is, the same for all sources: "scorer/latency".
        source: Name of this process, unique among those that live: a pod's name, with the process
            number where one pod runs several.
        clock: Of Unix seconds, `mlguard.clocks.unix_clock()` by default.

    Raises:
        StateConflict: Another live process publishes under this source name.
        ConfigurationError: A name is empty, or the earlier part is of another kind or settings.

    Examples:
        >>> from mlguard import ErrorBudget, MemoryStore
        >>> store, errors = MemoryStore(), ErrorBudget(slo=0.999)
        >>> errors.observe(True)
        >>> publish(errors, store, "scorer/errors", source="pod-1")
        >>> gather(store, "scorer/errors").totals["good"]
        1
    """
    name = quote(name_of("source", source), safe="", errors=_ANY_NAME)
    where = f"{name_of('key', key)}/{name}"
    now = clock or unix_clock()
    own = _clock_of(meter) or now
    while True:
        found = store.load(where)  # as old as the windows of a meter whose clock is behind
        part = _Part(_run_of(meter), min(now(), own()), meter.to_json())
        if found is not None:
            with _naming(where):
                part = _following(_Part.read(found[0]), part, meter, source)
        try:
            store.save(where, part.to_bytes(), if_version=found[1] if found else 0)
        except StateConflict:
            continue  # a predecessor's last breath; a twin will be seen for what it is
        return


def _following(last: _Part, part: _Part, meter: Any, source: str) -> _Part:
    if part.run in last.ended:
        raise StateConflict(
            f"two live processes publish as source {source!r}: give each a name of its own"
        )
    if part.run == last.run:
        return replace(part, before=last.before, ended=last.ended)
    before = reduce(add, last.meters(lambda: last.at))  # our own clock may be wrong
    meter + before  # refused here, and not by whoever gathers
    ended = (*last.ended, last.run)[-_REMEMBERED:]
    return replace(part, before=before.to_json(), ended=ended)


def gather(
    store: Store,
    key: str,
    *,
    live: float | timedelta | None = None,
    min_sources: int = 1,
    clock: Clock | None = None,
) -> Any:
    """Merge what all sources published into one meter of the same kind.

    The result is as of now: gather again for the next decision. It is a check where its kind is
    one; with fewer live sources than `min_sources` its verdict is UNKNOWN and names who is missing.

    Args:
        store: Where from.
        key: What was published.
        live: A source that has been silent for longer leaves the windows, but stays in the totals
            and in the period of an error budget. By default none does.
        min_sources: Live sources that it takes to judge.
        clock: Of Unix seconds, `mlguard.clocks.unix_clock()` by default. What a host whose clock is
            ahead counted in the future counts as of now.

    Raises:
        GuardUnknown: Nobody published, or too few did and what they published is no check.
        ConfigurationError: The parts are of different kinds or settings, or unreadable.
    """
    now = unix_clock() if clock is None else clock
    most = None if live is None else seconds("live", live)
    needed = whole("min_sources", min_sources, least=1)
    total, alive, silent = None, [], []
    prefix = f"{name_of('key', key)}/"
    for where in store.keys(prefix):
        found = store.load(where) if "/" not in where.removeprefix(prefix) else None
        if found is None:
            continue
        source = unquote(where.removeprefix(prefix), errors=_ANY_NAME)
        with _naming(where):
            part = _Part.read(found[0])
            meters, age = part.meters(now), now() - part.at
            if most is not None and age > most:
                silent.append((source, age))
                meters = [_retired(meter) for meter in meters]
            else:
                alive.append(source)
            total = reduce(add, meters if total is None else [total, *meters])
    sources = Sources(tuple(alive), tuple(silent), needed)
    if isinstance(total, Counted | Family):
        total.sources = sources
    elif total is None or not sources.enough:
        raise GuardUnknown(Verdict(key, Severity.UNKNOWN, str(sources)))
    return total


@contextmanager
def checkout(store: Store, key: str, make: Callable[[], K]) -> Iterator[K]:
    """Load a meter, let the block use it, and save it: for jobs that come and go.

    The block gets what `make` makes, with what was saved added; or, of what remembers a state, such
    as a `ResponsePolicy` or a `RollbackEngine`, going on from what was saved. If the block raises,
    nothing is saved. What it decided was told by then: where the save may be lost to another
    process, wrap sinks in `once`.

    Args:
        store: Where it is kept.
        key: What it is.
        make: Makes it, empty. Of an `ErrorBudget`, with `min_coverage=0`, since nobody
            watches between two jobs.

    Raises:
        StateConflict: Another process saved it meanwhile; nothing was saved, so do it again.
        ConfigurationError: What is in the store is of another kind or other settings.

    Examples:
        >>> from mlguard import ErrorBudget, MemoryStore
        >>> store = MemoryStore()
        >>> for batch in (100, 200):
        ...     with checkout(store, "nightly", lambda: ErrorBudget(slo=0.99)) as errors:
        ...         errors.observe_counts(good=batch)
        >>> errors.totals["good"]
        300
    """
    found = store.load(name_of("key", key))
    meter: Any = make()
    if found is not None:
        with _naming(key):
            meter = _resumed(meter, found[0].decode(errors="replace"))
    yield meter
    text = meter.to_json() if hasattr(meter, "to_json") else json.dumps(meter.state())
    store.save(key, text.encode(), if_version=found[1] if found else 0)


def _resumed(meter: Any, text: str) -> Any:
    """Go on from what was saved."""
    if hasattr(meter, "to_json"):
        return meter + _read(text, _clock_of(meter))
    try:
        state = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise refusal("text", text, f"JSON of a state: {error}") from None
    return meter.from_state(state)


@contextmanager
def _naming(where: str) -> Iterator[None]:
    """Say where it stands, what cannot be read or does not add up."""
    try:
        yield
    except (ConfigurationError, TypeError) as error:
        raise ConfigurationError(f"{where!r} in the store: {error}") from error


def _read(text: str, clock: Clock | None) -> Any:
    """Read a meter of any kind from its JSON."""
    try:
        kind = json.loads(text)["kind"]
    except (TypeError, ValueError, KeyError, RecursionError):
        raise refusal("text", text, "the JSON of a meter") from None
    if kind == "keyed":
        return Keyed.from_json(text, clock=clock, read=lambda part: _read(part, clock))
    if kind == "profile":
        from mlguard.drift.profile import Profile  # noqa: PLC0415 -- few share one

        return Profile.from_json(text)
    if kind == "histogram":
        from mlguard.sketches.histogram import Histogram  # noqa: PLC0415 -- few share one

        return Histogram.from_json(text)
    if kind == "outcomes":
        from mlguard.performance.outcomes import Outcomes  # noqa: PLC0415 -- few share one

        return Outcomes.from_json(text, clock=clock)
    return read_budget(text, clock)


def _clock_of(meter: Any) -> Clock | None:
    of = meter.example() if isinstance(meter, Keyed) else meter
    found: Clock | None = getattr(of, "clock", None)
    return found


def _retired(meter: Any) -> Any:
    return meter.retired() if isinstance(meter, Counted | Family) else meter


_runs: dict[int, tuple[weakref.ref[Any], str]] = {}


def _run_of(meter: object) -> str:
    """Name this object in this process, unlike any other that ever was."""
    place = id(meter)
    if place not in _runs:
        alive = weakref.ref(meter, lambda _: _runs.pop(place, None))
        _runs.setdefault(place, (alive, uuid.uuid4().hex))  # one name, also for two threads at once
    return f"{_runs[place][1]}-{os.getpid()}"
