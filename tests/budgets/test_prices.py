"""What calls cost: beside an exact Decimal, in every spelling, and never nothing by accident."""

from __future__ import annotations

import copy
import pickle
import random
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Context, Decimal, localcontext
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlguard import ConfigurationError, UnknownCost
from mlguard.budgets.money import Money
from mlguard.budgets.prices import TOKEN_BOUNDS, Price, PriceBook

MILLION = 1_000_000
SMALL = {"input": "0.40", "cached_input": "0.10", "cache_write": "0.50", "output": "1.60"}
PLAIN = {"input": "0.40", "output": "1.60"}

NONE = {"input": 0, "output": 0}
"""What must be told, also where there was none."""

EXACT = Context(prec=200)


def book_of(prices: Mapping[str, Any], per: int = MILLION, **further: Any) -> PriceBook:
    return PriceBook("USD", [Price("m", prices, per=per, **further)])


BOOK = book_of(SMALL)


def spellings(told: Mapping[str, int]) -> dict[str, dict[str, Any]]:
    """Write one usage, whose units do not overlap, as each provider does."""
    plain, cached, written, out, thought = (
        told.get(unit, 0)
        for unit in ("input", "cached_input", "cache_write", "output", "reasoning")
    )
    prompt, completion = plain + cached + written, out + thought
    within = {"cached_tokens": cached, "cache_write_tokens": written, "audio_tokens": 0}
    kinds = {"reasoning_tokens": thought, "accepted_prediction_tokens": 0}
    total = {"total_tokens": prompt + completion}
    return {
        "own": dict(told),
        "chat": {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "prompt_tokens_details": within,
            "completion_tokens_details": {**kinds, "rejected_prediction_tokens": out // 2},
            "service_tier": "default",
            **total,
        },
        "responses": {
            "output_tokens_details": {"reasoning_tokens": thought},
            "input_tokens_details": within,
            "input_tokens": prompt,
            "output_tokens": completion,
            **total,
        },
        "anthropic": {
            "input_tokens": plain,
            "cache_creation_input_tokens": written,
            "cache_read_input_tokens": cached,
            "output_tokens": completion,
            "output_tokens_details": {"thinking_tokens": thought},
            "cache_creation": {
                "ephemeral_5m_input_tokens": written,
                "ephemeral_1h_input_tokens": 0,
            },
            "server_tool_use": None,
            "service_tier": "standard",
        },
        "opentelemetry": {
            "gen_ai.usage.input_tokens": prompt,
            "gen_ai.usage.output_tokens": completion,
            "gen_ai.usage.cache_read.input_tokens": cached,
            "gen_ai.usage.cache_creation.input_tokens": written,
            "gen_ai.usage.reasoning.output_tokens": thought,
        },
    }


def oracle(prices: Mapping[str, str], per: int, told: Mapping[str, int]) -> Decimal:
    """Give the exact cost in nano-units; `per` is a power of ten."""
    with localcontext(EXACT):
        instead = {"cached_input": "input", "reasoning": "output"}
        total = sum(
            (
                count * Decimal(prices.get(unit) or prices[instead[unit]])
                for unit, count in told.items()
            ),
            start=Decimal(0),
        )
        return total / per * 10**9


def assert_rounded_up(cost: Money, exact: Decimal) -> None:
    with localcontext(EXACT):
        assert 0 <= cost.nanos - exact < 1


def calls(seed: int, n: int) -> Iterator[tuple[dict[str, str], int, dict[str, int]]]:
    """Make prices as lists have them, each with some calls."""
    rng = random.Random(seed)  # noqa: S311 -- test data
    for _ in range(n // 100):
        units = [
            "input",
            "cache_write",
            "output",
            *rng.sample(["cached_input", "reasoning"], rng.randrange(3)),
        ]
        prices = {unit: f"{rng.randrange(1, 10**7):08}" for unit in units}
        prices = {unit: f"{digits[:-5]}.{digits[-5:]}" for unit, digits in prices.items()}
        prices = {unit: max(price, "000.00100") for unit, price in prices.items()}
        for _ in range(100):
            size = 10 ** rng.randrange(1, 7)
            every = ["input", "cached_input", "cache_write", "output", "reasoning"]
            yield prices, MILLION, {unit: rng.randrange(size) for unit in every}


@pytest.mark.parametrize("n", [10**4, pytest.param(10**6, marks=pytest.mark.slow)])
def test_it_is_never_below_the_exact_cost_and_less_than_a_nano_above(n: int) -> None:
    book, last = BOOK, None
    sum_of_costs, sum_exact = 0, Decimal(0)
    with localcontext(EXACT):
        for prices, per, told in calls(seed=n, n=n):
            if prices is not last:
                book, last = book_of(prices, per), prices
            cost, exact = book.cost("m", told).nanos, oracle(prices, per, told)
            assert 0 <= cost - exact < 1
            sum_of_costs += cost
            sum_exact += exact
        assert 0 <= sum_of_costs - sum_exact < n


amounts = st.integers(0, 10**9)
prices_of_tokens = st.decimals("0.001", "999.999999", places=6).map(str)
tables = st.fixed_dictionaries(
    {"input": prices_of_tokens, "cache_write": prices_of_tokens, "output": prices_of_tokens},
    optional={"cached_input": prices_of_tokens, "reasoning": prices_of_tokens},
)
usages = st.fixed_dictionaries(
    {"input": amounts, "output": amounts},
    optional={"cached_input": amounts, "cache_write": amounts, "reasoning": amounts},
)


@given(tables, usages)
def test_every_spelling_of_a_usage_costs_the_same(
    prices: dict[str, str], told: dict[str, int]
) -> None:
    book, exact = book_of(prices), oracle(prices, MILLION, told)
    for usage in spellings(told).values():
        cost = book.cost("m", usage)
        assert_rounded_up(cost, exact)
        assert cost == book.cost("m", MappingProxyType(usage))


@given(tables, usages)
def test_the_worst_case_is_one(prices: dict[str, str], told: dict[str, int]) -> None:
    book = book_of(prices)
    prompt = sum(told.get(unit, 0) for unit in ("input", "cached_input", "cache_write"))
    completion = told["output"] + told.get("reasoning", 0)
    worst = book.worst_case("m", input=prompt, output=completion)
    assert worst >= book.cost("m", told)
    kinds = ("input", "cached_input", "cache_write")
    dearest = max(book.cost("m", {**NONE, unit: prompt}) for unit in kinds)
    spoken = max(book.cost("m", {**NONE, unit: completion}) for unit in ("output", "reasoning"))
    assert worst.nanos - (dearest + spoken).nanos in {0, -1}  # rounded once, not twice


@given(
    st.dictionaries(
        st.sampled_from(["request", "row", "second", "gpu_hour", "page"]),
        st.integers(0, 10**12),
        min_size=1,
    ),
    st.decimals("0", "1000", places=20).map(lambda price: f"{price:f}"),
)
def test_other_units_are_priced_by_one(told: dict[str, int], price: str) -> None:
    prices = dict.fromkeys(told, price) | {"input": "1"}
    cost = book_of(prices).cost("m", {"input": 0, **told})
    assert_rounded_up(cost, oracle(dict.fromkeys(told, price), 1, told))


def test_part_of_an_hour_counts_as_it_is_written() -> None:
    book = book_of({"gpu_hour": "2.10", "second": "0.001", "gigabyte": "0.1"}, per=1)
    for tenth in (0.1, Decimal("0.1"), np.float64(0.1)):
        assert book.cost("m", {"gpu_hour": tenth}) == Money("0.21 USD")
    assert book.cost("m", {"second": 1e-7}) == Money("0.000000001 USD")
    assert book.cost("m", {"gigabyte": 2.5, "second": 3}) == Money("0.253 USD")
    assert book.worst_case("m", gpu_hour=0.5) == Money("1.05 USD")


def test_less_than_a_nano_is_a_nano_and_nothing_is_nothing() -> None:
    book = book_of({"input": "0.0025", "output": "0.0025"})
    assert book.cost("m", {**NONE, "input": 1}).nanos == 3
    assert book.cost("m", {"input": 1, "output": 1}).nanos == 5
    assert (
        book.cost("m", {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}).nanos == 0
    )
    assert book_of({"input": 0, "output": "0"}).cost("m", {**NONE, "input": 10**9}).nanos == 0


def test_what_has_no_price_is_taken_at_the_price_of_its_kind_or_refused() -> None:
    book = book_of(PLAIN)
    assert book.cost("m", {**NONE, "cached_input": 10}) == book.cost("m", {**NONE, "input": 10})
    assert book.cost("m", {**NONE, "reasoning": 10}) == book.cost("m", {**NONE, "output": 10})
    for unit in ("cache_write", "cache_write_1h", "audio_input", "audio_output", "image_input"):
        with pytest.raises(
            UnknownCost, match=rf"^{unit} of model 'm' has no price: known are cached"
        ):
            book.cost("m", {**NONE, "input": 5, unit: 1})
        told = {**NONE, "input": 5}
        assert book.cost("m", {**told, unit: 0}) == book.cost("m", told)


def test_an_hour_in_the_cache_has_its_price() -> None:
    usage = {
        "input_tokens": 10,
        "output_tokens": 1,
        "cache_creation_input_tokens": 30,
        "cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20},
    }
    with pytest.raises(UnknownCost, match=r"^cache_write_1h of model 'm' has no price"):
        BOOK.cost("m", usage)
    book = book_of({**SMALL, "cache_write_1h": "0.80"})
    told = {"input": 10, "output": 1, "cache_write": 10, "cache_write_1h": 20}
    assert book.cost("m", usage) == book.cost("m", told)
    assert book.worst_case("m", input=10, output=0) == book.cost(
        "m", {**NONE, "cache_write_1h": 10}
    )


def test_sound_and_tools_are_units_too() -> None:
    book = book_of(
        {**PLAIN, "audio_input": "40", "audio_output": "80", "web_search_requests": "0.01"}
    )
    usage = {
        "prompt_tokens": 100,
        "prompt_tokens_details": {"audio_tokens": 60, "text_tokens": 40},
        "completion_tokens": 50,
        "completion_tokens_details": {"audio_tokens": 20},
        "server_tool_use": {"web_search_requests": 3, "web_fetch_requests": 0},
        "total_tokens": 150,
    }
    told = {
        "input": 40,
        "audio_input": 60,
        "output": 30,
        "audio_output": 20,
        "web_search_requests": 3,
    }
    assert book.cost("m", usage) == book.cost("m", told)


@pytest.mark.parametrize(
    ("usage", "said"),
    [
        ({}, r"^usage = \{\} tells no count, which is not 0"),
        ({"total_tokens": 7}, r"tells no count"),
        ({"service_tier": "standard"}, r"tells no count"),
        ({"prompt_tokens_details": {"cached_tokens": 0}}, r"tells no count"),
        ({"cache_read_input_tokens": None, "cost": 0.5}, r"tells no count"),
        ({"prompt_tokens": None, "completion_tokens": 5}, r"^usage\['prompt_tokens'\] is None"),
        ({"input_tokens": 5, "output_tokens": None}, r"^usage\['output_tokens'\] is None"),
        ({"input": None}, r"^usage\['input'\] is None"),
        ({"page": None}, r"^usage\['page'\] is None"),
        ({"gen_ai.usage.output_tokens": None}, r"^usage\['gen_ai.usage.output_tokens'\] is None"),
        ({"promt_tokens": 5}, r"^usage\['promt_tokens'\] = 5 has no price: .*; did you mean 'prompt_tokens'\?$"),
        ({"input": 5, "pages": 5}, r"did you mean 'page'\?$"),
        ({"input": 5, "xyzzy": 0.5}, r"^usage\['xyzzy'\] = 0\.5 has no price: known are [^?]*$"),
        ({"input": 5, 7: 1}, r"^usage\[7\] = 1 has no price"),
        ({"input": 5, "more": float("nan")}, r"^usage\['more'\] = nan has no price"),
        ({"input": 5, "more": Decimal("sNaN")}, r"^usage\['more'\] = "),
        ({"input": 5, "more": {"deep": [0, {"deeper": 1}]}}, r"^usage\['more'\] = "),
        ({"input": 5, "more": ...}, r"^usage\['more'\] = "),
        ({"input_tokens": 9, "output_tokens": 2, "iterations": [{"type": "compaction", "input_tokens": 180}]}, r"^usage\['iterations'\]"),
        ({"prompt_tokens": 9, "prompt_tokens_details": {"video_tokens": 2}}, r"^usage\['prompt_tokens_details\.video_tokens'\] = 2 has no price"),
        ({"prompt_tokens": 9, "prompt_tokens_details": {"cached_token": 2}}, r"did you mean 'cached_tokens'\?"),
        ({"input_tokens": 9, "server_tool_use": {"web_search_requests": 1}}, r"^usage\['server_tool_use\.web_search_requests'\] = 1"),
        ({"prompt_tokens": 32, "completion_tokens": 9, "total_tokens": 135}, r"^usage\['total_tokens'\] is 135, but the counts make 41"),
    ],
    ids=repr,
)  # fmt: skip
def test_what_is_not_told_is_unknown_not_free(usage: Any, said: str) -> None:
    with pytest.raises(UnknownCost, match=said):
        book_of({**SMALL, "page": "0.01"}).cost("m", usage)


@pytest.mark.parametrize(
    ("usage", "said"),
    [
        (None, r"^usage = None: must be a mapping, such as response\.usage\.model_dump\(\)"),
        (..., r"model_dump"),
        ([("input", 5)], r"model_dump"),
        (5, r"model_dump"),
        ({"prompt_tokens": 5, "prompt_tokens_details": ...}, r"^usage\['prompt_tokens_details'\] = .*model_dump"),
        ({"input": -1}, r"^usage\['input'\] = -1: must be a whole number of at least 0"),
        ({"input": 1.5}, r"^usage\['input'\] = 1\.5: must be a whole number"),
        ({"input": float("nan")}, r"^usage\['input'\] = nan"),
        ({"input": float("inf")}, r"^usage\['input'\] = inf"),
        ({"input": True}, r"^usage\['input'\] = True"),
        ({"input": "5"}, r"^usage\['input'\] = '5'"),
        ({"input": {}}, r"^usage\['input'\] = \{\}"),
        ({"request": 0.5}, r"^usage\['request'\] = 0\.5: must be a whole number"),
        ({"row": 0.5}, r"^usage\['row'\] = 0\.5: must be a whole number"),
        ({"gpu_hour": -0.5}, r"^usage\['gpu_hour'\] = -0\.5: must be a number of at least 0"),
        ({"gpu_hour": float("nan")}, r"^usage\['gpu_hour'\] = .*NaN.*: must be finite"),
        ({"gpu_hour": "0.5"}, r"^usage\['gpu_hour'\] = '0\.5'"),
        ({"page": True}, r"^usage\['page'\] = True"),
        ({"input": 5, "cache_read_input_tokens": -1}, r"^usage\['cache_read_input_tokens'\] = -1"),
        ({"prompt_tokens": 5, "prompt_tokens_details": {"cached_tokens": -1}}, r"^usage\['prompt_tokens_details\.cached_tokens'\] = -1"),
        ({"prompt_tokens": 5, "prompt_tokens_details": {"cached_tokens": 6}}, r"^usage: input = 5: must be at least 6"),
        ({"prompt_tokens": 5, "prompt_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 3}}, r"at least 6"),
        ({"prompt_tokens_details": {"cached_tokens": 6}}, r"^usage: input = 0: must be at least 6"),
        ({"output_tokens": 9, "output_tokens_details": {"reasoning_tokens": 94}}, r"^usage: output = 9: must be at least 94"),
        ({"cache_creation_input_tokens": 5, "cache_creation": {"ephemeral_1h_input_tokens": 6}}, r"^usage: cache_write = 5: must be at least 6"),
        ({"prompt_tokens": 5, "input_tokens": 5}, r"^usage\['input_tokens'\] = 5: must be in one spelling: 5 of input are told"),
        ({"prompt_tokens": 9, "prompt_tokens_details": {"cached_tokens": 4}, "cache_read_input_tokens": 4}, r"in one spelling"),
        ({"gen_ai.usage.cache_write.input_tokens": 2, "gen_ai.usage.cache_creation.input_tokens": 2}, r"in one spelling"),
        ({"input": 5, "total_tokens": "5"}, r"^usage\['total_tokens'\] = '5'"),
        ({"input": 5, "total_tokens": 5.5}, r"^usage\['total_tokens'\] = 5\.5"),
    ],
    ids=repr,
)  # fmt: skip
def test_what_is_no_usage_is_refused(usage: Any, said: str) -> None:
    book = book_of({**SMALL, "gpu_hour": 2, "page": "0.01", "request": 1, "row": 1})
    with pytest.raises(ConfigurationError, match=said):
        book.cost("m", usage)


@pytest.mark.parametrize(
    "more",
    [
        {"service_tier": "flex", "inference_geo": None, "speed": "standard", "is_byok": False},
        {"cost": 0.0123, "cost_details": {"upstream_inference_cost": 0.0123}},
        {"prompt_tokens_details": None, "completion_tokens_details": None, "server_tool_use": None},
        {"prompt_tokens_details": {"cached_tokens": None, "audio_tokens": None}},
        {"prompt_tokens_details": {}, "cache_read_input_tokens": None, "cache_creation": None},
        {"iterations": [], "num_sources_used": 0, "new_tokens": {"kind": "x", "some": [0, 0.0]}},
        {"input_tokens": 0, "total_tokens": None},
        {"total_tokens": 12},
        {"prompt_tokens_details": {"text_tokens": 12, "video_tokens": 0}},
    ],
    ids=repr,
)
def test_what_cannot_cost_anything_is_passed_over(more: dict[str, Any]) -> None:
    usage = {"prompt_tokens": 12, "completion_tokens": 3}
    assert BOOK.cost("m", {**usage, **more}) == BOOK.cost("m", usage)


@pytest.mark.parametrize(
    "count", [np.int64(5), 5.0, Decimal(5), 5], ids=["numpy", "float", "Decimal", "int"]
)
def test_a_whole_count_may_be_of_any_kind(count: Any) -> None:
    assert BOOK.cost("m", {**NONE, "input": count}) == Money("0.000002 USD")


def test_a_main_count_that_is_missing_is_unknown_and_never_nothing() -> None:
    for usage in (
        {"output_tokens": 300},  # the last message of Anthropic's stream
        {"prompt_tokens": 300},
        {"output": 300},
        {"cached_input": 5, "output": 300},
    ):
        with pytest.raises(UnknownCost, match=r"has a price and is not told"):
            BOOK.cost("m", usage)
    with pytest.raises(UnknownCost, match=r"^output has a price and is not told"):
        BOOK.worst_case("m", input=1000)
    embedding = book_of({"input": "0.02"})
    assert embedding.cost("m", {"prompt_tokens": 1000}) == Money("0.00002 USD")


def test_the_worst_case_needs_a_bound_and_a_price() -> None:
    with pytest.raises(UnknownCost, match=r"tells no count"):
        BOOK.worst_case("m")
    with pytest.raises(
        UnknownCost, match=r"^usage\['outputs'\] = 5 has no price: .*did you mean 'output'"
    ):
        BOOK.worst_case("m", input=5, outputs=5)
    with pytest.raises(UnknownCost, match=r"^usage\['output'\] is None"):
        BOOK.worst_case("m", input=5, output=None)  # type: ignore[arg-type]
    with pytest.raises(UnknownCost, match=r"^output of model 'm' has no price"):
        book_of({"input": "0.02"}).worst_case("m", input=5, output=5)
    with pytest.raises(UnknownCost, match=r"^model 'n' has no price"):
        BOOK.worst_case("n", input=5)


published = st.decimals("0.0025", "600", places=4)


@given(published)
def test_a_mix_up_by_a_million_is_caught_both_ways(million: Decimal) -> None:
    one = million.scaleb(-6)
    assert book_of({"input": million}).cost("m", {"input": MILLION}) == Money(million, "USD")
    assert book_of({"input": one}, per=1).cost("m", {"input": MILLION}) == Money(million, "USD")
    with pytest.raises(ConfigurationError, match=r"price of a million\? then say per=1_000_000$"):
        book_of({"input": million}, per=1)
    with pytest.raises(ConfigurationError, match=r"price of one\? then leave out per=1000000$"):
        book_of({"input": one})


def test_the_bounds_are_those_of_the_currency() -> None:
    yen = [Price("m", {"input": "90000"}, per=MILLION)]
    with pytest.raises(
        ConfigurationError,
        match=r"^price of input of model 'm' = '90000 JPY for 1000000'.*: another currency may need other token_bounds$",
    ):
        PriceBook("JPY", yen)
    book = PriceBook("JPY", yen, token_bounds=("0.0000001", "0.1"))
    assert book.token_bounds == (Decimal("0.0000001"), Decimal("0.1"))
    low, high = map(Decimal, TOKEN_BOUNDS)
    assert low * MILLION == high
    assert book_of({"input": low}, per=1).models == ("m",)
    with pytest.raises(
        ConfigurationError, match=r"must be 0, or 0\.000000001 to less than 0\.001 for one"
    ):
        book_of({"input": high}, per=1)
    assert book_of({"row": 10**6, "request": "0.00000000000000000001"}, per=1).models == ("m",)


@pytest.mark.parametrize(
    "bounds",
    [
        "12",
        5,
        (),
        ("1",),
        ("1", "2", "3"),
        ("0", "1"),
        ("-1", "1"),
        ("2", "1"),
        (0.1, "1"),
        ("1", "1"),
    ],
    ids=repr,
)
def test_bounds_are_two_prices(bounds: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^token_bounds = "):
        PriceBook("USD", [Price("m", PLAIN, per=MILLION)], token_bounds=bounds)


JANUARY, JULY = (datetime(2026, month, 1, tzinfo=UTC) for month in (1, 7))


def dated(**further: Any) -> PriceBook:
    new = Price("m", {"input": "2"}, per=MILLION, since="2026-07-01", source="July")
    old = Price("m", {"input": "1"}, per=MILLION, since="2026-01-01", source="January")
    return PriceBook("USD", [new, old, Price("n", {"row": 1})], **further)


@pytest.mark.parametrize(
    ("at", "source"),
    [
        (JANUARY, "January"),
        (JANUARY.timestamp(), "January"),
        (JULY - timedelta(seconds=1), "January"),
        (JULY.timestamp() - 1e-3, "January"),
        (JULY, "July"),
        (JULY.astimezone(timezone(timedelta(hours=-8))), "July"),
        (datetime(2030, 1, 1, tzinfo=UTC), "July"),
    ],
)
def test_the_price_is_the_latest_that_has_begun(at: Any, source: str) -> None:
    assert dated().price("m", at=at).source == source
    now = at if isinstance(at, float) else at.timestamp()
    assert dated(clock=lambda: now).price("m").source == source
    cost = Money("1 USD") if source == "January" else Money("2 USD")
    assert dated().cost("m", {"input": MILLION}, at=at) == cost
    assert dated().worst_case("m", input=MILLION, at=at) == cost
    assert dated().price("n", at=0.0).prices == {"row": Decimal(1)}


def test_before_the_first_price_the_cost_is_unknown() -> None:
    said = (
        r"^model 'm' had no price at 2025-12-31T23:59:59Z: the first begins 2026-01-01T00:00:00Z$"
    )
    for at in (JANUARY - timedelta(seconds=1), JANUARY.timestamp() - 1):
        with pytest.raises(UnknownCost, match=said):
            dated().cost("m", {"input": 1}, at=at)
    with pytest.raises(UnknownCost, match=said):
        dated(clock=lambda: JANUARY.timestamp() - 1).price("m")


@pytest.mark.parametrize("at", [datetime(2026, 8, 1), "2026-08-01", float("nan")], ids=repr)  # noqa: DTZ001 -- a naive one is the case
def test_what_is_no_moment_is_refused(at: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^at = "):
        dated().cost("m", {"input": 1}, at=at)


@pytest.mark.parametrize(
    "since", ["2026-07-01", date(2026, 7, 1), JULY, JULY.timestamp()], ids=repr
)
def test_a_price_begins_at_midnight(since: Any) -> None:
    assert Price("m", PLAIN, per=MILLION, since=since).since == JULY.timestamp()


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("llm-smal", r"^model 'llm-smal' has no price: known are forest, llm-small; did you mean 'llm-small'\?$"),
        ("xyzzy", r"^model 'xyzzy' has no price: known are forest, llm-small$"),
        ("", r"^model '' has no price"),
        (None, r"^model None has no price"),
        (["m"], r"^model \['m'\] has no price"),
    ],
)  # fmt: skip
def test_an_unknown_model_is_named_with_those_known(model: Any, said: str) -> None:
    book = PriceBook("USD", [Price("llm-small", PLAIN, per=MILLION), Price("forest", {"row": 1})])
    for ask in (lambda: book.cost(model, {"input": 1}), lambda: book.price(model)):
        with pytest.raises(UnknownCost, match=said):
            ask()
    assert book.models == ("llm-small", "forest")


def test_a_long_list_is_cut_short() -> None:
    book = PriceBook("USD", [Price(f"m{i:03}", {"row": 1}) for i in range(100)])
    with pytest.raises(UnknownCost, match=r"known are m000, m001, .*, m007 and 92 more; did you"):
        book.price("m1000")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"model": ""}, r"^model = ''"),
        ({"model": None}, r"^model = None"),
        ({"prices": {}}, r"^prices = \{\}: must be a mapping of units to prices"),
        ({"prices": [("input", "1")]}, r"^prices = "),
        ({"prices": {"": "1"}}, r"^prices = ''"),
        ({"prices": {5: "1"}}, r"^prices = 5"),
        ({"prices": {"prompt_tokens": "1"}}, r"^prices = 'prompt_tokens': must be the name of a unit, here 'input'"),
        ({"prices": {"cache_creation_input_tokens": "1"}}, r"here 'cache_write'"),
        ({"prices": {"total_tokens": "1"}}, r"^prices = 'total_tokens': must be the name of a unit"),
        ({"prices": {"prompt_tokens_details": "1"}}, r"^prices = 'prompt_tokens_details'"),
        ({"prices": {"input": 0.4}}, r"^prices\['input'\] = 0\.4: must be exact, which a float is not"),
        ({"prices": {"input": "-0.4"}}, r"^prices\['input'\] = '-0\.4': must be at least 0"),
        ({"prices": {"input": "0,4"}}, r"^prices\['input'\] = '0,4': must be digits"),
        ({"prices": {"input": None}}, r"^prices\['input'\] = None"),
        ({"prices": {"input": True}}, r"^prices\['input'\] = True"),
        ({"prices": {"input": Decimal("NaN")}}, r"^prices\['input'\] = "),
        ({"prices": {"page": Decimal("1E-999999999")}}, r"^prices\['page'\] = "),
        ({"per": 0}, r"^per = 0"),
        ({"per": 1.5}, r"^per = 1\.5"),
        ({"per": None}, r"^per = None"),
        ({"prices": {"row": "5"}}, r"^per = 1000000: must be 1: it is for tokens, and \['row'\] are"),
        ({"since": "July"}, r"^since = 'July': must be a date"),
        ({"since": "2026-07-01T00:00"}, r"^since = "),
        ({"since": datetime(2026, 7, 1)}, r"^since = .*aware datetime"),  # noqa: DTZ001 -- a naive one is the case
        ({"since": float("nan")}, r"^since = "),
        ({"source": None}, r"^source = None: must be a string"),
    ],
    ids=repr,
)  # fmt: skip
def test_what_is_no_price_is_refused(arguments: dict[str, Any], said: str) -> None:
    good: dict[str, Any] = {"model": "m", "prices": PLAIN, "per": MILLION}
    with pytest.raises(ConfigurationError, match=said):
        Price(**{**good, **arguments})


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("usd", [Price("m", {"row": 1})]), r"^currency = 'usd'"),
        (("USD", []), r"^prices = \(\): must be at least one Price"),
        (("USD", [PLAIN]), r"^prices = "),
        (("USD", None), r"^prices = None"),
        (("USD", [Price("m", {"row": 1})] * 2), r"^prices = 'm': must be given once for each time: two have no since"),
        (("USD", [Price("m", {"row": 1}, since=JULY)] * 2), r"two begin 2026-07-01T00:00:00Z$"),
    ],
    ids=repr,
)  # fmt: skip
def test_what_is_no_book_is_refused(arguments: Any, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        PriceBook(*arguments)
    with pytest.raises(ConfigurationError, match=r"^clock = 5"):
        PriceBook("USD", [Price("m", {"row": 1})], clock=5)  # type: ignore[arg-type]


def test_the_context_of_decimal_has_no_say() -> None:
    expected = dated().cost("m", {"input": 123_456_789}, at=JULY)
    with localcontext(Context(prec=1, Emax=1, Emin=-1)) as hostile:
        for signal in hostile.traps:
            hostile.traps[signal] = True
        assert dated().cost("m", {"input": 123_456_789}, at=JULY) == expected
        hours = book_of({"gpu_hour": Decimal("2.123456789")}, per=1)
        assert hours.cost("m", {"gpu_hour": 0.123}).nanos == 261_185_186
        with pytest.raises(ConfigurationError, match="say per=1_000_000"):
            book_of(SMALL, per=1)
        with pytest.raises(ConfigurationError, match="finite"):
            hours.cost("m", {"gpu_hour": float("nan")})


def test_they_are_values() -> None:
    book = dated()
    twin = pickle.loads(pickle.dumps(book))  # noqa: S301 -- our own
    assert twin == book == copy.deepcopy(book)
    assert hash(twin) == hash(book)
    assert twin.cost("m", {"input": 5}, at=JULY) == book.cost("m", {"input": 5}, at=JULY)
    price = book.prices[0]
    assert copy.copy(price) == price
    assert hash(copy.copy(price)) == hash(price)
    assert price != book.prices[1]
    for value, field in ((book, "currency"), (price, "prices")):
        with pytest.raises(AttributeError):
            setattr(value, field, 5)
    with pytest.raises(TypeError):
        price.prices["input"] = Decimal(0)  # type: ignore[index]
    table = dict(PLAIN)
    kept = Price("m", table, per=MILLION)
    table["input"] = "0"
    assert kept.prices["input"] == Decimal("0.40")
