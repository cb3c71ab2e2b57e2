"""Where approvals are kept in a store, each state under a seal that names its place."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from mlguard.arguments import refusal
from mlguard.errors import StateConflict
from mlguard.governance.events import Log, closed, opened

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlguard.governance.events import Event
    from mlguard.governance.requests import ApprovalRequest
    from mlguard.protocols import Store


@dataclass(frozen=True, slots=True)
class Kept:
    """The requests, and what gates said, of one thing in a store. Thread-safe if the store is.

    What was not written with the key is refused by every method that reads, with a
    ConfigurationError.

    Args:
        name: Of the thing.
        store: Where.
        key: Of the seals; None leaves them out.
    """

    name: str
    store: Store
    key: bytes | None = field(repr=False)

    def then(self, log: Log, event: Event) -> Log:
        """Add an event, sealed."""
        return log.then(event, self.key, self._place(log.request))

    def begin(self, log: Log) -> None:
        """Keep a new request, and make it the newest of its kind."""
        try:
            self.store.save(self._place(log.request), log.to_bytes(), if_version=0)
        except StateConflict:
            allowed = "a new one: it was submitted before"
            raise refusal("request", log.request.digest, allowed) from None
        line = self._line(log.request)
        said = {"request": log.request.digest}
        self.store.save(line, closed(said, "newest", self.key, line))

    def load(self, request: ApprovalRequest) -> tuple[Log | None, int]:
        """Give all that happened to a request, and its version; None and 0 where nothing did."""
        place = self._place(request)
        found = self.store.load(place)
        if found is None:
            return None, 0
        return Log.read(found[0], request.digest, self.key, place), found[1]

    def save(self, log: Log, version: int) -> bool:
        """Keep what happened next; False where somebody was quicker."""
        try:
            self.store.save(self._place(log.request), log.to_bytes(), if_version=version)
        except StateConflict:
            return False
        return True

    def logs(self) -> list[Log]:
        """Give all requests with all that happened to them, oldest first."""
        start = self._where("requests", "")
        found = [(place, self.store.load(place)) for place in self.store.keys(start)]
        logs = [
            Log.read(each[0], place.removeprefix(start), self.key, place)
            for place, each in found
            if each is not None
        ]
        return sorted(logs, key=lambda log: log.events[0].at)

    def is_newest(self, request: ApprovalRequest) -> bool:
        """Tell whether nobody asked for the same action and environment since."""
        return self._opened(self._line(request), "newest").get("request") == request.digest

    def keep_gate(self, gate: str, subject: str, said: Mapping[str, Any]) -> None:
        """Keep what a gate said of a subject, over what it said before."""
        place = self._where("gates", gate, subject)
        self.store.save(place, closed(said, "gate", self.key, place))

    def gate(self, gate: str, subject: str) -> dict[str, Any]:
        """Give what a gate said of a subject; nothing where it said nothing."""
        return self._opened(self._where("gates", gate, subject), "gate")

    def _place(self, request: ApprovalRequest) -> str:
        return self._where("requests", request.digest)

    def _opened(self, place: str, kind: str) -> dict[str, Any]:
        found = self.store.load(place)
        return {} if found is None else opened(found[0], kind, self.key, place)

    def _line(self, request: ApprovalRequest) -> str:
        return self._where("newest", request.action, request.environment, request.gate or "")

    def _where(self, *words: str) -> str:
        quoted = (quote(each, safe=":", errors="surrogatepass") for each in (self.name, *words))
        return f"approvals/{'/'.join(quoted)}"
