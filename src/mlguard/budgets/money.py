"""Exact amounts of money, in whole billionths of a currency's unit."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from numbers import Integral

from mlguard.arguments import refusal
from mlguard.errors import ConfigurationError

NANOS = 10**9
"""How many nano-units make one unit: of a dollar, of a yen."""

_DIGITS = re.compile(r"-?[0-9]+(\.[0-9]+)?")
_SMALLEST, _LARGEST = -30, 17  # powers of ten that a number read here lies between


@dataclass(frozen=True, slots=True, init=False, eq=False, repr=False)
class Money:
    """An exact amount of one currency, in whole nano-units: billionths of a dollar, of a yen.

    Immutable, and so safe to share between threads. Amounts of one currency add, subtract and
    compare; a whole number multiplies them; amounts of two currencies are merely unequal. Nothing
    rounds, and the context of `decimal` has no say.

    Args:
        amount: Below 10**18, with at most 9 decimals: "12.50 USD" for both arguments, else a
            string of digits, an int or a Decimal. A float is refused: ten times 0.1 does not
            reach a cap of 1.
        currency: Three capital letters as in ISO 4217, where the amount does not name it.

    Attributes:
        nanos: The amount in nano-units, an int.
        currency: Its code.

    Raises:
        ConfigurationError: An argument is not of its kind or form, or two currencies meet.

    Examples:
        >>> Money("12.50 USD") + Money("0.000002 USD")
        Money("12.500002 USD")
        >>> print(3 * Money(Decimal("0.1"), "USD"))
        0.30 USD
        >>> sum([Money(1, "EUR"), Money(2, "EUR")], start=Money(0, "EUR")) > Money("2.99 EUR")
        True
    """

    nanos: int
    currency: str

    def __init__(self, amount: str | int | Decimal, currency: str | None = None) -> None:
        code: object = currency
        if currency is None and isinstance(amount, str):
            number, blank, code = amount.partition(" ")
            if not blank:
                raise refusal("amount", amount, 'a number and a currency, such as "12.50 USD"')
            amount = number
        _put_nanos(self, _nanos_of(amount))
        _put_currency(self, currency_of("currency", code))

    @classmethod
    def of_nanos(cls, nanos: int, currency: str) -> Money:
        """Make an amount of so many nano-units, as a store keeps it.

        Examples:
            >>> Money.of_nanos(12_500_000_000, "USD")
            Money("12.50 USD")
        """
        exact = nanos if type(nanos) is int else _whole("nanos", nanos)
        return _made(exact, currency_of("currency", currency))

    @property
    def amount(self) -> Decimal:
        """The amount in units of the currency, exactly."""
        return Decimal(_digits_of(self.nanos))

    def __add__(self, other: Money) -> Money:
        if not isinstance(other, Money):
            return NotImplemented
        return _made(self.nanos + _same(self, other), self.currency)

    def __sub__(self, other: Money) -> Money:
        if not isinstance(other, Money):
            return NotImplemented
        return _made(self.nanos - _same(self, other), self.currency)

    def __mul__(self, times: int) -> Money:
        if not isinstance(times, int) or isinstance(times, bool):
            return NotImplemented
        return _made(self.nanos * times, self.currency)

    __rmul__ = __mul__

    def __neg__(self) -> Money:
        return _made(-self.nanos, self.currency)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Money):
            return NotImplemented
        return self.nanos == other.nanos and self.currency == other.currency

    def __hash__(self) -> int:
        return hash((self.nanos, self.currency))

    def __lt__(self, other: Money) -> bool:
        return self.nanos < _same(self, other) if isinstance(other, Money) else NotImplemented

    def __le__(self, other: Money) -> bool:
        return self.nanos <= _same(self, other) if isinstance(other, Money) else NotImplemented

    def __gt__(self, other: Money) -> bool:
        return self.nanos > _same(self, other) if isinstance(other, Money) else NotImplemented

    def __ge__(self, other: Money) -> bool:
        return self.nanos >= _same(self, other) if isinstance(other, Money) else NotImplemented

    def __str__(self) -> str:
        return f"{_digits_of(self.nanos)} {self.currency}"

    def __repr__(self) -> str:
        return f'Money("{self}")'


_put_nanos = Money.__dict__["nanos"].__set__  # half the time of object.__setattr__
_put_currency = Money.__dict__["currency"].__set__


def _made(nanos: int, currency: str) -> Money:
    money = object.__new__(Money)
    _put_nanos(money, nanos)
    _put_currency(money, currency)
    return money


def _same(one: Money, other: Money) -> int:
    if one.currency != other.currency:
        allowed = f"{one.currency}, as {one} is: two currencies neither add up nor compare"
        raise refusal("currency", other.currency, allowed)
    return other.nanos


def _nanos_of(amount: object) -> int:
    above, below = decimal_of("amount", amount).as_integer_ratio()
    if NANOS % below:
        raise refusal("amount", amount, "of at most 9 decimals")
    return above * (NANOS // below)


def _whole(parameter: str, value: object, allowed: str = "a whole number") -> int:
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise refusal(parameter, value, allowed)
    return int(value)


def _digits_of(nanos: int) -> str:
    """Write nano-units in units: the shortest that is exact, with at least two decimals."""
    whole, rest = divmod(abs(nanos), NANOS)
    decimals = f"{rest:09}".rstrip("0").ljust(2, "0")
    return f"{'-' if nanos < 0 else ''}{whole}.{decimals}"


def decimal_of(parameter: str, value: object) -> Decimal:
    """Read an exact number: a string of digits, a whole number or a Decimal, but no float.

    Examples:
        >>> decimal_of("price", "0.40")
        Decimal('0.40')
    """
    if isinstance(value, float):
        raise refusal(
            parameter, value, f'exact, which a float is not: write "{value}" or a Decimal'
        )
    if isinstance(value, str):
        if not _DIGITS.fullmatch(value):
            allowed = "no commas, blanks or exponents"
            raise refusal(parameter, value, f'digits with at most one point, as "12.50": {allowed}')
        number = Decimal(value)
    elif isinstance(value, Decimal):
        number = value
    else:
        allowed = "a string of digits, a whole number or a Decimal"
        number = Decimal(_whole(parameter, value, allowed))
    if not number.is_finite() or (number and not _SMALLEST <= number.adjusted() <= _LARGEST):
        raise refusal(parameter, value, "finite, 0 or from 1e-30 to below 1e18 in size")
    return number


def currency_of(parameter: str, value: object) -> str:
    """Read the code of a currency, three capital letters as in ISO 4217; it is not looked up."""
    if (
        isinstance(value, str)
        and len(value) == 3  # noqa: PLR2004 -- of the standard
        and value.isascii()
        and value.isalpha()
        and value.isupper()
    ):
        return value
    raise refusal(parameter, value, 'three capital letters, such as "USD"')


def money_of(parameter: str, value: object, *, currency: str | None = None) -> Money:
    """Read an amount, a `Money` or its text, in `currency` where one is given.

    Examples:
        >>> money_of("cap", "500.00 USD", currency="USD")
        Money("500.00 USD")
    """
    if isinstance(value, str):
        try:
            money = Money(value)
        except ConfigurationError as error:
            raise refusal(parameter, value, f'such as "12.50 USD" ({error})') from None
    elif isinstance(value, Money):
        money = value
    else:
        raise refusal(parameter, value, 'a Money or its text, such as "12.50 USD"')
    if currency is not None and money.currency != currency:
        raise refusal(parameter, str(money), f"in {currency}")
    return money
