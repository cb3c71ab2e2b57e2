"""Approvals that mean these bytes: asked for, voted on, and looked at again when they are used."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from mlguard.arguments import instances, name_of, refusal
from mlguard.checks import crashed
from mlguard.clocks import unix_clock
from mlguard.errors import ConfigurationError
from mlguard.governance.digests import digest_of
from mlguard.governance.events import Event, Log
from mlguard.governance.kept import Kept
from mlguard.governance.requests import ApprovalRequest, Principal, Quorum
from mlguard.governance.standing import Standing, fitting, judged, passing, verdict_of
from mlguard.records import library_version
from mlguard.values import Severity, Verdict

if TYPE_CHECKING:
    from mlguard.protocols import Clock, Store

Authenticate: TypeAlias = Callable[[Any], Principal | None]
"""Tells who brought a credential; None, or an exception, where it is nobody's."""

_logger = logging.getLogger("mlguard")
_LEAST_KEY = 16


class Approvals:
    """Requests and votes for one thing, such as a model, in a store.

    Thread-safe, if the store and `authenticate` are; shared through the store, in which voters of
    many processes lose no vote. Nothing is ever deleted.

    A request is for exactly its digests, action and environment. It ends by a rejection, by its
    expiry, when it is revoked or used up, and when somebody asks for the same action in the same
    environment anew: a model that was trained again needs votes of its own.

    **Who votes** is what `authenticate` makes of the credential that comes with each call, and no
    payload says. The credential is not kept. **What is in the store** was put there by whoever can
    write to it: without a `key` they can vote for anybody. With one, each event is sealed (HMAC)
    together with all before it, and a forged principal, an edit, and an event that was put in or
    taken out from between are found: the request is a BREACH from then on. An older copy of the
    whole state that somebody puts back is not, as where a vote, a revocation or a use at the end is
    missing then; the events in `record` show it. Who has the key can forge, so only the process
    that authenticates should.

    Args:
        name: Of the thing, the same in all processes.
        store: Where requests and votes are kept.
        authenticate: Takes a credential and gives the `Principal` who brought it.
        quorum: Who must approve.
        key: At least 16 secret bytes, the same in all processes. With another one, everything must
            be approved anew.
        record: Takes each event as a mapping of plain JSON, after it is in the store: `append` of a
            ledger. What it raises passes through, and the event counts nevertheless.
        clock: Of Unix seconds; `mlguard.clocks.unix_clock()` when not given.

    Raises:
        ConfigurationError: An argument is not of its kind.

    Examples:
        >>> from mlguard import MemoryStore
        >>> people = {"t1": Principal("ada", ("risk",)), "t2": Principal("cy")}
        >>> approvals = Approvals(
        ...     "eta",
        ...     MemoryStore(),
        ...     authenticate=people.get,
        ...     quorum=Quorum(1, roles=("risk",)),
        ...     clock=lambda: 1_900_000_000,
        ... )
        >>> request = ApprovalRequest(
        ...     subject_digest="sha256:5e",
        ...     action="deploy",
        ...     environment="production",
        ...     policy_digest="json:0c",
        ...     evidence_digest="sha256:1d",
        ...     requester="cy",
        ...     expires=2_000_000_000,
        ... )
        >>> print(approvals.submit(request, "t2"))
        UNKNOWN approval of deploy environment=production ... pending: 1 more vote, for risk
        >>> approvals.approve(request, "t1").severity.name
        'OK'
        >>> now = {"action": "deploy", "environment": "production", "policy_digest": "json:0c"}
        >>> approvals.use(request, subject_digest="sha256:5e", **now).ok
        True
        >>> approvals.use(request, subject_digest="sha256:77", **now)
        Traceback (most recent call last):
        mlguard.errors.GuardBreached: BREACH  approval of deploy ...: ... is sha256:77, ...
    """

    __slots__ = ("_kept", "authenticate", "clock", "name", "quorum", "record")

    def __init__(
        self,
        name: str,
        store: Store,
        *,
        authenticate: Authenticate,
        quorum: Quorum,
        key: bytes | None = None,
        record: Callable[[Mapping[str, Any]], object] | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.name = name_of("name", name)
        if not callable(authenticate):
            raise refusal("authenticate", authenticate, "a callable that takes a credential")
        self.authenticate = authenticate
        if not isinstance(quorum, Quorum):
            raise refusal("quorum", quorum, "a Quorum")
        self.quorum = quorum
        if key is not None and (not isinstance(key, bytes) or len(key) < _LEAST_KEY):
            raise ConfigurationError(f"key: must be at least {_LEAST_KEY} bytes, or None")
        self._kept = Kept(self.name, store, key)
        self.record = record
        self.clock: Clock = clock or unix_clock()

    def submit(self, request: ApprovalRequest, credential: object) -> Verdict:
        """Ask for something, in the name of who brings the credential.

        What was asked for before, of the same action, environment and gate, is superseded by it.

        Raises:
            ConfigurationError: It is somebody else's request, has expired, or was asked for before.
        """
        who = self._principal(credential)
        if who.name != _request(request).requester:
            raise refusal("requester", request.requester, f"who brings the credential: {who.name}")
        if (now := self.clock()) >= request.expires:
            raise refusal("expires", request.expires, f"after now, {now}")
        event = Event.by(who, "submit", now)
        log = self._kept.then(Log(request), event)
        self._kept.begin(log)
        return self._told(log, event)

    def approve(self, request: ApprovalRequest, credential: object, *, reason: str = "") -> Verdict:
        """Vote for it; another vote of the same principal replaces it.

        Raises:
            ConfigurationError: The credential is nobody's, who asks has no vote, or the request is
                over.
        """
        return self._happens("approve", request, credential, reason)

    def reject(self, request: ApprovalRequest, credential: object, *, reason: str) -> Verdict:
        """Vote against it. One such vote is enough, as long as it stands.

        Raises:
            ConfigurationError: As `approve`, or there is no reason.
        """
        return self._happens("reject", request, credential, name_of("reason", reason))

    def withdraw(self, request: ApprovalRequest, credential: object, *, reason: str) -> Verdict:
        """Take a vote back; only the principal whose it is can.

        Raises:
            ConfigurationError: As `reject`, or there is none.
        """
        return self._happens("withdraw", request, credential, name_of("reason", reason))

    def revoke(self, request: ApprovalRequest, credential: object, *, reason: str) -> Verdict:
        """End it for good; every principal can.

        Raises:
            ConfigurationError: As `reject`.
        """
        return self._happens("revoke", request, credential, name_of("reason", reason))

    def break_glass(self, request: ApprovalRequest, credential: object, *, reason: str) -> Verdict:
        """Go without the votes that are missing; every principal can, who asks too.

        It stands for missing votes and nothing else: a rejection, the expiry and the digests hold.
        It is logged as an error, and its review is open until somebody else closes it: see
        `reviewed`.

        Raises:
            ConfigurationError: As `reject`, or it was rejected.
        """
        words = name_of("reason", reason)
        verdict = self._happens("break glass", request, credential, words)
        _logger.error("glass was broken for %s: %s", request, verdict.reason)
        return verdict

    def review(self, request: ApprovalRequest, credential: object, *, reason: str) -> Verdict:
        """Close the review of a broken glass, also when the request is long over.

        Raises:
            ConfigurationError: No review is open, there is no reason, or it is who broke the glass
                or who asked.
        """
        return self._happens("review", request, credential, name_of("reason", reason))

    def reviewed(self) -> Verdict:
        """Warn while the review of a broken glass is open: a check."""
        name = f"reviews of {self.name}"
        try:
            standing = [Standing.of(log) for log in self._kept.logs()]
        except Exception as error:  # noqa: BLE001 -- a store may fail in any way
            return crashed(name, error)
        waiting = [each.glass for each in standing if each.glass and not each.review]
        if waiting:
            return Verdict(name, Severity.WARN, f"open: {'; '.join(map(str, waiting))}")
        return Verdict(name, Severity.OK, "none is open")

    def gate_said(self, verdict: Verdict, *, subject_digest: str, policy_digest: str) -> None:
        """Keep what a gate said of a subject, for a standing approval; the newest counts.

        Args:
            verdict: Of the gate; its name is that of the gate.
            subject_digest: Of the subject that was judged.
            policy_digest: Of the requirements that it was judged by.

        Raises:
            ConfigurationError: An argument is not of its kind.
        """
        instances((Verdict,), "verdict", [verdict])
        said = {
            "subject_digest": digest_of("subject_digest", subject_digest),
            "policy_digest": digest_of("policy_digest", policy_digest),
            "outcome": verdict.severity.name,
            "reason": verdict.reason,
            "at": self.clock(),
        }
        self._kept.keep_gate(verdict.name, subject_digest, said)
        self._record({"what": "gate", "gate": verdict.name, **said})

    def use(
        self,
        request: ApprovalRequest,
        *,
        action: str,
        subject_digest: str,
        policy_digest: str,
        environment: str,
        consume: bool = False,
    ) -> Verdict:
        """Look again, right before the action, and give the verdict; raise unless it is OK.

        Args:
            request: What was approved.
            action: What is about to be done.
            subject_digest: Of what is about to go out, taken from its bytes now.
            policy_digest: Of the requirements now.
            environment: Where it goes.
            consume: Whether it is used up by this: of many who try at once, one passes.

        Raises:
            GuardBreached: It was rejected, is over, or is of something else.
            GuardUnknown: Votes are missing, or nobody asked.
        """
        given = {"action": action, "environment": environment}
        given |= {"policy_digest": policy_digest, "subject_digest": subject_digest}
        while True:
            verdict, log, version = self._verdict(_request(request), given)
            used = Event("use", at=self.clock())
            consumes = consume and log is not None and verdict.ok
            if log is None or not consumes or self._kept.save(self._kept.then(log, used), version):
                self._recorded(request, used, verdict, consumed=consumes, now=given)
                return verdict.raise_for_breach()

    def verdict(self, request: ApprovalRequest, *, now: Mapping[str, str] | None = None) -> Verdict:
        """Judge where a request stands; `approved` makes a check of it.

        Args:
            request: What was asked for.
            now: What is about to be done, as the arguments of `use`; compared with it where given.
        """
        return self._verdict(_request(request), now)[0]

    def history(self, request: ApprovalRequest) -> tuple[Event, ...]:
        """Give all that happened to a request, oldest first.

        Raises:
            ConfigurationError: What is in the store was not written there with this key.
        """
        log, _ = self._kept.load(_request(request))
        return () if log is None else log.events

    def requests(self) -> list[ApprovalRequest]:
        """Give all requests that were ever submitted, oldest first.

        Raises:
            ConfigurationError: As `history`.
        """
        return [log.request for log in self._kept.logs()]

    def _happens(
        self, what: str, request: ApprovalRequest, credential: object, reason: str
    ) -> Verdict:
        who = self._principal(credential)
        while True:
            log, version = self._kept.load(_request(request))
            if log is None:
                raise refusal("request", request.digest, "submitted first")
            now = self.clock()
            refused = Standing.of(log).refuses(what, who.name, request)
            if not refused and what != "review":
                refused = self._ended(request, now)
            if refused:
                raise ConfigurationError(f"{what} by {who.name}: {refused}")
            event = Event.by(who, what, now, reason)
            after = self._kept.then(log, event)
            if self._kept.save(after, version):
                return self._told(after, event)

    def _ended(self, request: ApprovalRequest, now: float) -> str:
        if now >= request.expires:
            return "the request has expired"
        return "" if self._kept.is_newest(request) else "the request was superseded"

    def _verdict(
        self, request: ApprovalRequest, now: Mapping[str, str] | None = None
    ) -> tuple[Verdict, Log | None, int]:
        try:
            log, version = self._kept.load(request)
            current = self._kept.is_newest(request)
        except ConfigurationError as error:
            return verdict_of(request, Severity.BREACH, f"forged: {error}"), None, 0
        if log is None:
            return verdict_of(request, Severity.UNKNOWN, "nobody asked for it"), None, 0
        verdict = judged(log, self.quorum, self.clock(), current=current)
        differs = self._fits(request, now) if now is not None and verdict.ok else None
        return verdict if differs is None else differs, log, version

    def _fits(self, request: ApprovalRequest, now: Mapping[str, str]) -> Verdict | None:
        """Compare what is about to be done with what was approved; None where it is the same."""
        differs = fitting(request, now)
        if differs is not None or request.gate is None:
            return differs
        subject = digest_of("subject_digest", now["subject_digest"])
        try:
            said = self._kept.gate(request.gate, subject)
        except ConfigurationError as error:
            return verdict_of(request, Severity.BREACH, f"forged: {error}")
        return passing(request, subject, said)

    def _principal(self, credential: object) -> Principal:
        who = self.authenticate(credential)
        if not isinstance(who, Principal):  # and not a word of the credential, which is a secret
            raise ConfigurationError("credential: authenticate() knows nobody by it")
        return who

    def _told(self, log: Log, event: Event) -> Verdict:
        verdict = self.verdict(log.request)
        self._recorded(log.request, event, verdict)
        return verdict

    def _recorded(
        self, request: ApprovalRequest, event: Event, verdict: Verdict, **further: Any
    ) -> None:
        happened = {**event.to_dict(), "outcome": verdict.severity.name}
        asked = {"request": request.to_dict(), "request_digest": request.digest}
        self._record({**happened, "because": verdict.reason, **further, **asked})

    def _record(self, facts: Mapping[str, Any]) -> None:
        if self.record is not None:
            about = {"kind": "approval", "name": self.name, "version": library_version()}
            self.record({**facts, **about})


def _request(request: ApprovalRequest) -> ApprovalRequest:
    if not isinstance(request, ApprovalRequest):
        raise refusal("request", request, "an ApprovalRequest")
    return request
