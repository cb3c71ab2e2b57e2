"""One request or call on its way through a guard."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlguard.budgets.streams import Stream, StreamLatency

if TYPE_CHECKING:
    from mlguard.budgets.cost import CostBudget
    from mlguard.integrations.edge import Edge

FIRST_BAD_STATUS = 500


@dataclass(frozen=True, slots=True)
class Meters:
    """The meters of an edge: a reload swaps them all at once, and a request keeps those it read.

    Attributes:
        opens: Whether a request must look for its meters, or begin a stream.
        plain: Whether nearly every request is merely timed and counted.
    """

    latency: Any
    errors: Any
    profile: Any
    cost: CostBudget | None
    opens: bool
    plain: bool


class Exchange:
    """One request or call on its way, observed once. Not thread-safe: it follows one request.

    Attributes:
        meters: Those of the edge when it began.
        status: Of the answer, once it began.
        last: When the last item of the answer was handed over.
        left: When the client left, if it did.
        over: Whether it was observed.
    """

    __slots__ = (
        "_members",
        "_stream",
        "_waiting",
        "edge",
        "last",
        "left",
        "meters",
        "over",
        "scope",
        "started",
        "status",
    )

    def __init__(self, edge: Edge[Any], scope: Any, started: float) -> None:
        self.edge = edge
        self.meters = edge.meters
        self.scope = scope
        self.started = started
        self.status: int | None = None
        self.last: float | None = None
        self.left: float | None = None
        self.over = False
        self._members: tuple[Any, Any] | None = None
        self._stream: Stream | None = None

    def leave(self) -> None:
        """Note that the client left."""
        if self.left is None:
            self._waiting = not self._begun
            self.left = self.edge.clock()

    def item(self) -> None:
        """Note that the next item of the answer is handed over."""
        edge = self.edge
        if self.left is not None:
            return
        self.last = edge.clock()
        if self.meters.opens:
            self._open()
            if self._stream is not None:
                try:
                    self._stream.item()
                except Exception as crash:  # noqa: BLE001 -- the client never sees the guard crash
                    edge.crashed("latency", crash)

    def _open(self) -> tuple[Any, Any]:
        """Find the meters, once, and begin the stream as of the start of the request."""
        if self._members is None:
            edge = self.edge
            self._members = edge.members(self.meters, self.scope)
            latency = self._members[0]
            if isinstance(latency, StreamLatency):
                try:
                    start = latency.clock() - (edge.clock() - self.started)
                    self._stream = latency.start(intended_start=start)
                except Exception as crash:  # noqa: BLE001 -- the client never sees the guard crash
                    edge.crashed("latency", crash)
                    self._members = None, self._members[1]
        return self._members

    def finished(self) -> None:
        """Observe that it ended with its last item, or now if it has none."""
        self.end(self.edge.clock() if self.last is None else self.last)
        self.features()

    def failed(self, error: BaseException) -> None:
        """Observe that it ended otherwise, unless it was observed before."""
        if not self.over:
            self.end(self.edge.clock(), error)
            self.features()

    def end(self, at: float, error: BaseException | None = None) -> None:
        """Observe how it went, from its start to `at`.

        A client that left makes it neither good nor bad; it is timed then only if the answer had
        not begun, until it left, for it waited that long.
        """
        self.over = True
        edge, meters = self.edge, self.meters
        if meters.plain and error is None and self.left is None:
            self._timed(meters, at)
            return
        latency, errors = self._open() if meters.opens else (meters.latency, meters.errors)
        cut = self.left is not None or not (error is None or isinstance(error, Exception))
        seconds = self._seconds(at, cut=cut)
        try:
            if self._stream is not None:
                if cut:
                    self._stream.cut()
                self._stream.__exit__(None if error is None else type(error))
            elif latency is not None and seconds is not None:
                latency.observe(seconds)
        except Exception as crash:  # noqa: BLE001 -- the client never sees the guard crash
            edge.crashed("latency", crash)
        fine = None if cut else self._counted(errors, error)
        if edge.observer is not None:
            try:
                edge.observer(seconds, fine, self.scope)
            except Exception as crash:  # noqa: BLE001 -- the client never sees the guard crash
                edge.crashed("observer", crash)

    def _counted(self, errors: Any, error: BaseException | None) -> bool | None:
        """Count whether it was good, and give that; None where it is not counted."""
        edge, place, fine = self.edge, "classify", None
        if errors is None and edge.observer is None:
            return None
        try:
            fine = edge.classify(self.status, error)
            place = "errors"
            if errors is not None and fine is not None:
                errors.observe(fine)
        except Exception as crash:  # noqa: BLE001 -- the client never sees the guard crash
            edge.crashed(place, crash)
        return fine

    def _seconds(self, at: float, *, cut: bool) -> float | None:
        """Give how long it took; None where it was cut in the middle of its answer."""
        if not cut:
            return at - self.started
        if self.left is None:
            return None if self._begun else at - self.started
        return self.left - self.started if self._waiting else None

    def _timed(self, meters: Meters, at: float) -> None:
        """Observe what nearly every request is: answered, in time or not."""
        try:
            if meters.latency is not None:
                meters.latency.observe(at - self.started)
        except Exception as crash:  # noqa: BLE001 -- the client never sees the guard crash
            self.edge.crashed("latency", crash)
        try:
            if meters.errors is not None:
                status = self.status
                meters.errors.observe(status is None or status < FIRST_BAD_STATUS)
        except Exception as crash:  # noqa: BLE001 -- the client never sees the guard crash
            self.edge.crashed("errors", crash)

    def features(self) -> None:
        """Count the row of features, if there is one and something to count it."""
        profile = self.meters.profile
        if profile is not None:
            try:
                row = self.edge.row_of(self.scope)
                if row is not None:
                    profile.observe(row)
            except Exception as crash:  # noqa: BLE001 -- the client never sees the guard crash
                self.edge.crashed("profile", crash)

    @property
    def _begun(self) -> bool:
        return self.status is not None or self.last is not None
