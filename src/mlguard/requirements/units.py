"""Numbers as people write them: "50 ms", "99.9 %", "500 USD". A bare number has no unit."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BeforeValidator, InstanceOf, PlainSerializer, WithJsonSchema

from mlguard.budgets.money import Money, money_of
from mlguard.errors import ConfigurationError

_SECONDS = {
    "us": Decimal("1e-6"),
    "µs": Decimal("1e-6"),
    "ms": Decimal("1e-3"),
    "s": Decimal(1),
    "min": Decimal(60),
    "h": Decimal(3_600),
    "d": Decimal(86_400),
    "w": Decimal(604_800),
}
_DURATION = rf"([0-9]+(?:\.[0-9]+)?) ?({'|'.join(_SECONDS)})"
_PERCENT = r"([0-9]+(?:\.[0-9]+)?) ?%"
UNITS = ("hour", "day", "week", "month")
"""The calendar's own windows."""


def duration(value: object) -> float:
    """Read a duration with its unit, in seconds.

    Raises:
        ValueError: Says what is allowed.

    Examples:
        >>> duration("50 ms"), duration("30 d")
        (0.05, 2592000.0)
    """
    found = re.fullmatch(_DURATION, value.strip()) if isinstance(value, str) else None
    seconds = Decimal(found[1]) * _SECONDS[found[2]] if found else Decimal(0)
    if not Decimal("1e-9") <= seconds <= Decimal("1e10"):
        allowed = f"a positive duration with its unit ({', '.join(_SECONDS)}), such as '50 ms'"
        raise ValueError(allowed)
    return float(seconds)


def share(value: object) -> float:
    """Read a share strictly between 0 and 1: "99.9 %" or 0.999.

    Raises:
        ValueError: Says what is allowed.

    Examples:
        >>> share("99.9 %")
        0.999
    """
    number = 0.0
    if isinstance(value, float):
        number = value
    elif isinstance(value, str) and (found := re.fullmatch(_PERCENT, value.strip())):
        number = float(Decimal(found[1]) / 100)
    if not 0.0 < number < 1.0:
        allowed = "a share between 0 and 1, both excluded, such as '99.9 %' or 0.999"
        raise ValueError(allowed)
    return number


def money(value: object) -> Money:
    """Read a positive amount with its currency.

    Raises:
        ValueError: Says what is allowed.

    Examples:
        >>> money("500 USD")
        Money("500.00 USD")
    """
    try:
        amount = money_of("amount", value)
    except ConfigurationError:
        amount = None
    if amount is None or amount.nanos <= 0:
        allowed = "a positive amount and its currency, such as '500 USD', with at most 9 decimals"
        raise ValueError(allowed)
    return amount


def window(value: object) -> str:
    """Read a window: one of the calendar, or a rolling one of some duration.

    Raises:
        ValueError: Says what is allowed.

    Examples:
        >>> window("day"), window("48 h")
        ('day', '172800 s')
    """
    return _window(value, UNITS)


def period(value: object) -> str:
    """Read a period: a window that is no single hour of the calendar.

    Raises:
        ValueError: Says what is allowed.

    Examples:
        >>> period("month")
        'month'
    """
    return _window(value, UNITS[1:])


def _window(value: object, units: Sequence[str]) -> str:
    if value in units:
        return str(value)
    try:
        return written(duration(value))
    except ValueError:
        allowed = f"one of {', '.join(units)}, or a duration with its unit, such as '48 h'"
        raise ValueError(allowed) from None


def lasting(value: object) -> int | float:
    """Read how long something must last: a number of evaluations, or seconds of a duration.

    Raises:
        ValueError: Says what is allowed.

    Examples:
        >>> lasting(3), lasting("2 h")
        (3, 7200.0)
    """
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    try:
        return duration(value)
    except ValueError:
        allowed = "a number of evaluations in a row, such as 3, or a duration, such as '2 h'"
        raise ValueError(allowed) from None


def written(seconds: float) -> str:
    """Write seconds as a duration that reads back as the same.

    Examples:
        >>> written(0.05), written(300.0)
        ('0.05 s', '300 s')
    """
    return f"{Decimal(repr(seconds)).normalize():f} s"


def _text(pattern: str, *examples: Any) -> dict[str, Any]:
    return {"type": "string", "pattern": f"^{pattern}$", "examples": list(examples)}


_TIME, _SHARE = _text(_DURATION, "50 ms", "5 min", "30 d"), _text(_PERCENT, "99.9 %", "1 %")
AMOUNT = _text(r"[0-9]+(?:\.[0-9]{1,9})? [A-Z]{3}", "500 USD", "12.50 EUR")
"""How an amount is written, as a schema."""
_BETWEEN = {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}
_TIMES = {"type": "integer", "minimum": 1}

Duration = Annotated[
    float, BeforeValidator(duration), PlainSerializer(written), WithJsonSchema(_TIME)
]
Share = Annotated[float, BeforeValidator(share), WithJsonSchema({"anyOf": [_SHARE, _BETWEEN]})]
Amount = Annotated[
    InstanceOf[Money],
    BeforeValidator(money),
    PlainSerializer(lambda amount: str(amount)),  # noqa: PLW0108 -- pydantic 2.7 wants a signature
    WithJsonSchema(AMOUNT),
]
Window = Annotated[
    str,
    BeforeValidator(window),
    WithJsonSchema({"anyOf": [{"type": "string", "enum": list(UNITS)}, _TIME]}),
]
Period = Annotated[
    str,
    BeforeValidator(period),
    WithJsonSchema({"anyOf": [{"type": "string", "enum": list(UNITS[1:])}, _TIME]}),
]
Lasting = Annotated[
    int | float,
    BeforeValidator(lasting),
    PlainSerializer(lambda value: value if isinstance(value, int) else written(value)),
    WithJsonSchema({"anyOf": [_TIMES, _TIME]}),
]
