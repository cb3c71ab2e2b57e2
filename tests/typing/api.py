"""How the public API is typed: mypy reads this file, nobody runs it.

An ignored error is a mistake that the types must catch: mypy says when an ignore is not needed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, assert_type

import mlguard
from mlguard import (
    Action,
    ApprovalRequest,
    Approvals,
    Calendar,
    Check,
    Clock,
    CostBudget,
    Decision,
    ErrorBudget,
    GuardBreached,
    GuardUnknown,
    Keyed,
    LatencyBudget,
    Measure,
    Measurement,
    MemoryStore,
    Meter,
    Money,
    Policy,
    Price,
    PriceBook,
    Principal,
    Quorum,
    Reservation,
    Severity,
    Sink,
    SqliteStore,
    Store,
    UnitCost,
    Verdict,
    Waiver,
    approved,
    at_least,
    at_most,
    best,
    between,
    cached,
    deliver,
    guard,
    labelled,
    lenient,
    measured,
    model_card,
    once,
    quorum,
    require,
    shielded,
    strict,
    waived,
    worst,
)
from mlguard.drift.streams import Change, Detector, PageHinkley, ScanGLR, Streams
from mlguard.integrations.asgi import App as ASGIApp
from mlguard.integrations.asgi import GuardMiddleware
from mlguard.integrations.metered import metered
from mlguard.integrations.mlflow import MlflowAlias
from mlguard.integrations.opentelemetry import instrument
from mlguard.integrations.prometheus import Exporter, counts, query, rules
from mlguard.integrations.redis import RedisStore
from mlguard.integrations.sinks import (
    alertmanager,
    json_lines,
    logging_sink,
    pagerduty,
    slack,
    webhook,
)
from mlguard.integrations.wrap import wrap
from mlguard.performance import MatureLosses, Outcomes, mature_losses
from mlguard.rollout import Acting, Actuator, Router, Splitter
from mlguard.testing import (
    ManualClock,
    RecordingSink,
    ScriptedCheck,
    check_check,
    check_policy,
    check_store,
)


class Latency:
    """A meter by its shape alone."""

    def measure(self) -> Measurement:
        return measured("p99", 0.04, unit="s")


def slices() -> Sequence[Measurement]:
    return [measured("auc", 0.7, n=100)]


def values(verdict: Verdict, measurement: Measurement) -> None:
    assert_type(measurement.value, float)
    assert_type(measurement.n, int | None)
    assert_type(measurement.details, Mapping[str, Any])
    assert_type(measurement(), Measurement)
    assert_type(verdict.severity, Severity)
    assert_type(verdict.ok, bool)
    assert_type(verdict.evidence, tuple[Measurement, ...])
    assert_type(verdict.causes, tuple[Verdict | Waiver, ...])
    assert_type(verdict.subject, Mapping[str, str])
    assert_type(verdict.at, float | None)
    assert_type(verdict(), Verdict)
    assert_type(verdict.raise_for_breach(unknown="pass"), Verdict)
    assert_type(verdict.explain(), str)
    assert_type(verdict.to_dict(), dict[str, Any])
    assert_type(Verdict.from_dict({}), Verdict)
    assert_type(Measurement.from_dict({}), Measurement)
    assert_type(Decision(Action.HOLD, "r").action, Action | str)
    assert_type(Decision("my-own", "r").verdicts, tuple[Verdict, ...])
    assert_type(Waiver("ada", "why", until=0).until, float)
    assert_type(mlguard.__version__, str)
    Verdict("a", Severity.OK, "r", evidence=[measurement], causes=(verdict,), subject={"v": 7})

    measurement.value = 1.0  # type: ignore[misc]
    verdict.severity = Severity.OK  # type: ignore[misc]
    verdict.raise_for_breach(unknown="ignore")  # type: ignore[arg-type]
    Verdict("a", "OK", "r")  # type: ignore[arg-type]
    Verdict("a", Severity.OK, "r", [measurement])  # type: ignore[call-arg]
    Measurement("a", 1.0, "s")  # type: ignore[call-arg]
    Measurement("a", "1.0")  # type: ignore[arg-type]
    mlguard.at_mots(0.05)  # type: ignore[attr-defined]


def errors(breached: GuardBreached, unknown: GuardUnknown) -> None:
    assert_type(breached.verdict, Verdict)
    assert_type(unknown.verdict, Verdict)


def policies() -> None:
    policy: Policy = at_most(0.05, warn=0.04)
    assert_type(policy(measured("p99", 0.04)), Verdict)
    for each in (at_least(0.7), between(0.0, 1.0), require(500, at_least(0.7))):
        assert_type(each(measured("p99", 0.04)), Verdict)
    check_policy(lambda: at_most(0.05), [measured("p99", 0.04)])

    at_most(0.05, 0.04)  # type: ignore[call-arg]
    at_most("0.05")  # type: ignore[arg-type]
    require(at_least(0.7), 500)  # type: ignore[arg-type]


def delivery(store: Store, decision: Decision) -> None:
    pager: Sink = webhook("http://h", payload=partial(pagerduty, routing_key="R"), timeout=5)
    page = once(pager, store=store, lease=timedelta(minutes=2))
    each: Sink = page
    deliver([decision], each, logging_sink(levels={Action.ALERT: 40}), json_lines("decisions"))
    assert_type(page.pending, tuple[Decision, ...])
    assert_type(slack(decision), dict[str, Any])
    assert_type(alertmanager(decision), list[dict[str, Any]])

    deliver(decision, each)  # type: ignore[arg-type]
    once(pager, store)  # type: ignore[call-arg]
    webhook("http://h", payload=pagerduty)  # type: ignore[arg-type]


def checks(waiver: Waiver, clock: Clock, pair: list[Check]) -> None:
    latency: Meter = Latency()
    measure: Measure = slices
    p99 = guard(latency, at_most(0.05))
    auc = guard(measure, at_least(0.7), name="auc")
    ready = Verdict("ready", Severity.OK, "said so")
    gate: Check = worst("gate", p99, auc, ready, *pair)
    for check in (
        gate,
        guard(measured("auc", 0.8), at_least(0.7)),
        guard(lambda: measured("auc", 0.8), at_least(0.7)),
        best("any", p99, gate),
        quorum(2, "two", p99, auc, ready),
        strict(gate),
        lenient(gate),
        shielded(lambda: ready),
        labelled(gate, model="eta", version=7),
        waived(gate, waiver, clock=clock),
        cached(gate, ttl=timedelta(seconds=5)),
        cached(gate, 5, clock=ManualClock()),
        ScriptedCheck("OK BREACH"),
    ):
        assert_type(check(), Verdict)
    check_check(lambda: gate)

    worst(p99, auc)  # type: ignore[arg-type]
    worst("gate", True)  # type: ignore[arg-type] # noqa: FBT003
    worst("gate", at_most(0.05))  # type: ignore[arg-type]
    worst("gate", measured("p99", 0.04))  # type: ignore[arg-type]
    quorum("two", 2, p99)  # type: ignore[arg-type]
    guard(0.04, at_most(0.05))  # type: ignore[arg-type]
    guard(latency, 0.05)  # type: ignore[arg-type]
    guard(latency, lambda _: True)  # type: ignore[arg-type, return-value]
    waived(gate, "ada")  # type: ignore[arg-type]
    labelled(gate, share=0.5)  # type: ignore[arg-type]


def sinks() -> None:
    recording = RecordingSink()
    sink: Sink = recording
    sink(Decision(Action.ROLLBACK, "errors"))
    assert_type(recording.decisions, list[Decision])


def stores(clock: ManualClock) -> None:
    for store in (
        MemoryStore(clock=clock),
        SqliteStore("guard.db", clock=clock),
        RedisStore.from_url("redis://localhost", prefix="mine:"),
    ):
        assert_type(store.load("key"), tuple[bytes, int] | None)
        assert_type(store.save("key", b"", if_version=0), int)
        assert_type(store.acquire("decider", timedelta(seconds=30)), int | None)
        shared: Store = store
        assert_type(shared.keys(), list[str])
    check_store(lambda: MemoryStore(clock=clock), advance=clock.advance)

    SqliteStore()  # type: ignore[call-arg]
    MemoryStore().save("key", "text")  # type: ignore[arg-type]
    RedisStore("redis://localhost")  # type: ignore[arg-type]


def metrics(gate: Check) -> None:
    latency = LatencyBudget({0.99: 0.05})
    tenants = Keyed(lambda: ErrorBudget(0.999))
    exporter = Exporter({"latency": latency, "errors": tenants, "gate": gate}, max_series=100)
    assert_type(exporter.update("gate"), dict[str, Verdict])
    instrument({"latency": latency, "gate": gate})
    assert_type(rules({"errors": tenants}, match={"job": "scoring"}, by=["job"], stale=60.0), str)
    url = "http://prometheus:9090"
    guard(query(url, "up", unit="share", timeout=timedelta(seconds=2)), at_least(1))
    new = counts(url, {"good": "requests_total", "bad": "errors_total"})
    ErrorBudget(0.999).observe_counts(**new())

    Exporter({"latency": latency.measure})  # type: ignore[dict-item]
    rules([gate])  # type: ignore[arg-type]
    query(url)  # type: ignore[call-arg]


def serving(app: ASGIApp, gate: Check) -> None:
    latency, errors = LatencyBudget({0.99: 0.05}), ErrorBudget(0.999)
    guarded = GuardMiddleware(app, latency=latency, errors=errors, check=gate, on_breach="reject")
    assert_type(guarded.rejected, int)

    def predict(row: dict[str, float]) -> float:
        return row["distance"]

    wrapped = wrap(predict, latency=latency, on_breach=print)
    assert_type(wrapped({"distance": 1.0}), float)

    GuardMiddleware(app, on_breach="explode")  # type: ignore[arg-type]
    GuardMiddleware(app, latency=0.05)  # type: ignore[arg-type]
    wrapped("distance")  # type: ignore[arg-type]


def money(clock: ManualClock) -> None:
    book = PriceBook("USD", [Price("m", {"input": "0.40", "output": "1.60"}, per=1_000_000)])
    assert_type(book.cost("m", {"input": 3, "output": 5}), Money)
    for store in (MemoryStore(), SqliteStore("guard.db"), RedisStore.from_url("redis://here")):
        budget = CostBudget(
            "llm",
            lambda tenant: f"{len(tenant)} USD",
            per="tenant",
            window=Calendar("day", tz="Europe/Berlin"),
            store=store,
            on_store_error="deny",
            on_unsettled="floor",
            clock=clock,
        )
        with budget.reserve(Money("1 USD"), key="acme", request_id="a") as call:
            assert_type(call, Reservation)
            call.settle("0.50 USD")
            assert_type(call.charged, Money | None)
        gate: Check = budget
        gate()
    paid = metered(len, reserve=lambda row: budget.reserve("1 USD"), cost=lambda n: None)  # noqa: ARG005
    assert_type(paid("row"), int)
    UnitCost("12 USD").observe(Money("0.01 USD"))

    CostBudget("llm", "1 USD", window=Calendar("day"), store=store, on_unsettled="floor")  # type: ignore[call-arg]
    budget.reserve(0.05)  # type: ignore[arg-type]
    Money(0.1, "USD")  # type: ignore[arg-type]


def rollouts(new: Callable[[str], int], old: Callable[[str], int], decision: Decision) -> None:
    router = Router(new, old, splitter=Splitter("v7"))
    assert_type(router("ada")[1]("7"), int)
    alias = MlflowAlias.from_uri("sqlite:///mlflow.db", "eta", canary=7, baseline="6")
    actuators: list[Actuator] = [router, alias]
    for place in actuators:
        act = Acting(place, journal=MemoryStore(), name="eta")
        sink: Sink = act
        sink(decision)
        act(decision, 0.5)

    Acting(len, journal=MemoryStore(), name="eta")  # type: ignore[arg-type]
    Acting(router, journal=MemoryStore())  # type: ignore[call-arg]


def approvals(desk: Approvals, request: ApprovalRequest, records: list[Mapping[str, Any]]) -> None:
    assert_type(desk.submit(request, b"a token of any kind"), Verdict)
    assert_type(desk.approve(request, {"token": 1}), Verdict)
    check: Check = approved(request, desk)
    assert_type(check(), Verdict)
    worst("release", check, desk.reviewed)
    Approvals(
        "eta",
        MemoryStore(),
        authenticate=lambda credential: Principal("ada") if credential else None,
        quorum=Quorum(2, roles=["risk"]),
        record=records.append,
    )
    card: str = model_card("eta 7", at=0.0, digests={}, metrics=[measured("auc", 0.7)])
    assert_type(model_card("eta 7", at=0.0, digests={}).to_html(), str)

    desk.reject(request, "token")  # type: ignore[call-arg]
    desk.use(request, subject_digest=card)  # type: ignore[call-arg]
    desk.approve(request.digest, "token")  # type: ignore[arg-type]
    request.action = "promote"  # type: ignore[misc]
    Approvals("eta", MemoryStore(), authenticate=dict, quorum=Quorum())  # type: ignore[arg-type]


def streams(outcomes: Outcomes, app: ASGIApp) -> None:
    detector = ScanGLR("bernoulli")
    assert_type(detector(), Verdict)
    check: Check = detector
    many = Streams({"score": PageHinkley, "failed": partial(ScanGLR, "bernoulli")})
    check = worst("streams", check, many)
    assert_type(many.observe({"score": 0.3, "failed": None}), dict[str, Change])
    assert_type(many.observe_many({"score": [0.3], "failed": [1]}), dict[str, list[Change]])
    assert_type(many.detectors, dict[str, Detector])
    assert_type(many.from_state(many.state()), Streams)
    Streams({"score": PageHinkley()})  # type: ignore[dict-item]
    tenants = Keyed(ScanGLR)
    tenants["acme"] = ScanGLR()
    assert_type(tenants["acme"], ScanGLR)

    def watch(seconds: float | None, good: bool | None, scope: Any) -> None:  # noqa: FBT001
        many.observe({"score": seconds or scope["score"], "failed": not good})

    GuardMiddleware(app, observer=watch)
    wrap(abs, observer=watch)
    assert_type(mature_losses(outcomes, since=None), MatureLosses)
