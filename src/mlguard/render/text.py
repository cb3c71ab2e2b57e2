"""Numbers in words."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlguard.values import Measurement

_SECONDS = ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min"), (1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))
_PERCENT = {"%": 1.0, "share": 100.0}


def number(value: float, digits: int = 4) -> str:
    """Write a number in `digits` significant digits, with commas from a thousand on.

    Examples:
        >>> number(0.123456), number(1234567.0), number(12.0), number(float("nan"))
        ('0.1235', '1,234,567', '12', 'not a number')
    """
    if math.isnan(value):
        return "not a number"
    if math.isinf(value):
        return "infinity" if value > 0 else "-infinity"
    if 1_000 <= abs(value) < 1e15:  # noqa: PLR2004 -- from a thousand on, integers in full
        decimals = max(0, digits - 1 - int(math.log10(abs(value))))
        text = f"{value:,.{decimals}f}"
        return text.rstrip("0").rstrip(".") if decimals else text
    return f"{value:.{digits}g}"


def quantity(value: float, unit: str = "", digits: int = 4) -> str:
    """Write a value with its unit; seconds take the unit that reads best.

    Examples:
        >>> quantity(0.0612, "s"), quantity(0.25, "share"), quantity(3.0, "USD"), quantity(0.5)
        ('61.2 ms', '25 %', '3 USD', '0.5')
    """
    if not math.isfinite(value) or not unit:
        return number(value, digits)
    if unit in _PERCENT:
        return f"{number(value * _PERCENT[unit], digits)} %"
    if unit == "s" and value:
        scale, name = next((s for s in _SECONDS if abs(value) >= s[0]), (1e-9, "ns"))
        return f"{number(value / scale, digits)} {name}"
    return f"{number(value, digits)} {unit}"


def apart(value: float, limit: float, unit: str = "") -> tuple[str, str]:
    """Write two quantities with as many digits as it takes to tell them apart.

    Examples:
        >>> apart(0.0500001, 0.05, "s")
        ('50.0001 ms', '50 ms')
    """
    pair = quantity(value, unit), quantity(limit, unit)
    digits = 5
    while pair[0] == pair[1] and value != limit and digits <= 17:  # noqa: PLR2004 -- all of a float
        pair = quantity(value, unit, digits), quantity(limit, unit, digits)
        digits += 1
    return pair


def measured(measurement: Measurement, value: str | None = None) -> str:
    """Write a measurement on one line: name, value, interval, n."""
    unit = measurement.unit
    text = f"{measurement.name} = {value or quantity(measurement.value, unit)}"
    if measurement.low is not None and measurement.high is not None:
        text += f" ({quantity(measurement.low, unit)} to {quantity(measurement.high, unit)})"
    if measurement.n is not None:
        text += f", n = {measurement.n:,}"
    return text
