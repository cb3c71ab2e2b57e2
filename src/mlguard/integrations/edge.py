"""What a guard does at the edge of a service, whatever the protocol."""

from __future__ import annotations

import inspect
import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, TypeAlias, TypeVar

from mlguard.arguments import refusal, seconds
from mlguard.budgets.errors import ErrorBudget
from mlguard.budgets.keyed import Keyed
from mlguard.budgets.latency import LatencyBudget
from mlguard.budgets.streams import StreamLatency
from mlguard.checks import checked, crashed, crashes_in
from mlguard.clocks import unix_clock
from mlguard.integrations.exchange import FIRST_BAD_STATUS, Meters
from mlguard.locks import Locked
from mlguard.policies.combine import worst
from mlguard.policies.timing import Cached, cached
from mlguard.values import Action, Decision, Severity, Verdict

if TYPE_CHECKING:
    from mlguard.budgets.cost import CostBudget
    from mlguard.protocols import Check, Clock, Sink
    from mlguard.requirements import Guards

A = TypeVar("A")
T = TypeVar("T")


class Times(Protocol):
    """Counts latencies, as a `LatencyBudget` does."""

    def observe(self, seconds: float, /) -> object:
        """Count a latency."""
        ...


class Counts(Protocol):
    """Counts good and bad, as an `ErrorBudget` does."""

    def observe(self, good: bool, /) -> object:  # noqa: FBT001 -- it is what was seen
        """Count a request."""
        ...


class Rows(Protocol):
    """Counts rows of features, as a `Profile` and a `Sampled` do."""

    def observe(self, row: Mapping[str, Any], /) -> object:
        """Count a row."""
        ...


Latency: TypeAlias = Times | StreamLatency | Keyed[Any]
Errors: TypeAlias = Counts | Keyed[Any]
Classify: TypeAlias = Callable[[int | None, BaseException | None], bool | None]
Observer: TypeAlias = Callable[[float | None, bool | None, Any], object]
OnBreach: TypeAlias = Literal["header", "reject"] | Callable[[Verdict], object]
OnError: TypeAlias = Literal["open", "closed"]

FEATURES = "mlguard.features"
"""Where the app puts its row of features: in the ASGI scope or the WSGI environ."""

HEADER = "mlguard-severity"
"""The response header that tells of a breach."""

UNAVAILABLE = 503, "Service Unavailable"
"""What the guard answers while it rejects."""

TOO_MANY = 429, "Too Many Requests"
"""What it answers to whoever has spent a budget."""

_TOLD_EVERY = 60.0


def good(status: int | None, error: BaseException | None) -> bool | None:
    """Classify an answer: an exception (so a timeout) and a status from 500 on are bad."""
    return error is None and (status is None or status < FIRST_BAD_STATUS)


def row_of(scope: Mapping[str, Any]) -> Any:
    """Give the row of features that the app put in the scope of its request, or None."""
    return scope.get(FEATURES)


class Edge(Locked, Generic[A]):
    """The guards around one app or function. Thread-safe; its own counts are per process.

    Attributes:
        acting: The verdict that refuses or marks requests, if there is one.
        due: When it is time to `ask` again, by the clock.
        crashes: How often the guard itself crashed.
        rejected: How many requests the guard answered itself.
        meters: Those of new requests.
    """

    __slots__ = (
        "_check",
        "_classifies",
        "_closed_until",
        "_every",
        "_heeded",
        "_on_breach",
        "_on_error",
        "_own",
        "_pace",
        "_refusal",
        "_sinks",
        "_told",
        "_unix",
        "acting",
        "app",
        "classify",
        "clock",
        "crashes",
        "due",
        "key",
        "meters",
        "observer",
        "payer",
        "rejected",
        "retry_after",
        "row_of",
    )

    def __init__(
        self,
        app: A,
        *,
        latency: Latency | None = None,
        errors: Errors | None = None,
        profile: Rows | None = None,
        cost: CostBudget | None = None,
        payer: Callable[[Any], str] | None = None,
        check: Check | None = None,
        on_breach: OnBreach | None = None,
        retry_after: float | timedelta = 10.0,
        every: float | timedelta = 1.0,
        key: Callable[[Any], str] | None = None,
        classify: Classify | None = None,
        observer: Observer | None = None,
        on_error: OnError = "open",
        sinks: Sequence[Sink] = (),
        clock: Clock = time.perf_counter,
        row_of: Callable[[Any], Any] = row_of,
        guards: Guards | None = None,
    ) -> None:
        super().__init__()
        if not callable(app):
            raise refusal("app", app, "a callable")
        self.app = app
        meters = _meters_of(guards, latency, errors, profile, cost)
        latency, errors, _, cost = meters
        keyed = isinstance(latency, Keyed) or isinstance(errors, Keyed)
        if keyed is (key is None):
            raise refusal("key", key, "given exactly when latency or errors is a Keyed family")
        self.key = key
        if cost is not None and not callable(getattr(cost, "wait", None)):
            raise refusal("cost", cost, "a CostBudget, or None")
        per = None if cost is None else cost.per
        if (per is None) is not (payer is None):
            raise refusal("payer", payer, "given exactly when cost has a cap per key")
        self.payer = payer
        self._classifies = classify is not None
        self.observer = None if observer is None else _plain("observer", observer)
        self.meters = self._set(*meters)
        self.classify = good if classify is None else _plain("classify", classify)
        self.row_of = row_of
        self.clock = clock
        self._unix = unix_clock(monotonic=clock)
        self._sinks = tuple(_plain("sinks", sink) for sink in sinks)
        self._every = seconds("every", every)
        self.retry_after = math.ceil(seconds("retry_after", retry_after))
        if on_error not in {"open", "closed"}:
            raise refusal("on_error", on_error, '"open" or "closed"')
        self._on_error = on_error
        if on_breach not in (None, "header", "reject") and not callable(on_breach):
            raise refusal("on_breach", on_breach, 'None, "header", "reject" or a callable')
        if callable(on_breach):
            _plain("on_breach", on_breach)
        self._on_breach = on_breach
        self._own = check
        self._check = None if on_breach is None else self._asked(check)
        self._pace = (
            0.0 if check is self._check else self._every
        )  # a Cached of the user's knows best
        self._heeded: Verdict | None = None
        self._refusal: Verdict | None = None
        self._closed_until = -math.inf
        self._told: dict[str, float] = {}
        self.acting: Verdict | None = None
        self.due = math.inf if self._check is None else -math.inf
        self.crashes = 0
        self.rejected = 0
        if guards is not None:
            guards.follow(self._follow)
            self._follow(guards)  # a reload may have been quicker

    @property
    def latency(self) -> Any:
        """The meter of latency, if there is one; so with errors."""
        return self.meters.latency

    @property
    def errors(self) -> Any:
        """The meter of errors."""
        return self.meters.errors

    def _set(
        self,
        latency: Latency | None,
        errors: Errors | None,
        profile: Rows | None,
        cost: CostBudget | None,
    ) -> Meters:
        opens = isinstance(latency, StreamLatency | Keyed) or isinstance(errors, Keyed)
        return Meters(
            _meter("latency", latency, ErrorBudget),
            _meter("errors", errors, (LatencyBudget, StreamLatency)),
            _meter("profile", profile),
            cost,
            opens=opens,
            plain=not self._classifies and not opens and self.observer is None,
        )

    def _follow(self, guards: Guards) -> None:
        """Take the meters of another document. A request under way ends in those it began with."""
        with self._lock:  # so that the last of racing reloads puts the newest
            self.meters = self._set(*_meters_of(guards))
            if self._on_breach is not None and self._own is None:
                judged = self.latency is not None or self.errors is not None
                self._check = self._asked(None) if judged else None
                self.due = -math.inf

    def _make_lock(self) -> Any:
        return threading.RLock()

    def _asked(self, check: Check | None) -> Cached:
        given = [self.latency, self.errors] if check is None else [check]
        checks = [checked(each) for each in given if each is not None]
        if not checks:
            raise refusal(
                "check", check, "given, such as guards.check, or latency or errors, for on_breach"
            )
        one = checks[0] if len(checks) == 1 else worst("serving", *checks)
        return one if isinstance(one, Cached) else cached(one, self._every, clock=self.clock)

    def ask(self, now: float) -> None:
        """Ask the check, and see for how long requests need not ask again."""
        acting, due = None, math.inf
        check = self._check
        if check is not None:
            verdict = check()
            self._heed(verdict)
            if verdict.severity is Severity.BREACH and isinstance(self._on_breach, str):
                acting = verdict
            due = now + self._pace
        with self._lock:
            if check is not self._check:  # a reload was quicker: the next request asks the new one
                acting, due = None, -math.inf
            if now < self._closed_until:
                acting, due = acting or self._refusal, min(due, self._closed_until)
            self.acting, self.due = acting, due

    def _heed(self, verdict: Verdict) -> None:
        """Do what is due once for each verdict."""
        with self._lock:
            new = verdict is not self._heeded
            self._heeded = verdict
        if new and (crashes := crashes_in(verdict)):
            self.crashed("check", crashes[0], closes=verdict.in_doubt)
        if new and verdict.severity is Severity.BREACH and callable(self._on_breach):
            try:
                self._on_breach(verdict)
            except Exception as crash:  # noqa: BLE001 -- the client never sees the guard crash
                self.crashed("on_breach", crash)

    def wait(self, cost: CostBudget, scope: Any) -> int | None:
        """Give the seconds until the payer of a request may spend again; None if it may now."""
        try:
            key = None if self.payer is None else self.payer(scope)
            wait = cost.wait(key, max_age=self.retry_after)
        except Exception as crash:  # noqa: BLE001 -- the client never sees the guard crash
            self.crashed("cost", crash)
            return None
        if wait is None:
            return None
        with self._lock:
            self.rejected += 1
        return max(1, math.ceil(wait))

    def refuses(self, verdict: Verdict) -> bool:
        """Tell whether the acting verdict refuses the request or marks it; count a refusal."""
        if verdict.severity is Severity.BREACH and self._on_breach == "header":
            return False
        with self._lock:
            self.rejected += 1
        return True

    def members(self, meters: Meters, scope: Any) -> tuple[Any, Any]:
        """Give the meters of latency and errors for a request, by key where they are families.

        A request whose key cannot be told is counted with the keys beyond the bound.
        """
        key = None
        if self.key is not None:
            try:
                told = self.key(scope)
                if not isinstance(told, str):
                    raise refusal("key", told, "a string")  # noqa: TRY301 -- told like any crash
                key = told
            except Exception as crash:  # noqa: BLE001 -- the client never sees the guard crash
                self.crashed("key", crash)
        latency = self._member("latency", meters.latency, key)
        return latency, self._member("errors", meters.errors, key)

    def _member(self, place: str, meter: Any, key: str | None) -> Any:
        if not isinstance(meter, Keyed):
            return meter
        try:
            return meter[meter.overflow if key is None else key]
        except Exception as crash:  # noqa: BLE001 -- the client never sees the guard crash
            self.crashed(place, crash)
            return None

    def crashed(self, place: str, cause: Exception | Verdict, *, closes: bool = True) -> None:
        """Count a crash of the guard; log it and tell the sinks at most once a minute a place."""
        now = self.clock()
        with self._lock:
            self.crashes += 1
            tell = now - self._told.get(place, -math.inf) >= _TOLD_EVERY
            if tell:
                self._told[place] = now
            if closes and self._on_error == "closed":
                self._closed_until = now + self._every
                reason = f"the guard crashed in {place}, and on_error is closed"
                self._refusal = Verdict("guard", Severity.UNKNOWN, reason)
                self.due = -math.inf
        if tell:
            self._tell(place, cause if isinstance(cause, Verdict) else crashed(place, cause))

    def _tell(self, place: str, verdict: Verdict) -> None:
        at = self._unix()
        decision = Decision(
            Action.ALERT,
            f"the guard of the service has crashed in {place}: {verdict.reason}",
            at=at,
            key=f"guard crashed in {place}: {at // _TOLD_EVERY:.0f}",
            verdicts=(verdict,),
        )
        for sink in self._sinks:
            try:
                sink(decision)
            except Exception as crash:  # noqa: BLE001 -- the client never sees the guard crash
                self.crashed("sink", crash)

    def _after_fork(self) -> None:
        super()._after_fork()
        self.crashes = self.rejected = 0


def _meters_of(guards: Guards | None, *given: Any) -> tuple[Any, ...]:
    if guards is None:
        return given
    if not callable(getattr(guards, "follow", None)):
        raise refusal("guards", guards, "Guards, as Guards.build(...) gives")
    if any(each is not None for each in given):
        raise refusal("guards", guards, "given without latency, errors, profile and cost")
    drift = guards.drift
    return guards.latency, guards.errors, None if drift is None else drift.profile, guards.cost


def _meter(parameter: str, meter: T | None, unfit: type | tuple[type, ...] = ()) -> T | None:
    fits = isinstance(meter, StreamLatency | Keyed) or callable(getattr(meter, "observe", None))
    if meter is not None and (not fits or isinstance(meter, unfit)):
        raise refusal(parameter, meter, f"a meter of {parameter} with observe(), or None")
    return meter


def _plain(parameter: str, value: T) -> T:
    if not callable(value) or inspect.iscoroutinefunction(value):
        raise refusal(parameter, value, "a callable, and no coroutine function")
    return value
