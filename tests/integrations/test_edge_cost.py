"""The guard refuses whoever has spent a budget, in ASGI and WSGI alike, and asks no store for it."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from mlguard import Calendar, ConfigurationError, CostBudget, MemoryStore, Rolling
from mlguard.integrations import asgi, wsgi
from mlguard.testing import ManualClock, RecordingSink

NOON = 1_800_014_400.0  # 2027-01-15T12:00:00Z


class Counting(MemoryStore):
    """Counts what it is asked."""

    asked = 0

    def total(self, *args: Any) -> Any:
        Counting.asked += 1
        return super().total(*args)

    def reserve(self, *args: Any) -> Any:
        Counting.asked += 1
        return super().reserve(*args)


def budget(**more: Any) -> CostBudget:
    options: dict[str, Any] = {"window": Calendar("day"), "clock": ManualClock(NOON), **more}
    terms = {"on_store_error": "deny", "on_unsettled": "reserved"}
    return CostBudget("llm", "1 USD", store=Counting(), **options, **terms)  # type: ignore[arg-type]


def spend(of: CostBudget, cost: str, key: str | None = None) -> None:
    with of.reserve(cost, key=key) as call:
        call.settle(cost)
    of.refresh(key)


async def app(_scope: Any, _receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"0.74"})


def wsgi_app(_environ: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", [])
    return [b"0.74"]


class Edges:
    """Both guards, asked alike."""

    def __init__(self, **options: Any) -> None:
        self.asgi = asgi.GuardMiddleware(app, **options)
        self.wsgi = wsgi.GuardMiddleware(wsgi_app, **options)

    def ask(self, **scope: Any) -> list[tuple[int, dict[str, str], bytes]]:
        messages: list[Any] = []

        async def send(message: Any) -> None:
            messages.append(message)

        method = scope.pop("method", "GET")
        asyncio.run(self.asgi({"type": "http", "method": method, **scope}, None, send))  # type: ignore[arg-type]
        named = {name.decode(): value.decode() for name, value in messages[0]["headers"]}
        started: list[Any] = []
        environ = {"REQUEST_METHOD": method, **scope}
        found = self.wsgi(environ, lambda *args: started.append(args))
        status, headers = started[0][:2]
        return [
            (messages[0]["status"], named, messages[1]["body"]),
            (int(status[:3]), {name.lower(): value for name, value in headers}, b"".join(found)),
        ]

    def codes(self, **scope: Any) -> set[int]:
        return {code for code, *_ in self.ask(**scope)}


def test_while_the_cap_is_spent_the_answer_is_429_until_the_window_is_over() -> None:
    clock = ManualClock(NOON)
    llm = budget(clock=clock)
    edges = Edges(cost=llm)
    assert edges.codes() == {200}
    spend(llm, "0.99 USD")
    assert edges.codes() == {200}
    spend(llm, "0.01 USD")
    asked = Counting.asked
    for code, headers, body in edges.ask():
        assert (code, body) == (429, b"Too Many Requests\n")
        assert headers["retry-after"] == "43200"
        assert headers["mlguard-severity"] == "BREACH"
        assert headers["content-length"] == "18"
    assert {body for *_, body in edges.ask(method="HEAD")} == {b""}
    assert Counting.asked == asked
    assert (edges.asgi.rejected, edges.wsgi.rejected) == (2, 2)
    clock.advance(43_200)
    assert edges.codes() == {200}


def test_what_was_seen_too_long_ago_lets_the_next_request_look_again() -> None:
    clock = ManualClock(NOON)
    llm = budget(clock=clock)
    edges = Edges(cost=llm, retry_after=timedelta(seconds=30))
    spend(llm, "1 USD")
    clock.advance(30)
    assert edges.codes() == {429}
    clock.advance(1)
    assert edges.codes() == {200}  # the app reserves, is refused, and we know it anew
    llm.refresh()
    assert edges.codes() == {429}


def test_a_rolling_window_has_no_end_to_wait_for() -> None:
    llm = budget(window=Rolling(3600.0))
    spend(llm, "1 USD")
    assert {headers["retry-after"] for _, headers, _ in Edges(cost=llm).ask()} == {"10"}


def test_each_tenant_meets_a_cap_of_its_own() -> None:
    llm = budget(per="tenant")
    edges = Edges(cost=llm, payer=lambda scope: scope["tenant"])
    spend(llm, "1 USD", "acme")
    assert edges.codes(tenant="acme") == {429}
    assert edges.codes(tenant="umbrella") == {200}


def test_a_payer_that_cannot_be_told_is_served_and_told_of() -> None:
    sink = RecordingSink()
    edges = Edges(cost=budget(per="tenant"), payer=lambda scope: scope["tenant"], sinks=[sink])
    assert edges.codes() == {200}
    assert (edges.asgi.crashes, edges.wsgi.crashes) == (1, 1)
    assert "crashed in cost: crashed: KeyError" in sink.decisions[0].reason


@pytest.mark.parametrize(
    ("parameter", "options"),
    [
        ("cost", {"cost": 5}),
        ("payer", {"payer": str}),
        ("payer", {"cost": budget(), "payer": str}),
        ("payer", {"cost": budget(per="tenant")}),
    ],
)
def test_a_bad_argument_is_named(parameter: str, options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=rf"^{parameter} = "):
        asgi.GuardMiddleware(app, **options)
