"""Any detector of river behind the interface of ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlguard.arguments import refusal
from mlguard.drift.streams.detector import Change, Detector, OnMissing

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import NoReturn


def from_river(detector: Any, *, on_missing: OnMissing = "skip") -> River:
    """Give a detector of river the interface, and the care for bad input, of those here.

    Its rate of false alarms is whatever its own parameters make it, and it has no `state()`: river
    can only be pickled.

    Args:
        detector: Such as `river.drift.KSWIN()`; it is cloned, so it stays as it is.
        on_missing: As in `Detector`.

    Raises:
        ConfigurationError: This is no detector of river.
    """
    return River(detector, on_missing=on_missing)


class River(Detector):
    """A detector of river. Not thread-safe: one writer. Made by `from_river`; per process."""

    __slots__ = ("_model", "_n", "_running", "_total")

    _kind = "river"

    def __init__(self, detector: Any, *, on_missing: OnMissing) -> None:
        if not all(hasattr(detector, name) for name in ("update", "clone", "drift_detected")):
            raise refusal("detector", detector, "a drift detector of river")
        self._model = detector
        super().__init__(on_missing=on_missing)

    def state(self) -> NoReturn:
        """Raise: what river remembers is no plain JSON."""
        raise refusal("detector", self._model, "one of mlguard to have a state()")

    def from_state(self, state: Mapping[str, Any]) -> NoReturn:
        """Raise: what river remembers is no plain JSON."""
        raise refusal("state", state, "of a detector of mlguard")

    def _begin(self) -> None:
        self._running = self._model.clone()
        self._n, self._total = 0, 0.0

    def _step(self, x: float) -> Change | None:
        self._running.update(x)
        self._n += 1
        self._total += x
        if not self._running.drift_detected:
            return None
        kept = min(max(int(getattr(self._running, "width", 1)), 1), self._n)
        change = self._found(kept, self._total / self._n, None)
        self._n, self._total = 0, 0.0
        return change

    @property
    def _ready(self) -> bool:
        return self._n > 0

    def _level(self) -> float | None:
        return self._total / self._n if self._n else None

    def __repr__(self) -> str:
        return f"from_river({self._model!r})"
