"""The trade-off as SVG: well-formed, escaped, to scale, and no names on top of each other."""

from __future__ import annotations

from itertools import pairwise
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlguard.render.text import number as written
from mlguard.render.tradeoff import STYLE, Point, curve

EVIL = "<script>alert('x')</script>&\"\x1b"
HEIGHT = 280


def drawn(
    *points: Point, title: str = "it", across: str = "alarms", up: str = "delay"
) -> ET.Element:
    return ET.fromstring(curve(points, across=across, up=up, title=title))  # noqa: S314 -- our own


def number(place: str) -> float:
    return float(place.removesuffix("%"))


def dots(root: ET.Element) -> list[tuple[float, float]]:
    return [(number(each.attrib["cx"]), number(each.attrib["cy"])) for each in root.iter("circle")]


def course(root: ET.Element) -> list[tuple[float, float]]:
    (line,) = root.iter("polyline")
    pairs = [pair.split(",") for pair in line.attrib["points"].split()]
    return [(float(x), float(y)) for x, y in pairs]


def shown(root: ET.Element) -> list[tuple[str, str]]:
    """Give the tooltip of each point, and the name beside it."""
    texts = [each for each in root.findall("text") if each.find("title") is not None]
    return [(each[0].text or "", each[0].tail or "") for each in texts]


def test_both_axes_begin_at_zero_and_points_are_to_scale() -> None:
    root = drawn(Point(4.0, 10.0, "eager"), Point(1.0, 40.0, "calm"), Point(0.0, 0.0, "ideal"))
    assert root.attrib["role"] == "img"
    assert root[0].text == "it"
    right, top = 4.4, 44.8
    expected = [
        (100.0 * x / right, HEIGHT * (1.0 - y / top))
        for x, y in [(0.0, 0.0), (1.0, 40.0), (4.0, 10.0)]
    ]
    for found, place in zip(dots(root), expected, strict=True):
        assert found == pytest.approx(place, abs=0.06)
    assert course(root) == dots(root)[:1]  # nothing is as good as the ideal
    (inner,) = root.findall("svg")
    assert inner.attrib["viewBox"] == f"0 0 100 {HEIGHT}"
    assert inner.attrib["preserveAspectRatio"] == "none"


def test_what_another_is_better_than_is_not_joined() -> None:
    root = drawn(
        Point(1.0, 40.0, "a"),
        Point(2.0, 20.0, "b"),
        Point(3.0, 30.0, "worse"),
        Point(4.0, 5.0, "c"),
    )
    assert len(dots(root)) == 4
    assert course(root) == [dots(root)[place] for place in (0, 1, 3)]


def test_each_point_says_what_it_is_with_the_names_of_the_axes() -> None:
    root = drawn(Point(1.25, 3.0, "days 2"), across="false alarms a month", up="days")
    assert shown(root) == [("days 2: 1.25 false alarms a month, 3 days", "days 2")]
    texts = [each.text for each in root.findall("text")]
    assert "false alarms a month" in texts
    assert "days" in texts


def test_ticks_of_either_axis_stand_where_their_number_is() -> None:
    root = drawn(Point(10.0, 5.0, "one"))
    ups = [each for each in root.findall("text") if each.attrib.get("dx") == "-8"]
    assert ups[0].text == "0"
    for each in ups:
        assert number(each.attrib["y"]) == pytest.approx(
            HEIGHT * (1.0 - float(each.text or "") / 5.6), abs=0.06
        )
    feet = [each for each in root.findall("text") if each.attrib["y"] == str(HEIGHT + 18)]
    assert [each.text for each in feet] == ["0", "2.5", "5", "7.5", "10"]
    for each in feet:
        assert number(each.attrib["x"]) == pytest.approx(
            100.0 * float(each.text or "") / 11.0, abs=0.006
        )


def test_every_text_is_escaped() -> None:
    svg = curve(
        [Point(1.0, 1.0, "label" + EVIL)],
        across="across" + EVIL,
        up="up" + EVIL,
        title="title" + EVIL,
    )
    assert "<script" not in svg
    assert "\x1b" not in svg
    words = "".join(ET.fromstring(svg).itertext())  # noqa: S314 -- our own
    for name in ("label", "across", "up", "title"):
        assert name + EVIL.replace("\x1b", r"\x1b") in words


def test_nothing_and_a_single_ideal_point_are_drawn_on_a_scale() -> None:
    empty = drawn()
    assert not dots(empty)
    assert course(empty) == []
    assert empty.findall("line[@class='grid']")
    assert dots(drawn(Point(0.0, 0.0, "ideal"))) == [(0.0, HEIGHT)]


def test_a_name_that_would_lie_on_the_last_one_is_left_to_its_tooltip() -> None:
    points = [Point(1.0 + place / 100.0, 1.0, f"p{place}") for place in range(5)]
    root = drawn(*points, Point(2.0, 1.0, "far"))
    assert [name for _, name in shown(root)] == ["p0", "", "", "", "", "far"]
    assert [tip.split(":")[0] for tip, _ in shown(root)] == ["p0", "p1", "p2", "p3", "p4", "far"]


def test_names_at_the_right_edge_grow_inward() -> None:
    texts = drawn(Point(1.0, 1.0, "a"), Point(10.0, 1.0, "b")).findall("text")
    anchors = [each.attrib["text-anchor"] for each in texts if each.find("title") is not None]
    assert anchors == ["start", "end"]


def test_the_style_colours_both_schemes() -> None:
    assert "prefers-color-scheme:dark" in STYLE
    assert STYLE.count("{") == STYLE.count("}")


amounts = st.floats(0.0, 1e9, allow_subnormal=False) | st.just(0.0)


@given(st.lists(st.tuples(amounts, amounts), max_size=8))
def test_all_that_is_drawn_lies_within(values: list[tuple[float, float]]) -> None:
    root = drawn(*(Point(x, y, written(x)) for x, y in values))
    assert len(dots(root)) == len(values) == len(shown(root))
    for x, y in [*dots(root), *course(root)]:
        assert 0.0 <= x <= 100.0
        assert 0.0 <= y <= HEIGHT
    assert all(one[0] <= other[0] for one, other in pairwise(dots(root)))
