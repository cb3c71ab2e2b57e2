"""From decisions to moves: written down before and after, verified, and each made once."""

from __future__ import annotations

import json
import math
from dataclasses import KW_ONLY, dataclass, replace
from typing import TYPE_CHECKING, Protocol

from mlguard.arguments import name_of, real, refusal
from mlguard.errors import ConfigurationError, StateConflict
from mlguard.locks import Locked
from mlguard.records import Record, inner, parsed
from mlguard.values import Action, Decision

if TYPE_CHECKING:
    from mlguard.protocols import Store

_KEPT = 100
"""Moves that the journal remembers."""

_EXACT = 1e-9
"""How far what stands may be from what was set: a float's journey through JSON or a tag."""


_ENDS: dict[str, float] = {Action.ROLLBACK: 0.0, Action.PROMOTE: 1.0}


class Actuator(Protocol):
    """What moves the traffic. Each method may be called again, and then changes nothing more.

    All of them may raise: what they raise passes through, and the move is made again.
    """

    def set_share(self, share: float) -> None:
        """Let the canary have this share of the requests, between 0 and 1."""
        ...

    def promote(self) -> None:
        """Let the canary have everything, for good."""
        ...

    def rollback(self) -> None:
        """Let the baseline have everything."""
        ...

    def standing(self) -> float:
        """Read, where it takes effect, which share the canary has: 1 promoted, 0 rolled back."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Move(Record):
    """One line of the journal. Immutable.

    Args:
        rollout: Key of the decisions of the rollout.
        share: What the canary was to get: 0 is a rollback, 1 a promotion.
        done: Whether the move was made and verified.
        reason: Of the decision.
        at: When that was taken, Unix seconds.

    Raises:
        ConfigurationError: `rollout` is empty, or the share is not between 0 and 1.
    """

    rollout: str
    share: float
    _: KW_ONLY
    done: bool = False
    reason: str = ""
    at: float | None = None

    def __post_init__(self) -> None:
        name_of("rollout", self.rollout)
        if not 0.0 <= real("share", self.share) <= 1.0:
            raise refusal("share", self.share, "between 0 and 1")

    @property
    def last(self) -> bool:
        """Whether it ends the rollout."""
        return self.share in {0.0, 1.0}

    def __str__(self) -> str:
        names = {0.0: "roll back", 1.0: "promote"}
        return names.get(self.share, f"give the canary {self.share:.3%}")


class Acting(Locked):
    """Moves traffic as a rollout decides, and keeps a journal of it.

    Thread-safe; shared through the store of its journal, for one decider at a time. Call it with
    each decision and `engine.share` after it. It goes by what the share ought to be, not by the
    moment it changed, so that a move that failed, or was missed in a crash, is made with the next
    decision. As a sink of the engine it is given the decision alone, and moves at a ROLLBACK or a
    PROMOTE; as a sink it hears of these even if a pager before it fails.

    Each move is written to the journal, made, read back, and written to the journal as done. One
    that is done is not made again. One that ended its rollout is final: no later decision under
    the same key gives traffic back to a canary that was rolled back. If the store is down nothing
    is moved but a ROLLBACK, which is made all the same, and that is raised; so keep the journal
    close, in a file say.

    Args:
        actuator: What moves the traffic.
        journal: A store. A `SqliteStore` outlives a killed process.
        name: Of the place that is moved, such as "eta/champion", the same after a restart and for
            the next candidate.

    Raises:
        ConfigurationError: An argument is not of its kind. When called, also if the decision has
            no key, or the share is not between 0 and 1.

    Examples:
        >>> from mlguard import Action, Decision, MemoryStore
        >>> from mlguard.rollout import Acting, Router, Splitter
        >>> router = Router(len, len, splitter=Splitter("eta-v7"))
        >>> act = Acting(router, journal=MemoryStore(), name="eta")
        >>> act(Decision(Action.NONE, "stage 1 of 4", key="0c1d"), 0.05)
        >>> router.standing()
        0.05
        >>> act(Decision(Action.ROLLBACK, "errors: 8 of 100", key="0c1d"))
        >>> router.standing(), [str(move) for move in act.moves]
        (0.0, ['give the canary 5.000%', 'roll back'])
    """

    __slots__ = ("_place", "actuator", "journal", "name")

    def __init__(self, actuator: Actuator, *, journal: Store, name: str) -> None:
        super().__init__()
        for method in ("set_share", "promote", "rollback", "standing"):
            if not callable(getattr(actuator, method, None)):
                raise refusal("actuator", actuator, f"an Actuator, and it has no {method}()")
        for method in ("load", "save"):
            if not callable(getattr(journal, method, None)):
                raise refusal("journal", journal, "a store, such as SqliteStore(path)")
        self.actuator = actuator
        self.journal = journal
        self.name = name_of("name", name)
        self._place = f"acting/{self.name}"

    @property
    def moves(self) -> tuple[Move, ...]:
        """The last moves, oldest first, as the journal has them."""
        return self._read()[0]

    def __call__(self, decision: Decision, share: float = math.nan) -> None:
        """Move the traffic, if it is not where it ought to be.

        Args:
            decision: What the engine decided.
            share: `engine.share` after it; NaN where something else moves the traffic, and then
                only a ROLLBACK and a PROMOTE are acted upon.

        Raises:
            StateConflict: What stands after a move is not what was to stand; or the rollout ended
                otherwise before; or another decider moves here. The message names both.
        """
        if not isinstance(decision, Decision):
            raise refusal("decision", decision, "a Decision")
        wanted = _ENDS.get(decision.action, real("share", share))
        if math.isnan(wanted):
            return
        key = name_of("decision.key", decision.key)
        move = Move(key, wanted, reason=decision.reason, at=decision.at)
        with self._lock:  # held while the actuator moves: two moves at a time have no order
            try:
                moves, version, ended = self._noted(move)
            except StateConflict:
                raise
            except Exception:
                if decision.action is Action.ROLLBACK:
                    self.actuator.rollback()  # which no lost journal may hold up
                raise
            if moves[-1].rollout == key and not moves[-1].done:
                self._make(moves, version)
                moves = (*moves[:-1], replace(moves[-1], done=True))
            if ended is not None and ended.share != wanted:
                raise self._conflict(move, f"it ended: to {ended}, says the journal")
            if moves[-1].rollout == key and not self._stands(moves[-1]):
                if moves[-1].last:  # over, so what somebody moved since then is theirs
                    raise self._conflict(move, "something else stands: resume() sets it again")
                self._make(moves, version)

    def resume(self) -> None:
        """Finish what a crash interrupted, and set again what a restart forgot, at once.

        Raises:
            StateConflict: As when called.
        """
        with self._lock:
            moves, version = self._read()
            if moves and not (moves[-1].done and self._stands(moves[-1])):
                self._make(moves, version)

    def _noted(self, move: Move) -> tuple[tuple[Move, ...], int, Move | None]:
        """Write a new move down; give the journal, and the move that ended this rollout before."""
        moves, version = self._read()
        of_this = (each for each in moves if each.rollout == move.rollout)
        ended = next((each for each in of_this if each.last), None)
        if ended is None:
            self._refuse_late(moves, move)
            if not moves or (moves[-1].rollout, moves[-1].share) != (move.rollout, move.share):
                moves = (*moves, move)
                version = self._write(moves, version)
        return moves, version, ended

    def _refuse_late(self, moves: tuple[Move, ...], move: Move) -> None:
        """Refuse a rollout whose place another has taken, or that comes before another is done."""
        if not moves or (last := moves[-1]).rollout == move.rollout:
            return
        if any(each.rollout == move.rollout for each in moves):
            raise self._conflict(move, f"rollout {last.rollout} has taken its place")
        if last.last and not last.done:
            unfinished = f"rollout {last.rollout} was to {last}, which was not done: call resume()"
            raise self._conflict(move, unfinished)

    def _conflict(self, move: Move, why: str) -> StateConflict:
        return StateConflict(f"{self.name}: rollout {move.rollout} is to {move}, but {why}")

    def _stands(self, move: Move) -> bool:
        found = real("standing()", self.actuator.standing())
        return math.isclose(found, move.share, rel_tol=0.0, abs_tol=_EXACT)

    def _make(self, moves: tuple[Move, ...], version: int) -> None:
        """Make the last move, see that it stands, and write that down."""
        move = moves[-1]
        if move.share == 0.0:
            self.actuator.rollback()
        elif move.share == 1.0:
            self.actuator.promote()
        else:
            self.actuator.set_share(move.share)
        found = real("standing()", self.actuator.standing())
        if not math.isclose(found, move.share, rel_tol=0.0, abs_tol=_EXACT):
            raise StateConflict(
                f"{self.name}: the canary was to have {move.share:.3%} of the requests, and it has "
                f"{found:.3%}"
            )
        self._write((*moves[:-1], replace(move, done=True)), version)

    def _read(self) -> tuple[tuple[Move, ...], int]:
        found = self.journal.load(self._place)
        if found is None:
            return (), 0
        try:
            record = parsed(found[0].decode(errors="replace"), "moves")
            return tuple(Move.from_dict(each) for each in inner(record, "moves")), found[1]
        except ConfigurationError as error:
            raise ConfigurationError(f"{self._place!r} in the store: {error}") from error

    def _write(self, moves: tuple[Move, ...], version: int) -> int:
        lines = [each.to_dict() for each in moves[-_KEPT:]]
        data = json.dumps({"kind": "moves", "schema": 1, "moves": lines}, allow_nan=False)
        return self.journal.save(self._place, data.encode(), if_version=version)

    def __repr__(self) -> str:
        return f"<Acting on {self.name}>"
