"""The system's clock, in Unix seconds, never runs backwards."""

from __future__ import annotations

from mlguard.clocks import unix_clock
from mlguard.testing import ManualClock


def test_the_wall_clock_is_read_once_and_the_monotonic_one_carries_it_on() -> None:
    wall, monotonic = ManualClock(1_700_000_000.0), ManualClock(50.0)
    clock = unix_clock(wall, monotonic)
    assert clock() == 1_700_000_000.0
    wall.advance(-3600.0)
    monotonic.advance(2.5)
    assert clock() == 1_700_000_002.5


def test_it_needs_no_argument_and_does_not_step_back() -> None:
    clock = unix_clock()
    readings = [clock() for _ in range(100)]
    assert readings == sorted(readings)
    assert readings[0] > 1_600_000_000
