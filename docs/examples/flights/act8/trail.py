"""The story as a ledger, the approval of the promotion, and copies that somebody changed."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import record
from gate import release_gate
from mlguard import ConfigurationError, GuardBreached, Guards, Ledger, MemoryStore, approved
from mlguard.performance import evaluate
from mlguard.testing import ManualClock
from production import WANTED

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from mlguard import ApprovalRequest, Approvals, Verdict
    from mlguard.governance import Document, Verification
    from models import Model
    from story import Chapter, Story
    from terminal import Screen

MINUTE: Final = 60.0


@dataclass(frozen=True, slots=True)
class Step:
    """Who tried what with the approval, and what came of it."""

    who: str
    what: str
    passed: bool
    told: str


@dataclass(frozen=True, slots=True)
class Tampered:
    """A copy that somebody changed: whether it still looks intact, without an anchor and with one."""

    what: str
    chain: bool
    anchored: bool
    told: str


@dataclass(frozen=True, slots=True)
class Trail:
    """What is on record."""

    steps: tuple[Step, ...]
    found: Verification
    anchor: str
    tampered: tuple[Tampered, ...]
    card: Document
    book: Document


def keep(story: Story, chapters: Sequence[Chapter], folder: Path, screen: Screen) -> Trail:
    """Write everything down, and look what changes of it are found."""
    with screen.steps(3) as step:
        place = folder / "ledger"
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        clock = ManualClock(record.NOW)
        ledger = Ledger(place / "late-flights.jsonl", clock=clock)
        with step("Putting the story on record"):
            for chapter in chapters:
                for each in (*chapter.verdicts.values(), *chapter.decisions):
                    ledger.append(each)
        with step("Asking two people"):
            origin = story.exam["origin"].to_numpy()
            better = story.candidate.predict(story.exam)
            champion = story.champion.predict(story.exam)
            guards = Guards.build(
                WANTED,
                reference=story.reference,
                store=MemoryStore(),
                ledger=ledger,
                clock=clock,
            )
            evidence = release_gate(
                story.late, champion, better, guards=guards, origin=origin, day=story.day
            )()
            request = record.request(story.candidate, evidence)
            desk = record.desk(guards)
            steps = _ask(story, desk, request, clock)
            digests = {"model": record.digest_of(story.candidate), "requirements": WANTED.digest}
            metrics = [
                evaluate(story.late, better, loss=loss, by={"origin": origin}, cluster=story.day)
                for loss in ("roc_auc", "log_loss")
            ]
            card = record.card(digests, metrics, approved(request, desk))
            book = record.book(digests)
            for document, name in ((card, "model-card"), (book, "runbook")):
                (folder / f"{name}.md").write_text(document, encoding="utf-8")
        with step("Changing copies of the record"):
            anchor = ledger.anchor()
            found = ledger.verify(anchor=anchor)
            ledger.close()
            tampered = tuple(_changed(place, anchor))
    return Trail(steps, found, anchor, tampered, card, book)


def _ask(
    story: Story, desk: Approvals, request: ApprovalRequest, clock: ManualClock
) -> tuple[Step, ...]:
    def promote(model: Model, *, consume: bool = False) -> Verdict:
        return desk.use(
            request,
            action="promote",
            environment="production",
            policy_digest=WANTED.digest,
            subject_digest=record.digest_of(model),
            consume=consume,
        )

    tries: list[tuple[str, str, Callable[[], Verdict]]] = [
        ("cy", "asks", lambda: desk.submit(request, "cy’s token")),
        ("cy", "votes", lambda: desk.approve(request, "cy’s token")),
        ("ada", "votes", lambda: desk.approve(request, "ada’s token", reason="slices are fine")),
        ("bo", "votes", lambda: desk.approve(request, "bo’s token", reason="roll back was tried")),
        ("somebody", "promotes other bytes", lambda: promote(story.champion)),
        ("the pipeline", "promotes", lambda: promote(story.candidate, consume=True)),
        ("the pipeline", "promotes again", lambda: promote(story.candidate)),
    ]
    steps = []
    for who, what, attempt in tries:
        clock.advance(MINUTE)
        try:
            told, passed = attempt().reason, True
        except GuardBreached as error:
            told, passed = error.verdict.reason, False
        except ConfigurationError as error:
            told, passed = str(error), False
        steps.append(Step(who, what, passed, told))
    return tuple(steps)


def _changed(place: Path, anchor: str) -> list[Tampered]:
    """Change copies of the ledger, each in another way, and verify them."""
    lines = (place / "late-flights.jsonl").read_bytes().splitlines(keepends=True)
    broken = next(at for at, line in enumerate(lines) if b'"broken"' in line)
    copies = {
        "one word edited": [
            line.replace(b"ROLLBACK", b"PROMOTE").replace(b"BREACH", b"OK", 1) for line in lines
        ],
        "the broken candidate’s record taken out": lines[:broken] + lines[broken + 1 :],
        "two records swapped": [lines[0], lines[2], lines[1], *lines[3:]],
        "the last record cut off": lines[:-1],
        "begun anew, without the past": lines[:1],
    }
    found = []
    for number, (what, content) in enumerate(copies.items(), start=1):
        copy = place / f"copy-{number}.jsonl"
        copy.write_bytes(b"".join(content))
        with Ledger(copy) as ledger:
            chain, anchored = ledger.verify(), ledger.verify(anchor=anchor)
        found.append(Tampered(what, chain.intact, anchored.intact, anchored.reason))
    return found
