"""A verdict as an indented tree, in words and in HTML; nothing from outside can break it."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlguard import (
    Severity,
    Verdict,
    Waiver,
    at_most,
    guard,
    labelled,
    lenient,
    measured,
    waived,
    worst,
)
from mlguard.render import html
from mlguard.testing import ScriptedCheck

GOLDEN = Path(__file__).parents[1] / "fixtures" / "explain.txt"


def no_rows() -> Verdict:
    raise ConnectionError("no route\nto the warehouse")


def release() -> Verdict:
    late = guard(measured("p99", 0.061, n=4210, unit="s"), at_most(0.05))
    accepted = Waiver("ada", "cold cache until the move is done", until=2_000_000_000)
    return labelled(
        worst(
            "release",
            waived(late, accepted, clock=lambda: 1_900_000_000.0),
            worst("data", no_rows, lenient(ScriptedCheck("UNKNOWN", name="drift"))),
            guard(
                measured("errors", 0.0125, unit="share"), at_most(0.02, warn=0.01), name="errors"
            ),
            Verdict("price", Severity.OK, "price is right"),
        ),
        model="eta",
        version=7,
    )()


def test_the_explanation_is_a_tree_that_reads_well() -> None:
    assert release().explain() + "\n" == GOLDEN.read_text("utf-8")
    assert str(release()) == release().explain()


@pytest.mark.parametrize(
    ("name", "reason", "line"),
    [
        ("p99", "p99 = 61 ms: late", "p99 = 61 ms: late"),
        ("p", "p99 = 61 ms: late", "p: p99 = 61 ms: late"),
        ("c", "crashed: OSError", "c: crashed: OSError"),
        ("price", "price is right", "price: price is right"),
        ("a\nOK      b", "x\r\ny\u2028z", "a OK      b: x y z"),
    ],
)
def test_a_line_names_its_check_once_and_stays_one_line(name: str, reason: str, line: str) -> None:
    verdict = Verdict(name, Severity.OK, reason)
    assert verdict.explain() == f"OK      {line}"
    assert " ".join(Reader(html.verdict(verdict)).text.splitlines()) == f"OK {line}"


@given(texts=st.tuples(*[st.text(min_size=1).filter(str.strip)] * 4))
def test_a_tree_has_a_line_for_each_verdict_whatever_the_texts(texts: tuple[str, ...]) -> None:
    name, reason, key, label = texts
    cause = Verdict(name, Severity.OK, reason, causes=[Waiver(name, reason, until=0)])
    tree = Verdict(name, Severity.WARN, reason, causes=[cause], subject={key: label}).explain()
    assert [line[:12].split()[0] for line in tree.splitlines()] == ["WARN", "OK", "WAIVER"]


# ---------------------------------------------------------------- HTML


class Reader(HTMLParser):
    """Checks that every tag is closed, and keeps the tags and the text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.text = ""
        self.feed(page)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert all(name == "class" for name, _ in attrs)
        self.open.append(tag)
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data


ATTACK = "<script>alert('&amp;\"')</script>"


def test_every_text_is_escaped_wherever_it_stands() -> None:
    verdict = Verdict(
        ATTACK + "1",
        Severity.BREACH,
        ATTACK + "2",
        evidence=[measured(ATTACK, 1.0, unit=ATTACK)],
        causes=[
            Waiver(ATTACK + "3", ATTACK + "4", until=0),
            Verdict(ATTACK + "5", Severity.OK, f"{ATTACK}5 = 6"),
        ],
        subject={ATTACK + "7": ATTACK + "8"},
    )
    page = Reader(html.verdict(verdict, style=False))
    assert set(page.tags) == {"div", "ul", "li", "b", "strong", "span"}
    assert re.findall(re.escape(ATTACK) + r"(\d)", page.text) == list("17823456"[:4] + "345")
    assert "6" in page.text


def test_the_html_is_whole_and_says_what_the_tree_says() -> None:
    page = Reader(html.verdict(release()))
    assert page.tags.count("li") == len(release().explain().splitlines())
    for said in (
        "model=eta version=7",
        "61 ms, n = 4,210: above the limit of 50 ms",
        "WAIVER ada, until",
    ):
        assert said in page.text


@pytest.mark.parametrize("severity", Severity)
def test_each_severity_has_its_class_and_two_colours(severity: Severity) -> None:
    page = html.verdict(Verdict("v", severity, "r"))
    assert f'<b class="{severity.name}">{severity.name}</b>' in page
    assert html.STYLE.count(f"b.{severity.name}{{color:#") == 2


def test_a_notebook_shows_the_html_and_a_page_brings_the_style_once() -> None:
    verdict = release()
    assert verdict._repr_html_() == html.verdict(verdict)
    assert html.verdict(verdict) == f"<style>{html.STYLE}</style>" + html.verdict(
        verdict, style=False
    )
