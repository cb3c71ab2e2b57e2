"""Numbers in words."""

from __future__ import annotations

import math
import re
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlguard.values import Measurement

_SECONDS = ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min"), (1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))
_PERCENT = {"%": 1.0, "share": 100.0}

_UNSEEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f"  # what would colour or move a terminal
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # what would turn the direction of a text
    "\ud800-\udfff]"  # halves of characters, which no file can hold
)


def visible(written: str) -> str:
    r"""Spell the characters that a text from outside could deceive with, or that cannot be saved.

    Examples:
        >>> print(visible("größer\x1b[2J"))
        größer\x1b[2J
    """
    return _UNSEEN.sub(lambda found: found[0].encode("unicode_escape").decode(), written)


def escaped(written: str) -> str:
    """Write a text as HTML, also within quotes."""
    return escape(visible(written))


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
    if 1 <= abs(value) < 1e15:  # noqa: PLR2004 -- the integer part in full
        decimals = max(0, digits - len(str(int(abs(value)))))
        text = f"{value:,.{decimals}f}"
        return text.rstrip("0").rstrip(".") if decimals else text
    return f"{value:.{digits}g}"


def quantity(value: float, unit: str = "", digits: int = 4) -> str:
    """Write a value with its unit; seconds take the unit that reads best.

    Examples:
        >>> quantity(0.0612, "s"), quantity(0.25, "share"), quantity(3.0, "USD"), quantity(0.5)
        ('61.2 ms', '25 %', '3 USD', '0.5')
    """
    shown, _, name = _scaled(value, unit)
    return f"{number(shown, digits)} {name}" if name else number(shown, digits)


def _scaled(value: float, unit: str) -> tuple[float, float, str]:
    """Give the number to show, the factor that takes it back, and the unit to show."""
    if not math.isfinite(value):
        return value, 1.0, ""
    if unit in _PERCENT:
        return value * _PERCENT[unit], 1.0, "%"
    if unit == "s" and value:
        scale, name = next((s for s in _SECONDS if abs(value) >= s[0]), (1e-9, "ns"))
        return value / scale, scale, name
    return value, 1.0, unit


def apart(value: float, limit: float, unit: str = "") -> tuple[str, str]:
    """Write two quantities with as many digits as it takes to tell them apart.

    Examples:
        >>> apart(0.0500001, 0.05, "s")
        ('50.0001 ms', '50 ms')
    """
    if value == limit:
        return quantity(value, unit), quantity(limit, unit)
    for digits in range(4, 18):  # 17 are all of a float
        shown = quantity(value, unit, digits), quantity(limit, unit, digits)
        if shown[0] != shown[1] and not _alike(_scaled(value, unit), _scaled(limit, unit), digits):
            return shown
    return f"{value!r} {unit}".rstrip(), f"{limit!r} {unit}".rstrip()


def _alike(one: tuple[float, float, str], two: tuple[float, float, str], digits: int) -> bool:
    """Tell whether two scaled numbers mean the same when written: 1,000 ms is 1 s."""
    (x, x_scale, x_unit), (y, y_scale, y_unit) = one, two
    x, y = float(f"{x:.{digits}g}"), float(f"{y:.{digits}g}")
    if x_unit == y_unit:
        return x == y
    return math.isclose(x * x_scale, y * y_scale, rel_tol=1e-15)


def measured(measurement: Measurement, value: str | None = None) -> str:
    """Write a measurement on one line: name, value, interval, n."""
    unit = measurement.unit
    text = f"{measurement.name} = {value or quantity(measurement.value, unit)}"
    if measurement.low is not None and measurement.high is not None:
        text += f" ({quantity(measurement.low, unit)} to {quantity(measurement.high, unit)})"
    if measurement.n is not None:
        text += f", n = {measurement.n:,}"
    return text
