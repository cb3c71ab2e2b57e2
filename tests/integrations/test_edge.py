"""What a guard at the edge does with a verdict and with its own crashes, whatever the protocol."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from mlguard import (
    Action,
    Check,
    ConfigurationError,
    Decision,
    ErrorBudget,
    Keyed,
    LatencyBudget,
    Severity,
    StreamLatency,
    Verdict,
    best,
    cached,
    strict,
    worst,
)
from mlguard.integrations.asgi import GuardMiddleware
from mlguard.integrations.wrap import wrap
from mlguard.testing import ManualClock, RecordingSink, ScriptedCheck


class Recorder:
    """Keeps what it was shown."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def observe(self, value: Any) -> None:
        self.seen.append(value)


class Broken:
    """Crashes whatever it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    def observe(self, _: Any) -> None:
        self.asked += 1
        raise OSError("no disk")

    __call__ = observe


class Repaired:
    """Crashes when it is first shown something."""

    def __init__(self) -> None:
        self.asked = 0

    def observe(self, _: Any) -> None:
        self.asked += 1
        if self.asked == 1:
            raise OSError("no disk")


async def app(scope: Any, _receive: Any, send: Any) -> None:
    scope["mlguard.features"] = {"x": 1.0}
    headers = [(b"content-type", b"text/plain")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"0.74"})


def ask(guarded: Any, **scope: Any) -> tuple[int, dict[str, str], bytes]:
    """Ask an app once and give status, headers and body."""
    messages: list[Any] = []

    async def send(message: Any) -> None:
        messages.append(message)

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    asyncio.run(guarded({"type": "http", "method": "GET", **scope}, receive, send))
    headers = {name.decode(): value.decode() for name, value in messages[0]["headers"]}
    return messages[0]["status"], headers, b"".join(m.get("body", b"") for m in messages[1:])


def status(guarded: Any, **scope: Any) -> int:
    return ask(guarded, **scope)[0]


# ---------------------------------------------------------------- what happens on a breach


def test_a_breach_does_nothing_by_default_and_the_check_is_not_even_asked() -> None:
    asked: list[int] = []

    def check() -> Verdict:
        asked.append(1)
        return Verdict("kill switch", Severity.BREACH, "on")

    assert ask(GuardMiddleware(app, check=check)) == (200, {"content-type": "text/plain"}, b"0.74")
    assert not asked


def test_a_breach_rejects_and_says_when_to_come_back() -> None:
    latency, errors = Recorder(), Recorder()
    guarded = GuardMiddleware(
        app,
        latency=latency,
        errors=errors,
        check=ScriptedCheck("BREACH"),
        on_breach="reject",
        retry_after=timedelta(seconds=29.5),
    )
    code, headers, body = ask(guarded)
    assert (code, headers["retry-after"], headers["mlguard-severity"]) == (503, "30", "BREACH")
    assert headers["content-length"] == str(len(body))
    assert body
    assert guarded.rejected == 1
    assert (latency.seen, errors.seen) == ([], [])  # an answer of its own counts neither way
    code, headers, body = ask(guarded, method="HEAD")
    assert (code, body) == (503, b"")
    assert headers["content-length"] != "0"


def test_a_breach_can_mark_the_answer() -> None:
    errors = Recorder()
    check = ScriptedCheck("BREACH")
    guarded = GuardMiddleware(app, errors=errors, check=check, on_breach="header")
    code, headers, body = ask(guarded)
    assert (code, body) == (200, b"0.74")
    assert headers == {"content-type": "text/plain", "mlguard-severity": "BREACH"}
    assert (errors.seen, guarded.rejected) == ([True], 0)


def test_a_breach_can_call_a_function_once_for_each_evaluation() -> None:
    clock, told = ManualClock(), list[Verdict]()
    check = ScriptedCheck("OK BREACH BREACH OK")
    guarded = GuardMiddleware(app, check=check, on_breach=told.append, every=5.0, clock=clock)
    for _ in range(4):
        assert [status(guarded) for _ in range(3)] == [200, 200, 200]
        clock.advance(5.0)
    assert [verdict.reason for verdict in told] == [
        "entry 2 of the script",
        "entry 3 of the script",
    ]


@pytest.mark.parametrize("severity", ["OK", "UNKNOWN", "WARN"])
def test_nothing_but_a_breach_rejects(severity: str) -> None:
    guarded = GuardMiddleware(app, check=ScriptedCheck(severity), on_breach="reject")
    assert ask(guarded)[:2] == (200, {"content-type": "text/plain"})


def test_the_check_is_asked_once_in_every() -> None:
    clock = ManualClock(1e5)
    check = ScriptedCheck("OK BREACH OK OK")
    guarded = GuardMiddleware(app, check=check, on_breach="reject", every=2.0, clock=clock)
    found = []
    for _ in range(8):
        found.append(status(guarded))
        clock.advance(0.5)
    assert found == [200, 200, 200, 200, 503, 503, 503, 503]
    assert status(guarded) == 200


def test_a_check_that_is_cached_keeps_its_own_time() -> None:
    clock = ManualClock()
    check = cached(ScriptedCheck("OK BREACH OK"), ttl=2.0, clock=clock)
    guarded = GuardMiddleware(app, check=check, on_breach="reject", every=3600.0)
    assert [status(guarded), status(guarded)] == [200, 200]
    clock.advance(2.0)
    assert [status(guarded), status(guarded)] == [503, 503]
    clock.advance(2.0)
    assert status(guarded) == 200


def test_without_a_check_the_worst_of_the_meters_is_asked() -> None:
    clock = ManualClock(1e9)
    latency = LatencyBudget({0.99: 0.050}, clock=clock)
    errors = ErrorBudget(slo=0.999, clock=clock)
    one = GuardMiddleware(app, latency=latency, on_breach="reject", every=1e-9)
    both = GuardMiddleware(app, latency=latency, errors=errors, on_breach="reject", every=1e-9)
    assert [status(one), status(both)] == [200, 200]
    latency.observe_many([1.0] * 1000)
    assert [status(one), status(both)] == [503, 503]
    clock.advance(301.0)  # the window is empty: unknown, so the next requests show how it is now
    assert [status(one), status(both)] == [200, 200]
    clock.advance(3600.0)
    errors.observe_counts(bad=1000)
    assert [status(one), status(both)] == [200, 503]


def test_a_kill_switch_is_a_check() -> None:
    on = False

    def switch() -> Verdict:
        return Verdict("kill switch", Severity.BREACH if on else Severity.OK, "by ada")

    latency = LatencyBudget({0.99: 0.050})
    check = worst("serving", latency, switch)
    guarded = GuardMiddleware(app, latency=latency, check=check, on_breach="reject", every=1e-9)
    assert status(guarded) == 200
    on = True
    assert status(guarded) == 503
    on = False
    assert status(guarded) == 200


# ---------------------------------------------------------------- crashes of the guard itself

PLACES = ["latency", "errors", "key", "classify", "profile", "check", "on_breach", "make"]


def broken_in(place: str, **more: Any) -> GuardMiddleware:
    options: dict[str, dict[str, Any]] = {
        "latency": {"latency": Broken()},
        "errors": {"errors": Broken()},
        "profile": {"profile": Broken()},
        "key": {"errors": Keyed(lambda: ErrorBudget(slo=0.999)), "key": Broken()},
        "make": {"errors": Keyed(Broken()), "key": lambda _: "a"},  # type: ignore[arg-type]
        "classify": {"errors": Recorder(), "classify": lambda *_: Broken()(1)},
        "check": {"check": lambda: Broken()(1), "on_breach": "header"},
        "on_breach": {"check": ScriptedCheck("BREACH"), "on_breach": Broken()},
    }
    return GuardMiddleware(app, every=5.0, **options[place], **more)


@pytest.mark.parametrize("place", PLACES)
def test_a_crash_of_the_guard_is_never_seen_by_the_client(place: str) -> None:
    sink = RecordingSink()
    guarded = broken_in(place, sinks=[sink])
    assert ask(guarded) == (200, {"content-type": "text/plain"}, b"0.74")
    assert (guarded.crashes, guarded.rejected) == (1, 0)
    (decision,) = sink.decisions
    assert decision.action is Action.ALERT
    assert ("errors" if place == "make" else place) in decision.reason
    assert decision.verdicts[0].severity is Severity.UNKNOWN
    assert decision.at is not None


@pytest.mark.parametrize("place", PLACES)
def test_a_guard_that_fails_closed_answers_503_for_a_while_and_tries_again(place: str) -> None:
    clock = ManualClock()
    guarded = broken_in(place, on_error="closed", clock=clock)
    at_once = place in {"check", "on_breach"}  # else the answer is out when the guard crashes
    assert status(guarded) == (503 if at_once else 200)
    assert status(guarded) == 503
    clock.advance(4.9)
    assert status(guarded) == 503
    before = guarded.crashes
    clock.advance(5.0)
    assert status(guarded) == (503 if at_once else 200)
    assert guarded.crashes == before + 1
    assert status(guarded) == 503


def test_a_guard_that_was_repaired_serves_again() -> None:
    clock, latency = ManualClock(), Repaired()
    guarded = GuardMiddleware(app, latency=latency, on_error="closed", every=5.0, clock=clock)
    assert [status(guarded), status(guarded)] == [200, 503]
    clock.advance(5.0)
    assert [status(guarded), status(guarded)] == [200, 200]


def test_failing_closed_asks_nothing_of_the_check_that_is_merely_unknown() -> None:
    guarded = GuardMiddleware(
        app, check=ScriptedCheck("UNKNOWN"), on_breach="reject", on_error="closed"
    )
    assert (status(guarded), guarded.crashes) == (200, 0)


def crash() -> Verdict:
    raise OSError("no route")


def fine() -> Verdict:
    return Verdict("fine", Severity.OK, "")


@pytest.mark.parametrize(
    ("check", "closed"),
    [
        (crash, 503),
        (worst("all", fine, crash), 503),
        (worst("all", ScriptedCheck("WARN"), crash), 503),  # may yet be a breach
        (best("either", fine, crash), 200),  # whoever crashed cannot make it worse
        (strict(crash), 503),  # a breach, as it asked for
    ],
)
def test_a_crash_deep_in_a_check_is_counted_and_closes_where_it_matters(
    check: Check, closed: int
) -> None:
    guarded = GuardMiddleware(app, check=check, on_breach="reject", on_error="closed")
    assert (status(guarded), guarded.crashes) == (closed, 1)
    status(guarded)
    assert guarded.crashes == 1  # one evaluation crashed, however many requests it served


def test_a_crash_is_counted_each_time_and_told_once_a_minute_for_each_place(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock, sink = ManualClock(), RecordingSink()
    guarded = GuardMiddleware(app, latency=Broken(), errors=Broken(), sinks=[sink], clock=clock)
    with caplog.at_level(logging.WARNING, logger="mlguard"):
        for _ in range(120):
            status(guarded)
            clock.advance(1.0)
    assert guarded.crashes == 240
    assert len(sink.decisions) == 4
    assert len({decision.key for decision in sink.decisions}) == 4
    assert len(caplog.records) == 4
    assert all(record.exc_info for record in caplog.records)


@pytest.mark.parametrize("on_error", ["open", "closed"])
def test_a_sink_that_crashes_is_a_crash_too_and_the_others_hear_of_both(on_error: Any) -> None:
    sink = RecordingSink()
    broken: Callable[[Decision], None] = Broken()
    guarded = GuardMiddleware(app, latency=Broken(), sinks=[broken, sink], on_error=on_error)
    assert status(guarded) == 200
    assert guarded.crashes == 3  # of the meter, and of the sink for the meter and for itself
    assert {decision.reason.split(":")[0].split()[-1] for decision in sink.decisions} == {
        "latency",
        "sink",
    }


def test_a_crash_after_which_nobody_listens_is_still_counted() -> None:
    guarded = GuardMiddleware(app, latency=Broken())
    assert [status(guarded) for _ in range(3)] == [200, 200, 200]
    assert guarded.crashes == 3


# ---------------------------------------------------------------- keys


def test_each_key_has_meters_of_its_own_and_their_number_is_bounded() -> None:
    latency = Keyed(lambda: LatencyBudget({0.99: 0.05}), max_keys=2, by="tenant")
    errors = Keyed(lambda: ErrorBudget(slo=0.999), max_keys=2, by="tenant")
    guarded = GuardMiddleware(
        app, latency=latency, errors=errors, key=lambda scope: scope["tenant"]
    )
    for tenant in ["a", "b", "a", *(f"from outside {n}" for n in range(50)), "x" * 10_000]:
        status(guarded, tenant=tenant)
    assert list(latency) == list(errors) == ["a", "b", "other"]
    counted = {key: meter.totals["requests"] for key, meter in latency.items()}
    assert counted == {"a": 2, "b": 1, "other": 51}
    assert errors["other"].totals["good"] == 51


@pytest.mark.parametrize("key", [None, 7, b"a", ["a"]])
def test_a_request_without_a_usable_key_is_counted_with_the_others(key: Any) -> None:
    errors = Keyed(lambda: ErrorBudget(slo=0.999))
    guarded = GuardMiddleware(app, errors=errors, key=lambda _: key)
    assert status(guarded) == 200
    assert (guarded.crashes, errors["other"].totals["good"]) == (1, 1)


def test_a_key_is_asked_once_and_knows_what_the_app_put_into_the_scope() -> None:
    asked: list[Any] = []

    def key(scope: Any) -> str:
        asked.append(scope)
        return f"with {sorted(scope['mlguard.features'])}"

    latency = Keyed(lambda: StreamLatency(total={0.9: 1.0}))
    errors = Keyed(lambda: ErrorBudget(slo=0.999))
    status(GuardMiddleware(app, latency=latency, errors=errors, key=key))
    assert len(asked) == 1
    assert list(latency) == list(errors) == ["with ['x']"]


# ---------------------------------------------------------------- features


def test_features_are_counted_where_there_is_a_profile() -> None:
    profile = Recorder()
    status(GuardMiddleware(app, profile=profile))
    assert profile.seen == [{"x": 1.0}]

    async def without(_scope: Any, receive: Any, send: Any) -> None:
        await app({}, receive, send)

    status(GuardMiddleware(without, profile=profile))
    assert len(profile.seen) == 1


# ---------------------------------------------------------------- arguments


async def nothing(_: Any) -> None:
    """Do nothing, later."""


@pytest.mark.parametrize(
    ("parameter", "options"),
    [
        ("latency", {"latency": 0.05}),
        ("errors", {"errors": "0.999"}),
        ("profile", {"profile": {}}),
        ("key", {"errors": Keyed(lambda: ErrorBudget(slo=0.999))}),
        ("key", {"errors": ErrorBudget(slo=0.999), "key": str}),
        ("latency", {"latency": ErrorBudget(slo=0.999)}),
        ("errors", {"errors": LatencyBudget({0.99: 0.05})}),
        ("errors", {"errors": StreamLatency(total={0.99: 0.05})}),
        ("check", {"on_breach": "reject"}),
        ("check", {"on_breach": "reject", "check": 5}),
        ("check", {"on_breach": "reject", "latency": Recorder()}),
        ("on_breach", {"on_breach": "explode", "check": fine}),
        ("on_breach", {"on_breach": nothing, "check": fine}),
        ("on_error", {"on_error": "ajar"}),
        ("every", {"every": 0}),
        ("retry_after", {"retry_after": -1.0}),
        ("classify", {"classify": "5xx"}),
        ("sinks", {"sinks": [None]}),
        ("sinks", {"sinks": [nothing]}),
    ],
)
def test_a_bad_argument_is_named(parameter: str, options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=f"^{parameter} = "):
        GuardMiddleware(app, **options)
    if "retry_after" not in options:
        with pytest.raises(ConfigurationError, match=rf"^({parameter}|features) = "):
            wrap(nothing, **options)


def test_an_app_must_be_callable() -> None:
    with pytest.raises(ConfigurationError, match=r"^app = None"):
        GuardMiddleware(None)  # type: ignore[arg-type]


def test_a_forked_child_counts_its_own_crashes() -> None:
    guarded = GuardMiddleware(app, latency=Broken())
    status(guarded)
    guarded._after_fork()
    assert (guarded.crashes, guarded.rejected) == (0, 0)
