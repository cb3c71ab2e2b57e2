"""Promotion and rollback by an alias, against a real registry of the real MLflow in SQLite."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mlguard import (
    Action,
    ConfigurationError,
    Decision,
    GuardBreached,
    GuardUnknown,
    MemoryStore,
    MissingDependencyError,
    Severity,
    StateConflict,
    Verdict,
)
from mlguard.integrations.mlflow import MlflowAlias
from mlguard.rollout import Acting

if TYPE_CHECKING:
    from collections.abc import Callable

# MLflow and what it stands on warn of each other's ways.
pytestmark = pytest.mark.filterwarnings("ignore")

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "mlflow" / "release.py"
NAMES = count()


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    for needed in ("mlflow", "sqlalchemy", "alembic"):
        pytest.importorskip(needed, reason=f"{needed} is not installed: `make integrations` has it")
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/registry.db"


@pytest.fixture
def registry(uri: str, tmp_path: Path) -> tuple[Any, str]:
    """A client, and a model with nine versions of which the sixth is the champion."""
    from mlflow import MlflowClient

    client, model = MlflowClient(tracking_uri=uri, registry_uri=uri), f"eta-{next(NAMES)}"
    client.create_registered_model(model)
    for _ in range(9):
        client.create_model_version(model, str(tmp_path), run_id=None)
    client.set_registered_model_alias(model, "champion", "6")
    return client, model


def champion(registry: tuple[Any, str]) -> str:
    client, model = registry
    return str(client.get_model_version_by_alias(model, "champion").version)


def alias(registry: tuple[Any, str], client: Any = None) -> MlflowAlias:
    return MlflowAlias(client or registry[0], registry[1], canary=7, baseline="6")


@dataclass
class Meddler:
    """The client of a registry in which somebody else moves the alias, before or after we do."""

    client: Any
    before: Callable[[], object] = lambda: None
    after: Callable[[], object] = lambda: None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.client, name)

    def set_registered_model_alias(self, *arguments: str) -> None:
        self.before()
        self.client.set_registered_model_alias(*arguments)
        self.after()


def test_a_rollout_is_promoted(registry: tuple[Any, str]) -> None:
    act = Acting(alias(registry), journal=MemoryStore(), name="eta")
    for share in (0.01, 0.3, 0.5):
        act(Decision(Action.NONE, "bakes", key="0c1d"), share)
        assert champion(registry) == "6"
        assert alias(registry).standing() == share
    act(Decision(Action.PROMOTE, "safe", key="0c1d"), 1.0)
    assert champion(registry) == "7"
    assert alias(registry).standing() == 1.0
    assert [move.share for move in act.moves if move.done] == [0.01, 0.3, 0.5, 1.0]


def test_a_rollback_before_the_promotion_leaves_the_alias(registry: tuple[Any, str]) -> None:
    act = Acting(alias(registry), journal=MemoryStore(), name="eta")
    act(Decision(Action.NONE, "bakes", key="0c1d"), 0.3)
    act(Decision(Action.ROLLBACK, "errors", key="0c1d"), 0.0)
    assert champion(registry) == "6"
    assert alias(registry).standing() == 0.0


def test_a_rollback_after_it_moves_the_alias_back(registry: tuple[Any, str]) -> None:
    moved = alias(registry)
    moved.promote()
    moved.rollback()
    assert champion(registry) == "6"
    assert moved.standing() == 0.0


@pytest.mark.parametrize("move", ["promote", "rollback"])
def test_the_same_move_again_writes_no_alias(registry: tuple[Any, str], move: str) -> None:
    getattr(alias(registry), move)()

    def never() -> None:
        pytest.fail("the alias was moved again")

    again = alias(registry, Meddler(registry[0], before=never))
    getattr(again, move)()
    assert again.standing() == {"promote": 1.0, "rollback": 0.0}[move]


@pytest.mark.parametrize("move", ["promote", "rollback", "standing"])
def test_what_somebody_else_moved_is_raised_and_left(registry: tuple[Any, str], move: str) -> None:
    client, model = registry
    client.set_registered_model_alias(model, "champion", "9")
    with pytest.raises(StateConflict, match=r"is at version 9, and must be at [67] .*somebody"):
        getattr(alias(registry), move)()
    assert champion(registry) == "9"


def test_no_share_is_written_beside_somebody_elses_alias(registry: tuple[Any, str]) -> None:
    client, model = registry
    client.set_registered_model_alias(model, "champion", "9")
    with pytest.raises(StateConflict, match=r"is at version 9, and must be at 6"):
        alias(registry).set_share(0.1)
    assert "mlguard.share" not in client.get_model_version(model, "7").tags


def test_a_move_just_after_ours_is_found(registry: tuple[Any, str]) -> None:
    client, model = registry
    after = Meddler(client, after=lambda: client.set_registered_model_alias(model, "champion", "9"))
    act = Acting(alias(registry, after), journal=MemoryStore(), name="eta")
    with pytest.raises(StateConflict, match="is at version 9, and must be at 7 to stay there"):
        act(Decision(Action.PROMOTE, "safe", key="0c1d"), 1.0)
    assert champion(registry) == "9"
    assert not act.moves[-1].done
    with pytest.raises(StateConflict, match="is at version 9"):  # and again, and never overwritten
        act(Decision(Action.NONE, "", key="0c1d"), 1.0)
    assert champion(registry) == "9"


def test_an_alias_that_is_not_there_is_not_made(registry: tuple[Any, str]) -> None:
    client, model = registry
    client.delete_registered_model_alias(model, "champion")
    with pytest.raises(StateConflict, match="is at version none"):
        alias(registry).promote()
    assert client.get_registered_model(model).aliases == {}


def test_a_crash_after_the_move_is_finished_without_a_second_one(registry: tuple[Any, str]) -> None:
    def crash() -> object:
        raise KeyboardInterrupt

    journal, promote = MemoryStore(), Decision(Action.PROMOTE, "safe", key="0c1d")
    crashing = alias(registry, Meddler(registry[0], after=crash))
    with pytest.raises(KeyboardInterrupt):
        Acting(crashing, journal=journal, name="eta")(promote)
    assert champion(registry) == "7"
    restarted = Acting(alias(registry), journal=journal, name="eta")
    assert [move.done for move in restarted.moves] == [False]
    restarted.resume()
    assert [move.done for move in restarted.moves] == [True]
    assert alias(registry).standing() == 1.0


def test_from_uri_makes_its_own_client(registry: tuple[Any, str], uri: str) -> None:
    moved = MlflowAlias.from_uri(uri, registry[1], canary=7, baseline=6)
    moved.promote()
    assert champion(registry) == "7"
    assert repr(moved) == f"<MlflowAlias {registry[1]}@champion from 6 to 7>"


def test_an_unknown_version_passes_mlflows_error_on(registry: tuple[Any, str]) -> None:
    from mlflow.exceptions import MlflowException

    odd = MlflowAlias(registry[0], registry[1], canary=70, baseline=6)
    with pytest.raises(MlflowException, match="70"):
        odd.promote()
    assert champion(registry) == "6"


# The example: a candidate is judged beside the champion, and what is judged is logged.


@pytest.fixture
def example(uri: str, tmp_path: Path) -> tuple[Any, Any]:
    """The example and a client, in an experiment of its own, with a champion and a better one."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=uri, registry_uri=uri)
    spec = importlib.util.spec_from_file_location("release", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.MODEL = f"eta-{next(NAMES)}"  # type: ignore[attr-defined]
    module.EXPERIMENT = client.create_experiment(module.MODEL, tmp_path.as_uri())  # type: ignore[attr-defined]
    client.create_registered_model(module.MODEL)
    for alias, traffic in (("champion", 0.2), ("challenger", 1.0)):
        enter(module, client, alias, traffic)
    return module, client


def enter(module: Any, client: Any, alias: str, traffic: float) -> Any:
    weights = {"wind": 1.0, "traffic": traffic}
    version = module.register(client, weights, module.rows(1)[0])
    client.set_registered_model_alias(module.MODEL, alias, version.version)
    return version


def test_a_challenger_that_passes_is_on_record_and_becomes_champion(example: Any) -> None:
    module, client = example
    verdict = module.release(client, *module.rows(2))
    assert verdict.severity is Severity.OK
    run = module.fetch(client, "challenger")[0].run_id
    told = json.loads(kept(client, run, "verdict.json"))
    assert Verdict.from_dict(told) == verdict
    assert kept(client, run, "verdict.txt") == verdict.explain()
    assert "roc_auc" in kept(client, run, "model-card.md")
    for page in ("drift.html", "model-card.html"):
        assert kept(client, run, page).startswith("<!doctype html>")
    assert 0.75 < client.get_run(run).data.metrics["roc_auc"] < 0.85
    module.promote(client)
    assert champion((client, module.MODEL)) == "2"


def kept(client: Any, run: str, name: str) -> str:
    return Path(client.download_artifacts(run, f"mlguard/{name}")).read_text("utf-8")


@pytest.mark.parametrize(
    ("traffic", "moved", "breach"),
    [(-1.0, 0.0, {"good enough", "no worse"}), (1.0, 0.6, {"drift"})],
    ids=["a bad model", "data that drifted"],
)
def test_a_challenger_that_does_not_pass_stays_one_and_is_found(
    example: Any, traffic: float, moved: float, breach: set[str]
) -> None:
    module, client = example
    version = enter(module, client, "challenger", traffic)
    verdict = module.release(client, *module.rows(2, moved))
    assert {c.name for c in verdict.causes if c.severity is Severity.BREACH} == breach
    with pytest.raises(GuardBreached):
        module.promote(client)
    assert champion((client, module.MODEL)) == "1"
    found = client.search_runs([module.EXPERIMENT], "tags.`mlguard.severity` = 'BREACH'")
    assert [run.info.run_id for run in found] == [version.run_id]


@pytest.mark.parametrize(
    ("severity", "raised", "after"),
    [
        ("WARN", None, "2"),
        ("UNKNOWN", GuardUnknown, "1"),
        ("DOUBT", GuardUnknown, "1"),
    ],
)
def test_what_promotes_and_what_does_not(
    example: Any, severity: str, raised: type[Exception] | None, after: str
) -> None:
    module, client = example
    module.worst = lambda *_, **__: (
        lambda: {
            "WARN": Verdict("release", Severity.WARN, "a little worse"),
            "UNKNOWN": Verdict("release", Severity.UNKNOWN, "too few rows"),
            "DOUBT": Verdict(
                "release", Severity.WARN, "?", low=Severity.WARN, high=Severity.BREACH
            ),
        }[severity]
    )
    module.release(client, *module.rows(2))
    with nullcontext() if raised is None else pytest.raises(raised):
        module.promote(client)
    assert champion((client, module.MODEL)) == after


def test_an_alias_that_somebody_moved_after_it_was_judged_stays_there(example: Any) -> None:
    module, client = example
    third = enter(module, client, "other", 1.1)
    module.release(client, *module.rows(2))

    def moved() -> None:
        client.set_registered_model_alias(module.MODEL, "champion", str(third.version))

    with pytest.raises(StateConflict, match="is at version 3"):
        module.promote(Meddler(client, after=moved))
    assert champion((client, module.MODEL)) == "3"


@pytest.mark.parametrize("what", ["model", "reference", "verdict"])
def test_what_was_swapped_after_it_was_judged_is_not_promoted(example: Any, what: str) -> None:
    module, client = example
    module.release(client, *module.rows(2))
    run = module.fetch(client, "challenger")[0].run_id
    file, part = {
        "model": ("model/weights.json", "model"),
        "reference": ("model/reference.json", "model"),
        "verdict": ("mlguard/verdict.json", "verdict"),
    }[what]
    client.log_dict(run, Verdict("release", Severity.OK, "trust me").to_dict(), file)
    with pytest.raises(RuntimeError, match=f"the {part} of version 2 is not what was judged"):
        module.promote(client)
    assert champion((client, module.MODEL)) == "1"


# Without MLflow.


def test_without_mlflow_it_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(MissingDependencyError, match="install the extra `mlflow`"):
        MlflowAlias.from_uri("sqlite:///none.db", "eta", canary=7, baseline=6)


def test_the_module_loads_no_mlflow() -> None:
    program = "import sys, mlguard.integrations.mlflow; print('mlflow' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert run.stdout.strip() == b"False"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"canary": 6}, "canary = 6: must be another version than the baseline"),
        ({"canary": "v7"}, "canary = 'v7': must be a number"),
        ({"canary": 0}, "canary = 0: must be a whole number of at least 1"),
        ({"baseline": 6.5}, "baseline = 6.5: must be a whole number"),
        ({"model": " "}, "model = ' '"),
        ({"alias": ""}, "alias = ''"),
    ],
)
def test_bad_arguments_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        MlflowAlias(**{"client": None, "model": "eta", "canary": 7, "baseline": 6, **settings})
