"""From decisions to sinks: all of them to every sink, and each from one replica only."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from mlguard.arguments import instances, name_of, refusal, seconds, whole
from mlguard.checks import name_for
from mlguard.errors import ConfigurationError, StateConflict
from mlguard.locks import Locked
from mlguard.records import parsed
from mlguard.values import Action, Decision

if TYPE_CHECKING:
    from datetime import timedelta

    from mlguard.protocols import Sink, Store

_logger = logging.getLogger("mlguard")


def deliver(decisions: Iterable[Decision], *sinks: Sink) -> None:
    """Give every decision to every sink, in order, whatever some of them raise.

    Args:
        decisions: What `ResponsePolicy.decide` or an engine gave.
        sinks: Where to. After a failure the whole list is given again, so wrap in `once` a sink
            that must not hear twice.

    Raises:
        ExceptionGroup: Some sinks failed: all their errors, each with a note that says which
            decision did not arrive where. Raised at the end.
        ConfigurationError: `decisions` are none, or a sink is not callable.

    Examples:
        >>> from mlguard import Action, Decision
        >>> from mlguard.testing import RecordingSink
        >>> def pager(decision):
        ...     raise ConnectionError("no route to the pager")
        >>> record = RecordingSink()
        >>> try:
        ...     deliver([Decision(Action.ALERT, "p99 = 61 ms", key="0c1d")], pager, record)
        ... except* ConnectionError as group:
        ...     print(*group.exceptions[0].__notes__, len(record.decisions))
        alert 0c1d did not arrive at pager 1
    """
    given = instances((Decision,), "decisions", decisions)
    receivers = [_sink(each) for each in sinks]
    errors: list[Exception] = []
    for decision in given:
        for sink in receivers:
            try:
                sink(decision)
            except Exception as error:  # noqa: BLE001 -- a sink may fail in any way; raised below
                named = f"{decision.action} {decision.key}".rstrip()
                error.add_note(f"{named} did not arrive at {name_for(sink)}")
                errors.append(error)
    if errors:
        message = f"{len(errors)} of {len(given) * len(receivers)} deliveries failed"
        raise ExceptionGroup(message, errors)


def once(
    sink: Sink,
    *,
    store: Store,
    name: str | None = None,
    lease: float | timedelta = 120.0,
    keep: int = 1_000,
) -> Once:
    """Make a sink that tells of each key from exactly one of the replicas that share a store.

    The first replica that is given an action under a key takes a lease and delivers it, and marks
    it in the store only when the sink is done; from then on every replica passes over it. A
    decision without a key is always delivered. What the sink or the store raises passes through
    with nothing marked, so that the next attempt, of any replica, delivers.

    **RESOLVE** closes a key, and goes out once too. If nobody was told of anything under its key,
    neither is anybody told that it is over. Afterwards the key is armed again: the next ALERT under
    it is a new episode, unless it was taken before the RESOLVE or carries the digest of a policy,
    whose keys are never used twice: then it is a replica that lags.

    **While another replica delivers**, the call returns at once without delivering, and remembers
    the decision in `pending`: the other one may yet fail or die. Call `retry()` at the end of each
    turn; it forgets what has been delivered, and delivers what has not. A holder that was killed
    keeps its lease until it runs out.

    **At least once**: a replica that is killed after it delivered and before it marked is followed
    by one that delivers again. So does a sink that takes longer than its lease.

    Args:
        sink: A webhook, say.
        store: That all replicas share. One small state remains in it for each of the last `keep`
            keys.
        name: Of this sink, the same on all replicas and after an update. Two sinks that share a
            store need two names, or one is silent about what the other was told. By default the
            sink's own name, or that of its function or class.
        lease: How long a delivery may take, in seconds or as a timedelta. The default is more than
            a `webhook` with its defaults needs; a longer one is how much later a page may come
            whose replica was killed.
        keep: How many keys are remembered, resolved ones first to be forgotten, then the oldest.
            A replica that lags by more tells of them anew.

    Raises:
        ConfigurationError: An argument is not of its kind.

    Examples:
        >>> from mlguard import Action, Decision, MemoryStore
        >>> from mlguard.testing import RecordingSink
        >>> pager, store = RecordingSink(), MemoryStore()
        >>> replicas = [once(pager, store=store) for _ in range(6)]
        >>> for action in (Action.ALERT, Action.RESOLVE):
        ...     for replica in replicas:
        ...         replica(Decision(action, "p99", key="0c1d", policy_digest="5e"))
        >>> [decision.action.name for decision in pager.decisions]
        ['ALERT', 'RESOLVE']
    """
    for method in ("load", "save", "keys", "delete", "acquire", "release"):
        if not callable(getattr(store, method, None)):
            raise refusal("store", store, "a store, such as MemoryStore()")
    known = name_for(_sink(sink)) if name is None else name_of("name", name)
    return Once(sink, store, known, seconds("lease", lease), whole("keep", keep, least=1))


class Once(Locked):
    """A sink that tells of each key once; made by `once`. Thread-safe; shared through its store.

    What is pending is per process; a copy goes on with what was pending then.
    """

    __slots__ = ("_keep", "_lease", "_pending", "_prefix", "_store", "name", "sink")

    def __init__(self, sink: Sink, store: Store, name: str, lease: float, keep: int) -> None:
        super().__init__()
        self.name = name
        self.sink = sink
        self._store = store
        self._lease = lease
        self._keep = keep
        self._prefix = f"once/{_quoted(name)}/"
        self._pending: dict[tuple[str, str], Decision] = {}

    @property
    def pending(self) -> tuple[Decision, ...]:
        """What this replica was given and nobody is known to have delivered, oldest first."""
        with self._lock:
            return tuple(self._pending.values())

    def retry(self) -> None:
        """Try again what is pending, in order.

        Raises:
            ExceptionGroup: As `deliver`; what failed stays pending.
        """
        deliver(self.pending, self)

    def __call__(self, decision: Decision) -> None:
        if not decision.key:
            self.sink(decision)
            return
        mine = decision.key, str(decision.action)
        over = False
        try:
            over = self._over(decision)
        finally:
            with self._lock:
                if over:
                    self._pending.pop(mine, None)
                else:
                    self._pending[mine] = decision
                lost = list(self._pending)[: -self._keep]
                for each in lost:
                    del self._pending[each]
            if lost:
                _logger.error("%s: more is pending than is kept, so given up: %s", self.name, lost)

    def _over(self, decision: Decision) -> bool:
        """Deliver it, if it is due; tell whether there is nothing left to do for it."""
        if decision.action == Action.RESOLVE:
            before = self._before(decision)
            deliver(before, self)
            if before and self._before(decision):
                return False
        place = self._prefix + _quoted(decision.key)
        if self._mark(place)[0].passed(decision):
            return True
        token = self._store.acquire(place, self._lease)
        if token is None:
            return False
        try:
            mark, _ = self._mark(place)
            if mark.passed(decision) or (decision.action == Action.RESOLVE and not mark.actions):
                return True
            self.sink(decision)
            self._note(place, decision)
        finally:
            self._release(place, token)
        self._tidy()
        return True

    def _before(self, resolve: Decision) -> list[Decision]:
        """Give what is pending under the key of a RESOLVE and must go first."""
        return [d for d in self.pending if d.key == resolve.key and d.action != Action.RESOLVE]

    def _mark(self, place: str) -> tuple[_Mark, int]:
        found = self._store.load(place)
        if found is None:
            return _Mark(), 0
        try:
            return _Mark.read(found[0]), found[1]
        except ConfigurationError as error:
            raise ConfigurationError(f"{place!r} in the store: {error}") from error

    def _note(self, place: str, decision: Decision) -> None:
        while True:
            mark, version = self._mark(place)
            if mark.passed(decision):
                return  # the lease was lost, and whoever had it next was quicker
            try:
                self._store.save(place, mark.after(decision).to_bytes(), if_version=version)
            except StateConflict:
                continue
            return

    def _release(self, place: str, token: int) -> None:
        try:
            self._store.release(place, token)
        except Exception:
            _logger.exception("%s: the lease runs out by itself", place)  # the sink's error goes on

    def _tidy(self) -> None:
        """Forget the oldest quarter where there are too many, since looking at each takes time."""
        places = self._store.keys(self._prefix)
        if len(places) > self._keep:
            found = [(*self._mark(place), place) for place in places]
            found.sort(key=lambda each: (each[0].open, each[1]))
            for *_, place in found[: len(found) - (3 * self._keep + 3) // 4]:
                self._store.delete(place)


@dataclass(frozen=True, slots=True)
class _Mark:
    """What was told under a key since it was armed, and when: opened or, once resolved, closed."""

    actions: tuple[str, ...] = ()
    at: float | None = None

    @property
    def closed(self) -> bool:
        return Action.RESOLVE in self.actions

    @property
    def open(self) -> bool:
        return Action.ALERT in self.actions and not self.closed

    def passed(self, decision: Decision) -> bool:
        """Tell whether it was told, or is of an episode before this one."""
        if decision.action == Action.RESOLVE:
            return self.closed or (not decision.policy_digest and self._later_than(decision))
        return decision.action in self.actions and (not self.closed or self._lags(decision))

    def after(self, decision: Decision) -> _Mark:
        """Give the mark after this one was told, too."""
        action = str(decision.action)
        if not self.actions or (self.closed and not self._lags(decision)):
            return _Mark((action,), decision.at)
        at = decision.at if decision.action == Action.RESOLVE else self.at
        return _Mark((*self.actions, action), at)

    def _lags(self, decision: Decision) -> bool:
        """Tell whether it is of the episode that was closed: a policy's keys are of one episode."""
        return bool(decision.policy_digest) or self._later_than(decision)

    def _later_than(self, decision: Decision) -> bool:
        return self.at is not None and decision.at is not None and decision.at < self.at

    def to_bytes(self) -> bytes:
        return json.dumps({"kind": "once", "schema": 1, **asdict(self)}).encode()

    @classmethod
    def read(cls, data: bytes) -> _Mark:
        record = parsed(data.decode(errors="replace"), "once")
        try:
            return cls(tuple(record["actions"]), record["at"])
        except (KeyError, TypeError) as error:
            raise refusal("data", data, f"a mark of what was told: {error!r}") from None


def _sink(sink: Any) -> Sink:
    if not callable(sink):
        raise refusal("sinks", sink, "callables that take a decision")
    taken: Sink = sink
    return taken


def _quoted(name: str) -> str:
    return quote(name, safe="", errors="surrogatepass")
