"""Numbers in words."""

from __future__ import annotations

import math

import pytest

from mlguard import Measurement
from mlguard.render.text import apart, number, quantity


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (0.0, 4, "0"),
        (0.12345, 4, "0.1235"),
        (-0.5, 4, "-0.5"),
        (1.23456, 4, "1.235"),
        (12.0, 4, "12"),
        (999.96, 4, "1,000"),
        (999.96, 5, "999.96"),
        (1234.5, 4, "1,234"),
        (1234.5, 5, "1,234.5"),
        (1_234_567.0, 4, "1,234,567"),
        (-1_234_567.0, 4, "-1,234,567"),
        (123.0, 2, "123"),
        (100.0, 4, "100"),
        (1e15, 4, "1e+15"),
        (1.5e-7, 4, "1.5e-07"),
        (math.nan, 4, "not a number"),
        (math.inf, 4, "infinity"),
        (-math.inf, 4, "-infinity"),
        (math.nextafter(1000, 0), 16, "999.9999999999999"),
    ],
)
def test_a_number_has_its_digits_and_its_whole_part_in_full(
    value: float, digits: int, text: str
) -> None:
    assert number(value, digits) == text


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.0, "s", "0 s"),
        (5e-10, "s", "0.5 ns"),
        (2.5e-8, "s", "25 ns"),
        (3.2e-5, "s", "32 µs"),
        (0.0612, "s", "61.2 ms"),
        (1.0, "s", "1 s"),
        (90.0, "s", "1.5 min"),
        (5400.0, "s", "1.5 h"),
        (2_592_000.0, "s", "30 d"),
        (-0.05, "s", "-50 ms"),
        (math.nan, "s", "not a number"),
        (0.25, "share", "25 %"),
        (25.0, "%", "25 %"),
        (math.inf, "share", "infinity"),
        (1234.0, "USD", "1,234 USD"),
        (0.5, "", "0.5"),
    ],
)
def test_a_quantity_has_the_unit_that_reads_best(value: float, unit: str, text: str) -> None:
    assert quantity(value, unit) == text


@pytest.mark.parametrize(
    ("value", "limit", "unit", "pair"),
    [
        (0.061, 0.05, "s", ("61 ms", "50 ms")),
        (0.05, 0.05, "s", ("50 ms", "50 ms")),
        (90.01, 90.0, "s", ("1.5002 min", "1.5 min")),
        (3599.9999, 3600.0, "s", ("59.999998 min", "1 h")),
        (0.300001, 0.3, "share", ("30.0001 %", "30 %")),
        (math.inf, 1.0, "s", ("infinity", "1 s")),
        (1234567.4, 1234567.0, "", ("1,234,567.4", "1,234,567")),
        (math.nextafter(0.3, 1), 0.3, "share", ("30.000000000000004 %", "30 %")),
    ],
)
def test_two_quantities_can_be_told_apart(
    value: float, limit: float, unit: str, pair: tuple[str, str]
) -> None:
    assert apart(value, limit, unit) == pair


@pytest.mark.parametrize(
    ("measurement", "text"),
    [
        (Measurement("p99", 0.061, unit="s", n=4210, low=0.055, high=0.07), "p99 = 61 ms (55 ms to 70 ms), n = 4,210"),
        (Measurement("auc", 0.7, low=0.6), "auc = 0.7"),
        (Measurement("lift", 2.0, low=1.0, high=math.inf), "lift = 2 (1 to infinity)"),
        (Measurement("auc", math.nan, n=0), "auc = not a number, n = 0"),
    ],
)  # fmt: skip
def test_a_measurement_is_one_line(measurement: Measurement, text: str) -> None:
    assert str(measurement) == text
