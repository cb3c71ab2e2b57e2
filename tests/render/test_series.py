"""Quantities over time as SVG: well-formed, escaped, broken where unknown; round ticks."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mlguard.render.series import Spot, over_time, ticks
from mlguard.render.text import number as written

EVIL = "<script>alert('x')</script>&\"\x1b"
HEIGHT = 260


def spot(at: float, value: float, width: float = 0.1, kind: str = "one", label: str = "") -> Spot:
    return Spot(at, value, value - width, value + width, label or f"at {at:g}", kind)


def drawn(
    line: list[Spot] | None = None,
    spots: list[Spot] | None = None,
    *,
    labels: list[tuple[float, str]] | None = None,
    limit: tuple[float, str] | None = None,
    title: str = "it",
) -> ET.Element:
    svg = over_time(line or [], spots or [], labels=labels or [], limit=limit, title=title)
    return ET.fromstring(svg)  # noqa: S314 -- our own


def points(element: ET.Element) -> list[tuple[float, float]]:
    pairs = [pair.split(",") for pair in element.attrib["points"].split()]
    return [(float(x), float(y)) for x, y in pairs]


def texts(root: ET.Element) -> list[str]:
    return ["".join(each.itertext()) for each in root.iter() if each.tag in {"text", "title"}]


def number(place: str) -> float:
    return float(place.removesuffix("%"))


def test_a_line_has_its_band_and_spots_their_intervals() -> None:
    root = drawn(
        [spot(0.0, 0.5), spot(10.0, 0.6)],
        [Spot(5.0, 0.4, 0.25, 0.45, "five", "two")],
        labels=[(0.0, "then"), (10.0, "now")],
    )
    assert root.attrib["class"] == "mlguard-svg over-time"
    assert root.attrib["role"] == "img"
    assert root[0].text == "it"
    (course,), (band,) = (root.findall(f".//{tag}") for tag in ("polyline", "polygon"))
    low, high = 0.25 - 0.08 * 0.45, 0.7 + 0.08 * 0.45  # room above and below the ends

    def y(value: float) -> float:
        return HEIGHT * (high - value) / (high - low)

    at: Any = pytest.approx
    assert points(course) == [(4.0, at(y(0.5), abs=0.1)), (96.0, at(y(0.6), abs=0.1))]
    assert points(band) == [
        (4.0, at(y(0.6), abs=0.1)),
        (96.0, at(y(0.7), abs=0.1)),
        (96.0, at(y(0.5), abs=0.1)),
        (4.0, at(y(0.4), abs=0.1)),
    ]
    (group,) = root.findall("g[@class='two']")
    title, span, dot = group
    assert title.text == "five"
    assert number(span.attrib["x1"]) == number(span.attrib["x2"]) == 50.0
    assert number(span.attrib["y1"]) == at(y(0.25), abs=0.1)
    assert number(span.attrib["y2"]) == at(y(0.45), abs=0.1)
    assert number(dot.attrib["cx"]) == 50.0
    assert number(dot.attrib["cy"]) == at(y(0.4), abs=0.1)
    assert {"then", "now"} <= {*texts(root)}


def test_every_text_is_escaped() -> None:
    svg = over_time(
        [spot(0.0, 0.5, label="line" + EVIL)],
        [spot(0.0, 0.5, label="spot" + EVIL)],
        labels=[(0.0, "label" + EVIL)],
        limit=(0.5, "limit" + EVIL),
        title="title" + EVIL,
    )
    assert "<script" not in svg
    assert "\x1b" not in svg
    shown = EVIL.replace("\x1b", r"\x1b")
    words = texts(ET.fromstring(svg))  # noqa: S314 -- our own
    for name in ("line", "spot", "label", "limit", "title"):
        assert name + shown in words


@pytest.mark.parametrize(
    ("values", "runs"),
    [
        ([1.0, 2.0, math.nan, 3.0, 4.0], [2, 2]),
        ([1.0, math.nan, math.nan, 3.0, 4.0], [1, 2]),
        ([math.nan, 2.0, 3.0], [2]),
        ([1.0, 2.0, math.nan], [2]),
        ([math.nan], []),
        ([], []),
    ],
    ids=str,
)
def test_an_unknown_value_breaks_the_line(values: list[float], runs: list[int]) -> None:
    root = drawn([spot(float(place), value) for place, value in enumerate(values)])
    assert [len(points(each)) for each in root.iter("polyline")] == runs
    assert [len(points(each)) for each in root.iter("polygon")] == [2 * run for run in runs]
    assert len(root.findall("circle")) == sum(run for run in runs if run > 1)
    assert len(root.findall("g")) == runs.count(1)  # drawn as a dot, or it would not be seen
    assert "nan" not in ET.tostring(root, encoding="unicode")


def test_an_unknown_spot_is_not_drawn_but_keeps_its_time() -> None:
    root = drawn(spots=[spot(0.0, 0.5), spot(10.0, 0.5), spot(20.0, math.nan)])
    assert [number(each.attrib["cx"]) for each in root.iter("circle")] == [4.0, 50.0]


def test_a_limit_is_drawn_within_the_scale() -> None:
    root = drawn([spot(0.0, 0.5), spot(1.0, 0.5)], limit=(0.2, "floor 0.2"))
    (line,) = root.findall("line[@class='line']")
    (text,) = root.findall("text[@class='limit']")
    assert text.text == "floor 0.2"
    assert line.attrib["y1"] == line.attrib["y2"] == text.attrib["y"]
    (course,) = root.iter("polyline")
    assert points(course)[0][1] < number(line.attrib["y1"]) < HEIGHT
    assert not drawn([spot(0.0, 0.5)]).findall("line[@class='line']")


@pytest.mark.parametrize("count", [1, 2, 5, 7, 30, 365])
def test_labels_that_find_no_room_are_left_out(count: int) -> None:
    root = drawn([], labels=[(float(day), f"day {day}") for day in range(count)])
    shown = [each for each in texts(root) if each.startswith("day ")]
    assert shown[0] == "day 0"
    assert 1 <= len(shown) <= 8
    if count > 2:
        assert len(shown) >= 3


@pytest.mark.parametrize("value", [0.0, 0.5, -3.0, 1e9, 1e-9])
def test_a_single_value_is_drawn_in_the_middle(value: float) -> None:
    root = drawn([], [Spot(7.0, value, value, value, "one", "one")])
    (dot,) = root.iter("circle")
    assert number(dot.attrib["cx"]) == 4.0
    assert number(dot.attrib["cy"]) == pytest.approx(HEIGHT / 2)
    room = 0.5 * abs(value) or 0.5
    labels = [each.text for each in root.findall("text[@text-anchor='end']")]
    assert labels == [written(tick) for tick in ticks(value - room, value + room)]


def test_nothing_is_drawn_as_an_empty_scale() -> None:
    root = drawn()
    assert not list(root.iter("circle"))
    assert root.findall("line[@class='grid']")


def test_the_scale_is_labelled_at_its_ticks() -> None:
    root = drawn([Spot(0.0, 0.8, 0.72, 0.88, "a", "one"), Spot(1.0, 0.8, 0.72, 0.88, "b", "one")])
    labels = [each.text for each in root.findall("text[@text-anchor='end']")]
    assert labels == ["0.75", "0.8", "0.85"]
    grid = [number(each.attrib["y1"]) for each in root.findall("line[@class='grid']")]
    assert grid == sorted(grid, reverse=True)
    assert [number(each.attrib["y"]) for each in root.findall("text[@text-anchor='end']")] == grid


@given(
    st.lists(st.floats(-1e9, 1e9) | st.just(math.nan), min_size=1, max_size=8),
    st.floats(1e-3, 1e6),
)
def test_all_that_is_drawn_lies_within(values: list[float], width: float) -> None:
    line = [spot(float(place), value, width) for place, value in enumerate(values)]
    root = drawn(line, line)
    for each in [*root.iter("polyline"), *root.iter("polygon")]:
        assert all(0.0 <= x <= 100.0 and 0.0 <= y <= HEIGHT for x, y in points(each))
    for dot in root.iter("circle"):
        assert 0.0 <= number(dot.attrib["cy"]) <= HEIGHT


# Ticks.


@given(
    st.integers(-9, 9), st.floats(1.0, 10.0), st.floats(-1_000.0, 1_000.0) | st.integers(-100, 100)
)
def test_ticks_are_round_few_even_and_within(power: int, size: float, place: float) -> None:
    width = size * 10.0**power
    low = place * width
    high = low + width
    assume(low < high)
    found = ticks(low, high)
    slack = 1e-9 * width + 1e-12
    assert 2 <= len(found) <= 6
    assert low - slack <= found[0]
    assert found[-1] <= high + slack
    steps = [after - before for before, after in pairwise(found)]
    step = steps[0]
    assert steps == pytest.approx([step] * len(steps), rel=1e-6, abs=slack)
    assert found[0] - step < low + slack  # none is left out at an end
    assert found[-1] + step > high - slack
    leading = step / 10.0 ** math.floor(math.log10(step * (1.0 + 1e-6)))
    assert any(leading == pytest.approx(each, rel=1e-3) for each in (1.0, 2.0, 2.5, 5.0, 10.0))
    assert found[0] / step == pytest.approx(round(found[0] / step), abs=1e-3)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.0, 1.0, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (-1.0, 1.0, [-1.0, -0.5, 0.0, 0.5, 1.0]),
        (0.1, 0.9, [0.2, 0.4, 0.6, 0.8]),
        (0.61, 0.659, [0.61, 0.62, 0.63, 0.64, 0.65]),
        (0.0, 1e-9, [0.0, 2e-10, 4e-10, 6e-10, 8e-10, 1e-9]),
        (3e8, 1e9, [4e8, 6e8, 8e8, 1e9]),
    ],
)
def test_ticks_of_known_ranges(low: float, high: float, expected: list[float]) -> None:
    assert ticks(low, high) == pytest.approx(expected, rel=1e-12)
