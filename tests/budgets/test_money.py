"""Money that is exact: its laws, its text, and what it refuses."""

from __future__ import annotations

import copy
import operator
import pickle
from collections.abc import Callable
from decimal import Context, Decimal, DefaultContext, FloatOperation, localcontext
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlguard import ConfigurationError
from mlguard.budgets.money import Money, currency_of, decimal_of, money_of

BELOW = 10**27
nanos = st.integers(1 - BELOW, BELOW - 1)
currencies = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ", min_size=3, max_size=3)
dollars = nanos.map(lambda n: Money.of_nanos(n, "USD"))

HOSTILE = Context(prec=1, Emax=1, Emin=-1, traps=[*DefaultContext.traps, FloatOperation])
for signal in HOSTILE.traps:
    HOSTILE.traps[signal] = True


@given(nanos, currencies)
def test_its_text_reads_back_as_itself(n: int, currency: str) -> None:
    money = Money.of_nanos(n, currency)
    assert Money(str(money)) == money
    assert eval(repr(money)) == money  # noqa: S307 -- our own
    assert Money(money.amount, currency) == money
    assert Money(f"{money.amount:f}", currency) == money
    assert Fraction(money.amount) == Fraction(n, 10**9)


@given(nanos)
def test_its_text_is_the_shortest_with_two_decimals(n: int) -> None:
    number, currency = str(Money.of_nanos(n, "USD")).split(" ")
    whole, decimals = number.split(".")
    assert currency == "USD"
    assert Fraction(number) == Fraction(n, 10**9)
    assert len(decimals) == 2 or (2 < len(decimals) <= 9 and not decimals.endswith("0"))
    assert whole.lstrip("-") == str(abs(n) // 10**9)
    assert number.startswith("-") is (n < 0)


@pytest.mark.parametrize(
    ("money", "n", "text"),
    [
        (Money("12.50 USD"), 12_500_000_000, "12.50 USD"),
        (Money("12.5", "USD"), 12_500_000_000, "12.50 USD"),
        (Money(12, "USD"), 12_000_000_000, "12.00 USD"),
        (Money(Decimal("0.5"), "USD"), 500_000_000, "0.50 USD"),
        (Money(Decimal("5E-7"), "USD"), 500, "0.0000005 USD"),
        (Money(Decimal("1E+3"), "JPY"), 10**12, "1000.00 JPY"),
        (Money(Decimal("0.10000000000000"), "USD"), 10**8, "0.10 USD"),
        (Money(Decimal("0E-999999999999"), "USD"), 0, "0.00 USD"),
        (Money("-0.000000001 USD"), -1, "-0.000000001 USD"),
        (Money("-0 USD"), 0, "0.00 USD"),
        (Money("007 EUR"), 7 * 10**9, "7.00 EUR"),
        (Money("0.000002 USD"), 2_000, "0.000002 USD"),
        (Money(f"{'9' * 18}.{'9' * 9} USD"), BELOW - 1, f"{'9' * 18}.{'9' * 9} USD"),
        (Money(np.int64(3), "USD"), 3 * 10**9, "3.00 USD"),  # type: ignore[arg-type]
        (Money.of_nanos(np.int64(3), "USD"), 3, "0.000000003 USD"),  # type: ignore[arg-type]
    ],
)
def test_it_is_read_exactly(money: Money, n: int, text: str) -> None:
    assert (money.nanos, type(money.nanos), str(money)) == (n, int, text)
    assert repr(money) == f'Money("{text}")'


@given(dollars, dollars, dollars, st.integers(-(10**6), 10**6))
def test_it_adds_like_whole_numbers(a: Money, b: Money, c: Money, times: int) -> None:
    zero = Money(0, "USD")
    assert (a + b) + c == a + (b + c)
    assert a + b == b + a
    assert a + zero == a == a - zero
    assert a - b == a + (-b) == -(b - a)
    assert times * (a + b) == a * times + b * times
    assert (a + b).nanos == a.nanos + b.nanos
    assert sum([a, b, c], start=zero) == a + b + c


@given(dollars, dollars)
def test_it_is_ordered_like_whole_numbers(a: Money, b: Money) -> None:
    for order in (operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne):
        assert order(a, b) is order(a.nanos, b.nanos)
        assert order(a, copy.copy(a)) is order(0, 0)
    assert len({a, b}) == len({a.nanos, b.nanos})


def test_ten_times_a_tenth_is_one() -> None:
    assert sum([Money("0.1 USD")] * 10, start=Money("0 USD")) >= Money("1 USD")


@pytest.mark.parametrize(
    "operation",
    [operator.add, operator.sub, operator.lt, operator.le, operator.gt, operator.ge],
)
def test_two_currencies_do_not_meet(operation: Callable[[Money, Money], object]) -> None:
    with pytest.raises(
        ConfigurationError, match=r"^currency = 'EUR': must be USD, as 3\.00 USD is"
    ):
        operation(Money("3 USD"), Money("3 EUR"))


def test_two_currencies_are_unequal() -> None:
    assert Money("3 USD") != Money("3 EUR")
    assert Money("0 USD") != Money("0 EUR")
    assert len({Money("3 USD"), Money("3 EUR"), Money("3.00 USD")}) == 2


@pytest.mark.parametrize("other", [1, 1.0, Decimal(1), "1 USD", None, True], ids=repr)
@pytest.mark.parametrize("operation", [operator.add, operator.sub, operator.lt, operator.le])
def test_it_meets_nothing_but_money(operation: Callable[[Any, Any], object], other: Any) -> None:
    one = Money("1 USD")
    assert one != other
    for pair in ((one, other), (other, one)):
        with pytest.raises(TypeError):
            operation(*pair)


@pytest.mark.parametrize("times", [1.5, Decimal(2), True, "2", None, Money("2 USD")], ids=repr)
def test_only_a_whole_number_multiplies(times: Any) -> None:
    with pytest.raises(TypeError):
        Money("1 USD") * times


@pytest.mark.parametrize(
    ("arguments", "parameter", "allowed"),
    [
        ((0.1, "USD"), "amount = 0.1", 'exact, which a float is not: write "0.1"'),
        ((np.float64(0.5), "USD"), "amount = ", "exact, which a float is not"),
        ((float("nan"), "USD"), "amount = nan", "exact, which a float is not"),
        ((0.1,), "amount = 0.1", "exact, which a float is not"),
        ((True, "USD"), "amount = True", "a string of digits, a whole number or a Decimal"),
        ((None, "USD"), "amount = None", "a string of digits"),
        ((np.float32(0.5), "USD"), "amount = ", "a string of digits"),
        ((Fraction(1, 2), "USD"), "amount = ", "a string of digits"),
        ((b"1", "USD"), "amount = ", "a string of digits"),
        ((Money("1 USD"), "USD"), "amount = ", "a string of digits"),
        (("1,000.00 USD",), "amount = '1,000.00'", "no commas, blanks or exponents"),
        (("12,50 USD",), "amount = '12,50'", "no commas, blanks or exponents"),
        (("1e3 USD",), "amount = '1e3'", "no commas, blanks or exponents"),
        (("1_000 USD",), "amount = '1_000'", "digits"),
        (("NaN USD",), "amount = 'NaN'", "digits"),
        (("inf USD",), "amount = 'inf'", "digits"),
        (("+1 USD",), "amount = '\\+1'", "digits"),
        (("1. USD",), "amount = '1.'", "digits"),
        ((".5 USD",), "amount = '.5'", "digits"),
        (("--1 USD",), "amount = '--1'", "digits"),
        (("\N{ARABIC-INDIC DIGIT ONE} USD",), "amount = ", "digits"),
        (("1\n USD",), "amount = ", "digits"),
        ((" 1 USD",), "amount = ''", "digits"),
        (("$1 USD",), "amount = ", "digits"),
        (("1 USD", "USD"), "amount = '1 USD'", "no commas, blanks"),
        (("",), "amount = ''", 'a number and a currency, such as "12.50 USD"'),
        (("12.50",), "amount = '12.50'", 'a number and a currency, such as "12.50 USD"'),
        (("12.50USD",), "amount = '12.50USD'", "a number and a currency"),
        (("0.0000000001 USD",), "amount = '0.0000000001'", "at most 9 decimals"),
        ((Decimal("1E-10"), "USD"), "amount = ", "at most 9 decimals"),
        ((Decimal("NaN"), "USD"), "amount = ", "finite"),
        ((Decimal("sNaN"), "USD"), "amount = ", "finite"),
        ((Decimal("-Infinity"), "USD"), "amount = ", "finite"),
        ((Decimal("1E+999999999"), "USD"), "amount = ", "below 1e18"),
        ((Decimal("1E-999999999"), "USD"), "amount = ", "1e-30"),
        ((10**18, "USD"), "amount = ", "below 1e18"),
        (("9" * 5000, "USD"), "amount = ", "below 1e18"),
        (("1 usd",), "currency = 'usd'", "three capital letters"),
        (("1 USD ",), "currency = 'USD '", "three capital letters"),
        (("1  USD",), "currency = ' USD'", "three capital letters"),
        (("1 US",), "currency = 'US'", "three capital letters"),
        (("1 ÄÖÜ",), "currency = 'ÄÖÜ'", "three capital letters"),
        (("1 U2D",), "currency = 'U2D'", "three capital letters"),
        ((1,), "currency = None", "three capital letters"),
        ((1, ""), "currency = ''", "three capital letters"),
        ((1, 5), "currency = 5", "three capital letters"),
        ((1, ["USD"]), "currency = ", "three capital letters"),
    ],
    ids=repr,
)
def test_what_is_no_money_is_refused(arguments: Any, parameter: str, allowed: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"^{parameter}.*: must be .*{allowed}"):
        Money(*arguments)


@pytest.mark.parametrize("n", [1.0, True, "1", None, Decimal(1)], ids=repr)
def test_nanos_are_whole(n: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^nanos = .*: must be a whole number$"):
        Money.of_nanos(n, "USD")
    with pytest.raises(ConfigurationError, match=r"^currency = "):
        Money.of_nanos(1, "usd")


def test_an_argument_is_read_as_money() -> None:
    five = Money("5 USD")
    assert money_of("cap", five) is five
    assert money_of("cap", "5 USD", currency="USD") == five
    with pytest.raises(ConfigurationError, match=r"^cap = '5\.00 USD': must be in EUR$"):
        money_of("cap", five, currency="EUR")
    with pytest.raises(
        ConfigurationError, match=r'^cap = \'5,0 USD\': must be such as "12\.50 USD"'
    ):
        money_of("cap", "5,0 USD")
    for value in (5, 5.0, None, Decimal(5), ("5", "USD")):
        with pytest.raises(ConfigurationError, match=r"^cap = .*: must be a Money or its text"):
            money_of("cap", value)


def test_other_readers_name_their_parameter() -> None:
    with pytest.raises(ConfigurationError, match=r"^price = 'x': must be digits"):
        decimal_of("price", "x")
    with pytest.raises(ConfigurationError, match=r"^code = 'x': must be three capital letters"):
        currency_of("code", "x")


def test_the_context_of_decimal_has_no_say() -> None:
    with localcontext(HOSTILE):
        money = Money("123456789.123456789 USD")
        assert money.nanos == 123456789123456789
        assert str(money) == "123456789.123456789 USD"
        assert Money(Decimal("123456789.123456789"), "USD") == money
        assert Money(money.amount, "USD") == money
        assert (money + money).nanos == 2 * money.nanos
        with pytest.raises(ConfigurationError):
            Money(0.1, "USD")  # type: ignore[arg-type]
        with pytest.raises(ConfigurationError):
            Money("x USD")


def test_it_is_a_value() -> None:
    money = Money("12.50 USD")
    for twin in (copy.copy(money), copy.deepcopy(money), pickle.loads(pickle.dumps(money))):  # noqa: S301 -- our own
        assert twin == money
        assert hash(twin) == hash(money)
        assert repr(twin) == repr(money)
    for field in ("nanos", "currency"):
        with pytest.raises(AttributeError):
            setattr(money, field, 5)
