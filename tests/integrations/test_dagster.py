"""Verdicts as asset checks in the real Dagster: what is tried again, and what is made downstream."""

# mypy: disable-error-code="untyped-decorator"

from __future__ import annotations

import importlib.util
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from mlguard import GuardUnknown, Severity, Verdict

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "dagster" / "train.py"
OK, WARN, BREACH, UNKNOWN = (
    Verdict("drift", Severity[name], f"is {name}") for name in ("OK", "WARN", "BREACH", "UNKNOWN")
)
DOUBT = Verdict("drift", Severity.WARN, "may be worse", low=Severity.WARN, high=Severity.BREACH)
ONCE, RETRIED = 1, 3
ROWS, ALL = ["rows"], ["rows", "model"]

pytestmark = pytest.mark.filterwarnings("ignore")  # Dagster's own


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Any:
    if importlib.util.find_spec("dagster") is None:
        pytest.skip("Dagster is not installed: `make integrations` has it")
    spec = importlib.util.spec_from_file_location("train", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "train", module)  # Dagster resolves annotations there
    spec.loader.exec_module(module)
    return module


def ran(example: Any) -> Any:
    from dagster import DagsterInstance

    job = example.DEFINITIONS.resolve_implicit_global_asset_job_def()
    with DagsterInstance.ephemeral() as instance:
        return job.execute_in_process(instance=instance, raise_on_error=False)


def made(run: Any) -> list[str]:
    return [each.asset_key.to_user_string() for each in run.get_asset_materialization_events()]


def crash(_: object) -> Verdict:
    raise ConnectionError("no route to the warehouse")


def undecided(_: object) -> Verdict:
    raise GuardUnknown(UNKNOWN)


@pytest.mark.parametrize(
    ("said", "told", "tries", "stands"),
    [
        (OK, [(True, "WARN")], ONCE, ALL),
        (WARN, [(False, "WARN")], ONCE, ALL),
        (BREACH, [(False, "ERROR")], ONCE, ROWS),
        (UNKNOWN, [(False, "ERROR")], ONCE, ROWS),
        (DOUBT, [(False, "ERROR")], ONCE, ROWS),
        (undecided, [], RETRIED, ROWS),
        (crash, [], RETRIED, ROWS),
    ],
    ids=["OK", "WARN", "BREACH", "UNKNOWN", "in doubt", "UNKNOWN raised", "crash"],
)
def test_what_dagster_makes_of_a_verdict(
    example: Any, said: Any, told: list[tuple[bool, str]], tries: int, stands: list[str]
) -> None:
    example.judged = (lambda _: said) if isinstance(said, Verdict) else said
    run = ran(example)
    found = run.get_asset_check_evaluations()
    assert [(each.passed, each.severity.name) for each in found] == told
    steps = Counter((each.step_key, each.event_type_value) for each in run.all_events)
    assert steps["rows_drift", "STEP_UP_FOR_RETRY"] + 1 == tries
    assert made(run) == stands
    assert run.success is (stands == ALL)


def test_the_verdict_stands_in_the_metadata_as_plain_json(example: Any) -> None:
    example.judged = lambda _: BREACH
    (told,) = ran(example).get_asset_check_evaluations()
    assert Verdict.from_dict(told.metadata["verdict"].value) == BREACH
    assert told.metadata["severity"].value == "BREACH"
    assert told.description == "is BREACH"
    assert BREACH.explain() in told.metadata["why"].value


def test_a_check_that_does_not_block_stops_nothing(example: Any) -> None:
    from dagster import Definitions, asset_check

    @asset_check(asset=example.rows)
    def drift() -> Any:
        return example.concluded(BREACH)

    example.DEFINITIONS = Definitions([example.rows, example.model], asset_checks=[drift])
    run = ran(example)
    assert [each.passed for each in run.get_asset_check_evaluations()] == [False]
    assert (made(run), run.success) == (ALL, True)


@pytest.mark.parametrize(("moved", "stands"), [(0.0, ALL), (0.15, ALL), (0.6, ROWS)])
def test_the_example_trains_unless_the_rows_have_drifted(
    example: Any, moved: float, stands: list[str]
) -> None:
    example.MOVED = moved
    assert made(ran(example)) == stands
