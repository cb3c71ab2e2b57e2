"""Argo Rollouts and Flagger ask us: the answers, and the templates that read them."""

from __future__ import annotations

import importlib.util
import io
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from mlguard import Action, ConfigurationError, Decision, RollbackEngine, RollbackPlan
from mlguard.integrations.judges import to_argo, to_flagger
from mlguard.rollout import Guardrail
from mlguard.testing import ManualClock

if TYPE_CHECKING:
    from collections.abc import Mapping

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples" / "judge"


def example() -> Any:
    spec = importlib.util.spec_from_file_location("judge_app", EXAMPLES / "app.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def documents(name: str) -> dict[str, Any]:
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
    found = yaml.safe_load_all((EXAMPLES / name).read_text("utf-8"))
    return {each["metadata"]["name"]: each for each in found}


def holds(condition: str, result: Mapping[str, Any]) -> bool:
    """Evaluate a condition of Argo's, as far as ours go: comparisons with texts, joined by ||."""
    clauses = [
        re.fullmatch(r'result\.(\w+) == "([^"]*)"', each) for each in condition.split(" || ")
    ]
    assert all(clauses), condition
    return any(result[clause[1]] == clause[2] for clause in clauses if clause)


def measured(template: Mapping[str, Any], result: Mapping[str, Any]) -> str:
    """Say what Argo makes of one measurement: failure goes first, and neither is inconclusive."""
    (metric,) = template["spec"]["metrics"]
    if holds(metric["failureCondition"], result):
        return "Failed"
    return "Successful" if holds(metric["successCondition"], result) else "Inconclusive"


def call(app: Any, method: str, url: str, body: str = "") -> tuple[int, str]:
    parts, status = urlsplit(url), []
    environ = {
        "REQUEST_METHOD": method,
        "PATH_INFO": parts.path,
        "QUERY_STRING": parts.query,
        "CONTENT_LENGTH": str(len(body.encode())),
        "wsgi.input": io.BytesIO(body.encode()),
    }
    text = b"".join(app(environ, lambda line, _: status.append(line))).decode()
    return int(status[0].split()[0]), text


class Service:
    """An external rollout behind the example's app."""

    def __init__(self, **plan: Any) -> None:
        self.clock = ManualClock(1_700_000_000)
        settings = {"guardrails": [Guardrail("errors")], "bake": 60, **plan}
        self.engine = RollbackEngine(
            RollbackPlan("external", **settings),
            subject={"service": "eta", "version": "7"},
            clock=self.clock,
        )
        self.app = example().app({"eta": self.engine})
        self.seq = 0

    def report(self, errors: int, *, arms: tuple[str, ...] = ("canary", "baseline")) -> None:
        self.clock.advance(30.0)
        self.seq += 1
        for arm in arms:
            counted = {
                "source": "pod-1",
                "seq": self.seq,
                "requests": 500 * self.seq,
                "events": {"errors": self.seq * (errors if arm == "canary" else 5)},
            }
            code, text = call(self.app, "POST", f"/observe/eta/{arm}", json.dumps(counted))
            assert (code, text) == (200, "counted")

    def argo(self) -> dict[str, Any]:
        code, text = call(self.app, "GET", "/argo/eta?version=7")
        assert code == 200
        answer: dict[str, Any] = json.loads(text)
        return answer

    def flagger(self, hook: str) -> int:
        return call(self.app, "POST", f"/flagger/eta/{hook}", "{}")[0]


def rolled_back() -> Service:
    service = Service()
    service.report(errors=100)
    return service


def promoted() -> Service:
    service = Service()
    for _ in range(60):
        service.report(errors=5)
        if service.argo()["rollout"] == "promoted":
            break
    return service


def held() -> Service:
    service = Service()
    service.report(errors=5, arms=("canary",))
    return service


def running() -> Service:
    service = Service()
    service.report(errors=5)
    return service


def expired() -> Service:
    service = Service(max_duration=60.0)
    for _ in range(4):
        service.report(errors=5)
        service.engine.decide()
    assert service.engine.phase == "expired"
    return service


SITUATIONS = [
    # situation, its name, what Argo makes of it while watching and before promoting, Flagger's yes
    (running, "running", "Successful", "Inconclusive", {"confirm-traffic-increase"}),
    (held, "held", "Inconclusive", "Inconclusive", set()),
    (
        promoted,
        "promoted",
        "Successful",
        "Successful",
        {"confirm-traffic-increase", "confirm-promotion"},
    ),
    (rolled_back, "rolled back", "Failed", "Failed", {"rollback"}),
    (expired, "rolled back", "Failed", "Failed", {"rollback"}),
]


@pytest.mark.parametrize(("make", "name", "watch", "promote", "yes"), SITUATIONS)
def test_argo_does_what_we_decided(
    make: Any,
    name: str,
    watch: str,
    promote: str,
    yes: set[str],  # noqa: ARG001 -- of the table
) -> None:
    templates = documents("argo.yaml")
    service = make()
    for _ in range(3):  # an answer that got lost is given again
        answer = service.argo()
        assert answer["rollout"] == name
        assert measured(templates["mlguard-watch"], answer) == watch
        assert measured(templates["mlguard-promote"], answer) == promote
        service.clock.advance(1.0)
        if name in {"running", "held"}:
            service.report(errors=5, arms=("canary", "baseline")[: 2 if name == "running" else 1])


@pytest.mark.parametrize(("make", "name", "watch", "promote", "yes"), SITUATIONS)
def test_flagger_does_what_we_decided(
    make: Any,
    name: str,
    watch: str,  # noqa: ARG001 -- of the table
    promote: str,  # noqa: ARG001 -- of the table
    yes: set[str],
) -> None:
    (canary,) = documents("flagger.yaml").values()
    for webhook in canary["spec"]["analysis"]["webhooks"]:
        service = make()
        code, text = call(service.app, "POST", urlsplit(webhook["url"]).path, "{}")
        assert code == (200 if webhook["type"] in yes else 403), webhook
        assert text.startswith(f"{name}: ")


@pytest.mark.parametrize(
    ("command", "hook"), [("abort", "rollback"), ("promote", "confirm-promotion")]
)
def test_an_operators_command_reaches_them(command: str, hook: str) -> None:
    service = running()
    assert service.flagger(hook) == 403
    service.engine.command(command, who="ada", reason="a hunch")
    assert [service.flagger(hook) for _ in range(2)] == [200, 200]
    service.engine.decide()
    assert service.argo()["reason"].startswith(f"{command} by ada")


def test_the_argo_templates_ask_where_the_app_answers() -> None:
    service, templates = running(), documents("argo.yaml")
    canary = templates["eta"]["spec"]["strategy"]["canary"]
    steps = [step["analysis"] for step in canary["steps"] if "analysis" in step]
    for use in (canary["analysis"], *steps):
        arguments = {each["name"]: each.get("value", "7") for each in use["args"]}
        for each in use["templates"]:
            spec = templates[each["templateName"]]["spec"]
            assert {each["name"] for each in spec["args"]} == arguments.keys()
            (metric,) = spec["metrics"]
            url = metric["provider"]["web"]["url"]
            for name, value in arguments.items():
                url = url.replace(f"{{{{args.{name}}}}}", value)
            parts = urlsplit(url)
            code, text = call(service.app, "GET", f"{parts.path}?{parts.query}")
            assert code == 200
            conditions = metric["successCondition"] + metric["failureCondition"]
            assert set(re.findall(r"result\.(\w+)", conditions)) <= json.loads(text).keys()


def test_the_flagger_hooks_are_of_the_type_that_their_address_says() -> None:
    (canary,) = documents("flagger.yaml").values()
    webhooks = canary["spec"]["analysis"]["webhooks"]
    assert [each["url"].rsplit("/", 1)[1] for each in webhooks] == [
        each["type"] for each in webhooks
    ]
    assert canary["metadata"]["name"] == "eta"


@pytest.mark.parametrize(
    ("method", "url", "body", "code"),
    [
        ("GET", "/argo/eta?version=8", "", 404),  # another candidate than the one that is judged
        ("GET", "/argo/other", "", 404),
        ("POST", "/argo/eta", "", 404),
        ("POST", "/flagger/eta/pre-rollout", "{}", 404),
        ("POST", "/flagger/other/rollback", "{}", 404),
        ("POST", "/observe/eta/champion", "{}", 404),
        ("POST", "/observe/eta/canary", "", 400),
        ("POST", "/observe/eta/canary", "[]", 400),
        ("POST", "/observe/eta/canary", '{"requests": -1}', 400),
        ("POST", "/observe/eta/canary", '{"requests": 1, "events": {"errors": 2}}', 400),
        ("POST", "/observe/eta/canary", '{"requests": 1, "arm": "baseline"}', 400),
        ("GET", "/", "", 404),
    ],
)
def test_the_app_refuses_what_it_does_not_know(method: str, url: str, body: str, code: int) -> None:
    service = Service()
    assert call(service.app, method, url, body)[0] == code
    assert service.engine.state()["exposed"] == 0


# The functions alone.


@pytest.mark.parametrize(
    ("action", "name"),
    [
        (Action.NONE, "running"),
        (Action.ALERT, "running"),
        (Action.HOLD, "held"),
        (Action.PROMOTE, "promoted"),
        (Action.ROLLBACK, "rolled back"),
    ],
)
def test_a_decision_of_no_rollout_goes_by_its_action(action: Action, name: str) -> None:
    decision = Decision(action, "because", key="0c1d", at=1.5, subject={"version": "7"})
    assert to_argo(decision) == {
        "rollout": name,
        "action": str(action),
        "reason": "because",
        "key": "0c1d",
        "at": 1.5,
        "subject": {"version": "7"},
    }


@pytest.mark.parametrize("phase", ["pending", "stage", "hold", "awaiting approval", "odd", 3, None])
@pytest.mark.parametrize("action", [Action.ROLLBACK, Action.PROMOTE])
def test_a_decision_that_ends_a_rollout_is_never_hidden_by_its_phase(
    action: Action, phase: object
) -> None:
    decision = Decision(action, "because", because=({"phase": phase},))
    assert (
        to_argo(decision)["rollout"] == {"rollback": "rolled back", "promote": "promoted"}[action]
    )


def test_flaggers_rollout_hook_counts_a_hold_as_failed() -> None:
    codes = [
        to_flagger(Decision(action, ""), "rollout")[0]
        for action in (Action.NONE, Action.HOLD, Action.ROLLBACK, Action.PROMOTE)
    ]
    assert codes == [200, 403, 403, 200]


@pytest.mark.parametrize(
    ("call_it", "message"),
    [
        (lambda: to_argo("rollback"), "decision = 'rollback': must be a Decision"),  # type: ignore[arg-type]
        (lambda: to_flagger(Decision("none", ""), "event"), "hook = 'event': must be 'confirm-"),  # type: ignore[arg-type]
    ],
)
def test_bad_arguments_are_refused(call_it: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        call_it()
