"""What happened to a request, as it is kept in a store: sealed, each event with all before it."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, replace
from typing import Any, Self

from mlguard.arguments import moment, refusal
from mlguard.governance.digests import canonical
from mlguard.governance.requests import ApprovalRequest, Principal
from mlguard.records import Record, inner, iso, parsed


@dataclass(frozen=True, slots=True, eq=False)
class Event(Record):
    """One thing that happened to a request. Immutable.

    Attributes:
        what: "submit", "approve", "reject", "withdraw", "revoke", "break glass", "review", "use".
        who: Name of the principal; empty for a use.
        roles: What they spoke for then.
        at: When, in Unix seconds.
        reason: In their words.
        seal: Of this event and all before it; empty without a key.
    """

    what: str
    _: KW_ONLY
    who: str = ""
    roles: tuple[str, ...] = ()
    at: float
    reason: str = ""
    seal: str = ""

    def __post_init__(self) -> None:
        for name in ("what", "who", "reason", "seal"):
            if not isinstance(getattr(self, name), str):
                raise refusal(name, getattr(self, name), "a string")
        object.__setattr__(self, "roles", Principal("?", self.roles).roles)
        object.__setattr__(self, "at", moment("at", self.at))

    @classmethod
    def by(cls, who: Principal, what: str, at: float, reason: str = "") -> Event:
        """Make an event of what somebody does."""
        return cls(what, who=who.name, roles=tuple(who.roles), at=at, reason=reason)

    def __str__(self) -> str:
        who = f" by {Principal(self.who, self.roles)}" if self.who else ""
        return f"{self.what}{who} on {iso(self.at)}" + (f": {self.reason}" if self.reason else "")


@dataclass(frozen=True, slots=True)
class Log:
    """What is in the store of one request: what was asked, and all that happened since. Immutable.

    Attributes:
        request: What was asked.
        events: All of them, oldest first.
    """

    request: ApprovalRequest
    events: tuple[Event, ...] = ()

    def then(self, event: Event, key: bytes | None, place: str) -> Self:
        """Add an event, sealed with the key together with all before it."""
        return replace(
            self, events=(*self.events, replace(event, seal=self._seal(event, key, place)))
        )

    def _seal(self, event: Event, key: bytes | None, place: str) -> str:
        before = self.events[-1].seal if self.events else ""
        return seal(key, place, before, replace(event, seal=""))

    def to_bytes(self) -> bytes:
        """Write it for a store."""
        record = {"request": self.request, "events": self.events}
        return canonical({"kind": "approval", "schema": 1, **record})

    @classmethod
    def read(cls, data: bytes, request: str, key: bytes | None, place: str) -> Self:
        """Read what `to_bytes` wrote, and look at every seal.

        Args:
            data: From the store.
            request: Digest that the request must have.
            key: Of the seals.
            place: Where it was kept.

        Raises:
            ConfigurationError: It is not what was written there by somebody with the key.
        """
        record = parsed(data.decode(errors="replace"), "approval")
        asked = record.get("request")
        log = cls(ApprovalRequest.from_dict(asked if isinstance(asked, Mapping) else {}))
        if log.request.digest != request:
            raise refusal("request", log.request.digest, f"that of {place}")
        for each in inner(record, "events"):
            event = Event.from_dict(each)
            if key is not None and not _same(event.seal, log._seal(event, key, place)):
                raise refusal("seal", str(event), "of this key: it was not written with it")
            log = replace(log, events=(*log.events, event))
        if not log.events:
            raise refusal("events", [], "at least that it was submitted")
        return log


def seal(key: bytes | None, place: str, *parts: Any) -> str:
    """Seal plain JSON at its place in the store with a key; nothing without one."""
    if key is None:
        return ""
    return hmac.new(key, canonical([place, *parts]), hashlib.sha256).hexdigest()


def opened(data: bytes, kind: str, key: bytes | None, place: str) -> dict[str, Any]:
    """Read a single sealed record, as `closed` wrote it.

    Raises:
        ConfigurationError: It is not what was written there by somebody with the key.
    """
    record = parsed(data.decode(errors="replace"), kind)
    given = str(record.pop("seal", ""))
    if key is not None and not _same(given, seal(key, place, record)):
        raise refusal("seal", given, f"of this key: {place} was not written with it")
    return record


def closed(record: Mapping[str, Any], kind: str, key: bytes | None, place: str) -> bytes:
    """Write a single record with its seal."""
    whole = {"kind": kind, "schema": 1, **record}
    return canonical({**whole, "seal": seal(key, place, whole)})


def _same(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode(errors="replace"), wanted.encode())
