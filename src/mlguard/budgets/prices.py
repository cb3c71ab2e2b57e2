"""Prices with a date, and what a call costs by them."""

from __future__ import annotations

import math
import time
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction
from functools import partial
from types import MappingProxyType
from typing import Any

from mlguard.arguments import instances, moment, name_of, refusal, shown, whole
from mlguard.budgets.money import NANOS, Money, currency_of, decimal_of
from mlguard.budgets.usage import (
    OWN,
    REMARKS,
    SPELLINGS,
    TOKENS,
    close_to,
    counts_of,
    unpriced,
)
from mlguard.errors import UnknownCost
from mlguard.records import iso

MILLION = 1_000_000

TOKEN_BOUNDS = ("0.000000001", "0.001")
"""Of the price of one token: it is at least the first and less than the second.

Published prices are 0.0025 to 600 US dollars a million (2026). The bounds are a million times
apart, so that a price mixed up by a million always lies outside.
"""

_MAIN = ("input", "output")
_INSTEAD = {"cached_input": "input", "reasoning": "output"}
_DEAREST = {
    "input": ("input", "cached_input", "cache_write", "cache_write_1h"),
    "output": ("output", "reasoning"),
}


@dataclass(frozen=True, slots=True, init=False)
class Price:
    """What the units of a model cost from a day on. Immutable, and so thread-safe.

    Args:
        model: Its name, as calls give it. What has a price of its own, such as a batch tier, is
            a model of its own.
        prices: Of each unit, in the currency of the book: strings of digits, ints or Decimals.
            Tokens are `input`, `cached_input`, `cache_write`, `cache_write_1h`, `output`,
            `reasoning`, `audio_input`, `audio_output`, `image_input` and `image_output`; further
            units are `request`, `row`, `second`, `gpu_hour` and any name of your own or of a
            provider's tool. Without a price of its own, `cached_input` costs what `input` does
            and `reasoning` what `output` does; any other is unknown, since it may cost more.
        per: How many tokens the prices of tokens are for: 1 or, as lists have it, 1_000_000. All
            other units are priced by one, whatever `per` is.
        since: When it begins to hold: a date or "2026-07-01", from midnight UTC, an aware datetime
            or Unix seconds. Always, if not given.
        source: Where it was read, for the audit.

    Raises:
        ConfigurationError: An argument is not of its kind, or a price is negative or a float.

    Examples:
        >>> Price("llm-small", {"input": "0.40", "output": "1.60"}, per=1_000_000).prices["output"]
        Decimal('1.60')
    """

    model: str
    prices: Mapping[str, Decimal]
    _: KW_ONLY
    per: int
    since: float | None
    source: str

    def __init__(
        self,
        model: str,
        prices: Mapping[str, str | int | Decimal],
        *,
        per: int = 1,
        since: str | date | float | None = None,
        source: str = "",
    ) -> None:
        put = object.__setattr__
        put(self, "model", name_of("model", model))
        if not isinstance(prices, Mapping) or not prices:
            raise refusal("prices", prices, 'a mapping of units to prices, as {"input": "0.40"}')
        put(self, "prices", MappingProxyType({unit: _price(unit, prices[unit]) for unit in prices}))
        put(self, "per", whole("per", per, 1))
        if self.per > 1 and not TOKENS & prices.keys():
            raise refusal(
                "per", per, f"1: it is for tokens, and {sorted(prices)} are priced by one"
            )
        put(self, "since", None if since is None else _begin("since", since))
        if not isinstance(source, str):
            raise refusal("source", source, "a string")
        put(self, "source", source)

    def of_one(self, unit: str) -> Fraction:
        """Give the price of one of a unit, exactly."""
        return Fraction(self.prices[unit]) / (self.per if unit in TOKENS else 1)

    def __hash__(self) -> int:
        return hash((self.model, self.since))

    def __reduce__(self) -> tuple[Any, ...]:
        named = partial(Price, per=self.per, since=self.since, source=self.source)
        return named, (self.model, dict(self.prices))


@dataclass(frozen=True, slots=True)
class _Rates:
    """A price made ready: nano-units as whole numbers over one denominator. Immutable."""

    price: Price
    nanos: dict[str, int]
    dearest: dict[str, int]
    over: int


@dataclass(frozen=True, slots=True, init=False)
class PriceBook:
    """The prices of models, and what their calls cost. Immutable, and so thread-safe.

    A cost is exact until its end, where it is rounded up once, to a nano-unit. What has no price
    raises; nothing is free because nobody wrote it down.

    Args:
        currency: Of all prices, three capital letters.
        prices: Of each model one, or several that begin at different times.
        token_bounds: What one token costs at least, and less than what, to catch the price of a
            million taken for that of one and the reverse. 0, for free, passes. The default,
            `TOKEN_BOUNDS`, is for US dollars and currencies of about that size.
        clock: Gives Unix seconds, where no `at` says which price is in force.

    Raises:
        ConfigurationError: An argument is not of its kind, a price is out of bounds, or two
            prices of a model begin together.

    Examples:
        >>> book = PriceBook(
        ...     "USD",
        ...     [
        ...         Price("llm-small", {"input": "0.40", "output": "1.60"}, per=1_000_000),
        ...         Price("forest", {"request": "0.000002", "gpu_hour": "2.10"}),
        ...     ],
        ... )
        >>> print(book.cost("llm-small", {"prompt_tokens": 1200, "completion_tokens": 300}))
        0.00096 USD
        >>> print(book.cost("forest", {"request": 1, "gpu_hour": 0.5}))
        1.050002 USD
    """

    currency: str
    prices: tuple[Price, ...]
    _: KW_ONLY
    token_bounds: tuple[Decimal, Decimal]
    clock: Callable[[], float]
    _histories: dict[str, tuple[list[float], list[_Rates]]] = field(repr=False, compare=False)

    def __init__(
        self,
        currency: str,
        prices: Iterable[Price],
        *,
        token_bounds: Sequence[str | int | Decimal] = TOKEN_BOUNDS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        put = object.__setattr__
        put(self, "currency", currency_of("currency", currency))
        put(self, "prices", instances((Price,), "prices", prices))
        put(self, "token_bounds", _bounds(token_bounds))
        if not callable(clock):
            raise refusal("clock", clock, "a callable that gives Unix seconds")
        put(self, "clock", clock)
        for price in self.prices:
            for unit in price.prices:
                if unit in TOKENS:
                    self._check_bounds(price, unit)
        put(self, "_histories", _histories(self.prices))

    @property
    def models(self) -> tuple[str, ...]:
        """The names of the models that have a price, in the order of their first."""
        return tuple(self._histories)

    def price(self, model: str, *, at: float | datetime | None = None) -> Price:
        """Give the price in force at a time, Unix seconds or an aware datetime; now by default.

        Raises:
            UnknownCost: The model has no price, or none that had begun.
        """
        return self._rates(model, at).price

    def cost(
        self, model: str, usage: Mapping[str, Any], *, at: float | datetime | None = None
    ) -> Money:
        """Give what a call has cost, from its usage as the provider told it.

        The usage is in the spelling of OpenAI's chat completions or responses, of Anthropic, of
        OpenTelemetry's `gen_ai.usage` attributes, or in the units of `Price`. Each is read as its
        provider counts: OpenAI's cached tokens are within the prompt, Anthropic's beside it.
        Own units do not overlap either. A tier, region or speed is not read.

        Args:
            model: Whose price is to be taken.
            usage: A mapping; of a client's object its `model_dump()`.
            at: When the call was made, Unix seconds or an aware datetime; now by default.

        Raises:
            UnknownCost: The model, a unit or a count is unknown, no price had begun, or input or
                output has a price and is not told.
            ConfigurationError: The usage is no mapping or contradicts itself.
        """
        rates = self._rates(model, at)
        return self._sum(rates, rates.nanos, usage)

    def worst_case(
        self,
        model: str,
        *,
        at: float | datetime | None = None,
        **units: float | Decimal,
    ) -> Money:
        """Give what a call costs at most, from bounds on its units: what to reserve for it.

        Each token of `input` is taken at the dearest of plain, cached and newly cached input, each
        of `output` at the dearest of output and reasoning. All else is taken as in `cost`: audio
        and images need bounds of their own.

        Raises:
            UnknownCost: The model or a unit has no price, or no bound is given.

        Examples:
            >>> small = {"input": "0.40", "cache_write": "0.50", "output": "1.60"}
            >>> book = PriceBook("USD", [Price("llm-small", small, per=1_000_000)])
            >>> print(book.worst_case("llm-small", input=4000, output=1000))
            0.0036 USD
        """
        rates = self._rates(model, at)
        return self._sum(rates, rates.dearest, units)

    def _rates(self, model: str, at: float | datetime | None) -> _Rates:
        if not isinstance(model, str) or model not in self._histories:
            meant = close_to(str(model), frozenset(self._histories))
            raise unpriced(f"model {shown(model)}", self._histories, meant)
        starts, rates = self._histories[model]
        now = self.clock() if at is None else moment("at", at)
        begun = bisect_right(starts, now)
        if not begun:
            begins = f"the first begins {iso(starts[0])}"
            raise UnknownCost(f"model {model!r} had no price at {iso(now)}: {begins}")
        return rates[begun - 1]

    def _sum(self, rates: _Rates, nanos: dict[str, int], usage: Mapping[str, Any]) -> Money:
        total: int | Fraction = 0
        counts = counts_of(usage, nanos)
        for unit in _MAIN:
            if unit in nanos and unit not in counts:
                raise UnknownCost(f"{unit} has a price and is not told: say 0 where there was none")
        for unit, count in counts.items():
            if unit in nanos:
                total += count * nanos[unit]
            elif count:
                raise unpriced(f"{unit} of model {rates.price.model!r}", nanos)
        return Money.of_nanos(-(-total // rates.over), self.currency)

    def _check_bounds(self, price: Price, unit: str) -> None:
        low, high = map(Fraction, self.token_bounds)
        one, per = price.of_one(unit), price.per
        if not one or low <= one < high:
            return
        hint = "another currency may need other token_bounds"
        if one >= high and low <= one * per / MILLION < high:
            hint = "is this the price of a million? then say per=1_000_000"
        elif one < low <= one * per < high:
            hint = f"is this the price of one? then leave out per={per}"
        value = f"{price.prices[unit]:f} {self.currency} for {per}"
        bounds = " to less than ".join(f"{bound:f}" for bound in self.token_bounds)
        where = f"price of {unit} of model {price.model!r}"
        raise refusal(where, value, f"0, or {bounds} for one token: {hint}")


def _price(unit: object, value: object) -> Decimal:
    if not isinstance(unit, str) or not unit.strip():
        raise refusal("prices", unit, "named by strings that are not empty")
    if unit in REMARKS or (unit in SPELLINGS and unit not in OWN):
        known = f", here {SPELLINGS[unit].unit!r}" if unit in SPELLINGS else ""
        raise refusal("prices", unit, f"the name of a unit{known}: usage has another use for it")
    price = decimal_of(f"prices[{unit!r}]", value)
    if price < 0:
        raise refusal(f"prices[{unit!r}]", value, "at least 0")
    return price


def _begin(parameter: str, value: object) -> float:
    if isinstance(value, str):
        try:
            value = date.fromisoformat(value)
        except ValueError:
            raise refusal(parameter, value, 'a date, such as "2026-07-01"') from None
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day, tzinfo=UTC)
    return moment(parameter, value)


def _bounds(bounds: Sequence[str | int | Decimal]) -> tuple[Decimal, Decimal]:
    if isinstance(bounds, str) or not isinstance(bounds, Sequence) or len(bounds) != 2:  # noqa: PLR2004
        raise refusal("token_bounds", bounds, "two prices of a token, the least and the greatest")
    low, high = (decimal_of("token_bounds", bound) for bound in bounds)
    if not 0 < low < high:
        raise refusal("token_bounds", bounds, "above 0, the least below the greatest")
    return low, high


def _histories(prices: Sequence[Price]) -> dict[str, tuple[list[float], list[_Rates]]]:
    """Give the prices of each model in the order of their beginnings, these apart for bisection."""
    if not prices:
        raise refusal("prices", prices, "at least one Price")
    histories: dict[str, tuple[list[float], list[_Rates]]] = {}
    for price in prices:
        starts, rates = histories.setdefault(price.model, ([], []))
        start = -math.inf if price.since is None else price.since
        place = bisect_right(starts, start)
        if starts[place - 1 : place] == [start]:
            begin = "have no since" if price.since is None else f"begin {iso(price.since)}"
            raise refusal("prices", price.model, f"given once for each time: two {begin}")
        starts.insert(place, start)
        rates.insert(place, _ready(price))
    return histories


def _ready(price: Price) -> _Rates:
    exact = {unit: price.of_one(unit) * NANOS for unit in price.prices}
    for unit, instead in _INSTEAD.items():
        if unit not in exact and instead in exact:
            exact[unit] = exact[instead]
    over = math.lcm(*(nanos.denominator for nanos in exact.values()))
    nanos = {unit: int(each * over) for unit, each in exact.items()}
    dearest = dict(nanos)
    for unit, kinds in _DEAREST.items():
        if unit in nanos:
            dearest[unit] = max(nanos[kind] for kind in kinds if kind in nanos)
    return _Rates(price, nanos, dearest, over)
