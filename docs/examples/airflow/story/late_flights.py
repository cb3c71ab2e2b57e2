"""What the tasks of the story do: flights, models in a folder, and who may promote one of them.

The time is that of the flights, kept in the store: each turn of the canary lets an hour go by. Yours is the system's clock,
your flights come from the warehouse, and your models from a registry. `data` and `models` are those of the demo.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

import data
import models
from mlguard import (
    ApprovalRequest,
    Approvals,
    Decision,
    Guards,
    Ledger,
    Principal,
    Reference,
    Requirements,
    Severity,
    Splitter,
    SqliteStore,
    Verdict,
    approved,
    checkout,
)
from mlguard.governance import digest_json, digest_path
from mlguard.performance import compare, evaluate

if TYPE_CHECKING:
    import pandas as pd

HERE = Path(__file__).parent
FOLDER = HERE / "late-flights"
START = datetime(2013, 7, 1, tzinfo=UTC).timestamp()
HOUR = 3_600.0
LIKELY = 0.5
EVERY = HOUR
"""How often the canary is looked at, in seconds."""
PEOPLE = {
    "ada’s token": Principal("ada", ("risk",)),
    "bo’s token": Principal("bo", ("platform",)),
    "the pipeline’s token": Principal("pipeline"),
}
"""Who brings which credential: an authenticator of yours says so."""


class House(NamedTuple):
    """What all tasks work with: it hangs from production.yaml."""

    guards: Guards
    desk: Approvals
    store: SqliteStore
    ledger: Ledger


@contextmanager
def opened() -> Iterator[House]:
    """Open the store and the ledger, and build the guards for the model that is in service."""
    wanted = Requirements.load(HERE / "production.yaml")
    with closing(SqliteStore(FOLDER / "state.db")) as store:

        def clock() -> float:
            return float(remembered(store, "now") or START)

        with Ledger(FOLDER / "ledger.jsonl", clock=clock) as ledger:
            known = FOLDER / remembered(store, "champion") / "reference.json"
            reference = Reference.from_json(known.read_text("utf-8"))
            guards = Guards.build(
                wanted, reference=reference, store=store, ledger=ledger, clock=clock
            )
            desk = guards.approvals("production", authenticate=PEOPLE.get)
            yield House(guards, desk, store, ledger)


def remembered(store: SqliteStore, key: str) -> str:
    """Read what was noted under a key, or nothing."""
    found = store.load(key)
    return "" if found is None else found[0].decode()


@cache
def flights() -> pd.DataFrame:
    """Read the flights of the year, with the departure board of an hour before each."""
    rows = data.load()
    return models.join_feed(rows, data.delay_feed(rows))


def of(*months: int) -> pd.DataFrame:
    """Give the flights of some months."""
    rows = flights()
    return rows[rows["month"].isin(months)].reset_index(drop=True)


def save(name: str, model: models.Model, seen: pd.DataFrame) -> None:
    """Save a model, and beside it the reference of what it was trained on."""
    folder = FOLDER / name
    folder.mkdir(parents=True)
    (folder / "model.pickle").write_bytes(pickle.dumps(model))
    reference = Reference.fit(seen[models.LIVE])
    (folder / "reference.json").write_text(reference.to_json(), encoding="utf-8")


@cache
def loaded(folder: Path, digest: str) -> models.Model:
    """Load a model, of which these bytes are known to be the right ones."""
    if digest_path(folder) != digest:
        raise RuntimeError(f"{folder.name} is not {digest} any more")
    model: models.Model = pickle.loads((folder / "model.pickle").read_bytes())  # noqa: S301 -- its digest is known
    return model


def begin() -> None:
    """Put the first champion into service, once: it was trained on January to March."""
    seen = of(1, 2, 3)
    save("march", models.train_champion(seen), seen)
    with closing(SqliteStore(FOLDER / "state.db")) as store:
        store.save("champion", b"march")


def responses() -> list[Decision]:
    """Compare June with what the champion was trained on, and decide what is done about it."""
    with opened() as house:
        drift = house.guards.drift
        if drift is None:
            raise LookupError("production.yaml asks for no drift")
        drift.profile.observe_many(of(6)[models.LIVE])
        verdicts = house.guards.verdicts()
        for verdict in verdicts:
            house.ledger.append(verdict)
        with checkout(house.store, "responses", lambda: house.guards) as guards:
            decisions = guards.decide(*verdicts)
    return decisions


def retrain() -> str:
    """Train a candidate on January to May."""
    seen = of(1, 2, 3, 4, 5)
    save("may", models.train_candidate(seen), seen)
    return "may"


def gate(candidate: str) -> Verdict:
    """Judge a candidate beside the champion on June, which neither has seen."""
    exam = of(6)
    late, day = exam["late"].to_numpy(), exam["due"].to_numpy() // 1440
    with opened() as house:
        old, new = (
            loaded(FOLDER / name, digest_path(FOLDER / name)).predict(exam)
            for name in (remembered(house.store, "champion"), candidate)
        )
        verdict = house.guards.gate(
            achieved=evaluate(late, new, loss="roc_auc", cluster=day).overall,
            change=compare(late, old, new, loss="roc_auc", cluster=day).overall,
        )()
        house.ledger.append(verdict)
    return verdict


def ask(candidate: str, found: Verdict) -> None:
    """Ask for an approval: of these bytes, on this evidence."""
    with opened() as house:
        request = ApprovalRequest(
            subject_digest=digest_path(FOLDER / candidate),
            action="promote",
            environment="production",
            policy_digest=house.guards.requirements.digest,
            evidence_digest=digest_json(found),
            requester="pipeline",
            expires=house.desk.clock() + 30 * 24 * HOUR,
        )
        house.store.save("candidate", candidate.encode())
        house.desk.submit(request, "the pipeline’s token")


def approval() -> Verdict:
    """Judge whether the candidate may go out."""
    with opened() as house:
        if not remembered(house.store, "candidate"):
            return Verdict("approval", Severity.UNKNOWN, "no candidate waits")
        return house.desk.verdict(house.desk.requests()[-1])


def turn() -> str:
    """Let an hour of flights go by, each to one arm; decide, and say where the rollout stands."""
    with opened() as house:
        request = house.desk.requests()[-1]
        folder = FOLDER / remembered(house.store, "candidate")
        champion = FOLDER / remembered(house.store, "champion")
        arms = {
            "canary": loaded(folder, str(request.subject_digest)),
            "baseline": loaded(champion, digest_path(champion)),
        }
        subject = {"version": folder.name}
        with checkout(
            house.store,
            f"rollout of {folder.name}",
            lambda: house.guards.rollout(
                subject,
                approval=approved(request, house.desk),
                subject_digest=digest_path(folder),
            ),
        ) as engine:
            now = house.desk.clock()
            first, last = np.searchsorted(flights()["due"], [now / 60, (now + HOUR) / 60])
            rows = flights()[first:last]
            place = np.array([Splitter(folder.name).place(flight) for flight in rows.index])
            for arm, model in arms.items():
                mine = rows[(place < engine.share) == (arm == "canary")]
                engine.observe(arm, requests=len(mine), events=events(model, mine))  # type: ignore[arg-type]
            house.store.save("now", repr(now + HOUR).encode())
            engine.decide()
            return engine.phase


def events(model: models.Model, rows: pd.DataFrame) -> dict[str, int]:
    """Count the answers that were wrong, and those that were given without the departure board."""
    if rows.empty:
        return {"wrong": 0, "no board": 0}
    with threadpool_limits(1, user_api="openmp"):  # a few rows: threads would wait for each other
        said_late = model.predict(rows) >= LIKELY
    return {
        "wrong": int((said_late != rows["late"]).sum()),
        "no board": int(rows[data.FEED].isna().all(axis=1).sum()),
    }


def promote() -> None:
    """Put the candidate into service: the votes are used up by it."""
    with opened() as house:
        folder = FOLDER / remembered(house.store, "candidate")
        house.desk.use(
            house.desk.requests()[-1],
            action="promote",
            environment="production",
            policy_digest=house.guards.requirements.digest,
            subject_digest=digest_path(folder),
            consume=True,
        )
        house.store.save("champion", folder.name.encode())
        house.store.delete("candidate")


def take_back() -> None:
    """Leave the champion where it is: the candidate waits no longer."""
    with opened() as house:
        house.store.delete("candidate")
