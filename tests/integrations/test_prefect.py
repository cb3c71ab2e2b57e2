"""Verdicts in the real Prefect: states, tries, what runs afterwards, and a canary taken back."""

# mypy: disable-error-code="untyped-decorator, no-untyped-call"

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mlguard import ConfigurationError, Severity, Verdict
from mlguard.errors import MissingDependencyError
from mlguard.integrations.prefect import artifact, conclude, guarded_task, unless_breach

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples" / "prefect"
OK, WARN, BREACH, UNKNOWN = (
    Verdict("drift", Severity[name], f"is {name}") for name in ("OK", "WARN", "BREACH", "UNKNOWN")
)
DOUBT = Verdict("drift", Severity.WARN, "may be worse", low=Severity.WARN, high=Severity.BREACH)
ONCE, RETRIED = 1, 3


# Without Prefect.


def test_only_a_breach_is_not_tried_again() -> None:
    tried = {
        name: unless_breach(None, None, SimpleNamespace(name=name))
        for name in ("BREACH", "UNKNOWN", "Failed", "Crashed")
    }
    assert tried == {"BREACH": False, "UNKNOWN": True, "Failed": True, "Crashed": True}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: conclude(OK, unknown="retry"), "unknown = 'retry'"),  # type: ignore[arg-type]
        (lambda: conclude(7), "verdict = 7"),  # type: ignore[arg-type]
        (lambda: artifact(7, key="a"), "verdict = 7"),  # type: ignore[arg-type]
        (lambda: guarded_task(unknown="retry"), "unknown = 'retry'"),  # type: ignore[arg-type]
    ],
    ids=["unknown", "verdict", "artifact", "task"],
)
def test_bad_arguments_are_named(call: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        call()


def test_without_prefect_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("prefect", "prefect.states", "prefect.artifacts"):
        monkeypatch.setitem(sys.modules, name, None)
    for call in (
        lambda: conclude(OK),
        lambda: guarded_task()(lambda: OK),
        lambda: artifact(OK, key="a"),
    ):
        with pytest.raises(MissingDependencyError, match="Prefect 3 is not installed"):
            call()


# In Prefect.

pytestmark = pytest.mark.filterwarnings("ignore")  # Prefect's own


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    if importlib.util.find_spec("prefect") is None:
        pytest.skip("Prefect is not installed: `make integrations` has it")
    os.environ.update(
        PREFECT_HOME=str(tmp_path_factory.mktemp("prefect")),
        PREFECT_SERVER_ANALYTICS_ENABLED="false",
        PREFECT_LOGGING_LEVEL="CRITICAL",
    )
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=240):
        yield


def crash() -> Verdict:
    raise ConnectionError("no route to the warehouse")


@pytest.mark.parametrize(
    ("said", "unknown", "kind", "name", "tries"),
    [
        (OK, "fail", "COMPLETED", "OK", ONCE),
        (WARN, "fail", "COMPLETED", "WARN", ONCE),
        (BREACH, "pass", "FAILED", "BREACH", ONCE),
        (UNKNOWN, "fail", "FAILED", "UNKNOWN", RETRIED),
        (UNKNOWN, "skip", "COMPLETED", "Skipped", ONCE),
        (UNKNOWN, "pass", "COMPLETED", "UNKNOWN", ONCE),
        (DOUBT, "fail", "FAILED", "UNKNOWN", RETRIED),
        (crash, "pass", "FAILED", "Failed", RETRIED),
    ],
    ids=["OK", "WARN", "BREACH", "UNKNOWN", "UNKNOWN skip", "UNKNOWN pass", "in doubt", "crash"],
)
@pytest.mark.usefixtures("server")
def test_what_prefect_makes_of_a_verdict(
    said: Any, unknown: Any, kind: str, name: str, tries: int
) -> None:
    from prefect import flow, task

    asked: list[int] = []
    after: list[str] = []

    @guarded_task(unknown=unknown, retries=2, retry_delay_seconds=0)
    def judge() -> Any:
        asked.append(1)
        return said() if said is crash else said

    @task
    def train(found: dict[str, Any]) -> None:
        after.append(Verdict.from_dict(found).severity.name)

    seen: list[str] = []

    @flow
    def training() -> None:
        state = judge()
        seen.append(state.name)
        train(state.result())

    found = training(return_state=True)
    assert (found.type.value, seen, len(asked)) == (
        kind,
        [name] if said is not crash else [],
        tries,
    )
    assert after == ([said.severity.name] if kind == "COMPLETED" else [])


@pytest.mark.parametrize(
    ("said", "standing", "state"),
    [(OK, 1.0, "COMPLETED"), (BREACH, 0.0, "FAILED"), (UNKNOWN, 0.0, "FAILED")],
    ids=["good", "bad", "unknown"],
)
@pytest.mark.usefixtures("server")
def test_the_example_takes_a_bad_canary_back(said: Verdict, standing: float, state: str) -> None:
    spec = importlib.util.spec_from_file_location("canary", EXAMPLES / "canary.py")
    assert spec is not None
    assert spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    sys.modules["canary"] = module
    spec.loader.exec_module(module)
    module.judged = lambda: said
    found = module.canary(return_state=True)
    assert found.type.value == state
    assert module.router.standing() == standing
